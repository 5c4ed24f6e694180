import string
from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_pipeline.documents import formatting
from billing_pipeline.documents.languages import CATALOGUES, Messages, Untranslated, printing_in, read_catalogue
from billing_pipeline.documents.rendering import render_html, render_pdf
from billing_pipeline.documents.texts import MESSAGES
from billing_pipeline.rules.languages import FALLBACK, LANGUAGES

MINUS, NARROW, NO_BREAK = "\N{MINUS SIGN}", "\N{NARROW NO-BREAK SPACE}", "\N{NO-BREAK SPACE}"
TRANSLATED = [language for language in LANGUAGES if language != FALLBACK]


@pytest.fixture
def french():
    with printing_in("fr"):
        yield


def fields(text):
    return sorted({field for _, field, _, _ in string.Formatter().parse(text) if field})


def spaced(text):
    """With the no-break spaces that French money, percentages and units are written with."""
    return text.replace("~", NARROW).replace("_", NO_BREAK)


# Catalogues


def test_every_printed_language_but_english_has_a_catalogue():
    assert sorted(file.stem for file in CATALOGUES.iterdir()) == sorted(TRANSLATED)


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_catalogue_translates_every_message_as_it_stands_today_and_nothing_else(language):
    catalogue = [message for message in read_catalogue(language) if message.id]

    assert {message.context: message.id for message in catalogue} == MESSAGES
    assert len(catalogue) == len(MESSAGES)
    assert [message.context for message in catalogue if not message.string or message.fuzzy] == []


@pytest.mark.parametrize("language", TRANSLATED)
def test_a_translation_says_the_same_figures_and_names(language):
    told = {message.context: fields(message.string) for message in read_catalogue(language) if message.id}

    assert told == {context: fields(text) for context, text in MESSAGES.items()}


def test_french_sets_colons_semicolons_percent_and_euro_off_by_a_space_that_does_not_break():
    texts = [message.string for message in read_catalogue("fr") if message.id and "pattern" not in message.context]

    assert [text for text in texts for sign in ":;!?%€" if f" {sign}" in text] == []
    assert [text for text in texts for sign in ":;!?%€" if sign in text.replace(NO_BREAK + sign, "")] == []
    assert [text for text in texts if "'" in text] == []


def test_a_message_without_translation_is_refused_by_name():
    with printing_in("fr"), pytest.raises(Untranslated, match=r"fr\.po .*'text new': 'A new text'"):
        _ = Messages({"new": "A new text"}, "text")["new"]


# Figures


@pytest.mark.parametrize(
    ("cents", "currency", "printed"),
    [
        (123456, "EUR", "1~234,56_€"),
        (-446, "EUR", f"{MINUS}4,46_€"),
        (123456789012, "EUR", "1~234~567~890,12_€"),
        (0, "EUR", "0,00_€"),
        (446, "CHF", "4,46_CHF"),
        (1235, "JPY", "1~235_JPY"),
        (1234567, "KWD", "1~234,567_KWD"),
    ],
)
def test_a_french_amount_has_a_decimal_comma_and_its_symbol_behind(french, cents, currency, printed):
    assert formatting.format_money(cents, currency) == spaced(printed)


@settings(max_examples=100)
@given(st.integers(-(10**12), 10**12))
def test_no_cent_is_lost_in_french_print(cents):
    with printing_in("fr"):
        printed = formatting.format_money(cents, "EUR")
    plain = printed.replace(MINUS, "-").replace(NARROW, "").replace(f"{NO_BREAK}€", "").replace(",", ".")
    assert Decimal(plain) * 100 == cents


@pytest.mark.parametrize(
    ("unit_price", "printed"),
    [("0.0444444444444444", "0,04444_€"), ("0.0000284444444444444", "0,0000284_€"), ("0.1", "0,10_€"), ("8", "8_€")],
)
def test_a_french_unit_price_keeps_the_digits_of_the_english_one(french, unit_price, printed):
    assert formatting.format_unit_price(Decimal(unit_price).quantize(Decimal("1e-20")), "EUR") == spaced(printed)


@pytest.mark.parametrize(
    ("duration_s", "printed"),
    [
        (2 * 86400 + 14 * 3600 + 24 * 60 + 34, "2_j 14_h 24_min 34_s"),
        (2 * 86400 + 7 * 3600 + 5, "2_j 7_h 0_min 5_s"),
        (762, "12_min 42_s"),
        (-762, f"{MINUS}12_min 42_s"),
        (0, "0_s"),
    ],
)
def test_a_french_duration_has_spaces_and_no_leading_zeros(french, duration_s, printed):
    assert formatting.format_duration(duration_s) == spaced(printed)


@pytest.mark.parametrize(
    ("volume_bytes", "printed"),
    [(12 * 10**12, "12~000_Go"), (123_456_500_000, "123,457_Go"), (512_000, "0,512_Mo"), (512, "512_o")],
)
def test_a_french_volume_is_in_octets(french, volume_bytes, printed):
    assert formatting.format_volume(Fraction(volume_bytes)) == spaced(printed)


def test_french_units_of_a_price_are_octets_hours_and_seconds(french):
    volumes = [formatting.format_volume_unit(size) for size in (10**9, 10**11, 512)]
    times = [formatting.format_time_unit(seconds) for seconds in (3600, 1, 720 * 3600)]
    assert (volumes, times) == (["Go", spaced("100_Go"), spaced("512_o")], ["h", "s", spaced("720_h")])


def test_french_rates_shares_and_counts_have_a_decimal_comma(french):
    assert [formatting.format_rate(rate) for rate in (200_000, 85_000)] == [spaced("20_%"), spaced("8,5_%")]
    assert formatting.format_share(925, 1000) == spaced("92,5_%")
    assert [formatting.format_quantity(Decimal(count)) for count in ("1250", "2.5")] == [spaced("1~250"), "2,5"]


def test_french_days_are_numeric_alone_and_in_words_within_a_sentence(french):
    first, second = date(2026, 8, 1), date(2026, 8, 2)

    assert formatting.format_day(first) == "01/08/2026"
    assert formatting.format_period(first, second) == "01/08/2026 – 02/08/2026"
    assert [formatting.format_day_in_words(day) for day in (first, second)] == ["1er août 2026", "2 août 2026"]
    assert formatting.format_month("2026-08") == "août 2026"
    midnight = datetime(2026, 7, 31, 22, tzinfo=UTC)
    assert formatting.format_instant(midnight, ZoneInfo("Europe/Paris")) == "01/08/2026 00:00:00"


def test_english_days_are_those_of_iso_8601():
    day = date(2026, 8, 1)

    said = (formatting.format_day(day), formatting.format_day_in_words(day), formatting.format_month("2026-08"))
    assert said == ("2026-08-01", "2026-08-01", "2026-08")
    midnight = datetime(2026, 7, 31, 22, tzinfo=UTC)
    assert formatting.format_instant(midnight, ZoneInfo("Europe/Paris")) == "2026-08-01 00:00:00"


@pytest.mark.parametrize(
    ("quantity", "in_english", "in_french"),
    [("0", False, True), ("1", True, True), ("1.000", True, True), ("1.5", False, True), ("2", False, False),
     ("1E+3", False, False), ("1000000", False, False)],
)  # fmt: skip
def test_below_two_is_one_in_french_and_only_one_is_one_in_english(quantity, in_english, in_french):
    assert formatting.is_singular(Decimal(quantity)) == in_english
    with printing_in("fr"):
        assert formatting.is_singular(Decimal(quantity)) == in_french


def test_countries_have_their_french_names(french):
    assert [formatting.format_country(code) for code in ("DE", "RE", "XX")] == ["Allemagne", "La Réunion", "XX"]


# Documents


@pytest.mark.parametrize(
    ("wanted", "printed", "heading"),
    [("fr", "fr", "Facture"), ("fr-BE", "fr", "Facture"), ("FR", "fr", "Facture"), ("en", "en", "Invoice"),
     ("de", "en", "Invoice"), ("", "en", "Invoice"), ("zz_ZZ", "en", "Invoice")],
)  # fmt: skip
def test_a_document_is_in_the_language_of_the_organisation_or_else_in_english(month, wanted, printed, heading):
    view = month.bill(usage=[{}], language=wanted).view()

    assert (view.language, view.heading) == (printed, heading)
    assert f'<html lang="{printed}">' in render_html(view)


def test_the_documents_of_a_month_are_each_in_their_own_language(month):
    languages = {"orga_1": "fr", "orga_2": "en", "orga_3": "fr"}
    for payer, language in languages.items():
        month.bill(payer, usage=[{"amount_cents": 123456}], language=language)

    assert [(view.language, view.panel.amount) for view in month.views()] == [
        ("fr", spaced("2~962,94_€")), ("en", "€2,962.94"), ("fr", spaced("2~962,94_€")),
    ]  # fmt: skip
    assert formatting.format_money(1, "EUR") == "€0.01"


def test_a_french_invoice_has_what_french_law_wants_on_it(month, read_pages):
    view = month.bill(
        usage=[{"amount_cents": 123456}], language="fr", vat_number="FR83404833048", legal_id="40483304800022",
        vat_note="TVA française, taux normal — art. 278 du CGI",
    ).view()  # fmt: skip
    first, *_, last = (" ".join(page.split()) for page in read_pages(render_pdf(view)))

    for mention in (
        "Facture INV-2026-000007", "SIRET 40483304800022", "SIREN 303265045",
        "N° TVA FR83404833048", "N° TVA FR40303265045", "Émise le 03/11/2026", "Échéance 03/12/2026",
        "Période 01/10/2026 – 31/10/2026", "Opération Prestations de services", "Total HT", "TVA 20 %",
        "À payer au plus tard le 3 décembre 2026.", "pénalités de trois fois le taux d’intérêt légal",
        "indemnité forfaitaire de 40 € pour frais de recouvrement (art. L441-10 et D441-5 du code de commerce)",
        "Pas d’escompte pour paiement anticipé.", "Page 1 sur 3",
    ):  # fmt: skip
        assert mention in first, mention
    assert "DÉSIGNATION TAILLE ET ZONE QUANTITÉ PRIX UNITAIRE HT MONTANT HT" in last
    assert "Page 3 sur 3" in last


def test_a_french_consumer_owes_no_recovery_charge(month):
    view = month.bill(usage=[{}], language="fr", party_kind="consumer").view()

    assert "À payer au plus tard le 3 décembre 2026. Pas d’escompte pour paiement anticipé." in view.terms
    assert "40" not in view.terms.replace("billing@nimbus.example", "")


def test_the_e_invoice_of_a_french_document_is_in_french(month):
    view = month.bill(
        usage=[{"amount_cents": 123456}], prepaid=100, language="fr", vat_category="AE", vat_ppm=0,
        vat_reason="reverse_charge", vat_scheme="reverse_charge", vat_exemption_code="VATEX-EU-AE",
        vat_note="Autoliquidation — art. 283-2 du CGI, art. 196 de la directive 2006/112/CE",
    ).view()  # fmt: skip
    said = view.einvoice

    assert {note.code: note.text for note in said.notes if note.code in ("PMT", "PMD", "AAB")} == {
        "PMT": spaced(
            "Indemnité forfaitaire pour frais de recouvrement en cas de retard de paiement_: 40_€ (article D441-5 du "
            "code de commerce)."
        ),
        "PMD": spaced(
            "Pénalités de retard_: trois fois le taux d’intérêt légal (article L441-10 du code de commerce)."
        ),
        "AAB": "Pas d’escompte pour paiement anticipé.",
    }
    assert [line.name for line in said.lines] == [
        "Applications – s", "Crédits prépayés utilisés", "Crédits prépayés pour la période suivante",
    ]  # fmt: skip
    assert said.vat.exemption.startswith("Autoliquidation")

"""Which VAT an invoice bears: the decision table, row by row, then what is not guessed, then the dated rates."""

from collections import defaultdict
from dataclasses import replace
from datetime import date

import dataframely as dy
import eu_vat_rates_data
import pytest
from stdnum.eu import vat

from billing_pipeline.adapters.vat_rates import read_vat_rates
from billing_pipeline.rules.languages import LANGUAGES
from billing_pipeline.rules.parties import Seller
from billing_pipeline.rules.tax import (
    COUNTRIES,
    EU,
    VAT_RULES,
    TaxUnknown,
    decide_taxes,
    decide_vat,
    find_retaxed,
    rate_at,
)

FRENCH = Seller(name="Nuage", address=("Nantes",), country="FR", vat_number="FR61954506077")
GERMAN = Seller(name="Wolke", address=("Berlin",), country="DE", vat_number="DE136695976")
RATES = read_vat_rates()
ON = date(2026, 11, 3)


def decide(country, postcode="", kind="business", vat_number=None, seller=FRENCH, on=ON):
    return decide_vat(country, postcode, kind, vat_number, seller, RATES, on)


def row(name, customer, *expected):
    return pytest.param(*customer, expected, id=name)


HOME = ("home", "domestic", "S", None, "French VAT, standard rate — article 278 CGI")
OVERSEAS = ("overseas_department", "domestic", "S", None, "French VAT, overseas departments — article 296 CGI")
NOT_APPLICABLE = ("not_applicable", "outside", "O", "VATEX-EU-O", "TVA non applicable — art. 294-1 du CGI")
REVERSED = (
    "reverse_charge", "reverse_charge", "AE", "VATEX-EU-AE",
    "Autoliquidation — art. 283-2 CGI, art. 196 dir. 2006/112/CE",
)  # fmt: skip
OUTSIDE = ("outside_eu", "outside", "O", "VATEX-EU-O", "TVA non applicable — art. 259-1° du CGI")


def oss(place):
    return ("oss", "oss", "S", None, f"VAT of {place}, one-stop shop (OSS)")


#: Customers of a French provider on 3 November 2026: country, postcode, kind, VAT number -> percent, what is said.
TABLE = [
    row("French business", ("FR", "44000", "business", "FR61954506077"), 20, HOME),
    row("French business without a number", ("FR", "44000", "business", None), 20, HOME),
    row("French business, number mistyped", ("FR", "44000", "business", "FR61954506078"), 20, HOME),
    row("French consumer", ("FR", "44000", "consumer", None), 20, HOME),
    row("Corsica", ("FR", "20137", "business", None), 20, HOME),
    row("Monaco", ("MC", "98000", "business", None), 20, HOME),
    row("Monaco as a French address", ("FR", "98000", "consumer", None), 20, HOME),
    row("business in Guadeloupe", ("FR", "97110", "business", "FR61954506077"), 8.5, OVERSEAS),
    row("business in Martinique", ("FR", "97200", "business", None), 8.5, OVERSEAS),
    row("business in Réunion", ("RE", "", "business", None), 8.5, OVERSEAS),
    row("business in Réunion, postcode as on a letter", ("FR", " 97 490 CEDEX 9", "business", None), 8.5, OVERSEAS),
    row("business in Réunion, full-width digits", ("FR", "９７４００", "business", None), 8.5, OVERSEAS),
    row("consumer in Guadeloupe", ("GP", "97110", "consumer", None), 20, HOME),
    row("consumer in Réunion", ("FR", "97400", "consumer", None), 20, HOME),
    row("business in Guyane", ("FR", "97300", "business", None), 0, NOT_APPLICABLE),
    row("business in Mayotte", ("YT", "97600", "business", None), 0, NOT_APPLICABLE),
    row("German business", ("DE", "10115", "business", "DE136695976"), 0, REVERSED),
    row("German business, number with spaces", ("DE", "10115", "business", "de 136.695 976"), 0, REVERSED),
    row("Greek business", ("GR", "10431", "business", "EL094259216"), 0, REVERSED),
    row("Austrian business", ("AT", "6992", "business", "ATU57194903"), 0, REVERSED),
    row("German consumer", ("DE", "10115", "consumer", None), 19, oss("DE")),
    row("Finnish consumer", ("FI", "00100", "consumer", ""), 25.5, oss("FI")),
    row("consumer in Luxembourg", ("LU", "1111", "consumer", None), 17, oss("LU")),
    row("consumer in the Azores", ("PT", "9500-321", "consumer", None), 16, oss("PT-20")),
    row("consumer in Madeira", ("PT", "9000-018", "consumer", None), 22, oss("PT-30")),
    row("consumer in Lisbon", ("PT", "1100-053", "consumer", None), 23, oss("PT")),
    row("Swiss business", ("CH", "1003", "business", "CHE-123.456.788 TVA"), 0, OUTSIDE),
    row("Swiss consumer", ("CH", "1003", "consumer", None), 0, OUTSIDE),
    row("British business", ("GB", "SW1A 1AA", "business", "GB980780684"), 0, OUTSIDE),
    row("American consumer", ("US", "97204", "consumer", None), 0, OUTSIDE),
    row("French Polynesia", ("PF", "98713", "business", None), 0, OUTSIDE),
    row("New Caledonia as a French address", ("FR", "98800", "consumer", None), 0, OUTSIDE),
    row("Saint-Barthélemy by its postcode of Guadeloupe", ("FR", "97133", "business", None), 0, OUTSIDE),
    row("Saint-Martin", ("MF", "97150", "consumer", None), 0, OUTSIDE),
    row("Saint-Pierre-et-Miquelon", ("FR", "97500", "business", None), 0, OUTSIDE),
    row("Canary Islands", ("ES", "35001", "consumer", None), 0, OUTSIDE),
    row("Åland as a Finnish address", ("FI", "22100", "business", "FI20774740"), 0, OUTSIDE),
]


@pytest.mark.parametrize(("country", "postcode", "kind", "vat_number", "expected"), TABLE)
def test_the_decision_table_of_a_french_provider(country, postcode, kind, vat_number, expected):
    percent, (reason, scheme, category, code, note) = expected
    decision = decide(country, postcode, kind, vat_number)

    assert decision.vat_ppm == percent * 10_000
    assert (decision.vat_reason, decision.vat_scheme, decision.vat_category) == (reason, scheme, category)
    assert decision.vat_exemption_code == code
    assert decision.vat_note.startswith(note)


@pytest.mark.parametrize(
    ("customer", "note"),
    [
        (("FR", "44000", "business", None), "TVA française, taux normal — art. 278 du CGI"),
        (("FR", "97110", "business", None), "TVA française, départements d’outre-mer — art. 296 du CGI"),
        (("FR", "97310", "business", None), "TVA non applicable — art. 294-1 du CGI"),
        (("DE", "", "business", "DE136695976"),
         "Autoliquidation — art. 283-2 du CGI, art. 196 de la directive 2006/112/CE"),
        (("RO", "", "consumer", None), "TVA (RO), guichet unique (OSS) — art. 58 de la directive 2006/112/CE"),
        (("US", "", "business", None), "TVA non applicable — art. 259-1° du CGI"),
    ],
)  # fmt: skip
def test_who_reads_french_reads_the_words_of_french_law_alone(customer, note):
    french, english = (decide_vat(*customer, FRENCH, RATES, ON, language) for language in ("fr", "en"))

    assert french.vat_note == note
    assert replace(french, vat_note=english.vat_note) == english


def test_the_vat_of_a_language_that_is_not_printed_is_told_in_english():
    assert decide_vat("FR", "44000", "business", None, FRENCH, RATES, ON, "de") == decide("FR", "44000")


@pytest.mark.parametrize("language", LANGUAGES)
@pytest.mark.parametrize("seller", [FRENCH, GERMAN], ids=["French", "German"])
def test_every_reason_is_told_in_every_language(seller, language):
    customers = (
        (seller.country, "44000", "business", None), ("FR", "97110", "business", None),
        ("FR", "97310", "business", None), ("BE", "", "business", "BE0428759497"), ("RO", "", "consumer", None),
        ("US", "", "business", None),
    )  # fmt: skip
    told = {decide_vat(*customer, seller, RATES, ON, language).vat_reason for customer in customers}

    assert told == set(VAT_RULES) - (set() if seller is FRENCH else {"overseas_department", "not_applicable"})


@pytest.mark.parametrize(
    ("country", "kind", "vat_number", "expected"),
    [
        ("DE", "consumer", None, (190_000, "S", "VAT of DE, standard rate")),
        ("FR", "business", "FR61954506077", (0, "AE", "Reverse charge — art. 196 directive 2006/112/EC")),
        ("FR", "consumer", None, (200_000, "S", "VAT of FR, one-stop shop (OSS) — art. 58 directive 2006/112/EC")),
        ("RE", "business", None, (0, "O", "VAT not applicable — outside the EU, art. 44 and 59 directive 2006/112/EC")),
        ("CH", "consumer", None, (0, "O", "VAT not applicable — outside the EU, art. 44 and 59 directive 2006/112/EC")),
    ],
)
def test_a_provider_of_another_member_state_has_the_same_table_with_its_own_rates(country, kind, vat_number, expected):
    decision = decide(country, "44000" if country == "FR" else "", kind, vat_number, GERMAN)
    assert (decision.vat_ppm, decision.vat_category, decision.vat_note) == expected


@pytest.mark.parametrize(
    ("country", "vat_number", "why"),
    [
        ("DE", None, "without a VAT number; land the number"),
        ("DE", "", "without a VAT number; land the number"),
        ("DE", "DE136695977", "is not a valid VAT number of DE; correct it"),
        ("DE", "136695976", "is not a valid VAT number of DE"),
        ("DE", "ATU57194903", "is not a valid VAT number of DE"),
        ("GR", "GR094259216", "is not a valid VAT number of GR"),
        ("RE", "FR61954506078", "is not a valid VAT number of FR; correct it"),
        ("YT", "DE136695976", "is not a valid VAT number of FR; correct it"),
    ],
)
def test_an_eu_business_without_a_valid_vat_number_of_its_country_is_not_guessed(country, vat_number, why):
    with pytest.raises(TaxUnknown, match=why):
        decide(country, "10115", vat_number=vat_number)


@pytest.mark.parametrize("vat_number", ["DE136695976", "DE136695977"])
def test_a_consumer_abroad_with_a_vat_number_is_not_guessed(vat_number):
    with pytest.raises(TaxUnknown, match=r"a consumer in DE with the VAT number.*as a business, or without the number"):
        decide("DE", "10115", "consumer", vat_number)


@pytest.mark.parametrize("place", ["GF", "YT"])
def test_a_consumer_where_french_vat_does_not_apply_is_not_guessed(place):
    with pytest.raises(TaxUnknown, match=f"a consumer in {place}.*have it confirmed"):
        decide(place, kind="consumer")


def test_an_overseas_consumer_of_a_foreign_provider_is_not_guessed():
    with pytest.raises(TaxUnknown, match="a consumer in RE"):
        decide("RE", kind="consumer", seller=GERMAN)


@pytest.mark.parametrize("postcode", ["", "4400", "Nantes", "97900", "98100"])
def test_a_french_address_without_its_postcode_may_be_overseas_and_is_not_guessed(postcode):
    with pytest.raises(TaxUnknown, match=r"is no French postcode.*correct the address"):
        decide("FR", postcode)


def test_a_regional_rate_that_is_not_in_the_table_is_not_guessed():
    with pytest.raises(TaxUnknown, match="no VAT rate of AT-Mittelberg on 2026-11-03"):
        decide("AT", "6992", "consumer")
    portuguese = Seller("Nuvem", (), "PT", "PT501964843")
    with pytest.raises(TaxUnknown, match="PT-30 is a region of the provider's own country"):
        decide("PT", "9000-018", seller=portuguese)


@pytest.mark.parametrize("country", ["EL", "UK", "fr", "FRA", "", "XX"])
def test_a_country_that_iso_does_not_know_is_a_mistake_not_a_customer_outside_the_eu(country):
    with pytest.raises(TaxUnknown, match="is not a country of ISO 3166-1"):
        decide(country)


@pytest.mark.parametrize("vat_number", ["", "FR61954506078", "DE136695976"])
def test_a_reverse_charge_needs_the_providers_own_number(vat_number):
    nameless = Seller("Nuage", (), "FR", vat_number)
    with pytest.raises(TaxUnknown, match=r"needs both VAT numbers.*set seller\.vat_number"):
        decide("DE", "10115", vat_number="DE136695976", seller=nameless)
    assert decide("FR", "44000", seller=nameless).vat_category == "S"


@pytest.mark.parametrize("country", ["CH", "RE"])
def test_a_provider_outside_the_member_states_is_told_that_the_table_is_not_for_it(country):
    with pytest.raises(TaxUnknown, match=f"the provider's country {country} is no member state"):
        decide("FR", "44000", seller=Seller("Ailleurs", (), country))


def test_a_provider_in_monaco_is_a_french_one():
    assert decide("FR", "44000", seller=Seller("Rocher", (), "MC")) == decide("FR", "44000")


def test_a_rate_holds_from_its_first_day():
    assert decide("FR", "44000", on=date(2014, 1, 1)).vat_ppm == 200_000
    assert decide("FR", "44000", on=date(2013, 12, 31)).vat_ppm == 196_000
    assert decide("FR", "44000", on=date(2000, 4, 1)).vat_ppm == 196_000
    with pytest.raises(
        TaxUnknown, match=r"no VAT rate of FR on 2000-03-31 is known; add it to adapters/vat_rates\.csv"
    ):
        decide("FR", "44000", on=date(2000, 3, 31))


@pytest.mark.parametrize(
    ("country", "before", "first_day", "after"),
    [
        ("DE", 16, date(2021, 1, 1), 19),
        ("IE", 21, date(2021, 3, 1), 23),
        ("PT-20", None, date(2021, 7, 1), 16),
        ("LU", 17, date(2023, 1, 1), 16),
        ("LU", 16, date(2024, 1, 1), 17),
        ("EE", 20, date(2024, 1, 1), 22),
        ("FI", 24, date(2024, 9, 1), 25.5),
        ("SK", 20, date(2025, 1, 1), 23),
        ("EE", 22, date(2025, 7, 1), 24),
        ("RO", 19, date(2025, 8, 1), 21),
    ],
)
def test_every_change_of_a_standard_rate_since_2021(country, before, first_day, after):
    assert rate_at(RATES, country, first_day) == after * 10_000
    if before:
        assert rate_at(RATES, country, date.fromordinal(first_day.toordinal() - 1)) == before * 10_000


def test_the_rates_in_force_are_those_of_an_independent_collection():
    on = date.fromisoformat(eu_vat_rates_data.data_version)
    collected = {country: eu_vat_rates_data.get_rate(country) for country in EU}

    assert {country: rate_at(RATES, country, on) for country in EU} == {
        country: round(rates["standard"] * 10_000) for country, rates in collected.items()
    }
    regional = {"GP": "FR", "MQ": "FR", "RE": "FR", "PT-20": "PT", "PT-30": "PT"}
    assert {rate.country for rate in RATES if rate.kind == "regional"} == set(regional)
    for region, country in regional.items():
        assert rate_at(RATES, region, on) / 10_000 in collected[country]["reduced"]


def test_the_rates_of_a_country_follow_each_other_without_gap_or_overlap():
    of = defaultdict(list)
    for rate in RATES:
        of[rate.country].append(rate)
    assert {rate.country for rate in RATES if rate.kind == "standard"} == EU
    for country, rates in of.items():
        assert [rate.valid_to for rate in rates] == [*(rate.valid_from for rate in rates[1:]), None], country
        assert all(0 < rate.vat_ppm < 300_000 for rate in rates)
    assert all(rate_at(RATES, country, date(2021, 1, 1)) for country in EU)


def test_the_member_states_are_those_whose_numbers_can_be_checked():
    assert {country.upper() for country in vat.MEMBER_STATES} - {"XI"} == EU
    assert EU < COUNTRIES
    assert len(COUNTRIES) == 249


def customers(given):
    return given.organisations(
        {"owner_id": "home"},
        {"owner_id": "berlin", "country": "DE", "vat_number": "DE136695976"},
        {"owner_id": "bucharest", "country": "RO", "kind": "consumer"},
        {"owner_id": "vienna", "country": "AT"},
    )


def test_every_payer_is_decided_or_named_with_the_reason(given):
    decisions = decide_taxes(customers(given), FRENCH, RATES, ON)

    columns = ("payer_id", "vat_ppm", "vat_reason", "vat_scheme", "vat_category", "vat_exemption_code")
    assert decisions.rates.select(columns).rows() == [
        ("berlin", 0, "reverse_charge", "reverse_charge", "AE", "VATEX-EU-AE"),
        ("bucharest", 210_000, "oss", "oss", "S", None),
        ("home", 200_000, "home", "domestic", "S", None),
    ]
    ((payer, reason, detail),) = decisions.unknown.rows()
    assert (payer, reason) == ("vienna", "tax_unknown")
    assert "a business in AT" in detail


def test_a_draft_for_another_date_is_found_where_the_rate_changed_in_between(given):
    july, august = (decide_taxes(customers(given), FRENCH, RATES, on) for on in (date(2025, 7, 31), date(2025, 8, 1)))
    drafts = july.rates

    assert find_retaxed(drafts, july) == []
    assert find_retaxed(drafts, august) == ["bucharest"]


def test_a_month_without_payers_has_nothing_to_decide(given):
    decisions = decide_taxes(given.organisations(), FRENCH, RATES, ON)
    assert decisions.rates.is_empty()
    assert decisions.unknown.is_empty()


def test_a_payer_has_one_rate(given):
    with pytest.raises(dy.exc.ValidationError, match="primary_key"):
        given.vat({"payer_id": "acme"}, {"payer_id": "acme", "vat_ppm": 200_000})

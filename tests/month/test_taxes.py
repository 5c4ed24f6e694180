"""What customers of different places are asked for, on paper; and that an issued invoice keeps it for good."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from provider_home import ProviderHome, at, hourly, organisation, ran

from billing_pipeline.console.running import RunFailed

JULY = "2025-07"
FIRST_RUN, SECOND_RUN = at("2025-08-03"), at("2025-09-20")
#: 10 hours at 10.00, and as much provided for August.
SUBTOTAL = 200_00
PLACES = {
    "berlin": {"country": "DE", "postcode": "10115", "city": "Berlin", "vat_number": "de 136 695 976"},
    "bucharest": {"country": "RO", "postcode": "010011", "city": "București", "kind": "consumer"},
    "cayenne": {"postcode": "97300", "city": "Cayenne"},
    "geneva": {"country": "CH", "postcode": "1204", "city": "Genève"},
    "nantes": {"vat_number": "FR 61 954 506 077", "legal_id": "954 506 077"},
    "saint-denis": {"postcode": "97400", "city": "Saint-Denis"},
    "typo": {"vat_number": "FR61954506078", "legal_id": "954506078"},
}


@dataclass
class Story:
    """July drafted for one date, issued for another, and every customer changed afterwards."""

    home: ProviderHome
    refusal: str = ""
    #: Invoices and the bytes of their documents as issued, and after everything changed.
    issued: list[dict] = field(default_factory=list)
    reread: list[dict] = field(default_factory=list)
    documents: dict[str, bytes] = field(default_factory=dict)
    rerendered: dict[str, bytes] = field(default_factory=dict)


def documents_of(home: ProviderHome) -> dict[str, bytes]:
    """The month's documents as last rendered, by name."""
    folder = home.generation("documents/month_documents", JULY).path
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix in (".html", ".pdf")}


@pytest.fixture(scope="module")
def story(new_home: Callable[..., ProviderHome]) -> Story:
    home = new_home("taxes")
    home.settings["BILLING_SELLER__VAT_NUMBER"] = "FR69091427757"
    home.land("organisations", *(organisation(owner, **place) for owner, place in PLACES.items()))
    home.land("price_tiers", hourly("apps.s", "10.00"))
    started_at, stopped_at = at("2025-07-10"), at("2025-07-10T10:00")
    home.land("runtime_intervals", *(ran(owner, "apps.s", started_at, stopped_at) for owner in PLACES))
    story = Story(home)
    # Dated 31 July the Romanian rate is the old one.
    home.run("close_month", JULY, as_of=FIRST_RUN, issue_date=at("2025-07-31").date())
    with pytest.raises(RunFailed) as stopped:
        home.issue(JULY, as_of=FIRST_RUN)
    story.refusal = str(stopped.value)
    home.bill(JULY, as_of=FIRST_RUN)
    story.issued, story.documents = home.rows("invoices/invoices", JULY), documents_of(home)
    elsewhere = {
        "name": "Renamed", "legal_name": "Renamed SA", "address_line1": "2 rue d'Ailleurs", "postcode": "1000",
        "city": "Bruxelles", "country": "BE", "kind": "consumer", "vat_number": None, "legal_id": None,
    }  # fmt: skip
    home.land("organisations", *(organisation(o, **elsewhere) for o in PLACES), known_at=at("2025-09-10"))
    home.bill(JULY, as_of=SECOND_RUN)
    story.reread, story.rerendered = home.rows("invoices/invoices", JULY), documents_of(home)
    return story


def test_a_month_drafted_for_one_date_is_not_issued_on_another_on_which_other_rates_hold(story):
    assert "1 drafts of 2025-07, e.g. of bucharest, bear another VAT than is due on 2025-08-03" in story.refusal
    assert "billing bill 2025-07 --issue-date 2025-08-03" in story.refusal


@pytest.mark.parametrize(
    ("payer", "vat_cents", "reason", "scheme", "category", "code"),
    [
        ("berlin", 0, "reverse_charge", "reverse_charge", "AE", "VATEX-EU-AE"),
        ("bucharest", 42_00, "oss", "oss", "S", None),
        ("cayenne", 0, "not_applicable", "outside", "O", "VATEX-EU-O"),
        ("geneva", 0, "outside_eu", "outside", "O", "VATEX-EU-O"),
        ("nantes", 40_00, "home", "domestic", "S", None),
        ("saint-denis", 17_00, "overseas_department", "domestic", "S", None),
        ("typo", 40_00, "home", "domestic", "S", None),
    ],
)
def test_every_invoice_says_what_it_bears_and_why(story, payer, vat_cents, reason, scheme, category, code):
    (invoice,) = [row for row in story.issued if row["payer_id"] == payer]

    assert (invoice["subtotal_cents"], invoice["vat_cents"]) == (SUBTOTAL, vat_cents)
    assert (invoice["vat_reason"], invoice["vat_scheme"]) == (reason, scheme)
    assert (invoice["vat_category"], invoice["vat_exemption_code"]) == (category, code)


def test_a_reverse_charge_invoice_prints_its_wording_and_both_vat_numbers(story):
    (number,) = [row["number"] for row in story.issued if row["payer_id"] == "berlin"]
    text = " ".join(story.home.printed(number).split())

    assert "Autoliquidation — art. 283-2 CGI, art. 196 dir. 2006/112/CE (reverse charge)" in text
    assert "VAT FR69091427757" in text
    assert "VAT DE136695976" in text


@pytest.mark.parametrize(
    ("payer", "printed"),
    [
        ("bucharest", "VAT 21 % VAT of RO, one-stop shop (OSS) — art. 58 directive 2006/112/EC €42.00"),
        ("cayenne", "VAT 0 % TVA non applicable — art. 294-1 du CGI (VAT not applicable) €0.00"),
        ("geneva", "VAT 0 % TVA non applicable — art. 259-1° du CGI (VAT not applicable) €0.00"),
        ("saint-denis", "VAT 8.5 % French VAT, overseas departments — article 296 CGI €17.00"),
    ],
)
def test_the_rate_is_printed_with_its_reason(story, payer, printed):
    (number,) = [row["number"] for row in story.issued if row["payer_id"] == payer]
    assert printed in " ".join(story.home.printed(number).split())


def test_numbers_of_registration_are_kept_normalised_and_wrong_ones_flagged(story):
    issued = {row["payer_id"]: (row["vat_number"], row["legal_id"]) for row in story.issued}
    assert issued["nantes"] == ("FR61954506077", "954506077")
    assert issued["typo"] == ("FR61954506078", "954506078")


def test_wrong_numbers_of_registration_are_flagged_where_they_change_no_tax(new_home):
    home = new_home("flagged")
    home.land("organisations", organisation("typo", **PLACES["typo"]), organisation("nantes", **PLACES["nantes"]))
    home.land("price_tiers", hourly("apps.s", "10.00"))
    home.land("runtime_intervals", ran("typo", "apps.s", at("2025-07-10"), at("2025-07-11")))
    home.draft(JULY)

    flags = {(row["owner_id"], row["reason"]) for row in home.rows("usage/flags", JULY)}
    assert flags == {("typo", "vat_number_invalid"), ("typo", "legal_id_invalid")}
    assert home.reasons(JULY) == {}


def test_an_issued_invoice_keeps_party_and_tax_whatever_the_organisation_becomes(story):
    drafts = {row["payer_id"]: row for row in story.home.rows("invoices/drafts", JULY)}

    # The change has arrived: July's drafts bear it. What was issued does not.
    assert {row["name"] for row in drafts.values()} == {"Renamed"}
    assert {row["vat_reason"] for row in drafts.values()} == {"oss"}
    assert story.reread == story.issued
    assert story.rerendered == story.documents
    assert len(story.documents) == 2 * len(PLACES)

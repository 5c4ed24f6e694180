"""What customers of different places are asked for, on paper; and that an issued invoice keeps it for good."""

from collections.abc import Callable
from dataclasses import dataclass, field

import pytest
from provider_home import ProviderHome, at, hourly, organisation, ran

from billing_pipeline.console.running import RunFailed

JULY = "2025-07"
#: 10 hours at 10.00, and as much provided for August.
SUBTOTAL = 200_00
PLACES = {
    "berlin": {
        "country": "DE",
        "postcode": "10115",
        "city": "Berlin",
        "vat_number": "de 136 695 976",
        "language": "de",
    },
    "bucharest": {"country": "RO", "postcode": "010011", "city": "București", "kind": "consumer"},
    "nantes": {"vat_number": "FR61954506078", "legal_id": "954 506 077"},
}
ELSEWHERE = {
    "name": "Renamed", "legal_name": "Renamed SA", "address_line1": "2 rue d'Ailleurs", "postcode": "1000",
    "city": "Bruxelles", "country": "BE", "kind": "consumer", "vat_number": None, "legal_id": None,
    "language": "fr",
}  # fmt: skip


@dataclass
class Story:
    """July drafted for one date, issued on another, and every customer changed afterwards."""

    home: ProviderHome
    refusal: str = ""
    #: Invoices and the bytes of their documents as issued, and after everything changed.
    issued: dict[str, dict] = field(default_factory=dict)
    reread: dict[str, dict] = field(default_factory=dict)
    documents: dict[str, bytes] = field(default_factory=dict)
    rerendered: dict[str, bytes] = field(default_factory=dict)


def invoices_of(home: ProviderHome) -> dict[str, dict]:
    return {row["payer_id"]: row for row in home.rows("invoices/invoices", JULY)}


def flags_of(home: ProviderHome, owner: str) -> list[str]:
    return [row["reason"] for row in home.rows("usage/flags", JULY, feed="organisations", owner_id=owner)]


def documents_of(home: ProviderHome) -> dict[str, bytes]:
    """The month's documents as last rendered, by name."""
    folder = home.generation("documents/month_documents", JULY).path
    return {file.name: file.read_bytes() for file in folder.iterdir() if file.suffix in (".html", ".pdf", ".xml")}


@pytest.fixture(scope="module")
def story(new_home: Callable[..., ProviderHome]) -> Story:
    home = new_home("taxes")
    home.settings["BILLING_SELLER__VAT_NUMBER"] = "FR69091427757"
    home.land("organisations", *(organisation(owner, **place) for owner, place in PLACES.items()))
    home.land("price_tiers", hourly("apps.s", "10.00"))
    started_at, stopped_at = at("2025-07-10"), at("2025-07-10T10:00")
    home.land("runtime_intervals", *(ran(owner, "apps.s", started_at, stopped_at) for owner in PLACES))
    story = Story(home)
    # Until 31 July Romania charges 19 %; invoices are dated 3 August.
    home.run("close_month", JULY, issue_date=at("2025-07-31").date())
    with pytest.raises(RunFailed) as stopped:
        home.issue(JULY)
    story.refusal = str(stopped.value)
    home.redo(JULY, "credits", "invoices")
    home.print(JULY)
    story.issued, story.documents = invoices_of(home), documents_of(home)
    home.land("organisations", *(organisation(owner, **ELSEWHERE) for owner in PLACES), known_at=at("2025-08-02"))
    home.redo(JULY, "accounts", "credits", "invoices")
    home.print(JULY)
    story.reread, story.rerendered = invoices_of(home), documents_of(home)
    return story


def test_a_month_drafted_for_one_date_is_not_issued_on_another_on_which_other_rates_hold(story):
    assert "1 drafts of 2025-07, e.g. of bucharest, bear another VAT than is due on 2025-08-03" in story.refusal
    assert "billing bill 2025-07 --issue-date 2025-08-03" in story.refusal


@pytest.mark.parametrize(
    ("payer", "vat_cents", "reason", "scheme", "category", "code"),
    [
        ("berlin", 0, "reverse_charge", "reverse_charge", "AE", "VATEX-EU-AE"),
        ("bucharest", 42_00, "oss", "oss", "S", None),
        ("nantes", 40_00, "home", "domestic", "S", None),
    ],
)
def test_every_invoice_says_what_it_bears_and_why(story, payer, vat_cents, reason, scheme, category, code):
    invoice = story.issued[payer]

    assert (invoice["subtotal_cents"], invoice["vat_cents"]) == (SUBTOTAL, vat_cents)
    assert (invoice["vat_reason"], invoice["vat_scheme"]) == (reason, scheme)
    assert (invoice["vat_category"], invoice["vat_exemption_code"]) == (category, code)


@pytest.mark.parametrize(
    ("payer", "printed"),
    [
        ("berlin", "VAT 0 % Autoliquidation — art. 283-2 CGI, art. 196 dir. 2006/112/CE (reverse charge) €0.00"),
        ("berlin", "VAT FR69091427757"),
        ("berlin", "VAT DE136695976"),
        ("bucharest", "VAT 21 % VAT of RO, one-stop shop (OSS) — art. 58 directive 2006/112/EC €42.00"),
        ("nantes", "VAT 20 % French VAT, standard rate — article 278 CGI €40.00"),
    ],
)
def test_an_invoice_prints_rate_and_wording_and_a_reverse_charge_both_vat_numbers(story, payer, printed):
    assert printed in " ".join(story.home.printed(story.issued[payer]["number"]).split())


def test_numbers_of_registration_are_kept_as_their_register_writes_them(story):
    assert story.issued["berlin"]["vat_number"] == "DE136695976"
    assert story.issued["nantes"]["legal_id"] == "954506077"


def test_a_wrong_vat_number_that_changes_no_tax_is_flagged_and_billed(story):
    assert flags_of(story.home, "nantes") == ["vat_number_invalid"]
    assert story.home.reasons(JULY) == {}


def test_who_reads_a_language_that_is_not_printed_is_flagged_and_reads_english(story):
    assert flags_of(story.home, "berlin") == ["language_unknown"]
    assert story.issued["berlin"]["language"] == "de"
    assert "Amount to pay €200.00" in " ".join(story.home.printed(story.issued["berlin"]["number"]).split())


def test_an_issued_invoice_keeps_party_language_and_tax_whatever_the_organisation_becomes(story):
    drafts = story.home.rows("invoices/drafts", JULY)

    # The change has arrived: July's drafts bear it. What was issued does not.
    assert {(row["name"], row["language"], row["vat_reason"]) for row in drafts} == {("Renamed", "fr", "oss")}
    assert {row["vat_note"] for row in drafts} == {
        "TVA (BE), guichet unique (OSS) — art. 58 de la directive 2006/112/CE"
    }
    assert story.reread == story.issued
    assert story.rerendered == story.documents
    assert len(story.documents) == 3 * len(PLACES)

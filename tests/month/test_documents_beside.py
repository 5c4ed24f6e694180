"""What is invoiced beside the month: services on invoices of their own, and prepaid credits that are sold."""

from collections.abc import Callable
from dataclasses import dataclass

import einvoice_rules
import polars as pl
import pytest
from beside_home import AUDIT, FEBRUARY, JANUARY
from provider_home import ProviderHome, at, hourly

from billing_pipeline.defs.specific import number_beside
from billing_pipeline.rules.period import Month


@dataclass
class Story:
    """The home, and exit code and output of what was called."""

    home: ProviderHome
    printed: dict[str, tuple[int, str]]


@pytest.fixture(scope="module")
def story(beside: ProviderHome, new_home: Callable[..., ProviderHome]) -> Story:
    """Who was parked while it ordered something is released."""
    home = new_home("released-beside", of=beside)
    top_up = home.row("invoices/specific_invoices", JANUARY, reference="shop/top-up")["number"]
    home.land("price_tiers", hourly("apps.unpriced", "1.00"), known_at=at("2026-03-10"))
    for name, *words in (
        ("release", "release", "lost", JANUARY),
        ("verify", "verify"),
        ("status", "status", JANUARY),
        ("explain", "explain", top_up),
        ("vat", "explain", top_up, "--figure", "vat"),
    ):
        home.keep(name, *words)
    return Story(home, home.said)


def test_they_take_the_numbers_after_the_months_invoices(story):
    home = story.home
    monthly = [row["number"] for row in home.rows("invoices/invoices", JANUARY)]
    beside = home.rows("invoices/specific_invoices", JANUARY)
    assert [(row["number"], row["kind"], row["reference"]) for row in beside] == [
        ("INV-2026-000004", "invoice", "support/audit"),
        ("INV-2026-000005", "credits", "shop/top-up"),
        ("INV-2026-000006", "credits", "shop/credit"),
        ("INV-2026-000012", "invoice", "shop/advice"),
    ]
    assert monthly[:3] == ["INV-2026-000001", "INV-2026-000002", "INV-2026-000003"]


def test_numbering_them_again_gives_the_same_numbers(story):
    again = number_beside(story.home.billing, Month.parse(JANUARY))
    assert again.equals(story.home.generation("invoices/specific_invoices", JANUARY).read())


def test_they_are_no_part_of_the_months_fees_credits_or_estimate(story):
    statement = story.home.row("credits/credit_statements", JANUARY, payer_id="buyer")
    assert (statement["fees_cents"], statement["refill_cents"], statement["pending_cents"]) == (24_00, 24_00, 0)
    assert [row["slug"] for row in story.home.rows("invoices/invoice_lines", JANUARY, payer_id="buyer")] == ["apps.s"]


def test_vat_is_on_the_service_and_on_the_credits_that_are_sold(story):
    beside = story.home.generation("invoices/specific_invoices", JANUARY).read()
    asked = beside.select("reference", "fees_cents", "used_credits_cents", "vat_cents", "payable_cents")
    assert asked.rows()[:2] == [("support/audit", 50_00, 0, 10_00, 60_00), ("shop/top-up", 0, 100_00, 20_00, 120_00)]


def test_a_top_up_counts_from_the_first_month_that_knows_it_paid(story):
    home = story.home
    before, after = (home.row("credits/credit_statements", month, payer_id="buyer") for month in (JANUARY, FEBRUARY))
    assert (before["prepaid_before_cents"], after["prepaid_before_cents"], after["pending_cents"]) == (0, 124_00, 0)
    arrived = home.rows("credits/credit_movements", FEBRUARY, payer_id="buyer")
    assert [(row["kind"], row["grant_id"], row["amount_cents"]) for row in arrived] == [
        ("settled", JANUARY, 24_00),
        ("topped_up", "shop/top-up", 100_00),
    ]


def test_a_top_up_that_nobody_pays_is_no_credit_and_is_given_up_when_it_is_written_off(story):
    home = story.home
    lives = [home.row("invoices/lifetimes", month, payer_id="debtor") for month in (JANUARY, FEBRUARY)]
    told = ("prepaid_cents", "pending_cents", "pending_top_ups_cents", "given_up_cents", "subtotal_cents")
    assert [[life[name] for name in told] for life in lives] == [[0, 0, 30_00, 0, 30_00], [0, 0, 0, 30_00, 30_00]]


def test_the_same_reference_is_invoiced_once(story):
    invoiced = [row["reference"] for row in story.home.rows("invoices/specific_invoices", FEBRUARY)]
    assert invoiced == ["shop/review"]
    assert story.home.row("invoices/flags", FEBRUARY, reason="ref_duplicate")["detail"] == (
        "shop/top-up was invoiced as INV-2026-000005 with 2026-01; it is not invoiced again"
    )


def test_the_document_of_a_parked_organisation_waits_and_is_released_with_it(story):
    code, output = story.printed["release"]
    assert code == 0, output
    assert "INV-2026-000012 of lost for 2026-01 asks for €12.00." in output
    assert "Advice" in story.home.printed("INV-2026-000012")


def test_the_paper_is_one_page_without_a_credit_statement(story):
    text = story.home.printed("INV-2026-000005")
    assert [said in text for said in ("Prepaid credits", "€100.00", "€20.00", "€120.00", "shop/top-up")] == [True] * 5
    assert "Credit statement" not in text


def test_receivables_revenue_and_advances_are_booked(story):
    entries = pl.concat(story.home.generation("exports/journal", month).read() for month in (JANUARY, FEBRUARY))

    def booked(number: str, kind: str = "invoice") -> dict[str, int]:
        own = entries.filter(piece=number, kind=kind)
        return dict(own.select(pl.col("account"), pl.col("debit_cents") - pl.col("credit_cents")).iter_rows())

    assert booked("INV-2026-000004") == {"411000": 60_00, "706000": -50_00, "445740": -10_00}
    assert booked("INV-2026-000005") == {"411000": 120_00, "419100": -100_00, "445740": -20_00}
    unpaid = story.home.row("invoices/specific_invoices", JANUARY, reference="shop/credit")["number"]
    assert booked(unpaid) == {"411000": 36_00, "419100": -30_00, "445740": -6_00}
    assert booked(unpaid, "write_off") == {"411000": -36_00, "419100": 30_00, "445740": 6_00}
    paid = entries.filter(payment_id=f"buyer-buyer/{JANUARY}-20260211", role="receivable")
    assert paid["invoice_number"].to_list() == ["INV-2026-000001"]


def test_what_was_issued_is_verified_and_explained(story):
    printed = story.printed
    assert {name: code for name, (code, _) in printed.items()} == dict.fromkeys(printed, 0), printed
    assert "subtotal + VAT" in printed["explain"][1]
    assert "one_shots" in printed["explain"][1]
    assert "20 % (" in printed["vat"][1]


def test_a_charge_that_is_entered_twice_lands_once(story):
    landing = story.home.folder / "landing" / "one_shots"
    assert len(list(landing.glob("*/support-*.jsonl"))) == 1
    assert story.printed["entered again"][1].startswith("ref_duplicate: support/audit landed before")
    event = story.home.generation("usage/one_shots", JANUARY).read("events").filter(event_id="audit")
    assert event["author"].to_list() == ["Ada"]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (("--price", "51.00", "--specific"), "support/audit is another charge already (unit_price differ)"),
        (("--reference", "a b", "--specific"), "event_id 'a b' is not 1 to 128 printable ASCII characters"),
        (("--price", "-1"), "unit_price '-1' is not an amount"),
        (("--author", " "), "author ' ' is not who enters it"),
        (("--reference", "next", "--date", "2026-03-05"), "before it is performed"),
        (("--reference", "late", "--specific"), "2026-01 is issued, so nothing of it is invoiced on its own any more"),
    ],
)
def test_what_could_not_be_billed_is_not_landed(story, change, told):
    refused = story.home.command(*AUDIT, *change, "--at", "2026-03-04")
    assert refused.exit_code == 1
    assert told in refused.output


@einvoice_rules.needs_rule_books
def test_their_e_invoices_pass_the_rule_books(story):
    found = einvoice_rules.faults_in(story.home.folder / "documents")

    assert {number.split()[0] for number in found} == {"380", "386"}
    assert {number: faults for number, faults in found.items() if faults} == {}

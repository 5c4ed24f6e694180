"""Customers that are invoiced by the week: interim invoices while January runs, and its invoices for the rest."""

import re
from collections.abc import Callable
from dataclasses import dataclass, field

import einvoice_rules
import polars as pl
import pytest
from click.testing import Result
from provider_home import ProviderHome, at, grant, hourly, organisation, payment, ran

from billing_pipeline.defs.interim import number_interims
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.interim import InterimDrafts, InterimLines

JANUARY = "2026-01"
WEEKLY = ("debtor", "payer", "quitter", "wrong")
#: Parked while the month runs, after its first interim invoice.
LOST = "lost"
WHO = ("--reason", "by mistake", "--author", "Ada")


@dataclass
class Story:
    """One pays its interim invoice and has a coupon, one pays nothing, that of one is cancelled, that of one written
    off while January runs, one is parked."""

    home: ProviderHome
    printed: dict[str, Result] = field(default_factory=dict)

    def run(self, name: str, *words: str) -> None:
        self.printed[name] = self.home.command(*words)

    def ask(self, day: str, name: str) -> None:
        self.run(name, "interim", JANUARY, "--as-of", f"{day}T06:00:00Z")


@pytest.fixture(scope="module")
def story(new_home: Callable[..., ProviderHome]) -> Story:
    home = new_home("interim")
    home.settings |= {"BILLING_SELLER__ADDRESS": '["44000 Nantes"]', "BILLING_SELLER__VAT_NUMBER": "FR40303265045"}
    story = Story(home)
    home.land(
        "organisations",
        *(organisation(who, billing_period="week") for who in (*WEEKLY, LOST)),
        organisation("monthly"),
    )
    home.land("price_tiers", hourly("apps.s", "0.10"))
    home.land("credit_grants", grant("payer", "WELCOME", "5.00"))
    home.land(
        "runtime_intervals",
        *(ran(who, "apps.s", at("2026-01-01"), None) for who in (*WEEKLY, LOST, "monthly")),
        ran(LOST, "apps.unpriced", at("2026-01-13"), at("2026-01-14")),
    )
    # Nobody asked on the 5th, so that the first two weeks are one period.
    story.ask("2026-01-12", "ask")
    story.ask("2026-01-12", "ask again")
    story.run("cancel", "cancel", "INV-2026-000005", *WHO)
    gone = ("--reason", "gone", "--author", "Ada", "--at")
    story.run("give up", "state", "INV-2026-000004", "WONTPAY", *gone, "2026-01-15T00:00:00Z")
    home.land("payments", payment("payer", "INV-2026-000003", "25.68", at("2026-01-15")))
    story.run("status of the running month", "status", JANUARY)
    home.draft(JANUARY)
    story.ask("2026-01-19", "ask for the third week")
    story.run("issue what knows nothing of it", "issue", JANUARY)
    story.run("ask for the month after", "interim", "2026-02", "--as-of", "2026-02-10")
    home.redo(JANUARY, "credits", "invoices", "exports")
    home.print(JANUARY)
    story.run("write off", "state", "INV-2026-000001", "WONTPAY", *gone, "2026-02-03T00:00:00Z")
    home.redo(JANUARY, "exports")
    home.land("price_tiers", hourly("apps.unpriced", "1.00"), known_at=at("2026-02-10"))
    for name, *words in (
        ("ask for what is issued", "interim", JANUARY, "--as-of", "2026-02-04"),
        ("cancel what counted", "cancel", "INV-2026-000006", *WHO),
        ("refund what was used", "refund", "INV-2026-000003", *WHO),
        ("verify", "verify"),
        ("status", "status", JANUARY),
        ("explain", "explain", "INV-2026-000007"),
        ("explain earlier", "explain", "INV-2026-000007", "--figure", "earlier"),
        ("explain line", "explain", "INV-2026-000007", "1"),
        ("explain b", "explain", f"payer/{JANUARY}", "--figure", "b"),
        ("explain f", "explain", f"payer/{JANUARY}", "--figure", "f"),
        ("state", "state", "INV-2026-000005"),
    ):
        story.run(name, *words)
    return story


def test_weeks_that_were_left_out_are_asked_for_with_the_next_one(story):
    asked = story.home.generation("interim/invoices", JANUARY).read()
    amounts = ("fees_to_date_cents", "free_used_cents", "earlier_cents", "subtotal_cents", "payable_cents")
    assert asked.select("number", "payer_id", "reference", *amounts).rows() == [
        ("INV-2026-000001", "debtor", "2026-01-01..2026-01-11", 26_40, 0, 0, 26_40, 31_68),
        ("INV-2026-000002", "lost", "2026-01-01..2026-01-11", 26_40, 0, 0, 26_40, 31_68),
        ("INV-2026-000003", "payer", "2026-01-01..2026-01-11", 26_40, -5_00, 0, 21_40, 25_68),
        ("INV-2026-000004", "quitter", "2026-01-01..2026-01-11", 26_40, 0, 0, 26_40, 31_68),
        ("INV-2026-000005", "wrong", "2026-01-01..2026-01-11", 26_40, 0, 0, 26_40, 31_68),
        ("INV-2026-000006", "debtor", "2026-01-12..2026-01-18", 43_20, 0, -26_40, 16_80, 20_16),
        ("INV-2026-000007", "payer", "2026-01-12..2026-01-18", 43_20, -5_00, -21_40, 16_80, 20_16),
        # What was written off or cancelled is asked for again.
        ("INV-2026-000008", "quitter", "2026-01-12..2026-01-18", 43_20, 0, 0, 43_20, 51_84),
        ("INV-2026-000009", "wrong", "2026-01-12..2026-01-18", 43_20, 0, 0, 43_20, 51_84),
    ]
    assert [str(day) for day in asked["issued_on"].unique().sort()] == ["2026-01-12", "2026-01-19"]


def test_numbering_them_again_gives_the_same_numbers(story):
    drafts, lines, issued = (
        story.home.generation(f"interim/{table}", JANUARY).read() for table in ("drafts", "lines", "invoices")
    )
    again = number_interims(
        story.home.billing,
        Month.parse(JANUARY),
        InterimDrafts.validate(drafts, cast=True),
        InterimLines.validate(lines, cast=True),
    )
    assert again.equals(issued)


def test_who_is_parked_is_asked_for_nothing_and_named(story):
    asked = story.printed["ask for the third week"].output
    assert "lost is asked for nothing: price_missing (apps.unpriced in par" in asked
    assert story.home.generation("interim/drafts", JANUARY).read("parked")["payer_id"].to_list() == [LOST]


def test_asking_again_asks_for_nothing(story):
    assert story.printed["ask again"].exit_code == 0
    assert "No period of 2026-01 is left to ask for" in story.printed["ask again"].output


def test_the_invoice_of_the_month_asks_for_the_rest_whether_or_not_they_are_paid(story):
    told = ("fees_cents", "free_used_cents", "prepaid_before_cents", "prepaid_used_cents", "refill_cents")
    statements = {
        who: story.home.row("credits/credit_statements", JANUARY, payer_id=who) for who in (*WEEKLY, "monthly")
    }
    assert {who: tuple(statement[name] for name in told) for who, statement in statements.items()} == {
        "debtor": (74_40, 0, 43_20, -43_20, 0),
        "payer": (74_40, -5_00, 38_20, -38_20, 0),
        "quitter": (74_40, 0, 43_20, -43_20, 0),
        "wrong": (74_40, 0, 43_20, -43_20, 0),
        "monthly": (74_40, 0, 0, 0, 74_40),
    }
    invoices = {who: story.home.row("invoices/invoices", JANUARY, payer_id=who) for who in WEEKLY}
    assert {invoice["subtotal_cents"] for invoice in invoices.values()} == {31_20}


def test_interim_invoices_arrive_with_their_month_or_are_given_up(story):
    movements = (
        story.home.generation("credits/credit_movements", JANUARY)
        .read()
        .filter(pl.col("grant_id").str.contains(".", literal=True), pl.col("payer_id") != LOST)
    )
    assert movements.select("payer_id", pl.col("kind").cast(pl.String), "amount_cents").sort(
        "payer_id", "amount_cents"
    ).rows() == [
        ("debtor", "topped_up", 16_80),
        ("debtor", "topped_up", 26_40),
        ("payer", "topped_up", 16_80),
        ("payer", "topped_up", 21_40),
        ("quitter", "top_up_given_up", 26_40),
        ("quitter", "topped_up", 43_20),
        ("wrong", "top_up_given_up", 26_40),
        ("wrong", "topped_up", 43_20),
    ]


def test_a_cancelled_one_is_credited_with_the_invoices_of_its_month(story):
    note = story.home.row("invoices/credit_notes", JANUARY)
    told = ("payer_id", "refers_to", "refill_cancelled_cents", "vat_cents", "payable_cents")
    assert tuple(note[name] for name in told) == ("wrong", "INV-2026-000005", 26_40, 5_28, 31_68)
    assert "CANCELED  cancelled by CN-2026-000001" in story.printed["state"].output


def test_drafts_that_know_nothing_of_an_interim_invoice_are_not_issued(story):
    refused = story.printed["issue what knows nothing of it"]
    assert refused.exit_code == 1
    assert "were settled on a state of 2025-12, or on interim invoices, that changed since" in refused.output


@pytest.mark.parametrize(
    ("what", "why"),
    [
        ("ask for what is issued", "2026-01 is issued, so that its invoices have asked for all of it"),
        ("ask for the month after", "interim invoices of 2026-02 follow 2026-01, which is not issued yet"),
        ("cancel what counted", "INV-2026-000006 was counted by the invoice of 2026-01"),
        ("refund what was used", "nothing that INV-2026-000003 sold is left"),
    ],
)
def test_what_comes_too_late_or_too_early_is_refused(story, what, why):
    assert story.printed[what].exit_code == 1
    assert why in story.printed[what].output


def test_they_are_advances_until_the_month_is_invoiced_and_a_loss_when_written_off_after_that(story):
    entries = story.home.generation("exports/journal", JANUARY).read()

    def booked(piece: str, kind: str) -> dict[str, int]:
        own = entries.filter(piece=piece, kind=kind)
        return dict(
            own.select("account", pl.col("debit_cents") - pl.col("credit_cents")).group_by("account").sum().iter_rows()
        )

    number = story.home.row("invoices/invoices", JANUARY, payer_id="debtor")["number"]
    assert booked("INV-2026-000001", "invoice") == {"411000": 31_68, "419100": -26_40, "445740": -5_28}
    assert booked(number, "invoice") == {"411000": 37_44, "419100": 43_20, "706000": -74_40, "445740": -6_24}
    assert booked("INV-2026-000001", "write_off") == {"411000": -31_68, "445740": 5_28, "654000": 26_40}
    # What was written off while the month ran paid for nothing.
    assert booked("INV-2026-000004", "write_off") == {"411000": -31_68, "445740": 5_28, "419100": 26_40}
    advances = entries.filter(pl.col("payer_id").is_in(WEEKLY), role="advances").group_by("payer_id")
    assert advances.agg(pl.col("debit_cents").sum() - pl.col("credit_cents").sum())["debit_cents"].to_list() == [0] * 4


@pytest.mark.slow
def test_a_month_that_began_with_interim_invoices_is_rebuilt_byte_for_byte(story):
    rebuilt = story.home.command("rebuild", JANUARY).output

    assert " 0 differences" in rebuilt, rebuilt


def test_a_home_with_interim_invoices_is_verified(story):
    assert story.printed["verify"].exit_code == 0, story.printed["verify"].output


def test_it_is_explained_down_to_raw_rows(story):
    assert "fees + free + prepaid + earlier + pending" in story.printed["explain"].output
    assert "INV-2026-000003  2026-01-01..2026-01-11  −€21.40" in story.printed["explain earlier"].output
    assert "1,555,200 s in all" in story.printed["explain line"].output
    assert "interim invoice of 2026-01-12..2026-01-18" in story.printed["explain b"].output
    assert "invoiced by the day or week while the month runs" in story.printed["explain f"].output


def test_the_paper_says_what_is_lacking_of_the_month_to_date(story):
    text = story.home.printed("INV-2026-000007")
    said = (
        "Interim invoice",
        "€43.20",
        "Earlier interim invoices of the month −€21.40",
        "€16.80",
        "€20.16",
        "apps of payer",
    )
    assert [words for words in said if words not in text] == []
    monthly = story.home.printed(story.home.row("invoices/invoices", JANUARY, payer_id="payer")["number"])
    monthly = monthly.replace("\r\n", " ")
    assert "the next period is invoiced while it runs" in monthly
    assert "€38.20 of them were asked for while the month ran: INV-2026-000003, INV-2026-000007." in monthly


# January is computed once more for it.
@pytest.mark.slow
def test_who_is_released_is_asked_for_the_rest_too_and_february_goes_on_from_that(story):
    home = story.home
    printed = home.command("release", LOST, JANUARY)
    assert printed.exit_code == 0, printed.output
    assert re.findall(r"(INV-\S+) of lost for 2026-01 asks for", printed.output) == ["INV-2026-000015"]
    printed = home.command("verify")
    assert printed.exit_code == 0, printed.output
    released = home.row("invoices/invoices", JANUARY, payer_id=LOST)
    # 24.00 of what had no price beside 74.40 of apps.
    assert (released["fees_cents"], released["used_credits_cents"], released["subtotal_cents"]) == (
        98_40,
        -26_40,
        72_00,
    )

    paid = payment("debtor", "INV-2026-000006", "20.16", at("2026-02-20"))
    home.land("payments", paid)
    home.number("2026-02", "exports")
    statements = home.generation("credits/credit_statements", "2026-02").read()
    assert statements.filter(pl.col("prepaid_before_cents") != 0).is_empty()
    assert home.command("verify").exit_code == 0


@pytest.mark.parametrize(("when", "count"), [("status of the running month", 5), ("status", 9)])
def test_the_status_of_a_month_names_them(story, when, count):
    assert f"Interim invoices: {count}" in story.printed[when].output
    assert "INV-2026-000001  debtor  2026-01-01..2026-01-11  €31.68" in story.printed[when].output


@einvoice_rules.needs_rule_books
def test_their_e_invoices_pass_the_rule_books(story):
    found = einvoice_rules.faults_in(story.home.folder / "documents")

    assert {number.split()[0] for number in found} == {"380", "381", "386"}
    assert {number: faults for number, faults in found.items() if faults} == {}

"""Issued invoices that are cancelled, and prepaid credits that are refunded: what credit notes give back, and after."""

from collections.abc import Callable

import polars as pl
import pytest
from decided_home import CANCELLED, FEBRUARY, JANUARY, MARCH, beside, number_of
from provider_home import ProviderHome, at

from billing_pipeline.books import DecisionKind


class Story:
    """January and February issued, invoices of January cancelled, March issued."""

    def __init__(self, home: ProviderHome) -> None:
        self.home = home
        self.said = {name: output for name, (_, output) in home.said.items()}

    def beside(self, event: str) -> str:
        return beside(self.home, event)

    def note(self, owner: str) -> dict:
        return self.home.row("invoices/credit_notes", MARCH, payer_id=owner)

    def opening(self, owner: str, month: str = MARCH) -> tuple[int, int, int]:
        """a, b and g."""
        row = self.home.row("credits/credit_statements", month, payer_id=owner)
        return row["free_before_cents"], row["prepaid_before_cents"], row["pending_cents"]


@pytest.fixture(scope="module")
def story(decided: ProviderHome, new_home: Callable[..., ProviderHome]) -> Story:
    return Story(new_home("cancelling", of=decided))


def test_a_decision_says_what_follows_and_is_kept_once(story):
    assert story.said["never"] == story.said["never again"]
    assert f"{number_of('never')} is to be cancelled (Ada: billed by mistake" in story.said["never"]
    assert "as of 2026-03-06T00:00:00Z or later issues its credit note" in story.said["never"]
    decisions = [entry for entry in story.home.billing.books.decisions() if entry.kind is not DecisionKind.REISSUE]
    # With what had been issued again: gone's, and the credits that moved's had sold.
    assert len(decisions) == len((*CANCELLED, "closed", "thrifty", "topper", "audit", "more", "gone", "moved"))
    assert story.said["pending"].endswith("CANCEL  billed by mistake (Ada), by a credit note of the next month\n")


def test_what_cannot_be_cancelled_is_refused_with_what_to_do(story):
    assert f"release it first: billing state {number_of('withheld')} PENDING" in story.said["refused"]
    assert "no document is called INV-2026-000099" in story.said["no document"]
    assert "it is cancelled once its credit note is issued" in story.said["withheld again"]


def test_the_credit_note_of_an_unpaid_invoice_is_all_of_it(story):
    invoice = story.home.row("invoices/invoices", JANUARY, payer_id="never")
    note = story.note("never")

    amounts = ("fees_cents", "used_credits_cents", "subtotal_cents", "vat_cents", "payable_cents")
    assert [note[name] for name in amounts] == [invoice[name] for name in amounts] == [7440, 7440, 14880, 2976, 17856]
    assert (note["refers_to"], note["refill_cancelled_cents"], note["prepaid_refunded_cents"]) == (
        invoice["number"], 74_40, 0,
    )  # fmt: skip
    [line] = story.home.rows("credits/credit_note_lines", MARCH, payer_id="never")
    [issued] = story.home.rows("invoices/invoice_lines", JANUARY, payer_id="never")
    assert (line["corrected_line_id"], line["amount_cents"], line["correction_cause"]) == (
        issued["line_id"], 74_40, "cancelled",
    )  # fmt: skip
    assert line["quantity"] == issued["quantity"]


def test_its_refill_is_pending_no_more_and_it_is_cancelled(story):
    # February's refill is pending still.
    assert story.opening("never", FEBRUARY) == (0, 0, 74_40)
    assert story.opening("never") == (0, 0, story.home.row(
        "credits/credit_statements", FEBRUARY, payer_id="never")["refill_cents"])  # fmt: skip
    states = [row["state"] for row in story.home.rows("invoices/states", MARCH, number=number_of("never"))]
    assert states == ["PENDING", "CANCELED"]
    assert f"cancelled by {story.note('never')['number']}: billed by mistake (Ada)" in story.home.command(
        "state", number_of("never")).output  # fmt: skip


def test_credits_come_back_in_the_reverse_order_of_use(story):
    note = story.note("credits")

    # 74.40 of which a coupon paid 20.00 and what was brought along 30.00.
    assert (note["fees_cents"], note["prepaid_given_back_cents"], note["free_given_back_cents"]) == (7440, 3000, 2000)
    assert story.opening("credits", FEBRUARY)[:2] == (0, 0)
    assert story.opening("credits") == (20_00, 30_00, 0)


def test_prepaid_credits_fall_by_what_nobody_spent_of_a_paid_refill(story):
    assert story.opening("saver", FEBRUARY) == (0, 74_40, 0)
    assert story.note("saver")["prepaid_refunded_cents"] == 74_40
    assert story.opening("saver") == (0, 0, 0)
    moved = story.home.rows("credits/credit_movements", MARCH, payer_id="saver")
    assert {(row["kind"], row["amount_cents"]) for row in moved} == {("refunded", -74_40)}


def test_what_was_spent_of_a_paid_refill_is_not_refunded(story):
    note = story.note("spender")

    # 672 hours of February were paid from it.
    assert note["prepaid_refunded_cents"] == 74_40 - 67_20
    assert (note["subtotal_cents"], note["vat_cents"]) == (74_40 + 7_20, 16_32)


@pytest.mark.parametrize("owner", ["closed", "thrifty"])
def test_unspent_credits_are_refunded_at_the_vat_of_the_invoice_that_sold_them(story, owner):
    note = story.note(owner)

    assert story.opening(owner, FEBRUARY) == (0, 74_40, 0)
    amounts = ("fees_cents", "prepaid_refunded_cents", "subtotal_cents", "vat_cents", "payable_cents")
    assert [note[name] for name in amounts] == [0, 74_40, 74_40, 14_88, 89_28]
    assert note["refers_to"] == number_of(owner)
    assert story.opening(owner) == (0, 0, 0)
    assert story.home.billing.books.states()[number_of(owner)] == "PAID"


def test_what_cannot_be_refunded_is_refused_with_the_reason(story):
    assert "brought has 5,000 cents of prepaid credits after 2026-02, and no invoice here sold any" in (
        story.said["brought"])  # fmt: skip
    assert "steady did not close by the end of 2026-02" in story.said["steady"]
    assert f"what is asked for by mistake is cancelled: billing cancel {number_of('steady')}" in (
        story.said["steady's refill"])  # fmt: skip
    for owner in ("never", "spender"):
        assert "is to be cancelled already (Ada" in story.said[f"{owner}'s refill"]


def test_what_nobody_spent_of_a_top_up_is_refunded_at_its_vat(story):
    note = story.note("topper")

    assert (story.opening("topper", FEBRUARY), story.opening("topper")) == ((0, 100_00, 0), (0, 0, 0))
    amounts = ("refers_to", "fees_cents", "prepaid_refunded_cents", "vat_cents", "payable_cents")
    assert [note[name] for name in amounts] == [story.beside("most"), 0, 100_00, 20_00, 120_00]
    advances = [
        story.home.rows("exports/journal", month, payer_id="topper", role="advances") for month in (JANUARY, MARCH)
    ]
    assert [(row["credit_cents"], row["debit_cents"]) for rows in advances for row in rows] == [
        (100_00, 0),
        (0, 100_00),
    ]


def test_a_service_and_a_top_up_that_nobody_paid_are_credited_as_a_whole(story):
    notes = {row["refers_to"]: row for row in story.home.rows("invoices/credit_notes", MARCH, payer_id="steady")}
    amounts = ("fees_cents", "refill_cancelled_cents", "vat_cents", "payable_cents")

    told = {event: [notes[story.beside(event)][name] for name in amounts] for event in ("audit", "more")}
    assert told == {"audit": [50_00, 0, 10_00, 60_00], "more": [0, 30_00, 6_00, 36_00]}
    states = story.home.billing.books.states()
    assert {states[story.beside(event)] for event in told} == {"CANCELED"}
    moved = story.home.rows("credits/credit_movements", MARCH, payer_id="steady", grant_id="shop/more")
    assert [(row["kind"], row["amount_cents"]) for row in moved] == [("top_up_given_up", 30_00)]
    journal = pl.concat(story.home.generation("exports/journal", month).read() for month in (JANUARY, MARCH))
    of_both = journal.filter(pl.col("invoice_number").is_in([story.beside(event) for event in told]))
    balances = of_both.group_by("role").agg((pl.col("debit_cents") - pl.col("credit_cents")).sum())
    assert dict(balances.iter_rows()) == dict.fromkeys(("receivable", "revenue", "advances", "vat_pending"), 0)


def test_a_top_up_is_refunded_once_it_is_paid_and_cancelled_before(story):
    most, more, audit = map(story.beside, ("most", "more", "audit"))
    assert f"is refunded: billing refund {most}" in story.said["cancel of most"]
    assert f"billing cancel {more}" in story.said["refund of more"]
    assert f"{audit} sold no credits" in story.said["refund of audit"]


def test_a_paid_invoice_stays_paid_until_what_was_received_is_given_back(story):
    books = story.home.billing.books

    assert books.states(at("2026-03-15"))[number_of("saver")] == "PAID"
    assert books.states()[number_of("saver")] == "REFUNDED"
    assert books.states()[number_of("spender")] == "PAID"


def test_revenue_is_conserved_and_nobody_is_held_back(story):
    assert story.home.reasons(MARCH) == {}
    lifetimes = {row["payer_id"]: row for row in story.home.rows("invoices/lifetimes", MARCH)}
    assert [lifetimes["saver"][name] for name in ("subtotal_cents", "fees_cents", "given_up_cents")] == [0, 0, 0]
    assert lifetimes["credits"]["subtotal_cents"] == 0
    assert lifetimes["credits"]["prepaid_cents"] == lifetimes["credits"]["opening_cents"] == 30_00


def test_the_journal_reverses_the_invoice_and_its_refill(story):
    journal = pl.concat(story.home.generation("exports/journal", month).read() for month in (JANUARY, FEBRUARY, MARCH))
    of_invoice = journal.filter(invoice_number=number_of("never"))
    balances = of_invoice.group_by("role").agg((pl.col("debit_cents") - pl.col("credit_cents")).sum())

    assert of_invoice.height == 8
    assert set(balances["debit_cents"]) == {0}
    for owner in ("closed", "saver", "thrifty"):
        advances = journal.filter(payer_id=owner, role="advances")
        assert (advances["debit_cents"].sum(), advances["credit_cents"].sum()) == (74_40, 74_40)


def test_a_refill_that_was_written_off_is_no_claim_and_no_advance_any_more(story):
    journal = story.home.generation("exports/journal", MARCH).read()
    entry = journal.filter(kind="write_off").select("account", pl.col("debit_cents") - pl.col("credit_cents"))

    assert entry.rows() == [("411000", -178_56), ("419100", 74_40), ("445740", 29_76), ("654000", 74_40)]
    assert story.home.row("invoices/lifetimes", MARCH, payer_id="written")["given_up_cents"] == 74_40


def test_what_is_billed_for_a_cancelled_month_is_nothing_any_more(story):
    story.home.run("correct_month", JANUARY, as_of=at("2026-04-04"))
    differences = {
        row["payer_id"]: (row["billed_cents"], row["rated_cents"])
        for row in story.home.rows("corrections/differences", JANUARY)
    }

    assert differences == dict.fromkeys((*CANCELLED, "gone"), (0, 74_40))


def test_an_untouched_home_with_cancellations_is_verified(story):
    assert story.home.command("verify").output.endswith("everything is what was written\n")

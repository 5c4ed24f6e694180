"""Invoices that are issued again for the party, address and VAT of today: what is asked for, paid and booked after."""

from collections.abc import Callable

import einvoice_rules
import polars as pl
import pytest
from decided_home import FEBRUARY, JANUARY, MARCH, number_of
from provider_home import ProviderHome, at

from billing_pipeline.defs.billing import partition
from billing_pipeline.defs.corrections import DIFFERENCES, NotCorrectable, approve_differences
from billing_pipeline.defs.credits import open_month, read_month_before
from billing_pipeline.defs.decisions import cancelled_differences
from billing_pipeline.rules.equations import explanations_add_up
from billing_pipeline.rules.explanation import explain_reissue, figures_to_explain
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.credits import CreditStatements
from billing_pipeline.tables.explanations import Explanations
from billing_pipeline.tables.invoices import Drafts, InvoiceLines, ReissuedInvoices


class Story:
    """January issued, its invoices issued again with February and paid, two of these touched again with March."""

    def __init__(self, home: ProviderHome) -> None:
        self.home = home
        self.said = {name: output for name, (_, output) in home.said.items()}

    def again(self, owner: str, month: str = FEBRUARY) -> dict:
        return self.home.row("invoices/reissued_invoices", month, payer_id=owner)

    def note(self, owner: str, month: str = FEBRUARY) -> dict:
        return self.home.row("invoices/credit_notes", month, payer_id=owner)

    def opening(self, owner: str, month: str) -> tuple[int, int, int]:
        """a, b and g."""
        row = self.home.row("credits/credit_statements", month, payer_id=owner)
        return row["free_before_cents"], row["prepaid_before_cents"], row["pending_cents"]

    def journal(self) -> pl.DataFrame:
        months = (JANUARY, FEBRUARY, MARCH)
        rows = pl.concat(self.home.generation("exports/journal", month).read() for month in months)
        return rows.with_columns(pl.col("role").cast(pl.String), signed=pl.col("debit_cents") - pl.col("credit_cents"))

    def balances(self, number: str) -> dict[str, int]:
        """What is on each account for an invoice."""
        booked = self.journal().filter(invoice_number=number).group_by("role").agg(pl.col("signed").sum())
        return {role: cents for role, cents in booked.select("role", "signed").iter_rows() if cents}


@pytest.fixture(scope="module")
def story(decided: ProviderHome, new_home: Callable[..., ProviderHome]) -> Story:
    return Story(new_home("reissuing", of=decided))


def test_a_decision_says_what_follows(story):
    said = story.said["moved"]

    assert f"{number_of('moved')} is to be issued again (Ada: moved moved" in said
    assert "closed as of 2026-02-03T00:00:00Z or later issues its credit note and the new invoice" in said
    assert "REISSUE  moved moved (Ada), by a credit note of the next month" in story.said["waiting"]
    assert "is to be issued again already (Ada" in story.said["cancelled"]


def test_it_asks_the_party_of_today_for_the_same_with_the_vat_of_today(story):
    old, new = story.home.row("invoices/invoices", JANUARY, payer_id="moved"), story.again("moved")

    # 74.40 of fees, of which a coupon paid 20.00 and what was brought along 30.00, and 74.40 in advance.
    assert (old["subtotal_cents"], old["vat_cents"], old["payable_cents"]) == (98_80, 19_76, 118_56)
    assert (new["subtotal_cents"], new["vat_cents"], new["payable_cents"]) == (98_80, 0, 98_80)
    assert (old["city"], new["city"], new["vat_number"]) == ("Nantes", "Gent", "BE0403170701")
    assert (new["vat_reason"], new["replaces"], new["reason"]) == ("reverse_charge", old["number"], "moved moved")
    assert (new["period_start"], new["period_end"]) == (old["period_start"], old["period_end"])
    assert (new["billing_month"], str(new["issued_on"]), str(new["due_on"])) == (FEBRUARY, "2026-03-03", "2026-03-17")


def test_its_credit_note_takes_back_the_old_invoice_as_a_whole(story):
    old, note = story.home.row("invoices/invoices", JANUARY, payer_id="moved"), story.note("moved")

    amounts = ("fees_cents", "used_credits_cents", "subtotal_cents", "vat_cents", "payable_cents")
    assert [note[name] for name in amounts] == [old[name] for name in amounts]
    assert (note["refers_to"], note["reissue_reason"], note["country"]) == (old["number"], "moved moved", "FR")
    assert story.home.billing.books.states()[old["number"]] == "CANCELED"
    shown = story.home.command("state", old["number"]).output
    assert f"to be issued again, taken back by {note['number']}: moved moved (Ada)" in shown
    assert f"REPLACED  by {story.again('moved')['number']}" in shown


def test_no_credits_move_and_the_refill_stays_pending_until_the_new_invoice_is_paid(story):
    assert story.opening("moved", FEBRUARY) == (0, 0, 74_40)
    assert story.home.rows("credits/credit_movements", FEBRUARY, payer_id="moved") == []
    assert story.opening("moved", MARCH) == (0, 74_40, 0)
    (settled,) = story.home.rows("credits/credit_movements", MARCH, payer_id="moved")
    assert (settled["kind"], settled["grant_id"], settled["amount_cents"]) == ("settled", JANUARY, 74_40)


def test_a_payment_that_names_payer_and_month_pays_the_invoice_that_stands_for_it(story):
    old, new = number_of("named"), story.again("named")["number"]

    # 50.00 came before it was issued again, the rest after.
    assert story.home.billing.books.states()[new] == "PAID"
    assert story.opening("named", MARCH) == (0, 74_40, 0)
    journal = story.journal().filter(role="receivable", payer_id="named")
    assert dict(journal.group_by("invoice_number").agg(pl.col("signed").sum()).iter_rows()) == {old: 0, new: 0}
    assert story.journal().filter(role="unassigned", payer_id="named")["signed"].sum() == 0


def test_an_invoice_that_was_paid_is_not_issued_again(story):
    assert "is PAID" in story.said["paid"]
    assert f"billing cancel {number_of('paid')}" in story.said["paid"]
    # It was paid after the decision, and before February was closed.
    assert story.home.billing.books.states()[number_of("meanwhile")] == "PAID"
    assert story.home.rows("invoices/credit_notes", FEBRUARY, payer_id="meanwhile") == []
    assert "REISSUE" not in story.home.command("state", number_of("meanwhile")).output
    assert story.opening("meanwhile", FEBRUARY) == (0, 74_40, 0)


def test_whoever_has_no_known_vat_waits_until_it_has(story):
    assert story.home.rows("invoices/reissued_invoices", FEBRUARY, payer_id="unknown") == []
    new = story.again("unknown", MARCH)
    assert (new["vat_reason"], new["payable_cents"], new["vat_number"]) == ("reverse_charge", 148_80, "DE136695976")
    assert story.note("unknown", MARCH)["payable_cents"] == 178_56


def test_whoever_is_held_back_waits_until_it_is_released(story):
    assert [line for line in story.said["February"].splitlines() if "price_missing" in line] == [
        "  held  price_missing  apps.rare in par from 2026-02-01T00:00:00Z"
    ]
    number = story.again("held")["number"]
    # 24 hours of February at 1.00 and as much in advance, and the invoice of January.
    assert f"{number} of held for 2026-02 asks for €178.56." in story.said["released"]
    assert story.note("held")["refers_to"] == number_of("held")
    assert story.home.billing.books.states()[number_of("held")] == "CANCELED"
    assert "Replaces" in story.home.printed(number)
    assert story.opening("held", MARCH)[2] == 74_40 + story.home.row(
        "credits/credit_statements", FEBRUARY, payer_id="held")["refill_cents"]  # fmt: skip


def test_an_invoice_that_was_issued_again_is_issued_again(story):
    first, second = story.again("twice"), story.again("twice", MARCH)

    assert "it is cancelled already" in story.said["replaced"]
    assert (second["replaces"], first["replaces"]) == (first["number"], number_of("twice"))
    assert second["address_line1"] == "2 rue des Essais"
    assert story.note("twice", MARCH)["refers_to"] == first["number"]
    assert story.home.billing.books.states()[first["number"]] == "CANCELED"
    assert story.opening("twice", MARCH) == (0, 0, 74_40)


def test_an_invoice_that_was_issued_again_is_cancelled_like_any_other(story):
    new, note = story.again("gone"), story.note("gone", MARCH)

    assert (note["refers_to"], note["payable_cents"], note["refill_cancelled_cents"]) == (new["number"], 17856, 7440)
    assert story.home.billing.books.states()[new["number"]] == "CANCELED"
    assert story.opening("gone", MARCH) == (0, 0, 0)
    assert [row["kind"] for row in story.home.rows("credits/credit_movements", MARCH, payer_id="gone")] == ["given_up"]


def test_credits_that_it_sold_are_refunded_under_its_number(story):
    number = story.again("moved")["number"]

    assert story.said["refund"].startswith(f"What nobody spent of the credits that {number} sold is to be refunded")


def test_the_journal_takes_the_old_vat_back_and_books_the_new_one(story):
    new = story.again("moved")["number"]
    entries = story.journal().filter(pl.col("kind").cast(pl.String) != "payment", payer_id="moved")
    pieces = {
        piece: dict(rows.group_by("role").agg(pl.col("signed").sum()).iter_rows())
        for (piece,), rows in entries.group_by("piece")
    }

    booked = {"receivable": 118_56, "reductions": 20_00, "revenue": -74_40, "advances": -44_40, "vat_pending": -19_76}
    assert pieces[number_of("moved")] == booked
    assert pieces[story.note("moved")["number"]] == {role: -cents for role, cents in booked.items()}
    assert pieces[new] == {role: cents for role, cents in booked.items() if role != "vat_pending"} | {
        "receivable": 98_80
    }
    assert story.balances(number_of("moved")) == {}
    assert "receivable" not in story.balances(new)
    assert -story.journal().filter(role="advances", payer_id="moved")["signed"].sum() == 74_40


def test_its_figures_are_explained_by_steps_that_add_up(story):
    new = story.again("moved")
    of_moved = pl.col("payer_id") == "moved"
    told, lines, statements = (
        schema.validate(story.home.generation(table, JANUARY).read().filter(of_moved), cast=True)
        for table, schema in (
            ("invoices/explanations", Explanations),
            ("invoices/invoice_lines", InvoiceLines),
            ("credits/credit_statements", CreditStatements),
        )
    )
    again = story.home.generation("invoices/reissued_invoices", FEBRUARY).read().filter(of_moved)
    steps = explain_reissue(told, ReissuedInvoices.validate(again, cast=True), lines, statements)

    figures = figures_to_explain(Drafts.cast(again.select(Drafts.column_names())), lines, statements)
    assert explanations_add_up(steps, figures, statements).holds
    shown = story.home.command("explain", new["number"]).output
    assert f"{new['number']}: Moved (moved), 2026-01-01 – 2026-01-31" in shown
    assert f"it replaces {number_of('moved')} of 2026-02-03: moved moved" in shown
    assert "0 % (reverse_charge), rounded once" in shown
    assert "€98.80 = subtotal + VAT" in story.home.command("explain", new["number"], "--figure", "payable").output
    assert "1 intervals, 2,678,400 s in all" in story.home.command("explain", new["number"], "1").output
    old = story.home.command("explain", number_of("moved")).output
    assert f"issued again as {new['number']}: billing explain {new['number']}" in old


def test_nothing_is_corrected_of_an_invoice_that_waits_to_be_issued_again(story):
    billing, january = story.home.billing, Month.parse(JANUARY)
    assert f"{story.again('unknown', MARCH)['number']} is to be issued again" in story.said["once more"]
    taken_off = cancelled_differences(billing, january)
    of_unknown = taken_off.with_columns(payer_id=pl.lit("unknown"))
    facts = {"follows": billing.books.last_decision(january)}
    billing.warehouse.publish(DIFFERENCES, partition(january), of_unknown, as_of=at("2026-04-10"), facts=facts)

    with pytest.raises(NotCorrectable, match=r"of unknown for 2026-01 is to be issued again .* that comes first"):
        approve_differences(billing, january, "Ada")
    billing.warehouse.publish(DIFFERENCES, partition(january), taken_off, as_of=at("2026-04-10"), facts=facts)
    assert approve_differences(billing, january, "Ada") is not None


def test_the_paper_names_what_it_replaces_and_why(story):
    paper = " ".join(story.home.printed(story.again("moved")["number"]).split())

    for told in ("Gent", "BE0403170701", "Autoliquidation", f"Replaces {number_of('moved')} of 2026-02-03", "98.80"):
        assert told in paper, told
    assert "which a credit note takes back: moved moved." in paper


@pytest.mark.slow
def test_a_month_with_new_issues_is_rebuilt_byte_for_byte(story):
    rebuilt = story.home.command("rebuild", FEBRUARY).output

    assert rebuilt.endswith("made again, 0 differences.\n"), rebuilt


def test_a_home_with_new_issues_is_verified_and_nobody_is_held_back(story):
    assert story.home.command("verify").output.endswith("everything is what was written\n")
    assert story.home.reasons(FEBRUARY) == {}


def test_a_month_opens_again_as_it_opened_when_it_was_issued(story):
    billing, february = story.home.billing, Month.parse(FEBRUARY)
    opened_grants = billing.read("credits/opened_grants", february).read()
    opened = open_month(billing, february, read_month_before(billing, february), opened_grants)

    statements = billing.settled("credits/credit_statements", february)
    assert opened.refills.equals(statements.read("pending"))
    stated = statements.read().select("payer_id", "pending_cents").sort("payer_id")
    assert opened.accounts.select("payer_id", "pending_cents").sort("payer_id").equals(stated)


@einvoice_rules.needs_rule_books
def test_their_e_invoices_pass_the_rule_books(story):
    found = einvoice_rules.faults_in(story.home.folder / "documents")

    assert {number.split()[0] for number in found} == {"380", "381"}
    assert {number: faults for number, faults in found.items() if faults} == {}

"""Whatever customers, banks and clerks do for months: credits, states and numbers stay what a plain model says.

The machine lets organisations use, be granted, pay and be refunded, and people hold, write off, cancel, refund and
correct; it closes month after month with the pure rules and issues in real books, which crash and are opened anew.
Beside it walks the model of `plain_lives`. To add a way of life, give the model a method and the machine a rule that
calls it.
"""

import re
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace
from typing import NamedTuple

import dataframely as dy
import polars as pl
import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import (
    RuleBasedStateMachine,
    initialize,
    invariant,
    precondition,
    rule,
    run_state_machine_as_test,
)
from plain_lives import MAY_FOLLOW, Account, Correction, Invoice, Line, Lot, Note

from billing_pipeline.adapters.vat_rates import read_vat_rates
from billing_pipeline.books import AlreadyIssued, Books, DecisionKind, IssueRequest, NotDecidable
from billing_pipeline.rules.balances import OpenedAccounts, carry_refills, enter_grants, open_accounts, open_lots
from billing_pipeline.rules.corrections import BookedMonth, book_corrections, compare_lines
from billing_pipeline.rules.credit_notes import (
    CorrectedInvoice,
    CreditedInvoice,
    DraftedCreditNotes,
    HeldPrepaid,
    draft_credit_notes,
    give_back_prepaid,
    reopen_lots,
    uncredited_lines,
)
from billing_pipeline.rules.credits import settle_credits
from billing_pipeline.rules.invoicing import draft_invoices
from billing_pipeline.rules.lifecycle import IllegalTransition, State
from billing_pipeline.rules.parties import Seller
from billing_pipeline.rules.payments import Receivables, settle_documents
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.refunds import Sale, find_sales
from billing_pipeline.rules.spending import InvoiceRules, adjust_charges
from billing_pipeline.rules.tax import decide_taxes
from billing_pipeline.tables.corrections import Differences, GivenBack
from billing_pipeline.tables.credits import CreditLots
from billing_pipeline.tables.invoices import InvoiceLines, SpecificDrafts

PAYERS = ("anna", "bert")
RATES = read_vat_rates()
SELLER = Seller(name="Nuage", address=(), country="FR")
GRACE, TICK = timedelta(days=2), timedelta(hours=1)
#: So much happens in a month.
HAPPENINGS = 6
DECISIONS = ("WONTPAY", "PAYMENTHELD", "PROCESSING", "PENDING", "CANCELED")
#: What an invoice may be while it is decided to cancel it.
CANCELLABLE = ("PENDING", "PAID", "REFUNDED")


def starts_at(number: int) -> datetime:
    """The first instant of a month; the first one is January 2026."""
    return datetime(2026 + number // 12, number % 12 + 1, 1, tzinfo=UTC)


class Decided(NamedTuple):
    """A decision that waits for its credit note."""

    seq: int
    invoice: Invoice
    is_whole: bool


class Settled(NamedTuple):
    """What the rules made of a month."""

    drafts: dict[str, dict]
    statements: dict[str, dict]
    lines: pl.DataFrame
    lots: pl.DataFrame
    notes: DraftedCreditNotes


# The machine: the rules, and books in a file.


class LifeOfInvoices(RuleBasedStateMachine):
    """Two payers under one seller; every step is an hour, and so many of them are a month."""

    def __init__(self, given: SimpleNamespace, reached: Counter[str]) -> None:
        super().__init__()
        self.given, self.reached = given, reached
        self.folder = TemporaryDirectory()
        self.books = Books(Path(self.folder.name) / "books.sqlite")
        self.month = 0
        self.now = starts_at(0)
        self.payments_until = self.now
        self.grants: list[dict] = []
        self.payments: list[dict] = []
        self.charges: list[dict] = []
        versions = ({"owner_id": payer, "valid_from": starts_at(0), "valid_to": starts_at(99)} for payer in PAYERS)
        self.organisations, self.basis = given.organisations(*versions), given.basis(PAYERS)
        self.opened = given.opened()
        self.statements, self.lots, self.refills = given.statements(), given.carried_lots(), given.refills()
        self.accounts = {payer: Account() for payer in PAYERS}
        self.invoices: list[Invoice] = []
        self.requests: list[list[IssueRequest]] = []
        #: What was issued, by number, and its lines.
        self.issued: dict[str, CorrectedInvoice] = {}
        self.lines = InvoiceLines.create_empty().with_columns(billing_month=pl.lit(None, pl.String))
        #: Corrections that were approved, those that the next invoices book, and decisions that wait.
        self.approved = Differences.create_empty().with_columns(approval=pl.lit(None, pl.Int64))
        self.approvals, self.due = 1, []
        self.decided: list[Decided] = []
        self.given_back = GivenBack.create_empty()
        self.movements: list[pl.DataFrame] = []
        self.notes: list[dict] = []

    def teardown(self) -> None:
        self.folder.cleanup()

    def an_hour_later(self) -> datetime:
        """The instant of a step; the month before it may have ended."""
        if self.now - self.payments_until >= HAPPENINGS * TICK:
            self.end_month()
        self.now += TICK
        return self.now

    def some_invoice(self, data: st.DataObject, rather: Callable[[Invoice], bool] = bool) -> Invoice:
        """Rather one of the last ones, and rather one of a kind."""
        likely = [invoice for invoice in self.invoices if rather(invoice)]
        return data.draw(st.sampled_from(self.invoices + 3 * self.invoices[-3:] + 10 * likely))

    @initialize(cents=st.tuples(st.integers(0, 20_00), st.integers(1_00, 200_00)))
    def subscribe(self, cents: tuple[int, int]) -> None:
        self.subscribed = dict(zip(PAYERS, cents, strict=True))
        self.begin_month()

    def begin_month(self) -> None:
        """What recurs every month."""
        self.charges = []
        for payer, cents in self.subscribed.items():
            self.charge(payer, cents, recurs=True)

    # What customers do.

    @rule(payer=st.sampled_from(PAYERS), cents=st.integers(0, 300_00), recurs=st.booleans())
    def use(self, payer: str, cents: int, recurs: bool) -> None:
        self.an_hour_later()
        self.charge(payer, cents, recurs=recurs)

    def charge(self, payer: str, cents: int, *, recurs: bool) -> None:
        self.charges.append(
            {
                "payer_id": payer, "line_id": f"{self.month:016d}{len(self.charges):016d}", "charge_cents": cents,
                "is_recurring": recurs, "resource_id": f"r{len(self.charges)}", "owner_id": payer,
                "origin_month": str(month_of(self.month)),
            }
        )  # fmt: skip
        self.accounts[payer].used.append((cents, recurs))

    @rule(
        payer=st.sampled_from(PAYERS),
        cents=st.integers(1, 100_00),
        priority=st.integers(0, 1),
        lasts=st.sampled_from(["prepaid", None, 0, 1, 3]),
    )
    def grant(self, payer: str, cents: int, priority: int, lasts: int | str | None) -> None:
        """A coupon that ends with the month, so many months later or never, or prepaid credits from elsewhere."""
        self.an_hour_later()
        name = f"grant-{len(self.grants):03d}"
        row = {"grant_id": name, "owner_id": payer, "granted_cents": cents, "starts_at": starts_at(0)}
        if lasts == "prepaid":
            self.grants.append(row | {"kind": "prepaid"})
            self.accounts[payer].bring(cents)
            return
        last = None if lasts is None else self.month + int(lasts)
        expires_at = None if last is None else starts_at(last + 1)
        self.grants.append(row | {"priority": priority, "expires_at": expires_at})
        self.accounts[payer].lots[name] = Lot(name, cents, priority, last)

    # What banks do. An invoice of long ago is paid late.

    @precondition(lambda self: self.invoices)
    @rule(data=st.data(), part=st.sampled_from(["all", "all", "half", "rest of a half", "more", "cent"]))
    def pay(self, data: st.DataObject, part: str) -> None:
        invoice = self.some_invoice(data, self.has_open_refill)
        half = (invoice.payable + 1) // 2
        cents = {"all": invoice.payable, "half": half, "rest of a half": invoice.payable - half, "cent": 1}
        self.hear_of(invoice, "succeeded", cents.get(part, invoice.payable + 1_00))

    @precondition(lambda self: self.invoices)
    @rule(data=st.data(), is_refund=st.booleans(), is_all=st.booleans())
    def take_back(self, data: st.DataObject, is_refund: bool, is_all: bool) -> None:
        """A payment fails, or is refunded; a refund of more than was received is not counted."""
        invoice = self.some_invoice(data)
        received = invoice.standing(self.now).received
        self.hear_of(invoice, "refunded" if is_refund else "failed", received if is_all and received else 1)

    def hear_of(self, invoice: Invoice, outcome: str, cents: int) -> None:
        at = self.an_hour_later()
        # Every second payment names payer and month instead of the number.
        by_number = len(self.payments) % 2
        self.payments.append(
            {
                "owner_id": invoice.payer, "paid_cents": cents, "outcome": outcome, "known_at": at, "received_at": at,
                "invoice_number": invoice.number if by_number else None,
                "reference": f"{invoice.payer}/{month_of(invoice.month)}",
            }
        )  # fmt: skip
        invoice.happened.append((at, outcome, cents))

    # What people decide.

    @precondition(lambda self: self.invoices)
    @rule(data=st.data())
    def decide(self, data: st.DataObject) -> None:
        """A decision that the state does not allow is refused, and nothing is written."""
        at, invoice = self.an_hour_later(), self.some_invoice(data)
        known, head = invoice.standing(self.payments_until).state, self.books.head()
        # Once it is cancelled, its credit note alone moves it, and payments do.
        is_free = invoice.waits_for is None and not invoice.is_cancelled
        allowed = [state for state in DECISIONS if is_free and state in MAY_FOLLOW[known]]
        # That there is a credit note of it is all that the books ask for.
        forbidden = [state for state in DECISIONS if state != "CANCELED" or not invoice.credited_vat + invoice.credited]
        state = data.draw(st.sampled_from(3 * allowed + forbidden))

        def move() -> None:
            self.books.move(invoice.number, State(state), reason="as agreed", author="Ada", at=at)

        if state in allowed:
            move()
            invoice.happened.append((at, state, 0))
        else:
            with pytest.raises(IllegalTransition):
                move()
            assert self.books.head() == head

    @precondition(lambda self: self.invoices)
    @rule(data=st.data())
    def cancel(self, data: st.DataObject) -> None:
        """To cancel an invoice waits for a credit note of the next month."""
        at, invoice = self.an_hour_later(), self.some_invoice(data)
        left = invoice.left_of_lines()
        if left >= 0 and left + invoice.refill > 0:
            self.decide_by_note(invoice, "cancel", CANCELLABLE, at)

    @precondition(lambda self: self.invoices)
    @rule(data=st.data())
    def refund(self, data: st.DataObject) -> None:
        """So does to refund what is left of its refill."""
        at, invoice = self.an_hour_later(), self.some_invoice(data, self.has_unspent_refill)
        self.decide_by_note(invoice, "refund", ("PAID",), at)

    def decide_by_note(self, invoice: Invoice, what: str, states: tuple[str, ...], at: datetime) -> None:
        kind = DecisionKind.CANCEL if what == "cancel" else DecisionKind.REFUND
        head, is_decided = self.books.head(), invoice.waits_for is not None or invoice.is_cancelled
        if invoice.standing(self.payments_until).state in states and not is_decided:
            decision = self.books.decide(kind, invoice.number, reason="as agreed", author="Ada", at=at)
            self.decided.append(Decided(decision.seq, invoice, is_whole=what == "cancel"))
            invoice.waits_for = what
            self.accounts[invoice.payer].decided.append(invoice)
        else:
            with pytest.raises(NotDecidable):
                self.books.decide(kind, invoice.number, reason="once more", author="Ada", at=at)
            assert self.books.head() == head

    def has_unspent_refill(self, invoice: Invoice) -> bool:
        account = self.accounts[invoice.payer]
        return invoice in [sold for sold, _ in account.sales] and account.unspent(invoice) > 0

    def has_open_refill(self, invoice: Invoice) -> bool:
        return invoice in self.accounts[invoice.payer].waiting

    @precondition(lambda self: any(invoice.lines for invoice in self.invoices))
    @rule(data=st.data(), part=st.sampled_from(["all", "all", "half", "more"]))
    def correct(self, data: st.DataObject, part: str) -> None:
        """A line of an issued month is rated otherwise, and that is approved."""
        self.an_hour_later()
        invoice = self.some_invoice(data, lambda invoice: bool(invoice.lines))
        if invoice.waits_for == "cancel" or invoice.is_cancelled or not invoice.lines:
            return
        largest = max(invoice.lines, key=lambda line_id: invoice.lines[line_id].now)
        name = data.draw(st.sampled_from([*3 * [largest], *sorted(invoice.lines)]))
        line = invoice.lines[name]
        change = {"all": -line.now, "half": -(line.now // 2), "more": 50_01}[part]
        line.now += change
        of_invoice = self.lines.filter(pl.col("line_id").is_in([*invoice.lines])).drop("billing_month")
        now = {line_id: line.now for line_id, line in invoice.lines.items()}
        rated = of_invoice.with_columns(amount_cents=pl.col("line_id").replace_strict(now, return_dtype=pl.Int64))
        differences = compare_lines(of_invoice, self.approved_of(invoice), rated, month_of(invoice.month))
        assert differences["difference_cents"].to_list() == [change] * bool(change)
        self.approved = pl.concat([self.approved, differences.with_columns(approval=pl.lit(self.approvals, pl.Int64))])
        self.due.append(self.approvals)
        self.approvals += 1
        self.accounts[invoice.payer].corrections += [Correction(invoice, change)] * bool(change)

    def approved_of(self, invoice: Invoice) -> dy.DataFrame[Differences]:
        return Differences.cast(self.approved.filter(pl.col("line_id").is_in([*invoice.lines])).drop("approval"))

    # What happens to the books.

    @precondition(lambda self: self.requests)
    @rule(data=st.data(), crashes=st.booleans())
    def issue_once_more(self, data: st.DataObject, crashes: bool) -> None:
        """Nothing is written: not where all is issued already, and not where one of a batch cannot be and it stops."""
        at, head = self.an_hour_later(), self.books.head()
        requests = data.draw(st.sampled_from(self.requests))
        if crashes:
            beside = replace(requests[0], reference="beside")
            otherwise = replace(requests[0], content_hash="0" * 64)
            with pytest.raises(AlreadyIssued):
                self.books.issue([beside, otherwise], "INV", at.date(), as_of=at)
            self.books = Books(Path(self.folder.name) / "books.sqlite")
        else:
            again = self.books.issue(requests, "INV", at.date(), as_of=at)
            assert {issued.number for issued in again} <= {invoice.number for invoice in self.invoices}
        assert self.books.head() == head

    # What the provider does at the month's end.

    def end_month(self) -> None:
        as_of = starts_at(self.month + 1) + GRACE
        self.now = self.payments_until = as_of
        payments = self.given.payments(*self.payments)
        refused = self.record_payments(payments, as_of)
        settled = self.settle(payments, as_of)
        excesses = {invoice.number: invoice.standing(as_of).excesses for invoice in self.invoices}
        assert refused == Counter(excesses)
        noted, paid_by = [], {}
        for payer, account in self.accounts.items():
            letters, notes, paid_by[payer] = account.close(self.month, as_of)
            self.compare(payer, account, letters, settled)
            noted += notes
        self.issue(settled, paid_by, as_of)
        self.issue_notes(settled.notes, noted, as_of)
        self.month += 1
        self.begin_month()

    def record_payments(self, payments: pl.DataFrame, until: datetime) -> Counter[str]:
        """Let payments and credit notes move the states; how many refunds gave back more than was received."""
        documents = [
            {
                "number": invoice.number, "kind": "invoice", "payer_id": invoice.payer,
                "billing_month": str(month_of(invoice.month)), "payable_cents": invoice.payable, "currency": "EUR",
            }
            for invoice in self.invoices
        ]  # fmt: skip
        receivables = pl.DataFrame(documents + self.notes, schema=Receivables.create_empty().schema)
        themselves = pl.DataFrame({"payer_id": PAYERS, "owner_id": PAYERS})
        settled = settle_documents(
            Receivables.validate(receivables), self.books.histories(), payments, themselves, until
        )
        self.books.record_changes(settled.changes)
        return Counter(re.findall(r"for (\S+); it is not counted", " ".join(settled.refused["detail"])))

    def settle(self, payments: pl.DataFrame, as_of: datetime) -> Settled:
        """Close the month with the rules."""
        given, organisations, period = self.given, self.organisations, month_of(self.month).period(UTC)
        granted, charges = given.grants(*self.grants), given.charges(*self.charges)
        entered = enter_grants(granted, self.opened, organisations, period)
        states = self.books.states(as_of) | {one.invoice.number: State.CANCELED for one in self.decided if one.is_whole}
        refill_invoices = [
            {
                "payer_id": invoice.payer, "billing_month": str(month_of(invoice.month)), "number": invoice.number,
                "state": states[invoice.number].value,
            }
            for invoice in self.invoices
            if invoice.refill
        ]  # fmt: skip
        opened = open_accounts(
            self.statements, self.lots, self.refills, entered.opened, payments,
            given.refill_invoices(*refill_invoices), given.agreements(), organisations, period,
        )  # fmt: skip
        self.movements.append(opened.movements)
        fees, adjustments, _ = adjust_charges(charges, InvoiceRules.create_empty(), organisations, period)
        due = self.approved.filter(pl.col("approval").is_in(self.due)).with_columns(corrected_payer_id="payer_id")
        booked = book_corrections(due, fees, period.month)
        notes = self.draft_notes(booked, opened)
        accounts = give_back_prepaid(opened.accounts, notes.given_back)
        lots = open_lots(self.lots, entered.opened, granted, opened.takeovers, period)
        settled = settle_credits(booked.fees, reopen_lots(lots, notes.given_back, notes.lots), accounts, period)
        vat = decide_taxes(organisations, SELLER, RATES, as_of.date())
        drafted = draft_invoices(
            charges, adjustments, settled.statements, organisations, vat, self.basis, period, booked.lines
        )
        problems = (entered.problems, opened.problems, drafted.parked)
        assert [problem.height for problem in problems] == [0, 0, 0]
        self.opened, self.statements, self.lots = entered.opened, settled.statements, settled.lots
        self.refills = carry_refills(opened.refills, settled.statements, drafted.drafts, SpecificDrafts.create_empty())
        return Settled(by_payer(drafted.drafts), by_payer(settled.statements), drafted.lines, settled.lots, notes)

    def draft_notes(self, booked: BookedMonth, opened: OpenedAccounts) -> DraftedCreditNotes:
        balances = dict(opened.accounts.select("payer_id", "prepaid_before_cents").iter_rows())
        documents = [
            (invoice.number, invoice.payer, "settled", str(month_of(invoice.month))) for invoice in self.invoices
        ]
        names = dict.fromkeys(("number", "payer_id", "kind", "name"), pl.String)
        named = pl.DataFrame(documents, schema=names, orient="row")
        arrived = [find_sales(movements, named) for movements in self.movements]
        sold = pl.concat(rows.with_columns(month=pl.lit(month)) for month, rows in enumerate(arrived))
        refunds = self.given_back.filter(grant_id="unspent refill")
        refunded = dict(refunds.group_by("refers_to").agg(pl.col("amount_cents").sum()).iter_rows())
        prepaid = {
            payer: HeldPrepaid(
                balance,
                [
                    Sale(number, cents - refunded.get(number, 0))
                    for number, cents in sold.filter(payer_id=payer)
                    .sort("month", "number", descending=True)
                    .select("number", "amount_cents")
                    .iter_rows()
                ],
            )
            for payer, balance in balances.items()
        }
        credited = []
        for seq, invoice, is_whole in self.decided:
            issued = self.issued[invoice.number]
            lines = self.lines.filter(payer_id=invoice.payer, billing_month=issued.invoice["billing_month"])
            own = InvoiceLines.validate(lines.drop("billing_month")) if is_whole else InvoiceLines.create_empty()
            left = uncredited_lines(own, self.approved_of(invoice)) if is_whole else own
            has_arrived = invoice.number in sold["number"] or not is_whole
            credited.append(CreditedInvoice(seq, invoice.number, invoice.payer, left, has_arrived))
        return draft_credit_notes(
            booked.left_over, self.issued, self.given_back, month_of(self.month), credited, prepaid
        )

    def compare(self, payer: str, account: Account, letters: dict[str, int], settled: Settled) -> None:
        row, draft = settled.statements[payer], settled.drafts.get(payer)
        if letters["is_due"]:
            row = row | {name: draft[name] for name in ("subtotal_cents", "payable_cents")}
        else:
            assert draft is None
            assert letters.pop("subtotal_cents") == letters.pop("payable_cents") == 0
        assert {name: row[name] for name in letters} == letters, payer
        if row["refill_cents"]:
            assert row["balance_after_cents"] + row["pending_cents"] == -row["forecast_cents"]
        # Whatever was invoiced and not credited was earned, or is owed, awaited, or was given up.
        awaited = sum(invoice.refill for invoice in account.waiting) + row["refill_cents"]
        assert account.invoiced == account.earned + account.prepaid - account.brought + awaited + account.given_up

    def issue(self, settled: Settled, paid_by: dict[str, dict[str, int]], as_of: datetime) -> None:
        month = month_of(self.month)
        requests = [
            IssueRequest(
                payer, "invoice", month, month.first_day, month.last_day, sha256(repr(draft).encode()).hexdigest(),
                {"payable_cents": draft["payable_cents"], "currency": "EUR"},
            )
            for payer, draft in sorted(settled.drafts.items())
        ]  # fmt: skip
        self.lines = pl.concat([self.lines, settled.lines.with_columns(billing_month=pl.lit(str(month)))])
        for issued in self.books.issue(requests, "INV", as_of.date(), as_of=as_of):
            payer, number = issued.request.payer_id, issued.number
            draft, statement = settled.drafts[payer], settled.statements[payer]
            lines = settled.lines.filter(payer_id=payer)
            is_own = pl.col("origin_month") == str(month)
            amounts = lines.filter(is_own).select("line_id", "amount_cents").iter_rows()
            invoice = Invoice(
                number, payer, self.month, draft["subtotal_cents"], statement["refill_cents"],
                {line_id: Line(cents, cents) for line_id, cents in amounts},
                lines.filter(~is_own)["amount_cents"].sum(), paid_by[payer],
            )  # fmt: skip
            self.issued[number] = CorrectedInvoice(
                draft | {"number": number, "issued_on": issued.issued_on}, statement,
                CreditLots.validate(settled.lots.filter(payer_id=payer)),
            )  # fmt: skip
            self.invoices.append(invoice)
            if invoice.refill:
                self.accounts[payer].waiting.append(invoice)
        if requests:
            self.requests.append(requests)
        self.books.record_month_issued(month, {}, as_of=as_of)

    def issue_notes(self, drafted: DraftedCreditNotes, expected: list[Note], as_of: datetime) -> None:
        """Number the credit notes; those that cancel an invoice move its state, those for corrections do later."""
        month, notes = month_of(self.month), {row["refers_to"]: row for row in drafted.notes.to_dicts()}
        assert notes.keys() == {note.invoice.number for note in expected}
        for note in expected:
            invoice, row = note.invoice, notes[note.invoice.number]
            payable = invoice.credit(note.money)
            self.reached.update(note.given_back())
            self.reached[invoice.waits_for or "corrected"] += 1
            figures = {
                "fees_cents": sum(note.parts.values()), "prepaid_given_back_cents": note.parts["prepaid"],
                "free_given_back_cents": note.free, "refill_cancelled_cents": note.unpaid_refill,
                "prepaid_refunded_cents": note.unspent_refill, "subtotal_cents": note.money, "payable_cents": payable,
            }  # fmt: skip
            assert {name: row[name] for name in figures} == figures
            lines = drafted.lines.filter(refers_to=invoice.number)
            assert lines["amount_cents"].sum() == figures["fees_cents"]
            facts = {name: row[name] for name in ("payable_cents", "currency", "decision", "refers_to")}
            request = IssueRequest(
                invoice.payer, "credit_note", month, month.first_day, month.last_day,
                sha256(repr(row).encode()).hexdigest(), facts, f"{invoice.number}/{month}",
            )  # fmt: skip
            (issued,) = self.books.issue([request], "CN", as_of.date(), as_of=as_of)
            is_correction = row["decision"] is None
            self.notes.append(
                {
                    "number": issued.number, "kind": "credit_note", "payer_id": invoice.payer, "payable_cents": payable,
                    "currency": "EUR", "refers_to": invoice.number, "credits_at": as_of if is_correction else None,
                }
            )  # fmt: skip
            if is_correction:
                invoice.happened.append((as_of, "credited", payable))
            elif invoice.waits_for == "cancel" and invoice.standing(as_of).state == "PENDING":
                self.books.move(invoice.number, State.CANCELED, reason="as agreed", author="Ada", at=as_of)
                invoice.happened.append((as_of, "CANCELED", 0))
            if invoice.waits_for == "refund":
                invoice.waits_for = None
        for decided in self.decided:
            # One whose refill was all spent has no credit note, and the books wait for it.
            decided.invoice.is_cancelled = decided.is_whole
        self.given_back = pl.concat([self.given_back, drafted.given_back])
        self.decided, self.due = [], []

    # What holds after every step.

    @invariant()
    def no_balance_is_negative(self) -> None:
        for account in self.accounts.values():
            assert account.prepaid >= 0
            assert all(lot.left >= 0 for lot in account.lots.values())
        for table in (self.statements, self.lots):
            owned = table.select(pl.col("^(prepaid|free|balance)_(before|after)_cents$", "^left_.*_cents$"))
            assert owned.is_empty() or min(owned.min().row(0)) >= 0

    @invariant()
    def states_are_those_of_the_model(self) -> None:
        expected = {invoice.number: invoice.standing(self.payments_until).state for invoice in self.invoices}

        # Nobody pays a credit note here.
        expected |= {note["number"]: "PENDING" if note["payable_cents"] else "PAID" for note in self.notes}
        assert {number: str(state) for number, state in self.books.states().items()} == expected

    @invariant()
    def numbers_have_no_gap_and_the_chain_verifies(self) -> None:
        self.books.verify()
        assert [invoice.number for invoice in self.invoices] == list(self.expected_numbers())

    def expected_numbers(self) -> Iterator[str]:
        serials: dict[int, int] = {}
        for invoice in self.invoices:
            year = (starts_at(invoice.month + 1) + GRACE).year
            serials[year] = serials.get(year, 0) + 1
            yield f"INV-{year}-{serials[year]:06d}"


def month_of(number: int) -> Month:
    return Month(2026 + number // 12, number % 12 + 1)


def by_payer(rows: pl.DataFrame) -> dict[str, dict]:
    return {row["payer_id"]: row for row in rows.to_dicts()}


@pytest.mark.parametrize("lives", [8, pytest.param(100, marks=pytest.mark.slow)])
def test_invoices_live_as_the_model_says_whatever_happens_in_any_order(given, lives):
    reached = Counter()

    run_state_machine_as_test(
        lambda: LifeOfInvoices(given, reached),
        settings=settings(max_examples=lives, stateful_step_count=60, derandomize=True, database=None),
    )

    # Lives in which nobody was given anything back prove nothing.
    assert {"corrected", "cancel", *Note.KINDS} <= reached.keys()

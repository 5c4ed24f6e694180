"""Whatever customers, banks and clerks do for months: credits, states and numbers stay what a plain model says.

The machine lets organisations use, be granted, pay and be refunded, and people hold or write off; it closes month after
month with the pure rules and issues in real books, which crash and are opened anew. Beside it walks a model that knows
whole cents and lists. To add a way of life, give the model a method and the machine a rule that calls it.
"""

import re
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from hashlib import sha256
from pathlib import Path
from tempfile import TemporaryDirectory
from types import SimpleNamespace

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

from billing_pipeline.adapters.vat_rates import read_vat_rates
from billing_pipeline.books import AlreadyIssued, Books, IssueRequest
from billing_pipeline.rules.balances import carry_refills, enter_grants, open_accounts, open_lots
from billing_pipeline.rules.credits import settle_credits
from billing_pipeline.rules.invoicing import draft_invoices
from billing_pipeline.rules.lifecycle import IllegalTransition, State
from billing_pipeline.rules.parties import Seller
from billing_pipeline.rules.payments import Receivables, settle_documents
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.spending import InvoiceRules, adjust_charges
from billing_pipeline.rules.tax import decide_taxes
from billing_pipeline.tables.corrections import CorrectionLines
from billing_pipeline.tables.invoices import SpecificDrafts

PAYERS = ("anna", "bert")
RATES = read_vat_rates()
SELLER = Seller(name="Nuage", address=(), country="FR")
GRACE, TICK = timedelta(days=2), timedelta(hours=1)
#: So much happens in a month.
HAPPENINGS = 6
DECISIONS = ("WONTPAY", "PAYMENTHELD", "PROCESSING", "PENDING", "CANCELED")

#: What may follow what by a person's decision, or a payment's; CANCELED needs a credit note, which nobody writes here.
MAY_FOLLOW = {
    "PENDING": {"PROCESSING", "PAID", "PAYMENTHELD", "WONTPAY"},
    "PROCESSING": {"PAID", "PENDING"},
    "PAYMENTHELD": {"PENDING"},
    "PAID": {"REFUNDED"},
    "REFUNDED": set(),
    "WONTPAY": set(),
}
OPEN = ("PENDING", "PROCESSING", "PAYMENTHELD")


def starts_at(number: int) -> datetime:
    """The first instant of a month; the first one is January 2026."""
    return datetime(2026 + number // 12, number % 12 + 1, 1, tzinfo=UTC)


# The model: one invoice, one account, whole cents.


@dataclass
class Invoice:
    """An issued invoice and what happened to it since, in order: when, what, cents."""

    number: str
    payer: str
    month: int
    payable: int
    refill: int
    happened: list[tuple[datetime, str, int]] = field(default_factory=list)

    def standing(self, payments_until: datetime) -> "Standing":
        """Where it stands by everyone's decisions, and by the payments that are known by then."""
        standing = Standing(self.payable, "PENDING" if self.payable else "PAID")
        for at, what, cents in self.happened:
            if what not in ("succeeded", "failed", "refunded"):
                standing.decide(what)
            elif at <= payments_until:
                standing.hear_of(what, cents)
        return standing


@dataclass
class Standing:
    """An invoice at a moment."""

    payable: int
    state: str
    received: int = 0
    #: How many refunds gave back more than was received.
    excesses: int = 0

    def decide(self, state: str) -> None:
        """A decision counts unless a payment that became known later had come before it."""
        if state in MAY_FOLLOW[self.state]:
            self.state = state

    def hear_of(self, outcome: str, cents: int) -> None:
        if outcome == "succeeded":
            self.received += cents
            if self.state in OPEN and self.received >= self.payable:
                self.state = "PAID"
        elif outcome == "failed":
            if self.state == "PROCESSING":
                self.state = "PENDING"
        elif cents > self.received:
            self.excesses += 1
        else:
            self.received -= cents
            if self.state == "PAID" and self.payable and not self.received:
                self.state = "REFUNDED"


@dataclass
class Lot:
    name: str
    left: int
    priority: int
    #: The month in which it ends; None: never.
    last: int | None


@dataclass
class Account:
    """A payer's credits."""

    prepaid: int = 0
    lots: list[Lot] = field(default_factory=list)
    #: Invoices whose refill is neither paid nor given up.
    waiting: list[Invoice] = field(default_factory=list)
    #: This month's charges and whether they recur.
    used: list[tuple[int, bool]] = field(default_factory=list)
    # Over all months.
    invoiced: int = 0
    earned: int = 0
    brought: int = 0
    given_up: int = 0

    def bring(self, cents: int) -> None:
        self.prepaid += cents
        self.brought += cents

    def close(self, month: int, payments_until: datetime) -> dict[str, int]:
        """The month's letters."""
        for invoice in list(self.waiting):
            state = invoice.standing(payments_until).state
            if state not in OPEN:
                self.waiting.remove(invoice)
                self.prepaid += invoice.refill * (state == "PAID")
                self.given_up += invoice.refill * (state != "PAID")
        free, prepaid = sum(lot.left for lot in self.lots), self.prepaid
        fees = unpaid = sum(cents for cents, _ in self.used)
        for lot in sorted(self.lots, key=lambda lot: (lot.priority, lot.last is None, lot.last, lot.name)):
            part = min(lot.left, unpaid)
            lot.left -= part
            unpaid -= part
        expired = sum(lot.left for lot in self.lots if lot.last == month)
        self.lots = [lot for lot in self.lots if lot.last != month]
        spent = min(self.prepaid, unpaid)
        self.prepaid -= spent
        expected = sum(cents for cents, recurs in self.used if recurs)
        pending = sum(invoice.refill for invoice in self.waiting)
        held = self.prepaid + sum(lot.left for lot in self.lots)
        refill = max(0, expected - held - pending)
        subtotal = unpaid - spent + refill
        self.invoiced += subtotal
        self.earned += unpaid
        is_due = bool(self.used or free or prepaid or refill)
        self.used = []
        return {
            "fees_cents": fees, "free_before_cents": free, "prepaid_before_cents": prepaid,
            "balance_before_cents": free + prepaid, "free_used_cents": unpaid - fees, "free_expired_cents": -expired,
            "prepaid_used_cents": -spent, "forecast_cents": -expected, "pending_cents": pending,
            "refill_cents": refill, "balance_after_cents": held + refill,
            "change_cents": held + refill - free - prepaid, "is_due": is_due,
            "subtotal_cents": subtotal, "payable_cents": subtotal + (subtotal * 20 + 50) // 100,
        }  # fmt: skip


# The machine: the rules, and books in a file.


class LifeOfInvoices(RuleBasedStateMachine):
    """Two payers under one seller; every step is an hour, and so many of them are a month."""

    def __init__(self, given: SimpleNamespace) -> None:
        super().__init__()
        self.given = given
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

    def teardown(self) -> None:
        self.folder.cleanup()

    def an_hour_later(self) -> datetime:
        """The instant of a step; the month before it may have ended."""
        if self.now - self.payments_until >= HAPPENINGS * TICK:
            self.end_month()
        self.now += TICK
        return self.now

    def some_invoice(self, data: st.DataObject) -> Invoice:
        """Rather one of the last ones."""
        return data.draw(st.sampled_from(self.invoices + 3 * self.invoices[-3:]))

    @initialize(cents=st.tuples(st.integers(1_00, 200_00), st.integers(1_00, 200_00)))
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
        self.accounts[payer].lots.append(Lot(name, cents, priority, last))

    # What banks do. An invoice of long ago is paid late.

    @precondition(lambda self: self.invoices)
    @rule(data=st.data(), part=st.sampled_from(["all", "half", "rest of a half", "more", "cent"]))
    def pay(self, data: st.DataObject, part: str) -> None:
        invoice = self.some_invoice(data)
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
        allowed = [state for state in DECISIONS if state in MAY_FOLLOW[known]]
        state = data.draw(st.sampled_from(3 * allowed + [*DECISIONS]))

        def move() -> None:
            self.books.move(invoice.number, State(state), reason="as agreed", author="Ada", at=at)

        if state in MAY_FOLLOW[known]:
            move()
            invoice.happened.append((at, state, 0))
        else:
            with pytest.raises(IllegalTransition):
                move()
            assert self.books.head() == head

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
        drafts, rows = self.settle(payments, as_of)
        excesses = {invoice.number: invoice.standing(as_of).excesses for invoice in self.invoices}
        assert refused == Counter(excesses)
        for payer, account in self.accounts.items():
            self.compare(payer, account, account.close(self.month, as_of), rows[payer], drafts.get(payer))
        self.issue(drafts, rows, as_of)
        self.month += 1
        self.begin_month()

    def record_payments(self, payments: pl.DataFrame, until: datetime) -> Counter[str]:
        """Let payments move the states; how many refunds gave back more than was received, by document."""
        documents = [
            {
                "number": invoice.number, "kind": "invoice", "payer_id": invoice.payer,
                "billing_month": str(month_of(invoice.month)), "payable_cents": invoice.payable, "currency": "EUR",
            }
            for invoice in self.invoices
        ]  # fmt: skip
        receivables = Receivables.validate(pl.DataFrame(documents, schema=Receivables.create_empty().schema))
        themselves = pl.DataFrame({"payer_id": PAYERS, "owner_id": PAYERS})
        settled = settle_documents(receivables, self.books.histories(), payments, themselves, until)
        self.books.record_changes(settled.changes)
        return Counter(re.findall(r"for (\S+); it is not counted", " ".join(settled.refused["detail"])))

    def settle(self, payments: pl.DataFrame, as_of: datetime) -> tuple[dict[str, dict], dict[str, dict]]:
        """Close the month with the rules: drafts and statements by payer."""
        given, organisations, period = self.given, self.organisations, month_of(self.month).period(UTC)
        granted, charges = given.grants(*self.grants), given.charges(*self.charges)
        entered = enter_grants(granted, self.opened, organisations, period)
        states = self.books.states(as_of)
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
        fees, adjustments, _ = adjust_charges(charges, InvoiceRules.create_empty(), organisations, period)
        lots = open_lots(self.lots, entered.opened, granted, opened.takeovers, period)
        settled = settle_credits(fees, lots, opened.accounts, period)
        vat = decide_taxes(organisations, SELLER, RATES, as_of.date())
        drafted = draft_invoices(
            charges, adjustments, settled.statements, organisations, vat, self.basis, period,
            CorrectionLines.create_empty(),
        )  # fmt: skip
        problems = (entered.problems, opened.problems, drafted.parked)
        assert [problem.height for problem in problems] == [0, 0, 0]
        self.opened, self.statements, self.lots = entered.opened, settled.statements, settled.lots
        self.refills = carry_refills(opened.refills, settled.statements, drafted.drafts, SpecificDrafts.create_empty())
        return by_payer(drafted.drafts), by_payer(settled.statements)

    def compare(self, payer: str, account: Account, letters: dict[str, int], row: dict, draft: dict | None) -> None:
        if letters["is_due"]:
            row = row | {name: draft[name] for name in ("subtotal_cents", "payable_cents")}
        else:
            assert draft is None
            assert letters.pop("subtotal_cents") == letters.pop("payable_cents") == 0
        assert {name: row[name] for name in letters} == letters, payer
        if row["refill_cents"]:
            assert row["balance_after_cents"] + row["pending_cents"] == -row["forecast_cents"]
        # Whatever was invoiced was earned, or is owed, awaited, or was given up.
        awaited = sum(invoice.refill for invoice in account.waiting) + row["refill_cents"]
        assert account.invoiced == account.earned + account.prepaid - account.brought + awaited + account.given_up

    def issue(self, drafts: dict[str, dict], rows: dict[str, dict], as_of: datetime) -> None:
        month = month_of(self.month)
        requests = [
            IssueRequest(
                payer, "invoice", month, month.first_day, month.last_day, sha256(repr(draft).encode()).hexdigest(),
                {"payable_cents": draft["payable_cents"], "currency": "EUR"},
            )
            for payer, draft in sorted(drafts.items())
        ]  # fmt: skip
        for issued in self.books.issue(requests, "INV", as_of.date(), as_of=as_of):
            payer = issued.request.payer_id
            refill = rows[payer]["refill_cents"]
            invoice = Invoice(issued.number, payer, self.month, drafts[payer]["payable_cents"], refill)
            self.invoices.append(invoice)
            if refill:
                self.accounts[payer].waiting.append(invoice)
        if requests:
            self.requests.append(requests)
        self.books.record_month_issued(month, {}, as_of=as_of)

    # What holds after every step.

    @invariant()
    def no_balance_is_negative(self) -> None:
        for account in self.accounts.values():
            assert account.prepaid >= 0
            assert all(lot.left >= 0 for lot in account.lots)
        for table in (self.statements, self.lots):
            owned = table.select(pl.col("^(prepaid|free|balance)_(before|after)_cents$", "^left_.*_cents$"))
            assert owned.is_empty() or min(owned.min().row(0)) >= 0

    @invariant()
    def states_are_those_of_the_model(self) -> None:
        expected = {invoice.number: invoice.standing(self.payments_until).state for invoice in self.invoices}

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


def test_invoices_live_as_the_model_says_whatever_happens_in_any_order(given):
    run_state_machine_as_test(
        lambda: LifeOfInvoices(given),
        settings=settings(max_examples=25, stateful_step_count=30, derandomize=True, database=None),
    )

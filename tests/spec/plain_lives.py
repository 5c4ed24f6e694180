"""What becomes of invoices and credits, as a clerk would note it down: whole cents, lists, one payer at a time.

Invoices are paid, credited and refunded; accounts are granted coupons and prepaid credits, and close month after month.
Nothing of the pipeline is imported. To add a way of life, give an invoice or an account a method.
"""

from dataclasses import dataclass, field
from datetime import datetime
from typing import ClassVar

#: What may follow what by a person's decision, or a payment's; only a credit note cancels.
MAY_FOLLOW = {
    "PENDING": {"PROCESSING", "PAID", "PAYMENTHELD", "WONTPAY"},
    "PROCESSING": {"PAID", "PENDING"},
    "PAYMENTHELD": {"PENDING"},
    "PAID": {"REFUNDED"},
    "REFUNDED": set(),
    "WONTPAY": set(),
    "CANCELED": set(),
}
OPEN = ("PENDING", "PROCESSING", "PAYMENTHELD")
#: Months are counted from 0; so many percent are added to what is paid in money.
VAT_PER_CENT = 20


def vat_on(cents: int) -> int:
    return (cents * VAT_PER_CENT + 50) // 100


@dataclass
class Line:
    """A line of an invoice, and what corrections made of it since."""

    issued: int
    now: int

    def left(self) -> int:
        """What a cancellation credits of it: what corrections added stands on other invoices."""
        return self.now if abs(self.now) < abs(self.issued) else self.issued


@dataclass
class Invoice:
    """An issued invoice and what happened to it since, in order: when, what, cents."""

    number: str
    payer: str
    month: int
    subtotal: int
    refill: int
    lines: dict[str, Line]
    #: Corrections of older months that it booked.
    corrections: int
    #: Who paid its fees with what and was not given it back: money, then prepaid, then coupons from the last to the
    #: first.
    paid_by: dict[str, int]
    #: Whether `cancel` or `refund` was decided of it, and its credit note is not issued.
    waits_for: str | None = None
    is_cancelled: bool = False
    #: What credit notes credited of its subtotal, and of its VAT.
    credited: int = 0
    credited_vat: int = 0
    refill_left: int = field(init=False)
    happened: list[tuple[datetime, str, int]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.refill_left = self.refill

    @property
    def payable(self) -> int:
        return self.subtotal + vat_on(self.subtotal)

    def standing(self, known_until: datetime) -> "Standing":
        """Where it stands by everyone's decisions, and by payments and credit notes that are known by then."""
        standing = Standing(self.payable, self.payable, "PENDING" if self.payable else "PAID")
        for at, what, cents in self.happened:
            if what in ("succeeded", "failed", "refunded"):
                if at <= known_until:
                    standing.hear_of(what, cents)
            elif what == "credited":
                # It is issued when what was known by then had been looked at.
                if at < known_until:
                    standing.credit(cents)
            else:
                standing.decide(what)
        return standing

    def left_of_lines(self) -> int:
        return sum(line.left() for line in self.lines.values()) + self.corrections

    def give_back(self, cents: int) -> dict[str, int]:
        """Who gets the cents back: in the order of `paid_by`, and what nobody paid in money."""
        parts = dict.fromkeys(self.paid_by, 0)
        for name, paid in self.paid_by.items():
            parts[name] = min(cents, max(0, paid))
            self.paid_by[name] -= parts[name]
            cents -= parts[name]
        parts["money"] += cents
        self.paid_by["money"] -= cents
        return parts

    def credit(self, money: int) -> int:
        """Credit money of it; what the credit note asks for, VAT included. The last one takes what is left of VAT."""
        self.credited += money
        vat = vat_on(self.subtotal) - self.credited_vat if self.credited == self.subtotal else vat_on(money)
        self.credited_vat += vat
        return money + vat


@dataclass
class Standing:
    """An invoice at a moment."""

    payable: int
    #: What is to be received, after credit notes.
    owed: int
    state: str
    received: int = 0
    #: How many refunds gave back more than was received.
    excesses: int = 0

    def decide(self, state: str) -> None:
        """A decision counts unless a payment that became known later had come before it."""
        if state in MAY_FOLLOW[self.state] | ({"CANCELED"} if self.state == "PENDING" else set()):
            self.state = state

    def hear_of(self, outcome: str, cents: int) -> None:
        if outcome == "succeeded":
            self.received += cents
            if self.state in OPEN and self.received >= self.owed:
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

    def credit(self, cents: int) -> None:
        self.owed -= cents
        if self.state == "PENDING" and self.received >= self.owed:
            self.state = "PAID" if self.received else "CANCELED"


@dataclass
class Lot:
    """A coupon."""

    name: str
    left: int
    priority: int
    #: The month in which it ends; None: never.
    last: int | None


@dataclass
class Correction:
    """What a line of an issued invoice is more or less by what is known now."""

    invoice: Invoice
    cents: int


@dataclass
class Note:
    """A credit note: fees given back in money, to prepaid and to coupons, and money for a refill."""

    invoice: Invoice
    parts: dict[str, int]
    unpaid_refill: int = 0
    unspent_refill: int = 0

    KINDS: ClassVar = ("money", "prepaid", "coupon", "unpaid refill", "unspent refill")

    def given_back(self) -> list[str]:
        """What it gives back, by `KINDS`."""
        cents = (self.parts["money"], self.parts["prepaid"], self.free, self.unpaid_refill, self.unspent_refill)
        return [kind for kind, of_kind in zip(self.KINDS, cents, strict=True) if of_kind]

    @property
    def money(self) -> int:
        return self.parts["money"] + self.unpaid_refill + self.unspent_refill

    @property
    def free(self) -> int:
        return sum(cents for name, cents in self.parts.items() if name not in ("money", "prepaid"))


@dataclass
class Account:
    """A payer's credits."""

    prepaid: int = 0
    lots: dict[str, Lot] = field(default_factory=dict)
    #: Invoices whose refill is neither paid nor given up.
    waiting: list[Invoice] = field(default_factory=list)
    #: Refills that reached the prepaid credits, as invoice and cents, from the oldest to the newest.
    sales: list[tuple[Invoice, int]] = field(default_factory=list)
    #: This month's charges and whether they recur.
    used: list[tuple[int, bool]] = field(default_factory=list)
    #: Of older months, which the next invoice books.
    corrections: list[Correction] = field(default_factory=list)
    #: To be cancelled or refunded with the next invoice.
    decided: list[Invoice] = field(default_factory=list)
    # Over all months.
    invoiced: int = 0
    earned: int = 0
    brought: int = 0
    given_up: int = 0

    def bring(self, cents: int) -> None:
        self.prepaid += cents
        self.brought += cents

    def close(self, month: int, known_until: datetime) -> tuple[dict[str, int], list[Note], dict[str, int]]:
        """The month's letters, its credit notes, and what paid its fees."""
        self.settle_refills(known_until)
        booked, left_over = self.book_corrections()
        notes = self.write_notes(left_over)
        free, prepaid = sum(lot.left for lot in self.lots.values()), self.prepaid
        fees = unpaid = sum(cents for cents, _ in self.used) + booked
        coupons = {}
        for lot in sorted(self.lots.values(), key=lambda lot: (lot.priority, lot.last is None, lot.last, lot.name)):
            if lot.last is None or lot.last >= month:
                coupons[lot.name] = part = min(lot.left, unpaid)
                lot.left -= part
                unpaid -= part
        ended = [lot for lot in self.lots.values() if lot.last is not None and lot.last <= month]
        expired = sum(lot.left for lot in ended)
        for lot in ended:
            lot.left = 0
        spent = min(self.prepaid, unpaid)
        self.prepaid -= spent
        expected = sum(cents for cents, recurs in self.used if recurs)
        pending = sum(invoice.refill for invoice in self.waiting)
        held = self.prepaid + sum(lot.left for lot in self.lots.values())
        refill = max(0, expected - held - pending)
        subtotal = unpaid - spent + refill
        self.invoiced += subtotal
        self.earned += unpaid
        is_due = bool(self.used or booked or free or prepaid or refill)
        self.used = []
        letters = {
            "fees_cents": fees, "free_before_cents": free, "prepaid_before_cents": prepaid,
            "balance_before_cents": free + prepaid, "free_used_cents": unpaid - fees, "free_expired_cents": -expired,
            "prepaid_used_cents": -spent, "forecast_cents": -expected, "pending_cents": pending,
            "refill_cents": refill, "balance_after_cents": held + refill,
            "change_cents": held + refill - free - prepaid, "is_due": is_due,
            "subtotal_cents": subtotal, "payable_cents": subtotal + vat_on(subtotal),
        }  # fmt: skip
        used_up = {name: coupons[name] for name in reversed(coupons) if coupons[name]}
        return letters, notes, {"money": unpaid - spent, "prepaid": spent} | used_up

    def settle_refills(self, known_until: datetime) -> None:
        """Refills that were paid are prepaid credits; those of written off or cancelled invoices are given up."""
        for invoice in sorted(self.waiting, key=lambda invoice: invoice.number):
            state = invoice.standing(known_until).state
            if invoice.waits_for == "cancel":
                state = "CANCELED"
            if state in OPEN:
                continue
            self.waiting.remove(invoice)
            if state == "PAID":
                self.prepaid += invoice.refill
                self.sales.append((invoice, invoice.refill))
            else:
                self.given_up += invoice.refill

    def book_corrections(self) -> tuple[int, dict[str, int]]:
        """What the month's fees change by; and, by number, what is taken off invoices because fees have no room."""
        room = sum(cents for cents, _ in self.used) + sum(max(0, due.cents) for due in self.corrections)
        booked, left_over = 0, {}
        for due in sorted(self.corrections, key=lambda due: due.invoice.month):
            taken = max(due.cents, -room) if due.cents < 0 else due.cents
            room += min(0, taken)
            booked += taken
            if due.cents < taken:
                left_over[due.invoice.number] = left_over.get(due.invoice.number, 0) + taken - due.cents
        return booked, left_over

    def write_notes(self, left_over: dict[str, int]) -> list[Note]:
        """Credit the invoices that corrections are left over of, or that were cancelled or refunded, newest first."""
        concerned = {due.invoice.number: due.invoice for due in self.corrections if due.invoice.number in left_over}
        concerned |= {invoice.number: invoice for invoice in self.decided}
        notes = []
        for number in sorted(concerned, reverse=True):
            invoice = concerned[number]
            is_cancelled = invoice.waits_for == "cancel"
            fees = left_over.get(number, 0) + (invoice.left_of_lines() if is_cancelled else 0)
            note = Note(invoice, invoice.give_back(fees))
            if invoice in [sold for sold, _ in self.sales] and invoice.waits_for:
                # What the note gives back to prepaid was of an older sale.
                note.unspent_refill = self.unspent(invoice)
                self.sales = [(sold, cents - note.unspent_refill * (sold is invoice)) for sold, cents in self.sales]
            elif is_cancelled:
                note.unpaid_refill, invoice.refill_left = invoice.refill_left, 0
                self.given_up -= note.unpaid_refill
            self.prepaid += note.parts["prepaid"] - note.unspent_refill
            for name, cents in note.parts.items():
                if name in self.lots:
                    self.lots[name].left += cents
            self.invoiced -= note.money
            self.earned -= note.parts["money"] + note.parts["prepaid"]
            if note.given_back():
                notes.append(note)
        self.corrections, self.decided = [], []
        return notes

    def unspent(self, invoice: Invoice) -> int:
        """What nobody spent of its refill: what was sold first is spent first."""
        place = [sold for sold, _ in self.sales].index(invoice)
        newer = sum(cents for _, cents in self.sales[place + 1 :])
        return max(0, min(self.sales[place][1], self.prepaid - newer))

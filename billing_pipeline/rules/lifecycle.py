"""The states of an issued document: which follow each other, and how payments move it from one to the next.

::

    DRAFT -> PENDING -> PROCESSING -> PAID -> REFUNDED
             PENDING -> PAID            a transfer that covers it, or nothing to pay
             PROCESSING -> PENDING      the payment failed
             PENDING <-> PAYMENTHELD    on hold: nobody is reminded; a payment that covers it releases it
             PENDING -> WONTPAY         written off
             PENDING -> CANCELED        by credit notes for all of it

What an issued document says never changes; only its state does, and each change is an entry of its own in the books.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from itertools import groupby
from typing import NamedTuple


class State(StrEnum):
    """Where a document stands between its draft and its end."""

    DRAFT = "DRAFT"
    PENDING = "PENDING"
    PROCESSING = "PROCESSING"
    PAID = "PAID"
    PAYMENTHELD = "PAYMENTHELD"
    WONTPAY = "WONTPAY"
    CANCELED = "CANCELED"
    REFUNDED = "REFUNDED"


#: State -> the states that may follow it.
TRANSITIONS: Mapping[State, tuple[State, ...]] = {
    State.DRAFT: (State.PENDING,),
    State.PENDING: (State.PROCESSING, State.PAID, State.PAYMENTHELD, State.WONTPAY, State.CANCELED),
    State.PROCESSING: (State.PAID, State.PENDING),
    State.PAYMENTHELD: (State.PENDING,),
    State.PAID: (State.REFUNDED,),
    State.REFUNDED: (),
    State.WONTPAY: (),
    State.CANCELED: (),
}

#: Asked for and not paid yet: a refill of such an invoice is pending (g).
OPEN = frozenset({State.PENDING, State.PROCESSING, State.PAYMENTHELD})

#: Paid, be it given back since: nothing is asked for any more.
RECEIVED = frozenset({State.PAID, State.REFUNDED})

#: Asked for no more, or given back: what such an invoice sold never counts.
GIVEN_UP = frozenset({State.WONTPAY, State.CANCELED, State.REFUNDED})

#: Kinds of documents; `credits` sells prepaid credits outside the monthly cycle, `interim` while their month runs.
INVOICE, CREDITS, INTERIM, CREDIT_NOTE = "invoice", "credits", "interim", "credit_note"


class IllegalTransition(ValueError):
    """A document cannot go from its state to the one that was asked for."""


@dataclass(frozen=True)
class Change:
    """One step of a document from state to state."""

    number: str
    state: State
    #: From when on it counts: what sees less than this instant sees the state before.
    at: datetime
    reason: str
    #: Who decided it; null where a payment or the issue did.
    author: str | None = None
    payment_id: str | None = None


class Document(NamedTuple):
    """An issued document as its payments see it."""

    number: str
    kind: str
    payable_cents: int


class Payment(NamedTuple):
    """A payment that names a document, in its currency."""

    payment_id: str
    #: The first instant at which a run sees it.
    known_at: datetime
    received_at: datetime
    outcome: str
    paid_cents: int
    #: It names a credit note of the document, so that it may give back what another one received.
    is_of_note: bool = False


class Credit(NamedTuple):
    """A credit note for corrections of a document."""

    number: str
    #: When it was issued.
    known_at: datetime
    credited_cents: int


class Settlement(NamedTuple):
    """What payments do to one document."""

    changes: list[Change]
    #: Refunds of more than was received: not counted, as ``refund_excess``.
    refused: list[Payment]


def require_transition(number: str, before: State, after: State) -> None:
    """Refuse a step that the table does not have.

    Raises:
        IllegalTransition: the message says which states may follow.
    """
    if after not in TRANSITIONS[before]:
        follow = ", ".join(TRANSITIONS[before]) or "nothing: it is final"
        message = f"{number} is {before} and cannot become {after}; after {before} comes {follow}"
        raise IllegalTransition(message)


def begin(document: Document, issued_at: datetime) -> list[Change]:
    """How every document begins: pending when it is issued, and paid at once if it asks for 0.00."""
    issued = [Change(document.number, State.PENDING, issued_at, "issued")]
    if document.payable_cents == 0:
        issued.append(Change(document.number, State.PAID, issued_at, "nothing to pay"))
    return issued


def follow(changes: Iterable[Change]) -> list[Change]:
    """The changes of one document that take effect, in order of their instants; ties keep the order given.

    A change that does not follow from the state it meets has no effect: a payment that is entered late, but was known
    earlier, goes before what was decided in between without knowing of it.
    """
    state, effective = State.DRAFT, []
    for change in sorted(changes, key=lambda change: change.at):
        if change.state in TRANSITIONS[state]:
            state = change.state
            effective.append(change)
    return effective


def apply_payments(
    document: Document,
    history: Sequence[Change],
    payments: Iterable[Payment],
    until: datetime,
    corrected_by: Iterable[Credit] = (),
) -> Settlement:
    """The changes that payments and credit notes cause and that the history does not have yet.

    Payments that become known at one instant count together, and none before the issue. An invoice is paid once what
    was received, less refunds, reaches what it asks; less leaves it as it is, and a failed payment takes it back from
    processing. It is refunded once everything that was received is given back. A credit note is paid by refunds.

    What credit notes for corrections take off an invoice needs not be received: once both reach what it asks it is
    paid, or, if nothing was received, cancelled.

    Args:
        document: what was issued.
        history: its changes so far, the first ones included.
        payments: all that name it, in its currency, in any order.
        until: what becomes known later is not looked at.
        corrected_by: credit notes for corrections of it.
    """
    known = list(history)
    issued_at = known[0].at
    counted, refused, caused = 0, [], []
    noted = sorted((credit for credit in corrected_by if credit.known_at <= until), key=lambda credit: credit.known_at)
    batches = dict(_batches(document, payments, issued_at, until))
    for at in sorted(batches.keys() | {credit.known_at for credit in noted}):
        for payment in (batch := batches.get(at, [])):
            amount = _amount(document, payment)
            if counted + amount >= 0:
                counted += amount
            elif payment.is_of_note:
                counted = 0
            else:
                refused.append(payment)
        state = _state_at(known, at)
        accepted = [payment for payment in batch if payment not in refused]
        credited = [credit for credit in noted if credit.known_at <= at]
        owed_cents = document.payable_cents - sum(credit.credited_cents for credit in credited)
        changes = [
            Change(document.number, new, at, reason, payment_id=payment.payment_id)
            for new, payment, reason in _moves(state, document, owed_cents, counted, accepted)
        ]
        if not changes and credited and credited[-1].known_at == at:
            changes = list(_credited_moves(state, document.number, owed_cents, counted, credited[-1]))
        known += changes
        caused += changes
    return Settlement(caused, refused)


def _credited_moves(state: State, number: str, owed_cents: int, counted: int, credit: Credit) -> Iterator[Change]:
    """What the last credit note does to an invoice that is not paid, if it leaves nothing to be received."""
    if state is State.PENDING and counted >= owed_cents:
        new, what = (State.PAID, "covered by payments and") if counted > 0 else (State.CANCELED, "credited by")
        yield Change(number, new, credit.known_at, f"{what} {credit.number}")


def _batches(
    document: Document, payments: Iterable[Payment], issued_at: datetime, until: datetime
) -> Iterator[tuple[datetime, list[Payment]]]:
    """Payments by the instant at which they count; in a batch what comes in goes before what is given back."""

    def counts_at(payment: Payment) -> datetime:
        return max(payment.known_at, issued_at)

    ordered = sorted(
        payments,
        key=lambda payment: (
            counts_at(payment),
            _amount(document, payment) < 0,
            payment.received_at,
            payment.payment_id,
        ),
    )
    for at, batch in groupby(ordered, key=counts_at):
        if at <= until:
            yield at, list(batch)


def _amount(document: Document, payment: Payment) -> int:
    """What a payment adds to what was received for an invoice, or given back for a credit note."""
    sign = {"succeeded": 1, "refunded": -1}.get(payment.outcome, 0)
    return payment.paid_cents * (-sign if document.kind == CREDIT_NOTE else sign)


def _state_at(changes: Sequence[Change], at: datetime) -> State:
    effective = follow(change for change in changes if change.at <= at)
    return effective[-1].state if effective else State.DRAFT


def _moves(
    state: State, document: Document, owed_cents: int, counted: int, batch: Sequence[Payment]
) -> Iterator[tuple[State, Payment, str]]:
    paying, undoing = ("refunded", "succeeded") if document.kind == CREDIT_NOTE else ("succeeded", "refunded")
    last = {payment.outcome: payment for payment in batch}
    if state in OPEN and counted >= owed_cents and paying in last:
        if state is State.PAYMENTHELD:
            yield State.PENDING, last[paying], "released by a payment"
        yield State.PAID, last[paying], "covered by payments"
    elif state is State.PROCESSING and "failed" in last:
        yield State.PENDING, last["failed"], "the payment failed"
    elif state is State.PAID and document.payable_cents > 0 and undoing in last and counted <= 0:
        yield State.REFUNDED, last[undoing], "everything received was given back"

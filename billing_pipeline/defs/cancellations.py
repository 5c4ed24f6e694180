"""Invoices that are cancelled: the decision in the books, the credit note with the next month, and the state after it.

The credit note is drafted and issued with the next month that is closed as of the decision or later, as corrections are
that were approved. Until then the document stays what it is, and nobody moves its state but payments.
"""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.books import Cancellation, Issued, NotCancellable
from billing_pipeline.defs.billing import Billing
from billing_pipeline.defs.corrections import approved_rows, settled_before, without_held_back
from billing_pipeline.rules.credit_notes import CancelledInvoice, HeldPrepaid, uncredited_lines
from billing_pipeline.rules.lifecycle import State
from billing_pipeline.rules.parking import without
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.refunds import Sale
from billing_pipeline.tables.corrections import Differences, GivenBack
from billing_pipeline.tables.credits import CreditAccounts, CreditMovements
from billing_pipeline.tables.invoices import InvoiceLines

_CREDIT_NOTES = "credits/credit_notes"


class CancelledMonth(NamedTuple):
    """The invoices that a month's credit notes cancel, and what is prepaid by who holds their credits."""

    invoices: Sequence[CancelledInvoice] = ()
    prepaid: Mapping[str, HeldPrepaid] = {}


def cancel_invoice(
    billing: Billing, number: str, *, reason: str, author: str, at: datetime | None = None
) -> Cancellation:
    """Keep in the books that an invoice is to be cancelled.

    Args:
        billing: the home.
        number: of a monthly invoice.
        reason: why.
        author: who decides it.
        at: from when on it counts; default: the last issue of a month, or the last change of the invoice after it.

    Raises:
        NotIssued, ChangeOutOfOrder: see `Books.cancel`.
        NotCancellable: it cannot be in its state, or nothing of it is left to credit.
    """
    issued = find_issued(billing, number)
    if issued is not None and issued.is_monthly:
        _require_something_left(billing, issued)
    instants = [month.as_of for month in billing.books.issued_months()]
    instants += [change.at for change in billing.books.histories().get(number, [])]
    return billing.books.cancel(number, reason=reason, author=author, at=at or max(instants))


def find_issued(billing: Billing, number: str) -> Issued | None:
    """The issued document of this number."""
    return next((document for document in billing.books.issued() if document.number == number), None)


def _require_something_left(billing: Billing, issued: Issued) -> None:
    """Check that corrections left something of an invoice.

    Raises:
        NotCancellable: they took off all of it or more, or it never asked for or used anything.
    """
    payer, month = issued.request.payer_id, issued.request.billing_month
    lines = _lines_left(billing, payer, month, None)
    refill = billing.settled("credits/credit_statements", month).read().filter(payer_id=payer)["refill_cents"].sum()
    left = int(lines["amount_cents"].cast(pl.Int128).sum())
    if left < 0 or left + refill == 0:
        message = (
            f"nothing of {issued.number} is left to credit: corrections took it off, or it never asked for anything; "
            f"what is wrong with {month} now is corrected: billing correct {month}"
        )
        raise NotCancellable(message)


def _lines_left(billing: Billing, payer: str, month: Month, until: int | None) -> dy.DataFrame[InvoiceLines]:
    """The lines of a payer's invoice, less what corrections that were approved before an entry took off them."""
    lines = billing.settled("invoices/invoice_lines", month).read().filter(payer_id=payer)
    approved = [entry for entry in billing.books.approved_corrections(month) if until is None or entry.seq < until]
    return uncredited_lines(InvoiceLines.validate(lines, cast=True), Differences.cast(approved_rows(billing, approved)))


def due_cancellations(billing: Billing, month: Month) -> list[tuple[Cancellation, Issued]]:
    """The cancellations that were decided by the run's `as_of` and that no credit note was made for yet.

    An issued month cancels what had been decided when it was issued first, however often it is closed again.
    """
    decided = billing.books.cancellations()
    if not decided:
        return []
    done: set[int] = set()
    before = settled_before(billing, _CREDIT_NOTES, month)
    if before is not None:
        given = without_held_back(billing, before.read("given_back"), "holder_id", month.previous)
        done = set(given["decision"].drop_nulls())
    issued_at = billing.books.first_issue_seq(month)
    numbered = {document.number: document for document in billing.books.issued()}
    return [
        (entry, numbered[entry.number])
        for entry in decided
        if entry.seq not in done
        and entry.month < month
        and entry.at <= billing.as_of(month)
        and (issued_at is None or entry.seq < issued_at)
    ]


def cancelled_states(billing: Billing, month: Month) -> dict[str, State]:
    """The invoices that the month cancels, as their refills see them."""
    return {entry.number: State.CANCELED for entry, _ in due_cancellations(billing, month)}


def find_cancelled(
    billing: Billing,
    month: Month,
    organisations: pl.DataFrame,
    accounts: dy.DataFrame[CreditAccounts],
    arrivals: dy.DataFrame[CreditMovements],
) -> CancelledMonth:
    """The invoices that a month's credit notes cancel; those of payers without an account wait.

    Args:
        billing: the home.
        month: the month to bill.
        organisations: current versions, one row per owner.
        accounts: those that are settled in the month, as it opens.
        arrivals: the movements with which it opens.
    """
    due = due_cancellations(billing, month)
    if not due:
        return CancelledMonth()
    pays_for = dict(organisations.select("owner_id", "payer_id").iter_rows())
    balances = dict(accounts.select("payer_id", "prepaid_before_cents").iter_rows())
    settled = _settled_refills(billing, month, arrivals)
    cancelled = []
    for entry, issued in due:
        payer, origin = issued.request.payer_id, issued.request.billing_month
        holder = pays_for.get(payer, payer)
        if holder in balances:
            lines = _lines_left(billing, payer, origin, entry.seq)
            has_arrived = not settled.filter(number=entry.number).is_empty()
            cancelled.append(CancelledInvoice(entry.seq, payer, holder, str(origin), lines, has_arrived))
    refunded = _refunded_before(billing, month)
    prepaid = {}
    for holder in {one.holder_id for one in cancelled}:
        own = settled.filter(pl.col("payer_id").replace(pays_for) == holder).sort("arrived", "number", descending=True)
        sales = [
            Sale(number, cents - refunded.get(number, 0))
            for number, cents in own.select("number", "amount_cents").iter_rows()
        ]
        prepaid[holder] = HeldPrepaid(balances[holder], sales)
    return CancelledMonth(cancelled, prepaid)


def _settled_refills(billing: Billing, month: Month, arrivals: pl.DataFrame) -> pl.DataFrame:
    """Every refill that reached a prepaid balance: `number` of its invoice, `payer_id`, `arrived`, `amount_cents`."""
    months = {str(month): arrivals}
    earlier = billing.books.first_month() or month
    while earlier < month:
        moved = billing.settled("credits/credit_movements", earlier).read()
        months[str(earlier)] = without(moved, billing.settled("invoices/parked_organisations", earlier).read())
        earlier = earlier.next
    numbers = {
        (document.request.payer_id, str(document.request.billing_month)): document.number
        for document in billing.books.issued()
        if document.is_monthly
    }
    rows = []
    for arrived, movements in months.items():
        settled = movements.filter(pl.col("kind").cast(pl.String) == "settled")
        for holder, grant, cents in settled.select("payer_id", "grant_id", "amount_cents").iter_rows():
            sold_in, _, sold_to = grant.partition(" of ")
            number = numbers.get((sold_to or holder, sold_in))
            if number is not None:
                rows.append((number, holder, arrived, cents))
    schema = {"number": pl.String, "payer_id": pl.String, "arrived": pl.String, "amount_cents": pl.Int64}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _refunded_before(billing: Billing, month: Month) -> dict[str, int]:
    """What credit notes of earlier months refunded of each sale, by the number of its invoice."""
    before = settled_before(billing, _CREDIT_NOTES, month)
    if before is None:
        return {}
    given = without_held_back(billing, before.read("given_back"), "holder_id", month.previous)
    refunded = GivenBack.cast(given).filter(pl.col("grant_id") == "unspent refill")
    return dict(refunded.group_by("refers_to").agg(pl.col("amount_cents").sum()).iter_rows())


def cancelled_differences(billing: Billing, month: Month) -> dy.DataFrame[Differences]:
    """What cancellations took off the lines of a month, as corrections of these lines: billed once, and no more now."""
    found = [Differences.create_empty()]
    numbered = {document.number: document for document in billing.books.issued()}
    for entry in billing.books.cancellations():
        payer = numbered[entry.number].request.payer_id
        lines = _lines_left(billing, payer, entry.month, entry.seq).filter(pl.col("origin_month") == str(month))
        found.append(
            Differences.cast(
                lines.with_columns(
                    pl.col("basis", "rule_kind", "unit").cast(pl.String),
                    line_id=pl.coalesce("corrected_line_id", "line_id"),
                    cause=pl.lit("withdrawn"),
                    billed_quantity="quantity",
                    billed_duration_s="duration_s",
                    billed_cents="amount_cents",
                    rated_quantity=pl.lit(0).cast(pl.Decimal(38, 9)),
                    rated_duration_s=pl.when(pl.col("duration_s").is_not_null()).then(pl.lit(0, pl.Int64)),
                    rated_cents=pl.lit(0, pl.Int64),
                    difference_cents=0 - pl.col("amount_cents"),
                ).select(Differences.column_names())
            )
        )
    return Differences.cast(pl.concat(found))


def cancel_documents(billing: Billing, month: Month, notes: pl.DataFrame) -> None:
    """Move the invoices that a month's credit notes cancel: one that is not paid is cancelled from its `as_of` on.

    One that is paid stays paid until what was received is given back.

    Args:
        billing: the home.
        month: the issued month.
        notes: its issued credit notes.
    """
    states = billing.books.states(billing.as_of(month))
    decided = {entry.seq: entry for entry in billing.books.cancellations()}
    cancelling = notes.drop_nulls("decision").sort("number")
    for number, decision in cancelling.select("number", "decision").iter_rows():
        entry = decided[decision]
        if states[entry.number] is State.PENDING:
            reason = f"cancelled by {number}: {entry.reason}"
            billing.books.move(
                entry.number, State.CANCELED, reason=reason, author=entry.author, at=billing.as_of(month)
            )

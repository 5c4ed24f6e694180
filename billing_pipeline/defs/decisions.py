"""Invoices that are cancelled or issued again, and credits that are refunded: the decision in the books, the credit
note, the state.

The credit note is drafted and issued with the next month that is closed as of the decision or later, as corrections are
that were approved. Until then the document stays what it is, and nobody moves its state but payments.
"""

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.books import Decision, DecisionKind, Issued, NotDecidable, invoices_of_months
from billing_pipeline.defs.billing import Billing
from billing_pipeline.defs.corrections import approved_rows, settled_before, without_held_back
from billing_pipeline.defs.states import known_by
from billing_pipeline.defs.taxes import decide_month_taxes
from billing_pipeline.rules.balances import current_organisations
from billing_pipeline.rules.credit_notes import CreditedInvoice, HeldPrepaid, uncredited_lines
from billing_pipeline.rules.lifecycle import CREDIT_NOTE, RECEIVED, State
from billing_pipeline.rules.parking import without
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.refunds import Sale, find_sales, find_unspent
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.corrections import Differences, GivenBack
from billing_pipeline.tables.credits import CreditAccounts, CreditMovements, Refills
from billing_pipeline.tables.invoices import InvoiceLines

_CREDIT_NOTES = "credits/credit_notes"


class CreditedMonth(NamedTuple):
    """The invoices that a month's credit notes take back or refund, and what is prepaid by who holds their credits."""

    invoices: Sequence[CreditedInvoice] = ()
    prepaid: Mapping[str, HeldPrepaid] = {}


def cancel_invoice(billing: Billing, number: str, *, reason: str, author: str, at: datetime | None = None) -> Decision:
    """Keep in the books that an invoice is to be cancelled.

    Args:
        billing: the home.
        number: of a monthly invoice, or of one beside it: a service, or credits that are sold and not paid. An interim
            invoice is cancelled until its month is issued.
        reason: why.
        author: who decides it.
        at: from when on it counts; default: the last issue of a month, or the last change of the invoice after it.

    Raises:
        NotIssued, ChangeOutOfOrder: see `Books.decide`.
        NotDecidable: it cannot be in its state, or nothing of it is left to credit.
    """
    issued = find_issued(billing, number)
    if issued is not None and (issued.bills_month or issued.is_beside):
        _require_something_left(billing, issued)
    return _decide(billing, DecisionKind.CANCEL, number, reason, author, at)


def reissue_invoice(billing: Billing, number: str, *, reason: str, author: str, at: datetime | None = None) -> Decision:
    """Keep in the books that an invoice is to be issued again, for the party, address and VAT of then.

    Args:
        billing: the home.
        number: of the invoice of a month, not paid yet.
        reason: why; printed on the credit note and on the new invoice.
        author: who decides it.
        at: as for `cancel_invoice`.

    Raises:
        NotIssued, ChangeOutOfOrder: see `Books.decide`.
        NotDecidable: it cannot be in its state, or something of it was credited or corrected.
    """
    issued = find_issued(billing, number)
    if issued is not None and issued.bills_month and billing.books.states()[number] is State.PENDING:
        _require_untouched(billing, issued)
    return _decide(billing, DecisionKind.REISSUE, number, reason, author, at)


def refund_credits(
    billing: Billing, name: str, *, reason: str, author: str, at: datetime | None = None
) -> tuple[list[Decision], int]:
    """Keep in the books that prepaid credits are to be refunded which nobody spent.

    Args:
        billing: the home.
        name: of a monthly invoice whose refill was paid, of a top-up that was paid, or of an organisation that closed.
        reason: why.
        author: who decides it.
        at: as for `cancel_invoice`.

    Returns:
        A decision per invoice, that of the newest sale first, and the cents of the balance that no invoice here sold.

    Raises:
        NotIssued, ChangeOutOfOrder: see `Books.decide`.
        NotDecidable: nothing that an invoice here sold is left unspent, or the organisation goes on.
    """
    issued = find_issued(billing, name)
    holder, last = _holder(billing, issued.request.payer_id if issued else name)
    balance, sales = _prepaid_after(billing, last, holder)
    unspent = {number: cents for number, cents in find_unspent(sales, balance).items() if cents}
    elsewhere = balance - sum(unspent.values())
    if issued is not None:
        numbers = _refundable(billing, issued, unspent, holder, last)
    else:
        _require_closed(billing, holder, last)
        numbers = list(unspent)
        if not numbers:
            message = (
                f"{holder} has {balance:,} cents of prepaid credits after {last}, and no invoice here sold any of it: "
                f"it was brought along, so that whoever sold it gives it back"
                if balance
                else f"{holder} has no prepaid credits after {last}; nothing is to be refunded"
            )
            raise NotDecidable(message)
    return [_decide(billing, DecisionKind.REFUND, number, reason, author, at) for number in numbers], elsewhere


def _decide(
    billing: Billing, kind: DecisionKind, number: str, reason: str, author: str, at: datetime | None
) -> Decision:
    instants = [month.as_of for month in billing.books.issued_months()]
    instants += [change.at for change in billing.books.histories().get(number, [])]
    return billing.books.decide(kind, number, reason=reason, author=author, at=at or max(instants))


def _holder(billing: Billing, payer: str) -> tuple[str, Month]:
    """Who holds an organisation's credits after the last issued month, and that month.

    Raises:
        NotDecidable: no month is issued, or nobody is called so.
    """
    months = billing.books.issued_months()
    organisations = (
        billing.read("accounts/organisations", months[-1].month).read().sort("valid_from") if months else pl.DataFrame()
    )
    own = organisations.filter(owner_id=payer) if months else organisations
    if own.is_empty():
        message = f"no invoice and no organisation is called {payer}; give a number, or the id of who closed"
        raise NotDecidable(message)
    last = months[-1].month
    statements = billing.settled("credits/credit_statements", last).read()
    return _held_by(organisations, statements["payer_id"])[payer], last


def _held_by(organisations: pl.DataFrame, accounts: Iterable[str]) -> dict[str, str]:
    """Who holds an organisation's credits: itself while it has an account, then who pays for it.

    Args:
        organisations: versions in order, the last one of each owner counts.
        accounts: who has an account in the month.
    """
    own = set(accounts)
    pays_for = organisations.select("owner_id", "payer_id").iter_rows()
    return {owner: owner if owner in own else payer for owner, payer in pays_for}


def _prepaid_after(billing: Billing, last: Month, holder: str) -> tuple[int, list[Sale]]:
    """What a payer has prepaid after an issued month, and the sales it may be left of, the newest first."""
    statements = billing.settled("credits/credit_statements", last).read()
    statement = statements.filter(payer_id=holder)
    balance = int(statement.select(pl.col("prepaid_before_cents") + pl.col("prepaid_used_cents")).sum().item() or 0)
    organisations = billing.read("accounts/organisations", last).read().sort("valid_from")
    held_by = _held_by(organisations, statements["payer_id"])
    settled = _settled_sales(billing, last.next, CreditMovements.create_empty())
    given = billing.settled(_CREDIT_NOTES, last).read("given_back")
    return balance, _sales_of(holder, settled, held_by, given)


def _refundable(billing: Billing, issued: Issued, unspent: Mapping[str, int], holder: str, last: Month) -> list[str]:
    """The invoice, if what it sold was paid and something of it is left; one that was paid since is all left."""
    refills = billing.settled("invoices/refills", last).typed(Refills)
    payer, month, reference = issued.sale
    pending = refills.filter(payer_id=payer, billing_month=month, reference=reference)
    is_paid = billing.books.states()[issued.number] is State.PAID
    sells = issued.bills_month or issued.is_top_up
    if sells and is_paid and not unspent.get(issued.number) and pending.is_empty():
        message = (
            f"nothing that {issued.number} sold is left: what {holder} has prepaid after {last} is of other sales, or "
            f"was spent"
        )
        if issued.bills_month:
            message += (
                f"; a charge that is wrong is corrected (billing correct {month}) or cancelled "
                f"(billing cancel {issued.number})"
            )
        raise NotDecidable(message)
    return [issued.number]


def _require_closed(billing: Billing, owner: str, last: Month) -> None:
    """Refuse to refund all prepaid credits of an organisation that goes on.

    Raises:
        NotDecidable: it did not close by the end of the last issued month.
    """
    versions = billing.read("accounts/organisations", last).read().filter(owner_id=owner).sort("valid_from")
    closed_on = versions["closed_on"][-1]
    if closed_on is None or closed_on > last.last_day:
        message = (
            f"{owner} did not close by the end of {last}, so that its prepaid credits stay for what it uses; what one "
            f"invoice sold is refunded by its number: billing refund NUMBER"
        )
        raise NotDecidable(message)


def _sales_of(holder: str, settled: pl.DataFrame, held_by: Mapping[str, str], given: pl.DataFrame) -> list[Sale]:
    """The sales that reached what somebody holds now, less what credit notes refunded of them, the newest first."""
    refunds = given.filter(pl.col("grant_id") == "unspent refill")
    refunded = dict(refunds.group_by("refers_to").agg(pl.col("amount_cents").sum()).iter_rows())
    own = settled.filter(pl.col("payer_id").replace(held_by) == holder).sort("arrived", "number", descending=True)
    return [
        Sale(number, cents - refunded.get(number, 0))
        for number, cents in own.select("number", "amount_cents").iter_rows()
    ]


def find_issued(billing: Billing, number: str) -> Issued | None:
    """The issued document of this number."""
    return next((document for document in billing.books.issued() if document.number == number), None)


def _require_something_left(billing: Billing, issued: Issued) -> None:
    """Check that corrections left something of an invoice.

    Raises:
        NotDecidable: they took off all of it or more, or it never asked for or used anything.
    """
    month = issued.billed_month
    lines = _lines_left(billing, issued, None)
    left = int(lines["amount_cents"].cast(pl.Int128).sum())
    if left < 0 or left + sold_credits(billing, issued) == 0:
        message = (
            f"nothing of {issued.number} is left to credit: corrections took it off, or it never asked for anything; "
            f"what is wrong with {month} now is corrected: billing correct {month}"
        )
        raise NotDecidable(message)


def _require_untouched(billing: Billing, issued: Issued) -> None:
    """Check that nothing of an invoice was credited or corrected: what is issued again is what was issued.

    Raises:
        NotDecidable: it was; the message says what to do.
    """
    notes = [
        document.number
        for document in billing.books.issued()
        if document.request.kind == CREDIT_NOTE and document.request.facts.get("refers_to") == issued.number
    ]
    month = issued.billed_month
    approved = approved_rows(billing, billing.books.approved_corrections(month))
    if notes or not approved.filter(payer_id=issued.request.payer_id).is_empty():
        what = f"{', '.join(notes)} credits it" if notes else f"a correction of {month} was approved for its payer"
        message = (
            f"{issued.number} cannot be issued again as it was: {what}; cancel what is left of it: "
            f"billing cancel {issued.number}"
        )
        raise NotDecidable(message)


def sold_credits(billing: Billing, issued: Issued) -> int:
    """The prepaid credits that a document asks money for: the refill of a month's invoice, or what it sells."""
    if issued.is_beside:
        return int(issued.request.facts["used_credits_cents"] or 0)
    if not issued.bills_month:
        return 0
    statements = billing.settled("credits/credit_statements", issued.billed_month).read()
    return int(statements.filter(payer_id=issued.request.payer_id)["refill_cents"].sum())


def _lines_left(billing: Billing, issued: Issued, until: int | None) -> dy.DataFrame[InvoiceLines]:
    """The lines of an invoice, less what corrections that were approved before an entry took off them.

    Corrections are of invoices of months alone. Credits that are sold have a line, but are no fees: they are credited
    as a refill is.
    """
    payer, month = issued.request.payer_id, issued.billed_month
    if issued.is_top_up:
        return InvoiceLines.create_empty()
    if issued.is_specific:
        said = billing.settled("invoices/specific_lines", month).read().filter(reference=issued.request.reference)
        return InvoiceLines.validate(said.filter(payer_id=payer))
    lines = billing.settled("invoices/invoice_lines", month).typed(InvoiceLines).filter(payer_id=payer)
    approved = [entry for entry in billing.books.approved_corrections(month) if until is None or entry.seq < until]
    return uncredited_lines(lines, Differences.cast(approved_rows(billing, approved)))


def due_decisions(billing: Billing, month: Month) -> list[tuple[Decision, Issued]]:
    """What was decided by the run's `as_of` and that no month before carried out.

    An issued month carries out what had been decided when it was issued first, however often it is closed again. An
    invoice is issued again if it is not paid by then, and once its payer is known and which VAT it pays.
    """
    decided = billing.books.decisions()
    if not decided:
        return []
    done = set(given_before(billing, month)["decision"].drop_nulls())
    issued_at = billing.books.first_issue_seq(month)
    numbered = {document.number: document for document in billing.books.issued()}
    due = [
        (entry, numbered[entry.number])
        for entry in decided
        if entry.seq not in done
        and _is_carried_out(entry, numbered[entry.number], month, billing.as_of(month))
        and (issued_at is None or entry.seq < issued_at)
    ]
    again = [issued for entry, issued in due if entry.kind is DecisionKind.REISSUE]
    ready = _ready_to_reissue(billing, month, again) if again else set()
    return [(entry, issued) for entry, issued in due if entry.kind is not DecisionKind.REISSUE or entry.number in ready]


def _ready_to_reissue(billing: Billing, month: Month, invoices: Sequence[Issued]) -> set[str]:
    """The numbers of those that are not paid and whose payers are known in the month, and their VAT."""
    states = billing.books.states(known_by(billing, month))
    organisations = billing.read("accounts/organisations", month).typed(Organisations)
    payers = {issued.request.payer_id for issued in invoices}
    current = current_organisations(organisations).filter(pl.col("owner_id").is_in(payers))
    taxed = set(decide_month_taxes(billing, month, Organisations.validate(current)).rates["payer_id"])
    return {
        issued.number
        for issued in invoices
        if issued.request.payer_id in taxed and states.get(issued.number) not in RECEIVED
    }


def _is_carried_out(entry: Decision, issued: Issued, month: Month, as_of: datetime) -> bool:
    """Whether a decision is one for a month: that to cancel an interim invoice for its own, which counts it else."""
    if issued.is_interim and entry.kind is DecisionKind.CANCEL:
        return entry.month == month
    return entry.month < month and entry.at <= as_of


def cancelled_states(billing: Billing, month: Month) -> dict[str, State]:
    """The invoices that the month cancels, as their refills see them."""
    due = due_decisions(billing, month)
    return {entry.number: State.CANCELED for entry, _ in due if entry.kind is DecisionKind.CANCEL}


def find_credited(
    billing: Billing,
    month: Month,
    organisations: pl.DataFrame,
    accounts: dy.DataFrame[CreditAccounts],
    arrivals: dy.DataFrame[CreditMovements],
) -> CreditedMonth:
    """The invoices that a month's credit notes take back or refund; those of payers without an account wait.

    Args:
        billing: the home.
        month: the month to bill.
        organisations: current versions, one row per owner.
        accounts: those that are settled in the month, as it opens.
        arrivals: the movements with which it opens.
    """
    due = due_decisions(billing, month)
    if not due:
        return CreditedMonth()
    balances = dict(accounts.select("payer_id", "prepaid_before_cents").iter_rows())
    held_by = _held_by(organisations, balances)
    settled = _settled_sales(billing, month, arrivals)
    credited = []
    for entry, issued in due:
        payer = issued.request.payer_id
        holder = held_by.get(payer, payer)
        if holder in balances:
            is_whole = entry.kind is not DecisionKind.REFUND
            reissue_reason = entry.reason if entry.kind is DecisionKind.REISSUE else None
            lines = _lines_left(billing, issued, entry.seq) if is_whole else InvoiceLines.create_empty()
            has_arrived = not settled.filter(number=entry.number).is_empty()
            is_settled = has_arrived or not is_whole
            credited.append(CreditedInvoice(entry.seq, entry.number, holder, lines, is_settled, reissue_reason))
    given = given_before(billing, month)
    prepaid = {
        holder: HeldPrepaid(balances[holder], _sales_of(holder, settled, held_by, given))
        for holder in {one.holder_id for one in credited}
    }
    return CreditedMonth(credited, prepaid)


def _settled_sales(billing: Billing, month: Month, arrivals: pl.DataFrame) -> pl.DataFrame:
    """Every refill and top-up that reached a prepaid balance: `number` of its invoice, `payer_id` of who held it then,
    `amount_cents`, `arrived`."""
    months = {str(month): arrivals}
    earlier = billing.books.first_month() or month
    while earlier < month:
        moved = billing.settled("credits/credit_movements", earlier).read()
        months[str(earlier)] = without(moved, billing.settled("invoices/parked_organisations", earlier).read())
        earlier = earlier.next
    issued = billing.books.issued()
    sold = [*invoices_of_months(issued).values(), *(document for document in issued if document.is_top_up)]
    documents = named_in_movements(sold, refill="settled", top_up="topped_up")
    return pl.concat(
        find_sales(movements, documents).with_columns(arrived=pl.lit(arrived)) for arrived, movements in months.items()
    )


def named_in_movements(sold: Sequence[Issued], *, refill: str, top_up: str) -> pl.DataFrame:
    """What credits that invoices sold are called in movements of a kind, as `find_sales` takes it."""
    rows = [
        (document.number, document.request.payer_id, top_up, document.request.reference)
        if document.is_top_up
        else (document.number, document.request.payer_id, refill, str(document.billed_month))
        for document in sold
    ]
    return pl.DataFrame(rows, schema=dict.fromkeys(("number", "payer_id", "kind", "name"), pl.String), orient="row")


def given_before(billing: Billing, month: Month) -> dy.DataFrame[GivenBack]:
    """What the credit notes of the months before gave back; those of parked payers were not issued."""
    before = settled_before(billing, _CREDIT_NOTES, month)
    if before is None:
        return GivenBack.create_empty()
    rows = before.typed(GivenBack, "given_back")
    return GivenBack.cast(without_held_back(billing, rows, "holder_id", month.previous))


def cancelled_differences(billing: Billing, month: Month) -> dy.DataFrame[Differences]:
    """What cancellations took off the lines of a month, as corrections of these lines: billed once, and no more now."""
    found = [Differences.create_empty()]
    numbered = {document.number: document for document in billing.books.issued()}
    for entry in billing.books.decisions():
        if entry.kind is not DecisionKind.CANCEL or not numbered[entry.number].bills_month:
            continue
        lines = _lines_left(billing, numbered[entry.number], entry.seq).filter(pl.col("origin_month") == str(month))
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
                )
            )
        )
    return Differences.cast(pl.concat(found))


def cancel_documents(billing: Billing, month: Month, notes: pl.DataFrame) -> None:
    """Move the invoices that a month's credit notes take back: one that is not paid is cancelled from its `as_of` on.

    One that is paid, be it later, stays paid until what was received is given back.

    Args:
        billing: the home.
        month: the issued month.
        notes: its issued credit notes.
    """
    states, last = billing.books.states(billing.as_of(month)), billing.books.states()
    decided = {entry.seq: entry for entry in billing.books.decisions() if entry.kind is not DecisionKind.REFUND}
    for number, decision in notes.drop_nulls("decision").sort("number").select("number", "decision").iter_rows():
        entry = decided.get(decision)
        if entry is not None and states[entry.number] is last[entry.number] is State.PENDING:
            what = "cancelled" if entry.kind is DecisionKind.CANCEL else "to be issued again, taken back"
            reason = f"{what} by {number}: {entry.reason}"
            billing.books.move(
                entry.number, State.CANCELED, reason=reason, author=entry.author, at=billing.as_of(month)
            )

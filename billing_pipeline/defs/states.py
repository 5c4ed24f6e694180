"""States of issued documents: payments that landed move them, the books keep each change, a table shows them."""

from collections.abc import Sequence
from datetime import datetime

import polars as pl

from billing_pipeline.books import Issued, invoices_of_months
from billing_pipeline.defs.billing import Billing, as_of, partition
from billing_pipeline.defs.monthly import Report, Table
from billing_pipeline.rules.balances import may_pay
from billing_pipeline.rules.lifecycle import CREDIT_NOTE, follow
from billing_pipeline.rules.payments import Receivables, settle_documents
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.succession import find_takeovers, first_organisations, taken_over
from billing_pipeline.tables.accounts import Organisations, Payments
from billing_pipeline.tables.invoices import States

STATES = Table(
    "invoices/states",
    "What became of everything issued up to this month, as of its issue. One row per document and change of state.",
    deps=["invoices/invoices"],
)


def known_by(billing: Billing, month: Month) -> datetime:
    """The instant as of which the month read its payments: so late are the states that its credits start from."""
    return as_of(billing.read("accounts/payments", month))


def record_payments(billing: Billing, month: Month, refills: pl.DataFrame, until: datetime) -> pl.DataFrame:
    """Move the states of issued documents as the payments that the month read say; once more changes nothing.

    Args:
        billing: the home.
        month: whose payments and organisations count.
        refills: those that were pending after the month before, for who holds them.
        until: what becomes known later is not looked at.

    Returns:
        Payments that cannot be right: `payer_id`, `reason`, `detail`.
    """
    payments = billing.read("accounts/payments", month).typed(Payments)
    organisations = billing.read("accounts/organisations", month).typed(Organisations)
    issued = [document for document in billing.books.issued() if document.as_of <= until]
    by_month = {document.number for document in invoices_of_months(issued).values()}
    rows = [_receivable(document, is_named_by_month=document.number in by_month) for document in issued]
    documents = Receivables.validate(pl.DataFrame(rows, schema=Receivables.create_empty().schema))
    takeovers = find_takeovers(first_organisations(organisations))
    payers = [
        may_pay(organisations, taken_over(refills, takeovers, "holder_id")),
        documents.select("payer_id", owner_id="payer_id"),
    ]
    settled = settle_documents(documents, billing.books.histories(), payments, pl.concat(payers).unique(), until)
    billing.books.record_changes(settled.changes)
    return settled.refused


def publish_states(billing: Billing, month: Month) -> Report:
    """Publish the changes that count as of the month's issue, of the documents of this month and older ones."""
    as_of = billing.as_of(month)
    issued = [document for document in billing.books.issued() if not month < document.request.billing_month]
    states = States.validate(_list_states(billing, issued, as_of))
    billing.warehouse.publish(STATES.key, partition(month), states, as_of=as_of)
    last = states.group_by("number").agg(pl.col("state").sort_by("change_number").last())
    counts = dict(last["state"].cast(pl.String).value_counts().sort("state").iter_rows())
    return Report({"dagster/row_count": states.height} | counts)


def _list_states(billing: Billing, issued: Sequence[Issued], as_of: datetime) -> pl.DataFrame:
    histories = billing.books.histories(as_of)
    rows = [
        {
            "number": document.number,
            "change_number": place,
            "payer_id": document.request.payer_id,
            "kind": document.request.kind,
            "billing_month": str(document.request.billing_month),
            "state": change.state.value,
            "changed_at": change.at,
            "reason": change.reason,
            "author": change.author,
            "payment_id": change.payment_id,
        }
        for document in issued
        if document.number in histories
        for place, change in enumerate(follow(histories[document.number]), 1)
    ]
    return pl.DataFrame(rows, schema=States.create_empty().schema).sort("number", "change_number")


def _receivable(document: Issued, *, is_named_by_month: bool) -> dict[str, object]:
    request = document.request
    is_note = request.kind == CREDIT_NOTE
    return {
        "number": document.number,
        "kind": request.kind,
        "payer_id": request.payer_id,
        "billing_month": str(document.billed_month) if is_named_by_month else None,
        "payable_cents": document.document.payable_cents,
        "currency": request.facts["currency"],
        "refers_to": request.facts.get("refers_to") if is_note else None,
        "credits_at": document.as_of if is_note and request.facts.get("decision") is None else None,
    }

"""The totals of a month as people read them."""

from collections.abc import Collection, Iterator

import polars as pl

from billing_pipeline.defs.billing import Billing, partition
from billing_pipeline.documents.formatting import format_money
from billing_pipeline.rules.period import Month


def month_totals(billing: Billing, month: Month) -> Iterator[tuple[str, ...]]:
    """One row of texts per currency: month, state, invoices, fees, credits used, refills, VAT, to pay, parked, late."""
    if billing.warehouse.current("invoices/drafts", partition(month)) is None:
        yield (str(month), "open", *[""] * 8)
        return
    is_issued = billing.books.is_issued(month)
    invoices = billing.read("invoices/invoices" if is_issued else "invoices/drafts", month).read()
    statements = billing.settled("credits/credit_statements", month).read()
    billed = invoices.join(statements.drop("fees_cents", "currency"), on="payer_id")
    parked = billing.settled("invoices/parked_organisations", month).read()["payer_id"].n_unique()
    late = billing.read("usage/late_arrivals", month).read()["late_rows"].sum()
    state = "issued" if is_issued else "draft"
    if billed.is_empty():
        yield (str(month), state, "0", *[""] * 5, str(parked), str(late))
    for (currency,), rows in billed.sort("currency").group_by("currency", maintain_order=True):
        used = -int(rows.select(pl.sum("free_used_cents") + pl.sum("prepaid_used_cents")).item())
        amounts = (
            int(rows["fees_cents"].sum()),
            used,
            *(int(rows[f"{name}_cents"].sum()) for name in ("refill", "vat", "payable")),
        )
        money = (format_money(amount, str(currency)) for amount in amounts)
        yield (str(month), state, f"{rows.height:,}", *money, str(parked), f"{late:,}")


def interim_sentences(billing: Billing, month: Month, known: Collection[str]) -> Iterator[str]:
    """What a run of interim invoices asked for, and whom it did not ask because the bill would be wrong.

    Args:
        billing: the home.
        month: the running month.
        known: numbers that were there before.
    """
    drafts = billing.read("interim/drafts", month)
    new = [document for document in billing.books.issued(month) if document.number not in known]
    for document in new:
        request = document.request
        payable = format_money(document.document.payable_cents, str(request.facts["currency"]))
        yield f"{document.number} asks {request.payer_id} for {payable}: {request.period_start} to {request.period_end}"
    for payer, reason, detail in drafts.read("parked").iter_rows():
        yield f"{payer} is asked for nothing: {reason} ({detail})"
    if not new:
        yield f"No period of {month} is left to ask for, or nothing is lacking."

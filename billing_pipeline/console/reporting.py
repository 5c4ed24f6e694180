"""The totals of a month as people read them."""

from collections.abc import Iterator

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

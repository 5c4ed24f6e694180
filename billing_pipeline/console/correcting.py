"""Corrects an issued month: rates it again, says what differs, and keeps the approval."""

from collections.abc import Iterator
from datetime import datetime

import polars as pl

from billing_pipeline.console.releasing import newest_arrivals
from billing_pipeline.console.running import run_job
from billing_pipeline.defs.billing import Billing, as_of, partition
from billing_pipeline.defs.corrections import DIFFERENCES, NotCorrectable, approve_differences
from billing_pipeline.documents.formatting import format_money
from billing_pipeline.rules.period import Month
from billing_pipeline.warehouse import Generation

_AMOUNTS = ("billed_cents", "rated_cents", "difference_cents")


def correct_month(billing: Billing, month: Month, seen: datetime | None) -> None:
    """Rate an issued month again; by default with everything that has landed.

    Raises:
        NotCorrectable: the month is not issued.
    """
    if not billing.books.is_issued(month):
        message = f"{month} is not issued, so it is closed again instead of corrected: billing close {month}"
        raise NotCorrectable(message)
    run_job("correct_month", [month], as_of=seen or newest_arrivals(billing, month))


def approve_correction(billing: Billing, month: Month, author: str) -> str:
    """Approve the differences that were published last, and say what follows."""
    approved = approve_differences(billing, month, author)
    if approved is None:
        return f"Nothing of {month} differs from what was billed; nothing was approved."
    return (
        f"Correction of {month} as of {approved.as_of:%Y-%m-%dT%H:%M:%SZ} approved by {approved.author} "
        f"(entry {approved.seq} of the books); the next month that is closed as of then or later books it."
    )


def print_csv(billing: Billing, month: Month) -> str:
    """The differences as CSV, amounts in cents."""
    return _published(billing, month).read().write_csv()


def print_differences(billing: Billing, month: Month) -> str:
    """The differences line by line, then by organisation and cause, with a total per currency."""
    return "\n".join([*_lines(_published(billing, month), month), ""])


def _published(billing: Billing, month: Month) -> Generation:
    published = billing.warehouse.current(DIFFERENCES, partition(month))
    if published is None:
        message = f"{month} was not rated again yet; run: billing correct {month}"
        raise NotCorrectable(message)
    return published


def _lines(published: Generation, month: Month) -> Iterator[str]:
    rows = published.read()
    yield f"{month} as of {as_of(published):%Y-%m-%dT%H:%M:%SZ}: {rows.height:,} lines differ from what was billed."
    if rows.height:
        yield _line("organisation", "resource", "service", "cause", "billed", "now", "difference")
    for row in rows.iter_rows(named=True):
        money = [format_money(row[amount], row["currency"]) for amount in _AMOUNTS]
        yield _line(row["owner_id"], row["resource_id"] or "several", row["slug"], row["cause"], *money)
    keys = ("payer_id", "owner_id", "cause", "currency")
    sums = rows.group_by(keys).agg(pl.col(_AMOUNTS).cast(pl.Int128).sum()).sort(keys)
    if sums.height:
        yield _line("payer", "organisation", "", "cause", "billed", "now", "difference")
    for row in sums.iter_rows(named=True):
        money = [format_money(int(row[amount]), row["currency"]) for amount in _AMOUNTS]
        yield _line(row["payer_id"], row["owner_id"], "", row["cause"], *money)
    for (currency,), of_currency in rows.sort("currency").group_by("currency", maintain_order=True):
        totals = [int(of_currency[amount].cast(pl.Int128).sum()) for amount in _AMOUNTS]
        yield _line("total", "", str(currency), "", *(format_money(total, str(currency)) for total in totals))
    held_back = published.read("held_back")
    yield f"Not compared: {held_back['payer_id'].n_unique():,}"
    for row in held_back.iter_rows():
        yield "  " + "  ".join(row)
    if "not_invoiced.parquet" not in published.files:
        return
    late = published.read("not_invoiced")
    yield f"Charges that no invoice of their own asks for: {late.height:,}" + (
        "; they came after the month was issued, enter them again with a date in an open one" if late.height else ""
    )
    for payer, kind, reference, cents, currency in late.iter_rows():
        yield f"  {payer}  {kind}  {reference}  {format_money(cents, currency)}"


def _line(owner: str, resource: str, service: str, cause: str, *amounts: str) -> str:
    return f"{owner[:26]:<26}  {resource[:26]:<26}  {service[:24]:<24}  {cause:<9}" + "".join(
        f"{amount:>15}" for amount in amounts
    )

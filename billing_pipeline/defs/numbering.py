"""Numbers for drafts: how the books take them, and how numbered documents join those of the month."""

from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import Any

import dataframely as dy
import polars as pl

from billing_pipeline.books import IssueRequest
from billing_pipeline.defs.billing import Billing, partition
from billing_pipeline.rules.period import Month

#: What the books keep of every document beside its key.
_FACTS = ("currency", "fees_cents", "subtotal_cents", "vat_cents", "payable_cents")


def request_issue(
    row: Mapping[str, Any], month: Month, content_hash: str, facts: Iterable[str] = (), reference: str = ""
) -> IssueRequest:
    """A draft as the books take it.

    Args:
        row: of a table of drafts.
        month: with which it is issued.
        content_hash: of all that it says and rests on.
        facts: columns that the books keep beside those of every document.
        reference: empty for the monthly invoice, the number that is replaced for one in its stead.
    """
    return IssueRequest(
        payer_id=str(row["payer_id"]),
        kind=str(row["kind"]),
        billing_month=month,
        period_start=row["period_start"],
        period_end=row["period_end"],
        content_hash=content_hash,
        facts={fact: row[fact] for fact in (*_FACTS, *facts)},
        reference=reference,
    )


def give_numbers(billing: Billing, month: Month, requests: Sequence[IssueRequest]) -> list[tuple[str, date]]:
    """Number and date of each request, in the series of invoices; one that was numbered before keeps its own."""
    issued = billing.books.issue(
        requests,
        billing.settings.series,
        billing.issue_date(month),
        as_of=billing.as_of(month),
        number_format=billing.settings.number_format,
    )
    return [(document.number, document.issued_on) for document in issued]


def publish_numbered(
    billing: Billing, month: Month, table: str, schema: type[dy.Schema], documents: dy.DataFrame
) -> None:
    """Publish issued documents together with those of the month that were published before."""
    older = billing.warehouse.current(table, partition(month))
    others = documents.clear()
    if older:
        others = older.typed(schema).join(documents, on="number", how="anti")
    billing.warehouse.publish(
        table,
        partition(month),
        schema.validate(pl.concat([schema.cast(others), documents]).sort("number")),
        as_of=billing.as_of(month),
        inputs={"issued before": older.id} if older else {},
    )

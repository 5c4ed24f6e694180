"""From drafts to issued invoices: what makes a draft the same again, and the dates an issued one bears."""

import hashlib
import json
from collections.abc import Iterable, Mapping, Sequence
from datetime import date
from typing import TypeVar

import dataframely as dy
import polars as pl

from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.credits import CreditStatements
from billing_pipeline.tables.invoices import Drafts, InvoiceLines

Numbered = TypeVar("Numbered", bound=dy.Schema)


def hash_drafts(
    drafts: dy.DataFrame[Drafts], lines: dy.DataFrame[InvoiceLines], statements: dy.DataFrame[CreditStatements]
) -> dict[str, str]:
    """Per payer the sha256 of everything its invoice says; equal drafts have equal hashes."""
    said: dict[str, list[Mapping[str, object]]] = {payer: [] for payer in drafts["payer_id"]}
    for rows in (drafts, statements, lines.sort("payer_id", "line_number")):
        for row in rows.iter_rows(named=True):
            if row["payer_id"] in said:
                said[row["payer_id"]].append(row)
    return {payer: hash_rows(rows) for payer, rows in said.items()}


def hash_rows(rows: Iterable[Mapping[str, object]]) -> str:
    """The sha256 of rows as text; equal rows in the same order have equal hashes."""
    said = (json.dumps(row, sort_keys=True, default=str) for row in rows)
    return hashlib.sha256("\n".join(said).encode()).hexdigest()


def number_documents(
    drafts: pl.DataFrame,
    numbers: Sequence[tuple[str, date]],
    organisations: dy.DataFrame[Organisations],
    payment_terms_days: int,
    table: type[Numbered],
) -> dy.DataFrame[Numbered]:
    """The drafts of documents with their numbers and dates, by number.

    An organisation's own payment terms go before the provider's.

    Args:
        drafts: of one kind of document.
        numbers: number and date of issue of each, in their order.
        organisations: current versions, one row per owner.
        payment_terms_days: days from issue to payment.
        table: of the issued documents.
    """
    terms = organisations.select(payer_id="owner_id", terms=pl.col("payment_terms_days").fill_null(payment_terms_days))
    numbered = drafts.with_columns(
        number=pl.Series([number for number, _ in numbers], dtype=pl.String),
        issued_on=pl.Series([day for _, day in numbers], dtype=pl.Date),
    ).join(terms, on="payer_id", how="left")
    due = numbered.with_columns(due_on=pl.col("issued_on") + pl.duration(days="terms"))
    return table.validate(due.sort("number"))

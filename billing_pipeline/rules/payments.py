"""Which document a payment is for, and what the payments that are known make of the documents."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.rules.lifecycle import CREDIT_NOTE, Change, Credit, Document, Payment, apply_payments
from billing_pipeline.tables.accounts import Payments
from billing_pipeline.tables.columns import organisation_id
from billing_pipeline.tables.table import Table


class Receivables(Table):
    """One row per issued document that payments may name."""

    number = dy.String(primary_key=True)
    #: `invoice` or `credit_note`.
    kind = dy.String()
    payer_id = organisation_id()
    #: The month whose invoice it is; null for any other document, and for an invoice in whose stead another one was
    #: issued: only its number names it.
    billing_month = dy.String(nullable=True)
    payable_cents = dy.Int64(min=0)
    currency = dy.String(min_length=3, max_length=3)
    #: The invoice that a credit note corrects; null for invoices.
    refers_to = dy.String(nullable=True)
    #: From when on a credit note for corrections counts; null for all others: what a decision credits is told by it.
    credits_at = dy.Datetime(time_unit="us", time_zone="UTC", nullable=True)


class SettledDocuments(NamedTuple):
    """What payments changed, and those among them that cannot be right."""

    #: Changes that the histories do not have yet, by instant and number.
    changes: list[Change]
    #: One row per refused payment: `payer_id`, `reason` (``refund_excess``), `detail`.
    refused: pl.DataFrame


def name_documents(documents: pl.DataFrame) -> pl.DataFrame:
    """The documents under each `name` that a payment may give: the number, and ``<payer_id>/<month>``.

    Args:
        documents: `number`, `payer_id` and `billing_month` among others; a null number or month gives no name.
    """
    by_number = documents.filter(pl.col("number").is_not_null()).with_columns(name="number")
    by_month = documents.filter(pl.col("billing_month").is_not_null()).with_columns(
        name=pl.format("{}/{}", "payer_id", "billing_month")
    )
    return pl.concat([by_number, by_month])


def match_payments(payments: pl.DataFrame, named: pl.DataFrame, may_pay: pl.DataFrame) -> pl.DataFrame:
    """The payments of each document: those that name it and come from someone who may pay it.

    Args:
        payments: rows of `tables.accounts.Payments`.
        named: documents as `name_documents` returns them; no other column is called as one of a payment's.
        may_pay: `payer_id`, and `owner_id` of everyone whose payments count for it.

    Returns:
        Rows of `named` with the columns of their payments, whose `currency` is the payment's.
    """
    named_by = payments.with_columns(name=pl.coalesce("invoice_number", "reference"))
    return named_by.join(named, on="name").join(may_pay, on=["payer_id", "owner_id"], how="semi")


def settle_documents(
    documents: dy.DataFrame[Receivables],
    histories: Mapping[str, Sequence[Change]],
    payments: dy.DataFrame[Payments],
    may_pay: pl.DataFrame,
    until: datetime,
) -> SettledDocuments:
    """What the payments that are known change: see `rules.lifecycle.apply_payments`.

    A payment that names a credit note counts for the invoice that it corrects, too.

    Args:
        documents: issued ones.
        histories: their changes so far, by number.
        payments: what had landed, in any order.
        may_pay: as for `match_payments`.
        until: what becomes known later is not looked at.
    """
    named = name_documents(documents.select("number", "payer_id", "billing_month", owed="currency"))
    matched = match_payments(payments, named, may_pay).filter(pl.col("currency") == pl.col("owed"))
    columns = ("payment_id", "known_at", "received_at", "outcome", "paid_cents")
    notes = documents.drop_nulls("refers_to")
    corrects = dict(notes.filter(pl.col("kind") == CREDIT_NOTE).select("number", "refers_to").iter_rows())
    told: dict[str, list[Payment]] = {}
    for number, *values in matched.select("number", *columns).iter_rows():
        told.setdefault(number, []).append(Payment(*values))
        if number in corrects:
            told.setdefault(corrects[number], []).append(Payment(*values, is_of_note=True))
    credited: dict[str, list[Credit]] = {}
    for invoice, *noted in (
        notes.drop_nulls("credits_at").select("refers_to", "number", "credits_at", "payable_cents").iter_rows()
    ):
        credited.setdefault(invoice, []).append(Credit(*noted))
    changes: list[Change] = []
    refused: list[tuple[str, str, str]] = []
    receivables = documents.filter(pl.col("number").is_in([*told, *credited]))
    for number, kind, payer, payable in receivables.select("number", "kind", "payer_id", "payable_cents").iter_rows():
        settlement = apply_payments(
            Document(number, kind, payable),
            histories[number],
            told.get(number, ()),
            until,
            credited.get(number, ()),
        )
        changes += settlement.changes
        refused += [(payer, number, payment.payment_id) for payment in settlement.refused]
    rows = pl.DataFrame(
        sorted(refused), schema=dict.fromkeys(("payer_id", "number", "payment_id"), pl.String), orient="row"
    )
    return SettledDocuments(
        sorted(changes, key=lambda change: (change.at, change.number)),
        rows.select(
            "payer_id",
            reason=pl.lit("refund_excess"),
            detail=pl.format(
                "payment {} gives back more than was received for {}; it is not counted", "payment_id", "number"
            ),
        ),
    )

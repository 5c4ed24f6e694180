"""Credit notes: what corrections take off an issued invoice beyond the fees of the one that would book them.

A credit note refers to the corrected invoice and has positive amounts. What it credits is given back in the reverse
order in which credits and money paid that invoice: the part that was invoiced at once first, with its VAT at the
invoice's rate, then prepaid credits, then free lots from the last one that paid to the first. What was given back
before is not given back again; what a later invoice had added to the corrected one's month is money, too.

Prepaid credits and free lots come back when the month of the credit note opens. They pay nothing in it, as its fees are
zero then. A free lot whose validity has ended, or whose organisation closed, lapses with that month's statement.
"""

from collections.abc import Iterator, Mapping
from hashlib import sha256
from typing import Any, NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.rules.period import Month
from billing_pipeline.rules.rounding import round_half_away
from billing_pipeline.tables.corrections import CreditNoteLines, CreditNotes, GivenBack
from billing_pipeline.tables.credits import CreditAccounts, CreditLots, CreditMovements, CreditStatements, OpenLots
from billing_pipeline.tables.invoices import Invoices

_MONEY, _PREPAID = "", "prepaid"


class CorrectedInvoice(NamedTuple):
    """An issued invoice, and what paid it."""

    #: A row of `tables.invoices.Invoices`.
    invoice: Mapping[str, Any]
    #: A row of `tables.credits.CreditStatements`.
    statement: Mapping[str, Any]
    lots: dy.DataFrame[CreditLots]


class DraftedCreditNotes(NamedTuple):
    """The credit notes of a month, without numbers yet."""

    notes: dy.DataFrame[CreditNotes]
    lines: dy.DataFrame[CreditNoteLines]
    #: What these notes give back.
    given_back: dy.DataFrame[GivenBack]
    #: The lots as they paid the corrected invoices, under whoever holds them now.
    lots: pl.DataFrame


def corrected_invoices(
    invoices: dy.DataFrame[Invoices],
    statements: dy.DataFrame[CreditStatements],
    lots: dy.DataFrame[CreditLots],
    month: Month,
) -> dict[tuple[str, str], CorrectedInvoice]:
    """The invoices of a month by payer and month, each with its statement and lots."""
    stated = {row["payer_id"]: row for row in statements.iter_rows(named=True)}
    return {
        (row["payer_id"], str(month)): CorrectedInvoice(
            row, stated[row["payer_id"]], CreditLots.validate(lots.filter(pl.col("payer_id") == row["payer_id"]))
        )
        for row in invoices.iter_rows(named=True)
    }


def draft_credit_notes(
    left_over: pl.DataFrame,
    invoices: Mapping[tuple[str, str], CorrectedInvoice],
    given_before: dy.DataFrame[GivenBack],
    month: Month,
) -> DraftedCreditNotes:
    """One credit note per corrected invoice.

    Args:
        left_over: as `rules.corrections.book_corrections` returns it; with `corrected_payer_id`.
        invoices: the corrected invoices, by payer and month.
        given_before: what earlier credit notes gave back.
        month: the month with whose invoices they are issued.
    """
    notes, given, lots = [], [], []
    keys = ["corrected_payer_id", "origin_month", "payer_id"]
    for (payer, origin, holder), rows in left_over.sort(keys).group_by(keys, maintain_order=True):
        corrected = invoices[str(payer), str(origin)]
        refers_to = corrected.invoice["number"]
        before = given_before.filter(pl.col("refers_to") == refers_to)
        parts = dict(_give_back(int(rows["credit_cents"].cast(pl.Int128).sum()), corrected, before))
        about = {"refers_to": refers_to, "billing_month": str(month), "payer_id": payer, "holder_id": holder}
        given += [about | {"grant_id": grant, "amount_cents": cents} for grant, cents in parts.items() if cents]
        notes.append({**corrected.invoice, **about, **_amounts(parts, corrected.invoice)})
        returned = [grant for grant in parts if grant not in (_MONEY, _PREPAID)]
        lots.append(
            corrected.lots.filter(pl.col("grant_id").is_in(returned)).with_columns(payer_id=pl.lit(holder, pl.String))
        )
    numbers = {(payer, origin): corrected.invoice["number"] for (payer, origin), corrected in invoices.items()}
    return DraftedCreditNotes(
        CreditNotes.validate(_frame(CreditNotes, notes).sort("payer_id", "refers_to"), cast=True),
        _lines(left_over, numbers, month),
        GivenBack.validate(_frame(GivenBack, given).sort("refers_to", "grant_id"), cast=True),
        pl.concat([CreditLots.create_empty(), *lots]).unique("grant_id").sort("payer_id", "grant_id"),
    )


def _frame(table: type[dy.Schema], rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = {
        name: pl.String if isinstance(kind, pl.Enum) else kind for name, kind in table.create_empty().schema.items()
    }
    return pl.DataFrame([{name: row[name] for name in schema} for row in rows], schema=schema)


def _give_back(credit_cents: int, corrected: CorrectedInvoice, before: pl.DataFrame) -> Iterator[tuple[str, int]]:
    """Who gets what of an amount back: money, prepaid credits, free lots, and what is left in money again."""
    statement = corrected.statement
    given = dict(before.group_by("grant_id").agg(pl.col("amount_cents").sum()).iter_rows())
    uncovered = statement["fees_cents"] + statement["free_used_cents"] + statement["prepaid_used_cents"]
    order = ["priority", "expires_at", "starts_at", "grant_id"]
    in_order = corrected.lots.sort(order, nulls_last=[False, True, False, False]).reverse()
    paid = [(_MONEY, uncovered), (_PREPAID, -statement["prepaid_used_cents"])]
    paid += [(grant, -used) for grant, used in in_order.select("grant_id", "used_cents").iter_rows() if used]
    parts = dict.fromkeys((name for name, _ in paid), 0)
    left = credit_cents
    for name, cents in paid:
        parts[name] = min(left, max(0, cents - given.get(name, 0)))
        left -= parts[name]
    parts[_MONEY] += left
    yield from parts.items()


def _amounts(parts: Mapping[str, int], invoice: Mapping[str, Any]) -> dict[str, Any]:
    """The figures of a credit note, and what it says of the invoice that it corrects."""
    money, prepaid = parts[_MONEY], parts[_PREPAID]
    free = sum(parts.values()) - money - prepaid
    vat_cents = round_half_away(money * invoice["vat_ppm"], 10**6)
    return {
        "kind": "credit_note",
        "number": None,
        "issued_on": None,
        "due_on": None,
        "refers_to_issued_on": invoice["issued_on"],
        "fees_cents": money + prepaid + free,
        "used_credits_cents": -(prepaid + free),
        "prepaid_given_back_cents": prepaid,
        "free_given_back_cents": free,
        "subtotal_cents": money,
        "vat_cents": vat_cents,
        "payable_cents": money + vat_cents,
    }


def _lines(
    left_over: pl.DataFrame, numbers: Mapping[tuple[str, str], str], month: Month
) -> dy.DataFrame[CreditNoteLines]:
    keys = left_over.select("approval", "corrected_line_id").iter_rows()
    ids = [sha256(f"credit_note|{month}|{approval}|{line}".encode()).hexdigest()[:32] for approval, line in keys]
    of_invoice = [numbers[key] for key in left_over.select("corrected_payer_id", "origin_month").iter_rows()]
    duration = pl.col("billed_duration_s").fill_null(0) - pl.col("rated_duration_s").fill_null(0)
    is_timed = pl.any_horizontal(pl.col("rated_duration_s", "billed_duration_s").is_not_null())
    lines = left_over.with_columns(
        line_id=pl.Series(ids, dtype=pl.String),
        refers_to=pl.Series(of_invoice, dtype=pl.String),
        holder_id="payer_id",
        payer_id="corrected_payer_id",
        quantity=pl.col("billed_quantity") - pl.col("rated_quantity"),
        duration_s=pl.when(is_timed).then(duration),
        amount_cents="credit_cents",
        correction_cause="cause",
    )
    order = ("refers_to", "owner_id", "slug", "resource_id", "approval", "line_id")
    return CreditNoteLines.validate(lines.select(CreditNoteLines.column_names()).sort(order), cast=True)


def give_back_prepaid(
    accounts: dy.DataFrame[CreditAccounts], given_back: dy.DataFrame[GivenBack]
) -> dy.DataFrame[CreditAccounts]:
    """The accounts with the prepaid credits that come back."""
    returned = prepaid_given_back(given_back)
    raised = accounts.join(returned, on="payer_id", how="left", maintain_order="left").with_columns(
        prepaid_before_cents=pl.col("prepaid_before_cents") + pl.col("given_back_cents").fill_null(0)
    )
    return CreditAccounts.validate(raised.select(CreditAccounts.column_names()))


def prepaid_given_back(given_back: dy.DataFrame[GivenBack]) -> pl.DataFrame:
    """`given_back_cents` of prepaid credits per holder, as `payer_id`."""
    prepaid = given_back.filter(pl.col("grant_id") == _PREPAID)
    return prepaid.group_by(payer_id="holder_id").agg(given_back_cents=pl.col("amount_cents").sum())


def reopen_lots(
    opened: dy.DataFrame[OpenLots], given_back: dy.DataFrame[GivenBack], lots: pl.DataFrame
) -> dy.DataFrame[OpenLots]:
    """The lots that may pay, with what comes back; one that was used up or lapsed is open again.

    Args:
        opened: the month's lots.
        given_back: what comes back.
        lots: the lots as they paid the corrected invoices, under whoever holds them now.
    """
    columns = OpenLots.column_names()
    again = lots.join(opened, on="grant_id", how="anti").with_columns(left_before_cents=pl.lit(0, pl.Int64))
    returned = given_back.group_by("grant_id").agg(given_back_cents=pl.col("amount_cents").sum())
    reopened = (
        pl.concat([opened.select(columns), again.select(columns)])
        .join(returned, on="grant_id", how="left")
        .with_columns(left_before_cents=pl.col("left_before_cents") + pl.col("given_back_cents").fill_null(0))
    )
    return OpenLots.validate(reopened.select(columns).sort("payer_id", "grant_id"))


def given_back_movements(
    given_back: dy.DataFrame[GivenBack], accounts: dy.DataFrame[CreditAccounts]
) -> dy.DataFrame[CreditMovements]:
    """What comes back to credits, booked when the month opens."""
    returned = (
        given_back.filter(pl.col("grant_id") != _MONEY)
        .group_by("grant_id", payer_id="holder_id")
        .agg(pl.col("amount_cents").sum())
        .join(accounts.select("payer_id", "currency"), on="payer_id")
        .with_columns(kind=pl.lit("given_back"), line_id=pl.lit(""))
    )
    return CreditMovements.validate(
        returned.select(CreditMovements.column_names()).sort("payer_id", "grant_id"), cast=True
    )

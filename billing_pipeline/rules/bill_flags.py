"""Bills that are made as they stand, but that somebody should look at before they are sent.

``regul_big``      what credits did not cover is a hundred times what was provisioned
``drift``          fees differ from those of the month before by more than half of them
``refund_excess``  a payment gives back more than was received; it is not counted
``ref_duplicate``  a charge with an invoice of its own was invoiced before: see `rules.specific`

The first two are the sanity bounds of reliability.md §2 (B99, B100), the third is B90, the last B101.
"""

import dataframely as dy
import polars as pl

from billing_pipeline.rules.equations import Equation
from billing_pipeline.tables.credits import CreditStatements
from billing_pipeline.tables.invoices import BillFlags

_TIMES_PROVISIONED = 100


def flag_bills(
    statements: dy.DataFrame[CreditStatements], before: pl.DataFrame, refused: pl.DataFrame
) -> dy.DataFrame[BillFlags]:
    """What is odd about a month's bills.

    Args:
        statements: the month's.
        before: the month before's; who has none is not compared.
        refused: payments that cannot be right: `payer_id`, `reason`, `detail`.
    """
    shortfall = pl.sum_horizontal("fees_cents", "free_used_cents", "prepaid_used_cents")
    prepaid, fees, fees_before = pl.col("prepaid_before_cents"), pl.col("fees_cents"), pl.col("fees_before_cents")
    compared = statements.join(
        before.select("payer_id", "currency", fees_before_cents="fees_cents"), on=["payer_id", "currency"], how="left"
    )
    big = compared.filter(prepaid > 0, shortfall > prepaid.cast(pl.Int128) * _TIMES_PROVISIONED).select(
        "payer_id",
        reason=pl.lit("regul_big"),
        detail=pl.format("{} cents are not covered, {} had been provisioned", shortfall, prepaid),
    )
    drifting = compared.filter(_drifts(fees, fees_before)).select(
        "payer_id",
        reason=pl.lit("drift"),
        detail=pl.format("fees of {} cents after {} the month before", fees, fees_before),
    )
    flags = (
        pl.concat([big, drifting, refused.select(BillFlags.column_names())])
        .group_by("payer_id", "reason")
        .agg(pl.col("detail").sort().str.join("; "))
    )
    return BillFlags.validate(flags.sort("payer_id", "reason"))


def fees_are_steady(statements: dy.DataFrame[CreditStatements], before: pl.DataFrame) -> Equation:
    """All fees of a currency differ from those of the month before by no more than half of them."""
    now, then = (
        rows.group_by("currency").agg(pl.col("fees_cents").cast(pl.Int128).sum()) for rows in (statements, before)
    )
    compared = now.join(then.rename({"fees_cents": "fees_before_cents"}), on="currency").sort("currency")
    drifting = compared.filter(_drifts(pl.col("fees_cents"), pl.col("fees_before_cents")))
    figures = {
        f"{name} {currency}": int(value)
        for currency, *values in compared.select("currency", "fees_cents", "fees_before_cents").iter_rows()
        for name, value in zip(("fees_cents", "fees_before_cents"), values, strict=True)
    }
    told = ", ".join(f"{name} {value:,}" for name, value in figures.items())
    sentence = f"fees stay within half of those of the month before: {told}"
    return Equation("fees_are_steady", sentence, figures, drifting.is_empty())


def _drifts(fees: pl.Expr, before: pl.Expr) -> pl.Expr:
    return ((before > 0) & (2 * (fees - before).abs() > before)).fill_null(value=False)

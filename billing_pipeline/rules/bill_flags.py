"""Bills that are made as they stand, but that somebody should look at before they are sent.

``regul_big``       what credits did not cover is many times what was provisioned
``drift``           fees differ much from those of the month before
``refund_excess``   a payment gives back more than was received; it is not counted
``already_issued``  a month that is issued was closed again, and this draft is not what was issued; it stays a draft
``ref_duplicate``   a charge with an invoice of its own was invoiced before: see `rules.specific`

The first two are sanity bounds; how much is much is the provider's to say.
"""

from dataclasses import dataclass

import dataframely as dy
import polars as pl

from billing_pipeline.rules.equations import Equation
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.credits import CreditStatements
from billing_pipeline.tables.invoices import BillFlags, Drafts


@dataclass(frozen=True)
class BillLimits:
    """From when on a bill is flagged."""

    #: What credits did not cover is more than so many times what was provisioned.
    regul_times: int
    #: Fees differ from those of the month before by more than so much of them.
    drift_percent: int


def flag_bills(
    statements: dy.DataFrame[CreditStatements], before: pl.DataFrame, refused: pl.DataFrame, limits: BillLimits
) -> dy.DataFrame[BillFlags]:
    """What is odd about a month's bills.

    Args:
        statements: the month's.
        before: the month before's; who has none is not compared.
        refused: payments that cannot be right: `payer_id`, `reason`, `detail`.
        limits: when over-consumption and changes are odd.
    """
    shortfall = pl.sum_horizontal("fees_cents", "free_used_cents", "prepaid_used_cents")
    prepaid, fees, fees_before = pl.col("prepaid_before_cents"), pl.col("fees_cents"), pl.col("fees_before_cents")
    compared = statements.join(
        before.select("payer_id", "currency", fees_before_cents="fees_cents"), on=["payer_id", "currency"], how="left"
    )
    big = compared.filter(prepaid > 0, shortfall > prepaid.cast(pl.Int128) * limits.regul_times).select(
        "payer_id",
        reason=pl.lit("regul_big"),
        detail=pl.format("{} cents are not covered, {} had been provisioned", shortfall, prepaid),
    )
    drifting = compared.filter(_drifts(fees, fees_before, limits)).select(
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


def flag_reissues(drafts: dy.DataFrame[Drafts], issued: dy.DataFrame[Drafts], month: Month) -> dy.DataFrame[BillFlags]:
    """Drafts of an issued month that are not what was issued: only the difference is told, nothing issued changes.

    Args:
        drafts: the month's, drafted again.
        issued: those that it was issued from.
        month: the issued month.
    """
    amounts = ("fees_cents", "payable_cents")
    now, then = (
        rows.group_by("payer_id", "currency").agg(pl.col(name).sum().alias(f"{when}_{name}") for name in amounts)
        for rows, when in ((drafts, "now"), (issued, "then"))
    )
    compared = now.join(then, on=["payer_id", "currency"], how="full", coalesce=True)
    differs = pl.any_horizontal(pl.col(f"now_{name}").ne_missing(pl.col(f"then_{name}")) for name in amounts)
    told = [pl.col(f"{when}_{name}").fill_null(0) for when in ("now", "then") for name in amounts]
    sentence = "fees of {} cents and {} to pay now, {} and {} as issued; run: billing correct " + str(month)
    flags = compared.filter(differs).select(
        "payer_id", reason=pl.lit("already_issued"), detail=pl.format(sentence, *told)
    )
    return BillFlags.validate(
        flags.group_by("payer_id", "reason").agg(pl.col("detail").sort().str.join("; ")).sort("payer_id")
    )


def fees_are_steady(statements: dy.DataFrame[CreditStatements], before: pl.DataFrame, limits: BillLimits) -> Equation:
    """All fees of a currency, of the whole fleet, differ from those of the month before by no more than the limit."""
    now, then = (
        rows.group_by("currency").agg(pl.col("fees_cents").cast(pl.Int128).sum()) for rows in (statements, before)
    )
    compared = now.join(then.rename({"fees_cents": "fees_before_cents"}), on="currency").sort("currency")
    drifting = compared.filter(_drifts(pl.col("fees_cents"), pl.col("fees_before_cents"), limits))
    figures = {
        f"{name} {currency}": int(value)
        for currency, *values in compared.select("currency", "fees_cents", "fees_before_cents").iter_rows()
        for name, value in zip(("fees_cents", "fees_before_cents"), values, strict=True)
    }
    told = ", ".join(f"{name} {value:,}" for name, value in figures.items())
    sentence = f"fees stay within {limits.drift_percent} % of those of the month before: {told}"
    return Equation("fees_are_steady", sentence, figures, drifting.is_empty())


def _drifts(fees: pl.Expr, before: pl.Expr, limits: BillLimits) -> pl.Expr:
    change = (fees.cast(pl.Int128) - before).abs()
    return ((before > 0) & (100 * change > limits.drift_percent * before.cast(pl.Int128))).fill_null(value=False)

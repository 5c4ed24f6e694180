"""The invoice discount: one negative amount per payer, shared over its lines so that credits pay net amounts.

The printed discount is rounded once, on the sum of the lines; its shares are never printed. They decide which part of
a line a credit scoped to that line's slug may pay, and what of the fees recurs next month.
"""

import dataframely as dy
import polars as pl

from billing_pipeline.rules.invoicing import order_lines
from billing_pipeline.rules.rounding import rounded_half_away
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.credits import Fees
from billing_pipeline.tables.rating import Charges


class NegativeCharge(ValueError):
    """A charged line is below zero; an invoice's lines are not, before its discount."""


class UnknownPayer(ValueError):
    """A charge names a payer that is not among the month's organisations, so that its discount is unknown."""


def share_discounts(charges: dy.DataFrame[Charges], organisations: dy.DataFrame[Organisations]) -> dy.DataFrame[Fees]:
    """Return every charge with its share of its payer's discount.

    The discount is the sum of the payer's charges × its rate, rounded half away from zero. It is shared in proportion
    to the charges by largest remainder, equal remainders in printed order, so the shares add up to it exactly and no
    line falls below zero: what `rules.allocation.share` does, for all payers at once.

    Args:
        charges: the month's lines.
        organisations: current versions, one row per owner; the payer's ``discount_ppm`` counts.

    Raises:
        NegativeCharge: a charge is below zero.
        UnknownPayer: a payer has no row in ``organisations``.
    """
    rates = organisations.select(payer_id="owner_id", discount_ppm="discount_ppm")
    ordered = order_lines(charges, organisations).join(rates, on="payer_id", how="left")
    _refuse(ordered)
    weight, whole, discount = pl.col("charge_cents").cast(pl.Int128), pl.col("whole"), pl.col("discount")
    fees = (
        ordered.with_columns(whole=weight.sum().over("payer_id"))
        .with_columns(discount=rounded_half_away(whole * pl.col("discount_ppm"), 10**6))
        # A payer whose lines are all free of charge has nothing to share; dividing by 1 says so without an exception.
        .with_columns(whole=whole.clip(lower_bound=1))
        .with_columns(share=discount * weight // whole, remainder=discount * weight % whole)
        .with_columns(units_left=discount - pl.col("share").sum().over("payer_id"))
        .sort("payer_id", "remainder", "line_number", descending=[False, True, False])
        .with_columns(
            share=pl.col("share") + (pl.int_range(pl.len()).over("payer_id") < pl.col("units_left")).cast(pl.Int128)
        )
        .with_columns(discount_cents=-pl.col("share").cast(pl.Int64))
        .with_columns(fee_cents=pl.col("charge_cents") + pl.col("discount_cents"))
    )
    return Fees.validate(fees.select(Fees.column_names()).sort("payer_id", "line_id"))


def _refuse(ordered: pl.DataFrame) -> None:
    negative = ordered.filter(pl.col("charge_cents") < 0)
    if not negative.is_empty():
        first = negative.row(0, named=True)
        message = (
            f"{negative.height} charges are below zero, the first is line {first['line_id']} of payer "
            f"{first['payer_id']} ({first['charge_cents']} cents); withdraw the charge in its feed and rate again"
        )
        raise NegativeCharge(message)
    unknown = ordered.filter(pl.col("discount_ppm").is_null())["payer_id"].unique().sort()
    if not unknown.is_empty():
        message = (
            f"{unknown.len()} payers of charges are not among the month's organisations, the first is {unknown[0]}; "
            "land their organisations rows, or park them, and rate again"
        )
        raise UnknownPayer(message)

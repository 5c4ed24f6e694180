"""Provisioning: what the next month is estimated to cost (f), and from which statement on it is asked for in advance.

The estimate is made of what recurs: one-off charges and corrections are not expected again. Strategies:

- `same_as_last_month`: the recurring part of this month's fees.
- `daily_rate`: the same per calendar day, for the days of the next month; rounded half away from zero.
- `mean_of_three`: the mean of this month's and of the up to two statements before it that had something due; rounded
  half away from zero.
- `committed`: what the payer has committed itself to spend; without a commitment the same as last month.
"""

from enum import StrEnum

import dataframely as dy
import polars as pl

from billing_pipeline.rules.period import Month, Period
from billing_pipeline.rules.rounding import rounded_half_away
from billing_pipeline.tables.credits import CreditAccounts, Fees


class Strategy(StrEnum):
    """How the next month is estimated."""

    SAME_AS_LAST_MONTH = "same_as_last_month"
    DAILY_RATE = "daily_rate"
    MEAN_OF_THREE = "mean_of_three"
    COMMITTED = "committed"


def provision_accounts(
    accounts: dy.DataFrame[CreditAccounts],
    fees: dy.DataFrame[Fees],
    committed: pl.DataFrame,
    strategy: Strategy,
    provision_from_month: int,
    period: Period,
    by_period: pl.DataFrame,
) -> dy.DataFrame[CreditAccounts]:
    """The accounts with their estimates, and with a refill of 0 where it is too early to ask for one.

    A payer's first ``provision_from_month`` statements with something due ask for no refill, which is printed as a
    custom one, unless a refill was negotiated. Of a payer that closed or pays for nobody any more, or that is invoiced
    by the day or week, nothing is estimated.

    Args:
        accounts: as `rules.balances` opens them.
        fees: the month's fees, after discounts.
        committed: `payer_id`, `committed_cents` of those who committed themselves.
        strategy: the provider's.
        provision_from_month: how many statements go without a refill.
        period: the billed month.
        by_period: `payer_id` of those who are invoiced by the day or week.
    """
    # Corrections of older months are not expected again.
    expected = (pl.col("fee_cents") - pl.col("correction_cents")).cast(pl.Int128)
    recurring = fees.filter("is_recurring").group_by("payer_id").agg(this_cents=expected.sum())
    this = pl.col("this_cents").fill_null(0)
    is_final = pl.col("is_closed") | pl.col("successor_id").is_not_null()
    basis = pl.lit(str(strategy))
    match strategy:
        case Strategy.SAME_AS_LAST_MONTH:
            estimate = this
        case Strategy.DAILY_RATE:
            estimate = rounded_half_away(this * _days(period.month.next), _days(period.month))
        case Strategy.MEAN_OF_THREE:
            estimate = _mean(this, pl.col("recurring_1_before_cents"), pl.col("recurring_2_before_cents"))
        case Strategy.COMMITTED:
            estimate = pl.coalesce(pl.col("committed_cents").cast(pl.Int128), this)
            basis = pl.when(pl.col("committed_cents").is_null()).then(pl.lit("same_as_last_month")).otherwise(basis)
    is_by_period = pl.col("payer_id").is_in(by_period["payer_id"].implode())
    is_early = (pl.col("billed_months_before") < provision_from_month) & ~is_final & ~is_by_period
    provisioned = (
        accounts.join(recurring, on="payer_id", how="left")
        .join(committed, on="payer_id", how="left")
        .with_columns(
            estimate_cents=pl.when(is_final | is_by_period).then(0).otherwise(estimate).cast(pl.Int64),
            estimate_basis=pl.when(is_final)
            .then(pl.lit("final"))
            .when(is_by_period)
            .then(pl.lit("interim"))
            .otherwise(basis),
            custom_refill_cents=pl.when(is_early)
            .then(pl.col("custom_refill_cents").fill_null(0))
            .otherwise("custom_refill_cents"),
        )
    )
    return CreditAccounts.validate(CreditAccounts.cast(provisioned.sort("payer_id")))


def _days(month: Month) -> int:
    return (month.next.first_day - month.first_day).days


def _mean(this: pl.Expr, before: pl.Expr, before_that: pl.Expr) -> pl.Expr:
    """The mean of what is known; there is no statement before the last one without a last one."""
    two = rounded_half_away(this + before, 2)
    three = rounded_half_away(this + before + before_that, 3)
    return pl.when(before.is_null()).then(this).when(before_that.is_null()).then(two).otherwise(three)

"""Comparing two ratings of one month: what each organisation would be charged more or less, service by service."""

import polars as pl

_KEYS = ("payer_id", "owner_id", "slug", "currency")


def compare_charges(now: pl.DataFrame, then: pl.DataFrame) -> pl.DataFrame:
    """One row per payer, owner, slug and currency with charges in either rating; a side without any is 0.

    Amounts are those of the lines, before discounts, credits and tax.

    Args:
        now: rows of `tables.rating.Charges`.
        then: the same of the other rating.

    Returns:
        `now_cents`, `then_cents` and `difference_cents` = then − now, in the order of the keys.
    """
    sums = [
        charges.group_by(_KEYS).agg(pl.col("charge_cents").cast(pl.Int128).sum().alias(f"{side}_cents"))
        for side, charges in (("now", now), ("then", then))
    ]
    paired = (
        sums[0]
        .join(sums[1], on=_KEYS, how="full", coalesce=True)
        .with_columns(pl.col("now_cents", "then_cents").fill_null(0).cast(pl.Int64))
    )
    return paired.with_columns(difference_cents=pl.col("then_cents") - pl.col("now_cents")).sort(_KEYS)

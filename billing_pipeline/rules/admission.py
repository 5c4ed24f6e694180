"""Whose usage counts: rows of organisations that nobody knows, or dated after one closed, are refused.

Nobody can be billed for them, so they go to quarantine with an alarm, and nobody is parked for them.
"""

import polars as pl

#: No version of the organisation ever landed.
ORG_UNKNOWN = "org_unknown"
#: Dated on the day after the organisation closed, or later.
AFTER_CLOSE = "after_close"


def judge_usage(used: pl.DataFrame, owners: pl.DataFrame) -> pl.DataFrame:
    """The rows with `reason`: why the row is refused, null where it counts. Rows keep their order.

    A run that is open when its organisation closes started before and counts; it is billed up to there.

    Args:
        used: `owner_id`, and `at_us`, the instant that places the row in time.
        owners: rows of `tables.accounts.Owners`.
    """
    known = owners.select("owner_id", closes_us=pl.col("closes_at").dt.epoch("us"), is_known=pl.lit(value=True))
    return (
        used.join(known, on="owner_id", how="left", maintain_order="left")
        .with_columns(
            reason=pl.when(pl.col("is_known").is_null())
            .then(pl.lit(ORG_UNKNOWN))
            .when(pl.col("at_us") >= pl.col("closes_us"))
            .then(pl.lit(AFTER_CLOSE))
        )
        .drop("closes_us", "is_known")
    )

"""Who is held back: payers whose bill of the month cannot be right. The others are billed."""

from collections.abc import Iterable

import dataframely as dy
import polars as pl

from billing_pipeline.rules.succession import find_takeovers, first_organisations, taken_over
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.invoices import ParkedOrganisations


def park_payers(
    problems: Iterable[pl.DataFrame],
    organisations: dy.DataFrame[Organisations],
    parked_before: dy.DataFrame[ParkedOrganisations],
) -> dy.DataFrame[ParkedOrganisations]:
    """Park whoever pays, at any moment of the month, for an owner with a problem, and whoever was parked before.

    Whoever takes over the credits of a payer that was parked before is parked, too: nobody knows yet what there is.

    Args:
        problems: frames of `owner_id`, `reason`, `detail`; an owner that no organisation row names pays for itself.
        organisations: every version in force in the month.
        parked_before: who was parked in the month before and not released since.
    """
    payers = organisations.select("owner_id", "payer_id").unique()
    own = (
        pl.concat([frame.select("owner_id", "reason", "detail") for frame in problems])
        .join(payers, on="owner_id", how="left")
        .with_columns(payer_id=pl.coalesce("payer_id", "owner_id"))
    )
    takeovers = find_takeovers(first_organisations(organisations))
    waiting = pl.concat([parked_before, taken_over(parked_before, takeovers)])
    inherited = waiting.select(
        "payer_id",
        reason=pl.lit("predecessor_parked"),
        detail=pl.format("parked in the month before ({}); close that month again once it is mended", "reason"),
    )
    parked = pl.concat([own.select(ParkedOrganisations.column_names()), inherited])
    return ParkedOrganisations.validate(
        parked.group_by("payer_id", "reason").agg(pl.col("detail").min()).sort("payer_id", "reason")
    )


def without(rows: pl.DataFrame, parked: pl.DataFrame, payer: str = "payer_id") -> pl.DataFrame:
    """The rows of payers who are not parked."""
    return rows.join(parked, left_on=payer, right_on="payer_id", how="anti")

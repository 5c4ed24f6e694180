"""Who stops paying: an organisation that closed, or one whose bills somebody else pays from now on.

A payer that becomes a sub-organisation inside a month is billed for what it used until that instant, on a final
statement that estimates and refills nothing. What the statement leaves (free lots with their expiry and scope, prepaid
credits, refills that are still to be paid) is its new payer's from the next month on.
"""

import dataframely as dy
import polars as pl

from billing_pipeline.rules.period import Period
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.columns import organisation_id
from billing_pipeline.tables.table import Table


class Takeovers(Table):
    """One row per organisation that paid once and pays for nobody any more."""

    payer_id = organisation_id(primary_key=True)
    #: Who pays for it now.
    successor_id = organisation_id()


def find_takeovers(versions: pl.DataFrame) -> dy.DataFrame[Takeovers]:
    """The sub-organisations that pay for nobody, with their payers.

    Args:
        versions: `tables.accounts.Organisations`, one row per owner: those of the instant that is asked about.
    """
    takeovers = (
        versions.filter(pl.col("payer_id") != pl.col("owner_id"))
        .join(versions, left_on="owner_id", right_on="payer_id", how="anti")
        .select(payer_id="owner_id", successor_id="payer_id")
    )
    return Takeovers.validate(takeovers.sort("payer_id"))


def first_organisations(organisations: dy.DataFrame[Organisations]) -> pl.DataFrame:
    """The version of each organisation at the period's start, or its first one: one row per owner."""
    return organisations.sort("owner_id", "valid_from").unique("owner_id", keep="first").sort("owner_id")


def is_closed(period: Period) -> pl.Expr:
    """Whether an organisation closed by the period's last day."""
    return (pl.col("closed_on") <= period.month.last_day).fill_null(value=False)


def taken_over(rows: pl.DataFrame, takeovers: pl.DataFrame, payer: str = "payer_id") -> pl.DataFrame:
    """The rows under whoever took their payer's credits over; the others as they are."""
    heirs = takeovers.select(pl.col("payer_id").alias(payer), heir_id="successor_id")
    return (
        rows.join(heirs, on=payer, how="left").with_columns(pl.coalesce("heir_id", payer).alias(payer)).drop("heir_id")
    )

"""What became of all money that a payer was ever asked for: sums over its months, carried from month to month."""

import dataframely as dy
import polars as pl

from billing_pipeline.rules.period import Month
from billing_pipeline.rules.succession import Takeovers, taken_over
from billing_pipeline.tables.corrections import CreditNotes
from billing_pipeline.tables.credits import CreditMovements, CreditStatements, OpenedGrants, Refills
from billing_pipeline.tables.explanations import Lifetimes
from billing_pipeline.tables.invoices import Drafts

_SUMS = ("subtotal_cents", "fees_cents", "free_used_cents", "opening_cents", "given_up_cents")


def extend_lifetimes(
    before: dy.DataFrame[Lifetimes],
    statements: dy.DataFrame[CreditStatements],
    drafts: dy.DataFrame[Drafts],
    movements: dy.DataFrame[CreditMovements],
    opened: dy.DataFrame[OpenedGrants],
    takeovers: dy.DataFrame[Takeovers],
    month: Month,
    credit_notes: dy.DataFrame[CreditNotes],
    beside: pl.DataFrame,
    refills: dy.DataFrame[Refills],
) -> dy.DataFrame[Lifetimes]:
    """Add a month; who has no statement in it, because it is parked or gone, keeps what it had.

    Args:
        before: the predecessor's lifetimes; empty in the first month.
        statements: the month's, of payers who are not parked.
        drafts: their invoices; who owes nothing has none.
        movements: theirs; prepaid balances that enter, and refills and top-ups given up count.
        opened: every grant that counts, for the kind of those that enter.
        takeovers: whose credits another payer holds from this month on; its life goes on in that payer's.
        month: the billed month.
        credit_notes: those that are issued with the month; what they credit was never invoiced, nor given up. What is
            issued again stays invoiced.
        beside: `payer_id`, `subtotal_cents`, `fees_cents` of the month's documents beside the invoices and of its
            interim invoices.
        refills: what is pending after the month, for the top-ups among it.
    """
    columns = Lifetimes.column_names()
    successions = takeovers.join(statements, left_on="successor_id", right_on="payer_id", how="semi")
    past = taken_over(before, successions)
    lived = (
        statements.select(
            "payer_id",
            "currency",
            "fees_cents",
            "free_used_cents",
            billed_month=pl.lit(str(month)),
            prepaid_cents=pl.col("prepaid_before_cents") + pl.col("prepaid_used_cents"),
            pending_cents=pl.col("pending_cents") + pl.col("refill_cents"),
        )
        .join(drafts.select("payer_id", "subtotal_cents"), on="payer_id", how="left")
        .join(prepaid_openings(movements, opened), on="payer_id", how="left")
        .join(given_up_refills(movements, "given_up", "top_up_given_up"), on="payer_id", how="left")
        .join(_pending_top_ups(refills), on="payer_id", how="left")
        .with_columns(pl.col("pending_top_ups_cents").fill_null(0))
    )
    unbilled = (
        credit_notes.filter(pl.col("reissue_reason").is_null())
        .select(
            payer_id="holder_id",
            subtotal_cents=0 - pl.col("subtotal_cents"),
            fees_cents=0 - pl.col("fees_cents"),
            free_used_cents="free_given_back_cents",
            opening_cents=pl.lit(0, pl.Int64),
            given_up_cents=0 - pl.col("refill_cancelled_cents"),
        )
        .join(lived, on="payer_id", how="semi")
    )
    asked = beside.select(
        "payer_id",
        "subtotal_cents",
        "fees_cents",
        **{name: pl.lit(0, pl.Int64) for name in ("free_used_cents", "opening_cents", "given_up_cents")},
    )
    sums = (
        pl.concat([past.select("payer_id", *_SUMS), lived.select("payer_id", *_SUMS), unbilled, asked])
        .group_by("payer_id")
        .agg(pl.col(_SUMS).cast(pl.Int128).sum().cast(pl.Int64))
    )
    last = pl.concat([past.join(lived, on="payer_id", how="anti").drop(_SUMS), lived.drop(_SUMS)], how="diagonal")
    return Lifetimes.validate(last.join(sums, on="payer_id").select(columns).sort("payer_id"))


def prepaid_openings(movements: pl.DataFrame, opened: pl.DataFrame) -> pl.DataFrame:
    """`opening_cents` per payer: the prepaid balances that enter with these movements."""
    prepaid = opened.filter(pl.col("kind").cast(pl.String) == "prepaid").select("grant_id")
    return (
        movements.filter(pl.col("kind").cast(pl.String) == "opening")
        .join(prepaid, on="grant_id", how="semi")
        .group_by("payer_id")
        .agg(opening_cents=pl.col("amount_cents").cast(pl.Int128).sum().cast(pl.Int64))
    )


def _pending_top_ups(refills: pl.DataFrame) -> pl.DataFrame:
    """`pending_top_ups_cents` per payer who holds them."""
    return (
        refills.filter(pl.col("reference") != "")
        .group_by(payer_id="holder_id")
        .agg(pending_top_ups_cents=pl.col("refill_cents").sum())
    )


def topped_up(movements: pl.DataFrame) -> pl.DataFrame:
    """`topped_up_cents` per payer: credits that were bought outside the monthly cycle and are paid."""
    arrived = movements.filter(pl.col("kind").cast(pl.String) == "topped_up")
    return arrived.group_by("payer_id").agg(topped_up_cents=pl.col("amount_cents").sum())


def given_up_refills(movements: pl.DataFrame, *kinds: str) -> pl.DataFrame:
    """`given_up_cents` per payer: what is pending no more and never arrives, refills unless `kinds` says otherwise."""
    given_up = movements.filter(pl.col("kind").cast(pl.String).is_in(kinds or ["given_up"]))
    return given_up.group_by("payer_id").agg(given_up_cents=pl.col("amount_cents").cast(pl.Int128).sum().cast(pl.Int64))

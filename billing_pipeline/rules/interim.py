"""Interim invoices: what is missing of a month to date, asked for by the day or week while the month runs.

The month stays what is rated and settled. An interim invoice asks for what the fees to date lack of credits, of earlier
interim invoices and of refills that wait for their payment. It sells that much prepaid credit, with VAT on it, and uses
nothing: the invoice of the month settles all fees and counts every interim invoice that was not given up, paid or not,
so that it asks for the rest. What interim invoices asked for beyond the month's fees stays prepaid.
"""

from datetime import date, timedelta
from enum import StrEnum
from typing import NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.rules.period import Month, Period
from billing_pipeline.rules.tax import VatDecisions, add_vat
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.columns import organisation_id
from billing_pipeline.tables.credits import CreditStatements
from billing_pipeline.tables.interim import InterimDrafts, InterimLines
from billing_pipeline.tables.invoices import InvoiceLines, ParkedOrganisations
from billing_pipeline.tables.table import Table

_DAY = timedelta(days=1)


class BillingPeriod(StrEnum):
    """How often a payer is invoiced before its month ends."""

    DAY = "day"
    WEEK = "week"


class DuePeriods(Table):
    """One row per payer that is to be asked for a period which has ended."""

    payer_id = organisation_id(primary_key=True)
    period_start = dy.Date()
    #: Inclusive.
    period_end = dy.Date()


class DraftedInterims(NamedTuple):
    """What the payers are asked for."""

    drafts: dy.DataFrame[InterimDrafts]
    lines: dy.DataFrame[InterimLines]
    #: Payers whose VAT is unknown.
    parked: dy.DataFrame[ParkedOrganisations]


def last_end(kind: BillingPeriod, month: Month, today: date) -> date | None:
    """The day after the latest period of a month that has ended when a day begins; None where none has.

    Weeks run from Monday to Sunday, and every period is cut at the month's edges. The last period of a month has no
    interim invoice: the invoice of the month settles it.

    Args:
        kind: of the periods.
        month: the running month.
        today: the day, in the billing time zone.
    """
    latest = min(today, month.last_day)
    end = latest if kind is BillingPeriod.DAY else latest - latest.weekday() * _DAY
    return end if end > month.first_day else None


def billed_by_period(organisations: dy.DataFrame[Organisations]) -> pl.DataFrame:
    """`payer_id` and `kind` of those who pay for themselves and are invoiced by the day or week.

    Args:
        organisations: current versions, one row per owner.
    """
    kind = pl.col("billing_period").cast(pl.String)
    own = organisations.filter(pl.col("owner_id") == pl.col("payer_id"), kind.is_in([*BillingPeriod]))
    return own.select("payer_id", kind=kind)


def due_periods(payers: pl.DataFrame, invoiced: pl.DataFrame, month: Month, end: date) -> dy.DataFrame[DuePeriods]:
    """What is to be asked for up to a day: a payer's periods that were left out are one with the last.

    Args:
        payers: `payer_id` of who is invoiced up to then.
        invoiced: `payer_id`, `period_end` of the interim invoices of the month, whatever became of them.
        month: the running month.
        end: the day after the last period.
    """
    so_far = invoiced.group_by("payer_id").agg(invoiced_to=pl.col("period_end").max())
    due = (
        payers.select("payer_id")
        .join(so_far, on="payer_id", how="left")
        .select(
            "payer_id",
            period_start=pl.coalesce(pl.col("invoiced_to") + pl.duration(days=1), pl.lit(month.first_day)),
            period_end=pl.lit(end - _DAY),
        )
    )
    return DuePeriods.validate(due.filter(pl.col("period_start") <= pl.col("period_end")).sort("payer_id"))


def draft_interims(
    due: dy.DataFrame[DuePeriods],
    statements: dy.DataFrame[CreditStatements],
    lines: dy.DataFrame[InvoiceLines],
    earlier: pl.DataFrame,
    organisations: dy.DataFrame[Organisations],
    vat: VatDecisions,
    period: Period,
) -> DraftedInterims:
    """Ask every payer for what its month to date lacks; who lacks nothing is asked for nothing.

    Args:
        due: whom to ask, for which period.
        statements: of the month to date, nothing estimated; in b are the interim invoices that count.
        lines: the lines of the month to date.
        earlier: `payer_id`, `used_credits_cents` of the interim invoices that count.
        organisations: current versions, one row per owner.
        vat: the decisions for at least these payers.
        period: the month to date.
    """
    asked_before = earlier.group_by("payer_id").agg(earlier=pl.col("used_credits_cents").sum())
    uncovered = pl.sum_horizontal("fees_cents", "free_used_cents", "prepaid_used_cents")
    lacking = (
        due.join(statements, on="payer_id")
        .join(asked_before, on="payer_id", how="left")
        .with_columns(pl.col("earlier").fill_null(0), subtotal_cents=uncovered - pl.col("pending_cents"))
        .filter(pl.col("subtotal_cents") > 0)
    )
    unknown = lacking.select("payer_id").join(vat.rates, on="payer_id", how="anti")
    untaxed = unknown.join(vat.unknown, on="payer_id").select("payer_id", reason=pl.lit("tax_unknown"), detail="detail")
    parties = organisations.drop("payer_id", "currency").rename({"owner_id": "payer_id", "kind": "party_kind"})
    drafts = (
        lacking.join(unknown, on="payer_id", how="anti")
        .join(parties, on="payer_id", how="left")
        .join(vat.rates, on="payer_id", how="left")
        .with_columns(
            kind=pl.lit("interim"),
            reference=pl.format("{}..{}", pl.col("period_start").cast(pl.String), pl.col("period_end").cast(pl.String)),
            number=pl.lit(None, pl.String),
            billing_month=pl.lit(str(period.month)),
            issued_on=pl.lit(None, pl.Date),
            due_on=pl.lit(None, pl.Date),
            fees_to_date_cents=pl.col("fees_cents"),
            # Where something is lacking, all that is prepaid is used.
            prepaid_used_cents=pl.col("prepaid_used_cents") + pl.col("earlier"),
            earlier_cents=0 - pl.col("earlier"),
            pending_cents=0 - pl.col("pending_cents"),
            fees_cents=pl.lit(0, pl.Int64),
            used_credits_cents="subtotal_cents",
            discount_ppm=pl.lit(0, pl.Int64),
            discount_reason=pl.lit(None, pl.String),
            successor_name=pl.lit(None, pl.String),
        )
    )
    said = lines.join(drafts.select("payer_id", "kind", "reference"), on="payer_id")
    return DraftedInterims(
        InterimDrafts.validate(InterimDrafts.cast(add_vat(drafts).sort("payer_id"))),
        InterimLines.validate(InterimLines.cast(said.sort("payer_id", "line_number"))),
        ParkedOrganisations.validate(untaxed.sort("payer_id")),
    )

"""Corrections: how an issued month differs from what it bills by what is known now, and how the next invoice books it.

A month that was issued stays as it is. It is rated again under everything that has landed since, at the prices that
were in force then, and compared line by line with what was billed for it: the lines as they were issued and every
correction approved so far. So a difference is booked once, however often the month is rated again.

Discounts, caps and least amounts of the corrected month are computed again with it, and differ like any other line. On
the invoice that books them, corrections stand beside that month's own discounts: none of them looks at a correction.

A positive correction is a line that credits may pay, one that next month's estimate leaves out. A negative one lowers
lines of the invoice: those of its own slug first, then any other, in the order of their ids. Fees never fall below
zero; what would take them there is left over.
"""

from hashlib import sha256
from typing import NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.rules.period import Month
from billing_pipeline.tables.corrections import CorrectionLines, Differences
from billing_pipeline.tables.credits import AdjustmentShares, Fees
from billing_pipeline.tables.invoices import InvoiceLines

#: What a difference says of its line beside the figures.
_SAID = [
    "payer_id", "owner_id", "owner_name", "resource_id", "resource_name", "resources", "slug", "zone", "price_id",
    "price_factor_ppm", "tier_from", "basis", "rule_kind", "rule_rate_ppm", "rule_limit_cents", "unit", "unit_price",
    "per_quantity", "per_seconds", "line_discount_ppm", "description", "sub_description", "currency",
]  # fmt: skip
_FIGURES = ("quantity", "duration_s", "cents")
#: What was used, whoever used it and whatever it cost.
_THING = ["resource_id", "slug", "zone", "basis"]
_WHO = ["payer_id", "owner_id"]


class BookedMonth(NamedTuple):
    """The corrections that a month's invoices book, and what they do to its fees."""

    lines: dy.DataFrame[CorrectionLines]
    #: The month's fees with the positive corrections, less the negative ones.
    fees: dy.DataFrame[Fees]
    #: Which lines the negative corrections lower.
    shares: dy.DataFrame[AdjustmentShares]
    #: The rows of `due` that would take fees below zero, with `credit_cents`, the part above zero that would.
    left_over: pl.DataFrame


def compare_lines(
    billed: dy.DataFrame[InvoiceLines],
    approved: dy.DataFrame[Differences],
    rated: dy.DataFrame[InvoiceLines],
    month: Month,
) -> dy.DataFrame[Differences]:
    """What every line of an issued month differs by from what was billed for it so far; equal lines are left out.

    The cause of a difference is another owner or payer (``owner``), another price or rate (``price``), more usage
    (``late``) or less (``withdrawn``), the first of these that is so. Usage that was billed to another owner or at
    another price version has a line that is gone and one that is new. The line of a spend rule follows the lines it
    looks at: it is ``late`` where it takes off more or tops up less.

    Args:
        billed: the month's lines as they were issued; those that correct older months are no part of it.
        approved: the differences of the month that were approved before, one below the other.
        rated: the lines as they would be issued now.
        month: the corrected month.
    """
    own = billed.filter(pl.col("correction_cause").is_null())
    so_far = pl.concat([_as_issued(own), _as_approved(approved)])
    before = so_far.group_by("line_id", maintain_order=True).agg(
        pl.col(_SAID).last(), *(_sum(f"billed_{figure}") for figure in _FIGURES)
    )
    now = _as_issued(rated).rename({f"billed_{figure}": f"rated_{figure}" for figure in _FIGURES})
    paired = before.join(now, on="line_id", how="full", coalesce=True, suffix="_now").with_columns(
        is_gone=pl.col("payer_id_now").is_null(), is_new=pl.col("payer_id").is_null()
    )
    is_repriced = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"{name}_now"))
        for name in ("unit_price", "per_quantity", "per_seconds", "line_discount_ppm")
    )
    is_ruled_otherwise = pl.any_horizontal(
        pl.col(name).ne_missing(pl.col(f"{name}_now")) for name in ("rule_rate_ppm", "rule_limit_cents")
    )
    compared = paired.with_columns(
        *(pl.coalesce(f"{name}_now", name).alias(name) for name in _SAID),
        pl.col("billed_quantity", "rated_quantity", "billed_cents", "rated_cents").fill_null(0),
        is_both=~pl.col("is_gone") & ~pl.col("is_new"),
        is_repriced=is_repriced,
        is_ruled_otherwise=is_ruled_otherwise,
        origin_month=pl.lit(str(month)),
    ).with_columns(difference_cents=pl.col("rated_cents") - pl.col("billed_cents"))
    differing = compared.filter(pl.col("difference_cents") != 0)
    caused = _with_cause(differing).select(Differences.column_names())
    return Differences.validate(Differences.cast(caused.sort("payer_id", "owner_id", "slug", "resource_id", "line_id")))


def _sum(name: str) -> pl.Expr:
    """The sum of what is known; null where nothing is."""
    return pl.when(pl.col(name).count() > 0).then(pl.col(name).sum()).alias(name)


def _as_issued(lines: pl.DataFrame) -> pl.DataFrame:
    return lines.select(
        "line_id",
        *_text_of_enums(_SAID),
        billed_quantity="quantity",
        billed_duration_s="duration_s",
        billed_cents="amount_cents",
    )


def _as_approved(differences: pl.DataFrame) -> pl.DataFrame:
    changes = {
        f"billed_{figure}": pl.col(f"rated_{figure}").fill_null(0) - pl.col(f"billed_{figure}").fill_null(0)
        for figure in _FIGURES
    }
    known = pl.any_horizontal(pl.col("rated_duration_s", "billed_duration_s").is_not_null())
    changes["billed_duration_s"] = pl.when(known).then(changes["billed_duration_s"])
    return differences.select("line_id", *_text_of_enums(_SAID), **changes)


def _text_of_enums(names: list[str]) -> list[pl.Expr]:
    enums = ("basis", "rule_kind", "unit")
    return [pl.col(name).cast(pl.String) if name in enums else pl.col(name) for name in names]


def _with_cause(differing: pl.DataFrame) -> pl.DataFrame:
    """Why each line differs."""
    gone, new = (differing.filter(name).with_columns(side=pl.lit(name)) for name in ("is_gone", "is_new"))
    one_sided = pl.concat([gone, new]).select("line_id", "side", *_THING, *_WHO)
    others = one_sided.rename({name: f"other_{name}" for name in ("line_id", "side", *_WHO)})
    met = one_sided.join(others, on=_THING).filter(pl.col("side") != pl.col("other_side"))
    is_own = pl.all_horizontal(pl.col(name) == pl.col(f"other_{name}") for name in _WHO)
    versions = differing.select("line_id", "price_id", "price_factor_ppm")
    repriced = (
        met.filter(is_own)
        .join(versions, on="line_id")
        .join(versions, left_on="other_line_id", right_on="line_id", suffix="_other")
        .filter(
            pl.any_horizontal(
                pl.col(name).ne_missing(pl.col(f"{name}_other")) for name in ("price_id", "price_factor_ppm")
            )
        )
    )
    moved = met.filter(~is_own)["line_id"].implode()
    is_rule = pl.col("rule_kind").is_not_null()
    grew = pl.col("rated_quantity") > pl.col("billed_quantity")
    shrank = pl.col("rated_quantity") < pl.col("billed_quantity")
    cause = (
        pl.when(pl.col("line_id").is_in(moved) & ~is_rule)
        .then(pl.lit("owner"))
        .when(is_rule & pl.col("is_both") & pl.col("is_ruled_otherwise"))
        .then(pl.lit("price"))
        .when(is_rule)
        .then(pl.when(pl.col("difference_cents") < 0).then(pl.lit("late")).otherwise(pl.lit("withdrawn")))
        .when(pl.col("line_id").is_in(repriced["line_id"].implode()) | (pl.col("is_both") & pl.col("is_repriced")))
        .then(pl.lit("price"))
        .when(grew)
        .then(pl.lit("late"))
        .when(shrank)
        .then(pl.lit("withdrawn"))
        # What is charged once for a tier has no quantity of its own.
        .otherwise(pl.lit("price"))
    )
    return differing.with_columns(cause=cause)


def book_corrections(due: pl.DataFrame, fees: dy.DataFrame[Fees], month: Month) -> BookedMonth:
    """Book corrections on the invoices of a month, after its own discounts, caps and least amounts.

    Args:
        due: rows of `Differences` with `approval`, the entry that approved them, and `payer_id`, whose invoice books
            them.
        fees: the month's fees without them.
        month: the month that books them.
    """
    difference = pl.col("difference_cents")
    keys = due.select("approval", "line_id").iter_rows()
    told = due.with_columns(
        corrected_line_id="line_id", line_id=pl.Series([_line_id(month, *key) for key in keys], dtype=pl.String)
    ).sort("payer_id", "origin_month", "approval", "corrected_line_id")
    raised = told.filter(difference > 0).with_columns(amount_cents="difference_cents", credit_cents=pl.lit(0, pl.Int64))
    payable = pl.concat([fees, _as_fees(raised)])
    lowered = _bounded(told.filter(difference < 0), payable)
    shares = _share(lowered, payable)
    lines = pl.concat([raised, lowered.select(raised.columns)]).filter(pl.col("amount_cents") != 0)
    return BookedMonth(
        lines=_as_lines(lines),
        fees=_lowered(payable, shares),
        shares=AdjustmentShares.validate(
            shares.select(
                "payer_id",
                "line_id",
                adjustment_line_id="correction_id",
                share_cents=(0 - pl.col("share")).cast(pl.Int64),
            ).sort("payer_id", "adjustment_line_id", "line_id")
        ),
        left_over=lowered.filter(pl.col("credit_cents") > 0),
    )


def _line_id(month: Month, approval: int, line_id: str) -> str:
    """The id of a line that books a correction; no part of it holds a `|`."""
    return sha256(f"correction|{month}|{approval}|{line_id}".encode()).hexdigest()[:32]


def _as_fees(raised: pl.DataFrame) -> pl.DataFrame:
    return raised.select(
        "payer_id",
        "line_id",
        "slug",
        is_recurring=pl.lit(value=False),
        charge_cents="amount_cents",
        discount_cents=pl.lit(0, pl.Int64),
        correction_cents=pl.lit(0, pl.Int64),
        fee_cents="amount_cents",
    ).select(Fees.column_names())


def _bounded(negative: pl.DataFrame, payable: pl.DataFrame) -> pl.DataFrame:
    """What of each negative correction fees have room for, the oldest month first, and what they have not."""
    room = payable.group_by("payer_id").agg(room=pl.col("fee_cents").cast(pl.Int128).sum())
    less = 0 - pl.col("difference_cents").cast(pl.Int128)
    left = pl.col("room").fill_null(0) - (pl.col("less").cum_sum().over("payer_id") - pl.col("less"))
    return (
        negative.with_columns(less=less)
        .join(room, on="payer_id", how="left", maintain_order="left")
        .with_columns(taken=pl.min_horizontal(left.clip(lower_bound=0), "less"))
        .with_columns(
            amount_cents=(0 - pl.col("taken")).cast(pl.Int64),
            credit_cents=(pl.col("less") - pl.col("taken")).cast(pl.Int64),
        )
        .drop("room", "less", "taken")
    )


def _share(lowered: pl.DataFrame, payable: pl.DataFrame) -> pl.DataFrame:
    """Which lines the negative corrections lower, and by what: `correction_id`, `payer_id`, `line_id`, `share`."""
    negative = lowered.select(
        "payer_id", "slug", correction_id="line_id", left=0 - pl.col("amount_cents").cast(pl.Int128)
    )
    lines = payable.select("payer_id", "slug", "line_id", left=pl.col("fee_cents").cast(pl.Int128))
    of_slug = _laid_against(negative, lines, ["payer_id", "slug"])
    others = _laid_against(
        _less(negative, of_slug, "correction_id"), _less(lines, of_slug, "line_id").drop("slug"), ["payer_id"]
    )
    shared = pl.concat([of_slug, others])
    return shared.group_by("correction_id", "payer_id", "line_id").agg(pl.col("share").sum())


def _laid_against(negative: pl.DataFrame, lines: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """Corrections and lines laid end to end within each key: what lies side by side is a share."""

    def laid(rows: pl.DataFrame, name: str) -> pl.DataFrame:
        ordered = rows.filter(pl.col("left") > 0).sort(*keys, name)
        end = pl.col("left").cum_sum().over(keys)
        return ordered.select(*keys, name, (end - pl.col("left")).alias(f"{name}_start"), end.alias(f"{name}_end"))

    share = pl.min_horizontal("correction_id_end", "line_id_end") - pl.max_horizontal(
        "correction_id_start", "line_id_start"
    )
    both = laid(negative, "correction_id").join(laid(lines, "line_id"), on=keys)
    return both.select("correction_id", "payer_id", "line_id", share=share).filter(pl.col("share") > 0)


def _less(rows: pl.DataFrame, shares: pl.DataFrame, name: str) -> pl.DataFrame:
    """What is left of corrections or lines after some were laid against each other."""
    taken = shares.group_by(name).agg(pl.col("share").sum())
    left = rows.join(taken, on=name, how="left")
    return left.with_columns(left=pl.col("left") - pl.col("share").fill_null(0)).drop("share")


def _lowered(payable: pl.DataFrame, shares: pl.DataFrame) -> dy.DataFrame[Fees]:
    taken = shares.group_by("line_id").agg(pl.col("share").sum().cast(pl.Int64))
    share = pl.col("share").fill_null(0)
    fees = payable.join(taken, on="line_id", how="left").with_columns(
        correction_cents=pl.col("correction_cents") - share, fee_cents=pl.col("fee_cents") - share
    )
    return Fees.validate(fees.sort("payer_id", "line_id"))


def _as_lines(corrections: pl.DataFrame) -> dy.DataFrame[CorrectionLines]:
    duration = pl.col("rated_duration_s").fill_null(0) - pl.col("billed_duration_s").fill_null(0)
    is_timed = pl.any_horizontal(pl.col("rated_duration_s", "billed_duration_s").is_not_null())
    lines = corrections.with_columns(
        quantity=pl.col("rated_quantity") - pl.col("billed_quantity"),
        duration_s=pl.when(is_timed).then(duration),
        correction_cause="cause",
    )
    order = ("payer_id", "origin_month", "owner_id", "slug", "resource_id", "approval", "line_id")
    return CorrectionLines.validate(lines.sort(order))

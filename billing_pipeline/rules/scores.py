"""How well a month was accounted for: completeness, clearing and timeliness, as Stripe scores its ledger.

- completeness: of all that came in or owed something, what was billed or set aside with a reason;
- clearing: an account that only passes money on is 0 for each payer once the month is drafted;
- timeliness: of the usage that arrived, what arrived before its month was closed.

Source: stripe.com/blog/ledger-stripe-system-for-tracking-and-validating-money-movement.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import dataframely as dy
import polars as pl

from billing_pipeline.tables.credits import CreditLots, CreditMovements, CreditStatements, Fees
from billing_pipeline.tables.explanations import Lifetimes, Scores
from billing_pipeline.tables.invoices import Drafts, InvoiceLines, ParkedOrganisations
from billing_pipeline.tables.usage import FileReceipts, LateArrivals

#: A score, what is counted, the part and the whole.
_Measure = tuple[str, str, int, int]


@dataclass(frozen=True)
class MonthToScore:
    """The published tables of a month that scores are counted in."""

    receipts: dy.DataFrame[FileReceipts]
    late: dy.DataFrame[LateArrivals]
    #: Names of the feeds whose rows are usage.
    usage_feeds: tuple[str, ...]
    lines: dy.DataFrame[InvoiceLines]
    fees: dy.DataFrame[Fees]
    movements: dy.DataFrame[CreditMovements]
    lots: dy.DataFrame[CreditLots]
    statements: dy.DataFrame[CreditStatements]
    drafts: dy.DataFrame[Drafts]
    lifetimes: dy.DataFrame[Lifetimes]
    parked: dy.DataFrame[ParkedOrganisations]


def score_month(month: MonthToScore) -> dy.DataFrame[Scores]:
    """Score a month; a score is the least of its measures."""
    measures = [*_completeness(month), *_clearing(month), *_timeliness(month)]
    rows = [(score, measure, part, whole, _ppm(part, whole)) for score, measure, part, whole in measures]
    totals = {}
    for score, _, part, whole, ppm in rows:
        if score not in totals or ppm < totals[score][-1]:
            totals[score] = (score, "", part, whole, ppm)
    frame = pl.DataFrame([*totals.values(), *rows], schema=Scores.create_empty().schema, orient="row")
    return Scores.validate(frame.sort("score", "measure"))


def _ppm(part: int, whole: int) -> int:
    return 10**6 * part // whole if whole else 10**6


def _completeness(month: MonthToScore) -> Iterator[_Measure]:
    receipts, name = month.receipts, "completeness"
    rows = int(receipts["input_rows"].sum())
    counts = [int(receipts[f"{fate}_rows"].sum()) for fate in ("accepted", "duplicate", "superseded", "quarantined")]
    yield name, "rows accounted for", sum(counts), rows
    yield name, "rows not quarantined", rows - counts[-1], rows
    yield name, "files read", receipts.height - receipts["refused_reason"].count(), receipts.height
    parked = month.parked["payer_id"].n_unique()
    payers = pl.concat([month.statements.select("payer_id"), month.parked.select("payer_id")])["payer_id"].n_unique()
    yield name, "payers not parked", payers - parked, payers


def _clearing(month: MonthToScore) -> Iterator[_Measure]:
    """Per clearing account the payers for whom what went in came out; who is parked by an equation has not cleared."""
    broken = month.parked.filter(pl.col("reason") == "equation")["payer_id"].n_unique()
    for account, balances in _accounts(month):
        per_payer = balances.group_by("payer_id").agg(pl.col("cents").cast(pl.Int128).sum())
        cleared = per_payer.filter(pl.col("cents") == 0).height
        yield "clearing", account, cleared, per_payer.height + broken


def _accounts(month: MonthToScore) -> Iterator[tuple[str, pl.DataFrame]]:
    """Each account as what goes in (positive) and comes out (negative), per payer."""

    def booked(rows: pl.DataFrame, cents: pl.Expr | str) -> pl.DataFrame:
        return rows.select("payer_id", cents=(pl.col(cents) if isinstance(cents, str) else cents).cast(pl.Int128))

    drafts, statements, lots = (_of(rows, month.drafts) for rows in (month.drafts, month.statements, month.lots))
    fees, moved, lifetimes = (_of(rows, month.drafts) for rows in (month.fees, month.movements, month.lifetimes))
    kind = moved["kind"].cast(pl.String)
    used = moved.filter(kind.is_in(["free_used", "prepaid_used"]))
    yield (
        "charges to lines",
        pl.concat([booked(fees, "fee_cents"), booked(month.lines, 0 - pl.col("amount_cents"))]),
    )
    yield (
        "fees to credits and subtotal",
        pl.concat(
            [
                booked(fees, "fee_cents"),
                booked(used, "amount_cents"),
                booked(statements, "refill_cents"),
                booked(drafts, 0 - pl.col("subtotal_cents")),
            ]
        ),
    )
    yield (
        "free credits",
        pl.concat(
            [
                booked(lots, "left_before_cents"),
                booked(moved.filter(kind.is_in(["free_used", "free_expired"])), "amount_cents"),
                booked(lots, 0 - pl.col("left_after_cents")),
            ]
        ),
    )
    yield (
        "prepaid credits and refills",
        pl.concat(
            [
                booked(statements, pl.sum_horizontal("prepaid_before_cents", "pending_cents")),
                booked(moved.filter(kind.is_in(["prepaid_used", "refill"])), "amount_cents"),
                booked(lifetimes, 0 - pl.sum_horizontal("prepaid_cents", "pending_cents")),
            ]
        ),
    )
    yield (
        "subtotal and VAT to payable",
        booked(drafts, pl.sum_horizontal("subtotal_cents", "vat_cents") - pl.col("payable_cents")),
    )


def _of(rows: pl.DataFrame, payers: pl.DataFrame) -> pl.DataFrame:
    return rows.join(payers, on="payer_id", how="semi")


def _timeliness(month: MonthToScore) -> Iterator[_Measure]:
    """Late rows are decided once, so they are compared with what counts: the accepted rows of usage."""
    usage = month.receipts.filter(pl.col("feed").is_in(month.usage_feeds))
    accepted = int(usage["accepted_rows"].sum())
    late = min(int(month.late["late_rows"].sum()), accepted)
    yield "timeliness", "usage before its month was closed", accepted - late, accepted

"""Corrections that were approved: what differs of an issued month, and the later invoice that books it.

What was approved stands in the books, with the generation of `corrections/differences` that it is about. The next
invoice of the payer that is closed as of the approval or later books it.
"""

from collections.abc import Mapping
from typing import NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.books import ApprovedCorrection, DecisionKind
from billing_pipeline.defs.billing import Billing, as_of, partition
from billing_pipeline.defs.monthly import Report, Table
from billing_pipeline.rules.corrections import BookedMonth
from billing_pipeline.rules.issuing import hash_rows
from billing_pipeline.rules.parking import without
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.corrections import BookedCorrections, CorrectionLines, Differences, WaitingCorrections
from billing_pipeline.warehouse import Generation

DIFFERENCES = "corrections/differences"

CORRECTIONS = Table(
    "credits/corrections",
    "Corrections of older months that the month's invoices book. One row per correction line.",
    deps=["rating/charges"],
)


class NotCorrectable(RuntimeError):
    """The month has nothing that could be corrected or approved now: it is not issued, was not rated again, or an
    invoice of it is to be issued again first."""


class DifferencesChanged(RuntimeError):
    """The differences that were approved are not those that are published under their name."""


def approve_differences(billing: Billing, month: Month, author: str) -> ApprovedCorrection | None:
    """Keep in the books that the published differences of a month are to be booked; None where there are none.

    Raises:
        NotCorrectable: the month was not rated again, or an invoice that is corrected is to be issued again.
        CorrectionOutdated: another correction of the month was approved since.
    """
    published = billing.warehouse.current(DIFFERENCES, partition(month))
    if published is None:
        message = f"{month} was not rated again yet; run: billing correct {month}"
        raise NotCorrectable(message)
    rows = published.read()
    if rows.is_empty():
        return None
    _require_none_reissued(billing, month, rows)
    return billing.books.approve_correction(
        month,
        published.id,
        hash_rows(rows.iter_rows(named=True)),
        author,
        as_of=as_of(published),
        follows=int(str(published.manifest["facts"]["follows"])),
    )


def _require_none_reissued(billing: Billing, month: Month, rows: pl.DataFrame) -> None:
    """Check that no invoice which these differences correct waits for being issued again: it would not stay as it is.

    Raises:
        NotCorrectable: one does.
    """
    issued = {document.number: document for document in billing.books.issued()}
    for entry in billing.books.waiting_decisions():
        document = issued[entry.number]
        is_corrected = document.billed_month == month and document.request.payer_id in rows["payer_id"]
        if entry.kind is DecisionKind.REISSUE and is_corrected:
            message = (
                f"{entry.number} of {document.request.payer_id} for {month} is to be issued again ({entry.author}: "
                f"{entry.reason}); that comes first: issue the next month, then approve"
            )
            raise NotCorrectable(message)


class DueCorrections(NamedTuple):
    """The approved corrections that a month's invoices book, and those that wait."""

    #: Rows of `Differences` with `approval`; `payer_id` is whose invoice books them.
    rows: pl.DataFrame
    #: By now, this month's included.
    booked: dy.DataFrame[BookedCorrections]
    waiting: dy.DataFrame[WaitingCorrections]
    #: Approval -> generation.
    generations: Mapping[int, str]


def due_corrections(
    billing: Billing,
    month: Month,
    organisations: dy.DataFrame[Organisations],
    known: pl.DataFrame,
    parked: pl.DataFrame,
) -> DueCorrections:
    """The corrections of older months that were approved by the run's `as_of` and that no invoice has booked yet.

    They are booked by whoever pays for the corrected payer at the month's end. An issued month books what had been
    approved when it was issued first, however often it is closed again.

    Args:
        billing: the home.
        month: the month to bill.
        organisations: current versions, one row per owner.
        known: `payer_id` of the accounts that are settled.
        parked: `payer_id` of whose invoices are held back.
    """
    before = _booked_before(billing, month)
    issued_at = billing.books.first_issue_seq(month)
    approved = [
        entry
        for entry in billing.books.approved_corrections()
        if entry.month < month and entry.as_of <= billing.as_of(month) and (issued_at is None or entry.seq < issued_at)
    ]
    rows = approved_rows(billing, approved).rename({"payer_id": "corrected_payer_id"})
    payers = organisations.select(corrected_payer_id="owner_id", payer_id="payer_id")
    due = (
        rows.join(before, on=["approval", "corrected_payer_id"], how="anti")
        .join(payers, on="corrected_payer_id", how="left")
        .with_columns(payer_id=pl.coalesce("payer_id", "corrected_payer_id"))
    )
    bookable = due.join(known, on="payer_id", how="semi")
    keys = ["approval", "corrected_payer_id", "payer_id"]
    is_parked = pl.col("payer_id").is_in(parked["payer_id"].implode())
    waiting = (
        due.join(known, on="payer_id", how="anti")
        .select(keys)
        .unique()
        .with_columns(reason=pl.when(is_parked).then(pl.lit("parked")).otherwise(pl.lit("no_account")))
    )
    now = bookable.select(keys).unique().with_columns(billing_month=pl.lit(str(month)))
    columns = BookedCorrections.column_names()
    booked = pl.concat([before.select(columns), now.select(columns)]).sort("approval", "corrected_payer_id")
    return DueCorrections(
        bookable,
        BookedCorrections.validate(booked),
        WaitingCorrections.validate(WaitingCorrections.cast(waiting.sort("approval", "corrected_payer_id"))),
        {entry.seq: entry.generation for entry in approved},
    )


def postpone(due: DueCorrections, lacking: pl.DataFrame, reason: str) -> DueCorrections:
    """The same without the approvals and payers of `lacking`, which wait for the reason."""
    keys = ["approval", "corrected_payer_id"]
    later = lacking.select(*keys, "payer_id").unique().with_columns(reason=pl.lit(reason))
    waiting = pl.concat([due.waiting.with_columns(pl.col("reason").cast(pl.String)), later])
    return DueCorrections(
        due.rows.join(later, on=keys, how="anti", maintain_order="left"),
        BookedCorrections.validate(due.booked.join(later, on=keys, how="anti", maintain_order="left")),
        WaitingCorrections.validate(WaitingCorrections.cast(waiting.sort(keys))),
        due.generations,
    )


def publish_corrections(
    billing: Billing, month: Month, booked: BookedMonth, due: DueCorrections, broken: pl.DataFrame
) -> Report:
    """Publish what the month's invoices book, without payers for whom an equation does not hold."""
    lines = CorrectionLines.validate(without(booked.lines, broken))
    with billing.warehouse.publishing(
        CORRECTIONS.key,
        partition(month),
        as_of=billing.as_of(month),
        inputs={f"approval {seq}": generation for seq, generation in due.generations.items()},
    ) as publication:
        publication.write("rows", lines)
        # What was booked before stays booked, whoever is held back now.
        is_new = pl.col("billing_month") == str(month)
        publication.write(
            "booked", due.booked.filter(~is_new | ~pl.col("payer_id").is_in(broken["payer_id"].implode()))
        )
        publication.write("waiting", due.waiting)
    return Report({"dagster/row_count": lines.height, "waiting": due.waiting.height})


def _booked_before(billing: Billing, month: Month) -> dy.DataFrame[BookedCorrections]:
    """What the months before have booked, as they were issued or else as they are drafted."""
    before = settled_before(billing, CORRECTIONS.key, month)
    if before is None:
        return BookedCorrections.create_empty()
    return BookedCorrections.cast(without_held_back(billing, before.read("booked"), "payer_id", month.previous))


def settled_before(billing: Billing, table: str, month: Month) -> Generation | None:
    """The predecessor's table; None for the first month, and after one that was issued before the table existed."""
    if billing.predecessor("invoices/drafts", month) is None:
        return None
    issued = billing.books.issued_month(month.previous)
    if issued and table not in issued.generations:
        return None
    return billing.settled(table, month.previous)


def without_held_back(billing: Billing, rows: pl.DataFrame, whose: str, month: Month) -> pl.DataFrame:
    """Rows that add up over months without those of a month whose payers were held back after they were settled."""
    parked = billing.settled("invoices/parked_organisations", month).read()["payer_id"].implode()
    return rows.filter(~((pl.col("billing_month") == str(month)) & pl.col(whose).is_in(parked)))


def approved_rows(billing: Billing, approved: list[ApprovedCorrection]) -> pl.DataFrame:
    """The differences that were approved, each with its `approval`.

    Raises:
        DifferencesChanged: they are not what was approved.
    """
    found = [Differences.create_empty().with_columns(approval=pl.lit(None, pl.Int64))]
    for entry in approved:
        generation = billing.warehouse.generation(DIFFERENCES, partition(entry.month), entry.generation)
        rows = generation.read()
        if hash_rows(rows.iter_rows(named=True)) != entry.content_hash:
            message = f"entry {entry.seq} of the books approved other differences of {entry.month} than {generation.id}"
            raise DifferencesChanged(message)
        found.append(rows.with_columns(approval=pl.lit(entry.seq, pl.Int64)))
    return pl.concat(found, how="vertical_relaxed")

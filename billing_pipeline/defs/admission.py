"""The rows of a month's clean usage that are refused because of whose they are: see `rules.admission`.

They can only be told once the month's organisations are known, so clean usage still holds them; whoever reads it to
bill leaves them out.
"""

from collections.abc import Mapping
from typing import NamedTuple

import polars as pl

from billing_pipeline.defs.billing import Billing
from billing_pipeline.defs.evidence import receipts_of_files
from billing_pipeline.intake.contracts import FEEDS, Feed, Span
from billing_pipeline.rules.admission import judge_usage
from billing_pipeline.rules.equations import Equation
from billing_pipeline.rules.period import Month, Period
from billing_pipeline.tables.usage import Quarantine
from billing_pipeline.warehouse import Generation


def refused_usage(billing: Billing, month: Month, usage: Generation) -> pl.DataFrame:
    """The refused rows of a feed's month: its columns, with those of the meter, `row`, its position, and `reason`."""
    feed = FEEDS[usage.table.removeprefix("usage/")]
    owners = billing.read("accounts/organisations", month).read("owners")
    if not any(column.name == "owner_id" for column in feed.columns):
        return pl.DataFrame()
    ends_us = billing.period(month).end_us
    used = usage.read("meters") if feed.is_metered else usage.read("events")
    # Few owners are unknown or closed, so most months need no row to be read.
    suspects = judge_usage(used.select("owner_id").unique().with_columns(at_us=pl.lit(ends_us)), owners).filter(
        pl.col("reason").is_not_null()
    )
    if suspects.is_empty():
        return pl.DataFrame()
    suspected = used.join(suspects, on="owner_id", how="semi")
    events = usage.read("events").with_row_index("row")
    if feed.is_metered:
        events = events.join(suspected, on="meter_id", maintain_order="left").drop("meter_id")
    judged = judge_usage(events.with_columns(at_us=_placed_at(feed)), owners).filter(pl.col("reason").is_not_null())
    return judged.drop("at_us")


def without_refused(rows: pl.DataFrame, refused: pl.DataFrame) -> pl.DataFrame:
    """`events` or `sources` of a feed's month without the refused rows."""
    return rows.with_row_index("row").join(refused, on="row", how="anti", maintain_order="left").drop("row")


class Quarantined(NamedTuple):
    """What the refused rows of a month change in its receipts and its quarantine."""

    #: The receipts, with these rows counted as quarantined instead of accepted.
    receipts: pl.DataFrame
    #: The rows as `tables.usage.Quarantine` has them.
    rows: pl.DataFrame
    #: How many of them landed in time for an older month, whose receipts count them as accepted.
    landed_before: int


def quarantine_strangers(
    billing: Billing,
    month: Month,
    receipts: pl.DataFrame,
    usage: Mapping[str, Generation],
    refused: Mapping[str, pl.DataFrame],
) -> Quarantined:
    """Move refused rows from accepted to quarantined.

    A row that an older month left over, because it reaches into this one, was refused there already.

    Args:
        billing: the home, for the receipts of older files.
        month: the billed month.
        receipts: rows of `tables.usage.FileReceipts`, as intake counted them.
        usage: clean usage by table.
        refused: `refused_usage` of each.
    """
    start_us, end_us = billing.period(month).start_us, billing.period(month).end_us
    landed_now = receipts.select("feed", "file_id")
    found = []
    for table, seen in refused.items():
        placed_at = _placed_at(FEEDS[table.removeprefix("usage/")])
        # What the month sees of the next one is refused there.
        rows = seen if seen.is_empty() else seen.filter(placed_at < end_us)
        if rows.is_empty():
            continue
        is_older = pl.Series("is_older", rows.select(placed_at < start_us))
        listed = _as_quarantine(table, usage[table].read("sources"), rows).with_columns(is_older.alias("is_older"))
        is_new = listed.join(landed_now, on=["feed", "file_id"], how="semi", maintain_order="left")
        found += [is_new, listed.filter(~pl.col("is_older")).join(landed_now, on=["feed", "file_id"], how="anti")]
    rows = pl.concat(found).drop("is_older") if found else Quarantine.create_empty()
    counted = (
        receipts.join(rows.group_by("feed", "file_id").len("strangers"), on=["feed", "file_id"], how="left")
        .with_columns(moved=pl.min_horizontal(pl.col("strangers").fill_null(0).cast(pl.Int64), "accepted_rows"))
        .with_columns(
            accepted_rows=pl.col("accepted_rows") - pl.col("moved"),
            quarantined_rows=pl.col("quarantined_rows") + pl.col("moved"),
        )
    )
    older = receipts_of_files(billing, month.previous, rows.join(landed_now, on=["feed", "file_id"], how="anti"))
    paths = pl.concat([frame.select("feed", "file_id", "path") for frame in (receipts, older)])
    rows = rows.drop("path").join(paths, on=["feed", "file_id"], how="left")
    return Quarantined(
        counted.select(receipts.columns),
        rows.select(Quarantine.column_names()).sort("feed", "path", "file_row"),
        rows.height - int(counted["moved"].sum()),
    )


def usage_has_an_owner(refused: Mapping[str, pl.DataFrame], period: Period) -> Equation:
    """All usage of a month is of organisations that are known and not closed; else how much cannot be billed."""
    figures: dict[str, int] = {"rows": sum(rows.height for rows in refused.values())}
    for table, rows in refused.items():
        by_reason = rows.sort("reason").partition_by("reason", as_dict=True, maintain_order=True) if rows.height else {}
        for (reason,), those in by_reason.items():
            feed = table.removeprefix("usage/")
            figures[f"{feed} {reason} rows"] = those.height
            if feed == "runtime_intervals":
                until = pl.min_horizontal(pl.col("stopped_us").fill_null(period.end_us), period.end_us)
                ran = (until - pl.max_horizontal("started_us", period.start_us)).clip(lower_bound=0)
                figures[f"{feed} {reason} seconds"] = int(those.select(ran.sum()).item()) // 1_000_000
            if "bytes" in rows.columns:
                figures[f"{feed} {reason} bytes"] = int(those["bytes"].cast(pl.Int128).sum())
    sentence = f"usage that nobody can be billed for: {figures['rows']:,} rows; land their organisations, or ask why"
    return Equation("usage_has_an_owner", sentence, figures, figures["rows"] == 0)


def _as_quarantine(table: str, sources: pl.DataFrame, refused: pl.DataFrame) -> pl.DataFrame:
    """The refused rows of a feed with their files; the row itself as intake understood it."""
    located = refused.join(sources.with_row_index("row"), on="row", how="left", maintain_order="left")
    raw = pl.struct(pl.exclude("row", "reason", "file_id", "file_row")).struct.json_encode()
    return located.select(
        feed=pl.lit(table.removeprefix("usage/")),
        file_id="file_id",
        file_row=pl.col("file_row").cast(pl.Int64),
        path=pl.lit(""),
        reason="reason",
        raw=raw,
    )


def _placed_at(feed: Feed) -> pl.Expr:
    """The instant at which a row counts, in microseconds."""
    time = pl.col(f"{str(feed.time).removesuffix('_at')}_us")
    return pl.max_horizontal(time, pl.col("stopped_us") - 1) if feed.span is Span.DELTA else time

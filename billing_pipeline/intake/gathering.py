"""The rows that one run decides together, brought onto one connection, and what became of each raw row.

A run sees the rows that had landed by its `as_of`. Those that landed since the month before was closed are its
*window*: each raw row is in exactly one window, so receipts count every row once.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import duckdb

from billing_pipeline.intake.contracts import Feed, Type
from billing_pipeline.intake.engine import text
from billing_pipeline.rules.period import Period, microseconds
from billing_pipeline.warehouse import Generation


@dataclass(frozen=True)
class Window:
    """What a run sees: the month, and arrivals after `since` (None: from the beginning) up to `as_of`."""

    period: Period
    since: datetime | None
    as_of: datetime

    @property
    def since_us(self) -> int:
        """`since` in microseconds; before all time where there is none."""
        return microseconds(self.since) if self.since else -1

    @property
    def as_of_us(self) -> int:
        """`as_of` in microseconds."""
        return microseconds(self.as_of)

    def needs(self, end_of_day: datetime) -> bool:
        """Whether an arrival day may hold usage of the window or of the month.

        Nothing is measured before it happens (but for skewed clocks), so days that ended before the month hold no row
        of it.
        """
        return self.since is None or end_of_day > self.since or end_of_day >= self.period.start


def gather(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    window: Window,
    days: Sequence[Generation],
    carried: Generation | None = None,
) -> None:
    """Create `files`, `refused` and `universe` over cleaned days and the rows carried over from the month before.

    `universe` has every row to decide on: of usage the window's, and the month's own that landed earlier; of reference
    data all. Beside the clean columns stand `row_id`, `file_id`, `file_row`, `is_new` (of the window), `is_carried`.
    """
    files = " union all ".join(
        f"select {number} as day_no, {microseconds(datetime.fromisoformat(day.manifest['as_of']))} as landed_us, * "
        f"from {_part(day, 'files')}"
        for number, day in enumerate(days)
    )
    refused = " union all ".join(
        f"select {number} as day_no, * from {_part(day, 'quarantine')}" for number, day in enumerate(days)
    )
    rows = [_day_rows(feed, window, number, day) for number, day in enumerate(days)]
    if carried:
        rows.append(_carried_rows(feed, carried))
    connection.execute(f"create temp table files as {files or _empty(_FILES)}")
    connection.execute(f"create temp view refused as {refused or _empty(_REFUSED)}")
    connection.execute(f"create temp view universe as {' union all by name '.join(rows) or _empty(_universe(feed))}")


def receipts(feed: Feed, window: Window) -> str:
    """The SELECT of `tables.usage.FileReceipts` for the window, once rows are decided."""
    return f"""
        with clean as (
            select
                day_no, file_no, count(*) as clean_rows,
                count(*) filter (status = 'duplicate') as duplicate_rows,
                count(*) filter (status = 'superseded') as superseded_rows
            from universe left join losers using (row_id) where is_new group by all
        ),
        bad as (select day_no, file_no, count(*) as bad_rows from refused where {_is_new(window)} group by all),
        counted as (
            select
                {text(feed.name)} as feed, file_id, path, sha256,
                coalesce(clean_rows, 0) + coalesce(bad_rows, 0) as input_rows,
                coalesce(duplicate_rows, 0) as duplicate_rows, coalesce(superseded_rows, 0) as superseded_rows,
                coalesce(bad_rows, 0) as quarantined_rows, refused_reason, detail, landed_us
            from files left join clean using (day_no, file_no) left join bad using (day_no, file_no)
        )
        select
            feed, file_id, path, sha256, input_rows,
            input_rows - duplicate_rows - superseded_rows - quarantined_rows as accepted_rows,
            duplicate_rows, superseded_rows, quarantined_rows, refused_reason, detail
        from counted
        where landed_us > {window.since_us} or input_rows > 0
        order by path
    """


def quarantine(feed: Feed, window: Window) -> str:
    """The SELECT of `tables.usage.Quarantine` for the window."""
    return f"""
        select {text(feed.name)} as feed, file_id, file_row, path, reason, raw
        from refused inner join files using (day_no, file_no)
        where {_is_new(window)}
        order by path, file_row
    """


def conflicts(feed: Feed, concern: str = "true") -> str:
    """The SELECT of owners whose rows contradict each other, with an example; owner is empty where a feed has none."""
    owner = "owner_id" if "owner_id" in feed.identity else "''"
    return f"""
        select {owner} as owner_id,
            {text(feed.name)} || ': ' || count(*) || ' rows contradict each other, e.g. event '
                || min(source || '/' || event_id) || '; send one of them again with a later ingested_at' as detail
        from conflicts where {concern} group by all order by owner_id
    """


def _is_new(window: Window) -> str:
    return f"seen_us > {window.since_us} and seen_us <= {window.as_of_us}"


def _part(generation: Generation, part: str) -> str:
    return f"read_parquet({text(str(generation.file(f'{part}.parquet')))}, hive_partitioning = false)"


def _day_rows(feed: Feed, window: Window, number: int, day: Generation) -> str:
    """The SELECT of one arrival day's rows that this run decides."""
    meters, joined = "", ""
    if feed.is_metered:
        meters = "meters.owner_id, meters.resource_id, meters.resource_name, meters.named_us, meters.slug, meters.zone,"
        joined = f"inner join {_part(day, 'meters')} as meters using (meter_no)"
    wanted = f"day.seen_us <= {window.as_of_us}"
    if feed.is_usage:
        period = window.period
        in_month = f"day.{feed.time} >= {period.start_us} and day.{feed.time} < {period.end_us}"
        wanted += f" and (day.seen_us > {window.since_us} or ({in_month}))"
    return f"""
        select
            {number} as day_no, day.file_no,
            ({number}::bigint << 48) | (day.file_no::bigint << 34) | day.file_row as row_id,
            {meters} {", ".join(f"day.{column.name}" for column in feed.values)},
            day.source, day.event_id, day.ingested_at, day.is_deleted, day.seen_us, day.event_hash, day.key_hash,
            files.file_id, day.file_row, day.seen_us > {window.since_us} as is_new, false as is_carried
        from {_part(day, "events")} as day
        inner join (select file_no, file_id from files where day_no = {number}) as files using (file_no)
        {joined}
        where {wanted}
    """


def _carried_rows(feed: Feed, carried: Generation) -> str:
    """The SELECT of the carried rows, hashed again as the engine at hand hashes."""
    file = text(str(carried.file("carried.parquet")))
    return f"""
        select
            -1 as day_no, -1 as file_no, -1 - file_row_number as row_id, * exclude (file_row_number),
            hash(source, event_id) as event_hash, hash({", ".join(feed.key_columns)}) as key_hash,
            false as is_new, true as is_carried
        from read_parquet({file}, file_row_number = true, hive_partitioning = false)
    """


_FILES = {
    **dict.fromkeys(("day_no", "landed_us", "file_no", "input_rows"), "bigint"),
    **dict.fromkeys(("file_id", "path", "sha256", "refused_reason", "detail"), "varchar"),
}
_REFUSED = {
    **dict.fromkeys(("day_no", "file_no", "file_row", "seen_us"), "bigint"),
    **dict.fromkeys(("reason", "raw"), "varchar"),
}
_SQL_TYPES = {Type.INSTANT: "bigint", Type.WHOLE: "bigint", Type.DATE: "date", Type.FLAG: "boolean"}


def _universe(feed: Feed) -> dict[str, str]:
    """Names and types of the view `universe` of a feed."""
    meters = ("owner_id", "resource_id", "resource_name", "slug", "zone") if feed.is_metered else ()
    return {
        **dict.fromkeys((*meters, "source", "event_id", "file_id"), "varchar"),
        **{column.name: _SQL_TYPES.get(column.type, "varchar") for column in feed.values},
        **dict.fromkeys(("is_deleted", "is_new", "is_carried"), "boolean"),
        **dict.fromkeys(("day_no", "file_no", "row_id", "ingested_at", "seen_us", "file_row", "named_us"), "bigint"),
        **dict.fromkeys(("event_hash", "key_hash"), "ubigint"),
    }


def _empty(types: dict[str, str]) -> str:
    """A SELECT of no rows, so that a feed without any arrival is handled like any other."""
    return "select " + ", ".join(f"null::{kind} as {name}" for name, kind in types.items()) + " limit 0"

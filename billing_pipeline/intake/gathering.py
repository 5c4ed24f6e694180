"""The rows that one run decides together, brought onto one connection, and what became of each raw row."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime
from itertools import accumulate

import duckdb
import polars as pl

from billing_pipeline.intake.cleaning import require_unlike_hashes
from billing_pipeline.intake.contracts import METER_IDENTITY, Feed, Type
from billing_pipeline.intake.engine import paths, scalar, text
from billing_pipeline.intake.windows import Window
from billing_pipeline.rules.period import microseconds
from billing_pipeline.warehouse import Generation

#: A carried row knows the slug alone, not the columns that it was made from: its meter is hashed apart from the days'.
_CARRIED_METER = f"hash('carried', {', '.join(METER_IDENTITY)}) as meter_hash"

#: A row id is the number of the row's file, and its position in 33 bits.
_ROW_BITS = 33

_NAMED_METER = {
    **dict.fromkeys((*METER_IDENTITY, "resource_name"), "varchar"),
    "named_us": "bigint",
}
_SQL_TYPES = {Type.INSTANT: "bigint", Type.WHOLE: "bigint", Type.DATE: "date", Type.FLAG: "boolean"}


def gather(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    window: Window,
    days: Sequence[Generation],
    repeated: Mapping[str, str],
    predecessor: Generation | None = None,
    reopened: Collection[tuple[str, str]] = (),
) -> None:
    """Create the tables and views that `deciding` and `months` read, over cleaned days and what the month before left.

    - `universe`: every row to decide on: of usage the window's, and the month's own that landed earlier; of reference
      data all; besides, of `reopened` resources and slugs every row there is. Beside the clean columns stand `row_id`,
      `file`, `is_new` (of the window), `is_carried`.
    - `files`: one row per raw file, the carried rows' included; `file` is its number. Files of `repeated` bytes are
      refused here, because a day does not know what landed on others; those superseded are listed.
    - `things`: one row per metered thing: `thing`, numbered in the order of its identity; `holder`, numbered per
      resource and slug; the newest name of the resource. `meters` leads to it from the `meter_hash` of a row.
    - `refused`: one row per refused raw row; those of the window that came too late (`too_late`) included.
    - `lost`: one row per raw row that an earlier run decided against.
    """
    firsts = _create_files(connection, days, repeated, predecessor)
    if feed.is_metered:
        _create_things(connection, days, predecessor)
    _create_lost(connection, predecessor)
    nothing = _empty(_universe(feed))
    arrived = _day_rows(feed, window, days, firsts, repeated, reopened) if days else nothing
    carried = _carried_rows(feed, predecessor) if predecessor else nothing
    if _create_too_late(connection, feed, window, arrived, carried):
        arrived = f"from ({arrived}) anti join too_late using (row_id)"
    _create_refused(connection, days, firsts)
    connection.execute(f"create temp view universe as {arrived} union all by name {carried}")


def receipts(feed: Feed, window: Window) -> str:
    """The SELECT of `tables.usage.FileReceipts` for the window, once rows are decided."""
    return f"""
        with clean as (select file, count(*) as clean_rows from universe where is_new group by file),
        lost_rows as (
            select
                file,
                count(*) filter (status = 'duplicate') as duplicate_rows,
                count(*) filter (status = 'superseded') as superseded_rows
            from losers where is_new group by file
        ),
        bad as (select file, count(*) as bad_rows from {_refused_in(window)} group by file),
        counted as (
            select
                {text(feed.name)} as feed, file_id, path, sha256, landed_us,
                coalesce(clean_rows, 0) + coalesce(bad_rows, 0) as input_rows,
                coalesce(duplicate_rows, 0) as duplicate_rows, coalesce(superseded_rows, 0) as superseded_rows,
                coalesce(bad_rows, 0) as quarantined_rows, refused_reason, detail
            from files
            left join clean using (file) left join lost_rows using (file)
            left join bad using (file)
        )
        select
            feed, file_id::varchar as file_id, path, sha256, input_rows,
            input_rows - duplicate_rows - superseded_rows - quarantined_rows as accepted_rows,
            duplicate_rows, superseded_rows, quarantined_rows, refused_reason, detail
        from counted
        where {_landed_in(window)} or input_rows > 0
        order by path, file_id
    """


def quarantine(feed: Feed, window: Window) -> str:
    """The SELECT of `tables.usage.Quarantine` for the window."""
    return f"""
        select {text(feed.name)} as feed, file_id::varchar as file_id, file_row, path, reason, raw
        from {_refused_in(window)} inner join files using (file)
        order by path, file_row
    """


def conflicts(feed: Feed, concern: str = "true") -> str:
    """The SELECT of owners whose rows contradict each other, with an example.

    Where a feed knows instances alone, the owner is empty and `instance_id` stands beside it.
    """
    concerned = "owner_id" if "owner_id" in feed.identity else "'' as owner_id, instance_id"
    return f"""
        select {concerned},
            {text(feed.name)} || ': ' || count(*) || ' rows contradict each other, e.g. event '
                || min(source || '/' || event_id) || '; send one of them again with a later ingested_at' as detail
        from conflicts where {concern} group by all order by all
    """


def _landed_in(window: Window) -> str:
    return f"landed_us > {window.since_us} and landed_us <= {window.as_of_us}"


def _refused_in(window: Window) -> str:
    """The refused rows of the window: those of files that landed in it, and what came too late for it."""
    landed = f"(select file from files where {_landed_in(window)})"
    return f"(from refused where reason = 'too_late' or file in {landed})"


#: Files whose rows count where the same bytes came first.
_REPEATED = "(select file from files where refused_reason = 'file_duplicate')"


def _create_files(
    connection: duckdb.DuckDBPyConnection,
    days: Sequence[Generation],
    repeated: Mapping[str, str],
    predecessor: Generation | None,
) -> list[int]:
    """Create `files`.

    Returns:
        The number of each day's first file.
    """
    listed = [day.manifest["facts"]["files"] for day in days]
    firsts = list(accumulate((len(files) for files in listed), initial=0))
    landed = [
        (number, file["file_id"], file["path"], file["sha256"], *_verdict(file, repeated), landed_us)
        for first, files, day in zip(firsts, listed, days, strict=False)
        for landed_us in [_landed_us(day)]
        for number, file in enumerate(files, first)
    ]
    superseded = [(file, _landed_us(day)) for day in days for file in day.manifest["facts"]["superseded"]]
    landed += [
        (
            number,
            file["file_id"],
            file["path"],
            file["sha256"],
            "file_superseded",
            "other bytes took its place",
            landed_us,
        )
        for number, (file, landed_us) in enumerate(superseded, len(landed))
    ]
    if predecessor:
        carried = predecessor.read("carried")["file_id"].unique().sort()
        known = {file[1] for file in landed}
        older = [file_id for file_id in carried if file_id not in known]
        landed += [(number, file_id, *[None] * 5) for number, file_id in enumerate(older, len(landed))]
    types = {"file": pl.Int64, **dict.fromkeys(("file_id", "path", "sha256", "refused_reason", "detail"), pl.String)}
    listing = pl.DataFrame(landed, schema={**types, "landed_us": pl.Int64}, orient="row")
    connection.register("listing", listing.to_arrow())
    # Few texts that stand beside every row: as an enum they sort and are written as numbers.
    connection.execute("create temp table files as from listing order by file")
    # The empty one, because a type needs a value where nothing has landed.
    connection.execute("create type file_ids as enum (select '' union select file_id from files order by all)")
    connection.execute("alter table files alter file_id type file_ids")
    return firsts


def _create_refused(connection: duckdb.DuckDBPyConnection, days: Sequence[Generation], firsts: Sequence[int]) -> None:
    """Create the view `refused`."""
    refusing = [(first, day) for first, day in zip(firsts, days, strict=False) if "quarantine.parquet" in day.files]
    refused = " union all ".join(
        f"select {first} + file_no as file, file_row, reason, raw from {_part(day, 'quarantine')} "
        f"where {first} + file_no not in {_REPEATED}"
        for first, day in refusing
    )
    late = "select file, file_row, 'too_late' as reason, raw from too_late"
    connection.execute(f"create temp view refused as {' union all '.join([*([refused] if refused else []), late])}")


def _create_too_late(
    connection: duckdb.DuckDBPyConnection, feed: Feed, window: Window, arrived: str, carried: str
) -> bool:
    """Create `too_late`: the window's rows that are wholly of months for which no correction is made any more.

    What says otherwise than a carried row is of this month, too, however old it is.

    Returns:
        Whether there are any.
    """
    rows = _empty({"row_id": "bigint", "file": "bigint", "file_row": "bigint", "raw": "varchar"})
    if feed.is_usage and window.late_from:
        until = microseconds(window.late_from) - feed.margin_us
        is_old = f"is_new and {feed.time} < {until} and {feed.reach} <= {until}"
        keys = ", ".join(feed.key_columns)
        things = "inner join meters using (meter_hash) inner join things using (thing)" if feed.is_metered else ""
        own = [*(METER_IDENTITY if feed.is_metered else ()), *(column.name for column in feed.values)]
        row = ", ".join(f"{name} := {name}" for name in [*own, "source", "event_id", "ingested_at", "is_deleted"])
        rows = f"""
            with held as (from ({carried}) as carried {things})
            select row_id, file, file_row, to_json(struct_pack({row}))::varchar as raw
            from (from ({arrived}) where {is_old}) as old {things}
            where (source, event_id) not in (select (source, event_id) from held)
                and ({keys}) not in (select ({keys}) from held)
        """
    connection.execute(f"create temp table too_late as {rows}")
    return bool(scalar(connection, "select count(*) from too_late"))


def _verdict(file: Mapping[str, str], repeated: Mapping[str, str]) -> tuple[str | None, str | None]:
    """The reason for which a file is refused, and what is noted of it."""
    if file["path"] in repeated:
        return "file_duplicate", f"the bytes of {repeated[file['path']]}"
    return file["refused_reason"], file["detail"]


def _landed_us(day: Generation) -> int:
    return microseconds(datetime.fromisoformat(day.manifest["as_of"]))


def _create_things(
    connection: duckdb.DuckDBPyConnection, days: Sequence[Generation], predecessor: Generation | None
) -> None:
    """Create `things` and `meters`."""
    meter, columns = ", ".join(METER_IDENTITY), ", ".join(_NAMED_METER)
    told = [_empty({"meter_hash": "ubigint", **_NAMED_METER})]
    if days:
        told.append(f"select meter_hash, {columns} from {_parts(days, 'meters')}")
    if predecessor:
        told.append(f"select {_CARRIED_METER}, {columns} from {_part(predecessor, 'carried')}")
    connection.execute(f"""
        create temp table known as
        select
            meter_hash, {meter},
            max({{'at': named_us, 'name': resource_name}}) filter (resource_name is not null) as named
        from ({" union all by name ".join(told)}) group by meter_hash, {meter}
    """)
    require_unlike_hashes(connection, f"select meter_hash, {meter} from known")
    connection.execute(f"""
        create temp table things as
        select
            (row_number() over (order by {meter}) - 1)::integer as thing,
            dense_rank() over (order by resource_id, slug)::integer as holder,
            {meter}, (max(named)).name as resource_name, (max(named)).at as named_us
        from known group by {meter}
    """)
    connection.execute(
        f"create temp table meters as select meter_hash, thing from known inner join things using ({meter})"
    )


def _create_lost(connection: duckdb.DuckDBPyConnection, predecessor: Generation | None) -> None:
    """Create `lost`."""
    connection.execute("create temp table lost (row_id bigint, file bigint, file_row bigint, time_us bigint)")
    if predecessor and predecessor.manifest["files"]["lost.parquet"]["rows"]:
        connection.execute(f"""
            insert into lost
            select (file << {_ROW_BITS}) | file_row, file, file_row, time_us
            from {_part(predecessor, "lost")} as lost inner join files on files.file_id::varchar = lost.file_id
        """)


def _parts(generations: Sequence[Generation], part: str) -> str:
    """The SQL that reads one part of several generations; `file_index` counts them."""
    files = paths(generation.file(f"{part}.parquet") for generation in generations)
    return f"read_parquet({files}, hive_partitioning = false)"


def _part(generation: Generation, part: str) -> str:
    return _parts([generation], part)


def _day_rows(
    feed: Feed,
    window: Window,
    days: Sequence[Generation],
    firsts: Sequence[int],
    repeated: Mapping[str, str],
    reopened: Collection[tuple[str, str]],
) -> str:
    """The SELECT of the arrival days' rows that this run decides."""
    file = f"cast({list(firsts)} as bigint[])[file_index::bigint + 1] + file_no"
    wanted = f"seen_us <= {window.as_of_us}"
    if feed.is_usage:
        period = window.period
        in_month = f"{feed.time} >= {period.start_us} and {feed.time} <= {period.end_us + feed.margin_us}"
        is_reopened = ""
        if reopened:
            pairs = ", ".join(f"({text(resource)}, {text(slug)})" for resource, slug in sorted(reopened))
            meters = f"from meters inner join things using (thing) where (resource_id, slug) in ({pairs})"
            is_reopened = f"or meter_hash in (select meter_hash {meters})"
        wanted += f" and (seen_us > {window.since_us} or ({in_month}) {is_reopened})"
    if repeated:
        wanted += f" and {file} not in {_REPEATED}"
    return f"""
        select
            {file} as file, file_row, (({file}) << {_ROW_BITS}) | file_row as row_id,
            {"meter_hash, " if feed.is_metered else ""}{_names(feed)},
            source, event_id, ingested_at, is_deleted, seen_us, event_hash, key_hash,
            seen_us > {window.since_us} as is_new, false as is_carried
        from {_parts(days, "events")}
        where {wanted}
    """


def _carried_rows(feed: Feed, predecessor: Generation) -> str:
    """The SELECT of the carried rows, hashed again as the engine at hand hashes."""
    keys = ", ".join(feed.key_columns)
    carried = text(str(predecessor.file("carried.parquet")))
    return f"""
        select
            file, file_row, -1 - file_row_number as row_id,
            {f"{_CARRIED_METER}, " if feed.is_metered else ""}{_names(feed)},
            source, event_id, ingested_at, is_deleted, seen_us,
            hash(source, event_id) as event_hash, hash({keys}) as key_hash,
            false as is_new, true as is_carried
        from read_parquet({carried}, file_row_number = true, hive_partitioning = false) as carried
        inner join files on files.file_id::varchar = carried.file_id
    """


def _names(feed: Feed) -> str:
    return ", ".join(column.name for column in feed.values)


def _universe(feed: Feed) -> dict[str, str]:
    """Names and types of the view `universe` of a feed."""
    return {
        **{column.name: _SQL_TYPES.get(column.type, "varchar") for column in feed.values},
        **dict.fromkeys(("source", "event_id"), "varchar"),
        **dict.fromkeys(("is_deleted", "is_new", "is_carried"), "boolean"),
        **dict.fromkeys(("file", "file_row", "row_id", "ingested_at", "seen_us"), "bigint"),
        **dict.fromkeys(("event_hash", "key_hash", "meter_hash"), "ubigint"),
    }


def _empty(types: dict[str, str]) -> str:
    """A SELECT of no rows, so that a feed without any arrival is handled like any other."""
    return "select " + ", ".join(f"null::{kind} as {name}" for name, kind in types.items()) + " where false"

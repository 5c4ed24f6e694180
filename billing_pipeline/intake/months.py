"""The clean usage of a month, assembled from arrival days and from what the month before carried over.

Which rows are decided together: all of the window, whatever month they belong to; the month's own rows that landed
earlier; and the carried ones. So no month reads an older month's rows again, with one exception: where the last sample
before the month is withdrawn, the one before it holds again, and the history of that resource is read for it.

Parts of `usage/<feed>`:

- `events`: one row per clean usage row that concerns the month, sorted; the same for any order of raw rows and files.
- `sources`: row by row beside `events`, the raw file and the position in it.
- `meters`: one row per metered thing of the month (metered feeds).
- `carried`: one row per row that the next month needs: open and crossing runs, crossing deltas, held samples,
  the heartbeats of its last day; with the rows that contradict one of these.
- `lost`: one row per raw row of a later month that was decided against; it never counts again.
- `receipts`, `quarantine`, `late`: this feed's share of `tables.usage`.
- `conflicts`: one row per owner whose usage contradicts itself.
"""

from collections.abc import Collection, Mapping
from datetime import date

import duckdb

from billing_pipeline.adapters.landing import Landing
from billing_pipeline.intake.cleaning import clean_arrivals
from billing_pipeline.intake.contracts import METER_IDENTITY, Column, Feed, Span, Type
from billing_pipeline.intake.deciding import decide
from billing_pipeline.intake.engine import EngineLimits, copy, session, text
from billing_pipeline.intake.gathering import conflicts, gather, quarantine, receipts
from billing_pipeline.intake.windows import Window
from billing_pipeline.warehouse import Generation, Publication, Warehouse


class SourceMissing(RuntimeError):
    """A source that the month needs has no row in it."""


_THINGS = "inner join meters using (meter_hash) inner join things using (thing)"


def publish_usage(
    feed: Feed,
    window: Window,
    landing: Landing,
    warehouse: Warehouse,
    limits: EngineLimits,
    *,
    predecessor: Generation | None,
    needed_sources: Collection[str] = (),
) -> Generation:
    """Assemble and publish one feed's clean usage of a month.

    Raises:
        SourceMissing: one of `needed_sources` has no row that counts and is dated in the month; nothing is published.
        FileInClosedDay: a day that an older month has counted holds a file that was not there then.
    """
    days, last_days, repeated = clean_arrivals(feed, window, landing, warehouse, limits)
    with session(limits, [warehouse.root]) as connection:
        gather(connection, feed, window, list(days.values()), repeated, predecessor)
        _decide(connection, feed)
        _require_sources(connection, feed, window, needed_sources, last_days)
        reopened = _bereft_holders(connection, feed, window)
        if not reopened:
            return _publish(connection, feed, window, warehouse, days, predecessor)
    days, _, repeated = clean_arrivals(feed, window, landing, warehouse, limits, whole_history=True)
    with session(limits, [warehouse.root]) as connection:
        gather(connection, feed, window, list(days.values()), repeated, predecessor, reopened)
        _decide(connection, feed)
        return _publish(connection, feed, window, warehouse, days, predecessor)


def _decide(connection: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    decide(connection, feed)
    connection.execute("create temp view counting as from universe anti join losers using (row_id)")


def _require_sources(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    window: Window,
    needed: Collection[str],
    last_days: Mapping[str, date],
) -> None:
    """Stop a month that a whole source is missing from: its usage would be billed as none.

    Raises:
        SourceMissing: a needed source has no row that counts and is dated in the month.
    """
    if not needed:
        return
    dated = f"{feed.time} >= {window.period.start_us} and {feed.time} < {window.period.end_us}"
    seen = {row[0] for row in connection.execute(f"select distinct source from counting where {dated}").fetchall()}
    missing = [
        f"{source} (last landed {last_days[source]})" if source in last_days else f"{source} (never landed)"
        for source in sorted(set(needed) - seen)
    ]
    if missing:
        message = (
            f"file_missing: {feed.name} of {window.period.month} has no row of {', '.join(missing)}, which settings "
            f"(needed_sources) say it needs, as of {window.as_of:%Y-%m-%dT%H:%M:%SZ}; land its files and close "
            f"{window.period.month} with a later --as-of, or go on without it: --without SOURCE"
        )
        raise SourceMissing(message)


def _bereft_holders(connection: duckdb.DuckDBPyConnection, feed: Feed, window: Window) -> list[tuple[str, str]]:
    """The resources and slugs whose carried sample does not count any more, with nothing later before the month."""
    if feed.span is not Span.HELD:
        return []
    return connection.execute(f"""
        select distinct resource_id, slug
        from (from universe where is_carried) as carried
        {_THINGS}
        where not exists (
            from counting inner join meters as of_it using (meter_hash) inner join things as its using (thing)
            where its.holder = things.holder and not counting.is_deleted
                and counting.{feed.time} >= carried.{feed.time} and counting.{feed.time} < {window.period.start_us}
        )
        order by all
    """).fetchall()


def _publish(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    window: Window,
    warehouse: Warehouse,
    days: Mapping[date, Generation],
    predecessor: Generation | None,
) -> Generation:
    """Publish every part of the month."""
    inputs = {f"day={day.isoformat()}": generation.id for day, generation in days.items()}
    if predecessor:
        inputs["predecessor"] = predecessor.id
    parts = {
        "carried": _carried(feed, window),
        "lost": _lost(window),
        "receipts": _noting_late(receipts(feed, window)),
        "quarantine": quarantine(feed, window),
        "late": f"""
            select {text(feed.name)} as feed, origin_month, count(*) as late_rows
            from late group by all order by origin_month
        """,
        "conflicts": conflicts(feed, _conflict_concerns_month(feed, window)),
    }
    connection.execute(f"create temp table late as {_late(feed, window)}")
    with warehouse.publishing(
        f"usage/{feed.name}", f"month={window.period.month}", as_of=window.as_of, inputs=inputs
    ) as publication:
        _write_events(connection, feed, window, publication)
        for part, select in parts.items():
            copy(connection, select, publication.path(f"{part}.parquet"))
    return publication.generation


def _write_events(connection: duckdb.DuckDBPyConnection, feed: Feed, window: Window, publication: Publication) -> None:
    """Write `meters`, `events` and `sources`; events have a total order that knows nothing of files."""
    rows = f"from counting where not is_deleted and {_concerns_month(feed, window, feed.margin_us)}"
    if feed.span is Span.HELD:
        rows += f" union all {_last_before(feed, window.period.start_us)}"
    join, identity, order = "", "source, event_id", ", ".join(feed.natural_key)
    if feed.is_metered:
        _write_meters(connection, rows, publication)
        join, identity = "inner join billed using (meter_hash)", "meter_id"
        identity += ", source" if feed.tells_source else ""
        own = {column.name for column in feed.values} - {feed.time}
        # Numbers first and in 16 bytes: texts are only compared where both are equal.
        order = ", ".join(["meter_id", str(feed.time), *(key for key in feed.key_columns if key in own)])
    values = ", ".join(f"{column.name} as {_published_name(column)}" for column in feed.values)
    connection.execute(f"""
        create temp table sorted as
        select {identity}, {values}, file_id, file_row
        from (from ({rows}) inner join (select file, file_id from files) using (file) {join} order by {order})
    """)
    published = identity.replace("meter_id", "meter_id::bigint as meter_id")
    columns = ", ".join([published, *(_published_name(column) for column in feed.values)])
    copy(connection, f"select {columns} from sorted", publication.path("events.parquet"))
    # As text: the dictionary that is written for an enum depends on threads.
    copy(connection, "select file_id::varchar as file_id, file_row from sorted", publication.path("sources.parquet"))
    connection.execute("drop table sorted")


def _write_meters(connection: duckdb.DuckDBPyConnection, rows: str, publication: Publication) -> None:
    """Write `meters`, and leave `billed`, which leads from the hash of a meter to its `meter_id` in the month."""
    connection.execute(f"""
        create temp table billed as
        select meter_hash, thing, (dense_rank() over (order by thing) - 1)::integer as meter_id
        from meters semi join (select meter_hash from ({rows}) group by meter_hash) using (meter_hash)
    """)
    columns = "meter_id::bigint as meter_id, owner_id, resource_id, resource_name, slug, zone"
    copy(
        connection,
        f"select distinct {columns} from billed inner join things using (thing) order by meter_id",
        publication.path("meters.parquet"),
    )


def _published_name(column: Column) -> str:
    """Instants are published as whole microseconds and say so."""
    return column.name.removesuffix("_at") + "_us" if column.type is Type.INSTANT else column.name


def _concerns_month(feed: Feed, window: Window, margin_us: int = 0) -> str:
    """Whether a row is billed in the month, or tells of what is billed from at most a margin beside it.

    What runs on right from the month's end tells that a run goes on.
    """
    start, end = window.period.start_us - margin_us, window.period.end_us + margin_us
    if feed.span is Span.RUN:
        return f"({feed.time} <= {end} and {feed.reach} > {start} and {feed.reach} > {feed.time})"
    return f"({feed.reach} > {start} and {feed.reach} <= {end})"


def _last_before(feed: Feed, instant_us: int) -> str:
    """The SELECT of the last row of each resource and slug before an instant."""
    return f"""
        select counting.* from counting {_THINGS}
        semi join (
            select holder, max({feed.time}) as {feed.time} from counting {_THINGS}
            where not is_deleted and {feed.time} < {instant_us} group by holder
        ) as held on held.holder = things.holder and held.{feed.time} = counting.{feed.time}
        where not is_deleted
    """


def _conflict_concerns_month(feed: Feed, window: Window) -> str:
    """Whether a row that contradicts another one may be billed in the month; a value also where it is still held."""
    concern = _concerns_month(feed, window, feed.margin_us if feed.span is Span.NEAR else 0)
    if feed.span is Span.RUN:
        concern += f" and {feed.time} < {window.period.end_us}"
    if feed.span is Span.HELD:
        concern += f" or {_contradicts(feed, _last_before(feed, window.period.start_us))}"
    return concern


def _contradicts(feed: Feed, rows: str) -> str:
    """Whether a row of `conflicts` is one of `rows`, or cannot be right together with one of them."""
    keys = ", ".join(feed.key_columns)
    sides = f"from conflicts semi join ({rows}) as told using (row_id)"
    return f"((source, event_id) in (select (source, event_id) {sides}) or ({keys}) in (select ({keys}) {sides}))"


def _carried(feed: Feed, window: Window) -> str:
    """The SELECT of the rows that later months need.

    A row that contradicts another one is carried with it: the next month must not take one of them for the truth.
    """
    end = window.period.end_us
    before_end = f"{feed.time} < {end}"
    reaching = ""
    if feed.span is Span.MOMENT:
        kept = "from counting where false"
    elif feed.span is Span.HELD:
        kept = _last_before(feed, end)
    else:
        reaches = f"not is_deleted and {before_end} and {feed.reach} > {end - feed.margin_us}"
        kept = f"from counting where {reaches}"
        reaching = f" union select row_id from conflicts where {reaches}"
    meter = [*METER_IDENTITY, "resource_name", "named_us"] if feed.is_metered else []
    told = [*(column.name for column in feed.values), "source", "event_id", "ingested_at", "is_deleted", "seen_us"]
    row = ", ".join([*(["meter_hash"] if feed.is_metered else []), *told, "file", "file_row", "row_id"])
    return f"""
        with kept as (select {row} from ({kept}))
        select {", ".join([*meter, *told])}, file_id::varchar as file_id, file_row
        from (
            from kept
            union
            select {row} from conflicts
            where {before_end} and {_contradicts(feed, f"select row_id from kept {reaching}")}
        ) as kept
        inner join (select file, file_id from files) using (file)
        {_THINGS if feed.is_metered else ""}
        order by {", ".join((*feed.key_columns, "source", "event_id", "ingested_at", "file_id", "file_row"))}
    """


def _lost(window: Window) -> str:
    """The SELECT of the raw rows of later months that do not count."""
    return f"""
        select distinct file_id::varchar as file_id, file_row, time_us
        from losers inner join (select file, file_id from files) using (file)
        where time_us >= {window.period.end_us} and not is_open
        order by all
    """


def _late(feed: Feed, window: Window) -> str:
    """The SELECT of the new rows that change an older month: their `file`, and that month.

    Nothing changes the time before the first month that was ever billed. A carried row was not billed to its end: a
    run of the same meter that still reaches into this month changes nothing before it, nor does the withdrawal of a
    delta that was to be billed whole in this month.
    """
    start = window.period.start_us if window.since else 0
    things = _THINGS if feed.is_metered else ""
    key = f"({'thing, ' if feed.span is Span.RUN and feed.is_metered else ''}{', '.join(feed.key_columns)})"
    was_carried = f"{key} in (select {key} from universe {things} where is_carried)"
    billed_at = f"case when is_deleted then {feed.time} else {feed.reach} - 1 end"
    match feed.span:
        case Span.RUN:
            billed_at = str(feed.time)
            tells_less = f"{feed.reach} > {feed.time} and ({feed.reach} < {start} or not {was_carried})"
            is_late = f"{feed.time} < {start} and (is_deleted or {tells_less})"
        case Span.DELTA:
            is_late = f"{billed_at} < {start} and not (is_deleted and {was_carried})"
        case _:
            is_late = f"{feed.time} < {start}"
    month = f"strftime(timezone({text(window.period.zone.key)}, make_timestamptz({billed_at})), '%Y-%m')"
    return f"""
        select file, {month} as origin_month from (from counting {things} where is_new) where {is_late}
    """


def _noting_late(counted: str) -> str:
    """The receipts with a note where rows of a file are late."""
    told = "'late_file: ' || string_agg(origin_month || ' ' || late_rows || ' rows', ', ' order by origin_month)"
    return f"""
        select counted.* replace (nullif(concat_ws('; ', detail, note), '') as detail)
        from ({counted}) as counted
        left join (
            select file_id::varchar as file_id, {told} as note
            from (select file, origin_month, count(*) as late_rows from late group by all) inner join files using (file)
            group by file_id
        ) as noted using (file_id)
        order by path, file_id
    """

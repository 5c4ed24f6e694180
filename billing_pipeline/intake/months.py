"""The clean usage of a month, assembled from arrival days and from what the month before carried over.

Which rows are decided together: all of the window, whatever month they belong to; the month's own rows that landed
earlier; and the carried ones. So no month reads an older month's rows again.

Parts of `usage/<feed>`:

- `events`: one row per clean usage row that concerns the month, sorted; the same for any order of raw rows and files.
- `sources`: row by row beside `events`, the raw file and the position in it.
- `meters`: one row per metered thing of the month (metered feeds).
- `carried`: one row per row that the next month needs: open and crossing runs, crossing deltas, held samples.
- `receipts`, `quarantine`, `late`: this feed's share of `tables.usage`.
- `conflicts`: one row per owner whose usage contradicts itself.
"""

from collections.abc import Sequence

import duckdb

from billing_pipeline.adapters.landing import Landing, day_end
from billing_pipeline.intake.cleaning import clean_days
from billing_pipeline.intake.contracts import METER_IDENTITY, Column, Feed, Span, Type
from billing_pipeline.intake.deciding import decide
from billing_pipeline.intake.engine import EngineLimits, copy, session, text
from billing_pipeline.intake.gathering import Window, conflicts, gather, quarantine, receipts
from billing_pipeline.warehouse import Generation, Publication, Warehouse


def publish_usage(
    feed: Feed,
    window: Window,
    landing: Landing,
    warehouse: Warehouse,
    limits: EngineLimits,
    *,
    predecessor: Generation | None,
) -> Generation:
    """Assemble and publish one feed's clean usage of a month."""
    needed = [day for day in landing.days(feed.name, window.as_of) if window.needs(day_end(day))]
    days = clean_days(feed, needed, landing, warehouse, limits)
    inputs = {f"day={day.isoformat()}": generation.id for day, generation in days.items()}
    if predecessor:
        inputs["predecessor"] = predecessor.id
    table, partition = f"usage/{feed.name}", f"month={window.period.month}"
    folders = [generation.path for generation in (*days.values(), *([predecessor] if predecessor else []))]
    with warehouse.publishing(table, partition, as_of=window.as_of, inputs=inputs) as publication:
        with session(limits, [*folders, publication.folder]) as connection:
            gather(connection, feed, window, list(days.values()), predecessor)
            decide(connection, feed)
            _write(connection, feed, window, publication)
    return warehouse.require(table, partition)


def _write(connection: duckdb.DuckDBPyConnection, feed: Feed, window: Window, publication: Publication) -> None:
    """Write every part of the month."""
    connection.execute(
        "create temp view counting as select * from universe where row_id not in (select row_id from losers)"
    )
    _write_events(connection, feed, window, publication)
    parts = {
        "carried": _carried(feed, window),
        "receipts": receipts(feed, window),
        "quarantine": quarantine(feed, window),
        "late": _late(feed, window),
        "conflicts": conflicts(feed, _concerns_month(feed, window)),
    }
    for part, select in parts.items():
        copy(connection, select, publication.path(f"{part}.parquet"))


def _write_events(connection: duckdb.DuckDBPyConnection, feed: Feed, window: Window, publication: Publication) -> None:
    """Write `meters`, `events` and `sources`; events have a total order that knows nothing of files."""
    rows = f"select * from counting where not is_deleted and {_concerns_month(feed, window)}"
    if feed.span is Span.HELD:
        rows += f" union all by name {_last_before(feed, window.period.start_us)}"
    values = [column.name for column in feed.values]
    identity, order = ["source", "event_id"], list(feed.natural_key)
    if feed.is_metered:
        meter = ", ".join(METER_IDENTITY)
        connection.execute(f"""
            create temp table meters as
            select
                row_number() over (order by {meter}) - 1 as meter_id, owner_id, resource_id,
                max({{'at': named_us, 'name': resource_name}}) filter (resource_name is not null) as named, slug, zone
            from ({rows}) group by {meter}
        """)
        columns = "meter_id, owner_id, resource_id, named.name as resource_name, slug, zone"
        copy(connection, f"select {columns} from meters order by meter_id", publication.path("meters.parquet"))
        rows = f"select * from ({rows}) inner join (select meter_id, {meter} from meters) using ({meter})"
        identity = ["meter_id"]
        order = ["meter_id", str(feed.time), *(key for key in feed.key_columns if key in values and key != feed.time)]
    columns = ", ".join([*identity, *(f"{c.name} as {_published_name(c)}" for c in feed.values)])
    connection.execute(f"""
        create temp table sorted as
        select {columns}, file_id, file_row from (select * from ({rows}) order by {", ".join(order)})
    """)
    copy(connection, "select * exclude (file_id, file_row) from sorted", publication.path("events.parquet"))
    copy(connection, "select file_id, file_row from sorted", publication.path("sources.parquet"))


def _published_name(column: Column) -> str:
    """Instants are published as whole microseconds and say so."""
    return column.name.removesuffix("_at") + "_us" if column.type is Type.INSTANT else column.name


def _concerns_month(feed: Feed, window: Window) -> str:
    """Whether a row is billed in the month."""
    start, end = window.period.start_us, window.period.end_us
    if feed.span is Span.RUN:
        return f"({feed.time} < {end} and {feed.reach} > {start} and {feed.reach} > {feed.time})"
    return f"({feed.reach} > {start} and {feed.reach} <= {end})"


def _last_before(feed: Feed, instant_us: int) -> str:
    """The SELECT of the last row of each resource and slug before an instant."""
    return f"""
        select * from (select * from counting where not is_deleted and {feed.time} < {instant_us})
        qualify row_number() over (partition by resource_id, slug order by {feed.time} desc) = 1
    """


def _carried(feed: Feed, window: Window) -> str:
    """The SELECT of the rows that later months need, and of those that beat an event of a later month."""
    end = window.period.end_us
    if feed.span is Span.MOMENT:
        kept = "select * from counting where false"
    elif feed.span is Span.HELD:
        kept = _last_before(feed, end)
    else:
        kept = f"select * from counting where not is_deleted and {feed.time} < {end} and {feed.reach} > {end}"
    meter: Sequence[str] = (
        ("owner_id", "resource_id", "resource_name", "named_us", "slug", "zone") if feed.is_metered else ()
    )
    columns = (*meter, *(column.name for column in feed.values), "source", "event_id", "ingested_at", "is_deleted")
    beaten = f"select source, event_id from by_event where place > 1 and {feed.time} >= {end}"
    return f"""
        select distinct {", ".join(columns)}, seen_us, file_id, file_row
        from (
            {kept}
            union all by name
            select * from counting where {feed.time} < {end} and (source, event_id) in ({beaten})
        )
        order by {", ".join((*feed.key_columns, "source", "event_id"))}
    """


def _late(feed: Feed, window: Window) -> str:
    """The SELECT of the new rows that change an older month, counted by that month.

    A carried run that is told again and still reaches into this month changes nothing before it; nor does anything
    change the time before the first month that was ever billed.
    """
    start = window.period.start_us if window.since else 0
    is_late = f"is_new and {feed.reach} <= {start}"
    if feed.span is Span.RUN:
        keys = ", ".join(feed.natural_key)
        is_late = f"""
            is_new and {feed.time} < {start} and {feed.reach} > {feed.time} and (
                is_deleted or {feed.reach} < {start}
                or ({keys}) not in (select ({keys}) from universe where is_carried)
            )
        """
    month = f"strftime(timezone({text(window.period.zone.key)}, make_timestamptz({feed.time})), '%Y-%m')"
    return f"""
        select {text(feed.name)} as feed, {month} as origin_month, count(*) as late_rows
        from counting where {is_late} group by all order by origin_month
    """

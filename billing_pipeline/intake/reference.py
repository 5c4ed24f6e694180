"""Reference data as a month sees it: the newest row per key that had landed by `as_of`.

Reference feeds are small, so every run reads all their cleaned days; any past state can be read again.
"""

from dataclasses import dataclass

import polars as pl

from billing_pipeline.adapters.landing import Landing
from billing_pipeline.intake.cleaning import clean_arrivals
from billing_pipeline.intake.contracts import Feed, Type
from billing_pipeline.intake.deciding import decide
from billing_pipeline.intake.engine import EngineLimits, session
from billing_pipeline.intake.gathering import conflicts, gather, quarantine, receipts
from billing_pipeline.intake.windows import Window
from billing_pipeline.warehouse import Warehouse


@dataclass(frozen=True)
class Reference:
    """What a reference feed says at `as_of`, and what became of its raw rows."""

    #: One row per natural key, in key order; columns as in the feed, instants in UTC, decimals as text. `known_at` is
    #: the first instant as of which a run sees what the row says.
    rows: pl.DataFrame
    #: `tables.usage.FileReceipts` of the window.
    receipts: pl.DataFrame
    #: `tables.usage.Quarantine` of the window.
    quarantine: pl.DataFrame
    #: One row per owner (empty where the feed has none) whose newest rows contradict each other.
    conflicts: pl.DataFrame
    #: Generations read, by day.
    inputs: dict[str, str]


def read_reference(
    feed: Feed, window: Window, landing: Landing, warehouse: Warehouse, limits: EngineLimits
) -> Reference:
    """Read one reference feed as the window sees it.

    Raises:
        FileInClosedDay: a day that an older month has counted holds a file that was not there then.
    """
    days, _, repeated = clean_arrivals(feed, window, landing, warehouse, limits)
    with session(limits, [generation.path for generation in days.values()]) as connection:
        gather(connection, feed, window, list(days.values()), repeated)
        decide(connection, feed)
        columns = ", ".join(
            f"make_timestamptz({column.name}) as {column.name}" if column.type is Type.INSTANT else column.name
            for column in feed.columns
        )
        # A row that was delivered again is known since its first delivery.
        rows = f"""
            select {columns}, make_timestamptz(known_us) as known_at
            from universe anti join losers using (row_id)
            inner join (
                select source, event_id, ingested_at, min(seen_us) as known_us
                from universe group by source, event_id, ingested_at
            ) using (source, event_id, ingested_at)
            where not is_deleted order by {", ".join(feed.natural_key)}
        """
        selects = (rows, receipts(feed, window), quarantine(feed, window), conflicts(feed))
        frames = [pl.DataFrame(connection.sql(select).to_arrow_table()) for select in selects]
    inputs = {f"{feed.name}/{day.isoformat()}": generation.id for day, generation in days.items()}
    return Reference(*frames, inputs=inputs)

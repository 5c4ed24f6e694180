"""Which of several rows about the same thing counts: duplicates, corrections, withdrawals, conflicts.

Nominate, then decide. Rows whose event or natural key occurs once are never compared with anything. The few whose hash
occurs twice are compared by their full texts:

1. Rows of one event (`source`, `event_id`): the greatest `ingested_at` counts.
2. Of those, rows of one natural key: the greatest `ingested_at` counts; another event id makes it a correction.

A row that lost is a `duplicate` if it says the same as the one that counts, else `superseded`. Two rows of the same
`ingested_at` that differ are a conflict: nobody can know which is right. What was decided stays decided: a row that
lost in an earlier month's run does not come back.
"""

import duckdb
import polars as pl

from billing_pipeline.intake.contracts import Feed


def decide(connection: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Compare the rows of the view `universe` and leave the temporary tables `losers` and `conflicts`.

    `universe`, `files`, `things` and `lost` are those of `gathering`. `losers` has one row per row that does not count:
    `row_id`, `file`, `file_row`, `is_new`, `time_us`, `status` and `is_open`, which tells the side of a conflict that
    the month of its time has to see again. `conflicts` has the conflicting rows whole.
    """
    for column in ("event_hash", "key_hash"):
        _register_repeated(connection, column)
    # Positions first, so that only the rows nominated are read whole.
    connection.execute("""
        create temp table nominations as
        select row_id from universe semi join repeated_event_hash using (event_hash)
        union
        select row_id from universe semi join repeated_key_hash using (key_hash)
    """)
    content = ", ".join(f"{name} := {name}" for name in (*feed.identity, "is_deleted"))
    meters = "inner join meters using (meter_hash) inner join things using (thing)" if feed.is_metered else ""
    connection.execute(f"""
        create temp table nominated as
        select *, {feed.time or "0"} as time_us, to_json(struct_pack({content}))::varchar as content
        from (from universe semi join nominations using (row_id) anti join lost using (row_id)) {meters}
        inner join (select file, file_id from files) using (file)
    """)
    event, key = "source, event_id", ", ".join(feed.key_columns)
    connection.execute(f"create temp table by_event as {_ranked('nominated', event)}")
    current = f"(select * exclude ({', '.join(_RANKS)}) from by_event where place = 1)"
    connection.execute(f"create temp table by_key as {_ranked(current, key)}")
    connection.execute(f"""
        create temp table losers as
        select
            row_id, file, file_row, is_new, time_us,
            case when content = counting_content then 'duplicate' else 'superseded' end as status,
            {_CONTRADICTS} and time_us = counting_time_us as is_open
        from (from by_event union all from by_key) where place > 1
        union all
        select row_id, file, file_row, false, time_us, 'lost', false from lost
    """)
    connection.execute(f"""
        create temp table conflicts as
        {_conflicting("by_event", event)} union {_conflicting("by_key", key)}
    """)


def _register_repeated(connection: duckdb.DuckDBPyConnection, column: str) -> None:
    """Leave the hashes that occur more than once: sorted alone, a column tells by its neighbours."""
    hashes = pl.Series(connection.sql(f"select {column} from universe").to_arrow_table()[column]).sort()
    later = hashes.slice(1)
    repeated = later.filter(later == hashes.slice(0, later.len())).unique()
    connection.register(f"repeated_{column}", repeated.alias(column).to_frame().to_arrow())


_RANKS = ("place", "counting_content", "counting_ingested_at", "counting_time_us")

#: Whether a row and the one that counts cannot both be right, and nothing tells which is.
_CONTRADICTS = "(ingested_at = counting_ingested_at and content <> counting_content)"


def _ranked(rows: str, keys: str) -> str:
    """The SELECT that ranks the rows of each key, the one that counts first; ties break by content, source, file and row."""
    return f"""
        select
            *,
            row_number() over counting as place,
            first_value(content) over counting as counting_content,
            first_value(ingested_at) over counting as counting_ingested_at,
            first_value(time_us) over counting as counting_time_us
        from {rows}
        window counting as (partition by {keys} order by ingested_at desc, content, source, file_id, file_row)
    """


def _conflicting(ranked: str, keys: str) -> str:
    """The SELECT of the rows of each contradicted key that have its newest `ingested_at`."""
    contradicted = f"select ({keys}) from {ranked} where {_CONTRADICTS}"
    return f"""
        select * exclude ({", ".join(_RANKS)}) from {ranked}
        where ingested_at = counting_ingested_at and ({keys}) in ({contradicted})
    """

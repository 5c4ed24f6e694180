"""Which of several rows about the same thing counts: duplicates, corrections, withdrawals, conflicts.

Nominate, then decide. Rows whose event or natural key occurs once are never compared with anything. The few whose hash
occurs twice are compared by their full texts:

1. Rows of one event (`source`, `event_id`): the greatest `ingested_at` counts.
2. Of those, rows of one natural key: the greatest `ingested_at` counts; another event id makes it a correction.

A row that lost is a `duplicate` if it says the same as the one that counts, else `superseded`. Two rows of the same
`ingested_at` that differ are a conflict: nobody can know which is right.
"""

import duckdb
import polars as pl

from billing_pipeline.intake.contracts import Feed


def decide(connection: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Compare the rows of the view `universe` and leave the temporary tables `losers` and `conflicts`.

    `universe` has the feed's clean columns with `row_id` (unique), `file_id`, `file_row`, `event_hash`, `key_hash`.
    `losers` has one row per row that does not count: `row_id`, `status`. `conflicts` has the conflicting rows whole.
    """
    for column in ("event_hash", "key_hash"):
        hashes = pl.Series(connection.sql(f"select {column} from universe").to_arrow_table()[column]).sort()
        repeated = hashes.filter(hashes == hashes.shift()).unique()
        connection.register(f"repeated_{column}", repeated.alias(column).to_frame().to_arrow())
    content = ", ".join(f"{name} := {name}" for name in (*feed.identity, "is_deleted"))
    connection.execute(f"""
        create temp table nominated as
        select *, to_json(struct_pack({content}))::varchar as content
        from universe
        where event_hash in (select event_hash from repeated_event_hash)
            or key_hash in (select key_hash from repeated_key_hash)
    """)
    connection.execute(f"create temp table by_event as {_ranked('nominated', 'source, event_id')}")
    current = "(select * exclude (place, counting_content, is_conflict) from by_event where place = 1)"
    connection.execute(f"create temp table by_key as {_ranked(current, ', '.join(feed.key_columns))}")
    ranked = "(select * from by_event union all select * from by_key)"
    connection.execute(f"""
        create temp table losers as
        select row_id, case when content = counting_content then 'duplicate' else 'superseded' end as status
        from {ranked} where place > 1
    """)
    connection.execute(f"create temp table conflicts as select * from {ranked} where is_conflict")


def _ranked(rows: str, keys: str) -> str:
    """The SELECT that ranks the rows of each key, the one that counts first; ties break by content, file and row."""
    return f"""
        select
            *,
            row_number() over counting as place,
            first_value(content) over counting as counting_content,
            rank() over (partition by {keys} order by ingested_at desc) = 1
                and min(content) over same <> max(content) over same as is_conflict
        from {rows}
        window
            counting as (partition by {keys} order by ingested_at desc, content, file_id, file_row),
            same as (partition by {keys}, ingested_at)
    """

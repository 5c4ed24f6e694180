"""Publishing out of a DuckDB work file: a run's scratch database, rebuilt at will and read once."""

from collections.abc import Sequence
from pathlib import Path

import duckdb

#: Narrow columns, written fast; no bloom filters, which only cost.
PARQUET = "format parquet, compression lz4_raw, parquet_version v2, write_bloom_filter false, row_group_size 122880"


def copy_table(database: Path, table: str, order: Sequence[str], file: Path, *, threads: int) -> None:
    """Write a table of a closed work file to Parquet, in the total order of the columns given."""
    with duckdb.connect(str(database), read_only=True, config={"threads": threads}) as connection:
        connection.execute("set timezone = 'UTC'")
        target = str(file).replace("'", "''")
        connection.execute(f"copy (select * from {table} order by {', '.join(order)}) to '{target}' ({PARQUET})")

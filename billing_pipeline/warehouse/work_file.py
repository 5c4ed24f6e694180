"""Publishing out of a DuckDB work file: a run's scratch database, rebuilt at will and read once."""

from collections.abc import Mapping
from pathlib import Path

import duckdb

_PARQUET = "format parquet, compression lz4_raw, parquet_version v2, write_bloom_filter false, row_group_size 122880"


def copy_tables(
    database: Path, tables: Mapping[str, tuple[str, ...]], files: Mapping[str, Path], *, threads: int
) -> None:
    """Write tables of a closed work file to Parquet, each in the total order of the columns given."""
    with duckdb.connect(str(database), read_only=True, config={"threads": threads}) as connection:
        connection.execute("set timezone = 'UTC'")
        for table, order in tables.items():
            target = str(files[table]).replace("'", "''")
            connection.execute(f"copy (select * from {table} order by {', '.join(order)}) to '{target}' ({_PARQUET})")


def measure(database: Path, queries: Mapping[str, str]) -> dict[str, int]:
    """Whole numbers about a closed work file: the first value of each query, 0 where it is null."""
    with duckdb.connect(str(database), read_only=True) as connection:
        rows = {name: connection.execute(query).fetchone() for name, query in queries.items()}
    return {name: int(row[0] or 0) if row else 0 for name, row in rows.items()}

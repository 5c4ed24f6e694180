"""Publishing out of a DuckDB work file: a run's scratch database, rebuilt at will and read once."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import duckdb

#: Narrow columns, written fast; no bloom filters, which only cost.
PARQUET = "format parquet, compression lz4_raw, parquet_version v2, write_bloom_filter false, row_group_size 122880"


class WorkFile:
    """The tables of a work file."""

    def __init__(self, connection: duckdb.DuckDBPyConnection) -> None:
        self._connection = connection

    def copy(self, table: str, order: Sequence[str], file: Path) -> None:
        """Write a table to Parquet, in the total order of the columns given."""
        target = str(file).replace("'", "''")
        self._connection.execute(f"copy (select * from {table} order by {', '.join(order)}) to '{target}' ({PARQUET})")


@contextmanager
def open_work_file(file: Path, *, threads: int) -> Iterator[WorkFile]:
    """Open what no one writes to any more; to open it takes as long as to copy a small table."""
    with duckdb.connect(str(file), read_only=True, config={"threads": threads}) as connection:
        connection.execute("set timezone = 'UTC'")
        yield WorkFile(connection)

"""The DuckDB that intake works in: in memory, one session per use, fenced into the folders it was given."""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import duckdb

from billing_pipeline.warehouse.work_file import PARQUET


@dataclass(frozen=True)
class EngineLimits:
    """What one session may take of the machine."""

    threads: int
    #: Past it the session spills to disk.
    memory_mb: int = 2_000

    def divided(self) -> "EngineLimits":
        """One thread's share."""
        return EngineLimits(1, self.memory_mb // self.threads)


@contextmanager
def session(limits: EngineLimits, folders: Iterable[Path]) -> Iterator[duckdb.DuckDBPyConnection]:
    """A fresh connection that sees only `folders`, keeps time in UTC and never loads an extension."""
    with TemporaryDirectory(prefix="billing-intake-") as spill:
        connection = duckdb.connect(
            config={
                "threads": limits.threads,
                "memory_limit": f"{limits.memory_mb}MB",
                "temp_directory": spill,
                "autoinstall_known_extensions": "false",
                "autoload_known_extensions": "false",
            }
        )
        try:
            connection.execute("set timezone = 'UTC'")
            connection.execute("set enable_progress_bar = false")
            # One sorted file would otherwise be read as a union of range scans, many times slower.
            connection.execute("set disabled_optimizers = 'partitioned_execution'")
            allowed = ", ".join(text(f"{folder.resolve()}/") for folder in (*folders, Path(spill)))
            connection.execute(f"set allowed_directories = [{allowed}]")
            connection.execute("set enable_external_access = false")
            connection.execute("set lock_configuration = true")
            yield connection
        finally:
            connection.close()


def text(value: str) -> str:
    """A SQL string literal."""
    return "'" + value.replace("'", "''") + "'"


def paths(files: Iterable[Path]) -> str:
    """A SQL list of file paths."""
    return "[" + ", ".join(text(str(file)) for file in files) + "]"


def copy(connection: duckdb.DuckDBPyConnection, select: str, file: Path) -> int:
    """Write the rows of a SELECT to a Parquet file, in their order, and count them."""
    return scalar(connection, f"copy ({select}) to {text(str(file))} ({PARQUET})") or 0


def scalar(connection: duckdb.DuckDBPyConnection, query: str) -> int | None:
    """The one whole number that a query answers with."""
    row = connection.execute(query).fetchone()
    return row[0] if row else None

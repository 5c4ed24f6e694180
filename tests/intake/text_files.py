"""Rows of a feed as CSV and as lines of JSON."""

import gzip
from pathlib import Path

import polars as pl

from billing_pipeline.sample.landing import FEEDS, Row, arrivals_of

#: The endings that are read, each with how its bytes are made.
ENDINGS = (".parquet", ".csv", ".csv.gz", ".jsonl", ".jsonl.gz")


def typed(feed: str, rows: list[Row]) -> pl.DataFrame:
    """Rows as they land in Parquet."""
    return arrivals_of(feed, rows).select(*FEEDS[feed])


def _spelled(feed: str, rows: list[Row]) -> pl.DataFrame:
    """Rows with their instants spelled."""
    return typed(feed, rows).with_columns(pl.selectors.datetime().dt.strftime("%Y-%m-%dT%H:%M:%S%.6fZ"))


def as_csv(feed: str, rows: list[Row]) -> bytes:
    """A header and one line per row; null is empty."""
    return _spelled(feed, rows).write_csv().encode()


def as_jsonl(feed: str, rows: list[Row]) -> bytes:
    """One object per row."""
    return _spelled(feed, rows).write_ndjson().encode()


def write_as(ending: str, feed: str, rows: list[Row], file: Path) -> None:
    """Write rows to a file of an ending."""
    if ending == ".parquet":
        typed(feed, rows).write_parquet(file)
        return
    content = as_csv(feed, rows) if ".csv" in ending else as_jsonl(feed, rows)
    file.write_bytes(gzip.compress(content, mtime=0) if ending.endswith(".gz") else content)

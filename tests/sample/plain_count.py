"""Counts the billed seconds of the Alibaba trace with plain Python: no product code, no SQL, no frames.

Slow and obvious on purpose; what the pipeline bills is compared with it.
"""

from datetime import UTC, datetime, timedelta
from pathlib import Path

import pyarrow.parquet


def billed_seconds_per_month(trace: Path, start: datetime) -> dict[str, int]:
    """Seconds to bill in each calendar month (UTC) that the trace touches, over all instances.

    Runs of one instance are united, an instance without a creation time runs since 31 days before `start`, one without
    a deletion time runs to the end of each month.
    """
    table = pyarrow.parquet.read_table(trace, columns=["instance_sn", "creation_time", "deletion_time"])
    runs: dict[str, list[tuple[datetime, datetime | None]]] = {}
    last = start
    for row in table.to_pylist():
        created, deleted = row["creation_time"], row["deletion_time"]
        since = start - timedelta(days=31) if created is None else start + timedelta(seconds=created)
        until = None if deleted is None else start + timedelta(seconds=deleted)
        runs.setdefault(row["instance_sn"], []).append((since, until))
        last = max(last, since, until or last)
    seconds = {}
    month = _first_of_month(start - timedelta(days=31))
    while month <= last:
        following = _first_of_month(month + timedelta(days=31))
        clipped = (_clip(of_instance, month, following) for of_instance in runs.values())
        seconds[f"{month:%Y-%m}"] = sum(_length_of_union(of_instance) for of_instance in clipped)
        month = following
    return seconds


def _first_of_month(instant: datetime) -> datetime:
    return datetime(instant.year, instant.month, 1, tzinfo=UTC)


def _clip(
    runs: list[tuple[datetime, datetime | None]], start: datetime, end: datetime
) -> list[tuple[datetime, datetime]]:
    inside = [(max(since, start), min(until or end, end)) for since, until in runs]
    return sorted((since, until) for since, until in inside if since < until)


def _length_of_union(runs: list[tuple[datetime, datetime]]) -> int:
    covered = timedelta(0)
    reached = datetime.min.replace(tzinfo=UTC)
    for since, until in runs:
        covered += max(until - max(since, reached), timedelta(0))
        reached = max(reached, until)
    return covered // timedelta(seconds=1)

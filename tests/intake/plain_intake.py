"""Intake of `runtime_intervals` once more, as plainly as it can be said: dicts, full texts, no hashes, no SQL."""

import hashlib
import json
from collections import Counter, defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

Raw = dict[str, Any]
Place = tuple[str, int]

_MEANING = ("owner_id", "resource_id", "slug", "zone", "instance_id", "started_at", "stopped_at", "is_deleted")


@dataclass
class PlainMonth:
    """What a month should publish; rows are named by the raw file and the position in it."""

    events: set[Place] = field(default_factory=set)
    carried: set[Place] = field(default_factory=set)
    lost: set[Place] = field(default_factory=set)
    #: What the carried rows said of their run before.
    told: set[tuple[Any, ...]] = field(default_factory=set)
    conflicting_owners: set[str] = field(default_factory=set)
    late: Counter[str] = field(default_factory=Counter)
    #: accepted, duplicate, superseded and quarantined rows of each file.
    receipts: dict[str, Counter[str]] = field(default_factory=lambda: defaultdict(Counter))


def read_raw_rows(landing: Path) -> list[Raw]:
    """Every raw row with its place, the end of its arrival day, and what is said of it in the quarantine."""
    rows = []
    for file in sorted(landing.glob("runtime_intervals/*/*.parquet")):
        path = file.relative_to(landing).as_posix()
        content = hashlib.sha256(file.read_bytes()).hexdigest()
        file_id = hashlib.sha256(f"{path}|{content}".encode()).hexdigest()[:16]
        day = datetime.fromisoformat(file.parent.name.removeprefix("arrival_date=")).replace(tzinfo=UTC)
        for position, row in enumerate(pl.read_parquet(file, hive_partitioning=False).to_dicts()):
            rows.append(
                row
                | {"place": (file_id, position), "day_end": day + timedelta(days=1)}
                | {"slug": f"{row['service']}.{row['flavour']}".lower()}
            )
    return rows


def is_refused(row: Raw) -> bool:
    """Whether a row contradicts itself; a withdrawal names its key only."""
    backwards = row["stopped_at"] is not None and row["stopped_at"] < row["started_at"] and not row["is_deleted"]
    return backwards or row["started_at"] > row["ingested_at"] + timedelta(minutes=5)


def close_plainly(
    rows: list[Raw],
    start: datetime,
    end: datetime,
    since: datetime | None,
    as_of: datetime,
    before: PlainMonth,
) -> PlainMonth:
    """One month: what landed since the month before, what landed earlier of the month itself, and what was carried."""
    month, universe = PlainMonth(), []
    for row in rows:
        landed, seen = row["day_end"], max(row["day_end"], row["ingested_at"])
        if is_refused(row):
            if (since is None or landed > since) and landed <= as_of:
                month.receipts[row["place"][0]]["quarantined"] += 1
            continue
        is_new = (since is None or seen > since) and seen <= as_of
        is_own = seen <= as_of and start <= row["started_at"] <= end
        if row["place"] not in before.lost and (is_new or is_own or row["place"] in before.carried):
            universe.append(row | {"is_new": is_new})
    by_event, event_losers, event_conflicts = _decide(universe, lambda row: (row["source"], row["event_id"]))
    counting, key_losers, key_conflicts = _decide(by_event, lambda row: (row["instance_id"], row["started_at"]))
    for row in counting:
        _account(row, start, end, since, before, month)
    for row, status, is_open in event_losers + key_losers:
        if row["is_new"]:
            month.receipts[row["place"][0]][status] += 1
        if row["started_at"] >= end and not is_open:
            month.lost.add(row["place"])
    month.lost |= {row["place"] for row in rows if row["place"] in before.lost and row["started_at"] >= end}
    conflicts = event_conflicts + key_conflicts
    month.conflicting_owners = {
        row["owner_id"] for row in conflicts if row["started_at"] < end and _concerns(row, start, end)
    }
    _carry_conflicts(conflicts, end, month)
    return month


def _meaning(row: Raw) -> str:
    """What a row says, event apart, in a form that orders as the published one does."""
    instants = {name: _us(row[name]) for name in ("started_at", "stopped_at")}
    return json.dumps({name: (row | instants)[name] for name in _MEANING}, separators=(",", ":"))


def _us(instant: datetime | None) -> int | None:
    return instant and (instant - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _decide(rows: list[Raw], key: Callable[[Raw], Any]) -> tuple[list[Raw], list[tuple[Raw, str, bool]], list[Raw]]:
    """The row that counts of each key, the others with what became of them, and those that contradict each other."""
    grouped = defaultdict(list)
    for row in rows:
        grouped[key(row)].append(row)
    counting, losers, conflicts = [], [], []
    for group in grouped.values():
        winner, *others = sorted(
            group, key=lambda row: (-_us(row["ingested_at"]), _meaning(row), row["source"], row["place"])
        )
        counting.append(winner)
        newest = [row for row in group if row["ingested_at"] == winner["ingested_at"]]
        if len({_meaning(row) for row in newest}) > 1:
            conflicts += newest
        for row in others:
            says_the_same = _meaning(row) == _meaning(winner)
            contradicts = row["ingested_at"] == winner["ingested_at"] and not says_the_same
            is_open = contradicts and row["started_at"] == winner["started_at"]
            losers.append((row, "duplicate" if says_the_same else "superseded", is_open))
    return counting, losers, conflicts


def _concerns(row: Raw, start: datetime, end: datetime) -> bool:
    stop = row["stopped_at"] or datetime.max.replace(tzinfo=UTC)
    return row["started_at"] <= end and stop > start and stop > row["started_at"]


def _carry_conflicts(conflicts: list[Raw], end: datetime, month: PlainMonth) -> None:
    """Carry every row that cannot be right together with one that reaches over the end of the month."""
    reaching = [
        row for row in conflicts if row["place"] in month.carried or (not row["is_deleted"] and _reaches(row, end))
    ]
    events = {(row["source"], row["event_id"]) for row in reaching}
    keys = {(row["instance_id"], row["started_at"]) for row in reaching}
    for row in [row for row in conflicts if row["started_at"] < end]:
        if (row["source"], row["event_id"]) in events or (row["instance_id"], row["started_at"]) in keys:
            month.carried.add(row["place"])
            month.told.add(_told(row))


def _told(row: Raw) -> tuple[Any, ...]:
    return tuple(row[name] for name in ("instance_id", "started_at", "owner_id", "resource_id", "slug", "zone"))


def _reaches(row: Raw, end: datetime) -> bool:
    return row["started_at"] < end < (row["stopped_at"] or datetime.max.replace(tzinfo=UTC))


def _account(
    row: Raw, start: datetime, end: datetime, since: datetime | None, before: PlainMonth, month: PlainMonth
) -> None:
    """Enter a row that counts."""
    stop = row["stopped_at"] or datetime.max.replace(tzinfo=UTC)
    if row["is_new"]:
        month.receipts[row["place"][0]]["accepted"] += 1
    if not row["is_deleted"] and _concerns(row, start, end):
        month.events.add(row["place"])
    if not row["is_deleted"] and _reaches(row, end):
        month.carried.add(row["place"])
    told = _told(row)
    if row["place"] in month.carried:
        month.told.add(told)
    changes = row["is_deleted"] or (stop > row["started_at"] and (stop < start or told not in before.told))
    if since and row["is_new"] and row["started_at"] < start and changes:
        month.late[f"{row['started_at']:%Y-%m}"] += 1

"""What a run sees of the landing: rows that are refused, rows that contradict each other, and one row per key.

Written from the feed contract alone. Instants become whole microseconds since 1970 in UTC.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]

SECOND = 1_000_000
DAY = 86_400 * SECOND

USAGE_KEYS = {
    "runtime_intervals": ("instance_id", "started_at"),
    "runtime_heartbeats": ("instance_id", "sampled_at"),
    "unusable_intervals": ("instance_id", "started_at"),
    "storage_samples": ("resource_id", "metric", "sampled_at"),
    "traffic_deltas": ("resource_id", "metric", "started_at"),
    "unit_counts": ("resource_id", "metric", "sampled_at"),
    "vendor_charges": ("source", "event_id"),
    "one_shots": ("source", "event_id"),
}
REFERENCE_KEYS = {
    "organisations": ("owner_id", "valid_from"),
    "price_tiers": ("price_id", "tier_from"),
    "spend_rules": ("rule_id",),
    "credit_grants": ("grant_id",),
    "refill_agreements": ("owner_id", "billing_month"),
    "payments": ("payment_id",),
}
IGNORED_FEEDS = {"payment_methods"}  # they move money but decide no figure

IDS = ("event_id", "source", "resource_id", "instance_id", "zone", "metric", "service", "flavour", "vendor")
IDS += ("price_id", "rule_id", "grant_id", "payment_id")
NEEDED = ("event_id", "source", "instance_id", "service", "metric", "sampled_at", "performed_at", "charged_at")
NOT_NEGATIVE = ("bytes", "quantity", "unit_price", "amount")
WHOLE_NUMBER, DECIMAL_NUMBER = r"-?[0-9]{1,20}", r"-?[0-9]{1,20}(\.[0-9]{1,20})?"
TIER_MODES = ("flat", "graduated", "slab", "package")
FUTURE = 5 * 60 * SECOND


class NotTaughtError(Exception):
    """The landing holds something whose bill this oracle does not know."""


@dataclass
class Seen:
    """What a run sees: rows by feed, and why some were refused or cannot be decided."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    quarantined: list[tuple[str, str, int, str]] = field(default_factory=list)
    conflicting: list[Row] = field(default_factory=list)


def instant(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def _plain(table: pa.Table) -> Iterator[Row]:
    """Rows with instants as whole microseconds."""
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_timestamp(column.type):
            if column.type.tz is None:
                raise NotTaughtError(f"column {name} has no zone")
            column = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        columns[name] = column.to_pylist()
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _is_id(value: str) -> bool:
    return re.fullmatch(r"[!-~]{1,128}", value) is not None


def _refused_id(feed: str, row: Row) -> str | None:
    if any(name in row and row[name] is None for name in NEEDED):
        return "value_missing"
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", row.get("owner_id") or "any"):
        return "id_syntax"
    powered_off = ("flavour",) if feed == "runtime_heartbeats" and row["flavour"] == "" else ()
    if any(row.get(name) is not None and name not in powered_off and not _is_id(row[name]) for name in IDS):
        return "id_syntax"
    return None


def _refused_number(feed: str, row: Row) -> str | None:
    for name in ("quantity", "unit_price", "amount", "discount_rate", "rate", "price_factor"):
        grammar = WHOLE_NUMBER if feed == "unit_counts" and name == "quantity" else DECIMAL_NUMBER
        if row.get(name) is not None and not re.fullmatch(grammar, row[name], re.ASCII):
            return "not_finite" if row[name].lower().lstrip("+-") in ("nan", "inf", "infinity") else "number_syntax"
    if any(row.get(name) is not None and Decimal(row[name]) < 0 for name in NOT_NEGATIVE):
        # a negative price is no wrong row but a wrong price: it is refused with all its tiers
        return None if feed == "price_tiers" else "negative"
    if row.get("discount_rate") is not None and not 0 <= Decimal(row["discount_rate"]) <= 1:
        return "rate_range"
    return None


def _refused_time(row: Row) -> str | None:
    times = [row[name] for name in ("started_at", "stopped_at", "sampled_at") if row.get(name) is not None]
    if any(time < 0 for time in times):
        return "time_range"
    if row.get("stopped_at") is not None and row["stopped_at"] < row["started_at"]:
        return "stop_before_start"
    # a run may be told with the end that is planned for it, but not before it starts
    begins = times[0] if times else row.get("performed_at", row.get("charged_at", 0))
    if begins > row["ingested_at"] + FUTURE:
        return "future"
    return None


def _refused_word(feed: str, row: Row) -> str | None:
    match feed:
        case "organisations" if row["kind"] not in ("business", "consumer"):
            return "kind_unknown"
        case "price_tiers" if row["tier_mode"] not in TIER_MODES:
            return "tier_shape"
        case "one_shots" if row["invoice"] not in ("monthly", "specific"):
            return "invoice_kind"
    return None


def refusal(feed: str, row: Row) -> str | None:
    """Why a row is refused, if it is; generated rows have at most one fault."""
    return _refused_id(feed, row) or _refused_number(feed, row) or _refused_time(row) or _refused_word(feed, row)


def _arrivals(landing: Path, feed: str, as_of: int) -> Iterator[tuple[str, int, Row]]:
    """Rows of the files whose day of arrival has ended by `as_of`, that were ingested by then."""
    for path in sorted((landing / feed).glob("arrival_date=*/*")):
        if path.suffix != ".parquet":
            raise NotTaughtError(f"only Parquet is read here: {path}")
        arrived = datetime.fromisoformat(path.parent.name.removeprefix("arrival_date=")).replace(tzinfo=UTC)
        if instant(arrived) + DAY <= as_of:
            for number, row in enumerate(_plain(pq.ParquetFile(path).read())):
                if row["ingested_at"] <= as_of:
                    yield str(path.relative_to(landing)), number, row


def _newest(candidates: list[Row], ignoring: tuple[str, ...] = ()) -> tuple[Row, bool]:
    """The candidate ingested last, and whether another one ingested at that instant says something else."""
    if len(candidates) == 1:
        return candidates[0], False
    last = max(row["ingested_at"] for row in candidates)
    tied = [row for row in candidates if row["ingested_at"] == last]
    told = [{name: value for name, value in row.items() if name not in ignoring} for row in tied]
    return min(tied, key=lambda row: row["event_id"]), any(each != told[0] for each in told)


def _decide(rows: Iterable[Row], key: tuple[str, ...], conflicting: list[Row]) -> list[Row]:
    """One row per natural key: first the newest telling of each event, then the newest event of each key."""
    events, keys = defaultdict(list), defaultdict(list)
    for row in rows:
        events[row["source"], row["event_id"]].append(row)
    for tellings in events.values():
        row, is_conflict = _newest(tellings)
        if is_conflict:
            conflicting.extend(tellings)
        keys[tuple(row[name] for name in key)].append(row)
    decided = []
    for claims in keys.values():
        row, is_conflict = _newest(claims, ignoring=("event_id",))
        if is_conflict:
            conflicting.extend(claims)
        if not row.get("is_deleted"):
            decided.append(row)
    return decided


def happens_at(row: Row) -> int:
    """The instant at which usage happens: where a run starts, where traffic ends."""
    if "bytes" in row and "stopped_at" in row:
        return max(row["started_at"], row["stopped_at"] - 1)
    return next(row[name] for name in ("started_at", "sampled_at", "performed_at", "charged_at") if name in row)


def closes_at(organisation: Row) -> int | None:
    """The first instant of the day after the last one."""
    if organisation["closed_on"] is None:
        return None
    day = organisation["closed_on"]
    return instant(datetime(day.year, day.month, day.day, tzinfo=UTC)) + DAY


class _Owners:
    """Who is known, and from when on nobody may use anything in his name."""

    def __init__(self, organisations: list[Row]) -> None:
        newest: dict[str, Row] = {}
        for row in sorted(organisations, key=lambda row: row["valid_from"]):
            newest[row["owner_id"]] = row
        self.ends = {owner_id: closes_at(row) for owner_id, row in newest.items()}

    def refusal(self, row: Row) -> str | None:
        if (owner_id := row.get("owner_id")) is None:
            return None
        if owner_id not in self.ends:
            return "org_unknown"
        ends = self.ends[owner_id]
        return "after_close" if ends is not None and happens_at(row) >= ends else None


def see(landing: Path, as_of: int) -> Seen:
    """The decided rows of every feed as they were known at `as_of`."""
    seen = Seen()
    known = REFERENCE_KEYS | USAGE_KEYS
    for folder in sorted(landing.iterdir()):
        if folder.name not in known and folder.name not in IGNORED_FEEDS:
            raise NotTaughtError(f"feed {folder.name}")
    owners = None
    for feed, key in known.items():
        if feed in USAGE_KEYS and owners is None:
            owners = _Owners(seen.rows["organisations"])
        accepted = []
        for path, number, row in _arrivals(landing, feed, as_of):
            reason = refusal(feed, row) or (owners.refusal(row) if owners else None)
            if reason:
                seen.quarantined.append((feed, path, number, reason))
            else:
                accepted.append(row)
        seen.rows[feed] = _decide(accepted, key, seen.conflicting)
    return seen

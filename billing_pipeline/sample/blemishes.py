"""What goes wrong between a meter and the landing: rows late, sent twice, corrected, withdrawn or broken.

Each is rare and each hits rows of its own, so that its effect on a month can be told apart.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from random import Random

from billing_pipeline.sample.landing import Row
from billing_pipeline.sample.usage import DAY, HOUR, MINUTE, Usage

#: Feeds whose rows are hit; the others are small and stay as they are.
_HIT = ("runtime_intervals", "storage_samples", "traffic_deltas")

_DUPLICATES_PER_1000 = 10
_LATE_PER_1000 = 5
_CORRECTIONS_PER_1000 = 3
_WITHDRAWALS_PER_10000 = 5


@dataclass(frozen=True)
class Blemished:
    """How many rows of each kind went wrong, and the copies that a source sent again."""

    late_rows: int
    corrected_rows: int
    withdrawn_rows: int
    broken_rows: int
    #: Exact copies by feed, each with the day on which it lands; half of them on the day after the original.
    copies: dict[str, list[Row]]


def blemish(usage: Usage, *, start: int, end: int, rng: Random) -> Blemished:
    """Make some rows late and add corrections, withdrawals, copies and broken rows.

    Args:
        usage: rows without a fault; late ones are changed in place, the others are added.
        start: when landing starts; broken rows are spread from here.
        end: when landing ends.
        rng: where every draw comes from.
    """
    late = corrected = withdrawn = 0
    copies: dict[str, list[Row]] = {}
    for feed in _HIT:
        rows = usage.rows[feed]
        # What goes wrong still lands before the end, so that the counts below can be relied on.
        early = [row for row in rows if row["ingested_at"] < end - 2 * DAY]
        # An open run has nothing to correct yet, and its row must come before the one that closes it.
        closed = [row for row in early if feed != "runtime_intervals" or row.get("stopped_at")]
        late_count = len(closed) * _LATE_PER_1000 // 1000
        correction_count = len(closed) * _CORRECTIONS_PER_1000 // 1000
        withdrawal_count = max(1, len(closed) * _WITHDRAWALS_PER_10000 // 10_000)
        hit = rng.sample(closed, late_count + correction_count + withdrawal_count)
        for row in hit[:late_count]:
            row["ingested_at"] = min(row["ingested_at"] + _delay(rng), end - MINUTE)
        for row in hit[late_count : late_count + correction_count]:
            rows.append(_corrected(row, usage.next_event_id(), rng))
        for row in hit[late_count + correction_count :]:
            rows.append(_withdrawn(row, usage.next_event_id(), rng))
        spared = {row["event_id"] for row in early} - {row["event_id"] for row in hit}
        again = set(rng.sample(sorted(spared), len(early) * _DUPLICATES_PER_1000 // 1000))
        copies[feed] = [_copy(row, rng) for row in early if row["event_id"] in again]
        late, corrected, withdrawn = late + late_count, corrected + correction_count, withdrawn + withdrawal_count
    broken = _break_rows(usage, start, end, rng)
    return Blemished(late, corrected, withdrawn, broken, copies)


def _delay(rng: Random) -> int:
    """Half arrive a day later at most, so before their month is closed; the others weeks later, mostly after it."""
    return rng.randrange(2 * HOUR, 30 * HOUR) if rng.randrange(2) else rng.randrange(5, 40) * DAY


def _corrected(row: Row, event_id: str, rng: Random) -> Row:
    """The same run, sample or delta with another figure, sent again within a day: same natural key, new event."""
    again = row | {"event_id": event_id, "ingested_at": row["ingested_at"] + rng.randrange(10 * MINUTE, 20 * HOUR)}
    if "bytes" in row:
        return again | {"bytes": row["bytes"] * rng.randrange(80, 120) // 100}
    shorter_by = rng.randrange((row["stopped_at"] - row["started_at"]) // 2 + 1)
    return again | {"stopped_at": row["stopped_at"] - shorter_by}


def _withdrawn(row: Row, event_id: str, rng: Random) -> Row:
    return row | {
        "event_id": event_id,
        "ingested_at": row["ingested_at"] + rng.randrange(10 * MINUTE, 20 * HOUR),
        "is_deleted": True,
    }


def _copy(row: Row, rng: Random) -> Row:
    """The very same row, landed once more on the day of the first or on the next one."""
    landed_on = _day(row["ingested_at"])
    return row | {"arrival_date": landed_on + timedelta(days=rng.randrange(2))}


def _break_rows(usage: Usage, start: int, end: int, rng: Random) -> int:
    """Every four weeks: a run that stops before it starts, a negative size, and an owner id that is none."""
    broken = 0
    for happened_at in range(start + 3 * DAY, end - DAY, 28 * DAY):
        run = next(row for row in usage.rows["runtime_intervals"] if row.get("stopped_at"))
        sample = usage.rows["storage_samples"][0]
        delta = usage.rows["traffic_deltas"][0]
        seen_at = happened_at + rng.randrange(20 * HOUR)
        for feed, row in (
            ("runtime_intervals", run | {"started_at": seen_at, "stopped_at": seen_at - HOUR}),
            ("storage_samples", sample | {"sampled_at": seen_at, "bytes": -1}),
            ("traffic_deltas", delta | {"owner_id": "orga ../1", "started_at": seen_at - HOUR, "stopped_at": seen_at}),
        ):
            usage.report(feed, row, ingested_at=seen_at + MINUTE)
            broken += 1
    return broken


def _day(instant: int) -> date:
    return (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=instant)).date()

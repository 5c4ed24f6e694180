"""A landing folder and a warehouse of their own, rows with everything but what a test is about, and months closed."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

import polars as pl

from billing_pipeline.adapters.landing import Landing
from billing_pipeline.intake.contracts import FEEDS
from billing_pipeline.intake.engine import EngineLimits
from billing_pipeline.intake.months import publish_usage
from billing_pipeline.intake.reference import Reference, read_reference
from billing_pipeline.intake.windows import Window
from billing_pipeline.rules.period import Month, microseconds
from billing_pipeline.sample.landing import Row, arrivals_of, land
from billing_pipeline.warehouse import Generation, Warehouse

GRACE = timedelta(days=2)


def at(text: str) -> int:
    """`2026-10-05` or `2026-10-05 12:00:01.5`, UTC, as whole microseconds."""
    return microseconds(datetime.fromisoformat(text).replace(tzinfo=UTC))


def _row(event_id: str, ingested: str, columns: Row) -> Row:
    return {"event_id": event_id, "source": "meter", "ingested_at": at(ingested)} | columns


def _resource(columns: Row) -> Row:
    return {"owner_id": "orga_1", "resource_id": "res-1", "resource_name": "shop", "zone": "par"} | columns


def run(event_id: str, start: str, stop: str | None, *, ingested: str, **columns: Any) -> Row:
    """One run of an instance."""
    instant = {"started_at": at(start), "stopped_at": at(stop) if stop else None}
    what = {"instance_id": "i-1", "service": "apps", "flavour": "S"}
    return _row(event_id, ingested, _resource(what | instant | columns))


def beat(event_id: str, sampled: str, *, ingested: str | None = None, **columns: Any) -> Row:
    """An instance seen at an instant, taken in at once unless said."""
    what = {"instance_id": "i-1", "service": "apps", "flavour": "S", "sampled_at": at(sampled)}
    return _row(event_id, ingested or sampled, _resource(what | columns))


def fault(event_id: str, start: str, stop: str, *, ingested: str | None = None, **columns: Any) -> Row:
    """A fault of the platform that an instance suffered, taken in at its end unless said."""
    what = {"instance_id": "i-1", "started_at": at(start), "stopped_at": at(stop), "reason": "disk"}
    return _row(event_id, ingested or stop, what | columns)


def vendor_charge(event_id: str, charged: str, **columns: Any) -> Row:
    """What a third party charges for an add-on."""
    what = {"owner_id": "orga_1", "resource_id": "addon-1", "vendor": "Mailer", "description": "1,000 messages"}
    return _row(event_id, charged, what | {"charged_at": at(charged), "amount": "9.99", "currency": "EUR"} | columns)


def sample(event_id: str, sampled: str, size: int, *, ingested: str | None = None, **columns: Any) -> Row:
    """The size of a bucket at an instant, taken in at once unless said."""
    what = {"metric": "cellar.storage", "sampled_at": at(sampled), "bytes": size}
    return _row(event_id, ingested or sampled, _resource(what | columns))


def delta(event_id: str, start: str, stop: str, moved: int, *, ingested: str | None = None, **columns: Any) -> Row:
    """Bytes moved in an interval, taken in at its end unless said."""
    what = {"metric": "cellar.traffic", "started_at": at(start), "stopped_at": at(stop), "bytes": moved}
    return _row(event_id, ingested or stop, _resource(what | columns))


def count(event_id: str, sampled: str, quantity: str, **columns: Any) -> Row:
    """The number of seats at an instant."""
    what = {"metric": "heptapod.seats", "sampled_at": at(sampled), "quantity": quantity}
    return _row(event_id, sampled, _resource(what | columns))


def one_shot(event_id: str, performed: str, *, ingested: str | None = None, **columns: Any) -> Row:
    """An intervention."""
    what = {"owner_id": "orga_1", "description": "Audit", "performed_at": at(performed), "quantity": "1"}
    terms = {"unit_price": "100.00", "currency": "EUR", "recurring": False, "invoice": "monthly"}
    return _row(event_id, ingested or performed, what | terms | {"sells_credits": False} | columns)


class IntakeHome:
    """One provider's landing folder and warehouse."""

    def __init__(self, folder: Path, *, zone: str = "UTC", threads: int = 2, late_months: int = 12) -> None:
        self.landing = folder / "landing"
        self.landing.mkdir(parents=True, exist_ok=True)
        self.zone = ZoneInfo(zone)
        self.late_months = late_months
        self.warehouse = Warehouse(folder / "warehouse", code_version="0" * 64)
        self.limits = EngineLimits(threads, memory_mb=500)

    def land(self, feed: str, *rows: Row, name: str = "meter", day: str | None = None) -> None:
        """Drop rows on the days on which they were taken in, or all on one day."""
        placed = [row | {"arrival_date": datetime.fromisoformat(day).date()} if day else row for row in rows]
        land(self.landing, feed, arrivals_of(feed, placed), name=name)

    def drop(self, feed: str, day: str, name: str) -> Path:
        """Where a file of a test's own form is written."""
        folder = self.landing / feed / f"arrival_date={day}"
        folder.mkdir(parents=True, exist_ok=True)
        return folder / name

    def window(self, month: str, *, as_of: str | None = None, since: Generation | None = None) -> Window:
        """What the run of a month sees."""
        period = Month.parse(month).period(self.zone)
        until = datetime.fromisoformat(as_of).replace(tzinfo=UTC) if as_of else period.end + GRACE
        if since is None:
            return Window(period, None, until, None)
        late_from = Month.parse(month).back(self.late_months).period(self.zone).start
        return Window(period, datetime.fromisoformat(since.manifest["as_of"]), until, late_from)

    def close(
        self,
        feed: str,
        month: str,
        *,
        as_of: str | None = None,
        after: "ClosedMonth | None" = None,
        needed: Collection[str] = (),
    ) -> "ClosedMonth":
        """Close one month of a feed, the first one unless it comes after another."""
        predecessor = after.generation if after else None
        window = self.window(month, as_of=as_of, since=predecessor)
        landing = Landing(self.landing)
        return ClosedMonth(
            publish_usage(
                FEEDS[feed],
                window,
                landing,
                self.warehouse,
                self.limits,
                predecessor=predecessor,
                needed_sources=needed,
            )
        )

    def close_all(self, feed: str, *months: str, as_of: str | None = None) -> "list[ClosedMonth]":
        """Close months that follow each other."""
        closed: list[ClosedMonth] = []
        for month in months:
            closed.append(self.close(feed, month, as_of=as_of, after=closed[-1] if closed else None))
        return closed

    def read(self, feed: str, month: str, *, since: Generation | None = None) -> Reference:
        """A reference feed as the run of a month sees it."""
        landing = Landing(self.landing)
        return read_reference(FEEDS[feed], self.window(month, since=since), landing, self.warehouse, self.limits)


class ClosedMonth:
    """One published month of a feed, in the words of the tests."""

    def __init__(self, generation: Generation) -> None:
        self.generation = generation

    def part(self, name: str) -> pl.DataFrame:
        """One part as published."""
        return self.generation.read(name)

    def content(self, name: str) -> bytes:
        """The bytes of one part."""
        return self.generation.file(f"{name}.parquet").read_bytes()

    @property
    def events(self) -> pl.DataFrame:
        """The events beside their meter."""
        events = self.part("events")
        return events.join(self.part("meters"), on="meter_id") if "meter_id" in events.columns else events

    def values(self, *columns: str) -> list[tuple[Any, ...]]:
        """Some columns of the events, in order."""
        return self.events.select(columns).rows()

    @property
    def runs(self) -> list[tuple[str, int, int | None]]:
        """Instance, start and stop of each run."""
        return sorted(self.values("instance_id", "started_us", "stopped_us"), key=lambda row: row[:2])

    @property
    def late(self) -> dict[str, int]:
        """Late rows by the month that they change."""
        return dict(self.part("late").select("origin_month", "late_rows").rows())

    @property
    def refused(self) -> list[tuple[int, str]]:
        """Position and reason of each quarantined row."""
        return self.part("quarantine").select("file_row", "reason").rows()

    @property
    def receipts(self) -> dict[str, tuple[int, int, int, int, int]]:
        """Input, accepted, duplicate, superseded and quarantined rows by `<arrival day>/<file>`."""
        counts = ("input_rows", "accepted_rows", "duplicate_rows", "superseded_rows", "quarantined_rows")
        rows = self.part("receipts").select("path", *counts).rows()
        return {path.split("arrival_date=")[1].removesuffix(".parquet"): tuple(rest) for path, *rest in rows}

    def receipt(self, file: str) -> dict[str, Any]:
        """The whole receipt of one file."""
        return next(row for row in self.part("receipts").to_dicts() if row["path"].endswith(file))

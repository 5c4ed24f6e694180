"""A month to rate in tests: cases add usage and prices, then all of them are rated by one dbt run.

The month is October 2026 in UTC (744 hours). Every case has its own organisation, and its prices are negotiated for
that organisation unless they say otherwise, so cases do not touch each other.
"""

import os
from collections.abc import Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path
from zoneinfo import ZoneInfo

import duckdb
import polars as pl
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner

from billing_pipeline.intake.contracts import NEAR_US
from billing_pipeline.rules.currencies import MINOR_DIGITS
from billing_pipeline.rules.period import Month, Period, microseconds
from billing_pipeline.rules.prices import version_prices
from billing_pipeline.tables.accounts import Organisations, SpendRules
from billing_pipeline.tables.rating import (
    CarriedRuns,
    Charges,
    ChargeShares,
    ChargeSources,
    DailyWeights,
    OverlappedTime,
    RunMeters,
    Runs,
    Segments,
    SpecificCharges,
    Unrated,
    Unusable,
)
from billing_pipeline.tables.usage import OneShots, VendorCharges

PROJECT = Path(__file__).parents[2] / "dbt_project"
MARTS = {
    "runs": Runs,
    "run_meters": RunMeters,
    "carried_runs": CarriedRuns,
    "overlapped_time": OverlappedTime,
    "unusable": Unusable,
    "segments": Segments,
    "charges": Charges,
    "specific_charges": SpecificCharges,
    "charge_shares": ChargeShares,
    "charge_sources": ChargeSources,
    "daily_weights": DailyWeights,
    "unrated": Unrated,
}
PERIOD = Month.parse("2026-10").period(ZoneInfo("UTC"))
LONG_AGO = datetime(2020, 1, 1, tzinfo=UTC)

KB, MB, GB, TB = 10**3, 10**6, 10**9, 10**12
HOUR, MICROSECOND = timedelta(hours=1), timedelta(microseconds=1)


def october(day: int, hour: int = 0, minute: int = 0, second: int = 0) -> datetime:
    """An instant of the billed month."""
    return datetime(2026, 10, day, hour, minute, second, tzinfo=UTC)


@dataclass
class Case:
    """One organisation with its usage and prices."""

    owner_id: str
    currency: str = "EUR"
    payer_id: str | None = None
    price_factor_ppm: int = 1_000_000
    versions: list[dict] = field(default_factory=list)
    prices: list[dict] = field(default_factory=list)
    intervals: list[dict] = field(default_factory=list)
    samples: list[dict] = field(default_factory=list)
    deltas: list[dict] = field(default_factory=list)
    counts: list[dict] = field(default_factory=list)
    charged: list[dict] = field(default_factory=list)
    contradicted: list[str] = field(default_factory=list)
    vendors: list[dict] = field(default_factory=list)
    faults: list[dict] = field(default_factory=list)
    heartbeats: list[dict] = field(default_factory=list)
    free: list[dict] = field(default_factory=list)
    earlier: list[dict] = field(default_factory=list)

    def version(self, since: datetime, until: datetime = PERIOD.end, **columns: object) -> "Case":
        """A version of the organisation; without any, one version lasts all month."""
        self.versions.append({"valid_from": since, "valid_to": until, **columns})
        return self

    def price(
        self,
        slug: str,
        basis: str,
        *tiers: tuple[int | str | None, ...],
        price_id: str | None = None,
        **columns: object,
    ) -> "Case":
        """A price version; a tier is (from, to, unit price) or (from, to, unit price, tier price)."""
        timed = basis in ("runtime", "stored")
        for tier_from, tier_to, unit_price, *tier_price in tiers:
            self.prices.append(
                {
                    "price_id": price_id or f"{self.owner_id}.{slug}.{len(self.prices)}",
                    "owner_id": self.owner_id,
                    "currency": self.currency,
                    "valid_from": LONG_AGO,
                    "slug": slug,
                    "basis": basis,
                    "per_quantity": 1,
                    "per_seconds": 3600 if timed else None,
                    "tier_mode": "flat",
                    "tier_from": tier_from,
                    "tier_to": tier_to,
                    "unit_price": unit_price,
                    "tier_price": tier_price[0] if tier_price else None,
                }
                | columns
            )
            price_id = self.prices[-1]["price_id"]
        return self

    def free_of(self, slug: str, quantity: int, *, owner_id: str | None = None) -> "Case":
        """The first seconds, bytes or units of each resource's month cost nothing."""
        self.free.append(
            {
                "rule_id": f"{self.owner_id}-free-{len(self.free)}",
                "name": "free",
                "owner_id": owner_id or self.owner_id,
                "slug": slug.lower(),
                "currency": self.currency,
                "kind": "free_quantity",
                "quantity": quantity,
            }
        )
        return self

    def ran(
        self, slug: str, started_at: datetime, stopped_at: datetime | None, instance_id: str | None = None, **meter: str
    ) -> "Case":
        """One measured run of an instance; without an id, of an instance of its own."""
        instance_id = instance_id or f"{self.owner_id}-{slug}-{len(self.intervals)}"
        self.intervals.append(
            self._meter(slug, meter) | {"instance_id": instance_id, "started": started_at, "stopped": stopped_at}
        )
        return self

    def seen(
        self, slug: str, *sampled_at: datetime, instance_id: str, source: str = "hypervisor", **meter: str
    ) -> "Case":
        """Heartbeats of an instance; a slug without a flavour (`apps.`) is powered off."""
        self.heartbeats += [
            self._meter(slug, meter) | {"instance_id": instance_id, "sampled": instant, "source": source}
            for instant in sampled_at
        ]
        return self

    def ran_before(self, slug: str, started_at: datetime, stopped_at: datetime, instance_id: str) -> "Case":
        """What the month before carried on of a run."""
        meter = self._meter(slug, {"instance_id": instance_id, "started_at": started_at, "stopped_at": stopped_at})
        self.earlier.append({name: meter[name] for name in CarriedRuns.column_names()})
        return self

    def unusable(self, instance_id: str, started_at: datetime, stopped_at: datetime, reason: str = "disk") -> "Case":
        """A fault of the platform that stopped an instance from being used."""
        self.faults.append({"instance_id": instance_id, "started": started_at, "stopped": stopped_at, "reason": reason})
        return self

    def stored(self, slug: str, stored_bytes: int, since: datetime = PERIOD.start, **meter: str) -> "Case":
        """A sample: this many bytes from here on."""
        self.samples.append(self._meter(slug, meter) | {"sampled": since, "bytes": stored_bytes})
        return self

    def moved(
        self,
        slug: str,
        moved_bytes: int,
        started_at: datetime = PERIOD.start,
        stopped_at: datetime = PERIOD.start + HOUR,
        **meter: str,
    ) -> "Case":
        """Bytes moved in an interval."""
        self.deltas.append(
            self._meter(slug, meter) | {"started": started_at, "stopped": stopped_at, "bytes": moved_bytes}
        )
        return self

    def counted(self, slug: str, quantity: int, sampled_at: datetime = PERIOD.start, **meter: str) -> "Case":
        """A count of users, seats or other units."""
        self.counts.append(self._meter(slug, meter) | {"sampled": sampled_at, "quantity": quantity})
        return self

    def charged_once(self, quantity: str, unit_price: str, **columns: object) -> "Case":
        """A one-off charge."""
        self.charged.append(
            {
                "source": "backoffice",
                "event_id": f"{self.owner_id}-{len(self.charged)}",
                "owner_id": self.owner_id,
                "description": "Migration",
                "sub_description": None,
                "performed_at": october(15),
                "quantity": Decimal(quantity),
                "unit_price": Decimal(unit_price),
                "currency": self.currency,
                "is_recurring": False,
                "discount_ppm": 0,
                "document": "monthly",
            }
            | columns
        )
        return self

    def charged_by_vendor(self, amount: str, **columns: object) -> "Case":
        """What a third party charges for an add-on."""
        self.vendors.append(
            {
                "source": "marketplace",
                "event_id": f"{self.owner_id}-{len(self.vendors)}",
                "owner_id": self.owner_id,
                "resource_id": f"{self.owner_id}-addon",
                "resource_name": None,
                "vendor": "Mailer",
                "description": "10,000 messages",
                "charged_at": october(20),
                "amount": Decimal(amount),
                "currency": self.currency,
            }
            | columns
        )
        return self

    def _meter(self, slug: str, meter: dict[str, str]) -> dict[str, object]:
        return {
            "owner_id": self.owner_id,
            "resource_id": f"{self.owner_id}-resource",
            "resource_name": "My resource",
            "slug": slug.lower(),
            "zone": "par",
        } | meter


#: Every case of the test modules that were collected; they are rated together.
CASES: list[Case] = []


def case(owner_id: str, **columns: str | int) -> Case:
    """A new case, to be rated with all others; its name is its organisation's id."""
    assert owner_id not in {known.owner_id for known in CASES}, owner_id
    CASES.append(Case(owner_id, **columns))
    return CASES[-1]


@dataclass(frozen=True)
class RatedMonth:
    """The marts, each validated against its table."""

    marts: dict[str, pl.DataFrame]
    refused: pl.DataFrame

    def of(self, mart: str, case: Case) -> pl.DataFrame:
        """The rows of a mart that belong to a case's organisation."""
        return self.marts[mart].filter(owner_id=case.owner_id)

    def charges(self, case: Case) -> pl.DataFrame:
        """The lines of a case, first tier first."""
        return self.of("charges", case).sort("price_id", "resource_id", "tier_from")

    def amounts(self, case: Case) -> list[int]:
        """The amounts of a case's lines in cents, first tier first."""
        return self.charges(case)["charge_cents"].to_list()

    def total(self, case: Case) -> int:
        """What a case costs in cents."""
        return sum(self.amounts(case))

    def reasons(self, case: Case) -> list[str]:
        """Why usage of a case could not be rated."""
        return sorted(self.of("unrated", case)["reason"])

    def seconds(self, case: Case) -> list[int]:
        """How long each line of a case lasted."""
        return self.charges(case)["duration_s"].to_list()


#: Source, nominal period and largest gap in microseconds, as the default settings write them and with one more source.
HEARTBEAT_LIMITS = [(None, 300_000_000, 900_000_000), ("minutely", 60_000_000, 120_000_000)]
_HEARTBEAT_LIMITS = {"source": pl.String, "nominal_us": pl.Int64, "gap_us": pl.Int64}

_METER = ["owner_id", "resource_id", "resource_name", "slug", "zone"]
_PRICE_TIERS = {
    "price_id": pl.String,
    "owner_id": pl.String,
    "zone": pl.String,
    "currency": pl.String,
    "valid_from": pl.Datetime("us", "UTC"),
    "valid_to": pl.Datetime("us", "UTC"),
    "slug": pl.String,
    "basis": pl.String,
    "per_quantity": pl.Int64,
    "per_seconds": pl.Int64,
    "block_quantity": pl.Int64,
    "block_seconds": pl.Int64,
    "tier_mode": pl.String,
    "tier_from": pl.Int64,
    "tier_to": pl.Int64,
    "unit_price": pl.String,
    "tier_price": pl.String,
    "granularity_seconds": pl.Int64,
    "minimum_seconds": pl.Int64,
}


def rows_of(prices: Iterable[dict]) -> pl.DataFrame:
    """Price rows as the feed has them; columns that a row leaves out are null."""
    return pl.DataFrame([dict.fromkeys(_PRICE_TIERS) | price for price in prices], schema=_PRICE_TIERS)


def write_inputs(folder: Path, cases: list[Case], period: Period = PERIOD) -> pl.DataFrame:
    """Write the sources of the dbt project; returns the refused price versions."""
    folder.mkdir(parents=True)
    organisations = [_organisation(case, version, period) for case in cases for version in case.versions or [{}]]
    frames = {
        "run_period": pl.DataFrame(
            {
                "billing_month": str(period.month),
                "period_start": period.start,
                "period_end": period.end,
                "period_start_us": period.start_us,
                "period_end_us": period.end_us,
                "next_sees_us": period.end_us - NEAR_US,
                "day_starts_us": [period.day_starts_us],
            }
        ),
        "currencies": pl.DataFrame({"currency": list(MINOR_DIGITS), "digits": list(MINOR_DIGITS.values())}),
        "organisations": Organisations.validate(
            pl.DataFrame(organisations, schema=Organisations.create_empty().schema), cast=True
        ),
    }
    factors = frames["organisations"].select("owner_id", "price_factor_ppm").unique()
    priced = version_prices(rows_of(price for case in cases for price in case.prices), factors, period)
    frames["prices"], frames["refused_prices"] = priced.prices, priced.refused
    frames["spend_rules"] = SpendRules.validate(
        pl.DataFrame([rule for case in cases for rule in case.free], schema=SpendRules.create_empty().schema), cast=True
    )
    frames |= _feed("runtime", "runtime_intervals", [row for case in cases for row in case.intervals])
    frames |= _feed("storage", "storage_samples", [row for case in cases for row in case.samples])
    frames |= _feed("traffic", "traffic_deltas", [row for case in cases for row in case.deltas])
    frames |= _feed("units", "unit_counts", [row for case in cases for row in case.counts])
    frames |= _feed("heartbeat", "heartbeats", [row for case in cases for row in case.heartbeats])
    frames["earlier_runs"] = CarriedRuns.validate(
        pl.DataFrame([row for case in cases for row in case.earlier], schema=CarriedRuns.create_empty().schema)
    )
    frames["heartbeat_limits"] = pl.DataFrame(HEARTBEAT_LIMITS, schema=_HEARTBEAT_LIMITS, orient="row")
    frames |= _feed("unusable", "unusable_intervals", [row for case in cases for row in case.faults])
    frames["unusable_conflicts"] = pl.DataFrame(
        [(instance_id, "unusable_intervals: 2 rows") for case in cases for instance_id in case.contradicted],
        schema={"instance_id": pl.String, "detail": pl.String},
        orient="row",
    )
    for feed, table, charged in (
        ("one_shots", OneShots, [row for case in cases for row in case.charged]),
        ("vendor_charges", VendorCharges, [row for case in cases for row in case.vendors]),
    ):
        entered = table.validate(pl.DataFrame(charged, schema=table.create_empty().schema), cast=True)
        frames[feed] = entered.with_columns(
            file_id=pl.lit(f"{feed}-file"), file_row=pl.int_range(pl.len(), dtype=pl.Int64)
        )
    for name, frame in frames.items():
        frame.write_parquet(folder / f"{name}.parquet")
    return priced.refused


_INTEGERS = {"started": "started_us", "stopped": "stopped_us", "sampled": "sampled_us"}
_FEED_COLUMNS = {
    "runtime_intervals": {
        "meter_id": pl.Int64, "instance_id": pl.String, "started_us": pl.Int64, "stopped_us": pl.Int64,
    },
    "storage_samples": {"meter_id": pl.Int64, "sampled_us": pl.Int64, "bytes": pl.Int64},
    "traffic_deltas": {"meter_id": pl.Int64, "started_us": pl.Int64, "stopped_us": pl.Int64, "bytes": pl.Int64},
    "unit_counts": {"meter_id": pl.Int64, "sampled_us": pl.Int64, "quantity": pl.Int64},
    "heartbeats": {
        "meter_id": pl.Int64, "instance_id": pl.String, "sampled_us": pl.Int64, "source": pl.String,
    },
    "unusable_intervals": {
        "instance_id": pl.String, "started_us": pl.Int64, "stopped_us": pl.Int64, "reason": pl.String,
    },
}  # fmt: skip


def _feed(short_name: str, feed: str, rows: list[dict]) -> dict[str, pl.DataFrame]:
    """Events, their sources and their meters, as intake publishes them; events of instances alone have no meters."""
    columns = _FEED_COLUMNS[feed]
    is_metered = "meter_id" in columns
    keys = sorted({tuple(row[column] for column in _METER) for row in rows}) if is_metered else []
    meter_ids = {key: meter_id for meter_id, key in enumerate(keys)}
    events = sorted(
        (
            {"file_id": row.get("file_id", f"{feed}-a")}
            | ({"meter_id": meter_ids[tuple(row[column] for column in _METER)]} if is_metered else {})
            | {column: row[column] for column in row if column not in (*_METER, *_INTEGERS)}
            | {
                column: None if row[name] is None else microseconds(row[name])
                for name, column in _INTEGERS.items()
                if name in row
            }
            for row in rows
        ),
        key=lambda event: (
            event.get("meter_id", event.get("instance_id")),
            event.get("started_us", event.get("sampled_us")),
        ),
    )
    frames = {
        feed: pl.DataFrame([{column: event[column] for column in columns} for event in events], schema=columns),
        f"{short_name}_sources": pl.DataFrame(
            [(event["file_id"], row) for row, event in enumerate(events)],
            schema={"file_id": pl.String, "file_row": pl.Int64},
            orient="row",
        ),
    }
    if is_metered:
        frames[f"{short_name}_meters"] = pl.DataFrame(
            [(meter_id, *key) for key, meter_id in meter_ids.items()],
            schema={"meter_id": pl.Int64} | dict.fromkeys(_METER, pl.String),
            orient="row",
        )
    return frames


def _organisation(case: Case, version: dict, period: Period) -> dict:
    return {
        "owner_id": case.owner_id,
        "valid_from": period.start,
        "valid_to": period.end,
        "payer_id": case.payer_id or case.owner_id,
        "name": case.owner_id,
        "kind": "business",
        "address_line1": "1 rue de la Paix",
        "postcode": "75002",
        "city": "Paris",
        "country": "FR",
        "currency": case.currency,
        "language": "fr",
        "billing_emails": "billing@example.org",
        "opened_on": LONG_AGO.date(),
        "is_trusted": False,
        "discount_ppm": 0,
        "price_factor_ppm": case.price_factor_ppm,
    } | version


def run_dbt(work: Path, *arguments: str) -> None:
    """Run one dbt command on the work folder in this process, and let go of its database."""
    os.environ["BILLING_WORK"] = str(work)
    outcome = dbtRunner().invoke(
        [
            *arguments,
            "--project-dir",
            str(PROJECT),
            "--profiles-dir",
            str(PROJECT),
            "--target-path",
            str(work.parent / "target"),
            "--log-path",
            str(work.parent / "logs"),
            "--log-level",
            "warn",
            "--log-level-file",
            "none",
        ]
    )
    DuckDBConnectionManager.close_all_connections()
    if not outcome.success:
        failures = [
            f"{node.node.name}: {node.message}"
            for node in getattr(outcome.result, "results", [])
            if node.status not in ("success", "pass", "skipped")
        ]
        message = f"dbt {arguments[0]} failed: {outcome.exception or failures}"
        raise AssertionError(message)


def rate_month(work: Path, cases: list[Case], period: Period = PERIOD) -> RatedMonth:
    """Build the dbt project on the cases and read what it publishes."""
    refused = write_inputs(work / "inputs", cases, period)
    run_dbt(work, "build", "--exclude-resource-type", "unit_test")
    with duckdb.connect(work / "rating.duckdb", read_only=True) as connection:
        connection.execute("set timezone = 'UTC'")
        marts = {
            name: table.validate(pl.DataFrame(connection.sql(f"select * from {name}").to_arrow_table()), cast=True)
            for name, table in MARTS.items()
        }
    return RatedMonth(marts, refused)

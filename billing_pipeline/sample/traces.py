"""Reads published cluster traces as landing files: tenants synthetic, usage real.

A trace knows machines and applications but no customers and no prices; both are invented here,
the runs are as recorded.
"""

from datetime import datetime, timedelta
from decimal import Decimal
from pathlib import Path
from random import Random

import polars as pl

from billing_pipeline.rules.period import microseconds
from billing_pipeline.sample.landing import FEEDS, INSTANT, Row, arrivals_of, land
from billing_pipeline.sample.organisations import invent_businesses

#: How long before the trace's start an instance started that was running already.
_RUNNING_SINCE = timedelta(days=31)
#: How long after a run's start or end its row is taken in.
_TAKEN_IN_AFTER = timedelta(minutes=1)
_EUR_PER_CPU_HOUR = Decimal("0.04")


def import_alibaba(trace: Path, landing: Path, *, start: datetime, organisations: int, seed: int) -> int:
    """Write the GPU cluster trace of Alibaba (2025) as landing files that can be billed.

    An instance is one run of service `gpu`; its flavour is the cpu request (`c8`). A run that does not end on the UTC
    day on which it starts lands twice, as a meter would report it: open on that day, and closed, with the same natural
    key, on the day on which it ends. So each month can be closed as it was known then. Organisations (French
    businesses, of which a few use most) and one flat price per flavour land on the day on which the oldest run starts.

    Args:
        trace: the Parquet file of the trace; its times are seconds from the trace's start.
        landing: the landing folder; created when missing.
        start: the instant of the trace's start, UTC. Instances without a creation time started 31 days earlier, those
            without a deletion time still run.
        organisations: among how many the applications are dealt.
        seed: where every draw comes from.

    Returns:
        The number of runs.
    """
    rng = Random(f"{seed} alibaba")
    oldest = start - _RUNNING_SINCE
    instances = pl.read_parquet(
        trace, columns=["instance_sn", "app_name", "cpu_request", "creation_time", "deletion_time"]
    )
    owners = invent_businesses(organisations, oldest.date() - timedelta(days=30), rng)
    usage_runs = instances.select(
        resource_id="app_name",
        resource_name="app_name",
        instance_id="instance_sn",
        service=pl.lit("gpu"),
        flavour=pl.format("c{}", "cpu_request"),
        zone=pl.lit("par"),
        started_at=_instant("creation_time", start).fill_null(oldest),
        stopped_at=_instant("deletion_time", start),
    ).join(_deal_applications(instances["app_name"], owners, rng), on="resource_id", validate="m:1")
    land(landing, "runtime_intervals", _reported(usage_runs), name="alibaba")
    known_at = microseconds(oldest)
    _land_accounts(landing, owners, usage_runs["flavour"].unique().sort().to_list(), known_at)
    return usage_runs.height


def _instant(seconds: str, start: datetime) -> pl.Expr:
    return (pl.lit(start, INSTANT) + pl.duration(seconds=seconds)).cast(INSTANT)


def _deal_applications(applications: pl.Series, owners: list[Row], rng: Random) -> pl.DataFrame:
    """Deal each application to an organisation; the k-th one is drawn with weight 1/k (Zipf), in whole numbers."""
    names = applications.unique().sort().to_list()
    weights = [10**6 // rank for rank in range(1, len(owners) + 1)]
    drawn = rng.choices([owner["owner_id"] for owner in owners], weights=weights, k=len(names))
    return pl.DataFrame({"resource_id": names, "owner_id": drawn})


def _reported(usage_runs: pl.DataFrame) -> pl.DataFrame:
    """The rows in which a meter reports each run: closed, and open before where it lasts into another day."""
    closed = usage_runs.filter(pl.col("stopped_at").is_not_null()).with_columns(
        ingested_at=pl.col("stopped_at") + _TAKEN_IN_AFTER, event_id=pl.format("{}-closed", "instance_id")
    )
    stays_open = pl.col("stopped_at").is_null() | (pl.col("stopped_at").dt.date() != pl.col("started_at").dt.date())
    opened = usage_runs.filter(stays_open).with_columns(
        stopped_at=pl.lit(None, INSTANT),
        ingested_at=pl.col("started_at") + _TAKEN_IN_AFTER,
        event_id=pl.format("{}-opened", "instance_id"),
    )
    return (
        pl.concat([opened, closed])
        .with_columns(
            source=pl.lit("alibaba"), is_deleted=pl.lit(value=False), arrival_date=pl.col("ingested_at").dt.date()
        )
        .sort("ingested_at", "event_id")
        .select(*FEEDS["runtime_intervals"], "arrival_date")
    )


def _land_accounts(landing: Path, owners: list[Row], flavours: list[str], known_at: int) -> None:
    prices: list[Row] = [
        {
            "price_id": f"alibaba.gpu.{flavour}",
            "currency": "EUR",
            "valid_from": known_at,
            "slug": f"gpu.{flavour}",
            "basis": "runtime",
            "per_quantity": 1,
            "per_seconds": 3600,
            "tier_mode": "flat",
            "tier_from": 0,
            "unit_price": str(_EUR_PER_CPU_HOUR * int(flavour.removeprefix("c"))),
        }
        for flavour in flavours
    ]
    for feed, rows in (("organisations", owners), ("price_tiers", prices)):
        known = [
            row | {"source": "back-office", "event_id": f"{feed}-{number:06d}", "ingested_at": known_at}
            for number, row in enumerate(rows)
        ]
        land(landing, feed, arrivals_of(feed, known), name="back-office")

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
    ).join(_deal(instances["app_name"], owners, rng), on="resource_id", validate="m:1")
    land(landing, "runtime_intervals", _reported(usage_runs), name="alibaba")
    _land_accounts(landing, owners, "alibaba", "gpu", usage_runs["flavour"].unique().to_list(), oldest)
    return usage_runs.height


def import_bitbrains(trace: Path, landing: Path, *, organisations: int, seed: int) -> int:
    """Write the Bitbrains trace "Rnd" (GWA-T-12, 2013) as landing files that can be billed.

    Every metering sample of a machine is a heartbeat of service `vm`; its flavour is the number of cores (`c2`), empty
    where the machine is powered off. Duplicates, gaps, jitter and resizes stay as recorded: a sample lands on the UTC
    day on which it was taken in, one minute after it, and a repeated one is the same event again. Organisations (French
    businesses, of which a few use most) and one flat price per flavour land on the day before the first sample.

    Args:
        trace: the Parquet file of the trace; its times are UTC without saying so.
        landing: the landing folder; created when missing.
        organisations: among how many the machines are dealt.
        seed: where every draw comes from.

    Returns:
        The number of samples.
    """
    rng = Random(f"{seed} bitbrains")
    samples = pl.read_parquet(trace, columns=["vm", "sampled_at", "cpu_cores"]).with_columns(
        sampled_at=pl.col("sampled_at").cast(pl.Datetime("us")).dt.replace_time_zone("UTC")
    )
    known_at = samples.select(pl.col("sampled_at").min() - timedelta(days=1)).item()
    owners = invent_businesses(organisations, known_at.date() - timedelta(days=30), rng)
    machines = samples.select("vm").unique().sort("vm").with_columns(resource_id=pl.format("vm-{}", _padded("vm", 4)))
    machines = machines.join(_deal(machines["resource_id"], owners, rng), on="resource_id", validate="1:1")
    cores = samples["cpu_cores"].unique().sort().to_list()
    of_day = (pl.col("sampled_at") + _TAKEN_IN_AFTER).dt.date().alias("arrival_date")
    # Day by day: texts of twelve million samples at once would fill the memory.
    for taken_in in samples.with_columns(of_day).partition_by("arrival_date", maintain_order=True):
        land(landing, "runtime_heartbeats", _heartbeats(taken_in, machines), name="bitbrains")
    _land_accounts(landing, owners, "bitbrains", "vm", [f"c{count}" for count in cores if count], known_at)
    return samples.height


def _heartbeats(samples: pl.DataFrame, machines: pl.DataFrame) -> pl.DataFrame:
    """Samples of some days as rows of the feed."""
    is_on = pl.col("cpu_cores") > 0
    return (
        samples.join(machines, on="vm")
        .with_columns(
            event_id=pl.format("{}@{}", "vm", pl.col("sampled_at").dt.epoch("s")),
            source=pl.lit("bitbrains"),
            ingested_at=pl.col("sampled_at") + _TAKEN_IN_AFTER,
            is_deleted=pl.lit(value=False),
            resource_name="resource_id",
            instance_id="resource_id",
            service=pl.lit("vm"),
            flavour=pl.when(is_on).then(pl.format("c{}", "cpu_cores")).otherwise(pl.lit("")),
            zone=pl.lit("par"),
        )
        .sort("ingested_at", "vm", "cpu_cores")
        .select(*FEEDS["runtime_heartbeats"], "arrival_date")
    )


def _padded(name: str, digits: int) -> pl.Expr:
    return pl.col(name).cast(pl.String).str.zfill(digits)


def _instant(seconds: str, start: datetime) -> pl.Expr:
    return (pl.lit(start, INSTANT) + pl.duration(seconds=seconds)).cast(INSTANT)


def _deal(resources: pl.Series, owners: list[Row], rng: Random) -> pl.DataFrame:
    """Deal each resource to an organisation; the k-th one is drawn with weight 1/k (Zipf), in whole numbers."""
    names = resources.unique().sort().to_list()
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


def _land_accounts(
    landing: Path, owners: list[Row], trace: str, service: str, flavours: list[str], instant: datetime
) -> None:
    """Land the organisations, and a price of each flavour (`c8`: eight cores), as known from an instant on."""
    known_at = microseconds(instant)
    prices: list[Row] = [
        {
            "price_id": f"{trace}.{service}.{flavour}",
            "currency": "EUR",
            "valid_from": known_at,
            "slug": f"{service}.{flavour}",
            "basis": "runtime",
            "per_quantity": 1,
            "per_seconds": 3600,
            "tier_mode": "flat",
            "tier_from": 0,
            "unit_price": str(_EUR_PER_CPU_HOUR * int(flavour.removeprefix("c"))),
        }
        for flavour in sorted(flavours)
    ]
    for feed, rows in (("organisations", owners), ("price_tiers", prices)):
        known = [
            row | {"source": "back-office", "event_id": f"{feed}-{number:06d}", "ingested_at": known_at}
            for number, row in enumerate(rows)
        ]
        land(landing, feed, arrivals_of(feed, known), name="back-office")

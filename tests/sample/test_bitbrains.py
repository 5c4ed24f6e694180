"""The Bitbrains trace as landing files: its heartbeats are the real ones, whoever counts them."""

import os
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest

from billing_pipeline.sample.traces import import_bitbrains

TRACE = (
    Path(os.environ.get("BILLING_REFERENCE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    / "bitbrains_rnd_2013Q3_heartbeats.parquet"
)
NOON = datetime.fromisoformat("2013-07-01T12:00")

#: Sampled twice, resized, switched off: (machine, minutes after noon, cores).
SAMPLES = [(7, 0, 2), (7, 5, 2), (7, 5, 2), (7, 10, 4), (12, 0, 0), (12, 719, 1), (12, 725, 1)]


@pytest.fixture
def trace(tmp_path: Path) -> Path:
    file = tmp_path / "trace.parquet"
    pl.DataFrame(
        [(vm, NOON + timedelta(minutes=minutes), cores, 0) for vm, minutes, cores in SAMPLES],
        schema={
            "vm": pl.UInt16,
            "sampled_at": pl.Datetime("us"),
            "cpu_cores": pl.UInt8,
            "memory_mib": pl.UInt32,
        },
        orient="row",
    ).write_parquet(file)
    return file


def heartbeats(landing: Path) -> pl.DataFrame:
    return pl.read_parquet(landing / "runtime_heartbeats" / "**/*.parquet", hive_partitioning=True)


def test_every_sample_lands_on_the_day_on_which_it_was_taken_in(trace, tmp_path):
    assert import_bitbrains(trace, tmp_path / "landing", organisations=3, seed=7) == len(SAMPLES)

    landed = heartbeats(tmp_path / "landing")
    assert landed.height == len(SAMPLES)
    # 23:59 is taken in at midnight.
    assert dict(landed["arrival_date"].value_counts().iter_rows()) == {date(2013, 7, 1): 5, date(2013, 7, 2): 2}


def test_a_machine_is_an_instance_whose_cores_are_its_flavour_and_none_means_powered_off(trace, tmp_path):
    import_bitbrains(trace, tmp_path / "landing", organisations=3, seed=7)

    landed = heartbeats(tmp_path / "landing").sort("instance_id", "sampled_at")
    seen = landed.select("instance_id", "service", "flavour").rows()
    assert seen[:4] == [("vm-0007", "vm", flavour) for flavour in ("c2", "c2", "c2", "c4")]
    assert seen[4] == ("vm-0012", "vm", "")
    assert landed["sampled_at"][0] == NOON.replace(tzinfo=UTC)


def test_a_sample_that_was_recorded_twice_is_one_event_that_came_twice(trace, tmp_path):
    import_bitbrains(trace, tmp_path / "landing", organisations=3, seed=7)

    landed = heartbeats(tmp_path / "landing")
    assert landed["event_id"].n_unique() == len(SAMPLES) - 1
    assert landed.unique().height == len(SAMPLES) - 1


def test_every_flavour_that_runs_has_a_price_and_every_machine_one_organisation(trace, tmp_path):
    import_bitbrains(trace, tmp_path / "landing", organisations=3, seed=7)

    landed = heartbeats(tmp_path / "landing")
    prices = pl.read_parquet(tmp_path / "landing" / "price_tiers" / "**/*.parquet")
    organisations = pl.read_parquet(tmp_path / "landing" / "organisations" / "**/*.parquet")
    assert sorted(prices["slug"]) == ["vm.c1", "vm.c2", "vm.c4"]
    assert landed.group_by("resource_id").agg(pl.col("owner_id").n_unique())["owner_id"].to_list() == [1, 1]
    assert set(landed["owner_id"]) <= set(organisations["owner_id"])
    assert organisations["ingested_at"].max() < landed["ingested_at"].min()


def test_the_same_seed_makes_the_same_files(trace, tmp_path):
    for name in ("first", "second"):
        import_bitbrains(trace, tmp_path / name, organisations=3, seed=7)

    first, second = (
        {file.relative_to(tmp_path / name): file.read_bytes() for file in (tmp_path / name).rglob("*.parquet")}
        for name in ("first", "second")
    )
    assert first == second


@pytest.mark.slow
def test_the_landed_heartbeats_are_those_of_the_whole_trace(tmp_path):
    if not TRACE.exists():
        pytest.skip(f"no trace at {TRACE} (BILLING_REFERENCE_DATA)")

    assert import_bitbrains(TRACE, tmp_path, organisations=40, seed=7) == 12_496_728

    landed = pl.scan_parquet(tmp_path / "runtime_heartbeats" / "**/*.parquet", hive_partitioning=False).select(
        vm=pl.col("instance_id").str.strip_prefix("vm-").cast(pl.UInt16),
        sampled_at=pl.col("sampled_at").dt.replace_time_zone(None),
        cpu_cores=pl.when(pl.col("flavour") == "")
        .then(0)
        .otherwise(pl.col("flavour").str.strip_prefix("c"))
        .cast(pl.UInt8),
    )
    raw = pl.scan_parquet(TRACE).select("vm", "sampled_at", "cpu_cores")
    key = ["vm", "sampled_at", "cpu_cores"]
    assert landed.sort(key).collect().equals(raw.sort(key).collect())

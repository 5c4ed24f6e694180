"""The Alibaba trace as landing files: its runs are the real ones, whoever counts them."""

import os
import runpy
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyarrow
import pyarrow.parquet
import pytest

from billing_pipeline.sample.traces import import_alibaba

TRACE = (
    Path(os.environ.get("BILLING_REFERENCE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    / "alibaba_gpu_v2025_instances.parquet"
)
OCTOBER = datetime(2026, 10, 1, tzinfo=UTC)


def plain_count() -> Callable[[Path, datetime], dict[str, int]]:
    """Loaded by its path, as any other test may: it is no part of a package."""
    return runpy.run_path(str(Path(__file__).with_name("plain_count.py")))["billed_seconds_per_month"]


@pytest.fixture(scope="module")
def landing(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if not TRACE.exists():
        pytest.skip(f"no trace at {TRACE} (BILLING_REFERENCE_DATA)")
    folder = tmp_path_factory.mktemp("alibaba")
    assert import_alibaba(TRACE, folder, start=OCTOBER, organisations=30, seed=7) == 23_871
    return folder


def reports(landing: Path) -> pl.DataFrame:
    return pl.read_parquet(landing / "runtime_intervals" / "**/*.parquet", hive_partitioning=True)


def write_trace(path: Path, instances: list[tuple[str, int | None, int | None]]) -> Path:
    names, created, deleted = zip(*instances, strict=True)
    table = pyarrow.table(
        {
            "instance_sn": names,
            "app_name": ["app_0"] * len(names),
            "cpu_request": [8] * len(names),
            "creation_time": pyarrow.array(created, pyarrow.int64()),
            "deletion_time": pyarrow.array(deleted, pyarrow.int64()),
        }
    )
    pyarrow.parquet.write_table(table, path)
    return path


def test_the_plain_count_unites_the_runs_of_an_instance_and_cuts_them_at_the_month(tmp_path: Path) -> None:
    day = 86_400
    trace = write_trace(
        tmp_path / "trace.parquet",
        [
            ("overlapping", 0, 100),
            ("overlapping", 50, 150),
            ("crossing", 30 * day, 31 * day + 10),
            ("empty", 7, 7),
            ("still running", 31 * day, None),
            ("always there", None, 5),
        ],
    )
    assert plain_count()(trace, OCTOBER) == {
        "2026-08": day,
        "2026-09": 30 * day,
        "2026-10": 150 + day + 5,
        "2026-11": 10 + 30 * day,
    }


def test_the_trace_has_the_billed_seconds_that_were_counted_once(landing: Path) -> None:
    assert landing.exists()
    assert plain_count()(TRACE, OCTOBER) == {
        "2026-08": 628_992_000,
        "2026-09": 18_869_760_000,
        "2026-10": 21_201_800_544,
    }


def test_the_landed_rows_hold_the_same_seconds_as_the_trace(landing: Path) -> None:
    known = reports(landing).sort("ingested_at").unique(["instance_id", "started_at"], keep="last")
    november = OCTOBER + timedelta(days=31)
    inside = pl.min_horizontal(pl.col("stopped_at").fill_null(november), pl.lit(november)) - pl.max_horizontal(
        "started_at", pl.lit(OCTOBER)
    )
    seconds = known.select(inside.dt.total_seconds().clip(lower_bound=0)).to_series().sum()
    assert seconds == plain_count()(TRACE, OCTOBER)["2026-10"]


def test_a_run_over_midnight_is_known_as_open_before_it_is_closed(landing: Path) -> None:
    per_run = (
        reports(landing)
        .group_by("instance_id", "started_at")
        .agg(pl.col("stopped_at").sort_by("ingested_at").alias("ends"), pl.len().alias("rows"))
    )
    both = per_run.filter(pl.col("rows") == 2)
    assert both.height > 0
    assert both["ends"].list.get(0).null_count() == both.height
    assert both["ends"].list.get(1).null_count() == 0
    once = per_run.filter(pl.col("rows") == 1).with_columns(end=pl.col("ends").list.get(0))
    assert once.filter(pl.col("end").dt.date() != pl.col("started_at").dt.date()).is_empty()


def test_instances_that_ran_before_the_trace_start_31_days_earlier(landing: Path) -> None:
    runs = reports(landing).unique(["instance_id", "started_at"])
    assert runs.filter(pl.col("started_at") == OCTOBER - timedelta(days=31)).height == 7_280
    assert runs["started_at"].min() == OCTOBER - timedelta(days=31)


def test_fifteen_runs_have_no_length_and_none_a_negative_one(landing: Path) -> None:
    length = reports(landing).select(length=pl.col("stopped_at") - pl.col("started_at"))["length"].drop_nulls()
    assert (length == timedelta(0)).sum() == 15
    assert length.min() == timedelta(0)


def test_every_flavour_has_a_price_and_every_owner_is_an_organisation(landing: Path) -> None:
    runs = reports(landing)
    prices = pl.read_parquet(landing / "price_tiers" / "**/*.parquet")
    organisations = pl.read_parquet(landing / "organisations" / "**/*.parquet")
    assert set(runs.select(pl.concat_str("service", pl.lit("."), "flavour")).to_series()) == set(prices["slug"])
    assert set(runs["owner_id"]) <= set(organisations["owner_id"])
    assert organisations.height == 30


def test_each_application_belongs_to_one_organisation_and_a_few_use_most(landing: Path) -> None:
    runs = reports(landing).unique(["instance_id", "started_at"])
    assert runs.group_by("resource_id").agg(pl.col("owner_id").n_unique())["owner_id"].max() == 1
    applications = runs.unique("resource_id").group_by("owner_id").len().sort("len", descending=True)["len"]
    assert applications.sum() == 156
    assert applications.head(3).sum() > 156 * 0.3


def test_the_same_seed_deals_the_same_applications(landing: Path, tmp_path: Path) -> None:
    import_alibaba(TRACE, tmp_path, start=OCTOBER, organisations=30, seed=7)
    for path in landing.rglob("*.parquet"):
        assert (tmp_path / path.relative_to(landing)).read_bytes() == path.read_bytes()

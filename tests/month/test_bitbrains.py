"""Three months of real heartbeats, the Bitbrains trace: dealt to drawn tenants, billed, and counted from the raw file.

Slow: twelve million samples. The figures stand in the data's README and come out of three computations: the pipeline,
a few lines of plain Polars over the raw file, and whoever wrote the README.
"""

import os
from collections.abc import Callable
from datetime import datetime, timedelta
from pathlib import Path
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from provider_home import ProviderHome

from billing_pipeline.rules.period import Month

TRACE = (
    Path(os.environ.get("BILLING_REFERENCE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    / "bitbrains_rnd_2013Q3_heartbeats.parquet"
)
MONTHS = ("2013-06", "2013-07", "2013-08", "2013-09")
RUNS, SECONDS = 5_127, 3_585_824_423
#: Billed seconds of each month, by where months are cut.
BILLED = {
    "UTC": (2_868_360, 1_098_584_173, 1_284_432_246, 1_199_939_644),
    "Europe/Paris": (0, 1_097_996_725, 1_284_420_022, 1_203_407_676),
}
PERIOD, LARGEST_GAP = timedelta(seconds=300), timedelta(seconds=900)

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not TRACE.exists(), reason=f"no trace at {TRACE} (BILLING_REFERENCE_DATA)"),
]


@pytest.fixture(scope="module")
def runs() -> pl.DataFrame:
    """The runs of the raw file: `vm`, `start`, `stop`. No product code."""
    samples = pl.read_parquet(TRACE, columns=["vm", "sampled_at", "cpu_cores"]).unique(["vm", "sampled_at"])
    gap = pl.col("sampled_at").diff().over("vm")
    resized = pl.col("cpu_cores") != pl.col("cpu_cores").shift(1).over("vm")
    return (
        samples.sort("vm", "sampled_at")
        .with_columns(run=((gap > LARGEST_GAP) | resized).fill_null(value=True).cum_sum())
        .filter(pl.col("cpu_cores") > 0)
        .group_by("vm", "run")
        .agg(start=pl.col("sampled_at").min(), stop=pl.col("sampled_at").max() + PERIOD)
    )


def seconds_within(runs: pl.DataFrame, month: str, zone: str) -> int:
    """Seconds of the runs in a month of a zone."""
    year, number = (int(part) for part in month.split("-"))
    start, end = (
        datetime(year + (place == 12), place % 12 + 1, 1, tzinfo=ZoneInfo(zone)).astimezone(ZoneInfo("UTC"))
        for place in (number - 1, number)
    )
    inside = pl.min_horizontal("stop", pl.lit(end.replace(tzinfo=None))) - pl.max_horizontal(
        "start", pl.lit(start.replace(tzinfo=None))
    )
    return runs.select(inside.dt.total_seconds().clip(lower_bound=0).sum()).item()


def test_the_raw_file_has_the_runs_and_seconds_that_its_readme_states(runs):
    assert runs.height == RUNS
    assert runs.select((pl.col("stop") - pl.col("start")).dt.total_seconds().sum()).item() == SECONDS


@pytest.mark.parametrize("zone", BILLED)
def test_plain_polars_counts_the_stated_seconds_of_each_month(runs, zone):
    assert tuple(seconds_within(runs, month, zone) for month in MONTHS) == BILLED[zone]
    assert sum(BILLED[zone]) == SECONDS


@pytest.fixture(scope="module", params=BILLED)
def home(request: pytest.FixtureRequest, new_home: Callable[..., ProviderHome]) -> tuple[str, ProviderHome]:
    """June to September 2013, closed month by month; no documents."""
    home = new_home("bitbrains")
    home.settings = {"BILLING_BILLING_TIMEZONE": request.param}
    command = home.command("import-trace", "bitbrains", str(TRACE), "--organisations", "40", "--seed", "7")
    assert command.exit_code == 0, command.output
    # In Paris nothing has run in June yet: a month without visible usage is refused.
    home.draft(f"{MONTHS[0] if BILLED[request.param][0] else MONTHS[1]}..{MONTHS[-1]}")
    return request.param, home


def test_billed_seconds_of_every_month_are_those_of_the_raw_file(home):
    zone, billed = home

    closed = [(month, seconds) for month, seconds in zip(MONTHS, BILLED[zone], strict=True) if seconds]
    assert [
        (month, billed.generation("invoices/invoice_lines", month).read()["duration_s"].sum()) for month, _ in closed
    ] == closed


def test_every_run_is_billed_once_even_over_the_edge_of_a_month(home):
    zone, billed = home
    published = [
        billed.generation("rating/runs", month).read().select("instance_id", "started_at", "stopped_at")
        for month, seconds in zip(MONTHS, BILLED[zone], strict=True)
        if seconds
    ]
    pieces = pl.concat(published).sort("instance_id", "started_at")
    # A piece that starts where the one before ends, at a month's edge, is the same run.
    edges = {billed.billing.period(month).start for month in map(Month.parse, MONTHS)}
    goes_on = (pl.col("started_at") == pl.col("stopped_at").shift(1).over("instance_id")) & pl.col("started_at").is_in(
        sorted(edges)
    )

    assert pieces.select((~goes_on.fill_null(value=False)).sum()).item() == RUNS


def test_everyone_who_ran_something_has_a_draft_and_nobody_is_parked(home):
    zone, billed = home
    for month, seconds in zip(MONTHS, BILLED[zone], strict=True):
        if seconds:
            assert billed.rows("invoices/parked_organisations", month) == []
            assert billed.rows("invoices/drafts", month)


def test_every_sample_is_accounted_for(home):
    zone, billed = home
    months = [month for month, seconds in zip(MONTHS, BILLED[zone], strict=True) if seconds]
    receipts = pl.concat([billed.generation("usage/file_receipts", month).read() for month in months]).filter(
        feed="runtime_heartbeats"
    )

    assert receipts["input_rows"].sum() == 12_496_728
    assert receipts["duplicate_rows"].sum() == 12_496_728 - 12_328_369
    assert receipts["quarantined_rows"].sum() == 0

"""Times the stages of one large month apart, each beside a bare DuckDB scan of the columns that it reads.

    python tests/benchmarks/stages.py --rows 10000000 [--rounds 3] [--keep DIR]

Every round of a stage runs in a process of its own, so that its peak memory is its own; what it reads was published by
the stage before. Wall clock and CPU are medians of the rounds; on a busy machine only the CPU seconds mean something.
The scan of a stage reads the columns of its input, with the same threads and in the same run.
"""

import argparse
import multiprocessing
import os
import platform
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ProcessPoolExecutor
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from statistics import median
from time import perf_counter, process_time
from typing import Any
from zoneinfo import ZoneInfo

import duckdb
import polars as pl

# Run as a script: the package lies two folders up, the generator beside.
sys.path.insert(0, str(Path(__file__).parents[2]))
sys.path.insert(0, str(Path(__file__).parent))

from generate import generate

from billing_pipeline.adapters.landing import Landing
from billing_pipeline.intake import cleaning, months
from billing_pipeline.intake.contracts import FEEDS
from billing_pipeline.intake.engine import EngineLimits
from billing_pipeline.intake.windows import Window
from billing_pipeline.rules.period import Month
from billing_pipeline.warehouse import Warehouse

MONTH = Month(2026, 10)
FEED = FEEDS["runtime_intervals"]
THREADS = len(os.sched_getaffinity(0))

_SCAN = ": bare scan"

#: dbt tables by the stage that they make up, in the order in which they are built; the views between them count in.
DURATIONS = (
    "int_heartbeat_runs",
    "int_earlier_runs",
    "int_composed_instances",
    "int_united_runs",
    "int_instance_conflicts",
    "int_unusable_parts",
    "int_usable_runs",
    "runs",
    "carried_runs",
)
SEGMENTS = ("int_runtime_usage", "int_granulated_usage", "segments")
CHARGES = ("int_usage_charges", "charges")


@dataclass(frozen=True)
class Lap:
    """What one round of something took."""

    rows: int
    wall_s: float
    cpu_s: float
    peak_mb: int


@contextmanager
def lap(laps: dict[str, Lap], name: str, rows: Callable[[], int]) -> Iterator[None]:
    """Enter what the block takes."""
    wall, cpu = perf_counter(), process_time()
    yield
    wall_s, cpu_s = perf_counter() - wall, process_time() - cpu
    laps[name] = Lap(rows(), wall_s, cpu_s, peak_mb())


def peak_mb() -> int:
    """The most memory that this process has held."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return int(status.split("VmHWM:")[1].split()[0]) // 1024


def scan(connection: duckdb.DuckDBPyConnection, source: str) -> int:
    """Read every column and do next to nothing with it; `max` would be answered from statistics alone."""
    connection.execute("set enable_progress_bar = false")
    connection.execute("set disabled_optimizers = 'partitioned_execution'")
    columns = connection.execute(f"describe from {source}").fetchall()
    asked = ", ".join(_touched(name, kind) for name, kind, *_ in columns)
    (rows, *_) = connection.execute(f"select count(*), {asked} from {source}").fetchone() or (0,)
    return int(rows)


def _touched(name: str, kind: str) -> str:
    """SQL that needs every value of a column."""
    if kind.startswith("TIMESTAMP"):
        return f"sum(epoch_us({name}))"
    touches = {"VARCHAR": f"sum(strlen({name}))", "BOOLEAN": f"count_if({name})"}
    return touches.get(kind, f"bit_xor(hash({name}))" if kind == "DATE" else f"sum({name})")


def intake(folder: Path) -> dict[str, Lap]:
    """Clean the arrival days, decide, and write the sorted month, into a warehouse of its own."""
    landing, limits = Landing(folder / "landing"), EngineLimits(THREADS)
    shutil.rmtree(folder / "intake", ignore_errors=True)
    warehouse = Warehouse(folder / "intake", code_version="0" * 64)
    period = MONTH.period(ZoneInfo("UTC"))
    window = Window(period, None, period.end + timedelta(days=2), None)
    laps: dict[str, Lap] = {}
    published: dict[str, Any] = {}
    files = str(folder / "landing" / FEED.name / "*" / "*.parquet")
    raw_rows = 0

    def count() -> int:
        return raw_rows

    with lap(laps, "intake" + _SCAN, count), duckdb.connect(config={"threads": THREADS}) as connection:
        raw = f"read_parquet('{files}', hive_partitioning = false)"
        raw_rows = scan(connection, raw)
    with lap(laps, "intake: clean days", count):
        cleaning.clean_arrivals(FEED, window, landing, warehouse, limits)
    inner: dict[str, Lap] = {}
    _time_calls(months, "_publish", "intake: sorted month", inner, count)
    with lap(laps, "intake: month", count):
        published["month"] = months.publish_usage(FEED, window, landing, warehouse, limits, predecessor=None)
    month, written = laps.pop("intake: month"), inner["intake: sorted month"]
    laps["intake: decide"] = Lap(raw_rows, month.wall_s - written.wall_s, month.cpu_s - written.cpu_s, written.peak_mb)
    laps["intake: sorted month"] = written
    clean = laps["intake: clean days"]
    laps["intake: all"] = Lap(raw_rows, clean.wall_s + month.wall_s, clean.cpu_s + month.cpu_s, month.peak_mb)
    return laps


def _time_calls(module: Any, name: str, label: str, laps: dict[str, Lap], rows: Callable[[], int]) -> None:
    """Enter what each call of a module's function takes."""
    called = getattr(module, name)

    def timed(*arguments: Any) -> Any:
        with lap(laps, label, rows):
            return called(*arguments)

    setattr(module, name, timed)


def open_home(folder: Path) -> Any:
    """The home of the month, as every stage after intake sees it."""
    os.environ |= {"BILLING_HOME": str(folder / "home"), "DAGSTER_HOME": str(folder / "home" / "dagster")}
    (folder / "home" / "dagster").mkdir(parents=True, exist_ok=True)
    (folder / "home" / "dagster" / "dagster.yaml").write_text("telemetry: {enabled: false}\n", encoding="utf-8")
    from billing_pipeline.defs.billing import open_billing
    from billing_pipeline.settings import REPOSITORY, Settings
    from billing_pipeline.warehouse import code_version

    return open_billing(Settings(landing=folder / "landing"), code_version(REPOSITORY))


def close_month(folder: Path) -> dict[str, Lap]:
    """The whole month up to its drafts, as one Dagster run."""
    billing = open_home(folder)
    import dagster as dg

    from billing_pipeline.definitions import defs
    from billing_pipeline.defs.invoices import ISSUED

    os.environ["BILLING_LANDING"] = str(folder / "landing")
    laps: dict[str, Lap] = {}
    left_out = (*ISSUED, ["documents"], ["exports"], ["corrections"], ["interim"])
    keys = [spec.key for spec in defs().resolve_all_asset_specs()]
    assets = [key for key in keys if list(key.path) not in left_out and list(key.path[:1]) not in left_out]
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    job = defs().resolve_implicit_global_asset_job_def()
    tags = {"dagster/asset_partition_range_start": str(MONTH), "dagster/asset_partition_range_end": str(MONTH)}

    def rows() -> int:
        return int(billing.read("usage/file_receipts", MONTH).read()["input_rows"].sum())

    with dg.DagsterInstance.get() as instance, lap(laps, "month up to its drafts", rows):
        job.execute_in_process(asset_selection=assets, instance=instance, tags=tags, run_config=quiet)
    return laps


def build_models(folder: Path) -> dict[str, Lap]:
    """The dbt project once, into a work file that the stages of rating are then timed on."""
    billing = open_home(folder)
    from billing_pipeline.defs import rating

    work = folder / "work"
    shutil.rmtree(work, ignore_errors=True)
    (work / "inputs").mkdir(parents=True)
    read = rating._link_inputs(billing, MONTH, work / "inputs", None)
    laps: dict[str, Lap] = {}
    rows = read["usage/runtime_intervals"].manifest["files"]["events.parquet"]["rows"]
    with lap(laps, "dbt build", lambda: rows):
        outcome = rating.build_models(work, work / "target", billing.settings)
    if not outcome.success:
        message = "dbt build failed; see above"
        raise RuntimeError(message)
    return laps


def durations(folder: Path) -> dict[str, Lap]:
    """Usage summed into price segments, on the tables that the models before have left."""
    laps: dict[str, Lap] = {}
    with _work_file(folder) as connection:
        events = "read_parquet('inputs/runtime_intervals.parquet')"
        _time_models(connection, laps, "durations: union of runs", DURATIONS, events)
        summed = "(select meter_id, started_at, stopped_at from runs)"
        _time_models(connection, laps, "durations: sum to segments", SEGMENTS, summed)
    return laps


def charges(folder: Path) -> dict[str, Lap]:
    """Segments priced; apart from their making, whose tables the database would clear away meanwhile."""
    laps: dict[str, Lap] = {}
    with _work_file(folder) as connection:
        _time_models(connection, laps, "charges", CHARGES, "segments")
    return laps


@contextmanager
def _work_file(folder: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    """The work file, from its folder: the compiled models name their inputs from there."""
    limits = {"threads": THREADS, "memory_limit": "2000MB", "temp_directory": "spill"}
    with chdir(folder / "work"), duckdb.connect("rating.duckdb", config=limits) as connection:
        connection.execute("set timezone = 'UTC'")
        connection.execute("set force_compression = 'uncompressed'")
        yield connection


def _time_models(
    connection: duckdb.DuckDBPyConnection,
    laps: dict[str, Lap],
    stage: str,
    models: tuple[str, ...],
    scanned: str,
) -> None:
    """The compiled SQL of some models, beside a bare scan of what they read."""
    rows = 0
    with lap(laps, stage + _SCAN, lambda: rows):
        rows = scan(connection, scanned)
    selects = {
        model: next(Path("target/compiled").rglob(f"{model}.sql")).read_text(encoding="utf-8") for model in models
    }
    with lap(laps, stage, lambda: rows):
        for model, select in selects.items():
            connection.execute(f"create or replace table bench_{model} as {select}")
    for model in models:
        connection.execute(f"drop table bench_{model}")


def settling(folder: Path) -> dict[str, Lap]:
    """Credits and drafts, read from and published to the home."""
    billing = open_home(folder)
    from billing_pipeline.defs.credits import settle
    from billing_pipeline.defs.invoices import draft

    laps: dict[str, Lap] = {}
    published = billing.read("rating/charges", MONTH)
    rows = published.manifest["files"]["rows.parquet"]["rows"]
    charges = f"'{published.file('rows.parquet')}'"
    for stage, make in (("credits", settle), ("invoices: drafts", draft)):
        with lap(laps, stage + _SCAN, lambda: rows), duckdb.connect(config={"threads": THREADS}) as connection:
            scan(connection, charges)
        with lap(laps, stage, lambda: rows):
            make(billing, MONTH)
    return laps


def apart(stage: Callable[[Path], dict[str, Lap]], folder: Path) -> dict[str, Lap]:
    """Run in a fresh process."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as process:
        return process.submit(stage, folder).result()


def report(rounds: list[dict[str, Lap]]) -> list[str]:
    """The table: medians over the rounds in which a stage ran, and how many bare scans it is worth."""
    laps: dict[str, list[Lap]] = {}
    for entered in rounds:
        for name, its_lap in entered.items():
            laps.setdefault(name, []).append(its_lap)
    heads = ("wall s", "CPU s", "rows/s", "x scan", "x CPU", "peak MB")
    lines = [f"{'stage':28}{'rows':>12}" + "".join(f"{head:>11}" for head in heads)]
    for name, its in laps.items():
        wall, cpu = median(each.wall_s for each in its), median(each.cpu_s for each in its)
        scans = laps.get(name + _SCAN) or laps.get(name.split(":")[0] + _SCAN)
        ratios = ("", "")
        if scans and not name.endswith(_SCAN):
            ratios = (
                f"{wall / median(each.wall_s for each in scans):.1f}",
                f"{cpu / median(each.cpu_s for each in scans):.1f}",
            )
        figures = (
            f"{wall:.2f}",
            f"{cpu:.2f}",
            f"{its[0].rows / wall:,.0f}",
            *ratios,
            f"{max(x.peak_mb for x in its):,}",
        )
        lines.append(f"{name:28}{its[0].rows:12,}" + "".join(f"{figure:>11}" for figure in figures))
    return lines


def machine() -> list[str]:
    """What the figures were measured on."""
    models = [
        line.split(":")[1].strip()
        for line in Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
        if line.startswith("model name")
    ]
    busy = os.getloadavg()[0]
    return [
        f"{models[0] if models else platform.processor()}, {THREADS} cores in use, load {busy:.1f} before the run",
        f"Python {platform.python_version()}, DuckDB {duckdb.__version__}, Polars {pl.__version__}",
    ]


def main() -> None:
    """Generate what is missing, run every stage, print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rows", type=int, default=10_000_000, help="runs; one in a hundred is sent twice")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--keep", type=Path, help="folder for the landing files and everything made of them")
    asked = parser.parse_args()
    sys.stdout.write("\n".join(machine()) + "\n")
    sys.stdout.flush()
    folder = asked.keep or Path(tempfile.mkdtemp(prefix="billing-bench-"))
    try:
        if not (folder / "landing" / FEED.name).exists():
            generate(asked.rows, folder / "landing", MONTH)
        rounds = [apart(intake, folder) for _ in range(asked.rounds)]
        shutil.rmtree(folder / "home", ignore_errors=True)
        rounds += [apart(close_month, folder), apart(build_models, folder)]
        rounds += [apart(stage, folder) for stage in (durations, charges) for _ in range(asked.rounds)]
        rounds += [apart(settling, folder) for _ in range(asked.rounds)]
        sys.stdout.write("\n".join(report(rounds)) + "\n")
    finally:
        if not asked.keep:
            shutil.rmtree(folder)


if __name__ == "__main__":
    main()

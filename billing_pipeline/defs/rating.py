"""Clean usage becomes charges: one dbt build per month on a work file of its own, whose marts are published.

dbt reads the month's published tables through a folder of links (verified when they are linked) and writes to a DuckDB
file that is thrown away after its marts were copied out. Nothing is reported before it is published.
"""

import os
import shutil
from collections.abc import Iterator, Mapping
from contextlib import chdir, contextmanager
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple
from uuid import uuid4

import dagster as dg
import polars as pl
from dagster_dbt import DagsterDbtTranslator, DagsterDbtTranslatorSettings, dbt_assets
from dbt.adapters.duckdb.connections import DuckDBConnectionManager
from dbt.cli.main import dbtRunner, dbtRunnerResult
from dbt.contracts.graph.manifest import Manifest

from billing_pipeline.defs.admission import refused_usage, without_refused
from billing_pipeline.defs.billing import Billing, inputs_of, partition
from billing_pipeline.defs.partitions import billing_month
from billing_pipeline.defs.usage import SINGLE_CHARGES, USAGE_TABLES, enter_single_charges
from billing_pipeline.intake.contracts import FEEDS, NEAR_US
from billing_pipeline.rules.currencies import MINOR_DIGITS
from billing_pipeline.rules.period import Month
from billing_pipeline.settings import REPOSITORY, HeartbeatSettings, Settings
from billing_pipeline.tables.rating import CarriedRuns
from billing_pipeline.warehouse import Generation
from billing_pipeline.warehouse.work_file import open_work_file

_PROJECT = REPOSITORY / "dbt_project"
_WORK_FILE = "rating.duckdb"
_MANIFEST = _PROJECT / "target" / "manifest.json"
_PARSED = _MANIFEST.with_name("partial_parse.msgpack")

#: The published marts, each with the total order that its bytes are written in.
MARTS = {
    "runs": ("meter_id", "started_at", "instance_id"),
    "run_meters": ("meter_id",),
    "carried_runs": ("owner_id", "resource_id", "slug", "zone", "instance_id", "started_at"),
    "overlapped_time": ("owner_id", "reason"),
    "unusable": ("payer_id", "owner_id", "resource_id", "instance_id", "started_at"),
    "segments": (
        "payer_id", "owner_id", "resource_id", "slug", "zone", "price_id", "price_factor_ppm", "basis", "tier_from",
    ),
    "charges": ("line_id",),
    "specific_charges": ("line_id",),
    "charge_shares": ("line_id", "resource_id"),
    "charge_sources": ("line_id", "feed", "file_id"),
    "daily_weights": ("payer_id", "service", "day"),
    "unrated": ("owner_id", "reason", "detail"),
}  # fmt: skip

#: What a month tells the next one of its runs, and how the next one names it among its inputs.
_CARRIED = "rating/carried_runs"
_EARLIER = f"{_CARRIED} before"

#: dbt source -> (published table, part).
_SOURCES = {
    **{
        f"{prefix}_{part}" if part != "events" else source: (f"usage/{feed}", part)
        for feed, source, prefix in (
            ("runtime_intervals", "runtime_intervals", "runtime"),
            ("runtime_heartbeats", "heartbeats", "heartbeat"),
            ("storage_samples", "storage_samples", "storage"),
            ("traffic_deltas", "traffic_deltas", "traffic"),
            ("unit_counts", "unit_counts", "units"),
        )
        for part in ("events", "sources", "meters")
    },
    "unusable_intervals": ("usage/unusable_intervals", "events"),
    "unusable_conflicts": ("usage/unusable_intervals", "conflicts"),
    "organisations": ("accounts/organisations", "rows"),
    "prices": ("accounts/prices", "rows"),
    "refused_prices": ("accounts/refused_prices", "rows"),
    "spend_rules": ("accounts/spend_rules", "rows"),
}

_ONE_TABLE_MAY_BE_SEVERAL_SOURCES = DagsterDbtTranslatorSettings(enable_duplicate_source_asset_keys=True)


class RatingFailed(RuntimeError):
    """dbt could not build a month, or one of its tests failed; nothing of the month was published."""


class RatingTranslator(DagsterDbtTranslator):
    """Keys models `rating/<model>` and sources as the published tables they read; descriptions without the SQL."""

    def __init__(self, settings: DagsterDbtTranslatorSettings) -> None:
        super().__init__(settings)
        # Every node asks for those it reads, and they for theirs: without it each path through the models is walked.
        self._specs: dict[str, dg.AssetSpec] = {}

    def get_asset_spec(self, manifest: Mapping[str, Any], unique_id: str, project: Any) -> dg.AssetSpec:
        """The asset of a dbt node."""
        if unique_id not in self._specs:
            self._specs[unique_id] = self._make_spec(manifest, unique_id, project)
        return self._specs[unique_id]

    def _make_spec(self, manifest: Mapping[str, Any], unique_id: str, project: Any) -> dg.AssetSpec:
        spec = super().get_asset_spec(manifest, unique_id, project)
        node = self.get_resource_props(manifest, unique_id)
        if node["resource_type"] == "source":
            # What a run writes itself has no table; prices are there whatever was used.
            table, _ = _SOURCES.get(node["name"], ("accounts/prices", ""))
            key = f"usage/{node['name']}" if node["name"] in SINGLE_CHARGES else table
            return spec.replace_attributes(key=dg.AssetKey(key.split("/")))
        read = [self.get_asset_spec(manifest, upstream, project) for upstream in node["depends_on"]["nodes"]]
        keys = {key for upstream in read for key in _tables_read(upstream)}
        return spec.replace_attributes(
            key=dg.AssetKey(["rating", node["name"]]),
            deps=sorted(keys),
            group_name="rating",
            description=node["description"],
            kinds={"dbt", "duckdb"},
        )

    def get_asset_check_spec(
        self, asset_spec: dg.AssetSpec, manifest: Mapping[str, Any], unique_id: str, project: Any
    ) -> dg.AssetCheckSpec | None:
        """The check of a dbt test; whatever else it reads is made in the same step."""
        check = super().get_asset_check_spec(asset_spec, manifest, unique_id, project)
        if check is None:
            return None
        return dg.AssetCheckSpec(
            name=check.name,
            asset=check.asset_key,
            description=self.get_resource_props(manifest, unique_id)["description"],
            metadata=check.metadata,
            blocking=check.blocking,
        )


def _tables_read(upstream: dg.AssetSpec) -> list[dg.AssetKey]:
    """What stands in the lineage for a node that is read: for a staging view, the published tables behind it."""
    is_view = upstream.key.path[-1].startswith("stg_")
    return [dependency.asset_key for dependency in upstream.deps] if is_view else [upstream.key]


def prepare_manifest() -> Path:
    """The manifest of the dbt project, made again where a source is newer than it."""
    sources = [
        file for folder in ("models", "macros", "tests") for file in (_PROJECT / folder).rglob("*") if file.is_file()
    ]
    newest = max(file.stat().st_mtime for file in [*sources, _PROJECT / "dbt_project.yml", _PROJECT / "profiles.yml"])
    if not _MANIFEST.exists() or _MANIFEST.stat().st_mtime < newest:
        target = _PROJECT / f"target/.parse-{os.getpid()}"
        target.mkdir(parents=True, exist_ok=True)
        _run_dbt(dbtRunner(), ["parse"], target, target, Settings())
        (target / _PARSED.name).replace(_PARSED)
        (target / _MANIFEST.name).replace(_MANIFEST)
        shutil.rmtree(target)
    return _MANIFEST


@cache
def _parsed() -> Manifest:
    """The project as it was parsed when this module was loaded; every build compiles it again."""
    return Manifest.from_msgpack(_PARSED.read_bytes())


def build_models(work: Path, target: Path, settings: Settings) -> dbtRunnerResult:
    """Build and test all models in a work folder; the project was parsed when this module was loaded.

    Raises:
        RatingFailed: dbt itself stopped; that a model or test failed stands in what is returned.
    """
    return _run_dbt(
        dbtRunner(manifest=_parsed()),
        ["build", "--exclude-resource-type", "unit_test", "--no-write-json"],
        work,
        target,
        settings,
    )


def _run_dbt(runner: dbtRunner, arguments: list[str], work: Path, target: Path, settings: Settings) -> dbtRunnerResult:
    """Run dbt in this process, in a work folder; afterwards no connection to its file is open.

    The sources' paths are part of what was parsed, so the work folder is always the current one.
    """
    os.environ |= {
        "BILLING_WORK": ".",
        "BILLING_THREADS": str(settings.workers),
        "BILLING_MEMORY_LIMIT": f"{settings.memory_mb}MB",
        "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    }
    folders = ["--project-dir", str(_PROJECT), "--profiles-dir", str(_PROJECT), "--target-path", str(target)]
    quiet = ["--log-level-file", "none", "--log-level", "none", "--no-use-colors", "--no-version-check"]
    with chdir(work):
        outcome = runner.invoke([*arguments, *folders, *quiet])
    DuckDBConnectionManager.close_all_connections()
    if outcome.exception:
        message = f"dbt {arguments[0]} stopped: {outcome.exception}"
        raise RatingFailed(message) from outcome.exception
    return outcome


@dbt_assets(
    manifest=prepare_manifest(),
    name="rating__charges",
    partitions_def=billing_month,
    backfill_policy=dg.BackfillPolicy.single_run(),
    dagster_dbt_translator=RatingTranslator(_ONE_TABLE_MAY_BE_SEVERAL_SOURCES),
    # A staging view is its published table under dbt's name; recording it as well would cost a month a second.
    select="billing_rating.intermediate billing_rating.marts",
    exclude="resource_type:unit_test",
)
def rating(
    context: dg.AssetExecutionContext, billing: dg.ResourceParam[Billing]
) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
    """Rate each month of the run and publish its marts."""
    rated: dict[str, RatedMonth] = {}
    with _work_folder(billing, context.run_id) as work:
        for key in context.partition_keys:
            rated[key] = _rate(billing, Month.parse(key), work)
    built = next(iter(rated.values())).models
    specs = {str(spec.metadata["dagster_dbt/unique_id"]): spec for spec in context.assets_def.specs}
    for spec in (specs[model] for model in built if model in specs):
        if spec.key in context.selected_asset_keys:
            rows = sum(month.rows.get(spec.key.path[-1], 0) for month in rated.values())
            is_mart = spec.key.path[-1] in MARTS
            yield dg.MaterializeResult(asset_key=spec.key, metadata={"dagster/row_count": rows} if is_mart else {})
    for check in context.assets_def.check_specs:
        if check.key in context.selected_asset_check_keys:
            outcomes = {key: month.tests[str(check.metadata["dagster_dbt/unique_id"])] for key, month in rated.items()}
            yield dg.AssetCheckResult(
                asset_key=check.asset_key,
                check_name=check.name,
                passed=all(outcome.is_passed for outcome in outcomes.values()),
                severity=dg.AssetCheckSeverity.ERROR if check.blocking else dg.AssetCheckSeverity.WARN,
                metadata={key: outcome.message for key, outcome in outcomes.items()},
            )


class Outcome(NamedTuple):
    """What a dbt test said."""

    is_passed: bool
    message: str


@dataclass(frozen=True)
class RatedMonth:
    """What one dbt build did; it is only there if every test passed, or only warns."""

    #: dbt's ids of the models in the order in which they were built.
    models: list[str]
    #: What each test said, by dbt's id.
    tests: dict[str, Outcome]
    #: Rows per published mart.
    rows: dict[str, int]


@contextmanager
def _work_folder(billing: Billing, run_id: str) -> Iterator[Path]:
    """A scratch folder of one run, removed when it ends."""
    work = billing.settings.home.resolve() / "work" / run_id
    (work / "inputs").mkdir(parents=True)
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def earlier_runs(billing: Billing, month: Month, charges: Generation) -> Generation | None:
    """What the month before had carried on when a month was charged; None where it was the first one or none asked."""
    generation = charges.manifest["inputs"].get(_EARLIER)
    return billing.warehouse.generation(_CARRIED, partition(month.previous), generation) if generation else None


def _counts_granules(billing: Billing, month: Month) -> bool:
    """Whether a price of the month depends on how long runs have lasted before it; else months are rated apart.

    A run that lasts over a whole month without such a price is longer than any minimum, and granules of a price that
    begins later count from its beginning: so what was carried before that month is not missed.
    """
    prices = billing.read("accounts/prices", month).read()
    return bool(
        prices.select(pl.any_horizontal(pl.col("granularity_seconds", "minimum_seconds").is_not_null()).any()).item()
    )


def rate_otherwise(
    billing: Billing, month: Month, earlier: Generation | None, instead: Mapping[str, pl.DataFrame]
) -> dict[str, pl.DataFrame]:
    """The marts of a month under other inputs, by name; nothing is published.

    Args:
        billing: the home; the tables that it reads are the inputs.
        month: a month whose usage and accounts are published.
        earlier: the `rating/carried_runs` of the month before; None for the first month of a home.
        instead: dbt source -> the rows it has instead of the published ones.

    Raises:
        RatingFailed: a model could not be built or a test failed.
    """
    with _work_folder(billing, f"otherwise-{uuid4()}") as work:
        _build(billing, month, work, earlier, instead)
        with open_work_file(work / _WORK_FILE, threads=billing.settings.workers) as built:
            for mart, order in MARTS.items():
                built.copy(mart, order, work / f"{mart}.parquet")
        return {mart: pl.read_parquet(work / f"{mart}.parquet") for mart in MARTS}


def _rate(billing: Billing, month: Month, work: Path) -> RatedMonth:
    """Build and publish one month.

    Raises:
        RatingFailed: a model could not be built or a test failed.
    """
    earlier = billing.predecessor(_CARRIED, month) if _counts_granules(billing, month) else None
    read, outcome = _build(billing, month, work, earlier)
    rows = {}
    with open_work_file(work / _WORK_FILE, threads=billing.settings.workers) as built:
        for mart, order in MARTS.items():
            with billing.warehouse.publishing(
                f"rating/{mart}", partition(month), as_of=billing.as_of(month), inputs=inputs_of(read)
            ) as publication:
                built.copy(mart, order, publication.path("rows.parquet"))
            rows[mart] = publication.generation.manifest["files"]["rows.parquet"]["rows"]
    nodes = {str(result.node.unique_id): result for result in outcome.result}
    return RatedMonth(
        models=[name for name, result in nodes.items() if result.node.resource_type == "model"],
        tests={
            name: Outcome(result.status != "warn", str(result.message or result.status))
            for name, result in nodes.items()
        },
        rows=rows,
    )


def _build(
    billing: Billing,
    month: Month,
    work: Path,
    earlier: Generation | None,
    instead: Mapping[str, pl.DataFrame] = MappingProxyType({}),
) -> tuple[dict[str, Generation], dbtRunnerResult]:
    """Build one month in the work folder, and say what it was built from.

    Raises:
        RatingFailed: a model could not be built or a test failed.
    """
    read = _link_inputs(billing, month, work / "inputs", earlier)
    for source, rows in instead.items():
        # Away with the link first: what it links to is published.
        (work / "inputs" / f"{source}.parquet").unlink()
        rows.write_parquet(work / "inputs" / f"{source}.parquet")
    (work / _WORK_FILE).unlink(missing_ok=True)
    outcome = build_models(work, work / "target", billing.settings)
    failed = [result for result in outcome.result or [] if result.status not in ("success", "pass", "warn")]
    if failed or not outcome.success:
        words = "; ".join(f"{result.node.name}: {result.message}" for result in failed if result.status != "skipped")
        message = f"{month} was not rated, and nothing of it was published: {words}"
        raise RatingFailed(message)
    return read, outcome


def _link_inputs(billing: Billing, month: Month, inputs: Path, earlier: Generation | None) -> dict[str, Generation]:
    """Put the month's published tables where dbt reads them, and beside them the run's period and the month before."""
    for stale in inputs.iterdir():
        stale.unlink()
    read: dict[str, Generation] = {}
    for source, (table, part) in _SOURCES.items():
        read[table] = billing.read(table, month)
        os.link(read[table].file(f"{part}.parquet"), inputs / f"{source}.parquet")
    for feed in SINGLE_CHARGES:
        landed = read[f"usage/{feed}"] = billing.read(f"usage/{feed}", month)
        events = landed.read("events").select("source", "event_id")
        located = pl.concat([events, landed.read("sources")], how="horizontal")
        exact = enter_single_charges(landed).rows
        exact.join(located, on=["source", "event_id"]).write_parquet(inputs / f"{feed}.parquet")
    _leave_out_refused(billing, month, read, inputs)
    period = billing.period(month)
    pl.DataFrame(
        {
            "billing_month": [str(month)],
            "period_start": [period.start],
            "period_end": [period.end],
            "period_start_us": [period.start_us],
            "period_end_us": [period.end_us],
            "next_sees_us": [period.end_us - NEAR_US],
            "day_starts_us": [period.day_starts_us],
        }
    ).write_parquet(inputs / "run_period.parquet")
    if earlier:
        read[_EARLIER] = earlier
        os.link(earlier.file("rows.parquet"), inputs / "earlier_runs.parquet")
    else:
        CarriedRuns.create_empty().write_parquet(inputs / "earlier_runs.parquet")
    currencies = {"currency": list(MINOR_DIGITS), "digits": list(MINOR_DIGITS.values())}
    pl.DataFrame(currencies, schema={"currency": pl.String, "digits": pl.Int32}).write_parquet(
        inputs / "currencies.parquet"
    )
    _heartbeat_limits(billing.settings).write_parquet(inputs / "heartbeat_limits.parquet")
    return read


def _heartbeat_limits(settings: Settings) -> pl.DataFrame:
    """Nominal period and largest gap of heartbeats per source, and for all others without a source."""
    usual = HeartbeatSettings(period_s=settings.heartbeat_period_s, gap_s=settings.heartbeat_gap_s)
    limits = [(None, usual), *sorted(settings.heartbeat_sources.items())]
    return pl.DataFrame(
        [(source, limit.period_s * 1_000_000, limit.gap_s * 1_000_000) for source, limit in limits],
        schema={"source": pl.String, "nominal_us": pl.Int64, "gap_us": pl.Int64},
        orient="row",
    )


def _leave_out_refused(billing: Billing, month: Month, read: Mapping[str, Generation], inputs: Path) -> None:
    """Write the inputs anew that hold usage of unknown organisations, or dated after one closed, without it."""
    for table, usage in read.items():
        refused = refused_usage(billing, month, usage) if table in USAGE_TABLES else pl.DataFrame()
        if refused.is_empty():
            continue
        feed = table.removeprefix("usage/")
        if not FEEDS[feed].is_metered:
            file = inputs / f"{feed}.parquet"
            pl.read_parquet(file).join(refused, on=["source", "event_id"], how="anti").write_parquet(file)
            continue
        for source, (origin, part) in _SOURCES.items():
            if origin == table and part in ("events", "sources"):
                # Away with the link first: what it links to is published.
                (inputs / f"{source}.parquet").unlink()
                without_refused(usage.read(part), refused).write_parquet(inputs / f"{source}.parquet")

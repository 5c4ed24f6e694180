"""One way to define a monthly table asset: loop over the run's months in order, publish each, report what was done.

That a month starts from the one before is enforced where it is read (`billing.predecessor`), not declared to Dagster:
its backfills follow a self-dependency into every later month, whatever range was asked for.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

import dagster as dg
import polars as pl

from billing_pipeline.defs.billing import Billing
from billing_pipeline.defs.partitions import billing_month
from billing_pipeline.defs.unrecorded import unrecorded
from billing_pipeline.documents.formatting import format_money
from billing_pipeline.rules.equations import Equation
from billing_pipeline.rules.period import Month

#: Run configuration of what is materialised without a log on the console.
QUIET: Mapping[str, object] = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


class EquationBroken(RuntimeError):
    """A whole-month equation does not hold; nothing after it may run."""


@dataclass(frozen=True)
class Report:
    """What happened to one table of one month."""

    #: Counts, amounts, links; shown beside the materialisation.
    metadata: Mapping[str, object] = field(default_factory=dict)
    #: Results of the equations that the table's checks name.
    equations: Sequence[Equation] = ()
    #: Results of what the table's warnings name.
    warnings: Sequence[Equation] = ()


@dataclass(frozen=True)
class Table:
    """A published monthly table as an asset."""

    #: `<stage>/<noun>`.
    key: str
    #: What it is to the business; ends "One row per …".
    description: str
    #: Keys of the tables it is made from.
    deps: Sequence[str] = ()
    #: Blocking equations it is published under: name and sentence.
    checks: Mapping[str, str] = field(default_factory=dict)
    #: What somebody should look at without anything having to wait: name and sentence.
    warnings: Mapping[str, str] = field(default_factory=dict)
    #: The months that it can be made for.
    months: dg.PartitionsDefinition = billing_month

    @property
    def path(self) -> list[str]:
        """The asset key's parts."""
        return self.key.split("/")

    def spec(self, kind: str) -> dg.AssetSpec:
        """The asset."""
        return dg.AssetSpec(
            self.path,
            deps=[dg.AssetDep(key.split("/")) for key in self.deps],
            description=self.description,
            group_name=self.path[0],
            kinds={kind},
            partitions_def=self.months,
        )

    def check_specs(self) -> list[dg.AssetCheckSpec]:
        """The equations as checks that block, the warnings as checks that do not."""
        return [
            dg.AssetCheckSpec(name, asset=self.path, description=sentence, blocking=name in self.checks)
            for name, sentence in {**self.checks, **self.warnings}.items()
        ]


#: Materialises one month of some tables: key -> what happened to it.
Step = Callable[[dg.AssetExecutionContext, Billing, Month], Mapping[str, Report]]


def monthly_assets(*tables: Table, kind: str = "polars") -> Callable[[Step], dg.AssetsDefinition]:
    """Turn a function that materialises one month of `tables` into assets that materialise any range of months."""

    def decorate(step: Step) -> dg.AssetsDefinition:
        @dg.multi_asset(
            name=tables[0].key.replace("/", "__"),
            description=step.__doc__,
            specs=[table.spec(kind) for table in tables],
            check_specs=[check for table in tables for check in table.check_specs()],
            backfill_policy=dg.BackfillPolicy.single_run(),
        )
        def materialise(
            context: dg.AssetExecutionContext, billing: dg.ResourceParam[Billing]
        ) -> Iterator[dg.MaterializeResult | dg.AssetCheckResult]:
            reports: dict[str, dict[str, Report]] = {table.key: {} for table in tables}
            for month in context.partition_keys:
                for key, report in step(context, billing, Month.parse(month)).items():
                    reports[key][month] = report
                    context.add_asset_metadata(report.metadata, asset_key=key.split("/"), partition_key=month)
                broken = [
                    f"{month}: {equation.sentence}"
                    for by_month in reports.values()
                    for equation in by_month[month].equations
                    if not equation.holds
                ]
                if broken:
                    for table in tables:
                        yield from _check_results(table, reports[table.key])
                    raise EquationBroken("; ".join(broken))
            for table in tables:
                yield dg.MaterializeResult(
                    asset_key=table.path,
                    check_results=list(_check_results(table, reports[table.key])),
                )

        return materialise

    return decorate


def _check_results(table: Table, reports: Mapping[str, Report]) -> Iterator[dg.AssetCheckResult]:
    """One result per equation and warning; the figures of every month stand in its metadata."""
    by_name: dict[str, dict[str, Equation]] = {}
    for month, report in reports.items():
        for equation in (*report.equations, *report.warnings):
            by_name.setdefault(equation.name, {})[month] = equation
    for name, equations in by_name.items():
        yield dg.AssetCheckResult(
            asset_key=table.path,
            check_name=name,
            passed=all(equation.holds and not equation.broken for equation in equations.values()),
            severity=_severity(equations.values()) if name in table.checks else dg.AssetCheckSeverity.WARN,
            description="; ".join(f"{month}: {equation.sentence}" for month, equation in equations.items()),
            metadata={
                f"{month} {figure}": value
                for month, equation in equations.items()
                for figure, value in equation.figures.items()
            },
        )


def _severity(equations: Iterable[Equation]) -> dg.AssetCheckSeverity:
    holds = all(equation.holds for equation in equations)
    return dg.AssetCheckSeverity.WARN if holds else dg.AssetCheckSeverity.ERROR


def assets_of(*modules: object) -> list[dg.AssetsDefinition]:
    """The assets that modules define, also in lists."""
    values = [value for module in modules for value in vars(module).values()]
    members = [member for value in values for member in (value if isinstance(value, list) else [value])]
    return [member for member in members if isinstance(member, dg.AssetsDefinition)]


def materialise_aside(
    billing: Billing,
    month: Month,
    assets: Sequence[dg.AssetsDefinition],
    selection: dg.AssetSelection | None = None,
) -> None:
    """Materialise a month for a home that is not the run's own; Dagster keeps nothing of it.

    Args:
        billing: where it is published: a home aside, or a scratch one.
        month: the month.
        assets: all that are selected from.
        selection: which of them; all where it is absent.
    """
    dg.materialize(
        assets,
        instance=unrecorded(),
        resources={"billing": billing},
        selection=selection,
        run_config=QUIET,
        # As a range of one: Dagster knows a single partition only once its clock says that the month has ended.
        tags={"dagster/asset_partition_range_start": str(month), "dagster/asset_partition_range_end": str(month)},
    )


def total_amounts(rows: pl.DataFrame, *amounts: str) -> dict[str, str]:
    """Sums of `<amount>_cents` over all rows as people read them, by currency."""
    return {
        f"{amount} {currency}": format_money(int(of_currency[f"{amount}_cents"].sum()), str(currency))
        for (currency,), of_currency in rows.sort("currency").group_by("currency", maintain_order=True)
        for amount in amounts
    }

"""Usage becomes clean: raw rows are checked, deduplicated and corrected once, and every row is accounted for."""

from collections.abc import Callable, Mapping
from dataclasses import replace

import dagster as dg
import polars as pl

from billing_pipeline.adapters.landing import day_end
from billing_pipeline.defs.accounts import ACCOUNTS
from billing_pipeline.defs.admission import quarantine_strangers, refused_usage, usage_has_an_owner
from billing_pipeline.defs.billing import Billing, as_of, inputs_of, partition
from billing_pipeline.defs.flagging import flag_usage, nothing_is_flagged
from billing_pipeline.defs.monthly import Report, Table, monthly_assets
from billing_pipeline.intake.contracts import FEEDS, USAGE_FEEDS, Feed
from billing_pipeline.intake.months import publish_usage
from billing_pipeline.intake.unread import receipts_of_unread
from billing_pipeline.intake.windows import Window
from billing_pipeline.rules.accounts import Accounts, enter_one_shots, enter_vendor_charges
from billing_pipeline.rules.equations import rows_are_conserved
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.usage import FileReceipts, LateArrivals, Quarantine
from billing_pipeline.warehouse import Generation


class UnknownFeed(ValueError):
    """The settings need sources of a feed that is none of usage."""


class NoUsageSeen(RuntimeError):
    """The run's `as_of` hides all usage that has landed."""


#: Clean usage by feed.
USAGE_TABLES = tuple(f"usage/{feed.name}" for feed in USAGE_FEEDS)

_WHAT = {
    "runtime_intervals": "When instances ran, and with which flavour. "
    "One row per run that touches the month, or starts right at its end.",
    "runtime_heartbeats": "When instances were seen, running or powered off. "
    "One row per sample within the month, or within a day of its edges.",
    "unusable_intervals": "When instances could not be used because of the platform. "
    "One row per instance and fault that touches the month, or a day beside it.",
    "storage_samples": "How much was stored. One row per resource, metric and instant at which its size was read.",
    "traffic_deltas": "How much was moved. One row per resource, metric and measured interval that ends in the month.",
    "unit_counts": "How many users or seats there were. One row per resource, metric and instant of counting.",
    "one_shots": "Interventions, services and subscriptions. One row per charge performed in the month.",
    "vendor_charges": "What third parties charge for add-ons. One row per charge dated in the month.",
}


#: Feeds of single charges: the column of their instant, and how their rows become exact.
SINGLE_CHARGES: dict[str, tuple[str, Callable[[pl.DataFrame], Accounts]]] = {
    "one_shots": ("performed", enter_one_shots),
    "vendor_charges": ("charged", enter_vendor_charges),
}


def enter_single_charges(landed: Generation) -> Accounts:
    """The charges of a month of one of these feeds, exact, and the problems of owners whose rows do not fit."""
    instant, enter = SINGLE_CHARGES[landed.table.removeprefix("usage/")]
    return enter(landed.read("events").rename({f"{instant}_us": f"{instant}_at"}))


def _feed_asset(feed: Feed) -> dg.AssetsDefinition:
    @monthly_assets(Table(f"usage/{feed.name}", _WHAT[feed.name]), kind="duckdb")
    def clean(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
        """Clean what has landed and publish the month's share."""
        table = f"usage/{feed.name}"
        predecessor = billing.predecessor(table, month)
        window = _taken_in(billing, table, month, billing.window(month, predecessor))
        needed = _needed_sources(billing, feed)
        generation = publish_usage(
            feed,
            window,
            billing.landing,
            billing.warehouse,
            billing.limits,
            predecessor=predecessor,
            needed_sources=needed - billing.without_sources,
        )
        files = generation.manifest["files"]
        counts = {
            "dagster/row_count": files["events.parquet"]["rows"],
            "carried_rows": files["carried.parquet"]["rows"],
            "quarantined_rows": files["quarantine.parquet"]["rows"],
            "as_of": window.as_of.isoformat(),
        }
        skipped = sorted(needed & billing.without_sources)
        if skipped:
            context.log.warning("%s %s: not required, as asked: %s", feed.name, month, ", ".join(skipped))
            counts["without_sources"] = skipped
        context.log.info("%s %s: %s clean rows", feed.name, month, counts["dagster/row_count"])
        return {table: Report(counts)}

    return clean


def _taken_in(billing: Billing, table: str, month: Month, window: Window) -> Window:
    """The window of a feed's month; what came too late for an issued month is refused by later ones, and not seen."""
    issued = billing.books.issued_month(month)
    last = billing.warehouse.current(table, partition(month.back(-billing.settings.late_months)))
    if issued is None or last is None:
        return window
    return replace(window, as_of=min(window.as_of, max(issued.as_of, as_of(last))))


def _needed_sources(billing: Billing, feed: Feed) -> set[str]:
    """The sources that a month of a feed needs."""
    unknown = sorted(set(billing.settings.needed_sources) - {known.name for known in USAGE_FEEDS})
    if unknown:
        message = f"settings: needed_sources names {', '.join(unknown)}; usage feeds are {', '.join(_WHAT)}"
        raise UnknownFeed(message)
    return set(billing.settings.needed_sources.get(feed.name, ()))


usage_assets = [_feed_asset(feed) for feed in USAGE_FEEDS]


@monthly_assets(
    Table(
        "usage/file_receipts",
        "What became of each raw file's rows. One row per raw file that landed since the month before.",
        deps=[*USAGE_TABLES, *ACCOUNTS],
        checks={"rows_are_conserved": "Input = accepted + duplicate + superseded + quarantined."},
    ),
    Table(
        "usage/quarantine",
        "Raw rows that were refused, with the reason. One row per refused raw row.",
        deps=[*USAGE_TABLES, *ACCOUNTS],
        warnings={"usage_has_an_owner": "All usage is of organisations that are known and not closed yet."},
    ),
    Table(
        "usage/flags",
        "Usage that looks wrong but is billed as it stands. One row per feed, owner and reason.",
        deps=[*USAGE_TABLES, *ACCOUNTS],
        warnings={"nothing_is_flagged": "No usage or name looks wrong."},
    ),
    Table(
        "usage/late_arrivals",
        "Usage that came after its month was closed. One row per feed and older month.",
        deps=[*USAGE_TABLES, *ACCOUNTS],
    ),
)
def receipts(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Gather what every feed says of its raw rows."""
    read = {table: billing.read(table, month) for table in (*USAGE_TABLES, *ACCOUNTS)}
    clean_rows = sum(read[table].manifest["files"]["events.parquet"]["rows"] for table in USAGE_TABLES)
    _require_visible_usage(billing, month, clean_rows)
    window = billing.window(month, billing.predecessor("usage/file_receipts", month))
    unread = receipts_of_unread(billing.landing, window)
    if unread.height:
        context.log.warning("%s files of feeds that are not read: %s", unread.height, unread["feed"].unique().to_list())
    strangers = {table: refused_usage(billing, month, read[table]) for table in USAGE_TABLES}
    quarantined = quarantine_strangers(billing, month, _gather(read, "receipts"), read, strangers)
    files = FileReceipts.validate(pl.concat([quarantined.receipts, unread]))
    refused = Quarantine.validate(pl.concat([_gather(read, "quarantine"), quarantined.rows]))
    late = LateArrivals.validate(_gather(read, "late"))
    flags = flag_usage(billing, month, read)
    with billing.warehouse.publishing(
        "usage/flags", partition(month), as_of=billing.as_of(month), inputs=inputs_of(read)
    ) as publication:
        publication.write("rows", flags.rows)
        publication.write("problems", flags.problems)
    published = {"usage/file_receipts": files, "usage/quarantine": refused, "usage/late_arrivals": late}
    for table, rows in published.items():
        billing.warehouse.publish(table, partition(month), rows, as_of=billing.as_of(month), inputs=inputs_of(read))
    reasons = dict(refused["reason"].value_counts(sort=True).iter_rows())
    return {
        "usage/file_receipts": Report(
            {
                "dagster/row_count": files.height,
                "refused_files": files["refused_reason"].count(),
                "duplicate_rows": int(files["duplicate_rows"].sum()),
                "superseded_rows": int(files["superseded_rows"].sum()),
            },
            [rows_are_conserved(files, refused.height - quarantined.landed_before)],
        ),
        "usage/quarantine": Report(
            {"dagster/row_count": refused.height, "reasons": reasons},
            warnings=[usage_has_an_owner(strangers, billing.period(month))],
        ),
        "usage/flags": Report({"dagster/row_count": flags.rows.height}, warnings=[nothing_is_flagged(flags.rows)]),
        "usage/late_arrivals": Report({"dagster/row_count": late.height, "late_rows": int(late["late_rows"].sum())}),
    }


def _gather(read: Mapping[str, object], part: str) -> pl.DataFrame:
    """One part of every generation that has it, as one frame in feed order."""
    frames = [
        generation.read(part) for generation in read.values() if f"{part}.parquet" in generation.manifest["files"]
    ]
    return pl.concat(frames)


def _require_visible_usage(billing: Billing, month: Month, clean_rows: int) -> None:
    """Stop a month that sees nothing although usage lies in the landing folder, and say which `as_of` helps."""
    if clean_rows:
        return
    newest = max((day for day in (billing.landing.newest_day(feed.name) for feed in USAGE_FEEDS) if day), default=None)
    if newest is None or any(
        billing.landing.days(name, billing.as_of(month)) for name in FEEDS if FEEDS[name].is_usage
    ):
        return
    helps = f"{day_end(newest):%Y-%m-%dT%H:%M:%SZ}"
    message = (
        f"{month} sees no usage as of {billing.as_of(month):%Y-%m-%dT%H:%M:%SZ}, although files landed up to {newest}; "
        f"history that landed late is billed with --as-of {helps}"
    )
    raise NoUsageSeen(message)

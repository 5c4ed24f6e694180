"""The flags of a month's usage, and who is parked for usage that cannot be believed: see `rules.flags`."""

from collections.abc import Mapping
from typing import NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.defs.billing import Billing
from billing_pipeline.rules.equations import Equation
from billing_pipeline.rules.flags import (
    collect_flags,
    flag_deltas,
    flag_languages,
    flag_names,
    flag_registrations,
    flag_runs,
    flag_samples,
    too_long_runs,
)
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.accounts import Organisations, Owners
from billing_pipeline.tables.usage import UsageFlags
from billing_pipeline.warehouse import Generation


class Flagged(NamedTuple):
    """What looks wrong in a month."""

    rows: dy.DataFrame[UsageFlags]
    #: `owner_id`, `reason`, `detail` of owners to park.
    problems: pl.DataFrame


def flag_usage(billing: Billing, month: Month, read: Mapping[str, Generation]) -> Flagged:
    """Look through the month's clean usage and organisations.

    Args:
        billing: the home, for the limits.
        month: the billed month.
        read: published usage and accounts, by table.
    """
    period, limits = billing.period(month), billing.settings.flag_limits
    runs, meters = _read(read["usage/runtime_intervals"], "started_us", "stopped_us")
    samples, stores = _read(read["usage/storage_samples"], "sampled_us", "bytes")
    deltas, flows = _read(read["usage/traffic_deltas"], "started_us", "bytes")
    customers = read["accounts/organisations"]
    organisations = customers.typed(Organisations)
    flags = {
        "runtime_intervals": [flag_runs(runs, meters, period, limits)],
        "storage_samples": [flag_samples(samples, stores, period, limits)],
        "traffic_deltas": [flag_deltas(deltas, flows)],
        "organisations": [
            flag_names(organisations, customers.typed(Owners, "owners")),
            flag_registrations(organisations),
            flag_languages(organisations),
        ],
    }
    return Flagged(collect_flags(flags), too_long_runs(runs, meters).sort("owner_id"))


def nothing_is_flagged(flags: dy.DataFrame[UsageFlags]) -> Equation:
    """Nothing looks wrong; else how many rows of each kind do."""
    counts = flags.group_by("reason").agg(pl.col("rows").sum()).sort("reason")
    figures = {str(reason): int(rows) for reason, rows in counts.iter_rows()}
    said = ", ".join(f"{reason} {rows:,}" for reason, rows in figures.items()) or "nothing"
    sentence = f"what looks wrong but is billed (billing show usage/flags MONTH): {said}"
    return Equation("nothing_is_flagged", sentence, figures, not figures)


def _read(usage: Generation, *columns: str) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Columns of a feed's events, and its meters."""
    events = pl.read_parquet(usage.file("events.parquet"), columns=["meter_id", *columns], hive_partitioning=False)
    return events, usage.read("meters")

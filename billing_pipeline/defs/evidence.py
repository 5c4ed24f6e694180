"""What vouches for charges: the raw files they name, and the runs they bill."""

import polars as pl

from billing_pipeline.defs.billing import Billing, partition
from billing_pipeline.rules.equations import Equation, every_line_has_sources, seconds_are_conserved
from billing_pipeline.rules.parking import without
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.rating import ChargeSources


def receipts_of_files(billing: Billing, month: Month, files: pl.DataFrame) -> pl.DataFrame:
    """`feed`, `file_id`, `path`, `sha256` of raw files as the month or an older one received them.

    Most files landed since the month before; only what an open run or a held size came with is looked for further
    back, as far as it takes.

    Args:
        billing: the home.
        month: the month whose rows name the files.
        files: `feed` and `file_id`, any number of times.
    """
    missing = files.select("feed", "file_id").unique()
    found = []
    while missing.height and (generation := billing.warehouse.current("usage/file_receipts", partition(month))):
        receipts = generation.read().select("feed", "file_id", "path", "sha256")
        found.append(receipts.join(missing, on=["feed", "file_id"], how="semi"))
        missing = missing.join(receipts, on=["feed", "file_id"], how="anti")
        month = month.previous
    nothing = pl.DataFrame(schema=dict.fromkeys(("feed", "file_id", "path", "sha256"), pl.String))
    return pl.concat([nothing, *found])


def check_charges(billing: Billing, month: Month, charges: pl.DataFrame, parked: pl.DataFrame) -> list[Equation]:
    """Charges lead to raw rows, those with documents of their own, too, and bill what ran."""
    specific = without(billing.read("rating/specific_charges", month).read(), parked)
    named = ("line_id", "payer_id")
    charges = pl.concat([charges.select(named), specific.select(named)])
    sources = ChargeSources.validate(
        billing.read("rating/charge_sources", month).read().join(charges, on="line_id", how="semi")
    )
    receipts = receipts_of_files(billing, month, sources)
    return [every_line_has_sources(charges, sources, receipts), _check_seconds(billing, month)]


def _check_seconds(billing: Billing, month: Month) -> Equation:
    """The runs against the segments; read by column, because runs are the one large table of the rating."""
    runs = pl.scan_parquet(billing.read("rating/runs", month).file("rows.parquet"), hive_partitioning=False)
    length_us = (pl.col("stopped_at") - pl.col("started_at")).dt.total_microseconds()
    run_us, longest_us = runs.select(length_us.cast(pl.Int128).sum(), length_us.max().alias("longest")).collect().row(0)
    segments = billing.read("rating/segments", month).read().filter(pl.col("basis") == "runtime")
    period = billing.period(month)
    owners = billing.read("accounts/organisations", month).read("owners")
    closing = owners.filter(pl.col("closes_at") < period.end).select("owner_id", "closes_at")
    after_close_us = 0
    if closing.height:
        meters = billing.read("rating/run_meters", month).read().join(closing, on="owner_id")
        late_us = (pl.col("stopped_at") - pl.max_horizontal("started_at", "closes_at")).dt.total_microseconds()
        closed_runs = runs.join(meters.select("meter_id", "closes_at").lazy(), on="meter_id")
        after_close_us = closed_runs.select(late_us.clip(lower_bound=0).cast(pl.Int128).sum()).collect().item()
    return seconds_are_conserved(
        int(run_us),
        int(after_close_us),
        int(segments["duration_us"].cast(pl.Int128).sum()),
        int(longest_us or 0),
        period.end_us - period.start_us,
        is_all_rated=billing.read("rating/unrated", month).read().is_empty(),
    )

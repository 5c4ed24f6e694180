"""Why a line is what it is: the time in which its price and payer applied, and the usage rows inside it."""

from collections.abc import Mapping
from datetime import datetime

import polars as pl

from billing_pipeline.rules.period import Period


def price_windows(
    line: Mapping[str, object], prices: pl.DataFrame, organisations: pl.DataFrame, period: Period
) -> pl.DataFrame:
    """When a line's price version was in force for its owner under its payer and price factor, within the period.

    Columns `window_start`, `window_end`; one row per version of the organisation's data.
    """
    price = prices.filter(
        pl.col("price_id") == line["price_id"], pl.col("price_factor_ppm") == line["price_factor_ppm"]
    ).head(1)
    valid_from = price["valid_from"][0] if price.height else period.start
    valid_to = (price["valid_to"][0] if price.height else None) or period.end
    return (
        organisations.filter(
            pl.col("owner_id") == line["owner_id"],
            pl.col("payer_id") == line["payer_id"],
            pl.col("price_factor_ppm") == line["price_factor_ppm"],
        )
        .select(
            window_start=pl.max_horizontal("valid_from", pl.lit(max(valid_from, period.start))),
            window_end=pl.min_horizontal("valid_to", pl.lit(min(valid_to, period.end))),
        )
        .filter(pl.col("window_start") < pl.col("window_end"))
        .sort("window_start")
    )


def events_of_line(events: pl.DataFrame, meters: pl.DataFrame, line: Mapping[str, object]) -> pl.DataFrame:
    """The clean usage rows of a line's meter, with their raw file and row, in order of time."""
    meter = meters.filter(
        pl.all_horizontal(pl.col(name) == line[name] for name in ("owner_id", "resource_id", "slug", "zone"))
    ).select("meter_id")
    return events.join(meter, on="meter_id", how="semi")


def inside(events: pl.DataFrame, windows: pl.DataFrame, start: str, stop: str) -> pl.DataFrame:
    """Intervals cut to the windows they touch, as `from`, `to` and `duration_us`; open ends run to the window's end."""
    return (
        events.join(windows, how="cross")
        .with_columns(
            pl.max_horizontal(start, "window_start").alias("from"),
            pl.min_horizontal(pl.col(stop).fill_null(pl.col("window_end")), "window_end").alias("to"),
        )
        .filter(pl.col("from") < pl.col("to"))
        .with_columns(duration_us=(pl.col("to") - pl.col("from")).dt.total_microseconds())
        .sort("from", "to")
    )


def instants(events: pl.DataFrame) -> pl.DataFrame:
    """Microsecond columns `…_us` as UTC instants `…_at`."""
    columns = [name for name in events.columns if name.endswith("_us")]
    return events.with_columns(
        pl.from_epoch(pl.col(name), time_unit="us").dt.replace_time_zone("UTC").alias(name.removesuffix("_us") + "_at")
        for name in columns
    ).drop(columns)


def instant_text(instant: datetime | None) -> str:
    """An instant as feeds write it."""
    return "" if instant is None else instant.isoformat().replace("+00:00", "Z")

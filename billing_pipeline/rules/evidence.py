"""The usage rows behind a line: when its price applied, what was measured inside that time, and in which file."""

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from datetime import datetime
from itertools import pairwise
from typing import Any

import polars as pl

from billing_pipeline.rules.period import Period

_MICROSECOND = pl.duration(microseconds=1)


def price_windows(
    line: Mapping[str, Any], prices: pl.DataFrame, organisations: pl.DataFrame, period: Period
) -> pl.DataFrame:
    """When a line's price version was the one that counted for its owner under its payer and price factor.

    The month is cut wherever a price of that slug, the owner's or the payer's terms change, and ends where the owner
    closes. In each piece the most specific price counts: negotiated before public, the payer's currency before others,
    its zone before any.

    Returns:
        `window_start`, `window_end`, within the period; neighbours are one.
    """
    owners = list(organisations.filter(owner_id=line["owner_id"]).iter_rows(named=True))
    payers = list(organisations.filter(owner_id=line["payer_id"]).iter_rows(named=True))
    candidates = prices.filter(
        pl.col("slug") == line["slug"],
        pl.col("basis").cast(pl.String) == line["basis"],
        pl.col("price_factor_ppm") == line["price_factor_ppm"],
        pl.col("zone").is_null() | (pl.col("zone") == line["zone"]),
        pl.col("owner_id").is_null() | (pl.col("owner_id") == line["owner_id"]),
    ).unique("price_id")
    offers = list(candidates.iter_rows(named=True))
    bounds = {bound for row in (*owners, *payers, *offers) for bound in (row["valid_from"], row["valid_to"]) if bound}
    closes_at = owners[0]["closes_at"] if owners else None
    end = period.end if closes_at is None else min(period.end, max(period.start, closes_at))
    cuts = sorted({period.start, end, *(cut for cut in bounds if period.start < cut < end)})
    windows: list[tuple[datetime, datetime]] = []
    for start, end in pairwise(cuts):
        if _applies(line, next(_in_force(owners, start), None), next(_in_force(payers, start), None), offers, start):
            joined = windows.pop()[0] if windows and windows[-1][1] == start else start
            windows.append((joined, end))
    schema = dict.fromkeys(("window_start", "window_end"), pl.Datetime("us", "UTC"))
    return pl.DataFrame(windows, schema=schema, orient="row")


def _in_force(versions: list[dict[str, Any]], at: datetime) -> Iterator[dict[str, Any]]:
    return (row for row in versions if row["valid_from"] <= at and (row["valid_to"] is None or at < row["valid_to"]))


def _applies(
    line: Mapping[str, Any],
    owner: Mapping[str, Any] | None,
    payer: Mapping[str, Any] | None,
    offers: list[dict[str, Any]],
    at: datetime,
) -> bool:
    """Whether the line's price is the most specific one at an instant, under the line's payer and factor."""
    if owner is None or payer is None:
        return False
    if (owner["payer_id"], owner["price_factor_ppm"]) != (line["payer_id"], line["price_factor_ppm"]):
        return False
    offered = sorted(
        _in_force(offers, at),
        key=lambda price: (
            price["owner_id"] is not None,
            price["currency"] == payer["currency"],
            price["zone"] is not None,
        ),
    )
    return bool(offered) and offered[-1]["price_id"] == line["price_id"]


def series_of_line(
    feed: str, meters: pl.DataFrame, line: Mapping[str, Any], resources: Collection[str]
) -> pl.DataFrame:
    """The meters whose values a line may rest on: its own (`is_own`), and others that say how long those held.

    Args:
        feed: the usage feed.
        meters: its meters.
        line: the invoice line.
        resources: the resources it is of; several where they share it.

    Returns:
        `meter_id`, `series`, `is_own`: a value holds until the next one of its series.
    """
    is_own = pl.all_horizontal(pl.col(name) == line[name] for name in ("owner_id", "zone", "slug"))
    of_resources = meters.filter(pl.col("resource_id").is_in(list(resources)))
    # A heartbeat holds no longer than until the next one of its instance, whatever that runs as.
    others = of_resources if feed == "runtime_heartbeats" else of_resources.filter(slug=line["slug"])
    return others.select("meter_id", series="resource_id", is_own=is_own)


def usage_of_line(
    feed: str, events: pl.DataFrame, windows: pl.DataFrame, tier: Mapping[str, Any] | None, period: Period
) -> pl.DataFrame:
    """What a line was made of, cut to the time in which its price applied, in order of time.

    Args:
        feed: the usage feed.
        events: clean rows of the line's series with `series` and `is_own`, instants as columns `…_at`; heartbeats with
            `nominal_us` and `gap_us` of their source.
        windows: as `price_windows` returns them.
        tier: the line's tier (`tier_from`, `tier_to`, `tier_mode`); null where it has no price version.
        period: the billed month.

    Returns:
        The columns of `events`, with `from` and `to` where a row counts for a time.
    """
    own = pl.col("is_own")
    match feed:
        case "runtime_intervals":
            return _inside(events.filter(own), windows, "started_at", "stopped_at")
        case "runtime_heartbeats":
            return _inside(_held_heartbeats(events).filter(own), windows, "sampled_at", "until").drop("until")
        case "storage_samples":
            following = pl.col("sampled_at").shift(-1).over("series")
            held = events.sort("sampled_at").with_columns(until=following.fill_null(period.end))
            return _inside(held.filter(own & _reaches(tier)), windows, "sampled_at", "until").drop("until")
        case "traffic_deltas":
            counted = pl.max_horizontal("started_at", pl.col("stopped_at") - _MICROSECOND)
            moved = events.filter(own, pl.col("bytes") > 0).with_columns(counted_at=counted)
            within = (pl.col("counted_at") >= pl.col("window_start")) & (pl.col("counted_at") < pl.col("window_end"))
            return moved.join(windows, how="cross").filter(within).drop("window_start", "window_end").sort("counted_at")
        case _:
            # Every count took part in finding the largest; other feeds are shown as they are.
            instants = [name for name in events.columns if name.endswith("_at")]
            return events.sort(instants)


def _held_heartbeats(heartbeats: pl.DataFrame) -> pl.DataFrame:
    """Until when each heartbeat holds: the next one of its run, or the nominal period, but not beyond the next one."""
    following = (pl.col(name).shift(-1).over("instance_id") for name in ("sampled_at", "is_own"))
    next_at, is_next_own = following
    ordered = heartbeats.sort("sampled_at").with_columns(next_at=next_at, is_next_own=is_next_own)
    gap = (pl.col("next_at") - pl.col("sampled_at")).dt.total_microseconds()
    is_run_on = (gap <= pl.col("gap_us")) & pl.col("is_next_own")
    nominal = pl.col("sampled_at") + pl.duration(microseconds="nominal_us")
    until = pl.when(is_run_on).then("next_at").otherwise(pl.min_horizontal(nominal, "next_at"))
    return ordered.with_columns(until=until).drop("next_at", "is_next_own", "nominal_us", "gap_us")


def _reaches(tier: Mapping[str, Any] | None) -> pl.Expr:
    """Whether a stored size lies in the tier or, where that is graduated, reaches into it."""
    size = pl.col("bytes")
    if tier is None:
        return size > 0
    start, end = int(tier["tier_from"]), tier["tier_to"]
    if tier["tier_mode"] == "graduated":
        return size > start
    return (size > 0) & (size >= start) & (pl.lit(value=True) if end is None else size < int(end))


def _inside(events: pl.DataFrame, windows: pl.DataFrame, start: str, stop: str) -> pl.DataFrame:
    """Rows cut to the windows they touch, as `from`, `to`; open ends run to the window's end."""
    return (
        events.join(windows, how="cross")
        .with_columns(
            pl.max_horizontal(start, "window_start").alias("from"),
            pl.min_horizontal(pl.col(stop).fill_null(pl.col("window_end")), "window_end").alias("to"),
        )
        .filter(pl.col("from") < pl.col("to"))
        .drop("window_start", "window_end")
        .sort("from", "to")
    )


def instants(events: pl.DataFrame) -> pl.DataFrame:
    """Microsecond columns `…_us` as UTC instants `…_at`."""
    columns = [name for name in events.columns if name.endswith("_us")]
    return events.with_columns(
        pl.from_epoch(pl.col(name), time_unit="us").dt.replace_time_zone("UTC").alias(name.removesuffix("_us") + "_at")
        for name in columns
    ).drop(columns)


def identify_file(path: str, sha256: str) -> str:
    """The id of a raw file: of its place and its bytes, so the same bytes under two names are two files."""
    return hashlib.sha256(f"{path}|{sha256}".encode()).hexdigest()[:16]


def event_line_id(feed: str, month: str, source: str, event_id: str) -> str:
    """The id of the line that a one-off or a vendor's charge became, as rating computes it."""
    parts = [month, *(["vendor"] if feed == "vendor_charges" else []), source, event_id]
    key = json.dumps(parts, separators=(",", ":"), ensure_ascii=False)
    return hashlib.sha256(key.encode()).hexdigest()[:32]

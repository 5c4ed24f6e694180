"""Writes landing files as a provider's metering plane would: the feed contract as columns, and one way to drop a file.

Only the form of the files belongs here; what is in them is invented by `provider` or read from a trace by `traces`.
"""

from pathlib import Path
from typing import Any

import polars as pl

INSTANT = pl.Datetime("us", "UTC")
#: Money, prices, rates and quantities that may have a fraction travel as decimal text, never as binary floats.
DECIMAL_TEXT = pl.String()

_TEXT, _COUNT, _FLAG, _DAY = pl.String(), pl.Int64(), pl.Boolean(), pl.Date()

_EVERY_FEED: dict[str, pl.DataType] = {
    "event_id": _TEXT,
    "source": _TEXT,
    "ingested_at": INSTANT,
    "is_deleted": _FLAG,
}
_USED_RESOURCE: dict[str, pl.DataType] = {"owner_id": _TEXT, "resource_id": _TEXT, "resource_name": _TEXT}

#: Column types of each feed, in the order in which they are written.
FEEDS: dict[str, dict[str, pl.DataType]] = {
    feed: _EVERY_FEED | columns
    for feed, columns in {
        "runtime_intervals": _USED_RESOURCE
        | {
            "instance_id": _TEXT,
            "service": _TEXT,
            "flavour": _TEXT,
            "zone": _TEXT,
            "started_at": INSTANT,
            "stopped_at": INSTANT,
        },
        "runtime_heartbeats": _USED_RESOURCE
        | {"instance_id": _TEXT, "service": _TEXT, "flavour": _TEXT, "zone": _TEXT, "sampled_at": INSTANT},
        "unusable_intervals": {"instance_id": _TEXT, "started_at": INSTANT, "stopped_at": INSTANT, "reason": _TEXT},
        "storage_samples": _USED_RESOURCE | {"metric": _TEXT, "zone": _TEXT, "sampled_at": INSTANT, "bytes": _COUNT},
        "traffic_deltas": _USED_RESOURCE
        | {"metric": _TEXT, "zone": _TEXT, "started_at": INSTANT, "stopped_at": INSTANT, "bytes": _COUNT},
        "unit_counts": _USED_RESOURCE
        | {"metric": _TEXT, "zone": _TEXT, "sampled_at": INSTANT, "quantity": DECIMAL_TEXT},
        "one_shots": {
            "owner_id": _TEXT,
            "description": _TEXT,
            "sub_description": _TEXT,
            "performed_at": INSTANT,
            "quantity": DECIMAL_TEXT,
            "unit_price": DECIMAL_TEXT,
            "currency": _TEXT,
            "recurring": _FLAG,
            "discount_rate": DECIMAL_TEXT,
            "invoice": _TEXT,
            "sells_credits": _FLAG,
            "author": _TEXT,
        },
        "vendor_charges": _USED_RESOURCE
        | {
            "vendor": _TEXT,
            "description": _TEXT,
            "charged_at": INSTANT,
            "amount": DECIMAL_TEXT,
            "currency": _TEXT,
        },
        "organisations": {
            "owner_id": _TEXT,
            "payer_id": _TEXT,
            "name": _TEXT,
            "legal_name": _TEXT,
            "kind": _TEXT,
            "address_line1": _TEXT,
            "address_line2": _TEXT,
            "postcode": _TEXT,
            "city": _TEXT,
            "country": _TEXT,
            "vat_number": _TEXT,
            "legal_id": _TEXT,
            "currency": _TEXT,
            "language": _TEXT,
            "billing_emails": _TEXT,
            "purchase_order": _TEXT,
            "cost_centre": _TEXT,
            "opened_on": _DAY,
            "closed_on": _DAY,
            "dunning_plan": _TEXT,
            "billing_period": _TEXT,
            "payment_terms_days": _COUNT,
            "is_trusted": _FLAG,
            "discount_rate": DECIMAL_TEXT,
            "discount_reason": _TEXT,
            "price_factor": DECIMAL_TEXT,
            "valid_from": INSTANT,
        },
        "price_tiers": {
            "price_id": _TEXT,
            "owner_id": _TEXT,
            "zone": _TEXT,
            "currency": _TEXT,
            "valid_from": INSTANT,
            "valid_to": INSTANT,
            "slug": _TEXT,
            "basis": _TEXT,
            "per_quantity": _COUNT,
            "per_seconds": _COUNT,
            "block_quantity": _COUNT,
            "block_seconds": _COUNT,
            "tier_mode": _TEXT,
            "tier_from": _COUNT,
            "tier_to": _COUNT,
            "unit_price": DECIMAL_TEXT,
            "tier_price": DECIMAL_TEXT,
            "granularity_seconds": _COUNT,
            "minimum_seconds": _COUNT,
        },
        "spend_rules": {
            "rule_id": _TEXT,
            "name": _TEXT,
            "owner_id": _TEXT,
            "slug": _TEXT,
            "currency": _TEXT,
            "valid_from": INSTANT,
            "valid_to": INSTANT,
            "kind": _TEXT,
            "amount": DECIMAL_TEXT,
            "rate": DECIMAL_TEXT,
            "quantity": _COUNT,
        },
        "credit_grants": {
            "grant_id": _TEXT,
            "owner_id": _TEXT,
            "kind": _TEXT,
            "name": _TEXT,
            "amount": DECIMAL_TEXT,
            "currency": _TEXT,
            "starts_at": INSTANT,
            "expires_at": INSTANT,
            "priority": _COUNT,
            "slugs": _TEXT,
        },
        "refill_agreements": {
            "owner_id": _TEXT,
            "billing_month": _TEXT,
            "amount": DECIMAL_TEXT,
            "author": _TEXT,
            "reason": _TEXT,
        },
        "payment_methods": {
            "method_id": _TEXT,
            "owner_id": _TEXT,
            "kind": _TEXT,
            "is_default": _FLAG,
            "iban": _TEXT,
            "bic": _TEXT,
            "holder": _TEXT,
            "mandate_id": _TEXT,
            "mandate_signed_on": _DAY,
            "expires_on": _DAY,
            "token": _TEXT,
        },
        "payments": {
            "payment_id": _TEXT,
            "owner_id": _TEXT,
            "invoice_number": _TEXT,
            "reference": _TEXT,
            "amount": DECIMAL_TEXT,
            "currency": _TEXT,
            "received_at": INSTANT,
            "method_kind": _TEXT,
            "outcome": _TEXT,
            "failure": _TEXT,
        },
    }.items()
}

#: A raw row while it is being invented: instants as whole microseconds since the epoch, absent columns are null.
Row = dict[str, Any]


class WrongColumns(ValueError):
    """The rows do not have exactly the columns and types of their feed."""


def arrivals_of(feed: str, rows: list[Row]) -> pl.DataFrame:
    """Raw rows as typed arrivals of a feed.

    Args:
        feed: a name in `FEEDS`.
        rows: one dict per raw row. A missing nullable column becomes null; `arrival_date` may be given (a date) where
            a row landed on another day than the one on which it was taken in.

    Returns:
        One row per raw row: the columns of the feed and `arrival_date`, the UTC day on which it lands.

    Raises:
        WrongColumns: a row has a column that the feed does not know.
    """
    columns = FEEDS[feed]
    unknown = set().union(*rows) - set(columns) - {"arrival_date"} if rows else set()
    if unknown:
        message = f"{feed} has no column {', '.join(sorted(unknown))}; see FEEDS"
        raise WrongColumns(message)
    loose = {name: pl.Int64() if kind == INSTANT else kind for name, kind in columns.items()}
    arrivals = pl.DataFrame(
        [pl.Series(name, [row.get(name) for row in rows], dtype=kind) for name, kind in loose.items()]
        + [pl.Series("arrival_date", [row.get("arrival_date") for row in rows], dtype=pl.Date)]
    )
    return arrivals.with_columns(
        *(pl.col(name).cast(kind) for name, kind in columns.items() if kind == INSTANT),
        is_deleted=pl.col("is_deleted").fill_null(value=False),
    ).with_columns(arrival_date=pl.coalesce("arrival_date", pl.col("ingested_at").dt.date()))


def land(landing: Path, feed: str, arrivals: pl.DataFrame, *, name: str) -> None:
    """Drop one Parquet file per arrival day: `LANDING/<feed>/arrival_date=<day>/<name>.parquet`.

    A file appears whole or not at all: it is written under a temporary name that no reader matches, then renamed.
    Rows keep their order, so the same rows give the same bytes.

    Args:
        landing: the landing folder; created when missing.
        feed: a name in `FEEDS`.
        arrivals: rows with the feed's columns and `arrival_date`.
        name: file name without its ending; the same name on the same day replaces the file.

    Raises:
        WrongColumns: names or types of the columns are not those of the feed.
    """
    columns = FEEDS[feed]
    found = {column: kind for column, kind in arrivals.schema.items() if column != "arrival_date"}
    if found != columns:
        wrong = sorted(column for column in found.keys() | columns if found.get(column) != columns.get(column))
        message = f"{feed}: wrong or missing columns {', '.join(wrong)}; see FEEDS"
        raise WrongColumns(message)
    for (day,), rows in arrivals.partition_by("arrival_date", as_dict=True, include_key=False).items():
        folder = landing / feed / f"arrival_date={day}"
        folder.mkdir(parents=True, exist_ok=True)
        being_written = folder / f".{name}.parquet.writing"
        rows.select(*columns).write_parquet(being_written, compression="zstd", row_group_size=1_000_000)
        being_written.replace(folder / f"{name}.parquet")

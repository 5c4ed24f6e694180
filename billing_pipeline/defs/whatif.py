"""What a month would have cost under another price list: the same usage and contracts, the same models, other prices.

Nothing is published, and what is published is only read.
"""

from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

import polars as pl

from billing_pipeline.adapters.landing import Landing
from billing_pipeline.defs.billing import Billing
from billing_pipeline.defs.rating import earlier_runs, rate_otherwise
from billing_pipeline.intake.contracts import FEEDS
from billing_pipeline.intake.reference import read_reference
from billing_pipeline.intake.windows import Window
from billing_pipeline.rules.comparing import compare_charges
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.prices import version_prices
from billing_pipeline.warehouse import Warehouse

_FEED = FEEDS["price_tiers"]


class UnusablePrices(ValueError):
    """The file is no price list."""


@dataclass(frozen=True)
class WhatIf:
    """A month under its own prices and under others."""

    #: `rules.comparing.compare_charges`.
    differences: pl.DataFrame
    #: One row per price version that cannot be used, and per refused row (`price_id` empty): `reason`, `detail`.
    refused: pl.DataFrame
    #: One row per owner and reason: usage that cannot be billed under the other prices, so that its amount lacks it.
    unrated: pl.DataFrame


def rate_with_prices(billing: Billing, month: Month, file: Path) -> WhatIf:
    """Rate a closed month with the prices of a file instead of its own.

    Args:
        billing: the home.
        month: as it was issued, or as it is drafted.
        file: Parquet or CSV with the columns of the feed `price_tiers`; those of its bookkeeping are not needed.

    Raises:
        UnusablePrices: the file has another form; the message says which.
        NotPublished: the month is not closed.
    """
    lines = billing.settled("invoices/invoice_lines", month)
    view = billing.aside(month)
    # What the month was charged from, however often it was closed since.
    view.warehouse.published_aside["rating/charges"] = lines.manifest["inputs"]["rating/charges"]
    charges = view.read("rating/charges", month)
    view.warehouse.published_aside |= charges.manifest["inputs"]
    tiers, refused_rows = _read_prices(billing, month, file)
    factors = view.read("accounts/organisations", month).read().select("owner_id", "price_factor_ppm").unique()
    versions = version_prices(tiers, factors.sort("owner_id", "price_factor_ppm"), billing.period(month))
    prices = {"prices": versions.prices, "refused_prices": versions.refused}
    marts = rate_otherwise(view, month, earlier_runs(view, month, charges), prices)
    return WhatIf(
        compare_charges(charges.read(), marts["charges"]),
        pl.concat([refused_rows, versions.refused.select("price_id", "reason", "detail")]),
        marts["unrated"].select("owner_id", "payer_id", "reason", "detail").sort("owner_id", "reason"),
    )


def _read_prices(billing: Billing, month: Month, file: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The price rows that the feed's contract accepts, and the others as `price_id`, `reason`, `detail`."""
    # Texts, as any CSV of the feed: what they stand for is decided by the contract.
    rows = pl.read_csv(file, infer_schema=False) if file.suffix == ".csv" else pl.read_parquet(file)
    own = [column.name for column in _FEED.columns if column.name in rows.columns]
    as_of = billing.as_of(month)
    known_at = as_of - timedelta(days=1)
    landed = rows.select(own).with_columns(
        event_id=pl.format("row-{}", pl.int_range(pl.len())),
        source=pl.lit("whatif"),
        ingested_at=pl.lit(known_at).dt.cast_time_unit("us"),
    )
    with TemporaryDirectory(prefix="billing-whatif-") as scratch:
        folder = Path(scratch) / "landing" / _FEED.name / f"arrival_date={(as_of - timedelta(days=2)).date()}"
        folder.mkdir(parents=True)
        landed.write_parquet(folder / "prices.parquet")
        reference = read_reference(
            _FEED,
            Window(billing.period(month), None, as_of, None),
            Landing(Path(scratch) / "landing"),
            Warehouse(Path(scratch) / "warehouse", code_version=billing.warehouse.code_version),
            billing.limits,
        )
    refused_file = reference.receipts.filter(pl.col("refused_reason").is_not_null())
    if refused_file.height:
        reason, detail = refused_file.select("refused_reason", "detail").row(0)
        message = f"{file} is no price list ({reason}): {detail}; it needs the columns of the feed {_FEED.name}"
        raise UnusablePrices(message)
    refused = reference.quarantine.select(
        price_id=pl.lit(""), reason="reason", detail=pl.format("row {} of the file: {}", "file_row", "raw")
    )
    return reference.rows, refused

"""The VAT rates that come with the package: `vat_rates.csv`, dated, one row per country or region and validity.

A change of the law is a new row, and a last day for the row before it; nothing is ever edited away, so that any past
month is taxed as it was. `valid_to` is the first day on which the rate no longer holds, empty as long as it does.
"""

import csv
from datetime import date
from decimal import Decimal
from pathlib import Path

from billing_pipeline.rules.tax import VatRate

VAT_RATES_CSV = Path(__file__).with_name("vat_rates.csv")


def read_vat_rates() -> tuple[VatRate, ...]:
    """All rates, in the order of the file."""
    with VAT_RATES_CSV.open(encoding="ascii", newline="") as file:
        return tuple(
            VatRate(
                country=row["country"],
                kind=row["kind"],
                vat_ppm=int(Decimal(row["rate_percent"]) * 10_000),
                valid_from=date.fromisoformat(row["valid_from"]),
                valid_to=date.fromisoformat(row["valid_to"]) if row["valid_to"] else None,
            )
            for row in csv.DictReader(file)
        )

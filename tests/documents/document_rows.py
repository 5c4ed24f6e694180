"""Rows of published tables as documents are made of them."""

from decimal import Decimal

import dataframely as dy
import polars as pl

#: Of a credit note.
CREDITED_LINE = {
    "line_id": "0" * 32, "payer_id": "acme", "holder_id": "acme", "owner_id": "acme", "owner_name": "Acme",
    "resource_id": "app_1", "slug": "apps.s", "zone": "par", "price_factor_ppm": 10**6, "origin_month": "2026-01",
    "basis": "runtime", "quantity": 162_000, "unit": "s", "duration_s": 162_000, "unit_price": Decimal(1),
    "per_quantity": 1, "per_seconds": 3600, "line_discount_ppm": 0, "amount_cents": 45_00, "currency": "EUR",
    "corrected_line_id": "1" * 32, "correction_cause": "withdrawn", "billed_cents": 60_00, "rated_cents": 15_00,
    "approval": 9, "refers_to": "INV-2026-000007",
}  # fmt: skip
#: Of credits that are sold.
SOLD_LINE = {
    "line_id": "0" * 32, "payer_id": "acme", "line_number": 1, "owner_id": "acme", "owner_name": "Acme",
    "resource_id": "42", "resources": 1, "slug": "credits", "zone": "", "price_factor_ppm": 10**6,
    "origin_month": "2026-01", "basis": "one_shot", "quantity": 1, "unit": "piece", "unit_price": Decimal(100),
    "per_quantity": 1, "per_seconds": 1, "line_discount_ppm": 0, "amount_cents": 100_00, "currency": "EUR",
    "description": "Prepaid card", "kind": "credits", "reference": "shop/42",
}  # fmt: skip


def rows(table: type[dy.Schema], *records: dict) -> pl.DataFrame:
    """Rows of a table; what a record does not name is null."""
    types = {
        name: pl.String if isinstance(kind, pl.Enum) else kind for name, kind in table.create_empty().schema.items()
    }
    return table.validate(pl.DataFrame([dict.fromkeys(types) | record for record in records], schema=types), cast=True)

"""Typed rows of the journal, and of what accounts must show."""

from datetime import date

import polars as pl

from billing_pipeline.tables.journal import HeldBalances, Journal

DAY = date(2026, 11, 3)


def journal(*rows: dict):
    """Postings of one invoice; a credit is a negative amount."""
    defaults = {
        "journal": "VE", "entry_number": 1, "kind": "invoice", "posted_on": DAY, "validated_on": DAY,
        "account": "411000", "role": "receivable", "payer_id": "acme", "payer_name": "Acme", "currency": "EUR",
        "piece": "INV-1", "piece_on": DAY, "label": "Invoice INV-1", "billing_month": "2026-10",
    }  # fmt: skip
    records = []
    for number, row in enumerate(rows, 1):
        amount = row.pop("amount")
        sides = {"debit_cents": max(amount, 0), "credit_cents": max(-amount, 0)}
        records.append(defaults | {"posting": number} | sides | row)
    schema = {
        name: pl.String if isinstance(kind, pl.Enum) else kind for name, kind in Journal.create_empty().schema.items()
    }
    return Journal.validate(pl.DataFrame(records, schema=schema), cast=True)


def sold(cents: int, **columns) -> list[dict]:
    """A receivable and the revenue that made it."""
    return [
        {"amount": cents, **columns},
        {"amount": -cents, "role": "revenue", "account": "706000", **columns},
    ]


def held(**receivables: int | None):
    rows = [
        {"payer_id": payer, "currency": "EUR", "receivable_cents": cents, "advances_cents": None}
        for payer, cents in receivables.items()
    ]
    return HeldBalances.validate(pl.DataFrame(rows, schema=HeldBalances.create_empty().schema))

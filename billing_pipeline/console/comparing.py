"""A month under two price lists, as people read it."""

from collections.abc import Iterator

import polars as pl

from billing_pipeline.defs.whatif import WhatIf
from billing_pipeline.documents.formatting import format_money

_AMOUNTS = ("now_cents", "then_cents", "difference_cents")


def print_csv(compared: WhatIf) -> str:
    """The differences as CSV, amounts in cents; they add up to the totals."""
    return compared.differences.write_csv()


def print_differences(compared: WhatIf) -> str:
    """The differences with a total per currency, then what could not be compared."""
    return "\n".join([*_lines(compared), ""])


def _lines(compared: WhatIf) -> Iterator[str]:
    rows = compared.differences
    yield _line("payer", "organisation", "service", "now", "then", "difference")
    for row in rows.iter_rows(named=True):
        money = [format_money(row[amount], row["currency"]) for amount in _AMOUNTS]
        yield _line(row["payer_id"], row["owner_id"], row["slug"], *money)
    for (currency,), of_currency in rows.sort("currency").group_by("currency", maintain_order=True):
        sums = [int(of_currency[amount].cast(pl.Int128).sum()) for amount in _AMOUNTS]
        yield _line("total", "", str(currency), *(format_money(total, str(currency)) for total in sums))
    yield "Amounts are those of the lines, before discounts, credits and tax."
    for title, found in (
        ("Refused prices", compared.refused),
        ("Usage without a usable price (lacking in `then`)", compared.unrated),
    ):
        yield f"{title}: {found.height:,}"
        for row in found.iter_rows():
            yield "  " + "  ".join(str(value) for value in row)


def _line(payer: str, owner: str, slug: str, *amounts: str) -> str:
    return f"{payer[:26]:<26}  {owner[:26]:<26}  {slug[:28]:<28}" + "".join(f"{amount:>16}" for amount in amounts)

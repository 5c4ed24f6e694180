"""Which prepaid credits are still unspent, sale by sale: credits that were sold first are spent first.

A sale is a refill or a top-up whose invoice was paid, so that it reached the prepaid balance. What is left of the
balance is what is left of the newest sales; what no sale accounts for was brought along from elsewhere.
"""

from collections.abc import Sequence
from typing import NamedTuple

import polars as pl


class Sale(NamedTuple):
    """Prepaid credits that an invoice sold and that reached a balance."""

    #: Of the invoice.
    number: str
    #: What was sold, less what was refunded of it.
    cents: int


def find_sales(movements: pl.DataFrame, documents: pl.DataFrame) -> pl.DataFrame:
    """The movements of credits that documents sold: `number`, `payer_id` (who held them then), `amount_cents`.

    A refill is named by the month of its invoice and a top-up by its reference, followed by `of` and the payer where
    another one took it over. Names are compared whole, as a reference may itself hold what stands between them.

    Args:
        movements: rows of `tables.credits.CreditMovements`.
        documents: `number`, `payer_id`, `kind` of the movement that is looked for, and `name` of the sale.
    """
    arrived = movements.select(
        "payer_id", pl.col("kind").cast(pl.String), "amount_cents", name="grant_id"
    ).with_row_index("place")
    own = arrived.join(documents, on=["payer_id", "kind", "name"])
    passed_on = documents.select("number", "kind", name=pl.format("{} of {}", "name", "payer_id"))
    others = arrived.join(own, on="place", how="anti").join(passed_on, on=["kind", "name"])
    columns = ("number", "payer_id", "amount_cents")
    return pl.concat([own.select(columns), others.select(columns)]).sort(columns)


def find_unspent(sales: Sequence[Sale], balance_cents: int) -> dict[str, int]:
    """What nobody spent of each sale, by the number of its invoice.

    Args:
        sales: the newest first.
        balance_cents: what is prepaid and not spent.
    """
    unspent, left = {}, balance_cents
    for sale in sales:
        unspent[sale.number] = min(sale.cents, left)
        left -= unspent[sale.number]
    return unspent


def less_refunded(sales: Sequence[Sale], number: str, cents: int) -> list[Sale]:
    """The sales after some of one was refunded."""
    return [sale._replace(cents=sale.cents - cents) if sale.number == number else sale for sale in sales]

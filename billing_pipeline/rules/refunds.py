"""Which prepaid credits are still unspent, sale by sale: credits that were sold first are spent first.

A sale is a refill whose invoice was paid, so that it reached the prepaid balance. What is left of the balance is what
is left of the newest sales; what no sale accounts for was brought along from elsewhere.
"""

from collections.abc import Sequence
from typing import NamedTuple


class Sale(NamedTuple):
    """Prepaid credits that an invoice sold and that reached a balance."""

    #: Of the invoice.
    number: str
    #: What was sold, less what was refunded of it.
    cents: int


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

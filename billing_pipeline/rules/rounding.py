"""The one rounding of the project: half away from zero, on whole numbers only.

The same rule stands once in SQL, in the dbt macro ``money``; a test holds the two against each other.
"""

from decimal import ROUND_HALF_UP, Context, Decimal

import polars as pl


def round_half_away(numerator: int, denominator: int) -> int:
    """``numerator / denominator`` as a whole number, halves away from zero.

    Raises:
        ZeroDivisionError: the denominator is zero.
    """
    magnitude = (2 * abs(numerator) + abs(denominator)) // (2 * abs(denominator))
    return magnitude if (numerator < 0) == (denominator < 0) else -magnitude


def rounded_half_away(numerator: pl.Expr, denominator: int | pl.Expr) -> pl.Expr:
    """The same for a column; Int128, in which neither the numerator nor twice it may overflow (8.5 × 10^37).

    The denominator is positive, and Int128 where it is a column, too.
    """
    wide = numerator.cast(pl.Int128)
    return wide.sign() * ((2 * wide.abs() + denominator) // (2 * denominator))


def round_decimal(amount: Decimal, places: int) -> Decimal:
    """An exact decimal rounded to ``places`` after the point, halves away from zero; negative places round to tens."""
    # The default context of 28 digits would refuse larger amounts; no amount outgrows its own digits by more than this.
    context = Context(prec=len(amount.as_tuple().digits) + abs(amount.adjusted()) + abs(places) + 2)
    return amount.quantize(Decimal(1).scaleb(-places), ROUND_HALF_UP, context)

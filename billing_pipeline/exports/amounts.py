"""Amounts as accounting programs read them: plain digits, no thousands, exact."""

import polars as pl

from billing_pipeline.rules.currencies import MINOR_DIGITS


def write_amount(cents: str, currency: str = "currency", point: str = ".") -> pl.Expr:
    """A column of minor units as text in major ones: `1234.50`, `-0.05`, `1235` where there is no minor unit.

    Args:
        cents: the column of amounts.
        currency: the column of their currencies.
        point: what stands before the decimals.
    """
    digits = pl.col(currency).replace_strict(MINOR_DIGITS, return_dtype=pl.Int64)
    sign = pl.when(pl.col(cents) < 0).then(pl.lit("-")).otherwise(pl.lit(""))
    text = pl.col(cents).abs().cast(pl.String)
    # At least one digit before the point.
    padded = pl.max_horizontal(digits + 1 - text.str.len_bytes().cast(pl.Int64), 0)
    full = pl.lit("0").repeat_by(padded).list.join("") + text
    whole, part = full.str.head(full.str.len_chars().cast(pl.Int64) - digits), full.str.tail(digits)
    return sign + whole + pl.when(digits > 0).then(pl.lit(point) + part).otherwise(pl.lit(""))

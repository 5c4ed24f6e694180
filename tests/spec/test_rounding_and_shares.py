"""Half away from zero, once, and shares that add up."""

from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given as draw
from hypothesis import settings
from hypothesis import strategies as st

from billing_pipeline.rules.allocation import share
from billing_pipeline.rules.rounding import round_decimal, round_half_away, rounded_half_away

whole = st.integers(min_value=-(10**30), max_value=10**30)


@pytest.mark.parametrize(
    ("eighths", "rounded"), [(3, 0), (4, 1), (5, 1), (12, 2), (20, 3), (-4, -1), (-12, -2), (0, 0)]
)
def test_a_tie_rounds_away_from_zero(eighths, rounded):
    assert round_half_away(eighths, 8) == rounded
    assert round_half_away(-eighths, -8) == rounded
    column = pl.select(rounded_half_away(pl.lit(eighths), 8))
    assert column.item() == rounded


def test_nothing_is_rounded_over_nothing():
    with pytest.raises(ZeroDivisionError):
        round_half_away(1, 0)


@settings(max_examples=200)
@draw(numerator=whole, denominator=whole.filter(bool))
def test_a_rounded_quotient_is_never_more_than_a_half_off(numerator, denominator):
    exact = Fraction(numerator, denominator)
    rounded = round_half_away(numerator, denominator)
    assert abs(rounded - exact) <= Fraction(1, 2)
    if abs(rounded - exact) == Fraction(1, 2):
        assert abs(rounded) > abs(exact)


@settings(max_examples=50)
@draw(numerators=st.lists(whole, min_size=1), denominator=st.integers(1, 10**12))
def test_a_column_is_rounded_like_a_single_number(numerators, denominator):
    column = pl.DataFrame({"numerator": pl.Series(numerators, dtype=pl.Int128)})
    rounded = column.select(rounded_half_away(pl.col("numerator"), denominator))
    assert rounded["numerator"].to_list() == [round_half_away(number, denominator) for number in numerators]


@pytest.mark.parametrize(
    ("amount", "places", "rounded"),
    [
        ("2.345", 2, "2.35"),
        ("-2.345", 2, "-2.35"),
        ("150", -2, "200"),
        ("0.5", 0, "1"),
        ("0.004", 2, "0.00"),
        ("0.5", 6, "0.5"),
    ],
)
def test_a_decimal_is_rounded_half_away_from_zero(amount, places, rounded):
    assert round_decimal(Decimal(amount), places) == Decimal(rounded)


def test_a_decimal_longer_than_28_digits_is_rounded_once_too():
    assert round_decimal(Decimal("123456789012345678901234567890.4999999999999999999995"), 0) == Decimal(
        "123456789012345678901234567890"
    )
    assert round_decimal(Decimal("12345678901234567890123456789049.9999999"), -2) == Decimal(
        "12345678901234567890123456789000"
    )


def test_leftover_cents_go_to_the_largest_remainders_and_among_equals_to_the_earlier_part():
    assert share(100, [1, 1, 1]) == [34, 33, 33]
    assert share(10, [50, 33, 17]) == [5, 3, 2]
    assert share(-100, [1, 1, 1]) == [-34, -33, -33]
    assert share(0, [0, 0]) == [0, 0]


def test_a_part_may_not_weigh_less_than_nothing():
    with pytest.raises(ValueError, match="must not be negative"):
        share(1, [1, -1])


def test_there_is_no_sharing_over_parts_that_all_weigh_nothing():
    with pytest.raises(ValueError, match="cannot share 5"):
        share(5, [0, 0])


@settings(max_examples=100)
@draw(amount=st.integers(-(10**12), 10**12), weights=st.lists(st.integers(0, 10**12), min_size=1).filter(any))
def test_shares_add_up_and_are_less_than_one_cent_off(amount, weights):
    shares = share(amount, weights)
    assert sum(shares) == amount
    total = sum(weights)
    assert all(abs(part - Fraction(amount * weight, total)) < 1 for part, weight in zip(shares, weights, strict=True))

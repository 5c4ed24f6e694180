"""The SQL macro `money` against exact fractions."""

import random
from fractions import Fraction

import duckdb
import jinja2
import pytest
from rating_month import PROJECT

from billing_pipeline.rules.rounding import round_half_away


def macro_sql(name: str) -> str:
    sources = [(PROJECT / "macros" / f"{file}.sql").read_text() for file in ("money", "whole_units")]
    module = jinja2.Environment(autoescape=True).from_string("".join(sources)).module
    return getattr(module, name)("q", "p", "d", "u", "t")


def money(values: list[tuple[int, int, int, int, int]], macro: str = "money") -> list[int]:
    columns = dict(zip("qpdut", zip(*values, strict=True), strict=True))
    lists = ", ".join(
        f"unnest({[str(value) for value in column]})::hugeint as {name}" for name, column in columns.items()
    )
    with duckdb.connect() as connection:
        return [row[0] for row in connection.execute(f"select {macro_sql(macro)} from (select {lists})").fetchall()]


def exact(q: int, p: int, d: int, u: int, t: int) -> int:
    sign = -1 if (q < 0) != (p < 0) else 1
    amount = (Fraction(abs(q) * abs(p), d) + t) / u
    return sign * round_half_away(amount.numerator, amount.denominator)


def anything(rng: random.Random) -> tuple[int, int, int, int, int]:
    """Any magnitudes whose result is below 8*10^11 currency units."""
    d = rng.choice([1, 3600, 10**9, 3600 * 10**9, 7 * 3600 * 10**12, rng.randrange(1, 5 * 10**28)])
    p = rng.randrange(10 ** rng.randrange(1, 37))
    u = 10 ** rng.choice([23, 24, 26])
    q = rng.randrange(min(8 * 10**37 * d // max(p, 1) + 1, u * 9 * 10**17 * d // max(p, 1) + 1, 10**31))
    t = rng.choice([0, rng.randrange(10**30)])
    return rng.choice([q, q, -q]), rng.choice([p, p, -p]), d, u, t


def a_half(rng: random.Random) -> tuple[int, int, int, int, int]:
    """q * p / d is an odd number of half minor units, exactly."""
    u, halves, d = 10**24, 2 * rng.randrange(10**6) + 1, 2 ** rng.randrange(20)
    return rng.choice([1, -1]) * halves * d, u // 2, d, u, 0


def ordinary(rng: random.Random) -> tuple[int, int, int, int, int]:
    """The size of most lines, up to and just past what one product holds."""
    q = rng.choice([rng.randrange(2 * 10**9), 2 * 10**9 - 1, 2 * 10**9])
    p = rng.choice([rng.randrange(10**28), 10**28 - 1, 10**28])
    d = rng.choice([3600, rng.randrange(1, 10**10), 10**10 - 1, 10**10])
    t = rng.choice([0, rng.randrange(10**27), 10**27 - 1, 10**27])
    return rng.choice([q, -q]), rng.choice([p, -p]), d, 10 ** rng.choice([23, 24, 26]), t


def test_money_is_exact_for_all_magnitudes_and_signs():
    rng = random.Random(20261001)
    values = [sized(rng) for sized, count in ((anything, 4000), (a_half, 1000), (ordinary, 2000)) for _ in range(count)]
    assert money(values) == [exact(*value) for value in values]


def test_whole_units_are_the_floor_for_all_magnitudes():
    rng = random.Random(20261002)
    values = [sized(rng) for sized, count in ((anything, 2000), (a_half, 500), (ordinary, 1000)) for _ in range(count)]
    values = [(abs(q), abs(p), d, u, t) for q, p, d, u, t in values]
    # One unit exactly, and the least below and above it.
    values += [(3 * 10**9, 10**24 + least, 3 * 10**9, 10**24, 0) for least in (-1, 0, 1)]
    values += [(3, 10**24 + least, 3, 10**24, 0) for least in (-1, 0, 1)]
    assert money(values, "whole_units") == [int((Fraction(q * p, d) + t) / u) for q, p, d, u, t in values]


def test_halves_are_rounded_away_from_zero():
    assert money([(1, 5, 10, 1, 0), (-1, 5, 10, 1, 0), (1, -15, 10, 1, 0), (1, 4, 10, 1, 0)]) == [1, -1, -2, 0]


def test_a_half_of_many_digits_is_rounded_away_and_the_least_below_it_is_not():
    d, u = 10**10 + 8, 10**23
    assert money([(1, u * d // 2, d, u, 0), (1, u * d // 2 - 1, d, u, 0)]) == [1, 0]
    assert money([(1, (u - 2) * d // 2, d, u, 1), (1, (u - 2) * d // 2 - 1, d, u, 1)]) == [1, 0]


def test_a_half_that_only_the_last_digits_of_a_long_division_reach_is_rounded_away():
    # 2 * 10^9 × 3 / 3 is half a unit of 4 * 10^9; 3 leaves a rest of the quantity.
    assert money([(2 * 10**9, 3, 3, 4 * 10**9, 0), (2 * 10**9, 3, 3, 4 * 10**9 + 1, 0)]) == [1, 0]


def test_an_entry_price_is_added_before_the_rounding():
    assert money([(1, 3, 10, 1, 0), (1, 3, 10, 10, 2), (0, 3, 10, 1, 7)]) == [0, 0, 7]


def test_an_amount_beyond_128_bits_raises_and_never_wraps():
    with pytest.raises(duckdb.Error, match=r"(?i)overflow"):
        money([(10**30, 10**35, 1, 1, 0)])

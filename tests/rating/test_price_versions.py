"""Price versions become whole numbers, or are refused as a whole with the reason."""

from datetime import UTC, datetime
from decimal import Decimal

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from rating_month import LONG_AGO, PERIOD, october, rows_of

from billing_pipeline.rules.prices import PriceVersions, version_prices

FLAT = {
    "price_id": "p",
    "currency": "EUR",
    "valid_from": LONG_AGO,
    "slug": "apps.S",
    "basis": "runtime",
    "per_quantity": 1,
    "per_seconds": 3600,
    "tier_mode": "flat",
    "tier_from": 0,
    "unit_price": "0.0444444444444444",
}
UNITS = FLAT | {"basis": "units", "per_seconds": None}
GRADUATED = UNITS | {"tier_mode": "graduated"}
PACKAGE = UNITS | {"tier_mode": "package", "unit_price": "0", "tier_price": "2.95", "block_quantity": 100}


def versioned(*tiers: dict, factors: dict[str, int] | None = None) -> PriceVersions:
    factors = {"orga_a": 1_000_000} if factors is None else factors
    price_factors = pl.DataFrame(
        list(factors.items()), schema={"owner_id": pl.String, "price_factor_ppm": pl.Int64}, orient="row"
    )
    return version_prices(rows_of(tiers), price_factors, PERIOD)


def test_a_price_is_a_whole_number_at_scale_26_and_printed_as_written():
    (price,) = versioned(FLAT).prices.iter_rows(named=True)
    assert price["unit_price_e26"] == 4_444_444_444_444_440_000_000_000
    assert price["tier_price_e26"] == 0
    assert price["unit_price"] == Decimal("0.0444444444444444")
    assert price["slug"] == "apps.s"


def test_a_price_without_time_is_per_second_of_nothing():
    assert versioned(UNITS).prices["per_seconds"].to_list() == [1]


def test_a_public_price_is_written_once_per_price_factor_in_use():
    prices = versioned(FLAT, factors={"orga_a": 1_000_000, "orga_b": 900_000, "orga_c": 900_000}).prices
    assert prices.select("price_factor_ppm", "unit_price_e26").rows() == [
        (900_000, Decimal(3_999_999_999_999_996_000_000_000)),
        (1_000_000, Decimal(4_444_444_444_444_440_000_000_000)),
    ]


def test_a_negotiated_price_knows_the_factors_of_its_owner_only():
    prices = versioned(FLAT | {"owner_id": "orga_b"}, factors={"orga_a": 1_000_000, "orga_b": 900_000}).prices
    assert prices["price_factor_ppm"].to_list() == [900_000]


def test_versions_that_are_not_in_force_in_the_month_are_left_out():
    prices = versioned(
        FLAT | {"price_id": "over", "valid_to": PERIOD.start},
        FLAT | {"price_id": "to come", "valid_from": PERIOD.end},
        FLAT | {"price_id": "ends", "valid_to": october(2)},
        FLAT | {"price_id": "starts", "valid_from": october(31)},
    ).prices
    assert prices["price_id"].to_list() == ["ends", "starts"]


SHAPES = {
    "starts above zero": [FLAT | {"tier_from": 5}],
    "measured from one": [UNITS | {"basis": "moved", "tier_from": 1}],
    "gap": [GRADUATED | {"tier_to": 10}, GRADUATED | {"tier_from": 11}],
    "overlap": [GRADUATED | {"tier_to": 10}, GRADUATED | {"tier_from": 9}],
    "no open end": [GRADUATED | {"tier_to": 10}, GRADUATED | {"tier_from": 10, "tier_to": 20}],
    "open end inside": [GRADUATED, GRADUATED | {"tier_from": 10}],
    "empty tier": [GRADUATED | {"tier_to": 0}, GRADUATED | {"tier_from": 0}],
    "negative price": [FLAT | {"unit_price": "-0.01"}],
    "negative tier price": [FLAT | {"tier_price": "-1"}],
    "two flat tiers": [UNITS | {"tier_to": 10}, UNITS | {"tier_from": 10}],
    "tiers that disagree": [GRADUATED | {"tier_to": 10}, GRADUATED | {"tier_from": 10, "zone": "par"}],
    "no time at all": [FLAT | {"valid_from": october(2), "valid_to": october(2)}],
    "nothing bought": [FLAT | {"per_quantity": 0}],
    "timed units": [UNITS | {"per_seconds": 3600}],
    "seconds of bytes": [UNITS | {"block_seconds": 10}],
    "blocks of runtime": [FLAT | {"block_quantity": 10}],
    "granules of units": [UNITS | {"granularity_seconds": 10}],
    "minimum of bytes": [FLAT | {"basis": "stored", "minimum_seconds": 60}],
    "no granule": [FLAT | {"granularity_seconds": 0}],
    "minimum below nothing": [FLAT | {"minimum_seconds": -1}],
    "granule of more than a year": [FLAT | {"granularity_seconds": 366 * 86_400 + 1}],
    "tiers of other granules": [
        FLAT | {"tier_mode": "graduated", "tier_to": 10, "granularity_seconds": 10},
        FLAT | {"tier_mode": "graduated", "tier_from": 10},
    ],
    "package without size": [PACKAGE | {"block_quantity": None}],
    "package with two prices": [PACKAGE | {"unit_price": "1"}],
}
PRECISIONS = {
    "21 decimals": [FLAT | {"unit_price": "0.000000000000000000001"}],
    "ten billion": [FLAT | {"unit_price": "10000000000"}],
    "absurd exponent": [FLAT | {"unit_price": "1E+999999"}],
    "entry below the cent": [FLAT | {"tier_price": "0.005"}],
    "entry below the yen": [FLAT | {"tier_price": "0.5", "currency": "JPY"}],
    "unknown currency": [FLAT | {"currency": "XYZ"}],
}
MODELS = {
    "package of seconds": [PACKAGE | {"basis": "runtime"}],
}


@pytest.mark.parametrize(
    ("reason", "tiers"),
    [("tier_shape", tiers) for tiers in SHAPES.values()]
    + [("price_precision", tiers) for tiers in PRECISIONS.values()]
    + [("price_model", tiers) for tiers in MODELS.values()],
    ids=[*SHAPES, *PRECISIONS, *MODELS],
)
def test_a_version_that_cannot_be_right_is_refused_whole(reason: str, tiers: list[dict]):
    versions = versioned(*tiers, FLAT | {"price_id": "sound"})
    assert versions.refused.select("price_id", "reason").rows() == [("p", reason)]
    assert versions.prices["price_id"].to_list() == ["sound"]


@pytest.mark.parametrize(
    "tiers",
    [
        [GRADUATED | {"tier_from": 1}],
        [GRADUATED | {"tier_to": 101, "block_quantity": 100}, GRADUATED | {"tier_from": 101, "per_quantity": 1000}],
        [PACKAGE],
        [PACKAGE | {"tier_price": "0.005"}],
        [FLAT | {"unit_price": "0.10000000000000000000000"}],
        [FLAT | {"unit_price": "9999999999.99999999999999999999"}],
        [FLAT | {"tier_price": "0.005", "currency": "KWD"}],
        [FLAT | {"granularity_seconds": 10, "minimum_seconds": 60}],
        [FLAT | {"granularity_seconds": 366 * 86_400}],
    ],
)
def test_unusual_prices_that_are_exact_are_taken(tiers: list[dict]):
    versions = versioned(*tiers)
    assert versions.refused.is_empty()
    assert versions.prices.height == len(tiers)


def test_a_price_is_too_large_only_under_a_factor_that_makes_it_so():
    large = FLAT | {"unit_price": "9999999999999999"}
    assert versioned(large, factors={"orga_a": 1}).refused.is_empty()
    assert versioned(large, factors={"orga_a": 2}).refused["reason"].to_list() == ["price_precision"]


def test_a_month_without_prices_or_organisations_has_no_rows():
    assert versioned().prices.is_empty()
    assert versioned(FLAT, factors={}).prices.is_empty()


@given(digits=st.integers(0, 10**30 - 1), factor=st.integers(0, 10**6))
def test_no_price_and_factor_loses_a_digit(digits: int, factor: int):
    unit_price = f"{digits // 10**20}.{digits % 10**20:020d}"
    version = FLAT | {"unit_price": unit_price, "valid_from": datetime(2026, 1, 1, tzinfo=UTC)}
    (price,) = versioned(version, factors={"orga_a": factor}).prices.iter_rows(named=True)
    assert int(price["unit_price_e26"]) == digits * factor
    assert price["unit_price"] == Decimal(unit_price)

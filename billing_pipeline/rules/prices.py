"""Prices as whole numbers: what a price version costs under each contract, exactly or not at all.

A price version is all tiers of one ``price_id``; it is taken or refused as a whole. A contract multiplies every price
by its price factor. Both are decimals, so their product is a whole number at scale 26 (20 decimals of the price, 6 of
the factor), which is what rating multiplies with: nothing is rounded before the line.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields
from datetime import datetime
from decimal import Decimal
from itertools import groupby, pairwise
from typing import Any, Self

import dataframely as dy
import polars as pl

from billing_pipeline.rules.currencies import MINOR_DIGITS
from billing_pipeline.rules.period import Period
from billing_pipeline.tables.accounts import Prices, RefusedPrices

#: Decimals that a price may have; the factor's six come on top.
PRICE_SCALE = 20
#: No granule and no minimum is longer than a year, so that instants and lengths of runs stay within 64 bits.
LONGEST_SECONDS = 366 * 86_400
#: Numerators stay below this, so that the ``money`` macro divides them exactly in 128 bits.
NUMERATOR_END = 10**36

_OF_RUNS = ("granularity_seconds", "minimum_seconds")
_SHARED = ("owner_id", "zone", "currency", "valid_from", "valid_to", "slug", "basis", "tier_mode", *_OF_RUNS)
_POSITIVE = ("per_quantity", "per_seconds", "block_quantity", "block_seconds", *_OF_RUNS)

#: A reason code and what exactly is wrong.
_Problem = tuple[str, str]


@dataclass(frozen=True)
class PriceVersions:
    """The prices of a month under every contract, and the versions that cannot be used."""

    prices: dy.DataFrame[Prices]
    #: The reasons are `tier_shape` (the tiers are no complete price), `price_model` (what no price can count) and
    #: `price_precision` (no whole number that rating can use).
    refused: dy.DataFrame[RefusedPrices]


@dataclass(frozen=True)
class _Tier:
    """A row of the feed `price_tiers`, as values."""

    price_id: str
    owner_id: str | None
    zone: str | None
    currency: str
    valid_from: datetime
    valid_to: datetime | None
    slug: str
    basis: str
    per_quantity: int
    per_seconds: int | None
    block_quantity: int | None
    block_seconds: int | None
    tier_mode: str
    tier_from: int
    tier_to: int | None
    unit_price: Decimal
    tier_price: Decimal
    granularity_seconds: int | None
    minimum_seconds: int | None

    @classmethod
    def of(cls, row: dict[str, Any]) -> Self:
        """Read a row; prices are decimal text, an absent tier price is 0."""
        values: dict[str, Any] = {field.name: row[field.name] for field in fields(cls)}
        values["unit_price"] = Decimal(row["unit_price"])
        values["tier_price"] = Decimal(row["tier_price"] or 0)
        return cls(**values)


def version_prices(tiers: pl.DataFrame, price_factors: pl.DataFrame, period: Period) -> PriceVersions:
    """Write every price version in force in the period as whole numbers, once per price factor that may use it.

    Args:
        tiers: Clean rows of the feed `price_tiers`, prices as decimal text.
        price_factors: The distinct `owner_id` and `price_factor_ppm` in use; a public price is written for all
            factors, a negotiated one for those of its owner.
        period: The billed month; versions that are not in force in it are left out.
    """
    in_force = tiers.filter(
        pl.col("valid_from") < period.end, pl.col("valid_to").is_null() | (pl.col("valid_to") > period.start)
    ).sort("price_id", pl.col("tier_from").cast(pl.Int64))
    factors_of = dict(price_factors.group_by("owner_id").agg(pl.col("price_factor_ppm").unique().sort()).iter_rows())
    all_factors = price_factors["price_factor_ppm"].unique().sort().to_list()

    prices: list[dict[str, object]] = []
    refused: list[dict[str, object]] = []
    for _, rows in groupby(in_force.iter_rows(named=True), key=lambda row: row["price_id"]):
        version = [_Tier.of(row) for row in rows]
        owner_id = version[0].owner_id
        factors = all_factors if owner_id is None else factors_of.get(owner_id, [])
        problem = next(_problems(version, factors), None)
        if problem:
            refused.append(_refused_row(version[0], problem))
        else:
            prices += [_price_row(tier, factor) for tier in version for factor in factors]
    return PriceVersions(
        prices=Prices.validate(pl.DataFrame(prices, schema=Prices.create_empty().schema)),
        refused=RefusedPrices.validate(pl.DataFrame(refused, schema=RefusedPrices.create_empty().schema)),
    )


def _refused_row(first: _Tier, problem: _Problem) -> dict[str, object]:
    reason, detail = problem
    return {
        "price_id": first.price_id,
        "reason": reason,
        "detail": detail,
        "owner_id": first.owner_id,
        "zone": first.zone,
        "currency": first.currency,
        "slug": first.slug.lower(),
        "basis": first.basis,
        "valid_from": first.valid_from,
        "valid_to": first.valid_to,
    }


def _price_row(tier: _Tier, factor_ppm: int) -> dict[str, object]:
    return {
        "price_id": tier.price_id,
        "price_factor_ppm": factor_ppm,
        "tier_from": Decimal(tier.tier_from),
        "tier_to": None if tier.tier_to is None else Decimal(tier.tier_to),
        "owner_id": tier.owner_id,
        "zone": tier.zone,
        "currency": tier.currency,
        "valid_from": tier.valid_from,
        "valid_to": tier.valid_to,
        "slug": tier.slug.lower(),
        "basis": tier.basis,
        "per_quantity": tier.per_quantity,
        "per_seconds": tier.per_seconds or 1,
        "block_quantity": tier.block_quantity,
        "block_seconds": tier.block_seconds,
        "granularity_seconds": tier.granularity_seconds,
        "minimum_seconds": tier.minimum_seconds,
        "tier_mode": tier.tier_mode,
        "unit_price_e26": Decimal(_numerator(tier.unit_price, PRICE_SCALE) * factor_ppm),
        "tier_price_e26": Decimal(_numerator(tier.tier_price, PRICE_SCALE) * factor_ppm),
        "unit_price": tier.unit_price,
    }


def _problems(version: list[_Tier], factors: list[int]) -> Iterator[_Problem]:
    """Why a price version cannot be used, most basic first."""
    for tier in version:
        yield from (("price_model", detail) for detail in _models(tier))
    yield from (("tier_shape", detail) for detail in _disagreements(version))
    yield from (("tier_shape", detail) for detail in _gaps(version))
    for tier in version:
        yield from (("tier_shape", detail) for detail in _oddities(tier))
        yield from (("tier_shape", detail) for detail in _idle_columns(tier))
        yield from (("price_precision", detail) for detail in _imprecisions(tier, max(factors, default=0)))


def _models(tier: _Tier) -> Iterator[str]:
    if tier.tier_mode == "package" and tier.basis not in ("moved", "units"):
        yield f"a package is of what is moved or counted; {tier.basis} is not"


def _disagreements(version: list[_Tier]) -> Iterator[str]:
    first = version[0]
    for column in _SHARED:
        if len({getattr(tier, column) for tier in version}) > 1:
            yield f"its tiers differ in {column}"
    if first.valid_to is not None and first.valid_to <= first.valid_from:
        yield "valid_to is not after valid_from"
    if len(version) > 1 and first.tier_mode in ("flat", "package"):
        yield f"a {first.tier_mode} price has one tier, not {len(version)}"


def _gaps(version: list[_Tier]) -> Iterator[str]:
    first, last = version[0], version[-1]
    if first.tier_from != 0 and not (first.basis == "units" and first.tier_from == 1):
        yield f"the first tier starts at {first.tier_from}, not at 0"
    for tier, following in pairwise(version):
        if tier.tier_to != following.tier_from:
            yield f"a tier ends at {tier.tier_to}, the next one starts at {following.tier_from}"
        elif tier.tier_to <= tier.tier_from:
            yield f"the tier from {tier.tier_from} is empty"
    if last.tier_to is not None:
        yield f"the last tier ends at {last.tier_to}; leave its tier_to empty"


def _oddities(tier: _Tier) -> Iterator[str]:
    for column in _POSITIVE:
        value = getattr(tier, column)
        if value is not None and value < 1:
            yield f"{column} is {value}; it must be positive"
    for column in _OF_RUNS:
        if (getattr(tier, column) or 0) > LONGEST_SECONDS:
            yield f"{column} is longer than a year"
    if min(tier.unit_price, tier.tier_price) < 0:
        yield f"the tier from {tier.tier_from} has a negative price"
    if tier.tier_mode == "package" and (tier.block_quantity is None or tier.unit_price != 0):
        yield "a package has a block_quantity and a tier_price, and its unit_price is 0"


def _idle_columns(tier: _Tier) -> Iterator[str]:
    """Columns that would be ignored: whoever filled them expects another amount."""
    if tier.basis in ("moved", "units") and tier.per_seconds is not None:
        yield f"per_seconds is set; what is {tier.basis} knows no time"
    if tier.basis != "runtime" and tier.block_seconds is not None:
        yield "block_seconds is set; only runtime is counted in blocks of seconds"
    for column in _OF_RUNS:
        if tier.basis != "runtime" and getattr(tier, column) is not None:
            yield f"{column} is set; only runtime knows runs"
    if tier.basis == "runtime" and tier.block_quantity is not None:
        yield "block_quantity is set; runtime is counted in block_seconds"


def _imprecisions(tier: _Tier, largest_factor_ppm: int) -> Iterator[str]:
    for price in (tier.unit_price, tier.tier_price):
        if _exceeds(price, PRICE_SCALE):
            yield f"{price} has more than {PRICE_SCALE} decimals"
        elif price.adjusted() > PRICE_SCALE or (
            _numerator(price, PRICE_SCALE) * max(largest_factor_ppm, 1) >= NUMERATOR_END
        ):
            yield f"{price} is too large to be computed with exactly"
    minor_digits = MINOR_DIGITS.get(tier.currency)
    if minor_digits is None:
        yield f"the minor unit of {tier.currency} is not known"
    elif tier.tier_mode != "package" and _exceeds(tier.tier_price, minor_digits):
        yield f"the tier price {tier.tier_price} is not payable in {tier.currency}"


def _exceeds(price: Decimal, decimals: int) -> bool:
    return _significant_exponent(price) < -decimals


def _significant_exponent(price: Decimal) -> int:
    """The power of ten of the last digit that is not a zero (0 for zero)."""
    _, digits, exponent = price.as_tuple()
    text = "".join(map(str, digits))
    return int(exponent) + len(text) - len(text.rstrip("0")) if price else 0


def _numerator(price: Decimal, scale: int) -> int:
    """The price in units of 10^-scale; it has no more decimals than that."""
    numerator, denominator = price.as_integer_ratio()
    return numerator * 10**scale // denominator

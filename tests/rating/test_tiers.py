"""How tiers cut a quantity, one step below, on and above each edge."""

import pytest
from rating_month import Case, RatedMonth, case

TEN_TWENTY = ((0, 10, "1"), (10, 20, "0.5"), (20, None, "0.1"))


def priced(name: str, basis: str, tier_mode: str, quantity: int, *tiers: tuple, **columns: object) -> Case:
    priced = case(name).price("thing", basis, *tiers, tier_mode=tier_mode, **columns)
    return priced.counted("thing", quantity) if basis == "units" else priced.moved("thing", quantity)


EDGES = [
    # Measured quantities are lengths from zero.
    ("moved", "graduated", 9, [9_00]),
    ("moved", "graduated", 10, [10_00]),
    ("moved", "graduated", 11, [10_00, 50]),
    ("moved", "graduated", 20, [10_00, 5_00]),
    ("moved", "graduated", 21, [10_00, 5_00, 10]),
    ("moved", "slab", 9, [9_00]),
    ("moved", "slab", 10, [5_00]),
    ("moved", "slab", 19, [9_50]),
    ("moved", "slab", 20, [2_00]),
    # Units are numbered from one: the tier from 10 starts with the tenth.
    ("units", "graduated", 9, [9_00]),
    ("units", "graduated", 10, [9_00, 50]),
    ("units", "graduated", 19, [9_00, 5_00]),
    ("units", "graduated", 20, [9_00, 5_00, 10]),
    ("units", "slab", 9, [9_00]),
    ("units", "slab", 10, [5_00]),
]
EDGE_CASES = [
    (priced(f"edge-{basis}-{mode}-{quantity}", basis, mode, quantity, *TEN_TWENTY), cents)
    for basis, mode, quantity, cents in EDGES
]


@pytest.mark.parametrize(("usage", "cents"), EDGE_CASES, ids=lambda value: getattr(value, "owner_id", None))
def test_an_edge_belongs_to_the_upper_tier(rated: RatedMonth, usage: Case, cents: list[int]):
    assert rated.amounts(usage) == cents


ENTERED = (0, 10, "1", "5"), (10, None, "0.5", "7")

ENTRY_CASES = [
    (priced("entered-graduated", "moved", "graduated", 12, *ENTERED), [15_00, 8_00]),
    (priced("entered-first-only", "moved", "graduated", 10, *ENTERED), [15_00]),
    (priced("entered-slab", "moved", "slab", 12, *ENTERED), [13_00]),
    (priced("not-entered", "moved", "graduated", 0, *ENTERED), []),
    (priced("units-from-one", "units", "graduated", 3, (1, None, "2", "1")), [7_00]),
]


@pytest.mark.parametrize(("usage", "cents"), ENTRY_CASES, ids=lambda value: getattr(value, "owner_id", None))
def test_a_tier_price_is_paid_once_when_the_tier_is_entered(rated: RatedMonth, usage: Case, cents: list[int]):
    assert rated.amounts(usage) == cents


PACKAGE = (0, None, "0", "2.95")
PACKAGES = [
    (priced("package-1", "units", "package", 1, PACKAGE, block_quantity=100), 2_95),
    (priced("package-100", "units", "package", 100, PACKAGE, block_quantity=100), 2_95),
    (priced("package-101", "moved", "package", 101, PACKAGE, block_quantity=100), 5_90),
    (priced("package-cheap", "moved", "package", 3, (0, None, "0", "0.005"), block_quantity=1), 2),
]


@pytest.mark.parametrize(("usage", "cents"), PACKAGES, ids=lambda value: getattr(value, "owner_id", None))
def test_a_package_costs_its_price_per_started_block(rated: RatedMonth, usage: Case, cents: int):
    assert rated.amounts(usage) == [cents]


def test_a_package_prints_its_own_price_and_size(rated: RatedMonth):
    (line,) = rated.charges(PACKAGES[2][0]).iter_rows(named=True)
    assert (line["quantity"], str(line["unit_price"]), line["per_quantity"]) == (200, "2.95000000000000000000", 100)


FREE = [
    # The first ones are free, the others stay where they are in the tiers.
    ("moved", "graduated", 5, 12, [5_00, 1_00]),
    ("moved", "graduated", 10, 12, [1_00]),
    ("moved", "graduated", 12, 12, []),
    ("moved", "slab", 5, 12, [3_50]),
    ("units", "graduated", 5, 12, [4_00, 1_50]),
    ("units", "graduated", 9, 12, [1_50]),
    ("units", "graduated", 10, 12, [1_00]),
    ("units", "slab", 12, 12, []),
]
FREE_CASES = [
    (priced(f"free-{basis}-{mode}-{free}", basis, mode, quantity, *TEN_TWENTY).free_of("thing", free), cents)
    for basis, mode, free, quantity, cents in FREE
]


@pytest.mark.parametrize(("usage", "cents"), FREE_CASES, ids=lambda value: getattr(value, "owner_id", None))
def test_what_is_free_is_taken_from_the_lowest_tiers(rated: RatedMonth, usage: Case, cents: list[int]):
    assert rated.amounts(usage) == cents


flat_free = priced("free-flat", "moved", "flat", 12, (0, None, "1")).free_of("thing", 4)
packaged_free = (
    case("free-package")
    .price("thing", "moved", (0, None, "0", "3"), tier_mode="package", block_quantity=5)
    .moved("thing", 12)
    .free_of("thing", 4)
)
own_before_public = (
    priced("free-own", "moved", "flat", 12, (0, None, "1")).free_of("thing", 2).free_of("another thing", 12)
)


def test_a_flat_price_and_packages_count_what_is_not_free(rated: RatedMonth):
    assert rated.amounts(flat_free) == [8_00]
    assert rated.amounts(packaged_free) == [6_00]


def test_only_the_slug_of_a_rule_is_free(rated: RatedMonth):
    assert rated.amounts(own_before_public) == [10_00]

"""The public price list, loaded as price tiers."""

import csv
import os
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from billing_pipeline.sample.catalogue import (
    COUNTABLE_CSV,
    RUNTIME_CSV,
    UnknownPriceForm,
    price_tiers_from_catalogue,
)

REFERENCE = Path(os.environ.get("BILLING_REFERENCE_DATA", Path(__file__).parents[3] / "shared" / "data"))
SINCE = datetime(2026, 1, 1, tzinfo=UTC)


def load_list(catalogue: str, runtime_csv: Path = RUNTIME_CSV, countable_csv: Path = COUNTABLE_CSV) -> pl.DataFrame:
    return price_tiers_from_catalogue(
        runtime_csv, countable_csv, currency="EUR", catalogue=catalogue, valid_from=SINCE, valid_to=None
    )


def tiers_of(prices: pl.DataFrame, slug: str) -> list[tuple[int, int | None, str]]:
    return prices.filter(pl.col("slug") == slug).select("tier_from", "tier_to", "unit_price").rows()


@pytest.mark.parametrize(
    ("slug", "price"),
    [
        ("apps.pico", "0.00625000000284"),
        ("apps.s", "0.0444444444444444"),
        ("apps.2xl", "0.666666666666667"),
        ("postgresql.xs_sml", "0.0270833333333333"),
        ("mysql.s_sml", "0.0694444444444444"),
        ("mongodb.m_sml", "0.1375"),
        ("redis.m_mono", "0.0173611111111111"),
        ("es.m", "0.111111111111111"),
        ("jenkins.xs", "0.0277777777777778"),
        ("heptapod-runner.m", "0.555555555555556"),
    ],
)
def test_a_flavour_costs_per_hour_what_the_list_of_2026_says(slug: str, price: str) -> None:
    tier = load_list("2026-01-23").filter(pl.col("slug") == slug).row(0, named=True)
    assert tier["unit_price"] == price
    assert (tier["basis"], tier["tier_mode"], tier["per_quantity"], tier["per_seconds"]) == ("runtime", "flat", 1, 3600)


def test_an_s_instance_cost_28_80_for_720_hours_before_2026_and_32_00_since() -> None:
    per_hour = {vintage: tiers_of(load_list(vintage), "apps.s")[0][2] for vintage in ("2025-12-11", "2026-01-23")}
    assert [round(Decimal(price) * 720, 2) for price in per_hour.values()] == [Decimal("28.80"), Decimal("32.00")]


def test_object_storage_has_one_price_for_the_whole_size_by_the_tier_it_falls_in() -> None:
    prices = load_list("2026-01-23")
    assert tiers_of(prices, "cellar.storage") == [
        (0, 10**8, "0"),
        (10**8, 10**12, "0.0000284444444444444"),
        (10**12, 25 * 10**12, "0.0000213333333333333"),
        (25 * 10**12, None, "0.0000142222222222222"),
    ]
    stored = prices.filter(pl.col("slug") == "cellar.storage").row(1, named=True)
    assert (stored["basis"], stored["tier_mode"]) == ("stored", "slab")
    assert (stored["per_quantity"], stored["per_seconds"]) == (10**9, 3600)


def test_traffic_knows_no_time() -> None:
    prices = load_list("2026-01-23")
    outbound = prices.filter(pl.col("slug") == "cellar.outbound")
    assert tiers_of(prices, "cellar.outbound") == [(0, 10**13, "0.09"), (10**13, None, "0.07")]
    assert set(outbound["basis"]) == {"moved"}
    assert outbound["per_seconds"].null_count() == outbound.height


def test_pulsar_traffic_is_graduated() -> None:
    prices = load_list("2026-01-23")
    pulsar = prices.filter(pl.col("slug") == "pulsar.throughput.out")
    assert set(pulsar["tier_mode"]) == {"graduated"}
    assert [price for _, _, price in tiers_of(prices, "pulsar.throughput.out")] == ["0", "0.8", "0.5", "0.4", "0.3"]


def users_cost(prices: pl.DataFrame, slug: str, users: int) -> Decimal:
    """The contract's rule for counted units, written out: blocks are rounded up inside each tier's part."""
    cost = Decimal(0)
    for tier in prices.filter(pl.col("slug") == slug).iter_rows(named=True):
        upper = users if tier["tier_to"] is None else min(users, tier["tier_to"] - 1)
        part = max(0, upper - max(tier["tier_from"] - 1, 0))
        blocks = -(-part // tier["block_quantity"])
        cost += blocks * tier["block_quantity"] * Decimal(tier["unit_price"]) / tier["per_quantity"]
    return cost


@pytest.mark.parametrize(("users", "cost"), [(1, 0), (100, 0), (101, 8), (200, 8), (201, 16)])
def test_public_heptapod_users_are_paid_by_the_hundred_above_one_hundred(users: int, cost: int) -> None:
    assert users_cost(load_list("2026-01-23"), "heptapod.public_active_users", users) == cost


def test_the_list_of_2025_means_the_same_hundred_users_although_it_writes_the_edge_as_100() -> None:
    prices = load_list("2025-12-11")
    assert users_cost(prices, "heptapod.public_active_users", 100) == 0
    assert users_cost(prices, "heptapod.public_active_users", 101) == 7


def test_twelve_private_heptapod_users_cost_84_a_month() -> None:
    assert users_cost(load_list("2026-01-23"), "heptapod.private_active_users", 12) == 84


def test_what_an_older_list_gave_away_first_is_a_free_tier() -> None:
    assert tiers_of(load_list("2025-12-11"), "pulsar_throughput_out") == [
        (0, 2 * 10**9, "0"),
        (2 * 10**9, 10**11, "0.04"),
        (10**11, None, "0.032"),
    ]


@pytest.mark.parametrize("catalogue", ["2025-12-11", "2026-01-23"])
def test_the_tiers_of_a_price_leave_no_gap_and_do_not_overlap(catalogue: str) -> None:
    for price in load_list(catalogue).partition_by("price_id", maintain_order=True):
        assert price["tier_from"][0] == 0
        assert price["tier_to"].to_list() == [*price["tier_from"].to_list()[1:], None]


def test_a_vintage_that_is_not_in_the_list_is_not_an_empty_price_list() -> None:
    with pytest.raises(UnknownPriceForm, match="1999-01-01"):
        load_list("1999-01-01")


def test_a_price_per_minute_is_refused_rather_than_read_as_one_per_hour(tmp_path: Path) -> None:
    changed = tmp_path / "runtime.csv"
    changed.write_text(RUNTIME_CSV.read_text().replace("PT1H", "PT1M"))
    with pytest.raises(UnknownPriceForm, match="PT1M"):
        load_list("2026-01-23", runtime_csv=changed)


def reference_list(name: str) -> list[dict[str, str]]:
    path = REFERENCE / name
    if not path.exists():
        pytest.skip(f"no reference data at {REFERENCE} (BILLING_REFERENCE_DATA)")
    with path.open(newline="") as lines:
        return list(csv.DictReader(lines))


@pytest.mark.parametrize(
    ("catalogue", "currency"),
    [("2021-05-07", "EUR"), ("2025-12-11", "EUR"), ("2025-12-11", "USD"), ("2026-01-23", "EUR"), ("2026-01-23", "USD")],
)
def test_every_published_price_of_every_vintage_loads(catalogue: str, currency: str) -> None:
    runtime, countable = (
        [row for row in reference_list(name) if (row["catalogue"], row["currency"]) == (catalogue, currency)]
        for name in ("clever_price_runtime.csv", "clever_price_countable.csv")
    )
    prices = price_tiers_from_catalogue(
        REFERENCE / "clever_price_runtime.csv",
        REFERENCE / "clever_price_countable.csv",
        currency=currency,
        catalogue=catalogue,
        valid_from=SINCE,
    )
    loaded = set(prices.select("slug", "unit_price").rows())
    published = {(row["slug_id"], row["price"]) for row in runtime}
    published |= {(row["service"], row["price"]) for row in countable}
    assert published <= loaded
    given_away = sum(row["tier"] == "1" and row["first_x_free"] not in ("", "0") for row in countable)
    assert prices.height == len(runtime) + len(countable) + given_away
    assert prices.select("price_id", "tier_from").is_unique().all()


@pytest.mark.parametrize(
    ("shipped", "published"),
    [(RUNTIME_CSV, "clever_price_runtime.csv"), (COUNTABLE_CSV, "clever_price_countable.csv")],
)
def test_the_shipped_figures_are_the_published_ones(shipped: Path, published: str) -> None:
    with shipped.open(newline="") as lines:
        rows = list(csv.DictReader(lines))
    expected = [
        row
        for row in reference_list(published)
        if row["currency"] == "EUR" and row["catalogue"] in ("2025-12-11", "2026-01-23")
    ]
    assert rows == expected

"""What the published price list of 2026 (and one price of 2021) makes of known quantities."""

from datetime import timedelta

import pytest
from rating_month import GB, HOUR, MB, TB, Case, RatedMonth, case, october

OCTOBER_1 = october(1)

CELLAR = (
    (0, 100 * MB, "0"),
    (100 * MB, TB, "0.0000284444444444444"),
    (TB, 25 * TB, "0.0000213333333333333"),
    (25 * TB, None, "0.0000142222222222222"),
)
CELLAR_OUT = ((0, 10 * TB, "0.09"), (10 * TB, None, "0.07"))
FS_BUCKET = ((0, 100 * MB, "0"), (100 * MB, None, "0.00229166666666667"))
HEPTAPOD_STORAGE = ((0, GB, "0"), (GB, None, "0.0000277777777777778"))
PULSAR_THROUGHPUT = (
    (0, 512 * MB, "0"),
    (512 * MB, 100 * GB, "0.8"),
    (100 * GB, 500 * GB, "0.5"),
    (500 * GB, 5 * TB, "0.4"),
    (5 * TB, None, "0.3"),
)
PULSAR_HOT = (
    (0, 256 * MB, "0"),
    (256 * MB, 50 * GB, "0.00027777777"),
    (50 * GB, 250 * GB, "0.00020833333"),
    (250 * GB, TB, "0.00016666666"),
    (TB, None, "0.00013888888"),
)
PULSAR_COLD = ((0, None, "0.00002083333"),)


def stored(name: str, slug: str, tiers: tuple, tier_mode: str, stored_bytes: int, hours: int) -> Case:
    return (
        case(name)
        .price(slug, "stored", *tiers, tier_mode=tier_mode, per_quantity=GB)
        .stored(slug, stored_bytes)
        .stored(slug, 0, since=OCTOBER_1 + hours * HOUR)
    )


def moved(name: str, slug: str, tiers: tuple, tier_mode: str, moved_bytes: int) -> Case:
    return case(name).price(slug, "moved", *tiers, tier_mode=tier_mode, per_quantity=GB).moved(slug, moved_bytes)


def counted(name: str, slug: str, tiers: tuple, quantity: int, block: int | None = None) -> Case:
    return (
        case(name)
        .price(slug, "units", *tiers, tier_mode="graduated", block_quantity=block, per_quantity=block or 1)
        .counted(slug, quantity)
    )


def ran(name: str, slug: str, unit_price: str, duration: timedelta) -> Case:
    return case(name).price(slug, "runtime", (0, None, unit_price)).ran(slug, OCTOBER_1, OCTOBER_1 + duration)


HEPTAPOD_PUBLIC = ((0, 101, "0"), (101, None, "8"))

PUBLISHED = [
    (stored("cellar-744h", "cellar.storage", CELLAR, "slab", 150 * GB, 744), 3_17),
    (stored("cellar-720h", "cellar.storage", CELLAR, "slab", 150 * GB, 720), 3_07),
    (moved("cellar-out-slab", "cellar.outbound", CELLAR_OUT, "slab", 12 * TB), 840_00),
    (moved("cellar-out-graduated", "cellar.outbound", CELLAR_OUT, "graduated", 12 * TB), 1040_00),
    (moved("pulsar-out", "pulsar.throughput.out", PULSAR_THROUGHPUT, "graduated", 700 * GB), 359_59),
    (stored("pulsar-hot", "pulsar.storage.hot", PULSAR_HOT, "graduated", 300 * GB, 720), 45_95),
    (stored("pulsar-cold", "pulsar.storage.cold", PULSAR_COLD, "graduated", TB, 720), 15_00),
    (counted("heptapod-public-100", "heptapod.public_active_users", HEPTAPOD_PUBLIC, 100, 100), 0),
    (counted("heptapod-public-101", "heptapod.public_active_users", HEPTAPOD_PUBLIC, 101, 100), 8_00),
    (counted("heptapod-public-200", "heptapod.public_active_users", HEPTAPOD_PUBLIC, 200, 100), 8_00),
    (counted("heptapod-public-201", "heptapod.public_active_users", HEPTAPOD_PUBLIC, 201, 100), 16_00),
    (counted("heptapod-private", "heptapod.private_active_users", ((0, None, "7"),), 12), 84_00),
    (stored("heptapod-storage", "heptapod.storage", HEPTAPOD_STORAGE, "slab", 55 * GB // 10, 720), 11),
    (stored("fs-bucket", "fsbucket.storage", FS_BUCKET, "slab", 2 * GB, 720), 3_30),
    (ran("apps-s-720h", "apps.S", "0.0444444444444444", 720 * HOUR), 32_00),
    (ran("apps-s-744h", "apps.S", "0.0444444444444444", 744 * HOUR), 33_07),
    (ran("build-on-m-2021", "apps.M", "0.09999924", timedelta(minutes=12, seconds=42)), 2),
]


@pytest.mark.parametrize(("usage", "cents"), PUBLISHED, ids=lambda value: getattr(value, "owner_id", None))
def test_the_published_prices_give_the_known_amounts(rated: RatedMonth, usage: Case, cents: int):
    assert rated.total(usage) == cents


CLIFF = [
    (moved("cellar-out-below", "cellar.outbound", CELLAR_OUT, "slab", 10 * TB - 10 * GB), 899_10),
    (moved("cellar-out-one-byte-below", "cellar.outbound", CELLAR_OUT, "slab", 10 * TB - 1), 900_00),
    (moved("cellar-out-on-the-edge", "cellar.outbound", CELLAR_OUT, "slab", 10 * TB), 700_00),
    (moved("cellar-out-one-byte-above", "cellar.outbound", CELLAR_OUT, "slab", 10 * TB + 1), 700_00),
]


@pytest.mark.parametrize(("usage", "cents"), CLIFF, ids=lambda value: getattr(value, "owner_id", None))
def test_a_slab_is_a_cliff_and_its_edge_belongs_to_the_upper_tier(rated: RatedMonth, usage: Case, cents: int):
    assert rated.amounts(usage) == [cents]

"""Edges: what ends or begins where a price or the month does, and sums over the parts of one line."""

from datetime import datetime, timedelta
from decimal import Decimal

import pytest
from rating_month import HOUR, LONG_AGO, MICROSECOND, PERIOD, Case, RatedMonth, case, october

SECOND = timedelta(seconds=1)
NOON = october(12, 12)


def granular(name: str, granularity: int | None, minimum: int | None = None) -> Case:
    """One euro a second for runs of a granularity and a minimum."""
    return case(name).price(
        "runner.M", "runtime", (0, None, "1"), per_seconds=1, price_id=name, granularity_seconds=granularity,
        minimum_seconds=minimum,
    )  # fmt: skip


def seconds(rated: RatedMonth, usage: Case) -> int:
    return int(rated.charges(usage)["quantity"].sum())


ends_with_month = granular("edge-minimum", 10, 60).ran("runner.M", PERIOD.end - 20 * SECOND, PERIOD.end)
whole_granules = granular("edge-whole", 600, 1800).ran("runner.M", NOON, NOON + 600 * SECOND)
just_over = granular("edge-over", 600, 1800).ran("runner.M", NOON, NOON + 600 * SECOND + MICROSECOND)


def test_a_run_that_ends_with_the_month_is_topped_up_in_it(rated: RatedMonth):
    assert seconds(rated, ends_with_month) == 60


def test_the_minimum_is_of_whole_granules(rated: RatedMonth):
    assert seconds(rated, whole_granules) == 1800
    assert seconds(rated, just_over) == 1800


begun_before = granular("edge-begun", 600).ran(
    "runner.M", PERIOD.start - MICROSECOND, PERIOD.start + 600 * SECOND - MICROSECOND
)
late_fault = granular("edge-fault", 600).ran("runner.M", NOON, NOON + 1200 * SECOND, instance_id="late-fault")
late_fault.unusable("late-fault", NOON + 600 * SECOND + MICROSECOND, NOON + 1200 * SECOND)
two_faults = granular("edge-faults", 600).ran("runner.M", NOON, NOON + 3000 * SECOND, instance_id="two-faults")
two_faults.unusable("two-faults", NOON + 600 * SECOND, NOON + 1200 * SECOND)
two_faults.unusable("two-faults", NOON + 1800 * SECOND, NOON + 2400 * SECOND)


def test_a_granule_that_began_a_microsecond_before_the_month_is_of_the_month_before(rated: RatedMonth):
    assert rated.amounts(begun_before) == []


def test_a_granule_that_was_usable_for_a_microsecond_is_billed(rated: RatedMonth):
    assert seconds(rated, late_fault) == 1200


def test_all_free_granules_of_a_run_are_free(rated: RatedMonth):
    assert seconds(rated, two_faults) == 1800


minimal = granular("edge-measured", None, 60).ran("runner.M", NOON, NOON + 90 * SECOND)


def test_a_price_with_a_minimum_alone_counts_exactly_what_was_measured(rated: RatedMonth):
    assert rated.of("segments", minimal)["granulated_us"].to_list() == [90_000_000]


def two_prices(name: str, **columns: object) -> Case:
    return (
        case(name)
        .price("runner.M", "runtime", (0, None, "1"), price_id=f"{name}-1", valid_to=NOON, **columns)
        .price("runner.M", "runtime", (0, None, "1"), price_id=f"{name}-2", valid_from=NOON, **columns)
    )


broken_end = two_prices("edge-broken", minimum_seconds=3600)
broken_end.ran("runner.M", NOON - 600 * SECOND, NOON + 600 * SECOND, instance_id="broken-end")
broken_end.unusable("broken-end", NOON, NOON + 600 * SECOND)


def test_a_run_is_topped_up_where_it_ends_even_if_nothing_of_it_was_usable_there(rated: RatedMonth):
    segments = rated.of("segments", broken_end).sort("price_id")
    assert segments["granulated_us"].to_list() == [600_000_000, 2_400_000_000]


@pytest.mark.parametrize(
    "touching",
    [
        two_prices("edge-touching", granularity_seconds=60)
        .ran("runner.M", NOON - 600 * SECOND, NOON)
        .ran("runner.M", NOON - 300 * SECOND, NOON),
        two_prices("edge-plain").ran("runner.M", NOON - 600 * SECOND, NOON),
    ],
    ids=["granular", "plain"],
)
def test_a_run_that_ends_where_a_price_begins_has_nothing_of_it(rated: RatedMonth, touching: Case):
    assert rated.of("segments", touching)["price_id"].to_list() == [f"{touching.owner_id}-1"]


@pytest.mark.parametrize(
    "touching",
    [
        two_prices("edge-starting", granularity_seconds=60).ran("runner.M", NOON, NOON + 600 * SECOND),
        two_prices("edge-starting-plain").ran("runner.M", NOON, NOON + 600 * SECOND),
    ],
    ids=["granular", "plain"],
)
def test_a_run_that_begins_where_a_price_ends_has_nothing_of_it(rated: RatedMonth, touching: Case):
    assert rated.of("segments", touching)["price_id"].to_list() == [f"{touching.owner_id}-2"]


# A price that returns after a sale makes several spans of one line.
def on_sale(name: str, slug: str, basis: str, **columns: object) -> Case:
    sale = {"zone": "par", "valid_from": october(10), "valid_to": october(20)}
    usage = case(name).price(slug, basis, (0, None, "1"), price_id=f"{name}-usual", **columns)
    return usage.price(slug, basis, (0, None, "1"), price_id=f"{name}-sale", **sale, **columns)


sold_granules = on_sale("sale-granules", "runner.M", "runtime", granularity_seconds=3600)
sold_granules.ran("runner.M", october(5), october(6)).ran("runner.M", october(25), october(27))
sold_bytes = on_sale("sale-bytes", "disk", "stored").stored("disk", 3)
sold_blocks = on_sale("sale-blocks", "disk", "stored", block_quantity=2).stored("disk", 3)
sold_traffic = on_sale("sale-traffic", "out", "moved").moved("out", 5).moved("out", 7, october(25), october(26))
DAY_S = 86_400


@pytest.mark.parametrize(
    ("usage", "quantity"),
    [(sold_granules, 3 * DAY_S), (sold_bytes, 3 * 21 * DAY_S), (sold_blocks, 4 * 21 * DAY_S), (sold_traffic, 12)],
    ids=["granules", "stored", "blocks", "moved"],
)
def test_a_price_that_returns_sums_what_it_counted_before_and_after(rated: RatedMonth, usage: Case, quantity: int):
    lines = rated.charges(usage).filter(price_id=f"{usage.owner_id}-usual")
    assert lines["quantity"].to_list() == [quantity]


# Three prices cut a meter's month twice; another meter's only cut is elsewhere than most.
thrice = case("edge-thrice")
for number, (since, until) in enumerate([(LONG_AGO, october(10)), (october(10), october(20)), (october(20), None)]):
    thrice.price(
        "apps.S", "runtime", (0, None, "1"), price_id=f"thrice-{number}", valid_from=since, valid_to=until
    )
thrice.ran("apps.S", october(9), october(11)).ran("apps.S", october(12), october(21))
elsewhere = (
    case("edge-elsewhere")
    .price("apps.S", "runtime", (0, None, "1"), price_id="elsewhere-0", valid_to=october(7, 5))
    .price("apps.S", "runtime", (0, None, "1"), price_id="elsewhere-1", valid_from=october(7, 5))
    .ran("apps.S", october(7), october(7, 1))
    .ran("apps.S", october(7, 2), october(7, 6))
    .ran("apps.S", october(7, 8), october(7, 9))
)


def test_runs_are_summed_within_each_price_however_often_it_changes(rated: RatedMonth):
    hours = rated.charges(thrice).select("price_id", "quantity").rows()
    assert hours == [("thrice-0", DAY_S), ("thrice-1", 9 * DAY_S), ("thrice-2", DAY_S)]
    assert rated.charges(elsewhere)["quantity"].to_list() == [4 * 3600, 2 * 3600]


blink = case("edge-blink").price("apps.S", "runtime", (0, None, "1"), price_id="blink")
blink.ran("apps.S", NOON, NOON + MICROSECOND)


def test_a_microsecond_is_usage(rated: RatedMonth):
    assert rated.of("segments", blink)["duration_us"].to_list() == [1]


ghostly = case("edge-host").price("ghost.S", "runtime", (0, None, "1"), owner_id=None, price_id="ghost-price")
ghostly.ran("ghost.S", NOON, NOON + HOUR, owner_id="edge-ghost")
closed = case("edge-closed").version(PERIOD.start, closes_at=october(20), closed_on=october(19).date())
closed.price("apps.S", "runtime", (0, None, "1")).ran("apps.S", october(19), october(25))


def test_usage_of_an_organisation_without_any_version_is_reported(rated: RatedMonth):
    assert rated.marts["unrated"].filter(owner_id="edge-ghost").rows() == [
        ("edge-ghost", None, "org_unknown", "ghost.s in par from 2026-10-01T00:00:00Z")
    ]


def test_usage_ends_where_its_owner_closes_and_nobody_is_parked_for_it(rated: RatedMonth):
    assert rated.amounts(closed) == [24_00]
    assert rated.reasons(closed) == []


foreign = (
    case("edge-foreign")
    .price("apps.S", "runtime", (0, None, "1"), price_id="foreign-1", currency="USD")
    .price("apps.S", "runtime", (0, None, "1"), price_id="foreign-2", currency="GBP")
    .ran("apps.S", NOON, NOON + HOUR)
)
refused = (
    case("edge-refused")
    .price("apps.S", "runtime", (0, None, "-1"), price_id="refused-1")
    .price("apps.S", "runtime", (0, None, "-1"), price_id="refused-2")
    .ran("apps.S", NOON, NOON + HOUR)
)


def test_of_several_prices_that_cannot_be_used_the_first_is_named_with_its_own_currency(rated: RatedMonth):
    assert "(price foreign-1 is in USD, the payer's currency is EUR)" in rated.of("unrated", foreign)["detail"].item()
    assert "(price refused-1 (tier_shape) cannot be used)" in rated.of("unrated", refused)["detail"].item()


def test_a_single_price_is_not_said_to_be_one_of_several(rated: RatedMonth):
    assert rated.reasons(blink) == []


entries = case("edge-entries", price_factor_ppm=100_000)
entries.price("dust", "moved", (0, None, "0", "0.01"), price_id="entries")
for letter in "abcdef":
    entries.moved("dust", 1, resource_id=f"entries-{letter}")


def test_small_entry_prices_of_a_shared_line_are_summed_before_they_are_rounded(rated: RatedMonth):
    assert rated.charges(entries).select("resources", "charge_cents").rows() == [(6, 1)]


tiny = case("edge-tiny", price_factor_ppm=499_999)
tiny.price("dust", "moved", (0, None, "0.00000000000000000001"), price_id="tiny").moved("dust", 1)
half = case("edge-half", price_factor_ppm=500_000)
half.price("dust", "moved", (0, None, "0.00000000000000000001"), price_id="half").moved("dust", 1)


def test_a_printed_price_is_rounded_half_away_at_its_twentieth_decimal(rated: RatedMonth):
    assert rated.charges(tiny)["unit_price"].to_list() == [Decimal(0)]
    assert rated.charges(half)["unit_price"].to_list() == [Decimal("0.00000000000000000001")]


def at(hours: float) -> datetime:
    return NOON + hours * HOUR


short = case("edge-short-tier").price(
    "runner.M", "runtime", (0, 300, "1"), (300, None, "1"), tier_mode="graduated", price_id="short",
    granularity_seconds=600,
)  # fmt: skip
short.ran("runner.M", at(0), at(0) + 10 * SECOND)


def test_a_tier_that_granules_alone_reach_lasted_no_time(rated: RatedMonth):
    assert rated.charges(short).select("quantity", "duration_s").rows() == [(300, 10), (300, 0)]

"""Edges: what ends or begins where a price or the month does, and sums over the parts of one line."""

from datetime import datetime, timedelta
from decimal import Decimal

import polars as pl
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
    thrice.price("apps.S", "runtime", (0, None, "1"), price_id=f"thrice-{number}", valid_from=since, valid_to=until)
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


both = two_prices("edge-both")
both.ran("runner.M", at(-2), at(-1)).ran("runner.M", at(-0.5), at(0)).ran("runner.M", at(0), at(1))
early_cut = {"valid_to": october(7, 5)}, {"valid_from": october(7, 5)}
rarely = case("edge-rarely")
for number, validity in enumerate(early_cut):
    rarely.price("apps.S", "runtime", (0, None, "1"), price_id=f"rarely-{number}", **validity)
rarely.ran("apps.S", october(7, 4), october(7, 5))
newly = case("edge-newly")
for number, validity in enumerate(early_cut):
    newly.price("apps.S", "runtime", (0, None, "1"), price_id=f"newly-{number}", **validity)
newly.ran("apps.S", october(7, 5), october(7, 6))


def sources(rated: RatedMonth, usage: Case) -> list[tuple[str, int]]:
    found = rated.marts["charge_sources"].join(rated.of("charges", usage), on="line_id").sort("price_id")
    return found.select("price_id", "source_rows").rows()


def test_runs_that_meet_where_prices_change_are_sources_of_one_line_each(rated: RatedMonth):
    assert rated.charges(both)["quantity"].to_list() == [1.5 * 3600, 3600]
    assert sources(rated, both) == [("edge-both-1", 2), ("edge-both-2", 1)]
    assert rated.of("segments", rarely)["price_id"].to_list() == ["rarely-0"]
    assert rated.of("segments", newly)["price_id"].to_list() == ["newly-1"]


def at_noon(name: str, slug: str, basis: str, **columns: object) -> Case:
    usage = case(name).price(slug, basis, (0, None, "1"), price_id=f"{name}-1", valid_to=NOON, **columns)
    return usage.price(slug, basis, (0, None, "1"), price_id=f"{name}-2", valid_from=NOON, **columns)


resized = at_noon("edge-resized", "disk", "stored").stored("disk", 3).stored("disk", 5, since=NOON)
byte = at_noon("edge-byte", "disk", "stored").stored("disk", 1, since=PERIOD.end - HOUR)
exactly = case("edge-exactly").price("disk", "stored", (0, 2, "1"), (2, None, "1"), tier_mode="graduated")
exactly.stored("disk", 2)
seats = at_noon("edge-seats", "seats", "units").counted("seats", 5, NOON)
nothing = at_noon("edge-nothing", "out", "moved").moved("out", 0)
twice = case("edge-twice").price("out", "moved", (0, None, "1"))
twice.moved("out", 5).moved("out", 7, october(5), october(6))


def test_a_size_that_is_read_where_a_price_begins_is_no_source_of_the_price_before(rated: RatedMonth):
    assert sources(rated, resized) == [("edge-resized-1", 1), ("edge-resized-2", 1)]


def test_one_byte_is_stored(rated: RatedMonth):
    assert rated.charges(byte).select("price_id", "quantity").rows() == [("edge-byte-2", 3600)]


def test_a_size_that_fills_a_tier_exactly_does_not_reach_into_the_next(rated: RatedMonth):
    assert rated.of("segments", exactly)["tier_from"].to_list() == [0]


def test_a_count_where_a_price_begins_is_paid_at_that_price(rated: RatedMonth):
    assert rated.charges(seats).select("price_id", "quantity").rows() == [("edge-seats-2", 5)]


def test_deltas_of_a_month_add_up_and_nothing_moved_is_no_usage(rated: RatedMonth):
    assert rated.charges(twice)["quantity"].to_list() == [12]
    assert rated.of("segments", nothing).is_empty()


def overlaps(rated: RatedMonth, usage: Case) -> list[tuple]:
    return rated.of("overlapped_time", usage).select("reason", "instances", "overlapped_us").rows()


def running(name: str, *runs: tuple) -> Case:
    usage = case(name).price("apps.S", "runtime", (0, None, "1"))
    for instance, started, stopped in runs:
        usage.ran("apps.S", started, stopped, instance_id=f"{name}-{instance}")
    return usage


before = running(
    "edge-earlier",
    ("a", PERIOD.start - 2 * HOUR, PERIOD.start + HOUR),
    ("a", PERIOD.start - 3 * HOUR, PERIOD.start - HOUR),
)
together = running("edge-together", ("a", at(0), None), ("a", at(0), at(1)))
restarted = running("edge-restarted", ("a", PERIOD.end - 2 * HOUR, None), ("a", PERIOD.end - HOUR, None))
several = running("edge-several", *(("ab"[n // 2], at(n % 2), at(n % 2) + HOUR + MICROSECOND) for n in range(4)))


def test_only_what_overlaps_inside_the_month_overlaps(rated: RatedMonth):
    assert overlaps(rated, before) == []


def test_a_start_is_a_second_one_if_it_comes_after_the_one_that_still_runs(rated: RatedMonth):
    assert overlaps(rated, together) == [("overlap", 1, 3_600_000_000)]
    assert overlaps(rated, restarted) == [("double_start", 1, 3_600_000_000)]


def test_overlaps_of_a_microsecond_add_up_over_instances(rated: RatedMonth):
    assert overlaps(rated, several) == [("skew", 2, 2)]


def test_time_overlaps_only_for_who_ran_something(rated: RatedMonth):
    assert rated.marts["overlapped_time"].join(rated.marts["run_meters"], on="owner_id", how="anti").is_empty()
    assert rated.of("overlapped_time", twice).is_empty()


contradicted = running("edge-contradicted", ("a", PERIOD.start - 2 * HOUR, PERIOD.start - HOUR))
contradicted.ran("apps.S", PERIOD.start - HOUR, PERIOD.start, instance_id="edge-contradicted-a")
contradicted.contradicted.append("edge-contradicted-a")
one_broken = running("edge-one-broken", ("a", at(0), at(2)), ("a", at(5), at(6)))
one_broken.unusable("edge-one-broken-a", at(0), at(1), "disk").unusable("edge-one-broken-a", at(0.5), at(1), "rack")
around = running("edge-around", ("a", at(0), at(1)))
around.unusable("edge-around-a", at(-1), at(0)).unusable("edge-around-a", at(1), at(2))
cut_fault = two_prices("edge-cut-fault").ran("runner.M", at(-1), at(1), instance_id="edge-cut-a")
cut_fault.unusable("edge-cut-a", at(-0.5), at(0), "disk").unusable("edge-cut-a", at(0), at(0.5), "rack")


def test_a_contradiction_about_what_ended_with_the_month_before_is_no_problem(rated: RatedMonth):
    assert rated.reasons(contradicted) == []


def test_a_fault_in_one_run_leaves_the_others_of_the_instance_as_they_are(rated: RatedMonth):
    assert seconds(rated, one_broken) == 2 * 3600
    assert rated.of("unusable", one_broken).select("reason", "stopped_at").rows() == [("disk", at(1))]


def test_a_fault_next_to_a_run_is_none_of_it(rated: RatedMonth):
    assert rated.of("unusable", around).is_empty()


def test_a_fault_that_meets_a_new_price_is_told_once(rated: RatedMonth):
    assert sorted(rated.of("unusable", cut_fault)["reason"]) == ["disk", "rack"]


broken_ghost = case("edge-ghost-host").ran("ghost.S", NOON, NOON + HOUR, owner_id="edge-ghost-b", instance_id="ghostly")
broken_ghost.unusable("ghostly", NOON, NOON + HOUR)


def test_what_nobody_can_be_billed_for_is_not_told_to_be_unusable(rated: RatedMonth):
    assert rated.marts["unusable"].filter(instance_id="ghostly").is_empty()


much = case("edge-much").charged_once("1000000", "1000").charged_once("1000", "1000000")
unknown = case("edge-unknown", currency="XTS").charged_once("1", "1").charged_by_vendor("1")
unknown.ran("apps.S", NOON, NOON + HOUR)


def test_large_one_shots_are_exact_to_the_cent(rated: RatedMonth):
    assert rated.amounts(much) == [10**11, 10**11]


def test_what_is_charged_in_a_currency_that_nobody_knows_says_so(rated: RatedMonth):
    told = rated.of("unrated", unknown).select("reason", "detail").rows()
    assert [reason for reason, _ in sorted(told)] == ["currency", "price_missing"]
    assert "charged in XTS, the payer's currency is XTS" in sorted(told)[0][1]
    assert sorted(told)[1][1] == "apps.s in par from 2026-10-01T00:00:00Z"


vendor_unknown = case("edge-vendor-unknown", currency="XTS").charged_by_vendor("1")
handed_over = case("edge-handed-over").version(PERIOD.start, october(11)).version(october(11), payer_id="edge-much")
handed_over.charged_by_vendor("1", charged_at=PERIOD.start).charged_by_vendor("2", charged_at=october(11))


def test_a_vendor_charge_is_paid_by_the_payer_of_its_instant(rated: RatedMonth):
    paid = rated.of("charges", handed_over).select("payer_id", "charge_cents").rows()
    assert sorted(paid) == [("edge-handed-over", 1_00), ("edge-much", 2_00)]
    assert "charged in XTS" in rated.of("unrated", vendor_unknown)["detail"].item()


def test_every_source_belongs_to_a_line(rated: RatedMonth):
    lines = pl.concat(rated.marts[mart].select("line_id") for mart in ("charges", "specific_charges"))
    assert rated.marts["charge_sources"].join(lines, on="line_id", how="anti").is_empty()


def handed(name: str) -> Case:
    usage = case(name).version(PERIOD.start, october(11)).version(october(11), payer_id="edge-much")
    usage.price("apps.S", "runtime", (0, None, "1"))
    return usage.price("apps.M", "runtime", (0, None, "1"))


torn_early = handed("edge-torn-early").ran("apps.S", PERIOD.start - HOUR, october(2), instance_id="torn-early")
torn_early.ran("apps.M", PERIOD.start - HOUR, october(2), instance_id="torn-early")
torn_late = handed("edge-torn-late").ran("apps.S", october(11), october(12), instance_id="torn-late")
torn_late.ran("apps.M", october(11), october(12), instance_id="torn-late")
denied_early = handed("edge-denied-early").ran("apps.S", PERIOD.start, october(2), instance_id="denied-early")
denied_early.contradicted.append("denied-early")
denied_late = handed("edge-denied-late").ran("apps.S", october(11), october(12), instance_id="denied-late")
denied_late.contradicted.append("denied-late")
torn_ghost = case("edge-torn-ghost").ran("apps.S", NOON, NOON + HOUR, instance_id="torn-ghost", owner_id="edge-ghost-c")
torn_ghost.ran("apps.M", NOON, NOON + HOUR, instance_id="torn-ghost", owner_id="edge-ghost-c")
torn_ghost.ran("apps.M", NOON, NOON + HOUR, instance_id="denied-ghost", owner_id="edge-ghost-c")
torn_ghost.contradicted.append("denied-ghost")


@pytest.mark.parametrize(
    ("usage", "payer"),
    [
        (torn_early, "edge-torn-early"), (torn_late, "edge-much"), (denied_early, "edge-denied-early"),
        (denied_late, "edge-much"),
    ],
    ids=["torn at first", "torn later", "denied at first", "denied later"],
)  # fmt: skip
def test_a_contradiction_concerns_the_payer_of_its_instant(rated: RatedMonth, usage: Case, payer: str):
    found = rated.of("unrated", usage).filter(reason=["overlap_flavour", "event_conflict"]["denied" in usage.owner_id])
    assert found["payer_id"].to_list() == [payer]


def test_contradictions_about_what_nobody_owns_are_reported_too(rated: RatedMonth):
    found = rated.marts["unrated"].filter(owner_id="edge-ghost-c")
    assert {"overlap_flavour", "event_conflict"} <= set(found["reason"])


def test_a_minimum_is_exact(rated: RatedMonth):
    assert rated.of("segments", ends_with_month)["granulated_us"].to_list() == [60_000_000]


first_counted = case("edge-first-counted").price("seats", "units", (0, None, "1"))
first_counted.counted("seats", 3, october(2), resource_id="edge-shared-seats")
last_counted = case("edge-last-counted").price("seats", "units", (0, None, "1"))
last_counted.counted("seats", 5, october(3), resource_id="edge-shared-seats")


def test_units_of_a_resource_are_billed_to_whoever_had_most(rated: RatedMonth):
    assert rated.amounts(first_counted) == []
    assert rated.amounts(last_counted) == [5_00]


MINUTES = timedelta(minutes=1)
beating = two_prices("edge-beating")
beating.seen("runner.M", *(NOON + minute * MINUTES for minute in (-5, 0, 5)), instance_id="edge-beating-a")
stopping = two_prices("edge-stopping").seen("runner.M", NOON - 5 * MINUTES, instance_id="edge-stopping-a")
stopping.seen("runner.M", NOON + 10 * MINUTES, instance_id="edge-stopping-b")


def test_a_heartbeat_where_a_price_begins_is_a_source_of_that_price_alone(rated: RatedMonth):
    assert rated.charges(beating)["quantity"].to_list() == [300, 600]
    assert sources(rated, beating) == [("edge-beating-1", 1), ("edge-beating-2", 2)]


def test_a_run_of_heartbeats_that_ends_where_a_price_begins_is_no_source_of_it(rated: RatedMonth):
    assert rated.charges(stopping)["quantity"].to_list() == [300, 300]
    assert sources(rated, stopping) == [("edge-stopping-1", 1), ("edge-stopping-2", 1)]


seen_early = running("edge-seen-early", ("a", PERIOD.start - 3 * HOUR, PERIOD.start + HOUR))
seen_early.seen("apps.S", PERIOD.start - 2 * HOUR, instance_id="edge-seen-early-a")
denied_seen = case("edge-denied-seen").seen("apps.S", PERIOD.start - 5 * MINUTES, instance_id="denied-seen")
denied_seen.contradicted.append("denied-seen")
eleventh = case("edge-eleventh")
eleventh.price("apps.S", "runtime", (0, None, "1"), price_id="eleventh-0", valid_to=october(11))
eleventh.price("apps.S", "runtime", (0, None, "1"), price_id="eleventh-1", valid_from=october(11))
for started in (october(9), october(10), october(12), october(13), october(14)):
    eleventh.ran("apps.S", started, started + HOUR)


def test_what_was_seen_before_the_month_overlaps_nowhere_in_it(rated: RatedMonth):
    assert overlaps(rated, seen_early) == []
    assert overlaps(rated, one_broken) == []
    assert rated.reasons(denied_seen) == []


def test_many_runs_before_and_after_a_change_of_price_are_summed(rated: RatedMonth):
    assert rated.charges(eleventh)["quantity"].to_list() == [2 * 3600, 3 * 3600]


def test_every_count_of_a_resource_takes_part_in_finding_the_largest(rated: RatedMonth):
    ((_, source_rows),) = sources(rated, last_counted)
    assert source_rows == 2

"""Granularity and minimum of a price version: each run counts in whole granules, and at least the minimum."""

import random
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pytest
from rating_month import MICROSECOND, PERIOD, Case, RatedMonth, case, october, rate_month

SECOND = timedelta(seconds=1)


def at(seconds: float) -> datetime:
    return october(3) + timedelta(seconds=seconds)


def granular(name: str, granularity_s: int | None, minimum_s: int | None = None, price: str = "3.6") -> Case:
    """0.1 cents a second, unless said."""
    return case(name).price(
        "runner.M", "runtime", (0, None, price), granularity_seconds=granularity_s, minimum_seconds=minimum_s
    )


def ran(name: str, granularity_s: int | None, minimum_s: int | None, *lengths_s: float) -> Case:
    usage = granular(name, granularity_s, minimum_s)
    for number, length_s in enumerate(lengths_s):
        usage.ran("runner.M", at(3600 * number), at(3600 * number + length_s))
    return usage


def billed_seconds(rated: RatedMonth, usage: Case) -> int:
    return int(rated.charges(usage)["quantity"].sum())


build_2021 = granular("build-before-2021-04", 600, price="0.09999924").ran("runner.M", at(0), at(762))


def test_the_published_build_of_762_seconds_was_billed_1200_in_started_slices_of_ten_minutes(rated: RatedMonth):
    (line,) = rated.charges(build_2021).iter_rows(named=True)
    assert (line["quantity"], line["duration_s"], line["charge_cents"]) == (1200, 762, 3)
    assert rated.of("segments", build_2021).select("duration_us", "granulated_us").rows() == [
        (762_000_000, 1_200_000_000)
    ]


COUNTED = [
    (ran("runner-1s", 10, None, 1), 10),
    (ran("runner-10s", 10, None, 10), 10),
    (ran("runner-just-over", 10, None, 10.000001), 20),
    (ran("runner-many", 10, None, 1, 11, 20), 10 + 20 + 20),
    (ran("minimum-0s", None, 60, 0), 0),
    (ran("minimum-1s", None, 60, 1), 60),
    (ran("minimum-60s", None, 60, 60), 60),
    (ran("minimum-61s", None, 60, 61), 61),
    (ran("minimum-fraction", None, 60, 60.7, 60.7), 121),
    (ran("minimum-each-run", None, 60, 1, 1, 100), 60 + 60 + 100),
    (ran("both-1s", 10, 60, 1), 60),
    (ran("both-61s", 10, 60, 61), 70),
    (ran("both-odd", 7, 60, 1), 60),
]


@pytest.mark.parametrize(("usage", "seconds"), COUNTED, ids=lambda value: getattr(value, "owner_id", None))
def test_each_run_is_rounded_up_to_granules_and_topped_up_to_the_minimum(rated: RatedMonth, usage: Case, seconds: int):
    assert billed_seconds(rated, usage) == seconds


restarted = granular("restarted", 600)
for number in range(3):
    restarted.ran("runner.M", at(100 * number), at(100 * number + 100), instance_id="restarted-i")


def test_runs_that_touch_are_one_and_share_its_granules(rated: RatedMonth):
    assert billed_seconds(rated, restarted) == 600


slices = (
    granular("started-slices", 600)
    .ran("runner.M", PERIOD.start - 250 * SECOND, PERIOD.start + 100 * SECOND)
    .ran("runner.M", PERIOD.start - 250 * SECOND, PERIOD.start + 351 * SECOND)
    .ran("runner.M", PERIOD.end - 10 * SECOND, None)
)
month_before = granular("slice-of-the-month-before", 600).ran(
    "runner.M", PERIOD.start - 250 * SECOND, PERIOD.start + 100 * SECOND
)


def test_a_granule_belongs_to_the_month_that_it_begins_in(rated: RatedMonth):
    assert billed_seconds(rated, slices) == 600 + 600
    assert rated.amounts(month_before) == []
    assert rated.of("segments", month_before).select("duration_us", "granulated_us").rows() == [(100_000_000, 0)]


short_edge = granular("short-over-the-edge", 10, 60).ran(
    "runner.M", PERIOD.start - 5 * SECOND, PERIOD.start + 6 * SECOND
)
goes_on = (
    granular("goes-on-at-the-end", 10, 60)
    .ran("runner.M", PERIOD.end - 5 * SECOND, PERIOD.end, "goes-on-i")
    .ran("runner.M", PERIOD.end, PERIOD.end + 6 * SECOND, "goes-on-i")
)
running = granular("still-running", 10, 60).ran("runner.M", PERIOD.end - 5 * SECOND, None)
crossing = granular("ends-next-month", 10, 60).ran("runner.M", PERIOD.end - 5 * SECOND, PERIOD.end + 6 * SECOND)


def test_the_top_up_is_of_the_whole_run_and_falls_where_it_ends(rated: RatedMonth):
    assert billed_seconds(rated, short_edge) == 10 + 40
    assert billed_seconds(rated, running) == 10
    assert billed_seconds(rated, crossing) == billed_seconds(rated, goes_on) == 10


# The month before billed the granules that began in it; from then on the same ones go on.
told_in_two_rows = (
    granular("told-in-two-rows", 600)
    .ran_before("runner.M", PERIOD.start - 850 * SECOND, PERIOD.start - 100 * SECOND, "told-in-two-rows-i")
    .ran("runner.M", PERIOD.start - 100 * SECOND, PERIOD.start + 351 * SECOND, "told-in-two-rows-i")
)
starts_with_the_month = (
    granular("starts-with-the-month", 600)
    .ran_before("runner.M", PERIOD.start - 850 * SECOND, PERIOD.start, "starts-with-the-month-i")
    .ran("runner.M", PERIOD.start, PERIOD.start + 350 * SECOND, "starts-with-the-month-i")
)
seen_since_long = (
    granular("seen-since-long", None, 3 * 86_400)
    .ran_before("runner.M", PERIOD.start - 900_000 * SECOND, PERIOD.start - 300 * SECOND, "seen-since-long-i")
    .seen("runner.M", *(PERIOD.start + number * 300 * SECOND for number in (-1, 0)), instance_id="seen-since-long-i")
)
did_not_go_on = (
    granular("did-not-go-on", 600)
    .ran_before("runner.M", PERIOD.start - 850 * SECOND, PERIOD.start - 100 * SECOND, "did-not-go-on-i")
    .ran("runner.M", PERIOD.start - 99 * SECOND, PERIOD.start + 351 * SECOND, "did-not-go-on-i")
)


@pytest.mark.parametrize(
    ("usage", "seconds"),
    [(told_in_two_rows, 600), (starts_with_the_month, 0), (seen_since_long, 300), (did_not_go_on, 0)],
    ids=["two rows", "starts with the month", "heartbeats", "another run"],
)
def test_granules_and_minimum_are_of_the_run_that_the_month_before_knew(rated: RatedMonth, usage: Case, seconds: int):
    assert rated.of("segments", usage)["granulated_us"].to_list() == [seconds * 1_000_000]


def test_a_run_is_carried_from_its_true_start_as_long_as_it_may_go_on(rated: RatedMonth):
    goes_on = [restarted_at_the_end, restarted_since_before]
    carried = {
        usage.owner_id: rated.of("carried_runs", usage).select("started_at", "stopped_at").rows() for usage in goes_on
    }

    assert carried == {
        "restarted-at-the-end": [(PERIOD.end - 20 * SECOND, PERIOD.end - 10 * SECOND)],
        "restarted-since-before": [(PERIOD.start - 850 * SECOND, PERIOD.end - SECOND)],
    }
    assert rated.of("carried_runs", running).is_empty()


restarted_at_the_end = granular("restarted-at-the-end", 10)
restarted_at_the_end.ran("runner.M", PERIOD.end - 20 * SECOND, PERIOD.end - 10 * SECOND, "restarted-at-the-end-i")
restarted_at_the_end.ran("runner.M", PERIOD.end - 10 * SECOND, None, "restarted-at-the-end-i")
restarted_since_before = (
    granular("restarted-since-before", 600)
    .ran_before("runner.M", PERIOD.start - 850 * SECOND, PERIOD.start - 100 * SECOND, "restarted-since-before-i")
    .ran("runner.M", PERIOD.start - 100 * SECOND, PERIOD.end - SECOND, "restarted-since-before-i")
    .ran("runner.M", PERIOD.end - SECOND, PERIOD.end + SECOND, "restarted-since-before-i")
)


repriced = (
    case("repriced-granules")
    .price("runner.M", "runtime", (0, None, "1"), price_id="granules-old", granularity_seconds=600, valid_to=at(900))
    .price("runner.M", "runtime", (0, None, "2"), price_id="granules-new", granularity_seconds=60, valid_from=at(900))
    .ran("runner.M", at(0), at(1000))
)


def test_granules_count_again_from_a_new_price_version(rated: RatedMonth):
    assert rated.charges(repriced).select("price_id", "quantity").rows() == [
        ("granules-new", 120),
        ("granules-old", 1200),
    ]


recontracted = (
    granular("recontracted-granules", 600)
    .version(PERIOD.start, at(900))
    .version(at(900), price_factor_ppm=500_000)
    .ran("runner.M", at(0), at(1300))
)


def test_a_new_contract_cuts_no_granule(rated: RatedMonth):
    lines = rated.of("charges", recontracted).sort("price_factor_ppm")
    assert lines.select("price_factor_ppm", "quantity").rows() == [(500_000, 600), (1_000_000, 1200)]


tiered = (
    case("granules-in-tiers")
    .price("runner.M", "runtime", (0, 60, "3.6"), (60, None, "36"), tier_mode="graduated", granularity_seconds=50)
    .ran("runner.M", at(0), at(70))
)


def test_tiers_cut_what_the_granules_make(rated: RatedMonth):
    assert rated.charges(tiered).select("quantity", "duration_s", "charge_cents").rows() == [(60, 60, 6), (40, 10, 40)]


faulty = granular("faulty-granules", 600)
for number, (started, stopped) in enumerate([(600, 1200), (700, 1200), (500, 1300), (1800, 2000), (1700, 2000)]):
    faulty.ran("runner.M", at(0), at(2000), instance_id=f"faulty-{number}")
    faulty.unusable(f"faulty-{number}", at(started), at(stopped))
FAULTY_S = [1800, 2400, 1800, 1800, 1800]
wasted = granular("wasted", 600, 5000).ran("runner.M", at(0), at(700), instance_id="wasted-i")
wasted.unusable("wasted-i", at(-50), at(300), "disk").unusable("wasted-i", at(300), at(900), "rack")
wasted_before = granular("wasted-since-before", 600, 5000).ran(
    "runner.M", PERIOD.start - 300 * SECOND, PERIOD.start + 300 * SECOND, instance_id="wasted-before-i"
)
for since, until in ((-300, -100), (-100, 300)):
    wasted_before.unusable("wasted-before-i", PERIOD.start + since * SECOND, PERIOD.start + until * SECOND)
nearly = granular("nearly-wasted", 600, 5000).ran("runner.M", at(0), at(700), instance_id="nearly-i")
nearly.unusable("nearly-i", at(1), at(900))


def test_a_granule_that_was_wholly_unusable_is_free(rated: RatedMonth):
    assert billed_seconds(rated, faulty) == sum(FAULTY_S)


def test_a_run_that_was_wholly_unusable_is_free_of_the_minimum_too(rated: RatedMonth):
    assert rated.amounts(wasted) == rated.amounts(wasted_before) == []
    assert billed_seconds(rated, nearly) == 600 + 5000 - 1200


measured = ran("measured", None, None, 61.5)


def test_a_price_without_granularity_counts_what_was_measured(rated: RatedMonth):
    assert rated.of("segments", measured).select("duration_us", "granulated_us").rows() == [(61_500_000, None)]


NOVEMBER = replace(PERIOD, month=PERIOD.month.next, start=PERIOD.end, end=datetime(2026, 12, 1, tzinfo=UTC))
TWO_MONTHS = replace(PERIOD, end=NOVEMBER.end)


def random_cases(seed: int) -> list[Case]:
    """Runs and faults around the edge of two months, at prices with every mix of granularity and minimum."""
    rng = random.Random(seed)
    edge, cases = PERIOD.end, []
    for number in range(40):
        granularity, minimum = rng.choice([(600, None), (7, None), (10, 60), (600, 60), (7, 1000), (None, 90)])
        usage = case(f"random-{number}")
        change = edge + rng.randrange(-2000, 2000) * SECOND
        for version, limits in enumerate(({"valid_to": change}, {"valid_from": change})):
            usage.price(
                "runner.M", "runtime", (0, None, "1"), price_id=f"random-{number}-{version}",
                granularity_seconds=granularity, minimum_seconds=minimum, **limits,
            )  # fmt: skip
        for instance in range(3):
            started = edge - rng.randrange(3000) * SECOND - rng.randrange(10**6) * MICROSECOND
            stopped = started + rng.choice([1, 50, 600, 4000]) * rng.random() * SECOND + MICROSECOND
            usage.ran("runner.M", started, stopped, instance_id=f"random-{number}-{instance}")
            if rng.random() < 0.5:
                broken = edge - rng.randrange(1000) * SECOND
                fixed = broken + rng.randrange(1, 2000) * SECOND
                usage.unusable(f"random-{number}-{instance}", broken, max(fixed, edge + SECOND))
        cases.append(usage)
    return cases


RANDOM = random_cases(20261101)


def granules_of(*segments: pl.DataFrame) -> pl.DataFrame:
    """What was counted at each price of the random cases."""
    of_random = pl.concat(segments).filter(pl.col("price_id").str.starts_with("random-"))
    measures = pl.col("granulated_us", "duration_us", "unusable_us").cast(pl.Int64).sum()
    return of_random.group_by("price_id").agg(measures).sort("price_id")


def test_cutting_time_at_the_edge_of_a_month_loses_no_granule(rated: RatedMonth, tmp_path: Path):
    november, both = (
        rate_month(tmp_path / name, RANDOM, period).marts["segments"]
        for name, period in (("november", NOVEMBER), ("both", TWO_MONTHS))
    )
    whole = granules_of(both)

    assert whole.filter(pl.col("unusable_us") > 0, pl.col("granulated_us") > pl.col("duration_us")).height > 10
    assert granules_of(rated.marts["segments"], november).equals(whole)


def expected_granules_us(run: tuple[int, int], fault: tuple[int, int], granularity: int, minimum: int) -> int:
    """One run, granule by granule."""
    began, ended = run
    starts = range(began, ended, granularity)
    ends = [min(start + granularity, ended) for start in starts]
    billed = [not (fault[0] <= start and end <= fault[1]) for start, end in zip(starts, ends, strict=True)]
    whole = len(starts) * granularity
    return sum(billed) * granularity + (max(0, minimum - whole) if any(billed) else 0)


def plain_runs() -> list[tuple[Case, int]]:
    rng, runs = random.Random(7), []
    for number in range(60):
        granularity, minimum = rng.choice([7, 10, 600]), rng.choice([0, 60, 1000])
        started, length = rng.randrange(10**6), rng.randrange(1, 3000)
        fault = sorted((started + rng.randrange(-500, 3500), started + rng.randrange(-500, 3500)))
        usage = granular(f"plain-{number}", granularity, minimum or None)
        usage.ran("runner.M", at(started), at(started + length), instance_id=f"plain-{number}-i")
        usage.unusable(f"plain-{number}-i", at(fault[0]), at(fault[1]))
        runs.append((usage, expected_granules_us((started, started + length), tuple(fault), granularity, minimum)))
    return runs


PLAIN = plain_runs()


def test_granules_are_those_of_a_plain_count(rated: RatedMonth):
    assert [billed_seconds(rated, usage) for usage, _ in PLAIN] == [seconds for _, seconds in PLAIN]
    assert 0 < sum(seconds == 0 for _, seconds in PLAIN) < len(PLAIN)

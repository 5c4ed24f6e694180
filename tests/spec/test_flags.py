"""Usage that looks wrong but is billed: at which bounds it is flagged, and what the flag says."""

from datetime import timedelta

import polars as pl
import pytest

from billing_pipeline.rules.flags import (
    FlagLimits,
    appearance,
    collect_flags,
    flag_deltas,
    flag_names,
    flag_runs,
    flag_samples,
    too_long_runs,
)
from billing_pipeline.tables.accounts import Owners

LIMITS = FlagLimits(stale_open=timedelta(days=31), stale_after=timedelta(days=10))
SECOND, DAY = 1_000_000, 86_400_000_000
METERS = pl.DataFrame(
    {
        "meter_id": [0, 1, 2],
        "owner_id": ["acme", "acme", "lab"],
        "resource_id": ["disk", "net", "disk"],
        "slug": ["apps.s", "apps.s", "apps.s"],
    },
    schema_overrides={"meter_id": pl.Int64},
)


@pytest.fixture
def flagged(given):
    """What flags say of runs: (meter, start, stop) in microseconds of October 2026; a null stop is open."""
    period = given.period()

    def of_runs(*runs: tuple) -> list[tuple]:
        schema = {"meter_id": pl.Int64, "started_us": pl.Int64, "stopped_us": pl.Int64}
        rows = [
            (meter, period.start_us + start, None if stop is None else period.start_us + stop)
            for meter, start, stop in runs
        ]
        return _told(flag_runs(pl.DataFrame(rows, schema=schema, orient="row"), METERS, period, LIMITS))

    return of_runs


def _told(flags: pl.DataFrame) -> list[tuple]:
    return flags.select("owner_id", "reason", "rows", "detail").sort(pl.all()).rows()


def test_an_open_run_is_stale_when_it_started_longer_ago_than_the_limit(flagged):
    assert flagged((0, 0, None), (0, -DAY, 31 * DAY)) == []
    (stale,) = flagged((0, -1, None), (1, -10 * DAY, None))
    assert stale == ("acme", "stale_open", 2, "2 rows, e.g. disk: open for 41 days at most")


def test_a_run_longer_than_366_days_parks_its_owner():
    schema = {"meter_id": pl.Int64, "started_us": pl.Int64, "stopped_us": pl.Int64}
    runs = [(0, DAY, 367 * DAY), (2, DAY, 367 * DAY + 1), (2, DAY, 401 * DAY)]
    found = too_long_runs(pl.DataFrame([*runs, (0, 0, None)], schema=schema, orient="row"), METERS)
    said = "2 rows, e.g. disk: 400 days; correct the row, or report the run in parts"
    assert found.rows() == [("lab", "too_long", said)]


@pytest.fixture
def held(given):
    """What flags say of stored values: (meter, since, bytes), days after the start of October 2026."""
    period = given.period()

    def of_samples(*samples: tuple[int, float, int]) -> list[tuple]:
        schema = {"meter_id": pl.Int64, "sampled_us": pl.Int64, "bytes": pl.Int64}
        rows = [(meter, period.start_us + round(day * DAY), size) for meter, day, size in samples]
        return _told(flag_samples(pl.DataFrame(rows, schema=schema, orient="row"), METERS, period, LIMITS))

    return of_samples


def test_a_value_held_longer_than_the_limit_is_a_gap(held):
    assert held((0, 0, 5), (0, 10, 5), (0, 20, 5), (0, 25, 5)) == []
    gap = [("acme", "gap", 1, "1 rows, e.g. disk: held for 12 days at most")]
    assert held((0, 0, 5), (0, 12, 5), (0, 22, 5), (0, 31, 5)) == gap
    assert held((0, 0, 1), (0, 10 + 1 / DAY, 1), (0, 20, 5), (0, 30, 5))[0][1] == "gap"


def test_the_last_value_is_held_until_the_month_ends(held):
    assert held((0, 21, 5)) == []
    assert held((0, 20, 5)) == [("acme", "gap", 1, "1 rows, e.g. disk: held for 11 days at most")]
    # Whatever comes after the month.
    assert held((0, 21, 5), (0, 40, 5)) == []


def test_the_longest_of_an_owners_gaps_is_named(held):
    (gap,) = held((0, 0, 5), (0, 12, 5), (1, 0, 5), (1, 14, 5), (0, 22, 5), (1, 24, 5), (0, 31, 5), (1, 31, 5))
    assert gap == ("acme", "gap", 2, "2 rows, e.g. disk: held for 14 days at most")


def test_nothing_stored_is_no_gap(held):
    assert held((0, 0, 0), (0, 25, 5)) == []


def test_a_value_is_held_until_the_next_of_its_resource_whoever_owns_it_then(held):
    assert held((0, 0, 5), (2, 9, 5), (2, 18, 5), (2, 27, 5)) == []


def _spikes(*sizes: int) -> list[tuple]:
    rows = [(1, place, size) for place, size in enumerate(sizes)]
    schema = {"meter_id": pl.Int64, "started_us": pl.Int64, "bytes": pl.Int64}
    return _told(flag_deltas(pl.DataFrame(rows, schema=schema, orient="row"), METERS))


def test_more_than_ten_times_what_was_usual_is_a_spike():
    assert _spikes(*[7] * 10, 70) == []
    assert _spikes(*[7] * 10, 71) == [("acme", "spike", 1, "1 rows, e.g. net: up to 71 bytes at once")]


def test_what_is_usual_needs_ten_values():
    assert _spikes(*[7] * 9, 1_000) == []


def test_what_is_usual_is_nine_tenths_of_the_last_hundred_values():
    # The largest tenth of ten values does not count; before a hundred values ago, nothing does.
    assert len(_spikes(*[7] * 9, 1_000, 71)) == 1
    assert _spikes(*[7] * 8, 1_000, 1_000, 71) == []
    assert len(_spikes(*[1_000] * 11, *[7] * 90, 71)) == 1
    assert _spikes(*[1_000] * 12, *[7] * 89, 71) == []


def test_who_moved_nothing_before_is_measured_by_one_byte():
    assert _spikes(*[0] * 10, 10) == []
    assert len(_spikes(*[0] * 10, 11)) == 1


def test_values_are_compared_within_their_meter():
    schema = {"meter_id": pl.Int64, "started_us": pl.Int64, "bytes": pl.Int64}
    rows = [(place % 2, place, 7 if place % 2 else 1_000) for place in range(30)]
    assert _told(flag_deltas(pl.DataFrame(rows, schema=schema, orient="row"), METERS)) == []


def _owners(*unsafe: str) -> pl.DataFrame:
    rows = [(owner, None, owner in unsafe) for owner in ("acme", "lab", "shop")]
    return Owners.validate(pl.DataFrame(rows, schema=Owners.create_empty().schema, orient="row"))


def test_names_that_differ_but_not_to_the_eye_are_flagged(given):
    organisations = given.organisations(
        {"owner_id": "acme", "name": "Acme"}, {"owner_id": "lab", "name": "Асmé"}, {"owner_id": "shop", "name": "Shop"}
    )
    said = "looks like the name of another organisation"
    assert _told(flag_names(organisations, _owners())) == [
        ("acme", "name_confusable", 1, f"1 rows, e.g. Acme: {said}"),
        ("lab", "name_confusable", 1, f"1 rows, e.g. Асmé: {said}"),
    ]


def test_the_same_name_twice_is_a_name_that_two_have(given):
    organisations = given.organisations({"owner_id": "acme", "name": "Acme"}, {"owner_id": "lab", "name": "Acme"})
    assert _told(flag_names(organisations, _owners())) == []


def test_names_that_held_hidden_signs_are_flagged(given):
    organisations = given.organisations({"owner_id": "acme", "name": "Acme"}, {"owner_id": "lab", "name": "Lab"})
    said = "1 rows, e.g. Lab: signs that cannot be printed were taken out"
    assert _told(flag_names(organisations, _owners("lab"))) == [("lab", "name_unsafe", 1, said)]


@pytest.mark.parametrize(
    ("name", "looks"), [("Ärzte  GmbH", "arzte gmbh"), ("PAYPA1", "paypal"), ("Ｗｉｄｅ", "wide"), ("0SL0", "oslo")]
)
def test_accents_case_width_and_blanks_do_not_change_the_look(name, looks):
    assert appearance(name) == looks


def test_flags_are_collected_by_feed(given):
    names = flag_names(given.organisations({"owner_id": "lab"}), _owners("lab"))
    collected = collect_flags({"organisations": [names], "a_feed": []})
    assert collected.select("feed", "owner_id", "reason").rows() == [("organisations", "lab", "name_unsafe")]
    assert collect_flags({}).height == 0


def test_the_largest_of_a_meters_spikes_is_named():
    assert _spikes(*[7] * 20, 100, 300, 71) == [("acme", "spike", 3, "3 rows, e.g. net: up to 300 bytes at once")]

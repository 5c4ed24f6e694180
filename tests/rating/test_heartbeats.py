"""Heartbeats become runs: what was seen at close instants ran in between."""

from datetime import datetime, timedelta

import pytest
from rating_month import HOUR, PERIOD, Case, RatedMonth, case, october

MINUTE = timedelta(minutes=1)


def at(minutes: float) -> datetime:
    return october(3) + minutes * MINUTE


def seen(name: str, *minutes: float, source: str = "hypervisor") -> Case:
    """A machine at 0.60 an hour (a cent a minute) that was seen at these minutes."""
    usage = case(name).price("vm.S", "runtime", (0, None, "0.6"))
    return usage.seen("vm.S", *map(at, minutes), instance_id=f"{name}-i", source=source)


SEEN = [
    (seen("seen-once", 0), 5),
    (seen("seen-regularly", 0, 5, 10, 15), 20),
    (seen("seen-with-a-gap-allowed", 0, 15), 20),
    (seen("seen-with-a-gap-too-long", 0, 16), 10),
    (seen("seen-more-often", 0, 1, 2, 3), 8),
    (seen("seen-minutely", 0, 1, 3, source="minutely"), 4),
    (seen("seen-minutely-with-a-gap", 0, 1, 4, source="minutely"), 3),
]


@pytest.mark.parametrize(("usage", "minutes"), SEEN, ids=lambda value: getattr(value, "owner_id", None))
def test_a_run_lasts_from_its_first_heartbeat_to_a_period_after_its_last(rated: RatedMonth, usage: Case, minutes: int):
    assert rated.seconds(usage) == [minutes * 60]
    assert rated.amounts(usage) == [minutes]


resized = (
    seen("resized-machine", 0, 5, 20)
    .price("vm.M", "runtime", (0, None, "1.2"))
    .seen("vm.M", at(8), at(13), instance_id="resized-machine-i")
)


def test_another_flavour_ends_a_run_at_its_first_heartbeat(rated: RatedMonth):
    lines = rated.of("charges", resized).sort("slug")
    assert lines.select("slug", "duration_s").rows() == [("vm.m", 10 * 60), ("vm.s", (8 + 5) * 60)]
    assert rated.reasons(resized) == []


powered_off = seen("powered-off", 0, 5, 20).seen("vm.", at(7), at(12), instance_id="powered-off-i")


def test_a_machine_that_is_powered_off_is_not_billed_and_needs_no_price(rated: RatedMonth):
    assert rated.seconds(powered_off) == [(7 + 5) * 60]
    assert rated.reasons(powered_off) == []
    assert rated.of("segments", powered_off).height == 1


moved = seen("moved-machine", 0, 5)
new_home = case("new-home").price("vm.S", "runtime", (0, None, "0.6"))
new_home.seen("vm.S", at(8), at(13), instance_id="moved-machine-i")


def test_a_machine_that_changes_its_owner_is_billed_to_each_for_its_time(rated: RatedMonth):
    assert rated.seconds(moved) == [8 * 60]
    assert rated.seconds(new_home) == [10 * 60]


told_twice = seen("told-twice", 0, 5, 10).ran("vm.S", at(12), at(30), instance_id="told-twice-i")
told_twice.ran("vm.S", at(60), at(70), instance_id="told-twice-other")


def test_heartbeats_and_intervals_of_an_instance_are_united(rated: RatedMonth):
    runs = rated.marts["runs"].filter(instance_id="told-twice-i")
    assert runs.select("started_at", "stopped_at").rows() == [(at(0), at(30))]
    assert rated.seconds(told_twice) == [(30 + 10) * 60]
    assert rated.of("run_meters", told_twice)["meter_id"].to_list() == runs["meter_id"].to_list()
    (line_id,) = rated.of("charges", told_twice)["line_id"]
    sources = rated.marts["charge_sources"].filter(line_id=line_id).sort("feed")
    assert sources.select("feed", "source_rows").rows() == [("runtime_heartbeats", 3), ("runtime_intervals", 2)]


contradicting = seen("contradicting", 0, 5, 10).price("vm.M", "runtime", (0, None, "1"))
contradicting.ran("vm.M", at(12), at(30), instance_id="contradicting-i")


def test_a_machine_that_is_seen_as_one_thing_and_measured_as_another_is_reported(rated: RatedMonth):
    assert rated.reasons(contradicting) == ["overlap_flavour"]
    assert rated.amounts(contradicting) == []


edges = case("seen-over-the-edges").price("vm.S", "runtime", (0, None, "0.6"))
for sampled_at in (PERIOD.start - 8 * MINUTE, PERIOD.start + 2 * MINUTE, PERIOD.end - 2 * MINUTE, PERIOD.end + MINUTE):
    edges.seen("vm.S", sampled_at, instance_id="edges-vm")
last = case("seen-last-before-the-edge").price("vm.S", "runtime", (0, None, "0.6"))
last.seen("vm.S", PERIOD.end - 2 * MINUTE, instance_id="last-vm")
before = case("seen-before-the-month").price("vm.S", "runtime", (0, None, "0.6"))
before.seen("vm.S", PERIOD.start - 2 * MINUTE, instance_id="before-vm")
outside = case("seen-outside").seen("vm.S", PERIOD.start - HOUR, PERIOD.end, instance_id="outside-vm")


def test_a_run_over_the_edge_of_the_month_is_known_from_both_sides(rated: RatedMonth):
    assert rated.seconds(edges) == [(2 + 5 + 2) * 60]
    assert rated.seconds(last) == [2 * 60]
    assert rated.seconds(before) == [3 * 60]
    assert rated.of("segments", outside).is_empty()
    assert rated.reasons(outside) == []


@pytest.mark.parametrize(("usage", "rows"), [(edges, 3), (last, 1), (before, 1)], ids=lambda value: str(value)[:20])
def test_the_heartbeat_before_the_month_is_a_source_of_the_run_that_crosses_into_it(
    rated: RatedMonth, usage: Case, rows: int
):
    (line_id,) = rated.of("charges", usage)["line_id"]
    sources = rated.marts["charge_sources"].filter(line_id=line_id)
    assert sources.select("feed", "source_rows").rows() == [("runtime_heartbeats", rows)]


repriced = (
    case("seen-over-a-new-price")
    .price("vm.S", "runtime", (0, None, "0.6"), price_id="seen-old", valid_to=at(11))
    .price("vm.S", "runtime", (0, None, "1.2"), price_id="seen-new", valid_from=at(11))
    .seen("vm.S", at(0), at(5), at(10), instance_id="repriced-vm")
)


def test_a_run_that_crosses_into_a_new_price_has_its_last_heartbeat_as_source_of_both_lines(rated: RatedMonth):
    lines = rated.charges(repriced)
    assert lines.select("price_id", "duration_s").rows() == [("seen-new", 4 * 60), ("seen-old", 11 * 60)]
    sources = rated.marts["charge_sources"].join(lines, on="line_id").sort("price_id")
    assert sources.select("price_id", "source_rows").rows() == [("seen-new", 1), ("seen-old", 3)]


broken = seen("broken-machine", 0, 5, 10, 15).unusable("broken-machine-i", at(3), at(7))
granular = case("granular-machine").price("vm.S", "runtime", (0, None, "0.6"), granularity_seconds=600)
granular.seen("vm.S", at(0), at(5), at(10), at(30), instance_id="granular-vm")


def test_runs_of_heartbeats_know_faults_and_granules_as_all_runs_do(rated: RatedMonth):
    assert rated.seconds(broken) == [(20 - 4) * 60]
    assert rated.charges(granular).select("quantity", "duration_s").rows() == [(1200 + 600, (15 + 5) * 60)]

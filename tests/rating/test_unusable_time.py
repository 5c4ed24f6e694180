"""Time in which the platform failed is not billed: it is subtracted from the runs and listed at nothing."""

from datetime import datetime

import pytest
from rating_month import HOUR, PERIOD, Case, RatedMonth, case, october


def at(hours: float) -> datetime:
    return october(3) + hours * HOUR


def hourly(name: str) -> Case:
    """One app at 1.00 an hour that runs from hour 0 to 10."""
    usage = case(name).price("apps.S", "runtime", (0, None, "1"))
    return usage.ran("apps.S", at(0), at(10), instance_id=f"{name}-i")


def unusable(name: str, *faults: tuple[float, float]) -> Case:
    usage = hourly(name)
    for started, stopped in faults:
        usage.unusable(f"{name}-i", at(started), at(stopped))
    return usage


SUBTRACTED = [
    (unusable("fault-inside", (2, 3)), 9),
    (unusable("faults-overlap", (2, 4), (3, 5), (3.5, 4.5)), 7),
    (unusable("faults-touch", (2, 3), (3, 4)), 8),
    (unusable("fault-at-both-ends", (-5, 1), (9, 99)), 8),
    (unusable("fault-before-and-after", (-5, 0), (10, 12)), 10),
    (unusable("fault-of-no-length", (2, 2)), 10),
]


@pytest.mark.parametrize(("usage", "hours"), SUBTRACTED, ids=lambda value: getattr(value, "owner_id", None))
def test_unusable_time_is_subtracted_once(rated: RatedMonth, usage: Case, hours: int):
    assert rated.seconds(usage) == [hours * 3600]
    assert rated.amounts(usage) == [hours * 100]
    (segment,) = rated.of("segments", usage).iter_rows(named=True)
    assert segment["duration_us"] + segment["unusable_us"] == 36_000_000_000


reasons = hourly("reasons").unusable("reasons-i", at(2), at(4), "disk").unusable("reasons-i", at(3), at(6), "network")


def test_what_is_not_billed_is_listed_with_the_reason_that_came_first(rated: RatedMonth):
    listed = rated.of("unusable", reasons).sort("started_at")
    assert listed.select("started_at", "stopped_at", "reason").rows() == [
        (at(2), at(4), "disk"),
        (at(4), at(6), "network"),
    ]
    assert listed.select("payer_id", "resource_id", "slug", "zone", "instance_id").unique().rows() == [
        ("reasons", "reasons-resource", "apps.s", "par", "reasons-i")
    ]
    assert rated.marts["runs"].filter(instance_id="reasons-i").sort("started_at")["stopped_at"].to_list() == [
        at(2),
        at(10),
    ]


lost = unusable("all-lost", (-1, 11))
unpriced_loss = case("unpriced-loss").ran("apps.S", at(0), at(1), instance_id="unpriced-loss-i")
unpriced_loss.unusable("unpriced-loss-i", at(0), at(1))


def test_a_run_that_was_never_usable_is_no_line_and_needs_no_price(rated: RatedMonth):
    assert rated.amounts(lost) == rated.amounts(unpriced_loss) == []
    assert rated.of("segments", lost).select("duration_us", "unusable_us").rows() == [(0, 36_000_000_000)]
    assert rated.reasons(unpriced_loss) == []
    assert rated.of("unusable", unpriced_loss).height == 1


shared = (
    case("shared-app")
    .price("apps.S", "runtime", (0, None, "1"))
    .ran("apps.S", at(0), at(10), instance_id="shared-1")
    .ran("apps.S", at(0), at(10), instance_id="shared-2")
    .unusable("shared-1", at(0), at(4))
    .unusable("never-ran", at(0), at(4))
)


def test_a_fault_concerns_its_instance_alone(rated: RatedMonth):
    assert rated.seconds(shared) == [16 * 3600]


edges = (
    case("fault-over-the-edges")
    .price("apps.S", "runtime", (0, None, "1"))
    .ran("apps.S", PERIOD.start - HOUR, None, instance_id="edges-i")
    .unusable("edges-i", PERIOD.start - 2 * HOUR, PERIOD.start + HOUR)
    .unusable("edges-i", PERIOD.end - HOUR, PERIOD.end + 2 * HOUR)
)


def test_a_month_lists_the_unusable_time_inside_it(rated: RatedMonth):
    assert rated.seconds(edges) == [742 * 3600]
    assert rated.of("unusable", edges).sort("started_at").select("started_at", "stopped_at").rows() == [
        (PERIOD.start, PERIOD.start + HOUR),
        (PERIOD.end - HOUR, PERIOD.end),
    ]


heiress = case("heiress")
bequeathed = (
    case("bequeathed")
    .version(PERIOD.start, at(5))
    .version(at(5), payer_id="heiress")
    .price("apps.S", "runtime", (0, None, "1"))
    .ran("apps.S", at(0), at(10), instance_id="bequeathed-i")
    .unusable("bequeathed-i", at(4), at(6))
)


def test_each_payer_sees_the_unusable_time_of_its_own(rated: RatedMonth):
    listed = rated.of("unusable", bequeathed).sort("started_at")
    assert listed.select("payer_id", "started_at", "stopped_at").rows() == [
        ("bequeathed", at(4), at(5)),
        ("heiress", at(5), at(6)),
    ]
    assert rated.of("charges", bequeathed).sort("payer_id")["charge_cents"].to_list() == [4_00, 4_00]


doubtful = hourly("doubtful")
doubtful.contradicted.append("doubtful-i")


def test_faults_that_contradict_each_other_are_reported_to_the_owner_of_the_instance(rated: RatedMonth):
    assert rated.of("unrated", doubtful).select("payer_id", "reason").rows() == [("doubtful", "event_conflict")]

"""What a month passes on to the next, what it leaves to corrections, and which rows it sees."""

import json
import re
from datetime import UTC, datetime

import pytest
from intake_home import ClosedMonth, IntakeHome, at, beat, count, delta, fault, one_shot, run, sample, vendor_charge

from billing_pipeline.intake.cleaning import FileInClosedDay

RUNS, SIZES, MOVED = "runtime_intervals", "storage_samples", "traffic_deltas"
SEEN = "runtime_heartbeats"
MONTHS = ("2026-10", "2026-11", "2026-12")


def test_an_open_run_is_carried_until_a_row_with_its_key_closes_it(home: IntakeHome) -> None:
    start, stop = "2026-10-30 12:00", "2026-12-03 08:00"
    home.land(RUNS, run("e1", start, None, ingested=start))
    home.land(RUNS, run("e2", start, stop, ingested=stop))
    october, november, december = home.close_all(RUNS, *MONTHS)
    assert october.runs == november.runs == [("i-1", at(start), None)]
    assert december.runs == [("i-1", at(start), at(stop))]
    assert [month.late for month in (october, november, december)] == [{}, {}, {}]
    assert december.part("carried").is_empty()


def test_closing_a_carried_run_leaves_the_closed_month_as_it_was(home: IntakeHome) -> None:
    start, stop = "2026-10-30 12:00", "2026-11-02 08:00"
    home.land(RUNS, run("e1", start, None, ingested=start))
    october = home.close(RUNS, "2026-10", as_of="2026-11-01")
    before = october.content("events")
    home.land(RUNS, run("e2", start, stop, ingested="2026-11-02 09:00"))
    november = home.close(RUNS, "2026-11", after=october)
    assert home.close(RUNS, "2026-10", as_of="2026-11-01").content("events") == before
    assert november.runs == [("i-1", at(start), at(stop))]
    assert november.receipts == {"2026-11-02/meter": (1, 1, 0, 0, 0)}


@pytest.mark.parametrize(
    ("stop", "late"),
    [("2026-10-31 20:00", {"2026-10": 1}), ("2026-11-01", {}), ("2026-11-10", {})],
    ids=["inside the closed month", "exactly at its end", "in the open month"],
)
def test_a_carried_run_that_is_closed_before_its_month_ended_is_late(
    home: IntakeHome, stop: str, late: dict[str, int]
) -> None:
    start = "2026-10-30 12:00"
    home.land(RUNS, run("e1", start, None, ingested=start))
    home.land(RUNS, run("e1", start, stop, ingested="2026-11-10 12:00"))
    october, november = home.close_all(RUNS, *MONTHS[:2])
    assert october.runs == [("i-1", at(start), None)]
    assert november.runs == ([("i-1", at(start), at(stop))] if at(stop) > at("2026-11-01") else [])
    assert november.late == late


def test_a_carried_run_that_turns_out_to_be_of_another_flavour_is_late(home: IntakeHome) -> None:
    start = "2026-10-30 12:00"
    home.land(RUNS, run("e1", start, None, ingested=start))
    home.land(RUNS, run("e1", start, None, ingested="2026-11-10", flavour="M"))
    _, november = home.close_all(RUNS, *MONTHS[:2])
    assert november.values("slug") == [("apps.m",)]
    assert november.late == {"2026-10": 1}


def test_a_carried_run_that_is_withdrawn_is_late_and_not_billed_any_more(home: IntakeHome) -> None:
    start = "2026-10-30 12:00"
    home.land(RUNS, run("e1", start, None, ingested=start))
    home.land(RUNS, run("e9", start, start, ingested="2026-11-10", is_deleted=True))
    _, november, december = home.close_all(RUNS, *MONTHS)
    assert november.runs == december.runs == []
    assert (november.late, december.late) == ({"2026-10": 1}, {})


def test_a_run_over_three_months_is_billed_in_each(home: IntakeHome) -> None:
    start, stop = "2026-10-30 12:00", "2026-12-02"
    home.land(RUNS, run("e1", start, stop, ingested="2026-10-30 12:00"))
    assert [month.runs for month in home.close_all(RUNS, *MONTHS)] == [[("i-1", at(start), at(stop))]] * 3


def test_a_run_that_ends_at_the_end_of_a_month_is_not_carried(home: IntakeHome) -> None:
    home.land(
        RUNS,
        run("e1", "2026-10-30", "2026-11-01", ingested="2026-11-01"),
        run("e2", "2026-10-31", "2026-10-31", ingested="2026-11-01", instance_id="i-2"),
    )
    october, november = home.close_all(RUNS, *MONTHS[:2])
    assert (len(october.runs), november.runs, october.part("carried").height) == (1, [], 0)


def test_late_rows_are_counted_under_the_month_that_they_change(home: IntakeHome) -> None:
    home.land(RUNS, run("e0", "2026-10-01", "2026-10-02", ingested="2026-10-02"))
    home.land(
        RUNS,
        run("e1", "2026-10-20", "2026-10-21", ingested="2026-12-05", instance_id="i-2"),
        run("e2", "2026-11-20", "2026-11-21", ingested="2026-12-05", instance_id="i-2"),
        run("e3", "2026-11-30 23:00", "2026-12-01 01:00", ingested="2026-12-05", instance_id="i-3"),
        name="late",
    )
    *_, december = home.close_all(RUNS, *MONTHS)
    assert december.late == {"2026-10": 1, "2026-11": 2}
    assert december.runs == [("i-3", at("2026-11-30 23:00"), at("2026-12-01 01:00"))]
    assert december.receipts["2026-12-05/late"] == (3, 3, 0, 0, 0)


def test_a_file_with_rows_of_closed_months_says_so(home: IntakeHome) -> None:
    known = {"ingested": "2026-12-05", "instance_id": "i-2"}
    home.land(RUNS, run("e0", "2026-10-01", "2026-10-02", ingested="2026-10-02"))
    home.land(
        RUNS,
        *(run(f"e{day}", f"2026-10-{day}", f"2026-10-{day} 01:00", **known) for day in (20, 21)),
        run("e3", "2026-11-20", "2026-11-21", **known),
        run("e4", "2026-12-04", "2026-12-05", **known),
        name="late",
    )
    home.land(RUNS, run("e5", "2026-12-05", "2026-12-06", ingested="2026-12-06", instance_id="i-3"))
    *_, december = home.close_all(RUNS, *MONTHS)
    assert december.receipt("late.parquet")["detail"] == "late_file: 2026-10 2 rows, 2026-11 1 rows"
    assert december.receipt("2026-12-06/meter.parquet")["detail"] is None


def close_winter(home: IntakeHome, feed: str) -> ClosedMonth:
    """November and December 2026, January and February 2027; the last one."""
    home.late_months = 2
    return home.close_all(feed, "2026-11", "2026-12", "2027-01", "2027-02")[-1]


def test_usage_of_a_month_that_no_correction_is_made_for_any_more_is_refused(home: IntakeHome) -> None:
    home.land(SIZES, sample("e0", "2026-11-10", 10), sample("e1", "2026-12-10", 20))
    home.land(
        SIZES,
        sample("e2", "2026-11-30 23:59:59.999999", 30, ingested="2027-02-05"),
        sample("e3", "2026-12-01", 40, ingested="2027-02-05"),
        sample("e4", "2027-02-04", 50, ingested="2027-02-05"),
        name="late",
    )
    february = close_winter(home, SIZES)
    assert february.refused == [(0, "too_late")]
    assert february.late == {"2026-12": 1}
    assert february.receipts == {"2027-02-05/late": (3, 2, 0, 0, 1)}
    (raw,) = february.part("quarantine")["raw"]
    assert json.loads(raw).items() >= {"event_id": "e2", "slug": "cellar.storage", "bytes": 30}.items()


def test_a_run_that_reaches_into_a_month_that_is_still_corrected_is_not_too_late(home: IntakeHome) -> None:
    known = {"ingested": "2027-02-05"}
    home.land(RUNS, run("e0", "2026-11-01", "2026-11-02", ingested="2026-11-02"))
    home.land(
        RUNS,
        run("e1", "2026-11-20", "2026-12-01", instance_id="i-2", **known),
        run("e2", "2026-11-20", "2026-12-01 00:00:00.000001", instance_id="i-3", **known),
        run("e3", "2026-11-20", None, instance_id="i-4", **known),
        name="late",
    )
    february = close_winter(home, RUNS)
    assert february.refused == [(0, "too_late")]
    assert february.runs == [("i-4", at("2026-11-20"), None)]


@pytest.mark.parametrize("event_id", ["e0", "e1"])
def test_what_ends_a_carried_run_is_never_too_late(home: IntakeHome, event_id: str) -> None:
    home.land(RUNS, run("e0", "2026-11-10", None, ingested="2026-11-10"))
    home.land(RUNS, run(event_id, "2026-11-10", "2026-11-11", ingested="2027-02-05"), name="late")
    february = close_winter(home, RUNS)
    assert (february.refused, february.runs, february.late) == ([], [], {"2026-11": 1})


def test_a_value_that_is_still_held_is_withdrawn_however_old_it_is(home: IntakeHome) -> None:
    home.land(SIZES, sample("e0", "2026-11-10", 10))
    home.land(SIZES, sample("e0", "2026-11-10", 10, ingested="2027-02-05", is_deleted=True), name="late")
    february = close_winter(home, SIZES)
    assert (february.refused, february.values("bytes")) == ([], [])


def test_heartbeats_that_the_oldest_corrected_month_sees_are_not_too_late(home: IntakeHome) -> None:
    home.land(SEEN, beat("e0", "2026-11-10"))
    home.land(
        SEEN,
        beat("e1", "2026-11-29 23:59:59.999999", ingested="2027-02-05"),
        beat("e2", "2026-11-30 00:00:00.000001", ingested="2027-02-05"),
        name="late",
    )
    assert close_winter(home, SEEN).refused == [(0, "too_late")]


def test_a_first_month_refuses_nothing_as_too_late(home: IntakeHome) -> None:
    home.late_months = 1
    home.land(RUNS, run("e1", "2020-01-01", "2020-01-02", ingested="2026-10-05"))
    assert home.close(RUNS, "2026-10").refused == []


def test_nothing_is_late_for_the_first_month(home: IntakeHome) -> None:
    home.land(RUNS, run("e1", "2026-08-20", "2026-08-21", ingested="2026-08-21"))
    october = home.close(RUNS, "2026-10")
    assert (october.late, october.runs) == ({}, [])
    assert october.receipts == {"2026-08-21/meter": (1, 1, 0, 0, 0)}


def test_the_last_sample_is_held_into_the_next_months(home: IntakeHome) -> None:
    home.land(SIZES, sample("e1", "2026-10-10", 10), sample("e2", "2026-10-20", 20))
    home.land(SIZES, sample("e3", "2026-12-10", 30))
    october, november, december = home.close_all(SIZES, *MONTHS)
    assert october.values("sampled_us", "bytes") == [(at("2026-10-10"), 10), (at("2026-10-20"), 20)]
    assert november.values("sampled_us", "bytes") == [(at("2026-10-20"), 20)]
    assert december.values("sampled_us", "bytes") == [(at("2026-10-20"), 20), (at("2026-12-10"), 30)]


def test_each_metric_of_a_resource_holds_its_own_last_sample(home: IntakeHome) -> None:
    home.land(SIZES, sample("e1", "2026-10-10", 10), sample("e2", "2026-10-20", 20, metric="cellar.cold"))
    _, november = home.close_all(SIZES, *MONTHS[:2])
    assert sorted(november.values("slug", "bytes")) == [("cellar.cold", 20), ("cellar.storage", 10)]


def test_a_resource_that_moved_to_another_owner_holds_one_value(home: IntakeHome) -> None:
    home.land(SIZES, sample("e1", "2026-10-10", 10), sample("e2", "2026-10-20", 20, owner_id="orga_2"))
    _, november = home.close_all(SIZES, *MONTHS[:2])
    assert november.values("owner_id", "bytes") == [("orga_2", 20)]


def test_a_corrected_held_sample_is_late_for_its_month_and_holds_its_new_value(home: IntakeHome) -> None:
    home.land(SIZES, sample("e1", "2026-10-20", 20))
    home.land(SIZES, sample("e2", "2026-10-20", 25, ingested="2026-11-05"))
    _, november, december = home.close_all(SIZES, *MONTHS)
    assert november.values("bytes") == december.values("bytes") == [(25,)]
    assert november.late == {"2026-10": 1}


@pytest.mark.parametrize("withdrawn", [1, 2, 3])
def test_a_withdrawn_last_sample_lets_the_one_before_it_hold_again(home: IntakeHome, withdrawn: int) -> None:
    samples = [("2026-08-05", 5), ("2026-09-10", 10), ("2026-10-20", 20), ("2026-10-30", 30)]
    home.land(SIZES, *(sample(f"e{n}", day, size) for n, (day, size) in enumerate(samples)))
    home.land(SIZES, sample("other", "2026-10-12", 99, resource_id="res-2"), name="other")
    for n, (day, size) in list(enumerate(samples))[-withdrawn:]:
        home.land(SIZES, sample(f"e{n}", day, size, ingested="2026-11-05", is_deleted=True), name=f"withdrawn-{n}")
    *_, november, december = home.close_all(SIZES, "2026-08", "2026-09", *MONTHS)
    held = samples[-1 - withdrawn][1]
    assert sorted(november.values("bytes")) == sorted(december.values("bytes")) == sorted([(held,), (99,)])
    assert sum(november.late.values()) == withdrawn


def test_a_withdrawn_last_sample_without_any_before_it_holds_nothing(home: IntakeHome) -> None:
    home.land(SIZES, sample("e1", "2026-10-20", 20))
    home.land(SIZES, sample("e1", "2026-10-20", 20, ingested="2026-11-05", is_deleted=True))
    _, november = home.close_all(SIZES, *MONTHS[:2])
    assert november.values("bytes") == []


def test_a_last_sample_whose_time_is_corrected_into_the_month_gives_way_to_the_one_before(home: IntakeHome) -> None:
    home.land(SIZES, sample("e1", "2026-10-10", 10), sample("e2", "2026-10-20", 20))
    home.land(SIZES, sample("e2", "2026-11-04", 20, ingested="2026-11-05"))
    _, november = home.close_all(SIZES, *MONTHS[:2])
    assert november.values("sampled_us", "bytes") == [(at("2026-10-10"), 10), (at("2026-11-04"), 20)]


def test_traffic_that_ends_exactly_at_the_end_of_the_month_belongs_to_it(home: IntakeHome) -> None:
    home.land(MOVED, delta("e1", "2026-10-31 23:00", "2026-11-01", 7))
    october, november = home.close_all(MOVED, *MONTHS[:2])
    assert (october.values("bytes"), november.values("bytes")) == ([(7,)], [])


def test_traffic_over_the_end_of_the_month_is_billed_whole_where_it_ends(home: IntakeHome) -> None:
    home.land(MOVED, delta("e1", "2026-10-31 23:00", "2026-11-01 00:00:00.000001", 7))
    october, november, december = home.close_all(MOVED, *MONTHS)
    assert [month.values("bytes") for month in (october, november, december)] == [[], [(7,)], []]


def test_an_empty_traffic_interval_belongs_to_the_month_of_its_start(home: IntakeHome) -> None:
    home.land(MOVED, delta("e1", "2026-11-01", "2026-11-01", 7))
    october, november = home.close_all(MOVED, *MONTHS[:2])
    assert (october.values("bytes"), november.values("bytes")) == ([], [(7,)])


def test_withdrawing_traffic_that_was_to_be_billed_this_month_is_not_late(home: IntakeHome) -> None:
    crossing = delta("e1", "2026-10-31 23:00", "2026-11-01 01:00", 7)
    home.land(MOVED, crossing, delta("e2", "2026-10-30", "2026-10-31", 8))
    home.land(MOVED, crossing | {"ingested_at": at("2026-11-05"), "is_deleted": True}, name="withdrawn")
    home.land(MOVED, delta("e2", "2026-10-30", "2026-10-31", 8, ingested="2026-11-05", is_deleted=True), name="late")
    october, november = home.close_all(MOVED, *MONTHS[:2])
    assert (october.values("bytes"), november.values("bytes")) == ([(8,)], [])
    assert november.late == {"2026-10": 1}


#: Around both edges of November, at a microsecond's distance where it decides.
AROUND_NOVEMBER = [
    "2026-10-30 23:59:59.999999",
    "2026-10-31",
    "2026-10-31 23:55",
    "2026-11-01",
    "2026-11-15",
    "2026-12-01",
    "2026-12-01 23:59:59.999999",
    "2026-12-02",
]


@pytest.mark.parametrize("landed", [None, "2026-12-20"], ids=["as they were seen", "all at once"])
def test_a_month_sees_the_heartbeats_of_a_day_around_it(home: IntakeHome, landed: str | None) -> None:
    home.land(SEEN, *(beat(f"e{n}", sampled, ingested=landed) for n, sampled in enumerate(AROUND_NOVEMBER)))
    october, november, december = home.close_all(SEEN, *MONTHS, as_of="2026-12-21" if landed else None)
    seen = [[instant for (instant,) in month.values("sampled_us")] for month in (october, november, december)]
    instants = [at(sampled) for sampled in AROUND_NOVEMBER]
    assert seen == [instants[:4], instants[1:7], instants[5:]]
    assert [month.late for month in (october, november, december)] == [{}, {}, {}]
    counted = [sum(accepted for _, accepted, *_ in month.receipts.values()) for month in (october, november, december)]
    # December's first two days land in the window of November, which is open for two days more.
    assert counted == ([8, 0, 0] if landed else [4, 4, 0])


def test_heartbeats_of_the_next_month_are_seen_as_far_as_they_have_landed(home: IntakeHome) -> None:
    home.land(SEEN, beat("e1", "2026-10-31 23:55"), beat("e2", "2026-11-01 00:00"))
    assert len(home.close(SEEN, "2026-10", as_of="2026-11-01").values("sampled_us")) == 1
    assert len(home.close(SEEN, "2026-10").values("sampled_us")) == 2


def test_a_late_heartbeat_near_the_edge_is_seen_by_both_months_and_late_for_the_older(home: IntakeHome) -> None:
    home.land(SEEN, beat("e1", "2026-10-31 23:50"), beat("e2", "2026-10-31 23:55", ingested="2026-11-20"))
    october, november = home.close_all(SEEN, *MONTHS[:2])
    assert [len(month.values("sampled_us")) for month in (october, november)] == [1, 2]
    assert november.late == {"2026-10": 1}


@pytest.mark.parametrize("changed", [{"is_deleted": True}, {"flavour": "M"}], ids=["withdrawn", "corrected"])
def test_a_carried_heartbeat_gives_way_to_its_correction(home: IntakeHome, changed: dict[str, object]) -> None:
    home.land(SEEN, beat("e1", "2026-10-31 23:50"))
    home.land(SEEN, beat("e9", "2026-10-31 23:50", ingested="2026-11-20", **changed))
    october, november = home.close_all(SEEN, *MONTHS[:2])
    assert october.values("slug") == [("apps.s",)]
    assert november.values("slug") == ([("apps.m",)] if "flavour" in changed else [])


def test_a_heartbeat_without_a_flavour_was_seen_powered_off(home: IntakeHome) -> None:
    home.land(
        SEEN, *(beat(f"e{n}", f"2026-10-05 0{n}:00", flavour=flavour) for n, flavour in enumerate(["S", None, ""]))
    )
    october = home.close(SEEN, "2026-10")
    assert sorted(october.values("sampled_us", "slug")) == [
        (at("2026-10-05 00:00"), "apps.s"), (at("2026-10-05 01:00"), "apps."), (at("2026-10-05 02:00"), "apps."),
    ]  # fmt: skip
    assert october.part("meters").select("meter_id", "slug").rows() == [(0, "apps."), (1, "apps.s")]


def test_a_heartbeat_tells_who_saw_it_whatever_file_came_first(home: IntakeHome) -> None:
    for name, source in (("a", "west"), ("b", "east")):
        home.land(SEEN, beat("e1", "2026-10-05", source=source), name=name)
    assert home.close(SEEN, "2026-10").values("source", "instance_id") == [("east", "i-1")]


FAULTS = "unusable_intervals"


def test_a_fault_over_the_end_of_a_month_is_known_in_both(home: IntakeHome) -> None:
    start, stop = "2026-10-31 23:00", "2026-11-01 02:00"
    home.land(FAULTS, fault("e1", start, stop), fault("e2", "2026-10-05 12:00", "2026-10-05 13:00"))
    october, november, december = home.close_all(FAULTS, *MONTHS)
    crossing = ("i-1", at(start), at(stop))
    assert october.values("instance_id", "started_us", "stopped_us", "reason")[1:] == [(*crossing, "disk")]
    assert november.values("instance_id", "started_us", "stopped_us") == [crossing]
    assert december.values("instance_id") == []
    assert [month.late for month in (october, november, december)] == [{}, {}, {}]


def test_a_fault_of_the_day_beside_a_month_is_known_in_it(home: IntakeHome) -> None:
    faults = [
        ("2026-10-30", "2026-10-31"),
        ("2026-10-30 12:00", "2026-10-31 00:00:01"),
        ("2026-12-01 23:59:59", "2026-12-02 01:00"),
        ("2026-12-02", "2026-12-03"),
    ]
    home.land(FAULTS, *(fault(f"e{n}", *told) for n, told in enumerate(faults)))
    months = home.close_all(FAULTS, *MONTHS)
    starts = [at(started) for started, _ in faults]
    seen = [[start for (start,) in month.values("started_us")] for month in months]
    assert seen == [starts[:2], starts[1:3], starts[2:]]
    assert [month.late for month in months] == [{}, {}, {}]


def test_a_fault_that_is_told_after_its_month_was_closed_is_late(home: IntakeHome) -> None:
    home.land(FAULTS, fault("e1", "2026-10-05 12:00", "2026-10-05 13:00", ingested="2026-11-10"))
    _, november = home.close_all(FAULTS, *MONTHS[:2])
    assert november.late == {"2026-10": 1}


def test_faults_that_contradict_each_other_name_their_instance(home: IntakeHome) -> None:
    start, stop = "2026-10-05 12:00", "2026-10-05 13:00"
    home.land(FAULTS, fault("e1", start, stop), fault("e2", start, stop, reason="rack"))
    conflicts = home.close(FAULTS, "2026-10").part("conflicts")
    assert conflicts.select("owner_id", "instance_id").rows() == [("", "i-1")]


def test_a_vendor_charge_belongs_to_the_month_of_its_instant(home: IntakeHome) -> None:
    home.land("vendor_charges", vendor_charge("e1", "2026-10-31 23:59:59.999999"), vendor_charge("e2", "2026-11-01"))
    months = home.close_all("vendor_charges", *MONTHS)
    assert [month.values("event_id", "amount") for month in months] == [[("e1", "9.99")], [("e2", "9.99")], []]


def test_counts_and_one_shots_matter_to_the_month_of_their_time_alone(home: IntakeHome) -> None:
    home.land("unit_counts", count("e1", "2026-10-31 23:59:59.999999", "3"), count("e2", "2026-11-01", "4"))
    home.land("one_shots", one_shot("e1", "2026-10-31 23:59:59.999999"), one_shot("e2", "2026-11-01"))
    assert [month.values("quantity") for month in home.close_all("unit_counts", *MONTHS)] == [[(3,)], [(4,)], []]
    assert [month.values("event_id") for month in home.close_all("one_shots", *MONTHS)] == [[("e1",)], [("e2",)], []]


@pytest.mark.parametrize("newest", ["2026-10-05", "2026-11-01"])
def test_an_event_told_for_two_months_is_billed_in_the_month_of_its_newest_version(
    home: IntakeHome, newest: str
) -> None:
    other = "2026-11-01" if newest == "2026-10-05" else "2026-10-05"
    home.land("one_shots", one_shot("e1", other, ingested="2026-11-01 10:00", quantity="1"))
    home.land("one_shots", one_shot("e1", newest, ingested="2026-11-01 11:00", quantity="2"), name="moved")
    october, november, december = home.close_all("one_shots", *MONTHS)
    billed = {"2026-10": october.values("quantity"), "2026-11": november.values("quantity")}
    assert billed == {"2026-10": [], "2026-11": []} | {newest[:7]: [("2",)]}
    assert december.values("quantity") == []


def test_history_that_landed_at_once_is_billed_over_its_months(home: IntakeHome) -> None:
    landed = "2027-01-05"
    home.land(
        RUNS,
        run("e1", "2026-10-10", "2026-12-10", ingested=landed),
        run("e2", "2026-11-10", "2026-11-11", ingested=landed, instance_id="i-2"),
        run("e2", "2026-11-10", "2026-11-11", ingested=landed, instance_id="i-2"),
    )
    october, november, december = home.close_all(RUNS, *MONTHS, as_of="2027-01-06")
    assert [len(month.runs) for month in (october, november, december)] == [1, 2, 1]
    assert october.receipts == {"2027-01-05/meter": (3, 2, 1, 0, 0)}
    assert november.receipts == december.receipts == {}
    assert november.late == december.late == {}


def test_an_event_of_several_months_in_a_history_landed_at_once_is_billed_once(home: IntakeHome) -> None:
    home.land(
        "one_shots",
        *(one_shot("e1", f"2026-{month}-10", ingested=f"2027-01-05 0{n}:00") for n, month in enumerate((11, 12, 10))),
        *(one_shot("e2", f"2026-{month}-10", ingested=f"2027-01-05 0{n}:00") for n, month in enumerate((10, 11, 12))),
        *(one_shot("e3", f"2026-{month}-10", ingested=f"2027-01-05 0{n}:00") for n, month in enumerate((10, 12, 11))),
    )
    months = home.close_all("one_shots", *MONTHS, as_of="2027-01-06")
    assert [month.values("event_id") for month in months] == [[("e1",)], [("e3",)], [("e2",)]]


def test_a_file_that_lands_later_is_counted_in_the_next_window_only(home: IntakeHome) -> None:
    home.land(RUNS, run("e1", "2026-10-10", "2026-10-11", ingested="2026-10-11"))
    home.land(RUNS, run("e2", "2026-10-12", "2026-10-13", ingested="2026-11-20", instance_id="i-2"), name="late")
    october, november = home.close_all(RUNS, *MONTHS[:2])
    assert list(october.receipts) == ["2026-10-11/meter"]
    assert list(november.receipts) == ["2026-11-20/late"]
    assert len(october.runs) == 1


def test_a_day_counts_when_it_has_ended(home: IntakeHome) -> None:
    home.land(RUNS, run("e1", "2026-11-02", "2026-11-02 01:00", ingested="2026-11-02 02:00"))
    seen = [home.close(RUNS, "2026-11", as_of=as_of).runs for as_of in ("2026-11-02 23:59:59", "2026-11-03")]
    assert [len(runs) for runs in seen] == [0, 1]


@pytest.mark.parametrize("landed", ["2026-10-20", "2026-11-02"])
def test_rows_that_were_taken_in_after_as_of_are_not_seen_before(home: IntakeHome, landed: str) -> None:
    home.land(RUNS, run("e1", "2026-11-10", "2026-11-11", ingested="2026-11-12"), day=landed)
    october, november, december = home.close_all(RUNS, *MONTHS)
    assert [month.receipts for month in (october, december)] == [{f"{landed}/meter": (0, 0, 0, 0, 0)}, {}]
    assert november.receipts == {f"{landed}/meter": (1, 1, 0, 0, 0)}
    assert [len(month.runs) for month in (october, november, december)] == [0, 1, 0]


@pytest.mark.parametrize("day", ["2026-10-11", "2026-10-12", "2026-11-02"], ids=["a counted day", "a new day", "grace"])
def test_a_file_in_a_day_that_was_counted_stops_the_next_month(home: IntakeHome, day: str) -> None:
    home.land(RUNS, run("e1", "2026-10-10", "2026-10-11", ingested="2026-10-11"))
    home.land(RUNS, run("e3", "2026-11-02", "2026-11-03", ingested="2026-11-02", instance_id="i-3"))
    october = home.close(RUNS, "2026-10")
    home.land(RUNS, run("e2", "2026-10-10", "2026-10-12", ingested=day, instance_id="i-2"), name="forgotten", day=day)
    message = re.escape(f"{RUNS}/arrival_date={day}/forgotten.parquet") + ".*close 2026-10 again"
    with pytest.raises(FileInClosedDay, match=message):
        home.close(RUNS, "2026-11", after=october)
    again = home.close(RUNS, "2026-10")
    assert f"{day}/forgotten" in again.receipts
    assert len(home.close(RUNS, "2026-11", after=again).runs) == 1


def test_a_file_that_grew_in_a_day_that_was_counted_stops_the_next_month(home: IntakeHome) -> None:
    home.land(RUNS, run("e1", "2026-10-10", "2026-10-11", ingested="2026-10-11"))
    october = home.close(RUNS, "2026-10")
    home.land(RUNS, *(run(f"e{n}", "2026-10-10", "2026-10-11", ingested="2026-10-11") for n in range(50)))
    with pytest.raises(FileInClosedDay, match="appeared or changed"):
        home.close(RUNS, "2026-11", after=october)


def test_months_are_cut_at_midnight_of_the_billing_time_zone(home: IntakeHome) -> None:
    paris = IntakeHome(home.landing.parent, zone="Europe/Paris")
    instants = ["2026-09-30 22:00", "2026-10-31 22:59:59.999999", "2026-10-31 23:00", "2026-09-30 21:59:59.999999"]
    paris.land("unit_counts", *(count(f"e{n}", instant, str(n)) for n, instant in enumerate(instants)))
    september, october, november = paris.close_all("unit_counts", "2026-09", "2026-10", "2026-11")
    assert [month.values("quantity") for month in (september, october, november)] == [[(3,)], [(0,), (1,)], [(2,)]]
    assert october.generation.manifest["as_of"] == datetime(2026, 11, 2, 23, tzinfo=UTC).isoformat(
        timespec="microseconds"
    )


def test_a_late_row_is_counted_under_its_month_of_the_billing_time_zone(home: IntakeHome) -> None:
    paris = IntakeHome(home.landing.parent, zone="Europe/Paris")
    paris.land("unit_counts", count("e0", "2026-10-05", "1"))
    paris.land("unit_counts", count("e1", "2026-09-30 22:30", "2") | {"ingested_at": at("2026-11-20")}, name="late")
    _, november = paris.close_all("unit_counts", "2026-10", "2026-11")
    assert november.late == {"2026-10": 1}


def test_a_feed_that_never_landed_gives_empty_months(home: IntakeHome) -> None:
    for feed in (RUNS, SEEN, SIZES, MOVED, FAULTS, "unit_counts", "one_shots", "vendor_charges"):
        october, november = home.close_all(feed, "2026-10", "2026-11")
        assert october.events.is_empty()
        assert november.part("receipts").is_empty()

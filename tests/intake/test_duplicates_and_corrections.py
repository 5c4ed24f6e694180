"""Which of several rows about the same thing counts."""

from datetime import timedelta

import pytest
from intake_home import IntakeHome, at, one_shot, run, sample

from billing_pipeline.sample.landing import Row

FEED = "runtime_intervals"
NOON = "2026-10-05 12:00"
AT_ONE = "2026-10-05 13:00"
AT_TWO = "2026-10-05 14:00"


def test_a_row_that_is_delivered_again_on_another_day_counts_once(home: IntakeHome) -> None:
    row = run("e1", NOON, AT_ONE, ingested=AT_ONE)
    other = run("e2", AT_ONE, AT_TWO, ingested=AT_TWO)
    home.land(FEED, row)
    home.land(FEED, row, other, name="again", day="2026-10-06")
    october = home.close(FEED, "2026-10")
    assert october.runs == [("i-1", at(NOON), at(AT_ONE)), ("i-1", at(AT_ONE), at(AT_TWO))]
    assert [sum(counts) for counts in zip(*october.receipts.values(), strict=True)] == [3, 2, 1, 0, 0]


def test_a_row_twice_in_one_file_is_a_duplicate_in_that_file(home: IntakeHome) -> None:
    row = run("e1", NOON, AT_ONE, ingested=AT_ONE)
    home.land(FEED, row, row)
    assert home.close(FEED, "2026-10").receipts == {"2026-10-05/meter": (2, 1, 1, 0, 0)}


def test_the_newest_version_of_an_event_replaces_the_others(home: IntakeHome) -> None:
    home.land(FEED, run("e1", NOON, AT_ONE, ingested=AT_ONE), run("e1", NOON, AT_TWO, ingested=AT_TWO))
    october = home.close(FEED, "2026-10")
    assert october.runs == [("i-1", at(NOON), at(AT_TWO))]
    assert october.receipts == {"2026-10-05/meter": (2, 1, 0, 1, 0)}


def test_another_event_with_the_same_instance_and_start_is_a_correction(home: IntakeHome) -> None:
    home.land(FEED, run("e1", NOON, AT_ONE, ingested=AT_ONE))
    home.land(FEED, run("e2", NOON, AT_TWO, ingested=AT_TWO, flavour="M"), name="corrections")
    october = home.close(FEED, "2026-10")
    assert october.values("slug", "stopped_us") == [("apps.m", at(AT_TWO))]
    assert october.receipts == {"2026-10-05/corrections": (1, 1, 0, 0, 0), "2026-10-05/meter": (1, 0, 0, 1, 0)}


def test_another_event_that_says_the_same_is_a_duplicate(home: IntakeHome) -> None:
    home.land(FEED, run("e1", NOON, AT_ONE, ingested=AT_ONE), run("e2", NOON, AT_ONE, ingested=AT_TWO))
    assert home.close(FEED, "2026-10").receipts == {"2026-10-05/meter": (2, 1, 1, 0, 0)}


def test_two_sources_may_use_the_same_event_id(home: IntakeHome) -> None:
    here = run("e1", NOON, AT_ONE, ingested=AT_ONE)
    home.land(FEED, here, here | {"source": "other", "instance_id": "i-2"})
    assert len(home.close(FEED, "2026-10").runs) == 2


def test_an_event_may_move_to_another_key(home: IntakeHome) -> None:
    home.land(FEED, run("e1", NOON, AT_TWO, ingested=AT_TWO))
    home.land(FEED, run("e1", AT_ONE, AT_TWO, ingested="2026-10-05 15:00"), name="moved")
    assert home.close(FEED, "2026-10").runs == [("i-1", at(AT_ONE), at(AT_TWO))]


@pytest.mark.parametrize("event_id", ["e1", "e2"], ids=["same event", "another event"])
def test_a_withdrawal_removes_its_key(home: IntakeHome, event_id: str) -> None:
    home.land(FEED, run("e1", NOON, AT_ONE, ingested=AT_ONE))
    home.land(FEED, run(event_id, NOON, None, ingested=AT_TWO, is_deleted=True), name="withdrawn")
    october = home.close(FEED, "2026-10")
    assert october.runs == []
    assert october.receipts == {"2026-10-05/meter": (1, 0, 0, 1, 0), "2026-10-05/withdrawn": (1, 1, 0, 0, 0)}


def test_a_withdrawn_run_that_is_sent_once_more_counts_again(home: IntakeHome) -> None:
    row = run("e1", NOON, AT_ONE, ingested=AT_ONE)
    home.land(FEED, row, row | {"is_deleted": True, "ingested_at": at(AT_TWO)})
    home.land(FEED, row | {"ingested_at": at("2026-10-05 15:00")}, name="after-all")
    assert home.close(FEED, "2026-10").runs == [("i-1", at(NOON), at(AT_ONE))]


@pytest.mark.parametrize("event_id", ["e1", "e2"], ids=["same event", "another event"])
def test_two_versions_of_the_same_instant_contradict_each_other(home: IntakeHome, event_id: str) -> None:
    home.land(FEED, run("e1", NOON, AT_ONE, ingested=AT_TWO), run(event_id, NOON, AT_TWO, ingested=AT_TWO))
    october = home.close(FEED, "2026-10")
    ((owner, detail),) = october.part("conflicts").rows()
    assert owner == "orga_1"
    assert "2 rows contradict each other" in detail
    assert len(october.runs) == 1


def test_both_owners_are_named_where_versions_disagree_about_the_owner(home: IntakeHome) -> None:
    row = run("e1", NOON, AT_ONE, ingested=AT_TWO)
    home.land(FEED, row, row | {"owner_id": "orga_2"})
    assert home.close(FEED, "2026-10").part("conflicts")["owner_id"].to_list() == ["orga_1", "orga_2"]


def test_two_sizes_of_one_instant_contradict_each_other_unless_one_is_newer(home: IntakeHome) -> None:
    feed = "storage_samples"
    home.land(feed, sample("e1", NOON, 10), sample("e2", NOON, 20))
    assert home.close(feed, "2026-10").part("conflicts")["owner_id"].to_list() == ["orga_1"]
    home.land(feed, sample("e3", NOON, 30, ingested=AT_ONE), name="newer")
    october = home.close(feed, "2026-10")
    assert (october.part("conflicts").height, october.values("bytes")) == (0, [(30,)])


def test_a_later_version_settles_a_contradiction(home: IntakeHome) -> None:
    home.land(FEED, run("e1", NOON, AT_ONE, ingested=AT_ONE), run("e1", NOON, AT_TWO, ingested=AT_ONE))
    home.land(FEED, run("e1", NOON, AT_TWO, ingested=AT_TWO), name="settled")
    october = home.close(FEED, "2026-10")
    assert october.part("conflicts").is_empty()
    assert october.runs == [("i-1", at(NOON), at(AT_TWO))]


def test_a_contradiction_about_the_next_month_is_reported_there(home: IntakeHome) -> None:
    start = "2026-11-01 01:00"
    home.land(FEED, run("e0", NOON, AT_ONE, ingested=AT_ONE))
    home.land(
        FEED,
        run("e1", start, "2026-11-01 02:00", ingested="2026-11-01 04:00"),
        run("e1", start, "2026-11-01 03:00", ingested="2026-11-01 04:00"),
    )
    october, november = home.close_all(FEED, "2026-10", "2026-11")
    assert october.part("conflicts").is_empty()
    assert november.part("conflicts")["owner_id"].to_list() == ["orga_1"]


MONTHS = ("2026-10", "2026-11", "2026-12")


@pytest.mark.parametrize(
    ("settled", "contradicted"),
    [
        (None, (1, 1, 1)),
        (sample("e3", NOON, 30, ingested="2026-11-20"), (1, 0, 0)),
        (sample("e3", "2026-11-20", 30), (1, 1, 0)),
    ],
    ids=["by nothing", "by a correction", "by the next sample"],
)
def test_every_month_that_holds_a_contradicted_size_says_so(
    home: IntakeHome, settled: Row | None, contradicted: tuple[int, ...]
) -> None:
    home.land("storage_samples", sample("e1", NOON, 10), sample("e2", NOON, 20))
    if settled:
        home.land("storage_samples", settled, name="settled")
    months = home.close_all("storage_samples", *MONTHS)
    assert tuple(month.part("conflicts").height for month in months) == contradicted
    assert months[2].values("bytes") == ([(30,)] if settled else [(10,)])


def test_every_month_that_a_contradicted_run_may_reach_says_so(home: IntakeHome) -> None:
    home.land(FEED, run("e1", NOON, AT_ONE, ingested=AT_TWO), run("e2", NOON, "2026-11-10", ingested=AT_TWO))
    months = home.close_all(FEED, *MONTHS)
    assert [month.part("conflicts").height for month in months] == [1, 1, 0]
    assert [month.late for month in months] == [{}, {}, {}]


def test_a_contradicted_run_is_settled_in_the_next_month_by_a_later_version(home: IntakeHome) -> None:
    home.land(FEED, run("e1", NOON, AT_ONE, ingested=AT_TWO), run("e2", NOON, None, ingested=AT_TWO))
    home.land(FEED, run("e3", NOON, "2026-11-10", ingested="2026-11-20"), name="settled")
    _, november, december = home.close_all(FEED, *MONTHS)
    assert [month.part("conflicts").height for month in (november, december)] == [0, 0]
    assert november.runs == [("i-1", at(NOON), at("2026-11-10"))]


def test_contradicting_samples_are_told_apart_from_samples_of_another_metric(home: IntakeHome) -> None:
    home.land(
        "storage_samples",
        sample("e1", NOON, 10),
        sample("e2", NOON, 20, metric="cellar.cold"),
    )
    october = home.close("storage_samples", "2026-10")
    assert october.part("conflicts").is_empty()
    assert sorted(october.values("slug", "bytes")) == [("cellar.cold", 20), ("cellar.storage", 10)]


def test_a_metric_is_matched_without_case(home: IntakeHome) -> None:
    home.land(
        "storage_samples", sample("e1", NOON, 10), sample("e2", NOON, 20, metric="Cellar.Storage", ingested=AT_ONE)
    )
    assert home.close("storage_samples", "2026-10").values("slug", "bytes") == [("cellar.storage", 20)]


def test_a_one_shot_is_known_by_its_event_alone(home: IntakeHome) -> None:
    home.land("one_shots", one_shot("e1", NOON), one_shot("e2", NOON), one_shot("e1", AT_ONE, quantity="2"))
    october = home.close("one_shots", "2026-10")
    assert october.values("event_id", "quantity", "performed_us") == [("e1", "2", at(AT_ONE)), ("e2", "1", at(NOON))]


def test_the_newest_name_of_a_resource_is_shown(home: IntakeHome) -> None:
    home.land(FEED, run("e1", NOON, AT_ONE, ingested=AT_ONE, resource_name="old name"))
    home.land(FEED, run("e2", AT_ONE, AT_TWO, ingested=AT_TWO, resource_name="new name"), name="b", day="2026-10-06")
    home.land(FEED, run("e3", AT_TWO, None, ingested="2026-10-06 12:00", resource_name=None), name="c")
    assert home.close(FEED, "2026-10").part("meters")["resource_name"].to_list() == ["new name"]


def test_rows_at_the_same_place_of_several_files_stay_apart(home: IntakeHome) -> None:
    for number in range(20):
        start = f"2026-10-{number % 5 + 1:02d} 0{number // 5}:00"
        row = run(f"e{number}", start, None, ingested=start, instance_id=f"i-{number}")
        home.land(
            FEED,
            row,
            row | {"ingested_at": row["ingested_at"] + timedelta(hours=1) // timedelta(microseconds=1)},
            name=f"file-{number}",
        )
    october = home.close(FEED, "2026-10")
    assert len(october.runs) == 20
    assert set(october.receipts.values()) == {(2, 1, 1, 0, 0)}

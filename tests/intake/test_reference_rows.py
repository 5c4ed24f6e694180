"""Reference feeds: the newest row per key that had landed, and what became of the others."""

import pytest
from intake_home import IntakeHome, at

from billing_pipeline.intake.cleaning import FileInClosedDay
from billing_pipeline.sample.landing import Row
from billing_pipeline.warehouse import Generation

FEED = "credit_grants"


def grant(event_id: str, amount: str, *, ingested: str, grant_id: str = "g1", **columns: object) -> Row:
    """A welcome credit."""
    what = {"grant_id": grant_id, "owner_id": "orga_1", "kind": "free", "name": "Welcome", "amount": amount}
    terms = {"currency": "EUR", "starts_at": at("2026-10-01"), "priority": 1}
    return {"event_id": event_id, "source": "office", "ingested_at": at(ingested)} | what | terms | columns


def test_the_newest_row_of_a_key_counts(home: IntakeHome) -> None:
    home.land(FEED, grant("e1", "10", ingested="2026-10-05"))
    home.land(FEED, grant("e2", "20", ingested="2026-10-06"), grant("e3", "5", ingested="2026-10-06", grant_id="g2"))
    grants = home.read(FEED, "2026-10").rows
    assert grants.select("grant_id", "amount").rows() == [("g1", "20"), ("g2", "5")]


def test_a_past_state_can_be_read_again(home: IntakeHome) -> None:
    home.land(FEED, grant("e1", "10", ingested="2026-10-05"))
    home.land(FEED, grant("e2", "20", ingested="2026-11-06"))
    amounts = [home.read(FEED, month).rows["amount"].to_list() for month in ("2026-11", "2026-10")]
    assert amounts == [["20"], ["10"]]


def test_a_withdrawn_row_is_gone(home: IntakeHome) -> None:
    home.land(FEED, grant("e1", "10", ingested="2026-10-05"))
    home.land(FEED, grant("e2", "10", ingested="2026-10-06", is_deleted=True))
    assert home.read(FEED, "2026-10").rows.is_empty()


def test_rows_of_one_instant_that_disagree_name_their_owner(home: IntakeHome) -> None:
    home.land(FEED, grant("e1", "10", ingested="2026-10-05"), grant("e2", "20", ingested="2026-10-05"))
    assert home.read(FEED, "2026-10").conflicts["owner_id"].to_list() == ["orga_1"]


def closed(home: IntakeHome, month: str) -> Generation:
    """What remembers the `as_of` of a closed month."""
    return home.close("one_shots", month).generation


def test_receipts_and_refusals_are_those_of_the_window(home: IntakeHome) -> None:
    home.land(FEED, grant("e1", "10", ingested="2026-10-05"), grant("e2", "x", ingested="2026-10-05", grant_id="g2"))
    home.land(FEED, grant("e3", "20", ingested="2026-11-05"), grant("e4", "-1", ingested="2026-11-05", grant_id="g2"))
    october = home.read(FEED, "2026-10")
    november = home.read(FEED, "2026-11", since=closed(home, "2026-10"))
    assert october.quarantine["reason"].to_list() == ["number_syntax"]
    assert november.quarantine["reason"].to_list() == ["negative"]
    counts = november.receipts.select("input_rows", "accepted_rows", "superseded_rows", "quarantined_rows").rows()
    assert counts == [(2, 1, 0, 1)]


def test_instants_are_utc_and_amounts_stay_exact_text(home: IntakeHome) -> None:
    home.land(FEED, grant("e1", "0.10000000000000000001", ingested="2026-10-05"))
    (row,) = home.read(FEED, "2026-10").rows.select("amount", "starts_at").to_dicts()
    assert row["amount"] == "0.10000000000000000001"
    assert row["starts_at"].isoformat() == "2026-10-01T00:00:00+00:00"


def test_a_feed_that_never_landed_has_no_rows_but_all_columns(home: IntakeHome) -> None:
    reference = home.read(FEED, "2026-10")
    assert reference.rows.is_empty()
    assert "priority" in reference.rows.columns
    assert reference.receipts.is_empty()


def test_a_file_in_a_day_that_was_counted_stops_the_next_month(home: IntakeHome) -> None:
    home.land(FEED, grant("e1", "10", ingested="2026-10-05"))
    home.read(FEED, "2026-10")
    home.land(FEED, grant("e2", "20", ingested="2026-10-06"), name="forgotten")
    with pytest.raises(FileInClosedDay, match="arrival_date=2026-10-06/forgotten"):
        home.read(FEED, "2026-11", since=closed(home, "2026-10"))

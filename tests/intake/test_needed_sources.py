"""A month that a needed source is missing from is not billed as if nothing had been used."""

import pytest
from intake_home import IntakeHome, run, sample

from billing_pipeline.intake.months import SourceMissing

FEED = "runtime_intervals"


def landed(home: IntakeHome) -> None:
    """The east measured in October, the west up to September only."""
    home.land(FEED, run("e1", "2026-09-20", "2026-09-21", ingested="2026-09-21", source="west"))
    home.land(FEED, run("e1", "2026-10-05", "2026-10-06", ingested="2026-10-06", source="east"), name="east")


def test_a_month_stops_before_it_is_published_without_a_needed_source(home: IntakeHome) -> None:
    landed(home)
    message = r"runtime_intervals of 2026-10 has no row of north \(never landed\), west \(last landed 2026-09-21\)"
    with pytest.raises(SourceMissing, match=message):
        home.close(FEED, "2026-10", needed=["east", "west", "north"])
    assert home.warehouse.current(f"usage/{FEED}", "month=2026-10") is None


def test_a_source_with_one_row_in_the_month_is_not_missing(home: IntakeHome) -> None:
    landed(home)
    assert len(home.close(FEED, "2026-10", needed=["east"]).runs) == 1


def test_a_refused_row_does_not_stand_for_its_source(home: IntakeHome) -> None:
    home.land("storage_samples", sample("e1", "2026-10-05", -1, source="west"))
    with pytest.raises(SourceMissing, match=r"west \(last landed 2026-10-05\)"):
        home.close("storage_samples", "2026-10", needed=["west"])

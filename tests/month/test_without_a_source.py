"""A month that needs a source which did not land stops before rating, unless it is told to go on."""

from collections.abc import Callable

import dagster as dg
import pytest
from provider_home import ProviderHome, at, hourly, organisation, ran

FEED = "usage/runtime_intervals"


@pytest.fixture(scope="module")
def home(new_home: Callable[..., ProviderHome]) -> ProviderHome:
    home = new_home("without", keeps_events=True)
    home.settings["BILLING_NEEDED_SOURCES"] = '{"runtime_intervals": ["test", "west"]}'
    home.land("organisations", organisation("acme"))
    home.land("price_tiers", hourly("apps.s", "0.10"))
    home.land("runtime_intervals", ran("acme", "apps.s", at("2026-03-10"), at("2026-03-11")))
    folder = home.folder / "landing" / "runtime_intervals" / "arrival_date=2026-03-12"
    folder.mkdir()
    (folder / "page.csv").write_text("<html></html>\n")
    home.land("runtime_intervals", ran("acme", "apps.s", at("2026-03-13"), at("2026-03-12")))
    return home


@pytest.fixture(scope="module")
def closed(home: ProviderHome) -> ProviderHome:
    """The month stopped, then closed without what is missing."""
    stopped = home.command("close", "2026-03")
    assert stopped.exit_code == 1
    assert "runtime_intervals of 2026-03 has no row of west (never landed)" in stopped.output
    assert home.billing.warehouse.current(FEED, "month=2026-03") is None
    assert home.billing.warehouse.current("rating/charges", "month=2026-03") is None

    done = home.command("close", "2026-03", "--without", "west")
    assert done.exit_code == 0, done.output
    return home


def test_the_month_stops_and_says_what_is_missing_then_goes_on_without_it_when_asked(closed: ProviderHome) -> None:
    assert [row["charge_cents"] for row in closed.rows("rating/charges", "2026-03")] == [240]
    with dg.DagsterInstance.from_config(str(closed.folder / "dagster")) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey(FEED.split("/")))
    assert event.asset_materialization.metadata["without_sources"].value == ["west"]


def test_a_needed_source_of_a_feed_that_is_none_is_a_wrong_setting(home: ProviderHome) -> None:
    home.settings["BILLING_NEEDED_SOURCES"] = '{"runtime": ["west"]}'
    stopped = home.command("close", "2026-03")
    assert stopped.exit_code == 1
    assert "needed_sources names runtime" in stopped.output


def test_the_status_of_a_month_says_what_was_refused_and_what_that_means(closed: ProviderHome) -> None:
    closed.settings["BILLING_NEEDED_SOURCES"] = "{}"

    status = closed.command("status", "2026-03").output

    assert "page.csv  schema_missing  required columns are missing" in status
    assert "stop_before_start: an interval that ends before it starts" in status

"""What each day cost, from raw rows to page 1; and months that were closed before anybody asked for it."""

import shutil
from collections.abc import Callable

import pytest
from provider_home import ProviderHome, at, hourly, one_shot, organisation, ran

from billing_pipeline.rules.period import Month

APRIL, WEIGHTS = "2026-04", "rating/daily_weights"
# Midnights in Paris.
SINCE, UNTIL = at("2026-03-31T22:00"), at("2026-04-02T22:00")


class Story:
    """A month whose table of days is lost between its drafts and its issue, as if it never had had one."""

    def __init__(self, home: ProviderHome) -> None:
        home.settings = {"BILLING_BILLING_TIMEZONE": "Europe/Paris"}
        home.land("organisations", organisation("acme"))
        home.land("price_tiers", hourly("apps.s", "0.10"), hourly("mysql.s", "1.00"))
        home.land("runtime_intervals", ran("acme", "apps.s", SINCE, UNTIL))
        home.land("runtime_intervals", ran("acme", "mysql.s", at("2026-04-02T02:00"), at("2026-04-02T04:00")))
        home.land("one_shots", one_shot("acme", "Migration", "20.00", at("2026-04-09T22:00")))
        home.draft(APRIL)
        self.weights = {(row["service"], row["day"].day): int(row["weight"]) for row in home.rows(WEIGHTS, APRIL)}
        home.print(APRIL)
        self.drafted = (home.folder / "documents" / "drafts" / APRIL / "acme.html").read_text()
        shutil.rmtree(home.folder / "warehouse" / WEIGHTS)
        home.freeze(APRIL)
        home.print(APRIL)
        self.issued = (home.folder / "documents" / "INV" / "INV-2026-000001.html").read_text()
        self.issued_from = home.billing.books.issued_month(Month.parse(APRIL)).generations


@pytest.fixture(scope="module")
def story(new_home: Callable[..., ProviderHome]) -> Story:
    return Story(new_home("days"))


def test_a_day_weighs_what_it_cost_where_the_provider_is(story):
    assert story.weights == {
        ("apps", 1): 240_000_000,
        ("apps", 2): 240_000_000,
        ("mysql", 2): 200_000_000,
        ("one_shot", 10): 2_000_000_000,
    }


def test_page_1_draws_the_days_of_a_month(story):
    assert "Highest €20.00 on 2026-04-10" in story.drafted
    bars = story.drafted.partition('<svg class="days"')[2].partition("</svg>")[0]
    # One-off charges cost most, then applications, then databases.
    assert [bars.count(f'fill="{colour}"') for colour in ("#3b34a9", "#7f8be8", "#0b5c57")] == [1, 2, 1]


def test_a_month_that_was_closed_without_days_is_issued_and_printed_without_them(story):
    assert '<svg class="days"' not in story.issued
    assert "Fees by service" in story.issued
    assert WEIGHTS not in story.issued_from

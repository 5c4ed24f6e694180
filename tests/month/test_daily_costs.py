"""What each day cost, from raw rows to page 1; and months that were closed before anybody asked for it."""

import shutil
from collections.abc import Callable

import pytest
from provider_home import ProviderHome, at, hourly, one_shot, organisation, ran

from billing_pipeline.rules.period import Month

MARCH, APRIL = "2026-03", "2026-04"
WEIGHTS = "rating/daily_weights"
# Midnights in Paris.
SINCE, UNTIL = at("2026-03-31T22:00"), at("2026-04-02T22:00")


@pytest.fixture(scope="module")
def home(new_home: Callable[..., ProviderHome]) -> ProviderHome:
    """Two months; the tables of days of the first one are lost before it is issued, as if it never had had any."""
    home = new_home("days")
    home.settings = {"BILLING_BILLING_TIMEZONE": "Europe/Paris"}
    home.land("organisations", organisation("acme"))
    home.land("price_tiers", hourly("apps.s", "0.10"), hourly("mysql.s", "1.00"))
    home.land("runtime_intervals", ran("acme", "apps.s", at("2026-03-08T22:00"), at("2026-03-09T22:00")))
    home.land("runtime_intervals", ran("acme", "apps.s", SINCE, UNTIL))
    home.land("runtime_intervals", ran("acme", "mysql.s", at("2026-04-02T02:00"), at("2026-04-02T04:00")))
    home.land("one_shots", one_shot("acme", "Migration", "20.00", at("2026-04-09T22:00")))
    home.draft(MARCH)
    shutil.rmtree(home.folder / "warehouse" / WEIGHTS)
    home.freeze(MARCH)
    home.number(APRIL)
    for month in (MARCH, APRIL):
        home.print(month)
    return home


def html_of(home: ProviderHome, month: str) -> str:
    number = home.row("invoices/invoices", month, payer_id="acme")["number"]
    return (home.folder / "documents" / "INV" / f"{number}.html").read_text()


def test_a_day_weighs_what_it_cost_where_the_provider_is(home):
    weights = {(row["service"], row["day"].isoformat()): int(row["weight"]) for row in home.rows(WEIGHTS, APRIL)}
    assert weights == {
        ("apps", "2026-04-01"): 240_000_000,
        ("apps", "2026-04-02"): 240_000_000,
        ("mysql", "2026-04-02"): 200_000_000,
        ("one_shot", "2026-04-10"): 2_000_000_000,
    }


def test_page_1_draws_the_days_of_a_month(home):
    page = html_of(home, APRIL)
    assert "Highest €20.00 on 2026-04-10" in page
    assert [page.count(f'fill="{colour}"/></svg>') for colour in ("#3b34a9", "#7f8be8", "#0b5c57")] == [1, 1, 1]


def test_an_issued_month_keeps_the_days_that_it_was_printed_with(home):
    assert (
        home.billing.books.issued_month(Month.parse(APRIL)).generations[WEIGHTS] == home.generation(WEIGHTS, APRIL).id
    )


def test_a_month_that_was_closed_without_days_is_issued_and_printed_without_them(home):
    page = html_of(home, MARCH)
    assert 'class="days"' not in page
    assert "Fees by service" in page
    assert WEIGHTS not in home.billing.books.issued_month(Month.parse(MARCH)).generations

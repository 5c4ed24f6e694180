"""The billed month: half-open, in the provider's time zone."""

from datetime import UTC, date, datetime, timedelta
from zoneinfo import ZoneInfo

import pytest

from billing_pipeline.rules.period import MalformedMonth, Month, microseconds, parse_months

PARIS = ZoneInfo("Europe/Paris")


def test_a_month_starts_where_the_one_before_ends():
    october = Month.parse("2026-10").period(PARIS)
    assert october.end == Month.parse("2026-11").period(PARIS).start
    assert october.start == datetime(2026, 9, 30, 22, tzinfo=UTC)


@pytest.mark.parametrize(
    ("month", "zone", "hours"),
    [
        ("2026-10", "UTC", 744),
        ("2026-10", "Europe/Paris", 745),
        ("2026-03", "Europe/Paris", 743),
        ("2028-02", "UTC", 696),
    ],
)
def test_a_month_lasts_as_long_as_its_zone_says(month, zone, hours):
    period = Month.parse(month).period(ZoneInfo(zone))
    assert period.end - period.start == timedelta(hours=hours)
    assert period.end_us - period.start_us == hours * 3_600_000_000


def test_the_printed_last_day_is_inclusive():
    assert Month.parse("2024-02").first_day == date(2024, 2, 1)
    assert Month.parse("2024-02").last_day == date(2024, 2, 29)


def test_months_follow_each_other_over_the_year():
    assert str(Month.parse("2026-12").next) == "2027-01"
    assert str(Month.parse("2026-01").previous) == "2025-12"
    assert Month.parse("2026-12") < Month.parse("2027-01")


def test_a_range_names_all_its_months():
    assert [str(month) for month in parse_months("2026-11..2027-01")] == ["2026-11", "2026-12", "2027-01"]
    assert [str(month) for month in parse_months("2026-11")] == ["2026-11"]


@pytest.mark.parametrize("text", ["2026-13", "2026-1", "26-01", "2026-10 ", "٢٠٢٦-10", "", "0001-01"])
def test_nothing_else_is_a_month(text):
    with pytest.raises(MalformedMonth):
        Month.parse(text)


def test_a_range_that_runs_backwards_is_refused():
    with pytest.raises(MalformedMonth, match="runs backwards"):
        parse_months("2026-10..2026-08")


@pytest.mark.parametrize(("year", "number"), [(1969, 12), (3000, 1), (2026, 0), (2026, 13)])
def test_months_run_from_1970_to_2999(year, number):
    assert (str(Month(1970, 1)), str(Month(2999, 12))) == ("1970-01", "2999-12")
    with pytest.raises(MalformedMonth, match="does not exist here"):
        Month(year, number)


def test_a_range_of_one_month_is_that_month():
    assert parse_months("2026-10..2026-10") == [Month(2026, 10)]


def test_instants_are_whole_microseconds_since_the_epoch():
    assert microseconds(datetime(1970, 1, 1, tzinfo=UTC)) == 0
    assert Month(2026, 10).period(ZoneInfo("UTC")).start_us == 1_790_812_800_000_000
    assert microseconds(datetime(2026, 10, 1, 0, 0, 0, 7, tzinfo=UTC)) == 1_790_812_800_000_007


@pytest.mark.parametrize(
    ("count", "month"),
    [(0, "2026-02"), (1, "2026-01"), (2, "2025-12"), (14, "2024-12"), (-10, "2026-12"), (-11, "2027-01")],
)
def test_months_are_counted_back_over_the_turn_of_the_year(count, month):
    assert str(Month(2026, 2).back(count)) == month

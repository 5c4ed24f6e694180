from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_pipeline.documents import formatting


@pytest.mark.parametrize(
    ("cents", "currency", "printed"),
    [
        (68689, "EUR", "€686.89"),
        (-446, "EUR", "\N{MINUS SIGN}€4.46"),
        (123456789012, "EUR", "€1,234,567,890.12"),
        (0, "EUR", "€0.00"),
        (1235, "JPY", "JP¥1,235"),
        (1234567, "KWD", "KWD\N{NO-BREAK SPACE}1,234.567"),
        (1234567, "IQD", "IQD\N{NO-BREAK SPACE}1,234.567"),
    ],
)
def test_an_amount_has_the_decimals_of_its_currency(cents, currency, printed):
    assert formatting.format_money(cents, currency) == printed


@settings(max_examples=200)
@given(st.integers(-(10**12), 10**12))
def test_no_cent_is_lost_in_print(cents):
    printed = formatting.format_money(cents, "EUR")
    assert Decimal(printed.replace("\N{MINUS SIGN}", "-").replace("€", "").replace(",", "")) * 100 == cents


@pytest.mark.parametrize(
    ("unit_price", "printed"),
    [
        ("0.0444444444444444", "€0.04444"),
        ("0.00625000000284", "€0.00625"),
        ("0.0083333333313", "€0.00833"),
        ("0.105555555555556", "€0.10556"),
        ("0.000125", "€0.000125"),
        ("1.000005", "€1.00001"),
        ("0.0000284444444444444", "€0.0000284"),
        ("0.0000142250", "€0.0000142"),
        ("0.09", "€0.09"),
        ("0.1", "€0.10"),
        ("8", "€8"),
        ("0", "€0"),
    ],
)
def test_a_unit_price_has_five_decimals_or_three_digits_and_halves_go_up(unit_price, printed):
    assert formatting.format_unit_price(Decimal(unit_price).quantize(Decimal("1e-20")), "EUR") == printed


def test_an_invoice_duration_reads_like_the_published_one():
    assert formatting.format_duration(2 * 86400 + 14 * 3600 + 24 * 60 + 34) == "2d 14h 24m 34s"
    assert formatting.format_duration(2 * 86400 + 7 * 3600 + 26 * 60 + 26) == "2d 07h 26m 26s"


@pytest.mark.parametrize(
    ("duration_s", "printed"),
    [(0, "0s"), (762, "12m 42s"), (3600, "1h 00m 00s"), (-762, "\N{MINUS SIGN}12m 42s")],
)
def test_a_short_duration_starts_with_its_largest_unit(duration_s, printed):
    assert formatting.format_duration(duration_s) == printed


@pytest.mark.parametrize(
    ("volume_bytes", "printed"),
    [
        (150 * 10**9, "150 GB"),
        (12 * 10**12, "12,000 GB"),
        (123_456_500_000, "123.457 GB"),
        (10**6, "0.001 GB"),
        (512_000, "0.512 MB"),
        (512, "512 B"),
        (Fraction(10, 3), "3.333 B"),
        (0, "0 B"),
    ],
)
def test_a_volume_is_in_gigabytes_of_ten_to_the_ninth(volume_bytes, printed):
    assert formatting.format_volume(Fraction(volume_bytes)) == printed


def test_a_count_has_its_thousands_apart():
    assert [formatting.format_count(count) for count in (0, 999, 1250)] == ["0", "999", "1,250"]
    assert formatting.format_volume_unit(1000 * 10**12) == "1,000 TB"


def test_a_rate_keeps_its_decimals():
    assert [formatting.format_rate(rate) for rate in (200_000, 85_000, 255_500, 0)] == [
        "20 %",
        "8.5 %",
        "25.55 %",
        "0 %",
    ]


def test_a_coupon_that_ends_at_midnight_is_valid_until_the_day_before_in_the_billing_time_zone():
    midnight_in_paris = datetime(2026, 10, 31, 23, tzinfo=UTC)
    assert formatting.last_day_before(midnight_in_paris, ZoneInfo("Europe/Paris")) == date(2026, 10, 31)


def test_an_iban_is_printed_in_groups_of_four():
    assert formatting.format_iban("FR76 30006000011234567890189") == "FR76 3000 6000 0112 3456 7890 189"

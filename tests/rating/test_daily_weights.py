"""The days of a month against plain reference code: `daily_weights` alone, in DuckDB, over a month with a short day.

In March 2026 the day of 29 March lasts 23 hours in Paris.
"""

from collections import Counter
from datetime import UTC, date, datetime, timedelta
from fractions import Fraction
from typing import NamedTuple
from zoneinfo import ZoneInfo

import duckdb
import jinja2
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from rating_month import GB, PROJECT, RatedMonth, case, october

from billing_pipeline.rules.period import Month, Period, microseconds

PARIS = ZoneInfo("Europe/Paris")
MARCH = Month.parse("2026-03").period(PARIS)
DAYS = [date(2026, 3, number) for number in range(1, 32)]

_SPANS = {
    "basis": pl.String, "meter_id": pl.Int64, "from_us": pl.Int64, "to_us": pl.Int64, "payer_id": pl.String,
    "slug": pl.String, "price_id": pl.String, "price_factor_ppm": pl.Int64, "tariff_id": pl.Int64, "reason": pl.String,
}  # fmt: skip
_TABLES = {
    "runs": {"meter_id": pl.Int64, "started_at": pl.Datetime("us", "UTC"), "stopped_at": pl.Datetime("us", "UTC")},
    "int_stored_values": {"meter_id": pl.Int64, "from_us": pl.Int64, "to_us": pl.Int64, "stored_bytes": pl.Int64},
    "stg_usage__traffic_deltas": {"meter_id": pl.Int64, "counted_us": pl.Int64, "moved_bytes": pl.Int64},
    "int_meter_spans": _SPANS,
    "charges": {
        "payer_id": pl.String, "price_id": pl.String, "price_factor_ppm": pl.Int64, "charge_cents": pl.Int64,
    },
    "int_one_shot_charges": {
        "payer_id": pl.String, "performed_us": pl.Int64, "charge_cents": pl.Int64, "document": pl.String,
        "reason": pl.String,
    },
    "int_vendor_charges": {
        "payer_id": pl.String, "charged_us": pl.Int64, "charge_cents": pl.Int64, "reason": pl.String,
    },
}  # fmt: skip


class Use(NamedTuple):
    """What one meter used from one instant to another, or at the last one: an amount at a price."""

    basis: str
    payer_id: str
    slug: str
    started_at: datetime
    stopped_at: datetime
    amount: int = 1


def local(day: int, hour: int = 0, minute: int = 0) -> datetime:
    """An instant of the month as clocks in Paris show it; days beyond the month's are those of the next one."""
    midnight = datetime(2026, 3, 1, tzinfo=PARIS) + timedelta(days=day - 1)
    return midnight.replace(hour=hour, minute=minute).astimezone(UTC)


def mart(period: Period, rows: dict[str, list[dict]]) -> dict[tuple[str, str, date], int]:
    """The rows of the mart, made of these rows of the models it reads."""
    sources = [(PROJECT / file).read_text() for file in ("macros/day_number.sql", "models/marts/daily_weights.sql")]
    model = jinja2.Environment(autoescape=True).from_string("".join(sources)).render(ref=str)
    with duckdb.connect() as connection:
        for name, columns in _TABLES.items():
            frame = pl.DataFrame(rows.get(name, []), schema=columns)
            connection.register(name, frame.to_arrow())
        stg_run__period = pl.DataFrame(
            {
                "billing_month": str(period.month),
                "period_start_us": period.start_us,
                "day_starts_us": [period.day_starts_us],
            }
        )
        connection.register("stg_run__period", stg_run__period.to_arrow())
        return {(payer, service, day): int(weight) for payer, service, day, weight in connection.sql(model).fetchall()}


def weigh(uses: list[Use], cents: dict[tuple[str, str], int]) -> dict[tuple[str, str, date], int]:
    """The weights of uses, each a meter of its own, whose payer pays that many cents per slug."""
    tariffs = {key: number for number, key in enumerate(sorted({(use.payer_id, use.slug) for use in uses}))}
    rows: dict[str, list[dict]] = {"int_meter_spans": [], "runs": [], "int_stored_values": []}
    rows["stg_usage__traffic_deltas"] = []
    for meter_id, use in enumerate(uses):
        is_unit = use.basis == "units"
        rows["int_meter_spans"].append(
            {
                "basis": use.basis, "meter_id": meter_id, "payer_id": use.payer_id, "slug": use.slug,
                "from_us": microseconds(use.started_at) if is_unit else MARCH.start_us,
                "to_us": microseconds(use.stopped_at) if is_unit else MARCH.end_us,
                "price_id": use.slug, "price_factor_ppm": 10**6, "tariff_id": tariffs[use.payer_id, use.slug],
                "reason": None,
            }
        )  # fmt: skip
        started_us, stopped_us = microseconds(use.started_at), microseconds(use.stopped_at)
        match use.basis:
            case "runtime":
                run = {"meter_id": meter_id, "started_at": use.started_at, "stopped_at": use.stopped_at}
                rows["runs"].append(run)
            case "stored":
                rows["int_stored_values"].append(
                    {"meter_id": meter_id, "from_us": started_us, "to_us": stopped_us, "stored_bytes": use.amount}
                )
            case "moved":
                moved = {"meter_id": meter_id, "counted_us": stopped_us - 1, "moved_bytes": use.amount}
                rows["stg_usage__traffic_deltas"].append(moved)
    rows["charges"] = [
        {"payer_id": payer_id, "price_id": slug, "price_factor_ppm": 10**6, "charge_cents": amount}
        for (payer_id, slug), amount in cents.items()
    ]
    return mart(MARCH, rows)


def reference(uses: list[Use], cents: dict[tuple[str, str], int]) -> dict[tuple[str, str, date], Fraction]:
    """The same in words: what a day used of all that was used at a price, of what is charged at that price."""
    used: Counter[tuple[str, str, date]] = Counter()
    for use in uses:
        for number, day in enumerate(DAYS, 1):
            start, end = local(number), local(number + 1)
            if use.basis == "moved":
                part = use.amount if start <= use.stopped_at - timedelta(microseconds=1) < end else 0
            else:
                lasted = min(end, use.stopped_at) - max(start, use.started_at)
                part = use.amount * max(0, lasted // timedelta(microseconds=1))
            used[use.payer_id, use.slug, day] += part
    weights: Counter[tuple[str, str, date]] = Counter()
    for (payer_id, slug, day), part in used.items():
        whole = sum(used[payer_id, slug, other] for other in DAYS)
        weights[payer_id, slug.split(".")[0], day] += Fraction(10**6 * cents[payer_id, slug] * part, whole)
    return {key: weight for key, weight in weights.items() if weight >= 1}


#: Each price rounds down, and once more to 10^12 parts of the month.
ROUNDED_MOST = 8


def assert_alike(uses: list[Use], cents: dict[tuple[str, str], int]) -> None:
    weights, exact = weigh(uses, cents), reference(uses, cents)
    for key in weights.keys() | exact.keys():
        assert abs(weights.get(key, 0) - exact.get(key, 0)) <= ROUNDED_MOST, key


APPS = {("acme", "apps.s"): 743}


def test_a_run_of_the_whole_month_weighs_as_many_hours_as_each_day_has():
    weights = weigh([Use("runtime", "acme", "apps.s", MARCH.start, MARCH.end)], APPS)

    hours = {day: round(Fraction(weights["acme", "apps", day], 10**6)) for day in DAYS}
    assert len(weights) == 31
    assert hours == dict.fromkeys(DAYS, 24) | {date(2026, 3, 29): 23}


def test_a_run_over_midnight_weighs_on_both_days():
    weights = weigh([Use("runtime", "acme", "apps.s", local(7, 23), local(8, 2))], {("acme", "apps.s"): 300})
    cents = {day.day: round(Fraction(weight, 10**6)) for (_, _, day), weight in weights.items()}
    assert cents == {7: 100, 8: 200}


def test_prices_of_a_service_count_by_what_they_cost():
    """One hour at 8.00 on the 1st, 24 hours of 1.00 in all on the 2nd."""
    uses = [
        Use("runtime", "acme", "apps.xl", local(1, 5), local(1, 6)),
        Use("runtime", "acme", "apps.s", local(2), local(3)),
        Use("runtime", "acme", "db.s", local(2), local(3)),
        Use("runtime", "zeta", "apps.s", local(2), local(3)),
    ]
    cents = {("acme", "apps.xl"): 800, ("acme", "apps.s"): 100, ("acme", "db.s"): 7, ("zeta", "apps.s"): 5}
    assert weigh(uses, cents) == {
        ("acme", "apps", date(2026, 3, 1)): 800_000_000,
        ("acme", "apps", date(2026, 3, 2)): 100_000_000,
        ("acme", "db", date(2026, 3, 2)): 7_000_000,
        ("zeta", "apps", date(2026, 3, 2)): 5_000_000,
    }


def test_bytes_weigh_while_they_are_stored_and_when_they_have_moved():
    uses = [
        Use("stored", "acme", "disk", local(28), local(30), amount=2 * GB),
        Use("moved", "acme", "net", local(3, 23), local(4), amount=5 * GB),
    ]
    weights = weigh(uses, {("acme", "disk"): 47, ("acme", "net"): 9})
    cents = {(service, day.day): round(Fraction(weight, 10**6)) for (_, service, day), weight in weights.items()}
    assert cents == {("disk", 28): 24, ("disk", 29): 23, ("net", 3): 9}


def test_units_weigh_all_the_time_that_their_price_holds():
    weights = weigh([Use("units", "acme", "mail.users", local(30), MARCH.end)], {("acme", "mail.users"): 10})
    assert {day.day for _, _, day in weights} == {30, 31}


def test_single_charges_weigh_on_their_day():
    one_shots = [
        {"performed_us": microseconds(local(5, 23, 59)), "charge_cents": 40, "document": "monthly"},
        {"performed_us": microseconds(local(6)), "charge_cents": -10, "document": "monthly"},
        {"performed_us": microseconds(local(7)), "charge_cents": 10, "document": "specific"},
        {"performed_us": microseconds(local(8)), "charge_cents": 10, "document": "monthly", "reason": "currency"},
    ]
    vendors = [{"charged_us": MARCH.end_us - 1, "charge_cents": 3}]
    rows = {"int_one_shot_charges": one_shots, "int_vendor_charges": vendors}
    assert mart(MARCH, {name: [{"payer_id": "acme"} | row for row in own] for name, own in rows.items()}) == {
        ("acme", "one_shot", date(2026, 3, 5)): 40_000_000,
        ("acme", "vendor", date(2026, 3, 31)): 3_000_000,
    }


instants = st.integers(MARCH.start_us, MARCH.end_us).map(
    lambda us: datetime(1970, 1, 1, tzinfo=UTC) + timedelta(microseconds=us)
) | st.integers(1, 32).map(local)
used = st.builds(
    lambda basis, payer, slug, ends, amount: Use(
        basis, payer, f"{slug}.{basis}", *ends, amount=amount if basis in ("stored", "moved") else 1
    ),
    st.sampled_from(["runtime", "stored", "moved", "units"]),
    st.sampled_from(["acme", "zeta"]),
    st.sampled_from(["apps", "db"]),
    st.tuples(instants, instants).filter(lambda ends: ends[0] != ends[1]).map(sorted),
    st.integers(1, 10**15),
)


@settings(max_examples=15, deadline=None)
@given(st.lists(used, min_size=1, max_size=12), st.integers(0, 10**6))
def test_every_day_weighs_what_it_used_of_what_is_charged(uses: list[Use], cents: int):
    assert_alike(uses, {(use.payer_id, use.slug): cents + len(use.slug) for use in uses})


@pytest.mark.parametrize("zone", ["UTC", "Europe/Paris", "America/Santiago", "Australia/Lord_Howe", "Pacific/Apia"])
@pytest.mark.parametrize("month", ["2026-03", "2026-04", "2026-10", "2011-12"])
def test_the_days_of_a_month_are_those_of_its_zone(zone: str, month: str):
    period = Month.parse(month).period(ZoneInfo(zone))
    instants_us = range(period.start_us, period.end_us, 1_800_000_000)
    charged = [{"payer_id": str(us), "charged_us": us, "charge_cents": 1} for us in instants_us]

    days = {int(payer): day for payer, _, day in mart(period, {"int_vendor_charges": charged})}

    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    assert days == {us: (epoch + timedelta(microseconds=us)).astimezone(period.zone).date() for us in instants_us}


whole = (
    case("weights", price_factor_ppm=500_000)
    .price("apps.s", "runtime", (0, 3600, "0.01"), (3600, None, "1"), tier_mode="graduated")
    .price("apps.m", "runtime", (0, None, "2"), valid_to=october(11))
    .price("apps.m", "runtime", (0, None, "3"), valid_from=october(11))
    .price("net", "moved", (0, None, "0.000000001"))
    .ran("apps.s", october(3, 20), october(5, 2))
    .ran("apps.m", october(10), october(12))
    .moved("net", 7 * GB, october(20, 23), october(21))
    .charged_once("1", "5")
)


def test_a_rated_month_weighs_what_it_charges(rated: RatedMonth):
    weights = rated.marts["daily_weights"].filter(payer_id=whole.owner_id)
    cents = {
        (service, day.day): round(Fraction(int(weight), 10**6))
        for service, day, weight in weights.select("service", "day", "weight").rows()
    }
    # An hour at 0.005 and 29 at 0.50 are 14.51 for 30 hours; then a day each at 1.00 and 1.50 an hour.
    assert {day: amount for (service, day), amount in cents.items() if service == "apps"} == {
        3: 193, 4: 1161, 5: 97, 10: 24_00, 11: 36_00,
    }  # fmt: skip
    assert [amount for (service, day), amount in cents.items() if (service, day) == ("net", 20)] == [350]
    assert [amount for (service, day), amount in cents.items() if (service, day) == ("one_shot", 15)] == [250]

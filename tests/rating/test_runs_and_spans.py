"""How long something ran, who pays for it then, and at which price."""

import hashlib
import json
from datetime import datetime, timedelta

import polars as pl
import pytest
from rating_month import GB, HOUR, LONG_AGO, MICROSECOND, PERIOD, Case, RatedMonth, case, october

EURO_AN_HOUR = (0, None, "1")


def hourly(name: str, **columns: object) -> Case:
    return case(name, **columns).price("apps.S", "runtime", EURO_AN_HOUR)


def at(hours: float) -> datetime:
    return october(3) + hours * HOUR


overlapping = hourly("overlapping")
for started, stopped in ((0, 10), (2, 4), (8, 12), (12, 13), (20, 21)):
    overlapping.ran("apps.S", at(started), at(stopped), instance_id="one-instance")


def test_overlapping_and_touching_runs_of_an_instance_are_united_never_summed(rated: RatedMonth):
    instances = rated.marts["runs"].filter(instance_id="one-instance").sort("started_at")
    assert instances["started_at"].to_list() == [at(0), at(20)]
    assert instances["stopped_at"].to_list() == [at(13), at(21)]
    assert rated.amounts(overlapping) == [14_00]


double_start = hourly("double-start").ran("apps.S", at(0), None, instance_id="started-twice")
double_start.ran("apps.S", PERIOD.end - 2 * HOUR, PERIOD.end + HOUR, instance_id="started-twice")


def test_time_that_was_told_more_than_once_is_a_figure_of_its_owner(rated: RatedMonth):
    # 2 to 4 and 8 to 10 twice; touching is not overlapping.
    assert rated.of("overlapped_time", overlapping).rows() == [("overlapping", "overlap", 1, 4 * 3600 * 10**6)]
    assert rated.of("overlapped_time", double_start).rows() == [("double-start", "double_start", 1, 2 * 3600 * 10**6)]
    assert rated.of("overlapped_time", scaled_out).is_empty()


scaled_out = hourly("scaled-out").ran("apps.S", at(0), at(10)).ran("apps.S", at(0), at(10)).ran("apps.S", at(5), at(6))


def test_instances_of_one_app_add_up(rated: RatedMonth):
    assert rated.amounts(scaled_out) == [21_00]


carried = (
    hourly("carried")
    .ran("apps.S", PERIOD.start - 40 * HOUR, PERIOD.start + 2 * HOUR)
    .ran("apps.S", PERIOD.end - 3 * HOUR, None)
    .ran("apps.S", PERIOD.end - HOUR, PERIOD.end + 5 * HOUR)
    .ran("apps.S", PERIOD.start - 2 * HOUR, PERIOD.start)
    .ran("apps.S", PERIOD.end, PERIOD.end + HOUR)
    .ran("apps.S", at(1), at(1))
)


def test_a_month_bills_what_falls_inside_it(rated: RatedMonth):
    assert rated.seconds(carried) == [(2 + 3 + 1) * 3600]
    assert rated.of("charges", carried)["charge_cents"].to_list() == [6_00]


def test_only_rows_that_touch_the_month_are_sources_of_a_line(rated: RatedMonth):
    (line_id,) = rated.of("charges", carried)["line_id"]
    sources = rated.marts["charge_sources"].filter(line_id=line_id)
    assert sources.select("feed", "source_rows").rows() == [("runtime_intervals", 3)]


short_runs = hourly("short-runs")
for minute in range(3):
    short_runs.ran("apps.S", at(minute), at(minute) + timedelta(milliseconds=700))
blink = hourly("blink").ran("apps.S", at(0), at(0) + timedelta(milliseconds=999))


def test_seconds_are_taken_once_from_the_sum_of_the_line(rated: RatedMonth):
    assert rated.seconds(short_runs) == [2]


def test_less_than_a_second_in_all_is_no_line(rated: RatedMonth):
    assert rated.amounts(blink) == []
    assert rated.of("segments", blink)["duration_us"].to_list() == [999_000]


repriced = (
    case("repriced")
    .price("apps.S", "runtime", (0, None, "1"), price_id="repriced-old", valid_to=october(11, 6))
    .price("apps.S", "runtime", (0, None, "2"), price_id="repriced-new", valid_from=october(11, 6))
    .ran("apps.S", october(11), october(12))
)


def test_a_price_change_inside_the_month_makes_two_lines(rated: RatedMonth):
    assert rated.charges(repriced).select("price_id", "duration_s", "charge_cents").rows() == [
        ("repriced-new", 18 * 3600, 36_00),
        ("repriced-old", 6 * 3600, 6_00),
    ]


def test_a_run_across_a_price_change_is_a_source_of_both_lines(rated: RatedMonth):
    sources = rated.marts["charge_sources"].join(rated.of("charges", repriced), on="line_id")
    assert sources["source_rows"].to_list() == [1, 1]


returning = (
    case("returning")
    .price("apps.S", "runtime", (0, None, "1"), price_id="returning-usual")
    .price(
        "apps.S",
        "runtime",
        (0, None, "0.5"),
        price_id="returning-sale",
        zone="par",
        valid_from=october(10),
        valid_to=october(20),
    )
    .ran("apps.S", october(5), october(25))
)


def test_a_price_that_returns_after_a_sale_is_one_line(rated: RatedMonth):
    assert rated.charges(returning).select("price_id", "charge_cents").rows() == [
        ("returning-sale", 120_00),
        ("returning-usual", 240_00),
    ]


public = (
    case("public-price")
    .price("shared.S", "runtime", (0, None, "1"), owner_id=None, price_id="shared-anywhere")
    .price("shared.S", "runtime", (0, None, "2"), owner_id=None, zone="par", price_id="shared-par")
    .ran("shared.S", at(0), at(1))
)
elsewhere = case("elsewhere").ran("shared.S", at(0), at(1), zone="mtl")
negotiated = (
    case("negotiated")
    .price("shared.S", "runtime", (0, None, "0.25"), price_id="negotiated-anywhere")
    .ran("shared.S", at(0), at(1))
)
discounted = case("discounted", price_factor_ppm=900_000).ran("shared.S", at(0), at(1), zone="mtl")


@pytest.mark.parametrize(
    ("usage", "price_id", "cents"),
    [
        (public, "shared-par", 2_00),
        (elsewhere, "shared-anywhere", 1_00),
        (negotiated, "negotiated-anywhere", 25),
        (discounted, "shared-anywhere", 90),
    ],
    ids=lambda value: getattr(value, "owner_id", None),
)
def test_the_most_specific_price_wins(rated: RatedMonth, usage: Case, price_id: str, cents: int):
    assert rated.charges(usage).select("price_id", "charge_cents").rows() == [(price_id, cents)]


def test_the_price_factor_is_part_of_the_printed_price(rated: RatedMonth):
    (line,) = rated.charges(discounted).iter_rows(named=True)
    assert (str(line["unit_price"]), line["price_factor_ppm"]) == ("0.90000000000000000000", 900_000)


recontracted = (
    case("recontracted")
    .version(PERIOD.start, october(11), price_factor_ppm=1_000_000)
    .version(october(11), october(21), price_factor_ppm=1_000_000, name="Renamed")
    .version(october(21), price_factor_ppm=500_000)
    .price("apps.S", "runtime", EURO_AN_HOUR)
    .ran("apps.S", october(1), october(31))
)


def test_a_new_contract_cuts_the_month_and_a_new_name_does_not(rated: RatedMonth):
    lines = rated.of("charges", recontracted).sort("price_factor_ppm")
    assert lines.select("price_factor_ppm", "charge_cents").rows() == [(500_000, 120_00), (1_000_000, 480_00)]


new_parent = case("new-parent")
sold = (
    case("sold")
    .version(PERIOD.start, october(11))
    .version(october(11), payer_id="new-parent")
    .price("apps.S", "runtime", EURO_AN_HOUR)
    .ran("apps.S", october(10), october(13))
)


def test_each_payer_pays_what_was_used_in_its_time(rated: RatedMonth):
    lines = rated.of("charges", sold).sort("payer_id")
    assert lines.select("payer_id", "charge_cents").rows() == [("new-parent", 48_00), ("sold", 24_00)]


boundary = (
    case("boundary")
    .price("out", "moved", (0, None, "1"), per_quantity=GB, price_id="boundary-old", valid_to=october(11))
    .price("out", "moved", (0, None, "3"), per_quantity=GB, price_id="boundary-new", valid_from=october(11))
    .moved("out", 5 * GB, october(10), october(11))
    .moved("out", 7 * GB, october(10, 1), october(11) + MICROSECOND)
    .moved("out", 2 * GB, october(11), october(11))
    .moved("out", 1 * GB, PERIOD.end - HOUR, PERIOD.end)
)


def test_moved_bytes_count_whole_at_the_last_instant_of_their_interval(rated: RatedMonth):
    assert rated.charges(boundary).select("price_id", "quantity", "charge_cents").rows() == [
        ("boundary-new", 10 * GB, 30_00),
        ("boundary-old", 5 * GB, 5_00),
    ]


grown = (
    case("grown")
    .price("disk", "stored", (0, 10 * GB, "1"), (10 * GB, None, "0.1"), tier_mode="slab", per_quantity=GB)
    .stored("disk", 4 * GB, since=PERIOD.start - 100 * HOUR)
    .stored("disk", 10 * GB, since=october(1, 5))
    .stored("disk", 0, since=october(1, 8))
    .stored("disk", 20 * GB, since=PERIOD.end - HOUR)
)


def test_each_sampled_size_finds_its_own_tier_and_holds_until_the_next_sample(rated: RatedMonth):
    assert rated.amounts(grown) == [20_00, 3 * 1_00 + 2_00]


def test_a_line_of_stored_bytes_prints_byte_seconds_and_how_long(rated: RatedMonth):
    first, second = rated.charges(grown).iter_rows(named=True)
    assert (first["quantity"], first["unit"], first["duration_s"]) == (5 * 3600 * 4 * GB, "byte_s", 5 * 3600)
    assert (second["quantity"], second["duration_s"]) == (3600 * (3 * 10 + 20) * GB, 4 * 3600)


heir = case("heir").price("disk", "stored", (0, None, "1"), per_quantity=GB)
heir.stored("disk", 3 * GB, since=october(5, 2), resource_id="shared-disk")
donor = case("donor").price("disk", "stored", (0, None, "1"), per_quantity=GB)
donor.stored("disk", 3 * GB, since=october(5), resource_id="shared-disk")


def test_a_sample_of_the_next_owner_ends_the_value_of_the_former_one(rated: RatedMonth):
    assert rated.amounts(donor) == [6_00]
    assert rated.seconds(heir) == [(PERIOD.end - october(5, 2)) // timedelta(seconds=1)]


blocks = (
    case("blocks")
    .price("disk", "stored", (0, None, "1"), per_quantity=10 * GB, block_quantity=10 * GB)
    .stored("disk", 11 * GB, since=october(2))
    .stored("disk", 10 * GB, since=october(2, 1))
    .stored("disk", 0, since=october(2, 2))
)
build = (
    case("ten-second-blocks")
    .price("runner.M", "runtime", (0, None, "3.6"), block_seconds=10)
    .ran("runner.M", at(0), at(0) + timedelta(seconds=61))
)


def test_only_whole_started_blocks_are_sold(rated: RatedMonth):
    assert rated.amounts(blocks) == [3_00]
    assert rated.charges(build).select("quantity", "duration_s", "charge_cents").rows() == [(70, 61, 7)]


peak = (
    case("peak")
    .price("seats", "units", (0, None, "1"), price_id="peak-old", valid_to=october(11))
    .price("seats", "units", (0, None, "2"), price_id="peak-new", valid_from=october(11))
    .counted("seats", 3, october(2))
    .counted("seats", 9, october(10))
    .counted("seats", 9, october(20))
    .counted("seats", 4, october(25))
)


def test_units_are_billed_once_where_their_largest_count_was_first_reached(rated: RatedMonth):
    assert rated.charges(peak).select("price_id", "quantity", "charge_cents").rows() == [("peak-old", 9, 9_00)]
    assert rated.of("segments", peak)["units_max_at"].to_list() == [october(10)]
    (line_id,) = rated.of("charges", peak)["line_id"]
    assert rated.marts["charge_sources"].filter(line_id=line_id)["source_rows"].to_list() == [4]


free = case("free").price("apps.S", "runtime", (0, None, "0")).ran("apps.S", at(0), at(1))
nothing = case("nothing").price("out", "moved", (0, None, "1")).moved("out", 0)
nothing.stored("disk", 0).counted("seats", 0)


def test_a_price_of_zero_is_a_line_and_a_quantity_of_zero_is_none(rated: RatedMonth):
    assert rated.amounts(free) == [0]
    assert rated.amounts(nothing) == []
    assert rated.reasons(nothing) == []


yen = case("yen", currency="JPY").price("apps.S", "runtime", (0, None, "150.5")).ran("apps.S", at(0), at(1))
dinar = case("dinar", currency="KWD").price("apps.S", "runtime", (0, None, "0.1235")).ran("apps.S", at(0), at(1))


def test_amounts_are_in_the_minor_unit_of_their_currency(rated: RatedMonth):
    assert rated.amounts(yen) == [151]
    assert rated.amounts(dinar) == [124]


def test_a_line_id_is_the_hash_of_the_line_key_and_the_month(rated: RatedMonth):
    key = ["2026-10", "free", "free", "free-resource", "apps.s", "par", "free.apps.S.0", "1000000", "0"]
    digest = hashlib.sha256(json.dumps(key, separators=(",", ":")).encode()).hexdigest()
    assert rated.of("charges", free)["line_id"].to_list() == [digest[:32]]


def test_every_amount_belongs_to_a_line_of_its_own(rated: RatedMonth):
    assert rated.marts["charges"]["line_id"].is_unique().all()


def test_every_metered_line_is_recurring(rated: RatedMonth):
    metered = rated.marts["charges"].filter(pl.col("basis") != "one_shot")
    assert metered["is_recurring"].all()


late_customer = (
    case("late-customer")
    .version(october(11), october(20))
    .price("apps.S", "runtime", EURO_AN_HOUR, valid_from=LONG_AGO)
    .ran("apps.S", october(12), october(13))
)


def test_an_organisation_is_rated_within_its_versions(rated: RatedMonth):
    assert rated.amounts(late_customer) == [24_00]
    assert rated.reasons(late_customer) == []

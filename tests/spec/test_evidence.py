"""The usage behind a line: when its price was the one that counted, and which measurements lie inside that time."""

from datetime import UTC, datetime, timedelta
from hashlib import sha256

import polars as pl
import pytest

from billing_pipeline.rules.evidence import (
    event_line_id,
    identify_file,
    instants,
    price_windows,
    series_of_line,
    usage_of_line,
)

LINE = {
    "owner_id": "acme", "payer_id": "head", "zone": "par", "slug": "apps.s", "basis": "runtime",
    "price_id": "mine", "price_factor_ppm": 1_000_000,
}  # fmt: skip
INSTANT = pl.Datetime("us", "UTC")


def october(day: int, hour: int = 0) -> datetime:
    return datetime(2026, 10, 1, tzinfo=UTC) + timedelta(days=day - 1, hours=hour)


@pytest.fixture
def windows(given):
    """On which days of October a line's price counts: versions of owner and payer, and prices, as (since, until)."""

    def of(prices: list[dict], owner=(), payer=(), closes_at: datetime | None = None) -> list[tuple]:
        terms = {"payer_id": "head", "price_factor_ppm": 1_000_000, "currency": "EUR", "closes_at": closes_at}
        versions = [
            {"owner_id": owner_id, "valid_from": october(1), "valid_to": october(32)} | terms | version
            for owner_id, said in (("acme", owner), ("head", payer))
            for version in said or [{}]
        ]
        public = {
            "price_id": "mine", "owner_id": None, "zone": None, "currency": "EUR", "slug": "apps.s",
            "basis": "runtime", "price_factor_ppm": 1_000_000, "valid_from": datetime(2020, 1, 1, tzinfo=UTC),
            "valid_to": None,
        }  # fmt: skip
        found = price_windows(
            LINE,
            pl.DataFrame([public | price for price in prices], infer_schema_length=None),
            pl.DataFrame(versions, infer_schema_length=None),
            given.period(),
        )
        return [((start - october(1)).days + 1, (end - october(1)).days + 1) for start, end in found.rows()]

    return of


def test_a_price_that_lasts_counts_all_month_in_one_piece(windows):
    assert windows([{}]) == [(1, 32)]
    # A change that does not concern the price cuts nothing.
    assert windows([{}, {"price_id": "other", "slug": "apps.l", "valid_from": october(5)}]) == [(1, 32)]
    assert windows([{}], owner=[{"valid_to": october(9)}, {"valid_from": october(9)}]) == [(1, 32)]


def test_a_price_counts_from_its_first_instant_to_before_its_last(windows):
    assert windows([{"valid_from": october(5), "valid_to": october(9)}]) == [(5, 9)]
    assert windows([{"valid_from": october(32)}]) == []
    assert windows([{"valid_to": october(1)}]) == []


def test_a_price_counts_again_where_a_better_one_ends(windows):
    better = {"price_id": "better", "owner_id": "acme", "valid_from": october(5), "valid_to": october(9)}
    assert windows([{}, better]) == [(1, 5), (9, 32)]


@pytest.mark.parametrize(
    "better", [{"owner_id": "acme"}, {"currency": "EUR"}, {"zone": "par"}], ids=["negotiated", "currency", "zone"]
)
def test_the_more_specific_price_counts(windows, better):
    less = {"currency": "USD"}
    assert windows([less, less | better | {"price_id": "other"}]) == []
    assert windows([less | better, less | {"price_id": "other"}]) == [(1, 32)]


def test_negotiated_goes_before_currency_and_currency_before_zone(windows):
    negotiated, currency, zone = {"currency": "USD", "owner_id": "acme"}, {}, {"currency": "USD", "zone": "par"}
    assert windows([negotiated, currency | zone | {"currency": "EUR", "price_id": "other"}]) == [(1, 32)]
    assert windows([currency, zone | {"price_id": "other"}]) == [(1, 32)]


@pytest.mark.parametrize(
    "elsewhere",
    [{"owner_id": "lab"}, {"zone": "mtl"}, {"slug": "apps.l"}, {"basis": "moved"}, {"price_factor_ppm": 900_000}],
    ids=lambda columns: next(iter(columns)),
)
def test_a_price_of_something_else_never_counts(windows, elsewhere):
    assert windows([elsewhere]) == []
    specific = {"owner_id": "acme", "zone": "par", "price_id": "other"}
    assert windows([{}, specific | elsewhere]) == [(1, 32)]


def test_a_price_counts_while_the_owner_has_the_lines_payer_and_factor(windows):
    before, after = {"valid_to": october(9)}, {"valid_from": october(9)}
    assert windows([{}], owner=[before | {"payer_id": "other"}, after]) == [(9, 32)]
    assert windows([{}], owner=[before, after | {"price_factor_ppm": 900_000}]) == [(1, 9)]


def test_nothing_counts_before_owner_or_payer_is_known(windows):
    assert windows([{}], owner=[{"valid_from": october(5)}]) == [(5, 32)]
    assert windows([{}], payer=[{"valid_from": october(7)}]) == [(7, 32)]
    assert windows([{}], owner=[{"valid_to": None}]) == [(1, 32)]


def test_the_payers_currency_decides_while_it_lasts(windows):
    payer = [{"valid_to": october(9)}, {"valid_from": october(9), "currency": "USD"}]
    assert windows([{}, {"price_id": "dollars", "currency": "USD"}], payer=payer) == [(1, 9)]


def test_nothing_counts_after_the_owner_closed(windows):
    assert windows([{}], closes_at=october(20)) == [(1, 20)]
    assert windows([{}], closes_at=october(40)) == [(1, 32)]
    assert windows([{}], closes_at=datetime(2026, 9, 1, tzinfo=UTC)) == []


def test_an_owner_that_nobody_knows_has_no_price(given):
    prices = pl.DataFrame(
        [{"price_id": "mine", "slug": "apps.s", "basis": "runtime", "price_factor_ppm": 1_000_000, "zone": "par",
          "owner_id": "acme", "currency": "EUR", "valid_from": october(1), "valid_to": october(32)}]
    )  # fmt: skip
    nobody = {"owner_id": pl.String, "valid_from": INSTANT, "valid_to": INSTANT, "closes_at": INSTANT}
    assert price_windows(LINE, prices, pl.DataFrame(schema=nobody), given.period()).height == 0


METERS = pl.DataFrame(
    {
        "meter_id": [0, 1, 2, 3, 4],
        "owner_id": ["acme", "lab", "acme", "acme", "acme"],
        "resource_id": ["disk", "disk", "disk", "disk", "other"],
        "slug": ["apps.s", "apps.s", "apps.l", "apps.s", "apps.s"],
        "zone": ["par", "par", "par", "mtl", "par"],
    }
)


def test_the_series_of_a_line_are_those_of_its_resources_and_its_own_are_marked():
    found = series_of_line("storage_samples", METERS, LINE, ["disk"])
    assert found.rows() == [(0, "disk", True), (1, "disk", False), (3, "disk", False)]
    both = series_of_line("storage_samples", METERS, LINE, ["disk", "other"])
    assert both.filter("is_own")["meter_id"].to_list() == [0, 4]


def test_a_heartbeat_may_be_ended_by_one_of_another_flavour():
    found = series_of_line("runtime_heartbeats", METERS, LINE, ["disk"])
    assert found["meter_id"].to_list() == [0, 1, 2, 3]
    assert found.filter("is_own")["meter_id"].to_list() == [0]


DAYS = pl.DataFrame(
    [(october(5), october(9)), (october(20), october(25))],
    schema={"window_start": INSTANT, "window_end": INSTANT},
    orient="row",
)


def _days(events: pl.DataFrame) -> list[tuple[float, float]]:
    return [
        ((start - october(1)) / timedelta(days=1) + 1, (end - october(1)) / timedelta(days=1) + 1)
        for start, end in events.select("from", "to").rows()
    ]


def test_runs_are_cut_to_the_time_of_the_price(given):
    runs = pl.DataFrame(
        [
            (True, october(4), october(6)), (True, october(8), None), (True, october(9), october(20)),
            (False, october(5), october(9)), (True, october(1), october(5)), (True, october(25), None),
        ],
        schema={"is_own": pl.Boolean, "started_at": INSTANT, "stopped_at": INSTANT},
        orient="row",
    )  # fmt: skip
    used = usage_of_line("runtime_intervals", runs, DAYS, None, given.period())
    assert _days(used) == [(5, 6), (8, 9), (20, 25)]
    assert used.columns == ["is_own", "started_at", "stopped_at", "from", "to"]


HEARTBEATS = {
    "instance_id": pl.String,
    "sampled_at": INSTANT,
    "is_own": pl.Boolean,
    "nominal_us": pl.Int64,
    "gap_us": pl.Int64,
}
_MINUTE = timedelta(minutes=1)


@pytest.fixture
def beating(given):
    """How many minutes each heartbeat counts for: (instance, minute of 5 October, own); period 5, largest gap 15."""

    def minutes(*beats: tuple[str, float, bool]) -> list[tuple[float, float]]:
        rows = [(name, october(5) + minute * _MINUTE, own, 300_000_000, 900_000_000) for name, minute, own in beats]
        frame = pl.DataFrame(rows, schema=HEARTBEATS, orient="row")
        used = usage_of_line("runtime_heartbeats", frame, DAYS, None, given.period())
        assert used.columns == ["instance_id", "sampled_at", "is_own", "from", "to"]
        return [((start - october(5)) / _MINUTE, (end - october(5)) / _MINUTE) for start, end in used[:, -2:].rows()]

    return minutes


def test_a_heartbeat_holds_until_the_next_one_of_its_run(beating):
    assert beating(("a", 10, True), ("a", 0, True)) == [(0, 10), (10, 15)]
    assert beating(("a", 0, True), ("a", 15, True)) == [(0, 15), (15, 20)]


def test_a_heartbeat_before_a_gap_holds_for_its_nominal_period(beating):
    assert beating(("a", 0, True), ("a", 15.1, True)) == [(0, 5), (15.1, 20.1)]


def test_a_heartbeat_of_something_else_ends_the_run_before(beating):
    assert beating(("a", 0, True), ("a", 3, False)) == [(0, 3)]
    assert beating(("a", 0, True), ("a", 10, False)) == [(0, 5)]


def test_instances_do_not_end_each_others_heartbeats(beating):
    assert beating(("a", 0, True), ("b", 3, True)) == [(0, 5), (3, 8)]


STORED = {"series": pl.String, "sampled_at": INSTANT, "bytes": pl.Int64, "is_own": pl.Boolean}


@pytest.fixture
def stored(given):
    """From and to which day each stored size counts: (series, day, bytes, own)."""

    def days(*samples: tuple, tier: dict | None = None) -> list[tuple[float, float]]:
        rows = [(series, october(day), size, own) for series, day, size, own in samples]
        frame = pl.DataFrame(rows, schema=STORED, orient="row")
        used = usage_of_line("storage_samples", frame, DAYS, tier, given.period())
        assert used.columns == ["series", "sampled_at", "bytes", "is_own", "from", "to"]
        return _days(used)

    return days


def test_a_size_holds_until_the_next_of_its_series_whoever_owns_it_then(stored):
    assert stored(("a", 8, 1, False), ("a", 6, 1, True)) == [(6, 8)]
    assert stored(("a", 6, 1, True), ("b", 8, 1, True)) == [(6, 9), (8, 9), (20, 25), (20, 25)]


def test_the_last_size_holds_until_the_month_ends(stored, given):
    whole = DAYS.vstack(pl.DataFrame([(october(30), october(40))], schema=DAYS.schema, orient="row"))
    frame = pl.DataFrame([("a", october(24), 1, True)], schema=STORED, orient="row")
    assert _days(usage_of_line("storage_samples", frame, whole, None, given.period())) == [(24, 25), (30, 32)]


def test_nothing_stored_is_no_evidence(stored):
    assert stored(("a", 6, 0, True), ("a", 7, 1, True), ("a", 8, 0, True)) == [(7, 8)]


@pytest.mark.parametrize(
    ("mode", "start", "end", "reached"),
    [
        ("slab", 10, 20, [10, 11, 19]), ("slab", 0, 10, [1, 9]), ("slab", 20, None, [20, 21, 90]),
        ("graduated", 10, 20, [11, 19, 20, 21, 90]), ("graduated", 0, 10, [1, 9, 10, 11, 19, 20, 21, 90]),
    ],
)  # fmt: skip
def test_a_size_counts_for_the_tier_it_lies_in_or_reaches_into(given, mode, start, end, reached):
    sizes = [0, 1, 9, 10, 11, 19, 20, 21, 90]
    rows = [(str(size), october(6), size, True) for size in sizes]
    tier = {"tier_mode": mode, "tier_from": start, "tier_to": end}
    frame = pl.DataFrame(rows, schema=STORED, orient="row")
    used = usage_of_line("storage_samples", frame, DAYS.head(1), tier, given.period())
    assert sorted(used["bytes"]) == reached


def test_moved_bytes_count_in_the_last_microsecond_of_their_interval(given):
    moved = pl.DataFrame(
        [
            (1, True, october(4), october(5)), (2, True, october(4), october(6)), (3, True, october(8), october(9)),
            (4, True, october(9), october(10)), (5, False, october(6), october(7)), (0, True, october(6), october(7)),
            # A delta of a single instant counts in it.
            (6, True, october(5), october(5)), (7, True, october(9), october(9)),
        ],
        schema={"bytes": pl.Int64, "is_own": pl.Boolean, "started_at": INSTANT, "stopped_at": INSTANT},
        orient="row",
    )  # fmt: skip
    least = pl.DataFrame({"bytes": [1], "is_own": [True], "started_at": [october(4)], "stopped_at": [october(5)]})
    least = least.with_columns(pl.col("started_at", "stopped_at").cast(INSTANT))
    just_inside = least.with_columns(stopped_at=pl.col("stopped_at") + timedelta(microseconds=1))
    used = usage_of_line("traffic_deltas", pl.concat([moved, just_inside]), DAYS, None, given.period())
    assert used["bytes"].to_list() == [6, 1, 2, 3]


def test_every_count_of_units_is_shown_in_order_of_time(given):
    counts = pl.DataFrame(
        [(october(9), 4, False), (october(2), 7, True)],
        schema={"sampled_at": INSTANT, "quantity": pl.Int64, "is_own": pl.Boolean},
        orient="row",
    )
    assert usage_of_line("unit_counts", counts, DAYS, None, given.period())["quantity"].to_list() == [7, 4]


def test_microseconds_are_shown_as_instants_of_utc():
    shown = instants(pl.DataFrame({"meter_id": [1], "sampled_us": [1_790_812_800_000_001]}))
    assert shown.rows() == [(1, datetime(2026, 10, 1, 0, 0, 0, 1, tzinfo=UTC))]
    assert shown.columns == ["meter_id", "sampled_at"]


def test_a_file_is_named_for_its_place_and_its_bytes():
    assert identify_file("2026-10/a.csv", "abc") == "6aa883df90aaebf2"
    assert len({identify_file("a", "x"), identify_file("b", "x"), identify_file("a", "y")}) == 3


@pytest.mark.parametrize(
    ("feed", "key"),
    [("one_shots", '["2026-10","shop","n°1"]'), ("vendor_charges", '["2026-10","vendor","shop","n°1"]')],
)
def test_a_single_charge_names_its_line_by_the_hash_of_its_key(feed, key):
    assert event_line_id(feed, "2026-10", "shop", "n°1") == sha256(key.encode()).hexdigest()[:32]

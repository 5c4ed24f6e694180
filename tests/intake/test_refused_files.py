"""Files whose form is wrong are refused whole and listed; the run goes on without them."""

from collections.abc import Callable
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from intake_home import IntakeHome, beat, one_shot, run, sample

from billing_pipeline.sample.landing import FEEDS, arrivals_of

DAY = "2026-10-05"
NOON, AT_ONE = f"{DAY} 12:00", f"{DAY} 13:00"
ROW = run("e1", NOON, AT_ONE, ingested=AT_ONE)
FEED = "runtime_intervals"


def rows(feed: str = FEED, count: int = 1) -> pl.DataFrame:
    """Rows of a feed as they should be written."""
    good = {
        FEED: ROW,
        "runtime_heartbeats": beat("e1", NOON),
        "one_shots": one_shot("e1", NOON),
        "storage_samples": sample("e1", NOON, 10),
    }[feed]
    return arrivals_of(feed, [good | {"event_id": f"e{number}"} for number in range(count)]).select(*FEEDS[feed])


def without_zone(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(pl.col("started_at").dt.replace_time_zone(None))


def repeated_column(file: Path) -> None:
    table = rows().to_arrow()
    pq.write_table(table.append_column("zone", table.column("zone")), file)


def empty(file: Path) -> None:
    file.touch()


def a_web_page(file: Path) -> None:
    file.write_text("<html>Service unavailable</html>")


def cut_short(file: Path) -> None:
    rows().write_parquet(file)
    file.write_bytes(file.read_bytes()[:-100])


def with_a_damaged_page(file: Path) -> None:
    rows(count=2_000).write_parquet(file, compression="zstd")
    content = bytearray(file.read_bytes())
    content[200:260] = bytes(60)
    file.write_bytes(content)


def under_another_ending(file: Path) -> None:
    rows().write_csv(file.with_suffix(".csv"))


def leading_away(file: Path) -> None:
    elsewhere = file.parents[3] / "elsewhere.parquet"
    rows().write_parquet(elsewhere)
    file.symlink_to(elsewhere)


def of(change: Callable[[pl.DataFrame], pl.DataFrame], feed: str = FEED) -> Callable[[Path], None]:
    """A writer of rows with something wrong about their columns."""
    return lambda file: change(rows(feed)).write_parquet(file)


UNREADABLE: list[tuple[str, str, Callable[[Path], None], str]] = [
    ("file_empty", FEED, empty, "no bytes"),
    ("file_format", FEED, a_web_page, "not readable as Parquet"),
    ("file_format", FEED, cut_short, "not readable as Parquet"),
    ("file_format", FEED, with_a_damaged_page, "a page is damaged"),
    ("file_format", FEED, under_another_ending, ".csv"),
    ("file_path", FEED, leading_away, "leads out of the landing folder"),
    ("schema_missing", FEED, of(lambda table: table.drop("zone")), "missing: zone"),
    (
        "schema_missing",
        FEED,
        of(lambda table: table.rename({"stopped_at": "ended_at", "owner_id": "owner"})),
        "owner_id",
    ),
    # Every instance would seem powered off.
    ("schema_missing", "runtime_heartbeats", of(lambda t: t.rename({"flavour": "flavor"}), "runtime_heartbeats"), "fl"),
    ("schema_type", FEED, of(lambda table: table.with_columns(resource_id=pl.lit(7))), "resource_id is int32"),
    ("schema_type", "storage_samples", of(lambda table: table.cast({"bytes": pl.Float64}), "storage_samples"), "bytes"),
    ("schema_type", FEED, of(lambda table: table.cast({"started_at": pl.Datetime("ns", "UTC")})), "started_at"),
    ("schema_tz", FEED, of(without_zone), "started_at is timestamp[us]"),
    ("money_float", "one_shots", of(lambda table: table.cast({"unit_price": pl.Float64}), "one_shots"), "unit_price"),
    ("schema_dupcol", FEED, repeated_column, "zone"),
]


@pytest.mark.parametrize(
    ("reason", "feed", "write", "detail"), UNREADABLE, ids=[f"{reason}-{detail}" for reason, _, _, detail in UNREADABLE]
)
def test_a_file_of_a_wrong_form_is_refused_and_its_neighbour_is_read(
    home: IntakeHome, reason: str, feed: str, write: Callable[[Path], None], detail: str
) -> None:
    write(home.drop(feed, DAY, "bad.parquet"))
    rows(feed).write_parquet(home.drop(feed, DAY, "good.parquet"))
    october = home.close(feed, "2026-10")
    bad = october.receipt("bad.csv" if write is under_another_ending else "bad.parquet")
    assert (bad["refused_reason"], bad["input_rows"]) == (reason, 0)
    assert detail in bad["detail"]
    assert october.receipts[f"{DAY}/good"] == (1, 1, 0, 0, 0)
    assert october.events.height == 1


def test_a_refused_file_can_be_the_only_one(home: IntakeHome) -> None:
    empty(home.drop(FEED, DAY, "bad.parquet"))
    october = home.close(FEED, "2026-10")
    assert october.receipt("bad.parquet")["refused_reason"] == "file_empty"
    assert october.events.is_empty()


def test_unknown_columns_are_kept_out_and_noted_once_per_file(home: IntakeHome) -> None:
    rows().with_columns(colour=pl.lit("red"), region=pl.lit("eu")).write_parquet(home.drop(FEED, DAY, "wide.parquet"))
    october = home.close(FEED, "2026-10")
    receipt = october.receipt("wide.parquet")
    assert (receipt["refused_reason"], receipt["detail"]) == (None, "unknown columns kept out: colour, region")
    assert october.events.height == 1


def test_files_of_several_forms_are_read_together(home: IntakeHome) -> None:
    wanted = rows("one_shots")
    forms = {
        "text": wanted,
        "decimal": wanted.with_columns(unit_price=pl.Series([Decimal("100.00")], dtype=pl.Decimal(20, 2))),
        "whole": wanted.with_columns(unit_price=pl.Series([100], dtype=pl.Int64)),
        "categorical": wanted.cast({"currency": pl.Categorical, "performed_at": pl.Datetime("ms", "UTC")}),
        "short": wanted.drop("sub_description", "is_deleted", "discount_rate"),
    }
    for name, table in forms.items():
        table.with_columns(event_id=pl.lit(name)).write_parquet(home.drop("one_shots", DAY, f"{name}.parquet"))
    october = home.close("one_shots", "2026-10")
    prices = dict(october.values("event_id", "unit_price"))
    assert {name: Decimal(price) for name, price in prices.items()} == dict.fromkeys(forms, Decimal(100))
    assert october.part("events")["performed_us"].n_unique() == 1


def test_a_number_that_fits_no_column_is_refused_with_its_row(home: IntakeHome) -> None:
    table = rows("storage_samples").with_columns(bytes=pl.Series([Decimal(10**30)], dtype=pl.Decimal(38, 0)))
    table.write_parquet(home.drop("storage_samples", DAY, "wide.parquet"))
    assert home.close("storage_samples", "2026-10").refused == [(0, "number_syntax")]


def test_a_price_too_large_for_money_is_refused_with_its_row(home: IntakeHome) -> None:
    rows("one_shots").with_columns(unit_price=pl.Series([2**62])).write_parquet(
        home.drop("one_shots", DAY, "x.parquet")
    )
    assert home.close("one_shots", "2026-10").refused == [(0, "number_syntax")]


def test_hidden_files_and_those_being_written_are_left_alone(home: IntakeHome) -> None:
    for name in (".meter.parquet", "meter.parquet.tmp"):
        rows().write_parquet(home.drop(FEED, DAY, name))
    assert home.close(FEED, "2026-10").receipts == {}


def test_a_null_column_stands_for_an_absent_optional_one_only(home: IntakeHome) -> None:
    table = rows().to_arrow()
    for column in ("resource_name", "owner_id"):
        index = table.schema.get_field_index(column)
        pq.write_table(table.set_column(index, column, pa.nulls(1)), home.drop(FEED, DAY, f"{column}.parquet"))
    october = home.close(FEED, "2026-10")
    assert october.receipt("resource_name.parquet")["accepted_rows"] == 1
    assert october.receipt("owner_id.parquet")["refused_reason"] == "schema_type"

"""Files whose form is wrong are refused whole and listed; the run goes on without them."""

import hashlib
from decimal import Decimal

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_files import DAY, FEED, UNREADABLE, BadFile, announce, empty, rows
from intake_home import IntakeHome, sample

from billing_pipeline.adapters.landing import Landing
from billing_pipeline.intake.unread import receipts_of_unread


@pytest.mark.parametrize("bad", UNREADABLE, ids=[f"{bad.reason}-{number}" for number, bad in enumerate(UNREADABLE)])
def test_a_file_of_a_wrong_form_is_refused_and_its_neighbour_is_read(home: IntakeHome, bad: BadFile) -> None:
    bad.write(home.drop(bad.feed, DAY, bad.name))
    rows(bad.feed).write_parquet(home.drop(bad.feed, DAY, "good.parquet"))
    october = home.close(bad.feed, "2026-10")
    receipt = october.receipt(bad.name)
    assert (receipt["refused_reason"], receipt["input_rows"]) == (bad.reason, 0)
    assert bad.detail in receipt["detail"]
    assert october.receipts[f"{DAY}/good"] == (1, 1, 0, 0, 0)
    assert october.events.height == 1


def test_a_folder_that_is_no_feed_is_listed(home: IntakeHome) -> None:
    rows().write_parquet(home.drop("runtime_interval", DAY, "x.parquet"))
    rows().write_parquet(home.drop(FEED, DAY, "x.parquet"))
    listed = receipts_of_unread(Landing(home.landing), home.window("2026-10")).to_dicts()
    assert [(row["feed"], row["refused_reason"]) for row in listed] == [("runtime_interval", "feed_unknown")]
    later = home.window("2026-11", since=home.close(FEED, "2026-10").generation)
    assert receipts_of_unread(Landing(home.landing), later).is_empty()


def test_what_must_not_be_opened_is_known_by_the_checksum_of_nothing(home: IntakeHome) -> None:
    elsewhere = home.landing.parent / "secret.parquet"
    rows().write_parquet(elsewhere)
    home.drop(FEED, DAY, "x.parquet").symlink_to(elsewhere)
    assert home.close(FEED, "2026-10").receipt("x.parquet")["sha256"] == hashlib.sha256().hexdigest()


@pytest.mark.parametrize("cut", [1, 4, 8, 50, 300, 900])
def test_a_parquet_file_cut_anywhere_gives_no_row(home: IntakeHome, cut: int) -> None:
    file = home.drop(FEED, DAY, "x.parquet")
    rows(count=50).write_parquet(file)
    file.write_bytes(file.read_bytes()[:-cut])
    october = home.close(FEED, "2026-10")
    assert october.receipt("x.parquet")["refused_reason"] == "file_truncated"
    assert october.events.is_empty()


def test_a_file_that_its_manifest_describes_is_read_and_the_manifest_is_no_file_of_its_own(home: IntakeHome) -> None:
    file = home.drop(FEED, DAY, "x.parquet")
    rows().write_parquet(file)
    announce(file)
    assert home.close(FEED, "2026-10").receipts == {f"{DAY}/x": (1, 1, 0, 0, 0)}


def test_a_manifest_that_is_mended_lets_the_file_in(home: IntakeHome) -> None:
    file = home.drop(FEED, DAY, "x.parquet")
    rows().write_parquet(file)
    manifest = file.with_name("x.parquet.sha256")
    manifest.write_text("0" * 64)
    assert home.close(FEED, "2026-10").receipt("x.parquet")["refused_reason"] == "file_checksum"
    announce(file)
    assert home.close(FEED, "2026-10").receipts == {f"{DAY}/x": (1, 1, 0, 0, 0)}


def test_the_same_bytes_under_another_name_count_once_and_are_listed(home: IntakeHome) -> None:
    for day, name in ((DAY, "a"), (DAY, "b"), ("2026-10-07", "a")):
        rows(count=3).write_parquet(home.drop(FEED, day, f"{name}.parquet"))
    october = home.close(FEED, "2026-10")
    assert october.receipts == {
        f"{DAY}/a": (3, 1, 2, 0, 0), f"{DAY}/b": (0, 0, 0, 0, 0), "2026-10-07/a": (0, 0, 0, 0, 0),
    }  # fmt: skip
    again = october.receipt("2026-10-07/a.parquet")
    assert again["refused_reason"] == "file_duplicate"
    assert again["detail"] == f"the bytes of {FEED}/arrival_date={DAY}/a.parquet"
    assert october.events.height == 1


def test_a_file_of_a_closed_month_that_lands_again_changes_nothing(home: IntakeHome) -> None:
    rows(count=3).write_parquet(home.drop(FEED, DAY, "a.parquet"))
    rows(count=3).write_parquet(home.drop(FEED, "2026-11-10", "again.parquet"))
    _, november = home.close_all(FEED, "2026-10", "2026-11")
    assert november.receipts == {"2026-11-10/again": (0, 0, 0, 0, 0)}
    assert (november.late, november.events.height) == ({}, 0)


def test_refused_rows_of_bytes_that_landed_before_are_not_quarantined_twice(home: IntakeHome) -> None:
    for name in ("a", "b"):
        home.land("storage_samples", sample("e1", DAY, -1), name=name)
    october = home.close("storage_samples", "2026-10")
    assert october.receipts == {f"{DAY}/a": (1, 0, 0, 0, 1), f"{DAY}/b": (0, 0, 0, 0, 0)}
    assert october.refused == [(0, "negative")]


@pytest.mark.parametrize("same_size", [True, False])
def test_other_bytes_in_the_place_of_a_file_count_while_the_month_is_open(home: IntakeHome, same_size: bool) -> None:
    first, second = (1, 2) if same_size else (1, 200)
    file = home.drop("storage_samples", DAY, "x.csv")
    header = "event_id,source,ingested_at,owner_id,resource_id,metric,zone,sampled_at,bytes"
    line = f"e1,meter,{DAY}T00:00:00Z,orga_1,res-1,cellar.storage,par,{DAY}T00:00:00Z"
    months = []
    for size in (first, second):
        file.write_text(f"{header}\n{line},{size}\n")
        months.append(home.close("storage_samples", "2026-10"))
    before, after = months
    assert (before.values("bytes"), after.values("bytes")) == ([(first,)], [(second,)])
    old, new = sorted(after.part("receipts").to_dicts(), key=lambda row: row["accepted_rows"])
    assert (old["refused_reason"], new["refused_reason"]) == ("file_superseded", None)
    assert (old["path"], old["sha256"]) == (new["path"], before.receipt("x.csv")["sha256"])
    # It stays listed, whatever else lands on the day.
    home.land("storage_samples", sample("e2", DAY, 5, resource_id="res-2"), name="other")
    reasons = home.close("storage_samples", "2026-10").part("receipts")["refused_reason"].to_list()
    assert sorted(reasons, key=str) == [None, None, "file_superseded"]


def test_a_refused_file_can_be_the_only_one(home: IntakeHome) -> None:
    empty(home.drop(FEED, DAY, "bad.parquet"))
    october = home.close(FEED, "2026-10")
    assert october.receipt("bad.parquet")["refused_reason"] == "file_empty"
    assert october.events.is_empty()


def test_unknown_columns_are_kept_out_and_noted_once_per_file(home: IntakeHome) -> None:
    rows().with_columns(colour=pl.lit("red"), region=pl.lit("eu")).write_parquet(home.drop(FEED, DAY, "wide.parquet"))
    october = home.close(FEED, "2026-10")
    receipt = october.receipt("wide.parquet")
    assert (receipt["refused_reason"], receipt["detail"]) == (None, "schema_extra: colour, region")
    assert october.events.height == 1


def test_a_file_without_rows_is_noted(home: IntakeHome) -> None:
    rows().clear().write_parquet(home.drop(FEED, DAY, "none.parquet"))
    home.drop(FEED, DAY, "none.csv").write_text(",".join(rows().columns) + "\n")
    october = home.close(FEED, "2026-10")
    for name in ("none.parquet", "none.csv"):
        receipt = october.receipt(name)
        assert receipt["refused_reason"] is None
        assert receipt["detail"].startswith("file_no_rows")


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
    assert home.close("storage_samples", "2026-10").refused == [(0, "too_big")]


def test_a_price_too_large_for_money_is_refused_with_its_row(home: IntakeHome) -> None:
    rows("one_shots").with_columns(unit_price=pl.Series([2**62])).write_parquet(
        home.drop("one_shots", DAY, "x.parquet")
    )
    assert home.close("one_shots", "2026-10").refused == [(0, "too_big")]


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

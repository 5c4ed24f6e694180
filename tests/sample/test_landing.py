"""Landing files have the columns and types of the feed contract, and appear whole."""

from datetime import date
from pathlib import Path

import polars as pl
import pyarrow
import pyarrow.parquet
import pytest

from billing_pipeline.intake import contracts
from billing_pipeline.sample.landing import FEEDS, WrongColumns, arrivals_of, land

PAYMENT = {
    "event_id": "p-1",
    "source": "bank",
    "ingested_at": 1_790_812_800_000_000,
    "payment_id": "pay-1",
    "owner_id": "orga_1",
    "amount": "12.50",
    "currency": "EUR",
    "received_at": 1_790_812_800_000_001,
    "method_kind": "transfer",
    "outcome": "succeeded",
}


def test_a_row_lands_on_the_utc_day_on_which_it_was_taken_in(tmp_path: Path) -> None:
    land(tmp_path, "payments", arrivals_of("payments", [PAYMENT]), name="bank")
    assert [str(path.relative_to(tmp_path)) for path in tmp_path.rglob("*.*")] == [
        "payments/arrival_date=2026-10-01/bank.parquet"
    ]


def test_a_row_that_is_sent_again_lands_on_the_day_that_is_asked_for(tmp_path: Path) -> None:
    land(tmp_path, "payments", arrivals_of("payments", [PAYMENT | {"arrival_date": date(2026, 10, 2)}]), name="bank")
    assert (tmp_path / "payments" / "arrival_date=2026-10-02" / "bank.parquet").exists()


def test_instants_carry_their_zone_and_money_is_text(tmp_path: Path) -> None:
    land(tmp_path, "payments", arrivals_of("payments", [PAYMENT]), name="bank")
    schema = pyarrow.parquet.read_schema(next(tmp_path.rglob("*.parquet")))
    assert schema.field("received_at").type == pyarrow.timestamp("us", tz="UTC")
    assert schema.field("amount").type in (pyarrow.string(), pyarrow.large_string(), pyarrow.string_view())
    assert schema.field("is_deleted").type == pyarrow.bool_()
    assert not [field.name for field in schema if pyarrow.types.is_floating(field.type)]


def test_a_column_that_nobody_filled_is_there_and_null(tmp_path: Path) -> None:
    arrivals = arrivals_of("payments", [PAYMENT])
    assert arrivals["failure"].to_list() == [None]
    assert arrivals["is_deleted"].to_list() == [False]


@pytest.mark.parametrize("feed", sorted(FEEDS))
def test_a_feed_has_exactly_the_columns_that_intake_reads(feed: str) -> None:
    read = {column.name for column in (*contracts.BOOKKEEPING, *contracts.FEEDS[feed].columns)}
    assert set(FEEDS[feed]) == read


def test_every_feed_that_intake_reads_can_be_written() -> None:
    assert set(FEEDS) == set(contracts.FEEDS)


def test_an_unknown_column_is_not_dropped_in_silence() -> None:
    with pytest.raises(WrongColumns, match="amout"):
        arrivals_of("payments", [PAYMENT | {"amout": "12.50"}])


def test_a_column_of_the_wrong_type_is_not_landed(tmp_path: Path) -> None:
    arrivals = arrivals_of("payments", [PAYMENT]).with_columns(pl.col("amount").cast(pl.Float64))
    with pytest.raises(WrongColumns, match="amount"):
        land(tmp_path, "payments", arrivals, name="bank")
    assert not list(tmp_path.rglob("*.parquet"))


def test_nothing_is_left_of_the_temporary_name(tmp_path: Path) -> None:
    land(tmp_path, "payments", arrivals_of("payments", [PAYMENT]), name="bank")
    assert [path.name for path in tmp_path.rglob("*") if path.is_file()] == ["bank.parquet"]

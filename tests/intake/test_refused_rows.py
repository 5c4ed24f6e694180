"""Rows that the contract refuses: each goes to quarantine with its reason, and its neighbours are billed."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from bad_rows import DAY, GOOD, NOON, REFUSED, TEXTS
from intake_home import IntakeHome, at, sample

from billing_pipeline.intake.contracts import FEEDS
from billing_pipeline.sample.landing import FEEDS as COLUMNS
from billing_pipeline.sample.landing import Row, arrivals_of


def write(home: IntakeHome, feed: str, rows: list[Row], **types: pl.DataType) -> Path:
    """One file of a feed with some columns of another type, or the values of a test's own."""
    columns = [name for name in types if rows and isinstance(rows[0].get(name), str | type(None))]
    plain = arrivals_of(feed, [{key: value for key, value in row.items() if key not in columns} | {"arrival_date": None}
                               for row in rows])  # fmt: skip
    own = {name: pl.Series(name, [row[name] for row in rows], dtype=types[name]) for name in columns}
    file = home.drop(feed, DAY, "meter.parquet")
    plain.select(*COLUMNS[feed]).with_columns(**own).write_parquet(file)
    return file


def refused(home: IntakeHome, feed: str) -> list[tuple[int, str]]:
    """Position and reason of the quarantined rows of October."""
    if FEEDS[feed].is_usage:
        return home.close(feed, "2026-10").refused
    return home.read(feed, "2026-10").quarantine.select("file_row", "reason").rows()


@pytest.mark.parametrize("feed", sorted(GOOD))
def test_a_bad_row_is_quarantined_for_its_reason_and_the_good_ones_stay(home: IntakeHome, feed: str) -> None:
    cases = [(row, reason) for name, row, reason in REFUSED if name == feed]
    bad = [GOOD[feed] | wrong for wrong, _ in cases]
    home.land(feed, GOOD[feed], *bad, day=DAY)
    assert refused(home, feed) == [(position, reason) for position, (_, reason) in enumerate(cases, 1)]


@pytest.mark.parametrize("feed", sorted(GOOD))
def test_a_good_row_is_accepted(home: IntakeHome, feed: str) -> None:
    home.land(feed, GOOD[feed], day=DAY)
    assert refused(home, feed) == []


def test_instants_as_text_need_an_offset_and_a_possible_time(home: IntakeHome) -> None:
    rows = [sample(f"e{n}", NOON, 10, resource_id=f"r{n}") | {"sampled_at": text} for n, (text, _) in enumerate(TEXTS)]
    write(home, "storage_samples", rows, sampled_at=pl.String())
    october = home.close("storage_samples", "2026-10")
    assert october.refused == [(n, reason) for n, (_, reason) in enumerate(TEXTS) if reason]
    assert october.values("sampled_us") == [(at(NOON),)] * 2


def test_a_leap_second_is_the_second_after_it_and_noted(home: IntakeHome) -> None:
    texts = ["2026-10-04T23:59:60Z", "2026-10-05T01:59:60.5+02:00", "2026-10-05T12:00:00Z"]
    rows = [sample(f"e{n}", NOON, 10, resource_id=f"r{n}") | {"sampled_at": text} for n, text in enumerate(texts)]
    write(home, "storage_samples", rows, sampled_at=pl.String())
    october = home.close("storage_samples", "2026-10")
    midnight = at("2026-10-05")
    assert sorted(october.values("sampled_us")) == [(midnight,), (midnight + 500_000,), (at(NOON),)]
    assert october.receipt("meter.parquet")["detail"] == "leap: 2 rows"


def land_broken_text(home: IntakeHome, column: str, *rows: Row) -> None:
    """Samples in one Parquet file, the third with bytes in a column, known or not, that are no UTF-8."""
    home.land("storage_samples", *rows, day=DAY)
    file = home.drop("storage_samples", DAY, "meter.parquet")
    landed = pq.read_table(file)
    if column in landed.column_names:
        texts = [value.encode() for value in landed[column].to_pylist()]
        landed = landed.drop_columns([column])
    else:
        texts = [b"red"] * len(rows)
    texts[2] = b"caf\xe9\xff"
    array = pa.array(texts, pa.binary())
    broken = pa.StringArray.from_buffers(len(array), array.buffers()[1], array.buffers()[2])
    pq.write_table(landed.append_column(column, broken), file, row_group_size=1)


@pytest.mark.parametrize("column", ["event_id", "owner_id", "resource_name", "metric"])
def test_text_that_is_no_utf8_in_a_parquet_file_costs_its_own_row(home: IntakeHome, column: str) -> None:
    land_broken_text(home, column, *(sample(f"e{n}", NOON, 10 + n, resource_id=f"r{n}") for n in range(4)))

    october = home.close("storage_samples", "2026-10")

    assert october.refused == [(2, "row_encoding")]
    assert sorted(october.values("bytes")) == [(10,), (11,), (13,)]
    assert october.receipts == {f"{DAY}/meter": (4, 3, 0, 0, 1)}
    assert json.loads(october.part("quarantine")["raw"][0])[column] == "caf\ufffd\ufffd"


def test_text_that_is_no_utf8_in_a_column_that_nobody_reads_costs_nothing(home: IntakeHome) -> None:
    sizes = (10, -11, 12, 13)
    land_broken_text(
        home, "colour", *(sample(f"e{n}", NOON, size, resource_id=f"r{n}") for n, size in enumerate(sizes))
    )

    october = home.close("storage_samples", "2026-10")

    assert october.refused == [(1, "negative")]
    assert sorted(october.values("bytes")) == [(10,), (12,), (13,)]


def test_offsets_name_the_same_instants(home: IntakeHome) -> None:
    texts = [
        "2026-10-05T12:00:00Z",
        "2026-10-05T14:00:00+02:00",
        "2026-10-04T22:00:00-14:00",
        "2026-10-06T01:59:00+13:59",
    ]
    rows = [sample(f"e{n}", NOON, 10, resource_id=f"r{n}") | {"sampled_at": text} for n, text in enumerate(texts)]
    write(home, "storage_samples", rows, sampled_at=pl.String())
    assert set(home.close("storage_samples", "2026-10").values("sampled_us")) == {(at(NOON),)}


def test_ids_are_neither_folded_nor_trimmed(home: IntakeHome) -> None:
    owners = ["00123", "123", "ORGA", "orga"]
    home.land("unit_counts", *(GOOD["unit_counts"] | {"owner_id": o, "event_id": o, "resource_id": o} for o in owners))
    october = home.close("unit_counts", "2026-10")
    assert october.part("meters")["owner_id"].to_list() == sorted(owners)


@pytest.mark.parametrize(("size", "reason"), [(10**18, None), (10**18 + 1, "too_big")])
def test_the_largest_size_is_accepted(home: IntakeHome, size: int, reason: str | None) -> None:
    home.land("storage_samples", GOOD["storage_samples"] | {"bytes": size})
    assert home.close("storage_samples", "2026-10").refused == ([(0, reason)] if reason else [])


def test_a_run_of_no_length_is_accepted_and_bills_nothing(home: IntakeHome) -> None:
    home.land("runtime_intervals", GOOD["runtime_intervals"] | {"stopped_at": at(NOON)})
    october = home.close("runtime_intervals", "2026-10")
    assert (october.receipts, october.runs) == ({f"{DAY}/meter": (1, 1, 0, 0, 0)}, [])


def test_a_closing_row_of_a_run_never_seen_open_is_a_whole_run(home: IntakeHome) -> None:
    home.land("runtime_intervals", GOOD["runtime_intervals"])
    assert home.close("runtime_intervals", "2026-10").runs == [("i-1", at(NOON), at(f"{DAY} 13:00"))]


def test_a_refused_row_is_kept_whole_with_its_place(home: IntakeHome) -> None:
    home.land("storage_samples", GOOD["storage_samples"], GOOD["storage_samples"] | {"bytes": -7, "event_id": "e2"})
    october = home.close("storage_samples", "2026-10")
    ((path, raw),) = october.part("quarantine").select("path", "raw").rows()
    assert path == f"storage_samples/arrival_date={DAY}/meter.parquet"
    kept: dict[str, Any] = json.loads(raw)
    assert (kept["event_id"], kept["bytes"], kept["metric"]) == ("e2", -7, "cellar.storage")
    assert october.receipts == {f"{DAY}/meter": (2, 1, 0, 0, 1)}


def test_a_refused_row_is_counted_with_the_day_of_its_file_whatever_its_own_instants_say(home: IntakeHome) -> None:
    home.land("storage_samples", GOOD["storage_samples"] | {"ingested_at": at("2150-01-01"), "bytes": -1}, day=DAY)
    assert home.close("storage_samples", "2026-10").receipts == {f"{DAY}/meter": (1, 0, 0, 0, 1)}


def test_a_withdrawal_only_needs_its_key(home: IntakeHome) -> None:
    row = GOOD["traffic_deltas"]
    home.land("traffic_deltas", row, row | {"ingested_at": at("2026-10-05 14:00"), "bytes": -1, "is_deleted": True})
    october = home.close("traffic_deltas", "2026-10")
    assert (october.refused, october.values("bytes")) == ([], [])


def test_a_clock_may_run_five_minutes_ahead(home: IntakeHome) -> None:
    home.land("storage_samples", sample("e1", "2026-10-05 12:05", 10, ingested=NOON))
    assert home.close("storage_samples", "2026-10").refused == []

"""CSV and JSON lines say the same as Parquet, and a line that is no row costs itself alone."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest
from bad_rows import DAY, GOOD, MISFITS, NOON, REFUSED
from intake_home import ClosedMonth, IntakeHome, at, beat, count, delta, one_shot, run, sample
from text_files import ENDINGS, as_csv, as_jsonl, write_as

from billing_pipeline.intake.contracts import FEEDS
from billing_pipeline.sample.landing import Row

AT_ONE = f"{DAY} 13:00"

#: Rows with all that text may spell in two ways: nulls, quotes, commas, line ends, flags, fractions of a second.
USAGE: dict[str, list[Row]] = {
    "runtime_intervals": [
        run("e1", NOON, AT_ONE, ingested=AT_ONE, resource_name='a "b", c\nd', owner_id="0042"),
        run("e1", NOON, AT_ONE, ingested=AT_ONE, resource_name='a "b", c\nd', owner_id="0042"),
        run("e2", f"{DAY} 12:00:00.000001", None, ingested=AT_ONE, instance_id="i-2", resource_name=None),
        run("e3", NOON, f"{DAY} 11:00", ingested=AT_ONE, instance_id="i-3"),
    ],
    "runtime_heartbeats": [beat("e1", NOON), beat("e2", AT_ONE, flavour=None)],
    "storage_samples": [sample("e1", NOON, 10**18), sample("e2", AT_ONE, -1)],
    "traffic_deltas": [delta("e1", NOON, AT_ONE, 7)],
    "unit_counts": [count("e1", NOON, "7"), count("e2", AT_ONE, "1e3")],
    "one_shots": [
        one_shot("e1", NOON, unit_price="0.10000000000000000001", recurring=True, description="Größe, 日本"),
        one_shot("e2", NOON, unit_price="12,50"),
    ],
}


def closed(folder: Path, feed: str, ending: str) -> ClosedMonth:
    """October of a feed whose rows landed in one file of an ending."""
    home = IntakeHome(folder / ending)
    write_as(ending, feed, USAGE[feed], home.drop(feed, DAY, f"x{ending}"))
    return home.close(feed, "2026-10")


@pytest.mark.parametrize("feed", sorted(USAGE))
def test_the_same_rows_in_any_format_make_the_same_bytes(tmp_path: Path, feed: str) -> None:
    months = {ending: closed(tmp_path, feed, ending) for ending in ENDINGS}
    parquet = months[".parquet"]
    assert parquet.events.height >= 1
    for ending, month in months.items():
        for part in sorted({"events", "meters", "late", "conflicts"} & {Path(f).stem for f in month.generation.files}):
            assert month.content(part) == parquet.content(part), (ending, part)
        places = [month.part("sources")["file_row"].to_list(), month.refused]
        assert places == [parquet.part("sources")["file_row"].to_list(), parquet.refused], ending
        (counts,), (expected,) = month.receipts.values(), parquet.receipts.values()
        assert counts == expected, ending


@pytest.mark.parametrize("spelled", [as_csv, as_jsonl], ids=["csv", "jsonl"])
@pytest.mark.parametrize("feed", sorted(GOOD))
def test_a_row_is_refused_for_the_same_reason_in_any_format(home: IntakeHome, feed: str, spelled: Any) -> None:
    cases = [(row, reason) for name, row, reason in REFUSED if name == feed and reason != "time_range"]
    rows = [GOOD[feed], *(GOOD[feed] | wrong for wrong, _ in cases)]
    home.drop(feed, DAY, "x.csv" if spelled is as_csv else "x.jsonl").write_bytes(spelled(feed, rows))
    # Empty text is null in CSV.
    expected = [
        (place, "value_missing" if spelled is as_csv and "" in wrong.values() else reason)
        for place, (wrong, reason) in enumerate(cases, 1)
    ]
    if FEEDS[feed].is_usage:
        assert home.close(feed, "2026-10").refused == expected
    else:
        assert home.read(feed, "2026-10").quarantine.select("file_row", "reason").rows() == expected


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
@pytest.mark.parametrize("zipped", [False, True], ids=["plain", "gz"])
def test_a_line_that_is_no_row_is_kept_in_its_place_and_its_neighbours_are_read(
    home: IntakeHome, ending: str, zipped: bool
) -> None:
    misfits = [(line, reason) for of, line, reason in MISFITS if of == ending]
    good = [sample(f"e{n}", f"{DAY} 0{n % 10}:00", n, resource_id=f"r{n}") for n in range(len(misfits) + 1)]
    lines = (as_csv if ending == ".csv" else as_jsonl)("storage_samples", good).splitlines()
    header = [lines.pop(0)] if ending == ".csv" else []
    mixed = [line for pair in zip(lines[:-1], [line for line, _ in misfits], strict=True) for line in pair] + lines[-1:]
    content = b"\n".join([*header, *mixed])
    name = f"x{ending}.gz" if zipped else f"x{ending}"
    home.drop("storage_samples", DAY, name).write_bytes(gzip.compress(content) if zipped else content)
    october = home.close("storage_samples", "2026-10")
    assert october.refused == [(2 * n + 1, reason) for n, (_, reason) in enumerate(misfits)]
    assert sorted(october.values("bytes")) == [(n,) for n in range(len(good))]
    assert sorted(october.part("sources")["file_row"]) == [2 * n for n in range(len(good))]
    kept = [json.loads(raw) for raw in october.part("quarantine")["raw"]]
    for (line, reason), row in zip(misfits, kept, strict=True):
        if reason == "row_shape":
            assert row == {"text": line.decode()}
        elif reason == "row_cast" and ending == ".csv":
            assert row["is_deleted"] == "perhaps"


def test_a_quoted_value_over_several_lines_is_one_row(home: IntakeHome) -> None:
    rows = [sample(f"e{n}", NOON, n, resource_id=f"r{n}", resource_name="two\n\nlines") for n in range(3)]
    lines = as_csv("storage_samples", rows) + b"short\n"
    home.drop("storage_samples", DAY, "x.csv").write_bytes(lines)
    october = home.close("storage_samples", "2026-10")
    assert october.refused == [(3, "row_shape")]
    assert october.part("meters")["resource_name"].to_list() == ["two\n\nlines"] * 3


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_a_byte_order_mark_windows_line_ends_and_empty_lines_are_accepted(home: IntakeHome, ending: str) -> None:
    content = (as_csv if ending == ".csv" else as_jsonl)(
        "unit_counts", [count("e1", NOON, "1"), count("e2", AT_ONE, "2")]
    )
    windows = b"\xef\xbb\xbf" + content.replace(b"\n", b"\r\n") + b"\r\n\r\n"
    home.drop("unit_counts", DAY, f"x{ending}").write_bytes(windows)
    october = home.close("unit_counts", "2026-10")
    assert (october.refused, october.values("quantity")) == ([], [(1,), (2,)])


@pytest.mark.parametrize("ending", [".csv", ".jsonl"])
def test_unknown_columns_and_keys_are_kept_out_and_noted(home: IntakeHome, ending: str) -> None:
    content = (as_csv if ending == ".csv" else as_jsonl)(
        "unit_counts", [count("e1", NOON, "1"), count("e2", AT_ONE, "2")]
    )
    wide = content.replace(b"\n", b",colour\n") if ending == ".csv" else content.replace(b"{", b'{"colour":{"a":1},')
    home.drop("unit_counts", DAY, f"x{ending}").write_bytes(wide)
    october = home.close("unit_counts", "2026-10")
    assert october.receipt(f"x{ending}")["detail"] == "schema_extra: colour"
    assert october.values("quantity") == [(1,), (2,)]


def test_absent_optional_columns_are_null(home: IntakeHome) -> None:
    header = "source,event_id,ingested_at,owner_id,resource_id,metric,zone,sampled_at,quantity"
    text = f"{header}\nm,e1,{DAY}T12:00:00Z,o,r,x,p,{DAY}T12:00:00Z,4\n"
    home.drop("unit_counts", DAY, "x.csv").write_text(text)
    assert home.close("unit_counts", "2026-10").values("resource_name", "quantity") == [(None, 4)]


def test_a_number_of_json_is_whole_or_refused_as_binary(home: IntakeHome) -> None:
    good = json.loads(as_jsonl("one_shots", [one_shot("e1", NOON)]))
    prices = [12, 12.5, 1e3, "12.50"]
    lines = [json.dumps(good | {"event_id": f"e{n}", "unit_price": price}) for n, price in enumerate(prices)]
    home.drop("one_shots", DAY, "x.jsonl").write_text("\n".join(lines))
    october = home.close("one_shots", "2026-10")
    assert october.refused == [(1, "money_float"), (2, "money_float")]
    assert october.values("unit_price") == [("12",), ("12.50",)]


def test_a_type_that_is_wrong_only_far_down_costs_its_row_alone(home: IntakeHome) -> None:
    first = at(DAY)
    rows = [sample("e", DAY, n) | {"event_id": f"e{n}", "sampled_at": first + n} for n in range(40_000)]
    lines = as_csv("storage_samples", rows).splitlines()
    lines[35_001] = lines[35_001].rpartition(b",")[0] + b",lots"
    home.drop("storage_samples", DAY, "x.csv").write_bytes(b"\n".join(lines))
    october = home.close("storage_samples", "2026-10")
    assert october.refused == [(35_000, "number_syntax")]
    assert october.events.height == 39_999

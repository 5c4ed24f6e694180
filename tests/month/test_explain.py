"""Every line of an invoice leads to raw files and rows, and the command line answers or says what to do instead."""

import json
import re
from datetime import datetime, timedelta

import polars as pl
import pytest
from provider_home import ProviderHome

JANUARY = "2026-01"
_ROW = re.compile(r"^ {4}(?P<what>.*?) +(?P<path>\S+\.parquet) row (?P<row>\d+)$", re.MULTILINE)
_INTERVAL = re.compile(r"(?P<instance>\S+) (?P<start>\S+Z) \.\. (?P<stop>\S+Z) \S+ s")


@pytest.fixture(scope="module")
def payer(sample) -> str:
    """Who was billed for the most kinds of usage, and the most lines."""
    lines = sample.generation("invoices/invoice_lines", JANUARY).read()
    kinds = lines.group_by("payer_id").agg(pl.col("basis").n_unique(), pl.len()).sort("basis", "len", "payer_id")
    assert kinds["basis"][-1] >= 4
    return kinds["payer_id"][-1]


@pytest.fixture(scope="module")
def explained(sample, payer) -> list[tuple[dict, str]]:
    """The lines of that payer's draft, each with its explanation."""
    lines = sample.rows("invoices/invoice_lines", JANUARY, payer_id=payer)
    commands = [sample.command("explain", f"{payer}/{JANUARY}", str(line["line_number"])) for line in lines]
    assert {command.exit_code for command in commands} == {0}
    return [(line, command.output) for line, command in zip(lines, commands, strict=True)]


def raw_rows(sample: ProviderHome, text: str) -> list[dict]:
    """The raw rows that an explanation names, read from the landing folder."""
    named = [(match["path"], int(match["row"])) for match in _ROW.finditer(text)]
    files = {path: pl.read_parquet(sample.folder / "landing" / path, hive_partitioning=False) for path, _ in named}
    return [files[path].row(row, named=True) for path, row in named]


def united_seconds(text: str) -> int:
    """Whole seconds that the intervals of an explanation cover, those of one instance united."""
    runs: dict[str, list[tuple[datetime, datetime]]] = {}
    for match in _INTERVAL.finditer(text):
        start, stop = datetime.fromisoformat(match["start"]), datetime.fromisoformat(match["stop"])
        runs.setdefault(match["instance"], []).append((start, stop))
    covered = timedelta(0)
    for of_instance in runs.values():
        reached = min(start for start, _ in of_instance)
        for start, stop in sorted(of_instance):
            covered += max(stop - max(start, reached), timedelta(0))
            reached = max(reached, stop)
    return covered // timedelta(seconds=1)


def test_every_line_names_raw_rows_that_exist_and_speak_of_its_owner(sample, explained):
    for line, text in explained:
        if line["basis"] == "discount":
            continue
        rows = raw_rows(sample, text)
        assert rows, text
        assert {row["owner_id"] for row in rows} == {line["owner_id"]}
        assert {row.get("resource_id", row["event_id"]) for row in rows} == {line["resource_id"]}


def test_every_row_of_an_explanation_names_its_file(explained):
    for line, text in explained:
        announced = re.search(r"^ {2}([\d,]+) (?:intervals|measurements)", text, re.MULTILINE)
        if announced:
            assert len(_ROW.findall(text)) == int(announced[1].replace(",", "")), line


def test_the_intervals_of_a_runtime_line_add_up_to_its_duration(explained):
    runtimes = [(line, text) for line, text in explained if line["basis"] == "runtime"]

    assert runtimes
    for line, text in runtimes:
        assert united_seconds(text) == line["duration_s"], text


def test_an_invoice_is_explained_by_its_number_with_its_formulas_and_lines(published):
    command = published.command("explain", "INV-2026-000001")

    assert command.exit_code == 0
    assert re.search(r"h  refill +€682\.43 +max\(0, −\(A \+ c \+ d \+ e \+ f \+ g\)\)", command.output)
    assert re.search(r"^ +1 +apps of abroad +apps\.first +€686\.89$", command.output, re.MULTILINE)


def test_a_line_is_explained_by_its_id_too(published):
    (line,) = published.rows("invoices/invoice_lines", "2026-03", payer_id="abroad")

    command = published.command("explain", "INV-2026-000001", line["line_id"])

    assert "2678400 s × 0.92323924731182795699 EUR per 1 s × 3,600 s" in command.output


def test_a_published_table_is_shown_as_a_table_as_csv_or_as_json_lines(published):
    shown = ("show", "invoices/invoices", "2026-03", "--organisation", "french")

    rows = [json.loads(row) for row in published.command(*shown, "--format", "jsonl").output.splitlines()]
    assert [(row["number"], row["payable_cents"]) for row in rows] == [("INV-2026-000003", 818_92)]
    header, row = published.command(*shown, "--format", "csv").output.splitlines()
    cells = dict(zip(header.split(","), row.split(","), strict=True))
    assert (cells["payer_id"], cells["number"], cells["payable_cents"]) == ("french", "INV-2026-000003", "81892")
    assert "1 rows" in published.command(*shown).output


def test_usage_is_shown_with_what_its_meters_stand_for_and_its_raw_rows(published):
    command = published.command(
        "show", "usage/runtime_intervals", "2026-03", "--organisation", "main", "--format", "csv"
    )

    header, row = command.output.splitlines()
    shown = dict(zip(header.split(","), row.split(","), strict=True))
    assert (shown["owner_id"], shown["slug"], shown["instance_id"]) == ("main", "apps.main", "main-apps-main")
    assert shown["stopped_at"] == ""
    assert shown["file_row"] == "2"


def test_the_state_of_all_months_and_of_one_is_told(published, sample):
    assert re.search(r"2026-03 +│ issued +│ +4 │", published.command("status").output)
    month = sample.command("status", JANUARY).output
    assert re.search(r"2026-01 +│ draft", month)
    assert "tax_unknown" in month


@pytest.mark.parametrize(
    ("arguments", "advice"),
    [
        (["explain", "INV-2026-999999"], "a draft is named PAYER/MONTH"),
        (["explain", "nobody/2026-03"], "billing status 2026-03 says who is parked"),
        (["explain", "INV-2026-000001", "99"], "it has lines 1 to 1"),
        (["show", "rating/charges", "2026-13"], "write it as 2026-10"),
        (["bill", "2026-03..2026-01"], "write the older month first"),
        (["bill", "2026-03", "--as-of", "2026-05-01T00:00:00"], "has no offset"),
        (["show", "rating/nothing", "2026-03"], "rating/nothing of month=2026-03 is not published"),
        (["show", "nonsense", "2026-03"], "write it as <stage>/<table>"),
    ],
)
def test_a_wrong_request_fails_and_says_what_would_be_right(published, arguments, advice):
    command = published.command(*arguments)

    assert command.exit_code != 0
    assert isinstance(command.exception, SystemExit), "a message, not a traceback"
    assert advice in command.output


@pytest.mark.parametrize("name", ["", "demo", "close", "issue", "bill", "status", "show", "explain", "ui"])
def test_every_command_says_how_it_is_used(published, name):
    command = published.command(*name.split(), "--help")

    assert command.exit_code == 0
    assert "Usage:" in command.output

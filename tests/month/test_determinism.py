"""The same inputs give the same bytes: whoever computes them, however many at once, in whatever order they landed."""

import hashlib
from collections.abc import Callable
from random import Random

import polars as pl
import pytest
from provider_home import ProviderHome

#: Parts that name raw files and rows; all others know nothing of files.
NAMES_FILES = {"sources.parquet", "receipts.parquet", "quarantine.parquet", "carried.parquet", "lost.parquet"}
TABLES_OF_FILES = {"usage/file_receipts", "usage/quarantine", "rating/charge_sources", "invoices/scores"}


def papers(home: ProviderHome) -> dict[str, str]:
    folder = home.folder / "documents"
    return {
        str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest()
        for file in folder.rglob("*.*")
        if file.is_file()
    }


@pytest.fixture(scope="module")
def elsewhere(sample: ProviderHome, new_home: Callable[..., ProviderHome]) -> ProviderHome:
    """January of the same landing, closed in another process, time zone and hash order, by more workers and threads."""
    home = new_home("elsewhere")
    environment = {
        "BILLING_LANDING": str(sample.folder / "landing"),
        "BILLING_WORKERS": "2",
        "POLARS_MAX_THREADS": "4",
        "TZ": "Pacific/Auckland",
        "PYTHONHASHSEED": "20260101",
    }
    process = home.start("-m", "billing_pipeline.cli", "close", "2026-01", **environment)
    output = process.communicate()[0]
    assert process.returncode == 0, output
    return home


@pytest.fixture(scope="module")
def shuffled(sample: ProviderHome, new_home: Callable[..., ProviderHome]) -> ProviderHome:
    """January's and later rows in other files and another order; closed without documents."""
    home = new_home("shuffled")
    landing = sample.folder / "landing"
    for file in sorted(landing.rglob("*.parquet")):
        rows = pl.read_parquet(file, hive_partitioning=False).sample(fraction=1.0, shuffle=True, seed=7)
        day = file.parent.relative_to(landing)
        folder = home.folder / "landing" / day
        folder.mkdir(parents=True, exist_ok=True)
        # The same wherever the tests run: two files of the same row alone would be one file.
        cut = Random(str(day)).randrange(rows.height + 1)
        for name, part in (("z", rows.head(cut)), ("a", rows.tail(rows.height - cut))):
            part.write_parquet(folder / f"{name}-{file.name}")
    home.draft("2026-01")
    return home


def names_files(key: str) -> bool:
    table, _, name = key.split()
    return table in TABLES_OF_FILES or name in NAMES_FILES


def test_workers_threads_time_zone_and_hash_order_change_no_byte_of_any_table(elsewhere, sample):
    january = {key: sha256 for key, sha256 in sample.checksums().items() if "month=2026-01" in key}

    assert elsewhere.checksums() == january
    assert len(january) > 50


def test_workers_threads_time_zone_and_hash_order_change_no_byte_of_any_document(elsewhere, sample):
    january = {name: sha256 for name, sha256 in papers(sample).items() if "2026-01" in name}

    assert papers(elsewhere) == january
    assert len(january) == 2 * len(sample.rows("invoices/drafts", "2026-01"))


def test_the_order_and_split_of_raw_rows_changes_no_byte_of_what_names_no_files(shuffled, sample):
    figures = {key: sha256 for key, sha256 in shuffled.checksums().items() if not names_files(key)}
    expected = sample.checksums()

    assert figures == {key: expected[key] for key in figures}
    assert {key.split()[0].split("/")[0] for key in figures} == {"accounts", "credits", "invoices", "rating", "usage"}


@pytest.mark.parametrize("feed", ["runtime_intervals", "storage_samples"])
def test_the_same_rows_are_carried_into_the_next_month_from_other_files(shuffled, sample, feed):
    carried, expected = (
        home.generation(f"usage/{feed}", "2026-01").read("carried").drop("file_id", "file_row").rows()
        for home in (shuffled, sample)
    )

    assert carried
    assert sorted(carried, key=repr) == sorted(expected, key=repr)


def test_the_same_rows_are_refused_from_other_files(shuffled, sample):
    event = pl.col("raw").str.json_path_match("$.event_id")
    refused, expected = (
        home.generation("usage/quarantine", "2026-01").read().select("feed", "reason", event).rows()
        for home in (shuffled, sample)
    )

    assert refused
    assert sorted(refused) == sorted(expected)


def test_as_many_rows_are_accepted_from_other_files(shuffled, sample):
    counts = ("input_rows", "accepted_rows", "duplicate_rows", "superseded_rows", "quarantined_rows")
    totals = [
        home.generation("usage/file_receipts", "2026-01").read().group_by("feed").agg(pl.sum(*counts)).sort("feed")
        for home in (shuffled, sample)
    ]

    assert totals[0].equals(totals[1])
    assert totals[0]["quarantined_rows"].sum() > 0
    assert totals[0]["duplicate_rows"].sum() > 0

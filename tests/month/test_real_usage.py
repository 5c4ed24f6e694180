"""A month of real usage: the Alibaba GPU trace, dealt to drawn tenants, billed and counted again by plain Python."""

import os
import runpy
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import pytest
from provider_home import ProviderHome

TRACE = (
    Path(os.environ.get("BILLING_REFERENCE_DATA", Path(__file__).parents[3] / "shared" / "data"))
    / "alibaba_gpu_v2025_instances.parquet"
)
PLAIN_COUNT = Path(__file__).parents[1] / "sample" / "plain_count.py"
JANUARY = "2026-01"


@pytest.fixture(scope="module")
def home(new_home: Callable[..., ProviderHome]) -> ProviderHome:
    """January 2026, issued; its documents are left to the slow suite."""
    if not TRACE.exists():
        pytest.skip(f"no trace at {TRACE} (BILLING_REFERENCE_DATA)")
    home = new_home("alibaba")
    command = home.command(
        "import-trace", "alibaba", str(TRACE), "--start", "2026-01-01", "--organisations", "40", "--seed", "7"
    )
    assert command.exit_code == 0, command.output
    home.number(JANUARY)
    return home


def test_billed_seconds_are_those_that_plain_python_counts(home):
    count = runpy.run_path(str(PLAIN_COUNT))["billed_seconds_per_month"]
    expected = count(TRACE, datetime(2026, 1, 1, tzinfo=UTC))[JANUARY]

    lines = home.generation("invoices/invoice_lines", JANUARY).read()

    assert lines["duration_s"].sum() == expected
    assert expected > 10**9


def test_everyone_who_used_something_gets_an_invoice(home):
    users = set(home.generation("usage/runtime_intervals", JANUARY).read("meters")["owner_id"])

    assert {row["payer_id"] for row in home.rows("invoices/invoices", JANUARY)} == users
    assert home.rows("invoices/parked_organisations", JANUARY) == []


def test_every_raw_row_is_accounted_for(home):
    receipts = home.generation("usage/file_receipts", JANUARY).read().filter(feed="runtime_intervals")

    assert receipts["quarantined_rows"].sum() == 0
    assert receipts["superseded_rows"].sum() > 0, "runs that were reported open and closed later"
    total = receipts.select("accepted_rows", "duplicate_rows", "superseded_rows").sum().sum_horizontal().item()
    assert receipts["input_rows"].sum() == total


@pytest.mark.slow
def test_every_invoice_of_the_trace_gets_its_document(home):
    home.print(JANUARY)

    invoices = home.rows("invoices/invoices", JANUARY)
    assert {path.stem for path in (home.folder / "documents" / "INV").glob("*.pdf")} == {
        invoice["number"] for invoice in invoices
    }

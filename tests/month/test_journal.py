"""The sample provider's issued months in double entry: beancount finds nothing wrong, and the FEC adds up."""

import shutil
import sys
from collections import defaultdict
from collections.abc import Callable
from datetime import timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path

import polars as pl
import pytest
from provider_home import ProviderHome

sys.path.insert(0, str(Path(__file__).parent.parent / "exports"))

from bean_check import complaints, needs_beancount

from billing_pipeline.books import IssueRequest
from billing_pipeline.defs.credit_notes import ISSUED_CREDIT_NOTES
from billing_pipeline.defs.numbering import publish_numbered
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.corrections import IssuedCreditNotes

JANUARY, FEBRUARY = "2026-01", "2026-02"


@pytest.fixture(scope="module")
def home(sample: ProviderHome, new_home: Callable[..., ProviderHome]) -> ProviderHome:
    """A copy of the sample provider, both months issued without documents."""
    home = new_home("journal")
    shutil.copytree(sample.folder, home.folder, dirs_exist_ok=True)
    (home.folder / "settings.toml").write_text('[seller]\nname = "Nimbus"\nlegal_id = "091427757"\n')
    home.freeze(JANUARY)
    issue_credit_note(home, FEBRUARY)
    home.freeze(FEBRUARY)
    return home


def issue_credit_note(home: ProviderHome, month: str) -> None:
    """A credit note of 12.00, of which VAT is 2.00, for the first invoice of the month before."""
    billing, of = home.billing, Month.parse(month)
    invoice = home.rows("invoices/invoices", str(of.previous))[0]
    amounts = {"fees_cents": 10_00, "vat_cents": 2_00, "payable_cents": 12_00}
    about = {"currency": "EUR", "holder_id": invoice["payer_id"], "refers_to": invoice["number"]}
    request = IssueRequest(
        invoice["payer_id"], "credit_note", of, invoice["period_start"], invoice["period_end"], "", amounts | about
    )
    day = invoice["issued_on"] + timedelta(days=28)
    (issued,) = billing.books.issue([request], "CN", day, as_of=billing.as_of(of))
    note = invoice | amounts | about | {
        "number": issued.number, "kind": "credit_note", "billing_month": month, "issued_on": day, "due_on": day,
        "refers_to_issued_on": invoice["issued_on"], "subtotal_cents": 10_00, "used_credits_cents": 0,
        "free_given_back_cents": 0, "prepaid_given_back_cents": 0,
        "refill_cancelled_cents": 0, "prepaid_refunded_cents": 0, "decision": None, "reissue_reason": None,
    }  # fmt: skip
    rows = IssuedCreditNotes.validate(
        pl.DataFrame([note], infer_schema_length=None).select(IssuedCreditNotes.column_names()), cast=True
    )
    publish_numbered(billing, of, ISSUED_CREDIT_NOTES.key, IssuedCreditNotes, rows)


@pytest.fixture(scope="module")
def postings(home: ProviderHome) -> pl.DataFrame:
    return pl.concat(home.generation("exports/journal", month).read() for month in (JANUARY, FEBRUARY))


def exported(home: ProviderHome, form: str, months: str) -> Path:
    folder = home.folder / "exports" / months
    printed = home.command("export", form, months, "--out", str(folder))
    assert printed.exit_code == 0, printed.output
    return Path(printed.output.splitlines()[0].rsplit(": ", 1)[1])


@needs_beancount
@pytest.mark.parametrize("months", [f"{JANUARY}..{FEBRUARY}", JANUARY, FEBRUARY])
def test_beancount_finds_nothing_wrong_and_every_balance_as_it_must_be(home, months):
    file = exported(home, "beancount", months)

    assert complaints(file) == ""
    letters = ("prepaid_before_cents", "prepaid_used_cents", "pending_cents", "refill_cents")
    parked = home.reasons(months[-7:])
    held = [
        f"-{cents // 100}.{cents % 100:02d}"
        for row in home.rows("credits/credit_statements", months[-7:])
        if row["payer_id"] not in parked and (cents := sum(row[letter] for letter in letters))
    ]
    asserted = [line.split()[3] for line in file.read_text().splitlines() if " balance Liabilities:419100:" in line]
    assert sorted(amount for amount in asserted if amount != "0.00") == sorted(held) != []


def test_the_fec_adds_up_entry_by_entry_and_in_all(home):
    file = exported(home, "fec", f"{JANUARY}..{FEBRUARY}")
    head, *lines = file.read_bytes().decode("iso8859-15").removesuffix("\r\n").split("\r\n")
    rows = [dict(zip(head.split("\t"), line.split("\t"), strict=True)) for line in lines]
    sides = defaultdict(lambda: [Decimal(0), Decimal(0)])
    for row in rows:
        for place, name in enumerate(("Debit", "Credit")):
            sides[row["EcritureNum"]][place] += Decimal(row[name].replace(",", "."))

    assert file.name == "091427757FEC20260228.txt"
    assert {line.count("\t") for line in (head, *lines)} == {17}
    assert all(debit == credit > 0 for debit, credit in sides.values())
    invoices = [row for month in (JANUARY, FEBRUARY) for row in home.rows("invoices/invoices", month)]
    owed = sum(Decimal(row["Debit"].replace(",", ".")) for row in rows if row["CompteNum"] == "411000")
    assert owed * 100 == sum(row["payable_cents"] for row in invoices)


def test_the_fec_numbers_each_journal_in_the_order_of_validation(home):
    lines = exported(home, "fec", f"{JANUARY}..{FEBRUARY}").read_bytes().decode("iso8859-15").splitlines()[1:]
    numbers = defaultdict(list)
    for line in lines:
        cells = line.split("\t")
        if cells[2] not in numbers[cells[0]]:
            numbers[cells[0]].append(cells[2])

    assert {"VE", "BQ", "AN"} <= numbers.keys()
    assert all(found == [f"{code}{n:06d}" for n in range(1, len(found) + 1)] for code, found in numbers.items())
    validated = [line.split("\t")[15] for line in lines]
    assert all(before <= after for before, after in pairwise(validated))


def test_a_credit_note_lowers_what_its_invoice_asks_for(home):
    (note,) = {row["piece"] for row in home.rows("exports/journal", FEBRUARY, kind="credit_note")}
    entry = {
        row["account"]: row["debit_cents"] - row["credit_cents"]
        for row in home.rows("exports/journal", FEBRUARY, piece=note)
    }

    assert note == "CN-2026-000001"
    assert entry == {"411000": -12_00, "706000": 10_00, "445740": 2_00}


def test_the_journal_of_a_month_is_its_invoices(home):
    for month in (JANUARY, FEBRUARY):
        asked = {row["number"]: row["payable_cents"] for row in home.rows("invoices/invoices", month)}
        entries = home.rows("exports/journal", month, kind="invoice", role="receivable")

        assert {row["piece"]: row["debit_cents"] for row in entries} == {
            number: cents for number, cents in asked.items() if cents
        }


def test_advances_are_what_statements_say_is_prepaid_or_pending(home, postings):
    statements = home.rows("credits/credit_statements", FEBRUARY)
    booked = dict(
        postings.filter(role="advances")
        .group_by("payer_id")
        .agg(pl.col("credit_cents").sum() - pl.col("debit_cents").sum())
        .rows()
    )

    letters = ("prepaid_before_cents", "prepaid_used_cents", "pending_cents", "refill_cents")
    parked = home.reasons(FEBRUARY)
    assert {row["payer_id"]: booked.get(row["payer_id"], 0) for row in statements if row["payer_id"] not in parked} == {
        row["payer_id"]: sum(row[letter] for letter in letters) for row in statements if row["payer_id"] not in parked
    }


def test_issuing_again_writes_nothing_more(home):
    before = {month: home.generation("exports/journal", month).id for month in (JANUARY, FEBRUARY)}

    home.freeze(JANUARY)

    assert {month: home.generation("exports/journal", month).id for month in (JANUARY, FEBRUARY)} == before


def test_a_month_without_a_journal_names_the_command(home):
    printed = home.command("export", "fec", "2026-02..2026-03")

    assert printed.exit_code == 1
    assert "2026-03 has no journal; run: billing issue 2026-03" in printed.output

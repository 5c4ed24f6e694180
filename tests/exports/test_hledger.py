"""The journal as hledger reads it: entries add up to nothing, and what accounts must show is what they do."""

import re
import shutil
import subprocess
from collections import defaultdict
from datetime import date
from decimal import Decimal

import pytest
from journal_rows import held, journal, sold

from billing_pipeline.exports.hledger import write_hledger

POSTING = re.compile(r"    (\S+)  (-?[0-9.]+) (\w+)(?: = (-?[0-9.]+) \w+)?")


def told() -> str:
    before = journal(*sold(100_00, posted_on=date(2026, 10, 3)))
    entries = journal(*sold(20_00, entry_number=2, label="Payment a;b | c"))
    return write_hledger(entries, before, held(acme=120_00), "Nimbus; Cloud")


def test_entries_add_up_to_nothing_and_accounts_show_what_they_must():
    balances, asserted = defaultdict(Decimal), {}
    for block in told().split("\n\n")[1:]:
        head, *lines = block.strip().split("\n")
        postings = [POSTING.fullmatch(f"    {line.strip()}") for line in lines]
        assert re.match(r"2026-\d\d-\d\d \* ", head)
        assert sum(Decimal(posting[2]) for posting in postings) == 0
        for name, amount, currency, shown in (posting.groups() for posting in postings):
            balances[name, currency] += Decimal(amount)
            if shown:
                asserted[name, currency] = Decimal(shown)

    account = ("411000:acme", "EUR")
    assert asserted == {account: balances[account]} == {account: Decimal("120.00")}


def test_the_file_says_what_it_is_and_how_amounts_are_written():
    lines = told().split("\n")

    assert lines[:2] == ["; Nimbus, Cloud", "commodity 1000.00 EUR"]
    assert "2026-11-03 * Balances of earlier months" in lines
    assert "2026-11-03 * (VE000002) Payment a,b | c" in lines
    assert lines[-2:] == ["    411000:acme  0 EUR = 120.00 EUR", ""]


def test_months_without_a_posting_are_a_comment():
    assert write_hledger(journal(), journal(), held(), "Nimbus") == "; Nimbus\n"


@pytest.mark.skipif(shutil.which("hledger") is None, reason="hledger is not installed")
def test_hledger_agrees(tmp_path):
    file = tmp_path / "journal.hledger"
    file.write_text(told())

    checked = subprocess.run(["hledger", "-f", file, "check"], capture_output=True, text=True, check=False)

    assert (checked.returncode, checked.stderr) == (0, "")

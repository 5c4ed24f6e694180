"""The journal as beancount reads it: its own checker finds nothing wrong, and finds what is."""

from datetime import date

import polars as pl
import pytest
from bean_check import complaints, needs_beancount
from journal_rows import held, journal, sold

from billing_pipeline.exports.beancount import write_beancount
from billing_pipeline.tables.journal import HeldBalances


@pytest.fixture
def check(tmp_path):
    def run(text: str) -> str:
        file = tmp_path / "journal.beancount"
        file.write_text(text)
        return complaints(file)

    return run


@needs_beancount
def test_beancount_agrees_with_balances_to_the_cent_and_with_nothing_else(check):
    entries = journal(*sold(818_92))

    right, wrong = (write_beancount(entries, journal(), held(acme=cents), "Nimbus") for cents in (818_92, 818_91))

    assert check(right) == ""
    assert "Balance failed for 'Assets:411000:O-acme': expected 818.91 EUR != accumulated 818.92 EUR" in check(wrong)


@needs_beancount
def test_organisations_currencies_and_texts_of_any_kind_are_carried(check):
    payers = ["a_b", "a-b", "a-ub", "A_B", "_", "9"]
    rows = [
        posting | {"posting": place}
        for number, payer in enumerate(payers, 1)
        for place, posting in enumerate(
            sold(5, payer_id=payer, payer_name='"Q" \\ Ł\n', entry_number=number)
            + sold(5, payer_id=payer, entry_number=number, currency="JPY")
            + sold(1_005, payer_id=payer, entry_number=number, currency="KWD"),
            1,
        )
    ]

    text = write_beancount(journal(*rows), journal(), held(**dict.fromkeys(payers, 5)), 'A "quoted" \\ title')

    assert check(text) == ""
    assert len({line for line in text.splitlines() if " open Assets:" in line}) == len(payers)
    assert {"0.05 EUR", "5 JPY", "1.005 KWD"} <= {
        line.rsplit("  ", 1)[1] for line in text.splitlines() if line.startswith("  Assets:")
    }


@needs_beancount
def test_the_balances_of_earlier_months_are_brought_along(check):
    before = journal(*sold(100_00, posted_on=date(2026, 10, 3)))
    entries = journal(*sold(20_00, entry_number=2))

    text = write_beancount(entries, before, held(acme=120_00), "Nimbus")

    assert check(text) == ""
    assert '2026-11-03 * "Balances of earlier months"' in text
    assert "2026-11-04 balance Assets:411000:O-acme  120.00 ~ 0.00 EUR" in text


@needs_beancount
def test_what_must_be_held_and_was_never_posted_is_seen(check):
    text = write_beancount(journal(*sold(5_00)), journal(), held(acme=5_00, other=1, nobody=0), "Nimbus")

    assert "expected 0.01 EUR != accumulated 0 EUR" in check(text)
    assert "O-nobody" not in text


def test_advances_are_owed_and_what_is_not_known_is_not_asserted():
    advances = {"role": "advances", "account": "419100"}
    entries = journal({"amount": -5_00, **advances}, {"amount": 5_00, "role": "bank", "account": "512000"})
    known = held(acme=None).with_columns(advances_cents=pl.lit(5_00, pl.Int64))

    text = write_beancount(entries, journal(), HeldBalances.validate(known), "Nimbus")

    assert [line for line in text.splitlines() if " balance " in line] == [
        "2026-11-04 balance Liabilities:419100:O-acme  -5.00 ~ 0.00 EUR"
    ]


@needs_beancount
def test_months_without_a_posting_make_a_file_that_beancount_reads(check):
    assert check(write_beancount(journal(), journal(), held(), "Nimbus")) == ""

"""The statements that a provider published, and others worked out by hand, to the cent."""

import csv
from decimal import Decimal
from pathlib import Path

import pytest

GOLDEN = list(csv.DictReader((Path(__file__).parent / "golden_credit_statements.csv").open(encoding="utf-8")))
PRINTED = {
    "a": "free_before_cents", "b": "prepaid_before_cents", "A": "balance_before_cents", "c": "free_used_cents",
    "d": "free_expired_cents", "e": "prepaid_used_cents", "f": "forecast_cents", "g": "pending_cents",
    "h": "refill_cents", "B": "balance_after_cents", "i": "change_cents",
}  # fmt: skip


def cents(euros: str) -> int:
    return int(Decimal(euros) * 100)


def bill_golden_row(given, row):
    """The row's letters as a payer's account, lots and one line."""
    fees, expiring, free = cents(row["fees"]), cents(row["free_expiring"]), cents(row["a"])
    lots = [
        {"grant_id": "expiring", "left_before_cents": expiring, "expires_at": given.period().end},
        {"grant_id": "lasting", "left_before_cents": free - expiring},
    ]
    account = {
        "prepaid_before_cents": cents(row["b"]),
        "pending_cents": cents(row["g"]),
        "custom_refill_cents": cents(row["h"]) if row["mode"] == "custom" else None,
    }
    return given.bill(
        given.charges(*([{"payer_id": "acme", "charge_cents": fees}] if fees else [])),
        given.lots(*(lot for lot in lots if lot["left_before_cents"])),
        given.accounts(account),
        vat_ppm=int(Decimal(row["vat_rate"]) * 1_000_000),
    )


def test_the_published_invoice_asks_for_682_43(given):
    settlement, drafted = given.bill(
        given.charges({"payer_id": "acme", "charge_cents": 686_89}),
        given.lots(),
        given.accounts({"prepaid_before_cents": 691_35}),
    )

    (statement,) = settlement.statements.to_dicts()
    assert statement["refill_cents"] == 682_43
    assert statement["balance_after_cents"] == 686_89
    assert statement["change_cents"] == -4_46
    assert drafted.drafts["used_credits_cents"].to_list() == [-4_46]
    assert drafted.drafts["payable_cents"].to_list() == [682_43]


def test_the_published_credit_section_with_a_refill_of_0_bills_the_shortfall_at_once(given):
    settlement, drafted = given.bill(
        given.charges({"payer_id": "acme", "charge_cents": 102_12}, {"payer_id": "acme", "charge_cents": 12_51}),
        given.lots(),
        given.accounts({"prepaid_before_cents": 20_00, "custom_refill_cents": 0}),
    )

    (statement,) = settlement.statements.to_dicts()
    assert statement["fees_cents"] == 114_63
    assert statement["prepaid_used_cents"] == -20_00
    assert statement["balance_after_cents"] == 0
    assert drafted.drafts["subtotal_cents"].to_list() == [94_63]


def test_all_thirteen_worked_statements_are_here():
    assert len(GOLDEN) == 13


@pytest.mark.parametrize("row", GOLDEN, ids=[row["case"] for row in GOLDEN])
def test_a_worked_statement_comes_out_to_the_cent(given, row):
    settlement, _ = bill_golden_row(given, row)

    (statement,) = settlement.statements.to_dicts()
    assert {letter: statement[column] for letter, column in PRINTED.items()} == {
        letter: cents(row[letter]) for letter in PRINTED
    }
    assert statement["is_custom_refill"] == (row["mode"] == "custom")
    shortfall = statement["fees_cents"] + statement["free_used_cents"] + statement["prepaid_used_cents"]
    assert shortfall == cents(row["shortfall"])


@pytest.mark.parametrize("row", GOLDEN, ids=[row["case"] for row in GOLDEN])
def test_a_worked_invoice_comes_out_to_the_cent(given, row):
    _, drafted = bill_golden_row(given, row)

    (draft,) = drafted.drafts.to_dicts()
    assert draft["used_credits_cents"] == cents(row["used_credits_line"])
    assert draft["used_credits_cents"] == cents(row["net_use"])
    assert draft["subtotal_cents"] == cents(row["subtotal"])
    assert draft["vat_cents"] == cents(row["vat"])
    assert draft["payable_cents"] == cents(row["to_pay"])

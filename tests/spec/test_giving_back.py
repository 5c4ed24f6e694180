"""How a month opens with what credit notes give back: to prepaid credits, and to coupons that may be closed by now."""

import polars as pl
import pytest

from billing_pipeline.rules.credit_notes import (
    corrected_documents,
    corrected_invoices,
    give_back_prepaid,
    given_back_movements,
    prepaid_given_back,
    reopen_lots,
)
from billing_pipeline.tables.corrections import GivenBack
from billing_pipeline.tables.credits import CreditLots


def given_back(*rows):
    """What a credit note of acme's invoice gives back to acme."""
    schema = GivenBack.create_empty().schema
    common = {"refers_to": "INV-1", "billing_month": "2026-10", "payer_id": "acme", "holder_id": "acme"}
    told = [
        dict.fromkeys(schema) | common | {"grant_id": grant, "amount_cents": cents} | more
        for grant, cents, more in rows
    ]
    return GivenBack.validate(pl.DataFrame(told, schema=schema))


EVERYTHING = (
    ("", 1_00, {}), ("unpaid refill", 2_00, {}), ("unspent refill", 4_00, {}), ("prepaid", 7_00, {}),
    ("coupon", 8_00, {}), ("gift", 0, {}),
)  # fmt: skip


def test_prepaid_credits_rise_by_what_comes_back_less_what_is_refunded(given):
    accounts = given.accounts({"prepaid_before_cents": 50_00}, {"payer_id": "zeta", "prepaid_before_cents": 5_00})

    raised = give_back_prepaid(accounts, given_back(*EVERYTHING))

    assert raised.select("payer_id", "prepaid_before_cents").rows() == [("acme", 53_00), ("zeta", 5_00)]
    assert prepaid_given_back(given_back(*EVERYTHING)).rows() == [("acme", 3_00)]


def test_credits_come_back_to_who_holds_them_now(given):
    accounts = given.accounts({}, {"payer_id": "head"})
    moved = given_back(("prepaid", 7_00, {"holder_id": "head"}))

    raised = give_back_prepaid(accounts, moved)

    assert raised.select("payer_id", "prepaid_before_cents").rows() == [("acme", 0), ("head", 7_00)]
    assert given_back_movements(moved, accounts)["payer_id"].to_list() == ["head"]


def test_what_comes_back_and_what_is_refunded_are_movements_and_money_is_none(given):
    movements = given_back_movements(given_back(*EVERYTHING), given.accounts({}))

    said = movements.select(pl.col("kind").cast(pl.String), "grant_id", "amount_cents", "line_id", "currency")
    assert said.rows() == [
        ("given_back", "coupon", 8_00, "", "EUR"), ("given_back", "prepaid", 7_00, "", "EUR"),
        ("refunded", "prepaid", -4_00, "", "EUR"),
    ]  # fmt: skip


def test_a_cent_that_comes_back_is_a_movement(given):
    movements = given_back_movements(given_back(("coupon", 1, {})), given.accounts({}))

    assert movements["amount_cents"].to_list() == [1]


@pytest.fixture
def used_lots(given):
    """How two coupons paid the invoice, one of which has something left."""
    common = {"payer_id": "acme", "name": "Coupon", "priority": 1, "starts_at": given.period().start,
              "granted_cents": 10_00, "left_before_cents": 10_00, "expired_cents": 0}  # fmt: skip
    return given.carried_lots(
        common | {"grant_id": "coupon", "used_cents": -8_00, "left_after_cents": 2_00},
        common | {"grant_id": "gift", "used_cents": -10_00, "left_after_cents": 0},
    )


def test_a_coupon_that_is_open_is_raised_and_one_that_was_used_up_is_open_again(given, used_lots):
    opened = given.lots(
        {"grant_id": "coupon", "left_before_cents": 2_00}, {"grant_id": "other", "left_before_cents": 3_00}
    )

    reopened = reopen_lots(opened, given_back(("coupon", 8_00, {}), ("gift", 10_00, {})), used_lots)

    assert reopened.select("grant_id", "left_before_cents").rows() == [
        ("coupon", 10_00), ("gift", 10_00), ("other", 3_00),
    ]  # fmt: skip


def test_an_invoice_goes_with_its_own_statement_and_lots(given, used_lots):
    invoices = pl.DataFrame({"number": ["INV-1", "INV-2"], "payer_id": ["acme", "zeta"]})
    statements = given.statements({"fees_cents": 8_00}, {"payer_id": "zeta", "fees_cents": 1_00})

    found = corrected_invoices(invoices, statements, CreditLots.validate(used_lots))

    assert {number: one.statement["fees_cents"] for number, one in found.items()} == {"INV-1": 8_00, "INV-2": 1_00}
    assert {number: one.lots["grant_id"].to_list() for number, one in found.items()} == {
        "INV-1": ["coupon", "gift"], "INV-2": [],
    }  # fmt: skip


def test_what_an_invoice_beside_the_monthly_one_sells_is_its_refill():
    documents = pl.DataFrame([{"number": "INV-3", "fees_cents": 0, "used_credits_cents": 9_00}])

    (one,) = corrected_documents(documents).values()

    assert one.statement == {"fees_cents": 0, "free_used_cents": 0, "prepaid_used_cents": 0, "refill_cents": 9_00}
    assert one.lots.is_empty()

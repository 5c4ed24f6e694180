"""A payer becomes a sub-organisation: its last statement is final, and its credits go to its new payer."""

from datetime import UTC, date, datetime

import dataframely as dy
import polars as pl
import pytest

from billing_pipeline.rules.balances import basis_hash, open_accounts, open_lots
from billing_pipeline.rules.credit_notes import prepaid_given_back
from billing_pipeline.rules.credits import settle_credits
from billing_pipeline.rules.equations import balances_continue, transfers_cancel_out
from billing_pipeline.rules.lifetimes import given_up_refills, topped_up
from billing_pipeline.rules.parking import park_payers
from billing_pipeline.rules.succession import find_takeovers, first_organisations, taken_over
from billing_pipeline.tables.corrections import GivenBack
from billing_pipeline.tables.invoices import ParkedOrganisations

MIDDLE, DECEMBER = datetime(2026, 10, 15, tzinfo=UTC), datetime(2026, 12, 1, tzinfo=UTC)

#: lab pays for itself until the middle of October.
MOVING = (
    {"owner_id": "acme"},
    {"owner_id": "lab", "valid_to": MIDDLE},
    {"owner_id": "lab", "valid_from": MIDDLE, "payer_id": "acme"},
)
#: November: acme has paid for lab from the start.
MOVED = ({"owner_id": "acme"}, {"owner_id": "lab", "payer_id": "acme"})

HELD = {"prepaid_before_cents": 50_00, "balance_before_cents": 50_00, "prepaid_used_cents": -20_00, "fees_cents": 20_00,
        "balance_after_cents": 30_00, "change_cents": -20_00, "recurring_cents": 20_00}  # fmt: skip
LOT = {
    "payer_id": "lab", "grant_id": "coupon", "name": "Coupon", "priority": 3, "starts_at": MIDDLE,
    "expires_at": DECEMBER, "slugs": "pg.s", "granted_cents": 9_00, "left_before_cents": 9_00, "used_cents": -2_00,
    "expired_cents": 0, "left_after_cents": 7_00,
}  # fmt: skip


def open_month(given, organisations, *, statements=(), lots=(), refills=(), payments=(), invoices=()):
    return open_accounts(
        given.statements(*statements),
        given.carried_lots(*lots),
        given.refills(*refills),
        given.opened(),
        given.payments(*payments),
        given.refill_invoices(*invoices),
        given.agreements(),
        given.organisations(*organisations),
        given.period(),
    )


def account_of(opened, payer):
    (account,) = opened.accounts.filter(payer_id=payer).to_dicts()
    return account


def moved(opened):
    rows = opened.movements.select("payer_id", pl.col("kind").cast(pl.String), "grant_id", "amount_cents")
    return rows.rows()


def test_in_the_month_of_the_change_both_have_an_account_and_the_old_ones_names_its_successor(given):
    opened = open_month(given, MOVING, statements=(HELD | {"payer_id": "lab"},))

    assert opened.accounts.select("payer_id", "successor_id", "prepaid_before_cents").rows() == [
        ("acme", None, 0),
        ("lab", "acme", 30_00),
    ]
    assert opened.takeovers.is_empty()


def test_the_last_statement_estimates_nothing_refills_nothing_and_keeps_its_credits(given):
    settlement = settle_credits(
        given.fees({"payer_id": "lab", "fee_cents": 10_00}),
        given.lots({"payer_id": "lab", "grant_id": "coupon", "left_before_cents": 4_00}),
        given.accounts({"payer_id": "lab", "prepaid_before_cents": 50_00, "successor_id": "acme"}),
        given.period(),
    )

    (statement,) = settlement.statements.to_dicts()
    assert (statement["forecast_cents"], statement["refill_cents"], statement["free_expired_cents"]) == (0, 0, 0)
    assert statement["balance_after_cents"] == 44_00


def test_prepaid_credits_are_the_new_payers_next_month_and_are_booked_out_and_in(given):
    statements = (HELD | {"payer_id": "lab"}, HELD | {"payer_id": "acme"})
    opened = open_month(given, MOVED, statements=statements)

    assert opened.accounts["payer_id"].to_list() == ["acme"]
    assert account_of(opened, "acme")["prepaid_before_cents"] == 60_00
    assert moved(opened) == [
        ("acme", "transferred_in", "prepaid of lab", 30_00),
        ("lab", "transferred_out", "prepaid of lab", -30_00),
    ]
    held = taken_over(given.statements(*statements), opened.takeovers)
    settled = settle_credits(given.fees(), given.lots(), opened.accounts, given.period()).statements
    nothing = pl.DataFrame(schema={"payer_id": pl.String, "opening_cents": pl.Int64})
    none_given_up = given_up_refills(opened.movements)
    none_given_back = prepaid_given_back(GivenBack.create_empty())
    assert (
        balances_continue(settled, held, nothing, none_given_up, none_given_back, topped_up(opened.movements)).broken
        == {}
    )
    assert transfers_cancel_out(opened.movements).holds


def test_free_lots_keep_expiry_scope_and_place(given):
    opened = open_month(given, MOVED, statements=({"payer_id": "lab"},), lots=(LOT,))
    lots = open_lots(given.carried_lots(LOT), given.opened(), given.grants(), opened.takeovers, given.period())

    assert lots.select("payer_id", "grant_id", "priority", "expires_at", "slugs", "left_before_cents").rows() == [
        ("acme", "coupon", 3, DECEMBER, "pg.s", 7_00)
    ]
    assert moved(opened) == [
        ("acme", "transferred_in", "coupon", 7_00),
        ("lab", "transferred_out", "coupon", -7_00),
    ]


def test_two_organisations_that_merge_under_a_third_bring_their_credits_both(given):
    organisations = (
        {"owner_id": "group"},
        {"owner_id": "lab", "payer_id": "group"},
        {"owner_id": "mill", "payer_id": "group"},
    )
    opened = open_month(
        given, organisations, statements=(HELD | {"payer_id": "lab"}, HELD | {"payer_id": "mill"}), lots=(LOT,)
    )

    assert account_of(opened, "group")["prepaid_before_cents"] == 60_00
    assert [row[1:] for row in moved(opened) if row[0] == "group"] == [
        ("transferred_in", "coupon", 7_00),
        ("transferred_in", "prepaid of lab", 30_00),
        ("transferred_in", "prepaid of mill", 30_00),
    ]


def test_the_new_payers_history_of_statements_is_its_own(given):
    old, own = HELD | {"payer_id": "lab", "billed_months_before": 9}, {"payer_id": "acme", "recurring_cents": 1_00}
    opened = open_month(given, MOVED, statements=(old, own))

    account = account_of(opened, "acme")
    assert (account["billed_months_before"], account["recurring_1_before_cents"]) == (1, 1_00)


REFILL = {"payer_id": "lab", "billing_month": "2026-09", "refill_cents": 100_00, "payable_cents": 120_00}


def test_a_refill_that_is_still_to_be_paid_is_pending_for_the_new_payer(given):
    own = {"payer_id": "acme", "billing_month": "2026-09", "refill_cents": 5_00, "payable_cents": 6_00}
    opened = open_month(given, MOVED, statements=({"payer_id": "lab"},), refills=(REFILL, own))

    assert account_of(opened, "acme")["pending_cents"] == 105_00
    assert opened.refills.select("payer_id", "holder_id", "refill_cents").rows() == [
        ("acme", "acme", 5_00),
        ("lab", "acme", 100_00),
    ]


@pytest.mark.parametrize("owner_id", ["lab", "acme"])
def test_once_it_is_paid_by_either_it_is_the_new_payers_prepaid_credit(given, owner_id):
    payment = {"owner_id": owner_id, "reference": "lab/2026-09", "paid_cents": 120_00}
    carried = REFILL | {"holder_id": "acme"}
    opened = open_month(given, MOVED, statements=({"payer_id": "acme"},), refills=(carried,), payments=(payment,))

    assert account_of(opened, "acme")["prepaid_before_cents"] == 100_00
    assert opened.refills.is_empty()
    assert moved(opened) == [("acme", "settled", "2026-09 of lab", 100_00)]


def test_what_was_taken_over_is_taken_over_again(given):
    organisations = (
        {"owner_id": "holding"},
        {"owner_id": "acme", "payer_id": "holding"},
        {"owner_id": "lab", "payer_id": "holding"},
    )
    carried = REFILL | {"holder_id": "acme"}
    opened = open_month(given, organisations, statements=(HELD | {"payer_id": "acme"},), refills=(carried,))

    account = account_of(opened, "holding")
    assert (account["prepaid_before_cents"], account["pending_cents"]) == (30_00, 100_00)


def test_a_sub_organisation_that_still_pays_for_others_keeps_its_account(given):
    organisations = (
        {"owner_id": "holding"},
        {"owner_id": "acme", "payer_id": "holding"},
        {"owner_id": "lab", "payer_id": "acme"},
    )
    opened = open_month(given, organisations, statements=(HELD | {"payer_id": "acme"},))

    assert account_of(opened, "acme")["prepaid_before_cents"] == 30_00
    assert account_of(opened, "acme")["successor_id"] is None
    assert opened.takeovers.is_empty()


def test_who_never_paid_hands_nothing_over(given):
    opened = open_month(given, MOVED, statements=({"payer_id": "acme"},))

    assert opened.takeovers.is_empty()


def test_credits_in_another_currency_than_the_new_payers_do_not_move_and_park_it(given):
    opened = open_month(given, MOVED, statements=(HELD | {"payer_id": "lab", "currency": "USD"},), lots=(LOT,))

    assert opened.accounts.is_empty()
    assert opened.movements.is_empty()
    assert opened.problems.select("payer_id", "reason").rows() == [("acme", "currency_changed")]


NO_PROBLEMS = pl.DataFrame(schema={"owner_id": pl.String, "reason": pl.String, "detail": pl.String})
LAB_PARKED = ParkedOrganisations.validate(
    pl.DataFrame({"payer_id": ["lab"], "reason": ["price_missing"], "detail": ["gpu.h100"]})
)


def test_whoever_takes_over_from_a_parked_payer_waits_with_it(given):
    parked = park_payers([NO_PROBLEMS], given.organisations(*MOVED), LAB_PARKED)

    assert parked.select("payer_id", "reason").rows() == [
        ("acme", "predecessor_parked"),
        ("lab", "predecessor_parked"),
    ]


def test_in_the_month_of_the_change_a_parked_payer_holds_up_nobody_else(given):
    parked = park_payers([NO_PROBLEMS], given.organisations(*MOVING), LAB_PARKED)

    assert parked["payer_id"].to_list() == ["lab"]


def test_the_new_payers_draft_rests_on_the_old_ones_statement(given):
    def basis(fees_cents):
        statement = HELD | {"payer_id": "lab", "fees_cents": fees_cents}
        opened = open_month(given, MOVED, statements=(statement,))
        hashes = basis_hash(
            opened.accounts, given.statements(statement), given.movements(), opened.movements, opened.takeovers
        )
        return dict(hashes.iter_rows())["acme"]

    assert basis(20_00) == basis(20_00)
    assert basis(20_00) != basis(20_01)


def test_an_organisation_that_changed_twice_is_judged_by_its_first_and_its_last_version(given):
    organisations = given.organisations(
        {"owner_id": "acme"},
        {"owner_id": "lab", "payer_id": "acme", "valid_to": MIDDLE},
        {"owner_id": "lab", "valid_from": MIDDLE},
    )
    opened = open_month(
        given,
        (
            {"owner_id": "acme"},
            {"owner_id": "lab", "payer_id": "acme", "valid_to": MIDDLE},
            {"owner_id": "lab", "valid_from": MIDDLE},
        ),
        statements=(HELD | {"payer_id": "lab"},),
    )

    assert find_takeovers(first_organisations(organisations)).rows() == [("lab", "acme")]
    assert account_of(opened, "acme")["prepaid_before_cents"] == 30_00
    assert (account_of(opened, "lab")["prepaid_before_cents"], account_of(opened, "lab")["successor_id"]) == (0, None)


def test_an_organisation_that_closes_and_moves_loses_its_free_credits_and_hands_over_the_rest(given):
    closed = [row | {"closed_on": date(2026, 10, 20)} if row.get("payer_id") else row for row in MOVING]
    opened = open_month(given, closed, statements=(HELD | {"payer_id": "lab"},), lots=(LOT,))
    settlement = settle_credits(
        given.fees(),
        open_lots(given.carried_lots(LOT), given.opened(), given.grants(), opened.takeovers, given.period()),
        opened.accounts,
        given.period(),
    )

    (statement,) = settlement.statements.filter(payer_id="lab").to_dicts()
    assert (statement["free_expired_cents"], statement["balance_after_cents"]) == (-7_00, 30_00)


def test_a_payer_is_taken_over_by_one_other(given):
    with pytest.raises(dy.exc.ValidationError, match="primary_key"):
        given.takeovers({"payer_id": "lab", "successor_id": "acme"}, {"payer_id": "lab", "successor_id": "zeta"})

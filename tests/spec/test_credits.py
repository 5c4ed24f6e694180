"""Who pays first: the rules of the credit statement, one by one."""

from datetime import UTC, datetime, timedelta

import dataframely as dy
import polars as pl
import pytest
from hypothesis import given as draw
from hypothesis import settings
from hypothesis import strategies as st

from billing_pipeline.rules.credits import AccountMissing, settle_credits

LATER = datetime(2027, 1, 1, tzinfo=UTC)
MICROSECOND = timedelta(microseconds=1)


def statement_of(settlement, payer="acme"):
    (statement,) = settlement.statements.filter(pl.col("payer_id") == payer).to_dicts()
    return statement


def used_by_lot(settlement):
    return dict(settlement.lots.select("grant_id", "used_cents").iter_rows())


def booked(settlement, kind):
    rows = settlement.movements.filter(pl.col("kind").cast(pl.String) == kind)
    return rows.select("grant_id", "line_id", "amount_cents").rows()


def test_free_credits_pay_before_prepaid_ones(given):
    settlement = settle_credits(
        given.fees({"fee_cents": 30_00}),
        given.lots({"grant_id": "welcome", "left_before_cents": 20_00}),
        given.accounts({"prepaid_before_cents": 50_00}),
        given.period(),
    )

    assert statement_of(settlement)["free_used_cents"] == -20_00
    assert statement_of(settlement)["prepaid_used_cents"] == -10_00


@pytest.mark.parametrize(
    ("first", "second"),
    [
        ({"priority": 1}, {"priority": 2, "expires_at": datetime(2026, 10, 15, tzinfo=UTC)}),
        ({"expires_at": LATER}, {"expires_at": LATER + timedelta(days=1)}),
        ({"expires_at": LATER}, {"expires_at": None}),
        ({"starts_at": datetime(2026, 1, 1, tzinfo=UTC)}, {"starts_at": datetime(2026, 2, 1, tzinfo=UTC)}),
    ],
    ids=["priority", "sooner expiry", "any expiry before none", "earlier start"],
)
def test_lots_pay_in_the_order_of(given, first, second):
    settlement = settle_credits(
        given.fees({"fee_cents": 15_00}),
        given.lots(
            {"grant_id": "a", "left_before_cents": 10_00, **second},
            {"grant_id": "b", "left_before_cents": 10_00, **first},
        ),
        given.accounts({}),
        given.period(),
    )

    assert used_by_lot(settlement) == {"b": -10_00, "a": -5_00}


def test_lots_alike_in_everything_pay_in_the_order_of_their_ids(given):
    settlement = settle_credits(
        given.fees({"fee_cents": 1_00}),
        given.lots({"grant_id": "b", "left_before_cents": 1_00}, {"grant_id": "a", "left_before_cents": 1_00}),
        given.accounts({}),
        given.period(),
    )

    assert used_by_lot(settlement) == {"a": -1_00, "b": 0}


@pytest.mark.parametrize("slugs", ["a.small", "z.small"])
def test_a_lot_for_everything_leaves_to_a_narrow_one_what_that_may_pay(given, slugs):
    settlement = settle_credits(
        given.fees({"fee_cents": 10_00, "slug": "a.small"}, {"fee_cents": 10_00, "slug": "z.small"}),
        given.lots(
            {"grant_id": "all", "left_before_cents": 10_00, "priority": 1},
            {"grant_id": "narrow", "left_before_cents": 20_00, "priority": 2, "slugs": slugs},
        ),
        given.accounts({}),
        given.period(),
    )

    assert used_by_lot(settlement) == {"all": -10_00, "narrow": -10_00}


def test_a_scoped_lot_pays_only_its_slugs(given):
    settlement = settle_credits(
        given.fees({"fee_cents": 8_00, "slug": "apps.s"}, {"fee_cents": 5_00, "slug": "cellar.storage"}),
        given.lots({"grant_id": "storage", "left_before_cents": 20_00, "slugs": "cellar.storage;fsbucket.storage"}),
        given.accounts({}),
        given.period(),
    )

    assert used_by_lot(settlement) == {"storage": -5_00}
    assert booked(settlement, "free_used") == [("storage", f"{1:032d}", -5_00)]


def test_a_scope_names_whole_slugs(given):
    settlement = settle_credits(
        given.fees({"fee_cents": 8_00, "slug": "apps.xs"}, {"fee_cents": 8_00, "slug": "apps.s"}),
        given.lots({"grant_id": "coupon", "left_before_cents": 20_00, "slugs": "apps.s"}),
        given.accounts({}),
        given.period(),
    )

    assert used_by_lot(settlement) == {"coupon": -8_00}


def test_a_scoped_lot_counts_in_the_balance_and_lowers_the_refill_like_any_other(given):
    settlement = settle_credits(
        given.fees({"fee_cents": 8_00, "slug": "apps.s"}),
        given.lots({"grant_id": "storage", "left_before_cents": 5_00, "slugs": "cellar.storage"}),
        given.accounts({}),
        given.period(),
    )

    assert statement_of(settlement)["balance_before_cents"] == 5_00
    assert statement_of(settlement)["refill_cents"] == 3_00


def test_several_lots_pay_one_line_and_one_lot_several_lines(given):
    settlement = settle_credits(
        given.fees({"fee_cents": 7_00}, {"fee_cents": 7_00}),
        given.lots(
            {"grant_id": "a", "left_before_cents": 10_00},
            {"grant_id": "b", "left_before_cents": 1_00},
        ),
        given.accounts({"prepaid_before_cents": 1_00}),
        given.period(),
    )

    first, second = f"{0:032d}", f"{1:032d}"
    assert booked(settlement, "free_used") == [("a", first, -7_00), ("a", second, -3_00), ("b", second, -1_00)]
    assert booked(settlement, "prepaid_used") == [("prepaid", second, -1_00)]


def test_a_lot_that_ends_during_the_month_may_pay_all_of_it_and_then_lapses(given):
    settlement = settle_credits(
        given.fees({"fee_cents": 7_30}),
        given.lots({"grant_id": "trial", "left_before_cents": 20_00, "expires_at": datetime(2026, 10, 2, tzinfo=UTC)}),
        given.accounts({}),
        given.period(),
    )

    assert statement_of(settlement)["free_expired_cents"] == -12_70
    assert settlement.lots["left_after_cents"].to_list() == [0]
    assert booked(settlement, "free_expired") == [("trial", "", -12_70)]


def test_a_lot_that_ended_before_the_month_pays_nothing_of_it_and_lapses(given):
    settlement = settle_credits(
        given.fees({"fee_cents": 30_00, "slug": "apps.s"}),
        given.lots(
            {"grant_id": "ended", "left_before_cents": 20_00, "expires_at": given.period().start, "slugs": "apps.s"},
            {"grant_id": "just not", "left_before_cents": 5_00, "expires_at": given.period().start + MICROSECOND},
        ),
        given.accounts({}),
        given.period(),
    )

    assert used_by_lot(settlement) == {"ended": 0, "just not": -5_00}
    assert booked(settlement, "free_expired") == [("ended", "", -20_00)]


def test_a_lot_that_ends_exactly_with_the_month_lapses_and_one_a_microsecond_later_does_not(given):
    end = given.period().end
    settlement = settle_credits(
        given.fees(),
        given.lots(
            {"grant_id": "at_end", "left_before_cents": 1_00, "expires_at": end},
            {"grant_id": "after_end", "left_before_cents": 1_00, "expires_at": end + MICROSECOND},
        ),
        given.accounts({}),
        given.period(),
    )

    assert dict(settlement.lots.select("grant_id", "left_after_cents").iter_rows()) == {"at_end": 0, "after_end": 1_00}


def test_the_estimate_counts_only_what_recurs(given):
    settlement = settle_credits(
        given.fees({"fee_cents": 10_00}, {"fee_cents": 99_00, "is_recurring": False}),
        given.lots(),
        given.accounts({}),
        given.period(),
    )

    assert statement_of(settlement)["fees_cents"] == 109_00
    assert statement_of(settlement)["forecast_cents"] == -10_00
    assert statement_of(settlement)["refill_cents"] == 10_00


def test_a_pending_refill_is_not_asked_for_twice(given):
    settlement = settle_credits(
        given.fees({"fee_cents": 10_00}), given.lots(), given.accounts({"pending_cents": 7_00}), given.period()
    )

    assert statement_of(settlement)["refill_cents"] == 3_00
    assert booked(settlement, "refill") == [("2026-10", "", 3_00)]


def test_a_surplus_stays_as_credit(given):
    settlement = settle_credits(
        given.fees({"fee_cents": 10_00}), given.lots(), given.accounts({"prepaid_before_cents": 90_00}), given.period()
    )

    assert statement_of(settlement)["refill_cents"] == 0
    assert statement_of(settlement)["balance_after_cents"] == 80_00
    assert booked(settlement, "refill") == []


def test_credits_beyond_what_is_due_are_left(given):
    settlement = settle_credits(
        given.fees({"fee_cents": 10_00}),
        given.lots({"grant_id": "welcome", "left_before_cents": 30_00}),
        given.accounts({"prepaid_before_cents": 5_00}),
        given.period(),
    )

    assert settlement.lots.select("used_cents", "left_after_cents").rows() == [(-10_00, 20_00)]
    assert statement_of(settlement)["prepaid_used_cents"] == 0


@pytest.mark.parametrize(
    ("overdrawn", "told"),
    [
        ({"prepaid_before_cents": 5, "balance_before_cents": 5, "prepaid_used_cents": -6, "refill_cents": 1},
         "no_credit_is_overdrawn"),
        ({"free_before_cents": 5, "balance_before_cents": 5, "free_used_cents": -4, "free_expired_cents": -2,
          "refill_cents": 1}, "no_credit_is_overdrawn"),
        ({"balance_before_cents": -1, "prepaid_before_cents": -1, "change_cents": 1}, "prepaid_before_cents"),
    ],
    ids=["prepaid", "free", "a negative balance"],
)  # fmt: skip
def test_a_statement_that_takes_more_than_there_is_is_refused(given, overdrawn, told):
    change = overdrawn.get("change_cents", -overdrawn["balance_before_cents"])
    with pytest.raises(dy.exc.ValidationError, match=told):
        given.statements(overdrawn | {"is_custom_refill": True, "change_cents": change})


def test_a_lot_that_pays_more_than_it_holds_is_refused(given):
    lot = {
        "payer_id": "acme", "grant_id": "g", "name": "g", "priority": 1, "starts_at": LATER, "granted_cents": 5,
        "left_before_cents": 5, "used_cents": -6, "expired_cents": 0, "left_after_cents": -1,
    }  # fmt: skip
    with pytest.raises(dy.exc.ValidationError, match="left_after_cents"):
        given.carried_lots(lot)


def test_the_movements_say_which_lot_paid_which_line_and_add_up_to_the_statement(given):
    settlement = settle_credits(
        given.fees({"fee_cents": 7_00, "slug": "apps.s"}, {"fee_cents": 7_00, "slug": "pg.s"}),
        given.lots(
            {"grant_id": "narrow", "left_before_cents": 10_00, "slugs": "pg.s", "expires_at": given.period().end},
            {"grant_id": "wide", "left_before_cents": 2_00, "priority": 2},
        ),
        given.accounts({"prepaid_before_cents": 1_00}),
        given.period(),
    )

    apps, pg = f"{0:032d}", f"{1:032d}"
    rows = settlement.movements.select(pl.col("kind").cast(pl.String), "grant_id", "line_id", "amount_cents").rows()
    assert sorted(rows) == [
        ("free_expired", "narrow", "", -3_00),
        ("free_used", "narrow", pg, -7_00),
        ("free_used", "wide", apps, -2_00),
        ("prepaid_used", "prepaid", apps, -1_00),
        ("refill", "2026-10", "", 14_00),
    ]
    assert statement_of(settlement)["change_cents"] == sum(row[-1] for row in rows)


@pytest.mark.parametrize("agreed", [0, 500_00])
def test_a_negotiated_refill_replaces_the_computed_one(given, agreed):
    settlement = settle_credits(
        given.fees({"fee_cents": 10_00}), given.lots(), given.accounts({"custom_refill_cents": agreed}), given.period()
    )

    assert statement_of(settlement)["refill_cents"] == agreed
    assert statement_of(settlement)["is_custom_refill"]


def test_a_closed_organisation_is_asked_for_no_refill_and_loses_its_free_credits(given):
    settlement = settle_credits(
        given.fees({"fee_cents": 10_00}),
        given.lots({"grant_id": "welcome", "left_before_cents": 30_00}),
        given.accounts({"prepaid_before_cents": 5_00, "custom_refill_cents": 50_00, "is_closed": True}),
        given.period(),
    )

    statement = statement_of(settlement)
    assert (statement["forecast_cents"], statement["refill_cents"]) == (0, 0)
    assert not statement["is_custom_refill"]
    assert statement["free_expired_cents"] == -20_00
    assert statement["balance_after_cents"] == 5_00


def test_every_account_gets_a_statement_even_without_fees_and_credits(given):
    settlement = settle_credits(given.fees(), given.lots(), given.accounts({}), given.period())

    amounts = settlement.statements.select(
        pl.selectors.ends_with("_cents").exclude("recurring_1_before_cents", "recurring_2_before_cents")
    )
    assert amounts.rows() == [(0,) * amounts.width]
    assert settlement.movements.is_empty()


def test_a_month_without_any_account_settles_to_nothing(given):
    settlement = settle_credits(given.fees(), given.lots(), given.accounts(), given.period())

    assert settlement.statements.is_empty()


def test_nobody_pays_with_the_credits_of_another(given):
    settlement = settle_credits(
        given.fees({"payer_id": "acme", "fee_cents": 10_00}, {"payer_id": "zeta", "fee_cents": 10_00}),
        given.lots({"payer_id": "zeta", "grant_id": "coupon", "left_before_cents": 30_00}),
        given.accounts({"payer_id": "acme"}, {"payer_id": "zeta"}),
        given.period(),
    )

    assert statement_of(settlement, "acme")["free_used_cents"] == 0
    assert statement_of(settlement, "zeta")["free_used_cents"] == -10_00


def test_fees_without_an_account_are_refused_not_forgotten(given):
    with pytest.raises(AccountMissing, match=r"1 payers have fees or free credits but no credit account.*zeta"):
        settle_credits(given.fees({"payer_id": "zeta", "fee_cents": 1}), given.lots(), given.accounts(), given.period())


def test_lots_without_an_account_are_refused_not_forgotten(given):
    lots = given.lots({"payer_id": "zeta", "grant_id": "coupon", "left_before_cents": 1})
    with pytest.raises(AccountMissing, match="zeta"):
        settle_credits(given.fees(), lots, given.accounts(), given.period())


amounts = st.integers(min_value=0, max_value=10**12)


@settings(max_examples=40)
@draw(
    lines=st.lists(st.tuples(st.sampled_from("xy"), amounts), max_size=5),
    lots=st.lists(st.tuples(st.sampled_from([None, "x", "y", "x;y"]), amounts, st.booleans()), max_size=5),
    prepaid=amounts,
    pending=amounts,
)
def test_whatever_is_used_and_held_the_statement_adds_up(given, lines, lots, prepaid, pending):
    lines = [(slug, fee // 6) for slug, fee in lines]
    lots = [(slugs, left // 12, lapses) for slugs, left, lapses in lots]
    end = given.period().end
    settlement = settle_credits(
        given.fees(*({"slug": slug, "fee_cents": fee} for slug, fee in lines)),
        given.lots(
            *(
                {"grant_id": f"g{n}", "slugs": slugs, "left_before_cents": left, "expires_at": end if lapses else None}
                for n, (slugs, left, lapses) in enumerate(lots)
            )
        ),
        given.accounts({"prepaid_before_cents": prepaid // 12, "pending_cents": pending}),
        given.period(),
    )

    letters = statement_of(settlement)
    shortfall = letters["fees_cents"] + letters["free_used_cents"] + letters["prepaid_used_cents"]
    held = letters["balance_after_cents"] - letters["refill_cents"]
    assert letters["fees_cents"] == sum(fee for _, fee in lines)
    assert shortfall >= 0
    assert held == settlement.lots["left_after_cents"].sum() + prepaid // 12 + letters["prepaid_used_cents"]
    if letters["refill_cents"] > 0:
        assert letters["balance_after_cents"] + letters["pending_cents"] == -letters["forecast_cents"]
    if shortfall > 0:
        assert letters["prepaid_used_cents"] == -(prepaid // 12)
        unscoped = settlement.lots.filter(pl.col("slugs").is_null() | (pl.col("slugs") == "x;y"))
        assert (unscoped["left_before_cents"] + unscoped["used_cents"]).sum() == 0
    booked_uses = settlement.movements.filter(pl.col("line_id") != "").group_by("line_id").agg(pl.sum("amount_cents"))
    fees = {f"{n:032d}": fee for n, (_, fee) in enumerate(lines)}
    assert all(-used <= fees[line] for line, used in booked_uses.iter_rows())
    assert booked_uses["amount_cents"].sum() == letters["free_used_cents"] + letters["prepaid_used_cents"]


def test_the_last_cent_of_a_lot_of_a_line_and_of_the_balance_counts(given):
    settlement = settle_credits(
        given.fees({"fee_cents": 1}, {"fee_cents": 2}, {"fee_cents": 1}),
        given.lots({"grant_id": "a", "left_before_cents": 1}, {"grant_id": "b", "left_before_cents": 1, "priority": 2}),
        given.accounts({"prepaid_before_cents": 5}),
        given.period(),
    )

    assert used_by_lot(settlement) == {"a": -1, "b": -1}
    assert statement_of(settlement)["prepaid_used_cents"] == -2


def test_many_lots_pay_in_their_order(given):
    lots = ({"grant_id": f"g{number}", "left_before_cents": 1, "priority": -number} for number in range(40))
    settlement = settle_credits(given.fees({"fee_cents": 25}), given.lots(*lots), given.accounts({}), given.period())

    used = used_by_lot(settlement)
    assert {grant for grant in used if used[grant]} == {f"g{number}" for number in range(15, 40)}


@pytest.mark.parametrize(
    ("fees", "lots", "account", "is_due"),
    [
        ([{"fee_cents": 0}], [], {}, True),
        ([], [{"grant_id": "g", "left_before_cents": 1, "expires_at": None}], {}, True),
        ([], [], {"prepaid_before_cents": 1}, True),
        ([], [], {"custom_refill_cents": 1}, True),
        ([], [], {}, False),
    ],
    ids=["a line", "a free cent", "a prepaid cent", "a refill", "nothing"],
)
def test_a_statement_is_due_for_a_line_a_credit_or_a_refill(given, fees, lots, account, is_due):
    settlement = settle_credits(given.fees(*fees), given.lots(*lots), given.accounts(account), given.period())

    assert settlement.statements["is_due"].to_list() == [is_due]

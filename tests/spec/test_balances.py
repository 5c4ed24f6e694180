"""How a month opens from the one before: grants count once, refills count when they are paid."""

from datetime import UTC, date, datetime, timedelta

import dataframely as dy
import polars as pl
import pytest

from billing_pipeline.rules.balances import (
    BasisHashes,
    basis_hash,
    carry_refills,
    current_organisations,
    enter_grants,
    open_accounts,
    open_lots,
)
from billing_pipeline.rules.credits import settle_credits
from billing_pipeline.tables.invoices import SpecificDrafts

SEPTEMBER, OCTOBER, NOVEMBER = (datetime(2026, month, 1, tzinfo=UTC) for month in (9, 10, 11))


def enter(given, *grants, organisations=({"owner_id": "acme"},), opened=()):
    current = current_organisations(given.organisations(*organisations))
    return enter_grants(given.grants(*grants), given.opened(*opened), current, given.period())


def test_a_grant_that_landed_enters_with_its_full_amount_and_is_booked_as_an_opening(given):
    grants = ({"grant_id": "coupon", "granted_cents": 20_00},)
    entered = enter(given, *grants)
    lots = open_lots(given.carried_lots(), entered.opened, given.grants(*grants), given.takeovers(), given.period())

    assert entered.opened.select("grant_id", "payer_id", "granted_cents", "opened_month").rows() == [
        ("coupon", "acme", 20_00, "2026-10")
    ]
    assert lots.select("grant_id", "granted_cents", "left_before_cents").rows() == [("coupon", 20_00, 20_00)]
    assert openings(given, entered) == [("opening", "coupon", 20_00)]


def openings(given, entered, organisations=({"owner_id": "acme"},)):
    opened = open_month(given, opened=entered.opened, organisations=organisations)
    return opened.movements.select(pl.col("kind").cast(pl.String), "grant_id", "amount_cents").rows()


def open_month(
    given,
    *,
    previous=(),
    lots=(),
    refills=(),
    opened=None,
    payments=(),
    invoices=(),
    agreements=(),
    organisations=({"owner_id": "acme"},),
):
    return open_accounts(
        given.statements(*previous),
        given.carried_lots(*lots),
        given.refills(*refills),
        opened if opened is not None else given.opened(),
        given.payments(*payments),
        given.refill_invoices(*invoices),
        given.agreements(*agreements),
        given.organisations(*organisations),
        given.period(),
    )


def account_of(opened):
    (account,) = opened.accounts.to_dicts()
    return account


@pytest.mark.parametrize(
    ("validity", "enters"),
    [
        ({"starts_at": NOVEMBER}, False),
        ({"starts_at": datetime(2026, 10, 31, 23, tzinfo=UTC)}, True),
        ({"starts_at": SEPTEMBER, "expires_at": OCTOBER}, False),
        ({"starts_at": SEPTEMBER, "expires_at": datetime(2026, 10, 1, 0, 0, 1, tzinfo=UTC)}, True),
        ({"starts_at": SEPTEMBER, "expires_at": None}, True),
    ],
)
def test_a_grant_enters_if_it_is_valid_at_some_moment_of_the_month(given, validity, enters):
    entered = enter(given, {"grant_id": "coupon", **validity})

    assert entered.opened.height == enters
    assert entered.problems.is_empty()


def test_a_grant_that_is_sent_twice_counts_once(given):
    grants = ({"grant_id": "coupon", "granted_cents": 20_00},)
    entered = enter(given, *grants)
    again = enter_grants(
        given.grants(*grants),
        entered.opened,
        current_organisations(given.organisations({"owner_id": "acme"})),
        given.period("2026-11"),
    )

    assert again.opened.equals(entered.opened)


def test_a_grant_for_a_past_month_that_lands_after_its_issue_counts_from_now_on(given):
    august = {"starts_at": datetime(2026, 8, 1, tzinfo=UTC), "expires_at": NOVEMBER}
    earlier = {"grant_id": "older", "granted_cents": 1_00, "opened_month": "2026-08"}
    entered = enter(given, {"grant_id": "late", **august}, opened=(earlier,))

    assert dict(entered.opened.select("grant_id", "opened_month").iter_rows()) == {
        "late": "2026-10", "older": "2026-08",
    }  # fmt: skip


SECOND = timedelta(seconds=1)


@pytest.mark.parametrize(
    ("expires_at", "pays", "is_left"),
    [
        (OCTOBER - SECOND, False, False),
        (OCTOBER, False, False),
        (OCTOBER + SECOND, True, False),
        (NOVEMBER - SECOND, True, False),
        (NOVEMBER, True, False),
        (NOVEMBER + SECOND, True, True),
    ],
    ids=["before", "with the first instant", "a second after", "a second before the end", "with the end", "after it"],
)
def test_a_coupon_pays_the_whole_period_if_it_is_valid_at_some_moment_of_it(given, expires_at, pays, is_left):
    grants = ({"grant_id": "coupon", "starts_at": SEPTEMBER, "expires_at": expires_at},)
    entered = enter(given, *grants)
    lots = open_lots(given.carried_lots(), entered.opened, given.grants(*grants), given.takeovers(), given.period())
    settlement = settle_credits(given.fees({"fee_cents": 15_00}), lots, given.accounts({}), given.period())

    (statement,) = settlement.statements.to_dicts()
    assert statement["free_used_cents"] == (-15_00 if pays else 0)
    assert statement["free_expired_cents"] == (-5_00 if pays and not is_left else 0)
    assert settlement.lots["left_after_cents"].sum() == (5_00 if is_left else 0)


@pytest.mark.parametrize(
    ("starts_at", "pays"), [(NOVEMBER - SECOND, True), (NOVEMBER, False), (NOVEMBER + SECOND, False)]
)
def test_a_coupon_that_starts_in_the_last_second_pays_the_whole_period(given, starts_at, pays):
    assert enter(given, {"grant_id": "coupon", "starts_at": starts_at}).opened.height == pays


def test_a_sub_organisations_grant_belongs_to_its_payer(given):
    organisations = ({"owner_id": "acme"}, {"owner_id": "lab", "payer_id": "acme"})
    entered = enter(given, {"grant_id": "coupon", "owner_id": "lab"}, organisations=organisations)

    assert entered.opened["payer_id"].to_list() == ["acme"]


def test_a_grant_that_is_sent_again_with_another_amount_neither_enters_twice_nor_changes(given):
    grants = ({"grant_id": "coupon", "granted_cents": 99_00},)
    earlier = {"grant_id": "coupon", "granted_cents": 20_00, "opened_month": "2026-09"}
    entered = enter(given, *grants, opened=(earlier,))
    lots = open_lots(given.carried_lots(), entered.opened, given.grants(*grants), given.takeovers(), given.period())

    assert entered.opened["granted_cents"].to_list() == [20_00]
    assert lots.is_empty(), "the coupon was used up"
    assert openings(given, entered) == []


def test_a_lot_is_carried_with_what_is_left_even_if_its_grant_was_withdrawn(given):
    carried = {
        "payer_id": "acme", "name": "Welcome", "priority": 1, "starts_at": SEPTEMBER, "granted_cents": 20_00,
        "expired_cents": 0,
    }  # fmt: skip
    previous = given.carried_lots(
        carried | {"grant_id": "a", "left_before_cents": 15_00, "used_cents": -5_00, "left_after_cents": 10_00},
        carried | {"grant_id": "b", "left_before_cents": 5_00, "used_cents": -5_00, "left_after_cents": 0},
    )
    lots = open_lots(previous, given.opened(), given.grants(), given.takeovers(), given.period())

    assert lots.select("grant_id", "granted_cents", "left_before_cents").rows() == [("a", 20_00, 10_00)]


def test_credits_in_another_currency_stay_out_and_are_named(given):
    entered = enter(
        given,
        {"grant_id": "dollars", "currency": "USD"},
        {"grant_id": "francs", "currency": "CHF"},
        {"grant_id": "euros"},
    )

    assert entered.opened["grant_id"].to_list() == ["euros"]
    ((payer, reason, detail),) = entered.problems.rows()
    assert (payer, reason) == ("acme", "currency")
    assert detail.startswith("2 credit grants are not in EUR: dollars (USD), francs (CHF)")


@pytest.mark.parametrize("organisations", [({"owner_id": "zeta"},), ({"owner_id": "acme", "payer_id": "gone"},)])
def test_a_grant_without_an_organisation_to_pay_for_stays_out_and_is_named(given, organisations):
    entered = enter(given, {"grant_id": "coupon"}, organisations=organisations)

    assert entered.opened.is_empty()
    ((_, reason, detail),) = entered.problems.rows()
    assert reason == "owner_missing"
    assert "coupon (acme)" in detail


def test_an_opening_balance_is_prepaid_once_and_a_free_grant_is_not(given):
    entered = enter(
        given,
        {"grant_id": "brought", "kind": "prepaid", "granted_cents": 691_35},
        {"grant_id": "coupon", "granted_cents": 5_00},
        opened=({"grant_id": "older", "kind": "prepaid", "granted_cents": 7_00, "opened_month": "2026-09"},),
    )

    account = account_of(open_month(given, opened=entered.opened))
    assert account["prepaid_before_cents"] == 691_35
    assert openings(given, entered) == [("opening", "brought", 691_35), ("opening", "coupon", 5_00)]


def test_an_opening_balance_is_not_a_lot(given):
    grants = ({"grant_id": "brought", "kind": "prepaid"},)
    entered = enter(given, *grants)

    assert open_lots(
        given.carried_lots(), entered.opened, given.grants(*grants), given.takeovers(), given.period()
    ).is_empty()


def test_the_prepaid_balance_is_what_the_month_before_left(given):
    statement = {
        "fees_cents": 4_00, "prepaid_before_cents": 10_00, "balance_before_cents": 10_00, "prepaid_used_cents": -4_00,
        "balance_after_cents": 6_00, "change_cents": -4_00,
    }  # fmt: skip
    account = account_of(open_month(given, previous=(statement,)))

    assert account["prepaid_before_cents"] == 6_00
    assert account["pending_cents"] == 0


REFILL = {"billing_month": "2026-09", "refill_cents": 100_00, "payable_cents": 120_00}
NUMBERED = {"billing_month": "2026-09", "number": "INV-2026-000007"}


def test_an_unpaid_refill_is_pending_and_not_prepaid(given):
    opened = open_month(given, refills=(REFILL,))

    assert account_of(opened)["prepaid_before_cents"] == 0
    assert account_of(opened)["pending_cents"] == 100_00
    assert opened.refills.height == 1
    assert opened.movements.is_empty()


@pytest.mark.parametrize(
    ("invoices", "payment"),
    [
        ((NUMBERED,), {"invoice_number": "INV-2026-000007"}),
        ((NUMBERED,), {"reference": "INV-2026-000007"}),
        ((NUMBERED,), {"reference": "acme/2026-09"}),
        ((), {"reference": "acme/2026-09"}),
        (({"billing_month": "2026-09"},), {"reference": "acme/2026-09"}),
        ((NUMBERED,), {"reference": "acme/2026-09", "owner_id": "lab"}),
    ],
)
def test_a_payment_that_names_the_invoice_makes_its_refill_prepaid(given, invoices, payment):
    organisations = ({"owner_id": "acme"}, {"owner_id": "lab", "payer_id": "acme"})
    opened = open_month(
        given, refills=(REFILL,), invoices=invoices, payments=({"paid_cents": 120_00, **payment},),
        organisations=organisations,
    )  # fmt: skip

    assert account_of(opened)["prepaid_before_cents"] == 100_00
    assert account_of(opened)["pending_cents"] == 0
    assert opened.refills.is_empty()
    assert opened.movements.select("grant_id", "amount_cents").rows() == [("2026-09", 100_00)]


FULL = {"reference": "acme/2026-09", "paid_cents": 120_00}


@pytest.mark.parametrize(
    "payments",
    [
        [FULL | {"paid_cents": 119_99}],
        [FULL | {"currency": "USD"}],
        [FULL | {"outcome": "failed"}],
        [FULL | {"owner_id": "zeta"}],
        [FULL | {"reference": "acme/2026-08"}],
        [FULL | {"reference": None}],
        [FULL | {"invoice_number": "INV-2026-000001"}],
        [FULL, FULL | {"outcome": "refunded", "paid_cents": 1}],
    ],
    ids=["too little", "currency", "failed", "a stranger", "other month", "unnamed", "other invoice", "refunded"],
)
def test_what_does_not_pay_the_invoice_leaves_its_refill_pending(given, payments):
    organisations = ({"owner_id": "acme"}, {"owner_id": "zeta"})
    opened = open_month(given, refills=(REFILL,), invoices=(NUMBERED,), payments=payments, organisations=organisations)

    assert opened.refills.height == 1
    assert opened.accounts["pending_cents"].to_list() == [100_00, 0]


@pytest.mark.parametrize("state", ["PENDING", "PROCESSING", "PAYMENTHELD"])
def test_the_refill_of_an_open_invoice_is_pending(given, state):
    """The state counts, not the payments: they are what moved it, or did not."""
    opened = open_month(given, refills=(REFILL,), invoices=(NUMBERED | {"state": state},), payments=(FULL,))

    assert account_of(opened)["pending_cents"] == 100_00
    assert opened.movements.is_empty()


def test_the_refill_of_a_paid_invoice_is_prepaid(given):
    opened = open_month(given, refills=(REFILL,), invoices=(NUMBERED | {"state": "PAID"},))

    assert (account_of(opened)["prepaid_before_cents"], account_of(opened)["pending_cents"]) == (100_00, 0)
    assert opened.movements["kind"].to_list() == ["settled"]


@pytest.mark.parametrize("state", ["WONTPAY", "CANCELED", "REFUNDED"])
def test_the_refill_of_an_invoice_that_nobody_will_pay_leaves_what_is_pending(given, state):
    opened = open_month(given, refills=(REFILL,), invoices=(NUMBERED | {"state": state},))

    assert (account_of(opened)["prepaid_before_cents"], account_of(opened)["pending_cents"]) == (0, 0)
    assert opened.refills.is_empty()
    assert opened.movements.select("kind", "grant_id", "amount_cents").rows() == [("given_up", "2026-09", 100_00)]


def test_part_payments_add_up(given):
    payments = (FULL | {"paid_cents": 70_00}, {"invoice_number": "INV-2026-000007", "paid_cents": 50_00})
    opened = open_month(given, refills=(REFILL,), invoices=(NUMBERED,), payments=payments)

    assert account_of(opened)["prepaid_before_cents"] == 100_00


def test_an_invoice_that_asks_for_nothing_is_settled_at_once(given):
    assert open_month(given, refills=(REFILL | {"payable_cents": 0},)).refills.is_empty()


def test_older_refills_stay_pending_together(given):
    opened = open_month(given, refills=(REFILL, REFILL | {"billing_month": "2026-08"}), payments=(FULL,))

    assert account_of(opened)["pending_cents"] == 100_00
    assert opened.refills["billing_month"].to_list() == ["2026-08"]


def test_a_negotiated_refill_reaches_the_account(given):
    opened = open_month(given, agreements=({"owner_id": "acme", "refill_cents": 0},))

    assert account_of(opened)["custom_refill_cents"] == 0


@pytest.mark.parametrize(
    ("closed_on", "is_closed"), [(None, False), (date(2026, 10, 31), True), (date(2026, 11, 1), False)]
)
def test_an_organisation_is_closed_if_it_closed_by_the_periods_last_day(given, closed_on, is_closed):
    opened = open_month(given, organisations=({"owner_id": "acme", "closed_on": closed_on},))

    assert account_of(opened)["is_closed"] == is_closed


def test_whoever_paid_at_some_moment_of_the_month_has_an_account_and_a_sub_organisation_has_none(given):
    middle = datetime(2026, 10, 15, tzinfo=UTC)
    opened = open_month(
        given,
        organisations=(
            {"owner_id": "acme"},
            {"owner_id": "moved", "valid_to": middle},
            {"owner_id": "moved", "valid_from": middle, "payer_id": "acme"},
            {"owner_id": "sub", "payer_id": "acme"},
        ),
    )

    assert opened.accounts["payer_id"].to_list() == ["acme", "moved"]


def test_the_current_version_of_an_organisation_is_its_last(given):
    middle = datetime(2026, 10, 15, tzinfo=UTC)
    current = current_organisations(
        given.organisations(
            {"owner_id": "acme", "valid_from": middle, "name": "New"},
            {"owner_id": "acme", "valid_to": middle, "name": "Old"},
        )
    )

    assert current["name"].to_list() == ["New"]


@pytest.mark.parametrize(
    ("previous", "organisations"),
    [(({"payer_id": "gone"},), ()), ((), ({"owner_id": "sub", "payer_id": "gone"},))],
    ids=["holds a balance", "pays for another"],
)
def test_a_payer_without_an_organisations_row_gets_no_account_and_is_named(given, previous, organisations):
    opened = open_month(given, previous=previous, organisations=organisations)

    assert opened.accounts.is_empty()
    assert opened.problems.select("payer_id", "reason").rows() == [("gone", "organisation_missing")]


def test_a_balance_in_another_currency_is_never_converted(given):
    opened = open_month(given, previous=({"currency": "USD"},), refills=(REFILL | {"currency": "USD"},))

    assert opened.accounts.is_empty()
    assert opened.refills.height == 1, "what was pending stays pending"
    ((payer, reason, detail),) = opened.problems.rows()
    assert (payer, reason) == ("acme", "currency_changed")
    assert "its balance is in USD, its organisations row says EUR" in detail


def test_the_months_own_refill_is_pending_after_it_with_what_its_invoice_asks(given):
    settlement, drafted = given.bill(
        given.charges({"payer_id": "acme", "charge_cents": 10_00}),
        given.lots(),
        given.accounts({"payer_id": "acme", "pending_cents": 0}, {"payer_id": "idle", "prepaid_before_cents": 1}),
        vat_ppm=200_000,
    )
    refills = carry_refills(given.refills(REFILL), settlement.statements, drafted.drafts, SpecificDrafts.create_empty())

    assert refills.select("payer_id", "billing_month", "refill_cents", "payable_cents").rows() == [
        ("acme", "2026-09", 100_00, 120_00),
        ("acme", "2026-10", 10_00, 24_00),
    ]


def hash_of(given, *, fees=10_00, arrivals=(), payer="acme"):
    settlement = settle_credits(
        given.fees({"fee_cents": fees}), given.lots(), given.accounts({}, {"payer_id": "zeta"}), given.period()
    )
    hashes = basis_hash(
        given.accounts({}, {"payer_id": "zeta"}),
        settlement.statements,
        settlement.movements,
        given.movements(*arrivals),
        given.takeovers(),
    )
    return dict(hashes.iter_rows())[payer]


SETTLED = {"kind": "settled", "grant_id": "2026-09", "amount_cents": 100_00}


def test_the_basis_is_the_same_for_the_same_predecessor_and_another_for_another(given):
    assert hash_of(given) == hash_of(given)
    assert hash_of(given) != hash_of(given, fees=10_01)
    assert hash_of(given) != hash_of(given, arrivals=(SETTLED,))
    assert hash_of(given, arrivals=(SETTLED,)) != hash_of(given, arrivals=(SETTLED | {"amount_cents": 1},))


def test_the_basis_of_one_payer_does_not_depend_on_another(given):
    assert hash_of(given, payer="zeta") == hash_of(given, payer="zeta", fees=99_00, arrivals=(SETTLED,))


def test_a_refill_that_is_given_up_is_part_of_the_basis(given):
    assert hash_of(given, arrivals=(SETTLED,)) != hash_of(given, arrivals=(SETTLED | {"kind": "given_up"},))
    assert hash_of(given, arrivals=(SETTLED | {"kind": "given_up"},)) != hash_of(given)


def test_grants_that_enter_are_no_part_of_the_basis(given):
    assert hash_of(given) == hash_of(given, arrivals=({"kind": "opening", "grant_id": "g", "amount_cents": 1},))


def test_the_basis_of_a_first_month_is_known_in_advance(given):
    hashes = basis_hash(given.accounts({}), given.statements(), given.movements(), given.movements(), given.takeovers())

    # printf 'statements\nmovements\nsettled\n' | sha256sum
    assert hashes["basis_hash"].to_list() == ["ffdabcd5138e652fc56f6910283c729dec6e92a65f96c61f1818e85b1530e503"]


def test_the_order_of_the_rows_does_not_change_the_basis(given):
    statements = given.statements({})
    movements = given.movements(*(SETTLED | {"grant_id": f"2026-0{month}"} for month in range(1, 9)))
    accounts = given.accounts({})

    assert basis_hash(accounts, statements, movements, movements, given.takeovers()).equals(
        basis_hash(accounts, statements, movements.reverse(), movements.reverse(), given.takeovers())
    )


def test_the_last_cent_of_a_lot_is_carried_and_nothing_is_not(given):
    lot = {"payer_id": "acme", "name": "g", "priority": 1, "starts_at": SEPTEMBER, "granted_cents": 5,
           "left_before_cents": 5, "expired_cents": 0}  # fmt: skip
    carried = given.carried_lots(
        lot | {"grant_id": "cent", "used_cents": -4, "left_after_cents": 1},
        lot | {"grant_id": "none", "used_cents": -5, "left_after_cents": 0},
    )
    lots = open_lots(carried, given.opened(), given.grants(), given.takeovers(), given.period())

    assert lots.select("grant_id", "left_before_cents").rows() == [("cent", 1)]


def test_a_new_payer_has_no_months_before(given):
    account = account_of(open_month(given))

    assert account["billed_months_before"] == 0
    assert (account["prepaid_before_cents"], account["pending_cents"]) == (0, 0)


def test_a_refill_of_one_cent_is_pending_too(given):
    settlement, drafted = given.bill(
        given.charges({"payer_id": "acme", "charge_cents": 1}), given.lots(), given.accounts({})
    )
    refills = carry_refills(given.refills(), settlement.statements, drafted.drafts, SpecificDrafts.create_empty())

    assert refills["refill_cents"].to_list() == [1]


def test_a_refund_takes_back_what_it_says_and_no_more(given):
    payments = (FULL | {"paid_cents": 130_00}, FULL | {"outcome": "refunded", "paid_cents": 10_00})

    assert open_month(given, refills=(REFILL,), payments=payments).refills.is_empty()


def test_a_cent_that_nobody_paid_is_still_asked_for(given):
    assert open_month(given, refills=(REFILL | {"refill_cents": 1, "payable_cents": 1},)).refills.height == 1


@pytest.mark.parametrize(("granted_cents", "booked"), [(1, [("opening", "coupon", 1)]), (0, [])])
def test_a_grant_of_a_cent_is_booked_and_one_of_nothing_is_not(given, granted_cents, booked):
    entered = enter(given, {"grant_id": "coupon", "granted_cents": granted_cents})

    assert openings(given, entered) == booked


def test_of_balances_in_several_other_currencies_the_first_is_named(given):
    opened = open_month(
        given,
        previous=({"currency": "USD"}, {"payer_id": "lab", "currency": "GBP"}),
        organisations=({"owner_id": "acme"}, {"owner_id": "lab", "payer_id": "acme"}),
    )

    (detail,) = opened.problems.filter(payer_id="acme")["detail"]
    assert "its balance is in GBP, its organisations row says EUR" in detail


def test_a_payer_has_one_basis_of_64_signs_and_one_invoice_a_month(given):
    assert given.refill_invoices(NUMBERED, NUMBERED | {"payer_id": "lab"}).height == 2
    with pytest.raises(dy.exc.ValidationError, match="primary_key"):
        given.refill_invoices(NUMBERED, NUMBERED | {"number": "INV-2026-000008"})
    with pytest.raises(dy.exc.ValidationError, match="primary_key"):
        given.basis(["acme", "acme"])
    for length in (63, 65):
        with pytest.raises(dy.exc.ValidationError, match="basis_hash"):
            BasisHashes.validate(pl.DataFrame({"payer_id": ["acme"], "basis_hash": ["0" * length]}))

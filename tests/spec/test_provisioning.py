"""What the next month is estimated to cost, and from which invoice on it is asked for in advance."""

import csv
from decimal import Decimal
from pathlib import Path

import polars as pl
import pytest

from billing_pipeline.rules.balances import open_accounts
from billing_pipeline.rules.credits import settle_credits
from billing_pipeline.rules.interim import billed_by_period
from billing_pipeline.rules.provisioning import Strategy, provision_accounts
from billing_pipeline.rules.spending import assign_spend_rules, commitments

SAME, DAILY, MEAN, COMMITTED = Strategy


def settled(given, account, *fees, strategy=SAME, from_month=0, committed=(), month="2026-10", by="month"):
    """The statement of `acme` under a strategy; `committed` are the amounts of its commitments."""
    period = given.period(month)
    rules = [{"rule_id": f"c{n}", "kind": "commitment", "owner_id": "acme"} | rule for n, rule in enumerate(committed)]
    assigned = assign_spend_rules(given.spend_rules(*rules), given.charges(), given.organisations({"owner_id": "acme"}))
    fee_rows = given.fees(*fees)
    accounts = provision_accounts(
        given.accounts(account),
        fee_rows,
        commitments(assigned.rules),
        strategy,
        from_month,
        period,
        by_period(given, by),
    )
    (statement,) = settle_credits(fee_rows, given.lots(), accounts, period).statements.to_dicts()
    return statement


def by_period(given, kind="month"):
    """Whether `acme` is invoiced by the day or week."""
    return billed_by_period(given.organisations({"owner_id": "acme", "billing_period": kind}))


ONE_OFF = {"fee_cents": 99_00, "is_recurring": False}


@pytest.mark.parametrize("strategy", list(Strategy))
def test_one_off_charges_are_not_expected_again(given, strategy):
    statement = settled(given, {}, {"fee_cents": 10_00}, ONE_OFF, strategy=strategy, month="2026-07")

    assert statement["recurring_cents"] == 10_00
    assert statement["forecast_cents"] == -10_00
    assert statement["refill_cents"] == 10_00


@pytest.mark.parametrize("strategy", list(Strategy))
def test_corrections_of_older_months_are_not_expected_again(given, strategy):
    lowered = {"fee_cents": 7_00, "charge_cents": 10_00, "correction_cents": -3_00}
    statement = settled(given, {}, lowered, strategy=strategy, month="2026-07")

    assert (statement["fees_cents"], statement["recurring_cents"]) == (7_00, 10_00)
    assert statement["forecast_cents"] == -10_00


def test_the_same_as_last_month_does_not_count_days(given):
    assert settled(given, {}, {"fee_cents": 31_00}, month="2026-01")["forecast_cents"] == -31_00


@pytest.mark.parametrize(
    ("month", "fee", "estimate"),
    [
        ("2026-10", 31_00, 30_00),
        ("2026-01", 31_00, 28_00),
        ("2024-01", 31_00, 29_00),
        ("2026-02", 28_00, 31_00),
        ("2026-07", 31_01, 31_01),
        # 0.15 × 30 / 31 is 0.1451…; 0.45 × 31 / 30 is exactly 0.465.
        ("2026-10", 15, 15),
        ("2026-09", 45, 47),
    ],
)
def test_a_daily_rate_counts_the_days_of_both_months_and_rounds_half_away_from_zero(given, month, fee, estimate):
    statement = settled(given, {}, {"fee_cents": fee}, strategy=DAILY, month=month)

    assert (statement["forecast_cents"], statement["estimate_basis"]) == (-estimate, "daily_rate")


@pytest.mark.parametrize(
    ("before", "estimate"),
    [
        ((None, None), 10_00),
        ((20_00, None), 15_00),
        ((20_00, 60_00), 30_00),
        ((0, 0), 3_33),
        ((10_01, None), 10_01),
        ((10_00, 10_02), 10_01),
    ],
)
def test_a_mean_of_three_takes_the_statements_that_there_are(given, before, estimate):
    account = {"recurring_1_before_cents": before[0], "recurring_2_before_cents": before[1]}

    assert settled(given, account, {"fee_cents": 10_00}, strategy=MEAN)["forecast_cents"] == -estimate


@pytest.mark.parametrize(
    ("commitments", "estimate", "basis"),
    [
        ([], 10_00, "same_as_last_month"),
        ([{"amount_cents": 50_00}], 50_00, "committed"),
        ([{"amount_cents": 50_00}, {"amount_cents": 7_00, "slug": "apps.s"}], 57_00, "committed"),
        ([{"amount_cents": 5_00, "kind": "minimum"}], 10_00, "same_as_last_month"),
        ([{"amount_cents": 0}], 0, "committed"),
    ],
)
def test_what_is_committed_is_estimated_and_without_a_commitment_what_recurred(given, commitments, estimate, basis):
    statement = settled(given, {}, {"fee_cents": 10_00}, strategy=COMMITTED, committed=commitments)

    assert (statement["forecast_cents"], statement["estimate_basis"]) == (-estimate, basis)


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("final", [{"is_closed": True}, {"successor_id": "holding"}])
def test_of_a_payer_that_closed_or_moved_nothing_is_estimated(given, strategy, final):
    account = final | {"recurring_1_before_cents": 50_00, "custom_refill_cents": 3_00}
    statement = settled(
        given, account, {"fee_cents": 10_00}, strategy=strategy, committed=[{"amount_cents": 50_00}], from_month=9
    )

    letters = ("forecast_cents", "refill_cents", "is_custom_refill", "estimate_basis")
    assert tuple(statement[letter] for letter in letters) == (0, 0, False, "final")


@pytest.mark.parametrize(
    ("billed_before", "from_month", "refill", "is_custom"),
    [(0, 0, 10_00, False), (0, 1, 0, True), (1, 1, 10_00, False), (1, 2, 0, True), (2, 2, 10_00, False)],
)
def test_the_first_statements_ask_for_no_refill_and_say_so(given, billed_before, from_month, refill, is_custom):
    account = {"billed_months_before": billed_before}
    statement = settled(given, account, {"fee_cents": 10_00}, from_month=from_month)

    assert (statement["refill_cents"], statement["is_custom_refill"]) == (refill, is_custom)
    assert statement["forecast_cents"] == -10_00


def test_a_refill_that_was_negotiated_holds_from_the_first_month_on(given):
    assert settled(given, {"custom_refill_cents": 7_00}, {"fee_cents": 10_00}, from_month=1)["refill_cents"] == 7_00


def history(given, **statement):
    """What the account of November knows of its statements, after one of October."""
    organisations = given.organisations({"owner_id": "acme"})
    opened = open_accounts(
        given.statements(statement), given.carried_lots(), given.refills(), given.opened(), given.payments(),
        given.refill_invoices(), given.agreements(), organisations, given.period("2026-11"),
    )  # fmt: skip
    (account,) = opened.accounts.to_dicts()
    return [account[name] for name in ("billed_months_before", "recurring_1_before_cents", "recurring_2_before_cents")]


def test_a_statement_hands_on_what_recurred_and_how_many_there_were(given):
    known = {"billed_months_before": 4, "recurring_1_before_cents": 2_00, "recurring_2_before_cents": 3_00}

    assert history(given, **known, recurring_cents=1_00) == [5, 1_00, 2_00]


def test_a_month_in_which_nothing_was_due_is_no_statement(given):
    known = {"billed_months_before": 4, "recurring_1_before_cents": 2_00, "recurring_2_before_cents": 3_00}

    assert history(given, **known, is_due=False) == [4, 2_00, 3_00]
    assert history(given, is_due=False, recurring_1_before_cents=None, recurring_2_before_cents=None) == [0, None, None]


def test_the_published_statements_estimate_all_of_their_fees(given):
    golden = csv.DictReader((Path(__file__).parent / "golden_credit_statements.csv").open(encoding="utf-8"))
    for row in golden:
        fees, estimate = (int(Decimal(row[letter]) * 100) for letter in ("fees", "f"))
        assert settled(given, {}, {"fee_cents": fees})["forecast_cents"] == estimate, row["case"]


@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("by", ["day", "week"])
def test_nothing_is_estimated_of_who_is_invoiced_by_the_day_or_week(given, strategy, by):
    statement = settled(given, {}, {"fee_cents": 10_00}, strategy=strategy, from_month=3, by=by)

    told = (statement["forecast_cents"], statement["refill_cents"], statement["estimate_basis"])
    assert told == (0, 0, "interim")
    assert not statement["is_custom_refill"]


def test_nothing_is_estimated_of_who_closed_is_paid_for_or_used_nothing(given):
    accounts = given.accounts(
        {"payer_id": "closed", "is_closed": True}, {"payer_id": "idle"}, {"payer_id": "sub", "successor_id": "head"}
    )
    fees = given.fees({"payer_id": "closed", "fee_cents": 5_00}, {"payer_id": "sub", "fee_cents": 5_00})

    provisioned = provision_accounts(
        accounts, fees, commitments(_no_rules(given)), SAME, 0, given.period(), by_period(given)
    )

    assert provisioned.select("payer_id", "estimate_cents", pl.col("estimate_basis").cast(pl.String)).rows() == [
        ("closed", 0, "final"), ("idle", 0, "same_as_last_month"), ("sub", 0, "final"),
    ]  # fmt: skip


def _no_rules(given):
    return assign_spend_rules(given.spend_rules(), given.charges(), given.organisations({"owner_id": "acme"})).rules

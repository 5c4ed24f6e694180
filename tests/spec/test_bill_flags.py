"""Bills that are made as they stand, but that somebody should look at."""

import polars as pl
import pytest

from billing_pipeline.rules.bill_flags import BillLimits, fees_are_steady, flag_bills, flag_reissues
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.invoices import Drafts

LIMITS = BillLimits(regul_times=100, drift_percent=50)
NONE_REFUSED = pl.DataFrame(schema=dict.fromkeys(("payer_id", "reason", "detail"), pl.String))


def reasons(given, statement, before=None, limits=LIMITS) -> list[str]:
    earlier = given.statements(*([before] if before else []))
    return flag_bills(given.statements(balanced(statement)), earlier, NONE_REFUSED, limits)["reason"].to_list()


def balanced(statement: dict) -> dict:
    """A statement with these letters whose formulas hold."""
    prepaid, used = statement.get("prepaid_before_cents", 0), statement.get("prepaid_used_cents", 0)
    return statement | {"balance_before_cents": prepaid, "balance_after_cents": prepaid + used, "change_cents": used}


@pytest.mark.parametrize(("fees", "flagged"), [(101_00, []), (101_01, ["regul_big"])])
def test_fees_beyond_a_hundred_times_what_was_provisioned_are_flagged(given, fees, flagged):
    statement = {"fees_cents": fees, "prepaid_before_cents": 1_00, "prepaid_used_cents": -1_00}

    assert reasons(given, statement) == flagged


def test_what_was_never_provisioned_is_no_overconsumption(given):
    assert reasons(given, {"fees_cents": 10_000_00}) == []


@pytest.mark.parametrize(
    ("fees", "flagged"), [(150_00, []), (150_01, ["drift"]), (50_00, []), (49_99, ["drift"]), (0, ["drift"])]
)
def test_fees_that_change_by_more_than_half_are_flagged(given, fees, flagged):
    before = {"fees_cents": 100_00}

    assert reasons(given, {"fees_cents": fees}, before) == flagged
    steady = fees_are_steady(given.statements({"fees_cents": fees}), given.statements(before), LIMITS)
    assert steady.holds is not bool(flagged)


def test_a_first_month_has_nothing_to_differ_from(given):
    assert reasons(given, {"fees_cents": 100_00}) == []
    assert fees_are_steady(given.statements({"fees_cents": 100_00}), given.statements(), LIMITS).holds


@pytest.mark.parametrize(("before", "flagged"), [(0, []), (1, ["drift"])])
def test_fees_of_nothing_are_no_fees_to_differ_from_and_those_of_a_cent_are(given, before, flagged):
    earlier = {"fees_cents": before}

    assert reasons(given, {"fees_cents": 100_00}, earlier) == flagged
    steady = fees_are_steady(given.statements({"fees_cents": 100_00}), given.statements(earlier), LIMITS)
    assert steady.holds is not bool(flagged)


def test_a_provision_of_a_cent_can_be_exceeded(given):
    assert reasons(given, {"fees_cents": 1_02, "prepaid_before_cents": 1, "prepaid_used_cents": -1}) == ["regul_big"]


def test_a_refused_payment_is_flagged_for_its_payer(given):
    refused = pl.DataFrame(
        [{"payer_id": "acme", "reason": "refund_excess", "detail": f"payment p{number}"} for number in (2, 1)]
    )

    flags = flag_bills(given.statements(), given.statements(), refused, LIMITS)

    assert flags.rows() == [("acme", "refund_excess", "payment p1; payment p2")]


def test_how_much_is_much_is_what_the_provider_says(given):
    before, limits = {"fees_cents": 100_00}, BillLimits(regul_times=2, drift_percent=10)
    prepaid = {"prepaid_before_cents": 40_00, "prepaid_used_cents": -40_00}

    assert reasons(given, {"fees_cents": 110_00}, before, limits) == []
    assert reasons(given, {"fees_cents": 110_01}, before, limits) == ["drift"]
    assert reasons(given, {"fees_cents": 120_00} | prepaid, None, limits) == []
    assert reasons(given, {"fees_cents": 120_01} | prepaid, None, limits) == ["regul_big"]


def test_the_fees_of_the_fleet_may_drift_while_nobodys_do(given):
    payers = [{"payer_id": f"payer-{number}", "fees_cents": 100_00} for number in range(3)]

    assert not fees_are_steady(given.statements(*payers), given.statements(payers[0]), LIMITS).holds
    assert flag_bills(given.statements(*payers), given.statements(payers[0]), NONE_REFUSED, LIMITS).is_empty()


def drafts(**fees: int) -> pl.DataFrame:
    """Drafts of payers by name, as far as they are compared."""
    rows = [
        {"payer_id": payer, "currency": "EUR", "fees_cents": c, "payable_cents": 2 * c} for payer, c in fees.items()
    ]
    return pl.DataFrame(rows, schema={name: Drafts.create_empty().schema[name] for name in rows[0]})


def test_a_month_that_is_issued_and_closed_again_tells_what_would_differ_and_for_whom():
    flags = flag_reissues(
        drafts(same=5_00, more=9_00, new=1_00), drafts(same=5_00, more=8_00, gone=2_00), Month(2026, 1)
    )

    assert flags["reason"].unique().to_list() == ["already_issued"]
    assert {payer: detail.split(";")[0] for payer, _, detail in flags.iter_rows()} == {
        "gone": "fees of 0 cents and 0 to pay now, 200 and 400 as issued",
        "more": "fees of 900 cents and 1800 to pay now, 800 and 1600 as issued",
        "new": "fees of 100 cents and 200 to pay now, 0 and 0 as issued",
    }
    assert flags["detail"].str.ends_with("run: billing correct 2026-01").all()

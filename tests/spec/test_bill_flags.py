"""Bills that are made as they stand, but that somebody should look at."""

import polars as pl
import pytest

from billing_pipeline.rules.bill_flags import fees_are_steady, flag_bills

NONE_REFUSED = pl.DataFrame(schema=dict.fromkeys(("payer_id", "reason", "detail"), pl.String))


def reasons(given, statement, before=None, refused=NONE_REFUSED) -> list[str]:
    earlier = given.statements(*([before] if before else []))
    return flag_bills(given.statements(balanced(statement)), earlier, refused)["reason"].to_list()


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
    steady = fees_are_steady(given.statements({"fees_cents": fees}), given.statements(before))
    assert steady.holds is not bool(flagged)


def test_a_first_month_has_nothing_to_differ_from(given):
    assert reasons(given, {"fees_cents": 100_00}) == []
    assert fees_are_steady(given.statements({"fees_cents": 100_00}), given.statements()).holds


def test_a_refused_payment_is_flagged_for_its_payer(given):
    refused = pl.DataFrame(
        [{"payer_id": "acme", "reason": "refund_excess", "detail": f"payment p{number}"} for number in (2, 1)]
    )

    flags = flag_bills(given.statements(), given.statements(), refused)

    assert flags.rows() == [("acme", "refund_excess", "payment p1; payment p2")]

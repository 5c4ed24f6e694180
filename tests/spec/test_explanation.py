"""Why an estimate or a refill is what it is: the steps of f and h for every strategy and for who is asked nothing."""

import polars as pl
import pytest

from billing_pipeline.rules.explanation import MonthOfFigures, explain_month
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.spending import InvoiceRules
from billing_pipeline.tables.accounts import Prices, SpendRules
from billing_pipeline.tables.credits import Adjustments, AdjustmentShares, CreditLots
from billing_pipeline.tables.explanations import Lifetimes
from billing_pipeline.tables.rating import ChargeShares, Segments


@pytest.fixture
def explained(given):
    """The steps of a figure of `acme` in October 2026, which was charged 100.00 and whose statement says more."""

    def explain(figure: str, statement: dict, agreements=(), commitments=(), refills=(), **month: object) -> list[dict]:
        charges = given.charges({"payer_id": "acme", "charge_cents": 100_00})
        settlement, drafted = given.bill(charges, given.lots(), given.accounts({}))
        columns = [pl.lit(value).alias(name) for name, value in statement.items()]
        fees = given.fees({"fee_cents": 100_00})
        empty = {name: table.create_empty() for name, table in _UNUSED.items()}
        steps = explain_month(
            MonthOfFigures(
                month=Month(2026, 10),
                drafts=drafted.drafts,
                lines=drafted.lines,
                statements=settlement.statements.with_columns(columns),
                fees=fees,
                movements=settlement.movements,
                opened_grants=given.opened(),
                pending=given.refills(*refills),
                agreements=given.agreements(*agreements),
                commitments=_rules(*commitments),
                **empty,
                **({"provision_from_month": 0} | month),
            )
        )
        return steps.filter(figure=figure).to_dicts()

    return explain


_UNUSED = {
    "adjustments": Adjustments, "adjustment_shares": AdjustmentShares, "lots": CreditLots, "segments": Segments,
    "lifetimes_before": Lifetimes, "charge_shares": ChargeShares, "prices": Prices,
    "free_quantities": SpendRules,
}  # fmt: skip


def _rules(*rows) -> pl.DataFrame:
    schema = InvoiceRules.create_empty().schema
    defaults = dict.fromkeys(schema) | {"payer_id": "acme", "kind": "commitment", "is_public": False}
    return InvoiceRules.validate(pl.DataFrame([defaults | row for row in rows], schema=schema), cast=True)


def amounts(steps: list[dict]) -> list[tuple]:
    return [(step["what"], step["amount_cents"]) for step in steps]


def test_the_same_as_last_month_is_what_recurs(explained):
    assert amounts(explained("forecast", {})) == [("recurring", -100_00)]


def test_a_mean_names_the_statements_it_is_of(explained):
    steps = explained(
        "forecast",
        {"estimate_basis": "mean_of_three", "recurring_1_before_cents": 50_00, "forecast_cents": -75_00},
    )

    assert [(int(step["quantity"]), int(step["unit_price"]), int(step["per"])) for step in steps[:-1]] == [
        (100_00, -1, 2), (50_00, -1, 2),
    ]  # fmt: skip
    assert steps[1]["text"] == "of the statement before"
    assert amounts(steps)[-1] == ("strategy", -75_00)


def test_an_estimate_by_the_day_is_rounded_once(explained):
    steps = explained("forecast", {"estimate_basis": "daily_rate", "forecast_cents": -96_77})

    assert (int(steps[0]["quantity"]), int(steps[0]["unit_price"]), int(steps[0]["per"])) == (100_00, -30, 31)
    assert amounts(steps) == [("recurring", None), ("strategy", -96_77)]


def test_what_was_committed_to_is_named_rule_by_rule(explained):
    steps = explained(
        "forecast",
        {"estimate_basis": "committed", "forecast_cents": -300_00},
        commitments=[
            {"rule_id": "apps", "name": "Apps", "amount_cents": 100_00, "slug": "apps.s"},
            {"rule_id": "all", "name": "Contract", "amount_cents": 200_00},
        ],
    )

    assert [(step["text"], step["amount_cents"]) for step in steps] == [
        ("Apps (apps)", -100_00), ("Contract (all)", -200_00),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("successor", "text"), [(None, "closed: nothing is estimated"), ("head", "head pays from now on")]
)
def test_nothing_is_estimated_of_who_closed_or_is_paid_for(explained, successor, text):
    steps = explained("forecast", {"estimate_basis": "final", "forecast_cents": 0, "successor_id": successor})

    assert amounts(steps) == [("recurring", -100_00), ("closed", 100_00)]
    assert steps[-1]["text"] == text


def test_a_refill_that_was_agreed_on_names_who_did(explained):
    agreed = {"owner_id": "acme", "refill_cents": 5_00}
    steps = explained("refill", {"is_custom_refill": True, "refill_cents": 5_00}, agreements=[agreed])

    assert amounts(steps) == [("agreement", 5_00)]
    assert steps[0]["text"] == "sales: contract"


def test_a_refill_that_is_not_asked_for_yet_says_which_statement_it_is(explained):
    custom = {"is_custom_refill": True, "refill_cents": 0, "billed_months_before": 1}
    steps = explained("refill", custom, provision_from_month=3)

    assert amounts(steps) == [("not_yet", 0)]
    assert steps[0]["text"] == "statement 2 of the first 3, which ask for no refill"


def test_refills_that_were_taken_over_are_pending_under_who_holds_them(explained):
    taken = {"payer_id": "lab", "holder_id": "acme", "billing_month": "2026-09", "refill_cents": 7_00,
             "payable_cents": 7_00}  # fmt: skip
    steps = explained("pending", {"pending_cents": 7_00}, refills=[taken])

    assert [(step["text"], step["amount_cents"]) for step in steps] == [("2026-09 of lab", 7_00)]


def test_prepaid_credits_pay_no_more_than_free_ones_left_to_pay(explained):
    figures = {"fees_cents": 100_00, "free_used_cents": -60_00, "prepaid_before_cents": 50_00}

    assert amounts(explained("prepaid_used", figures))[-1] == ("prepaid_credit", -40_00)


def test_the_parts_of_what_lowers_fees_add_up_to_it_and_to_the_discount_of_each_line(given):
    charges = given.charges(
        {"payer_id": "acme", "charge_cents": 333}, {"payer_id": "acme", "charge_cents": 333, "slug": "pg.s"},
        {"payer_id": "acme", "charge_cents": 335, "slug": "pg.s"},
    )  # fmt: skip
    rules = (
        {"rule_id": "a", "kind": "discount", "rate_ppm": 100_000, "amount_cents": 50, "slug": "pg.s"},
        {"rule_id": "b", "kind": "maximum", "amount_cents": 700},
        {"rule_id": "c", "kind": "minimum", "amount_cents": 1_000},
    )

    fees, adjustments, shares = given.adjust_and_share(charges, given.organisations({"owner_id": "acme"}), *rules)

    # 66.8 -> 67, 50, and 884 - 700; the line of the minimum lowers nothing.
    lowering = adjustments.filter(pl.col("amount_cents") < 0)
    assert lowering["amount_cents"].to_list() == [-67, -50, -184]
    assert summed(shares, "adjustment_line_id") == dict(lowering[["line_id", "amount_cents"]].rows())
    lowered = fees.filter(pl.col("discount_cents") != 0)
    assert summed(shares, "line_id") == dict(lowered[["line_id", "discount_cents"]].rows())


def summed(shares: pl.DataFrame, name: str) -> dict[str, int]:
    return dict(shares.group_by(name).agg(pl.col("share_cents").sum()).rows())

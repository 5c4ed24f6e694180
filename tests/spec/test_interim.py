"""Interim invoices: which periods have ended, what a month to date lacks, and that nothing is asked for twice."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest
from hypothesis import example, settings
from hypothesis import given as drawn
from hypothesis import strategies as st

from billing_pipeline.rules.credits import settle_credits
from billing_pipeline.rules.interim import (
    BillingPeriod,
    DuePeriods,
    billed_by_period,
    draft_interims,
    due_periods,
    last_end,
)
from billing_pipeline.rules.invoicing import print_lines
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.spending import adjust_charges, assign_spend_rules, lowering_rules
from billing_pipeline.tables.corrections import CorrectionLines
from billing_pipeline.tables.invoices import InvoiceLines, ParkedOrganisations

DAY, WEEK = BillingPeriod
OCTOBER = Month(2026, 10)
END = date(2026, 10, 12)
NO_LINES = InvoiceLines.create_empty()


@pytest.mark.parametrize(
    ("kind", "today", "end"),
    [
        (DAY, date(2026, 10, 1), None),
        (DAY, date(2026, 10, 2), date(2026, 10, 2)),
        (DAY, date(2026, 10, 31), date(2026, 10, 31)),
        # The last day is the month's own.
        (DAY, date(2026, 11, 3), date(2026, 10, 31)),
        # October begins on a Thursday: its first week has four days.
        (WEEK, date(2026, 10, 4), None),
        (WEEK, date(2026, 10, 5), date(2026, 10, 5)),
        (WEEK, date(2026, 10, 11), date(2026, 10, 5)),
        (WEEK, date(2026, 10, 12), date(2026, 10, 12)),
        # Its last week has six.
        (WEEK, date(2026, 11, 3), date(2026, 10, 26)),
        (WEEK, date(2026, 9, 30), None),
    ],
)
def test_periods_end_at_midnight_or_on_sunday_inside_the_month(kind, today, end):
    assert last_end(kind, OCTOBER, today) == end


def test_a_month_that_begins_on_a_monday_has_no_week_before_it():
    assert last_end(WEEK, Month(2026, 6), date(2026, 6, 1)) is None
    assert last_end(WEEK, Month(2026, 6), date(2026, 6, 8)) == date(2026, 6, 8)


def test_the_week_in_which_clocks_change_is_an_hour_shorter():
    paris = Month(2026, 3).period(ZoneInfo("Europe/Paris"))
    to_sunday, to_the_one_before = paris.until(date(2026, 3, 30)), paris.until(date(2026, 3, 23))
    assert to_sunday.end == datetime(2026, 3, 29, 22, tzinfo=UTC)
    assert (to_sunday.end - to_the_one_before.end).total_seconds() == 167 * 3600
    assert paris.until(date(2026, 4, 1)) == paris
    assert paris.until(date(2026, 3, 1)) == paris
    assert paris.until(date(2026, 3, 31)).end == datetime(2026, 3, 30, 22, tzinfo=UTC)


def test_periods_that_were_left_out_are_one_with_the_last():
    payers = pl.DataFrame({"payer_id": ["new", "old", "asked"]})
    invoiced = pl.DataFrame({"payer_id": ["old", "asked"], "period_end": [date(2026, 10, 4), date(2026, 10, 11)]})
    assert due_periods(payers, invoiced, OCTOBER, END).rows() == [
        ("new", date(2026, 10, 1), date(2026, 10, 11)),
        ("old", date(2026, 10, 5), date(2026, 10, 11)),
    ]


def test_a_day_is_a_period_and_the_last_of_several_is_where_the_next_begins():
    payers = pl.DataFrame({"payer_id": ["daily"]})
    invoiced = pl.DataFrame({"payer_id": ["daily"] * 2, "period_end": [date(2026, 10, 4), date(2026, 10, 10)]})
    assert due_periods(payers, invoiced, OCTOBER, END).rows() == [("daily", date(2026, 10, 11), date(2026, 10, 11))]


def test_who_pays_for_itself_and_says_so_is_invoiced_by_day_or_week(given):
    organisations = given.organisations(
        {"owner_id": "daily", "billing_period": "day"},
        {"owner_id": "weekly", "billing_period": "week"},
        {"owner_id": "monthly", "billing_period": "month"},
        {"owner_id": "silent"},
        {"owner_id": "part", "payer_id": "weekly", "billing_period": "week"},
    )
    assert billed_by_period(organisations).rows() == [("daily", "day"), ("weekly", "week")]


def ask(given, statement, *, earlier=0, asked=None, lines=NO_LINES, unknown=()):
    """What `acme`, whose VAT is 20 %, is asked for up to 11 October."""
    vat = given.vat({"payer_id": "acme", "vat_ppm": 200_000})
    if unknown:
        vat = given.vat()._replace(unknown=ParkedOrganisations.validate(pl.DataFrame(unknown)))
    return draft_interims(
        DuePeriods.validate(due_periods(pl.DataFrame({"payer_id": ["acme"]}), NOBODY_YET, OCTOBER, END)),
        statement,
        lines,
        pl.DataFrame({"payer_id": ["acme"], "used_credits_cents": [earlier]}) if asked is None else asked,
        given.organisations({"owner_id": "acme"}),
        vat,
        given.period().until(END),
    )


NOBODY_YET = pl.DataFrame(schema={"payer_id": pl.String, "period_end": pl.Date})


def settled(given, fees, *, free=0, prepaid=0, pending=0):
    """The statement of a month to date: nothing is estimated."""
    account = {"prepaid_before_cents": prepaid, "pending_cents": pending, "estimate_cents": 0}
    lots = given.lots({"grant_id": "WELCOME", "left_before_cents": free}) if free else given.lots()
    charged = given.fees({"fee_cents": fees}) if fees else given.fees()
    (statements, *_) = settle_credits(charged, lots, given.accounts(account), given.period().until(END))
    return statements


def test_a_cent_is_asked_for_of_who_was_asked_for_nothing_yet(given):
    nobody = pl.DataFrame(schema={"payer_id": pl.String, "used_credits_cents": pl.Int64})
    (draft,) = ask(given, settled(given, 1), asked=nobody).drafts.to_dicts()
    assert (draft["subtotal_cents"], draft["earlier_cents"], draft["discount_ppm"]) == (1, 0, 0)


def test_what_is_lacking_is_asked_for_with_vat(given):
    statement = settled(given, 43_20, free=5_00, prepaid=22_40, pending=2_00)
    (draft,) = ask(given, statement, earlier=21_40).drafts.to_dicts()
    terms = ("fees_to_date_cents", "free_used_cents", "prepaid_used_cents", "earlier_cents", "pending_cents")
    assert tuple(draft[name] for name in terms) == (43_20, -5_00, -1_00, -21_40, -2_00)
    asked = ("subtotal_cents", "vat_cents", "payable_cents", "fees_cents", "used_credits_cents")
    assert tuple(draft[name] for name in asked) == (13_80, 2_76, 16_56, 0, 13_80)
    told = ("kind", "reference", "billing_month", "period_start", "period_end")
    assert tuple(draft[name] for name in told) == (
        "interim", "2026-10-01..2026-10-11", "2026-10", date(2026, 10, 1), date(2026, 10, 11),
    )  # fmt: skip


@pytest.mark.parametrize(
    "statement",
    [
        {"fees": 0},
        {"fees": 10_00, "free": 10_00},
        {"fees": 10_00, "prepaid": 30_00},
        {"fees": 10_00, "pending": 10_00},
    ],
)
def test_who_lacks_nothing_is_asked_for_nothing(given, statement):
    drafted = ask(given, settled(given, **statement))
    assert (drafted.drafts.height, drafted.parked.height) == (0, 0)


def test_who_has_no_known_vat_is_asked_for_nothing_and_named(given):
    unknown = [{"payer_id": "acme", "reason": "tax_unknown", "detail": "?"}]
    drafted = ask(given, settled(given, 10_00), unknown=unknown)
    assert drafted.drafts.is_empty()
    assert drafted.parked.rows() == [("acme", "tax_unknown", "?")]


def test_minimums_and_commitments_wait_for_the_end_of_the_month(given):
    organisations, period = given.organisations({"owner_id": "acme"}), given.period().until(END)
    charges = given.charges({"payer_id": "acme", "charge_cents": 40_00})
    rules = given.spend_rules(
        {"rule_id": "cap", "kind": "maximum", "amount_cents": 30_00},
        {"rule_id": "least", "kind": "minimum", "amount_cents": 100_00, "owner_id": "acme"},
        {"rule_id": "promise", "kind": "commitment", "amount_cents": 200_00, "owner_id": "acme"},
    )
    assigned = lowering_rules(assign_spend_rules(rules, charges, organisations).rules)
    fees, adjustments, _ = adjust_charges(charges, assigned, organisations, period)
    assert adjustments["rule_id"].to_list() == ["cap"]
    assert fees["fee_cents"].to_list() == [30_00]

    payers = pl.DataFrame({"payer_id": ["acme"]})
    lines = print_lines(payers, charges, adjustments, organisations, period, CorrectionLines.create_empty())
    drafted = ask(given, settled(given, 30_00), lines=lines)
    assert drafted.lines.select("reference", "amount_cents").rows() == [
        ("2026-10-01..2026-10-11", 40_00),
        ("2026-10-01..2026-10-11", -10_00),
    ]


@settings(max_examples=15, deadline=None)
@drawn(
    to_date=st.lists(st.integers(0, 10**6), min_size=1, max_size=5),
    free=st.integers(0, 10**5),
    prepaid=st.integers(0, 10**5),
)
@example(to_date=[960, 2640, 4320, 7440], free=500, prepaid=0)
# Usage that was withdrawn: what was asked for too much stays prepaid.
@example(to_date=[50_00, 20_00], free=0, prepaid=0)
def test_together_with_the_invoice_of_the_month_they_ask_for_the_most_that_was_ever_lacking(
    given, to_date, free, prepaid
):
    """However the month is cut into periods: `to_date` are its fees at the end of each, the last ones of the month."""
    asked = 0
    for fees in to_date[:-1]:
        drafts = ask(given, settled(given, fees, free=free, prepaid=prepaid + asked), earlier=asked).drafts
        asked += int(drafts["subtotal_cents"].sum())
    month = settled(given, to_date[-1], free=free, prepaid=prepaid + asked).row(0, named=True)
    rest = month["fees_cents"] + month["free_used_cents"] + month["prepaid_used_cents"]
    assert month["refill_cents"] == 0
    assert asked + rest == max(0, *(fees - free - prepaid for fees in to_date))
    left = free + prepaid + asked + month["free_used_cents"] + month["prepaid_used_cents"]
    assert left == max(0, free + prepaid + asked - to_date[-1])

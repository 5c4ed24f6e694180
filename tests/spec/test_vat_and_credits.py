"""VAT falls due once: when credits are sold, not when they are used, whatever became of the rate in between."""

from datetime import date

from billing_pipeline.adapters.vat_rates import read_vat_rates
from billing_pipeline.rules.tax import rate_at

RATES = read_vat_rates()
#: Romania charges 19 % on invoices of June, issued in July, and 21 % from August on.
OLD, NEW = (rate_at(RATES, "RO", day) for day in (date(2025, 7, 3), date(2025, 8, 3)))
FIGURES = ("fees_cents", "used_credits_cents", "subtotal_cents", "vat_cents", "payable_cents")


def bill(given, vat_ppm, *, usage, prepaid=0, free=0, custom=None):
    lots = [{"grant_id": "coupon", "left_before_cents": free}] if free else []
    account = {"prepaid_before_cents": prepaid, "custom_refill_cents": custom}
    _, drafted = given.bill(
        given.charges({"payer_id": "acme", "charge_cents": usage}),
        given.lots(*lots),
        given.accounts(account),
        vat_ppm=vat_ppm,
    )
    return drafted.drafts.select(FIGURES).row(0)


def test_the_first_invoice_taxes_usage_and_refill_at_the_rate_of_its_date(given):
    assert (OLD, NEW) == (190_000, 210_000)
    assert bill(given, OLD, usage=100_00) == (100_00, 100_00, 200_00, 38_00, 238_00)


def test_what_was_refilled_at_the_old_rate_is_used_under_the_new_one_without_tax(given):
    assert bill(given, NEW, usage=100_00, prepaid=100_00, custom=0) == (100_00, -100_00, 0, 0, 0)


def test_after_a_change_only_the_shortfall_and_the_new_refill_bear_the_new_rate(given):
    # 150.00 used: 100.00 were prepaid, 50.00 are missing; 150.00 are asked for the next month.
    assert bill(given, NEW, usage=150_00, prepaid=100_00) == (150_00, 50_00, 200_00, 42_00, 242_00)


def test_free_credits_lower_the_base(given):
    assert bill(given, OLD, usage=100_00, free=30_00, custom=0) == (100_00, -30_00, 70_00, 13_30, 83_30)


def test_vat_is_rounded_once_on_the_subtotal_not_line_by_line(given):
    lines = given.charges(*({"payer_id": "acme", "charge_cents": 10} for _ in range(5)))
    _, drafted = given.bill(lines, given.lots(), given.accounts({"custom_refill_cents": 0}), vat_ppm=85_000)

    # 8.5 % of 0.10 is 0.01 when rounded alone: five times that would be 0.05.
    assert drafted.drafts.select(FIGURES).row(0) == (50, 0, 50, 4, 54)

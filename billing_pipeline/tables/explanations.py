"""Why every figure of an invoice is what it is, and how well a month was accounted for."""

import dataframely as dy
import polars as pl

from billing_pipeline.tables.columns import cents, organisation_id, whole
from billing_pipeline.tables.table import Table

#: Figures of a line: what is printed, what of it no credit paid, and its part of the invoice's VAT.
LINE_FIGURES = ("amount", "due", "vat_share")

#: Figures of the credit statement, each with the letter that is printed.
STATEMENT_FIGURES = {
    "fees": "F",
    "free_before": "a",
    "prepaid_before": "b",
    "balance_before": "A",
    "free_used": "c",
    "free_expired": "d",
    "prepaid_used": "e",
    "forecast": "f",
    "pending": "g",
    "refill": "h",
    "balance_after": "B",
    "change": "i",
}

#: Figures of the invoice beside F.
INVOICE_FIGURES = ("used_credits", "subtotal", "vat", "payable")

#: What a step is: see `rules.explanation`.
STEPS = (
    # From what was measured to what is paid for: quantities that add up.
    "measured", "unusable", "granules", "minimum", "whole_seconds", "tier", "free_quantity", "blocks",
    # A part of a line that small resources share, with its share of the amount.
    "resource",
    # What that is worth: quantity × unit price / per, exactly.
    "price", "tier_entry", "line_discount", "rate", "base", "limit", "beyond_base",
    # The corrected line of an older month: as rated now, as billed so far; what of the difference a credit note takes.
    "rerated", "billed", "credited",
    # The one rounding of a line; what a rule that needs none lowers fees by, or tops them up.
    "rounded", "lowered", "top_up",
    # Other figures that make this one.
    "figure",
    # Who pays a line.
    "line", "discount_share", "free_credit", "prepaid_credit", "vat_share",
    # Other terms of a figure.
    "lines", "discount", "lot", "carried", "refill_paid", "top_up_paid", "opening", "given_back", "refunded",
    "transferred_in", "transferred_out", "recurring", "strategy", "commitment", "closed", "pending_invoice",
    "agreement", "not_yet", "surplus", "vat_on_lines", "vat_on_refill",
)  # fmt: skip


class Explanations(Table):
    """One row per step that leads to a figure, in order.

    The amounts of a figure's steps add up to it exactly. Steps with a unit price are worth quantity × unit price / per,
    and that of a figure, rounded half away from zero once, is its amount. Steps of a line with a quantity alone add up
    to the quantity that is paid for; those in cents are only compared.
    """

    payer_id = organisation_id(primary_key=True)
    #: Empty for a figure of the statement or the invoice; those of a document beside it stand under its line.
    line_id = dy.String(primary_key=True)
    figure = dy.Enum([*LINE_FIGURES, *STATEMENT_FIGURES, *INVOICE_FIGURES], primary_key=True)
    #: From 1.
    step = dy.Int64(primary_key=True, min=1)
    what = dy.Enum(STEPS)
    #: Which one: a lot, a price version, a month, another figure.
    text = dy.String(nullable=True)
    quantity = dy.Decimal(38, 9, nullable=True)
    #: `cent` is the minor unit of the currency.
    unit = dy.Enum(["s", "byte_s", "byte", "unit", "piece", "cent"], nullable=True)
    #: Exact, price factor included; of the major unit of the currency, or a rate where the unit is `cent`.
    unit_price = dy.Decimal(38, 26, nullable=True)
    #: How many units for how many seconds the unit price buys, multiplied.
    per = whole(nullable=True)
    #: The step's part of the figure; null where it only leads to one.
    amount_cents = cents(nullable=True)
    currency = dy.String(min_length=3, max_length=3)

    @dy.rule()
    def a_price_has_a_quantity(cls) -> pl.Expr:
        """What has a unit price has a quantity and says what the price buys."""
        return cls.unit_price.col.is_null() | (cls.quantity.col.is_not_null() & cls.per.col.is_not_null())


class Lifetimes(Table):
    """One row per payer that was ever billed here: sums over all its months, and what it holds after the last one.

    Σ subtotal = Σ F − free credits used + prepaid unspent − opening prepaid balances + refills and top-ups pending +
    given up. Documents beside the monthly invoice count, too.
    """

    payer_id = organisation_id(primary_key=True)
    #: The last month in which it had a statement that was not parked.
    billed_month = dy.String()
    currency = dy.String(min_length=3, max_length=3)
    #: Sums since the first month; they may outgrow the bounds of one row.
    subtotal_cents = dy.Int64()
    fees_cents = dy.Int64(min=0)
    #: Negative, as printed.
    free_used_cents = dy.Int64(max=0)
    #: Prepaid balances that the provider brought along.
    opening_cents = dy.Int64(min=0)
    #: Refills and top-ups whose invoices were written off, or refunded without a credit note, before they arrived.
    given_up_cents = dy.Int64(min=0)
    #: b + e of the last month: prepaid and not spent.
    prepaid_cents = cents(lowest=0)
    #: g + h of the last month: refills that were asked for and not settled.
    pending_cents = cents(lowest=0)
    #: Credits that were sold outside the monthly cycle and are not paid.
    pending_top_ups_cents = dy.Int64(min=0)


class Scores(Table):
    """One row per score of a month and measure in it: what part of what, in millionths, rounded down.

    A score is the least of its measures: 1000000 means that nothing is missing.
    """

    score = dy.Enum(["completeness", "clearing", "timeliness"], primary_key=True)
    #: What is counted; empty for the score itself.
    measure = dy.String(primary_key=True)
    numerator = dy.Int64(min=0)
    denominator = dy.Int64(min=0)
    #: 1000000 where there is nothing to count.
    ppm = dy.Int64(min=0, max=1_000_000)

    @dy.rule()
    def a_part_is_no_more_than_the_whole(cls) -> pl.Expr:
        """Numerator <= denominator."""
        return cls.numerator.col <= cls.denominator.col

"""The credit statement, its lots and movements. Letters are the ones printed on the invoice."""

import dataframely as dy
import polars as pl

from billing_pipeline.tables.columns import cents, instant, organisation_id
from billing_pipeline.tables.table import Table

#: Strategies of `rules.provisioning`; nothing is estimated where the payer closed or no longer pays (`final`), or is
#: invoiced by the day or week (`interim`).
ESTIMATE_BASES = ["same_as_last_month", "daily_rate", "mean_of_three", "committed", "final", "interim"]


class Adjustments(Table):
    """One row per payer and spend rule that changed its fees, and per invoice discount of an organisation."""

    payer_id = organisation_id(primary_key=True)
    #: The printed line: stable for payer, rule and month.
    line_id = dy.String(primary_key=True, min_length=32, max_length=32)
    #: From 1, in the order of application and print.
    application_order = dy.Int64(min=1)
    #: Null for the discount of the organisation's own row (`invoice_discount`).
    rule_id = dy.String(nullable=True)
    kind = dy.Enum(["discount", "invoice_discount", "maximum", "minimum", "commitment"])
    #: The printed reason.
    name = dy.String()
    #: The sub-organisation whose lines are concerned; null: everyone's on the invoice.
    owner_id = dy.String(nullable=True)
    #: The slug whose lines are concerned; null: all.
    slug = dy.String(nullable=True)
    rate_ppm = dy.Int64(min=0, max=1_000_000, nullable=True)
    #: The fixed discount, the cap, the least amount.
    limit_cents = cents(lowest=0, nullable=True)
    #: What the lines concerned came to before; a sum, so not bounded as one amount is.
    base_cents = dy.Int64(min=0)
    #: Negative: shared over these lines, so bounded as their sum is; positive: a line of its own that tops them up.
    amount_cents = dy.Int64()
    currency = dy.String(min_length=3, max_length=3)

    @dy.rule()
    def discounts_lower_and_least_amounts_raise(cls) -> pl.Expr:
        """Minimum and commitment are above zero, all others below."""
        is_true_up = cls.kind.col.cast(pl.String).is_in(["minimum", "commitment"])
        return pl.when(is_true_up).then(cls.amount_cents.col > 0).otherwise(cls.amount_cents.col < 0)


class AdjustmentShares(Table):
    """One row per adjustment or correction that lowers fees and line that bears a part; the parts add up to it."""

    payer_id = organisation_id()
    #: The printed line of the adjustment or correction.
    adjustment_line_id = dy.String(primary_key=True)
    #: The line that costs less for it.
    line_id = dy.String(primary_key=True)
    share_cents = cents(highest=-1)


class Fees(Table):
    """One row per charged line, true-ups and positive corrections included, less its shares of whatever lowers fees.

    This is what credits may pay.
    """

    payer_id = organisation_id()
    line_id = dy.String(primary_key=True)
    slug = dy.String()
    is_recurring = dy.Bool()
    charge_cents = cents()
    #: Shares of the discounts and maxima that concern the line, each by largest remainder.
    discount_cents = cents(highest=0)
    #: Shares of the negative corrections of older months, which the next month's estimate leaves out.
    correction_cents = cents(highest=0)
    fee_cents = cents()

    @dy.rule()
    def a_fee_is_charge_discount_and_correction(cls) -> pl.Expr:
        """Fee = charge + discount share + correction share."""
        return cls.fee_cents.col == pl.sum_horizontal(
            cls.charge_cents.col, cls.discount_cents.col, cls.correction_cents.col
        )


class CreditAccounts(Table):
    """One row per payer: what its statement starts from, besides fees and free lots."""

    payer_id = organisation_id(primary_key=True)
    currency = dy.String(min_length=3, max_length=3)
    #: b
    prepaid_before_cents = cents(lowest=0)
    #: g
    pending_cents = cents(lowest=0)
    #: A negotiated h; null: automatic.
    custom_refill_cents = cents(lowest=0, nullable=True)
    #: Closed by the period's end: nothing is estimated or refilled, and free credits lapse.
    is_closed = dy.Bool()
    #: Who pays for it at the period's end and takes over its credits then, so that nothing is estimated or refilled;
    #: null: it pays itself, or for others.
    successor_id = organisation_id(nullable=True)
    #: How many statements of the payer had something due before this one.
    billed_months_before = dy.Int64(min=0)
    #: Recurring fees of the last of them and of the one before that; null: there was none.
    recurring_1_before_cents = cents(nullable=True)
    recurring_2_before_cents = cents(nullable=True)
    #: What the next month is estimated to cost, and how; null amount: the recurring part of this month's fees.
    estimate_cents = cents(lowest=0, nullable=True)
    estimate_basis = dy.Enum(ESTIMATE_BASES)


class OpenLots(Table):
    """One row per free lot that may pay in the period, with what earlier months left of it."""

    payer_id = organisation_id()
    grant_id = dy.String(primary_key=True)
    name = dy.String()
    priority = dy.Int64()
    starts_at = instant()
    expires_at = instant(nullable=True)
    slugs = dy.String(nullable=True)
    granted_cents = cents(lowest=0)
    left_before_cents = cents(lowest=0)


class OpenedGrants(Table):
    """One row per grant that this month's statements or earlier ones counted: none enters twice or changes again."""

    grant_id = dy.String(primary_key=True)
    #: Who paid for the grant's owner when it was first counted, and keeps it until its credits are transferred.
    payer_id = organisation_id()
    kind = dy.Enum(["free", "prepaid"])
    granted_cents = cents(lowest=0)
    currency = dy.String(min_length=3, max_length=3)
    #: The month whose statements counted it first.
    opened_month = dy.String()


class CreditLots(Table):
    """One row per free lot of a statement: the coupon table of the invoice. Uses and expiry are negative."""

    payer_id = organisation_id()
    grant_id = dy.String(primary_key=True)
    name = dy.String()
    priority = dy.Int64()
    starts_at = instant()
    expires_at = instant(nullable=True)
    slugs = dy.String(nullable=True)
    granted_cents = cents(lowest=0)
    left_before_cents = cents(lowest=0)
    used_cents = cents(highest=0)
    expired_cents = cents(highest=0)
    left_after_cents = cents(lowest=0)

    @dy.rule()
    def a_lot_is_used_expired_or_left(cls) -> pl.Expr:
        """Before + used + expired = after, never below zero (`credit_overdrawn`)."""
        return cls.left_after_cents.col == cls.left_before_cents.col + cls.used_cents.col + cls.expired_cents.col


class CreditStatements(Table):
    """One row per payer and month: the second section of the invoice. Negative leaves the balance."""

    payer_id = organisation_id(primary_key=True)
    currency = dy.String(min_length=3, max_length=3)
    #: F
    fees_cents = cents(lowest=0)
    #: a
    free_before_cents = cents(lowest=0)
    #: b
    prepaid_before_cents = cents(lowest=0)
    #: A
    balance_before_cents = cents(lowest=0)
    #: c
    free_used_cents = cents(highest=0)
    #: d
    free_expired_cents = cents(highest=0)
    #: e
    prepaid_used_cents = cents(highest=0)
    #: f
    forecast_cents = cents(highest=0)
    #: How f was estimated.
    estimate_basis = dy.Enum(ESTIMATE_BASES)
    #: What of F recurs: everything but one-off charges, after discounts.
    recurring_cents = cents()
    recurring_1_before_cents = cents(nullable=True)
    recurring_2_before_cents = cents(nullable=True)
    #: Whether there is a line, a credit or a refill; without any, no invoice is made.
    is_due = dy.Bool()
    #: How many statements of the payer had something due before this one.
    billed_months_before = dy.Int64(min=0)
    #: Who takes over what this statement leaves, from the next month on.
    successor_id = organisation_id(nullable=True)
    #: g
    pending_cents = cents(lowest=0)
    #: h
    refill_cents = cents(lowest=0)
    #: Whether h was negotiated.
    is_custom_refill = dy.Bool()
    #: B
    balance_after_cents = cents(lowest=0)
    #: i
    change_cents = cents()

    @dy.rule()
    def the_balance_before_is_free_plus_prepaid(cls) -> pl.Expr:
        """A = a + b."""
        return cls.balance_before_cents.col == cls.free_before_cents.col + cls.prepaid_before_cents.col

    @dy.rule()
    def every_credit_is_accounted_for(cls) -> pl.Expr:
        """B = A + c + d + e + h."""
        return cls.balance_after_cents.col == pl.sum_horizontal(
            cls.balance_before_cents.col,
            cls.free_used_cents.col,
            cls.free_expired_cents.col,
            cls.prepaid_used_cents.col,
            cls.refill_cents.col,
        )

    @dy.rule()
    def the_change_is_the_difference_of_the_balances(cls) -> pl.Expr:
        """i = B - A."""
        return cls.change_cents.col == cls.balance_after_cents.col - cls.balance_before_cents.col

    @dy.rule()
    def no_credit_is_overdrawn(cls) -> pl.Expr:
        """c + d takes no more than a, e no more than b: what would (`credit_overdrawn`) is refused."""
        return (cls.free_before_cents.col + cls.free_used_cents.col + cls.free_expired_cents.col >= 0) & (
            cls.prepaid_before_cents.col + cls.prepaid_used_cents.col >= 0
        )

    @dy.rule()
    def a_final_statement_asks_for_nothing_ahead(cls) -> pl.Expr:
        """f = 0 and h = 0 where nothing is estimated."""
        is_final = cls.estimate_basis.col.cast(pl.String) == "final"
        return ~is_final | ((cls.forecast_cents.col == 0) & (cls.refill_cents.col == 0))

    @dy.rule()
    def the_refill_covers_the_estimate(cls) -> pl.Expr:
        """h = max(0, -(A + c + d + e + f + g)) unless it was negotiated."""
        lacking = -pl.sum_horizontal(
            cls.balance_before_cents.col,
            cls.free_used_cents.col,
            cls.free_expired_cents.col,
            cls.prepaid_used_cents.col,
            cls.forecast_cents.col,
            cls.pending_cents.col,
        )
        return cls.is_custom_refill.col | (cls.refill_cents.col == lacking.clip(lower_bound=0))


class CreditMovements(Table):
    """One row per arrival, use and expiry of a credit and per refill asked for: append-only, signs as printed.

    Over the life of a free lot its rows add up to what is left of it. Over the life of a payer the prepaid rows
    (`opening` of prepaid grants, `settled`, `topped_up`, `prepaid_used`, `given_back`, `refunded`, transfers of prepaid
    credits) add up to b + e, and over the life of all payers `refill` less `settled` and `given_up` to what is pending.
    Transfers add up to zero.
    """

    payer_id = organisation_id(primary_key=True)
    #: `opening` (a grant counts for the first time), `settled` (a paid refill arrives), `given_up` (a refill whose
    #: invoice will not be paid is pending no more and never arrives), `topped_up` and `top_up_given_up` (the same for
    #: credits that were bought outside the monthly cycle; those of an interim invoice arrive with its month), uses,
    #: expiry, `refill`, `given_back` (a credit note returns what had paid a line), `refunded` (one returns money for
    #: prepaid credits); transfers are what a payer that became a sub-organisation left to its new payer, booked when
    #: the month opens.
    kind = dy.Enum(
        [
            "opening",
            "settled",
            "given_up",
            "topped_up",
            "top_up_given_up",
            "given_back",
            "refunded",
            "transferred_in",
            "transferred_out",
            "free_used",
            "free_expired",
            "prepaid_used",
            "refill",
        ],
        primary_key=True,
    )
    #: The grant; `prepaid` for uses of the prepaid balance; the refill's month for `refill`, `settled`, `given_up`; the
    #: reference of a top-up or interim invoice. What was another payer's names it: `prepaid of <payer_id>`,
    #: `<month> of <payer_id>`.
    grant_id = dy.String(primary_key=True)
    #: The line that was paid; empty where no line is concerned.
    line_id = dy.String(primary_key=True)
    amount_cents = cents()
    currency = dy.String(min_length=3, max_length=3)


class Refills(Table):
    """One row per refill or top-up that was invoiced and not settled yet when the month was closed, its own included.

    A top-up is bought outside the monthly cycle: it is no part of g, as the customer may never pay it.
    """

    payer_id = organisation_id(primary_key=True)
    #: The month whose invoice asked for it, or with whose invoices that of the top-up was issued.
    billing_month = dy.String(primary_key=True)
    #: Empty for the refill of the monthly invoice; `<source>/<event_id>` of a top-up.
    reference = dy.String(primary_key=True)
    refill_cents = cents(lowest=1)
    #: Whose balance it reaches once it is paid: the payer's, or that of whoever took the payer's credits over.
    holder_id = organisation_id()
    #: What that invoice asks to be paid, tax included: payments must cover it.
    payable_cents = cents(lowest=0)
    currency = dy.String(min_length=3, max_length=3)

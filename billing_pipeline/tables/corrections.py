"""Corrections of issued months: what a month bills by what is known now, and the lines that book the difference."""

import dataframely as dy
import polars as pl

from billing_pipeline.tables.columns import cents, organisation_id, whole
from billing_pipeline.tables.invoices import CORRECTION_CAUSES, LINE_BASES, RULE_KINDS, Drafts
from billing_pipeline.tables.table import Table


class _Meters(Table):
    """What a line of a corrected month is for: the columns that differences and the lines that book them begin with."""

    line_id = dy.String(primary_key=True, min_length=32, max_length=32)
    payer_id = organisation_id()
    owner_id = organisation_id()
    owner_name = dy.String()
    resource_id = dy.String()
    resource_name = dy.String(nullable=True)
    resources = dy.Int64(min=1, nullable=True)
    slug = dy.String()
    zone = dy.String()
    price_id = dy.String(nullable=True)
    price_factor_ppm = dy.Int64()
    tier_from = whole(nullable=True)
    #: The corrected month.
    origin_month = dy.String()
    basis = dy.Enum(LINE_BASES)
    rule_kind = dy.Enum(RULE_KINDS, nullable=True)
    rule_rate_ppm = dy.Int64(min=0, max=1_000_000, nullable=True)
    rule_limit_cents = cents(lowest=0, nullable=True)


class Differences(_Meters):
    """One row per line of an issued month whose amount is another one by what is known now.

    Cumulative: billed is the line as it was issued and every approved correction of it, so that differences that were
    approved are none any more. A line that was not billed has 0 there, one that is not rated any more has 0 there.
    `line_id` is the line of the corrected month, `payer_id` whose invoice of that month it is on, or would be.
    """

    unit = dy.Enum(["s", "byte_s", "byte", "unit", "piece"])
    #: As rated now; of a line that is not rated any more, as it was billed.
    unit_price = dy.Decimal(38, 20)
    per_quantity = dy.Int64(min=1)
    per_seconds = dy.Int64(min=1)
    line_discount_ppm = dy.Int64(min=0, max=1_000_000)
    description = dy.String(nullable=True)
    sub_description = dy.String(nullable=True)
    cause = dy.Enum(CORRECTION_CAUSES)
    billed_quantity = dy.Decimal(38, 9)
    rated_quantity = dy.Decimal(38, 9)
    billed_duration_s = dy.Int64(nullable=True)
    rated_duration_s = dy.Int64(nullable=True)
    billed_cents = cents()
    rated_cents = cents()
    difference_cents = cents()
    currency = dy.String(min_length=3, max_length=3)

    @dy.rule()
    def the_difference_is_rated_less_billed(cls) -> pl.Expr:
        """Difference = rated - billed, and not 0."""
        difference = cls.difference_cents.col
        return (difference == cls.rated_cents.col - cls.billed_cents.col) & (difference != 0)


class CorrectionLines(_Meters):
    """One row per line that books a correction of an issued month on this month's invoice.

    Quantity, duration and amount are what changes, so they may be below zero. `line_id` is stable for the approval, the
    corrected line and the month that books it; `payer_id` is whose invoice books it.
    """

    quantity = dy.Decimal(38, 9)
    unit = dy.Enum(["s", "byte_s", "byte", "unit", "piece"])
    duration_s = dy.Int64(nullable=True)
    unit_price = dy.Decimal(38, 20)
    per_quantity = dy.Int64(min=1)
    per_seconds = dy.Int64(min=1)
    line_discount_ppm = dy.Int64(min=0, max=1_000_000)
    amount_cents = cents()
    currency = dy.String(min_length=3, max_length=3)
    description = dy.String(nullable=True)
    sub_description = dy.String(nullable=True)
    #: The line of the corrected month.
    corrected_line_id = dy.String(min_length=32, max_length=32)
    correction_cause = dy.Enum(CORRECTION_CAUSES)
    #: What had been billed for that line, and what it is by what is known now.
    billed_cents = cents()
    rated_cents = cents()
    #: The entry of the books that approved it.
    approval = dy.Int64(min=1)


class BookedCorrections(Table):
    """One row per approval and corrected payer that is booked by now, each once and for good."""

    approval = dy.Int64(primary_key=True, min=1)
    corrected_payer_id = organisation_id(primary_key=True)
    #: Whose invoice books it.
    payer_id = organisation_id()
    #: The month whose invoice books it.
    billing_month = dy.String()


class WaitingCorrections(Table):
    """One row per approval and corrected payer that no invoice books yet, and why."""

    approval = dy.Int64(primary_key=True, min=1)
    corrected_payer_id = organisation_id(primary_key=True)
    payer_id = organisation_id()
    #: `parked`: its invoice is held back; `no_account`: it has none this month; `no_invoice`: it needs a credit note,
    #: and the corrected month has no invoice that one could refer to.
    reason = dy.Enum(["parked", "no_account", "no_invoice"])


class CreditNotes(Drafts):
    """One row per credit note: what negative corrections take off an issued invoice beyond the fees of the next one,
    or all of an invoice that was cancelled or is issued again.

    Amounts are positive. Fees are what is credited; what of it had been paid by credits is given back to them, the
    rest with its VAT is in the payer's favour, and so is what is credited of a refill. The party is that of the
    corrected invoice, the period its, too.
    """

    kind = dy.Enum(["credit_note"], primary_key=True)
    #: The month with whose invoices it is issued.
    billing_month = dy.String()
    #: Number and date of the corrected invoice.
    refers_to = dy.String(primary_key=True)
    refers_to_issued_on = dy.Date()
    #: Whose credits are given back: the payer, or whoever pays for it now.
    holder_id = organisation_id()
    prepaid_given_back_cents = cents(lowest=0)
    free_given_back_cents = cents(lowest=0)
    #: The refill, or the credits sold, of a cancelled invoice that never reached the prepaid balance.
    refill_cancelled_cents = cents(lowest=0)
    #: What nobody spent of a refill or of sold credits that had reached it.
    prepaid_refunded_cents = cents(lowest=0)
    #: The entry of the books that cancels the invoice, has it issued again or refunds its credits; null where
    #: corrections are credited.
    decision = dy.Int64(min=1, nullable=True)
    #: Why the invoice is issued again, so that its credits stay with the new one; null where it is not.
    reissue_reason = dy.String(nullable=True)

    @dy.rule()
    def credits_are_given_back(cls) -> pl.Expr:
        """Used credits = refill cancelled + prepaid refunded - (prepaid + free given back)."""
        given_back = cls.prepaid_given_back_cents.col + cls.free_given_back_cents.col
        refill = cls.refill_cancelled_cents.col + cls.prepaid_refunded_cents.col
        return cls.used_credits_cents.col == refill - given_back


class IssuedCreditNotes(CreditNotes):
    """One row per issued credit note; never changed again."""

    number = dy.String(regex=r"^[A-Za-z0-9+_-]{1,35}$")
    issued_on = dy.Date()
    due_on = dy.Date()


class CreditNoteLines(CorrectionLines):
    """One row per line of a credit note: a correction that no invoice has room for, or a line of a cancelled invoice.

    Quantity, duration and amount are what was billed too much; those of a cancelled discount are below zero.
    """

    refers_to = dy.String()
    holder_id = organisation_id()
    correction_cause = dy.Enum([*CORRECTION_CAUSES, "cancelled"])


class GivenBack(Table):
    """One row per credit note and what it gave back, of this month and all before."""

    refers_to = dy.String(primary_key=True)
    billing_month = dy.String(primary_key=True)
    #: The free lot, `prepaid`, or empty for money; `unpaid refill` and `unspent refill` are money for a refill that did
    #: not reach the prepaid balance, and that is taken from it.
    grant_id = dy.String(primary_key=True)
    payer_id = organisation_id()
    holder_id = organisation_id()
    #: 0 where nothing was left of what was to be refunded, or an invoice is issued again.
    amount_cents = cents(lowest=0)
    #: The entry of the books that the credit note carries out; null for corrections.
    decision = dy.Int64(min=1, nullable=True)

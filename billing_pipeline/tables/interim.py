"""Interim invoices: what payers that are invoiced by the day or week are asked for while their month runs."""

import dataframely as dy
import polars as pl

from billing_pipeline.tables.columns import cents
from billing_pipeline.tables.invoices import Documents, InvoiceLines


class InterimDrafts(Documents):
    """One row per interim invoice of the month so far, as it is or would be issued: it sells prepaid credits.

    What it asks for is what the month to date lacks of credits; nothing is used by it.
    """

    kind = dy.Enum(["interim"], primary_key=True)
    #: `<first day>..<last day>` of its period: each period of a payer is invoiced once.
    reference = dy.String(primary_key=True)
    #: Days from issue to payment; null: the provider's.
    payment_terms_days = dy.Int64(nullable=True)
    #: Of the month up to the period's end, after discounts and maxima, without minimum and commitment.
    fees_to_date_cents = cents(lowest=0)
    #: What free credits would pay of these fees, and prepaid ones but for those of earlier interim invoices.
    free_used_cents = cents(highest=0)
    prepaid_used_cents = cents(highest=0)
    #: What earlier interim invoices of the month asked for, unless they were given up.
    earlier_cents = cents(highest=0)
    #: Refills that were asked for before the month and are not paid yet.
    pending_cents = cents(highest=0)

    @dy.rule()
    def it_asks_for_what_is_lacking(cls) -> pl.Expr:
        """Subtotal = fees to date + free + prepaid + earlier interim invoices + pending, and something of it."""
        lacking = pl.sum_horizontal(
            cls.fees_to_date_cents.col,
            cls.free_used_cents.col,
            cls.prepaid_used_cents.col,
            cls.earlier_cents.col,
            cls.pending_cents.col,
        )
        return (cls.subtotal_cents.col == lacking) & (cls.used_credits_cents.col == lacking) & (lacking > 0)


class InterimInvoices(InterimDrafts):
    """One row per issued interim invoice of the month; never changed again."""

    number = dy.String(regex=r"^[A-Za-z0-9+_-]{1,35}$")
    issued_on = dy.Date()
    due_on = dy.Date()


class InterimLines(InvoiceLines):
    """One row per interim invoice and line of the month to date; they add up to its fees to date."""

    kind = dy.Enum(["interim"])
    reference = dy.String(primary_key=True)

"""Double entry: what a month's documents and payments do to the accounts of the provider."""

import dataframely as dy
import polars as pl

from billing_pipeline.tables.columns import cents, organisation_id
from billing_pipeline.tables.table import Table

#: What an account is for; which account that is, is a setting. In the order in which an entry is written.
ROLES = (
    "bank",
    # What an organisation owes, and what it paid in advance or was asked to.
    "receivable", "advances",
    "revenue", "reductions",
    # VAT that falls due when the invoice is paid, and VAT that has.
    "vat_pending", "vat_due",
    # Money that names no invoice, or that is more than its invoice asks for.
    "unassigned",
    # What was written off.
    "losses",
    # The other side of balances that were brought along.
    "opening",
)  # fmt: skip

#: Why an entry was made.
ENTRY_KINDS = ("opening", "transfer", "invoice", "credit_note", "write_off", "payment")


class Journal(Table):
    """One row per posting: an amount on one side of one account. The postings of an entry balance in its currency."""

    #: The code of the journal, as set; each numbers its entries from 1 over all months.
    journal = dy.String(primary_key=True, regex=r"^[A-Z0-9]{1,10}$")
    entry_number = dy.Int64(primary_key=True, min=1)
    #: From 1, within the entry.
    posting = dy.Int64(primary_key=True, min=1)
    kind = dy.Enum(ENTRY_KINDS)
    #: The day of the document or payment.
    posted_on = dy.Date()
    #: The day on which it was written down for good; never before that of an entry with a smaller number.
    validated_on = dy.Date()
    account = dy.String(regex=r"^[0-9]{3,20}$")
    role = dy.Enum(ROLES)
    #: The organisation concerned: the auxiliary account of receivables, advances and unassigned money.
    payer_id = organisation_id()
    payer_name = dy.String()
    debit_cents = cents(lowest=0)
    credit_cents = cents(lowest=0)
    currency = dy.String(min_length=3, max_length=3)
    #: Number of the invoice or credit note, id of the payment or grant, the organisation that was taken over.
    piece = dy.String()
    piece_on = dy.Date()
    label = dy.String()
    #: The invoice that the posting belongs to; null where there is none.
    invoice_number = dy.String(nullable=True)
    #: The billed month of that invoice, or the month whose settling made the entry.
    billing_month = dy.String()
    payment_id = dy.String(nullable=True)
    #: The invoice, once nothing of it is open: its receivables cancel out.
    lettering = dy.String(nullable=True)
    lettered_on = dy.Date(nullable=True)

    @dy.rule()
    def a_posting_has_one_side(cls) -> pl.Expr:
        """Either debit or credit is above zero."""
        return (cls.debit_cents.col > 0) != (cls.credit_cents.col > 0)


class PostedDocuments(Table):
    """One row per issued document with what it settles. Amounts as on its statement; those of credit notes positive."""

    number = dy.String(primary_key=True)
    kind = dy.Enum(["invoice", "credit_note"])
    payer_id = organisation_id()
    #: Whose advances it uses, sells or gives back: the payer's, or those of who holds its credits by now.
    holder_id = organisation_id()
    billing_month = dy.String()
    issued_on = dy.Date()
    currency = dy.String(min_length=3, max_length=3)
    #: F
    fees_cents = cents(lowest=0)
    #: c
    free_used_cents = cents(highest=0)
    #: e
    prepaid_used_cents = cents(highest=0)
    #: h
    refill_cents = cents(lowest=0)
    vat_cents = cents(lowest=0)
    payable_cents = cents(lowest=0)
    #: The invoice that a credit note corrects.
    refers_to = dy.String(nullable=True)

    @dy.rule()
    def what_is_asked_for_is_what_was_sold(cls) -> pl.Expr:
        """Payable = F + c + e + h + VAT."""
        return cls.payable_cents.col == pl.sum_horizontal(
            cls.fees_cents.col,
            cls.free_used_cents.col,
            cls.prepaid_used_cents.col,
            cls.refill_cents.col,
            cls.vat_cents.col,
        )


class HeldBalances(Table):
    """One row per organisation and currency: what its accounts must show, known from elsewhere than the journal."""

    payer_id = organisation_id(primary_key=True)
    currency = dy.String(primary_key=True, min_length=3, max_length=3)
    #: Prepaid and not spent, and refills and top-ups invoiced and not settled or given up; null where the month does
    #: not tell.
    advances_cents = dy.Int64(nullable=True)
    #: What its invoices ask for that nobody paid.
    receivable_cents = dy.Int64(nullable=True)

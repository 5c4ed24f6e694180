"""Invoices that are issued again: numbered after everything else of the month that issues their credit notes."""

from collections.abc import Iterable

import dataframely as dy
import polars as pl

from billing_pipeline.books import Issued
from billing_pipeline.defs.billing import Billing
from billing_pipeline.defs.monthly import Table
from billing_pipeline.defs.numbering import give_numbers, request_issue
from billing_pipeline.defs.taxes import decide_month_taxes
from billing_pipeline.rules.balances import current_organisations
from billing_pipeline.rules.issuing import hash_rows, number_documents
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.reissuing import draft_reissues
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.corrections import IssuedCreditNotes
from billing_pipeline.tables.invoices import Invoices, ReissuedInvoices

REISSUED_INVOICES = Table(
    "invoices/reissued_invoices",
    "Invoices of older months that were issued again, for the party and VAT of today, frozen with their numbers. "
    "One row per issued invoice.",
    deps=["invoices/credit_notes", "accounts/organisations"],
)


def read_invoices(billing: Billing, invoices: Iterable[Issued]) -> dy.DataFrame[Invoices]:
    """These invoices of months as they were issued."""
    numbers: dict[tuple[str, Month], list[str]] = {}
    for document in invoices:
        table = REISSUED_INVOICES.key if document.is_reissue else "invoices/invoices"
        numbers.setdefault((table, document.request.billing_month), []).append(document.number)
    found = [
        billing.read(table, month).typed(Invoices).filter(pl.col("number").is_in(wanted))
        for (table, month), wanted in numbers.items()
    ]
    return Invoices.validate(pl.concat([Invoices.create_empty(), *found]).sort("number"))


def number_reissues(
    billing: Billing, month: Month, notes: dy.DataFrame[IssuedCreditNotes]
) -> dy.DataFrame[ReissuedInvoices]:
    """Number the invoices in whose stead the month's credit notes take older ones back.

    One that was numbered before keeps its number.

    Args:
        billing: the home.
        month: with whose invoices they are issued.
        notes: its issued credit notes, or those of one payer.
    """
    again = IssuedCreditNotes.validate(notes.drop_nulls("reissue_reason"))
    if again.is_empty():
        return ReissuedInvoices.create_empty()
    replaced = read_invoices(
        billing, [document for document in billing.books.issued() if document.number in again["refers_to"]]
    )
    organisations = current_organisations(billing.read("accounts/organisations", month).typed(Organisations))
    payers = Organisations.validate(organisations.join(again, left_on="owner_id", right_on="payer_id", how="semi"))
    drafts = draft_reissues(again, replaced, organisations, decide_month_taxes(billing, month, payers), month)
    requests = [
        request_issue(row, month, hash_rows([row]), (), row["replaces"]) for row in drafts.iter_rows(named=True)
    ]
    numbers = give_numbers(billing, month, requests)
    return number_documents(drafts, numbers, organisations, billing.settings.payment_terms_days, ReissuedInvoices)

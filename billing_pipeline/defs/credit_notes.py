"""Credit notes: drafted with the credits of the month that has no room for a correction, numbered with its invoices."""

from collections.abc import Mapping

import dataframely as dy
import polars as pl

from billing_pipeline.books import IssueRequest, invoices_of_months
from billing_pipeline.defs.billing import Billing, inputs_of, partition
from billing_pipeline.defs.corrections import DueCorrections, postpone
from billing_pipeline.defs.decisions import CreditedMonth, given_before
from billing_pipeline.defs.monthly import Report, Table, total_amounts
from billing_pipeline.defs.numbering import request_issue
from billing_pipeline.defs.reissues import read_invoices
from billing_pipeline.rules.corrections import BookedMonth, book_corrections
from billing_pipeline.rules.credit_notes import (
    CorrectedInvoice,
    DraftedCreditNotes,
    corrected_documents,
    corrected_invoices,
    draft_credit_notes,
)
from billing_pipeline.rules.issuing import hash_rows
from billing_pipeline.rules.parking import without
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.corrections import CreditNotes, IssuedCreditNotes
from billing_pipeline.tables.credits import CreditLots, CreditStatements, Fees
from billing_pipeline.tables.interim import InterimInvoices
from billing_pipeline.tables.invoices import ParkedOrganisations, SpecificInvoices

CREDIT_NOTES = Table(
    "credits/credit_notes",
    "What corrections, cancellations and new issues take off issued invoices, and who gets it back. "
    "One row per credit note.",
    deps=["credits/corrections"],
)
CREDIT_NOTE_LINES = Table(
    "credits/credit_note_lines",
    "What these credit notes credit. One row per line of a credit note.",
    deps=["credits/corrections"],
)
ISSUED_CREDIT_NOTES = Table(
    "invoices/credit_notes",
    "Issued credit notes, frozen with their numbers. One row per issued credit note.",
    deps=[CREDIT_NOTES.key, CREDIT_NOTE_LINES.key],
)


def book_due(
    billing: Billing, month: Month, due: DueCorrections, fees: dy.DataFrame[Fees]
) -> tuple[DueCorrections, BookedMonth]:
    """Book the corrections that are due, but for those that need a credit note and have no invoice to refer to."""
    booked = book_corrections(due.rows, fees, month)
    if booked.left_over.is_empty():
        return due, booked
    numbered = [
        (issued.request.payer_id, str(issued.request.billing_month))
        for issued in billing.books.issued()
        if issued.is_monthly
    ]
    names = ("corrected_payer_id", "origin_month")
    known = pl.DataFrame(numbered, schema=dict.fromkeys(names, pl.String), orient="row")
    while (lacking := booked.left_over.join(known, on=names, how="anti")).height:
        due = postpone(due, lacking, "no_invoice")
        booked = book_corrections(due.rows, fees, month)
    return due, booked


def draft_notes(
    billing: Billing, month: Month, left_over: pl.DataFrame, cancelled: CreditedMonth
) -> DraftedCreditNotes:
    """The credit notes of what a month's invoices have no room for, and of the invoices that it takes back."""
    invoices: dict[str, CorrectedInvoice] = {}
    corrected = {*left_over.select("corrected_payer_id", "origin_month").iter_rows()}
    decided = {one.number for one in cancelled.invoices}
    everything = billing.books.issued() if corrected or decided else []
    standing = invoices_of_months(everything).items()
    decided |= {issued.number for (payer, origin), issued in standing if (payer, str(origin)) in corrected}
    concerned = [issued for issued in everything if issued.number in decided]
    for origin in sorted({issued.billed_month for issued in concerned}):
        of_month = [issued for issued in concerned if issued.billed_month == origin]
        beside = [issued.number for issued in of_month if issued.is_specific]
        if beside:
            documents = billing.read("invoices/specific_invoices", origin).typed(SpecificInvoices)
            invoices |= corrected_documents(documents.filter(pl.col("number").is_in(beside)))
        interim = [issued.number for issued in of_month if issued.is_interim]
        if interim:
            asked = billing.read("interim/invoices", origin).typed(InterimInvoices)
            invoices |= corrected_documents(asked.filter(pl.col("number").is_in(interim)))
        of_months = [issued for issued in of_month if issued.bills_month]
        if not of_months:
            continue
        rows = read_invoices(billing, of_months)
        statements, lots = (
            billing.settled(table, origin).read().join(rows, on="payer_id", how="semi")
            for table in ("credits/credit_statements", "credits/credit_lots")
        )
        invoices |= corrected_invoices(
            rows,
            CreditStatements.validate(statements),
            CreditLots.validate(lots),
        )
    return draft_credit_notes(
        left_over, invoices, given_before(billing, month), month, cancelled.invoices, cancelled.prepaid
    )


def publish_notes(
    billing: Billing, month: Month, drafted: DraftedCreditNotes, broken: pl.DataFrame
) -> Mapping[str, Report]:
    """Publish the month's credit notes, without payers for whom an equation does not hold."""
    notes, lines, given = (
        without(rows, broken, "holder_id") for rows in (drafted.notes, drafted.lines, drafted.given_back)
    )
    as_of, inputs = billing.as_of(month), inputs_of({"credits/corrections": billing.read("credits/corrections", month)})
    with billing.warehouse.publishing(CREDIT_NOTES.key, partition(month), as_of=as_of, inputs=inputs) as publication:
        publication.write("rows", notes)
        publication.write("given_back", pl.concat([given_before(billing, month), given]))
    billing.warehouse.publish(CREDIT_NOTE_LINES.key, partition(month), lines, as_of=as_of, inputs=inputs)
    return {
        CREDIT_NOTES.key: Report({"dagster/row_count": notes.height} | total_amounts(notes, "fees", "payable")),
        CREDIT_NOTE_LINES.key: Report({"dagster/row_count": lines.height}),
    }


def read_notes(billing: Billing, month: Month) -> dy.DataFrame[CreditNotes]:
    """The credit notes that the month drafted last."""
    return billing.read(CREDIT_NOTES.key, month).typed(CreditNotes)


def number_notes(billing: Billing, month: Month, holder: str | None = None) -> dy.DataFrame[IssuedCreditNotes]:
    """Number the month's credit notes, or those of one holder; one that was numbered before keeps its number.

    Who is held back gets none.
    """
    parked = billing.read("invoices/parked_organisations", month).typed(ParkedOrganisations)
    notes = without(read_notes(billing, month), parked, "holder_id").sort("payer_id", "refers_to")
    if holder is not None:
        notes = notes.filter(pl.col("holder_id") == holder)
    lines = billing.read(CREDIT_NOTE_LINES.key, month).read()
    requests = [_request(row, lines, month) for row in notes.iter_rows(named=True)]
    issued = billing.books.issue(
        requests, billing.settings.credit_note_series, billing.issue_date(month), as_of=billing.as_of(month)
    )
    numbered = notes.with_columns(
        number=pl.Series([document.number for document in issued], dtype=pl.String),
        issued_on=pl.Series([document.issued_on for document in issued], dtype=pl.Date),
        due_on=pl.Series([document.issued_on for document in issued], dtype=pl.Date),
    )
    return IssuedCreditNotes.validate(numbered.sort("number"))


def _request(row: Mapping[str, object], lines: pl.DataFrame, month: Month) -> IssueRequest:
    """A credit note as the books take it; its reference is the invoice and the month that has no room for more."""
    facts = (
        "prepaid_given_back_cents", "free_given_back_cents", "refill_cancelled_cents", "prepaid_refunded_cents",
        "decision", "reissue_reason", "holder_id", "refers_to", "refers_to_issued_on",
    )  # fmt: skip
    own = lines.filter(payer_id=row["payer_id"], refers_to=row["refers_to"])
    content_hash = hash_rows([row, *own.iter_rows(named=True)])
    told = {**row, "refers_to_issued_on": str(row["refers_to_issued_on"])}
    return request_issue(told, month, content_hash, facts, f"{row['refers_to']}/{month}")

"""Documents beside the monthly invoice: drafted with the month, numbered after its invoices, frozen like them."""

import dataframely as dy
import polars as pl

from billing_pipeline.defs.billing import Billing
from billing_pipeline.defs.monthly import Report, Table, total_amounts
from billing_pipeline.defs.numbering import give_numbers, request_issue
from billing_pipeline.rules.balances import current_organisations
from billing_pipeline.rules.equations import Equation, charges_are_drafted, tax_is_rounded_once
from billing_pipeline.rules.issuing import hash_rows, number_documents
from billing_pipeline.rules.parking import without
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.specific import DraftedDocuments, draft_documents
from billing_pipeline.rules.tax import VatDecisions
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.invoices import SpecificDrafts, SpecificInvoices, SpecificLines
from billing_pipeline.tables.rating import SpecificCharges

SPECIFIC_CHARGES = "rating/specific_charges"

SPECIFIC_DRAFTS = Table(
    "invoices/specific_drafts",
    "Documents beside the monthly invoices: one-off charges invoiced on their own, and prepaid credits sold. "
    "One row per document.",
    deps=["credits/credit_statements", SPECIFIC_CHARGES, "accounts/organisations"],
    checks={
        "charges_are_drafted": "Σ charges with documents of their own = Σ subtotals of these documents.",
        "tax_is_rounded_once": "VAT = subtotal × rate, rounded once, half away from zero.",
    },
)
SPECIFIC_LINES = Table(
    "invoices/specific_lines",
    "What these documents ask for. One row per line of a document.",
    deps=[SPECIFIC_DRAFTS.key],
)
SPECIFIC_INVOICES = Table(
    "invoices/specific_invoices",
    "Issued documents beside the monthly invoices, frozen with their numbers. One row per issued document.",
    deps=[SPECIFIC_DRAFTS.key, SPECIFIC_LINES.key],
)


def draft_beside(
    billing: Billing, month: Month, organisations: dy.DataFrame[Organisations], vat: VatDecisions, parked: pl.DataFrame
) -> DraftedDocuments:
    """Draft the documents beside the month's invoices.

    Args:
        billing: the home.
        month: the month.
        organisations: current versions, one row per owner.
        vat: the decisions for everyone with a statement.
        parked: who is held back.
    """
    charges = billing.read(SPECIFIC_CHARGES, month).read()
    return draft_documents(
        SpecificCharges.validate(SpecificCharges.cast(without(charges, parked))),
        organisations,
        vat,
        _issued_elsewhere(billing, month),
        billing.period(month),
    )


def check_beside(drafted: DraftedDocuments) -> list[Equation]:
    """The equations of the month's documents beside its invoices."""
    return [charges_are_drafted(drafted.charges, drafted.drafts), tax_is_rounded_once(drafted.drafts)]


def report_beside(drafts: pl.DataFrame, equations: list[Equation]) -> Report:
    """What happened to the drafts."""
    return Report({"dagster/row_count": drafts.height} | total_amounts(drafts, "subtotal", "vat", "payable"), equations)


def _issued_elsewhere(billing: Billing, month: Month) -> pl.DataFrame:
    """`reference`, `number` and `billing_month` of the documents beside the invoices of other months."""
    rows = [
        (document.request.reference, document.number, str(document.request.billing_month))
        for document in billing.books.issued()
        if document.is_specific and document.request.billing_month != month
    ]
    names = ("reference", "number", "billing_month")
    return pl.DataFrame(rows, schema=dict.fromkeys(names, pl.String), orient="row")


def read_beside(billing: Billing, month: Month) -> dy.DataFrame[SpecificDrafts]:
    """The documents beside its invoices that the month drafted last."""
    return billing.read(SPECIFIC_DRAFTS.key, month).typed(SpecificDrafts)


def invoiced_elsewhere(billing: Billing, month: Month, drafts: pl.DataFrame) -> list[str]:
    """References of drafts that another month has issued since they were drafted, in order."""
    return drafts.join(_issued_elsewhere(billing, month), on="reference", how="semi")["reference"].sort().to_list()


def number_beside(billing: Billing, month: Month, payer: str | None = None) -> dy.DataFrame[SpecificInvoices]:
    """Number the month's documents, or those of one payer; one that was numbered before keeps its number.

    Who is held back has no draft.
    """
    drafts = read_beside(billing, month).sort("payer_id", "kind", "reference")
    if payer is not None:
        drafts = drafts.filter(pl.col("payer_id") == payer)
    lines = billing.read(SPECIFIC_LINES.key, month).typed(SpecificLines)
    said = {row["reference"]: row for row in lines.iter_rows(named=True)}
    requests = [
        request_issue(row, month, hash_rows([row, said[row["reference"]]]), ("used_credits_cents",), row["reference"])
        for row in drafts.iter_rows(named=True)
    ]
    organisations = billing.read("accounts/organisations", month).typed(Organisations)
    return number_documents(
        drafts,
        give_numbers(billing, month, requests),
        current_organisations(organisations),
        billing.settings.payment_terms_days,
        SpecificInvoices,
    )

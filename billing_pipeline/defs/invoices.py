"""Invoices: drafts that may change until they are issued, and issued ones that never do. Numbers are given last."""

from collections.abc import Mapping

import dagster as dg
import dataframely as dy
import polars as pl

from billing_pipeline.defs.billing import Billing, MonthOutOfOrder, inputs_of, partition
from billing_pipeline.defs.credit_notes import ISSUED_CREDIT_NOTES, number_notes, read_notes
from billing_pipeline.defs.credits import CREDIT_TABLES, interim_invoices, open_month, read_month_before, settle
from billing_pipeline.defs.decisions import cancel_documents, due_decisions
from billing_pipeline.defs.monthly import Report, Table, monthly_assets, total_amounts
from billing_pipeline.defs.numbering import give_numbers, publish_numbered, request_issue
from billing_pipeline.defs.reissues import REISSUED_INVOICES, number_reissues
from billing_pipeline.defs.specific import (
    SPECIFIC_DRAFTS,
    SPECIFIC_INVOICES,
    SPECIFIC_LINES,
    check_beside,
    draft_beside,
    invoiced_elsewhere,
    number_beside,
    read_beside,
    report_beside,
)
from billing_pipeline.defs.states import STATES, known_by, publish_states, record_payments
from billing_pipeline.defs.taxes import decide_month_taxes
from billing_pipeline.rules.balances import BasisHashes, basis_hash, carry_refills, current_organisations
from billing_pipeline.rules.bill_flags import flag_reissues
from billing_pipeline.rules.equations import (
    invoices_are_drafted_once,
    invoices_are_their_drafts,
    lines_make_invoices,
    numbers_are_gapless,
    organisations_are_conserved,
    park_broken,
    revenue_is_conserved,
    tax_is_rounded_once,
)
from billing_pipeline.rules.invoicing import DraftedMonth, draft_invoices
from billing_pipeline.rules.issuing import hash_drafts, number_documents
from billing_pipeline.rules.lifetimes import extend_lifetimes
from billing_pipeline.rules.parking import without
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.succession import find_takeovers, first_organisations
from billing_pipeline.rules.tax import DecidedVat, find_retaxed
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.corrections import CorrectionLines, CreditNotes, IssuedCreditNotes
from billing_pipeline.tables.credits import Adjustments, CreditMovements, CreditStatements, OpenedGrants, Refills
from billing_pipeline.tables.explanations import Lifetimes
from billing_pipeline.tables.invoices import (
    BillFlags,
    Drafts,
    InvoiceLines,
    Invoices,
    ParkedOrganisations,
    ReissuedInvoices,
    SpecificInvoices,
)
from billing_pipeline.tables.rating import Charges

#: What an issued month was issued from, kept in the books: the month after settles on exactly these.
ISSUED_FROM = (
    "rating/unusable",
    "credits/corrections",
    "credits/credit_notes",
    "credits/credit_note_lines",
    "credits/credit_statements",
    "credits/adjustments",
    "credits/credit_movements",
    "credits/credit_lots",
    "credits/opened_grants",
    "invoices/drafts",
    "invoices/invoice_lines",
    "invoices/specific_drafts",
    "invoices/specific_lines",
    "invoices/refills",
    "invoices/parked_organisations",
    "invoices/lifetimes",
    "invoices/explanations",
)

#: What documents show beside it, where the month was closed since there is such a table.
SHOWN_IF_THERE = "rating/daily_weights"

#: What is made when numbers are given, not before.
ISSUED = (
    ["invoices", "invoices"],
    ["invoices", "specific_invoices"],
    ["invoices", "credit_notes"],
    ["invoices", "reissued_invoices"],
    ["invoices", "states"],
)

_TOTALS = ("fees", "subtotal", "vat", "payable")


class DraftOutdated(RuntimeError):
    """A draft was settled on something that has changed since."""


_DRAFTED_FROM = (
    "credits/credit_statements",
    "credits/adjustments",
    "credits/corrections",
    "rating/charges",
    "rating/specific_charges",
    "accounts/organisations",
)

DRAFT_TABLES = (
    Table(
        "invoices/drafts",
        "Invoices as they would be issued: totals, tax, party. One row per payer that has an invoice.",
        deps=_DRAFTED_FROM,
        checks={
            "lines_make_invoices": "Σ printed lines = fees, invoice by invoice.",
            "tax_is_rounded_once": "VAT = subtotal × rate, rounded once, half away from zero.",
            "invoices_are_drafted_once": "One invoice per payer, kind and period.",
            "organisations_are_conserved": "Payers = drafted + parked + nothing due.",
        },
    ),
    Table(
        "invoices/invoice_lines",
        "The lines of these invoices in printed order. One row per printed line.",
        deps=["invoices/drafts"],
    ),
    SPECIFIC_DRAFTS,
    SPECIFIC_LINES,
    Table(
        "invoices/parked_organisations",
        "Who is held back, and why. One row per payer and reason.",
        deps=["invoices/drafts"],
    ),
    Table(
        "invoices/flags",
        "Bills and payments that look odd, and what an issued month would bill otherwise; nothing waits for them. "
        "One row per payer and reason.",
        deps=["invoices/drafts"],
    ),
    Table(
        "invoices/refills",
        "Refills and top-ups that were asked for and are not paid yet. One row per payer and invoice.",
        deps=["invoices/drafts", "invoices/specific_drafts"],
    ),
    Table(
        "invoices/lifetimes",
        "What each payer was ever invoiced, and what became of it. One row per payer.",
        deps=["invoices/drafts"],
        checks={
            "revenue_is_conserved": (
                "Σ subtotal = Σ F − free used + prepaid left − opening balances + refills pending or given up."
            )
        },
    ),
)


@monthly_assets(*CREDIT_TABLES, *DRAFT_TABLES)
def settled_months(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Settle a month's credits and draft its invoices, before the next month starts from them."""
    del context
    return {**settle(billing, month), **draft(billing, month)}


def draft(billing: Billing, month: Month) -> Mapping[str, Report]:
    """Draft the month's invoices with their tax."""
    read = {table: billing.read(table, month) for table in _DRAFTED_FROM}
    settled = read["credits/credit_statements"]
    parked = settled.typed(ParkedOrganisations, "parked")
    organisations = read["accounts/organisations"].typed(Organisations)
    current = current_organisations(organisations)
    statements = settled.typed(CreditStatements)
    taxes = decide_month_taxes(billing, month, _with_statement(current, statements))
    month_drafted = draft_invoices(
        Charges.validate(Charges.cast(without(read["rating/charges"].read(), parked))),
        read["credits/adjustments"].typed(Adjustments),
        statements,
        current,
        taxes,
        settled.typed(BasisHashes, "basis"),
        billing.period(month),
        read["credits/corrections"].typed(CorrectionLines),
    )
    beside = draft_beside(billing, month, current, taxes, parked)
    unbilled = pl.concat([month_drafted.parked, beside.parked]).unique()
    month_drafted = month_drafted._replace(parked=ParkedOrganisations.validate(unbilled.sort("payer_id", "reason")))
    pending = settled.typed(Refills, "pending")
    refills = carry_refills(pending, statements, month_drafted.drafts, beside.drafts)
    lifetimes = _extend_lifetimes(billing, month, organisations, statements, month_drafted, beside.drafts, refills)
    equations = {
        SPECIFIC_DRAFTS.key: check_beside(beside),
        "invoices/drafts": [
            lines_make_invoices(month_drafted.lines, month_drafted.drafts),
            tax_is_rounded_once(month_drafted.drafts),
            invoices_are_drafted_once(month_drafted.drafts),
        ],
        "invoices/lifetimes": [revenue_is_conserved(lifetimes.filter(pl.col("billed_month") == str(month)))],
    }
    broken = park_broken(equation for found in equations.values() for equation in found)
    held_back = ParkedOrganisations.validate(
        pl.concat([parked, month_drafted.parked, broken]).unique().sort("payer_id", "reason")
    )
    drafts, lines = (without(rows, broken) for rows in (month_drafted.drafts, month_drafted.lines))
    specific, specific_lines = (without(rows, held_back) for rows in (beside.drafts, beside.lines))
    if broken.height:
        refills = carry_refills(pending, statements, drafts, specific)
        lifetimes = _extend_lifetimes(
            billing, month, organisations, without(statements, broken), month_drafted, specific, refills
        )
    published = {
        "invoices/drafts": drafts,
        "invoices/invoice_lines": lines,
        SPECIFIC_DRAFTS.key: specific,
        SPECIFIC_LINES.key: specific_lines,
        "invoices/parked_organisations": held_back,
        "invoices/flags": _flag_bills(billing, month, pl.concat([settled.read("flags"), beside.flags]), drafts),
        "invoices/refills": refills,
        "invoices/lifetimes": lifetimes,
    }
    for table, rows in published.items():
        billing.warehouse.publish(table, partition(month), rows, as_of=billing.as_of(month), inputs=inputs_of(read))
    payers = pl.concat([statements.select("payer_id"), parked.select("payer_id")])["payer_id"].n_unique()
    not_due = pl.DataFrame({"payer_id": month_drafted.nothing_due}, schema={"payer_id": pl.String})
    nothing_due = without(not_due, held_back)
    reports: dict[str, dict[str, object]] = {
        table: {"dagster/row_count": rows.height} for table, rows in published.items()
    }
    reports["invoices/drafts"] |= total_amounts(drafts, *_TOTALS) | {"nothing_due": nothing_due.height}
    reports["invoices/parked_organisations"]["reasons"] = dict(held_back["reason"].value_counts(sort=True).iter_rows())
    equations["invoices/drafts"].append(
        organisations_are_conserved(payers, drafts.height, held_back["payer_id"].n_unique(), nothing_due.height)
    )
    return {table: Report(metadata, equations.get(table, ())) for table, metadata in reports.items()} | {
        SPECIFIC_DRAFTS.key: report_beside(specific, equations[SPECIFIC_DRAFTS.key])
    }


def _flag_bills(
    billing: Billing, month: Month, flags: pl.DataFrame, drafts: dy.DataFrame[Drafts]
) -> dy.DataFrame[BillFlags]:
    """What is odd about the bills; of a month that is issued already, also which drafts are not what was issued."""
    if billing.books.is_issued(month):
        issued = billing.settled("invoices/drafts", month).typed(Drafts)
        flags = pl.concat([flags, flag_reissues(drafts, issued, month)])
    return BillFlags.validate(flags.sort("payer_id", "reason"))


def _extend_lifetimes(
    billing: Billing,
    month: Month,
    organisations: dy.DataFrame[Organisations],
    statements: pl.DataFrame,
    drafted: DraftedMonth,
    beside: pl.DataFrame,
    refills: dy.DataFrame[Refills],
) -> dy.DataFrame[Lifetimes]:
    """The lifetimes of the month before with the statements of those who are not parked."""
    before = (
        Lifetimes.create_empty()
        if billing.predecessor("invoices/drafts", month) is None
        else billing.settled("invoices/lifetimes", month.previous).typed(Lifetimes)
    )
    return extend_lifetimes(
        before,
        without(statements, drafted.parked),
        drafted.drafts,
        billing.read("credits/credit_movements", month).typed(CreditMovements),
        billing.read("credits/opened_grants", month).typed(OpenedGrants),
        find_takeovers(first_organisations(organisations)),
        month,
        CreditNotes.validate(without(read_notes(billing, month), drafted.parked, "holder_id")),
        without(_asked_beside(billing, month, statements, beside), drafted.parked),
        refills,
    )


def _asked_beside(billing: Billing, month: Month, statements: pl.DataFrame, beside: pl.DataFrame) -> pl.DataFrame:
    """What payers are asked for beside their invoices: by documents beside them, and while the month ran."""
    interim = interim_invoices(billing, month).join(statements, on="payer_id", how="semi")
    columns = ("payer_id", "subtotal_cents", "fees_cents")
    return pl.concat([beside.select(columns), interim.select(columns)])


def _with_statement(
    organisations: dy.DataFrame[Organisations], statements: pl.DataFrame
) -> dy.DataFrame[Organisations]:
    """The organisations that are asked for something: also those that stopped paying inside the month."""
    return Organisations.validate(organisations.join(statements, left_on="owner_id", right_on="payer_id", how="semi"))


@monthly_assets(
    Table(
        "invoices/invoices",
        "Issued invoices, frozen with their numbers. One row per issued invoice.",
        deps=[*(table.key for table in DRAFT_TABLES), "invoices/explanations"],
        checks={
            "numbers_are_gapless": "Numbers of the series run from 1 without a gap.",
            "invoices_are_their_drafts": "What was issued asks for what was drafted.",
        },
    ),
    SPECIFIC_INVOICES,
    ISSUED_CREDIT_NOTES,
    REISSUED_INVOICES,
    STATES,
)
def issue(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Number the month's drafts; an issued month stays as it is, however often it was closed since."""
    del context
    if not billing.books.is_issued(month):
        _number_and_freeze(billing, month)
    if billing.warehouse.current(REISSUED_INVOICES.key, partition(month)) is None:
        # Issued before there were any.
        publish_numbered(billing, month, REISSUED_INVOICES.key, ReissuedInvoices, ReissuedInvoices.create_empty())
    invoices = billing.read("invoices/invoices", month).typed(Invoices)
    notes = billing.read(ISSUED_CREDIT_NOTES.key, month).read()
    beside, again = (billing.read(table.key, month).read() for table in (SPECIFIC_INVOICES, REISSUED_INVOICES))
    drafts = billing.settled("invoices/drafts", month).typed(Drafts)
    series, year = billing.settings.series, billing.issue_date(month).year
    serials = [i.serial for i in billing.books.issued() if i.series == series and i.issued_on.year == year]
    equations = [numbers_are_gapless(serials, f"{series}-{year}"), invoices_are_their_drafts(drafts, invoices)]
    record_payments(billing, month, read_month_before(billing, month).refills, billing.as_of(month))
    cancel_documents(billing, month, notes)
    return {
        "invoices/invoices": Report(
            {"dagster/row_count": invoices.height} | total_amounts(invoices, *_TOTALS), equations
        ),
        SPECIFIC_INVOICES.key: Report(
            {"dagster/row_count": beside.height} | total_amounts(beside, "subtotal", "vat", "payable")
        ),
        ISSUED_CREDIT_NOTES.key: Report(
            {"dagster/row_count": notes.height} | total_amounts(notes, "fees", "payable"),
        ),
        REISSUED_INVOICES.key: Report({"dagster/row_count": again.height} | total_amounts(again, *_TOTALS)),
        STATES.key: publish_states(billing, month),
    }


def _number_and_freeze(billing: Billing, month: Month) -> None:
    """Give the drafts their numbers, publish the invoices and keep what they were issued from."""
    read = {table: billing.read(table, month) for table in ISSUED_FROM}
    shown = billing.settled_if_there(SHOWN_IF_THERE, month)
    if shown:
        read[SHOWN_IF_THERE] = shown
    drafts = read["invoices/drafts"].typed(Drafts)
    lines = read["invoices/invoice_lines"].typed(InvoiceLines)
    statements = read["credits/credit_statements"].typed(CreditStatements)
    require_issuable(billing, month, drafts, read_beside(billing, month))
    invoices = number_drafts(billing, month, drafts, lines, statements)
    as_of = billing.as_of(month)
    billing.warehouse.publish("invoices/invoices", partition(month), invoices, as_of=as_of, inputs=inputs_of(read))
    publish_numbered(billing, month, SPECIFIC_INVOICES.key, SpecificInvoices, number_beside(billing, month))
    notes = number_notes(billing, month)
    publish_numbered(billing, month, ISSUED_CREDIT_NOTES.key, IssuedCreditNotes, notes)
    reissued = number_reissues(billing, month, notes)
    publish_numbered(billing, month, REISSUED_INVOICES.key, ReissuedInvoices, reissued)
    billing.books.record_month_issued(month, inputs_of(read), as_of=as_of)


def number_drafts(
    billing: Billing,
    month: Month,
    drafts: dy.DataFrame[Drafts],
    lines: dy.DataFrame[InvoiceLines],
    statements: dy.DataFrame[CreditStatements],
) -> dy.DataFrame[Invoices]:
    """The drafts with the next numbers of the series; one that was numbered before keeps its number and date."""
    hashes = hash_drafts(drafts, lines, statements)
    ordered = drafts.sort("payer_id")
    requests = [request_issue(row, month, hashes[row["payer_id"]]) for row in ordered.iter_rows(named=True)]
    organisations = billing.read("accounts/organisations", month).typed(Organisations)
    return number_documents(
        ordered,
        give_numbers(billing, month, requests),
        current_organisations(organisations),
        billing.settings.payment_terms_days,
        Invoices,
    )


def require_issuable(billing: Billing, month: Month, drafts: pl.DataFrame, beside: pl.DataFrame) -> None:
    """The month before is issued, the drafts still rest on it, and the date is no earlier than the period's end.

    Args:
        billing: the home.
        month: the month.
        drafts: its monthly invoices.
        beside: its documents beside them.

    Raises:
        MonthOutOfOrder: the month before is not issued, or the date precedes the period's end.
        DraftOutdated: what a draft was settled on has changed, another month has invoiced the same charge, or another
            VAT is in force on the date of issue, or none is known.
    """
    first = billing.books.first_month()
    if first is not None and month > first and not billing.books.is_issued(month.previous):
        message = (
            f"{month} is issued after {month.previous}, which is not issued yet; run: billing issue {month.previous}"
        )
        raise MonthOutOfOrder(message)
    issued_on, last_day = billing.issue_date(month), month.last_day
    if issued_on < last_day:
        message = (
            f"invoices of {month} cannot be dated {issued_on}, before the period's end; issue on {last_day} or later"
        )
        raise MonthOutOfOrder(message)
    _require_decisions_counted(billing, month)
    before = read_month_before(billing, month)
    grants = billing.read("credits/opened_grants", month).read()
    record_payments(billing, month, before.refills, known_by(billing, month))
    opened = open_month(billing, month, before, grants)
    basis = basis_hash(opened.accounts, before.statements, before.movements, opened.movements, opened.takeovers)
    compared = drafts.select("payer_id", drafted="basis_hash").join(basis, on="payer_id", how="left")
    changed = compared.filter(pl.col("drafted").ne_missing(pl.col("basis_hash")))
    if changed.height:
        message = (
            f"{changed.height} drafts of {month}, e.g. of {changed['payer_id'][0]}, were settled on a state of "
            f"{month.previous}, or on interim invoices, that changed since; run: billing close {month}"
        )
        raise DraftOutdated(message)
    organisations = billing.read("accounts/organisations", month).typed(Organisations)
    invoiced = invoiced_elsewhere(billing, month, beside)
    if invoiced:
        message = (
            f"{len(invoiced)} charges of {month}, e.g. {invoiced[0]}, were invoiced with another month since they were "
            f"drafted; run: billing close {month}"
        )
        raise DraftOutdated(message)
    taxed = DecidedVat.column_names()
    drafted = pl.concat([drafts.select(taxed), beside.select(taxed)])
    again = read_notes(billing, month).drop_nulls("reissue_reason").select("payer_id", number="refers_to")
    payers = pl.concat([drafted.select("payer_id"), again.select("payer_id")])
    taxes = decide_month_taxes(billing, month, _with_statement(current_organisations(organisations), payers))
    untaxed = again.join(taxes.rates, on="payer_id", how="anti")["number"].sort().to_list()
    if untaxed:
        message = (
            f"{len(untaxed)} invoices, e.g. {untaxed[0]}, cannot be issued again on {issued_on}: their VAT is unknown; "
            f"run: billing bill {month} --issue-date {issued_on}"
        )
        raise DraftOutdated(message)
    retaxed = find_retaxed(drafted, taxes)
    if retaxed:
        message = (
            f"{len(retaxed)} drafts of {month}, e.g. of {retaxed[0]}, bear another VAT than is due on {issued_on}; "
            f"run: billing bill {month} --issue-date {issued_on}"
        )
        raise DraftOutdated(message)


def _require_decisions_counted(billing: Billing, month: Month) -> None:
    """Every decision that is due is among the drafts, or its payer is held back.

    Raises:
        DraftOutdated: one was decided since.
    """
    counted = set(billing.read("credits/credit_notes", month).read("given_back")["decision"].drop_nulls())
    parked = set(billing.read("invoices/parked_organisations", month).read()["payer_id"])
    stated = set(billing.read("credits/credit_statements", month).read()["payer_id"])
    for entry, issued in due_decisions(billing, month):
        payer = issued.request.payer_id
        if entry.seq not in counted and payer in stated and payer not in parked:
            message = (
                f"that {entry.number} is to be credited was decided after {month} was closed; "
                f"run: billing close {month}"
            )
            raise DraftOutdated(message)

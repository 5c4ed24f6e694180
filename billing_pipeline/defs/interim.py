"""Interim invoices: asked for by the day or week while the month runs, from a rating of the month to date.

The month is rated aside up to the end of the latest period, with what had landed by then; nothing of that becomes
current, and no credit moves. What is asked for stands in the books, where the invoice of the month finds it.
"""

from collections.abc import Mapping
from dataclasses import replace
from datetime import date, timedelta

import dagster as dg
import dataframely as dy
import polars as pl

from billing_pipeline.adapters.vat_rates import read_vat_rates
from billing_pipeline.books import Issued
from billing_pipeline.defs import accounts, rating, usage
from billing_pipeline.defs.billing import Billing, MonthOutOfOrder, as_of, partition
from billing_pipeline.defs.credits import begin_month, interim_invoices
from billing_pipeline.defs.evidence import check_charges
from billing_pipeline.defs.monthly import (
    EquationBroken,
    Report,
    Table,
    assets_of,
    materialise_aside,
    monthly_assets,
    total_amounts,
)
from billing_pipeline.defs.numbering import give_numbers, publish_numbered, request_issue
from billing_pipeline.defs.partitions import running_month
from billing_pipeline.rules.balances import current_organisations, open_lots
from billing_pipeline.rules.credits import settle_credits
from billing_pipeline.rules.equations import (
    Equation,
    grants_are_conserved,
    lines_make_interims,
    park_broken,
    statements_keep_their_formulas,
    tax_is_rounded_once,
)
from billing_pipeline.rules.interim import (
    BillingPeriod,
    DraftedInterims,
    DuePeriods,
    billed_by_period,
    draft_interims,
    due_periods,
    last_end,
)
from billing_pipeline.rules.invoicing import print_lines
from billing_pipeline.rules.issuing import hash_rows
from billing_pipeline.rules.parking import without
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.spending import adjust_charges, lowering_rules
from billing_pipeline.rules.tax import decide_taxes
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.corrections import CorrectionLines
from billing_pipeline.tables.credits import CreditAccounts
from billing_pipeline.tables.interim import InterimDrafts, InterimInvoices, InterimLines
from billing_pipeline.tables.invoices import ParkedOrganisations
from billing_pipeline.tables.rating import Charges

_DRAFTS, _LINES, _INVOICES = "interim/drafts", "interim/lines", "interim/invoices"

#: What a period of a payer is known by.
_KEY = ["payer_id", "reference"]


@monthly_assets(
    Table(
        _DRAFTS,
        "What payers that are invoiced by the day or week are asked for while the month runs. One row per document.",
        deps=["accounts/organisations", "usage/file_receipts", "rating/charges"],
        checks={
            "lines_make_interims": "Σ lines of the month to date = fees to date, document by document.",
            "tax_is_rounded_once": "VAT = subtotal × rate, rounded once, half away from zero.",
        },
        months=running_month,
    ),
    Table(
        _LINES, "The lines of the month to date. One row per document and line.", deps=[_DRAFTS], months=running_month
    ),
    Table(
        _INVOICES,
        "Issued interim invoices, frozen with their numbers. One row per issued document.",
        deps=[_DRAFTS, _LINES],
        months=running_month,
    ),
)
def interim(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Ask for what the latest periods lack, and number it; once more with the same `as_of` changes nothing."""
    _require_running(billing, month)
    drafted, inputs = _draft(billing, month)
    drafts, lines = _with_issued(billing, month, drafted)
    with billing.warehouse.publishing(
        _DRAFTS, partition(month), as_of=billing.as_of(month), inputs=inputs
    ) as publication:
        publication.write("rows", drafts)
        publication.write("parked", drafted.parked)
    billing.warehouse.publish(_LINES, partition(month), lines, as_of=billing.as_of(month), inputs=inputs)
    publish_numbered(billing, month, _INVOICES, InterimInvoices, number_interims(billing, month, drafts, lines))
    for payer, reason, detail in drafted.parked.iter_rows():
        context.log.warning("%s is not asked for anything: %s (%s)", payer, reason, detail)
    totals = total_amounts(drafts, "subtotal", "vat", "payable")
    return {
        _DRAFTS: Report(
            {"dagster/row_count": drafts.height, "parked": drafted.parked.height} | totals, _equations(drafts, lines)
        ),
        _LINES: Report({"dagster/row_count": lines.height}),
        _INVOICES: Report({"dagster/row_count": drafts.height} | totals),
    }


def _require_running(billing: Billing, month: Month) -> None:
    """The month before is issued, and nothing of the month itself is.

    Raises:
        MonthOutOfOrder: it is not, or the month has ended for its payers.
    """
    billing.books.record_first_month(month)
    if problem := why_not_running(billing, month):
        raise MonthOutOfOrder(problem)


def why_not_running(billing: Billing, month: Month) -> str:
    """Why nothing of a month can be asked for yet, or any more; empty where it can."""
    if billing.books.is_issued(month) or any(not document.is_interim for document in billing.books.issued(month)):
        return f"{month} is issued, so that its invoices have asked for all of it; ask for a later month"
    if month != billing.books.first_month() and not billing.books.is_issued(month.previous):
        return (
            f"interim invoices of {month} follow {month.previous}, which is not issued yet: numbers follow dates; "
            f"run: billing bill {month.previous}"
        )
    return ""


def _draft(billing: Billing, month: Month) -> tuple[DraftedInterims, dict[str, str]]:
    """What is to be asked for now, and what that was made from."""
    today = billing.as_of(month).astimezone(billing.settings.zone).date()
    kinds: dict[date, list[BillingPeriod]] = {}
    for kind in BillingPeriod:
        end = last_end(kind, month, today)
        if end is not None:
            kinds.setdefault(end, []).append(kind)
    drafted, inputs = [_nothing()], {}
    for end in sorted(kinds):
        aside = replace(billing.aside(month), chosen_end=end)
        materialise_aside(aside, month, assets_of(accounts))
        payers = billed_by_period(_organisations(aside, month)).filter(pl.col("kind").is_in(kinds[end]))
        due = due_periods(payers, interim_invoices(aside, month), month, end)
        if due.height:
            materialise_aside(aside, month, assets_of(usage, rating))
            drafted.append(_draft_until(aside, month, due))
        inputs |= {_aside_name(table, end): name for table, name in aside.warehouse.published_aside.items()}
    tables = (InterimDrafts, InterimLines, ParkedOrganisations)
    parts = [
        table.validate(pl.concat(frames)) for table, frames in zip(tables, zip(*drafted, strict=True), strict=True)
    ]
    return DraftedInterims(*parts), inputs


def _aside_name(table: str, end: date) -> str:
    return f"{table} to {end} aside"


def as_rated(billing: Billing, document: Issued) -> Billing:
    """The home as the rating of the month to date left it that an interim invoice was made of."""
    month, end = document.request.billing_month, document.request.period_end + timedelta(days=1)
    aside = replace(billing.aside(month), chosen_end=end)
    suffix = _aside_name("", end)
    for generation_id in billing.warehouse.generation_ids(_DRAFTS, partition(month)):
        generation = billing.warehouse.generation(_DRAFTS, partition(month), generation_id)
        if as_of(generation) == document.as_of:
            named = {
                name.removesuffix(suffix): of
                for name, of in generation.manifest["inputs"].items()
                if name.endswith(suffix)
            }
            aside.warehouse.published_aside.update(named)
    return aside


def _nothing() -> DraftedInterims:
    return DraftedInterims(
        InterimDrafts.create_empty(), InterimLines.create_empty(), ParkedOrganisations.create_empty()
    )


def _organisations(aside: Billing, month: Month) -> dy.DataFrame[Organisations]:
    versions = aside.read("accounts/organisations", month).typed(Organisations)
    return current_organisations(versions)


def _draft_until(aside: Billing, month: Month, due: dy.DataFrame[DuePeriods]) -> DraftedInterims:
    """Ask for what the month lacks up to the end of the period that was rated aside."""
    begun, period = begin_month(aside, month), aside.period(month)
    current, opened, parked = begun.organisations, begun.opened, begun.parked
    asked = without(due, parked)

    def of_asked(rows: pl.DataFrame) -> pl.DataFrame:
        return rows.join(asked, on="payer_id", how="semi")

    charges = Charges.validate(Charges.cast(of_asked(begun.charges)))
    fees, adjustments, _ = adjust_charges(charges, lowering_rules(of_asked(begun.rules)), current, period)
    accounts_to_date = of_asked(opened.accounts).with_columns(
        custom_refill_cents=pl.lit(None, pl.Int64), estimate_cents=pl.lit(0, pl.Int64)
    )
    lots = of_asked(open_lots(begun.before.lots, begun.opened_grants, begun.grants, opened.takeovers, period))
    settled = settle_credits(fees, lots, CreditAccounts.validate(accounts_to_date), period)
    payers = Organisations.validate(current.join(asked, left_on="owner_id", right_on="payer_id", how="semi"))
    vat = decide_taxes(payers, aside.settings.invoicing_seller, read_vat_rates(), aside.issue_date(month))
    drafted = draft_interims(
        DuePeriods.validate(asked),
        settled.statements,
        print_lines(asked.select("payer_id"), charges, adjustments, current, period, CorrectionLines.create_empty()),
        interim_invoices(aside, month).filter("counts").select("payer_id", used_credits_cents="refill_cents"),
        current,
        vat,
        period,
    )
    equations = [
        *check_charges(aside, month, without(begun.charges, parked), parked),
        statements_keep_their_formulas(settled.statements),
        grants_are_conserved(settled.lots, settled.statements),
        *_equations(drafted.drafts, drafted.lines),
    ]
    _require_held(month, equations)
    broken = park_broken(equations)
    held_back = pl.concat([parked.join(due, on="payer_id", how="semi"), drafted.parked, broken])
    return DraftedInterims(
        InterimDrafts.validate(without(drafted.drafts, broken)),
        InterimLines.validate(without(drafted.lines, broken)),
        ParkedOrganisations.validate(held_back.sort("payer_id", "reason")),
    )


def _equations(drafts: dy.DataFrame[InterimDrafts], lines: dy.DataFrame[InterimLines]) -> list[Equation]:
    return [lines_make_interims(lines, drafts), tax_is_rounded_once(drafts)]


def _require_held(month: Month, equations: list[Equation]) -> None:
    """Give no number where what is rated is not what ran.

    Raises:
        EquationBroken: an equation of all payers does not hold; that of one parks it.
    """
    broken = [equation.sentence for equation in equations if not equation.holds]
    if broken:
        message = f"{month} to date: {'; '.join(broken)}"
        raise EquationBroken(message)


def _with_issued(
    billing: Billing, month: Month, drafted: DraftedInterims
) -> tuple[dy.DataFrame[InterimDrafts], dy.DataFrame[InterimLines]]:
    """The drafts and lines of all that was asked for so far: what has a number, and what gets one now.

    A draft that has no number, because a run stopped, is left out: it is drafted again.
    """
    told = pl.DataFrame(
        [
            (document.request.payer_id, document.request.reference)
            for document in billing.books.issued(month)
            if document.is_interim
        ],
        schema=dict.fromkeys(_KEY, pl.String),
        orient="row",
    )
    kept = []
    for table, new, schema in ((_DRAFTS, drafted.drafts, InterimDrafts), (_LINES, drafted.lines, InterimLines)):
        older = billing.warehouse.current(table, partition(month))
        before = [schema.cast(older.read()).join(told, on=_KEY, how="semi")] if older else []
        kept.append(pl.concat([*before, new]))
    drafts, lines = kept
    return InterimDrafts.validate(drafts.sort(_KEY)), InterimLines.validate(lines.sort(*_KEY, "line_number"))


def number_interims(
    billing: Billing, month: Month, drafts: dy.DataFrame[InterimDrafts], lines: dy.DataFrame[InterimLines]
) -> dy.DataFrame[InterimInvoices]:
    """Number the drafts by period and payer; one that was numbered before keeps its number and date."""
    ordered = drafts.sort("period_end", "payer_id", "reference")
    said: dict[tuple[str, str], list[Mapping[str, object]]] = {}
    for line in lines.iter_rows(named=True):
        said.setdefault((line["payer_id"], line["reference"]), []).append(line)
    requests = [
        request_issue(
            row,
            month,
            hash_rows([row, *said.get((row["payer_id"], row["reference"]), ())]),
            ("used_credits_cents",),
            row["reference"],
        )
        for row in ordered.iter_rows(named=True)
    ]
    numbers = give_numbers(billing, month, requests)
    terms = pl.duration(days=pl.col("payment_terms_days").fill_null(billing.settings.payment_terms_days))
    numbered = ordered.with_columns(
        number=pl.Series([number for number, _ in numbers], dtype=pl.String),
        issued_on=pl.Series([day for _, day in numbers], dtype=pl.Date),
    ).with_columns(due_on=pl.col("issued_on") + terms)
    return InterimInvoices.validate(numbered.sort("number"))

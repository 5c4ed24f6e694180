"""Why every figure of the drafts is what it is, and how well the month was accounted for."""

from collections.abc import Mapping
from typing import TypeVar

import dagster as dg
import dataframely as dy
import polars as pl

from billing_pipeline.defs.billing import Billing, inputs_of, partition
from billing_pipeline.defs.monthly import Report, Table, monthly_assets
from billing_pipeline.intake.contracts import FEEDS
from billing_pipeline.rules.balances import current_organisations
from billing_pipeline.rules.equations import explanations_add_up
from billing_pipeline.rules.explanation import MonthOfFigures, explain_month, figures_to_explain
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.scores import MonthToScore, score_month
from billing_pipeline.rules.specific import explain_documents, figures_of_documents
from billing_pipeline.rules.spending import InvoiceRules, assign_spend_rules
from billing_pipeline.tables.accounts import Organisations, Prices, RefillAgreements, SpendRules
from billing_pipeline.tables.credits import (
    Adjustments,
    AdjustmentShares,
    CreditLots,
    CreditMovements,
    CreditStatements,
    Fees,
    OpenedGrants,
    Refills,
)
from billing_pipeline.tables.explanations import Explanations, Lifetimes
from billing_pipeline.tables.invoices import (
    Drafts,
    InvoiceLines,
    ParkedOrganisations,
    SpecificDrafts,
    SpecificLines,
)
from billing_pipeline.tables.rating import ChargeShares, Segments
from billing_pipeline.tables.usage import FileReceipts, LateArrivals
from billing_pipeline.warehouse import Generation

Schema = TypeVar("Schema", bound=dy.Schema)

_EXPLAINED_FROM = (
    "invoices/drafts",
    "invoices/invoice_lines",
    "invoices/specific_drafts",
    "invoices/specific_lines",
    "credits/credit_statements",
    "credits/adjustments",
    "credits/credit_movements",
    "credits/credit_lots",
    "credits/opened_grants",
    "accounts/refill_agreements",
    "accounts/spend_rules",
    "accounts/organisations",
    "accounts/prices",
    "rating/charges",
    "rating/charge_shares",
    "rating/segments",
    "rating/unusable",
    "rating/charge_sources",
)


@monthly_assets(
    Table(
        "invoices/explanations",
        "Why each figure of an invoice is what it is, in steps that add up to it. One row per figure and step.",
        deps=_EXPLAINED_FROM,
        checks={"explanations_add_up": "The steps of every figure add up to it exactly."},
    )
)
def explanations(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Take the month's figures apart."""
    del context
    read = {table: billing.read(table, month) for table in _EXPLAINED_FROM}
    figures = _figures(billing, month, read)
    beside = read["invoices/specific_drafts"].typed(SpecificDrafts)
    beside_lines = read["invoices/specific_lines"].typed(SpecificLines)
    steps = Explanations.validate(
        pl.concat([explain_month(figures), explain_documents(beside, beside_lines)]).sort(
            "payer_id", "line_id", "figure", "step"
        )
    )
    billing.warehouse.publish(
        "invoices/explanations", partition(month), steps, as_of=billing.as_of(month), inputs=inputs_of(read)
    )
    told = pl.concat(
        [
            figures_to_explain(figures.drafts, figures.lines, figures.statements),
            figures_of_documents(beside, beside_lines),
        ]
    )
    return {
        "invoices/explanations": Report(
            {"dagster/row_count": steps.height}, [explanations_add_up(steps, told, figures.statements)]
        )
    }


def _figures(billing: Billing, month: Month, read: Mapping[str, Generation]) -> MonthOfFigures:
    """What the invoices were made from, of payers with an invoice."""
    drafts = read["invoices/drafts"].typed(Drafts)

    def invoiced(rows: dy.DataFrame[Schema], payer: str = "payer_id") -> dy.DataFrame[Schema]:
        return rows.join(drafts, left_on=payer, right_on="payer_id", how="semi")

    settled, adjusted = read["credits/credit_statements"], read["credits/adjustments"]
    lines = read["invoices/invoice_lines"].typed(InvoiceLines)
    statements = invoiced(settled.typed(CreditStatements))
    is_first = billing.predecessor("invoices/drafts", month) is None
    before = None if is_first else billing.settled("invoices/lifetimes", month.previous)
    return MonthOfFigures(
        month=month,
        drafts=drafts,
        lines=lines,
        adjustments=invoiced(adjusted.typed(Adjustments)),
        adjustment_shares=invoiced(adjusted.typed(AdjustmentShares, "shares")),
        statements=statements,
        fees=invoiced(settled.typed(Fees, "fees")),
        movements=read["credits/credit_movements"].typed(CreditMovements),
        lots=invoiced(read["credits/credit_lots"].typed(CreditLots)),
        opened_grants=read["credits/opened_grants"].typed(OpenedGrants),
        pending=invoiced(settled.typed(Refills, "pending"), "holder_id"),
        agreements=read["accounts/refill_agreements"].typed(RefillAgreements),
        lifetimes_before=invoiced(before.typed(Lifetimes)) if before else Lifetimes.create_empty(),
        commitments=_commitments(read, statements),
        free_quantities=read["accounts/spend_rules"]
        .typed(SpendRules)
        .filter(pl.col("kind").cast(pl.String) == "free_quantity"),
        segments=Segments.validate(Segments.cast(read["rating/segments"].read())),
        charge_shares=ChargeShares.validate(read["rating/charge_shares"].read().join(lines, on="line_id", how="semi")),
        prices=read["accounts/prices"].typed(Prices),
        provision_from_month=billing.settings.provision_from_month,
    )


def _commitments(
    read: Mapping[str, Generation], statements: dy.DataFrame[CreditStatements]
) -> dy.DataFrame[InvoiceRules]:
    """The commitments of payers whose estimate they are."""
    committed = statements.filter(pl.col("estimate_basis").cast(pl.String) == "committed")
    if committed.is_empty():
        return InvoiceRules.create_empty()
    assigned = assign_spend_rules(
        read["accounts/spend_rules"].typed(SpendRules),
        read["rating/charges"].read(),
        current_organisations(read["accounts/organisations"].typed(Organisations)),
    )
    is_commitment = pl.col("kind").cast(pl.String) == "commitment"
    return InvoiceRules.validate(assigned.rules.filter(is_commitment).join(committed, on="payer_id", how="semi"))


_SCORED_FROM = (
    "usage/file_receipts",
    "usage/late_arrivals",
    "invoices/drafts",
    "invoices/invoice_lines",
    "invoices/lifetimes",
    "invoices/parked_organisations",
    "credits/credit_statements",
    "credits/credit_movements",
    "credits/credit_lots",
)


@monthly_assets(
    Table(
        "invoices/scores",
        "How well the month was accounted for: completeness, clearing, timeliness. One row per score and measure.",
        deps=_SCORED_FROM,
    )
)
def scores(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Score the month; a score below 1 stops nothing, it is there to be watched."""
    del context
    read = {table: billing.read(table, month) for table in _SCORED_FROM}
    settled = read["credits/credit_statements"]
    scored = score_month(
        MonthToScore(
            receipts=read["usage/file_receipts"].typed(FileReceipts),
            late=read["usage/late_arrivals"].typed(LateArrivals),
            usage_feeds=tuple(name for name, feed in FEEDS.items() if feed.is_usage),
            lines=read["invoices/invoice_lines"].typed(InvoiceLines),
            fees=settled.typed(Fees, "fees"),
            movements=read["credits/credit_movements"].typed(CreditMovements),
            lots=read["credits/credit_lots"].typed(CreditLots),
            statements=settled.typed(CreditStatements),
            drafts=read["invoices/drafts"].typed(Drafts),
            lifetimes=read["invoices/lifetimes"].typed(Lifetimes),
            parked=read["invoices/parked_organisations"].typed(ParkedOrganisations),
        )
    )
    billing.warehouse.publish(
        "invoices/scores", partition(month), scored, as_of=billing.as_of(month), inputs=inputs_of(read)
    )
    totals = {f"{row['score']} ppm": row["ppm"] for row in scored.filter(measure="").iter_rows(named=True)}
    return {"invoices/scores": Report({"dagster/row_count": scored.height} | totals)}

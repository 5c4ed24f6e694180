"""From settled credits to draft invoices: totals, printed lines, and who is held back or owes nothing.

Page 1 of the invoice reads fees F, used credits i - d, subtotal, VAT, amount to pay. VAT is rounded once, on the
subtotal: what is invoiced now, the shortfall and the refill; credits that were sold earlier are not taxed again.
"""

from decimal import Decimal
from typing import NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.rules.balances import BasisHashes
from billing_pipeline.rules.currencies import MINOR_DIGITS
from billing_pipeline.rules.period import Period
from billing_pipeline.rules.tax import VatDecisions, add_vat
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.corrections import CorrectionLines
from billing_pipeline.tables.credits import Adjustments, CreditStatements
from billing_pipeline.tables.invoices import Drafts, InvoiceLines, ParkedOrganisations
from billing_pipeline.tables.rating import Charges

#: Who is invoiced, as of today, and what it wants to read on its invoice.
PARTY = (
    "name", "legal_name", "address_line1", "address_line2", "postcode", "city", "country", "vat_number", "legal_id",
    "language", "purchase_order", "cost_centre",
)  # fmt: skip


class DraftedMonth(NamedTuple):
    """What a month's statements became: every payer is in exactly one of drafts, parked and nothing due."""

    drafts: dy.DataFrame[Drafts]
    lines: dy.DataFrame[InvoiceLines]
    parked: dy.DataFrame[ParkedOrganisations]
    #: Payers without a line, a credit or a refill, by id.
    nothing_due: list[str]


def draft_invoices(
    charges: dy.DataFrame[Charges],
    adjustments: dy.DataFrame[Adjustments],
    statements: dy.DataFrame[CreditStatements],
    organisations: dy.DataFrame[Organisations],
    vat: VatDecisions,
    basis: dy.DataFrame[BasisHashes],
    period: Period,
    corrections: dy.DataFrame[CorrectionLines],
) -> DraftedMonth:
    """Draft the invoice of every payer with a statement that has a line, holds or lost a credit, or asks for a refill.

    A payer whose VAT is unknown (``tax_unknown``) or whose charges are in another currency than its balance
    (``currency``) is parked: its invoice cannot be right. Amounts of 0.00 are invoiced.

    Args:
        charges: the month's lines of these payers.
        adjustments: what lowers them or tops them up.
        statements: one row per payer to invoice.
        organisations: current versions, one row per owner.
        vat: the decisions for at least the payers of ``statements``.
        basis: what each statement was settled on.
        period: the billed month.
        corrections: lines that correct older months.

    Raises:
        KeyError: a discounted payer's currency is none whose minor unit `rules.currencies` knows.
    """
    due = statements.filter("is_due")
    nothing_due = statements.filter(~pl.col("is_due"))["payer_id"].sort().to_list()
    charged = ("payer_id", "currency")
    parked = _park(due, pl.concat([rows.select(charged) for rows in (charges, corrections)]), vat)
    drafted = due.join(parked, on="payer_id", how="anti")
    return DraftedMonth(
        drafts=_draft(drafted, organisations, vat, basis, period),
        lines=print_lines(drafted, charges, adjustments, organisations, period, corrections),
        parked=parked,
        nothing_due=nothing_due,
    )


def order_lines(charges: pl.DataFrame, organisations: pl.DataFrame) -> pl.DataFrame:
    """The charges (rows of `Charges`) in printed order, with ``owner_name`` and ``line_number`` from 1 for each payer.

    The main organisation's lines come first, then those of its other organisations by name; within an owner by slug,
    resource, zone, price and tier. The order is total, so that shares and documents do not depend on the input's.
    """
    owners = organisations.select("owner_id", owner_name="name")
    return (
        charges.join(owners, on="owner_id", how="left")
        .sort(
            "payer_id",
            pl.col("owner_id") != pl.col("payer_id"),
            "owner_name",
            "owner_id",
            "slug",
            "resource_name",
            "resource_id",
            "zone",
            "price_id",
            "price_factor_ppm",
            "tier_from",
            "origin_month",
            "line_id",
        )
        .with_columns(line_number=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("payer_id"))
    )


def _park(due: pl.DataFrame, charges: pl.DataFrame, vat: VatDecisions) -> dy.DataFrame[ParkedOrganisations]:
    untaxed = (
        due.join(vat.rates, on="payer_id", how="anti")
        .join(vat.unknown, on="payer_id", how="left")
        .select("payer_id", reason=pl.lit("tax_unknown"), detail="detail")
    )
    foreign = (
        charges.join(due.select("payer_id", balance_currency="currency"), on="payer_id")
        .filter(pl.col("currency") != pl.col("balance_currency"))
        .group_by("payer_id")
        .agg(
            reason=pl.lit("currency"),
            detail=pl.format(
                "{} lines are charged in {} but the organisation is billed in {}; "
                "send the charges or the prices in its currency",
                pl.len(),
                pl.col("currency").unique().sort().str.join(", "),
                pl.col("balance_currency").first(),
            ),
        )
    )
    return ParkedOrganisations.validate(pl.concat([untaxed, foreign]).sort("payer_id", "reason"))


def _draft(
    drafted: pl.DataFrame, organisations: pl.DataFrame, vat: VatDecisions, basis: pl.DataFrame, period: Period
) -> dy.DataFrame[Drafts]:
    parties = organisations.select("owner_id", *PARTY, "discount_ppm", "discount_reason", party_kind="kind")
    successors = organisations.select(successor_id="owner_id", successor_name="name")
    drafts = (
        drafted.join(parties, left_on="payer_id", right_on="owner_id", how="left")
        .join(successors, on="successor_id", how="left")
        .join(vat.rates, on="payer_id", how="left")
        .join(basis, on="payer_id", how="left")
        .with_columns(
            kind=pl.lit("invoice"),
            number=pl.lit(None, pl.String),
            billing_month=pl.lit(str(period.month)),
            period_start=pl.lit(period.month.first_day),
            period_end=pl.lit(period.month.last_day),
            issued_on=pl.lit(None, pl.Date),
            due_on=pl.lit(None, pl.Date),
            used_credits_cents=pl.col("change_cents") - pl.col("free_expired_cents"),
        )
        .with_columns(subtotal_cents=pl.col("fees_cents") + pl.col("used_credits_cents"))
    )
    return Drafts.validate(Drafts.cast(add_vat(drafts).sort("payer_id")))


def print_lines(
    drafted: pl.DataFrame,
    charges: pl.DataFrame,
    adjustments: pl.DataFrame,
    organisations: pl.DataFrame,
    period: Period,
    corrections: pl.DataFrame,
) -> dy.DataFrame[InvoiceLines]:
    """The lines of these payers' invoices: usage first, then spend rules and discounts, then corrections.

    Args:
        drafted: `payer_id` of the invoices.
        charges: as `tables.rating.Charges`.
        adjustments: as `tables.credits.Adjustments`.
        organisations: current versions, one row per owner.
        period: the billed month.
        corrections: as `tables.corrections.CorrectionLines`.
    """
    ordered = order_lines(charges.join(drafted, on="payer_id", how="semi"), organisations)
    usage = ordered.with_columns(pl.col("basis", "unit").cast(pl.String), amount_cents="charge_cents")
    rules = _adjustment_lines(drafted, adjustments, usage, organisations, period)
    lines = pl.concat([InvoiceLines.create_empty().cast({pl.Enum: pl.String}), usage, rules], how="diagonal")
    if corrections.height:
        lines = pl.concat([lines, _correction_lines(drafted, corrections, lines, organisations)], how="diagonal")
    return InvoiceLines.validate(InvoiceLines.cast(lines.sort("payer_id", "line_number")))


def _correction_lines(
    drafted: pl.DataFrame, corrections: pl.DataFrame, others: pl.DataFrame, organisations: pl.DataFrame
) -> pl.DataFrame:
    """The corrections after all other lines, in their own order, under the names that owners have now."""
    printed = others.group_by("payer_id").agg(printed=pl.col("line_number").max())
    named = organisations.select("owner_id", own_name="name")
    return (
        corrections.cast({pl.Enum: pl.String})
        .join(drafted, on="payer_id", how="semi", maintain_order="left")
        .join(printed, on="payer_id", how="left", maintain_order="left")
        .join(named, on="owner_id", how="left", maintain_order="left")
        .with_columns(
            owner_name=pl.coalesce("own_name", "owner_name"),
            line_number=pl.col("printed").fill_null(0) + pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("payer_id"),
        )
        .drop("printed", "own_name", "approval")
    )


def _adjustment_lines(
    drafted: pl.DataFrame, adjustments: pl.DataFrame, usage: pl.DataFrame, organisations: pl.DataFrame, period: Period
) -> pl.DataFrame:
    """The lines of spend rules and invoice discounts: one piece at the amount, minus one of what lowers the fees."""
    kind, is_discount = pl.col("kind").cast(pl.String), pl.col("amount_cents") < 0
    lines = (
        adjustments.join(drafted, on="payer_id", how="semi")
        .join(usage.group_by("payer_id").agg(printed=pl.col("line_number").max()), on="payer_id", how="left")
        .with_columns(
            resource_id=pl.coalesce("rule_id", pl.lit("discount")), owner_id=pl.coalesce("owner_id", "payer_id")
        )
        .join(organisations.select("owner_id", owner_name="name"), on="owner_id", how="left")
    )
    prices = [
        Decimal(abs(amount)).scaleb(-MINOR_DIGITS[currency])
        for amount, currency in lines.select("amount_cents", "currency").iter_rows()
    ]
    return lines.select(
        "line_id",
        "payer_id",
        "owner_id",
        "owner_name",
        "resource_id",
        "amount_cents",
        "currency",
        line_number=pl.col("printed").fill_null(0) + pl.col("application_order"),
        slug=pl.coalesce("slug", pl.when(kind == "invoice_discount").then(pl.lit("discount")).otherwise(kind)),
        zone=pl.lit(""),
        price_factor_ppm=pl.lit(10**6, pl.Int64),
        origin_month=pl.lit(str(period.month)),
        basis=pl.when(is_discount).then(pl.lit("discount")).otherwise(pl.lit("true_up")),
        rule_kind=kind,
        rule_rate_ppm="rate_ppm",
        rule_limit_cents="limit_cents",
        quantity=pl.when(is_discount).then(-1).otherwise(1).cast(pl.Decimal(38, 9)),
        unit=pl.lit("piece"),
        unit_price=pl.Series(prices, dtype=pl.Decimal(38, 20)),
        per_quantity=pl.lit(1, pl.Int64),
        per_seconds=pl.lit(1, pl.Int64),
        line_discount_ppm=pl.lit(0, pl.Int64),
        description=pl.when(pl.col("name") != "").then("name"),
    )

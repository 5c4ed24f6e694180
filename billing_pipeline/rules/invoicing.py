"""From settled credits to draft invoices: totals, printed lines, and who is held back or owes nothing.

Page 1 of the invoice reads fees F, used credits i - d, subtotal, VAT, amount to pay. VAT is rounded once, on the
subtotal: what is invoiced now, the shortfall and the refill; credits that were sold earlier are not taxed again.
"""

from decimal import Decimal
from hashlib import sha256
from typing import NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.rules.balances import BasisHashes
from billing_pipeline.rules.currencies import MINOR_DIGITS
from billing_pipeline.rules.period import Period
from billing_pipeline.rules.rounding import rounded_half_away
from billing_pipeline.rules.tax import VatDecisions
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.credits import CreditStatements, Fees
from billing_pipeline.tables.invoices import Drafts, InvoiceLines, ParkedOrganisations
from billing_pipeline.tables.rating import Charges

_ADDRESS = [
    "name", "legal_name", "address_line1", "address_line2", "postcode", "city", "country", "vat_number", "legal_id",
    "language", "purchase_order", "cost_centre", "discount_ppm", "discount_reason",
]  # fmt: skip


class DraftedMonth(NamedTuple):
    """What a month's statements became: every payer is in exactly one of drafts, parked and nothing due."""

    drafts: dy.DataFrame[Drafts]
    lines: dy.DataFrame[InvoiceLines]
    parked: dy.DataFrame[ParkedOrganisations]
    #: Payers without a line, a credit or a refill, by id.
    nothing_due: list[str]


def draft_invoices(
    charges: dy.DataFrame[Charges],
    fees: dy.DataFrame[Fees],
    statements: dy.DataFrame[CreditStatements],
    organisations: dy.DataFrame[Organisations],
    vat: VatDecisions,
    basis: dy.DataFrame[BasisHashes],
    period: Period,
) -> DraftedMonth:
    """Draft the invoice of every payer with a statement that has a line, holds or lost a credit, or asks for a refill.

    A payer whose VAT is unknown (``tax_unknown``) or whose charges are in another currency than its balance
    (``currency``) is parked: its invoice cannot be right. Amounts of 0.00 are invoiced.

    Args:
        charges: the month's lines of these payers.
        fees: the same lines with their shares of the invoice discount.
        statements: one row per payer to invoice.
        organisations: current versions, one row per owner.
        vat: the decisions for at least the payers of ``statements``.
        basis: what each statement was settled on.
        period: the billed month.

    Raises:
        KeyError: a discounted payer's currency is none whose minor unit `rules.currencies` knows.
    """
    due = _has_something_due(statements, fees)
    nothing_due = statements.join(due, on="payer_id", how="anti")["payer_id"].sort().to_list()
    parked = _park(due, charges, vat)
    drafted = due.join(parked, on="payer_id", how="anti")
    return DraftedMonth(
        drafts=_draft(drafted, organisations, vat, basis, period),
        lines=_print_lines(drafted, charges, fees, organisations, period),
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


def _has_something_due(statements: pl.DataFrame, fees: pl.DataFrame) -> pl.DataFrame:
    has_line = pl.col("payer_id").is_in(fees["payer_id"].unique().implode())
    return statements.filter(has_line | (pl.col("balance_before_cents") > 0) | (pl.col("refill_cents") > 0))


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
    parties = organisations.select("owner_id", *_ADDRESS, party_kind="kind")
    subtotal, tax = pl.col("subtotal_cents"), pl.col("vat_cents")
    drafts = (
        drafted.join(parties, left_on="payer_id", right_on="owner_id", how="left")
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
        .with_columns(vat_cents=rounded_half_away(subtotal.cast(pl.Int128) * pl.col("vat_ppm"), 10**6).cast(pl.Int64))
        .with_columns(payable_cents=subtotal + tax)
    )
    return Drafts.validate(drafts.select(Drafts.column_names()).sort("payer_id"), cast=True)


def _print_lines(
    drafted: pl.DataFrame, charges: pl.DataFrame, fees: pl.DataFrame, organisations: pl.DataFrame, period: Period
) -> dy.DataFrame[InvoiceLines]:
    ordered = order_lines(charges.join(drafted, on="payer_id", how="semi"), organisations)
    usage = ordered.with_columns(pl.col("basis").cast(pl.String), amount_cents="charge_cents")
    discounts = _discount_lines(drafted, fees, ordered, organisations, period)
    lines = pl.concat([usage, discounts], how="diagonal").select(InvoiceLines.column_names())
    return InvoiceLines.validate(lines.sort("payer_id", "line_number"), cast=True)


def _discount_lines(
    drafted: pl.DataFrame, fees: pl.DataFrame, ordered: pl.DataFrame, organisations: pl.DataFrame, period: Period
) -> pl.DataFrame:
    """The one negative line of each discounted payer: minus one piece at the discount's amount."""
    month = str(period.month)
    discounts = (
        fees.group_by("payer_id")
        .agg(amount_cents=pl.col("discount_cents").cast(pl.Int128).sum().cast(pl.Int64))
        .filter(pl.col("amount_cents") < 0)
        .join(drafted.select("payer_id", "currency"), on="payer_id")
        .join(ordered.group_by("payer_id").agg(line_number=pl.col("line_number").max() + 1), on="payer_id")
        .join(
            organisations.select(payer_id="owner_id", owner_name="name", description="discount_reason"), on="payer_id"
        )
    )
    line_ids = [sha256(f"discount|{payer}|{month}".encode()).hexdigest()[:32] for payer in discounts["payer_id"]]
    prices = [
        Decimal(-amount).scaleb(-MINOR_DIGITS[currency])
        for amount, currency in discounts.select("amount_cents", "currency").iter_rows()
    ]
    return discounts.with_columns(
        line_id=pl.Series(line_ids, dtype=pl.String),
        owner_id="payer_id",
        resource_id=pl.lit("discount"),
        slug=pl.lit("discount"),
        zone=pl.lit(""),
        price_factor_ppm=pl.lit(10**6, pl.Int64),
        origin_month=pl.lit(month),
        basis=pl.lit("discount"),
        quantity=pl.lit(-1).cast(pl.Decimal(38, 9)),
        unit=pl.lit("piece").cast(ordered.schema["unit"]),
        unit_price=pl.Series(prices, dtype=pl.Decimal(38, 20)),
        per_quantity=pl.lit(1, pl.Int64),
        per_seconds=pl.lit(1, pl.Int64),
        line_discount_ppm=pl.lit(0, pl.Int64),
    )

"""Documents beside the monthly invoice: one-off charges that are invoiced on their own, and prepaid credits sold.

A specific invoice asks for a service with its VAT. It touches no credits, asks for no refill and is no part of the
month's fees or of the estimate. A top-up sells prepaid credits with VAT on them; they count from the first month that
knows its invoice paid. Each charge has one document, known by its external reference, and is invoiced once.
"""

from decimal import Decimal
from typing import NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.rules.period import Period
from billing_pipeline.rules.tax import VatDecisions, add_vat
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.explanations import Explanations
from billing_pipeline.tables.invoices import (
    BillFlags,
    ParkedOrganisations,
    SpecificDrafts,
    SpecificLines,
)
from billing_pipeline.tables.rating import SpecificCharges

_MILLIONTH = Decimal("0.000001")
_PRICE = pl.Decimal(38, 26)


class DraftedDocuments(NamedTuple):
    """What a month's one-off charges with documents of their own became."""

    drafts: dy.DataFrame[SpecificDrafts]
    lines: dy.DataFrame[SpecificLines]
    #: Payers whose VAT is unknown.
    parked: dy.DataFrame[ParkedOrganisations]
    #: Charges whose reference was invoiced before (``ref_duplicate``): nothing is asked for twice.
    flags: dy.DataFrame[BillFlags]
    #: The charges that the drafts ask for.
    charges: dy.DataFrame[SpecificCharges]


def draft_documents(
    charges: dy.DataFrame[SpecificCharges],
    organisations: dy.DataFrame[Organisations],
    vat: VatDecisions,
    issued: pl.DataFrame,
    period: Period,
) -> DraftedDocuments:
    """Draft one document for each charge, but for those of payers whose VAT is unknown and those invoiced before.

    Args:
        charges: the month's, of payers that are not held back.
        organisations: current versions, one row per owner.
        vat: the decisions for at least the payers of these charges.
        issued: `reference`, `number` and `billing_month` of the documents that other months issued.
        period: the billed month.
    """
    known = charges.join(issued.select("reference", "number", issued_month="billing_month"), on="reference", how="left")
    again = known.filter(pl.col("number").is_not_null())
    new = charges.join(issued, on="reference", how="anti")
    unknown = new.select("payer_id").unique().join(vat.rates, on="payer_id", how="anti")
    untaxed = unknown.join(vat.unknown, on="payer_id").select("payer_id", reason=pl.lit("tax_unknown"), detail="detail")
    taxed = SpecificCharges.validate(new.join(unknown, on="payer_id", how="anti").sort("payer_id", "kind", "reference"))
    return DraftedDocuments(
        drafts=_draft(taxed, organisations, vat, period),
        lines=_print_lines(taxed, organisations),
        parked=ParkedOrganisations.validate(untaxed.sort("payer_id")),
        flags=_flag(again),
        charges=taxed,
    )


def _draft(
    charges: pl.DataFrame, organisations: pl.DataFrame, vat: VatDecisions, period: Period
) -> dy.DataFrame[SpecificDrafts]:
    amount, is_sale = pl.col("charge_cents"), pl.col("kind").cast(pl.String) == "credits"
    parties = organisations.drop("payer_id", "currency").rename({"owner_id": "payer_id", "kind": "party_kind"})
    drafts = (
        charges.join(parties, on="payer_id", how="left")
        .join(vat.rates, on="payer_id", how="left")
        .with_columns(
            number=pl.lit(None, pl.String),
            billing_month=pl.lit(str(period.month)),
            period_start=pl.lit(period.month.first_day),
            period_end=pl.lit(period.month.last_day),
            issued_on=pl.lit(None, pl.Date),
            due_on=pl.lit(None, pl.Date),
            performed_on=pl.col("performed_at").dt.convert_time_zone(str(period.zone)).dt.date(),
            fees_cents=pl.when(is_sale).then(0).otherwise(amount),
            used_credits_cents=pl.when(is_sale).then(amount).otherwise(0),
            subtotal_cents=amount,
            # That of the organisation is one on monthly invoices.
            discount_ppm=pl.lit(0, pl.Int64),
            discount_reason=pl.lit(None, pl.String),
            successor_name=pl.lit(None, pl.String),
        )
    )
    return SpecificDrafts.validate(add_vat(drafts).sort("payer_id", "kind", "reference"))


def _print_lines(charges: pl.DataFrame, organisations: pl.DataFrame) -> dy.DataFrame[SpecificLines]:
    """The line of each document; what the month's lines have and these do not is null."""
    named = organisations.select("owner_id", owner_name="name")
    lines = charges.join(named, on="owner_id", how="left").with_columns(
        line_number=pl.lit(1, pl.Int64),
        resource_id="event_id",
        resources=pl.lit(1, pl.Int64),
        slug=pl.when(pl.col("kind").cast(pl.String) == "credits").then(pl.lit("credits")).otherwise(pl.lit("one_shot")),
        zone=pl.lit(""),
        basis=pl.lit("one_shot"),
        unit=pl.lit("piece"),
        per_quantity=pl.lit(1, pl.Int64),
        per_seconds=pl.lit(1, pl.Int64),
        amount_cents="charge_cents",
    )
    absent = [name for name in SpecificLines.column_names() if name not in lines.columns]
    lines = lines.with_columns(pl.lit(None).alias(name) for name in absent)
    return SpecificLines.validate(SpecificLines.cast(lines.sort("payer_id", "kind", "reference")))


def _flag(again: pl.DataFrame) -> dy.DataFrame[BillFlags]:
    told = pl.format("{} was invoiced as {} with {}; it is not invoiced again", "reference", "number", "issued_month")
    flags = again.rechunk().group_by("payer_id").agg(detail=told.sort().str.join("; "))
    return BillFlags.validate(
        flags.select("payer_id", reason=pl.lit("ref_duplicate"), detail="detail").sort("payer_id")
    )


def explain_documents(
    drafts: dy.DataFrame[SpecificDrafts], lines: dy.DataFrame[SpecificLines]
) -> dy.DataFrame[Explanations]:
    """Why each document asks for what it does: the steps of its line, then of subtotal, VAT and amount to pay.

    They are told under the line, because the payer's monthly invoice has the same figures.
    """
    documents = lines.join(
        drafts.drop("currency"), on=["payer_id", "kind", "reference"], how="left", maintain_order="left"
    )
    rate = pl.col("vat_ppm").cast(_PRICE) * pl.lit(_MILLIONTH).cast(_PRICE)
    less = 0 - pl.col("unit_price").cast(_PRICE) * (pl.col("line_discount_ppm").cast(_PRICE) * pl.lit(_MILLIONTH))
    piece, cent = {"unit": pl.lit("piece"), "per": pl.lit(1)}, {"unit": pl.lit("cent"), "per": pl.lit(1)}
    discounted = documents.filter(pl.col("line_discount_ppm") > 0)
    of_price = {"quantity": pl.col("quantity"), **piece}
    is_sale = pl.col("kind").cast(pl.String) == "credits"
    asked = pl.when(is_sale).then(pl.lit("credits that are sold")).otherwise(pl.lit("fees of the line"))
    steps = [
        _step(
            documents, "amount", "price", of_price | {"unit_price": pl.col("unit_price"), "text": pl.col("description")}
        ),
        _step(discounted, "amount", "line_discount", of_price | {"unit_price": less}),
        _step(documents, "amount", "rounded", {}, pl.col("amount_cents")),
        _step(documents, "subtotal", "line", {"text": asked}, pl.col("amount_cents")),
        _step(
            documents,
            "vat",
            "rate",
            {
                "quantity": pl.col("subtotal_cents"),
                **cent,
                "unit_price": rate,
                "text": pl.format("of the subtotal: {}", "vat_reason"),
            },
        ),
        _step(documents, "vat", "rounded", {}, pl.col("vat_cents")),
        _step(documents, "payable", "figure", {"text": pl.lit("subtotal")}, pl.col("subtotal_cents")),
        _step(documents, "payable", "figure", {"text": pl.lit("vat")}, pl.col("vat_cents")),
    ]
    told = pl.concat(steps).with_columns(
        step=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("payer_id", "line_id", "figure")
    )
    return Explanations.validate(Explanations.cast(told.sort("payer_id", "line_id", "figure", "step")))


def _step(
    rows: pl.DataFrame, figure: str, what: str, told: dict[str, pl.Expr], amount: pl.Expr | None = None
) -> pl.DataFrame:
    """One step of a figure for each row."""
    schema = {name: _plain(kind) for name, kind in Explanations.create_empty().schema.items()}
    values: dict[str, pl.Expr] = dict.fromkeys(("text", "quantity", "unit", "unit_price", "per"), pl.lit(None)) | told
    # In one chunk: Polars 2.1 aborts where `format` meets a filtered column of several, one of them empty.
    return rows.rechunk().select(
        "payer_id",
        "line_id",
        "currency",
        figure=pl.lit(figure),
        what=pl.lit(what),
        **{name: of.cast(schema[name]) for name, of in values.items()},
        amount_cents=(pl.lit(None) if amount is None else amount).cast(pl.Int64),
    )


def _plain(kind: pl.DataType) -> pl.DataType | type[pl.String]:
    return pl.String if isinstance(kind, pl.Enum) else kind


def figures_of_documents(drafts: dy.DataFrame[SpecificDrafts], lines: dy.DataFrame[SpecificLines]) -> pl.DataFrame:
    """The figures that are published of these documents: `payer_id`, `line_id`, `figure`, `figure_cents`."""
    figure = Explanations.create_empty().schema["figure"]
    documents = lines.join(drafts.drop("currency"), on=["payer_id", "kind", "reference"], how="left")
    cents = {"amount": "amount_cents"} | {name: f"{name}_cents" for name in ("subtotal", "vat", "payable")}
    return pl.concat(
        documents.select("payer_id", "line_id", figure=pl.lit(name).cast(figure), figure_cents=column)
        for name, column in cents.items()
    )

"""Why a figure is what it is: the steps that lead to it, for all lines, statements and invoices of a month at once.

Nothing is computed a second time to decide an amount; what earlier stages published is taken apart, and the steps must
add up to it. Three kinds of steps make the amount of a line:

- quantities, from what was measured to what is paid for: granules, whole seconds, the tier's part, started blocks; of
  small resources on one line the quantity of each;
- prices, each worth quantity × unit price / per, exactly: the price, a tier's entry price, the line's own discount;
- `rounded`: the worth of these, rounded once, which is the amount; small resources share it instead.

The line of a spend rule is worth its rate of its base, or the difference of its limit and its base.

What a line still asks for (`due`) is its amount less its share of each discount and the credits that paid it; the VAT
of an invoice is shared over these and the refill by largest remainder.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from decimal import Decimal

import dataframely as dy
import polars as pl

from billing_pipeline.rules.period import Month
from billing_pipeline.rules.spending import InvoiceRules
from billing_pipeline.tables.accounts import Prices, RefillAgreements, SpendRules
from billing_pipeline.tables.credits import (
    ESTIMATE_BASES,
    Adjustments,
    AdjustmentShares,
    CreditLots,
    CreditMovements,
    CreditStatements,
    Fees,
    OpenedGrants,
    Refills,
)
from billing_pipeline.tables.explanations import (
    INVOICE_FIGURES,
    STATEMENT_FIGURES,
    Explanations,
    Lifetimes,
)
from billing_pipeline.tables.invoices import Drafts, InvoiceLines, ReissuedInvoices
from billing_pipeline.tables.rating import ChargeShares, Segments

_LINE_KEY = ("payer_id", "owner_id", "resource_id", "slug", "zone", "price_id", "price_factor_ppm")

_QUANTITY, _PRICE = pl.Decimal(38, 9), pl.Decimal(38, 26)
_MILLIONTH = pl.lit(Decimal("0.000001")).cast(_QUANTITY)
_SCHEMA = Explanations.create_empty().schema
_FIGURE, _STEP = _SCHEMA["figure"], _SCHEMA["what"]
_TYPES = {name: _SCHEMA[name] for name in ("text", "quantity", "unit", "unit_price", "per")}


@dataclass(frozen=True)
class MonthOfFigures:
    """Everything that a month's invoices were made from; of payers with an invoice."""

    month: Month
    drafts: dy.DataFrame[Drafts]
    lines: dy.DataFrame[InvoiceLines]
    adjustments: dy.DataFrame[Adjustments]
    adjustment_shares: dy.DataFrame[AdjustmentShares]
    statements: dy.DataFrame[CreditStatements]
    fees: dy.DataFrame[Fees]
    #: Of all payers: who gives credits away may have no invoice.
    movements: dy.DataFrame[CreditMovements]
    lots: dy.DataFrame[CreditLots]
    opened_grants: dy.DataFrame[OpenedGrants]
    #: Refills and top-ups of earlier months that are not paid.
    pending: dy.DataFrame[Refills]
    agreements: dy.DataFrame[RefillAgreements]
    #: What payers held after the month before.
    lifetimes_before: dy.DataFrame[Lifetimes]
    #: What payers have committed themselves to spend; rules of kind `commitment`.
    commitments: dy.DataFrame[InvoiceRules]
    #: Rules of kind `free_quantity`.
    free_quantities: dy.DataFrame[SpendRules]
    segments: dy.DataFrame[Segments]
    charge_shares: dy.DataFrame[ChargeShares]
    prices: dy.DataFrame[Prices]
    #: How many statements of a payer go without a refill.
    provision_from_month: int


def explain_month(month: MonthOfFigures) -> dy.DataFrame[Explanations]:
    """Take every figure of every invoice of a month apart, in steps that add up to it."""
    due = pl.concat(_due(month))
    taxed = _taxed(month.drafts, month.lines, month.statements, due)
    return _in_order([*_amounts(month), due, *_statement_figures(month), *_totals(month), *taxed], month.drafts)


def explain_reissue(
    told: dy.DataFrame[Explanations],
    invoice: dy.DataFrame[ReissuedInvoices],
    lines: dy.DataFrame[InvoiceLines],
    statements: dy.DataFrame[CreditStatements],
) -> dy.DataFrame[Explanations]:
    """The steps of an invoice that was issued again: those of the one that it replaces, but for its own VAT.

    Args:
        told: the steps of the invoice of that month.
        invoice: the one that stands in its stead.
        lines: its lines.
        statements: its statement.
    """
    of_vat = pl.col("figure").cast(pl.String).is_in(["vat", "vat_share", "payable"])
    due = told.filter(pl.col("figure").cast(pl.String) == "due")
    taxed = _in_order(_taxed(invoice, lines, statements, due), invoice)
    return Explanations.validate(pl.concat([told.filter(~of_vat), taxed]).sort("payer_id", "line_id", "figure", "step"))


def _taxed(
    drafts: pl.DataFrame, lines: pl.DataFrame, statements: pl.DataFrame, due: pl.DataFrame
) -> Iterator[pl.DataFrame]:
    """The steps of VAT, and of what it is part of."""
    yield from _vat(drafts, _share_vat(drafts, lines, statements, due))
    yield from _terms(drafts, "payable", "subtotal", "vat")


def _in_order(steps: Iterable[pl.DataFrame], drafts: pl.DataFrame) -> dy.DataFrame[Explanations]:
    """Steps with the currencies of their invoices, counted from 1 for each figure."""
    whole = (
        pl.concat(steps)
        .join(drafts.select("payer_id", "currency"), on="payer_id")
        .sort("payer_id", "line_id", "figure", "what", "rank", "text")
        .with_columns(step=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("payer_id", "line_id", "figure"))
    )
    return Explanations.validate(whole)


def figures_to_explain(
    drafts: dy.DataFrame[Drafts], lines: dy.DataFrame[InvoiceLines], statements: dy.DataFrame[CreditStatements]
) -> pl.DataFrame:
    """The figures that were published: `payer_id`, `line_id`, `figure`, `figure_cents`."""
    stated = statements.join(drafts, on="payer_id", how="semi")
    told = [
        rows.select("payer_id", line_id=pl.lit(""), figure=pl.lit(figure), figure_cents=f"{figure}_cents")
        for rows, figures in ((stated, STATEMENT_FIGURES), (drafts, INVOICE_FIGURES))
        for figure in figures
    ]
    amounts = lines.select("payer_id", "line_id", figure=pl.lit("amount"), figure_cents="amount_cents")
    return pl.concat([amounts, *told]).with_columns(pl.col("figure").cast(_FIGURE))


def _steps(
    rows: pl.DataFrame,
    figure: str,
    what: str,
    *,
    amount: pl.Expr | None = None,
    quantity: pl.Expr | None = None,
    unit: pl.Expr | None = None,
    unit_price: pl.Expr | None = None,
    per: pl.Expr | None = None,
    text: pl.Expr | None = None,
    rank: int | pl.Expr = 0,
) -> pl.DataFrame:
    """One step of a figure for each row, in the columns that all steps have; `rank` orders steps of one kind."""
    values = {"text": text, "quantity": quantity, "unit": unit, "unit_price": unit_price, "per": per}
    line_id = pl.col("line_id") if "line_id" in rows.columns else pl.lit("")
    # In one chunk: Polars 2.1 aborts where `format` meets a filtered column of several, one of them empty.
    return rows.rechunk().select(
        "payer_id",
        line_id=line_id,
        figure=pl.lit(figure, _FIGURE),
        what=pl.lit(what, _STEP),
        rank=(pl.lit(rank) if isinstance(rank, int) else rank).cast(pl.Int32),
        **{name: (pl.lit(None) if value is None else value).cast(_TYPES[name]) for name, value in values.items()},
        amount_cents=(pl.lit(None) if amount is None else amount).cast(pl.Int64),
    )


# Lines: from what was measured to the amount.


def _amounts(month: MonthOfFigures) -> Iterator[pl.DataFrame]:
    """The amount of every line."""
    yield from _quantities(_measured(month))
    yield from _corrections(month)
    is_own = pl.col("correction_cause").is_null()
    lines = _priced(month).filter(is_own).join(month.adjustments, on=["payer_id", "line_id"], how="anti")
    yield from _prices(lines)
    yield from _adjustments(month)
    is_shared = (pl.col("resources") > 1).fill_null(value=False)
    yield _steps(lines.filter(~is_shared), "amount", "rounded", amount=pl.col("amount_cents"))
    shared = lines.filter(is_shared)
    yield _steps(shared, "amount", "rounded", text=pl.lit("shared over the resources by largest remainder"))
    units = shared.select("payer_id", "line_id", "unit")
    yield _steps(
        month.charge_shares.join(units, on="line_id"),
        "amount",
        "resource",
        quantity=pl.col("quantity"),
        unit=pl.col("unit").cast(pl.String),
        amount=pl.col("share_cents"),
        text=pl.format("{} ({})", pl.coalesce("resource_name", pl.lit("resource")), "resource_id"),
    )


def _priced(month: MonthOfFigures) -> pl.DataFrame:
    """The lines with their price version; what has none is worth the unit price that is printed."""
    exact = month.prices.select(
        "price_id",
        "price_factor_ppm",
        "tier_from",
        "tier_to",
        "tier_mode",
        "valid_from",
        "valid_to",
        "block_quantity",
        "block_seconds",
        "granularity_seconds",
        "minimum_seconds",
        negotiated_for="owner_id",
        exact_price=_at_scale_26("unit_price_e26"),
        tier_price=_at_scale_26("tier_price_e26"),
    )
    is_package = pl.col("tier_mode").cast(pl.String) == "package"
    price = pl.when(is_package).then("tier_price").otherwise("exact_price")
    entry = pl.when(is_package).then(pl.lit(Decimal(0)).cast(_PRICE)).otherwise("tier_price")
    return month.lines.join(
        exact, on=["price_id", "price_factor_ppm", "tier_from"], how="left", nulls_equal=False
    ).with_columns(
        price=pl.coalesce(price, pl.col("unit_price").cast(_PRICE)),
        entry_price=entry,
        per=pl.col("per_quantity").cast(pl.Int128) * pl.col("per_seconds"),
    )


def _measured(month: MonthOfFigures) -> pl.DataFrame:
    """Metered lines with what was measured for them; lines that small resources share are told by resource."""
    segments = month.segments.with_columns(pl.col("basis").cast(pl.String))
    by_tier = pl.col("tier_from").is_not_null()
    columns = [*_LINE_KEY, "tier_from"]
    own = _priced(month).filter(pl.col("correction_cause").is_null())
    lines = _with_free_quantity(own, month.free_quantities).with_columns(pl.col("basis").cast(pl.String))
    figures = ("duration_us", "unusable_us", "granulated_us", "part_byte_us", "block_us", "moved_bytes", "units_max")
    wanted = [*figures, "units_max_at"]
    return pl.concat(
        [
            lines.join(segments.filter(by_tier).select(*columns, *wanted), on=columns),
            lines.join(segments.filter(~by_tier).select(*_LINE_KEY, *wanted), on=list(_LINE_KEY)),
        ]
    )


def _with_free_quantity(lines: pl.DataFrame, rules: pl.DataFrame) -> pl.DataFrame:
    """`free` of a line's resource: its owner's own quantity, or its payer's, or everybody's."""
    key = ("slug", "currency")
    named = rules.group_by("owner_id", *key).agg(pl.col("quantity").max())
    own = named.select("owner_id", *key, own="quantity")
    payers = named.select(*key, payer_id="owner_id", of_payer="quantity")
    everybodys = named.filter(pl.col("owner_id").is_null()).select(*key, everybodys="quantity")
    return (
        lines.join(own, on=["owner_id", *key], how="left")
        .join(payers, on=["payer_id", *key], how="left")
        .join(everybodys, on=list(key), how="left")
        .with_columns(free=pl.coalesce("own", "of_payer", "everybodys", pl.lit(0)).cast(_QUANTITY))
        .drop("own", "of_payer", "everybodys")
    )


def _quantities(lines: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """From what was measured to the quantity of the line, in steps that add up to it."""
    unit = pl.col("unit").cast(pl.String)
    basis, mode = pl.col("basis"), pl.col("tier_mode").cast(pl.String)
    usable = pl.col("duration_us").cast(_QUANTITY) * _MILLIONTH
    unusable = pl.col("unusable_us").fill_null(0).cast(_QUANTITY) * _MILLIONTH
    granulated = pl.col("granulated_us").cast(_QUANTITY) * _MILLIONTH
    blocks_held = pl.col("block_us").cast(_QUANTITY) * _MILLIONTH * pl.col("block_quantity").cast(_QUANTITY)
    held = pl.coalesce(blocks_held, pl.col("part_byte_us").cast(_QUANTITY) * _MILLIONTH)
    told = pl.coalesce("moved_bytes", "units_max").cast(_QUANTITY)
    nothing = pl.lit(Decimal(0)).cast(_QUANTITY)
    ran = basis == "runtime"
    known = lines.with_columns(
        measured=pl.when(ran).then(usable + unusable).when(basis == "stored").then(held).otherwise(told),
        unusable=pl.when(ran).then(nothing - unusable).otherwise(nothing),
        granules=pl.when(ran).then((granulated - usable).fill_null(nothing)).otherwise(nothing),
        whole_unit=pl.when(pl.col("block_us").is_not_null()).then("block_quantity").otherwise(1),
    ).with_columns(exact=pl.col("measured") + pl.col("unusable") + pl.col("granules"))
    known = known.with_columns(whole=_floored("exact", "whole_unit")).with_columns(
        part=_part_of_tier(nothing), paid=_part_of_tier(pl.col("free"))
    )
    known = known.with_columns(
        whole_seconds=pl.col("whole") - pl.col("exact"),
        tier=pl.col("part") - pl.col("whole"),
        free_quantity=pl.col("paid") - pl.col("part"),
        blocks=pl.col("quantity") - pl.col("paid"),
    )
    place = pl.format("tier from {} to {}, {}", "tier_from", pl.col("tier_to").cast(pl.String).fill_null("∞"), mode)
    yield _steps(
        known,
        "amount",
        "measured",
        quantity=pl.col("measured"),
        unit=unit,
        text=pl.when(basis == "units").then(pl.format("largest count, first reached {}", _instant("units_max_at"))),
    )
    yield _steps(known.filter(pl.col("unusable") != 0), "amount", "unusable", quantity=pl.col("unusable"), unit=unit)
    whole, least = pl.col("granularity_seconds"), pl.col("minimum_seconds")
    counted = known.filter(pl.col("granules") != 0)
    in_granules = pl.concat_str(
        pl.format("granules of {} s", whole), pl.format("at least {} s a run", least), separator=", ", ignore_nulls=True
    )
    for what, rows in (("granules", counted.filter(whole.is_not_null())), ("minimum", counted.filter(whole.is_null()))):
        yield _steps(rows, "amount", what, quantity=pl.col("granules"), unit=unit, text=in_granules)
    whole_seconds = known.filter(pl.col("whole_seconds") != 0)
    yield _steps(whole_seconds, "amount", "whole_seconds", quantity=pl.col("whole_seconds"), unit=unit)
    tiered = known.filter(~mode.is_in(["flat", "package"]))
    yield _steps(tiered, "amount", "tier", quantity=pl.col("tier"), unit=unit, text=place)
    freed = known.filter(pl.col("free_quantity") != 0)
    first = pl.format("the first {} of a resource", pl.col("free").cast(pl.Int128))
    yield _steps(freed, "amount", "free_quantity", quantity=pl.col("free_quantity"), unit=unit, text=first)
    blocked = known.filter(pl.col("blocks") != 0)
    size = pl.format("started blocks of {}", pl.coalesce("block_quantity", "block_seconds"))
    yield _steps(blocked, "amount", "blocks", quantity=pl.col("blocks"), unit=unit, text=size)


def _floored(exact: str, whole_unit: str) -> pl.Expr:
    """Whole seconds are taken once, at the line: whole seconds of blocks where blocks were held."""
    size = pl.col(whole_unit).cast(pl.Int128)
    return (pl.col(exact).cast(pl.Int128) // size * size).cast(_QUANTITY)


def _part_of_tier(free: pl.Expr) -> pl.Expr:
    """What of the whole quantity lies in the tier, its first part being free; the rest keeps its place.

    A stored size found its tier before it was summed; none of it is free but by a price of 0.
    """
    whole, start, end = pl.col("whole"), pl.col("tier_from").cast(_QUANTITY), pl.col("tier_to").cast(_QUANTITY)
    basis, mode = pl.col("basis"), pl.col("tier_mode").cast(pl.String)
    is_graduated = (mode == "graduated") & (basis != "stored")
    units = pl.min_horizontal(whole, end - 1) - pl.max_horizontal(start - 1, free)
    return (
        pl.when(is_graduated & (basis == "units"))
        .then(units)
        .when(is_graduated)
        .then(pl.min_horizontal(whole, end) - pl.max_horizontal(start, free))
        .when(basis == "stored")
        .then(whole)
        .otherwise(whole - free)
    )


def _prices(lines: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """What the quantity of a line is worth, exactly."""
    version = pl.format(
        "price version {}, {}, in force from {} to {}, price factor {}",
        "price_id",
        pl.when(pl.col("negotiated_for").is_null()).then(pl.lit("public")).otherwise(pl.lit("negotiated")),
        _instant("valid_from"),
        _instant("valid_to").fill_null("∞"),
        _rate("price_factor_ppm"),
    )
    unit, quantity, per = pl.col("unit").cast(pl.String), pl.col("quantity"), pl.col("per")
    yield _steps(
        lines,
        "amount",
        "price",
        quantity=quantity,
        unit=unit,
        unit_price=pl.col("price"),
        per=per,
        text=pl.when(pl.col("valid_from").is_not_null()).then(version).otherwise("description"),
    )
    entered = lines.filter(pl.col("entry_price") > 0)
    one = pl.lit(1)
    yield _steps(
        entered, "amount", "tier_entry", quantity=one, unit=pl.lit("piece"), unit_price=pl.col("entry_price"), per=one
    )
    discounted = lines.filter(pl.col("line_discount_ppm") > 0)
    less = 0 - pl.col("price") * (pl.col("line_discount_ppm").cast(_PRICE) * _MILLIONTH.cast(_PRICE))
    yield _steps(
        discounted,
        "amount",
        "line_discount",
        quantity=quantity,
        unit=unit,
        unit_price=less,
        per=per,
        text=pl.format("{} of it", _rate("line_discount_ppm")),
    )


def _corrections(month: MonthOfFigures) -> Iterator[pl.DataFrame]:
    """The lines that correct older months: the figure of now less the one that was billed."""
    lines = month.lines.filter(pl.col("correction_cause").is_not_null())
    cause = pl.col("correction_cause").cast(pl.String)
    told = pl.format("line {} of {}, {}", "corrected_line_id", "origin_month", cause)
    yield _steps(lines, "amount", "rerated", amount=pl.col("rated_cents"), text=told)
    yield _steps(
        lines,
        "amount",
        "billed",
        amount=0 - pl.col("billed_cents"),
        text=pl.format("for {} so far", "origin_month"),
    )
    rest = lines.with_columns(rest=pl.col("amount_cents") - (pl.col("rated_cents") - pl.col("billed_cents")))
    yield _steps(rest.filter(pl.col("rest") != 0), "amount", "credited", amount=pl.col("rest"))


def _adjustments(month: MonthOfFigures) -> Iterator[pl.DataFrame]:
    """The lines of spend rules and invoice discounts: a rate of their base, or their limit against it."""
    kind, base, limit = pl.col("kind").cast(pl.String), pl.col("base_cents"), pl.col("limit_cents")
    is_rate, is_amount = pl.col("rate_ppm").is_not_null(), kind.is_in(["discount", "invoice_discount"])
    rates = month.adjustments.filter(is_rate)
    amounts, limits = (month.adjustments.filter(~is_rate, chosen) for chosen in (is_amount, ~is_amount))

    def worth(rows: pl.DataFrame, what: str, cents: pl.Expr, times: int | pl.Expr, text: pl.Expr) -> pl.DataFrame:
        unit_price = pl.lit(times) if isinstance(times, int) else times
        return _steps(
            rows, "amount", what, quantity=cents, unit=pl.lit("cent"), unit_price=unit_price, per=pl.lit(1), text=text
        )

    concerned = pl.concat_str(
        pl.lit("what the lines concerned come to"), "slug", "owner_id", separator=", ", ignore_nulls=True
    )
    named = pl.when(pl.col("name") != "").then("name").otherwise(kind)
    less = 0 - pl.col("rate_ppm").cast(_PRICE) * _MILLIONTH.cast(_PRICE)
    yield worth(rates, "rate", base, less, pl.concat_str(concerned, named, separator=": "))
    yield _steps(rates, "amount", "rounded", amount=pl.col("amount_cents"))
    # A fixed discount takes no more than there is.
    yield _steps(amounts, "amount", "base", quantity=base, unit=pl.lit("cent"), text=concerned)
    yield worth(amounts, "limit", limit, -1, named)
    capped = amounts.filter(base < limit)
    yield worth(capped, "beyond_base", limit - base, 1, pl.lit("it takes no more than there is"))
    # Others stand in for what is above or below them.
    yield worth(limits, "base", base, -1, concerned)
    yield worth(limits, "limit", limit, 1, named)
    yield _steps(
        pl.concat([amounts, limits.filter(pl.col("amount_cents") < 0)]),
        "amount",
        "lowered",
        amount=pl.col("amount_cents"),
    )
    yield _steps(limits.filter(pl.col("amount_cents") > 0), "amount", "top_up", amount=pl.col("amount_cents"))


# Lines: who pays them.


def _due(month: MonthOfFigures) -> Iterator[pl.DataFrame]:
    """What of every line is invoiced now: its charge less its share of discounts and what credits paid."""
    fees = month.fees.join(month.drafts, on="payer_id", how="semi")
    yield _steps(fees, "due", "line", amount=pl.col("charge_cents"))
    adjustments = month.lines.select(
        "line_number", "description", "rule_kind", "correction_cause", "origin_month", adjustment_line_id="line_id"
    )
    yield _steps(
        month.adjustment_shares.join(adjustments, on="adjustment_line_id"),
        "due",
        "discount_share",
        amount=pl.col("share_cents"),
        text=pl.format("line {}: {}", "line_number", _name_of_reduction()),
        rank=pl.col("line_number"),
    )
    named = month.movements.join(month.lots.select("grant_id", "name"), on="grant_id", how="left")
    kind = named["kind"].cast(pl.String)
    for movement, what in (("free_used", "free_credit"), ("prepaid_used", "prepaid_credit")):
        text = _lot() if what == "free_credit" else None
        yield _steps(named.filter(kind == movement), "due", what, amount=pl.col("amount_cents"), text=text)


def _name_of_reduction() -> pl.Expr:
    """What a line that lowers others is called."""
    is_correction = pl.col("correction_cause").is_not_null()
    corrected = pl.format("correction of {}", "origin_month")
    named = pl.coalesce("description", pl.col("rule_kind").cast(pl.String))
    return pl.when(is_correction).then(corrected).otherwise(named)


def _share_vat(drafts: pl.DataFrame, lines: pl.DataFrame, statements: pl.DataFrame, due: pl.DataFrame) -> pl.DataFrame:
    """The VAT of each invoice over what its lines still ask for, and over its refill (`line_id` empty).

    By largest remainder, equal remainders in the order of the lines, the refill last.
    """
    taxed = drafts.filter(pl.col("vat_cents") != 0).select("payer_id", "vat_cents", "subtotal_cents")
    numbers = lines.select("payer_id", "line_id", "line_number")
    weights = pl.concat(
        [
            due.group_by("payer_id", "line_id").agg(weight=pl.col("amount_cents").cast(pl.Int128).sum()),
            statements.select("payer_id", line_id=pl.lit(""), weight=pl.col("refill_cents").cast(pl.Int128)),
        ]
    ).filter(pl.col("weight") != 0)
    scaled = pl.col("vat_cents").cast(pl.Int128) * pl.col("weight")
    return (
        weights.join(taxed, on="payer_id")
        .join(numbers, on=["payer_id", "line_id"], how="left")
        .with_columns(share=scaled // pl.col("subtotal_cents"), remainder=scaled % pl.col("subtotal_cents"))
        .sort("payer_id", "remainder", "line_number", descending=[False, True, False], nulls_last=True)
        .with_columns(
            units_left=pl.col("vat_cents") - pl.col("share").sum().over("payer_id"),
            place=pl.int_range(pl.len()).over("payer_id"),
        )
        .with_columns(share=pl.col("share") + (pl.col("place") < pl.col("units_left")).cast(pl.Int128))
        .select("payer_id", "line_id", "share")
    )


def _vat(drafts: pl.DataFrame, shares: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """VAT: the rate, and whose part it is."""
    yield _steps(
        drafts,
        "vat",
        "rate",
        quantity=pl.col("subtotal_cents"),
        unit=pl.lit("cent"),
        unit_price=pl.col("vat_ppm").cast(_PRICE) * _MILLIONTH.cast(_PRICE),
        per=pl.lit(1),
        text=pl.format("of the subtotal: {}", "vat_reason"),
    )
    is_line = pl.col("line_id") != ""
    yield _steps(shares.filter(is_line), "vat_share", "vat_share", amount=pl.col("share"))
    sums = shares.group_by("payer_id", is_line.alias("is_line")).agg(pl.col("share").sum())
    yield _steps(sums.filter("is_line"), "vat", "vat_on_lines", amount=pl.col("share"))
    yield _steps(sums.filter(~pl.col("is_line")), "vat", "vat_on_refill", amount=pl.col("share"))


# Figures of the statement and of the invoice.


def _statement_figures(month: MonthOfFigures) -> Iterator[pl.DataFrame]:
    """The letters of the credit statement, and F."""
    lots, statements = month.lots.join(month.drafts, on="payer_id", how="semi"), month.statements
    yield from _fees(month)
    yield from _prepaid_before(month)
    ending = pl.format("{} ends {}", _lot(), _instant("expires_at").fill_null("with the organisation"))
    yield from _free_before(month, lots)
    for figure, column, text in (("free_used", "used_cents", _lot()), ("free_expired", "expired_cents", ending)):
        yield _steps(lots.filter(pl.col(column) != 0), figure, "lot", amount=pl.col(column), text=text)
    yield from _terms(statements, "balance_before", "free_before", "prepaid_before")
    unpaid = statements.with_columns(unpaid_cents=pl.col("fees_cents") + pl.col("free_used_cents"))
    for rank, (text, column) in enumerate((("b", "prepaid_before_cents"), ("F + c", "unpaid_cents"))):
        yield _steps(
            unpaid,
            "prepaid_used",
            "figure",
            quantity=pl.col(column),
            unit=pl.lit("cent"),
            text=pl.lit(text),
            rank=rank,
        )
    yield _steps(
        statements,
        "prepaid_used",
        "prepaid_credit",
        amount=0 - pl.min_horizontal("prepaid_before_cents", pl.col("fees_cents") + pl.col("free_used_cents")),
        text=pl.lit("the smaller of the two"),
    )
    yield from _forecast(month)
    is_own = pl.col("payer_id") == pl.col("holder_id")
    asked = pl.when(is_own).then("billing_month").otherwise(pl.format("{} of {}", "billing_month", "payer_id"))
    refills = month.pending.filter(pl.col("reference") == "")
    pending = refills.with_columns(asked=asked, payer_id="holder_id")
    yield _steps(pending, "pending", "pending_invoice", amount=pl.col("refill_cents"), text=pl.col("asked"))
    yield from _refill(month)
    yield from _terms(
        statements, "balance_after", "balance_before", "free_used", "free_expired", "prepaid_used", "refill"
    )
    yield from _terms(statements, "change", "balance_after", "-balance_before")


def _totals(month: MonthOfFigures) -> Iterator[pl.DataFrame]:
    """The figures of page 1 beside F, VAT and what that is part of."""
    statements, drafts = month.statements, month.drafts
    yield from _terms(statements, "used_credits", "change", "-free_expired")
    yield from _terms(drafts, "subtotal", "fees", "used_credits")


def _terms(rows: pl.DataFrame, figure: str, *terms: str) -> Iterator[pl.DataFrame]:
    """Other figures that make this one; those with a minus count with the other sign."""
    for rank, term in enumerate(terms):
        name = term.removeprefix("-")
        amount = 0 - pl.col(f"{name}_cents") if term.startswith("-") else pl.col(f"{name}_cents")
        yield _steps(rows, figure, "figure", amount=amount, text=pl.lit(name), rank=rank)


def _fees(month: MonthOfFigures) -> Iterator[pl.DataFrame]:
    """F: the lines of each owner, and each line of a spend rule or discount."""
    is_own_rule = pl.col("rule_kind").is_not_null() & pl.col("correction_cause").is_null()
    rules = month.lines.filter(is_own_rule).drop("line_id")
    owners = (
        month.lines.filter(~is_own_rule)
        .group_by("payer_id", "owner_id", "owner_name")
        .agg(amount=pl.col("amount_cents").cast(pl.Int128).sum(), lines=pl.len())
    )
    yield _steps(
        owners,
        "fees",
        "lines",
        amount=pl.col("amount"),
        quantity=pl.col("lines"),
        unit=pl.lit("piece"),
        text=pl.format("{} ({})", "owner_name", "owner_id"),
    )
    told = pl.format("line {}: {}", "line_number", pl.coalesce("description", "slug"))
    for what, chosen in (("discount", pl.col("amount_cents") < 0), ("top_up", pl.col("amount_cents") > 0)):
        yield _steps(
            rules.filter(chosen), "fees", what, amount=pl.col("amount_cents"), text=told, rank=pl.col("line_number")
        )


def _free_before(month: MonthOfFigures, lots: pl.DataFrame) -> Iterator[pl.DataFrame]:
    """a: every lot, and whose it was where it was taken over this month."""
    kind = pl.col("kind").cast(pl.String)
    taken = month.movements.filter(kind == "transferred_in").select("payer_id", "grant_id")
    givers = month.movements.filter(kind == "transferred_out").select("grant_id", giver="payer_id")
    amount = pl.col("left_before_cents")
    own = lots.join(taken, on=["payer_id", "grant_id"], how="anti")
    yield _steps(own, "free_before", "lot", amount=amount, text=_lot())
    others = lots.join(taken, on=["payer_id", "grant_id"]).join(givers, on="grant_id")
    text = pl.format("{} ({}) of {}", "name", "grant_id", "giver")
    yield _steps(others, "free_before", "transferred_in", amount=amount, text=text)


def _prepaid_before(month: MonthOfFigures) -> Iterator[pl.DataFrame]:
    """b: what the month before left, refills that were paid, opening balances, and what changed its payer."""
    held = month.lifetimes_before.join(month.drafts, on="payer_id", how="semi").filter(pl.col("prepaid_cents") != 0)
    yield _steps(
        held, "prepaid_before", "carried", amount=pl.col("prepaid_cents"), text=pl.format("after {}", "billed_month")
    )
    prepaid = month.opened_grants.filter(pl.col("kind").cast(pl.String) == "prepaid")
    kind = pl.col("kind").cast(pl.String)
    arrivals = month.movements.drop("line_id")
    yield _steps(
        arrivals.filter(kind == "settled"),
        "prepaid_before",
        "refill_paid",
        amount=pl.col("amount_cents"),
        text=pl.format("refill of {}", "grant_id"),
    )
    yield _steps(
        arrivals.filter(kind == "topped_up"),
        "prepaid_before",
        "top_up_paid",
        amount=pl.col("amount_cents"),
        text=pl.when(pl.col("grant_id").str.contains("/", literal=True))
        .then(pl.format("top-up {}", "grant_id"))
        .otherwise(pl.format("interim invoice of {}", "grant_id")),
    )
    yield _steps(
        arrivals.filter(kind == "opening").join(prepaid, on="grant_id", how="semi"),
        "prepaid_before",
        "opening",
        amount=pl.col("amount_cents"),
        text=pl.format("grant {}", "grant_id"),
    )
    yield _steps(
        arrivals.filter(kind == "given_back", pl.col("grant_id") == "prepaid"),
        "prepaid_before",
        "given_back",
        amount=pl.col("amount_cents"),
        text=pl.lit("by credit notes"),
    )
    yield _steps(
        arrivals.filter(kind == "refunded"),
        "prepaid_before",
        "refunded",
        amount=pl.col("amount_cents"),
        text=pl.lit("by credit notes"),
    )
    # Free lots that changed their payer are no part of b; ids of grants hold no blank.
    moved = arrivals.filter(pl.col("grant_id").str.starts_with("prepaid of "))
    for movement in ("transferred_in", "transferred_out"):
        yield _steps(
            moved.filter(kind == movement),
            "prepaid_before",
            movement,
            amount=pl.col("amount_cents"),
            text=pl.col("grant_id"),
        )


def _forecast(month: MonthOfFigures) -> Iterator[pl.DataFrame]:
    """f: what recurs, and what the strategy of the statement makes of it; steps with a price are rounded once."""
    basis = pl.col("estimate_basis").cast(pl.String)
    stated = {name: month.statements.filter(basis == name) for name in ESTIMATE_BASES}
    recurring = 0 - pl.col("recurring_cents")
    text = pl.lit("minus the recurring part of F")
    for name in ("same_as_last_month", "final", "interim"):
        yield _steps(stated[name], "forecast", "recurring", amount=recurring, text=text)
    nothing = pl.when(pl.col("successor_id").is_null()).then(pl.lit("closed: nothing is estimated"))
    yield _steps(
        stated["final"],
        "forecast",
        "closed",
        amount=pl.col("recurring_cents"),
        text=nothing.otherwise(pl.format("{} pays from now on", "successor_id")),
    )

    yield _steps(
        stated["interim"],
        "forecast",
        "closed",
        amount=pl.col("recurring_cents"),
        text=pl.lit("invoiced by the day or week while the month runs"),
    )

    def term(rows: pl.DataFrame, column: str, times: int, per: pl.Expr, text: str, rank: int = 0) -> pl.DataFrame:
        known = rows.filter(pl.col(column).is_not_null())
        return _steps(
            known,
            "forecast",
            "recurring",
            quantity=pl.col(column),
            unit=pl.lit("cent"),
            unit_price=pl.lit(times),
            per=per,
            text=pl.lit(text),
            rank=rank,
        )

    days, days_next = _days(month.month), _days(month.month.next)
    of_days = f"of F: × {days_next} days of {month.month.next} / {days} days of {month.month}"
    yield term(stated["daily_rate"], "recurring_cents", -days_next, pl.lit(days), of_days)
    mean = stated["mean_of_three"]
    before = ("recurring_1_before_cents", "recurring_2_before_cents")
    known = 1 + pl.sum_horizontal(pl.col(name).is_not_null().cast(pl.Int64) for name in before)
    told = ("of F", "of the statement before", "of the one before that")
    for rank, (column, text_of) in enumerate(zip(("recurring_cents", *before), told, strict=True)):
        yield term(mean, column, -1, known, text_of, rank)
    for name in ("daily_rate", "mean_of_three"):
        yield _steps(stated[name], "forecast", "strategy", amount=pl.col("forecast_cents"), text=pl.lit(name))
    committed = month.commitments.join(stated["committed"], on="payer_id", how="semi")
    yield _steps(
        committed,
        "forecast",
        "commitment",
        amount=0 - pl.col("amount_cents"),
        text=pl.format("{} ({})", "name", "rule_id"),
    )


def _days(month: Month) -> int:
    return (month.next.first_day - month.first_day).days


def _refill(month: MonthOfFigures) -> Iterator[pl.DataFrame]:
    """h: what was agreed, nothing where it is too early to ask, or max(0, -(A + c + d + e + f + g))."""
    custom = month.statements.filter("is_custom_refill")
    agreements = month.agreements.select("author", "reason", payer_id="owner_id")
    early = custom.join(agreements, on="payer_id", how="anti")
    yield _steps(
        early,
        "refill",
        "not_yet",
        amount=pl.col("refill_cents"),
        text=pl.format(
            "statement {} of the first {}, which ask for no refill",
            pl.col("billed_months_before") + 1,
            pl.lit(month.provision_from_month),
        ),
    )
    agreed = custom.join(agreements, on="payer_id")
    yield _steps(
        agreed,
        "refill",
        "agreement",
        amount=pl.col("refill_cents"),
        text=pl.concat_str("author", "reason", separator=": "),
    )
    computed = month.statements.filter(~pl.col("is_custom_refill"))
    letters = ("balance_before", "free_used", "free_expired", "prepaid_used", "forecast", "pending")
    yield from _terms(computed, "refill", *(f"-{letter}" for letter in letters))
    surplus = pl.col("refill_cents") + pl.sum_horizontal(f"{letter}_cents" for letter in letters)
    kept = computed.with_columns(surplus=surplus).filter(pl.col("surplus") != 0)
    yield _steps(kept, "refill", "surplus", amount=pl.col("surplus"), text=pl.lit("a surplus stays as credit"))


def _lot() -> pl.Expr:
    return pl.format("{} ({})", "name", "grant_id")


def _instant(name: str) -> pl.Expr:
    return pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%SZ")


def _rate(ppm: str) -> pl.Expr:
    """A rate in millionths as exact decimal text: `0.9`, `1`."""
    text = (pl.col(ppm).cast(_QUANTITY) * _MILLIONTH).cast(pl.String)
    return text.str.strip_chars_end("0").str.strip_chars_end(".")


def _at_scale_26(numerator: str) -> pl.Expr:
    """A whole number of 10^-26 as a decimal; by its digits, because no cast moves a decimal's point."""
    digits = pl.col(numerator).cast(pl.String).str.zfill(27)
    return digits.str.replace(r"(\d{26})$", ".$1").str.to_decimal(scale=26).cast(_PRICE)

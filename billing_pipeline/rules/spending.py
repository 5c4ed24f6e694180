"""Spend rules: what a payer's fees are lowered or topped up by, before credits pay them.

A rule looks at some lines of one invoice, its scope: a slug or everything, of one sub-organisation or of everyone.
Rules on a slug apply before those on everything, and among both discounts by rate, then by amount, then (on everything
alone) the organisation's own invoice discount, maximum, minimum, commitment; each first to sub-organisations with rules
of their own, then to the invoice. Each starts from what the ones before left, and is rounded once.

What lowers fees is one printed amount, shared over the lines of its scope so that credits pay net amounts; the shares
decide which part of a line a credit scoped to that line's slug may pay, and what of the fees recurs next month. What
tops fees up is a line of its own, which credits may pay like any other.

The rules of one step have disjoint scopes, so a step is one set operation over all payers: there are as many as kinds
and scopes of rules, however many organisations and rules there are.
"""

from hashlib import sha256
from typing import NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.rules.invoicing import order_lines
from billing_pipeline.rules.period import Period
from billing_pipeline.rules.rounding import rounded_half_away
from billing_pipeline.rules.succession import find_takeovers, is_closed
from billing_pipeline.tables.accounts import Organisations, SpendRules
from billing_pipeline.tables.columns import cents, organisation_id
from billing_pipeline.tables.credits import Adjustments, AdjustmentShares, Fees
from billing_pipeline.tables.invoices import ParkedOrganisations
from billing_pipeline.tables.rating import Charges
from billing_pipeline.tables.table import Table

#: What applies after what within a slug, and within everything: discounts are told apart by what they say.
_ORDER = ("discount_rate", "discount_amount", "invoice_discount", "maximum", "minimum", "commitment")

_TRUE_UPS = ("minimum", "commitment")


class NegativeCharge(ValueError):
    """A charged line is below zero; an invoice's lines are not, before its discount."""


class UnknownPayer(ValueError):
    """A charge names a payer that is not among the month's organisations, so that its discount is unknown."""


class InvoiceRules(Table):
    """One row per payer and spend rule that counts for its invoice, and per invoice discount."""

    payer_id = organisation_id()
    #: Null for the discount of the organisation's own row.
    rule_id = dy.String(nullable=True)
    kind = dy.Enum(["discount", "invoice_discount", "maximum", "minimum", "commitment", "free_quantity"])
    name = dy.String()
    #: The sub-organisation whose lines count; null: everyone's.
    owner_id = dy.String(nullable=True)
    slug = dy.String(nullable=True)
    #: Public rules leave out the lines of owners with a rule of their own, and top up only where there is a line.
    is_public = dy.Bool()
    amount_cents = cents(lowest=0, nullable=True)
    rate_ppm = dy.Int64(min=0, max=1_000_000, nullable=True)


class AssignedRules(NamedTuple):
    """Which rules count for whose invoice, and whom they park."""

    rules: dy.DataFrame[InvoiceRules]
    problems: dy.DataFrame[ParkedOrganisations]


class AdjustedCharges(NamedTuple):
    """The fees that credits may pay, and what made them differ from the charges."""

    fees: dy.DataFrame[Fees]
    adjustments: dy.DataFrame[Adjustments]
    shares: dy.DataFrame[AdjustmentShares]


def assign_spend_rules(
    spend_rules: dy.DataFrame[SpendRules], charges: pl.DataFrame, organisations: dy.DataFrame[Organisations]
) -> AssignedRules:
    """Find the invoices for which each rule counts.

    A rule with an owner counts for that owner's lines on the invoice of whoever pays for it at the month's end: for the
    whole invoice if that is itself. If another one paid in the month, what lowers fees counts for its invoice, too, and
    what tops them up does not. A public rule counts for every payer billed in its currency that has a line in its
    scope, if only one that a rule of its own may make; lines whose owner or payer has a rule of the same kind and slug
    are left out of it.

    Two rules of one kind and slug for the same lines (``spend_rule_overlap``) or a rule of an owner in another currency
    than its payer's (``currency``) park the payer. A rule of an owner without an organisations row counts for nobody.

    Args:
        spend_rules: the rules in force.
        charges: the month's lines, as `tables.rating.Charges`.
        organisations: current versions, one row per owner.
    """
    currencies = organisations.select(payer_id="owner_id", payer_currency="currency")
    own = (
        spend_rules.filter(pl.col("owner_id").is_not_null())
        .join(_billed_with(charges, organisations), on="owner_id")
        .filter(pl.col("is_current") | ~pl.col("kind").cast(pl.String).is_in(_TRUE_UPS))
        .join(currencies, on="payer_id")
    )
    is_foreign = pl.col("currency") != pl.col("payer_currency")
    foreign = (
        own.filter(is_foreign)
        .sort("payer_id", "rule_id")
        .group_by("payer_id", maintain_order=True)
        .agg(
            reason=pl.lit("currency").first(),
            detail=pl.format(
                "{} spend rules are not in {}: {}; amounts are never converted, write them in that currency",
                pl.len(),
                pl.col("payer_currency").first(),
                pl.format("{} ({})", "rule_id", "currency").str.join(", "),
            ),
        )
    )
    public = _public_rules(spend_rules, own, charges, currencies)
    own_rules = own.filter(~is_foreign).with_columns(
        owner_id=pl.when(pl.col("owner_id") != pl.col("payer_id")).then("owner_id"), is_public=pl.lit(value=False)
    )
    columns = InvoiceRules.column_names()
    rules = pl.concat(
        [rows.with_columns(pl.col("kind").cast(pl.String)).select(columns) for rows in (own_rules, public)]
    )
    overlaps = (
        rules.sort("payer_id", "rule_id")
        .group_by("payer_id", "owner_id", "kind", "slug", maintain_order=True)
        .agg("rule_id")
        .filter(pl.col("rule_id").list.len() > 1)
        .group_by("payer_id", maintain_order=True)
        .agg(
            reason=pl.lit("spend_rule_overlap").first(),
            detail=pl.format(
                "spend rules {} are of one kind and scope and in force together; end all but one of them",
                pl.col("rule_id").first().list.join(", "),
            ),
        )
    )
    problems = pl.concat([foreign, overlaps]).select(ParkedOrganisations.column_names())
    return AssignedRules(
        InvoiceRules.validate(InvoiceRules.cast(rules.sort("payer_id", "rule_id"))),
        ParkedOrganisations.validate(problems.sort("payer_id", "reason")),
    )


def lowering_rules(rules: pl.DataFrame) -> dy.DataFrame[InvoiceRules]:
    """The rules that lower fees: what tops them up waits for the end of the month."""
    return InvoiceRules.validate(rules.filter(~pl.col("kind").cast(pl.String).is_in(_TRUE_UPS)))


def _billed_with(charges: pl.DataFrame, organisations: pl.DataFrame) -> pl.DataFrame:
    """On whose invoices each owner has lines, or would have: the current one is that of its payer at the end."""
    current = organisations.select("owner_id", "payer_id", is_current=pl.lit(value=True))
    billed = pl.concat(
        [charges.select("owner_id", "payer_id"), charges.select("payer_id", owner_id="payer_id")], how="diagonal"
    )
    others = billed.unique().join(current, on=["owner_id", "payer_id"], how="anti")
    return pl.concat([current, others.with_columns(is_current=pl.lit(value=False))])


def _public_rules(
    spend_rules: pl.DataFrame, own: pl.DataFrame, charges: pl.DataFrame, currencies: pl.DataFrame
) -> pl.DataFrame:
    """Public rules and the payers that may have a line which no rule of an owner takes out of their scope."""
    public = spend_rules.filter(pl.col("owner_id").is_null()).drop("owner_id").rename({"currency": "payer_currency"})
    whole = public.filter(pl.col("slug").is_null())
    of_slugs = public.filter(pl.col("slug").is_not_null()).with_columns(line_slug="slug")
    kind = pl.col("kind").cast(pl.String)
    true_ups = own.filter(kind.is_in(_TRUE_UPS)).select("payer_id", "owner_id", slug=pl.coalesce("slug", kind))
    lines = pl.concat([charges.select("payer_id", "owner_id", "slug"), true_ups]).unique()
    scopes = lines.rename({"slug": "line_slug"}).join(currencies, on="payer_id")
    reached = pl.concat(
        [scopes.join(whole, on="payer_currency"), scopes.join(of_slugs, on=["payer_currency", "line_slug"])],
        how="diagonal",
    )
    for whose in ("owner_id", "payer_id"):
        replaced = own.select("kind", "slug", pl.col("owner_id").alias(whose))
        reached = reached.join(replaced, on=[whose, "kind", "slug"], how="anti", nulls_equal=True)
    return reached.unique(["payer_id", "rule_id"]).with_columns(
        owner_id=pl.lit(None, pl.String), is_public=pl.lit(value=True)
    )


def adjust_charges(
    charges: dy.DataFrame[Charges],
    rules: dy.DataFrame[InvoiceRules],
    organisations: dy.DataFrame[Organisations],
    period: Period,
) -> AdjustedCharges:
    """Apply the rules and the organisations' own invoice discounts.

    A discount is (what the lines of its scope come to so far) × rate, rounded half away from zero, or its amount, but
    never more than there is; a rule that says both is two discounts. A maximum lowers them to its amount, a minimum or
    a commitment tops them up to it; neither tops up a payer or owner that closed, or a payer that pays for nobody at
    the month's end. What lowers is shared in proportion to the lines by largest remainder, equal remainders in printed
    order: what `rules.allocation.share` does, for all payers at once, so that no line falls below zero.

    Args:
        charges: the month's lines.
        rules: as `assign_spend_rules` returns them, of payers that are billed.
        organisations: current versions, one row per owner; a payer's ``discount_ppm`` counts.
        period: the billed month.

    Raises:
        NegativeCharge: a charge is below zero.
        UnknownPayer: a payer has no row in ``organisations``.
    """
    ordered = order_lines(charges, organisations)
    _refuse(ordered, organisations)
    lines = ordered.select(
        "payer_id", "line_id", "owner_id", "slug", "is_recurring", "charge_cents", printed=pl.col("line_number")
    ).with_columns(fee=pl.col("charge_cents").cast(pl.Int128))
    placed = _placed(pl.concat([rules, _invoice_discounts(organisations)]), organisations, period)
    applied: list[pl.DataFrame] = []
    shared: list[pl.DataFrame] = []
    for step in placed.partition_by("on_everything", "place", "on_everyone", maintain_order=True):
        keys = _scope_keys(step)
        scoped = _scoped(lines, step, placed, keys)
        amounts = _amounts(step, scoped, period)
        shares = _shared(scoped, amounts)
        lines = _topped_up(_lowered(lines, shares), amounts)
        applied.append(amounts)
        shared.append(shares)
    return AdjustedCharges(_as_fees(lines), _as_adjustments(applied, organisations), _as_shares(shared))


def commitments(rules: dy.DataFrame[InvoiceRules]) -> pl.DataFrame:
    """What each payer has committed itself to spend a month in all: `payer_id`, `committed_cents`."""
    return (
        rules.filter(pl.col("kind") == "commitment")
        .group_by("payer_id")
        .agg(committed_cents=pl.col("amount_cents").sum())
    )


def _invoice_discounts(organisations: pl.DataFrame) -> pl.DataFrame:
    """The discount of an organisation's own row, as a rule over its invoice; it may have none, or true-ups alone."""
    discounts = organisations.filter(pl.col("discount_ppm") > 0).select(
        payer_id="owner_id",
        rule_id=pl.lit(None, pl.String),
        kind=pl.lit("invoice_discount"),
        name=pl.col("discount_reason").fill_null(""),
        owner_id=pl.lit(None, pl.String),
        slug=pl.lit(None, pl.String),
        is_public=pl.lit(value=False),
        amount_cents=pl.lit(None, pl.Int64),
        rate_ppm="discount_ppm",
    )
    return InvoiceRules.validate(InvoiceRules.cast(discounts))


def _placed(rules: pl.DataFrame, organisations: pl.DataFrame, period: Period) -> pl.DataFrame:
    """The rules in the order of the steps in which they apply, numbered, and whether they may top up."""
    closed = organisations.filter(is_closed(period))["owner_id"].implode()
    gone = find_takeovers(organisations)["payer_id"].implode()
    payer, owner = pl.col("payer_id"), pl.coalesce("owner_id", "payer_id")
    kind = pl.col("kind").cast(pl.String)
    told = rules.filter(pl.col("kind") != "free_quantity").with_columns(kind)
    is_discount = pl.col("kind") == "discount"
    parts = pl.concat(
        [
            told.filter(~is_discount).with_columns(part="kind"),
            told.filter(is_discount, pl.col("rate_ppm").is_not_null()).with_columns(
                part=pl.lit("discount_rate"), amount_cents=pl.lit(None, pl.Int64)
            ),
            told.filter(is_discount, pl.col("amount_cents").is_not_null()).with_columns(
                part=pl.lit("discount_amount"), rate_ppm=pl.lit(None, pl.Int64)
            ),
        ]
    )
    places = {part: place for place, part in enumerate(_ORDER)}
    return (
        parts.with_columns(
            on_everything=pl.col("slug").is_null(),
            place=pl.col("part").replace_strict(places, return_dtype=pl.Int64),
            on_everyone=pl.col("owner_id").is_null(),
            may_top_up=~(payer.is_in(closed) | payer.is_in(gone) | owner.is_in(closed)),
        )
        .sort("on_everything", "place", "on_everyone", "payer_id", "owner_id", "slug", "rule_id")
        .with_columns(number=pl.int_range(pl.len()))
    )


def _scope_keys(step: pl.DataFrame) -> list[str]:
    """The columns that say which lines the rules of a step look at."""
    first = step.row(0, named=True)
    names = {"owner_id": first["on_everyone"], "slug": first["on_everything"]}
    return ["payer_id", *(name for name, is_any in names.items() if not is_any)]


def _scoped(lines: pl.DataFrame, step: pl.DataFrame, placed: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    """The lines that the rules of one step look at, a line under one rule; owners' own rules replace public ones."""
    scoped = lines.join(step.select("number", "is_public", "kind", *keys, on="slug"), on=keys)
    own = placed.filter(pl.col("owner_id").is_not_null()).select("payer_id", "owner_id", "kind", on="slug")
    replaced = scoped.filter("is_public").join(own, on=own.columns, how="semi", nulls_equal=True)
    return scoped.join(replaced, on="line_id", how="anti").select("number", "line_id", "printed", "fee")


def _amounts(step: pl.DataFrame, scoped: pl.DataFrame, period: Period) -> pl.DataFrame:
    """The rules of one step that change something, with their bases, amounts and printed lines."""
    part = step["part"][0]
    base, limit = pl.col("base"), pl.col("amount_cents").cast(pl.Int128)
    if part in _TRUE_UPS:
        has_scope = pl.col("may_top_up") & (~pl.col("is_public") | pl.col("lines").is_not_null())
        amount = pl.when(has_scope).then((limit - base).clip(lower_bound=0)).otherwise(0)
    elif part == "maximum":
        amount = (limit - base).clip(upper_bound=0)
    elif part == "discount_amount":
        amount = 0 - pl.min_horizontal(base, limit)
    else:
        amount = 0 - rounded_half_away(base * pl.col("rate_ppm"), 10**6)
    sums = scoped.group_by("number").agg(base=pl.col("fee").sum(), lines=pl.len())
    amounts = (
        step.join(sums, on="number", how="left", maintain_order="left")
        .with_columns(pl.col("base").fill_null(0))
        .with_columns(amount=amount.cast(pl.Int128))
        .filter(pl.col("amount") != 0)
    )
    keys = amounts.select("part", "payer_id", "rule_id").iter_rows()
    return amounts.with_columns(line_id=pl.Series([_line_id(*key, period) for key in keys], dtype=pl.String))


def _line_id(part: str, payer_id: str, rule_id: str | None, period: Period) -> str:
    """The printed line's id; parts and owner ids hold no `|`, so no two keys are one text."""
    key = f"discount|{payer_id}|{period.month}" if rule_id is None else f"{part}|{payer_id}|{period.month}|{rule_id}"
    return sha256(key.encode()).hexdigest()[:32]


def _shared(scoped: pl.DataFrame, amounts: pl.DataFrame) -> pl.DataFrame:
    """What lowers the lines, shared over those that each rule looks at."""
    less = amounts.filter(pl.col("amount") < 0).select(
        "number", "payer_id", "base", adjustment_line_id="line_id", less=0 - pl.col("amount")
    )
    share, base, fee = pl.col("share"), pl.col("base"), pl.col("fee")
    return (
        scoped.join(less, on="number")
        .with_columns(share=pl.col("less") * fee // base, remainder=pl.col("less") * fee % base)
        .with_columns(units_left=pl.col("less") - share.sum().over("number"))
        .sort("number", "remainder", "printed", descending=[False, True, False])
        .with_columns(share=share + (pl.int_range(pl.len()).over("number") < pl.col("units_left")).cast(pl.Int128))
        .select("payer_id", "adjustment_line_id", "line_id", "share")
    )


def _lowered(lines: pl.DataFrame, shares: pl.DataFrame) -> pl.DataFrame:
    """The lines less their shares of what lowers them."""
    own = shares.select("line_id", "share")
    left = lines.join(own, on="line_id", how="left", maintain_order="left")
    return left.with_columns(fee=pl.col("fee") - pl.col("share").fill_null(0)).drop("share")


def _topped_up(lines: pl.DataFrame, amounts: pl.DataFrame) -> pl.DataFrame:
    """The lines and, printed after them, those that top them up."""
    after = lines["printed"].len()
    true_ups = amounts.filter(pl.col("amount") > 0).select(
        "payer_id",
        "line_id",
        owner_id=pl.coalesce("owner_id", "payer_id"),
        slug=pl.coalesce("slug", "kind"),
        is_recurring=pl.lit(value=True),
        charge_cents=pl.col("amount").cast(pl.Int64),
        printed=pl.int_range(pl.len(), dtype=pl.Int64) + after + 1,
        fee=pl.col("amount"),
    )
    return pl.concat([lines, true_ups])


def _as_fees(lines: pl.DataFrame) -> dy.DataFrame[Fees]:
    fees = lines.with_columns(fee_cents=pl.col("fee").cast(pl.Int64)).with_columns(
        discount_cents=pl.col("fee_cents") - pl.col("charge_cents"), correction_cents=pl.lit(0, pl.Int64)
    )
    return Fees.validate(fees.sort("payer_id", "line_id"))


def _as_adjustments(applied: list[pl.DataFrame], organisations: pl.DataFrame) -> dy.DataFrame[Adjustments]:
    if not applied:
        return Adjustments.create_empty()
    adjustments = (
        pl.concat(applied)
        .join(organisations.select("currency", payer_id="owner_id"), on="payer_id")
        .sort("payer_id", "number")
        .with_columns(
            application_order=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("payer_id"),
            limit_cents="amount_cents",
            base_cents=pl.col("base").cast(pl.Int64),
            amount_cents=pl.col("amount").cast(pl.Int64),
        )
    )
    return Adjustments.validate(Adjustments.cast(adjustments))


def _as_shares(shared: list[pl.DataFrame]) -> dy.DataFrame[AdjustmentShares]:
    if not shared:
        return AdjustmentShares.create_empty()
    shares = (
        pl.concat(shared)
        .with_columns(share_cents=(0 - pl.col("share")).cast(pl.Int64))
        .filter(pl.col("share_cents") != 0)
        .sort("payer_id", "adjustment_line_id", "line_id")
    )
    return AdjustmentShares.validate(shares)


def _refuse(ordered: pl.DataFrame, organisations: pl.DataFrame) -> None:
    negative = ordered.filter(pl.col("charge_cents") < 0)
    if not negative.is_empty():
        first = negative.row(0, named=True)
        message = (
            f"{negative.height} charges are below zero, the first is line {first['line_id']} of payer "
            f"{first['payer_id']} ({first['charge_cents']} cents); withdraw the charge in its feed and rate again"
        )
        raise NegativeCharge(message)
    unknown = ordered.join(organisations, left_on="payer_id", right_on="owner_id", how="anti")
    payers = unknown["payer_id"].unique().sort()
    if not payers.is_empty():
        message = (
            f"{payers.len()} payers of charges are not among the month's organisations, the first is {payers[0]}; "
            "land their organisations rows, or park them, and rate again"
        )
        raise UnknownPayer(message)

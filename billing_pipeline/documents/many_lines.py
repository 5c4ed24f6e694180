"""Invoices of more lines than anybody reads: a line per organisation, item and price on paper, and each line in a file.

Nothing is rounded again: amounts on paper are sums of the amounts of the lines, which stand in the file as they are.
"""

import polars as pl

from billing_pipeline.rules.currencies import write_amount
from billing_pipeline.tables.invoices import RULE_BASES

#: A page holds thirty lines, so that this is as much as a book.
LINES_ON_PAPER_MAX = 10_000

#: What a line on paper has in common with all that it stands for.
_ALIKE = (
    "payer_id", "owner_id", "owner_name", "slug", "zone", "price_id", "price_factor_ppm", "tier_from", "origin_month",
    "basis", "rule_kind", "rule_rate_ppm", "rule_limit_cents", "unit", "unit_price", "per_quantity", "per_seconds",
    "line_discount_ppm", "currency", "correction_cause",
)  # fmt: skip
_SUMMED = ("resources", "quantity", "duration_s", "amount_cents", "billed_cents", "rated_cents", "free_cents")

_IN_FILE = (
    "line_number", "owner_id", "owner_name", "resource_id", "resource_name", "resources", "slug", "zone",
    "origin_month", "basis", "quantity", "unit", "duration_s", "unit_price", "per_quantity", "per_seconds",
    "line_discount_ppm", "amount", "currency", "description", "sub_description", "correction_cause",
)  # fmt: skip
#: A spreadsheet takes a text that begins so for a formula.
_FORMULA = r"^[=+\-@\t\r]"


def with_many(lines: pl.DataFrame, at_most: int = LINES_ON_PAPER_MAX) -> pl.DataFrame:
    """Who has more lines than are printed.

    Args:
        lines: `tables.invoices.InvoiceLines`, perhaps lazily read.
        at_most: lines that are printed one by one.
    """
    return lines.group_by("payer_id").len().filter(pl.col("len") > at_most).select("payer_id").sort("payer_id")


def condense(lines: pl.DataFrame, at_most: int = LINES_ON_PAPER_MAX) -> pl.DataFrame:
    """The lines as they are printed, each with `printed_lines`: how many it stands for.

    Args:
        lines: `tables.invoices.InvoiceLines` with `free_cents`.
        at_most: lines of a payer that are printed one by one.
    """
    each = lines.with_columns(printed_lines=pl.lit(1, pl.Int64))
    payers = with_many(lines, at_most)
    if payers.is_empty():
        return each
    is_rule = pl.col("basis").cast(pl.String).is_in(RULE_BASES)
    many = each.join(payers, on="payer_id", how="semi").filter(~is_rule)
    alike = many.group_by(_ALIKE, maintain_order=True).agg(
        pl.col(*_SUMMED).sum(),
        pl.col("line_id", "line_number", "resource_id", "resource_name", "description", "sub_description").first(),
        pl.lit(None, pl.String).alias("corrected_line_id"),
        printed_lines=pl.len().cast(pl.Int64),
    )
    stands_for_several = pl.col("printed_lines") > 1
    unnamed = {name: pl.lit(None, pl.String) for name in ("resource_name", "description", "sub_description")}
    condensed = alike.with_columns(
        pl.when(stands_for_several).then(nothing).otherwise(name).alias(name)
        for name, nothing in {"resource_id": pl.lit(""), **unnamed}.items()
    )
    others = each.join(many.select("line_id"), on="line_id", how="anti")
    return pl.concat([others, condensed.select(others.columns)]).sort("payer_id", "line_number")


def write_file(lines: pl.DataFrame) -> bytes:
    """Every line of one invoice as CSV in UTF-8, in printed order; amounts in the currency, durations in seconds."""
    texts = [pl.col(name) for name in ("owner_name", "resource_name", "description", "sub_description")]
    told = lines.sort("line_number").with_columns(
        pl.when(text.str.contains(_FORMULA)).then(pl.lit("'") + text).otherwise(text).name.keep() for text in texts
    )
    return told.with_columns(amount=write_amount("amount_cents")).select(_IN_FILE).write_csv().encode()

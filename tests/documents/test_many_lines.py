"""Invoices of more lines than anybody reads: what is printed adds up to them, and each of them stands in a file."""

import csv
from decimal import Decimal
from io import StringIO

import polars as pl
import pytest

from billing_pipeline.documents.many_lines import LINES_ON_PAPER_MAX, condense, with_many, write_file
from billing_pipeline.tables.invoices import InvoiceLines

SUMMED = ("quantity", "duration_s", "amount_cents", "resources", "free_cents", "printed_lines")


def lines_of(month, **columns):
    free = pl.lit(-1, pl.Int64)
    types = {name: kind for name, kind in InvoiceLines.create_empty().schema.items() if not isinstance(kind, pl.Enum)}
    rows = pl.DataFrame(month.lines, infer_schema_length=None).with_columns(
        resources=pl.lit(1, pl.Int64), free_cents=free, **columns
    )
    missing = {name: pl.lit(None, types.get(name, pl.String)) for name in InvoiceLines.columns()}
    return rows.with_columns(**{name: empty for name, empty in missing.items() if name not in rows.columns})


@pytest.fixture
def crowded(month):
    """Three sizes on four resources each, a service and a discount of one payer; two lines of another."""
    sizes = [{"slug": f"apps.{size}", "resource_id": f"app_{n}"} for n in range(4) for size in "sml"]
    help_line = {"slug": "one_shot", "basis": "one_shot", "unit": "piece", "description": "Help", "amount_cents": 9_00}
    discount = {"slug": "discount", "basis": "discount", "rule_kind": "invoice_discount", "amount_cents": -5}
    month.bill("crowd", usage=[*sizes, help_line, discount])
    month.bill("quiet", usage=[{"resource_id": "app_1"}, {"resource_id": "app_2"}])
    return month


def test_who_has_more_lines_than_are_printed_has_one_per_item_and_price(crowded):
    condensed = condense(lines_of(crowded), at_most=5)

    own = condensed.filter(payer_id="crowd")
    assert own.select("slug", "printed_lines", "resources", "resource_id", "amount_cents").rows() == [
        ("apps.s", 4, 4, "", 16),
        ("apps.m", 4, 4, "", 16),
        ("apps.l", 4, 4, "", 16),
        ("one_shot", 1, 1, "app_1", 9_00),
        ("discount", 1, 1, "app_1", -5),
    ]
    assert own.filter(slug="one_shot")["description"].to_list() == ["Help"]
    assert condensed.filter(payer_id="quiet")["resource_id"].to_list() == ["app_1", "app_2"]


def test_what_is_printed_adds_up_to_all_lines(crowded):
    lines = condense(lines_of(crowded), at_most=99)
    condensed = condense(lines_of(crowded), at_most=5)

    assert lines["printed_lines"].unique().to_list() == [1]
    assert condensed.height == lines.height - 12 + 3
    assert condensed.select(pl.col(*SUMMED).sum()).row(0) == lines.select(pl.col(*SUMMED).sum()).row(0)


def test_another_price_or_month_or_cause_is_a_line_of_its_own(crowded):
    odd = pl.col("line_number") == 1
    for column, other in {
        "unit_price": pl.lit(Decimal("0.05"), pl.Decimal(38, 20)),
        "origin_month": pl.lit("2026-09"),
        "correction_cause": pl.lit("late"),
        "owner_id": pl.lit("lab"),
    }.items():
        before = pl.lit(None, pl.String) if column == "correction_cause" else pl.col(column)
        told = pl.when(odd).then(other).otherwise(before)
        condensed = condense(lines_of(crowded, **{column: told}), at_most=5).filter(slug="apps.s")
        assert condensed.filter(payer_id="crowd").height == 2, column


def test_only_who_has_too_many_is_named(crowded):
    assert with_many(lines_of(crowded), at_most=13)["payer_id"].to_list() == ["crowd"]
    assert with_many(lines_of(crowded), at_most=14).is_empty()


def test_the_file_has_each_line_with_its_exact_amount(month):
    month.bill(
        usage=[
            {"amount_cents": 1_234_56},
            {"amount_cents": -7, "resource_name": "=HYPERLINK(1)"},
            {"amount_cents": 0, "resource_name": 'a "quoted", name'},
        ]
    )

    first, second, third = csv.DictReader(StringIO(write_file(lines_of(month).reverse()).decode()))

    assert [row["amount"] for row in (first, second, third)] == ["1234.56", "-0.07", "0.00"]
    assert [row["line_number"] for row in (first, second, third)] == ["1", "2", "3"]
    assert first["unit_price"] == "0.04444444444444444444"
    # No spreadsheet shall run what somebody called a resource.
    assert second["resource_name"] == "'=HYPERLINK(1)"
    assert third["resource_name"] == 'a "quoted", name'


def test_amounts_are_in_the_minor_unit_that_the_currency_has(month):
    month.bill(usage=[{"amount_cents": 1_234}], currency="JPY")

    (row,) = csv.DictReader(StringIO(write_file(lines_of(month)).decode()))

    assert (row["amount"], row["currency"]) == ("1234", "JPY")


def test_an_invoice_of_very_many_lines_says_where_each_of_them_is(month):
    count = LINES_ON_PAPER_MAX + 1
    usage = [{"resource_id": f"app_{number}", "amount_cents": 5, "resources": 1} for number in range(count)]
    view = month.bill(usage=usage).view()

    assert view.details_note.startswith("10,001 lines, put together by item and price; each of them stands in INV-2026")
    ((service,),) = ([owner.services[0]] for owner in view.details)
    (line,) = service.lines
    assert (line.name, line.usage, line.amount) == ("10,001 resources", "416d 17h 00m 00s", "€500.05")
    (said,) = view.einvoice.lines[:1]
    assert said.measure.quantity == 3600 * count
    assert said.net_cents == 5 * count

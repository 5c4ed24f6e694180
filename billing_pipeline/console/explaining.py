"""Why an invoice or one of its lines is what it is: amounts, price, intervals, raw files and rows, code version."""

from collections.abc import Iterator, Mapping
from functools import partial
from typing import Any

import polars as pl

from billing_pipeline.defs.billing import Billing, as_of, partition, released_table
from billing_pipeline.documents.formatting import format_money
from billing_pipeline.rules.explanation import events_of_line, inside, instant_text, instants, price_windows
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.accounts import Organisations, Prices
from billing_pipeline.warehouse import Generation

_FEED_OF_BASIS = {
    "runtime": "runtime_intervals",
    "stored": "storage_samples",
    "moved": "traffic_deltas",
    "units": "unit_counts",
}


class NotOnInvoice(LookupError):
    """The line or invoice does not exist."""


def explain_invoice(billing: Billing, payer: str, month: Month) -> str:
    """The figures of an invoice with their formulas, and its lines by number."""
    return "\n".join(_invoice(billing, payer, month))


def explain_line(billing: Billing, payer: str, month: Month, line: str) -> str:
    """One line, found by its number or id, down to raw files and rows."""
    return "\n".join(_line(billing, payer, month, line))


def _invoice(billing: Billing, payer: str, month: Month) -> Iterator[str]:
    invoice, statement = _head(billing, payer, month)
    money = _money(str(invoice["currency"]))
    name = invoice["number"] or "draft"
    yield f"{name}: {invoice['name']} ({payer}), {invoice['period_start']} – {invoice['period_end']}"
    for label, cents, formula in (
        ("F  fees after discounts", invoice["fees_cents"], "Σ lines"),
        ("a  free credits before", statement["free_before_cents"], ""),
        ("b  prepaid credits before", statement["prepaid_before_cents"], ""),
        ("c  free credits used", statement["free_used_cents"], "−Σ min(left in the lot, unpaid fees it may pay)"),
        ("d  free credits expired", statement["free_expired_cents"], "−Σ left of lots that end in the period"),
        ("e  prepaid credits used", statement["prepaid_used_cents"], "−min(b, F + c)"),
        ("f  estimate of next month", statement["forecast_cents"], "−recurring part of F"),
        ("g  refills pending payment", statement["pending_cents"], ""),
        (
            "h  refill",
            statement["refill_cents"],
            "negotiated" if statement["is_custom_refill"] else "max(0, −(A + c + d + e + f + g))",
        ),
        ("B  credits after payment", statement["balance_after_cents"], "A + c + d + e + h"),
        ("   used credits", invoice["used_credits_cents"], "i − d = c + e + h"),
        ("   subtotal", invoice["subtotal_cents"], "F + used credits"),
        ("   VAT", invoice["vat_cents"], f"{invoice['vat_ppm'] / 10_000:g} % ({invoice['vat_reason']}), rounded once"),
        ("   amount to pay", invoice["payable_cents"], "subtotal + VAT"),
    ):
        yield f"  {label:<28}{money(cents):>16}   {formula}"
    yield "Lines (billing explain INVOICE LINE says where each comes from):"
    for line in _lines(billing, payer, month).iter_rows(named=True):
        what = line["resource_name"] or line["description"] or line["resource_id"]
        yield f"  {line['line_number']:>4}  {what[:40]:<40}  {line['slug']:<24}{money(line['amount_cents']):>14}"


def _line(billing: Billing, payer: str, month: Month, wanted: str) -> Iterator[str]:
    lines = _lines(billing, payer, month)
    found = lines.filter((pl.col("line_id") == wanted) | (pl.col("line_number").cast(pl.String) == wanted))
    if found.is_empty():
        message = f"the invoice of {payer} for {month} has no line {wanted}; it has lines 1 to {lines.height}"
        raise NotOnInvoice(message)
    line = found.row(0, named=True)
    money = _money(str(line["currency"]))
    amount = money(line["amount_cents"])
    yield f"Line {line['line_number']} of {payer} for {month}: {amount}   line_id {line['line_id']}"
    yield f"  used by {line['owner_name']} ({line['owner_id']}): {line['resource_name'] or ''} {line['resource_id']}"
    if line["basis"] == "discount":
        yield f"  discount over all lines: {line['description'] or ''}"
    else:
        yield from _pricing(billing, month, line)
        yield from _usage(billing, month, line)
    charges = _made_from(billing, payer, month, "rating/charges")
    yield f"  code version {charges.manifest['code_version']}, as of {as_of(charges):%Y-%m-%dT%H:%M:%SZ}"


def _pricing(billing: Billing, month: Month, line: Mapping[str, Any]) -> Iterator[str]:
    """The formula of the amount, with the price version it rests on."""
    price = line["unit_price"].normalize()
    per = f"{line['per_quantity']:,} {line['unit']}" + (
        f" × {line['per_seconds']:,} s" if line["per_seconds"] > 1 else ""
    )
    quantity = line["quantity"].normalize()
    where = f"{line['slug']} in zone {line['zone'] or 'any'}"
    yield f"  {where}: {quantity:f} {line['unit']} × {price:f} {line['currency']} per {per}"
    if line["line_discount_ppm"]:
        yield f"    × (1 − {line['line_discount_ppm'] / 1_000_000:g}), the line's own discount"
    yield f"    = {_exact(line)} {line['currency']}, rounded once, half away from zero"
    if line["price_id"]:
        yield f"  price version {line['price_id']}, price factor {line['price_factor_ppm'] / 1_000_000:g}" + (
            f", tier from {line['tier_from']:,}" if line["tier_from"] else ""
        )


def _exact(line: Mapping[str, Any]) -> str:
    """The amount before rounding, to 12 places; prices per month know no seconds."""
    divisor = line["per_quantity"] * line["per_seconds"] * 1_000_000
    return f"{line['quantity'] * line['unit_price'] * (1_000_000 - line['line_discount_ppm']) / divisor:.12f}"


def _usage(billing: Billing, month: Month, line: Mapping[str, Any]) -> Iterator[str]:
    """The raw rows of a line."""
    made_from = partial(_made_from, billing, line["payer_id"], month)
    receipts = _receipts(billing, line["payer_id"], month)
    if line["basis"] == "one_shot":
        events = _one_shot(made_from("usage/one_shots"), line)
        yield from _raw_rows(receipts, events.with_columns(what=pl.lit("one-shot")))
        return
    feed = _FEED_OF_BASIS[str(line["basis"])]
    generation = made_from(f"usage/{feed}")
    events = pl.concat([generation.read("events"), generation.read("sources")], how="horizontal")
    own = instants(events_of_line(events, generation.read("meters"), line))
    organisations = Organisations.validate(made_from("accounts/organisations").read(), cast=True)
    prices = Prices.validate(made_from("accounts/prices").read(), cast=True)
    windows = price_windows(line, prices, organisations, billing.period(month))
    for window in windows.iter_rows(named=True):
        start, end = instant_text(window["window_start"]), instant_text(window["window_end"])
        yield f"  price and payer in force {start} .. {end}"
    if feed == "runtime_intervals":
        intervals = inside(own, windows, "started_at", "stopped_at")
        yield f"  {intervals.height:,} intervals; the united runs are billed once ({line['duration_s']:,} s):"
        seconds = pl.format("{}.{}", pl.col("duration_us") // 1_000_000, _micros(pl.col("duration_us") % 1_000_000))
        what = pl.format("{} {} .. {} {} s", "instance_id", _text("from"), _text("to"), seconds)
        yield from _raw_rows(receipts, intervals.with_columns(what=what))
    else:
        shown = [
            pl.col(name).cast(pl.String) if not name.endswith("_at") else _text(name)
            for name in own.columns
            if name not in ("meter_id", "file_id", "file_row")
        ]
        yield f"  {own.height:,} measurements of the month:"
        yield from _raw_rows(receipts, own.with_columns(what=pl.concat_str(shown, separator="  ")))


def _made_from(billing: Billing, payer: str, month: Month, table: str) -> Generation:
    """The generation of a table that the payer's invoice lines were made from, however often it was closed since."""
    lines = billing.settled("invoices/invoice_lines", month, payer)
    charges = billing.warehouse.generation(
        "rating/charges", partition(month), lines.manifest["inputs"]["rating/charges"]
    )
    if table == "rating/charges":
        return charges
    return billing.warehouse.generation(table, partition(month), charges.manifest["inputs"][table])


def _one_shot(generation: Generation, line: Mapping[str, Any]) -> pl.DataFrame:
    events = pl.concat([generation.read("events"), generation.read("sources")], how="horizontal")
    return events.filter(pl.col("event_id") == line["resource_id"], pl.col("owner_id") == line["owner_id"])


def _receipts(billing: Billing, payer: str, month: Month) -> pl.DataFrame:
    """The raw files by id: rows carried from older months name older ones, a released payer's may be newer."""
    issued, table = billing.books.issued_month(month), "usage/file_receipts"
    own = issued.generations.get(released_table(payer, table)) if issued else None
    read = [billing.warehouse.require(table, key) for key in billing.warehouse.partitions(table)]
    if own:
        read.append(billing.warehouse.generation(table, partition(month), own))
    return pl.concat([generation.read().select("file_id", "path") for generation in read]).unique()


def _raw_rows(receipts: pl.DataFrame, rows: pl.DataFrame) -> Iterator[str]:
    """Each row with the raw file and the position in it."""
    for row in rows.join(receipts, on="file_id", how="left").iter_rows(named=True):
        yield f"    {row['what']}   {row['path'] or row['file_id']} row {row['file_row']}"


def _micros(part: pl.Expr) -> pl.Expr:
    return part.cast(pl.String).str.zfill(6)


def _text(name: str) -> pl.Expr:
    return pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")


def _lines(billing: Billing, payer: str, month: Month) -> pl.DataFrame:
    return (
        billing.settled("invoices/invoice_lines", month).read().filter(pl.col("payer_id") == payer).sort("line_number")
    )


def _head(billing: Billing, payer: str, month: Month) -> tuple[dict[str, Any], dict[str, Any]]:
    """The invoice, or draft, and the statement of a payer."""
    issued = billing.warehouse.current("invoices/invoices", partition(month))
    invoices = (issued or billing.read("invoices/drafts", month)).read().filter(pl.col("payer_id") == payer)
    if invoices.is_empty():
        message = f"{payer} has no invoice for {month}; billing status {month} says who is parked"
        raise NotOnInvoice(message)
    statements = billing.settled("credits/credit_statements", month).read().filter(pl.col("payer_id") == payer)
    return invoices.row(0, named=True), statements.row(0, named=True)


def _money(currency: str) -> Any:
    return lambda cents: format_money(cents, currency)

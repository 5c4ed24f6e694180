"""Why an invoice, one of its figures or one of its lines is what it is, down to raw files and rows.

The steps are read from the published `invoices/explanations`; the rows behind a line are looked up where they are
shown, because they are as many as the usage itself.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from decimal import Decimal
from fractions import Fraction
from functools import cached_property
from typing import Any

import dataframely as dy
import polars as pl
from rich.console import JustifyMethod, RenderableType
from rich.padding import Padding
from rich.table import Table

from billing_pipeline.books import Issued
from billing_pipeline.defs.billing import Billing, as_of, partition
from billing_pipeline.defs.corrections import DIFFERENCES
from billing_pipeline.defs.evidence import receipts_of_files
from billing_pipeline.defs.interim import as_rated
from billing_pipeline.documents.formatting import format_money, format_rate
from billing_pipeline.rules.currencies import MINOR_DIGITS
from billing_pipeline.rules.evidence import (
    event_line_id,
    instants,
    price_windows,
    series_of_line,
    usage_of_line,
)
from billing_pipeline.rules.explanation import explain_reissue
from billing_pipeline.rules.lifecycle import GIVEN_UP
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.rounding import round_half_away
from billing_pipeline.tables.credits import CreditStatements
from billing_pipeline.tables.explanations import INVOICE_FIGURES, STATEMENT_FIGURES, Explanations
from billing_pipeline.tables.invoices import InvoiceLines, ReissuedInvoices
from billing_pipeline.warehouse import Generation

_TITLES = {
    "fees": "fees after discounts",
    "free_before": "free credits before",
    "prepaid_before": "prepaid credits before",
    "balance_before": "credits before",
    "free_used": "free credits used",
    "free_expired": "free credits expired",
    "prepaid_used": "prepaid credits used",
    "forecast": "estimate of next month",
    "pending": "refills pending payment",
    "refill": "refill",
    "balance_after": "credits after payment",
    "change": "change of credits",
    "used_credits": "used credits",
    "subtotal": "subtotal",
    "vat": "VAT",
    "payable": "amount to pay",
}

_FORMULAS = {
    "fees": "Σ lines",
    "balance_before": "a + b",
    "free_used": "−Σ min(left in the lot, unpaid fees it may pay)",
    "free_expired": "−Σ left of lots that end in the period",
    "prepaid_used": "−min(b, F + c)",
    "forecast": "−what is expected of the next month",
    "refill": "max(0, −(A + c + d + e + f + g))",
    "balance_after": "A + c + d + e + h",
    "change": "B − A",
    "used_credits": "i − d = c + e + h",
    "subtotal": "F + used credits",
    "payable": "subtotal + VAT",
}

_LABELS = {
    "measured": "measured",
    "unusable": "unusable, not billed",
    "granules": "to whole granules",
    "minimum": "to the least time of a run",
    "resource": "of this",
    "whole_seconds": "to whole seconds, once",
    "tier": "part in the tier",
    "free_quantity": "free",
    "blocks": "to started blocks",
    "price": "paid for",
    "tier_entry": "on entering the tier",
    "line_discount": "the line's own discount",
    "rate": "rate",
    "base": "base",
    "limit": "limit",
    "beyond_base": "limit above base",
    "lowered": "lowered by",
    "top_up": "topped up by",
    "rerated": "rated now",
    "billed": "already billed",
    "credited": "on a credit note",
    "rounded": "rounded once, half away from zero",
    "line": "amount of the line",
    "discount_share": "share of the discount",
    "free_credit": "paid by free credits",
    "prepaid_credit": "paid by prepaid credits",
    "vat_share": "share of the VAT",
    "lines": "lines of",
    "discount": "discount",
    "lot": "free credits",
    "carried": "left",
    "refill_paid": "paid",
    "top_up_paid": "added",
    "opening": "opening balance",
    "given_back": "given back",
    "refunded": "refunded",
    "transferred_in": "taken over",
    "transferred_out": "given away",
    "recurring": "recurring",
    "strategy": "estimated, rounded once",
    "commitment": "committed to",
    "closed": "nothing is estimated",
    "pending_invoice": "asked for in",
    "agreement": "agreed",
    "not_yet": "not asked for yet",
    "surplus": "surplus",
    "vat_on_lines": "on what the lines ask for",
    "vat_on_refill": "on the refill",
}

_UNITS = {"s": "s", "byte_s": "byte·s", "byte": "bytes", "unit": "units", "piece": "×"}


class NotOnInvoice(LookupError):
    """The line, figure or invoice does not exist."""


def explain_invoice(billing: Billing, payer: str, month: Month) -> Iterator[RenderableType]:
    """The figures of an invoice with their formulas, and its lines by number."""
    return _Explained(billing, payer, month).overview()


def explain_figure(billing: Billing, payer: str, month: Month, figure: str) -> Iterator[RenderableType]:
    """One figure, found by its name or letter, with its terms and where each is explained."""
    return _Explained(billing, payer, month).figure(figure)


def explain_line(billing: Billing, payer: str, month: Month, line: str) -> Iterator[RenderableType]:
    """One line, found by its number or id, down to raw files and rows."""
    return _Explained(billing, payer, month).line(line)


def explain_document(
    billing: Billing, document: Issued, line: str | None, figure: str | None
) -> Iterator[RenderableType]:
    """Any other document: an invoice beside the monthly one or in its stead, or one of the month to date.

    What it asks for and why, one of its figures, or a line.
    """
    home, kind = billing, _ExplainedBeside
    if document.is_reissue:
        kind = _ExplainedReissue
    elif document.is_interim:
        home, kind = as_rated(billing, document), _ExplainedInterim
    explained = kind(home, document.request.payer_id, document.billed_month, document)
    if line:
        return explained.line(line)
    return explained.figure(figure) if figure else explained.overview()


def rows_of_lines(billing: Billing, payer: str, month: Month) -> Iterator[tuple[dict[str, Any], pl.DataFrame]]:
    """Each line of an invoice with its raw rows.

    The rows have `feed`, `file_id`, `file_row`, `path`, `sha256`, `what`, and `from` and `to` where they count for a
    time.
    """
    return _Explained(billing, payer, month).lines_with_rows()


@dataclass(frozen=True)
class _Explained:
    """One payer's month, read from what its invoice was made of, however often the month was closed since."""

    billing: Billing
    payer: str
    month: Month

    # What it was made from.

    @cached_property
    def _explanations(self) -> Generation:
        return self.billing.settled("invoices/explanations", self.month, self.payer)

    def _made_from(self, table: str) -> Generation:
        generation_id = self._explanations.manifest["inputs"][table]
        return self.billing.warehouse.generation(table, partition(self.month), generation_id)

    def _rated_from(self, table: str) -> Generation:
        generation_id = self._made_from("rating/charges").manifest["inputs"][table]
        return self.billing.warehouse.generation(table, partition(self.month), generation_id)

    def _own(self, generation: Generation) -> pl.DataFrame:
        rows = pl.scan_parquet(generation.file("rows.parquet"), hive_partitioning=False)
        return rows.filter(pl.col("payer_id") == self.payer).collect()

    @cached_property
    def _steps(self) -> pl.DataFrame:
        return self._own(self._explanations)

    @cached_property
    def _lines(self) -> pl.DataFrame:
        return self._own(self._made_from("invoices/invoice_lines")).sort("line_number")

    @cached_property
    def _draft(self) -> dict[str, Any]:
        issued = self.billing.warehouse.current("invoices/invoices", partition(self.month))
        for generation in (issued, self._made_from("invoices/drafts")):
            rows = self._own(generation) if generation else pl.DataFrame()
            if rows.height:
                return rows.row(0, named=True)
        message = (
            f"{self.payer} has no invoice for {self.month}; "
            f"billing status {self.month} says who is parked, others owe nothing"
        )
        raise NotOnInvoice(message)

    @cached_property
    def _statement(self) -> dict[str, Any]:
        return self._own(self._made_from("credits/credit_statements")).row(0, named=True)

    def _money(self, cents: int | None) -> str:
        return "" if cents is None else format_money(cents, self._draft["currency"])

    def _command(self, *options: str, month: Month | None = None, payer: str = "") -> str:
        return " ".join(["billing explain", str(month or self.month), "--organisation", payer or self.payer, *options])

    # The whole invoice.

    def overview(self) -> Iterator[RenderableType]:
        invoice = self._draft
        name = invoice["number"] or "draft"
        yield f"{name}: {invoice['name']} ({self.payer}), {invoice['period_start']} – {invoice['period_end']}"
        yield from self._replacement()
        figures = _grid("left", "left", "right", "left")
        for figure in (*STATEMENT_FIGURES, *INVOICE_FIGURES):
            figures.add_row(
                STATEMENT_FIGURES.get(figure, ""),
                _TITLES[figure],
                self._money(self._value(figure)),
                self._formula(figure),
            )
        yield _indented(figures)
        yield f"Each term:  {self._command('--figure')} LETTER|NAME"
        yield f"Each line:  {self._command('LINE')}"
        lines = _grid("right", "left", "left", "right")
        for line in self._lines.iter_rows(named=True):
            what = line["resource_name"] or line["description"] or line["resource_id"]
            lines.add_row(str(line["line_number"]), what[:40], line["slug"], self._money(line["amount_cents"]))
        yield _indented(lines)

    def _replacement(self) -> Iterator[str]:
        """Which invoice stands in the stead of this one, or is replaced by it."""
        for document in self.billing.books.issued():
            if document.is_reissue and document.request.reference == self._draft["number"]:
                yield f"  issued again as {document.number}: billing explain {document.number}"

    def _value(self, figure: str) -> int:
        source = self._statement if figure in STATEMENT_FIGURES else self._draft
        return source[f"{figure}_cents"]

    def _formula(self, figure: str) -> str:
        if figure == "vat":
            return f"{format_rate(self._draft['vat_ppm'])} ({self._draft['vat_reason']}), rounded once"
        if figure == "refill" and self._statement["is_custom_refill"]:
            return "custom"
        if figure == "forecast":
            return f"{_FORMULAS[figure]}: {self._statement['estimate_basis'].replace('_', ' ')}"
        return _FORMULAS.get(figure, "")

    # One figure.

    def figure(self, wanted: str) -> Iterator[RenderableType]:
        figure = {letter: name for name, letter in STATEMENT_FIGURES.items()}.get(wanted, wanted)
        if figure not in _TITLES:
            known = ", ".join([*STATEMENT_FIGURES.values(), *_TITLES])
            message = f"{wanted} is no figure of an invoice; it has {known}"
            raise NotOnInvoice(message)
        letter = STATEMENT_FIGURES.get(figure)
        head = f"{_TITLES[figure]} ({letter})" if letter else _TITLES[figure]
        formula = self._formula(figure)
        value = self._money(self._draft and self._value(figure))
        yield f"{head} of {self.payer} for {self.month}: {value}" + (f" = {formula}" if formula else "")
        steps = self._steps.filter(line_id="", figure=figure)
        yield self._table(steps) if steps.height else "  nothing adds to it"
        deeper = list(dict.fromkeys(filter(None, map(self._deeper, steps.iter_rows(named=True)))))
        if deeper:
            yield "Deeper:\n" + "\n".join(f"  {command}" for command in deeper)

    def _deeper(self, step: Mapping[str, Any]) -> str | None:
        """The command that explains a term."""
        match step["what"]:
            case "figure" if step["text"] in _TITLES:
                return self._command("--figure", STATEMENT_FIGURES.get(step["text"], step["text"]))
            case "lines" | "discount" | "top_up" | "recurring" | "vat_on_lines":
                return self._command()
            case (
                "lot" | "opening" | "given_back" | "refunded" | "prepaid_credit" | "transferred_in" | "transferred_out"
            ):
                return f"billing show credits/credit_movements {self.month} --organisation {self.payer}"
            case "commitment":
                return f"billing show accounts/spend_rules {self.month}"
            case "vat_on_refill":
                return self._command("--figure", "h")
            case "refill_paid" | "pending_invoice":
                month, _, payer = step["text"].removeprefix("refill of ").partition(" of ")
                return self._command("--figure", "h", month=Month.parse(month), payer=payer)
            case "carried":
                return self._command("--figure", "e", month=Month.parse(step["text"].removeprefix("after ")))
        return None

    def _table(self, steps: pl.DataFrame) -> Padding:
        """Steps, one a row: what, how much, worth, which one."""
        table = _grid("left", "right", "left", "right", "left")
        for step in steps.sort("figure", "step").iter_rows(named=True):
            label, text = _LABELS.get(step["what"], ""), step["text"] or ""
            if step["what"] == "figure":
                letter = STATEMENT_FIGURES.get(text, "")
                label, text = f"{letter:1} {_TITLES.get(text, text)}", ""
            table.add_row(label, *self._worth(step), self._money(step["amount_cents"]), text)
        return _indented(table)

    def _worth(self, step: Mapping[str, Any]) -> tuple[str, str]:
        """The quantity of a step, and what it is worth where it has a price."""
        if step["quantity"] is None:
            return "", ""
        is_money = step["unit"] == "cent"
        quantity = (
            self._money(int(step["quantity"]))
            if is_money
            else f"{step['quantity'].normalize():,f} {_UNITS[step['unit']]}"
        )
        if step["unit_price"] is None:
            return quantity, ""
        exact = worth_of_step(step, self._draft["currency"])
        if is_money:
            return quantity, f"× {self._times(step)} = {_decimal(exact)}"
        per = "" if step["per"] == 1 else f" / {int(step['per']):,}"
        price = f"{step['unit_price'].normalize():f} {self._draft['currency']}"
        return quantity, f"× {price}{per} = {_decimal(exact)}"

    def _times(self, step: Mapping[str, Any]) -> str:
        """What an amount of money is multiplied by: whole numbers as they are, rates in per cent."""
        times = Fraction(step["unit_price"])
        if times.denominator > 1:
            return format_rate(int(times * 10**6))
        return f"{times}" + ("" if step["per"] == 1 else f" / {int(step['per'])}")

    # One line.

    def find_line(self, wanted: str) -> dict[str, Any]:
        """A line by its number or id.

        Raises:
            NotOnInvoice: there is none.
        """
        name = self._draft["number"] or "the draft"
        by_number = pl.col("line_number").cast(pl.String) == wanted
        found = self._lines.filter((pl.col("line_id") == wanted) | by_number)
        if found.is_empty():
            message = (
                f"{name} of {self.payer} for {self.month} has no line {wanted}; "
                f"it has lines 1 to {self._lines.height}: {self._command()}"
            )
            raise NotOnInvoice(message)
        return found.row(0, named=True)

    def line(self, wanted: str) -> Iterator[RenderableType]:
        line = self.find_line(wanted)
        steps = self._steps.filter(line_id=line["line_id"])
        amount = self._money(line["amount_cents"])
        yield f"Line {line['line_number']} of {self.payer} for {self.month}: {amount}   line_id {line['line_id']}"
        shared = f"{line['resources']:,} resources" if (line["resources"] or 0) > 1 else ""
        what = " ".join(filter(None, [line["resource_name"] or line["description"], line["resource_id"], shared]))
        place = f"{line['slug']}" + (f" in {line['zone']}" if line["zone"] else "")
        yield f"  used by {line['owner_name']} ({line['owner_id']}): {what}, {place}"
        yield self._table(steps.filter(figure="amount"))
        due = steps.filter(figure="due")
        if due.height:
            yield f"  of this to pay: {self._money(int(due['amount_cents'].sum()))}"
            yield self._table(pl.concat([due, steps.filter(figure="vat_share")]))
        if line["correction_cause"]:
            yield from self._correction_shown(line)
            return
        yield from self._rows_shown(line)
        charges = self._made_from("rating/charges")
        yield f"  code version {charges.manifest['code_version']}, as of {as_of(charges):%Y-%m-%dT%H:%M:%SZ}"

    def _correction_shown(self, line: Mapping[str, Any]) -> Iterator[RenderableType]:
        """Who approved a correction, what it corrects, and which raw files the line is rated from by now."""
        booked = self.billing.settled("credits/corrections", self.month).read().filter(line_id=line["line_id"])
        seq, origin = booked["approval"].item(), Month.parse(line["origin_month"])
        (approval,) = [entry for entry in self.billing.books.approved_corrections(origin) if entry.seq == seq]
        corrected = line["corrected_line_id"]
        yield (
            f"  {origin} rated again as of {_instant(approval.as_of)}, approved by {approval.author} "
            f"(entry {seq} of the books)"
        )
        yield f"  what was billed: {self._command(corrected, month=origin)}"
        rated = self.billing.warehouse.generation(DIFFERENCES, partition(origin), approval.generation)
        sources = rated.read("sources").filter(line_id=corrected)
        if sources.is_empty():
            yield "  no raw row is left of it"
            return
        receipts = receipts_of_files(self.billing, self.month, sources)
        files = _grid("left", "right", "left")
        for row in sources.join(receipts, on=["feed", "file_id"]).sort("path").iter_rows(named=True):
            files.add_row(row["path"], f"{row['source_rows']:,} rows", f"sha256 {row['sha256']}")
        yield "  raw files:"
        yield _indented(files)

    def _rows_shown(self, line: Mapping[str, Any]) -> Iterator[RenderableType]:
        rows = self.rows(line)
        if rows.is_empty():
            return
        for window in self._windows(line).iter_rows():
            yield "  price and payer in force " + " .. ".join(map(_instant, window))
        is_event = line["basis"] in ("one_shot", "vendor")
        of_intervals = "intervals" if set(rows["feed"]) == {"runtime_intervals"} else "measurements"
        kind = "events" if is_event else of_intervals
        yield (
            f"  {rows.height:,} {kind}:"
            if line["duration_s"] is None
            else (f"  {rows.height:,} {kind}, {line['duration_s']:,} s in all:")
        )
        shown = _grid("left", "left")
        for row in rows.iter_rows(named=True):
            shown.add_row(row["what"], f"{row['path']} row {row['file_row']}")
        yield _indented(shown)
        yield from self._unusable_shown(line)
        files = _grid("left", "left")
        for path, checksum in rows.select("path", "sha256").unique().sort("path").iter_rows():
            files.add_row(path, f"sha256 {checksum}")
        yield "  raw files:"
        yield _indented(files)

    def _unusable_shown(self, line: Mapping[str, Any]) -> Iterator[RenderableType]:
        """Parts of the line's runs that are not billed, as the annex of the invoice prints them."""
        if line["basis"] != "runtime":
            return
        key = ("owner_id", "slug", "zone")
        parts = self._own(self._made_from("rating/unusable")).filter(
            pl.col("resource_id").is_in(self._resources(line)), **{name: line[name] for name in key}
        )
        inside = parts.join(self._windows(line), how="cross").filter(
            (pl.col("started_at") < pl.col("window_end")) & (pl.col("stopped_at") > pl.col("window_start"))
        )
        if inside.is_empty():
            return
        yield f"  {inside.height:,} parts of them not billed:"
        shown = _grid("left", "left")
        for row in inside.sort("started_at", "instance_id").iter_rows(named=True):
            shown.add_row(
                row["instance_id"], f"{_instant(row['started_at'])} .. {_instant(row['stopped_at'])}", row["reason"]
            )
        yield _indented(shown)

    # Its raw rows.

    def lines_with_rows(self) -> Iterator[tuple[dict[str, Any], pl.DataFrame]]:
        return ((line, self.rows(line)) for line in self._lines.iter_rows(named=True))

    @cached_property
    def _sources(self) -> pl.DataFrame:
        return self._made_from("rating/charge_sources").read().join(self._lines, on="line_id", how="semi")

    @cached_property
    def _prices(self) -> pl.DataFrame:
        return self._made_from("accounts/prices").read()

    @cached_property
    def _organisations(self) -> pl.DataFrame:
        return self._made_from("accounts/organisations").read()

    def rows(self, line: Mapping[str, Any]) -> pl.DataFrame:
        """The raw rows of a line, of every feed that it was made from."""
        sources = self._sources.filter(line_id=line["line_id"])
        found = [
            self._rows_of_feed(feed, line, of_feed)
            for (feed,), of_feed in sources.sort("feed").group_by("feed", maintain_order=True)
        ]
        shape = {
            "feed": pl.String,
            "from": pl.Datetime("us", "UTC"),
            "to": pl.Datetime("us", "UTC"),
            "what": pl.String,
            "file_id": pl.String,
            "file_row": pl.Int64,
        }
        rows = pl.concat([pl.DataFrame(schema=shape), *found])
        receipts = receipts_of_files(self.billing, self.month, rows)
        return rows.join(receipts, on=["feed", "file_id"], how="left", maintain_order="left").with_columns(
            path=pl.coalesce("path", "file_id")
        )

    def _rows_of_feed(self, feed: str, line: Mapping[str, Any], sources: pl.DataFrame) -> pl.DataFrame:
        generation = self._rated_from(f"usage/{feed}")
        if "meters.parquet" in generation.files:
            series = series_of_line(feed, generation.read("meters"), line, self._resources(line))
            events = instants(_events_of(generation, series["meter_id"])).join(series, on="meter_id")
            if feed == "runtime_heartbeats":
                events = self._with_limits(events)
            period = self.billing.period(self.month)
            usage = usage_of_line(feed, events, self._windows(line), self._tier(line), period).drop(
                "meter_id", "series", "is_own"
            )
        else:
            usage = self._unmetered(feed, generation, line, sources)
        bounds = [name for name in ("from", "to") if name in usage.columns]
        values = [name for name in usage.columns if name not in ("file_id", "file_row", "from", "to")]
        if bounds:
            values = [name for name in values if not name.endswith("_at")]
        shown = [_time(name) if name.endswith("_at") else pl.col(name).cast(pl.String) for name in values]
        if bounds:
            length = (pl.col("to") - pl.col("from")).dt.total_microseconds()
            seconds = pl.format("{}.{} s", length // 10**6, (length % 10**6).cast(pl.String).str.zfill(6))
            shown += [pl.format("{} .. {}", _time("from"), _time("to")), seconds]
        nothing = pl.lit(None, pl.Datetime("us", "UTC"))
        return usage.rechunk().select(
            pl.lit(feed).alias("feed"),
            *(pl.col(name) if name in bounds else nothing.alias(name) for name in ("from", "to")),
            what=pl.concat_str(shown, separator=" ", ignore_nulls=True),
            file_id="file_id",
            file_row="file_row",
        )

    def _unmetered(
        self, feed: str, generation: Generation, line: Mapping[str, Any], sources: pl.DataFrame
    ) -> pl.DataFrame:
        """The one event of a charge that no meter measured."""
        events = pl.concat([generation.read("events"), generation.read("sources")], how="horizontal")
        own = events.filter(pl.col("file_id").is_in(sources["file_id"].implode()), owner_id=line["owner_id"])
        ids = [event_line_id(feed, str(self.month), *event) for event in own[["source", "event_id"]].rows()]
        found = instants(own.filter(pl.Series(ids, dtype=pl.String) == line["line_id"]))
        columns = (
            "source", "event_id", "vendor", "description", "performed_at", "charged_at", "quantity", "unit_price",
            "amount", "author", "file_id", "file_row",
        )  # fmt: skip
        return found.select(name for name in columns if name in found.columns)

    def _resources(self, line: Mapping[str, Any]) -> list[str]:
        """The resource of a line, or those that share it."""
        if line["resource_id"]:
            return [line["resource_id"]]
        shares = self._made_from("rating/charge_shares").read()
        return shares.filter(line_id=line["line_id"])["resource_id"].to_list()

    def _with_limits(self, heartbeats: pl.DataFrame) -> pl.DataFrame:
        """Heartbeats with how long they hold and how far apart two of one run may be, by their source."""
        settings = self.billing.settings
        limits = pl.DataFrame(
            [(source, own.period_s * 10**6, own.gap_s * 10**6) for source, own in settings.heartbeat_sources.items()],
            schema={"source": pl.String, "nominal_us": pl.Int64, "gap_us": pl.Int64},
            orient="row",
        )
        return heartbeats.join(limits, on="source", how="left").with_columns(
            pl.col("nominal_us").fill_null(settings.heartbeat_period_s * 10**6),
            pl.col("gap_us").fill_null(settings.heartbeat_gap_s * 10**6),
        )

    def _windows(self, line: Mapping[str, Any]) -> pl.DataFrame:
        if line["price_id"] is None:
            return pl.DataFrame()
        return price_windows(line, self._prices, self._organisations, self.billing.period(self.month))

    def _tier(self, line: Mapping[str, Any]) -> dict[str, Any] | None:
        key = ("price_id", "price_factor_ppm", "tier_from")
        found = self._prices.filter(**{name: line[name] for name in key})
        return found.row(0, named=True) if found.height else None


#: Figures of a document beside the monthly invoice.
_BESIDE = ("subtotal", "vat", "payable")


@dataclass(frozen=True)
class _ExplainedDocument(_Explained):
    """A document that its number alone names."""

    document: Issued

    def _command(self, *options: str, month: Month | None = None, payer: str = "") -> str:
        if month or payer:
            return super()._command(*options, month=month, payer=payer)
        return " ".join(["billing explain", self.document.number, *options])


@dataclass(frozen=True)
class _ExplainedReissue(_ExplainedDocument):
    """An invoice that was issued again: explained like the one that it replaces, but for its own VAT."""

    @cached_property
    def _draft(self) -> dict[str, Any]:
        return self._invoice.row(0, named=True)

    @cached_property
    def _invoice(self) -> dy.DataFrame[ReissuedInvoices]:
        issued = self.billing.read("invoices/reissued_invoices", self.document.request.billing_month)
        return issued.typed(ReissuedInvoices).filter(number=self.document.number)

    @cached_property
    def _steps(self) -> pl.DataFrame:
        return explain_reissue(
            Explanations.validate(self._own(self._explanations)),
            self._invoice,
            InvoiceLines.validate(self._lines),
            CreditStatements.validate(self._own(self._made_from("credits/credit_statements"))),
        )

    def _replacement(self) -> Iterator[str]:
        invoice = self._draft
        yield (
            f"  it replaces {invoice['replaces']} of {invoice['replaces_issued_on']}: {invoice['reason']} (entry "
            f"{invoice['decision']} of the books); lines and credits are the same, party and VAT those of "
            f"{invoice['issued_on']}"
        )
        yield from super()._replacement()


@dataclass(frozen=True)
class _ExplainedBeside(_ExplainedDocument):
    """A document beside the monthly invoice; what explains it stands under its line."""

    @cached_property
    def _lines(self) -> pl.DataFrame:
        lines = self._own(self._made_from("invoices/specific_lines"))
        return lines.filter(reference=self.document.request.reference)

    @cached_property
    def _draft(self) -> dict[str, Any]:
        issued = self.billing.read("invoices/specific_invoices", self.month).read()
        return issued.row(by_predicate=pl.col("number") == self.document.number, named=True)

    def overview(self) -> Iterator[RenderableType]:
        asked = self._draft
        what = "prepaid credits sold" if asked["kind"] == "credits" else "invoiced on its own"
        who = f"{asked['name']} ({self.payer})"
        yield f"{asked['number']}: {who}, {what} on {asked['performed_on']}, {asked['reference']}"
        figures = _grid("left", "right", "left")
        for figure in _BESIDE:
            figures.add_row(_TITLES[figure], self._money(asked[f"{figure}_cents"]), self._told(figure))
        yield _indented(figures)
        yield f"Each term:  {self._command('--figure')} NAME"
        yield from self.line("1")

    def _told(self, figure: str) -> str:
        return self._formula(figure) if figure != "subtotal" else "its line"

    def figure(self, wanted: str) -> Iterator[RenderableType]:
        if wanted not in _BESIDE:
            message = f"{wanted} is no figure of {self.document.number}; it has {', '.join(_BESIDE)}"
            raise NotOnInvoice(message)
        amount = self._money(self._draft[f"{wanted}_cents"])
        yield f"{_TITLES[wanted]} of {self.document.number}: {amount} = {self._told(wanted)}"
        line = self._lines.row(0, named=True)
        yield self._table(self._steps.filter(line_id=line["line_id"], figure=wanted))


#: Figures of an interim invoice, in the order in which they add up to it.
_INTERIM = {
    "fees_to_date": ("fees of the month to date", "Σ lines"),
    "free_used": ("free credits", "−Σ min(left in the lot, unpaid fees it may pay)"),
    "prepaid_used": ("prepaid credits", "−what is prepaid, without earlier interim invoices"),
    "earlier": ("earlier interim invoices", "−Σ what they asked for, unless given up"),
    "pending": ("refills pending payment", "−Σ what was asked for before the month"),
    "subtotal": ("subtotal", "fees + free + prepaid + earlier + pending"),
    "vat": ("VAT", ""),
    "payable": ("amount to pay", "subtotal + VAT"),
}


@dataclass(frozen=True)
class _ExplainedInterim(_Explained):
    """An interim invoice, read from the rating of the month to date that it was made of."""

    document: Issued

    def _made_from(self, table: str) -> Generation:
        return self.billing.read(table, self.month)

    def _rated_from(self, table: str) -> Generation:
        return self.billing.read(table, self.month)

    @cached_property
    def _lines(self) -> pl.DataFrame:
        lines = self._own(self.billing.read("interim/lines", self.month))
        return lines.filter(reference=self.document.request.reference).sort("line_number")

    @cached_property
    def _draft(self) -> dict[str, Any]:
        issued = self.billing.read("interim/invoices", self.month).read()
        return issued.row(by_predicate=pl.col("number") == self.document.number, named=True)

    def _command(self, *options: str, month: Month | None = None, payer: str = "") -> str:
        if month or payer:
            return super()._command(*options, month=month, payer=payer)
        return " ".join(["billing explain", self.document.number, *options])

    def _formula(self, figure: str) -> str:
        return super()._formula(figure) if figure == "vat" else _INTERIM[figure][1]

    def overview(self) -> Iterator[RenderableType]:
        asked = self._draft
        who = f"{asked['name']} ({self.payer})"
        yield f"{asked['number']}: {who}, interim invoice of {asked['period_start']} – {asked['period_end']}"
        figures = _grid("left", "right", "left")
        for figure, (title, _) in _INTERIM.items():
            figures.add_row(title, self._money(asked[f"{figure}_cents"]), self._formula(figure))
        yield _indented(figures)
        yield f"Each term:  {self._command('--figure')} NAME"
        yield f"Each line:  {self._command('LINE')}"
        yield self._lines_shown()

    def _lines_shown(self) -> Padding:
        shown = _grid("right", "left", "left", "right")
        for line in self._lines.iter_rows(named=True):
            what = line["resource_name"] or line["description"] or line["resource_id"]
            shown.add_row(str(line["line_number"]), what[:40], line["slug"], self._money(line["amount_cents"]))
        return _indented(shown)

    def figure(self, wanted: str) -> Iterator[RenderableType]:
        if wanted not in _INTERIM:
            message = f"{wanted} is no figure of {self.document.number}; it has {', '.join(_INTERIM)}"
            raise NotOnInvoice(message)
        title, amount = _INTERIM[wanted][0], self._money(self._draft[f"{wanted}_cents"])
        yield f"{title} of {self.document.number}: {amount} = {self._formula(wanted)}"
        if wanted == "fees_to_date":
            yield self._lines_shown()
        elif wanted == "earlier":
            yield self._earlier_shown()

    def _earlier_shown(self) -> Padding:
        """The interim invoices of the month before this one that were not given up by then."""
        given_up = {
            number for number, state in self.billing.books.states(self.document.as_of).items() if state in GIVEN_UP
        }
        given_up |= {entry.number for entry in self.billing.books.decisions() if entry.seq < self.document.seq}
        shown = _grid("left", "left", "right")
        for issued in self.billing.books.issued(self.month):
            is_earlier = issued.is_interim and issued.request.payer_id == self.payer and issued.seq < self.document.seq
            if is_earlier and issued.number not in given_up:
                asked = int(issued.request.facts["used_credits_cents"] or 0)
                shown.add_row(issued.number, issued.request.reference, self._money(-asked))
        return _indented(shown)

    def line(self, wanted: str) -> Iterator[RenderableType]:
        line = self.find_line(wanted)
        amount = self._money(line["amount_cents"])
        yield f"Line {line['line_number']} of {self.document.number}: {amount}   line_id {line['line_id']}"
        what = " ".join(filter(None, [line["resource_name"] or line["description"], line["resource_id"]]))
        yield f"  {what}, {line['slug']}, of the month up to {self.document.request.period_end}"
        yield from self._rows_shown(line)


def worth_of_step(step: Mapping[str, Any], currency: str) -> Fraction:
    """What a step with a unit price is worth, exactly, in the currency's major unit."""
    worth = Fraction(step["quantity"]) * Fraction(step["unit_price"]) / Fraction(step["per"])
    return worth / 10 ** MINOR_DIGITS[currency] if step["unit"] == "cent" else worth


def _events_of(generation: Generation, meters: pl.Series) -> pl.DataFrame:
    """The events of these meters with their raw file and row, without reading all others into memory."""
    events, sources = (
        pl.scan_parquet(generation.file(f"{part}.parquet"), hive_partitioning=False).with_row_index("at_row")
        for part in ("events", "sources")
    )
    own = events.filter(pl.col("meter_id").is_in(meters.implode())).collect()
    reach = pl.col("at_row").is_between(own["at_row"].min() or 0, own["at_row"].max() or 0)
    return own.join(sources.filter(reach).collect(), on="at_row", maintain_order="left").drop("at_row")


def _grid(*columns: JustifyMethod) -> Table:
    """A table without lines whose cells are never cut or wrapped."""
    table = Table(box=None, show_header=False, padding=(0, 2, 0, 0))
    for justify in columns:
        table.add_column("", justify=justify, no_wrap=True, overflow="ignore")
    return table


def _indented(table: Table) -> Padding:
    return Padding(table, (0, 0, 0, 4), expand=False)


def _decimal(exact: Fraction) -> str:
    """An exact value to 12 places, without trailing zeros."""
    rounded = Decimal(round_half_away(*(exact * 10**12).as_integer_ratio())).scaleb(-12)
    return f"{rounded.normalize():f}" + ("" if Fraction(rounded) == exact else "…")


def _instant(instant: Any) -> str:
    return instant.isoformat().replace("+00:00", "Z")


def _time(name: str) -> pl.Expr:
    return pl.col(name).dt.strftime("%Y-%m-%dT%H:%M:%S%.fZ")

"""Invoices on paper: the HTML and PDF of every payer, drafts marked as such until they are issued; then as XML, too."""

import hashlib
import os
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import dagster as dg
import dataframely as dy
import polars as pl

from billing_pipeline.defs.billing import Billing, inputs_of, partition
from billing_pipeline.defs.decisions import named_in_movements
from billing_pipeline.defs.invoices import SHOWN_IF_THERE
from billing_pipeline.defs.monthly import Report, Table, monthly_assets
from billing_pipeline.defs.partitions import month_and_organisation, running_month
from billing_pipeline.defs.reissues import REISSUED_INVOICES
from billing_pipeline.defs.specific import SPECIFIC_DRAFTS, SPECIFIC_INVOICES, SPECIFIC_LINES
from billing_pipeline.documents.building import (
    build_credit_note_views,
    build_interim_views,
    build_specific_views,
    build_views,
)
from billing_pipeline.documents.formatting import format_money
from billing_pipeline.documents.many_lines import with_many, write_file
from billing_pipeline.documents.pool import render_all
from billing_pipeline.documents.rendering import RenderedInvoice
from billing_pipeline.documents.view import DocumentFailure, InvoiceView
from billing_pipeline.rules.equations import Equation
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.refunds import find_sales
from billing_pipeline.tables.corrections import CreditNoteLines, IssuedCreditNotes
from billing_pipeline.tables.credits import CreditLots, CreditStatements
from billing_pipeline.tables.interim import InterimInvoices, InterimLines
from billing_pipeline.tables.invoices import (
    Drafts,
    InvoiceLines,
    Invoices,
    ReissuedInvoices,
    SpecificDrafts,
    SpecificInvoices,
    SpecificLines,
)
from billing_pipeline.tables.rating import DailyWeights, Unusable
from billing_pipeline.warehouse import Generation, Publication

#: Only what is issued is an e-invoice (`xml`).
_FORMATS = ("html", "pdf", "xml")
#: Invoices of very many lines have all of them in a file (`csv`).
_FILES = (*_FORMATS, "csv")
_LINES = "invoices/invoice_lines"


class NoSuchInvoice(LookupError):
    """The organisation has no invoice in the month."""


class _Place(NamedTuple):
    """Where people look for a published document."""

    #: Its name in the generation, without its ending.
    published: str
    #: Without its ending.
    link: Path
    #: Null for a draft.
    number: str | None


@monthly_assets(
    Table(
        "documents/month_documents",
        "All documents of the month; drafts are marked as such until issued. One row per payer with an invoice.",
        deps=[
            "invoices/drafts",
            "invoices/specific_drafts",
            "invoices/explanations",
            "invoices/invoices",
            "invoices/specific_invoices",
            "invoices/credit_notes",
            "invoices/reissued_invoices",
        ],
        checks={"every_invoice_has_its_document": "Documents = invoices of the month."},
    ),
    kind="weasyprint",
)
def month_documents(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Make the documents of everyone, on every core, and link them where people look for them."""
    read, invoices = _invoices(billing, month)
    made, failures, laid_out = [], [], Counter[str]()
    with billing.warehouse.publishing(
        "documents/month_documents", partition(month), as_of=billing.as_of(month), inputs=inputs_of(read)
    ) as publication:
        for outcome in render_all(_views(billing, month, read, invoices), billing.settings.workers):
            if isinstance(outcome, DocumentFailure):
                failures.append(outcome)
                context.log.error("no document for %s: %s", outcome.payer_id, outcome.detail)
                continue
            _write(publication, outcome.payer_id, outcome)
            made.append(outcome.payer_id)
            laid_out.update([outcome.misfit] if outcome.misfit else [])
            if len(made) % 100 == 0:
                context.log.info("%s: %s of %s documents", month, len(made), invoices.height)
        _write_lines(publication, read[_LINES], {payer: payer for payer in made})
        rows = invoices.select("payer_id", "number", "payable_cents", "currency").filter(pl.col("payer_id").is_in(made))
        publication.write("rows", rows.sort("payer_id"))
        beside = _write_beside(billing, month, publication)
        notes = _write_credit_notes(billing, month, publication)
        reissued = _write_reissued(billing, month, publication)
    generation = billing.warehouse.require("documents/month_documents", partition(month))
    folder = _link(billing, month, generation, rows)
    _link_beside(billing, month, generation, beside)
    _link_credit_notes(billing, generation, notes)
    _link_reissued(billing, month, generation, reissued)
    _record(context, billing, month, rows)
    sentence = f"every invoice has its document: {invoices.height} invoices, {len(made)} documents"
    figures = {"invoices": invoices.height, "documents": len(made)}
    complete = Equation("every_invoice_has_its_document", sentence, figures, invoices.height == len(made))
    metadata = {
        "dagster/row_count": len(made),
        "folder": dg.MetadataValue.path(str(folder)),
        "stamped": len(made) - laid_out.total(),
        "laid_out": dg.MetadataValue.json(dict(laid_out.most_common())),
    }
    return {"documents/month_documents": Report(metadata, [complete])}


def add_document(billing: Billing, month: Month, payer: str) -> Path:
    """Make the document of one payer that was released after the others were issued; theirs stay as they are.

    Returns:
        Where people look for it, without its ending.

    Raises:
        NoSuchInvoice: nothing is asked of the payer in the month.
        RuntimeError: the document could not be made.
    """
    read, invoices = _invoices(billing, month)
    older = billing.warehouse.current("documents/month_documents", partition(month))
    has_invoice = not invoices.filter(pl.col("payer_id") == payer).is_empty()
    if has_invoice or not _is_asked_otherwise(billing, month, payer):
        invoice, outcome = _render_one(billing, month, read, invoices, payer)
    else:
        invoice, outcome = invoices.clear(), None
    rows = invoice.select("payer_id", "number", "payable_cents", "currency")
    with billing.warehouse.publishing(
        "documents/month_documents", partition(month), as_of=billing.as_of(month), inputs=inputs_of(read)
    ) as publication:
        if outcome:
            _write(publication, payer, outcome)
            _write_lines(publication, read[_LINES], {payer: payer})
        others = rows.clear()
        if older:
            others = older.read().filter(pl.col("number").is_not_null(), pl.col("payer_id") != payer)
            _keep(publication, older, others["payer_id"])
        publication.write("rows", pl.concat([others, rows]).sort("payer_id"))
        beside = _write_beside(billing, month, publication)
        notes = _write_credit_notes(billing, month, publication)
        reissued = _write_reissued(billing, month, publication)
    folder = _link_beside(billing, month, publication.generation, beside)
    _link_credit_notes(billing, publication.generation, notes)
    _link_reissued(billing, month, publication.generation, reissued)
    if outcome is None:
        return folder
    return _link(billing, month, publication.generation, rows) / _name(rows.row(0, named=True))


@dg.asset(
    key_prefix="documents",
    group_name="documents",
    kinds={"weasyprint"},
    partitions_def=month_and_organisation,
    deps=[["invoices", "drafts"], ["invoices", "invoices"]],
    backfill_policy=dg.BackfillPolicy.multi_run(1),
)
def invoice_documents(context: dg.AssetExecutionContext, billing: dg.ResourceParam[Billing]) -> dg.MaterializeResult:
    """One organisation's invoice again, as HTML, PDF and, once issued, XML. One row per month and payer.

    The month's run records one materialisation per organisation here; materialise it alone to make that document
    again: an issued one comes out byte for byte, or the run fails.
    """
    keys = context.partition_key.keys_by_dimension
    month, payer = Month.parse(keys["month"]), keys["organisation"]
    read, invoices = _invoices(billing, month)
    invoice, outcome = _render_one(billing, month, read, invoices, payer)
    contents = [*_contents(outcome), *(("csv", content) for _, content in _line_files(read[_LINES], [payer]))]
    files = {f"{_name(invoice.row(0, named=True))}.{kind}": content for kind, content in contents}
    number = invoice["number"][0]
    if number:
        billing.books.record_documents({number: {name: _sha256(content) for name, content in files.items()}})
    folder = _folder(billing, month, number)
    for name, content in files.items():
        _replace(folder / name, content)
    return dg.MaterializeResult(metadata=_document_metadata(folder, invoice.row(0, named=True)))


@monthly_assets(
    Table(
        "documents/interim_documents",
        "The documents of the month's interim invoices. One row per document.",
        deps=["interim/lines", "interim/invoices"],
        months=running_month,
    ),
    kind="weasyprint",
)
def interim_documents(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Make the documents of interim invoices that have none yet, and link all under their numbers.

    Raises:
        RuntimeError: one could not be made.
    """
    del context
    key = "documents/interim_documents"
    read = {table: billing.read(table, month) for table in ("interim/lines", "interim/invoices")}
    issued = read["interim/invoices"].typed(InterimInvoices).sort("number")
    older = billing.warehouse.current(key, partition(month))
    made = older.read() if older else issued.select("number").clear()
    lacking = issued.join(made, on="number", how="anti")
    lines = read["interim/lines"].typed(InterimLines)
    views = build_interim_views(lacking, lines, billing.settings.invoicing_seller)
    with billing.warehouse.publishing(
        key, partition(month), as_of=billing.as_of(month), inputs=inputs_of(read)
    ) as publication:
        if older:
            _keep(publication, older, made["number"])
        _write_each(publication, lacking["number"], lacking["number"], render_all(views, billing.settings.workers))
        publication.write("rows", issued.select("number", "payer_id", "payable_cents", "currency"))
    folder = billing.settings.home.resolve() / "documents" / billing.settings.series
    places = [_Place(number, folder / number, number) for number in issued["number"]]
    _link_places(billing, publication.generation, places)
    return {key: Report({"dagster/row_count": issued.height})}


def _write(publication: Publication, stem: str, document: RenderedInvoice) -> None:
    for kind, content in _contents(document):
        publication.write_bytes(f"{stem}.{kind}", content)


def _contents(document: RenderedInvoice) -> Iterator[tuple[str, bytes]]:
    """What a document consists of, by format."""
    for kind in _FORMATS:
        content = getattr(document, kind)
        if content is not None:
            yield kind, content


def _files_of(generation: Generation, stem: str) -> list[str]:
    """The published files of a document; what an older version made has no e-invoice."""
    return [name for name in (f"{stem}.{kind}" for kind in _FILES) if name in generation.manifest["files"]]


def _line_files(lines: Generation, payers: Collection[str]) -> Iterator[tuple[str, bytes]]:
    """The payers whose invoices have more lines than are printed, each with the file of all of them."""
    known = pl.read_parquet(lines.file("rows.parquet"), columns=["payer_id"], hive_partitioning=False)
    many = [payer for payer in with_many(known)["payer_id"] if payer in payers]
    rows = lines.typed(InvoiceLines) if many else InvoiceLines.create_empty()
    for payer in many:
        yield payer, write_file(rows.filter(payer_id=payer))


def _write_lines(publication: Publication, lines: Generation, stems: Mapping[str, str]) -> None:
    """Write the files of lines beside the documents of these payers, whose files have these names."""
    for payer, content in _line_files(lines, stems):
        publication.write_bytes(f"{stems[payer]}.csv", content)


def _keep(publication: Publication, older: Generation, stems: Iterable[str]) -> None:
    """Publish documents once more, as they are."""
    for name in (name for stem in stems for name in _files_of(older, stem)):
        os.link(older.file(name), publication.path(name))


def _write_each(
    publication: Publication,
    stems: Iterable[str],
    names: Iterable[str],
    outcomes: Iterable[RenderedInvoice | DocumentFailure],
) -> None:
    """Write documents of which none may lack.

    Args:
        publication: of their files.
        stems: the names of their files, without the ending.
        names: what people call them.
        outcomes: of making them, in the same order.

    Raises:
        RuntimeError: one could not be made.
    """
    for stem, name, outcome in zip(stems, names, outcomes, strict=True):
        if isinstance(outcome, DocumentFailure):
            message = f"no document {name} for {outcome.payer_id}: {outcome.detail}"
            raise RuntimeError(message)
        _write(publication, stem, outcome)


def _beside(billing: Billing, month: Month) -> pl.DataFrame:
    """The documents beside the month's invoices, issued or else drafted; none where an older version closed it."""
    is_issued = billing.books.is_issued(month)
    table = SPECIFIC_INVOICES.key if is_issued else SPECIFIC_DRAFTS.key
    generation = billing.warehouse.current(table, partition(month))
    return (SpecificInvoices if is_issued else SpecificDrafts).create_empty() if not generation else generation.read()


def _is_asked_otherwise(billing: Billing, month: Month, payer: str) -> bool:
    asked = (rows.filter(payer_id=payer) for rows in (_beside(billing, month), _reissued(billing, month)))
    return not all(rows.is_empty() for rows in asked)


def _write_beside(billing: Billing, month: Month, publication: Publication) -> pl.DataFrame:
    """Make the documents beside the month's invoices, and return them with the `line_id` that their files bear.

    Raises:
        RuntimeError: one could not be made.
    """
    documents = _beside(billing, month).sort("payer_id", "kind", "reference")
    if documents.is_empty():
        return documents.with_columns(line_id=pl.lit(""))
    lines = billing.settled(SPECIFIC_LINES.key, month).typed(SpecificLines)
    named = documents.join(lines.select("reference", "line_id"), on="reference", how="left", maintain_order="left")
    views = build_specific_views(documents, lines, billing.settings.invoicing_seller)
    _write_each(publication, named["line_id"], named["reference"], render_all(views, billing.settings.workers))
    return named


def _link_beside(billing: Billing, month: Month, generation: Generation, documents: pl.DataFrame) -> Path:
    """Link documents beside the invoices under their numbers, drafts under the ids of their lines."""
    places = [
        _Place(line_id, _folder(billing, month, number) / (number or line_id), number)
        for line_id, number in documents.select("line_id", "number").iter_rows()
    ]
    return _link_places(billing, generation, places) or _folder(billing, month, None)


def _write_credit_notes(billing: Billing, month: Month, publication: Publication) -> list[str]:
    """Make the documents of the month's issued credit notes, and return their numbers.

    Raises:
        RuntimeError: one could not be made.
    """
    key = "invoices/credit_notes"
    issued = billing.warehouse.current(key, partition(month)) if billing.books.is_issued(month) else None
    if issued is None:
        return []
    notes = issued.typed(IssuedCreditNotes).sort("number")
    lines = billing.settled("credits/credit_note_lines", month).typed(CreditNoteLines)
    views = build_credit_note_views(notes, lines, billing.settings.invoicing_seller)
    _write_each(publication, notes["number"], notes["number"], render_all(views, 1))
    return notes["number"].to_list()


def _link_credit_notes(billing: Billing, generation: Generation, numbers: Sequence[str]) -> None:
    """Link issued credit notes under their numbers, and keep their checksums in the books."""
    folder = billing.settings.home.resolve() / "documents" / billing.settings.credit_note_series
    _link_places(billing, generation, [_Place(number, folder / number, number) for number in numbers])


def _reissued(billing: Billing, month: Month) -> dy.DataFrame[ReissuedInvoices]:
    """The invoices that were issued again with the month."""
    issued = billing.warehouse.current(REISSUED_INVOICES.key, partition(month))
    return issued.typed(ReissuedInvoices) if issued else ReissuedInvoices.create_empty()


def _write_reissued(billing: Billing, month: Month, publication: Publication) -> list[str]:
    """Make the documents of the invoices that were issued again, and return their numbers.

    Raises:
        RuntimeError: one could not be made.
    """
    reissued = _reissued(billing, month).sort("payer_id").partition_by("period_start", maintain_order=True)
    for invoices in reissued:
        of_then = Month.of(invoices["period_start"][0])
        said = _said_of(billing, of_then)
        views = _views(billing, of_then, said, invoices)
        _write_each(publication, invoices["number"], invoices["number"], render_all(views, 1))
        _write_lines(publication, said[_LINES], dict(invoices.select("payer_id", "number").iter_rows()))
    return [number for invoices in reissued for number in invoices["number"]]


def _link_reissued(billing: Billing, month: Month, generation: Generation, numbers: Sequence[str]) -> None:
    """Link invoices that were issued again under their numbers, and keep their checksums in the books."""
    places = [_Place(number, _folder(billing, month, number) / number, number) for number in numbers]
    _link_places(billing, generation, places)


def _said_of(billing: Billing, month: Month) -> dict[str, Generation]:
    """What a month's invoices say beside who is asked for how much."""
    tables = (
        "credits/credit_statements",
        "credits/credit_lots",
        "credits/credit_movements",
        _LINES,
        "rating/unusable",
        "invoices/explanations",
    )
    said = {table: billing.settled(table, month) for table in tables}
    shown = billing.settled_if_there(SHOWN_IF_THERE, month)
    return said | {SHOWN_IF_THERE: shown} if shown else said


def _invoices(billing: Billing, month: Month) -> tuple[dict[str, Generation], pl.DataFrame]:
    """What documents are made from: the issued invoices and what they were issued from, or else the drafts."""
    is_issued = billing.books.is_issued(month)
    source = "invoices/invoices" if is_issued else "invoices/drafts"
    read = _said_of(billing, month)
    read[source] = billing.read(source, month)
    schema = Invoices if is_issued else Drafts
    return read, read[source].typed(schema)


def _render_one(
    billing: Billing, month: Month, read: Mapping[str, Generation], invoices: pl.DataFrame, payer: str
) -> tuple[pl.DataFrame, RenderedInvoice]:
    """The invoice of one payer, and its document."""
    invoice = invoices.filter(pl.col("payer_id") == payer)
    if invoice.is_empty():
        message = f"{payer} has no invoice in {month}; billing status {month} says who is parked or owes nothing"
        raise NoSuchInvoice(message)
    outcome = next(render_all(_views(billing, month, read, invoice), 1))
    if isinstance(outcome, DocumentFailure):
        raise RuntimeError(outcome.detail)
    return invoice, outcome


def _views(
    billing: Billing, month: Month, read: Mapping[str, Generation], invoices: pl.DataFrame
) -> Iterator[InvoiceView | DocumentFailure]:
    """The view models of these invoices."""
    payers = invoices.select("payer_id")
    tables = {
        _LINES: InvoiceLines,
        "credits/credit_statements": CreditStatements,
        "credits/credit_lots": CreditLots,
        "rating/unusable": Unusable,
    }
    *frames, unusable = (
        read[table].typed(schema).join(payers, on="payer_id", how="semi") for table, schema in tables.items()
    )
    seller, zone = billing.settings.invoicing_seller, billing.settings.zone
    steps = pl.scan_parquet(read["invoices/explanations"].file("rows.parquet"), hive_partitioning=False)
    agreed = steps.filter(pl.col("what").cast(pl.String) == "agreement").select("payer_id", "text").collect()
    movements = pl.scan_parquet(read["credits/credit_movements"].file("rows.parquet"), hive_partitioning=False)
    paid = movements.join(payers.lazy(), on="payer_id", how="semi").select("kind", "line_id", "amount_cents").collect()
    weights = read[SHOWN_IF_THERE].typed(DailyWeights) if SHOWN_IF_THERE in read else DailyWeights.create_empty()
    return build_views(
        invoices,
        *frames,
        seller,
        zone,
        unusable=unusable,
        agreements=dict(agreed.iter_rows()),
        interim=_counted_interim(billing, month),
        movements=paid,
        weights=weights.join(payers, on="payer_id", how="semi"),
    )


def _counted_interim(billing: Billing, month: Month) -> dict[str, list[tuple[str, int]]]:
    """Numbers and cents of the interim invoices that the month's statements count, by payer."""
    issued = [document for document in billing.books.issued(month) if document.is_interim]
    if not issued:
        return {}
    movements = billing.settled("credits/credit_movements", month).read()
    named = named_in_movements(issued, refill="settled", top_up="topped_up")
    counted: dict[str, list[tuple[str, int]]] = {}
    for number, payer, cents in find_sales(movements, named).sort("number").iter_rows():
        counted.setdefault(payer, []).append((number, cents))
    return counted


def _name(invoice: Mapping[str, object]) -> str:
    """The file name of an invoice without its ending: the number, or the payer of a draft."""
    return str(invoice["number"] or invoice["payer_id"])


def _folder(billing: Billing, month: Month, number: str | None) -> Path:
    """Where people look for documents."""
    home = billing.settings.home.resolve() / "documents"
    return home / billing.settings.series if number else home / "drafts" / str(month)


def _link(billing: Billing, month: Month, generation: Generation, rows: pl.DataFrame) -> Path:
    """Link the published documents under their numbers, and keep the checksums of issued ones in the books."""
    places = [
        _Place(invoice["payer_id"], _folder(billing, month, invoice["number"]) / _name(invoice), invoice["number"])
        for invoice in rows.iter_rows(named=True)
    ]
    return _link_places(billing, generation, places) or _folder(billing, month, None)


def _link_places(billing: Billing, generation: Generation, places: Sequence[_Place]) -> Path | None:
    """Link published documents, keep the checksums of issued ones in the books, and return the last one's folder."""
    recorded: dict[str, dict[str, str]] = {}
    for place in places:
        place.link.parent.mkdir(parents=True, exist_ok=True)
        for file in _files_of(generation, place.published):
            published = generation.file(file)
            name = f"{place.link.name}{published.suffix}"
            _link_file(published, place.link.with_name(name))
            if place.number:
                recorded.setdefault(place.number, {})[name] = generation.manifest["files"][published.name]["sha256"]
    billing.books.record_documents(recorded)
    return places[-1].link.parent if places else None


def _link_file(published: Path, link: Path) -> None:
    """Put a link to a published file in its place, whole or not at all."""
    temporary = link.with_name(f".{link.name}.tmp")
    temporary.unlink(missing_ok=True)
    os.link(published, temporary)
    temporary.replace(link)
    # Renaming a link onto another link to the same file does nothing, and leaves both.
    temporary.unlink(missing_ok=True)


def _record(context: dg.AssetExecutionContext, billing: Billing, month: Month, rows: pl.DataFrame) -> None:
    """Record each organisation's document in Dagster, while that costs less than the billing."""
    if rows.height > billing.settings.recorded_organisations:
        return
    for invoice in rows.iter_rows(named=True):
        folder = _folder(billing, month, invoice["number"])
        context.log_event(
            dg.AssetMaterialization(
                ["documents", "invoice_documents"],
                partition=dg.MultiPartitionKey({"month": str(month), "organisation": invoice["payer_id"]}),
                metadata=_document_metadata(folder, invoice),
            )
        )


def _document_metadata(folder: Path, invoice: Mapping[str, object]) -> dict[str, object]:
    """The amount and the links of one document."""
    pdf = folder / f"{_name(invoice)}.pdf"
    return {
        "payable": format_money(int(str(invoice["payable_cents"])), str(invoice["currency"])),
        "number": str(invoice["number"] or "draft"),
        "pdf": dg.MetadataValue.url(pdf.as_uri()),
        "html": dg.MetadataValue.url(pdf.with_suffix(".html").as_uri()),
    }


def _sha256(content: bytes) -> str:
    return hashlib.sha256(content).hexdigest()


def _replace(file: Path, content: bytes) -> None:
    """Put a document in the place of an older one, whole or not at all."""
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(file)

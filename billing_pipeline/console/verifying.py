"""Is everything as it was written? The books, what was issued, every published table, every document."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

from billing_pipeline.books import GENESIS, BooksDamaged, Head, Issued
from billing_pipeline.defs.billing import Billing, partition
from billing_pipeline.warehouse import DamagedGeneration, NotPublished
from billing_pipeline.warehouse.checksums import sha256_of_file

_FACTS = ("fees_cents", "subtotal_cents", "vat_cents", "payable_cents")


@dataclass(frozen=True)
class Verification:
    """What was looked at, a line each, and what is not as it was written, named one by one."""

    counts: tuple[str, ...]
    problems: tuple[str, ...]


def verify_home(billing: Billing, known: Head = GENESIS) -> Verification:
    """Check a home from end to end; nothing is changed.

    Args:
        billing: the home.
        known: where the books stood once, as an earlier verification printed it; they must still contain that.
    """
    problems: list[str] = []
    counts: list[str] = []
    try:
        head = billing.books.verify(known)
        issued = billing.books.issued()
        recorded = billing.books.recorded_documents()
        counts.append(f"books: {head.seq:,} entries, head {head.seq}:{head.hash}")
        counts.append(f"register: {len(issued):,} documents, {len(billing.books.issued_months()):,} months issued")
        problems += _register_problems(billing, issued)
    except BooksDamaged as damage:
        issued, recorded = [], {}
        problems.append(f"books: {damage}")
        problems.append("register and documents were not checked: nothing vouches for them while the books are damaged")
    warehouse = billing.warehouse.verify()
    counts.append(
        f"warehouse: {warehouse.generations:,} generations, {warehouse.files:,} files, {warehouse.size_bytes:,} bytes"
    )
    problems += warehouse.problems
    counts.append(f"documents: {sum(map(len, recorded.values())):,} files")
    problems += _document_problems(billing, issued, recorded)
    return Verification(tuple(counts), tuple(problems))


def _register_problems(billing: Billing, issued: list[Issued]) -> Iterator[str]:
    """Months whose frozen generations are gone, or whose published invoices ask for something else than the books."""
    kept = {document.number: document for document in issued}
    for month in billing.books.issued_months():
        for name, generation_id in month.generations.items():
            # `<payer> <table>` are the tables that a payer was released from.
            table = name.rpartition(" ")[2]
            try:
                billing.warehouse.generation(table, partition(month.month), generation_id)
            except NotPublished as lost:
                yield f"register: {month.month} was issued from a generation that is gone: {lost}"
            except DamagedGeneration:
                # Named with its file where the warehouse is verified.
                continue
    closed = {month.month for month in billing.books.issued_months()}
    for month in sorted(closed | {document.request.billing_month for document in issued if document.is_interim}):
        of_month = [document for document in issued if document.request.billing_month == month]
        numbers = {
            "invoices/invoices": {document.number for document in of_month if document.is_monthly},
            "invoices/specific_invoices": {document.number for document in of_month if document.is_specific},
            "invoices/reissued_invoices": {document.number for document in of_month if document.is_reissue},
            "interim/invoices": {document.number for document in of_month if document.is_interim},
        }
        for table, registered in numbers.items():
            try:
                rows = billing.read(table, month).read()
            except (NotPublished, DamagedGeneration) as damage:
                is_absent = isinstance(damage, NotPublished) and not registered
                # Beside the invoices, in their stead, and while the month runs, there may be nothing.
                if not (is_absent and (table != "invoices/invoices" or month not in closed)):
                    yield f"register: {table} of {month} cannot be read: {damage}"
                continue
            published = {row["number"]: row for row in rows.iter_rows(named=True)}
            for number in sorted(published.keys() | registered):
                yield from _differences(table, number, kept.get(number), published.get(number))


def _differences(table: str, number: str, kept: Issued | None, published: Mapping[str, object] | None) -> Iterator[str]:
    if kept is None or published is None:
        where = "the books" if kept is None else table
        yield f"register: {number} is missing from {where}"
        return
    said = {"payer_id": kept.request.payer_id, "issued_on": kept.issued_on, **kept.request.facts}
    for name in ("payer_id", "issued_on", *_FACTS):
        if name in said and said[name] != published[name]:
            yield f"register: {number} has {name} {said[name]} in the books and {published[name]} in {table}"


def _document_problems(
    billing: Billing, issued: list[Issued], recorded: Mapping[str, Mapping[str, str]]
) -> Iterator[str]:
    folders = {document.number: document.series for document in issued}
    home = billing.settings.home.resolve() / "documents"
    for number, files in recorded.items():
        for name, sha256 in files.items():
            file = home / folders[number] / name
            again = _made_again(issued, number)
            if not file.exists():
                yield f"documents: {file} of {number} is missing; {again}"
            elif sha256_of_file(file) != sha256:
                yield f"documents: {file} of {number} is not what was issued: its checksum differs; {again}"


def _made_again(issued: list[Issued], number: str) -> str:
    document = next(document for document in issued if document.number == number)
    month = document.request.billing_month
    return (
        f"documents/interim_documents of {month} holds it"
        if document.is_interim
        else f"billing issue {month} makes it again"
    )

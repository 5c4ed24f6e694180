"""Rebuilding an issued month: computed once more from what it was computed from, it must be the same, byte for byte.

The month is closed and issued a second time in a scratch home: from the landing files, the tables of the months before
as it read them, the books as they stood before its first number, and its own `as_of` and date. Nothing of the home
itself changes. Cleaned arrival days are made again, too, so that a landing file that was altered since shows.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import date, datetime
from pathlib import Path
from tempfile import TemporaryDirectory

import dagster as dg

from billing_pipeline.adapters.landing import day_end
from billing_pipeline.books import Books, IssuedMonth
from billing_pipeline.defs.billing import Billing, as_of, partition
from billing_pipeline.defs.exports import JOURNAL
from billing_pipeline.defs.invoices import ISSUED
from billing_pipeline.defs.monthly import materialise_aside
from billing_pipeline.rules.period import Month
from billing_pipeline.warehouse import Generation

_NUMBERED = dg.AssetSelection.assets(*ISSUED)
_CLOSED = dg.AssetSelection.groups("accounts", "usage", "rating", "credits", "invoices") - _NUMBERED
_ISSUED = _NUMBERED | dg.AssetSelection.groups("exports") | dg.AssetSelection.assets(["documents", "month_documents"])


class NotRebuildable(RuntimeError):
    """The month is not issued, or was issued by other code than this."""


@dataclass(frozen=True)
class Rebuilt:
    """What a second computation of a month gave."""

    code_version: str
    as_of: datetime
    tables: int
    files: int
    documents: int
    #: Sentences that say which file differs and how.
    differences: list[str]


def rebuild(billing: Billing, month: Month, assets: list[dg.AssetsDefinition]) -> Rebuilt:
    """Compute an issued month again and compare everything that it published when it was issued first.

    Args:
        billing: the home.
        month: an issued month; organisations that were released later are not part of it.
        assets: all assets of the pipeline.

    Raises:
        NotRebuildable: the month is not issued, or was issued by other code.
    """
    issues = billing.books.issues(month)
    if not issues:
        message = f"{month} is not issued; it is computed anew by: billing close {month}"
        raise NotRebuildable(message)
    issued = issues[0]
    recorded = _recorded(billing, month, issued)
    _require_code(billing, month, recorded)
    with TemporaryDirectory(dir=_work_folder(billing), prefix=f"rebuild-{month}-") as scratch:
        closed, anew = _scratch(billing, month, issued, recorded, Path(scratch))
        materialise_aside(closed, month, assets, _CLOSED)
        materialise_aside(anew, month, assets, _ISSUED)
        compared = {
            table: (_published(billing, month, table, recorded, anew), anew.read(table, month))
            for table in anew.warehouse.tables(partition(month))
        }
        numbers = [document.number for document in anew.books.issued(month)]
        return Rebuilt(
            code_version=billing.warehouse.code_version,
            as_of=as_of(recorded["invoices/drafts"]),
            tables=len(compared),
            files=sum(len(rebuilt.files) for _, rebuilt in compared.values()),
            documents=sum(len(anew.books.documents(number)) for number in numbers),
            differences=[
                *_absent(recorded, compared),
                *(text for table, pair in compared.items() for text in _differing(table, *pair)),
                *_differing_documents(billing, anew, month, issued),
            ],
        )


def _recorded(billing: Billing, month: Month, issued: IssuedMonth) -> dict[str, Generation]:
    """The month's tables as it was issued from them: those that the books name, and whatever these were made from."""
    key = partition(month)
    tables = {
        generation_id: table
        for table in billing.warehouse.tables(key)
        for generation_id in billing.warehouse.generation_ids(table, key)
    }
    recorded: dict[str, Generation] = {}
    waiting = list(issued.generations.values())
    while waiting:
        generation_id = waiting.pop()
        table = tables.pop(generation_id, None)
        if table is not None:
            generation = billing.warehouse.generation(table, key, generation_id)
            recorded[table] = generation
            waiting += generation.manifest["inputs"].values()
    return recorded


def _require_code(billing: Billing, month: Month, recorded: Mapping[str, Generation]) -> None:
    versions = sorted({generation.manifest["code_version"] for generation in recorded.values()})
    if versions != [billing.warehouse.code_version]:
        message = (
            f"{month} was computed by code version {', '.join(versions)}, this is {billing.warehouse.code_version}; "
            f"check that version out and run there: billing rebuild {month}"
        )
        raise NotRebuildable(message)


def _work_folder(billing: Billing) -> Path:
    folder = billing.settings.home.resolve() / "work"
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _scratch(
    billing: Billing, month: Month, issued: IssuedMonth, recorded: Mapping[str, Generation], scratch: Path
) -> tuple[Billing, Billing]:
    """The scratch home as the month saw its own when it was closed, and when it was issued."""
    # Interim invoices were there before: the month counts them as it counts payments.
    own = [document for document in billing.books.issued(month) if not document.is_interim]
    documents = [document for document in own if document.seq < issued.seq]
    before_numbers = min([issued.seq, *(document.seq for document in documents)]) - 1
    read = {
        generation_id
        for generation in (*recorded.values(), *_first_journal(billing, month))
        for generation_id in generation.manifest["inputs"].values()
    }
    since = _closed_before(billing, month, read)
    older = [key for key in billing.warehouse.all_partitions() if _is_older(key, month, since)]
    chosen = read | set(_unnamed(billing, partition(month.previous), read, since))
    settings = billing.settings.model_copy(update={"home": scratch, "landing": billing.landing.root})
    at_close = replace(
        billing,
        settings=settings,
        warehouse=billing.warehouse.branch(
            scratch / "warehouse", older, chosen, {"interim/invoices": partition(month)}
        ),
        books=billing.books.copy_until(
            _seen_by_close(billing, month, read, before_numbers), scratch / "books-at-close.sqlite"
        ),
        chosen_as_of=as_of(recorded["invoices/drafts"]),
        chosen_issue_date=None,
        # Whether one was missing is decided; it was gone on without it then.
        without_sources=frozenset(source for sources in billing.settings.needed_sources.values() for source in sources),
    )
    at_issue = replace(
        at_close,
        books=billing.books.copy_until(before_numbers, scratch / "books.sqlite"),
        chosen_as_of=issued.as_of,
        chosen_issue_date=documents[0].issued_on if documents else None,
    )
    return at_close, at_issue


def _first_journal(billing: Billing, month: Month) -> Iterator[Generation]:
    """The month's journal as it was written first: what was added later has the older one among its inputs."""
    for generation_id in billing.warehouse.generation_ids(JOURNAL, partition(month)):
        generation = billing.warehouse.generation(JOURNAL, partition(month), generation_id)
        if f"{JOURNAL} of {month}" not in generation.manifest["inputs"]:
            yield generation


def _closed_before(billing: Billing, month: Month, read: set[str]) -> datetime | None:
    """The `as_of` that the month before had when this month was closed, None for the first month."""
    key = partition(month.previous)
    seen = [
        as_of(billing.warehouse.generation(table, key, generation_id))
        for table in billing.warehouse.tables(key)
        if table.startswith("usage/")
        for generation_id in billing.warehouse.generation_ids(table, key)
        if generation_id in read
    ]
    return max(seen, default=None)


def _is_older(key: str, month: Month, since: datetime | None) -> bool:
    """Whether a partition was counted before the month: older months, and days that the month before saw."""
    kind, _, value = key.partition("=")
    if kind == "month":
        return Month.parse(value) < month
    return since is not None and day_end(date.fromisoformat(value)) <= since


def _unnamed(billing: Billing, key: str, read: set[str], since: datetime | None) -> Iterator[str]:
    """Of the month before's tables that the month names no generation of: one with the `as_of` that it had then."""
    for table in billing.warehouse.tables(key):
        ids = billing.warehouse.generation_ids(table, key)
        if since is not None and read.isdisjoint(ids) and as_of(billing.warehouse.require(table, key)) != since:
            yield from [name for name in ids if as_of(billing.warehouse.generation(table, key, name)) == since][:1]


def _seen_by_close(billing: Billing, month: Month, read: set[str], before_numbers: int) -> int:
    """How far the books went when the month was closed: up to the last issue of the month before that it settled on.

    The month before may have been issued, or issued with a released payer, between this month's close and its issue.
    """
    issues = [issue for issue in billing.books.issues(month.previous) if issue.seq <= before_numbers]
    ends = [*(issue.seq - 1 for issue in issues), before_numbers]
    for issue, end in reversed(list(zip(issues, ends[1:], strict=True))):
        if read.issuperset(_settled_ids(issue)):
            return end
    return ends[0]


def _settled_ids(issue: IssuedMonth) -> set[str]:
    """What the month after settles on."""
    return {
        issue.generations[table]
        for table in (
            "credits/credit_statements",
            "credits/credit_movements",
            "credits/credit_lots",
            "invoices/refills",
        )
    }


def _published(
    billing: Billing, month: Month, table: str, recorded: Mapping[str, Generation], anew: Billing
) -> Generation | None:
    """What the month published of a table: as it was issued from, or else a generation like the new one."""
    if table in recorded:
        return recorded[table]
    key = partition(month)
    content = anew.read(table, month).content
    alike = [
        generation
        for name in billing.warehouse.generation_ids(table, key)
        if (generation := billing.warehouse.generation(table, key, name)).content == content
    ]
    return alike[0] if alike else billing.warehouse.current(table, key)


def _absent(recorded: Mapping[str, Generation], compared: Mapping[str, object]) -> Iterator[str]:
    for table in sorted(recorded.keys() - compared.keys()):
        yield f"{table}: was published, and is not made again"


def _differing(table: str, published: Generation | None, rebuilt: Generation) -> Iterator[str]:
    """The files of a table that are not what was published; that they still are what was, is verified."""
    if published is None:
        yield f"{table}: was not published, and is made now"
        return
    for name in sorted({*published.files, *rebuilt.files}):
        if name not in rebuilt.files or name not in published.files:
            yield f"{table} {name}: only in {'what was published' if name in published.files else 'the rebuilt month'}"
            continue
        published.file(name)
        before, after = (generation.manifest["files"][name] for generation in (published, rebuilt))
        if before["sha256"] != after["sha256"]:
            rows = f"{before['rows']:,} rows, now {after['rows']:,}; " if "rows" in before else ""
            yield f"{table} {name}: {rows}sha256 {before['sha256'][:16]}, now {after['sha256'][:16]}"


def _differing_documents(billing: Billing, anew: Billing, month: Month, issued: IssuedMonth) -> Iterator[str]:
    """Numbers and files of documents that are not those in the books."""
    books: dict[str, Books] = {"then": billing.books, "now": anew.books}
    numbers = {
        name: {
            document.number: document.request.payer_id
            for document in kept.issued(month)
            if name == "now" or document.seq < issued.seq
        }
        for name, kept in books.items()
    }
    for number in sorted(numbers["then"].keys() | numbers["now"].keys()):
        payers = [numbers[name].get(number, "nobody") for name in ("then", "now")]
        if payers[0] != payers[1]:
            yield f"{number}: was issued to {payers[0]}, now to {payers[1]}"
            continue
        files = [kept.documents(number) for kept in books.values()]
        for name in sorted(files[1]):
            if files[0].get(name) != files[1][name]:
                yield f"{name}: is not the document that is in the books"

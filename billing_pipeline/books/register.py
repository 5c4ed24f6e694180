"""The books: which documents were issued, with which number, in which state they are, which months are closed for good.

Kinds of entry: `first_month`, `invoice_issued`, `month_issued`, `documents_recorded`, `state_changed`,
`correction_approved`, `invoice_cancelled`, `invoice_reissued`, `credits_refunded`. An entry never changes; what follows
from an issued document (payment, reminder, delivery) becomes an entry of its own kind.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from enum import StrEnum
from pathlib import Path
from typing import Any

from billing_pipeline.books.chain import GENESIS, BooksDamaged, Chain, Entries, Entry, Head
from billing_pipeline.rules.lifecycle import (
    CREDIT_NOTE,
    CREDITS,
    INTERIM,
    INVOICE,
    RECEIVED,
    Change,
    Document,
    IllegalTransition,
    State,
    begin,
    follow,
    require_transition,
)
from billing_pipeline.rules.numbering import NUMBER_FORMAT, format_number
from billing_pipeline.rules.period import Month

_ISSUED = "kind = 'invoice_issued'"
_CHANGED = "kind = 'state_changed'"
_CANCELLED = "kind = 'invoice_cancelled'"
_DECIDED = "kind IN ('invoice_cancelled', 'invoice_reissued', 'credits_refunded')"
# The keys are enforced by the store itself, on the entries' own text: there is no second table to disagree with it.
_INDEXES = {
    "one_first_month": "CREATE UNIQUE INDEX one_first_month ON entries (kind) WHERE kind = 'first_month'",
    "one_invoice_per_key": f"""CREATE UNIQUE INDEX one_invoice_per_key ON entries (
    payload ->> '$.payer_id', payload ->> '$.kind', payload ->> '$.period_start', payload ->> '$.period_end',
    payload ->> '$.reference'
) WHERE {_ISSUED}""",
    "one_invoice_per_number": f"""CREATE UNIQUE INDEX one_invoice_per_number ON entries (
    payload ->> '$.number'
) WHERE {_ISSUED}""",
    "one_invoice_per_serial": f"""CREATE UNIQUE INDEX one_invoice_per_serial ON entries (
    payload ->> '$.series', payload ->> '$.year', payload ->> '$.serial'
) WHERE {_ISSUED}""",
    "invoices_by_month": f"""CREATE INDEX invoices_by_month ON entries (
    payload ->> '$.billing_month'
) WHERE {_ISSUED}""",
    "issued_months": """CREATE INDEX issued_months ON entries (
    payload ->> '$.month'
) WHERE kind = 'month_issued'""",
    "documents_by_number": """CREATE INDEX documents_by_number ON entries (
    payload ->> '$.number'
) WHERE kind = 'documents_recorded'""",
    "states_by_number": f"""CREATE INDEX states_by_number ON entries (
    payload ->> '$.number'
) WHERE {_CHANGED}""",
}


class AlreadyIssued(ValueError):
    """Another document with the same key was issued; it stays, and a correction is a document of its own."""


class NotChronological(ValueError):
    """A document would get a later number than one with a later date."""


class NotIssued(LookupError):
    """No document with this number was issued."""


class ChangeOutOfOrder(ValueError):
    """A state would change before the last change that is in the books."""


class CorrectionOutdated(ValueError):
    """Differences were computed before another correction of the same month was approved, or an invoice cancelled."""


class NotDecidable(ValueError):
    """The document cannot be cancelled, issued again or refunded in its state, or at all."""


class DocumentChanged(ValueError):
    """A file of an issued document would be replaced by another one."""


@dataclass(frozen=True)
class IssueRequest:
    """A draft to be issued.

    Its key is payer, kind, period and reference; `content_hash` tells whether a draft with the same key is the same.
    """

    payer_id: str
    #: `invoice`, or another kind of document that takes a number.
    kind: str
    billing_month: Month
    period_start: date
    #: Inclusive, as printed.
    period_end: date
    #: Of the whole draft: what it says and what it is based on.
    content_hash: str
    #: Amounts and whatever else settling it needs, such as `payable_cents`; texts and whole numbers only.
    facts: Mapping[str, int | str | None]
    #: Empty for the monthly invoice; one that is issued in its stead has the number that it replaces; an invoice beside
    #: it brings its own, which holds a `/`.
    reference: str = ""


@dataclass(frozen=True)
class Issued:
    """An issued document as the books keep it."""

    #: Its place in the books.
    seq: int
    number: str
    series: str
    serial: int
    issued_on: date
    as_of: datetime
    request: IssueRequest

    @property
    def is_monthly(self) -> bool:
        """Whether it was issued with its month as the invoice of it."""
        return self.request.kind == INVOICE and self.request.reference == ""

    @property
    def is_reissue(self) -> bool:
        """Whether it was issued later in the stead of a month's invoice, whose number is its reference."""
        return self.request.kind == INVOICE and self.request.reference != "" and "/" not in self.request.reference

    @property
    def bills_month(self) -> bool:
        """Whether it asks for a month's fees and refill: the invoice of that month, or one in its stead."""
        return self.is_monthly or self.is_reissue

    @property
    def is_specific(self) -> bool:
        """Whether it is an invoice beside the monthly one, of a one-off charge or of credits that are sold."""
        return self.request.kind in (INVOICE, CREDITS) and "/" in self.request.reference

    @property
    def is_interim(self) -> bool:
        """Whether it asked for a part of its month while that ran."""
        return self.request.kind == INTERIM

    @property
    def is_beside(self) -> bool:
        """Whether it is an invoice, but not that of its month: only its number names it."""
        return self.is_specific or self.is_interim

    @property
    def is_top_up(self) -> bool:
        """Whether it sells credits and nothing else."""
        return self.request.kind in (CREDITS, INTERIM)

    @property
    def billed_month(self) -> Month:
        """The month that it is about; that of an invoice which is issued again, or corrected, is an older one."""
        return Month(self.request.period_start.year, self.request.period_start.month)

    @property
    def sale(self) -> tuple[str, str, str]:
        """Payer, month and reference by which statements know the credits that it sells."""
        return self.request.payer_id, str(self.billed_month), "" if self.bills_month else self.request.reference

    @property
    def document(self) -> Document:
        """What its payments are held against; what says nothing of an amount asks for none."""
        return Document(self.number, self.request.kind, int(self.request.facts.get("payable_cents") or 0))


@dataclass(frozen=True)
class IssuedMonth:
    """A month whose documents are all issued, be they none."""

    seq: int
    month: Month
    as_of: datetime
    #: The published generations it was issued from, by name.
    generations: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class ApprovedCorrection:
    """A correction of an issued month that is to be booked."""

    seq: int
    month: Month
    #: The generation of `corrections/differences` that was approved, and the sha256 of its rows.
    generation: str
    content_hash: str
    author: str
    #: Invoices of months that are closed as of then or later book it.
    as_of: datetime


class DecisionKind(StrEnum):
    """What a credit note of the next month carries out."""

    #: The whole invoice is credited.
    CANCEL = "invoice_cancelled"
    #: The whole invoice is credited, and issued once more for the party and VAT of then.
    REISSUE = "invoice_reissued"
    #: What nobody spent of the credits that it sold is credited.
    REFUND = "credits_refunded"


@dataclass(frozen=True)
class Decision:
    """A decision about an issued invoice that a credit note carries out."""

    seq: int
    kind: DecisionKind
    number: str
    #: The month of the invoice.
    month: Month
    reason: str
    author: str
    #: The next month that is closed as of then or later issues the credit note.
    at: datetime


def invoices_of_months(issued: Iterable[Issued]) -> dict[tuple[str, Month], Issued]:
    """The invoice of each payer and month, which `<payer_id>/<month>` names: the last one that stands in its stead.

    Args:
        issued: documents in the order of issue.
    """
    return {(document.request.payer_id, document.billed_month): document for document in issued if document.bills_month}


class Books:
    """The register of issued documents in one file, created where there is none.

    Reads see the entries up to `as_of_seq` where it is given, and check each entry they return.

    Raises:
        BooksDamaged: the file is no SQLite database, or a damaged one.
        BooksTooNew: a later version wrote it.
    """

    def __init__(self, path: Path) -> None:
        self._chain = Chain(path, _INDEXES)

    def head(self) -> Head:
        """Where the books stand; kept elsewhere, it proves later that no entry was lost since."""
        with self._chain.reading() as entries:
            return entries.head()

    def verify(self, known: Head = GENESIS) -> Head:
        """Check every entry from the first, that numbers run from 1 without a gap, in order of their dates, and states.

        Args:
            known: a head taken earlier and kept elsewhere, which the books must still contain.

        Returns:
            Where the books stand.

        Raises:
            BooksDamaged: something is not what was written; the message names the entry.
        """
        head = self._chain.verify(known)
        issued = self.issued(as_of_seq=head.seq)
        _check_numbers(issued)
        numbers = {document.number for document in issued}
        _check_changes(self._select(_CHANGED, (), head.seq), numbers)
        _check_decisions(self._select(_DECIDED, (), head.seq), numbers)
        return head

    def record_first_month(self, month: Month) -> Month:
        """Keep the month this home starts with, unless one is kept already; return the one that counts."""
        with self._chain.writing() as entries:
            kept = _first_month(entries)
            if kept is None:
                entries.append("first_month", {"month": str(month)})
        return kept or month

    def first_month(self) -> Month | None:
        """The month this home starts with, or None before any was asked for."""
        with self._chain.reading() as entries:
            return _first_month(entries)

    def issue(
        self,
        requests: Sequence[IssueRequest],
        series: str,
        issued_on: date,
        *,
        as_of: datetime,
        number_format: str = NUMBER_FORMAT,
    ) -> list[Issued]:
        """Give each request the next number of the series, all of them or none, in the order given.

        A request that was issued before, with the same content, keeps its number and date. Serials run from 1 in each
        series and year of `issued_on` without a gap; `rules.numbering` makes numbers of them. Before the first number
        is given, the books are verified: all of them once per process, then what was added since.

        Raises:
            AlreadyIssued: a request's key was issued with other content.
            NotChronological: `issued_on` is before the last date of the series.
            MalformedNumber: the number would hold other characters than `A-Z a-z 0-9 + _ -`, or more than 35.
            BooksDamaged: an entry is not what was written.
        """
        instant = _instant_text(as_of)
        with self._chain.writing() as entries:
            self._chain.vouch(entries)
            return [
                _issued_before(entries, request) or _issue(entries, request, series, issued_on, instant, number_format)
                for request in requests
            ]

    def issued(self, month: Month | None = None, *, as_of_seq: int | None = None) -> list[Issued]:
        """The documents issued for a billing month, or for all, in the order of issue."""
        condition, values = (" AND payload ->> '$.billing_month' = ?", (str(month),)) if month else ("", ())
        return [_as_issued(entry) for entry in self._select(f"{_ISSUED}{condition}", values, as_of_seq)]

    def record_month_issued(self, month: Month, generations: Mapping[str, str], *, as_of: datetime) -> IssuedMonth:
        """Keep that a month's documents are all issued, and from which generations; once more changes nothing."""
        with self._chain.writing() as entries:
            last = _last_issue_of_month(entries, month)
            if last and dict(last.generations) == dict(generations):
                return last
            payload = {"month": str(month), "as_of": _instant_text(as_of), "generations": dict(generations)}
            return _as_issued_month(entries.append("month_issued", payload))

    def issued_month(self, month: Month) -> IssuedMonth | None:
        """How a month was issued last (an organisation released later issues it again), or None if it was not."""
        with self._chain.reading() as entries:
            return _last_issue_of_month(entries, month)

    def issues(self, month: Month) -> list[IssuedMonth]:
        """Every time a month was issued, in order: the first time, then with organisations that were released."""
        return [
            _as_issued_month(entry)
            for entry in self._select("kind = 'month_issued' AND payload ->> '$.month' = ?", (str(month),), None)
        ]

    def copy_until(self, seq: int, path: Path) -> "Books":
        """Books of their own, in a file that is not there yet, that hold the entries up to a place: the same chain."""
        with self._chain.reading() as entries:
            kept = entries.select("seq <= ? ORDER BY seq", seq)
        copy = Books(path)
        with copy._chain.writing() as entries:
            for entry in kept:
                entries.append(entry.kind, entry.payload)
        return copy

    def is_issued(self, month: Month) -> bool:
        """Whether a month is issued; a month in which nothing was due can be."""
        return self.issued_month(month) is not None

    def approve_correction(
        self, month: Month, generation: str, content_hash: str, author: str, *, as_of: datetime, follows: int
    ) -> ApprovedCorrection:
        """Keep that the differences of an issued month are to be booked; the same once more changes nothing.

        Args:
            month: the corrected month.
            generation: of `corrections/differences`.
            content_hash: the sha256 of its rows.
            author: who approved them.
            as_of: the instant whose knowledge the differences have.
            follows: the last approval or cancellation of the month that the differences look at; 0 where there was
                none.

        Raises:
            NotIssued: the month is not issued.
            CorrectionOutdated: another correction of the month was approved since, or an invoice cancelled.
        """
        with self._chain.writing() as entries:
            approved = _approvals(entries, month)
            for correction in approved:
                if correction.generation == generation:
                    return correction
            if _last_issue_of_month(entries, month) is None:
                message = f"{month} is not issued; close it again instead: billing close {month}"
                raise NotIssued(message)
            if _last_decision(entries, month) != follows:
                message = (
                    f"another correction of {month} was approved, or an invoice of it cancelled, since these "
                    f"differences were computed; run: billing correct {month}"
                )
                raise CorrectionOutdated(message)
            payload = {
                "month": str(month),
                "generation": generation,
                "content_hash": content_hash,
                "author": author,
                "as_of": _instant_text(as_of),
            }
            return _as_approved(entries.append("correction_approved", payload))

    def approved_corrections(self, month: Month | None = None) -> list[ApprovedCorrection]:
        """The approved corrections of a month, or of all, in the order of approval."""
        with self._chain.reading() as entries:
            return _approvals(entries, month)

    def last_decision(self, month: Month) -> int:
        """The place of the last approval or cancellation that changes what is billed for a month; 0 for none."""
        with self._chain.reading() as entries:
            return _last_decision(entries, month)

    def decide(self, kind: DecisionKind, number: str, *, reason: str, author: str, at: datetime) -> Decision:
        """Keep that an invoice is to be cancelled, issued again, or the credits that it sold refunded.

        The same once more changes nothing.

        Raises:
            NotIssued: the number was never given.
            NotDecidable: it is no such invoice, another decision about it waits for its credit note, or its state does
                not allow it.
            ChangeOutOfOrder: its state changed after `at` already.
            ValueError: `at` has no time zone, or reason or author is empty.
        """
        _require_reason(number, f"be {_DONE[kind]}", reason, author)
        with self._chain.writing() as entries:
            self._chain.vouch(entries)
            issued, history = _issued_as(entries, number), _history(entries, number)
            waiting = _waiting_decision(entries, number)
            if waiting is not None:
                if (waiting.kind, waiting.reason, waiting.author) == (kind, reason, author):
                    return waiting
                message = (
                    f"{number} is to be {_DONE[waiting.kind]} already ({waiting.author}: {waiting.reason}); that is "
                    f"carried out with the next month that is closed as of {_instant_text(waiting.at)} or later"
                )
                raise NotDecidable(message)
            last = follow(history)[-1]
            _require_decidable(kind, issued, last.state)
            if issued.is_interim:
                is_settled = _last_issue_of_month(entries, issued.request.billing_month) is not None
                _require_of_its_time(kind, issued, is_settled=is_settled)
            _require_after(number, last, at)
            payload = {
                "number": number,
                "month": str(issued.request.billing_month),
                "reason": reason,
                "author": author,
                "at": _instant_text(at),
            }
            return _as_decision(entries.append(kind.value, payload))

    def decisions(self) -> list[Decision]:
        """Every decision to cancel an invoice, issue it again or refund its credits, in the order of the books."""
        return [_as_decision(entry) for entry in self._select(_DECIDED, (), None)]

    def waiting_decisions(self) -> list[Decision]:
        """Those of no credit note yet, but for what was to be issued again and is paid: it stays as it is."""
        noted = {document.request.facts.get("decision") for document in self.issued()}
        waiting = [decision for decision in self.decisions() if decision.seq not in noted]
        states = self.states() if waiting else {}
        return [
            decision
            for decision in waiting
            if decision.kind is not DecisionKind.REISSUE or states[decision.number] not in RECEIVED
        ]

    def first_issue_seq(self, month: Month) -> int | None:
        """The place in the books at which a month was issued first, or None if it was not."""
        with self._chain.reading() as entries:
            kept = entries.select(
                "kind = 'month_issued' AND payload ->> '$.month' = ? ORDER BY seq LIMIT 1", str(month)
            )
        return kept[0].seq if kept else None

    def record_documents(self, documents: Mapping[str, Mapping[str, str]]) -> None:
        """Keep the sha256 of issued documents' files, as number -> file name -> sha256; all of them or none.

        A file that is kept already is not kept twice; a document may get further files later.

        Raises:
            NotIssued: a number was never given.
            DocumentChanged: a file of this name is kept with another sha256.
        """
        with self._chain.writing() as entries:
            for number, files in documents.items():
                _record_files(entries, number, files)

    def documents(self, number: str) -> dict[str, str]:
        """The files of an issued document, as file name -> sha256; empty before they are recorded."""
        with self._chain.reading() as entries:
            return _files(entries, number)

    def histories(self, as_of: datetime | None = None) -> dict[str, list[Change]]:
        """Every issued document's changes of state, as number -> changes in the order of the books, by number.

        The issue itself is the first of them and has no entry of its own. Not every change takes effect:
        `rules.lifecycle.follow` says which.

        Args:
            as_of: documents issued, and changes that count, later than this are left out.
        """
        with self._chain.reading() as entries:
            issued = [_as_issued(entry) for entry in entries.select(f"{_ISSUED} ORDER BY seq")]
            changed = [_as_change(entry) for entry in entries.select(f"{_CHANGED} ORDER BY seq")]
        histories = {document.number: _begin(document) for document in issued if not as_of or document.as_of <= as_of}
        for change in changed:
            if change.number in histories and (not as_of or change.at <= as_of):
                histories[change.number].append(change)
        return dict(sorted(histories.items()))

    def states(self, as_of: datetime | None = None) -> dict[str, State]:
        """The state of every document that was issued by then, by number; without an instant, the last one known."""
        return {number: follow(changes)[-1].state for number, changes in self.histories(as_of).items()}

    def move(self, number: str, state: State, *, reason: str, author: str, at: datetime) -> Change:
        """Change the state of a document because somebody decided it; the same change once more changes nothing.

        Raises:
            NotIssued: the number was never given.
            IllegalTransition: the state cannot follow the one before, CANCELED has no credit note, or a decision about
                the document waits for its credit note.
            ChangeOutOfOrder: the document changed after `at` already.
            ValueError: `at` has no time zone, or reason or author is empty.
        """
        _require_reason(number, f"become {state}", reason, author)
        change = Change(number, state, datetime.fromisoformat(_instant_text(at)), reason, author=author)
        with self._chain.writing() as entries:
            self._chain.vouch(entries)
            history = _history(entries, number)
            if change in history:
                return change
            last = follow(history)[-1]
            require_transition(number, last.state, state)
            _require_after(number, last, at)
            if state is State.CANCELED:
                _require_credit_note(entries, number)
            elif (waiting := _waiting_decision(entries, number)) is not None:
                message = f"{number} cannot become {state}: it is {_DONE[waiting.kind]} once its credit note is issued"
                raise IllegalTransition(message)
            entries.append("state_changed", _change_payload(change))
        return change

    def record_changes(self, changes: Sequence[Change]) -> list[Change]:
        """Keep what payments changed, in the order given; what is kept already is not kept twice.

        Returns:
            What was not in the books before.

        Raises:
            NotIssued: a number was never given.
        """
        if not changes:
            return []
        with self._chain.writing() as entries:
            self._chain.vouch(entries)
            kept = {change for number in {change.number for change in changes} for change in _history(entries, number)}
            new = [change for change in changes if change not in kept]
            for change in new:
                entries.append("state_changed", _change_payload(change))
        return new

    def recorded_documents(self) -> dict[str, dict[str, str]]:
        """The files of all issued documents, as number -> file name -> sha256, by number."""
        recorded: dict[str, dict[str, str]] = {}
        for entry in self._select("kind = 'documents_recorded'", (), None):
            recorded.setdefault(entry.payload["number"], {}).update(entry.payload["files"])
        return dict(sorted(recorded.items()))

    def issued_months(self) -> list[IssuedMonth]:
        """How each issued month was issued last, in order of months."""
        issues = [_as_issued_month(entry) for entry in self._select("kind = 'month_issued'", (), None)]
        last = {issued.month: issued for issued in issues}
        return [last[month] for month in sorted(last)]

    def _select(self, condition: str, values: tuple[str, ...], as_of_seq: int | None) -> list[Entry]:
        with self._chain.reading() as entries:
            seq = entries.head().seq if as_of_seq is None else as_of_seq
            return entries.select(f"{condition} AND seq <= ? ORDER BY seq", *values, seq)


def _first_month(entries: Entries) -> Month | None:
    kept = entries.select("kind = 'first_month'")
    return Month.parse(kept[0].payload["month"]) if kept else None


def _issued_before(entries: Entries, request: IssueRequest) -> Issued | None:
    key = _key(request)
    condition = " AND ".join(f"payload ->> '$.{name}' = ?" for name in key)
    same_key = entries.select(f"{_ISSUED} AND {condition}", *key.values())
    if not same_key:
        return None
    issued = _as_issued(same_key[0])
    if issued.request.content_hash != request.content_hash:
        period = f"{request.period_start} to {request.period_end}"
        message = (
            f"{request.kind} {issued.number} was issued to {request.payer_id} for {period} on {issued.issued_on} with "
            f"other content; it stays as it is, and what differs goes to the next invoice or a credit note"
        )
        raise AlreadyIssued(message)
    return issued


def _issue(
    entries: Entries, request: IssueRequest, series: str, issued_on: date, as_of: str, number_format: str
) -> Issued:
    last = _last_of_series(entries, series)
    if last and issued_on < last.issued_on:
        message = (
            f"{last.number}, the last of series {series}, is dated {last.issued_on}; numbers follow dates, so "
            f"{issued_on} is too early: issue on {last.issued_on} or later"
        )
        raise NotChronological(message)
    serial = last.serial + 1 if last and last.issued_on.year == issued_on.year else 1
    payload = {
        **_key(request),
        "billing_month": str(request.billing_month),
        "content_hash": request.content_hash,
        "facts": dict(request.facts),
        "series": series,
        "year": issued_on.year,
        "serial": serial,
        "number": format_number(number_format, series, issued_on.year, serial),
        "issued_on": issued_on.isoformat(),
        "as_of": as_of,
    }
    return _as_issued(entries.append("invoice_issued", payload))


def _last_of_series(entries: Entries, series: str) -> Issued | None:
    last = entries.select(
        f"{_ISSUED} AND payload ->> '$.series' = ? "
        "ORDER BY payload ->> '$.year' DESC, payload ->> '$.serial' DESC LIMIT 1",
        series,
    )
    return _as_issued(last[0]) if last else None


def _key(request: IssueRequest) -> dict[str, str]:
    return {
        "payer_id": request.payer_id,
        "kind": request.kind,
        "period_start": request.period_start.isoformat(),
        "period_end": request.period_end.isoformat(),
        "reference": request.reference,
    }


def _as_issued(entry: Entry) -> Issued:
    kept: Mapping[str, Any] = entry.payload
    request = IssueRequest(
        payer_id=kept["payer_id"],
        kind=kept["kind"],
        billing_month=Month.parse(kept["billing_month"]),
        period_start=date.fromisoformat(kept["period_start"]),
        period_end=date.fromisoformat(kept["period_end"]),
        content_hash=kept["content_hash"],
        facts=kept["facts"],
        reference=kept["reference"],
    )
    return Issued(
        seq=entry.seq,
        number=kept["number"],
        series=kept["series"],
        serial=kept["serial"],
        issued_on=date.fromisoformat(kept["issued_on"]),
        as_of=datetime.fromisoformat(kept["as_of"]),
        request=request,
    )


def _begin(issued: Issued) -> list[Change]:
    return begin(issued.document, issued.as_of)


def _issued_as(entries: Entries, number: str) -> Issued:
    issued = entries.select(f"{_ISSUED} AND payload ->> '$.number' = ?", number)
    if not issued:
        message = f"no document has the number {number}; billing show invoices/invoices MONTH lists them"
        raise NotIssued(message)
    return _as_issued(issued[0])


def _history(entries: Entries, number: str) -> list[Change]:
    issued = _issued_as(entries, number)
    changed = entries.select(f"{_CHANGED} AND payload ->> '$.number' = ? ORDER BY seq", number)
    return [*_begin(issued), *map(_as_change, changed)]


def _as_change(entry: Entry) -> Change:
    kept = entry.payload
    return Change(
        number=kept["number"],
        state=State(kept["state"]),
        at=datetime.fromisoformat(kept["at"]),
        reason=kept["reason"],
        author=kept["author"],
        payment_id=kept["payment_id"],
    )


def _change_payload(change: Change) -> dict[str, str | None]:
    return {
        "number": change.number,
        "state": change.state.value,
        "at": _instant_text(change.at),
        "reason": change.reason,
        "author": change.author,
        "payment_id": change.payment_id,
    }


def _require_credit_note(entries: Entries, number: str) -> None:
    condition = f"{_ISSUED} AND payload ->> '$.kind' = ? AND payload ->> '$.facts.refers_to' = ?"
    if not entries.select(condition, CREDIT_NOTE, number):
        message = f"{number} cannot become {State.CANCELED} without a credit note that refers to it; issue that first"
        raise IllegalTransition(message)


def _require_reason(number: str, what: str, reason: str, author: str) -> None:
    if not reason.strip() or not author.strip():
        message = f"{number} cannot {what} without a reason and an author; name both"
        raise ValueError(message)


def _require_after(number: str, last: Change, at: datetime) -> None:
    text = _instant_text(at)
    if at < last.at:
        message = (
            f"{number} is {last.state} since {_instant_text(last.at)}; a change at {text} would "
            f"go before it, give that instant or a later one"
        )
        raise ChangeOutOfOrder(message)


_DONE = {DecisionKind.CANCEL: "cancelled", DecisionKind.REISSUE: "issued again", DecisionKind.REFUND: "refunded"}

#: Why an invoice in this state is not cancelled, and what to do instead.
_NOT_CANCELLED = {
    State.PROCESSING: "it is being collected; wait until that succeeded or failed",
    State.PAYMENTHELD: "it is on hold; release it first: billing state {} PENDING",
    State.WONTPAY: "it was written off, so that nothing is asked for any more",
    State.CANCELED: "it is cancelled already",
}
#: The same of one that is to be issued again: only what is still to be paid can be asked for by another one.
_NOT_REISSUED = _NOT_CANCELLED | {
    State.PAID: (
        "what it asked for was received, so that nothing is asked for again; cancel it and refund what was paid "
        "(billing cancel {}), or leave it"
    ),
    State.REFUNDED: "what was paid for it was given back; nothing of it is asked for any more",
}


def _require_decidable(kind: DecisionKind, issued: Issued, state: State) -> None:
    number = issued.number
    if not (issued.bills_month or issued.is_beside):
        what = issued.request.kind.replace("_", " ")
        message = f"{number} ({what}) is no invoice, and only those are {_DONE[kind]}"
        raise NotDecidable(message)
    if kind is DecisionKind.REISSUE and not issued.bills_month:
        message = (
            f"{number} is no invoice of a month; cancel it (billing cancel {number}) and land what it asked for under "
            f"another reference"
        )
        raise NotDecidable(message)
    if kind is DecisionKind.REISSUE and state in _NOT_REISSUED:
        message = f"{number} is {state}: {_NOT_REISSUED[state].format(number)}"
        raise NotDecidable(message)
    if kind is DecisionKind.REFUND and not (issued.bills_month or issued.is_top_up):
        message = f"{number} sold no credits; what is wrong with its service is cancelled: billing cancel {number}"
        raise NotDecidable(message)
    if kind is DecisionKind.CANCEL and issued.is_top_up and state is State.PAID:
        message = (
            f"{number} is PAID: what nobody spent of the credits that it sold is refunded: billing refund {number}"
        )
        raise NotDecidable(message)
    if kind is DecisionKind.CANCEL and state in _NOT_CANCELLED:
        message = f"{number} is {state}: {_NOT_CANCELLED[state].format(number)}"
        raise NotDecidable(message)
    if kind is DecisionKind.REFUND and state is not State.PAID:
        message = (
            f"{number} is {state}, and only credits that were paid are refunded; "
            f"what is asked for by mistake is cancelled: billing cancel {number}"
        )
        raise NotDecidable(message)


def _require_of_its_time(kind: DecisionKind, issued: Issued, *, is_settled: bool) -> None:
    """Check that an interim invoice is cancelled while its month runs, and what it sold refunded after that.

    Raises:
        NotDecidable: the invoice of its month has counted it, or has not done so yet.
    """
    number, month = issued.number, issued.request.billing_month
    if kind is DecisionKind.CANCEL and is_settled:
        message = (
            f"{number} was counted by the invoice of {month}, so that it is cancelled no more; what is wrong with "
            f"{month} is corrected (billing correct {month}) or cancelled with its invoice"
        )
        raise NotDecidable(message)
    if kind is DecisionKind.REFUND and not is_settled:
        message = f"{number} pays for {month}, which is not issued yet; what that leaves of it can be refunded then"
        raise NotDecidable(message)


def _waiting_decision(entries: Entries, number: str) -> Decision | None:
    """The last decision about a document, unless it was a refund whose credit note is issued, or came to nothing.

    An invoice that is paid before it is issued again stays as it is.
    """
    kept = entries.select(f"{_DECIDED} AND payload ->> '$.number' = ? ORDER BY seq DESC LIMIT 1", number)
    if not kept:
        return None
    decision = _as_decision(kept[0])
    noted = f"{_ISSUED} AND payload ->> '$.kind' = ? AND payload ->> '$.facts.decision' = ?"
    has_note = bool(entries.select(noted, CREDIT_NOTE, decision.seq))
    ends = {State.CANCELED} if has_note else RECEIVED
    is_over = {
        DecisionKind.CANCEL: False,
        DecisionKind.REISSUE: follow(_history(entries, number))[-1].state in ends,
        DecisionKind.REFUND: has_note,
    }
    return None if is_over[decision.kind] else decision


def _as_decision(entry: Entry) -> Decision:
    kept: Mapping[str, Any] = entry.payload
    return Decision(
        seq=entry.seq,
        kind=DecisionKind(entry.kind),
        number=kept["number"],
        month=Month.parse(kept["month"]),
        reason=kept["reason"],
        author=kept["author"],
        at=datetime.fromisoformat(kept["at"]),
    )


def _last_decision(entries: Entries, month: Month) -> int:
    # An invoice holds corrections of older months, too.
    concerns = f"(kind = 'correction_approved' AND payload ->> '$.month' = ?) OR {_CANCELLED}"
    kept = entries.select(f"{concerns} ORDER BY seq DESC LIMIT 1", str(month))
    return kept[0].seq if kept else 0


def _check_decisions(decided: Iterable[Entry], numbers: set[str]) -> None:
    """Check that every decision is about an issued document."""
    for entry in decided:
        if entry.payload["number"] not in numbers:
            message = f"entry {entry.seq} of the books is about {entry.payload['number']}, which was never issued"
            raise BooksDamaged(message)


def _check_changes(changed: Iterable[Entry], numbers: set[str]) -> None:
    """Check that every change of state names an issued document and a state."""
    for entry in changed:
        if entry.payload["number"] not in numbers or entry.payload["state"] not in State.__members__:
            what = f"{entry.payload['state']} of {entry.payload['number']}"
            message = f"entry {entry.seq} of the books records {what}, which is no issued document or no state"
            raise BooksDamaged(message)


def _last_issue_of_month(entries: Entries, month: Month) -> IssuedMonth | None:
    kept = entries.select("kind = 'month_issued' AND payload ->> '$.month' = ? ORDER BY seq DESC LIMIT 1", str(month))
    return _as_issued_month(kept[0]) if kept else None


def _as_issued_month(entry: Entry) -> IssuedMonth:
    kept = entry.payload
    return IssuedMonth(
        entry.seq, Month.parse(kept["month"]), datetime.fromisoformat(kept["as_of"]), kept["generations"]
    )


def _approvals(entries: Entries, month: Month | None) -> list[ApprovedCorrection]:
    condition, values = (" AND payload ->> '$.month' = ?", (str(month),)) if month else ("", ())
    kept = entries.select(f"kind = 'correction_approved'{condition} ORDER BY seq", *values)
    return [_as_approved(entry) for entry in kept]


def _as_approved(entry: Entry) -> ApprovedCorrection:
    kept: Mapping[str, Any] = entry.payload
    return ApprovedCorrection(
        seq=entry.seq,
        month=Month.parse(kept["month"]),
        generation=kept["generation"],
        content_hash=kept["content_hash"],
        author=kept["author"],
        as_of=datetime.fromisoformat(kept["as_of"]),
    )


def _record_files(entries: Entries, number: str, files: Mapping[str, str]) -> None:
    if not entries.select(f"{_ISSUED} AND payload ->> '$.number' = ?", number):
        message = f"no document has the number {number}; issue it before its files are recorded"
        raise NotIssued(message)
    kept = _files(entries, number)
    changed = sorted(name for name in kept.keys() & files.keys() if kept[name] != files[name])
    if changed:
        message = f"{', '.join(changed)} of {number} was recorded with other content; an issued document never changes"
        raise DocumentChanged(message)
    new = {name: sha256 for name, sha256 in files.items() if name not in kept}
    if new:
        entries.append("documents_recorded", {"number": number, "files": new})


def _files(entries: Entries, number: str) -> dict[str, str]:
    recorded = entries.select("kind = 'documents_recorded' AND payload ->> '$.number' = ? ORDER BY seq", number)
    return {name: sha256 for entry in recorded for name, sha256 in entry.payload["files"].items()}


def _check_numbers(issued: Iterable[Issued]) -> None:
    """Check that within each series serials start anew each year and count up by one, and dates never go back."""
    last: dict[str, Issued] = {}
    for document in issued:
        before = last.get(document.series)
        same_year = before and before.issued_on.year == document.issued_on.year
        follows = document.serial == (before.serial + 1 if before and same_year else 1)
        if not follows or (before and document.issued_on < before.issued_on):
            after = f"after {before.number} of {before.issued_on}" if before else "as the first of its series"
            message = f"entry {document.seq} of the books numbers {document.number} of {document.issued_on} {after}"
            raise BooksDamaged(message)
        last[document.series] = document


def _instant_text(instant: datetime) -> str:
    if instant.tzinfo is None:
        message = f"as_of {instant} has no time zone; an instant needs one"
        raise ValueError(message)
    return instant.astimezone(UTC).isoformat(timespec="microseconds")

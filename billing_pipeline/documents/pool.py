"""The documents of a whole month, typeset on every core.

Documents are independent, so they are spread over processes; results keep the order of the views. A few views are in
flight at a time, so memory does not grow with the month, and processes are replaced every 2,000 documents, because
WeasyPrint never frees some of its text attributes (about 60 kB a document).
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from itertools import chain, islice
from multiprocessing import get_context

from billing_pipeline.documents.rendering import RenderedInvoice, render_invoice
from billing_pipeline.documents.view import DocumentFailure, InvoiceView

Outcome = RenderedInvoice | DocumentFailure

#: Below this number, starting a process (2 s to import WeasyPrint) takes longer than it saves.
_FEW = 8
_DOCUMENTS_PER_PROCESS = 2_000
_IN_FLIGHT_PER_PROCESS = 4


def render_all(
    views: Iterable[InvoiceView | DocumentFailure],
    workers: int | None = None,
    on_document: Callable[[Outcome], None] = lambda _outcome: None,
) -> Iterator[Outcome]:
    """Render every view as HTML, PDF and, once issued, XML, in the order of the views; what failed before is passed on.

    A document that cannot be made, or whose process dies over it, becomes a `DocumentFailure` and stops no other.
    Processes are spawned, so a script that calls this needs the usual `if __name__ == "__main__"`.

    Args:
        views: what `build_views` gives; read as documents are finished.
        workers: how many processes; one, or a month of few documents, renders in this process. As many as there are
            cores unless given.
        on_document: called with each outcome before it is yielded, for progress.

    Raises:
        TypesettingLibrariesMissing: no PDF can be made on this machine.
    """
    remaining = iter(views)
    first = list(islice(remaining, _FEW + 1))
    processes = workers or len(os.sched_getaffinity(0))
    everything = chain(first, remaining)
    outcomes = map(_render, everything) if processes == 1 or len(first) <= _FEW else _render_wide(everything, processes)
    for outcome in outcomes:
        on_document(outcome)
        yield outcome


def _render(view: InvoiceView | DocumentFailure) -> Outcome:
    return view if isinstance(view, DocumentFailure) else render_invoice(view)


def _render_wide(views: Iterator[InvoiceView | DocumentFailure], processes: int) -> Iterator[Outcome]:
    """One pool after another, each for as many documents as its processes may make.

    The standard executor can replace single processes, but may hang when several reach their limit at once.
    """
    for first in views:
        rest = islice(views, processes * _DOCUMENTS_PER_PROCESS - 1)
        yield from _render_shift(chain([first], rest), processes)


def _render_shift(views: Iterator[InvoiceView | DocumentFailure], processes: int) -> Iterator[Outcome]:
    """Render in one pool. If a process dies, the views in flight are rendered apart, and the shift ends early."""
    in_flight: deque[InvoiceView | DocumentFailure] = deque()
    futures: deque[Future[Outcome]] = deque()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as executor, suppress(BrokenProcessPool):
        for view in views:
            in_flight.append(view)
            futures.append(executor.submit(_render, view))
            if len(futures) == processes * _IN_FLIGHT_PER_PROCESS:
                outcome = futures.popleft().result()
                in_flight.popleft()
                yield outcome
        for future in futures:
            outcome = future.result()
            in_flight.popleft()
            yield outcome
    for view in in_flight:
        yield _render_apart(view)


def _render_apart(view: InvoiceView | DocumentFailure) -> Outcome:
    """Render one view in a process of its own, so that a process that dies names the document that killed it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        try:
            return executor.submit(_render, view).result()
        except BrokenProcessPool:
            return DocumentFailure(view.payer_id, "the process that typeset it died, perhaps for lack of memory")

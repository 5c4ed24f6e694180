"""The documents of a whole month, typeset on every core.

Documents are independent, so they are spread over processes; results keep the order of the views. A few shares of them
are in flight at a time, so memory does not grow with the month, and processes are replaced every 2,000 documents,
because WeasyPrint never frees some of its text attributes (about 60 kB of each document that it lays out).
"""

import os
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from contextlib import suppress
from itertools import chain, islice
from multiprocessing import get_context

from billing_pipeline.documents.rendering import Outcome, render_invoices
from billing_pipeline.documents.view import DocumentFailure, InvoiceView

_View = InvoiceView | DocumentFailure

#: Below this number, starting a process (2 s to import WeasyPrint) takes longer than it saves.
_FEW = 32
#: Views that a process is given at a time: it lays out together what is new about them.
_SHARE = 16
#: With so many lines a share is large enough: its documents are in memory at once.
_SHARE_LINES = 4_000
_SHARES_PER_PROCESS = 125
_IN_FLIGHT_PER_PROCESS = 2


def render_all(
    views: Iterable[_View],
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
    shares = _shares(everything)
    is_narrow = processes == 1 or len(first) <= _FEW
    outcomes = map(render_invoices, shares) if is_narrow else _render_wide(shares, processes)
    for outcome in chain.from_iterable(outcomes):
        on_document(outcome)
        yield outcome


def _shares(views: Iterable[_View]) -> Iterator[list[_View]]:
    share: list[_View] = []
    lines = 0
    for view in views:
        share.append(view)
        lines += _count_lines(view)
        if len(share) == _SHARE or lines >= _SHARE_LINES:
            yield share
            share, lines = [], 0
    if share:
        yield share


def _count_lines(view: _View) -> int:
    if isinstance(view, InvoiceView):
        return sum(len(service.lines) for owner in view.details for service in owner.services)
    return 0


def _render_wide(shares: Iterator[list[_View]], processes: int) -> Iterator[list[Outcome]]:
    """One pool after another, each for as many documents as its processes may make.

    The standard executor can replace single processes, but may hang when several reach their limit at once.
    """
    for first in shares:
        rest = islice(shares, processes * _SHARES_PER_PROCESS - 1)
        yield from _render_shift(chain([first], rest), processes)


def _render_shift(shares: Iterator[list[_View]], processes: int) -> Iterator[list[Outcome]]:
    """Render in one pool. If a process dies, the views in flight are rendered apart, and the shift ends early."""
    in_flight: deque[list[_View]] = deque()
    futures: deque[Future[list[Outcome]]] = deque()
    with ProcessPoolExecutor(processes, mp_context=get_context("spawn")) as executor, suppress(BrokenProcessPool):
        for share in shares:
            in_flight.append(share)
            futures.append(executor.submit(render_invoices, share))
            if len(futures) == processes * _IN_FLIGHT_PER_PROCESS:
                outcomes = futures.popleft().result()
                in_flight.popleft()
                yield outcomes
        for future in futures:
            outcomes = future.result()
            in_flight.popleft()
            yield outcomes
    for share in in_flight:
        yield [_render_apart(view) for view in share]


def _render_apart(view: _View) -> Outcome:
    """Render one view in a process of its own, so that a process that dies names the document that killed it."""
    with ProcessPoolExecutor(1, mp_context=get_context("spawn")) as executor:
        try:
            (outcome,) = executor.submit(render_invoices, [view]).result()
        except BrokenProcessPool:
            return DocumentFailure(view.payer_id, "the process that typeset it died, perhaps for lack of memory")
        return outcome

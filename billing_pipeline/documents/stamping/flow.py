"""Strips on pages, broken where WeasyPrint breaks them."""

from collections.abc import Iterator, Sequence
from enum import IntEnum
from itertools import pairwise, starmap
from typing import NamedTuple

from billing_pipeline.documents.stamping.filling import Filled
from billing_pipeline.documents.stamping.shaping import Unshapeable
from billing_pipeline.documents.stamping.strips import Frame, Frames, Strip


class Laid(NamedTuple):
    """A strip of a document, and the elements that it is in."""

    strip: Strip
    #: Neighbours in the same element share its number.
    path: tuple[int, ...]
    starts_page: bool
    filled: Filled


class Placed(NamedTuple):
    """A strip on a page, and its upper edge."""

    laid: Laid
    top: float


class Break(IntEnum):
    """Whether a page may end between two strips."""

    NEVER = 0
    LAST_RESORT = 1
    ALLOWED = 2


def spread(strips: Sequence[Laid], frames: Frames) -> list[list[Placed]]:
    """Strips on pages: at the end of a page, it breaks at the last place where a break is not to be avoided.

    Raises:
        Unshapeable: there is none, or a page might end within a strip.
    """
    pages: list[list[Placed]] = []
    starts = [place for place, laid in enumerate(strips) if laid.starts_page or not place]
    for start, end in pairwise((*starts, len(strips))):
        pages += _spread_sheet(strips[start:end], frames.other if pages else frames.first, frames.other)
    return pages


def _spread_sheet(strips: Sequence[Laid], first: Frame, other: Frame) -> Iterator[list[Placed]]:
    shared = list(starmap(_shared, pairwise(strips)))
    gaps = [0.0, *map(_gap, strips, strips[1:], shared)]
    breaks = [Break.NEVER, *map(_break_between, strips, strips[1:], shared)]
    heads = [place for place, laid in enumerate(strips) if laid.strip.is_head]
    start, frame = 0, first
    while start < len(strips):
        head = _head_of(strips, start, heads)
        top = frame.top
        page = [Placed(head, top)] if head else []
        top += head.strip.height if head else 0.0
        limit = frame.bottom * (1 + 1e-9)
        end = start
        placed = []
        while end < len(strips):
            strip = strips[end].strip
            upper = top + (gaps[end] if end > start else 0.0)
            if upper + strip.height > limit:
                end = _last_break(strips, breaks, start, end)
                break
            placed.append(Placed(strips[end], upper))
            top = upper + strip.height
            end += 1
        yield page + placed[: end - start]
        start, frame = end, other


def _last_break(strips: Sequence[Laid], breaks: Sequence[Break], start: int, end: int) -> int:
    """The last place at which the page may end: within what is kept whole only if that is longer than a page."""
    if strips[end].strip.is_breakable:
        raise Unshapeable("a page may end within a text")  # noqa: EM101
    for least in (Break.ALLOWED, Break.LAST_RESORT):
        for place in range(end, start, -1):
            if breaks[place] >= least:
                return place
    raise Unshapeable("what belongs together is longer than a page")  # noqa: EM101


def _shared(one: Laid, other: Laid) -> int:
    """How many elements two neighbours are both in."""
    if one.path == other.path:
        return len(one.path)
    return next(
        (level for level, (a, b) in enumerate(zip(one.path, other.path, strict=False)) if a != b),
        min(len(one.path), len(other.path)),
    )


def _gap(above: Laid, below: Laid, shared: int) -> float:
    """Margins that meet are as high as the highest of them."""
    closed = [around.below for around in above.strip.around[shared:]]
    opened = [around.above for around in below.strip.around[shared:]]
    return max(above.strip.below, below.strip.above, *closed, *opened)


def _break_between(above: Laid, below: Laid, shared: int) -> Break:
    if above.strip.is_kept_with_next or below.strip.is_kept_with_previous or above.strip.is_head:
        return Break.NEVER
    is_kept_whole = any([around.is_kept_whole for around in below.strip.around[:shared]])
    return Break.LAST_RESORT if is_kept_whole else Break.ALLOWED


def _head_of(strips: Sequence[Laid], start: int, heads: Sequence[int]) -> Laid | None:
    """The head of the table that goes on at a strip; it is printed again."""
    path = strips[start].path
    for place in heads:
        laid = strips[place]
        if place < start and laid.path == path[: len(laid.path)]:
            return laid
    return None

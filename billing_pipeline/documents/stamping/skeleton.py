"""A view through the template without its values: the strips that documents share, and what fills them.

Words of the template are part of a strip, and so is whether a value is there at all.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple

from jinja2 import Template as JinjaTemplate
from jinja2 import pass_context
from jinja2.runtime import Context
from markupsafe import Markup, escape

from billing_pipeline.documents.languages import printing_in
from billing_pipeline.documents.texts import TEXTS
from billing_pipeline.documents.typesetting import load_template
from billing_pipeline.documents.view import InvoiceView

#: Stand for a value in a skeleton, and for a picture's content.
HOLE, PICTURE = "\ue000", "\ue001"


class StripKind(NamedTuple):
    """Strips that look alike."""

    language: str
    #: Opening tags of the elements around it, from the outermost; a table's with its columns.
    around: tuple[str, ...]
    #: The opening tag of the row before it in its part of a table.
    before: str
    html: str


class TornStrip(NamedTuple):
    """A strip of a document and its values."""

    kind: StripKind
    values: tuple[str, ...]
    #: Numbers of the elements around it: neighbours that share an element share its number.
    path: tuple[int, ...]
    starts_page: bool


class FrameKind(NamedTuple):
    """Pages that look alike but for their strips: the body's opening tag, and what lies behind every page."""

    language: str
    html: str


@dataclass(frozen=True, slots=True)
class Skeleton:
    """A document taken apart."""

    #: What the file says of itself, by its PDF name.
    metadata: Mapping[str, str]
    frame: FrameKind
    frame_values: tuple[str, ...]
    strips: tuple[TornStrip, ...]


class _Word(str):
    """A word of the template."""

    __slots__ = ()


def take_apart(view: InvoiceView) -> Skeleton:
    """Take a document apart into strips."""
    values: list[str] = []
    seller = view.seller
    constant = {"", view.seller_initial, view.legal_mention, seller.name, *seller.lines}

    def take(value: Any) -> str:
        if type(value) is _Word or value in constant:
            return escape(value)
        values.append(value)
        if isinstance(value, Markup):
            return f"{str(value).partition('>')[0]}>{PICTURE}</svg>"
        return HOLE

    with printing_in(view.language) as language:
        words = _words(language)
        html = _template().render(invoice=view, text=words, language=words["language"], stylesheet=Markup(), take=take)
    metadata = {"Title": f"{view.title} – {seller.name}", "Author": seller.name}
    if view.issued_on:
        metadata |= {"CreationDate": view.issued_on, "ModDate": view.issued_on}
    return _tear(html, iter(values), language, metadata)


@cache
def _words(language: str) -> dict[str, _Word]:
    """The words of the language that is being printed, which is one of them."""
    return {"language": _Word(language), **{key: _Word(text) for key, text in TEXTS.items()}}


@cache
def _template() -> JinjaTemplate:
    """The template of documents; what it would print it hands to the function `take` of its context."""
    environment = load_template().environment.overlay(finalize=_hand_over, autoescape=False)
    return environment.get_template("invoice.html.jinja")


@pass_context
def _hand_over(context: Context, value: Any) -> Any:
    return context.parent["take"](value)


_FRAME = re.compile(r'<body[^>]*>\n(?:<div class="watermark".*?</div>\n)?', re.DOTALL)
#: In this order: what is not printed, the columns of a table, strips, and tags around them.
_PART = re.compile(
    r'<(?P<hidden>thead class="hidden"|footer).*?</(?:thead|footer)>'
    r"|<(?P<columns>colgroup).*?</colgroup>"
    r"|<(?P<strip>tr|thead|p|h2|ol|svg|header)\b.*?</(?P=strip)>"
    r"|<(?P<block>div class=\"(?:parties|panel|costs)\")>"
    r"|<(?P<opened>section|div|table|tbody)[^>]*>"
    r"|</(?P<closed>section|div|table|tbody)>",
    re.DOTALL,
)
_DIV = re.compile("<(/?)div")
_SHEET = '<section class="sheet">'


def _tear(html: str, values: Iterator[str], language: str, metadata: Mapping[str, str]) -> Skeleton:
    frame = _FRAME.search(html)
    assert frame is not None  # noqa: S101
    _take(values, html[: frame.start()])
    frame_values = _take(values, frame[0])
    strips: list[TornStrip] = []
    around: tuple[str, ...] = ()
    path: tuple[int, ...] = ()
    opened, before, starts_page, place = 0, "", False, frame.end()
    while part := _PART.search(html, place):
        tag, text, place = part.lastgroup, part[0], part.end()
        if tag == "opened":
            around, path, opened, before = (*around, text), (*path, opened), opened + 1, ""
            starts_page = starts_page or text == _SHEET
        elif tag == "closed":
            around, path, before = around[:-1], path[:-1], ""
        elif tag == "columns":
            around = (*around[:-1], around[-1] + text)
        elif tag == "hidden":
            _take(values, text)
        else:
            if tag == "block":
                place = _end_of_block(html, part.start())
                text = html[part.start() : place]
            strips.append(TornStrip(StripKind(language, around, before, text), _take(values, text), path, starts_page))
            before = text[: text.index(">") + 1] if part["strip"] == "tr" else ""
            starts_page = False
    return Skeleton(metadata, FrameKind(language, frame[0]), frame_values, tuple(strips))


def _take(values: Iterator[str], html: str) -> tuple[str, ...]:
    return tuple(next(values) for _ in range(html.count(HOLE) + html.count(PICTURE)))


def _end_of_block(html: str, start: int) -> int:
    depth = 0
    for tag in _DIV.finditer(html, start):
        depth += -1 if tag[1] else 1
        if not depth:
            break
    return html.index(">", tag.start()) + 1

"""What documents are stamped from, as plain data: strips that were laid out once, and where values go in them.

A strip is a part of a document that is as wide as the page's text and of a known height: a paragraph, a row of a table,
the panel. Lengths are CSS pixels from the page's top left corner, as WeasyPrint lays out; all of it can be pickled.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import NamedTuple

from billing_pipeline.documents.stamping.shaping import Typeface


class Hole(NamedTuple):
    """A place for a value, or for one line of a value that takes several."""

    number: int
    line: int = 0


#: Holes that the writer fills itself.
PAGE, PAGES = Hole(-1), Hole(-2)

#: Constant text and holes.
Template = tuple[str | Hole, ...]


@dataclass(frozen=True, slots=True)
class Item:
    """One text of a line, in one typeface; where and how wide it was in the layout."""

    text: Template
    x: float
    y: float
    width: float
    typeface: Typeface
    is_uppercase: bool
    can_wrap: bool
    #: The holes of its text.
    holes: tuple[Hole, ...]
    #: How it is drawn: operators before its horizontal place, and after that its level.
    start: bytes = b""
    level: bytes = b""


@dataclass(frozen=True, slots=True)
class Line:
    """A line with at least one hole: what follows a hole moves with the width of its value."""

    items: tuple[Item, ...]
    #: How much of the free room lies left of the text: 0 left-aligned, 1 right-aligned.
    lean: float
    #: Width that its block has, and that the layout used.
    room: float
    used: float


class Text(NamedTuple):
    """An item of a line is drawn here."""

    line: int
    item: int


class Moved(NamedTuple):
    """Constant drawing that moves with an item of a line."""

    line: int
    item: int
    drawing: bytes


class Picture(NamedTuple):
    """A picture of rectangles is drawn here, its view box scaled to the room it has."""

    hole: int
    width: float
    height: float


class Marked(NamedTuple):
    """The number that ties what follows to the structure of the document, counted from the strip's first."""

    number: int


Piece = bytes | Text | Moved | Picture | Marked


class Element(NamedTuple):
    """A structure element of a strip: its type, and the elements and marks under it."""

    tag: str
    kids: tuple["Element | int", ...]
    #: What a picture shows.
    alternative: Template = ()
    #: Where a picture is: left, top, right, bottom.
    edges: tuple[float, float, float, float] | None = None
    #: How many columns a cell spans.
    span: int = 1


class Heading(NamedTuple):
    """A heading that readers list beside the pages: its level, what it says and its upper edge."""

    level: int
    text: Template
    top: float


class Surroundings(NamedTuple):
    """An element around strips, such as a table: its tag and margins, and whether pages break within it."""

    tag: str
    above: float
    below: float
    is_kept_whole: bool


@dataclass(frozen=True, slots=True, eq=False)
class Strip:
    """A part of a document where it was laid out, constant but for its holes."""

    top: float
    height: float
    #: Margins above and below.
    above: float
    below: float
    #: The elements around it, from the outermost.
    around: tuple[Surroundings, ...]
    pieces: tuple[Piece, ...]
    lines: tuple[Line, ...]
    element: Element
    headings: tuple[Heading, ...]
    #: How many marks are in it.
    marks: int
    is_kept_with_next: bool
    is_kept_with_previous: bool
    #: Whether it heads its table on every page.
    is_head: bool
    #: Whether a page may end within it.
    is_breakable: bool


@dataclass(frozen=True, slots=True, eq=False)
class Frame:
    """What is around the strips of a page, and from where to where they go."""

    pieces: tuple[Piece, ...]
    lines: tuple[Line, ...]
    top: float
    bottom: float


class Frames(NamedTuple):
    """The first page and all others."""

    first: Frame
    other: Frame


@dataclass(frozen=True, slots=True, eq=False)
class Font:
    """A face as it is embedded: of every glyph the advance, in thousandths of an em, and what it is read as."""

    weight: int
    widths: Mapping[int, int]
    texts: Mapping[int, str]


@dataclass(frozen=True, slots=True, eq=False)
class Base:
    """What all documents share: fonts, colours, and what their catalogues and pages say."""

    #: PDF objects by number: streams as they are written, and all others.
    streams: Mapping[int, bytes]
    objects: Mapping[int, bytes]
    #: The first number that no object of it has.
    free: int
    fonts: Mapping[str, Font]
    catalogue_entries: bytes
    #: What a page says beside its content and place.
    page_entries: bytes
    #: In points.
    page_height: float

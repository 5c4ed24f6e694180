"""Strips out of WeasyPrint: it lays each kind out once, and what it draws is taken down piece by piece.

Every strip is laid out on a page of its own, at the same place, so that it does not depend on what else is laid out.
The only module that touches WeasyPrint's private names; `VERSION` is the one that it was written against, and
`tests/documents/test_stamping.py` compares what comes of it with WeasyPrint's own output.
"""

import re
from collections.abc import Callable, Generator, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import groupby
from typing import Any, NamedTuple

import pydyf
import weasyprint.document
import weasyprint.draw
import weasyprint.pdf
from weasyprint import DEFAULT_OPTIONS, HTML
from weasyprint.formatting_structure import boxes
from weasyprint.text.fonts import font_features

from billing_pipeline.documents.stamping import shaping
from billing_pipeline.documents.stamping.container import write_number
from billing_pipeline.documents.stamping.shaping import Typeface
from billing_pipeline.documents.stamping.skeleton import HOLE, FrameKind, StripKind
from billing_pipeline.documents.stamping.strips import (
    PAGE,
    PAGES,
    Base,
    Font,
    Frame,
    Frames,
    Heading,
    Hole,
    Item,
    Line,
    Marked,
    Moved,
    Picture,
    Piece,
    Strip,
    Surroundings,
    Text,
)
from billing_pipeline.documents.stamping.structure_reader import StructureReader, number_of
from billing_pipeline.documents.stamping.tokens import TOKEN, Tokens, Unstampable
from billing_pipeline.documents.typesetting import load_typesetter

VERSION = "70.0"

_WEIGHTS = (400, 500, 600, 700)
_LEANS = {"left": 0.0, "start": 0.0, "right": 1.0, "end": 1.0, "center": 0.5}
#: Fewer lines than this stay together at the end of a page: two before it and two after it are the least.
_BREAKABLE_LINES = 4

#: Tags and colours as archives ask for them.
_VARIANT = "pdf/a-3a"
_OPTIONS = {**DEFAULT_OPTIONS, **weasyprint.pdf.VARIANTS[_VARIANT][1], "pdf_variant": _VARIANT}

#: Graphics states in which everything is drawn.
_OPAQUE = frozenset({"a1", "a1.0"})


class LaidOut(NamedTuple):
    """A kind of strip and on how many lines each of its values stands."""

    kind: StripKind
    lines: tuple[int, ...]


def lay_out(wanted: Sequence[LaidOut]) -> dict[LaidOut, Strip | Unstampable]:
    """Lay kinds of strips out with values of no meaning, each on as many lines as is said; or why that cannot be done.

    Raises:
        Unstampable: WeasyPrint is another version than this was written against.
    """
    _require_version()
    laid_out: dict[LaidOut, Strip | Unstampable] = {}
    for language, group in groupby(sorted(wanted), lambda one: one.kind.language):
        kinds = list(group)
        laid_out |= dict(zip(kinds, _lay_out(language, kinds), strict=True))
    return laid_out


def lay_out_frames(kind: FrameKind) -> Frames:
    """Lay out what is around strips.

    Raises:
        Unstampable: it cannot be taken down, or WeasyPrint is another version.
    """
    _require_version()
    tokens = Tokens()
    body = tokens.fill(kind.html, (1,) * kind.html.count(HOLE))
    pages = '<section class="sheet"><div data-strip style="height: 1px"></div></section>' * 2
    drawn = _draw(_page(kind.language, body + pages), [tokens, tokens], has_margins=True)
    frames = []
    for page in drawn.pages:
        box = page.box
        pieces, texts = _localised(_as_artifacts(page.operators), page, drawn)
        top = box.content_box_y()
        frames.append(Frame(pieces, texts, top, top + box.height))
    first, other = frames
    return Frames(first, other)


def lay_out_base() -> Base:
    """What all documents share.

    Raises:
        Unstampable: WeasyPrint is another version than this was written against.
    """
    _require_version()
    faces = "".join(f'<b style="font-weight: {weight}">.</b>' for weight in _WEIGHTS)
    picture = '<svg class="bar" viewBox="0 0 1 1"><title>.</title><rect width="1" height="1"/></svg>'
    drawn = _draw(_page("en", f"<body><p>{faces}</p>{picture}"), [Tokens()], is_complete=True)
    pdf = drawn.pdf
    page = pdf.objects[int(pdf.pages["Kids"][0])]
    root = pdf.objects[number_of(pdf.catalog["StructTreeRoot"])]
    own = {0, page.number, pdf.pages.number, pdf.catalog.number, number_of(page["Contents"]), root.number}
    own |= {number_of(pdf.catalog["Metadata"]), number_of(root["ParentTree"])}
    own |= {thing.number for thing in pdf.objects if isinstance(thing, dict) and thing.get("Type") == "/StructElem"}
    shared = [thing for thing in pdf.objects if thing.number not in own]
    height = page["MediaBox"][3]
    for name in ("StructParents", "Contents", "Parent"):
        del page[name]
    for name in ("StructTreeRoot", "Metadata", "Pages", "Lang", "Outlines", "Names", "AF"):
        pdf.catalog.pop(name, None)
    return Base(
        streams={thing.number: thing.data for thing in shared if isinstance(thing, pydyf.Stream)},
        objects={thing.number: thing.data for thing in shared if not isinstance(thing, pydyf.Stream)},
        free=len(pdf.objects),
        fonts=drawn.fonts,
        catalogue_entries=_entries(pdf.catalog),
        page_entries=_entries(page),
        page_height=float(height),
    )


def _require_version() -> None:
    if weasyprint.VERSION != VERSION:
        message = f"WeasyPrint {weasyprint.VERSION} is not {VERSION}: read its drawing code, then set VERSION"
        raise Unstampable(message)


def _page(language: str, body: str) -> str:
    return f'<html lang="{language}"><head><title>.</title></head>{body}</body></html>'


def _lay_out(language: str, wanted: Sequence[LaidOut]) -> list[Strip | Unstampable]:
    try:
        return _take_down(language, wanted)
    except Unstampable as error:
        if len(wanted) == 1:
            return [error]
        return [strip for one in wanted for strip in _lay_out(language, [one])]


def _take_down(language: str, wanted: Sequence[LaidOut]) -> list[Strip | Unstampable]:
    sheet = [Tokens() for _ in wanted]
    parts = [_surround(one, tokens) for one, tokens in zip(wanted, sheet, strict=True)]
    blank = '<section class="sheet"><div style="height: 1px"></div></section>'
    # The first page has other margins than all that follow.
    drawn = _draw(_page(language, "".join(("<body>", blank, *parts))), [Tokens(), *sheet])
    _, *pages = drawn.pages
    for tokens in sheet:
        tokens.require_read()
    return [_strip(one, page, drawn) for one, page in zip(wanted, pages, strict=True)]


def _surround(one: LaidOut, tokens: Tokens) -> str:
    """A strip within what is around it, on a page of its own, after a row like the one that it follows."""
    kind = one.kind
    opened = [_attributed(tag, f'data-level="{level}"') for level, tag in enumerate(kind.around)]
    opened[0] = _attributed(opened[0], 'style="break-before: page"')
    before = f"{kind.before}</tr>" if kind.before else ""
    strip = _attributed(tokens.fill(kind.html, one.lines), "data-strip")
    closed = "".join(f"</{_NAME.match(tag)[1]}>" for tag in reversed(kind.around))  # type: ignore[index]
    return "".join((*opened, before, strip, closed))


_NAME = re.compile(r"<(\w+)")


def _attributed(html: str, attribute: str) -> str:
    return _NAME.sub(lambda found: f"{found[0]} {attribute}", html, count=1)


@dataclass
class _DrawnPage:
    """A page, its lines before they were drawn, and what was drawn."""

    box: Any
    tokens: Tokens
    operators: list[Any] = field(default_factory=list)


@dataclass
class _Drawn:
    """Pages of one layout. Lines are known by their first text, as drawing copies other boxes."""

    pages: list[_DrawnPage] = field(default_factory=list)
    lines: dict[int, Line] = field(default_factory=dict)
    fonts: dict[str, Font] = field(default_factory=dict)
    #: The name of the font in which each item is drawn.
    font_of: dict[tuple[int, int], str] = field(default_factory=dict)
    #: Identities must not be given to other boxes.
    texts: list[Any] = field(default_factory=list)
    pdf: Any = None


def _draw(html: str, tokens: Sequence[Tokens], *, has_margins: bool = False, is_complete: bool = False) -> _Drawn:
    """Lay pages out and draw them.

    Args:
        html: of all pages.
        tokens: of each page.
        has_margins: whether what stands in the margins of pages is drawn.
        is_complete: whether fonts are embedded.

    Raises:
        Unstampable: something is longer than a page.
    """
    typesetter = load_typesetter()
    document = HTML(string=html, url_fetcher=typesetter.fetcher).render(
        stylesheets=[typesetter.stylesheet], font_config=typesetter.fonts
    )
    if len(document.pages) != len(tokens):
        message = "a strip is longer than a page"
        raise Unstampable(message)
    drawn = _Drawn()
    for number, (page, page_tokens) in enumerate(zip(document.pages, tokens, strict=True), 1):
        box = page._page_box
        if not has_margins:
            box.children = [child for child in box.children if not isinstance(child, boxes.MarginBox)]
        drawn.pages.append(_DrawnPage(box, page_tokens))
        _read_lines(box, (number, len(tokens)), page_tokens, drawn)
    with _Artist(drawn, is_complete=is_complete).at_work():
        drawn.pdf = weasyprint.pdf.generate_pdf(document, None, 1, **_OPTIONS)
    _require_shared_resources(drawn.pdf)
    return drawn


def _require_shared_resources(pdf: Any) -> None:
    """Refuse what is drawn with more than fonts, colours and the opaque states that every document has."""
    resources = pdf.objects[number_of(pdf.objects[int(pdf.pages["Kids"][0])]["Resources"])]
    used = {name for kind in ("XObject", "Pattern", "Shading") for name in resources[kind]}
    if strange := sorted(used | (set(resources["ExtGState"]) - _OPAQUE)):
        message = f"{len(strange)} resources of a strip are not those of every document"
        raise Unstampable(message)


def _read_lines(page: Any, counters: tuple[int, int], tokens: Tokens, drawn: _Drawn) -> None:
    for box in _walk(page):
        for line in getattr(box, "children", ()):
            if not isinstance(line, boxes.LineBox) or not (texts := _texts(line)):
                continue
            drawn.texts += texts
            counted = counters if isinstance(box, boxes.MarginBox) else None
            items = tuple(_read_item(text, tokens, counted) for text in texts)
            if any(item.holes for item in items):
                lean = _LEANS[line.style["text_align_all"]]
                drawn.lines[id(texts[0])] = Line(items, lean, box.width, line.width)


def _walk(box: Any) -> Iterator[Any]:
    box = getattr(box, "_box", box)
    yield box
    for child in getattr(box, "children", ()):
        yield from _walk(child)


def _texts(line: Any) -> list[Any]:
    return [box for box in _walk(line) if isinstance(box, boxes.TextBox)]


def _read_item(box: Any, tokens: Tokens, counters: tuple[int, int] | None) -> Item:
    style = box.style
    text = tokens.read(box.text)
    if counters and re.findall(r"\d+", box.text) == [str(counter) for counter in counters]:
        before, between, after = re.split(r"\d+", box.text)
        text = tuple(part for part in (before, PAGE, between, PAGES, after) if part)
    features = font_features(**{
        name: style[name]
        for name in (
            "font_kerning", "font_variant_ligatures", "font_variant_position", "font_variant_caps",
            "font_variant_numeric", "font_variant_alternates", "font_variant_east_asian", "font_feature_settings",
        )
    })  # fmt: skip
    letter_spacing = 0 if style["letter_spacing"] == "normal" else style["letter_spacing"]
    typeface = Typeface(
        style["font_weight"], style["font_size"], tuple(sorted(features.items())), letter_spacing, style["lang"]
    )
    x, y = box.position_x, box.position_y + box.baseline
    is_uppercase = style["text_transform"] == "uppercase"
    can_wrap = style["white_space"] == "normal"
    holes = tuple(part for part in text if isinstance(part, Hole))
    return Item(text, x, y, box.width, typeface, is_uppercase, can_wrap, holes)


class _Mark:
    """A piece among the operators of a stream."""

    def __init__(self, piece: Text | Moved | Picture) -> None:
        self.piece = piece

    def __str__(self) -> str:
        message = "a value is drawn outside the pages"
        raise Unstampable(message)


class _Artist:
    """Stands in for functions of WeasyPrint that draw, and leaves marks where values go."""

    def __init__(self, drawn: _Drawn, *, is_complete: bool) -> None:
        self._drawn = drawn
        self._is_complete = is_complete
        self._pages = iter(drawn.pages)
        self._page: _DrawnPage = drawn.pages[0]
        #: The dynamic line that is being drawn, and its next item.
        self._line: int | None = None
        self._item = 0
        self._originals: dict[str, Callable[..., Any]] = {}

    @contextmanager
    def at_work(self) -> Generator[None, None, None]:
        with ExitStack() as stack:
            for module, name in (
                (weasyprint.document, "draw_page"),
                (weasyprint.draw, "draw_inline_level"),
                (weasyprint.draw, "draw_text"),
                (weasyprint.draw, "draw_background"),
                (weasyprint.draw, "draw_border"),
                (weasyprint.draw, "draw_replacedbox"),
                (weasyprint.pdf, "build_fonts_dictionary"),
            ):
                self._originals[name] = getattr(module, name)
                setattr(module, name, getattr(self, name))
                stack.callback(setattr, module, name, self._originals[name])
            yield

    def draw_page(self, page: Any, stream: Any) -> None:
        self._page = next(self._pages)
        if not self._is_complete:
            stream.add_font = partial(_add_font, stream.add_font)
        start = len(stream.stream)
        self._originals["draw_page"](page, stream)
        self._page.operators = stream.stream[start:]
        del stream.stream[start:]

    def draw_inline_level(self, stream: Any, page: Any, box: Any, *rest: Any) -> None:
        texts = _texts(box) if isinstance(box, boxes.LineBox) else []
        if texts:
            key = id(texts[0])
            self._line, self._item = (key if key in self._drawn.lines else None), 0
        self._originals["draw_inline_level"](stream, page, box, *rest)
        if texts:
            self._line = None

    def draw_text(self, stream: Any, box: Any, *rest: Any) -> None:
        draw = self._originals["draw_text"]
        if self._line is None:
            draw(stream, box, *rest)
            return
        number, self._item = self._item, self._item + 1
        item = self._drawn.lines[self._line].items[number]
        with self._captured(stream) as drawing:
            draw(stream, box, *rest)
        if not item.holes:
            self._draw_moved(stream, drawing, number)
            return
        if box.style["text_decoration_line"] != "none":
            message = "a value is underlined"
            raise Unstampable(message)
        begin = drawing.index(b"BT")
        font = next(match[1] for operator in drawing if (match := _FONT.match(_bytes(operator))))
        self._drawn.font_of[self._line, number] = font.decode()
        stream.stream += [*drawing[:begin], _Mark(Text(self._line, number))]

    def draw_background(self, stream: Any, *rest: Any, **options: Any) -> None:
        self._draw_decoration("draw_background", stream, *rest, **options)

    def draw_border(self, stream: Any, box: Any) -> None:
        self._draw_decoration("draw_border", stream, box)

    def draw_replacedbox(self, stream: Any, box: Any) -> None:
        told = "".join(box.element.itertext())
        if TOKEN.fullmatch(told):
            (hole,) = self._page.tokens.read(told)
            box.replacement.draw = partial(_leave_picture, hole.number)
        _forget(stream)
        self._originals["draw_replacedbox"](stream, box)
        _forget(stream)

    def build_fonts_dictionary(self, pdf: Any, fonts: Mapping[int, Any], *rest: Any) -> Any:
        """Give every bundled face the glyphs that any value may need."""
        if not self._is_complete:
            return pydyf.Dictionary()
        for font in fonts.values():
            if not _is_bundled(font):
                continue
            widths = shaping.glyph_widths(font.weight)
            for features in ((), (("tnum", 1),)):
                for number, text in shaping.known_glyphs(font.weight, features).items():
                    font.to_unicode.setdefault(number, text)
                    font.widths.setdefault(number, widths[number])
            self._drawn.fonts[font.hash] = Font(font.weight, dict(font.widths), dict(font.to_unicode))
        return self._originals["build_fonts_dictionary"](pdf, fonts, *rest)

    def _draw_decoration(self, name: str, stream: Any, *rest: Any, **options: Any) -> None:
        draw = self._originals[name]
        if self._line is None:
            draw(stream, *rest, **options)
            return
        with self._captured(stream) as drawing:
            draw(stream, *rest, **options)
        self._draw_moved(stream, drawing, min(self._item, len(self._drawn.lines[self._line].items) - 1))

    def _draw_moved(self, stream: Any, drawing: Sequence[Any], item: int) -> None:
        assert self._line is not None  # noqa: S101
        line = self._drawn.lines[self._line]
        is_moved = line.lean or any(before.holes for before in line.items[:item])
        if drawing and is_moved:
            stream.stream.append(_Mark(Moved(self._line, item, _join(drawing))))
        else:
            stream.stream += drawing

    @contextmanager
    def _captured(self, stream: Any) -> Generator[list[Any], None, None]:
        """Take what is drawn out of the stream; it depends on nothing that was drawn before."""
        drawing: list[Any] = []
        _forget(stream)
        start = len(stream.stream)
        stream.stream.append(b"")
        yield drawing
        drawing += stream.stream[start + 1 :]
        del stream.stream[start:]
        _forget(stream)


def _add_font(add_font: Callable[[Any], tuple[Any, float]], pango_font: Any) -> tuple[Any, float]:
    """A font of the layout, with the advances that it has when it is embedded.

    WeasyPrint rounds an advance at the size at which it first draws a glyph, which may be in another strip.
    """
    font, size = add_font(pango_font)
    if not font.widths and _is_bundled(font):
        font.widths.update(enumerate(shaping.glyph_widths(font.weight)))
    return font, size


def _is_bundled(font: Any) -> bool:
    return font.weight in _WEIGHTS and font.file_content == shaping.font_file(font.weight)


def _leave_picture(hole: int, stream: Any, width: float, height: float, _style: Any) -> None:
    stream.stream.append(_Mark(Picture(hole, width, height)))


_FONT = re.compile(rb"/(\S+) \S+ Tf")
_bytes = pydyf._to_bytes


def _forget(stream: Any) -> None:
    """Have the stream say colour and font again, whatever it said before."""
    stream._current_color = stream._current_color_stroke = None
    stream._current_alpha = stream._current_alpha_stroke = None
    stream._current_font = stream._old_font = None


def _join(operators: Sequence[Any]) -> bytes:
    return b"\n".join(_bytes(operator) for operator in operators)


def _entries(dictionary: Any) -> bytes:
    return dictionary.data.removeprefix(b"<<").removesuffix(b">>")


def _strip(one: LaidOut, page: _DrawnPage, drawn: _Drawn) -> Strip:
    around: dict[int, Any] = {}
    strip = None
    for box in _walk(page.box):
        if box.element is None:
            continue
        if (level := box.element.get("data-level")) is not None:
            around.setdefault(int(level), box)
        if strip is None and box.element.get("data-strip") is not None:
            strip = box
    assert strip is not None  # noqa: S101
    is_row = isinstance(strip, boxes.TableRowBox | boxes.TableRowGroupBox)
    above, below = (0.0, 0.0) if is_row else _margins(strip)
    outer = [around[level] for level in range(len(one.kind.around))]
    pieces, lines = _localised(page.operators, page, drawn)
    reader = StructureReader(drawn.pdf, page.tokens)
    element, marks = reader.read(drawn.pages.index(page), len(outer))
    is_text = isinstance(strip, boxes.BlockBox) and strip.style["break_inside"] == "auto"
    top = strip.position_y if is_row else strip.border_box_y()
    return Strip(
        top=top,
        height=strip.height if is_row else strip.border_height(),
        above=above,
        below=below,
        around=tuple(
            Surroundings(tag, *_margins(box), is_kept_whole=box.style["break_inside"].startswith("avoid"))
            for tag, box in zip(reader.tags, outer, strict=True)
        ),
        pieces=pieces,
        lines=lines,
        element=element,
        headings=tuple(_headings(strip, page.tokens)),
        marks=marks,
        is_kept_with_next=strip.style["break_after"].startswith("avoid"),
        is_kept_with_previous=strip.style["break_before"].startswith("avoid"),
        is_head=isinstance(strip, boxes.TableRowGroupBox),
        is_breakable=is_text and sum(isinstance(box, boxes.LineBox) for box in _walk(strip)) >= _BREAKABLE_LINES,
    )


def _margins(box: Any) -> tuple[float, float]:
    """Above and below.

    Raises:
        Unstampable: they are not lengths.
    """
    style = box.style
    lengths = [style[name] for name in ("margin_top", "margin_bottom")]
    if any(getattr(length, "unit", None) != "px" or length.value < 0 for length in lengths if length):
        message = "a margin is no length"
        raise Unstampable(message)
    return tuple(float(length.value) if length else 0.0 for length in lengths)  # type: ignore[return-value]


def _headings(strip: Any, tokens: Tokens) -> Iterator[Heading]:
    for box in _walk(strip):
        level = box.style["bookmark_level"]
        if level != "none" and isinstance(box, boxes.BlockBox):
            texts = [text for line in _walk(box) if isinstance(line, boxes.LineBox) for text in _texts(line)]
            yield Heading(level, tokens.read(" ".join(text.text for text in texts)), box.border_box_y())


def _as_artifacts(operators: Sequence[Any]) -> list[Any]:
    """What is printed on every page is no part of what the document says."""
    told: list[Any] = []
    for operator in operators:
        if isinstance(operator, pydyf.Dictionary):
            told[-1] = "/Artifact"
            operator = b"<</Type /Pagination>>"
        told.append(operator)
    return told


def _localised(operators: Sequence[Any], page: _DrawnPage, drawn: _Drawn) -> tuple[tuple[Piece, ...], tuple[Line, ...]]:
    """Operators as pieces, their lines numbered from 0."""
    pieces: list[Piece] = []
    lines: list[int] = []
    constant: list[Any] = []

    def close() -> None:
        if constant:
            pieces.append(_join(constant))
            constant.clear()

    for operator in operators:
        if isinstance(operator, pydyf.Dictionary):
            close()
            pieces.append(Marked(operator["MCID"]))
        elif isinstance(operator, _Mark):
            close()
            piece = operator.piece
            if isinstance(piece, Text | Moved):
                if piece.line not in lines:
                    lines.append(piece.line)
                piece = piece._replace(line=lines.index(piece.line))
            pieces.append(piece)
        else:
            constant.append(operator)
    close()
    return tuple(pieces), tuple(_with_fonts(line, drawn) for line in lines)


def _with_fonts(key: int, drawn: _Drawn) -> Line:
    line = drawn.lines[key]
    items = (_drawable(item, drawn.font_of.get((key, place), "")) for place, item in enumerate(line.items))
    return replace(line, items=tuple(items))


def _drawable(item: Item, font: str) -> Item:
    size = write_number(shaping.pango_size(item.typeface.size))
    return replace(
        item, start=b"BT /%s %s Tf 1 0 0 -1 " % (font.encode(), size), level=b" %s Tm " % write_number(item.y)
    )

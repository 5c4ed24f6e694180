"""Values in strips: on how many lines they stand, and what is drawn once lines moved by their widths."""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache

from billing_pipeline.documents.stamping import shaping
from billing_pipeline.documents.stamping.pictures import draw_picture
from billing_pipeline.documents.stamping.shaping import Typeface, Unshapeable
from billing_pipeline.documents.stamping.strips import (
    PAGE,
    PAGES,
    Font,
    Frame,
    Item,
    Line,
    Marked,
    Moved,
    Picture,
    Strip,
    Template,
    Text,
)

_STRAY_SPACE = re.compile("^ | $|  ")
#: Widths this close to the room there is are measured again when they are drawn.
_CLOSE = 0.02


def count_lines(lines: Sequence[Line], values: Sequence[str]) -> list[list[str]]:
    """Each value by the lines it takes.

    Args:
        lines: of the strip, laid out as if each value took one.
        values: of the strip.

    Raises:
        Unshapeable: it cannot be told, or it shares its line with something that would be pushed away.
    """
    if any(_STRAY_SPACE.search(value) for value in values):
        raise Unshapeable("a value has spaces that HTML would not keep")  # noqa: EM101
    broken = [[value] for value in values]
    for line in lines:
        if line.items and _width(line, broken) > line.room - _CLOSE:
            _break(line, broken)
    return broken


def _width(line: Line, values: Sequence[Sequence[str]]) -> float:
    fixed = line.used - sum(item.width for item in line.items if item.holes)
    return fixed + sum(shaping.width(_text(item, values, 0, 0), item.typeface) for item in line.items if item.holes)


def _break(line: Line, broken: list[list[str]]) -> None:
    holes = [hole for item in line.items for hole in item.holes]
    last = line.items[-1]
    if len(holes) != 1 or last.text[-1:] != (holes[0],) or not last.can_wrap or holes[0].number < 0:
        shaping.fits(_width(line, broken), line.room)
        raise Unshapeable("a value is wider than its place")  # noqa: EM101
    (hole,) = holes
    prefix = "".join(part for part in last.text[:-1] if isinstance(part, str))
    text = _cased(prefix + broken[hole.number][0], last)
    first, *others = shaping.break_lines(text, last.typeface, line.room - (line.used - last.width), line.room)
    broken[hole.number] = [first[len(prefix) :], *others]


@dataclass(frozen=True, slots=True)
class Filler:
    """Fills strips of one page."""

    fonts: Mapping[str, Font]
    page: int
    pages: int

    def draw(self, strip: Strip | Frame, values: Sequence[Sequence[str]], first_mark: int) -> Iterator[bytes]:
        """What a strip draws, as operators.

        Args:
            strip: or what is around strips.
            values: of the strip, each by its lines.
            first_mark: number of its first mark on the page.

        Raises:
            Unshapeable: a line is too long.
        """
        shifts = [self._shift(line, values) for line in strip.lines]
        for piece in strip.pieces:
            match piece:
                case bytes():
                    yield piece
                case Text(line, item):
                    yield self._draw_text(strip.lines[line].items[item], shifts[line][item], values)
                case Moved(line, item, drawing):
                    yield b"q 1 0 0 1 %s 0 cm\n%s\nQ" % (number(shifts[line][item]), drawing)
                case Marked(mark):
                    yield b"<</MCID %d>>" % (first_mark + mark)
                case Picture(hole, width, height):
                    yield draw_picture(values[hole][0], width, height)

    def _shift(self, line: Line, values: Sequence[Sequence[str]]) -> list[float]:
        """How far each item of a line moves."""
        grown = [
            shaping.width(self._text(item, values), item.typeface) - item.width if item.holes else 0.0
            for item in line.items
        ]
        if not shaping.fits(line.used + sum(grown), line.room):
            raise Unshapeable("a line is wider than its place")  # noqa: EM101
        shift = -line.lean * sum(grown)
        shifts = []
        for growth in grown:
            shifts.append(shift)
            shift += growth
        return shifts

    def _text(self, item: Item, values: Sequence[Sequence[str]]) -> str:
        return _text(item, values, self.page, self.pages)

    def _draw_text(self, item: Item, shift: float, values: Sequence[Sequence[str]]) -> bytes:
        font = self.fonts.get(item.font)
        if font is None:
            raise Unshapeable("a face is not among the bundled ones")  # noqa: EM101
        return b"BT /%s %s Tf 1 0 0 -1 %s %s Tm %s TJ ET" % (
            item.font.encode(),
            number(shaping.pango_size(item.typeface.size)),
            number(item.x + shift),
            number(item.y),
            _encode(self._text(item, values), item.typeface, font),
        )


def say(template: Template, values: Sequence[Sequence[str]]) -> str:
    """Text with values in it."""
    return "".join(part if isinstance(part, str) else values[part.number][part.line] for part in template)


def _text(item: Item, values: Sequence[Sequence[str]], page: int, pages: int) -> str:
    parts = []
    for part in item.text:
        if isinstance(part, str):
            parts.append(part)
        elif part == PAGE:
            parts.append(str(page))
        elif part == PAGES:
            parts.append(str(pages))
        else:
            parts.append(values[part.number][part.line])
    return _cased("".join(parts), item)


def _cased(text: str, item: Item) -> str:
    return text.upper() if item.is_uppercase else text


@lru_cache(1 << 15)
def _encode(text: str, typeface: Typeface, font: Font) -> bytes:
    return shaping.encode(shaping.shape(text, typeface), typeface, font.widths, font.texts)


@lru_cache(1 << 15)
def number(length: float) -> bytes:
    """A length as PDF writes it."""
    return f"{length:.4f}".rstrip("0").rstrip(".").encode()

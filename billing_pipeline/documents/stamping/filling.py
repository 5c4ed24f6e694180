"""Values in strips: on how many lines they stand, and what is drawn once lines moved by their widths."""

import re
from collections.abc import Callable, Mapping, Sequence
from functools import cache, lru_cache
from typing import NamedTuple

from billing_pipeline.documents.stamping import shaping
from billing_pipeline.documents.stamping.shaping import GlyphTable, SetText, Typeface, Unshapeable
from billing_pipeline.documents.stamping.strips import (
    PAGE,
    PAGES,
    Font,
    Frame,
    Item,
    Line,
    Strip,
    Template,
)

_STRAY_SPACE = re.compile("^ | $|  ", re.MULTILINE)
#: With so much room left, in CSS pixels, no rounding fills a line; with less, it is measured to the unit.
_SPARE = 0.02
#: Texts that are kept as they were set: most of a month's are the same.
_TEXTS_KEPT = 1 << 15


#: A line with its values: each item's operand, and how far it moves.
SetLine = tuple[Sequence[bytes], Sequence[float]]

#: Sets a text in a typeface.
Setter = Callable[[str, Typeface], SetText]


def make_setter(fonts: Mapping[str, Font]) -> Setter:
    """Sets texts in the faces of a base, each once."""
    of_weight = {font.weight: font for font in fonts.values()}

    @cache
    def table(typeface: Typeface) -> GlyphTable:
        font = of_weight[typeface.weight]
        return GlyphTable(typeface, font.widths, font.texts)

    @lru_cache(_TEXTS_KEPT)
    def set_text(text: str, typeface: Typeface) -> SetText:
        return table(typeface).set_text(text)

    return set_text


class Filled(NamedTuple):
    """A strip with its values, and on how many lines each stands."""

    lines: Sequence[SetLine]
    #: Values by their lines.
    values: Sequence[Sequence[str]]


def fill(
    strip: Strip | Frame, values: Sequence[Sequence[str]], setter: Setter, page: int = 0, pages: int = 0
) -> Filled:
    """Set the lines of a strip.

    Args:
        strip: or what is around strips.
        values: of the strip, each by its lines.
        setter: sets texts.
        page: number of the page; only what is around strips says it.
        pages: how many there are.

    Raises:
        Unshapeable: a text cannot be set, or a line is too long.
    """
    lines = []
    for line in strip.lines:
        items = line.items
        if len(items) > 1:
            lines.append(_set_line(line, values, setter, page, pages))
            continue
        # Most lines are one text.
        (item,) = items
        width, operand = setter(_text(item, values, page, pages), item.typeface)
        grown = width - item.width
        _require_room(line, grown)
        lines.append(((operand,), (-line.lean * grown,)))
    return Filled(lines, values)


def _set_line(line: Line, values: Sequence[Sequence[str]], setter: Setter, page: int, pages: int) -> SetLine:
    operands, shifts, grown = [], [], 0.0
    for item in line.items:
        shifts.append(grown)
        if item.holes:
            width, operand = setter(_text(item, values, page, pages), item.typeface)
            grown += width - item.width
            operands.append(operand)
        else:
            operands.append(b"")
    _require_room(line, grown)
    if line.lean:
        shifts = [shift - line.lean * grown for shift in shifts]
    return operands, shifts


def _require_room(line: Line, grown: float) -> None:
    spare = line.room - line.used - grown
    if spare < _SPARE and not shaping.fits(line.used + grown, line.room):
        raise Overfull


class Overfull(Unshapeable):
    """A line is wider than its place."""

    def __init__(self) -> None:
        super().__init__("a line is wider than its place")


def break_values(lines: Sequence[Line], values: Sequence[str], setter: Setter) -> list[list[str]]:
    """Each value by the lines it takes.

    Args:
        lines: of the strip, laid out as if each value took one.
        values: of the strip.
        setter: sets texts.

    Raises:
        Unshapeable: it cannot be told, or it shares its line with something that would be pushed away.
    """
    broken = [[value] for value in values]
    for line in lines:
        if _width(line, broken, setter) > line.room - _SPARE:
            _break(line, broken, setter)
    return broken


def require_plain_spaces(values: Sequence[str]) -> None:
    """Refuse values with spaces that HTML would not keep.

    Raises:
        Unshapeable: one has.
    """
    if _STRAY_SPACE.search("\n".join(values)):
        raise Unshapeable("a value has spaces that HTML would not keep")  # noqa: EM101


def _width(line: Line, values: Sequence[Sequence[str]], setter: Setter) -> float:
    grown = (setter(_text(item, values), item.typeface).width - item.width for item in line.items if item.holes)
    return line.used + sum(grown)


def _break(line: Line, broken: list[list[str]], setter: Setter) -> None:
    holes = [hole for item in line.items for hole in item.holes]
    last = line.items[-1]
    if len(holes) != 1 or last.text[-1:] != (holes[0],) or not last.can_wrap or holes[0].number < 0:
        shaping.fits(_width(line, broken, setter), line.room)
        raise Unshapeable("a value is wider than its place")  # noqa: EM101
    (hole,) = holes
    prefix = "".join(part for part in last.text[:-1] if isinstance(part, str))
    text = _cased(prefix + broken[hole.number][0], last)
    first, *others = shaping.break_lines(text, last.typeface, line.room - (line.used - last.width), line.room)
    broken[hole.number] = [first[len(prefix) :], *others]


def say(template: Template, values: Sequence[Sequence[str]]) -> str:
    """Text with values in it."""
    return "".join(part if isinstance(part, str) else values[part.number][part.line] for part in template)


def _text(item: Item, values: Sequence[Sequence[str]], page: int = 0, pages: int = 0) -> str:
    if len(item.text) == 1 and item.holes[0].number >= 0:
        ((place, line),) = item.holes
        return _cased(values[place][line], item)
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

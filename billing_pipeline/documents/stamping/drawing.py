"""What a strip draws once its values are set."""

from functools import lru_cache
from typing import NamedTuple

from billing_pipeline.documents.stamping.container import write_number
from billing_pipeline.documents.stamping.filling import Filled
from billing_pipeline.documents.stamping.pictures import draw_picture
from billing_pipeline.documents.stamping.strips import Frame, Line, Marked, Moved, Picture, Strip, Text


class _Drawing(NamedTuple):
    """The operators of a strip in parts, and which of them depend on its values."""

    parts: tuple[bytes, ...]
    #: Part, line and item whose text stands there.
    operands: tuple[tuple[int, int, int], ...]
    #: Part, line and item that moves, and from where.
    places: tuple[tuple[int, int, int, float], ...]
    #: Part, and the mark that stands there.
    marks: tuple[tuple[int, int], ...]
    pictures: tuple[tuple[int, Picture], ...]


def draw(strip: Strip | Frame, filled: Filled, first_mark: int) -> bytes:
    """The operators of a strip.

    Args:
        strip: or what is around strips.
        filled: its lines and values.
        first_mark: number of its first mark on the page.

    Raises:
        Unshapeable: a picture is of another kind.
    """
    drawing = _drawing_of(strip)
    parts = list(drawing.parts)
    lines = filled.lines
    for part, line, item in drawing.operands:
        parts[part] = lines[line][0][item]
    for part, line, item, x in drawing.places:
        parts[part] = write_number(x + lines[line][1][item])
    for part, mark in drawing.marks:
        parts[part] = b"%d" % (first_mark + mark)
    for part, picture in drawing.pictures:
        parts[part] = draw_picture(filled.values[picture.hole][0], picture.width, picture.height)
    return b"".join(parts)


#: More than the kinds of strips that one month has.
@lru_cache(1 << 12)
def _drawing_of(strip: Strip | Frame) -> _Drawing:
    writer = _Writer(strip.lines)
    for piece in strip.pieces:
        writer.write(piece)
    return writer.finish()


class _Writer:
    """Puts the pieces of a strip into parts."""

    def __init__(self, lines: tuple[Line, ...]) -> None:
        self._lines = lines
        self._parts: list[bytes] = []
        self._constant: list[bytes] = []
        self._operands: list[tuple[int, int, int]] = []
        self._places: list[tuple[int, int, int, float]] = []
        self._marks: list[tuple[int, int]] = []
        self._pictures: list[tuple[int, Picture]] = []

    def write(self, piece: bytes | Text | Moved | Picture | Marked) -> None:
        match piece:
            case bytes():
                self._constant.append(piece)
            case Text(line, place):
                item = self._lines[line].items[place]
                self._constant.append(item.start)
                self._write_place(line, place, item.x)
                self._constant.append(item.level)
                self._operands.append((self._part(), line, place))
                self._constant.append(b" TJ ET")
            case Marked(mark):
                self._constant.append(b"<</MCID ")
                self._marks.append((self._part(), mark))
                self._constant.append(b">>")
            case Moved(line, place, drawing):
                self._constant.append(b"q 1 0 0 1 ")
                self._write_place(line, place, 0.0)
                self._constant += [b" 0 cm\n", drawing, b"\nQ"]
            case Picture():
                self._pictures.append((self._part(), piece))
        self._constant.append(b"\n")

    def finish(self) -> _Drawing:
        self._close()
        return _Drawing(
            tuple(self._parts), tuple(self._operands), tuple(self._places), tuple(self._marks), tuple(self._pictures)
        )

    def _write_place(self, line: int, place: int, x: float) -> None:
        """Where something is; the first text of a line that starts at its left never moves."""
        if place or self._lines[line].lean:
            self._places.append((self._part(), line, place, x))
        else:
            self._constant.append(write_number(x))

    def _part(self) -> int:
        """A new part that depends on values."""
        self._close()
        self._parts.append(b"")
        return len(self._parts) - 1

    def _close(self) -> None:
        if self._constant:
            self._parts.append(b"".join(self._constant))
            self._constant = []

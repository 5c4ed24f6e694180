"""What a document means beside how it looks: its tags, by which screen readers find their way, and its outline."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple

from billing_pipeline.documents.stamping.container import text_string
from billing_pipeline.documents.stamping.flow import Laid
from billing_pipeline.documents.stamping.pictures import tell_picture
from billing_pipeline.documents.stamping.strips import Element, Hole, Strip

#: Points per CSS pixel.
_SCALE = 0.75


@dataclass
class _Open:
    """An element around strips, while strips are added to it."""

    path: int
    number: int
    tag: str
    parent: int
    kids: list[int] = field(default_factory=list)
    #: Of a table: the cell that heads each column.
    columns: dict[int, int] = field(default_factory=dict)


class StructureTree:
    """The tags of a document, written page by page."""

    def __init__(self, allocate: Callable[[], int], objects: dict[int, bytes], page_height: float) -> None:
        self._allocate = allocate
        self._objects = objects
        self._page_height = page_height
        self._document = allocate()
        self._kids: list[int] = []
        self._open: list[_Open] = []
        self._page = 0
        #: Of each page, the element of each mark.
        self._parents: list[list[int]] = []

    def start_page(self, page: int) -> None:
        """Go on to a page, by its object number: elements do not span pages."""
        self._close(0)
        self._page = page
        self._parents.append([])

    def add(self, laid: Laid, shift: float) -> int:
        """Write the elements of a strip; the number of its first mark on the page.

        Args:
            laid: the strip.
            shift: how far below where it was laid out it is.
        """
        self._open_around(laid)
        table = next((one for one in reversed(self._open) if one.tag == "Table"), None)
        columns = table.columns if table else {}
        form = _form_of(laid.strip, tuple(columns))
        marks = self._parents[-1]
        number, first = self._allocate(), len(marks)
        for _ in range(form.objects - 1):
            self._allocate()
        marks += [number + place for place in form.marks]
        origins = (number, self._parent(), self._page, first, *columns.values())
        told = form.told % tuple([origins[origin] + more for origin, more in form.holes])
        if form.pictures:
            told %= tuple(self._tell_picture(picture, shift, laid) for picture in form.pictures)
        self._objects.update(zip(range(number, number + form.objects), told.split(b"\n"), strict=True))
        columns.update({column: number + place for column, place in form.columns.items()})
        self._siblings().append(number)
        return first

    def finish(self) -> int:
        """Write what is open and the root; its number."""
        self._close(0)
        root, parents = self._allocate(), self._allocate()
        self._objects[self._document] = b"<</Type /StructElem/S /Document/K [%s]/P %d 0 R>>" % (
            _references(self._kids), root,
        )  # fmt: skip
        entries = b" ".join(b"%d [%s]" % (page, _references(marks)) for page, marks in enumerate(self._parents))
        self._objects[parents] = b"<</Nums [%s]>>" % entries
        self._objects[root] = b"<</Type /StructTreeRoot/ParentTree %d 0 R/K [%d 0 R]>>" % (parents, self._document)
        return root

    def _parent(self) -> int:
        return self._open[-1].number if self._open else self._document

    def _siblings(self) -> list[int]:
        return self._open[-1].kids if self._open else self._kids

    def _close(self, depth: int) -> None:
        while len(self._open) > depth:
            closed = self._open.pop()
            self._siblings().append(closed.number)
            self._objects[closed.number] = b"<</Type /StructElem/S /%s/P %d 0 R/Pg %d 0 R/K [%s]>>" % (
                closed.tag.encode(), closed.parent, self._page, _references(closed.kids),
            )  # fmt: skip

    def _open_around(self, laid: Laid) -> None:
        """Close what a strip is not in, and open what it is in."""
        shared = sum(1 for one, path in zip(self._open, laid.path, strict=False) if one.path == path)
        if shared == len(self._open) == len(laid.path):
            return
        self._close(shared)
        for path, around in list(zip(laid.path, laid.strip.around, strict=True))[shared:]:
            self._open.append(_Open(path, self._allocate(), around.tag, self._parent()))

    def _tell_picture(self, element: Element, shift: float, laid: Laid) -> bytes:
        assert element.edges is not None  # noqa: S101
        left, top, right, bottom = (_SCALE * edge for edge in element.edges)
        base = self._page_height - _SCALE * shift
        told = "".join(
            tell_picture(laid.filled.values[part.number][0]) if isinstance(part, Hole) else part
            for part in element.alternative
        )
        return b"/Alt %s/A <</O /Layout/BBox [%.2f %.2f %.2f %.2f]>>" % (
            text_string(told), left, base - bottom, right, base - top,
        )  # fmt: skip


#: What numbers in a form count from: the first object of the strip, what the strip is in, the page, the first mark of
#: the strip on the page, and the cells that head the columns of the table around it.
_OBJECT, _PARENT, _PAGE, _MARK, _COLUMNS = range(5)
#: A number in a form: what it counts from, and how far.
_Number = tuple[int, int]
#: Text with a `%d` for each number.
_Told = tuple[bytes, tuple[_Number, ...]]


class _Form(NamedTuple):
    """The elements of a strip as objects, one on each line, but for numbers; then pictures are told."""

    told: bytes
    holes: tuple[_Number, ...]
    #: How many there are.
    objects: int
    #: By mark, the object that it belongs to.
    marks: tuple[int, ...]
    #: By column, the cell that heads it from here on.
    columns: Mapping[int, int]
    pictures: tuple[Element, ...]


#: More than the kinds of strips that one month has.
@lru_cache(1 << 12)
def _form_of(strip: Strip, columns: tuple[int, ...]) -> _Form:
    """The form of a strip in a table with heads of some columns."""
    writer = _FormWriter(strip, columns)
    writer.write(strip.element, (_PARENT, 0))
    objects = [writer.objects[place] for place in range(len(writer.objects))]
    return _Form(
        b"\n".join(told for told, _ in objects),
        tuple(number for _, numbers in objects for number in numbers),
        len(objects),
        tuple(writer.marks),
        {column: place for column, (origin, place) in writer.columns.items() if origin == _OBJECT},
        tuple(writer.pictures),
    )


class _FormWriter:
    """Objects of a strip's elements, by their places."""

    def __init__(self, strip: Strip, columns: Sequence[int]) -> None:
        self.objects: dict[int, _Told] = {}
        self.marks = [0] * strip.marks
        self.columns: dict[int, _Number] = {column: (_COLUMNS + rank, 0) for rank, column in enumerate(columns)}
        self.pictures: list[Element] = []
        self._is_head = strip.is_head
        self._free = 0

    def write(self, element: Element, parent: _Number) -> int:
        """Write an element and what is under it; its place."""
        place = self._allocate()
        if element.edges is not None:
            self.pictures.append(element)
        self._write_as(place, element, parent, (b"" if element.edges is None else b"%%s", ()))
        return place

    def _allocate(self) -> int:
        place, self._free = self._free, self._free + 1
        return place

    def _write_as(self, place: int, element: Element, parent: _Number, said: _Told) -> None:
        kids = list(self._write_row(element, place) if element.tag == "TR" else self._write_kids(element, place))
        told = b"<</Type /StructElem/S /%s/P %%d 0 R/Pg %%d 0 R/K [%s]%s>>" % (
            element.tag.encode(), b" ".join(b"%d" if origin == _MARK else b"%d 0 R" for origin, _ in kids), said[0],
        )  # fmt: skip
        self.objects[place] = told, (parent, (_PAGE, 0), *kids, *said[1])

    def _write_kids(self, element: Element, place: int) -> Iterator[_Number]:
        for kid in element.kids:
            if isinstance(kid, int):
                self.marks[kid] = place
                yield _MARK, kid
            else:
                yield _OBJECT, self.write(kid, (_OBJECT, place))

    def _write_row(self, row: Element, place: int) -> Iterator[_Number]:
        """The cells of a row of a table: each says which cells head it."""
        cells = [(self._allocate(), cell) for cell in row.kids if isinstance(cell, Element)]
        heads = [(_OBJECT, number) for number, cell in cells if cell.tag == "TH"]
        column = 0
        for number, cell in cells:
            span = b"/ColSpan %d" % cell.span if cell.span > 1 else b""
            if cell.tag == "TD":
                spanned = (self.columns.get(over) for over in range(column, column + cell.span))
                above = (*heads, *filter(None, spanned))
                said = b"/A <</O /Table%s/Headers [%s]>>" % (span, b"(%d)" * len(above)), above
            else:
                scope = b"Column" if self._is_head else b"Row"
                said = b"/A <</O /Table%s/Scope /%s>>/ID (%%d)" % (span, scope), ((_OBJECT, number),)
            if self._is_head:
                self.columns[column] = _OBJECT, number
            self._write_as(number, cell, (_OBJECT, place), said)
            column += cell.span
            yield _OBJECT, number


@dataclass(frozen=True, slots=True)
class Bookmark:
    """A heading of a document: on which page, by its object number, and how far up, in points."""

    level: int
    text: str
    page: int
    top: float


def write_outline(bookmarks: Sequence[Bookmark], allocate: Callable[[], int], objects: dict[int, bytes]) -> int:
    """The outline of a document, headings under those of a higher level before them; its number."""
    root = allocate()
    numbers = [allocate() for _ in bookmarks]
    parents: list[int | None] = []
    trail: list[int] = []
    for place, bookmark in enumerate(bookmarks):
        while trail and bookmarks[trail[-1]].level >= bookmark.level:
            trail.pop()
        parents.append(trail[-1] if trail else None)
        trail.append(place)
    kids: dict[int | None, list[int]] = {}
    for place, parent in enumerate(parents):
        kids.setdefault(parent, []).append(place)

    def under(place: int | None) -> bytes:
        own = kids.get(place, [])
        ends = b"/First %d 0 R/Last %d 0 R/Count %d" % (numbers[own[0]], numbers[own[-1]], _descendants(kids, place))
        return ends if own else b""

    for place, bookmark in enumerate(bookmarks):
        siblings = kids[parents[place]]
        rank = siblings.index(place)
        before = b"/Prev %d 0 R" % numbers[siblings[rank - 1]] if rank else b""
        after = b"/Next %d 0 R" % numbers[siblings[rank + 1]] if rank + 1 < len(siblings) else b""
        parent = parents[place]
        objects[numbers[place]] = b"<</Title %s/Parent %d 0 R/Dest [%d 0 R /XYZ 0 %.2f 0]%s%s%s>>" % (
            text_string(bookmark.text), root if parent is None else numbers[parent], bookmark.page, bookmark.top,
            before, after, under(place) if place in kids else b"",
        )  # fmt: skip
    objects[root] = b"<</Type /Outlines%s>>" % (under(None) if bookmarks else b"")
    return root


def _descendants(kids: Mapping[int | None, Sequence[int]], place: int | None) -> int:
    return sum(1 + _descendants(kids, kid) for kid in kids.get(place, ()))


def _references(numbers: Sequence[int]) -> bytes:
    return b" ".join(b"%d 0 R" % number for number in numbers)

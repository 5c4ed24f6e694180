"""What a document means beside how it looks: its tags, by which screen readers find their way, and its outline."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from billing_pipeline.documents.stamping.container import text_string
from billing_pipeline.documents.stamping.flow import Laid
from billing_pipeline.documents.stamping.pictures import tell_picture
from billing_pipeline.documents.stamping.strips import Element, Hole

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
        strip = laid.strip
        shared = sum(1 for one, path in zip(self._open, laid.path, strict=False) if one.path == path)
        self._close(shared)
        for path, around in list(zip(laid.path, strip.around, strict=True))[shared:]:
            self._open.append(_Open(path, self._allocate(), around.tag, self._parent()))
        marks = self._parents[-1]
        first = len(marks)
        marks += [0] * strip.marks
        self._siblings().append(self._write(strip.element, self._parent(), first, shift, laid))
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

    def _write(self, element: Element, parent: int, first: int, shift: float, laid: Laid, said: bytes = b"") -> int:
        """Write an element and what is under it; what it says beside that."""
        number = self._allocate()
        self._write_as(number, element, parent, first, shift, laid, said + self._picture(element, shift, laid))
        return number

    def _write_as(
        self, number: int, element: Element, parent: int, first: int, shift: float, laid: Laid, said: bytes
    ) -> None:
        kids = self._write_row(element, number, first, shift, laid) if element.tag == "TR" else []
        for kid in element.kids if element.tag != "TR" else ():
            if isinstance(kid, int):
                self._parents[-1][first + kid] = number
                kids.append(b"%d" % (first + kid))
            else:
                kids.append(b"%d 0 R" % self._write(kid, number, first, shift, laid))
        self._objects[number] = b"<</Type /StructElem/S /%s/P %d 0 R/Pg %d 0 R/K [%s]%s>>" % (
            element.tag.encode(), parent, self._page, b" ".join(kids), said,
        )  # fmt: skip

    def _write_row(self, row: Element, number: int, first: int, shift: float, laid: Laid) -> list[bytes]:
        """The cells of a row of a table: each says which cells head it."""
        is_head = laid.strip.is_head
        columns = next((one.columns for one in reversed(self._open) if one.tag == "Table"), {})
        cells = [(self._allocate(), cell) for cell in row.kids if isinstance(cell, Element)]
        heads = b"".join(b"(%d)" % cell_number for cell_number, cell in cells if cell.tag == "TH")
        column = 0
        for cell_number, cell in cells:
            span = b"/ColSpan %d" % cell.span if cell.span > 1 else b""
            if cell.tag == "TD":
                spanned = range(column, column + cell.span)
                above = b"".join(b"(%d)" % columns[place] for place in spanned if place in columns)
                said = b"/A <</O /Table%s/Headers [%s%s]>>" % (span, heads, above)
            else:
                said = b"/A <</O /Table%s/Scope /%s>>/ID (%d)" % (span, b"Column" if is_head else b"Row", cell_number)
            if is_head:
                columns[column] = cell_number
            self._write_as(cell_number, cell, number, first, shift, laid, said)
            column += cell.span
        return [b"%d 0 R" % cell_number for cell_number, _ in cells]

    def _picture(self, element: Element, shift: float, laid: Laid) -> bytes:
        if element.edges is None:
            return b""
        left, top, right, bottom = (_SCALE * edge for edge in element.edges)
        base = self._page_height - _SCALE * shift
        told = "".join(
            tell_picture(laid.filled.values[part.number][0]) if isinstance(part, Hole) else part
            for part in element.alternative
        )
        return b"/Alt %s/A <</O /Layout/BBox [%.2f %.2f %.2f %.2f]>>" % (
            text_string(told), left, base - bottom, right, base - top,
        )  # fmt: skip


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

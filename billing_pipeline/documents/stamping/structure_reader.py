"""The tags of strips as WeasyPrint gives them, without elements that say nothing."""

from collections.abc import Iterator
from typing import Any

from billing_pipeline.documents.stamping.strips import Element
from billing_pipeline.documents.stamping.tokens import Tokens

#: Elements of a strip that have a meaning; the marks of all others are those of what they are in.
_MEANINGFUL = frozenset(
    {"P", "H1", "H2", "Div", "Figure", "L", "LI", "LBody", "Table", "THead", "TBody", "TR", "TH", "TD"}
)


def number_of(reference: bytes) -> int:
    """The number of the object that is referred to."""
    return int(reference.split()[0])


class StructureReader:
    """The structure that WeasyPrint gave a strip, without elements that say nothing."""

    def __init__(self, pdf: Any, tokens: Tokens) -> None:
        self._objects = pdf.objects
        self._tokens = tokens
        root = pdf.objects[number_of(pdf.catalog["StructTreeRoot"])]
        self._document = pdf.objects[number_of(root["K"][0])]
        self._pages = [int(number) for number in pdf.pages["Kids"][::3]]
        self.tags: tuple[str, ...] = ()

    def read(self, page: int, levels: int) -> tuple[Element, int]:
        """The element of the strip on a page, under as many levels of what is around it, and how many marks it has."""
        (element,) = (
            thing for thing in map(self._thing, self._document["K"]) if number_of(thing["Pg"]) == self._pages[page]
        )
        tags = []
        for _ in range(levels):
            tags.append(element["S"].lstrip("/"))
            element = self._thing(element["K"][-1])
        self.tags = tuple(tags)
        read = self._read(element)
        return read, len(list(_marks_under(read)))

    def _thing(self, reference: bytes) -> Any:
        return self._objects[number_of(reference)]

    def _read(self, element: Any) -> Element:
        said = element.get("A", {})
        edges = tuple(map(float, said["BBox"])) if "BBox" in said else None
        alternative = self._tokens.read(element["Alt"].string) if "Alt" in element else ()
        return Element(
            element["S"].lstrip("/"),
            tuple(self._kids(element)),
            alternative,
            edges,
            said.get("ColSpan", 1),  # type: ignore[arg-type]
        )

    def _kids(self, element: Any) -> Iterator[Element | int]:
        for kid in element["K"]:
            if isinstance(kid, int):
                yield kid
                continue
            thing = self._thing(kid)
            if thing["S"].lstrip("/") in _MEANINGFUL:
                yield self._read(thing)
            else:
                yield from self._kids(thing)


def _marks_under(element: Element) -> Iterator[int]:
    for kid in element.kids:
        if isinstance(kid, int):
            yield kid
        else:
            yield from _marks_under(kid)

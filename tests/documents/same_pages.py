"""Compares the pages of a stamped document with those that WeasyPrint sets: words, their places, and the picture."""

import math
from collections import defaultdict
from collections.abc import Iterator

import pypdfium2 as pdfium
from PIL import ImageChops

from billing_pipeline.documents.rendering import lay_out_pdf
from billing_pipeline.documents.stamping.press import Misfit, Press
from billing_pipeline.documents.stamping.skeleton import take_apart
from billing_pipeline.documents.view import InvoiceView

#: In points; a thousandth of an em that is rounded otherwise moves a glyph by 0.01.
NEAR = 0.05
#: Of 255; what a shift of that much makes of a glyph's edge at 60 dpi.
FAINT = 80

Word = tuple[str, tuple[float, float, float, float]]


def stamp(press: Press, view: InvoiceView, *more) -> bytes | Misfit:
    return press.stamp(take_apart(view), *more)


def words_of(pdf: bytes) -> list[list[Word]]:
    """The words of each page with the boxes around their characters."""
    document = pdfium.PdfDocument(pdf)
    pages = []
    for page in document:
        text_page = page.get_textpage()
        pages.append(list(words_on(text_page)))
        text_page.close()
        page.close()
    document.close()
    return pages


def words_on(text_page: pdfium.PdfTextPage) -> Iterator[Word]:
    letters, boxes = "", []
    for place in range(text_page.count_chars()):
        letter = chr(pdfium.raw.FPDFText_GetUnicode(text_page.raw, place))
        if letter.isspace() or letter in "\0\ufffe":
            if letters:
                yield letters, around(boxes)
            letters, boxes = "", []
        else:
            letters += letter
            boxes.append(text_page.get_charbox(place))
    if letters:
        yield letters, around(boxes)


def around(boxes):
    lefts, bottoms, rights, tops = zip(*boxes, strict=True)
    return min(lefts), min(bottoms), max(rights), max(tops)


def distance(one, other) -> float:
    return max(abs(a - b) for a, b in zip(one, other, strict=True))


def strays(stamped: list[Word], laid_out: list[Word]) -> list[Word]:
    """Words of a page that the other has not, or not in that place."""
    places = defaultdict(list)
    for word, box in laid_out:
        places[word].append(box)
    lost = []
    for word, box in stamped:
        nearest = min(places[word], key=lambda place: distance(place, box), default=(math.inf,) * 4)
        if distance(nearest, box) > NEAR:
            lost.append((word, box))
        else:
            places[word].remove(nearest)
    return lost + [(word, box) for word, boxes in places.items() for box in boxes]


def pictures_of(pdf: bytes) -> Iterator:
    document = pdfium.PdfDocument(pdf)
    for page in document:
        yield page.render(scale=60 / 72).to_pil().convert("RGB")
        page.close()
    document.close()


def require_the_same(stamped: bytes | Misfit, view: InvoiceView) -> None:
    assert not isinstance(stamped, Misfit), stamped
    laid_out = lay_out_pdf(view)
    ours, theirs = words_of(stamped), words_of(laid_out)
    assert len(ours) == len(theirs)
    assert [strays(*pages) for pages in zip(ours, theirs, strict=True)] == [[]] * len(ours)
    for one, other in zip(pictures_of(stamped), pictures_of(laid_out), strict=True):
        assert max(most for _, most in ImageChops.difference(one, other).getextrema()) < FAINT

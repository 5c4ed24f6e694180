"""Stamped documents against WeasyPrint's own: the same words in the same places, the same picture, or none at all."""

import math
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator
from dataclasses import replace
from datetime import date
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import pypdfium2 as pdfium
import pytest
import weasyprint
from PIL import ImageChops

sys.path.insert(0, str(Path(__file__).parent))

from invoice_generator import generate_view

from billing_pipeline.documents.archiving import EmbeddedInvoice
from billing_pipeline.documents.rendering import lay_out_pdf
from billing_pipeline.documents.stamping import weasyprint_boxes
from billing_pipeline.documents.stamping.press import Misfit, Press
from billing_pipeline.documents.stamping.shaping import Typeface, Unshapeable, break_lines, width
from billing_pipeline.documents.stamping.skeleton import take_apart
from billing_pipeline.documents.view import AnnexView, InvoiceView, PartyView, UnusableView

#: In points; a thousandth of an em that is rounded otherwise moves a glyph by 0.01.
NEAR = 0.05
#: Of 255; what a shift of that much makes of a glyph's edge at 60 dpi.
FAINT = 80

BODY = Typeface(400, 8.5 / 0.75, (), 0, "en")

Word = tuple[str, tuple[float, float, float, float]]


@pytest.fixture(scope="module")
def press() -> Press:
    """One press for the file, as a process has one for a month."""
    return Press()


@pytest.fixture
def invoice(month) -> Callable[..., InvoiceView]:
    return lambda seed, lines_max=12: generate_view(type(month)(), seed, lines_max)


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


@pytest.mark.parametrize("seed", [*range(30), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(30, 200))])
def test_a_stamped_invoice_is_the_one_that_weasyprint_sets(press, invoice, seed):
    view = invoice(seed)

    require_the_same(stamp(press, view), view)


@pytest.mark.parametrize("seed", [100, 101, *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(102, 120))])
def test_detail_rows_fall_on_the_pages_that_weasyprint_breaks_them_to(press, invoice, seed):
    view = invoice(seed, lines_max=300)

    require_the_same(stamp(press, view), view)


def test_details_may_follow_on_the_only_page(press, invoice):
    view = replace(
        invoice(4), statement=(), steps=None, services=(), explanations=(), coupons=(), coupon_total=None,
        organisations=None, is_single_page=True,
    )  # fmt: skip

    require_the_same(stamp(press, view), view)


def test_time_not_billed_is_stamped_after_the_rows(press, invoice):
    row = UnusableView(
        "front", "i-1", "apps.s – par", "2026-10-01 00:00:00 – 2026-10-01 01:00:00", "disk", "1h 00m 00s"
    )
    view = replace(invoice(4), annex=AnnexView("Period (UTC)", (row, replace(row, reason="")), "2h 00m 00s"))

    require_the_same(stamp(press, view), view)


def named(view: InvoiceView, name: str) -> InvoiceView:
    return replace(view, buyer=PartyView(name, view.buyer.lines))


def test_a_value_that_takes_several_lines_pushes_down_what_follows(press, invoice):
    name = "Société nantaise des études d'astronomie, de botanique et de navigation, établissement de Saint-Nazaire"
    view = named(invoice(4), name)

    require_the_same(stamp(press, view), view)


@pytest.mark.parametrize("name", ["Compagnie des rivières trans-atlantiques", "Association a-b-c-d-e-f-g-h-i-j-k-l-m-n"])
def test_a_line_breaks_after_a_hyphen_between_letters(press, invoice, name):
    view = named(invoice(4), name)

    require_the_same(stamp(press, view), view)


MISFITS = {
    "شركة السحاب": "U+0634 is outside the set",
    "雲会社": "U+96F2 is outside the set",
    "Cloud ☁": "U+2601 is outside the set",
    "a\N{COMBINING ACUTE ACCENT}": "U+0301 is outside the set",
    "Two  spaces": "a value has spaces that HTML would not keep",
    "x" * 60: "a word is wider than its line",
    "in -> out": "a glyph would be read as another text",
    "Compagnie des rivières trans/atlantiques": "a line may break inside a word",
}


@pytest.mark.parametrize("name", MISFITS)
def test_a_name_that_does_not_fit_is_left_to_weasyprint(invoice, press, name):
    assert stamp(press, named(invoice(4), name)) == Misfit(MISFITS[name])


def test_an_amount_wider_than_its_column_is_left_to_weasyprint(press, invoice):
    view = invoice(4)
    panel = replace(view.panel, amount="€123,456,789,012,345.00")

    assert stamp(press, replace(view, panel=panel)) == Misfit("a value is wider than its place")


def test_what_was_stamped_before_leaves_no_trace(invoice):
    views = [named(invoice(4), name) for name in ("Atelier", "Łódź & <Co>")]
    rows = invoice(5), invoice(4)
    fresh, used = Press(), Press()
    for view in (views[1], *rows):
        stamp(used, view)

    assert stamp(fresh, views[0]) == stamp(used, views[0])


XML = EmbeddedInvoice(b"<a/>", date(2026, 11, 3))


@pytest.mark.skipif(find_spec("page") is None, reason="what PDF/A and PDF/UA ask is known to page-validation")
@pytest.mark.parametrize(("seed", "lines"), [(4, 12), (15, 12), (100, 300)])
def test_a_stamped_document_is_for_archives_and_screen_readers(press, invoice, seed, lines):
    import page

    pdf = stamp(press, invoice(seed, lines), XML)

    assert not isinstance(pdf, Misfit)
    for profile in (page.ValidationProfile.PDF_A_3A, page.ValidationProfile.PDF_UA_1):
        report = page.validate_pdf_bytes(pdf, profile=profile)
        assert [f"{fault.rule_id}: {fault.message}" for fault in report.failures] == []
        assert report.rules.passed > 100


@pytest.mark.skipif(find_spec("pypdf") is None, reason="what is in a PDF is read by the package pypdf")
def test_a_stamped_document_names_its_file_title_author_and_day(press, invoice):
    import pypdf

    view = named(invoice(5), "Łódź & <Co>")
    read = pypdf.PdfReader(BytesIO(stamp(press, view, XML)))

    (file,) = read.attachment_list
    assert (file.name, file.content, len(read.root_object["/AF"])) == ("factur-x.xml", b"<a/>", 1)
    metadata = read.metadata
    assert (metadata.title, metadata.author) == (f"{view.title} – Nimbus Cloud SAS", "Nimbus Cloud SAS")
    assert metadata["/CreationDate"] == "D:20261103"
    assert read.xmp_metadata.dc_title["x-default"] == metadata.title


def test_the_drawing_code_was_read_for_the_version_that_is_installed():
    assert weasyprint.VERSION == weasyprint_boxes.VERSION, (
        "WeasyPrint was upgraded: read what changed in draw/, pdf/ and layout/table.py, set VERSION in "
        "stamping/weasyprint_boxes.py and run this file with -m 'slow or not slow'"
    )


def test_another_version_of_weasyprint_makes_no_form(monkeypatch, invoice):
    monkeypatch.setattr(weasyprint, "VERSION", "70.1")

    outcome = stamp(Press(), invoice(4))

    assert isinstance(outcome, Misfit)
    assert outcome.reason.startswith("WeasyPrint 70.1 is not 70.0")


def test_lines_break_at_spaces_and_after_hyphens_between_letters_only_where_it_is_beyond_doubt():
    room = width("one two", BODY) + 1
    assert break_lines("one two three", BODY, room, room) == ["one two", "three"]
    assert break_lines("one 2026-10-31", BODY, room, width("2026-10-31", BODY) + 1) == ["one", "2026-10-31"]
    assert break_lines("one t-three", BODY, room, room) == ["one t-", "three"]
    with pytest.raises(Unshapeable, match="inside a word"):
        break_lines("one t/three/four", BODY, room, 200)


def test_a_line_that_is_full_to_the_last_unit_is_left_to_weasyprint():
    with pytest.raises(Unshapeable, match="full to the last unit"):
        break_lines("one two", BODY, width("one two", BODY), 200)

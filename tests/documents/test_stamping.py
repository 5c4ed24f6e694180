"""Stamped documents against WeasyPrint's own: the same words in the same places, the same picture, or none at all."""

import sys
from collections.abc import Callable
from dataclasses import astuple, replace
from datetime import date
from importlib.util import find_spec
from io import BytesIO
from pathlib import Path

import pytest
import weasyprint

sys.path.insert(0, str(Path(__file__).parent))

from invoice_generator import generate_view
from same_pages import require_the_same, stamp, words_of

from billing_pipeline.documents.archiving import EmbeddedInvoice
from billing_pipeline.documents.stamping import weasyprint_boxes
from billing_pipeline.documents.stamping.press import Misfit, Press
from billing_pipeline.documents.stamping.shaping import Typeface, Unshapeable, break_lines, width
from billing_pipeline.documents.stamping.skeleton import take_apart
from billing_pipeline.documents.view import (
    AnnexView,
    InvoiceView,
    OrganisationsView,
    OrganisationView,
    PartyView,
    UnusableView,
)

BODY = Typeface(400, 8.5 / 0.75, (), 0, "en")


@pytest.fixture(scope="module")
def press() -> Press:
    """One press for the file, as a process has one for a month."""
    return Press()


@pytest.fixture
def invoice(month) -> Callable[..., InvoiceView]:
    return lambda seed, lines_max=12: generate_view(type(month)(), seed, lines_max)


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


@pytest.mark.parametrize("count", [5, 60])
def test_time_not_billed_goes_on_over_pages(press, invoice, count):
    row = UnusableView("front", "i-1", "apps.s – par", "2026-10-01 00:00:00 – 01:00:00", "disk", "1h 00m 00s")
    annex = AnnexView("Period (UTC)", tuple(replace(row, instance=f"i-{number}") for number in range(count)), "60h")
    view = replace(invoice(100, lines_max=20), annex=annex)

    require_the_same(stamp(press, view), view)


@pytest.mark.parametrize("count", [2, 11, 12, 13, 14, 15, 40, 70])
def test_many_organisations_go_to_pages_of_their_own(press, invoice, count):
    organisation = OrganisationView("Lab", "orga_2", is_main=False, amount="€1.00")
    rows = tuple(replace(organisation, owner_id=f"orga_{number}") for number in range(count))
    view = replace(invoice(4), organisations=OrganisationsView(rows, "", "", "€1.00"))

    require_the_same(stamp(press, view), view)


def named(view: InvoiceView, name: str) -> InvoiceView:
    return replace(view, buyer=PartyView(name, view.buyer.lines))


def test_a_value_that_takes_several_lines_pushes_down_what_follows(press, invoice):
    name = "Société nantaise des études d'astronomie, de botanique et de navigation, établissement de Saint-Nazaire"
    view = named(invoice(4), name)

    require_the_same(stamp(press, view), view)


def test_sums_of_organisations_and_services_stay_within_the_margins(press, invoice):
    view = invoice(4)
    (owner, *_) = view.details
    services = tuple(replace(service, amount="€12,345,678.90") for service in owner.services)
    view = replace(view, details=(replace(owner, name="Lab", amount="€12,345,678.90", services=services),))

    stamped = stamp(press, view)

    require_the_same(stamped, view)
    right_margin = 17 / 25.4 * 72
    edges = [box[2] for page in words_of(stamped) for word, box in page if word == "€12,345,678.90"]
    assert len(edges) == 1 + len(services)
    assert max(edges) <= 595.28 - right_margin + 0.05


@pytest.mark.parametrize("name", ["Compagnie des rivières trans-atlantiques", "Association a-b-c-d-e-f-g-h-i-j-k-l"])
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


def test_a_strip_is_the_same_alone_and_among_others(invoice):
    """How WeasyPrint rounds the advance of a glyph depends on the size at which it draws it first."""
    torn = [one for seed in (4, 5, 15) for one in take_apart(invoice(seed)).strips]
    wanted = [weasyprint_boxes.LaidOut(one.kind, (1,) * len(one.values)) for one in dict.fromkeys(torn)]
    together = weasyprint_boxes.lay_out(wanted)

    assert len(together) > 80
    for one in together:
        assert astuple(weasyprint_boxes.lay_out([one])[one]) == astuple(together[one])


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

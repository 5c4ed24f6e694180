import ctypes
import logging
import os
import pickle
import re
import socket
import subprocess
import sys
from datetime import UTC, datetime
from hashlib import sha256

import polars as pl
import pypdfium2 as pdfium
import pytest
from jinja2 import UndefinedError
from markupsafe import escape

from billing_pipeline.documents import rendering, typesetting
from billing_pipeline.documents.cii import write_cii
from billing_pipeline.documents.rendering import (
    RenderedInvoice,
    lay_out_pdf,
    render_html,
    render_invoice,
    render_pdf,
)
from billing_pipeline.documents.typesetting import TypesettingLibrariesMissing
from billing_pipeline.documents.view import DocumentFailure

MINUS, EN_DASH = "\N{MINUS SIGN}", "\N{EN DASH}"

_RENDER_PICKLED = """
import pickle, sys
from hashlib import sha256
from billing_pipeline.documents.rendering import render_html, render_pdf
view = pickle.load(open(sys.argv[1], "rb"))
print(sha256(render_pdf(view)).hexdigest(), sha256(render_html(view).encode()).hexdigest())
"""


@pytest.fixture
def offline(monkeypatch):
    def refuse(*_args, **_kwargs):
        pytest.fail("a document opened a socket")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    monkeypatch.setattr(socket, "getaddrinfo", refuse)


def _fonts(pdf):
    document = pdfium.PdfDocument(pdf)
    names = set()
    for page in document:
        for item in page.get_objects(filter=[pdfium.raw.FPDF_PAGEOBJ_TEXT]):
            font = pdfium.raw.FPDFTextObj_GetFont(item.raw)
            name = ctypes.create_string_buffer(200)
            pdfium.raw.FPDFFont_GetBaseFontName(font, name, 200)
            names.add(name.value.decode())
    document.close()
    return names


def test_the_first_published_statement_is_on_paper(month, read_pages):
    view = month.bill(usage=[{"amount_cents": 68689}], prepaid=69135, vat_ppm=0, vat_reason="outside_eu").view()
    summary, statement, _details = read_pages(render_pdf(view))

    assert "Total fees €686.89" in summary
    assert re.search(f"Used credits.* {MINUS}€4.46 Subtotal excluding tax €682.43", summary)
    assert "Amount to pay €682.43" in summary
    assert "A Your previous credits balance A = a + b €691.35 c Used free credits €0.00" in statement
    assert f"e Used prepaid credits {MINUS}€686.89" in statement
    assert f"h Amount of prepaid credits to refill h = max(0, {MINUS}(A + c + … + g)) €682.43" in statement
    assert "B Your total credits after paying this invoice B = A + c + d + e + h €686.89" in statement
    assert f"Net use of credits i {MINUS} d {MINUS}€4.46" in statement


def test_the_second_published_statement_is_on_paper(month, read_pages):
    labs = {"owner_id": "orga_2", "owner_name": "Labs", "amount_cents": 1251}
    view = month.bill(usage=[{"amount_cents": 10212}, labs], prepaid=2000, custom=0, vat_ppm=0).view()
    summary, statement, _details = read_pages(render_pdf(view))

    assert re.search(f"Used credits.* {MINUS}€20.00 Subtotal excluding tax .* €94.63 VAT 0 %", summary)
    assert "€94.63 of fees that your credits did not cover (over-consumption)" in summary
    assert f"e Used prepaid credits {MINUS}€20.00" in statement
    assert "h Refilling a custom amount of credits €0.00" in statement
    assert re.search("Atelier Main orga_1 €102.12 Labs orga_2 €12.51 Total €114.63", statement)


def test_tax_and_amount_to_pay_follow_the_subtotal(month, read_pages):
    view = month.bill(usage=[{"amount_cents": 68689}], prepaid=69135).view()
    summary = read_pages(render_pdf(view))[0]
    assert "VAT 20 % French VAT, standard rate — article 278 CGI €136.49 Amount to pay €818.92" in summary


def test_the_head_names_both_parties_the_number_the_dates_and_where_to_pay(month, read_pages):
    view = month.bill(
        usage=[{}], legal_name="Atelier SARL", vat_number="FR83404833048", legal_id="404833048",
        purchase_order="PO-118", cost_centre="R&D",
    ).view()  # fmt: skip
    summary = read_pages(render_pdf(view))[0]
    for text in (
        "INV-2026-000007", "Atelier SARL", "44000 Nantes", "VAT FR83404833048", "PO-118", "R&D", "FR40303265045",
        "Issued 2026-11-03", "Due 2026-12-03", f"2026-10-01 {EN_DASH} 2026-10-31", "Due on 2026-12-03",
        "FR76 3000 6000 0112 3456 7890 189", "RCS Nantes 303 265 045", "recovery charge of €40",
    ):  # fmt: skip
        assert text in summary, text


def test_every_page_says_which_of_how_many_it_is(month, read_pages):
    usage = [{"resource_id": f"app_{number}", "amount_cents": 100} for number in range(60)]
    pages = read_pages(render_pdf(month.bill(usage=usage).view()))
    assert len(pages) >= 4
    assert all(f"Page {number} of {len(pages)}" in page for number, page in enumerate(pages, 1))
    assert all("INV-2026-000007" in page and "Nimbus Cloud SAS" in page for page in pages)


def test_a_draft_says_so_on_every_page(month, read_pages):
    usage = [{"amount_cents": 500}]
    draft = month.bill(usage=usage, number=None, issued_on=None, due_on=None).view()
    assert all("DRAFT" in page and "Draft invoice" in page for page in read_pages(render_pdf(draft)))
    issued = month.__class__().bill(usage=usage).view()
    assert not any("draft" in page.lower() for page in read_pages(render_pdf(issued)))


def test_an_invoice_of_nothing_still_has_its_three_sections(month, read_pages):
    summary, statement, details = read_pages(render_pdf(month.bill(free=500, expired=500).view()))
    assert "Nothing was used in this period." in summary
    assert f"d Expired free credits {MINUS}€5.00" in statement
    assert "Usage details" in details


def test_coupons_follow_the_statement(month, read_pages):
    month.bill(usage=[{"amount_cents": 1000}], free=3000)
    month.coupon("WELCOME", 1000, used=-1000).coupon("STARTUP", 2000)
    statement = read_pages(render_pdf(month.view()))[1]
    assert f"WELCOME No expiry €10.00 {MINUS}€10.00 €0.00 €0.00" in statement
    assert f"Total €30.00 {MINUS}€10.00 €0.00 €20.00" in statement


def test_a_name_that_is_markup_is_printed_as_it_is(month, read_pages, offline):
    names = [
        "<script>alert(1)</script>",
        '<img src="http://example.org/x.png">',
        '<link rel="attachment" href="file:///etc/hostname">',
        "{{ 7 * 7 }} {% raw %}",
        "\"><style>@import 'http://example.org/x.css'</style>",
        "</title></style></head><body>",
    ]
    usage = [{"resource_id": f"app_{number}", "resource_name": name} for number, name in enumerate(names)]
    labs = {"owner_id": "orga_2", "owner_name": names[1]}
    view = month.bill(usage=[*usage, labs], name=names[0], purchase_order=names[2]).coupon(names[3], 100).view()

    printed = "".join("".join(page.split()) for page in read_pages(render_pdf(view)))
    assert all("".join(name.split()) in printed for name in names)
    assert all(str(escape(name)) in render_html(view) for name in names)


def test_hostile_names_are_cut_and_keep_the_figures_on_their_pages(month, read_pages):
    names = {
        "long word": "W" * 20_000,
        "many words": "word " * 4_000,
        "combining": "a\u0301" * 3_000,
        "right to left": "שלום עולם " * 20,
        "han": "日本語の会社",
        "zero width": "\u200b" * 50_000 + "x",
        "emoji": "🏳️‍🌈" * 3,
    }
    usage = [{"resource_id": key, "resource_name": name, "amount_cents": 10000} for key, name in names.items()]
    view = month.bill(usage=usage, name=names["long word"], legal_name=names["combining"]).view()

    summary, _statement, details = read_pages(render_pdf(view))
    assert "Amount to pay €1,680.00" in summary
    assert details.count("€100.00") == len(names)


@pytest.mark.parametrize(
    "reference",
    [
        '<img src="http://example.org/x.png" alt="">',
        '<img src="file:///etc/hostname" alt="">',
        '<link rel="stylesheet" href="https://example.org/x.css">',
        '<link rel="attachment" href="file:///etc/hostname">',
        '<img src="data:image/png;base64,AAAA" alt="">',
        "<style>@font-face { font-family: x; src: url(http://example.org/x.ttf) }</style>",
    ],
)
def test_a_document_that_refers_to_anything_outside_is_refused(month, monkeypatch, offline, reference):
    view = month.bill(usage=[{}], name="What is stamped refers to nothing, this is laid out: 雲").view()
    monkeypatch.setattr(rendering, "_render_template", lambda _view, _stylesheet: f"<p>Invoice {reference}</p>")
    outcome = render_invoice(view)
    assert isinstance(outcome, DocumentFailure), outcome
    assert (outcome.payer_id, outcome.reason) == ("orga_1", "document_failed")
    assert "FatalURLFetchingError" in outcome.detail


def test_a_template_cannot_print_what_the_view_does_not_say(month):
    environment = typesetting.load_template().environment
    with pytest.raises(UndefinedError):
        environment.from_string("{{ invoice.amount_due }}").render(invoice=month.bill(usage=[{}]).view())


@pytest.mark.parametrize("name", ["Labs 日本", "Labs à Nantes"], ids=["laid_out", "stamped"])
def test_documents_depend_on_their_view_alone(month, tmp_path, name):
    """Warm or cold process, any hash seed, another document before or not: the same bytes."""
    labs = {"owner_id": "orga_2", "owner_name": name, "slug": "cellar.outbound"}
    view = month.bill(usage=[{}, labs], free=100).coupon("WELCOME", 100, used=-8).view()
    pickled = tmp_path / "view.pickle"
    pickled.write_bytes(pickle.dumps(view))

    render_pdf(month.__class__().bill("orga_9", usage=[{}]).view())
    warm = f"{sha256(render_pdf(view)).hexdigest()} {sha256(render_html(view).encode()).hexdigest()}"
    processes = [
        subprocess.Popen(
            [sys.executable, "-W", "ignore", "-c", _RENDER_PICKLED, str(pickled)],
            env=os.environ | {"PYTHONHASHSEED": seed, "TZ": "Pacific/Kiritimati", "LANG": "de_DE.UTF-8"},
            stdout=subprocess.PIPE,
            text=True,
        )
        for seed in ("1", "4711")
    ]
    cold = [process.communicate()[0].strip() for process in processes]
    assert cold == [warm, warm]


def test_latin_text_needs_no_font_of_the_machine(month):
    pdf = render_pdf(month.bill(usage=[{"resource_name": "Łódź, Αθήνα, Київ"}], name="Atelier Joli Cœur").view())
    fonts = _fonts(pdf)
    assert fonts
    assert all("Inter" in name for name in fonts)


def test_the_issue_date_is_the_only_date_of_a_pdf(month):
    def dates(view):
        document = pdfium.PdfDocument(render_pdf(view))
        metadata = document.get_metadata_dict()
        document.close()
        return metadata["CreationDate"], metadata["ModDate"]

    issued = month.bill(usage=[{}]).view()
    assert all(day.startswith("D:20261103") for day in dates(issued))
    draft = month.__class__().bill(usage=[{}], number=None, issued_on=None, due_on=None).view()
    assert dates(draft) == ("", "")


def test_nothing_of_the_stylesheet_is_unknown_to_the_typesetter(month, caplog):
    with caplog.at_level(logging.WARNING, logger="weasyprint"):
        typesetting.load_typesetter.cache_clear()
        lay_out_pdf(month.bill(usage=[{}]).view())
    assert caplog.messages == []


def test_the_page_for_screens_stands_alone(month):
    page = render_html(month.bill(usage=[{}]).view())
    assert page.startswith('<!doctype html>\n<html lang="en">')
    assert "@media screen" in page
    assert not re.search(r"""(src|href)=|url\(|@import""", page)


def test_all_documents_come_from_one_call(month):
    view = month.bill(usage=[{}]).view()
    outcome = render_invoice(view)
    assert isinstance(outcome, RenderedInvoice)
    assert outcome.pdf.startswith(b"%PDF-")
    assert outcome.html == render_html(view).encode()
    assert outcome.xml == write_cii(view.einvoice)


class _LibrariesMissing:
    """An import of WeasyPrint on a machine without Pango."""

    @staticmethod
    def find_spec(name, _path=None, _target=None):
        if name == "weasyprint":
            message = "cannot load library 'libpango-1.0-0'"
            raise OSError(message)


def test_missing_system_libraries_are_named_by_their_packages(month, monkeypatch):
    view = month.bill(usage=[{}]).view()
    typesetting.load_typesetter.cache_clear()
    monkeypatch.delitem(sys.modules, "weasyprint", raising=False)
    monkeypatch.setattr(sys, "meta_path", [_LibrariesMissing, *sys.meta_path])
    with pytest.raises(TypesettingLibrariesMissing, match=r"apt-get install .*libpango-1.0-0 libpangoft2-1.0-0"):
        render_invoice(view)


RULES = {
    "resource_name": None, "zone": "", "unit": "piece", "duration_s": None, "per_seconds": 1, "quantity": 1,
}  # fmt: skip


def test_rules_estimate_and_time_not_billed_are_on_paper(month, read_pages):
    discount = RULES | {
        "basis": "discount", "slug": "apps.s", "rule_kind": "discount", "rule_rate_ppm": 100_000, "resource_id": "r1",
        "amount_cents": -150, "description": "Framework agreement 2026",
    }  # fmt: skip
    commitment = RULES | {
        "basis": "true_up", "slug": "commitment", "rule_kind": "commitment", "rule_limit_cents": 5000,
        "resource_id": "r2", "amount_cents": 3650, "description": "Volume contract",
    }  # fmt: skip
    unusable = pl.DataFrame(
        {
            "payer_id": "orga_1", "owner_id": "orga_1", "resource_id": "app_1", "resource_name": "<b>front</b>",
            "slug": "apps.s", "zone": "par", "instance_id": "i-1", "reason": "Host failure",
            "started_at": [datetime(2026, 10, 5, 3, tzinfo=UTC)], "stopped_at": [datetime(2026, 10, 5, 4, tzinfo=UTC)],
        }
    )  # fmt: skip
    view = month.bill(usage=[{"amount_cents": 1500}, discount, commitment], prepaid=2000).view(unusable=unusable)

    first, credit, details = read_pages(render_pdf(view))
    assert f"Discount 10 % for apps.s Framework agreement 2026 {MINUS}€1.50" in first
    assert "Commitment €50.00 Volume contract €36.50" in first
    assert "Regularisation for over-consumption" in credit
    assert "f, the estimate: the fees that recur, €50.00." in credit
    assert "Commitments 1 item €36.50" in details
    annex = details[details.index("Time not billed") :]
    assert f"2026-10-05 03:00:00 {EN_DASH} 2026-10-05 04:00:00 Host failure 1h 00m 00s" in annex
    assert "<b>front</b>" in annex
    assert "Time not billed in all 1h 00m 00s" in annex

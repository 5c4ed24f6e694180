"""PDFs that archives keep, screen readers read aloud and bookkeeping programs take in."""

import re
import zlib
from dataclasses import replace
from datetime import UTC, date, datetime
from decimal import Decimal

import einvoice_rules
import pdf_rules
import polars as pl
import pytest

from billing_pipeline.documents import rendering
from billing_pipeline.documents.cii import write_cii
from billing_pipeline.documents.rendering import lay_out_pdf, render_invoice, render_pdf

HOUR = {"unit_price": Decimal("0.10"), "amount_cents": 10}
LABS = HOUR | {"owner_id": "orga_2", "owner_name": "Labs"}
DISCOUNT = HOUR | {
    "basis": "discount", "slug": "apps.s", "rule_kind": "discount", "rule_rate_ppm": 100_000, "resource_id": "r1",
    "resource_name": None, "zone": "", "unit": "piece", "duration_s": None, "per_seconds": 1, "quantity": -1,
    "unit_price": Decimal("0.01"), "amount_cents": -1, "description": "Framework agreement",
}  # fmt: skip
UNUSABLE = {
    "payer_id": "orga_1", "owner_id": "orga_1", "resource_id": "app_1", "resource_name": "front", "slug": "apps.s",
    "zone": "par", "instance_id": "i-1", "reason": "Host failure", "started_at": datetime(2026, 10, 5, 3, tzinfo=UTC),
    "stopped_at": datetime(2026, 10, 5, 4, tzinfo=UTC),
}  # fmt: skip

#: Invoices of a month, from the plainest to one with everything on it.
INVOICES = {
    "usage": {"usage": [HOUR]},
    "credits": {"usage": [HOUR, LABS, DISCOUNT], "free": 5, "prepaid": 3},
    "nothing": {"usage": []},
    "draft": {"usage": [HOUR], "number": None, "issued_on": None, "due_on": None},
    "issued again": {
        "usage": [HOUR], "replaces": "INV-2026-000001", "replaces_issued_on": date(2026, 10, 3), "decision": 4,
        "reason": "moved", "holder_id": "orga_1", "free_used_cents": 0, "prepaid_used_cents": 0, "refill_cents": 10,
    },
    "right-to-left name": {"usage": [HOUR | {"resource_name": "שלום עולם"}], "name": "شركة السحاب 2026 (Nuage)"},
    "unknown scripts": {"usage": [HOUR | {"resource_name": "🏳️‍🌈"}], "name": "日本語の会社"},
    "reverse charge": {
        "usage": [HOUR], "country": "DE", "vat_number": "DE136695976", "vat_ppm": 0, "vat_reason": "reverse_charge",
        "vat_scheme": "reverse_charge", "vat_category": "AE", "vat_exemption_code": "VATEX-EU-AE",
    },
    "outside the scope of VAT": {
        "usage": [HOUR], "country": "US", "vat_ppm": 0, "vat_reason": "outside_eu", "vat_scheme": "outside",
        "vat_category": "O",
    },
}  # fmt: skip


@pytest.fixture(params=INVOICES, ids=lambda name: name.replace(" ", "_"))
def view(request, month):
    month.bill(**INVOICES[request.param])
    if request.param == "credits":
        month.coupon("WELCOME", 5, used=-5)
    return month.view()


@pdf_rules.needs_validator
def test_every_invoice_may_be_archived_and_read_aloud(view):
    assert pdf_rules.faults_of(render_pdf(view)) == []


@pdf_rules.needs_validator
@pdf_rules.needs_qpdf
def test_an_invoice_of_many_lines_and_time_not_billed_may_be_archived(month, tmp_path):
    usage = [HOUR | {"resource_id": f"app_{number}", "resource_name": f"front {number}"} for number in range(150)]
    view = month.bill(usage=usage).view(unusable=pl.DataFrame([UNUSABLE]))
    file = tmp_path / "invoice.pdf"
    file.write_bytes(render_pdf(view))

    assert pdf_rules.faults_of(file.read_bytes()) == []
    assert pdf_rules.syntax_faults_of(file) == ""


#: What a template could forget, and the rule that notices.
FORGOTTEN = {
    "language": (r' lang="en"', "", "PDFUA1-LANGUAGE-TAG-001"),
    "title": (r"<title>[^<]*</title>\n", "", "PDFUA1-METADATA-TITLE-001"),
    "what a picture shows": (r"(<svg [^>]*>)<title>[^<]*</title>", r"\1", "PDFUA1-FIGURE-ALTERNATIVE-TEXT-001"),
    "a level of headings": (r"(</?h)2", r"\g<1>4", "PDFUA1-HEADING-NESTING-001"),
    "heads of rows": (r' scope="\w+"', "", "PDFUA1-TABLE-HEADERS-SCOPE-001"),
}


@pdf_rules.needs_validator
@pytest.mark.parametrize("forgotten", FORGOTTEN, ids=lambda name: name.replace(" ", "_"))
def test_the_rules_notice_what_a_template_forgets(month, monkeypatch, forgotten):
    pattern, replacement, rule = FORGOTTEN[forgotten]
    view = month.bill(usage=[HOUR], prepaid=100).view()
    page = rendering._render_template(view, "")
    assert re.search(pattern, page)
    monkeypatch.setattr(rendering, "_render_template", lambda *_: re.sub(pattern, replacement, page))

    faults = pdf_rules.faults_of(lay_out_pdf(view))

    assert {fault.split(":")[0] for fault in faults} == {rule}


@pdf_rules.needs_reader
def test_the_e_invoice_is_in_the_pdf_to_the_byte(month):
    rendered = render_invoice(month.bill(usage=[HOUR]).view())

    (embedded,) = pdf_rules.embedded_in(rendered.pdf)

    assert (embedded.name, embedded.alternative_name, embedded.subtype) == ("factur-x.xml", "factur-x.xml", "/text/xml")
    assert embedded.associated_file_relationship == "/Alternative"
    assert embedded.content == rendered.xml
    issued = datetime(2026, 11, 3, tzinfo=UTC)
    assert (embedded.creation_date, embedded.modification_date) == (issued, issued)
    assert pdf_rules.associated_files(rendered.pdf) == 1


@pdf_rules.needs_reader
def test_the_metadata_names_all_three_standards(month):
    said = pdf_rules.metadata_of(render_pdf(month.bill(usage=[HOUR]).view()))

    assert said == {
        "pdfa part": "3", "pdfa conformance": "A", "pdfua part": "1",
        "DocumentType": "INVOICE", "DocumentFileName": "factur-x.xml", "Version": "1.0", "ConformanceLevel": "EN 16931",
    }  # fmt: skip


@pdf_rules.needs_reader
@pytest.mark.parametrize("kind", ["draft", "outside the scope of VAT"], ids=["draft", "outside_the_scope_of_VAT"])
def test_what_is_no_factur_x_carries_no_e_invoice_and_does_not_say_so(month, kind):
    rendered = render_invoice(month.bill(**INVOICES[kind]).view())
    pdf = rendered.pdf

    assert (rendered.xml is None) == (kind == "draft")
    assert pdf_rules.embedded_in(pdf) == []
    assert pdf_rules.associated_files(pdf) == 0
    assert pdf_rules.metadata_of(pdf) == {"pdfa part": "3", "pdfa conformance": "A", "pdfua part": "1"}


@pytest.mark.skipif(not einvoice_rules.is_installed(), reason="a reader of e-invoices comes with the package factur-x")
def test_somebody_elses_reader_finds_the_totals_that_are_printed(month, read_pages):
    from facturx import get_facturx_xml_from_pdf

    pdf = render_pdf(month.bill(usage=[{"amount_cents": 68689}], prepaid=69135).view())
    name, xml = get_facturx_xml_from_pdf(pdf)
    read = einvoice_rules.read_back(xml)
    summary = read_pages(pdf)[0]

    assert name == "factur-x.xml"
    assert [read[term] for term in ("BT-109", "BT-110", "BT-115")] == ["682.43", "136.49", "818.92"]
    assert "Subtotal excluding tax €682.43" in summary
    assert "article 278 CGI €136.49 Amount to pay €818.92" in summary


def test_what_no_font_can_show_is_a_box_on_paper_and_itself_in_the_e_invoice(month, read_pages):
    rendered = render_invoice(month.bill(usage=[HOUR], name="A\ue000B \U0010fffd <c>").view())

    assert "A□B □ <c>" in read_pages(rendered.pdf)[0]
    assert "A\ue000B \U0010fffd &lt;c&gt;" in rendered.html.decode()
    assert "A\ue000B \U0010fffd &lt;c&gt;" in rendered.xml.decode()


@pdf_rules.needs_validator
@pdf_rules.needs_qpdf
@pytest.mark.parametrize(("make", "level"), [(render_pdf, 1), (lay_out_pdf, 9)], ids=["stamped", "laid_out"])
def test_a_stream_that_ends_in_a_carriage_return_is_as_long_as_it_says(month, tmp_path, make, level):
    """A compressed stream ends in its checksum, and one in 256 ends like that: one of so many e-invoices does."""
    view = month.bill(usage=[HOUR]).view()
    orders = (replace(view.einvoice, purchase_order="A" * length) for length in range(1, 1_000))
    ending = next(order for order in orders if zlib.compress(write_cii(order), level).endswith(b"\r"))
    pdf = make(replace(view, einvoice=ending))
    assert b"\r\r\nendstream" in pdf
    file = tmp_path / "invoice.pdf"
    file.write_bytes(pdf)

    assert pdf_rules.faults_of(pdf) == []
    assert pdf_rules.syntax_faults_of(file) == ""

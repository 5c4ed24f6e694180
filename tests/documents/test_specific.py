"""A document beside the monthly invoice on paper: one page with what was ordered, without a credit statement."""

from datetime import date

import pdf_rules
import pytest
from document_rows import SOLD_LINE, rows
from same_pages import require_the_same

from billing_pipeline.documents.building import build_specific_views
from billing_pipeline.documents.rendering import render_html, render_invoice, render_pdf
from billing_pipeline.documents.view import DocumentFailure
from billing_pipeline.rules.parties import Seller
from billing_pipeline.tables.invoices import SpecificDrafts, SpecificInvoices, SpecificLines

TOP_UP = {
    "payer_id": "acme", "kind": "credits", "reference": "shop/42", "performed_on": date(2026, 1, 12),
    "billing_month": "2026-01", "period_start": date(2026, 1, 1), "period_end": date(2026, 1, 31), "currency": "EUR",
    "fees_cents": 0, "used_credits_cents": 100_00, "subtotal_cents": 100_00, "vat_ppm": 200_000, "vat_reason": "home",
    "vat_scheme": "domestic", "vat_category": "S", "vat_note": "French VAT", "vat_cents": 20_00,
    "payable_cents": 120_00, "name": "Acme", "party_kind": "business", "address_line1": "1 rue", "postcode": "44000",
    "city": "Nantes", "country": "FR", "language": "en", "discount_ppm": 0,
}  # fmt: skip
ISSUED = TOP_UP | {
    "number": "INV-2026-000003", "issued_on": date(2026, 2, 3), "due_on": date(2026, 3, 5),
}  # fmt: skip


def view_of(document, table=SpecificInvoices, line=SOLD_LINE):
    seller = Seller(name="Cloud", address=("1 quai",), country="FR", iban="FR7630006000011234567890189")
    (view,) = build_specific_views(rows(table, document), rows(SpecificLines, line), seller)
    return view


def test_sold_credits_say_when_they_count_and_what_is_to_pay():
    view = view_of(ISSUED)
    facts = {fact.label: fact.value for fact in view.facts}
    assert (view.heading, facts["Date of service"], facts["Your order"]) == ("Invoice", "2026-01-12", "shop/42")
    sold = view.totals[0]
    assert (sold.label, sold.note, sold.amount) == (
        "Prepaid credits", "Added to your balance once this invoice is paid", "€100.00",
    )  # fmt: skip
    assert (view.panel.amount, view.panel.message) == ("€120.00", "Due on 2026-03-05")


def test_a_french_document_names_the_day_of_the_service():
    view = view_of(ISSUED | {"language": "fr"})
    facts = {fact.label: fact.value for fact in view.facts}
    assert (view.heading, facts["Prestation du"], facts["Votre référence"]) == ("Facture", "12/01/2026", "shop/42")
    assert (view.totals[0].label, view.running_title) == ("Crédits prépayés", "Facture INV-2026-000003 · 12/01/2026")


def test_a_draft_is_marked_and_names_no_number():
    view = view_of(TOP_UP, SpecificDrafts)
    assert (view.is_draft, view.heading, view.panel.bank) == (True, "Draft invoice", ())


def test_a_service_has_fees():
    service = ISSUED | {"kind": "invoice", "fees_cents": 100_00, "used_credits_cents": 0}
    view = view_of(service, line=SOLD_LINE | {"kind": "invoice", "slug": "one_shot"})
    assert view.totals[0].label == "Total fees"


def test_it_is_one_page_without_a_credit_statement(read_pages):
    view = view_of(ISSUED)
    (page,) = read_pages(render_pdf(view))
    assert "Prepaid card" in page
    assert "Credit statement" not in render_html(view)


@pytest.mark.parametrize("amount", [1, 100_01])
def test_a_line_that_is_not_what_is_asked_for_is_not_printed(amount):
    assert isinstance(view_of(ISSUED, line=SOLD_LINE | {"amount_cents": amount}), DocumentFailure)


@pdf_rules.needs_validator
@pdf_rules.needs_reader
@pytest.mark.parametrize("kind", ["credits", "invoice"])
def test_it_may_be_archived_and_carries_its_e_invoice(kind):
    figures = {"fees_cents": 100_00, "used_credits_cents": 0} if kind == "invoice" else {}
    view = view_of(ISSUED | {"kind": kind} | figures, line=SOLD_LINE | {"kind": kind})
    rendered = render_invoice(view)

    assert pdf_rules.faults_of(rendered.pdf) == []
    assert [file.content for file in pdf_rules.embedded_in(rendered.pdf)] == [rendered.xml]
    require_the_same(rendered.pdf, view)


@pdf_rules.needs_validator
def test_its_draft_may_be_archived():
    assert pdf_rules.faults_of(render_pdf(view_of(TOP_UP, SpecificDrafts))) == []

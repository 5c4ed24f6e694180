"""A credit note on paper: positive amounts, what it corrects, what is given back, each line with its real period."""

from datetime import date

import pdf_rules
import pytest
from document_rows import CREDITED_LINE, rows
from same_pages import require_the_same

from billing_pipeline.documents.building import build_credit_note_views
from billing_pipeline.documents.rendering import render_html, render_invoice, render_pdf
from billing_pipeline.documents.view import DocumentFailure
from billing_pipeline.rules.parties import Seller
from billing_pipeline.tables.corrections import CreditNoteLines, IssuedCreditNotes

NOTE = {
    "payer_id": "acme", "kind": "credit_note", "number": "CN-2026-000001", "billing_month": "2026-03",
    "period_start": date(2026, 1, 1), "period_end": date(2026, 1, 31), "issued_on": date(2026, 4, 3),
    "due_on": date(2026, 4, 3), "refers_to": "INV-2026-000007", "refers_to_issued_on": date(2026, 2, 3),
    "holder_id": "acme", "currency": "EUR", "fees_cents": 45_00, "used_credits_cents": -9_00, "subtotal_cents": 36_00,
    "prepaid_given_back_cents": 5_00, "free_given_back_cents": 4_00, "refill_cancelled_cents": 0,
    "prepaid_refunded_cents": 0, "vat_ppm": 200_000, "vat_reason": "home",
    "vat_scheme": "domestic", "vat_category": "S", "vat_note": "French VAT",
    "vat_cents": 7_20, "payable_cents": 43_20, "name": "Acme", "party_kind": "business", "address_line1": "1 rue",
    "postcode": "44000", "city": "Nantes", "country": "FR", "language": "en", "discount_ppm": 0, "basis_hash": "x",
}  # fmt: skip


def views(note=NOTE, line=CREDITED_LINE):
    seller = Seller(name="Cloud", address=("1 quai",), country="FR")
    return list(build_credit_note_views(rows(IssuedCreditNotes, note), rows(CreditNoteLines, line), seller))


def test_it_says_what_it_corrects_and_what_is_given_back():
    (view,) = views()

    facts = {fact.label: fact.value for fact in view.facts}
    assert view.heading == "Credit note"
    assert (facts["Corrects"], facts["Issued"]) == ("INV-2026-000007 of 2026-02-03", "2026-04-03")
    assert {row.label: row.amount for row in view.totals} == {
        "Fees credited": "€45.00",
        "Prepaid credits given back": "−€5.00",
        "Free credits given back": "−€4.00",
        "Subtotal excluding tax": "€36.00",
        "VAT 20 %": "€7.20",
    }
    assert (view.amount_label, view.panel.amount) == ("Amount in your favour", "€43.20")


def test_a_french_credit_note_is_an_avoir_over_positive_amounts():
    (view,) = views(NOTE | {"language": "fr", "vat_note": "TVA française"})

    facts = {fact.label: fact.value for fact in view.facts}
    assert (view.language, view.heading, facts["Corrige"]) == ("fr", "Avoir", "INV-2026-000007 du 03/02/2026")
    assert "rectifie la facture INV-2026-000007 du 3 février 2026" in view.terms
    assert {row.label: row.amount.replace("\N{NO-BREAK SPACE}", " ") for row in view.totals} == {
        "Consommation créditée": "45,00 €",
        "Crédits prépayés rendus": "−5,00 €",
        "Crédits gratuits rendus": "−4,00 €",
        "Total HT": "36,00 €",
        "TVA 20\N{NO-BREAK SPACE}%": "7,20 €",
    }
    (line,) = view.details[0].services[0].lines
    assert line.origin.replace("\N{NO-BREAK SPACE}", " ") == (
        "Correction (janvier 2026), consommation retirée : 60,00 € facturés, 15,00 € à présent"
    )


def test_its_lines_name_the_month_the_cause_and_both_figures():
    (view,) = views()

    (line,) = view.details[0].services[0].lines
    assert line.amount == "€45.00"
    assert line.origin == "Correction of 2026-01, usage that was withdrawn: €60.00 billed, €15.00 now"


def test_the_paper_has_no_credit_statement(read_pages):
    (view,) = views()

    html, pages = render_html(view), read_pages(render_pdf(view))

    assert "Credit statement" not in html
    assert "CN-2026-000001" in pages[0]
    assert "Amount in your favour" in pages[0]
    assert "€45.00" in pages[1]


def test_a_cancellation_says_so_and_credits_the_refill():
    amounts = {"used_credits_cents": 11_00, "refill_cancelled_cents": 15_00, "prepaid_refunded_cents": 5_00}
    amounts |= {"subtotal_cents": 56_00, "vat_cents": 11_20, "payable_cents": 67_20}
    (view,) = views(
        NOTE | amounts | {"decision": 9}, CREDITED_LINE | {"correction_cause": "cancelled", "rated_cents": 0}
    )

    assert "cancels invoice INV-2026-000007 of 2026-02-03" in view.terms
    told = {row.label: row.amount for row in view.totals}
    assert told["Prepaid credits that need not be paid any more"] == "€15.00"
    assert told["Prepaid credits refunded"] == "€5.00"
    (line,) = view.details[0].services[0].lines
    assert line.origin == "Correction of 2026-01, cancelled: €60.00 billed, €0.00 now"


def test_an_invoice_that_is_issued_again_is_taken_back_and_credits_are_not_given_back():
    amounts = {"used_credits_cents": 6_00, "refill_cancelled_cents": 15_00, "subtotal_cents": 51_00}
    amounts |= {"vat_cents": 10_20, "payable_cents": 61_20, "decision": 9, "reissue_reason": "moved to Ghent"}
    (view,) = views(NOTE | amounts, CREDITED_LINE | {"correction_cause": "cancelled", "rated_cents": 0})

    assert "takes back invoice INV-2026-000007 of 2026-02-03, which is issued again: moved to Ghent." in view.terms
    assert {row.label: row.amount for row in view.totals if row.label.startswith(("Prepaid", "Free"))} == {
        "Prepaid credits that had paid it": "−€5.00",
        "Free credits that had paid it": "−€4.00",
        "Prepaid credits that the new invoice asks for": "€15.00",
    }


@pytest.mark.parametrize("amount", [1, 45_01])
def test_lines_that_do_not_add_up_to_what_is_credited_are_not_printed(amount):
    (failure,) = views(line=CREDITED_LINE | {"amount_cents": amount})

    assert isinstance(failure, DocumentFailure)


@pdf_rules.needs_validator
@pdf_rules.needs_reader
def test_it_may_be_archived_and_carries_its_e_invoice():
    (view,) = views()
    rendered = render_invoice(view)

    assert pdf_rules.faults_of(rendered.pdf) == []
    assert [file.content for file in pdf_rules.embedded_in(rendered.pdf)] == [rendered.xml]
    require_the_same(rendered.pdf, view)

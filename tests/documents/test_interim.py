"""An interim invoice on paper: the fees of the month to date, what they lack, and the lines behind them."""

from datetime import date
from decimal import Decimal

import pdf_rules
from document_rows import rows
from same_pages import require_the_same

from billing_pipeline.documents.building import build_interim_views
from billing_pipeline.documents.rendering import render_html, render_invoice
from billing_pipeline.documents.view import DocumentFailure
from billing_pipeline.rules.parties import Seller
from billing_pipeline.tables.interim import InterimInvoices, InterimLines

SELLER = Seller(name="Cloud", address=("1 quai",), country="FR", iban="FR7630006000011234567890189")
INTERIM = {
    "payer_id": "acme", "kind": "interim", "reference": "2026-10-05..2026-10-11", "billing_month": "2026-10",
    "period_start": date(2026, 10, 5), "period_end": date(2026, 10, 11), "currency": "EUR", "fees_cents": 0,
    "used_credits_cents": 16_80, "subtotal_cents": 16_80, "vat_ppm": 200_000, "vat_reason": "home",
    "vat_scheme": "domestic", "vat_category": "S", "vat_note": "French VAT", "vat_cents": 3_36,
    "payable_cents": 20_16, "name": "Acme", "party_kind": "business", "address_line1": "1 rue", "postcode": "44000",
    "city": "Nantes", "country": "FR", "language": "en", "discount_ppm": 0, "fees_to_date_cents": 43_20,
    "free_used_cents": -5_00, "prepaid_used_cents": 0, "earlier_cents": -21_40, "pending_cents": 0,
    "number": "INV-2026-000005", "issued_on": date(2026, 10, 12), "due_on": date(2026, 10, 26),
}  # fmt: skip
LINE = {
    "line_id": "0" * 32, "payer_id": "acme", "line_number": 1, "owner_id": "acme", "owner_name": "Acme",
    "resource_id": "app_1", "resource_name": "Shop", "resources": 1, "slug": "apps.s", "zone": "par",
    "price_factor_ppm": 10**6, "origin_month": "2026-10", "basis": "runtime", "quantity": 1_728_000, "unit": "s",
    "duration_s": 1_728_000, "unit_price": Decimal("0.10"), "per_quantity": 1, "per_seconds": 3600,
    "line_discount_ppm": 0, "amount_cents": 48_00, "currency": "EUR", "kind": "interim",
    "reference": "2026-10-05..2026-10-11",
}  # fmt: skip
DISCOUNT = LINE | {
    "line_id": "1" * 32, "line_number": 2, "resource_id": "rule_1", "resource_name": None, "basis": "discount",
    "rule_kind": "discount", "rule_rate_ppm": 100_000, "quantity": -1, "unit": "piece", "duration_s": None,
    "unit_price": Decimal("4.80"), "amount_cents": -4_80,
}  # fmt: skip


def view_of(*lines, **changes):
    (view,) = build_interim_views(rows(InterimInvoices, INTERIM | changes), rows(InterimLines, *lines), SELLER)
    return view


def test_it_says_what_the_month_to_date_lacks():
    view = view_of(LINE, DISCOUNT)
    assert [(total.label, total.amount) for total in view.totals] == [
        ("Fees for the period", "€48.00"),
        ("Discount 10 % for apps.s", "−€4.80"),
        ("Fees of the month to date", "€43.20"),
        ("Free credits", "−€5.00"),
        ("Earlier interim invoices of the month", "−€21.40"),
        ("Subtotal excluding tax", "€16.80"),
        ("VAT 20 %", "€3.36"),
    ]
    assert "2026-10-01 – 2026-10-11" in view.totals[0].note
    assert (view.heading, view.panel.amount, view.panel.message) == ("Interim invoice", "€20.16", "Due on 2026-10-26")


def test_a_french_interim_invoice_is_a_facture_d_acompte():
    view = view_of(LINE, DISCOUNT, language="fr")

    assert (view.heading, view.panel.message) == ("Facture d’acompte", "À payer au plus tard le 26 octobre 2026")
    assert [(total.label, total.amount) for total in view.totals][1:3] == [
        ("Remise de 10\N{NO-BREAK SPACE}% pour apps.s", "−4,80\N{NO-BREAK SPACE}€"),
        ("Consommation du mois à ce jour", "43,20\N{NO-BREAK SPACE}€"),
    ]


def test_its_lines_are_those_of_the_month_to_date():
    view = view_of(LINE, DISCOUNT)
    (owner,) = view.details
    assert [line.name for service in owner.services for line in service.lines] == ["Shop"]
    assert (view.details_total.label, view.details_total.value) == ("Total fees before discount", "€48.00")
    assert "Credit statement" not in render_html(view)


def test_lines_that_do_not_add_up_to_its_fees_are_not_printed():
    assert isinstance(view_of(LINE), DocumentFailure)


@pdf_rules.needs_validator
@pdf_rules.needs_reader
def test_it_may_be_archived_and_carries_its_e_invoice():
    view = view_of(LINE, DISCOUNT)
    rendered = render_invoice(view)

    assert pdf_rules.faults_of(rendered.pdf) == []
    assert [file.content for file in pdf_rules.embedded_in(rendered.pdf)] == [rendered.xml]
    require_the_same(rendered.pdf, view)

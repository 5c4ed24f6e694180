"""A month of invoices built row by row, so that a test names only what it is about; and a reader of PDFs."""

import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256
from pathlib import Path
from zoneinfo import ZoneInfo

import pypdfium2 as pdfium
import pytest

sys.path.insert(0, str(Path(__file__).parents[1]))
sys.path.insert(0, str(Path(__file__).parent))

from document_rows import rows

from billing_pipeline.documents.building import build_views
from billing_pipeline.documents.view import DocumentFailure, InvoiceView
from billing_pipeline.rules.parties import Seller
from billing_pipeline.tables.credits import CreditLots, CreditStatements
from billing_pipeline.tables.invoices import Drafts, InvoiceLines, ReissuedInvoices

SELLER = Seller(
    name="Nimbus Cloud SAS",
    address=("3 allée de l'Île", "44000 Nantes"),
    country="FR",
    vat_number="FR40303265045",
    legal_id="303265045",
    legal_mention="SAS with a capital of €100,000 · RCS Nantes 303 265 045",
    email="billing@nimbus.example",
    iban="FR7630006000011234567890189",
    bic="AGRIFRPP",
)

_USAGE = {
    "resource_id": "app_1", "resource_name": "front", "slug": "apps.s", "zone": "par", "price_factor_ppm": 10**6,
    "origin_month": "2026-10", "basis": "runtime", "quantity": Decimal(3600), "unit": "s", "duration_s": 3600,
    "unit_price": Decimal("0.04444444444444444444"), "per_quantity": 1, "per_seconds": 3600,
    "line_discount_ppm": 0, "amount_cents": 4,
}  # fmt: skip
_PARTY = {
    "name": "Atelier", "party_kind": "business", "address_line1": "1 rue du Port", "postcode": "44000",
    "city": "Nantes", "country": "FR", "language": "en", "discount_ppm": 0, "basis_hash": "0",
}  # fmt: skip


class InvoiceMonth:
    """Invoices of October 2026; figures that a test leaves out follow from the lines and the credits it gives."""

    def __init__(self) -> None:
        self.drafts, self.lines, self.statements, self.lots = [], [], [], []

    def bill(self, payer_id="orga_1", *, usage=(), free=0, prepaid=0, expired=0, pending=0, custom=None, **draft):
        """One payer: `usage` rows, credits a and b, what of a expires (d), what is pending (g), a negotiated h."""
        lines = [_USAGE | {"owner_id": payer_id, "owner_name": "Atelier"} | row for row in usage]
        currency = draft.setdefault("currency", "EUR")
        fees = sum(row["amount_cents"] for row in lines)
        free_used = min(free, fees)
        prepaid_used = min(prepaid, fees - free_used)
        left = free + prepaid - free_used - prepaid_used - expired
        refill = max(0, fees - left - pending) if custom is None else custom
        change = left + refill - free - prepaid
        for number, row in enumerate(lines, 1):
            line_id = sha256(f"{payer_id}/{number}".encode()).hexdigest()[:32]
            self.lines.append(
                {"line_id": line_id, "line_number": number, "payer_id": payer_id, "currency": currency} | row
            )
        self.statements.append({
            "payer_id": payer_id, "currency": currency, "fees_cents": fees, "free_before_cents": free,
            "prepaid_before_cents": prepaid, "balance_before_cents": free + prepaid, "free_used_cents": -free_used,
            "free_expired_cents": -expired, "prepaid_used_cents": -prepaid_used, "forecast_cents": -fees,
            "pending_cents": pending, "refill_cents": refill, "is_custom_refill": custom is not None,
            "estimate_basis": "same_as_last_month", "recurring_cents": fees, "is_due": True,
            "billed_months_before": 0,
            "balance_after_cents": left + refill, "change_cents": change,
        })  # fmt: skip
        subtotal = fees + change + expired
        vat_ppm = draft.setdefault("vat_ppm", 200_000)
        vat = (2 * subtotal * vat_ppm + 10**6) // (2 * 10**6)
        self.drafts.append(_PARTY | {
            "payer_id": payer_id, "kind": "invoice", "number": "INV-2026-000007", "billing_month": "2026-10",
            "period_start": date(2026, 10, 1), "period_end": date(2026, 10, 31), "issued_on": date(2026, 11, 3),
            "due_on": date(2026, 12, 3), "fees_cents": fees, "used_credits_cents": change + expired,
            "subtotal_cents": subtotal, "vat_reason": "home", "vat_scheme": "domestic", "vat_category": "S",
            "vat_note": "French VAT, standard rate — article 278 CGI",
            "vat_cents": vat, "payable_cents": subtotal + vat,
        } | draft)  # fmt: skip
        return self

    def coupon(self, name, left_before, used=0, expired=0, payer_id="orga_1", **row):
        """One free lot; uses and expiry are negative."""
        self.lots.append({
            "payer_id": payer_id, "grant_id": name, "name": name, "priority": 0,
            "starts_at": datetime(2026, 1, 1, tzinfo=UTC), "expires_at": None, "granted_cents": left_before,
            "left_before_cents": left_before, "used_cents": used, "expired_cents": expired,
            "left_after_cents": left_before + used + expired,
        } | row)  # fmt: skip
        return self

    def views(self, seller=SELLER, zone=ZoneInfo("UTC"), **how) -> list[InvoiceView | DocumentFailure]:  # noqa: B008
        frames = (
            rows(ReissuedInvoices if "replaces" in self.drafts[0] else Drafts, *self.drafts),
            rows(InvoiceLines, *self.lines),
            rows(CreditStatements, *self.statements),
            rows(CreditLots, *self.lots),
        )
        return list(build_views(*frames, seller, zone, **how))

    def view(self, **how) -> InvoiceView:
        (view,) = self.views(**how)
        assert isinstance(view, InvoiceView), view
        return view


@pytest.fixture
def month() -> InvoiceMonth:
    return InvoiceMonth()


@pytest.fixture
def read_pages() -> Callable[[bytes], list[str]]:
    """The text of each page, with single spaces."""

    def read(pdf: bytes) -> list[str]:
        document = pdfium.PdfDocument(pdf)
        pages = []
        for page in document:
            text_page = page.get_textpage()
            pages.append(" ".join(text_page.get_text_range().split()))
            text_page.close()
            page.close()
        document.close()
        return pages

    return read

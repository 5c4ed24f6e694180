"""Whatever a month prints: each document is stamped, and its pages are those that WeasyPrint sets."""

import sys
from pathlib import Path

import pytest
from provider_home import ProviderHome

from billing_pipeline.defs import documents
from billing_pipeline.documents.rendering import RenderedInvoice, render_invoice
from billing_pipeline.documents.view import InvoiceView
from billing_pipeline.rules.period import Month
from billing_pipeline.sample.provider import write_sample

sys.path.insert(0, str(Path(__file__).parents[1] / "documents"))

from same_pages import require_the_same


def require_all_stamped(home: ProviderHome, month: Month) -> set[str]:
    """The languages of the documents that were compared."""
    read, invoices = documents._invoices(home.billing, month)
    languages = set()
    for view in documents._views(home.billing, month, read, invoices):
        assert isinstance(view, InvoiceView)
        outcome = render_invoice(view)
        assert isinstance(outcome, RenderedInvoice)
        assert outcome.misfit == ""
        require_the_same(outcome.pdf, view)
        languages.add(view.language)
    return languages


def test_every_document_of_the_sample_is_stamped(sample):
    assert require_all_stamped(sample, Month(2026, 1)) == {"en", "fr"}


@pytest.mark.slow
def test_every_invoice_of_a_larger_sample_is_stamped(new_home):
    home = new_home("many")
    write_sample(home.folder / "landing", organisations=60, first=Month(2026, 1), months=2)
    home.bill("2026-01..2026-02")

    assert [require_all_stamped(home, Month(2026, number)) for number in (1, 2)] == [{"en", "fr"}] * 2

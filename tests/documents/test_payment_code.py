"""The QR code of the panel: what a reader that is not ours takes off the printed page is the transfer that is due."""

from importlib.util import find_spec

import pypdfium2
import pytest

from billing_pipeline.documents.payment_code import read_by_banks
from billing_pipeline.documents.rendering import render_html, render_pdf

DUE = {"name": "Nimbus Cloud SAS", "iban": "FR76 3000 6000 0112 3456 7890 189", "bic": "AGRIFRPP", "cents": 4409_53,
       "currency": "EUR", "reference": "INV-2026-000007"}  # fmt: skip


def said(**changes):
    return read_by_banks(**DUE | changes).split("\n")


def test_it_says_the_transfer_as_the_standard_has_it():
    assert said() == [
        "BCD", "002", "1", "SCT", "AGRIFRPP", "Nimbus Cloud SAS", "FR7630006000011234567890189", "EUR4409.53",
        "", "", "INV-2026-000007",
    ]  # fmt: skip
    assert said(cents=7)[7] == "EUR0.07"
    assert said(name="N" * 99)[5] == "N" * 70


@pytest.mark.parametrize(
    "lacking",
    [{"currency": "CHF"}, {"cents": 0}, {"iban": ""}, {"cents": 1_000_000_000_00}, {"reference": "R" * 141}],
)
def test_there_is_none_where_no_such_transfer_is_possible(lacking):
    assert said(**lacking) == [""]


@pytest.mark.parametrize(
    "changes",
    [{"number": None, "issued_on": None, "due_on": None}, {"currency": "USD"}],
    ids=["a draft", "dollars"],
)
def test_no_code_is_printed_where_nothing_is_to_be_transferred_in_euros(month, changes):
    assert month.bill(usage=[{"amount_cents": 10_00}], **changes).view().panel.code is None


def test_the_page_for_screens_has_the_code_too(month):
    view = month.bill(usage=[{"amount_cents": 10_00}]).view()

    assert view.panel.code in render_html(view)


@pytest.mark.skipif(not find_spec("zxingcpp"), reason="codes are read by the package zxing-cpp")
def test_what_is_read_off_the_page_is_the_amount_the_account_and_the_number(month):
    import zxingcpp

    view = month.bill(usage=[{"amount_cents": 123_45}]).view()
    document = pypdfium2.PdfDocument(render_pdf(view))
    page = document[0].render(scale=3).to_pil()
    document.close()

    (code,) = zxingcpp.read_barcodes(page)

    assert code.format == zxingcpp.BarcodeFormat.QRCode
    _, _, _, _, bic, name, iban, amount, _, _, reference = code.text.split("\n")
    assert (bic, name, iban, reference) == (
        "AGRIFRPP", "Nimbus Cloud SAS", "FR7630006000011234567890189", view.number,
    )  # fmt: skip
    (draft,) = month.drafts
    assert amount == f"EUR{draft['payable_cents'] // 100}.{draft['payable_cents'] % 100:02d}"

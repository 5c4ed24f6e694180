"""Fourteen documents as they were printed once: whoever changes a word or a figure of one sees it in a difference.

What each must ask for is worked out by hand in `DOCUMENTS`, so that no file can keep an error. After a change that is
meant, `pytest tests/month/test_golden_invoices.py --renew-golden` writes the files anew; read what differs.

A file holds the checksum of the HTML and the text of the PDF. The PDF's own checksum is not kept: its glyphs are placed
by the machine's text libraries.
"""

import csv
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from decimal import Decimal
from hashlib import sha256
from io import StringIO
from pathlib import Path

import einvoice_rules
import pdf_rules
import pypdfium2
import pytest
from provider_home import ProviderHome, Row, at, grant, hourly, one_shot, organisation, ran
from stdnum import luhn

from billing_pipeline.documents.many_lines import LINES_ON_PAPER_MAX
from billing_pipeline.rules.period import Month

GOLDEN = Path(__file__).parents[1] / "documents" / "golden"
JANUARY, FEBRUARY = "2026-01", "2026-02"
FIRST, END, KNOWN = at("2026-01-01"), at("2026-02-01"), at("2026-02-10")
#: Of longer documents, the pages between the first and the last one are kept as a checksum of their words.
WHOLE_PAGES = 6


@dataclass(frozen=True)
class Document:
    """A document and what is due on it, in cents: subtotal = fees + paid by credits + refill, and VAT on that."""

    name: str
    payer_id: str
    fees: int
    paid_by_credits: int
    refill: int
    vat: int
    month: str = JANUARY
    kind: str = "invoice"
    language: str = "en"

    @property
    def subtotal(self) -> int:
        return self.fees + self.paid_by_credits + self.refill

    @property
    def payable(self) -> int:
        return self.subtotal + self.vat

    @property
    def printed_payable(self) -> str:
        """What it asks for or gives back, as its language says it."""
        major, minor = divmod(self.payable, 100)
        is_note = self.kind == "credit_note"
        if self.language == "fr":
            return f"{'Net en votre faveur' if is_note else 'Net à payer'} {major},{minor:02d} €"
        return f"{'Amount in your favour' if is_note else 'Amount to pay'} €{major}.{minor:02d}"


# An application costs 0.10 an hour: 74.40 for the 744 hours of January, 67.20 for the 672 of February. Nobody has
# prepaid credits, so the refill h = max(0, -(A + c + d + e + f + g)), in which f = -fees, is as much as the fees. VAT
# is 20 % of the subtotal.
DOCUMENTS = (
    # 744 hours at 0.00: nothing is used up, and nothing is provided.
    Document("zero_total", "zero", fees=0, paid_by_credits=0, refill=0, vat=0),
    # A coupon of 1,000.00 pays January, and what is left of it pays for February.
    Document("all_credits", "gifted", fees=74_40, paid_by_credits=-74_40, refill=0, vat=0),
    # February's 67.20 and 10 hours of January that were told late. January's refill of 74.40 is still awaited (g) and
    # covers the next month's 67.20; the correction is not expected again.
    Document("correction", "corrected", fees=68_20, paid_by_credits=0, refill=0, vat=13_64, month=FEBRUARY),
    # 240 hours and a service of 20.00 were withdrawn after January was issued; who closed is billed no more.
    Document("credit_note", "withdrawn", fees=44_00, paid_by_credits=0, refill=0, vat=8_80, month=FEBRUARY,
             kind="credit_note"),
    # A German business with a valid number pays the tax itself.
    Document("reverse_charge", "berlin", fees=74_40, paid_by_credits=0, refill=74_40, vat=0),
    # 21 % of 148.80 is 31.248.
    Document("one_stop_shop", "bucharest", fees=74_40, paid_by_credits=0, refill=74_40, vat=31_25),
    # 744 hours of its own and 24 of its sub-organisation.
    Document("sub_organisations", "group", fees=76_80, paid_by_credits=0, refill=76_80, vat=30_72),
    # 50.00 was agreed instead of 74.40.
    Document("custom_refill", "agreed", fees=74_40, paid_by_credits=0, refill=50_00, vat=24_88),
    # 240 hours until 10 January, of which a coupon pays 10.00; nothing is provided any more.
    Document("closed_organisation", "closing", fees=24_00, paid_by_credits=-10_00, refill=0, vat=2_80),
    Document("right_to_left_name", "sahab", fees=74_40, paid_by_credits=0, refill=74_40, vat=29_76),
    # 1,000 applications ran for an hour each.
    Document("thousand_lines", "thousand", fees=100_00, paid_by_credits=0, refill=100_00, vat=40_00),
    # 288 hours from 20 January on.
    Document("first_month", "newcomer", fees=28_80, paid_by_credits=0, refill=28_80, vat=11_52),
    # In French: 744 hours of its own, of which a coupon pays 10.00, and 24 of its sub-organisation.
    Document("french", "zola", fees=76_80, paid_by_credits=-10_00, refill=76_80, vat=28_72, language="fr"),
    # In French: as the other credit note.
    Document("french_credit_note", "zweig", fees=44_00, paid_by_credits=0, refill=0, vat=8_80, month=FEBRUARY,
             kind="credit_note", language="fr"),
)  # fmt: skip


@pytest.fixture(scope="module")
def home(new_home: Callable[..., ProviderHome]) -> ProviderHome:
    """January issued, then corrected, February issued; the documents of both."""
    home = new_home("golden")
    home.settings = {
        "BILLING_SELLER__NAME": "Nimbus Cloud SAS",
        "BILLING_SELLER__ADDRESS": '["3 allée de l\'Île", "44000 Nantes"]',
        "BILLING_SELLER__VAT_NUMBER": "FR40303265045",
        "BILLING_SELLER__LEGAL_ID": "303265045",
        "BILLING_SELLER__IBAN": "FR7630006000011234567890189",
        "BILLING_SELLER__BIC": "AGRIFRPP",
    }
    land_organisations(home)
    land_usage(home)
    home.number(JANUARY)
    home.run("correct_month", JANUARY, as_of=at("2026-02-11"))
    approved = home.command("correct", JANUARY, "--approve", "--author", "Ann")
    assert approved.exit_code == 0, approved.output
    home.number(FEBRUARY)
    for month in (JANUARY, FEBRUARY):
        home.print(month)
    return home


def business(owner_id: str, **columns: object) -> Row:
    """A French business in the French register, where no number begins with a zero in truth."""
    digits = f"09{sum(owner_id.encode()):06d}"
    siren = digits + luhn.calc_check_digit(digits)
    key = (12 + 3 * (int(siren) % 97)) % 97
    return organisation(owner_id, legal_id=siren, vat_number=f"FR{key:02d}{siren}", **columns)


def land_organisations(home: ProviderHome) -> None:
    home.land(
        "organisations",
        *(business(owner) for owner in ("agreed", "corrected", "gifted", "group", "thousand", "zero", "zoo")),
        organisation("lab", payer_id="group", name="Lab of Group"),
        organisation("berlin", country="DE", postcode="10115", city="Berlin", vat_number="DE136695976"),
        organisation("bucharest", country="RO", postcode="010011", city="București", kind="consumer"),
        business("closing", closed_on=at("2026-01-10").date()),
        business("newcomer", opened_on=at("2026-01-20").date(), valid_from=at("2026-01-20")),
        business("sahab", name="شركة السحاب 2026 (Nuage)"),
        business("withdrawn", closed_on=at("2026-01-31").date()),
        business("zola", language="fr", name="Éditions Zola"),
        organisation("assommoir", payer_id="zola", name="L'Assommoir"),
        business("zweig", language="fr", closed_on=at("2026-01-31").date()),
    )
    home.land("price_tiers", hourly("apps.s", "0.10"), hourly("gift.s", "0"))
    home.land(
        "credit_grants",
        grant("gifted", "WELCOME", "1000.00"),
        grant("closing", "FAREWELL", "10.00"),
        grant("zola", "BIENVENUE", "10.00"),
    )
    agreed = {
        "owner_id": "agreed",
        "billing_month": JANUARY,
        "amount": "50.00",
        "author": "Sales",
        "reason": "As agreed",
    }
    home.land("refill_agreements", agreed)


def land_usage(home: ProviderHome) -> None:
    hour = at("2026-01-07T09:00"), at("2026-01-07T10:00")
    names = [f"job-{number:04d}" for number in range(1_000)]
    animals = [f"animal-{number:05d}" for number in range(LINES_ON_PAPER_MAX + 1)]
    withdrawn = [
        (feed, row)
        for owner in ("withdrawn", "zweig")
        for feed, row in (
            ("runtime_intervals", ran(owner, "apps.s", at("2026-01-05"), at("2026-01-15"), event_id=f"{owner}-run")),
            ("one_shots", one_shot(owner, "Migration", "20.00", at("2026-01-20"), event_id=f"{owner}-help")),
        )
    ]
    home.land(
        "runtime_intervals",
        *(ran(owner, "apps.s", FIRST, END) for owner in ("agreed", "berlin", "bucharest", "gifted", "group", "sahab")),
        ran("corrected", "apps.s", FIRST, None),
        ran("corrected", "apps.s", at("2026-01-05"), at("2026-01-05T10:00"), instance_id="late", ingested_at=KNOWN),
        ran("lab", "apps.s", at("2026-01-05"), at("2026-01-06")),
        # Its run was never told to have stopped: closing ends it.
        ran("closing", "apps.s", FIRST, None),
        ran("newcomer", "apps.s", at("2026-01-20"), END),
        ran("zero", "gift.s", FIRST, END),
        ran("zola", "apps.s", FIRST, END),
        ran("assommoir", "apps.s", at("2026-01-05"), at("2026-01-06")),
        *(ran("thousand", "apps.s", *hour, resource_id=name, resource_name=name, instance_id=name) for name in names),
        *(ran("zoo", "apps.s", *hour, resource_id=name, resource_name=name, instance_id=name) for name in animals),
    )
    for feed, row in withdrawn:
        home.land(feed, row)
        home.land(feed, row | {"ingested_at": KNOWN, "is_deleted": True})


def row_of(home: ProviderHome, document: Document) -> dict:
    table = "invoices/credit_notes" if document.kind == "credit_note" else "invoices/invoices"
    return home.row(table, document.month, payer_id=document.payer_id)


def files_of(home: ProviderHome, number: str) -> tuple[Path, Path]:
    """HTML and PDF of a document."""
    folder = home.folder / "documents" / number.split("-")[0]
    return folder / f"{number}.html", folder / f"{number}.pdf"


def pages_of(pdf: Path) -> list[str]:
    document = pypdfium2.PdfDocument(pdf)
    try:
        return [page.get_textpage().get_text_bounded().replace("\r\n", "\n") for page in document]
    finally:
        document.close()


def told(html: Path, pdf: Path) -> Iterator[str]:
    """What a golden file says of a document."""
    yield f"HTML sha256 {sha256(html.read_bytes()).hexdigest()}"
    pages = pages_of(pdf)
    for number, text in enumerate(pages, 1):
        yield f"\n--- page {number} of {len(pages)}"
        is_whole = len(pages) <= WHOLE_PAGES or number in (1, len(pages))
        words = " ".join(text.split())
        yield (
            "\n".join(line.rstrip() for line in text.splitlines())
            if is_whole
            else f"words sha256 {sha256(words.encode()).hexdigest()}"
        )


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_a_document_asks_for_what_the_rules_make_by_hand(home, document):
    issued = row_of(home, document)

    assert home.reasons(document.month) == {}
    assert (issued["fees_cents"], issued["subtotal_cents"], issued["vat_cents"], issued["payable_cents"]) == (
        document.fees, document.subtotal, document.vat, document.payable,
    )  # fmt: skip
    if document.kind == "invoice":
        statement = home.row("credits/credit_statements", document.month, payer_id=document.payer_id)
        assert statement["free_used_cents"] + statement["prepaid_used_cents"] == document.paid_by_credits
        assert statement["refill_cents"] == document.refill
    printed = " ".join(" ".join(pages_of(files_of(home, issued["number"])[1])).split())
    assert document.printed_payable in printed


@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_a_document_is_printed_as_it_was(home, document, request):
    golden = GOLDEN / f"{document.name}.txt"
    now = "\n".join(told(*files_of(home, row_of(home, document)["number"]))) + "\n"
    if request.config.getoption("--renew-golden"):
        golden.parent.mkdir(exist_ok=True)
        golden.write_text(now, encoding="utf-8")

    # Words, for where a line of a paragraph breaks is a matter of the machine's text libraries.
    assert now.split() == golden.read_text(encoding="utf-8").split()


#: What French rules for businesses object to where the buyer is a consumer abroad: no fixed charge, no address in the
#: French directory, another country's rate.
CONSUMER_ABROAD = {"one_stop_shop": {"BR-FR-05", "BR-FR-12", "BR-FR-16"}}


@einvoice_rules.needs_rule_books
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_a_document_is_an_e_invoice_over_the_same_amounts(home, document):
    issued = row_of(home, document)
    xml = files_of(home, issued["number"])[0].with_suffix(".xml").read_bytes()

    read = einvoice_rules.read_back(xml)

    assert einvoice_rules.faults_of(xml) == []
    french_faults = einvoice_rules.codes_of(einvoice_rules.french_faults_of(xml))
    assert french_faults == CONSUMER_ABROAD.get(document.name, set())
    said = [read["BT-1"], *(Decimal(read[term]) * 100 for term in ("BT-109", "BT-110", "BT-115"))]
    assert said == [issued["number"], document.subtotal, document.vat, document.payable]
    # A thousand resources are one line.
    assert len(read["BG-25"]) <= 4
    assert home.billing.books.documents(issued["number"])[f"{issued['number']}.xml"] == sha256(xml).hexdigest()


def test_an_invoice_of_very_many_lines_has_each_of_them_in_a_file_that_the_books_vouch_for(home):
    invoice = home.row("invoices/invoices", JANUARY, payer_id="zoo")
    html, pdf = files_of(home, invoice["number"])
    file = html.with_suffix(".csv")

    lines = list(csv.DictReader(StringIO(file.read_text(encoding="utf-8"))))

    assert len(lines) == LINES_ON_PAPER_MAX + 1
    assert sum(Decimal(line["amount"]) for line in lines) * 100 == invoice["fees_cents"] == 10 * len(lines)
    assert sha256(file.read_bytes()).hexdigest() == home.billing.books.documents(invoice["number"])[file.name]
    assert f"each of them stands in {file.name}" in " ".join(" ".join(pages_of(pdf)).split())
    assert not list(html.parent.glob("INV-2026-000001.csv"))


def test_an_issued_month_keeps_the_days_that_its_invoices_draw(home):
    issued_from = home.billing.books.issued_month(Month.parse(JANUARY)).generations
    assert issued_from["rating/daily_weights"] == home.generation("rating/daily_weights", JANUARY).id


@pdf_rules.needs_validator
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_a_document_may_be_archived_and_read_aloud(home, document):
    pdf = files_of(home, row_of(home, document)["number"])[1]
    assert pdf_rules.faults_of(pdf.read_bytes()) == []


def test_only_a_name_in_another_script_is_laid_out(home):
    laid_out = []
    for document in DOCUMENTS:
        pdf = pypdfium2.PdfDocument(files_of(home, row_of(home, document)["number"])[1])
        laid_out += [document.name] if pdf.get_metadata_dict()["Producer"].startswith("WeasyPrint") else []
        pdf.close()
    assert laid_out == ["right_to_left_name"]


@pdf_rules.needs_qpdf
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_a_pdf_is_written_without_a_fault(home, document):
    assert pdf_rules.syntax_faults_of(files_of(home, row_of(home, document)["number"])[1]) == ""


@pdf_rules.needs_reader
@pytest.mark.parametrize("document", DOCUMENTS, ids=lambda document: document.name)
def test_a_pdf_carries_the_e_invoice_that_lies_beside_it(home, document):
    pdf = files_of(home, row_of(home, document)["number"])[1]

    (embedded,) = pdf_rules.embedded_in(pdf.read_bytes())

    assert embedded.content == pdf.with_suffix(".xml").read_bytes()


def test_every_golden_file_is_of_a_document():
    assert {file.stem for file in GOLDEN.iterdir()} == {document.name for document in DOCUMENTS}

"""E-invoices: what rule books and a reader of somebody else make of them, and that each says what its document says."""

import dataclasses
import sys
from datetime import date
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parents[1]))

import einvoice_rules
from document_rows import CREDITED_LINE, SOLD_LINE, rows

from billing_pipeline.documents.building import build_credit_note_views, build_interim_views, build_specific_views
from billing_pipeline.documents.cii import write_cii
from billing_pipeline.documents.einvoice import InconsistentInvoice, describe_invoice
from billing_pipeline.rules.parties import Seller
from billing_pipeline.rules.rounding import round_half_away
from billing_pipeline.rules.tax import VAT_RULES
from billing_pipeline.tables.corrections import CreditNoteLines, IssuedCreditNotes
from billing_pipeline.tables.interim import InterimInvoices, InterimLines
from billing_pipeline.tables.invoices import Drafts, InvoiceLines, SpecificInvoices, SpecificLines

SELLER = Seller(
    name="Nimbus Cloud SAS",
    address=("3 allée de l'Île", "44000 Nantes"),
    country="FR",
    vat_number="FR40303265045",
    legal_id="30326504500011",
    legal_mention="SAS with a capital of €100,000 · RCS Nantes 303 265 045",
    iban="FR76 3000 6000 0112 3456 7890 189",
    bic="AGRIFRPP",
)
#: A French business in the French register: what French rules are for.
BUSINESS = {"legal_id": "404833048", "vat_number": "FR83404833048"}
HOUR = {
    "resource_id": "app_1", "quantity": Decimal(3600), "duration_s": 3600, "unit_price": Decimal("0.10"),
    "amount_cents": 10,
}  # fmt: skip

#: Who is taxed how, as `rules.tax` decides: rate, category, code and wording frozen on the invoice.
TAXES = {
    "home": {"country": "FR", **BUSINESS},
    "overseas_department": {"country": "FR", "postcode": "97400", "vat_ppm": 85_000, **BUSINESS},
    "not_applicable": {"country": "FR", "postcode": "97300", "vat_ppm": 0, **BUSINESS},
    "reverse_charge": {"country": "DE", "postcode": "10115", "vat_ppm": 0, "vat_number": "DE136695976"},
    "oss": {"country": "RO", "postcode": "010011", "vat_ppm": 210_000, "party_kind": "consumer"},
    "outside_eu": {"country": "US", "postcode": "10001", "vat_ppm": 0},
}
#: What French rules object to where an invoice is none between French businesses: a consumer owes no fixed charge, the
#: directory has no address abroad, and another country's rate is none of theirs.
NOT_FRENCH = {"oss": {"BR-FR-05", "BR-FR-12", "BR-FR-16"}, "outside_eu": {"BR-FR-12"}}


def taxed(reason):
    rule = VAT_RULES[reason]
    return {
        "vat_reason": reason, "vat_scheme": rule.scheme, "vat_category": rule.category,
        "vat_exemption_code": rule.exemption_code, "vat_note": "TVA non applicable", **TAXES[reason],
    }  # fmt: skip


def xml_of(month, *, seller=SELLER, **how):
    return write_cii(month.view(seller=seller, **how).einvoice)


def cents(text):
    whole = Decimal(text) * 100
    assert whole == int(whole), text
    return int(whole)


def assert_says(xml, *, subtotal, vat, payable, kind="380"):
    """A reader that is not ours finds these totals, lines that make them, and no fault in any rule book."""
    assert einvoice_rules.faults_of(xml) == []
    read = einvoice_rules.read_back(xml)
    assert read["BT-3"] == kind
    assert [cents(read[term]) for term in ("BT-109", "BT-110", "BT-112", "BT-115")] == [subtotal, vat, payable, payable]
    assert "BT-113" not in read
    (breakdown,) = read["BG-23"]
    assert (cents(breakdown["BT-116"]), cents(breakdown["BT-117"])) == (subtotal, vat)
    assert sum(cents(line["BT-131"]) for line in read["BG-25"]) == cents(read["BT-106"])
    assert cents(read["BT-106"]) - cents(read["BT-107"]) + cents(read["BT-108"]) == subtotal
    for line in read["BG-25"]:
        assert_adds_up(line)
    return read


def assert_adds_up(line):
    """Quantity × price per base quantity, rounded once, less allowances and with charges, is the net: no tolerance."""
    base = Decimal(line.get("BT-149") or 1)
    worth = (Decimal(line["BT-129"]) * Decimal(line["BT-146"]) / base).quantize(Decimal("0.01"), ROUND_HALF_UP)
    taken_off = sum(Decimal(allowance["amount"]) for allowance in line.get("BG-27", ()))
    added = sum(Decimal(charge["amount"]) for charge in line.get("BG-28", ()))
    assert worth - taken_off + added == Decimal(line["BT-131"]), line


@einvoice_rules.needs_rule_books
@pytest.mark.parametrize("reason", VAT_RULES)
def test_every_vat_passes_the_rule_books_and_is_read_back(month, reason):
    month.bill(usage=[HOUR, HOUR | {"resource_id": "app_2", "amount_cents": 10}], prepaid=5, **taxed(reason))
    (draft,) = month.drafts
    xml = xml_of(month)

    totals = {name: draft[f"{name}_cents"] for name in ("subtotal", "vat", "payable")}
    read = assert_says(xml, **totals)

    (breakdown,) = read["BG-23"]
    rate = Decimal(breakdown.get("BT-119") or 0) * 10**4
    assert (breakdown["BT-118"], rate) == (draft["vat_category"], draft["vat_ppm"])
    assert einvoice_rules.codes_of(einvoice_rules.french_faults_of(xml)) == NOT_FRENCH.get(reason, set())


@einvoice_rules.needs_rule_books
def test_the_published_statement_asks_for_what_was_published(month):
    # 691.35 prepaid, 686.89 used: 682.43 to refill, VAT on that alone.
    month.bill(usage=[HOUR | {"quantity": 1, "unit": "piece", "basis": "one_shot", "unit_price": Decimal("686.89"),
                              "amount_cents": 686_89}], prepaid=691_35, **BUSINESS)  # fmt: skip
    xml = xml_of(month)

    read = assert_says(xml, subtotal=682_43, vat=136_49, payable=818_92)

    assert [line["BT-131"] for line in read["BG-25"]] == ["686.89", "-686.89", "682.43"]
    assert read["BG-25"][1]["BT-129"] == "-1"
    # What is asked for is next month's.
    assert (read["BG-25"][2]["BT-134"], read["BG-25"][2]["BT-135"]) == (date(2026, 11, 1), date(2026, 11, 30))
    assert einvoice_rules.french_faults_of(xml) == []


@einvoice_rules.needs_rule_books
@pytest.mark.parametrize(
    ("said", "instead", "rule"),
    [
        (b"<ram:DuePayableAmount>818.92", b"<ram:DuePayableAmount>818.91", "BR-CO-16"),
        (b"<ram:LineTotalAmount>686.89", b"<ram:LineTotalAmount>686.88", "BR-CO-10"),
        (b">PMD<", b">AAI<", "BR-FR-05"),
        (b">404833048<", b">40483304<", "BR-FR-11"),
    ],
)
def test_the_rule_books_object_to_what_is_wrong(month, said, instead, rule):
    month.bill(usage=[HOUR | {"quantity": 1, "unit": "piece", "basis": "one_shot", "unit_price": Decimal("686.89"),
                              "amount_cents": 686_89}], prepaid=691_35, **BUSINESS)  # fmt: skip
    wrong = xml_of(month).replace(said, instead)

    assert rule in einvoice_rules.codes_of(einvoice_rules.faults_of(wrong) + einvoice_rules.french_faults_of(wrong))


@einvoice_rules.needs_rule_books
def test_free_credits_lower_the_lines_that_they_paid(month):
    month.bill(usage=[HOUR, HOUR | {"slug": "db.m", "amount_cents": 10}], free=12, custom=0, **BUSINESS)
    first, second = (line["line_id"] for line in month.lines)
    paid = pl.DataFrame({"kind": ["free_used"] * 3 + ["refill"], "line_id": [first, first, second, ""],
                         "amount_cents": [-6, -4, -2, 9]})  # fmt: skip

    read = assert_says(xml_of(month, movements=paid), subtotal=8, vat=2, payable=10)

    assert [line["BT-131"] for line in read["BG-25"]] == ["0.00", "0.08"]
    assert read["BT-107"] == "0.00"


@einvoice_rules.needs_rule_books
def test_free_credits_of_unknown_lines_lower_the_document(month):
    month.bill(usage=[HOUR], free=4, custom=0, **BUSINESS)

    read = assert_says(xml_of(month), subtotal=6, vat=1, payable=7)

    assert (read["BT-106"], read["BT-107"]) == ("0.10", "0.04")


@einvoice_rules.needs_rule_books
def test_credits_may_pay_everything(month):
    month.bill(usage=[HOUR], free=1000, **BUSINESS)

    assert_says(xml_of(month), subtotal=0, vat=0, payable=0)


@einvoice_rules.needs_rule_books
@pytest.mark.parametrize("usage", [[], [HOUR | {"unit_price": Decimal(0), "amount_cents": 0}]], ids=["none", "free"])
def test_an_invoice_over_nothing_has_a_line(month, usage):
    month.bill(usage=usage, prepaid=500, custom=0, **BUSINESS)
    xml = xml_of(month)

    assert_says(xml, subtotal=0, vat=0, payable=0)
    assert einvoice_rules.french_faults_of(xml) == []


@einvoice_rules.needs_rule_books
def test_alike_resources_are_one_line_whose_rounding_is_told(month):
    # 20 s at 1.00 an hour are printed as 0.01 each; 400 s come to 0.11.
    tiny = HOUR | {"quantity": Decimal(20), "unit_price": Decimal("1.00"), "amount_cents": 1}
    month.bill(usage=[tiny | {"resource_id": f"app_{number}"} for number in range(20)], custom=0, **BUSINESS)
    xml = xml_of(month)

    read = assert_says(xml, subtotal=20, vat=4, payable=24)

    (line,) = read["BG-25"]
    assert (line["BT-129"], line["BT-130"], line["BT-146"]) == ("400", "SEC", "1")
    assert (line["BT-149"], line["BT-131"]) == ("3600", "0.20")
    assert "rounding of 20 resources" in xml.decode()
    assert "20 resources" in line["BT-154"]


@einvoice_rules.needs_rule_books
@pytest.mark.parametrize(
    "row",
    [
        {"unit_price": Decimal("0.04444444444444444444"), "quantity": Decimal(2_678_400), "amount_cents": 33_07},
        {"unit_price": Decimal("0.0000284"), "unit": "byte_s", "basis": "stored", "per_quantity": 10**9,
         "quantity": Decimal(10**12 * 2_678_400), "duration_s": 2_678_400, "amount_cents": 21_13},
        {"unit_price": Decimal("0.023"), "unit": "byte_s", "basis": "stored", "per_quantity": 2**30,
         "per_seconds": 720 * 3600, "quantity": Decimal(10**13 * 2_678_400), "duration_s": 2_678_400,
         "amount_cents": 221_34},
        {"unit_price": Decimal("0.01234567891234"), "unit": "byte", "basis": "moved", "per_quantity": 10**9,
         "per_seconds": 1, "quantity": Decimal(123_456_789_012_345), "duration_s": None, "amount_cents": 1524_16},
        {"unit_price": Decimal(8), "unit": "unit", "basis": "units", "slug": "git.users", "per_quantity": 100,
         "per_seconds": 1, "quantity": Decimal(300), "duration_s": None, "amount_cents": 24_00},
    ],
    ids=["long price", "GB-hours", "GiB-months", "GB", "packages"],
)  # fmt: skip
def test_a_line_is_its_quantity_times_its_price(month, row):
    month.bill(usage=[HOUR | row], custom=0, **BUSINESS)
    xml = xml_of(month)

    subtotal = row["amount_cents"]
    vat = (subtotal * 20 + 50) // 100
    (line,) = assert_says(xml, subtotal=subtotal, vat=vat, payable=subtotal + vat)["BG-25"]

    assert (line["BT-129"] != "1", "BG-27" in line, "BG-28" in line) == (True, False, False)
    assert einvoice_rules.french_faults_of(xml) == []


@einvoice_rules.needs_rule_books
def test_a_line_of_its_own_discount_tells_both_prices(month):
    month.bill(usage=[HOUR | {"line_discount_ppm": 250_000, "amount_cents": 8}], custom=0, **BUSINESS)
    xml = xml_of(month)

    (line,) = assert_says(xml, subtotal=8, vat=2, payable=10)["BG-25"]

    assert line["BT-146"] == "0.075"
    assert "<ram:ActualAmount>0.025</ram:ActualAmount>" in xml.decode()


@einvoice_rules.needs_rule_books
def test_discounts_over_the_invoice_are_allowances_and_least_amounts_are_lines(month):
    rule = {"resource_id": "rule_1", "quantity": -1, "unit": "piece", "duration_s": None, "per_seconds": 1}
    discount = rule | {
        "basis": "discount", "rule_kind": "discount", "rule_rate_ppm": 100_000, "slug": "discount",
        "unit_price": Decimal("0.01"), "amount_cents": -1, "description": "Loyal",
    }  # fmt: skip
    least = rule | {
        "basis": "true_up", "rule_kind": "minimum", "rule_limit_cents": 50, "slug": "minimum", "quantity": 1,
        "unit_price": Decimal("0.41"), "amount_cents": 41, "description": "At least",
    }  # fmt: skip
    month.bill(usage=[HOUR, discount, least], custom=0, **BUSINESS)
    xml = xml_of(month)

    read = assert_says(xml, subtotal=50, vat=10, payable=60)

    assert (read["BT-106"], read["BT-107"]) == ("0.51", "0.01")
    assert "Discount 10 % for" not in xml.decode()
    assert "Discount 10 % · Loyal" in xml.decode()


@einvoice_rules.needs_rule_books
def test_sub_organisations_keep_their_lines_apart(month):
    lab = HOUR | {"owner_id": "lab", "owner_name": "Lab & Sons <R&D>"}
    month.bill(usage=[HOUR, lab], purchase_order="PO-7", cost_centre="CC-1", **BUSINESS)
    xml = xml_of(month)

    read = assert_says(xml, subtotal=40, vat=8, payable=48)

    own, theirs, _refill = read["BG-25"]
    assert ("Lab & Sons <R&D>" in own["BT-154"], "Lab & Sons <R&D>" in theirs["BT-154"]) == (False, True)
    assert (read["BT-13"], read["BT-19"], theirs["BT-133"]) == ("PO-7", "CC-1", "lab")


@einvoice_rules.needs_rule_books
def test_corrections_of_older_months_may_take_off(month):
    less = HOUR | {
        "quantity": Decimal(-7200), "duration_s": -7200, "amount_cents": -20, "origin_month": "2026-08",
        "correction_cause": "withdrawn", "corrected_line_id": "1" * 32, "billed_cents": 30, "rated_cents": 10,
    }  # fmt: skip
    dearer = less | {"quantity": 0, "duration_s": 0, "amount_cents": 3, "correction_cause": "price", "rated_cents": 33}
    month.bill(usage=[HOUR | {"quantity": 36_000, "amount_cents": 100}, less, dearer], custom=0, **BUSINESS)
    xml = xml_of(month)

    read = assert_says(xml, subtotal=83, vat=17, payable=100)

    _own, taken_off, price = read["BG-25"]
    assert (taken_off["BT-129"], taken_off["BT-131"]) == ("-7200", "-0.20")
    assert (taken_off["BT-134"], taken_off["BT-135"]) == (date(2026, 8, 1), date(2026, 8, 31))
    # No quantity explains another price.
    assert (price["BT-129"], price["BT-146"], price["BT-131"]) == ("1", "0.03", "0.03")
    assert einvoice_rules.french_faults_of(xml) == []


@einvoice_rules.needs_rule_books
def test_a_month_after_interim_invoices_refers_to_them(month):
    month.bill(usage=[HOUR], prepaid=6, custom=0, **BUSINESS)
    xml = xml_of(month, interim={"orga_1": [("INV-2026-000003", 4), ("INV-2026-000005", 2)]})

    read = assert_says(xml, subtotal=4, vat=1, payable=5)

    assert (read["BT-23"], [reference["BT-25"] for reference in read["BG-3"]]) == (
        "S4", ["INV-2026-000003", "INV-2026-000005"],
    )  # fmt: skip
    assert einvoice_rules.french_faults_of(xml) == []


@einvoice_rules.needs_rule_books
def test_an_invoice_that_is_issued_again_refers_to_the_first(month):
    month.bill(
        usage=[HOUR], replaces="INV-2026-000001", replaces_issued_on=date(2026, 10, 3), decision=4,
        reason="Wrong <address>", holder_id="orga_1", free_used_cents=0, prepaid_used_cents=0, refill_cents=10,
        **BUSINESS,
    )  # fmt: skip
    xml = xml_of(month)

    read = assert_says(xml, subtotal=20, vat=4, payable=24)

    assert read["BG-3"] == [{"BT-25": "INV-2026-000001", "BT-26": date(2026, 10, 3)}]
    assert "Wrong <address>" in read["BG-1"][0]["BT-22"]
    assert einvoice_rules.french_faults_of(xml) == []


# Other kinds of documents

NOTE = {
    "payer_id": "acme", "kind": "credit_note", "number": "CN-2026-000001", "billing_month": "2026-03",
    "period_start": date(2026, 1, 1), "period_end": date(2026, 1, 31), "issued_on": date(2026, 4, 3),
    "due_on": date(2026, 4, 3), "refers_to": "INV-2026-000007", "refers_to_issued_on": date(2026, 2, 3),
    "holder_id": "acme", "currency": "EUR", "fees_cents": 40_50, "used_credits_cents": -9_00, "subtotal_cents": 31_50,
    "prepaid_given_back_cents": 5_00, "free_given_back_cents": 4_00, "refill_cancelled_cents": 0,
    "prepaid_refunded_cents": 0, "vat_ppm": 200_000, "vat_reason": "home", "vat_scheme": "domestic",
    "vat_category": "S", "vat_note": "French VAT", "vat_cents": 6_30, "payable_cents": 37_80, "name": "Acme",
    "party_kind": "business", "address_line1": "1 rue", "postcode": "44000", "city": "Nantes", "country": "FR",
    "language": "en", "discount_ppm": 0, "basis_hash": "x", **BUSINESS,
}  # fmt: skip
CANCELLED_LINE = CREDITED_LINE | {"correction_cause": "cancelled"}
NOTE_DISCOUNT = CANCELLED_LINE | {
    "line_id": "2" * 32, "resource_id": "discount", "slug": "discount", "basis": "discount", "quantity": -1,
    "unit": "piece", "duration_s": None, "unit_price": Decimal("4.50"), "per_seconds": 1, "amount_cents": -4_50,
    "rule_kind": "invoice_discount", "rule_rate_ppm": 100_000,
}  # fmt: skip
BESIDE = {
    "payer_id": "acme", "reference": "shop/42", "performed_on": date(2026, 1, 12), "billing_month": "2026-01",
    "period_start": date(2026, 1, 1), "period_end": date(2026, 1, 31), "number": "INV-2026-000003",
    "issued_on": date(2026, 2, 3), "due_on": date(2026, 3, 5), "currency": "EUR", "fees_cents": 0,
    "used_credits_cents": 100_00, "subtotal_cents": 100_00, "vat_ppm": 200_000, "vat_reason": "home",
    "vat_scheme": "domestic", "vat_category": "S", "vat_note": "French VAT", "vat_cents": 20_00,
    "payable_cents": 120_00, "name": "Acme", "party_kind": "business", "address_line1": "1 rue", "postcode": "44000",
    "city": "Nantes", "country": "FR", "language": "en", "discount_ppm": 0, **BUSINESS,
}  # fmt: skip
INTERIM = BESIDE | {
    "kind": "interim", "reference": "2026-01-05..2026-01-11", "period_start": date(2026, 1, 5),
    "period_end": date(2026, 1, 11), "fees_to_date_cents": 125_00, "free_used_cents": -5_00, "prepaid_used_cents": 0,
    "earlier_cents": -20_00, "pending_cents": 0,
}  # fmt: skip


INVOICE_LINE = dict.fromkeys(InvoiceLines.create_empty().columns) | SOLD_LINE | {
    "slug": "apps.s", "basis": "runtime", "description": None, "resources": 1,
}  # fmt: skip
INVOICE = dict.fromkeys(Drafts.create_empty().columns) | BESIDE
NO_CREDITS = {"free_used_cents": 0, "prepaid_used_cents": 0, "refill_cents": 0}


def credit_note(*lines, **note):
    credited = rows(CreditNoteLines, *lines) if lines else CreditNoteLines.create_empty()
    (view,) = build_credit_note_views(rows(IssuedCreditNotes, NOTE | note), credited, SELLER)
    return write_cii(view.einvoice)


@einvoice_rules.needs_rule_books
def test_a_credit_note_is_positive_and_names_what_it_corrects():
    xml = credit_note(CANCELLED_LINE, NOTE_DISCOUNT)

    read = assert_says(xml, subtotal=31_50, vat=6_30, payable=37_80, kind="381")

    assert read["BG-3"] == [{"BT-25": "INV-2026-000007", "BT-26": date(2026, 2, 3)}]
    assert [line["BT-131"] for line in read["BG-25"]] == ["45.00", "-5.00"]
    # The discount that had lowered it, and free credits that go back.
    assert read["BT-107"] == "8.50"
    assert einvoice_rules.french_faults_of(xml) == []


@einvoice_rules.needs_rule_books
@pytest.mark.parametrize("column", ["refill_cancelled_cents", "prepaid_refunded_cents"])
def test_a_credit_note_may_be_of_credits_alone(column):
    figures = {"fees_cents": 0, "prepaid_given_back_cents": 0, "free_given_back_cents": 0, column: 31_50}

    xml = credit_note(used_credits_cents=31_50, decision=3, **figures)

    assert_says(xml, subtotal=31_50, vat=6_30, payable=37_80, kind="381")
    assert einvoice_rules.french_faults_of(xml) == []


@einvoice_rules.needs_rule_books
@pytest.mark.parametrize(("kind", "code"), [("credits", "386"), ("invoice", "380")])
def test_sold_credits_are_a_prepayment_and_a_service_is_an_invoice(kind, code):
    figures = {"fees_cents": 100_00, "used_credits_cents": 0} if kind == "invoice" else {}
    documents = rows(SpecificInvoices, BESIDE | {"kind": kind} | figures)
    (view,) = build_specific_views(documents, rows(SpecificLines, SOLD_LINE | {"kind": kind}), SELLER)
    xml = write_cii(view.einvoice)

    read = assert_says(xml, subtotal=100_00, vat=20_00, payable=120_00, kind=code)

    assert read["BG-25"][0]["BT-153"] == "Prepaid card"
    assert (read["BT-73"], read["BT-74"]) == (date(2026, 1, 12), date(2026, 1, 12))
    assert einvoice_rules.french_faults_of(xml) == []


@einvoice_rules.needs_rule_books
def test_an_interim_invoice_is_a_prepayment_and_invoices_no_usage():
    line = SOLD_LINE | {"kind": "interim", "reference": INTERIM["reference"], "amount_cents": 125_00}
    (view,) = build_interim_views(rows(InterimInvoices, INTERIM), rows(InterimLines, line), SELLER)
    xml = write_cii(view.einvoice)

    read = assert_says(xml, subtotal=100_00, vat=20_00, payable=120_00, kind="386")

    assert [line["BT-155"] for line in read["BG-25"]] == ["credits.interim"]
    assert einvoice_rules.french_faults_of(xml) == []


# What is no matter of rule books


def test_the_same_document_gives_the_same_bytes(month):
    month.bill(usage=[HOUR], **BUSINESS)

    assert xml_of(month) == xml_of(month)


def test_a_draft_is_no_e_invoice(month):
    month.bill(usage=[HOUR], number=None, issued_on=None, due_on=None)

    assert month.view().einvoice is None


def test_what_xml_cannot_hold_is_left_out(month):
    month.bill(usage=[HOUR], name="A\x00t\x0be & <l>\uffff")

    assert b"<ram:Name>Ate &amp; &lt;l&gt;</ram:Name>" in xml_of(month)


def test_a_seller_abroad_says_nothing_french(month):
    month.bill(usage=[HOUR], custom=0)
    seller = dataclasses.replace(SELLER, country="BE", vat_number="BE0403019261", legal_id="0403.019.261")
    xml = xml_of(month, seller=seller)

    assert (b"SubjectCode" in xml, b"BusinessProcess" in xml, b"DueDateTypeCode" in xml) == (False, False, False)
    if einvoice_rules.is_installed():
        assert_says(xml, subtotal=10, vat=2, payable=12)


#: How usage is measured and priced: per how much, per how long.
MEASURED = st.sampled_from([
    ("s", 1, 3600), ("s", 1, 1), ("byte_s", 10**9, 3600), ("byte_s", 2**30, 3600), ("byte", 10**9, 1), ("unit", 100, 1),
])  # fmt: skip
RESOURCES = st.lists(st.integers(0, 10**16), min_size=1, max_size=5)


@given(MEASURED, RESOURCES, st.decimals(0, 1000, places=20), st.sampled_from([0, 50_000, 333_333]))
@settings(max_examples=150)
def test_every_line_is_its_quantity_times_its_price_and_what_is_told_of_it(measured, quantities, price, discount):
    unit, per_quantity, per_seconds = measured
    exact = [
        Fraction(price) * quantity * (10**6 - discount) * 100 / (per_quantity * per_seconds * 10**6)
        for quantity in quantities
    ]
    amounts = [round_half_away(*amount.as_integer_ratio()) for amount in exact]
    fees = sum(amounts)
    lines = [
        INVOICE_LINE | {"resource_id": str(place), "unit": unit, "per_quantity": per_quantity, "unit_price": price,
                        "per_seconds": per_seconds, "line_discount_ppm": discount, "quantity": Decimal(quantity),
                        "amount_cents": amount}
        for place, (quantity, amount) in enumerate(zip(quantities, amounts, strict=True))
    ]  # fmt: skip
    asked = {"fees_cents": fees, "subtotal_cents": fees, "vat_cents": 0, "payable_cents": fees}

    (line,) = describe_invoice(INVOICE | asked, lines, NO_CREDITS, SELLER, str).lines

    measure = line.measure
    assert measure.cents(2) + sum(deviation.cents for deviation in line.deviations) == line.net_cents == fees
    assert abs(measure.cents(2) - fees) <= len(lines) + 1
    assert (measure.unit == "C62") == (unit == "unit")
    for number, places in ((measure.quantity, 4), (measure.base_quantity, 4), (measure.price, 6)):
        assert number * 10**places == int(number * 10**places)


def test_an_invoice_whose_rows_do_not_add_up_is_not_written(month):
    month.bill(usage=[HOUR], **BUSINESS)
    (draft,), (line,), (statement,) = month.drafts, month.lines, month.statements
    line = dict.fromkeys(InvoiceLines.create_empty().columns) | line
    draft = dict.fromkeys(Drafts.create_empty().columns) | draft

    with pytest.raises(InconsistentInvoice, match="asks for 20 cents before VAT, but its e-invoice for 17"):
        describe_invoice(draft, [line], statement | {"refill_cents": 7}, SELLER, str)

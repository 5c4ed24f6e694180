"""An e-invoice as XML: Cross Industry Invoice (UN/CEFACT D22B), in the order that its schema asks for.

The profile is EN 16931, as Factur-X embeds it. Outside the scope of VAT (category O) that norm forbids the seller's VAT
number (BR-O-02), which French law wants on every invoice: such documents are of the profile EXTENDED-CTC-FR.
The bytes depend on nothing but the document: no clock, fixed order and prefixes, amounts as decimal text.
"""

import re
from collections.abc import Sequence
from datetime import date
from decimal import Decimal
from xml.etree.ElementTree import Element, SubElement, indent, tostring

from billing_pipeline.documents.einvoice import (
    Deviation,
    EInvoice,
    EInvoiceLine,
    Identifier,
    Reference,
    TaxedParty,
    Vat,
)
from billing_pipeline.rules.currencies import MINOR_DIGITS

EN_16931 = "urn:cen.eu:en16931:2017"
EXTENDED_CTC_FR = f"{EN_16931}#conformant#urn.cpro.gouv.fr:1p0:extended-ctc-fr"

_DECLARATION = "<?xml version='1.0' encoding='UTF-8'?>"
_STANDARD = "urn:un:unece:uncefact:data:standard"
_NAMESPACES = {
    "xmlns:rsm": f"{_STANDARD}:CrossIndustryInvoice:100",
    "xmlns:ram": f"{_STANDARD}:ReusableAggregateBusinessInformationEntity:100",
    "xmlns:qdt": f"{_STANDARD}:QualifiedDataType:100",
    "xmlns:udt": f"{_STANDARD}:UnqualifiedDataType:100",
}

#: UNTDID 4461: credit transfer, in euros within SEPA or otherwise.
_SEPA_TRANSFER, _TRANSFER = "58", "30"
#: UNTDID 2475: VAT falls due on payment.
_DUE_ON_PAYMENT = "72"

#: What XML 1.0 cannot hold.
_NOT_XML = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")


def write_cii(invoice: EInvoice) -> bytes:
    """The document as XML in UTF-8."""
    root = Element("rsm:CrossIndustryInvoice", _NAMESPACES)
    _write_context(SubElement(root, "rsm:ExchangedDocumentContext"), invoice)
    _write_head(SubElement(root, "rsm:ExchangedDocument"), invoice)
    transaction = SubElement(root, "rsm:SupplyChainTradeTransaction")
    money = _Money(invoice.currency)
    for number, line in enumerate(invoice.lines, 1):
        _write_line(SubElement(transaction, "ram:IncludedSupplyChainTradeLineItem"), number, line, invoice.vat, money)
    _write_agreement(SubElement(transaction, "ram:ApplicableHeaderTradeAgreement"), invoice)
    delivery = SubElement(transaction, "ram:ApplicableHeaderTradeDelivery")
    event = SubElement(delivery, "ram:ActualDeliverySupplyChainEvent")
    _add_date(event, "ram:OccurrenceDateTime", invoice.delivered_on)
    _write_settlement(SubElement(transaction, "ram:ApplicableHeaderTradeSettlement"), invoice, money)
    indent(root)
    # Encoding it as a whole takes half the time of encoding it piece by piece.
    return f"{_DECLARATION}\n{tostring(root, encoding='unicode')}\n".encode()


class _Money:
    """Amounts of one currency as decimal text."""

    def __init__(self, currency: str) -> None:
        self._digits = MINOR_DIGITS[currency]

    def __call__(self, cents: int) -> str:
        return f"{Decimal(cents).scaleb(-self._digits):f}"


def _write_context(context: Element, invoice: EInvoice) -> None:
    if invoice.framework:
        _add(SubElement(context, "ram:BusinessProcessSpecifiedDocumentContextParameter"), "ram:ID", invoice.framework)
    _add(SubElement(context, "ram:GuidelineSpecifiedDocumentContextParameter"), "ram:ID", _profile(invoice.vat))


def profile_of(invoice: EInvoice) -> str:
    """Which rules the XML of a document follows: `EN_16931` or `EXTENDED_CTC_FR`."""
    return _profile(invoice.vat)


def _profile(vat: Vat) -> str:
    return EXTENDED_CTC_FR if vat.category == "O" else EN_16931


def _write_head(head: Element, invoice: EInvoice) -> None:
    _add(head, "ram:ID", invoice.number)
    _add(head, "ram:TypeCode", invoice.type_code)
    _add_date(head, "ram:IssueDateTime", invoice.issued_on)
    for note in invoice.notes:
        said = SubElement(head, "ram:IncludedNote")
        _add(said, "ram:Content", note.text)
        _add(said, "ram:SubjectCode", note.code)


def _write_line(item: Element, number: int, line: EInvoiceLine, vat: Vat, money: _Money) -> None:
    _add(SubElement(item, "ram:AssociatedDocumentLineDocument"), "ram:LineID", str(number))
    product = SubElement(item, "ram:SpecifiedTradeProduct")
    _add(product, "ram:SellerAssignedID", line.item_id)
    _add(product, "ram:Name", line.name)
    _add(product, "ram:Description", line.description)
    _write_prices(SubElement(item, "ram:SpecifiedLineTradeAgreement"), line)
    delivery = SubElement(item, "ram:SpecifiedLineTradeDelivery")
    _add(delivery, "ram:BilledQuantity", _decimal(line.measure.quantity), unitCode=line.measure.unit)
    settlement = SubElement(item, "ram:SpecifiedLineTradeSettlement")
    _add_category(SubElement(settlement, "ram:ApplicableTradeTax"), vat)
    _add_period(settlement, line.starts_on, line.ends_on)
    for deviation in line.deviations:
        _write_deviation(settlement, deviation, money)
    summation = SubElement(settlement, "ram:SpecifiedTradeSettlementLineMonetarySummation")
    _add(summation, "ram:LineTotalAmount", money(line.net_cents))
    if line.accounting:
        _add(SubElement(settlement, "ram:ReceivableSpecifiedTradeAccountingAccount"), "ram:ID", line.accounting)


def _write_prices(agreement: Element, line: EInvoiceLine) -> None:
    """Net price and what it buys; with a discount of the line, the price before it, too."""
    measure = line.measure
    base = _decimal(measure.base_quantity) if measure.base_quantity != 1 else ""
    if measure.gross_price is not None:
        gross = SubElement(agreement, "ram:GrossPriceProductTradePrice")
        _add(gross, "ram:ChargeAmount", _decimal(measure.gross_price))
        _add(gross, "ram:BasisQuantity", base, unitCode=measure.unit)
        discount = SubElement(gross, "ram:AppliedTradeAllowanceCharge")
        _add(SubElement(discount, "ram:ChargeIndicator"), "udt:Indicator", "false")
        _add(discount, "ram:ActualAmount", _decimal(measure.gross_price - measure.price))
    net = SubElement(agreement, "ram:NetPriceProductTradePrice")
    _add(net, "ram:ChargeAmount", _decimal(measure.price))
    _add(net, "ram:BasisQuantity", base, unitCode=measure.unit)


def _write_agreement(agreement: Element, invoice: EInvoice) -> None:
    _write_party(SubElement(agreement, "ram:SellerTradeParty"), invoice.seller)
    _write_party(SubElement(agreement, "ram:BuyerTradeParty"), invoice.buyer)
    if invoice.purchase_order:
        order = SubElement(agreement, "ram:BuyerOrderReferencedDocument")
        _add(order, "ram:IssuerAssignedID", invoice.purchase_order)


def _write_party(element: Element, party: TaxedParty) -> None:
    _add_identifier(element, "ram:GlobalID", party.establishment)
    _add(element, "ram:Name", party.name)
    if party.legal_id or party.trading_name:
        organisation = SubElement(element, "ram:SpecifiedLegalOrganization")
        _add_identifier(organisation, "ram:ID", party.legal_id)
        _add(organisation, "ram:TradingBusinessName", party.trading_name)
    address = SubElement(element, "ram:PostalTradeAddress")
    _add(address, "ram:PostcodeCode", party.postcode)
    for name, line in zip(("LineOne", "LineTwo", "LineThree"), party.address, strict=False):
        _add(address, f"ram:{name}", line)
    _add(address, "ram:CityName", party.city)
    _add(address, "ram:CountryID", party.country)
    if party.electronic_address:
        _add_identifier(SubElement(element, "ram:URIUniversalCommunication"), "ram:URIID", party.electronic_address)
    if party.vat_number:
        _add(SubElement(element, "ram:SpecifiedTaxRegistration"), "ram:ID", party.vat_number, schemeID="VA")


def _write_settlement(settlement: Element, invoice: EInvoice, money: _Money) -> None:
    if invoice.iban:
        _add(settlement, "ram:PaymentReference", invoice.number)
    _add(settlement, "ram:InvoiceCurrencyCode", invoice.currency)
    if invoice.iban:
        _write_payment_means(SubElement(settlement, "ram:SpecifiedTradeSettlementPaymentMeans"), invoice)
    _write_vat(SubElement(settlement, "ram:ApplicableTradeTax"), invoice, money)
    _add_period(settlement, invoice.starts_on, invoice.ends_on)
    for deviation in invoice.deviations:
        _write_deviation(settlement, deviation, money, invoice.vat)
    if invoice.due_on or invoice.payment_terms:
        terms = SubElement(settlement, "ram:SpecifiedTradePaymentTerms")
        _add(terms, "ram:Description", invoice.payment_terms)
        if invoice.due_on:
            _add_date(terms, "ram:DueDateDateTime", invoice.due_on)
    _write_totals(SubElement(settlement, "ram:SpecifiedTradeSettlementHeaderMonetarySummation"), invoice, money)
    _write_references(settlement, invoice.references)
    if invoice.cost_centre:
        _add(SubElement(settlement, "ram:ReceivableSpecifiedTradeAccountingAccount"), "ram:ID", invoice.cost_centre)


def _write_payment_means(means: Element, invoice: EInvoice) -> None:
    _add(means, "ram:TypeCode", _SEPA_TRANSFER if invoice.currency == "EUR" else _TRANSFER)
    _add(SubElement(means, "ram:PayeePartyCreditorFinancialAccount"), "ram:IBANID", invoice.iban)
    if invoice.bic:
        _add(SubElement(means, "ram:PayeeSpecifiedCreditorFinancialInstitution"), "ram:BICID", invoice.bic)


def _write_vat(tax: Element, invoice: EInvoice, money: _Money) -> None:
    """The breakdown (BG-23): one category and rate, the amounts that were frozen when the document was issued."""
    vat = invoice.vat
    _add(tax, "ram:CalculatedAmount", money(invoice.vat_cents))
    _add(tax, "ram:TypeCode", "VAT")
    _add(tax, "ram:ExemptionReason", vat.exemption)
    _add(tax, "ram:BasisAmount", money(invoice.subtotal_cents))
    _add(tax, "ram:CategoryCode", vat.category)
    _add(tax, "ram:ExemptionReasonCode", vat.exemption_code)
    _add(tax, "ram:DueDateTypeCode", _DUE_ON_PAYMENT if vat.is_due_on_payment else "")
    _add(tax, "ram:RateApplicablePercent", _rate(vat))


def _write_totals(totals: Element, invoice: EInvoice, money: _Money) -> None:
    charges = sum(deviation.cents for deviation in invoice.deviations if deviation.cents > 0)
    allowances = -sum(deviation.cents for deviation in invoice.deviations if deviation.cents < 0)
    _add(totals, "ram:LineTotalAmount", money(sum(line.net_cents for line in invoice.lines)))
    _add(totals, "ram:ChargeTotalAmount", money(charges))
    _add(totals, "ram:AllowanceTotalAmount", money(allowances))
    _add(totals, "ram:TaxBasisTotalAmount", money(invoice.subtotal_cents))
    _add(totals, "ram:TaxTotalAmount", money(invoice.vat_cents), currencyID=invoice.currency)
    _add(totals, "ram:GrandTotalAmount", money(invoice.payable_cents))
    _add(totals, "ram:DuePayableAmount", money(invoice.payable_cents))


def _write_references(settlement: Element, references: Sequence[Reference]) -> None:
    for reference in references:
        document = SubElement(settlement, "ram:InvoiceReferencedDocument")
        _add(document, "ram:IssuerAssignedID", reference.number)
        if reference.issued_on:
            _add_date(document, "ram:FormattedIssueDateTime", reference.issued_on, "qdt")


def _write_deviation(parent: Element, deviation: Deviation, money: _Money, vat: Vat | None = None) -> None:
    """An allowance or charge; of the document, it names the VAT whose base it changes."""
    element = SubElement(parent, "ram:SpecifiedTradeAllowanceCharge")
    _add(SubElement(element, "ram:ChargeIndicator"), "udt:Indicator", "true" if deviation.cents > 0 else "false")
    _add(element, "ram:ActualAmount", money(abs(deviation.cents)))
    _add(element, "ram:ReasonCode", deviation.code)
    _add(element, "ram:Reason", deviation.reason)
    if vat:
        _add_category(SubElement(element, "ram:CategoryTradeTax"), vat)


def _add_category(tax: Element, vat: Vat) -> None:
    """The VAT of a line or deviation; only the extended profile knows a reason there, and asks for it."""
    is_extended = _profile(vat) != EN_16931
    _add(tax, "ram:TypeCode", "VAT")
    _add(tax, "ram:ExemptionReason", vat.exemption if is_extended else "")
    _add(tax, "ram:CategoryCode", vat.category)
    _add(tax, "ram:ExemptionReasonCode", vat.exemption_code if is_extended else "")
    _add(tax, "ram:RateApplicablePercent", _rate(vat))


def _rate(vat: Vat) -> str:
    """In percent; what is outside the scope of VAT has no rate."""
    return "" if vat.category == "O" else _decimal(Decimal(vat.rate_ppm).scaleb(-4))


def _add_period(parent: Element, first: date, last: date) -> None:
    period = SubElement(parent, "ram:BillingSpecifiedPeriod")
    _add_date(period, "ram:StartDateTime", first)
    _add_date(period, "ram:EndDateTime", last)


def _add_date(parent: Element, tag: str, day: date, prefix: str = "udt") -> None:
    _add(SubElement(parent, tag), f"{prefix}:DateTimeString", f"{day:%Y%m%d}", format="102")


def _add_identifier(parent: Element, tag: str, identifier: Identifier | None) -> None:
    if identifier:
        scheme = {"schemeID": identifier.scheme} if identifier.scheme else {}
        _add(parent, tag, identifier.number, **scheme)


def _add(parent: Element, tag: str, text: str, **attributes: str) -> None:
    """A child with text; none where the text is empty."""
    said = _NOT_XML.sub("", text).strip()
    if said:
        SubElement(parent, tag, attributes).text = said


def _decimal(number: Decimal) -> str:
    """Without exponent and without zeros at the end: `3600`, `0.0444`; no digit is lost, however many there are."""
    text = f"{number:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text

"""What an e-invoice says: published rows of one document in, the terms of EN 16931 (BT, BG) out.

Amounts are the published ones. Printed lines are put together by organisation, item and price; what a line's net lacks
of its rounded quantity times price is an allowance or charge of that line. Free credits lower the lines that they paid,
prepaid credits that were used are a line of minus one piece, and credits that are asked for are a line of their own, so
that VAT is due on the subtotal alone: nothing is ever "already paid" (BT-113). Discounts over several lines are
allowances of the document. `documents.cii` writes it as XML.

French texts and codes stand where the seller is French: billing framework (BT-23), the notes of articles L441-9 and
D441-5 of the commercial code, and what kind of processing the invoice is for (`BAR`, XP Z12-012).
"""

import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any, NamedTuple

from billing_pipeline.documents.formatting import (
    format_count,
    format_day_in_words,
    format_month,
    format_rate,
    join_with_dash,
)
from billing_pipeline.documents.texts import SERVICES, TEXTS
from billing_pipeline.rules.currencies import MINOR_DIGITS
from billing_pipeline.rules.parties import Seller
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.registrations import SIREN_DIGITS, french_digits, has_french_registrations
from billing_pipeline.rules.rounding import round_half_away

_Row = Mapping[str, Any]
#: What a discount over several lines is called.
RuleLabel = Callable[[_Row], str]

_INVOICE, _PREPAYMENT, _CREDIT_NOTE = "380", "386", "381"
_SERVICES_RENDERED, _AFTER_PREPAYMENT = "S1", "S4"
_PIECE, _SECOND, _GIGABYTE = "C62", "SEC", "E34"
#: UNCL 5189: a discount.
_DISCOUNT = "95"

#: What France allows: decimals of quantities (BR-FR-DEC-02) and of prices (BR-FR-DEC-03).
_QUANTITY_PLACES, _PRICE_PLACES = 4, 6
#: A price is stated for at most this power of ten of what it buys.
_PRICE_SCALE_MAX = 12

_POSTCODE_AND_CITY = re.compile(r"([A-Z0-9-]*[0-9]{3,}) +(\S.*)")

#: Electronic address schemes (EAS): SIREN in the French directory; VAT numbers of member states.
_FRENCH_DIRECTORY = "0225"
_VAT_SCHEMES = {
    "AT": "9914", "BE": "9925", "BG": "9926", "CY": "9928", "CZ": "9929", "DE": "9930", "EE": "9931", "EL": "9933",
    "ES": "9920", "FR": "9957", "HR": "9934", "HU": "9910", "IE": "9935", "LT": "9937", "LU": "9938", "LV": "9939",
    "MT": "9943", "NL": "9944", "PL": "9945", "PT": "9946", "RO": "9947", "SE": "9955", "SI": "9949", "SK": "9950",
}  # fmt: skip


class InconsistentInvoice(ValueError):
    """The rows of a document do not add up to what it asks for."""


class Identifier(NamedTuple):
    """A number and the register that gave it."""

    #: ISO 6523 or EAS; empty where the register is not known.
    scheme: str
    number: str


class Note(NamedTuple):
    """A text on the document (BG-1)."""

    #: UNCL 4451; empty for free text.
    code: str
    text: str


class Reference(NamedTuple):
    """An invoice that this one refers to (BG-3)."""

    number: str
    issued_on: date | None


@dataclass(frozen=True, slots=True)
class TaxedParty:
    """Seller (BG-4) or buyer (BG-7)."""

    name: str
    trading_name: str
    #: SIREN (scheme 0002) or the number of another register.
    legal_id: Identifier | None
    #: SIRET (scheme 0009).
    establishment: Identifier | None
    address: tuple[str, ...]
    postcode: str
    city: str
    country: str
    vat_number: str
    electronic_address: Identifier | None


@dataclass(frozen=True, slots=True)
class Deviation:
    """What an allowance takes off or a charge adds: of a line (BG-27, BG-28) or of the document (BG-20, BG-21)."""

    #: Positive adds, negative takes off.
    cents: int
    reason: str
    #: UNCL 5189, of allowances; empty for none.
    code: str = ""


@dataclass(frozen=True, slots=True)
class Measure:
    """A quantity and the price of a base quantity of the same unit."""

    quantity: Decimal
    unit: str
    price: Decimal
    base_quantity: Decimal = Decimal(1)
    #: Before the line's own discount; None where it has none.
    gross_price: Decimal | None = None

    def cents(self, digits: int) -> int:
        """Quantity × price / base quantity, rounded once."""
        exact = Fraction(self.quantity) * Fraction(self.price) / Fraction(self.base_quantity) * 10**digits
        return round_half_away(*exact.as_integer_ratio())


@dataclass(frozen=True, slots=True)
class EInvoiceLine:
    """One line (BG-25): quantity × price and deviations make its net."""

    item_id: str
    name: str
    description: str
    measure: Measure
    starts_on: date
    ends_on: date
    deviations: tuple[Deviation, ...]
    net_cents: int
    #: The organisation that used it, where that is not the buyer (BT-133).
    accounting: str = ""


@dataclass(frozen=True, slots=True)
class Vat:
    """The one category and rate of the document, as frozen when it was issued."""

    category: str
    rate_ppm: int
    #: BT-120 and BT-121; empty where VAT is charged.
    exemption: str
    exemption_code: str
    #: Whether it falls due when the services are paid for (BT-8).
    is_due_on_payment: bool


@dataclass(frozen=True, slots=True)
class EInvoice:
    """One issued document in the terms of EN 16931."""

    number: str
    type_code: str
    #: BT-23; empty where the seller is not French.
    framework: str
    issued_on: date
    due_on: date | None
    #: Conditions where there is no due date (BT-20).
    payment_terms: str
    delivered_on: date
    starts_on: date
    ends_on: date
    currency: str
    notes: tuple[Note, ...]
    seller: TaxedParty
    buyer: TaxedParty
    purchase_order: str
    cost_centre: str
    #: Empty where nothing is to be paid to it.
    iban: str
    bic: str
    references: tuple[Reference, ...]
    vat: Vat
    lines: tuple[EInvoiceLine, ...]
    deviations: tuple[Deviation, ...]
    subtotal_cents: int
    vat_cents: int
    payable_cents: int


def describe_invoice(
    invoice: _Row,
    lines: Sequence[_Row],
    statement: _Row,
    seller: Seller,
    rule_label: RuleLabel,
    interim: Sequence[str] = (),
) -> EInvoice:
    """A monthly invoice (380), issued for the first time or in the stead of another one.

    Args:
        invoice: a row of `tables.invoices.Invoices` or `ReissuedInvoices`.
        lines: its `InvoiceLines`, with `free_cents`: what free credits paid of each, below zero; what of c is not
            among them lowers the document.
        statement: its row of `tables.credits.CreditStatements`.
        seller: whose invoice it is.
        rule_label: names a discount over several lines.
        interim: numbers of the interim invoices that the statement counts.

    Raises:
        InconsistentInvoice: the rows do not add up to the subtotal.
    """
    digits = MINOR_DIGITS[invoice["currency"]]
    said = list(_usage_lines(invoice, lines))
    period = invoice["period_start"], invoice["period_end"]
    later = Month.of(period[1]).next
    next_month = later.first_day, later.last_day
    if statement["prepaid_used_cents"]:
        said.append(_credit_line("credits.used", "prepaid_used", statement["prepaid_used_cents"], period, digits))
    if statement["refill_cents"]:
        said.append(_credit_line("credits.refill", "refill_asked", statement["refill_cents"], next_month, digits))
    shown = sum(deviation.cents for line in said for deviation in line.deviations if deviation.code == _DISCOUNT)
    free = Deviation(statement["free_used_cents"] - shown, TEXTS["free_used"], _DISCOUNT)
    replaced = "replaces" in invoice
    return _document(
        invoice,
        seller,
        said or [_nothing_used(period)],
        [*_rules(lines, rule_label), *([free] if free.cents else [])],
        type_code=_INVOICE,
        framework=_AFTER_PREPAYMENT if interim else _SERVICES_RENDERED,
        references=(
            *((Reference(invoice["replaces"], invoice["replaces_issued_on"]),) if replaced else ()),
            *(Reference(number, None) for number in interim),
        ),
        note=describe_replacement(invoice) if replaced else "",
    )


def describe_specific(document: _Row, line: _Row, seller: Seller) -> EInvoice:
    """A document beside the monthly invoice: a service (380), or prepaid credits that are sold (386)."""
    is_sale = document["kind"] == "credits"
    day = document["performed_on"]
    (said,) = _usage_lines(document, [line])
    described = _document(
        document, seller, [replace(said, starts_on=day, ends_on=day)], [], _PREPAYMENT if is_sale else _INVOICE
    )
    return replace(described, starts_on=day, ends_on=day, delivered_on=day)


def describe_interim(document: _Row, seller: Seller) -> EInvoice:
    """An interim invoice (386): it sells prepaid credits; the usage behind it is invoiced with its month."""
    period = document["period_start"], document["period_end"]
    line = _credit_line(
        "credits.interim", "interim_credits", document["subtotal_cents"], period, MINOR_DIGITS[document["currency"]]
    )
    return _document(document, seller, [line], [], _PREPAYMENT)


def describe_credit_note(
    note: _Row, lines: Sequence[_Row], seller: Seller, rule_label: RuleLabel, terms: str
) -> EInvoice:
    """A credit note (381): positive amounts, what it credits and what of it goes back to credits.

    Args:
        note: a row of `tables.corrections.IssuedCreditNotes`.
        lines: its `CreditNoteLines`.
        seller: whose credit note it is.
        rule_label: names a discount over several lines.
        terms: what it is for, as printed.

    Raises:
        InconsistentInvoice: the rows do not add up to the subtotal.
    """
    digits, period = MINOR_DIGITS[note["currency"]], (note["period_start"], note["period_end"])
    is_reissue = note["reissue_reason"] is not None
    credits = (
        ("credits.used", "prepaid_kept" if is_reissue else "prepaid_given_back", -note["prepaid_given_back_cents"]),
        ("credits.refill", "refill_kept" if is_reissue else "refill_cancelled", note["refill_cancelled_cents"]),
        ("credits.refund", "prepaid_refunded", note["prepaid_refunded_cents"]),
    )
    said = [
        *_usage_lines(note, lines),
        *(_credit_line(item, text, cents, period, digits) for item, text, cents in credits if cents),
    ]
    free_text = TEXTS["free_kept" if is_reissue else "free_given_back"]
    free = [Deviation(-note["free_given_back_cents"], free_text, _DISCOUNT)] if note["free_given_back_cents"] else []
    described = _document(
        note,
        seller,
        said or [_nothing_used(period)],
        [*_rules(lines, rule_label), *free],
        _CREDIT_NOTE,
        references=(Reference(note["refers_to"], note["refers_to_issued_on"]),),
        note=terms,
    )
    return replace(described, due_on=None, payment_terms=TEXTS["credited"], iban="", bic="")


def _document(
    row: _Row,
    seller: Seller,
    lines: Sequence[EInvoiceLine],
    deviations: Sequence[Deviation],
    type_code: str,
    framework: str = _SERVICES_RENDERED,
    references: tuple[Reference, ...] = (),
    note: str = "",
) -> EInvoice:
    total = sum(line.net_cents for line in lines) + sum(deviation.cents for deviation in deviations)
    if total != row["subtotal_cents"]:
        message = f"{row['number']} asks for {row['subtotal_cents']} cents before VAT, but its e-invoice for {total}"
        raise InconsistentInvoice(message)
    is_french, is_payable = _is_french(seller), row["payable_cents"] > 0
    buyer = _buyer(row)
    return EInvoice(
        number=row["number"],
        type_code=type_code,
        framework=framework if is_french else "",
        issued_on=row["issued_on"],
        due_on=row["due_on"],
        payment_terms="",
        delivered_on=row["period_end"],
        starts_on=row["period_start"],
        ends_on=row["period_end"],
        currency=row["currency"],
        notes=(*([Note("", note)] if note else []), *(_french_notes(row, seller) if is_french else ())),
        seller=_seller(seller),
        buyer=buyer,
        purchase_order=row["purchase_order"] or "",
        cost_centre=row["cost_centre"] or "",
        iban="".join(seller.iban.split()) if is_payable else "",
        bic=seller.bic if is_payable else "",
        references=references,
        vat=_vat(row, is_french=is_french),
        lines=tuple(lines),
        deviations=tuple(deviations),
        subtotal_cents=row["subtotal_cents"],
        vat_cents=row["vat_cents"],
        payable_cents=row["payable_cents"],
    )


def _vat(row: _Row, *, is_french: bool) -> Vat:
    category, is_charged = str(row["vat_category"]), str(row["vat_category"]) == "S"
    return Vat(
        category=category,
        rate_ppm=row["vat_ppm"],
        exemption="" if is_charged else row["vat_note"],
        exemption_code="" if is_charged else row["vat_exemption_code"] or "",
        # Services of a French seller, who did not opt for paying on debits (article 269-2-c CGI).
        is_due_on_payment=is_french and str(row["vat_scheme"]) == "domestic",
    )


# Lines


def _usage_lines(document: _Row, lines: Sequence[_Row]) -> Iterator[EInvoiceLine]:
    """The printed lines by organisation, item and price, in printed order; free credits as what they take off."""
    groups: dict[tuple, list[_Row]] = {}
    for line in lines:
        if line["basis"] != "discount":
            groups.setdefault(tuple(line[column] for column in _SAME_LINE), []).append(line)
    digits = MINOR_DIGITS[document["currency"]]
    for grouped in groups.values():
        first, printed_cents = grouped[0], sum(line["amount_cents"] for line in grouped)
        measure = _measure(grouped, printed_cents, digits)
        rounding = printed_cents - measure.cents(digits)
        free = sum(line.get("free_cents", 0) for line in grouped)
        deviations = (Deviation(rounding, _rounding_of(grouped)), Deviation(free, TEXTS["free_used"], _DISCOUNT))
        starts_on, ends_on = _period_of(first, document)
        is_own = first["owner_id"] == document["payer_id"]
        yield EInvoiceLine(
            item_id=first["slug"],
            name=_name(first),
            description=_description(grouped, document),
            measure=measure,
            starts_on=starts_on,
            ends_on=ends_on,
            deviations=tuple(deviation for deviation in deviations if deviation.cents),
            net_cents=printed_cents + free,
            accounting="" if is_own else first["owner_id"],
        )


#: Printed lines that are alike in all of this are one line.
_SAME_LINE = (
    "owner_id", "slug", "basis", "unit", "unit_price", "per_quantity", "per_seconds", "line_discount_ppm",
    "origin_month", "correction_cause", "description", "sub_description",
)  # fmt: skip


def _measure(lines: Sequence[_Row], printed_cents: int, digits: int) -> Measure:
    """Quantity and price of lines that are alike; one piece at their amount where that is not quantity × price."""
    first = lines[0]
    unit, size = _UNITS[str(first["unit"])]
    quantity = _rounded(sum((Fraction(line["quantity"]) for line in lines), Fraction()) / size, _QUANTITY_PLACES)
    gross = Fraction(first["unit_price"])
    price = gross * Fraction(10**6 - first["line_discount_ppm"], 10**6)
    base = Fraction(first["per_quantity"] * first["per_seconds"]) / size
    if (base * 10**_QUANTITY_PLACES).denominator > 1:
        gross, price, base = gross / base, price / base, Fraction(1)
    scale = _price_scale(Fraction(quantity), price / base, base, digits)
    measure = Measure(
        quantity=quantity,
        unit=unit,
        price=_rounded(price * scale, _PRICE_PLACES),
        base_quantity=_rounded(base * scale, _QUANTITY_PLACES),
        gross_price=_rounded(gross * scale, _PRICE_PLACES) if price != gross else None,
    )
    # Every line of the month was rounded once; quantity and price are, too.
    rounded = sum(line.get("printed_lines", 1) for line in lines) + 1
    if price >= 0 and abs(printed_cents - measure.cents(digits)) <= rounded:
        return measure
    return _piece(printed_cents, digits)


#: Units of printed lines: the code of UN/ECE recommendation 20, and how much of the printed unit that is. There is no
#: code for a volume over time: GB and hours, as the description says.
_UNITS = {
    "s": (_SECOND, 1),
    "byte_s": (_GIGABYTE, 10**9 * 3600),
    "byte": (_GIGABYTE, 10**9),
    "unit": (_PIECE, 1),
    "piece": (_PIECE, 1),
}


def _price_scale(quantity: Fraction, unit_price: Fraction, base: Fraction, digits: int) -> int:
    """The power of ten of the base at which a price of six decimals moves the line by less than half a cent."""
    for power in range(_PRICE_SCALE_MAX):
        scale = 10**power
        stated = Fraction(_rounded(unit_price * base * scale, _PRICE_PLACES)) / (base * scale)
        if abs(quantity * (stated - unit_price)) * 10**digits * 2 < 1:
            return scale
    return 10**_PRICE_SCALE_MAX


def _piece(cents: int, digits: int) -> Measure:
    return Measure(Decimal(-1 if cents < 0 else 1), _PIECE, Decimal(abs(cents)).scaleb(-digits))


def _rounded(exact: Fraction, places: int) -> Decimal:
    return Decimal(round_half_away(*(exact * 10**places).as_integer_ratio())).scaleb(-places)


def _rounding_of(lines: Sequence[_Row]) -> str:
    count = sum(line["resources"] or 1 for line in lines)
    return TEXTS["rounding_of_one" if count == 1 else "rounding_of"].format(count=format_count(count))


def _name(line: _Row) -> str:
    """What is sold: a description of its own, or the service and size."""
    service, _, size = line["slug"].partition(".")
    return line["description"] or join_with_dash(SERVICES.get(service, service), size)


def _description(lines: Sequence[_Row], document: _Row) -> str:
    first, resources = lines[0], {line["resource_id"] for line in lines}
    count = sum(line["resources"] or 1 for line in lines if not line["resource_id"]) + len(resources - {""})
    parts = (
        first["sub_description"],
        first["owner_name"] if first["owner_id"] != document["payer_id"] else None,
        TEXTS["one_resource" if count == 1 else "resources"].format(count=format_count(count))
        if _is_metered(first)
        else None,
        TEXTS["gigabyte_hours"] if str(first["unit"]) == "byte_s" else None,
        _origin(first, document),
        TEXTS["line_discount"].format(rate=format_rate(first["line_discount_ppm"]))
        if first["line_discount_ppm"]
        else None,
    )
    return " · ".join(part for part in parts if part)


def _is_metered(line: _Row) -> bool:
    return str(line["basis"]) in ("runtime", "stored", "moved", "units")


def _origin(line: _Row, document: _Row) -> str | None:
    if line["correction_cause"]:
        cause = TEXTS[f"corrected_{line['correction_cause']}"]
        return TEXTS["correction_of"].format(month=format_month(line["origin_month"]), cause=cause)
    if line["origin_month"] != document["billing_month"]:
        return TEXTS["usage_of_month"].format(month=format_month(line["origin_month"]))
    return None


def _period_of(line: _Row, document: _Row) -> tuple[date, date]:
    """When it was used: in the document's period, or in the month that it is told for."""
    month, start = Month.parse(line["origin_month"]), document["period_start"]
    if month == Month.of(start):
        return start, document["period_end"]
    return month.first_day, month.last_day


def _credit_line(item_id: str, text: str, cents: int, period: tuple[date, date], digits: int) -> EInvoiceLine:
    return EInvoiceLine(item_id, TEXTS[text], "", _piece(cents, digits), *period, (), cents)


def _nothing_used(period: tuple[date, date]) -> EInvoiceLine:
    return EInvoiceLine("none", TEXTS["no_fees"], "", _piece(0, 2), *period, (), 0)


def _rules(lines: Sequence[_Row], rule_label: RuleLabel) -> Iterator[Deviation]:
    """Discounts and maxima over several lines; one that is taken back is a charge."""
    for line in lines:
        if line["basis"] == "discount" and line["amount_cents"]:
            reason = " · ".join(filter(None, (rule_label(line), line["description"])))
            yield Deviation(line["amount_cents"], reason, _DISCOUNT if line["amount_cents"] < 0 else "")


# Parties and notes


def _is_french(seller: Seller) -> bool:
    return seller.country in ("FR", "MC")


def _seller(seller: Seller) -> TaxedParty:
    *address, last = seller.address or ("",)
    place = _POSTCODE_AND_CITY.fullmatch(last)
    postcode, city = place.groups() if place else ("", "")
    legal_id, establishment = _registrations(seller.country, seller.legal_id)
    return TaxedParty(
        name=seller.name,
        trading_name="",
        legal_id=legal_id,
        establishment=establishment,
        address=_three_lines(address if place else seller.address),
        postcode=postcode,
        city=city,
        country=seller.country,
        vat_number=seller.vat_number,
        electronic_address=_electronic_address(legal_id, seller.vat_number),
    )


def _buyer(row: _Row) -> TaxedParty:
    legal_id, establishment = _registrations(row["country"], row["legal_id"] or "")
    name = row["legal_name"] or row["name"]
    return TaxedParty(
        name=name,
        trading_name=row["name"] if row["name"] != name else "",
        legal_id=legal_id,
        establishment=establishment,
        address=_three_lines([row["address_line1"], row["address_line2"] or ""]),
        postcode=row["postcode"],
        city=row["city"],
        country=row["country"],
        vat_number=row["vat_number"] or "",
        electronic_address=_electronic_address(legal_id, row["vat_number"] or ""),
    )


def _three_lines(address: Sequence[str]) -> tuple[str, ...]:
    """An address has three lines at most; what is more stands on the third."""
    lines = [line for line in address if line]
    return tuple(lines if len(lines) <= 3 else [*lines[:2], ", ".join(lines[2:])])


def _registrations(country: str, number: str) -> tuple[Identifier | None, Identifier | None]:
    """SIREN and SIRET of a French party; another register's number without one."""
    if not number:
        return None, None
    digits = french_digits(country, number)
    if not digits:
        return Identifier("", number), None
    siret = Identifier("0009", digits) if len(digits) > SIREN_DIGITS else None
    return Identifier("0002", digits[:SIREN_DIGITS]), siret


def _electronic_address(legal_id: Identifier | None, vat_number: str) -> Identifier | None:
    """Where an e-invoice reaches a party: its SIREN, or else its VAT number in the EU; None where neither is known."""
    if legal_id and legal_id.scheme:
        return Identifier(_FRENCH_DIRECTORY, legal_id.number)
    scheme = _VAT_SCHEMES.get(vat_number[:2])
    return Identifier(scheme, vat_number) if scheme else None


def _french_notes(row: _Row, seller: Seller) -> Iterator[Note]:
    is_business = str(row["party_kind"]) == "business"
    if is_business:
        yield Note("PMT", TEXTS["recovery_charge"])
        yield Note("PMD", TEXTS["late_interest"])
    yield Note("AAB", TEXTS["no_early_discount"])
    if seller.legal_mention:
        yield Note("REG", seller.legal_mention)
    abroad = "" if has_french_registrations(row["country"]) else "INT"
    yield Note("BAR", f"{'B2B' if is_business else 'B2C'}{abroad}")


def describe_replacement(invoice: _Row) -> str:
    """Which invoice an invoice that is issued again replaces, and why."""
    return TEXTS["terms_replaces"].format(
        number=invoice["replaces"], day=format_day_in_words(invoice["replaces_issued_on"]), reason=invoice["reason"]
    )

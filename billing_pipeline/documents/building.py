"""Documents as finished text: published frames in, one `InvoiceView` per document out.

Everything is chosen, added up and formatted here, so that a template only loops and asks whether something is there.
No amount is computed anew: figures are the published ones, sums are sums of printed ones, and an invoice whose figures
contradict each other is refused instead of printed.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import replace
from datetime import date, datetime, timedelta
from fractions import Fraction
from functools import partial
from typing import Any, NamedTuple
from zoneinfo import ZoneInfo

import polars as pl

from billing_pipeline.documents import formatting, payment_code, pictures
from billing_pipeline.documents.einvoice import (
    EInvoice,
    InconsistentInvoice,
    describe_credit_note,
    describe_interim,
    describe_invoice,
    describe_replacement,
    describe_specific,
)
from billing_pipeline.documents.languages import printed_language, printing_in
from billing_pipeline.documents.many_lines import condense
from billing_pipeline.documents.texts import (
    COUNTED,
    COUNTED_NAMES,
    NET_USE_FORMULA,
    SERVICES,
    STATEMENT,
    STATEMENT_LABELS,
    TEXTS,
)
from billing_pipeline.documents.view import (
    AnnexView,
    CouponView,
    DailyView,
    DocumentFailure,
    FactView,
    InvoiceView,
    LineView,
    OrganisationsView,
    OrganisationView,
    OwnerLinesView,
    PanelView,
    PartyView,
    ServiceLinesView,
    ServiceView,
    StatementRowView,
    StepsView,
    TotalView,
    UnusableView,
)
from billing_pipeline.rules.currencies import MINOR_DIGITS
from billing_pipeline.rules.daily_costs import share_over_days
from billing_pipeline.rules.parties import Seller
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.registrations import SIREN_DIGITS, french_digits
from billing_pipeline.tables.invoices import RULE_BASES
from billing_pipeline.tables.rating import DailyWeights

#: Texts beyond this length are cut: a layout must not depend on what someone types into a name.
TEXT_LENGTH_MAX = 160

_Row = Mapping[str, Any]
_Money = Callable[[int], str]


class UnprintableInvoice(ValueError):
    """The published rows of an invoice are missing, contradict each other or say something that has no printed text."""


#: Lines that spend rules made, and the slugs of those that look at everything.
_WHOLE_INVOICE = ("discount", "maximum", "minimum", "commitment")

#: How the next month is estimated from what recurs.
_RECURRING_BASES = ("same_as_last_month", "daily_rate", "mean_of_three")

#: Bases whose lines are told one by one, not by resource.
_ITEMS = ("one_shot", "vendor", "true_up")

_UNUSABLE_KEY = ("payer_id", "owner_id", "slug", "resource_id", "instance_id", "started_at")

#: How many services page 1 lists before the rest are taken together.
_SERVICES_SHOWN = 6


def build_views(
    drafts: pl.DataFrame,
    lines: pl.DataFrame,
    statements: pl.DataFrame,
    lots: pl.DataFrame,
    seller: Seller,
    zone: ZoneInfo,
    unusable: pl.DataFrame | None = None,
    agreements: Mapping[str, str] | None = None,
    interim: Mapping[str, Sequence[tuple[str, int]]] | None = None,
    movements: pl.DataFrame | None = None,
    weights: pl.DataFrame | None = None,
) -> Iterator[InvoiceView | DocumentFailure]:
    """The invoices of a month as text, in the order of `payer_id`; a payer that cannot be printed is a failure.

    Args:
        drafts: `tables.invoices.Drafts`, `Invoices` or `ReissuedInvoices`; a null number makes it a draft.
        lines: `tables.invoices.InvoiceLines`.
        statements: `tables.credits.CreditStatements`.
        lots: `tables.credits.CreditLots`.
        seller: whose invoices these are.
        zone: the billing time zone, in which a coupon's last day and time not billed are printed.
        unusable: time not billed, one row per part of a run: `payer_id`, `owner_id`, `resource_id`, `resource_name`,
            `slug`, `zone`, `instance_id`, `started_at`, `stopped_at`, `reason`.
        agreements: payer -> who agreed to its custom refill, and why.
        interim: payer -> numbers and cents of the interim invoices that its statement counts.
        movements: `tables.credits.CreditMovements`; e-invoices say by them which line free credits paid.
        weights: `tables.rating.DailyWeights`; without them no days are drawn.
    """
    lines_of = _rows_by_payer(condense(_with_free(lines, movements)), "line_number")
    statement_of = _rows_by_payer(statements)
    lots_of = _rows_by_payer(lots, "priority", "expires_at", "starts_at", "grant_id")
    unusable_of = _rows_by_payer(
        unusable if unusable is not None else pl.DataFrame(schema=dict.fromkeys(_UNUSABLE_KEY, pl.String)),
        *_UNUSABLE_KEY[1:],
    )
    weights_of = _rows_by_payer(DailyWeights.create_empty() if weights is None else weights, "service", "day")
    for draft in _cut_texts(drafts).sort("payer_id", "kind").iter_rows(named=True):
        payer_id = draft["payer_id"]
        try:
            rows = (lines_of(payer_id), statement_of(payer_id), lots_of(payer_id), unusable_of(payer_id))
            agreed, counted = (agreements or {}).get(payer_id), (interim or {}).get(payer_id, ())
            with printing_in(draft["language"]):
                view = _build_view(draft, *rows, seller, zone, agreed, counted, weights_of(payer_id))
                view = replace(view, einvoice=_einvoice(draft, *rows[:2], seller, counted))
            yield view
        except (UnprintableInvoice, InconsistentInvoice) as error:
            yield DocumentFailure(payer_id, str(error))


def _with_free(lines: pl.DataFrame, movements: pl.DataFrame | None) -> pl.DataFrame:
    """The lines with `free_cents`: what free credits paid of each, below zero."""
    if movements is None:
        return lines.with_columns(free_cents=pl.lit(0, pl.Int64))
    used = movements.filter(pl.col("kind").cast(pl.String) == "free_used")
    free = used.group_by("line_id").agg(free_cents=pl.col("amount_cents").sum())
    return lines.join(free, on="line_id", how="left").with_columns(pl.col("free_cents").fill_null(0))


def _einvoice(
    draft: _Row,
    lines: Sequence[_Row],
    statements: Sequence[_Row],
    seller: Seller,
    interim: Sequence[tuple[str, int]],
) -> EInvoice | None:
    if not draft["number"]:
        return None
    label = partial(_rule_label, money=partial(formatting.format_money, currency=draft["currency"]))
    numbers = [number for number, _ in interim]
    return describe_invoice(draft, lines, statements[0], seller, label, numbers)


def _or_failure(document: _Row, build: Callable[[], InvoiceView]) -> InvoiceView | DocumentFailure:
    try:
        with printing_in(document["language"]):
            return build()
    except InconsistentInvoice as error:
        return DocumentFailure(document["payer_id"], str(error))


def _rows_by_payer(rows: pl.DataFrame, *order: str) -> Callable[[str], Sequence[_Row]]:
    """Sort and cut a frame once, so that the rows of each payer are a slice and not a scan."""
    ordered = _cut_texts(rows.sort("payer_id", *order, nulls_last=True))
    spans = ordered.group_by("payer_id", maintain_order=True).len()
    starts = spans.select(pl.col("len").cum_sum() - pl.col("len")).to_series()
    span_of = dict(zip(spans["payer_id"], zip(starts, spans["len"], strict=True), strict=True))

    def rows_of(payer_id: str) -> Sequence[_Row]:
        return ordered.slice(*span_of[payer_id]).to_dicts() if payer_id in span_of else []

    return rows_of


def _cut_texts(rows: pl.DataFrame) -> pl.DataFrame:
    texts = pl.col(pl.String)
    shortened = texts.str.slice(0, TEXT_LENGTH_MAX - 1) + "…"
    return rows.with_columns(pl.when(texts.str.len_chars() > TEXT_LENGTH_MAX).then(shortened).otherwise(texts))


def _build_view(
    draft: _Row,
    lines: Sequence[_Row],
    statements: Sequence[_Row],
    lots: Sequence[_Row],
    unusable: Sequence[_Row],
    seller: Seller,
    zone: ZoneInfo,
    agreement: str | None,
    interim: Sequence[tuple[str, int]],
    weights: Sequence[_Row],
) -> InvoiceView:
    _require_consistency(draft, lines, statements)
    statement = statements[0]
    money = partial(formatting.format_money, currency=draft["currency"])
    usage = [line for line in lines if line["basis"] != "discount"]
    discounts = [line for line in lines if line["basis"] == "discount"]
    period = formatting.format_period(draft["period_start"], draft["period_end"])
    costs = _costs_by_service(usage)
    drawn = _daily_costs(draft, costs, weights)
    return InvoiceView(
        **_head(draft, seller, _invoice_heading(draft), period),
        facts=_facts(draft, period),
        amount_label=TEXTS["amount_to_pay"],
        panel=_panel(draft, seller, money),
        totals=_totals(draft, statement, lines, period, money),
        services=_services(costs, drawn, money),
        daily=_daily(draft, costs, drawn, money),
        terms=_terms(draft, seller),
        steps=_steps(statement, money),
        statement=_statement(statement, money),
        explanations=_present(
            _counted_interim(interim, money),
            *_explanations(draft, statement, lines, money),
            _agreed(statement, agreement, money),
        ),
        coupons=tuple(_coupon(lot, draft["period_end"], zone, money) for lot in lots),
        coupon_total=_coupon_total(lots, money) if len(lots) > 1 else None,
        organisations=_organisations(draft, usage, discounts, money),
        details=_details(draft, usage, money),
        details_title=TEXTS["usage_details"],
        details_note=_details_note(draft, usage),
        details_total=FactView(TEXTS["fees_before_discount" if discounts else "total_fees"], money(_total(usage))),
        annex=_annex(draft, unusable, zone) if unusable else None,
    )


def _details_note(draft: _Row, usage: Sequence[_Row]) -> str:
    count = sum(line["printed_lines"] for line in usage)
    if count == len(usage):
        return TEXTS["usage_details_note"]
    return TEXTS["condensed_details_note"].format(
        count=formatting.format_count(count), name=draft["number"] or draft["payer_id"]
    )


def _counted_interim(interim: Sequence[tuple[str, int]], money: _Money) -> str:
    """Which interim invoices are among the prepaid credits, and what they asked for."""
    if not interim:
        return ""
    numbers = ", ".join(number for number, _ in interim)
    return TEXTS["interim_counted"].format(amount=money(sum(cents for _, cents in interim)), numbers=numbers)


def _agreed(statement: _Row, agreement: str | None, money: _Money) -> str:
    """What was agreed instead of the refill that is computed."""
    if not agreement:
        return ""
    told = agreement[: TEXT_LENGTH_MAX - 1] + "…" if len(agreement) > TEXT_LENGTH_MAX else agreement
    return TEXTS["agreed_refill"].format(amount=money(statement["refill_cents"]), agreement=told)


def build_specific_views(
    documents: pl.DataFrame, lines: pl.DataFrame, seller: Seller
) -> Iterator[InvoiceView | DocumentFailure]:
    """The documents beside the month's invoices as text, in the order of payer, kind and reference.

    Args:
        documents: `tables.invoices.SpecificDrafts` or `SpecificInvoices`; a null number makes it a draft.
        lines: `tables.invoices.SpecificLines`.
        seller: whose documents these are.
    """
    texts, named = (_cut_texts(rows).with_columns(reference=rows["reference"]) for rows in (lines, documents))
    line_of = {line["reference"]: line for line in texts.iter_rows(named=True)}
    for document in named.sort("payer_id", "kind", "reference").iter_rows(named=True):
        line = line_of.get(document["reference"])
        if line is None or line["amount_cents"] != document["subtotal_cents"]:
            detail = f"the line of {document['reference']} is not what its document asks for; close the month again"
            yield DocumentFailure(document["payer_id"], detail)
        else:
            yield _or_failure(document, partial(_build_specific, document, line, seller))


def _build_specific(document: _Row, line: _Row, seller: Seller) -> InvoiceView:
    money = partial(formatting.format_money, currency=document["currency"])
    number, day = document["number"], _day(document["performed_on"])
    is_sale = document["kind"] == "credits"
    facts = (
        ("issued", _day(document["issued_on"]) if number else TEXTS["not_yet"]),
        ("due", _day(document["due_on"]) if number else ""),
        ("performed", day),
        ("order", document["reference"] if len(document["reference"]) <= TEXT_LENGTH_MAX else ""),
        ("status", _status(document)),
        ("operation", TEXTS["services_supplied"]),
        ("purchase_order", document["purchase_order"]),
        ("cost_centre", document["cost_centre"]),
    )
    label = TEXTS["sold_credits" if is_sale else "total_fees"]
    asked = TotalView(label, TEXTS["sold_credits_note"] if is_sale else "", money(line["amount_cents"]), is_total=False)
    return InvoiceView(
        **_head(document, seller, _invoice_heading(document), day),
        facts=tuple(FactView(TEXTS[name], value) for name, value in facts if value),
        amount_label=TEXTS["amount_to_pay"],
        panel=_panel(document, seller, money),
        totals=(
            asked,
            *_subtotal_and_vat(document, "", money),
        ),
        terms=_terms(document, seller),
        details=_details(document, [line], money),
        details_title=TEXTS["ordered"],
        details_note="",
        details_total=FactView(label, money(line["amount_cents"])),
        is_single_page=True,
        einvoice=describe_specific(document, line, seller) if number else None,
    )


def build_interim_views(
    documents: pl.DataFrame, lines: pl.DataFrame, seller: Seller
) -> Iterator[InvoiceView | DocumentFailure]:
    """Interim invoices as text, in the order of their numbers.

    Args:
        documents: `tables.interim.InterimInvoices`.
        lines: `tables.interim.InterimLines`.
        seller: whose invoices these are.
    """
    own_lines: dict[tuple[str, str], list[_Row]] = {}
    for line in _cut_texts(lines.sort("line_number")).iter_rows(named=True):
        own_lines.setdefault((line["payer_id"], line["reference"]), []).append(line)
    for document in _cut_texts(documents).sort("number").iter_rows(named=True):
        said = own_lines.get((document["payer_id"], document["reference"]), [])
        if _total(said) != document["fees_to_date_cents"]:
            yield DocumentFailure(
                document["payer_id"], f"the lines of {document['number']} do not add up to its fees to date"
            )
        else:
            yield _or_failure(document, partial(_build_interim, document, said, seller))


def _build_interim(document: _Row, lines: Sequence[_Row], seller: Seller) -> InvoiceView:
    money = partial(formatting.format_money, currency=document["currency"])
    period = formatting.format_period(document["period_start"], document["period_end"])
    to_date = formatting.format_period(document["period_start"].replace(day=1), document["period_end"])
    usage = [line for line in lines if line["basis"] != "discount"]
    less = ("free_used", "prepaid_used", "earlier", "pending")
    totals = (
        *_fee_totals(lines, to_date, money),
        TotalView(TEXTS["fees_to_date"], "", money(document["fees_to_date_cents"]), is_total=True),
        *(
            TotalView(TEXTS[f"less_{name}"], "", money(document[f"{name}_cents"]), is_total=False)
            for name in less
            if document[f"{name}_cents"]
        ),
        *_subtotal_and_vat(document, TEXTS["interim_note"], money),
    )
    return InvoiceView(
        **_head(document, seller, TEXTS["interim_invoice"], period),
        facts=_facts(document, period),
        amount_label=TEXTS["amount_to_pay"],
        panel=_panel(document, seller, money),
        totals=totals,
        terms=_terms(document, seller),
        details=_details(document, usage, money),
        details_title=TEXTS["usage_details"],
        details_note=TEXTS["usage_details_note"],
        details_total=FactView(
            TEXTS["fees_before_discount" if len(usage) < len(lines) else "fees_to_date"], money(_total(usage))
        ),
        einvoice=describe_interim(document, seller),
    )


def build_credit_note_views(
    notes: pl.DataFrame, lines: pl.DataFrame, seller: Seller
) -> Iterator[InvoiceView | DocumentFailure]:
    """The credit notes of a month as text, in the order of their numbers.

    Args:
        notes: `tables.corrections.IssuedCreditNotes`.
        lines: `tables.corrections.CreditNoteLines`.
        seller: whose credit notes these are.
    """
    order = ("owner_name", "owner_id", "slug", "resource_id", "line_id")
    rows = _cut_texts(lines.sort(order)).to_dicts()
    for note in _cut_texts(notes).sort("number").iter_rows(named=True):
        own = [line for line in rows if (line["payer_id"], line["refers_to"]) == (note["payer_id"], note["refers_to"])]
        if _total(own) != note["fees_cents"]:
            yield DocumentFailure(note["payer_id"], f"the lines of {note['number']} do not add up to what it credits")
        else:
            yield _or_failure(note, partial(_build_credit_note, note, own, seller))


def _build_credit_note(note: _Row, lines: Sequence[_Row], seller: Seller) -> InvoiceView:
    money = partial(formatting.format_money, currency=note["currency"])
    period = formatting.format_period(note["period_start"], note["period_end"])
    number, issued_on = note["refers_to"], note["refers_to_issued_on"]
    facts = (
        ("issued", _day(note["issued_on"])),
        ("corrects", TEXTS["corrected_invoice"].format(number=number, day=_day(issued_on))),
        ("period", period),
        ("purchase_order", note["purchase_order"]),
        ("cost_centre", note["cost_centre"]),
    )
    message = TEXTS["credited" if note["payable_cents"] else "nothing_in_money"]
    is_reissue = note["reissue_reason"] is not None
    given_back = (
        ("prepaid_kept" if is_reissue else "prepaid_given_back", -note["prepaid_given_back_cents"]),
        ("free_kept" if is_reissue else "free_given_back", -note["free_given_back_cents"]),
        ("refill_kept" if is_reissue else "refill_cancelled", note["refill_cancelled_cents"]),
        ("prepaid_refunded", note["prepaid_refunded_cents"]),
    )
    credited = TEXTS["credited_fees_note"].format(period=period)
    day = formatting.format_day_in_words(issued_on)
    terms = TEXTS[_credit_terms(note)].format(number=number, day=day, reason=note["reissue_reason"])
    totals = (
        TotalView(TEXTS["credited_fees"], credited, money(note["fees_cents"]), is_total=True),
        *(TotalView(TEXTS[label], "", money(cents), is_total=False) for label, cents in given_back if cents),
        *_subtotal_and_vat(note, "", money),
    )
    return InvoiceView(
        **_head(note, seller, TEXTS["credit_note"], period),
        facts=tuple(FactView(TEXTS[label], value) for label, value in facts if value),
        amount_label=TEXTS["amount_in_favour"],
        panel=PanelView(amount=money(note["payable_cents"]), message=message, bank=()),
        totals=totals,
        terms=terms,
        details=_details(note, lines, money),
        details_title=TEXTS["usage_details"],
        details_note=TEXTS["usage_details_note"],
        details_total=FactView(TEXTS["credited_fees"], money(note["fees_cents"])),
        einvoice=describe_credit_note(note, lines, seller, partial(_rule_label, money=money), terms),
    )


def _credit_terms(note: _Row) -> str:
    """What a credit note is for: corrections, unspent credits, or a whole invoice, that is issued again or not."""
    if note["decision"] is None:
        return "terms_credit_note"
    if note["reissue_reason"] is not None:
        return "terms_reissue"
    return "terms_cancellation" if note["fees_cents"] or note["refill_cancelled_cents"] else "terms_refund"


def _require_consistency(draft: _Row, lines: Sequence[_Row], statements: Sequence[_Row]) -> None:
    """Refuse an invoice whose sections would contradict each other on paper.

    Raises:
        UnprintableInvoice: a section is missing, two sections disagree, or the currency is unknown.
    """
    if len(statements) != 1:
        message = f"{len(statements)} credit statements instead of one; publish credits/credit_statements of the month"
        raise UnprintableInvoice(message)
    statement = statements[0]
    pairs = {
        "total fees and the sum of the lines": (draft["fees_cents"], _total(lines)),
        "total fees and F of the credit statement": (draft["fees_cents"], statement["fees_cents"]),
        "used credits and i less d of the credit statement": (
            draft["used_credits_cents"],
            statement["change_cents"] - statement["free_expired_cents"],
        ),
    }
    for names, (one, other) in pairs.items():
        if one != other:
            message = f"{names} differ: {one} and {other} cents; close the month again"
            raise UnprintableInvoice(message)
    if draft["currency"] not in MINOR_DIGITS:
        message = f"currency {draft['currency']!r} is not one of ISO 4217; add it to rules.currencies"
        raise UnprintableInvoice(message)


def _head(document: _Row, seller: Seller, heading: str, when: str) -> dict[str, Any]:
    """What is at the head and the foot of the pages of every kind of document.

    Args:
        document: a row of a table of drafts or issued documents.
        seller: the provider.
        heading: what kind of document it is.
        when: the period or day of what it asks for.
    """
    number = document["number"] or ""
    title = f"{heading} {number}".strip()
    return {
        "payer_id": document["payer_id"],
        "language": printed_language(),
        "is_draft": not number,
        "number": number,
        "title": title,
        "heading": heading,
        "running_title": f"{title} · {when}",
        "issued_on": document["issued_on"].isoformat() if number else "",
        "seller": _seller(seller),
        "seller_initial": seller.name[:1].upper(),
        "buyer": _buyer(document),
        "legal_mention": " · ".join(_present(seller.name, seller.legal_mention)),
    }


def _invoice_heading(document: _Row) -> str:
    return TEXTS["invoice" if document["number"] else "draft_invoice"]


def _seller(seller: Seller) -> PartyView:
    return PartyView(
        name=seller.name,
        lines=_present(
            *seller.address,
            formatting.format_country(seller.country),
            _labelled("vat_number", seller.vat_number),
            _registration(seller.country, seller.legal_id),
            seller.email,
        ),
    )


def _buyer(draft: _Row) -> PartyView:
    return PartyView(
        name=draft["name"],
        lines=_present(
            draft["legal_name"] if draft["legal_name"] != draft["name"] else None,
            draft["address_line1"],
            draft["address_line2"],
            f"{draft['postcode']} {draft['city']}".strip(),
            formatting.format_country(draft["country"]),
            _labelled("vat_number", draft["vat_number"]),
            _registration(draft["country"], draft["legal_id"]),
        ),
    )


def _facts(draft: _Row, period: str) -> tuple[FactView, ...]:
    return tuple(
        FactView(TEXTS[label], value)
        for label, value in (
            ("issued", _day(draft["issued_on"]) if draft["number"] else TEXTS["not_yet"]),
            ("due", _day(draft["due_on"]) if draft["number"] else ""),
            ("period", period),
            ("replaces", _replaced(draft) if "replaces" in draft else ""),
            ("status", _status(draft)),
            ("operation", TEXTS["services_supplied"]),
            ("purchase_order", draft["purchase_order"]),
            ("cost_centre", draft["cost_centre"]),
        )
        if value
    )


def _replaced(invoice: _Row) -> str:
    """The invoice in whose stead this one is issued."""
    return TEXTS["corrected_invoice"].format(number=invoice["replaces"], day=_day(invoice["replaces_issued_on"]))


def _status(draft: _Row) -> str:
    """The status at the moment of issue: a document is never printed again when it changes."""
    if not draft["number"]:
        return TEXTS["status_draft"]
    return TEXTS["status_pending"] if draft["payable_cents"] else TEXTS["status_paid"]


def _panel(draft: _Row, seller: Seller, money: _Money) -> PanelView:
    if not draft["number"]:
        message = TEXTS["draft_not_payable"]
    elif not draft["payable_cents"]:
        message = TEXTS["nothing_to_pay"]
    else:
        message = TEXTS["pay_by"].format(day=formatting.format_day_in_words(draft["due_on"]))
    is_payable = bool(draft["number"] and draft["payable_cents"] and seller.iban)
    transfer = (seller.name, seller.iban, seller.bic, draft["payable_cents"], draft["currency"], draft["number"])
    said = payment_code.read_by_banks(*transfer) if is_payable else ""
    bank = (("iban", formatting.format_iban(seller.iban)), ("bic", seller.bic), ("reference", draft["number"]))
    return PanelView(
        amount=money(draft["payable_cents"]),
        message=message,
        bank=tuple(FactView(TEXTS[label], value) for label, value in bank if value) if is_payable else (),
        code=pictures.payment_code(payment_code.modules_of(said), TEXTS["payment_code"]) if said else None,
    )


def _totals(draft: _Row, statement: _Row, lines: Sequence[_Row], period: str, money: _Money) -> tuple[TotalView, ...]:
    credits_label = TEXTS["credits_to_add"] if draft["used_credits_cents"] > 0 else TEXTS["used_credits"]
    return (
        *_fee_totals(lines, period, money),
        TotalView(TEXTS["total_fees"], "", money(draft["fees_cents"]), is_total=True),
        TotalView(credits_label, TEXTS["credits_note"], money(draft["used_credits_cents"]), is_total=False),
        *_subtotal_and_vat(draft, _over_consumption(statement, money), money),
    )


def _fee_totals(lines: Sequence[_Row], period: str, money: _Money) -> tuple[TotalView, ...]:
    """What was used, and what discounts and least amounts make of it."""
    rules = [line for line in lines if line["basis"] in RULE_BASES]
    usage_cents = _total(lines) - _total(rules)
    return (
        TotalView(TEXTS["fees"], TEXTS["fees_note"].format(period=period), money(usage_cents), is_total=False),
        *(
            TotalView(
                _rule_label(line, money),
                ". ".join(_present(line["description"], _correction(line, money))),
                money(line["amount_cents"]),
                is_total=False,
            )
            for line in rules
        ),
    )


def _subtotal_and_vat(document: _Row, note: str, money: _Money) -> tuple[TotalView, TotalView]:
    vat_label = TEXTS["vat"].format(rate=formatting.format_rate(document["vat_ppm"]))
    return (
        TotalView(TEXTS["subtotal"], note, money(document["subtotal_cents"]), is_total=True),
        TotalView(vat_label, document["vat_note"], money(document["vat_cents"]), is_total=False),
    )


def _rule_label(line: _Row, money: _Money) -> str:
    """What a rule is and for what it counts: `Discount 10 %`, `Minimum €20.00 for apps.s, Labs`."""
    rate = formatting.format_rate(line["rule_rate_ppm"]) if line["rule_rate_ppm"] is not None else ""
    amount = money(line["rule_limit_cents"]) if line["rule_limit_cents"] is not None else ""
    kind = str(line["rule_kind"]).removeprefix("invoice_")
    if kind == "discount" and amount:
        kind = "fixed_discount"
    name = TEXTS[kind].format(rate=rate, amount=amount)
    scope = _present(
        line["slug"] if line["slug"] not in _WHOLE_INVOICE else None,
        line["owner_name"] if line["owner_id"] != line["payer_id"] else None,
    )
    return TEXTS["rule_for"].format(name=name, scope=", ".join(scope)) if scope else name


def _uncovered_cents(statement: _Row) -> int:
    """Fees that no credit covered: U = F + c + e."""
    return statement["fees_cents"] + statement["free_used_cents"] + statement["prepaid_used_cents"]


def _over_consumption(statement: _Row, money: _Money) -> str:
    """What of the subtotal are fees that the credits did not cover."""
    uncovered_cents = _uncovered_cents(statement)
    if uncovered_cents <= 0:
        return ""
    text = TEXTS["over_consumption_and_refill" if statement["refill_cents"] else "over_consumption"]
    return text.format(amount=money(uncovered_cents), refill=money(statement["refill_cents"]))


def _explanations(draft: _Row, statement: _Row, lines: Sequence[_Row], money: _Money) -> Iterator[str]:
    """What was invoiced at once, what the estimate rests on, and where the credits go."""
    fees_cents, uncovered_cents = statement["fees_cents"], _uncovered_cents(statement)
    if uncovered_cents > 0:
        used = money(fees_cents - uncovered_cents)
        yield TEXTS["regularisation"].format(fees=money(fees_cents), used=used, amount=money(uncovered_cents))
    basis, recurring_cents = str(statement["estimate_basis"]), statement["recurring_cents"]
    if fees_cents or statement["forecast_cents"] or basis in ("final", "interim"):
        lately = (recurring_cents, statement["recurring_1_before_cents"], statement["recurring_2_before_cents"])
        sentence = TEXTS[f"estimate_{basis}"].format(
            recurring=money(recurring_cents),
            parts=", ".join(money(cents) for cents in lately if cents is not None),
            estimate=money(-statement["forecast_cents"]),
        )
        corrected_cents = _total([line for line in lines if line["correction_cause"]])
        one_off_cents = fees_cents - recurring_cents - corrected_cents
        left_out = (
            TEXTS["one_off"].format(one_off=money(one_off_cents)) if one_off_cents else None,
            TEXTS["corrections"].format(corrections=money(corrected_cents)) if corrected_cents else None,
        )
        yield " ".join(_present(sentence, *(left_out if basis in _RECURRING_BASES else ())))
    if draft["successor_name"]:
        yield TEXTS["handed_over"].format(name=draft["successor_name"], amount=money(statement["balance_after_cents"]))


class _Cost(NamedTuple):
    """What page 1 prints of a service, or of the smallest ones together."""

    name: str
    amount_cents: int
    #: The names of the services that it is of.
    services: tuple[str, ...]


def _costs_by_service(usage: Sequence[_Row]) -> list[_Cost]:
    """Services by falling amount, the smallest together: page 1 has room for `_SERVICES_SHOWN`."""
    costs = [_Cost(name, _total(lines), (name,)) for name, lines in _grouped(usage, _service).items()]
    costs.sort(key=lambda cost: (-cost.amount_cents, cost.name))
    if len(costs) <= _SERVICES_SHOWN:
        return costs
    others = costs[_SERVICES_SHOWN - 1 :]
    name = TEXTS["other_services"].format(count=formatting.format_count(len(others)))
    together = _Cost(name, sum(cost.amount_cents for cost in others), tuple(cost.name for cost in others))
    return [*costs[: _SERVICES_SHOWN - 1], together]


def _services(costs: Sequence[_Cost], drawn: Collection[str], money: _Money) -> tuple[ServiceView, ...]:
    """Bars and shares are of the sum of those above zero, as corrections may be below."""
    whole = sum(cost.amount_cents for cost in costs if cost.amount_cents > 0)
    return tuple(
        ServiceView(
            name=cost.name,
            share=formatting.format_share(cost.amount_cents, whole) if cost.amount_cents > 0 else "",
            bar=pictures.share_bar(
                cost.amount_cents, whole, TEXTS["share_of"].format(service=cost.name), place if drawn else 0
            ),
            amount=money(cost.amount_cents),
            is_drawn=cost.name in drawn,
        )
        for place, cost in enumerate(costs)
    )


def _daily_costs(draft: _Row, costs: Sequence[_Cost], weights: Sequence[_Row]) -> dict[str, list[int]]:
    """Cents per day of the printed services whose days are known; none where nothing was metered."""
    if all(row["service"] in _ITEMS for row in weights):
        return {}
    printed = {service: cost.name for cost in costs for service in cost.services}
    weighed: dict[str, dict[date, int]] = {cost.name: {} for cost in costs}
    for row in weights:
        name = printed.get(_service_name(row["service"]))
        if name:
            weighed[name][row["day"]] = weighed[name].get(row["day"], 0) + int(row["weight"])
    return share_over_days({cost.name: cost.amount_cents for cost in costs}, weighed, _days(draft))


def _daily(draft: _Row, costs: Sequence[_Cost], drawn: Mapping[str, Sequence[int]], money: _Money) -> DailyView | None:
    """The days as bars; a service has the colour of its place among all that are printed."""
    if not drawn:
        return None
    days = _days(draft)
    whole = [sum(cents) for cents in zip(*drawn.values(), strict=True)]
    highest, highest_on = money(max(whole)), days[whole.index(max(whole))]
    return DailyView(
        picture=pictures.daily_bars(
            [(place, drawn[cost.name]) for place, cost in enumerate(costs) if cost.name in drawn],
            TEXTS["by_day_of"].format(amount=highest, day=formatting.format_day_in_words(highest_on)),
        ),
        highest=TEXTS["highest_day"].format(amount=highest, day=_day(highest_on)),
        first_day=_day(days[0]),
        last_day=_day(days[-1]),
    )


def _days(draft: _Row) -> list[date]:
    month = Month.parse(draft["billing_month"])
    return [month.first_day + timedelta(days=number) for number in range(month.last_day.day)]


def _terms(draft: _Row, seller: Seller) -> str:
    if not draft["number"]:
        terms = TEXTS["terms_draft"]
    elif not draft["payable_cents"]:
        terms = TEXTS["terms_paid"]
    else:
        day = formatting.format_day_in_words(draft["due_on"])
        terms = TEXTS[f"terms_{draft['party_kind']}"].format(day=day)
    replaces = describe_replacement(draft) if "replaces" in draft else None
    questions = TEXTS["questions"].format(email=seller.email) if seller.email else None
    return " ".join(_present(replaces, terms, questions))


def _steps(statement: _Row, money: _Money) -> StepsView | None:
    """A, then c + d + e, then f, then what is pending or refilled (g + h), then B."""
    before_cents, after_cents = statement["balance_before_cents"], statement["balance_after_cents"]
    left_cents = after_cents - statement["refill_cents"]
    lacking_cents = left_cents + statement["forecast_cents"]
    refill_cents = statement["pending_cents"] + statement["refill_cents"]
    steps = (
        ("balance_before", pictures.Step(0, before_cents, is_balance=True)),
        ("credits_used", pictures.Step(before_cents, left_cents)),
        ("next_period", pictures.Step(left_cents, lacking_cents)),
        ("pending_and_refill", pictures.Step(lacking_cents, lacking_cents + refill_cents, is_accented=True)),
        ("balance_after", pictures.Step(0, after_cents, is_balance=True)),
    )
    picture = pictures.waterfall([step for _, step in steps], TEXTS["steps"])
    if not picture:
        return None
    return StepsView(
        picture, tuple(FactView(TEXTS[label], money(step.end_cents - step.start_cents)) for label, step in steps)
    )


def _statement(statement: _Row, money: _Money) -> tuple[StatementRowView, ...]:
    rows = [
        StatementRowView(letter, label, formula, money(statement[column]), is_total=letter.isupper())
        for letter, column, label, formula in _printed_letters(statement)
    ]
    net_use_cents = statement["change_cents"] - statement["free_expired_cents"]
    return (*rows, StatementRowView("", TEXTS["net_use"], NET_USE_FORMULA, money(net_use_cents), is_total=True))


def _printed_letters(statement: _Row) -> Iterator[tuple[str, str, str, str]]:
    for letter, column, _, formula in STATEMENT:
        if letter == "h" and statement["is_custom_refill"]:
            yield letter, column, TEXTS["custom_refill"], ""
        else:
            yield letter, column, STATEMENT_LABELS[letter], formula


def _coupon(lot: _Row, period_end: date, zone: ZoneInfo, money: _Money) -> CouponView:
    first_day = lot["starts_at"].astimezone(zone).date()
    notes = _present(
        TEXTS["starts_on"].format(day=_day(first_day)) if first_day > period_end else None,
        TEXTS["only_for"].format(slugs=lot["slugs"].replace(";", ", ")) if lot["slugs"] else None,
    )
    expires_at = lot["expires_at"]
    return CouponView(
        name=lot["name"],
        note=" · ".join(notes),
        valid_until=_day(formatting.last_day_before(expires_at, zone)) if expires_at else TEXTS["no_expiry"],
        before=money(lot["left_before_cents"]),
        used=money(lot["used_cents"]),
        expired=money(lot["expired_cents"]),
        left=money(lot["left_after_cents"]),
    )


def _coupon_total(lots: Sequence[_Row], money: _Money) -> CouponView:
    columns = ("left_before_cents", "used_cents", "expired_cents", "left_after_cents")
    before, used, expired, left = (money(sum(lot[column] for lot in lots)) for column in columns)
    return CouponView(TEXTS["total"], "", "", before, used, expired, left)


def _organisations(
    draft: _Row, usage: Sequence[_Row], discounts: Sequence[_Row], money: _Money
) -> OrganisationsView | None:
    lines_of = _lines_by_owner(draft, usage)
    if len(lines_of) == 1:
        return None
    return OrganisationsView(
        rows=tuple(
            OrganisationView(
                name=_owner_name(draft, owner_id, lines),
                owner_id=owner_id,
                is_main=owner_id == draft["payer_id"],
                amount=money(_total(lines)),
            )
            for owner_id, lines in lines_of.items()
        ),
        discount_label=_rule_label(discounts[0], money) if len(discounts) == 1 else TEXTS["several_discounts"],
        discount=money(_total(discounts)) if discounts else "",
        total=money(draft["fees_cents"]),
    )


def _details(draft: _Row, usage: Sequence[_Row], money: _Money) -> tuple[OwnerLinesView, ...]:
    lines_of = _lines_by_owner(draft, usage)
    is_named = len(lines_of) > 1
    return tuple(
        OwnerLinesView(
            name=_owner_name(draft, owner_id, lines) if is_named else "",
            owner_id=owner_id if is_named else "",
            amount=money(_total(lines)),
            services=tuple(
                _service_lines(name, of_service, draft["billing_month"], money)
                for name, of_service in _grouped(lines, _service).items()
            ),
        )
        for owner_id, lines in lines_of.items()
        if lines
    )


def _service_lines(name: str, lines: Sequence[_Row], billing_month: str, money: _Money) -> ServiceLinesView:
    resources = _grouped(lines, lambda line: line["resource_id"])
    return ServiceLinesView(
        name=name,
        count=_count(lines),
        amount=money(_total(lines)),
        lines=tuple(
            _line(line, billing_month, money, is_continued=position > 0 and resource_id != "")
            for resource_id, of_resource in resources.items()
            for position, line in enumerate(of_resource)
        ),
    )


def _count(lines: Sequence[_Row]) -> str:
    """How many items or resources there are; nothing where a line stands for several, which others may name again."""
    if all(line["basis"] in _ITEMS for line in lines):
        one, many, count = "one_item", "items", len(lines)
    else:
        resources = {line["resource_id"] for line in lines if line["basis"] not in _ITEMS}
        one, many, count = "one_resource", "resources", 0 if "" in resources else len(resources)
    if not count:
        return ""
    return TEXTS[one] if count == 1 else TEXTS[many].format(count=formatting.format_count(count))


def _line(line: _Row, billing_month: str, money: _Money, *, is_continued: bool) -> LineView:
    name, resource_id = _item(line, money)
    if is_continued and line["basis"] not in _ITEMS:
        name, resource_id = "", ""
    usage, usage_note = _usage(line)
    size = line["slug"].partition(".")[2]
    return LineView(
        name=name,
        resource_id=resource_id,
        size_and_zone=formatting.join_with_dash(size, line["zone"]),
        origin=". ".join(_present(*_remarks(line, billing_month, money))),
        usage=usage,
        usage_note=usage_note,
        price=_price(line),
        amount=money(line["amount_cents"]),
    )


def _item(line: _Row, money: _Money) -> tuple[str, str]:
    """What a line is about, and a second line that tells it from others."""
    if line.get("printed_lines", 1) > 1:
        text, count = ("items", line["printed_lines"]) if line["basis"] in _ITEMS else ("resources", line["resources"])
        return TEXTS[text].format(count=formatting.format_count(count)), ""
    match line["basis"]:
        case "one_shot":
            return line["description"] or line["resource_id"], line["sub_description"] or ""
        case "true_up":
            return line["description"] or line["resource_id"], _rule_label(line, money)
        case "vendor":
            return line["description"] or line["resource_id"], line["resource_name"] or line["resource_id"]
    if not line["resource_id"]:
        return TEXTS["grouped_resources"].format(count=formatting.format_count(line["resources"])), ""
    name = line["resource_name"] or line["resource_id"]
    return name, line["resource_id"] if name != line["resource_id"] else ""


def _correction(line: _Row, money: _Money) -> str:
    """What a line of an older month was billed at and what it is now; nothing where the line corrects none."""
    if not line["correction_cause"]:
        return ""
    return TEXTS["corrected"].format(
        month=formatting.format_month(line["origin_month"]),
        cause=TEXTS[f"corrected_{line['correction_cause']}"],
        billed=money(line["billed_cents"]),
        rated=money(line["rated_cents"]),
    )


def _remarks(line: _Row, billing_month: str, money: _Money) -> Iterator[str]:
    """What sets a line apart: the correction of another month, usage of another month, a discount of its own."""
    if line["correction_cause"]:
        yield _correction(line, money)
    elif line["origin_month"] != billing_month:
        yield TEXTS["usage_of_month"].format(month=formatting.format_month(line["origin_month"]))
    if line["line_discount_ppm"]:
        yield TEXTS["line_discount"].format(rate=formatting.format_rate(line["line_discount_ppm"]))


def _usage(line: _Row) -> tuple[str, str]:
    """What was used, and for how long where that is not said by the quantity itself."""
    quantity, duration_s = line["quantity"], line["duration_s"]
    match line["unit"]:
        case "s":
            return formatting.format_duration(int(quantity)), ""
        case "byte_s" if duration_s:
            # A correction may be negative in both; the volume carries the sign.
            average = formatting.format_volume(Fraction(quantity) / abs(duration_s))
            return average, TEXTS["over"].format(duration=formatting.format_duration(abs(duration_s)))
        case "byte_s":
            return f"{formatting.format_volume(Fraction(quantity) / 3600)}·h", ""
        case "byte":
            return formatting.format_volume(Fraction(quantity)), ""
        case "unit":
            one, many = _counted(line["slug"])
            return f"{formatting.format_quantity(quantity)} {one if formatting.is_singular(quantity) else many}", ""
    return formatting.format_quantity(quantity), ""


def _price(line: _Row) -> str:
    """The unit price and what it buys: `€0.04444 /h`, `€0.0000284 /GB·h`, `€8 /100 users`."""
    price = formatting.format_unit_price(line["unit_price"], line["currency"])
    per_quantity, time = line["per_quantity"], formatting.format_time_unit(line["per_seconds"])
    match line["unit"]:
        case "s":
            return f"{price} /{time}"
        case "byte_s":
            return f"{price} /{formatting.format_volume_unit(per_quantity)}·{time}"
        case "byte":
            return f"{price} /{formatting.format_volume_unit(per_quantity)}"
        case "unit":
            one, many = _counted(line["slug"])
            return (
                f"{price} /{one}" if per_quantity == 1 else f"{price} /{formatting.format_count(per_quantity)} {many}"
            )
    return price


def _counted(slug: str) -> tuple[str, str]:
    one, many = next(names for ending, *names in COUNTED if slug.endswith(ending))
    return COUNTED_NAMES[one], COUNTED_NAMES[many]


def _annex(draft: _Row, unusable: Sequence[_Row], zone: ZoneInfo) -> AnnexView:
    """Time not billed, as whole seconds; the total is that of all parts, floored once."""

    def local(instant: datetime) -> str:
        return formatting.format_instant(instant, zone)

    def whole_seconds(duration: timedelta) -> str:
        return formatting.format_duration(duration // timedelta(seconds=1))

    return AnnexView(
        period_label=TEXTS["unusable_period"].format(zone=zone.key),
        rows=tuple(
            UnusableView(
                name=row["resource_name"] or row["resource_id"],
                instance=" · ".join(
                    _present(row["owner_id"] if row["owner_id"] != draft["payer_id"] else None, row["instance_id"])
                ),
                size_and_zone=formatting.join_with_dash(row["slug"], row["zone"]),
                period=formatting.join_with_dash(local(row["started_at"]), local(row["stopped_at"])),
                reason=row["reason"],
                duration=whole_seconds(row["stopped_at"] - row["started_at"]),
            )
            for row in unusable
        ),
        total=whole_seconds(sum((row["stopped_at"] - row["started_at"] for row in unusable), timedelta())),
    )


def _lines_by_owner(draft: _Row, usage: Sequence[_Row]) -> dict[str, list[_Row]]:
    """The payer first, with or without lines of its own, then its sub-organisations in the order of their lines."""
    return {draft["payer_id"]: [], **_grouped(usage, lambda line: line["owner_id"])}


def _owner_name(draft: _Row, owner_id: str, lines: Sequence[_Row]) -> str:
    return draft["name"] if owner_id == draft["payer_id"] else lines[0]["owner_name"]


def _grouped(lines: Sequence[_Row], key: Callable[[_Row], str]) -> dict[str, list[_Row]]:
    """Lines under a key, keys in the order in which they first occur."""
    groups: dict[str, list[_Row]] = {}
    for line in lines:
        groups.setdefault(key(line), []).append(line)
    return groups


def _service(line: _Row) -> str:
    return _service_name(line["slug"].partition(".")[0])


def _service_name(service: str) -> str:
    return SERVICES.get(service, service)


def _total(lines: Sequence[_Row]) -> int:
    return sum(line["amount_cents"] for line in lines)


def _registration(country: str, number: str | None) -> str | None:
    """The number of a company's register; which one it is, where the country is French and the number right."""
    digits = french_digits(country, number or "")
    if not digits:
        return _labelled("legal_id", number)
    return _labelled("siren" if len(digits) == SIREN_DIGITS else "siret", number)


def _labelled(label: str, number: str | None) -> str | None:
    return TEXTS[label].format(number=number) if number else None


def _day(day: date) -> str:
    return formatting.format_day(day)


def _present(*texts: str | None) -> tuple[str, ...]:
    return tuple(text for text in texts if text)

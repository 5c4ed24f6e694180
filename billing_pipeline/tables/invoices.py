"""Invoices as data: drafts, issued invoices, their lines, and who was held back."""

import dataframely as dy
import polars as pl

from billing_pipeline.tables.columns import cents, instant, organisation_id, whole
from billing_pipeline.tables.table import Table


def vat_scheme() -> dy.Enum:
    """Where the VAT of an invoice is declared: at home, by the customer, in the one-stop shop, nowhere in the EU."""
    return dy.Enum(["domestic", "reverse_charge", "oss", "outside"])


def vat_category() -> dy.Enum:
    """The category of VAT of EN 16931 (BT-118): standard rate, reverse charge, outside the scope."""
    return dy.Enum(["S", "AE", "O"])


LINE_BASES = ["runtime", "stored", "moved", "units", "one_shot", "vendor", "discount", "true_up"]
#: Those of rules over several lines, printed among the totals.
RULE_BASES = ("discount", "true_up")
RULE_KINDS = ["discount", "invoice_discount", "maximum", "minimum", "commitment"]
#: Usage that came late or grew, that was withdrawn or shrank, another price or rate, another owner or payer.
CORRECTION_CAUSES = ["late", "withdrawn", "price", "owner"]


class InvoiceLines(Table):
    """One row per printed line, in printed order; the amounts of a payer add up to its total fees F."""

    line_id = dy.String(primary_key=True, min_length=32, max_length=32)
    payer_id = organisation_id()
    #: From 1, within the invoice.
    line_number = dy.Int64(min=1)
    owner_id = organisation_id()
    owner_name = dy.String()
    #: Empty where resources below the cent are one line.
    resource_id = dy.String()
    resource_name = dy.String(nullable=True)
    #: How many resources the line stands for; null where it stands for none.
    resources = dy.Int64(min=1, nullable=True)
    slug = dy.String()
    zone = dy.String()
    price_id = dy.String(nullable=True)
    price_factor_ppm = dy.Int64()
    tier_from = whole(nullable=True)
    origin_month = dy.String()
    #: As in `rating/charges`; `discount` for negative lines over others, `true_up` for what they lack of an amount.
    basis = dy.Enum(LINE_BASES)
    #: What made a `discount` or `true_up`, as in `credits/adjustments`.
    rule_kind = dy.Enum(RULE_KINDS, nullable=True)
    rule_rate_ppm = dy.Int64(min=0, max=1_000_000, nullable=True)
    rule_limit_cents = cents(lowest=0, nullable=True)
    quantity = dy.Decimal(38, 9)
    unit = dy.Enum(["s", "byte_s", "byte", "unit", "piece"])
    duration_s = dy.Int64(nullable=True)
    unit_price = dy.Decimal(38, 20)
    per_quantity = dy.Int64(min=1)
    per_seconds = dy.Int64(min=1)
    #: The line's own discount, already inside the amount.
    line_discount_ppm = dy.Int64(min=0, max=1_000_000)
    amount_cents = cents()
    currency = dy.String(min_length=3, max_length=3)
    description = dy.String(nullable=True)
    sub_description = dy.String(nullable=True)
    #: The line of an older month that this one corrects; null where it corrects none.
    corrected_line_id = dy.String(min_length=32, max_length=32, nullable=True)
    correction_cause = dy.Enum(CORRECTION_CAUSES, nullable=True)
    #: What had been billed for the corrected line, and what it is by what is known now.
    billed_cents = cents(nullable=True)
    rated_cents = cents(nullable=True)


class Documents(Table):
    """What every document says, be it drafted or issued: totals, tax and the party."""

    payer_id = organisation_id(primary_key=True)
    kind = dy.Enum(["invoice"], primary_key=True)
    #: Null in a draft.
    number = dy.String(nullable=True)
    billing_month = dy.String()
    period_start = dy.Date()
    #: Inclusive, as printed.
    period_end = dy.Date()
    #: Null in a draft.
    issued_on = dy.Date(nullable=True)
    due_on = dy.Date(nullable=True)
    currency = dy.String(min_length=3, max_length=3)
    #: F
    fees_cents = cents(lowest=0)
    #: i - d, as printed on page 1: negative uses credits, positive adds them.
    used_credits_cents = cents()
    subtotal_cents = cents(lowest=0)
    vat_ppm = dy.Int64(min=0)
    #: Which rule gave the rate: a code of `rules.tax`.
    vat_reason = dy.String()
    vat_scheme = vat_scheme()
    vat_category = vat_category()
    #: VATEX code (BT-121); null where VAT is charged.
    vat_exemption_code = dy.String(nullable=True)
    #: Printed beside the rate; also the reason of the exemption (BT-120) unless the category is `S`.
    vat_note = dy.String(min_length=1)
    vat_cents = cents(lowest=0)
    payable_cents = cents(lowest=0)
    name = dy.String()
    legal_name = dy.String(nullable=True)
    party_kind = dy.Enum(["business", "consumer"])
    address_line1 = dy.String()
    address_line2 = dy.String(nullable=True)
    postcode = dy.String()
    city = dy.String()
    country = dy.String(min_length=2, max_length=2)
    vat_number = dy.String(nullable=True)
    legal_id = dy.String(nullable=True)
    language = dy.String()
    purchase_order = dy.String(nullable=True)
    cost_centre = dy.String(nullable=True)
    discount_ppm = dy.Int64(min=0)
    discount_reason = dy.String(nullable=True)
    #: Who takes over the credits of a payer that became a sub-organisation.
    successor_name = dy.String(nullable=True)

    @dy.rule()
    def the_subtotal_is_fees_and_credits(cls) -> pl.Expr:
        """Subtotal = F + (i - d)."""
        return cls.subtotal_cents.col == cls.fees_cents.col + cls.used_credits_cents.col

    @dy.rule()
    def the_amount_to_pay_is_subtotal_and_tax(cls) -> pl.Expr:
        """Payable = subtotal + VAT."""
        return cls.payable_cents.col == cls.subtotal_cents.col + cls.vat_cents.col


class Drafts(Documents):
    """One row per payer and month that has an invoice: totals, tax and the party as they will be issued."""

    #: Content hash of the predecessor's statements and movements and of the settlements that this draft read.
    basis_hash = dy.String()


class Invoices(Drafts):
    """One row per issued invoice: a draft with its number and dates; never changed again."""

    number = dy.String(regex=r"^[A-Za-z0-9+_-]{1,35}$")
    issued_on = dy.Date()
    due_on = dy.Date()


class ReissueDrafts(Drafts):
    """One row per invoice that is issued once more for the party, address and VAT of today.

    Fees and credits are those of the invoice that it replaces, and so is the period; the billing month is the one with
    whose invoices it is issued.
    """

    #: Number and date of the invoice that a credit note takes back in its stead.
    replaces = dy.String(primary_key=True)
    replaces_issued_on = dy.Date()
    #: The entry of the books that decides it, and why.
    decision = dy.Int64(min=1)
    reason = dy.String()
    #: Who holds the credits that it uses and asks for: the payer, or whoever pays for it now.
    holder_id = organisation_id()
    #: c
    free_used_cents = cents(highest=0)
    #: e
    prepaid_used_cents = cents(highest=0)
    #: h
    refill_cents = cents(lowest=0)

    @dy.rule()
    def the_credits_are_those_of_its_statement(cls) -> pl.Expr:
        """Used credits = c + e + h."""
        return cls.used_credits_cents.col == pl.sum_horizontal(
            cls.free_used_cents.col, cls.prepaid_used_cents.col, cls.refill_cents.col
        )


class ReissuedInvoices(ReissueDrafts):
    """One row per invoice that was issued in the stead of another one; never changed again."""

    number = dy.String(regex=r"^[A-Za-z0-9+_-]{1,35}$")
    issued_on = dy.Date()
    due_on = dy.Date()


class SpecificDrafts(Documents):
    """One row per document beside the monthly invoice: a one-off charge that is invoiced on its own.

    A specific invoice has fees and touches no credits; an invoice of `credits` that are sold has none and adds them.
    """

    kind = dy.Enum(["invoice", "credits"], primary_key=True)
    #: `<source>/<event_id>` of the charge: it is invoiced once, whatever is landed of it again.
    reference = dy.String(primary_key=True)
    #: The day of the service or order, in the billing time zone.
    performed_on = dy.Date()

    @dy.rule()
    def it_asks_for_a_service_or_for_credits(cls) -> pl.Expr:
        """Fees of `invoice`, added credits of `credits`, never both."""
        is_sale = cls.kind.col.cast(pl.String) == "credits"
        other = pl.when(is_sale).then(cls.fees_cents.col).otherwise(cls.used_credits_cents.col)
        return (other == 0) & (cls.used_credits_cents.col >= 0)


class SpecificInvoices(SpecificDrafts):
    """One row per issued document beside the monthly invoice; never changed again."""

    number = dy.String(regex=r"^[A-Za-z0-9+_-]{1,35}$")
    issued_on = dy.Date()
    due_on = dy.Date()


class SpecificLines(InvoiceLines):
    """One row per line of a document beside the monthly invoice: each has one."""

    kind = dy.Enum(["invoice", "credits"])
    reference = dy.String()


class States(Table):
    """One row per issued document and change of its state, the issue included; only changes that took effect."""

    number = dy.String(primary_key=True)
    #: From 1, in the order of their instants.
    change_number = dy.Int64(primary_key=True, min=1)
    payer_id = organisation_id()
    kind = dy.String()
    billing_month = dy.String()
    state = dy.Enum(["PENDING", "PROCESSING", "PAID", "PAYMENTHELD", "WONTPAY", "CANCELED", "REFUNDED"])
    #: From when on it counts.
    changed_at = instant()
    reason = dy.String()
    #: Who decided it; null where a payment or the issue did.
    author = dy.String(nullable=True)
    payment_id = dy.String(nullable=True)


class BillFlags(Table):
    """One row per payer and thing that looks odd about its bill or payments: somebody should look, nothing waits."""

    payer_id = organisation_id(primary_key=True)
    #: Reason code, lower snake case: see `rules.bill_flags`.
    reason = dy.String(primary_key=True)
    detail = dy.String()


class ParkedOrganisations(Table):
    """One row per payer and reason for which its bill of the month cannot be right; the others are billed."""

    payer_id = dy.String(primary_key=True)
    #: Reason code, lower snake case.
    reason = dy.String(primary_key=True)
    detail = dy.String()

"""Reference data as a month sees it: the newest row per key that had landed by the run's `as_of`."""

import dataframely as dy
import polars as pl

from billing_pipeline.tables.columns import cents, instant, organisation_id, whole
from billing_pipeline.tables.table import Table

#: By the day and week: interim invoices while the month runs, and the invoice of the month for the rest.
BILLING_PERIODS = ["day", "week", "month"]


class Organisations(Table):
    """One row per organisation and version of its data that was in force at some moment of the month.

    Payer, currency and price factor are dated by the usage; the last version has the other details as of the closing.
    """

    owner_id = organisation_id(primary_key=True)
    #: Start of the version within the month; the first one starts with the month or the organisation's first version.
    valid_from = instant(primary_key=True)
    valid_to = instant()
    #: Who pays: itself, unless it is a sub-organisation.
    payer_id = organisation_id()
    name = dy.String()
    legal_name = dy.String(nullable=True)
    kind = dy.Enum(["business", "consumer"])
    address_line1 = dy.String()
    address_line2 = dy.String(nullable=True)
    postcode = dy.String()
    city = dy.String()
    #: ISO 3166-1 alpha-2.
    country = dy.String(min_length=2, max_length=2)
    vat_number = dy.String(nullable=True)
    legal_id = dy.String(nullable=True)
    currency = dy.String(min_length=3, max_length=3)
    language = dy.String()
    billing_emails = dy.String()
    purchase_order = dy.String(nullable=True)
    cost_centre = dy.String(nullable=True)
    opened_on = dy.Date()
    closed_on = dy.Date(nullable=True)
    #: The first instant after the day on which it closed: usage from then on is refused.
    closes_at = instant(nullable=True)
    #: How often a payer is invoiced; null: by the month.
    billing_period = dy.Enum(BILLING_PERIODS, nullable=True)
    payment_terms_days = dy.Int64(nullable=True)
    is_trusted = dy.Bool()
    #: One negative line over the whole invoice.
    discount_ppm = dy.Int64(min=0, max=1_000_000)
    discount_reason = dy.String(nullable=True)
    #: Multiplies every unit price, 1000000 = unchanged.
    price_factor_ppm = dy.Int64(min=0)

    @dy.rule()
    def a_version_lasts(cls) -> pl.Expr:
        """A version ends after it starts."""
        return cls.valid_from.col < cls.valid_to.col


class Owners(Table):
    """One row per organisation that has a version, whether or not one is in force in the month."""

    owner_id = organisation_id(primary_key=True)
    #: As in `Organisations`.
    closes_at = instant(nullable=True)
    #: Whether a text to be printed held characters that hide or turn text around; they are taken out.
    has_unsafe_text = dy.Bool()


class Prices(Table):
    """One row per price version, contract and tier; prices are whole numbers at a fixed scale."""

    price_id = dy.String(primary_key=True)
    #: The contract's price factor, already inside both numerators.
    price_factor_ppm = dy.Int64(primary_key=True, min=0)
    tier_from = dy.Decimal(38, 0, primary_key=True)
    tier_to = dy.Decimal(38, 0, nullable=True)
    #: Null: public; else negotiated for this organisation alone.
    owner_id = dy.String(nullable=True)
    #: Null: any zone.
    zone = dy.String(nullable=True)
    currency = dy.String(min_length=3, max_length=3)
    valid_from = instant()
    valid_to = instant(nullable=True)
    slug = dy.String()
    basis = dy.Enum(["runtime", "stored", "moved", "units"])
    per_quantity = dy.Int64(min=1)
    #: 1 where the price knows no time.
    per_seconds = dy.Int64(min=1)
    block_quantity = dy.Int64(min=1, nullable=True)
    block_seconds = dy.Int64(min=1, nullable=True)
    #: Each run counts in whole granules of this length, and at least the minimum; runtime alone.
    granularity_seconds = dy.Int64(min=1, nullable=True)
    minimum_seconds = dy.Int64(min=1, nullable=True)
    tier_mode = dy.Enum(["flat", "graduated", "slab", "package"])
    #: Unit price × price factor × 10^26: see `rules.prices`.
    unit_price_e26 = dy.Decimal(38, 0)
    #: Entry price of the tier (or price of a package) × price factor × 10^26.
    tier_price_e26 = dy.Decimal(38, 0)
    #: The unit price as written in the feed, for print.
    unit_price = dy.Decimal(38, 20)


class RefusedPrices(Table):
    """One row per price version that cannot be used, whole; usage that it is meant for finds no price.

    What it is meant for is as its first tier says.
    """

    price_id = dy.String(primary_key=True)
    #: `tier_shape`, `price_model` or `price_precision`: see `rules.prices`.
    reason = dy.String()
    detail = dy.String()
    owner_id = dy.String(nullable=True)
    zone = dy.String(nullable=True)
    currency = dy.String()
    slug = dy.String()
    basis = dy.String()
    valid_from = instant()
    valid_to = instant(nullable=True)


class CreditGrants(Table):
    """One row per granted credit lot that had landed by `as_of`: free credits, or a prepaid opening balance."""

    grant_id = dy.String(primary_key=True)
    owner_id = organisation_id()
    kind = dy.Enum(["free", "prepaid"])
    name = dy.String()
    granted_cents = cents(lowest=0)
    currency = dy.String(min_length=3, max_length=3)
    starts_at = instant()
    expires_at = instant(nullable=True)
    #: Small first.
    priority = dy.Int64()
    #: Slugs that the lot may pay, `;`-separated, lower case; null pays everything.
    slugs = dy.String(nullable=True)


class RefillAgreements(Table):
    """One row per organisation whose refill of this month was negotiated."""

    owner_id = organisation_id(primary_key=True)
    refill_cents = cents(lowest=0)
    author = dy.String()
    reason = dy.String()


class PaymentMethods(Table):
    """One row per way in which an organisation pays that had landed by `as_of` and can be used."""

    method_id = dy.String(primary_key=True)
    owner_id = organisation_id()
    kind = dy.Enum(["sepa_debit", "card", "transfer", "paypal"])
    is_default = dy.Bool()
    #: Without spaces, country and check digits proved.
    iban = dy.String(nullable=True)
    bic = dy.String(nullable=True)
    holder = dy.String(nullable=True)
    mandate_id = dy.String(nullable=True)
    mandate_signed_on = dy.Date(nullable=True)
    expires_on = dy.Date(nullable=True)
    #: What the payment provider knows the method by.
    token = dy.String(nullable=True)

    @dy.rule()
    def a_debit_has_its_mandate(cls) -> pl.Expr:
        """A SEPA debit has an account to debit and a mandate to do so."""
        return (cls.kind.col != "sepa_debit") | pl.all_horizontal(
            column.col.is_not_null() for column in (cls.iban, cls.mandate_id, cls.mandate_signed_on)
        )


class Payments(Table):
    """One row per payment, failed payment or refund that had landed by `as_of`."""

    payment_id = dy.String(primary_key=True)
    owner_id = organisation_id()
    invoice_number = dy.String(nullable=True)
    #: An invoice number, or `<payer_id>/<month>`.
    reference = dy.String(nullable=True)
    paid_cents = cents(lowest=0)
    currency = dy.String(min_length=3, max_length=3)
    received_at = instant()
    #: The first instant as of which a run sees it: it has landed, and its arrival day has ended.
    known_at = instant()
    method_kind = dy.String()
    outcome = dy.Enum(["succeeded", "failed", "refunded"])


class SpendRules(Table):
    """One row per spend rule in force at the month's last instant; what it counts for is decided in `rules.spending`.

    `minimum`, `maximum` and `commitment` have an amount, a `discount` a rate, an amount or both, `free_quantity` a slug
    and a quantity (`rating` gives it).
    """

    rule_id = dy.String(primary_key=True)
    #: Printed as the reason.
    name = dy.String()
    #: Null: public; else for this organisation alone.
    owner_id = dy.String(nullable=True)
    #: Lower case; null: everything on the invoice.
    slug = dy.String(nullable=True)
    currency = dy.String(min_length=3, max_length=3)
    kind = dy.Enum(["minimum", "maximum", "commitment", "discount", "free_quantity"])
    amount_cents = cents(lowest=0, nullable=True)
    rate_ppm = dy.Int64(min=0, max=1_000_000, nullable=True)
    #: Seconds, moved bytes or units that are free per resource.
    quantity = whole(nullable=True)

"""What a document says, as finished text: all that a template prints, one `InvoiceView` per document.

`building` makes them of published frames.
"""

from dataclasses import dataclass

from markupsafe import Markup

from billing_pipeline.documents.einvoice import EInvoice


@dataclass(frozen=True, slots=True)
class DocumentFailure:
    """A payer whose document could not be made; the others are. Its reason code in parking is `document_failed`."""

    payer_id: str
    detail: str
    reason: str = "document_failed"


@dataclass(frozen=True, slots=True)
class PartyView:
    """Seller or buyer: the name, then lines of address and registration."""

    name: str
    lines: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class FactView:
    """A label and what it says: dates, references, bank details."""

    label: str
    value: str


@dataclass(frozen=True, slots=True)
class PanelView:
    """The amount to pay, when, and how; no bank details where nothing is to be paid."""

    amount: str
    message: str
    bank: tuple[FactView, ...]
    #: The transfer as a banking app reads it; None where it cannot.
    code: Markup | None = None


@dataclass(frozen=True, slots=True)
class TotalView:
    """One line of the summary, from the fees down to the subtotal and its tax."""

    label: str
    note: str
    amount: str
    is_total: bool


@dataclass(frozen=True, slots=True)
class ServiceView:
    """The fees of one service over all organisations and its share of them."""

    name: str
    share: str
    bar: Markup
    amount: str
    #: Whether the days of its cost are known, and drawn in the colour of its place.
    is_drawn: bool = False


@dataclass(frozen=True, slots=True)
class DailyView:
    """What each day of the month cost, service upon service: a picture and the words beside it."""

    picture: Markup
    #: The highest bar, and whose it is.
    highest: str
    first_day: str
    last_day: str


@dataclass(frozen=True, slots=True)
class StepsView:
    """The way of the credits from the balance before to the balance after: a picture and what its bars are."""

    picture: Markup
    steps: tuple[FactView, ...]


@dataclass(frozen=True, slots=True)
class StatementRowView:
    """One letter of the credit statement."""

    letter: str
    label: str
    formula: str
    amount: str
    is_total: bool


@dataclass(frozen=True, slots=True)
class CouponView:
    """One free lot; or, with an empty validity, the total of all."""

    name: str
    note: str
    valid_until: str
    before: str
    used: str
    expired: str
    left: str


@dataclass(frozen=True, slots=True)
class OrganisationView:
    """The fees of one organisation before the discount."""

    name: str
    owner_id: str
    is_main: bool
    amount: str


@dataclass(frozen=True, slots=True)
class OrganisationsView:
    """The organisations billed on one invoice, the payer first; their amounts and the discount add up to the total."""

    rows: tuple[OrganisationView, ...]
    discount_label: str
    discount: str
    total: str


@dataclass(frozen=True, slots=True)
class LineView:
    """One printed line of usage; name and id are empty where the line continues the resource above it."""

    name: str
    resource_id: str
    size_and_zone: str
    origin: str
    usage: str
    usage_note: str
    price: str
    amount: str


@dataclass(frozen=True, slots=True)
class ServiceLinesView:
    """The lines of one service of one organisation."""

    name: str
    count: str
    amount: str
    lines: tuple[LineView, ...]


@dataclass(frozen=True, slots=True)
class OwnerLinesView:
    """The lines of one organisation; unnamed where the invoice has only the payer's own."""

    name: str
    owner_id: str
    amount: str
    services: tuple[ServiceLinesView, ...]


@dataclass(frozen=True, slots=True)
class UnusableView:
    """A stretch of time in which a resource ran, but did not serve, and that is not billed."""

    name: str
    instance: str
    size_and_zone: str
    period: str
    reason: str
    duration: str


@dataclass(frozen=True, slots=True)
class AnnexView:
    """The time not billed, in order of resources and time."""

    period_label: str
    rows: tuple[UnusableView, ...]
    total: str


@dataclass(frozen=True, slots=True)
class InvoiceView:
    """One document as text: an invoice or draft, one beside the monthly one, or a credit note."""

    payer_id: str
    #: BCP 47 tag of its texts.
    language: str
    is_draft: bool
    #: Empty in a draft.
    number: str
    title: str
    heading: str
    #: Number and period, at the head of every page but the first.
    running_title: str
    #: ISO date of issue for the file's metadata; empty in a draft.
    issued_on: str
    seller: PartyView
    seller_initial: str
    buyer: PartyView
    facts: tuple[FactView, ...]
    #: What the amount of the panel is: to pay, or of a credit note in the buyer's favour.
    amount_label: str
    panel: PanelView
    totals: tuple[TotalView, ...]
    terms: str
    #: The seller's line at the foot of every page.
    legal_mention: str
    details: tuple[OwnerLinesView, ...]
    details_title: str
    details_note: str
    details_total: FactView
    # What follows is of monthly invoices; credit notes and documents beside them have none of it.
    services: tuple[ServiceView, ...] = ()
    #: None where no day is known of any cost.
    daily: DailyView | None = None
    #: None where there were, are and will be no credits.
    steps: StepsView | None = None
    statement: tuple[StatementRowView, ...] = ()
    #: Sentences: what was invoiced at once, how the estimate came about, who takes the credits over.
    explanations: tuple[str, ...] = ()
    coupons: tuple[CouponView, ...] = ()
    coupon_total: CouponView | None = None
    #: None where the payer alone is billed.
    organisations: OrganisationsView | None = None
    #: None where all time was billed.
    annex: AnnexView | None = None
    #: Whether the details follow on the first page.
    is_single_page: bool = False
    #: The same as data; None in a draft.
    einvoice: EInvoice | None = None

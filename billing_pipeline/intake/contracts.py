"""The input contract: every feed with its columns, natural key and row checks.

A feed says what its rows are; how they are read, checked and deduplicated is the same for all and stands in `cleaning`
and `deciding`. Reason codes of refused rows and files are spelled here and in `cleaning` once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from enum import Enum

#: Ids that become partition keys and paths, and all others; matched as a whole, in ASCII.
OWNER_ID = "[A-Za-z0-9_-]{1,64}"
OTHER_ID = "[!-~]{1,128}"


#: How far a meter's clock may run ahead of the clock that takes its rows in.
CLOCK_SKEW_US = 300_000_000


class Type(Enum):
    """What a column holds."""

    OWNER = "owner id"
    ID = "id"
    #: An id that is null or empty where the thing it names is switched off; the column itself must be there.
    ID_IF_ON = "id, empty if off"
    TEXT = "text"
    INSTANT = "instant"
    DATE = "date"
    WHOLE = "whole number"
    DECIMAL = "decimal number"
    FLAG = "flag"


@dataclass(frozen=True)
class Column:
    """One column of a feed; `is_optional` columns may be null or absent."""

    name: str
    type: Type
    is_optional: bool = False

    @property
    def may_be_null(self) -> bool:
        """Whether a row may leave the value out."""
        return self.is_optional or self.type is Type.ID_IF_ON


class Span(Enum):
    """What of an older row a later month still needs."""

    #: Nothing: a row matters to the month of its time alone.
    MOMENT = "moment"
    #: Rows that reach over the end of the month, billed in every month they touch.
    RUN = "run"
    #: Rows that reach over the end of the month, billed whole in the month of their last instant.
    DELTA = "delta"
    #: The last row of each resource and metric: its value holds until the next one.
    HELD = "held"
    #: Rows within a day of the month's edges: what was seen on both sides says what reaches over an edge.
    NEAR = "near"


#: How far over its edges a month sees at most; no gap between two samples of a run may be longer.
NEAR_US = 86_400_000_000


@dataclass(frozen=True)
class Feed:
    """The contract of one feed.

    `time` is the instant that places a row in a month; it is part of the natural key, so a correction stays in the
    month of the row it corrects. `reach` is the SQL of the first microsecond that a row no longer concerns.
    """

    name: str
    columns: tuple[Column, ...]
    natural_key: tuple[str, ...]
    #: (reason code, SQL that is true for a row that must be refused).
    checks: tuple[tuple[str, str], ...] = ()
    time: str | None = None
    #: SQL of the slug; set for feeds whose rows belong to a meter.
    slug: str | None = None
    span: Span = Span.MOMENT
    reach: str | None = None
    #: Published beside the meter, where rating depends on who measured.
    tells_source: bool = False
    #: How far over its edges a month sees rows.
    margin_us: int = 0

    @property
    def is_usage(self) -> bool:
        """Usage has a time of its own and is billed by month; reference data holds until it is replaced."""
        return self.time is not None

    @property
    def is_metered(self) -> bool:
        """Whether rows are identified by a meter: owner, resource, slug, zone."""
        return self.slug is not None

    @property
    def all_checks(self) -> tuple[tuple[str, str], ...]:
        """The feed's own checks, and that no usage is dated after it was taken in.

        A withdrawal names its key; nothing else of it is checked.
        """
        own = tuple((reason, f"not coalesce(is_deleted, false) and ({check})") for reason, check in self.checks)
        return (*own, ("future", f"{self.time} > ingested_at + {CLOCK_SKEW_US}")) if self.is_usage else own

    @property
    def key_columns(self) -> tuple[str, ...]:
        """The natural key as columns of a clean row, where a metric has become the slug."""
        return tuple("slug" if name == "metric" else name for name in self.natural_key)

    @property
    def identity(self) -> tuple[str, ...]:
        """The columns of a clean row that say what it is about, meter included, without its event."""
        return (*(METER_IDENTITY if self.is_metered else ()), *(column.name for column in self.values))

    @property
    def values(self) -> tuple[Column, ...]:
        """The columns that are not folded into the meter."""
        return tuple(column for column in self.columns if not (self.is_metered and column.name in METER_COLUMNS))


#: What the raw columns of a meter become.
METER_IDENTITY = ("owner_id", "resource_id", "slug", "zone")

METER_COLUMNS = ("owner_id", "resource_id", "resource_name", "service", "flavour", "metric", "zone")

BOOKKEEPING = (
    Column("event_id", Type.ID),
    Column("source", Type.ID),
    Column("ingested_at", Type.INSTANT),
    Column("is_deleted", Type.FLAG, is_optional=True),
)


def _columns(spec: str) -> tuple[Column, ...]:
    """Read `name type` pairs, `name? type` for optional ones, separated by commas."""
    columns = []
    for part in spec.split(","):
        name, kind = part.split()
        columns.append(Column(name.removesuffix("?"), Type[kind.upper()], is_optional=name.endswith("?")))
    return tuple(columns)


_RESOURCE = "owner_id owner, resource_id id, resource_name? text, "
_SAMPLE = _RESOURCE + "metric id, zone id, sampled_at instant, "

USAGE_FEEDS: tuple[Feed, ...] = (
    Feed(
        "runtime_intervals",
        _columns(
            _RESOURCE + "instance_id id, service id, flavour id, zone id, started_at instant, stopped_at? instant"
        ),
        natural_key=("instance_id", "started_at"),
        checks=(("stop_before_start", "stopped_at < started_at"),),
        time="started_at",
        slug="lower(service || '.' || flavour)",
        span=Span.RUN,
        reach="coalesce(stopped_at, 9223372036854775807)",
    ),
    Feed(
        "runtime_heartbeats",
        _columns(_RESOURCE + "instance_id id, service id, flavour id_if_on, zone id, sampled_at instant"),
        natural_key=("instance_id", "sampled_at"),
        time="sampled_at",
        # Ends in a point where the instance is powered off.
        slug="lower(service || '.' || coalesce(flavour, ''))",
        span=Span.NEAR,
        margin_us=NEAR_US,
        reach="sampled_at + 1",
        tells_source=True,
    ),
    Feed(
        "unusable_intervals",
        _columns("instance_id id, started_at instant, stopped_at instant, reason text"),
        natural_key=("instance_id", "started_at"),
        checks=(("stop_before_start", "stopped_at < started_at"),),
        time="started_at",
        span=Span.RUN,
        reach="stopped_at",
        # A granule that begins in the month, or a run that ends in it, may be unusable as a whole.
        margin_us=NEAR_US,
    ),
    Feed(
        "storage_samples",
        _columns(_SAMPLE + "bytes whole"),
        natural_key=("resource_id", "metric", "sampled_at"),
        checks=(("negative", "bytes < 0"), ("too_big", "bytes > 1000000000000000000")),
        time="sampled_at",
        slug="lower(metric)",
        span=Span.HELD,
        reach="sampled_at + 1",
    ),
    Feed(
        "traffic_deltas",
        _columns(_RESOURCE + "metric id, zone id, started_at instant, stopped_at instant, bytes whole"),
        natural_key=("resource_id", "metric", "started_at"),
        checks=(
            ("stop_before_start", "stopped_at < started_at"),
            ("negative", "bytes < 0"),
            ("too_big", "bytes > 1000000000000000000"),
        ),
        time="started_at",
        slug="lower(metric)",
        span=Span.DELTA,
        # Bytes are counted whole at the last instant of their interval; an empty one has only its start.
        reach="greatest(stopped_at, started_at + 1)",
    ),
    Feed(
        "unit_counts",
        _columns(_SAMPLE + "quantity whole"),
        natural_key=("resource_id", "metric", "sampled_at"),
        checks=(("negative", "quantity < 0"), ("too_big", "quantity > 1000000000000")),
        time="sampled_at",
        slug="lower(metric)",
        reach="sampled_at + 1",
    ),
    Feed(
        "one_shots",
        _columns(
            "owner_id owner, description text, sub_description? text, performed_at instant, quantity decimal,"
            "unit_price decimal, currency id, recurring flag, discount_rate? decimal, invoice id, sells_credits flag,"
            "author? text"
        ),
        natural_key=("source", "event_id"),
        checks=(
            ("invoice_kind", "invoice not in ('monthly', 'specific')"),
            ("negative", "quantity::decimal(38, 20) < 0 or unit_price::decimal(38, 20) < 0"),
            # A line holds 10^12 minor units at most.
            ("too_big", "quantity::decimal(38, 20)::hugeint * unit_price::decimal(38, 20)::hugeint > 999999999"),
            ("rate_range", "discount_rate::decimal(38, 20) not between 0 and 1"),
        ),
        time="performed_at",
        reach="performed_at + 1",
    ),
    Feed(
        "vendor_charges",
        _columns(_RESOURCE + "vendor text, description text, charged_at instant, amount decimal, currency id"),
        natural_key=("source", "event_id"),
        checks=(
            ("negative", "amount::decimal(38, 20) < 0"),
            ("too_big", "amount::decimal(38, 20) > 999999999"),
        ),
        time="charged_at",
        reach="charged_at + 1",
    ),
)

REFERENCE_FEEDS: tuple[Feed, ...] = (
    Feed(
        "organisations",
        _columns(
            "owner_id owner, payer_id? owner, name text, legal_name? text, kind id, address_line1 text,"
            "address_line2? text, postcode text, city text, country id, vat_number? text, legal_id? text, currency id,"
            "language id, billing_emails text, purchase_order? text, cost_centre? text, opened_on date,"
            "closed_on? date, dunning_plan? text, billing_period? id, payment_terms_days? whole, is_trusted flag,"
            "discount_rate? decimal, discount_reason? text, price_factor? decimal, valid_from instant"
        ),
        natural_key=("owner_id", "valid_from"),
        checks=(
            ("kind_unknown", "kind not in ('business', 'consumer') or billing_period not in ('day', 'week', 'month')"),
            ("country_syntax", "not regexp_full_match(country, '[A-Z]{2}')"),
            ("currency_syntax", "not regexp_full_match(currency, '[A-Z]{3}')"),
            ("rate_range", "discount_rate::decimal(38, 20) not between 0 and 1 or price_factor::decimal(38, 20) < 0"),
        ),
    ),
    Feed(
        "price_tiers",
        _columns(
            "price_id id, owner_id? owner, zone? id, currency id, valid_from instant, valid_to? instant, slug id,"
            "basis id, per_quantity whole, per_seconds? whole, block_quantity? whole, block_seconds? whole,"
            "tier_mode id, tier_from whole, tier_to? whole, unit_price decimal, tier_price? decimal,"
            "granularity_seconds? whole, minimum_seconds? whole"
        ),
        natural_key=("price_id", "tier_from"),
        checks=(
            ("basis_unknown", "basis not in ('runtime', 'stored', 'moved', 'units')"),
            ("tier_shape", "tier_mode not in ('flat', 'graduated', 'slab', 'package')"),
            ("currency_syntax", "not regexp_full_match(currency, '[A-Z]{3}')"),
        ),
    ),
    Feed(
        "spend_rules",
        _columns(
            "rule_id id, name text, owner_id? owner, slug? id, currency id, valid_from instant, valid_to? instant,"
            "kind id, amount? decimal, rate? decimal, quantity? whole"
        ),
        natural_key=("rule_id",),
        checks=(
            ("kind_unknown", "kind not in ('minimum', 'maximum', 'commitment', 'discount', 'free_quantity')"),
            (
                "spend_rule_shape",
                """case kind
                    when 'discount' then amount is null and rate is null
                    when 'free_quantity' then quantity is null or slug is null
                    else amount is null
                end""",
            ),
            ("negative", "amount::decimal(38, 20) < 0 or quantity < 0"),
            ("rate_range", "rate::decimal(38, 20) not between 0 and 1"),
            ("currency_syntax", "not regexp_full_match(currency, '[A-Z]{3}')"),
            ("stop_before_start", "valid_to < valid_from"),
        ),
    ),
    Feed(
        "credit_grants",
        _columns(
            "grant_id id, owner_id owner, kind id, name text, amount decimal, currency id, starts_at instant,"
            "expires_at? instant, priority whole, slugs? text"
        ),
        natural_key=("grant_id",),
        checks=(
            ("kind_unknown", "kind not in ('free', 'prepaid')"),
            ("negative", "amount::decimal(38, 20) < 0"),
            ("stop_before_start", "expires_at < starts_at"),
        ),
    ),
    Feed(
        "refill_agreements",
        _columns("owner_id owner, billing_month id, amount decimal, author text, reason text"),
        natural_key=("owner_id", "billing_month"),
        checks=(
            ("month_syntax", "not regexp_full_match(billing_month, '[0-9]{4}-(0[1-9]|1[0-2])')"),
            # Somebody answers for it, and says why.
            ("value_missing", "trim(author) = '' or trim(reason) = ''"),
            ("negative", "amount::decimal(38, 20) < 0"),
        ),
    ),
    Feed(
        "payment_methods",
        _columns(
            "method_id id, owner_id owner, kind id, is_default flag, iban? text, bic? text, holder? text,"
            "mandate_id? text, mandate_signed_on? date, expires_on? date, token? text"
        ),
        natural_key=("method_id",),
        checks=(("kind_unknown", "kind not in ('sepa_debit', 'card', 'transfer', 'paypal')"),),
    ),
    Feed(
        "payments",
        _columns(
            "payment_id id, owner_id owner, invoice_number? text, reference? text, amount decimal, currency id,"
            "received_at instant, method_kind id, outcome id, failure? text"
        ),
        natural_key=("payment_id",),
        checks=(
            ("kind_unknown", "outcome not in ('succeeded', 'failed', 'refunded')"),
            ("negative", "amount::decimal(38, 20) < 0"),
        ),
    ),
)

FEEDS: Mapping[str, Feed] = {feed.name: feed for feed in (*USAGE_FEEDS, *REFERENCE_FEEDS)}

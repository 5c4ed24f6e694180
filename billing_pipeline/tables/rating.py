"""What rating publishes: disjoint runs, price segments, charges and where each charge came from."""

import dataframely as dy
import polars as pl

from billing_pipeline.tables.columns import cents, instant, organisation_id, whole
from billing_pipeline.tables.table import Table


class Runs(Table):
    """One row per uninterrupted run of one instance inside the month.

    Overlaps are united and unusable time is taken out: the runs of an instance are disjoint.
    """

    #: Who ran what where: see `RunMeters`.
    meter_id = dy.Int64()
    instance_id = dy.String(primary_key=True)
    started_at = instant(primary_key=True)
    stopped_at = instant()


class RunMeters(Table):
    """One row per owner, resource, slug and zone that ran, as intervals and heartbeats tell it together."""

    #: The id in `usage/runtime_intervals`; beyond its last one, what only heartbeats tell of.
    meter_id = dy.Int64(primary_key=True)
    owner_id = organisation_id()
    resource_id = dy.String()
    resource_name = dy.String(nullable=True)
    slug = dy.String()
    zone = dy.String()


class CarriedRuns(Table):
    """One row per run that may go on in the next month, with the part of it that no row tells the next month of.

    That part lasts from the true start of the united run, in whichever month, to the first row that reaches over the
    month's end, or to the first heartbeat of the last day; to the month's end where there is neither.
    """

    owner_id = organisation_id(primary_key=True)
    resource_id = dy.String(primary_key=True)
    slug = dy.String(primary_key=True)
    zone = dy.String(primary_key=True)
    instance_id = dy.String(primary_key=True)
    started_at = instant(primary_key=True)
    stopped_at = instant()


class OverlappedTime(Table):
    """One row per owner and reason: time that was told more than once, and is billed once."""

    owner_id = organisation_id(primary_key=True)
    #: An instance was started again while it still ran, clocks differ by up to two seconds, or anything else.
    reason = dy.Enum(["double_start", "overlap", "skew"], primary_key=True)
    instances = dy.Int64(min=1)
    overlapped_us = whole()


class Unusable(Table):
    """One row per part of a run that is not billed because of a fault of the platform, and price span.

    The parts of one instance are disjoint: of faults that overlap, the one that started first is the reason.
    """

    payer_id = organisation_id()
    owner_id = organisation_id()
    resource_id = dy.String()
    resource_name = dy.String(nullable=True)
    slug = dy.String()
    zone = dy.String()
    instance_id = dy.String(primary_key=True)
    started_at = instant(primary_key=True)
    stopped_at = instant()
    reason = dy.String()


class Segments(Table):
    """One row per line key: the usage that one price version × contract prices, as whole numbers.

    A basis fills the columns it knows and leaves the others null. `tier_from` is set where the tier is chosen before
    the sum (`stored`), and null where tiers cut the month's sum (`runtime`, `moved`, `units`).
    """

    payer_id = organisation_id()
    owner_id = organisation_id()
    resource_id = dy.String()
    resource_name = dy.String(nullable=True)
    slug = dy.String()
    zone = dy.String()
    price_id = dy.String()
    price_factor_ppm = dy.Int64()
    basis = dy.Enum(["runtime", "stored", "moved", "units"])
    tier_from = whole(nullable=True)
    duration_us = whole(nullable=True)
    #: Runtime: the part of the runs that could not be used; it is not in `duration_us`.
    unusable_us = whole(nullable=True)
    #: Runtime at prices with a granularity or a minimum: what is charged instead of `duration_us`.
    granulated_us = whole(nullable=True)
    part_byte_us = whole(nullable=True)
    block_us = whole(nullable=True)
    moved_bytes = whole(nullable=True)
    units_max = whole(nullable=True)
    units_max_at = instant(nullable=True)


class Charges(Table):
    """One row per invoice line before discounts, credits and tax."""

    #: First 16 bytes, in hex, of the sha256 of the line key and period.
    line_id = dy.String(primary_key=True, min_length=32, max_length=32)
    payer_id = organisation_id()
    owner_id = organisation_id()
    #: The event of a one-off charge; empty where several resources share the line.
    resource_id = dy.String()
    resource_name = dy.String(nullable=True)
    #: How many resources the line is of; more than one where each costs less than one minor unit.
    resources = dy.Int64(min=1)
    #: Lower case; `one_shot` for one-off charges, `vendor` for those of third parties.
    slug = dy.String()
    zone = dy.String()
    price_id = dy.String(nullable=True)
    price_factor_ppm = dy.Int64()
    tier_from = whole(nullable=True)
    #: The month in which the usage happened; another than the invoice's for corrections.
    origin_month = dy.String()
    basis = dy.Enum(["runtime", "stored", "moved", "units", "one_shot", "vendor"])
    #: Seconds, byte-seconds, bytes, units or pieces, as `unit` says; granules and blocks are already rounded up.
    quantity = dy.Decimal(38, 9)
    unit = dy.Enum(["s", "byte_s", "byte", "unit", "piece"])
    #: How long it ran or was stored; null where the price knows no time.
    duration_s = dy.Int64(nullable=True)
    #: Price of `per_quantity` units for `per_seconds` seconds, factor included, for print.
    unit_price = dy.Decimal(38, 20)
    per_quantity = dy.Int64(min=1)
    per_seconds = dy.Int64(min=1)
    #: The line's own discount, already inside the amount.
    line_discount_ppm = dy.Int64(min=0, max=1_000_000)
    charge_cents = cents()
    currency = dy.String(min_length=3, max_length=3)
    #: Whether next month's estimate counts it: everything but one-off charges and corrections.
    is_recurring = dy.Bool()
    description = dy.String(nullable=True)
    sub_description = dy.String(nullable=True)


class SpecificCharges(Table):
    """One row per one-off charge that a document beside the monthly invoice asks for, before tax."""

    line_id = dy.String(primary_key=True, min_length=32, max_length=32)
    payer_id = organisation_id()
    owner_id = organisation_id()
    #: `credits` are prepaid credits that are sold.
    kind = dy.Enum(["invoice", "credits"])
    #: Of the document: `<source>/<event_id>` of the charge.
    reference = dy.String()
    event_id = dy.String()
    origin_month = dy.String()
    quantity = dy.Decimal(38, 9)
    performed_at = instant()
    #: One for credits, whatever the contract says.
    price_factor_ppm = dy.Int64()
    #: Factor included, for print.
    unit_price = dy.Decimal(38, 20)
    line_discount_ppm = dy.Int64(min=0, max=1_000_000)
    charge_cents = cents()
    currency = dy.String(min_length=3, max_length=3)
    description = dy.String(nullable=True)
    sub_description = dy.String(nullable=True)


class ChargeShares(Table):
    """One row per line of several resources and resource: the parts of the line, which add up to it."""

    line_id = dy.String(primary_key=True)
    resource_id = dy.String(primary_key=True)
    resource_name = dy.String(nullable=True)
    quantity = dy.Decimal(38, 9)
    #: By largest remainder.
    share_cents = cents(lowest=0)


class ChargeSources(Table):
    """One row per invoice line and raw file: how many of the file's rows the line was made of."""

    line_id = dy.String(primary_key=True)
    feed = dy.String(primary_key=True)
    file_id = dy.String(primary_key=True)
    source_rows = dy.Int64(min=1)


class DailyWeights(Table):
    """One row per payer, service and day with a cost: when in the month a service was used, weighed by what it cost.

    What is charged at one price is shared over the days of its usage; corrections of earlier months, discounts and
    what tops up have no days. Only what a service weighs on one day compared with its others says something.
    """

    payer_id = organisation_id(primary_key=True)
    #: The slug up to its first dot.
    service = dy.String(primary_key=True)
    #: In the billing time zone.
    day = dy.Date(primary_key=True)
    #: Millionths of a minor unit, rounded down per price.
    weight = whole()


class Unrated(Table):
    """One row per owner, payer and reason: usage that could not be rated, so that its payer cannot be billed."""

    owner_id = organisation_id()
    #: Null where no version of the organisation says who pays.
    payer_id = dy.String(nullable=True)
    reason = dy.Enum(
        [
            "price_missing",
            #: None between two versions of the month that fit.
            "price_gap",
            "price_overlap",
            "org_unknown",
            "overlap_flavour",
            "owner_conflict",
            "event_conflict",
            "currency",
        ]
    )
    #: The first occurrence (slug, zone, instant), and how many more there are.
    detail = dy.String()

    @dy.rule()
    def an_owner_is_named_once_per_payer_and_reason(cls) -> pl.Expr:
        """Owner, payer and reason are unique together."""
        return pl.struct(cls.owner_id.col, cls.payer_id.col, cls.reason.col).is_unique()

"""What intake publishes of every feed: receipts, quarantine, late rows, and the clean usage events of a month."""

import dataframely as dy
import polars as pl

from billing_pipeline.tables.columns import instant, organisation_id
from billing_pipeline.tables.table import Table


class FileReceipts(Table):
    """One row per raw file: every row that came in is accounted for under exactly one heading."""

    feed = dy.String(primary_key=True)
    file_id = dy.String(primary_key=True)
    path = dy.String()
    sha256 = dy.String()
    input_rows = dy.Int64(min=0)
    accepted_rows = dy.Int64(min=0)
    duplicate_rows = dy.Int64(min=0)
    superseded_rows = dy.Int64(min=0)
    quarantined_rows = dy.Int64(min=0)
    #: Reason code of a file that was refused whole; its rows were not read.
    refused_reason = dy.String(nullable=True)
    #: What exactly was wrong with a refused file, or which unknown columns were kept out of an accepted one.
    detail = dy.String(nullable=True)

    @dy.rule()
    def every_row_is_accounted_for(cls) -> pl.Expr:
        """Input = accepted + duplicate + superseded + quarantined."""
        return cls.input_rows.col == (
            cls.accepted_rows.col + cls.duplicate_rows.col + cls.superseded_rows.col + cls.quarantined_rows.col
        )


class Quarantine(Table):
    """One row per raw row that was refused, with the row itself and the reason."""

    feed = dy.String(primary_key=True)
    file_id = dy.String(primary_key=True)
    #: Position in the file, from 0.
    file_row = dy.Int64(primary_key=True)
    path = dy.String()
    reason = dy.String()
    #: The raw row as JSON.
    raw = dy.String()


class UsageFlags(Table):
    """One row per owner and thing that looks wrong but is billed as it stands: somebody should look at it."""

    #: The feed of the rows concerned.
    feed = dy.String(primary_key=True)
    owner_id = dy.String(primary_key=True)
    #: Reason code, lower snake case: see `rules.flags`.
    reason = dy.String(primary_key=True)
    detail = dy.String()
    #: How many rows are concerned.
    rows = dy.Int64(min=1)


class LateArrivals(Table):
    """One row per feed and older month: usage that arrived after that month was closed. Billed as corrections."""

    feed = dy.String(primary_key=True)
    origin_month = dy.String(primary_key=True)
    late_rows = dy.Int64(min=1)


class Meters(Table):
    """One row per metered thing of a month: who used which resource at which slug in which zone."""

    #: Position in the order of the other columns; valid within one feed and month.
    meter_id = dy.Int64(primary_key=True)
    owner_id = organisation_id()
    resource_id = dy.String()
    #: The newest name that the feed gave the resource.
    resource_name = dy.String(nullable=True)
    #: What the price list calls it, lower case: `service.flavour`, or the metric.
    slug = dy.String()
    zone = dy.String()


class OneShots(Table):
    """One row per one-off or subscription charge performed in the month."""

    source = dy.String(primary_key=True)
    event_id = dy.String(primary_key=True)
    owner_id = organisation_id()
    description = dy.String()
    sub_description = dy.String(nullable=True)
    performed_at = instant()
    quantity = dy.Decimal(38, 9)
    unit_price = dy.Decimal(38, 9)
    currency = dy.String()
    is_recurring = dy.Bool()
    discount_ppm = dy.Int64(min=0, max=1_000_000)
    #: Which document asks for it: the invoice of its month, one of its own, or one of its own that sells credits.
    document = dy.Enum(["monthly", "specific", "credits"])


class VendorCharges(Table):
    """One row per charge of a third party (an add-on's vendor, say) that is passed on, dated in the month."""

    source = dy.String(primary_key=True)
    event_id = dy.String(primary_key=True)
    owner_id = organisation_id()
    resource_id = dy.String()
    resource_name = dy.String(nullable=True)
    vendor = dy.String()
    description = dy.String()
    charged_at = instant()
    amount = dy.Decimal(38, 9)
    currency = dy.String()

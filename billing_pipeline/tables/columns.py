"""Column types that several tables share, so that a unit or bound is stated once."""

import dataframely as dy

#: No amount of one row may exceed this in either direction, so that sums of 64-bit columns are safe in 128 bits.
CENTS_MAX = 10**12

#: A strict organisation id: it becomes a partition key and a path.
OWNER_ID = r"^[A-Za-z0-9_-]{1,64}$"


def organisation_id(*, primary_key: bool = False, nullable: bool = False) -> dy.String:
    """The id of an organisation (used it, or pays for it, as the column's name says)."""
    return dy.String(primary_key=primary_key, nullable=nullable, regex=OWNER_ID)


def cents(*, lowest: int = -CENTS_MAX, highest: int = CENTS_MAX, nullable: bool = False) -> dy.Int64:
    """Money in minor units of the row's currency."""
    return dy.Int64(min=lowest, max=highest, nullable=nullable)


def instant(*, primary_key: bool = False, nullable: bool = False) -> dy.Datetime:
    """A UTC instant at microsecond precision."""
    return dy.Datetime(time_unit="us", time_zone="UTC", primary_key=primary_key, nullable=nullable)


def whole(*, nullable: bool = False) -> dy.Decimal:
    """A whole number of up to 38 digits, for products such as bytes × microseconds."""
    return dy.Decimal(38, 0, nullable=nullable)

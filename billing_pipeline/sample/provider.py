"""Nimbus Cloud SAS, an invented provider to try everything on: usage, customers and accounts as landing files.

The same arguments give the same files, byte for byte. Everything that can happen to a bill happens to somebody here:
sub-organisations, a contract, a discount, coupons that expire or pay only some services, a refill agreed by hand, an
organisation that opens, one that closes, one whose tax nobody has decided, a price change in the middle of a month, and
rows that arrive late, twice, corrected, withdrawn or broken.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date, datetime, timedelta
from functools import partial
from pathlib import Path
from random import Random
from zoneinfo import ZoneInfo

import polars as pl

from billing_pipeline.rules.parties import Seller
from billing_pipeline.rules.period import Month, microseconds
from billing_pipeline.sample.accounts import invent_accounts
from billing_pipeline.sample.blemishes import blemish
from billing_pipeline.sample.catalogue import COUNTABLE_CSV, RUNTIME_CSV, price_tiers_from_catalogue
from billing_pipeline.sample.landing import INSTANT, Row, arrivals_of, land
from billing_pipeline.sample.organisations import Customer, invent_customers
from billing_pipeline.sample.usage import Usage, invent_usage

_UTC = ZoneInfo("UTC")
#: Landing goes on for this long after the last month, as the default `as_of` of its closing waits.
_GRACE = timedelta(days=2)


@dataclass(frozen=True)
class SampleSummary:
    """What was written, so that a reader of the landing knows what to expect of it."""

    landing: Path
    months: tuple[Month, ...]
    #: Days of the first and the last arrival.
    first_arrival: date
    last_arrival: date
    #: Landed rows by feed, copies included.
    rows: Mapping[str, int]
    duplicate_rows: int
    late_rows: int
    corrected_rows: int
    withdrawn_rows: int
    #: Rows that a contract refuses.
    broken_rows: int
    #: Who pays, opened by the end of the last month; the others are sub-organisations.
    payers: tuple[str, ...]
    #: Closed on the 20th of the second month.
    closed: str
    #: Opened on the 10th of the second month.
    opened: str
    #: A consumer of another member state, who pays that state's VAT.
    oss_consumer: str
    #: A consumer of an overseas department for which no tax was decided.
    tax_unknown: str
    #: When the prices of applications change; in the second month.
    price_change_at: datetime


def seller() -> Seller:
    """Nimbus Cloud SAS as its invoices show it: invented, with numbers whose checksums hold."""
    return Seller(
        name="Nimbus Cloud SAS",
        address=("12 rue des Nuées", "44000 Nantes"),
        country="FR",
        vat_number="FR69091427757",
        legal_id="091427757",
        legal_mention="SAS au capital de 100 000 € – RCS Nantes 091 427 757",
        email="facturation@nimbus-cloud.example",
        iban="FR7699999044170002109876517",
        bic="NMBSFRPPXXX",
    )


def write_sample(
    landing: Path, *, organisations: int = 40, first: Month, months: int = 3, seed: int = 20260801
) -> SampleSummary:
    """Write the landing files of the sample provider.

    Reference rows land from the day before the first month on, usage from the day on which it was taken in, up to two
    days after the last month: what a month's closing at its default `as_of` may see.

    Args:
        landing: the landing folder; created when missing.
        organisations: how many, a fifth of them sub-organisations; at least 12.
        first: the first month.
        months: how many months; the story is told in three.
        seed: where every draw comes from.

    Raises:
        TooFewOrganisations: fewer than 12 organisations.
    """
    billed = [first]
    while len(billed) < months:
        billed.append(billed[-1].next)
    start = first.period(_UTC).start
    end = billed[-1].period(_UTC).end + _GRACE
    change_at = first.next.period(_UTC).start + timedelta(days=14)

    customers = invent_customers(organisations, first, Random(f"{seed} organisations"))
    usage = Usage()
    window = {"start": microseconds(start), "end": microseconds(end)}
    invent_usage(customers, usage, **window, rng=Random(f"{seed} usage"))
    blemished = blemish(usage, **window, rng=Random(f"{seed} blemishes"))
    accounts = invent_accounts(customers, billed, Random(f"{seed} accounts"))
    accounts["organisations"] = [row for customer in customers for row in customer.rows]

    landed = {"price_tiers": _land(landing, "price_tiers", _price_tiers(customers[2], start, change_at), end, "prices")}
    for feed, rows in accounts.items():
        landed[feed] = _land(landing, feed, arrivals_of(feed, _from_back_office(feed, rows, start)), end, "back-office")
    for feed, rows in usage.rows.items():
        landed[feed] = _land(landing, feed, arrivals_of(feed, rows), end, "nimbus")
    copies = {
        feed: _land(landing, feed, arrivals_of(feed, rows), end, "nimbus-again")
        for feed, rows in blemished.copies.items()
    }
    return SampleSummary(
        landing=landing,
        months=tuple(billed),
        first_arrival=start.date() - timedelta(days=1),
        last_arrival=end.date() - timedelta(days=1),
        rows={feed: rows + copies.get(feed, 0) for feed, rows in landed.items()},
        duplicate_rows=sum(copies.values()),
        late_rows=blemished.late_rows,
        corrected_rows=blemished.corrected_rows,
        withdrawn_rows=blemished.withdrawn_rows,
        broken_rows=blemished.broken_rows,
        payers=tuple(customer.owner_id for customer in customers if customer.pays and customer.opened_at < end),
        closed=customers[3].owner_id,
        opened=customers[4].owner_id,
        oss_consumer=customers[5].owner_id,
        tax_unknown=customers[6].owner_id,
        price_change_at=change_at,
    )


def _land(landing: Path, feed: str, arrivals: pl.DataFrame, end: datetime, name: str) -> int:
    """Land what arrives before landing ends, in the order of arrival; say how many rows that were."""
    arrived = arrivals.filter(pl.col("arrival_date") < end.date()).sort("arrival_date", "ingested_at", "event_id")
    land(landing, feed, arrived, name=name)
    return arrived.height


def _from_back_office(feed: str, rows: list[Row], start: datetime) -> list[Row]:
    """Rows with their event ids. What was known before the sample is loaded on the day before it."""
    loaded_at = microseconds(start - timedelta(hours=12))
    return [
        row
        | {"source": "back-office", "event_id": f"{feed}-{number:06d}"}
        | {"ingested_at": max(row["ingested_at"], loaded_at)}
        for number, row in enumerate(rows)
    ]


def _price_tiers(negotiator: Customer, start: datetime, change_at: datetime) -> pl.DataFrame:
    """The list of 2026 for everything but applications, which follow the older one until prices change."""
    listed = partial(price_tiers_from_catalogue, RUNTIME_CSV, COUNTABLE_CSV, currency="EUR")
    since = start - timedelta(days=365)
    is_application = pl.col("slug").str.starts_with("apps.")
    newer = listed(catalogue="2026-01-23", valid_from=since)
    older = listed(catalogue="2025-12-11", valid_from=since, valid_to=change_at)
    changed = newer.filter(is_application).with_columns(valid_from=pl.lit(change_at, INSTANT))
    # One customer has a price of its own for one flavour, whatever the public list says.
    negotiated = newer.filter(pl.col("slug") == "apps.s").with_columns(
        price_id=pl.lit("contract-2026-017.apps.s"), owner_id=pl.lit(negotiator.owner_id), unit_price=pl.lit("0.0375")
    )
    tiers = pl.concat([newer.filter(~is_application), older.filter(is_application), changed, negotiated])
    return tiers.select(
        event_id=pl.format("price-{}", pl.int_range(pl.len()).cast(pl.String).str.zfill(6)),
        source=pl.lit("back-office"),
        ingested_at=pl.lit(start - timedelta(hours=12), INSTANT),
        is_deleted=pl.lit(value=False),
        **{name: pl.col(name) for name in tiers.columns},
        arrival_date=pl.lit((start - timedelta(hours=12)).date()),
    )

"""A second, independent way to the same bill: what every payer owes, from the landing files alone.

Written from the feed contract and the meaning of the credit statement, without the pipeline's code. It walks sorted
lists of events with Python's whole numbers and fractions: no SQL, no frames, no shared function. Slow and plain on
purpose, so that a mistake here is unlikely to be the mistake there. What it was not taught raises `NotTaughtError`.

Instants are whole microseconds since 1970 in UTC; money is whole cents; letters are those of the credit statement.
"""

import calendar
import re
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

Row = dict[str, Any]

SECOND = 1_000_000
DAY = 86_400 * SECOND
GRACE = 2 * DAY
FOREVER = 2**62

USAGE_KEYS = {
    "runtime_intervals": ("instance_id", "started_at"),
    "unusable_intervals": ("instance_id", "started_at"),
    "storage_samples": ("resource_id", "metric", "sampled_at"),
    "traffic_deltas": ("resource_id", "metric", "started_at"),
    "unit_counts": ("resource_id", "metric", "sampled_at"),
    "one_shots": ("source", "event_id"),
}
REFERENCE_KEYS = {
    "organisations": ("owner_id", "valid_from"),
    "price_tiers": ("price_id", "tier_from"),
    "credit_grants": ("grant_id",),
    "refill_agreements": ("owner_id", "billing_month"),
    "payments": ("payment_id",),
}
IGNORED_FEEDS = {"payment_methods"}  # they move money but decide no figure
IDS = ("event_id", "source", "resource_id", "instance_id", "price_id", "grant_id", "payment_id")
AMOUNTS_NOT_NEGATIVE = ("bytes",)

EU = frozenset(
    {"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU"}
    | {"IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"}
)


class NotTaughtError(Exception):
    """The landing holds something whose bill this oracle does not know."""


@dataclass(frozen=True, order=True)
class LineKey:
    """What makes a line: everything that is summed before the one rounding."""

    owner_id: str
    resource_id: str
    slug: str
    zone: str
    price_id: str
    tier_from: int
    price_factor: Fraction


@dataclass(frozen=True)
class Charge:
    """One line before the discount: `quantity` in seconds, byte-seconds, bytes, units or pieces."""

    key: LineKey
    payer_id: str
    basis: str
    quantity: Fraction
    seconds: int | None
    cents: int
    recurring: bool


@dataclass(frozen=True)
class Lot:
    """One free credit in one month; used and expired are zero or negative, as printed."""

    grant_id: str
    left_before: int
    used: int
    expired: int

    @property
    def left_after(self) -> int:
        return self.left_before + self.used + self.expired


@dataclass(frozen=True)
class Bill:
    """One payer's month."""

    payer_id: str
    charges: tuple[Charge, ...]
    discount: int
    fees: int
    a: int
    b: int
    c: int
    d: int
    e: int
    f: int
    g: int
    h: int
    lots: tuple[Lot, ...]
    is_custom: bool
    vat_rate: Fraction
    is_order_felt: bool

    @property
    def before(self) -> int:
        return self.a + self.b

    @property
    def after(self) -> int:
        return self.before + self.c + self.d + self.e + self.h

    @property
    def i(self) -> int:
        return self.after - self.before

    @property
    def subtotal(self) -> int:
        return self.fees + self.c + self.e + self.h

    @property
    def vat(self) -> int:
        return round_half_away(self.vat_rate * self.subtotal)

    @property
    def payable(self) -> int:
        return self.subtotal + self.vat

    @property
    def is_due(self) -> bool:
        return bool(self.charges or self.before or self.h)


@dataclass(frozen=True)
class Month:
    """Everything that one month bills."""

    name: str
    charges: dict[LineKey, Charge]
    bills: dict[str, Bill]
    parked: dict[str, set[str]]
    quarantined: list[tuple[str, str, int, str]]


@dataclass
class _Seen:
    """What a run sees: rows by feed, and why some were refused or cannot be decided."""

    rows: dict[str, list[Row]] = field(default_factory=dict)
    quarantined: list[tuple[str, str, int, str]] = field(default_factory=list)
    conflicting: list[Row] = field(default_factory=list)


# ---- whole numbers ---------------------------------------------------------------------------------------------


def round_half_away(amount: Fraction) -> int:
    """The nearest whole number; a half goes away from zero."""
    magnitude = (2 * abs(amount.numerator) + amount.denominator) // (2 * amount.denominator)
    return magnitude if amount >= 0 else -magnitude


def started_blocks(quantity: Fraction, block: int) -> int:
    return -(-quantity.numerator // (quantity.denominator * block))


def spread(total: int, weights: Sequence[Fraction]) -> list[int]:
    """`total` shared out by weight in whole cents: floors first, then the largest remainders, earliest first."""
    weight = sum(weights, Fraction(0))
    if not weight:
        return [0] * len(weights)
    exact = [total * each / weight for each in weights]
    shares = [each.numerator // each.denominator for each in exact]
    largest = sorted(range(len(weights)), key=lambda index: (shares[index] - exact[index], index))
    for index in largest[: total - sum(shares)]:
        shares[index] += 1
    return shares


def cents(text: str | Decimal) -> int:
    exact = Fraction(Decimal(text)) * 100
    if exact.denominator != 1:
        raise NotTaughtError(f"{text} is not whole cents")
    return exact.numerator


def instant(moment: datetime) -> int:
    return (moment - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(microseconds=1)


def month_bounds(month: str) -> tuple[int, int]:
    """The half-open month in UTC."""
    year, number = map(int, month.split("-"))
    start = instant(datetime(year, number, 1, tzinfo=UTC))
    return start, start + calendar.monthrange(year, number)[1] * DAY


# ---- reading and deciding --------------------------------------------------------------------------------------


def _plain(table: pa.Table) -> Iterator[Row]:
    """Rows with instants as whole microseconds."""
    columns = {}
    for name, column in zip(table.column_names, table.columns, strict=True):
        if pa.types.is_timestamp(column.type):
            if column.type.tz is None:
                raise NotTaughtError(f"column {name} has no zone")
            column = column.cast(pa.timestamp("us", tz="UTC")).cast(pa.int64())
        columns[name] = column.to_pylist()
    for values in zip(*columns.values(), strict=True):
        yield dict(zip(columns, values, strict=True))


def _refusal(row: Row) -> str | None:
    if not re.fullmatch(r"[A-Za-z0-9_-]{1,64}", row.get("owner_id") or "any"):
        return "id_syntax"
    if any(not re.fullmatch(r"[!-~]{1,128}", row[name]) for name in IDS if row.get(name) is not None):
        return "id_syntax"
    if row.get("stopped_at") is not None and row["stopped_at"] < row["started_at"]:
        return "stop_before_start"
    if any(row.get(name) is not None and row[name] < 0 for name in AMOUNTS_NOT_NEGATIVE):
        return "negative"
    if "sampled_at" in row and "quantity" in row and Decimal(row["quantity"]) < 0:
        return "negative"
    return None


def _arrivals(landing: Path, feed: str, as_of: int) -> Iterator[tuple[str, int, Row]]:
    """Rows of the files whose day of arrival has ended by `as_of`, that were ingested by then."""
    for path in sorted((landing / feed).glob("arrival_date=*/*")):
        if path.suffix != ".parquet":
            raise NotTaughtError(f"only Parquet is read here: {path}")
        arrived = datetime.fromisoformat(path.parent.name.removeprefix("arrival_date=")).replace(tzinfo=UTC)
        if instant(arrived) + DAY <= as_of:
            for number, row in enumerate(_plain(pq.ParquetFile(path).read())):
                if row["ingested_at"] <= as_of:
                    yield str(path.relative_to(landing)), number, row


def _newest(candidates: list[Row], ignoring: tuple[str, ...] = ()) -> tuple[Row, bool]:
    """The candidate ingested last, and whether another one ingested at that instant says something else."""
    last = max(row["ingested_at"] for row in candidates)
    tied = [row for row in candidates if row["ingested_at"] == last]
    told = [{name: value for name, value in row.items() if name not in ignoring} for row in tied]
    return min(tied, key=lambda row: row["event_id"]), any(each != told[0] for each in told)


def _decide(rows: Iterable[Row], key: tuple[str, ...], conflicting: list[Row]) -> list[Row]:
    """One row per natural key: first the newest telling of each event, then the newest event of each key."""
    events, keys = defaultdict(list), defaultdict(list)
    for row in rows:
        events[row["source"], row["event_id"]].append(row)
    for tellings in events.values():
        row, is_conflict = _newest(tellings)
        if is_conflict:
            conflicting.extend(tellings)
        keys[tuple(row[name] for name in key)].append(row)
    decided = []
    for claims in keys.values():
        row, is_conflict = _newest(claims, ignoring=("event_id",))
        if is_conflict:
            conflicting.extend(claims)
        if not row.get("is_deleted"):
            decided.append(row)
    return decided


def see(landing: Path, as_of: int) -> _Seen:
    """The decided rows of every feed as they were known at `as_of`."""
    seen = _Seen()
    known = USAGE_KEYS | REFERENCE_KEYS
    for folder in sorted(landing.iterdir()):
        if folder.name not in known and folder.name not in IGNORED_FEEDS:
            raise NotTaughtError(f"feed {folder.name}")
    for feed, key in known.items():
        accepted = []
        for path, number, row in _arrivals(landing, feed, as_of):
            if reason := _refusal(row):
                seen.quarantined.append((feed, path, number, reason))
            else:
                accepted.append(row)
        seen.rows[feed] = _decide(accepted, key, seen.conflicting)
    return seen


# ---- organisations and prices ----------------------------------------------------------------------------------


class _Organisations:
    def __init__(self, rows: Iterable[Row]) -> None:
        self.versions: dict[str, list[Row]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: row["valid_from"]):
            self.versions[row["owner_id"]].append(row)

    def at(self, owner_id: str, when: int) -> Row:
        """The version in force at an instant."""
        versions = [row for row in self.versions[owner_id] if row["valid_from"] <= when]
        if not versions:
            raise NotTaughtError(f"{owner_id} has usage at {when} and no organisation row in force")
        return versions[-1]

    def payer(self, owner_id: str, when: int) -> str:
        return self.at(owner_id, when)["payer_id"] or owner_id

    def factor(self, owner_id: str, when: int) -> Fraction:
        return Fraction(self.at(owner_id, when)["price_factor"] or 1)

    def edges(self, owner_id: str) -> set[int]:
        return {row["valid_from"] for row in self.versions[owner_id]}


class _UnpricedError(Exception):
    """`price_missing` or `price_overlap`."""


class _Prices:
    def __init__(self, rows: Iterable[Row]) -> None:
        tiers: dict[str, list[Row]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: row["tier_from"]):
            tiers[row["price_id"]].append(row)
        self.of_slug: dict[str, list[list[Row]]] = defaultdict(list)
        for price in tiers.values():
            self.of_slug[price[0]["slug"].lower()].append(price)

    def edges(self, slug: str) -> set[int]:
        return {
            edge
            for price in self.of_slug[slug]
            for edge in (price[0]["valid_from"], price[0]["valid_to"])
            if edge is not None
        }

    def at(self, slug: str, owner: Row, zone: str, when: int) -> list[Row]:
        """The tiers of the most specific price in force."""
        ranked = defaultdict(list)
        for price in self.of_slug[slug]:
            head = price[0]
            if (
                head["currency"] == owner["currency"]
                and head["owner_id"] in (None, owner["owner_id"])
                and head["zone"] in (None, zone)
                and head["valid_from"] <= when
                and (head["valid_to"] is None or when < head["valid_to"])
            ):
                ranked[head["owner_id"] is not None, head["zone"] is not None].append(price)
        if not ranked:
            raise _UnpricedError("price_missing")
        best = ranked[max(ranked)]
        if len(best) > 1:
            raise _UnpricedError("price_overlap")
        return best[0]


# ---- usage becomes quantities ----------------------------------------------------------------------------------

Piece = tuple[int, int]  # half-open, microseconds


def unite(pieces: Iterable[Piece]) -> list[Piece]:
    """The same time, each instant once."""
    united: list[Piece] = []
    for start, stop in sorted(pieces):
        if united and start <= united[-1][1]:
            united[-1] = (united[-1][0], max(united[-1][1], stop))
        else:
            united.append((start, stop))
    return [(start, stop) for start, stop in united if start < stop]


def subtract(pieces: Iterable[Piece], holes: Iterable[Piece]) -> list[Piece]:
    """What is left of the pieces outside the holes."""
    left = list(pieces)
    for hole_start, hole_stop in holes:
        left = [
            part
            for start, stop in left
            for part in ((start, min(stop, hole_start)), (max(start, hole_stop), stop))
            if part[0] < part[1]
        ]
    return left


def cut(start: int, stop: int, edges: Iterable[int]) -> Iterator[Piece]:
    """The piece, parted at every edge inside it."""
    marks = sorted({start, stop, *(edge for edge in edges if start < edge < stop)})
    yield from pairwise(marks)


def clip(start: int, stop: int | None, month: Piece) -> Piece:
    return max(start, month[0]), month[1] if stop is None else min(stop, month[1])


def _tells_of(row: Row) -> Piece:
    """The time that a row says something about."""
    if "started_at" in row:
        return row["started_at"], FOREVER if row["stopped_at"] is None else row["stopped_at"]
    start = row.get("sampled_at", row.get("performed_at", 0))
    return start, start + 1 if "quantity" in row else FOREVER


@dataclass(frozen=True, order=True)
class _Usage:
    """A line key before its tiers."""

    payer_id: str
    owner_id: str
    resource_id: str
    slug: str
    zone: str
    price_id: str
    price_factor: Fraction


class _Rating:
    """One month's usage, turned into charges."""

    def __init__(self, seen: _Seen, month: Piece) -> None:
        self.seen, self.month = seen, month
        self.organisations = _Organisations(seen.rows["organisations"])
        self.prices = _Prices(seen.rows["price_tiers"])
        self.tiers: dict[str, list[Row]] = {}
        self.parked: dict[str, set[str]] = defaultdict(set)
        self.exact: dict[LineKey, tuple[Charge, Fraction]] = {}
        for row in seen.conflicting:
            if "owner_id" not in row:
                raise NotTaughtError(f"rows of nobody contradict each other: {row}")
            start, stop = _tells_of(row)
            if start < month[1] and month[0] < stop:
                self.parked[self.organisations.payer(row["owner_id"], month[0])].add("event_conflict")

    def edges(self, row: Row, slug: str) -> set[int]:
        return self.prices.edges(slug) | self.organisations.edges(row["owner_id"])

    def place(self, row: Row, slug: str, when: int) -> _Usage | None:
        """Which line usage at an instant belongs to; without a price its payer is parked."""
        owner = self.organisations.at(row["owner_id"], when)
        payer_id = owner["payer_id"] or owner["owner_id"]
        try:
            tiers = self.prices.at(slug, owner, row["zone"], when)
        except _UnpricedError as reason:
            self.parked[payer_id].add(str(reason))
            return None
        price_id = tiers[0]["price_id"]
        self.tiers[price_id] = tiers
        factor = Fraction(owner["price_factor"] or 1)
        return _Usage(payer_id, row["owner_id"], row["resource_id"], slug, row["zone"], price_id, factor)

    def charge(
        self, usage: _Usage, tier: Row, quantity: Fraction, seconds: int | None, tier_price: Fraction = Fraction(0)
    ) -> None:
        """Price one tier of one line; `quantity` already holds the seconds where the price knows time."""
        per = tier["per_quantity"] * (tier["per_seconds"] or 1)
        amount = quantity * Fraction(tier["unit_price"]) / per + tier_price
        key = LineKey(
            usage.owner_id,
            usage.resource_id,
            usage.slug,
            usage.zone,
            usage.price_id,
            tier["tier_from"],
            usage.price_factor,
        )
        charge = Charge(key, usage.payer_id, tier["basis"], quantity, seconds, 0, recurring=True)
        self.exact[key] = (charge, amount * usage.price_factor * 100)

    def parts(self, tiers: list[Row], quantity: Fraction, *, counted: bool) -> Iterator[tuple[Row, Fraction]]:
        """How a quantity falls into tiers."""
        for tier in tiers:
            low, high = tier["tier_from"], tier["tier_to"]
            match tier["tier_mode"]:
                case "graduated" if counted:
                    part = quantity if high is None else min(quantity, Fraction(high - 1))
                    part -= max(low - 1, 0)
                case "graduated":
                    part = (quantity if high is None else min(quantity, Fraction(high))) - low
                case "flat" | "slab" | "package":
                    part = quantity if low <= quantity and (high is None or quantity < high) else Fraction(0)
                case mode:
                    raise NotTaughtError(f"tier mode {mode}")
            if part > 0:
                yield tier, part

    def charge_parts(self, usage: _Usage, quantity: Fraction, seconds: int | None, *, counted: bool = False) -> None:
        for tier, part in self.parts(self.tiers[usage.price_id], quantity, counted=counted):
            blocks = started_blocks(part, tier["block_quantity"]) if tier["block_quantity"] else None
            once = Fraction(tier["tier_price"] or 0)
            if tier["tier_mode"] == "package":
                once *= blocks
            billed = part if blocks is None else Fraction(blocks * tier["block_quantity"])
            within = None if seconds is None else min(seconds, part.numerator)
            self.charge(usage, tier, billed, within, once)

    # -- the bases --

    def runtime(self) -> None:
        instances: dict[str, dict[tuple, list[Piece]]] = defaultdict(lambda: defaultdict(list))
        for row in self.seen.rows["runtime_intervals"]:
            what = tuple(row[name] for name in ("owner_id", "resource_id", "service", "flavour", "zone"))
            instances[row["instance_id"]][what].append((row["started_at"], row["stopped_at"] or FOREVER))
        broken: dict[str, list[Piece]] = defaultdict(list)
        for row in self.seen.rows["unusable_intervals"]:
            broken[row["instance_id"]].append((row["started_at"], row["stopped_at"]))
        microseconds: dict[_Usage, int] = defaultdict(int)
        for instance_id, runs in sorted(instances.items()):
            united = {what: unite(pieces) for what, pieces in runs.items()}
            if sum(stop - start for pieces in united.values() for start, stop in pieces) != sum(
                stop - start for start, stop in unite(piece for pieces in united.values() for piece in pieces)
            ):
                raise NotTaughtError(f"instance {instance_id} ran as two things at once")
            for (owner_id, resource_id, service, flavour, zone), pieces in united.items():
                row = {"owner_id": owner_id, "resource_id": resource_id, "zone": zone}
                slug = f"{service}.{flavour}".lower()
                holes = unite(broken[instance_id])
                for run in pieces:
                    for usage, duration in self.run(row, slug, run, holes):
                        microseconds[usage] += duration
        for usage, duration in microseconds.items():
            seconds = duration // SECOND
            block = self.tiers[usage.price_id][0]["block_seconds"] or 1
            self.charge_parts(usage, Fraction(-(-seconds // block) * block), seconds)

    def run(self, row: Row, slug: str, run: Piece, holes: list[Piece]) -> Iterator[tuple[_Usage, int]]:
        """What one united run bills in this month, by line: its time, or its granules where the price has some."""
        starts: dict[str, int] = {}
        ended = 0
        for span in cut(*run, self.edges(row, slug) | set(self.month)):
            if span[1] <= self.month[0] and not self.has_granules(slug):
                continue
            if span[0] >= self.month[1] or not (usage := self.place(row, slug, span[0])):
                continue
            tier = self.tiers[usage.price_id][0]
            usable = subtract([span], holes)
            if not (tier["granularity_seconds"] or tier["minimum_seconds"]):
                if self.month[0] <= span[0]:
                    yield usage, sum(stop - start for start, stop in usable)
                continue
            granule = (tier["granularity_seconds"] or 0) * SECOND or 1
            if holes or granule == 1:
                raise NotTaughtError(f"unusable granules, or a minimum without granules: {slug}")
            origin = starts.setdefault(usage.price_id, span[0])
            begun = -(-(span[1] - origin) // granule) - -(-(span[0] - origin) // granule)
            ended += begun * granule
            top_up = 0
            if span[1] == run[1]:
                if len(starts) > 1 and tier["minimum_seconds"]:
                    raise NotTaughtError(f"a minimum over two prices: {slug}")
                top_up = max(0, (tier["minimum_seconds"] or 0) * SECOND - ended)
            if self.month[0] <= span[0]:
                yield usage, begun * granule + top_up

    def has_granules(self, slug: str) -> bool:
        return any(
            price[0]["granularity_seconds"] or price[0]["minimum_seconds"] for price in self.prices.of_slug[slug]
        )

    def stored(self) -> None:
        byte_us: dict[tuple[_Usage, int], int] = defaultdict(int)
        held_us: dict[tuple[_Usage, int], int] = defaultdict(int)
        for row, span in self.held_samples():
            slug = row["metric"].lower()
            for start, stop in cut(*span, self.edges(row, slug)):
                if not (usage := self.place(row, slug, start)):
                    continue
                for tier, part in self.parts(self.tiers[usage.price_id], Fraction(row["bytes"]), counted=False):
                    block = tier["block_quantity"]
                    size = started_blocks(part, block) * block if block else part.numerator
                    byte_us[usage, tier["tier_from"]] += size * (stop - start)
                    held_us[usage, tier["tier_from"]] += stop - start
        for (usage, tier_from), product in byte_us.items():
            (tier,) = (each for each in self.tiers[usage.price_id] if each["tier_from"] == tier_from)
            if tier["tier_price"]:
                raise NotTaughtError(f"tier_price of stored {tier['price_id']}")
            self.charge(usage, tier, Fraction(product // SECOND), held_us[usage, tier_from] // SECOND)

    def held_samples(self) -> Iterator[tuple[Row, Piece]]:
        """Every size above zero, with the time in this month until the next sample."""
        samples: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self.seen.rows["storage_samples"]:
            samples[row["resource_id"], row["metric"]].append(row)
        for held in samples.values():
            held.sort(key=lambda row: row["sampled_at"])
            for row, after in zip(held, [*held[1:], None], strict=True):
                span = clip(row["sampled_at"], after and after["sampled_at"], self.month)
                if span[0] < span[1] and row["bytes"]:
                    yield row, span

    def moved(self) -> None:
        volumes: dict[_Usage, int] = defaultdict(int)
        for row in self.seen.rows["traffic_deltas"]:
            last = max(row["started_at"], row["stopped_at"] - 1)
            if self.month[0] <= last < self.month[1] and (usage := self.place(row, row["metric"].lower(), last)):
                volumes[usage] += row["bytes"]
        for usage, volume in volumes.items():
            self.charge_parts(usage, Fraction(volume), None)

    def units(self) -> None:
        largest: dict[tuple[str, str], Row] = {}
        for row in sorted(self.seen.rows["unit_counts"], key=lambda row: row["sampled_at"]):
            if self.month[0] <= row["sampled_at"] < self.month[1]:
                what = row["resource_id"], row["metric"].lower()
                if what not in largest or Fraction(row["quantity"]) > Fraction(largest[what]["quantity"]):
                    largest[what] = row
        for (_, slug), row in largest.items():
            if usage := self.place(row, slug, row["sampled_at"]):
                self.charge_parts(usage, Fraction(row["quantity"]), None, counted=True)

    def one_shots(self) -> None:
        for row in self.seen.rows["one_shots"]:
            if not self.month[0] <= row["performed_at"] < self.month[1]:
                continue
            if row["invoice"] != "monthly" or row["sells_credits"]:
                continue  # an invoice of its own
            owner = self.organisations.at(row["owner_id"], row["performed_at"])
            if row["currency"] != owner["currency"]:
                raise NotTaughtError("one-shot in another currency")
            factor = Fraction(owner["price_factor"] or 1)
            quantity = Fraction(row["quantity"])
            amount = quantity * Fraction(row["unit_price"]) * factor * (1 - Fraction(row["discount_rate"] or 0))
            key = LineKey(row["owner_id"], row["event_id"], "one_shot", "", row["source"], 0, factor)
            payer_id = owner["payer_id"] or row["owner_id"]
            charge = Charge(key, payer_id, "one_shot", quantity, None, 0, recurring=row["recurring"])
            self.exact[key] = (charge, amount * 100)

    def charges(self) -> dict[LineKey, Charge]:
        """Every line in cents. Lines below the cent are rounded together, per owner and slug."""
        self.runtime()
        self.stored()
        self.moved()
        self.units()
        self.one_shots()
        rounded: dict[LineKey, Charge] = {}
        small: dict[tuple[str, str, str], list[LineKey]] = defaultdict(list)
        for key, (charge, exact) in sorted(self.exact.items()):
            if 0 < abs(exact) < 1:
                small[charge.payer_id, key.owner_id, key.slug].append(key)
            rounded[key] = replace(charge, cents=round_half_away(exact))
        for keys in small.values():
            weights = [self.exact[key][1] for key in keys]
            for key, share in zip(keys, spread(round_half_away(sum(weights, Fraction(0))), weights), strict=True):
                rounded[key] = replace(rounded[key], cents=share)
        return rounded


# ---- credits and the invoice -----------------------------------------------------------------------------------


def _pay_from_lots(
    lots: list[Row], left: Mapping[str, int], unpaid: dict[str, int], scoped_first: bool
) -> dict[str, int]:
    """What every lot pays, in the order of the lots; a lot for everything starts with or ends on scoped slugs."""
    unpaid = dict(unpaid)
    scoped = {slug for lot in lots for slug in _scope(lot) or ()}
    used = {}
    for lot in lots:
        scope = _scope(lot)
        slugs = [slug for slug in sorted(unpaid) if scope is None or slug in scope]
        slugs.sort(key=lambda slug: (slug in scoped) != scoped_first)
        budget = left[lot["grant_id"]]
        for slug in slugs:
            paid = min(budget, unpaid[slug])
            unpaid[slug] -= paid
            budget -= paid
        used[lot["grant_id"]] = left[lot["grant_id"]] - budget
    return used


def _scope(lot: Row) -> set[str] | None:
    return None if not lot["slugs"] else {slug.strip().lower() for slug in lot["slugs"].split(";")}


def vat_rate(payer: Row) -> Fraction | None:
    """The rate that a French seller owes; None where nobody can say yet."""
    if payer["country"] == "FR":
        return None if payer["postcode"].startswith(("97", "98")) else Fraction(20, 100)
    if payer["country"] not in EU:
        return Fraction(0)
    return Fraction(0) if payer["kind"] == "business" and payer["vat_number"] else None


class _Ledger:
    """What is carried from month to month: lots, refills and who was parked."""

    def __init__(self) -> None:
        self.left: dict[str, int] = {}
        self.bills: dict[str, dict[str, Bill]] = {}
        self.parked: set[str] = set()

    def paid_refills(self, payments: list[Row], payer_id: str) -> tuple[int, int]:
        """Refills that are paid, and those that are pending."""
        paid = pending = 0
        for month, bills in self.bills.items():
            if bill := bills.get(payer_id):
                received = sum(
                    cents(row["amount"]) * {"succeeded": 1, "refunded": -1, "failed": 0}[row["outcome"]]
                    for row in payments
                    if row["reference"] == f"{payer_id}/{month}"
                )
                if received >= bill.payable:
                    paid += bill.h
                else:
                    pending += bill.h
        return paid, pending


def _statement(  # the letters are the statement's own
    payer: Row, charges: list[Charge], seen: _Seen, ledger: _Ledger, name: str, month: Piece, as_of: int, rate: Fraction
) -> Bill:
    payer_id = payer["owner_id"]
    charges = sorted(charges, key=lambda charge: charge.key)
    gross = sum(charge.cents for charge in charges)
    discount = -round_half_away(gross * Fraction(payer["discount_rate"] or 0))
    shares = spread(discount, [Fraction(charge.cents) for charge in charges])
    fees = gross + discount
    unpaid: dict[str, int] = defaultdict(int)
    recurring = 0
    for charge, share in zip(charges, shares, strict=True):
        unpaid[charge.key.slug] += charge.cents + share
        recurring += (charge.cents + share) * charge.recurring

    grants = [row for row in seen.rows["credit_grants"] if row["owner_id"] == payer_id]
    if any(grant["currency"] != payer["currency"] for grant in grants):
        raise NotTaughtError("credit in another currency")
    far = 2**63
    lots = sorted(
        (
            row
            for row in grants
            if row["kind"] == "free"
            and row["starts_at"] < month[1]
            and (row["expires_at"] is None or row["expires_at"] > month[0])
        ),
        key=lambda row: (row["priority"], row["expires_at"] or far, row["starts_at"], row["grant_id"]),
    )
    left = {row["grant_id"]: ledger.left.get(row["grant_id"], cents(row["amount"])) for row in lots}
    lots = [row for row in lots if left[row["grant_id"]]]
    used = _pay_from_lots(lots, left, unpaid, scoped_first=False)
    printed = []
    for lot in lots:
        remaining = left[lot["grant_id"]] - used[lot["grant_id"]]
        ends = lot["expires_at"] is not None and lot["expires_at"] <= month[1]
        printed.append(Lot(lot["grant_id"], left[lot["grant_id"]], -used[lot["grant_id"]], -remaining if ends else 0))
        ledger.left[lot["grant_id"]] = printed[-1].left_after

    paid, pending = ledger.paid_refills([row for row in seen.rows["payments"] if row["received_at"] <= as_of], payer_id)
    opening = sum(cents(row["amount"]) for row in grants if row["kind"] == "prepaid" and row["starts_at"] < month[1])
    spent = sum(bills[payer_id].e for bills in ledger.bills.values() if payer_id in bills)
    a, b, g = sum(left.values()), opening + spent + paid, pending
    c = sum(lot.used for lot in printed)
    d = sum(lot.expired for lot in printed)
    e = -min(b, fees + c)
    is_closed = payer["closed_on"] is not None and instant(_midnight(payer["closed_on"])) < month[1]
    f = 0 if is_closed else -recurring
    h = 0 if is_closed else max(0, -(a + b + c + d + e + f + g))
    agreed = [
        row for row in seen.rows["refill_agreements"] if (row["owner_id"], row["billing_month"]) == (payer_id, name)
    ]
    if agreed:
        h = cents(agreed[0]["amount"])
    return Bill(
        payer_id,
        tuple(charges),
        discount,
        fees,
        a,
        b,
        c,
        d,
        e,
        f,
        g,
        h,
        tuple(printed),
        bool(agreed),
        rate,
        is_order_felt=used != _pay_from_lots(lots, left, unpaid, scoped_first=True),
    )


def _midnight(day: date) -> datetime:
    return datetime(day.year, day.month, day.day, tzinfo=UTC)


def bill_months(landing: Path, months: Sequence[str], as_of: Mapping[str, datetime] | None = None) -> dict[str, Month]:
    """Bill the months in order, each on the one before; without `as_of` a month closes two days after its end."""
    ledger, billed = _Ledger(), {}
    for name in months:
        bounds = month_bounds(name)
        known_at = instant(as_of[name]) if as_of else bounds[1] + GRACE
        seen = see(landing, known_at)
        rating = _Rating(seen, bounds)
        charges = rating.charges()
        parked = rating.parked
        of_payer: dict[str, list[Charge]] = defaultdict(list)
        for charge in charges.values():
            of_payer[charge.payer_id].append(charge)
        bills = {}
        for owner_id in sorted(rating.organisations.versions):
            if min(row["valid_from"] for row in rating.organisations.versions[owner_id]) >= bounds[1]:
                continue
            payer = rating.organisations.at(owner_id, known_at)
            if payer["payer_id"]:
                continue
            if owner_id in ledger.parked:
                parked[owner_id].add("predecessor_parked")
            elif owner_id not in parked:
                rate = vat_rate(payer)
                statement = _statement(
                    payer, of_payer[owner_id], seen, ledger, name, bounds, known_at, rate or Fraction(0)
                )
                if rate is None and statement.is_due:
                    parked[owner_id].add("tax_unknown")
                elif statement.is_due:
                    bills[owner_id] = statement
        ledger.bills[name] = bills
        ledger.parked |= set(parked)
        billed[name] = Month(name, charges, bills, dict(parked), seen.quarantined)
    return billed

"""A provider's months invented from a seed: every feed, every price model and every way to be wrong, in few rows each.

Each organisation is drawn from the seed and its own number only, so that one that is billed wrong can be landed again
alone. The first case of an organisation goes round robin through all of them, so that no corpus misses one; what a
corpus reached is counted by the oracle (`Month.reached`) and asserted by the test. Where the papers do not say what two
rules make together, a comment says so, and the two never meet.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from pathlib import Path
from random import Random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
from hard_months import COLUMNS, COMMON
from oracle import Month, Provision, bill_months, month_bounds
from oracle_events import DAY, SECOND
from oracle_rating import MINOR_UNITS

Row = dict[str, Any]

HOUR, MINUTE = 3600 * SECOND, 60 * SECOND
GB = 10**9
ZONES = ("par", "rbx", "mtl")
CURRENCIES = ("EUR",) * 7 + ("USD", "JPY", "KWD")
#: Days of the month on which files land; what was ingested waits for the next one.
LANDING_DAYS = (2, 9, 16, 23)
EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
LONG_AGO = 1_700_000_000 * SECOND
HAPPENS = ("stopped_at", "sampled_at", "performed_at", "charged_at", "started_at", "received_at")


def day_of(instant: int) -> date:
    return (EPOCH + timedelta(microseconds=instant)).date()


def landing_day(ingested: int) -> date:
    """The first day on which files land, from the day of ingestion on."""
    day = day_of(ingested)
    while day.day not in LANDING_DAYS:
        day += timedelta(days=1)
    return day


class Landing:
    """Rows by feed, written as one Parquet file per feed and day of landing."""

    def __init__(self) -> None:
        self.rows: dict[str, list[Row]] = defaultdict(list)

    def add(self, feed: str, row: Row) -> Row:
        self.rows[feed].append(row)
        return row

    def write(self, landing: Path, name: str) -> int:
        """Write what was added since the last time; the number of rows."""
        written = 0
        for feed, told in self.rows.items():
            days: dict[date, list[Row]] = defaultdict(list)
            for row in told:
                days[landing_day(row["ingested_at"])].append(row)
            schema = pa.schema(COMMON | COLUMNS[feed])
            for day, arrived in days.items():
                folder = landing / feed / f"arrival_date={day}"
                folder.mkdir(parents=True, exist_ok=True)
                pq.write_table(pa.Table.from_pylist(arrived, schema=schema), folder / f"{name}.parquet")
            written += len(told)
        self.rows.clear()
        return written


# ---- prices ----------------------------------------------------------------------------------------------------


@dataclass(frozen=True)
class Slug:
    """A thing that has prices: its edges are those at which tiers begin."""

    name: str
    basis: str
    mode: str = "flat"
    edges: tuple[int, ...] = (0,)
    largest: str = "1"
    more: Row = field(default_factory=dict)
    tier_prices: tuple[str | None, ...] = ()
    changes: bool = False
    zoned: bool = False

    @property
    def is_granular(self) -> bool:
        """Whether runs count otherwise than they last."""
        return not {"granularity_seconds", "minimum_seconds"}.isdisjoint(self.more)


_MINIMUM = {"granularity_seconds": 60, "minimum_seconds": 3600}
SLUGS = (
    Slug("run.flat0", "runtime", largest="2"),
    Slug("run.flat1", "runtime", largest="0.2"),
    Slug("run.flat2", "runtime", largest="11"),
    Slug("run.zoned", "runtime", zoned=True),
    Slug("run.changed", "runtime", changes=True),
    Slug("run.hours", "runtime", more={"block_seconds": 3600}),
    Slug("run.tiers", "runtime", "graduated", (0, 3600, 100_000, 1_000_000), tier_prices=(None, "0.25", None, "2.00")),
    Slug("run.slabs", "runtime", "slab", (0, 7200, 500_000), tier_prices=("1.00", None, "3.10")),
    Slug("run.tiny", "runtime", largest="0.0008"),
    Slug("run.g10", "runtime", more={"granularity_seconds": 10}),
    Slug("run.g600", "runtime", more={"granularity_seconds": 600}, changes=True),
    Slug("run.g3600", "runtime", more={"granularity_seconds": 3600}),
    Slug("run.least", "runtime", more=_MINIMUM),
    Slug("run.bareleast", "runtime", more={"minimum_seconds": 900}, changes=True),
    Slug("run.gtiers", "runtime", "graduated", (0, 36_000), more={"granularity_seconds": 60}),
    Slug("disk.flat", "stored", largest="0.001"),
    Slug("disk.changed", "stored", largest="0.0005", changes=True),
    Slug("disk.tiers", "stored", "graduated", (0, 256_000_000, 50 * GB, 250 * GB), largest="0.0003"),
    Slug("disk.slabs", "stored", "slab", (0, 100_000_000, 1000 * GB), largest="0.00003"),
    Slug("disk.blocks", "stored", "graduated", (0, 10 * GB), largest="0.001", more={"block_quantity": GB}),
    Slug("disk.tiny", "stored", largest="0.0000005"),
    Slug("net.flat", "moved", largest="0.1"),
    Slug("net.changed", "moved", "graduated", (0, 10 * GB), changes=True),
    Slug("net.tiers", "moved", "graduated", (0, 512_000_000, 100 * GB, 500 * GB)),
    Slug("net.slabs", "moved", "slab", (0, 10 * GB, 1000 * GB), tier_prices=(None, "4.20", "1.00")),
    Slug("net.packs", "moved", "package", more={"block_quantity": 10 * GB}, tier_prices=("2.50",)),
    Slug("net.blocks", "moved", "graduated", (0, 5 * GB), more={"block_quantity": GB}, tier_prices=(None, "0.99")),
    Slug("net.tiny", "moved", largest="0.00001"),
    Slug("seat.flat", "units", largest="9"),
    Slug("seat.tiers", "units", "graduated", (0, 11, 51), largest="9", tier_prices=(None, None, "5.00")),
    Slug("seat.blocks", "units", "graduated", (0, 101), largest="9", more={"block_quantity": 100, "per_quantity": 100}),
    Slug("seat.slabs", "units", "slab", (0, 5, 20), largest="9", tier_prices=(None, "1.50", None)),
    Slug("seat.packs", "units", "package", more={"block_quantity": 5}, tier_prices=("3.00",)),
    Slug("seat.tiny", "units", largest="0.004"),
    Slug("pub.discount", "runtime"),
    Slug("pub.maximum", "moved"),
    Slug("pub.minimum", "units", largest="9"),
    Slug("pub.free", "moved"),
)
OF_NAME = {slug.name: slug for slug in SLUGS}


def decimals(rng: Random, largest: str, places: Sequence[int] = (2, 3, 5, 8, 14, 17, 20)) -> str:
    """A price up to the largest, with few decimals or very many."""
    digits = rng.choice(places)
    share = Decimal(rng.randrange(1, 10**digits)).scaleb(-digits)
    return f"{(share * Decimal(largest)).quantize(Decimal(1).scaleb(-20)).normalize():f}"


class Provider:
    """The months of one provider."""

    def __init__(self, seed: int, months: Sequence[str]) -> None:
        self.seed, self.months = seed, tuple(months)
        self.bounds = [month_bounds(month) for month in months]
        self.start, self.end = self.bounds[0][0], self.bounds[-1][1]
        self.landing = Landing()
        self.changes = self.price_changes()
        self.numbers = 0

    def add(self, feed: str, ingested: int | None = None, **told: Any) -> Row:
        row = dict.fromkeys(COMMON | COLUMNS[feed]) | {"source": "meter", "is_deleted": False} | told
        if row["event_id"] is None:
            self.numbers += 1
            row["event_id"] = f"e{self.numbers:07}"
        if ingested is None:
            happened = next((row[name] for name in HAPPENS if row.get(name) is not None), self.start - DAY)
            ingested = happened + 5 * MINUTE
        row["ingested_at"] = ingested
        return self.landing.add(feed, row)

    def price_changes(self) -> list[int]:
        """An instant inside every month at which prices change."""
        rng = Random(f"{self.seed}/changes")
        return [rng.randrange(start + DAY, end - DAY) for start, end in self.bounds]

    def price(self, slug: Slug, rng: Random, price_id: str, /, **told: Any) -> None:
        """One price version of a slug, a row a tier."""
        basis = slug.basis
        common = {
            "ingested": self.start - DAY,
            "slug": slug.name,
            "basis": basis,
            "per_quantity": GB if basis in ("stored", "moved") else 1,
            "per_seconds": rng.choice((1, 3600, 86_400)) if basis in ("stored", "runtime") else None,
            "tier_mode": slug.mode,
            "valid_from": LONG_AGO,
        }
        # a price per second must be smaller than one per day
        scale = Decimal(common["per_seconds"] or 3600) / 3600
        scale *= {"JPY": 100, "KWD": Decimal("0.3")}.get(told["currency"], 1)
        ends = (*slug.edges[1:], None)
        for number, (low, high) in enumerate(zip(slug.edges, ends, strict=True)):
            is_free = slug.mode != "flat" and number == 0 and rng.random() < 0.4
            unit_price = "0" if is_free or slug.mode == "package" else decimals(rng, str(Decimal(slug.largest) * scale))
            tier_price = slug.tier_prices[number] if slug.tier_prices else None
            if tier_price and told["currency"] == "JPY":
                tier_price = str(int(Decimal(tier_price) * 100))
            tier = {"tier_from": low, "tier_to": high, "unit_price": unit_price, "tier_price": tier_price}
            self.add("price_tiers", price_id=price_id, **(common | slug.more | tier | told))

    def public_prices(self) -> None:
        for slug in SLUGS:
            for currency in sorted(MINOR_UNITS.keys() & set(CURRENCIES)):
                self.prices_of(slug, currency, None)
                if slug.zoned:
                    self.prices_of(slug, currency, "par")
        self.wrong_prices()
        self.public_rules()

    def prices_of(self, slug: Slug, currency: str, zone: str | None) -> None:
        name = f"{slug.name}.{currency}.{zone or 'any'}"
        rng = Random(f"{self.seed}/{name}")
        marks = [LONG_AGO, *self.changes, None] if slug.changes else [LONG_AGO, None]
        for number, (start, stop) in enumerate(pairwise(marks)):
            told = {"currency": currency, "zone": zone, "valid_from": start, "valid_to": stop}
            self.price(slug, rng, f"{name}.{number}", **told)

    def wrong_prices(self) -> None:
        """Prices that are refused, missing for a while, of another currency or valid twice."""
        rng = Random(f"{self.seed}/wrong")
        flat = OF_NAME["run.flat0"]
        told = {"currency": "EUR"}
        for name, tiers in {
            "wrong.hole": ((0, 10), (20, None)),
            "wrong.start": ((10, None),),
            "wrong.end": ((0, 10),),
        }.items():
            for low, high in tiers:
                row = {"slug": name, "tier_mode": "slab", "tier_from": low, "tier_to": high}
                self.price(flat, rng, name, **told, **row)
        self.price(flat, rng, "wrong.negative", **told, slug="wrong.negative", unit_price="-1")
        self.price(flat, rng, "wrong.mode", **told, slug="wrong.mode", tier_mode="stairs")
        middle = self.changes[0]
        self.price(flat, rng, "wrong.gap.1", **told, slug="wrong.gap", valid_to=middle)
        self.price(flat, rng, "wrong.gap.2", **told, slug="wrong.gap", valid_from=middle + 1)
        self.price(flat, rng, "wrong.twice.1", **told, slug="wrong.twice", valid_to=middle + 1)
        self.price(flat, rng, "wrong.twice.2", **told, slug="wrong.twice", valid_from=middle)
        self.price(flat, rng, "wrong.dollar", currency="USD", slug="wrong.dollar")

    def public_rules(self) -> None:
        for currency, unit in (("EUR", 1), ("USD", 1), ("JPY", 100), ("KWD", 1)):
            for kind, slug, figure in (
                ("discount", "pub.discount", {"rate": "0.125"}),
                ("maximum", "PUB.maximum", {"amount": str(7 * unit)}),
                ("minimum", "pub.minimum", {"amount": str(30 * unit)}),
                ("minimum", None, {"amount": str(2 * unit)}),
                ("free_quantity", "pub.free", {"quantity": str(5 * GB)}),
            ):
                self.rule(f"public-{kind}-{slug}-{currency}", kind, currency, slug=slug, **figure)

    def rule(self, rule_id: str, kind: str, currency: str, **told: Any) -> None:
        told = {"name": kind, "valid_from": LONG_AGO} | told
        self.add("spend_rules", self.start - DAY, rule_id=rule_id, kind=kind, currency=currency, **told)

    def plan(self) -> Provision:
        """How this provider provides for the next month."""
        rng = Random(f"{self.seed}/plan")
        strategies = ("same_as_last_month", "daily_rate", "mean_of_three", "committed")
        strategy = rng.choice(strategies)
        from_month = rng.choice((0, 0, 1, 2))
        return Provision(strategy, from_month)

    def settings(self) -> str:
        """The plan as lines of settings.toml."""
        plan = self.plan()
        return f'provision_strategy = "{plan.strategy}"\nprovision_from_month = {plan.from_month}\n'

    def currency_of(self, owner_id: str) -> str:
        """The currency of an organisation, and of all its sub-organisations."""
        return Random(f"{self.seed}/{owner_id.split('_')[0]}/currency").choice(CURRENCIES)

    def organisation(self, number: int) -> None:
        case = CASES[number % len(CASES)]
        customer = Customer(self, number, case)
        case.tell(customer)
        if case.mixes:
            mixed = [each for each in CASES if each.mixes]
            for _ in range(customer.rng.choice((0, 1, 1, 2))):
                customer.rng.choice(mixed).tell(customer)

    def write(self, landing: Path, numbers: Iterable[int]) -> int:
        """Land everything but payments, then what was paid of the first month's drafts; the number of rows."""
        self.public_prices()
        numbers = list(numbers)
        for number in numbers:
            self.organisation(number)
        written = self.landing.write(landing, "provider")
        if len(self.months) > 1:
            first = bill_months(landing, self.months[:1], plan=self.plan())[self.months[0]]
            self.pay(first)
            written += self.landing.write(landing, "bank")
        return written

    def pay(self, month: Month) -> None:
        """What was received for the drafts of a month: all, all but one, too much, in parts, back again, or nothing."""
        end = month_bounds(month.name)[1]
        for payer_id, bill in month.bills.items():
            rng = Random(f"{self.seed}/{payer_id}/payments")
            asked = bill.payable
            first = rng.randrange(asked + 1)
            told = rng.choice(
                (
                    [],
                    [],
                    [(asked, "succeeded")],
                    [(asked, "succeeded")],
                    [(asked - 1, "succeeded")],
                    [(asked + 1000, "succeeded")],
                    [(first, "succeeded"), (asked - first, "succeeded")],
                    [(asked, "succeeded"), (1, "refunded")],
                    [(asked, "failed")],
                )
            )
            currency = self.currency_of(payer_id)
            for number, (amount, outcome) in enumerate(told):
                if amount > 0:
                    late = rng.random() < 0.1
                    received = end + (60 * DAY if late else rng.randrange(3 * DAY, 25 * DAY))
                    self.add(
                        "payments",
                        payment_id=f"pay-{payer_id}-{month.name}-{number}",
                        owner_id=payer_id,
                        reference=f"{payer_id}/{month.name}",
                        amount=str(Decimal(amount) / MINOR_UNITS[currency]),
                        currency=currency,
                        received_at=received,
                        method_kind="transfer",
                        outcome=outcome,
                        failure="AM04" if outcome == "failed" else None,
                    )


# ---- organisations ---------------------------------------------------------------------------------------------


class Customer:
    """One payer with what he uses; ids of everything of his begin with his own."""

    def __init__(self, provider: Provider, number: int, case: "Case") -> None:
        self.provider, self.owner_id = provider, f"g{number}"
        self.rng = Random(f"{provider.seed}/{number}")
        self.currency = provider.currency_of(self.owner_id)
        self.count = 0
        self.shouts = self.rng.random() < 0.2
        self.versions: dict[str, Row] = {}
        rng = self.rng
        country = rng.choice(("FR",) * 6 + ("US", "GB", "DE"))
        told: Row = {"country": country, "vat_number": "DE136695976" if country == "DE" else None}
        if rng.random() < 0.3:
            told["price_factor"] = rng.choice(("0.85", "1.1", "0.333333", "1"))
        if rng.random() < 0.25:
            told["discount_rate"] = rng.choice(("0.05", "0.333333", "0.1", "1", "0"))
        self.organisation(self.owner_id, **(told | case.organisation))

    def id(self, kind: str) -> str:
        self.count += 1
        return f"{self.owner_id}-{kind}{self.count}"

    def add(self, feed: str, ingested: int | None = None, **told: Any) -> Row:
        told.setdefault("event_id", self.id("e"))
        return self.provider.add(feed, ingested, **told)

    def again(self, feed: str, row: Row, ingested: int, **changed: Any) -> Row:
        """The same natural key told once more, under another event id unless one is given."""
        return self.add(
            feed, ingested, **({name: row[name] for name in row if name not in ("event_id", "ingested_at")} | changed)
        )

    def organisation(self, owner_id: str, **told: Any) -> Row:
        row = {
            "name": f"Organisation {owner_id}",
            "kind": "business",
            "address_line1": "1 rue des Mois",
            "postcode": "44000",
            "city": "Nantes",
            "country": "FR",
            "currency": self.currency,
            "language": "en",
            "billing_emails": f"{owner_id}@months.example",
            "opened_on": date(2025, 1, 1),
            "billing_period": "month",
            "is_trusted": False,
            "valid_from": LONG_AGO,
        } | told
        self.versions[owner_id] = row
        # told later than the one before, so that it may replace it
        return self.add("organisations", self.provider.start - DAY + self.count, owner_id=owner_id, **row)

    def version(self, owner_id: str, valid_from: int, **changed: Any) -> Row:
        """The organisation from an instant on."""
        return self.organisation(owner_id, **(self.versions[owner_id] | changed | {"valid_from": valid_from}))

    def sub_organisation(self) -> str:
        self.count += 1
        owner_id = f"{self.owner_id}_s{self.count}"
        self.organisation(owner_id, payer_id=self.owner_id)
        return owner_id

    # -- drawing --

    def instant(self, start: int | None = None, stop: int | None = None) -> int:
        """An instant of the months; every other one on a whole second or hour."""
        start = self.provider.start if start is None else start
        drawn = self.rng.randrange(start, max(start + 1, self.provider.end if stop is None else stop))
        unit = self.rng.choice((1, 1, SECOND, HOUR))
        return max(start, drawn // unit * unit)

    def slug(self, basis: str, *, plain: bool = False, tiered: bool = False) -> Slug:
        """A slug of the basis: plain ones have no tiers, blocks or granules and their price never changes."""
        slugs = [slug for slug in SLUGS if slug.basis == basis and not slug.name.startswith("pub.")]
        if plain:
            slugs = [slug for slug in slugs if slug.mode == "flat" and not slug.more and not slug.changes]
        if tiered:
            slugs = [slug for slug in slugs if len(slug.edges) > 1]
        return self.rng.choice(slugs)

    def quantity(self, slug: Slug, largest: int) -> int:
        """Often exactly on an edge of the tiers, or one beside it."""
        edges = [edge for edge in slug.edges if edge]
        if edges and self.rng.random() < 0.6:
            return max(0, self.rng.choice(edges) + self.rng.choice((-1, 0, 0, 1)))
        return self.rng.choice((0, 1, self.rng.randrange(1, largest), self.rng.randrange(1, largest)))

    # -- usage --

    def run(self, slug: str, start: int, stop: int | None, ingested: int | None = None, **more: Any) -> Row:
        service, flavour = slug.split(".")
        resource = more.pop("resource_id", None) or self.id("app")
        told = {
            "owner_id": self.owner_id,
            "resource_id": resource,
            "instance_id": f"{resource}-i",
            "zone": "par",
        } | more
        names = {"service": service, "flavour": flavour.upper() if self.shouts else flavour}
        if ingested is None and stop is None:
            ingested = start + 5 * MINUTE
        return self.add("runtime_intervals", ingested, started_at=start, stopped_at=stop, **(names | told))

    def sample(self, metric: str, when: int, size: int, resource: str, ingested: int | None = None, **more: Any) -> Row:
        told = {"owner_id": self.owner_id, "zone": "par"} | more
        return self.add(
            "storage_samples", ingested, metric=metric, sampled_at=when, bytes=size, resource_id=resource, **told
        )

    def traffic(self, metric: str, start: int, stop: int, size: int, resource: str, **more: Any) -> Row:
        told = {"owner_id": self.owner_id, "zone": "par"} | more
        return self.add(
            "traffic_deltas", metric=metric, started_at=start, stopped_at=stop, bytes=size, resource_id=resource, **told
        )

    def seats(self, metric: str, when: int, quantity: str, resource: str, **more: Any) -> Row:
        told = {"owner_id": self.owner_id, "zone": "par"} | more
        return self.add("unit_counts", metric=metric, sampled_at=when, quantity=quantity, resource_id=resource, **told)

    def one_shot(self, quantity: str, price: str, **more: Any) -> Row:
        told = {"recurring": False, "invoice": "monthly", "sells_credits": False, "owner_id": self.owner_id} | more
        told.setdefault("performed_at", self.instant())
        told.setdefault("currency", self.currency)
        return self.add("one_shots", description="work", quantity=quantity, unit_price=price, **told)

    def grant(self, amount: str, **more: Any) -> Row:
        told = {"kind": "free", "currency": self.currency, "starts_at": LONG_AGO, "priority": 0} | more
        told.setdefault("ingested", self.provider.start - DAY)
        name = self.id("grant")
        return self.add("credit_grants", grant_id=name, name=name, owner_id=self.owner_id, amount=amount, **told)

    def money(self, largest: int) -> str:
        """An amount in whole minor units."""
        minor = MINOR_UNITS[self.currency]
        scale = 100 if self.currency == "JPY" else 1
        return f"{Decimal(self.rng.randrange(1, largest * scale * minor + 1)) / minor:f}"

    def rule(self, kind: str, **told: Any) -> None:
        told = {"owner_id": self.owner_id} | told
        self.provider.rule(self.id("rule"), kind, told.pop("currency", self.currency), **told)

    # -- the plainest use of each kind, where something else is the point --

    def little(self, owner_id: str | None = None, month: int = 0, hours: int | None = None) -> Row:
        """A run of a few whole hours at a plain price."""
        start, end = self.provider.bounds[month]
        hours = self.rng.randrange(1, 60) if hours is None else hours
        begins = self.rng.randrange(start, end - hours * HOUR)
        slug = self.rng.choice(("run.flat0", "run.flat2"))
        return self.run(slug, begins, begins + hours * HOUR, owner_id=owner_id or self.owner_id)


@dataclass(frozen=True)
class Case:
    """One thing that may happen to an organisation; those that mix may happen to any, beside others."""

    tell: Callable[[Customer], None]
    mixes: bool = False
    organisation: Row = field(default_factory=dict)


CASES: list[Case] = []


def case(*, mixes: bool = False, **organisation: Any) -> Callable[..., Any]:
    def told(tell: Callable[[Customer], None]) -> Callable[[Customer], None]:
        CASES.append(Case(tell, mixes, organisation))
        return tell

    return told


# -- runtime --


@case(mixes=True)
def runs_that_overlap_touch_and_repeat(of: Customer) -> None:
    slug = of.slug("runtime").name
    resource = of.id("app")
    for instance in range(of.rng.randrange(1, 3)):
        start = of.instant(of.provider.start - 3 * DAY)
        for _ in range(of.rng.randrange(1, 5)):
            stop = of.instant(start, start + of.rng.choice((10 * SECOND, HOUR, 5 * DAY)))
            row = of.run(slug, start, stop, resource_id=resource, instance_id=f"{resource}-{instance}")
            if of.rng.random() < 0.15:
                of.again("runtime_intervals", row, row["ingested_at"] + of.rng.choice((0, HOUR)))
            inside = of.instant(start, stop + 1)
            start = of.rng.choice((stop, stop, inside, stop + of.rng.randrange(1, DAY)))


@case(mixes=True)
def runs_of_exactly_so_many_seconds(of: Customer) -> None:
    slug = of.slug("runtime", tiered=True)
    seconds = of.quantity(slug, 2_000_000)
    start, end = of.provider.bounds[0]
    begins = of.instant(start, max(start + 1, end - seconds * SECOND))
    stop = begins + seconds * SECOND + of.rng.choice((0, 0, 999_999))
    cut = of.instant(begins, stop + 1)
    resource = of.id("app")
    of.run(slug.name, begins, cut, resource_id=resource, instance_id=f"{resource}-1")
    of.run(slug.name, cut, stop, resource_id=resource, instance_id=f"{resource}-{of.rng.choice((1, 2))}")


@case(mixes=True)
def runs_of_started_hours(of: Customer) -> None:
    start, stop = of.provider.bounds[0]
    begins = of.instant(start, stop - DAY)
    hours = of.rng.randrange(1, 5)
    of.run("run.hours", begins, begins + hours * HOUR + of.rng.choice((-SECOND, 0, 999_999, SECOND)))


@case(mixes=True)
def a_run_that_stays_open(of: Customer) -> None:
    start = of.instant(of.provider.start - 40 * DAY)
    row = of.run(of.slug("runtime").name, start, None)
    if of.rng.random() < 0.6:
        stop = of.instant(max(start, of.provider.start - 2 * DAY), of.provider.end + 2 * DAY)
        late = of.rng.choice((0, 0, 0, 10 * DAY))
        of.again("runtime_intervals", row, max(stop, start) + 10 * MINUTE + late, stopped_at=stop)


@case(mixes=True)
def a_run_under_zoned_and_own_prices(of: Customer) -> None:
    slug = OF_NAME["run.zoned"]
    price_id = of.id("price")
    middle = of.instant()
    told = {"currency": of.currency, "owner_id": of.owner_id}
    if of.rng.random() < 0.7:
        told["zone"] = of.rng.choice((None, "par", "rbx"))
        told |= of.rng.choice(({}, {"valid_from": middle}, {"valid_to": middle}))
        of.provider.price(slug, of.rng, price_id, **told)
    for zone in ZONES:
        start = of.instant()
        of.run(slug.name, start, of.instant(start), zone=zone)


@case(mixes=True)
def a_run_that_changes_its_flavour(of: Customer) -> None:
    resource, start = of.id("app"), of.instant()
    for _ in range(3):
        stop = of.instant(start, start + 3 * DAY)
        of.run(of.slug("runtime").name, start, stop, resource_id=resource)
        start = stop


@case(mixes=True)
def a_run_on_the_edges_of_a_month(of: Customer) -> None:
    start, stop = of.rng.choice(of.provider.bounds)
    near = of.rng.choice((-1, 0, 1))
    of.run(of.slug("runtime").name, start + near, stop + of.rng.choice((-1, 0, 1)), stop)
    of.run("run.flat2", start - HOUR, start + near)


# -- volumes --


@case(mixes=True)
def a_disk(of: Customer) -> None:
    slug, resource = of.slug("stored"), of.id("disk")
    when = of.instant(of.provider.start - 50 * DAY, of.provider.end)
    metric = of.rng.choice((slug.name, slug.name.upper()))
    for _ in range(of.rng.randrange(1, 7)):
        size = of.quantity(slug, of.rng.choice((10 * GB, 10**15)))
        late = of.rng.choice((None, None, None, when + 9 * DAY))
        row = of.sample(metric, when, size, resource, late)
        if of.rng.random() < 0.1:
            of.again("storage_samples", row, row["ingested_at"] + HOUR, bytes=size + 1)
        when = of.instant(when + 1, when + 20 * DAY)
    if of.rng.random() < 0.3:
        of.sample(metric, when, 0, resource)


@case(mixes=True)
def a_pipe(of: Customer) -> None:
    slug, resource = of.slug("moved"), of.id("pipe")
    start, stop = of.rng.choice(of.provider.bounds)
    whole = of.quantity(slug, of.rng.choice((GB, 2000 * GB)))
    parts = sorted(of.rng.randrange(whole + 1) for _ in range(2))
    begins = of.instant(start, stop - DAY)
    for size in (parts[0], parts[1] - parts[0], whole - parts[1]):
        ends = of.instant(begins, begins + HOUR * 7)
        of.traffic(slug.name, begins, ends, size, resource)
        begins = ends + of.rng.choice((0, 1))
    if of.rng.random() < 0.2:
        of.traffic(slug.name, stop - HOUR, stop + of.rng.choice((0, 1)), GB, resource)


@case(mixes=True)
def a_count(of: Customer) -> None:
    slug, resource = of.slug("units"), of.id("seats")
    for start, stop in of.provider.bounds:
        largest = of.quantity(slug, 700)
        for quantity in (of.rng.randrange(largest + 1), largest, of.rng.choice((0, largest))):
            of.seats(slug.name, of.instant(start, stop), str(quantity), resource)


@case(mixes=True)
def single_charges(of: Customer) -> None:
    places = 0 if of.currency == "JPY" else 2
    for _ in range(of.rng.randrange(1, 4)):
        of.one_shot(
            of.rng.choice(("1", "0.5", "3", "1.25", "0")),
            f"{Decimal(of.rng.randrange(1, 30_000)).scaleb(-places - of.rng.choice((0, 0, 1))):f}",
            recurring=of.rng.random() < 0.3,
            discount_rate=of.rng.choice((None, None, "0.15", "0.333333", "1")),
        )
    of.one_shot("0.5", "1" if places == 0 else "0.01", performed_at=of.provider.bounds[0][1] - 1)
    of.one_shot("2", "30", invoice="specific")
    of.one_shot("1", "100", sells_credits=True)


# -- what becomes of rows --


@case(mixes=True)
def corrections(of: Customer) -> None:
    start = of.instant(of.provider.start, of.provider.end - 3 * DAY)
    row = of.run("run.flat1", start, start + DAY)
    told = row["ingested_at"]
    match of.rng.randrange(7):
        case 0:  # another event corrects it, and an older correction comes after
            of.again("runtime_intervals", row, told + 2 * HOUR, stopped_at=start + HOUR)
            of.again("runtime_intervals", row, told + HOUR, stopped_at=start + 7 * HOUR)
        case 1:  # withdrawn
            of.again("runtime_intervals", row, told + of.rng.choice((HOUR, 20 * DAY)), is_deleted=True)
        case 2:  # withdrawn and told again
            of.again("runtime_intervals", row, told + HOUR, is_deleted=True)
            of.again("runtime_intervals", row, told + DAY, stopped_at=start + 5 * HOUR)
        case 3:  # the same event of another instance
            moved = {"instance_id": of.id("i"), "event_id": row["event_id"]}
            of.again("runtime_intervals", row, told + HOUR, **moved)
        case 4:  # a row that is refused corrects nothing
            of.again("runtime_intervals", row, told + HOUR, stopped_at=start - HOUR)
        case 5:  # too late for its month
            of.run("run.flat1", start, start + HOUR, told + 12 * DAY)
        case 6:  # the same row twice, and once more under another event id
            of.again("runtime_intervals", row, told, event_id=row["event_id"])
            of.again("runtime_intervals", row, told)


@case(mixes=True)
def rows_that_are_refused(of: Customer) -> None:
    when = of.instant(of.provider.start, of.provider.bounds[0][1] - DAY)
    bad: list[tuple[str, Row]] = [
        ("runtime_intervals", {"owner_id": f"{of.owner_id}/.."}),
        ("runtime_intervals", {"resource_id": "a b"}),
        ("runtime_intervals", {"instance_id": "i" * 129}),
        ("runtime_intervals", {"instance_id": None}),
        ("runtime_intervals", {"stopped_at": when - 1}),
        ("runtime_intervals", {"started_at": when + DAY, "stopped_at": None}),
        ("runtime_intervals", {"started_at": -DAY}),
        ("storage_samples", {"bytes": -1}),
        ("traffic_deltas", {"bytes": -1}),
        ("unit_counts", {"quantity": "-1"}),
        *(("unit_counts", {"quantity": text}) for text in ("1e3", "１２", "1_000", " 1", "1.5")),
        ("one_shots", {"quantity": "-1"}),
        ("one_shots", {"unit_price": "-0.01"}),
        ("one_shots", {"unit_price": "1e2"}),
        ("one_shots", {"discount_rate": "1.01"}),
        ("one_shots", {"invoice": "yearly"}),
        ("one_shots", {"invoice": "weekly", "sells_credits": True}),
        ("organisations", {"kind": "person", "valid_from": when}),
        ("organisations", {"discount_rate": "-0.1", "valid_from": when}),
        ("credit_grants", {"amount": "-5"}),
        ("unit_counts", {"quantity": "NaN"}),
        ("one_shots", {"unit_price": "-Infinity"}),
    ]
    for feed, wrong in of.rng.sample(bad, 4):
        if feed == "runtime_intervals":
            row = of.run("run.flat1", when, when + HOUR, when + HOUR)
        elif feed == "storage_samples":
            row = of.sample("disk.flat", when, 1, of.id("disk"))
        elif feed == "traffic_deltas":
            row = of.traffic("net.flat", when, when + HOUR, 1, of.id("pipe"))
        elif feed == "unit_counts":
            row = of.seats("seat.flat", when, "1", of.id("seats"))
        elif feed == "one_shots":
            row = of.one_shot("1", "1", performed_at=when)
        elif feed == "organisations":
            row = of.version(of.owner_id, when)
        else:
            row = of.grant("5")
        if feed == "runtime_intervals" and "started_at" in wrong and wrong["started_at"] > when:
            row["ingested_at"] = when
        row |= wrong


# -- credits --


@case(mixes=True)
def credits_of_every_kind(of: Customer) -> None:
    of.little()
    of.little(month=-1)
    of.run("run.flat0", of.provider.start, of.provider.start + of.rng.randrange(1, 60) * HOUR)
    of.run("run.flat2", of.provider.start, of.provider.start + of.rng.randrange(1, 60) * HOUR)
    start, stop = of.rng.choice(of.provider.bounds)
    scopes = ("run.flat0", "RUN.flat2", "run.flat0; run.flat2", "run.flat2;disk.flat", "net.flat")
    for _ in range(of.rng.randrange(1, 5)):
        ends = of.rng.choice((None, None, start, start + 1, stop, stop + 1, of.instant(start, of.provider.end + DAY)))
        begins = of.rng.choice((LONG_AGO, LONG_AGO, start, stop, stop - 1, of.instant(start, stop)))
        if ends is not None and begins >= ends:
            begins = LONG_AGO
        of.grant(
            of.money(of.rng.choice((2, 50, 5000))),
            expires_at=ends,
            starts_at=begins,
            priority=of.rng.choice((0, 0, 1, 9)),
            slugs=of.rng.choice((None, None, *scopes)),
            ingested=of.rng.choice((of.provider.start - DAY, of.provider.start - DAY, start + 5 * DAY, stop + 8 * DAY)),
        )


@case(mixes=True)
def an_opening_balance(of: Customer) -> None:
    of.grant(of.money(300), kind="prepaid", starts_at=of.rng.choice((LONG_AGO, of.provider.bounds[0][1])))


@case(mixes=False)
def a_refill_by_agreement(of: Customer) -> None:
    of.little()
    of.little(month=-1)
    month = of.rng.choice(of.provider.months)
    of.add(
        "refill_agreements",
        of.provider.start - DAY,
        owner_id=of.owner_id,
        billing_month=month,
        amount=of.rng.choice(("0", of.money(900))),
        author="sales",
        reason="contract",
    )


# -- organisations --


@case(mixes=False)
def sub_organisations(of: Customer) -> None:
    of.little()
    for _ in range(of.rng.randrange(1, 4)):
        sub = of.sub_organisation()
        of.little(sub)
        of.traffic("net.tiers", of.provider.start, of.provider.start + HOUR, 600 * GB, of.id("pipe"), owner_id=sub)


@case(mixes=False)
def a_contract_that_changes(of: Customer) -> None:
    start, stop = of.provider.bounds[0]
    middle = of.instant(start, stop)
    of.version(of.owner_id, middle, price_factor=of.rng.choice(("0.9", "1.25", "0")))
    of.run(of.slug("runtime").name, of.instant(start, middle), of.instant(middle, of.provider.end))
    resource = of.id("disk")
    of.sample("disk.tiers", of.instant(start, middle), 300 * GB, resource)
    for when in (middle - 1, middle):
        of.seats("seat.tiers", when, "60", f"{resource}-s{when - middle}")
        of.traffic("net.tiers", start, when + 1, 200 * GB, f"{resource}-t")


@case(mixes=False)
def a_sub_organisation_that_moves(of: Customer) -> None:
    start, stop = of.provider.bounds[0]
    sub, middle = of.sub_organisation(), of.instant(start, stop)
    of.count += 1
    other = f"{of.owner_id}_p{of.count}"
    of.organisation(other, country="US")
    changed = {"price_factor": "0.77"} if of.rng.random() < 0.5 else {}
    of.version(sub, middle, payer_id=of.rng.choice((other, other, None)), **changed)
    of.run(of.slug("runtime").name, of.instant(start, middle), of.instant(middle, of.provider.end), owner_id=sub)
    resource = of.id("disk")
    of.sample("disk.slabs", of.instant(start, middle), 5 * GB, resource, owner_id=sub)
    of.seats("seat.flat", middle - 1, "9", f"{resource}-s", owner_id=sub)
    of.seats("seat.flat", middle + 1, "9", f"{resource}-s", owner_id=sub)
    of.one_shot("1", "10", owner_id=sub, performed_at=middle - 1)
    of.one_shot("1", "20", owner_id=sub, performed_at=middle)
    of.little(other)


@case(mixes=False)
def a_payer_that_merges(of: Customer) -> None:
    start, stop = of.provider.bounds[0]
    of.count += 1
    other, middle = f"{of.owner_id}_p{of.count}", of.instant(start + DAY, stop)
    of.organisation(other)
    of.version(of.owner_id, middle, payer_id=other)
    of.run("run.flat2", of.instant(start, middle), of.instant(middle, of.provider.end))


@case(mixes=False)
def an_organisation_that_opens(of: Customer) -> None:
    of.count += 1
    sub, opens = f"{of.owner_id}_s{of.count}", of.instant(of.provider.start, of.provider.end - DAY)
    of.organisation(sub, valid_from=opens, opened_on=day_of(opens))
    of.run("run.flat0", opens, of.instant(opens), owner_id=sub)
    of.little()


@case(mixes=False)
def an_organisation_that_closes(of: Customer) -> None:
    closed = of.rng.choice(of.provider.bounds)
    day = day_of(of.instant(*closed))
    of.version(of.owner_id, LONG_AGO, closed_on=day)
    ends = (day - EPOCH.date()).days * DAY
    of.run("run.flat2", of.instant(of.provider.start - DAY, ends), ends)
    of.grant(of.money(40))


@case(mixes=False)
def other_details_after_the_month(of: Customer) -> None:
    of.little()
    of.little(of.sub_organisation())
    stop = of.provider.bounds[0][1]
    changed = of.rng.choice(
        ({"country": "US"}, {"discount_rate": "0.2"}, {"name": ""}, {"closed_on": day_of(stop - DAY)})
    )
    factor = {"price_factor": of.rng.choice(("0.5", None))}
    of.version(of.owner_id, stop + of.rng.choice((0, HOUR, 2 * DAY, 2 * DAY + 1)), **(changed | factor))


# -- who cannot be billed --


@case(mixes=False)
def usage_without_a_price(of: Customer) -> None:
    start = of.provider.bounds[0][0] + HOUR
    slugs = ("nobody.knows", "wrong.hole", "wrong.start", "wrong.end", "wrong.negative", "wrong.mode", "wrong.gap")
    slug = of.rng.choice((*slugs, "wrong.dollar", "wrong.twice"))
    of.run(slug, start, of.provider.bounds[0][1])
    of.little(month=-1)


@case(mixes=False)
def an_own_price_that_is_refused(of: Customer) -> None:
    told = {"currency": of.currency, "owner_id": of.owner_id, "unit_price": "-1"}
    of.provider.price(OF_NAME["run.flat0"], of.rng, of.id("price"), **told)
    of.run("run.flat0", of.provider.start, of.provider.start + DAY)


@case(mixes=False)
def rows_that_contradict_each_other(of: Customer) -> None:
    owner_id = of.rng.choice((of.owner_id, of.sub_organisation()))
    row = of.little(owner_id)
    match of.rng.randrange(4):
        case 0:
            told = row["stopped_at"] + DAY
            for stop in (
                row["started_at"] + HOUR,
                of.rng.choice((row["started_at"] + 2 * HOUR, of.provider.end, None)),
            ):
                of.again("runtime_intervals", row, told, stopped_at=stop)
        case 1:
            told = row["ingested_at"]
            of.again("runtime_intervals", row, told, event_id=row["event_id"], stopped_at=row["started_at"] + 1)
        case 2:
            for size in (1, 2):
                of.sample("disk.flat", of.provider.start + DAY, size, f"{of.owner_id}-d", owner_id=owner_id)
            if of.rng.random() < 0.5:
                later = of.instant(of.provider.start + 2 * DAY)
                of.sample("disk.flat", later, of.rng.choice((0, 3)), f"{of.owner_id}-d", owner_id=owner_id)
        case 3:
            grant = of.grant("5")
            of.again("credit_grants", grant, grant["ingested_at"], amount="6")


@case(mixes=False)
def an_instance_that_is_two_things(of: Customer) -> None:
    resource, start = of.id("app"), of.provider.start + DAY
    of.run("run.flat0", start, start + 5 * HOUR, resource_id=resource)
    more = of.rng.choice(({}, {"zone": "rbx"}, {"owner_id": of.sub_organisation()}))
    of.run("run.flat0" if more else "run.flat1", start + HOUR, start + 9 * HOUR, resource_id=resource, **more)


@case(mixes=False)
def a_resource_of_two_organisations(of: Customer) -> None:
    resource, start, sub = of.id("app"), of.provider.start + DAY, of.sub_organisation()
    begins = start + of.rng.choice((5 * HOUR, 5 * HOUR - 1, 9 * HOUR))
    if of.rng.random() < 0.5:
        for number, owner_id, first in ((0, of.owner_id, start), (1, sub, begins)):
            told = {"owner_id": owner_id, "instance_id": f"{resource}-{number}", "resource_id": resource}
            of.run("run.flat0", first, first + 5 * HOUR, **told)
    else:
        of.traffic("net.flat", start, start + 5 * HOUR, GB, resource)
        of.traffic("net.flat", begins, begins + HOUR, GB, resource, owner_id=sub)


@case(mixes=False)
def money_of_another_currency(of: Customer) -> None:
    of.little()
    foreign = "USD" if of.currency != "USD" else "EUR"
    match of.rng.randrange(2):
        case 0:
            of.one_shot("1", "1", currency=foreign)
        case 1:
            of.grant("5", currency=foreign)


@case(mixes=False)
def a_credit_of_half_a_cent(of: Customer) -> None:
    of.little()
    of.grant({"JPY": "5.5", "KWD": "5.0005"}.get(of.currency, "5.005"))


@case(mixes=False, country="DE", vat_number="DE136695977")
def a_wrong_vat_number(of: Customer) -> None:
    of.little(month=of.rng.choice((0, -1)))


@case(mixes=False, country="DE", kind="consumer", vat_number=None)
def a_consumer_abroad(of: Customer) -> None:
    of.little()


@case(mixes=False, country="FR", postcode="97100", vat_number=None)
def an_overseas_address(of: Customer) -> None:
    of.little()


@case(mixes=False, name="")
def nobodys_name(of: Customer) -> None:
    of.little()


@case(mixes=False)
def nothing_at_all(of: Customer) -> None:
    if of.rng.random() < 0.5:
        of.grant(of.money(9))


# -- heartbeats, faults, granules, other charges and rules --


@case(mixes=True)
def heartbeats(of: Customer) -> None:
    resource = of.id("app")
    slugs = [of.slug("runtime").name for _ in range(2)]
    when = of.instant(of.provider.start - DAY)
    slug = slugs[0]
    for _ in range(of.rng.randrange(2, 14)):
        service, flavour = slug.split(".")
        if of.rng.random() < 0.1:
            flavour = ""
        told = {"service": service, "flavour": flavour, "zone": "par", "sampled_at": when, "owner_id": of.owner_id}
        row = of.add("runtime_heartbeats", resource_id=resource, instance_id=f"{resource}-i", **told)
        if of.rng.random() < 0.1:
            of.again("runtime_heartbeats", row, row["ingested_at"] + MINUTE)
        when += of.rng.choice((300, 300, 300, 8, 292, 299, 301, 900, 901, 3600)) * SECOND + of.rng.choice((0, 0, 1))
        slug = of.rng.choice((slug, slug, slug, slugs[1]))
    if of.rng.random() < 0.3:
        service, flavour = slugs[0].split(".")
        of.run(slugs[0], when + HOUR, when + 2 * HOUR, resource_id=resource)


@case(mixes=False)
def heartbeats_over_the_months_edge(of: Customer) -> None:
    edge = of.rng.choice(of.provider.bounds)[0]
    resource, when = of.id("app"), edge - of.rng.randrange(3000) * SECOND
    while when < edge + HOUR:
        told = {"service": "run", "flavour": "flat0", "zone": "par", "owner_id": of.owner_id}
        of.add("runtime_heartbeats", resource_id=resource, instance_id=f"{resource}-i", sampled_at=when, **told)
        when += of.rng.choice((300, 300, 900, 901)) * SECOND


@case(mixes=False)
def unusable_time(of: Customer) -> None:
    slug = of.slug("runtime")
    start = of.instant(of.provider.start - DAY, of.provider.end - DAY)
    stop = of.instant(start + 1, start + of.rng.choice((HOUR, 4 * DAY)))
    row = of.run(slug.name, start, stop, max(stop, of.provider.start) + MINUTE)
    changes = of.provider.changes if slug.more and slug.changes else []
    reason, told = of.rng.choice(("disk", "network")), set()
    for _ in range(of.rng.randrange(1, 4)):
        begins = of.rng.choice((start, of.instant(start - HOUR, stop)))
        ends = of.rng.choice((stop, of.instant(begins, stop + HOUR)))
        # what a granule costs that one price ends and another begins in, half of it unusable, nobody said
        if begins < ends and begins not in told and not any(begins < change < ends for change in changes):
            told.add(begins)
            of.add(
                "unusable_intervals",
                max(ends, begins) + MINUTE,
                instance_id=row["instance_id"],
                started_at=begins,
                stopped_at=ends,
                reason=reason,
            )


@case(mixes=False)
def a_run_over_the_months_edge_that_was_never_usable(of: Customer) -> None:
    edge = of.rng.choice(of.provider.bounds)[0]
    start, stop = edge - of.rng.randrange(1, HOUR), edge + of.rng.randrange(1, HOUR)
    row = of.run(of.rng.choice(("run.least", "run.g600")), start, stop)
    cut = of.rng.choice((edge, edge - 1, of.instant(start, stop)))
    for begins, ends in ((start - of.rng.randrange(DAY), cut), (cut + of.rng.choice((0, 0, 1)), stop + HOUR)):
        told = {"instance_id": row["instance_id"], "started_at": begins, "stopped_at": ends, "reason": "disk"}
        of.add("unusable_intervals", ends + MINUTE, **told)


@case(mixes=True)
def granules(of: Customer) -> None:
    slug = of.rng.choice([slug for slug in SLUGS if slug.is_granular])
    size = slug.more.get("minimum_seconds") or slug.more["granularity_seconds"]
    for _ in range(of.rng.randrange(1, 4)):
        near = of.rng.choice((*of.provider.changes, *(edge for month in of.provider.bounds for edge in month)))
        start = of.rng.choice((of.instant(), near - of.rng.randrange(size * SECOND * 2)))
        seconds = of.rng.choice((size, size - 1, size + 1, of.rng.randrange(1, 3 * size)))
        stop = start + seconds * SECOND + of.rng.choice((0, 0, 1, -1))
        of.run(slug.name, start, stop)


@case(mixes=False)
def a_run_told_in_touching_rows_over_the_months_edge(of: Customer) -> None:
    edge = of.rng.choice(of.provider.bounds)[0]
    slug = of.rng.choice([slug for slug in SLUGS if slug.is_granular])
    resource, when = of.id("app"), edge - of.rng.randrange(2 * DAY)
    while when <= edge:
        stop = of.rng.choice((edge, edge + of.rng.randrange(HOUR), when + of.rng.randrange(1, DAY)))
        if stop > when:
            of.run(slug.name, when, stop, resource_id=resource)
        when = max(stop, when) + of.rng.choice((0, 0, 0, 0, 1))


@case(mixes=False)
def a_run_seen_since_long_before_the_months_edge(of: Customer) -> None:
    edge = of.rng.choice(of.provider.bounds)[0]
    slug = of.rng.choice([slug for slug in SLUGS if slug.is_granular])
    service, flavour = slug.name.split(".")
    resource, when = of.id("app"), edge - DAY - of.rng.randrange(2 * HOUR)
    if of.rng.random() < 0.5:
        of.run(slug.name, when - HOUR, when, resource_id=resource)
    end = edge + of.rng.randrange(-HOUR, HOUR)
    while when < end:
        told = {"service": service, "flavour": flavour, "zone": "par", "owner_id": of.owner_id}
        of.add("runtime_heartbeats", resource_id=resource, instance_id=f"{resource}-i", sampled_at=when, **told)
        when += of.rng.choice((300, 900, 900, 900)) * SECOND
    if of.rng.random() < 0.3:
        of.run(slug.name, of.rng.choice((edge, when)), end + 2 * HOUR, resource_id=resource)


@case(mixes=True)
def vendor_charges(of: Customer) -> None:
    for _ in range(of.rng.randrange(1, 4)):
        places = {"JPY": 0, "KWD": 3}.get(of.currency, 2) + of.rng.choice((0, 1, 2))
        row = of.add(
            "vendor_charges",
            owner_id=of.owner_id,
            resource_id=of.rng.choice((of.id("addon"), f"{of.owner_id}-addon")),
            vendor="acme",
            description="add-on",
            charged_at=of.instant(),
            amount=f"{Decimal(of.rng.randrange(1, 90_000)).scaleb(-places):f}",
            currency=of.currency,
        )
        if of.rng.random() < 0.1:
            row["amount"] = "-" + row["amount"]


@case(mixes=False)
def a_vendor_of_another_currency(of: Customer) -> None:
    foreign = "USD" if of.currency != "USD" else "EUR"
    told = {"vendor": "acme", "description": "add-on", "amount": "1", "currency": foreign}
    of.add("vendor_charges", owner_id=of.owner_id, resource_id=of.id("addon"), charged_at=of.instant(), **told)


@case(mixes=True)
def many_tiny_lines(of: Customer) -> None:
    start, stop = of.provider.bounds[0]
    basis = of.rng.choice(("runtime", "moved", "stored", "units"))
    equal = of.rng.random() < 0.5
    for _ in range(of.rng.randrange(2, 9)):
        begins = start + DAY if equal else of.instant(start, stop - DAY)
        if basis == "runtime":
            of.run("run.tiny", begins, begins + (10 * HOUR if equal else of.rng.randrange(1, 40 * HOUR)))
        elif basis == "moved":
            of.traffic("net.tiny", begins, begins, 90 * GB if equal else of.rng.randrange(1, 1500 * GB), of.id("pipe"))
        elif basis == "units":
            of.seats("seat.tiny", begins, "1" if equal else str(of.rng.randrange(1, 5)), of.id("seats"))
        else:
            resource = of.id("disk")
            of.sample("disk.tiny", begins, GB * 7 if equal else of.rng.randrange(1, 90 * GB), resource)
            of.sample("disk.tiny", begins + 20 * HOUR, 0, resource)


@case(mixes=False)
def rules_over_the_whole_invoice(of: Customer) -> None:
    # all lines come again, and no credit is scoped: how several discounts share themselves out then decides nothing
    if of.rng.random() < 0.8:
        of.little()
    of.little(month=-1)
    scale = 100 if of.currency == "JPY" else 1
    if of.rng.random() < 0.6:
        discount = {"rate": of.rng.choice(("0.1", "0.333333", "1"))}
        if of.rng.random() < 0.4:
            discount = {"amount": str(of.rng.choice((1, 5, 5000)) * scale)}
        of.rule("discount", **discount)
    for kind in of.rng.sample(("maximum", "minimum", "commitment"), of.rng.randrange(3)):
        of.rule(kind, amount=str(of.rng.choice((3, 10, 40, 400)) * scale))


@case(mixes=False)
def rules_over_one_slug(of: Customer) -> None:
    for slug in ("run.flat0", "run.flat2"):
        of.run(slug, of.provider.start, of.provider.start + of.rng.randrange(1, 90) * HOUR)
    scale = 100 if of.currency == "JPY" else 1
    slug = of.rng.choice(("run.flat0", "RUN.flat2", "net.flat"))
    if of.rng.random() < 0.5:
        of.rule("discount", slug=slug, rate=of.rng.choice(("0.07", "0.5")))
    for kind in of.rng.sample(("maximum", "minimum", "commitment"), of.rng.randrange(1, 3)):
        of.rule(kind, slug=slug, amount=str(of.rng.choice((1, 10, 90)) * scale))


@case(mixes=False, discount_rate=None)
def rules_of_a_sub_organisation(of: Customer) -> None:
    # only what lowers: a floor of a sub-organisation under a floor of its payer is nowhere decided
    sub = of.sub_organisation()
    of.little()
    of.little(sub)
    told = of.rng.choice(({"rate": "0.25"}, {"amount": "2"}))
    of.rule("discount", owner_id=sub, slug=of.rng.choice((None, "run.flat0")), **told)


@case(mixes=False)
def rules_that_end_or_begin(of: Customer) -> None:
    of.little()
    stop = of.provider.bounds[0][1]
    first = {"valid_to": of.rng.choice((stop - 1, stop, stop + 1))}
    of.rule("discount", rate="0.5", **first)
    of.rule("maximum", amount="1000", valid_from=of.rng.choice((stop - 1, stop)))


@case(mixes=False)
def a_discount_over_what_does_not_come_again(of: Customer) -> None:
    # one discount over lines of both kinds, and a credit for some of them
    of.organisation(of.owner_id, discount_rate=None)
    of.little()
    of.one_shot("1", "13", performed_at=of.provider.start)
    of.rule("discount", rate="0.15")
    of.grant(of.money(20), slugs="run.flat0")


@case(mixes=False, price_factor=None, discount_rate=None)
def rules_that_are_met_exactly(of: Customer) -> None:
    of.one_shot("1", "10", performed_at=of.provider.start)
    near = {"JPY": ("9", "10", "11"), "KWD": ("9.999", "10", "10.001")}.get(of.currency, ("9.99", "10", "10.01"))
    of.rule(of.rng.choice(("maximum", "minimum", "commitment")), amount=of.rng.choice(near))


@case(mixes=False)
def rules_that_cannot_be(of: Customer) -> None:
    of.little()
    if of.rng.random() < 0.5:
        of.rule("minimum", amount="10", slug="run.flat0")
        of.rule("minimum", amount="20", slug="RUN.flat0")
    else:
        of.rule("minimum", amount="10", currency="USD" if of.currency != "USD" else "EUR")


@case(mixes=False)
def a_floor_of_who_closes(of: Customer) -> None:
    of.version(of.owner_id, LONG_AGO, closed_on=day_of(of.provider.bounds[0][0] + 9 * DAY))
    of.run("run.flat2", of.provider.start, of.provider.start + DAY)
    of.rule("commitment", amount="5000")


@case(mixes=False)
def usage_under_public_rules(of: Customer) -> None:
    start = of.provider.start
    of.run("pub.discount", start, start + of.rng.randrange(1, 90) * HOUR)
    for size in (of.rng.randrange(1, 9 * GB), 100 * GB):
        of.traffic("pub.maximum", start, start + HOUR, size, of.id("pipe"))
    of.seats("pub.minimum", start, "1", of.id("seats"))
    if of.rng.random() < 0.5:
        of.rule("discount", slug="pub.discount", rate="0.01")


@case(mixes=False)
def usage_that_is_publicly_free(of: Customer) -> None:
    for size in (GB, 5 * GB, 5 * GB + 1, 400 * GB):
        of.traffic("pub.free", of.provider.start, of.provider.start + HOUR, size, of.id("pipe"))


@case(mixes=False)
def a_free_quantity(of: Customer) -> None:
    # one line of each resource: which price of two the free part is taken from is nowhere decided
    slug, free = of.rng.choice(
        (
            ("run.flat0", 7200),
            ("run.slabs", 7200),
            ("net.flat", 3 * GB),
            ("net.tiers", 600 * 10**6),
            ("net.blocks", 6 * GB),
            ("net.packs", 15 * GB),
            ("seat.flat", 5),
            ("seat.tiers", 12),
            ("seat.packs", 7),
        )
    )
    # the price of a tier is entered by what is billed, or by the quantity: not decided
    if any(OF_NAME[slug].tier_prices) and OF_NAME[slug].mode != "package":
        slug, free = "net.flat", GB
    of.rule("free_quantity", slug=slug, quantity=str(free))
    start = of.provider.start
    for quantity in (free - 1, free, free + 1, of.quantity(OF_NAME[slug], free * 50)):
        if slug.startswith("run"):
            of.run(slug, start, start + quantity * SECOND)
        elif slug.startswith("net"):
            of.traffic(slug, start, start + HOUR, quantity, of.id("pipe"))
        else:
            of.seats(slug, start, str(quantity), of.id("seats"))


@case(mixes=True)
def usage_of_nobody(of: Customer) -> None:
    start, nobody = of.instant(of.provider.start, of.provider.end - DAY), f"{of.owner_id}_nobody"
    of.run("run.flat0", start, start + HOUR, owner_id=nobody)
    of.sample("disk.flat", start, GB, of.id("disk"), owner_id=nobody)
    of.seats("seat.flat", start, "7", of.id("seats"), owner_id=nobody)


@case(mixes=False)
def usage_after_closing(of: Customer) -> None:
    start, stop = of.rng.choice(of.provider.bounds)
    day = day_of(of.instant(start, stop - 2 * DAY))
    of.version(of.owner_id, LONG_AGO, closed_on=day)
    ends = ((day - EPOCH.date()).days + 1) * DAY
    of.run("run.flat0", of.instant(of.provider.start - DAY, ends), of.rng.choice((None, ends + 1, ends + DAY)))
    of.run("run.flat2", ends - 1, ends, ends)
    of.run("run.flat2", ends, ends + HOUR)
    resource = of.id("disk")
    of.sample("disk.flat", of.instant(of.provider.start - DAY, ends), 50 * GB, resource)
    of.traffic("net.flat", ends - HOUR, ends, 30 * GB, of.id("pipe"))
    of.traffic("net.flat", ends, ends + HOUR, 70 * GB, of.id("pipe"))
    of.seats("seat.flat", ends - 1, "3", f"{resource}-s")
    of.seats("seat.flat", ends, "8", f"{resource}-s")


# ---- what a corpus must reach ----------------------------------------------------------------------------------

_MODES = {
    "runtime": ("flat", "graduated", "slab"),
    "stored": ("flat", "graduated", "slab"),
    "moved": ("flat", "graduated", "slab", "package"),
    "units": ("flat", "graduated", "slab", "package"),
}
_PARKED = (
    "amount_precision",
    "currency",
    "event_conflict",
    "name_length",
    "overlap_flavour",
    "owner_conflict",
    "predecessor_parked",
    "price_gap",
    "price_missing",
    "price_overlap",
    "tax_unknown",
)
_QUARANTINED = (
    "future",
    "id_syntax",
    "invoice_kind",
    "kind_unknown",
    "negative",
    "number_syntax",
    "rate_range",
    "stop_before_start",
    "tier_shape",
    "time_range",
    "value_missing",
)
#: Cases that the oracle counts; none may be missing in the default corpus.
TO_REACH: tuple[str, ...] = (
    *(f"parked {reason}" for reason in _PARKED),
    *(f"quarantined {reason}" for reason in _QUARANTINED),
    *(f"{basis} {mode}" for basis, modes in _MODES.items() for mode in modes),
    *(
        f"{basis} {mode} {where} an edge"
        for basis in _MODES
        for mode in ("graduated", "slab")
        for where in ("one below", "exactly on", "one above")
    ),
    *(f"{basis} in blocks" for basis in _MODES),
    *(f"{basis} with a price of the tier" for basis in ("runtime", "moved", "units")),
    *(f"invoice in {currency}" for currency in ("EUR", "USD", "JPY", "KWD")),
    *(f"VAT {rate}%" for rate in ("0.0", "8.5", "19.0", "20.0")),
    "half a minor unit",
    "stored beyond 64 bits",
    "price of one's own",
    "price of a zone",
    "price factor",
    "paid by another",
    "price change inside a run",
    "payer change inside a run",
    "factor change inside a run",
    "run over the month's edge",
    "run still open",
    "stored over a price change",
    "stored since before the month",
    "stored since long before",
    "moved until the month's end",
    "moved since before the month",
    "largest count reached twice",
    "resource of two owners",
    "one_shot",
    "one_shot rounds a half",
    "one-shot with a discount",
    "recurring one-shot",
    "specific invoice",
    "sold credits",
    "discount over the whole invoice",
    *(f"{what} credit used {use}" for what in ("open", "scoped") for use in ("whole", "partly", "not")),
    "open credit expires",
    "scoped credit expires",
    "credit ends exactly with the month",
    "credit ends right after the month's start",
    "credit starts inside the month",
    "order of scoped credits is felt",
    "prepaid spent",
    "prepaid kept",
    "refill paid",
    "refill pending",
    "paid to the last cent",
    "paid one cent less",
    "paid in parts",
    "more fees than credits",
    "no refill needed",
    "custom refill",
    "nothing to pay",
    "only credits",
    "fees that do not come again",
    "closed organisation",
    "heartbeat powered off",
    "heartbeats change their flavour",
    "heartbeats exactly the largest gap apart",
    "heartbeats further apart than the largest gap",
    "heartbeats of an instance that also has intervals",
    "run partly unusable",
    "run wholly unusable",
    "unusable over the month's edge",
    "granule over the month's end",
    "granules from before the month",
    "granules from a new price on",
    "run shorter than the minimum",
    "run exactly as long as the minimum",
    "minimum over the month's edge",
    "run since before what the month is told",
    "vendor",
    "vendor rounds a half",
    "lines below one unit together",
    "lines below one unit together make more than one",
    "lines below one unit together make none",
    "equal lines below one unit",
    "adjustment discount",
    "adjustment maximum",
    "adjustment minimum",
    "adjustment commitment",
    "minimum without usage",
    "commitment without usage",
    "discount of more than there is",
    "maximum exactly met",
    "floor exactly met",
    "parked spend_rule_overlap",
    *(
        f"{basis} {where} what is free"
        for basis in ("runtime", "moved", "units")
        for where in ("within", "exactly", "beyond")
    ),
    "month without provision",
    "quarantined not_finite",
    "quarantined org_unknown",
    "quarantined after_close",
    "run clipped at closing",
    "stored until closing",
)

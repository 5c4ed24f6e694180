"""Invents what customers use, as raw rows of the usage feeds: applications, add-ons, storage, traffic, users.

Instants are whole microseconds since the epoch and every draw is a whole number, so that no float differs between
machines. A row is taken in a few minutes after what it reports. What goes wrong on the way is in `blemishes`.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from random import Random

from billing_pipeline.rules.period import microseconds
from billing_pipeline.sample.landing import Row
from billing_pipeline.sample.organisations import Customer

SECOND = 1_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE
DAY = 24 * HOUR

ZONES = ("par", "rbx", "mtl")

#: A run that lasts longer is reported twice: open when it starts, closed when it ends.
_REPORTED_OPEN_AFTER = 6 * HOUR

_APPLICATION_FLAVOURS = {
    "small": ("pico", "nano", "XS", "XS", "S"),
    "medium": ("XS", "S", "S", "M", "L"),
    "large": ("S", "M", "M", "L", "XL", "2XL"),
}
_APPLICATIONS = {"small": (1, 4), "medium": (3, 7), "large": (6, 11)}
_ADD_ONS = {
    "postgresql": {"small": ("XXS_SML", "XS_SML"), "medium": ("XS_SML", "S_SML"), "large": ("M_SML", "L_SML")},
    "mysql": {"small": ("XXS_SML", "XS_SML"), "medium": ("XS_SML", "S_SML"), "large": ("S_SML", "M_SML")},
    "redis": {"small": ("s_mono",), "medium": ("s_mono", "m_mono"), "large": ("m_mono", "xl_mono")},
}
_APPLICATION_NAMES = (
    "shop",
    "api",
    "website",
    "worker",
    "billing-ui",
    "search",
    "wiki",
    "portail",
    "café-menu",
    "cron",
)


@dataclass
class Usage:
    """Raw rows of the usage feeds while they are being invented."""

    rows: dict[str, list[Row]] = field(
        default_factory=lambda: {
            "runtime_intervals": [],
            "storage_samples": [],
            "traffic_deltas": [],
            "unit_counts": [],
        }
    )
    _numbers: Iterator[int] = field(default_factory=lambda: count(1))

    def report(self, feed: str, row: Row, *, ingested_at: int) -> None:
        """Add a row as its meter sends it, with a number of its own."""
        source = "orchestrator" if feed == "runtime_intervals" else "meters"
        self.rows[feed].append(row | {"event_id": self.next_event_id(), "source": source, "ingested_at": ingested_at})

    def next_event_id(self) -> str:
        """A text that no other row of the sample has."""
        return f"evt-{next(self._numbers):08d}"


@dataclass(frozen=True)
class _Span:
    """When a customer is there, and what can be known of it: everything that the sample's landing covers."""

    start: int
    end: int
    #: Nothing is known after this: what runs on has no end yet.
    known_until: int
    #: Nothing that ended before this is told.
    told_from: int

    @property
    def loaded_at(self) -> int:
        """When rows of what ran before the sample are taken in."""
        return self.told_from - 12 * HOUR


def invent_usage(customers: list[Customer], usage: Usage, *, start: int, end: int, rng: Random) -> None:
    """Invent the usage of every customer from before `start` up to `end`.

    Args:
        customers: who uses; each is served between its opening and its closing.
        usage: where the rows go.
        start: start of the first month. Databases and applications of older customers ran before it.
        end: the instant at which landing ends.
        rng: where every draw comes from.
    """
    for number, customer in enumerate(customers):
        opened_at = microseconds(customer.opened_at)
        # An older customer's applications were deployed some time in the five weeks before the sample.
        begins = opened_at if opened_at >= start else start - rng.randrange(1, 36) * DAY
        stops = microseconds(customer.closed_at) if customer.closed_at else end
        span = _Span(begins, min(stops, end), known_until=end, told_from=start)
        zone = ZONES[rng.choices(range(3), weights=(6, 3, 1))[0]]
        for _ in range(rng.randrange(*_APPLICATIONS[customer.size])):
            _application(customer, zone, span, usage, rng)
        for service, chance in (("postgresql", 7), ("mysql", 4), ("redis", 5)):
            if rng.randrange(10) < chance:
                _add_on(customer, service, zone, span, usage, rng)
        # The first customers have one of everything, so that the smallest sample shows every kind of line.
        _measured(customer, number, zone, span, max(begins, start), usage, rng)


def _application(customer: Customer, zone: str, span: _Span, usage: Usage, rng: Random) -> None:
    """One application: deployed every few days (a build, then fresh instances), scaled out in office hours."""
    name = rng.choice(_APPLICATION_NAMES)
    application = _resource(customer, "app", name, zone, rng) | {"service": "apps"}
    flavour = rng.choice(_APPLICATION_FLAVOURS[customer.size])
    instances = rng.choices((1, 2, 3), weights=(6, 3, 1))[0]
    deployed_at = span.start + rng.randrange(DAY)
    while deployed_at < span.end:
        lives = rng.randrange(6 * HOUR, 9 * DAY)
        built_at = min(deployed_at + rng.randrange(40 * SECOND, 15 * MINUTE), span.end)
        build_id = f"build-{rng.getrandbits(64):016x}"
        _run(application | {"flavour": "M"}, build_id, deployed_at, built_at, span, usage, rng)
        replaced_at = min(deployed_at + lives, span.end)
        for _ in range(instances):
            _instance_life(application | {"flavour": flavour}, built_at, replaced_at, span, usage, rng)
        if rng.randrange(20) == 0:
            flavour = rng.choice(_APPLICATION_FLAVOURS[customer.size])
        deployed_at += lives
    _scale_out(application | {"flavour": flavour}, span, usage, rng)


def _instance_life(application: Row, started_at: int, replaced_at: int, span: _Span, usage: Usage, rng: Random) -> None:
    """One instance until it is replaced; one in six crashes once and comes back under the same id."""
    # Old instances go only once the new ones answer.
    stopped_at = min(replaced_at + rng.randrange(5 * SECOND, 20 * MINUTE), span.end)
    instance_id = f"{rng.getrandbits(96):024x}"
    if rng.randrange(6) == 0 and stopped_at - started_at > 2 * HOUR:
        crashed_at = started_at + rng.randrange(HOUR, stopped_at - started_at - HOUR)
        # One restart in five is seen by two hosts at once: the runs of one instance then overlap.
        back_at = crashed_at + (rng.randrange(-30, -1) if rng.randrange(5) == 0 else rng.randrange(3, 90)) * SECOND
        _run(application, instance_id, started_at, crashed_at, span, usage, rng)
        _run(application, instance_id, back_at, stopped_at, span, usage, rng)
    else:
        _run(application, instance_id, started_at, stopped_at, span, usage, rng)


def _scale_out(application: Row, span: _Span, usage: Usage, rng: Random) -> None:
    """Short-lived instances beside the permanent ones, a few on most days."""
    midnight = span.start // DAY * DAY
    while midnight < span.end:
        for _ in range(rng.choice((0, 0, 1, 2, 3, 5))):
            started_at = midnight + rng.randrange(7 * HOUR, 20 * HOUR)
            stopped_at = started_at + rng.randrange(8 * MINUTE, 5 * HOUR)
            if span.start <= started_at and stopped_at <= span.end:
                _run(application, f"{rng.getrandbits(96):024x}", started_at, stopped_at, span, usage, rng)
        midnight += DAY


def _add_on(customer: Customer, service: str, zone: str, span: _Span, usage: Usage, rng: Random) -> None:
    """A database: one run that spans months, or two where it was moved to a larger flavour."""
    flavours = _ADD_ONS[service][customer.size]
    add_on = _resource(customer, "addon", f"{service}-{rng.choice(('main', 'replica', 'staging'))}", zone, rng)
    add_on |= {"service": service}
    instance_id = f"{rng.getrandbits(96):024x}"
    started_at = span.start + rng.randrange(DAY)
    if rng.randrange(3) == 0 and span.end - started_at > 20 * DAY:
        moved_at = started_at + rng.randrange(10 * DAY, span.end - started_at - 5 * DAY)
        _run(add_on | {"flavour": flavours[0]}, instance_id, started_at, moved_at, span, usage, rng)
        instance_id, started_at = f"{rng.getrandbits(96):024x}", moved_at
    _run(add_on | {"flavour": flavours[-1]}, instance_id, started_at, span.end, span, usage, rng)


def _run(
    metered: Row, instance_id: str, started_at: int, stopped_at: int, span: _Span, usage: Usage, rng: Random
) -> None:
    """Report one run: open when it starts if it lasts, closed when it ends if that is known yet."""
    if started_at >= span.end or stopped_at <= span.told_from:
        return
    run = metered | {"instance_id": instance_id, "started_at": started_at}
    is_closed = stopped_at < span.known_until
    if not is_closed or stopped_at - started_at > _REPORTED_OPEN_AFTER:
        opened_at = max(started_at + rng.randrange(1, 240) * SECOND, span.loaded_at)
        usage.report("runtime_intervals", run, ingested_at=opened_at)
    if is_closed:
        # The row that closes a run is always taken in after the one that opened it.
        closed_at = max(stopped_at, span.loaded_at) + rng.randrange(241, 600) * SECOND
        usage.report("runtime_intervals", run | {"stopped_at": stopped_at}, ingested_at=closed_at)


def _measured(customer: Customer, number: int, zone: str, span: _Span, start: int, usage: Usage, rng: Random) -> None:
    """What is stored, moved and counted: each as one add-on of the customer."""
    scale = {"small": 1, "medium": 10, "large": 60}[customer.size]
    if number < 3 or rng.randrange(10) < 6:
        cellar = _resource(customer, "addon", "cellar", zone, rng)
        # The first customer grows past 1 TB, the second moves more than 10 TB a month: both change tiers.
        stored = 960 * 10**9 if number == 0 else rng.randrange(10**8, 10**10) * scale
        daily = 450 * 10**9 if number == 1 else rng.randrange(10**7, 10**9) * scale
        _samples(cellar | {"metric": "cellar.storage"}, stored, start, span, usage, rng)
        _deltas(cellar | {"metric": "cellar.outbound"}, daily, start, span, usage, rng)
    if number < 2 or rng.randrange(10) < 3:
        bucket = _resource(customer, "addon", "fsbucket", zone, rng)
        _samples(bucket | {"metric": "fsbucket.storage"}, rng.randrange(10**7, 10**9) * scale, start, span, usage, rng)
    if number < 2 or rng.randrange(10) < 2:
        pulsar = _resource(customer, "addon", "pulsar", zone, rng)
        for metric in ("pulsar.throughput.in", "pulsar.throughput.out"):
            _deltas(pulsar | {"metric": metric}, rng.randrange(10**7, 3 * 10**8) * scale, start, span, usage, rng)
        _samples(pulsar | {"metric": "pulsar.storage.hot"}, rng.randrange(10**9) * scale, start, span, usage, rng)
    if number < 2 or rng.randrange(20) == 0:
        heptapod = _resource(customer, "addon", "heptapod", zone, rng)
        _counts(heptapod | {"metric": "heptapod.private_active_users"}, rng.randrange(4, 30), start, span, usage, rng)
        _counts(heptapod | {"metric": "heptapod.public_active_users"}, rng.randrange(80, 240), start, span, usage, rng)
        _samples(heptapod | {"metric": "heptapod.storage"}, rng.randrange(10**9) * scale, start, span, usage, rng)


def _samples(metered: Row, size: int, start: int, span: _Span, usage: Usage, rng: Random) -> None:
    """Sizes every six hours, drifting upwards; a resource that goes away ends with a sample of 0 bytes."""
    for sampled_at in _instants(start, 6 * HOUR, span.end):
        row = metered | {"sampled_at": sampled_at, "bytes": size}
        usage.report("storage_samples", row, ingested_at=sampled_at + rng.randrange(30, 300) * SECOND)
        size += size * rng.randrange(-20, 40) // 10_000
    if span.end < span.known_until:
        row = metered | {"sampled_at": span.end, "bytes": 0}
        usage.report("storage_samples", row, ingested_at=span.end + MINUTE)


def _deltas(metered: Row, daily: int, start: int, span: _Span, usage: Usage, rng: Random) -> None:
    """Bytes moved on each day, taken in ten minutes after midnight."""
    for started_at in _instants(start, DAY, span.end - DAY + 1):
        stopped_at = started_at + DAY
        row = metered | {"started_at": started_at, "stopped_at": stopped_at}
        row |= {"bytes": daily * rng.randrange(60, 140) // 100}
        usage.report("traffic_deltas", row, ingested_at=stopped_at + 10 * MINUTE)


def _counts(metered: Row, users: int, start: int, span: _Span, usage: Usage, rng: Random) -> None:
    """Users seen each morning."""
    for midnight in _instants(start, DAY, span.end - DAY + 1):
        sampled_at = midnight + 6 * HOUR
        row = metered | {"sampled_at": sampled_at, "quantity": str(users)}
        usage.report("unit_counts", row, ingested_at=sampled_at + 2 * MINUTE)
        users = max(1, users + rng.choice((-1, 0, 0, 0, 1)))


def _instants(start: int, step: int, end: int) -> range:
    """Every `step` from the first whole one at or after `start`, before `end`."""
    return range(-(-start // step) * step, end, step)


def _resource(customer: Customer, prefix: str, name: str, zone: str, rng: Random) -> Row:
    return {
        "owner_id": customer.owner_id,
        "resource_id": f"{prefix}_{rng.getrandbits(128):032x}",
        "resource_name": name,
        "zone": zone,
    }

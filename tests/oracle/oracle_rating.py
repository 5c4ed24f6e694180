"""One month's usage turned into lines: sorted lists of events, whole microseconds, fractions, one rounding a line.

Slow and plain on purpose: runs are lists of pieces, tiers are walked one by one, every price is a fraction.
"""

from bisect import bisect_right
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction
from itertools import combinations, pairwise

from oracle_events import DAY, SECOND, NotTaughtError, Row, Seen, closes_at

FOREVER = 2**62
#: The duration of a line is told nowhere where granules or a free quantity were counted, or where lines were grouped.
UNTOLD = -1
MINOR_UNITS = {"EUR": 100, "USD": 100, "GBP": 100, "CHF": 100, "JPY": 1, "KWD": 1000}
NOMINAL_PERIOD, LARGEST_GAP = 300 * SECOND, 900 * SECOND
SPEND_KINDS = ("discount", "maximum", "minimum", "commitment", "free_quantity")

Piece = tuple[int, int]  # half-open, microseconds


@dataclass(frozen=True, order=True)
class LineKey:
    """What makes a line: everything that is summed before the one rounding."""

    payer_id: str
    owner_id: str
    resource_id: str
    slug: str
    zone: str
    price_id: str
    tier_from: int
    price_factor: Fraction


@dataclass(frozen=True)
class Charge:
    """One line before discounts: `quantity` in seconds, byte-seconds, bytes, units or pieces.

    `shares` is empty for a line of one resource; of a grouped one it holds (resource, quantity, share) each.
    """

    key: LineKey
    basis: str
    quantity: Fraction
    seconds: int | None
    cents: int
    recurring: bool
    shares: tuple[tuple[str, Fraction, int], ...] = ()

    @property
    def payer_id(self) -> str:
        return self.key.payer_id

    @property
    def resources(self) -> int:
        return len(self.shares) or 1


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


# ---- pieces of time --------------------------------------------------------------------------------------------


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


def overlap(piece: Piece, holes: Iterable[Piece]) -> list[Piece]:
    """The parts of the piece that lie in the holes."""
    parts = ((max(piece[0], start), min(piece[1], stop)) for start, stop in holes)
    return [(start, stop) for start, stop in parts if start < stop]


def length(pieces: Iterable[Piece]) -> int:
    return sum(stop - start for start, stop in pieces)


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
    for name in ("performed_at", "charged_at", "sampled_at"):
        if name in row:
            return row[name], FOREVER if "bytes" in row else row[name] + 1
    return 0, FOREVER


# ---- organisations, prices and spend rules ---------------------------------------------------------------------


class Organisations:
    """Who pays for whom, at any instant."""

    def __init__(self, rows: Iterable[Row]) -> None:
        self.versions: dict[str, list[Row]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: row["valid_from"]):
            self.versions[row["owner_id"]].append(row)
        self.starts = {owner: [row["valid_from"] for row in rows] for owner, rows in self.versions.items()}

    def at(self, owner_id: str, when: int) -> Row:
        """The version in force at an instant."""
        number = bisect_right(self.starts.get(owner_id, []), when)
        if not number:
            raise NotTaughtError(f"{owner_id} has usage at {when} and no organisation row in force")
        return self.versions[owner_id][number - 1]

    def payer(self, owner_id: str, when: int) -> str:
        return self.at(owner_id, when)["payer_id"] or owner_id

    def invoiced(self, owner_id: str, month: Piece, when: int) -> Row:
        """Who gets the invoice: the party of an instant after the month, who pays and in what as the month ended."""
        ended = self.at(owner_id, month[1] - 1)
        told = ("payer_id", "currency", "price_factor")
        return self.at(owner_id, max(when, month[1] - 1)) | {name: ended[name] for name in told}

    def closes(self, owner_id: str) -> int | None:
        return closes_at(self.versions[owner_id][-1])


class UnpricedError(Exception):
    """`price_missing`, `price_gap`, `price_overlap` or `currency`."""


class Prices:
    """Which tiers are the most specific ones in force."""

    def __init__(self, rows: Iterable[Row], month: Piece) -> None:
        self.month = month
        tiers: dict[str, list[Row]] = defaultdict(list)
        for row in sorted(rows, key=lambda row: row["tier_from"]):
            tiers[row["price_id"]].append(row)
        self.of: dict[tuple[str, str | None], list[list[Row]]] = defaultdict(list)
        self.refused = {price_id for price_id, price in tiers.items() if not is_well_formed(price)}
        for price in tiers.values():
            self.of[price[0]["slug"].lower(), price[0]["owner_id"]].append(price)

    def candidates(self, slug: str, owner_id: str) -> list[list[Row]]:
        return [price for key in ((slug, None), (slug, owner_id)) if key in self.of for price in self.of[key]]

    def edges(self, slug: str, owner_id: str) -> set[int]:
        ends = {price[0][name] for price in self.candidates(slug, owner_id) for name in ("valid_from", "valid_to")}
        return ends - {None}

    def at(self, slug: str, owner: Row, zone: str, when: int) -> list[Row]:
        """The tiers of the most specific price in force."""
        ranked, foreign = defaultdict(list), False
        for price in self.candidates(slug, owner["owner_id"]):
            head = price[0]
            if (
                head["zone"] in (None, zone)
                and head["valid_from"] <= when
                and (head["valid_to"] is None or when < head["valid_to"])
            ):
                if head["currency"] == owner["currency"]:
                    ranked[head["owner_id"] is not None, head["zone"] is not None].append(price)
                else:
                    foreign |= head["price_id"] not in self.refused
        if not ranked and not foreign:
            raise UnpricedError("price_gap" if self.is_gap(slug, owner, zone, when) else "price_missing")
        if not ranked:
            raise UnpricedError("currency")
        best = ranked[max(ranked)]
        if len(best) > 1:
            raise UnpricedError("price_overlap")
        if best[0][0]["price_id"] in self.refused:
            raise UnpricedError("price_missing")
        return best[0]

    def is_gap(self, slug: str, owner: Row, zone: str, when: int) -> bool:
        """Whether one price of the month ended by then, and another one starts later in it."""
        heads = [price[0] for price in self.candidates(slug, owner["owner_id"])]
        heads = [
            head
            for head in heads
            if head["zone"] in (None, zone)
            and head["currency"] == owner["currency"]
            and head["price_id"] not in self.refused
            and head["valid_from"] < self.month[1]
            and (head["valid_to"] is None or head["valid_to"] > self.month[0])
        ]
        ended = any(head["valid_to"] is not None and head["valid_to"] <= when for head in heads)
        return ended and any(head["valid_from"] > when for head in heads)


def is_well_formed(tiers: list[Row]) -> bool:
    """Tiers from zero on, without hole, the last one open, of one mode, none below zero; else the price is refused."""
    return (
        tiers[0]["tier_from"] == 0
        and all(low["tier_to"] == high["tier_from"] for low, high in pairwise(tiers))
        and tiers[-1]["tier_to"] is None
        and len({tier["tier_mode"] for tier in tiers}) == 1
        and all(Fraction(tier["unit_price"]) >= 0 for tier in tiers)
        and (tiers[0]["tier_mode"] != "package" or (len(tiers) == 1 and bool(tiers[0]["block_quantity"])))
        and not any(tier["per_seconds"] for tier in tiers if tier["basis"] in ("moved", "units"))
    )


class SpendRules:
    """The rules of a month: who they are for, and the most specific of each kind and slug."""

    def __init__(self, rows: Iterable[Row], month: Piece) -> None:
        last = month[1] - 1
        self.of_owner: dict[str | None, list[Row]] = defaultdict(list)
        for row in rows:
            if row["valid_from"] <= last and (row["valid_to"] is None or last < row["valid_to"]):
                if row["kind"] not in SPEND_KINDS:
                    raise NotTaughtError(f"a spend rule of kind {row['kind']}")
                self.of_owner[row["owner_id"]].append(row)

    def reasons_to_park(self, payer: Row, owner_ids: Iterable[str]) -> set[str]:
        """What is wrong with the rules of a payer and of who he pays for."""
        reasons = set()
        for owner_id in {payer["owner_id"], *owner_ids}:
            rules = self.of_owner[owner_id]
            counts = Counter((rule["kind"], _slug(rule)) for rule in rules)
            if any(count > 1 for count in counts.values()):
                reasons.add("spend_rule_overlap")
            if any(rule["currency"] != payer["currency"] for rule in rules):
                reasons.add("currency")
        return reasons

    def of_payer(self, payer: Row) -> list[Row]:
        """The payer's own rules, and the public ones in his currency that he has none of his own for."""
        own = self.of_owner[payer["owner_id"]]
        replaced = {(rule["kind"], _slug(rule)) for rule in own}
        public = [rule for rule in self.of_owner[None] if rule["currency"] == payer["currency"]]
        return own + [rule for rule in public if (rule["kind"], _slug(rule)) not in replaced]

    def of_sub_organisation(self, owner_id: str) -> list[Row]:
        return self.of_owner[owner_id]


def _slug(rule: Row) -> str | None:
    return rule["slug"] and rule["slug"].lower()


# ---- usage becomes quantities ----------------------------------------------------------------------------------


@dataclass(frozen=True, order=True)
class Usage:
    """A line key before its tiers."""

    payer_id: str
    owner_id: str
    resource_id: str
    slug: str
    zone: str
    price_id: str
    price_factor: Fraction


@dataclass(frozen=True)
class Meter:
    """What an instance runs as."""

    owner_id: str
    resource_id: str
    slug: str
    zone: str

    @property
    def row(self) -> Row:
        return {"owner_id": self.owner_id, "resource_id": self.resource_id, "zone": self.zone}


def _meter(row: Row) -> Meter:
    slug = f"{row['service']}.{row['flavour']}".lower()
    return Meter(row["owner_id"], row["resource_id"], slug, row["zone"])


Carried = dict[tuple[str, Meter], list[Piece]]


class Rating:
    """One month's usage, turned into charges; `reached` counts the cases it met on the way.

    `earlier` has the parts of runs before the month that `carried` told of the month before. A month looks at nothing
    else that ended before it: of the first one, nobody billed what was before.
    """

    def __init__(self, seen: Seen, month: Piece, earlier: Carried | None = None) -> None:
        self.seen, self.month, self.earlier = seen, month, earlier or {}
        self.carried: Carried = {}
        self.claims: dict[tuple[str, str], dict[str, list[Piece]]] = defaultdict(lambda: defaultdict(list))
        self.organisations = Organisations(seen.rows["organisations"])
        self.prices = Prices(seen.rows["price_tiers"], month)
        self.rules = SpendRules(seen.rows["spend_rules"], month)
        self.tiers: dict[str, list[Row]] = {}
        self.parked: dict[str, set[str]] = defaultdict(set)
        #: Payers who have a document beside the monthly invoice.
        self.asked_beside: set[str] = set()
        self.exact: dict[LineKey, tuple[Charge, Fraction]] = {}
        self.unusable: dict[tuple[str, str, str, str, str, str], list[Piece]] = defaultdict(list)
        self.reached: Counter[str] = Counter()
        for row in seen.conflicting:
            self.park_conflict(row)

    def park_conflict(self, row: Row) -> None:
        if row.get("owner_id") is None:
            raise NotTaughtError(f"rows of nobody contradict each other: {row}")
        start, stop = _tells_of(row)
        if "bytes" in row and stop == FOREVER:
            what = row["resource_id"], row["metric"]
            later = (each for each in self.seen.rows["storage_samples"] if each["sampled_at"] > start)
            stop = min(
                (each["sampled_at"] for each in later if (each["resource_id"], each["metric"]) == what), default=stop
            )
        if start < self.month[1] and self.month[0] < stop:
            when = min(max(start, self.month[0]), self.month[1] - 1)
            self.parked[self.organisations.payer(row["owner_id"], when)].add("event_conflict")

    def edges(self, owner_id: str, slug: str) -> set[int]:
        return self.prices.edges(slug, owner_id) | set(self.organisations.starts[owner_id])

    def place(self, row: Row, slug: str, when: int) -> Usage | None:
        """Which line usage at an instant belongs to; without a price its payer is parked."""
        owner = self.organisations.at(row["owner_id"], when)
        payer_id = owner["payer_id"] or owner["owner_id"]
        try:
            tiers = self.prices.at(slug, owner, row["zone"], when)
        except UnpricedError as reason:
            self.parked[payer_id].add(str(reason))
            return None
        price_id = tiers[0]["price_id"]
        self.tiers[price_id] = tiers
        factor = Fraction(owner["price_factor"] or 1)
        self.reached["price of one's own"] += tiers[0]["owner_id"] is not None
        self.reached["price of a zone"] += tiers[0]["zone"] is not None
        self.reached["price factor"] += factor != 1
        self.reached["paid by another"] += payer_id != owner["owner_id"]
        self.reached[f"currency {owner['currency']}"] += 1
        return Usage(payer_id, row["owner_id"], row["resource_id"], slug, row["zone"], price_id, factor)

    def free_quantity(self, usage: Usage) -> int:
        """How much of the month is free."""
        payer = self.organisations.at(usage.payer_id, self.month[1] - 1)
        rules = self.rules.of_payer(payer)
        if usage.owner_id != usage.payer_id:
            rules = rules + self.rules.of_sub_organisation(usage.owner_id)
        free = [rule for rule in rules if rule["kind"] == "free_quantity" and _slug(rule) == usage.slug]
        if len(free) > 1:
            raise NotTaughtError(f"{usage.owner_id} and who pays for it both have {usage.slug} free")
        return int(free[0]["quantity"]) if free else 0

    def charge(
        self, usage: Usage, tier: Row, quantity: Fraction, seconds: int | None, tier_price: Fraction = Fraction(0)
    ) -> None:
        """Price one tier of one line; `quantity` already holds the seconds where the price knows time."""
        per = tier["per_quantity"] * (tier["per_seconds"] or 1)
        amount = quantity * Fraction(tier["unit_price"]) / per + tier_price
        key = LineKey(
            usage.payer_id,
            usage.owner_id,
            usage.resource_id,
            usage.slug,
            usage.zone,
            usage.price_id,
            tier["tier_from"],
            usage.price_factor,
        )
        minor = amount * usage.price_factor * MINOR_UNITS[tier["currency"]]
        self.exact[key] = (Charge(key, tier["basis"], quantity, seconds, 0, recurring=True), minor)
        self.reached[f"{tier['basis']} {tier['tier_mode']}"] += 1
        self.reached[f"{tier['basis']} in blocks"] += bool(tier["block_quantity"] or tier["block_seconds"])
        self.reached[f"{tier['basis']} with a price of the tier"] += bool(tier_price)
        self.reached["half a minor unit"] += minor.denominator == 2
        self.reached[f"{tier['basis']} beyond 64 bits"] += quantity * Fraction(tier["unit_price"]).numerator >= 2**63

    def parts(
        self, tiers: list[Row], quantity: Fraction, *, counted: bool, free: int = 0
    ) -> Iterator[tuple[Row, Fraction]]:
        """How a quantity falls into tiers, its first `free` units left out."""
        for tier in tiers:
            low, high = tier["tier_from"], tier["tier_to"]
            if low and abs(quantity - low) <= 1:
                where = {-1: "one below", 0: "exactly on", 1: "one above"}.get(quantity - low, "close to")
                self.reached[f"{tier['basis']} {tier['tier_mode']} {where} an edge"] += 1
            match tier["tier_mode"]:
                case "graduated" if counted:
                    part = quantity if high is None else min(quantity, Fraction(high - 1))
                    part -= max(low - 1, 0, free)
                case "graduated":
                    part = (quantity if high is None else min(quantity, Fraction(high))) - max(low, free)
                case "flat" | "slab" | "package":
                    part = quantity - free if low <= quantity and (high is None or quantity < high) else Fraction(0)
                case mode:
                    raise NotTaughtError(f"tier mode {mode}")
            if part > 0:
                yield tier, part

    def charge_parts(self, usage: Usage, quantity: Fraction, seconds: int | None, *, counted: bool = False) -> None:
        free = self.free_quantity(usage)
        if free:
            where = "within" if quantity < free else "exactly" if quantity == free else "beyond"
            self.reached[f"{self.tiers[usage.price_id][0]['basis']} {where} what is free"] += 1
            seconds = None if seconds is None else UNTOLD
        for tier, part in self.parts(self.tiers[usage.price_id], quantity, counted=counted, free=free):
            blocks = started_blocks(part, tier["block_quantity"]) if tier["block_quantity"] else None
            once = Fraction(tier["tier_price"] or 0)
            if tier["tier_mode"] == "package":
                once *= blocks
            billed = part if blocks is None else Fraction(blocks * tier["block_quantity"])
            within = seconds if seconds in (None, UNTOLD) else min(seconds, part.numerator)
            self.charge(usage, tier, billed, within, once)

    # -- runtime --

    def pieces(self) -> dict[str, dict[Meter, list[Piece]]]:
        """The united runs of every instance, by what it ran as."""
        told: Carried = defaultdict(list)
        again: dict[tuple[str, Meter], list[int]] = defaultdict(list)  # where what the next month is told, too, starts
        for row in self.seen.rows["runtime_intervals"]:
            stop = FOREVER if row["stopped_at"] is None else row["stopped_at"]
            if stop > self.month[0]:
                told[row["instance_id"], _meter(row)].append((row["started_at"], stop))
                self.claims["runtime", row["resource_id"]][row["owner_id"]].append((row["started_at"], stop))
                if stop > self.month[1]:
                    again[row["instance_id"], _meter(row)].append(row["started_at"])
        measured = {instance_id for instance_id, _ in told}
        samples: dict[str, list[Row]] = defaultdict(list)
        for row in self.seen.rows["runtime_heartbeats"]:
            if row["sampled_at"] >= self.month[0] - DAY:
                samples[row["instance_id"]].append(row)
        for instance_id, seen in samples.items():
            self.reached["heartbeats of an instance that also has intervals"] += instance_id in measured
            for meter, piece in self.runs_of_samples(sorted(seen, key=lambda row: row["sampled_at"])):
                told[instance_id, meter].append(piece)
                if piece[0] >= self.month[1] - DAY:
                    again[instance_id, meter].append(piece[0])
        instances: dict[str, dict[Meter, list[Piece]]] = defaultdict(dict)
        for (instance_id, meter), pieces in sorted(told.items(), key=lambda each: each[0][0]):
            runs = unite(pieces + self.earlier.get((instance_id, meter), []))
            starts = {start for start, _ in unite(pieces)}
            self.reached["run since before what the month is told"] += any(
                start < self.month[0] < stop and start not in starts for start, stop in runs
            )
            self.carried[instance_id, meter] = list(self.carry(runs, again[instance_id, meter]))
            instances[instance_id][meter] = self.clipped(meter, runs)
        return instances

    def carry(self, runs: list[Piece], again: list[int]) -> Iterator[Piece]:
        """What the next month is not told of runs that may go on in it."""
        for start, stop in runs:
            if inside := [instant for instant in again if start <= instant < stop]:
                yield start, min(inside)
            elif stop >= self.month[1]:
                yield start, self.month[1]

    def clipped(self, meter: Meter, pieces: list[Piece]) -> list[Piece]:
        """Nothing runs on after its owner has closed."""
        closes = self.organisations.closes(meter.owner_id)
        if closes is None:
            return pieces
        self.reached["run clipped at closing"] += any(start < closes < stop for start, stop in pieces)
        return [(start, min(stop, closes)) for start, stop in pieces if start < closes]

    def runs_of_samples(self, samples: list[Row]) -> Iterator[tuple[Meter, Piece]]:
        """Every sample holds to the next one of its meter, or for the nominal period where that one is too far."""
        for row, after in zip(samples, [*samples[1:], None], strict=True):
            if row["flavour"] == "":
                self.reached["heartbeat powered off"] += 1
                continue
            meter, start = _meter(row), row["sampled_at"]
            stop = start + NOMINAL_PERIOD
            if after is not None:
                gap = after["sampled_at"] - start
                self.reached["heartbeats exactly the largest gap apart"] += gap == LARGEST_GAP
                self.reached["heartbeats further apart than the largest gap"] += gap > LARGEST_GAP
                is_same = after["flavour"] != "" and _meter(after) == meter
                self.reached["heartbeats change their flavour"] += not is_same and after["flavour"] != ""
                stop = after["sampled_at"] if is_same and gap <= LARGEST_GAP else min(stop, after["sampled_at"])
                if is_same and gap <= LARGEST_GAP:
                    self.claims["runtime", row["resource_id"]][row["owner_id"]].append((start, stop))
            yield meter, (start, stop)

    def park_claims(self) -> None:
        """Nobody can say whose a resource is that runs, or moves bytes, for two organisations at once."""
        for told in self.claims.values():
            pieces = {owner: [clip(*piece, self.month) for piece in unite(each)] for owner, each in told.items()}
            for owner_id, other_id in combinations(sorted(pieces), 2):
                both = [part for piece in pieces[owner_id] for part in overlap(piece, pieces[other_id])]
                for start, _ in both:
                    for each in (owner_id, other_id):
                        self.parked[self.organisations.payer(each, start)].add("owner_conflict")
                        self.reached["resource of two owners"] += 1

    def runtime(self) -> None:
        broken: dict[str, list[Piece]] = defaultdict(list)
        for row in self.seen.rows["unusable_intervals"]:
            broken[row["instance_id"]].append((row["started_at"], row["stopped_at"]))
        microseconds: dict[Usage, int] = defaultdict(int)
        granulated: set[Usage] = set()
        for instance_id, runs in self.pieces().items():
            self.park_overlaps(runs)
            holes = unite(broken[instance_id])
            for meter, pieces in runs.items():
                for run in pieces:
                    if run[0] < self.month[1] and self.month[0] < run[1]:
                        for usage, duration, is_granulated in self.bill_run(meter, run, holes):
                            microseconds[usage] += duration
                            if is_granulated:
                                granulated.add(usage)
                        self.note_unusable(instance_id, meter, run, holes)
        for usage, duration in microseconds.items():
            seconds = duration // SECOND
            block = self.tiers[usage.price_id][0]["block_seconds"] or 1
            told = UNTOLD if usage in granulated else seconds
            self.charge_parts(usage, Fraction(-(-seconds // block) * block), told)

    def park_overlaps(self, runs: dict[Meter, list[Piece]]) -> None:
        """Nobody can say as what an instance ran that ran as two things at once."""
        told = sorted(
            ((*clip(*piece, self.month), meter) for meter in runs for piece in runs[meter]), key=lambda t: t[:2]
        )
        told = [each for each in told if each[0] < each[1]]
        for number, (start, stop, meter) in enumerate(told):
            for other_start, _, other in told[number + 1 :]:
                if other_start >= stop:
                    break
                reason = "overlap_flavour" if meter.owner_id == other.owner_id else "owner_conflict"
                for each in (meter, other):
                    self.parked[self.organisations.payer(each.owner_id, max(start, other_start))].add(reason)

    def note_unusable(self, instance_id: str, meter: Meter, run: Piece, holes: list[Piece]) -> None:
        if not holes:
            return
        for start, stop in overlap(clip(*run, self.month), holes):
            for part in cut(start, stop, self.organisations.starts[meter.owner_id]):
                payer_id = self.organisations.payer(meter.owner_id, part[0])
                told = payer_id, meter.owner_id, meter.resource_id, meter.slug, meter.zone, instance_id
                self.unusable[told].append(part)
        self.reached["run partly unusable"] += bool(overlap(run, holes)) and bool(subtract([run], holes))
        self.reached["run wholly unusable"] += not subtract([run], holes)
        self.reached["unusable over the month's edge"] += any(
            start < edge < stop for start, stop in overlap(run, holes) for edge in self.month
        )

    def bill_run(self, meter: Meter, run: Piece, holes: list[Piece]) -> Iterator[tuple[Usage, int, bool]]:
        """What one united run bills in this month, by line: its time, or its granules where the price has some."""
        self.reached["run over the month's edge"] += any(run[0] < edge < run[1] for edge in self.month)
        self.reached["run still open"] += run[1] == FOREVER
        spans = list(cut(*clip(*run, self.month), self.edges(meter.owner_id, meter.slug)))
        places = [self.place(meter.row, meter.slug, span[0]) for span in spans]
        self.reached["price change inside a run"] += len({place and place.price_id for place in places}) > 1
        self.reached["payer change inside a run"] += len({place and place.payer_id for place in places}) > 1
        self.reached["factor change inside a run"] += len({place and place.price_factor for place in places}) > 1
        for span, usage in zip(spans, places, strict=True):
            if usage is None:
                continue
            tier = self.tiers[usage.price_id][0]
            if tier["granularity_seconds"]:
                yield usage, self.granules(tier, span, run, holes), True
            else:
                yield usage, length(subtract([span], holes)), False
        # the version in force where the run ends tops it up, in the month in which it ends
        if self.month[0] < run[1] <= self.month[1] and places[-1] is not None:
            top_up = self.top_up(self.tiers[places[-1].price_id][0], run, holes)
            if top_up:
                yield places[-1], top_up, True

    def granules(self, tier: Row, span: Piece, run: Piece, holes: list[Piece]) -> int:
        """The granules that begin in the span, whole, without those that are wholly unusable within the run."""
        size = tier["granularity_seconds"] * SECOND
        origin = max(run[0], tier["valid_from"])

        def begin_in(start: int, stop: int) -> int:
            start = max(start, span[0])
            return max(0, -((origin - stop) // size) - -((origin - start) // size)) if start < stop else 0

        free = 0
        for hole_start, hole_stop in holes:
            # the last granule ends with the run
            last = span[1] if run[1] <= hole_stop else min(span[1], hole_stop - size + 1)
            free += begin_in(hole_start, last)
        begun = begin_in(*span)
        self.reached["granule wholly unusable"] += bool(free)
        self.reached["granule over the month's end"] += span[1] == self.month[1] and (span[1] - origin) % size != 0
        self.reached["granules from before the month"] += origin < self.month[0]
        self.reached["granules from a new price on"] += origin > run[0]
        return (begun - free) * size

    def top_up(self, tier: Row, run: Piece, holes: list[Piece]) -> int:
        """What is missing to the shortest billed run; nothing for a run that was wholly unusable."""
        shortest = (tier["minimum_seconds"] or 0) * SECOND
        if not shortest or not subtract([run], holes):
            return 0
        size = (tier["granularity_seconds"] or 0) * SECOND or 1
        missing = max(0, shortest - -((run[0] - run[1]) // size) * size)
        self.reached["run shorter than the minimum"] += bool(missing)
        self.reached["run exactly as long as the minimum"] += run[1] - run[0] == shortest
        self.reached["minimum over the month's edge"] += bool(missing) and run[0] < self.month[0]
        return missing

    # -- volumes --

    def stored(self) -> None:
        byte_us: dict[tuple[Usage, int], int] = defaultdict(int)
        held_us: dict[tuple[Usage, int], int] = defaultdict(int)
        for row, span in self.held_samples():
            slug = row["metric"].lower()
            for start, stop in cut(*span, self.edges(row["owner_id"], slug)):
                if not (usage := self.place(row, slug, start)):
                    continue
                self.reached["stored over a price change"] += stop < span[1]
                for tier, part in self.parts(self.tiers[usage.price_id], Fraction(row["bytes"]), counted=False):
                    block = tier["block_quantity"]
                    size = started_blocks(part, block) if block else part.numerator
                    byte_us[usage, tier["tier_from"]] += size * (stop - start)
                    held_us[usage, tier["tier_from"]] += stop - start
        for (usage, tier_from), product in byte_us.items():
            (tier,) = (each for each in self.tiers[usage.price_id] if each["tier_from"] == tier_from)
            if tier["tier_price"]:
                raise NotTaughtError(f"tier_price of stored {tier['price_id']}")
            # whole seconds are taken of what is counted: of bytes, or of started blocks
            quantity = Fraction(product // SECOND * (tier["block_quantity"] or 1))
            self.charge(usage, tier, quantity, held_us[usage, tier_from] // SECOND)

    def held_samples(self) -> Iterator[tuple[Row, Piece]]:
        """Every size above zero, with the time in this month until the next sample or its owner's closing."""
        samples: dict[tuple[str, str], list[Row]] = defaultdict(list)
        for row in self.seen.rows["storage_samples"]:
            samples[row["resource_id"], row["metric"]].append(row)
        for held in samples.values():
            held.sort(key=lambda row: row["sampled_at"])
            for row, after in zip(held, [*held[1:], None], strict=True):
                start, stop = clip(row["sampled_at"], after and after["sampled_at"], self.month)
                closes = self.organisations.closes(row["owner_id"])
                if closes is not None and start < closes < stop:
                    self.reached["stored until closing"] += 1
                    stop = closes
                if closes is not None and start >= closes:
                    continue
                if start < stop and row["bytes"]:
                    self.reached["stored since before the month"] += row["sampled_at"] < self.month[0]
                    stale = self.month[1] - row["sampled_at"] > 35 * DAY
                    self.reached["stored since long before"] += stale and after is None
                    yield row, (start, stop)

    def moved(self) -> None:
        volumes: dict[Usage, int] = defaultdict(int)
        for row in self.seen.rows["traffic_deltas"]:
            last = max(row["started_at"], row["stopped_at"] - 1)
            if self.month[0] <= last < self.month[1] and (usage := self.place(row, row["metric"].lower(), last)):
                volumes[usage] += row["bytes"]
                self.claims["moved", row["resource_id"]][row["owner_id"]].append((row["started_at"], row["stopped_at"]))
                self.reached["moved until the month's end"] += row["stopped_at"] == self.month[1]
                self.reached["moved since before the month"] += row["started_at"] < self.month[0]
        for usage, volume in volumes.items():
            self.charge_parts(usage, Fraction(volume), None)

    def units(self) -> None:
        largest: dict[tuple[str, str], Row] = {}
        for row in sorted(self.seen.rows["unit_counts"], key=lambda row: row["sampled_at"]):
            if self.month[0] <= row["sampled_at"] < self.month[1]:
                what = row["resource_id"], row["metric"].lower()
                if what not in largest or Fraction(row["quantity"]) > Fraction(largest[what]["quantity"]):
                    largest[what] = row
                elif Fraction(row["quantity"]) == Fraction(largest[what]["quantity"]):
                    self.reached["largest count reached twice"] += 1
        for (_, slug), row in largest.items():
            if usage := self.place(row, slug, row["sampled_at"]):
                self.charge_parts(usage, Fraction(row["quantity"]), None, counted=True)

    # -- pieces --

    def one_shots(self) -> None:
        for row in self.seen.rows["one_shots"]:
            if not self.month[0] <= row["performed_at"] < self.month[1] or not Fraction(row["quantity"]):
                continue
            owner = self.organisations.at(row["owner_id"], row["performed_at"])
            if row["invoice"] == "specific" or row["sells_credits"]:
                self.beside(row, owner)
                continue
            factor = Fraction(owner["price_factor"] or 1)
            quantity = Fraction(row["quantity"])
            amount = quantity * Fraction(row["unit_price"]) * factor * (1 - Fraction(row["discount_rate"] or 0))
            self.piece(row, owner, "one_shot", quantity, amount, factor, recurring=row["recurring"])
            self.reached["one-shot with a discount"] += row["discount_rate"] is not None
            self.reached["recurring one-shot"] += bool(row["recurring"])

    def beside(self, row: Row, owner: Row) -> None:
        """A document of its own touches no figure of the month, but nobody is billed in a foreign currency."""
        payer_id = owner["payer_id"] or row["owner_id"]
        if row["currency"] != owner["currency"]:
            self.parked[payer_id].add("currency")
        else:
            self.asked_beside.add(payer_id)
        self.reached["sold credits" if row["sells_credits"] else "specific invoice"] += 1

    def vendor_charges(self) -> None:
        for row in self.seen.rows["vendor_charges"]:
            if self.month[0] <= row["charged_at"] < self.month[1]:
                owner = self.organisations.at(row["owner_id"], row["charged_at"])
                amount = Fraction(row["amount"])
                self.piece(row, owner, "vendor", Fraction(1), amount, Fraction(1), recurring=True)

    def piece(
        self,
        row: Row,
        owner: Row,
        kind: str,
        quantity: Fraction,
        amount: Fraction,
        factor: Fraction,
        *,
        recurring: bool,
    ) -> None:
        payer_id = owner["payer_id"] or row["owner_id"]
        if row["currency"] != owner["currency"]:
            self.parked[payer_id].add("currency")
            return
        key = LineKey(payer_id, row["owner_id"], row["event_id"], kind, "", row["source"], 0, factor)
        minor = amount * MINOR_UNITS[row["currency"]]
        self.exact[key] = (Charge(key, kind, quantity, None, 0, recurring=recurring), minor)
        self.reached[kind] += 1
        self.reached[f"{kind} rounds a half"] += minor.denominator == 2

    # -- lines --

    def charges(self) -> list[Charge]:
        """Every line in minor units; metered ones below one unit of the same price are one line."""
        self.runtime()
        self.stored()
        self.moved()
        self.units()
        self.one_shots()
        self.vendor_charges()
        self.park_claims()
        lines: list[Charge] = []
        small: dict[LineKey, list[LineKey]] = defaultdict(list)
        for key, (charge, exact) in sorted(self.exact.items()):
            if 0 < exact < 1 and charge.basis not in ("one_shot", "vendor"):
                small[replace(key, resource_id="")].append(key)
            else:
                lines.append(replace(charge, cents=round_half_away(exact)))
        for group, keys in small.items():
            lines.append(self.grouped(group, keys))
        return sorted(lines, key=lambda charge: charge.key)

    def grouped(self, group: LineKey, keys: list[LineKey]) -> Charge:
        """One line of many small ones, in the order of their resources; a single small one stays what it is."""
        charges, exact = [self.exact[key][0] for key in keys], [self.exact[key][1] for key in keys]
        cents = round_half_away(sum(exact, Fraction(0)))
        if len(keys) == 1:
            return replace(charges[0], cents=cents)
        first = charges[0]
        quantity = sum((charge.quantity for charge in charges), Fraction(0))
        shares = spread(cents, exact)
        told = tuple(
            (charge.key.resource_id, charge.quantity, share) for charge, share in zip(charges, shares, strict=True)
        )
        self.reached["lines below one unit together"] += 1
        self.reached["lines below one unit together make more than one"] += cents > 1
        self.reached["lines below one unit together make none"] += cents == 0
        self.reached["equal lines below one unit"] += len(set(exact)) < len(exact) and 0 < cents < len(exact)
        seconds = None if first.seconds is None else UNTOLD
        return Charge(group, first.basis, quantity, seconds, cents, recurring=True, shares=told)

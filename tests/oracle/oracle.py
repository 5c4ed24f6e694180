"""A second, independent way to the same bill: what every payer owes, from the landing files alone.

Written from the feed contract and the meaning of the credit statement, without the pipeline's code. It walks sorted
lists of events with Python's whole numbers and fractions: no SQL, no frames, no shared function. Slow and plain on
purpose, so that a mistake here is unlikely to be the mistake there. What it was not taught raises `NotTaughtError`.
`oracle_events` reads and decides rows, `oracle_rating` makes lines of them; here lines become statements.

Instants are whole microseconds since 1970 in UTC; money is whole minor units; letters are the credit statement's.
"""

import calendar
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from fractions import Fraction
from pathlib import Path

from oracle_events import DAY, NotTaughtError, Row, Seen, instant, see
from oracle_rating import (
    MINOR_UNITS,
    Carried,
    Charge,
    LineKey,
    Organisations,
    Piece,
    Rating,
    SpendRules,
    round_half_away,
    spread,
)

__all__ = ["Bill", "Charge", "LineKey", "Lot", "Month", "Provision", "bill_months", "month_bounds"]

GRACE = 2 * DAY
NOBODYS = ""  # the slug of a line over the whole invoice

EU = frozenset(
    {"AT", "BE", "BG", "CY", "CZ", "DE", "DK", "EE", "ES", "FI", "FR", "GR", "HR", "HU"}
    | {"IE", "IT", "LT", "LU", "LV", "MT", "NL", "PL", "PT", "RO", "SE", "SI", "SK"}
)
COUNTRIES = EU | {"US", "GB", "CH", "JP", "KW", "CA", "BR", "NO", "GF"}
# Of the member states whose consumers are generated.
RATES_ABROAD = {"BE": Fraction(21, 100), "DE": Fraction(19, 100)}


@dataclass(frozen=True)
class Provision:
    """How the next month is provided for, as settings say."""

    strategy: str = "same_as_last_month"
    from_month: int = 0


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
class Adjustment:
    """A line that a spend rule or the organisation's own discount makes; `rule_id` is empty for the latter."""

    rule_id: str
    kind: str
    cents: int


@dataclass(frozen=True)
class Bill:
    """One payer's month; `recurring` is what of the fees comes again, net of discounts."""

    payer_id: str
    charges: tuple[Charge, ...]
    adjustments: tuple[Adjustment, ...]
    recurring: int
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
        return bool(self.charges or self.adjustments or self.before or self.h)


@dataclass(frozen=True)
class Month:
    """Everything that one month bills, and which cases that took."""

    name: str
    charges: tuple[Charge, ...]
    bills: dict[str, Bill]
    parked: dict[str, set[str]]
    quarantined: list[tuple[str, str, int, str]]
    unusable: dict[tuple[str, str, str, str, str, str], list[Piece]]
    reached: Counter[str]


class UnpreciseError(ValueError):
    """An amount is no whole number of minor units."""


def minor_units(text: str | Decimal, currency: str) -> int:
    exact = Fraction(Decimal(text)) * MINOR_UNITS[currency]
    if exact.denominator != 1:
        raise UnpreciseError(f"{text} {currency}")
    return exact.numerator


def month_bounds(month: str) -> tuple[int, int]:
    """The half-open month in UTC."""
    year, number = map(int, month.split("-"))
    start = instant(datetime(year, number, 1, tzinfo=UTC))
    return start, start + calendar.monthrange(year, number)[1] * DAY


# ---- discounts, caps and floors --------------------------------------------------------------------------------


@dataclass
class _Line:
    """A line while it is being discounted: `cents` is net of every discount so far."""

    slug: str
    owner_id: str
    cents: int
    recurring: bool


class _Invoice:
    """The lines of one payer, and what spend rules make of them."""

    def __init__(self, charges: Sequence[Charge], currency: str, reached: Counter[str]) -> None:
        self.lines = [_Line(charge.key.slug, charge.key.owner_id, charge.cents, charge.recurring) for charge in charges]
        self.currency, self.reached = currency, reached
        self.adjustments: list[Adjustment] = []

    def total(self, scope: Iterable[_Line]) -> int:
        return sum(line.cents for line in scope)

    def lower(self, rule_id: str, kind: str, scope: list[_Line], amount: int) -> None:
        """A negative line, borne by the lines in scope."""
        if not amount:
            return
        shares = spread(amount, [Fraction(line.cents) for line in scope])
        for line, share in zip(scope, shares, strict=True):
            line.cents -= share
        self.adjustments.append(Adjustment(rule_id, kind, -amount))
        self.reached[f"adjustment {kind}"] += 1

    def discount(self, rule_id: str, scope: list[_Line], rate: Fraction) -> None:
        self.lower(rule_id, "discount", scope, round_half_away(self.total(scope) * rate))

    def apply(self, rule: Row, slug: str | None, scope: list[_Line], *, is_floor_due: bool) -> None:
        """One rule on the lines in its scope."""
        total = self.total(scope)
        amount = None if rule["amount"] is None else minor_units(rule["amount"], self.currency)
        match rule["kind"]:
            case "discount":
                if rule["rate"] is not None:
                    self.discount(rule["rule_id"], scope, Fraction(rule["rate"]))
                if amount is not None:
                    self.reached["discount of more than there is"] += amount > self.total(scope)
                    self.lower(rule["rule_id"], "discount", scope, min(amount, self.total(scope)))
            case "maximum":
                self.reached["maximum exactly met"] += amount == total
                self.lower(rule["rule_id"], "maximum", scope, max(0, total - amount))
            case "minimum" | "commitment" if is_floor_due and total == amount:
                self.reached["floor exactly met"] += 1
            case "minimum" | "commitment" if is_floor_due and total < amount:
                self.reached[f"adjustment {rule['kind']}"] += 1
                self.reached[f"{rule['kind']} without usage"] += not scope
                self.adjustments.append(Adjustment(rule["rule_id"], rule["kind"], amount - total))
                self.lines.append(_Line(slug or NOBODYS, NOBODYS, amount - total, recurring=True))


KIND_ORDER = ("discount", "maximum", "minimum", "commitment")
FLOORS = ("minimum", "commitment")


def _adjust(
    invoice: _Invoice, payer: Row, rules: list[Row], sub_rules: Mapping[str, list[Row]], *, is_closed: bool
) -> None:
    """Per slug first, then over everything; of each: discounts, the payer's own discount, cap, floors.

    A rule of a sub-organisation sees that owner's lines only and goes before its payer's.
    """
    told = [(owner_id, rule) for owner_id, own in sorted(sub_rules.items()) for rule in own]
    told += [(None, rule) for rule in rules]
    told.sort(key=lambda each: KIND_ORDER.index(each[1]["kind"]))
    for owner_id, rule in told:
        if rule["slug"] is not None:
            slug = rule["slug"].lower()
            scope = [line for line in invoice.lines if line.slug == slug and owner_id in (None, line.owner_id)]
            invoice.apply(rule, slug, scope, is_floor_due=_is_floor_due(rule, scope, is_closed=is_closed))
    whole = [(owner_id, rule) for owner_id, rule in told if rule["slug"] is None]
    for kind in KIND_ORDER:
        for owner_id, rule in whole:
            if rule["kind"] == kind:
                scope = [line for line in invoice.lines if owner_id in (None, line.owner_id)]
                invoice.apply(rule, None, scope, is_floor_due=_is_floor_due(rule, scope, is_closed=is_closed))
        if kind == "discount":
            invoice.discount("", list(invoice.lines), Fraction(payer["discount_rate"] or 0))


def _is_floor_due(rule: Row, scope: list[_Line], *, is_closed: bool) -> bool:
    """One's own floor is due also without any line in its scope, a public one only where there is one."""
    return not is_closed and (rule["owner_id"] is not None or bool(scope))


# ---- credits and the invoice -----------------------------------------------------------------------------------


def _pay_from_lots(
    lots: list[Row], left: Mapping[str, int], unpaid: dict[str, int], scoped_first: bool
) -> dict[str, int]:
    """What every lot pays, in the order of the lots, first of slugs that fewer of the scoped lots may pay."""
    unpaid = dict(unpaid)
    scopes = [scope for lot in lots if (scope := _scope(lot)) is not None]
    claims = {slug: sum(slug in scope for scope in scopes) for slug in unpaid}
    used = {}
    for lot in lots:
        scope = _scope(lot)
        slugs = [slug for slug in unpaid if scope is None or slug in scope]
        slugs.sort(key=lambda slug: (-claims[slug] if scoped_first else claims[slug], slug))
        budget = left[lot["grant_id"]]
        for slug in slugs:
            paid = min(budget, unpaid[slug])
            unpaid[slug] -= paid
            budget -= paid
        used[lot["grant_id"]] = left[lot["grant_id"]] - budget
    return used


def _scope(lot: Row) -> set[str] | None:
    return None if not lot["slugs"] else {slug.strip().lower() for slug in lot["slugs"].split(";")}


def _is_vat_number(country: str, number: str | None) -> bool:
    """Whether it is one: the wrong ones that are generated are German, those of other countries are believed."""
    if not number or country != "DE":
        return bool(number)
    digits = number.removeprefix("DE")
    if len(digits) != 9 or not digits.isdigit() or digits[0] == "0":
        return False
    check = 10  # ISO 7064, mod 11, 10
    for digit in digits[:8]:
        check = ((check + int(digit)) % 10 or 10) * 2 % 11
    return (11 - check) % 10 == int(digits[8])


def vat_rate(payer: Row) -> Fraction | None:
    """The rate that a French seller owes; None where nobody can say yet."""
    if payer["country"] not in COUNTRIES:
        return None
    if payer["country"] == "GF" or (payer["country"] == "FR" and payer["postcode"].startswith("97")):
        return _overseas_rate(payer)
    if payer["country"] == "FR":
        return Fraction(20, 100)
    if payer["country"] not in EU:
        return Fraction(0)
    if payer["kind"] == "consumer":
        return None if payer["vat_number"] else RATES_ABROAD[payer["country"]]
    return Fraction(0) if _is_vat_number(payer["country"], payer["vat_number"]) else None


def _overseas_rate(payer: Row) -> Fraction | None:
    """8.5 % for businesses where French VAT holds; nothing where it does not, which for consumers nobody confirmed."""
    is_untaxed = payer["country"] == "GF" or payer["postcode"].startswith(("973", "976"))
    if payer["kind"] == "consumer":
        return None if is_untaxed else Fraction(20, 100)
    if payer["vat_number"] and not payer["vat_number"].startswith("FR"):
        return None
    return Fraction(0) if is_untaxed else Fraction(85, 1000)


class _Ledger:
    """What is carried from month to month: lots, refills and who was parked."""

    def __init__(self) -> None:
        self.left: dict[str, int] = {}
        self.bills: dict[str, dict[str, Bill]] = {}
        self.parked: set[str] = set()
        self.runs: Carried = {}
        self.paid: set[tuple[str, str]] = set()  # what was once settled as paid stays so; a refund is a credit note's

    def paid_refills(self, payments: list[Row], payer: Row, reached: Counter[str]) -> tuple[int, int]:
        """Refills that are paid, and those that are pending."""
        paid = pending = 0
        for month, bills in self.bills.items():
            if bill := bills.get(payer["owner_id"]):
                told = [row for row in payments if row["reference"] == f"{payer['owner_id']}/{month}"]
                received = sum(
                    minor_units(row["amount"], payer["currency"])
                    * {"succeeded": 1, "refunded": -1, "failed": 0}[row["outcome"]]
                    for row in told
                )
                if received >= bill.payable or (month, bill.payer_id) in self.paid:
                    self.paid.add((month, bill.payer_id))
                    paid += bill.h
                else:
                    pending += bill.h
                reached["refill paid"] += bill.h > 0 and received >= bill.payable
                reached["refill pending"] += bill.h > 0 and received < bill.payable
                reached["paid to the last cent"] += bill.payable == received > 0
                reached["paid one cent less"] += bill.payable == received + 1
                reached["paid in parts"] += len(told) > 1
        return paid, pending

    def recurring_before(self, payer_id: str) -> list[int]:
        """The recurring parts of the statements so far, newest first."""
        return [bills[payer_id].recurring for bills in reversed(self.bills.values()) if payer_id in bills]


def _forecast(recurring: int, before: list[int], rules: list[Row], currency: str, name: str, plan: Provision) -> int:
    """What the next month will cost."""
    match plan.strategy:
        case "same_as_last_month":
            return recurring
        case "daily_rate":
            start, end = month_bounds(name)
            days, next_days = (end - start) // DAY, calendar.monthrange(*_next(name))[1]
            return round_half_away(Fraction(recurring * next_days, days))
        case "mean_of_three":
            told = [recurring, *before[:2]]
            return round_half_away(Fraction(sum(told), len(told)))
        case "committed":
            committed = [minor_units(rule["amount"], currency) for rule in rules if rule["kind"] == "commitment"]
            return sum(committed) if committed else recurring
    raise NotTaughtError(f"strategy {plan.strategy}")


def _next(name: str) -> tuple[int, int]:
    year, number = map(int, name.split("-"))
    return (year, number + 1) if number < 12 else (year + 1, 1)


@dataclass(frozen=True)
class _Books:
    """What every statement of one month is made from."""

    ledger: _Ledger
    organisations: Organisations
    rules: SpendRules
    name: str
    month: Piece
    as_of: int
    plan: Provision
    reached: Counter[str]
    grants: Mapping[str, list[Row]]
    agreements: Mapping[str, list[Row]]
    payments: Mapping[str, list[Row]]


def _lots_of_month(grants: list[Row], ledger: _Ledger, month: Piece, currency: str) -> tuple[list[Row], dict[str, int]]:
    """The free lots that may pay in a month and have something left, in their order."""
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
    left = {row["grant_id"]: ledger.left.get(row["grant_id"], minor_units(row["amount"], currency)) for row in lots}
    return [row for row in lots if left[row["grant_id"]]], left


def _note_lots(lots: list[Row], printed: list[Lot], month: Piece, reached: Counter[str]) -> None:
    for row, lot in zip(lots, printed, strict=True):
        what = "scoped" if row["slugs"] else "open"
        use = "whole" if lot.used == -lot.left_before else "partly" if lot.used else "not"
        reached[f"{what} credit used {use}"] += 1
        reached[f"{what} credit expires"] += bool(lot.expired)
        reached["credit ends exactly with the month"] += row["expires_at"] == month[1]
        reached["credit ends right after the month's start"] += row["expires_at"] == month[0] + 1
        reached["credit starts inside the month"] += month[0] < row["starts_at"]


def _printed(key: LineKey) -> tuple[object, ...]:
    """The order of lines on paper, which decides whose share of a discount takes a cent that nobody has a claim to."""
    return key.owner_id != key.payer_id, key.owner_id, key.slug, key.resource_id, key


def _statement(payer: Row, charges: list[Charge], books: _Books, rate: Fraction) -> Bill:
    payer_id, currency, reached = payer["owner_id"], payer["currency"], books.reached
    ends = payer["closed_on"] and instant(datetime(*payer["closed_on"].timetuple()[:3], tzinfo=UTC))
    # who has closed, or is paid for by another as the month ends, is provided for no more
    is_closed = (ends is not None and ends < books.month[1]) or payer["payer_id"] is not None
    charges = sorted(charges, key=lambda charge: _printed(charge.key))
    rules = [rule for rule in books.rules.of_payer(payer) if rule["kind"] != "free_quantity"]
    owners = {charge.key.owner_id for charge in charges} - {payer_id}
    sub_rules = {
        owner_id: [rule for rule in books.rules.of_sub_organisation(owner_id) if rule["kind"] != "free_quantity"]
        for owner_id in owners
    }
    invoice = _Invoice(charges, currency, reached)
    _adjust(invoice, payer, rules, sub_rules, is_closed=is_closed)
    fees = invoice.total(invoice.lines)
    recurring = sum(line.cents for line in invoice.lines if line.recurring)
    unpaid: dict[str, int] = defaultdict(int)
    for line in invoice.lines:
        unpaid[line.slug] += line.cents

    grants = books.grants.get(payer_id, [])
    lots, left = _lots_of_month(grants, books.ledger, books.month, currency)
    used = _pay_from_lots(lots, left, unpaid, scoped_first=False)
    printed = []
    for lot in lots:
        remaining = left[lot["grant_id"]] - used[lot["grant_id"]]
        is_over = is_closed or (lot["expires_at"] is not None and lot["expires_at"] <= books.month[1])
        expired = -remaining if is_over else 0
        printed.append(Lot(lot["grant_id"], left[lot["grant_id"]], -used[lot["grant_id"]], expired))
        books.ledger.left[lot["grant_id"]] = printed[-1].left_after
    _note_lots(lots, printed, books.month, reached)

    paid, pending = books.ledger.paid_refills(books.payments.get(payer_id, []), payer, reached)
    opening = sum(
        minor_units(row["amount"], currency)
        for row in grants
        if row["kind"] == "prepaid" and row["starts_at"] < books.month[1]
    )
    spent = sum(bills[payer_id].e for bills in books.ledger.bills.values() if payer_id in bills)
    a, b, g = sum(left.values()), opening + spent + paid, pending
    c = sum(lot.used for lot in printed)
    d = sum(lot.expired for lot in printed)
    e = -min(b, fees + c)
    before = books.ledger.recurring_before(payer_id)
    committing = rules + [rule for own in sub_rules.values() for rule in own]
    f = 0 if is_closed else -_forecast(recurring, before, committing, currency, books.name, books.plan)
    h = 0 if is_closed else max(0, -(a + b + c + d + e + f + g))
    is_custom = False
    if len(before) < books.plan.from_month and not is_closed:
        h, is_custom = 0, True
        reached["month without provision"] += 1
    for agreed in books.agreements.get(payer_id, []):
        h, is_custom = minor_units(agreed["amount"], currency), True
    bill = Bill(
        payer_id,
        tuple(charges),
        tuple(invoice.adjustments),
        recurring,
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
        is_custom,
        rate,
        is_order_felt=used != _pay_from_lots(lots, left, unpaid, scoped_first=True),
    )
    _note_bill(bill, payer, is_closed=is_closed, reached=reached)
    return bill


def _note_bill(bill: Bill, payer: Row, *, is_closed: bool, reached: Counter[str]) -> None:
    reached["closed organisation"] += is_closed
    reached["order of scoped credits is felt"] += bill.is_order_felt
    reached["more fees than credits"] += bill.fees + bill.c + bill.e > 0 and bill.before > 0
    reached["prepaid spent"] += bill.e < 0
    reached["prepaid kept"] += bill.b + bill.e > 0
    reached["no refill needed"] += bill.h == 0 and bill.f < 0
    reached["custom refill"] += bill.is_custom
    reached["nothing to pay"] += bill.is_due and bill.payable == 0
    reached["only credits"] += bill.is_due and not bill.charges
    reached["fees that do not come again"] += bill.recurring < bill.fees
    reached[f"VAT {float(bill.vat_rate):.1%}"] += bill.is_due
    reached["discount over the whole invoice"] += any(not each.rule_id for each in bill.adjustments)
    reached[f"invoice in {payer['currency']}"] += bill.is_due


# ---- months ----------------------------------------------------------------------------------------------------


def _unprecise(payer: Row, books: _Books) -> set[str]:
    """What is wrong with the credits of a payer."""
    reasons = set()
    grants = books.grants.get(payer["owner_id"], [])
    if any(grant["currency"] != payer["currency"] for grant in grants):
        return {"currency"}
    try:
        for row in grants + books.agreements.get(payer["owner_id"], []):
            minor_units(row["amount"], payer["currency"])
    except UnpreciseError:
        reasons.add("amount_precision")
    return reasons


def _by_owner(rows: Iterable[Row], key: str = "owner_id") -> dict[str, list[Row]]:
    of_owner: dict[str, list[Row]] = defaultdict(list)
    for row in rows:
        of_owner[row[key]].append(row)
    return of_owner


def _books(name: str, seen: Seen, ledger: _Ledger, rating: Rating, known_at: int, plan: Provision) -> _Books:
    payments: dict[str, list[Row]] = defaultdict(list)
    for row in seen.rows["payments"]:
        if row["received_at"] <= known_at:
            payments[row["reference"].rpartition("/")[0]].append(row)
    return _Books(
        ledger,
        rating.organisations,
        rating.rules,
        name,
        month_bounds(name),
        known_at,
        plan,
        rating.reached,
        _by_owner(seen.rows["credit_grants"]),
        _by_owner(row for row in seen.rows["refill_agreements"] if row["billing_month"] == name),
        payments,
    )


def _payers(books: _Books, charged: Iterable[str]) -> Iterator[Row]:
    """Who may get a bill: who pays for himself as the month ends, and who has a line of his own in it."""
    charged = set(charged)
    for owner_id in sorted(books.organisations.versions):
        if books.organisations.starts[owner_id][0] < books.month[1]:
            payer = books.organisations.invoiced(owner_id, books.month, books.as_of)
            if not payer["payer_id"] or owner_id in charged:
                yield payer


def _sub_organisations(books: _Books) -> dict[str, list[str]]:
    """Who is paid for by whom as the month ends."""
    subs: dict[str, list[str]] = defaultdict(list)
    last = books.month[1] - 1
    for owner_id, starts in books.organisations.starts.items():
        if starts[0] <= last and (payer_id := books.organisations.at(owner_id, last)["payer_id"]):
            subs[payer_id].append(owner_id)
    return subs


def _reasons_to_park(payer: Row, owner_ids: list[str], books: _Books) -> set[str]:
    reasons = books.rules.reasons_to_park(payer, owner_ids) | _unprecise(payer, books)
    if payer["owner_id"] in books.ledger.parked:
        reasons.add("predecessor_parked")
    if not payer["name"]:
        reasons.add("name_length")
    return reasons


def _bill_month(name: str, seen: Seen, ledger: _Ledger, known_at: int, plan: Provision) -> Month:
    rating = Rating(seen, month_bounds(name), ledger.runs)
    charges, parked = rating.charges(), rating.parked
    ledger.runs = rating.carried
    books = _books(name, seen, ledger, rating, known_at, plan)
    of_payer: dict[str, list[Charge]] = defaultdict(list)
    for charge in charges:
        of_payer[charge.payer_id].append(charge)
    subs = _sub_organisations(books)
    bills = {}
    for payer in _payers(books, of_payer):
        payer_id = payer["owner_id"]
        if reasons := _reasons_to_park(payer, subs[payer_id], books):
            parked[payer_id] |= reasons
        if payer_id in parked:
            continue
        rate = vat_rate(payer)
        statement = _statement(payer, of_payer[payer_id], books, rate or Fraction(0))
        if rate is None and (statement.is_due or payer_id in rating.asked_beside):
            parked[payer_id].add("tax_unknown")
        elif statement.is_due:
            bills[payer_id] = statement
    ledger.bills[name] = bills
    ledger.parked |= set(parked)
    rating.reached.update(f"parked {reason}" for reasons in parked.values() for reason in reasons)
    rating.reached.update(f"quarantined {reason}" for *_, reason in seen.quarantined)
    return Month(name, tuple(charges), bills, dict(parked), seen.quarantined, dict(rating.unusable), rating.reached)


def bill_months(
    landing: Path,
    months: Sequence[str],
    as_of: Mapping[str, datetime] | None = None,
    plan: Provision | None = None,
) -> dict[str, Month]:
    """Bill the months in order, each on the one before; without `as_of` a month closes two days after its end."""
    ledger, billed = _Ledger(), {}
    for name in months:
        known_at = instant(as_of[name]) if as_of else month_bounds(name)[1] + GRACE
        billed[name] = _bill_month(name, see(landing, known_at), ledger, known_at, plan or Provision())
    return billed

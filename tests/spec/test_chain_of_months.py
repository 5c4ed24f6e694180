"""Many organisations over many months, against a plain reference that knows one organisation and no frames.

The pipeline settles all payers at once in whole cents; the reference walks through the same history payer by payer in
decimal euros. They share nothing but the history, and must agree on every letter of every statement.
"""

import calendar
import random
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from decimal import ROUND_HALF_UP, Decimal
from fractions import Fraction

import polars as pl
from hypothesis import Phase, settings
from hypothesis import given as draw
from hypothesis import strategies as st

from billing_pipeline.adapters.vat_rates import read_vat_rates
from billing_pipeline.rules.balances import (
    carry_refills,
    current_organisations,
    enter_grants,
    open_accounts,
    open_lots,
)
from billing_pipeline.rules.credits import settle_credits
from billing_pipeline.rules.equations import lines_make_fees, lines_make_invoices
from billing_pipeline.rules.interim import billed_by_period
from billing_pipeline.rules.invoicing import draft_invoices
from billing_pipeline.rules.parties import Seller
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.provisioning import Strategy, provision_accounts
from billing_pipeline.rules.spending import adjust_charges, assign_spend_rules, commitments
from billing_pipeline.rules.tax import decide_taxes
from billing_pipeline.tables.corrections import CorrectionLines
from billing_pipeline.tables.invoices import SpecificDrafts

FIRST = Month.parse("2026-01")
RATES = read_vat_rates()
SLUGS = ("apps.s", "cellar.storage", "postgresql.xs_sml")
#: Also what tops up everything.
EVERY_SLUG = [*SLUGS, "minimum", "commitment"]
CENT = Decimal("0.01")


@dataclass
class Grant:
    euros: Decimal
    kind: str = "free"
    priority: int = 1
    lasts_days: int | None = None
    slugs: str | None = None
    by_sub_organisation: bool = False


@dataclass
class Happening:
    """What one payer does in one month."""

    lines: list[tuple[str, Decimal, bool]] = field(default_factory=list)
    grants: list[Grant] = field(default_factory=list)
    #: Months whose invoice receives half of what it asks, rounded up, once per mention; negative: a cent is refunded.
    payments: list[int] = field(default_factory=list)
    custom: Decimal | None = None


#: Per payer its months.
History = list[list[Happening]]


@dataclass(frozen=True)
class Rule:
    """A spend rule that always holds: of everyone, of one payer, or of that payer's sub-organisation."""

    kind: str
    slug: str | None
    euros: Decimal | None = None
    rate: Decimal | None = None
    payer: int | None = None
    is_subs: bool = False

    @property
    def owner_id(self) -> str | None:
        return None if self.payer is None else f"sub-p{self.payer}" if self.is_subs else f"p{self.payer}"


@dataclass(frozen=True)
class Plan:
    """What the provider set up."""

    rules: tuple[Rule, ...] = ()
    #: The discount of the own row of every second payer.
    discount: Decimal = Decimal(0)
    strategy: Strategy = Strategy.SAME_AS_LAST_MONTH
    from_month: int = 0


NO_PLAN = Plan()


# The reference: one payer, decimal euros, no frames.


@dataclass
class Line:
    slug: str
    euros: Decimal
    recurring: bool
    is_subs: bool = False


def used_lines(happening: Happening) -> list[Line]:
    """In printed order: every second line is the sub-organisation's, which come last."""
    ranked = sorted(enumerate(happening.lines), key=lambda line: (line[0] % 2, line[1][0], line[0]))
    return [Line(slug, euros, recurring, rank % 2 == 1) for rank, (slug, euros, recurring) in ranked]


def under_rules(payer: int, happening: Happening, plan: Plan) -> list[Line]:
    """The lines of one payer after all rules."""
    lines = used_lines(happening)
    own = [rule for rule in plan.rules if rule.payer == payer]
    for is_whole in (False, True):
        for kind in ("rate", "amount", "own discount", "maximum", "minimum", "commitment"):
            if kind == "own discount" and is_whole and payer % 2:
                lower(lines, half_away(sum((line.euros for line in lines), Decimal(0)) * plan.discount))
            for is_subs in (True, False):
                rules = [rule for rule in own if rule.is_subs == is_subs]
                if not is_subs:
                    rules += [rule for rule in plan.rules if rule.payer is None and not replaces(own, rule)]
                for rule in rules:
                    if (rule.slug is None) == is_whole and kind in (rule.kind, *parts(rule)):
                        apply(rule, kind, lines, own)
    return lines


def parts(rule: Rule) -> list[str]:
    if rule.kind != "discount":
        return []
    return ["rate"] * (rule.rate is not None) + ["amount"] * (rule.euros is not None)


def replaces(own: list[Rule], public: Rule) -> bool:
    return any((rule.kind, rule.slug, rule.is_subs) == (public.kind, public.slug, False) for rule in own)


def scope_of(rule: Rule, lines: list[Line], own: list[Rule]) -> list[Line]:
    """A rule of the sub-organisation takes its lines out of the public one."""
    has_own = any((one.kind, one.slug, one.is_subs) == (rule.kind, rule.slug, True) for one in own)
    return [
        line
        for line in lines
        if rule.slug in (None, line.slug)
        and (line.is_subs or not rule.is_subs)
        and not (rule.payer is None and line.is_subs and has_own)
    ]


def apply(rule: Rule, kind: str, lines: list[Line], own: list[Rule]) -> None:
    scope = scope_of(rule, lines, own)
    whole = sum((line.euros for line in scope), Decimal(0))
    match kind:
        case "rate":
            lower(scope, half_away(whole * rule.rate))
        case "amount":
            lower(scope, min(whole, rule.euros))
        case "maximum":
            lower(scope, max(Decimal(0), whole - rule.euros))
        case "minimum" | "commitment" if whole < rule.euros and (scope or rule.payer is not None):
            lines.append(Line(rule.slug or kind, rule.euros - whole, recurring=True, is_subs=rule.is_subs))


def half_away(euros: Decimal) -> Decimal:
    return euros.quantize(CENT, ROUND_HALF_UP)


def lower(scope: list[Line], euros: Decimal) -> None:
    """Largest remainder, in whole cents, earlier lines first among equals."""
    whole = sum((line.euros for line in scope), Decimal(0))
    if not euros:
        return
    exact = [Fraction(euros) * 100 * Fraction(line.euros) / Fraction(whole) for line in scope]
    shares = [int(part) for part in exact]
    for place in sorted(range(len(scope)), key=lambda place: (shares[place] - exact[place], place)):
        if sum(shares) < euros * 100:
            shares[place] += 1
    for line, share in zip(scope, shares, strict=True):
        line.euros -= Decimal(share) / 100


@dataclass
class Lot:
    grant_id: str
    left: Decimal
    priority: int
    starts: datetime
    ends: datetime | None
    slugs: list[str]


class Account:
    """One payer's credits, walked through month by month."""

    def __init__(self, payer: int, plan: Plan) -> None:
        self.payer = payer
        self.plan = plan
        #: What recurred in the months in which something was due.
        self.recurred: list[Decimal] = []
        self.prepaid = Decimal(0)
        self.lots: list[Lot] = []
        #: Per month the refill and what its invoice asks, until that is received.
        self.asked: dict[int, tuple[Decimal, Decimal]] = {}
        self.received: dict[int, Decimal] = {}

    def receive(self, payments: list[int]) -> None:
        for target in payments:
            month = abs(target)
            if month in self.asked:
                self.received[month] += half(self.asked[month][1]) if target >= 0 else -CENT
        for month, (refill, payable) in list(self.asked.items()):
            if self.received[month] >= payable:
                self.prepaid += refill
                del self.asked[month]

    def take_in(self, number: int, grants: list[Grant]) -> None:
        for rank, grant in enumerate(grants):
            if grant.kind == "prepaid":
                self.prepaid += grant.euros
            else:
                start = starts_at(number)
                ends = start + timedelta(days=grant.lasts_days) if grant.lasts_days else None
                slugs = grant.slugs.split(";") if grant.slugs else EVERY_SLUG
                grant_id = f"p{self.payer}-{number}-{rank}"
                self.lots.append(Lot(grant_id, grant.euros, grant.priority, start, ends, slugs))

    def pay_freely(self, lines: list[Line]) -> Decimal:
        """What the lots leave unpaid."""
        scoped = [slug for lot in self.lots if lot.left and lot.slugs != EVERY_SLUG for slug in lot.slugs]
        unpaid = sorted(([line.slug, line.euros] for line in lines), key=lambda line: (scoped.count(line[0]), line[0]))
        eternity = datetime.max.replace(tzinfo=UTC)
        for lot in sorted(self.lots, key=lambda lot: (lot.priority, lot.ends or eternity, lot.starts, lot.grant_id)):
            for line in unpaid:
                if line[0] in lot.slugs:
                    part = min(lot.left, line[1])
                    lot.left -= part
                    line[1] -= part
        return sum((euros for _, euros in unpaid), Decimal(0))

    def let_lapse(self, end: datetime) -> Decimal:
        lapsed = [lot for lot in self.lots if lot.ends and lot.ends <= end]
        self.lots = [lot for lot in self.lots if lot not in lapsed]
        return sum((lot.left for lot in lapsed), Decimal(0))

    def estimate(self, number: int, recurring: Decimal, used: list[Line]) -> Decimal:
        match self.plan.strategy:
            case Strategy.DAILY_RATE:
                this, following = (calendar.monthrange(2026 + n // 12, n % 12 + 1)[1] for n in (number, number + 1))
                return (recurring * following / this).quantize(CENT, ROUND_HALF_UP)
            case Strategy.MEAN_OF_THREE:
                lately = [recurring, *self.recurred[::-1][:2]]
                return (sum(lately) / len(lately)).quantize(CENT, ROUND_HALF_UP)
            case Strategy.COMMITTED:
                own = [rule for rule in self.plan.rules if rule.payer == self.payer]
                rules = [rule for rule in self.plan.rules if rule.payer is None and not replaces(own, rule)]
                floors = [rule for rule in own if rule.kind in ("minimum", "commitment")]
                lines = used + [Line(rule.slug or rule.kind, Decimal(0), True, rule.is_subs) for rule in floors]
                rules = [rule for rule in rules if scope_of(rule, lines, own)] + own
                committed = [rule.euros for rule in rules if rule.kind == "commitment"]
                return sum(committed) if committed else recurring
        return recurring

    def free(self) -> Decimal:
        return sum((lot.left for lot in self.lots), Decimal(0))

    def close(self, number: int, happening: Happening) -> dict[str, Decimal]:
        """The month's printed letters."""
        self.receive(happening.payments)
        self.take_in(number, happening.grants)
        free, prepaid = self.free(), self.prepaid
        lines = under_rules(self.payer, happening, self.plan)
        fees = sum((line.euros for line in lines), Decimal(0))
        unpaid = self.pay_freely(lines)
        expired = self.let_lapse(starts_at(number + 1))
        spent = min(self.prepaid, unpaid)
        self.prepaid -= spent
        held = self.free() + self.prepaid
        recurring = sum((line.euros for line in lines if line.recurring), Decimal(0))
        estimate = self.estimate(number, recurring, used_lines(happening))
        pending = sum((refill for refill, _ in self.asked.values()), Decimal(0))
        refill = (
            max(Decimal(0), estimate - held - pending) if len(self.recurred) >= self.plan.from_month else Decimal(0)
        )
        refill = refill if happening.custom is None else happening.custom
        if lines or free + prepaid or refill:
            self.recurred.append(recurring)
        subtotal = unpaid - spent + refill
        payable = subtotal + (subtotal * Decimal("0.2")).quantize(CENT, ROUND_HALF_UP)
        if refill:
            self.asked[number], self.received[number] = (refill, payable), Decimal(0)
        return {
            "fees_cents": fees,
            "free_before_cents": free,
            "prepaid_before_cents": prepaid,
            "balance_before_cents": free + prepaid,
            "free_used_cents": unpaid - fees,
            "free_expired_cents": -expired,
            "prepaid_used_cents": -spent,
            "forecast_cents": -estimate,
            "pending_cents": pending,
            "refill_cents": refill,
            "balance_after_cents": held + refill,
            "change_cents": held + refill - free - prepaid,
            "subtotal_cents": subtotal,
            "payable_cents": payable,
        }


def starts_at(number: int) -> datetime:
    return datetime(2026 + number // 12, number % 12 + 1, 1, tzinfo=UTC)


def line_id(payer: int, number: int, rank: int) -> str:
    return f"{payer:010d}{number:010d}{rank:012d}"


def half(euros: Decimal) -> Decimal:
    return (euros / 2).quantize(CENT, ROUND_HALF_UP)


# The pipeline: all payers, months in a chain.


@dataclass
class Billed:
    statements: pl.DataFrame
    drafts: pl.DataFrame
    lots: pl.DataFrame
    movements: pl.DataFrame
    refills: pl.DataFrame
    nothing_due: list[str]


def bill_history(given, histories: History, plan: Plan = NO_PLAN) -> list[Billed]:
    """Close month after month, each from its predecessor's tables and everything that has landed."""
    spend_rules = given.spend_rules(*(rule_row(number, rule) for number, rule in enumerate(plan.rules)))
    payers = [f"p{payer}" for payer in range(len(histories))]
    subs = [{"owner_id": f"sub-{payer}", "payer_id": payer} for payer in payers]
    seller = Seller(name="Nuage", address=(), country="FR")
    grants, payments, months = [], [], []
    previous = Billed(given.statements(), pl.DataFrame(), given.carried_lots(), given.movements(), given.refills(), [])
    opened_grants = given.opened()
    payable: dict[tuple[int, int], int] = {}
    month = FIRST
    for number in range(len(histories[0])):
        period = given.period(str(month))
        organisations = given.organisations(
            *(
                {**row, "valid_from": period.start, "valid_to": period.end}
                for row in [
                    {"owner_id": p, "discount_ppm": int(plan.discount * 10**6) if number % 2 else 0}
                    for number, p in enumerate(payers)
                ]
                + subs
            )
        )
        happenings = [history[number] for history in histories]
        # What was granted before is sent again with twice the amount: it must not matter.
        grants = [row | {"granted_cents": row["granted_cents"] * 2} for row in grants]
        grants += [row for payer, happening in enumerate(happenings) for row in grant_rows(payer, number, happening)]
        payments += [
            row for payer, happening in enumerate(happenings) for row in payment_rows(payer, number, happening, payable)
        ]
        charges = given.charges(
            *(
                {
                    "payer_id": f"p{payer}", "line_id": line_id(payer, number, rank), "slug": slug,
                    "charge_cents": int(euros * 100), "is_recurring": recurring, "resource_id": f"r{rank:03d}",
                    "owner_id": f"sub-p{payer}" if rank % 2 else f"p{payer}",
                }
                for payer, happening in enumerate(happenings)
                for rank, (slug, euros, recurring) in enumerate(happening.lines)
            )
        )  # fmt: skip
        current = current_organisations(organisations)
        granted = given.grants(*grants)
        entered = enter_grants(granted, opened_grants, current, period)
        assert entered.problems.is_empty()
        opened_grants = entered.opened
        invoices = [
            {"payer_id": payer, "billing_month": asked_in, "number": f"INV-{payer}-{asked_in}"}
            for payer, asked_in in previous.refills.select("payer_id", "billing_month").iter_rows()
            if asked_in < str(month.previous)
        ]
        accounts = open_accounts(
            previous.statements,
            previous.lots,
            previous.refills,
            opened_grants,
            given.payments(*payments),
            given.refill_invoices(*invoices),
            given.agreements(
                *(
                    {"owner_id": f"p{payer}", "refill_cents": int(happening.custom * 100)}
                    for payer, happening in enumerate(happenings)
                    if happening.custom is not None
                )
            ),
            organisations,
            period,
        )
        assert accounts.problems.is_empty()
        assigned = assign_spend_rules(spend_rules, charges, current)
        assert assigned.problems.is_empty()
        fees, adjustments, _ = adjust_charges(charges, assigned.rules, current, period)
        lots = open_lots(previous.lots, opened_grants, granted, accounts.takeovers, period)
        provisioned = provision_accounts(
            accounts.accounts,
            fees,
            commitments(assigned.rules),
            plan.strategy,
            plan.from_month,
            period,
            billed_by_period(current),
        )
        settled = settle_credits(fees, lots, provisioned, period)
        vat = decide_taxes(current, seller, RATES, month.last_day)
        none = CorrectionLines.create_empty()
        basis = given.basis(payers)
        drafted = draft_invoices(charges, adjustments, settled.statements, current, vat, basis, period, none)
        assert drafted.parked.is_empty()
        assert lines_make_fees(charges, adjustments, settled.statements, none).holds
        assert lines_make_invoices(drafted.lines, drafted.drafts).holds
        previous = Billed(
            settled.statements,
            drafted.drafts,
            settled.lots,
            pl.concat([accounts.movements, settled.movements]),
            carry_refills(accounts.refills, settled.statements, drafted.drafts, SpecificDrafts.create_empty()),
            drafted.nothing_due,
        )
        for payer, cents in drafted.drafts.select("payer_id", "payable_cents").iter_rows():
            payable[int(payer[1:]), number] = cents
        months.append(previous)
        month = month.next
    return months


def rule_row(number: int, rule: Rule) -> dict:
    return {
        "rule_id": f"rule-{number}",
        "kind": rule.kind,
        "slug": rule.slug,
        "owner_id": rule.owner_id,
        "amount_cents": None if rule.euros is None else int(rule.euros * 100),
        "rate_ppm": None if rule.rate is None else int(rule.rate * 10**6),
    }


def grant_rows(payer: int, number: int, happening: Happening) -> list[dict]:
    return [
        {
            "grant_id": f"p{payer}-{number}-{rank}",
            "owner_id": f"sub-p{payer}" if grant.by_sub_organisation else f"p{payer}",
            "kind": grant.kind,
            "granted_cents": int(grant.euros * 100),
            "starts_at": starts_at(number),
            "expires_at": starts_at(number) + timedelta(days=grant.lasts_days)
            if grant.lasts_days is not None
            else None,
            "priority": grant.priority,
            "slugs": grant.slugs,
        }
        for rank, grant in enumerate(happening.grants)
    ]


def payment_rows(payer: int, now: int, happening: Happening, payable: dict[tuple[int, int], int]) -> list[dict]:
    """Older invoices are paid by their number, the last one by payer and month; every second payment is a sub's."""
    return [
        {
            "owner_id": f"sub-p{payer}" if abs(target) % 2 else f"p{payer}",
            "invoice_number": f"INV-p{payer}-{month_of(abs(target))}" if now - abs(target) >= 2 else None,
            "reference": f"p{payer}/{month_of(abs(target))}",
            "paid_cents": (payable[payer, abs(target)] + 1) // 2 if target >= 0 else 1,
            "outcome": "succeeded" if target >= 0 else "refunded",
        }
        for target in happening.payments
        if (payer, abs(target)) in payable
    ]


def month_of(number: int) -> Month:
    return Month(2026 + number // 12, number % 12 + 1)


# The laws.


def assert_every_letter_agrees(months: list[Billed], histories: History, plan: Plan = NO_PLAN) -> None:
    for payer, happenings in enumerate(histories):
        account = Account(payer, plan)
        for number, (billed, happening) in enumerate(zip(months, happenings, strict=True)):
            letters = account.close(number, happening)
            is_payer = pl.col("payer_id") == f"p{payer}"
            row = billed.statements.row(by_predicate=is_payer, named=True)
            totals = billed.drafts.filter(is_payer).select("subtotal_cents", "payable_cents").to_dicts()
            if totals:
                row |= totals[0]
            else:
                assert f"p{payer}" in billed.nothing_due
                assert letters.pop("subtotal_cents") == letters.pop("payable_cents") == 0
            assert {name: Decimal(row[name]) / 100 for name in letters} == letters


def assert_nothing_is_made_or_lost(months: list[Billed], histories: History) -> None:
    """Money over the life of all payers, and every single credit lot."""
    booked = pl.concat(billed.movements for billed in months)
    grants = {
        f"p{payer}-{number}-{rank}": (grant.kind, int(grant.euros * 100))
        for payer, happenings in enumerate(histories)
        for number, happening in enumerate(happenings)
        for rank, grant in enumerate(happening.grants)
    }

    def moved(kind: str) -> int:
        return booked.filter(pl.col("kind").cast(pl.String) == kind)["amount_cents"].sum()

    def total(table: str, column: str) -> int:
        return sum(getattr(billed, table)[column].sum() for billed in months)

    last = months[-1]
    unspent = last.statements["prepaid_before_cents"].sum() + last.statements["prepaid_used_cents"].sum()
    brought = sum(cents for kind, cents in grants.values() if kind == "prepaid")
    pending = last.refills["refill_cents"].sum()
    assert unspent == brought + moved("settled") + moved("prepaid_used")
    assert pending == moved("refill") - moved("settled")
    assert total("drafts", "subtotal_cents") == (
        total("statements", "fees_cents") + total("statements", "free_used_cents") + unspent - brought + pending
    )
    left = dict(last.lots.select("grant_id", "left_after_cents").iter_rows())
    uses = booked.filter(pl.col("kind").cast(pl.String).is_in(["free_used", "free_expired"]))
    gone = dict(uses.group_by("grant_id").agg(pl.col("amount_cents").sum()).iter_rows())
    for grant, (kind, granted) in grants.items():
        if kind == "free":
            assert granted == -gone.get(grant, 0) + left.get(grant, 0)


euros = st.integers(0, 500_00).map(lambda cents: Decimal(cents) / 100)
scopes = st.sampled_from([None, *SLUGS, ";".join(SLUGS[:2])])
happenings = st.builds(
    Happening,
    lines=st.lists(st.tuples(st.sampled_from(SLUGS), euros, st.booleans()), max_size=3),
    grants=st.lists(
        st.builds(
            Grant,
            euros=euros,
            kind=st.sampled_from(["free", "free", "prepaid"]),
            priority=st.integers(1, 2),
            lasts_days=st.none() | st.integers(1, 100),
            slugs=scopes,
            by_sub_organisation=st.booleans(),
        ),
        max_size=2,
    ),
    payments=st.lists(st.integers(-3, 4), max_size=4),
    custom=st.none() | st.none() | euros,
)


@settings(max_examples=8)
@draw(
    histories=st.integers(2, 4).flatmap(
        lambda months: st.lists(st.lists(happenings, min_size=months, max_size=months), min_size=1, max_size=3)
    )
)
def test_any_short_history_agrees_with_the_reference(given, histories):
    months = bill_history(given, histories)
    assert_every_letter_agrees(months, histories)
    assert_nothing_is_made_or_lost(months, histories)


amounts = st.integers(0, 400_00).map(lambda cents: Decimal(cents) / 100)
rates = st.integers(0, 1_000_000).map(lambda ppm: Decimal(ppm) / 10**6)
rules = st.builds(
    lambda kind, slug, euros, rate, says, payer, is_subs: Rule(
        kind,
        slug,
        None if (kind, says) == ("discount", "rate") else euros,
        rate if kind == "discount" and says != "amount" else None,
        payer,
        payer is not None and is_subs,
    ),
    kind=st.sampled_from(["discount", "discount", "maximum", "minimum", "commitment"]),
    slug=st.sampled_from([None, None, *SLUGS]),
    euros=amounts,
    rate=rates,
    says=st.sampled_from(["rate", "amount", "both"]),
    payer=st.sampled_from([None, 0, 1]),
    is_subs=st.booleans(),
)
plans = st.builds(
    Plan,
    rules=st.lists(rules, max_size=8, unique_by=lambda rule: (rule.kind, rule.slug, rule.owner_id)).map(tuple),
    discount=rates,
    strategy=st.sampled_from(Strategy),
    from_month=st.integers(0, 2),
)


# Not shrunk: that takes minutes, and short histories can be read as they are.
@settings(max_examples=10, phases=(Phase.reuse, Phase.generate))
@draw(
    histories=st.lists(st.lists(happenings, min_size=3, max_size=3), min_size=2, max_size=2),
    plan=plans,
)
def test_any_short_history_under_any_rules_and_strategy_agrees_with_the_reference(given, histories, plan):
    months = bill_history(given, histories, plan)

    assert_every_letter_agrees(months, histories, plan)
    assert_nothing_is_made_or_lost(months, histories)


def random_happening(chance: random.Random, number: int) -> Happening:
    def some_euros(most: int) -> Decimal:
        return Decimal(chance.randint(0, most)) / 100

    return Happening(
        lines=[
            (chance.choice(SLUGS), some_euros(300_00), chance.random() < 0.9)
            for _ in range(chance.choice([0, 1, 2, 5]))
        ],
        grants=[
            Grant(
                some_euros(200_00),
                chance.choice(["free", "free", "free", "prepaid"]),
                chance.randint(1, 3),
                chance.choice([None, 1, 31, 45, 90]),
                chance.choice([None, None, *SLUGS, ";".join(SLUGS[1:])]),
                chance.random() < 0.3,
            )
            for _ in range(chance.choice([0, 0, 0, 1, 2]))
        ],
        payments=[
            target
            for month in range(number)
            for target in chance.choice([[], [month], [month, month], [month, month, -month], [-month]])
        ],
        custom=some_euros(400_00) if chance.random() < 0.05 else None,
    )


def test_a_year_of_a_hundred_payers_agrees_with_the_reference(given):
    chance = random.Random(2026)
    histories = [[random_happening(chance, number) for number in range(12)] for _ in range(100)]

    months = bill_history(given, histories)

    assert_every_letter_agrees(months, histories)
    assert_nothing_is_made_or_lost(months, histories)
    assert not months[-1].refills.is_empty(), "some refills are pending"
    assert any(billed.nothing_due for billed in months), "some month owes somebody nothing"
    kinds = {kind for billed in months for kind in billed.movements["kind"].cast(pl.String).unique()}
    assert kinds == {"opening", "settled", "free_used", "free_expired", "prepaid_used", "refill"}


def test_steady_use_that_is_always_paid_costs_the_same_every_month(given):
    """No shortfall and a refill of one month's fees, after a first invoice over twice the usage."""
    steady = [[Happening([("apps.s", Decimal("119.99"), True)], payments=[n - 1] * 2 if n else []) for n in range(6)]]

    months = bill_history(given, steady)

    subtotals = [billed.drafts["subtotal_cents"].item() for billed in months]
    assert subtotals == [239_98] + [119_99] * 5

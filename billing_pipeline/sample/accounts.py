"""Invents what the back office knows: coupons, opening balances, agreed refills, payments and one-off services."""

from datetime import UTC, datetime
from random import Random

from billing_pipeline.rules.period import Month, microseconds
from billing_pipeline.sample.landing import Row
from billing_pipeline.sample.organisations import Customer
from billing_pipeline.sample.usage import DAY, HOUR

#: name, amount, slugs, (days from the sample's start at which it starts, and ends); None: for ever.
_COUPONS: tuple[tuple[str, str, str | None, int, int | None], ...] = (
    ("Welcome credits", "20.00", None, -10, 80),
    ("Startup programme", "250.00", None, -60, 45),
    ("Hackathon Nantes", "50.00", None, 12, 26),
    ("Object storage launch", "30.00", "cellar.storage;cellar.outbound", -5, 61),
    ("Databases on us", "75.00", "postgresql.xs_sml;postgresql.s_sml;postgresql.m_sml", 3, None),
    ("Apology for the incident", "12.34", None, 33, None),
)

#: Amounts and estimates are not known to whoever writes the payments, for nothing has been billed yet. What a payer of
#: this size transfers therefore surely covers its invoice, with all its sub-organisations and the provision.
COVERING_PAYMENT = {"small": "1000.00", "medium": "6000.00", "large": "40000.00"}


def invent_accounts(customers: list[Customer], months: list[Month], rng: Random) -> dict[str, list[Row]]:
    """Rows of the feeds `credit_grants`, `refill_agreements`, `payments` and `one_shots`.

    Args:
        customers: who gets them; credits, refills and payments belong to payers alone.
        months: the months of the sample, in order.
        rng: where every draw comes from.
    """
    payers = [customer for customer in customers if customer.pays]
    start = _instant(months[0], 1)
    return {
        "credit_grants": [
            row for number, payer in enumerate(payers) for row in _credit_grants(number, payer, start, rng)
        ],
        "refill_agreements": _refill_agreements(payers, months),
        "payments": [row for number, payer in enumerate(payers) for row in _payments(number, payer, months, rng)],
        "one_shots": [
            row for number, customer in enumerate(customers) for row in _one_shots(number, customer, months, rng)
        ],
    }


def _credit_grants(number: int, payer: Customer, start: int, rng: Random) -> list[Row]:
    opened_at = microseconds(payer.opened_at)
    # The first payers have several coupons at once, so that the order of use shows.
    coupons = _COUPONS[:4] if number < 2 else rng.sample(_COUPONS, rng.randrange(3))
    rows = []
    for priority, (name, amount, slugs, first_day, last_day) in enumerate(coupons):
        starts_at = max(start + first_day * DAY, opened_at)
        rows.append(
            {
                "grant_id": f"coupon-{number:04d}-{priority}",
                "kind": "free",
                "name": name,
                "amount": amount,
                "starts_at": starts_at,
                "expires_at": None if last_day is None else max(start + last_day * DAY, starts_at + 30 * DAY),
                "priority": priority % 2,
                "slugs": slugs,
                "ingested_at": max(starts_at, start - 12 * HOUR),
            }
        )
    if number % 2 == 0 and opened_at < start:
        rows.append(
            {
                "grant_id": f"opening-{number:04d}",
                "kind": "prepaid",
                "name": "Opening balance",
                "amount": f"{rng.randrange(1_000, 60_000) // 100}.{rng.randrange(100):02d}",
                "starts_at": start - DAY,
                "priority": 0,
                "ingested_at": start - 12 * HOUR,
            }
        )
    return [row | {"owner_id": payer.owner_id, "currency": "EUR"} for row in rows]


def _refill_agreements(payers: list[Customer], months: list[Month]) -> list[Row]:
    """In the second month one payer refills nothing, another a round sum."""
    agreed = (
        (payers[1], "500.00", "Budget for the quarter, agreed by phone"),
        (payers[6], "0.00", "Pays in arrears while it moves its applications"),
    )
    return [
        {
            "owner_id": payer.owner_id,
            "billing_month": str(month),
            "amount": amount,
            "author": "J. Okonedo, accounts",
            "reason": reason,
            "ingested_at": _instant(month, 18),
        }
        for month in months[1:2]
        for payer, amount, reason in agreed
    ]


def _payments(number: int, payer: Customer, months: list[Month], rng: Random) -> list[Row]:
    """Seven payers in ten pay every month's invoice on the 8th of the next month; the others never do."""
    # The first payer always pays; the sixth is never billed, see `invent_customers`.
    pays = (number == 0 or rng.randrange(10) < 7) and number != 5
    rows = []
    for month in months[:-1] if pays else []:
        received_at = _instant(month.next, 8)
        payment = {
            "owner_id": payer.owner_id,
            "reference": f"{payer.payer_id}/{month}",
            "amount": COVERING_PAYMENT[payer.size],
            "currency": "EUR",
            "method_kind": ("sepa_debit", "card", "transfer")[number % 3],
        }
        # The first payer's first debit comes back; the second one, five days later, goes through.
        if number == 0 and month == months[0]:
            rows.append(
                payment
                | {"payment_id": f"pay-{month}-{number:04d}-returned", "outcome": "failed"}
                | {"failure": "AM04 insufficient funds", "received_at": received_at, "ingested_at": received_at + HOUR}
            )
            received_at += 5 * DAY
        rows.append(
            payment
            | {"payment_id": f"pay-{month}-{number:04d}", "outcome": "succeeded"}
            | {"received_at": received_at, "ingested_at": received_at + HOUR}
        )
    return rows


def _one_shots(number: int, customer: Customer, months: list[Month], rng: Random) -> list[Row]:
    """Support interventions now and then; a subscription of the large ones every month; one reduced service."""
    rows: list[Row] = []
    for month in months:
        if customer.size == "large":
            rows.append(
                {"description": "Premium support", "sub_description": "Subscription, per month"}
                | {"quantity": "1", "unit_price": "490.00", "recurring": True, "performed_at": _instant(month, 1)}
            )
        if rng.randrange(8) == 0:
            rows.append(
                {"description": "Support intervention", "sub_description": f"Ticket {rng.randrange(10**5):05d}, hours"}
                | {"quantity": rng.choice(("0.5", "1.25", "2")), "unit_price": "120.00", "recurring": False}
                | {"performed_at": _instant(month, rng.randrange(2, 27))}
            )
    if number == 2:
        rows.append(
            {"description": "Migration of a database", "quantity": "3", "unit_price": "333.33", "recurring": False}
            | {"discount_rate": "0.15", "performed_at": _instant(months[0], 11)}
        )
    served = (
        row
        for row in rows
        if microseconds(customer.opened_at) <= row["performed_at"]
        and (customer.closed_at is None or row["performed_at"] < microseconds(customer.closed_at))
    )
    return [
        row
        | {"owner_id": customer.owner_id, "currency": "EUR", "invoice": "monthly", "sells_credits": False}
        | {"ingested_at": row["performed_at"] + 3 * HOUR}
        for row in served
    ]


def _instant(month: Month, day: int) -> int:
    return microseconds(datetime(month.year, month.number, day, 9, 30, tzinfo=UTC))

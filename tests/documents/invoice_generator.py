"""Invoices drawn at random from a seed: the shapes that a month has, with names and amounts of every length."""

from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any

from billing_pipeline.documents.view import InvoiceView

NAMES = (
    "Atelier", "Nuage & Fils", "Łódź Analytics sp. z o.o.", "Société générale d'études œnologiques", "Ștefan Țepeș SRL",
    "AVATAR To Ty. We", "front-0x12 b: (A)", "Weiß <Strauß> \"Söhne\"", "Ærø Æg", "x",
)  # fmt: skip
WORDS = ("front", "back", "database", "queue", "worker-7", "api.v2", "Île", "cache", "ETL", "ßeta", "0x2f", "staging")
SERVICES = (
    ("apps.s", "runtime", "s"), ("apps.xl", "runtime", "s"), ("database.dev", "runtime", "s"),
    ("storage.standard", "stored", "byte_s"), ("egress.out", "moved", "byte"),
)  # fmt: skip


def _words(draw: Random, least: int, most: int) -> str:
    return " ".join(draw.choice(WORDS) for _ in range(draw.randint(least, most)))


def _line(draw: Random, owner: str) -> dict:
    slug, basis, unit = draw.choice(SERVICES)
    named = draw.random() < 0.8
    resource_id = f"{slug.split('.')[0]}_{draw.getrandbits(64):016x}"
    row = {
        "owner_id": owner, "owner_name": f"Lab {owner}", "resource_id": resource_id, "slug": slug, "basis": basis,
        "unit": unit, "resource_name": _words(draw, 1, 3) if named else resource_id,
        "zone": draw.choice(("par", "rbx", "mtl", "")),
        "quantity": draw.randint(1, 2_678_400 if unit == "s" else 10**16),
        "duration_s": draw.randint(1, 2_678_400), "amount_cents": draw.randint(0, 10 ** draw.randint(1, 7)),
    }  # fmt: skip
    if draw.random() < 0.1:
        row["line_discount_ppm"] = 50_000
    return row


def generate_view(month: Any, seed: int, lines_max: int = 12) -> InvoiceView:
    """A monthly invoice or draft in an empty `InvoiceMonth`; the same for the same seed."""
    draw = Random(seed)
    owners = ["orga_1", *(f"orga_{number}" for number in range(2, 2 + draw.choice((0, 0, 0, 1, 3))))]
    usage = [_line(draw, draw.choice(owners)) for _ in range(draw.randint(0, lines_max))]
    usage.sort(key=lambda line: (line["owner_id"] != "orga_1", line["owner_id"], line["slug"], line["resource_id"]))
    draft = {
        "name": draw.choice(NAMES), "address_line1": f"{draw.randint(1, 200)} rue {_words(draw, 1, 3)}",
        "city": draw.choice(("Nantes", "Saint-Denis-lès-Bourg", "București")),
        "postcode": f"{draw.randint(1000, 99999):05d}",
        "country": draw.choice(("FR", "FR", "DE", "RO")), "language": draw.choice(("en", "en", "fr")),
    }  # fmt: skip
    if draw.random() < 0.15:
        draft |= {"number": None, "issued_on": None, "due_on": None}
    else:
        draft["number"] = f"INV-2026-{draw.randint(1, 999_999):06d}"
    if draw.random() < 0.3:
        draft["purchase_order"] = f"PO-{draw.getrandbits(20)}"
    if draw.random() < 0.2:
        draft["vat_number"] = f"FR{draw.randint(10**10, 10**11 - 1)}"
    coupons = draw.choice((0, 0, 1, 2))
    free = [draw.randint(1, 10**6) for _ in range(coupons)]
    spent = sum(line["amount_cents"] for line in usage)
    month.bill(usage=usage, free=sum(free), prepaid=draw.choice((0, 0, draw.randint(1, 10**7))), **draft)
    used = min(sum(free), spent)
    for number, granted in enumerate(free):
        taken = min(granted, used)
        used -= taken
        expires_at = draw.choice((None, datetime(2027, 1, 1, tzinfo=UTC) + timedelta(days=draw.randint(0, 99))))
        month.coupon(f"{_words(draw, 1, 2)} {number}", granted, -taken, expires_at=expires_at)
    return month.view()

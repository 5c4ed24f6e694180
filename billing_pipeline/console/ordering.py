"""Charges that people enter: each is landed as a file of one row, under a name that its reference gives it."""

import hashlib
import json
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from decimal import Decimal
from pathlib import Path

from billing_pipeline.defs.billing import Billing

#: The source that these rows name: references are unique within it.
SOURCE = "support"

_FEED = "one_shots"
_GRAMMAR = {
    "owner_id": (r"[A-Za-z0-9_-]{1,64}", "1 to 64 of A-Z a-z 0-9 _ -"),
    "event_id": (r"[!-~]{1,128}", "1 to 128 printable ASCII characters without spaces"),
    "quantity": (r"[0-9]{1,18}(\.[0-9]{1,9})?", "a number such as 1 or 2.5, not below zero"),
    "unit_price": (r"[0-9]{1,18}(\.[0-9]{1,9})?", "an amount such as 49.90, not below zero"),
    "currency": (r"[A-Z]{3}", "a code such as EUR"),
    "description": (r"(?s).*\S.*", "a text"),
    "author": (r"(?s).*\S.*", "who enters it"),
}


class NotAnOrder(ValueError):
    """What was entered is no charge that could be billed."""


class ReferenceTaken(ValueError):
    """Another charge was entered under the same reference."""


@dataclass(frozen=True)
class Order:
    """A charge as somebody enters it."""

    owner_id: str
    description: str
    unit_price: str
    quantity: str
    currency: str
    performed_at: datetime
    is_recurring: bool
    is_specific: bool
    sells_credits: bool
    #: The external reference, under which it is entered once.
    event_id: str
    author: str
    #: When it is entered; its file lands on that day.
    entered_at: datetime

    def row(self) -> dict[str, str | bool]:
        """The row of the feed `one_shots`, but for when it was entered."""
        return {
            "event_id": self.event_id,
            "source": SOURCE,
            "owner_id": self.owner_id,
            "description": self.description,
            "performed_at": _instant(self.performed_at),
            "quantity": self.quantity,
            "unit_price": self.unit_price,
            "currency": self.currency,
            "recurring": self.is_recurring,
            "invoice": "specific" if self.is_specific or self.sells_credits else "monthly",
            "sells_credits": self.sells_credits,
            "author": self.author,
        }


def land_order(billing: Billing, order: Order) -> str:
    """Land a charge, and say so; entered once more it changes nothing (``ref_duplicate``).

    Raises:
        NotAnOrder: intake would refuse the row, or the month that would invoice it on its own is issued.
        ReferenceTaken: the reference has another charge.
    """
    _require_order(order)
    folder = billing.landing.root / _FEED
    name = hashlib.sha256(f"{SOURCE}/{order.event_id}".encode()).hexdigest()[:32]
    file = folder / f"arrival_date={order.entered_at.astimezone(UTC).date()}" / f"{SOURCE}-{name}.jsonl"
    for landed in sorted(folder.glob(f"arrival_date=*/{file.name}")):
        return _told_before(landed, order)
    _require_open_month(billing, order)
    row = order.row() | {"ingested_at": _instant(order.entered_at)}
    file.parent.mkdir(parents=True, exist_ok=True)
    being_written = file.with_name(f".{file.name}.tmp")
    being_written.write_text(json.dumps(row, ensure_ascii=False) + "\n", encoding="utf-8")
    being_written.replace(file)
    return f"{SOURCE}/{order.event_id} landed: {file}"


def _told_before(landed: Path, order: Order) -> str:
    before = json.loads(landed.read_text(encoding="utf-8"))
    wanted = order.row()
    differing = [name for name in wanted if before.get(name) != wanted[name]]
    if differing:
        message = (
            f"{SOURCE}/{order.event_id} is another charge already ({', '.join(differing)} differ): {landed}; "
            f"take another reference"
        )
        raise ReferenceTaken(message)
    return f"ref_duplicate: {SOURCE}/{order.event_id} landed before, nothing was written: {landed}"


def _require_order(order: Order) -> None:
    """Refuse what intake would put in quarantine.

    Raises:
        NotAnOrder: see `land_order`.
    """
    for name, (grammar, what) in _GRAMMAR.items():
        if not re.fullmatch(grammar, getattr(order, name), re.ASCII):
            message = f"{name} {getattr(order, name)!r} is not {what}"
            raise NotAnOrder(message)
    if int(Decimal(order.quantity)) * int(Decimal(order.unit_price)) > 999_999_999:
        message = f"{order.quantity} × {order.unit_price} is more than a line can hold"
        raise NotAnOrder(message)
    if order.performed_at > order.entered_at:
        message = f"it would be entered at {_instant(order.entered_at)}, before it is performed; give --at later"
        raise NotAnOrder(message)


def _require_open_month(billing: Billing, order: Order) -> None:
    """Refuse what would be invoiced on its own with a month that is issued: a late charge has no document.

    Raises:
        NotAnOrder: see `land_order`.
    """
    if not (order.is_specific or order.sells_credits):
        return
    for issued in billing.books.issued_months():
        period = billing.period(issued.month)
        if period.start <= order.performed_at < period.end:
            message = (
                f"{issued.month} is issued, so nothing of it is invoiced on its own any more; "
                f"give a --date in {billing.books.issued_months()[-1].month.next} or later"
            )
            raise NotAnOrder(message)


def _instant(instant: datetime) -> str:
    return instant.astimezone(UTC).isoformat(timespec="microseconds").replace("+00:00", "Z")

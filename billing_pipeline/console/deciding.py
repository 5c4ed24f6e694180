"""Decisions about issued documents that a credit note of the next month carries out."""

from datetime import datetime

from billing_pipeline.books import NotCancellable
from billing_pipeline.console.states import find_number
from billing_pipeline.defs.billing import Billing
from billing_pipeline.defs.cancellations import cancel_invoice


def cancel(billing: Billing, name: str, *, reason: str, author: str, at: datetime | None) -> str:
    """Decide that an invoice is cancelled, and say what follows.

    Args:
        billing: the home.
        name: a number, or `PAYER/MONTH` of a monthly invoice.
        reason: why.
        author: who decides it.
        at: from when on it counts; default: the last issue of a month or change of the invoice.

    Raises:
        NotIssued: nothing is called so.
        NotCancellable: it is a draft, or cannot be cancelled as it is.
    """
    decided = cancel_invoice(billing, _number(billing, name), reason=reason, author=author, at=at)
    return (
        f"{decided.number} is to be cancelled ({decided.author}: {decided.reason}; entry {decided.seq} of the books); "
        f"the next month that is closed as of {decided.at:%Y-%m-%dT%H:%M:%SZ} or later issues its credit note."
    )


def _number(billing: Billing, name: str) -> str:
    number = find_number(billing, name)
    if number is None:
        month = name.rpartition("/")[2]
        message = f"{name} is a draft, which is not cancelled but made again: billing close {month}"
        raise NotCancellable(message)
    return number

"""Decisions about issued documents that a credit note of the next month carries out."""

from collections.abc import Iterator
from datetime import datetime

from billing_pipeline.books import NotDecidable
from billing_pipeline.console.states import find_number
from billing_pipeline.defs.billing import Billing
from billing_pipeline.defs.decisions import cancel_invoice, find_issued, refund_credits, reissue_invoice


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
        NotDecidable: it is a draft, or cannot be cancelled as it is.
    """
    decided = cancel_invoice(billing, _number(billing, name), reason=reason, author=author, at=at)
    return (
        f"{decided.number} is to be cancelled ({decided.author}: {decided.reason}; entry {decided.seq} of the books); "
        f"the next month that is closed as of {decided.at:%Y-%m-%dT%H:%M:%SZ} or later issues its credit note."
    )


def reissue(billing: Billing, name: str, *, reason: str, author: str, at: datetime | None) -> str:
    """Decide that an invoice is issued again for the party, address and VAT of then, and say what follows.

    Args and errors as of `cancel`; only the invoice of a month that nobody paid is issued again.
    """
    decided = reissue_invoice(billing, _number(billing, name), reason=reason, author=author, at=at)
    return (
        f"{decided.number} is to be issued again ({decided.author}: {decided.reason}; entry {decided.seq} of the "
        f"books); the next month that is closed as of {decided.at:%Y-%m-%dT%H:%M:%SZ} or later issues its credit note "
        f"and the new invoice, with the address and VAT number that have landed by then."
    )


def refund(billing: Billing, name: str, *, reason: str, author: str, at: datetime | None) -> Iterator[str]:
    """Decide that unspent prepaid credits are refunded, and say what follows.

    Args:
        billing: the home.
        name: a number, `PAYER/MONTH` of a monthly invoice, or an organisation that closed.
        reason: why.
        author: who decides it.
        at: as for `cancel`.

    Raises:
        NotDecidable: nothing that an invoice sold is left unspent, or the organisation goes on.
    """
    is_number = "/" in name or find_issued(billing, name) is not None
    number = _number(billing, name) if is_number else name
    decided, elsewhere = refund_credits(billing, number, reason=reason, author=author, at=at)
    for entry in decided:
        yield (
            f"What nobody spent of the credits that {entry.number} sold is to be refunded ({entry.author}: "
            f"{entry.reason}; entry {entry.seq} of the books); the next month that is closed as of "
            f"{entry.at:%Y-%m-%dT%H:%M:%SZ} or later issues the credit note."
        )
    if elsewhere and not is_number:
        yield f"Left: {elsewhere:,} cents that no invoice here sold; whoever sold them gives them back."


def _number(billing: Billing, name: str) -> str:
    number = find_number(billing, name)
    if number is None:
        month = name.rpartition("/")[2]
        message = f"{name} is a draft, which is not cancelled but made again: billing close {month}"
        raise NotDecidable(message)
    return number

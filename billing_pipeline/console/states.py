"""The state of one document: its history as people read it, and the changes that somebody decides."""

from collections.abc import Iterator
from datetime import datetime

from billing_pipeline.books import NotIssued, invoices_of_months
from billing_pipeline.defs.billing import Billing, partition
from billing_pipeline.rules.lifecycle import Change, State, follow
from billing_pipeline.rules.period import Month


def tell_history(billing: Billing, name: str) -> Iterator[str]:
    """One line per change that took effect, the oldest first.

    Args:
        billing: the home.
        name: a number, or `PAYER/MONTH` of a monthly invoice.

    Raises:
        NotIssued: nothing is called so.
    """
    number = find_number(billing, name)
    if number is None:
        yield f"{name}  {State.DRAFT}"
        return
    history = follow(billing.books.histories()[number])
    for change in history:
        yield f"{number}  {tell_change(change)}"
    for document in billing.books.issued():
        if document.is_reissue and document.request.reference == number:
            yield f"{number}  {document.as_of:%Y-%m-%dT%H:%M:%SZ}  REPLACED  by {document.number}"
    for entry in billing.books.waiting_decisions():
        if entry.number == number:
            told = f"{entry.reason} ({entry.author}), by a credit note of the next month"
            yield f"{number}  {entry.at:%Y-%m-%dT%H:%M:%SZ}  {entry.kind.name}  {told}"


def tell_change(change: Change) -> str:
    """Since when, which state, why, and by whom or which payment."""
    by = change.author or (change.payment_id and f"payment {change.payment_id}")
    return f"{change.at:%Y-%m-%dT%H:%M:%SZ}  {change.state}  {change.reason}" + (f" ({by})" if by else "")


def move_state(billing: Billing, name: str, state: State, *, reason: str, author: str, at: datetime) -> str:
    """Move a document to another state, and say so.

    Raises:
        NotIssued: it is a draft, or nothing is called so.
        IllegalTransition, ChangeOutOfOrder: see `Books.move`.
    """
    number = find_number(billing, name)
    if number is None:
        message = f"{name} is a draft; a draft becomes PENDING by billing issue, and nothing else before"
        raise NotIssued(message)
    change = billing.books.move(number, state, reason=reason, author=author, at=at)
    return f"{number}  {tell_change(change)}"


def find_number(billing: Billing, name: str) -> str | None:
    """The number of a document; None for a draft.

    Raises:
        NotIssued: nothing is called so.
    """
    issued = billing.books.issued()
    names = {document.number: document.number for document in issued}
    names |= {f"{payer}/{month}": document.number for (payer, month), document in invoices_of_months(issued).items()}
    if name in names:
        return names[name]
    payer, _, month = name.rpartition("/")
    if payer and _is_drafted(billing, payer, Month.parse(month)):
        return None
    message = f"no document is called {name}; give a number, or PAYER/MONTH"
    raise NotIssued(message)


def _is_drafted(billing: Billing, payer: str, month: Month) -> bool:
    drafts = billing.warehouse.current("invoices/drafts", partition(month))
    return drafts is not None and not drafts.read().filter(payer_id=payer).is_empty()

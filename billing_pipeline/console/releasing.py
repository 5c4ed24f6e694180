"""Bills an organisation that was parked: closes its month again, or, if that is issued, makes its invoice alone."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date, datetime

from billing_pipeline.adapters.landing import day_end
from billing_pipeline.books import Issued
from billing_pipeline.console.running import run_job
from billing_pipeline.definitions import defs
from billing_pipeline.defs.billing import Billing, as_of, partition
from billing_pipeline.defs.releases import release, require_held_back, require_mended, rerate
from billing_pipeline.documents.formatting import format_money
from billing_pipeline.rules.lifecycle import CREDIT_NOTE
from billing_pipeline.rules.period import Month


def release_organisation(
    billing: Billing,
    payer: str,
    month: Month,
    *,
    as_of: datetime | None = None,
    issue_date: date | None = None,
) -> Iterator[str]:
    """Release a payer, and say what was done and what comes next.

    Args:
        billing: the home.
        payer: who is parked, or whom nobody knew when the month was closed.
        month: in which it is held back.
        as_of: what has landed by then is seen; default: the end of the newest day that landed.
        issue_date: date on the invoice; default: the date of `as_of`.

    Raises:
        NotReleasable: the payer is not held back, still faulty, or another month comes first.
    """
    require_held_back(billing, payer, month)
    home = replace(billing, chosen_as_of=as_of or newest_arrivals(billing, month), chosen_issue_date=issue_date)
    if billing.books.is_issued(month):
        home = _resumed(home, payer, month)
        invoice = release(home, rerate(home, month, list(defs().assets or [])), payer, month)
        documents = [] if invoice is None else [(invoice["number"], invoice["payable_cents"], invoice["currency"])]
        documents += [
            (issued.number, issued.document.payable_cents, issued.request.facts["currency"])
            for issued in billing.books.issued(month)
            if issued.request.payer_id == payer and not issued.is_monthly and _is_of_release(issued)
        ]
        for number, cents, currency in documents:
            yield f"{number} of {payer} for {month} asks for {format_money(cents, str(currency))}."
        if not documents:
            yield f"{payer} owes nothing for {month}."
    else:
        run_job("close_month", [month], as_of=home.as_of(month))
        require_mended(billing, payer, month)
        yield f"{month} is closed again as of {_text(home.as_of(month))}; {payer} is billed in it like everyone else."
    yield from _next_steps(billing, payer, month, home.as_of(month))


def newest_arrivals(billing: Billing, month: Month) -> datetime:
    """The end of the newest day that landed; never before what the month saw when it was closed."""
    closed = as_of(billing.settled("invoices/drafts", month))
    days = (billing.landing.newest_day(feed) for feed in billing.landing.feeds())
    return max([closed, *(day_end(day) for day in days if day)])


def _resumed(home: Billing, payer: str, month: Month) -> Billing:
    """If a release got as far as the number, the same again: with its `as_of` and date."""
    for issued in home.books.issued(month):
        if issued.request.payer_id == payer and _is_of_release(issued):
            return replace(home, chosen_as_of=issued.as_of, chosen_issue_date=issued.issued_on)
    return home


def _is_of_release(issued: Issued) -> bool:
    """Credit notes have another series, and interim invoices were numbered while the month ran."""
    return issued.request.kind != CREDIT_NOTE and not issued.is_interim


def _next_steps(billing: Billing, payer: str, month: Month, seen: datetime) -> Iterator[str]:
    """What the months after need, now that they can settle on this one."""
    if billing.warehouse.current("invoices/drafts", partition(month.next)) is None:
        return
    if billing.books.is_issued(month.next):
        yield f"Next: billing release {payer} {month.next}"
    else:
        yield f"Next: billing close {month.next} --as-of {_text(max(seen, billing.as_of(month.next)))}"


def _text(instant: datetime) -> str:
    return f"{instant:%Y-%m-%dT%H:%M:%SZ}"

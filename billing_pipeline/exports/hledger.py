"""The journal as plain text that hledger checks: entries that balance, accounts that show what they must, exactly."""

from collections.abc import Iterator

import dataframely as dy
import polars as pl

from billing_pipeline.exports.ledger import AUXILIARY, Ledger, prepare_ledger
from billing_pipeline.rules.currencies import MINOR_DIGITS
from billing_pipeline.tables.journal import HeldBalances, Journal


def write_hledger(
    journal: dy.DataFrame[Journal], before: dy.DataFrame[Journal], held: dy.DataFrame[HeldBalances], title: str
) -> str:
    """The file's content; without a posting, only its title. As `beancount.write_beancount`."""
    ledger = prepare_ledger(journal, before, held, _account_name())
    return "\n".join([f"; {_in_line(title)}", *(_lines(ledger) if ledger else ()), ""])


def _lines(ledger: Ledger) -> Iterator[str]:
    for currency in ledger.accounts["currency"].unique().sort():
        digits = MINOR_DIGITS[currency]
        # hledger wants the point even where nothing follows it.
        yield f"commodity 1000.{'0' * digits} {currency}"
    if ledger.brought.height:
        yield f"\n{ledger.first_day} * Balances of earlier months"
        yield from _postings(ledger.brought)
    for (entry,), postings in ledger.entries.group_by("entry", maintain_order=True):
        first = postings.row(0, named=True)
        yield f"\n{first['posted_on']} * ({entry}) {_in_line(first['label'])}"
        yield from _postings(postings)
    if ledger.asserted.height:
        yield f"\n{ledger.next_day} * What accounts must show"
        for name, amount, currency in ledger.asserted.select("account_name", "amount", "currency").iter_rows():
            yield f"    {name}  0 {currency} = {amount} {currency}"


def _postings(rows: pl.DataFrame) -> Iterator[str]:
    for name, amount, currency in rows.select("account_name", "amount", "currency").iter_rows():
        yield f"    {name}  {amount} {currency}"


def _account_name() -> pl.Expr:
    """`411000:<organisation>`."""
    is_auxiliary = pl.col("role").cast(pl.String).is_in(AUXILIARY)
    return pl.when(is_auxiliary).then(pl.format("{}:{}", "account", "payer_id")).otherwise("account")


def _in_line(text: str) -> str:
    """A text without what would end the line or begin a comment."""
    return " ".join(text.replace(";", ",").split())

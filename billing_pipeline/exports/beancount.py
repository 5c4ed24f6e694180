"""The journal as plain text that beancount checks: entries that balance, accounts that show what they must.

Beancount lets a balance be a cent off unless it is told otherwise, so every assertion says `~ 0.00`.
"""

from collections.abc import Iterator

import dataframely as dy
import polars as pl

from billing_pipeline.exports.ledger import AUXILIARY, Ledger, prepare_ledger
from billing_pipeline.rules.currencies import MINOR_DIGITS
from billing_pipeline.tables.journal import HeldBalances, Journal

_ROOTS = {
    "bank": "Assets",
    "receivable": "Assets",
    "advances": "Liabilities",
    "unassigned": "Liabilities",
    "vat_pending": "Liabilities",
    "vat_due": "Liabilities",
    "revenue": "Income",
    "reductions": "Income",
    "losses": "Expenses",
    "opening": "Equity",
}


def write_beancount(
    journal: dy.DataFrame[Journal], before: dy.DataFrame[Journal], held: dy.DataFrame[HeldBalances], title: str
) -> str:
    """The file's content; without a posting, only its title.

    Args:
        journal: the postings to write.
        before: those of earlier months: one entry brings their balances along.
        held: what the accounts of each organisation must show after all of them; nulls are not asserted.
        title: of the file.
    """
    ledger = prepare_ledger(journal, before, held, _account_name())
    return "\n".join([f'option "title" "{_quoted(title)}"', *(_lines(ledger) if ledger else ()), ""])


def _lines(ledger: Ledger) -> Iterator[str]:
    for name, currencies in ledger.accounts.group_by("account_name", maintain_order=True):
        yield f"{ledger.first_day} open {name[0]} {','.join(currencies['currency'])}"
    if ledger.brought.height:
        yield f'\n{ledger.first_day} * "Balances of earlier months"'
        yield from _postings(ledger.brought)
    for (entry,), postings in ledger.entries.group_by("entry", maintain_order=True):
        first = postings.row(0, named=True)
        yield f'\n{first["posted_on"]} * "{_quoted(first["payer_name"])}" "{_quoted(first["label"])}"'
        yield f'  entry: "{entry}"'
        yield from _postings(postings)
    yield ""
    for row in ledger.asserted.iter_rows(named=True):
        digits = MINOR_DIGITS[row["currency"]]
        tolerance = f"0.{'0' * digits}" if digits else "0"
        # An assertion is about the morning of its day.
        yield f"{ledger.next_day} balance {row['account_name']}  {row['amount']} ~ {tolerance} {row['currency']}"


def _postings(rows: pl.DataFrame) -> Iterator[str]:
    for name, amount, currency in rows.select("account_name", "amount", "currency").iter_rows():
        yield f"  {name}  {amount} {currency}"


def _account_name() -> pl.Expr:
    """`Assets:411000:O-<organisation>`: an account's parts hold letters, digits and hyphens and start with a capital.

    `_` and `-` of an id are written `-u` and `-h`, so that no two organisations share an account.
    """
    role = pl.col("role").cast(pl.String)
    whole = pl.format("{}:{}", role.replace_strict(_ROOTS), "account")
    organisation = pl.col("payer_id").str.replace_all("-", "-h", literal=True).str.replace_all("_", "-u", literal=True)
    return pl.when(role.is_in(AUXILIARY)).then(pl.format("{}:O-{}", whole, organisation)).otherwise(whole)


def _quoted(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", " ")

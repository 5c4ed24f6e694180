"""The journal as plain text that beancount checks: entries that balance, accounts that show what they must.

Beancount lets a balance be a cent off unless it is told otherwise, so every assertion says `~ 0.00`.
"""

from collections.abc import Iterator
from datetime import date, timedelta

import dataframely as dy
import polars as pl

from billing_pipeline.exports.amounts import write_amount
from billing_pipeline.exports.fec import AUXILIARY
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
    "opening": "Equity",
}
_SUMMED = ["account_name", "currency"]


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
    entries = _named(journal).sort("posted_on", "journal", "entry_number", "posting")
    brought = _balances(_named(before))
    lines = [f'option "title" "{_quoted(title)}"']
    if entries.is_empty() and brought.is_empty():
        return "\n".join([*lines, ""])
    days = entries["posted_on"]
    first, last = (days.min(), days.max()) if len(days) else (before["posted_on"].max(),) * 2
    asserted = _asserted(held, _accounts(pl.concat([before, journal])))
    posted = pl.concat([entries.select(_SUMMED), brought.select(_SUMMED)]).unique()
    # What holds nothing and never did has no account.
    is_nothing = pl.col("amount_cents") == 0
    asserted = pl.concat(
        [asserted.filter(~is_nothing), asserted.filter(is_nothing).join(posted, on=_SUMMED, how="semi")]
    ).sort(_SUMMED)
    opened = pl.concat([posted, asserted.select(_SUMMED)]).unique().sort(_SUMMED)
    for name, currencies in opened.group_by("account_name", maintain_order=True):
        lines.append(f"{first} open {name[0]} {','.join(currencies['currency'])}")
    if brought.height:
        lines += ["", f'{first} * "Balances of earlier months"']
        lines += [f"  {row['account_name']}  {row['amount']} {row['currency']}" for row in brought.to_dicts()]
    lines += _write_entries(entries)
    return "\n".join([*lines, "", *_assert(asserted, last), ""])


def _write_entries(entries: pl.DataFrame) -> Iterator[str]:
    entry = None
    for row in entries.iter_rows(named=True):
        if entry != (row["journal"], row["entry_number"]):
            entry = (row["journal"], row["entry_number"])
            yield ""
            yield f'{row["posted_on"]} * "{_quoted(row["payer_name"])}" "{_quoted(row["label"])}"'
            yield f'  entry: "{entry[0]}{entry[1]:06d}"'
        yield f"  {row['account_name']}  {row['amount']} {row['currency']}"


def _assert(asserted: pl.DataFrame, last: date) -> Iterator[str]:
    for row in asserted.iter_rows(named=True):
        digits = MINOR_DIGITS[row["currency"]]
        tolerance = f"0.{'0' * digits}" if digits else "0"
        # An assertion is about the morning of its day.
        day = last + timedelta(days=1)
        yield f"{day} balance {row['account_name']}  {row['amount']} ~ {tolerance} {row['currency']}"


def _named(journal: pl.DataFrame) -> pl.DataFrame:
    """Postings with the name of their account, and their amount in text, debits positive."""
    return journal.with_columns(
        amount_cents=pl.col("debit_cents") - pl.col("credit_cents"), account_name=_account_name()
    ).with_columns(amount=write_amount("amount_cents"))


def _balances(entries: pl.DataFrame) -> pl.DataFrame:
    sums = entries.group_by(_SUMMED).agg(pl.col("amount_cents").sum()).filter(pl.col("amount_cents") != 0)
    return sums.with_columns(amount=write_amount("amount_cents")).sort(_SUMMED)


def _accounts(journal: pl.DataFrame) -> dict[str, str]:
    """The account numbers that the roles last had."""
    roles = journal.sort("validated_on").group_by(pl.col("role").cast(pl.String)).agg(pl.col("account").last())
    return dict(roles.iter_rows())


def _asserted(held: pl.DataFrame, accounts: dict[str, str]) -> pl.DataFrame:
    """What is held, per account: advances are owed, so negative."""
    sides = [
        held.select(
            "payer_id",
            "currency",
            role=pl.lit(role),
            account=pl.lit(accounts[role]),
            amount_cents=pl.col(f"{role}_cents") * sign,
        ).drop_nulls("amount_cents")
        for role, sign in (("receivable", 1), ("advances", -1))
        if role in accounts
    ]
    schema = {"payer_id": pl.String, "currency": pl.String, "role": pl.String, "account": pl.String}
    rows = pl.concat([pl.DataFrame(schema=schema | {"amount_cents": pl.Int64}), *sides])
    return rows.with_columns(account_name=_account_name(), amount=write_amount("amount_cents"))


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

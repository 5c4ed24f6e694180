"""What programs for plain text accounting are told in their own syntax: entries, balances, what accounts must show."""

from datetime import date, timedelta
from typing import NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.rules.currencies import write_amount
from billing_pipeline.tables.journal import HeldBalances, Journal

#: Roles whose postings are told apart by organisation.
AUXILIARY = ("receivable", "advances", "unassigned")

_KEY = ["account_name", "currency"]


class Ledger(NamedTuple):
    """Consecutive months of a journal. Debits are positive; amounts are texts in major units."""

    #: The day of the first entry; the balances of earlier months are brought along on it.
    first_day: date
    #: The day after the last entry.
    next_day: date
    #: `account_name`, `currency`: every account that is named.
    accounts: pl.DataFrame
    #: `account_name`, `currency`, `amount`: where earlier months left the accounts.
    brought: pl.DataFrame
    #: The journal's rows with `account_name`, `amount` and `entry`, in order.
    entries: pl.DataFrame
    #: `account_name`, `currency`, `amount`: what accounts must show after all of it.
    asserted: pl.DataFrame


def prepare_ledger(
    journal: dy.DataFrame[Journal],
    before: dy.DataFrame[Journal],
    held: dy.DataFrame[HeldBalances],
    account_name: pl.Expr,
) -> Ledger | None:
    """Months of a journal as a program checks them; None where nothing was ever posted.

    Args:
        journal: the postings of the months.
        before: those of earlier months.
        held: what the accounts of each organisation must show after all of them; nulls are not asserted.
        account_name: how the program names the account of a row with `role`, `account` and `payer_id`.
    """
    entries = _named(journal, account_name).sort("posted_on", "journal", "entry_number", "posting")
    brought = (
        _named(before, account_name)
        .group_by(_KEY)
        .agg(pl.col("amount_cents").sum())
        .filter(pl.col("amount_cents") != 0)
        .with_columns(amount=write_amount("amount_cents"))
        .sort(_KEY)
    )
    posted = pl.concat([entries.select(_KEY), brought.select(_KEY)]).unique()
    days = pl.concat([before, journal] if journal.is_empty() else [journal])["posted_on"]
    if posted.is_empty():
        return None
    asserted = _asserted(held, pl.concat([before, journal]), account_name)
    # What holds nothing and never did has no account.
    is_nothing = pl.col("amount_cents") == 0
    asserted = pl.concat(
        [asserted.filter(~is_nothing), asserted.filter(is_nothing).join(posted, on=_KEY, how="semi")]
    ).sort(_KEY)
    return Ledger(
        first_day=days.min(),
        next_day=days.max() + timedelta(days=1),
        accounts=pl.concat([posted, asserted.select(_KEY)]).unique().sort(_KEY),
        brought=brought,
        entries=entries,
        asserted=asserted,
    )


def _named(journal: pl.DataFrame, account_name: pl.Expr) -> pl.DataFrame:
    return journal.with_columns(
        amount_cents=pl.col("debit_cents") - pl.col("credit_cents"),
        account_name=account_name,
        entry=pl.format("{}{}", "journal", pl.col("entry_number").cast(pl.String).str.zfill(6)),
    ).with_columns(amount=write_amount("amount_cents"))


def _asserted(held: pl.DataFrame, journal: pl.DataFrame, account_name: pl.Expr) -> pl.DataFrame:
    """What is held, per account that its role last had: advances are owed, so negative."""
    roles = journal.sort("validated_on").group_by(pl.col("role").cast(pl.String)).agg(pl.col("account").last())
    rows = pl.concat(
        held.select("payer_id", "currency", role=pl.lit(role), amount_cents=pl.col(f"{role}_cents") * sign)
        for role, sign in (("receivable", 1), ("advances", -1))
    )
    return (
        rows.drop_nulls("amount_cents")
        .join(roles, on="role")
        .with_columns(account_name=account_name, amount=write_amount("amount_cents"))
    )

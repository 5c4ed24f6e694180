"""Writes the accounting files of issued months."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from billing_pipeline.defs.billing import Billing, partition
from billing_pipeline.defs.exports import JOURNAL, known_balances, last_journal, read_journal
from billing_pipeline.exports.beancount import write_beancount
from billing_pipeline.exports.fec import name_fec, write_fec
from billing_pipeline.exports.hledger import write_hledger
from billing_pipeline.rules.journal import letter_postings
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.journal import Journal


class NoJournal(LookupError):
    """A month is not issued, or was issued before there were journals."""


@dataclass(frozen=True)
class Exported:
    """A file that was written."""

    file: Path
    entries: int
    postings: int
    #: Postings that the form cannot hold, by currency.
    left_out: dict[str, int]


def export_fec(billing: Billing, months: Sequence[Month], folder: Path) -> Exported:
    """Write the French accounting entries file of consecutive months.

    Raises:
        NoJournal: a month has no journal.
        UnknownSiren: the settings do not say the seller's.
    """
    journal, _ = _journal(billing, months)
    file = folder / name_fec(billing.settings.seller.legal_id, months[-1].last_day)
    in_euros = Journal.validate(journal.filter(pl.col("currency") == "EUR"))
    others = journal.filter(pl.col("currency") != "EUR")["currency"].value_counts().sort("currency")
    return _write(file, write_fec(in_euros), in_euros, dict(others.iter_rows()))


_TEXTS = {"beancount": write_beancount, "hledger": write_hledger}


def export_text(billing: Billing, months: Sequence[Month], folder: Path, program: str) -> Exported:
    """Write consecutive months for beancount or hledger, with what each organisation's accounts must show after them.

    Raises:
        NoJournal: a month has no journal.
    """
    journal, before = _journal(billing, months)
    held = known_balances(billing, months[-1])
    if last_journal(billing) != months[-1]:
        # Payments of later months may pay what was open then.
        held = held.with_columns(receivable_cents=pl.lit(None, pl.Int64))
    span = f"{months[0]}..{months[-1]}" if len(months) > 1 else str(months[0])
    text = _TEXTS[program](journal, before, held, f"{billing.settings.seller.name}, {span}")
    return _write(folder / f"journal-{span}.{program}", text.encode(), journal, {})


def _journal(billing: Billing, months: Sequence[Month]) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The postings of the months, lettered by all that is known after them, and those of earlier months."""
    first, last = billing.books.first_month(), months[-1]
    wanted = [month for month in months if first is not None and month >= first]
    absent = [month for month in wanted if billing.warehouse.current(JOURNAL, partition(month)) is None]
    if absent or not wanted:
        message = f"{absent[0] if absent else last} has no journal; run: billing issue {absent[0] if absent else last}"
        raise NoJournal(message)
    everything = letter_postings(read_journal(billing, last))
    inside = read_journal(billing, last, wanted[0]).select("journal", "entry_number").unique()
    key = ["journal", "entry_number"]
    return (
        Journal.validate(everything.join(inside, on=key, how="semi")),
        Journal.validate(everything.join(inside, on=key, how="anti")),
    )


def _write(file: Path, content: bytes, journal: pl.DataFrame, left_out: dict[str, int]) -> Exported:
    file.parent.mkdir(parents=True, exist_ok=True)
    temporary = file.with_name(f".{file.name}.tmp")
    temporary.write_bytes(content)
    temporary.replace(file)
    return Exported(file, journal.select("journal", "entry_number").n_unique(), journal.height, left_out)

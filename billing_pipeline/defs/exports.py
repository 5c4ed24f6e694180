"""Exports: what an issued month is to others. The journal, from which the accounting files are written.

What was written down stays; a payer that is released later is added to its month by entries of their own.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date

import dagster as dg
import dataframely as dy
import polars as pl

from billing_pipeline.books import Issued, invoices_of_months
from billing_pipeline.defs.billing import Billing, MonthOutOfOrder, as_of, inputs_of, partition
from billing_pipeline.defs.decisions import named_in_movements, sold_credits
from billing_pipeline.defs.monthly import Report, Table, monthly_assets
from billing_pipeline.documents.formatting import format_money
from billing_pipeline.rules.balances import current_organisations
from billing_pipeline.rules.equations import (
    advances_are_held,
    entries_are_balanced,
    entries_are_numbered,
    invoices_are_journalled,
    receivables_are_open,
)
from billing_pipeline.rules.journal import (
    Postings,
    WrittenOff,
    enter_postings,
    held_balances,
    lacking_postings,
    post_documents,
    post_openings,
    post_payments,
    post_transfers,
    post_write_offs,
)
from billing_pipeline.rules.lifecycle import State, follow
from billing_pipeline.rules.parking import without
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.refunds import find_sales
from billing_pipeline.rules.succession import Takeovers, find_takeovers, first_organisations
from billing_pipeline.tables.accounts import Organisations, Payments
from billing_pipeline.tables.corrections import IssuedCreditNotes
from billing_pipeline.tables.credits import CreditMovements, OpenedGrants, Refills
from billing_pipeline.tables.journal import HeldBalances, Journal, PostedDocuments
from billing_pipeline.warehouse import Generation

JOURNAL = "exports/journal"

#: Issued credit notes, invoices that are issued again, and documents beside the monthly invoices, where the month has
#: any.
_CREDIT_NOTES = "invoices/credit_notes"
_REISSUED = "invoices/reissued_invoices"
_SPECIFIC = "invoices/specific_invoices"
_INTERIM = "interim/invoices"

_SETTLED = (
    "credits/credit_statements",
    "credits/credit_movements",
    "credits/opened_grants",
    "invoices/parked_organisations",
    "invoices/lifetimes",
)


@monthly_assets(
    Table(
        JOURNAL,
        "The month's documents, payments and opening balances in double entry. One row per posting.",
        deps=[
            "accounts/organisations",
            "accounts/payments",
            *_SETTLED,
            "invoices/refills",
            "invoices/invoices",
            _SPECIFIC,
            _CREDIT_NOTES,
            _REISSUED,
            _INTERIM,
        ],
        checks={
            "entries_are_balanced": "Debits = credits, entry by entry and in all.",
            "entries_are_numbered": "Each journal numbers its entries from 1 without a gap, in order of validation.",
            "invoices_are_journalled": "Σ invoices = Σ journal, document by document.",
            "advances_are_held": (
                "Per organisation: −4191 = prepaid balance + what is invoiced of it and not settled or written off."
            ),
            "receivables_are_open": "Per organisation: 411 = its open invoices.",
        },
    )
)
def journal(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Write the month's entries down, once; what was issued since is added to them."""
    del context
    write_journal(billing, month)
    everything = read_journal(billing)
    entries = billing.read(JOURNAL, month).typed(Journal)
    held = known_balances(billing, last_journal(billing) or month)
    equations = [
        entries_are_balanced(entries),
        entries_are_numbered(everything),
        invoices_are_journalled(_MonthIssued.read_from(billing, month).documents(), entries),
        advances_are_held(held, everything),
        receivables_are_open(held, everything),
    ]
    turnover = entries.group_by("currency").agg(pl.col("debit_cents").sum()).sort("currency")
    metadata: dict[str, object] = {
        "dagster/row_count": entries.height,
        "entries": entries.select("journal", "entry_number").n_unique(),
    } | {f"debits {currency}": format_money(int(cents), str(currency)) for currency, cents in turnover.iter_rows()}
    return {JOURNAL: Report(metadata, equations)}


def write_journal(billing: Billing, month: Month) -> Generation:
    """Publish the entries of an issued month: those that it has, and those that it lacks.

    Raises:
        MonthOutOfOrder: the month before has no journal.
        UnbalancedEntry: the rules made an entry that does not balance.
    """
    _require_order(billing, month)
    written = billing.warehouse.current(JOURNAL, partition(month))
    older = _generations(billing)
    everything = _join(older)
    issued = _MonthIssued.read_from(billing, month)
    last = _MonthIssued.read_from(billing, max([month, last_journal(billing) or month]))
    lacking = lacking_postings(issued.postings(), everything)
    organisations = last.organisations()
    chart = billing.settings.chart_of_accounts
    beside = _numbers_beside(billing)
    written_off = post_write_offs(
        _written_off(billing, issued), lacking, last.payments(), everything, organisations, beside
    )
    lacking = Postings.validate(pl.concat([lacking, written_off]))
    payments = post_payments(
        last.payments(),
        lacking,
        everything,
        organisations,
        chart,
        str(month),
        billing.settings.zone,
        beside,
    )
    postings = Postings.validate(pl.concat([lacking, payments]))
    if written is not None and postings.is_empty():
        return written
    names = current_organisations(organisations).select(payer_id="owner_id", payer_name="name")
    new = enter_postings(postings, everything, names, chart, issued.validated_on(billing, lacking))
    rows = pl.concat([written.typed(Journal), new]) if written else new
    return billing.warehouse.publish(
        JOURNAL,
        partition(month),
        Journal.validate(rows.sort("journal", "entry_number", "posting")),
        as_of=as_of(issued.tables["credits/credit_statements"]),
        inputs=inputs_of(issued.tables)
        | {f"{table} of {last.month}": generation.id for table, generation in last.accounts.items()}
        | {f"{JOURNAL} of {key}": generation.id for key, generation in older.items()},
    )


def read_journal(billing: Billing, last: Month | None = None, first: Month | None = None) -> dy.DataFrame[Journal]:
    """The postings of every month so far, or of those up to `last` and from `first` on."""
    return _join(
        {
            key: generation
            for key, generation in _generations(billing).items()
            if (last is None or Month.parse(key) <= last) and (first is None or Month.parse(key) >= first)
        }
    )


def last_journal(billing: Billing) -> Month | None:
    """The last month that has a journal."""
    months = [Month.parse(key.removeprefix("month=")) for key in billing.warehouse.partitions(JOURNAL)]
    return max(months, default=None)


def known_balances(billing: Billing, month: Month) -> dy.DataFrame[HeldBalances]:
    """What the accounts of each organisation must show after an issued month, known without the journal."""
    issued = _MonthIssued.read_from(billing, month)
    register = [
        (
            str(document.request.facts["refers_to"]) if document.request.kind == "credit_note" else document.number,
            document.request.payer_id,
            str(document.billed_month),
            str(document.request.facts["currency"]),
            int(str(document.request.facts["payable_cents"])) * (-1 if document.request.kind == "credit_note" else 1),
        )
        for document in billing.books.issued()
        if document.request.billing_month <= month
    ]
    schema = {
        "invoice_number": pl.String,
        "payer_id": pl.String,
        "billing_month": pl.String,
        "currency": pl.String,
        "payable_cents": pl.Int64,
    }
    return held_balances(
        pl.DataFrame(register, schema=schema, orient="row"),
        issued.payments(),
        issued.tables["invoices/lifetimes"].read(),
        read_journal(billing),
        issued.organisations(),
        issued.takeovers(),
        str(month),
        _numbers_beside(billing),
    )


def _numbers_beside(billing: Billing) -> list[str]:
    """The numbers of invoices beside the monthly ones, and of those in whose stead another one was issued."""
    issued = billing.books.issued()
    by_month = {document.number for document in invoices_of_months(issued).values()}
    return [
        document.number
        for document in issued
        if document.is_beside or (document.bills_month and document.number not in by_month)
    ]


@dataclass(frozen=True)
class _MonthIssued:
    """What an issued month was issued from."""

    month: Month
    tables: Mapping[str, Generation]
    accounts: Mapping[str, Generation]

    @classmethod
    def read_from(cls, billing: Billing, month: Month) -> "_MonthIssued":
        tables = {table: billing.settled(table, month) for table in _SETTLED}
        tables["invoices/invoices"] = billing.read("invoices/invoices", month)
        for table in (_SPECIFIC, _INTERIM, _CREDIT_NOTES, _REISSUED):
            published = billing.warehouse.current(table, partition(month))
            if published is not None:
                tables[table] = published
        if billing.books.first_month() != month:
            tables["invoices/refills before"] = billing.settled("invoices/refills", month.previous)
            tables["invoices/parked_organisations before"] = billing.settled(
                "invoices/parked_organisations", month.previous
            )
        # As the statements read them, however often the month was closed since.
        read = tables["credits/credit_statements"].manifest["inputs"]
        accounts = {
            table: billing.warehouse.generation(table, partition(month), read[table])
            for table in ("accounts/organisations", "accounts/payments")
        }
        return cls(month, tables, accounts)

    def organisations(self) -> dy.DataFrame[Organisations]:
        return self.accounts["accounts/organisations"].typed(Organisations)

    def payments(self) -> dy.DataFrame[Payments]:
        return self.accounts["accounts/payments"].typed(Payments)

    def documents(self) -> dy.DataFrame[PostedDocuments]:
        """The issued documents with what their statements settle."""
        statements = self._billed("credits/credit_statements")
        letters = statements.select("payer_id", "free_used_cents", "prepaid_used_cents", "refill_cents")
        invoices = self.tables["invoices/invoices"].read().join(letters, on="payer_id", how="left")
        rows = [invoices.with_columns(holder_id="payer_id", refers_to=pl.lit(None, pl.String))]
        # An invoice to the accounts, whatever it sells: credits are what the advances are raised by.
        rows += [
            self.tables[table]
            .read()
            .with_columns(
                kind=pl.lit("invoice"),
                holder_id="payer_id",
                refers_to=pl.lit(None, pl.String),
                free_used_cents=pl.lit(0, pl.Int64),
                prepaid_used_cents=pl.lit(0, pl.Int64),
                refill_cents="used_credits_cents",
            )
            for table in (_SPECIFIC, _INTERIM)
            if table in self.tables
        ]
        if _REISSUED in self.tables:
            again = self.tables[_REISSUED].read()
            billed_month = pl.col("period_start").dt.strftime("%Y-%m")
            rows.append(again.with_columns(billing_month=billed_month, refers_to=pl.lit(None, pl.String)))
        if _CREDIT_NOTES in self.tables:
            rows.append(
                self.tables[_CREDIT_NOTES]
                .typed(IssuedCreditNotes)
                .with_columns(
                    free_used_cents=0 - pl.col("free_given_back_cents"),
                    prepaid_used_cents=0 - pl.col("prepaid_given_back_cents"),
                    refill_cents=pl.sum_horizontal("refill_cancelled_cents", "prepaid_refunded_cents"),
                )
            )
        columns = [
            frame.select(PostedDocuments.column_names()).with_columns(pl.col("kind").cast(pl.String)) for frame in rows
        ]
        return PostedDocuments.validate(PostedDocuments.cast(pl.concat(columns)))

    def takeovers(self) -> dy.DataFrame[Takeovers]:
        """Whose credits a payer with a statement of this month holds since this month or longer."""
        takeovers = find_takeovers(first_organisations(self.organisations()))
        statements = self._billed("credits/credit_statements")
        return Takeovers.validate(
            takeovers.join(statements, left_on="successor_id", right_on="payer_id", how="semi").sort("payer_id")
        )

    def postings(self) -> dy.DataFrame[Postings]:
        """Every entry of the month but those of payments."""
        movements = CreditMovements.validate(self._billed("credits/credit_movements"))
        opened = self.tables["credits/opened_grants"].typed(OpenedGrants)
        refills = Refills.create_empty()
        if "invoices/refills before" in self.tables:
            parked = self.tables["invoices/parked_organisations before"].read()
            refills = without(self.tables["invoices/refills before"].read(), parked, "holder_id")
        billing_month, first_day = str(self.month), self.month.first_day
        return Postings.validate(
            pl.concat(
                [
                    post_openings(movements, opened, billing_month, first_day),
                    post_transfers(movements, Refills.validate(refills), self.takeovers(), billing_month, first_day),
                    post_documents(self.documents()),
                ]
            )
        )

    def validated_on(self, billing: Billing, lacking: pl.DataFrame) -> date:
        """The date of the documents that are written down now, or, where there are none, of what the month saw."""
        is_document = pl.col("kind").is_in(["invoice", "credit_note"])
        documents = lacking.filter(is_document)["posted_on"]
        seen = as_of(self.tables["credits/credit_statements"]).astimezone(billing.settings.zone).date()
        return documents.max() or seen

    def _billed(self, table: str) -> pl.DataFrame:
        return without(self.tables[table].read(), self.tables["invoices/parked_organisations"].read())


def _written_off(billing: Billing, issued: "_MonthIssued") -> dy.DataFrame[WrittenOff]:
    """The invoices that were written off by a month's `as_of`, once the month has given their refills up.

    Those of a payer that is held back wait with its account.
    """
    until = as_of(issued.tables["credits/credit_statements"])
    rows = []
    histories = billing.books.histories(until)
    for document in billing.books.issued():
        change = follow(histories.get(document.number, []))[-1:]
        if not change or change[0].state is not State.WONTPAY:
            continue
        refill, holder = sold_credits(billing, document), document.request.payer_id
        if refill:
            gave_up = _holder_of(billing, document, issued.month, "given_up", "top_up_given_up")
            # What its month counted paid for usage: it is lost, as fees are.
            counted = document.is_interim and _holder_of(billing, document, issued.month, "settled", "topped_up")
            if not (gave_up or counted):
                continue
            refill, holder = (refill, gave_up) if gave_up else (0, holder)
        rows.append(
            {
                "number": document.number,
                "posted_on": change[0].at.astimezone(billing.settings.zone).date(),
                "reason": change[0].reason,
                "refill_cents": refill,
                "holder_id": holder,
            }
        )
    return WrittenOff.validate(pl.DataFrame(rows, schema=WrittenOff.create_empty().schema))


def _holder_of(billing: Billing, document: Issued, until: Month, refill: str, top_up: str) -> str | None:
    """In whose account the credits that a document sold have a movement, up to a month; None as long as none has.

    Those of an interim invoice have one in its own month, all others in a later one.
    """
    named = named_in_movements([document], refill=refill, top_up=top_up)
    month = document.request.billing_month if document.is_interim else document.request.billing_month.next
    while not until < month:
        moved = billing.settled("credits/credit_movements", month).read()
        billed = without(moved, billing.settled("invoices/parked_organisations", month).read())
        found = find_sales(billed, named)
        if found.height:
            return str(found["payer_id"][0])
        month = month.next
    return None


def _require_order(billing: Billing, month: Month) -> None:
    if billing.books.first_month() == month:
        return
    if billing.warehouse.current(JOURNAL, partition(month.previous)) is None:
        message = (
            f"the journal of {month} continues that of {month.previous}, which was never written; "
            f"run: billing issue {month.previous}"
        )
        raise MonthOutOfOrder(message)


def _generations(billing: Billing) -> dict[str, Generation]:
    """The journals that are written, by month."""
    keys = billing.warehouse.partitions(JOURNAL)
    return {key.removeprefix("month="): billing.warehouse.require(JOURNAL, key) for key in keys}


def _join(generations: Mapping[str, Generation]) -> dy.DataFrame[Journal]:
    rows = [Journal.create_empty(), *(generation.typed(Journal) for generation in generations.values())]
    return Journal.validate(pl.concat(rows))

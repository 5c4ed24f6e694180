"""From documents and payments to double entry: whole cents, every entry balanced, nothing ever written over.

An invoice asks for its amount (receivable) and uses prepaid credits (advances); it sells services (revenue, lowered by
free credits) and the refill (advances again), with VAT that falls due when it is paid. A credit note is the reverse.
Prepaid credits are advances from when the refill is invoiced until they are used, so that paying a refill changes no
advances: an organisation's advances are its prepaid balance and its pending refills and top-ups. Granting and losing
free credits changes nothing.

What is open of an invoice that was written off is a claim no more: its pending VAT and its refill are reversed with it,
and the rest is a loss. A part that was paid stays what it paid: fees first, then credits that stay an advance.

A payment pays the invoice that it names, up to what is open of it; what is more, or names none, waits as unassigned.
What a payment does is computed anew from all documents each time, and what the journal lacks of it is added: so an
invoice that is issued later, a payment that is withdrawn and a credit note move money by entries of their own.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import date
from zoneinfo import ZoneInfo

import dataframely as dy
import polars as pl

from billing_pipeline.rules.payments import match_payments, name_documents
from billing_pipeline.rules.rounding import rounded_half_away
from billing_pipeline.tables.accounts import Organisations, Payments
from billing_pipeline.tables.columns import organisation_id
from billing_pipeline.tables.credits import CreditMovements, OpenedGrants, Refills
from billing_pipeline.tables.journal import ROLES, HeldBalances, Journal, PostedDocuments
from billing_pipeline.tables.table import Table

_POSTED = {
    "book": pl.String,
    "kind": pl.String,
    "posted_on": pl.Date,
    "piece": pl.String,
    "payer_id": pl.String,
    "role": pl.String,
    "amount_cents": pl.Int64,
    "currency": pl.String,
    "label": pl.String,
    "invoice_number": pl.String,
    "billing_month": pl.String,
    "payment_id": pl.String,
}
_ENTRY = ("book", "posted_on", "piece", "currency", "kind")
_NAMED = ("payment_id", "role", "payer_id", "invoice_number", "currency")


class UnbalancedEntry(ValueError):
    """Debits and credits of an entry differ."""


@dataclass(frozen=True)
class ChartOfAccounts:
    """The account of each role in `tables.journal.ROLES`, and the code of each journal."""

    receivable: str
    advances: str
    revenue: str
    reductions: str
    vat_pending: str
    #: Where it is that of pending VAT, VAT falls due with the invoice.
    vat_due: str
    bank: str
    unassigned: str
    losses: str
    opening: str
    sales_journal: str
    credit_notes_journal: str
    bank_journal: str
    operations_journal: str
    opening_journal: str


class Postings(Table):
    """One row per posting that has no number yet; debits are positive, credits negative."""

    #: Which journal: the name of its setting without `_journal`.
    book = dy.String()
    kind = dy.String()
    posted_on = dy.Date()
    piece = dy.String()
    payer_id = organisation_id()
    role = dy.String()
    amount_cents = dy.Int64()
    currency = dy.String()
    label = dy.String()
    invoice_number = dy.String(nullable=True)
    billing_month = dy.String()
    payment_id = dy.String(nullable=True)


def post_documents(documents: dy.DataFrame[PostedDocuments]) -> dy.DataFrame[Postings]:
    """The entry of each invoice; that of a credit note is the reverse, and belongs to the invoice it corrects."""
    is_note = pl.col("kind").cast(pl.String) == "credit_note"
    sides = {
        "receivable": [pl.col("payable_cents")],
        "advances": [-pl.col("prepaid_used_cents"), -pl.col("refill_cents")],
        "reductions": [-pl.col("free_used_cents")],
        "revenue": [-pl.col("fees_cents")],
        "vat_pending": [-pl.col("vat_cents")],
    }
    return _postings(
        documents.with_columns(
            pl.col("kind").cast(pl.String),
            payer_id=pl.col("holder_id" if role == "advances" else "payer_id"),
            role=pl.lit(role),
            amount_cents=pl.when(is_note).then(-amount).otherwise(amount),
            book=pl.when(is_note).then(pl.lit("credit_notes")).otherwise(pl.lit("sales")),
            posted_on="issued_on",
            piece="number",
            label=pl.format(
                "{} {}, {} {}",
                pl.when(is_note).then(pl.lit("Credit note")).otherwise(pl.lit("Invoice")),
                "number",
                "payer_id",
                "billing_month",
            ),
            invoice_number=pl.when(is_note).then("refers_to").otherwise("number"),
        )
        for role, amounts in sides.items()
        for amount in amounts
    )


def post_openings(
    movements: dy.DataFrame[CreditMovements], opened: dy.DataFrame[OpenedGrants], billing_month: str, posted_on: date
) -> dy.DataFrame[Postings]:
    """The prepaid balances that the provider brought along and that count from this month on; free ones book nothing.

    Args:
        movements: the month's, of payers that are not parked.
        opened: every grant that counts, for its kind.
        billing_month: the month that counts them first.
        posted_on: its first day.
    """
    prepaid = opened.filter(pl.col("kind").cast(pl.String) == "prepaid").select("grant_id")
    entered = (
        movements.filter(pl.col("kind").cast(pl.String) == "opening")
        .join(prepaid, on="grant_id", how="semi")
        .with_columns(
            book=pl.lit("opening"),
            kind=pl.lit("opening"),
            posted_on=pl.lit(posted_on),
            piece="grant_id",
            label=pl.format("Prepaid balance {}, {}", "grant_id", "payer_id"),
            billing_month=pl.lit(billing_month),
        )
    )
    amount = pl.col("amount_cents")
    return _postings(
        entered.with_columns(role=pl.lit(role), amount_cents=signed)
        for role, signed in (("opening", amount), ("advances", -amount))
    )


def post_transfers(
    movements: dy.DataFrame[CreditMovements],
    refills: dy.DataFrame[Refills],
    takeovers: pl.DataFrame,
    billing_month: str,
    posted_on: date,
) -> dy.DataFrame[Postings]:
    """The advances of organisations that pay no more become those of who pays for them; what they owe stays theirs.

    Args:
        movements: the month's, of payers that are not parked: `transferred_in` of prepaid credits.
        refills: those that were pending before the month.
        takeovers: `rules.succession.Takeovers` whose successor has a statement in the month.
        billing_month: the month that opens with it.
        posted_on: its first day.
    """
    prefix = "prepaid of "
    prepaid = movements.filter(
        pl.col("kind").cast(pl.String) == "transferred_in", pl.col("grant_id").str.starts_with(prefix)
    ).select(
        "amount_cents", "currency", departed_id=pl.col("grant_id").str.strip_prefix(prefix), successor_id="payer_id"
    )
    pending = refills.join(takeovers, left_on="holder_id", right_on="payer_id").select(
        "currency", "successor_id", amount_cents="refill_cents", departed_id="holder_id"
    )
    columns = ["departed_id", "successor_id", "currency"]
    moved = (
        pl.concat([prepaid.select(*columns, "amount_cents"), pending.select(*columns, "amount_cents")])
        .group_by(columns)
        .agg(pl.col("amount_cents").sum())
        .with_columns(
            book=pl.lit("operations"),
            kind=pl.lit("transfer"),
            posted_on=pl.lit(posted_on),
            piece="departed_id",
            label=pl.format("Credits of {} pass to {}", "departed_id", "successor_id"),
            role=pl.lit("advances"),
            billing_month=pl.lit(billing_month),
        )
    )
    return _postings(
        [
            moved.with_columns(payer_id="departed_id"),
            moved.with_columns(payer_id="successor_id", amount_cents=-pl.col("amount_cents")),
        ]
    )


class WrittenOff(Table):
    """One row per invoice that was written off and whose entry may still be missing."""

    number = dy.String(primary_key=True)
    #: The day of the decision.
    posted_on = dy.Date()
    reason = dy.String()
    #: Its refill, that was given up with it, and whose advance that is.
    refill_cents = dy.Int64(min=0)
    holder_id = organisation_id()


def post_write_offs(
    written_off: dy.DataFrame[WrittenOff],
    documents: dy.DataFrame[Postings],
    payments: dy.DataFrame[Payments],
    journal: dy.DataFrame[Journal],
    organisations: dy.DataFrame[Organisations],
    beside: Collection[str],
) -> dy.DataFrame[Postings]:
    """The entries that take what is open of written-off invoices off the accounts, each once and for good.

    Args:
        written_off: the invoices.
        documents: postings of documents that the journal does not have yet.
        payments: every payment that is known.
        journal: every posting so far.
        organisations: every version of the month.
        beside: as for `assign_payments`.
    """
    invoices = _invoices(pl.concat([_signed(journal), documents]))
    received = (
        assign_payments(payments, invoices, journal, organisations, beside)
        .group_by("invoice_number", "currency")
        .agg(pl.col("received_cents").sum())
    )
    asks, vat = pl.col("payable_cents"), pl.col("vat_cents").cast(pl.Int128)
    written = journal.filter(pl.col("kind").cast(pl.String) == "write_off")
    claims = (
        written_off.join(written, left_on="number", right_on="piece", how="anti")
        .join(invoices, left_on="number", right_on="invoice_number")
        .filter(asks > 0)
        .join(received, left_on=["number", "currency"], right_on=["invoice_number", "currency"], how="left")
        .with_columns(paid_cents=pl.min_horizontal(pl.col("received_cents").fill_null(0).clip(lower_bound=0), asks))
        .with_columns(
            open_cents=asks - pl.col("paid_cents"),
            open_vat=(vat - rounded_half_away(pl.col("paid_cents").cast(pl.Int128) * vat, asks)).cast(pl.Int64),
        )
        .with_columns(net_cents=pl.col("open_cents") - pl.col("open_vat"))
        .with_columns(advance_cents=pl.min_horizontal("refill_cents", "net_cents"))
        .with_columns(
            book=pl.lit("operations"),
            kind=pl.lit("write_off"),
            piece="number",
            invoice_number="number",
            label=pl.format("Write-off {}, {}: {}", "number", "payer_id", "reason"),
        )
    )
    sides = {
        "receivable": -pl.col("open_cents"),
        "vat_pending": pl.col("open_vat"),
        "advances": pl.col("advance_cents"),
        "losses": pl.col("net_cents") - pl.col("advance_cents"),
    }
    return _postings(
        claims.with_columns(
            payer_id=pl.col("holder_id" if role == "advances" else "payer_id"),
            role=pl.lit(role),
            amount_cents=amount,
        )
        for role, amount in sides.items()
    )


def lacking_postings(postings: dy.DataFrame[Postings], journal: dy.DataFrame[Journal]) -> dy.DataFrame[Postings]:
    """The postings whose entries the journal does not have: an entry that was written down stays as it is."""
    key = ["kind", "piece", "billing_month"]
    written = journal.select(pl.col(name).cast(pl.String) for name in key).unique()
    return Postings.validate(postings.join(written, on=key, how="anti"))


def post_payments(
    payments: dy.DataFrame[Payments],
    documents: dy.DataFrame[Postings],
    journal: dy.DataFrame[Journal],
    organisations: dy.DataFrame[Organisations],
    chart: ChartOfAccounts,
    billing_month: str,
    zone: ZoneInfo,
    beside: Collection[str],
) -> dy.DataFrame[Postings]:
    """What the journal lacks of what all payments do.

    Args:
        payments: every payment that is known.
        documents: postings of documents that the journal does not have yet.
        journal: every posting so far.
        organisations: every version of the month.
        chart: where VAT goes.
        billing_month: the month in which the payments are known.
        zone: the day of a payment is the one there.
        beside: numbers of invoices that payments name by nothing else: those beside the monthly ones, and those in
            whose stead another one was issued.
    """
    invoices = _invoices(pl.concat([_signed(journal), documents]))
    booked = _signed(journal).filter(pl.col("payment_id").is_not_null())
    matched = assign_payments(payments, invoices, journal, organisations, beside)
    effects = _effects(matched, invoices, is_vat_moved=chart.vat_pending != chart.vat_due)
    lacking = (
        pl.concat([effects, booked.select(*_NAMED, amount_cents=-pl.col("amount_cents"))])
        .group_by(_NAMED)
        .agg(pl.col("amount_cents").cast(pl.Int128).sum().cast(pl.Int64))
        .filter(pl.col("amount_cents") != 0)
    )
    received = payments.select(
        "payment_id", received_on=pl.col("received_at").dt.convert_time_zone(str(zone)).dt.date()
    )
    told = booked.group_by("payment_id").agg(told_on=pl.col("posted_on").min())
    months = invoices.select("invoice_number", invoiced_month="billing_month")
    has_bank = (pl.col("role") == "bank").any().over("payment_id", "currency")
    return _postings(
        [
            lacking.join(received, on="payment_id", how="left")
            .join(told, on="payment_id", how="left")
            .join(months, on="invoice_number", how="left")
            .with_columns(
                book=pl.when(has_bank).then(pl.lit("bank")).otherwise(pl.lit("operations")),
                kind=pl.lit("payment"),
                posted_on=pl.coalesce("received_on", "told_on"),
                piece="payment_id",
                label=pl.format("Payment {}, {}", "payment_id", "payer_id"),
                billing_month=pl.coalesce("invoiced_month", pl.lit(billing_month)),
            )
        ]
    )


def assign_payments(
    payments: dy.DataFrame[Payments],
    invoices: pl.DataFrame,
    journal: pl.DataFrame,
    organisations: pl.DataFrame,
    beside: Collection[str],
) -> pl.DataFrame:
    """Which invoice each payment pays: one row per payment with its amount in `received_cents` and its `place`.

    A payment names an invoice as `rules.payments` says, in its currency, and comes from the payer, one of its
    organisations, or whoever pays for it now. Once matched, it stays so, unless it names a month whose invoice was
    issued again; what was written down before comes first. A refund takes back; a failed payment is none.

    Args:
        payments: every payment that is known.
        invoices: `invoice_number`, `payer_id`, `billing_month`, `currency`.
        journal: every posting so far.
        organisations: every version of the month: `owner_id`, `payer_id`.
        beside: numbers of invoices that payments name by nothing else: those beside the monthly ones, and those in
            whose stead another one was issued.

    Returns:
        `place`, `payment_id`, `received_cents`, `currency`, `payer_id`, `sender_id` (under whom the bank has it) and,
        where it names one, `invoice_number`.
    """
    sign = pl.col("outcome").cast(pl.String).replace_strict({"succeeded": 1, "refunded": -1}, default=0)
    rows = payments.with_columns(received_cents=pl.col("paid_cents") * sign).filter(pl.col("received_cents") != 0)
    is_beside = pl.col("invoice_number").is_in(list(beside))
    documents = invoices.select(
        "payer_id", billing_month=pl.when(~is_beside).then("billing_month"), number="invoice_number", owed="currency"
    )
    names = name_documents(documents).sort("number").unique(["name", "owed"], keep="first")
    relations = organisations.select("payer_id", "owner_id").unique()
    may_pay = pl.concat(
        [
            relations,
            relations.select(payer_id="owner_id", owner_id="payer_id"),
            invoices.select("payer_id", owner_id="payer_id"),
        ]
    ).unique()
    named = (
        match_payments(rows, names, may_pay)
        .filter(pl.col("currency") == pl.col("owed"))
        .select("payment_id", named_number="number")
    )
    before = journal.filter(pl.col("payment_id").is_not_null())
    kept = before.drop_nulls("invoice_number").group_by("payment_id").agg(kept_number=pl.col("invoice_number").max())
    waited = before.filter(pl.col("invoice_number").is_null(), pl.col("role").cast(pl.String) == "unassigned")
    waits_for = waited.group_by("payment_id").agg(waited_id=pl.col("payer_id").max())
    pays_for = organisations.sort("valid_from").group_by("owner_id").agg(paid_by=pl.col("payer_id").last())
    banked = before.filter(pl.col("role").cast(pl.String) == "bank")
    sent_by = banked.group_by("payment_id").agg(
        told_on=pl.col("validated_on").min(),
        told_number=pl.col("entry_number").min(),
        sender_id=pl.col("payer_id").max(),
    )
    whose = invoices.select("invoice_number", invoiced_id="payer_id")
    return (
        rows.drop("invoice_number")
        .join(kept, on="payment_id", how="left")
        .join(named, on="payment_id", how="left")
        .with_columns(
            invoice_number=pl.when(pl.col("kept_number").is_in(list(beside)))
            .then(pl.coalesce("named_number", "kept_number"))
            .otherwise(pl.coalesce("kept_number", "named_number"))
        )
        .join(whose, on="invoice_number", how="left")
        .join(waits_for, on="payment_id", how="left")
        .join(pays_for, on="owner_id", how="left")
        .join(sent_by, on="payment_id", how="left")
        .with_columns(payer_id=pl.coalesce("invoiced_id", "waited_id", "paid_by", "owner_id"))
        .with_columns(sender_id=pl.coalesce("sender_id", "payer_id"))
        .sort("told_on", "told_number", "received_at", "payment_id", nulls_last=True)
        .with_row_index("place")
        .select("place", "payment_id", "received_cents", "currency", "payer_id", "sender_id", "invoice_number")
    )


def enter_postings(
    postings: dy.DataFrame[Postings],
    journal: dy.DataFrame[Journal],
    names: pl.DataFrame,
    chart: ChartOfAccounts,
    validated_on: date,
) -> dy.DataFrame[Journal]:
    """Number the entries, each journal from where it stands, in the order of their days and pieces.

    Args:
        postings: what is to be written down.
        journal: every posting so far.
        names: `payer_id`, `payer_name`.
        chart: the accounts and journals.
        validated_on: today, as the run sees it; never before the last day that the journal has.

    Raises:
        UnbalancedEntry: an entry's amounts do not add up to zero.
    """
    _require_balanced(postings)
    codes = {book: getattr(chart, f"{book}_journal") for book in ("sales", "credit_notes", "bank", "operations")}
    codes["opening"] = chart.opening_journal
    order = {role: place for place, role in enumerate(ROLES)}
    last = journal.group_by("journal").agg(last=pl.col("entry_number").max())
    latest = max(validated_on, journal["validated_on"].max() or validated_on)
    amount = pl.col("amount_cents")
    entered = (
        postings.filter(amount != 0)
        .with_columns(
            journal=pl.col("book").replace_strict(codes, return_dtype=pl.String),
            place=pl.col("role").replace_strict(order, return_dtype=pl.Int64),
        )
        .sort("journal", *_ENTRY, "place", -amount, "payer_id", "invoice_number", nulls_last=True)
        .join(last, on="journal", how="left")
        .join(names, on="payer_id", how="left")
        .with_columns(
            entry_number=pl.struct(_ENTRY).rle_id().over("journal").cast(pl.Int64) + pl.col("last").fill_null(0) + 1,
            validated_on=pl.lit(latest),
            account=pl.col("role").replace_strict({role: getattr(chart, role) for role in order}),
            payer_name=pl.coalesce("payer_name", "payer_id"),
            debit_cents=pl.max_horizontal(amount, 0),
            credit_cents=pl.max_horizontal(-amount, 0),
            piece_on="posted_on",
        )
        .with_columns(posting=pl.int_range(1, pl.len() + 1, dtype=pl.Int64).over("journal", "entry_number"))
        .with_columns(lettering=pl.lit(None, pl.String), lettered_on=pl.lit(None, pl.Date))
    )
    new = Journal.validate(Journal.cast(entered.sort(_KEY)))
    return Journal.validate(letter_postings(pl.concat([journal, new])).join(new, on=_KEY, how="semi").sort(_KEY))


_KEY = ["journal", "entry_number", "posting"]


def letter_postings(journal: pl.DataFrame) -> dy.DataFrame[Journal]:
    """Mark the receivables of every invoice that cancel out: nothing of it is open."""
    of_invoice = ["invoice_number", "currency"]
    settled = (
        journal.filter(pl.col("role").cast(pl.String) == "receivable")
        .group_by(of_invoice)
        .agg(
            open_cents=(pl.col("debit_cents") - pl.col("credit_cents")).cast(pl.Int128).sum(),
            settled_on=pl.col("validated_on").max(),
        )
        .filter(pl.col("open_cents") == 0)
    )
    is_settled = (pl.col("role").cast(pl.String) == "receivable") & pl.col("settled_on").is_not_null()
    lettered = journal.join(settled, on=of_invoice, how="left").with_columns(
        lettering=pl.when(is_settled).then("invoice_number"),
        lettered_on=pl.when(is_settled).then("settled_on"),
    )
    return Journal.validate(lettered.sort(_KEY))


def held_balances(
    issued: pl.DataFrame,
    payments: dy.DataFrame[Payments],
    lifetimes: pl.DataFrame,
    journal: dy.DataFrame[Journal],
    organisations: dy.DataFrame[Organisations],
    takeovers: pl.DataFrame,
    billing_month: str,
    beside: Collection[str],
) -> dy.DataFrame[HeldBalances]:
    """What the accounts of each organisation must show after a month, from statements, the register and payments.

    Args:
        issued: the register: `invoice_number` (that a credit note refers to its invoice's), `payer_id`,
            `billing_month`, `currency`, `payable_cents` (negative for credit notes).
        payments: every payment that is known.
        lifetimes: `tables.explanations.Lifetimes` after the month.
        journal: every posting, for payments that were matched before.
        organisations: every version of the month.
        takeovers: whose credits another payer holds in the month: they hold nothing.
        billing_month: the month; who has no statement in it may hold more by now, which it does not tell.
        beside: as for `assign_payments`.
    """
    written = journal.filter(pl.col("kind").cast(pl.String) == "write_off").with_columns(
        amount_cents=pl.col("debit_cents") - pl.col("credit_cents")
    )
    claims = written.filter(pl.col("role").cast(pl.String) == "receivable")
    columns = ["invoice_number", "payer_id", "billing_month", "currency"]
    asked = (
        pl.concat(
            [
                issued.select(*columns, "payable_cents"),
                claims.select(*columns, payable_cents="amount_cents"),
            ]
        )
        .group_by("invoice_number", "currency", maintain_order=True)
        .agg(pl.col("payer_id", "billing_month").first(), asked_cents=pl.col("payable_cents").sum())
    )
    received = (
        assign_payments(payments, asked, journal, organisations, beside)
        .group_by("invoice_number", "currency")
        .agg(pl.col("received_cents").sum())
    )
    asks, zero = pl.col("asked_cents"), pl.lit(0, pl.Int64)
    receivable = (
        asked.join(received, on=["invoice_number", "currency"], how="left")
        .with_columns(
            paid_cents=pl.col("received_cents")
            .fill_null(0)
            .clip(pl.min_horizontal(asks, zero), pl.max_horizontal(asks, zero))
        )
        .group_by("payer_id", "currency")
        .agg(receivable_cents=(asks - pl.col("paid_cents")).sum())
    )
    # A refill or top-up that was given up stays an advance, as its invoice stays a claim, until both are written off.
    written_off = (
        written.filter(pl.col("role").cast(pl.String) == "advances")
        .group_by("payer_id", "currency")
        .agg(written_cents=0 - pl.col("amount_cents").sum())
    )
    held_by_payer = pl.sum_horizontal(
        "prepaid_cents", "pending_cents", "pending_top_ups_cents", "given_up_cents", "written_cents"
    )
    advances = (
        lifetimes.filter(pl.col("billed_month") == billing_month)
        .join(written_off, on=["payer_id", "currency"], how="left")
        .select("payer_id", "currency", advances_cents=held_by_payer)
    )
    departed = (
        journal.join(takeovers, on="payer_id", how="semi")
        .select("payer_id", "currency", advances_cents=pl.lit(0, pl.Int64))
        .unique()
    )
    advances = pl.concat([advances, departed])
    held = receivable.join(advances, on=["payer_id", "currency"], how="full", coalesce=True)
    return HeldBalances.validate(
        held.with_columns(pl.col("receivable_cents").fill_null(0)).sort("payer_id", "currency")
    )


def _postings(frames: Iterable[pl.DataFrame]) -> dy.DataFrame[Postings]:
    """These rows as postings, without those of nothing."""
    columns = [pl.DataFrame(schema=_POSTED)]
    for frame in frames:
        absent = [name for name in ("invoice_number", "payment_id") if name not in frame.columns]
        rows = frame.with_columns(pl.lit(None, pl.String).alias(name) for name in absent)
        columns.append(rows.select(pl.col(name).cast(dtype) for name, dtype in _POSTED.items()))
    return Postings.validate(pl.concat(columns).filter(pl.col("amount_cents") != 0))


def _signed(journal: dy.DataFrame[Journal]) -> pl.DataFrame:
    """Journal rows as postings; of which journal does not matter here."""
    return journal.with_columns(amount_cents=pl.col("debit_cents") - pl.col("credit_cents"), book=pl.lit("")).select(
        pl.col(name).cast(dtype) for name, dtype in _POSTED.items()
    )


def _invoices(postings: pl.DataFrame) -> pl.DataFrame:
    """What each invoice asks for with its credit notes, less what was written off, and its VAT."""
    amount, role = pl.col("amount_cents"), pl.col("role")
    return (
        postings.filter(pl.col("kind").is_in(["invoice", "credit_note", "write_off"]))
        .sort(pl.col("kind") != "invoice", "posted_on", "piece")
        .group_by("invoice_number", "currency", maintain_order=True)
        .agg(
            pl.col("payer_id", "billing_month").first(),
            payable_cents=amount.filter(role == "receivable").sum(),
            vat_cents=-amount.filter(role == "vat_pending").sum(),
        )
    )


def _effects(matched: pl.DataFrame, invoices: pl.DataFrame, *, is_vat_moved: bool) -> pl.DataFrame:
    """What each payment does, per role: `_NAMED` and `amount_cents`, debits positive."""
    asks, zero = pl.col("payable_cents").fill_null(0), pl.lit(0, pl.Int64)
    whole = pl.when(asks == 0).then(1).otherwise(asks.abs()).cast(pl.Int128)
    vat = pl.col("vat_cents").fill_null(0).cast(pl.Int128)
    key = ["invoice_number", "currency"]
    paid = (
        matched.join(invoices.select(*key, "payable_cents", "vat_cents"), on=key, how="left")
        .sort("place")
        .with_columns(so_far=pl.col("received_cents").cum_sum().over(key))
        .with_columns(before=pl.col("so_far") - pl.col("received_cents"))
        .with_columns(pl.col("so_far", "before").clip(pl.min_horizontal(asks, zero), pl.max_horizontal(asks, zero)))
        .with_columns(paid_cents=pl.col("so_far") - pl.col("before"))
        .with_columns(
            vat=(
                rounded_half_away(pl.col("so_far").abs() * vat, whole)
                - rounded_half_away(pl.col("before").abs() * vat, whole)
            ).cast(pl.Int64)
        )
    )
    amounts = {
        "bank": pl.col("received_cents"),
        "receivable": -pl.col("paid_cents"),
        "unassigned": pl.col("paid_cents") - pl.col("received_cents"),
    }
    if is_vat_moved:
        amounts |= {"vat_pending": pl.col("vat"), "vat_due": -pl.col("vat")}
    effects = pl.concat(paid.with_columns(role=pl.lit(role), amount_cents=amount) for role, amount in amounts.items())
    # What the bank has does not depend on what it pays.
    is_bank = pl.col("role") == "bank"
    return effects.with_columns(
        payer_id=pl.when(is_bank).then("sender_id").otherwise("payer_id"),
        invoice_number=pl.when(~is_bank).then("invoice_number"),
    ).select(*_NAMED, "amount_cents")


def _require_balanced(postings: dy.DataFrame[Postings]) -> None:
    sums = postings.group_by(_ENTRY).agg(pl.col("amount_cents").cast(pl.Int128).sum())
    wrong = sums.filter(pl.col("amount_cents") != 0).sort(_ENTRY)
    if wrong.height:
        first = wrong.row(0, named=True)
        message = (
            f"{wrong.height:,} entries are not balanced, first {first['kind']} {first['piece']} of "
            f"{first['posted_on']}: debits are {first['amount_cents']:,} more than credits (cents of "
            f"{first['currency']}); nothing was written, this is an error of the pipeline, report it"
        )
        raise UnbalancedEntry(message)

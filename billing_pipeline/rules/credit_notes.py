"""Credit notes: what corrections take off an issued invoice beyond the fees of the one that would book them, and whole
invoices that were cancelled.

A credit note refers to the corrected invoice and has positive amounts. What it credits is given back in the reverse
order in which credits and money paid that invoice: the part that was invoiced at once first, with its VAT at the
invoice's rate, then prepaid credits, then free lots from the last one that paid to the first. What was given back
before is not given back again; what a later invoice had added to the corrected one's month is money, too.

A cancelled invoice is credited line by line, less what corrections took off its lines before, and with it its refill:
all of one that never reached the prepaid balance, else what nobody spent of it. What is left of its VAT is credited
with what is left of its subtotal, so that nothing of it remains. To an invoice beside the monthly one no credits were
paid, and the credits that it sells are what a refill is to the others.

An invoice that is issued again is credited like one that is cancelled, but no credits move: those that paid it pay the
new one, which asks for its refill. That no credit note refers to it yet is required before.

Prepaid credits and free lots come back when the month of the credit note opens, and may pay its fees. A free lot whose
validity has ended pays nothing any more; it lapses with that month's statement, as one of a closed organisation does.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from hashlib import sha256
from typing import Any, NamedTuple

import dataframely as dy
import polars as pl

from billing_pipeline.rules.period import Month
from billing_pipeline.rules.refunds import Sale, find_unspent, less_refunded
from billing_pipeline.rules.rounding import round_half_away
from billing_pipeline.tables.corrections import CreditNoteLines, CreditNotes, Differences, GivenBack
from billing_pipeline.tables.credits import CreditAccounts, CreditLots, CreditMovements, CreditStatements, OpenLots
from billing_pipeline.tables.interim import InterimInvoices
from billing_pipeline.tables.invoices import InvoiceLines, Invoices, SpecificInvoices

#: What is given back beside free lots, whose ids hold no blank.
_MONEY, _PREPAID, _UNPAID_REFILL, _UNSPENT_REFILL = "", "prepaid", "unpaid refill", "unspent refill"


class CorrectedInvoice(NamedTuple):
    """An issued invoice, and what paid it."""

    #: A row of `tables.invoices.Invoices` or `ReissuedInvoices`, or of `SpecificInvoices` with an empty `basis_hash`.
    invoice: Mapping[str, Any]
    #: A row of `tables.credits.CreditStatements`, or what stands for it beside the monthly invoice.
    statement: Mapping[str, Any]
    lots: dy.DataFrame[CreditLots]

    @property
    def is_monthly(self) -> bool:
        """Whether it is the invoice of its month: corrections are taken off no other."""
        return "reference" not in self.invoice


class CreditedInvoice(NamedTuple):
    """An issued invoice that is to be credited as a whole, or whose unspent refill is."""

    #: The entry of the books that decides it.
    decision: int
    number: str
    #: Who holds its payer's credits now.
    holder_id: str
    #: As `uncredited_lines` returns them; none where only the refill is credited.
    lines: dy.DataFrame[InvoiceLines]
    #: Whether its refill, or what it sold, reached the prepaid balance.
    is_refill_settled: bool
    #: Why it is issued again; None where it is not.
    reissue_reason: str | None = None


class HeldPrepaid(NamedTuple):
    """A prepaid balance, and the sales that it may be what is left of, the newest first."""

    balance_cents: int
    sales: Sequence[Sale]


class DraftedCreditNotes(NamedTuple):
    """The credit notes of a month, without numbers yet."""

    notes: dy.DataFrame[CreditNotes]
    lines: dy.DataFrame[CreditNoteLines]
    #: What these notes give back.
    given_back: dy.DataFrame[GivenBack]
    #: The lots as they paid the corrected invoices, under whoever holds them now.
    lots: pl.DataFrame


def corrected_invoices(
    invoices: dy.DataFrame[Invoices],
    statements: dy.DataFrame[CreditStatements],
    lots: dy.DataFrame[CreditLots],
) -> dict[str, CorrectedInvoice]:
    """The invoices of a month by number, each with its statement and lots."""
    stated = {row["payer_id"]: row for row in statements.iter_rows(named=True)}
    return {
        row["number"]: CorrectedInvoice(
            row, stated[row["payer_id"]], CreditLots.validate(lots.filter(pl.col("payer_id") == row["payer_id"]))
        )
        for row in invoices.iter_rows(named=True)
    }


def corrected_documents(
    documents: dy.DataFrame[SpecificInvoices] | dy.DataFrame[InterimInvoices],
) -> dict[str, CorrectedInvoice]:
    """Invoices beside the monthly ones by number: no credits paid them, and what they sell is their refill."""
    return {
        row["number"]: CorrectedInvoice(
            row | {"basis_hash": ""},
            {
                "fees_cents": row["fees_cents"],
                "free_used_cents": 0,
                "prepaid_used_cents": 0,
                "refill_cents": row["used_credits_cents"],
            },
            CreditLots.create_empty(),
        )
        for row in documents.iter_rows(named=True)
    }


def uncredited_lines(
    lines: dy.DataFrame[InvoiceLines], approved: dy.DataFrame[Differences]
) -> dy.DataFrame[InvoiceLines]:
    """The lines of an invoice, less what corrections took off them; what corrections added is on other invoices.

    Args:
        lines: of one invoice.
        approved: the corrections of its month that were approved, one below the other.
    """
    figures = ("quantity", "duration_s", "cents")
    taken = approved.group_by("line_id").agg(
        (pl.col(f"rated_{figure}").fill_null(0) - pl.col(f"billed_{figure}").fill_null(0)).sum().alias(f"{figure}_off")
        for figure in figures
    )
    issued, zero = pl.col("amount_cents"), pl.lit(0, pl.Int64)
    net = issued + pl.col("cents_off").fill_null(0)
    left = net.clip(pl.min_horizontal(issued, zero), pl.max_horizontal(issued, zero))
    is_lowered = left != issued
    rest = lines.join(taken, on="line_id", how="left", maintain_order="left").with_columns(
        quantity=pl.when(is_lowered).then(pl.col("quantity") + pl.col("quantity_off")).otherwise("quantity"),
        duration_s=pl.when(is_lowered).then(pl.col("duration_s") + pl.col("duration_s_off")).otherwise("duration_s"),
        amount_cents=left,
    )
    kept = rest.filter(pl.col("amount_cents") != 0).select(InvoiceLines.column_names())
    return InvoiceLines.validate(kept)


def draft_credit_notes(
    left_over: pl.DataFrame,
    invoices: Mapping[str, CorrectedInvoice],
    given_before: dy.DataFrame[GivenBack],
    month: Month,
    cancelled: Sequence[CreditedInvoice] = (),
    prepaid: Mapping[str, HeldPrepaid] | None = None,
) -> DraftedCreditNotes:
    """One credit note per corrected or cancelled invoice.

    Invoices are credited from the newest month to the oldest, so that prepaid credits which one gives back are unspent
    credits of an older sale again.

    Args:
        left_over: as `rules.corrections.book_corrections` returns it; with `corrected_payer_id`.
        invoices: the corrected and cancelled invoices, by number.
        given_before: what earlier credit notes gave back.
        month: the month with whose invoices they are issued.
        cancelled: the invoices to credit as a whole, or by what is unspent of their refills.
        prepaid: what is held by those who hold the credits of cancelled invoices.
    """
    keys = {number: _key(corrected) for number, corrected in invoices.items()}
    numbers = {keys[number]: number for number, corrected in invoices.items() if corrected.is_monthly}
    lines = pl.concat(
        [_correction_lines(left_over, numbers, month), *(_cancelled_lines(one, month) for one in cancelled)]
    )
    corrected_keys = left_over.select("origin_month", "corrected_payer_id", "payer_id").unique().iter_rows()
    holders = {numbers[origin, payer]: holder for origin, payer, holder in corrected_keys}
    decided = {one.number: one for one in cancelled}
    holders |= {one.number: one.holder_id for one in cancelled}
    held = dict(prepaid or {})
    credited = dict(lines.group_by("refers_to").agg(pl.col("amount_cents").cast(pl.Int128).sum()).iter_rows())
    notes, given, lots = [], [], []
    for number in sorted(holders, key=lambda number: (keys[number], number), reverse=True):
        corrected, cancellation, holder = invoices[number], decided.get(number), holders[number]
        before = given_before.filter(pl.col("refers_to") == number)
        parts = dict(_give_back(int(credited.get(number, 0)), corrected, before))
        refill = _credit_refill(cancellation, corrected, held.get(holder)) if cancellation else {}
        if holder in held and not (cancellation and cancellation.reissue_reason):
            held[holder] = _held_after(held[holder], number, parts[_PREPAID], refill.get(_UNSPENT_REFILL, 0))
        decision = cancellation.decision if cancellation else None
        about = {
            "refers_to": number, "billing_month": str(month), "payer_id": corrected.invoice["payer_id"],
            "holder_id": holder, "decision": decision,
            "reissue_reason": cancellation.reissue_reason if cancellation else None,
        }  # fmt: skip
        both = {grant: cents for grant, cents in (parts | refill).items() if cents}
        if both:
            notes.append({**corrected.invoice, **about, **_amounts(both, corrected.invoice, before)})
        if about["reissue_reason"] is not None:
            given.append(about | {"grant_id": _MONEY, "amount_cents": 0})
            continue
        given += [about | {"grant_id": grant, "amount_cents": cents} for grant, cents in both.items()]
        if not both:
            # All was spent since it was decided: that is done, too.
            given.append(about | {"grant_id": _UNSPENT_REFILL, "amount_cents": 0})
        returned = [grant for grant in both if grant in corrected.lots["grant_id"]]
        lots.append(
            corrected.lots.filter(pl.col("grant_id").is_in(returned)).with_columns(payer_id=pl.lit(holder, pl.String))
        )
    order = ("refers_to", "owner_id", "slug", "resource_id", "approval", "line_id")
    return DraftedCreditNotes(
        CreditNotes.validate(CreditNotes.cast(_frame(CreditNotes, notes).sort("payer_id", "refers_to"))),
        CreditNoteLines.validate(lines.sort(order)),
        GivenBack.validate(_frame(GivenBack, given).sort("refers_to", "grant_id")),
        pl.concat([CreditLots.create_empty(), *lots]).unique("grant_id").sort("payer_id", "grant_id"),
    )


def _key(corrected: CorrectedInvoice) -> tuple[str, str]:
    """The month that an invoice is about, and its payer."""
    return f"{corrected.invoice['period_start']:%Y-%m}", corrected.invoice["payer_id"]


def _credit_refill(cancelled: CreditedInvoice, corrected: CorrectedInvoice, held: HeldPrepaid | None) -> dict[str, int]:
    """What is credited of the refill of a cancelled invoice, which is cancelled once."""
    if cancelled.is_refill_settled:
        unspent = find_unspent(held.sales, held.balance_cents) if held else {}
        return {_UNSPENT_REFILL: unspent.get(corrected.invoice["number"], 0)}
    return {_UNPAID_REFILL: corrected.statement["refill_cents"]}


def _held_after(held: HeldPrepaid, number: str, given_back_cents: int, refunded_cents: int) -> HeldPrepaid:
    balance = held.balance_cents + given_back_cents - refunded_cents
    return HeldPrepaid(balance, less_refunded(held.sales, number, refunded_cents))


def _frame(table: type[dy.Schema], rows: list[dict[str, Any]]) -> pl.DataFrame:
    schema = {
        name: pl.String if isinstance(kind, pl.Enum) else kind for name, kind in table.create_empty().schema.items()
    }
    return pl.DataFrame([{name: row[name] for name in schema} for row in rows], schema=schema)


def _give_back(credit_cents: int, corrected: CorrectedInvoice, before: pl.DataFrame) -> Iterator[tuple[str, int]]:
    """Who gets what of an amount back: money, prepaid credits, free lots, and what is left in money again."""
    statement = corrected.statement
    given = dict(before.group_by("grant_id").agg(pl.col("amount_cents").sum()).iter_rows())
    uncovered = statement["fees_cents"] + statement["free_used_cents"] + statement["prepaid_used_cents"]
    order = ["priority", "expires_at", "starts_at", "grant_id"]
    in_order = corrected.lots.sort(order, nulls_last=[False, True, False, False]).reverse()
    paid = [(_MONEY, uncovered), (_PREPAID, -statement["prepaid_used_cents"])]
    paid += [(grant, -used) for grant, used in in_order.select("grant_id", "used_cents").iter_rows() if used]
    parts = dict.fromkeys((name for name, _ in paid), 0)
    left = credit_cents
    for name, cents in paid:
        parts[name] = min(left, max(0, cents - given.get(name, 0)))
        left -= parts[name]
    parts[_MONEY] += left
    yield from parts.items()


def _amounts(parts: Mapping[str, int], invoice: Mapping[str, Any], before: pl.DataFrame) -> dict[str, Any]:
    """The figures of a credit note, and what it says of the invoice that it corrects."""
    fees, prepaid = parts.get(_MONEY, 0), parts.get(_PREPAID, 0)
    refills = {grant: parts.get(grant, 0) for grant in (_UNPAID_REFILL, _UNSPENT_REFILL)}
    free = sum(parts.values()) - fees - prepaid - sum(refills.values())
    money = fees + sum(refills.values())
    vat_cents = _credit_vat(money, invoice, before)
    return {
        "kind": "credit_note",
        "number": None,
        "issued_on": None,
        "due_on": None,
        "refers_to_issued_on": invoice["issued_on"],
        "fees_cents": fees + prepaid + free,
        "used_credits_cents": sum(refills.values()) - prepaid - free,
        "prepaid_given_back_cents": prepaid,
        "free_given_back_cents": free,
        "refill_cancelled_cents": refills[_UNPAID_REFILL],
        "prepaid_refunded_cents": refills[_UNSPENT_REFILL],
        "subtotal_cents": money,
        "vat_cents": vat_cents,
        "payable_cents": money + vat_cents,
    }


def _credit_vat(money: int, invoice: Mapping[str, Any], before: pl.DataFrame) -> int:
    """The VAT of what is credited in money: the last credit note of an invoice takes what is left of its VAT."""
    in_money = before.filter(pl.col("grant_id").is_in([_MONEY, _UNPAID_REFILL, _UNSPENT_REFILL]))
    earlier = in_money.group_by("billing_month").agg(pl.col("amount_cents").sum())["amount_cents"].to_list()
    if sum(earlier) + money == invoice["subtotal_cents"]:
        return invoice["vat_cents"] - sum(round_half_away(cents * invoice["vat_ppm"], 10**6) for cents in earlier)
    return round_half_away(money * invoice["vat_ppm"], 10**6)


def _line_ids(month: Month, keys: Iterable[tuple[int, str]]) -> pl.Series:
    """The ids of a credit note's lines; no part of them holds a `|`."""
    ids = [sha256(f"credit_note|{month}|{decision}|{line}".encode()).hexdigest()[:32] for decision, line in keys]
    return pl.Series(ids, dtype=pl.String)


def _correction_lines(
    left_over: pl.DataFrame, numbers: Mapping[tuple[str, str], str], month: Month
) -> dy.DataFrame[CreditNoteLines]:
    of_invoice = [numbers[key] for key in left_over.select("origin_month", "corrected_payer_id").iter_rows()]
    duration = pl.col("billed_duration_s").fill_null(0) - pl.col("rated_duration_s").fill_null(0)
    is_timed = pl.any_horizontal(pl.col("rated_duration_s", "billed_duration_s").is_not_null())
    lines = left_over.with_columns(
        line_id=_line_ids(month, left_over.select("approval", "corrected_line_id").iter_rows()),
        refers_to=pl.Series(of_invoice, dtype=pl.String),
        holder_id="payer_id",
        payer_id="corrected_payer_id",
        quantity=pl.col("billed_quantity") - pl.col("rated_quantity"),
        duration_s=pl.when(is_timed).then(duration),
        amount_cents="credit_cents",
        correction_cause="cause",
    )
    return CreditNoteLines.validate(CreditNoteLines.cast(lines))


def _cancelled_lines(cancelled: CreditedInvoice, month: Month) -> dy.DataFrame[CreditNoteLines]:
    """What is left of an invoice's lines; one that corrected an older month is named by the line it corrected."""
    keys = [(cancelled.decision, line) for line in cancelled.lines["line_id"]]
    lines = cancelled.lines.with_columns(
        line_id=_line_ids(month, keys),
        corrected_line_id=pl.coalesce("corrected_line_id", "line_id"),
        approval=pl.lit(cancelled.decision, pl.Int64),
        refers_to=pl.lit(cancelled.number),
        holder_id=pl.lit(cancelled.holder_id),
        correction_cause=pl.lit("cancelled"),
        billed_cents="amount_cents",
        rated_cents=pl.lit(0, pl.Int64),
    )
    return CreditNoteLines.validate(CreditNoteLines.cast(lines))


def give_back_prepaid(
    accounts: dy.DataFrame[CreditAccounts], given_back: dy.DataFrame[GivenBack]
) -> dy.DataFrame[CreditAccounts]:
    """The accounts with the prepaid credits that come back, without those that are refunded."""
    returned = prepaid_given_back(given_back)
    raised = accounts.join(returned, on="payer_id", how="left", maintain_order="left").with_columns(
        prepaid_before_cents=pl.col("prepaid_before_cents") + pl.col("given_back_cents").fill_null(0)
    )
    return CreditAccounts.validate(raised)


def prepaid_given_back(given_back: dy.DataFrame[GivenBack]) -> pl.DataFrame:
    """`given_back_cents` of prepaid credits per holder, as `payer_id`; those that are refunded in money count less."""
    prepaid = given_back.filter(pl.col("grant_id").is_in([_PREPAID, _UNSPENT_REFILL]))
    amount = pl.col("amount_cents")
    signed = pl.when(pl.col("grant_id") == _PREPAID).then(amount).otherwise(0 - amount)
    return prepaid.group_by(payer_id="holder_id").agg(given_back_cents=signed.sum())


def reopen_lots(
    opened: dy.DataFrame[OpenLots], given_back: dy.DataFrame[GivenBack], lots: pl.DataFrame
) -> dy.DataFrame[OpenLots]:
    """The lots that may pay, with what comes back; one that was used up or lapsed is open again.

    Args:
        opened: the month's lots.
        given_back: what comes back.
        lots: the lots as they paid the corrected invoices, under whoever holds them now.
    """
    columns = OpenLots.column_names()
    again = lots.join(opened, on="grant_id", how="anti").with_columns(left_before_cents=pl.lit(0, pl.Int64))
    returned = given_back.group_by("grant_id").agg(given_back_cents=pl.col("amount_cents").sum())
    reopened = (
        pl.concat([opened.select(columns), again.select(columns)])
        .join(returned, on="grant_id", how="left")
        .with_columns(left_before_cents=pl.col("left_before_cents") + pl.col("given_back_cents").fill_null(0))
    )
    return OpenLots.validate(reopened.select(columns).sort("payer_id", "grant_id"))


def given_back_movements(
    given_back: dy.DataFrame[GivenBack], accounts: dy.DataFrame[CreditAccounts]
) -> dy.DataFrame[CreditMovements]:
    """What comes back to credits, and prepaid ones that are refunded, booked when the month opens."""
    is_refund = pl.col("grant_id") == _UNSPENT_REFILL
    amount = pl.col("amount_cents")
    returned = (
        given_back.filter(~pl.col("grant_id").is_in([_MONEY, _UNPAID_REFILL]), amount != 0)
        .with_columns(
            kind=pl.when(is_refund).then(pl.lit("refunded")).otherwise(pl.lit("given_back")),
            amount_cents=pl.when(is_refund).then(0 - amount).otherwise(amount),
            grant_id=pl.when(is_refund).then(pl.lit(_PREPAID)).otherwise("grant_id"),
        )
        .group_by("grant_id", "kind", payer_id="holder_id")
        .agg(pl.col("amount_cents").sum())
        .join(accounts.select("payer_id", "currency"), on="payer_id")
        .with_columns(line_id=pl.lit(""))
    )
    return CreditMovements.validate(CreditMovements.cast(returned.sort("payer_id", "kind", "grant_id")))

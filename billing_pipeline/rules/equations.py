"""The equations that hold on every run, at zero tolerance, as values that can be shown and checked."""

from collections.abc import Mapping
from dataclasses import dataclass

import dataframely as dy
import polars as pl

from billing_pipeline.tables.credits import Adjustments, CreditLots, CreditStatements
from billing_pipeline.tables.invoices import Drafts, InvoiceLines, Invoices
from billing_pipeline.tables.rating import Charges
from billing_pipeline.tables.usage import FileReceipts


@dataclass(frozen=True)
class Equation:
    """Both sides of an equation, with the sentence that states it for one month."""

    name: str
    sentence: str
    figures: Mapping[str, int]
    holds: bool


def _equal(name: str, what: str, left: tuple[str, int], right: tuple[str, int]) -> Equation:
    sentence = f"{what}: {left[0]} {left[1]:,}, {right[0]} {right[1]:,}"
    return Equation(name, sentence, dict((left, right)), left[1] == right[1])


def rows_are_conserved(receipts: dy.DataFrame[FileReceipts], quarantined: int) -> Equation:
    """Input rows = accepted + duplicate + superseded + quarantined, and every quarantined row is published."""
    parts = ("accepted_rows", "duplicate_rows", "superseded_rows")
    accounted = sum(int(receipts[part].sum()) for part in parts) + quarantined
    return _equal(
        "rows_are_conserved",
        "every raw row is accounted for",
        ("input_rows", int(receipts["input_rows"].sum())),
        ("accounted_rows", accounted),
    )


def lines_make_fees(
    charges: dy.DataFrame[Charges], adjustments: dy.DataFrame[Adjustments], statements: dy.DataFrame[CreditStatements]
) -> Equation:
    """Σ lines - discounts + true-ups = total fees F of the statements."""
    net = int(charges["charge_cents"].sum()) + int(adjustments["amount_cents"].sum())
    return _equal(
        "lines_make_fees",
        "lines, discounts and least amounts are the fees",
        ("line_cents", net),
        ("fees_cents", int(statements["fees_cents"].sum())),
    )


def balances_continue(statements: dy.DataFrame[CreditStatements], before: pl.DataFrame, opening_cents: int) -> Equation:
    """b + g of a month = b + e + g + h of the month before + prepaid opening balances that enter.

    `before` are the statements of the month before, under whoever holds their credits now.

    With the statement's own formulas this makes revenue conserved over an organisation's life: Σ subtotal = Σ F - free
    used + prepaid unspent - opening prepaid balances + refills pending.
    """
    now = int((statements["prepaid_before_cents"] + statements["pending_cents"]).sum())
    continued = before.join(statements, on="payer_id", how="semi")
    letters = ("prepaid_before_cents", "prepaid_used_cents", "pending_cents", "refill_cents")
    then = sum(int(continued[letter].sum()) for letter in letters)
    return _equal(
        "balances_continue",
        "prepaid and pending credits are those of the month before",
        ("prepaid_and_pending_cents", now),
        ("left_before_and_opening_cents", then + opening_cents),
    )


def grants_are_conserved(lots: dy.DataFrame[CreditLots], used_cents: int, expired_cents: int) -> Equation:
    """Per lot: what earlier months left = used + expired + left; uses and expiries are the statements'."""
    before = int(lots["left_before_cents"].sum())
    return _equal(
        "grants_are_conserved",
        "free credits are used, expired or left",
        ("before_cents", before),
        ("used_expired_left_cents", -used_cents - expired_cents + int(lots["left_after_cents"].sum())),
    )


def credits_match_statements(movements: pl.DataFrame, statements: dy.DataFrame[CreditStatements]) -> Equation:
    """The movements of uses, expiries and refills add up to c + d + e + h."""
    kinds = ("free_used", "free_expired", "prepaid_used", "refill")
    letters = ("free_used_cents", "free_expired_cents", "prepaid_used_cents", "refill_cents")
    moved = movements.filter(pl.col("kind").cast(pl.String).is_in(kinds))
    return _equal(
        "credits_match_statements",
        "movements are what the statements say",
        ("moved_cents", int(moved["amount_cents"].sum())),
        ("stated_cents", sum(int(statements[letter].sum()) for letter in letters)),
    )


def transfers_cancel_out(movements: pl.DataFrame) -> Equation:
    """What leaves a payer that became a sub-organisation reaches its new payer."""

    def moved(kind: str) -> int:
        return int(movements.filter(pl.col("kind").cast(pl.String) == kind)["amount_cents"].sum())

    return _equal(
        "transfers_cancel_out",
        "credits that change their payer are neither made nor lost",
        ("out_cents", -moved("transferred_out")),
        ("in_cents", moved("transferred_in")),
    )


def lines_make_invoices(lines: dy.DataFrame[InvoiceLines], drafts: dy.DataFrame[Drafts]) -> Equation:
    """Σ printed lines = Σ fees of the drafts, payer by payer."""
    sums = lines.group_by("payer_id").agg(pl.col("amount_cents").sum())
    paired = drafts.join(sums, on="payer_id", how="left").with_columns(pl.col("amount_cents").fill_null(0))
    differing = paired.filter(pl.col("amount_cents") != pl.col("fees_cents")).height
    sentence = f"printed lines add up to the fees of each invoice: {drafts.height:,} drafts, {differing:,} differ"
    return Equation("lines_make_invoices", sentence, {"drafts": drafts.height, "differing": differing}, differing == 0)


def organisations_are_conserved(payers: int, drafted: int, parked: int, nothing_due: int) -> Equation:
    """Payers = drafted + parked + nothing due."""
    return _equal(
        "organisations_are_conserved",
        "every payer is billed, parked or owes nothing",
        ("payers", payers),
        ("accounted_payers", drafted + parked + nothing_due),
    )


def numbers_are_gapless(serials: list[int], series: str) -> Equation:
    """The serial numbers of a series and year are 1..n, each once."""
    holds = sorted(serials) == list(range(1, len(serials) + 1))
    sentence = f"numbers of series {series} run from 1 to {max(serials, default=0):,} without a gap: {len(serials):,}"
    return Equation("numbers_are_gapless", sentence, {"numbers": len(serials), "last": max(serials, default=0)}, holds)


def invoices_are_their_drafts(drafts: dy.DataFrame[Drafts], invoices: dy.DataFrame[Invoices]) -> Equation:
    """What was issued asks for what was drafted."""
    return _equal(
        "invoices_are_their_drafts",
        "issued amounts are the drafted ones",
        ("drafted_cents", int(drafts["payable_cents"].sum())),
        ("issued_cents", int(invoices["payable_cents"].sum())),
    )

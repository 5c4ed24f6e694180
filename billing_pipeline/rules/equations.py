"""The equations that hold on every run, at zero tolerance, as values that can be shown and checked.

A whole-month equation that does not hold stops the month. An equation of one organisation names those for whom it does
not hold: they are parked (reason ``equation``) and the others are billed; its figures are those of everyone.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

import dataframely as dy
import polars as pl

from billing_pipeline.rules.evidence import identify_file
from billing_pipeline.tables.corrections import CorrectionLines
from billing_pipeline.tables.credits import Adjustments, CreditLots, CreditMovements, CreditStatements
from billing_pipeline.tables.explanations import Explanations, Lifetimes
from billing_pipeline.tables.interim import InterimDrafts, InterimLines
from billing_pipeline.tables.invoices import Drafts, InvoiceLines, Invoices, ParkedOrganisations, SpecificDrafts
from billing_pipeline.tables.journal import HeldBalances, Journal, PostedDocuments
from billing_pipeline.tables.rating import Charges, ChargeSources
from billing_pipeline.tables.usage import FileReceipts

#: The reason of a payer for whom an equation does not hold.
REASON = "equation"

_C_D_E_H = ("free_used", "free_expired", "prepaid_used", "refill")


@dataclass(frozen=True)
class Equation:
    """Both sides of an equation, with the sentence that states it for one month."""

    name: str
    sentence: str
    figures: Mapping[str, int]
    #: False stops the month.
    holds: bool
    #: Payers for whom it does not hold and what differs; they are parked.
    broken: Mapping[str, str] = field(default_factory=dict)


def park_broken(equations: Iterable[Equation]) -> dy.DataFrame[ParkedOrganisations]:
    """Everyone for whom an equation does not hold, with all that differs."""
    details: dict[str, list[str]] = {}
    for equation in equations:
        for payer, detail in equation.broken.items():
            details.setdefault(payer, []).append(f"{equation.name}: {detail}")
    rows = [
        (payer, REASON, "; ".join(said) + "; this is an error of the pipeline, report it")
        for payer, said in sorted(details.items())
    ]
    return ParkedOrganisations.validate(
        pl.DataFrame(rows, schema=ParkedOrganisations.create_empty().schema, orient="row")
    )


def _equal(name: str, what: str, left: tuple[str, int], right: tuple[str, int]) -> Equation:
    sentence = f"{what}: {left[0]} {left[1]:,}, {right[0]} {right[1]:,}"
    return Equation(name, sentence, dict((left, right)), left[1] == right[1])


def _equal_for_each(name: str, what: str, compared: pl.DataFrame, left: str, right: str) -> Equation:
    """Both sides per payer: `payer_id` and two columns of whole numbers; an absent side is 0."""
    sides = compared.with_columns(pl.col(left, right).fill_null(0).cast(pl.Int128))
    differing = sides.filter(pl.col(left) != pl.col(right)).sort("payer_id")
    broken = {
        row["payer_id"]: f"{left} {row[left]:,}, {right} {row[right]:,}" for row in differing.iter_rows(named=True)
    }
    figures = {left: int(sides[left].sum()), right: int(sides[right].sum())}
    return _for_each(name, what, figures, compared["payer_id"].n_unique(), broken)


def _none_of_each(name: str, what: str, wrong: pl.DataFrame, figures: Mapping[str, int], payers: int) -> Equation:
    """Payers to whom nothing wrong belongs: `wrong` has `payer_id` and `detail`, any number of rows each."""
    said = wrong.group_by("payer_id").agg(pl.col("detail").sort().first(), pl.len()).sort("payer_id")
    broken = {
        row["payer_id"]: row["detail"] + (f" and {row['len'] - 1:,} more" if row["len"] > 1 else "")
        for row in said.iter_rows(named=True)
    }
    return _for_each(name, what, figures, payers, broken)


def _for_each(name: str, what: str, figures: Mapping[str, int], payers: int, broken: Mapping[str, str]) -> Equation:
    told = ", ".join(f"{figure} {value:,}" for figure, value in figures.items())
    sentence = f"{what}: {told}; {payers:,} payers, {len(broken):,} parked"
    return Equation(name, sentence, {**figures, "payers": payers, "parked": len(broken)}, holds=True, broken=broken)


def _said(rows: pl.DataFrame, detail: pl.Expr) -> pl.DataFrame:
    """What is wrong with whom. In one chunk: Polars 2.1 aborts where `format` meets several, one of them empty."""
    return rows.rechunk().select("payer_id", detail=detail)


def _sum(rows: pl.DataFrame, **columns: str | pl.Expr) -> pl.DataFrame:
    """Sums per payer in 128 bits."""
    return rows.group_by("payer_id").agg(
        **{
            name: (pl.col(value) if isinstance(value, str) else value).cast(pl.Int128).sum()
            for name, value in columns.items()
        }
    )


# Usage.


def rows_are_conserved(receipts: dy.DataFrame[FileReceipts], quarantined: int) -> Equation:
    """Input rows = accepted + duplicate + superseded + quarantined, and every quarantined row is published."""
    parts = {part: int(receipts[part].sum()) for part in ("accepted_rows", "duplicate_rows", "superseded_rows")}
    accounted = sum(parts.values()) + quarantined
    both = _equal(
        "rows_are_conserved",
        "every raw row is accounted for",
        ("input_rows", int(receipts["input_rows"].sum())),
        ("accounted_rows", accounted),
    )
    return Equation(both.name, both.sentence, {**both.figures, **parts, "quarantined_rows": quarantined}, both.holds)


# Rating.


def seconds_are_conserved(
    run_us: int, after_close_us: int, billed_us: int, longest_run_us: int, month_us: int, *, is_all_rated: bool
) -> Equation:
    """Billed time = length of the disjoint, usable runs inside the month, none longer than the month.

    What runs on after its organisation closed is billed to nobody.

    The same holds for every meter by a test of the rating, which stops the month there.

    Args:
        run_us: the sum of the published runs.
        after_close_us: what of it lies after the closing of its owner.
        billed_us: the sum of the segments that price them.
        longest_run_us: the longest run.
        month_us: the length of the month.
        is_all_rated: whether everything found a price; what did not is a run without a segment.
    """
    unrated_us = run_us - after_close_us - billed_us
    figures = {
        "run_us": run_us,
        "after_close_us": after_close_us,
        "billed_us": billed_us,
        "unrated_us": unrated_us,
        "longest_run_us": longest_run_us,
        "month_us": month_us,
    }
    holds = unrated_us >= 0 and not (is_all_rated and unrated_us) and longest_run_us <= month_us
    told = ", ".join(f"{figure} {value:,}" for figure, value in figures.items())
    return Equation("seconds_are_conserved", f"billed time is the length of the runs: {told}", figures, holds)


def every_line_has_sources(
    charges: pl.DataFrame, sources: dy.DataFrame[ChargeSources], receipts: pl.DataFrame
) -> Equation:
    """Every line was made of raw rows, and every raw file it names has a receipt with its path and sha256.

    The id of a file is made of both, so that a receipt cannot speak of another file.

    Args:
        charges: `line_id` and `payer_id` of the month's lines.
        sources: which files they were made from.
        receipts: `feed`, `file_id`, `path`, `sha256` of these files.
    """
    ids = [identify_file(path, checksum) for path, checksum in receipts.select("path", "sha256").iter_rows()]
    vouched = receipts.filter(pl.col("file_id") == pl.Series(ids, dtype=pl.String))
    orphans = _said(charges.join(sources, on="line_id", how="anti"), pl.format("line {} has no raw row", "line_id"))
    unknown = sources.join(vouched, on=["feed", "file_id"], how="anti")
    unvouched = _said(
        charges.join(unknown, on="line_id"),
        pl.format("line {} names the file {} without a receipt", "line_id", "file_id"),
    )
    figures = {
        "lines": charges.height,
        "source_rows": int(sources["source_rows"].sum()),
        "files": sources["file_id"].n_unique(),
        "files_without_receipt": unknown["file_id"].n_unique(),
    }
    wrong = pl.concat([orphans, unvouched])
    payers = charges["payer_id"].n_unique()
    return _none_of_each("every_line_has_sources", "every line leads to raw rows", wrong, figures, payers)


# Credits.


def lines_make_fees(
    charges: dy.DataFrame[Charges],
    adjustments: dy.DataFrame[Adjustments],
    statements: dy.DataFrame[CreditStatements],
    corrections: dy.DataFrame[CorrectionLines],
) -> Equation:
    """Σ lines - discounts + true-ups + corrections of older months = total fees F of the statements."""
    compared = (
        statements.select("payer_id", "fees_cents")
        .join(_sum(charges, charge_cents="charge_cents"), on="payer_id", how="full", coalesce=True)
        .join(_sum(adjustments, adjustment_cents="amount_cents"), on="payer_id", how="full", coalesce=True)
        .join(_sum(corrections, correction_cents="amount_cents"), on="payer_id", how="full", coalesce=True)
        .with_columns(line_cents=pl.sum_horizontal("charge_cents", "adjustment_cents", "correction_cents"))
    )
    what = "lines, discounts, least amounts and corrections are the fees"
    return _equal_for_each("lines_make_fees", what, compared, "line_cents", "fees_cents")


def statements_keep_their_formulas(statements: pl.DataFrame) -> Equation:
    """A = a + b, B = A + c + d + e + h, i = B - A, h = max(0, -(A + c + d + e + f + g)), and every sign and bound."""
    _, failures = CreditStatements.filter(statements)
    details = failures.details() if len(failures) else statements.clear()
    rules = [name for name in details.columns if name not in statements.columns]
    failed = pl.concat_str(
        (pl.when(pl.col(rule).cast(pl.String) == "invalid").then(pl.lit(rule)) for rule in rules),
        separator=", ",
        ignore_nulls=True,
    )
    wrong = _said(details, failed if rules else pl.lit(""))
    return _none_of_each(
        "statements_keep_their_formulas",
        "statements keep their formulas",
        wrong,
        {"statements": statements.height},
        statements["payer_id"].n_unique(),
    )


def balances_continue(
    statements: dy.DataFrame[CreditStatements],
    before: pl.DataFrame,
    openings: pl.DataFrame,
    given_up: pl.DataFrame,
    given_back: pl.DataFrame,
    topped_up: pl.DataFrame,
) -> Equation:
    """b + g of a month = b + e + g + h of the month before + prepaid opening balances that enter + what comes back
    + top-ups that are paid − refills given up.

    Args:
        statements: the month's.
        before: the month before's, under whoever holds their credits now.
        openings: `opening_cents` of prepaid balances that enter, per payer.
        given_up: `given_up_cents` of refills whose invoices will not be paid, per payer.
        given_back: `given_back_cents` that credit notes give back to prepaid credits, less what they refund of them,
            per payer.
        topped_up: `topped_up_cents` of top-ups that are paid, per payer.
    """
    letters = ("prepaid_before_cents", "prepaid_used_cents", "pending_cents", "refill_cents")
    compared = (
        statements.select("payer_id", now_cents=pl.col("prepaid_before_cents") + pl.col("pending_cents"))
        .join(_sum(before, then=pl.sum_horizontal(letters)), on="payer_id", how="left")
        .join(openings, on="payer_id", how="left")
        .join(given_up, on="payer_id", how="left")
        .join(given_back, on="payer_id", how="left")
        .join(topped_up, on="payer_id", how="left")
        .with_columns(
            left_before_and_opening_cents=pl.sum_horizontal(
                "then", "opening_cents", "given_back_cents", "topped_up_cents", -pl.col("given_up_cents")
            )
        )
        .rename({"now_cents": "prepaid_and_pending_cents"})
    )
    return _equal_for_each(
        "balances_continue",
        "prepaid and pending credits are those of the month before",
        compared,
        "prepaid_and_pending_cents",
        "left_before_and_opening_cents",
    )


def grants_are_conserved(lots: dy.DataFrame[CreditLots], statements: dy.DataFrame[CreditStatements]) -> Equation:
    """Per lot: what earlier months left = used + expired + left, each at least 0; and the sums are a, c and d."""
    left, used, expired = pl.col("left_after_cents"), -pl.col("used_cents"), -pl.col("expired_cents")
    is_sound = (
        (pl.col("left_before_cents") == used + expired + left)
        & (pl.min_horizontal(left, used, expired) >= 0)
        & (pl.col("granted_cents") >= pl.col("left_before_cents"))
    )
    unsound = _said(lots.filter(~is_sound), pl.format("the lot {} is not granted = used + expired + left", "grant_id"))
    sums = _sum(lots, before="left_before_cents", used="used_cents", expired="expired_cents")
    stated = statements.select("payer_id", "free_before_cents", "free_used_cents", "free_expired_cents")
    compared = stated.join(sums, on="payer_id", how="full", coalesce=True).fill_null(0)
    is_stated = (
        (pl.col("before") == pl.col("free_before_cents"))
        & (pl.col("used") == pl.col("free_used_cents"))
        & (pl.col("expired") == pl.col("free_expired_cents"))
    )
    unstated = _said(compared.filter(~is_stated), pl.lit("its lots do not add up to a, c and d"))
    figures = {
        "before_cents": int(lots["left_before_cents"].cast(pl.Int128).sum()),
        "used_expired_left_cents": int(lots.select((used + expired + left).cast(pl.Int128)).to_series().sum()),
    }
    return _none_of_each(
        "grants_are_conserved",
        "free credits are used, expired or left",
        pl.concat([unsound, unstated]),
        figures,
        statements.height,
    )


def credits_match_statements(
    movements: dy.DataFrame[CreditMovements], statements: dy.DataFrame[CreditStatements]
) -> Equation:
    """The movements of uses, expiries and refills add up to c, d, e and h, letter by letter."""
    kind = movements["kind"].cast(pl.String)
    moved = [
        _sum(movements.filter(kind == letter), moved_cents="amount_cents").with_columns(letter=pl.lit(letter))
        for letter in _C_D_E_H
    ]
    stated = [
        statements.select("payer_id", letter=pl.lit(letter), stated_cents=pl.col(f"{letter}_cents").cast(pl.Int128))
        for letter in _C_D_E_H
    ]
    compared = (
        pl.concat(stated)
        .join(pl.concat(moved), on=["payer_id", "letter"], how="full", coalesce=True)
        .with_columns(pl.col("moved_cents", "stated_cents").fill_null(0))
    )
    wrong = _said(
        compared.filter(pl.col("moved_cents") != pl.col("stated_cents")),
        pl.format("{}: moved_cents {}, stated_cents {}", "letter", "moved_cents", "stated_cents"),
    )
    figures = {side: int(compared[side].sum()) for side in ("moved_cents", "stated_cents")}
    return _none_of_each(
        "credits_match_statements", "movements are what the statements say", wrong, figures, statements.height
    )


# Invoices.


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
    """Σ printed lines = fees of the draft."""
    sums = _sum(lines, line_cents="amount_cents")
    compared = drafts.select("payer_id", "fees_cents").join(sums, on="payer_id", how="full", coalesce=True)
    return _equal_for_each(
        "lines_make_invoices", "printed lines add up to the fees", compared, "line_cents", "fees_cents"
    )


def lines_make_interims(lines: dy.DataFrame[InterimLines], drafts: dy.DataFrame[InterimDrafts]) -> Equation:
    """Σ lines of the month to date = fees to date, summed over the interim invoices of each payer."""
    sums = _sum(lines, line_cents="amount_cents")
    asked = _sum(drafts, fees_to_date_cents="fees_to_date_cents")
    compared = asked.join(sums, on="payer_id", how="full", coalesce=True)
    return _equal_for_each(
        "lines_make_interims", "lines add up to the fees to date", compared, "line_cents", "fees_to_date_cents"
    )


def charges_are_drafted(charges: pl.DataFrame, drafts: dy.DataFrame[SpecificDrafts]) -> Equation:
    """Σ one-off charges that have documents of their own = Σ subtotals of these documents.

    Args:
        charges: `tables.rating.SpecificCharges` of payers that are not held back, less those invoiced before.
        drafts: their documents.
    """
    asked = _sum(drafts, asked_cents="subtotal_cents")
    compared = _sum(charges, charge_cents="charge_cents").join(asked, on="payer_id", how="full", coalesce=True)
    return _equal_for_each(
        "charges_are_drafted", "documents ask for their charges", compared, "charge_cents", "asked_cents"
    )


def tax_is_rounded_once(drafts: pl.DataFrame) -> Equation:
    """VAT = subtotal × rate, rounded once, half away from zero: it is no more than half a cent above the exact product.

    So stated it shares nothing with the function that rounds: -1/2 < VAT - subtotal × rate <= 1/2.
    """
    error = 2 * (
        pl.col("vat_cents").cast(pl.Int128) * 10**6 - pl.col("subtotal_cents").cast(pl.Int128) * pl.col("vat_ppm")
    )
    is_rounded = (error > -(10**6)) & (error <= 10**6)
    is_sum = pl.col("payable_cents") == pl.col("subtotal_cents") + pl.col("vat_cents")
    wrong = _said(
        drafts.filter(~(is_rounded & is_sum)),
        pl.format("{} cents of VAT on {} cents at {} ppm", "vat_cents", "subtotal_cents", "vat_ppm"),
    )
    figures = {name: int(drafts[name].cast(pl.Int128).sum()) for name in ("subtotal_cents", "vat_cents")}
    return _none_of_each("tax_is_rounded_once", "VAT is rounded once per rate", wrong, figures, drafts.height)


def invoices_are_drafted_once(drafts: pl.DataFrame) -> Equation:
    """One invoice per payer, kind and period."""
    key = ("payer_id", "kind", "period_start", "period_end")
    twice = drafts.group_by(key).len().filter(pl.col("len") > 1)
    wrong = _said(twice, pl.format("{} invoices of one kind for one period", "len"))
    figures = {"invoices": drafts.height, "keys": drafts.select(key).n_unique()}
    return _none_of_each(
        "invoices_are_drafted_once",
        "one invoice per payer, kind and period",
        wrong,
        figures,
        drafts["payer_id"].n_unique(),
    )


def revenue_is_conserved(lifetimes: dy.DataFrame[Lifetimes]) -> Equation:
    """Over a life: Σ subtotal = Σ F - free used + prepaid unspent - opening balances + refills pending and given up.

    Top-ups that are pending or given up count like refills.
    """
    held = ("prepaid_cents", "pending_cents", "pending_top_ups_cents", "given_up_cents")
    became = pl.sum_horizontal(pl.col("fees_cents", "free_used_cents", *held).cast(pl.Int128)) - pl.col(
        "opening_cents"
    ).cast(pl.Int128)
    return _equal_for_each(
        "revenue_is_conserved",
        "what was ever invoiced is what was consumed or is still held",
        lifetimes.with_columns(consumed_or_held_cents=became),
        "subtotal_cents",
        "consumed_or_held_cents",
    )


def organisations_are_conserved(payers: int, drafted: int, parked: int, nothing_due: int) -> Equation:
    """Payers = drafted + parked + nothing due."""
    both = _equal(
        "organisations_are_conserved",
        "every payer is billed, parked or owes nothing",
        ("payers", payers),
        ("accounted_payers", drafted + parked + nothing_due),
    )
    parts = {"drafted": drafted, "parked": parked, "nothing_due": nothing_due}
    return Equation(both.name, both.sentence, {**both.figures, **parts}, both.holds)


def explanations_add_up(
    explanations: dy.DataFrame[Explanations],
    figures: pl.DataFrame,
    statements: dy.DataFrame[CreditStatements],
) -> Equation:
    """The steps of every figure add up to it; what lines still ask for adds up to F + c + e.

    Args:
        explanations: every step of the month.
        figures: what was published: `payer_id`, `line_id`, `figure`, `figure_cents`.
        statements: the month's, of payers with an invoice.
    """
    key = ["payer_id", "line_id", "figure"]
    told = explanations.group_by(key).agg(explained_cents=pl.col("amount_cents").cast(pl.Int128).sum())
    due = _sum(explanations.filter(pl.col("figure").cast(pl.String) == "due"), explained_cents="amount_cents")
    asked = statements.select(
        "payer_id", figure_cents=pl.sum_horizontal("fees_cents", "free_used_cents", "prepaid_used_cents")
    )
    compared = pl.concat(
        [
            figures.join(told, on=key, how="left").select("figure_cents", "explained_cents"),
            asked.join(due, on="payer_id", how="left").select("figure_cents", "explained_cents"),
        ],
        how="vertical_relaxed",
    ).fill_null(0)
    differing = compared.filter(pl.col("figure_cents") != pl.col("explained_cents")).height
    sentence = f"the steps of every figure add up to it: {compared.height:,} figures, {differing:,} differ"
    counts = {"figures": compared.height, "steps": explanations.height, "differing": differing}
    return Equation("explanations_add_up", sentence, counts, differing == 0)


# Issued invoices.


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


# The journal. Its numbers are given, so that nobody can be parked any more: what differs stops everything after it.


def _equal_everywhere(name: str, what: str, compared: pl.DataFrame, left: str, right: str) -> Equation:
    """Both sides per row, whose first column names it; an absent side is 0."""
    sides = compared.with_columns(pl.col(left, right).fill_null(0).cast(pl.Int128))
    differing = sides.filter(pl.col(left) != pl.col(right)).sort(pl.nth(0))
    figures = {left: int(sides[left].sum()), right: int(sides[right].sum()), "differing": differing.height}
    sentence = f"{what}: {left} {figures[left]:,}, {right} {figures[right]:,}, {differing.height:,} differ"
    if differing.height:
        first = differing.row(0, named=True)
        sentence += f", first {differing[:, 0][0]} ({first[left]:,} and {first[right]:,})"
    return Equation(name, sentence, figures, differing.is_empty())


def _balances(journal: dy.DataFrame[Journal], role: str, **amount: pl.Expr) -> pl.DataFrame:
    """Sums of a role's postings per organisation and currency."""
    return (
        journal.filter(pl.col("role").cast(pl.String) == role)
        .group_by("payer_id", "currency")
        .agg(**{name: value.cast(pl.Int128).sum() for name, value in amount.items()})
    )


_DEBIT, _CREDIT = pl.col("debit_cents"), pl.col("credit_cents")


def entries_are_balanced(journal: dy.DataFrame[Journal]) -> Equation:
    """Debits = credits, entry by entry and in all."""
    entries = journal.group_by(entry=pl.format("{} {} in {}", "journal", "entry_number", "currency")).agg(
        _DEBIT.cast(pl.Int128).sum(), _CREDIT.cast(pl.Int128).sum()
    )
    return _equal_everywhere("entries_are_balanced", "entries balance", entries, "debit_cents", "credit_cents")


def entries_are_numbered(journal: dy.DataFrame[Journal]) -> Equation:
    """Each journal numbers its entries 1..n over all months, and no later number has an earlier day of validation."""
    entries = journal.select("journal", "entry_number", "validated_on").unique().sort("journal", "entry_number")
    out_of_order = entries.filter(
        (pl.col("entry_number") != pl.int_range(1, pl.len() + 1).over("journal"))
        | (pl.col("validated_on").diff().over("journal").dt.total_days() < 0)
    )
    sentence = f"entries are numbered without a gap: {entries.height:,}, {out_of_order.height:,} out of order"
    figures = {"entries": entries.height, "out_of_order": out_of_order.height}
    return Equation("entries_are_numbered", sentence, figures, out_of_order.is_empty())


def invoices_are_journalled(documents: dy.DataFrame[PostedDocuments], journal: dy.DataFrame[Journal]) -> Equation:
    """Σ invoices = Σ journal, document by document: what each asks for is what its entry says is receivable."""
    sign = pl.when(pl.col("kind").cast(pl.String) == "credit_note").then(-1).otherwise(1)
    posted = (
        journal.filter(
            pl.col("role").cast(pl.String) == "receivable",
            pl.col("kind").cast(pl.String).is_in(["invoice", "credit_note"]),
        )
        .group_by(number="piece")
        .agg(receivable_cents=(_DEBIT - _CREDIT).cast(pl.Int128).sum())
    )
    compared = documents.select("number", payable_cents=pl.col("payable_cents") * sign).join(
        posted, on="number", how="full", coalesce=True
    )
    what = "invoices are what the journal says"
    return _equal_everywhere("invoices_are_journalled", what, compared, "payable_cents", "receivable_cents")


def advances_are_held(held: dy.DataFrame[HeldBalances], journal: dy.DataFrame[Journal]) -> Equation:
    """Per organisation: minus its advances = prepaid balance + refills that are invoiced and not settled."""
    compared = (
        held.drop_nulls("advances_cents")
        .select("payer_id", "currency", held_cents="advances_cents")
        .join(_balances(journal, "advances", advances_cents=_CREDIT - _DEBIT), on=["payer_id", "currency"], how="left")
    )
    what = "advances are prepaid balances and pending refills"
    return _equal_everywhere("advances_are_held", what, compared, "held_cents", "advances_cents")


def receivables_are_open(held: dy.DataFrame[HeldBalances], journal: dy.DataFrame[Journal]) -> Equation:
    """Per organisation: its receivables = what its invoices ask for that is not paid."""
    compared = held.select("payer_id", "currency", open_cents="receivable_cents").join(
        _balances(journal, "receivable", receivable_cents=_DEBIT - _CREDIT),
        on=["payer_id", "currency"],
        how="full",
        coalesce=True,
    )
    return _equal_everywhere(
        "receivables_are_open", "receivables are open invoices", compared, "open_cents", "receivable_cents"
    )

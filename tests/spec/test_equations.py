"""Every equation holds for honest tables and sees a cent, row or second that is not accounted for."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from billing_pipeline.rules.credit_notes import prepaid_given_back
from billing_pipeline.rules.equations import (
    Equation,
    balances_continue,
    credits_match_statements,
    every_line_has_sources,
    explanations_add_up,
    grants_are_conserved,
    invoices_are_drafted_once,
    invoices_are_their_drafts,
    lines_make_fees,
    lines_make_invoices,
    numbers_are_gapless,
    organisations_are_conserved,
    park_broken,
    revenue_is_conserved,
    rows_are_conserved,
    seconds_are_conserved,
    statements_keep_their_formulas,
    tax_is_rounded_once,
    transfers_cancel_out,
)
from billing_pipeline.rules.lifetimes import extend_lifetimes, given_up_refills, topped_up
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.corrections import CorrectionLines, CreditNotes, GivenBack
from billing_pipeline.tables.credits import CreditMovements, OpenedGrants, Refills
from billing_pipeline.tables.explanations import Explanations, Lifetimes
from billing_pipeline.tables.invoices import SpecificDrafts
from billing_pipeline.tables.usage import FileReceipts

NONE_CORRECTED, NONE_CREDITED = CorrectionLines.create_empty(), CreditNotes.create_empty()
NONE_GIVEN_BACK = prepaid_given_back(GivenBack.create_empty())
NONE_BESIDE, NONE_PENDING = SpecificDrafts.create_empty(), Refills.create_empty()
NONE_TOPPED_UP = topped_up(CreditMovements.create_empty())
PAYERS = ("acme", "zeta")


def only(payers, equation: Equation) -> bool:
    """The equation does not hold for these payers alone; they are parked and the month goes on."""
    parked = park_broken([equation])
    assert parked["reason"].unique().to_list() == ["equation"]
    assert equation.figures["parked"] == len(equation.broken)
    return equation.holds and parked["payer_id"].to_list() == list(payers)


def nobody(equation: Equation) -> bool:
    return equation.holds and not equation.broken


def add(rows: pl.DataFrame, column: str, amount: int = 1, payer: str = "zeta") -> pl.DataFrame:
    """The same rows, with an amount of one payer changed."""
    changed = pl.when(pl.col("payer_id") == payer).then(pl.col(column) + amount).otherwise(column)
    return rows.with_columns(changed.alias(column))


@pytest.fixture
def charges(given):
    return given.charges(
        *({"payer_id": payer, "charge_cents": cents} for payer in PAYERS for cents in (700, 333)),
    )


@pytest.fixture
def bill(given, charges):
    """Two payers with a coupon of 4.00, prepaid 3.00, and a discount of 10 %."""
    lots = given.lots(*({"payer_id": payer, "grant_id": f"gift-{payer}", "left_before_cents": 400} for payer in PAYERS))
    accounts = given.accounts(*({"payer_id": payer, "prepaid_before_cents": 300} for payer in PAYERS))
    organisations = given.organisations(*({"owner_id": payer, "discount_ppm": 100_000} for payer in PAYERS))
    settlement, drafted = given.bill(charges, lots, accounts, vat_ppm=200_000, organisations=organisations)
    return settlement, drafted, given.adjust(charges, organisations).adjustments


def test_every_raw_row_is_accounted_for():
    receipts = FileReceipts.validate(
        pl.DataFrame(
            [("usage", "f", "path", "sha", 10, 6, 2, 1, 1, None, None)],
            schema=FileReceipts.create_empty().schema,
            orient="row",
        )
    )

    assert rows_are_conserved(receipts, 1).holds
    assert rows_are_conserved(receipts, 1).figures["duplicate_rows"] == 2
    assert not rows_are_conserved(receipts, 0).holds
    assert not rows_are_conserved(receipts.with_columns(pl.col("accepted_rows") - 1), 1).holds


def test_billed_seconds_are_those_of_the_runs():
    assert seconds_are_conserved(100, 0, 100, 60, 60, is_all_rated=True).holds
    assert seconds_are_conserved(100, 0, 90, 60, 60, is_all_rated=False).holds
    assert not seconds_are_conserved(100, 0, 90, 60, 60, is_all_rated=True).holds
    assert not seconds_are_conserved(100, 0, 101, 60, 60, is_all_rated=False).holds


def test_what_runs_on_after_its_organisation_closed_is_billed_to_nobody():
    assert seconds_are_conserved(100, 10, 90, 60, 60, is_all_rated=True).holds
    assert not seconds_are_conserved(100, 10, 100, 60, 60, is_all_rated=False).holds


def test_no_run_is_longer_than_the_month():
    assert not seconds_are_conserved(100, 0, 100, 61, 60, is_all_rated=True).holds


@pytest.fixture
def sources(charges):
    """Every line made of one row of a file, whose id is made of its path and checksum."""
    rows = charges.select("line_id", feed=pl.lit("runtime_intervals"), file_id=pl.lit(FILE_ID), source_rows=pl.lit(1))
    receipt = {"feed": "runtime_intervals", "file_id": FILE_ID, "path": "day/file.parquet", "sha256": "00ff"}
    return rows, pl.DataFrame([receipt])


#: sha256("day/file.parquet|00ff"), its first 16 digits.
FILE_ID = "229312e5918b7f7a"


def test_every_line_leads_to_raw_rows_of_files_that_were_received(charges, sources):
    rows, receipts = sources

    assert nobody(every_line_has_sources(charges, rows, receipts))


def test_a_line_without_a_raw_row_parks_its_payer(charges, sources):
    rows, receipts = sources

    assert only(["zeta"], every_line_has_sources(charges, rows.head(3), receipts))


def test_a_file_without_its_receipt_or_with_another_checksum_parks_who_was_billed_from_it(charges, sources):
    rows, receipts = sources
    other = receipts.with_columns(sha256=pl.lit("00fe"))

    assert only(PAYERS, every_line_has_sources(charges, rows, receipts.clear()))
    assert only(PAYERS, every_line_has_sources(charges, rows, other))


def test_lines_less_discounts_are_the_fees(charges, bill):
    settlement, _, adjustments = bill

    assert adjustments["amount_cents"].to_list() == [-103, -103]
    statements = settlement.statements
    assert nobody(lines_make_fees(charges, adjustments, statements, NONE_CORRECTED))
    assert only(["zeta"], lines_make_fees(add(charges, "charge_cents"), adjustments, statements, NONE_CORRECTED))
    assert only(["zeta"], lines_make_fees(charges, add(adjustments, "amount_cents"), statements, NONE_CORRECTED))
    assert only(["zeta"], lines_make_fees(charges, adjustments, add(statements, "fees_cents"), NONE_CORRECTED))


def test_a_commitment_without_a_line_is_fees_too(given):
    organisations = given.organisations(*({"owner_id": payer} for payer in PAYERS))
    commitment = {"rule_id": "reserved", "owner_id": "zeta", "kind": "commitment", "amount_cents": 100}
    charges = given.charges({"payer_id": "acme", "charge_cents": 700})
    adjustments = given.adjust(charges, organisations, commitment).adjustments
    statements = given.statements({"payer_id": "acme", "fees_cents": 700}, {"payer_id": "zeta", "fees_cents": 100})

    assert nobody(lines_make_fees(charges, adjustments, statements, NONE_CORRECTED))
    assert only(["zeta"], lines_make_fees(charges, adjustments.clear(), statements, NONE_CORRECTED))


@pytest.mark.parametrize("letter", ["balance_before", "balance_after", "change", "refill"])
def test_a_statement_keeps_its_formulas(bill, letter):
    statements = bill[0].statements

    assert nobody(statements_keep_their_formulas(statements))
    broken = statements_keep_their_formulas(add(statements, f"{letter}_cents"))
    assert only(["zeta"], broken)
    assert "the_" in broken.broken["zeta"] or "every_" in broken.broken["zeta"]


def test_a_balance_below_zero_is_none(bill):
    broken = statements_keep_their_formulas(add(bill[0].statements, "prepaid_before_cents", -10_000))

    assert only(["zeta"], broken)


def test_movements_are_what_the_statements_say_letter_by_letter(bill):
    settlement = bill[0]
    swapped = settlement.movements.with_columns(
        kind=pl.when((pl.col("payer_id") == "zeta") & (pl.col("kind").cast(pl.String) == "free_used"))
        .then(pl.lit("prepaid_used"))
        .otherwise(pl.col("kind").cast(pl.String))
    )

    assert nobody(credits_match_statements(settlement.movements, settlement.statements))
    assert only(["zeta"], credits_match_statements(add(settlement.movements, "amount_cents"), settlement.statements))
    # The sum of all letters is the same; c and e are not.
    assert only(["zeta"], credits_match_statements(swapped, settlement.statements))


@pytest.mark.parametrize("part", ["left_before", "used", "expired", "left_after"])
def test_a_grant_is_used_expired_or_left(bill, part):
    settlement = bill[0]

    assert nobody(grants_are_conserved(settlement.lots, settlement.statements))
    assert only(["zeta"], grants_are_conserved(add(settlement.lots, f"{part}_cents"), settlement.statements))


def test_more_than_was_granted_is_never_left(bill):
    settlement = bill[0]

    assert only(["zeta"], grants_are_conserved(add(settlement.lots, "granted_cents", -300), settlement.statements))


def test_a_lot_that_no_statement_counts_is_seen(bill):
    settlement = bill[0]

    assert only(["zeta"], grants_are_conserved(settlement.lots, add(settlement.statements, "free_before_cents")))


def test_balances_go_on_from_the_month_before(given):
    before = given.statements(
        *({"payer_id": payer, "prepaid_before_cents": 100, "prepaid_used_cents": -40, "balance_before_cents": 100,
           "balance_after_cents": 160, "change_cents": 60, "refill_cents": 100, "forecast_cents": -160}
          for payer in PAYERS)
    )  # fmt: skip
    now = given.statements(
        *({"payer_id": payer, "prepaid_before_cents": 65, "pending_cents": 100, "balance_before_cents": 65,
           "balance_after_cents": 65} for payer in PAYERS)
    )  # fmt: skip
    openings = pl.DataFrame({"payer_id": list(PAYERS), "opening_cents": [5, 5]})

    given_up = given_up_refills(given.movements())

    assert nobody(balances_continue(now, before, openings, given_up, NONE_GIVEN_BACK, NONE_TOPPED_UP))
    assert only(
        ["zeta"],
        balances_continue(add(now, "pending_cents"), before, openings, given_up, NONE_GIVEN_BACK, NONE_TOPPED_UP),
    )
    assert only(["zeta"], balances_continue(now, before, openings.head(1), given_up, NONE_GIVEN_BACK, NONE_TOPPED_UP))


def test_who_had_no_month_before_begins_with_what_enters(given):
    now = given.statements(
        *({"payer_id": payer, "prepaid_before_cents": 5, "balance_before_cents": 5, "balance_after_cents": 5}
          for payer in PAYERS)
    )  # fmt: skip
    openings = pl.DataFrame({"payer_id": ["acme"], "opening_cents": [5]})
    given_up = given_up_refills(given.movements())

    begun = balances_continue(now, given.statements(), openings, given_up, NONE_GIVEN_BACK, NONE_TOPPED_UP)

    assert only(["zeta"], begun)


def test_a_refill_that_is_given_up_is_no_longer_pending(given):
    before = given.statements(
        *({"payer_id": payer, "refill_cents": 100, "balance_after_cents": 100, "change_cents": 100,
           "forecast_cents": -100} for payer in PAYERS)
    )  # fmt: skip
    now = given.statements(*({"payer_id": payer} for payer in PAYERS))
    movements = given.movements(
        *({"payer_id": payer, "kind": "given_up", "grant_id": "2026-09", "amount_cents": 100} for payer in PAYERS)
    )
    nothing = pl.DataFrame(schema={"payer_id": pl.String, "opening_cents": pl.Int64})

    assert nobody(balances_continue(now, before, nothing, given_up_refills(movements), NONE_GIVEN_BACK, NONE_TOPPED_UP))
    assert only(
        ["zeta"],
        balances_continue(now, before, nothing, given_up_refills(movements.head(1)), NONE_GIVEN_BACK, NONE_TOPPED_UP),
    )


def test_printed_lines_are_the_fees(bill):
    _, drafted, _ = bill

    assert nobody(lines_make_invoices(drafted.lines, drafted.drafts))
    assert only(["zeta"], lines_make_invoices(add(drafted.lines, "amount_cents"), drafted.drafts))


@pytest.mark.parametrize(("subtotal", "ppm", "vat"), [(10_03, 200_000, 2_01), (5, 100_000, 1), (4, 100_000, 0)])
def test_tax_is_rounded_once_half_away_from_zero(bill, subtotal, ppm, vat):
    drafts = bill[1].drafts.with_columns(
        subtotal_cents=subtotal, vat_ppm=ppm, vat_cents=vat, payable_cents=subtotal + vat
    )

    assert nobody(tax_is_rounded_once(drafts))
    for wrong in (-1, 1):
        assert only(["zeta"], tax_is_rounded_once(add(add(drafts, "vat_cents", wrong), "payable_cents", wrong)))
    assert only(["zeta"], tax_is_rounded_once(add(drafts, "payable_cents")))


def test_a_payer_has_one_invoice_per_kind_and_period(bill):
    drafts = bill[1].drafts

    assert nobody(invoices_are_drafted_once(drafts))
    assert only(["zeta"], invoices_are_drafted_once(pl.concat([drafts, drafts.filter(payer_id="zeta")])))
    of_another_month = drafts.filter(payer_id="zeta").with_columns(period_start=pl.lit(date(2026, 9, 1)))
    assert nobody(invoices_are_drafted_once(pl.concat([drafts, of_another_month])))


@pytest.fixture
def lifetimes(given, bill):
    """After two months, the second of which asks for as much as the first."""
    settlement, drafted, _ = bill
    opened = given.opened(*({"payer_id": payer, "grant_id": f"opening-{payer}", "kind": "prepaid",
                             "granted_cents": 300, "opened_month": "2026-10"} for payer in PAYERS))  # fmt: skip
    openings = given.movements(
        *({"payer_id": payer, "kind": "opening", "grant_id": f"opening-{payer}", "amount_cents": 300}
          for payer in PAYERS)
    )  # fmt: skip
    first = extend_lifetimes(
        Lifetimes.create_empty(),
        settlement.statements,
        drafted.drafts,
        openings,
        opened,
        given.takeovers(),
        Month(2026, 10),
        NONE_CREDITED,
        NONE_BESIDE,
        NONE_PENDING,
    )
    second = given.statements(
        *(
            {"payer_id": payer, "pending_cents": pending}
            for payer, pending in first[["payer_id", "pending_cents"]].rows()
        )
    )
    nothing = given.movements()
    assert first["prepaid_cents"].to_list() == [0, 0]
    return first, extend_lifetimes(
        first,
        second,
        drafted.drafts.clear(),
        nothing,
        opened,
        given.takeovers(),
        Month(2026, 11),
        NONE_CREDITED,
        NONE_BESIDE,
        NONE_PENDING,
    )


def test_a_month_in_which_nothing_is_invoiced_is_lived_too(lifetimes):
    assert set(lifetimes[1]["billed_month"]) == {"2026-11"}


def test_what_was_ever_invoiced_is_what_was_consumed_or_is_still_held(lifetimes):
    for months in lifetimes:
        assert nobody(revenue_is_conserved(months))
        for column in (
            "subtotal_cents",
            "fees_cents",
            "prepaid_cents",
            "pending_cents",
            "opening_cents",
            "given_up_cents",
        ):
            assert only(["zeta"], revenue_is_conserved(add(months, column)))


def test_who_has_no_statement_keeps_what_it_had(lifetimes, given):
    first, _ = lifetimes

    later = extend_lifetimes(
        first, given.statements(), pl.DataFrame(schema={"payer_id": pl.String, "subtotal_cents": pl.Int64}),
        given.movements(), OpenedGrants.create_empty(), given.takeovers(), Month(2026, 11), NONE_CREDITED,
        NONE_BESIDE, NONE_PENDING,
    )  # fmt: skip

    assert later.equals(first)


def test_the_published_example_conserves_its_revenue():
    """686.89 + 4.46 - 691.35 + 682.43 = 682.43: fees, prepaid left, opening balance, refill pending, subtotal."""
    published = {"subtotal_cents": 682_43, "fees_cents": 686_89, "free_used_cents": 0, "opening_cents": 691_35}
    published |= {"given_up_cents": 0, "pending_top_ups_cents": 0}
    held = {"prepaid_cents": 4_46, "pending_cents": 682_43}
    life = pl.DataFrame([{"payer_id": "abroad", "billed_month": "2026-03", "currency": "EUR", **published, **held}])

    assert nobody(revenue_is_conserved(Lifetimes.validate(life)))


def test_every_payer_is_billed_parked_or_owes_nothing():
    assert organisations_are_conserved(6, 3, 2, 1).holds
    assert not organisations_are_conserved(7, 3, 2, 1).holds


def test_numbers_have_no_gap_and_no_twin():
    assert numbers_are_gapless([2, 1, 3], "INV-2026").holds
    assert not numbers_are_gapless([1, 3], "INV-2026").holds
    assert not numbers_are_gapless([1, 1, 2], "INV-2026").holds


def test_what_is_issued_was_drafted(bill):
    drafts = bill[1].drafts

    assert invoices_are_their_drafts(drafts, drafts).holds
    assert not invoices_are_their_drafts(drafts, add(drafts, "payable_cents")).holds


def test_an_explanation_that_misses_a_cent_is_none(given):
    statements = given.statements({"payer_id": "acme"})
    figures = pl.DataFrame({"payer_id": "acme", "line_id": "", "figure": "vat", "figure_cents": 5}).with_columns(
        pl.col("figure").cast(Explanations.create_empty().schema["figure"])
    )

    def steps(*amounts: int) -> pl.DataFrame:
        rows = [
            {"payer_id": "acme", "line_id": "", "figure": "vat", "step": number, "what": "vat_on_lines",
             "amount_cents": amount, "currency": "EUR"}
            for number, amount in enumerate(amounts, 1)
        ]  # fmt: skip
        schema = Explanations.create_empty().schema
        records = [dict.fromkeys(schema) | row for row in rows]
        return Explanations.validate(pl.DataFrame(records, schema=schema))

    assert explanations_add_up(steps(2, 3), figures, statements).holds
    assert not explanations_add_up(steps(2, 2), figures, statements).holds
    assert not explanations_add_up(steps(), figures, statements).holds


def test_who_breaks_several_equations_is_parked_once_with_all_of_them(bill):
    settlement, drafted, _ = bill
    equations = [
        lines_make_invoices(add(drafted.lines, "amount_cents"), drafted.drafts),
        credits_match_statements(add(settlement.movements, "amount_cents"), settlement.statements),
    ]

    (row,) = park_broken(equations).to_dicts()
    assert row["payer_id"] == "zeta"
    assert "lines_make_invoices: line_cents" in row["detail"]
    assert "credits_match_statements: " in row["detail"]


def test_a_grant_may_be_used_expired_and_left_at_once(given):
    lot = {"payer_id": "acme", "grant_id": "g", "name": "g", "priority": 1, "granted_cents": 12,
           "starts_at": datetime(2026, 1, 1, tzinfo=UTC), "left_before_cents": 10, "used_cents": -5,
           "expired_cents": -3, "left_after_cents": 2}  # fmt: skip
    figures = {"free_before_cents": 10, "free_used_cents": -5, "free_expired_cents": -3, "change_cents": -8,
               "balance_before_cents": 10, "balance_after_cents": 2}  # fmt: skip

    equation = grants_are_conserved(given.carried_lots(lot), given.statements(figures))

    assert nobody(equation)
    assert (equation.figures["before_cents"], equation.figures["used_expired_left_cents"]) == (10, 10)


@pytest.mark.parametrize("side", ["charges", "adjustments", "corrections", "statements"])
def test_fees_of_who_stands_on_one_side_alone_are_seen(given, charges, bill, side):
    settlement, _, adjustments = bill
    corrections = pl.DataFrame({"payer_id": ["zeta"], "amount_cents": [5]})
    known = {
        "charges": charges.filter(payer_id="acme"), "adjustments": adjustments.filter(payer_id="acme"),
        "corrections": NONE_CORRECTED, "statements": settlement.statements.filter(payer_id="acme"),
    }  # fmt: skip
    assert nobody(lines_make_fees(known["charges"], known["adjustments"], known["statements"], known["corrections"]))
    all_of_it = {"charges": charges, "adjustments": adjustments, "corrections": corrections,
                 "statements": settlement.statements}  # fmt: skip

    rows = known | {side: all_of_it[side]}

    assert only(
        ["zeta"], lines_make_fees(rows["charges"], rows["adjustments"], rows["statements"], rows["corrections"])
    )


def test_movements_lots_and_lines_of_who_has_no_statement_or_draft_are_seen(bill):
    settlement, drafted, _ = bill
    statements = settlement.statements.filter(payer_id="acme")

    assert only(["zeta"], credits_match_statements(settlement.movements, statements))
    assert only(["zeta"], grants_are_conserved(settlement.lots, statements))
    assert only(["zeta"], lines_make_invoices(drafted.lines, drafted.drafts.filter(payer_id="acme")))


def test_a_part_of_a_lot_below_zero_is_seen(bill):
    lots = add(add(bill[0].lots, "used_cents", 500), "left_after_cents", 500)

    # Neither the lot is sound, nor is it what the statement says.
    assert grants_are_conserved(lots, bill[0].statements).broken["zeta"].endswith(" and 1 more")


def test_what_leaves_one_payer_reaches_another_and_other_movements_are_not_looked_at(given):
    moved = [
        {"kind": "transferred_out", "amount_cents": -5},
        {"kind": "transferred_in", "amount_cents": 5, "payer_id": "lab"},
    ]
    movements = given.movements(
        *({"grant_id": "g"} | movement for movement in (*moved, {"kind": "opening", "amount_cents": 3}))
    )

    assert transfers_cancel_out(movements).figures == {"out_cents": 5, "in_cents": 5}
    assert transfers_cancel_out(movements).holds
    assert not transfers_cancel_out(movements.filter(payer_id="acme")).holds


def test_before_the_first_number_the_last_one_is_0():
    assert numbers_are_gapless([], "INV").figures == {"numbers": 0, "last": 0}


def test_of_several_faults_the_first_is_told_and_the_others_are_counted(bill):
    swapped = bill[0].movements.with_columns(amount_cents=pl.col("amount_cents") + 1)
    one, more = (
        credits_match_statements(movements, bill[0].statements).broken["zeta"]
        for movements in (add(bill[0].movements.filter(pl.col("kind").cast(pl.String) == "free_used"), "amount_cents")
                          .vstack(bill[0].movements.filter(pl.col("kind").cast(pl.String) != "free_used")), swapped)
    )  # fmt: skip

    assert one.startswith("free_used: moved_cents ")
    assert " more" not in one
    assert more.startswith("free_used: moved_cents ")
    assert more.endswith(" and 2 more")

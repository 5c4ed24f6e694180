"""A month's scores: what was accounted for, what cleared, and what came in time, in millionths."""

import polars as pl
import pytest

from billing_pipeline.rules.lifetimes import extend_lifetimes
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.scores import MonthToScore, score_month
from billing_pipeline.tables.corrections import CreditNotes
from billing_pipeline.tables.credits import OpenedGrants, Refills
from billing_pipeline.tables.explanations import Lifetimes
from billing_pipeline.tables.invoices import ParkedOrganisations, SpecificDrafts
from billing_pipeline.tables.usage import FileReceipts, LateArrivals

#: feed, input, accepted, duplicate, superseded, quarantined rows.
RECEIPTS = (("runtime_intervals", 100, 80, 10, 4, 6), ("organisations", 10, 10, 0, 0, 0))


@pytest.fixture
def month(given):
    """Two payers, one with a coupon and a refill pending; a third one is parked."""

    def make(late: int = 0, reason: str = "price_missing", **tampered: object) -> MonthToScore:
        charges = given.charges({"payer_id": "acme", "charge_cents": 700}, {"payer_id": "zeta", "charge_cents": 333})
        lots = given.lots({"payer_id": "acme", "left_before_cents": 400, "grant_id": "gift"})
        accounts = given.accounts({"payer_id": "acme"}, {"payer_id": "zeta", "prepaid_before_cents": 300})
        organisations = given.organisations({"owner_id": "acme"}, {"owner_id": "zeta"})
        settlement, drafted = given.bill(charges, lots, accounts, vat_ppm=200_000)
        lifetimes = extend_lifetimes(
            Lifetimes.create_empty(), settlement.statements, drafted.drafts, settlement.movements,
            OpenedGrants.create_empty(), given.takeovers(), Month(2026, 10), CreditNotes.create_empty(),
            SpecificDrafts.create_empty(), Refills.create_empty(),
        )  # fmt: skip
        receipts = [(feed, feed, "path", "sha", *counts, None, None) for feed, *counts in RECEIPTS]
        parked = [("parked", reason, "why")]
        tables = {
            "receipts": _frame(FileReceipts, receipts),
            "late": _frame(LateArrivals, [("runtime_intervals", "2026-09", late)] if late else []),
            "usage_feeds": ("runtime_intervals",),
            "lines": drafted.lines,
            "fees": given.adjust(charges, organisations).fees,
            "movements": settlement.movements,
            "lots": settlement.lots,
            "statements": settlement.statements,
            "drafts": drafted.drafts,
            "lifetimes": lifetimes,
            "parked": _frame(ParkedOrganisations, parked),
        }
        return MonthToScore(**tables | tampered)

    return make


def _frame(table, rows) -> pl.DataFrame:
    return pl.DataFrame(rows, schema=table.create_empty().schema, orient="row")


def scored(month: MonthToScore) -> dict[tuple[str, str], tuple[int, int, int]]:
    rows = score_month(month).iter_rows(named=True)
    return {(row["score"], row["measure"]): (row["numerator"], row["denominator"], row["ppm"]) for row in rows}


def test_completeness_counts_rows_files_and_payers_with_a_fate(month):
    scores = scored(month())

    assert scores["completeness", "rows accounted for"] == (110, 110, 1_000_000)
    assert scores["completeness", "rows not quarantined"] == (104, 110, 945_454)
    assert scores["completeness", "files read"] == (2, 2, 1_000_000)
    assert scores["completeness", "payers not parked"] == (2, 3, 666_666)


def test_a_score_is_the_least_of_its_measures(month):
    assert scored(month())["completeness", ""] == (2, 3, 666_666)


def test_every_clearing_account_of_an_honest_month_is_empty(month):
    clearing = {measure: figures for (score, measure), figures in scored(month()).items() if score == "clearing"}

    assert len(clearing) == 6
    assert {ppm for *_, ppm in clearing.values()} == {1_000_000}


@pytest.mark.parametrize(
    ("table", "column", "account"),
    [
        ("lines", "amount_cents", "charges to lines"),
        ("drafts", "subtotal_cents", "fees to credits and subtotal"),
        ("lots", "left_after_cents", "free credits"),
        ("lifetimes", "pending_cents", "prepaid credits and refills"),
        ("drafts", "vat_cents", "subtotal and VAT to payable"),
    ],
)
def test_a_cent_that_stays_in_an_account_costs_its_payer_the_score(month, table, column, account):
    honest = month()
    rows = getattr(honest, table)
    changed = pl.when(pl.col("payer_id") == "acme").then(pl.col(column) + 1).otherwise(column)

    scores = scored(month(**{table: rows.with_columns(changed.alias(column))}))

    part, whole, ppm = scores["clearing", account]
    assert (whole - part, ppm) == (1, 10**6 * part // whole)
    assert scores["clearing", ""][-1] <= ppm < 10**6


def test_who_is_parked_by_an_equation_has_not_cleared(month):
    assert scored(month(reason="equation"))["clearing", ""] == (1, 2, 500_000)


def test_late_usage_costs_timeliness(month):
    assert scored(month(late=8))["timeliness", ""] == (72, 80, 900_000)
    assert scored(month())["timeliness", ""] == (80, 80, 1_000_000)


def test_a_refused_file_was_not_read(month):
    refused = pl.when(pl.col("feed") == "organisations").then(pl.lit("columns"))
    receipts = month().receipts.with_columns(refused_reason=refused)
    assert scored(month(receipts=receipts))["completeness", "files read"] == (1, 2, 500_000)


def test_nothing_is_missing_where_there_is_nothing_to_count(month):
    assert scored(month(receipts=month().receipts.clear()))["completeness", "rows accounted for"] == (0, 0, 1_000_000)

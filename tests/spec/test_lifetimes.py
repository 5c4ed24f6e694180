"""What a payer was ever asked for: months add up, credit notes take off, and a life goes on in who took it over."""

import polars as pl
import pytest

from billing_pipeline.rules.lifetimes import extend_lifetimes, prepaid_openings
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.corrections import CreditNotes
from billing_pipeline.tables.explanations import Lifetimes
from billing_pipeline.tables.invoices import Drafts, SpecificDrafts

SUMS = ("subtotal_cents", "fees_cents", "free_used_cents", "opening_cents", "given_up_cents")
HELD = ("prepaid_cents", "pending_cents", "pending_top_ups_cents")


@pytest.fixture
def lived(given):
    """The lifetimes after November 2026, of who had a statement; the rest of a row is 0."""

    def extend(*, before=(), statements=(), drafts=(), movements=(), opened=(), takeovers=(), notes=(), beside=(),
               refills=()):  # fmt: skip
        return extend_lifetimes(
            _rows(Lifetimes, before, billed_month="2026-10", **dict.fromkeys((*SUMS, *HELD), 0)),
            given.statements(*statements),
            _rows(Drafts, drafts),
            given.movements(*movements),
            given.opened(*({"granted_cents": 0, "opened_month": "2026-11"} | grant for grant in opened)),
            given.takeovers(*takeovers),
            Month(2026, 11),
            _rows(
                CreditNotes, notes, refill_cancelled_cents=0, free_given_back_cents=0, fees_cents=0, reissue_reason=None
            ),
            _rows(SpecificDrafts, beside),
            given.refills(*refills),
        )

    return extend


def _rows(table, rows, **common):
    """Rows of a table that say no more than a life looks at."""
    schema = table.create_empty().schema
    filled = [{"payer_id": "acme", "currency": "EUR"} | common | row for row in rows]
    return pl.DataFrame(filled, schema={name: schema[name] for name in filled[0]} if filled else schema)


def life_of(lifetimes, payer="acme"):
    (life,) = lifetimes.filter(payer_id=payer).to_dicts()
    return life


def test_a_month_is_added_to_those_before(lived):
    before = {"subtotal_cents": 7_00, "fees_cents": 9_00, "free_used_cents": -2_00, "prepaid_cents": 5_00}
    statement = {
        "fees_cents": 10_00, "free_used_cents": -1_00, "prepaid_before_cents": 5_00, "prepaid_used_cents": -4_00,
        "pending_cents": 3_00, "refill_cents": 2_00, "free_before_cents": 1_00, "balance_before_cents": 6_00,
        "balance_after_cents": 3_00, "change_cents": -3_00, "forecast_cents": -6_00,
    }  # fmt: skip
    life = life_of(lived(before=[before], statements=[statement], drafts=[{"subtotal_cents": 7_00}]))

    assert [life[name] for name in SUMS] == [14_00, 19_00, -3_00, 0, 0]
    assert [life[name] for name in HELD] == [1_00, 5_00, 0]
    assert life["billed_month"] == "2026-11"


def test_what_a_credit_note_takes_off_was_never_invoiced(lived):
    before = {"subtotal_cents": 70_00, "fees_cents": 90_00, "free_used_cents": -20_00, "given_up_cents": 6_00}
    note = {
        "holder_id": "acme", "subtotal_cents": 12_00, "fees_cents": 8_00, "free_given_back_cents": 2_00,
        "refill_cancelled_cents": 6_00,
    }  # fmt: skip
    life = life_of(lived(before=[before], statements=[{}], notes=[note]))

    assert [life[name] for name in SUMS] == [58_00, 82_00, -18_00, 0, 0]


def test_what_is_issued_again_stays_invoiced(lived):
    note = {"holder_id": "acme", "subtotal_cents": 12_00, "fees_cents": 12_00, "reissue_reason": "wrong address"}
    life = life_of(lived(before=[{"subtotal_cents": 12_00, "fees_cents": 12_00}], statements=[{}], notes=[note]))

    assert [life[name] for name in SUMS] == [12_00, 12_00, 0, 0, 0]


def test_a_credit_note_of_who_has_no_statement_waits(lived):
    note = {"holder_id": "lab", "payer_id": "lab", "subtotal_cents": 12_00}
    before = {"payer_id": "lab", "subtotal_cents": 70_00}

    assert life_of(lived(before=[before], statements=[{}], notes=[note]), "lab")["subtotal_cents"] == 70_00


def test_documents_beside_the_invoice_add_their_subtotal_and_fees(lived):
    service = {"kind": "invoice", "reference": "shop/1", "subtotal_cents": 50_00, "fees_cents": 50_00}
    top_up = {"kind": "credits", "reference": "shop/2", "subtotal_cents": 100_00, "fees_cents": 0}
    life = life_of(lived(statements=[{}], beside=[service, top_up]))

    assert [life[name] for name in SUMS] == [150_00, 50_00, 0, 0, 0]


def test_top_ups_that_wait_are_kept_apart_from_refills(lived):
    refills = [
        {"billing_month": "2026-11", "reference": reference, "refill_cents": cents, "payable_cents": cents}
        for reference, cents in (("", 1_00), ("shop/1", 2_00), ("shop/2", 3_00))
    ]

    assert life_of(lived(statements=[{}], refills=refills))["pending_top_ups_cents"] == 5_00


def test_balances_that_enter_are_openings_and_coupons_are_not(lived, given):
    opened = [{"grant_id": "brought", "kind": "prepaid"}, {"grant_id": "coupon"}]
    movements = [
        {"kind": "opening", "grant_id": "brought", "amount_cents": 3_00},
        {"kind": "opening", "grant_id": "coupon", "amount_cents": 4_00},
        {"kind": "free_used", "grant_id": "coupon", "amount_cents": -4_00, "line_id": "0" * 32},
        {"kind": "given_up", "grant_id": "2026-09", "amount_cents": 1_00},
        {"kind": "top_up_given_up", "grant_id": "shop/1", "amount_cents": 2_00},
    ]
    life = life_of(lived(statements=[{}], movements=movements, opened=opened))

    assert (life["opening_cents"], life["given_up_cents"]) == (3_00, 3_00)
    assert prepaid_openings(given.movements(*movements), given.opened()).is_empty()


def test_a_life_goes_on_in_who_took_it_over_once_that_one_has_a_statement(lived):
    before = [{"subtotal_cents": 10_00}, {"payer_id": "lab", "subtotal_cents": 5_00}]
    takeover = {"payer_id": "lab", "successor_id": "acme"}

    together = lived(before=before, statements=[{}], takeovers=[takeover])
    apart = lived(before=before, statements=[{"payer_id": "zeta"}], takeovers=[takeover])

    assert together.select("payer_id", "subtotal_cents").rows() == [("acme", 15_00)]
    assert apart.select("payer_id", "subtotal_cents").rows() == [("acme", 10_00), ("lab", 5_00), ("zeta", 0)]

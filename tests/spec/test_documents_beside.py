"""Documents beside the monthly invoice: who is asked for what, once, and when sold credits count."""

from datetime import UTC, date, datetime
from decimal import Decimal
from fractions import Fraction

import polars as pl
import pytest
from hypothesis import given as drawn
from hypothesis import settings
from hypothesis import strategies as st

from billing_pipeline.rules.balances import carry_refills, open_accounts
from billing_pipeline.rules.corrections import book_corrections
from billing_pipeline.rules.credit_notes import (
    CreditedInvoice,
    HeldPrepaid,
    corrected_documents,
    draft_credit_notes,
    prepaid_given_back,
)
from billing_pipeline.rules.equations import charges_are_drafted, tax_is_rounded_once
from billing_pipeline.rules.issuing import number_documents
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.refunds import Sale
from billing_pipeline.rules.specific import draft_documents, explain_documents, figures_of_documents
from billing_pipeline.tables.corrections import Differences, GivenBack
from billing_pipeline.tables.credits import CreditStatements, Fees
from billing_pipeline.tables.invoices import Drafts, InvoiceLines, ParkedOrganisations, SpecificInvoices
from billing_pipeline.tables.rating import SpecificCharges

NOON = datetime(2026, 10, 10, 12, tzinfo=UTC)
NOTHING_ISSUED = pl.DataFrame(schema=dict.fromkeys(("reference", "number", "billing_month"), pl.String))


def charges(*rows):
    types = {
        name: pl.String if isinstance(kind, pl.Enum) else kind
        for name, kind in SpecificCharges.create_empty().schema.items()
    }
    common = {
        "payer_id": "acme", "owner_id": "acme", "kind": "invoice", "origin_month": "2026-10", "quantity": Decimal(1),
        "performed_at": NOON, "price_factor_ppm": 10**6, "line_discount_ppm": 0, "currency": "EUR",
        "description": "Audit",
    }  # fmt: skip
    filled = [
        {"line_id": f"{number:032d}", "reference": f"shop/{number}", "event_id": str(number)} | common | row
        for number, row in enumerate(rows)
    ]
    priced = [{"unit_price": Decimal(row["charge_cents"]).scaleb(-2)} | row for row in filled]
    return SpecificCharges.validate(
        pl.DataFrame([dict.fromkeys(types) | row for row in priced], schema=types), cast=True
    )


def draft(given, *rows, issued=NOTHING_ISSUED):
    """The documents of acme, whose VAT is 20 %, and of lab, whose VAT nobody knows."""
    organisations = given.organisations({"owner_id": "acme"}, {"owner_id": "lab"})
    unknown = ParkedOrganisations.validate(pl.DataFrame([{"payer_id": "lab", "reason": "tax_unknown", "detail": "?"}]))
    vat = given.vat({"payer_id": "acme", "vat_ppm": 200_000})._replace(unknown=unknown)
    return draft_documents(charges(*rows), organisations, vat, issued, given.period())


def test_a_service_has_fees_and_sold_credits_are_added(given):
    drafts = draft(given, {"charge_cents": 50_00}, {"charge_cents": 100_00, "kind": "credits"}).drafts
    amounts = ("reference", "fees_cents", "used_credits_cents", "subtotal_cents", "vat_cents", "payable_cents")
    assert drafts.select(amounts).rows() == [
        ("shop/0", 50_00, 0, 50_00, 10_00, 60_00),
        ("shop/1", 0, 100_00, 100_00, 20_00, 120_00),
    ]


def test_a_reference_that_another_month_invoiced_is_flagged_and_not_asked_for_again(given):
    issued = pl.DataFrame([{"reference": "shop/0", "number": "INV-1", "billing_month": "2026-09"}])
    drafted = draft(given, {"charge_cents": 50_00}, {"charge_cents": 1_00}, issued=issued)
    assert drafted.drafts["reference"].to_list() == ["shop/1"]
    assert drafted.flags.rows() == [
        ("acme", "ref_duplicate", "shop/0 was invoiced as INV-1 with 2026-09; it is not invoiced again")
    ]


def test_who_has_no_known_vat_waits_with_its_documents(given):
    drafted = draft(given, {"charge_cents": 50_00}, {"charge_cents": 50_00, "payer_id": "lab", "owner_id": "lab"})
    assert drafted.drafts["payer_id"].to_list() == ["acme"]
    assert drafted.parked.select("payer_id", "reason").rows() == [("lab", "tax_unknown")]


@settings(max_examples=20, deadline=None)
@drawn(cents=st.lists(st.integers(0, 10**9), max_size=5))
def test_documents_ask_for_their_charges_and_every_figure_is_explained(given, cents):
    drafted = draft(given, *({"charge_cents": amount} for amount in cents))
    assert [equation.broken for equation in _equations(drafted)] == [{}, {}]
    steps = explain_documents(drafted.drafts, drafted.lines)
    told = dict(steps.group_by("line_id", "figure").agg(pl.col("amount_cents").sum()).select(
        pl.concat_str("line_id", pl.col("figure").cast(pl.String)), "amount_cents"
    ).iter_rows())  # fmt: skip
    figures = figures_of_documents(drafted.drafts, drafted.lines)
    assert figures.height == 4 * len(cents)
    for row in figures.iter_rows(named=True):
        assert told[row["line_id"] + row["figure"]] == row["figure_cents"]


def test_a_document_has_one_line_of_its_owner_and_no_discount_of_the_month(given):
    drafted = draft(given, {"charge_cents": 50_00}, {"charge_cents": 100_00, "kind": "credits"})
    said = ("slug", "owner_name", "line_number", "resources", "per_quantity", "per_seconds", "amount_cents")
    assert drafted.lines.sort("reference").select(said).rows() == [
        ("one_shot", "acme", 1, 1, 1, 1, 50_00), ("credits", "acme", 1, 1, 1, 1, 100_00),
    ]  # fmt: skip
    assert drafted.drafts["discount_ppm"].to_list() == [0, 0]


def test_what_a_document_asks_for_is_named_with_its_price_and_rate(given):
    service = {"charge_cents": 50_00, "line_discount_ppm": 1}
    drafted = draft(given, service, {"charge_cents": 100_00, "kind": "credits"})
    steps = explain_documents(drafted.drafts, drafted.lines)
    priced = steps.filter(pl.col("unit_price").is_not_null()).select("what", "quantity", "unit_price", "unit", "per")
    assert priced.rows() == [
        ("price", 1, 50, "piece", 1), ("line_discount", 1, Decimal("-0.00005"), "piece", 1),
        ("rate", 50_00, Decimal("0.2"), "cent", 1),
        ("price", 1, 100, "piece", 1), ("rate", 100_00, Decimal("0.2"), "cent", 1),
    ]  # fmt: skip
    assert steps.filter(what="line")["text"].to_list() == ["fees of the line", "credits that are sold"]


def _equations(drafted):
    return charges_are_drafted(drafted.charges, drafted.drafts), tax_is_rounded_once(drafted.drafts)


def test_a_price_with_a_discount_is_worth_its_amount_before_rounding(given):
    row = {"charge_cents": 191_23, "unit_price": Decimal("89.991"), "quantity": Decimal("2.5")}
    drafted = draft(given, row | {"line_discount_ppm": 150_000})
    steps = explain_documents(drafted.drafts, drafted.lines).drop_nulls("unit_price").filter(figure="amount")
    worth = sum(Fraction(quantity) * Fraction(price) for quantity, price in steps["quantity", "unit_price"].rows())
    assert worth == Fraction("2.5") * Fraction("89.991") * Fraction("0.85")


def test_a_charge_that_nothing_asks_for_is_seen(given):
    drafted = draft(given, {"charge_cents": 50_00})
    equation = charges_are_drafted(drafted.charges, drafted.drafts.clear())
    assert equation.broken == {"acme": "charge_cents 5,000, asked_cents 0"}


# When sold credits count.

TOP_UP = {"billing_month": "2026-09", "reference": "shop/1", "refill_cents": 100_00, "payable_cents": 120_00}


def opened(given, *, state=None, payments=(), refills=(TOP_UP,), organisations=({"owner_id": "acme"},)):
    told = {"billing_month": "2026-09", "reference": "shop/1", "number": "INV-7", "state": state}
    return open_accounts(
        given.statements(), given.carried_lots(), given.refills(*refills), given.opened(), given.payments(*payments),
        given.refill_invoices(*([told] if state else [])), given.agreements(), given.organisations(*organisations),
        given.period(),
    )  # fmt: skip


@pytest.mark.parametrize(
    ("state", "prepaid", "pending", "movement"),
    [
        ("PENDING", 0, 1, []),
        ("PAYMENTHELD", 0, 1, []),
        ("PAID", 100_00, 0, [("topped_up", "shop/1", 100_00)]),
        ("WONTPAY", 0, 0, [("top_up_given_up", "shop/1", 100_00)]),
        ("CANCELED", 0, 0, [("top_up_given_up", "shop/1", 100_00)]),
    ],
)
def test_sold_credits_count_once_they_are_paid_and_are_never_expected(given, state, prepaid, pending, movement):
    month = opened(given, state=state)
    (account,) = month.accounts.to_dicts()
    assert (account["prepaid_before_cents"], account["pending_cents"]) == (prepaid, 0)
    assert month.refills.height == pending
    assert month.movements.select(pl.col("kind").cast(pl.String), "grant_id", "amount_cents").rows() == movement


def test_a_payment_that_names_the_month_pays_its_refill_and_no_top_up(given):
    refill = {"billing_month": "2026-09", "refill_cents": 50_00, "payable_cents": 60_00}
    paid = {"reference": "acme/2026-09", "paid_cents": 60_00}
    month = opened(given, payments=(paid,), refills=(TOP_UP, refill))
    assert month.refills["reference"].to_list() == ["shop/1"]
    assert month.movements.select("grant_id", "amount_cents").rows() == [("2026-09", 50_00)]


def test_a_top_up_of_who_pays_no_more_is_its_new_payers(given):
    organisations = ({"owner_id": "acme"}, {"owner_id": "lab", "payer_id": "acme"})
    told = {"payer_id": "lab", "billing_month": "2026-09", "reference": "shop/1", "number": "INV-7", "state": "PAID"}
    month = open_accounts(
        given.statements({"payer_id": "lab"}), given.carried_lots(), given.refills(TOP_UP | {"payer_id": "lab"}),
        given.opened(), given.payments(), given.refill_invoices(told), given.agreements(),
        given.organisations(*organisations), given.period(),
    )  # fmt: skip
    assert month.movements.select("payer_id", "grant_id", "amount_cents").rows() == [("acme", "shop/1 of lab", 100_00)]
    assert month.accounts.filter(payer_id="acme")["prepaid_before_cents"].to_list() == [100_00]


@pytest.mark.parametrize(("cents", "waits"), [(0, []), (1, [1])])
def test_a_top_up_of_a_cent_waits_and_one_of_nothing_does_not(given, cents, waits):
    drafted = draft(given, {"charge_cents": cents, "kind": "credits"})
    nothing = CreditStatements.create_empty(), Drafts.create_empty()
    assert carry_refills(given.refills(), *nothing, drafted.drafts)["refill_cents"].to_list() == waits


def test_a_month_may_have_a_refill_and_top_ups_of_one_payer(given):
    told = ({"billing_month": "2026-09", "reference": reference} for reference in ("", "shop/1", "shop/2"))
    assert given.refill_invoices(*told).height == 3


def test_a_top_up_that_is_drafted_is_pending_after_the_month(given):
    drafted = draft(given, {"charge_cents": 50_00}, {"charge_cents": 100_00, "kind": "credits"})
    nothing = CreditStatements.create_empty(), Drafts.create_empty()
    refills = carry_refills(given.refills(), *nothing, drafted.drafts)
    assert refills.select("payer_id", "billing_month", "reference", "refill_cents", "payable_cents").rows() == [
        ("acme", "2026-10", "shop/1", 100_00, 120_00)
    ]


# What credit notes take off them.


def credited(given, row, *, is_whole, has_arrived=False, held=None):
    """The credit notes of one document, cancelled or its unspent credits refunded."""
    drafted = draft(given, row)
    organisations = given.organisations({"owner_id": "acme"})
    documents = number_documents(drafted.drafts, [("INV-7", date(2026, 11, 3))], organisations, 30, SpecificInvoices)
    is_service = is_whole and row.get("kind") != "credits"
    lines = drafted.lines if is_service else drafted.lines.clear()
    one = CreditedInvoice(
        9, "INV-7", "acme", InvoiceLines.validate(lines.select(InvoiceLines.column_names()), cast=True), has_arrived
    )
    due = Differences.create_empty().with_columns(approval=pl.lit(1, pl.Int64), corrected_payer_id="payer_id")
    return draft_credit_notes(
        book_corrections(due, Fees.create_empty(), Month(2026, 12)).left_over,
        corrected_documents(documents),
        GivenBack.create_empty(),
        Month(2026, 12),
        [one],
        {"acme": held or HeldPrepaid(0, [])},
    )


FIGURES = ("refers_to", "fees_cents", "refill_cancelled_cents", "prepaid_refunded_cents", "vat_cents", "payable_cents")


def test_a_cancelled_service_is_credited_with_its_line_and_gives_no_credits_back(given):
    drafted = credited(given, {"charge_cents": 50_00}, is_whole=True)
    assert drafted.notes.select(FIGURES).rows() == [("INV-7", 50_00, 0, 0, 10_00, 60_00)]
    assert drafted.lines.select("refers_to", "amount_cents", "description").rows() == [("INV-7", 50_00, "Audit")]
    assert prepaid_given_back(drafted.given_back).is_empty()


def test_sold_credits_that_nobody_paid_are_credited_without_a_fee(given):
    drafted = credited(given, {"charge_cents": 100_00, "kind": "credits"}, is_whole=True)
    assert drafted.notes.select(FIGURES).rows() == [("INV-7", 0, 100_00, 0, 20_00, 120_00)]
    assert drafted.lines.is_empty()
    assert prepaid_given_back(drafted.given_back).is_empty()


@pytest.mark.parametrize(
    ("balance", "newer", "refunded"), [(130_00, 0, 100_00), (80_00, 0, 80_00), (80_00, 50_00, 30_00)]
)
def test_of_sold_credits_that_were_paid_what_nobody_spent_is_refunded_at_their_vat(given, balance, newer, refunded):
    held = HeldPrepaid(balance, [Sale("INV-9", newer), Sale("INV-7", 100_00)])
    row = {"charge_cents": 100_00, "kind": "credits"}
    drafted = credited(given, row, is_whole=False, has_arrived=True, held=held)
    vat = refunded // 5
    assert drafted.notes.select(FIGURES).rows() == [("INV-7", 0, 0, refunded, vat, refunded + vat)]
    assert prepaid_given_back(drafted.given_back)["given_back_cents"].to_list() == [-refunded]

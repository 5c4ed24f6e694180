"""What may become of an issued document: the table of states, and what payments make of it."""

from datetime import UTC, datetime, timedelta
from itertools import pairwise, product

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from billing_pipeline.rules.lifecycle import (
    TRANSITIONS,
    Change,
    Credit,
    Document,
    IllegalTransition,
    Payment,
    State,
    apply_payments,
    begin,
    follow,
    require_transition,
)
from billing_pipeline.rules.payments import Receivables, settle_documents

ISSUED = datetime(2026, 11, 3, tzinfo=UTC)
LATER = ISSUED + timedelta(days=365)
INVOICE = Document("INV-2026-000001", "invoice", 120_00)
CREDIT_NOTE = Document("CN-2026-000001", "credit_note", 20_00)

#: domain.md §1.2, and what decision 14 and transfers need: PENDING -> PAID.
LEGAL = {
    "DRAFT": ["PENDING"],
    "PENDING": ["PROCESSING", "PAID", "PAYMENTHELD", "WONTPAY", "CANCELED"],
    "PROCESSING": ["PAID", "PENDING"],
    "PAID": ["REFUNDED"],
    "PAYMENTHELD": ["PENDING"],
}


def day(number: int) -> datetime:
    return ISSUED + timedelta(days=number)


def paid(cents: int, on: int = 5, outcome: str = "succeeded", payment_id: str = "") -> Payment:
    return Payment(payment_id or f"{outcome}-{cents}-{on}", day(on), day(on), outcome, cents)


def decided(state: State, on: int, number: str = INVOICE.number) -> Change:
    return Change(number, state, day(on), "told so", author="Ada")


def states_after(*payments: Payment, decisions=(), document=INVOICE, until=LATER) -> list[str]:
    history = [*begin(document, ISSUED), *decisions]
    settlement = apply_payments(document, history, payments, until)
    return [change.state for change in follow([*history, *settlement.changes])]


@pytest.mark.parametrize(("before", "after"), list(product(State, State)))
def test_a_state_follows_only_as_the_table_says(before, after):
    if after in LEGAL.get(before, []):
        require_transition("INV-1", before, after)
    else:
        with pytest.raises(IllegalTransition, match=f"INV-1 is {before} and cannot become {after}"):
            require_transition("INV-1", before, after)


def test_the_refusal_says_what_may_follow():
    with pytest.raises(IllegalTransition, match="after PROCESSING comes PAID, PENDING"):
        require_transition("INV-1", State.PROCESSING, State.CANCELED)
    with pytest.raises(IllegalTransition, match="nothing: it is final"):
        require_transition("INV-1", State.WONTPAY, State.PENDING)


def test_an_invoice_is_pending_when_it_is_issued():
    assert states_after() == ["PENDING"]


def test_an_invoice_of_nothing_is_paid_at_once():
    assert states_after(document=INVOICE._replace(payable_cents=0)) == ["PENDING", "PAID"]


def test_payments_that_cover_an_invoice_pay_it_and_the_last_of_them_is_named():
    history = begin(INVOICE, ISSUED)

    [change] = apply_payments(INVOICE, history, [paid(70_00, 5), paid(50_00, 9, payment_id="p2")], LATER).changes

    assert change == Change(INVOICE.number, State.PAID, day(9), "covered by payments", payment_id="p2")


@pytest.mark.parametrize(
    "payments",
    [
        [paid(119_99)],
        [paid(120_00, outcome="failed")],
        [paid(120_00), paid(1, outcome="refunded")],
        [paid(120_00, 400)],
    ],
    ids=["partly", "failed", "less a refund of the same day", "known too late"],
)
def test_what_does_not_cover_an_invoice_leaves_it_pending(payments):
    assert states_after(*payments) == ["PENDING"]


def test_a_payment_known_before_the_issue_counts_from_the_issue_on():
    [change] = apply_payments(INVOICE, begin(INVOICE, ISSUED), [paid(120_00, on=-9)], LATER).changes

    assert change.at == ISSUED


def test_a_failed_payment_takes_an_invoice_back_from_processing():
    processing = decided(State.PROCESSING, 2)

    assert states_after(paid(120_00, 4, "failed"), decisions=[processing]) == ["PENDING", "PROCESSING", "PENDING"]
    assert states_after(paid(120_00, 1, "failed"), decisions=[processing]) == ["PENDING", "PROCESSING"]
    assert states_after(paid(120_00, 4), decisions=[processing]) == ["PENDING", "PROCESSING", "PAID"]


def test_a_payment_releases_what_is_on_hold():
    held = decided(State.PAYMENTHELD, 2)

    assert states_after(paid(120_00, 4), decisions=[held]) == ["PENDING", "PAYMENTHELD", "PENDING", "PAID"]
    assert states_after(paid(119_00, 4), decisions=[held]) == ["PENDING", "PAYMENTHELD"]


def test_a_paid_invoice_is_refunded_once_everything_is_given_back():
    assert states_after(paid(120_00, 4), paid(20_00, 6, "refunded")) == ["PENDING", "PAID"]
    both = (paid(20_00, 6, "refunded"), paid(100_00, 7, "refunded"))
    assert states_after(paid(120_00, 4), *both) == ["PENDING", "PAID", "REFUNDED"]


def test_an_invoice_is_refunded_with_its_last_cent_and_one_of_a_cent_with_that():
    assert states_after(paid(120_00), paid(119_99, 9, "refunded"))[-1] == "PAID"
    cent = Document("INV-2026-000002", "invoice", 1)
    assert states_after(paid(1), paid(1, 9, "refunded"), document=cent) == ["PENDING", "PAID", "REFUNDED"]


def test_an_invoice_of_nothing_stays_paid_whatever_is_sent_and_given_back():
    nothing = Document("INV-2026-000002", "invoice", 0)
    assert states_after(paid(5_00), paid(5_00, 9, "refunded"), document=nothing) == ["PENDING", "PAID"]


def test_a_payment_that_failed_covers_nothing():
    assert states_after(paid(120_00, 5, "failed")) == ["PENDING"]
    assert states_after(paid(120_00, 5, "failed"), paid(1, 6)) == ["PENDING"]


def test_what_becomes_known_at_the_last_instant_is_looked_at():
    assert states_after(paid(120_00), until=day(5)) == ["PENDING", "PAID"]
    credit = Credit("CN-2026-000001", day(5), 120_00)
    (change,) = apply_payments(INVOICE, begin(INVOICE, ISSUED), (), day(5), [credit]).changes
    assert change.state == "CANCELED"


def test_an_invoice_of_which_a_cent_was_received_is_paid_and_not_cancelled_by_a_credit_note_for_the_rest():
    credit = Credit("CN-2026-000001", day(9), 119_99)
    (change,) = apply_payments(INVOICE, begin(INVOICE, ISSUED), [paid(1)], LATER, [credit]).changes
    assert change.state == "PAID"


def test_a_refund_of_more_than_was_received_is_refused():
    history = begin(INVOICE, ISSUED)

    settlement = apply_payments(INVOICE, history, [paid(120_00, 4), paid(120_01, 6, "refunded")], LATER)

    assert [change.state for change in settlement.changes] == [State.PAID]
    assert settlement.refused == [paid(120_01, 6, "refunded")]


def test_money_for_what_was_written_off_does_not_bring_it_back():
    assert states_after(paid(120_00, 4), decisions=[decided(State.WONTPAY, 2)]) == ["PENDING", "WONTPAY"]


def test_a_payment_known_before_a_decision_goes_before_it_however_late_it_is_entered():
    decision = decided(State.WONTPAY, 9)

    assert states_after(paid(120_00, 4), decisions=[decision]) == ["PENDING", "PAID"]


def test_a_credit_note_is_paid_by_refunds():
    assert states_after(paid(20_00, 4, "refunded"), document=CREDIT_NOTE) == ["PENDING", "PAID"]
    assert states_after(paid(20_00, 4), document=CREDIT_NOTE) == ["PENDING"]


def noted(cents: int, on: int) -> Credit:
    return Credit(f"CN-{on}", day(on), cents)


@pytest.mark.parametrize(
    ("payments", "states"),
    [
        ([], ["PENDING", "CANCELED"]),
        ([paid(20_00, 2)], ["PENDING", "PAID"]),
        ([paid(120_00, 2)], ["PENDING", "PAID"]),
        ([paid(120_00, 2), paid(120_00, 6, "refunded")], ["PENDING", "PAID", "REFUNDED"]),
    ],
    ids=["unpaid", "part", "paid", "given back"],
)
def test_an_invoice_that_corrections_take_off_as_a_whole_is_cancelled_paid_or_refunded(payments, states):
    history = begin(INVOICE, ISSUED)

    changes = apply_payments(INVOICE, history, payments, LATER, [noted(50_00, 3), noted(70_00, 4)]).changes

    assert [change.state for change in follow([*history, *changes])] == states


def test_what_a_credit_note_takes_off_needs_not_be_paid():
    history = begin(INVOICE, ISSUED)
    part = [paid(70_00, 6)]

    assert apply_payments(INVOICE, history, part, LATER, [noted(49_99, 3)]).changes == []
    [change] = apply_payments(INVOICE, history, part, LATER, [noted(50_00, 3)]).changes
    assert (change.state, change.at) == (State.PAID, day(6))
    [change] = apply_payments(INVOICE, history, part, LATER, [noted(50_00, 7)]).changes
    assert (change.state, change.at, change.reason) == (State.PAID, day(7), "covered by payments and CN-7")


def test_a_refund_that_names_the_credit_note_is_one_of_the_invoice_and_never_too_much(given):
    documents = Receivables.validate(
        pl.DataFrame(
            [
                {"number": "INV-1", "kind": "invoice", "billing_month": "2026-10", "payable_cents": 120_00},
                {"number": "CN-1", "kind": "credit_note", "payable_cents": 150_00, "refers_to": "INV-1"},
            ],
            schema=Receivables.create_empty().schema,
        ).with_columns(payer_id=pl.lit("acme"), currency=pl.lit("EUR")),
    )
    histories = {row["number"]: begin(Document(row["number"], row["kind"], row["payable_cents"]), ISSUED)
                 for row in documents.to_dicts()}  # fmt: skip
    payments = given.payments(
        {"payment_id": "in", "invoice_number": "INV-1", "paid_cents": 120_00, "known_at": day(3)},
        {
            "payment_id": "out",
            "invoice_number": "CN-1",
            "paid_cents": 150_00,
            "known_at": day(4),
            "outcome": "refunded",
        },
    )
    may_pay = pl.DataFrame({"payer_id": ["acme"], "owner_id": ["acme"]})

    settled = settle_documents(documents, histories, payments, may_pay, LATER)

    assert [(change.number, change.state) for change in settled.changes] == [
        ("INV-1", State.PAID), ("CN-1", State.PAID), ("INV-1", State.REFUNDED),
    ]  # fmt: skip
    assert settled.refused.is_empty()


PAYMENTS = st.builds(
    lambda cents, on, outcome, name: Payment(f"p{name}", day(on), day(on - 1), outcome, cents),
    st.sampled_from([1, 60_00, 119_99, 120_00, 300_00]),
    st.integers(-2, 9),
    st.sampled_from(["succeeded", "succeeded", "failed", "refunded"]),
    st.integers(0, 10**6),
)
DECISIONS = st.builds(decided, st.sampled_from(list(State)), st.integers(0, 9))


@settings(max_examples=60, deadline=None)
@given(
    st.lists(PAYMENTS, max_size=6, unique_by=lambda payment: payment.payment_id),
    st.lists(DECISIONS, max_size=3),
    st.randoms(use_true_random=False),
    st.integers(-1, 10),
)
def test_states_do_not_depend_on_the_order_of_payments_nor_on_when_they_were_looked_at(
    payments, decisions, shuffles, first_look
):
    history = [*begin(INVOICE, ISSUED), *decisions]
    at_once = apply_payments(INVOICE, history, payments, LATER)
    shuffled = shuffles.sample(payments, len(payments))

    early = apply_payments(INVOICE, history, shuffled, day(first_look)).changes
    later = apply_payments(INVOICE, [*history, *early], shuffled, LATER).changes

    assert follow([*history, *early, *later]) == follow([*history, *at_once.changes])
    assert apply_payments(INVOICE, [*history, *early, *later], payments, LATER).changes == []
    effective = [change.state for change in follow([*history, *early, *later])]
    assert all(after in TRANSITIONS[before] for before, after in pairwise(effective))

"""Issued documents are numbered without a gap, in order of their dates, and never change."""

from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from billing_pipeline.books import (
    AlreadyIssued,
    Books,
    ChangeOutOfOrder,
    CorrectionOutdated,
    DecisionKind,
    DocumentChanged,
    IssueRequest,
    MalformedNumber,
    NotChronological,
    NotDecidable,
    NotIssued,
    invoices_of_months,
)
from billing_pipeline.rules.lifecycle import Change, IllegalTransition, State
from billing_pipeline.rules.numbering import check_format
from billing_pipeline.rules.period import Month
from billing_pipeline.settings import Settings

OCTOBER, NOVEMBER = Month(2026, 10), Month(2026, 11)
AS_OF = datetime(2026, 11, 3, tzinfo=UTC)
NOV_3, DEC_3, JAN_3 = date(2026, 11, 3), date(2026, 12, 3), date(2027, 1, 3)


@pytest.fixture
def books(tmp_path) -> Books:
    return Books(tmp_path / "home" / "books.sqlite")


def monthly_invoice(payer_id: str, month: Month = OCTOBER, payable_cents: int = 1200, reference: str = ""):
    return IssueRequest(
        payer_id=payer_id,
        kind="invoice",
        billing_month=month,
        period_start=month.first_day,
        period_end=month.last_day,
        content_hash=f"{payable_cents:064x}",
        facts={"payable_cents": payable_cents, "currency": "EUR", "note": None},
        reference=reference,
    )


def numbers(issued) -> list[str]:
    return [document.number for document in issued]


def test_numbers_run_from_one_in_the_order_given(books):
    issued = books.issue([monthly_invoice("orga_z"), monthly_invoice("orga_a")], "F", NOV_3, as_of=AS_OF)

    assert numbers(issued) == ["F-2026-000001", "F-2026-000002"]
    assert [document.request.payer_id for document in issued] == ["orga_z", "orga_a"]


def test_the_books_keep_what_was_issued(books, tmp_path):
    request = monthly_invoice("orga_é", reference="one-off 7")
    issued = books.issue([request], "F", NOV_3, as_of=AS_OF)

    reopened = Books(tmp_path / "home" / "books.sqlite")

    assert reopened.issued() == issued
    assert issued[0].request == request
    assert (issued[0].issued_on, issued[0].as_of) == (NOV_3, AS_OF)


def test_numbers_start_anew_each_year_and_in_each_series(books):
    books.issue([monthly_invoice("orga_a"), monthly_invoice("orga_b")], "F", NOV_3, as_of=AS_OF)
    next_year = books.issue([monthly_invoice("orga_a", NOVEMBER)], "F", JAN_3, as_of=AS_OF)
    next_year += books.issue([monthly_invoice("orga_c", NOVEMBER)], "F", JAN_3, as_of=AS_OF)
    other_series = books.issue([monthly_invoice("orga_b", NOVEMBER)], "AV+2", JAN_3, as_of=AS_OF)

    assert numbers(next_year) == ["F-2027-000001", "F-2027-000002"]
    assert numbers(other_series) == ["AV+2-2027-000001"]
    books.verify()


def test_an_invoice_issued_again_keeps_its_number_and_date(books):
    requests = [monthly_invoice("orga_a"), monthly_invoice("orga_b")]
    first = books.issue(requests, "F", NOV_3, as_of=AS_OF)

    again = books.issue(requests, "F", DEC_3, as_of=datetime(2026, 12, 3, tzinfo=UTC))

    assert again == first
    assert books.issued() == first


def test_an_organisation_released_later_gets_the_next_number(books):
    books.issue([monthly_invoice("orga_a"), monthly_invoice("orga_c")], "F", NOV_3, as_of=AS_OF)

    requests = [monthly_invoice(payer) for payer in ("orga_a", "orga_b", "orga_c")]
    issued = books.issue(requests, "F", NOV_3, as_of=AS_OF)

    assert numbers(issued) == ["F-2026-000001", "F-2026-000003", "F-2026-000002"]


def test_another_content_for_an_issued_period_is_refused_and_nothing_is_issued(books):
    books.issue([monthly_invoice("orga_a")], "F", NOV_3, as_of=AS_OF)
    before = books.head()

    with pytest.raises(AlreadyIssued, match="F-2026-000001 was issued to orga_a for 2026-10-01 to 2026-10-31"):
        books.issue([monthly_invoice("orga_b"), monthly_invoice("orga_a", payable_cents=1300)], "F", NOV_3, as_of=AS_OF)

    assert books.head() == before


def test_an_invoice_with_its_own_reference_stands_beside_the_monthly_one(books):
    monthly, own = monthly_invoice("orga_a"), monthly_invoice("orga_a", payable_cents=500, reference="order 7")

    assert len(books.issue([monthly, own], "F", NOV_3, as_of=AS_OF)) == 2


def test_a_date_before_the_last_of_the_series_is_refused(books):
    books.issue([monthly_invoice("orga_a")], "F", DEC_3, as_of=AS_OF)

    with pytest.raises(NotChronological, match=r"dated 2026-12-03.* issue on 2026-12-03 or later"):
        books.issue([monthly_invoice("orga_b")], "F", NOV_3, as_of=AS_OF)

    books.issue([monthly_invoice("orga_b")], "other", NOV_3, as_of=AS_OF)
    books.issue([monthly_invoice("orga_c")], "F", DEC_3, as_of=AS_OF)
    assert len(books.issued()) == 3


def test_a_date_of_the_year_before_is_refused_even_where_that_year_has_no_number(books):
    books.issue([monthly_invoice("orga_a")], "F", JAN_3, as_of=AS_OF)

    with pytest.raises(NotChronological):
        books.issue([monthly_invoice("orga_b")], "F", DEC_3, as_of=AS_OF)


@pytest.mark.parametrize("series", ["", "F 1", "F/", "Fé", "F\n", "a" * 24])
def test_a_series_that_e_invoices_cannot_carry_is_refused(books, series):
    with pytest.raises(MalformedNumber):
        books.issue([monthly_invoice("orga_a")], series, NOV_3, as_of=AS_OF)

    assert books.issued() == []


def test_a_float_is_refused_as_a_fact(books):
    request = IssueRequest("orga_a", "invoice", OCTOBER, NOV_3, NOV_3, "0", {"payable_cents": 12.0})  # ty: ignore

    with pytest.raises(TypeError, match=r"12\.0"):
        books.issue([request], "F", NOV_3, as_of=AS_OF)


def test_an_instant_without_a_zone_is_refused_by_the_books(books):
    with pytest.raises(ValueError, match="time zone"):
        books.issue([monthly_invoice("orga_a")], "F", NOV_3, as_of=datetime(2026, 11, 3))  # noqa: DTZ001


def test_the_register_lists_a_month_as_it_stood_at_any_time(books):
    october = books.issue([monthly_invoice("orga_a"), monthly_invoice("orga_b")], "F", NOV_3, as_of=AS_OF)
    then = books.head()
    november = books.issue([monthly_invoice("orga_a", NOVEMBER)], "F", DEC_3, as_of=AS_OF)

    assert books.issued(OCTOBER) == october
    assert books.issued(NOVEMBER) == november
    assert books.issued(NOVEMBER, as_of_seq=then.seq) == []
    assert books.issued(as_of_seq=1) == october[:1]


def test_a_month_in_which_nothing_was_due_is_issued_too(books):
    assert not books.is_issued(OCTOBER)

    books.record_month_issued(OCTOBER, {"invoices/drafts": "0123456789abcdef"}, as_of=AS_OF)

    assert books.is_issued(OCTOBER)
    assert not books.is_issued(NOVEMBER)
    assert books.issued(OCTOBER) == []


def test_a_month_issued_again_from_the_same_generations_is_one_entry(books):
    first = books.record_month_issued(OCTOBER, {"invoices/drafts": "0" * 16}, as_of=AS_OF)
    assert books.record_month_issued(OCTOBER, {"invoices/drafts": "0" * 16}, as_of=AS_OF) == first

    released = books.record_month_issued(OCTOBER, {"invoices/drafts": "1" * 16}, as_of=AS_OF)

    assert books.issued_month(OCTOBER) == released
    assert books.head().seq == 2


def test_the_books_as_they_stood_are_books_of_their_own(books, tmp_path):
    books.record_first_month(OCTOBER)
    books.issue([monthly_invoice("orga_a")], "F", NOV_3, as_of=AS_OF)
    first = books.record_month_issued(OCTOBER, {"invoices/drafts": "0" * 16}, as_of=AS_OF)
    stood = books.head()
    last = books.record_month_issued(OCTOBER, {"invoices/drafts": "1" * 16}, as_of=AS_OF)

    copy = books.copy_until(first.seq, tmp_path / "copy.sqlite")

    assert books.issues(OCTOBER) == [first, last]
    assert (copy.issues(OCTOBER), copy.issues(NOVEMBER)) == ([first], [])
    # The same chain: what was kept elsewhere vouches for it.
    assert copy.verify(stood) == stood
    assert numbers(copy.issue([monthly_invoice("orga_b")], "F", NOV_3, as_of=AS_OF)) == ["F-2026-000002"]
    assert books.head().seq == last.seq


def test_the_first_month_is_kept_once(books):
    assert books.first_month() is None

    assert books.record_first_month(OCTOBER) == OCTOBER
    assert books.record_first_month(NOVEMBER) == OCTOBER

    assert books.first_month() == OCTOBER


def test_files_of_issued_documents_are_kept_and_never_replaced(books):
    [issued] = books.issue([monthly_invoice("orga_a")], "F", NOV_3, as_of=AS_OF)
    books.record_documents({issued.number: {"F-2026-000001.pdf": "a" * 64}})
    books.record_documents({issued.number: {"F-2026-000001.pdf": "a" * 64}})
    books.record_documents({issued.number: {"F-2026-000001.pdf": "a" * 64, "F-2026-000001.xml": "b" * 64}})

    with pytest.raises(DocumentChanged, match=r"F-2026-000001\.pdf of F-2026-000001"):
        books.record_documents({issued.number: {"F-2026-000001.pdf": "c" * 64}})

    assert books.documents(issued.number) == {"F-2026-000001.pdf": "a" * 64, "F-2026-000001.xml": "b" * 64}
    assert books.head().seq == 3


def test_files_of_a_number_never_given_are_refused_with_all_others(books):
    [issued] = books.issue([monthly_invoice("orga_a")], "F", NOV_3, as_of=AS_OF)

    with pytest.raises(NotIssued, match="F-2026-000002"):
        books.record_documents({issued.number: {"a.pdf": "a" * 64}, "F-2026-000002": {"b.pdf": "b" * 64}})

    assert books.documents(issued.number) == {}


def test_the_same_request_with_the_same_reference_takes_one_number_however_often_it_comes(books):
    own = monthly_invoice("orga_a", payable_cents=500, reference="order 7")

    first = books.issue([own], "F", NOV_3, as_of=AS_OF)
    again = books.issue([own, own], "F", DEC_3, as_of=AS_OF)

    assert again == first * 2
    assert numbers(books.issued()) == ["F-2026-000001"]


@pytest.mark.parametrize(
    ("number_format", "number"),
    [
        ("{series}-{year}-{serial:06d}", "F-2026-000001"),
        ("{year}{series}{serial:04d}", "2026F0001"),
        ("{series}+{year}_{serial}", "F+2026_1"),
    ],
)
def test_a_number_reads_as_its_format_says(books, number_format, number):
    requests = [monthly_invoice("orga_a")]

    issued = books.issue(requests, "F", NOV_3, as_of=AS_OF, number_format=number_format)

    assert numbers(issued) == [number]
    assert books.issue(requests, "F", NOV_3, as_of=AS_OF, number_format="{year}-{series}-{serial}") == issued
    books.verify()


@pytest.mark.parametrize(
    "number_format",
    [
        "{series}-{serial}",
        "{year}-{serial}",
        "{series}-{year}",
        "{series}-{year}-{serial}-{month}",
        "{series.__class__}-{year}-{serial}",
        "{series}/{year}/{serial}",
        "{series}-{year}-{serial:x}{",
        "{series}-{year}-{serial:040d}",
        "",
    ],
)
def test_a_format_that_does_not_tell_numbers_apart_or_makes_none_is_refused(number_format):
    with pytest.raises(MalformedNumber):
        check_format(number_format)


def test_settings_refuse_such_a_format_before_anything_is_numbered():
    assert Settings(number_format="{year}{series}{serial:04d}").number_format == "{year}{series}{serial:04d}"
    with pytest.raises(ValueError, match="is no format of numbers"):
        Settings(number_format="{serial}")


def test_a_state_is_kept_and_read_as_of_an_instant(books):
    [issued] = books.issue([monthly_invoice("orga_a")], "F", NOV_3, as_of=AS_OF)
    held_at = AS_OF + timedelta(days=4)

    change = books.move(issued.number, State.PAYMENTHELD, reason="dispute", author="Ada", at=held_at)

    assert books.states() == {issued.number: "PAYMENTHELD"}
    assert books.states(held_at - timedelta(microseconds=1)) == {issued.number: "PENDING"}
    assert books.states(AS_OF - timedelta(microseconds=1)) == {}
    assert [entry.state for entry in books.histories()[issued.number]] == ["PENDING", "PAYMENTHELD"]
    assert books.move(issued.number, State.PAYMENTHELD, reason="dispute", author="Ada", at=held_at) == change
    assert books.head().seq == 2
    books.verify()


def test_what_payments_changed_is_kept_once(books):
    [issued] = books.issue([monthly_invoice("orga_a")], "F", NOV_3, as_of=AS_OF)
    paid = Change(issued.number, State.PAID, AS_OF, "covered by payments", payment_id="p1")

    assert books.record_changes([paid]) == [paid]
    assert books.record_changes([paid]) == []
    assert books.head().seq == 2


def test_a_state_of_a_number_never_given_is_refused(books):
    with pytest.raises(NotIssued, match="F-2026-000001"):
        books.move("F-2026-000001", State.WONTPAY, reason="gone", author="Ada", at=AS_OF)
    with pytest.raises(NotIssued, match="F-2026-000001"):
        books.record_changes([Change("F-2026-000001", State.PAID, AS_OF, "paid", payment_id="p1")])


@pytest.mark.parametrize(("reason", "author"), [("", "Ada"), ("gone", " ")])
def test_a_decision_without_a_reason_or_an_author_is_refused(books, reason, author):
    [issued] = books.issue([monthly_invoice("orga_a")], "F", NOV_3, as_of=AS_OF)

    with pytest.raises(ValueError, match="reason and an author"):
        books.move(issued.number, State.WONTPAY, reason=reason, author=author, at=AS_OF)


def test_an_invoice_is_cancelled_only_by_a_credit_note(books):
    [issued] = books.issue([monthly_invoice("orga_a")], "F", NOV_3, as_of=AS_OF)
    cancel = {"reason": "billed twice", "author": "Ada", "at": AS_OF + timedelta(days=1)}
    with pytest.raises(IllegalTransition, match="without a credit note"):
        books.move(issued.number, State.CANCELED, **cancel)

    monthly = monthly_invoice("orga_a")
    facts = {**monthly.facts, "refers_to": issued.number}
    books.issue([replace(monthly, kind="credit_note", facts=facts)], "CN", NOV_3, as_of=AS_OF)
    books.move(issued.number, State.CANCELED, **cancel)

    assert books.states() == {"CN-2026-000001": "PENDING", issued.number: "CANCELED"}


CANCEL, REISSUE, REFUND = DecisionKind
DECISION = {"reason": "billed twice", "author": "Ada", "at": AS_OF + timedelta(days=1)}


def test_a_decision_to_cancel_is_kept_once_and_holds_its_state(books):
    [issued] = books.issue([monthly_invoice("orga_a")], "F", NOV_3, as_of=AS_OF)

    decided = books.decide(CANCEL, issued.number, **DECISION)

    assert books.decide(CANCEL, issued.number, **DECISION) == decided == books.decisions()[0]
    assert (decided.number, decided.author, decided.at) == (issued.number, "Ada", DECISION["at"])
    assert books.states()[issued.number] == "PENDING"
    with pytest.raises(NotDecidable, match="to be cancelled already"):
        books.decide(CANCEL, issued.number, **DECISION | {"author": "Bob"})
    with pytest.raises(IllegalTransition, match="cancelled once its credit note is issued"):
        books.move(issued.number, State.WONTPAY, **DECISION)
    assert len(books.decisions()) == 1
    books.verify()


@pytest.mark.parametrize(
    ("state", "instead"),
    [
        (State.PROCESSING, "wait until"),
        (State.PAYMENTHELD, "billing state F-2026-000001 PENDING"),
        (State.WONTPAY, "written off"),
    ],
)
def test_an_invoice_that_cannot_be_cancelled_says_what_to_do(books, state, instead):
    [issued] = books.issue([monthly_invoice("orga_a")], "F", NOV_3, as_of=AS_OF)
    books.move(issued.number, state, reason="as agreed", author="Ada", at=AS_OF)

    with pytest.raises(NotDecidable, match=instead):
        books.decide(CANCEL, issued.number, **DECISION)


def test_only_invoices_are_cancelled_and_never_before_their_last_change(books):
    monthly = monthly_invoice("orga_a")
    [issued] = books.issue([monthly], "F", NOV_3, as_of=AS_OF)
    [note] = books.issue([replace(monthly, kind="credit_note")], "CN", NOV_3, as_of=AS_OF)

    with pytest.raises(NotDecidable, match="credit note"):
        books.decide(CANCEL, note.number, **DECISION)
    with pytest.raises(ChangeOutOfOrder, match="give that instant"):
        books.decide(CANCEL, issued.number, **DECISION | {"at": AS_OF - timedelta(days=1)})
    with pytest.raises(NotIssued, match="F-2026-000099"):
        books.decide(CANCEL, "F-2026-000099", **DECISION)


def test_beside_the_monthly_invoice_services_are_cancelled_and_sold_credits_until_they_are_paid(books):
    service = replace(monthly_invoice("orga_a"), reference="shop/audit")
    top_up = replace(monthly_invoice("orga_a"), kind="credits", reference="shop/top-up")
    audit, paid, unpaid = books.issue(
        [service, top_up, replace(top_up, reference="shop/more")], "F", NOV_3, as_of=AS_OF
    )
    books.record_changes([Change(paid.number, State.PAID, AS_OF, "covered by payments", payment_id="p1")])

    with pytest.raises(NotDecidable, match=f"{audit.number} sold no credits.*billing cancel {audit.number}"):
        books.decide(REFUND, audit.number, **DECISION)
    with pytest.raises(NotDecidable, match=f"billing refund {paid.number}"):
        books.decide(CANCEL, paid.number, **DECISION)
    with pytest.raises(NotDecidable, match=f"billing cancel {unpaid.number}"):
        books.decide(REFUND, unpaid.number, **DECISION)
    decided = [
        books.decide(kind, number, **DECISION)
        for kind, number in ((CANCEL, audit.number), (REFUND, paid.number), (CANCEL, unpaid.number))
    ]
    assert decided == books.decisions()


def test_only_the_unpaid_invoice_of_a_month_is_issued_again(books):
    monthly = monthly_invoice("orga_a")
    paid, waiting, service = books.issue(
        [monthly, monthly_invoice("orga_b"), replace(monthly, reference="shop/audit")], "F", NOV_3, as_of=AS_OF
    )
    books.record_changes([Change(paid.number, State.PAID, AS_OF, "covered by payments", payment_id="p1")])

    with pytest.raises(NotDecidable, match=f"is PAID: .*billing cancel {paid.number}"):
        books.decide(REISSUE, paid.number, **DECISION)
    with pytest.raises(NotDecidable, match=f"{service.number} is no invoice of a month.*another reference"):
        books.decide(REISSUE, service.number, **DECISION)
    decided = books.decide(REISSUE, waiting.number, **DECISION)

    assert books.decide(REISSUE, waiting.number, **DECISION) == decided
    with pytest.raises(NotDecidable, match="is to be issued again already"):
        books.decide(CANCEL, waiting.number, **DECISION)
    with pytest.raises(IllegalTransition, match="issued again once its credit note is issued"):
        books.move(waiting.number, State.WONTPAY, **DECISION)
    books.verify()


def test_a_decision_to_issue_again_an_invoice_that_is_paid_meanwhile_comes_to_nothing(books):
    [issued] = books.issue([monthly_invoice("orga_a")], "F", NOV_3, as_of=AS_OF)
    books.decide(REISSUE, issued.number, **DECISION)

    books.record_changes([Change(issued.number, State.PAID, DECISION["at"], "covered by payments", payment_id="p1")])

    assert books.decide(REFUND, issued.number, **DECISION).kind is REFUND


def test_the_invoice_of_a_month_is_the_last_one_that_stands_in_its_stead(books):
    monthly = monthly_invoice("orga_a")
    [first] = books.issue([monthly], "F", NOV_3, as_of=AS_OF)
    [service] = books.issue([replace(monthly, reference="shop/audit")], "F", NOV_3, as_of=AS_OF)
    again = replace(monthly, billing_month=NOVEMBER, reference=first.number)
    [second] = books.issue([again], "F", DEC_3, as_of=AS_OF)
    [note] = books.issue([replace(again, kind="credit_note")], "CN", DEC_3, as_of=AS_OF)
    [third] = books.issue([replace(again, reference=second.number)], "F", DEC_3, as_of=AS_OF)

    assert invoices_of_months([first, service]) == {("orga_a", OCTOBER): first}
    assert invoices_of_months(books.issued()) == {("orga_a", OCTOBER): third}
    assert [document.is_reissue for document in (first, service, second, note, third)] == [
        False, False, True, False, True,
    ]  # fmt: skip
    assert third.sale == first.sale == ("orga_a", "2026-10", "")
    assert service.sale == ("orga_a", "2026-10", "shop/audit")


def test_an_interim_invoice_is_cancelled_until_its_month_is_issued_and_refunded_after_that(books):
    interim = replace(monthly_invoice("orga_a"), kind="interim", reference="2026-10-01..2026-10-11")
    later = replace(interim, reference="2026-10-12..2026-10-18")
    wrong, paid, unpaid = books.issue(
        [interim, later, replace(interim, reference="2026-10-19..2026-10-25")], "F", NOV_3, as_of=AS_OF
    )
    books.record_changes([Change(paid.number, State.PAID, AS_OF, "covered by payments", payment_id="p1")])
    assert [issued.is_interim and issued.is_beside and issued.is_top_up for issued in (wrong, paid)] == [True, True]
    assert [wrong.is_monthly, wrong.is_specific] == [False, False]

    books.decide(CANCEL, wrong.number, **DECISION)
    with pytest.raises(NotDecidable, match=f"{paid.number} pays for 2026-10, which is not issued yet"):
        books.decide(REFUND, paid.number, **DECISION)
    books.record_month_issued(OCTOBER, {}, as_of=AS_OF)
    with pytest.raises(NotDecidable, match=f"{unpaid.number} was counted by the invoice of 2026-10"):
        books.decide(CANCEL, unpaid.number, **DECISION)
    books.decide(REFUND, paid.number, **DECISION)

    assert [decided.number for decided in books.decisions()] == [wrong.number, paid.number]


def test_credits_are_refunded_once_they_were_paid_and_again_once_that_is_done(books):
    monthly = monthly_invoice("orga_a")
    [issued] = books.issue([monthly], "F", NOV_3, as_of=AS_OF)
    with pytest.raises(NotDecidable, match="billing cancel F-2026-000001"):
        books.decide(REFUND, issued.number, **DECISION)
    books.record_changes([Change(issued.number, State.PAID, AS_OF, "covered by payments", payment_id="p1")])
    decided = books.decide(REFUND, issued.number, **DECISION)
    with pytest.raises(NotDecidable, match="is to be refunded already"):
        books.decide(CANCEL, issued.number, **DECISION)

    facts = {**monthly.facts, "refers_to": issued.number, "decision": decided.seq}
    books.issue([replace(monthly, kind="credit_note", facts=facts)], "CN", NOV_3, as_of=AS_OF)

    assert books.decide(REFUND, issued.number, **DECISION).seq > decided.seq


def test_differences_that_do_not_know_of_a_cancellation_are_not_approved(books):
    [issued] = books.issue([monthly_invoice("orga_a")], "F", NOV_3, as_of=AS_OF)
    month = issued.request.billing_month
    books.record_month_issued(month, {}, as_of=AS_OF)
    before = books.last_decision(month)
    books.decide(CANCEL, issued.number, **DECISION)

    with pytest.raises(CorrectionOutdated, match="an invoice of it cancelled"):
        books.approve_correction(month, "a" * 16, "f" * 64, "Ann", as_of=AS_OF, follows=before)
    approved = books.approve_correction(
        month, "a" * 16, "f" * 64, "Ann", as_of=AS_OF, follows=books.last_decision(month)
    )
    assert approved.seq == books.last_decision(month)


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.lists(
        st.tuples(
            st.lists(st.integers(0, 6), max_size=5), st.sampled_from(["F", "AV"]), st.integers(0, 900), st.booleans()
        ),
        max_size=8,
    ),
    st.uuids(),
)
def test_numbers_have_no_gap_whatever_is_issued_refused_or_repeated(tmp_path: Path, batches, name):
    books = Books(tmp_path / f"{name}.sqlite")
    for payers, series, day, other_content in batches:
        requests = [monthly_invoice(f"orga_{payer}", payable_cents=payer + 10 * other_content) for payer in payers]
        before = books.issued()
        try:
            issued = books.issue(requests, series, date.fromordinal(NOV_3.toordinal() + day), as_of=AS_OF)
        except (AlreadyIssued, NotChronological):
            assert books.issued() == before
        else:
            assert [document.request for document in issued] == requests
            assert books.issued()[: len(before)] == before
    books.verify()
    keys = [(document.series, document.issued_on.year) for document in books.issued()]
    for key in set(keys):
        serials = [d.serial for d in books.issued() if (d.series, d.issued_on.year) == key]
        assert serials == list(range(1, keys.count(key) + 1))

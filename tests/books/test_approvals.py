"""A correction is approved once, for an issued month, and only if no other was approved since it was computed."""

from datetime import UTC, datetime

import pytest

from billing_pipeline.books import Books, CorrectionOutdated, NotIssued
from billing_pipeline.rules.period import Month

OCTOBER, NOVEMBER = Month(2026, 10), Month(2026, 11)
AS_OF = datetime(2026, 12, 1, tzinfo=UTC)


@pytest.fixture
def books(tmp_path) -> Books:
    books = Books(tmp_path / "books.sqlite")
    books.record_month_issued(OCTOBER, {}, as_of=AS_OF)
    return books


def approve(books, generation, follows, month=OCTOBER):
    return books.approve_correction(month, generation * 16, "f" * 64, "Ann", as_of=AS_OF, follows=follows)


def test_the_books_keep_who_approved_which_differences(books):
    approved = approve(books, "a", 0)

    assert books.approved_corrections() == books.approved_corrections(OCTOBER) == [approved]
    assert (approved.author, approved.generation, approved.as_of) == ("Ann", "a" * 16, AS_OF)
    assert books.approved_corrections(NOVEMBER) == []
    books.verify()


def test_the_same_differences_are_approved_once(books):
    first = approve(books, "a", 0)

    assert approve(books, "a", 0) == first
    assert books.approved_corrections() == [first]


def test_differences_that_do_not_know_the_last_approval_are_refused(books):
    first = approve(books, "a", 0)

    with pytest.raises(CorrectionOutdated, match="billing correct 2026-10"):
        approve(books, "b", 0)
    assert approve(books, "b", first.seq).seq == first.seq + 1


def test_a_month_that_is_not_issued_is_closed_again_instead(books):
    with pytest.raises(NotIssued, match="billing close 2026-11"):
        approve(books, "a", 0, NOVEMBER)
    assert books.approved_corrections() == []


def test_the_first_issue_of_a_month_is_told_from_later_ones(books):
    first = books.first_issue_seq(OCTOBER)
    books.record_month_issued(OCTOBER, {"invoices/drafts": "1" * 16}, as_of=AS_OF)

    assert books.first_issue_seq(OCTOBER) == first == 1
    assert books.first_issue_seq(NOVEMBER) is None

import os

import pytest

from billing_pipeline.documents import pool
from billing_pipeline.documents.pool import render_all
from billing_pipeline.documents.rendering import RenderedInvoice
from billing_pipeline.documents.view import DocumentFailure


@pytest.fixture
def small_shares(monkeypatch):
    """Nine documents and more are spread over processes, two at a time."""
    monkeypatch.setattr(pool, "_FEW", 8)
    monkeypatch.setattr(pool, "_SHARE", 2)


class _Deadly:
    """A view whose arrival ends the process that receives it."""

    payer_id = "orga_deadly"

    def __reduce__(self):
        return os._exit, (1,)


def _failures(count):
    return [DocumentFailure(f"orga_{number}", "refused before") for number in range(count)]


def test_a_few_documents_come_in_the_order_of_their_views(month):
    for payer_id in ("orga_1", "orga_2", "orga_3"):
        month.bill(payer_id, usage=[{"amount_cents": 100}])
    month.lines[1]["amount_cents"] = 99
    seen = []
    outcomes = list(render_all(month.views(), on_document=seen.append))
    assert [type(outcome) for outcome in outcomes] == [RenderedInvoice, DocumentFailure, RenderedInvoice]
    assert [outcome.payer_id for outcome in outcomes] == ["orga_1", "orga_2", "orga_3"]
    assert seen == outcomes


@pytest.mark.usefixtures("small_shares")
def test_many_processes_make_the_same_documents_in_the_same_order(month):
    for number in range(10):
        month.bill(f"orga_{number}", usage=[{"amount_cents": 100 + number}])
    views = month.views()
    wide = list(render_all(views, workers=2))
    assert [outcome.payer_id for outcome in wide] == [view.payer_id for view in views]
    assert wide[7:] == list(render_all(views[7:], workers=1))


@pytest.mark.usefixtures("small_shares")
def test_a_process_that_dies_costs_only_the_document_that_killed_it(monkeypatch):
    monkeypatch.setattr(pool, "_IN_FLIGHT_PER_PROCESS", 1)
    before, after = _failures(9), _failures(2)
    outcomes = list(render_all([*before, _Deadly(), *after], workers=2))
    assert outcomes[:9] == before
    assert (outcomes[9].payer_id, outcomes[9].reason) == ("orga_deadly", "document_failed")
    assert outcomes[10:] == after


@pytest.mark.usefixtures("small_shares")
def test_replaced_processes_lose_no_document(monkeypatch):
    monkeypatch.setattr(pool, "_SHARES_PER_PROCESS", 1)
    views = _failures(10)
    assert list(render_all(views, workers=2)) == views


def test_long_documents_are_handed_over_one_by_one(month, monkeypatch):
    monkeypatch.setattr(pool, "_SHARE_LINES", 3)
    for number, lines in enumerate((1, 1, 1, 5, 1)):
        month.bill(f"orga_{number}", usage=[{"amount_cents": 100}] * lines)

    shares = [[view.payer_id for view in share] for share in pool._shares(month.views())]

    assert shares == [["orga_0", "orga_1", "orga_2"], ["orga_3"], ["orga_4"]]

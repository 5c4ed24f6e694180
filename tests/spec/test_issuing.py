"""From a draft to an invoice: its dates, and whether it says the same as before."""

from datetime import date

import dataframely as dy
import polars as pl
import pytest

from billing_pipeline.rules.issuing import hash_drafts, number_documents
from billing_pipeline.tables.invoices import Invoices


@pytest.fixture
def drafted(given):
    charges = given.charges(*({"payer_id": payer, "charge_cents": 5_00} for payer in ("acme", "lab")))
    return given.bill(charges, given.lots(), given.accounts(*({"payer_id": payer} for payer in ("acme", "lab"))))


def test_an_invoice_is_due_when_its_own_terms_or_else_the_providers_are_over(given, drafted):
    organisations = given.organisations({"owner_id": "acme"}, {"owner_id": "lab", "payment_terms_days": 0})
    drafts = drafted[1].drafts.sort("payer_id", descending=True)
    numbers = [("26-1", date(2026, 11, 2)), ("26-2", date(2026, 11, 3))]

    invoices = number_documents(drafts, numbers, organisations, 30, Invoices)

    dated = invoices.select("payer_id", "number", "issued_on", "due_on").rows()
    assert dated == [
        ("lab", "26-1", date(2026, 11, 2), date(2026, 11, 2)),
        ("acme", "26-2", date(2026, 11, 3), date(2026, 12, 3)),
    ]


def test_a_draft_is_the_same_again_while_nothing_on_it_changes(drafted):
    settlement, month = drafted
    hashed = hash_drafts(month.drafts, month.lines, settlement.statements)
    assert sorted(hashed) == ["acme", "lab"]
    assert hash_drafts(month.drafts, month.lines.reverse(), settlement.statements) == hashed

    is_lab = pl.col("payer_id") == "lab"
    texts = {"drafts": "city", "lines": "owner_name", "statements": "estimate_basis"}
    rows = {"drafts": month.drafts, "lines": month.lines, "statements": settlement.statements}
    for name, column in texts.items():
        other = pl.when(is_lab).then(pl.lit("final")).otherwise(pl.col(column).cast(pl.String)).alias(column)
        changed = hash_drafts(**rows | {name: rows[name].with_columns(other)})
        assert changed["acme"] == hashed["acme"]
        assert changed["lab"] != hashed["lab"]


def test_a_statement_without_an_invoice_changes_no_draft(drafted):
    settlement, month = drafted
    acme = month.drafts.filter(payer_id="acme"), month.lines.filter(payer_id="acme")
    hashed = hash_drafts(month.drafts, month.lines, settlement.statements)
    assert hash_drafts(*acme, settlement.statements) == {"acme": hashed["acme"]}


@pytest.mark.parametrize("missing", ["number", "organisation"])
def test_a_draft_without_a_number_or_an_organisation_is_not_passed_over(given, drafted, missing):
    numbers = [("26-1", date(2026, 11, 2)), ("26-2", date(2026, 11, 2))][missing == "number" :]
    organisations = given.organisations(*({"owner_id": payer} for payer in ("acme", "lab")[missing != "number" :]))
    with pytest.raises((dy.exc.ValidationError, pl.exceptions.InvalidOperationError)):
        number_documents(drafted[1].drafts, numbers, organisations, 30, Invoices)

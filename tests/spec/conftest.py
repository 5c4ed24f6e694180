"""Builders of typed rows with sensible defaults, so that a test names only what its rule is about."""

import sys
from datetime import UTC, date, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import NamedTuple
from zoneinfo import ZoneInfo

import dataframely as dy
import polars as pl
import pytest

from billing_pipeline.rules.balances import BasisHashes, RefillInvoices
from billing_pipeline.rules.credits import Settlement, settle_credits
from billing_pipeline.rules.invoicing import DraftedMonth, draft_invoices
from billing_pipeline.rules.period import Month, Period
from billing_pipeline.rules.spending import AdjustedCharges, InvoiceRules, adjust_charges, assign_spend_rules
from billing_pipeline.rules.succession import Takeovers
from billing_pipeline.rules.tax import DecidedVat, VatDecisions
from billing_pipeline.tables.accounts import CreditGrants, Organisations, Payments, RefillAgreements, SpendRules
from billing_pipeline.tables.corrections import CorrectionLines
from billing_pipeline.tables.credits import (
    CreditAccounts,
    CreditLots,
    CreditMovements,
    CreditStatements,
    Fees,
    OpenedGrants,
    OpenLots,
    Refills,
)
from billing_pipeline.tables.invoices import ParkedOrganisations
from billing_pipeline.tables.journal import PostedDocuments
from billing_pipeline.tables.rating import Charges

sys.path.insert(0, str(Path(__file__).parent))

START, END = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)


def _table(table: type[dy.Schema], rows, defaults=()) -> dy.DataFrame:
    """Rows of a table; columns that neither a row nor a default names are null."""
    schema = {
        name: pl.String if isinstance(kind, pl.Enum) else kind for name, kind in table.create_empty().schema.items()
    }
    records = [dict.fromkeys(schema) | dict(defaults) | row for row in rows]
    for record in records:
        unknown = record.keys() - schema.keys()
        assert not unknown, f"{table.__name__} has no column {unknown}"
    return table.validate(pl.DataFrame(records, schema=schema), cast=True)


def _organisations(*rows):
    defaults = {
        "valid_from": START, "valid_to": END, "kind": "business", "address_line1": "1 rue du Port",
        "postcode": "44000", "city": "Nantes", "country": "FR", "currency": "EUR", "language": "fr",
        "billing_emails": "billing@example.org", "opened_on": date(2020, 1, 1), "is_trusted": False,
        "discount_ppm": 0, "price_factor_ppm": 1_000_000,
    }  # fmt: skip
    return _table(
        Organisations, [{"payer_id": row["owner_id"], "name": row["owner_id"], **row} for row in rows], defaults
    )


def _charges(*rows):
    defaults = {
        "slug": "apps.s", "zone": "par", "price_factor_ppm": 1_000_000, "origin_month": "2026-10", "basis": "runtime",
        "quantity": 1, "unit": "s", "unit_price": 1, "per_quantity": 1, "per_seconds": 3600,
        "line_discount_ppm": 0, "currency": "EUR", "is_recurring": True, "resources": 1,
    }  # fmt: skip
    numbered = [
        {"line_id": f"{number:032d}", "resource_id": f"app_{number}", "owner_id": row["payer_id"], **row}
        for number, row in enumerate(rows)
    ]
    return _table(Charges, numbered, defaults)


def _fees(*rows):
    numbered = [
        {
            "line_id": f"{number:032d}",
            "charge_cents": row["fee_cents"],
            "discount_cents": 0,
            "correction_cents": 0,
            **row,
        }
        for number, row in enumerate(rows)
    ]
    return _table(Fees, numbered, {"payer_id": "acme", "slug": "apps.s", "is_recurring": True})


def _lots(*rows):
    return _table(
        OpenLots,
        [{"name": row["grant_id"], "granted_cents": row["left_before_cents"], **row} for row in rows],
        {"payer_id": "acme", "priority": 1, "starts_at": START},
    )


def _accounts(*rows):
    defaults = {
        "payer_id": "acme", "currency": "EUR", "prepaid_before_cents": 0, "pending_cents": 0, "is_closed": False,
        "billed_months_before": 0, "estimate_basis": "same_as_last_month",
    }  # fmt: skip
    return _table(CreditAccounts, rows, defaults)


def _grants(*rows):
    defaults = {
        "owner_id": "acme", "kind": "free", "name": "Welcome", "granted_cents": 2000, "currency": "EUR",
        "starts_at": START, "priority": 1,
    }  # fmt: skip
    return _table(CreditGrants, rows, defaults)


def _payments(*rows):
    defaults = {
        "owner_id": "acme", "currency": "EUR", "received_at": START, "known_at": START, "method_kind": "transfer",
        "outcome": "succeeded",
    }  # fmt: skip
    numbered = [{"payment_id": f"payment_{number}", **row} for number, row in enumerate(rows)]
    return _table(Payments, numbered, defaults)


def _statements(*rows):
    """Statements of payers who used nothing and hold only what is named."""
    zeros = {name: 0 for name in CreditStatements.column_names() if name.endswith("_cents")}
    defaults = {
        "payer_id": "acme", "currency": "EUR", "is_custom_refill": False, "estimate_basis": "same_as_last_month",
        "is_due": True, "billed_months_before": 0,
    }  # fmt: skip
    return _table(CreditStatements, rows, zeros | defaults)


def _spend_rules(*rows):
    return _table(SpendRules, [{"name": row["rule_id"], **row} for row in rows], {"currency": "EUR"})


def _movements(*rows):
    return _table(CreditMovements, rows, {"payer_id": "acme", "line_id": "", "currency": "EUR"})


def _documents(*rows):
    """Invoices of October, issued on 3 November; what they ask for is added up."""
    letters = {"fees_cents": 0, "free_used_cents": 0, "prepaid_used_cents": 0, "refill_cents": 0, "vat_cents": 0}
    defaults = {
        "kind": "invoice", "payer_id": "acme", "billing_month": "2026-10", "issued_on": date(2026, 11, 3),
        "currency": "EUR",
    }  # fmt: skip
    summed = [
        {
            "payable_cents": sum((letters | row)[name] for name in letters),
            "holder_id": row.get("payer_id", "acme"),
            **row,
        }
        for row in rows
    ]
    return _table(PostedDocuments, summed, letters | defaults)


def _vat(*rows):
    defaults = {
        "vat_ppm": 0, "vat_reason": "home", "vat_scheme": "domestic", "vat_category": "S", "vat_note": "French VAT",
    }  # fmt: skip
    return VatDecisions(_table(DecidedVat, rows, defaults), ParkedOrganisations.create_empty())


def _basis(payers):
    return _table(BasisHashes, [{"payer_id": payer, "basis_hash": "0" * 64} for payer in payers])


def _period(text: str = "2026-10") -> Period:
    return Month.parse(text).period(ZoneInfo("UTC"))


class Adjusted(NamedTuple):
    """What most rules are about; whose line bears which part is asked for by `adjust_and_share`."""

    fees: pl.DataFrame
    adjustments: pl.DataFrame


def _adjust(charges, organisations, *spend_rules, period=None) -> Adjusted:
    """Apply spend rules and the organisations' discounts; no rule parks anybody."""
    return Adjusted(*_adjust_and_share(charges, organisations, *spend_rules, period=period)[:2])


def _adjust_and_share(charges, organisations, *spend_rules, period=None) -> AdjustedCharges:
    assigned = assign_spend_rules(_spend_rules(*spend_rules), charges, organisations)
    assert assigned.problems.is_empty()
    return adjust_charges(charges, assigned.rules, organisations, period or _period())


def _bill(charges, lots, accounts, *, vat_ppm=0, organisations=None, period=None) -> tuple[Settlement, DraftedMonth]:
    """Settle one month and draft its invoices."""
    payers = accounts["payer_id"].to_list()
    period = period or _period()
    organisations = organisations if organisations is not None else _organisations(*({"owner_id": p} for p in payers))
    fees, adjustments, _ = adjust_charges(charges, InvoiceRules.create_empty(), organisations, period)
    settlement = settle_credits(fees, lots, accounts, period)
    vat = _vat(*({"payer_id": payer, "vat_ppm": vat_ppm} for payer in payers))
    drafted = draft_invoices(
        charges,
        adjustments,
        settlement.statements,
        organisations,
        vat,
        _basis(payers),
        period,
        CorrectionLines.create_empty(),
    )
    return settlement, drafted


@pytest.fixture(scope="session")
def given() -> SimpleNamespace:
    """Everything a rule may be given; each builder fills in what the test leaves out (payer `acme`, month 2026-10)."""
    return SimpleNamespace(
        organisations=_organisations,
        charges=_charges,
        fees=_fees,
        lots=_lots,
        carried_lots=lambda *rows: _table(CreditLots, rows),
        accounts=_accounts,
        grants=_grants,
        opened=lambda *rows: _table(OpenedGrants, rows, {"payer_id": "acme", "kind": "free", "currency": "EUR"}),
        payments=_payments,
        statements=_statements,
        movements=_movements,
        documents=_documents,
        refills=lambda *rows: _table(
            Refills,
            [{"holder_id": row.get("payer_id", "acme"), **row} for row in rows],
            {"payer_id": "acme", "currency": "EUR", "reference": ""},
        ),
        takeovers=lambda *rows: _table(Takeovers, rows),
        spend_rules=_spend_rules,
        adjust=_adjust,
        adjust_and_share=_adjust_and_share,
        refill_invoices=lambda *rows: _table(RefillInvoices, rows, {"payer_id": "acme", "reference": ""}),
        agreements=lambda *rows: _table(RefillAgreements, rows, {"author": "sales", "reason": "contract"}),
        vat=_vat,
        basis=_basis,
        period=_period,
        bill=_bill,
    )

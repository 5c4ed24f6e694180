"""Credits: what each payer's free and prepaid credits pay, what lapses, and what must be refilled for next month.

Settling a month needs the drafts of the month before, so the assets of this stage are materialised together with the
drafts, month by month: see `invoices`.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from billing_pipeline.books import invoices_of_months
from billing_pipeline.defs.billing import Billing, inputs_of, partition
from billing_pipeline.defs.corrections import CORRECTIONS, due_corrections, publish_corrections
from billing_pipeline.defs.credit_notes import CREDIT_NOTE_LINES, CREDIT_NOTES, book_due, draft_notes, publish_notes
from billing_pipeline.defs.decisions import cancelled_states, find_credited
from billing_pipeline.defs.evidence import check_charges
from billing_pipeline.defs.monthly import Report, Table, total_amounts
from billing_pipeline.defs.states import known_by, record_payments
from billing_pipeline.defs.usage import SINGLE_CHARGES, USAGE_TABLES, enter_single_charges
from billing_pipeline.rules.balances import (
    REFILL,
    OpenedAccounts,
    RefillInvoices,
    basis_hash,
    current_organisations,
    enter_grants,
    open_accounts,
    open_lots,
)
from billing_pipeline.rules.bill_flags import fees_are_steady, flag_bills
from billing_pipeline.rules.credit_notes import (
    give_back_prepaid,
    given_back_movements,
    prepaid_given_back,
    reopen_lots,
)
from billing_pipeline.rules.credits import settle_credits
from billing_pipeline.rules.equations import (
    balances_continue,
    credits_match_statements,
    grants_are_conserved,
    lines_make_fees,
    park_broken,
    statements_keep_their_formulas,
    transfers_cancel_out,
)
from billing_pipeline.rules.interim import billed_by_period
from billing_pipeline.rules.lifecycle import GIVEN_UP
from billing_pipeline.rules.lifetimes import given_up_refills, prepaid_openings, topped_up
from billing_pipeline.rules.parking import park_payers, without
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.provisioning import provision_accounts
from billing_pipeline.rules.spending import adjust_charges, assign_spend_rules, commitments
from billing_pipeline.rules.succession import taken_over
from billing_pipeline.tables.accounts import CreditGrants, Organisations, Payments, RefillAgreements, SpendRules
from billing_pipeline.tables.credits import (
    CreditLots,
    CreditMovements,
    CreditStatements,
    OpenedGrants,
    Refills,
)
from billing_pipeline.tables.invoices import ParkedOrganisations
from billing_pipeline.tables.rating import Charges
from billing_pipeline.warehouse import Generation

_ACCOUNTS = ("organisations", "spend_rules", "credit_grants", "refill_agreements", "payments")


@dataclass(frozen=True)
class MonthBefore:
    """What a month starts from: its predecessor's tables, without the payers that were parked then."""

    statements: pl.DataFrame
    movements: pl.DataFrame
    lots: pl.DataFrame
    opened_grants: pl.DataFrame
    refills: pl.DataFrame
    parked: pl.DataFrame
    generations: Mapping[str, Generation]


def read_month_before(billing: Billing, month: Month) -> MonthBefore:
    """The predecessor as it was issued, or else as it is drafted; empty tables for the first month."""
    tables = {
        "statements": ("credits/credit_statements", CreditStatements),
        "movements": ("credits/credit_movements", CreditMovements),
        "lots": ("credits/credit_lots", CreditLots),
        "opened_grants": ("credits/opened_grants", OpenedGrants),
        "refills": ("invoices/refills", Refills),
        "parked": ("invoices/parked_organisations", ParkedOrganisations),
    }
    if billing.predecessor("invoices/drafts", month) is None:
        return MonthBefore(**{name: schema.create_empty() for name, (_, schema) in tables.items()}, generations={})
    read = {name: billing.settled(table, month.previous) for name, (table, _) in tables.items()}
    frames = {name: read[name].typed(schema) for name, (_, schema) in tables.items()}
    kept = {
        name: without(rows, frames["parked"], "holder_id" if name == "refills" else "payer_id")
        if name in ("statements", "movements", "lots", "refills")
        else rows
        for name, rows in frames.items()
    }
    return MonthBefore(**kept, generations={tables[name][0]: generation for name, generation in read.items()})


def open_month(billing: Billing, month: Month, before: MonthBefore, grants_by_now: pl.DataFrame) -> OpenedAccounts:
    """The accounts of the month, from its predecessor, the payments that it read and the states as of then."""
    organisations = _accounts_table(billing, month, "organisations")
    agreements = _accounts_table(billing, month, "refill_agreements")
    until, everything = known_by(billing, month), billing.books.issued()
    states = billing.books.states(until) | cancelled_states(billing, month)
    standing = invoices_of_months(invoice for invoice in everything if not invoice.is_reissue or invoice.as_of <= until)
    issued = [
        (*invoice.sale, invoice.number, states.get(invoice.number))
        for invoice in (*standing.values(), *(invoice for invoice in everything if invoice.is_specific))
    ]
    interim = interim_invoices(billing, month)
    issued += interim.select(*REFILL, "number", pl.when("counts").then(pl.lit("PAID")).otherwise("state")).rows()
    return open_accounts(
        before.statements,
        before.lots,
        Refills.validate(pl.concat([before.refills, interim.select(Refills.column_names())])),
        grants_by_now,
        _accounts_table(billing, month, "payments"),
        RefillInvoices.validate(pl.DataFrame(issued, schema=RefillInvoices.create_empty().schema, orient="row")),
        RefillAgreements.validate(
            agreements.filter(pl.col("owner_id").is_in(organisations["payer_id"].unique().implode()))
        ),
        organisations,
        billing.period(month),
    )


def interim_invoices(billing: Billing, month: Month) -> pl.DataFrame:
    """The interim invoices of a month as `Refills`, with `number`, `period_end`, `subtotal_cents`, `fees_cents`, the
    `state` that the month sees and whether it `counts`: one that was not given up counts, paid or not."""
    documents = [document for document in billing.books.issued(month) if document.is_interim]
    seen = billing.books.states(known_by(billing, month)) if documents else {}
    states = seen | cancelled_states(billing, month)
    schema = Refills.create_empty().schema | {
        "number": pl.String,
        "period_end": pl.Date,
        "subtotal_cents": pl.Int64,
        "fees_cents": pl.Int64,
        "state": pl.String,
    }
    rows = [
        {
            **document.request.facts,
            "payer_id": document.request.payer_id,
            "billing_month": str(month),
            "reference": document.request.reference,
            "refill_cents": document.request.facts["used_credits_cents"],
            "holder_id": document.request.payer_id,
            "number": document.number,
            "period_end": document.request.period_end,
            "state": states.get(document.number),
        }
        for document in documents
    ]
    issued = pl.DataFrame([{name: row[name] for name in schema} for row in rows], schema=schema)
    return issued.with_columns(counts=~pl.col("state").is_in([*GIVEN_UP]).fill_null(value=False))


_SCHEMAS = {
    "organisations": Organisations,
    "credit_grants": CreditGrants,
    "refill_agreements": RefillAgreements,
    "payments": Payments,
    "spend_rules": SpendRules,
}


def _accounts_table(billing: Billing, month: Month, noun: str) -> pl.DataFrame:
    return billing.read(f"accounts/{noun}", month).typed(_SCHEMAS[noun])


_RATED = tuple(
    f"rating/{mart}"
    for mart in ("charges", "specific_charges", "charge_sources", "runs", "segments", "unrated", "unusable")
)
_INPUTS = (*_RATED, *(f"accounts/{noun}" for noun in _ACCOUNTS))

CREDIT_TABLES = (
    Table(
        "credits/credit_statements",
        "The credit statement with its letters a to i. One row per payer.",
        deps=[*_INPUTS, "usage/file_receipts", "usage/flags", "interim/invoices"],
        checks={
            "seconds_are_conserved": "Billed time = usable runs up to closing, none longer than the month.",
            "every_line_has_sources": "Every line leads to raw rows, and every raw file to its receipt and sha256.",
            "lines_make_fees": "Σ lines − discounts + true-ups + corrections = fees F.",
            "statements_keep_their_formulas": "A, B, i and h are what their formulas say.",
            "credits_match_statements": "Movements add up to c, d, e and h.",
            "grants_are_conserved": "Per lot: granted = used + expired + left, each at least 0.",
            "balances_continue": "b + g = b + e + g + h of the month before + openings, top-ups, returns − given up.",
            "transfers_cancel_out": "Credits that change their payer: out = in.",
        },
        warnings={"fees_are_steady": "Fees stay near those of the month before."},
    ),
    CORRECTIONS,
    CREDIT_NOTES,
    CREDIT_NOTE_LINES,
    Table(
        "credits/adjustments",
        "Discounts, caps and least amounts, before credits pay. One row per payer and rule that changed its fees.",
        deps=["accounts/spend_rules", "rating/charges"],
    ),
    Table(
        "credits/credit_movements",
        "Which credit paid which line, what lapsed, what was refilled. One row per movement.",
        deps=["credits/credit_statements"],
    ),
    Table(
        "credits/credit_lots",
        "The coupon table of the invoice. One row per free lot of a statement.",
        deps=["credits/credit_statements"],
    ),
    Table(
        "credits/opened_grants",
        "Grants that statements have counted so far, each once. One row per grant.",
        deps=["credits/credit_statements"],
    ),
)


@dataclass(frozen=True)
class BegunMonth:
    """What a month is settled from, once its usage is rated."""

    before: MonthBefore
    #: As they are at the month's end.
    organisations: pl.DataFrame
    grants: pl.DataFrame
    #: Those that statements have counted, the month's own among them.
    opened_grants: pl.DataFrame
    opened: OpenedAccounts
    refused_payments: pl.DataFrame
    charges: pl.DataFrame
    rules: pl.DataFrame
    parked: pl.DataFrame


def begin_month(billing: Billing, month: Month) -> BegunMonth:
    """Open the accounts of a month, and find who cannot be billed."""
    before = read_month_before(billing, month)
    organisations = _accounts_table(billing, month, "organisations")
    current = current_organisations(organisations)
    grants = _accounts_table(billing, month, "credit_grants")
    entered = enter_grants(grants, before.opened_grants, current, billing.period(month))
    refused = record_payments(billing, month, before.refills, known_by(billing, month))
    opened = open_month(billing, month, before, entered.opened)
    charges = billing.read("rating/charges", month).read()
    assigned = assign_spend_rules(_accounts_table(billing, month, "spend_rules"), charges, current)
    found = (entered.problems, opened.problems, assigned.problems)
    parked = park_payers(
        [*problems_of(billing, month), *(_of_payers(rows) for rows in found)], organisations, before.parked
    )
    return BegunMonth(before, current, grants, entered.opened, opened, refused, charges, assigned.rules, parked)


def settle(billing: Billing, month: Month) -> Mapping[str, Report]:
    """Settle every payer that is not parked, and publish the credit tables."""
    begun = begin_month(billing, month)
    before, opened, parked, current = begun.before, begun.opened, begun.parked, begun.organisations
    period, limits = billing.period(month), billing.settings.bill_limits
    charges = Charges.validate(Charges.cast(without(begun.charges, parked)))
    rules = without(begun.rules, parked)
    fees, adjustments, shares = adjust_charges(charges, rules, current, period)
    due = due_corrections(billing, month, current, without(opened.accounts, parked), parked)
    due, booked = book_due(billing, month, due, fees)
    cancelled = find_credited(billing, month, current, without(opened.accounts, parked), opened.movements)
    credited = draft_notes(billing, month, booked.left_over, cancelled)
    fees, shares = booked.fees, pl.concat([shares, booked.shares])
    accounts = provision_accounts(
        without(opened.accounts, parked),
        fees,
        commitments(rules),
        billing.settings.provision_strategy,
        billing.settings.provision_from_month,
        period,
        billed_by_period(current),
    )
    accounts = give_back_prepaid(accounts, credited.given_back)
    lots = without(open_lots(before.lots, begun.opened_grants, begun.grants, opened.takeovers, period), parked)
    lots = reopen_lots(lots, credited.given_back, credited.lots)
    settlement = settle_credits(fees, lots, accounts, period)
    # What leaves for a parked payer waits with it, under its old one.
    waiting = without(opened.movements, opened.takeovers.join(parked, left_on="successor_id", right_on="payer_id"))
    arrivals = without(waiting, parked)
    returned = given_back_movements(credited.given_back, accounts)
    movements = pl.concat([arrivals, returned, settlement.movements]).sort("payer_id", "kind", "grant_id", "line_id")
    basis = basis_hash(accounts, before.statements, before.movements, arrivals, opened.takeovers)

    statements = settlement.statements
    compared = taken_over(before.statements, opened.takeovers)
    equations = [
        *check_charges(billing, month, charges, parked),
        statements_keep_their_formulas(statements),
        balances_continue(
            statements,
            compared,
            prepaid_openings(arrivals, begun.opened_grants),
            given_up_refills(arrivals),
            prepaid_given_back(credited.given_back),
            topped_up(arrivals),
        ),
        transfers_cancel_out(movements),
        lines_make_fees(charges, adjustments, statements, booked.lines),
        credits_match_statements(movements, statements),
        grants_are_conserved(settlement.lots, statements),
    ]
    broken = park_broken(equations)
    parked = ParkedOrganisations.validate(pl.concat([parked, broken]).sort("payer_id", "reason"))
    statements, fees, adjustments, shares, lots, movements = (
        without(rows, broken) for rows in (statements, fees, adjustments, shares, settlement.lots, movements)
    )
    corrected = publish_corrections(billing, month, booked, due, broken)
    noted = publish_notes(billing, month, credited, broken)

    inputs = inputs_of({table: billing.read(table, month) for table in _INPUTS}) | {
        f"{table} before": generation.id for table, generation in before.generations.items()
    }
    as_of = billing.as_of(month)
    with billing.warehouse.publishing(
        "credits/credit_statements", partition(month), as_of=as_of, inputs=inputs
    ) as publication:
        publication.write("rows", statements)
        publication.write("fees", fees)
        publication.write("basis", without(basis, broken))
        publication.write("pending", without(opened.refills, parked, "holder_id"))
        publication.write("parked", parked)
        publication.write("flags", without(flag_bills(statements, compared, begun.refused_payments, limits), broken))
    with billing.warehouse.publishing(
        "credits/adjustments", partition(month), as_of=as_of, inputs=inputs
    ) as publication:
        publication.write("rows", adjustments)
        publication.write("shares", shares)
    others = {
        "credits/credit_movements": movements,
        "credits/credit_lots": lots,
        "credits/opened_grants": begun.opened_grants,
    }
    for table, rows in others.items():
        billing.warehouse.publish(table, partition(month), rows, as_of=as_of, inputs=inputs)

    return {
        CORRECTIONS.key: corrected,
        **noted,
        "credits/credit_statements": Report(
            {
                "dagster/row_count": statements.height,
                "parked_payers": parked["payer_id"].n_unique(),
                **total_amounts(statements, "fees", "free_used", "free_expired", "prepaid_used", "refill"),
            },
            equations,
            [fees_are_steady(statements, before.statements, limits)],
        ),
        "credits/adjustments": Report({"dagster/row_count": adjustments.height}),
        **{table: Report({"dagster/row_count": rows.height}) for table, rows in others.items()},
    }


def _of_payers(problems: pl.DataFrame) -> pl.DataFrame:
    return problems.select("reason", "detail", owner_id="payer_id")


def problems_of(billing: Billing, month: Month) -> list[pl.DataFrame]:
    """What earlier stages found wrong with owners: usage that contradicts itself or cannot be rated, faulty rows.

    Usage of organisations that nobody knows is in quarantine; nobody is parked for it.
    """
    known = billing.read("accounts/organisations", month).read("owners")
    unrated = billing.read("rating/unrated", month).read().select("owner_id", "reason", "detail")
    conflicts = [
        billing.read(table, month)
        .read("conflicts")
        .select("owner_id", reason=pl.lit("event_conflict"), detail="detail")
        for table in USAGE_TABLES
    ]
    faulty = [_of_payers(billing.read(f"accounts/{noun}", month).read("problems")) for noun in _ACCOUNTS]
    charged = [
        _of_payers(enter_single_charges(billing.read(f"usage/{feed}", month)).problems) for feed in SINGLE_CHARGES
    ]
    unbelievable = billing.read("usage/flags", month).read("problems")
    concerned = (unrated, *charged, unbelievable, *conflicts)
    used = [rows.join(known, on="owner_id", how="semi") for rows in concerned]
    return [*used, *(rows.filter(pl.col("owner_id") != "") for rows in faulty)]

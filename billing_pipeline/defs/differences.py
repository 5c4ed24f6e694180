"""Issued months rated again beside what was billed, and what differs.

The second rating of a month is made aside: its usage, accounts and charges are generations that never become current,
so that what was billed stays what every reader sees.
"""

from collections.abc import Mapping

import dagster as dg
import dataframely as dy
import polars as pl

from billing_pipeline.defs import accounts, rating, usage
from billing_pipeline.defs.billing import Billing, partition
from billing_pipeline.defs.corrections import DIFFERENCES, NotCorrectable, approved_rows
from billing_pipeline.defs.credits import problems_of
from billing_pipeline.defs.decisions import cancelled_differences
from billing_pipeline.defs.monthly import Report, Table, assets_of, materialise_aside, monthly_assets, total_amounts
from billing_pipeline.defs.releases import is_held_back
from billing_pipeline.rules.balances import current_organisations
from billing_pipeline.rules.corrections import compare_lines
from billing_pipeline.rules.invoicing import print_lines
from billing_pipeline.rules.parking import park_payers, without
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.spending import adjust_charges, assign_spend_rules
from billing_pipeline.tables.accounts import Organisations, SpendRules
from billing_pipeline.tables.corrections import CorrectionLines, Differences
from billing_pipeline.tables.invoices import InvoiceLines, ParkedOrganisations
from billing_pipeline.tables.rating import Charges


@monthly_assets(
    Table(
        DIFFERENCES,
        "What an issued month bills otherwise by what is known now. One row per line that differs.",
        deps=["rating/charges"],
    )
)
def differences(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Rate an issued month again, aside, and compare it with what was billed for it so far."""
    issued = billing.books.issued_month(month)
    if issued is None:
        message = f"{month} is not issued, so it is closed again instead of corrected: billing close {month}"
        raise NotCorrectable(message)
    if billing.as_of(month) < issued.as_of:
        message = (
            f"{month} was issued as of {issued.as_of:%Y-%m-%dT%H:%M:%SZ} and knew more than it would be rated with; "
            f"give --as-of {issued.as_of:%Y-%m-%dT%H:%M:%SZ} or later"
        )
        raise NotCorrectable(message)
    aside = _rate_again(billing, month)
    follows = billing.books.last_decision(month)
    approved = billing.books.approved_corrections(month)
    held_back = _held_back(billing, aside, month)
    rated = _lines_of_now(aside, month, held_back)
    billed = billing.settled("invoices/invoice_lines", month)
    # A line may have been corrected more than once.
    so_far = pl.concat([approved_rows(billing, approved).drop("approval"), cancelled_differences(billing, month)])
    compared = compare_lines(
        InvoiceLines.cast(without(billed.typed(InvoiceLines), held_back)),
        Differences.cast(without(so_far, held_back)),
        rated,
        month,
    )
    sources = aside.read("rating/charge_sources", month)
    inputs = {f"{table} aside": name for table, name in aside.warehouse.published_aside.items()}
    inputs |= {billed.table: billed.id} | {f"approval {entry.seq}": entry.generation for entry in approved}
    with billing.warehouse.publishing(
        DIFFERENCES,
        partition(month),
        as_of=billing.as_of(month),
        inputs=inputs,
        facts={"follows": follows},
    ) as publication:
        publication.write("rows", compared)
        publication.write("sources", sources.read().join(compared, on="line_id", how="semi").sort("line_id", "feed"))
        publication.write("held_back", held_back)
        publication.write("not_invoiced", _not_invoiced(billing, aside, month, held_back))
    context.log.info("%s: %s lines differ", month, compared.height)
    figures = {"dagster/row_count": compared.height, "held_back": held_back["payer_id"].n_unique()}
    return {DIFFERENCES: Report(figures | total_amounts(compared, "difference"))}


def _rate_again(billing: Billing, month: Month) -> Billing:
    """The home as a second rating of the month, up to its charges, leaves it."""
    aside = billing.aside(month)
    materialise_aside(aside, month, assets_of(accounts, usage, rating))
    return aside


def _held_back(billing: Billing, aside: Billing, month: Month) -> dy.DataFrame[ParkedOrganisations]:
    """Who cannot be corrected: whose bill would be wrong now, and who was never billed and is released instead."""
    organisations = aside.read("accounts/organisations", month).typed(Organisations)
    now = park_payers(problems_of(aside, month), organisations, ParkedOrganisations.create_empty())
    parked = billing.settled("invoices/parked_organisations", month).read()
    stated = without(billing.settled("credits/credit_statements", month).read(), parked)
    unbilled = organisations.select("payer_id").unique().join(stated, on="payer_id", how="anti")["payer_id"].sort()
    detail = f"not billed for {month} yet; run: billing release {{}} {month}"
    rows = [(payer, "not_billed", detail.format(payer)) for payer in unbilled if is_held_back(billing, payer, month)]
    never = pl.DataFrame(rows, schema=ParkedOrganisations.create_empty().schema, orient="row")
    return ParkedOrganisations.validate(pl.concat([now, never]).sort("payer_id", "reason"))


def _not_invoiced(billing: Billing, aside: Billing, month: Month, held_back: pl.DataFrame) -> pl.DataFrame:
    """Charges with documents of their own that no document asks for: they landed after the month was issued."""
    references = [document.request.reference for document in billing.books.issued() if document.is_specific]
    charges = without(aside.read("rating/specific_charges", month).read(), held_back)
    late = charges.filter(~pl.col("reference").is_in(references))
    return late.select("payer_id", "kind", "reference", "charge_cents", "currency").sort("payer_id", "reference")


def _lines_of_now(aside: Billing, month: Month, held_back: pl.DataFrame) -> dy.DataFrame[InvoiceLines]:
    """The lines as they would be issued by what is known now, discounts and least amounts included."""
    organisations = aside.read("accounts/organisations", month).typed(Organisations)
    current, period = current_organisations(organisations), aside.period(month)
    rated = aside.read("rating/charges", month).read()
    rules = aside.read("accounts/spend_rules", month).typed(SpendRules)
    assigned = assign_spend_rules(rules, rated, current)
    parked = pl.concat([held_back, assigned.problems])
    charges = Charges.validate(Charges.cast(without(rated, parked)))
    adjusted = adjust_charges(charges, without(assigned.rules, parked), current, period)
    payers = pl.concat([charges.select("payer_id"), adjusted.adjustments.select("payer_id")]).unique()
    return print_lines(payers, charges, adjusted.adjustments, current, period, CorrectionLines.create_empty())

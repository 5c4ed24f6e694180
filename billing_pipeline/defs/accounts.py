"""Reference data as a month sees it: who they are, what they pay for, what was granted, and who paid how."""

from collections.abc import Mapping
from types import MappingProxyType

import dagster as dg
import polars as pl

from billing_pipeline.defs.billing import Billing, partition
from billing_pipeline.defs.monthly import Report, Table, monthly_assets
from billing_pipeline.defs.partitions import organisation
from billing_pipeline.intake.contracts import FEEDS
from billing_pipeline.intake.reference import Reference, read_reference
from billing_pipeline.rules.accounts import (
    Accounts,
    enter_agreements,
    enter_grants,
    enter_payment_methods,
    enter_payments,
    enter_spend_rules,
    list_owners,
    version_organisations,
)
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.prices import version_prices
from billing_pipeline.tables.accounts import RefusedPrices
from billing_pipeline.tables.invoices import ParkedOrganisations

#: The tables of this stage, in the order in which they are made.
ACCOUNTS = (
    "accounts/organisations",
    "accounts/prices",
    "accounts/spend_rules",
    "accounts/credit_grants",
    "accounts/refill_agreements",
    "accounts/payment_methods",
    "accounts/payments",
)


def _read(billing: Billing, feed: str, month: Month) -> Reference:
    """A reference feed as the month sees it; its rows are counted from where the month before stopped."""
    table = {"price_tiers": "accounts/prices"}.get(feed, f"accounts/{feed}")
    window = billing.window(month, billing.predecessor(table, month))
    return read_reference(FEEDS[feed], window, billing.landing, billing.warehouse, billing.limits)


def _publish(
    billing: Billing,
    table: str,
    month: Month,
    accounts: Accounts,
    landed: Reference,
    parts: Mapping[str, pl.DataFrame] = MappingProxyType({}),
    **inputs: str,
) -> Report:
    """Publish a reference table with the receipts of its raw rows and the owners whose rows do not fit."""
    contradictions = landed.conflicts.select(payer_id="owner_id", reason=pl.lit("event_conflict"), detail="detail")
    problems = pl.concat([accounts.problems, contradictions])
    with billing.warehouse.publishing(
        table, partition(month), as_of=billing.as_of(month), inputs={**landed.inputs, **inputs}
    ) as publication:
        publication.write("rows", accounts.rows)
        publication.write("receipts", landed.receipts)
        publication.write("quarantine", landed.quarantine)
        publication.write("problems", problems)
        for part, rows in parts.items():
            publication.write(part, rows)
    return Report(
        {
            "dagster/row_count": accounts.rows.height,
            "quarantined_rows": landed.quarantine.height,
            "problems": problems.height,
            "as_of": billing.as_of(month).isoformat(),
        }
    )


@monthly_assets(
    Table(
        "accounts/organisations",
        "Who uses, who pays, where they are and on which terms. "
        "One row per organisation and version of its data in force in the month.",
    )
)
def organisations(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Version the organisations, and let each have documents of its own."""
    landed = _read(billing, "organisations", month)
    accounts = version_organisations(landed.rows, billing.period(month), billing.as_of(month))
    owners = list_owners(landed.rows, billing.period(month).zone)
    report = _publish(billing, "accounts/organisations", month, accounts, landed, {"owners": owners})
    payers = accounts.rows["payer_id"].unique().sort().to_list()
    known = set(context.instance.get_dynamic_partitions(str(organisation.name)))
    context.instance.add_dynamic_partitions(str(organisation.name), [payer for payer in payers if payer not in known])
    return {"accounts/organisations": report}


@monthly_assets(
    Table(
        "accounts/prices",
        "Every price in force, as whole numbers under each contract. One row per price version, price factor and tier.",
        deps=["accounts/organisations"],
    ),
    Table(
        "accounts/refused_prices",
        "Price versions that cannot be used, and why. One row per price version.",
        deps=["accounts/organisations"],
    ),
)
def prices(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Version the price list for the contracts in use; a version that cannot be used is left out and said."""
    landed = _read(billing, "price_tiers", month)
    customers = billing.read("accounts/organisations", month)
    factors = customers.read().select("owner_id", "price_factor_ppm").unique().sort("owner_id", "price_factor_ppm")
    versions = version_prices(landed.rows, factors, billing.period(month))
    for refused in versions.refused.iter_rows(named=True):
        context.log.warning("price %s is refused (%s): %s", refused["price_id"], refused["reason"], refused["detail"])
    accounts = Accounts(versions.prices, ParkedOrganisations.create_empty())
    report = _publish(billing, "accounts/prices", month, accounts, landed, organisations=customers.id)
    refused = RefusedPrices.validate(versions.refused.sort("price_id"))
    billing.warehouse.publish(
        "accounts/refused_prices",
        partition(month),
        refused,
        as_of=billing.as_of(month),
        inputs={**landed.inputs, "organisations": customers.id},
    )
    refused_report = Report({"dagster/row_count": refused.height})
    return {"accounts/prices": report, "accounts/refused_prices": refused_report}


@monthly_assets(
    Table(
        "accounts/spend_rules",
        "Discounts, caps, least amounts and free quantities. One row per rule in force at the month's last instant.",
        deps=["accounts/prices"],
    )
)
def spend_rules(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Read the rules in force; one that cannot be used is left out and said."""
    landed = _read(billing, "spend_rules", month)
    prices = billing.read("accounts/prices", month)
    stored = prices.read().filter(pl.col("basis").cast(pl.String) == "stored")["slug"].unique().to_list()
    accounts = enter_spend_rules(landed.rows, stored, billing.period(month))
    for refused in accounts.problems.iter_rows(named=True):
        context.log.warning("%s (%s)", refused["detail"], refused["reason"])
    report = _publish(billing, "accounts/spend_rules", month, accounts, landed, prices=prices.id)
    return {"accounts/spend_rules": report}


@monthly_assets(
    Table(
        "accounts/credit_grants",
        "Coupons that were redeemed, and prepaid opening balances. One row per granted lot.",
    )
)
def credit_grants(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Read the grants that had landed."""
    del context
    landed = _read(billing, "credit_grants", month)
    return {
        "accounts/credit_grants": _publish(billing, "accounts/credit_grants", month, enter_grants(landed.rows), landed)
    }


@monthly_assets(
    Table(
        "accounts/refill_agreements",
        "Refills that were negotiated instead of computed. One row per organisation.",
        deps=["accounts/organisations"],
    )
)
def refill_agreements(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Read the month's agreements, in the currency of each organisation."""
    del context
    landed = _read(billing, "refill_agreements", month)
    customers = billing.read("accounts/organisations", month)
    currencies = customers.read().group_by("owner_id").agg(pl.col("currency").sort_by("valid_from").last())
    accounts = enter_agreements(landed.rows.join(currencies, on="owner_id", how="left"), month)
    report = _publish(billing, "accounts/refill_agreements", month, accounts, landed, organisations=customers.id)
    return {"accounts/refill_agreements": report}


@monthly_assets(
    Table(
        "accounts/payment_methods",
        "How organisations pay. One row per payment method that had landed and can be used.",
    )
)
def payment_methods(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Read the payment methods that had landed; one that cannot be used is left out and said."""
    table = "accounts/payment_methods"
    landed = _read(billing, "payment_methods", month)
    accounts = enter_payment_methods(landed.rows)
    for problem in accounts.problems.iter_rows(named=True):
        context.log.warning("%s (%s): %s", problem["payer_id"], problem["reason"], problem["detail"])
    return {table: _publish(billing, table, month, accounts, landed)}


@monthly_assets(
    Table(
        "accounts/payments",
        "Payments, failed payments and refunds. One row per payment that had landed.",
    )
)
def payments(context: dg.AssetExecutionContext, billing: Billing, month: Month) -> Mapping[str, Report]:
    """Read the payments that had landed."""
    del context
    landed = _read(billing, "payments", month)
    return {"accounts/payments": _publish(billing, "accounts/payments", month, enter_payments(landed.rows), landed)}

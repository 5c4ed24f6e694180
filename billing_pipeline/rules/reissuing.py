"""Invoices that are issued again: what is asked for stays, and who is asked, with which VAT, is that of today.

The party, its address or its VAT number on an issued invoice may be wrong, and an issued invoice never changes: a
credit note takes it back as a whole, and an invoice of the same month, with the same lines and credits, stands in its
stead. No credits move: those that paid the old one pay the new one, and the refill stays asked for.
"""

import dataframely as dy
import polars as pl

from billing_pipeline.rules.invoicing import PARTY
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.tax import DecidedVat, VatDecisions, add_vat
from billing_pipeline.tables.accounts import Organisations
from billing_pipeline.tables.corrections import CreditNotes
from billing_pipeline.tables.invoices import Invoices, ReissueDrafts


def draft_reissues(
    notes: dy.DataFrame[CreditNotes],
    replaced: dy.DataFrame[Invoices],
    organisations: dy.DataFrame[Organisations],
    vat: VatDecisions,
    month: Month,
) -> dy.DataFrame[ReissueDrafts]:
    """Draft one invoice for each credit note that takes back an invoice which is issued again.

    Args:
        notes: the month's credit notes.
        replaced: the invoices that they refer to.
        organisations: current versions, one row per owner.
        vat: the decisions for the payers of these invoices.
        month: the month with whose invoices they are issued.
    """
    again = notes.drop_nulls("reissue_reason").select(
        "payer_id",
        "decision",
        "holder_id",
        replaces="refers_to",
        replaces_issued_on="refers_to_issued_on",
        reason="reissue_reason",
        free_used_cents=0 - pl.col("free_given_back_cents"),
        prepaid_used_cents=0 - pl.col("prepaid_given_back_cents"),
        refill_cents="refill_cancelled_cents",
    )
    parties = organisations.select(*PARTY, payer_id="owner_id", party_kind="kind")
    of_then = {*PARTY, "party_kind", *DecidedVat.column_names(), "number"} - {"payer_id"}
    drafts = (
        replaced.with_columns(replaces="number")
        .drop(of_then)
        .join(again, on=["payer_id", "replaces"])
        .join(parties, on="payer_id", how="left")
        .join(vat.rates, on="payer_id", how="left")
        .with_columns(
            number=pl.lit(None, pl.String),
            issued_on=pl.lit(None, pl.Date),
            due_on=pl.lit(None, pl.Date),
            billing_month=pl.lit(str(month)),
        )
    )
    return ReissueDrafts.validate(add_vat(drafts).sort("payer_id", "replaces"))

"""The VAT of what a month issues: its tax point is the date of issue."""

import dataframely as dy

from billing_pipeline.adapters.vat_rates import read_vat_rates
from billing_pipeline.defs.billing import Billing
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.tax import VatDecisions, decide_taxes
from billing_pipeline.tables.accounts import Organisations


def decide_month_taxes(billing: Billing, month: Month, payers: dy.DataFrame[Organisations]) -> VatDecisions:
    """The VAT of payers, given with their current versions, on what a month issues."""
    return decide_taxes(payers, billing.settings.invoicing_seller, read_vat_rates(), billing.issue_date(month))

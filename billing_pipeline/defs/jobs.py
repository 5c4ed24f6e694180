"""The jobs that people, the schedule and the sensor run; each takes one month, or a range of months in one run."""

import dagster as dg

from billing_pipeline.defs.invoices import ISSUED
from billing_pipeline.defs.partitions import billing_month, running_month

_SETTLED = dg.AssetSelection.groups("accounts", "usage", "rating", "credits")
_ISSUED = dg.AssetSelection.assets(*ISSUED)
_DRAFTED = _SETTLED | (dg.AssetSelection.groups("invoices") - _ISSUED)
_EXPORTED = dg.AssetSelection.groups("exports")
_DOCUMENTS = dg.AssetSelection.assets(["documents", "month_documents"])

close_month = dg.define_asset_job(
    "close_month",
    _DRAFTED | _DOCUMENTS,
    description="Everything up to draft invoices and their documents; can be run again until the month is issued.",
    partitions_def=billing_month,
    executor_def=dg.in_process_executor,
)

issue_month = dg.define_asset_job(
    "issue_month",
    _ISSUED | _EXPORTED | _DOCUMENTS,
    description="Numbers, given last and without a gap, final documents and the journal; what is issued stays.",
    partitions_def=billing_month,
    executor_def=dg.in_process_executor,
)

bill_month = dg.define_asset_job(
    "bill_month",
    _DRAFTED | _ISSUED | _EXPORTED | _DOCUMENTS,
    description="Close, check and issue. Over a range every month is closed before the first number is given.",
    partitions_def=billing_month,
    executor_def=dg.in_process_executor,
)

correct_month = dg.define_asset_job(
    "correct_month",
    dg.AssetSelection.assets(["corrections", "differences"]),
    description="Rates an issued month again, beside the one that was billed, and says what differs; books nothing.",
    partitions_def=billing_month,
    executor_def=dg.in_process_executor,
)

bill_periods = dg.define_asset_job(
    "bill_periods",
    dg.AssetSelection.groups("interim") | dg.AssetSelection.assets(["documents", "interim_documents"]),
    description="Interim invoices of payers that are invoiced by the day or week, while the month runs.",
    partitions_def=running_month,
    executor_def=dg.in_process_executor,
)

"""How assets are cut: by month, and documents also by organisation."""

import dagster as dg

from billing_pipeline.settings import Settings

_settings = Settings()

#: One partition a month, keyed `2026-10`, cut in the billing time zone. The running month is none: it has not ended.
billing_month = dg.MonthlyPartitionsDefinition(
    start_date=_settings.partitions_start, fmt="%Y-%m", timezone=_settings.billing_timezone
)

#: The same with the running month, which interim invoices are made of.
running_month = dg.MonthlyPartitionsDefinition(
    start_date=_settings.partitions_start, fmt="%Y-%m", timezone=_settings.billing_timezone, end_offset=1
)

#: Keys are added when `accounts/organisations` publishes.
organisation = dg.DynamicPartitionsDefinition(name="organisation")

month_and_organisation = dg.MultiPartitionsDefinition({"month": billing_month, "organisation": organisation})

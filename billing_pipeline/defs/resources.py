"""What assets are given: the home and settings, opened once per run."""

from datetime import date, datetime

import dagster as dg
from pydantic import Field

from billing_pipeline.defs.billing import Billing, open_billing
from billing_pipeline.settings import REPOSITORY, Settings
from billing_pipeline.warehouse import code_version


class BillingResource(dg.ConfigurableResource[Billing]):
    """One run's choices; everything else is in the settings."""

    #: Instant up to which arrivals, reference rows and book entries are seen, e.g. `2026-11-03T00:00:00Z`.
    #: Default: each month's end and the days of grace.
    as_of: str | None = None
    #: Date on the invoices, e.g. `2026-11-03`. Default: the date of `as_of`.
    issue_date: str | None = None
    #: Sources that the settings need and the run goes on without, where they have no row in the month.
    without_sources: list[str] = Field(default_factory=list)

    def create_resource(self, context: dg.InitResourceContext) -> Billing:
        """Open the home that the settings name."""
        del context
        return open_billing(
            Settings(),
            code_version(REPOSITORY),
            as_of=datetime.fromisoformat(self.as_of) if self.as_of else None,
            issue_date=date.fromisoformat(self.issue_date) if self.issue_date else None,
            without_sources=self.without_sources,
        )


@dg.definitions
def resources() -> dg.Definitions:
    """The resources by the names that assets ask for, and one process per run."""
    return dg.Definitions(resources={"billing": BillingResource()}, executor=dg.in_process_executor)

"""How months are materialised."""

import pytest

from billing_pipeline.defs.billing import Billing, open_billing
from billing_pipeline.defs.monthly import Report, Table, materialise_aside, monthly_assets
from billing_pipeline.rules.period import Month
from billing_pipeline.settings import Settings


@pytest.fixture
def billing(tmp_path, monkeypatch) -> Billing:
    monkeypatch.setenv("BILLING_HOME", str(tmp_path))
    return open_billing(Settings(), "0" * 64)


@pytest.mark.parametrize("month", [Month(2026, 1), Month(2099, 12)])
def test_a_month_is_computed_aside_whatever_the_clock_says(billing, month):
    seen = []

    @monthly_assets(Table("usage/nothing", "Nothing. One row."))
    def nothing(context, billing: Billing, month: Month) -> dict[str, Report]:
        seen.append((billing, month))
        return {"usage/nothing": Report()}

    materialise_aside(billing, month, [nothing])

    assert seen == [(billing, month)]

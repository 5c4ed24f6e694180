"""The statements that Clever Cloud published come out of raw feeds, to the cent and on paper."""

from collections.abc import Callable
from datetime import date

import pytest
from provider_home import ProviderHome, at, grant, hourly, one_shot, organisation, ran

MARCH = "2026-03"


@pytest.fixture(scope="module")
def home(new_home: Callable[..., ProviderHome]) -> ProviderHome:
    """One issued month: the two published statements, the first one with French VAT too, and a coupon."""
    home = new_home("published")
    home.land(
        "organisations",
        organisation("abroad", country="CH", postcode="1003", city="Lausanne"),
        organisation("home"),
        organisation("main"),
        organisation("branch", payer_id="main"),
        organisation("coupon"),
    )
    home.land(
        "price_tiers",
        # 744 hours of March at these prices are the published fees.
        hourly("apps.first", "0.92323924731182795699"),
        hourly("apps.main", "0.13725806451612903226"),
        hourly("apps.branch", "0.01681451612903225806"),
        hourly("apps.s", "0.10"),
        hourly("postgresql.xs_sml", "0.05"),
    )
    home.land(
        "credit_grants",
        grant("abroad", "abroad-opening", "691.35", kind="prepaid"),
        grant("home", "home-opening", "691.35", kind="prepaid"),
        grant("main", "main-opening", "20.00", kind="prepaid"),
        grant("coupon", "WELCOME", "100.00"),
    )
    home.land(
        "refill_agreements",
        {"owner_id": "main", "billing_month": MARCH, "amount": "0", "author": "Sales", "reason": "Pays in arrears"},
    )
    started, noon = at("2026-01-10"), at("2026-03-10T12:00")
    home.land(
        "runtime_intervals",
        ran("abroad", "apps.first", started, None),
        ran("home", "apps.first", started, None),
        ran("main", "apps.main", started, None),
        ran("branch", "apps.branch", started, None),
        ran("coupon", "apps.s", at("2026-03-10"), noon),
        ran("coupon", "postgresql.xs_sml", at("2026-03-10"), noon),
    )
    home.land("one_shots", one_shot("coupon", "Migration", "40.00", noon))
    home.bill(MARCH)
    return home


def test_x(home):
    for t in ("invoices/drafts","credits/credit_statements"):
        for r in home.rows(t, MARCH): print(r)
    for n in range(1,5): print(home.printed(f"INV-2026-00000{n}"))
    print(home.rows("credits/credit_movements", MARCH))
    assert 0

"""One organisation's trouble never changes another's invoice: who breaks an equation is parked, and no one else."""

from collections.abc import Callable

import polars as pl
import pytest
from provider_home import LONG_AGO, ProviderHome, at, grant, hourly, one_shot, organisation, ran

MARCH = "2026-03"
FIGURES = (
    "rating/charges", "credits/credit_statements", "credits/adjustments", "credits/credit_movements",
    "credits/credit_lots",
    "invoices/drafts", "invoices/invoice_lines", "invoices/refills", "invoices/lifetimes", "invoices/explanations",
)  # fmt: skip
GOOD = ("anna", "bert")


def discount(rule_id: str, **columns: object) -> dict[str, object]:
    common = {"name": rule_id, "kind": "discount", "currency": "EUR", "valid_from": LONG_AGO, "rate": "0.1"}
    return common | {"rule_id": rule_id} | columns


def land(home: ProviderHome, *owners: str) -> None:
    """Everyone runs the same, at a discount for all, has a coupon and a service."""
    morning, noon = at("2026-03-10"), at("2026-03-10T12:00")
    home.land("organisations", *(organisation(owner) for owner in owners))
    home.land("price_tiers", hourly("apps.s", "0.10"))
    home.land("spend_rules", discount("sale", slug="apps.s"))
    home.land("credit_grants", *(grant(owner, f"coupon-{owner}", "5.00") for owner in owners))
    home.land("runtime_intervals", *(ran(owner, "apps.s", morning, None) for owner in owners))
    services = [one_shot(owner, "Help", "40.00", noon) | {"event_id": f"help-{owner}"} for owner in owners]
    home.land("one_shots", *services)


def figures_of(home: ProviderHome, payers: tuple[str, ...]) -> dict[str, pl.DataFrame]:
    return {table: home.generation(table, MARCH).read().filter(pl.col("payer_id").is_in(payers)) for table in FIGURES}


def differing(one: dict[str, pl.DataFrame], other: dict[str, pl.DataFrame]) -> list[str]:
    assert all(rows.height for table, rows in one.items() if table != "invoices/refills")
    return [table for table in FIGURES if not one[table].equals(other[table])]


@pytest.fixture(scope="module")
def alone(new_home: Callable[..., ProviderHome]) -> dict[str, pl.DataFrame]:
    """What the good ones are billed where there is nobody else."""
    home = new_home("alone")
    land(home, *GOOD)
    home.draft(MARCH)
    return figures_of(home, GOOD)


@pytest.fixture(scope="module")
def beside_bad_ones(new_home: Callable[..., ProviderHome]) -> ProviderHome:
    """The same beside others: unpriced, from nowhere, contradicting itself or by its rules; and Zoe."""
    home = new_home("beside")
    land(home, *GOOD, "unpriced", "torn", "zoe", "greedy")
    home.land("spend_rules", *(discount(rule_id, owner_id="greedy") for rule_id in ("one", "two")))
    home.land("organisations", organisation("nowhere", country="XX"))
    home.land(
        "runtime_intervals",
        ran("unpriced", "apps.exotic", at("2026-03-05"), at("2026-03-06")),
        ran("nowhere", "apps.s", at("2026-03-05"), at("2026-03-06")),
    )
    twice = ran("torn", "apps.s", at("2026-03-11"), at("2026-03-12"), instance_id="i", event_id="same")
    home.land("runtime_intervals", twice, twice | {"stopped_at": at("2026-03-13")})
    home.draft(MARCH)
    return home


def test_an_invoice_is_the_same_whoever_else_cannot_be_billed(alone, beside_bad_ones):
    assert set(beside_bad_ones.reasons(MARCH)) == {"unpriced", "torn", "nowhere", "greedy"}
    assert differing(alone, figures_of(beside_bad_ones, GOOD)) == []


@pytest.fixture(scope="module")
def tampered(beside_bad_ones: ProviderHome) -> ProviderHome:
    """The same month settled again, after the source rows of the lines of Zoe were lost."""
    home = beside_bad_ones
    warehouse, key = home.billing.warehouse, f"month={MARCH}"
    sources = home.generation("rating/charge_sources", MARCH)
    zoe = pl.DataFrame(home.rows("rating/charges", MARCH, payer_id="zoe"))
    kept = sources.read().join(zoe, on="line_id", how="anti")
    warehouse.publish("rating/charge_sources", key, kept, as_of=at("2026-04-03"), inputs=sources.manifest["inputs"])
    home.settle(MARCH)
    return home


def test_who_breaks_an_equation_is_parked_and_the_others_are_billed_as_before(alone, tampered):
    row = tampered.row("invoices/parked_organisations", MARCH, payer_id="zoe")

    assert row["reason"] == "equation"
    assert "every_line_has_sources: line " in row["detail"]
    assert tampered.rows("invoices/drafts", MARCH, payer_id="zoe") == []
    assert differing(alone, figures_of(tampered, GOOD)) == []


def test_a_payer_parked_by_an_equation_costs_the_month_its_score(tampered):
    scores = {row["measure"]: row for row in tampered.rows("invoices/scores", MARCH, score="clearing")}

    assert (scores[""]["numerator"], scores[""]["denominator"]) == (2, 3)
    assert scores[""]["ppm"] == 666_666

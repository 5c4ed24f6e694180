"""Organisations that move, close and open inside a month, under spend rules: who is billed for what, who holds what.

lab paid for itself until noon of 15 February, then holding pays; closing closed on 10 February, opening opened on 20
January. acme has a discount and a commitment, and everybody's applications cost 30.00 at least.
"""

import shutil
from datetime import date

import pytest
from provider_home import LONG_AGO, ProviderHome, at, grant, hourly, one_shot, organisation, payment, ran

JANUARY, FEBRUARY, MARCH = "2026-01", "2026-02", "2026-03"
MOVED = at("2026-02-15T12:00")


def rule(rule_id: str, kind: str, **columns: object) -> dict[str, object]:
    """A public spend rule in EUR that always holds."""
    return {
        "rule_id": rule_id,
        "name": f"The {rule_id}",
        "kind": kind,
        "currency": "EUR",
        "valid_from": LONG_AGO,
    } | columns


@pytest.fixture(scope="module")
def home(new_home) -> ProviderHome:
    home = new_home("changing")
    home.settings = {"BILLING_PROVISION_STRATEGY": "committed", "BILLING_SELLER__IBAN": "FR7630006000011234567890189"}
    home.land(
        "organisations",
        organisation("holding"),
        organisation("lab"),
        organisation("lab", payer_id="holding", valid_from=MOVED),
        organisation("closing"),
        organisation("closing", closed_on=date(2026, 2, 10), valid_from=at("2026-02-01")),
        organisation("opening", opened_on=date(2026, 1, 20), valid_from=at("2026-01-20")),
        organisation("acme"),
    )
    home.land("price_tiers", hourly("apps.s", "0.10"), hourly("pg.s", "0.20"))
    home.land(
        "spend_rules",
        rule("base-fee", "minimum", slug="Apps.S", amount="30.00"),
        rule("framework", "discount", owner_id="acme", rate="0.1"),
        rule("volume", "commitment", owner_id="acme", amount="200.00"),
        rule("nonsense", "discount"),
    )
    home.land(
        "credit_grants",
        grant("lab", "lab-free", "100.00", expires_at=at("2026-12-31"), slugs="pg.s"),
        grant("lab", "lab-opening", "200.00", kind="prepaid"),
        grant("closing", "closing-free", "500.00"),
    )
    home.land(
        "runtime_intervals",
        ran("lab", "apps.s", at("2026-01-01"), None),
        ran("closing", "apps.s", at("2026-01-01"), at("2026-02-10"), ingested_at=at("2026-01-02")),
        ran("opening", "apps.s", at("2026-01-20"), at("2026-01-21")),
        ran("acme", "apps.s", at("2026-01-01"), None),
    )
    home.land("one_shots", one_shot("acme", "Migration", "40.00", at("2026-01-10")))
    home.draft(JANUARY)
    # January asked lab for nothing ahead: 74.40 of fees are paid from 200.00.
    invoice = home.row("invoices/drafts", JANUARY, payer_id="acme")
    home.land("payments", payment("acme", f"acme/{JANUARY}", f"{invoice['payable_cents'] / 100:.2f}", at("2026-02-10")))
    home.draft(f"{FEBRUARY}..{MARCH}")
    home.print(FEBRUARY)
    return home


def letters(home: ProviderHome, month: str, payer: str, *names: str) -> tuple[object, ...]:
    statement = home.row("credits/credit_statements", month, payer_id=payer)
    return tuple(statement[name] for name in names)


def test_nobody_is_parked(home):
    assert [home.reasons(month) for month in (JANUARY, FEBRUARY, MARCH)] == [{}, {}, {}]


def test_a_rule_that_says_nothing_is_refused_and_the_others_count(home):
    refused = home.rows("usage/quarantine", JANUARY, feed="spend_rules")
    assert [row["reason"] for row in refused] == ["spend_rule_shape"]


def test_rules_apply_in_their_order_and_are_printed_in_it(home):
    # 744 hours at 0.10 and a migration of 40.00: 114.40.
    adjustments = home.rows("credits/adjustments", JANUARY, payer_id="acme")
    assert [(row["rule_id"], row["base_cents"], row["amount_cents"]) for row in adjustments] == [
        ("framework", 114_40, -11_44),
        ("volume", 102_96, 97_04),
    ]
    lines = home.rows("invoices/invoice_lines", JANUARY, payer_id="acme")
    assert [row["amount_cents"] for row in lines] == [74_40, 40_00, -11_44, 97_04]


def test_what_is_committed_is_estimated_and_refilled(home):
    names = ("fees_cents", "forecast_cents", "refill_cents", "estimate_basis")
    assert letters(home, JANUARY, "acme", *names) == (200_00, -200_00, 200_00, "committed")
    assert letters(home, FEBRUARY, "acme", "prepaid_before_cents", "refill_cents") == (200_00, 200_00)


def test_an_organisation_that_opens_inside_the_month_is_billed_from_its_first_instant(home):
    # 24 hours at 0.10, topped up to the base fee.
    assert letters(home, JANUARY, "opening", "fees_cents") == (30_00,)


def test_without_usage_there_is_no_public_minimum(home):
    assert letters(home, FEBRUARY, "opening", "fees_cents") == (0,)


def test_a_closed_organisation_gets_a_final_statement_without_minimum_estimate_or_refill(home):
    # 216 hours until 10 February; what is left of the coupon lapses.
    names = ("fees_cents", "free_used_cents", "free_expired_cents", "forecast_cents", "refill_cents", "estimate_basis")
    assert letters(home, FEBRUARY, "closing", *names) == (21_60, -21_60, -404_00, 0, 0, "final")


def test_usage_is_split_at_the_instant_at_which_another_one_pays(home):
    # 348 hours before noon of the 15th, 324 after.
    fees = {row["payer_id"]: row["charge_cents"] for row in home.rows("rating/charges", FEBRUARY, owner_id="lab")}
    assert fees == {"lab": 34_80, "holding": 32_40}


def test_the_statement_of_a_payer_that_moved_is_final_and_adds_up(home):
    names = ("prepaid_before_cents", "prepaid_used_cents", "forecast_cents", "refill_cents", "balance_after_cents")
    assert letters(home, FEBRUARY, "lab", *names) == (125_60, -34_80, 0, 0, 190_80)
    text = home.printed(f"{FEBRUARY}/lab")
    assert "Holding pays from the next period on." in " ".join(text.split())


def test_its_credits_move_to_its_new_payer_with_their_scope_and_expiry(home):
    moved = {
        (row["payer_id"], str(row["kind"]), row["grant_id"]): row["amount_cents"]
        for row in home.rows("credits/credit_movements", MARCH)
        if str(row["kind"]).startswith("transferred")
    }
    assert moved == {
        ("lab", "transferred_out", "lab-free"): -100_00,
        ("lab", "transferred_out", "prepaid of lab"): -90_80,
        ("holding", "transferred_in", "lab-free"): 100_00,
        ("holding", "transferred_in", "prepaid of lab"): 90_80,
    }
    assert letters(home, MARCH, "holding", "free_before_cents", "prepaid_before_cents") == (100_00, 90_80)
    lot = home.row("credits/credit_lots", MARCH, grant_id="lab-free")
    assert (lot["payer_id"], lot["slugs"], lot["expires_at"]) == ("holding", "pg.s", at("2026-12-31"))


def test_who_moved_has_no_account_any_more(home):
    assert home.rows("credits/credit_statements", MARCH, payer_id="lab") == []
    assert home.rows("invoices/drafts", MARCH, payer_id="lab") == []


def test_what_lab_had_prepaid_is_owed_to_holding_once_it_pays(home, new_home):
    issued = new_home("taken-over")
    issued.settings = home.settings
    shutil.copytree(home.folder, issued.folder, dirs_exist_ok=True)
    for month in (JANUARY, FEBRUARY, MARCH):
        issued.freeze(month)

    (left,) = letters(home, MARCH, "holding", "prepaid_before_cents")
    moved = [
        (row["payer_id"], row["debit_cents"], row["credit_cents"])
        for row in issued.rows("exports/journal", MARCH, kind="transfer")
    ]
    assert left > 0
    assert moved == [("lab", left, 0), ("holding", 0, left)]

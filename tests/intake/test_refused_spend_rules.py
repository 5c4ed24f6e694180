"""Spend rules that say too little or too much: each is refused for its reason, and the others count."""

import pytest
from intake_home import IntakeHome, at

GOOD = {
    "event_id": "e1", "source": "office", "ingested_at": at("2026-10-05 12:00"), "rule_id": "r1", "name": "Partner",
    "currency": "EUR", "kind": "minimum", "amount": "10", "valid_from": at("2026-01-01"),
}  # fmt: skip
NOTHING = {"amount": None}


def verdicts(home: IntakeHome, *rows: dict) -> list[str]:
    """Why rows are refused, in their order."""
    home.land("spend_rules", *rows, day="2026-10-05")
    return home.read("spend_rules", "2026-10").quarantine["reason"].to_list()


@pytest.mark.parametrize(
    "rule",
    [
        {},
        {"kind": "maximum", "amount": "0"},
        {"kind": "commitment", "owner_id": "orga_1", "slug": "Apps.S", "valid_to": at("2026-12-01")},
        {"kind": "discount", **NOTHING, "rate": "1"},
        {"kind": "discount", "rate": "0.05"},
        {"kind": "free_quantity", **NOTHING, "slug": "cellar.outbound", "quantity": 10**12},
    ],
    ids=["minimum", "maximum", "commitment", "discount by rate", "discount by both", "free quantity"],
)
def test_a_rule_with_what_its_kind_needs_is_accepted(home: IntakeHome, rule: dict) -> None:
    assert verdicts(home, GOOD | rule) == []


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        ({"kind": "rebate"}, "kind_unknown"),
        ({"kind": "minimum", **NOTHING}, "spend_rule_shape"),
        ({"kind": "maximum", **NOTHING, "rate": "0.1"}, "spend_rule_shape"),
        ({"kind": "commitment", **NOTHING, "quantity": 1}, "spend_rule_shape"),
        ({"kind": "discount", **NOTHING}, "spend_rule_shape"),
        ({"kind": "free_quantity", "quantity": 1}, "spend_rule_shape"),
        ({"kind": "free_quantity", "slug": "apps.s"}, "spend_rule_shape"),
        ({"amount": "-0.01"}, "negative"),
        ({"kind": "free_quantity", "slug": "apps.s", "quantity": -1}, "negative"),
        ({"kind": "discount", "rate": "1.000001"}, "rate_range"),
        ({"kind": "discount", "rate": "-0.1"}, "rate_range"),
        ({"currency": "eur"}, "currency_syntax"),
        ({"valid_to": at("2025-12-31")}, "stop_before_start"),
        ({"rule_id": "two words"}, "id_syntax"),
        ({"owner_id": "../orga"}, "id_syntax"),
        ({"name": None}, "value_missing"),
        ({"valid_from": None}, "value_missing"),
    ],
)
def test_a_rule_that_its_kind_cannot_use_is_refused_for_its_reason(home: IntakeHome, rule: dict, reason: str) -> None:
    assert verdicts(home, GOOD, GOOD | rule | {"event_id": "e2", "rule_id": rule.get("rule_id", "r2")}) == [reason]

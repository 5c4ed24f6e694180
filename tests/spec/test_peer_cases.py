"""Amounts that other billing systems' own tests expect: what holds for any correct engine holds here.

`peer_cases.json` holds the facts (inputs, expected amount, repository and commit); no code was copied.
"""

import json
import os
from collections import Counter
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from pathlib import Path

import dataframely as dy
import polars as pl
import pytest

from billing_pipeline.rules.credits import settle_credits
from billing_pipeline.rules.rounding import round_decimal, round_half_away, rounded_half_away

ROOT = Path(__file__).parents[2]
CASES = {case["id"]: case for case in json.loads((Path(__file__).parent / "peer_cases.json").read_text("utf-8"))}

#: Cases that our rules refuse to express, and why; a test below shows the refusal.
NOT_EXPRESSIBLE = {
    "meteroid-014": "a discount is a rate of at most 100 %, so it cannot exceed what it is taken from",
}
CORE = {"rounding": 17, "tax": 10, "credits": 4, "lines_credits": 4, "clever_credits": 1, "spread": 2}


def of_kind(kind):
    ids = [case["id"] for case in CASES.values() if case["kind"] == kind and case["id"] not in NOT_EXPRESSIBLE]
    return pytest.mark.parametrize("case", [CASES[peer] for peer in ids], ids=ids)


def cents(amount) -> int:
    scaled = Decimal(amount) * 100
    assert scaled == scaled.to_integral_value()
    return int(scaled)


def test_every_core_case_of_these_kinds_is_checked_or_listed_with_its_reason():
    assert Counter(case["kind"] for case in CASES.values()) == CORE
    assert NOT_EXPRESSIBLE.keys() <= CASES.keys()
    assert len(CASES) - len(NOT_EXPRESSIBLE) == 37


def test_the_copied_cases_are_the_collected_ones():
    folder = Path(os.environ.get("BILLING_REFERENCE_DATA", ROOT.parent / "shared" / "data"))
    collection = folder / "peer_cases.json"
    if not collection.exists():
        pytest.skip(f"no {collection}; set BILLING_REFERENCE_DATA")
    collected = {case["id"]: case for case in json.loads(collection.read_text("utf-8"))["cases"]}
    core = {peer for peer, case in collected.items() if case["kind"] in CORE and case["standing"] == "core"}
    assert core == CASES.keys()
    for peer, case in CASES.items():
        assert case == {key: collected[peer][key] for key in case}


@of_kind("rounding")
def test_rounding(case):
    amount, places = Decimal(case["inputs"]["amount"]), case["inputs"]["places"]
    assert round_decimal(amount, places) == Decimal(case["expected"])
    numerator, denominator = (amount * Decimal(10) ** places).as_integer_ratio()
    assert round_half_away(numerator, denominator) == Decimal(case["expected"]).scaleb(places)


@of_kind("tax")
def test_tax(case):
    places = case["inputs"]["places"]
    base = int(Decimal(case["inputs"]["base"]).scaleb(places))
    ppm = int(Decimal(case["inputs"]["rate_pct"]) * 10_000)
    tax = pl.select(rounded_half_away(pl.lit(base, pl.Int128) * ppm, 1_000_000)).item()
    assert Decimal(tax).scaleb(-places) == Decimal(case["expected"])


@of_kind("credits")
def test_credits(given, case):
    inputs = case["inputs"]
    january = given.period("2024-01")

    def instant(text):
        return datetime.fromisoformat(text).replace(tzinfo=UTC) if text else None

    lots = [
        {
            "grant_id": grant["id"],
            "left_before_cents": cents(grant["amount"]),
            "priority": grant.get("priority", 1),
            "starts_at": instant(grant.get("effective")) or january.start + timedelta(days=grant["created"]),
            "expires_at": instant(grant.get("expires")),
            "slugs": ";".join(grant["applies_to"]) if "applies_to" in grant else None,
        }
        for grant in inputs["grants"]
    ]
    fees = [{"slug": use.get("service", "apps.s"), "fee_cents": cents(use["amount"])} for use in inputs["usage"]]
    settlement = settle_credits(given.fees(*fees), given.lots(*lots), given.accounts({}), january)

    left = {lot["grant_id"]: lot["left_before_cents"] + lot["used_cents"] for lot in settlement.lots.to_dicts()}
    statement = settlement.statements.row(0, named=True)
    assert left == {grant: cents(amount) for grant, amount in case["expected"]["left"].items()}
    assert statement["fees_cents"] + statement["free_used_cents"] == cents(case["expected"]["overage"])


@of_kind("lines_credits")
def test_credits_over_lines(given, case):
    fees = given.fees(*({"fee_cents": cents(line)} for line in case["inputs"]["lines"]))
    lots = [
        {"grant_id": f"credit_{rank}", "left_before_cents": cents(credit), "priority": rank}
        for rank, credit in enumerate(case["inputs"]["credits"])
    ]
    settlement = settle_credits(fees, given.lots(*lots), given.accounts({}), given.period())

    uses = settlement.movements.filter(pl.col("line_id") != "").group_by("line_id").agg(pl.sum("amount_cents"))
    taken = fees.join(uses, on="line_id", how="left").sort("line_id")["amount_cents"].fill_null(0)
    assert (-taken).to_list() == [cents(amount) for amount in case["expected"]["taken"]]
    assert fees["fee_cents"].sum() + taken.sum() == cents(case["expected"]["due"])


@of_kind("clever_credits")
def test_the_printed_credit_block(given, case):
    letters, expected = case["inputs"], case["expected"]
    settlement, drafted = given.bill(
        given.charges({"payer_id": "acme", "charge_cents": cents(letters["fees"])}),
        given.lots(),
        given.accounts({"prepaid_before_cents": cents(letters["b"]), "custom_refill_cents": cents(letters["h"])}),
    )

    statement = settlement.statements.row(0, named=True)
    assert statement["balance_before_cents"] == cents(expected["A"])
    assert statement["prepaid_used_cents"] == cents(letters["e"])
    assert statement["forecast_cents"] == cents(letters["f"])
    assert statement["refill_cents"] == cents(expected["h"])
    assert statement["balance_after_cents"] == cents(expected["B"])
    assert statement["change_cents"] == cents(expected["i"])
    assert drafted.drafts["used_credits_cents"].to_list() == [cents(expected["net_use"])]


def discounted(given, lines, discount):
    rate = Decimal(discount) / sum(lines) * 1_000_000
    assert rate == rate.to_integral_value()
    organisations = given.organisations({"owner_id": "acme", "discount_ppm": int(rate)})
    charges = given.charges(*({"payer_id": "acme", "charge_cents": line} for line in lines))
    return given.adjust(charges, organisations).fees.sort("line_id")["fee_cents"].to_list()


@of_kind("spread")
def test_a_spread_discount(given, case):
    assert discounted(given, case["inputs"]["lines"], case["inputs"]["discount"]) == case["expected"]


def test_a_discount_above_100_percent_is_refused(given):
    inputs = CASES["meteroid-014"]["inputs"]
    lines, discount = inputs["lines"], sum(inputs["lines"]) * 4 // 3
    assert discount == inputs["discount"]
    with pytest.raises(dy.exc.ValidationError, match="discount_ppm"):
        given.organisations({"owner_id": "acme", "discount_ppm": 1_333_333})
    assert discounted(given, lines, sum(lines)) == [0, 0]

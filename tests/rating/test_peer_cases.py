"""Worked cases of other billing systems: what they charge for a quantity, we charge too.

Whole quantities are rated as counted units, others as measured ones in a small unit. "Up to u, inclusive" becomes
`tier_to` = u + 1 step, except for measured graduated tiers, whose parts are lengths (feeds: *Tiers*).
"""

import json
import os
from datetime import timedelta
from decimal import Decimal
from pathlib import Path

import pytest
from rating_month import HOUR, Case, RatedMonth, case, october

PEERS = json.loads((Path(__file__).parent / "peer_cases.json").read_text())
KINDS = ("rating", "bill_line", "runtime_line", "buckets", "cumulative_phases")
REFERENCE = Path(os.environ.get("BILLING_REFERENCE_DATA", Path(__file__).parents[3] / "shared" / "data"))

MODES = {"unit": "flat", "graduated": "graduated", "volume": "slab"}


class Scale:
    """Decimal quantities of a case as whole numbers of a unit small enough."""

    def __init__(self, quantities: list[str]) -> None:
        places = max(-min(int(Decimal(quantity).as_tuple().exponent), 0) for quantity in quantities)
        self.factor = 10**places
        self.is_measured = places > 0

    def whole(self, quantity: str | int) -> int:
        scaled = Decimal(quantity) * self.factor
        assert scaled == int(scaled)
        return int(scaled)


def peer_case(name: str, inputs: dict, quantity: str) -> Case:
    """The case as a price and a quantity of its own organisation."""
    bounds = [tier["up_to"] for tier in inputs.get("tiers", []) if tier["up_to"]]
    scale = Scale([quantity, *bounds])
    basis = "moved" if scale.is_measured else "units"
    usage = case(name)
    for columns in prices(inputs, scale):
        usage.price("thing", basis, columns.pop("tier"), price_id=name, **columns)
    if scale.is_measured:
        return usage.moved("thing", scale.whole(quantity))
    return usage.counted("thing", scale.whole(quantity))


def prices(inputs: dict, scale: Scale) -> list[dict]:
    if inputs.get("model") == "package":
        size = int(inputs["size"])
        return [{"tier": (0, None, "0", inputs["price"]), "tier_mode": "package", "block_quantity": size}]
    mode = MODES[inputs.get("model", "unit")]
    step = 0 if scale.is_measured and mode == "graduated" else 1
    # A conversion divides and rounds up before rating: tiers count blocks.
    convert = int(inputs.get("convert", {}).get("divide_by", 1))
    rows, start = [], 0
    # An open end is what these cases have in common with tiers that end beyond their quantity.
    tiers = inputs.get("tiers") or [{"up_to": None, "unit": inputs["price"]}]
    for position, tier in enumerate(tiers, 1):
        end = None if position == len(tiers) else scale.whole(tier["up_to"]) * convert + step
        block = int(tier.get("block", convert))
        rows.append(
            {
                "tier": (start, end, tier["unit"], tier.get("flat")),
                "tier_mode": mode,
                "per_quantity": block * scale.factor * int(inputs.get("per", 1)),
                "block_quantity": block if block > 1 else None,
            }
        )
        start = end
    return rows


RATED = [peer for peer in PEERS["cases"] if peer["id"] not in PEERS["not_rated"]]


def usages(peer: dict) -> list[Case]:
    """Each quantity of a case by itself: the whole one and the part that was already rated, buckets, or phases."""
    inputs = peer["inputs"]
    if peer["kind"] == "runtime_line":
        seconds = timedelta(seconds=inputs["seconds"])
        return [
            case(peer["id"])
            .price("apps", "runtime", (0, None, inputs["price_per_hour"]))
            .ran("apps", october(1), october(1) + seconds)
        ]
    if "quantity" in inputs:
        prior = inputs.get("prior_quantity", "0")
        quantities = [str(Decimal(inputs["quantity"]) + Decimal(prior)), prior]
    else:
        quantities = inputs.get("quantities") or inputs["cumulative_quantities"]
    return [
        peer_case(f"{peer['id']}-{number}", inputs, quantity)
        for number, quantity in enumerate(quantities)
        if Decimal(quantity) or not number
    ]


USAGES = {peer["id"]: usages(peer) for peer in RATED}


@pytest.mark.parametrize("peer", RATED, ids=lambda peer: peer["id"])
def test_we_charge_what_the_peer_charges(rated: RatedMonth, peer: dict):
    totals = [rated.total(usage) for usage in USAGES[peer["id"]]]
    if peer["kind"] == "cumulative_phases":
        # What is booked is the difference to what was booked before.
        booked = [later - earlier for earlier, later in zip([0, *totals], totals, strict=False)]
        assert booked == [Decimal(amount) * 100 for amount in peer["expected"]]
    elif peer["kind"] == "buckets":
        assert sum(totals) == Decimal(peer["expected"]) * 100
    else:
        assert totals[0] - sum(totals[1:]) == Decimal(peer["expected"]) * 100


def test_every_core_case_is_rated_or_listed_with_what_is_missing():
    if not REFERENCE.exists():
        pytest.skip(f"reference data is absent: {REFERENCE}")
    peers = json.loads((REFERENCE / "peer_cases.json").read_text())["cases"]
    core = {peer["id"] for peer in peers if peer["kind"] in KINDS and peer["standing"] == "core"}
    known = {peer["id"]: peer for peer in peers}
    assert core <= {peer["id"] for peer in PEERS["cases"]}
    assert [peer["id"] for peer in PEERS["cases"] if peer != {name: known[peer["id"]][name] for name in peer}] == []
    assert set(PEERS["not_rated"]) <= core
    assert len(RATED) >= 60


# Cases that the peers tell in words.

V1, V2 = ((0, 1000, "1.5"), (1000, None, "2.0")), ((0, 1000, "2.5"), (1000, None, "3.0"))
catalogue = case("killbill-028")
for version, tiers, limits in (("1", V1, {"valid_to": october(8)}), ("2", V2, {"valid_from": october(8)})):
    catalogue.price("calls", "moved", *tiers, price_id=f"killbill-028-v{version}", tier_mode="graduated", **limits)
for day, moved_calls in ((2, 100), (10, 100), (11, 1000)):
    catalogue.moved("calls", moved_calls, october(day), october(day) + HOUR)


def test_killbill_028_tiers_restart_where_a_new_version_of_the_prices_begins(rated: RatedMonth):
    lines = rated.charges(catalogue).select("price_id", "tier_from", "charge_cents")
    # Their 100 calls after the change, and 1,000 more of ours that reach the second tier.
    assert lines.rows() == [
        ("killbill-028-v1", 0, 150_00),
        ("killbill-028-v2", 0, 2500_00),
        ("killbill-028-v2", 1000, 300_00),
    ]


halves = case("stripe-list-001")
for price, limits in (("150", {"valid_to": october(16)}), ("300", {"valid_from": october(16)})):
    halves.price("seat", "runtime", (0, None, price), per_seconds=30 * 86_400, price_id=f"stripe-{price}", **limits)
halves.ran("seat", october(1), october(31))


def test_stripe_list_001_a_price_that_changes_in_the_middle_of_the_month_costs_half_of_both(rated: RatedMonth):
    assert rated.total(halves) == 225_00


CAP_S = 672 * 3600
capped = case("ubicloud-001").price(
    "vm", "runtime", (0, CAP_S, "0.0007687502"), (CAP_S, None, "0"),
    per_seconds=60, tier_mode="graduated", granularity_seconds=60,
)  # fmt: skip
capped.ran("vm", october(1), october(31))


def test_ubicloud_001_a_month_costs_672_hours_at_most(rated: RatedMonth):
    assert rated.amounts(capped) == [31_00, 0]


builds = case("scaleway-docs-001").price("mac", "runtime", (0, None, "1"), minimum_seconds=3600)
for hour in (1, 5):
    builds.ran("mac", october(1, hour), october(1, hour, 5))


def test_scaleway_docs_001_each_uninterrupted_period_is_billed_an_hour_at_least(rated: RatedMonth):
    assert rated.charges(builds).select("quantity", "charge_cents").rows() == [(2 * 3600, 2_00)]

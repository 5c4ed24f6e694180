"""Worked cases of other billing systems: what they charge for a quantity, we charge too.

Whole quantities are rated as counted units, others as measured ones in a small unit. "Up to u, inclusive" becomes
`tier_to` = u + 1 step, except for measured graduated tiers, whose parts are lengths (feeds: *Tiers*).
"""

import json
import os
from decimal import Decimal
from pathlib import Path

import pytest
from rating_month import Case, RatedMonth, case

PEERS = json.loads((Path(__file__).parent / "peer_cases.json").read_text())
KINDS = ("rating", "bill_line", "runtime_line")
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
#: What the whole quantity costs, and what the part that was already rated costs.
USAGES: dict[str, tuple[Case, Case | None]] = {}
for peer in RATED:
    inputs, prior = peer["inputs"], peer["inputs"].get("prior_quantity")
    so_far = str(Decimal(inputs["quantity"]) + Decimal(prior or 0))
    USAGES[peer["id"]] = (
        peer_case(peer["id"], inputs, so_far),
        peer_case(f"{peer['id']}-before", inputs, prior) if prior else None,
    )


@pytest.mark.parametrize("peer", RATED, ids=lambda peer: peer["id"])
def test_we_charge_what_the_peer_charges(rated: RatedMonth, peer: dict):
    usage, before = USAGES[peer["id"]]
    charged = rated.total(usage) - (rated.total(before) if before else 0)
    assert charged == Decimal(peer["expected"]) * 100


def test_every_core_case_is_rated_or_listed_with_what_is_missing():
    if not REFERENCE.exists():
        pytest.skip(f"reference data is absent: {REFERENCE}")
    peers = json.loads((REFERENCE / "peer_cases.json").read_text())["cases"]
    core = {peer["id"] for peer in peers if peer["kind"] in KINDS and peer["standing"] == "core"}
    assert core == {peer["id"] for peer in PEERS["cases"]}
    assert set(PEERS["not_rated"]) <= core
    assert len(RATED) >= 35

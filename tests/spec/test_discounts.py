"""The invoice discount: one rounded amount, shared over the lines."""

import polars as pl
import pytest
from hypothesis import given as draw
from hypothesis import settings
from hypothesis import strategies as st

from billing_pipeline.rules.allocation import share
from billing_pipeline.rules.rounding import round_half_away
from billing_pipeline.rules.spending import NegativeCharge, UnknownPayer


def discounts(given, charges, ppm):
    organisations = given.organisations({"owner_id": "acme", "discount_ppm": ppm})
    lines = given.charges(*({"payer_id": "acme", "charge_cents": cents} for cents in charges))
    return given.adjust(lines, organisations).fees.sort("line_id")["discount_cents"].to_list()


def test_a_discount_is_rounded_once_on_the_sum_and_not_line_by_line(given):
    # 10 % of three lines of 0.05 is 0.015, so 0.02; line by line it would be 0.03.
    assert sum(discounts(given, [5, 5, 5], 100_000)) == -2


def test_a_tie_discounts_the_larger_amount(given):
    assert discounts(given, [5], 100_000) == [-1]


def test_a_discount_is_shared_in_proportion_to_the_lines(given):
    assert discounts(given, [100_00, 50_00, 30_00, 20_00], 50_000) == [-5_00, -2_50, -1_50, -1_00]


def test_leftover_cents_go_to_the_largest_remainder_then_to_the_earlier_printed_line(given):
    assert discounts(given, [10, 10, 10], 333_334) == [-4, -3, -3]
    assert discounts(given, [1, 6, 3], 500_000) == [-1, -3, -1]


def test_a_full_discount_leaves_nothing_to_pay(given):
    assert discounts(given, [1, 0, 99], 1_000_000) == [-1, 0, -99]


def test_lines_that_are_all_free_have_nothing_to_discount(given):
    assert discounts(given, [0, 0], 500_000) == [0, 0]


def test_each_payer_has_its_own_rate_and_its_sub_organisations_follow_it(given):
    fees, _ = given.adjust(
        given.charges(
            {"payer_id": "acme", "owner_id": "acme-lab", "charge_cents": 10_00},
            {"payer_id": "zeta", "charge_cents": 10_00},
        ),
        given.organisations(
            {"owner_id": "acme", "discount_ppm": 100_000},
            {"owner_id": "acme-lab", "payer_id": "acme", "discount_ppm": 900_000},
            {"owner_id": "zeta"},
        ),
    )

    assert dict(fees.select("payer_id", "fee_cents").iter_rows()) == {"acme": 9_00, "zeta": 10_00}


def test_the_largest_amounts_are_shared_exactly(given):
    charges = [10**12, 10**12 - 1, 1]
    assert discounts(given, charges, 123_457) == [-part for part in share(246_914_000_000, charges)]


def test_a_charge_below_zero_is_refused_by_its_line(given):
    charges = given.charges({"payer_id": "acme", "charge_cents": -5})
    with pytest.raises(NegativeCharge, match=r"1 charges are below zero, the first is line 0+ of payer acme"):
        given.adjust(charges, given.organisations({"owner_id": "acme"}))


def test_a_payer_without_an_organisations_row_is_refused(given):
    charges = given.charges({"payer_id": "acme", "charge_cents": 5})
    with pytest.raises(UnknownPayer, match="the first is acme"):
        given.adjust(charges, given.organisations({"owner_id": "zeta"}))


@settings(max_examples=60)
@draw(
    payers=st.lists(
        st.tuples(st.integers(0, 1_000_000), st.lists(st.integers(0, 10**12), min_size=1, max_size=8)),
        min_size=1,
        max_size=4,
    )
)
def test_all_payers_at_once_share_like_one_payer_alone(given, payers):
    charges = given.charges(
        *({"payer_id": f"p{p}", "charge_cents": c} for p, (_, charges) in enumerate(payers) for c in charges)
    )
    fees, _ = given.adjust(
        charges, given.organisations(*({"owner_id": f"p{p}", "discount_ppm": ppm} for p, (ppm, _) in enumerate(payers)))
    )

    for payer, (ppm, amounts) in enumerate(payers):
        of_payer = fees.filter(pl.col("payer_id") == f"p{payer}")
        discount = round_half_away(sum(amounts) * ppm, 1_000_000)
        # Printed order: by resource id, as text.
        numbered = sorted(of_payer.to_dicts(), key=lambda fee: f"app_{int(fee['line_id'])}")
        expected = share(discount, [fee["charge_cents"] for fee in numbered]) if any(amounts) else [0] * len(amounts)
        assert [-fee["discount_cents"] for fee in numbered] == expected
        assert all(fee["fee_cents"] >= 0 for fee in numbered)

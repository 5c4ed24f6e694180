"""What other prices would have charged: one rating of a month against another."""

from billing_pipeline.rules.comparing import compare_charges


def test_a_side_without_charges_counts_as_nothing_and_the_difference_is_then_less_now(given):
    now = given.charges(
        {"payer_id": "acme", "charge_cents": 5_00}, {"payer_id": "acme", "charge_cents": 2_00, "zone": "mtl"},
        {"payer_id": "acme", "charge_cents": 1_00, "slug": "pg.s"},
    )  # fmt: skip
    then = given.charges(
        {"payer_id": "acme", "charge_cents": 9_00}, {"payer_id": "lab", "charge_cents": 4_00, "slug": "pg.s"}
    )

    compared = compare_charges(now, then).select("payer_id", "slug", "now_cents", "then_cents", "difference_cents")

    slug = now["slug"][0]
    assert compared.rows() == [
        ("acme", slug, 7_00, 9_00, 2_00), ("acme", "pg.s", 1_00, 0, -1_00), ("lab", "pg.s", 0, 4_00, 4_00),
    ]  # fmt: skip

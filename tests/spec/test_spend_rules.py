"""Discounts, caps, least amounts and commitments: which count, in which order, and what they leave to be paid."""

from datetime import UTC, date, datetime

import polars as pl
import pytest

from billing_pipeline.rules.accounts import enter_spend_rules
from billing_pipeline.rules.credits import settle_credits
from billing_pipeline.rules.invoicing import draft_invoices
from billing_pipeline.rules.spending import adjust_charges, assign_spend_rules
from billing_pipeline.tables.corrections import CorrectionLines

FIVE_PERCENT, TEN_PERCENT, HALF = 50_000, 100_000, 500_000


def adjusted(given, charges, *spend_rules, organisations=({"owner_id": "acme"},)):
    """Lines of `acme` unless they say otherwise, under these rules."""
    lines = given.charges(*({"payer_id": "acme", **charge} for charge in charges))
    return given.adjust(lines, given.organisations(*organisations), *spend_rules)


def amounts(adjustments, *columns):
    return adjustments.select(*columns, "amount_cents").rows()


def fees_by_line(fees):
    return dict(fees.select(pl.col("line_id").str.strip_chars_start("0"), "fee_cents").iter_rows())


def test_a_percentage_is_rounded_once_on_all_lines_of_its_scope_half_away_from_zero(given):
    rule = {"rule_id": "partner", "kind": "discount", "rate_ppm": TEN_PERCENT}
    _, adjustments = adjusted(given, [{"charge_cents": 5}] * 3, rule)

    # 10 % of 0.15 is 0.015, so 0.02.
    assert amounts(adjustments, "rule_id", "base_cents") == [("partner", 15, -2)]


def test_a_fixed_discount_never_takes_more_than_there_is(given):
    rule = {"rule_id": "gesture", "kind": "discount", "amount_cents": 50_00}
    fees, adjustments = adjusted(given, [{"charge_cents": 12_00}, {"charge_cents": 18_00}], rule)

    assert amounts(adjustments) == [(-30_00,)]
    assert fees["fee_cents"].to_list() == [0, 0]


def test_a_rule_with_a_rate_and_an_amount_is_two_discounts_the_rate_first(given):
    rule = {"rule_id": "both", "kind": "discount", "rate_ppm": TEN_PERCENT, "amount_cents": 5_00}
    _, adjustments = adjusted(given, [{"charge_cents": 100_00}], rule)

    assert amounts(adjustments, "rate_ppm", "limit_cents", "base_cents") == [
        (TEN_PERCENT, None, 100_00, -10_00),
        (None, 5_00, 90_00, -5_00),
    ]
    assert adjustments["line_id"].n_unique() == 2


def test_a_maximum_lowers_the_fees_to_its_amount_and_leaves_lower_ones_alone(given):
    rule = {"rule_id": "cap", "kind": "maximum", "amount_cents": 20_00}

    fees, adjustments = adjusted(given, [{"charge_cents": 15_00}, {"charge_cents": 15_00}], rule)
    assert (amounts(adjustments), fees["fee_cents"].to_list()) == ([(-10_00,)], [10_00, 10_00])

    _, adjustments = adjusted(given, [{"charge_cents": 20_00}], rule)
    assert adjustments.is_empty()


@pytest.mark.parametrize("kind", ["minimum", "commitment"])
def test_a_least_amount_tops_the_fees_up_with_a_recurring_line_of_its_own(given, kind):
    rule = {"rule_id": "least", "kind": kind, "amount_cents": 20_00, "owner_id": "acme"}
    fees, adjustments = adjusted(given, [{"charge_cents": 12_00}], rule)

    assert amounts(adjustments, "kind", "base_cents") == [(kind, 12_00, 8_00)]
    true_up = fees.filter(pl.col("line_id") == adjustments["line_id"][0])
    assert true_up.select("slug", "is_recurring", "charge_cents", "fee_cents").rows() == [(kind, True, 8_00, 8_00)]


def test_the_line_of_a_rule_keeps_its_id_whatever_else_changes(given):
    rule = {"rule_id": "least", "kind": "minimum", "amount_cents": 20_00, "owner_id": "acme"}
    other = {"rule_id": "partner", "kind": "discount", "rate_ppm": HALF}
    _, alone = adjusted(given, [{"charge_cents": 12_00}], rule)
    _, beside = adjusted(given, [{"charge_cents": 3_00}], rule, other)

    assert alone["line_id"].to_list() == beside.filter(pl.col("kind") == "minimum")["line_id"].to_list()
    assert beside["line_id"].n_unique() == 2


def test_slugs_go_before_everything_discounts_before_caps_and_sub_organisations_before_the_invoice(given):
    organisations = (
        {"owner_id": "acme", "discount_ppm": TEN_PERCENT, "discount_reason": "Partner"},
        {"owner_id": "lab", "payer_id": "acme"},
    )
    lines = [
        {"charge_cents": 100_00, "slug": "apps.s"},
        {"charge_cents": 100_00, "slug": "apps.s", "owner_id": "lab"},
        {"charge_cents": 100_00, "slug": "pg.s", "owner_id": "lab"},
    ]
    own, lab, apps = {"owner_id": "acme"}, {"owner_id": "lab"}, {"slug": "apps.s"}
    fees, adjustments = adjusted(
        given,
        lines,
        {"rule_id": "9", "kind": "discount", "rate_ppm": HALF} | lab | apps,
        {"rule_id": "8", "kind": "maximum", "amount_cents": 120_00} | own | apps,
        {"rule_id": "7", "kind": "minimum", "amount_cents": 200_00} | lab,
        {"rule_id": "6", "kind": "discount", "rate_ppm": TEN_PERCENT} | own,
        {"rule_id": "5", "kind": "maximum", "amount_cents": 190_00} | own,
        {"rule_id": "4", "kind": "minimum", "amount_cents": 270_00} | own,
        {"rule_id": "3", "kind": "commitment", "amount_cents": 300_00} | own,
        organisations=organisations,
    )

    assert amounts(adjustments, "application_order", "rule_id", "base_cents") == [
        (1, "9", 100_00, -50_00),
        (2, "8", 150_00, -30_00),
        (3, "6", 220_00, -22_00),
        (4, None, 198_00, -19_80),
        # 178.20 is below the cap of 190.00. What is left of lab: 32.40 of apps and 81.00 of databases.
        (5, "7", 113_40, 86_60),
        (6, "4", 264_80, 5_20),
        (7, "3", 270_00, 30_00),
    ]
    assert fees["fee_cents"].sum() == 300_00


def test_an_owners_rule_replaces_the_public_one_of_its_kind_and_slug_and_no_other(given):
    organisations = ({"owner_id": "acme"}, {"owner_id": "zeta"})
    lines = [{"charge_cents": 100_00, "payer_id": payer} for payer in ("acme", "zeta")]
    _, adjustments = adjusted(
        given,
        lines,
        {"rule_id": "list", "kind": "discount", "rate_ppm": TEN_PERCENT},
        {"rule_id": "apps", "kind": "discount", "rate_ppm": TEN_PERCENT, "slug": "apps.s"},
        {"rule_id": "acmes", "kind": "discount", "rate_ppm": FIVE_PERCENT, "owner_id": "acme"},
        organisations=organisations,
    )

    assert amounts(adjustments, "payer_id", "rule_id") == [
        ("acme", "apps", -10_00),
        ("acme", "acmes", -4_50),
        ("zeta", "apps", -10_00),
        ("zeta", "list", -9_00),
    ]


def test_a_sub_organisations_rule_takes_its_lines_out_of_the_public_one(given):
    organisations = ({"owner_id": "acme"}, {"owner_id": "lab", "payer_id": "acme"})
    lines = [{"charge_cents": 100_00}, {"charge_cents": 10_00, "owner_id": "lab"}]
    fees, adjustments = adjusted(
        given,
        lines,
        {"rule_id": "list", "kind": "discount", "rate_ppm": TEN_PERCENT},
        {"rule_id": "labs", "kind": "discount", "rate_ppm": HALF, "owner_id": "lab"},
        organisations=organisations,
    )

    assert amounts(adjustments, "rule_id", "owner_id") == [("labs", "lab", -5_00), ("list", None, -10_00)]
    assert fees["fee_cents"].to_list() == [90_00, 5_00]


def test_a_payers_rule_counts_for_its_sub_organisations_too(given):
    organisations = ({"owner_id": "acme"}, {"owner_id": "lab", "payer_id": "acme"})
    rule = {"rule_id": "least", "kind": "minimum", "amount_cents": 50_00, "owner_id": "acme"}
    _, adjustments = adjusted(given, [{"charge_cents": 10_00, "owner_id": "lab"}], rule, organisations=organisations)

    assert amounts(adjustments, "base_cents") == [(10_00, 40_00)]


@pytest.mark.parametrize(("owner_id", "true_ups"), [(None, []), ("acme", [(20_00,)])])
def test_a_public_minimum_asks_only_those_who_used_something_ones_own_asks_anyway(given, owner_id, true_ups):
    rule = {"rule_id": "least", "kind": "minimum", "amount_cents": 20_00, "owner_id": owner_id}
    _, adjustments = adjusted(given, [], rule)

    assert amounts(adjustments) == true_ups


def test_a_public_minimum_on_a_slug_asks_only_those_who_used_it(given):
    organisations = ({"owner_id": "acme"}, {"owner_id": "zeta"})
    lines = [{"charge_cents": 1_00, "slug": "pg.s"}, {"charge_cents": 1_00, "slug": "apps.s", "payer_id": "zeta"}]
    rule = {"rule_id": "least", "kind": "minimum", "amount_cents": 5_00, "slug": "pg.s"}
    fees, adjustments = adjusted(given, lines, rule, organisations=organisations)

    assert amounts(adjustments, "payer_id", "slug") == [("acme", "pg.s", 4_00)]
    assert fees.filter(payer_id="acme")["slug"].to_list() == ["pg.s", "pg.s"]


@pytest.mark.parametrize(
    ("organisations", "tops_up"),
    [
        (({"owner_id": "acme", "closed_on": date(2026, 10, 31)},), False),
        (({"owner_id": "acme", "closed_on": date(2026, 11, 1)},), True),
        (({"owner_id": "acme"}, {"owner_id": "lab", "payer_id": "acme", "closed_on": date(2026, 10, 2)}), True),
    ],
    ids=["closed", "closes next month", "only a sub-organisation closed"],
)
def test_a_closed_organisation_is_not_topped_up(given, organisations, tops_up):
    rule = {"rule_id": "least", "kind": "minimum", "amount_cents": 20_00, "owner_id": "acme"}
    _, adjustments = adjusted(given, [{"charge_cents": 1_00}], rule, organisations=organisations)

    assert adjustments.is_empty() != tops_up


def test_a_payer_whose_bills_another_one_pays_by_now_is_not_topped_up(given):
    organisations = ({"owner_id": "acme", "payer_id": "holding"}, {"owner_id": "holding"})
    rule = {"rule_id": "least", "kind": "minimum", "amount_cents": 20_00}
    _, adjustments = adjusted(given, [{"charge_cents": 1_00}], rule, organisations=organisations)

    assert adjustments.is_empty()


def test_in_the_month_of_a_move_discounts_count_on_both_invoices_and_least_amounts_on_the_new_one(given):
    organisations = ({"owner_id": "acme"}, {"owner_id": "lab", "payer_id": "acme"})
    lines = [
        {"charge_cents": 10_00, "owner_id": "lab", "payer_id": "lab"},
        {"charge_cents": 20_00, "owner_id": "lab", "payer_id": "acme"},
    ]
    _, adjustments = adjusted(
        given,
        lines,
        {"rule_id": "half", "kind": "discount", "rate_ppm": HALF, "owner_id": "lab"},
        {"rule_id": "least", "kind": "minimum", "amount_cents": 15_00, "owner_id": "lab"},
        organisations=organisations,
    )

    assert amounts(adjustments, "payer_id", "rule_id", "owner_id") == [
        ("acme", "half", "lab", -10_00),
        ("acme", "least", "lab", 5_00),
        ("lab", "half", None, -5_00),
    ]


def test_a_public_rule_counts_for_those_billed_in_its_currency(given):
    organisations = ({"owner_id": "acme"}, {"owner_id": "zeta", "currency": "USD"})
    lines = [{"charge_cents": 1_00}, {"charge_cents": 1_00, "payer_id": "zeta", "currency": "USD"}]
    _, adjustments = adjusted(
        given,
        lines,
        {"rule_id": "euros", "kind": "minimum", "amount_cents": 5_00},
        {"rule_id": "dollars", "kind": "minimum", "amount_cents": 6_00, "currency": "USD"},
        organisations=organisations,
    )

    assert amounts(adjustments, "payer_id", "rule_id", "currency") == [
        ("acme", "euros", "EUR", 4_00),
        ("zeta", "dollars", "USD", 5_00),
    ]


def problems(
    given, *spend_rules, charges=({"payer_id": "acme", "charge_cents": 1},), organisations=({"owner_id": "acme"},)
):
    found = assign_spend_rules(
        given.spend_rules(*spend_rules), given.charges(*charges), given.organisations(*organisations)
    ).problems
    return found.select("payer_id", "reason").rows()


def test_a_rule_of_an_owner_in_another_currency_parks_its_payer(given):
    organisations = ({"owner_id": "acme"}, {"owner_id": "lab", "payer_id": "acme"})
    rule = {"rule_id": "r", "kind": "discount", "rate_ppm": 1, "owner_id": "lab", "currency": "USD"}

    assert problems(given, rule, organisations=organisations) == [("acme", "currency")]


DISCOUNT = {"kind": "discount", "rate_ppm": 1}


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {}),
        ({"slug": "apps.s"}, {"slug": "apps.s"}),
        ({"owner_id": "acme"}, {"owner_id": "acme"}),
        ({"owner_id": "lab"}, {"owner_id": "lab"}),
        ({"kind": "free_quantity", "slug": "apps.s", "quantity": 1}, {"kind": "free_quantity", "slug": "apps.s"}),
    ],
    ids=["public", "public on a slug", "of the payer", "of a sub-organisation", "free quantities"],
)
def test_two_equally_specific_rules_park_the_payer_and_nobody_else(given, one, other):
    organisations = ({"owner_id": "acme"}, {"owner_id": "lab", "payer_id": "acme"}, {"owner_id": "idle"})

    parked = problems(
        given, DISCOUNT | one | {"rule_id": "a"}, DISCOUNT | other | {"rule_id": "b"}, organisations=organisations
    )

    assert parked == [("acme", "spend_rule_overlap")]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ({}, {"slug": "apps.s"}),
        ({}, {"kind": "maximum", "amount_cents": 1}),
        ({}, {"owner_id": "acme"}),
        ({"owner_id": "acme"}, {"owner_id": "lab"}),
        ({}, {"currency": "USD"}),
        ({"slug": "pg.s"}, {"slug": "pg.s"}),
    ],
    ids=["slugs", "kinds", "public and own", "owners", "currencies", "on a slug that nobody used"],
)
def test_rules_that_differ_in_scope_or_kind_live_side_by_side(given, one, other):
    organisations = ({"owner_id": "acme"}, {"owner_id": "lab", "payer_id": "acme"})

    rules = DISCOUNT | one | {"rule_id": "a"}, DISCOUNT | other | {"rule_id": "b"}
    assert problems(given, *rules, organisations=organisations) == []


def test_a_rule_of_an_unknown_organisation_counts_for_nobody(given):
    assert problems(given, {"rule_id": "r", "owner_id": "nobody", "currency": "USD", **DISCOUNT}) == []


def test_credits_scoped_to_a_slug_pay_what_the_discounts_left_of_it_and_its_true_up(given):
    lines = [{"charge_cents": 10_00, "slug": "apps.s"}, {"charge_cents": 10_00, "slug": "pg.s"}]
    fees, _ = adjusted(
        given,
        lines,
        {"rule_id": "apps", "kind": "discount", "rate_ppm": HALF, "slug": "apps.s"},
        {"rule_id": "pgs", "kind": "minimum", "amount_cents": 12_00, "slug": "pg.s"},
    )
    lots = ({"grant_id": slug, "left_before_cents": 50_00, "slugs": slug} for slug in ("apps.s", "pg.s"))
    settlement = settle_credits(fees, given.lots(*lots), given.accounts({}), given.period())

    assert dict(settlement.lots.select("grant_id", "used_cents").iter_rows()) == {"apps.s": -5_00, "pg.s": -12_00}


def test_the_estimate_counts_true_ups_and_recurring_lines_after_their_discounts(given):
    lines = [{"charge_cents": 10_00}, {"charge_cents": 30_00, "is_recurring": False}]
    fees, _ = adjusted(
        given,
        lines,
        {"rule_id": "partner", "kind": "discount", "rate_ppm": HALF},
        {"rule_id": "least", "kind": "commitment", "amount_cents": 25_00},
    )
    settlement = settle_credits(fees, given.lots(), given.accounts({}), given.period())

    assert settlement.statements.select("fees_cents", "recurring_cents", "forecast_cents").rows() == [
        (25_00, 10_00, -10_00)
    ]


def test_the_printed_lines_of_the_rules_follow_the_usage_and_add_up_to_the_fees(given):
    charges = given.charges({"payer_id": "acme", "charge_cents": 10_00}, {"payer_id": "acme", "charge_cents": 3_33})
    organisations = given.organisations({"owner_id": "acme"}, {"owner_id": "lab", "payer_id": "acme", "name": "Lab"})
    rules = (
        {"rule_id": "partner", "name": "Partner", "kind": "discount", "rate_ppm": TEN_PERCENT},
        {"rule_id": "labs", "name": "Lab plan", "kind": "commitment", "amount_cents": 7_00, "owner_id": "lab"},
    )
    adjusted_charges = given.adjust(charges, organisations, *rules)
    statements = settle_credits(adjusted_charges.fees, given.lots(), given.accounts({}), given.period()).statements
    drafted = draft_invoices(
        charges, adjusted_charges.adjustments, statements, organisations, given.vat({"payer_id": "acme"}),
        given.basis(["acme"]), given.period(), CorrectionLines.create_empty(),
    )  # fmt: skip

    printed = drafted.lines.filter(pl.col("rule_kind").is_not_null())
    columns = ("line_number", "basis", "rule_kind", "owner_name", "description", "quantity", "amount_cents")
    assert printed.select(columns).rows() == [
        (3, "discount", "discount", "acme", "Partner", -1, -1_33),
        (4, "true_up", "commitment", "Lab", "Lab plan", 1, 7_00),
    ]
    assert drafted.lines["amount_cents"].sum() == drafted.drafts["fees_cents"].item() == 19_00


def test_an_invoice_may_consist_of_a_commitment_alone(given):
    organisations = given.organisations({"owner_id": "acme"})
    rule = {"rule_id": "least", "kind": "commitment", "amount_cents": 7_00, "owner_id": "acme"}
    fees, adjustments = given.adjust(given.charges(), organisations, rule)
    statements = settle_credits(fees, given.lots(), given.accounts({}), given.period()).statements
    drafted = draft_invoices(
        given.charges(), adjustments, statements, organisations, given.vat({"payer_id": "acme"}),
        given.basis(["acme"]), given.period(), CorrectionLines.create_empty(),
    )  # fmt: skip

    assert drafted.lines.select("line_number", "amount_cents").rows() == [(1, 7_00)]
    assert drafted.drafts["subtotal_cents"].to_list() == [14_00]


def test_rules_and_lines_in_another_order_change_nothing(given):
    organisations = given.organisations({"owner_id": "acme"})
    charges = given.charges(*({"payer_id": "acme", "charge_cents": 10, "resource_id": "same"} for _ in range(7)))
    rules = given.spend_rules(
        {"rule_id": "a", "kind": "discount", "rate_ppm": 333_333},
        {"rule_id": "b", "kind": "maximum", "amount_cents": 31, "slug": "apps.s"},
        {"rule_id": "c", "kind": "minimum", "amount_cents": 99},
    )
    one = adjust_charges(
        charges, assign_spend_rules(rules, charges, organisations).rules, organisations, given.period()
    )
    other = adjust_charges(
        charges.reverse(),
        assign_spend_rules(rules.reverse(), charges.reverse(), organisations).rules,
        organisations,
        given.period(),
    )

    assert one.fees.equals(other.fees)
    assert one.adjustments.equals(other.adjustments)


LANDED = {
    "rule_id": "r", "name": "Partner", "owner_id": None, "slug": None, "currency": "EUR", "kind": "minimum",
    "valid_from": datetime(2026, 10, 1, tzinfo=UTC), "valid_to": None, "amount": "12.30", "rate": None,
    "quantity": None,
}  # fmt: skip


def entered(given, *changes, stored=()):
    types = dict.fromkeys(("owner_id", "slug", "amount", "rate"), pl.String) | {"quantity": pl.Int64}
    types |= dict.fromkeys(("valid_from", "valid_to"), pl.Datetime("us", "UTC"))
    landed = pl.DataFrame([LANDED | change for change in changes], schema_overrides=types)
    return enter_spend_rules(landed, stored, given.period())


def test_a_rule_lands_in_whole_cents_and_millionths_and_its_slug_knows_no_case(given):
    rows = entered(
        given,
        {},
        {"rule_id": "s", "kind": "discount", "amount": None, "rate": "0.05", "slug": "Apps.S"},
    ).rows

    assert rows.select("rule_id", "amount_cents", "rate_ppm", "slug").rows() == [
        ("r", 12_30, None, None),
        ("s", None, 50_000, "apps.s"),
    ]


OCTOBER, NOVEMBER = datetime(2026, 10, 1, tzinfo=UTC), datetime(2026, 11, 1, tzinfo=UTC)
LAST_INSTANT = datetime(2026, 10, 31, 23, 59, 59, 999_999, tzinfo=UTC)


@pytest.mark.parametrize(
    ("valid_from", "valid_to", "counts"),
    [
        (LAST_INSTANT, None, True),
        (NOVEMBER, None, False),
        (OCTOBER, NOVEMBER, True),
        (OCTOBER, LAST_INSTANT, False),
    ],
)
def test_a_rule_counts_for_the_whole_month_if_it_holds_at_its_last_instant(given, valid_from, valid_to, counts):
    assert entered(given, {"valid_from": valid_from, "valid_to": valid_to}).rows.height == counts


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"amount": "12.345"}, "amount_precision"),
        ({"kind": "discount", "amount": None, "rate": "0.1234567"}, "price_precision"),
        ({"kind": "free_quantity", "amount": None, "slug": "Cellar.Storage", "quantity": 5}, "spend_rule_shape"),
    ],
)
@pytest.mark.parametrize("owner_id", ["acme", None])
def test_a_rule_that_does_not_fit_is_left_out_and_its_owner_named(given, change, reason, owner_id):
    found = entered(given, change | {"owner_id": owner_id}, stored=["cellar.storage"])

    assert found.rows.is_empty()
    assert found.problems.select("payer_id", "reason").rows() == [(owner_id or "", reason)]


def test_of_many_overlaps_the_first_is_named(given):
    rules = given.spend_rules(
        *(
            {"rule_id": f"{slug:02}{twin}", "kind": "discount", "rate_ppm": 1, "slug": f"s{slug}", "owner_id": "acme"}
            for slug in range(12)
            for twin in "ab"
        )
    )
    lines = given.charges(*({"payer_id": "acme", "charge_cents": 1, "slug": f"s{slug}"} for slug in range(12)))

    (detail,) = assign_spend_rules(rules, lines, given.organisations({"owner_id": "acme"})).problems["detail"]

    assert detail.startswith("spend rules 00a, 00b are of one kind")


def test_a_discount_of_a_millionth_counts(given):
    _, adjustments = adjusted(
        given, [{"charge_cents": 10_000_00}], organisations=({"owner_id": "acme", "discount_ppm": 1},)
    )

    assert amounts(adjustments, "kind") == [("invoice_discount", -1)]


@pytest.mark.parametrize(("least", "topped_up"), [(9, []), (10, []), (11, [("least", 1)])])
def test_a_minimum_tops_up_by_the_last_cent_and_no_further(given, least, topped_up):
    rule = {"rule_id": "least", "kind": "minimum", "amount_cents": least, "owner_id": "acme"}
    fees, adjustments = adjusted(given, [{"charge_cents": 10}], rule)

    assert amounts(adjustments, "rule_id") == topped_up
    assert sum(fees["fee_cents"]) == max(10, least)


def test_what_tops_up_is_printed_last_so_equal_remainders_are_borne_before_it(given):
    least = {"rule_id": "least", "kind": "minimum", "amount_cents": 10, "slug": "apps.s", "owner_id": "acme"}
    partner = {"rule_id": "partner", "kind": "discount", "rate_ppm": TEN_PERCENT, "owner_id": "acme"}
    fees, _ = adjusted(given, [{"charge_cents": 5}], least, partner)

    assert sorted(fees.select("charge_cents", "fee_cents", pl.col("slug")).rows()) == [
        (5, 4, "apps.s"), (5, 5, "apps.s"),
    ]  # fmt: skip
    assert fees_by_line(fees)[""] == 4


def test_other_rules_may_be_of_what_is_stored(given):
    assert entered(given, {"slug": "Cellar.Storage"}, stored=["cellar.storage"]).rows.height == 1

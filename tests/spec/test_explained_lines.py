"""Why a line costs what it costs and who pays it: the steps of `amount`, `due`, VAT and the figures of a statement."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import NamedTuple

import polars as pl
import pytest

from billing_pipeline.rules.credits import settle_credits
from billing_pipeline.rules.explanation import MonthOfFigures, explain_month, explain_reissue, figures_to_explain
from billing_pipeline.rules.invoicing import draft_invoices
from billing_pipeline.rules.period import Month
from billing_pipeline.rules.spending import InvoiceRules
from billing_pipeline.tables.accounts import Prices, RefillAgreements, SpendRules
from billing_pipeline.tables.corrections import CorrectionLines
from billing_pipeline.tables.credits import CreditMovements, OpenedGrants, Refills
from billing_pipeline.tables.explanations import Lifetimes
from billing_pipeline.tables.rating import ChargeShares, Segments

SECOND, E26 = 1_000_000, 10**26
SINCE, UNTIL = datetime(2026, 1, 1, tzinfo=UTC), datetime(2027, 1, 1, tzinfo=UTC)

#: Per line its charge, the price it was made at (1.00 an hour unless it says otherwise), and what was measured.
LINES: dict[str, tuple[dict, dict | None, dict]] = {
    "a run": ({"quantity": 7_201}, {}, {"duration_us": 7_201 * SECOND + 500_000}),
    "a broken run": ({"quantity": 3_000}, {}, {"duration_us": 3_000 * SECOND, "unusable_us": 600 * SECOND}),
    "granules": (
        {"quantity": 3_600},
        {"granularity_seconds": 600},
        {"duration_us": 3_000 * SECOND, "granulated_us": 3_600 * SECOND},
    ),
    "a minimum": (
        {"quantity": 60},
        {"minimum_seconds": 60},
        {"duration_us": 10 * SECOND, "granulated_us": 60 * SECOND},
    ),
    "granules and a minimum": (
        {"quantity": 60},
        {"minimum_seconds": 60, "granularity_seconds": 10},
        {"duration_us": 10 * SECOND, "granulated_us": 60 * SECOND},
    ),
    "a second tier": (
        {"quantity": 3_600, "tier_from": 3_600},
        {"tier_mode": "graduated", "tier_to": 7_200},
        {"duration_us": 9_000 * SECOND},
    ),
    "a last tier": (
        {"quantity": 1_800, "tier_from": 7_200},
        {"tier_mode": "graduated"},
        {"duration_us": 9_000 * SECOND},
    ),
    "seats of a tier": (
        {"quantity": 3, "tier_from": 3, "basis": "units", "unit": "unit", "per_seconds": 1},
        {"tier_mode": "graduated", "tier_to": 6},
        {"units_max": 10, "units_max_at": datetime(2026, 10, 3, 4, 5, 6, tzinfo=UTC)},
    ),
    "free at first": ({"quantity": 2_600, "slug": "own.s"}, {}, {"duration_us": 3_600 * SECOND}),
    "free within tiers": (
        {"quantity": 1_000, "tier_from": 500, "slug": "own.s"},
        {"tier_mode": "graduated", "tier_to": 2_000},
        {"duration_us": 3_000 * SECOND},
    ),
    "free seats within tiers": (
        {"quantity": 2, "tier_from": 3, "slug": "seats", "basis": "units", "unit": "unit", "per_seconds": 1},
        {"tier_mode": "graduated", "tier_to": 8},
        {"units_max": 10, "units_max_at": datetime(2026, 10, 3, 4, 5, 6, tzinfo=UTC)},
    ),
    "free by the payer": ({"quantity": 3_400, "slug": "paid.s"}, {}, {"duration_us": 3_600 * SECOND}),
    "free for everybody": ({"quantity": 3_300, "slug": "open.s"}, {}, {"duration_us": 3_600 * SECOND}),
    "stored": (
        {"quantity": 5_000, "basis": "stored", "unit": "byte_s", "tier_from": 10, "slug": "own.s"},
        {"tier_mode": "graduated", "tier_to": 20},
        {"part_byte_us": 5_000 * SECOND + 1, "tier_from": 10, "duration_us": 100 * SECOND},
    ),
    "stored in blocks": (
        {"quantity": 5_000, "basis": "stored", "unit": "byte_s", "tier_from": 0},
        {"block_quantity": 10},
        {"part_byte_us": 4_444 * SECOND, "block_us": 500 * SECOND + 999_999, "tier_from": 0},
    ),
    "moved in blocks": (
        {"quantity": 3_000, "basis": "moved", "unit": "byte", "per_seconds": 1},
        {"block_quantity": 1_000},
        {"moved_bytes": 2_500},
    ),
    "runs in blocks": ({"quantity": 7_200}, {"block_seconds": 3_600}, {"duration_us": 4_000 * SECOND}),
    "a package": (
        {"quantity": 900, "basis": "moved", "unit": "byte", "per_seconds": 1, "tier_from": 0},
        {"tier_mode": "package", "tier_price_e26": 5 * E26, "unit_price_e26": 0},
        {"moved_bytes": 900},
    ),
    "a slab with an entry price": (
        {"quantity": 900, "basis": "moved", "unit": "byte", "per_seconds": 1, "tier_from": 500},
        {"tier_mode": "slab", "tier_price_e26": 5 * E26 // 2},
        {"moved_bytes": 900},
    ),
    "a negotiated price": (
        {"quantity": 3_600, "price_factor_ppm": 900_000},
        {"owner_id": "acme", "valid_to": UNTIL, "unit_price_e26": 9 * E26 // 10},
        {"duration_us": 3_600 * SECOND},
    ),
    "a one-off": (
        {"quantity": 2, "basis": "one_shot", "unit": "piece", "per_seconds": 1, "unit_price": Decimal("12.5"),
         "line_discount_ppm": 100_000, "description": "Migration", "slug": "one_shot"},
        None,
        {},
    ),
    "small ones together": ({"quantity": 20, "resources": 2}, {}, {"duration_us": 20 * SECOND}),
}  # fmt: skip
_TERMS = {
    "tier_from": 0, "tier_mode": "flat", "currency": "EUR", "valid_from": SINCE, "unit_price_e26": E26,
    "tier_price_e26": 0, "unit_price": 1,
}  # fmt: skip
_OWNERS = {name: "shop" if name in ("free by the payer", "a last tier") else "acme" for name in LINES}


def _fill(table: type, rows: list[dict]) -> pl.DataFrame:
    schema = {name: pl.String if isinstance(kind, pl.Enum) else kind
              for name, kind in table.create_empty().schema.items()}  # fmt: skip
    return table.validate(pl.DataFrame([dict.fromkeys(schema) | row for row in rows], schema=schema), cast=True)


def _free(given) -> pl.DataFrame:
    rules = [("own", "acme", "own.s", 1_000), ("payer", "acme", "paid.s", 200), ("any", None, "paid.s", 100),
             ("all", None, "open.s", 300), ("seats", None, "seats", 5)]  # fmt: skip
    return given.spend_rules(
        *({"rule_id": name, "owner_id": owner, "slug": slug, "kind": "free_quantity", "quantity": quantity}
          for name, owner, slug, quantity in rules)
    )  # fmt: skip


@pytest.fixture(scope="module")
def steps(given) -> pl.DataFrame:
    """Every line of `LINES` on one invoice of `acme`, each in its own zone, with rules, credits and VAT on top."""
    charges, prices, segments = [], [], []
    for zone, (name, (charge, price, measured)) in enumerate(LINES.items()):
        price_id = None if price is None else f"price of {name}"
        key = {"payer_id": "acme", "owner_id": _OWNERS[name], "zone": str(zone), "price_id": price_id, "slug": "apps.s"}
        charges.append(key | {"charge_cents": 2_00, "resource_name": name} | charge)
        key = {name: charges[-1][name] for name in key} | {
            "resource_id": f"app_{zone}", "basis": charge.get("basis", "runtime"),
            "price_factor_ppm": charge.get("price_factor_ppm", 1_000_000),
        }  # fmt: skip
        if price is not None:
            per = {"per_quantity": 1, "per_seconds": charge.get("per_seconds", 3600)}
            columns = {name: key[name] for name in ("price_id", "slug", "basis", "price_factor_ppm")}
            tier = {"tier_from": charge.get("tier_from", 0)}
            prices.append(_TERMS | columns | per | tier | price)
            charges[-1].setdefault("tier_from", tier["tier_from"])
            segments.append(key | measured)
    charged = given.charges(*charges)
    organisations = given.organisations(
        {"owner_id": "acme", "discount_ppm": 50_000}, {"owner_id": "shop", "payer_id": "acme", "name": "Shop"}
    )
    rules = (
        {"rule_id": "rate", "kind": "discount", "rate_ppm": 100_000, "slug": "own.s"},
        {"rule_id": "fixed", "kind": "discount", "amount_cents": 50, "slug": "paid.s", "owner_id": "acme"},
        {"rule_id": "too much", "kind": "discount", "amount_cents": 9_00, "slug": "open.s"},
        {"rule_id": "least", "kind": "minimum", "amount_cents": 5_00, "slug": "one_shot"},
        {"rule_id": "most", "kind": "maximum", "amount_cents": 40_00},
    )
    fees, adjustments, shares = given.adjust_and_share(charged, organisations, *rules)
    settlement = settle_credits(
        fees,
        given.lots({"grant_id": "g1", "left_before_cents": 3_00, "slugs": "seats"}, {
            "grant_id": "g2", "left_before_cents": 9_00, "slugs": "nothing", "expires_at": given.period().end}),
        given.accounts({"prepaid_before_cents": 10_00, "pending_cents": 4_00}),
        given.period(),
    )  # fmt: skip
    vat = given.vat({"payer_id": "acme", "vat_ppm": 200_000})
    drafted = draft_invoices(
        charged,
        adjustments,
        settlement.statements,
        organisations,
        vat,
        given.basis(["acme"]),
        given.period(),
        CorrectionLines.create_empty(),
    )
    together = drafted.lines.filter(resource_name="small ones together")["line_id"].item()
    parts = [("one", "A", 15, 2_00), ("two", None, 5, 0)]
    month = MonthOfFigures(
        month=Month(2026, 10),
        drafts=drafted.drafts,
        lines=drafted.lines,
        adjustments=adjustments,
        adjustment_shares=shares,
        statements=settlement.statements,
        fees=fees,
        movements=_moved(settlement.movements),
        lots=settlement.lots,
        opened_grants=_fill(
            OpenedGrants, [_GRANT | {"grant_id": "g1"}, _GRANT | {"grant_id": "p1", "kind": "prepaid"}]
        ),
        pending=given.refills(
            {"billing_month": "2026-09", "refill_cents": 4_00, "payable_cents": 4_80},
        ),
        agreements=given.agreements(),
        lifetimes_before=_fill(Lifetimes, [_LIFE | {"payer_id": "acme"}, _LIFE | {"payer_id": "lab"}]),
        commitments=InvoiceRules.create_empty(),
        free_quantities=_free(given),
        segments=_fill(Segments, segments),
        provision_from_month=0,
        charge_shares=_fill(
            ChargeShares,
            [{"line_id": together, "resource_id": resource, "resource_name": name, "quantity": quantity,
              "share_cents": cents} for resource, name, quantity, cents in parts],
        ),
        prices=_fill(Prices, prices),
    )  # fmt: skip
    explained = explain_month(month)
    named = drafted.lines.select("line_id", line=pl.coalesce("resource_name", "description"))
    told = figures_to_explain(drafted.drafts, drafted.lines, settlement.statements)
    return explained.join(named, on="line_id", how="left").join(told, on=["payer_id", "line_id", "figure"], how="left")


_GRANT = {"payer_id": "acme", "kind": "free", "granted_cents": 9_00, "currency": "EUR", "opened_month": "2026-10"}
_LIFE = {
    "billed_month": "2026-09", "currency": "EUR", "subtotal_cents": 0, "fees_cents": 0, "free_used_cents": 0,
    "opening_cents": 0, "prepaid_cents": 5_00, "pending_cents": 0, "given_up_cents": 0, "pending_top_ups_cents": 0,
}  # fmt: skip


def _moved(movements: pl.DataFrame) -> pl.DataFrame:
    arrived = [
        ("opening", "g1", 3_00), ("opening", "p1", 2_00), ("settled", "2026-08", 6_00),
        ("transferred_in", "prepaid of lab", 7_00), ("transferred_out", "prepaid of acme", -10_00),
        ("given_back", "prepaid", 3_00), ("given_back", "g1", 4_00), ("refunded", "prepaid", -3_00),
        ("transferred_in", "g2", 9_00),
    ]  # fmt: skip
    rows = [
        {"payer_id": "acme", "kind": kind, "grant_id": grant, "line_id": "", "amount_cents": cents, "currency": "EUR"}
        for kind, grant, cents in arrived
    ]
    given_away = rows[-1] | {"payer_id": "lab", "kind": "transferred_out", "amount_cents": -9_00}
    return pl.concat([movements, _fill(CreditMovements, [*rows, given_away])])


SEATS = "largest count, first reached 2026-10-03T04:05:06Z"


@pytest.mark.parametrize(
    ("line", "led_to"),
    {
        "a run": [("measured", "7201.5", None), ("whole_seconds", "-0.5", None)],
        "a broken run": [("measured", "3600", None), ("unusable", "-600", None)],
        "granules": [("measured", "3000", None), ("granules", "600", "granules of 600 s")],
        "a minimum": [("measured", "10", None), ("minimum", "50", "at least 60 s a run")],
        "granules and a minimum": [
            ("measured", "10", None), ("granules", "50", "granules of 10 s, at least 60 s a run"),
        ],
        "a second tier": [("measured", "9000", None), ("tier", "-5400", "tier from 3600 to 7200, graduated")],
        "a last tier": [("measured", "9000", None), ("tier", "-7200", "tier from 7200 to ∞, graduated")],
        "seats of a tier": [("measured", "10", SEATS), ("tier", "-7", "tier from 3 to 6, graduated")],
        "free at first": [("measured", "3600", None), ("free_quantity", "-1000", "the first 1000 of a resource")],
        "free within tiers": [
            ("measured", "3000", None), ("tier", "-1500", "tier from 500 to 2000, graduated"),
            ("free_quantity", "-500", "the first 1000 of a resource"),
        ],
        "free seats within tiers": [
            ("measured", "10", SEATS), ("tier", "-5", "tier from 3 to 8, graduated"),
            ("free_quantity", "-3", "the first 5 of a resource"),
        ],
        "free by the payer": [("measured", "3600", None), ("free_quantity", "-200", "the first 200 of a resource")],
        "free for everybody": [("measured", "3600", None), ("free_quantity", "-300", "the first 300 of a resource")],
        "stored": [
            ("measured", "5000.000001", None), ("whole_seconds", "-0.000001", None),
            ("tier", "0", "tier from 10 to 20, graduated"),
        ],
        "stored in blocks": [("measured", "5009.99999", None), ("whole_seconds", "-9.99999", None)],
        "moved in blocks": [("measured", "2500", None), ("blocks", "500", "started blocks of 1000")],
        "runs in blocks": [("measured", "4000", None), ("blocks", "3200", "started blocks of 3600")],
        "a package": [("measured", "900", None)],
        "a slab with an entry price": [("measured", "900", None), ("tier", "0", "tier from 500 to ∞, slab")],
        "a negotiated price": [("measured", "3600", None)],
        "a one-off": [],
        "small ones together": [("measured", "20", None)],
    }.items(),
    ids=list(LINES),
)  # fmt: skip
def test_what_was_measured_leads_to_what_is_paid_for(steps, line, led_to):
    quantities = steps.filter(pl.col("unit_price").is_null(), pl.col("what") != "resource", line=line, figure="amount")
    told = quantities.filter(pl.col("quantity").is_not_null()).select("what", "quantity", "text").rows()
    assert told == [(what, Decimal(quantity), text) for what, quantity, text in led_to]
    if told:
        (paid_for,) = steps.filter(line=line, what="price")["quantity"]
        assert sum(quantity for _, quantity, _ in told) == paid_for


def _priced(steps: pl.DataFrame, line: str) -> list[tuple]:
    priced = steps.filter(pl.col("unit_price").is_not_null(), line=line, figure="amount")
    return [
        (what, *(float(number) for number in numbers))
        for what, *numbers in priced.select("what", "quantity", "unit_price", "per").rows()
    ]


def test_a_quantity_is_worth_its_price_per_what_that_buys(steps):
    assert _priced(steps, "a run") == [("price", 7_201, 1, 3600)]
    assert _priced(steps, "a negotiated price") == [("price", 3_600, 0.9, 3600)]
    assert _priced(steps, "moved in blocks") == [("price", 3_000, 1, 1)]


def test_a_package_costs_its_own_price_and_a_tier_one_for_entering_it(steps):
    assert _priced(steps, "a package") == [("price", 900, 5, 1)]
    assert _priced(steps, "a slab with an entry price") == [("price", 900, 1, 1), ("tier_entry", 1, 2.5, 1)]


def test_what_has_no_price_version_costs_what_is_printed_less_its_own_discount(steps):
    assert _priced(steps, "a one-off") == [("price", 2, 12.5, 1), ("line_discount", 2, -1.25, 1)]
    texts = steps.filter(pl.col("unit_price").is_not_null(), line="a one-off", figure="amount")["text"]
    assert texts.to_list() == ["Migration", "0.1 of it"]


@pytest.mark.parametrize(
    ("line", "terms"),
    [
        ("a run", "public, in force from 2026-01-01T00:00:00Z to ∞, price factor 1"),
        (
            "a negotiated price",
            "negotiated, in force from 2026-01-01T00:00:00Z to 2027-01-01T00:00:00Z, price factor 0.9",
        ),
    ],
)
def test_a_price_version_is_named_with_its_terms(steps, line, terms):
    assert steps.filter(line=line, what="price")["text"].item() == f"price version price of {line}, {terms}"


def _told(steps: pl.DataFrame, *columns: str, **of: str) -> list[tuple]:
    return steps.filter(**of).select(*columns).rows()


def test_small_resources_share_what_is_rounded_once(steps):
    shared = {"line": "small ones together", "figure": "amount"}
    assert _told(steps, "text", "quantity", "unit", "amount_cents", what="resource", **shared) == [
        ("A (one)", 15, "s", 2_00), ("resource (two)", 5, "s", 0),
    ]  # fmt: skip
    rounded = [(None, "shared over the resources by largest remainder")]
    assert _told(steps, "amount_cents", "text", what="rounded", **shared) == rounded
    assert _told(steps, "amount_cents", "text", what="rounded", line="a run", figure="amount") == [(2_00, None)]


CONCERNED = "what the lines concerned come to"


@pytest.mark.parametrize(
    ("line", "led_to"),
    {
        "rate": [("rate", 600, "-0.1", None, f"{CONCERNED}, own.s: rate"), ("rounded", None, None, -60, None)],
        "too much": [
            ("base", 200, None, None, f"{CONCERNED}, open.s"), ("limit", 900, "-1", None, "too much"),
            ("beyond_base", 700, "1", None, "it takes no more than there is"), ("lowered", None, None, -200, None),
        ],
        "fixed": [
            ("base", 200, None, None, f"{CONCERNED}, paid.s"), ("limit", 50, "-1", None, "fixed"),
            ("lowered", None, None, -50, None),
        ],
        "least": [
            ("base", 200, "-1", None, f"{CONCERNED}, one_shot"), ("limit", 500, "1", None, "least"),
            ("top_up", None, None, 300, None),
        ],
        "most": [
            ("base", 4170, "-1", None, CONCERNED), ("limit", 4000, "1", None, "most"),
            ("lowered", None, None, -170, None),
        ],
        None: [
            ("rate", 4390, "-0.05", None, f"{CONCERNED}: invoice_discount"), ("rounded", None, None, -220, None),
        ],
    }.items(),
    ids=["rate", "too much", "fixed", "least", "most", "invoice discount"],
)  # fmt: skip
def test_a_rule_is_worth_a_rate_of_its_base_or_its_limit_against_it(steps, line, led_to):
    of_line = steps.filter(pl.col("line").eq_missing(pl.lit(line)), pl.col("line_id") != "", figure="amount")
    told = of_line.select("what", "quantity", "unit_price", "amount_cents", "text").rows()
    assert told == [(what, base, price and Decimal(price), cents, text) for what, base, price, cents, text in led_to]
    assert set(of_line["per"].drop_nulls()) == {1}
    assert set(of_line["unit"].drop_nulls()) == {"cent"}


@pytest.mark.parametrize(
    ("line", "due"),
    {
        "free at first": [
            ("line", 200, None), ("discount_share", -20, "line 23: rate"),
            ("discount_share", -9, "line 27: invoice_discount"), ("discount_share", -7, "line 28: most"),
        ],
        "free seats within tiers": [
            ("line", 200, None), ("discount_share", -10, "line 27: invoice_discount"),
            ("discount_share", -7, "line 28: most"), ("free_credit", -183, "g1 (g1)"),
        ],
        "a run": [
            ("line", 200, None), ("discount_share", -10, "line 27: invoice_discount"),
            ("discount_share", -8, "line 28: most"), ("prepaid_credit", -182, None),
        ],
    }.items(),
)  # fmt: skip
def test_a_line_is_due_less_its_discounts_and_the_credits_that_paid_it(steps, line, due):
    assert _told(steps, "what", "amount_cents", "text", line=line, figure="due") == due


def test_vat_is_shared_over_what_is_due_and_the_refill_by_largest_remainder(steps):
    # 1260 × 183 / 6300 = 36.6 is rounded up, 36.4 of 182 is not.
    shares = dict(_told(steps, "line", "amount_cents", figure="vat_share"))
    assert (shares["a last tier"], shares["a negotiated price"], shares["seats of a tier"]) == (37, 37, 36)
    assert "a run" not in shares
    assert _told(steps, "what", "quantity", "unit_price", "amount_cents", "text", figure="vat") == [
        ("rate", 63_00, Decimal("0.2"), None, "of the subtotal: home"),
        ("vat_on_lines", None, None, sum(shares.values()), None), ("vat_on_refill", None, None, 6_97, None),
    ]  # fmt: skip
    assert _told(steps, "per", figure="vat", what="rate") == [(1,)]


class Bill(NamedTuple):
    steps: pl.DataFrame
    drafts: pl.DataFrame
    lines: pl.DataFrame
    statements: pl.DataFrame


def bill(given, charges, *rules, prices=(), corrections=None, held_cents=0, **account) -> Bill:
    """A small invoice of `acme` with 20 % VAT."""
    charged = given.charges(*({"payer_id": "acme"} | charge for charge in charges))
    organisations = given.organisations({"owner_id": "acme"})
    fees, adjustments, shares = given.adjust_and_share(charged, organisations, *rules)
    settlement = settle_credits(fees, given.lots(), given.accounts(account), given.period())
    drafted = draft_invoices(
        charged, adjustments, settlement.statements, organisations,
        given.vat({"payer_id": "acme", "vat_ppm": 200_000}), given.basis(["acme"]), given.period(),
        CorrectionLines.create_empty() if corrections is None else corrections,
    )  # fmt: skip
    none = {"opened_grants": OpenedGrants, "pending": Refills, "agreements": RefillAgreements,
            "commitments": InvoiceRules, "free_quantities": SpendRules, "segments": Segments,
            "charge_shares": ChargeShares}  # fmt: skip
    steps = explain_month(
        MonthOfFigures(
            month=Month(2026, 10), drafts=drafted.drafts, lines=drafted.lines, statements=settlement.statements,
            fees=fees, adjustments=adjustments, adjustment_shares=shares, movements=settlement.movements,
            lots=settlement.lots, prices=_fill(Prices, [_TERMS | price for price in prices]),
            lifetimes_before=_fill(Lifetimes, [_LIFE | {"payer_id": "acme", "prepaid_cents": held_cents}]),
            provision_from_month=0, **{name: table.create_empty() for name, table in none.items()},
        )
    )  # fmt: skip
    return Bill(steps, drafted.drafts, drafted.lines, settlement.statements)


def test_equal_remainders_are_rounded_up_on_the_first_lines_and_on_the_refill_last(given):
    steps, drafts, lines, _ = bill(given, [{"charge_cents": 3, "resource_id": name} for name in "cab"])
    # A VAT of 4 on lines of 3 each and a refill of 9: 0.67 a line, of which two can be rounded up.
    assert drafts["vat_cents"].item() == 4
    shares = steps.filter(figure="vat_share").join(lines, on="line_id").sort("line_number")
    assert shares.select("line_number", "amount_cents").rows() == [(1, 1), (2, 1), (3, 0)]
    assert _told(steps, "amount_cents", what="vat_on_refill") == [(2,)]

    # A VAT of 1 on a line of 3 and a refill of 3: half a cent each.
    steps, drafts, *_ = bill(given, [{"charge_cents": 3}])
    assert drafts["vat_cents"].item() == 1
    assert _told(steps, "amount_cents", figure="vat_share") == [(1,)]
    assert _told(steps, "amount_cents", what="vat_on_refill") == [(0,)]


def test_a_cent_and_a_millionth_are_told_like_any_other_amount(given):
    version = {"price_id": "p", "slug": "apps.s", "basis": "runtime", "price_factor_ppm": 10**6, "tier_from": 0,
               "per_quantity": 1, "per_seconds": 3600, "tier_price_e26": E26 // 4}  # fmt: skip
    charge = {"charge_cents": 99, "price_id": "p", "tier_from": 0, "line_discount_ppm": 1}
    least = {"rule_id": "least", "kind": "minimum", "amount_cents": 1_00, "owner_id": "acme"}

    steps = bill(given, [charge], least, prices=[version], held_cents=1, prepaid_before_cents=1).steps

    assert _told(steps, "unit_price", "per", what="tier_entry") == [(Decimal("0.25"), 1)]
    assert _told(steps, "unit_price", what="line_discount") == [(Decimal("-0.000001"),)]
    assert sorted(_told(steps, "figure", "amount_cents", what="top_up")) == [("amount", 1), ("fees", 1)]
    assert _told(steps, "amount_cents", what="carried") == [(1,)]


@pytest.mark.parametrize(
    ("billed", "rated", "amount", "credited"),
    [(5_00, 7_00, 2_00, []), (5_00, 1_00, -4_00, []), (5_00, 1_00, -3_99, [1]), (5_00, 1_00, 0, [4_00])],
)
def test_a_correction_is_what_is_rated_now_less_what_was_billed_and_what_is_credited_apart(
    given, billed, rated, amount, credited
):
    line = {
        "line_id": "c" * 32, "payer_id": "acme", "owner_id": "acme", "owner_name": "Acme", "resource_id": "app",
        "slug": "apps.s", "zone": "par", "price_factor_ppm": 10**6, "origin_month": "2026-08", "basis": "runtime",
        "quantity": 0, "unit": "s", "unit_price": 1, "per_quantity": 1, "per_seconds": 3600, "line_discount_ppm": 0,
        "currency": "EUR", "corrected_line_id": "d" * 32, "correction_cause": "late", "approval": 1,
        "billed_cents": billed, "rated_cents": rated, "amount_cents": amount,
    }  # fmt: skip

    steps = bill(given, [{"charge_cents": 9_00}], corrections=_fill(CorrectionLines, [line])).steps

    told = steps.filter(line_id="c" * 32, figure="amount").select("what", "amount_cents", "text").rows()
    assert told == [
        ("rerated", rated, f"line {'d' * 32} of 2026-08, late"), ("billed", -billed, "for 2026-08 so far"),
        *(("credited", cents, None) for cents in credited),
    ]  # fmt: skip


def test_an_invoice_that_is_issued_again_is_explained_by_the_old_steps_but_for_its_own_vat(given):
    told, drafts, lines, statements = bill(given, [{"charge_cents": 9_00}, {"charge_cents": 1_00}])
    abroad = drafts.with_columns(vat_ppm=pl.lit(100_000), vat_cents=pl.lit(2_00), payable_cents=pl.lit(22_00))

    steps = explain_reissue(told, abroad, lines, statements)

    is_vat = pl.col("figure").cast(pl.String).is_in(["vat", "vat_share", "payable"])
    assert steps.filter(~is_vat).equals(told.filter(~is_vat))
    assert _told(steps, "what", "unit_price", "amount_cents", figure="vat") == [
        ("rate", Decimal("0.1"), None), ("vat_on_lines", None, 1_00), ("vat_on_refill", None, 1_00),
    ]  # fmt: skip
    assert sorted(_told(steps, "amount_cents", figure="vat_share")) == [(10,), (90,)]
    assert _told(steps, "amount_cents", figure="payable") == [(20_00,), (2_00,)]


def test_a_discount_of_all_there_is_takes_nothing_beyond_it(given):
    all_of_it = {"rule_id": "all", "kind": "discount", "amount_cents": 2_00, "owner_id": "acme"}
    steps = bill(given, [{"charge_cents": 2_00}], all_of_it).steps

    assert _told(steps, "quantity", what="limit") == [(2_00,)]
    assert _told(steps, "quantity", what="beyond_base") == []


FIGURES = {
    "fees": [
        ("lines", "Shop (shop)", 4_00), ("lines", "acme (acme)", 40_00), ("discount", "line 23: rate", -60),
        ("discount", "line 24: too much", -2_00), ("discount", "line 25: fixed", -50),
        ("discount", "line 27: discount", -2_20), ("discount", "line 28: most", -1_70),
        ("top_up", "line 26: least", 3_00),
    ],
    "free_before": [("lot", "g1 (g1)", 3_00), ("transferred_in", "g2 (g2) of lab", 9_00)],
    "prepaid_before": [
        ("carried", "after 2026-09", 5_00), ("refill_paid", "refill of 2026-08", 6_00), ("opening", "grant p1", 2_00),
        ("transferred_in", "prepaid of lab", 7_00), ("transferred_out", "prepaid of acme", -10_00),
        ("given_back", "by credit notes", 3_00), ("refunded", "by credit notes", -3_00),
    ],
    "balance_before": [("figure", "free_before", 12_00), ("figure", "prepaid_before", 10_00)],
    "free_used": [("lot", "g1 (g1)", -1_83)],
    "free_expired": [("lot", "g2 (g2) ends 2026-11-01T00:00:00Z", -9_00)],
    "prepaid_used": [
        ("figure", "b", None), ("figure", "F + c", None), ("prepaid_credit", "the smaller of the two", -10_00),
    ],
    "forecast": [("recurring", "minus the recurring part of F", -40_00)],
    "pending": [("pending_invoice", "2026-09", 4_00)],
    "refill": [
        ("figure", "balance_before", -22_00), ("figure", "free_used", 1_83), ("figure", "free_expired", 9_00),
        ("figure", "prepaid_used", 10_00), ("figure", "forecast", 40_00), ("figure", "pending", -4_00),
    ],
    "balance_after": [
        ("figure", "balance_before", 22_00), ("figure", "free_used", -1_83), ("figure", "free_expired", -9_00),
        ("figure", "prepaid_used", -10_00), ("figure", "refill", 34_83),
    ],
    "change": [("figure", "balance_after", 36_00), ("figure", "balance_before", -22_00)],
    "used_credits": [("figure", "change", 14_00), ("figure", "free_expired", 9_00)],
    "subtotal": [("figure", "fees", 40_00), ("figure", "used_credits", 23_00)],
    "payable": [("figure", "subtotal", 63_00), ("figure", "vat", 12_60)],
}  # fmt: skip


@pytest.mark.parametrize("figure", FIGURES)
def test_a_figure_of_the_statement_or_the_invoice_names_its_terms_in_order(steps, figure):
    told = steps.filter(figure=figure, line_id="").select("what", "text", "amount_cents").rows()
    assert sorted(told, key=str) == sorted(FIGURES[figure], key=str)
    kinds = [what for what, _, _ in FIGURES[figure]]
    if len(set(kinds)) == 1 or figure == "prepaid_used":
        assert told == FIGURES[figure]


def test_lines_of_rules_are_told_in_the_order_of_print(steps):
    assert [text for (text,) in _told(steps, "text", what="discount")] == [
        "line 23: rate", "line 24: too much", "line 25: fixed", "line 27: discount", "line 28: most",
    ]  # fmt: skip


def test_prepaid_credits_pay_the_smaller_of_what_there_is_and_what_is_left_to_pay(steps):
    assert _told(steps, "quantity", figure="prepaid_used") == [(10_00,), (38_17,), (None,)]


def test_discounts_and_entry_prices_are_told_only_where_there_are_any(steps):
    told = steps.filter(pl.col("what").is_in(["line_discount", "tier_entry", "beyond_base"]))["line"].to_list()
    assert sorted(told) == ["a one-off", "a slab with an entry price", "too much"]


def test_an_owners_lines_are_counted(steps):
    assert _told(steps, "text", "quantity", "unit", what="lines") == [
        ("Shop (shop)", 2, "piece"), ("acme (acme)", 20, "piece"),
    ]  # fmt: skip


def test_the_amounts_of_a_figures_steps_add_up_to_it_and_are_numbered_from_one(steps):
    of_figure = steps.group_by("payer_id", "line_id", "figure", maintain_order=True)
    sums = of_figure.agg(pl.col("amount_cents").sum(), pl.col("step"), pl.col("figure_cents").first())
    published = sums.filter(pl.col("figure_cents").is_not_null())
    assert published.filter(pl.col("amount_cents") != pl.col("figure_cents")).rows() == []
    assert published.height == len(LINES) + 6 + len(FIGURES) + 1
    assert all(numbers.to_list() == list(range(1, len(numbers) + 1)) for numbers in sums["step"])

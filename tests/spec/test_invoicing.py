"""From a settled statement to a draft invoice: totals, lines in printed order, and who gets none."""

from datetime import UTC, date, datetime
from decimal import Decimal
from hashlib import sha256

import dataframely as dy
import polars as pl
import pytest

from billing_pipeline.rules.balances import carry_refills
from billing_pipeline.rules.credits import settle_credits
from billing_pipeline.rules.invoicing import draft_invoices, print_lines
from billing_pipeline.rules.tax import VatDecisions
from billing_pipeline.tables.corrections import CorrectionLines
from billing_pipeline.tables.invoices import ParkedOrganisations, SpecificDrafts


def test_vat_is_rounded_once_on_the_subtotal(given):
    # Two lines of 0.50 at 8.5 %: 0.085 is 0.09; line by line 0.0425 would twice be 0.04.
    _, drafted = given.bill(
        given.charges({"payer_id": "acme", "charge_cents": 50}, {"payer_id": "acme", "charge_cents": 50}),
        given.lots(),
        given.accounts({"custom_refill_cents": 0}),
        vat_ppm=85_000,
    )

    assert drafted.drafts.select("subtotal_cents", "vat_cents", "payable_cents").rows() == [(100, 9, 109)]


def test_credits_that_are_used_are_not_taxed_again(given):
    _, drafted = given.bill(
        given.charges({"payer_id": "acme", "charge_cents": 100_00}),
        given.lots(),
        given.accounts({"prepaid_before_cents": 100_00, "custom_refill_cents": 40_00}),
        vat_ppm=200_000,
    )

    assert drafted.drafts.select("subtotal_cents", "vat_cents", "payable_cents").rows() == [(40_00, 8_00, 48_00)]


def test_expired_credits_are_not_printed_as_used(given):
    _, drafted = given.bill(
        given.charges({"payer_id": "acme", "charge_cents": 7_30}),
        given.lots({"grant_id": "trial", "left_before_cents": 20_00, "expires_at": given.period().end}),
        given.accounts({"custom_refill_cents": 0}),
    )

    assert drafted.drafts["used_credits_cents"].to_list() == [-7_30]
    assert drafted.drafts["subtotal_cents"].to_list() == [0]


def test_a_draft_has_no_number_and_no_dates_but_the_whole_party(given):
    organisations = given.organisations(
        {"owner_id": "acme", "name": "Acme", "legal_name": "Acme SAS", "vat_number": "FR61954506077"}
    )
    _, drafted = given.bill(
        given.charges({"payer_id": "acme", "charge_cents": 1}), given.lots(), given.accounts({}),
        organisations=organisations,
    )  # fmt: skip

    (draft,) = drafted.drafts.to_dicts()
    assert (draft["kind"], draft["number"], draft["issued_on"], draft["due_on"]) == ("invoice", None, None, None)
    assert (draft["billing_month"], draft["period_start"], draft["period_end"]) == (
        "2026-10", date(2026, 10, 1), date(2026, 10, 31),
    )  # fmt: skip
    assert (draft["name"], draft["legal_name"], draft["city"]) == ("Acme", "Acme SAS", "Nantes")
    assert draft["vat_reason"] == "home"
    assert draft["basis_hash"] == "0" * 64


def test_the_main_organisation_is_printed_first_then_the_others_by_name(given):
    organisations = given.organisations(
        {"owner_id": "zeta", "name": "Zeta"},
        {"owner_id": "z1", "payer_id": "zeta", "name": "Beta"},
        {"owner_id": "z2", "payer_id": "zeta", "name": "Alpha"},
        {"owner_id": "z3", "payer_id": "zeta", "name": "Alpha"},
    )
    charges = given.charges(
        {"payer_id": "zeta", "owner_id": "z1", "charge_cents": 1},
        {"payer_id": "zeta", "owner_id": "z3", "charge_cents": 1},
        {"payer_id": "zeta", "owner_id": "z2", "charge_cents": 1, "slug": "pg.s"},
        {"payer_id": "zeta", "owner_id": "z2", "charge_cents": 1, "resource_name": "b"},
        {"payer_id": "zeta", "owner_id": "z2", "charge_cents": 1, "resource_name": "a", "tier_from": 10},
        {"payer_id": "zeta", "owner_id": "z2", "charge_cents": 1, "resource_name": "a", "resource_id": "app_4"},
        {"payer_id": "zeta", "owner_id": "zeta", "charge_cents": 1},
    )
    _, drafted = given.bill(charges, given.lots(), given.accounts({"payer_id": "zeta"}), organisations=organisations)

    printed = drafted.lines.select("line_number", pl.col("line_id").cast(pl.Int64)).rows()
    assert printed == [(1, 6), (2, 5), (3, 4), (4, 3), (5, 2), (6, 1), (7, 0)]
    assert drafted.lines["owner_name"].to_list()[:2] == ["Zeta", "Alpha"]


def test_the_printed_order_does_not_depend_on_the_order_of_the_input(given):
    charges = given.charges(*({"payer_id": "acme", "resource_id": "same", "charge_cents": n} for n in range(5)))
    lots, accounts = given.lots(), given.accounts({})
    _, drafted = given.bill(charges, lots, accounts)
    _, reversed_ = given.bill(charges.reverse(), lots, accounts)

    assert drafted.lines.equals(reversed_.lines)


def test_the_discount_is_one_negative_line_at_the_end_and_the_lines_add_up_to_the_fees(given):
    organisations = given.organisations({"owner_id": "acme", "discount_ppm": 100_000, "discount_reason": "Partner"})
    _, drafted = given.bill(
        given.charges({"payer_id": "acme", "charge_cents": 6_66}, {"payer_id": "acme", "charge_cents": 3_33}),
        given.lots(), given.accounts({}), organisations=organisations,
    )  # fmt: skip

    line = drafted.lines.row(-1, named=True)
    assert (line["basis"], line["amount_cents"], line["description"]) == ("discount", -1_00, "Partner")
    assert (line["line_number"], line["owner_id"], line["origin_month"]) == (3, "acme", "2026-10")
    assert line["line_id"] == sha256(b"discount|acme|2026-10").digest()[:16].hex()
    assert drafted.lines["amount_cents"].sum() == drafted.drafts["fees_cents"].item() == 8_99


@pytest.mark.parametrize(("currency", "price"), [("EUR", "12.34"), ("JPY", "1234")])
def test_a_discount_line_is_minus_one_piece_at_its_amount_in_the_currencys_units(given, currency, price):
    organisations = given.organisations({"owner_id": "acme", "discount_ppm": 1_000_000, "currency": currency})
    _, drafted = given.bill(
        given.charges({"payer_id": "acme", "charge_cents": 1234, "currency": currency}),
        given.lots(), given.accounts({"currency": currency}), organisations=organisations,
    )  # fmt: skip

    line = drafted.lines.row(-1, named=True)
    assert (line["quantity"], line["unit"], line["unit_price"]) == (-1, "piece", Decimal(price))


def test_a_discount_that_rounds_to_nothing_is_not_printed(given):
    organisations = given.organisations({"owner_id": "acme", "discount_ppm": 100_000})
    _, drafted = given.bill(
        given.charges({"payer_id": "acme", "charge_cents": 4}), given.lots(), given.accounts({}),
        organisations=organisations,
    )  # fmt: skip

    assert drafted.lines.height == 1


def test_without_a_line_a_credit_or_a_refill_nothing_is_due(given):
    _, drafted = given.bill(
        given.charges({"payer_id": "busy", "charge_cents": 0}),
        given.lots({"payer_id": "lapsed", "grant_id": "g", "left_before_cents": 1, "expires_at": given.period().end}),
        given.accounts(
            {"payer_id": "idle", "pending_cents": 5_00},
            {"payer_id": "busy"},
            {"payer_id": "lapsed"},
            {"payer_id": "holder", "prepaid_before_cents": 1},
            {"payer_id": "asked", "custom_refill_cents": 1},
        ),
    )

    assert drafted.nothing_due == ["idle"]
    assert drafted.drafts["payer_id"].to_list() == ["asked", "busy", "holder", "lapsed"]


def test_an_invoice_over_0_00_is_drafted(given):
    _, drafted = given.bill(given.charges(), given.lots(), given.accounts({"prepaid_before_cents": 100_00}))

    assert drafted.drafts["payable_cents"].to_list() == [0]


def test_an_invoice_whose_lines_are_all_paid_from_credits_asks_for_nothing_and_is_settled_at_once(given):
    settlement, drafted = given.bill(
        given.charges({"payer_id": "acme", "charge_cents": 60_00}),
        given.lots({"grant_id": "welcome", "left_before_cents": 100_00}),
        given.accounts({"prepaid_before_cents": 20_00}),
        vat_ppm=200_000,
    )

    totals = drafted.drafts.select("fees_cents", "used_credits_cents", "subtotal_cents", "vat_cents", "payable_cents")
    assert totals.rows() == [(60_00, -60_00, 0, 0, 0)]
    assert drafted.nothing_due == []
    assert carry_refills(
        given.refills(), settlement.statements, drafted.drafts, SpecificDrafts.create_empty()
    ).is_empty()


@pytest.mark.parametrize(
    ("account", "lots"),
    [
        ({"prepaid_before_cents": 1}, ()),
        ({}, ({"grant_id": "held", "left_before_cents": 1},)),
        ({}, ({"grant_id": "lapses", "left_before_cents": 1, "expires_at": datetime(2026, 11, 1, tzinfo=UTC)},)),
        ({"custom_refill_cents": 1}, ()),
    ],
    ids=["prepaid credit", "free credit", "a credit that lapses", "a refill"],
)
def test_whoever_holds_loses_or_is_asked_for_a_cent_gets_an_invoice(given, account, lots):
    settlement, drafted = given.bill(given.charges(), given.lots(*lots), given.accounts(account))

    assert settlement.statements["is_due"].to_list() == [True]
    assert drafted.drafts.height == 1


def draft_with_unknown_tax(given, charges, unknown):
    """Two payers, of whom only `acme` has a VAT rate."""
    organisations = given.organisations({"owner_id": "acme"}, {"owner_id": "zeta"})
    fees, adjustments = given.adjust(charges, organisations)
    accounts = given.accounts({"payer_id": "acme"}, {"payer_id": "zeta"})
    statements = settle_credits(fees, given.lots(), accounts, given.period()).statements
    vat = VatDecisions(given.vat({"payer_id": "acme"}).rates, unknown)
    return draft_invoices(
        charges,
        adjustments,
        statements,
        organisations,
        vat,
        given.basis(["acme", "zeta"]),
        given.period(),
        CorrectionLines.create_empty(),
    )


UNKNOWN_TAX = ParkedOrganisations.validate(
    pl.DataFrame({"payer_id": ["zeta"], "reason": ["tax_unknown"], "detail": ["a consumer in DE"]})
)


def test_a_payer_whose_vat_is_unknown_is_parked_and_the_others_are_billed(given):
    charges = given.charges({"payer_id": "acme", "charge_cents": 1}, {"payer_id": "zeta", "charge_cents": 1})
    drafted = draft_with_unknown_tax(given, charges, UNKNOWN_TAX)

    assert drafted.drafts["payer_id"].to_list() == ["acme"]
    assert drafted.lines["payer_id"].to_list() == ["acme"]
    assert drafted.parked.rows() == [("zeta", "tax_unknown", "a consumer in DE")]


def test_a_payer_to_whom_nothing_is_due_is_not_parked_for_its_vat(given):
    drafted = draft_with_unknown_tax(given, given.charges({"payer_id": "acme", "charge_cents": 1}), UNKNOWN_TAX)

    assert drafted.nothing_due == ["zeta"]
    assert drafted.parked.is_empty()


def test_charges_in_another_currency_park_their_payer(given):
    _, drafted = given.bill(
        given.charges(
            {"payer_id": "acme", "charge_cents": 1},
            {"payer_id": "acme", "charge_cents": 1, "currency": "USD"},
            {"payer_id": "zeta", "charge_cents": 1},
        ),
        given.lots(),
        given.accounts({"payer_id": "acme"}, {"payer_id": "zeta"}),
    )

    ((payer, reason, detail),) = drafted.parked.rows()
    assert (payer, reason) == ("acme", "currency")
    assert detail.startswith("1 lines are charged in USD but the organisation is billed in EUR")
    assert drafted.drafts["payer_id"].to_list() == ["zeta"]


def test_every_payer_is_drafted_parked_or_owes_nothing(given):
    charges = given.charges({"payer_id": "zeta", "charge_cents": 1})
    drafted = draft_with_unknown_tax(given, charges, UNKNOWN_TAX)

    assert (drafted.drafts.height, drafted.parked["payer_id"].to_list(), drafted.nothing_due) == (0, ["zeta"], ["acme"])


def draft(given, organisations=None, *, rates=("acme",), basis=("acme",), charge=(), rules=()):
    charges = given.charges({"payer_id": "acme", "charge_cents": 10_00} | dict(charge))
    organisations = given.organisations({"owner_id": "acme"}) if organisations is None else organisations
    fees, adjustments = given.adjust(charges, organisations, *rules)
    statements = settle_credits(fees, given.lots(), given.accounts({}), given.period()).statements
    vat = given.vat(*({"payer_id": payer} for payer in rates))
    return draft_invoices(
        charges,
        adjustments,
        statements,
        organisations,
        vat,
        given.basis(list(basis)),
        given.period(),
        CorrectionLines.create_empty(),
    )


@pytest.mark.parametrize(
    "missing", [{"basis": ()}, {"charge": {"owner_id": "ghost"}}, {"rates": ()}], ids=["basis", "owner", "rate"]
)
def test_what_is_missing_to_an_invoice_is_never_passed_over_in_silence(given, missing):
    assert draft(given).lines["amount_cents"].to_list() == [10_00]
    with pytest.raises(dy.exc.ValidationError):
        draft(given, **missing)


def test_a_rules_line_is_one_piece_at_its_amount(given):
    lines = draft(given, rules=[{"rule_id": "r", "kind": "discount", "amount_cents": 3_00}]).lines
    (line,) = lines.filter(basis="discount").iter_rows(named=True)
    assert (line["quantity"], line["unit"], line["unit_price"]) == (-1, "piece", 3)
    assert (line["per_quantity"], line["per_seconds"], line["price_factor_ppm"]) == (1, 1, 1_000_000)
    assert line["line_discount_ppm"] == 0


def correction_lines(*rows):
    """Lines that correct August, as far as they are printed."""
    common = {
        "owner_id": "acme", "owner_name": "Acme of August", "resource_id": "app", "slug": "apps.s", "zone": "par",
        "price_factor_ppm": 10**6, "origin_month": "2026-08", "basis": "runtime", "unit": "s", "per_quantity": 1,
        "per_seconds": 3600, "line_discount_ppm": 0, "amount_cents": 5, "currency": "EUR", "approval": 1,
        "corrected_line_id": "d" * 32, "correction_cause": "late", "billed_cents": 0, "rated_cents": 5, "quantity": 1,
        "unit_price": 1,
    }  # fmt: skip
    types = {name: pl.String if isinstance(kind, pl.Enum) else kind
             for name, kind in CorrectionLines.create_empty().schema.items()}  # fmt: skip
    told = [
        dict.fromkeys(types)
        | common
        | {"line_id": f"{number:032d}", "payer_id": payer}
        | {"owner_id": "forgotten" if payer == "late" else "acme"}
        for number, payer in enumerate(rows, 900)
    ]
    return CorrectionLines.validate(pl.DataFrame(told, schema=types), cast=True)


def test_usage_rules_and_corrections_are_numbered_in_this_order_for_each_payer(given):
    charges = given.charges(*({"payer_id": "acme", "charge_cents": cents} for cents in (7, 8)))
    payers = [{"owner_id": "acme", "name": "Acme"}, {"owner_id": "zeta"}, {"owner_id": "late"}]
    least = {"kind": "minimum", "amount_cents": 50}
    rules = [{"rule_id": f"of {payer}", "owner_id": payer, **least} for payer in ("acme", "zeta")]
    organisations = given.organisations(*payers)
    adjustments = given.adjust(charges, organisations, *rules).adjustments
    drafted = pl.DataFrame({"payer_id": ["acme", "late", "zeta"]})

    lines = print_lines(
        drafted, charges, adjustments, organisations, given.period(), correction_lines("acme", "acme", "late", "gone")
    )

    what = pl.coalesce(pl.col("rule_kind").cast(pl.String), "corrected_line_id", "origin_month")
    assert lines.select("payer_id", "line_number", what.str.head(7)).rows() == [
        ("acme", 1, "2026-10"), ("acme", 2, "2026-10"), ("acme", 3, "minimum"), ("acme", 4, "ddddddd"),
        ("acme", 5, "ddddddd"), ("late", 1, "ddddddd"), ("zeta", 1, "minimum"),
    ]  # fmt: skip
    # A correction is printed under the name that its organisation has now, or had last.
    assert set(lines.filter(owner_id="acme")["owner_name"]) == {"Acme"}
    assert lines.filter(owner_id="forgotten")["owner_name"].to_list() == ["Acme of August"]

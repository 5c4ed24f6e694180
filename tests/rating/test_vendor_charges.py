"""What third parties charge is passed on: a line for each charge, as it is, rounded once."""

from decimal import Decimal

import polars as pl
import pytest
from rating_month import PERIOD, Case, RatedMonth, case, october

from billing_pipeline.rules.accounts import enter_vendor_charges

PASSED_ON = [
    (case("vendor-plain").charged_by_vendor("9.99"), 9_99),
    (case("vendor-half-cent").charged_by_vendor("0.125"), 13),
    (case("vendor-below").charged_by_vendor("0.124999999"), 12),
    (case("vendor-nothing").charged_by_vendor("0"), 0),
    (case("vendor-much").charged_by_vendor("999999999"), 999_999_999_00),
    (case("vendor-contract", price_factor_ppm=500_000).charged_by_vendor("10"), 10_00),
    (case("vendor-yen", currency="JPY").charged_by_vendor("10.5"), 11),
    (case("vendor-dinar", currency="KWD").charged_by_vendor("1.2345"), 1_235),
]


@pytest.mark.parametrize(("usage", "cents"), PASSED_ON, ids=lambda value: getattr(value, "owner_id", None))
def test_a_vendor_charge_is_rounded_once_and_knows_no_price_factor(rated: RatedMonth, usage: Case, cents: int):
    assert rated.amounts(usage) == [cents]
    assert rated.charges(usage)["price_factor_ppm"].to_list() == [1_000_000]


addon = case("add-on").charged_by_vendor("9.99", event_id="order-7", resource_name="Mails")


def test_a_vendor_charge_is_a_line_that_says_whose_it_is(rated: RatedMonth):
    (line,) = rated.charges(addon).iter_rows(named=True)
    assert (line["slug"], line["basis"], line["unit"], line["zone"]) == ("vendor", "vendor", "piece", "")
    assert (line["resource_id"], line["resource_name"], line["resources"]) == ("add-on-addon", "Mails", 1)
    assert (line["quantity"], line["unit_price"], line["is_recurring"]) == (Decimal(1), Decimal("9.99"), True)
    assert line["description"] == "Mailer: 10,000 messages"
    sources = rated.marts["charge_sources"].filter(line_id=line["line_id"])
    assert sources.select("feed", "file_id", "source_rows").rows() == [("vendor_charges", "vendor_charges-file", 1)]


twice = (
    case("vendor-twice")
    .charged_by_vendor("1", event_id="7")
    .charged_by_vendor("2", event_id="8")
    .charged_by_vendor("3", event_id="7", source="other")
    .charged_once("4", "1", event_id="7", source="marketplace")
)


def test_each_charge_of_a_resource_is_a_line_of_its_own(rated: RatedMonth):
    assert sorted(rated.amounts(twice)) == [1_00, 2_00, 3_00, 4_00]


foreign = case("vendor-foreign").charged_by_vendor("1", currency="USD", event_id="in-dollars")
early = case("vendor-early").version(october(11)).charged_by_vendor("1", charged_at=PERIOD.start)


def test_a_vendor_charge_that_nobody_can_pay_is_reported(rated: RatedMonth):
    assert rated.of("unrated", foreign).select("reason", "detail").rows() == [
        (
            "currency",
            "vendor charge marketplace in-dollars from 2026-10-20T00:00:00Z "
            "(charged in USD, the payer's currency is EUR)",
        )
    ]
    assert rated.reasons(early) == ["org_unknown"]


def landed(amount: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "source": ["marketplace"], "event_id": ["7"], "owner_id": ["orga_1"], "resource_id": ["addon_1"],
            "resource_name": [None], "vendor": ["Mail\u202eer "], "description": ["1,000 messages"],
            "charged_at": [PERIOD.start_us], "amount": [amount], "currency": ["EUR"],
        },
        schema_overrides={"resource_name": pl.String},
    )  # fmt: skip


def test_a_vendor_charge_enters_with_exact_decimals_and_printable_texts():
    ((amount, vendor),) = enter_vendor_charges(landed("0.123456789")).rows.select("amount", "vendor").rows()
    assert (amount, vendor) == (Decimal("0.123456789"), "Mailer")


def test_a_vendor_charge_of_too_many_decimals_is_a_problem_of_its_owner():
    rows, problems = enter_vendor_charges(landed("0.1234567891"))
    assert rows.is_empty()
    assert problems.select("payer_id", "reason").rows() == [("orga_1", "price_precision")]

"""One-off charges are lines of their own, rounded once after price factor and discount."""

from decimal import Decimal

import pytest
from rating_month import Case, RatedMonth, case, october

ONE_SHOTS = [
    (case("one-day").charged_once("1", "850"), [850_00]),
    (case("half-cent").charged_once("1", "0.125"), [13]),
    (case("discounted-work", price_factor_ppm=900_000).charged_once("2.5", "99.99", discount_ppm=150_000), [191_23]),
    (case("given-back").charged_once("-1", "0.125"), [-13]),
    (case("no-work").charged_once("0", "850"), []),
    (case("tiny").charged_once("0.000000001", "0.000000001"), [0]),
]


@pytest.mark.parametrize(("usage", "cents"), ONE_SHOTS, ids=lambda value: getattr(value, "owner_id", None))
def test_a_one_shot_is_rounded_once(rated: RatedMonth, usage: Case, cents: list[int]):
    assert rated.amounts(usage) == cents


subscription = case("subscription").charged_once(
    "3", "10", event_id="seat-licence", description="Licence", sub_description="October", is_recurring=True
)


def test_a_one_shot_is_a_line_that_says_what_it_is(rated: RatedMonth):
    (line,) = rated.charges(subscription).iter_rows(named=True)
    assert (line["slug"], line["basis"], line["unit"], line["zone"]) == ("one_shot", "one_shot", "piece", "")
    assert (line["resource_id"], line["description"], line["sub_description"]) == ("seat-licence", "Licence", "October")
    assert (line["quantity"], line["unit_price"], line["is_recurring"]) == (Decimal(3), Decimal(10), True)
    sources = rated.marts["charge_sources"].filter(line_id=line["line_id"])
    assert sources.select("feed", "file_id", "source_rows").rows() == [("one_shots", "one_shots-file", 1)]


namesakes = (
    case("namesakes")
    .charged_once("1", "10", source="crm", event_id="42")
    .charged_once("1", "20", source="desk", event_id="42")
)


def test_events_of_two_sources_with_one_id_are_two_lines(rated: RatedMonth):
    assert sorted(rated.amounts(namesakes)) == [10_00, 20_00]
    sources = rated.marts["charge_sources"].join(rated.of("charges", namesakes), on="line_id")
    assert sources["source_rows"].to_list() == [1, 1]


buyer = case("buyer")
acquired = (
    case("acquired")
    .version(october(1), october(11))
    .version(october(11), payer_id="buyer")
    .charged_once("1", "10", performed_at=october(10))
    .charged_once("1", "20", performed_at=october(11))
)


def test_a_one_shot_is_paid_by_the_payer_of_its_moment(rated: RatedMonth):
    lines = rated.of("charges", acquired).sort("payer_id")
    assert lines.select("payer_id", "charge_cents").rows() == [("acquired", 10_00), ("buyer", 20_00)]


foreign = case("foreign").charged_once("1", "10", currency="USD", event_id="in-dollars")


def test_a_one_shot_in_another_currency_is_reported(rated: RatedMonth):
    assert rated.amounts(foreign) == []
    assert rated.of("unrated", foreign).select("reason", "detail").rows() == [
        (
            "currency",
            "one_shot backoffice in-dollars from 2026-10-15T00:00:00Z (charged in USD, the payer's currency is EUR)",
        )
    ]


shopper = (
    case("shopper", price_factor_ppm=900_000)
    .charged_once("2", "50", event_id="audit", document="specific")
    .charged_once("1", "100", event_id="top-up", document="credits")
    .charged_once("1", "30", event_id="help")
)


def test_what_has_a_document_of_its_own_is_no_line_of_the_month(rated: RatedMonth):
    assert rated.amounts(shopper) == [27_00]


def test_credits_are_sold_for_what_they_are_worth_and_services_at_the_price_factor(rated: RatedMonth):
    charges = rated.of("specific_charges", shopper).sort("reference")
    assert charges.select("kind", "reference", "event_id", "charge_cents", "price_factor_ppm").rows() == [
        ("invoice", "backoffice/audit", "audit", 90_00, 900_000),
        ("credits", "backoffice/top-up", "top-up", 100_00, 1_000_000),
    ]
    sources = rated.marts["charge_sources"].join(charges, on="line_id", how="semi")
    assert sources["source_rows"].to_list() == [1, 1]


in_dollars = case("in-dollars").charged_once("1", "10", currency="USD", event_id="us", document="specific")


def test_a_document_of_its_own_is_in_the_currency_of_its_payer(rated: RatedMonth):
    assert rated.of("specific_charges", in_dollars).is_empty()
    assert rated.of("unrated", in_dollars)["reason"].to_list() == ["currency"]

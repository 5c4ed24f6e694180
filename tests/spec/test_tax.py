"""Which VAT an invoice of a French provider bears."""

from datetime import date

import dataframely as dy
import pytest
from stdnum.eu import vat

from billing_pipeline.rules.parties import Seller
from billing_pipeline.rules.tax import COUNTRIES, EU, TaxDecision, TaxUnknown, decide_taxes, decide_vat

SELLER = Seller(name="Nuage", address=("Nantes",), country="FR")
ON = date(2026, 11, 3)


def decide(country, postcode="", kind="business", vat_number=None, seller=SELLER, on=ON):
    return decide_vat(country, postcode, kind, vat_number, seller, on)


@pytest.mark.parametrize("kind", ["business", "consumer"])
@pytest.mark.parametrize(("country", "postcode"), [("FR", "44000"), ("FR", "20137"), ("MC", "98000")])
def test_a_customer_in_france_or_monaco_pays_20_percent(country, postcode, kind):
    assert decide(country, postcode, kind) == TaxDecision(200_000, "home")


def test_a_french_vat_number_changes_nothing_at_home():
    assert decide("FR", "44000", vat_number="FR61954506077") == TaxDecision(200_000, "home")


@pytest.mark.parametrize(
    ("country", "vat_number"),
    [("DE", "DE136695976"), ("DE", "de 136 695 976"), ("GR", "EL094259216"), ("AT", "ATU57194903")],
)
def test_an_eu_business_with_a_valid_vat_number_owes_the_tax_itself(country, vat_number):
    assert decide(country, "10115", vat_number=vat_number) == TaxDecision(0, "reverse_charge")


@pytest.mark.parametrize(
    ("country", "vat_number", "why"),
    [
        ("DE", None, "without a VAT number"),
        ("DE", "", "without a VAT number"),
        ("DE", "DE136695977", "is not a valid VAT number of DE"),
        ("DE", "136695976", "is not a valid VAT number of DE"),
        ("DE", "ATU57194903", "is not a valid VAT number of DE"),
        ("GR", "GR094259216", "is not a valid VAT number of GR"),
    ],
)
def test_an_eu_business_without_a_valid_vat_number_of_its_country_is_not_guessed(country, vat_number, why):
    with pytest.raises(TaxUnknown, match=why):
        decide(country, "10115", vat_number=vat_number)


def test_an_eu_consumer_is_not_guessed_even_with_a_vat_number():
    with pytest.raises(TaxUnknown, match="a consumer in DE"):
        decide("DE", "10115", "consumer", "DE136695976")


@pytest.mark.parametrize("kind", ["business", "consumer"])
@pytest.mark.parametrize("country", ["CH", "GB", "US", "NO", "PF", "NC"])
def test_customers_outside_the_eu_pay_no_vat(country, kind):
    assert decide(country, "1000", kind) == TaxDecision(0, "outside_eu")


@pytest.mark.parametrize(
    ("country", "postcode"),
    [
        ("FR", "97110"),
        ("FR", "97200"),
        ("FR", " 97400"),
        ("FR", "97600"),
        ("FR", "98400"),
        ("FR", "98800"),
        ("GP", "97110"),
        ("RE", ""),
    ],
)
def test_the_french_overseas_departments_are_not_guessed(country, postcode):
    with pytest.raises(TaxUnknown, match="overseas"):
        decide(country, postcode)


@pytest.mark.parametrize("country", ["EL", "UK", "fr", "FRA", "", "XX"])
def test_a_country_that_iso_does_not_know_is_a_mistake_not_a_customer_outside_the_eu(country):
    with pytest.raises(TaxUnknown, match="is not a country of ISO 3166-1"):
        decide(country)


def test_a_seller_of_another_country_is_told_what_to_add():
    german = Seller(name="Wolke", address=("Berlin",), country="DE")
    with pytest.raises(TaxUnknown, match=r"no standard VAT rate of the seller's country DE.*add it to HOME_RATES"):
        decide("DE", seller=german)


def test_a_rate_holds_from_its_first_day():
    assert decide("FR", "44000", on=date(2014, 1, 1)).vat_ppm == 200_000
    assert decide("FR", "44000", on=date(2013, 12, 31)).vat_ppm == 196_000
    with pytest.raises(TaxUnknown, match="FR on 2000-03-31"):
        decide("FR", "44000", on=date(2000, 3, 31))


def test_the_member_states_are_those_whose_numbers_can_be_checked():
    assert {country.upper() for country in vat.MEMBER_STATES} - {"XI"} == EU
    assert EU < COUNTRIES
    assert len(COUNTRIES) == 249


def test_every_payer_is_decided_or_named_with_the_reason(given):
    decisions = decide_taxes(
        given.organisations(
            {"owner_id": "home"},
            {"owner_id": "berlin", "country": "DE", "vat_number": "DE136695976"},
            {"owner_id": "vienna", "country": "AT", "kind": "consumer"},
        ),
        SELLER,
        ON,
    )

    assert decisions.rates.rows() == [("berlin", 0, "reverse_charge"), ("home", 200_000, "home")]
    ((payer, reason, detail),) = decisions.unknown.rows()
    assert (payer, reason) == ("vienna", "tax_unknown")
    assert "a consumer in AT" in detail


def test_a_month_without_payers_has_nothing_to_decide(given):
    decisions = decide_taxes(given.organisations(), SELLER, ON)
    assert decisions.rates.is_empty()
    assert decisions.unknown.is_empty()


@pytest.mark.parametrize(
    ("on", "ppm"),
    [(date(2000, 4, 1), 196_000), (date(2013, 12, 31), 196_000), (date(2014, 1, 1), 200_000)],
)
def test_the_standard_rate_is_that_of_the_day(on, ppm):
    assert decide("FR", "44000", on=on) == TaxDecision(ppm, "home")


def test_no_rate_is_known_of_earlier_days():
    with pytest.raises(TaxUnknown, match="no standard VAT rate"):
        decide("FR", "44000", on=date(2000, 3, 31))


def test_a_payer_has_one_rate(given):
    with pytest.raises(dy.exc.ValidationError, match="primary_key"):
        given.vat({"payer_id": "acme"}, {"payer_id": "acme", "vat_ppm": 200_000})

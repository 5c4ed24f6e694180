"""From reference rows as they landed to what a month works with: dated versions, exact amounts, clean names."""

from datetime import UTC, date, datetime
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from billing_pipeline.rules.accounts import enter_grants, enter_payments, version_organisations
from billing_pipeline.rules.parking import park_payers
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.invoices import ParkedOrganisations

OCTOBER = Month(2026, 10).period(ZoneInfo("UTC"))
ORGANISATION = {
    "owner_id": "acme", "payer_id": None, "name": "Acme", "legal_name": None, "kind": "business",
    "address_line1": "1 rue du Port", "address_line2": None, "postcode": "44000", "city": "Nantes", "country": "FR",
    "vat_number": None, "legal_id": None, "currency": "EUR", "language": "en", "billing_emails": "a@acme.example",
    "purchase_order": None, "cost_centre": None, "opened_on": date(2020, 1, 1), "closed_on": None,
    "payment_terms_days": None, "is_trusted": False, "discount_rate": None, "discount_reason": None,
    "price_factor": None, "valid_from": datetime(2020, 1, 1, tzinfo=UTC),
}  # fmt: skip
TEXTS = ("payer_id", "legal_name", "address_line2", "vat_number", "legal_id", "purchase_order", "cost_centre")
TEXTS += ("discount_rate", "discount_reason", "price_factor")
PAYMENT = {
    "payment_id": "p1", "owner_id": "acme", "invoice_number": None, "reference": "acme/2026-10", "currency": "EUR",
    "received_at": datetime(2026, 11, 5, tzinfo=UTC), "method_kind": "transfer", "outcome": "succeeded",
}  # fmt: skip
GRANT = {
    "grant_id": "g1", "owner_id": "acme", "kind": "free", "name": "Welcome", "amount": "20.00", "currency": "EUR",
    "starts_at": datetime(2026, 10, 1, tzinfo=UTC), "expires_at": None, "priority": 0,
    "slugs": "Apps.S; cellar.storage",
}  # fmt: skip


def versions(*changes):
    types = dict.fromkeys(TEXTS, pl.String) | {"closed_on": pl.Date, "payment_terms_days": pl.Int64}
    types["valid_from"] = pl.Datetime("us", "UTC")
    landed = pl.DataFrame([ORGANISATION | change for change in changes], schema_overrides=types)
    return version_organisations(landed, OCTOBER)


def payments(*changes):
    types = {"invoice_number": pl.String, "received_at": pl.Datetime("us", "UTC")}
    return enter_payments(pl.DataFrame([PAYMENT | change for change in changes], schema_overrides=types))


@pytest.mark.parametrize(
    ("amount", "currency", "minor_units"),
    [("12.34", "EUR", 1234), ("12.3", "EUR", 1230), ("12", "EUR", 1200), ("12.3400", "EUR", 1234), ("7", "JPY", 7),
     ("1.234", "KWD", 1234), ("0.01", "USD", 1)],
)  # fmt: skip
def test_an_amount_becomes_whole_minor_units_of_its_currency(amount, currency, minor_units):
    rows = payments({"amount": amount, "currency": currency}).rows
    assert rows["paid_cents"].to_list() == [minor_units]


@pytest.mark.parametrize(
    ("amount", "currency"), [("12.345", "EUR"), ("7.5", "JPY"), ("1", "XXX"), ("99999999999", "EUR")]
)
def test_an_amount_that_does_not_fit_is_a_problem_of_its_owner_and_never_rounded(amount, currency):
    entered = payments({"amount": amount, "currency": currency})
    assert entered.rows.is_empty()
    assert entered.problems.select("payer_id", "reason").rows() == [("acme", "amount_precision")]


def test_a_version_holds_until_the_next_one_within_the_month():
    middle = datetime(2026, 10, 15, tzinfo=UTC)
    rows = versions({}, {"valid_from": middle, "payer_id": "holding", "price_factor": "0.9"}).rows
    told = rows.select("payer_id", "price_factor_ppm", "valid_from", "valid_to").rows()
    assert told == [
        ("acme", 1_000_000, OCTOBER.start, middle),
        ("holding", 900_000, middle, OCTOBER.end),
    ]


def test_versions_of_other_months_are_left_out():
    rows = versions({"name": "Old"}, {"name": "New", "valid_from": OCTOBER.start}, {"valid_from": OCTOBER.end}).rows
    assert rows["name"].to_list() == ["New"]


def test_a_rate_of_more_than_six_decimals_is_not_guessed():
    versioned = versions({"discount_rate": "0.1234567"})
    assert versioned.rows.is_empty()
    assert versioned.problems["reason"].to_list() == ["price_precision"]


def test_names_lose_what_cannot_be_printed_or_turns_the_text_around():
    rows = versions({"name": " Ac\u202eme\x00\u200b "}).rows
    assert rows["name"].to_list() == ["Acme"]


def test_scopes_of_grants_know_no_case():
    landed = pl.DataFrame([GRANT], schema_overrides={"expires_at": pl.Datetime("us", "UTC")})
    rows = enter_grants(landed.with_columns(pl.col("starts_at").cast(pl.Datetime("us", "UTC")))).rows
    assert rows["slugs"].to_list() == ["apps.s;cellar.storage"]


def test_whoever_pays_for_a_faulty_owner_at_any_moment_of_the_month_is_parked():
    organisations = versions({}, {"valid_from": datetime(2026, 10, 15, tzinfo=UTC), "payer_id": "holding"}).rows
    problem = pl.DataFrame(
        {"owner_id": ["acme", "nobody"], "reason": ["price_missing"] * 2, "detail": ["gpu.h100"] * 2}
    )
    before = ParkedOrganisations.validate(
        pl.DataFrame({"payer_id": ["late"], "reason": ["tax_unknown"], "detail": ["consumer in BE"]})
    )

    parked = park_payers([problem], organisations, before)

    assert parked.select("payer_id", "reason").rows() == [
        ("acme", "price_missing"),
        ("holding", "price_missing"),
        ("late", "predecessor_parked"),
        ("nobody", "price_missing"),
    ]


def test_numbers_of_registration_are_kept_as_their_registers_write_them():
    rows = versions({"vat_number": "fr 61 954 506 077", "legal_id": "954 506 077"}, {"owner_id": "b", "vat_number": " "})
    told = rows.rows.sort("owner_id").select("vat_number", "legal_id").rows()
    assert told == [("FR61954506077", "954506077"), (None, None)]

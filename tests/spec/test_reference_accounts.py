"""From reference rows as they landed to what a month works with: dated versions, exact amounts, clean names."""

from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from zoneinfo import ZoneInfo

import polars as pl
import pytest

from billing_pipeline.rules.accounts import (
    enter_agreements,
    enter_grants,
    enter_one_shots,
    enter_payments,
    list_owners,
    version_organisations,
)
from billing_pipeline.rules.parking import park_payers, without
from billing_pipeline.rules.period import Month
from billing_pipeline.tables.invoices import ParkedOrganisations

OCTOBER = Month(2026, 10).period(ZoneInfo("UTC"))
CLOSED = datetime(2026, 11, 3, tzinfo=UTC)
ORGANISATION = {
    "owner_id": "acme", "payer_id": None, "name": "Acme", "legal_name": None, "kind": "business",
    "address_line1": "1 rue du Port", "address_line2": None, "postcode": "44000", "city": "Nantes", "country": "FR",
    "vat_number": None, "legal_id": None, "currency": "EUR", "language": "en", "billing_emails": "a@acme.example",
    "purchase_order": None, "cost_centre": None, "opened_on": date(2020, 1, 1), "closed_on": None,
    "payment_terms_days": None, "is_trusted": False, "discount_rate": None, "discount_reason": None,
    "price_factor": None, "billing_period": None, "valid_from": datetime(2020, 1, 1, tzinfo=UTC),
}  # fmt: skip
TEXTS = ("payer_id", "legal_name", "address_line2", "vat_number", "legal_id", "purchase_order", "cost_centre")
TEXTS += ("discount_rate", "discount_reason", "price_factor", "billing_period")
PAYMENT = {
    "payment_id": "p1", "owner_id": "acme", "invoice_number": None, "reference": "acme/2026-10", "currency": "EUR",
    "received_at": datetime(2026, 11, 5, tzinfo=UTC), "known_at": datetime(2026, 11, 6, tzinfo=UTC),
    "method_kind": "transfer", "outcome": "succeeded",
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
    return version_organisations(landed, OCTOBER, CLOSED)


def payments(*changes):
    types = {"invoice_number": pl.String, **dict.fromkeys(("received_at", "known_at"), pl.Datetime("us", "UTC"))}
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
    changes = [{"price_factor": factor} for factor in ("0.7", "0.8", "0.9")]
    rows = versions(
        changes[0], changes[1] | {"valid_from": OCTOBER.start}, changes[2] | {"valid_from": OCTOBER.end}
    ).rows
    assert rows["price_factor_ppm"].to_list() == [800_000]


MOVED = {"country": "BE", "vat_number": "BE0123456749", "discount_rate": "0.1", "name": "Acme SA"}


@pytest.mark.parametrize(
    ("valid_from", "is_seen"),
    [(OCTOBER.end, True), (CLOSED, True), (CLOSED + timedelta(microseconds=1), False)],
    ids=["with the next month", "at the closing", "after the closing"],
)
def test_an_invoice_is_for_the_party_as_it_is_when_the_month_is_closed(valid_from, is_seen):
    (row,) = versions(
        {}, {"valid_from": valid_from, "payer_id": "holding", "price_factor": "0.5"} | MOVED
    ).rows.to_dicts()
    assert (row["country"], row["vat_number"], row["discount_ppm"], row["name"]) == (
        ("BE", "BE0123456749", 100_000, "Acme SA") if is_seen else ("FR", None, 0, "Acme")
    )
    # Who pays for the usage, and at which factor, is told by the usage's own time.
    assert (row["payer_id"], row["price_factor_ppm"], row["valid_to"]) == ("acme", 1_000_000, OCTOBER.end)


def test_only_the_last_version_of_the_month_has_the_details_of_the_closing():
    middle = datetime(2026, 10, 15, tzinfo=UTC)
    rows = versions({}, {"valid_from": middle, "payer_id": "holding"}, {"valid_from": OCTOBER.end} | MOVED).rows
    assert rows.select("payer_id", "country").rows() == [("acme", "FR"), ("holding", "BE")]


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


def owners(*changes, zone="UTC"):
    types = dict.fromkeys(TEXTS, pl.String) | {"closed_on": pl.Date, "valid_from": pl.Datetime("us", "UTC")}
    landed = pl.DataFrame([ORGANISATION | change for change in changes], schema_overrides=types)
    return list_owners(landed, ZoneInfo(zone))


def test_an_organisation_closes_when_its_last_day_is_over_where_days_are_cut():
    closed = {"owner_id": "gone", "closed_on": date(2026, 10, 19)}
    told = owners({}, closed, zone="Europe/Paris").select("owner_id", "closes_at").rows()
    assert told == [("acme", None), ("gone", datetime(2026, 10, 19, 22, tzinfo=UTC))]


def test_the_last_version_says_whether_an_organisation_closed():
    later = {"valid_from": datetime(2026, 1, 1, tzinfo=UTC)}
    reopened, closed = {"closed_on": date(2025, 1, 1)}, {"closed_on": date(2026, 10, 19)}
    assert owners(later, reopened)["closes_at"].to_list() == [None]
    assert owners(later | closed, {})["closes_at"].to_list() == [datetime(2026, 10, 20, tzinfo=UTC)]


@pytest.mark.parametrize(("column", "unsafe"), [("name", True), ("city", True), ("cost_centre", True), ("tag", False)])
def test_a_printed_text_with_hidden_signs_is_unsafe(column, unsafe):
    assert owners({column: "a\u202eb"})["has_unsafe_text"].to_list() == [unsafe]
    assert owners({})["has_unsafe_text"].to_list() == [False]


def test_an_organisation_without_a_name_is_a_problem_and_a_version():
    versioned = versions({"name": "\u200b "})
    assert versioned.rows["name"].to_list() == [""]
    assert versioned.problems.rows() == [("acme", "name_length", "organisation acme has no name")]
    assert versions({}).problems.is_empty()


def test_rates_are_millionths_and_nothing_is_no_discount():
    rows = versions({}, {"owner_id": "lab", "discount_rate": "0.05", "price_factor": "1.25"}).rows
    assert rows.select("discount_ppm", "price_factor_ppm").rows() == [(0, 1_000_000), (50_000, 1_250_000)]


@pytest.mark.parametrize("column", ["discount_rate", "price_factor"])
def test_a_rate_may_have_six_decimals(column):
    assert versions({column: "0.123456"}).rows[column.replace("_rate", "") + "_ppm"].to_list() == [123_456]
    versioned = versions({"owner_id": "lab", "payer_id": "acme", column: "0.1234567"})
    said = "organisation lab has a rate of more than 6 decimals; send it rounded"
    assert (versioned.rows.height, versioned.problems.rows()) == (0, [("acme", "price_precision", said)])


@pytest.mark.parametrize(
    ("amount", "cents"),
    [("10000000000", 10**12), ("10000000000.01", None), ("1" * 20, None), ("12.34" + "0" * 30, 12_34)],
)  # fmt: skip
def test_amounts_have_bounds(amount, cents):
    entered = payments({"amount": amount})
    assert entered.rows["paid_cents"].to_list() == ([] if cents is None else [cents])
    assert entered.problems.height == (cents is None)


def test_a_refill_is_agreed_on_for_one_month():
    agreed = {"owner_id": "acme", "amount": "12.3", "currency": "EUR", "author": "sales", "reason": "contract"}
    landed = pl.DataFrame([agreed | {"billing_month": month} for month in ("2026-09", "2026-10", "2026-11")])
    agreements = enter_agreements(landed, Month(2026, 10))
    assert agreements.rows.select("owner_id", "refill_cents", "author").rows() == [("acme", 12_30, "sales")]


ONE_SHOT = {
    "source": "shop", "event_id": "7", "owner_id": "acme", "description": " Ins\u200btall ", "sub_description": None,
    "performed_at": OCTOBER.start_us + 1, "quantity": "1.5", "unit_price": "0.123456789", "currency": "EUR",
    "recurring": True, "discount_rate": None, "invoice": "monthly", "sells_credits": False,
}  # fmt: skip


def one_shots(**change):
    texts = dict.fromkeys(("sub_description", "discount_rate"), pl.String)
    return enter_one_shots(pl.DataFrame([ONE_SHOT | change], schema_overrides=texts))


def test_a_one_shot_enters_with_exact_decimals():
    (row,) = one_shots().rows.iter_rows(named=True)
    assert (row["quantity"], row["unit_price"], row["discount_ppm"]) == (Decimal("1.5"), Decimal("0.123456789"), 0)
    assert (row["description"], row["is_recurring"]) == ("Install", True)
    assert row["performed_at"] == OCTOBER.start + timedelta(microseconds=1)
    assert one_shots(discount_rate="0.123456").rows["discount_ppm"].to_list() == [123_456]


@pytest.mark.parametrize(
    ("change", "document"),
    [
        ({}, "monthly"),
        ({"invoice": "specific"}, "specific"),
        ({"invoice": "specific", "sells_credits": True}, "credits"),
        ({"sells_credits": True}, "credits"),
    ],
)
def test_a_one_shot_says_which_document_asks_for_it(change, document):
    assert one_shots(**change).rows["document"].to_list() == [document]


@pytest.mark.parametrize(
    "change", [{"quantity": "0.1234567891"}, {"unit_price": "0.1234567891"}, {"discount_rate": "0.1234567"}]
)
def test_a_one_shot_of_too_many_decimals_is_a_problem_of_its_owner(change):
    entered = one_shots(**change)
    said = "one-shot 7 has more decimals than its line can carry (9; rates 6)"
    assert (entered.rows.height, entered.problems.rows()) == (0, [("acme", "price_precision", said)])


def test_problems_of_one_kind_are_one_row():
    entered = payments({"amount": "12.345"}, {"amount": "1.111"})
    said = "1.111 EUR is no whole number of minor units within bounds; send it again"
    assert entered.problems.rows() == [("acme", "amount_precision", said)]


def test_whoever_is_parked_is_left_out_and_told_the_first_detail():
    problems = pl.DataFrame({"owner_id": ["acme"] * 2, "reason": ["price_missing"] * 2, "detail": ["gpu", "apps"]})
    parked = park_payers([problems], versions({}).rows, ParkedOrganisations.create_empty())
    assert parked["detail"].to_list() == ["apps"]
    assert without(pl.DataFrame({"payer_id": ["acme", "lab"]}), parked)["payer_id"].to_list() == ["lab"]


def test_numbers_of_registration_are_kept_as_their_registers_write_them():
    rows = versions(
        {"vat_number": "fr 61 954 506 077", "legal_id": "954 506 077"}, {"owner_id": "b", "vat_number": " "}
    )
    told = rows.rows.sort("owner_id").select("vat_number", "legal_id").rows()
    assert told == [("FR61954506077", "954506077"), (None, None)]

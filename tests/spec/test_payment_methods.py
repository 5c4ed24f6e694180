"""Which ways of paying can be used: account numbers with right check digits, debits with a mandate."""

from datetime import date

import polars as pl
import pytest

from billing_pipeline.rules.accounts import enter_payment_methods

#: The example IBAN of the French banks' own guide.
DEBIT = {
    "method_id": "m1", "owner_id": "acme", "kind": "sepa_debit", "is_default": True,
    "iban": "FR14 2004 1010 0505 0001 3M02 606", "bic": "PSSTFRPPPAR", "holder": "Acme", "mandate_id": "RUM-1",
    "mandate_signed_on": date(2026, 1, 5), "expires_on": None, "token": None,
}  # fmt: skip
CARD = dict.fromkeys(DEBIT) | {"method_id": "m2", "owner_id": "acme", "kind": "card", "is_default": False}


def entered(*rows):
    types = dict.fromkeys(DEBIT, pl.String) | {"is_default": pl.Boolean}
    types |= dict.fromkeys(("mandate_signed_on", "expires_on"), pl.Date)
    return enter_payment_methods(pl.DataFrame(list(rows), schema=types))


def test_an_iban_is_kept_without_its_spaces():
    rows = entered(CARD, DEBIT).rows
    assert rows.select("method_id", "iban").rows() == [("m1", "FR1420041010050500013M02606"), ("m2", None)]


@pytest.mark.parametrize(
    ("change", "reason"),
    [
        ({"iban": "FR14 2004 1010 0505 0001 3M02 607"}, "iban_invalid"),
        ({"iban": "FR14 2004 1010 0505 0001 3M02"}, "iban_invalid"),
        ({"iban": "ZZ14 2004 1010 0505 0001 3M02 606"}, "iban_invalid"),
        ({"iban": None}, "iban_invalid"),
        ({"bic": "PSST"}, "bic_invalid"),
        ({"mandate_id": None}, "mandate_missing"),
        ({"mandate_signed_on": None}, "mandate_missing"),
    ],
    ids=["check digits", "length", "country", "no account to debit", "bic", "no mandate", "unsigned mandate"],
)
def test_a_debit_that_would_fail_is_a_problem_of_its_owner_and_the_card_stays(change, reason):
    methods = entered(DEBIT | change, CARD)
    assert methods.rows["method_id"].to_list() == ["m2"]
    assert methods.problems.select("payer_id", "reason").rows() == [("acme", reason)]


def test_a_problem_does_not_repeat_the_account_number():
    (detail,) = entered(DEBIT | {"iban": "FR0020041010050500013M02606"}).problems["detail"]
    assert "FR00" not in detail


def test_no_method_at_all_is_no_problem():
    methods = entered()
    assert (methods.rows.height, methods.problems.height) == (0, 0)

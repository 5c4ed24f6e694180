"""The statements that Clever Cloud published come out of raw feeds, to the cent and on paper."""

import re

import pytest
from provider_home import ProviderHome

MARCH = "2026-03"
LETTERS = {
    "a": "free_before_cents", "b": "prepaid_before_cents", "A": "balance_before_cents", "c": "free_used_cents",
    "d": "free_expired_cents", "e": "prepaid_used_cents", "f": "forecast_cents", "g": "pending_cents",
    "h": "refill_cents", "B": "balance_after_cents", "i": "change_cents",
}  # fmt: skip
FIRST = {
    "a": 0, "b": 691_35, "A": 691_35, "c": 0, "d": 0, "e": -686_89, "f": -686_89, "g": 0, "h": 682_43,
    "B": 686_89, "i": -4_46,
}  # fmt: skip
SECOND = {
    "a": 0, "b": 20_00, "A": 20_00, "c": 0, "d": 0, "e": -20_00, "f": -114_63, "g": 0, "h": 0, "B": 0, "i": -20_00,
}  # fmt: skip


def invoice(home: ProviderHome, payer: str) -> dict:
    return home.row("invoices/invoices", MARCH, payer_id=payer)


def letters(home: ProviderHome, payer: str) -> dict[str, int]:
    statement = home.row("credits/credit_statements", MARCH, payer_id=payer)
    return {letter: statement[column] for letter, column in LETTERS.items()}


def paper(home: ProviderHome, payer: str) -> str:
    return home.printed(invoice(home, payer)["number"])


def printed_letters(text: str) -> dict[str, int]:
    """The letters of the credit statement as they stand on paper, in cents."""
    rows = re.findall(r"^([a-iAB]) \w.*?(\N{MINUS SIGN}?)€([0-9,]+)\.([0-9]{2})\s*$", text, re.MULTILINE)
    return {letter: (-1 if sign else 1) * int(euros.replace(",", "") + cents) for letter, sign, euros, cents in rows}


@pytest.mark.parametrize(("payer", "expected"), [("abroad", FIRST), ("french", FIRST), ("main", SECOND)])
def test_every_letter_of_a_published_statement_is_reached_and_printed(published, payer, expected):
    assert letters(published, payer) == expected
    assert printed_letters(paper(published, payer)) == expected


def test_outside_the_eu_the_published_invoice_asks_for_682_43(published):
    issued = invoice(published, "abroad")

    assert (issued["fees_cents"], issued["used_credits_cents"], issued["vat_cents"]) == (686_89, -4_46, 0)
    assert issued["payable_cents"] == 682_43
    assert "AMOUNT TO PAY\r\n€682.43" in paper(published, "abroad")


def test_in_france_the_published_invoice_asks_for_818_92(published):
    issued = invoice(published, "french")

    assert (issued["subtotal_cents"], issued["vat_cents"], issued["payable_cents"]) == (682_43, 136_49, 818_92)
    text = paper(published, "french")
    assert "VAT 20 % French VAT, standard rate — article 278 CGI €136.49" in " ".join(text.split())
    assert "AMOUNT TO PAY\r\n€818.92" in text


def test_fees_are_those_of_the_main_organisation_and_its_sub_organisation(published):
    lines = published.rows("invoices/invoice_lines", MARCH, payer_id="main")
    issued = invoice(published, "main")

    assert {line["owner_id"]: line["amount_cents"] for line in lines} == {"main": 102_12, "branch": 12_51}
    assert (issued["fees_cents"], issued["subtotal_cents"]) == (114_63, 94_63)


def test_fees_per_organisation_and_the_negotiated_refill_are_printed(published):
    text = paper(published, "main")

    section = text[text.index("Fees per organisation") : text.index("Usage details")]
    assert re.findall(r"€[0-9.]+", section) == ["€102.12", "€12.51", "€114.63"]
    assert "h Refilling a custom amount of credits €0.00" in text
    assert "€94.63 of fees that your credits did not cover (over-consumption)" in text


def test_runtime_add_on_and_one_off_service_are_paid_from_one_coupon(published):
    movements = published.rows("credits/credit_movements", MARCH, payer_id="coupon")
    lines = {
        line["line_id"]: (line["slug"], line["amount_cents"])
        for line in published.rows("invoices/invoice_lines", MARCH, payer_id="coupon")
    }

    paid = {lines[m["line_id"]][0]: m["amount_cents"] for m in movements if m["kind"] == "free_used"}
    assert paid == {"apps.s": -1_20, "postgresql.xs_sml": -60, "one_shot": -40_00}
    assert {m["grant_id"] for m in movements} == {"WELCOME"}
    assert sum(amount for _, amount in lines.values()) == 41_80
    assert "WELCOME No expiry €100.00 \N{MINUS SIGN}€41.80 €0.00 €58.20" in paper(published, "coupon")


def test_an_invoice_that_credits_pay_in_full_asks_for_nothing_and_is_issued_all_the_same(published):
    assert invoice(published, "coupon")["payable_cents"] == 0
    assert "There is nothing to pay." in paper(published, "coupon")

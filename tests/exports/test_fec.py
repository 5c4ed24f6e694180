"""The file that French tax inspectors read: 18 columns, euros with a comma, what its form and encoding can carry."""

from datetime import date

import polars as pl
import pytest

from billing_pipeline.exports.fec import ForeignCurrency, UnknownSiren, name_fec, write_fec
from billing_pipeline.tables.journal import Journal

DAY, NEXT_DAY = date(2026, 11, 3), date(2026, 11, 10)
COLUMNS = [
    "JournalCode",
    "JournalLib",
    "EcritureNum",
    "EcritureDate",
    "CompteNum",
    "CompteLib",
    "CompAuxNum",
    "CompAuxLib",
    "PieceRef",
    "PieceDate",
    "EcritureLib",
    "Debit",
    "Credit",
    "EcritureLet",
    "DateLet",
    "ValidDate",
    "Montantdevise",
    "Idevise",
]


def journal(*rows: dict):
    """Postings of an invoice, in the order of their accounts."""
    defaults = {
        "journal": "VE", "entry_number": 1, "kind": "invoice", "posted_on": DAY, "validated_on": DAY,
        "account": "411000", "role": "receivable", "payer_id": "orga_1", "payer_name": "Acme", "debit_cents": 0,
        "credit_cents": 0, "currency": "EUR", "piece": "INV-2026-000001", "piece_on": DAY, "label": "Invoice",
        "invoice_number": "INV-2026-000001", "billing_month": "2026-10", "payment_id": None, "lettering": None,
        "lettered_on": None,
    }  # fmt: skip
    records = [defaults | {"posting": number} | row for number, row in enumerate(rows, 1)]
    schema = {
        name: pl.String if isinstance(kind, pl.Enum) else kind for name, kind in Journal.create_empty().schema.items()
    }
    return Journal.validate(pl.DataFrame(records, schema=schema), cast=True)


def read(content: bytes) -> list[dict[str, str]]:
    head, *lines, end = content.decode("iso8859-15").split("\r\n")
    assert end == ""
    assert head.split("\t") == COLUMNS
    return [dict(zip(COLUMNS, line.split("\t"), strict=True)) for line in lines]


def test_a_line_has_the_18_columns_of_the_law():
    settled = {"debit_cents": 818_92, "lettering": "INV-2026-000001", "lettered_on": NEXT_DAY}

    (line,) = read(write_fec(journal(settled)))

    assert line == {
        "JournalCode": "VE",
        "JournalLib": "Ventes",
        "EcritureNum": "VE000001",
        "EcritureDate": "20261103",
        "CompteNum": "411000",
        "CompteLib": "Clients",
        "CompAuxNum": "orga_1",
        "CompAuxLib": "Acme",
        "PieceRef": "INV-2026-000001",
        "PieceDate": "20261103",
        "EcritureLib": "Invoice",
        "Debit": "818,92",
        "Credit": "0,00",
        "EcritureLet": "INV-2026-000001",
        "DateLet": "20261110",
        "ValidDate": "20261103",
        "Montantdevise": "",
        "Idevise": "",
    }


@pytest.mark.parametrize(
    ("cents", "text"),
    [(1, "0,01"), (10, "0,10"), (100, "1,00"), (123_456_789_05, "123456789,05"), (10**12, "10000000000,00")],
)
def test_amounts_are_exact_with_a_comma_and_without_thousands(cents, text):
    debit, credit = read(write_fec(journal({"debit_cents": cents}, {"credit_cents": cents, "account": "706000"})))

    assert (debit["Debit"], debit["Credit"]) == (text, "0,00")
    assert (credit["Debit"], credit["Credit"]) == ("0,00", text)


@pytest.mark.parametrize(
    ("role", "name"), [("receivable", "orga_1"), ("advances", "orga_1"), ("unassigned", "orga_1"), ("bank", "")]
)
def test_customers_have_an_auxiliary_account_and_banks_have_none(role, name):
    (line,) = read(write_fec(journal({"debit_cents": 1, "role": role})))

    assert line["CompAuxNum"] == name


@pytest.mark.parametrize(
    ("name", "carried"),
    [
        ("Nuées & Cie – 10 €", "Nuées & Cie ? 10 €"),
        ("Łódź\tSp. z o.o.", "?ódz Sp. z o.o."),
        ("two\r\nlines | bar", "two  lines   bar"),
        ("雲", "?"),
    ],
    ids=["latin-9", "accents", "separators", "other scripts"],
)
def test_a_name_keeps_what_the_encoding_carries(name, carried):
    (line,) = read(write_fec(journal({"debit_cents": 1, "payer_name": name})))

    assert line["CompAuxLib"] == carried


def test_entries_stand_in_the_order_in_which_they_were_validated():
    rows = (
        {"debit_cents": 2, "journal": "BQ", "kind": "payment", "validated_on": NEXT_DAY},
        {"debit_cents": 1, "entry_number": 2, "validated_on": NEXT_DAY},
        {"debit_cents": 3, "posted_on": NEXT_DAY},
    )

    lines = read(write_fec(journal(*rows)))

    assert [line["EcritureNum"] for line in lines] == ["VE000001", "BQ000001", "VE000002"]
    assert [line["JournalLib"] for line in lines] == ["Ventes", "Règlements", "Ventes"]


def test_vat_that_falls_due_with_the_invoice_is_not_called_pending():
    rows = [{"credit_cents": 1, "role": "vat_pending", "account": account} for account in ("445740", "445710")]

    pending, due = read(write_fec(journal(*rows)))

    assert (pending["CompteLib"], due["CompteLib"]) == ("TVA collectée en attente d'encaissement", "TVA collectée")


def test_other_currencies_are_refused():
    with pytest.raises(ForeignCurrency, match="1 postings are in USD"):
        write_fec(journal({"debit_cents": 1}, {"debit_cents": 1, "currency": "USD"}))


def test_a_file_without_postings_has_its_columns():
    assert read(write_fec(journal())) == []


@pytest.mark.parametrize("legal_id", ["091427757", "091 427 757", "09142775700012"])
def test_the_file_is_named_by_siren_and_closing_day(legal_id):
    assert name_fec(legal_id, date(2026, 12, 31)) == "091427757FEC20261231.txt"


@pytest.mark.parametrize("legal_id", ["", "12345", "FR09142775", "HRB 12345"])
def test_without_a_siren_the_setting_is_named(legal_id):
    with pytest.raises(UnknownSiren, match=r"set seller\.legal_id"):
        name_fec(legal_id, date(2026, 12, 31))

"""Two closed months against the oracle: every line, statement, credit and draft, to the cent.

The landing holds a sample provider and the edges of `hard_months`, one organisation for each kind. Where the pipeline
is known not to bill as the feed contract says, the organisation is named in `KNOWN_GAPS`: a test must fail for it, and
tells when the gap is closed.
"""

import ast
import importlib
import json
import os
import subprocess
import sys
from collections.abc import Iterator
from fractions import Fraction
from pathlib import Path
from typing import Any

import pytest

from billing_pipeline.rules.period import Month
from billing_pipeline.sample.provider import write_sample

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
hard_months = importlib.import_module("hard_months")
oracle = importlib.import_module("oracle")

MONTHS = ("2026-08", "2026-09")
SETTINGS = """[seller]
name = "Edges SAS"
address = ["1 rue des Bords", "44000 Nantes", "France"]
country = "FR"
vat_number = "FR69091427757"
legal_id = "091427757"
legal_mention = "SAS au capital de 1 000 €, RCS Nantes 091 427 757"
email = "billing@edges.example"
iban = "FR7699999044170002109876517"
bic = "NMBSFRPPXXX"
"""

KNOWN_GAPS = {
    "edge_granules": "prices with granularity_seconds or minimum_seconds are refused",
    "edge_unusable": "unusable_intervals are not read",
    "edge_cents": "lines below the cent are rounded one by one, not together",
}
# A credit for everything goes first and pays what the narrow one may not pay; so the same case ends the same.
SAME_CASE = tuple(f"edge_spread_{number}" for number in range(4))

STATEMENT = ("fees", "free_before", "prepaid_before", "balance_before", "free_used", "free_expired", "prepaid_used")
STATEMENT += ("forecast", "pending", "refill", "balance_after", "change")
LOT = ("left_before", "used", "expired", "left_after")
DRAFT = ("fees", "used_credits", "subtotal", "vat", "payable")

Figure = tuple[tuple[str, str, Any], Any]  # (payer, kind of figure, which one): the figure
Figures = dict[tuple[str, str, Any], Any]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sample and the edges, landed together and closed for two months; `tables` holds what was published."""
    home = tmp_path_factory.mktemp("oracle")
    (home / "settings.toml").write_text(SETTINGS, encoding="utf-8")
    write_sample(home / "landing", organisations=12, first=Month(2026, 8), months=2)
    hard_months.land(home / "landing", hard_months.edge_rows())
    dagster = home / "dagster"
    dagster.mkdir()
    (dagster / "dagster.yaml").write_text("telemetry:\n  enabled: false\n", encoding="utf-8")
    environment = {name: value for name, value in os.environ.items() if not name.startswith("BILLING_")}
    environment |= {"BILLING_HOME": str(home), "DAGSTER_HOME": str(dagster)}
    command = [sys.executable, HERE / "close_months.py", home / "tables", "..".join(MONTHS)]
    closed = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    if closed.returncode:
        pytest.fail(closed.stderr + closed.stdout)
    return home


@pytest.fixture(scope="module")
def oracles(home: Path) -> dict[str, "oracle.Month"]:
    return oracle.bill_months(home / "landing", MONTHS)


@pytest.fixture(scope="module")
def published(home: Path) -> dict[str, Figures]:
    return {month: dict(_published_figures(home / "tables" / month)) for month in MONTHS}


@pytest.fixture(scope="module")
def expected(oracles: dict[str, "oracle.Month"]) -> dict[str, Figures]:
    return {name: dict(_oracle_figures(month)) for name, month in oracles.items()}


def _rows(tables: Path, table: str) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (tables / f"{table}.jsonl").read_text(encoding="utf-8").splitlines()]


def _line_key(row: dict[str, Any]) -> tuple[Any, ...]:
    tier_from = None if row["tier_from"] is None else int(row["tier_from"])
    factor = Fraction(row["price_factor_ppm"], 10**6)
    return row["owner_id"], row["resource_id"], row["slug"], row["zone"], row["price_id"], tier_from, factor


def _cents(row: dict[str, Any], names: tuple[str, ...]) -> tuple[int, ...]:
    return tuple(row[f"{name}_cents"] for name in names)


def _measured(row: dict[str, Any]) -> tuple[Any, ...]:
    return row["basis"], Fraction(row["quantity"]), row["duration_s"]


def _published_figures(tables: Path) -> Iterator[Figure]:
    parked = {(row["payer_id"], row["reason"]) for row in _rows(tables, "invoices/parked_organisations")}
    drafts = {row["payer_id"]: row for row in _rows(tables, "invoices/drafts")}
    unbilled = {payer_id for payer_id, _ in parked}
    for payer_id, reason in parked:
        yield (payer_id, "parked", reason), True
    for row in _rows(tables, "rating/charges"):
        if row["payer_id"] not in unbilled:
            figure = *_measured(row), row["charge_cents"], row["is_recurring"]
            yield (row["payer_id"], "charge", _line_key(row)), figure
    for row in _rows(tables, "invoices/invoice_lines"):
        yield (row["payer_id"], "line", _line_key(row)), (*_measured(row), row["amount_cents"])
    for payer_id, row in drafts.items():
        yield (payer_id, "draft", None), (*_cents(row, DRAFT), Fraction(row["vat_ppm"], 10**6))
    for row in _rows(tables, "credits/credit_statements"):
        if row["payer_id"] in drafts:
            yield (row["payer_id"], "statement", None), (*_cents(row, STATEMENT), row["is_custom_refill"])
    for row in _rows(tables, "credits/credit_lots"):
        if row["payer_id"] in drafts:
            yield (row["payer_id"], "lot", row["grant_id"]), _cents(row, LOT)


def _oracle_figures(month: "oracle.Month") -> Iterator[Figure]:
    for payer_id, reasons in month.parked.items():
        for reason in reasons:
            yield (payer_id, "parked", reason), True
    for charge in month.charges.values():
        if charge.payer_id not in month.parked:
            figure = charge.basis, charge.quantity, charge.seconds, charge.cents, charge.recurring
            yield (charge.payer_id, "charge", _key_of(charge)), figure
    for bill in month.bills.values():
        yield from _bill_figures(bill)


def _bill_figures(bill: "oracle.Bill") -> Iterator[Figure]:
    for charge in bill.charges:
        figure = charge.basis, charge.quantity, charge.seconds, charge.cents
        yield (bill.payer_id, "line", _key_of(charge)), figure
    if bill.discount:
        key = bill.payer_id, "discount", "discount", "", None, None, Fraction(1)
        yield (bill.payer_id, "line", key), ("discount", Fraction(-1), None, bill.discount)
    asked = bill.fees, bill.i - bill.d, bill.subtotal, bill.vat, bill.payable, bill.vat_rate
    yield (bill.payer_id, "draft", None), asked
    before = bill.fees, bill.a, bill.b, bill.before
    moved = bill.c, bill.d, bill.e, bill.f, bill.g, bill.h
    yield (bill.payer_id, "statement", None), (*before, *moved, bill.after, bill.i, bill.is_custom)
    for lot in bill.lots:
        yield (bill.payer_id, "lot", lot.grant_id), (lot.left_before, lot.used, lot.expired, lot.left_after)


def _key_of(charge: "oracle.Charge") -> tuple[Any, ...]:
    key = charge.key
    priced = (None, None) if charge.basis == "one_shot" else (key.price_id, key.tier_from)
    return key.owner_id, key.resource_id, key.slug, key.zone, *priced, key.price_factor


def _of_kind(figures: Figures, kind: str) -> Figures:
    return {key: figure for key, figure in figures.items() if key[1] == kind and key[0] not in KNOWN_GAPS}


def _of_payer(months: dict[str, Figures], payer_id: str) -> dict[str, Figures]:
    return {
        month: {key: figure for key, figure in figures.items() if key[0] == payer_id}
        for month, figures in months.items()
    }


@pytest.mark.parametrize("month", MONTHS)
@pytest.mark.parametrize("kind", ["parked", "charge", "line", "statement", "lot", "draft"])
def test_every_figure_is_the_oracles(
    published: dict[str, Figures], expected: dict[str, Figures], kind: str, month: str
) -> None:
    assert _of_kind(published[month], kind) == _of_kind(expected[month], kind) != {}


@pytest.mark.parametrize(
    "payer_id",
    [
        pytest.param(payer, marks=pytest.mark.xfail(reason=why, strict=True, raises=AssertionError))
        for payer, why in KNOWN_GAPS.items()
    ],
)
def test_a_known_gap_is_still_open(published: dict[str, Figures], expected: dict[str, Figures], payer_id: str) -> None:
    assert _of_payer(published, payer_id) == _of_payer(expected, payer_id)


def test_the_same_usage_and_credits_make_the_same_statement(published: dict[str, Figures]) -> None:
    told = [
        {(kind, str(which).replace(payer_id, "")): figure for (_, kind, which), figure in of_payer.items()}
        for payer_id in SAME_CASE
        for of_payer in [_of_payer(published, payer_id)["2026-08"]]
    ]
    credits = [{key: figure for key, figure in each.items() if key[0] in ("lot", "statement")} for each in told]

    assert credits == credits[:1] * len(SAME_CASE)


def test_rows_that_are_wrong_are_quarantined_and_no_others(home: Path, oracles: dict[str, "oracle.Month"]) -> None:
    quarantined = {
        (row["feed"], row["path"], row["file_row"], row["reason"])
        for month in MONTHS
        for row in _rows(home / "tables" / month, "usage/quarantine")
    }

    assert quarantined == set(oracles["2026-09"].quarantined)


def test_the_landing_holds_what_the_oracle_is_there_for(oracles: dict[str, "oracle.Month"]) -> None:
    august, september = (oracles[month] for month in MONTHS)

    assert {reason for *_, reason in september.quarantined} == {"id_syntax", "negative", "stop_before_start"}
    assert {charge.basis for charge in august.charges.values()} == {"runtime", "stored", "moved", "units", "one_shot"}
    assert any(bill.discount for bill in august.bills.values())
    assert any(bill.d for bill in august.bills.values())
    assert any(bill.g for bill in september.bills.values())
    assert any(bill.is_custom for bill in september.bills.values())
    assert all(august.bills[payer_id].is_order_felt for payer_id in SAME_CASE)


def test_the_oracle_shares_no_code_with_the_pipeline() -> None:
    tree = ast.parse(Path(oracle.__file__).read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    modules = {name.name for node in imports for name in node.names}
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}

    assert {module.split(".")[0] for module in modules} - set(sys.stdlib_module_names) == {"pyarrow"}

"""Two closed months against the oracle: every line, statement, credit and draft, to the cent.

The landing holds a sample provider and the edges of `hard_months`, one organisation for each kind. Closing it is left
to the slow suite, for `test_generated_months` closes the same edges beside generated organisations; what the oracle
says of them is looked at here in any case.
"""

import ast
import importlib
import sys
from collections.abc import Iterable
from pathlib import Path

import pytest

from billing_pipeline.rules.period import Month
from billing_pipeline.sample.provider import write_sample

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
figures = importlib.import_module("figures")
hard_months = importlib.import_module("hard_months")
oracle = importlib.import_module("oracle")

MONTHS = ("2026-08", "2026-09")
# A credit for everything goes first and pays what the narrow one may not pay; so the same case ends the same.
SAME_CASE = tuple(f"edge_spread_{number}" for number in range(4))

Months = dict[str, "figures.Figures"]


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A small sample and the edges, landed together."""
    home = tmp_path_factory.mktemp("oracle")
    figures.make_home(home)
    write_sample(home / "landing", organisations=12, first=Month(2026, 8), months=2)
    hard_months.land(home / "landing", hard_months.edge_rows())
    return home


@pytest.fixture(scope="module")
def closed(home: Path) -> Path:
    """Both months closed; `tables` holds what was published."""
    figures.close_months(home, MONTHS)
    return home


@pytest.fixture(scope="module")
def oracles(home: Path) -> dict[str, "oracle.Month"]:
    return oracle.bill_months(home / "landing", MONTHS)


@pytest.fixture(scope="module")
def published(closed: Path) -> Months:
    return {month: figures.published_figures(closed, month) for month in MONTHS}


@pytest.fixture(scope="module")
def expected(oracles: dict[str, "oracle.Month"]) -> Months:
    return {name: figures.oracle_figures(month) for name, month in oracles.items()}


def _of(told: "figures.Figures", kind: str, payers: Iterable[str] | None = None) -> "figures.Figures":
    return {name: each for name, each in told.items() if name[1] == kind and (payers is None or name[0] in payers)}


# The edges: test_generated_months. The sample's organisations are of no kind that it does not generate.
@pytest.mark.slow
@pytest.mark.parametrize("month", MONTHS)
@pytest.mark.parametrize("kind", ["parked", "charge", "duration", "line", "statement", "lot", "draft"])
def test_every_figure_is_the_oracles(published: Months, expected: Months, kind: str, month: str) -> None:
    said = _of(expected[month], kind)

    assert said
    assert figures.differences(_of(published[month], kind), said) == {}


def test_the_same_usage_and_credits_make_the_same_statement(expected: Months) -> None:
    told = [
        {
            (kind, str(which).replace(payer_id, "")): figure
            for (of_payer, kind, which), figure in expected["2026-08"].items()
            if of_payer == payer_id and kind in ("lot", "statement")
        }
        for payer_id in SAME_CASE
    ]

    assert told == told[:1] * len(SAME_CASE)


# test_generated_months: the rows that are refused are the same.
@pytest.mark.slow
def test_rows_that_are_wrong_are_quarantined_and_no_others(closed: Path, oracles: dict[str, "oracle.Month"]) -> None:
    quarantined = {
        (row["feed"], row["path"], row["file_row"], row["reason"])
        for month in MONTHS
        for row in figures.published_rows(closed, month, "usage/quarantine")
    }

    assert quarantined == set(oracles["2026-09"].quarantined)


def test_the_landing_holds_what_the_oracle_is_there_for(oracles: dict[str, "oracle.Month"]) -> None:
    august, september = (oracles[month] for month in MONTHS)

    assert {reason for *_, reason in september.quarantined} == {"id_syntax", "negative", "stop_before_start"}
    assert {charge.basis for charge in august.charges} == {"runtime", "stored", "moved", "units", "one_shot"}
    assert any(bill.adjustments for bill in august.bills.values())
    assert any(bill.d for bill in august.bills.values())
    assert any(bill.g for bill in september.bills.values())
    assert any(bill.is_custom for bill in september.bills.values())
    assert all(august.bills[payer_id].is_order_felt for payer_id in SAME_CASE)


@pytest.mark.parametrize("module", ["oracle", "oracle_events", "oracle_rating"])
def test_the_oracle_shares_no_code_with_the_pipeline(module: str) -> None:
    tree = ast.parse((HERE / f"{module}.py").read_text(encoding="utf-8"))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import)]
    modules = {name.name for node in imports for name in node.names}
    modules |= {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom) and node.module}
    own = {"oracle_events", "oracle_rating", "pyarrow"}

    assert {name.split(".")[0] for name in modules} - set(sys.stdlib_module_names) <= own

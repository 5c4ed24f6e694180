"""Generated organisations against the oracle: no figure of any of them may differ, and every case must have been met.

Two providers are closed side by side, each in a process of its own: two months of a summer, beside the edges of
`hard_months`, and three over the turn of a leap year. `tests/oracle/run.py` does the same with any number of
organisations and seeds.
"""

import importlib
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE))
figures = importlib.import_module("figures")
generated_months = importlib.import_module("generated_months")
hard_months = importlib.import_module("hard_months")
oracle = importlib.import_module("oracle")
run = importlib.import_module("run")

ORGANISATIONS = 2_500
EDGES = hard_months.edge_rows()
EDGE_MONTHS = ("2026-08", "2026-09")
PROVIDERS = {3: EDGE_MONTHS, 16: ("2027-12", "2028-01", "2028-02")}


@pytest.fixture(scope="module")
def compared(tmp_path_factory: pytest.TempPathFactory) -> dict[int, "run.Compared"]:
    """Every provider, billed by the pipeline and by the oracle."""
    homes = {seed: tmp_path_factory.mktemp(f"provider-{seed}") / "home" for seed in PROVIDERS}
    with ThreadPoolExecutor(len(PROVIDERS)) as closing:
        begun = {
            seed: run.begin(
                homes[seed],
                generated_months.Provider(seed, months),
                range(ORGANISATIONS),
                closing,
                EDGES if months == EDGE_MONTHS else None,
            )
            for seed, months in PROVIDERS.items()
        }
        return {seed: each.compare() for seed, each in begun.items()}


@pytest.fixture(scope="module")
def reached(compared: dict[int, "run.Compared"]) -> Counter[str]:
    return sum((each.reached for each in compared.values()), Counter())


@pytest.mark.parametrize("kind", figures.KINDS)
@pytest.mark.parametrize("seed", PROVIDERS)
def test_no_figure_of_any_organisation_differs(compared: dict[int, "run.Compared"], seed: int, kind: str) -> None:
    different = {
        (month, *name): each
        for month, differences in compared[seed].differences.items()
        for name, each in differences.items()
        if name[1] == kind
    }

    assert different == {}


@pytest.mark.parametrize("seed", PROVIDERS)
def test_the_rows_that_are_refused_are_the_same(compared: dict[int, "run.Compared"], seed: int) -> None:
    assert compared[seed].quarantine == set()


def test_so_much_is_compared(compared: dict[int, "run.Compared"]) -> None:
    assert sum(each.organisations for each in compared.values()) >= 5_000
    assert sum(each.lines for each in compared.values()) >= 13_000
    assert sum(each.statements for each in compared.values()) >= 6_300


def test_every_case_is_reached(reached: Counter[str]) -> None:
    assert [case for case in generated_months.TO_REACH if not reached[case]] == []


def test_every_kind_of_figure_is_among_what_is_compared(compared: dict[int, "run.Compared"]) -> None:
    assert {kind for each in compared.values() for kind in each.kinds} == set(figures.KINDS)


def test_the_same_seed_lands_the_same_rows(tmp_path: Path) -> None:
    for name in ("once", "again"):
        generated_months.Provider(7, ("2026-08", "2026-09")).write(tmp_path / name, range(60))
    once, again = (
        {path.name: path.read_bytes() for path in (tmp_path / name).rglob("*") if path.is_file()}
        for name in ("once", "again")
    )

    assert once == again

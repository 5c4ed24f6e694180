import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from rating_month import CASES, RatedMonth, rate_month


@pytest.fixture(scope="session")
def work(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("rating")


@pytest.fixture(scope="session")
def rated(work: Path) -> RatedMonth:
    """The month in which all cases of the collected modules are rated, by one dbt run."""
    return rate_month(work, CASES)

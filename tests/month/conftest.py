import sys
from collections.abc import Callable
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).parent))

from provider_home import ProviderHome


@pytest.fixture(scope="session")
def new_home(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., ProviderHome]:
    """Makes empty homes; Dagster's storage, which no figure depends on, is made once for all of them."""
    dagster = tmp_path_factory.mktemp("dagster")

    def make(name: str, **settings: str) -> ProviderHome:
        return ProviderHome(tmp_path_factory.mktemp(name), dagster, settings)

    return make

"""Tests marked `slow` run only where a marker expression asks for them: `pytest -m slow`.

Files that close whole months come first, so that no worker is left alone with a long one at the end. Every worker has a
core, so that Polars gets one thread: what does not depend on their number is compared with a process that has more.
"""

import gc
import os

import pytest
from hypothesis import settings

# Read when Polars is imported, which nothing has done yet.
os.environ.setdefault("POLARS_MAX_THREADS", "1")

# A worker holds a million objects of dagster and dbt, and walking over them for garbage took a tenth of its time.
gc.set_threshold(100_000, 50, 100)

# No law is a matter of time, and a busy machine is no reason for it to fail.
settings.register_profile("billing", deadline=None)
settings.load_profile("billing")


_WHOLE_MONTHS = ("month", "oracle")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew-golden", action="store_true", help="write the golden documents anew, then read the diff")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: item.path.parent.name not in _WHOLE_MONTHS)
    if config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]

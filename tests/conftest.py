"""Tests marked `slow` run only where a marker expression asks for them: `pytest -m slow`."""

import pytest
from hypothesis import settings

# No law is a matter of time, and a busy machine is no reason for it to fail.
settings.register_profile("billing", deadline=None)
settings.load_profile("billing")


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--renew-golden", action="store_true", help="write the golden documents anew, then read the diff")


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if config.option.markexpr:
        return
    slow = [item for item in items if item.get_closest_marker("slow")]
    config.hook.pytest_deselected(items=slow)
    items[:] = [item for item in items if item not in slow]

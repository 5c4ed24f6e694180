"""Runs tests until the first one fails, in the process of a trial."""

import pytest


class _AnyExample:
    """Takes the first failing example as it is: looking for a smaller one takes long."""

    def pytest_configure(self) -> None:
        # Not at the top: pytest wants to import its plugin first.
        from hypothesis import Phase, settings

        settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate), database=None)
        settings.load_profile("mutants")


def run_until_failure(plugin: object, *arguments: str) -> int:
    """Run pytest with a plugin; returns its exit code."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=1"]
    return int(pytest.main([*options, *arguments], plugins=[_AnyExample(), plugin]))

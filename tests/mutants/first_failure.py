"""Runs tests until the first one fails, in the process of a trial."""

import pytest


class _AnyExample:
    """Takes the first failing example as it is: looking for a smaller one takes long."""

    def pytest_configure(self) -> None:
        # Not at the top: pytest wants to import its plugin first.
        from hypothesis import HealthCheck, Phase, settings

        # A busy machine is no failure.
        patient = {"deadline": None, "suppress_health_check": list(HealthCheck)}
        settings.register_profile("mutants", phases=(Phase.explicit, Phase.generate), database=None, **patient)
        settings.load_profile("mutants")


def run_until_failure(plugins: list[object], *arguments: str) -> int:
    """Run pytest with plugins; returns its exit code."""
    options = ["-x", "-q", "-p", "no:cacheprovider", "--hypothesis-seed=1"]
    return int(pytest.main([*options, *arguments], plugins=[_AnyExample(), *plugins]))

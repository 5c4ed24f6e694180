"""Faults in `billing_pipeline.rules`, noticed where a test of the rules fails.

Every trial is a process of its own, forked from one that has imported the libraries but nothing of the pipeline: it
imports the faulty module instead of the sound one and runs the tests, those that name the module first.
"""

import importlib.abc
import importlib.machinery
import importlib.util
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from types import ModuleType

import dataframely  # noqa: F401  (imported once, before the forks)
import polars  # noqa: F401
import pytest
from python_mutants import SOUND, find_mutants

TESTS = Path(__file__).parents[1]
RULES = TESTS.parent / "billing_pipeline" / "rules"


class _FaultyModule(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Serves one module with a fault in it."""

    def __init__(self, name: str, path: Path, source: str) -> None:
        self._name, self._path, self._source = name, path, source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        del path, target
        if fullname != self._name:
            return None
        return importlib.util.spec_from_file_location(fullname, self._path, loader=self)

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self._source, self._path, "exec"), module.__dict__)  # noqa: S102


def trials(names: list[str]) -> Iterator[tuple[str, str, Callable[[], int]]]:
    """Every fault of the modules asked for."""
    for path in sorted(RULES.glob("*.py")):
        if names and path.stem not in names:
            continue
        source = path.read_text(encoding="utf-8")
        tests = _tests_of(path.stem)
        yield path.stem, SOUND, _trial(path, source, tests)
        for mutant in find_mutants(source):
            yield path.stem, mutant.describe(source), _trial(path, mutant.apply(source), tests)


def _trial(path: Path, source: str, tests: list[str]) -> Callable[[], int]:
    def run_tests() -> int:
        sys.meta_path.insert(0, _FaultyModule(f"billing_pipeline.rules.{path.stem}", path, source))
        return int(pytest.main(["-x", "-q", "-p", "no:cacheprovider", *tests]))

    return run_tests


def _tests_of(module: str) -> list[str]:
    """The tests of the rules and all others that import the module, those that name it first."""
    named, others = [], []
    for file in sorted(TESTS.rglob("test_*.py")):
        folder = file.relative_to(TESTS).parts[0]
        if folder in ("benchmarks", "month", "oracle", "faults", "mutants"):
            continue
        if f"rules.{module} " in file.read_text(encoding="utf-8"):
            named.append(str(file))
        elif folder == "spec":
            others.append(str(file))
    return [*named, *others]

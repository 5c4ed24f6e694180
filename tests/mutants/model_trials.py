"""Faults in the dbt project, noticed where a test of rating fails: its published figures, unit tests or data tests.

Every trial has a copy of the project with one fault in it, and a process of its own.
"""

import shutil
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import dbt.cli.main  # noqa: F401  (imported once, before the forks)
import polars  # noqa: F401
import pytest
from python_mutants import SOUND
from sql_mutants import find_mutants

RATING = Path(__file__).parents[1] / "rating"
PROJECT = RATING.parents[1] / "dbt_project"


def trials(names: list[str]) -> Iterator[tuple[str, str, Callable[[], int]]]:
    """Every fault of the models and macros asked for."""
    for path in sorted([*PROJECT.rglob("models/**/*.sql"), *PROJECT.rglob("macros/*.sql")]):
        if names and path.stem not in names:
            continue
        source = path.read_text(encoding="utf-8")
        yield path.stem, SOUND, _trial(path.relative_to(PROJECT), source)
        for mutant in find_mutants(source):
            yield path.stem, mutant.describe(source), _trial(path.relative_to(PROJECT), mutant.apply(source))


def _trial(file: Path, source: str) -> Callable[[], int]:
    def run_tests() -> int:
        with TemporaryDirectory() as folder:
            project = Path(folder) / "dbt_project"
            shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
            (project / file).write_text(source, encoding="utf-8")
            sys.path.insert(0, str(RATING))
            import rating_month

            rating_month.PROJECT = project
            return int(
                pytest.main(["-x", "-q", "-p", "no:cacheprovider", "--basetemp", f"{folder}/tests", str(RATING)])
            )

    return run_tests

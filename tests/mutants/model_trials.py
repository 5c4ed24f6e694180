"""Faults in the dbt project, noticed where a test of rating fails: its published figures, unit tests or data tests.

Every trial has a copy of the project with one fault in it, and a process of its own. What dbt has parsed of the sound
project is handed on, so that each trial parses only the file with the fault.
"""

import json
import os
import shutil
import sys
from collections.abc import Callable, Iterator
from inspect import signature
from pathlib import Path
from tempfile import TemporaryDirectory

import dbt.adapters.duckdb.connections
import dbt.cli.main  # noqa: F401  (imported once, before the forks)
import duckdb  # noqa: F401
import polars  # noqa: F401
import pytest
from first_failure import run_until_failure
from model_screen import ModelScreen
from python_mutants import SOUND
from sql_mutants import find_mutants

RATING = Path(__file__).parents[1] / "rating"
PROJECT = RATING.parents[1] / "dbt_project"


class _Quickly:
    """Starts from what dbt parsed before; tests that run dbt once more come after those that do not."""

    def __init__(self, parsed: Path) -> None:
        self._parsed = parsed

    @pytest.fixture(scope="session", autouse=True)
    def _hand_on(self, tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
        target = tmp_path_factory.getbasetemp() / "target"
        target.mkdir(exist_ok=True)
        if self._parsed.exists():
            shutil.copy(self._parsed, target / self._parsed.name)
        yield
        if not self._parsed.exists():
            shutil.copy(target / self._parsed.name, self._parsed)

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items.sort(key=lambda item: not {"work", "tmp_path"}.isdisjoint(signature(item.function).parameters))


def trials(
    names: list[str], is_wanted: Callable[[str, str], bool], *, is_quick: bool
) -> Iterator[tuple[str, str, Callable[[], int] | str]]:
    """Every fault of the models and macros asked for: its trial, or what the screen said (nothing: it passed)."""
    with TemporaryDirectory() as folder:
        parsed = Path(folder) / "partial_parse.msgpack"
        files = sorted([*PROJECT.rglob("models/**/*.sql"), *PROJECT.rglob("macros/*.sql")])
        yield "models", SOUND, _trial(files[0], files[0].read_text(encoding="utf-8"), parsed)
        asked = [path for path in files if not names or path.stem in names]
        asked.sort(key=lambda path: names.index(path.stem) if path.stem in names else -1)
        faults = [
            (path, mutant.describe(source), mutant.apply(source))
            for path in asked
            for source in [path.read_text(encoding="utf-8")]
            for mutant in find_mutants(source)
            if is_wanted(path.stem, mutant.describe(source))
        ]
        screened = _screen(faults, parsed, Path(folder) / "screened.json")
        for path, said, source in faults:
            told = screened.get((path.stem, said))
            has_passed = told is None or (told == "" and not is_quick)
            yield path.stem, said, _trial(path, source, parsed) if has_passed else told


def _screen(faults: list[tuple[Path, str, str]], parsed: Path, into: Path) -> dict[tuple[str, str], str]:
    """What the month of all cases shows of each fault, or the tests of the macros: a failure, or nothing."""
    child = os.fork()
    if child == 0:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, sys.stdout.fileno())
        try:
            with TemporaryDirectory() as folder:
                screen = ModelScreen(PROJECT, faults, into)
                run_until_failure([_Quickly(parsed), screen], "--basetemp", f"{folder}/tests", str(RATING))
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    told = [json.loads(line) for line in into.read_text(encoding="utf-8").splitlines()] if into.exists() else []
    return {(model, said): failure or "" for model, said, failure in told}


def _trial(path: Path, source: str, parsed: Path) -> Callable[[], int]:
    def run_tests() -> int:
        with TemporaryDirectory() as folder:
            project = Path(folder) / "dbt_project"
            shutil.copytree(PROJECT, project, ignore=shutil.ignore_patterns("target", "logs"))
            (project / path.relative_to(PROJECT)).write_text(source, encoding="utf-8")
            sys.path.insert(0, str(RATING))
            import rating_month

            rating_month.PROJECT = project
            return run_until_failure([_Quickly(parsed)], "--basetemp", f"{folder}/tests", str(RATING))

    return run_tests

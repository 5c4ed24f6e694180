"""Faults in `billing_pipeline.rules`, noticed where a test of the rules fails.

Every trial is a process of its own, forked from one that has imported the libraries but nothing of the pipeline: it
imports the faulty module instead of the sound one and runs the tests that reach the function with the fault, those
that name the module first, slow ones last. Which tests those are is found by running all of them once without a fault.
"""

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import json
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from types import CodeType, FrameType, ModuleType

import dataframely  # noqa: F401  (imported once, before the forks)
import polars  # noqa: F401
import pytest
from first_failure import run_until_failure
from python_mutants import SOUND, find_mutants

TESTS = Path(__file__).parents[1]
RULES = TESTS.parent / "billing_pipeline" / "rules"
#: A test that takes longer is tried after all the others.
SLOW_S = 0.5


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


class _Reach:
    """Records which functions of the rules each test enters, itself or through its fixtures, and how long it takes."""

    def __init__(self) -> None:
        self._entered: set[CodeType] = set()
        self._of_fixture: dict[str, set[CodeType]] = defaultdict(set)
        self.tests: dict[str, dict] = {}

    def _enter(self, frame: FrameType, event: str, arg: object) -> None:
        del event, arg
        if frame.f_code.co_filename.startswith(str(RULES)):
            self._entered.add(frame.f_code)

    @pytest.hookimpl(wrapper=True)
    def pytest_fixture_setup(self, fixturedef: pytest.FixtureDef) -> Iterator[None]:
        before, self._entered = self._entered, self._of_fixture[fixturedef.argname]
        sys.settrace(self._enter)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            self._entered = before

    @pytest.hookimpl(wrapper=True)
    def pytest_pyfunc_call(self, pyfuncitem: pytest.Function) -> Iterator[None]:
        self._entered, started = set(), process_time()
        sys.settrace(self._enter)
        try:
            return (yield)
        finally:
            sys.settrace(None)
            fixtures = (self._of_fixture[name] for name in pyfuncitem.fixturenames)
            self.tests[pyfuncitem.nodeid] = {
                "file": str(pyfuncitem.path),
                "s": process_time() - started,
                "entered": sorted({(code.co_filename, code.co_firstlineno) for code in self._entered.union(*fixtures)}),
            }


class _Only:
    """Runs the tests asked for in the order asked for."""

    def __init__(self, tests: list[str]) -> None:
        self._place = {test: place for place, test in enumerate(tests)}

    def pytest_collection_modifyitems(self, items: list[pytest.Item]) -> None:
        items[:] = sorted(
            (item for item in items if item.nodeid in self._place), key=lambda item: self._place[item.nodeid]
        )


def trials(names: list[str]) -> Iterator[tuple[str, str, Callable[[], int]]]:
    """Every fault of the modules asked for."""
    with TemporaryDirectory() as folder:
        reach = Path(folder) / "reach.json"
        yield "rules", SOUND, lambda: _find_reach(reach)
        yield from _faults(names, json.loads(reach.read_text(encoding="utf-8")))


def _faults(names: list[str], reach: dict[str, dict]) -> Iterator[tuple[str, str, Callable[[], int]]]:
    for path in sorted(RULES.glob("*.py"), key=lambda path: names.index(path.stem) if path.stem in names else -1):
        if names and path.stem not in names:
            continue
        source = path.read_text(encoding="utf-8")
        functions = _functions(source)
        for mutant in find_mutants(source):
            function = next((lines for lines in functions if mutant.line in lines), None)
            tests = _tests_that_enter(path, function, reach)
            yield path.stem, mutant.describe(source), _trial(path, mutant.apply(source), tests, reach)


def _functions(source: str) -> list[range]:
    """The lines of every outermost function, methods included."""
    tree = ast.parse(source)
    bodies = [tree.body, *(node.body for node in ast.walk(tree) if isinstance(node, ast.ClassDef))]
    functions = [node for body in bodies for node in body if isinstance(node, ast.FunctionDef)]
    return [
        range(min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]), node.end_lineno + 1)
        for node in functions
    ]


def _tests_that_enter(path: Path, function: range | None, reach: dict[str, dict]) -> list[str]:
    """Tests that enter a function; for what stands outside of functions, those that enter any of the module's."""
    reached = {
        test: run
        for test, run in reach.items()
        if any(file == str(path) and (function is None or line in function) for file, line in run["entered"])
    }
    naming = {file for file in _files_of(path.stem) if _names(path.stem, file)}
    return sorted(
        reached,
        key=lambda test: (reached[test]["s"] > SLOW_S, reached[test]["file"] not in naming, reached[test]["s"]),
    )


def _find_reach(into: Path) -> int:
    reach = _Reach()
    modules = [path.stem for path in RULES.glob("*.py")]
    files = sorted({file for module in modules for file in _files_of(module)})
    code = run_until_failure(reach, *files)
    into.write_text(json.dumps(reach.tests), encoding="utf-8")
    return code


def _trial(path: Path, source: str, tests: list[str], reach: dict[str, dict]) -> Callable[[], int]:
    def run_tests() -> int:
        if not tests:
            return 0
        sys.meta_path.insert(0, _FaultyModule(f"billing_pipeline.rules.{path.stem}", path, source))
        return run_until_failure(_Only(tests), *sorted({reach[test]["file"] for test in tests}))

    return run_tests


def _files_of(module: str) -> list[str]:
    """The tests of the rules, and all others that import the module."""
    return [
        str(file)
        for file in sorted(TESTS.rglob("test_*.py"))
        if (folder := file.relative_to(TESTS).parts[0]) == "spec"
        or (folder not in ("benchmarks", "month", "oracle", "faults", "mutants") and _names(module, str(file)))
    ]


def _names(module: str, file: str) -> bool:
    return f"rules.{module} " in Path(file).read_text(encoding="utf-8")

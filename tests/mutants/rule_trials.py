"""Faults in `billing_pipeline.rules`, noticed where a test of the rules fails.

All tests run once without a fault, to find which of them enter which function. Then each fault in a function is
screened: in one process for all faults of a module, the function's code is exchanged, and the quick tests that enter it
run. Faults that pass the screen, or stand outside of functions, have a trial: a process of their own, forked from one
that has imported the libraries but nothing of the pipeline, imports the faulty module instead of the sound one and runs
all tests that enter the function, those that name the module first, slow ones last.
"""

import ast
import importlib.abc
import importlib.machinery
import importlib.util
import json
import os
import signal
import sys
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from itertools import accumulate
from pathlib import Path
from tempfile import TemporaryDirectory
from time import process_time
from types import CodeType, FrameType, FunctionType, ModuleType
from typing import NamedTuple

import dataframely  # noqa: F401  (imported once, before the forks)
import polars  # noqa: F401
import pytest
from _pytest.runner import runtestprotocol
from first_failure import run_until_failure
from python_mutants import SOUND, Mutant, find_mutants

TESTS = Path(__file__).parents[1]
RULES = TESTS.parent / "billing_pipeline" / "rules"
#: A test that takes longer screens nothing, and is tried after all the others.
SLOW_S = 0.5
#: So much of the quick tests screens a fault.
SCREEN_S = 4
#: A fault may loop for ever.
SCREEN_CPU_S = 60


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


class _Function(NamedTuple):
    """An outermost function or a method: its lines, and the first one after its arguments."""

    name: str
    lines: range
    body_line: int


class _Fault(NamedTuple):
    """A fault with the tests that enter its function, first those that are likely to notice it."""

    mutant: Mutant
    said: str
    function: _Function | None
    tests: list[str]


class _Screen:
    """Exchanges the code of one function after the other, and notes which test fails first."""

    def __init__(self, path: Path, faults: list[_Fault], into: Path) -> None:
        self._path, self._faults, self._into = path, faults, into

    def pytest_runtestloop(self, session: pytest.Session) -> bool:
        items = {item.nodeid: item for item in session.items}
        module = importlib.import_module(f"billing_pipeline.rules.{self._path.stem}")
        source = self._path.read_text(encoding="utf-8")
        signal.signal(signal.SIGVTALRM, _stop)
        for fault in self._faults:
            function = _find_function(module, fault.function.name)
            sound = function.__code__
            function.__code__ = _code_of(fault.function.name, compile(fault.mutant.apply(source), self._path, "exec"))
            signal.setitimer(signal.ITIMER_VIRTUAL, SCREEN_CPU_S)
            try:
                failure = self._first_failure(session, [items[test] for test in fault.tests])
            finally:
                signal.setitimer(signal.ITIMER_VIRTUAL, 0)
                function.__code__ = sound
            with self._into.open("a", encoding="utf-8") as lines:
                lines.write(json.dumps([fault.said, failure]) + "\n")
        return True

    @staticmethod
    def _first_failure(session: pytest.Session, items: list[pytest.Item]) -> str | None:
        for item, following in zip(items, [*items[1:], None], strict=True):
            for report in runtestprotocol(item, log=False, nextitem=following):
                if report.failed:
                    session._setupstate.teardown_exact(None)
                    told = getattr(report.longrepr, "reprcrash", None)
                    return f"FAILED {item.nodeid} - {told.message if told else report.longreprtext}"[:500]
        return None


def _stop(signum: int, frame: FrameType | None) -> None:
    del signum, frame
    message = f"no end after {SCREEN_CPU_S} s"
    raise TimeoutError(message)


def _find_function(module: ModuleType, name: str) -> FunctionType:
    owner, _, method = name.rpartition(".")
    found = vars(getattr(module, owner) if owner else module)[method]
    return getattr(found, "fget", None) or getattr(found, "__func__", found)


def _code_of(name: str, code: CodeType) -> CodeType:
    for part in name.split("."):
        code = next(inner for inner in code.co_consts if isinstance(inner, CodeType) and inner.co_name == part)
    return code


def trials(
    names: list[str], is_wanted: Callable[[str, str], bool], *, is_quick: bool
) -> Iterator[tuple[str, str, Callable[[], int] | str]]:
    """Every fault of the modules asked for: its trial, or what the screen said (nothing: it passed)."""
    with TemporaryDirectory() as folder:
        reach_file = Path(folder) / "reach.json"
        yield "rules", SOUND, lambda: _find_reach(reach_file)
        reach = json.loads(reach_file.read_text(encoding="utf-8"))
        for path in sorted(RULES.glob("*.py"), key=lambda path: names.index(path.stem) if path.stem in names else -1):
            if names and path.stem not in names:
                continue
            source = path.read_text(encoding="utf-8")
            faults = [fault for fault in _faults(path, source, reach) if is_wanted(path.stem, fault.said)]
            screened = _screen(path, faults, reach, Path(folder) / f"{path.stem}.json")
            for fault in faults:
                told = screened.get(fault.said)
                trial = _trial(path, fault.mutant.apply(source), fault.tests, reach)
                yield path.stem, fault.said, trial if told is None or (told == "" and not is_quick) else told


def _faults(path: Path, source: str, reach: dict[str, dict]) -> Iterator[_Fault]:
    functions = _functions(source)
    naming = {file for file in _files_of(path.stem) if _names(path.stem, file)}
    for mutant in find_mutants(source):
        function = next((function for function in functions if mutant.line in function.lines), None)
        reached = {
            test: run
            for test, run in reach.items()
            # For what stands outside of functions: those that name the module or enter any of its functions.
            if (function is None and run["file"] in naming)
            or any(file == str(path) and (function is None or line in function.lines) for file, line in run["entered"])
        }
        tests = sorted(
            reached, key=lambda test: (reach[test]["s"] > SLOW_S, reach[test]["file"] not in naming, reach[test]["s"])
        )
        yield _Fault(mutant, mutant.describe(source), function, tests)


def _functions(source: str) -> list[_Function]:
    tree = ast.parse(source)
    bodies = [("", tree.body), *((f"{node.name}.", node.body) for node in tree.body if isinstance(node, ast.ClassDef))]
    return [
        _Function(
            prefix + node.name,
            range(min([node.lineno, *(decorator.lineno for decorator in node.decorator_list)]), node.end_lineno + 1),
            node.body[0].lineno,
        )
        for prefix, body in bodies
        for node in body
        if isinstance(node, ast.FunctionDef)
    ]


def _screen(path: Path, faults: list[_Fault], reach: dict[str, dict], into: Path) -> dict[str, str]:
    """What quick tests say of each fault: a failure, or nothing; where they break off, the rest is left to trials."""
    quick = [
        fault._replace(tests=tests)
        for fault in faults
        if fault.function is not None and fault.mutant.line >= fault.function.body_line
        if (tests := _quick(fault.tests, reach))
    ]
    files = sorted({reach[test]["file"] for fault in quick for test in fault.tests})
    child = os.fork()
    if child == 0:
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, sys.stdout.fileno())
        try:
            run_until_failure([_Screen(path, quick, into)], *files)
        finally:
            os._exit(0)
    os.waitpid(child, 0)
    told = [json.loads(line) for line in into.read_text(encoding="utf-8").splitlines()] if into.exists() else []
    return {said: failure or "" for said, failure in told}


def _quick(tests: list[str], reach: dict[str, dict]) -> list[str]:
    spent = accumulate(reach[test]["s"] for test in tests)
    return [
        test for test, by_then in zip(tests, spent, strict=True) if by_then <= SCREEN_S and reach[test]["s"] <= SLOW_S
    ]


def _find_reach(into: Path) -> int:
    reach = _Reach()
    modules = [path.stem for path in RULES.glob("*.py")]
    files = sorted({file for module in modules for file in _files_of(module)})
    code = run_until_failure([reach], *files)
    into.write_text(json.dumps(reach.tests), encoding="utf-8")
    return code


def _trial(path: Path, source: str, tests: list[str], reach: dict[str, dict]) -> Callable[[], int]:
    def run_tests() -> int:
        if not tests:
            return 0
        sys.meta_path.insert(0, _FaultyModule(f"billing_pipeline.rules.{path.stem}", path, source))
        return run_until_failure([_Only(tests)], *sorted({reach[test]["file"] for test in tests}))

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

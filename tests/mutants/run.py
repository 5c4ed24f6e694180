"""Puts one small fault at a time into the rules, or into the SQL that carries money, and counts whether a test notices.

    python tests/mutants/run.py rules [MODULE ...]
    python tests/mutants/run.py models [MODEL ...]

Survivors that change nothing are listed with their reason in `equivalent.toml`. Any other survivor is a gap in the
tests; those that are known are listed in `gaps.toml` with what nobody looks at. Faults that nothing can run with (a
module that does not import, SQL that does not bind) count for nothing. Ends with an error where fewer than 95 % of the
faults that change something are noticed.
"""

import argparse
import json
import os
import re
import resource
import signal
import sys
import tomllib
import traceback
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path
from tempfile import TemporaryFile
from typing import IO

import pytest

HERE = Path(__file__).parent
# Run as a script: the repository lies two folders up, the other modules beside.
sys.path.insert(0, str(HERE.parents[1]))
sys.path.insert(0, str(HERE))

from python_mutants import SOUND, VOID  # noqa: E402

WORKERS = len(os.sched_getaffinity(0))
REQUIRED_PER_CENT = 95


class Fate(StrEnum):
    """What became of a fault."""

    NOTICED = "noticed"
    SURVIVED = "survived"
    #: Nothing runs with it.
    VOID = "void"


@dataclass(frozen=True)
class Outcome:
    """What became of one fault, and in which words."""

    place: str
    fault: str
    fate: Fate
    reason: str


#: A fault to try: where, what, and the trial, which returns pytest's exit code, or what a screen said already.
Trial = tuple[str, str, Callable[[], int] | str]
#: A fault may loop for ever: that is noticed, too.
PATIENCE_CPU_S = 300
#: What an engine says of SQL that it cannot run at all, and dbt of a model that breaks its contract.
_NO_CONFTEST = "ImportError while loading conftest"
_CANNOT_RUN = re.compile(r"(Parser|Binder|Catalog|Compilation) Error|This model has an enforced contract that failed")
#: The first failure in pytest's summary.
_FAILURE = re.compile(r"^(?:FAILED|ERROR) .*", re.MULTILINE)


def try_all(trials: Iterator[Trial], record: Path) -> list[Outcome]:
    """Try every fault in a process of its own, as many at once as the machine has cores."""
    running: dict[int, tuple[str, str, IO[bytes]]] = {}
    outcomes: list[Outcome] = []

    def note(outcome: Outcome) -> None:
        outcomes.append(outcome)
        is_gap = outcome.fault != SOUND and outcome.fate == Fate.SURVIVED
        sys.stdout.write(f"\n{outcome.place}: {outcome.fault}\n" if is_gap else ".")
        sys.stdout.flush()
        with record.open("a", encoding="utf-8") as lines:
            lines.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")

    for place, fault, trial in trials:
        if isinstance(trial, str):
            fate = Fate.VOID if trial.startswith(VOID) else Fate.NOTICED if trial else Fate.SURVIVED
            note(Outcome(place, fault, fate, trial))
            continue
        running |= _fork(place, fault, trial)
        # Later trials build on the sound one.
        while len(running) == WORKERS or (running and fault == SOUND):
            note(_next_outcome(running))
    while running:
        note(_next_outcome(running))
    return outcomes


def _fork(place: str, fault: str, trial: Callable[[], int]) -> dict[int, tuple[str, str, IO[bytes]]]:
    said = TemporaryFile()  # noqa: SIM115  (closed by whoever reads it)
    child = os.fork()
    if child == 0:
        # Wide enough for pytest to say why a test failed.
        os.environ["COLUMNS"] = "400"
        resource.setrlimit(resource.RLIMIT_CPU, (PATIENCE_CPU_S, PATIENCE_CPU_S))
        os.dup2(said.fileno(), sys.stdout.fileno())
        os.dup2(said.fileno(), sys.stderr.fileno())
        code = pytest.ExitCode.INTERNAL_ERROR
        try:
            code = trial()
        except BaseException:
            traceback.print_exc()
        finally:
            sys.stdout.flush()
            sys.stderr.flush()
            os._exit(code)
    return {child: (place, fault, said)}


def _next_outcome(running: dict[int, tuple[str, str, IO[bytes]]]) -> Outcome:
    child, status = os.wait()
    place, fault, said = running.pop(child)
    with said:
        said.seek(0)
        fate, reason = _judge(os.waitstatus_to_exitcode(status), said.read().decode(errors="replace"))
    if fault == SOUND and fate != Fate.SURVIVED:
        sys.exit(f"{place}: the tests fail without any fault; mend that first\n{reason}")
    return Outcome(place, fault, fate, reason)


def _judge(code: int, said: str) -> tuple[Fate, str]:
    failure = _FAILURE.search(said)
    reason = failure[0] if failure else said[-2000:]
    match code:
        case pytest.ExitCode.OK:
            return Fate.SURVIVED, ""
        case pytest.ExitCode.TESTS_FAILED if not _CANNOT_RUN.search(said):
            return Fate.NOTICED, reason
        case pytest.ExitCode.TESTS_FAILED | pytest.ExitCode.INTERRUPTED:
            # A module that does not import interrupts the collection of tests.
            return Fate.VOID, reason
        case pytest.ExitCode.USAGE_ERROR if _NO_CONFTEST in said:
            return Fate.VOID, reason
        case _ if -code in (signal.SIGXCPU, signal.SIGKILL):
            return Fate.NOTICED, f"no end after {PATIENCE_CPU_S} s"
        case _:
            sys.exit(f"the trial itself failed with {code}\n{reason}")


def report(outcomes: list[Outcome]) -> bool:
    """Print the figures; whether enough was noticed, and every equivalent fault that is listed still exists."""
    voids = sum(outcome.fate == Fate.VOID for outcome in outcomes)
    outcomes = [outcome for outcome in outcomes if outcome.fault != SOUND and outcome.fate != Fate.VOID]
    listed, known = (
        tomllib.loads((HERE / name).read_text(encoding="utf-8")) for name in ("equivalent.toml", "gaps.toml")
    )
    survivors = [outcome for outcome in outcomes if outcome.fate == Fate.SURVIVED]
    gaps = [outcome for outcome in survivors if outcome.fault not in listed.get(outcome.place, {})]
    noticed = len(outcomes) - len(survivors)
    places = {outcome.place for outcome in outcomes}
    found = {(outcome.place, outcome.fault) for outcome in survivors}
    stale = [(name, place, fault) for name, of_file in (("equivalent.toml", listed), ("gaps.toml", known))
             for place, faults in of_file.items() if place in places for fault in faults
             if (place, fault) not in found]  # fmt: skip
    per_cent = 100 * noticed / max(noticed + len(gaps), 1)
    sys.stdout.write(f"\n{len(outcomes)} faults: {len(survivors) - len(gaps)} change nothing; of the others {noticed} "
                     f"noticed ({per_cent:.1f} %), {len(gaps)} gaps; {voids} more cannot run\n")  # fmt: skip
    for outcome in gaps:
        reason = known.get(outcome.place, {}).get(outcome.fault, "not listed yet")
        sys.stdout.write(f"gap    {outcome.place}: {outcome.fault} ({reason})\n")
    for name, place, fault in stale:
        sys.stdout.write(f"stale  {place}: {fault} is listed in {name} but is noticed or gone\n")
    return per_cent >= REQUIRED_PER_CENT and not stale


def main() -> None:
    """Try the faults that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rules", "models"))
    parser.add_argument("names", nargs="*", help="modules of billing_pipeline.rules, or dbt models; default: all")
    parser.add_argument("--record", type=Path, default=Path(os.devnull), help="adds a line of JSON for every fault: "
                        "what became of it, which test noticed it")  # fmt: skip
    parser.add_argument("--quick", action="store_true", help="what passes the screen counts as survived")
    parser.add_argument("--again", type=Path, help="try only those faults that survived according to this record")
    asked = parser.parse_args()
    if asked.what == "rules":
        from rule_trials import trials
    else:
        from model_trials import trials
    again = _survivors(asked.again) if asked.again else None
    wanted = trials(asked.names, lambda place, fault: again is None or (place, fault) in again, is_quick=asked.quick)
    sys.exit(0 if report(try_all(wanted, asked.record)) else 1)


def _survivors(record: Path) -> set[tuple[str, str]]:
    outcomes = [json.loads(line) for line in record.read_text(encoding="utf-8").splitlines()]
    return {(outcome["place"], outcome["fault"]) for outcome in outcomes if outcome["fate"] == Fate.SURVIVED}


if __name__ == "__main__":
    main()

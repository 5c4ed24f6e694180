"""Puts one small fault at a time into the rules, or into the SQL that carries money, and counts whether a test notices.

    python tests/mutants/run.py rules [MODULE ...]
    python tests/mutants/run.py models [MODEL ...]

Survivors that change nothing are listed with their reason in `equivalent.toml`; any other survivor is a gap in the
tests. Ends with an error where fewer than 95 % of the faults are noticed.
"""

import argparse
import os
import signal
import sys
import tomllib
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

HERE = Path(__file__).parent
# Run as a script: the repository lies two folders up, the other modules beside.
sys.path.insert(0, str(HERE.parents[1]))
sys.path.insert(0, str(HERE))

from python_mutants import SOUND  # noqa: E402

WORKERS = len(os.sched_getaffinity(0))
REQUIRED_PER_CENT = 95


@dataclass(frozen=True)
class Outcome:
    """What became of one fault."""

    place: str
    fault: str
    is_noticed: bool


#: A fault to try: where, what, and the trial, which exits with 0 where nobody notices.
Trial = tuple[str, str, Callable[[], int]]
#: A fault may loop for ever: that is noticed, too.
PATIENCE_S = 300


def try_all(trials: Iterator[Trial]) -> list[Outcome]:
    """Try every fault in a process of its own, as many at once as the machine has cores."""
    running: dict[int, tuple[str, str]] = {}
    outcomes: list[Outcome] = []
    for place, fault, trial in trials:
        if len(running) == WORKERS:
            outcomes.append(_next_outcome(running))
        running[_fork(trial)] = place, fault
    while running:
        outcomes.append(_next_outcome(running))
    return outcomes


def _fork(trial: Callable[[], int]) -> int:
    child = os.fork()
    if child == 0:
        signal.alarm(PATIENCE_S)
        silence = os.open(os.devnull, os.O_WRONLY)
        os.dup2(silence, sys.stdout.fileno())
        os.dup2(silence, sys.stderr.fileno())
        # Whatever goes wrong on the way is noticed.
        code = 1
        try:
            code = trial()
        finally:
            os._exit(code)
    return child


def _next_outcome(running: dict[int, tuple[str, str]]) -> Outcome:
    child, status = os.wait()
    place, fault = running.pop(child)
    outcome = Outcome(place, fault, os.waitstatus_to_exitcode(status) != 0)
    if fault == SOUND and outcome.is_noticed:
        sys.exit(f"{place}: the tests fail without any fault; mend that first")
    sys.stdout.write("." if fault == SOUND or outcome.is_noticed else f"\n{place}: {fault}\n")
    sys.stdout.flush()
    return outcome


def report(outcomes: list[Outcome]) -> bool:
    """Print the figures; whether enough was noticed, and every equivalent fault that is listed still exists."""
    outcomes = [outcome for outcome in outcomes if outcome.fault != SOUND]
    listed = tomllib.loads((HERE / "equivalent.toml").read_text(encoding="utf-8"))
    survivors = [outcome for outcome in outcomes if not outcome.is_noticed]
    gaps = [outcome for outcome in survivors if outcome.fault not in listed.get(outcome.place, {})]
    noticed = len(outcomes) - len(survivors)
    places = {outcome.place for outcome in outcomes}
    found = {(outcome.place, outcome.fault) for outcome in survivors}
    stale = [(place, fault) for place, faults in listed.items() if place in places for fault in faults
             if (place, fault) not in found]  # fmt: skip
    per_cent = 100 * noticed / max(len(outcomes), 1)
    sys.stdout.write(f"\n{len(outcomes)} faults: {noticed} noticed ({per_cent:.1f} %), "
                     f"{len(survivors) - len(gaps)} change nothing, {len(gaps)} gaps\n")  # fmt: skip
    for outcome in gaps:
        sys.stdout.write(f"gap    {outcome.place}: {outcome.fault}\n")
    for place, fault in stale:
        sys.stdout.write(f"stale  {place}: {fault} is listed in equivalent.toml but is noticed or gone\n")
    return per_cent >= REQUIRED_PER_CENT and not stale


def main() -> None:
    """Try the faults that were asked for."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("what", choices=("rules", "models"))
    parser.add_argument("names", nargs="*", help="modules of billing_pipeline.rules, or dbt models; default: all")
    asked = parser.parse_args()
    if asked.what == "rules":
        from rule_trials import trials
    else:
        from model_trials import trials
    sys.exit(0 if report(try_all(trials(asked.names))) else 1)


if __name__ == "__main__":
    main()

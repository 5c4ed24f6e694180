"""Bills generated organisations with the pipeline and with the oracle until so many are compared; says what differs.

`python tests/oracle/run.py --organisations 100000 [--seed 7] [--batch 5000] [--keep FOLDER]`. A batch is one provider
of two or three months; the first one has the seed, each next one the next seed, so that any can be run again alone. The
landing of a batch that differs is kept, and a small one beside it of the payers who differ. Exits with 1 if any does.
"""

import argparse
import shutil
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import Executor, Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from random import Random, SystemRandom

sys.path.insert(0, str(Path(__file__).parent))

import figures
from generated_months import TO_REACH, Provider
from hard_months import Rows, land
from oracle import bill_months


@dataclass(frozen=True)
class Compared:
    """One provider's months, billed twice."""

    organisations: int
    rows: int
    lines: int
    statements: int
    kinds: frozenset[str]
    reached: Counter[str]
    differences: dict[str, dict[figures.Name, tuple[object, object]]]
    quarantine: set[tuple[str, str, int, str]]

    @property
    def payers_who_differ(self) -> set[str]:
        return {name[0] for each in self.differences.values() for name in each}

    @property
    def is_same(self) -> bool:
        return not self.payers_who_differ and not self.quarantine


@dataclass(frozen=True)
class Begun:
    """A provider that has landed and that the pipeline is closing the months of."""

    home: Path
    provider: Provider
    organisations: int
    rows: int
    closing: Future[None]

    def compare(self) -> Compared:
        """Bill the months with the oracle, wait for the pipeline, and hold every figure against its other."""
        months = bill_months(self.home / "landing", self.provider.months, plan=self.provider.plan())
        self.closing.result()
        reached: Counter[str] = Counter()
        said: Counter[str] = Counter()
        differences = {}
        for name, month in months.items():
            of_oracle = figures.oracle_figures(month)
            published = figures.published_figures(self.home, name)
            differences[name] = figures.differences(published, of_oracle)
            for (_, kind, _), each in of_oracle.items():
                said[kind] += len(each)
            reached += month.reached
        quarantined = {
            (row["feed"], row["path"], row["file_row"], row["reason"])
            for name in self.provider.months
            for row in figures.published_rows(self.home, name, "usage/quarantine")
        }
        return Compared(
            organisations=self.organisations,
            rows=self.rows,
            lines=said["charge"],
            statements=said["statement"],
            kinds=frozenset(+said),
            reached=reached,
            differences=differences,
            quarantine=quarantined ^ set(months[self.provider.months[-1]].quarantined),
        )


def begin(
    home: Path, provider: Provider, numbers: Sequence[int], executor: Executor, beside: Rows | None = None
) -> Begun:
    """Land a provider in a home, other rows beside it, and start closing its months in a process beside this one."""
    figures.make_home(home, provider.settings())
    rows = provider.write(home / "landing", numbers)
    if beside:
        land(home / "landing", beside)
    closing = executor.submit(figures.close_months, home, provider.months)
    return Begun(home, provider, len(numbers), rows, closing)


def months_of(seed: int) -> tuple[str, ...]:
    """Two or three months that follow each other: any length of month, and the turn of a year."""
    rng = Random(seed)
    year, number = rng.randrange(2026, 2029), rng.randrange(1, 13)
    count = rng.choice((2, 2, 3))
    return tuple(f"{year + (number + n - 1) // 12}-{(number + n - 1) % 12 + 1:02}" for n in range(count))


def _tell(compared: Compared) -> None:
    for month, differences in compared.differences.items():
        for name, (published, said) in list(differences.items())[:20]:
            print(f"  {month} {name}\n    pipeline {published}\n    oracle   {said}")
    for row in sorted(compared.quarantine)[:20]:
        print(f"  quarantined by one only: {row}")


def _keep(compared: Compared, home: Path, provider: Provider, kept: Path) -> None:
    """Keep the landing, and a small one of the payers who differ alone."""
    shutil.copytree(home / "landing", kept / "landing", dirs_exist_ok=True)
    alone = sorted({int(payer.split("_")[0][1:]) for payer in compared.payers_who_differ})
    Provider(provider.seed, provider.months).write(kept / "alone" / "landing", alone)
    print(f"  kept in {kept}; who differs: {alone}")


def _run_batch(seed: int, numbers: Sequence[int], kept: Path) -> Compared:
    provider, started = Provider(seed, months_of(seed)), time.monotonic()
    with tempfile.TemporaryDirectory(prefix="oracle-") as folder, ThreadPoolExecutor(1) as executor:
        home = Path(folder) / "home"
        compared = begin(home, provider, numbers, executor).compare()
        took = time.monotonic() - started
        print(f"seed {seed} {provider.months[0]}..{provider.months[-1]}: {compared.lines:,} lines in {took:.0f} s")
        if not compared.is_same:
            _tell(compared)
            _keep(compared, home, provider, kept)
    return compared


def main() -> None:
    arguments = argparse.ArgumentParser(description=__doc__)
    arguments.add_argument("--organisations", type=int, default=100_000)
    arguments.add_argument("--batch", type=int, default=5_000)
    arguments.add_argument("--seed", type=int, default=None, help="of the first batch; drawn when absent")
    arguments.add_argument("--keep", type=Path, default=Path("oracle_mismatches"))
    asked = arguments.parse_args()
    seed = SystemRandom().randrange(10**9) if asked.seed is None else asked.seed
    print(f"seed {seed}")
    total: Counter[str] = Counter()
    reached: Counter[str] = Counter()
    started = time.monotonic()
    for number, first in enumerate(range(0, asked.organisations, asked.batch)):
        numbers = range(min(asked.batch, asked.organisations - first))
        compared = _run_batch(seed + number, numbers, asked.keep / f"seed-{seed + number}")
        reached += compared.reached
        total.update(
            {
                "organisations": compared.organisations,
                "rows": compared.rows,
                "lines compared": compared.lines,
                "statements compared": compared.statements,
                "organisations that differ": len(compared.payers_who_differ),
                "rows refused by one only": len(compared.quarantine),
            }
        )
    print("\ncases reached:")
    print("\n".join(f"{count:>11,} {case}" for case, count in sorted(reached.items()) if count))
    missed = [case for case in TO_REACH if not reached[case]]
    print(f"cases missed: {', '.join(missed) or 'none'}")
    print("\n".join(f"{count:>11,} {what}" for what, count in total.items()))
    print(f"{time.monotonic() - started:>11,.0f} seconds")
    sys.exit(bool(total["organisations that differ"] or total["rows refused by one only"]))


if __name__ == "__main__":
    main()

"""Months whose usage is published can be rated at once; nothing that one of them does reaches the other."""

import shutil
from collections.abc import Callable
from pathlib import Path

from provider_home import ProviderHome

from billing_pipeline.defs.rating import MARTS

RATE = str(Path(__file__).with_name("rate_month.py"))


def test_two_months_rated_at_once_in_two_processes_are_the_two_months_rated_in_turn(
    sample: ProviderHome, new_home: Callable[..., ProviderHome]
) -> None:
    home = new_home("parallel")
    shutil.copy(sample.folder / "books.sqlite", home.folder)
    for stage in ("usage", "accounts"):
        shutil.copytree(sample.folder / "warehouse" / stage, home.folder / "warehouse" / stage)

    processes = [home.start(RATE, month) for month in ("2026-01", "2026-02")]
    outputs = [process.communicate()[0] for process in processes]

    assert [process.returncode for process in processes] == [0, 0], outputs
    serial = {key: g for key, g in sample.published().items() if key[0].startswith("rating/")}
    parallel = {key: g for key, g in home.published().items() if key[0].startswith("rating/")}
    assert len(serial) == 2 * len(MARTS)
    assert {key: g.manifest for key, g in parallel.items()} == {key: g.manifest for key, g in serial.items()}

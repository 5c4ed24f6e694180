"""Several processes issue at once and are killed at random moments; numbers still run from 1 without a gap."""

import random
import sqlite3
import subprocess
import sys
import time
from collections import Counter
from contextlib import closing
from pathlib import Path

import pytest

from billing_pipeline.books import Books

REPOSITORY = Path(__file__).parents[2]
PROCESSES = 4

# Issues batches for organisations of its own and for some that every process issues, and moves the state of each last
# one; prints what was acknowledged.
ISSUER = """
import itertools, random, sys
from datetime import UTC, date, datetime
from pathlib import Path
from billing_pipeline.books import Books, IssueRequest
from billing_pipeline.rules.lifecycle import State
from billing_pipeline.rules.period import Month

path, name = Path(sys.argv[1]), sys.argv[2]
choices = random.Random(name)
month = Month(2026, 10)
books = Books(path)
for batch in itertools.count():
    payers = [f"{name}_{batch}_{place}" for place in range(choices.randrange(1, 4))] + [f"shared_{batch % 7}"]
    requests = [
        IssueRequest(payer, "invoice", month, month.first_day, month.last_day, "0", {"payable_cents": 1})
        for payer in payers
    ]
    issued = books.issue(requests, choices.choice("FG"), date(2026, 11, 3), as_of=datetime(2026, 11, 3, tzinfo=UTC))
    print(*(f"{document.request.payer_id}={document.number}" for document in issued), flush=True)
    own = issued[0].number
    books.move(own, State.PAYMENTHELD, reason="killed?", author=name, at=datetime(2026, 11, 4, tzinfo=UTC))
    print(f"held={own}", flush=True)
"""


def start_issuer(path: Path, name: str, acknowledgements: Path) -> subprocess.Popen:
    with acknowledgements.open("w") as output:
        return subprocess.Popen([sys.executable, "-c", ISSUER, str(path), name], cwd=REPOSITORY, stdout=output)


@pytest.mark.parametrize("kills", [20, pytest.param(200, marks=pytest.mark.slow)])
def test_numbers_have_no_gap_and_no_duplicate_when_processes_are_killed(tmp_path, kills):
    delays = random.Random(20261001)
    path = tmp_path / "books.sqlite"
    names = [f"orga_{number}" for number in range(PROCESSES + kills)]
    issuers = [start_issuer(path, name, tmp_path / name) for name in names[:PROCESSES]]
    exits = []
    for name in names[PROCESSES:]:
        time.sleep(delays.uniform(0.05, 0.2))
        victim = issuers.pop(delays.randrange(PROCESSES))
        victim.kill()
        exits.append(victim.wait())
        issuers.append(start_issuer(path, name, tmp_path / name))
    for issuer in issuers:
        issuer.kill()
        exits.append(issuer.wait())

    books = Books(path)
    books.verify()

    assert set(exits) == {-9}, "an issuer failed by itself"
    issued = books.issued()
    assert len(issued) > 2 * kills
    for series in ("F", "G"):
        serials = [document.serial for document in issued if document.series == series]
        assert serials == list(range(1, len(serials) + 1))
    payers = Counter(document.request.payer_id for document in issued)
    assert set(payers.values()) == {1}
    kept = {f"{document.request.payer_id}={document.number}" for document in issued}
    with closing(sqlite3.connect(path)) as connection:
        changes = connection.execute(
            "SELECT payload ->> '$.number', count(*) FROM entries WHERE kind = 'state_changed' GROUP BY 1"
        ).fetchall()
    assert {count for _, count in changes} == {1}
    kept |= {f"held={number}" for number, _ in changes}
    for name in names:
        # The last line may be cut.
        whole_lines = (tmp_path / name).read_text().rpartition("\n")[0]
        assert kept.issuperset(whole_lines.split())

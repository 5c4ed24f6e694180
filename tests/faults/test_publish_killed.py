"""Real processes publish and are killed with SIGKILL at random moments."""

import random
import subprocess
import sys
import time
from pathlib import Path

import polars as pl

from billing_pipeline.warehouse import Warehouse

REPOSITORY = Path(__file__).parents[2]
TABLE, PARTITION = "usage/runtime_intervals", "month=2026-10"

# Publishes one version after the other and says which ones were acknowledged.
PUBLISHER = """
import sys
from pathlib import Path
import polars as pl
from billing_pipeline.warehouse import Warehouse

warehouse = Warehouse(Path(sys.argv[1]), code_version="1" * 64)
for version in range(int(sys.argv[2]), 1_000_000):
    rows = pl.DataFrame({"version": [version] * 20_000, "row": range(20_000)})
    with warehouse.publishing("usage/runtime_intervals", "month=2026-10", as_of=None) as publication:
        publication.write("rows", rows)
        publication.write("receipts", rows.head(1))
    print(version, flush=True)
"""


def publish_until_killed(root: Path, first_version: int, seconds: float) -> int:
    """The last version that the process acknowledged before it was killed."""
    command = [sys.executable, "-c", PUBLISHER, str(root), str(first_version)]
    with subprocess.Popen(command, cwd=REPOSITORY, stdout=subprocess.PIPE, text=True) as publisher:
        assert publisher.stdout is not None
        acknowledged = publisher.stdout.readline()
        time.sleep(seconds)
        publisher.kill()
        acknowledged += publisher.stdout.read()
    # The last line may be cut.
    return int(acknowledged.split("\n")[-2])


def test_a_killed_publisher_leaves_its_last_acknowledged_version_or_a_whole_newer_one(tmp_path):
    delays = random.Random(20261001)
    warehouse = Warehouse(tmp_path, code_version="1" * 64)
    version = 0
    for _ in range(5):
        acknowledged = publish_until_killed(tmp_path, version, delays.uniform(0, 0.1))

        generation = warehouse.require(TABLE, PARTITION)
        rows = generation.read("rows")
        version = rows.item(0, "version")
        assert version in {acknowledged, acknowledged + 1}
        assert rows.equals(pl.DataFrame({"version": [version] * 20_000, "row": range(20_000)}))
        assert generation.read("receipts").equals(rows.head(1))
        version += 1

    warehouse.publish(TABLE, PARTITION, pl.DataFrame({"version": [version]}), as_of=None)
    assert not list((tmp_path / TABLE / PARTITION).glob(".*"))

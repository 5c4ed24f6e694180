"""Published events and meters do not depend on the order of rows and files, nor on threads."""

import os
import subprocess
import sys
from pathlib import Path
from random import Random

import duckdb
import pytest
from intake_home import ClosedMonth, IntakeHome, at, beat, run, sample

from billing_pipeline.intake.cleaning import HashCollision, require_unlike_hashes
from billing_pipeline.sample.landing import Row

HOUR = 3_600_000_000


def runs() -> list[Row]:
    """Runs with everything that may be decided wrongly: copies, corrections, withdrawals, contradictions, ties."""
    draw, rows = Random(5), []
    for number in range(400):
        start = at("2026-10-02") + draw.randrange(20) * HOUR
        row = run(f"e{number}", "2026-10-02", None, ingested="2026-10-05", resource_id=f"r{number % 7}")
        row |= {"instance_id": f"i{draw.randrange(60)}", "started_at": start, "flavour": draw.choice("SM")}
        row |= {"stopped_at": start + draw.randrange(1, 50) * HOUR, "resource_name": f"name {draw.randrange(3)}"}
        row |= {"ingested_at": at("2026-10-05") + draw.randrange(5) * HOUR, "is_deleted": draw.random() < 0.05}
        rows += [row] * draw.choice([1, 1, 2])
    return rows


def closed(folder: Path, files: list[tuple[str, list[Row]]], *, threads: int) -> ClosedMonth:
    """October of rows in files of one arrival day."""
    home = IntakeHome(folder, threads=threads)
    for name, rows in files:
        home.land("runtime_intervals", *rows, name=name, day="2026-10-06")
    return home.close("runtime_intervals", "2026-10")


@pytest.mark.parametrize("threads", [1, 2])
def test_events_and_meters_are_the_same_for_any_order_of_rows_and_files(tmp_path: Path, threads: int) -> None:
    rows = runs()
    plain = closed(tmp_path / "plain", [("a", rows[:200]), ("b", rows[200:])], threads=1)
    shuffled = Random(threads).sample(rows, len(rows))
    mixed = closed(tmp_path / "mixed", [("z", shuffled[:50]), ("c", shuffled[50:300]), ("d", shuffled[300:])],
                   threads=threads)  # fmt: skip
    assert plain.events.height > 100
    assert not plain.part("conflicts").is_empty()
    for part in ("events", "meters", "conflicts", "late"):
        assert mixed.content(part) == plain.content(part), part


def test_every_part_is_the_same_for_one_thread_or_two(tmp_path: Path) -> None:
    rows = runs()
    one, two = (closed(tmp_path / str(threads), [("a", rows)], threads=threads) for threads in (1, 2))
    assert one.generation.id.isalnum()
    for part in one.generation.files:
        assert one.generation.file(part).read_bytes() == two.generation.file(part).read_bytes(), part


def test_a_month_of_many_row_groups_is_the_same_for_one_thread_or_two(tmp_path: Path) -> None:
    first = at("2026-10-01")
    rows = [
        sample(f"e{number}", "2026-10-01", number, resource_id=f"r{number % 911}")
        | {"sampled_at": first + number * 1_000_000, "ingested_at": first + number * 1_000_000}
        for number in range(130_000)
    ]
    months = []
    for threads in (1, 2):
        home = IntakeHome(tmp_path / str(threads), threads=threads)
        home.land("storage_samples", *rows, day="2026-10-03")
        months.append(home.close("storage_samples", "2026-10"))
    one, two = months
    for part in ("events", "sources", "meters", "carried"):
        assert one.content(part) == two.content(part), part


def test_meters_are_numbered_in_the_order_of_what_they_are(tmp_path: Path) -> None:
    meters = closed(tmp_path, [("a", runs())], threads=2).part("meters")
    identity = meters.select("owner_id", "resource_id", "slug", "zone").rows()
    assert identity == sorted(set(identity))
    assert meters["meter_id"].to_list() == list(range(meters.height))


def test_sources_lead_from_each_event_to_its_raw_row(tmp_path: Path) -> None:
    rows = runs()
    october = closed(tmp_path, [("a", rows)], threads=2)
    sources = october.part("sources")
    assert sources.height == october.part("events").height
    for event, position in zip(october.part("events").to_dicts(), sources["file_row"], strict=True):
        raw = rows[position]
        assert (raw["instance_id"], raw["started_at"], raw["stopped_at"]) == (
            event["instance_id"], event["started_us"], event["stopped_us"],
        )  # fmt: skip


def test_two_meters_that_would_share_a_hash_stop_the_day() -> None:
    meters = "from (values (7, 'res-1'), (7, 'res-2'), (8, 'res-3')) as meters(meter_hash, resource_id)"
    with duckdb.connect() as connection, pytest.raises(HashCollision, match=r"res-1.*res-2"):
        require_unlike_hashes(connection, meters)


@pytest.mark.parametrize("threads", [1, 2])
def test_heartbeats_are_the_same_for_any_order_of_rows_and_files(tmp_path: Path, threads: int) -> None:
    draw, first = Random(7), at("2026-10-01")
    rows = [
        beat(
            f"e{number}", "2026-10-01", source=draw.choice(["east", "west"]), flavour=draw.choice(["S", "M", "", None])
        )
        | {"instance_id": f"i{number % 40}", "sampled_at": first + number // 40 * 300_000_000}
        | {"ingested_at": at("2026-10-03")}
        for number in range(2_000)
    ]
    # The same sample seen from two sides.
    rows += [row | {"source": "both"} for row in rows[:200]]
    months = []
    for name, files in (("a", [rows]), ("b", [draw.sample(rows, len(rows))[:700], draw.sample(rows, len(rows))])):
        home = IntakeHome(tmp_path / name, threads=threads)
        for number, share in enumerate(files):
            home.land("runtime_heartbeats", *share, name=f"{name}{number}", day="2026-10-03")
        months.append(home.close("runtime_heartbeats", "2026-10"))
    for part in ("events", "meters", "conflicts", "carried"):
        columns = [name for name in months[0].part(part).columns if name not in ("file_id", "file_row")]
        assert months[0].part(part).select(columns).equals(months[1].part(part).select(columns)), part
    assert months[0].content("events") == months[1].content("events")
    assert months[0].events.height == 2_000


def test_a_month_does_not_depend_on_the_time_zone_of_the_machine(tmp_path: Path) -> None:
    rows = runs()
    here = closed(tmp_path / "here", [("a", rows)], threads=1)
    code = (
        "import sys; sys.path.insert(0, sys.argv[1])\n"
        "from pathlib import Path\n"
        "from test_same_rows_same_bytes import closed, runs\n"
        "print(closed(Path(sys.argv[2]), [('a', runs())], threads=1).generation.content)\n"
    )
    elsewhere = subprocess.run(
        [sys.executable, "-c", code, str(Path(__file__).parent), str(tmp_path / "there")],
        env=os.environ | {"TZ": "Asia/Tokyo"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert elsewhere.stdout.strip() == here.generation.content

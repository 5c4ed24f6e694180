"""What a stage may rely on when it publishes and reads a table's month."""

import subprocess
import sys
import threading
from collections.abc import Callable
from datetime import UTC, datetime, timedelta, timezone
from pathlib import Path

import duckdb
import polars as pl
import pytest

from billing_pipeline.warehouse import MalformedName, NotPublished, Publication, UnfinishedPublication, Warehouse

REPOSITORY = Path(__file__).parents[2]
TABLE, PARTITION = "rating/charges", "month=2026-10"
AS_OF = datetime(2026, 11, 3, tzinfo=UTC)
ROWS = pl.DataFrame({"payer_id": ["orga_a", "orga_b"], "charge_cents": [100, -30], "note": ["x", None]})


@pytest.fixture
def warehouse(tmp_path) -> Warehouse:
    return Warehouse(tmp_path / "home" / "warehouse", code_version="1" * 64)


def state_of(warehouse: Warehouse) -> dict[str, int]:
    return {str(path): path.stat().st_mtime_ns for path in warehouse.root.rglob("*") if path.is_file()}


def test_what_was_published_is_read_back(warehouse):
    published = warehouse.publish(TABLE, PARTITION, ROWS, as_of=AS_OF)

    current = warehouse.require(TABLE, PARTITION)

    assert current == published
    assert current.read().equals(ROWS)


def test_the_manifest_says_what_was_published_and_from_what(warehouse):
    at_noon_in_paris = datetime(2026, 11, 3, 12, tzinfo=timezone(timedelta(hours=1)))

    generation = warehouse.publish(
        TABLE, PARTITION, ROWS, as_of=at_noon_in_paris, inputs={"segments": "0123456789abcdef"}, facts={"parked": 2}
    )

    entry = generation.manifest["files"]["rows.parquet"]
    assert entry["rows"] == 2
    assert entry["columns"] == {"charge_cents": "Int64", "note": "String", "payer_id": "String"}
    assert entry["sums"] == {"charge_cents": 70}
    assert entry["bytes"] == generation.file("rows.parquet").stat().st_size
    assert generation.manifest["as_of"] == "2026-11-03T11:00:00.000000+00:00"
    assert generation.manifest["inputs"] == {"segments": "0123456789abcdef"}
    assert generation.manifest["facts"] == {"parked": 2}
    assert generation.manifest["code_version"] == "1" * 64


def test_the_sum_of_a_money_column_does_not_wrap(warehouse):
    rows = pl.DataFrame({"charge_cents": [2**62, 2**62, None]})

    generation = warehouse.publish(TABLE, PARTITION, rows, as_of=None)

    assert generation.manifest["files"]["rows.parquet"]["sums"] == {"charge_cents": 2**63}


def test_a_table_without_rows_is_published_too(warehouse):
    generation = warehouse.publish(TABLE, PARTITION, ROWS.clear(), as_of=AS_OF)

    assert generation.read().equals(ROWS.clear())
    assert generation.manifest["files"]["rows.parquet"]["sums"] == {"charge_cents": 0}


def test_publishing_the_same_again_changes_no_file(warehouse):
    first = warehouse.publish(TABLE, PARTITION, ROWS, as_of=AS_OF)
    before = state_of(warehouse)

    again = warehouse.publish(TABLE, PARTITION, ROWS, as_of=AS_OF)

    assert again.id == first.id
    assert state_of(warehouse) == before


def test_the_content_is_equal_whatever_code_and_instant_it_comes_from(warehouse):
    first = warehouse.publish(TABLE, PARTITION, ROWS, as_of=AS_OF)
    later_code = Warehouse(warehouse.root, code_version="2" * 64)

    second = later_code.publish(TABLE, PARTITION, ROWS, as_of=AS_OF + timedelta(days=1))
    other = later_code.publish(TABLE, PARTITION, ROWS.head(1), as_of=AS_OF)

    assert first.id != second.id
    assert first.content == second.content != other.content


def test_an_older_generation_stays_readable_and_can_count_again(warehouse):
    old = warehouse.publish(TABLE, PARTITION, ROWS, as_of=AS_OF)
    new = warehouse.publish(TABLE, PARTITION, ROWS.head(1), as_of=AS_OF)

    assert warehouse.require(TABLE, PARTITION) == new
    assert warehouse.generation(TABLE, PARTITION, old.id).read().equals(ROWS)

    warehouse.publish(TABLE, PARTITION, ROWS, as_of=AS_OF)
    assert warehouse.require(TABLE, PARTITION) == old


def publish_charges(warehouse: Warehouse, write: Callable[[Publication], object]) -> None:
    with warehouse.publishing(TABLE, PARTITION, as_of=AS_OF) as publication:
        publication.write("rows", ROWS)
        write(publication)


def test_a_block_that_raises_publishes_nothing_and_leaves_nothing(warehouse):
    warehouse.publish(TABLE, PARTITION, ROWS.head(1), as_of=AS_OF)
    before = state_of(warehouse)

    with pytest.raises(ZeroDivisionError):
        publish_charges(warehouse, lambda publication: 1 // 0)

    assert state_of(warehouse) == before


def test_nothing_is_published_when_an_announced_file_is_missing(warehouse):
    with pytest.raises(UnfinishedPublication, match=r"events\.parquet"):
        publish_charges(warehouse, lambda publication: publication.path("events.parquet"))

    assert warehouse.current(TABLE, PARTITION) is None


def test_nothing_is_published_when_a_file_lies_there_unannounced(warehouse):
    with pytest.raises(UnfinishedPublication, match=r"tmp_events\.parquet"):
        publish_charges(
            warehouse, lambda publication: publication.path("events.parquet").with_name("tmp_events.parquet").touch()
        )

    assert warehouse.current(TABLE, PARTITION) is None


def test_a_file_is_written_once(warehouse):
    with pytest.raises(ValueError, match="twice"):
        publish_charges(warehouse, lambda publication: publication.write("rows", ROWS))


def test_a_publication_has_no_id_before_it_is_published(warehouse):
    with warehouse.publishing(TABLE, PARTITION, as_of=AS_OF) as publication, pytest.raises(UnfinishedPublication):
        _ = publication.id


def test_duckdb_writes_and_reads_a_published_file(warehouse):
    with warehouse.publishing(TABLE, PARTITION, as_of=AS_OF) as publication:
        file = publication.path("events.parquet")
        duckdb.execute(f"COPY (SELECT range AS fee_cents FROM range(5)) TO '{file}' (FORMAT parquet)")

    generation = publication.generation
    file = generation.file("events.parquet")

    assert generation.manifest["files"]["events.parquet"]["sums"] == {"fee_cents": 10}
    assert duckdb.read_parquet(str(file), hive_partitioning=False).columns == ["fee_cents"]
    assert generation.read("events").columns == ["fee_cents"]


def test_documents_are_published_as_they_are(warehouse):
    with warehouse.publishing("documents/month_documents", PARTITION, as_of=AS_OF) as publication:
        for number in range(40):
            publication.write_bytes(f"F-2026-{number:06d}.pdf", b"%PDF-1.7 " + bytes([number]))

    assert len(publication.generation.files) == 40
    assert publication.generation.file("F-2026-000007.pdf").read_bytes() == b"%PDF-1.7 \x07"


def test_a_file_that_was_never_published_is_not_made_up(warehouse):
    generation = warehouse.publish(TABLE, PARTITION, ROWS, as_of=AS_OF)
    (generation.path / "stray.parquet").write_bytes(b"not ours")

    with pytest.raises(KeyError, match="stray"):
        generation.file("stray.parquet")


def test_partitions_are_those_with_a_current_generation_in_order(warehouse):
    assert warehouse.partitions("usage/events") == []
    for day in ("2026-10-12", "2026-10-05"):
        warehouse.publish("usage/events", f"day={day}", ROWS, as_of=None)
    with pytest.raises(ZeroDivisionError), warehouse.publishing("usage/events", "day=2026-10-01", as_of=None):
        _ = 1 // 0
    (warehouse.root / "usage/events/notes=mine").mkdir()

    assert warehouse.partitions("usage/events") == ["day=2026-10-05", "day=2026-10-12"]


def test_a_table_that_was_never_published_names_what_to_run(warehouse):
    assert warehouse.current(TABLE, PARTITION) is None
    with pytest.raises(
        NotPublished, match=r"rating/charges of month=2026-10 .* materialise rating/charges for 2026-10"
    ):
        warehouse.require(TABLE, PARTITION)
    with pytest.raises(NotPublished, match="no generation 0123456789abcdef"):
        warehouse.generation(TABLE, PARTITION, "0123456789abcdef")


@pytest.mark.parametrize(
    ("table", "partition"),
    [
        ("charges", PARTITION),
        ("rating/../charges", PARTITION),
        ("../rating/charges", PARTITION),
        ("/rating/charges", PARTITION),
        ("rating/charges\n", PARTITION),
        ("rating/Charges", PARTITION),
        ("rating/charges", "2026-10"),
        ("rating/charges", "month=2026-13"),
        ("rating/charges", "month=2026-10/.."),
        ("rating/charges", "month=2026-10\n"),
        ("rating/charges", "month=２０２６-10"),
        ("rating/charges", "day=2026-10-32"),
        ("rating/charges", "gen=0123456789abcdef"),
        ("rating/charges", ""),
    ],
)
def test_names_that_could_leave_the_warehouse_are_refused(warehouse, table, partition):
    for attempt in (
        lambda: warehouse.publish(table, partition, ROWS, as_of=AS_OF),
        lambda: warehouse.current(table, partition),
        lambda: warehouse.generation(table, partition, "0123456789abcdef"),
    ):
        with pytest.raises(MalformedName):
            attempt()
    assert not warehouse.root.exists()


@pytest.mark.parametrize(
    "name", ["MANIFEST.json", "../rows.parquet", "a/b.pdf", ".hidden", "", "a\n", "a" * 129, "é.pdf"]
)
def test_file_names_that_could_leave_the_folder_are_refused(warehouse, name):
    with pytest.raises(MalformedName), warehouse.publishing(TABLE, PARTITION, as_of=AS_OF) as publication:
        publication.write_bytes(name, b"x")


@pytest.mark.parametrize(
    "generation_id", ["", "..", "0123456789ABCDEF", "0123456789abcde", "../../month=2026-09/gen=0"]
)
def test_generation_ids_that_could_leave_the_folder_are_refused(warehouse, generation_id):
    with pytest.raises(MalformedName):
        warehouse.generation(TABLE, PARTITION, generation_id)


def test_an_instant_without_a_zone_is_refused(warehouse):
    with pytest.raises(ValueError, match="time zone"):
        warehouse.publish(TABLE, PARTITION, ROWS, as_of=datetime(2026, 11, 3))  # noqa: DTZ001


PUBLISH_A_LARGER_TABLE = """
import sys
from pathlib import Path
import polars as pl
from billing_pipeline.warehouse import Warehouse

numbers = pl.int_range(300_000, eager=True)
rows = pl.DataFrame({
    "owner_id": "orga_" + (numbers * 7919 % 3001).cast(pl.String),
    "kind": (numbers * 31 % 3).cast(pl.String).cast(pl.Enum(["0", "1", "2"])),
    "charge_cents": pl.select(pl.when(numbers % 7 > 0).then(numbers * 104729 % 100_003)).to_series(),
})
cuts = [0, *sorted(int(cut) for cut in sys.argv[2:]), len(rows)]
chunked = pl.concat([rows[start:end] for start, end in zip(cuts, cuts[1:])], rechunk=False)
warehouse = Warehouse(Path(sys.argv[1]), code_version="1" * 64)
print(warehouse.publish("rating/charges", "month=2026-10", chunked, as_of=None).id)
"""


def test_equal_rows_make_equal_bytes_on_any_number_of_threads_and_chunks(tmp_path):
    ids = set()
    for threads, cuts in (("1", ["1000", "122880"]), ("2", [])):
        command = [sys.executable, "-c", PUBLISH_A_LARGER_TABLE, str(tmp_path / threads), *cuts]
        environment = {"POLARS_MAX_THREADS": threads, "PYTHONHASHSEED": threads}
        finished = subprocess.run(command, cwd=REPOSITORY, env=environment, capture_output=True, text=True, check=True)
        ids.add(finished.stdout)

    assert len(ids) == 1


def test_of_two_publishes_at_once_a_reader_sees_one_or_the_other_whole(warehouse):
    seen: set[int] = set()

    def publish_versions(first: int) -> None:
        for version in range(first, first + 12):
            with warehouse.publishing(TABLE, PARTITION, as_of=None) as publication:
                publication.write("rows", pl.DataFrame({"version": [version] * 1000}))
                publication.write("receipts", pl.DataFrame({"version": [version]}))

    publishers = [threading.Thread(target=publish_versions, args=(first,)) for first in (0, 100)]
    for publisher in publishers:
        publisher.start()
    while any(publisher.is_alive() for publisher in publishers):
        generation = warehouse.current(TABLE, PARTITION)
        if generation is not None:
            version = generation.read("receipts").item()
            assert generation.read("rows").equals(pl.DataFrame({"version": [version] * 1000}))
            seen.add(version)
    for publisher in publishers:
        publisher.join()

    assert warehouse.require(TABLE, PARTITION).read("receipts").item() in {11, 111}
    assert seen
    assert len(list((warehouse.root / TABLE / PARTITION).glob("gen=*"))) == 24
    assert not list((warehouse.root / TABLE / PARTITION).glob(".writing*"))

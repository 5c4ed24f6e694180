"""Damaged published data is refused, never read as other numbers and never taken for an empty month."""

import os
import random
import shutil
import time
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from billing_pipeline.warehouse import DamagedGeneration, Generation, Warehouse, checksums

TABLE, PARTITION = "rating/charges", "month=2026-10"
AS_OF = datetime(2026, 11, 3, tzinfo=UTC)
ROWS = pl.DataFrame({"payer_id": ["orga_a", "orga_b"] * 50, "charge_cents": range(100)})


@pytest.fixture
def warehouse(tmp_path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse", code_version="1" * 64)


@pytest.fixture
def published(warehouse) -> Generation:
    return warehouse.publish(TABLE, PARTITION, ROWS, as_of=AS_OF)


def file_of(generation: Generation, name: str) -> Path:
    return generation.path.parent / name if name == "CURRENT" else generation.path / name


def read_current_rows(warehouse: Warehouse) -> pl.DataFrame:
    return warehouse.require(TABLE, PARTITION).read()


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST.json", "rows.parquet"])
def test_any_flipped_bit_is_refused(warehouse, published, name):
    file = file_of(published, name)
    content = file.read_bytes()
    places = random.Random(20261001)
    for _ in range(80):
        damaged = bytearray(content)
        damaged[places.randrange(len(content))] ^= 1 << places.randrange(8)
        file.write_bytes(damaged)

        with pytest.raises(DamagedGeneration, match="restore"):
            read_current_rows(warehouse)

    file.write_bytes(content)
    assert read_current_rows(warehouse).equals(ROWS)


def test_a_change_after_a_verified_read_is_noticed_by_the_same_process(warehouse, published, monkeypatch):
    # Every checksum is remembered at once, as that of a file of some age is.
    monkeypatch.setattr(checksums, "_SETTLED_AFTER_NS", -(10**18))
    file = file_of(published, "rows.parquet")
    assert read_current_rows(warehouse).equals(ROWS)
    modified = file.stat().st_mtime_ns
    # Longer than a tick of the file system's clock.
    time.sleep(0.02)

    file.write_bytes(bytes(file.stat().st_size))
    os.utime(file, ns=(modified, modified))

    with pytest.raises(DamagedGeneration, match="checksum"):
        read_current_rows(warehouse)


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST.json", "rows.parquet"])
@pytest.mark.parametrize("kept", [0, 0.5, 1.0])
def test_a_truncated_or_extended_file_is_refused(warehouse, published, name, kept):
    file = file_of(published, name)
    content = file.read_bytes()
    file.write_bytes(content[: int(len(content) * kept)] + (b"\n" if kept == 1 else b""))

    with pytest.raises(DamagedGeneration, match=name):
        read_current_rows(warehouse)


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST.json", "rows.parquet"])
def test_a_deleted_file_is_never_an_unpublished_month(warehouse, published, name):
    file_of(published, name).unlink()

    with pytest.raises(DamagedGeneration, match=rf"{name} is missing"):
        read_current_rows(warehouse)


def test_a_deleted_generation_is_never_an_unpublished_month(warehouse, published):
    shutil.rmtree(published.path)

    with pytest.raises(DamagedGeneration, match="missing"):
        warehouse.current(TABLE, PARTITION)
    with pytest.raises(DamagedGeneration, match="missing"):
        warehouse.partitions(TABLE)


def test_a_generation_of_another_month_is_refused(warehouse, published):
    september = warehouse.publish(TABLE, "month=2026-09", ROWS, as_of=AS_OF)
    shutil.copytree(september.path, published.path.with_name(september.path.name))
    shutil.copyfile(file_of(september, "CURRENT"), file_of(published, "CURRENT"))

    with pytest.raises(DamagedGeneration, match="belongs to rating/charges of month=2026-09"):
        warehouse.current(TABLE, PARTITION)


def test_a_damaged_older_generation_is_refused_by_its_id(warehouse, published):
    warehouse.publish(TABLE, PARTITION, ROWS.head(1), as_of=AS_OF)
    file_of(published, "MANIFEST.json").write_text("{}")

    with pytest.raises(DamagedGeneration, match="checksum"):
        warehouse.generation(TABLE, PARTITION, published.id)
    assert read_current_rows(warehouse).equals(ROWS.head(1))


@pytest.mark.parametrize("name", ["CURRENT", "MANIFEST.json", "rows.parquet"])
def test_publishing_the_same_again_repairs_the_damage(warehouse, published, name):
    file_of(published, name).write_bytes(b"damaged")

    repaired = warehouse.publish(TABLE, PARTITION, ROWS, as_of=AS_OF)

    assert repaired.id == published.id
    assert read_current_rows(warehouse).equals(ROWS)

"""A month computed aside is read by nobody else, however often it is published."""

from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from billing_pipeline.warehouse import Warehouse

TABLE, JANUARY, FEBRUARY = "rating/charges", "month=2026-01", "month=2026-02"
AS_OF = datetime(2026, 3, 1, tzinfo=UTC)


@pytest.fixture
def warehouse(tmp_path: Path) -> Warehouse:
    warehouse = Warehouse(tmp_path, code_version="test")
    warehouse.publish(TABLE, JANUARY, pl.DataFrame({"line": [1]}), as_of=AS_OF)
    return warehouse


def lines(warehouse: Warehouse, partition: str) -> list[int]:
    return warehouse.require(TABLE, partition).read()["line"].to_list()


def test_only_the_view_that_published_aside_reads_what_it_published(warehouse):
    aside = warehouse.aside(JANUARY)
    assert lines(aside, JANUARY) == [1]

    aside.publish(TABLE, JANUARY, pl.DataFrame({"line": [2]}), as_of=AS_OF)

    assert lines(aside, JANUARY) == [2]
    assert lines(warehouse, JANUARY) == lines(warehouse.aside(JANUARY), JANUARY) == [1]


def test_what_was_published_aside_is_found_by_its_id(warehouse):
    aside = warehouse.aside(JANUARY)
    aside.publish(TABLE, JANUARY, pl.DataFrame({"line": [2]}), as_of=AS_OF)

    assert warehouse.generation(TABLE, JANUARY, aside.published_aside[TABLE]).read()["line"].to_list() == [2]


def test_other_partitions_are_published_for_everyone(warehouse):
    warehouse.aside(JANUARY).publish(TABLE, FEBRUARY, pl.DataFrame({"line": [3]}), as_of=AS_OF)

    assert lines(warehouse, FEBRUARY) == [3]


def test_a_partition_that_was_only_published_aside_counts_as_not_published(warehouse):
    warehouse.aside(FEBRUARY).publish(TABLE, FEBRUARY, pl.DataFrame({"line": [3]}), as_of=AS_OF)

    assert warehouse.current(TABLE, FEBRUARY) is None


def test_a_branch_begins_with_what_was_published_and_changes_nothing_of_it(warehouse, tmp_path):
    first = warehouse.require(TABLE, JANUARY).id
    warehouse.publish(TABLE, JANUARY, pl.DataFrame({"line": [2]}), as_of=AS_OF)
    warehouse.publish(TABLE, FEBRUARY, pl.DataFrame({"line": [3]}), as_of=AS_OF)

    branch = warehouse.branch(tmp_path / "branch", [JANUARY], [])
    earlier = warehouse.branch(tmp_path / "earlier", [JANUARY], [first])
    branch.publish(TABLE, JANUARY, pl.DataFrame({"line": [4]}), as_of=AS_OF)
    branch.publish(TABLE, FEBRUARY, pl.DataFrame({"line": [5]}), as_of=AS_OF)

    assert (lines(branch, JANUARY), lines(earlier, JANUARY), lines(warehouse, JANUARY)) == ([4], [1], [2])
    assert (lines(branch, FEBRUARY), lines(warehouse, FEBRUARY)) == ([5], [3])
    assert earlier.current(TABLE, FEBRUARY) is None
    assert (earlier.all_partitions(), warehouse.all_partitions()) == ([JANUARY], [JANUARY, FEBRUARY])
    assert len(branch.generation_ids(TABLE, JANUARY)) == len(warehouse.generation_ids(TABLE, JANUARY)) + 1
    assert earlier.tables(FEBRUARY) == []

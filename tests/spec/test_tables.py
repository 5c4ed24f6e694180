"""Tables are checked by our own pass over their rows: it says what dataframely says."""

from collections.abc import Iterator
from importlib import import_module
from pkgutil import iter_modules

import dataframely as dy
import polars as pl
import pytest
from dataframely.exc import SchemaError, ValidationError
from dataframely.random import Generator
from polars.testing import assert_frame_equal

from billing_pipeline import rules, tables
from billing_pipeline.tables.table import Table

for package in (tables, rules):
    for module in iter_modules(package.__path__, f"{package.__name__}."):
        import_module(module.name)


def below(table: type[Table]) -> list[type[Table]]:
    return [table, *(found for direct in table.__subclasses__() for found in below(direct))]


TABLES = sorted(below(Table)[1:], key=lambda table: table.__name__)


def answer(validate, *arguments, cast: bool) -> pl.DataFrame | str:
    try:
        return validate(*arguments, cast=cast)
    except (SchemaError, ValidationError, pl.exceptions.PolarsError) as error:
        return str(error)


def some_rows(table: type[Table], count: int) -> pl.DataFrame:
    """Rows whose columns hold, each by itself."""
    draw = Generator(seed=1)
    return pl.DataFrame({name: column.sample(draw, count) for name, column in table.columns().items()})


def variants(table: type[Table]) -> Iterator[tuple[pl.DataFrame, bool]]:
    """No rows, rows that may hold, and rows with a column more, null, missing or of another type, which may be cast."""
    rows = some_rows(table, 3)
    first, *_, last = rows.columns
    yield rows.clear(), False
    yield rows, False
    yield rows.head(1).with_columns(more=1), False
    yield pl.concat([rows, rows]), False
    for name in (first, last):
        yield rows.with_columns(pl.lit(None, rows.schema[name]).alias(name)), False
    yield rows.drop(last), True
    for cast in (False, True):
        yield rows.clear().cast(pl.String), cast
    yield rows.with_columns(pl.lit("?").alias(last)), True
    yield rows.with_columns(pl.lit(b"?").alias(last)), True


@pytest.mark.parametrize("table", TABLES, ids=lambda table: table.__name__)
def test_what_holds_is_returned_and_what_does_not_is_told_as_dataframely_tells_it(table):
    refused = []
    for rows, cast in variants(table):
        ours = answer(table.validate, rows, cast=cast)
        theirs = answer(dy.Schema.validate.__func__, table, rows, cast=cast)
        refused.append(isinstance(theirs, str))
        if isinstance(theirs, str):
            assert ours == theirs
        else:
            assert_frame_equal(ours, theirs)
    # Both were seen.
    assert set(refused) == {True, False}

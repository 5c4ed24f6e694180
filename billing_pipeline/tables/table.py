"""The base of every table between stages."""

from functools import cache
from typing import TYPE_CHECKING, Any

import dataframely as dy
import polars as pl


class Table(dy.Schema):
    """A shape of rows, checked in one pass over them.

    dataframely tells rows that hold from rows that do not, and so copies all of them twice: that takes it 7 ms instead
    of 2 for a few rows, and up to four times as long for many. It is asked only where something is wrong, to say what.
    """

    # To a type checker it is dataframely's own.
    if not TYPE_CHECKING:

        @classmethod
        def validate(cls, df: pl.DataFrame | pl.LazyFrame, /, *, cast: bool = False, **kwargs: Any) -> Any:
            """The columns of the table, in their order, once every row keeps every rule.

            Args:
                df: rows; columns that the table does not have are left out.
                cast: whether columns of another type are cast.
                kwargs: for dataframely.

            Raises:
                dataframely.exc.SchemaError: a column is missing, or of another type and not to be cast.
                dataframely.exc.ValidationError: a row breaks a rule.
            """
            rows = _typed(df, cls, cast=cast) if isinstance(df, pl.DataFrame) else None
            if rows is not None and all(rows.select(_conditions(cls)).row(0)):
                return rows
            return super().validate(df, cast=cast, **kwargs)


def _typed(df: pl.DataFrame, table: type[Table], *, cast: bool) -> pl.DataFrame | None:
    """The columns of a table; None where that takes a closer look."""
    types, columns = df.schema, table.columns()
    if not columns.keys() <= types.keys():
        return None
    if all(types[name] == column.dtype for name, column in columns.items()):
        return df.select(*columns)
    try:
        return table.cast(df) if cast else None
    except pl.exceptions.PolarsError:
        return None


@cache
def _conditions(table: type[Table]) -> list[pl.Expr]:
    """Whether all rows keep each rule; one that makes null of a null is kept, as dataframely has it."""
    rules = table._validation_rules(with_cast=False)
    kept = [rule.expr.fill_null(value=True).all().alias(name) for name, rule in rules.items()]
    return [pl.lit(value=True), *kept]

"""What form a landed file has: the columns that it brings, or why it is refused whole. No row is read for it."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from billing_pipeline.adapters.landing import LandedFile
from billing_pipeline.intake.contracts import BOOKKEEPING, Column, Feed, Type

#: A file with more was not measured but made to fill the machine: rows of one value take no bytes.
MOST_ROWS = 100_000_000
MOST_CELLS = 1_000_000_000


@dataclass(frozen=True)
class Form:
    """What a file turned out to be: its columns by Arrow type, or the reason to refuse it."""

    rows: int = 0
    types: tuple[tuple[str, pa.DataType], ...] = ()
    refused_reason: str | None = None
    #: What exactly was wrong; of an accepted file its flags.
    detail: str | None = None
    #: Where the rows of a text file were put as Parquet, column by column as text.
    staged: Path | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether the file's rows are read."""
        return self.refused_reason is None

    @property
    def flags(self) -> list[str]:
        """What is noted of an accepted file."""
        return [self.detail] if self.is_accepted and self.detail else []


def refused(reason: str, detail: str, rows: int = 0) -> Form:
    """The form of a file that is not read."""
    return Form(rows, refused_reason=reason, detail=detail.splitlines()[0][:200])


def refuse_unread(file: LandedFile) -> Form | None:
    """Refuse a file for its name, its manifest or its emptiness, whatever its content should be."""
    if file.odd:
        return refused("file_path", file.odd)
    if file.announced_sha256 not in (None, file.sha256):
        return refused("file_checksum", f"the manifest announces {file.announced_sha256 or 'nothing'}")
    if file.size == 0:
        return refused("file_empty", "the file has no bytes")
    return None


def inspect_parquet(feed: Feed, file: LandedFile) -> Form:
    """Compare a Parquet file with the contract, from its footer alone."""
    try:
        footer = pq.ParquetFile(file.absolute)
    except (pa.ArrowInvalid, OSError) as error:
        return _unreadable(file, error)
    with footer:
        schema, rows = footer.schema_arrow, footer.metadata.num_rows
    if rows > MOST_ROWS or rows * len(schema.names) > MOST_CELLS:
        return refused("file_too_big", f"{rows:,} rows of {len(schema.names)} columns; split the file", rows)
    problem = compare_names(feed, schema.names)
    if problem:
        return refused(*problem, rows)
    known = _known(feed)
    for name in sorted(set(schema.names) & set(known)):
        reason = _type_problem(known[name], schema.field(name).type)
        if reason:
            return refused(reason, f"column {name} is {schema.field(name).type}", rows)
    types = tuple((name, _plain(schema.field(name).type)) for name in sorted(set(schema.names) & set(known)))
    return Form(rows, types, detail=flags_of(rows, unknown_names(feed, schema.names)))


def compare_names(feed: Feed, names: Sequence[str]) -> tuple[str, str] | None:
    """The reason to refuse a file for the names of its columns, and what exactly is wrong."""
    if len(set(names)) != len(names):
        repeated = sorted({name for name in names if names.count(name) > 1})
        return "schema_dupcol", f"column names repeat: {', '.join(repeated)}"
    missing = sorted(c.name for c in _known(feed).values() if not c.is_optional and c.name not in names)
    return ("schema_missing", f"required columns are missing: {', '.join(missing)}") if missing else None


def unknown_names(feed: Feed, names: Sequence[str]) -> list[str]:
    """The columns that the contract does not know, in order of name."""
    return sorted(set(names) - set(_known(feed)))


def flags_of(rows: int, unknown: Sequence[str]) -> str | None:
    """What is noted of a file that is read."""
    flags = [f"schema_extra: {', '.join(unknown)}"] if unknown else []
    flags += [] if rows else ["file_no_rows: no row after the columns"]
    return "; ".join(flags) or None


def is_text(arrow: pa.DataType) -> bool:
    """Whether a column holds text."""
    return pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow)


def _known(feed: Feed) -> dict[str, Column]:
    return {column.name: column for column in (*feed.columns, *BOOKKEEPING)}


def _unreadable(file: LandedFile, error: Exception) -> Form:
    """Refuse what is no whole Parquet file; the magic word stands at both ends of one."""
    with file.absolute.open("rb") as stream:
        begins = stream.read(4) == b"PAR1"
        stream.seek(max(0, file.size - 4))
        ends = stream.read(4) == b"PAR1"
    reason = "file_truncated" if begins and not ends else "file_format"
    return refused(reason, f"not readable as Parquet: {error}")


def _plain(arrow: pa.DataType) -> pa.DataType:
    return arrow.value_type if pa.types.is_dictionary(arrow) else arrow


def _type_problem(column: Column, arrow: pa.DataType) -> str | None:
    """The reason code for a column of the wrong type, None if it can be read without loss."""
    arrow = _plain(arrow)
    if column.type is Type.INSTANT and pa.types.is_timestamp(arrow) and (arrow.tz is None or arrow.unit == "ns"):
        return "schema_tz"
    if column.type is Type.DECIMAL and pa.types.is_floating(arrow):
        return "money_float"
    return None if _is_lossless(column, arrow) else "schema_type"


def _is_lossless(column: Column, arrow: pa.DataType) -> bool:
    """Whether every value of a file's column has its place in the contract's type."""
    if pa.types.is_null(arrow):
        return column.may_be_null
    match column.type:
        case Type.FLAG:
            return pa.types.is_boolean(arrow)
        case Type.INSTANT if pa.types.is_timestamp(arrow):
            return True
        case Type.DATE if pa.types.is_date(arrow):
            return True
        case Type.WHOLE if pa.types.is_decimal(arrow):
            return arrow.scale == 0
        case Type.DECIMAL if pa.types.is_decimal(arrow):
            return arrow.scale <= 20 and arrow.precision - arrow.scale <= 18
        case Type.WHOLE | Type.DECIMAL if pa.types.is_integer(arrow):
            return not pa.types.is_uint64(arrow)
        case _:
            return is_text(arrow)

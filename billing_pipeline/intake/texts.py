"""CSV and JSON lines become Parquet once, every value as text; their rows are then judged like any other.

Nothing is sniffed: columns come by the names in the header, or by the keys of each object. A row that is none is kept
with its line as it stands and the reason (`row_problem`, `row_text`), at its place among the others. So is a row of a
Parquet file with text that is no UTF-8: no engine reads the file with it.
"""

import csv
import gzip
import zlib
from dataclasses import replace
from pathlib import Path
from typing import IO

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from billing_pipeline.adapters.landing import LandedFile
from billing_pipeline.intake.contracts import BOOKKEEPING, Column, Feed, Type
from billing_pipeline.intake.engine import copy, scalar, text
from billing_pipeline.intake.forms import Form, compare_names, flags_of, is_text, refused, unknown_names

#: Beside the columns of the feed: why a line is no row, the line, and the keys of an object that are unknown.
OF_LINES = ("row_problem", "row_text", "row_extra")

_ENDINGS = (".csv", ".csv.gz", ".jsonl", ".jsonl.gz")

_MOST_BYTES = 8 * 2**30
#: Compressed text shrinks by a factor of ten or twenty; what shrinks more was made to.
_MOST_EXPANSION, _HARMLESS_BYTES = 200, 2**26
_LONGEST_LINE = 2_000_000

#: Where most of many lines are no rows, it is the file that is wrong.
_MANY_LINES = 100
_REASON_OF_FILE = {"row_encoding": "file_format", "row_cast": "schema_type", "value_missing": "schema_missing"}


def is_text_file(file: LandedFile) -> bool:
    """Whether a file says by its ending that it is CSV or JSON lines."""
    return file.path.endswith(_ENDINGS)


def stage_text(connection: duckdb.DuckDBPyConnection, feed: Feed, file: LandedFile, folder: Path) -> Form:
    """Read a text file into a Parquet file in `folder` and say what form it has."""
    try:
        size, first_line = _measure(file)
    except EOFError as error:
        return refused("file_truncated", f"not readable as gzip: {error}")
    except (OSError, zlib.error) as error:
        return refused("file_format", f"not readable as gzip: {error}")
    if size > _MOST_BYTES or size > max(_HARMLESS_BYTES, _MOST_EXPANSION * file.size):
        return refused("file_too_big", f"more than {_HARMLESS_BYTES:,} bytes in {file.size:,}; split the file")
    if not first_line.removeprefix(b"\xef\xbb\xbf").strip():
        return refused("file_empty", "the file has no text")
    try:
        return _stage(connection, feed, file, first_line, folder)
    except (duckdb.Error, csv.Error, UnicodeDecodeError) as error:
        return refused("file_format", f"not readable as text: {error}")


def stage_parquet(file: LandedFile, form: Form, folder: Path) -> Form:
    """Copy an accepted Parquet file with text that is no UTF-8 into `folder`, those rows with their problem.

    Raises:
        OSError, pyarrow.ArrowException: the file is damaged in another way.
    """
    names, staged = [name for name, _ in form.types], folder / "staged.parquet"
    schema = pa.schema([*form.types, ("row_problem", pa.string()), ("row_text", pa.string())])
    with pq.ParquetFile(file.absolute) as landed, pq.ParquetWriter(staged, schema) as writer:
        for batch in landed.iter_batches(columns=names):
            columns, broken = {}, [False] * batch.num_rows
            for name, kind in form.types:
                columns[name] = _plain(batch.column(name)).cast(pa.binary() if is_text(kind) else kind)
                if is_text(kind):
                    columns[name] = _readable(columns[name], broken)
            problems = ["row_encoding" if is_broken else None for is_broken in broken]
            columns |= {"row_problem": pa.array(problems, pa.string()), "row_text": pa.nulls(len(broken), pa.string())}
            writer.write_table(pa.table(columns).select(schema.names).cast(schema))
    return replace(form, types=(*form.types, ("row_problem", pa.string())), staged=staged)


def _plain(column: pa.Array) -> pa.Array:
    return column.dictionary_decode() if pa.types.is_dictionary(column.type) else column


def _readable(column: pa.BinaryArray, broken: list[bool]) -> pa.StringArray:
    """The bytes as text; where they are none it is marked in `broken`, and a sign stands for what cannot be read."""
    try:
        return column.cast(pa.string())
    except pa.ArrowInvalid:
        texts = [None if value is None else value.decode(errors="replace") for value in column.to_pylist()]
        for place, value in enumerate(column.to_pylist()):
            broken[place] |= value is not None and value != (texts[place] or "").encode()
        return pa.array(texts, pa.string())


def _stage(
    connection: duckdb.DuckDBPyConnection, feed: Feed, file: LandedFile, first_line: bytes, folder: Path
) -> Form:
    connection.execute("drop table if exists reject_errors")
    connection.execute("drop table if exists reject_scans")
    readable, staged = folder / "readable.parquet", folder / "staged.parquet"
    if ".csv" in file.absolute.suffixes[-2:]:
        (names,) = csv.reader([first_line.decode("utf-8-sig").rstrip("\r\n")], strict=True)
        problem = compare_names(feed, names)
        if problem:
            return refused(*problem)
        unknown, lines_before = unknown_names(feed, names), 2
        select = _csv_rows(file, names, unknown)
    else:
        names, lines_before = [column.name for column in (*feed.columns, *BOOKKEEPING)], 1
        select = _json_rows(file, feed)
    copy(connection, select, readable)
    if scalar(connection, "select count(*) from reject_errors"):
        copy(connection, _with_rejected(readable, lines_before), staged)
    else:
        readable.replace(staged)
    rows = pq.read_metadata(staged).num_rows
    listed = f"read_parquet({text(str(staged))})"
    if lines_before == 1:
        unknown = [row[0] for row in connection.execute(f"select distinct unnest(row_extra) from {listed}").fetchall()]
    problems = f"select row_problem, count(*) from {listed} where row_problem is not null group by all order by all"
    found = sorted(connection.execute(problems).fetchall(), key=lambda row: -row[1])
    wrong = sum(count for _, count in found)
    if wrong > _MANY_LINES and 2 * wrong > rows:
        reason = _REASON_OF_FILE.get(found[0][0], found[0][0])
        return refused(reason, f"{wrong:,} of {rows:,} lines are no rows of the feed, most for {found[0][0]}", rows)
    types = tuple((name, pa.string()) for name in sorted({*names} - {*unknown} | {"row_problem"}))
    return Form(rows, types, detail=flags_of(rows, sorted(unknown)), staged=staged)


def _open(file: LandedFile) -> IO[bytes]:
    return gzip.open(file.absolute) if file.absolute.suffix == ".gz" else file.absolute.open("rb")


def _measure(file: LandedFile) -> tuple[int, bytes]:
    """How many bytes a file holds once decompressed, counted until they are too many, and its first line.

    Raises:
        EOFError: compressed content ends too early.
        OSError, zlib.error: it is no compressed content.
    """
    with _open(file) as stream:
        first_line = stream.readline(_LONGEST_LINE)
        if file.absolute.suffix != ".gz":
            return file.size, first_line
        size, most = len(first_line), max(_HARMLESS_BYTES, _MOST_EXPANSION * file.size)
        while size <= most and (chunk := stream.read(2**20)):
            size += len(chunk)
    return size, first_line


def _lines(file: LandedFile, columns: dict[str, str], options: str) -> str:
    """The SQL that reads a text file; lines that do not fit are kept in `reject_errors`."""
    listed = ", ".join(f"{text(name)}: {text(kind)}" for name, kind in columns.items())
    compression = "gzip" if file.absolute.suffix == ".gz" else "none"
    return (
        f"read_csv({text(str(file.absolute.resolve()))}, columns = {{{listed}}}, auto_detect = false, "
        f"store_rejects = true, compression = '{compression}', max_line_size = {_LONGEST_LINE}, {options})"
    )


def _csv_rows(file: LandedFile, names: list[str], unknown: list[str]) -> str:
    """The SELECT of the rows of a CSV file, in their order; empty text is null."""
    columns = {f"unknown_{number}" if name in unknown else name: "varchar" for number, name in enumerate(names)}
    options = "header = true, strict_mode = true, delim = ',', quote = '\"', escape = '\"', allow_quoted_nulls = true"
    known = ", ".join(name for name in names if name not in unknown)
    return f"""
        select {known}, null::varchar as row_problem, null::varchar as row_text, null::varchar[] as row_extra
        from {_lines(file, columns, options)}
    """


#: What JSON may hold for a column, beside text and null.
_JSON_TYPES = {Type.WHOLE: ("UBIGINT", "BIGINT"), Type.DECIMAL: ("UBIGINT", "BIGINT"), Type.FLAG: ("BOOLEAN",)}


def _json_rows(file: LandedFile, feed: Feed) -> str:
    """The SELECT of the rows of a JSON lines file, in their order; empty lines are none."""
    # Lines are cut by a character that no JSON text may hold.
    options = "header = false, strict_mode = false, delim = chr(31), quote = '', escape = ''".replace(
        "chr(31)", text("\x1f")
    )
    columns = (*feed.columns, *BOOKKEEPING)
    json_paths = ", ".join(text(f"$.{column.name}") for column in columns)
    known = ", ".join(text(column.name) for column in columns)
    values = ", ".join(f"fields[{place}] ->> '$' as {column.name}" for place, column in enumerate(columns, 1))
    wrong = " ".join(_wrong_json(column, f"fields[{place}]") for place, column in enumerate(columns, 1))
    absent = " or ".join(f"fields[{place}] is null" for place, c in enumerate(columns, 1) if not c.is_optional)
    return f"""
        with lines as (
            select line, case when json_valid(line) and json_type(line) = 'OBJECT' then json_keys(line) end as keys
            from {_lines(file, {"line": "varchar"}, options)}
            where trim(line) <> ''
        ),
        objects as (
            select
                line, list_filter(keys, lambda name: name not in ({known})) as row_extra,
                case when len(keys) = len(list_distinct(keys)) then json_extract(line, [{json_paths}]) end as fields
            from lines
        ),
        judged as (
            select {values}, line, row_extra,
                case when fields is null then 'row_shape' {wrong} when {absent} then 'value_missing' end as row_problem
            from objects
        )
        select
            * exclude (line, row_extra, row_problem),
            row_problem, case when row_problem is not null then line end as row_text, row_extra
        from judged
    """


def _wrong_json(column: Column, field: str) -> str:
    """The WHEN clauses that say what is wrong with the type of a value of an object."""
    binary = f"when json_type({field}) = 'DOUBLE' then 'money_float' " if column.type is Type.DECIMAL else ""
    allowed = ", ".join(text(kind) for kind in ("VARCHAR", "NULL", *_JSON_TYPES.get(column.type, ())))
    return f"{binary}when json_type({field}) not in ({allowed}) then 'row_cast'"


def _with_rejected(readable: Path, lines_before: int) -> str:
    """The SELECT of all rows in the order of their lines, with those that were rejected in their places.

    A rejected line knows its number, a readable row only how many came before it: the n-th readable row stands after
    every rejected line that has at most n readable ones before it.
    """
    return f"""
        with rejected as (
            select
                line - {lines_before} as place,
                case when bool_or(error_type = 'INVALID ENCODING') then 'row_encoding' else 'row_shape' end
                    as row_problem,
                trim(min(csv_line), chr(10) || chr(13)) as row_text
            from reject_errors group by line
        ),
        counted as (select place - row_number() over (order by place) + 1 as readable_before from rejected),
        steps as (
            select readable_before, sum(count(*)) over (order by readable_before) as rejected_before
            from counted group by readable_before
        ),
        placed as (
            select rows.* exclude (file_row_number), file_row_number + coalesce(rejected_before, 0) as place
            from read_parquet({text(str(readable))}, file_row_number = true) as rows
            asof left join steps on rows.file_row_number >= steps.readable_before
        )
        select * exclude (place) from (from placed union all by name from rejected) order by place
    """

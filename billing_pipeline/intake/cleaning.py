"""An arrival day becomes clean once: files are checked for their form, rows one by one against the contract.

A day is cleaned when it is first asked for and published as `arrivals/<feed>` under its day; it is not cleaned again
unless its list of files changes. What this leaves for later is only what needs other days: duplicates and corrections.

Parts of a cleaned day:

- `events`: one row per accepted raw row, typed, with hashes of its event and natural key. A hash only nominates rows
  for comparison and is never trusted to decide; it is valid for the DuckDB version noted in the facts.
- `meters`: one row per metered thing of the day (metered feeds).
- `files`: one row per raw file, with its row count, or the reason why it was refused whole.
- `quarantine`: one row per refused raw row.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

import duckdb
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from billing_pipeline.adapters.landing import LandedFile, Landing, day_end
from billing_pipeline.intake.contracts import BOOKKEEPING, METER_COLUMNS, OTHER_ID, OWNER_ID, Column, Feed, Type
from billing_pipeline.intake.engine import EngineLimits, copy, paths, session
from billing_pipeline.rules.period import microseconds
from billing_pipeline.warehouse import Generation, Publication, Warehouse

#: Plausible instants: a text of another century is a unit mistaken for another.
_EARLIEST_US, _LATEST_US = 631_152_000_000_000, 7_258_118_400_000_000

_FILES_SCHEMA = {
    "file_no": pl.Int32,
    "file_id": pl.String,
    "path": pl.String,
    "sha256": pl.String,
    "input_rows": pl.Int64,
    "refused_reason": pl.String,
    "detail": pl.String,
}


@dataclass(frozen=True)
class _Form:
    """What a file turned out to be: its columns by Arrow type, or the reason to refuse it."""

    rows: int = 0
    types: tuple[tuple[str, pa.DataType], ...] = ()
    refused_reason: str | None = None
    detail: str | None = None


def clean_days(
    feed: Feed, days: Sequence[date], landing: Landing, warehouse: Warehouse, limits: EngineLimits
) -> dict[date, Generation]:
    """The published clean form of arrival days; those that are missing or whose files have changed are made now.

    Days are independent, so each thread cleans days of its own.
    """
    listed = {day: landing.files(feed.name, day) for day in days}
    cleaned = {day: _current(feed, day, files, warehouse) for day, files in listed.items()}
    stale = [day for day, generation in cleaned.items() if generation is None]

    def clean(share: Sequence[date]) -> None:
        with session(limits.divided(), [landing.root, warehouse.root]) as connection:
            for day in share:
                _clean(connection, feed, day, listed[day], warehouse)

    shares = [share for share in (stale[start :: limits.threads] for start in range(limits.threads)) if share]
    with ThreadPoolExecutor(max_workers=limits.threads) as pool:
        list(pool.map(clean, shares))
    return {day: generation or warehouse.require(_table(feed), _partition(day)) for day, generation in cleaned.items()}


def _table(feed: Feed) -> str:
    return f"arrivals/{feed.name}"


def _partition(day: date) -> str:
    return f"day={day.isoformat()}"


def _facts(files: Sequence[LandedFile]) -> dict[str, object]:
    """What tells whether a cleaned day still holds: its files, and the engine whose hashes it carries."""
    return {"files": {file.path: file.size for file in files}, "engine": duckdb.__version__}


def _current(feed: Feed, day: date, files: Sequence[LandedFile], warehouse: Warehouse) -> Generation | None:
    current = warehouse.current(_table(feed), _partition(day))
    holds = (
        current is not None
        and current.manifest["facts"] == _facts(files)
        and current.manifest["code_version"] == warehouse.code_version
    )
    return current if holds else None


def _clean(
    connection: duckdb.DuckDBPyConnection, feed: Feed, day: date, files: Sequence[LandedFile], warehouse: Warehouse
) -> None:
    """Clean one arrival day and publish it."""
    forms = [_inspect(feed, file) for file in files]
    with warehouse.publishing(_table(feed), _partition(day), as_of=day_end(day), facts=_facts(files)) as publication:
        publication.write("files", _describe(files, forms))
        _load(connection, feed, files, forms)
        if feed.is_metered:
            _build_meters(connection, feed)
        _write(connection, feed, day, publication)
        _write_quarantine(connection, feed, day, files, publication)


def _inspect(feed: Feed, file: LandedFile) -> _Form:
    """Compare a file's form with the contract, from its footer alone."""
    if file.size == 0:
        return _Form(refused_reason="file_empty", detail="the file has no bytes")
    if file.absolute.suffix != ".parquet":
        return _Form(
            refused_reason="file_format", detail=f"{file.absolute.suffix or 'no'} ending; only .parquet is read"
        )
    try:
        footer = pq.ParquetFile(file.absolute)
    except (pa.ArrowInvalid, OSError) as error:
        return _Form(refused_reason="file_format", detail=f"not readable as Parquet: {error}".splitlines()[0][:200])
    with footer:
        schema, rows = footer.schema_arrow, footer.metadata.num_rows
    if len(set(schema.names)) != len(schema.names):
        return _Form(rows, refused_reason="schema_dupcol", detail=f"column names repeat: {schema.names}")
    known = {column.name: column for column in (*feed.columns, *BOOKKEEPING)}
    missing = sorted(c.name for c in known.values() if not c.is_optional and c.name not in schema.names)
    if missing:
        return _Form(
            rows, refused_reason="schema_missing", detail=f"required columns are missing: {', '.join(missing)}"
        )
    for name in sorted(set(schema.names) & set(known)):
        reason = _type_problem(known[name], schema.field(name).type)
        if reason:
            return _Form(rows, refused_reason=reason, detail=f"column {name} is {schema.field(name).type}")
    extra = sorted(set(schema.names) - set(known))
    types = tuple((name, _plain(schema.field(name).type)) for name in sorted(set(schema.names) & set(known)))
    return _Form(rows, types, detail=f"unknown columns kept out: {', '.join(extra)}" if extra else None)


def _plain(arrow: pa.DataType) -> pa.DataType:
    return arrow.value_type if pa.types.is_dictionary(arrow) else arrow


def _type_problem(column: Column, arrow: pa.DataType) -> str | None:
    """The reason code for a column of the wrong type, None if it can be read without loss."""
    arrow = _plain(arrow)
    is_text = pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow)
    if pa.types.is_null(arrow):
        return None if column.is_optional else "schema_type"
    match column.type:
        case Type.INSTANT if pa.types.is_timestamp(arrow):
            if arrow.tz is None:
                return "schema_tz"
            return "schema_type" if arrow.unit == "ns" else None
        case Type.DECIMAL if pa.types.is_floating(arrow):
            return "money_float"
        case Type.WHOLE if pa.types.is_uint64(arrow):
            return "schema_type"
        case Type.WHOLE if pa.types.is_decimal(arrow):
            return None if arrow.scale == 0 else "schema_type"
        case Type.DECIMAL if pa.types.is_decimal(arrow):
            return None if arrow.scale <= 20 and arrow.precision - arrow.scale <= 18 else "schema_type"
        case Type.WHOLE | Type.DECIMAL:
            return None if pa.types.is_integer(arrow) or is_text else "schema_type"
        case Type.DATE:
            return None if pa.types.is_date(arrow) or is_text else "schema_type"
        case Type.FLAG:
            return None if pa.types.is_boolean(arrow) else "schema_type"
        case _:
            return None if is_text else "schema_type"


def _describe(files: Sequence[LandedFile], forms: Sequence[_Form]) -> pl.DataFrame:
    """One row per raw file."""
    rows = []
    for no, (file, form) in enumerate(zip(files, forms, strict=True)):
        checksum = file.checksum()
        # The same bytes may land twice under two names and are two files then.
        file_id = hashlib.sha256(f"{file.path}|{checksum}".encode()).hexdigest()[:16]
        rows.append((no, file_id, file.path, checksum, form.rows, form.refused_reason, form.detail))
    return pl.DataFrame(rows, schema=_FILES_SCHEMA, orient="row")


def _load(
    connection: duckdb.DuckDBPyConnection, feed: Feed, files: Sequence[LandedFile], forms: Sequence[_Form]
) -> None:
    """Read all files of accepted form into the view `raw`: typed columns and the first problem of each row.

    Files are read together by form, so that no engine casts one file's types to another's.
    """
    by_form: defaultdict[tuple[tuple[str, pa.DataType], ...], list[int]] = defaultdict(list)
    for no, form in enumerate(forms):
        if form.types:
            by_form[form.types].append(no)
    selects = [
        _typed_select(feed, dict(types), numbers, [files[no] for no in numbers]) for types, numbers in by_form.items()
    ]
    if not selects:
        selects = [_typed_select(feed, {}, [], [])]
    connection.execute(f"create or replace temp view raw as {' union all by name '.join(selects)}")


def _parquet(files: Iterable[LandedFile]) -> str:
    """The SQL that reads raw files with the position of each row."""
    return f"read_parquet({paths(file.absolute.resolve() for file in files)}, file_row_number = true, hive_partitioning = false)"


def _typed_select(feed: Feed, types: dict[str, pa.DataType], numbers: list[int], files: list[LandedFile]) -> str:
    """The SELECT that types the columns of files of one form."""
    columns = (*feed.columns, *BOOKKEEPING)
    selected, problems = [], []
    deferred = METER_COLUMNS if feed.is_metered else ()
    for column in columns:
        value, problem = _typed(column, types.get(column.name))
        selected.append(f"{value} as {column.name}")
        if column.name in deferred:
            continue
        if not column.is_optional:
            problems.append(f"when {column.name} is null then 'value_missing'")
        if problem:
            problems.append(problem)
    case = f"case {' '.join(problems)} end"
    source = (
        _parquet(files)
        if files
        else f"(select {', '.join(f'null::varchar as {c.name}' for c in columns)}, 0 as file_index, 0 as file_row_number limit 0)"
    )
    return (
        f"select {numbers or [0]}[file_index::bigint + 1]::integer as file_no, file_row_number::bigint as file_row, "
        f"{', '.join(selected)}, {case.replace('case  end', 'null')} as problem from {source} as landed"
    )


def _typed(column: Column, arrow: pa.DataType | None) -> tuple[str, str | None]:
    """SQL of a column's typed value, and the WHEN clause that says what is wrong with it (on the raw column)."""
    name = f"landed.{column.name}"
    if arrow is None or pa.types.is_null(arrow):
        empty = {Type.INSTANT: "bigint", Type.WHOLE: "bigint", Type.DATE: "date", Type.FLAG: "boolean"}
        return f"null::{empty.get(column.type, 'varchar')}", None
    is_text = pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow)
    match column.type:
        case Type.OWNER:
            return name, f"when not regexp_full_match({name}, '{OWNER_ID}') then 'id_syntax'"
        case Type.ID:
            return name, f"when not regexp_full_match({name}, '{OTHER_ID}') then 'id_syntax'"
        case Type.INSTANT if is_text:
            local = "[0-9]{4}-[0-9]{2}-[0-9]{2}[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?"
            valid = f"regexp_full_match({name}, '{local}(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])')"
            value = f"epoch_us(case when {valid} then try_cast({name} as timestamptz) end)"
            return value, (
                f"when regexp_full_match({name}, '{local}') then 'naive_timestamp' "
                f"when {name} is not null and {value} is null then 'time_syntax' "
                f"when {value} not between {_EARLIEST_US} and {_LATEST_US} then 'time_range'"
            )
        case Type.INSTANT:
            value = f"epoch_us({name})"
            return value, f"when {value} not between {_EARLIEST_US} and {_LATEST_US} then 'time_range'"
        case Type.DATE if is_text:
            value = f"case when regexp_full_match({name}, '[0-9]{{4}}-[0-9]{{2}}-[0-9]{{2}}') then try_cast({name} as date) end"
            return value, f"when {name} is not null and {value} is null then 'time_syntax'"
        case Type.WHOLE if is_text:
            value = f"case when regexp_full_match({name}, '-?[0-9]{{1,18}}') then {name}::bigint end"
            return value, f"when {name} is not null and {value} is null then 'number_syntax'"
        case Type.WHOLE:
            return f"{name}::bigint", None
        case Type.DECIMAL if is_text:
            value = f"case when regexp_full_match({name}, '-?[0-9]{{1,18}}(\\.[0-9]{{1,20}})?') then {name} end"
            return value, f"when {name} is not null and {value} is null then 'number_syntax'"
        case Type.DECIMAL:
            return f"{name}::varchar", None
        case _:
            return name, None


def _build_meters(connection: duckdb.DuckDBPyConnection, feed: Feed) -> None:
    """Make the temporary table `meters`: one row per metered thing of the day, ids checked once instead of per row."""
    ids = [column for column in feed.columns if column.name in METER_COLUMNS and column.name != "resource_name"]
    names = ", ".join(column.name for column in ids)
    problems = " ".join(
        f"when {c.name} is null then 'value_missing' "
        f"when not regexp_full_match({c.name}, '{OWNER_ID if c.type is Type.OWNER else OTHER_ID}') then 'id_syntax'"
        for c in ids
    )
    connection.execute(f"""
        create or replace temp table meters as
        select
            row_number() over (order by {names}) - 1 as meter_no,
            {names},
            {feed.slug} as slug,
            max({{'at': ingested_at, 'name': resource_name}}) filter (resource_name is not null) as named,
            case {problems} end as problem
        from raw
        group by {names}
    """)


def _write(connection: duckdb.DuckDBPyConnection, feed: Feed, day: date, publication: Publication) -> None:
    """Write the part `events`, and `meters` for a metered feed."""
    copy(
        connection, f"select * from ({_accepted(feed, day)}) where problem is null", publication.path("events.parquet")
    )
    if feed.is_metered:
        meters = "select meter_no, owner_id, resource_id, named.name as resource_name, named.at as named_us, slug, zone"
        copy(
            connection,
            f"{meters} from meters where problem is null order by meter_no",
            publication.path("meters.parquet"),
        )


def _accepted(feed: Feed, day: date) -> str:
    """The SELECT of a day's rows with their bookkeeping and the first problem of each."""
    values = ", ".join(f"raw.{column.name}" for column in feed.values)
    checks = " ".join(f"when {condition} then '{reason}'" for reason, condition in feed.all_checks)
    # A withdrawal names its key; nothing else of it is read.
    keys = ", ".join("meters.slug" if name == "slug" else f"raw.{name}" for name in feed.key_columns)
    verdict = f"case when coalesce(is_deleted, false) then null {checks} end"
    found = f"coalesce(raw.problem{', meters.problem' if feed.is_metered else ''}, {verdict})"
    ids = [c.name for c in feed.columns if c.name in METER_COLUMNS and c.name != "resource_name"]
    # Ids that are null or malformed find a meter too, which says what is wrong with them.
    join = " and ".join(f"raw.{name} is not distinct from meters.{name}" for name in ids)
    return f"""
        select
            {"meters.meter_no, " if feed.is_metered else ""}{values},
            raw.source, raw.event_id, raw.ingested_at, coalesce(raw.is_deleted, false) as is_deleted,
            greatest(raw.ingested_at, {microseconds(day_end(day))}) as seen_us,
            hash(raw.source, raw.event_id) as event_hash,
            hash({keys}) as key_hash,
            raw.file_no, raw.file_row, {found} as problem
        from raw {f"inner join meters on {join}" if feed.is_metered else ""}
    """


def _write_quarantine(
    connection: duckdb.DuckDBPyConnection, feed: Feed, day: date, files: Sequence[LandedFile], publication: Publication
) -> None:
    """Write the part `quarantine`: the refused rows, whole, as they stand in their files."""
    problems = f"select file_no, file_row, problem, seen_us from ({_accepted(feed, day)}) where problem is not null"
    connection.execute(f"create or replace temp table problems as {problems}")
    concerned = [row[0] for row in connection.execute("select distinct file_no from problems order by all").fetchall()]
    selects = [
        f"""
        select {no}::integer as file_no, file_row, problem as reason, seen_us, to_json(landed)::varchar as raw
        from (select * from {_parquet([files[no]])}) as landed
        inner join (select * from problems where file_no = {no}) on file_row = file_row_number
        """
        for no in concerned
    ] or ["select 0::integer as file_no, 0::bigint as file_row, '' as reason, 0::bigint as seen_us, '' as raw limit 0"]
    union = " union all ".join(selects)
    copy(connection, f"select * from ({union}) order by file_no, file_row", publication.path("quarantine.parquet"))

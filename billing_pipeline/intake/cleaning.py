"""An arrival day becomes clean once: files are checked for their form, rows one by one against the contract.

A day is cleaned when it is first asked for and published as `arrivals/<feed>` under its day; it is not cleaned again
unless its list of files changes. What this leaves for later is only what needs other days: duplicates and corrections.

Parts of a cleaned day:

- `events`: one row per accepted raw row, typed, with hashes of its event, its natural key and its meter. The first two
  only nominate rows for comparison; the third stands for the meter, because no two meters are let through that share
  it. Hashes are valid for the DuckDB version noted in the facts.
- `meters`: one row per metered thing of the day and name of its resource (metered feeds).
- `quarantine`: one row per refused raw row; there only if there is one.

The facts list the raw files in the order of their numbers, with the reason of each that was refused whole.
"""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from billing_pipeline.adapters.landing import LandedFile, Landing, day_end
from billing_pipeline.intake.contracts import BOOKKEEPING, METER_COLUMNS, OTHER_ID, OWNER_ID, Column, Feed, Type
from billing_pipeline.intake.engine import EngineLimits, copy, paths, scalar, session
from billing_pipeline.intake.windows import Window
from billing_pipeline.rules.period import microseconds
from billing_pipeline.warehouse import Generation, Publication, Warehouse

#: Plausible instants: a text of another century is a unit mistaken for another.
_EARLIEST_US, _LATEST_US = 631_152_000_000_000, 7_258_118_400_000_000


class HashCollision(RuntimeError):
    """Two metered things of one feed have the same 64-bit hash: once in 10^9 months of 100,000 meters."""


class FileInClosedDay(RuntimeError):
    """A file was put into the folder of a day that an older month has already counted."""


@dataclass(frozen=True)
class _Form:
    """What a file turned out to be: its columns by Arrow type, or the reason to refuse it."""

    rows: int = 0
    types: tuple[tuple[str, pa.DataType], ...] = ()
    refused_reason: str | None = None
    detail: str | None = None

    @property
    def is_accepted(self) -> bool:
        """Whether the file's rows are read."""
        return self.refused_reason is None


def clean_arrivals(
    feed: Feed,
    window: Window,
    landing: Landing,
    warehouse: Warehouse,
    limits: EngineLimits,
    *,
    whole_history: bool = False,
) -> dict[date, Generation]:
    """The cleaned arrival days that a run reads, in order; those that are missing or have changed are made now.

    Days are independent, so each thread cleans days of its own.

    Args:
        feed: what landed.
        window: selects the days that may hold usage of the window or of the month; of reference data all are read.
        landing: where the files are.
        warehouse: where cleaned days are published.
        limits: what may be taken of the machine.
        whole_history: read every day that had ended by `as_of`, of usage too.

    Raises:
        FileInClosedDay: a day that an older month has counted holds a file that was not there then.
    """
    listed = {day: landing.files(feed.name, day) for day in landing.days(feed.name, window.as_of)}
    recorded = {day: warehouse.current(_table(feed), _partition(day)) for day in listed}
    _require_closed_days_unchanged(feed, window, listed, recorded)
    needed = {
        day: generation
        for day, generation in recorded.items()
        if whole_history or not feed.is_usage or window.needs(_seen_until_us(day, generation))
    }
    stale = [day for day, generation in needed.items() if not _holds(generation, listed[day], warehouse)]

    def clean(share: Sequence[date]) -> None:
        with session(limits.divided(), [landing.root, warehouse.root]) as connection:
            for day in share:
                needed[day] = _clean(connection, feed, day, listed[day], warehouse)

    shares = [share for share in (stale[start :: limits.threads] for start in range(limits.threads)) if share]
    with ThreadPoolExecutor(max_workers=limits.threads) as pool:
        list(pool.map(clean, shares))
    return {day: generation for day, generation in needed.items() if generation}


def _require_closed_days_unchanged(
    feed: Feed,
    window: Window,
    listed: Mapping[date, Sequence[LandedFile]],
    recorded: Mapping[date, Generation | None],
) -> None:
    """Stop where a file appeared in a day that was counted before: no window would ever count its rows.

    Raises:
        FileInClosedDay: there is such a file.
    """
    if window.since is None:
        return
    unseen = [
        file.path
        for day, files in listed.items()
        if day_end(day) <= window.since
        for file in files
        if _sizes(recorded[day]).get(file.path) != file.size
    ]
    if unseen:
        message = (
            f"{len(unseen)} files of {feed.name} appeared or changed, in the folders of days that were counted when "
            f"{window.period.month.previous} was closed (as of {window.since:%Y-%m-%dT%H:%M:%SZ}): "
            f"{', '.join(unseen[:5])}; a file belongs into the folder of the UTC day on which it lands: move it there, "
            f"or close {window.period.month.previous} again if it is not issued"
        )
        raise FileInClosedDay(message)


def _table(feed: Feed) -> str:
    return f"arrivals/{feed.name}"


def _partition(day: date) -> str:
    return f"day={day.isoformat()}"


def _seen_until_us(day: date, generation: Generation | None) -> int:
    """When the last row of a day is seen: at the day's end, or when it was taken in, if that was later."""
    return generation.manifest["facts"]["seen_until_us"] if generation else microseconds(day_end(day))


def _sizes(generation: Generation | None) -> dict[str, int]:
    """The raw files that a cleaned day was made from, by path."""
    return {file["path"]: file["size"] for file in generation.manifest["facts"]["files"]} if generation else {}


def _holds(generation: Generation | None, files: Sequence[LandedFile], warehouse: Warehouse) -> bool:
    """Whether a cleaned day is still what its files, this code and this engine's hashes would give."""
    return (
        generation is not None
        and _sizes(generation) == {file.path: file.size for file in files}
        and generation.manifest["facts"]["engine"] == duckdb.__version__
        and generation.manifest["code_version"] == warehouse.code_version
    )


def _clean(
    connection: duckdb.DuckDBPyConnection, feed: Feed, day: date, files: Sequence[LandedFile], warehouse: Warehouse
) -> Generation:
    """Clean one arrival day and publish it; a file whose pages turn out to be damaged is refused whole."""
    forms = [_inspect(feed, file) for file in files]
    try:
        return _publish(connection, feed, day, files, forms, warehouse)
    except duckdb.Error:
        readable = [_read_through(connection, file, form) for file, form in zip(files, forms, strict=True)]
        if readable == forms:
            raise
        return _publish(connection, feed, day, files, readable, warehouse)


def _publish(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    day: date,
    files: Sequence[LandedFile],
    forms: Sequence[_Form],
    warehouse: Warehouse,
) -> Generation:
    """Clean the readable files of a day and publish what came of them."""
    _load(connection, feed, files, forms)
    end_us = microseconds(day_end(day))
    latest_us = scalar(connection, f"select max(ingested_at) from raw where ingested_at <= {_LATEST_US}")
    facts = {
        "files": [_describe(file, form) for file, form in zip(files, forms, strict=True)],
        "engine": duckdb.__version__,
        # Rows that were taken in after the day's end are not seen before that.
        "seen_until_us": max(end_us, latest_us or 0),
    }
    with warehouse.publishing(_table(feed), _partition(day), as_of=day_end(day), facts=facts) as publication:
        if feed.is_metered:
            _write_meters(connection, feed, publication)
        accepted = copy(
            connection,
            f"select * exclude (problem) from ({_judged(connection, feed, end_us)}) where problem is null",
            publication.path("events.parquet"),
        )
        if accepted < sum(form.rows for form in forms if form.is_accepted):
            _write_quarantine(connection, feed, end_us, files, publication)
    return publication.generation


def _read_through(connection: duckdb.DuckDBPyConnection, file: LandedFile, form: _Form) -> _Form:
    """The form of a file once each of its pages was read."""
    if not form.is_accepted:
        return form
    columns = ", ".join(f"max({name})" for name, _ in form.types)
    try:
        connection.execute(f"select {columns} from {_parquet([file])}")
    except duckdb.Error as error:
        return _Form(form.rows, refused_reason="file_format", detail=f"a page is damaged: {error}"[:200])
    return form


def _inspect(feed: Feed, file: LandedFile) -> _Form:
    """Compare a file's form with the contract, from its footer alone."""
    if file.leads_away:
        return _Form(refused_reason="file_path", detail="a link that leads out of the landing folder")
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


def _is_text(arrow: pa.DataType) -> bool:
    return pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow)


def _type_problem(column: Column, arrow: pa.DataType) -> str | None:
    """The reason code for a column of the wrong type, None if it can be read without loss."""
    arrow = _plain(arrow)
    if column.type is Type.INSTANT and pa.types.is_timestamp(arrow) and arrow.tz is None:
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
            return arrow.unit != "ns"
        case Type.DATE if pa.types.is_date(arrow):
            return True
        case Type.WHOLE if pa.types.is_decimal(arrow):
            return arrow.scale == 0
        case Type.DECIMAL if pa.types.is_decimal(arrow):
            return arrow.scale <= 20 and arrow.precision - arrow.scale <= 18
        case Type.WHOLE | Type.DECIMAL if pa.types.is_integer(arrow):
            return not pa.types.is_uint64(arrow)
        case _:
            return _is_text(arrow)


def _describe(file: LandedFile, form: _Form) -> dict[str, object]:
    """What the facts say of a raw file."""
    checksum = file.checksum()
    return {
        # The same bytes may land twice under two names and are two files then.
        "file_id": hashlib.sha256(f"{file.path}|{checksum}".encode()).hexdigest()[:16],
        "path": file.path,
        "sha256": checksum,
        "size": file.size,
        "refused_reason": form.refused_reason,
        "detail": form.detail,
    }


def _load(
    connection: duckdb.DuckDBPyConnection, feed: Feed, files: Sequence[LandedFile], forms: Sequence[_Form]
) -> None:
    """Read all files of accepted form into the view `raw`: typed columns and the first problem of each row.

    Files are read together by form, so that no engine casts one file's types to another's.
    """
    by_form: defaultdict[tuple[tuple[str, pa.DataType], ...], list[int]] = defaultdict(list)
    for no, form in enumerate(forms):
        if form.is_accepted:
            by_form[form.types].append(no)
    selects = [
        _typed_select(feed, dict(types), numbers, [files[no] for no in numbers]) for types, numbers in by_form.items()
    ]
    union = " union all by name ".join(selects or [_typed_select(feed, {}, [], [])])
    connection.execute(f"create or replace temp view raw as {union}")


def _parquet(files: Iterable[LandedFile]) -> str:
    """The SQL that reads raw files with the position of each row."""
    listed = paths(file.absolute.resolve() for file in files)
    return f"read_parquet({listed}, file_row_number = true, hive_partitioning = false)"


def _typed_select(feed: Feed, types: dict[str, pa.DataType], numbers: list[int], files: list[LandedFile]) -> str:
    """The SELECT that types the columns of files of one form."""
    columns = (*feed.columns, *BOOKKEEPING)
    selected, problems = [], []
    deferred = METER_COLUMNS if feed.is_metered else ()
    for column in columns:
        value, problem = _typed(column, types.get(column.name))
        selected.append(f"{value} as {column.name}")
        if column.name not in deferred:
            missing = "" if column.may_be_null else f"when {column.name} is null then 'value_missing' "
            problems.append(missing + problem)
    nothing = ", ".join(f"null::varchar as {column.name}" for column in columns)
    source = _parquet(files) if files else f"(select {nothing}, 0 as file_index, 0 as file_row_number where false)"
    return (
        f"select {numbers or [0]}[file_index::bigint + 1]::integer as file_no, file_row_number::bigint as file_row, "
        f"{', '.join(selected)}, case {' '.join(problems)} end as problem from {source} as landed"
    )


#: SQL types of clean values; all others are text.
_VALUE_TYPES = {Type.INSTANT: "bigint", Type.WHOLE: "bigint", Type.DATE: "date", Type.FLAG: "boolean"}

_DAY_TEXT = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_LOCAL_TEXT = _DAY_TEXT + "[T ]([01][0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9](\\.[0-9]{1,6})?"
_INSTANT_TEXT = _LOCAL_TEXT + "(Z|[+-](0[0-9]|1[0-4]):[0-5][0-9])"
_WHOLE_TEXT = "-?[0-9]{1,18}"
_DECIMAL_TEXT = "-?[0-9]{1,18}(\\.[0-9]{1,20})?"


def _typed(column: Column, arrow: pa.DataType | None) -> tuple[str, str]:
    """SQL of a column's typed value, and the WHEN clauses that say what is wrong with it (on the raw column)."""
    name = f"landed.{column.name}"
    if arrow is None or pa.types.is_null(arrow):
        return f"null::{_VALUE_TYPES.get(column.type, 'varchar')}", ""
    match column.type:
        case Type.OWNER | Type.ID | Type.ID_IF_ON:
            return name, f"when {_is_malformed(column, name)} then 'id_syntax'"
        case Type.INSTANT:
            return _typed_instant(name, is_text=_is_text(arrow))
        case Type.DATE:
            value = _matching(name, _DAY_TEXT, "date") if _is_text(arrow) else name
            return value, _unless_read(name, value, "time_syntax")
        case Type.WHOLE:
            value = _matching(name, _WHOLE_TEXT, "bigint") if _is_text(arrow) else f"try_cast({name} as bigint)"
            return value, _unless_read(name, value, "number_syntax")
        case Type.DECIMAL:
            value = _matching(f"{name}::varchar", _DECIMAL_TEXT, "varchar")
            return value, _unless_read(name, value, "number_syntax")
        case _:
            return name, ""


def _is_malformed(column: Column, value: str) -> str:
    """SQL of whether an id breaks its syntax; unknown where it is null."""
    pattern = OWNER_ID if column.type is Type.OWNER else OTHER_ID
    is_on = f"{value} <> '' and " if column.type is Type.ID_IF_ON else ""
    return f"({is_on}not regexp_full_match({value}, '{pattern}'))"


def _typed_instant(name: str, *, is_text: bool) -> tuple[str, str]:
    value = f"epoch_us({_matching(name, _INSTANT_TEXT, 'timestamptz') if is_text else name})"
    naive = f"when regexp_full_match({name}, '{_LOCAL_TEXT}') then 'naive_timestamp' " if is_text else ""
    out_of_range = f"when {value} not between {_EARLIEST_US} and {_LATEST_US} then 'time_range'"
    return value, f"{naive}{_unless_read(name, value, 'time_syntax') if is_text else ''} {out_of_range}"


def _matching(name: str, pattern: str, kind: str) -> str:
    """SQL of a text as a value; null where it does not match the pattern or names no value."""
    return f"case when regexp_full_match({name}, '{pattern}') then try_cast({name} as {kind}) end"


def _unless_read(name: str, value: str, reason: str) -> str:
    return f"when {name} is not null and {value} is null then '{reason}'"


def _write_meters(connection: duckdb.DuckDBPyConnection, feed: Feed, publication: Publication) -> None:
    """Write the part `meters`, and leave `refused_meters`: the hashes of those whose ids are wrong.

    Ids are checked here, once, instead of per row.

    Raises:
        HashCollision: two meters have the same hash.
    """
    ids = _meter_ids(feed)
    names = ", ".join(column.name for column in ids)
    missing = " or ".join(f"{column.name} is null" for column in ids if not column.may_be_null)
    malformed = " or ".join(_is_malformed(column, column.name) for column in ids)
    connection.execute(f"""
        create or replace temp table meters as
        select
            meter_hash, {names}, {feed.slug} as slug, resource_name, named_us,
            case when {missing} then 'value_missing' when {malformed} then 'id_syntax' end as problem
        from (
            select {_hash(ids)} as meter_hash, {names}, resource_name, max(ingested_at) as named_us
            from raw group by {names}, resource_name
        )
    """)
    require_unlike_hashes(connection, f"select meter_hash, {names} from meters")
    connection.execute("""
        create or replace temp table refused_meters as
        select distinct meter_hash, problem from meters where problem is not null
    """)
    columns = "meter_hash, owner_id, resource_id, slug, zone, resource_name, named_us"
    copy(connection, f"select {columns} from meters where problem is null", publication.path("meters.parquet"))


def require_unlike_hashes(connection: duckdb.DuckDBPyConnection, meters: str) -> None:
    """Check that a hash stands for one meter only.

    Raises:
        HashCollision: two meters have the same hash.
    """
    repeated = f"select meter_hash from ({meters}) group by meter_hash having count(*) > 1"
    connection.execute(f"""
        create or replace temp table suspects as
        select distinct * from ({meters}) where meter_hash in ({repeated})
    """)
    collided = "select meter_hash from suspects group by meter_hash having count(*) > 1"
    query = f"from suspects where meter_hash in ({collided}) order by all limit 2"
    found = connection.execute(query).fetchall()
    if found:
        message = f"the meters {found[0][1:]} and {found[1][1:]} have the same hash; rename one of the two resources"
        raise HashCollision(message)


def _meter_ids(feed: Feed) -> list[Column]:
    """The raw columns that a meter is identified by."""
    return [column for column in feed.columns if column.name in METER_COLUMNS and column.name != "resource_name"]


def _hash(columns: Iterable[Column]) -> str:
    return f"hash({', '.join(column.name for column in columns)})"


def _judged(connection: duckdb.DuckDBPyConnection, feed: Feed, day_end_us: int) -> str:
    """The SELECT of a day's rows with their bookkeeping and the first problem of each."""
    values = ", ".join(column.name for column in feed.values)
    checks = " ".join(f"when {condition} then '{reason}'" for reason, condition in feed.all_checks)
    verdict = f"case {checks} end" if checks else "null"
    keys = ", ".join(str(feed.slug) if name == "slug" else name for name in feed.key_columns)
    meter_hash, of_meter = "", ""
    if feed.is_metered:
        meter_hash = f"{_hash(_meter_ids(feed))} as meter_hash,"
        if scalar(connection, "select count(*) from refused_meters"):
            of_meter = f", (select problem from refused_meters as bad where bad.meter_hash = {_hash(_meter_ids(feed))})"
    return f"""
        select
            {meter_hash} {values},
            source, event_id, ingested_at, coalesce(is_deleted, false) as is_deleted,
            greatest(ingested_at, {day_end_us}) as seen_us,
            hash(source, event_id) as event_hash, hash({keys}) as key_hash,
            file_no, file_row, coalesce(problem{of_meter}, {verdict}) as problem
        from raw
    """


def _write_quarantine(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    day_end_us: int,
    files: Sequence[LandedFile],
    publication: Publication,
) -> None:
    """Write the part `quarantine`: the refused rows, whole, as they stand in their files."""
    problems = (
        f"select file_no, file_row, problem from ({_judged(connection, feed, day_end_us)}) where problem is not null"
    )
    connection.execute(f"create or replace temp table problems as {problems}")
    concerned = [row[0] for row in connection.execute("select distinct file_no from problems order by all").fetchall()]
    union = " union all ".join(
        f"""
        select {no}::integer as file_no, file_row, problem as reason, to_json(landed)::varchar as raw
        from (select * from {_parquet([files[no]])}) as landed
        inner join (select * from problems where file_no = {no}) on file_row = file_row_number
        """
        for no in concerned
    )
    copy(connection, f"select * from ({union}) order by file_no, file_row", publication.path("quarantine.parquet"))

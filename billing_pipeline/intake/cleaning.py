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

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from datetime import date
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import NamedTuple

import duckdb
import pyarrow as pa

from billing_pipeline.adapters.landing import LandedFile, Landing, day_end
from billing_pipeline.intake.contracts import BOOKKEEPING, METER_COLUMNS, OTHER_ID, OWNER_ID, Column, Feed, Type
from billing_pipeline.intake.engine import EngineLimits, copy, paths, scalar, session
from billing_pipeline.intake.forms import Form, inspect_parquet, is_text, refuse_unread, refused
from billing_pipeline.intake.texts import OF_LINES, is_text_file, stage_parquet, stage_text
from billing_pipeline.intake.windows import Window
from billing_pipeline.rules.evidence import identify_file
from billing_pipeline.rules.period import microseconds
from billing_pipeline.warehouse import Generation, Publication, Warehouse

#: Plausible instants: a text of another century is a unit mistaken for another.
_EARLIEST_US, _LATEST_US = 631_152_000_000_000, 7_258_118_400_000_000

#: Up to so many rows of a day are typed once, for all questions; of more, each question reads what it needs.
_TYPED_ONCE = 50_000


class HashCollision(RuntimeError):
    """Two metered things of one feed have the same 64-bit hash: once in 10^9 months of 100,000 meters."""


class FileInClosedDay(RuntimeError):
    """A file was put into the folder of a day that an older month has already counted."""


class Arrivals(NamedTuple):
    """The cleaned arrival days that a run reads."""

    #: In order.
    days: dict[date, Generation]
    #: The last day on which each source landed a row.
    last_days: dict[str, date]
    #: Files whose bytes had landed before under another name, with that name; their rows count where they came first.
    repeated: dict[str, str]


def clean_arrivals(
    feed: Feed,
    window: Window,
    landing: Landing,
    warehouse: Warehouse,
    limits: EngineLimits,
    *,
    whole_history: bool = False,
) -> Arrivals:
    """The cleaned arrival days that a run reads; those that are missing or have changed are made now.

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
        with (
            TemporaryDirectory(prefix="billing-texts-") as texts,
            session(limits.divided(), [landing.root, warehouse.root, Path(texts)]) as connection,
        ):
            for day in share:
                needed[day] = _clean(connection, feed, day, listed[day], warehouse, Path(texts))

    shares = [share for share in (stale[start :: limits.threads] for start in range(limits.threads)) if share]
    with ThreadPoolExecutor(max_workers=limits.threads) as pool:
        list(pool.map(clean, shares))
    days = {day: generation for day, generation in needed.items() if generation}
    known = {day: generation for day, generation in (recorded | days).items() if generation}
    # Days that an older version of the code cleaned know no sources.
    last_days = {source: day for day in sorted(known) for source in known[day].manifest["facts"].get("sources", ())}
    return Arrivals(days, last_days, _repeated(known))


def _repeated(days: Mapping[date, Generation]) -> dict[str, str]:
    """The files whose bytes had landed before under another name, with that name."""
    first: dict[str, str] = {}
    files = [file for day in sorted(days) for file in days[day].manifest["facts"]["files"]]
    return {
        file["path"]: first[file["sha256"]]
        for file in files
        if file["refused_reason"] is None and first.setdefault(file["sha256"], file["path"]) != file["path"]
    }


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
        for file in _unrecorded(files, recorded[day])
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


def _unrecorded(files: Sequence[LandedFile], generation: Generation | None) -> list[LandedFile]:
    """The files that a cleaned day was not made from as they are; bytes are read only of those touched since."""
    if generation is None:
        return list(files)
    recorded = {entry["path"]: entry for entry in generation.manifest["facts"]["files"]}
    made_ns = generation.path.stat().st_mtime_ns

    def is_recorded(file: LandedFile) -> bool:
        entry = recorded.get(file.path)
        if entry is None or entry["size"] != file.size:
            return False
        is_as_announced = file.announced_sha256 in (None, entry["sha256"])
        if is_as_announced == (entry["refused_reason"] == "file_checksum"):
            return False
        return file.changed_ns <= made_ns or file.sha256 == entry["sha256"]

    return [file for file in files if not is_recorded(file)]


def _holds(generation: Generation | None, files: Sequence[LandedFile], warehouse: Warehouse) -> bool:
    """Whether a cleaned day is still what its files, this code and this engine's hashes would give."""
    return (
        generation is not None
        and len(generation.manifest["facts"]["files"]) == len(files)
        and not _unrecorded(files, generation)
        and generation.manifest["facts"]["engine"] == duckdb.__version__
        and generation.manifest["code_version"] == warehouse.code_version
    )


def _clean(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    day: date,
    files: Sequence[LandedFile],
    warehouse: Warehouse,
    texts: Path,
) -> Generation:
    """Clean one arrival day and publish it; a file whose pages turn out to be damaged is refused whole."""
    with TemporaryDirectory(dir=texts) as folder:
        forms = []
        for number, file in enumerate(files):
            own = Path(folder) / str(number)
            own.mkdir()
            forms.append(_inspect(connection, feed, file, own))
        try:
            return _publish(connection, feed, day, files, forms, warehouse)
        except duckdb.Error:
            readable = [
                _read_through(connection, file, form, Path(folder) / str(number))
                for number, (file, form) in enumerate(zip(files, forms, strict=True))
            ]
            if readable == forms:
                raise
            return _publish(connection, feed, day, files, readable, warehouse)


def _inspect(connection: duckdb.DuckDBPyConnection, feed: Feed, file: LandedFile, folder: Path) -> Form:
    """The form of a file, whatever its ending."""
    unread = refuse_unread(file)
    if unread:
        return unread
    if is_text_file(file):
        return stage_text(connection, feed, file, folder)
    if file.absolute.suffix == ".parquet":
        return inspect_parquet(feed, file)
    return refused("file_format", f"{file.absolute.suffix or 'no'} ending; .parquet, .csv and .jsonl are read")


def _publish(
    connection: duckdb.DuckDBPyConnection,
    feed: Feed,
    day: date,
    files: Sequence[LandedFile],
    forms: Sequence[Form],
    warehouse: Warehouse,
) -> Generation:
    """Clean the readable files of a day and publish what came of them."""
    _load(connection, feed, files, forms)
    forms = _with_leaps(connection, feed, forms)
    end_us = microseconds(day_end(day))
    told = f"select max(ingested_at) filter (ingested_at <= {_LATEST_US}), array_agg(distinct source) from raw"
    latest_us, sources = connection.execute(told).fetchone() or (None, None)
    facts = {
        "sources": sorted(source for source in sources or () if source and re.fullmatch(OTHER_ID, source, re.ASCII)),
        "files": [_describe(file, form) for file, form in zip(files, forms, strict=True)],
        "superseded": _superseded(warehouse.current(_table(feed), _partition(day)), files),
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
            _write_quarantine(connection, feed, end_us, files, forms, publication)
    return publication.generation


def _read_through(connection: duckdb.DuckDBPyConnection, file: LandedFile, form: Form, folder: Path) -> Form:
    """The form of a file once each of its pages was read; texts that are none are marked in a copy."""
    if not form.is_accepted:
        return form
    try:
        connection.execute(f"select max(hash(landed)) from {_parquet([_content(file, form)])} as landed")
    except duckdb.Error as error:
        try:
            return stage_parquet(file, form, folder) if "is not valid UTF8" in str(error) else _damaged(form, error)
        except (OSError, pa.ArrowException):
            return _damaged(form, error)
    return form


def _damaged(form: Form, error: Exception) -> Form:
    return refused("file_format", f"a page is damaged: {error}", form.rows)


def _with_leaps(connection: duckdb.DuckDBPyConnection, feed: Feed, forms: Sequence[Form]) -> list[Form]:
    """The forms, flagged where instants as text were leap seconds."""
    instants = [column for column in (*feed.columns, *BOOKKEEPING) if column.type is Type.INSTANT]
    if not any(_is_text_in(dict(form.types), column) for form in forms for column in instants):
        return list(forms)
    counted = "select file_no, count(*) from raw where has_leap and problem is null group by all"
    leaps = dict(connection.execute(counted).fetchall())
    return [
        replace(form, detail="; ".join([*form.flags, f"leap: {leaps[no]:,} rows"])) if leaps.get(no) else form
        for no, form in enumerate(forms)
    ]


def _superseded(before: Generation | None, files: Sequence[LandedFile]) -> list[dict[str, str]]:
    """The files whose place other bytes took while the day could still change, the ones known before included."""
    if before is None:
        return []
    taken = {file.path: file.sha256 for file in files}
    known = [*before.manifest["facts"].get("superseded", ()), *before.manifest["facts"]["files"]]
    listed = {
        entry["file_id"]: {name: entry[name] for name in ("file_id", "path", "sha256")}
        for entry in known
        if taken.get(entry["path"], entry["sha256"]) != entry["sha256"]
    }
    return [listed[file_id] for file_id in sorted(listed)]


def _describe(file: LandedFile, form: Form) -> dict[str, object]:
    """What the facts say of a raw file."""
    return {
        "file_id": identify_file(file.path, file.sha256),
        "path": file.path,
        "sha256": file.sha256,
        "size": file.size,
        "refused_reason": form.refused_reason,
        "detail": form.detail,
    }


def _load(
    connection: duckdb.DuckDBPyConnection, feed: Feed, files: Sequence[LandedFile], forms: Sequence[Form]
) -> None:
    """Read all files of accepted form into the view `raw`: typed columns and the first problem of each row.

    Files are read together by form, so that no engine casts one file's types to another's.
    """
    by_form: defaultdict[tuple[tuple[str, pa.DataType], ...], list[int]] = defaultdict(list)
    for no, form in enumerate(forms):
        if form.is_accepted:
            by_form[form.types].append(no)
    selects = [
        _typed_select(feed, dict(types), numbers, [_content(files[no], forms[no]) for no in numbers])
        for types, numbers in by_form.items()
    ]
    union = " union all by name ".join(selects or [_typed_select(feed, {}, [], [])])
    if sum(form.rows for form in forms if form.is_accepted) <= _TYPED_ONCE:
        connection.execute(f"create or replace temp table typed_rows as {union}")
        union = "from typed_rows"
    connection.execute(f"create or replace temp view raw as {union}")


def _content(file: LandedFile, form: Form) -> Path:
    """Where the rows of a file are read."""
    return form.staged or file.absolute.resolve()


def _parquet(files: Iterable[Path]) -> str:
    """The SQL that reads raw rows with the position of each."""
    return f"read_parquet({paths(files)}, file_row_number = true, hive_partitioning = false)"


def _typed_select(feed: Feed, types: dict[str, pa.DataType], numbers: list[int], files: list[Path]) -> str:
    """The SELECT that types the columns of files of one form."""
    columns = (*feed.columns, *BOOKKEEPING)
    is_staged = "row_problem" in types
    selected, problems = [], ["when landed.row_problem is not null then landed.row_problem "] if is_staged else []
    deferred = {column.name for column in _meter_ids(feed)} if feed.is_metered else set()
    for column in columns:
        value, problem = _typed(column, types.get(column.name))
        selected.append(f"{value} as {column.name}")
        if column.name not in deferred:
            missing = "" if column.may_be_null else f"when {column.name} is null then 'value_missing' "
            problems.append(missing + problem)
    nothing = ", ".join(f"null::varchar as {column.name}" for column in columns)
    source = _parquet(files) if files else f"(select {nothing}, 0 as file_index, 0 as file_row_number where false)"
    texts = [column.name for column in columns if column.type is Type.INSTANT and _is_text_in(types, column)]
    has_leap = " or ".join(f"coalesce(contains(landed.{name}, ':60'), false)" for name in texts) or "false"
    return (
        f"select {numbers or [0]}[file_index::bigint + 1]::integer as file_no, file_row_number::bigint as file_row, "
        f"{', '.join(selected)}, {has_leap} as has_leap, case {' '.join(problems)} end as problem "
        f"from {source} as landed"
    )


def _is_text_in(types: Mapping[str, pa.DataType], column: Column) -> bool:
    return column.name in types and is_text(types[column.name])


#: SQL types of clean values; all others are text.
_VALUE_TYPES = {Type.INSTANT: "bigint", Type.WHOLE: "bigint", Type.DATE: "date", Type.FLAG: "boolean"}

_DAY_TEXT = "[0-9]{4}-[0-9]{2}-[0-9]{2}"
_MINUTE_TEXT = _DAY_TEXT + "[T ]([01][0-9]|2[0-3]):[0-5][0-9]"
_LOCAL_TEXT = _MINUTE_TEXT + ":[0-5][0-9](\\.[0-9]{1,6})?"
_LEAP_TEXT = _MINUTE_TEXT + ":60(\\.[0-9]{1,6})?"
_OFFSET_TEXT = "(Z|[+-]((0[0-9]|1[0-3]):[0-5][0-9]|14:00))"
_ZONE_TEXT = "( ?\\[?[A-Za-z]+/[A-Za-z_/-]+\\]?| ?[A-Y][A-Z]{2,4})"
_WHOLE_TEXT = "-?[0-9]{1,19}"
_DECIMAL_TEXT = "-?[0-9]{1,18}(\\.[0-9]{1,20})?"

#: What looks like a number and is refused for more than its spelling.
_NOT_FINITE_TEXT = "[+-]?(?i:nan|inf(inity)?)|-0+(\\.0+)?"
_LONG_TEXT = "-?[0-9]{19,}(\\.[0-9]*)?"

#: Longer texts are no names or descriptions.
_LONGEST_TEXT = 10_000


def _typed(column: Column, arrow: pa.DataType | None) -> tuple[str, str]:
    """SQL of a column's typed value, and the WHEN clauses that say what is wrong with it (on the raw column)."""
    name = f"landed.{column.name}"
    if arrow is None or pa.types.is_null(arrow):
        return f"null::{_VALUE_TYPES.get(column.type, 'varchar')}", ""
    match column.type:
        case Type.OWNER | Type.ID | Type.ID_IF_ON:
            return name, f"when {_is_malformed(column, name)} then 'id_syntax'"
        case Type.INSTANT:
            return _typed_instant(name, is_from_text=is_text(arrow))
        case Type.DATE:
            value = _matching(name, _DAY_TEXT, "date") if is_text(arrow) else name
            return value, _unless_read(name, value, "time_syntax")
        case Type.WHOLE:
            value = _matching(name, _WHOLE_TEXT, "bigint") if is_text(arrow) else f"try_cast({name} as bigint)"
            return _typed_number(name, value, is_from_text=is_text(arrow))
        case Type.DECIMAL:
            value = _matching(f"{name}::varchar", _DECIMAL_TEXT, "varchar")
            return _typed_number(name, value, is_from_text=is_text(arrow))
        case Type.FLAG if is_text(arrow):
            value = f"case {name} when 'true' then true when 'false' then false end"
            return value, _unless_read(name, value, "row_cast")
        case Type.TEXT:
            has_nul, is_long = f"contains({name}, chr(0))", f"strlen({name}) > {_LONGEST_TEXT}"
            value = f"case when not ({has_nul} or {is_long}) then {name} end"
            return value, f"when {has_nul} then 'row_encoding' when {is_long} then 'too_big'"
        case _:
            return name, ""


def _typed_number(name: str, value: str, *, is_from_text: bool) -> tuple[str, str]:
    """A number is refused for what it says before it is refused for how it is spelled."""
    if not is_from_text:
        return value, _unless_read(name, value, "too_big")
    not_finite = f"when regexp_full_match({name}, '{_NOT_FINITE_TEXT}') then 'not_finite' "
    too_big = f"when {value} is null and regexp_full_match({name}, '{_LONG_TEXT}') then 'too_big' "
    return value, f"{not_finite}{too_big}{_unless_read(name, value, 'number_syntax')}"


def _is_malformed(column: Column, value: str) -> str:
    """SQL of whether an id breaks its syntax; unknown where it is null."""
    pattern = OWNER_ID if column.type is Type.OWNER else OTHER_ID
    is_on = f"{value} <> '' and " if column.type is Type.ID_IF_ON else ""
    return f"({is_on}not regexp_full_match({value}, '{pattern}'))"


def _typed_instant(name: str, *, is_from_text: bool) -> tuple[str, str]:
    """Microseconds since the epoch; a leap second, which no engine counts, is the second after it."""
    if not is_from_text:
        value = f"epoch_us({name})"
        return value, _unless_in_range(value)
    plain = f"epoch_us({_matching(name, _LOCAL_TEXT + _OFFSET_TEXT, 'timestamptz')})"
    after_leap = f"epoch_us(try_cast(replace({name}, ':60', ':59') as timestamptz)) + 1000000"
    # A leap second is the last one of a day in UTC.
    is_leap = f"regexp_full_match({name}, '{_LEAP_TEXT}{_OFFSET_TEXT}') and ({after_leap}) % 86400000000 < 1000000"
    value = f"case when contains({name}, ':60') then case when {is_leap} then {after_leap} end else {plain} end"
    naive = f"when regexp_full_match({name}, '{_LOCAL_TEXT}') then 'naive_timestamp' "
    local = f"when regexp_full_match({name}, '{_LOCAL_TEXT}{_ZONE_TEXT}') then 'time_local' "
    return value, f"{naive}{local}{_unless_read(name, value, 'time_syntax')} {_unless_in_range(value)}"


def _unless_in_range(value: str) -> str:
    return f"when {value} not between {_EARLIEST_US} and {_LATEST_US} then 'time_range'"


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
    connection.execute(f"create or replace temp table repeated as {repeated}")
    if not scalar(connection, "select count(*) from repeated"):
        return
    connection.execute(f"""
        create or replace temp table suspects as
        select distinct * from ({meters}) where meter_hash in (from repeated)
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
    forms: Sequence[Form],
    publication: Publication,
) -> None:
    """Write the part `quarantine`: the refused rows, whole, as they stand in their files."""
    problems = (
        f"select file_no, file_row, problem from ({_judged(connection, feed, day_end_us)}) where problem is not null"
    )
    connection.execute(f"create or replace temp table problems as {problems}")
    concerned = [row[0] for row in connection.execute("select distinct file_no from problems order by all").fetchall()]
    union = " union all ".join(_refused_rows(no, files[no], forms[no]) for no in concerned)
    copy(connection, f"select * from ({union}) order by file_no, file_row", publication.path("quarantine.parquet"))


def _refused_rows(no: int, file: LandedFile, form: Form) -> str:
    """The SELECT of one file's refused rows: as JSON of their columns, or of the line where it is no row."""
    raw = "to_json(landed)"
    if form.staged:
        row = ", ".join(f"{name} := landed.{name}" for name, _ in form.types if name not in OF_LINES)
        raw = f"case when row_text is null then to_json(struct_pack({row})) else to_json({{'text': row_text}}) end"
    return f"""
        select {no}::integer as file_no, file_row, problem as reason, ({raw})::varchar as raw
        from (select * from {_parquet([_content(file, form)])}) as landed
        inner join (select * from problems where file_no = {no}) on file_row = file_row_number
    """

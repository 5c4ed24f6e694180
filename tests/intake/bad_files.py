"""Files that intake refuses whole: how each is written, the reason, and what is said of it."""

import gzip
import hashlib
import os
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from intake_home import beat, one_shot, run, sample
from text_files import as_csv, as_jsonl

from billing_pipeline.sample.landing import FEEDS, arrivals_of

DAY = "2026-10-05"
NOON, AT_ONE = f"{DAY} 12:00", f"{DAY} 13:00"
ROW = run("e1", NOON, AT_ONE, ingested=AT_ONE)
FEED = "runtime_intervals"


def rows(feed: str = FEED, count: int = 1) -> pl.DataFrame:
    """Rows of a feed as they should be written."""
    good = {
        FEED: ROW,
        "runtime_heartbeats": beat("e1", NOON),
        "one_shots": one_shot("e1", NOON),
        "storage_samples": sample("e1", NOON, 10),
    }[feed]
    return arrivals_of(feed, [good | {"event_id": f"e{number}"} for number in range(count)]).select(*FEEDS[feed])


def without_zone(table: pl.DataFrame) -> pl.DataFrame:
    return table.with_columns(pl.col("started_at").dt.replace_time_zone(None))


def repeated_column(file: Path) -> None:
    table = rows().to_arrow()
    pq.write_table(table.append_column("zone", table.column("zone")), file)


def empty(file: Path) -> None:
    file.touch()


def a_web_page(file: Path) -> None:
    file.write_text("<html>Service unavailable</html>")


def cut_short(file: Path) -> None:
    rows().write_parquet(file)
    file.write_bytes(file.read_bytes()[:-100])


def with_a_damaged_page(file: Path) -> None:
    rows(count=2_000).write_parquet(file, compression="zstd")
    content = bytearray(file.read_bytes())
    content[200:260] = bytes(60)
    file.write_bytes(content)


def leading_away(file: Path) -> None:
    elsewhere = file.parents[3] / "elsewhere.parquet"
    rows().write_parquet(elsewhere)
    file.symlink_to(elsewhere)


def leading_nowhere(file: Path) -> None:
    file.symlink_to(file.with_name("missing.parquet"))


def a_folder(file: Path) -> None:
    file.mkdir()
    rows().write_parquet(file / "part-0.parquet")


def of_one_value(file: Path) -> None:
    """Many rows in few bytes, as its footer says."""
    repeated = pa.table({"zone": pa.DictionaryArray.from_arrays(pa.array([0] * 1_000_000, pa.int8()), ["par"])})
    with pq.ParquetWriter(file, repeated.schema) as writer:
        for _ in range(101):
            writer.write_table(repeated)


def with_a_flipped_bit(file: Path) -> None:
    """After its manifest was written."""
    rows().write_parquet(file)
    announce(file)
    content = bytearray(file.read_bytes())
    content[len(content) // 3] ^= 1
    file.write_bytes(content)


def with_an_empty_manifest(file: Path) -> None:
    rows().write_parquet(file)
    file.with_name(file.name + ".sha256").touch()


def announce(file: Path) -> None:
    """Write the manifest as `sha256sum` does."""
    checksum = hashlib.sha256(file.read_bytes()).hexdigest()
    file.with_name(file.name + ".sha256").write_text(f"{checksum}  {file.name}\n")


def csv(change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    """A writer of CSV with something wrong about its bytes."""
    return _changed(as_csv(FEED, [ROW | {"event_id": f"e{number}"} for number in range(3)]), change)


def jsonl(change: Callable[[bytes], bytes], *, count: int = 3) -> Callable[[Path], None]:
    """A writer of lines of JSON with something wrong about their bytes."""
    return _changed(as_jsonl(FEED, [ROW | {"event_id": f"e{number}"} for number in range(count)]), change)


def _changed(content: bytes, change: Callable[[bytes], bytes]) -> Callable[[Path], None]:
    def write(file: Path) -> None:
        file.write_bytes(change(content))

    return write


def of(change: Callable[[pl.DataFrame], pl.DataFrame], feed: str = FEED) -> Callable[[Path], None]:
    """A writer of rows with something wrong about their columns."""
    return lambda file: change(rows(feed)).write_parquet(file)


class BadFile(NamedTuple):
    """A file that is refused whole."""

    reason: str
    write: Callable[[Path], None]
    #: Part of what is said of it.
    detail: str
    name: str = "x.parquet"
    feed: str = FEED


_BEATS, _SIZES, _CHARGES = "runtime_heartbeats", "storage_samples", "one_shots"

UNREADABLE = [
    BadFile("file_empty", empty, "no bytes"),
    BadFile("file_empty", empty, "no bytes", "x.csv"),
    BadFile("file_empty", csv(lambda _: b"\xef\xbb\xbf\n"), "no text", "x.jsonl"),
    BadFile("file_empty", csv(lambda _: gzip.compress(b"")), "no text", "x.csv.gz"),
    BadFile("file_format", a_web_page, "not readable as Parquet"),
    BadFile("file_format", with_a_damaged_page, "a page is damaged"),
    BadFile("file_format", csv(lambda _: b"\xff\xfe\x00a"), "not readable as text", "x.csv"),
    BadFile("file_format", csv(lambda text: text.replace(b"\n", b"\r\n", 2)), "not readable as text", "x.csv"),
    BadFile("file_format", csv(lambda text: text), "not readable as gzip", "x.csv.gz"),
    BadFile("file_format", csv(lambda text: text), ".xlsx ending", "x.xlsx"),
    BadFile("file_truncated", cut_short, "not readable as Parquet"),
    BadFile("file_truncated", csv(lambda text: gzip.compress(text)[:-20]), "not readable as gzip", "x.csv.gz"),
    BadFile("file_checksum", with_a_flipped_bit, "the manifest announces"),
    BadFile("file_checksum", with_an_empty_manifest, "announces nothing"),
    BadFile("file_too_big", of_one_value, "101,000,000 rows"),
    BadFile("file_too_big", csv(lambda text: gzip.compress(text + bytes(70_000_000))), "split", "x.jsonl.gz"),
    BadFile("file_path", leading_away, "leads out of the landing folder"),
    BadFile("file_path", leading_nowhere, "no regular file"),
    BadFile("file_path", a_folder, "no regular file"),
    BadFile("file_path", os.mkfifo, "no regular file"),
    BadFile("file_path", of(lambda table: table), "cannot be told from a pattern", "*.parquet"),
    BadFile("file_path", of(lambda table: table), "cannot be told from a pattern", "line\nend.parquet"),
    BadFile("schema_missing", of(lambda table: table.drop("zone")), "missing: zone"),
    BadFile("schema_missing", of(lambda table: table.rename({"owner_id": "owner"})), "missing: owner_id"),
    # Every instance would seem powered off.
    BadFile("schema_missing", of(lambda table: table.rename({"flavour": "size"}), _BEATS), "flavour", feed=_BEATS),
    # A delimiter that is none, and a page of a web server.
    BadFile("schema_missing", csv(lambda text: text.replace(b",", b";")), "are missing", "x.csv"),
    BadFile("schema_missing", csv(lambda _: b"<html>\n</html>\n"), "are missing", "x.csv"),
    BadFile("schema_missing", csv(lambda text: text.replace(b"zone", b"area")), "missing: zone", "x.csv"),
    BadFile(
        "schema_missing",
        jsonl(lambda text: text.replace(b'"zone"', b'"area"'), count=101),
        "101 of 101 lines",
        "x.jsonl",
    ),
    BadFile("schema_type", of(lambda table: table.with_columns(resource_id=pl.lit(7))), "resource_id is int32"),
    BadFile("schema_type", of(lambda table: table.cast({"bytes": pl.Float64}), _SIZES), "bytes", feed=_SIZES),
    BadFile("schema_type", jsonl(lambda text: text.replace(b'"i-1"', b"1"), count=101), "most for row_cast", "x.jsonl"),
    BadFile("schema_tz", of(lambda table: table.cast({"started_at": pl.Datetime("ns", "UTC")})), "timestamp[ns"),
    BadFile("schema_tz", of(without_zone), "started_at is timestamp[us]"),
    BadFile("money_float", of(lambda table: table.cast({"unit_price": pl.Float64}), _CHARGES), "price", feed=_CHARGES),
    BadFile("schema_dupcol", repeated_column, "repeat: zone"),
    BadFile("schema_dupcol", csv(lambda text: text.replace(b"resource_name", b"zone")), "repeat: zone", "x.csv"),
    BadFile("row_shape", csv(lambda text: text + b"too,short\n" * 200), "200 of 203 lines", "x.csv"),
    BadFile("row_shape", jsonl(lambda text: text + b"<tr>\n" * 200), "200 of 203 lines", "x.jsonl"),
]

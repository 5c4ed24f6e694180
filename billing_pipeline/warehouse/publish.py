"""Publishing: how a table's month changes from one whole generation to the next, whatever happens on the way.

    1. write every file in a private folder, fsync each
    2. write the manifest with their checksums, fsync it and the folder
    3. rename the folder to gen=<first digits of the manifest's sha256>, fsync its parent
    4. write CURRENT beside its place, fsync it, replace CURRENT, fsync its parent
    5. only now report success

A reader that starts at CURRENT therefore sees the whole old generation or the whole new one. Dropping any one fsync
loses acknowledged data or shows torn files after a power cut. Two publishes of one partition may write at once; steps 3
and 4 of each run under the partition's lock, and the later one counts.
"""

import hashlib
import json
import os
import secrets
import shutil
from collections.abc import Collection, Generator, Mapping
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pyarrow.parquet as pq

from billing_pipeline.warehouse.checksums import sha256_of_file
from billing_pipeline.warehouse.filesystem import FileSystem, is_locked, locked
from billing_pipeline.warehouse.layout import (
    CURRENT_BEING_WRITTEN,
    ID_LENGTH,
    MANIFEST,
    WRITING_PREFIX,
    PartitionFolder,
    check_file,
)
from billing_pipeline.warehouse.reading import (
    NOTHING_YET,
    DamagedGeneration,
    Generation,
    point_at,
    read_generation,
)

# Fixed, so that equal frames make equal bytes whatever chunks or threads they were computed in.
_ROW_GROUP_SIZE = 122_880


class UnfinishedPublication(RuntimeError):
    """The files in a publication's folder are not exactly those that were announced."""


class Publication:
    """One publish under way: files are written to a private folder that becomes a generation when the block ends."""

    def __init__(self, folder: Path, filesystem: FileSystem) -> None:
        self._folder = folder
        self._filesystem = filesystem
        self._names: list[str] = []
        self._generation: Generation | None = None

    @property
    def generation(self) -> Generation:
        """The published generation; there is none before the block has ended.

        Raises:
            UnfinishedPublication: it has not.
        """
        if self._generation is None:
            message = "nothing is published before the publishing block has ended"
            raise UnfinishedPublication(message)
        return self._generation

    @property
    def id(self) -> str:
        """The id of the published generation; there is none before the block has ended."""
        return self.generation.id

    @property
    def folder(self) -> Path:
        """The private folder that files are written to, for writers that are fenced into folders."""
        return self._folder

    def path(self, name: str) -> Path:
        """Where a writer of its own (such as DuckDB's COPY) puts the file `name`; it must exist when the block ends.

        Raises:
            MalformedName: the name is hidden, reserved or leaves the folder.
            ValueError: the name was already given out.
        """
        check_file(name)
        if name in self._names:
            message = f"{name} is written twice in one publication"
            raise ValueError(message)
        self._names.append(name)
        return self._folder / name

    def write(self, part: str, frame: pl.DataFrame) -> None:
        """Write the rows of one part as `<part>.parquet`, in the order given; equal frames make equal bytes."""
        frame.write_parquet(
            self.path(f"{part}.parquet"), compression="zstd", row_group_size=_ROW_GROUP_SIZE, statistics=True
        )

    def write_bytes(self, name: str, content: bytes) -> None:
        """Write a file that is no table, such as a document."""
        self._filesystem.write(self.path(name), content)


@contextmanager
def publishing(
    folder: PartitionFolder, header: Mapping[str, object], filesystem: FileSystem, *, is_aside: bool = False
) -> Generator[Publication]:
    """Publish what the block writes; a block that raises publishes nothing and leaves CURRENT as it was.

    So does a publish aside: its generation lies there for whoever knows its id.
    """
    _make_durable_folder(folder, filesystem)
    with ExitStack() as until_published:
        with locked(folder.path):
            _remove_killed_publications(folder, filesystem)
            private = folder.path / f"{WRITING_PREFIX}{secrets.token_hex(8)}"
            filesystem.make_folder(private)
            # Held until the end: it tells a publication under way from one whose process was killed.
            until_published.enter_context(locked(private))
        publication = Publication(private, filesystem)
        try:
            yield publication
            publication._generation = _publish(
                folder, private, publication._names, header, filesystem, is_aside=is_aside
            )
        except BaseException:
            # What caused it is worth more than what cleaning up may add; the next publish cleans up, too.
            with suppress(OSError), locked(folder.path):
                filesystem.remove_folder(private)
            raise


def link_partition(source: PartitionFolder, target: PartitionFolder, chosen: Collection[str]) -> None:
    """Let a partition of another warehouse, which is not there yet, begin with the generations of this one.

    They are linked, not copied, and none of it is durable: a branch is made again, not recovered.

    Args:
        source: the partition.
        target: the same partition of a warehouse on the same disk.
        chosen: the one of its generations that is among these counts; without any, the one that counts here.
    """
    names = [generation_id for generation_id in source.generation_ids() if generation_id in chosen]
    for generation_id in source.generation_ids():
        shutil.copytree(source.generation(generation_id), target.generation(generation_id), copy_function=os.link)
    if names:
        manifest = (source.generation(names[-1]) / MANIFEST).read_bytes()
        target.current.write_bytes(point_at(hashlib.sha256(manifest).hexdigest()))
    else:
        shutil.copyfile(source.current, target.current)


def _publish(
    folder: PartitionFolder,
    private: Path,
    names: list[str],
    header: Mapping[str, object],
    filesystem: FileSystem,
    *,
    is_aside: bool,
) -> Generation:
    written = sorted(file.name for file in private.iterdir())
    if written != sorted(names):
        message = f"{folder}: announced {sorted(names)}, but the folder holds {written}; nothing was published"
        raise UnfinishedPublication(message)
    files = [private / name for name in written]
    filesystem.sync_files(files)
    manifest = canonical_json({**header, "files": {file.name: _describe(file) for file in files}})
    filesystem.write(private / MANIFEST, manifest)
    filesystem.sync_files([private / MANIFEST])
    filesystem.sync_folder(private)
    manifest_sha256 = hashlib.sha256(manifest).hexdigest()
    with locked(folder.path):
        _begin_first(folder, filesystem)
        _settle(folder, private, manifest_sha256[:ID_LENGTH], filesystem)
        if not is_aside:
            _point(folder, point_at(manifest_sha256), filesystem)
    return read_generation(folder, manifest_sha256[:ID_LENGTH])


def _begin_first(folder: PartitionFolder, filesystem: FileSystem) -> None:
    """Say that nothing counts yet, so that a generation without CURRENT always means a lost CURRENT."""
    if not folder.current.exists() and not folder.generation_ids():
        _point(folder, NOTHING_YET, filesystem)


def _settle(folder: PartitionFolder, private: Path, generation_id: str, filesystem: FileSystem) -> None:
    """Give the private folder its final name; an equal generation that is already there stays, unless damaged."""
    final = folder.generation(generation_id)
    if _is_intact(folder, generation_id):
        filesystem.remove_folder(private)
    else:
        filesystem.remove_folder(final)
        filesystem.rename(private, final)
    # Also for one that was there: its publish may have been killed right before this.
    filesystem.sync_folder(folder.path)


def _is_intact(folder: PartitionFolder, generation_id: str) -> bool:
    if not folder.generation(generation_id).exists():
        return False
    try:
        generation = read_generation(folder, generation_id)
        for name in generation.files:
            generation.file(name)
    except DamagedGeneration:
        return False
    return True


def _point(folder: PartitionFolder, pointer: bytes, filesystem: FileSystem) -> None:
    if not folder.current.exists() or folder.current.read_bytes() != pointer:
        being_written = folder.path / CURRENT_BEING_WRITTEN
        filesystem.write(being_written, pointer)
        filesystem.sync_files([being_written])
        filesystem.replace(being_written, folder.current)
    filesystem.sync_folder(folder.path)


def _make_durable_folder(folder: PartitionFolder, filesystem: FileSystem) -> None:
    """Make the partition's folder; the names on the way to it are synced even if a killed publish made them."""
    missing = [parent for parent in (folder.path, *folder.path.parents) if not parent.exists()]
    for path in reversed(missing):
        filesystem.make_folder(path)
    own = [folder.path.parent, folder.path.parent.parent, folder.root]
    for parent in dict.fromkeys([*own, *(path.parent for path in missing)]):
        filesystem.sync_folder(parent)


def _remove_killed_publications(folder: PartitionFolder, filesystem: FileSystem) -> None:
    for private in sorted(folder.path.glob(f"{WRITING_PREFIX}*")):
        if not is_locked(private):
            filesystem.remove_folder(private)


def _describe(file: Path) -> dict[str, Any]:
    """What the manifest says of one file; a Parquet file also tells its shape and the sums of its money columns."""
    entry: dict[str, Any] = {"sha256": sha256_of_file(file), "bytes": file.stat().st_size}
    if file.suffix != ".parquet":
        return entry
    columns = pl.read_parquet_schema(file)
    money = [name for name, dtype in columns.items() if name.endswith("_cents") and dtype.is_integer()]
    return {
        **entry,
        "rows": pq.read_metadata(file).num_rows,
        "columns": {name: str(dtype) for name, dtype in columns.items()},
        "sums": _sum_columns(file, money) if money else {},
    }


def _sum_columns(file: Path, names: list[str]) -> dict[str, int]:
    """The sums of whole-number columns, in 128 bits: a sum of 64-bit integers wraps silently."""
    rows = pl.scan_parquet(file, hive_partitioning=False).select(pl.col(names).cast(pl.Int128).sum())
    return rows.collect(engine="streaming").row(0, named=True)


def describe_publish(
    folder: PartitionFolder,
    *,
    code_version: str,
    as_of: datetime | None,
    inputs: Mapping[str, str],
    facts: Mapping[str, object],
) -> dict[str, object]:
    """What a manifest says besides its files.

    Raises:
        ValueError: `as_of` has no time zone.
    """
    if as_of is not None and as_of.tzinfo is None:
        message = f"as_of {as_of} of {folder} has no time zone; an instant needs one"
        raise ValueError(message)
    return {
        "table": folder.table,
        "partition": folder.partition,
        "as_of": as_of and as_of.astimezone(UTC).isoformat(timespec="microseconds"),
        "code_version": code_version,
        "inputs": dict(inputs),
        "facts": dict(facts),
    }


def canonical_json(content: Mapping[str, object]) -> bytes:
    """One text per content: keys sorted, no NaN, two spaces of indent for whoever opens the file."""
    return json.dumps(content, indent=2, sort_keys=True, allow_nan=False, ensure_ascii=False).encode() + b"\n"

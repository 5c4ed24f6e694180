"""Reading what was published: CURRENT, then its manifest, then the file, each held against a checksum.

Nothing is read that the checksums do not vouch for; a partition that was published and is damaged is never taken for an
empty or an unpublished one.
"""

import hashlib
import json
import re
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import dataframely as dy
import polars as pl

from billing_pipeline.warehouse.checksums import sha256_of_file
from billing_pipeline.warehouse.layout import ID_LENGTH, MANIFEST, PartitionFolder

#: What CURRENT says between the first publish's start and its success, so that a missing CURRENT is always a loss.
NOTHING_YET = b"nothing published yet\n"

_POINTER = re.compile(rb"[0-9a-f]{64}\n")


Schema = TypeVar("Schema", bound=dy.Schema)


class NotPublished(LookupError):
    """A table was asked for before the run that publishes it."""


class DamagedGeneration(RuntimeError):
    """Published data is missing or is not what was published; no figure may be taken from it."""


@dataclass(frozen=True)
class Generation:
    """One publish of a table's month or day; it never changes, and a newer one leaves it where it is."""

    id: str
    table: str
    partition: str
    path: Path
    #: `files` (name -> sha256, bytes; Parquet also rows, columns, sums of `_cents` columns), `as_of` (ISO 8601 UTC or
    #: null), `inputs` (name -> generation id), `facts`, `code_version`, `table`, `partition`.
    manifest: Mapping[str, Any]

    @property
    def content(self) -> str:
        """Equal for two generations that hold the same files, whatever code, inputs or `as_of` they come from."""
        files = sorted((name, entry["sha256"]) for name, entry in self.manifest["files"].items())
        return hashlib.sha256(json.dumps(files).encode()).hexdigest()

    @property
    def files(self) -> list[str]:
        """The names of the published files, sorted."""
        return sorted(self.manifest["files"])

    def file(self, name: str) -> Path:
        """A published file, verified, for another engine to read.

        DuckDB's ``read_parquet`` needs ``hive_partitioning = false`` here: it would add the folders' ``month`` and
        ``gen`` as columns.

        Raises:
            KeyError: the generation never had such a file.
            DamagedGeneration: the file is missing or its content is not what was published.
        """
        entry = self.manifest["files"].get(name)
        if entry is None:
            message = f"{self.table} of {self.partition} has no file {name!r}; it has {', '.join(self.files) or 'none'}"
            raise KeyError(message)
        file = self.path / name
        try:
            sha256 = sha256_of_file(file)
        except FileNotFoundError:
            raise _damaged(file, "is missing") from None
        if sha256 != entry["sha256"]:
            raise _damaged(file, "is not what was published: its checksum differs")
        return file

    def read(self, part: str = "rows") -> pl.DataFrame:
        """The rows of one part, verified.

        Raises:
            KeyError: the generation never had such a part.
            DamagedGeneration: the file is missing or its content is not what was published.
        """
        return pl.read_parquet(self.file(f"{part}.parquet"), hive_partitioning=False)

    def typed(self, schema: type[Schema], part: str = "rows") -> dy.DataFrame[Schema]:
        """The rows of one part as the table has them now: columns that came after they were published are null.

        What a table must hold was checked when it was published, and what was published is verified: it is not checked
        again.

        Raises:
            KeyError: the generation never had such a part.
            DamagedGeneration: the file is missing or its content is not what was published.
        """
        rows = self.read(part)
        later = {name: column.dtype for name, column in schema.columns().items() if name not in rows.columns}
        return schema.cast(rows.with_columns(pl.lit(None, dtype).alias(name) for name, dtype in later.items()))


def read_current(folder: PartitionFolder) -> Generation | None:
    """The generation that counts, or None where nothing was ever published.

    The manifest is verified here, each file when it is read.

    Raises:
        DamagedGeneration: something was published, but CURRENT or the manifest is missing or altered.
    """
    # Looked for before CURRENT, which a first publish writes before any generation: else that would look like a loss.
    generation_ids = folder.generation_ids()
    try:
        pointer = folder.current.read_bytes()
    except FileNotFoundError:
        if generation_ids:
            raise _damaged(folder.current, "is missing although generations were published") from None
        return None
    if pointer == NOTHING_YET:
        return None
    if not _POINTER.fullmatch(pointer):
        raise _damaged(folder.current, "does not name a manifest")
    return _open(folder, pointer.decode().rstrip())


def read_generation(folder: PartitionFolder, generation_id: str) -> Generation:
    """A generation by its id, current or not.

    Raises:
        NotPublished: there is no such generation (any more).
        DamagedGeneration: its manifest is missing or altered.
    """
    if not folder.generation(generation_id).is_dir():
        message = f"{folder} has no generation {generation_id}; it has {', '.join(folder.generation_ids()) or 'none'}"
        raise NotPublished(message)
    return _open(folder, generation_id)


def point_at(manifest_sha256: str) -> bytes:
    """What CURRENT holds while this manifest counts."""
    return f"{manifest_sha256}\n".encode()


def _open(folder: PartitionFolder, sha256: str) -> Generation:
    """Open the generation whose manifest has this sha256, given whole or by its first digits."""
    generation_id = sha256[:ID_LENGTH]
    path = folder.generation(generation_id)
    try:
        content = (path / MANIFEST).read_bytes()
    except (FileNotFoundError, NotADirectoryError):
        raise _damaged(path / MANIFEST, "is missing") from None
    if not hashlib.sha256(content).hexdigest().startswith(sha256):
        raise _damaged(path / MANIFEST, "is not what was published: its checksum differs")
    manifest = json.loads(content)
    if (manifest["table"], manifest["partition"]) != (folder.table, folder.partition):
        raise _damaged(path / MANIFEST, f"belongs to {manifest['table']} of {manifest['partition']}")
    return Generation(generation_id, folder.table, folder.partition, path, manifest)


def _damaged(file: Path, what: str) -> DamagedGeneration:
    return DamagedGeneration(f"{file} {what}; restore it from a backup, or run this month's stage again")

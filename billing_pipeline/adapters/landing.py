"""The landing folder: files that a provider drops, read only.

`LANDING/<feed>/arrival_date=YYYY-MM-DD/<any name>`; the day is the UTC day on which the file landed. A file
`<name>.sha256` is the manifest of `<name>`: the checksum that its bytes must have, in hex.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from functools import cached_property
from pathlib import Path

_DAY = re.compile(r"arrival_date=([0-9]{4}-[0-9]{2}-[0-9]{2})", re.ASCII)
_MANIFEST = ".sha256"


@dataclass(frozen=True)
class LandedFile:
    """One raw file. `path` is relative to the landing folder and, with the content, identifies the file for good."""

    absolute: Path
    path: str
    size: int
    #: When the file came to have its name and content, by the file system's clock.
    changed_ns: int = 0
    #: Why it must not be opened, if it must not.
    odd: str | None = None
    #: What the manifest beside it says; None without one.
    announced_sha256: str | None = None

    @cached_property
    def sha256(self) -> str:
        """The sha256 of the file's bytes, in hex; of nothing where the file must not be opened."""
        if self.odd:
            return hashlib.sha256().hexdigest()
        with self.absolute.open("rb") as stream:
            return hashlib.file_digest(stream, "sha256").hexdigest()


@dataclass(frozen=True)
class Landing:
    """Lists what has landed. Hidden files and `.tmp` files are still being written and are left alone."""

    root: Path

    def feeds(self) -> list[str]:
        """The folders that hold arrival days, by name."""
        if not self.root.is_dir():
            return []
        return sorted(
            entry.name
            for entry in self.root.iterdir()
            if entry.is_dir() and any(_DAY.fullmatch(day.name) for day in entry.iterdir())
        )

    def days(self, feed: str, as_of: datetime) -> list[date]:
        """The arrival days of a feed that had ended by `as_of`, in order."""
        folder = self.root / feed
        if not folder.is_dir():
            return []
        matches = (_DAY.fullmatch(entry.name) for entry in folder.iterdir() if entry.is_dir())
        days = (date.fromisoformat(match[1]) for match in matches if match)
        return sorted(day for day in days if day_end(day) <= as_of)

    def files(self, feed: str, day: date) -> list[LandedFile]:
        """The files of one arrival day, ordered by name whatever order the file system lists them in."""
        folder = self.root / feed / f"arrival_date={day.isoformat()}"
        names = {entry.name for entry in folder.iterdir() if not entry.name.startswith(".")}
        data = sorted(name for name in names if not name.endswith((".tmp", _MANIFEST)))
        return [self._file(folder / name, has_manifest=name + _MANIFEST in names) for name in data]

    def _file(self, file: Path, *, has_manifest: bool) -> LandedFile:
        path = file.relative_to(self.root).as_posix().encode("utf-8", "backslashreplace").decode()
        odd = self._oddity(file)
        if odd:
            return LandedFile(file, path, 0, odd=odd)
        stat = file.stat()
        announced = _announced(file.with_name(file.name + _MANIFEST)) if has_manifest else None
        return LandedFile(file, path, stat.st_size, stat.st_ctime_ns, announced_sha256=announced)

    def _oddity(self, file: Path) -> str | None:
        """Why a file must not be opened."""
        if not file.resolve().is_relative_to(self.root.resolve()):
            return "a link that leads out of the landing folder"
        if not file.is_file():
            return "no regular file; files lie directly in the folder of their day"
        # Engines take such a name for a pattern of several files.
        if not file.name.isprintable() or set(file.name) & set("*?[]{}"):
            return f"a name that cannot be told from a pattern: {file.name!r}"
        return None

    def newest_day(self, feed: str) -> date | None:
        """The last arrival day of a feed, whether it has ended or not."""
        return max(self.days(feed, datetime.max.replace(tzinfo=UTC)), default=None)


def _announced(manifest: Path) -> str:
    """The checksum in a manifest, alone or as `sha256sum` writes it; empty where there is none."""
    words = manifest.read_bytes()[:1000].decode("ascii", "replace").split()
    return words[0].lower() if words else ""


def day_end(day: date) -> datetime:
    """The instant at which an arrival day has ended and is complete."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)

"""The landing folder: files that a provider drops, read only.

`LANDING/<feed>/arrival_date=YYYY-MM-DD/<any name>`; the day is the UTC day on which the file landed.
"""

import hashlib
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, timedelta
from pathlib import Path

_DAY = re.compile(r"arrival_date=([0-9]{4}-[0-9]{2}-[0-9]{2})", re.ASCII)


@dataclass(frozen=True)
class LandedFile:
    """One raw file. `path` is relative to the landing folder and, with the content, identifies the file for good."""

    absolute: Path
    path: str
    size: int
    #: A link to somewhere outside of the landing folder.
    leads_away: bool = False

    def checksum(self) -> str:
        """The sha256 of the file's bytes, in hex."""
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
        names = sorted(
            entry.name
            for entry in folder.iterdir()
            if entry.is_file() and not entry.name.startswith(".") and not entry.name.endswith(".tmp")
        )
        return [self._file(folder / name) for name in names]

    def _file(self, file: Path) -> LandedFile:
        leads_away = file.is_symlink() and not file.resolve().is_relative_to(self.root.resolve())
        return LandedFile(file, file.relative_to(self.root).as_posix(), file.stat().st_size, leads_away)

    def newest_day(self, feed: str) -> date | None:
        """The last arrival day of a feed, whether it has ended or not."""
        return max(self.days(feed, datetime.max.replace(tzinfo=UTC)), default=None)


def day_end(day: date) -> datetime:
    """The instant at which an arrival day has ended and is complete."""
    return datetime(day.year, day.month, day.day, tzinfo=UTC) + timedelta(days=1)

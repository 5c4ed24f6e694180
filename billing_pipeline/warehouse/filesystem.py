"""The few file operations a publish consists of, behind one seam, so that a test can fail at each of them.

Nothing here decides an order; `publish` does. An operation that returns is *done*, not yet *durable*: only what was
synced survives a power cut, files by their content and folders by the names in them.
"""

import fcntl
import os
import shutil
from collections.abc import Generator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from pathlib import Path
from typing import Protocol

# Many small files are synced from several threads: the kernel then joins their journal commits into one.
_SYNC_THREADS = 16


class FileSystem(Protocol):
    """What a publish asks of a file system; each call is one step at which it may be interrupted."""

    def make_folder(self, folder: Path) -> None:
        """Make one folder whose parent exists; it is no error if it is already there."""

    def write(self, file: Path, content: bytes) -> None:
        """Write a file under a name that no reader opens."""

    def sync_files(self, files: Sequence[Path]) -> None:
        """Return once the content of each file, whoever wrote it, is on disk."""

    def sync_folder(self, folder: Path) -> None:
        """Return once the names in the folder are on disk."""

    def rename(self, source: Path, target: Path) -> None:
        """Give a folder its final name, which is free."""

    def replace(self, source: Path, target: Path) -> None:
        """Let a file take the place of another in one step."""

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder and what is in it; it is no error if it is gone."""


class LocalFileSystem:
    """A POSIX file system that honours fsync."""

    def make_folder(self, folder: Path) -> None:
        """Make one folder whose parent exists; it is no error if it is already there."""
        folder.mkdir(exist_ok=True)

    def write(self, file: Path, content: bytes) -> None:
        """Write a file under a name that no reader opens."""
        file.write_bytes(content)

    def sync_files(self, files: Sequence[Path]) -> None:
        """Return once the content of each file, whoever wrote it, is on disk."""
        if len(files) < _SYNC_THREADS:
            for file in files:
                _sync(file)
            return
        with ThreadPoolExecutor(_SYNC_THREADS) as threads:
            # list() waits for every file and raises the first failure.
            list(threads.map(_sync, files))

    def sync_folder(self, folder: Path) -> None:
        """Return once the names in the folder are on disk."""
        _sync(folder)

    def rename(self, source: Path, target: Path) -> None:
        """Give a folder its final name, which is free."""
        source.rename(target)

    def replace(self, source: Path, target: Path) -> None:
        """Let a file take the place of another in one step."""
        source.replace(target)

    def remove_folder(self, folder: Path) -> None:
        """Remove a folder and what is in it; it is no error if it is gone."""
        if folder.exists():
            shutil.rmtree(folder)


@contextmanager
def locked(folder: Path) -> Generator[None]:
    """Hold the folder's lock, waiting for it; the kernel frees it when the holder dies, so no lock is ever stale."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        # Unlocked by name, because a forked worker may still hold a copy of the descriptor.
        fcntl.flock(descriptor, fcntl.LOCK_UN)
        os.close(descriptor)


def is_locked(folder: Path) -> bool:
    """Whether some process (this one included) holds the folder's lock right now."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def _sync(path: Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

"""Checksums of published files, the only guard there is: a flipped bit in Parquet mostly reads as other numbers."""

import hashlib
import time
from pathlib import Path

# What a file looked like when its sha256 was last taken in this process.
_KNOWN: dict[tuple[Path, int, int, int, int, int], str] = {}
# A file changed so recently could change again within the same tick of its modification time.
_SETTLED_AFTER_NS = 2_000_000_000


def sha256_of_file(file: Path) -> str:
    """The sha256 of a file's content, read in blocks.

    A process takes it once per file and remembers it by path, device, inode, size and times of modification and change;
    a file is remembered only once it is two seconds old. Bits that rot on disk after that, without any write, are seen
    by the next process.
    """
    status = file.stat()
    key = (file, status.st_dev, status.st_ino, status.st_size, status.st_mtime_ns, status.st_ctime_ns)
    if key in _KNOWN:
        return _KNOWN[key]
    with file.open("rb") as content:
        sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    if time.time_ns() - max(status.st_mtime_ns, status.st_ctime_ns) > _SETTLED_AFTER_NS:
        _KNOWN[key] = sha256
    return sha256

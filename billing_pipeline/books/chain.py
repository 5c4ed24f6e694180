"""An append-only chain of entries in one SQLite file, in which any later edit shows.

Each entry's hash covers its predecessor's, so the hash of the last entry vouches for all. Triggers refuse edits made by
mistake. Against edits by intent, and against bits that rot (SQLite lets most of them through unseen), stands the chain;
against a chain cut short or restored from an old backup stands a head that was kept elsewhere.

Durability is SQLite's: write-ahead log, synchronous FULL, one `BEGIN IMMEDIATE` transaction per change. Every use opens
its own connection, so a chain may be handed to threads and forked workers.
"""

import hashlib
import json
import os
import sqlite3
from collections.abc import Generator, Iterator, Mapping
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

#: 2: states. What a version adds to the schema are indexes, which an older file gets when it is opened.
_SCHEMA_VERSION = 2
# How long a writer waits for the one before it.
_PATIENCE_S = 60
# The plain error stands for JSON that does not parse: the statements themselves never change.
_CODES_OF_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB, sqlite3.SQLITE_ERROR}
_COLUMNS = "seq, kind, payload, previous_hash, hash"

_SCHEMA = {
    "entries": """CREATE TABLE entries (
    seq INTEGER PRIMARY KEY,
    kind TEXT NOT NULL,
    payload TEXT NOT NULL,
    previous_hash TEXT NOT NULL,
    hash TEXT NOT NULL
) STRICT""",
    "entries_follow_each_other": """CREATE TRIGGER entries_follow_each_other BEFORE INSERT ON entries
WHEN NEW.seq IS NOT (SELECT ifnull(max(seq), 0) + 1 FROM entries)
BEGIN SELECT RAISE(ABORT, 'entries are appended one after the other'); END""",
    "entries_are_never_changed": """CREATE TRIGGER entries_are_never_changed BEFORE UPDATE ON entries
BEGIN SELECT RAISE(ABORT, 'an entry is never changed; append one that corrects it'); END""",
    "entries_are_never_removed": """CREATE TRIGGER entries_are_never_removed BEFORE DELETE ON entries
BEGIN SELECT RAISE(ABORT, 'an entry is never removed; append one that corrects it'); END""",
}


class BooksDamaged(RuntimeError):
    """The books are not what was written; nothing may be issued or settled from them."""


class BooksTooNew(RuntimeError):
    """The books were written by a later version of this program."""


@dataclass(frozen=True)
class Head:
    """A place in the chain; its hash vouches for every entry up to it."""

    seq: int
    hash: str


#: The head of an empty chain.
GENESIS = Head(0, "0" * 64)


@dataclass(frozen=True)
class Entry:
    """One entry as it was written."""

    seq: int
    kind: str
    payload: Mapping[str, Any]
    hash: str


class Chain:
    """The file with the chain; `indexes` are the unique keys and indexes that its user needs, by name.

    Raises:
        BooksDamaged: the file is no SQLite database, or a damaged one.
        BooksTooNew: a later version wrote it.
    """

    def __init__(self, path: Path, indexes: Mapping[str, str]) -> None:
        self._path = path.absolute()
        self._schema = {**_SCHEMA, **indexes}
        # A head up to which this process has walked the chain, so that it walks each entry once.
        self._walked = GENESIS
        self._path.parent.mkdir(parents=True, exist_ok=True)
        # Only a new or older file is written to, so that opening the books waits for nobody who issues.
        with self.reading() as entries:
            is_older = entries.is_older(self._path)
        if is_older:
            with self.writing() as entries:
                entries.create(self._schema, self._path)

    @contextmanager
    def writing(self) -> Generator["Entries"]:
        """One transaction that alone may append; it counts if the block ends, and never was if it raises."""
        with self._transaction("BEGIN IMMEDIATE") as entries:
            yield entries
        _sync_folder(self._path.parent)

    @contextmanager
    def reading(self) -> Generator["Entries"]:
        """One transaction that sees the chain as it stood when it began."""
        with self._transaction("BEGIN") as entries:
            yield entries

    @contextmanager
    def _transaction(self, begin: str) -> Generator["Entries"]:
        connection = sqlite3.connect(self._path, timeout=_PATIENCE_S, isolation_level=None)
        # Damaged text must reach the hash check, not fail on the way.
        connection.text_factory = lambda text: text.decode(errors="surrogateescape")
        with self._damage_reported(), closing(connection):
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            # Without it INSERT OR REPLACE removes rows past the triggers.
            connection.execute("PRAGMA recursive_triggers = ON")
            connection.execute(begin)
            try:
                yield Entries(connection)
            except BaseException:
                connection.rollback()
                raise
            connection.commit()

    @contextmanager
    def _damage_reported(self) -> Generator[None]:
        try:
            yield
        # SQLite quotes damaged text in its messages, which then cannot be decoded.
        except (sqlite3.DatabaseError, UnicodeDecodeError) as error:
            # Extended codes carry the plain one in their lowest byte.
            if getattr(error, "sqlite_errorcode", sqlite3.SQLITE_CORRUPT) & 0xFF in _CODES_OF_DAMAGE:
                message = f"{self._path}: {error}; restore the books from a backup"
                raise BooksDamaged(message) from error
            raise

    def vouch(self, entries: "Entries") -> None:
        """Check, inside a transaction, the whole file the first time in this process, then what was added since.

        Raises:
            BooksDamaged: an entry is not what was written; the message names it.
        """
        if self._walked == GENESIS:
            self._walked = entries.check(self._schema)
        else:
            self._walked = entries.walk(self._walked)

    def verify(self, known: Head = GENESIS) -> Head:
        """Check the whole file: its pages, its keys and triggers, and every entry from the first.

        Args:
            known: a head taken earlier and kept elsewhere, which the chain must still contain.

        Returns:
            The head of the chain, worth keeping elsewhere.

        Raises:
            BooksDamaged: something is not what was written; the message names the entry.
        """
        with self.reading() as entries:
            head = entries.check(self._schema)
            entries.check_contains(known)
        return head


class Entries:
    """The entries within one transaction."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def append(self, kind: str, payload: Mapping[str, Any]) -> Entry:
        """Append an entry.

        Raises:
            TypeError: the payload holds anything but texts, whole numbers, nulls and objects of them.
            sqlite3.IntegrityError: it breaks a unique key.
        """
        _check_exact(payload)
        head = self.head()
        text = json.dumps(payload, sort_keys=True, separators=(",", ":"), ensure_ascii=False)
        entry_hash = _hash(head.hash, head.seq + 1, kind, text)
        self._connection.execute(
            f"INSERT INTO entries ({_COLUMNS}) VALUES (?, ?, ?, ?, ?)",
            (head.seq + 1, kind, text, head.hash, entry_hash),
        )
        return Entry(head.seq + 1, kind, payload, entry_hash)

    def head(self) -> Head:
        """The last entry's place; that of an empty chain is `GENESIS`."""
        row = self._connection.execute("SELECT seq, hash FROM entries ORDER BY seq DESC LIMIT 1").fetchone()
        return Head(*row) if row else GENESIS

    def select(self, condition: str, *values: str | int) -> list[Entry]:
        """The entries that meet an SQL condition (a text of this program, never of its input).

        Raises:
            BooksDamaged: one of them is not what was written.
        """
        rows = self._connection.execute(f"SELECT {_COLUMNS} FROM entries WHERE {condition}", values)
        return [_checked(*row) for row in rows]

    def walk(self, after: Head) -> Head:
        """Check every entry after a head that is known to be good, and return the chain's own."""
        self.check_contains(after)
        rows: Iterator[tuple] = self._connection.execute(
            f"SELECT {_COLUMNS} FROM entries WHERE seq > ? ORDER BY seq", (after.seq,)
        )
        head = after
        for seq, kind, text, previous_hash, entry_hash in rows:
            if (seq, previous_hash) != (head.seq + 1, head.hash):
                raise _damaged(seq, f"does not follow entry {head.seq}")
            _checked(seq, kind, text, previous_hash, entry_hash)
            head = Head(seq, entry_hash)
        return head

    def check_contains(self, known: Head) -> None:
        """Refuse a chain that a known head is not part of: it was cut, replaced or restored from an old backup."""
        if known != GENESIS and not self._holds(known):
            raise _damaged(known.seq, f"with hash {known.hash} is gone: this is an older or another chain")

    def _holds(self, head: Head) -> bool:
        row = self._connection.execute("SELECT hash FROM entries WHERE seq = ?", (head.seq,)).fetchone()
        return row == (head.hash,)

    def check(self, schema: Mapping[str, str]) -> Head:
        """Check every entry, then that no unique key or trigger is lost and that pages and indexes agree."""
        # The entries first: that message names the one.
        head = self.walk(GENESIS)
        found = dict(self._connection.execute("SELECT name, sql FROM sqlite_schema"))
        altered = [name for name, sql in schema.items() if found.get(name) != sql]
        if altered:
            message = f"the books lost or altered {', '.join(altered)}; restore them from a backup"
            raise BooksDamaged(message)
        problems = [text for (text,) in self._connection.execute("PRAGMA integrity_check(1)")]
        if problems != ["ok"]:
            message = f"the books' file is damaged: {problems[0]}; restore it from a backup"
            raise BooksDamaged(message)
        return head

    def is_older(self, path: Path) -> bool:
        """Whether the file is empty, or an earlier version wrote it.

        Raises:
            BooksTooNew: a later version wrote the file.
        """
        (version,) = self._connection.execute("PRAGMA user_version").fetchone()
        if version > _SCHEMA_VERSION:
            message = f"{path} has schema {version}, this program knows {_SCHEMA_VERSION}; run the newer version"
            raise BooksTooNew(message)
        return version < _SCHEMA_VERSION

    def create(self, schema: Mapping[str, str], path: Path) -> None:
        """Create what is missing of the table, its triggers and keys, unless another process was faster."""
        if self.is_older(path):
            found = {name for (name,) in self._connection.execute("SELECT name FROM sqlite_schema")}
            for name, statement in schema.items():
                if name not in found:
                    self._connection.execute(statement)
            self._connection.execute(f"PRAGMA user_version = {_SCHEMA_VERSION}")


def _hash(previous_hash: str, seq: int, kind: str, text: str) -> str:
    # repr for whatever a damaged row may hold instead.
    content = json.dumps([previous_hash, seq, kind, text], ensure_ascii=False, default=repr)
    return hashlib.sha256(content.encode(errors="surrogateescape")).hexdigest()


def _checked(seq: int, kind: str, text: str, previous_hash: str, entry_hash: str) -> Entry:
    if _hash(previous_hash, seq, kind, text) != entry_hash:
        raise _damaged(seq, "is not what was written: its hash differs")
    return Entry(seq, kind, json.loads(text), entry_hash)


def _damaged(seq: int, what: str) -> BooksDamaged:
    return BooksDamaged(f"entry {seq} of the books {what}; restore the books from a backup and issue nothing before")


def _check_exact(value: object) -> None:
    if isinstance(value, Mapping):
        for key, part in value.items():
            if not isinstance(key, str):
                message = f"{key!r} cannot be a key of an entry; keys are texts"
                raise TypeError(message)
            _check_exact(part)
    elif value is not None and not isinstance(value, str | int):
        message = f"{value!r} cannot be kept in an entry; write it as a text or a whole number"
        raise TypeError(message)


def _sync_folder(folder: Path) -> None:
    # SQLite does not sync the name of its write-ahead log.
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)

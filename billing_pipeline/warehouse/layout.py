"""Where things lie in a warehouse, and which names may become part of a path.

<root>/usage/runtime_intervals/month=2026-10/CURRENT                      which generation counts, by its manifest
<root>/usage/runtime_intervals/month=2026-10/gen=0f3a…/MANIFEST.json      what was published, and from what
<root>/usage/runtime_intervals/month=2026-10/gen=0f3a…/rows.parquet       the files it lists
<root>/usage/runtime_intervals/month=2026-10/.writing-…/                  a publish under way, or a killed one
"""

import re
from dataclasses import dataclass
from pathlib import Path

MANIFEST = "MANIFEST.json"
CURRENT = "CURRENT"
CURRENT_BEING_WRITTEN = ".CURRENT.tmp"
GENERATION_PREFIX = "gen="
WRITING_PREFIX = ".writing-"
ID_LENGTH = 16

_WORD = r"[a-z][a-z0-9_]{0,63}"
_TABLE = re.compile(rf"{_WORD}/{_WORD}", re.ASCII)
_MONTH = r"[0-9]{4}-(0[1-9]|1[0-2])"
_PARTITION = re.compile(rf"month={_MONTH}|day={_MONTH}-(0[1-9]|[12][0-9]|3[01])", re.ASCII)
_FILE = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.+-]{0,127}", re.ASCII)
_GENERATION_ID = re.compile(rf"[0-9a-f]{{{ID_LENGTH}}}", re.ASCII)


class MalformedName(ValueError):
    """A table, partition, file or generation has a name that must not become part of a path."""


@dataclass(frozen=True)
class PartitionFolder:
    """The folder of one table's month or day, with all generations ever published of it.

    Raises:
        MalformedName: the table is not `<stage>/<table>`, or the partition not `month=2026-10` or `day=2026-10-05`.
    """

    root: Path
    table: str
    partition: str

    def __post_init__(self) -> None:
        check_table(self.table)
        if not _PARTITION.fullmatch(self.partition):
            message = f"{self.partition!r} is not a partition; write it as month=2026-10 or day=2026-10-05"
            raise MalformedName(message)

    def __str__(self) -> str:
        return f"{self.table} of {self.partition}"

    @property
    def path(self) -> Path:
        """The folder itself."""
        return self.root / self.table / self.partition

    @property
    def current(self) -> Path:
        """The file that says which generation counts."""
        return self.path / CURRENT

    def generation(self, generation_id: str) -> Path:
        """The folder of one generation.

        Raises:
            MalformedName: the id is not 16 lower-case hex digits.
        """
        if not _GENERATION_ID.fullmatch(generation_id):
            message = f"{generation_id!r} is not a generation of {self}; ids are {ID_LENGTH} lower-case hex digits"
            raise MalformedName(message)
        return self.path / f"{GENERATION_PREFIX}{generation_id}"

    def generation_ids(self) -> list[str]:
        """Every generation that lies in the folder, whether or not it was ever current, sorted by id."""
        return sorted(path.name.removeprefix(GENERATION_PREFIX) for path in self.path.glob(f"{GENERATION_PREFIX}*"))


def check_table(table: str) -> None:
    """Refuse a table name that is not `<stage>/<table>`.

    Raises:
        MalformedName: it has another form.
    """
    if not _TABLE.fullmatch(table):
        message = (
            f"{table!r} is not a table; write it as <stage>/<table> in lower case, such as usage/runtime_intervals"
        )
        raise MalformedName(message)


def check_file(name: str) -> None:
    """Refuse a file name that is hidden, reserved or leaves its folder.

    Raises:
        MalformedName: it does.
    """
    if name == MANIFEST or not _FILE.fullmatch(name):
        message = (
            f"{name!r} cannot be a published file; names are letters, digits, '_', '.', '+', '-' ({MANIFEST} is ours)"
        )
        raise MalformedName(message)


def published_partitions(root: Path, table: str) -> list[PartitionFolder]:
    """The folders of a table that are partitions, sorted by name; stray files and folders are none."""
    check_table(table)
    names = sorted(path.name for path in (root / table).glob("*=*") if path.is_dir())
    return [PartitionFolder(root, table, name) for name in names if _PARTITION.fullmatch(name)]

"""Looking for damage: every generation that lies in a warehouse, current or not, held against its checksums."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from billing_pipeline.warehouse.layout import ID_LENGTH, MANIFEST, MalformedName, PartitionFolder, published_partitions
from billing_pipeline.warehouse.reading import DamagedGeneration, NotPublished, read_current, read_generation


@dataclass(frozen=True)
class WarehouseReport:
    """What was looked at, and what is not as it was published."""

    generations: int
    files: int
    size_bytes: int
    #: One sentence per damaged, missing or foreign file, with its path.
    problems: tuple[str, ...]


def verify_warehouse(root: Path) -> WarehouseReport:
    """Read every file of every generation, and say which are not what was published."""
    generations = files = size = 0
    problems: list[str] = []
    for folder in _partitions(root):
        problems += _pointer_damage(folder)
        for generation_id in folder.generation_ids():
            generations += 1
            found = list(_damage(folder, generation_id))
            problems += [problem for problem in found if problem not in problems]
            for file in folder.path.glob(f"gen={generation_id}/*"):
                files += 1
                size += file.stat().st_size
    return WarehouseReport(generations, files, size, tuple(problems))


def _partitions(root: Path) -> Iterator[PartitionFolder]:
    for table in sorted(path for path in root.glob("*/*") if path.is_dir()):
        try:
            yield from published_partitions(root, f"{table.parent.name}/{table.name}")
        except MalformedName:
            # Not ours: a publish would have refused the name.
            continue


def _pointer_damage(folder: PartitionFolder) -> Iterator[str]:
    """What is wrong with CURRENT; a manifest that it names rightly is looked at with its generation."""
    try:
        read_current(folder)
    except DamagedGeneration as damage:
        named = folder.current.read_bytes()[:ID_LENGTH].decode(errors="replace") if folder.current.exists() else ""
        if named not in folder.generation_ids():
            yield f"{folder}: {folder.current} names no generation that lies there: {damage}"
        elif not list(_damage(folder, named)):
            yield f"{folder}: {folder.current} does not name its manifest; restore it from a backup"


def _damage(folder: PartitionFolder, generation_id: str) -> Iterator[str]:
    """What is wrong with one generation: its manifest, each of its files, and files that were never published."""
    try:
        generation = read_generation(folder, generation_id)
    except (DamagedGeneration, NotPublished, MalformedName) as damage:
        yield f"{folder}: {damage}"
        return
    for name in generation.files:
        try:
            generation.file(name)
        except DamagedGeneration as damage:
            yield f"{folder}: {damage}"
    published = {*generation.files, MANIFEST}
    for file in sorted(generation.path.iterdir()):
        if file.name not in published:
            yield f"{folder}: {file} was never published; remove it"

"""A publish is interrupted at each of its steps, by a crash, a refusal of the file system or a power cut."""

import errno
import itertools
import shutil
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from billing_pipeline.warehouse import DamagedGeneration, LocalFileSystem, Warehouse

TABLE, PARTITION = "rating/charges", "month=2026-10"
AS_OF = datetime(2026, 11, 3, tzinfo=UTC)
OLD = pl.DataFrame({"payer_id": ["orga_a", "orga_b"], "charge_cents": [100, 200]})
NEW = pl.DataFrame({"payer_id": ["orga_a", "orga_b", "orga_c"], "charge_cents": [101, 202, 303]})


class Crash(BaseException):
    """The process died here; like a real death it is caught by nobody."""


class UnsyncedFileSystem(LocalFileSystem):
    """Spares the disk: what is durable is not the question where a process dies and the machine lives."""

    def sync_files(self, files: Sequence[Path]) -> None:
        pass

    def sync_folder(self, folder: Path) -> None:
        pass


class InterruptedFileSystem(UnsyncedFileSystem):
    """Fails at the n-th step in one of five ways, and does nothing more after a crash."""

    def __init__(self, step: int, how: str) -> None:
        self.remaining = step
        self.how = how
        self.dead = False

    def _step(self, operation, path: Path) -> None:
        if self.dead:
            raise Crash
        self.remaining -= 1
        if self.remaining:
            operation()
            return
        if self.how == "refused":
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        if self.how in {"after", "torn"}:
            operation()
        if self.how == "torn":
            self._tear(path)
        self.dead = True
        raise Crash

    def _tear(self, path: Path) -> None:
        """Keep half of a file that was being written or synced, or half of the files of a folder being removed."""
        if path.is_file() and path.name != "CURRENT":
            path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    def make_folder(self, folder: Path) -> None:
        self._step(lambda: super(InterruptedFileSystem, self).make_folder(folder), folder)

    def write(self, file: Path, content: bytes) -> None:
        self._step(lambda: super(InterruptedFileSystem, self).write(file, content), file)

    def sync_files(self, files: Sequence[Path]) -> None:
        for file in files:
            # A torn sync is a power cut in the middle of it.
            self._step(lambda file=file: super(InterruptedFileSystem, self).sync_files([file]), file)

    def sync_folder(self, folder: Path) -> None:
        self._step(lambda: super(InterruptedFileSystem, self).sync_folder(folder), folder)

    def rename(self, source: Path, target: Path) -> None:
        self._step(lambda: super(InterruptedFileSystem, self).rename(source, target), target)

    def replace(self, source: Path, target: Path) -> None:
        self._step(lambda: super(InterruptedFileSystem, self).replace(source, target), target)

    def remove_folder(self, folder: Path) -> None:
        self._step(lambda: super(InterruptedFileSystem, self).remove_folder(folder), folder)


def warehouse_at(root: Path, filesystem: LocalFileSystem | None = None) -> Warehouse:
    return Warehouse(root, code_version="1" * 64, filesystem=filesystem or UnsyncedFileSystem())


def publish_both_parts(warehouse: Warehouse, rows: pl.DataFrame) -> str:
    with warehouse.publishing(TABLE, PARTITION, as_of=AS_OF) as publication:
        publication.write("rows", rows)
        publication.write("sources", rows.select("payer_id"))
    return publication.id


def whole_content(warehouse: Warehouse) -> pl.DataFrame | None:
    """What a reader sees; both parts must come from the same publish."""
    generation = warehouse.current(TABLE, PARTITION)
    if generation is None:
        return None
    rows = generation.read("rows")
    assert generation.read("sources").equals(rows.select("payer_id"))
    return rows


def same(left: pl.DataFrame | None, right: pl.DataFrame | None) -> bool:
    return left is right is None or (left is not None and right is not None and left.equals(right))


def interruptions(tmp_path: Path, before: pl.DataFrame | None, how: str) -> Iterator[tuple[int, Path, bool]]:
    """Publish `before`, then interrupt the publish of NEW at step 1, 2, … until it runs through uninterrupted."""
    for step in itertools.count(1):
        root = tmp_path / str(step)
        if before is not None:
            publish_both_parts(warehouse_at(root), before)
        try:
            publish_both_parts(warehouse_at(root, InterruptedFileSystem(step, how)), NEW)
        except (Crash, OSError):
            yield step, root, False
        else:
            yield step, root, True
            return


@pytest.mark.parametrize("how", ["before", "after", "torn", "refused"])
@pytest.mark.parametrize("before", [None, OLD], ids=["first publish", "second publish"])
def test_an_interrupted_publish_shows_the_whole_old_or_the_whole_new_table(tmp_path, before, how):
    steps = 0
    for step, root, acknowledged in interruptions(tmp_path, before, how):
        seen = whole_content(warehouse_at(root))
        assert same(seen, NEW) or (same(seen, before) and not acknowledged), f"step {step}"
        steps = step
    assert steps > 12


@pytest.mark.parametrize("how", ["before", "after", "torn", "refused"])
@pytest.mark.parametrize("before", [None, OLD], ids=["first publish", "second publish"])
def test_after_an_interruption_the_next_run_publishes_the_same_generation_and_cleans_up(tmp_path, before, how):
    undisturbed = publish_both_parts(warehouse_at(tmp_path / "undisturbed"), NEW)
    for step, root, _ in interruptions(tmp_path, before, how):
        warehouse = warehouse_at(root)

        assert publish_both_parts(warehouse, NEW) == undisturbed, f"step {step}"

        assert same(whole_content(warehouse), NEW)
        left = {path.name for path in (root / TABLE / PARTITION).iterdir()}
        assert len(left) == (2 if before is None else 3), f"step {step}: {left}"
        assert not any(name.startswith(".writing") for name in left)


@pytest.mark.parametrize("lost", ["CURRENT", "MANIFEST.json", "rows.parquet"])
def test_a_crash_during_a_repair_never_shows_damaged_rows(tmp_path, lost):
    for step in range(1, 40):
        root = tmp_path / str(step)
        warehouse = warehouse_at(root)
        publish_both_parts(warehouse, NEW)
        for file in (root / TABLE / PARTITION).rglob(lost):
            file.unlink()

        try:
            publish_both_parts(warehouse_at(root, InterruptedFileSystem(step, "after")), NEW)
        except Crash:
            pass
        else:
            assert step > 10
            break

        publish_both_parts(warehouse, NEW)
        assert same(whole_content(warehouse), NEW), f"step {step}"
    else:
        pytest.fail("the repair never ran through")


class PowerCut(LocalFileSystem):
    """Records after each step what a power cut would leave.

    Only what was synced survives, as strictly as POSIX allows; and a name that was just given may survive alone, ahead
    of names given before it that were not synced.
    """

    def __init__(self, top: Path, forgotten: str | None = None) -> None:
        self.top = top
        self.forgotten = forgotten
        self.synced_content: dict[int, bytes] = {}
        self.synced_names: dict[int, dict[str, int]] = {}
        self.states: list[tuple[dict[int, dict[str, int]], dict[int, bytes]]] = []
        self.sync_folder(top)

    def _record(self, names: dict[int, dict[str, int]] | None = None) -> None:
        self.states.append((dict(names or self.synced_names), dict(self.synced_content)))

    def make_folder(self, folder: Path) -> None:
        is_new = not folder.exists()
        super().make_folder(folder)
        if is_new:
            # The inode of a removed folder may come back.
            self.synced_names[folder.stat().st_ino] = {}
        self._record()

    def write(self, file: Path, content: bytes) -> None:
        super().write(file, content)
        self.synced_content.pop(file.stat().st_ino, None)
        self._record()

    def sync_files(self, files: Sequence[Path]) -> None:
        if self.forgotten == "sync_files":
            return
        for file in files:
            self.synced_content[file.stat().st_ino] = file.read_bytes()
            self._record()

    def sync_folder(self, folder: Path) -> None:
        if self.forgotten == "sync_folder" and folder != self.top:
            return
        self.synced_names[folder.stat().st_ino] = {path.name: path.stat().st_ino for path in folder.iterdir()}
        self._record()

    def rename(self, source: Path, target: Path) -> None:
        super().rename(source, target)
        self._record_new_name(target)

    def replace(self, source: Path, target: Path) -> None:
        super().replace(source, target)
        self._record_new_name(target)

    def _record_new_name(self, target: Path) -> None:
        folder = target.parent.stat().st_ino
        self._record()
        self._record({**self.synced_names, folder: {**self.synced_names[folder], target.name: target.stat().st_ino}})

    def restored(self, folder: Path) -> Iterator[Path]:
        """The disk as each power cut would leave it, one after the other, in one folder."""
        for names, content in self.states:
            shutil.rmtree(folder, ignore_errors=True)
            self._restore(self.top.stat().st_ino, folder, names, content)
            yield folder

    def _restore(self, inode: int, target: Path, names: dict[int, dict[str, int]], content: dict[int, bytes]) -> None:
        target.mkdir()
        for name, child in names.get(inode, {}).items():
            if child in names:
                self._restore(child, target / name, names, content)
            else:
                (target / name).write_bytes(content.get(child, b""))


def seen_after_a_power_cut(root: Path) -> str:
    try:
        rows = whole_content(warehouse_at(root))
    except DamagedGeneration:
        return "unreadable"
    return "none" if rows is None else "old" if rows.equals(OLD) else "new" if rows.equals(NEW) else "mix"


def power_cuts(tmp_path: Path, forgotten: str | None = None) -> tuple[set[str], set[str], str]:
    """What readers see after a cut during the first publish, during the second one, and after its acknowledgement."""
    top = tmp_path / "disk"
    top.mkdir()
    disk = PowerCut(top, forgotten)
    publish_both_parts(warehouse_at(top / "warehouse", disk), OLD)
    first_acknowledged = len(disk.states) - 1
    publish_both_parts(warehouse_at(top / "warehouse", disk), NEW)
    seen = [seen_after_a_power_cut(state / "warehouse") for state in disk.restored(tmp_path / "restored")]
    return set(seen[:first_acknowledged]), set(seen[first_acknowledged:]), seen[-1]


def test_a_power_cut_at_any_step_leaves_whole_tables_and_loses_no_acknowledged_one(tmp_path):
    assert power_cuts(tmp_path) == ({"none", "old"}, {"old", "new"}, "new")


@pytest.mark.parametrize("forgotten", ["sync_files", "sync_folder"])
def test_the_power_cut_notices_a_forgotten_fsync(tmp_path, forgotten):
    *_, acknowledged = power_cuts(tmp_path, forgotten)

    assert acknowledged != "new"

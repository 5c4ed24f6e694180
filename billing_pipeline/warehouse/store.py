"""The warehouse as the stages see it: publish a table's month, read a table's month."""

from collections.abc import Collection, Generator, Iterable, Mapping
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from types import MappingProxyType

import polars as pl

from billing_pipeline.warehouse.filesystem import FileSystem, LocalFileSystem
from billing_pipeline.warehouse.layout import GENERATION_PREFIX, PartitionFolder, published_partitions
from billing_pipeline.warehouse.publish import Publication, describe_publish, link_partition, publishing
from billing_pipeline.warehouse.reading import Generation, NotPublished, read_current, read_generation
from billing_pipeline.warehouse.verifying import WarehouseReport, verify_warehouse

_LOCAL = LocalFileSystem()
_NONE: Mapping[str, str] = MappingProxyType({})


class Warehouse:
    """Published tables under one folder, each split into months or days, each of those a chain of generations.

    Tables are named `<stage>/<table>`, partitions `month=2026-10` or `day=2026-10-05`; any other name is refused with
    `MalformedName`. Processes and threads may read and publish at once: a reader sees one whole generation, and of two
    publishes of one partition the later one counts.
    """

    def __init__(self, root: Path, *, code_version: str, filesystem: FileSystem = _LOCAL) -> None:
        # Absolute, so that a change of the working folder cannot move the warehouse.
        self.root = root.absolute()
        self.code_version = code_version
        self._filesystem = filesystem
        self._aside: str | None = None
        #: Table -> generation id of what this view published aside.
        self.published_aside: dict[str, str] = {}

    def aside(self, partition: str) -> "Warehouse":
        """A view in which publishes of one partition do not become current: this view alone reads them as such.

        So a month can be computed anew beside the one that was issued, which stays what every other reader sees.
        """
        view = Warehouse(self.root, code_version=self.code_version, filesystem=self._filesystem)
        view._aside = partition
        return view

    def branch(
        self, root: Path, partitions: Iterable[str], chosen: Collection[str], others: Mapping[str, str] = _NONE
    ) -> "Warehouse":
        """A warehouse of its own, in a folder of the same disk, that begins with some partitions of this one.

        Their generations are linked, so they cost nothing; what is published in the branch changes nothing here.

        Args:
            root: the folder, without any of these partitions.
            partitions: such as `month=2026-09`, each with all its tables.
            chosen: ids of generations that count in the branch; of tables with none of them, what counts here does.
            others: table -> a further partition, of that table alone; none where it has none.
        """
        kept = [(table, partition) for partition in partitions for table in self.tables(partition)]
        kept += [(table, partition) for table, partition in others.items() if table in self.tables(partition)]
        for table, partition in kept:
            source, target = (PartitionFolder(folder, table, partition) for folder in (self.root, root))
            link_partition(source, target, chosen)
        return Warehouse(root, code_version=self.code_version, filesystem=self._filesystem)

    def all_partitions(self) -> list[str]:
        """The partitions of which any table has a generation, sorted."""
        return sorted({path.parent.name for path in self.root.glob(f"*/*/*=*/{GENERATION_PREFIX}*")})

    def tables(self, partition: str) -> list[str]:
        """The tables that have a generation of a partition, sorted."""
        folders = sorted(self.root.glob(f"*/*/{partition}"))
        tables = [f"{path.parts[-3]}/{path.parts[-2]}" for path in folders]
        return [table for table in tables if self.generation_ids(table, partition)]

    def generation_ids(self, table: str, partition: str) -> list[str]:
        """Every generation of a table's partition that is there, whether or not it counts or ever did, sorted."""
        return PartitionFolder(self.root, table, partition).generation_ids()

    @contextmanager
    def publishing(
        self,
        table: str,
        partition: str,
        *,
        as_of: datetime | None,
        inputs: Mapping[str, str] = _NONE,
        facts: Mapping[str, object] = _NONE,
    ) -> Generator[Publication]:
        """Publish what a `with` block writes, all of it or (when it raises) nothing.

        Publishing once more what counts already changes nothing; if it is damaged, that repairs it.

        Args:
            table: such as `usage/runtime_intervals`.
            partition: such as `month=2026-10`.
            as_of: the instant whose knowledge the figures have; null where none selects them.
            inputs: what was read, as name -> generation id.
            facts: a few JSON values worth keeping beside the files.

        Raises:
            MalformedName: the table or the partition must not become part of a path.
            UnfinishedPublication: the block left other files than it announced.
            OSError: the file system refused a step; what counted before counts still.
        """
        folder = PartitionFolder(self.root, table, partition)
        header = describe_publish(folder, code_version=self.code_version, as_of=as_of, inputs=inputs, facts=facts)
        is_aside = partition == self._aside
        with publishing(folder, header, self._filesystem, is_aside=is_aside) as publication:
            yield publication
        if is_aside:
            self.published_aside[table] = publication.id

    def publish(
        self,
        table: str,
        partition: str,
        frame: pl.DataFrame,
        *,
        as_of: datetime | None,
        inputs: Mapping[str, str] = _NONE,
        facts: Mapping[str, object] = _NONE,
        part: str = "rows",
    ) -> Generation:
        """Publish one frame as the only part; otherwise as `publishing`."""
        with self.publishing(table, partition, as_of=as_of, inputs=inputs, facts=facts) as publication:
            publication.write(part, frame)
        return publication.generation

    def current(self, table: str, partition: str) -> Generation | None:
        """The generation that counts, or None where nothing was ever published.

        Raises:
            DamagedGeneration: something was published, but CURRENT or the manifest is missing or altered.
        """
        if partition == self._aside and table in self.published_aside:
            return self.generation(table, partition, self.published_aside[table])
        return read_current(PartitionFolder(self.root, table, partition))

    def require(self, table: str, partition: str) -> Generation:
        """The generation that counts.

        Raises:
            NotPublished: there is none; the message names what to run.
            DamagedGeneration: as for `current`.
        """
        generation = self.current(table, partition)
        if generation is None:
            key = partition.partition("=")[2]
            message = f"{table} of {partition} is not published; materialise {table} for {key} first"
            raise NotPublished(message)
        return generation

    def generation(self, table: str, partition: str, generation_id: str) -> Generation:
        """A generation by its id, current or not.

        Raises:
            NotPublished: there is no such generation (any more).
            DamagedGeneration: its manifest is missing or altered.
        """
        return read_generation(PartitionFolder(self.root, table, partition), generation_id)

    def verify(self) -> WarehouseReport:
        """Every generation of every table, current or not, held against its checksums."""
        return verify_warehouse(self.root)

    def partitions(self, table: str) -> list[str]:
        """The partitions of a table that have a current generation, sorted.

        Raises:
            DamagedGeneration: one of them is damaged, as for `current`.
        """
        return [folder.partition for folder in published_partitions(self.root, table) if read_current(folder)]

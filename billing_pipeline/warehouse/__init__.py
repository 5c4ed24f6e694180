"""Publish and read months of tables: generations, manifests, checksums.

One module does this for every table; nothing else writes a file under a final name.
"""

from billing_pipeline.warehouse.code_version import code_version
from billing_pipeline.warehouse.filesystem import FileSystem, LocalFileSystem
from billing_pipeline.warehouse.layout import MalformedName
from billing_pipeline.warehouse.publish import Publication, UnfinishedPublication
from billing_pipeline.warehouse.reading import DamagedGeneration, Generation, NotPublished
from billing_pipeline.warehouse.store import Warehouse
from billing_pipeline.warehouse.verifying import WarehouseReport

__all__ = [
    "DamagedGeneration",
    "FileSystem",
    "Generation",
    "LocalFileSystem",
    "MalformedName",
    "NotPublished",
    "Publication",
    "UnfinishedPublication",
    "Warehouse",
    "WarehouseReport",
    "code_version",
]

"""System tables: what the metadata of a table says, as a table of its own (`t$snapshots`)."""

from collections.abc import Callable, Mapping

import pyarrow as pa

from tsdb.catalog.system.contents import audit_log, read_optimized
from tsdb.catalog.system.files import file_key_ranges, files
from tsdb.catalog.system.manifests import manifests
from tsdb.catalog.system.partitions import buckets, partitions
from tsdb.catalog.system.schemas import options, schemas
from tsdb.catalog.system.snapshots import snapshots
from tsdb.catalog.system.tags import tags
from tsdb.table.table import Table

SystemTable = Callable[[Table], pa.Table]
SYSTEM_TABLES: Mapping[str, SystemTable] = {
    "snapshots": snapshots,
    "schemas": schemas,
    "options": options,
    "files": files,
    "file_key_ranges": file_key_ranges,
    "manifests": manifests,
    "partitions": partitions,
    "buckets": buckets,
    "tags": tags,
    "audit_log": audit_log,
    "ro": read_optimized,
}

__all__ = ["SYSTEM_TABLES", "SystemTable"]

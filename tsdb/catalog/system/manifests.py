"""`t$manifests`: the manifests of the newest snapshot, those of its changelog, too."""

import pyarrow as pa

from tsdb.catalog.system.rows import bigint, partition_text, required_bigint, required_string, string, table_of
from tsdb.metadata.binary_row import decode_row
from tsdb.metadata.manifest import ManifestFileMeta, read_manifest_list
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.refs import resolve_snapshot
from tsdb.table.scan import manifests as manifests_of
from tsdb.table.table import Table

SCHEMA = pa.schema(
    [
        required_string("file_name"),
        required_bigint("file_size"),
        required_bigint("num_added_files"),
        required_bigint("num_deleted_files"),
        required_bigint("schema_id"),
        string("min_partition_stats"),
        string("max_partition_stats"),
        bigint("min_row_id"),
        bigint("max_row_id"),
    ]
)


def manifests(table: Table) -> pa.Table:
    """One row a manifest, in the order of application; those of the changelog last."""
    snapshot = resolve_snapshot(table, table.options.values)
    types = [table.schema.field(key).type for key in table.schema.partition_keys]
    rows = []
    for meta in [] if snapshot is None else [*manifests_of(table, snapshot), *_changelog(table, snapshot)]:
        stats = (meta.partition_stats.min_values, meta.partition_stats.max_values)
        low, high = (partition_text(decode_row(row, types) if types else (), types) for row in stats)
        rows.append(
            (
                meta.file_name, meta.file_size, meta.num_added_files, meta.num_deleted_files, meta.schema_id,
                low, high, meta.min_row_id, meta.max_row_id,
            )
        )  # fmt: skip
    return table_of(rows, SCHEMA)


def _changelog(table: Table, snapshot: Snapshot) -> tuple[ManifestFileMeta, ...]:
    name = snapshot.changelog_manifest_list
    return () if name is None else read_manifest_list(table.file_io, table.paths.manifest(name))

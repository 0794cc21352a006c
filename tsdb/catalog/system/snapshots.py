"""`t$snapshots`: every snapshot that has not expired."""

import pyarrow as pa

from tsdb.catalog.system.rows import REQUIRED_TIME, bigint, required_bigint, required_string, string, table_of
from tsdb.metadata.snapshot import SnapshotNotFound
from tsdb.table.table import Table

SCHEMA = pa.schema(
    [
        required_bigint("snapshot_id"),
        required_bigint("schema_id"),
        required_string("commit_user"),
        required_bigint("commit_identifier"),
        required_string("commit_kind"),
        pa.field("commit_time", REQUIRED_TIME, False),
        required_string("base_manifest_list"),
        required_string("delta_manifest_list"),
        string("changelog_manifest_list"),
        bigint("total_record_count"),
        bigint("delta_record_count"),
        bigint("changelog_record_count"),
        bigint("watermark"),
        bigint("next_row_id"),
    ]
)


def snapshots(table: Table) -> pa.Table:
    """One row a snapshot, oldest first."""
    rows, ids = [], table.snapshots.ids()
    for snapshot_id in ids:
        try:
            s = table.snapshots.snapshot(snapshot_id)
        except SnapshotNotFound:  # it has expired since it was listed
            continue
        rows.append(
            (
                s.id, s.schema_id, s.commit_user, s.commit_identifier, s.commit_kind, s.time_millis,
                s.base_manifest_list, s.delta_manifest_list, s.changelog_manifest_list, s.total_record_count,
                s.delta_record_count, s.changelog_record_count, s.watermark, s.next_row_id,
            )
        )  # fmt: skip
    # all of them gone: there are newer ones
    return snapshots(table) if ids and not rows else table_of(rows, SCHEMA)

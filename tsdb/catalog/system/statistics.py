"""`t$statistics`: what ANALYZE has found out about the table."""

import json

import pyarrow as pa

from tsdb.catalog.system.rows import bigint, required_bigint, string, table_of
from tsdb.table.statistics import KEYS, find_statistics
from tsdb.table.table import Table

STATISTICS = pa.schema(
    [
        required_bigint("snapshot_id"),
        required_bigint("schema_id"),
        bigint("mergedRecordCount"),
        bigint("mergedRecordSize"),
        string("colstat"),
    ]
)


def statistics(table: Table) -> pa.Table:
    """The statistics of the last ANALYZE that the newest snapshot still has; no row without any."""
    found = find_statistics(table, table.latest_snapshot())
    if found is None:
        return table_of([], STATISTICS)
    ordered = {name: {key: kept[key] for key in KEYS if key in kept} for name, kept in found.columns.items()}
    columns = json.dumps(ordered, indent=2, separators=(",", " : "), ensure_ascii=False)
    row = (found.snapshot_id, found.schema_id, found.merged_record_count, found.merged_record_size, columns)
    return table_of([row], STATISTICS)

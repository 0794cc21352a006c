"""`t$tags`: the tags of the table."""

import pyarrow as pa

from tsdb.catalog.system.rows import REQUIRED_TIME, bigint, duration, required_bigint, required_string, string, table_of
from tsdb.table.table import Table
from tsdb.table.tag import tags as tags_of

SCHEMA = pa.schema(
    [
        required_string("tag_name"),
        required_bigint("snapshot_id"),
        required_bigint("schema_id"),
        pa.field("commit_time", REQUIRED_TIME, False),
        bigint("record_count"),
        pa.field("create_time", REQUIRED_TIME),
        string("time_retained"),
    ]
)


def tags(table: Table) -> pa.Table:
    """One row a tag, by name."""
    rows = []
    for tag in tags_of(table):
        s = tag.snapshot
        kept = None if tag.time_retained is None else duration(tag.time_retained)
        rows.append((tag.name, s.id, s.schema_id, s.time_millis, s.total_record_count, tag.create_time, kept))
    return table_of(rows, SCHEMA)

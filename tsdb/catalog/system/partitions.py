"""`t$partitions` and `t$buckets`: how many rows, bytes and files lie where. Rows are those of files, before merging."""

from collections import defaultdict
from collections.abc import Sequence

import pyarrow as pa

from tsdb.catalog.system.rows import REQUIRED_TIME, partition_text, required_bigint, string, table_of, typed_text
from tsdb.metadata.manifest import ManifestEntry
from tsdb.table.scan import live_files, partition_values
from tsdb.table.table import Table
from tsdb.table.update_time import partition_update_times, update_times

_COUNTS = [required_bigint("record_count"), required_bigint("file_size_in_bytes"), required_bigint("file_count")]
PARTITIONS = pa.schema(
    [
        string("partition"),
        *_COUNTS,
        pa.field("last_update_time", REQUIRED_TIME),
        pa.field("created_at", REQUIRED_TIME),
        string("created_by"),
        string("updated_by"),
        string("options"),
    ]
)
BUCKETS = pa.schema(
    [
        string("partition"),
        pa.field("bucket", pa.int32(), False),
        *_COUNTS,
        pa.field("last_update_time", REQUIRED_TIME),
    ]
)


def partitions(table: Table) -> pa.Table:
    """One row a partition that has files."""
    groups: dict[bytes, list[ManifestEntry]] = defaultdict(list)
    snapshot = table.latest_snapshot()
    for entry in live_files(table, snapshot):
        groups[entry.partition].append(entry)
    times = partition_update_times(table, snapshot)
    rows = []
    for partition, entries in groups.items():
        names, kinds = table.schema.partition_keys, table.schema.partition_types
        triples = zip(names, partition_values(table, partition), kinds, strict=True)
        default = table.paths.default_partition
        shown = {key: default if _is_blank(value) else typed_text(value, kind) for key, value, kind in triples}
        name = "/".join(f"{key}={value}" for key, value in shown.items())
        rows.append((name, *_counted(entries), times[partition] or None, None, None, None, None))
    return table_of(sorted(rows, key=lambda row: str(row[0])), PARTITIONS)


def _is_blank(value: object) -> bool:
    return value is None or (isinstance(value, str) and not value.strip())


def buckets(table: Table) -> pa.Table:
    """One row a bucket that has files."""
    groups: dict[tuple[bytes, int], list[ManifestEntry]] = defaultdict(list)
    snapshot = table.latest_snapshot()
    for entry in live_files(table, snapshot):
        groups[entry.partition, entry.bucket].append(entry)
    times = update_times(table, snapshot)
    rows = [
        (
            partition_text(partition_values(table, partition), table.schema.partition_types),
            bucket,
            *_counted(entries),
            times[partition, bucket] or None,
        )
        for (partition, bucket), entries in groups.items()
    ]
    return table_of(sorted(rows, key=lambda row: (str(row[0]), row[1])), BUCKETS)


def _counted(entries: Sequence[ManifestEntry]) -> tuple[int, int, int]:
    files = [entry.file for entry in entries]
    return sum(f.row_count for f in files), sum(f.file_size for f in files), len(files)

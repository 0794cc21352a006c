"""When partitions and buckets were last changed: the newest file in any manifest entry, also of files that went.

Source: Paimon, `PartitionEntry` and `BucketEntry`.
"""

from collections import defaultdict

from tsdb.metadata.manifest import read_manifest
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.scan import manifests
from tsdb.table.table import Table


def update_times(table: Table, snapshot: Snapshot | None) -> dict[tuple[bytes, int], int]:
    """By partition and bucket, in epoch milliseconds; 0 where it is not known."""
    newest: dict[tuple[bytes, int], int] = defaultdict(int)
    for meta in [] if snapshot is None else manifests(table, snapshot):
        for entry in read_manifest(table.file_io, table.paths.manifest(meta.file_name)):
            place = entry.partition, entry.bucket
            newest[place] = max(newest[place], entry.file.creation_time_millis or 0)
    return newest


def partition_update_times(table: Table, snapshot: Snapshot | None) -> dict[bytes, int]:
    """By partition."""
    newest: dict[bytes, int] = defaultdict(int)
    for (partition, _), millis in update_times(table, snapshot).items():
        newest[partition] = max(newest[partition], millis)
    return newest

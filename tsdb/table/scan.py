"""Planning a read: which files of a snapshot may hold wanted rows, grouped into splits that are read independently.

Pruning goes from coarse to fine: manifests by their partition and bucket ranges, entries by partition and bucket, files
by statistics. Two laws keep it right: a file of a primary-key table may be left out for its *key* range alone, because
then all files leave out the same keys; by the statistics of other columns only a whole section may be left out, because
an old row must not reappear when the file with its successor is dropped.

Source: Paimon, `AbstractFileStoreScan`, `KeyValueFileStoreScan`, `MergeTreeSplitGenerator`.
"""

from collections import defaultdict
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from typing import Any

import numpy as np

from tsdb.mergetree.sorted_run import SortedRun, key_ranges, sections, sorted_runs
from tsdb.metadata.binary_row import decode_row
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.manifest import ADD, ManifestEntry, ManifestFileMeta, fold, read_manifest, read_manifest_list
from tsdb.metadata.predicate import Predicate
from tsdb.metadata.snapshot import Snapshot
from tsdb.options import parse_size
from tsdb.table.deletion_file import DeletionFile, NewlyDeleted, deletion_files
from tsdb.table.prune import Pruner
from tsdb.table.table import Table

POSTPONE_BUCKET = -2


@dataclass(frozen=True, slots=True)
class DataSplit:
    """Files of one bucket that are read together. raw: every row is one of the table's, nothing has to be merged.

    deletions: by file name, where the deleted rows of a file are listed.
    """

    partition: bytes
    partition_values: tuple[Any, ...]
    bucket: int
    total_buckets: int
    files: tuple[DataFileMeta, ...]
    bucket_path: str
    raw: bool
    deletions: Mapping[str, DeletionFile | NewlyDeleted] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class ScanPlan:
    """What to read. snapshot: None for a table without any. files_total counts those of the snapshot, after manifests
    and partitions were pruned; files_kept those in splits.
    """

    snapshot: Snapshot | None
    splits: tuple[DataSplit, ...]
    predicate: Predicate | None = None
    files_total: int = 0
    files_kept: int = 0
    manifests_total: int = 0
    manifests_read: int = 0


def plan_scan(
    table: Table,
    snapshot: Snapshot | None,
    predicate: Predicate | None = None,
    *,
    keeps_level: Callable[[int], bool] | None = None,
    created_since_ms: int | None = None,
) -> ScanPlan:
    """The splits of a snapshot that may hold rows for which the predicate is true.

    keeps_level: only files of these levels (None: all that batch reads see). created_since_ms: only files that were
    made from then on.
    """
    if snapshot is None:
        return ScanPlan(None, (), predicate)
    pruner = Pruner(table, predicate)
    metas = manifests(table, snapshot)
    chosen = [meta for meta in metas if pruner.keeps_manifest(meta)]
    entries = _live(_entries(table, chosen, pruner.keeps_entry))
    files_total = len(entries)
    entries = [e for e in entries if e.bucket != POSTPONE_BUCKET and pruner.keeps_file(e.file)]
    if table.hides_level_zero:
        entries = [entry for entry in entries if entry.file.level > 0]
    if keeps_level is not None:
        entries = [entry for entry in entries if keeps_level(entry.file.level)]
    if created_since_ms is not None:
        entries = [entry for entry in entries if (entry.file.creation_time_millis or 0) >= created_since_ms]
    splits = merged_splits(table, entries, pruner, deletion_files(table, snapshot))
    kept = sum(len(split.files) for split in splits)
    return ScanPlan(snapshot, splits, predicate, files_total, kept, len(metas), len(chosen))


def merged_splits(
    table: Table,
    entries: Iterable[ManifestEntry],
    pruner: Pruner,
    deletions: Mapping[tuple[bytes, int], Mapping[str, DeletionFile]],
) -> tuple[DataSplit, ...]:
    """The splits of some files, which are all there is of their buckets. deletions: by partition and bucket."""
    splits: list[DataSplit] = []
    for place, members in _by_bucket(entries).items():
        splits += _bucket_splits(table, members, pruner, deletions.get(place, {}))
    return tuple(splits)


def live_files(
    table: Table, snapshot: Snapshot | None, partition_filter: Callable[[bytes], bool] | None = None
) -> list[ManifestEntry]:
    """Every file of a snapshot, level 0 included, in the order in which files were added."""
    if snapshot is None:
        return []
    keeps = partition_filter
    return _live(_entries(table, manifests(table, snapshot), None if keeps is None else lambda e: keeps(e.partition)))


def manifests(table: Table, snapshot: Snapshot) -> list[ManifestFileMeta]:
    """All manifests that a snapshot consists of, in the order of application."""
    lists = (snapshot.base_manifest_list, snapshot.delta_manifest_list)
    return [meta for name in lists for meta in read_manifest_list(table.file_io, table.paths.manifest(name))]


def entries_of_list(table: Table, manifest_list: str | None) -> list[ManifestEntry]:
    """The entries, ADD and DELETE, of one manifest list: a snapshot's delta or changelog."""
    if manifest_list is None:
        return []
    return list(_entries(table, read_manifest_list(table.file_io, table.paths.manifest(manifest_list)), None))


def make_split(
    table: Table,
    entry: ManifestEntry,
    files: Sequence[DataFileMeta],
    *,
    raw: bool,
    deletions: Mapping[str, DeletionFile | NewlyDeleted] | None = None,
) -> DataSplit:
    """A split of some files in the bucket of the entry."""
    values, path = partition_values(table, entry.partition), _bucket_path(table, entry)
    return DataSplit(
        entry.partition, values, entry.bucket, entry.total_buckets, tuple(files), path, raw, deletions or {}
    )


def _bucket_path(table: Table, entry: ManifestEntry) -> str:
    values = partition_values(table, entry.partition)
    return table.paths.bucket(dict(zip(table.schema.partition_keys, values, strict=True)), entry.bucket)


def partition_values(table: Table, partition: bytes) -> tuple[Any, ...]:
    """The values of the partition columns."""
    keys = table.schema.partition_keys
    return decode_row(partition, [table.schema.field(key).type for key in keys]) if keys else ()


def in_partition(table: Table, partition: bytes, spec: Mapping[str, Any]) -> bool:
    """Whether a partition agrees with a specification: column to value, or to the text of the value as in paths."""
    values = dict(zip(table.schema.partition_keys, partition_values(table, partition), strict=True))
    return all(values[name] == wanted or value_text(table, values[name]) == wanted for name, wanted in spec.items())


def value_text(table: Table, value: Any) -> str:
    """A partition value as statements and procedures spell it."""
    if value is None:
        return table.paths.default_partition
    if isinstance(value, np.datetime64):
        return str(value).replace("T", " ").removesuffix("000").removesuffix("000").removesuffix(".000")
    return str(value).lower() if isinstance(value, bool) else str(value)


def _entries(
    table: Table, metas: Sequence[ManifestFileMeta], keeps: Callable[[ManifestEntry], bool] | None
) -> Iterable[ManifestEntry]:
    for meta in metas:
        entries = read_manifest(table.file_io, table.paths.manifest(meta.file_name))
        yield from entries if keeps is None else filter(keeps, entries)


def _live(entries: Iterable[ManifestEntry]) -> list[ManifestEntry]:
    return [entry for entry in fold(entries) if entry.kind == ADD]


def _by_bucket(entries: Iterable[ManifestEntry]) -> dict[tuple[bytes, int], list[ManifestEntry]]:
    buckets: dict[tuple[bytes, int], list[ManifestEntry]] = defaultdict(list)
    for entry in entries:
        buckets[entry.partition, entry.bucket].append(entry)
    return buckets


def _bucket_splits(
    table: Table, entries: Sequence[ManifestEntry], pruner: Pruner, deletions: Mapping[str, DeletionFile]
) -> list[DataSplit]:
    files = [entry.file for entry in entries]
    # where indexes lie beside files, if any do
    directory = _bucket_path(table, entries[0]) if any(file.extra_files for file in files) else None
    keeps = partial(pruner.keeps_values, directory=directory)
    if not table.is_primary_key:
        kept = [[file] for file in sorted(files, key=_append_order) if keeps(file)]
        groups = [(members, True) for members in _packed(table, kept)]
    elif _is_raw(table, files):
        kept = [[file] for file in files if keeps(file)]
        groups = [(members, True) for members in _packed(table, kept)]
    else:
        key_range = key_ranges([table.schema.field(key).type for key in table.schema.trimmed_primary_keys])
        # a folded value may be in no file
        folds = table.options.merge_engine in ("partial-update", "aggregation")
        raw: list[list[DataFileMeta]] = []
        merged: list[list[DataFileMeta]] = []
        for section in sections(sorted_runs(files, key_range), key_range):
            members = [file for run in section for file in run.files]
            if _needs_no_merge(section):
                raw += [[file] for file in members if keeps(file)]
            elif folds or any(keeps(file) for file in members):
                merged.append(members)
        groups = [(m, True) for m in _packed(table, raw)] + [(m, False) for m in _packed(table, merged)]
    return [
        make_split(
            table, entries[0], members, raw=is_raw,
            deletions={f.file_name: deletions[f.file_name] for f in members if f.file_name in deletions},
        )
        for members, is_raw in groups
    ]  # fmt: skip


def _is_raw(table: Table, files: Sequence[DataFileMeta]) -> bool:
    """The rule for a whole bucket: no level 0, no deletions, and no two files that share keys."""
    if any(file.level == 0 or file.delete_row_count != 0 for file in files):
        return False
    return table.hides_level_zero or len({file.level for file in files}) == 1


def _needs_no_merge(section: Sequence[SortedRun]) -> bool:
    """A single run holds each key once; without deletions all of its rows are rows of the table."""
    return len(section) == 1 and all(file.delete_row_count == 0 for file in section[0].files)


def _packed(table: Table, groups: Sequence[list[DataFileMeta]]) -> list[list[DataFileMeta]]:
    """Consecutive groups put together up to the target size of a split; opening a file counts as some bytes."""
    target = parse_size(table.options.get("source.split.target-size") or "")
    open_cost = parse_size(table.options.get("source.split.open-file-cost") or "")
    packed: list[list[DataFileMeta]] = []
    weight = 0
    for group in groups:
        cost = sum(max(file.file_size, open_cost) for file in group)
        if packed and weight + cost <= target:
            packed[-1] += group
            weight += cost
        else:
            packed.append(list(group))
            weight = cost
    return packed


def _append_order(file: DataFileMeta) -> tuple[int, int]:
    return file.min_sequence_number, file.max_sequence_number

"""Dynamic buckets: an index from the hash of each key to its bucket, one for each partition.

The index lies beside the data: a file a bucket with the hashes of its keys, replaced by the commit that adds keys. Only
hashes are kept, so keys of equal hash share a bucket. In memory a partition is a few sorted arrays, the newer ones
smaller, and a lookup is a binary search of all keys at once.

Laws: a hash is in one bucket of its partition; a key, once placed, stays in its bucket until its partition is
overwritten. Source: Paimon, `HashBucketAssigner`, `PartitionIndex` and `HashIndexFile`.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.errors import CorruptFile
from tsdb.metadata.binary_row import hash_rows
from tsdb.metadata.index_file import HASH, IndexEntry, IndexFileMeta
from tsdb.metadata.paths import FileNames
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.assigned import Assigned, Kinds
from tsdb.table.bucket import partition_codes, placement
from tsdb.table.bucket_fill import BucketFill
from tsdb.table.index_change import index_entries
from tsdb.table.newest import on_newest
from tsdb.table.table import Table

Hashes = npt.NDArray[np.int32]
Buckets = npt.NDArray[np.int32]


@dataclass(frozen=True, slots=True)
class IndexUpdate:
    """The index files of one bucket that a commit brings and replaces."""

    new: tuple[IndexFileMeta, ...]
    old: tuple[IndexFileMeta, ...]


class PartitionIndex:
    """The buckets of the keys of one partition. parts: the known hashes of each bucket."""

    def __init__(self, fill: BucketFill, parts: Mapping[int, Hashes]) -> None:
        self._fill = fill
        self._runs: list[tuple[Hashes, Buckets]] = []
        self._changed: set[int] = set()
        if parts:
            buckets = np.repeat(np.array(list(parts), np.int32), [len(hashes) for hashes in parts.values()])
            self._push(np.concatenate(list(parts.values())), buckets)

    def assign(self, hashes: Hashes) -> Buckets:
        """The bucket of each row by the hash of its key; new hashes become known."""
        distinct, inverse = np.unique(hashes, return_inverse=True)
        buckets = self._find(distinct)
        new = np.flatnonzero(buckets < 0)
        if len(new):
            buckets[new] = self._fill.place(distinct[new])
            self._push(distinct[new], buckets[new])
            self._changed.update(np.unique(buckets[new]).tolist())
        return buckets[inverse]

    def take_changed(self) -> dict[int, Hashes]:
        """All hashes of the buckets that got new ones since the last call."""
        changed, self._changed = self._changed, set()
        if not changed:
            return {}
        hashes = np.concatenate([run[0] for run in self._runs])
        buckets = np.concatenate([run[1] for run in self._runs])
        wanted = np.flatnonzero(np.isin(buckets, list(changed)))
        wanted = wanted[np.argsort(buckets[wanted], kind="stable")]
        names, starts = np.unique(buckets[wanted], return_index=True)
        parts = np.split(hashes[wanted], starts[1:])
        return dict(zip(names.tolist(), parts, strict=True))

    def _find(self, distinct: Hashes) -> Buckets:
        """The bucket of each hash, -1 if it is new."""
        found = np.full(len(distinct), -1, np.int32)
        for hashes, buckets in self._runs:
            at = np.minimum(np.searchsorted(hashes, distinct), len(hashes) - 1)
            hit = hashes[at] == distinct
            found[hit] = buckets[at[hit]]
        return found

    def _push(self, hashes: Hashes, buckets: Buckets) -> None:
        """A new run; runs that are not much larger than the next are merged, so that there are few."""
        self._runs.append(_sorted(hashes, buckets))
        while len(self._runs) > 1 and len(self._runs[-2][0]) < 2 * len(self._runs[-1][0]):
            (left, left_buckets), (right, right_buckets) = self._runs[-2:]
            self._runs[-2:] = [_sorted(np.concatenate([left, right]), np.concatenate([left_buckets, right_buckets]))]


class DynamicAssigner:
    """Places the rows of a table with dynamic buckets. starts_anew: the rows replace what is there (an overwrite).

    Another writer that adds keys of the same partition shows in the index files that its commit replaces.
    based_on: the snapshot whose index was read; the commit fails if the partition was overwritten since.
    """

    def __init__(self, table: Table, *, starts_anew: bool = False) -> None:
        self._table = table
        self._starts_anew = starts_anew
        self._names = FileNames()
        self._manifest: str | None = None
        self._files: dict[bytes, dict[int, IndexFileMeta]] = {}
        self._partitions: dict[bytes, PartitionIndex] = {}
        self.based_on: int | None = None

    def begin(self) -> None:
        """Called before the first row of a commit: what another writer has changed is read again."""
        if self._starts_anew:
            return
        on_newest(self._table, self._begin)

    def _begin(self, snapshot: Snapshot | None) -> None:
        self.based_on = 0 if snapshot is None else snapshot.id
        manifest = None if snapshot is None else snapshot.index_manifest
        if manifest == self._manifest:
            return
        entries = index_entries(self._table, snapshot)
        files = _hash_files(entries)
        for partition in list(self._partitions):
            if files.get(partition, {}) != self._files.get(partition, {}):
                del self._partitions[partition]
        self._files, self._manifest = files, manifest

    def assign(self, rows: pa.Table, kinds: Kinds | None) -> Assigned:
        """The rows as they are, each in the bucket of its key."""
        schema = self._table.schema
        keys = schema.trimmed_primary_keys
        hashes = hash_rows([rows[key] for key in keys], [schema.field(key).type for key in keys])
        parted = partition_codes(rows, schema)
        if len(parted.partitions) == 1:
            return Assigned(rows, kinds, placement(parted, self._index(parted.partitions[0]).assign(hashes)))
        buckets = np.empty(rows.num_rows, np.int32)
        order = np.argsort(parted.codes, kind="stable")
        ends = np.cumsum(np.bincount(parted.codes, minlength=len(parted.partitions)))
        for partition, members in zip(parted.partitions, np.split(order, ends[:-1]), strict=True):
            buckets[members] = self._index(partition).assign(hashes[members])
        return Assigned(rows, kinds, placement(parted, buckets))

    def total_buckets(self, partition: bytes) -> int:
        """What manifests record where buckets have no fixed number."""
        return -1

    def updates(self) -> dict[tuple[bytes, int], IndexUpdate]:
        """Write the index files of what was assigned since the last call; by partition and bucket. If that fails, none
        of them remains, and the writer is to be aborted.
        """
        made: dict[tuple[bytes, int], IndexUpdate] = {}
        try:
            for partition, index in self._partitions.items():
                files = self._files.setdefault(partition, {})
                for bucket, hashes in index.take_changed().items():
                    before = (files[bucket],) if bucket in files else ()
                    files[bucket] = write_hashes(self._table, self._names.new_index_file(), hashes)
                    made[partition, bucket] = IndexUpdate((files[bucket],), before)
        except BaseException:
            for update in made.values():
                self._table.file_io.delete(self._table.paths.index(update.new[0].file_name))
            raise
        return made

    def forget(self) -> None:
        """What was assigned and is in no commit does not count."""
        self._partitions.clear()
        self._files.clear()
        self._manifest = None

    def _index(self, partition: bytes) -> PartitionIndex:
        known = self._partitions.get(partition)
        if known is None:
            parts = self._hashes(partition)
            fill = BucketFill(self._table.options, {bucket: len(hashes) for bucket, hashes in parts.items()})
            known = self._partitions[partition] = PartitionIndex(fill, parts)
        return known

    def _hashes(self, partition: bytes) -> dict[int, Hashes]:
        """Those of the buckets, as the last look at the index found them; as they are now if that has expired."""

        def read(files: Mapping[int, IndexFileMeta]) -> dict[int, Hashes]:
            return {bucket: read_hashes(self._table, file) for bucket, file in files.items()}

        def read_newest(snapshot: Snapshot | None) -> dict[int, Hashes]:
            files = _hash_files(index_entries(self._table, snapshot)).get(partition, {})
            parts = read(files)
            self._files[partition] = files
            return parts

        try:
            return read(self._files.get(partition, {}))
        except CorruptFile:
            return on_newest(self._table, read_newest)


def write_hashes(table: Table, name: str, hashes: Hashes) -> IndexFileMeta:
    """A new index file of these hashes."""
    data = hashes.astype(">i4").tobytes()
    table.file_io.write_bytes(table.paths.index(name), data)
    return IndexFileMeta(HASH, name, len(data), len(hashes))


def read_hashes(table: Table, file: IndexFileMeta) -> Hashes:
    """The hashes that an index file lists. Raises CorruptFile if it is missing or cut."""
    path = table.paths.of_index(file)
    try:
        data = table.file_io.read_bytes(path)
    except FileNotFoundError as err:
        raise CorruptFile(f"index file {path} is missing") from err
    if len(data) != 4 * file.row_count:
        raise CorruptFile(
            f"index file {path} has {len(data)} bytes; it should have 4 for each of {file.row_count} keys"
        )
    return np.frombuffer(data, ">i4").astype(np.int32)


def _hash_files(entries: Sequence[IndexEntry]) -> dict[bytes, dict[int, IndexFileMeta]]:
    files: dict[bytes, dict[int, IndexFileMeta]] = {}
    for entry in entries:
        if entry.file.index_type == HASH:
            files.setdefault(entry.partition, {})[entry.bucket] = entry.file
    return files


def _sorted(hashes: Hashes, buckets: Buckets) -> tuple[Hashes, Buckets]:
    order = np.argsort(hashes, kind="stable")
    return hashes[order], buckets[order]

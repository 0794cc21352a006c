"""Cross-partition upsert: a primary key that lacks a partition column has one row in the whole table.

An index in memory, read from the table when its writer begins, knows the partition and bucket of every key. A row whose
key lies in another partition is dealt with by the merge engine: `deduplicate` deletes the row there and puts the new
one where it belongs; `partial-update` and `aggregation` merge the new row into the old partition; `first-row` drops it.

Law: after each commit a key is live in one partition at most, if nobody else has written since the index was read; the
commit checks that. Source: Paimon, `GlobalIndexAssigner`, `IndexBootstrap` and `ExistingProcessor`.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb import clock
from tsdb.changes import RowKind
from tsdb.errors import IntegrityError
from tsdb.metadata.snapshot import Snapshot
from tsdb.options import parse_duration_ms
from tsdb.table.assigned import Assigned, Kinds
from tsdb.table.bucket import partition_codes, placement
from tsdb.table.bucket_fill import BucketFill
from tsdb.table.conflict import foreign_rows
from tsdb.table.deletion_file import deletion_files
from tsdb.table.hash_index import IndexUpdate
from tsdb.table.key_index import KeyIndex, KeyPlaces, Keys, Positions, keys_of, same_keys
from tsdb.table.newest import on_newest
from tsdb.table.prune import Pruner
from tsdb.table.read import Fragment
from tsdb.table.scan import live_files, merged_splits
from tsdb.table.table import Table

Mask = npt.NDArray[np.bool_]


class CrossPartitionAssigner:
    """Places the rows of a table with cross-partition upsert.

    user: the commit user, by which the writer recognises its own snapshots. replaces: for an overwrite, which
    partitions are replaced as a whole, given those that got rows; their keys do not count. None: nothing is.
    """

    def __init__(
        self, table: Table, *, user: str, replaces: Callable[[set[bytes]], Callable[[bytes], bool]] | None = None
    ) -> None:
        self._table = table
        self._user = user
        self._replaces = replaces
        self._state: _State | None = None
        self._seen_id = 0

    @property
    def based_on(self) -> int | None:
        """The snapshot that the index was read from, or a later one that is known to agree with it."""
        return self._seen_id

    def begin(self) -> None:
        """Called before the first row of a commit: if another writer has committed rows, the index is read again."""
        on_newest(self._table, self._begin)

    def _begin(self, latest: Snapshot | None) -> None:
        latest_id = 0 if latest is None else latest.id
        if self._state is not None and not foreign_rows(self._table, self._user, self._seen_id, latest_id):
            self._seen_id = latest_id
            return
        state = _State(self._table)
        if self._replaces is None:
            state.bootstrap(latest)
        self._state, self._seen_id = state, latest_id

    def assign(self, rows: pa.Table, kinds: Kinds | None) -> Assigned:
        """The rows to write, which may be other ones than came, with their places."""
        assert self._state is not None
        return self._state.assign(rows, kinds)

    def total_buckets(self, partition: bytes) -> int:
        """What manifests record where buckets have no fixed number."""
        return -1

    def updates(self) -> dict[tuple[bytes, int], IndexUpdate]:
        """The index has no files. For an overwrite, raises IntegrityError if a new key is in a partition that stays."""
        if self._replaces is not None and self._state is not None:
            self._check_rest(self._state, self._replaces(set(self._state.partitions)))
        return {}

    def forget(self) -> None:
        """The index is read again before the next row."""
        self._state = None

    def _check_rest(self, written: "_State", is_replaced: Callable[[bytes], bool]) -> None:
        """No key that was written is in a partition that is not replaced."""
        on_newest(self._table, lambda snapshot: self._check_snapshot(written, snapshot, is_replaced))

    def _check_snapshot(
        self, written: "_State", snapshot: Snapshot | None, is_replaced: Callable[[bytes], bool]
    ) -> None:
        for rows in stored_keys(self._table, snapshot, is_replaced):
            keys = keys_of(rows, self._table.schema.primary_keys)
            clash = np.flatnonzero(written.index.find(keys).partitions >= 0)
            if len(clash):
                row = rows.slice(int(clash[0]), 1).to_pylist()[0]
                raise IntegrityError(
                    f"the key of {row} of table `{self._table.identifier}` comes in the rows of this INSERT OVERWRITE, "
                    f"but is also in a partition that is not overwritten; use INSERT INTO, which moves the row, or "
                    f"overwrite all partitions with 'dynamic-partition-overwrite' = 'false'"
                )


@dataclass(frozen=True, slots=True)
class _Runs:
    """Rows of a batch with equal keys and partitions side by side. order: all rows by key, then by position;
    run_of[i]: the run of the i-th of them; starts: where runs start in `order`; is_first: whether a run is the first
    of its key.
    """

    order: Positions
    run_of: Positions
    starts: Positions
    is_first: Mask


class _State:
    """The index, the partitions it speaks of by number, and how full their buckets are."""

    def __init__(self, table: Table) -> None:
        self.index = KeyIndex()
        self.partitions: dict[bytes, int] = {}
        self._table = table
        self._values: list[pa.Table] = []
        self._fills: list[BucketFill] = []
        self._engine = table.options.merge_engine

    def bootstrap(self, snapshot: Snapshot | None) -> None:
        """Learn the keys of the snapshot."""
        schema = self._table.schema
        names = (*schema.primary_keys, *schema.partition_keys)
        for rows, bucket in _stored(self._table, snapshot, lambda _: False, names):
            numbers = self._numbers(rows)
            self._fills[int(numbers[0])].counts.setdefault(bucket, 0)
            self._fills[int(numbers[0])].counts[bucket] += rows.num_rows
            places = KeyPlaces(numbers, np.full(rows.num_rows, bucket, np.int32))
            self.index.put(keys_of(rows, schema.primary_keys), places)

    def assign(self, rows: pa.Table, kinds: Kinds | None) -> Assigned:
        """See `CrossPartitionAssigner.assign`."""
        keys = keys_of(rows, self._table.schema.primary_keys)
        wanted = self._numbers(rows)
        order, first = same_keys(keys)
        before = self.index.find(keys.take(order[first]))
        if self._engine == "deduplicate":
            return self._moved(rows, kinds, keys, wanted, _runs(order, first, wanted), before)
        # the place of a key is that of the first row that came with it
        owner = np.where(before.partitions >= 0, before.partitions, wanted[order[first]])
        home = np.empty(len(order), np.int32)
        home[order] = owner[np.cumsum(first) - 1]
        if self._engine == "first-row":
            kept = np.flatnonzero(home == wanted)
            if len(kept) < rows.num_rows:
                return self.assign(rows.take(pa.array(kept)), None if kinds is None else kinds[kept])
        elif not np.array_equal(home, wanted):
            rows = self._in_partitions(rows, home)
        return self._moved(rows, kinds, keys, home, _runs(order, first, home), before)

    def _moved(
        self, rows: pa.Table, kinds: Kinds | None, keys: Keys, wanted: npt.NDArray[np.int32], runs: _Runs,
        before: KeyPlaces,
    ) -> Assigned:  # fmt: skip
        """Place the runs one after the other; where a key leaves a partition, its row there is deleted first.

        before: the known place of each key, in the order of the runs.
        """
        first_rows = runs.order[runs.starts]
        partitions = wanted[first_rows]
        key_of_run = np.cumsum(runs.is_first) - 1
        stays = runs.is_first & (before.partitions[key_of_run] == partitions)
        buckets = np.where(stays, before.buckets[key_of_run], -1).astype(np.int32)
        self._fill(partitions, buckets, keys.hashes[first_rows])
        # what each run leaves behind: the run before it, for the first one what the index knows
        old_partitions = np.where(runs.is_first, before.partitions[key_of_run], np.roll(partitions, 1))
        old_buckets = np.where(runs.is_first, before.buckets[key_of_run], np.roll(buckets, 1))
        left = np.flatnonzero((old_partitions >= 0) & (old_partitions != partitions))
        self._leave(old_partitions[left], old_buckets[left])
        is_last = np.append(runs.is_first, True)[1:]
        self.index.put(keys.take(first_rows[is_last]), KeyPlaces(partitions[is_last], buckets[is_last]))
        row_buckets = np.empty(rows.num_rows, np.int32)
        row_buckets[runs.order] = buckets[runs.run_of]
        if not len(left):
            return self._placed(rows, kinds, row_buckets)
        at = first_rows[left]
        deleted = self._in_partitions(rows.take(pa.array(at)), old_partitions[left].astype(np.int32))
        both = np.argsort(np.concatenate([2 * np.arange(rows.num_rows) + 1, 2 * at]), kind="stable")
        given = np.zeros(rows.num_rows, np.int8) if kinds is None else kinds
        all_kinds = np.concatenate([given, np.full(len(at), RowKind.DELETE, np.int8)])[both]
        all_rows = pa.concat_tables([rows, deleted]).take(pa.array(both))
        return self._placed(all_rows, all_kinds, np.concatenate([row_buckets, old_buckets[left]])[both])

    def _placed(self, rows: pa.Table, kinds: Kinds | None, buckets: npt.NDArray[np.integer]) -> Assigned:
        parted = partition_codes(rows, self._table.schema)
        return Assigned(rows, kinds, placement(parted, buckets.astype(np.int32)))

    def _fill(
        self, partitions: npt.NDArray[np.int32], buckets: npt.NDArray[np.int32], hashes: npt.NDArray[np.uint64]
    ) -> None:
        """Give a bucket to each run that has none."""
        new = np.flatnonzero(buckets < 0)
        if not len(new):
            return
        new = new[np.argsort(partitions[new], kind="stable")]
        numbers, starts = np.unique(partitions[new], return_index=True)
        for number, members in zip(numbers.tolist(), np.split(new, starts[1:]), strict=True):
            spread = (hashes[members] >> np.uint64(33)).astype(np.int64)
            buckets[members] = self._fills[number].place(spread)

    def _leave(self, partitions: npt.NDArray[np.int32], buckets: npt.NDArray[np.int32]) -> None:
        for number in np.unique(partitions).tolist():
            self._fills[number].leave(buckets[partitions == number])

    def _numbers(self, rows: pa.Table) -> npt.NDArray[np.int32]:
        """The number of each row's partition; new partitions get one."""
        parted = partition_codes(rows, self._table.schema)
        numbers = np.empty(len(parted.partitions), np.int32)
        for i, partition in enumerate(parted.partitions):
            known = self.partitions.get(partition)
            if known is None:
                known = self.partitions[partition] = len(self.partitions)
                example = rows.select(list(self._table.schema.partition_keys)).slice(int(parted.first[i]), 1)
                self._values.append(example.combine_chunks())
                self._fills.append(BucketFill(self._table.options, {}))
            numbers[i] = known
        return numbers[parted.codes]

    def _in_partitions(self, rows: pa.Table, numbers: npt.NDArray[np.int32]) -> pa.Table:
        """The rows with the partition columns of other partitions."""
        values = pa.concat_tables(self._values).take(pa.array(numbers))
        for name in self._table.schema.partition_keys:
            at = rows.schema.get_field_index(name)
            rows = rows.set_column(at, rows.schema.field(at), values[name].cast(rows.schema.field(at).type))
        return rows


def stored_keys(table: Table, snapshot: Snapshot | None, is_left_out: Callable[[bytes], bool]) -> Iterator[pa.Table]:
    """The primary keys in a snapshot, but for those of some partitions."""
    return (rows for rows, _ in _stored(table, snapshot, is_left_out, table.schema.primary_keys))


def _stored(
    table: Table, snapshot: Snapshot | None, is_left_out: Callable[[bytes], bool], names: tuple[str, ...]
) -> Iterator[tuple[pa.Table, int]]:
    """Columns of the rows in a snapshot with their buckets, level 0 included; a piece is of one partition."""
    if snapshot is None:
        return
    ttl = table.options.get("cross-partition-upsert.index-ttl")
    oldest_ms = 0 if ttl is None else clock.current().now_ms() - parse_duration_ms(ttl)
    entries = live_files(table, snapshot, lambda partition: not is_left_out(partition))
    table = _selecting(table)
    for split in merged_splits(table, entries, Pruner(table, None), deletion_files(table, snapshot)):
        if ttl is not None and all((file.creation_time_millis or 0) < oldest_ms for file in split.files):
            continue
        for batch in Fragment(table, split).to_batches(list(dict.fromkeys(names))):
            if batch.num_rows:
                yield pa.Table.from_batches([batch]), split.bucket


def _selecting(table: Table) -> Table:
    """The same table read by key alone, level 0 too. Where keys never move, a key that was deleted may stay known."""
    keeps_deleted = {} if table.options.merge_engine == "deduplicate" else {"ignore-delete": "true"}
    plain = {"merge-engine": "deduplicate", "deletion-vectors.enabled": "false", "sequence.field": ""}
    return table.with_options({**plain, **keeps_deleted})


def _runs(order: Positions, first: Mask, partitions: npt.NDArray[np.int32]) -> _Runs:
    """order: the rows by key; first: where a key starts in it."""
    ordered = partitions[order]
    starts = first.copy()
    starts[1:] |= ordered[1:] != ordered[:-1]
    at = np.flatnonzero(starts)
    return _Runs(order, np.cumsum(starts) - 1, at, first[at])

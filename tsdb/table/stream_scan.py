"""Following a table: the state at a starting point, then the changes of every later snapshot.

Law: the full state and all changes up to snapshot N accumulate to the batch result of snapshot N. So, other than in
Paimon, OVERWRITE snapshots are delivered, as all old rows (-D) and all new rows (+I) of the buckets they touch, unless
'streaming-read-overwrite' is 'false'.

What a stream of a table with 'changelog-producer' = 'lookup' ('full-compaction') knows is what has been compacted: its
full state is that of the levels above 0 (of the highest level). Source: Paimon, `DataTableStreamScan`.

What was followed must stay true: a table that was rolled back, dropped or made anew, or a column whose type is another
since, ends the scan with an error; it is never read as if nothing had happened.
"""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb import clock
from tsdb.changes import RowKind
from tsdb.data_types import to_arrow
from tsdb.errors import NotSupportedError, OperationalError
from tsdb.format.parquet import VALUE_KIND
from tsdb.mergetree.merge import is_add
from tsdb.metadata.manifest import ADD, ManifestEntry
from tsdb.metadata.snapshot import Snapshot, SnapshotNotFound
from tsdb.options import TableOptions, parse_bool, parse_duration_ms
from tsdb.table.bucket import BucketMode
from tsdb.table.changed_keys import resolved_changes
from tsdb.table.changelog import find_changelog
from tsdb.table.consumer import set_consumer
from tsdb.table.data_file_reader import read_file
from tsdb.table.deletion_file import DeletionFile, NewlyDeleted, deletion_files
from tsdb.table.hold import follow, unfollow
from tsdb.table.prune import Pruner
from tsdb.table.read import Fragment
from tsdb.table.refs import (
    created_since,
    given_option,
    whole_number,
)
from tsdb.table.scan import DataSplit, entries_of_list, live_files, make_split, merged_splits, plan_scan
from tsdb.table.state_before import state_before
from tsdb.table.stream_start import stream_start
from tsdb.table.table import Table
from tsdb.table.tag import tags

Kinds = npt.NDArray[np.int8]
Deletions = Mapping[tuple[bytes, int], Mapping[str, DeletionFile]]
ChangelogMode = Literal["append", "upsert", "all"]


@dataclass(frozen=True, slots=True)
class StreamPlan:
    """The changes of one snapshot, or its whole state.

    removed: splits whose rows are -D. added: whose rows are +I. changed: whose rows have kinds of their own, file by
    file in order. touched: whose keys are to be looked up in the snapshot.
    """

    snapshot_id: int
    is_full: bool
    removed: tuple[DataSplit, ...] = ()
    added: tuple[DataSplit, ...] = ()
    changed: tuple[DataSplit, ...] = ()
    touched: tuple[DataSplit, ...] = ()


class StreamScan:
    """A place in the history of a table that moves on with every `plan`. Used by one thread."""

    def __init__(self, table: Table, options: Mapping[str, str], start: int | None = None) -> None:
        """options: those of the query, over the table's. start: a `position` of an earlier scan, instead of options.

        Raises OptionError, and NotSupportedError for tables whose changes cannot be known.
        """
        self._table = table.with_options(options)
        _check(self._table)
        self._producer = self._table.options.changelog_producer if table.is_primary_key else "none"
        explicit = self._table.options.values.get("streaming-read-overwrite")
        self._overwrites = explicit is None or parse_bool("streaming-read-overwrite", explicit)
        # an append table loses rows when somebody deletes, updates or overwrites them
        self.may_take_back = self._overwrites
        self._consumer = self._table.options.get("consumer-id")
        self._position = stream_start(self._table) if start is None else start
        self._reading: int | None = None
        self._since = created_since(self._table, self._table.options.values)
        watermark = self._table.options.get("scan.bounded.watermark")
        self._last_watermark = None if watermark is None else whole_number("scan.bounded.watermark", watermark)
        self.ended = False
        follow(self._table, self)
        asked = self._table.options.values.get("scan.snapshot-id")  # which may be in the future
        self._followed = 0 if start is None or str(start) == asked else start - 1
        self._last: Snapshot | None = None
        self._kept: int | None = None
        interval = self._table.options.get(key := "continuous.discovery-interval")
        self._interval_s = (
            table.file_io.look_interval_s if interval is None else parse_duration_ms(interval, key) / 1000
        )
        self._look_again_s = 0.0

    @property
    def position(self) -> int:
        """The id of the next snapshot whose changes are to be read; -n: first the whole state of snapshot n."""
        return self._position

    @property
    def sign(self) -> tuple[str, Callable[[], bool]] | None:
        """The file that tells that there is something to plan, and whether it is there; None: it is not to be asked for
        all the time.
        """
        if self._interval_s or self._position < 0:
            return None
        snapshots, position = self._table.snapshots, self._position
        return snapshots.path(position), lambda: snapshots.exists(position)

    @property
    def needed_id(self) -> int:
        """The first snapshot that must not expire: the one that is being read, or the next."""
        return abs(self._position) if self._reading is None else self._reading

    def keep_place(self, owner: str | None) -> None:
        """Let no process expire what is still to be read, from the position on.

        owner: who reads, if the options name no consumer; None: nobody who comes back.
        """
        consumer = self._consumer or owner
        if consumer is not None and self._kept != self._position:
            set_consumer(self._table, consumer, abs(self._position))
            self._kept = self._position

    def release(self) -> None:
        """It reads no further."""
        unfollow(self._table, self)

    @property
    def changelog_mode(self) -> ChangelogMode:
        """append: an append table; all: -D and -U are whole rows; upsert: rows are to be normalised by primary key."""
        if not self._table.is_primary_key:
            return "append"
        return "all" if self._producer in ("lookup", "full-compaction") else "upsert"

    def before(self) -> StreamPlan | None:
        """The state that the changes from the position on begin with; None: there is none, or it comes with them.

        Raises OperationalError if it has expired.
        """
        if self._position <= 1:
            return None
        self._is_there(self._position)  # else it says that it has expired
        known = state_before(self._table, self._position)
        if known is None:
            return None
        self._reading = known[0].id
        return StreamPlan(known[0].id, True, added=known[1])

    def plan(self) -> StreamPlan | None:
        """The next snapshot that has anything to read; None: there is none yet.

        Raises OperationalError if the position has expired; the message names the snapshots there are.
        """
        self._reading = None
        if self._position < 0:
            snapshot = self._begins_with(-self._position)
            self._reading = snapshot.id
            self._move_after(snapshot)
            # the changes tell what is on level 0, so the state does, too
            table = self._table.with_options({"deletion-vectors.merge-on-read": "true"})
            state = plan_scan(table, snapshot, keeps_level=self._known_levels(), created_since_ms=self._since)
            return StreamPlan(snapshot.id, True, added=state.splits)
        while self._is_there(self._position):
            snapshot = self._snapshot(self._position)
            self._check_history(snapshot)
            if self._last_watermark is not None and (snapshot.watermark or 0) > self._last_watermark:
                self.ended = True
                return None
            self._reading = snapshot.id
            plan = self._changes(snapshot)
            self._move_after(snapshot)
            if plan is not None:
                return plan
            self._reading = None
        return None

    def _begins_with(self, snapshot_id: int) -> Snapshot:
        """The snapshot, or the tag that has kept it, if what came after it is still there."""
        try:
            return self._table.snapshots.snapshot(snapshot_id)
        except SnapshotNotFound:
            kept = next((tag.snapshot for tag in tags(self._table) if tag.snapshot.id == snapshot_id), None)
            if kept is None:
                raise
            self._is_there(snapshot_id + 1)  # else it says that it has expired
            return kept

    def _is_there(self, snapshot_id: int) -> bool:
        snapshots = self._table.snapshots
        now_s = clock.current().monotonic_s()
        if now_s < self._look_again_s:
            return False
        if snapshots.exists(snapshot_id):
            return True
        self._look_again_s = now_s + self._interval_s
        latest = snapshots.latest_id() or 0
        if latest < min(snapshot_id, self._followed):
            raise OperationalError(self._rewritten(self._followed))
        if latest < snapshot_id:
            return False
        if snapshots.exists(snapshot_id):  # published between the two looks
            return True
        if find_changelog(self._table, snapshot_id) is not None:
            return True
        raise OperationalError(
            f"snapshot {snapshot_id} of table `{self._table.identifier}`, the next to follow, has expired: snapshots "
            f"{snapshots.earliest_id()} to {snapshots.latest_id()} are there; start anew, and keep snapshots longer "
            f"with 'snapshot.time-retained'"
        )

    def _snapshot(self, snapshot_id: int) -> Snapshot:
        """The snapshot, or what its changelog has kept of it."""
        try:
            return self._table.snapshots.snapshot(snapshot_id)
        except SnapshotNotFound:
            kept = find_changelog(self._table, snapshot_id)
            if kept is None:
                raise
            return kept

    def _move_after(self, snapshot: Snapshot) -> None:
        self._last, self._followed, self._position = snapshot, snapshot.id, snapshot.id + 1

    def _check_history(self, snapshot: Snapshot) -> None:
        """The snapshot follows the last one, and its rows fit into the columns as they were when the scan began."""
        table = self._table
        if self._last is not None and table.snapshots.is_replaced(self._last):
            raise OperationalError(self._rewritten(self._last.id))
        if snapshot.schema_id <= table.schema.id:
            return
        now = {field.id: field for field in table.schemas.schema(snapshot.schema_id).fields}
        for field in table.schema.fields:
            if field.id in now and to_arrow(now[field.id].type) != to_arrow(field.type):
                raise OperationalError(
                    f"column `{field.name}` of table `{table.identifier}` is {now[field.id].type.sql()} since snapshot "
                    f"{snapshot.id}; the query follows it as {field.type.sql()}: start it anew"
                )

    def _rewritten(self, snapshot_id: int) -> str:
        return (
            f"snapshot {snapshot_id} of table `{self._table.identifier}`, the last to be followed, is no longer there: "
            f"the table was rolled back, renamed, dropped or made anew; start the query anew"
        )

    def _known_levels(self) -> Callable[[int], bool] | None:
        """Which levels hold what the changelog has told so far; None: all."""
        max_level = self._table.options.max_level
        known: dict[str, Callable[[int], bool]] = {
            "lookup": lambda n: n > 0,
            "full-compaction": lambda n: n == max_level,
        }
        return known.get(self._producer)

    def _changes(self, snapshot: Snapshot) -> StreamPlan | None:
        table = self._table
        if snapshot.commit_kind == "OVERWRITE" and snapshot.changelog_manifest_list is None:
            if not self._overwrites:
                return None
            return self._taken_back(snapshot) if snapshot.takes_back else self._overwritten(snapshot)
        if self._producer == "none":
            if snapshot.commit_kind != "APPEND":
                return None
            entries = entries_of_list(table, snapshot.delta_manifest_list)
        else:
            entries = entries_of_list(table, snapshot.changelog_manifest_list)
        entries = [entry for entry in entries if entry.kind == ADD and entry.bucket >= 0]
        if not entries:
            return None
        splits = in_order(table, entries)
        is_moving = table.bucket_mode is BucketMode.CROSS_PARTITION
        if self.changelog_mode == "upsert" and (table.options.sequence_field or is_moving):
            return StreamPlan(snapshot.id, False, touched=splits)
        if table.is_primary_key:
            return StreamPlan(snapshot.id, False, changed=splits)
        return StreamPlan(snapshot.id, False, added=splits)

    def _previous(self, snapshot: Snapshot, has_deletions: bool) -> Snapshot | None:
        """The snapshot before. has_deletions: it matters, because there may be deletion vectors."""
        if snapshot.id == 1:
            return None
        try:
            return self._table.snapshots.snapshot(snapshot.id - 1)
        except SnapshotNotFound as err:
            if not has_deletions:
                return None
            raise OperationalError(
                f"snapshot {snapshot.id} of table `{self._table.identifier}`, the next to follow, deletes rows by "
                f"deletion vectors, and snapshot {snapshot.id - 1} has expired, which tells which of them are new; "
                f"start anew, and keep snapshots longer with 'snapshot.time-retained'"
            ) from err

    def _newly_deleted(
        self, snapshot: Snapshot, before: Deletions, after: Deletions, fresh: Collection[str]
    ) -> tuple[DataSplit, ...]:
        """Of files that stay, the rows that the snapshot deletes. fresh: the files that it adds."""
        changed = {
            (place, name): NewlyDeleted(before.get(place, {}).get(name), deletion)
            for place, members in after.items()
            for name, deletion in members.items()
            if name not in fresh and before.get(place, {}).get(name) != deletion
        }
        partitions = {partition for (partition, _), _ in changed}
        return tuple(
            make_split(self._table, entry, [entry.file], raw=True, deletions={entry.file.file_name: deletion})
            for entry in live_files(self._table, snapshot, partitions.__contains__)
            if (deletion := changed.get(((entry.partition, entry.bucket), entry.file.file_name))) is not None
        )

    def _overwritten(self, snapshot: Snapshot) -> StreamPlan | None:
        """An overwrite replaces the files of whole buckets, so its entries are the old and the new state of them."""
        table = self._table
        after = deletion_files(table, snapshot)
        before = deletion_files(table, self._previous(snapshot, bool(after) or table.options.deletion_vectors_enabled))
        known = self._known_levels()
        entries = [
            entry
            for entry in entries_of_list(table, snapshot.delta_manifest_list)
            if entry.bucket >= 0 and (known is None or known(entry.file.level))
        ]
        everything = Pruner(table, None)
        removed = merged_splits(table, [entry for entry in entries if entry.kind != ADD], everything, before)
        added = merged_splits(table, [entry for entry in entries if entry.kind == ADD], everything, after)
        if not table.is_primary_key:
            fresh = {entry.file.file_name for entry in entries if entry.kind == ADD}
            removed += self._newly_deleted(snapshot, before, after, fresh)
        return StreamPlan(snapshot.id, False, removed, added) if removed or added else None

    def _taken_back(self, snapshot: Snapshot) -> StreamPlan | None:
        """An old state is the latest again: the states before and now of the buckets that have changed."""
        table, known = self._table, self._known_levels()
        previous = self._previous(snapshot, True)
        before, after = deletion_files(table, previous), deletion_files(table, snapshot)
        changed = {place for place in {*before, *after} if before.get(place) != after.get(place)}
        changed |= {(e.partition, e.bucket) for e in entries_of_list(table, snapshot.delta_manifest_list)}

        def state(of: Snapshot | None, deletions: Deletions) -> tuple[DataSplit, ...]:
            entries = [
                entry
                for entry in live_files(table, of)
                if (entry.partition, entry.bucket) in changed
                and entry.bucket >= 0
                and (known is None or known(entry.file.level))
            ]
            return merged_splits(table, entries, Pruner(table, None), deletions)

        removed, added = state(previous, before), state(snapshot, after)
        return StreamPlan(snapshot.id, False, removed, added) if removed or added else None


def read_changes(
    table: Table, plan: StreamPlan, columns: Sequence[str] | None = None
) -> Iterator[tuple[pa.RecordBatch, Kinds]]:
    """The rows of a plan with their kinds, batch by batch; the removed ones first.

    columns: None for all. Rows of one key come in the order in which they were written.
    """
    names = list(table.schema.names if columns is None else columns)
    for splits, kind in ((plan.removed, RowKind.DELETE), (plan.added, RowKind.INSERT)):
        for split in splits:
            for batch in Fragment(table, split).to_batches(names):
                yield batch, np.full(batch.num_rows, kind, np.int8)
    yield from _touched(table, plan, names)
    # what a compaction has found out is the changes of the merged rows, which ignore deletions already
    ignores = table.options.ignore_delete and table.options.changelog_producer in ("none", "input")
    for split in plan.changed:
        for file in split.files:
            for batch in read_file(table, file, split.bucket_path, [*names, VALUE_KIND]):
                kinds = np.asarray(batch.column(len(names))).astype(np.int8)
                batch = batch.select(names)
                if ignores and not is_add(kinds).all():
                    kept = is_add(kinds)
                    batch, kinds = batch.filter(pa.array(kept)), kinds[kept]
                yield batch, kinds


def _touched(table: Table, plan: StreamPlan, names: Sequence[str]) -> Iterator[tuple[pa.RecordBatch, Kinds]]:
    """Of the touched keys those that are gone first: a key gone from one partition may be there in another."""
    if not plan.touched:
        return
    snapshot = table.snapshots.snapshot(plan.snapshot_id)
    if table.options.deletion_vectors_enabled:  # what was written last is in level 0, which then is merged, too
        table = table.with_options({"deletion-vectors.enabled": "false"})
    moving = table.bucket_mode is BucketMode.CROSS_PARTITION
    for wanted in (False, True) if moving else (None,):
        for split in plan.touched:
            for batch, is_there in resolved_changes(table, snapshot, split, names):
                if wanted is None or is_there is wanted:
                    yield batch, np.full(batch.num_rows, RowKind.INSERT if is_there else RowKind.DELETE, np.int8)


def in_order(table: Table, entries: Sequence[ManifestEntry]) -> tuple[DataSplit, ...]:
    """A split a bucket of some files, in the order in which they were written."""
    buckets: dict[tuple[bytes, int], list[ManifestEntry]] = {}
    for entry in entries:
        buckets.setdefault((entry.partition, entry.bucket), []).append(entry)
    return tuple(
        make_split(
            table,
            members[0],
            sorted((e.file for e in members), key=lambda f: (f.min_sequence_number, f.max_sequence_number)),
            raw=True,
        )
        for members in buckets.values()
    )


def _check(table: Table) -> None:
    """Without a changelog only a table whose newest row of a key is the row can be followed; each has a state."""
    options = table.options
    if not table.is_primary_key or options.changelog_producer in ("lookup", "full-compaction"):
        return
    if options.get("scan.bounded.mode") == "latest" and _begins_with_state(options):
        return
    if options.merge_engine != "deduplicate":
        raise NotSupportedError(
            f"table `{table.identifier}` has 'merge-engine' = '{options.merge_engine}': its stream needs a changelog; "
            f"set 'changelog-producer' = 'lookup' or 'full-compaction' when the table is created"
        )


def _begins_with_state(options: TableOptions) -> bool:
    """Whether the stream begins with the whole state, so that a bounded one has nothing else."""
    return options.get("scan.mode") in ("default", "latest-full", "full") and given_option(options.values) is None

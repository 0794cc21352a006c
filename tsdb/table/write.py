"""Writing a table: rows in, commit messages out. Nothing is visible before the messages are committed.

Rows are checked, placed in their partition and bucket, and kept in a buffer of 'write-buffer-size'; a full buffer is
flushed with one thread a processor, buckets side by side. `prepare_commit` flushes the rest, compacts where the trigger
is reached, and hands over what changed. A writer may prepare several commits one after the other; each must be
committed, or the writer aborted, before the next.

Source: Paimon, `TableWriteImpl`, `MergeTreeWriter` and `AppendOnlyWriter`.
"""

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import replace
from typing import Self

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.cancellation import check_cancelled
from tsdb.changes import ROW_KIND_SYMBOLS, RowKind
from tsdb.errors import CommitConflict, DataError, NotSupportedError, OperationalError, ProgrammingError
from tsdb.mergetree.write_buffer import BufferedRows, WriteBuffer
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.index_file import IndexFileMeta
from tsdb.metadata.manifest import ManifestEntry
from tsdb.metadata.snapshot import Snapshot, SnapshotNotFound
from tsdb.table.assigner import Assigner, Replaces, assigner_of
from tsdb.table.bucket import BucketMode, bucket_mode
from tsdb.table.bucket_writer import BucketWriter, bucket_deletions, bucket_directory, bucket_plan, data_writer
from tsdb.table.commit_message import CommitMessage as CommitMessage
from tsdb.table.conflict import another_number
from tsdb.table.data_file_reader import column_reader
from tsdb.table.early_rows import early_rows
from tsdb.table.hash_index import IndexUpdate
from tsdb.table.index_change import index_entries
from tsdb.table.log_sizes import log_sizes
from tsdb.table.newest import is_overtaken, on_newest
from tsdb.table.postpone_bucket import PostponeWriter, postpone_writer
from tsdb.table.row_check import conform
from tsdb.table.scan import POSTPONE_BUCKET, live_files
from tsdb.table.table import Table
from tsdb.table.threads import in_threads

_SLICE_ROWS = 1 << 20
_FEW_ROWS = 1 << 12


class TableWriter:
    """One writer of one table; to be used by one thread, and closed.

    user: the commit user, by which the writer recognises its own snapshots. overwrite: the rows replace what is
    there (the commit is an INSERT OVERWRITE), so sequence numbers start anew and old files take part in nothing;
    replaces: then, which partitions go (None: those that get rows). assigner: who places the rows (None: as the
    table's options say).
    """

    def __init__(
        self,
        table: Table,
        *,
        user: str,
        overwrite: bool = False,
        replaces: Replaces | None = None,
        assigner: Assigner | None = None,
    ) -> None:
        self._table = table
        self._user = user
        self._overwrite = overwrite
        self._mode = bucket_mode(table.schema, table.options)
        self._plan = bucket_plan(table)
        if overwrite and replaces is None:
            replaces = _those_with_rows
        self._assigner = assigner or assigner_of(table, user=user, replaces=replaces if overwrite else None)
        self._buffer = WriteBuffer(_first_key(table))
        self._numbers: dict[tuple[bytes, int], int] = {}
        self._buckets: dict[tuple[bytes, int], BucketWriter | PostponeWriter] = {}
        self._live = _LiveFiles(table, user)
        self._early = None if overwrite else early_rows(table)
        self._log_sizes = log_sizes(table)
        self._rows_seen = 0
        self._started = False
        self._assigning = False

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        """Abort on an exception, then close."""
        if kind is not None:
            self.abort()
        self.close()

    def write(self, rows: pa.Table, row_kinds: npt.NDArray[np.integer] | None = None) -> None:
        """Add rows: every column of the table, in any order, of types that cast to it without loss.

        row_kinds: a `RowKind` a row; None: all +I. Raises DataError, NullKeyError, ColumnNotFound; then the
        writer is to be aborted.
        """
        for start in range(0, rows.num_rows, _SLICE_ROWS):
            check_cancelled()
            kinds = None if row_kinds is None else row_kinds[start : start + _SLICE_ROWS].astype(np.int8)
            self._write_slice(rows.slice(start, _SLICE_ROWS), kinds)

    def prepare_commit(self, compact: bool | None = None) -> list[CommitMessage]:
        """Write what is buffered, and give all changes since the previous call, a message a bucket.

        compact: True compacts the buckets written to fully, False never, None where the number of runs has
        reached the trigger (not at all if the table is 'write-only').
        """
        self._flush(keep_small=False)
        buckets = list(self._buckets.values())
        options = self._table.options
        if compact is None:
            full = options.commit_force_compact
            compact_none = not full and (options.write_only or options.compacts_after_commit)
        else:
            compact_none, full = not compact, compact
        if not compact_none and (not self._overwrite or self._plan.empties_level_zero):
            self._compact(buckets, full=full)
        updates = self._assigner.updates()
        messages = self._with_index([bucket.take_message() for bucket in buckets], updates)
        self._live.prepared(messages, buckets)
        if self._early is not None:
            self._early.delivered()
        self._started = self._assigning = False
        return messages

    def abort(self) -> None:
        """Forget the buffer and delete the files of the running commit. Files in messages already handed over
        stay: see `discard`.
        """
        self._buffer.clear()
        for bucket in self._buckets.values():
            bucket.abort()
        self._buckets.clear()
        self._live.forget()
        self._assigner.forget()
        self._assigning = False
        self.recall()

    def recall(self) -> None:
        """What was prepared will not be committed: the log, if it shows rows early, shows again what there is."""
        if self._early is not None:
            with suppress(OperationalError):  # readers find out themselves, later
                self._early.recall()

    def close(self) -> None:
        """Forget what is buffered."""
        self._buffer.clear()

    def _write_slice(self, rows: pa.Table, kinds: npt.NDArray[np.int8] | None) -> None:
        options, schema = self._table.options, self._table.schema
        first = self._rows_seen + 1
        rows = conform(rows, schema, str(self._table.identifier), first)
        kinds = _row_kinds(rows, kinds, options.get("rowkind.field"))
        if kinds is not None and not schema.primary_keys:
            _refuse_retractions(kinds, str(self._table.identifier), first)
        self._rows_seen += rows.num_rows
        rows, kinds = _without_ignored(rows, kinds, options.ignore_delete, options.ignore_update_before)
        if rows.num_rows == 0:
            return
        if kinds is not None and self._plan.merge is not None:
            self._plan.merge.engine.check(rows, kinds)
        if self._log_sizes is not None:
            self._log_sizes.check(rows, kinds, first)
        if not self._assigning:
            self._assigning = True
            self._assigner.begin()
        assigned = self._assigner.assign(rows, kinds)
        if assigned.rows.num_rows == 0:
            return
        placement = assigned.placement
        numbers = [self._numbers.setdefault(bucket, len(self._numbers)) for bucket in placement.buckets]
        if self._early is not None:
            self._early.send(assigned.rows, assigned.kinds, placement)
        self._buffer.add(assigned.rows, assigned.kinds, np.array(numbers, np.int32)[placement.codes])
        if self._buffer.size_bytes >= options.write_buffer_size_bytes:
            self._flush(keep_small=True)
            self._relieve()

    def _flush(self, *, keep_small: bool) -> None:
        drained = self._buffer.drain(keep_small=keep_small)
        if drained and not self._started:
            self._started = True
            if self._live.forget_if_changed():
                self._buckets.clear()
        identities = list(self._numbers)
        jobs = [(self._bucket(*identities[rows.group]), rows) for rows in drained]

        threads = max(1, (os.cpu_count() or 1) // max(1, len(jobs)))

        def flush(job: tuple[BucketWriter | PostponeWriter, BufferedRows]) -> None:
            writer, rows = job
            if isinstance(writer, BucketWriter):
                writer.flush(rows, threads)
            else:
                writer.flush(rows)

        if sum(job.rows.num_rows for job in drained) > _FEW_ROWS:
            in_threads(flush, jobs)
        else:  # to start threads takes longer
            for job in jobs:
                flush(job)
        drained.clear()
        jobs.clear()
        if keep_small:  # else what sorting took would stay with the process beside the rows that follow
            pa.default_memory_pool().release_unused()

    def _compact(self, buckets: Sequence[BucketWriter | PostponeWriter], *, full: bool) -> None:
        try:
            in_threads(lambda bucket: bucket.compact(full=full), buckets)
        except OperationalError as err:
            if not self._live.is_overtaken(err):
                raise
            raise CommitConflict(
                f"table `{self._table.identifier}`: rows were replaced and expired while they were compacted; run the "
                "statement again, and keep snapshots longer ('snapshot.time-retained')"
            ) from err

    def _relieve(self) -> None:
        """Back-pressure: compact at once the buckets that have 'num-sorted-run.stop-trigger' runs."""
        if self._table.options.write_only or self._overwrite or self._plan.merge is None:
            return
        stop = self._table.options.num_sorted_run_stop_trigger
        crowded = [bucket for bucket in self._buckets.values() if len(bucket.runs()) >= stop]
        self._compact(crowded, full=False)

    def _bucket(self, partition: bytes, bucket: int) -> BucketWriter | PostponeWriter:
        known = self._buckets.get((partition, bucket))
        if known is None:
            known = self._buckets[partition, bucket] = self._new_bucket(partition, bucket)
        return known

    def _new_bucket(self, partition: bytes, bucket: int) -> BucketWriter | PostponeWriter:
        table = self._table
        if bucket == POSTPONE_BUCKET:
            return postpone_writer(table, data_writer(table, partition, bucket), partition, self._user)
        starts_anew = self._overwrite or self._mode is BucketMode.UNAWARE
        plan = replace(self._plan, total_buckets=self._assigner.total_buckets(partition))
        live, next_sequence = ([], 0) if starts_anew else self._live.of(partition, bucket, plan.total_buckets)
        writer = data_writer(table, partition, bucket)
        read = column_reader(table, writer.directory)
        index_files = [] if starts_anew else self._live.index_files(partition, bucket)
        deletions = bucket_deletions(table, writer.directory, index_files)
        return BucketWriter(partition, bucket, plan, writer, read, live, next_sequence, deletions)

    def _with_index(
        self, messages: Sequence[CommitMessage], updates: Mapping[tuple[bytes, int], IndexUpdate]
    ) -> list[CommitMessage]:
        """The messages that say anything, with the index files that the new rows lead to."""
        out = []
        for message in messages:
            update = updates.get((message.partition, message.bucket))
            if update is not None:
                new, old = message.new_index_files + update.new, message.deleted_index_files + update.old
                message = replace(message, new_index_files=new, deleted_index_files=old)
            if not message.is_empty:
                out.append(replace(message, based_on=self._assigner.based_on))
        return out


def _first_key(table: Table) -> str | None:
    """The column by which rows may be brought near to the order of the key; None: they stay in order of arrival."""
    if not table.is_primary_key or table.bucket_mode is BucketMode.POSTPONED:
        return None
    return table.schema.trimmed_primary_keys[0]


class _LiveFiles:
    """The live files of a table as its writer has to see them: those of the latest snapshot, and those it has
    prepared since.

    Only another user's commit makes the files of the snapshot be read again.
    """

    def __init__(self, table: Table, user: str) -> None:
        self._table = table
        self._user = user
        self._seen: Snapshot | None = None
        self._entries: dict[tuple[bytes, int], list[ManifestEntry]] | None = None
        self._totals: dict[bytes, int] = {}
        self._index: dict[tuple[bytes, int], list[IndexFileMeta]] = {}
        self._pending: dict[tuple[bytes, int], CommitMessage] = {}
        self._floors: dict[tuple[bytes, int], int] = {}

    def of(self, partition: bytes, bucket: int, total_buckets: int) -> tuple[list[DataFileMeta], int]:
        """The files of a bucket, and the next sequence number. Raises ProgrammingError if its partition has
        another number of buckets.
        """
        if self._entries is None:
            on_newest(self._table, self._load)
        assert self._entries is not None
        if self._totals.get(partition, total_buckets) != total_buckets:
            raise ProgrammingError(another_number(self._table, partition, self._totals[partition], total_buckets))
        files = [entry.file for entry in self._entries.get((partition, bucket), ())]
        message = self._pending.get((partition, bucket))
        if message is not None:
            files = _applied(files, message)
        next_sequence = max((file.max_sequence_number for file in files), default=-1) + 1
        return files, max(next_sequence, self._floors.get((partition, bucket), 0))

    def index_files(self, partition: bytes, bucket: int) -> list[IndexFileMeta]:
        """The index files of a bucket whose data files have been asked for."""
        files = {file.file_name: file for file in self._index.get((partition, bucket), ())}
        message = self._pending.get((partition, bucket))
        if message is not None:
            gone = (*message.deleted_index_files, *message.compact_deleted_index_files)
            come = (*message.new_index_files, *message.compact_new_index_files)
            files = {name: file for name, file in files.items() if name not in {old.file_name for old in gone}}
            files |= {file.file_name: file for file in come}
        return list(files.values())

    def prepared(self, messages: Sequence[CommitMessage], buckets: Sequence[BucketWriter | PostponeWriter]) -> None:
        """Note what goes to the commit."""
        self._pending = {(message.partition, message.bucket): message for message in messages}
        self._floors.update(((bucket.partition, bucket.bucket), bucket.next_sequence) for bucket in buckets)

    def forget_if_changed(self) -> bool:
        """Whether somebody else has committed since the files were read; they will then be read again."""
        if self._entries is None:
            return False
        snapshots, seen_id = self._table.snapshots, 0 if self._seen is None else self._seen.id
        latest = snapshots.latest()
        latest_id = 0 if latest is None else latest.id
        if latest_id < seen_id or (self._seen is not None and snapshots.is_replaced(self._seen)):
            self.forget()  # the table was rolled back
            return True
        try:
            users = {snapshots.snapshot(i).commit_user for i in range(seen_id + 1, latest_id + 1)}
        except SnapshotNotFound:  # so many commits since that the first ones have expired: ours is among them
            users = {self._user, ""}
        if self._user in users:
            self._pending = {}
        self._seen = latest
        if users <= {self._user}:
            return False
        self._entries = None
        return True

    def is_overtaken(self, err: BaseException) -> bool:
        """Whether the error is that of a file that has expired since the files were read."""
        return self._seen is not None and is_overtaken(self._table, self._seen, err)

    def forget(self) -> None:
        """Read the files again, without what was prepared."""
        self._entries, self._pending = None, {}

    def _load(self, snapshot: Snapshot | None) -> None:
        self._seen = snapshot
        entries, indexes = live_files(self._table, snapshot), index_entries(self._table, snapshot)
        self._entries, self._totals, self._index = {}, {}, {}
        for entry in entries:
            self._entries.setdefault((entry.partition, entry.bucket), []).append(entry)
            if entry.bucket != POSTPONE_BUCKET:
                self._totals[entry.partition] = entry.total_buckets
        for indexed in indexes:
            self._index.setdefault((indexed.partition, indexed.bucket), []).append(indexed.file)


def discard(table: Table, messages: Sequence[CommitMessage]) -> None:
    """Delete the files that the messages of a failed commit added. Never call it when the commit may have succeeded."""
    for message in messages:
        kept = {file.file_name for file in message.compact_before} - {file.file_name for file in message.new_files}
        directory = bucket_directory(table, message.partition, message.bucket)
        added = (*message.new_files, *message.changelog_files, *message.compact_after, *message.compact_changelog)
        for file in added:
            if file.file_name not in kept:
                for path in file.paths(directory):
                    table.file_io.delete(path)
        for index_file in (*message.new_index_files, *message.compact_new_index_files):
            table.file_io.delete(table.paths.index(index_file.file_name))


@contextmanager
def discarded_unless_committed(table: Table, messages: Sequence[CommitMessage], *, user: str) -> Iterator[None]:
    """If the commit inside fails, the files of the messages go where it is sure that no snapshot names them.

    user: the commit user. Whatever comes after the publication, such as an interrupt, leaves them.
    """
    with undone_unless_committed(table, lambda: discard(table, messages), user=user):
        yield


@contextmanager
def undone_unless_committed(table: Table, undo: Callable[[], None], *, user: str) -> Iterator[None]:
    """The same for files that are in no message. undo: deletes them."""
    before = table.snapshots.latest_id() or 0
    try:
        yield
    except BaseException as err:
        if isinstance(err, CommitConflict) or _is_surely_not_committed(table, user, before):
            with suppress(OSError):
                undo()
        raise


def _is_surely_not_committed(table: Table, user: str, before: int) -> bool:
    """Whether none of the snapshots after `before` is this user's; False if one of them cannot be read."""
    try:
        table.snapshots.forget()
        newest = max(table.snapshots.ids(), default=0)
        users = {table.snapshots.snapshot(i).commit_user for i in range(before + 1, newest + 1)}
    except (OSError, OperationalError):
        return False
    return user not in users


def _applied(files: Sequence[DataFileMeta], message: CommitMessage) -> list[DataFileMeta]:
    gone = {(file.file_name, file.level) for file in message.compact_before}
    present = {
        file.file_name: file for file in (*files, *message.new_files) if (file.file_name, file.level) not in gone
    }
    return list((present | {file.file_name: file for file in message.compact_after}).values())


def _those_with_rows(partitions: set[bytes]) -> Callable[[bytes], bool]:
    return partitions.__contains__


def _row_kinds(
    rows: pa.Table, kinds: npt.NDArray[np.int8] | None, rowkind_field: str | None
) -> npt.NDArray[np.int8] | None:
    """The kinds from the column that 'rowkind.field' names, else those given; None where all are +I."""
    if rowkind_field is not None:
        codes = pc.index_in(rows[rowkind_field], pa.array(ROW_KIND_SYMBOLS))
        if codes.null_count:
            value = rows[rowkind_field].filter(codes.is_null())[0].as_py()
            raise DataError(
                f"the value {value!r} of 'rowkind.field' `{rowkind_field}` is no row kind; use +I, -U, +U or -D"
            )
        kinds = codes.to_numpy().astype(np.int8)
    return kinds if kinds is not None and kinds.any() else None


def _refuse_retractions(kinds: npt.NDArray[np.int8], table_name: str, first_row: int) -> None:
    retractions = np.flatnonzero((kinds == RowKind.UPDATE_BEFORE) | (kinds == RowKind.DELETE))
    if len(retractions):
        row = int(retractions[0])
        raise NotSupportedError(
            f"row {first_row + row} is a {RowKind(kinds[row]).symbol}, but table `{table_name}` has no primary key "
            f"and only takes inserts; declare a PRIMARY KEY to update and delete rows"
        )


def _without_ignored(
    rows: pa.Table, kinds: npt.NDArray[np.int8] | None, ignore_delete: bool, ignore_update_before: bool
) -> tuple[pa.Table, npt.NDArray[np.int8] | None]:
    if kinds is None or not (ignore_delete or ignore_update_before):
        return rows, kinds
    kept = kinds != RowKind.UPDATE_BEFORE
    if ignore_delete:
        kept &= kinds != RowKind.DELETE
    return rows.filter(pa.array(kept)), kinds[kept]

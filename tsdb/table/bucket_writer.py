"""Writing one bucket: buffered rows become level-0 files, sequence numbers go on from the live files, runs are
compacted.

A bucket writer knows the live files of its bucket as the last snapshot has them, and those it has added since. It lists
what changed in a `CommitMessage`; a file that came and went between two commits is in no message, and is deleted at
once.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb import clock
from tsdb.format.parquet import SEQUENCE_NUMBER, VALUE_KIND
from tsdb.mergetree.changelog_producer import ChangelogProducer, changelog_producer
from tsdb.mergetree.changes import ChangeRule, ChangeWriter
from tsdb.mergetree.compaction import CompactionOptions, CompactUnit, pick, pick_full, pick_level_zero
from tsdb.mergetree.data_writer import FILE_SOURCE_APPEND, DataWriter
from tsdb.mergetree.first_row_compaction import compact_first
from tsdb.mergetree.key_order import Words, grouped_order, order_words
from tsdb.mergetree.lookup_compaction import ReadRows, compact_looking_up, masked, without_deleted_rows
from tsdb.mergetree.merge import MergeSpec, ReadColumns, fold_rows, merge_spec, order_rows, survivors
from tsdb.mergetree.rewrite import CompactResult, rewrite
from tsdb.mergetree.sorted_run import SortedRun, key_ranges, sorted_runs
from tsdb.mergetree.write_buffer import BufferedRows
from tsdb.metadata.binary_row import decode_row
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.index_file import IndexFileMeta
from tsdb.metadata.paths import FileNames
from tsdb.options import TableOptions
from tsdb.table.commit_message import CommitMessage
from tsdb.table.data_file_reader import row_reader
from tsdb.table.deletion_maintainer import DeletionMaintainer
from tsdb.table.record_expire import RecordLife, record_life, without_expired_rows
from tsdb.table.table import Table, check_writable
from tsdb.table.threads import in_threads

_SLICE_ROWS = 1 << 18
_PART_BYTES_MIN = 1 << 25  # in memory; smaller parts would only make more files


@dataclass(frozen=True, slots=True)
class BucketPlan:
    """What all buckets of a writer share. merge: None for append tables. empties_level_zero: whether every compaction
    takes all of level 0, because nobody sees what is there, or what it changes; level_zero_runs_max: so many runs wait
    for it. rule: for the changes of compactions.
    """

    merge: MergeSpec | None
    producer: ChangelogProducer
    compaction: CompactionOptions
    target_file_size_bytes: int
    total_buckets: int
    empties_level_zero: bool = False
    level_zero_runs_max: int = 0
    record_life: RecordLife | None = None
    rule: ChangeRule = field(default_factory=ChangeRule)


def bucket_plan(table: Table) -> BucketPlan:
    """What the buckets of this table share. Raises NotSupportedError if tsdb cannot write such a table."""
    check_writable(table.schema, table.options)
    options = table.options
    keyed = table.is_primary_key
    target = options.target_file_size_bytes(keyed)
    compaction = CompactionOptions(
        trigger=options.num_sorted_run_compaction_trigger,
        num_levels=options.num_levels,
        max_size_amplification_percent=options.max_size_amplification_percent,
        size_ratio_percent=options.size_ratio_percent,
        target_file_size_bytes=target,
        small_file_ratio=options.small_file_ratio,
        optimization_interval_ms=options.millis("compaction.optimization-interval"),
        total_bytes=options.bytes("compaction.total-size-threshold"),
        incremental_bytes=options.bytes("compaction.incremental-size-threshold"),
    )
    return BucketPlan(
        merge=merge_spec(table.schema, options) if keyed else None,
        producer=changelog_producer(options.changelog_producer if keyed else "none"),
        compaction=compaction,
        target_file_size_bytes=target,
        total_buckets=options.bucket,
        record_life=record_life(table),
        level_zero_runs_max=_level_zero_runs_max(options),
        empties_level_zero=keyed and (options.looks_up or options.flag("compaction.force-up-level-0")),
        rule=ChangeRule(
            options.flag("changelog-producer.row-deduplicate"),
            options.words("changelog-producer.row-deduplicate-ignore-fields"),
            only_new=options.merge_engine == "first-row",
        ),
    )


def _level_zero_runs_max(options: TableOptions) -> int:
    """How many runs of level 0 may wait for a compaction that looks up: twice the trigger if nothing else is said."""
    if options.get("lookup-compact") != "gentle" or options.flag("compaction.force-up-level-0"):
        return 0
    trigger = options.num_sorted_run_compaction_trigger
    return max(trigger, options.integer("lookup-compact.max-interval", 2 * trigger)) - 1


def bucket_directory(table: Table, partition: bytes, bucket: int) -> str:
    """The directory of the data files of a bucket."""
    keys = table.schema.partition_keys
    values = decode_row(partition, [table.schema.field(key).type for key in keys]) if keys else ()
    return table.paths.bucket(dict(zip(keys, values, strict=True)), bucket)


def _external_directories(table: Table, partition: bytes, bucket: int) -> tuple[str, ...]:
    if not table.paths.external_paths:
        return ()
    keys = table.schema.partition_keys
    values = decode_row(partition, [table.schema.field(key).type for key in keys]) if keys else ()
    return table.paths.external_buckets(dict(zip(keys, values, strict=True)), bucket)


def data_writer(table: Table, partition: bytes, bucket: int) -> DataWriter:
    """A writer of data files of a bucket, with names of its own."""
    options = table.options
    names = FileNames(options.get("data-file.prefix") or "data-", options.get("changelog-file.prefix") or "changelog-")
    directory, external = bucket_directory(table, partition, bucket), _external_directories(table, partition, bucket)
    return DataWriter(table.file_io, directory, names, table.schema, options, external)


@dataclass(frozen=True, slots=True)
class BucketDeletions:
    """The deletion vectors of a bucket, and how rows are read under them."""

    maintainer: DeletionMaintainer
    read: ReadRows


def bucket_deletions(table: Table, directory: str, index_files: Iterable[IndexFileMeta]) -> BucketDeletions | None:
    """Those of a bucket of a primary-key table; None if the table has none. index_files: of the bucket, as it is."""
    if not table.is_primary_key or not table.options.deletion_vectors_enabled:
        return None
    return BucketDeletions(DeletionMaintainer(table, index_files), row_reader(table, directory))


@dataclass(slots=True)
class BucketWriter:
    """The writer of one bucket. Not thread-safe; different buckets may be written by different threads.

    deletions: None if the table keeps no deletion vectors.
    """

    partition: bytes
    bucket: int
    plan: BucketPlan
    writer: DataWriter
    read: ReadColumns
    live: list[DataFileMeta]
    next_sequence: int
    deletions: BucketDeletions | None = None
    new_files: list[DataFileMeta] = field(default_factory=list)
    changelog_files: list[DataFileMeta] = field(default_factory=list)
    compact_before: list[DataFileMeta] = field(default_factory=list)
    compact_after: list[DataFileMeta] = field(default_factory=list)
    compact_changelog: list[DataFileMeta] = field(default_factory=list)

    def flush(self, buffered: BufferedRows, threads: int = 1) -> None:
        """Write the rows as level-0 files, in a keyed table one row a key, and the changelog file if there is one.

        threads: many rows of an append table become so many files at the same time.
        """
        count = buffered.rows.num_rows
        bytes_per_row = max(1, buffered.rows.nbytes // max(1, count))
        # files are smaller than the rows in memory; half of them is a cautious guess that never exceeds the
        # target by much
        rows_per_file = max(1, 2 * self.plan.target_file_size_bytes // bytes_per_row)
        if self.plan.merge is not None and self.plan.producer.keeps_input:
            everything = grouped_order(_key_words(buffered, self.plan.merge))[0]
            self.changelog_files += self.writer.write(
                self._slices(buffered, everything),
                level=0,
                source=FILE_SOURCE_APPEND,
                rows_per_file=rows_per_file,
                changelog=True,
            )
        streams = [self._merged(buffered)] if self.plan.merge is not None else self._parts(buffered, threads)
        files = self._written(streams, rows_per_file)
        self.next_sequence += count
        self.new_files += files
        self.live += files

    def _parts(self, buffered: BufferedRows, threads: int) -> list[Iterator[pa.Table]]:
        """The rows of an append table in order, each part whole slices and worth a file and a thread of its own."""
        count = buffered.rows.num_rows
        slices = -(-count // _SLICE_ROWS)
        worth = min(threads, count // _SLICE_ROWS, buffered.rows.nbytes // _PART_BYTES_MIN)
        cuts = [min(count, _SLICE_ROWS * -(-slices * part // max(1, worth))) for part in range(max(1, worth) + 1)]
        return [self._slices(buffered, np.arange(*cut)) for cut in pairwise(cuts)]

    def _written(self, streams: Sequence[Iterator[pa.Table]], rows_per_file: int) -> list[DataFileMeta]:
        """The files of the streams, in their order; none remains of those of a failure."""
        files: list[list[DataFileMeta]] = [[] for _ in streams]

        def write(number: int) -> None:
            rows = streams[number]
            files[number] = self.writer.write(rows, level=0, source=FILE_SOURCE_APPEND, rows_per_file=rows_per_file)

        try:
            in_threads(write, range(len(streams)))
        except BaseException:
            self.writer.delete(file for part in files for file in part)
            raise
        return [file for part in files for file in part]

    def compact(self, *, full: bool) -> bool:
        """Compact what there is to compact; whether there was anything."""
        if self.plan.merge is None:
            return False
        key_range = key_ranges([self.writer.schema.field(k).type for k in self.plan.merge.key])
        runs = sorted_runs(self.live, key_range)
        # files that another writer put on a higher level than this table has today count, too
        levels = max([self.plan.compaction.num_levels, *(run.level + 1 for run in runs)])
        options = replace(self.plan.compaction, num_levels=levels)
        unit = self._unit(runs, options, full=full)
        result = CompactResult((), ())
        if unit is not None:
            changes = self._changes(unit, options)
            looks_up = self.plan.merge.looks_up and (changes is not None or self.plan.merge.folds)
            if self.plan.merge.engine.name == "first-row":
                result = compact_first(unit, runs, options, self.plan.merge, key_range, self.read, self.writer, changes)
            elif self.deletions is not None:
                result = compact_looking_up(
                    unit, runs, options, self.plan.merge, key_range,
                    self.deletions.read, self.writer, self.deletions.maintainer, changes,
                )  # fmt: skip
            elif looks_up:
                read = masked(self.read)
                result = compact_looking_up(
                    unit, runs, options, self.plan.merge, key_range, read, self.writer, None, changes
                )
            else:
                result = rewrite(unit, options, self.plan.merge, key_range, self.read, self.writer, changes)
        self._apply(result)
        if full and self.deletions is not None:
            self._apply(
                without_deleted_rows(
                    self.live, self.writer.schema.names,
                    self.deletions.read, self.writer, self.deletions.maintainer,
                )
            )  # fmt: skip
        life, max_level = self.plan.record_life, self.plan.compaction.max_level
        # with deletion vectors only a full compaction leaves files that none points into
        if life is not None and (full or (self.compact_after and self.deletions is None)):
            self._apply(without_expired_rows(life, self.live, max_level, self.read, self.writer))
        return bool(self.compact_before or self.compact_after)

    def _unit(self, runs: Sequence[SortedRun], options: CompactionOptions, *, full: bool) -> CompactUnit | None:
        unit = pick_full(runs, options) if full else pick(runs, options, clock.current().now_ms())
        if not self.plan.empties_level_zero:
            return unit
        waiting = sum(run.level == 0 for run in runs[0 if unit is None else len(unit.runs) :])
        if waiting > (self.plan.level_zero_runs_max if unit is None else 0):
            return pick_level_zero(runs, options)
        return unit

    def _changes(self, unit: CompactUnit, options: CompactionOptions) -> ChangeWriter | None:
        """Who notes what the compaction changes; None if nobody has to."""
        assert self.plan.merge is not None
        if self.plan.producer.compares == "level 0":
            return ChangeWriter(self.plan.merge, self.plan.rule, self.writer, range(1, options.num_levels))
        if self.plan.producer.compares == "highest level" and unit.output_level == options.max_level:
            highest = range(options.max_level, options.num_levels)
            return ChangeWriter(self.plan.merge, self.plan.rule, self.writer, highest)
        return None

    def runs(self) -> Sequence[SortedRun]:
        """The sorted runs, newest first; none for append tables."""
        if self.plan.merge is None:
            return ()
        return sorted_runs(self.live, key_ranges([self.writer.schema.field(k).type for k in self.plan.merge.key]))

    def take_message(self) -> CommitMessage:
        """What changed since the last message, which is forgotten here."""
        new_index, old_index = ((), ()) if self.deletions is None else self.deletions.maintainer.prepare()
        message = CommitMessage(
            self.partition,
            self.bucket,
            self.plan.total_buckets,
            tuple(self.new_files),
            tuple(self.changelog_files),
            tuple(self.compact_before),
            tuple(self.compact_after),
            tuple(self.compact_changelog),
            compact_new_index_files=new_index,
            compact_deleted_index_files=old_index,
        )
        self._forget()
        return message

    def abort(self) -> None:
        """Delete the files that are in no message yet."""
        kept = {file.file_name for file in self.compact_before} - {file.file_name for file in self.new_files}
        added = (*self.new_files, *self.changelog_files, *self.compact_after, *self.compact_changelog)
        self.writer.delete(file for file in added if file.file_name not in kept)
        self._forget()

    def _forget(self) -> None:
        self.new_files, self.changelog_files, self.compact_before, self.compact_after = [], [], [], []
        self.compact_changelog = []

    def _apply(self, result: CompactResult) -> None:
        """Note a compaction; a file that an earlier one of the same commit made leaves without a trace."""
        gone = {(file.file_name, file.level) for file in result.before}
        self.compact_changelog += result.changelog
        self.live = [file for file in self.live if (file.file_name, file.level) not in gone] + list(result.after)
        made_here = {(file.file_name, file.level) for file in self.compact_after}
        lasting = {file.file_name for file in (*result.after, *self.compact_before, *self.new_files)}
        for file in result.before:
            if (file.file_name, file.level) not in made_here:
                self.compact_before.append(file)
            elif file.file_name not in lasting:
                self.writer.delete([file])
        self.compact_after = [f for f in self.compact_after if (f.file_name, f.level) not in gone] + list(result.after)

    def _merged(self, buffered: BufferedRows) -> Iterator[pa.Table]:
        """The rows of a keyed table merged to one row a key, in key order."""
        merge = self.plan.merge
        assert merge is not None
        # retractions to be ignored were left out before
        spec = replace(merge, ignore_delete=False)
        if not spec.folds:
            yield from self._slices(buffered, _survivors(buffered, spec))
            return
        fields = buffered.rows.select(list(spec.sequence_fields))
        order, starts = order_rows(_key_words(buffered, spec), [fields], spec, by_sequence_number=False)
        begin = 0
        while begin < len(starts) - 1:
            end = max(begin + 1, int(np.searchsorted(starts, starts[begin] + _SLICE_ROWS, side="right")) - 1)
            rows = pa.concat_tables(self._slices(buffered, order[starts[begin] : starts[end]])).combine_chunks()
            yield fold_rows(rows, spec, np.arange(rows.num_rows), starts[begin : end + 1] - starts[begin])
            begin = end

    def _slices(self, buffered: BufferedRows, chosen: npt.NDArray[np.int64]) -> Iterator[pa.Table]:
        """The chosen rows, in that order, with the system columns."""
        for start in range(0, len(chosen), _SLICE_ROWS):
            part = chosen[start : start + _SLICE_ROWS]
            rows = buffered.take(part).append_column(SEQUENCE_NUMBER, pa.array(part + self.next_sequence, pa.int64()))
            if self.plan.merge is not None:
                kinds = np.zeros(len(part), np.int8) if buffered.kinds is None else buffered.kinds[part]
                rows = rows.append_column(VALUE_KIND, pa.array(kinds, pa.int8()))
            yield rows


def _survivors(buffered: BufferedRows, spec: MergeSpec) -> npt.NDArray[np.int64]:
    fields = buffered.rows.select(list(spec.sequence_fields))
    return survivors(_key_words(buffered, spec), [fields], spec, by_sequence_number=False)


def _key_words(buffered: BufferedRows, spec: MergeSpec) -> Words:
    return order_words([buffered.rows.select(list(spec.key)).columns])[0]

"""What a compaction changes: the old and the new row of every key it touches, as rows with kinds.

Rows of a key come from *old* runs, whose state was known before, and from *new* ones. With a lookup (`MergeSpec.
looks_up`) the old runs are those above level 0, and only the newest of them counts: its row was merged with the older
ones when it was written. Without, the old run is the one of the highest level.

    old row   merged row   changes
    none      add          +I merged
    add       add          -U old, +U merged
    add       none         -D old
    none      none         nothing

Source: Paimon, `LookupChangelogMergeFunctionWrapper`, `FullChangelogMergeFunctionWrapper`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.changes import RowKind
from tsdb.mergetree.data_writer import FILE_SOURCE_COMPACT, DataWriter
from tsdb.mergetree.merge import (
    VALUE_KIND,
    MergeSpec,
    is_add,
    is_ordered_by_age,
    key_steps,
    kinds_of,
    merged_groups,
    newest_old_rows,
    order_rows,
)
from tsdb.mergetree.sorted_run import SortedRun
from tsdb.metadata.data_file import DataFileMeta

_PENDING_ROWS = 1 << 20
Positions = npt.NDArray[np.int64]
Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class ChangeRule:
    """deduplicates: a -U and a +U of equal rows are left out ('changelog-producer.row-deduplicate'). ignored: columns
    that do not count there. only_new: the first row of a key stays, so that only its coming is a change.
    """

    deduplicates: bool = False
    ignored: tuple[str, ...] = ()
    only_new: bool = False


def merge_with_changes(
    runs: Sequence[Iterator[pa.RecordBatch]],
    spec: MergeSpec,
    rule: ChangeRule,
    *,
    old_runs: int,
    by_sequence_number: bool,
    step_rows: int = 1 << 16,
) -> Iterator[tuple[pa.Table, pa.Table]]:
    """The merged rows in key order, retractions included, and the changes: both with the columns of the runs.

    runs: as in `merge_rows`, the oldest first; the first old_runs of them are old. Of changes, those of one key stand
    together, the old row first.
    """
    for parts, keys in key_steps(runs, spec, step_rows):
        rows = pa.concat_tables(parts).combine_chunks()
        order, starts = order_rows(keys, parts, spec, by_sequence_number=by_sequence_number)
        if not len(order):
            continue
        is_old = np.concatenate([np.full(part.num_rows, i < old_runs) for i, part in enumerate(parts)])
        if spec.looks_up:
            order, starts = newest_old_rows(order, starts, parts, old_runs)
        groups = np.repeat(np.arange(len(starts) - 1), np.diff(starts))
        is_new_row = ~is_old[order]
        touched = np.zeros(len(starts) - 1, np.bool_)
        touched[groups[is_new_row]] = True
        old = np.full(len(starts) - 1, -1, np.int64)
        old[groups[~is_new_row]] = order[~is_new_row]
        merged = merged_groups(rows, spec, order, starts)
        yield merged, _changes(rows, old, merged, touched, rule)


def _changes(rows: pa.Table, old: Positions, merged: pa.Table, touched: Mask, rule: ChangeRule) -> pa.Table:
    """old: for each merged row the position of the old row in `rows`, or -1."""
    was = touched & (old >= 0)
    was[was] = is_add(kinds_of(rows)[old[was]])
    now = touched & is_add(kinds_of(merged))
    both = np.flatnonzero(was & now)
    if rule.only_new:
        now &= ~was
        was[:] = False
    elif rule.deduplicates and len(both):
        names = [name for name in rows.column_names if not name.startswith("_") and name not in rule.ignored]
        equal = equal_rows(rows.take(pa.array(old[both])).select(names), merged.take(pa.array(both)).select(names))
        was[both[equal]] = now[both[equal]] = False
    before, after = np.flatnonzero(was), np.flatnonzero(now)
    kinds = np.concatenate(
        [
            np.where(now[before], RowKind.UPDATE_BEFORE, RowKind.DELETE),
            np.where(was[after], RowKind.UPDATE_AFTER, RowKind.INSERT),
        ]
    ).astype(np.int8)
    together = pa.concat_tables([rows.take(pa.array(old[before])), merged.take(pa.array(after))])
    order = np.argsort(np.concatenate([before, after]), kind="stable")
    changes = together.take(pa.array(order))
    at = changes.column_names.index(VALUE_KIND)
    return changes.set_column(at, VALUE_KIND, pa.array(kinds[order], pa.int8()))


def equal_rows(one: pa.Table, other: pa.Table) -> Mask:
    """Which rows are equal; NULL equals NULL, and NaN NaN."""
    equal = np.ones(one.num_rows, np.bool_)
    for name in one.column_names:
        a, b = one[name].combine_chunks(), other[name].combine_chunks()
        if pa.types.is_nested(a.type):
            equal &= np.array([x == y for x, y in zip(a.to_pylist(), b.to_pylist(), strict=True)], np.bool_)
            continue
        same = pc.equal(a, b)
        if pa.types.is_floating(a.type):
            same = pc.or_(same, pc.and_(pc.is_nan(a), pc.is_nan(b)))
        nulls = pc.and_(pc.is_null(a), pc.is_null(b))
        equal &= np.asarray(pc.or_(pc.fill_null(same, False), nulls))
    return equal


@dataclass(slots=True)
class ChangeWriter:
    """Writes the changes of one compaction as changelog files, while its rows pass.

    old_levels: the levels whose rows are known already. files: those written; nobody else knows them.
    """

    spec: MergeSpec
    rule: ChangeRule
    writer: DataWriter
    old_levels: range
    files: list[DataFileMeta] = field(default_factory=list)
    _pending: list[pa.Table] = field(default_factory=list)

    def concerns(self, section: Sequence[SortedRun]) -> bool:
        """Whether the runs have rows that are not known yet."""
        return any(run.level not in self.old_levels for run in section)

    def merge(
        self, oldest_first: Sequence[SortedRun], batches: Sequence[Iterator[pa.RecordBatch]]
    ) -> Iterator[pa.Table]:
        """The merged rows of the runs."""
        old_runs = sum(run.level in self.old_levels for run in oldest_first)
        by_number = not is_ordered_by_age(oldest_first)
        for merged, changed in merge_with_changes(
            batches, self.spec, self.rule, old_runs=old_runs, by_sequence_number=by_number
        ):
            if changed.num_rows:
                self._pending.append(changed)
                if sum(rows.num_rows for rows in self._pending) >= _PENDING_ROWS:
                    self._write()
            yield merged

    def finish(self, level: int) -> tuple[DataFileMeta, ...]:
        """Write what is left; all files."""
        self._write(level)
        return tuple(self.files)

    def abort(self) -> None:
        """Delete the files."""
        self.writer.delete(self.files)
        self.files, self._pending = [], []

    def _write(self, level: int = 0) -> None:
        pending, self._pending = self._pending, []
        self.files += self.writer.write(iter(pending), level=level, source=FILE_SOURCE_COMPACT, changelog=True)

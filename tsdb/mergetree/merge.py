"""Merging the sorted runs of a bucket.

The merge goes through all runs together, in key order, in steps: a step takes from every run the rows up to a common
key, so memory is a batch a run, however large the runs are. The rows of one step are ordered by (key, sequence) at
once. `merge_rows` gives the merged rows of any merge engine: compaction, and reads of an engine that folds. Where the
engine selects, a read needs only the answer "which rows of which file live" (`live_masks`), so nothing but keys is
compared. Rows at hand, such as those of a write buffer, are merged with `order_rows` and `fold_rows`.

Laws: a row of `merge_rows` has the kind and the sequence number to be written to a file; rows of kind -U and -D are
for the caller to drop. Without such rows, merging consecutive runs first, and the result with the rest later, gives the
same rows.

Source: Paimon, `SortMergeReader`; the selection by masks is ours.
"""

import threading
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.cancellation import check_cancelled
from tsdb.changes import RowKind
from tsdb.errors import CorruptFile
from tsdb.mergetree.key_order import Words, count_at_most, grouped_order, is_sorted, order_words
from tsdb.mergetree.merge_engine import Deduplicate, Engine, MergeEngine, is_fold, merge_engine
from tsdb.mergetree.sorted_run import KeyRange, SortedRun, sections, sorted_runs
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.schema import TableSchema
from tsdb.options import TableOptions

# rows of each run in a step: sorting stays inside the processor's caches, and the cost of a step is spread
_STEP_ROWS = 1 << 16
_SLICE_ROWS = 1 << 18
SEQUENCE_NUMBER = "_SEQUENCE_NUMBER"
VALUE_KIND = "_VALUE_KIND"

_DEDUPLICATE = Deduplicate()

Mask = npt.NDArray[np.bool_]
ReadColumns = Callable[[DataFileMeta, Sequence[str]], Iterator[pa.RecordBatch]]
"""Reads the named columns of a data file in file order: table columns by their present names, `_SEQUENCE_NUMBER` and
`_VALUE_KIND`.
"""


@dataclass(frozen=True, slots=True)
class MergeSpec:
    """How rows of one key become one. key: the primary key without partition columns; sequence_fields:
    'sequence.field'. looks_up: a row above level 0 was merged with those of older levels when it was written, so
    only the newest of such rows counts.
    """

    key: tuple[str, ...]
    sequence_fields: tuple[str, ...] = ()
    sequence_descending: bool = False
    ignore_delete: bool = False
    engine: Engine = _DEDUPLICATE
    looks_up: bool = False

    @property
    def folds(self) -> bool:
        """Whether a merged row is put together from several; there are no masks then."""
        return is_fold(self.engine)

    def columns_for(self, wanted: Iterable[str]) -> tuple[str, ...]:
        """The table columns that merging needs to give the wanted ones; `_VALUE_KIND` and `_SEQUENCE_NUMBER` come on
        top.
        """
        names = self.engine.columns_for(wanted) if is_fold(self.engine) else tuple(wanted)
        return tuple(dict.fromkeys((*names, *self.key, *self.sequence_fields)))


def merge_spec(schema: TableSchema, options: TableOptions) -> MergeSpec:
    """How the rows of this primary-key table merge.

    Raises NotSupportedError for a merge engine that is not there, OptionError if its options do not fit the table.
    """
    return MergeSpec(
        key=tuple(schema.trimmed_primary_keys),
        sequence_fields=options.sequence_field,
        sequence_descending=options.get("sequence.field.sort-order", "ascending") == "descending",
        ignore_delete=options.ignore_delete,
        engine=merge_engine(schema, options),
        looks_up=options.looks_up,
    )


@dataclass(frozen=True, slots=True)
class MergeStep:
    """Some rows of every run, complete in their keys. rows[i]: of run i, in the order the runs were given.

    survivors: positions in the concatenation of `rows`, in key order, one a key; a survivor may be a retraction.
    """

    rows: tuple[pa.Table, ...]
    survivors: npt.NDArray[np.int64]


def live_masks(
    files: Iterable[DataFileMeta],
    spec: MergeSpec,
    key_range: Callable[[DataFileMeta], KeyRange],
    read: ReadColumns,
    cache: "MaskCache | None" = None,
) -> dict[str, Mask | None]:
    """The rows of a bucket that survive the merge: by file name one mask over the rows of the file; None: all of them.

    files: all live files of the bucket that hold rows of the wanted keys. Retractions never survive.
    """
    cache = MASKS if cache is None else cache
    masks: dict[str, Mask | None] = {}
    for section in sections(sorted_runs(files, key_range), key_range):
        identity = (spec, tuple(file.file_name for run in section for file in run.files))
        found = cache.get(identity)
        if found is None:
            found = _section_masks(section, spec, read)
            cache.put(identity, found)
        masks.update(found)
    return masks


def merge_steps(
    runs: Sequence[Iterator[pa.RecordBatch]],
    spec: MergeSpec,
    *,
    by_sequence_number: bool,
    step_rows: int = 1 << 16,
) -> Iterator[MergeStep]:
    """Merge runs, the oldest first, with an engine that selects.

    runs[i]: the rows of run i in key order, all of one schema: the columns of `spec.key` and `spec.sequence_fields`,
    `_VALUE_KIND` if `spec.ignore_delete`, `_SEQUENCE_NUMBER` if by_sequence_number (otherwise the rows of a later run
    are the newer ones), and any others. step_rows: about how many rows of each run are held.
    Raises CorruptFile if a run is not sorted.
    """
    for rows, keys in key_steps(runs, spec, step_rows):
        yield MergeStep(rows, survivors(keys, rows, spec, by_sequence_number=by_sequence_number))


def merge_rows(
    runs: Sequence[Iterator[pa.RecordBatch]],
    spec: MergeSpec,
    *,
    by_sequence_number: bool,
    old_runs: int = 0,
    step_rows: int = 1 << 16,
) -> Iterator[pa.Table]:
    """The merged rows in key order, retractions included, with the columns of the runs.

    runs, by_sequence_number, step_rows: as in `merge_steps`; the columns are complete as of `spec.columns_for`, with
    `_VALUE_KIND`. old_runs: how many of them, the first ones, are above level 0, for `spec.looks_up`.
    Raises NotSupportedError for retractions that the engine cannot take.
    """
    for parts, keys in key_steps(runs, spec, step_rows):
        rows = pa.concat_tables(parts).combine_chunks()
        order, starts = order_rows(keys, parts, spec, by_sequence_number=by_sequence_number)
        if not len(order):
            continue
        if spec.folds:
            if spec.looks_up:
                order, starts = newest_old_rows(order, starts, parts, old_runs)
            yield fold_rows(rows, spec, order, starts)
            continue
        chosen = _selected(spec, order, starts)
        for start in range(0, len(chosen), _SLICE_ROWS):
            yield rows.take(pa.array(chosen[start : start + _SLICE_ROWS]))


def merged_groups(
    rows: pa.Table, spec: MergeSpec, order: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]
) -> pa.Table:
    """One merged row for each key, with an engine of either kind; order, starts: of `order_rows`."""
    return fold_rows(rows, spec, order, starts) if spec.folds else rows.take(pa.array(_selected(spec, order, starts)))


def newest_old_rows(
    order: npt.NDArray[np.int64], starts: npt.NDArray[np.int64], parts: Sequence[pa.Table], old_runs: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """`order_rows` without those rows of the first old_runs parts that a later one of these has a row for, too."""
    if old_runs < 2:
        return order, starts
    run = np.repeat(np.arange(len(parts)), [part.num_rows for part in parts])[order]
    is_old = run < old_runs
    newest = np.maximum.reduceat(np.where(is_old, run, -1), starts[:-1])
    sizes = np.diff(starts)
    kept = ~is_old | (run == np.repeat(newest, sizes))
    left = np.add.reduceat(kept, starts[:-1], dtype=np.int64)
    return order[kept], np.concatenate([[0], np.cumsum(left)])


def _selected(spec: MergeSpec, order: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    if len(starts) == len(order) + 1:  # no key has two rows
        return order
    assert not is_fold(spec.engine)
    return order[cast(MergeEngine, spec.engine).survivors(starts[:-1], starts[1:])]


def fold_rows(rows: pa.Table, spec: MergeSpec, order: npt.NDArray[np.int64], starts: npt.NDArray[np.int64]) -> pa.Table:
    """The merged rows of an engine that folds; see `FoldEngine.fold`."""
    assert is_fold(spec.engine)
    if int(starts[-1]) == len(starts) - 1:
        return rows.take(pa.array(order))
    return spec.engine.fold(rows, order, starts)


def survivors(
    keys: Words, rows: Sequence[pa.Table], spec: MergeSpec, *, by_sequence_number: bool
) -> npt.NDArray[np.int64]:
    """The positions in the concatenation of `rows` that survive, in key order. keys: the words of its key columns."""
    order, starts = order_rows(keys, rows, spec, by_sequence_number=by_sequence_number)
    return _selected(spec, order, starts)


def order_rows(
    keys: Words, rows: Sequence[pa.Table], spec: MergeSpec, *, by_sequence_number: bool
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The positions in the concatenation of `rows` in order of (key, sequence), and where in it each key starts, with
    its length at the end. Retractions are left out if they are to be ignored.
    """
    then: Words = ()
    if spec.sequence_fields:
        fields = [_columns(part, spec.sequence_fields) for part in rows]
        parts = order_words(fields, descending=spec.sequence_descending)
        then = tuple(np.concatenate(word) for word in zip(*parts, strict=True))
    if by_sequence_number:
        then += (np.concatenate([np.asarray(part[SEQUENCE_NUMBER].to_numpy()) for part in rows]),)
    if not spec.ignore_delete:
        return grouped_order(keys, then)
    eligible = np.flatnonzero(is_add(np.concatenate([kinds_of(part) for part in rows])))
    keys, then = tuple(word[eligible] for word in keys), tuple(word[eligible] for word in then)
    order, starts = grouped_order(keys, then)
    return eligible[order], starts


def key_steps(
    runs: Sequence[Iterator[pa.RecordBatch]], spec: MergeSpec, step_rows: int
) -> Iterator[tuple[tuple[pa.Table, ...], Words]]:
    """Some rows of every run, complete in their keys, and the words of these. Raises CorruptFile if a run is not
    sorted.
    """
    cursors = [_Cursor(run, step_rows) for run in runs]
    while True:
        check_cancelled()
        for cursor in cursors:
            cursor.fill()
        _share_schema(cursors)
        if all(cursor.rows.num_rows == 0 for cursor in cursors):
            return
        words = order_words([_columns(cursor.rows, spec.key) for cursor in cursors])
        if not all(is_sorted(part) for part in words):
            raise CorruptFile(
                f"a sorted run is not in order of its key ({', '.join(spec.key)}); compact or rewrite the table"
            )
        counts = _complete_counts(cursors, words)
        rows = tuple(cursor.take(count) for cursor, count in zip(cursors, counts, strict=True))
        keys = tuple(
            np.concatenate([part[:count] for part, count in zip(word, counts, strict=True)])
            for word in zip(*words, strict=True)
        )
        yield rows, keys


def is_ordered_by_age(runs: Sequence[SortedRun]) -> bool:
    """Whether every sequence number of a run is below those of the next one. runs: oldest first."""
    ranges = [run.sequence_range for run in runs]
    return all(older[1] < newer[0] for older, newer in pairwise(ranges))


def kinds_of(rows: pa.Table) -> npt.NDArray[np.int8]:
    """The row kinds of a table with `_VALUE_KIND`."""
    return np.asarray(rows[VALUE_KIND].to_numpy()).astype(np.int8, copy=False)


def is_add(kinds: npt.NDArray[np.int8]) -> Mask:
    """True for +I and +U."""
    return np.asarray((kinds == RowKind.INSERT) | (kinds == RowKind.UPDATE_AFTER))


class MaskCache:
    """The masks of sections, least recently used ones dropped above `size_bytes_max`. Thread-safe."""

    def __init__(self, size_bytes_max: int) -> None:
        self._size_bytes_max = size_bytes_max
        self._size_bytes = 0
        self._lock = threading.Lock()
        self._packed: OrderedDict[_SectionId, dict[str, _Packed]] = OrderedDict()

    def get(self, identity: "_SectionId") -> dict[str, Mask | None] | None:
        """The masks of a section, or None if they are not here."""
        with self._lock:
            packed = self._packed.get(identity)
            if packed is None:
                return None
            self._packed.move_to_end(identity)
        return {name: _unpack(bits) for name, bits in packed.items()}

    def put(self, identity: "_SectionId", masks: dict[str, Mask | None]) -> None:
        """Keep the masks of a section, a bit a row."""
        packed = {name: None if mask is None else (np.packbits(mask), len(mask)) for name, mask in masks.items()}
        with self._lock:
            self._size_bytes += _size_bytes(packed) - _size_bytes(self._packed.pop(identity, {}))
            self._packed[identity] = packed
            while self._size_bytes > self._size_bytes_max:
                self._size_bytes -= _size_bytes(self._packed.popitem(last=False)[1])


_SectionId = tuple[MergeSpec, tuple[str, ...]]
_Packed = tuple[npt.NDArray[np.uint8], int] | None

MASKS = MaskCache(64 << 20)


def _unpack(bits: _Packed) -> Mask | None:
    return None if bits is None else np.unpackbits(bits[0], count=bits[1]).view(np.bool_)


def _size_bytes(packed: dict[str, _Packed]) -> int:
    return sum(200 if bits is None else 200 + bits[0].nbytes for bits in packed.values())


class _Cursor:
    """The rows of one run that are read but not merged yet."""

    def __init__(self, batches: Iterator[pa.RecordBatch], step_rows: int) -> None:
        self._batches = batches
        self._step_rows = step_rows
        self.rows: pa.Table = pa.table({})
        self.ended = False

    def fill(self) -> None:
        """Read until there are enough rows for a step that is worth its cost."""
        if self.ended or self.rows.num_rows >= self._step_rows:
            return
        count = self.rows.num_rows
        parts = self.rows.to_batches() if count else []
        while count < self._step_rows:
            batch = next(self._batches, None)
            if batch is None:
                self.ended = True
                break
            parts.append(batch)
            count += batch.num_rows
        if parts:
            self.rows = pa.Table.from_batches(parts)

    def take(self, count: int) -> pa.Table:
        """Remove the first rows and return them."""
        taken, self.rows = self.rows.slice(0, count), self.rows.slice(count)
        return taken


def _share_schema(cursors: Sequence[_Cursor]) -> None:
    """Give runs without any row the columns of the others."""
    schema = next((cursor.rows.schema for cursor in cursors if cursor.rows.num_columns), pa.schema([]))
    for cursor in cursors:
        if not cursor.rows.num_columns:
            cursor.rows = schema.empty_table()


def _complete_counts(cursors: Sequence[_Cursor], words: Sequence[Words]) -> list[int]:
    """How many rows of each run are certainly followed by nothing smaller, in any run."""
    lasts = [
        tuple(int(word[-1]) for word in part)
        for cursor, part in zip(cursors, words, strict=True)
        if not cursor.ended and cursor.rows.num_rows
    ]
    if not lasts:
        return [cursor.rows.num_rows for cursor in cursors]
    bound = min(lasts)
    return [count_at_most(part, bound) for part in words]


def _section_masks(section: Sequence[SortedRun], spec: MergeSpec, read: ReadColumns) -> dict[str, Mask | None]:
    files = [file for run in section for file in run.files]
    with_kinds = any(file.delete_row_count != 0 for file in files)
    if len(section) == 1:
        return {f.file_name: _adds(read(f, [VALUE_KIND])) if f.delete_row_count != 0 else None for f in files}
    runs = list(reversed(section))
    by_sequence_number = not is_ordered_by_age(runs)
    columns = list(dict.fromkeys(spec.key + spec.sequence_fields))
    columns += [SEQUENCE_NUMBER] * by_sequence_number + [VALUE_KIND] * with_kinds
    if not with_kinds:
        spec = replace(spec, ignore_delete=False)
    parts: list[list[Mask]] = [[] for _ in runs]
    readers = [(batch for file in run.files for batch in read(file, columns)) for run in runs]
    steps = merge_steps(readers, spec, by_sequence_number=by_sequence_number, step_rows=_STEP_ROWS)
    for step in steps:
        lengths = [rows.num_rows for rows in step.rows]
        mask = np.zeros(sum(lengths), np.bool_)
        mask[step.survivors] = True
        if with_kinds:
            mask &= is_add(np.concatenate([kinds_of(rows) for rows in step.rows]))
        for part, piece in zip(parts, np.split(mask, np.cumsum(lengths)[:-1]), strict=True):
            part.append(piece)
    return {
        file.file_name: mask
        for run, part in zip(runs, parts, strict=True)
        for file, mask in _by_file(run.files, np.concatenate(part))
    }


def _columns(rows: pa.Table, names: Sequence[str]) -> list[pa.ChunkedArray]:
    return [rows[name] for name in names]


def _adds(batches: Iterator[pa.RecordBatch]) -> Mask | None:
    mask = np.concatenate([is_add(np.asarray(batch.column(0)).astype(np.int8)) for batch in batches])
    return None if bool(mask.all()) else mask


def _by_file(files: Sequence[DataFileMeta], mask: Mask) -> Iterator[tuple[DataFileMeta, Mask | None]]:
    counts = [file.row_count for file in files]
    if sum(counts) != len(mask):
        names = ", ".join(file.file_name for file in files)
        raise CorruptFile(f"the manifest says {sum(counts)} rows, but {len(mask)} were read from {names}")
    for file, part in zip(files, np.split(mask, np.cumsum(counts)[:-1]), strict=True):
        yield file, None if bool(part.all()) else part

"""Reading a plan: every split becomes a fragment, which streams the rows of its files that live.

A primary-key bucket is merged by selection where the merge engine selects: the keys of overlapping runs decide which
rows of which file live (these masks are kept for the next read), then the files are read like plain ones under their
masks. So filters on any column may skip row groups, but only after the masks are known. Where the engine folds, the
rows themselves are merged, and only filters on the key may skip row groups before that. Different fragments may be read
by different threads.
"""

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from itertools import pairwise

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.errors import CorruptFile, NotSupportedError
from tsdb.format.parquet import SEQUENCE_NUMBER, VALUE_KIND
from tsdb.mergetree.merge import (
    MergeSpec,
    is_add,
    is_ordered_by_age,
    kinds_of,
    live_masks,
    merge_rows,
    merge_spec,
)
from tsdb.mergetree.sorted_run import SortedRun, key_ranges, sections, sorted_runs
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.predicate import And, Predicate
from tsdb.metadata.predicate import columns as columns_of
from tsdb.table.data_file_reader import BATCH_ROWS, check_readable, read_file
from tsdb.table.key_lookup import Keys, fixed_key, rows_with_key
from tsdb.table.live_columns import read_live
from tsdb.table.prune import Pruner
from tsdb.table.scan import DataSplit, ScanPlan
from tsdb.table.table import Table
from tsdb.table.threads import ahead

Mask = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Fragment:
    """The rows of one split. predicate: row groups and files without a match are skipped, where that is cheap."""

    table: Table
    split: DataSplit
    predicate: Predicate | None = None

    @property
    def row_count(self) -> int | None:
        """How many rows there are without a filter; None if that takes a merge."""
        if not self.split.raw:
            return None
        deleted = [deletion.cardinality for deletion in self.split.deletions.values()]
        if any(count is None for count in deleted):
            return None
        return sum(file.row_count for file in self.split.files) - sum(count or 0 for count in deleted)

    def to_batches(
        self,
        columns: Sequence[str] | None = None,
        filter: pc.Expression | None = None,
        batch_size: int = BATCH_ROWS,
    ) -> Iterator[pa.RecordBatch]:
        """The rows in batches of batch_size at most, with the named columns (all if None) in that order.

        filter: only rows for which it is true; it may look at columns that are not among `columns`.
        """
        names = self.table.schema.names
        wanted = list(names if columns is None else columns)
        read = wanted
        if filter is not None:
            # the text of an expression has the name of every column in it; a name too many does no harm
            text = str(filter)
            read = list(dict.fromkeys([*wanted, *(name for name in names if name in text)]))
        for batch in self._live(read, batch_size):
            if filter is not None:
                batch = batch.filter(filter)
                if batch.num_rows == 0:
                    continue
            yield batch if read == wanted else batch.select(wanted)

    def _live(self, columns: Sequence[str], batch_rows: int) -> Iterator[pa.RecordBatch]:
        keys = fixed_key(self.table, self.predicate)
        if not self.split.raw and not self._is_merged:
            spec = merge_spec(self.table.schema, self.table.options)
            if keys is not None or spec.folds:
                for rows in self._merged(columns, spec, keys):
                    yield from rows.to_batches(batch_rows)
                return
        elif keys is not None and self.split.raw:
            for file in self.split.files:
                yield from rows_with_key(self.table, file, self.split.bucket_path, columns, keys, self._kept(file))
            return
        masks = self.masks()
        pruner = Pruner(self.table, self.predicate)
        merged = None if self.split.raw else self._identity()
        for file in self.split.files:
            mask = masks.get(file.file_name)
            if not pruner.keeps_values(file) or (mask is not None and not mask.any()):
                continue
            if mask is not None and not self.split.raw:
                yield from read_live(
                    self.table, file, self.split.bucket_path, columns,
                    mask, (merged, self.split.deletions.get(file.file_name)), self.predicate, batch_rows,
                )  # fmt: skip
                continue
            yield from read_file(
                self.table, file, self.split.bucket_path, columns,
                mask=mask, predicate=self.predicate, batch_rows=batch_rows,
            )  # fmt: skip

    def masks(self) -> dict[str, Mask | None]:
        """By file, which of its rows live; a file without a mask lives as a whole."""
        table, split = self.table, self.split
        if split.raw:
            masks: dict[str, Mask | None] = {}
        elif self._is_merged:
            # what a newer row replaced is in a deletion vector already, or was never written
            masks = {f.file_name: self._adds(f) for f in split.files if f.delete_row_count != 0}
        else:
            spec = merge_spec(table.schema, table.options)
            key_range = key_ranges([table.schema.field(key).type for key in table.schema.trimmed_primary_keys])
            masks = live_masks(split.files, spec, key_range, partial(self._columns_of, None))
        for file in split.files:
            deletion = split.deletions.get(file.file_name)
            if deletion is not None:
                live = deletion.live_rows(table.file_io, file.row_count)
                mask = masks.get(file.file_name)
                masks[file.file_name] = live if mask is None else mask & live
        return masks

    def _identity(self) -> bytes:
        """What is merged here, and how: a digest, because there may be many files."""
        spec = merge_spec(self.table.schema, self.table.options)
        text = "\0".join([repr(spec), *(file.file_name for file in self.split.files)])
        return hashlib.blake2b(text.encode(), digest_size=16).digest()

    def _kept(self, file: DataFileMeta) -> Mask | None:
        """The rows of a file that no deletion vector deletes; None: all."""
        deletion = self.split.deletions.get(file.file_name)
        return None if deletion is None else deletion.live_rows(self.table.file_io, file.row_count)

    @property
    def folds(self) -> bool:
        """Whether rows are put together from several, so that no mask says which of them live."""
        if self.split.raw or self._is_merged:
            return False
        return merge_spec(self.table.schema, self.table.options).folds

    @property
    def _is_merged(self) -> bool:
        """Whether compactions have left one row a key, which lives or is in a deletion vector."""
        return self.table.empties_level_zero and all(file.level > 0 for file in self.split.files)

    def _adds(self, file: DataFileMeta) -> Mask:
        batches = self._columns_of(None, file, [VALUE_KIND])
        return np.concatenate([is_add(np.asarray(batch.column(0))) for batch in batches])

    def _columns_of(
        self, predicate: Predicate | None, file: DataFileMeta, names: Sequence[str]
    ) -> Iterator[pa.RecordBatch]:
        return read_file(self.table, file, self.split.bucket_path, names, predicate=predicate)

    def _merged(self, columns: Sequence[str], spec: MergeSpec, keys: Keys | None) -> Iterator[pa.Table]:
        """The merged rows. keys: of a few keys only; then that is cheaper than masks of whole files."""
        table = self.table
        key_range = key_ranges([table.schema.field(key).type for key in table.schema.trimmed_primary_keys])
        names = [*spec.columns_for(columns), VALUE_KIND]
        # all rows of a key that can match must be there: of the others some may be missing, and do not match
        skips = None if keys is not None else _on_key(table, self.predicate)
        for section in sections(sorted_runs(self.split.files, key_range), key_range):
            runs = list(reversed(section))
            by_sequence_number = not is_ordered_by_age(runs)
            read = [*names, SEQUENCE_NUMBER] if by_sequence_number else names
            readers = [self._rows_of(run, read, skips, keys) for run in runs]
            if keys is None and sum(file.row_count for run in runs for file in run.files) > BATCH_ROWS:
                readers = [ahead(reader) for reader in readers]
            old_runs = sum(run.level > 0 for run in runs)
            for rows in merge_rows(readers, spec, by_sequence_number=by_sequence_number, old_runs=old_runs):
                adds = is_add(kinds_of(rows))
                rows = rows.select(list(columns))
                yield rows if adds.all() else rows.filter(pa.array(adds))

    def _rows_of(
        self, run: SortedRun, names: Sequence[str], skips: Predicate | None, keys: Keys | None
    ) -> Iterator[pa.RecordBatch]:
        for file in run.files:
            live, directory = self._kept(file), self.split.bucket_path
            if keys is None:
                yield from read_file(self.table, file, directory, names, mask=live, predicate=skips)
            else:
                yield from rows_with_key(self.table, file, directory, names, keys, live)


def fragments(table: Table, plan: ScanPlan) -> list[Fragment]:
    """A fragment a split. Raises NotSupportedError now for what would fail while reading."""
    _check_row_ids(table, plan)
    for split in plan.splits:
        for file in split.files:
            check_readable(table, file)
        if not split.raw and not table.empties_level_zero:
            merge_spec(table.schema, table.options)
    return [Fragment(table, split, plan.predicate) for split in plan.splits]


def read_plan(
    table: Table, plan: ScanPlan, columns: Sequence[str] | None = None, filter: pc.Expression | None = None
) -> Iterator[pa.RecordBatch]:
    """All live rows of the plan, one fragment after the other."""
    for fragment in fragments(table, plan):
        yield from fragment.to_batches(columns, filter)


def read_table(
    table: Table, plan: ScanPlan, columns: Sequence[str] | None = None, filter: pc.Expression | None = None
) -> pa.Table:
    """All live rows of the plan in memory."""
    names = list(table.schema.names if columns is None else columns)
    schema = pa.schema([table.schema.arrow_schema.field(name) for name in names])
    return pa.Table.from_batches((batch.cast(schema) for batch in read_plan(table, plan, names, filter)), schema)


def raw_files(table: Table, plan: ScanPlan) -> list[str] | None:
    """The local paths of all files, if each is Parquet under today's schema and every row of it lives; else None.

    Raises CorruptFile for one that is missing or cut: whoever lists files by itself would take it for an empty one.
    """
    paths: list[str] = []
    for split in plan.splits:
        if not split.raw or split.deletions:
            return None
        for file in split.files:
            path = plain_path(table, split, file)
            if path is None:
                return None
            paths.append(path)
    return paths


def plain_path(table: Table, split: DataSplit, file: DataFileMeta) -> str | None:
    """The local path of a data file, if it is Parquet under today's schema; else None.

    Raises CorruptFile for one that is missing or cut.
    """
    path = table.file_io.local_path(file.path(split.bucket_path))
    if path is None or not path.endswith(".parquet") or file.write_cols is not None:
        return None
    if file.schema_id != table.schema.id and table.schemas.schema(file.schema_id).fields != table.schema.fields:
        return None
    _check_size(table, path, file)
    return path


def _check_size(table: Table, path: str, file: DataFileMeta) -> None:
    try:
        size = table.file_io.size_bytes(path)
    except FileNotFoundError as err:
        raise CorruptFile(f"data file {path} is missing") from err
    if size != file.file_size:
        raise CorruptFile(
            f"data file {path} cannot be read: it has {size} bytes, but was written with {file.file_size}"
        )


def _check_row_ids(table: Table, plan: ScanPlan) -> None:
    """Files of a data-evolution table that hold the same rows would have to be put together column by column."""
    files = [file for split in plan.splits for file in split.files if file.first_row_id is not None]
    starts = sorted((file.first_row_id or 0, file.row_count) for file in files)
    if any(start + count > following for (start, count), (following, _) in pairwise(starts)):
        raise NotSupportedError(
            f"table `{table.identifier}` has several files for the same rows ('data-evolution.enabled'), which cannot "
            f"be read yet"
        )


def _on_key(table: Table, predicate: Predicate | None) -> Predicate | None:
    """The part of the predicate that looks at the key only, if there is one."""
    if predicate is None:
        return None
    children = predicate.children if isinstance(predicate, And) else (predicate,)
    keys = set(table.schema.primary_keys)
    on_key = tuple(child for child in children if columns_of(child) <= keys)
    return And(on_key) if on_key else None

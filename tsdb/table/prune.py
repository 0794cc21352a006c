"""What a predicate rules out: manifests, partitions, buckets and files, by the statistics that are kept about them.

A wrong "may match" costs time, a wrong "cannot match" costs rows; whatever is not known may match.
Statistics speak of the columns as they were when the file was written; they are found again by field id.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass
from functools import partial
from itertools import product
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.data_types import DataType, TypeRoot, to_arrow
from tsdb.errors import CorruptFile
from tsdb.metadata.binary_row import bucket_of, decode_field, decode_row, hash_rows
from tsdb.metadata.data_file import DataFileMeta, SimpleStats
from tsdb.metadata.file_index import FileIndex
from tsdb.metadata.manifest import ManifestEntry, ManifestFileMeta
from tsdb.metadata.predicate import Predicate, columns, equalities, may_match
from tsdb.metadata.stats import is_wide_timestamp, unpadded
from tsdb.table.table import Table

Range = tuple[Any, Any, int | None, int]
_Form = tuple[int, tuple[str, ...] | None, tuple[str, ...] | None]
COMBINATIONS_MAX = 1000
_INTEGERS = (TypeRoot.TINYINT, TypeRoot.SMALLINT, TypeRoot.INT, TypeRoot.BIGINT)
_FLOATS = (TypeRoot.FLOAT, TypeRoot.DOUBLE)


class Pruner:
    """The predicate of one scan, asked about one thing after the other. Not thread-safe."""

    def __init__(self, table: Table, predicate: Predicate | None) -> None:
        self._table = table
        self._predicate = predicate
        self._columns = columns(predicate) if predicate is not None else set()
        self._partitions: dict[bytes, bool] = {}
        self._buckets: dict[int, set[int] | None] = {}
        self._places: dict[_Form, dict[str, _Place]] = {}
        self._names: dict[int, dict[str, str]] = {}
        self._reads_indexes = table.options.flag("file-index.read.enabled")

    def keeps_manifest(self, meta: ManifestFileMeta) -> bool:
        """Whether some partition of the manifest may have rows."""
        keys = self._table.schema.partition_keys
        if self._predicate is None or not self._columns.intersection(keys):
            return True
        return self._may_match(self._row_ranges(meta.partition_stats, keys, exact=False))

    def keeps_entry(self, entry: ManifestEntry) -> bool:
        """Whether the partition and the bucket may have rows."""
        if self._predicate is None:
            return True
        known = self._partitions.get(entry.partition)
        if known is None:
            known = self._partitions[entry.partition] = self._keeps_partition(entry.partition)
        if not known or entry.total_buckets <= 1:
            return known
        if entry.total_buckets not in self._buckets:
            self._buckets[entry.total_buckets] = self._wanted_buckets(entry.total_buckets)
        wanted = self._buckets[entry.total_buckets]
        return wanted is None or entry.bucket in wanted

    def keeps_file(self, file: DataFileMeta) -> bool:
        """Whether the key range of the file may have rows; True for append tables."""
        keys = self._table.schema.trimmed_primary_keys
        if self._predicate is None or not self._columns.intersection(keys):
            return True
        return self._may_match(self._row_ranges(file.key_stats, keys, exact=True))

    def keeps_values(self, file: DataFileMeta, directory: str | None = None) -> bool:
        """Whether the file may have a row that matches, if every row of it is a row of the table.

        directory: of the file, if an index beside it is to be asked, too.
        """
        if self._predicate is None:
            return True
        if not may_match(self._predicate, partial(self._value_range, file)):
            return False
        return not self._reads_indexes or self._index_keeps(file, directory)

    def _index_keeps(self, file: DataFileMeta, directory: str | None) -> bool:
        assert self._predicate is not None
        found = file_index(self._table, file, directory)
        if found is None:
            return True
        if file.schema_id not in self._names:
            old = {field.id: field for field in self._table.schemas.schema(file.schema_id).fields}
            self._names[file.schema_id] = {
                now.name: old[now.id].name
                for now in self._table.schema.fields
                if now.id in old and old[now.id].type.with_nullable(True) == now.type.with_nullable(True)
            }
        return found.may_match(self._predicate, self._names[file.schema_id])

    def _value_range(self, file: DataFileMeta, column: str) -> Range | None:
        """What is known of a column of a file, by its name of today; a column that the file lacks is all NULL."""
        form = (file.schema_id, file.value_stats_cols, file.write_cols)
        if form not in self._places:
            self._places[form] = _places(self._table, file, self._columns)
        place = self._places[form].get(column)
        if place is None:
            return None
        if place.index is None:
            return None, None, file.row_count, file.row_count
        stats = file.value_stats
        if not stats.null_counts:
            return None
        low = high = None
        if place.ordered:
            low, high = (
                decode_field(row, place.count, place.index, place.type) for row in (stats.min_values, stats.max_values)
            )
            low = unpadded(low, place.type)
        return low, high, stats.null_counts[place.index], file.row_count

    def _may_match(self, ranges: Mapping[str, Range]) -> bool:
        assert self._predicate is not None
        return may_match(self._predicate, ranges.get)

    def _keeps_partition(self, partition: bytes) -> bool:
        keys = self._table.schema.partition_keys
        if not self._columns.intersection(keys):
            return True
        values = decode_row(partition, self._types(keys))
        ranges = {key: (value, value, int(value is None), 1) for key, value in zip(keys, values, strict=True)}
        # a predicate has no values of nine digits
        return self._may_match({key: range for key, range in ranges.items() if not isinstance(range[0], np.datetime64)})

    def _row_ranges(self, stats: SimpleStats, keys: tuple[str, ...], *, exact: bool) -> dict[str, Range]:
        """The ranges of all columns of a row of statistics. exact: null counts are counts of rows."""
        kinds = self._types(keys)
        try:
            low, high = (decode_row(row, kinds) for row in (stats.min_values, stats.max_values))
        except ValueError:
            return {}
        ranges: dict[str, Range] = {}
        for i, key in enumerate(keys):
            nulls = stats.null_counts[i] if stats.null_counts and len(stats.null_counts) == len(keys) else None
            if isinstance(low[i], np.datetime64):
                continue
            if low[i] is not None and high[i] is not None and not (exact and nulls is None):
                ranges[key] = (unpadded(low[i], kinds[i]), high[i], nulls, (nulls or 0) + 1)
        return ranges

    def _types(self, names: tuple[str, ...]) -> list[DataType]:
        return [self._table.schema.field(name).type for name in names]

    def _wanted_buckets(self, total_buckets: int) -> set[int] | None:
        """The buckets that rows with the wanted bucket keys lie in; None: any."""
        assert self._predicate is not None
        keys = self._table.schema.bucket_keys
        wanted = equalities(self._predicate)
        function = self._table.options.get("bucket-function.type", "default")
        if not keys or any(key not in wanted for key in keys) or function not in _BUCKET_FUNCTIONS:
            return None
        types = self._types(keys)
        # 0.0 and -0.0 are equal, but lie in different buckets
        if any(kind.root in _FLOATS for kind in types) or np.prod([len(wanted[k]) for k in keys]) > COMBINATIONS_MAX:
            return None
        rows = list(zip(*product(*(wanted[key] for key in keys)), strict=True))
        if not rows:
            return set()
        try:
            arrays = [pa.array(values, to_arrow(kind)) for values, kind in zip(rows, types, strict=True)]
        except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError):
            return None
        return _BUCKET_FUNCTIONS[function](arrays, types, total_buckets)


@dataclass(frozen=True, slots=True)
class _Place:
    """Where the statistics of a column are: field `index` of `count` (None: the file lacks the column), then of `type`.

    ordered: whether their bounds can be believed; otherwise only the number of NULLs is.
    """

    index: int | None
    count: int
    type: DataType
    ordered: bool


def _places(table: Table, file: DataFileMeta, wanted: Collection[str]) -> dict[str, _Place]:
    """The places of the wanted columns, by their names of today, in the statistics of all files of this form."""
    written = table.schemas.schema(file.schema_id)
    counted = next(c for c in (file.value_stats_cols, file.write_cols, written.names) if c is not None)
    by_id = {field.id: field for field in written.fields}
    places: dict[str, _Place] = {}
    for now in table.schema.fields:
        if now.name not in wanted:
            continue
        old = by_id.get(now.id)
        if old is None or (file.write_cols is not None and old.name not in file.write_cols):
            places[now.name] = _Place(None, 0, now.type, ordered=False)
        elif old.name in counted and _keeps_order(old.type, now.type):
            # writers differ in where they put NaN and infinities, and a Python time ends at microseconds
            ordered = old.type.root not in _FLOATS and not is_wide_timestamp(old.type)
            places[now.name] = _Place(counted.index(old.name), len(counted), old.type, ordered)
    return places


def _keeps_order(old: DataType, new: DataType) -> bool:
    """Whether a value cast from the old type to the new one is where it was among the others."""
    if old.with_nullable(True) == new.with_nullable(True):
        return True
    if old.root in _INTEGERS and new.root in _INTEGERS:
        return _INTEGERS.index(old.root) <= _INTEGERS.index(new.root)
    return old.root is new.root is TypeRoot.VARCHAR and old.length <= new.length


def file_index(table: Table, file: DataFileMeta, directory: str | None) -> FileIndex | None:
    """The indexes of a data file. directory: where those beside it are looked for; None: nowhere."""
    name = next((name for name in file.extra_files if name.endswith(".index")), None)
    if file.embedded_file_index is None and (name is None or directory is None):
        return None
    fields = {field.name: field for field in table.schemas.schema(file.schema_id).fields}
    if file.embedded_file_index is not None:
        return FileIndex(file.embedded_file_index, fields, f"the manifest entry of {file.file_name}")
    assert directory is not None
    path = f"{file.directory(directory)}/{name}"
    try:
        data = table.file_io.read_bytes(path)
    except FileNotFoundError as err:
        raise CorruptFile(f"file index {path} is missing") from err
    return FileIndex(data, fields, path)


def _by_hash(arrays: list[pa.Array], types: list[DataType], total_buckets: int) -> set[int]:
    return {int(bucket) for bucket in bucket_of(hash_rows(arrays, types), total_buckets)}


def _by_remainder(arrays: list[pa.Array], types: list[DataType], total_buckets: int) -> set[int]:
    values = np.asarray(arrays[0].drop_null().cast(pa.int64()).to_numpy())
    return {int(value) for value in np.mod(values, total_buckets)}


_BUCKET_FUNCTIONS: Mapping[str | None, Callable[[list[pa.Array], list[DataType], int], set[int]]] = {
    "default": _by_hash,
    "mod": _by_remainder,
}

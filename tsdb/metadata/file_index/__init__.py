"""Indexes of single data files, by which whole files are passed over: which types there are, and how they are asked.

An index lies in the manifest entry of its file or beside the file, and never changes. It may only rule out; whatever it
does not know may match. Adding a type is a module with a reader (and a writer) and a line in `INDEX_TYPES`.
Source: Paimon, `FileIndexFormat`, `FileIndexPredicate`.
"""

import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import pyarrow as pa

from tsdb.data_types import DataField, DataType, TypeRoot, to_arrow
from tsdb.errors import ColumnNotFound, CorruptFile, NotSupportedError, OptionError, nearest
from tsdb.metadata.file_index import bit_slices, bloom_filter
from tsdb.metadata.file_index.bit_slices import BitSliceReader, BitSliceWriter
from tsdb.metadata.file_index.bitmap import BitmapReader, BitmapWriter
from tsdb.metadata.file_index.bloom_filter import BloomFilterReader, BloomFilterWriter
from tsdb.metadata.file_index.container import decode, encode
from tsdb.metadata.file_index.physical import FLOATS, key_codec, physical
from tsdb.metadata.file_index.range_bitmap import RangeBitmapReader, RangeBitmapWriter
from tsdb.metadata.predicate import And, Comparison, Or, Predicate

_PREFIX = "file-index."
_TIMES = (TypeRoot.TIME, TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ)
_PLAIN = ("file-index.in-manifest-threshold", "file-index.read.enabled")


class IndexWriter(Protocol):
    """Gathers the values of one column of one file."""

    def add(self, values: pa.Array) -> None:
        """The next rows. values: as `physical` gives them."""
        ...

    def finish(self) -> bytes | None:
        """The index of all rows; None if they cannot have one."""
        ...


class IndexReader(Protocol):
    """Knows something about the values of one column of one file."""

    def may_match(self, op: str, values: pa.Array) -> bool:
        """Whether a row may be there for which the comparison (as in `Comparison`) is true. values: as `physical` gives
        them, none NULL.
        """
        ...


@dataclass(frozen=True, slots=True)
class IndexType:
    """One kind of index. supports: which columns can have it. check: raises OptionError for options of a column."""

    reader: Callable[[bytes, DataType], IndexReader]
    writer: Callable[[DataType, Mapping[str, str]], IndexWriter]
    supports: Callable[[DataType], bool]
    check: Callable[[Mapping[str, str]], None] = lambda options: None


def _is_listable(kind: DataType) -> bool:
    return kind.root is not TypeRoot.DECIMAL and key_codec(kind) is not None


def _is_ordered(kind: DataType) -> bool:
    is_wide = kind.root in (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ) and kind.precision > 6
    return key_codec(kind) is not None and not is_wide


INDEX_TYPES: Mapping[str, IndexType] = {
    "bloom-filter": IndexType(BloomFilterReader, BloomFilterWriter, bloom_filter.supports, bloom_filter.check_options),
    "bitmap": IndexType(BitmapReader, BitmapWriter, _is_listable),
    "range-bitmap": IndexType(RangeBitmapReader, RangeBitmapWriter, _is_ordered),
    "bsi": IndexType(BitSliceReader, BitSliceWriter, bit_slices.supports),
}


@dataclass(frozen=True, slots=True)
class WantedIndex:
    """An index that new files get."""

    column: str
    kind: str
    options: Mapping[str, str]


def wanted_indexes(options: Mapping[str, str], fields: Sequence[DataField]) -> list[WantedIndex]:
    """What 'file-index.<type>.columns' asks for. Raises for what is no index, no column, or cannot be written."""
    by_name = {field.name: field for field in fields}
    wanted: list[WantedIndex] = []
    for key, value in options.items():
        if not key.startswith(_PREFIX) or key in _PLAIN:
            continue
        name, _, rest = key.removeprefix(_PREFIX).partition(".")
        if name not in INDEX_TYPES:
            raise OptionError(f"'{key}': there is no index '{name}'.{nearest(name, list(INDEX_TYPES))}")
        if rest != "columns":
            continue
        for column in filter(None, (part.strip() for part in value.split(","))):
            prefix = f"{_PREFIX}{name}.{column}."
            own = {k.removeprefix(prefix): v for k, v in options.items() if k.startswith(prefix)}
            _check(key, column, name, by_name, own)
            wanted.append(WantedIndex(column, name, own))
    return wanted


def _check(key: str, column: str, name: str, fields: Mapping[str, DataField], options: Mapping[str, str]) -> None:
    if column not in fields:
        if column.endswith("]"):
            raise NotSupportedError(f"'{key}' = '{column}': indexes of values in a map are not supported yet")
        raise ColumnNotFound(f"'{key}': there is no column `{column}`.{nearest(column, list(fields))}")
    index, kind = INDEX_TYPES[name], fields[column].type
    if not index.supports(kind):
        raise NotSupportedError(f"'{key}': a column of type {kind.sql()}, as `{column}` is, has no index '{name}'")
    index.check(options)


class FileIndexWriter:
    """Gathers all indexes of one data file while its rows pass."""

    def __init__(self, wanted: Sequence[WantedIndex], fields: Sequence[DataField]) -> None:
        types = {field.name: field.type for field in fields}
        self._writers: list[tuple[WantedIndex, DataType, IndexWriter]] = []
        for index in wanted:
            kind = types[index.column]
            self._writers.append((index, kind, INDEX_TYPES[index.kind].writer(kind, index.options)))

    def add(self, table: pa.Table) -> None:
        """The next rows."""
        for index, kind, writer in self._writers:
            for chunk in table[index.column].chunks:
                writer.add(physical(chunk.cast(to_arrow(kind)), kind))

    def finish(self) -> bytes | None:
        """The container of the indexes; None if none is wanted."""
        found: dict[str, dict[str, bytes]] = {}
        for index, _, writer in self._writers:
            data = writer.finish()
            if data is not None:
                found.setdefault(index.column, {})[index.kind] = data
        return encode(found) if found else None


class FileIndex:
    """The indexes of one data file. fields: the columns that they are of, by their names in the file."""

    def __init__(self, data: bytes, fields: Mapping[str, DataField], path: str) -> None:
        """path: of what holds the bytes, for messages. Raises CorruptFile."""
        self.kinds: set[tuple[str, str]] = set()  # of a column and a type each
        self._readers: dict[str, list[IndexReader]] = {}
        self._types: dict[str, DataType] = {}
        try:
            for column, kinds in decode(data).items():
                self.kinds |= {(column, kind) for kind in kinds}
                if column in fields:
                    self._types[column] = fields[column].type
                    self._readers[column] = [
                        INDEX_TYPES[kind].reader(index, fields[column].type)
                        for kind, index in kinds.items()
                        if kind in INDEX_TYPES
                    ]
        except (struct.error, ValueError, IndexError) as err:
            raise CorruptFile(f"the file index in {path} cannot be read: {err}") from err

    def may_match(self, predicate: Predicate, names: Mapping[str, str]) -> bool:
        """Whether a row may match. names: a column's name in the file by its name in the predicate, for those that are
        today what they were.
        """
        match predicate:
            case And(children):
                return all(self.may_match(child, names) for child in children)
            case Or(children):
                return any(self.may_match(child, names) for child in children)
            case Comparison(op, column, values):
                return self._comparison(op, names.get(column, ""), values)

    def _comparison(self, op: str, column: str, values: tuple[Any, ...]) -> bool:
        readers = self._readers.get(column)
        if not readers:
            return True
        kind = self._types[column]
        wanted = _wanted(op, values, kind)
        return wanted is None or all(reader.may_match(op, wanted) for reader in readers)


def _wanted(op: str, values: tuple[Any, ...], kind: DataType) -> pa.Array | None:
    """The constants as `physical` gives them; None if an index of the type must not judge the comparison."""
    if op in ("is null", "is not null"):
        return pa.nulls(0)
    if op == "starts with":
        return None
    if kind.root in FLOATS and (op not in ("=", "in") or any(value == 0 or value != value for value in values)):
        return None  # engines disagree on the order of NaN, and on whether -0.0 is 0.0
    coarse = kind.precision > (3 if kind.root is TypeRoot.TIME else 6) and kind.root in _TIMES
    if coarse and op not in ("=", "in"):
        return None
    try:
        array = pa.array(values, to_arrow(kind))
        return physical(array, kind) if array.to_pylist() == list(values) else None
    except (pa.ArrowInvalid, pa.ArrowTypeError, OverflowError, TypeError):
        return None

"""Avro data files are read, as compaction-free buckets (postponed ones) and some tables have them.

Avro lies row by row, so rows pass through Python objects here: fit for small files, an order of magnitude slower than
Parquet. Paimon marks TIMESTAMP as `timestamp-…` and TIMESTAMP_LTZ as `local-timestamp-…`, the reverse of what Avro
means by them; both are counted from the epoch, so only the table's type decides.
Source: Paimon, `AvroSchemaConverter`; checked against files written by Paimon Java.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

import fastavro
import pyarrow as pa

from tsdb.data_types import DataField, DataType, TypeRoot, arrow_schema
from tsdb.errors import CorruptFile
from tsdb.format import avro_snappy as _snappy  # noqa: F401  # tells fastavro of the codec
from tsdb.fs.file_io import FileIO
from tsdb.options import NO_OPTIONS, TableOptions

BATCH_ROWS = 1 << 14


def read_avro(
    file_io: FileIO, path: str, fields: Sequence[DataField], options: TableOptions = NO_OPTIONS
) -> Iterator[pa.RecordBatch]:
    """The rows in order, with the columns named by `fields`; NULL for what the file lacks. Raises CorruptFile."""
    schema = arrow_schema([DataField(f.id, f.name, f.type.with_nullable(True)) for f in fields])
    converters = [_converter(f.type) for f in fields]
    try:
        source = file_io.open_input(path)
    except FileNotFoundError as err:
        raise CorruptFile(f"data file {path} is missing") from err
    with source:
        try:
            records = iter(fastavro.reader(source))
            while rows := list(islice(records, BATCH_ROWS)):
                yield _batch(rows, schema, converters)
        except Exception as err:  # fastavro raises whatever a damaged byte leads to; all of it means the same here
            raise CorruptFile(f"data file {path} cannot be read: {type(err).__name__}: {err}") from err


Converter = Callable[[Any], Any]


def _batch(rows: Sequence[Any], schema: pa.Schema, converters: Sequence[Converter | None]) -> pa.RecordBatch:
    arrays = []
    for field, convert in zip(schema, converters, strict=True):
        values = [row.get(field.name) for row in rows]
        if convert is not None:
            values = [None if value is None else convert(value) for value in values]
        arrays.append(pa.array(values, field.type))
    if not arrays:
        return pa.RecordBatch.from_struct_array(pa.StructArray.from_buffers(pa.struct([]), len(rows), [None]))
    return pa.RecordBatch.from_arrays(arrays, schema=schema)


def _converter(kind: DataType) -> Converter | None:
    """What turns fastavro's value into one that Arrow takes; None: it is one. Only maps are not, wherever they are."""
    if kind.root in (TypeRoot.MAP, TypeRoot.MULTISET):
        key, value = kind.key or kind.element, kind.value
        return _map_converter(*(None if part is None else _converter(part) for part in (key, value)))
    if kind.root is TypeRoot.ARRAY and kind.element is not None:
        inner = _converter(kind.element)
        return None if inner is None else lambda values: [_apply(inner, v) for v in values]
    if kind.root is TypeRoot.ROW:
        members = {f.name: convert for f in kind.fields if (convert := _converter(f.type)) is not None}
        if members:
            return lambda row: {name: _apply(members.get(name), v) for name, v in row.items()}
    return None


def _map_converter(key: Converter | None, value: Converter | None) -> Converter:
    """A map whose keys are no strings is an array of records of `key` and `value`."""

    def convert(found: Any) -> list[tuple[Any, Any]]:
        pairs = found.items() if isinstance(found, Mapping) else [(entry["key"], entry["value"]) for entry in found]
        return [(_apply(key, k), _apply(value, v)) for k, v in pairs]

    return convert


def _apply(convert: Converter | None, value: Any) -> Any:
    return value if convert is None or value is None else convert(value)

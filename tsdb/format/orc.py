"""ORC data files, written and read stripe by stripe.

TIMESTAMP is wall-clock time. TIMESTAMP_LTZ is an instant where 'orc.timestamp-ltz.legacy.type' is 'false', as CREATE
TABLE sets it. Else Paimon shifts it by the time zone of the JVM that writes, which is noted in each stripe. Java's own
ORC library garbles times before the Gregorian calendar and in the last second before 1970; as they are in the file,
they are read. Arrow writes fractions of a second before 1970 as negative ones, of which Java takes whole milliseconds
only: what it would not take is refused.
Source: Paimon, `OrcTypeUtil`, `FieldWriterFactory`; checked against files written by Paimon Java under two time zones.
"""

from collections.abc import Iterable, Iterator, Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import orc

from tsdb.data_types import DataField, DataType, TypeRoot, arrow_schema, to_arrow
from tsdb.errors import CorruptFile, NotSupportedError
from tsdb.format.orc_zone import stripe_zones
from tsdb.format.steady_sink import SteadySink
from tsdb.format.time_range import check_milliseconds_before_1970, check_nanoseconds
from tsdb.fs.file_io import FileIO
from tsdb.nested_nulls import with_hidden_values
from tsdb.options import TableOptions, parse_size

CODECS = {"zstd": "zstd", "zlib": "zlib", "snappy": "snappy", "lz4": "lz4", "none": "uncompressed"}
LEGACY_LTZ = "orc.timestamp-ltz.legacy.type"
_UNREAD = "which others would not read right from an ORC file; use 'file.format' = 'parquet' or 'avro'"
_STRIPE_BYTES = 64 << 20
_ID = {b"PARQUET:field_id": b"paimon.id"}


def write_orc(
    file_io: FileIO, path: str, batches: Iterable[pa.RecordBatch], schema: pa.Schema, options: TableOptions
) -> int:
    """A new file of the batches, which have the columns of `schema`; returns its size in bytes.

    On an exception the file may be there in part: the caller deletes it. Raises DataError for a time out of range.
    """
    codec = CODECS[(options.get("file.compression") or "zstd").lower()]
    block_size = options.get("file.block-size")
    stripe_size = _STRIPE_BYTES if block_size is None else parse_size(block_size, "file.block-size")
    target = pa.schema([_stored_field(field) for field in schema])
    with file_io.open_output(path) as file:
        sink = SteadySink(file)
        with (
            pa.PythonFile(sink, mode="w") as target_file,
            orc.ORCWriter(target_file, compression=codec, stripe_size=stripe_size) as writer,
        ):
            for batch in batches:
                table = pa.Table.from_batches([batch])
                check_nanoseconds(table, _UNREAD)
                check_milliseconds_before_1970(table, _UNREAD)
                sink.check()
                writer.write(table.cast(target))
        sink.check()
        return int(file.tell())


def _stored_field(field: pa.Field) -> pa.Field:
    metadata = {_ID[key]: value for key, value in (field.metadata or {}).items() if key in _ID}
    return pa.field(field.name, _stored_type(field.type), field.nullable, metadata)


def _stored_type(kind: pa.DataType) -> pa.DataType:
    """The type in the file: ORC has no time of day."""
    if pa.types.is_time(kind):
        return pa.int32()
    if pa.types.is_map(kind):
        return pa.map_(_stored_field(kind.key_field), _stored_field(kind.item_field))
    if pa.types.is_list(kind):
        return pa.list_(_stored_field(kind.value_field))
    if pa.types.is_struct(kind):
        return pa.struct([_stored_field(field) for field in kind])
    return kind


def read_orc(
    file_io: FileIO, path: str, fields: Sequence[DataField], options: TableOptions
) -> Iterator[pa.RecordBatch]:
    """The rows in order, a batch a stripe, with the columns named by `fields`; NULL for what the file lacks.

    Raises CorruptFile naming the file, NotSupportedError for TIMESTAMP_LTZ of a writer whose zone is not known.
    """
    try:
        with file_io.open_input(path) as source:
            has_instants = any(_has(TypeRoot.TIMESTAMP_LTZ, f.type) for f in fields)
            shifted = has_instants and options.get(LEGACY_LTZ, "true") != "false"
            zones = stripe_zones(source) if shifted else []
            yield from _stripes(orc.ORCFile(source), fields, zones if shifted else None, path)
    except FileNotFoundError as err:
        raise CorruptFile(f"data file {path} is missing") from err
    except (pa.ArrowException, OSError, ValueError, IndexError, KeyError) as err:
        raise CorruptFile(f"data file {path} cannot be read: {err}") from err


def _stripes(
    file: orc.ORCFile, fields: Sequence[DataField], zones: Sequence[str | None] | None, path: str
) -> Iterator[pa.RecordBatch]:
    """zones: in which each stripe's TIMESTAMP_LTZ was written; None: they are instants."""
    schema = arrow_schema([DataField(f.id, f.name, f.type.with_nullable(True)) for f in fields])
    names = [name for name in schema.names if name in file.schema.names]
    for i in range(file.nstripes):
        # without a column of its own, a stripe still says how many rows it has
        stripe = file.read_stripe(i, names or file.schema.names[:1])
        columns = []
        for field, arrow in zip(fields, schema.types, strict=True):
            if field.name not in names:
                columns.append(pa.nulls(stripe.num_rows, arrow))
                continue
            array = stripe.column(field.name)
            if zones is not None and _has(TypeRoot.TIMESTAMP_LTZ, field.type):
                zone = zones[i] if i < len(zones) else None
                array = _unshifted(array, _known(zone, field, path))
            columns.append(_column(array, field))
        yield pa.RecordBatch.from_arrays(columns, schema=schema) if columns else stripe.select([])


def _known(zone: str | None, field: DataField, path: str) -> str:
    if zone is None:
        raise NotSupportedError(
            f"column `{field.name}` of ORC file {path} is TIMESTAMP_LTZ, whose values depend on the time zone of "
            f"the writer, which the file does not tell; leave the column out, or rewrite the table as Parquet"
        )
    return zone


def _unshifted(array: pa.Array, zone: str) -> pa.Array:
    """The instants, from the ones whose wall-clock time in the zone of the writer is that of the instants in UTC."""
    if zone in ("UTC", "GMT", "Etc/UTC"):
        return array
    kind = array.type
    if pa.types.is_timestamp(kind):
        return array if kind.tz is None else pc.local_timestamp(array.cast(pa.timestamp(kind.unit, zone))).cast(kind)
    raise NotSupportedError(
        f"TIMESTAMP_LTZ inside of {kind} in an ORC file that was written in {zone} cannot be read; "
        f"rewrite the table as Parquet"
    )


def _column(array: pa.Array, field: DataField) -> pa.Array:
    """ORC pads CHAR with spaces; Java takes them off again."""
    kind = to_arrow(field.type)
    array = with_hidden_values(array, kind).cast(kind, safe=False)
    return _unpadded(array, field.type) if _has(TypeRoot.CHAR, field.type) else array


def _unpadded(array: pa.Array, kind: DataType) -> pa.Array:
    """kind: CHAR, or something with CHAR in it."""
    if kind.root is TypeRoot.CHAR:
        return pc.utf8_rtrim(array, " ")
    parts = kind.fields or [part for part in (kind.element, kind.key, kind.value) if part is not None]
    kinds = [part.type if isinstance(part, DataField) else part for part in parts]
    mask = array.is_null() if array.null_count else None
    if kind.root is TypeRoot.ROW:
        members = [_inner(array.field(i), part) for i, part in enumerate(kinds)]
        return pa.StructArray.from_arrays(members, fields=list(array.type), mask=mask)
    array = array.take(pa.array(np.arange(len(array))))  # a slice has offsets and values of rows that are not in it
    if kind.root is TypeRoot.ARRAY:
        return pa.ListArray.from_arrays(array.offsets, _inner(array.values, kinds[0]), array.type, mask=mask)
    items = _inner(array.items, kinds[1]) if kind.root is TypeRoot.MAP else array.items
    return pa.MapArray.from_arrays(array.offsets, _inner(array.keys, kinds[0]), items, array.type, mask=mask)


def _inner(array: pa.Array, kind: DataType) -> pa.Array:
    return _unpadded(array, kind) if _has(TypeRoot.CHAR, kind) else array


def _has(root: TypeRoot, kind: DataType) -> bool:
    """Whether it is, or has in it, a type of that kind."""
    parts = [p for p in (kind.element, kind.key, kind.value, *(f.type for f in kind.fields)) if p is not None]
    return kind.root is root or any(_has(root, p) for p in parts)

"""ORC data files, read stripe by stripe. tsdb writes none.

TIMESTAMP is wall-clock time. TIMESTAMP_LTZ is refused: Paimon shifts it by the time zone of the JVM that writes, which
the file does not tell. Java's own ORC library garbles times before the Gregorian calendar and in the last second
before 1970; as they are in the file, they are read.
Source: Paimon, `OrcTypeUtil`; checked against files written by Paimon Java under two time zones.
"""

from collections.abc import Iterator, Sequence

import pyarrow as pa
import pyarrow.compute as pc
from pyarrow import orc

from tsdb.data_types import DataField, DataType, TypeRoot, arrow_schema, to_arrow
from tsdb.errors import CorruptFile, NotSupportedError
from tsdb.fs.file_io import FileIO


def read_orc(file_io: FileIO, path: str, fields: Sequence[DataField]) -> Iterator[pa.RecordBatch]:
    """The rows in order, a batch a stripe, with the columns named by `fields`; NULL for what the file lacks.

    Raises CorruptFile naming the file, NotSupportedError for TIMESTAMP_LTZ.
    """
    for field in fields:
        if _has_ltz(field.type):
            raise NotSupportedError(
                f"column `{field.name}` of ORC file {path} is TIMESTAMP_LTZ, whose values depend on the time zone of "
                f"the writer, which the file does not tell; leave the column out, or rewrite the table as Parquet"
            )
    try:
        with file_io.open_input(path) as source:
            yield from _stripes(orc.ORCFile(source), fields)
    except FileNotFoundError as err:
        raise CorruptFile(f"data file {path} is missing") from err
    except (pa.ArrowException, OSError) as err:
        raise CorruptFile(f"data file {path} cannot be read: {err}") from err


def _stripes(file: orc.ORCFile, fields: Sequence[DataField]) -> Iterator[pa.RecordBatch]:
    schema = arrow_schema([DataField(f.id, f.name, f.type.with_nullable(True)) for f in fields])
    names = [name for name in schema.names if name in file.schema.names]
    for i in range(file.nstripes):
        # without a column of its own, a stripe still says how many rows it has
        stripe = file.read_stripe(i, names or file.schema.names[:1])
        columns = [
            _column(stripe.column(field.name), field) if field.name in names else pa.nulls(stripe.num_rows, arrow)
            for field, arrow in zip(fields, schema.types, strict=True)
        ]
        yield pa.RecordBatch.from_arrays(columns, schema=schema) if columns else stripe.select([])


def _column(array: pa.Array, field: DataField) -> pa.Array:
    """ORC pads CHAR with spaces; Java takes them off again."""
    array = array.cast(to_arrow(field.type), safe=False)
    return pc.utf8_rtrim(array, " ") if field.type.root is TypeRoot.CHAR else array


def _has_ltz(kind: DataType) -> bool:
    parts = [p for p in (kind.element, kind.key, kind.value, *(f.type for f in kind.fields)) if p is not None]
    return kind.root is TypeRoot.TIMESTAMP_LTZ or any(_has_ltz(p) for p in parts)

"""File formats of data files. What a file is follows from the end of its name, never from an option of the table."""

from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa

from tsdb.data_types import DataField
from tsdb.errors import NotSupportedError
from tsdb.format.avro import read_avro
from tsdb.format.orc import read_orc
from tsdb.format.parquet import read_parquet
from tsdb.fs.file_io import FileIO

Reader = Callable[[FileIO, str, Sequence[DataField]], Iterator[pa.RecordBatch]]

READERS: Mapping[str, Reader] = {"parquet": read_parquet, "orc": read_orc, "avro": read_avro}


def read_columns(file_io: FileIO, path: str, fields: Sequence[DataField]) -> Iterator[pa.RecordBatch]:
    """The rows of a data file in order, with the columns that `fields` name, typed as they say; NULL if it lacks one.

    Raises CorruptFile naming the file, NotSupportedError for a format that cannot be read.
    """
    extension = path.rsplit(".", 1)[-1]
    if extension not in READERS:
        known = ", ".join(READERS)
        raise NotSupportedError(f"data file {path} is neither of {known}, so it cannot be read")
    return READERS[extension](file_io, path, fields)

"""File formats of data files. What a file is follows from the end of its name, never from an option of the table."""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass

import pyarrow as pa

from tsdb.data_types import DataField
from tsdb.errors import NotSupportedError
from tsdb.format import avro_writer, orc, parquet
from tsdb.format.avro import read_avro
from tsdb.format.avro_writer import write_avro
from tsdb.format.orc import read_orc, write_orc
from tsdb.format.parquet import read_parquet, write_parquet
from tsdb.fs.file_io import FileIO
from tsdb.options import NO_OPTIONS, TableOptions

Reader = Callable[[FileIO, str, Sequence[DataField], TableOptions], Iterator[pa.RecordBatch]]
Writer = Callable[[FileIO, str, Iterable[pa.RecordBatch], pa.Schema, TableOptions], int]


@dataclass(frozen=True, slots=True)
class Format:
    """A format. codecs: what 'file.compression' may be."""

    name: str
    read: Reader
    write: Writer
    codecs: tuple[str, ...]


FORMATS: Mapping[str, Format] = {
    known.name: known
    for known in (
        Format("parquet", read_parquet, write_parquet, parquet.CODECS),
        Format("orc", read_orc, write_orc, tuple(orc.CODECS)),
        Format("avro", read_avro, write_avro, tuple(avro_writer.CODECS)),
    )
}


def read_columns(
    file_io: FileIO, path: str, fields: Sequence[DataField], options: TableOptions = NO_OPTIONS
) -> Iterator[pa.RecordBatch]:
    """The rows of a data file in order, with the columns that `fields` name, typed as they say; NULL if it lacks one.

    Raises CorruptFile naming the file, NotSupportedError for a format that cannot be read.
    """
    extension = path.rsplit(".", 1)[-1]
    if extension not in FORMATS:
        known = ", ".join(FORMATS)
        raise NotSupportedError(f"data file {path} is neither of {known}, so it cannot be read")
    return FORMATS[extension].read(file_io, path, fields, options)

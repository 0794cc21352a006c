"""Avro object containers of metadata: written whole, read whole; fields are matched by name, never by place.

Source: Paimon, `ObjectsFile`; other writers wrap the record in a union or leave out the newest fields.
"""

import gc
import io
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any, TypeVar

import fastavro

from tsdb.errors import CorruptFile
from tsdb.fs.file_io import FileIO

Record = dict[str, Any]
T = TypeVar("T")


DEFAULT_CODEC = "zstandard"
"""Of Avro's names for compressions."""


def write_records(
    file_io: FileIO, path: str, schema: Any, records: Iterable[Record], codec: str = DEFAULT_CODEC
) -> int:
    """A new file of the records; returns its size in bytes."""
    buffer = io.BytesIO()
    fastavro.writer(buffer, schema, records, codec=codec)
    data = buffer.getvalue()
    file_io.write_bytes(path, data)
    return len(data)


def read_records(file_io: FileIO, path: str, what: str, decode: Callable[[Record], T]) -> list[T]:
    """Every record of a file, decoded. Raises CorruptFile naming `what` and the file."""
    try:
        data = file_io.read_bytes(path)
    except FileNotFoundError as err:
        raise CorruptFile(f"{what} {path} is missing") from err
    try:
        records: Iterable[Any] = fastavro.reader(io.BytesIO(data))
        with _no_collection():
            return [decode(record) for record in records if record is not None]
    except Exception as err:  # fastavro raises whatever a damaged byte leads to; all of it means the same here
        raise CorruptFile(f"{what} {path} cannot be read: {type(err).__name__}: {err}") from err


@contextmanager
def _no_collection() -> Iterator[None]:
    """No garbage is looked for while very many objects are made, none of which is in a cycle: a third of the time."""
    paused = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        if paused:
            gc.enable()


def nullable(kind: Any) -> list[Any]:
    """The Avro type of a nullable field, null first, as Java writes it."""
    return ["null", kind]


def optional(name: str, kind: Any) -> Record:
    """A nullable field with default null."""
    return {"name": name, "type": nullable(kind), "default": None}


def record(name: str, *members: Record) -> Record:
    """A record type; nested names as Java makes them."""
    return {
        "type": "record",
        "name": name,
        **({"namespace": "org.apache.paimon.avro.generated"} if name == "record" else {}),
        "fields": list(members),
    }


def member(name: str, kind: Any) -> Record:
    """A required field."""
    return {"name": name, "type": kind}

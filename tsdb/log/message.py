"""Messages of a log: some rows of one snapshot and bucket with their kinds, as Arrow; and the mark at a snapshot's end.

Every message names its snapshot and the schema of its rows in headers. In each partition a snapshot ends with a message
of its own, so that a reader knows when it has all of it.
"""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.errors import OperationalError
from tsdb.kafka.client import Headers

_SNAPSHOT, _SCHEMA, _COMMIT, _END = "tsdb.snapshot", "tsdb.schema", "tsdb.commit", "tsdb.end"
_KIND = "_VALUE_KIND"
BYTES_MAX = 700_000
"""Of one message; brokers refuse those over a megabyte by default."""

Kinds = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Mark:
    """What the headers of a message say. commit: what tells the snapshot from another of that id, after a rollback.

    is_end: nothing more of this snapshot comes in this partition.
    """

    snapshot_id: int
    schema_id: int
    commit: str
    is_end: bool = False


def headers_of(mark: Mark) -> Headers:
    """The headers of a message."""
    numbers = ((_SNAPSHOT, mark.snapshot_id), (_SCHEMA, mark.schema_id), (_COMMIT, mark.commit))
    found: Headers = [(name, str(value).encode()) for name, value in numbers]
    return [*found, (_END, b"1")] if mark.is_end else found


def mark_of(headers: Headers) -> Mark | None:
    """The inverse; None for a message that is not one of a log."""
    found = {name: value or b"" for name, value in headers}
    snapshot_id, schema_id = found.get(_SNAPSHOT, b""), found.get(_SCHEMA, b"")
    if not (snapshot_id.isdigit() and schema_id.isdigit()):
        return None
    return Mark(int(snapshot_id), int(schema_id), found.get(_COMMIT, b"").decode(), _END in found)


def bodies(rows: pa.RecordBatch, kinds: Kinds) -> Iterator[bytes]:
    """The rows as bodies of at most BYTES_MAX. Raises OperationalError for a single row that is larger."""
    body = _body(rows, kinds)
    if len(body) <= BYTES_MAX:
        yield body
    elif rows.num_rows == 1:
        raise OperationalError(f"a row of {len(body)} bytes is too large for the log; messages hold {BYTES_MAX} bytes")
    else:
        middle = rows.num_rows // 2
        yield from bodies(rows.slice(0, middle), kinds[:middle])
        yield from bodies(rows.slice(middle), kinds[middle:])


def _body(rows: pa.RecordBatch, kinds: Kinds) -> bytes:
    whole = rows.append_column(_KIND, pa.array(kinds, pa.int8()))
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, whole.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as out:
        out.write_batch(whole)
    found: bytes = sink.getvalue().to_pybytes()
    return found


def rows_of(body: bytes) -> tuple[pa.Table, Kinds]:
    """The rows and kinds of a body."""
    with pa.ipc.open_stream(body) as stream:
        whole = stream.read_all()
    return whole.drop_columns([_KIND]), whole[_KIND].to_numpy().astype(np.int8)

"""Rows that are too large for the log of their table: refused before anything of them is written or seen.

What a row will be as a message is known when it is written, except where an engine makes another row of it
(`partial-update`, `aggregation`); a snapshot whose messages are too large all the same is marked in the topic.
Sizes are first bounded from above, column by column; only what may be too large is made a message of.
"""

from collections.abc import Iterable

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.changes import RowKind
from tsdb.kafka.client import MessageTooLarge, SizeLimits
from tsdb.log.format import CannotTell
from tsdb.log.topic import FRAME_BYTES, LogTopic
from tsdb.table.log import log_of, size_limits, writing_format
from tsdb.table.stream_scan import Kinds
from tsdb.table.table import Table

_GROWTH = {"arrow": 1.1, "avro": 1.1}
_GROWTH_OF_TEXT = 6.0
"""A control character of one byte is six in JSON."""

_COLUMN_BYTES = 400
"""Of a column beside its data: its name, a number as text, the frame of an Arrow message."""


def log_sizes(table: Table) -> "LogSizes | None":
    """For the writer of a table; None if it has no log."""
    log = log_of(table)
    return None if log is None else LogSizes(table, log)


class LogSizes:
    """Looks whether the rows of one writer fit into messages."""

    def __init__(self, table: Table, log: LogTopic) -> None:
        self._table = table
        self._log = log
        self._growth = _GROWTH.get(log.settings.format, _GROWTH_OF_TEXT)

    def check(self, rows: pa.Table, kinds: Kinds | None, first: int) -> None:
        """Whether each row fits into a message. first: the number of the first row, for messages.

        Raises MessageTooLarge for the first that does not; OperationalError if the broker is away.
        """
        base = sum(_COLUMN_BYTES + 4 * len(name) for name in rows.column_names)
        bound = _bytes(rows.itercolumns(), rows.num_rows) * self._growth + base
        at = np.flatnonzero(bound > size_limits(self._table, self._log).bytes_max - FRAME_BYTES)
        if kinds is not None:
            at = at[kinds[at] != RowKind.UPDATE_BEFORE]  # it is in the topic as what it was made
        if not at.size:
            return
        some = rows.take(pa.array(at)).combine_chunks().to_batches()[0]
        some_kinds = np.full(at.size, RowKind.INSERT, np.int8) if kinds is None else kinds[at]
        try:
            sizes = writing_format(self._table, self._log).sizes(some, some_kinds) + FRAME_BYTES
        except CannotTell:
            return  # nothing of it goes into messages
        limits = self._log.limits()
        if (sizes > limits.bytes_max).any():
            limits = size_limits(self._table, self._log, anew=True)  # it may have been raised since
            too_large = np.flatnonzero(sizes > limits.bytes_max)
            if too_large.size:
                place = int(too_large[0])
                raise MessageTooLarge(self._said(some, place, first + int(at[place]), int(sizes[place]), limits))

    def _said(self, rows: pa.RecordBatch, place: int, number: int, size: int, limits: SizeLimits) -> str:
        table, topic = self._table, self._log.settings.topic
        keys = table.schema.primary_keys
        named = [f"`{key}` = {_shown(rows.column(key)[place].as_py())}" for key in keys]
        which = f"the row with {', '.join(named)}" if keys else f"row {number}"
        return (
            f"table `{table.identifier}`: {which} is a message of {size:,} bytes in its log, and topic '{topic}' takes "
            f"{limits.bytes_max:,}; raise {_to_raise(size, limits, topic)}"
        )


def _to_raise(size: int, limits: SizeLimits, topic: str) -> str:
    of_topic, of_client = f"'max.message.bytes' of topic '{topic}'", "'kafka.max.request.size' of the table"
    if limits.topic is None or size <= limits.topic:
        return f"{of_client}, and if need be {of_topic}"
    return of_topic if size <= limits.client else f"{of_topic} and {of_client}"


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 40 else f"{text[:40]}…"


def _bytes(columns: Iterable[pa.ChunkedArray | pa.Array], count: int) -> npt.NDArray[np.float64]:
    """The bytes of the data of each row, at most; numbers count as their text, bytes as base64."""
    found = np.zeros(count)
    for column in columns:
        found += _column_bytes(column.combine_chunks() if isinstance(column, pa.ChunkedArray) else column)
    return found


def _column_bytes(column: pa.Array) -> npt.NDArray[np.float64]:
    kind = column.type
    if pa.types.is_dictionary(kind):
        return _column_bytes(column.dictionary_decode())
    if pa.types.is_struct(kind):
        names = sum(len(field.name) + 16 for field in kind)
        return np.asarray(_bytes(column.flatten(), len(column)) + names)
    if pa.types.is_map(kind):
        return _listed(column, _bytes((column.keys, column.items), len(column.keys)))
    if pa.types.is_list(kind) or pa.types.is_large_list(kind):
        return _listed(column, _column_bytes(column.values))
    if pa.types.is_string(kind) or pa.types.is_large_string(kind):
        return _lengths(column)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _lengths(column) * (4 / 3)
    return np.full(len(column), 40.0)


def _lengths(column: pa.Array) -> npt.NDArray[np.float64]:
    found: npt.NDArray[np.float64] = pc.binary_length(column).fill_null(0).to_numpy().astype(np.float64)
    return found


def _listed(column: pa.Array, items: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The sums of the items of each list."""
    ends = np.concatenate([[0.0], np.cumsum(items + 8)])
    offsets = column.offsets.to_numpy()
    found: npt.NDArray[np.float64] = ends[offsets[1:]] - ends[offsets[:-1]]
    return found

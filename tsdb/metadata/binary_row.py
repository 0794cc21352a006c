"""BinaryRow: Paimon's row of bytes, for partitions, keys and statistics in manifests, and for the bucket hash.

Layout, all little-endian: a null-bit area of whole 8-byte words (the first byte is a header, always 0 here; the bit of
field i is bit i + 8), then one 8-byte slot a field, then the variable parts, each padded to 8 bytes. Strings of up to 7
bytes lie in their slot; a longer one has its offset and length there. The serialized form puts the field count before
it, as a big-endian int32. Everything here works on whole columns; the hash never lays a row out.
Source: Paimon, `BinaryRow`, `BinaryRowWriter`; checked against vectors written by Paimon Java.
"""

import struct
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.data_types import DataType, to_arrow
from tsdb.metadata import murmur
from tsdb.metadata.binary_column import BinaryColumn, binary_column
from tsdb.metadata.binary_value import null_bytes, read_field, read_row
from tsdb.metadata.murmur import Rows, UInt64

Column = Any  # pa.Array or pa.ChunkedArray
_BLOCK = 1 << 14  # rows hashed at a time: the intermediate arrays stay in the cache


def hash_rows(columns: Sequence[Column], types: Sequence[DataType]) -> npt.NDArray[np.int32]:
    """The Murmur3 hash (seed 42) of the BinaryRow of each row. columns: of one length n; returns int32, length n."""
    count = len(columns[0])
    out = np.empty(count, np.int32)
    for begin in range(0, count, _BLOCK):
        block = [binary_column(_whole(c.slice(begin, _BLOCK)), t) for c, t in zip(columns, types, strict=True)]
        out[begin : begin + _BLOCK] = _hash(block)
    return out


def bucket_of(hashes: npt.NDArray[np.int32], buckets: int) -> npt.NDArray[np.int32]:
    """The bucket of each hash: |hash % buckets| with Java's remainder."""
    return (np.abs(hashes.astype(np.int64)) % buckets).astype(np.int32)


def encode_rows(columns: Sequence[Column], types: Sequence[DataType]) -> list[bytes]:
    """The serialized BinaryRow of each row."""
    if not columns:
        return [bytes(12)]
    if not len(columns[0]):
        return []
    fields = [binary_column(_whole(c), t) for c, t in zip(columns, types, strict=True)]
    words, starts, lengths = _lay_out(fields)
    data, prefix = words.tobytes(), struct.pack(">i", len(types))
    return [prefix + data[8 * s : 8 * (s + n)] for s, n in zip(starts.tolist(), lengths.tolist(), strict=True)]


def encode_row(values: Sequence[Any], types: Sequence[DataType]) -> bytes:
    """The serialized BinaryRow of Python values."""
    return encode_rows([array_of(v, to_arrow(t)) for v, t in zip(values, types, strict=True)], types)[0]


def array_of(value: Any, kind: pa.DataType) -> pa.Array:
    """An array of one Python value, as `decode_row` gives it."""
    if isinstance(value, np.datetime64):  # Arrow takes them for times without a zone only
        return pa.array([value], pa.timestamp("ns")).cast(kind)
    return pa.array([value], kind)


def decode_row(data: bytes, types: Sequence[DataType]) -> tuple[Any, ...]:
    """The Python values of a serialized BinaryRow (timestamps of more than six digits as datetime64; LTZ in UTC).

    Raises ValueError if it is none.
    """
    if len(data) < 12 or struct.unpack_from(">i", data)[0] != len(types):
        raise ValueError(f"not a row of {len(types)} fields: {data[:16].hex()}")
    try:
        return read_row(memoryview(data)[4:], types)
    except (struct.error, IndexError, OverflowError) as err:
        raise ValueError(f"not a row of {len(types)} fields: {err}") from err


def decode_field(data: bytes, count: int, index: int, kind: DataType) -> Any:
    """One value of a serialized BinaryRow of `count` fields, as `decode_row` gives it. Raises ValueError if it is
    none.
    """
    if len(data) < 12 or struct.unpack_from(">i", data)[0] != count:
        raise ValueError(f"not a row of {count} fields: {data[:16].hex()}")
    try:
        return read_field(memoryview(data)[4:], count, index, kind)
    except (struct.error, IndexError, OverflowError) as err:
        raise ValueError(f"not a row of {count} fields: {err}") from err


def _whole(column: Column) -> pa.Array:
    if not isinstance(column, pa.ChunkedArray):
        return column
    return column.chunk(0) if column.num_chunks == 1 else column.combine_chunks()


def _null_words(fields: Sequence[BinaryColumn]) -> list[UInt64]:
    words = [np.zeros(len(fields[0].slots), np.uint64) for _ in range(null_bytes(len(fields)) // 8)]
    for i, field in enumerate(fields):
        if field.nulls is not None:
            word, bit = divmod(i + 8, 64)
            words[word] |= field.nulls.astype(np.uint64) << np.uint64(bit)
    return words


def _slots(fields: Sequence[BinaryColumn], fixed_words: int) -> tuple[list[UInt64], list[Rows], Rows]:
    """The slots of each field, where its variable part begins in each row, and the length of each row, in words."""
    at = np.full(len(fields[0].slots), fixed_words, np.int64)
    slots, begins = [], []
    for field in fields:
        begins.append(at)
        if field.part is None:
            slots.append(field.slots)
            continue
        offset = (at * 8).astype(np.uint64) << np.uint64(32)
        slots.append(np.where(field.part.sizes > 0, offset | field.part.low, field.slots))
        at = at + field.part.sizes
    return slots, begins, at


def _hash(fields: Sequence[BinaryColumn]) -> npt.NDArray[np.int32]:
    states = murmur.begin(len(fields[0].slots))
    null_words = _null_words(fields)
    fixed_words = len(null_words) + len(fields)
    slots, _, lengths = _slots(fields, fixed_words)
    for words in (*null_words, *slots):
        murmur.mix(states, words)
    parts = [field.part for field in fields if field.part is not None]
    for part in parts:
        rows = np.arange(len(states)) if part.sizes.all() else np.flatnonzero(part.sizes)
        for j in range(int(part.sizes.max(initial=0))):
            if j:
                rows = rows[part.sizes[rows] > j]
            if len(rows) == len(states):
                murmur.mix(states, part.word(j, rows))
            else:
                murmur.mix_some(states, part.word(j, rows), rows)
    return murmur.finish(states, (8 * lengths).astype(np.uint32) if parts else 8 * fixed_words)


def _lay_out(fields: Sequence[BinaryColumn]) -> tuple[UInt64, Rows, Rows]:
    """All rows in one array of words; starts[i], lengths[i]: the words of row i."""
    null_words = _null_words(fields)
    slots, begins, lengths = _slots(fields, len(null_words) + len(fields))
    starts = np.cumsum(lengths) - lengths
    out = np.zeros(int(lengths.sum()), np.uint64)
    for i, words in enumerate([*null_words, *slots]):
        out[starts + i] = words
    for field, begin in zip(fields, begins, strict=True):
        if field.part is None:
            continue
        for j in range(int(field.part.sizes.max(initial=0))):
            rows = np.flatnonzero(field.part.sizes > j)
            out[starts[rows] + begin[rows] + j] = field.part.word(j, rows)
    return out, starts, lengths

"""Rows as identities: a stable 64-bit hash, equality and grouping of rows of any Arrow type, vectorised.

NULL equals NULL, NaN equals NaN and -0.0 equals 0.0, as when DataFusion groups (inside lists and structs it tells
-0.0 from 0.0, and so do we). Equal rows have equal hashes; rows with equal hashes are compared before they count as
equal. Integers of any width hash alike, and so do strings of any layout. Hashes are kept in checkpoints: changing a
constant here makes old checkpoints unreadable.

Source: the finaliser of MurmurHash3; multilinear hashing of sequences (Lemire and Kaser, Strongly universal string
hashing, 2014).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, TypeAlias

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

U64: TypeAlias = np.ndarray[Any, np.dtype[np.uint64]]
I64: TypeAlias = np.ndarray[Any, np.dtype[np.int64]]
Mask: TypeAlias = np.ndarray[Any, np.dtype[np.bool_]]

_NULL = np.uint64(0x9E3779B97F4A7C15)
_EMPTY = np.uint64(0xD1B54A32D192ED03)
_COMBINE = np.uint64(0x9FB21C651E98DF25)
_MIX_1 = np.uint64(0xFF51AFD7ED558CCD)
_MIX_2 = np.uint64(0xC4CEB9FE1A85EC53)
_SHIFT = np.uint64(33)

_PLAIN = frozenset(
    kind.id for kind in (pa.int8(), pa.int16(), pa.int32(), pa.int64(), pa.float64(), pa.timestamp("ms"), pa.date32())
)
_UNSIGNED = {1: np.uint8, 2: np.uint16, 4: np.uint32, 8: np.uint64}
_SIGNED = {1: np.int8, 2: np.int16, 4: np.int32, 8: np.int64}


def arrays(table: pa.Table, columns: Sequence[int] | None = None) -> list[pa.Array]:
    """The columns of a table (or those named by position), each as one array."""
    chosen = range(table.num_columns) if columns is None else columns
    return [_one_array(table.column(i)) for i in chosen]


def hash_rows(columns: Sequence[pa.Array], rows: int) -> U64:
    """One hash per row over all columns. rows: the length, needed when there are no columns."""
    if not columns:
        return np.full(rows, _EMPTY, np.uint64)
    hashes = _hash_column(columns[0], top=True)
    for column in columns[1:]:
        hashes = mix(hashes * _COMBINE + _hash_column(column, top=True))
    return hashes


def group_equal(columns: Sequence[pa.Array], rows: int) -> "RowGroups":
    """Group equal rows by a hash that is only looked at here: of a string its length, its begin and its end."""
    quick = np.full(rows, _EMPTY, np.uint64)
    for column in columns:
        quick = mix(quick * _COMBINE + _quick_hash(column))
    order, fresh = _by_hash(quick)
    again = np.flatnonzero(~fresh)
    if equal_rows(take(columns, order[again]), take(columns, order[again - 1]), len(again)).all():
        return RowGroups(order, np.flatnonzero(fresh))
    return group_rows(columns, hash_rows(columns, rows))


def mix(words: U64) -> U64:
    """MurmurHash3's finaliser, a bijection of 64-bit words; the input array is left as it is."""
    words = words ^ (words >> _SHIFT)
    words *= _MIX_1
    words ^= words >> _SHIFT
    words *= _MIX_2
    words ^= words >> _SHIFT
    return words


def equal_rows(left: Sequence[pa.Array], right: Sequence[pa.Array], rows: int) -> Mask:
    """Whether row i of left equals row i of right, over all columns."""
    same = np.ones(rows, np.bool_)
    for a, b in zip(left, right, strict=True):
        same &= _equal_column(a, b, top=True)
    return same


@dataclass(frozen=True, slots=True)
class RowGroups:
    """Equal rows side by side: `order` lists all rows group after group; group g begins at order[starts[g]]."""

    order: I64
    starts: I64

    @property
    def count(self) -> int:
        """How many groups."""
        return len(self.starts)

    @property
    def first(self) -> I64:
        """One row of each group."""
        return self.order[self.starts]

    def ids(self) -> I64:
        """The group of each row, in row order."""
        marks = np.zeros(len(self.order), np.int64)
        marks[self.starts[1:]] = 1
        ids = np.empty(len(self.order), np.int64)
        ids[self.order] = np.cumsum(marks)
        return ids

    def sum(self, values: np.ndarray) -> np.ndarray:
        """The sum of `values` (one per row) over each group, in the dtype of `values` (integers wrap)."""
        if not len(self.starts):
            return values[:0]
        return np.asarray(np.add.reduceat(values[self.order], self.starts))


def group_rows(columns: Sequence[pa.Array], hashes: U64) -> RowGroups:
    """Group equal rows. hashes: hash_rows of the columns. Groups come in the order of their hashes."""
    rows = len(hashes)
    order, fresh = _by_hash(hashes)
    starts = np.flatnonzero(fresh)
    if len(starts) == rows or hash_is_exact(columns):
        return RowGroups(order, starts)
    again = np.flatnonzero(~fresh)
    if equal_rows(take(columns, order[again]), take(columns, order[again - 1]), len(again)).all():
        return RowGroups(order, starts)
    return _split_collisions(columns, order, np.cumsum(fresh) - 1)


def hash_is_exact(columns: Sequence[pa.Array]) -> bool:
    """Whether different rows certainly have different hashes: one integer-like column without NULLs."""
    if len(columns) != 1:
        return False
    kind = columns[0].type
    integer = pa.types.is_integer(kind) or pa.types.is_temporal(kind) or pa.types.is_boolean(kind)
    return bool(integer and not pa.types.is_interval(kind) and columns[0].null_count == 0)


def take(columns: Sequence[pa.Array], rows: np.ndarray) -> list[pa.Array]:
    """The rows at these positions, of every column."""
    positions = pa.array(rows)
    return [column.take(positions) for column in columns]


def _by_hash(hashes: U64) -> tuple[I64, Mask]:
    """The rows by hash, and which of them begin another hash."""
    order = np.argsort(hashes)
    in_order = hashes[order]
    fresh = np.ones(len(order), np.bool_)
    np.not_equal(in_order[1:], in_order[:-1], out=fresh[1:])
    return order, fresh


def _split_collisions(columns: Sequence[pa.Array], order: I64, hash_group: I64) -> RowGroups:
    """Groups when different rows share a hash: compare with the first of each hash group, go on with what differs."""
    label = np.empty(len(order), np.int64)
    pending, groups = order, hash_group
    while len(pending):
        fresh = np.concatenate([[True], groups[1:] != groups[:-1]])
        leaders = np.repeat(pending[fresh], np.diff(np.append(np.flatnonzero(fresh), len(pending))))
        same = equal_rows(take(columns, pending), take(columns, leaders), len(pending))
        label[pending[same]] = leaders[same]
        pending, groups = pending[~same], groups[~same]
    by_label = np.argsort(label, kind="stable")
    sorted_label = label[by_label]
    starts = np.flatnonzero(np.concatenate([[True], sorted_label[1:] != sorted_label[:-1]]))
    return RowGroups(by_label, starts)


def _one_array(column: pa.ChunkedArray) -> pa.Array:
    if column.num_chunks == 1:
        return column.chunk(0)
    return pa.concat_arrays(column.chunks) if column.num_chunks else pa.array([], column.type)


def _null_mask(column: pa.Array) -> Mask | None:
    if column.null_count == 0:
        return None
    return np.asarray(column.is_null().to_numpy(zero_copy_only=False))


def _hash_column(column: pa.Array, *, top: bool) -> U64:
    column = _plain(column)
    kind = column.type
    if pa.types.is_null(kind):
        return np.full(len(column), _NULL, np.uint64)
    if pa.types.is_large_binary(kind):
        hashes = _hash_binary(column)
    elif pa.types.is_struct(kind):
        hashes = np.full(len(column), _EMPTY, np.uint64)
        for field in column.flatten():
            hashes = mix(hashes * _COMBINE + _hash_column(field, top=False))
    elif _is_list(kind):
        offsets, values = _list_parts(column)
        hashes = _hash_sequences(_hash_column(values, top=False), offsets)
    else:
        words = _words(column, top=top)
        hashes = mix(words[0])
        for word in words[1:]:
            hashes = mix(hashes * _COMBINE + word)
    nulls = _null_mask(column)
    if nulls is not None:
        hashes[nulls] = _NULL
    return hashes


def _quick_hash(column: pa.Array) -> U64:
    column = _plain(column)
    if not pa.types.is_large_binary(column.type):
        return _hash_column(column, top=True)
    starts, lengths, data = _binary_parts(column)
    behind = starts + np.maximum(lengths - _WORD, 0)
    ends = _word_at(data, starts, lengths)
    ends ^= mix(_word_at(data, behind, lengths) + lengths.astype(np.uint64))
    nulls = _null_mask(column)
    if nulls is not None:
        ends[nulls] = _NULL
    return ends


def _plain(column: pa.Array) -> pa.Array:
    """The same values in one of the few layouts the rest knows."""
    kind = column.type
    if kind.id in _PLAIN:
        return column
    if isinstance(kind, pa.BaseExtensionType):
        return _plain(column.storage)
    if pa.types.is_dictionary(kind):
        return _plain(column.dictionary_decode())
    if pa.types.is_string(kind) or pa.types.is_binary(kind) or pa.types.is_large_string(kind):
        return column.cast(pa.large_binary())
    if pa.types.is_string_view(kind) or pa.types.is_binary_view(kind):
        text = pa.string() if pa.types.is_string_view(kind) else pa.binary()
        return column.cast(text).cast(pa.large_binary())
    if pa.types.is_boolean(kind):
        return column.cast(pa.uint8())
    if pa.types.is_float16(kind) or pa.types.is_float32(kind):
        return column.cast(pa.float64())
    if pa.types.is_decimal(kind) and kind.bit_width < 128:
        return column.cast(pa.decimal128(kind.precision, kind.scale))
    if pa.types.is_map(kind):
        entry = pa.struct([pa.field("key", kind.key_type, False), pa.field("value", kind.item_type)])
        return column.cast(pa.list_(entry))
    return column


def _is_list(kind: pa.DataType) -> bool:
    return bool(pa.types.is_list(kind) or pa.types.is_large_list(kind) or pa.types.is_fixed_size_list(kind))


def _list_parts(column: pa.Array) -> tuple[I64, pa.Array]:
    """Offsets (length + 1, from 0) and the values that are in use; a NULL list is empty."""
    lengths = pc.list_value_length(column).fill_null(0).to_numpy(zero_copy_only=False).astype(np.int64)
    return np.concatenate([[0], np.cumsum(lengths)]), column.flatten()


def _words(column: pa.Array, *, top: bool) -> list[U64]:
    """Fixed-width values as 64-bit words; what lies under a NULL is undefined."""
    kind = column.type
    width = kind.byte_width if pa.types.is_fixed_size_binary(kind) else kind.bit_width // 8
    buffer = column.buffers()[1]
    if buffer is None or not len(column):
        return [np.zeros(len(column), np.uint64)] * max(1, width // 8)
    raw = np.frombuffer(buffer, np.uint8)[column.offset * width : (column.offset + len(column)) * width]
    if pa.types.is_floating(kind):
        floats = raw.view(np.float64)
        floats = floats + 0.0 if top else floats.copy()
        floats[np.isnan(floats)] = np.nan
        return [floats.view(np.uint64)]
    if width in _SIGNED and not pa.types.is_fixed_size_binary(kind):
        dtype: Any = _UNSIGNED[width] if pa.types.is_unsigned_integer(kind) else _SIGNED[width]
        return [raw.view(dtype).astype(np.int64).view(np.uint64)]
    padded = raw.reshape(len(column), width)
    if width % 8:
        padded = np.pad(padded, ((0, 0), (0, 8 - width % 8)))
    wide = np.ascontiguousarray(padded).view(np.uint64)
    return [wide[:, i] for i in range(wide.shape[1])]


def _hash_binary(column: pa.Array) -> U64:
    """Hash byte strings eight bytes at a time: the words of the zero-padded string, then its length.

    Word after word of all strings, which needs no padding; the few long strings are done by themselves.
    """
    starts, lengths, data = _binary_parts(column)
    sums = np.zeros(len(lengths), np.uint64)
    rows, at, rest = None, starts, lengths
    for number in range(_WORDS_IN_TURN):
        filled = rest > 0
        if not filled.all():
            rows = np.flatnonzero(filled) if rows is None else rows[filled]
            at, rest = at[filled], rest[filled]
        if not len(at):
            break
        words = mix(_word_at(data, at, rest))
        words *= _FACTORS[number]
        if rows is None:
            sums += words
        else:
            sums[rows] += words
        at, rest = at + _WORD, rest - _WORD
    long = np.flatnonzero(lengths > _WORDS_IN_TURN * _WORD)
    if len(long):
        counts = (lengths[long] + _WORD - 1) // _WORD - _WORDS_IN_TURN
        firsts = np.cumsum(counts) - counts
        at = np.arange(firsts[-1] + counts[-1]) - np.repeat(firsts, counts) + _WORDS_IN_TURN
        row = np.repeat(long, counts)
        words = mix(_word_at(data, starts[row] + _WORD * at, lengths[row] - _WORD * at))
        sums[long] += np.add.reduceat(words * _factors(at), firsts)
    word_counts = ((lengths + _WORD - 1) // _WORD).astype(np.uint64)
    return mix(mix(sums + word_counts * _COMBINE) + lengths.astype(np.uint64))


def _binary_parts(column: pa.Array) -> tuple[I64, I64, np.ndarray]:
    """Where the strings begin, how long they are, and their bytes (at least a word of them)."""
    buffers = column.buffers()
    offsets = np.frombuffer(buffers[1], np.int64)[column.offset : column.offset + len(column) + 1]
    data = np.frombuffer(buffers[2] or b"", np.uint8)[offsets[0] : offsets[-1]]
    if len(data) < _WORD:
        data = np.concatenate([data, np.zeros(_WORD - len(data), np.uint8)])
    return offsets[:-1] - offsets[0], np.diff(offsets), data


def _word_at(data: np.ndarray, starts: I64, rest: I64) -> U64:
    """The eight bytes from each start (ascending), zero beyond the `rest` bytes that are left of the string."""
    unaligned: U64 = np.ndarray((len(data) - _WORD + 1,), np.uint64, np.ascontiguousarray(data), 0, (1,))
    last = len(data) - _WORD
    if not len(starts) or starts[-1] <= last:
        words = unaligned[starts]
    else:
        over = np.maximum(starts - last, 0)
        words = unaligned[starts - over] >> (8 * over).astype(np.uint64)
    words &= _BYTES[np.minimum(rest, _WORD)]
    return words


def _hash_sequences(elements: U64, offsets: I64) -> U64:
    """Multilinear hash of elements[offsets[i] : offsets[i + 1]], one per sequence."""
    lengths = np.diff(offsets)
    sums = np.zeros(len(lengths), np.uint64)
    filled = lengths > 0
    if filled.any():
        at = np.arange(len(elements), dtype=np.int64) - np.repeat(offsets[:-1], lengths)
        sums[filled] = np.add.reduceat(mix(elements) * _factors(at), offsets[:-1][filled])
    return mix(sums + lengths.astype(np.uint64) * _COMBINE)


def _factors(at: I64) -> U64:
    """What the elements at these places of a sequence are multiplied with."""
    return mix(at.view(np.uint64) + _EMPTY) | np.uint64(1)


_WORD = 8
_WORDS_IN_TURN = 32
_BYTES = np.array([(1 << 8 * count) - 1 for count in range(_WORD + 1)], np.uint64)
_FACTORS = _factors(np.arange(_WORDS_IN_TURN))


def _equal_column(left: pa.Array, right: pa.Array, *, top: bool) -> Mask:
    same: Mask
    left, right = _plain(left), _plain(right)
    kind = left.type
    if pa.types.is_null(kind):
        return np.ones(len(left), np.bool_)
    if pa.types.is_large_binary(kind):
        same = np.asarray(pc.equal(left, right).fill_null(False).to_numpy(zero_copy_only=False))
    elif pa.types.is_struct(kind):
        same = np.ones(len(left), np.bool_)
        for a, b in zip(left.flatten(), right.flatten(), strict=True):
            same &= _equal_column(a, b, top=False)
    elif _is_list(kind):
        same = _equal_lists(left, right)
    else:
        same = np.ones(len(left), np.bool_)
        for word, other in zip(_words(left, top=top), _words(right, top=top), strict=True):
            same &= word == other
    left_nulls, right_nulls = _null_mask(left), _null_mask(right)
    if left_nulls is None and right_nulls is None:
        return same
    left_nulls = np.zeros(len(left), np.bool_) if left_nulls is None else left_nulls
    right_nulls = np.zeros(len(left), np.bool_) if right_nulls is None else right_nulls
    return (same & ~left_nulls & ~right_nulls) | (left_nulls & right_nulls)


def _equal_lists(left: pa.Array, right: pa.Array) -> Mask:
    (left_at, _), (right_at, _) = _list_parts(left), _list_parts(right)
    same: Mask = np.diff(left_at) == np.diff(right_at)
    both = np.flatnonzero(same)
    offsets, left_values = _list_parts(left.take(pa.array(both)))
    _, right_values = _list_parts(right.take(pa.array(both)))
    differ = np.concatenate([[0], np.cumsum(~_equal_column(left_values, right_values, top=False))])
    same[both] = differ[offsets[1:]] == differ[offsets[:-1]]
    return same

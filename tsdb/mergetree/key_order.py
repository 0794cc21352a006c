"""Keys as integers that sort as the keys do, and the stable order of rows by them.

A key of any columns becomes a few int64 *words*; comparing the words from left to right compares the keys: numbers by
value (-0.0 before 0.0, NaN last, as Java's `Double.compare`), strings and binaries by their bytes, NULL first. Words of
different runs of one call are comparable with each other, words of different calls are not (common prefixes are
dropped). Adjacent words are packed into one where their ranges fit into 63 bits, so most keys, also of several columns,
are one word.

Laws: words(a) < words(b) iff a < b; `stable_order(words)` is `np.lexsort`'s order, ties in order of position.
"""

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.cancellation import apart

Words = tuple[npt.NDArray[np.int64], ...]
_STRING_WORDS_MAX = 8
_SIGN = np.uint64(1 << 63)
_BLOCK = 1 << 16
_LONG = 1 << 20  # rows; to sort them takes longer than somebody who cancels should wait


def order_words(runs: Sequence[Sequence[pa.ChunkedArray]], *, descending: bool = False) -> list[Words]:
    """runs[i]: the columns of run i, all of one length n_i, same types in every run. Returns for each run its
    words, each of length n_i.

    descending: larger values first; NULL is first in either case.
    """
    columns = [_column_words([run[c] for run in runs], descending) for c in range(len(runs[0]))]
    words = [word for column in columns for word in column]
    if len(words) > 1:
        words = _pack(words)
    return [tuple(word[i] for word in words) for i in range(len(runs))]


def stable_order(words: Words) -> npt.NDArray[np.int64]:
    """The positions 0..n-1 in ascending order of their words; equal ones stay in order of position."""
    return _sort(words)[0]


def grouped_order(words: Words, then: Words = ()) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The stable order by (words, then), and where in it each distinct key starts, with n as the last element.

    The key is `words` alone; the second array has one element more than there are distinct keys.
    """
    order, ordered = _sort(words + then)
    ordered = ordered[: len(words)]
    n = len(order)
    if n == 0:
        return order, np.zeros(1, np.int64)
    new = ordered[0][1:] != ordered[0][:-1]
    for word in ordered[1:]:
        new |= word[1:] != word[:-1]
    del ordered
    if bool(new.all()):
        return order, np.arange(n + 1)
    return order, np.concatenate(([0], np.flatnonzero(new) + 1, [n]))


def near_order(groups: npt.NDArray[np.int32], key: pa.ChunkedArray | None) -> npt.NDArray[np.int64] | None:
    """The positions of some rows, those of a group side by side; within it about in order of the key, and rows of one
    key, or all if there is none, in order of position. None: they are in that order.

    key: the first column of a key; one of a type of which that is not cheap to tell leaves the order as it is.
    """
    count = len(groups)
    low = int(groups.min())
    word = (groups - np.int64(low)).astype(np.uint64)
    group_bits, position_bits = int(word.max()).bit_length(), (count - 1).bit_length()
    bits = 64 - group_bits - position_bits
    near = None if key is None else _near_word(key)
    if near is not None and bits > 0:
        near -= near.min()
        surplus = max(0, int(near.max()).bit_length() - bits)
        word <<= np.uint64(min(bits, 63))
        word |= near >> np.uint64(surplus)
    elif group_bits == 0:
        return None
    if not bool((word[1:] < word[:-1]).any()):
        return None
    word <<= np.uint64(position_bits)
    word |= np.arange(count, dtype=np.uint64)
    word.sort()
    return (word & np.uint64((1 << position_bits) - 1)).astype(np.int64)


def _near_word(key: pa.ChunkedArray) -> npt.NDArray[np.uint64] | None:
    """A number that grows with the key, the same for equal keys; None for types of which it takes long to find."""
    kind = key.type
    if key.null_count or pa.types.is_decimal(kind) or pa.types.is_nested(kind):
        return None
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        chunks = [chunk for chunk in key.chunks if len(chunk)]
        prefix = _common_prefix(chunks)[0]
        words = np.concatenate([_chunk_words(chunk, prefix, 1)[0] for chunk in chunks])
    elif pa.types.is_fixed_size_binary(kind) or pa.types.is_large_string(kind) or pa.types.is_large_binary(kind):
        return None
    else:
        words = _number_word(key)
    return words.view(np.uint64) ^ _SIGN


def is_sorted(words: Words) -> bool:
    """Whether every row is at least the one before."""
    undecided: npt.NDArray[np.bool_] | None = None
    for word in words:
        smaller = word[1:] < word[:-1]
        if bool(np.any(smaller if undecided is None else smaller & undecided)):
            return False
        equal = word[1:] == word[:-1]
        undecided = equal if undecided is None else equal & undecided
    return True


def count_at_most(words: Words, bound: tuple[int, ...]) -> int:
    """How many rows of a sorted run are <= bound."""
    low, high = 0, len(words[0])
    for word, value in zip(words, bound, strict=True):
        equal_low = low + int(np.searchsorted(word[low:high], value, side="left"))
        high = low + int(np.searchsorted(word[low:high], value, side="right"))
        low = equal_low
    return high


def _sort(words: Words) -> tuple[npt.NDArray[np.int64], Words]:
    """The stable order and the words in that order."""
    return apart(lambda: _sorted(words)) if len(words[0]) >= _LONG else _sorted(words)


def _sorted(words: Words) -> tuple[npt.NDArray[np.int64], Words]:
    order, first = _sort_word(words[0])
    if len(words) == 1:
        return order, (first,)
    _sort_ties(order, first, words[1:])
    return order, tuple(word[order] for word in words)


def _sort_word(word: npt.NDArray[np.int64]) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    n = len(word)
    descents = int(np.count_nonzero(word[1:] < word[:-1]))
    if descents == 0:
        return np.arange(n), word
    # key and position in one integer: numpy sorts plain integers several times faster than it argsorts, and the result
    # is stable
    smallest, largest = int(word.min()), int(word.max())
    position_bits = (n - 1).bit_length()
    if (largest - smallest).bit_length() + position_bits <= 63:
        packed = word - np.int64(smallest)  # millions of rows: memory that is touched anew costs as much as the sort
        packed <<= position_bits
        for start in range(0, n, _BLOCK):
            packed[start : start + _BLOCK] |= np.arange(start, min(n, start + _BLOCK))
        packed.sort()
        ordered = packed >> position_bits
        ordered += smallest
        packed &= (1 << position_bits) - 1
        return packed, ordered
    if descents < n >> 10:  # a few sorted runs: merged by the stable sort in linear time
        order = np.argsort(word, kind="stable")
        return order, word[order]
    order = np.argsort(word)  # three times faster than the stable one; equal words are put in order afterwards
    ordered = word[order]
    _sort_ties(order, ordered, ())
    return order, ordered


def _sort_ties(order: npt.NDArray[np.int64], first: npt.NDArray[np.int64], words: Words) -> None:
    """Order rows with equal first words by the other words, then by position. first: the first words in `order`."""
    equal = first[1:] == first[:-1]
    if not equal.any():
        return
    tied = np.zeros(len(order), np.bool_)
    tied[1:] |= equal
    tied[:-1] |= equal
    places = np.flatnonzero(tied)
    rows = order[places]
    order[places] = rows[np.lexsort((rows, *(word[rows] for word in words[::-1]), first[places]))]


def _pack(words: list[list[npt.NDArray[np.int64]]]) -> list[list[npt.NDArray[np.int64]]]:
    """The same order with fewer words: neighbours share a word while the bits of their ranges fit."""
    packed: list[list[npt.NDArray[np.int64]]] = []
    used_bits = 64
    for word in words:
        some = [part for part in word if len(part)]
        smallest = min((int(part.min()) for part in some), default=0)
        bits = (max((int(part.max()) for part in some), default=0) - smallest).bit_length()
        if packed and bits == 0:
            continue
        if used_bits + bits <= 63:
            packed[-1] = [
                (left << bits) | (part - np.int64(smallest)) for left, part in zip(packed[-1], word, strict=True)
            ]
            used_bits += bits
        elif bits <= 63:
            packed.append([part - np.int64(smallest) for part in word])
            used_bits = bits
        else:
            packed.append(word)
            used_bits = 64
    return packed


def _column_words(parts: Sequence[pa.ChunkedArray], descending: bool) -> list[list[npt.NDArray[np.int64]]]:
    """The words of one column: [word][run]."""
    null_words = []
    if any(part.null_count for part in parts):
        null_words = [[_numpy(part.is_valid().cast(pa.int64())) for part in parts]]
        parts = [part.fill_null(_any_value(part.type)) for part in parts]
    words = _value_words(parts)
    return null_words + ([[~part for part in word] for word in words] if descending else words)


def _value_words(parts: Sequence[pa.ChunkedArray]) -> list[list[npt.NDArray[np.int64]]]:
    kind = parts[0].type
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return _string_words(parts)
    if pa.types.is_large_string(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return _ranks(parts)
    if pa.types.is_decimal128(kind):
        return _decimal_words(parts, kind.precision)
    return [[_number_word(part) for part in parts]]


def _any_value(kind: pa.DataType) -> pa.Scalar:
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        return pa.scalar("" if pa.types.is_string(kind) else b"", kind)
    return pa.array([0], pa.int64() if not pa.types.is_decimal(kind) else kind).cast(_integer_of(kind))[0].cast(kind)


def _integer_of(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_date32(kind) or pa.types.is_time32(kind):
        return pa.int32()
    return kind if pa.types.is_decimal(kind) or pa.types.is_boolean(kind) or pa.types.is_floating(kind) else pa.int64()


def _numpy(part: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    return np.asarray(part.to_numpy())


def _number_word(part: pa.ChunkedArray) -> npt.NDArray[np.int64]:
    kind = part.type
    if pa.types.is_floating(kind):
        values = part.cast(pa.float64()).to_numpy()
        bits: npt.NDArray[np.int64] = np.where(np.isnan(values), np.nan, values).view(np.int64)
        return bits ^ ((bits >> 63) & np.int64(0x7FFF_FFFF_FFFF_FFFF))
    if pa.types.is_date32(kind) or pa.types.is_time32(kind):
        part = part.cast(pa.int32())
    return _numpy(part.cast(pa.int64()))


def _decimal_words(parts: Sequence[pa.ChunkedArray], precision: int) -> list[list[npt.NDArray[np.int64]]]:
    halves = [np.concatenate([_decimal_halves(c) for c in p.chunks] or [np.empty((0, 2), np.int64)]) for p in parts]
    if precision <= 18:
        return [[np.ascontiguousarray(h[:, 0]) for h in halves]]
    low = [(np.ascontiguousarray(h[:, 0]).view(np.uint64) ^ _SIGN).view(np.int64) for h in halves]
    return [[np.ascontiguousarray(h[:, 1]) for h in halves], low]


def _decimal_halves(chunk: pa.Array) -> npt.NDArray[np.int64]:
    """(n, 2): the low and the high 64 bits."""
    if len(chunk) == 0:
        return np.empty((0, 2), np.int64)
    return np.frombuffer(chunk.buffers()[1], np.int64, 2 * len(chunk), 16 * chunk.offset).reshape(-1, 2)


def _string_words(parts: Sequence[pa.ChunkedArray]) -> list[list[npt.NDArray[np.int64]]]:
    """Eight bytes a word after the common prefix, then the length (so that 'a' comes before 'a' and a zero byte)."""
    chunks = [[c for c in part.chunks if len(c)] for part in parts]
    prefix, longest = _common_prefix([c for part in chunks for c in part])
    count = -(-(longest - prefix) // 8)
    if count > _STRING_WORDS_MAX:
        return _ranks(parts)
    words = [[_chunk_words(c, prefix, count) for c in part] for part in chunks]
    empty = np.empty(0, np.int64)
    return [[np.concatenate([w[k] for w in part]) if part else empty for part in words] for k in range(count + 1)]


def _common_prefix(chunks: Sequence[pa.Array]) -> tuple[int, int]:
    """How many leading bytes all values share, and the length of the longest value in bytes."""
    if not chunks:
        return 0, 0
    ends: list[bytes] = []
    for chunk in chunks:
        ends += [bytes(v.as_buffer()) for v in pc.min_max(chunk.view(pa.binary())).values()]
    longest = max(pc.max(pc.binary_length(chunk)).as_py() for chunk in chunks)
    least, most = min(ends), max(ends)
    prefix = next((i for i, (a, b) in enumerate(zip(least, most, strict=False)) if a != b), min(len(least), len(most)))
    return prefix, longest


def _chunk_words(chunk: pa.Array, prefix: int, count: int) -> list[npt.NDArray[np.int64]]:
    offsets = np.frombuffer(chunk.buffers()[1], np.int32, len(chunk) + 1, 4 * chunk.offset).astype(np.int64)
    first, last = int(offsets[0]), int(offsets[-1])
    # the values' bytes with room for one word behind the last, read at any byte position as big-endian integers
    data = np.zeros(last - first + 8 * (count + 1), np.uint8)
    if last > first:
        data[: last - first] = np.frombuffer(chunk.buffers()[2], np.uint8, last - first, first)
    at_byte = np.ndarray((len(data) - 7,), ">u8", data, strides=(1,))
    starts = offsets[:-1] - first + prefix
    rest = offsets[1:] - first - starts
    words = []
    for k in range(count):
        here = np.clip(rest - 8 * k, 0, 8)
        word = at_byte[np.minimum(starts + 8 * k, len(at_byte) - 1)].astype(np.uint64)
        unused_bits = ((8 - here) * 8).astype(np.uint64)
        half = unused_bits >> np.uint64(1)  # shifting by 64 is undefined, twice by 32 is not
        other = unused_bits - half
        word = (((word >> half) >> other) << half) << other
        words.append((word ^ _SIGN).view(np.int64))
    words.append(rest)
    return words


def _ranks(parts: Sequence[pa.ChunkedArray]) -> list[list[npt.NDArray[np.int64]]]:
    """For long values: the rank among the distinct values of all runs; slower, and holds the distinct values."""
    chunks = [c for part in parts for c in part.chunks]
    encoded = pa.chunked_array(chunks, parts[0].type).dictionary_encode().combine_chunks()
    ranks = np.empty(len(encoded.dictionary), np.int64)
    ranks[pc.sort_indices(encoded.dictionary.cast(pa.large_binary())).to_numpy()] = np.arange(len(ranks))
    codes = ranks[encoded.indices.to_numpy()]
    return [np.split(codes, np.cumsum([len(part) for part in parts])[:-1])]

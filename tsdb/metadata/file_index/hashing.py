"""64-bit hashes of many values at once: XXH64 (seed 0) of bytes, Thomas Wang's hash of numbers.

Source: Yann Collet, XXH64; Thomas Wang, Integer Hash Function; Paimon, `FastHash`.
"""

from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.data_types import DataType, TypeRoot
from tsdb.metadata.file_index.physical import text_bytes

UInt64 = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

_P1, _P2, _P3, _P4, _P5 = (
    np.uint64(p)
    for p in (
        0x9E3779B185EBCA87, 0xC2B2AE3D27D4EB4F, 0x165667B19E3779F9, 0x85EBCA77C2B2AE63, 0x27D4EB2F165667C5,
    )
)  # fmt: skip
_LANES = 32  # bytes a round takes
_PAD = np.zeros(8, np.uint8)


def hash_values(values: pa.Array, kind: DataType) -> UInt64:
    """The hash of each value. values: as `physical` gives them, none NULL."""
    if pa.types.is_binary(values.type):
        return xxh64(values)
    if kind.root is TypeRoot.FLOAT:
        numbers = _without_nan_kinds(values.to_numpy().astype(np.float32)).view(np.int32).astype(np.int64)
    elif kind.root is TypeRoot.DOUBLE:
        numbers = _without_nan_kinds(values.to_numpy().astype(np.float64)).view(np.int64)
    else:
        numbers = values.to_numpy(zero_copy_only=False).astype(np.int64)
    return wang(numbers)


def _without_nan_kinds(values: npt.NDArray[Any]) -> npt.NDArray[Any]:
    """Java knows one NaN."""
    return np.where(np.isnan(values), values.dtype.type("nan"), values)


def wang(keys: npt.NDArray[np.int64]) -> UInt64:
    """Thomas Wang's 64-bit hash; its right shifts keep the sign."""
    with np.errstate(over="ignore"):
        k = ~keys + (keys << 21)
        k ^= k >> 24
        k = k + (k << 3) + (k << 8)
        k ^= k >> 14
        k = k + (k << 2) + (k << 4)
        k ^= k >> 28
        k = k + (k << 31)
    hashed: UInt64 = k.view(np.uint64)
    return hashed


def xxh64(values: pa.Array) -> UInt64:
    """XXH64 of each binary value, none NULL: all values go through the rounds side by side, while they last."""
    data, lengths = text_bytes(values)
    data = np.concatenate([data, _PAD])
    at = np.cumsum(lengths) - lengths
    with np.errstate(over="ignore"):
        hashes = np.full(len(lengths), _P5, np.uint64)
        long = np.flatnonzero(lengths >= _LANES)
        if len(long):
            hashes[long] = _rounds(data, at[long], lengths[long] // _LANES)
        hashes += lengths.astype(np.uint64)
        at = at + lengths // _LANES * _LANES
        return _finish(hashes, data, at, lengths % _LANES)


def _rounds(data: npt.NDArray[np.uint8], at: Rows, counts: Rows) -> UInt64:
    """The state after all whole rounds of 32 bytes. counts: how many, at least one."""
    zero = np.zeros(len(at), np.uint64)
    lanes = [zero + _P1 + _P2, zero + _P2, zero.copy(), zero - _P1]
    for step in range(int(counts.max())):
        active = np.flatnonzero(counts > step)
        for i, lane in enumerate(lanes):
            lane[active] = _round(lane[active], _words(data, at[active] + _LANES * step + 8 * i))
    state = sum((_rotate(lane, by) for lane, by in zip(lanes, (1, 7, 12, 18), strict=True)), start=zero)
    for lane in lanes:
        state = (state ^ _round(zero, lane)) * _P1 + _P4
    return state


def _finish(hashes: UInt64, data: npt.NDArray[np.uint8], at: Rows, left: Rows) -> UInt64:
    """The last up to 31 bytes, and the avalanche."""
    zero = np.uint64(0)
    for _ in range(3):
        rows = np.flatnonzero(left >= 8)
        mixed = hashes[rows] ^ _round(np.full(len(rows), zero), _words(data, at[rows]))
        hashes[rows] = _rotate(mixed, 27) * _P1 + _P4
        at[rows] += 8
        left[rows] -= 8
    rows = np.flatnonzero(left >= 4)
    mixed = hashes[rows] ^ (_words(data, at[rows]) & np.uint64(0xFFFFFFFF)) * _P1
    hashes[rows] = _rotate(mixed, 23) * _P2 + _P3
    at[rows] += 4
    left[rows] -= 4
    for _ in range(3):
        rows = np.flatnonzero(left > 0)
        hashes[rows] = _rotate(hashes[rows] ^ data[at[rows]].astype(np.uint64) * _P5, 11) * _P1
        at[rows] += 1
        left[rows] -= 1
    hashes ^= hashes >> np.uint64(33)
    hashes *= _P2
    hashes ^= hashes >> np.uint64(29)
    hashes *= _P3
    return hashes ^ (hashes >> np.uint64(32))


def _words(data: npt.NDArray[np.uint8], at: Rows) -> UInt64:
    """The 8 bytes from each place on, little-endian. data: has 8 bytes more than are ever asked for."""
    overlapping = np.ndarray((len(data) - 7,), "<u8", data, strides=(1,))
    return overlapping[at].astype(np.uint64)


def _round(state: UInt64, words: UInt64) -> UInt64:
    return _rotate(state + words * _P2, 31) * _P1


def _rotate(words: UInt64, by: int) -> UInt64:
    return (words << np.uint64(by)) | (words >> np.uint64(64 - by))

"""Murmur3 (32 bit, seed 42) of many rows at once, fed one 8-byte word of every row at a time.

Source: Austin Appleby, MurmurHash3; Paimon, `MurmurHashUtils`.
"""

import numpy as np
import numpy.typing as npt

UInt32 = npt.NDArray[np.uint32]
UInt64 = npt.NDArray[np.uint64]
Rows = npt.NDArray[np.int64]

_SEED = 42
_C1, _C2, _C3 = np.uint32(0xCC9E2D51), np.uint32(0x1B873593), np.uint32(0xE6546B64)
_HIGH = np.uint64(32)


def begin(count: int) -> UInt32:
    """The state of so many hashes that have seen nothing."""
    return np.full(count, _SEED, np.uint32)


def mix(states: UInt32, words: UInt64) -> None:
    """Feed the next 8 bytes, little-endian, of every row. states: changed in place; of the length of `words`."""
    _mix_half(states, words.astype(np.uint32))
    _mix_half(states, (words >> _HIGH).astype(np.uint32))


def mix_some(states: UInt32, words: UInt64, rows: Rows) -> None:
    """Feed the next 8 bytes of some rows, each of which is named once. words: of the length of `rows`."""
    some = states[rows]
    mix(some, words)
    states[rows] = some


def finish(states: UInt32, length_bytes: int | UInt32) -> npt.NDArray[np.int32]:
    """The hashes. length_bytes: how many bytes each row fed."""
    h = states ^ np.uint32(length_bytes) if isinstance(length_bytes, int) else states ^ length_bytes
    h ^= h >> np.uint32(16)
    h *= np.uint32(0x85EBCA6B)
    h ^= h >> np.uint32(13)
    h *= np.uint32(0xC2B2AE35)
    h ^= h >> np.uint32(16)
    return h.view(np.int32)


def _mix_half(h: UInt32, k: UInt32) -> None:
    """One round; in place, because that is twice as fast. k is used up."""
    k *= _C1
    _rotate(k, 15)
    k *= _C2
    h ^= k
    _rotate(h, 13)
    h *= np.uint32(5)
    h += _C3


def _rotate(x: UInt32, by: int) -> None:
    high = x << np.uint32(by)
    x >>= np.uint32(32 - by)
    x |= high

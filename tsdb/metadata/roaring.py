"""Roaring bitmaps of 32-bit numbers in the portable serialization: sorted arrays in, sorted arrays out.

Containers hold the numbers with the same upper 16 bits, each in the smallest of three forms: an array, a set of bits,
or runs. Source: RoaringFormatSpec; Chambi et al., Better bitmap performance with Roaring bitmaps (2016).
"""

import struct

import numpy as np
import numpy.typing as npt

_NO_RUNS, _RUNS = 12346, 12347
_ARRAY_MAX = 4096
_BITSET_BYTES = 8192
_OFFSETS_FROM = 4  # with runs, the offsets are there only from so many containers on


def write_roaring(values: npt.NDArray[np.uint32]) -> bytes:
    """The serialized bitmap. values: ascending, each once."""
    high = (values >> 16).astype(np.uint16)
    starts = np.flatnonzero(np.r_[True, high[1:] != high[:-1]]) if len(values) else np.empty(0, np.int64)
    containers = np.split((values & 0xFFFF).astype(np.uint16), starts[1:]) if len(values) else []
    written = [_container(container) for container in containers]
    count = len(containers)
    if any(is_run for _, is_run in written):
        runs = np.packbits([is_run for _, is_run in written], bitorder="little").tobytes()
        head = struct.pack("<I", _RUNS | (count - 1) << 16) + runs
        has_offsets = count >= _OFFSETS_FROM
    else:
        head, has_offsets = struct.pack("<II", _NO_RUNS, count), True
    sizes = np.array([len(container) - 1 for container in containers], np.uint16)
    head += np.column_stack((high[starts], sizes)).astype("<u2").tobytes()
    if has_offsets:
        first = len(head) + 4 * count
        lengths = np.array([len(data) for data, _ in written], np.int64)
        head += (first + np.cumsum(lengths) - lengths).astype("<u4").tobytes()
    return head + b"".join(data for data, _ in written)


def _container(low: npt.NDArray[np.uint16]) -> tuple[bytes, bool]:
    """One container, and whether it is of runs."""
    breaks = np.flatnonzero(np.diff(low.astype(np.int32)) != 1)
    run_count = len(breaks) + 1
    if 2 + 4 * run_count < min(2 * len(low), _BITSET_BYTES):
        begins, ends = low[np.r_[0, breaks + 1]], low[np.r_[breaks, len(low) - 1]]
        return struct.pack("<H", run_count) + np.column_stack((begins, ends - begins)).astype("<u2").tobytes(), True
    if len(low) <= _ARRAY_MAX:
        return low.astype("<u2").tobytes(), False
    bits = np.zeros(8 * _BITSET_BYTES, np.uint8)
    bits[low] = 1
    return np.packbits(bits, bitorder="little").tobytes(), False


def read_roaring(data: bytes, at: int = 0) -> tuple[npt.NDArray[np.uint32], int]:
    """The numbers of the bitmap that begins at `at`, ascending, and where it ends. Raises ValueError, struct.error."""
    (cookie,) = struct.unpack_from("<I", data, at)
    at += 4
    if cookie & 0xFFFF == _RUNS:
        count = (cookie >> 16) + 1
        run_bytes = (count + 7) // 8
        is_run = np.unpackbits(np.frombuffer(data, np.uint8, run_bytes, at), bitorder="little")[:count].astype(bool)
        at += run_bytes
        has_offsets = count >= _OFFSETS_FROM
    elif cookie == _NO_RUNS:
        (count,) = struct.unpack_from("<I", data, at)
        at += 4
        is_run, has_offsets = np.zeros(count, bool), True
    else:
        raise ValueError(f"unknown bitmap cookie {cookie}")
    headers = np.frombuffer(data, "<u2", 2 * count, at).reshape(-1, 2)
    at += 4 * count + (4 * count if has_offsets else 0)
    parts = []
    for (key, size), run in zip(headers.tolist(), is_run.tolist(), strict=True):
        low, at = _read_container(data, at, size + 1, run)
        parts.append(low.astype(np.uint32) | np.uint32(key << 16))
    return (np.concatenate(parts) if parts else np.empty(0, np.uint32)), at


def _read_container(data: bytes, at: int, cardinality: int, run: bool) -> tuple[npt.NDArray[np.uint32], int]:
    if run:
        (runs,) = struct.unpack_from("<H", data, at)
        pairs = np.frombuffer(data, "<u2", 2 * runs, at + 2).reshape(-1, 2).astype(np.uint32)
        lengths = pairs[:, 1] + 1
        begins = np.repeat(pairs[:, 0], lengths)
        within = np.arange(int(lengths.sum())) - np.repeat(np.cumsum(lengths) - lengths, lengths)
        return begins + within.astype(np.uint32), at + 2 + 4 * runs
    if cardinality <= _ARRAY_MAX:
        return np.frombuffer(data, "<u2", cardinality, at).astype(np.uint32), at + 2 * cardinality
    bits = np.unpackbits(np.frombuffer(data, np.uint8, 8192, at), bitorder="little")
    return np.flatnonzero(bits).astype(np.uint32), at + 8192

"""Roaring bitmaps of 64-bit numbers as Java's `Roaring64Bitmap` serializes them, to and from the portable form.

The upper 48 bits of the numbers are the keys of an adaptive radix tree, whose leaves name the containers of the lower
16 bits. In the portable form the upper 32 bits lead to bitmaps of 32-bit numbers. The containers are the same in both,
byte for byte, so they are moved and never decoded: a value costs what it has containers, not numbers.

Nodes come in order of depth, each before its children. All is little-endian but the prefixes and the keys of leaves.
Source: RoaringBitmap, `HighLowContainer`, `Art`, `Containers`; Leis et al., The Adaptive Radix Tree (2013).
"""

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, pairwise

_NODE4, _NODE16, _NODE48, _NODE256, _LEAF = range(5)
_BODY_BYTES = {_NODE4: 4, _NODE16: 16, _NODE48: 256, _NODE256: 32, _LEAF: 14}
_RUNS, _BITS, _ARRAY = range(3)
_ARRAY_MAX = 4096
_BITSET_BYTES = 8192
_KEY_BYTES = 6
_NO_TRIM = 0xFE
_COOKIE, _COOKIE_WITH_RUNS = 12346, 12347
_OFFSETS_FROM = 4  # with runs, the offsets are there only from so many containers on


@dataclass(frozen=True, slots=True)
class _Container:
    """The numbers with the same upper 48 bits."""

    key: int
    cardinality: int
    form: int
    data: bytes


def tree_to_portable(data: bytes) -> bytes:
    """The bitmap in the portable form. Raises ValueError, struct.error, LookupError for other bytes."""
    containers = sorted(_read_tree(data), key=lambda container: container.key)
    if any(a.key == b.key for a, b in pairwise(containers)):
        raise ValueError("a key comes twice")
    maps = [(high, list(part)) for high, part in groupby(containers, lambda container: container.key >> 16)]
    return struct.pack("<Q", len(maps)) + b"".join(struct.pack("<I", high) + _write_map(part) for high, part in maps)


def portable_to_tree(data: bytes) -> bytes:
    """The bitmap as Java's library writes it. data: in the portable form."""
    containers = list(_read_portable(data))
    if not containers:
        return b"\0"
    out = [b"\1", struct.pack("<q", len(containers))]
    _write_nodes([container.key.to_bytes(_KEY_BYTES) for container in containers], 0, 0, out)
    out.append(struct.pack("<iBi", 1, _NO_TRIM, len(containers)))
    for container in containers:
        out += (struct.pack("<BBi", 1, container.form, container.cardinality), container.data)
    out.append(struct.pack("<qii", len(containers), 0, len(containers) - 1))
    return b"".join(out)


def _read_tree(data: bytes) -> Iterator[_Container]:
    if data == b"\0":
        return
    if data[:1] != b"\1":
        raise ValueError("neither empty nor a tree")
    (leaves,) = struct.unpack_from("<q", data, 1)
    keys, at = _read_leaves(data, 9, leaves)
    (arrays,) = struct.unpack_from("<i", data, at)
    at += 4
    for first in range(arrays):
        (count,) = struct.unpack_from("<xi", data, at)
        at += 5
        for second in range(count):
            at += 1
            if not data[at - 1]:
                continue  # the place of a container that was removed
            form, cardinality = struct.unpack_from("<Bi", data, at)
            at += 5
            size = _size(form, cardinality, data, at)
            if at + size > len(data):
                raise ValueError("a container ends too early")
            body = data[at : at + size]
            at += size
            yield _Container(keys.pop(first << 32 | second), cardinality, form, body)
    if keys or at + 16 != len(data):
        raise ValueError("the containers are not those that the tree names")


def _read_leaves(data: bytes, at: int, leaves: int) -> tuple[dict[int, int], int]:
    """Index of container → key, of all leaves, and where the tree ends."""
    found: dict[int, int] = {}
    while len(found) < leaves:
        kind, prefix = data[at], data[at + 3]
        at += 4 + prefix
        if kind == _LEAF:
            (index,) = struct.unpack_from("<q", data, at + _KEY_BYTES)
            found[index] = int.from_bytes(data[at : at + _KEY_BYTES])
        at += _BODY_BYTES[kind]
    return found, at


def _size(form: int, cardinality: int, data: bytes, at: int) -> int:
    if form == _RUNS:
        return 2 + 4 * int(struct.unpack_from("<H", data, at)[0])
    if form == _ARRAY and 0 < cardinality <= _ARRAY_MAX:
        return 2 * cardinality
    if form == _BITS and cardinality > _ARRAY_MAX:
        return _BITSET_BYTES
    raise ValueError(f"a container of form {form} with {cardinality} numbers")


def _write_map(containers: Sequence[_Container]) -> bytes:
    """A bitmap of 32-bit numbers in the portable form."""
    count = len(containers)
    if any(container.form == _RUNS for container in containers):
        runs = sum(1 << at for at, container in enumerate(containers) if container.form == _RUNS)
        head = struct.pack("<I", _COOKIE_WITH_RUNS | (count - 1) << 16) + runs.to_bytes((count + 7) // 8, "little")
        has_offsets = count >= _OFFSETS_FROM
    else:
        head, has_offsets = struct.pack("<II", _COOKIE, count), True
    head += b"".join(struct.pack("<HH", one.key & 0xFFFF, one.cardinality - 1) for one in containers)
    if has_offsets:
        offset = len(head) + 4 * count
        for container in containers:
            head += struct.pack("<I", offset)
            offset += len(container.data)
    return head + b"".join(container.data for container in containers)


def _read_portable(data: bytes) -> Iterator[_Container]:
    (maps,) = struct.unpack_from("<Q", data)
    at = 8
    for _ in range(maps):
        high, cookie, count = struct.unpack_from("<III", data, at)
        at += 8
        if cookie & 0xFFFF == _COOKIE_WITH_RUNS:
            count = (cookie >> 16) + 1
            runs = int.from_bytes(data[at : at + (count + 7) // 8], "little")
            at += (count + 7) // 8
            has_offsets = count >= _OFFSETS_FROM
        else:
            runs, has_offsets = 0, True
            at += 4
        heads = list(struct.iter_unpack("<HH", data[at : at + 4 * count]))
        at += 8 * count if has_offsets else 4 * count
        for place, (low, cardinality) in enumerate(heads):
            form = _RUNS if runs >> place & 1 else _ARRAY if cardinality < _ARRAY_MAX else _BITS
            size = _size(form, cardinality + 1, data, at)
            yield _Container(high << 16 | low, cardinality + 1, form, data[at : at + size])
            at += size


def _write_nodes(keys: Sequence[bytes], first: int, depth: int, out: list[bytes]) -> None:
    """The tree of some of the keys, all alike in their first `depth` bytes. first: the index of the first of them."""
    if len(keys) == 1:
        out.append(struct.pack("<BHB6sq", _LEAF, 0, 0, keys[0], first))
        return
    below = depth  # the first byte in which the keys, which are sorted, are not alike
    while keys[0][below] == keys[-1][below]:
        below += 1
    parts = [(byte, list(part)) for byte, part in groupby(keys, lambda key: key[below])]
    kind, body = _node([byte for byte, _ in parts])
    out.append(struct.pack("<BHB", kind, len(parts), below - depth) + keys[0][depth:below] + body)
    for _, part in parts:
        _write_nodes(part, first, below + 1, out)
        first += len(part)


def _node(children: Sequence[int]) -> tuple[int, bytes]:
    """The smallest node that holds so many children, and its body; numbers of bytes are little-endian in it."""
    count = len(children)
    if count <= 4:
        return _NODE4, bytes(children).ljust(4, b"\0")[::-1]
    if count <= 16:
        padded = bytes(children).ljust(16, b"\0")
        return _NODE16, padded[7::-1] + padded[:7:-1]
    if count <= 48:
        places = bytearray(b"\xff" * 256)
        for place, byte in enumerate(children):
            places[byte ^ 7] = place  # the first of eight is the highest byte of a long
        return _NODE48, bytes(places)
    return _NODE256, sum(1 << byte for byte in children).to_bytes(32, "little")

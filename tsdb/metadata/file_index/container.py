"""The container of all indexes of one data file: a directory of columns and their indexes, then the bodies.

Source: Paimon, `FileIndexFormat`.
"""

import struct
from collections.abc import Mapping

MAGIC, VERSION = 1493475289347502, 1
_EMPTY = -1  # the place of an index that has no bytes


def encode(indexes: Mapping[str, Mapping[str, bytes]]) -> bytes:
    """The container. indexes: by column, and then by type."""
    directory_size = 8 + 4 + 4 + 4 + 4
    for column, kinds in indexes.items():
        directory_size += 2 + len(_utf8(column)) + 4 + sum(2 + len(_utf8(kind)) + 8 for kind in kinds)
    head = struct.pack(">qiii", MAGIC, VERSION, directory_size, len(indexes))
    body = bytearray()
    for column, kinds in indexes.items():
        head += _text(column) + struct.pack(">i", len(kinds))
        for kind, data in kinds.items():
            place = directory_size + len(body) if data else _EMPTY
            head += _text(kind) + struct.pack(">ii", place, len(data))
            body += data
    head += struct.pack(">i", 0)
    assert len(head) == directory_size
    return head + bytes(body)


def decode(data: bytes) -> dict[str, dict[str, bytes]]:
    """The indexes by column and type; those without bytes are left out. Raises ValueError, struct.error."""
    magic, version, _, count = struct.unpack_from(">qiii", data)
    if magic != MAGIC or version != VERSION:
        raise ValueError(f"no file index of version {VERSION}")
    at = 20
    found: dict[str, dict[str, bytes]] = {}
    for _ in range(count):
        column, at = _read_text(data, at)
        (kinds,) = struct.unpack_from(">i", data, at)
        at += 4
        for _ in range(kinds):
            kind, at = _read_text(data, at)
            start, length = struct.unpack_from(">ii", data, at)
            at += 8
            if start != _EMPTY:
                if start + length > len(data):
                    raise ValueError(f"the {kind} index of `{column}` ends too early")
                found.setdefault(column, {})[kind] = data[start : start + length]
    return found


def _text(text: str) -> bytes:
    encoded = _utf8(text)
    return struct.pack(">H", len(encoded)) + encoded


def _utf8(text: str) -> bytes:
    """Java's modified UTF-8: a zero takes two bytes, a character outside the first plane two times three."""
    utf16 = text.encode("utf-16-be", "surrogatepass")
    units = struct.unpack(f">{len(utf16) // 2}H", utf16)
    return b"".join(b"\xc0\x80" if unit == 0 else chr(unit).encode("utf-8", "surrogatepass") for unit in units)


def _read_text(data: bytes, at: int) -> tuple[str, int]:
    (length,) = struct.unpack_from(">H", data, at)
    end = at + 2 + length
    text = data[at + 2 : end].replace(b"\xc0\x80", b"\0").decode("utf-8", "surrogatepass")
    return text.encode("utf-16-be", "surrogatepass").decode("utf-16-be"), end

"""The time zone that an ORC writer noted in each stripe, which Arrow's reader does not tell.

The end of a file says where the stripes are: its last byte is the length of the postscript, which gives the length of
the footer, which lists the stripes; each has a footer of its own. All of them are protobuf messages.
Source: the ORC specification, version 1.
"""

import zlib
from collections.abc import Callable, Iterator, Mapping

import pyarrow as pa

_LENGTH, _COMPRESSION = 1, 2  # of the postscript
_STRIPES = 3  # of the footer
_OFFSET, _INDEX_LENGTH, _DATA_LENGTH, _FOOTER_LENGTH = 1, 2, 3, 4  # of a stripe
_WRITER_ZONE = 3  # of the footer of a stripe
_TAIL_MAX = 256


def stripe_zones(source: pa.NativeFile) -> list[str | None]:
    """The zone of each stripe in order; None where it says nothing, or is compressed in a way not known here.

    Raises ValueError or IndexError for what is no ORC file.
    """
    size = source.size()
    tail = _read(source, max(0, size - _TAIL_MAX), min(size, _TAIL_MAX))
    postscript = dict(_fields(tail[-1 - tail[-1] : -1]))
    expand = _EXPANDERS.get(int(postscript.get(_COMPRESSION, 0)))
    length = int(postscript[_LENGTH])
    if expand is None:
        return []
    footer = _expanded(_read(source, size - 1 - tail[-1] - length, length), expand)
    zones: list[str | None] = []
    for number, value in _fields(footer):
        if number == _STRIPES and isinstance(value, bytes):
            stripe = {key: part for key, part in _fields(value) if isinstance(part, int)}
            start = sum(stripe.get(key, 0) for key in (_OFFSET, _INDEX_LENGTH, _DATA_LENGTH))
            own = dict(_fields(_expanded(_read(source, start, stripe[_FOOTER_LENGTH]), expand)))
            zone = own.get(_WRITER_ZONE)
            zones.append(zone.decode() if isinstance(zone, bytes) else None)
    return zones


def _read(source: pa.NativeFile, start: int, length: int) -> bytes:
    source.seek(start)
    return bytes(source.read(length))


def _fields(message: bytes) -> Iterator[tuple[int, int | bytes]]:
    """The fields of a protobuf message: numbers as int, all else as bytes."""
    at = 0
    while at < len(message):
        tag, at = _varint(message, at)
        match tag & 7:
            case 0:
                value, at = _varint(message, at)
                yield tag >> 3, value
            case 2:
                length, at = _varint(message, at)
                yield tag >> 3, message[at : at + length]
                at += length
            case kind:
                width = 8 if kind == 1 else 4
                yield tag >> 3, message[at : at + width]
                at += width


def _varint(data: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while True:
        byte = data[at]
        value |= (byte & 127) << shift
        at, shift = at + 1, shift + 7
        if byte < 128:
            return value, at


Expander = Callable[[bytes], bytes]


def _expanded(data: bytes, expand: Expander | None) -> bytes:
    """Chunks of a 3-byte head each, whose lowest bit says that the chunk is not compressed after all."""
    if expand is None or expand is _same:
        return data
    parts, at = [], 0
    while at < len(data):
        head = int.from_bytes(data[at : at + 3], "little")
        chunk = data[at + 3 : at + 3 + (head >> 1)]
        parts.append(chunk if head & 1 else expand(chunk))
        at += 3 + (head >> 1)
    return b"".join(parts)


def _same(data: bytes) -> bytes:
    return data


def _zlib(data: bytes) -> bytes:
    return zlib.decompress(data, -zlib.MAX_WBITS)


def _zstd(data: bytes) -> bytes:
    return bytes(pa.input_stream(pa.BufferReader(data), compression="zstd").read())


_EXPANDERS: Mapping[int, Expander] = {0: _same, 1: _zlib, 5: _zstd}

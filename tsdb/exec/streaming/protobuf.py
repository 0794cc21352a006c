"""Reading protobuf messages field by field, for what DataFusion's serialised expressions have no getters for."""


def fields(message: bytes) -> list[tuple[int, bytes]]:
    """The fields of a message, (number, content); the content of a number is empty, only its presence counts."""
    found, at = [], 0
    while at < len(message):
        tag, at = _varint(message, at)
        value, at = _varint(message, at)
        assert tag & 7 in (0, 2), (tag, message)
        size = value if tag & 7 == 2 else 0
        found.append((tag >> 3, message[at : at + size]))
        at += size
    return found


def _varint(message: bytes, at: int) -> tuple[int, int]:
    value = shift = 0
    while message[at] & 128:
        value |= (message[at] & 127) << shift
        shift, at = shift + 7, at + 1
    return value | message[at] << shift, at + 1

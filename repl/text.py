"""Arrow columns as text for people and for CSV: never by way of Python values, so that no digit is lost."""

from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

NULL = "NULL"


def column_texts(values: pa.ChunkedArray, null: str = NULL) -> list[str]:
    """One text per value."""
    return [null if t is None else t for chunk in values.chunks for t in _texts(chunk)]


def is_number(kind: pa.DataType) -> bool:
    """Whether a column is aligned to the right."""
    return bool(pa.types.is_integer(kind) or pa.types.is_floating(kind) or pa.types.is_decimal(kind))


def _texts(values: pa.Array) -> list[str | None]:
    kind = values.type
    if pa.types.is_timestamp(kind):
        return list(pc.cast(pc.cast(values, pa.timestamp(kind.unit)), pa.string()).to_pylist())
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind) or pa.types.is_fixed_size_binary(kind):
        return [None if v is None else f"x'{v.hex()}'" for v in values.to_pylist()]
    if pa.types.is_nested(kind):
        return [_nested(v) if v.is_valid else None for v in values]
    try:
        return list(pc.cast(values, pa.string()).to_pylist())
    except (pa.ArrowNotImplementedError, pa.ArrowInvalid):
        return [None if v is None else str(v) for v in values.to_pylist()]


def _nested(value: Any) -> str:
    """`[1, NULL]`, `{k=v}`, `(1, a)`."""
    kind = value.type
    if pa.types.is_map(kind):
        keys, items = _texts(value.values.field(0)), _texts(value.values.field(1))
        return "{" + ", ".join(f"{k}={NULL if v is None else v}" for k, v in zip(keys, items, strict=True)) + "}"
    if pa.types.is_struct(kind):
        parts = [_texts(pa.array([value], kind).field(i))[0] for i in range(kind.num_fields)]
        return "(" + ", ".join(NULL if p is None else p for p in parts) + ")"
    return "[" + ", ".join(NULL if t is None else t for t in _texts(value.values)) + "]"

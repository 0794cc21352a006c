"""Column types as people write them: Flink's names, and those of DuckDB, Spark and PostgreSQL where they mean the same.

VARCHAR and VARBINARY without a length are STRING and BYTES, as in Flink's DDL; TIMESTAMP has precision 6, TIME 0,
DECIMAL (10, 0).
"""

from __future__ import annotations

from typing import Any

from tsdb.data_types import DataType, parse_type
from tsdb.errors import nearest
from tsdb.sql.cursor import Cursor, quoted

Spec = str | dict[str, Any]

_PLAIN: dict[str, str] = {
    **dict.fromkeys(("BOOLEAN", "BOOL"), "BOOLEAN"),
    **dict.fromkeys(("TINYINT", "INT1", "BYTE"), "TINYINT"),
    **dict.fromkeys(("SMALLINT", "INT2", "SHORT"), "SMALLINT"),
    **dict.fromkeys(("INT", "INTEGER", "INT4"), "INT"),
    **dict.fromkeys(("BIGINT", "INT8", "LONG"), "BIGINT"),
    **dict.fromkeys(("FLOAT", "REAL", "FLOAT4"), "FLOAT"),
    **dict.fromkeys(("DOUBLE", "DOUBLE PRECISION", "FLOAT8"), "DOUBLE"),
    **dict.fromkeys(("STRING", "TEXT"), "STRING"),
    **dict.fromkeys(("BYTES", "BYTEA", "BLOB"), "BYTES"),
    "DATE": "DATE",
    "VARIANT": "VARIANT",
}
_LENGTH: dict[str, tuple[str, str]] = {  # name → (name with a length, type without one)
    "CHAR": ("CHAR", "CHAR(1)"),
    "CHARACTER": ("CHAR", "CHAR(1)"),
    **dict.fromkeys(("VARCHAR", "CHARACTER VARYING", "CHAR VARYING"), ("VARCHAR", "STRING")),
    "BINARY": ("BINARY", "BINARY(1)"),
    "VARBINARY": ("VARBINARY", "BYTES"),
}
_DECIMAL = ("DECIMAL", "NUMERIC", "DEC")
_LOCAL = "WITH LOCAL TIME ZONE"
_NAMES = (*_PLAIN, *_LENGTH, *_DECIMAL, "TIME", "TIMESTAMP", "TIMESTAMP_LTZ", "TIMESTAMPTZ", "DATETIME")
_ALL_NAMES = (*_NAMES, "ARRAY", "MAP", "MULTISET", "ROW", "STRUCT")


def read_type(cursor: Cursor) -> DataType:
    """A type, with its NOT NULL if that is written."""
    return parse_type(_spec(cursor))


def _spec(cursor: Cursor) -> Spec:
    """A type in the form of Paimon's schema files, with postfix ARRAY or [] and NOT NULL."""
    spec = _unmarked(cursor)
    while True:
        if (cursor.accept("[") and cursor.accept("]")) or cursor.accept("ARRAY"):
            spec = {"type": "ARRAY", "element": spec}
        elif cursor.accept("MULTISET"):
            spec = {"type": "MULTISET", "element": spec}
        elif cursor.accept("NOT", "NULL"):
            return _not_null(spec)
        elif not cursor.accept("NULL"):
            return spec


def _not_null(spec: Spec) -> Spec:
    return f"{spec} NOT NULL" if isinstance(spec, str) else {**spec, "type": f"{spec['type']} NOT NULL"}


def _unmarked(cursor: Cursor) -> Spec:
    start = cursor.index
    name = " ".join(cursor.identifier("a type").upper().split())
    if name in _PLAIN:
        return _PLAIN[name]
    if name in _LENGTH:
        lengths = _numbers(cursor, 1)
        return f"{_LENGTH[name][0]}({lengths[0]})" if lengths else _LENGTH[name][1]
    if name in _DECIMAL:
        precision, scale = (*_numbers(cursor, 2), 0, 0)[:2]
        return f"DECIMAL({precision or 10}, {scale})"
    if name in ("TIME", "TIMESTAMP", "TIMESTAMP_LTZ", "TIMESTAMPTZ", "DATETIME"):
        return _time(cursor, name)
    nested = _nested(cursor, name)
    if nested is None:
        raise cursor.failure(f"{quoted(name)} is not a type.{nearest(name, _ALL_NAMES)}", cursor.tokens[start])
    return nested


def _time(cursor: Cursor, name: str) -> str:
    digits = _numbers(cursor, 1)
    if name == "TIME":
        cursor.accept("WITHOUT", "TIME", "ZONE")
        return f"TIME({digits[0] if digits else 0})"
    precision = digits[0] if digits else 6
    zone = name in ("TIMESTAMP_LTZ", "TIMESTAMPTZ") or cursor.accept("WITH", "LOCAL", "TIME", "ZONE")
    zone = zone or cursor.accept("WITH", "TIME", "ZONE")
    cursor.accept("WITHOUT", "TIME", "ZONE")
    return f"TIMESTAMP({precision}) {_LOCAL}" if zone else f"TIMESTAMP({precision})"


def _nested(cursor: Cursor, name: str) -> Spec | None:
    if name in ("ARRAY", "MULTISET"):
        return {"type": name, "element": _arguments(cursor, 1)[0]}
    if name == "MAP":
        key, value = _arguments(cursor, 2)
        return {"type": "MAP", "key": key, "value": value}
    if name in ("ROW", "STRUCT"):
        return _row(cursor)
    return None


def _arguments(cursor: Cursor, count: int) -> list[Spec]:
    close = ")" if cursor.accept("(") else ">"
    if close == ">":
        cursor.expect("<")
    arguments = [_spec(cursor)]
    while len(arguments) < count:
        cursor.expect(",")
        arguments.append(_spec(cursor))
    cursor.expect(close)
    return arguments


def _row(cursor: Cursor) -> Spec:
    close = ")" if cursor.accept("(") else ">"
    if close == ">":
        cursor.expect("<")
    fields: list[dict[str, Any]] = []
    while True:
        name = cursor.identifier("a field's name")
        cursor.accept(":")
        field: dict[str, Any] = {"id": len(fields), "name": name, "type": _spec(cursor)}
        if cursor.accept("COMMENT") or (cursor.current is not None and cursor.current.text not in (",", close)):
            field["description"] = cursor.string("a comment")
        fields.append(field)
        if not cursor.accept(","):
            break
    cursor.expect(close)
    return {"type": "ROW", "fields": fields}


def _numbers(cursor: Cursor, count_max: int) -> list[int]:
    """( n[, m] ), or nothing."""
    if not cursor.accept("("):
        return []
    numbers = [cursor.number()]
    while len(numbers) < count_max and cursor.accept(","):
        numbers.append(cursor.number())
    cursor.expect(")")
    return numbers

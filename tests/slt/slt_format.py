"""Arrow values as sqllogictest text: from Arrow scalars, never from `str` of a Python object (digits would be lost)."""

import math
from typing import Any

import pyarrow as pa


def rows(table: pa.Table, types: str) -> list[list[str]]:
    """Each row as a list of cells. types: one letter a column (`I` `R` `T` `B` `D` `P` `?`); fewer letters mean `?`."""
    columns = [[cell(v, types[i] if i < len(types) else "?") for v in column] for i, column in enumerate(table.columns)]
    return [list(row) for row in zip(*columns, strict=True)] if columns else []


def cell(scalar: pa.Scalar, letter: str = "?") -> str:
    """NULL, (empty), integers as they are, decimals with their scale, floats in the shortest form that round-trips."""
    if not scalar.is_valid:
        return "NULL"
    kind = scalar.type
    if letter == "I" and not (pa.types.is_integer(kind) or pa.types.is_string(kind)):
        return str(int(scalar.as_py()))
    if pa.types.is_boolean(kind):
        return "true" if scalar.as_py() else "false"
    if pa.types.is_floating(kind):
        return number(scalar.as_py())
    if pa.types.is_decimal(kind):
        return f"{scalar.as_py():f}"
    if pa.types.is_timestamp(kind):
        return _timestamp(scalar)
    if pa.types.is_binary(kind) or pa.types.is_large_binary(kind):
        return "x'" + scalar.as_py().hex() + "'"
    return _nested(scalar) if pa.types.is_nested(kind) else str(scalar.as_py()) or "(empty)"


def number(value: float) -> str:
    if math.isnan(value):
        return "NaN"
    if math.isinf(value):
        return "Infinity" if value > 0 else "-Infinity"
    return str(int(value)) + ".0" if value == int(value) and abs(value) < 1e15 else repr(value)


def _timestamp(scalar: pa.Scalar) -> str:
    digits = {"s": 0, "ms": 3, "us": 6, "ns": 9}[scalar.type.unit]
    units = scalar.cast(pa.int64()).as_py()
    seconds, fraction = divmod(units, 10**digits)
    whole = pa.scalar(seconds, pa.timestamp("s")).as_py()
    return f"{whole.isoformat(sep=chr(32))}" + (f".{fraction:0{digits}d}" if digits else "")


def _nested(scalar: Any) -> str:
    kind = scalar.type
    if pa.types.is_map(kind):
        entries = [f"{cell(e['key'])}={cell(e['value'])}" for e in scalar.values]
        return "{" + ", ".join(sorted(entries)) + "}"
    if pa.types.is_struct(kind):
        return "(" + ", ".join(cell(v) for v in scalar.values()) + ")"
    return "[" + ", ".join(cell(v) for v in scalar.values) + "]"


def same(got: str, wanted: str, letter: str) -> bool:
    """Equal text; `R` columns within a relative 1e-9."""
    if got == wanted:
        return True
    if letter != "R":
        return False
    try:
        return math.isclose(float(got), float(wanted), rel_tol=1e-9, abs_tol=1e-12)
    except ValueError:
        return False

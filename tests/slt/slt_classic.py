"""An answer as other sqllogictest runners write it, so that their files run here as they are.

SQLite's runner: one value a line, `I` as `%d`, `R` as `%.3f`, rows sorted as text; long answers as their MD5.
sqllogictest-rs: one row a line, values separated by one space.
"""

import hashlib
import re

import pyarrow as pa
import slt_format


def agrees(table: pa.Table, types: str, sort: str, wanted: list[str]) -> bool:
    """Whether `wanted` is this answer in either form."""
    values = _flat([[cell(v, types[i : i + 1]) for i, v in enumerate(row)] for row in _scalars(table)], sort)
    if values == wanted or [digest(values)] == wanted:
        return True
    rows = [" ".join(row).split() for row in slt_format.rows(table, types)]
    split = [line.split() for line in wanted]
    return sorted(rows) == sorted(split) if sort in ("rowsort", "valuesort") else rows == split


def digest(values: list[str]) -> str:
    """The line that stands for a long answer."""
    return f"{len(values)} values hashing to {hashlib.md5(''.join(v + chr(10) for v in values).encode()).hexdigest()}"


def cell(scalar: pa.Scalar, letter: str) -> str:
    """One value as SQLite's runner prints it under that letter; text under `I` counts as the number it begins with."""
    value = scalar.as_py()
    if value is None:
        return "NULL"
    if letter == "I":
        number = re.match(r"\s*[+-]?\d+", value) if isinstance(value, str) else value
        return str(int(number.group() if isinstance(number, re.Match) else number or 0))
    if letter == "R":
        return f"{float(value):.3f}"
    if isinstance(value, bool):
        return str(int(value))
    text = f"{value:.15g}" if isinstance(value, float) else str(value)
    return re.sub(r"[^ -~]", "@", text) or "(empty)"


def _scalars(table: pa.Table) -> list[tuple[pa.Scalar, ...]]:
    return list(zip(*table.columns, strict=True))


def _flat(rows: list[list[str]], sort: str) -> list[str]:
    values = [value for row in (sorted(rows) if sort == "rowsort" else rows) for value in row]
    return sorted(values) if sort == "valuesort" else values

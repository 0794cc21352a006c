"""Rows that the user has in Python, as Arrow: what is registered or appended, and the variables that a query names."""

import sys
from typing import Any

import pyarrow as pa

from tsdb.data_types import from_arrow, to_arrow
from tsdb.errors import InterfaceError, ProgrammingError

_KINDS = "Arrow, pandas, polars or an Arrow stream"
_OWN = "tsdb"


def arrow_table(rows: Any, what: str) -> pa.Table:
    """rows with the column types that tables have. what: the call, for its error."""
    if isinstance(rows, pa.RecordBatchReader):
        table = rows.read_all()
    elif isinstance(rows, pa.Table):
        table = rows
    elif _package(rows) == "pandas" and type(rows).__name__ == "DataFrame":
        table = pa.Table.from_pandas(rows, preserve_index=False)
    elif _package(rows) == "polars" and type(rows).__name__ == "LazyFrame":
        table = pa.table(rows.collect())
    elif _is_table(rows):
        table = pa.table(rows)
    else:
        raise InterfaceError(f"{what}: {type(rows).__name__} is no table; give {_KINDS}")
    fields = [pa.field(f.name, to_arrow(from_arrow(f.type, f.nullable)), f.nullable) for f in table.schema]
    return table.cast(pa.schema(fields))


def variable(name: str) -> pa.Table | None:
    """The rows of the caller's variable of this name, local or global; None if there is none.

    The caller is the innermost frame that is not of this package. Raises ProgrammingError for a variable whose rows
    can be read only once: a second look at it would find nothing.
    """
    frame = sys._getframe(1)
    while frame.f_back is not None and str(frame.f_globals.get("__name__", "")).partition(".")[0] == _OWN:
        frame = frame.f_back
    value = frame.f_locals[name] if name in frame.f_locals else frame.f_globals.get(name)
    if isinstance(value, pa.RecordBatchReader) or _package(value) == _OWN:
        if not hasattr(value, "__arrow_c_stream__"):
            return None
        raise ProgrammingError(
            f"the Python variable `{name}` is a {type(value).__name__}, whose rows can be read only once; make a table "
            f"of it: {name} = {name}.{'read_all' if isinstance(value, pa.RecordBatchReader) else 'arrow'}()"
        )
    return arrow_table(value, f"the Python variable `{name}`") if _is_table(value) else None


def _is_table(value: Any) -> bool:
    """Columns with names: Arrow arrays and pandas series, which give streams as well, are none."""
    if _package(value) == "polars":
        return type(value).__name__ in ("DataFrame", "LazyFrame")
    if isinstance(value, type | pa.Array | pa.ChunkedArray) or type(value).__name__ == "Series":
        return False
    return hasattr(value, "__arrow_c_stream__") or isinstance(value, pa.RecordBatch)


def _package(value: Any) -> str:
    return type(value).__module__.partition(".")[0]

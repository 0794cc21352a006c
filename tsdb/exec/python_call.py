"""How functions written in Python are called: with Arrow arrays, whatever they take.

These are the places with a loop over rows. An exception says which function raised it, and at which line: DataFusion
hands on nothing but its text.
"""

from __future__ import annotations

import pickle
import traceback
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pyarrow as pa
from datafusion.user_defined import Accumulator

from tsdb.errors import DataError

_PACKAGE = str(Path(__file__).parent.parent)


def checked(name: str, function: Callable[..., Any], result: pa.DataType) -> Callable[..., pa.Array]:
    """A function of arrays, whose result is checked."""

    def call(*arrays: pa.Array) -> pa.Array:
        with _named(name):
            values = function(*arrays)
            if isinstance(values, pa.ChunkedArray):
                values = values.combine_chunks()
            if not isinstance(values, pa.Array):
                values = pa.array(values, result)
            if arrays and len(values) != len(arrays[0]):
                raise ValueError(f"it gave {len(values)} values for {len(arrays[0])} rows")
            return values.cast(result)

    return call


def by_row(
    name: str, function: Callable[..., Any], result: pa.DataType, calls_with_null: bool
) -> Callable[..., pa.Array]:
    """A function of one row, over arrays."""

    def call(*arrays: pa.Array) -> pa.Array:
        with _named(name):
            rows = zip(*(array.to_pylist() for array in arrays), strict=True)
            if calls_with_null:
                return pa.array([function(*row) for row in rows], result)
            return pa.array([None if None in row else function(*row) for row in rows], result)

    return call


def by_row_to_rows(name: str, function: Callable[..., Any], result: pa.ListType) -> Callable[..., pa.Array]:
    """A function that gives some rows for each row: tuples, dicts or, of one column, values; None gives none."""
    columns = [field.name for field in result.value_type]

    def row(value: Any) -> dict[str, Any]:
        values = value if isinstance(value, Mapping) else (value,) if len(columns) == 1 else value
        if isinstance(values, Mapping):
            if set(values) - set(columns):
                raise ValueError(f"it gave the columns {', '.join(map(str, values))}, not {', '.join(columns)}")
            return dict(values)
        values = values[0] if len(columns) == 1 and isinstance(values[0], tuple) else values
        if not isinstance(values, tuple | list) or len(values) != len(columns):
            raise ValueError(f"it gave the row {values!r}, not one of the columns {', '.join(columns)}")
        return dict(zip(columns, values, strict=True))

    def call(*arrays: pa.Array) -> pa.Array:
        with _named(name):
            rows = zip(*(array.to_pylist() for array in arrays), strict=True)
            given = [[] if None in values else [row(value) for value in function(*values) or ()] for values in rows]
            return pa.array(given, result)

    return call


def wrapped_accumulator(name: str, accumulator: type, result: pa.DataType) -> type[Accumulator]:
    """The user's aggregate as DataFusion wants it."""

    class Wrapped(Accumulator):
        """The user's aggregate as DataFusion wants it: states travel as pickled bytes."""

        def __init__(self) -> None:
            with _named(name):
                self._inner = accumulator()

        def update(self, *values: pa.Array) -> None:
            with _named(name):
                self._inner.step(*values)

        def merge(self, states: list[pa.Array]) -> None:
            with _named(name):
                for state in states[0].to_pylist():
                    self._inner.merge(pickle.loads(state))

        def state(self) -> list[pa.Scalar]:
            with _named(name):
                return [pa.scalar(pickle.dumps(self._inner.state()), pa.binary())]

        def evaluate(self) -> pa.Scalar:
            with _named(name):
                return pa.scalar(self._inner.finish(), result)

    return Wrapped


@contextmanager
def _named(name: str) -> Iterator[None]:
    try:
        yield
    except DataError:
        raise
    except Exception as err:
        raise DataError(f"function `{name}` failed: {type(err).__name__}: {err}{_line_of(err)}") from err


def _line_of(err: Exception) -> str:
    """Where the user's code was: its innermost line, as far as it is written in Python."""
    theirs = [frame for frame in traceback.extract_tb(err.__traceback__) if not frame.filename.startswith(_PACKAGE)]
    if not theirs:
        return ""
    frame = theirs[-1]
    source = f": {frame.line}" if frame.line else ""
    return f" ({Path(frame.filename).name}, line {frame.lineno}, in {frame.name}{source})"

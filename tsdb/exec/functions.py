"""Functions that users write in Python, in SQL under a name: of values, and aggregates.

DataFusion calls them with Arrow arrays; a `native` function is called row by row with Python values, which is slow. An
exception in one ends the statement, and says so under the function's name.
"""

from __future__ import annotations

import importlib
import inspect
import pickle
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from typing import Any, get_type_hints

import pyarrow as pa
from datafusion import AggregateUDF, ScalarUDF, SessionContext, udaf, udf
from datafusion.user_defined import Accumulator

from tsdb.data_types import parse_type, to_arrow
from tsdb.errors import AlreadyExists, DataError, ProgrammingError, nearest
from tsdb.exec.builtin import register_built_in
from tsdb.sql.functions import FUNCTIONS
from tsdb.sql.statements import CreateFunction, DropFunction

_PYTHON_TYPES: Mapping[type, str] = {
    int: "BIGINT",
    float: "DOUBLE",
    str: "STRING",
    bool: "BOOLEAN",
    bytes: "BYTES",
    date: "DATE",
    datetime: "TIMESTAMP(6)",
    time: "TIME(3)",
    Decimal: "DECIMAL(38, 18)",
}


@dataclass(slots=True)
class Functions:
    """The functions of a session, by lower-case name."""

    scalars: dict[str, ScalarUDF] = field(default_factory=dict)
    aggregates: dict[str, AggregateUDF] = field(default_factory=dict)
    volatile: set[str] = field(default_factory=set)

    def add(
        self,
        name: str,
        function: Callable[..., Any],
        parameters: Sequence[Any] | None,
        return_type: Any,
        *,
        arrow: bool,
        calls_with_null: bool = False,
        volatile: bool = False,
        replaces: bool = False,
    ) -> None:
        """A function of values. parameters, return_type: SQL or Arrow types; None: the function's annotations.

        arrow: it takes and gives whole arrays. calls_with_null: a native one is called for NULLs, too; else a NULL
        gives NULL. volatile: it may give another value each time.
        """
        key = self._new(name, replaces)
        types, result = signature(name, function, parameters, return_type)
        wanted = _checked(name, function, result) if arrow else _by_row(name, function, result, calls_with_null)
        self.scalars[key] = udf(wanted, types, result, "volatile" if volatile else "immutable", key)
        if volatile:
            self.volatile.add(key)

    def add_aggregate(
        self, name: str, accumulator: type, parameters: Sequence[Any], return_type: Any, *, replaces: bool = False
    ) -> None:
        """An aggregate. accumulator: a class with `step(self, *arrays)`, `state(self)`, `merge(self, state)` and
        `finish(self)`; a state is any Python object that pickles.
        """
        key = self._new(name, replaces)
        types, result = signature(name, accumulator, parameters, return_type)
        self.aggregates[key] = udaf(
            _accumulator(name, accumulator, result), types, result, [pa.binary()], "stable", key
        )

    def remove(self, name: str) -> bool:
        """Forget a function; False if there is none."""
        key = name.lower()
        self.volatile.discard(key)
        return self.scalars.pop(key, None) is not None or self.aggregates.pop(key, None) is not None

    def register(self, context: SessionContext) -> None:
        """Make the functions known to a context, and those that are built in."""
        register_built_in(context)
        for scalar in self.scalars.values():
            context.register_udf(scalar)
        for aggregate in self.aggregates.values():
            context.register_udaf(aggregate)

    def names(self) -> list[str]:
        """All names."""
        return sorted([*self.scalars, *self.aggregates])

    def _new(self, name: str, replaces: bool) -> str:
        key = name.lower()
        if key.upper() in FUNCTIONS or key in built_in():
            raise AlreadyExists(f"`{name}` is a built-in function; choose another name")
        if not replaces and key in self.names():
            raise AlreadyExists(f"function `{name}` exists; DROP it first")
        self.remove(name)
        return key


def signature(
    name: str, function: Callable[..., Any], parameters: Sequence[Any] | None, return_type: Any
) -> tuple[list[pa.DataType], pa.DataType]:
    """The Arrow types of the arguments and of the result."""
    hints: dict[str, Any] = {}
    if parameters is None or return_type is None:
        hints = get_type_hints(function)
    if parameters is None:
        given = list(inspect.signature(function).parameters)
        missing = next((key for key in given if key not in hints), None)
        if missing is not None:
            raise ProgrammingError(
                f"function `{name}`: the type of `{missing}` is not known; annotate it, or give parameters=[…]"
            )
        parameters = [hints[key] for key in given]
    if return_type is None:
        if "return" not in hints:
            raise ProgrammingError(f"function `{name}`: its result has no type; annotate it, or give return_type")
        return_type = hints["return"]
    return [_arrow_type(name, kind) for kind in parameters], _arrow_type(name, return_type)


def load(path: str) -> Callable[..., Any]:
    """The Python object `module.name`. Raises ProgrammingError when it is not there."""
    module, _, attribute = path.rpartition(".")
    try:
        loaded = importlib.import_module(module) if module else None
    except ImportError as err:
        raise ProgrammingError(f"'{path}': module `{module}` cannot be imported: {err}") from err
    found = getattr(loaded, attribute, None)
    if not callable(found):
        raise ProgrammingError(f"'{path}' is no Python function; write 'module.function'")
    return found  # type: ignore[no-any-return] # getattr


def _arrow_type(name: str, kind: Any) -> pa.DataType:
    if isinstance(kind, pa.DataType):
        return kind
    text = _PYTHON_TYPES.get(kind) if isinstance(kind, type) else kind
    if not isinstance(text, str):
        listed = ", ".join(sorted(known.__name__ for known in _PYTHON_TYPES))
        raise ProgrammingError(
            f"function `{name}`: {kind!r} is no type; use SQL types as text, Arrow types, or {listed}"
        )
    return to_arrow(parse_type(text))


@cache
def built_in() -> frozenset[str]:
    """The functions of DataFusion, by lower-case name."""
    context = SessionContext()
    return frozenset([*context.udfs(), *context.udafs(), *context.udwfs()])


def _checked(name: str, function: Callable[..., Any], result: pa.DataType) -> Callable[..., pa.Array]:
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


def _by_row(
    name: str, function: Callable[..., Any], result: pa.DataType, calls_with_null: bool
) -> Callable[..., pa.Array]:
    """The one place with a loop over rows: the function takes one row."""

    def call(*arrays: pa.Array) -> pa.Array:
        with _named(name):
            rows = zip(*(array.to_pylist() for array in arrays), strict=True)
            if calls_with_null:
                return pa.array([function(*row) for row in rows], result)
            return pa.array([None if None in row else function(*row) for row in rows], result)

    return call


def _accumulator(name: str, accumulator: type, result: pa.DataType) -> type[Accumulator]:
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
    """Exceptions say which function raised them; DataFusion hands on nothing but their text."""
    try:
        yield
    except DataError:
        raise
    except Exception as err:
        raise DataError(f"function `{name}` failed: {type(err).__name__}: {err}") from err


def create_function(statement: CreateFunction, functions: Functions) -> None:
    """CREATE TEMPORARY FUNCTION."""
    name = statement.name
    if statement.if_not_exists and name.lower() in functions.names():
        return
    function = load(statement.path)
    if isinstance(function, type):
        parameters = getattr(function, "parameters", ())
        functions.add_aggregate(name, function, parameters, getattr(function, "return_type", None))
    else:
        arrow = bool(getattr(function, "arrow", False))
        functions.add(name, function, None, None, arrow=arrow, replaces=statement.or_replace)


def drop_function(statement: DropFunction, functions: Functions) -> None:
    """DROP TEMPORARY FUNCTION."""
    if not functions.remove(statement.name) and not statement.if_exists:
        hint = nearest(statement.name, functions.names())
        raise ProgrammingError(f"there is no function `{statement.name}` of this session.{hint}")

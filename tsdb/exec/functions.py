"""Functions that users write in Python, in SQL under a name: of values, aggregates, and of tables.

DataFusion calls them with Arrow arrays; a `native` function is called row by row with Python values, which is slow. A
function of tables is one that gives a list of rows, which `table_functions` unnests where it stands in FROM.
"""

from __future__ import annotations

import importlib
import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from decimal import Decimal
from functools import cache
from typing import Any, get_type_hints

import pyarrow as pa
from datafusion import AggregateUDF, ScalarUDF, SessionContext, udaf, udf

from tsdb.data_types import from_arrow, parse_type, to_arrow
from tsdb.errors import AlreadyExists, ProgrammingError, nearest
from tsdb.exec.builtin import register_built_in
from tsdb.exec.python_call import by_row, by_row_to_rows, checked, wrapped_accumulator
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
    tables: dict[str, pa.ListType] = field(default_factory=dict)
    parameters: dict[str, list[pa.DataType]] = field(default_factory=dict)
    facts: dict[str, dict[str, str]] = field(default_factory=dict)
    """What DESCRIBE FUNCTION says of each."""
    texts: dict[str, str] = field(default_factory=dict)
    """The statement that made it, of each that a statement made."""

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
        wanted = checked(name, function, result) if arrow else by_row(name, function, result, calls_with_null)
        self.scalars[key] = udf(wanted, types, result, "volatile" if volatile else "immutable", key)
        if volatile:
            self.volatile.add(key)
        kind = "of arrays" if arrow else "of values"
        self._describe(key, function, kind, types, from_arrow(result).sql(), streams=not volatile)

    def add_aggregate(
        self, name: str, accumulator: type, parameters: Sequence[Any], return_type: Any, *, replaces: bool = False
    ) -> None:
        """An aggregate. accumulator: a class with `step(self, *arrays)`, `state(self)`, `merge(self, state)` and
        `finish(self)`; a state is any Python object that pickles.
        """
        key = self._new(name, replaces)
        types, result = signature(name, accumulator, parameters, return_type)
        self.aggregates[key] = udaf(
            wrapped_accumulator(name, accumulator, result), types, result, [pa.binary()], "stable", key
        )
        self._describe(key, accumulator, "aggregate", types, from_arrow(result).sql())

    def add_table(
        self,
        name: str,
        function: Callable[..., Any],
        parameters: Sequence[Any] | None,
        columns: Mapping[str, Any],
        *,
        replaces: bool = False,
    ) -> None:
        """A function of tables: for a row of arguments it gives rows. columns: their names and types."""
        key = self._new(name, replaces)
        if not columns:
            raise ProgrammingError(f"function `{name}`: a function of tables has one column at least")
        types, _ = signature(name, function, parameters, "INT")
        fields = [pa.field(column, _arrow_type(name, kind)) for column, kind in columns.items()]
        result = pa.list_(pa.field("element", pa.struct(fields)))
        self.scalars[key] = udf(by_row_to_rows(name, function, result), types, result, "immutable", key)
        self.tables[key] = result
        gives = ", ".join(f"{f.name} {from_arrow(f.type).sql()}" for f in fields)
        self._describe(key, function, "of tables", types, f"({gives})")

    def remove(self, name: str) -> bool:
        """Forget a function; False if there is none."""
        key = name.lower()
        self.volatile.discard(key)
        for known in (self.tables, self.parameters, self.facts, self.texts):
            known.pop(key, None)
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

    def _describe(
        self,
        key: str,
        function: Callable[..., Any],
        kind: str,
        types: Sequence[pa.DataType],
        result: str,
        *,
        streams: bool = True,
    ) -> None:
        self.parameters[key] = list(types)
        code = getattr(function, "__code__", None)
        place = "" if code is None else f" ({code.co_filename}, line {code.co_firstlineno})"
        module = getattr(function, "__module__", None) or "builtins"
        self.facts[key] = {
            "name": key,
            "kind": f"USER, {kind}",
            "signature": f"{key.upper()}({', '.join(from_arrow(t).sql() for t in types)}) → {result}",
            "language": "PYTHON",
            "python": f"{module}.{getattr(function, '__qualname__', function)}{place}",
            "streaming": "yes" if streams else "no: it has side effects",
        }

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


def create_function(statement: CreateFunction, functions: Functions) -> None:
    """CREATE TEMPORARY FUNCTION."""
    name = statement.name
    if statement.if_not_exists and name.lower() in functions.names():
        return
    function = load(statement.path)
    parameters = getattr(function, "parameters", None)
    columns = getattr(function, "columns", None)
    if columns is not None:
        functions.add_table(name, function, parameters, columns, replaces=statement.or_replace)
    elif isinstance(function, type):
        result = getattr(function, "return_type", None)
        functions.add_aggregate(name, function, parameters or (), result, replaces=statement.or_replace)
    else:
        arrow, result = bool(getattr(function, "arrow", False)), getattr(function, "return_type", None)
        functions.add(name, function, parameters, result, arrow=arrow, replaces=statement.or_replace)
    functions.texts[name.lower()] = f"CREATE TEMPORARY FUNCTION `{name}` AS '{statement.path}' LANGUAGE PYTHON"


def drop_function(statement: DropFunction, functions: Functions) -> None:
    """DROP TEMPORARY FUNCTION."""
    if not functions.remove(statement.name) and not statement.if_exists:
        hint = nearest(statement.name, functions.names())
        raise ProgrammingError(f"there is no function `{statement.name}` of this session.{hint}")

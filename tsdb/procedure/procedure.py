"""What a procedure is: a name, typed arguments, and what it does to the catalog.

`bind` turns the arguments of a CALL, by place or by name, into the values a procedure runs with.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from tsdb.catalog.catalog import Catalog, ConnectorTable
from tsdb.errors import NotSupportedError, ProgrammingError, nearest
from tsdb.table.table import Identifier, Table

ArgumentType = Literal["string", "int", "table", "partitions"]
_PYTHON_TYPES: Mapping[str, type] = {"string": str, "int": int, "table": str, "partitions": str}


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument. type: `table` is the text `db.t`, `partitions` the text `a=1,b=2;a=3`."""

    name: str
    type: ArgumentType
    description: str
    required: bool = False


@dataclass(frozen=True, slots=True)
class Procedure:
    """A procedure. work(catalog, arguments by name; absent ones are left out): what it says about its work."""

    name: str
    description: str
    arguments: tuple[Argument, ...]
    work: Callable[[Catalog, Mapping[str, Any]], pa.Table]

    def run(self, catalog: Catalog, positional: Sequence[Any] = (), named: Mapping[str, Any] | None = None) -> pa.Table:
        """Do it with the arguments of a CALL. Raises ProgrammingError for arguments it does not take."""
        return self.work(catalog, bind(self, positional, named or {}))


def bind(procedure: Procedure, positional: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name; NULL counts as absent. Raises ProgrammingError that says what the procedure takes."""
    names = [argument.name for argument in procedure.arguments]
    takes = f"{procedure.name}({', '.join(a.name + ('' if a.required else '?') for a in procedure.arguments)})"
    if len(positional) > len(names):
        raise ProgrammingError(f"procedure {takes} takes at most {len(names)} arguments, not {len(positional)}")
    given = dict(zip(names, positional, strict=False))
    for name, value in named.items():
        if name not in names:
            raise ProgrammingError(f"procedure {takes} has no argument `{name}`.{nearest(name, names)}")
        if name in given:
            raise ProgrammingError(f"procedure {takes}: argument `{name}` is given twice")
        given[name] = value
    given = {name: value for name, value in given.items() if value is not None}
    for argument in procedure.arguments:
        if argument.name in given:
            _check_type(procedure, argument, given[argument.name])
        elif argument.required:
            raise ProgrammingError(f"procedure {takes} needs the argument `{argument.name}`")
    return given


def table_argument(catalog: Catalog, arguments: Mapping[str, Any]) -> Table:
    """The table that the argument `table` names. Raises TableNotFound, and NotSupportedError for connector tables."""
    text = str(arguments["table"])
    database, _, name = text.replace("`", "").rpartition(".")
    table = catalog.get_table(Identifier(database or "default", name))
    if isinstance(table, ConnectorTable):
        raise NotSupportedError(f"`{text}` is a connector table; procedures work on tables that are stored here")
    return table


def result(**columns: Any) -> pa.Table:
    """One row of values."""
    return pa.table({name: [value] for name, value in columns.items()})


def _check_type(procedure: Procedure, argument: Argument, value: Any) -> None:
    wanted = _PYTHON_TYPES[argument.type]
    if not isinstance(value, wanted) or isinstance(value, bool):
        kind = "a whole number" if wanted is int else "a text"
        raise ProgrammingError(f"procedure {procedure.name}: argument `{argument.name}` is {kind}, not {value!r}")

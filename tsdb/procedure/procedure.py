"""What a procedure is: a name, typed arguments, and what it does to the catalog.

`bind` turns the arguments of a CALL, by place or by name, into the values a procedure runs with.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import pyarrow as pa

from tsdb.catalog.catalog import Catalog, ConnectorTable
from tsdb.errors import NotSupportedError, ProgrammingError, nearest
from tsdb.options import check_table_options
from tsdb.table.compaction_watch import Watched
from tsdb.table.table import Identifier, Table

ArgumentType = Literal["string", "int", "bool", "table", "partitions"]
_PYTHON_TYPES: Mapping[str, type] = {"string": str, "int": int, "bool": bool, "table": str, "partitions": str}


@dataclass(frozen=True, slots=True)
class Argument:
    """An argument. type: `table` is the text `db.t`, `partitions` the text `a=1,b=2;a=3`.

    alias: another name for it, that of Spark where Flink's differs.
    """

    name: str
    type: ArgumentType
    description: str
    required: bool = False
    alias: str | None = None


TABLE = Argument("table", "table", "The table, as `db.t`.", required=True)


@dataclass(frozen=True, slots=True)
class Procedure:
    """A procedure. work(catalog, arguments by name; absent ones are left out): what it says about its work.

    is_variadic: further arguments by place go to the last argument, which takes a list with `;`. orders: other orders
    of arguments by place, for values whose types do not fit the first one. script: of a procedure that is short for
    statements, their text; then there is no other work. watch: what a job does in streaming mode; None: the same as in
    batch mode.
    """

    name: str
    description: str
    arguments: tuple[Argument, ...]
    work: Callable[[Catalog, Mapping[str, Any]], pa.Table]
    is_variadic: bool = False
    orders: tuple[tuple[str, ...], ...] = ()
    script: Callable[[Mapping[str, Any]], str] | None = None
    watch: Callable[[Catalog, Mapping[str, Any]], Watched] | None = None

    def run(self, catalog: Catalog, positional: Sequence[Any] = (), named: Mapping[str, Any] | None = None) -> pa.Table:
        """Do it with the arguments of a CALL. Raises ProgrammingError for arguments it does not take."""
        return self.work(catalog, bind(self, positional, named or {}))


def bind(procedure: Procedure, positional: Sequence[Any], named: Mapping[str, Any]) -> dict[str, Any]:
    """The arguments by name; NULL counts as absent. Raises ProgrammingError that says what the procedure takes."""
    names = [argument.name for argument in procedure.arguments]
    takes = f"{procedure.name}({', '.join(a.name + ('' if a.required else '?') for a in procedure.arguments)})"
    if procedure.is_variadic and len(positional) > len(names):
        place = len(names) - 1
        positional = [*positional[:place], ";".join(map(str, positional[place:]))]
    if len(positional) > len(names):
        raise ProgrammingError(f"procedure {takes} takes at most {len(names)} arguments, not {len(positional)}")
    given = dict(zip(_order(procedure, names, positional), positional, strict=False))
    aliases = {argument.alias: argument.name for argument in procedure.arguments if argument.alias is not None}
    for given_name, value in named.items():
        name = aliases.get(given_name, given_name)
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


def _order(procedure: Procedure, names: Sequence[str], positional: Sequence[Any]) -> Sequence[str]:
    """The names of the arguments by place: the first order that the values fit, else that of the declaration."""
    types = {argument.name: _PYTHON_TYPES[argument.type] for argument in procedure.arguments}
    for order in (names, *procedure.orders):
        pairs = list(zip(order, positional, strict=False))
        if len(pairs) == len(positional) and all(v is None or type(v) is types[name] for name, v in pairs):
            return order
    return names


def table_argument(catalog: Catalog, arguments: Mapping[str, Any]) -> Table:
    """The table that the argument `table` names. Raises TableNotFound, and NotSupportedError for connector tables."""
    text = str(arguments["table"])
    database, _, name = text.replace("`", "").rpartition(".")
    table = catalog.get_table(Identifier(database or "default", name))
    if isinstance(table, ConnectorTable):
        raise NotSupportedError(f"`{text}` is a connector table; procedures work on tables that are stored here")
    return table


def stored_tables(catalog: Catalog, text: str) -> list[Table]:
    """The table of that name, or for `db.*` all that are stored in the database."""
    database, _, name = text.replace("`", "").rpartition(".")
    if name != "*":
        return [table_argument(catalog, {"table": text})]
    names = catalog.list_tables(database or "default")
    found = (catalog.get_table(Identifier(database or "default", name)) for name in names)
    return [table for table in found if isinstance(table, Table)]


def dynamic_options(table: Table, arguments: Mapping[str, Any]) -> Table:
    """The table with the options of the argument `options`, `k=v,k=v`, for this time. Raises OptionError."""
    text = arguments.get("options")
    if text is None:
        return table
    pairs = [pair.partition("=") for pair in text.split(",")]
    options = {key.strip(): value.strip() for key, _, value in pairs}
    check_table_options(options)
    return table.for_statement(options)


def listed_result(name: str, values: Sequence[str]) -> pa.Table:
    """A row for each value."""
    return pa.table({name: pa.array(values, pa.string())})


def result(**columns: Any) -> pa.Table:
    """One row of values."""
    return pa.table({name: [value] for name, value in columns.items()})


def _check_type(procedure: Procedure, argument: Argument, value: Any) -> None:
    wanted = _PYTHON_TYPES[argument.type]
    if not isinstance(value, wanted) or (isinstance(value, bool) and wanted is not bool):
        kind = {int: "a whole number", bool: "TRUE or FALSE"}.get(wanted, "a text")
        raise ProgrammingError(f"procedure {procedure.name}: argument `{argument.name}` is {kind}, not {value!r}")

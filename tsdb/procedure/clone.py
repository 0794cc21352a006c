"""`sys.clone` and `sys.copy`: another table of the same kind with the rows that one has now, by two statements."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb.catalog.catalog import Catalog
from tsdb.errors import NotSupportedError, ProgrammingError
from tsdb.procedure.procedure import Argument, Procedure

_FOREIGN = ("catalog_conf", "target_catalog_conf", "target_table_conf", "included_tables", "excluded_tables")


def clone_script(arguments: Mapping[str, Any]) -> str:
    """CREATE TABLE … LIKE, then INSERT. Raises ProgrammingError, and NotSupportedError for other catalogs."""
    for name in _FOREIGN:
        if name in arguments:
            raise NotSupportedError(f"procedure clone: `{name}` is not supported; clone one table of this warehouse")
    if arguments.get("clone_from", "paimon") != "paimon":
        raise NotSupportedError("procedure clone: only tables of this warehouse are cloned, `clone_from` => 'paimon'")
    needed = ("database", "table", "target_database", "target_table")
    missing = [name for name in needed if name not in arguments]
    if missing:
        raise ProgrammingError(f"procedure clone needs the argument `{missing[0]}`")
    source = f"`{arguments['database']}`.`{arguments['table']}`"
    target = f"`{arguments['target_database']}`.`{arguments['target_table']}`"
    if "prefer_file_format" in arguments:
        raise NotSupportedError("procedure clone: `prefer_file_format` is not supported; use ALTER TABLE … SET")
    known = "IF NOT EXISTS " if arguments.get("clone_if_exists", True) else ""
    create = f"CREATE TABLE {known}{target} LIKE {source}"
    return create if arguments.get("meta_only") else f"{create};\n{_insert(source, target, arguments)}"


def copy_script(arguments: Mapping[str, Any]) -> str:
    """The same with whole names."""
    source, target = arguments["source_table"], arguments["target_table"]
    return f"CREATE TABLE IF NOT EXISTS {target} LIKE {source};\n{_insert(source, target, arguments)}"


def _insert(source: str, target: str, arguments: Mapping[str, Any]) -> str:
    where = f" WHERE {arguments['where']}" if "where" in arguments else ""
    return f"INSERT OVERWRITE {target} SELECT * FROM {source}{where}"


def _never(_: Catalog, __: Mapping[str, Any]) -> pa.Table:
    raise AssertionError("it is a script")


_WHERE = Argument("where", "string", "Only rows for which this is true.")
CLONE = Procedure(
    "clone",
    "Make another table of the same kind, or take one, and let it have the rows that a table has.",
    (
        Argument("database", "string", "The database of the table."),
        Argument("table", "string", "The table."),
        Argument("catalog_conf", "string", "Refused: all is in this warehouse."),
        Argument("target_database", "string", "The database of the other table."),
        Argument("target_table", "string", "The other table."),
        Argument("target_catalog_conf", "string", "Refused."),
        Argument("parallelism", "int", "Has no effect here."),
        _WHERE,
        Argument("included_tables", "string", "Refused: one table at a time."),
        Argument("excluded_tables", "string", "Refused."),
        Argument("prefer_file_format", "string", "Refused."),
        Argument("clone_from", "string", "`paimon`; others are refused."),
        Argument("meta_only", "bool", "No rows."),
        Argument("clone_if_exists", "bool", "FALSE: the other table must not be there."),
        Argument("target_table_conf", "string", "Refused."),
    ),
    _never,
    script=clone_script,
)
COPY = Procedure(
    "copy",
    "The same, as Spark calls it.",
    (
        Argument("source_table", "table", "The table, as `db.t`.", required=True),
        Argument("target_table", "table", "The other table, as `db.t`.", required=True),
        _WHERE,
    ),
    _never,
    script=copy_script,
)

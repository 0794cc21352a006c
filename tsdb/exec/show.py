"""SHOW and DESCRIBE: what there is, as rows."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import pyarrow as pa

from tsdb.catalog.catalog import ConnectorTable
from tsdb.catalog.system import GLOBAL_TABLES
from tsdb.data_types import DataField, from_arrow
from tsdb.errors import NotSupportedError, ProgrammingError, nearest
from tsdb.exec.catalogs import Mounted
from tsdb.exec.computed_columns import columns_of
from tsdb.exec.functions import Functions, built_in
from tsdb.exec.information_schema import TABLES as DESCRIBED
from tsdb.exec.local_file import find_files, looks_like_file
from tsdb.exec.materialized_definition import Definition
from tsdb.exec.names import INFORMATION_SCHEMA, SCHEMA_HOLDERS, Names
from tsdb.exec.relation import Registered, View
from tsdb.exec.session_options import SessionOptions
from tsdb.metadata.schema import TableSchema
from tsdb.metadata.virtual_columns import VirtualColumns
from tsdb.options import OPTIONS, SCAN, SESSION
from tsdb.secrets import shown_options
from tsdb.sql.functions import FUNCTIONS
from tsdb.sql.statements import Describe, ShowStatement, Statement, TableName
from tsdb.table.newest import newest_files
from tsdb.table.scan import partition_values, value_text
from tsdb.table.table import Table


def show(
    statement: ShowStatement, names: Names, options: SessionOptions, columns_of: Callable[[View], pa.Schema]
) -> pa.Table:
    """The rows of SHOW, for every kind but jobs, procedures and functions. columns_of: plans a view."""
    args = statement.args
    match statement.kind:
        case "databases":
            return listing("database_name", _mounted(names, args).catalog.list_databases(), args)
        case "tables":
            return listing("table_name", _tables(names, args), args)
        case "views":
            return listing("view_name", names.views(_database(names, args), _mounted(names, args)), args)
        case "current database":
            return listing("database_name", [names.database], {})
        case "current catalog":
            return listing("catalog_name", [names.catalogs.current.name], {})
        case "catalogs":
            return listing("catalog_name", names.catalogs.names(), args)
        case "options":
            return options_table(options, args=args)
        case "table options":
            return _table_options(names.table(args["table"], statement))
        case "columns":
            return columns_table(_schema_of(names, args["table"], columns_of, statement), args)
        case "partitions":
            return _partitions(names, args, statement)
    raise NotSupportedError(f"SHOW {statement.kind.upper()} is not supported")


def describe(statement: Describe, names: Names, columns_of: Callable[[View], pa.Schema]) -> pa.Table:
    """DESCRIBE: a row a column. columns_of: plans a view."""
    return columns_table(_schema_of(names, statement.target, columns_of, statement), {})


def function_facts(name: str, users: Functions) -> pa.Table:
    """DESCRIBE FUNCTION: what it does, with an example. Raises ProgrammingError, naming the nearest."""
    function = FUNCTIONS.get(name.upper())
    if function is not None:
        facts = {
            "name": function.name.lower(), "kind": "BUILT-IN", "signature": function.signature,
            "description": function.description, "aliases": ", ".join(function.aliases).lower(),
            "example": f"{function.example} → {function.result}",
            "streaming": "yes" if function.streams else "no: it would give another value when a row is taken back",
        }  # fmt: skip
        return facts_table(facts)
    if name.lower() in users.facts:
        return facts_table(users.facts[name.lower()])
    known = {**dict.fromkeys((f.lower() for f in FUNCTIONS), "BUILT-IN"), **dict.fromkeys(built_in(), "BUILT-IN")}
    if name.lower() not in known:
        raise ProgrammingError(f"there is no function `{name}`.{nearest(name, [*known, *users.names()])}")
    return facts_table({"name": name.lower(), "kind": known[name.lower()]})


def listing(column: str, values: Iterable[str], args: Mapping[str, Any]) -> pa.Table:
    """One column of names, those that LIKE asks for."""
    found = [value for value in values if is_wanted(value, args)]
    return pa.table({column: pa.array(found, pa.string())})


def is_wanted(value: str, args: Mapping[str, Any]) -> bool:
    """What [NOT] LIKE of a SHOW says of a name."""
    return is_like(value, args.get("like")) != bool(args.get("not"))


def is_like(value: str, pattern: str | None) -> bool:
    """SQL's LIKE, without regard to case."""
    if pattern is None:
        return True
    parts = (".*" if c == "%" else "." if c == "_" else re.escape(c) for c in pattern)
    return re.fullmatch("".join(parts), value, re.IGNORECASE | re.DOTALL) is not None


def facts_table(facts: Mapping[str, str]) -> pa.Table:
    """One row a fact: info_name, info_value, as Flink's DESCRIBE CATALOG has them."""
    return pa.table(
        {"info_name": pa.array(list(facts), pa.string()), "info_value": pa.array(list(facts.values()), pa.string())}
    )


def options_table(options: SessionOptions, only: str | None = None, args: Mapping[str, Any] | None = None) -> pa.Table:
    """key, value, and whether it was SET."""
    keys = [only] if only is not None else [o.key for o in OPTIONS if o.scope in (SESSION, SCAN)]
    keys = [key for key in keys if key != "execution.runtime-mode" and is_wanted(key, args or {})]
    return pa.table(
        {
            "key": pa.array(keys, pa.string()),
            "value": pa.array([options.get(key) for key in keys], pa.string()),
            "is_set": pa.array([key in options.values for key in keys], pa.bool_()),
        }
    )


def columns_table(schema: TableSchema, args: Mapping[str, Any]) -> pa.Table:
    """name, type, null, key, extras and comment, as Flink's DESCRIBE has them."""
    extra = columns_of(schema)
    names = [name for name in extra.names if is_wanted(name, args)]
    stored = {field.name: field for field in schema.fields}
    types = [extra.computed[n].type if n in extra.computed else stored[n].type.with_nullable(True).sql() for n in names]
    comments = [(extra.computed[n].comment if n in extra.computed else stored[n].description) for n in names]
    return pa.table(
        {
            "name": pa.array(names, pa.string()),
            "type": pa.array(types, pa.string()),
            "null": pa.array([n in extra.computed or stored[n].type.nullable for n in names], pa.bool_()),
            "key": pa.array([_key(schema, n) for n in names], pa.string()),
            "extras": pa.array([_extras(schema, n, extra) for n in names], pa.string()),
            "comment": pa.array(comments, pa.string()),
        }
    )


def _key(schema: TableSchema, name: str) -> str | None:
    return f"PRI({', '.join(schema.primary_keys)})" if name in schema.primary_keys else None


def _extras(schema: TableSchema, name: str, columns: VirtualColumns) -> str | None:
    extras = ["PARTITION KEY"] if name in schema.partition_keys else []
    if name in columns.computed:
        extras.append(f"AS {columns.computed[name].expression}")
    elif schema.field(name).default_value is not None:
        extras.append(f"DEFAULT {schema.field(name).default_value}")
    if columns.watermark is not None and columns.watermark.column == name:
        extras.append(f"WATERMARK AS {columns.watermark.expression}")
    return ", ".join(extras) or None


def _mounted(names: Names, args: Mapping[str, Any]) -> Mounted:
    return names.catalogs.get(args["catalog"]) if args.get("catalog") else names.catalogs.current


def _database(names: Names, args: Mapping[str, Any]) -> str:
    return names.database_name(args["database"], _mounted(names, args)) if args.get("database") else names.database


def _tables(names: Names, args: Mapping[str, Any]) -> list[str]:
    """Tables of both kinds and views; of the current database also what is temporary."""
    holder = str(args.get("database", "")).lower()
    if holder in SCHEMA_HOLDERS:
        return sorted(GLOBAL_TABLES if holder != INFORMATION_SCHEMA else DESCRIBED)
    database, mounted = _database(names, args), _mounted(names, args)
    temporary = names.temporary if not args.get("database") else ()
    return sorted({*mounted.catalog.list_tables(database), *mounted.views.names(database), *temporary})


def _schema_of(
    names: Names, name: TableName, columns_of: Callable[[View], pa.Schema], statement: Statement
) -> TableSchema:
    found = names.find(name)
    if found is None and len(name.parts) == 1 and looks_like_file(name.name):
        found = find_files([name.name])
    found = found or names.variable_of(name)
    if found is None:
        raise names.not_found(name, statement)
    if isinstance(found, Table | ConnectorTable):
        return found.schema
    if isinstance(found, View):
        return arrow_table_schema(columns_of(found))
    return arrow_table_schema(found.rows.schema if isinstance(found, Registered) else found.schema)


def _table_options(table: Table | ConnectorTable) -> pa.Table:
    options = shown_options(table.schema.options)
    return pa.table(
        {"key": pa.array(sorted(options), pa.string()), "value": [options[key] for key in sorted(options)]},
        schema=pa.schema([("key", pa.string()), ("value", pa.string())]),
    )


def arrow_table_schema(schema: pa.Schema) -> TableSchema:
    """The columns of a registered relation as those of a table."""
    fields = [DataField(i, f.name, from_arrow(f.type, f.nullable)) for i, f in enumerate(schema)]
    return TableSchema(id=0, fields=tuple(fields))


def _partitions(names: Names, args: Mapping[str, Any], statement: Statement) -> pa.Table:
    """`day=2024-01-31/hour=7`, one row a partition that has files."""
    table = names.table(args["table"], statement)
    if not isinstance(table, Table) or not table.schema.partition_keys:
        raise NotSupportedError(f"table `{table.identifier}` is not partitioned")
    wanted = args.get("partition") or {}
    distinct = {entry.partition for entry in newest_files(table)}
    shown = [[value_text(table, v) for v in partition_values(table, p)] for p in distinct]
    rows = [dict(zip(table.schema.partition_keys, values, strict=True)) for values in shown]
    kept = [row for row in rows if all(str(row.get(key)) == str(value) for key, value in wanted.items())]
    return pa.table({"partition": pa.array(sorted(_partition_name(row) for row in kept), pa.string())})


def _partition_name(row: Mapping[str, Any]) -> str:
    return "/".join(f"{key}={value}" for key, value in row.items())


def jobs_table(infos: Sequence[Any]) -> pa.Table:
    """SHOW JOBS."""
    return pa.table(
        {
            "job_id": pa.array([info.job_id for info in infos], pa.string()),
            "job_name": pa.array([info.name for info in infos], pa.string()),
            "status": pa.array([info.status for info in infos], pa.string()),
            "version": pa.array([info.version for info in infos], pa.int64()),
            "rows_in": pa.array([info.rows_in for info in infos], pa.int64()),
            "rows_out": pa.array([info.rows_out for info in infos], pa.int64()),
            "started_at": pa.array([info.started_at_ms for info in infos], pa.timestamp("ms")),
            "error": pa.array([info.error for info in infos], pa.string()),
        }
    )


def materialized_table(found: Sequence[tuple[str, Definition, Any]], args: Mapping[str, Any]) -> pa.Table:
    """SHOW MATERIALIZED TABLES: names, definitions, and the jobs that keep them."""
    rows = [
        {
            "table_name": name,
            "refresh_mode": kept.mode.upper(),
            "freshness": None if kept.freshness is None else f"{kept.freshness.number} {kept.freshness.unit.lower()}",
            "status": "SUSPENDED" if kept.suspended else "ON REQUEST" if kept.mode == "full" else _job_status(info),
            "runs_in": None if info is None else info.process,
            "job_name": None if info is None else info.name,
            "error": None if info is None else info.error,
        }
        for name, kept, info in found
        if is_wanted(name, args)
    ]
    names = ("table_name", "refresh_mode", "freshness", "status", "runs_in", "job_name", "error")
    return pa.Table.from_pylist(rows, schema=pa.schema([(name, pa.string()) for name in names]))


def _job_status(info: Any) -> str:
    return "STOPPED" if info is None else str(info.status)


def savepoints_table(savepoints: Sequence[Any]) -> pa.Table:
    """SHOW SAVEPOINTS."""
    kept = [savepoint.checkpoint for savepoint in savepoints]
    return pa.table(
        {
            "job_name": pa.array([checkpoint.name for checkpoint in kept], pa.string()),
            "version": pa.array([checkpoint.version for checkpoint in kept], pa.int64()),
            "created_at": pa.array([checkpoint.created_at_ms for checkpoint in kept], pa.timestamp("ms")),
            "rows_in": pa.array([checkpoint.rows_in for checkpoint in kept], pa.int64()),
            "savepoint_path": pa.array([savepoint.path for savepoint in savepoints], pa.string()),
        }
    )

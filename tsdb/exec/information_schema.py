"""`information_schema`: what a catalog holds, in the tables of the SQL standard.

Every catalog has one, of itself: `c.information_schema.tables` is about `c`. What is temporary or registered is listed
in the current database, where its bare name means it. Rows are made anew at every reading.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa

from tsdb.catalog.catalog import ConnectorTable
from tsdb.data_types import MAX_LENGTH, DataField, TypeRoot, from_arrow, parse_type
from tsdb.errors import Error
from tsdb.exec.catalogs import Mounted
from tsdb.exec.computed_columns import columns_of
from tsdb.exec.names import INFORMATION_SCHEMA, SCHEMA_HOLDERS, Named, Names
from tsdb.exec.relation import Registered, SystemTable, View
from tsdb.metadata.schema import TableSchema
from tsdb.table.table import Identifier, Table

_TEXTS = (TypeRoot.CHAR, TypeRoot.VARCHAR, TypeRoot.BINARY, TypeRoot.VARBINARY)
_TIMES = (TypeRoot.TIME, TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ)
_BITS = {TypeRoot.TINYINT: 8, TypeRoot.SMALLINT: 16, TypeRoot.INT: 32, TypeRoot.BIGINT: 64}


@dataclass(frozen=True, slots=True)
class Holder:
    """What rows are made of. columns_of: plans a view. routines: name and kind of every function."""

    names: Names
    columns_of: Callable[[View], pa.Schema]
    routines: Callable[[], Sequence[tuple[str, str]]]

    def table(self, mounted: Mounted, name: str) -> SystemTable | None:
        """`information_schema.<name>` of a catalog; None if there is no such."""
        found = TABLES.get(name)
        if found is None:
            return None
        schema, rows = found
        return SystemTable(f"{INFORMATION_SCHEMA}.{name}", schema, partial(_table, self, mounted, schema, rows))


def _table(
    holder: Holder, mounted: Mounted, schema: pa.Schema, rows: Callable[[Holder, Mounted], Iterator[tuple[Any, ...]]]
) -> pa.Table:
    columns = list(zip(*rows(holder, mounted), strict=True)) or [()] * len(schema)
    return pa.table([pa.array(values, field.type) for values, field in zip(columns, schema, strict=True)], schema)


def _objects(holder: Holder, mounted: Mounted) -> Iterator[tuple[str, str, Named, bool]]:
    """Database, name, what it is, and whether it is temporary. What can no longer be read is left out."""
    for database in mounted.catalog.list_databases():
        for name in mounted.catalog.list_tables(database):
            try:
                yield database, name, mounted.catalog.get_table(Identifier(database, name)), False
            except Error:
                continue
        for name in mounted.views.names(database):
            view = mounted.views.find(Identifier(database, name))
            if view is not None:
                yield database, name, view, False
    if mounted is holder.names.catalogs.current:
        for name, source in sorted(holder.names.temporary.items()):
            yield holder.names.database, name, source, True


def _schemata(_: Holder, mounted: Mounted) -> Iterator[tuple[Any, ...]]:
    for database in sorted({*mounted.catalog.list_databases(), *SCHEMA_HOLDERS}):
        yield mounted.name, database, None


def _tables(holder: Holder, mounted: Mounted) -> Iterator[tuple[Any, ...]]:
    for database, name, found, temporary in _objects(holder, mounted):
        kind = "VIEW" if isinstance(found, View) else "LOCAL TEMPORARY" if temporary else "BASE TABLE"
        insertable = isinstance(found, Table | ConnectorTable)
        comment = found.comment if isinstance(found, View) else None
        if isinstance(found, Table | ConnectorTable):
            comment = found.schema.comment
        yield mounted.name, database, name, kind, "YES" if insertable else "NO", comment


def _columns(holder: Holder, mounted: Mounted) -> Iterator[tuple[Any, ...]]:
    for database, name, found, _ in _objects(holder, mounted):
        for place, field in enumerate(_fields(holder, found), 1):
            kind = field.type
            text = kind.length if kind.root in _TEXTS and kind.length != MAX_LENGTH else None
            precision = _BITS.get(kind.root, kind.precision if kind.root is TypeRoot.DECIMAL else None)
            yield (
                mounted.name, database, name, field.name, place, field.default_value,
                "YES" if kind.nullable else "NO", kind.with_nullable(True).sql(), text, precision,
                kind.scale if kind.root is TypeRoot.DECIMAL else 0 if kind.root in _BITS else None,
                kind.precision if kind.root in _TIMES else None, field.description,
            )  # fmt: skip


def _fields(holder: Holder, found: Named) -> Sequence[DataField]:
    """The columns; of a view that no longer plans, none."""
    if isinstance(found, Table | ConnectorTable):
        extra = columns_of(found.schema)
        stored = {field.name: field for field in found.schema.fields}
        computed = {c.name: DataField(0, c.name, parse_type(c.type), c.comment) for c in extra.computed.values()}
        return [computed[name] if name in computed else stored[name] for name in extra.names]
    try:
        schema = holder.columns_of(found) if isinstance(found, View) else _registered(found)
    except Error:
        return ()
    return [DataField(i, f.name, from_arrow(f.type, f.nullable)) for i, f in enumerate(schema)]


def _registered(found: Named) -> pa.Schema:
    assert isinstance(found, Registered)
    return found.rows.schema


def _views(holder: Holder, mounted: Mounted) -> Iterator[tuple[Any, ...]]:
    for database, name, found, _ in _objects(holder, mounted):
        if isinstance(found, View):
            yield mounted.name, database, name, found.query, "NONE", "NO"


def _keys(holder: Holder, mounted: Mounted) -> Iterator[tuple[str, str, TableSchema]]:
    for database, name, found, _ in _objects(holder, mounted):
        if isinstance(found, Table | ConnectorTable) and found.schema.primary_keys:
            yield database, name, found.schema


def _table_constraints(holder: Holder, mounted: Mounted) -> Iterator[tuple[Any, ...]]:
    for database, name, _ in _keys(holder, mounted):
        place = mounted.name, database
        yield *place, f"PK_{name}", *place, name, "PRIMARY KEY", "NO"


def _key_column_usage(holder: Holder, mounted: Mounted) -> Iterator[tuple[Any, ...]]:
    for database, name, schema in _keys(holder, mounted):
        for place, column in enumerate(schema.primary_keys, 1):
            yield mounted.name, database, f"PK_{name}", mounted.name, database, name, column, place


def _routines(holder: Holder, mounted: Mounted) -> Iterator[tuple[Any, ...]]:
    for name, kind in holder.routines():
        yield mounted.name, "user" if kind.startswith("USER") else "sys", name, "FUNCTION", kind


def _schema(*fields: str) -> pa.Schema:
    """`name` is a required text, `name?` one that may be NULL, `name#` a number that may be NULL."""
    return pa.schema(
        [
            pa.field(field.rstrip("?#"), pa.int64() if field.endswith("#") else pa.string(), field[-1] in "?#")
            for field in fields
        ]
    )


_TABLE = ("table_catalog", "table_schema", "table_name")
_CONSTRAINT = ("constraint_catalog", "constraint_schema", "constraint_name")

TABLES: Mapping[str, tuple[pa.Schema, Callable[[Holder, Mounted], Iterator[tuple[Any, ...]]]]] = {
    "schemata": (_schema("catalog_name", "schema_name", "schema_owner?"), _schemata),
    "tables": (_schema(*_TABLE, "table_type", "is_insertable_into", "table_comment?"), _tables),
    "columns": (
        _schema(
            *_TABLE, "column_name", "ordinal_position#", "column_default?", "is_nullable", "data_type",
            "character_maximum_length#", "numeric_precision#", "numeric_scale#", "datetime_precision#",
            "column_comment?",
        ),
        _columns,
    ),
    "views": (_schema(*_TABLE, "view_definition", "check_option", "is_updatable"), _views),
    "table_constraints": (_schema(*_CONSTRAINT, *_TABLE, "constraint_type", "enforced"), _table_constraints),
    "key_column_usage": (_schema(*_CONSTRAINT, *_TABLE, "column_name", "ordinal_position#"), _key_column_usage),
    "routines": (
        _schema("routine_catalog", "routine_schema", "routine_name", "routine_type", "routine_body"),
        _routines,
    ),
}  # fmt: skip
"""The tables by name: their columns, and the function that gives their rows."""

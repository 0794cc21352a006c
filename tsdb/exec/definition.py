"""Statements that define: databases, tables and views, and changes of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

from sqlglot import exp

from tsdb.catalog.catalog import Catalog, ConnectorTable
from tsdb.connector import connector_of
from tsdb.data_types import DataField, from_arrow
from tsdb.errors import AlreadyExists, Error, NotSupportedError, ProgrammingError, TableNotFound
from tsdb.exec import computed_columns
from tsdb.exec.names import Names
from tsdb.exec.plan import QueryPlan
from tsdb.exec.relation import Registered, View
from tsdb.metadata.schema import TableSchema
from tsdb.sql import statements as sql
from tsdb.table import schema_change
from tsdb.table.log import create_log, drop_log, topic_of, with_topic
from tsdb.table.materialized import PREFIX, TYPE, is_materialized
from tsdb.table.table import Identifier, Table

Planner = Callable[[exp.Query], QueryPlan]

METADATA_PREFIX = "tsdb.metadata."
VIRTUAL_PREFIX = "tsdb.virtual."
METADATA_CONNECTORS = ("kafka", "upsert-kafka")


def create_table(statement: sql.CreateTable, names: Names, plan_of: Planner) -> Table | ConnectorTable | None:
    """CREATE TABLE without its rows; the new table, None if it was there and that is allowed."""
    identifier = names.identifier(statement.name)
    if statement.if_not_exists and names.find(statement.name) is not None:
        return None
    draft = _draft(statement, names, plan_of)
    if statement.temporary:
        if statement.name.database is not None:
            raise ProgrammingError(f"a temporary table is in no database: write `{statement.name.name}` alone")
        if "connector" not in draft.options:
            home, place = names.add_temporary_table(statement.name.name)
            try:
                return home.catalog.create_table(place, draft)
            except Error:
                names.unregister(statement.name.name)
                raise
        table = ConnectorTable(identifier, draft)
        connector_of(table).validate(table)
        names.add_temporary(statement.name.name, table)
        return table
    mounted = names.mounted(statement.name)
    if mounted.views.find(identifier) is not None:
        raise ProgrammingError(f"there is a view `{identifier}`; DROP VIEW it first, or choose another name")
    if draft.options.get("connector", "paimon") != "paimon":
        outside = ConnectorTable(identifier, draft)
        connector_of(outside).validate(outside)
    draft = with_topic(draft, identifier)
    _check_topic(draft, mounted.catalog)
    created = mounted.catalog.create_table(identifier, draft, if_not_exists=statement.if_not_exists)
    if isinstance(created, Table):
        try:
            create_log(created)
        except Error:
            mounted.catalog.drop_table(identifier)
            raise
    return created


def _check_topic(draft: TableSchema, catalog: Catalog) -> None:
    """No other table of the catalog has the topic, be it still empty."""
    if not (topic := topic_of(draft.options)):
        return
    for database in catalog.list_databases():
        for name in catalog.list_tables(database):
            other = catalog.get_table(Identifier(database, name))
            if isinstance(other, Table) and topic_of(other.options.values) == topic:
                raise ProgrammingError(
                    f"topic '{topic[1]}' is that of table `{other.identifier}`; give the new table a topic of its own "
                    "with 'kafka.topic'"
                )


def drop_table(statement: sql.DropTable, names: Names, *, materialized: bool = False) -> None:
    """DROP TABLE, temporary ones first. materialized: the table may be one."""
    found = names.find(statement.name)
    if statement.name.database is None and names.is_temporary(statement.name.name):
        if isinstance(found, Table | ConnectorTable):
            names.unregister(statement.name.name)
            return
        if isinstance(found, Registered):
            raise ProgrammingError(f"`{statement.name}` is registered from Python; unregister() forgets it")
    elif statement.temporary:
        if statement.if_exists:
            return
        raise TableNotFound(f"there is no temporary table `{statement.name}`")
    if found is None and statement.if_exists:
        return
    if isinstance(found, View):
        raise ProgrammingError(f"`{statement.name}` is a view; write DROP VIEW")
    table = names.table(statement.name, statement)
    if is_materialized(table) and not materialized:
        raise ProgrammingError(f"`{statement.name}` is a materialized table; write DROP MATERIALIZED TABLE")
    names.home_of(statement.name).drop_table(table.identifier)
    if isinstance(table, Table):
        drop_log(table)


def rename_table(statement: sql.RenameTable, names: Names) -> None:
    """ALTER TABLE … RENAME TO; a bare new name stays in the table's database."""
    if statement.if_exists and names.find(statement.name) is None:
        return
    table = names.written(statement.name, statement)
    new, mounted = statement.new_name, names.mounted(statement.name)
    if statement.name.database is None and names.is_temporary(statement.name.name):
        raise NotSupportedError(f"`{statement.name}` is temporary and cannot be renamed; CREATE it under the new name")
    if new.catalog is not None and names.mounted(new) is not mounted:
        raise NotSupportedError("a table cannot move to another catalog; CREATE TABLE … AS SELECT makes a copy there")
    database = names.database_name(new.database, mounted) if new.database else table.identifier.database
    if mounted.views.find(Identifier(database, new.name)) is not None:
        raise AlreadyExists(f"there is a view `{database}.{new.name}`; DROP VIEW it first, or choose another name")
    mounted.catalog.rename_table(table.identifier, Identifier(database, new.name))


def alter_table(statement: sql.AlterTable, names: Names, drop_partition: Callable[..., None]) -> None:
    """ALTER TABLE: all changes of the schema at once; DROP PARTITION is a change of rows."""
    if statement.if_exists and names.find(statement.name) is None:
        return
    table = names.table(statement.name, statement)
    if is_materialized(table) and not all(map(_is_plain_option, statement.changes)):
        names.written(statement.name, statement)
    changes = [change for change in statement.changes if not isinstance(change, sql.DropPartition)]
    if changes:
        names.home_of(statement.name).alter_table(table.identifier, [_change(change) for change in changes])
    for change in statement.changes:
        if isinstance(change, sql.DropPartition):
            drop_partition(table, change)


def _is_plain_option(change: sql.Change) -> bool:
    """A change of options, none of which is the definition of a materialized table."""
    keys: list[str] = []
    if isinstance(change, sql.SetTableOptions):
        keys = [*change.options]
    elif isinstance(change, sql.ResetTableOptions):
        keys = [*change.keys]
    return bool(keys) and not any(key.startswith(PREFIX) for key in keys)


def create_view(statement: sql.CreateView, names: Names, plan_of: Planner) -> None:
    """CREATE VIEW. The query must plan now, so that a view is never broken from the start."""
    identifier = names.identifier(statement.name)
    found = names.find(statement.name)
    if found is not None and not (statement.or_replace and isinstance(found, View)):
        if statement.if_not_exists:
            return
        if not (statement.temporary and not names.is_temporary(statement.name.name)):
            what = "view" if isinstance(found, View) else "table"
            raise AlreadyExists(f"{what} `{statement.name}` exists")
    names.refuse_variables(statement.query, statement)
    plan = plan_of(statement.query)
    if statement.columns is not None and len(statement.columns) != len(plan.schema):
        raise ProgrammingError(
            f"view `{statement.name}` names {len(statement.columns)} columns, but its query has {len(plan.schema)}"
        )
    mounted = names.mounted(statement.name)
    view = View(
        identifier, statement.query_text, statement.columns, statement.comment, statement.temporary, mounted.name
    )
    if statement.temporary:
        names.add_temporary(statement.name.name, view, replace=statement.or_replace)
    else:
        mounted.views.create(view, replace=statement.or_replace)


def drop_view(statement: sql.DropView, names: Names) -> None:
    """DROP VIEW, temporary ones first."""
    found = names.find(statement.name)
    if found is None:
        if statement.if_exists:
            return
        raise TableNotFound(f"view `{statement.name}` does not exist")
    if not isinstance(found, View):
        raise ProgrammingError(f"`{statement.name}` is not a view; write DROP TABLE")
    if found.temporary:
        names.unregister(statement.name.name)
    else:
        names.mounted(statement.name).views.drop(found.identifier)


def _draft(statement: sql.CreateTable, names: Names, plan_of: Planner) -> TableSchema:
    """The schema as the user wrote it, took it from another table, or as a query gives it; the catalog completes it."""
    if statement.like is not None:
        return _like(statement, names)
    options = {key: value for key, value in statement.options.items() if (key, value) != ("connector", "paimon")}
    options |= _metadata_options(statement)
    stored = tuple(column for column in statement.columns if column.computed is None)
    fields = _fields_of_query(statement, plan_of) if statement.as_select is not None else _fields(stored)
    options |= computed_columns.options_of(statement, fields, plan_of)
    return TableSchema(
        id=0,
        fields=fields,
        partition_keys=statement.partition_keys,
        primary_keys=statement.primary_key,
        options=options,
        comment=statement.comment,
    )


def _metadata_options(statement: sql.CreateTable) -> dict[str, str]:
    """METADATA columns as options of the table, where the connector finds them."""
    options = {}
    for column in statement.columns:
        if column.metadata_key is None:
            continue
        if statement.options.get("connector") not in METADATA_CONNECTORS:
            known = " and ".join(f"'{name}'" for name in METADATA_CONNECTORS)
            raise NotSupportedError(f"column `{column.name}`: only the connectors {known} have METADATA columns")
        options[METADATA_PREFIX + column.name] = column.metadata_key
        if column.virtual:
            options[VIRTUAL_PREFIX + column.name] = "true"
    return options


def _fields(columns: tuple[sql.ColumnDef, ...]) -> tuple[DataField, ...]:
    fields = []
    for i, column in enumerate(columns):
        if column.computed is not None:
            raise NotSupportedError(f"column `{column.name}`: a computed column comes with CREATE TABLE only")
        if column.type is None:
            raise ProgrammingError(f"column `{column.name}` has no type")
        fields.append(DataField(i, column.name, column.type, column.comment, column.default))
    return tuple(fields)


def _fields_of_query(statement: sql.CreateTable, plan_of: Planner) -> tuple[DataField, ...]:
    """CREATE TABLE … AS: the columns of the query, under other names or types where the statement gives them."""
    assert statement.as_select is not None
    schema = plan_of(statement.as_select).schema
    if any(column.type is not None for column in statement.columns):
        return _fields(statement.columns)
    renamed = [column.name for column in statement.columns] or schema.names
    if len(renamed) != len(schema):
        raise ProgrammingError(
            f"table `{statement.name}` names {len(renamed)} columns, but its query has {len(schema)}"
        )
    return tuple(
        DataField(i, name, from_arrow(field.type, field.nullable))
        for i, (name, field) in enumerate(zip(renamed, schema, strict=True))
    )


def _like(statement: sql.CreateTable, names: Names) -> TableSchema:
    """The columns, keys and options of another table; options of this statement over them."""
    assert statement.like is not None
    source = _without(names.table(statement.like, statement).schema, statement.like_without)
    plain = {k: v for k, v in source.options.items() if not k.startswith(PREFIX) and (k, v) != ("type", TYPE)}
    source = replace(source, options=plain)
    own = _fields(statement.columns)
    return replace(
        source,
        id=0,
        fields=(*source.fields, *(replace(field, id=len(source.fields) + i) for i, field in enumerate(own))),
        options={**source.options, **statement.options},
        primary_keys=statement.primary_key or source.primary_keys,
        partition_keys=statement.partition_keys or source.partition_keys,
        comment=statement.comment if statement.comment is not None else source.comment,
        highest_field_id=-1,
    )


def _without(schema: TableSchema, features: frozenset[str]) -> TableSchema:
    """The schema less what LIKE … EXCLUDING names."""
    kept: dict[str, str] = {}
    for key, value in schema.options.items():
        feature = next((name for prefix, name in _FEATURE_OF if key.startswith(prefix)), "OPTIONS")
        if feature not in features:
            kept[key] = value
    if "CONSTRAINTS" in features and "bucket-key" not in kept:
        kept.pop("bucket", None)  # whose rows were spread by the key that goes
    return replace(
        schema,
        options=kept,
        primary_keys=() if "CONSTRAINTS" in features else schema.primary_keys,
        partition_keys=() if "PARTITIONS" in features else schema.partition_keys,
    )


_FEATURE_OF = (
    ("schema.watermark.", "WATERMARKS"),
    ("schema.", "GENERATED"),
    (METADATA_PREFIX, "METADATA"),
    (VIRTUAL_PREFIX, "METADATA"),
    ("bucket", "DISTRIBUTION"),
)
"""What an option of a schema is, by the beginning of its key; every other one is of OPTIONS."""


def _change(change: sql.Change) -> schema_change.SchemaChange:
    """A change of the statement as one of the table's."""
    match change:
        case sql.SetTableOptions(options):
            return schema_change.SetOptions(dict(options))
        case sql.ResetTableOptions(keys):
            return schema_change.ResetOptions(keys)
        case sql.SetComment(comment):
            return schema_change.SetComment(comment)
        case sql.AddColumn(column, first, after, if_not_exists, parents):
            if column.metadata_key is not None:
                raise NotSupportedError(f"column `{column.name}`: METADATA columns come with CREATE TABLE only")
            field = _fields((column,))[0]
            return schema_change.AddColumn(
                field.name, field.type, field.description, field.default_value, first, after, if_not_exists, parents
            )
        case sql.DropColumn(name, if_exists, parents):
            return schema_change.DropColumn(name, if_exists, parents)
        case sql.RenameColumn(name, new_name, parents):
            return schema_change.RenameColumn(name, new_name, parents)
        case sql.ModifyColumn(name, kind, comment, first, after, nullable, default, drop_default, parents):
            return schema_change.ModifyColumn(
                name, kind, comment, first, after, nullable, default, drop_default, parents
            )
    raise NotSupportedError(f"ALTER TABLE: {change} is not supported")

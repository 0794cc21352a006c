"""Statements that define or change catalogs, databases, views that are there, and comments."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from tsdb.errors import AlreadyExists, NotSupportedError, ProgrammingError, TableNotFound
from tsdb.exec.catalogs import DEFAULT_DATABASE, HOME, Mounted
from tsdb.exec.create_text import name_text, string_text
from tsdb.exec.definition import Planner
from tsdb.exec.names import SCHEMA_HOLDERS, Names
from tsdb.exec.relation import View
from tsdb.secrets import shown_options
from tsdb.sql import catalog_statements as sql
from tsdb.sql.statements import TableName
from tsdb.table import schema_change

COMMENT = "comment"


def create_database(statement: sql.CreateDatabase, names: Names) -> None:
    """CREATE DATABASE, in the current catalog or the one named."""
    catalog = _mounted(statement.name, names).catalog
    name = statement.name.name
    if name.lower() in SCHEMA_HOLDERS:
        raise AlreadyExists(f"database `{name}` is always there, and describes the catalog; choose another name")
    is_new = name not in catalog.list_databases()
    catalog.create_database(name, statement.if_not_exists)
    options = dict(statement.options) | ({COMMENT: statement.comment} if statement.comment is not None else {})
    if options and is_new:
        catalog.set_database_options(name, options)


def drop_database(statement: sql.DropDatabase, names: Names) -> None:
    """DROP DATABASE; its views go with it, as its tables do, only with CASCADE."""
    mounted = _mounted(statement.name, names)
    if statement.name.name.lower() in SCHEMA_HOLDERS:
        raise ProgrammingError(f"database `{statement.name.name}` describes the catalog and cannot be dropped")
    if statement.if_exists and statement.name.name not in mounted.catalog.list_databases():
        return
    name = names.database_name(statement.name.name, mounted)
    views = mounted.views.names(name)
    if views and not statement.cascade:
        raise ProgrammingError(f"database `{name}` has {len(views)} views; drop them first, or add CASCADE")
    mounted.catalog.drop_database(name, statement.if_exists, statement.cascade)
    if mounted is names.catalogs.current and names.database == name:
        names.use(DEFAULT_DATABASE, mounted.name)


def alter_database(statement: sql.AlterDatabase, names: Names) -> None:
    """ALTER DATABASE … SET or RESET."""
    mounted = _mounted(statement.name, names)
    name = names.database_name(statement.name.name, mounted)
    kept = {k: v for k, v in mounted.catalog.database_options(name).items() if k not in statement.removed}
    mounted.catalog.set_database_options(name, {**kept, **statement.options})


def use_database(statement: sql.UseDatabase, names: Names) -> None:
    """USE name, or USE catalog.name."""
    names.use(statement.name.name, statement.name.catalog)


def drop_catalog(statement: sql.DropCatalog, names: Names) -> None:
    """DROP CATALOG or DETACH."""
    names.catalogs.drop(statement.name, if_exists=statement.if_exists)


def alter_view(statement: sql.AlterView, names: Names, plan_of: Planner) -> None:
    """ALTER VIEW: another name, or another query."""
    found = names.find(statement.name)
    if found is None and statement.if_exists:
        return
    if not isinstance(found, View):
        raise _no_view(statement.name, found is not None)
    if statement.query is not None:
        names.refuse_variables(statement.query, statement)
        plan_of(statement.query)
        _store(replace(found, query=statement.query_text, columns=None), statement.name, names)
        return
    assert statement.new_name is not None
    new = statement.new_name
    if new.database is None:
        new = TableName((*statement.name.parts[:-1], *new.parts))
    if names.find(new) is not None:
        raise AlreadyExists(f"`{new}` exists; choose another name, or DROP it first")
    if names.mounted(new) is not names.mounted(statement.name):
        raise NotSupportedError("a view cannot move to another catalog; CREATE VIEW it there")
    moved = replace(found, identifier=names.identifier(new))
    _store(moved, new, names)
    if found.temporary:
        names.unregister(statement.name.name)
    else:
        names.mounted(statement.name).views.drop(found.identifier)


def comment(statement: sql.Comment, names: Names) -> None:
    """COMMENT ON …; NULL takes the comment away."""
    name = statement.name
    if statement.kind == "database":
        database = sql.DatabaseName(name.name, name.database)
        removed = (COMMENT,) if statement.comment is None else ()
        options = {} if statement.comment is None else {COMMENT: statement.comment}
        alter_database(sql.AlterDatabase(database, options, removed), names)
        return
    found = names.find(name)
    if isinstance(found, View):
        if statement.kind != "view" and statement.kind != "table":
            raise NotSupportedError(f"`{name}` is a view; its columns have no comments")
        _store(replace(found, comment=statement.comment), name, names)
        return
    if statement.kind == "view":
        raise _no_view(name, found is not None)
    table = names.table(name, statement)
    change: schema_change.SchemaChange = schema_change.SetComment(statement.comment)
    if statement.kind == "column":
        change = schema_change.ModifyColumn(statement.column[0], comment=statement.comment or "")
    names.home_of(name).alter_table(table.identifier, [change])


def show_create(statement: sql.ShowCreate, names: Names) -> str:
    """SHOW CREATE DATABASE or CATALOG: SQL that makes the same again."""
    if statement.kind == "catalog":
        mounted = names.catalogs.get(statement.name.name)
        if mounted.name == HOME:
            raise NotSupportedError(f"`{HOME}` is the connection's own warehouse; no statement creates it")
        return f"CREATE CATALOG {name_text(mounted.name)}{_with(mounted.options)}"
    mounted = _mounted(statement.name, names)
    name = names.database_name(statement.name.name, mounted)
    options = mounted.catalog.database_options(name)
    text = f"CREATE DATABASE {name_text(name)}"
    if COMMENT in options:
        text += f" COMMENT {string_text(options.pop(COMMENT))}"
    return text + _with(options)


def description(statement: sql.DescribeThing, names: Names) -> dict[str, str]:
    """DESCRIBE DATABASE or CATALOG."""
    if statement.kind == "catalog":
        mounted = names.catalogs.get(statement.name.name)
        return {"name": mounted.name, **shown_options(mounted.catalog.options)}
    mounted = _mounted(statement.name, names)
    name = names.database_name(statement.name.name, mounted)
    return {"name": name, "catalog": mounted.name, **shown_options(mounted.catalog.database_options(name))}


def _store(view: View, name: TableName, names: Names) -> None:
    if view.temporary:
        names.add_temporary(name.name, view, replace=True)
    else:
        names.mounted(name).views.create(view, replace=True)


def _no_view(name: TableName, exists: bool) -> ProgrammingError:
    if exists:
        return ProgrammingError(f"`{name}` is not a view; write ALTER TABLE")
    return TableNotFound(f"view `{name}` does not exist")


def _mounted(name: sql.DatabaseName, names: Names) -> Mounted:
    return names.catalogs.current if name.catalog is None else names.catalogs.get(name.catalog)


def _with(options: Mapping[str, str]) -> str:
    if not options:
        return ""
    pairs = ", ".join(f"{string_text(key)} = {string_text(value)}" for key, value in shown_options(options).items())
    return f" WITH ({pairs})"

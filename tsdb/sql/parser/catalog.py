"""Statements about catalogs and databases: CREATE, DROP, ALTER, USE, ATTACH, DETACH; ALTER VIEW and COMMENT ON."""

from __future__ import annotations

from tsdb.sql.catalog_statements import (
    AlterDatabase,
    AlterView,
    Comment,
    CreateCatalog,
    CreateDatabase,
    DatabaseName,
    DropCatalog,
    DropDatabase,
    UseCatalog,
    UseDatabase,
)
from tsdb.sql.cursor import Cursor
from tsdb.sql.parser.create import unsupported
from tsdb.sql.statements import Statement, TableName


def database_name(cursor: Cursor) -> DatabaseName:
    """db, or catalog.db."""
    name = cursor.identifier("a database name")
    return DatabaseName(cursor.identifier("a database name"), name) if cursor.accept(".") else DatabaseName(name)


def read_create_catalog(cursor: Cursor) -> CreateCatalog:
    """[IF NOT EXISTS] name WITH (options)."""
    if_not_exists = cursor.accept("IF", "NOT", "EXISTS")
    name = cursor.identifier("a catalog's name")
    if cursor.accept("COMMENT"):
        cursor.string("the comment")
    options = cursor.options() if cursor.accept("WITH") else {}
    return CreateCatalog(name, options, if_not_exists)


def read_drop_catalog(cursor: Cursor) -> DropCatalog:
    """[IF EXISTS] name."""
    if_exists = cursor.accept("IF", "EXISTS")
    return DropCatalog(cursor.identifier("a catalog's name"), if_exists)


def read_attach(cursor: Cursor) -> CreateCatalog:
    """ATTACH [DATABASE] [IF NOT EXISTS] 'path' [AS name] [(TYPE paimon)]: as DuckDB has it."""
    cursor.accept_any("DATABASE", "CATALOG")
    if_not_exists = cursor.accept("IF", "NOT", "EXISTS")
    path = cursor.string("the path of a warehouse in single quotes")
    name = cursor.identifier("a catalog's name") if cursor.accept("AS") else _stem(path)
    while cursor.accept("(") or cursor.accept(","):
        if cursor.accept("READ_ONLY"):
            raise unsupported(cursor, "READ_ONLY: whoever may write to the directory may write to its tables")
        cursor.expect("TYPE")
        kind = cursor.option_value()
        if kind.lower() not in ("paimon", "tsdb"):
            raise unsupported(cursor, f"ATTACH of type {kind}: only warehouses of Paimon tables are")
        if cursor.accept(")"):
            break
    return CreateCatalog(name, {"type": "paimon", "warehouse": path}, if_not_exists)


def _stem(path: str) -> str:
    """The last part of a path, without its ending."""
    return path.rstrip("/").rpartition("/")[2].partition(".")[0] or path


def read_detach(cursor: Cursor) -> DropCatalog:
    """DETACH [DATABASE] [IF EXISTS] name."""
    cursor.accept_any("DATABASE", "CATALOG")
    return read_drop_catalog(cursor)


def read_create_database(cursor: Cursor) -> CreateDatabase:
    """[IF NOT EXISTS] name [COMMENT 'text'] [WITH (options)]."""
    if_not_exists = cursor.accept("IF", "NOT", "EXISTS")
    name = database_name(cursor)
    comment = cursor.string("the comment") if cursor.accept("COMMENT") else None
    if cursor.sees("LOCATION"):
        raise unsupported(cursor, "LOCATION of a database: it lies in its warehouse; CREATE CATALOG opens another one")
    has_options = cursor.accept("WITH", "DBPROPERTIES") or cursor.accept("WITH")
    return CreateDatabase(name, if_not_exists, comment, cursor.options() if has_options else {})


def read_drop_database(cursor: Cursor) -> DropDatabase:
    """[IF EXISTS] name [CASCADE | RESTRICT]."""
    if_exists = cursor.accept("IF", "EXISTS")
    name = database_name(cursor)
    return DropDatabase(name, if_exists, cursor.accept_any("CASCADE", "RESTRICT") == "CASCADE")


def read_alter_database(cursor: Cursor) -> AlterDatabase:
    """name SET (options) | RESET (keys)."""
    name = database_name(cursor)
    if cursor.accept("SET"):
        cursor.accept_any("DBPROPERTIES", "PROPERTIES")
        return AlterDatabase(name, cursor.options())
    if cursor.accept_any("RESET", "UNSET"):
        return AlterDatabase(name, removed=tuple(cursor.wrapped(cursor.option_key)))
    if cursor.sees("RENAME"):
        raise unsupported(cursor, "RENAME of a database: create the new one and ALTER TABLE … RENAME TO new.table")
    cursor.error("expected SET or RESET")


def read_alter_view(cursor: Cursor) -> AlterView:
    """[IF EXISTS] name RENAME TO new_name | AS query."""
    if_exists = cursor.accept("IF", "EXISTS")
    name = cursor.table_name("a view's name")
    if cursor.accept("RENAME", "TO"):
        return AlterView(name, cursor.table_name("the new name"), if_exists=if_exists)
    cursor.expect("AS")
    start = cursor.index
    query = cursor.query()
    text = cursor.script[cursor.tokens[start].start : cursor.tokens[cursor.index - 1].end + 1]
    return AlterView(name, None, query, text, if_exists)


def read_use(cursor: Cursor) -> Statement:
    """USE CATALOG name, or USE [DATABASE] [catalog.]name."""
    if cursor.sees("MODULES"):
        raise unsupported(cursor, "modules: all functions are there; SHOW FUNCTIONS lists them")
    if cursor.accept("CATALOG"):
        return UseCatalog(cursor.identifier("a catalog's name"))
    cursor.accept_any("DATABASE", "SCHEMA")
    return UseDatabase(database_name(cursor))


def read_comment(cursor: Cursor) -> Comment:
    """COMMENT ON {TABLE | VIEW | COLUMN | DATABASE | SCHEMA} name IS {'text' | NULL}."""
    cursor.expect("ON")
    kind = cursor.accept_any("TABLE", "VIEW", "COLUMN", "DATABASE", "SCHEMA")
    if kind is None:
        cursor.error("expected TABLE, VIEW, COLUMN or DATABASE")
    start = cursor.current.start if cursor.current is not None else None
    parts = [cursor.identifier("a name")]
    while cursor.accept("."):
        parts.append(cursor.identifier("a name"))
    cursor.expect("IS")
    comment = None if cursor.accept("NULL") else cursor.string("the comment")
    if kind == "COLUMN":
        if len(parts) < 2:
            cursor.error("expected table.column")
        return Comment("column", TableName(tuple(parts[:-1]), start), comment, (parts[-1],))
    return Comment("database" if kind == "SCHEMA" else kind.lower(), TableName(tuple(parts), start), comment)

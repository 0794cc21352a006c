"""Statements about the session, the catalog's contents, procedures and jobs."""

from __future__ import annotations

from typing import Any

from tsdb.sql.cursor import Cursor
from tsdb.sql.parser.constant import read_constant, read_partition
from tsdb.sql.parser.create import unsupported
from tsdb.sql.statements import (
    Call,
    Describe,
    DropJob,
    ResetOption,
    SetOption,
    ShowCreateTable,
    ShowStatement,
    Statement,
    StopJob,
    UseDatabase,
)

_SHOW_KINDS = {
    "DATABASES": "databases",
    "SCHEMAS": "databases",
    "TABLES": "tables",
    "VIEWS": "views",
    "JOBS": "jobs",
    "FUNCTIONS": "functions",
    "OPTIONS": "options",
    "PROCEDURES": "procedures",
    "CATALOGS": "catalogs",
}


def read_set(cursor: Cursor) -> SetOption:
    """SET, SET 'key', SET 'key' = 'value' or SET key = value up to the end of the statement."""
    if cursor.at_end:
        return SetOption()
    cursor.accept_any("SESSION", "LOCAL")
    key = _set_key(cursor)
    if cursor.at_end:
        return SetOption(key)
    if not cursor.accept("TO"):
        cursor.expect("=")
    if cursor.at_end:
        cursor.error("expected a value in single quotes")
    start, last = cursor.index, cursor.advance()
    while not cursor.at_end:
        last = cursor.advance()
    first = cursor.tokens[start]
    return SetOption(key, first.text if first is last else cursor.script[first.start : last.end + 1])


def read_reset(cursor: Cursor) -> ResetOption:
    """RESET or RESET 'key'."""
    if cursor.at_end or cursor.accept("ALL"):
        return ResetOption()
    return ResetOption(_set_key(cursor))


def _set_key(cursor: Cursor) -> str:
    """'a.b' or a.b-c, up to `=`, TO or the end."""
    start = cursor.index
    while not cursor.at_end and not cursor.sees("=") and not cursor.sees("TO"):
        cursor.advance()
    if cursor.index == start:
        cursor.error("expected an option's key")
    first, last = cursor.tokens[start], cursor.tokens[cursor.index - 1]
    return str(first.text) if first is last else cursor.script[first.start : last.end + 1]


def read_show(cursor: Cursor) -> Statement:
    """SHOW …"""
    cursor.accept("ALL")
    if cursor.accept("CREATE", "TABLE") or cursor.accept("CREATE", "VIEW"):
        return ShowCreateTable(cursor.table_name())
    if cursor.accept("CURRENT", "DATABASE") or cursor.accept("CURRENT", "SCHEMA"):
        return ShowStatement("current database")
    if cursor.accept("COLUMNS"):
        if not cursor.accept_any("FROM", "IN"):
            cursor.error("expected FROM and a table name")
        return ShowStatement("columns", {"table": cursor.table_name(), **_like(cursor)})
    if cursor.accept("PARTITIONS"):
        cursor.accept("FROM")
        arguments: dict[str, Any] = {"table": cursor.table_name()}
        if cursor.accept("PARTITION"):
            arguments["partition"] = read_partition(cursor)
        return ShowStatement("partitions", arguments)
    cursor.accept("USER")
    word = cursor.accept_any(*_SHOW_KINDS)
    if word is None:
        cursor.error(f"expected {', '.join(_SHOW_KINDS)}, COLUMNS, PARTITIONS or CREATE TABLE after SHOW")
    arguments = {}
    if cursor.accept_any("FROM", "IN"):
        arguments["database"] = cursor.identifier("a database name")
    return ShowStatement(_SHOW_KINDS[word], {**arguments, **_like(cursor)})


def _like(cursor: Cursor) -> dict[str, str]:
    return {"like": cursor.string("a pattern")} if cursor.accept("LIKE") else {}


def read_describe(cursor: Cursor) -> Describe:
    """DESCRIBE [EXTENDED] [TABLE] t."""
    extended = cursor.accept("EXTENDED")
    cursor.accept("TABLE")
    return Describe(cursor.table_name(), extended)


def read_use(cursor: Cursor) -> UseDatabase:
    """USE [DATABASE] name."""
    if cursor.sees("CATALOG"):
        raise unsupported(cursor, "USE CATALOG: a connection has one catalog, its warehouse; connect() to another one")
    cursor.accept_any("DATABASE", "SCHEMA")
    return UseDatabase(cursor.identifier("a database name"))


def read_call(cursor: Cursor) -> Call:
    """CALL procedure(argument, name => argument, …)."""
    parts = [cursor.identifier("a procedure's name")]
    while cursor.accept("."):
        parts.append(cursor.identifier("a procedure's name"))
    positional: list[Any] = []
    named: dict[str, Any] = {}
    cursor.expect("(")
    while not cursor.sees(")"):
        start = cursor.index
        token = cursor.advance()
        if cursor.accept("=>"):
            named[token.text] = read_constant(cursor)
        else:
            cursor.move_to(start)
            if named:
                cursor.error("arguments without a name must come first; expected name => value")
            positional.append(read_constant(cursor))
        if not cursor.accept(","):
            break
    cursor.expect(")")
    return Call(".".join(parts), tuple(positional), named)


def read_analyze(cursor: Cursor) -> Call:
    """ANALYZE TABLE t COMPUTE STATISTICS [FOR [ALL] COLUMNS a, b]: the same as CALL sys.analyze."""
    cursor.expect("TABLE")
    named = {"table": ".".join(cursor.table_name().parts)}
    if cursor.sees("PARTITION"):
        raise unsupported(cursor, "ANALYZE of partitions: statistics are those of a whole table")
    cursor.expect("COMPUTE", "STATISTICS")
    if cursor.accept("NOSCAN"):
        raise unsupported(cursor, "NOSCAN: counting rows reads the table")
    if cursor.accept("FOR", "ALL", "COLUMNS"):
        named["columns"] = "*"
    elif cursor.accept("FOR", "COLUMNS"):
        named["columns"] = ",".join(cursor.separated(cursor.identifier))
    return Call("sys.analyze", (), named)


def read_stop(cursor: Cursor) -> StopJob:
    """STOP JOB name [WITH SAVEPOINT] [WITH DRAIN]."""
    cursor.expect("JOB")
    name = _job_name(cursor)
    savepoint = cursor.accept("WITH", "SAVEPOINT")
    if cursor.sees("WITH", "DRAIN"):
        raise unsupported(cursor, "WITH DRAIN")
    return StopJob(name, savepoint)


def read_drop_job(cursor: Cursor) -> DropJob:
    """DROP JOB [IF EXISTS] name."""
    if_exists = cursor.accept("IF", "EXISTS")
    return DropJob(_job_name(cursor), if_exists)


def _job_name(cursor: Cursor) -> str:
    """'name' or a bare one with dots and dashes."""
    return cursor.option_value()

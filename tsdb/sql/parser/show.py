"""SHOW and DESCRIBE."""

from __future__ import annotations

from typing import Any

from sqlglot import exp
from sqlglot.tokenizer_core import TokenType

from tsdb.sql.catalog_statements import DatabaseName, DescribeQuery, DescribeThing, ShowCreate, Summarize
from tsdb.sql.cursor import Cursor
from tsdb.sql.parser.catalog import database_name
from tsdb.sql.parser.constant import read_partition
from tsdb.sql.parser.create import unsupported
from tsdb.sql.statements import Describe, DescribeJob, SetOption, ShowCreateTable, ShowStatement, Statement, TableName

_KINDS = {
    "DATABASES": "databases",
    "SCHEMAS": "databases",
    "TABLES": "tables",
    "VIEWS": "views",
    "JOBS": "jobs",
    "SAVEPOINTS": "savepoints",
    "FUNCTIONS": "functions",
    "OPTIONS": "options",
    "PROCEDURES": "procedures",
    "CATALOGS": "catalogs",
}
_ELSEWHERE = {
    "MODULES": "modules: all functions are there; SHOW FUNCTIONS lists them",
    "JARS": "JARs: functions are written in Python; CREATE TEMPORARY FUNCTION … LANGUAGE PYTHON",
    "INDEXES": "indexes: SELECT * FROM t$table_indexes has the ones of a table's files",
    "GRANTS": "grants: access is that of the warehouse's files",
}
_QUERY_WORDS = ("SELECT", "WITH", "VALUES", "FROM", "(")


def read_show(cursor: Cursor) -> Statement:
    """SHOW …"""
    if cursor.accept("ALL"):
        if cursor.at_end:
            return SetOption()
        raise unsupported(cursor, "SHOW ALL of that: SELECT * FROM information_schema.tables has all databases")
    if cursor.accept("CREATE"):
        return _read_create(cursor)
    if cursor.accept("MATERIALIZED", "TABLES"):
        return ShowStatement("materialized tables", _place_and_pattern(cursor, "materialized tables"))
    if cursor.accept("CURRENT"):
        what = cursor.accept_any("DATABASE", "SCHEMA", "CATALOG")
        if what is None:
            cursor.error("expected DATABASE or CATALOG after SHOW CURRENT")
        return ShowStatement("current catalog" if what == "CATALOG" else "current database")
    cursor.accept_any("FULL", "EXTENDED")
    if cursor.accept("COLUMNS"):
        if not cursor.accept_any("FROM", "IN"):
            cursor.error("expected FROM and a table name")
        return ShowStatement("columns", {"table": cursor.table_name(), **_like(cursor)})
    if cursor.accept("PARTITIONS"):
        cursor.accept_any("FROM", "IN")
        arguments: dict[str, Any] = {"table": cursor.table_name()}
        if cursor.accept("PARTITION"):
            arguments["partition"] = read_partition(cursor)
        return ShowStatement("partitions", arguments)
    if cursor.accept("TBLPROPERTIES"):
        return ShowStatement("table options", {"table": cursor.table_name()})
    return _read_listing(cursor)


def _read_listing(cursor: Cursor) -> Statement:
    """Names of one kind: SHOW TABLES [FROM database] [[NOT] LIKE 'pattern']."""
    start = cursor.index
    user = cursor.accept("USER")
    word = cursor.accept_any(*_KINDS)
    if word is None:
        cursor.move_to(start)
        for kind, why in _ELSEWHERE.items():
            if cursor.sees(kind):
                raise unsupported(cursor, why)
        if cursor.current is not None and cursor.current.text.upper() not in ("TABLE", "DATABASE", "COLUMN"):
            key = cursor.option_key()
            if cursor.at_end and "." in key:
                return SetOption(key)
            cursor.move_to(start)
        cursor.error(f"expected {', '.join(_KINDS)}, COLUMNS, PARTITIONS, CREATE … or CURRENT … after SHOW")
    arguments: dict[str, Any] = {"user": True} if user else {}
    return ShowStatement(_KINDS[word], arguments | _place_and_pattern(cursor, _KINDS[word]))


def _place_and_pattern(cursor: Cursor, kind: str) -> dict[str, Any]:
    """[FROM database] [[NOT] LIKE 'pattern']."""
    arguments: dict[str, Any] = {}
    if cursor.accept_any("FROM", "IN"):
        name = DatabaseName(cursor.identifier("a catalog's name")) if kind == "databases" else None
        found = name or database_name(cursor)
        place = {"catalog": found.name} if name is not None else {"database": found.name, "catalog": found.catalog}
        arguments |= {key: value for key, value in place.items() if value is not None}
    return {**arguments, **_like(cursor)}


def _read_create(cursor: Cursor) -> Statement:
    if cursor.accept("MATERIALIZED", "TABLE"):
        return ShowCreateTable(cursor.table_name(), materialized=True)
    what = cursor.accept_any("TABLE", "VIEW", "DATABASE", "SCHEMA", "CATALOG", "FUNCTION")
    if what in ("TABLE", "VIEW"):
        return ShowCreateTable(cursor.table_name(), view=what == "VIEW")
    if what is None:
        cursor.error("expected TABLE, VIEW, DATABASE, CATALOG or FUNCTION after SHOW CREATE")
    kind = "database" if what == "SCHEMA" else what.lower()
    return ShowCreate(kind, database_name(cursor) if kind == "database" else DatabaseName(cursor.identifier()))


def _like(cursor: Cursor) -> dict[str, Any]:
    """[NOT] {LIKE | ILIKE} 'pattern'."""
    negated = cursor.accept("NOT")
    if not cursor.accept_any("LIKE", "ILIKE"):
        if negated:
            cursor.error("expected LIKE")
        return {}
    return {"like": cursor.string("a pattern"), **({"not": True} if negated else {})}


def read_summarize(cursor: Cursor) -> Summarize:
    """SUMMARIZE [TABLE] t, 'file' or a query."""
    if any(cursor.sees(word) for word in _QUERY_WORDS):
        return Summarize(cursor.query())
    cursor.accept("TABLE")
    source = exp.From(this=cursor.relation("a table, a file or a query"))
    return Summarize(exp.Select(expressions=[exp.Star()], from_=source))


def read_describe(cursor: Cursor) -> Statement:
    """DESCRIBE [EXTENDED] [TABLE] t, a query, 'file', DATABASE d, CATALOG c, FUNCTION f or JOB j."""
    if any(cursor.sees(word) for word in _QUERY_WORDS):
        return DescribeQuery(cursor.query())
    if cursor.accept("QUERY"):
        return DescribeQuery(cursor.query())
    start = cursor.index
    kind = cursor.accept_any("DATABASE", "SCHEMA", "CATALOG", "FUNCTION")
    if kind is not None and not cursor.at_end and not cursor.sees("."):
        cursor.accept("EXTENDED")
        kind = "database" if kind == "SCHEMA" else kind.lower()
        return DescribeThing(kind, database_name(cursor) if kind == "database" else DatabaseName(cursor.identifier()))
    cursor.move_to(start)
    if cursor.accept("JOB") and not cursor.at_end and not cursor.sees("."):
        return DescribeJob(cursor.option_value())
    cursor.move_to(start)
    token = cursor.current
    if token is not None and token.token_type is TokenType.STRING:
        return Describe(TableName((cursor.string(),), token.start))
    extended = cursor.accept_any("EXTENDED", "FORMATTED") is not None
    cursor.accept("TABLE")
    if cursor.at_end:
        cursor.move_to(start)
    return Describe(cursor.table_name(), extended)

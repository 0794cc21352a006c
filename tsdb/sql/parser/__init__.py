"""SQL text → statements.

`parse_script` cuts a script into statements and reads each with the function that `STATEMENTS` has for its first
word. Anything that cannot be read is a `SqlSyntaxError` with its place in the text; anything that is understood but
not done here is a `NotSupportedError`.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Literal

from sqlglot import exp

from tsdb.errors import Error, NotSupportedError, ProgrammingError, nearest
from tsdb.sql.catalog_statements import Prepare
from tsdb.sql.cursor import Cursor, quoted
from tsdb.sql.dialect import UnexpectedToken, UnsupportedClause
from tsdb.sql.parser.alter import read_alter
from tsdb.sql.parser.catalog import (
    read_alter_database,
    read_alter_view,
    read_attach,
    read_comment,
    read_create_catalog,
    read_create_database,
    read_detach,
    read_drop_catalog,
    read_drop_database,
    read_use,
)
from tsdb.sql.parser.change import read_delete, read_insert, read_replace, read_truncate, read_update
from tsdb.sql.parser.copy import read_copy
from tsdb.sql.parser.create import read_create, read_drop, unsupported
from tsdb.sql.parser.materialized import read_alter_materialized, read_create_materialized, read_drop_materialized
from tsdb.sql.parser.merge import read_merge
from tsdb.sql.parser.session import (
    read_analyze,
    read_call,
    read_deallocate,
    read_drop_job,
    read_execute,
    read_reset,
    read_set,
    read_stop,
)
from tsdb.sql.parser.show import read_describe, read_show, read_summarize
from tsdb.sql.script import StatementTokens, position_at, split
from tsdb.sql.statements import DropSavepoint, ExecuteStatementSet, Explain, Insert, Select, Statement

_NO_TRANSACTIONS = "transactions of several statements: each statement commits by itself"
_NO_MODULES = "modules and JARs: all functions are there, and CREATE TEMPORARY FUNCTION adds ones in Python"
_NO_FORMATS = "this option of EXPLAIN: the plan is text; ANALYZE runs the query and measures it"
_NOT_SUPPORTED = {
    **dict.fromkeys(("BEGIN", "COMMIT", "ROLLBACK", "START", "SAVEPOINT", "ABORT"), _NO_TRANSACTIONS),
    **dict.fromkeys(("LOAD", "UNLOAD", "LIST", "ADD", "REMOVE", "INSTALL"), _NO_MODULES),
    **dict.fromkeys(("GRANT", "REVOKE"), "GRANT and REVOKE: access is that of the warehouse's files"),
    "KILL": "KILL: STOP JOB 'name' stops a job, cursor.cancel() a query",
    "SUBSCRIBE": "SUBSCRIBE: SET 'execution.mode' = 'streaming' and SELECT; the cursor gives the changes",
    "DECLARE": "DECLARE: a query's cursor fetches in parts by itself",
    "LOCK": "LOCK: commits that meet are redone, or fail as a conflict",
    "VACUUM": "VACUUM: CALL sys.expire_snapshots and CALL sys.remove_orphan_files",
    "OPTIMIZE": "OPTIMIZE: CALL sys.compact('t')",
    "CHECKPOINT": "CHECKPOINT: every statement is on disk when it returns",
    "REFRESH": "REFRESH: a statement always sees the newest snapshot",
    "CACHE": "CACHE: CREATE TEMPORARY TABLE … AS SELECT keeps rows for the session",
    "MSCK": "MSCK: a table's partitions are those that have rows; CALL sys.repair checks the warehouse",
    "PRAGMA": "PRAGMA: SET, SHOW and DESCRIBE",
    "EXPORT": "EXPORT: COPY t TO 'file.parquet', or copy the warehouse's directory",
    "IMPORT": "IMPORT: COPY t FROM 'file.parquet', or CREATE CATALOG over the other warehouse",
    "PIVOT": "PIVOT as a statement: SELECT * FROM t PIVOT (sum(v) FOR k IN ('a', 'b'))",
    "UNPIVOT": "UNPIVOT as a statement: SELECT * FROM t UNPIVOT (value FOR name IN (a, b))",
}


def parse_script(text: str) -> list[Statement]:
    """The statements of `text`, in order. An empty script has none."""
    return [_read(tokens) for tokens in split(text)]


def parse_one(text: str) -> Statement:
    """The one statement of `text`."""
    statements = parse_script(text)
    if len(statements) != 1:
        raise ProgrammingError(f"one statement is expected here, not {len(statements)}")
    return statements[0]


def parse_query(text: str) -> exp.Query:
    """The query of `text`, for a view's stored text."""
    statement = parse_one(text)
    if not isinstance(statement, Select):
        raise ProgrammingError("a query is expected here", position=statement.position)
    return statement.query


def _read(tokens: StatementTokens) -> Statement:
    cursor = Cursor(tokens)
    try:
        statement = read_statement(cursor)
        cursor.expect_end()
        if cursor.hints:
            hint = next(iter(cursor.hints.values()))
            raise cursor.failure_at("an OPTIONS hint must stand behind a table's name", hint.start)
        return statement
    except UnsupportedClause as error:
        position = cursor.failure("", error.token).position
        raise NotSupportedError(f"not supported: {error.message}", position=position) from None
    except UnexpectedToken as error:
        raise cursor.explain(error) from None
    except Error as error:
        error.position = error.position or cursor.failure("", cursor.current).position
        raise
    except RecursionError:
        raise ProgrammingError(
            "this statement is nested too deeply; split it into views or common table expressions",
            position=position_at(tokens.script, tokens.tokens[0].start),
        ) from None


def read_statement(cursor: Cursor) -> Statement:
    """The statement that begins at the current token."""
    start = cursor.index
    token = cursor.current
    if token is None:
        cursor.error("expected a statement")
    word = token.text.upper() if token.text != "(" else "("
    reader = STATEMENTS.get(word)
    if reader is None:
        if word in _NOT_SUPPORTED:
            raise unsupported(cursor, _NOT_SUPPORTED[word])
        hint = nearest(word, STATEMENTS)
        raise cursor.failure(f"{quoted(token.text)} does not begin a statement.{hint}", token)
    if reader is not _read_select:
        cursor.advance()
    return _placed(cursor, start, reader(cursor))


def _placed(cursor: Cursor, start: int, statement: Statement) -> Statement:
    """The statement with its place and text."""
    first, last = cursor.tokens[start], cursor.tokens[cursor.index - 1]
    return replace(
        statement,
        position=position_at(cursor.script, first.start),
        text=cursor.script[first.start : last.end + 1],
        script=cursor.script,
    )


def _read_select(cursor: Cursor) -> Statement:
    """A query; WITH … before INSERT belongs to its query, as PostgreSQL and Spark have it."""
    if cursor.sees("WITH") and (clause := _with_before_insert(cursor)) is not None:
        insert = read_insert(cursor)
        if insert.source.args.get("with_") is not None:
            raise unsupported(cursor, "two WITH clauses; put all of them behind INSERT INTO t")
        insert.source.set("with_", clause)
        return insert
    return Select(cursor.query())


def _with_before_insert(cursor: Cursor) -> exp.With | None:
    start = cursor.index
    found: exp.With = cursor.read(lambda parser: parser._parse_with(), "WITH")
    if cursor.accept("INSERT"):
        return found
    for word in ("UPDATE", "DELETE", "MERGE"):
        if cursor.sees(word):
            raise unsupported(cursor, f"WITH before {word}: put the query into USING (…) or a subquery")
    cursor.move_to(start)
    return None


def _read_create(cursor: Cursor) -> Statement:
    if cursor.accept("CATALOG"):
        return read_create_catalog(cursor)
    if cursor.accept_any("DATABASE", "SCHEMA"):
        return read_create_database(cursor)
    if cursor.accept("MATERIALIZED", "TABLE"):
        return read_create_materialized(cursor)
    return read_create(cursor)


def _read_drop(cursor: Cursor) -> Statement:
    if cursor.accept("CATALOG"):
        return read_drop_catalog(cursor)
    if cursor.accept_any("DATABASE", "SCHEMA"):
        return read_drop_database(cursor)
    if cursor.accept("MATERIALIZED", "TABLE"):
        return read_drop_materialized(cursor)
    if cursor.accept("SAVEPOINT"):
        return DropSavepoint(cursor.string("the path of a savepoint"))
    return read_drop_job(cursor) if cursor.accept("JOB") else read_drop(cursor)


def _read_alter(cursor: Cursor) -> Statement:
    if cursor.accept_any("DATABASE", "SCHEMA"):
        return read_alter_database(cursor)
    if cursor.accept("MATERIALIZED", "TABLE"):
        return read_alter_materialized(cursor)
    return read_alter_view(cursor) if cursor.accept("VIEW") else read_alter(cursor)


def _read_explain(cursor: Cursor) -> Explain:
    """EXPLAIN [PLAN FOR | ANALYZE | CHANGELOG_MODE, …] statement."""
    mode: Literal["plan", "analyze", "changelog_mode"] = "plan"
    if cursor.accept("ANALYZE"):
        mode = "analyze"
    elif any(cursor.sees("(", word) for word in ("ANALYZE", "VERBOSE", "FORMAT", "COSTS")):
        mode = _explain_options(cursor)
    elif cursor.sees("FORMAT"):
        raise unsupported(cursor, _NO_FORMATS)
    elif cursor.accept_any("VERBOSE", "EXTENDED", "FORMATTED"):
        pass
    elif not cursor.accept("PLAN", "FOR"):
        while detail := cursor.accept_any("CHANGELOG_MODE", "ESTIMATED_COST", "JSON_EXECUTION_PLAN", "PLAN_ADVICE"):
            mode = "changelog_mode" if detail == "CHANGELOG_MODE" else mode
            cursor.accept(",")
    inner = _read_statement_set(cursor) if cursor.sees("STATEMENT", "SET") else read_statement(cursor)
    return Explain(inner, mode)


def _explain_options(cursor: Cursor) -> Literal["plan", "analyze"]:
    """PostgreSQL's ( ANALYZE, VERBOSE, FORMAT TEXT )."""
    cursor.expect("(")
    mode: Literal["plan", "analyze"] = "plan"
    while not cursor.accept(")"):
        if cursor.accept("ANALYZE"):
            mode = "analyze"
        elif not (cursor.accept("VERBOSE") or cursor.accept("FORMAT", "TEXT")):
            raise unsupported(cursor, _NO_FORMATS)
        cursor.accept(",")
    return mode


def _read_statement_set(cursor: Cursor) -> ExecuteStatementSet:
    """[EXECUTE] STATEMENT SET BEGIN insert; … END."""
    cursor.expect("STATEMENT", "SET")
    cursor.accept("BEGIN")
    cursor.accept(";")
    statements: list[Insert] = []
    while not cursor.accept("END"):
        statement = read_statement(cursor)
        if not isinstance(statement, Insert):
            raise cursor.failure_at("only INSERT may stand in a statement set", _offset(cursor, statement))
        if statement.conflict is not None:
            raise cursor.failure_at("ON CONFLICT cannot stand in a statement set", _offset(cursor, statement))
        statements.append(statement)
        cursor.expect(";")
    if not statements:
        cursor.error("the statement set is empty; expected INSERT")
    return ExecuteStatementSet(tuple(statements))


def _read_execute(cursor: Cursor) -> Statement:
    return _read_statement_set(cursor) if cursor.sees("STATEMENT", "SET") else read_execute(cursor)


def _read_prepare(cursor: Cursor) -> Prepare:
    """PREPARE name AS statement."""
    name = cursor.identifier("a name for the statement")
    cursor.expect("AS")
    return Prepare(name, read_statement(cursor).text)


def _offset(cursor: Cursor, statement: Statement) -> int:
    return cursor.script.rfind(statement.text, 0, cursor.tokens[cursor.index - 1].end + 1)


def _read_begin(cursor: Cursor) -> Statement:
    if cursor.sees("STATEMENT", "SET"):
        return _read_statement_set(cursor)
    raise unsupported(cursor, _NO_TRANSACTIONS)


STATEMENTS: Mapping[str, Callable[[Cursor], Statement]] = {
    **dict.fromkeys(("SELECT", "WITH", "VALUES", "TABLE", "FROM", "("), _read_select),
    "CREATE": _read_create,
    "DROP": _read_drop,
    "ALTER": _read_alter,
    "INSERT": read_insert,
    "REPLACE": read_replace,
    "UPDATE": read_update,
    "DELETE": read_delete,
    "MERGE": read_merge,
    "COPY": read_copy,
    "TRUNCATE": read_truncate,
    "SET": read_set,
    "RESET": read_reset,
    "SHOW": read_show,
    "DESCRIBE": read_describe,
    "DESC": read_describe,
    "SUMMARIZE": read_summarize,
    "USE": read_use,
    "ATTACH": read_attach,
    "DETACH": read_detach,
    "COMMENT": read_comment,
    "EXPLAIN": _read_explain,
    "CALL": read_call,
    "ANALYZE": read_analyze,
    "STOP": read_stop,
    "EXECUTE": _read_execute,
    "PREPARE": _read_prepare,
    "DEALLOCATE": read_deallocate,
    "BEGIN": _read_begin,
}
"""The function that reads each kind of statement, by its first word."""

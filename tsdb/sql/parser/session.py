"""Statements about the session, procedures and jobs."""

from __future__ import annotations

from typing import Any

from sqlglot.tokenizer_core import TokenType

from tsdb.sql.catalog_statements import Deallocate, ExecutePrepared
from tsdb.sql.cursor import Cursor, placeholder
from tsdb.sql.parser.constant import read_constant
from tsdb.sql.parser.create import unsupported
from tsdb.sql.statements import Call, DropJob, ResetOption, SetOption, StopJob


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
    if first is last and first.token_type is TokenType.PLACEHOLDER:
        return SetOption(key, placeholder(first))
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
    return str(cursor.option_value())


def read_execute(cursor: Cursor) -> ExecutePrepared:
    """EXECUTE name [(value, …)]."""
    name = cursor.identifier("the name of a prepared statement")
    values = cursor.wrapped(lambda: read_constant(cursor)) if cursor.sees("(") else []
    return ExecutePrepared(name, tuple(values))


def read_deallocate(cursor: Cursor) -> Deallocate:
    """DEALLOCATE [PREPARE] name | ALL."""
    cursor.accept("PREPARE")
    return Deallocate(None if cursor.accept("ALL") else cursor.identifier("the name of a prepared statement"))

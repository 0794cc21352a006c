"""CREATE, ALTER and DROP MATERIALIZED TABLE, as Flink has them."""

from __future__ import annotations

import re

from sqlglot.tokenizer_core import TokenType

from tsdb.sql.cursor import Cursor
from tsdb.sql.materialized import AlterMaterializedTable, CreateMaterializedTable, DropMaterializedTable, Freshness
from tsdb.sql.parser.constant import read_partition
from tsdb.sql.parser.create import read_table, unsupported
from tsdb.sql.statements import Statement

_UNITS = ("SECOND", "MINUTE", "HOUR", "DAY")


def read_create_materialized(cursor: Cursor) -> CreateMaterializedTable:
    """[IF NOT EXISTS] name [(columns, key)] [clauses] [FRESHNESS = …] [REFRESH_MODE = …] AS query."""
    table = read_table(cursor, query=False)
    if table.like is not None:
        raise unsupported(cursor, "LIKE: the columns of a materialized table are those of its query")
    if table.watermark is not None or any(column.computed is not None for column in table.columns):
        raise unsupported(cursor, "computed columns or a WATERMARK: write them into the query")
    freshness = _freshness(cursor) if cursor.accept("FRESHNESS") else None
    full = False
    if cursor.accept("REFRESH_MODE"):
        cursor.expect("=")
        word = cursor.accept_any("CONTINUOUS", "FULL")
        if word is None:
            cursor.error("expected CONTINUOUS or FULL")
        full = word == "FULL"
    cursor.expect("AS")
    start = cursor.index
    cursor.query()
    text = cursor.script[cursor.tokens[start].start : cursor.tokens[cursor.index - 1].end + 1]
    if any(token.token_type is TokenType.PLACEHOLDER for token in cursor.tokens[start : cursor.index]):
        raise unsupported(cursor, "parameters in the query of a materialized table: write the values")
    return CreateMaterializedTable(table, text, freshness, "full" if full else "continuous")


def read_alter_materialized(cursor: Cursor) -> Statement:
    """Name, and SUSPEND, RESUME or REFRESH [PARTITION (key = value, …)]."""
    name = cursor.table_name("a materialized table's name")
    if cursor.accept("SUSPEND"):
        return AlterMaterializedTable(name, "suspend")
    if cursor.accept("RESUME"):
        if cursor.sees("WITH"):
            raise unsupported(cursor, "RESUME WITH options: SET them before")
        return AlterMaterializedTable(name, "resume")
    if cursor.accept("REFRESH"):
        partition = read_partition(cursor) if cursor.accept("PARTITION") else None
        return AlterMaterializedTable(name, "refresh", partition)
    for word in ("SET", "RESET", "AS", "ADD", "MODIFY", "DROP", "RENAME"):
        if cursor.sees(word):
            raise unsupported(cursor, f"ALTER MATERIALIZED TABLE … {word}: drop it and create it again")
    cursor.error("expected SUSPEND, RESUME or REFRESH")


def read_drop_materialized(cursor: Cursor) -> DropMaterializedTable:
    """[IF EXISTS] name."""
    if_exists = cursor.accept("IF", "EXISTS")
    return DropMaterializedTable(cursor.table_name("a materialized table's name"), if_exists)


def _freshness(cursor: Cursor) -> Freshness:
    """= INTERVAL '30' SECOND."""
    cursor.accept("=")
    cursor.expect("INTERVAL")
    text = cursor.string("a number in quotes")
    unit = cursor.accept_any(*_UNITS, *(f"{unit}S" for unit in _UNITS))
    if unit is None:
        cursor.error(f"expected {', '.join(_UNITS)} after the number")
    if not re.fullmatch(r"[1-9]\d*", text.strip()):
        cursor.error(f"FRESHNESS is a positive whole number of {unit.lower().removesuffix('s')}s, not '{text}'")
    return Freshness(int(text), unit.removesuffix("S"))

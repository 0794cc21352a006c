"""ALTER TABLE: Flink's forms, and the ones of DuckDB, Spark and PostgreSQL that mean the same."""

from __future__ import annotations

from typing import Any

from tsdb.sql.cursor import Cursor
from tsdb.sql.parser.constant import read_partition
from tsdb.sql.parser.create import read_column, read_default, unsupported
from tsdb.sql.parser.types import read_type
from tsdb.sql.statements import (
    AddColumn,
    AlterTable,
    Change,
    DropColumn,
    DropPartition,
    ModifyColumn,
    RenameColumn,
    RenameTable,
    ResetTableOptions,
    SetComment,
    SetTableOptions,
    Statement,
)


def read_alter(cursor: Cursor) -> Statement:
    """ALTER TABLE …"""
    if not cursor.accept("TABLE"):
        if cursor.sees("FUNCTION") or cursor.sees("CATALOG"):
            raise unsupported(cursor, "ALTER of a function or catalog: drop it and create it again")
        cursor.error("expected TABLE, VIEW or DATABASE after ALTER")
    if_exists = cursor.accept("IF", "EXISTS")
    name = cursor.table_name()
    if cursor.accept("RENAME", "TO"):
        return RenameTable(name, cursor.table_name("the new name"), if_exists)
    changes: list[Change] = []
    while True:
        changes += _changes(cursor)
        if not cursor.accept(","):
            break
    return AlterTable(name, tuple(changes), if_exists)


def _changes(cursor: Cursor) -> list[Change]:
    if cursor.accept("SET"):
        cursor.accept_any("TBLPROPERTIES", "OPTIONS")
        return [SetTableOptions(cursor.options())]
    if cursor.accept_any("RESET", "UNSET"):
        cursor.accept_any("TBLPROPERTIES", "OPTIONS")
        return [ResetTableOptions(tuple(cursor.wrapped(cursor.option_key)))]
    if cursor.accept("ADD"):
        return _add(cursor)
    if cursor.accept("DROP"):
        return _drop(cursor)
    if cursor.accept("RENAME"):
        cursor.accept("COLUMN")
        parents = _parents(cursor)
        name = cursor.identifier("a column name")
        cursor.expect("TO")
        return [RenameColumn(name, cursor.identifier("the new name"), parents)]
    if cursor.accept("MODIFY"):
        _refuse_parts(cursor)
        cursor.accept_any("COLUMNS", "COLUMN")
        return list(_listed(cursor, _modify))
    if cursor.accept_any("ALTER", "CHANGE"):
        cursor.accept("COLUMN")
        return [_alter_column(cursor)]
    if cursor.accept("COMMENT"):
        return [SetComment(cursor.string("the comment"))]
    cursor.error("expected SET, RESET, ADD, DROP, RENAME or MODIFY")


_KEY = "a change of the primary key: CREATE TABLE … AS SELECT with the new one"
_WATERMARK = "a change of the watermark: CREATE TABLE … LIKE t (EXCLUDING WATERMARKS) with the new one"
_DISTRIBUTION = "DISTRIBUTION: SET ('bucket' = '8') and CALL sys.rescale"
_FIXED: tuple[tuple[tuple[str, ...], str], ...] = (
    (("PRIMARY", "KEY"), _KEY),
    (("CONSTRAINT",), "a change of constraints: ALTER COLUMN … SET NOT NULL or DROP NOT NULL"),
    (("UNIQUE", "("), "UNIQUE: the primary key is the only unique constraint"),
    (("WATERMARK", "FOR"), _WATERMARK),
    (("DISTRIBUTION", "BY"), _DISTRIBUTION),
    (("DISTRIBUTION", "INTO"), _DISTRIBUTION),
)
"""What ALTER TABLE cannot change, and what to do instead."""


def _refuse_parts(cursor: Cursor) -> None:
    for words, instead in _FIXED:
        if cursor.sees(*words):
            raise unsupported(cursor, instead)


def _listed(cursor: Cursor, item: Any) -> list[Any]:
    """( item, … ) or one item."""
    return cursor.wrapped(lambda: item(cursor)) if cursor.sees("(") else [item(cursor)]


def _add(cursor: Cursor) -> list[Change]:
    _refuse_parts(cursor)
    if cursor.sees("PARTITION") or cursor.sees("IF", "NOT", "EXISTS", "PARTITION"):
        raise unsupported(cursor, "ADD PARTITION: a partition is there as soon as it has rows")
    cursor.accept_any("COLUMNS", "COLUMN")
    if_not_exists = cursor.accept("IF", "NOT", "EXISTS")

    def column(_: Cursor) -> AddColumn:
        parents = _parents(cursor)
        definition, _key = read_column(cursor)
        if definition.type is None and definition.computed is None:
            cursor.error("expected a type")
        first, after = _place(cursor)
        return AddColumn(definition, first, after, if_not_exists, parents)

    return list(_listed(cursor, column))


def _drop(cursor: Cursor) -> list[Change]:
    if cursor.accept("IF", "EXISTS"):
        cursor.expect("PARTITION")
        return [DropPartition(read_partition(cursor), if_exists=True)]
    if cursor.accept("PARTITION"):
        partitions = [DropPartition(read_partition(cursor))]
        while cursor.accept(","):
            cursor.expect("PARTITION")
            partitions.append(DropPartition(read_partition(cursor)))
        return list(partitions)
    _refuse_parts(cursor)
    for word, instead in (("WATERMARK", _WATERMARK), ("DISTRIBUTION", _DISTRIBUTION)):
        if cursor.sees(word):
            raise unsupported(cursor, instead)
    cursor.accept_any("COLUMNS", "COLUMN")
    if_exists = cursor.accept("IF", "EXISTS")

    def column(_: Cursor) -> DropColumn:
        parents = _parents(cursor)
        return DropColumn(cursor.identifier("a column name"), if_exists, parents)

    return list(_listed(cursor, column))


def _modify(cursor: Cursor) -> ModifyColumn:
    parents = _parents(cursor)
    definition, _key = read_column(cursor)
    if definition.type is None:
        cursor.error("expected a type")
    first, after = _place(cursor)
    nullable = None if definition.type.nullable else False
    return ModifyColumn(
        definition.name, definition.type, definition.comment, first, after, nullable, definition.default,
        parents=parents,
    )  # fmt: skip


def _alter_column(cursor: Cursor) -> Change:
    """ALTER COLUMN c and one of TYPE t, SET DATA TYPE t, {SET | DROP} NOT NULL, {SET DEFAULT x | DROP DEFAULT},
    COMMENT 'x', FIRST, AFTER c.
    """
    parents = _parents(cursor)
    name = cursor.identifier("a column name")
    if cursor.accept("TYPE") or cursor.accept("SET", "DATA", "TYPE"):
        return ModifyColumn(name, read_type(cursor), parents=parents)
    if cursor.accept("SET", "NOT", "NULL"):
        return ModifyColumn(name, nullable=False, parents=parents)
    if cursor.accept("DROP", "NOT", "NULL"):
        return ModifyColumn(name, nullable=True, parents=parents)
    if cursor.accept("SET", "DEFAULT"):
        default = read_default(cursor)
        return ModifyColumn(name, default=default, drop_default=default is None, parents=parents)
    if cursor.accept("DROP", "DEFAULT"):
        return ModifyColumn(name, drop_default=True, parents=parents)
    if cursor.accept("COMMENT"):
        return ModifyColumn(name, comment=cursor.string("the comment"), parents=parents)
    first, after = _place(cursor)
    if first or after:
        return ModifyColumn(name, first=first, after=after, parents=parents)
    cursor.error("expected TYPE, SET or DROP NOT NULL, SET or DROP DEFAULT, COMMENT, FIRST or AFTER")


def _parents(cursor: Cursor) -> tuple[str, ...]:
    """What stands before the last name of `a.b.c`: the path to a column inside of another."""
    parents: list[str] = []
    while True:
        start = cursor.index
        name = cursor.identifier("a column name")
        if not cursor.accept("."):
            cursor.move_to(start)
            return tuple(parents)
        parents.append(name)


def _place(cursor: Cursor) -> tuple[bool, str | None]:
    if cursor.accept("FIRST"):
        return True, None
    return False, cursor.identifier("a column name") if cursor.accept("AFTER") else None

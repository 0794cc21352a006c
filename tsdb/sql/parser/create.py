"""CREATE and DROP of tables, views and functions, and the parts of a table's definition that ALTER TABLE needs, too."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

from sqlglot import exp

from tsdb.data_types import DataType
from tsdb.errors import NotSupportedError
from tsdb.sql.catalog_statements import DropSeveral
from tsdb.sql.cursor import Cursor
from tsdb.sql.parser.constant import as_option, constant
from tsdb.sql.parser.types import read_type
from tsdb.sql.script import position_at
from tsdb.sql.statements import (
    ColumnDef,
    CreateFunction,
    CreateTable,
    CreateView,
    DropFunction,
    DropTable,
    DropView,
    Statement,
    TableName,
    Watermark,
)

_NOT_CREATED = {
    "MATERIALIZED": " VIEW: CREATE MATERIALIZED TABLE … AS SELECT … is kept up to date",
    "TAG": ": CALL sys.create_tag('t', 'name')",
    "BRANCH": ": CALL sys.create_branch('t', 'name')",
    "UNIQUE": ": the primary key of a table is its only unique index",
    "INDEX": ": 'file-index.bloom-filter.columns' = 'a' (or bitmap) in WITH keeps indexes of files",
    "SEQUENCE": ": row_number() OVER () numbers rows",
    "TYPE": ": write the type, ROW<…> too, where it is used",
    "MACRO": ": a view, or CREATE TEMPORARY FUNCTION … LANGUAGE PYTHON",
    "USER": ": access is that of the warehouse's files",
    "ROLE": ": access is that of the warehouse's files",
    "EXTENSION": ": all functions are there",
}
_FEATURES = ("CONSTRAINTS", "DISTRIBUTION", "GENERATED", "METADATA", "OPTIONS", "PARTITIONS", "WATERMARKS")


@dataclass(slots=True)
class Elements:
    """What stands between the parentheses of CREATE TABLE."""

    columns: list[ColumnDef] = field(default_factory=list)
    primary_key: tuple[str, ...] = ()
    watermark: Watermark | None = None


def read_create(cursor: Cursor) -> Statement:
    """CREATE …"""
    or_replace = cursor.accept("OR", "REPLACE")
    temporary = bool(cursor.accept_any("TEMPORARY", "TEMP"))
    if cursor.accept("VIEW"):
        return _view(cursor, or_replace=or_replace, temporary=temporary)
    if cursor.accept("TABLE"):
        return _table(cursor, or_replace=or_replace, temporary=temporary)
    if cursor.accept("FUNCTION") or cursor.accept("SYSTEM", "FUNCTION"):
        return _function(cursor, or_replace=or_replace, temporary=temporary)
    for word, instead in _NOT_CREATED.items():
        if cursor.sees(word):
            raise unsupported(cursor, f"CREATE {word}{instead}")
    cursor.error("expected TABLE, VIEW, DATABASE, CATALOG or FUNCTION after CREATE")


def read_drop(cursor: Cursor) -> Statement:
    """DROP TABLE, VIEW or FUNCTION."""
    temporary = cursor.accept_any("TEMPORARY", "TEMP") is not None
    if cursor.accept("TABLE"):
        if_exists = cursor.accept("IF", "EXISTS")
        tables = tuple(DropTable(name, if_exists, temporary) for name in cursor.separated(cursor.table_name))
        _read_drop_mode(cursor)
        return tables[0] if len(tables) == 1 else DropSeveral(tables)
    if cursor.accept("VIEW"):
        if_exists = cursor.accept("IF", "EXISTS")
        names = cursor.separated(lambda: cursor.table_name("a view's name"))
        views = tuple(DropView(name, if_exists) for name in names)
        _read_drop_mode(cursor)
        return views[0] if len(views) == 1 else DropSeveral(views)
    if cursor.accept("FUNCTION") or cursor.accept("SYSTEM", "FUNCTION"):
        if_exists = cursor.accept("IF", "EXISTS")
        return DropFunction(cursor.identifier("a function's name"), if_exists)
    cursor.error("expected TABLE, VIEW, DATABASE, CATALOG, FUNCTION or JOB after DROP")


def _read_drop_mode(cursor: Cursor) -> None:
    """PURGE is what happens; nothing hangs on a table so that RESTRICT or CASCADE could matter, but views."""
    if cursor.sees("CASCADE"):
        raise unsupported(cursor, "CASCADE: views of a table stay when it goes; DROP VIEW drops them")
    cursor.accept_any("PURGE", "RESTRICT")


def _function(cursor: Cursor, *, or_replace: bool, temporary: bool) -> CreateFunction:
    """[IF NOT EXISTS] name AS 'module.function' LANGUAGE PYTHON."""
    if not temporary:
        raise unsupported(
            cursor,
            "functions that outlive the session, since Paimon keeps them in REST catalogs only, and whoever opens a "
            "warehouse would run their code: write CREATE TEMPORARY FUNCTION",
        )
    if_not_exists = cursor.accept("IF", "NOT", "EXISTS")
    name = cursor.identifier("a function's name")
    cursor.expect("AS")
    path = cursor.string("'module.function' in single quotes")
    cursor.expect("LANGUAGE")
    if not cursor.accept("PYTHON"):
        raise unsupported(cursor, "functions in another language than PYTHON")
    return CreateFunction(name, path, if_not_exists, or_replace)


def _view(cursor: Cursor, *, or_replace: bool, temporary: bool) -> CreateView:
    if_not_exists = cursor.accept("IF", "NOT", "EXISTS")
    name = cursor.table_name("a view's name")
    columns = cursor.identifiers() if cursor.sees("(") else None
    comment = cursor.string("the comment") if cursor.accept("COMMENT") else None
    cursor.expect("AS")
    start = cursor.index
    query = cursor.query()
    text = cursor.script[cursor.tokens[start].start : cursor.tokens[cursor.index - 1].end + 1]
    return CreateView(name, query, text, columns, comment, if_not_exists, or_replace, temporary)


def _table(cursor: Cursor, *, or_replace: bool, temporary: bool) -> CreateTable:
    if or_replace and cursor.sees("IF", "NOT", "EXISTS"):
        cursor.error("OR REPLACE and IF NOT EXISTS exclude one another; expected one of them")
    table = read_table(cursor)
    untyped = next((c for c in table.columns if c.type is None and c.computed is None), None)
    if untyped is not None and table.as_select is None:
        cursor.error(f"column `{untyped.name}` has no type; expected a type, or AS SELECT …")
    if not table.columns and table.as_select is None and table.like is None:
        cursor.error("expected ( with the columns, LIKE table or AS SELECT …")
    return replace(table, temporary=temporary, or_replace=or_replace)


def read_table(cursor: Cursor, *, query: bool = True) -> CreateTable:
    """[IF NOT EXISTS] name [(elements)] and the clauses. query: one of them may be AS SELECT …"""
    if_not_exists = cursor.accept("IF", "NOT", "EXISTS")
    name = cursor.table_name()
    elements = read_elements(cursor) if cursor.sees("(") else Elements()
    clauses = _clauses(cursor, query=query)
    return CreateTable(
        name,
        columns=(*elements.columns, *clauses.get("partition_columns", ())),
        primary_key=elements.primary_key,
        partition_keys=clauses.get("partition_keys", ()),
        options={**clauses.get("bucket_options", {}), **clauses.get("options", {})},
        comment=clauses.get("comment"),
        if_not_exists=if_not_exists,
        watermark=elements.watermark,
        like=clauses.get("like"),
        like_without=clauses.get("like_without", frozenset()),
        as_select=clauses.get("as_select"),
    )


def _clauses(cursor: Cursor, *, query: bool) -> dict[str, Any]:
    """What follows the columns, in any order; each at most once."""
    found: dict[str, Any] = {}

    def put(key: str, value: Any) -> None:
        if key in found:
            cursor.error("this clause is written twice; expected another one")
        found[key] = value

    while not cursor.at_end:
        if cursor.accept("COMMENT"):
            put("comment", cursor.string("the table's comment"))
        elif cursor.accept("PARTITIONED", "BY"):
            columns = cursor.wrapped(lambda: _partition_column(cursor))
            put("partition_keys", tuple(column.name for column in columns))
            found["partition_columns"] = [column for column in columns if column.type is not None]
        elif cursor.accept("DISTRIBUTED"):
            put("bucket_options", _distribution(cursor))
        elif cursor.accept_any("WITH", "TBLPROPERTIES", "OPTIONS"):
            put("options", cursor.options())
        elif cursor.accept("LIKE"):
            put("like", cursor.table_name())
            put("like_without", _like_options(cursor))
        elif query and cursor.accept("AS"):
            put("as_select", cursor.query())
        elif cursor.accept("USING", "PAIMON"):
            continue
        elif cursor.sees("USING"):
            raise unsupported(
                cursor, "USING: name the connector in WITH ('connector' = '…'), or leave it out for Paimon"
            )
        else:
            break
    return found


def _partition_column(cursor: Cursor) -> ColumnDef:
    """A column's name; with a type, as Hive has it, it is a column of its own."""
    name = cursor.identifier("a partition key")
    if cursor.sees("("):
        raise unsupported(cursor, f"PARTITIONED BY {name}(…): write the value into a column, and partition by that")
    if cursor.sees(",") or cursor.sees(")"):
        return ColumnDef(name, None)
    column_type = read_type(cursor)
    comment = cursor.string("the comment") if cursor.accept("COMMENT") else None
    return ColumnDef(name, column_type, comment)


def _distribution(cursor: Cursor) -> dict[str, str]:
    """DISTRIBUTED [BY [HASH] (k)] INTO n BUCKETS: Paimon's bucket options."""
    options = {}
    if cursor.accept("BY"):
        cursor.accept("HASH")
        options["bucket-key"] = ",".join(cursor.identifiers())
    if cursor.accept("INTO"):
        options["bucket"] = str(cursor.number("the number of buckets"))
        cursor.expect("BUCKETS")
    return options


def _like_options(cursor: Cursor) -> frozenset[str]:
    """( INCLUDING | EXCLUDING | OVERWRITING feature … ): the features that are left out."""
    left_out: frozenset[str] = frozenset()
    if not cursor.accept("("):
        return left_out
    while not cursor.accept(")"):
        how = cursor.accept_any("INCLUDING", "EXCLUDING", "OVERWRITING")
        feature = cursor.accept_any("ALL", *_FEATURES) if how is not None else None
        if feature is None:
            cursor.error(f"expected INCLUDING, EXCLUDING or OVERWRITING, and ALL or one of {', '.join(_FEATURES)}")
        features = frozenset(_FEATURES) if feature == "ALL" else frozenset((feature,))
        left_out = left_out | features if how == "EXCLUDING" else left_out - features
    return left_out


def read_elements(cursor: Cursor) -> Elements:
    """( column …, PRIMARY KEY (…), WATERMARK FOR … )."""
    elements = Elements()
    cursor.expect("(")
    while True:
        _element(cursor, elements)
        if not cursor.accept(","):
            break
    cursor.expect(")")
    return elements


def _element(cursor: Cursor, elements: Elements) -> None:
    if cursor.accept("WATERMARK", "FOR"):
        column = cursor.identifier("the time column")
        while cursor.accept("."):
            column += "." + cursor.identifier()
        cursor.expect("AS")
        if elements.watermark is not None:
            cursor.error("the table has two watermarks; expected one")
        elements.watermark = Watermark(column, *_expression(cursor))
        return
    if cursor.accept("CONSTRAINT"):
        cursor.identifier("the constraint's name")
        if not cursor.sees("PRIMARY", "KEY"):
            raise unsupported(cursor, "this constraint: only PRIMARY KEY and NOT NULL are")
    for words in (("UNIQUE", "("), ("FOREIGN", "KEY"), ("CHECK", "(")):
        if cursor.sees(*words):
            raise unsupported(cursor, f"{words[0]} constraints: only PRIMARY KEY and NOT NULL are")
    if cursor.sees("PRIMARY", "KEY", "("):
        cursor.accept("PRIMARY", "KEY")
        _set_primary_key(cursor, elements, cursor.identifiers("a key column"))
        cursor.accept("NOT", "ENFORCED")
        return
    column_def, is_key = read_column(cursor)
    if is_key:
        _set_primary_key(cursor, elements, (column_def.name,))
    elements.columns.append(column_def)


def _set_primary_key(cursor: Cursor, elements: Elements, key: tuple[str, ...]) -> None:
    if elements.primary_key:
        cursor.error("the table has two primary keys; expected one")
    elements.primary_key = key


def read_column(cursor: Cursor) -> tuple[ColumnDef, bool]:
    """One column, and whether it is marked PRIMARY KEY."""
    name = cursor.identifier("a column name")
    if cursor.accept("AS"):
        computed, text = _expression(cursor)
        comment = cursor.string("the comment") if cursor.accept("COMMENT") else None
        return ColumnDef(name, None, comment, computed, computed_text=text), False
    if cursor.sees(",") or cursor.sees(")"):
        return ColumnDef(name, None), False
    column_type = read_type(cursor)
    parts, is_key = _column_parts(cursor, name)
    if cursor.accept("NOT", "NULL") or parts.pop("not_null", False):
        column_type = not_null(column_type)
    return ColumnDef(name, column_type, **parts), is_key


def _expression(cursor: Cursor) -> tuple[exp.Expr, str]:
    """An expression, and its text as it was written."""
    start = cursor.index
    expression = cursor.expression()
    return expression, cursor.script[cursor.tokens[start].start : cursor.tokens[cursor.index - 1].end + 1]


def _column_parts(cursor: Cursor, name: str) -> tuple[dict[str, Any], bool]:
    """What follows a column's type, in any order."""
    parts: dict[str, Any] = {}
    is_key = False
    while True:
        if cursor.accept("PRIMARY", "KEY"):
            is_key = True
            cursor.accept("NOT", "ENFORCED")
        elif cursor.accept("NOT", "NULL"):
            parts["not_null"] = True
        elif cursor.accept("COMMENT"):
            parts["comment"] = cursor.string("the comment")
        elif cursor.accept("METADATA"):
            parts["metadata_key"] = cursor.string("the metadata's key") if cursor.accept("FROM") else name
            parts["virtual"] = cursor.accept("VIRTUAL")
        elif cursor.accept("DEFAULT"):
            parts["default"] = read_default(cursor)
        elif cursor.accept("GENERATED", "ALWAYS", "AS") or cursor.accept("AS"):
            parts["computed"], parts["computed_text"] = _expression(cursor)
            cursor.accept_any("VIRTUAL", "STORED")
        elif cursor.sees("UNIQUE") or cursor.sees("REFERENCES") or cursor.sees("CHECK"):
            raise unsupported(cursor, "this constraint: only PRIMARY KEY and NOT NULL are")
        elif not cursor.accept("NULL"):
            return parts, is_key


def read_default(cursor: Cursor) -> str | None:
    """The constant after DEFAULT as text; None for NULL."""
    start = cursor.index
    found, value = constant(cursor.expression("a default value"))
    if not found or isinstance(value, exp.Placeholder | list | dict):
        cursor.move_to(start)
        raise unsupported(cursor, "a DEFAULT that is not a plain constant")
    return None if value is None else as_option(value)


def not_null(column_type: DataType) -> DataType:
    """The same type, NOT NULL."""
    return replace(column_type, nullable=False)


def unsupported(cursor: Cursor, what: str) -> NotSupportedError:
    """The error for what the grammar knows and tsdb does not do, at the current token."""
    token = cursor.current
    offset = token.start if token is not None else len(cursor.script)
    return NotSupportedError(f"not supported: {what}", position=position_at(cursor.script, offset))


__all__ = [
    "Elements",
    "TableName",
    "not_null",
    "read_column",
    "read_create",
    "read_drop",
    "read_elements",
    "unsupported",
]

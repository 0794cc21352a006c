"""`SELECT columns FROM t WHERE key = constant`: the one query whose planning would cost more than its reading.

It is known by its shape alone, and read without DataFusion: the scan is planned as always, and the rows of the key are
picked from the few files that can have it. Whatever differs from the shape in the least takes the way of all queries,
so nothing here decides what a query means, or what an error says.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import pyarrow as pa
from sqlglot import exp

from tsdb.data_types import DataType, TypeRoot
from tsdb.exec.computed_columns import columns_of
from tsdb.exec.engine import our_batch, our_schema
from tsdb.exec.names import Names
from tsdb.exec.result import BatchResult, rows_of
from tsdb.metadata.predicate import And, Comparison
from tsdb.metadata.snapshot import Snapshot
from tsdb.options import BY_KEY, SCAN
from tsdb.sql.parameters import literal
from tsdb.sql.statements import Select
from tsdb.table.key_lookup import Keys, has_key
from tsdb.table.newest import on_newest
from tsdb.table.read import fragments
from tsdb.table.scan import plan_scan
from tsdb.table.table import Table

_CLAUSES = {"expressions", "from_", "where"}
_INTEGERS = {TypeRoot.TINYINT: 8, TypeRoot.SMALLINT: 16, TypeRoot.INT: 32, TypeRoot.BIGINT: 64}


@dataclass(frozen=True, slots=True)
class _Lookup:
    """columns: those wanted, in order; names: what the user calls them."""

    table: Table
    keys: Keys
    columns: tuple[str, ...]
    names: tuple[str, ...]


def look_up(
    statement: Select, names: Names, session_options: Mapping[str, str], params: Sequence[Any] = ()
) -> BatchResult | None:
    """The rows of the query, or None if it is none of this shape. params: for its `?`, in the order of the text."""
    if any(key in BY_KEY and BY_KEY[key].scope == SCAN for key in session_options):
        return None
    lookup = _recognised(statement, names, params)
    return None if lookup is None else rows_of(on_newest(lookup.table, partial(_rows, lookup)))


def _rows(lookup: _Lookup, snapshot: Snapshot | None) -> pa.Table:
    table, keys = lookup.table, lookup.keys
    plan = plan_scan(table, snapshot, And(keys))
    read = list(dict.fromkeys([*lookup.columns, *(key.column for key in keys)]))
    stored = table.schema.arrow_schema
    fields = [stored.field(name).remove_metadata() for name in lookup.columns]
    schema = our_schema(pa.schema(fields), lookup.names)

    def batches() -> Iterator[pa.RecordBatch]:
        for fragment in fragments(table, plan):
            for batch in fragment.to_batches(read):
                kept = batch.filter(pa.array(has_key(batch, keys)))
                if kept.num_rows:
                    yield our_batch(kept.select(list(lookup.columns)), schema)

    return pa.Table.from_batches(batches(), schema)


def _recognised(statement: Select, names: Names, params: Sequence[Any]) -> _Lookup | None:
    query = statement.query
    if not isinstance(query, exp.Select) or _has_other(query, _CLAUSES) or query.meta:
        return None
    source, where = query.args.get("from_"), query.args.get("where")
    if source is None or where is None or not isinstance(source.this, exp.Table):
        return None
    reference = source.this
    if _has_other(reference, {"this", "db", "catalog", "alias"}) or reference.meta.get("options"):
        return None
    if not isinstance(reference.this, exp.Identifier) or (reference.args.get("alias") and reference.alias_column_names):
        return None
    constants = _constants(where.this, reference.alias_or_name, params)
    if not constants:
        return None
    table = names.source(reference, statement)
    if not isinstance(table, Table) or any(key.startswith(("scan.", "incremental-")) for key in table.options.values):
        return None
    if columns_of(table.schema).computed:
        return None
    keys = _keys(table, constants)
    columns = None if keys is None else _columns(table, query.expressions, reference.alias_or_name)
    return None if keys is None or columns is None else _Lookup(table, keys, *columns)


def _has_other(node: exp.Expr, known: set[str]) -> bool:
    return any(value for key, value in node.args.items() if key not in known)


def _constants(condition: exp.Expr, table: str, params: Sequence[Any]) -> dict[str, exp.Literal | exp.Neg] | None:
    """Column to constant, of a conjunction of nothing but `column = constant`."""
    found: dict[str, exp.Expr] = {}
    for part in condition.flatten() if isinstance(condition, exp.And) else (condition,):
        column = _column(part.this, table) if isinstance(part, exp.EQ) else None
        value = part.args.get("expression")
        if column is None or column in found or value is None:
            return None
        found[column] = value
    places = sorted(value.meta["start"] for value in found.values() if isinstance(value, exp.Placeholder))
    if len(places) != len(params):
        return None
    given = dict(zip(places, params, strict=True))
    constants = {column: _constant(value, given) for column, value in found.items()}
    known = {column: value for column, value in constants.items() if value is not None}
    return known if len(known) == len(constants) else None


def _constant(value: exp.Expr, given: Mapping[int, Any]) -> exp.Literal | exp.Neg | None:
    """A number or a text, given: by the places of the placeholders."""
    if isinstance(value, exp.Placeholder):
        value = literal(given[value.meta["start"]])
    if isinstance(value, exp.Paren):
        value = value.this
    constant = value.this if isinstance(value, exp.Neg) else value
    return value if isinstance(value, exp.Literal | exp.Neg) and isinstance(constant, exp.Literal) else None


def _column(node: exp.Expr | None, table: str) -> str | None:
    """The name of a column of the table, exactly as it is written."""
    if not isinstance(node, exp.Column) or not isinstance(node.this, exp.Identifier) or node.args.get("db"):
        return None
    return node.name if node.table in ("", table) else None


def _keys(table: Table, constants: Mapping[str, exp.Literal | exp.Neg]) -> Keys | None:
    """The constants as comparisons; None unless they are of just the columns of the primary key."""
    if set(constants) != set(table.schema.primary_keys) or len(constants) != len(table.schema.primary_keys):
        return None
    keys = []
    for name, constant in constants.items():
        value = _value(constant, table.schema.field(name).type)
        if value is None:
            return None
        keys.append(Comparison("=", name, (value,)))
    return tuple(keys)


def _value(constant: exp.Literal | exp.Neg, kind: DataType) -> int | str | None:
    """The constant as a value of the type; None if it is written as one of another."""
    literal = constant.this if isinstance(constant, exp.Neg) else constant
    if literal.is_string:
        return literal.name if kind.root is TypeRoot.VARCHAR and literal is constant else None
    if kind.root not in _INTEGERS or not (literal.name.isascii() and literal.name.isdigit()):
        return None
    value = int(literal.name) if literal is constant else -int(literal.name)
    return value if value.bit_length() < _INTEGERS[kind.root] else None


def _columns(
    table: Table, expressions: Sequence[exp.Expr], name: str
) -> tuple[tuple[str, ...], tuple[str, ...]] | None:
    """The wanted columns, and what the user calls them."""
    if len(expressions) == 1 and isinstance(expressions[0], exp.Star) and not _has_other(expressions[0], set()):
        return tuple(table.schema.names), tuple(table.schema.names)
    columns, shown = [], []
    for expression in expressions:
        column = _column(expression.unalias(), name)
        if column is None or not table.schema.has(column):
            return None
        columns.append(column)
        shown.append(expression.alias_or_name)
    return tuple(columns), tuple(shown)

"""Texts written for columns of times: '2024-01-01' in VALUES or SET is a DATE where the column is one.

Only literals are read so, as in PostgreSQL: a text that comes out of a query still takes a CAST, because nothing says
that all of its values are times.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
from sqlglot import exp

from tsdb.data_types import TypeRoot, to_arrow
from tsdb.exec.batch.columns import changes_zone
from tsdb.exec.names import fitting
from tsdb.metadata.schema import TableSchema
from tsdb.sql.dialect import Flink

_TIMES = (TypeRoot.DATE, TypeRoot.TIME, TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ)


def with_times(
    source: exp.Query, schema: TableSchema, columns: Sequence[str] | None, constant: Sequence[str] = ()
) -> exp.Query:
    """The source of an INSERT, texts in its VALUES cast to the times that the columns hold.

    columns: those of the target that the values are for, None: all but the constant ones.
    """
    if columns is None:
        fixed = {name.lower() for name in constant}
        columns = [name for name in schema.names if name.lower() not in fixed]
    casts = {i: kind for i, name in enumerate(columns) if (kind := _time(name, schema)) is not None}
    rows = rows_of_values(source) if casts else None
    if rows is None:
        return source
    source = source.copy()
    for row in rows_of_values(source) or ():
        for i, kind in casts.items():
            if isinstance(row, exp.Tuple) and i < len(row.expressions):
                _cast(row.expressions[i], kind)
    return source


def assigned_times(assignments: Mapping[str, exp.Expr], schema: TableSchema) -> dict[str, exp.Expr]:
    """The assignments of an UPDATE or MERGE, texts for columns of times cast to them."""
    result = {}
    for name, value in assignments.items():
        kind = _time(name, schema)
        holder = exp.Paren(this=value.copy())
        if kind is not None:
            _cast(holder.this, kind)
        result[name] = holder.this
    return result


def in_session_zone(
    source: exp.Query, given: pa.Schema, schema: TableSchema, columns: Sequence[str] | None, constant: Sequence[str]
) -> exp.Query:
    """The source of an INSERT, with a cast where it gives a TIMESTAMP or DATE for a TIMESTAMP_LTZ, or the reverse.

    given: the columns of the source. columns, constant: as above.
    """
    fixed = {name.lower() for name in constant}
    wanted = columns if columns is not None else [name for name in schema.names if name.lower() not in fixed]
    casts: dict[int, str] = {}
    for i, (name, kind) in enumerate(zip(wanted, given.types, strict=False)):
        found = fitting(name, schema.names)
        if found is not None and changes_zone(kind, to_arrow(schema.field(found).type)):
            casts[i] = schema.field(found).type.with_nullable(True).sql()
    if not casts:
        return source
    names = [exp.to_identifier(f"column {i}", quoted=True) for i in range(len(given))]
    inner = exp.Subquery(
        this=source.copy(), alias=exp.TableAlias(this=exp.to_identifier("source", quoted=True), columns=names)
    )
    items: list[exp.Expr] = [exp.Column(this=name.copy()) for name in names]
    for i, kind in casts.items():
        made = exp.Cast(this=items[i], to=exp.DataType.build(kind, dialect=Flink))
        items[i] = exp.alias_(made, f"column {i}", quoted=True)
    return exp.Select(expressions=items, from_=exp.From(this=inner))


def _time(name: str, schema: TableSchema) -> str | None:
    """The type to cast to, in SQL."""
    found = fitting(name, schema.names)
    field = schema.field(found) if found is not None else None
    return field.type.with_nullable(True).sql() if field is not None and field.type.root in _TIMES else None


def rows_of_values(source: exp.Query) -> Sequence[exp.Expr] | None:
    """The rows of VALUES, which the parser reads as SELECT * FROM (VALUES …)."""
    values: exp.Expr | None = source
    if isinstance(source, exp.Select) and len(source.expressions) == 1 and isinstance(source.expressions[0], exp.Star):
        given = source.args.get("from_")
        values = given.this if given is not None and not source.args.get("joins") else None
    return values.expressions if isinstance(values, exp.Values) else None


def _cast(value: exp.Expr, kind: str) -> None:
    if isinstance(value, exp.Literal) and value.is_string:
        cast = exp.Cast(this=value.copy(), to=exp.DataType.build(kind, dialect=Flink))
        value.replace(cast)

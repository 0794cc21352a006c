"""Computed columns and watermarks: checked when a table is made, written out where a batch query reads one."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Protocol

import pyarrow as pa
from datafusion import DataFrame, SessionContext
from sqlglot import exp

from tsdb.data_types import DataField, TypeRoot, from_arrow, parse_type, to_arrow
from tsdb.errors import Error, NotSupportedError, ProgrammingError
from tsdb.exec.engine import our_schema
from tsdb.metadata.schema import TableSchema
from tsdb.metadata.virtual_columns import ComputedColumn, VirtualColumns, WatermarkDef, virtual_columns, virtual_options
from tsdb.sql import statements as sql
from tsdb.sql.bind import bind_query
from tsdb.sql.parser import parse_query

PROCTIME_TYPE = "TIMESTAMP_LTZ(3)"
RELATION = "$source"
_ROWTIME_DIGITS = 3


class _Planned(Protocol):
    @property
    def schema(self) -> pa.Schema:
        """The columns of a planned query."""
        ...


def columns_of(schema: TableSchema) -> VirtualColumns:
    """The computed columns and the watermark of a table."""
    return virtual_columns(schema.options, schema.names)


def options_of(
    statement: sql.CreateTable, fields: tuple[DataField, ...], plan_of: Callable[[exp.Query], _Planned]
) -> dict[str, str]:
    """The computed columns and the watermark of CREATE TABLE as options. Raises what is wrong with them."""
    if statement.watermark is None and all(column.computed is None for column in statement.columns):
        return {}
    computed: dict[int, ComputedColumn] = {}
    rows: exp.Query = _no_rows(fields)
    for place, column in enumerate(statement.columns):
        if column.computed is None:
            continue
        if column.name in (*statement.primary_key, *statement.partition_keys):
            raise NotSupportedError(
                f"column `{column.name}` is computed, so it can be no key of table `{statement.name}`"
            )
        kind = PROCTIME_TYPE if is_proctime(column.computed) else _type_of(column, rows, plan_of)
        computed[place] = ComputedColumn(column.name, kind, column.computed_text, column.comment)
    watermark = None
    if statement.watermark is not None:
        watermark = _watermark(statement.watermark, statement, fields, computed, plan_of)
    return virtual_options(computed, watermark)


def is_proctime(expression: exp.Expr) -> bool:
    """Whether it is the time of the clock at which a row comes."""
    return isinstance(expression, exp.Anonymous) and str(expression.this).upper() == "PROCTIME"


def is_proctime_text(expression: str) -> bool:
    """The same of a stored text."""
    return is_proctime(_expression(expression))


def with_computed(reference: exp.Table, schema: TableSchema, extra: str | None = None) -> None:
    """Put a query that computes the columns in the place of a reference to their table. extra: one column more."""
    columns = columns_of(schema)
    if not columns.computed or reference.meta.get("stored"):
        return
    inner = reference.copy()
    inner.meta["stored"] = True
    inner.set("alias", None)
    inner.set("joins", None)
    items = [
        exp.alias_(_expression(columns.computed[name].expression), name, quoted=True)
        if name in columns.computed
        else exp.column(name, quoted=True)
        for name in columns.names
    ]
    if extra is not None:
        items.append(exp.column(extra, quoted=True))
    body = exp.Select(expressions=items, from_=exp.From(this=inner))
    alias = reference.args.get("alias") or exp.TableAlias(this=exp.to_identifier(reference.name, quoted=True))
    reference.replace(exp.Subquery(this=body, alias=alias, joins=reference.args.get("joins")))


def full_schema(schema: TableSchema, context: SessionContext) -> pa.Schema:
    """All columns of a table, computed ones included. context: plans their expressions."""
    columns, stored = columns_of(schema), schema.arrow_schema
    if not columns.computed:
        return stored
    texts = {n: c.expression for n, c in columns.computed.items() if not is_proctime_text(c.expression)}
    types = {n: to_arrow(parse_type(PROCTIME_TYPE)) for n in columns.computed}
    if texts:
        types |= dict(
            zip(texts, our_schema(planned_columns(columns, stored, texts, context).schema()).types, strict=True)
        )
    return pa.schema([stored.field(n) if n not in types else pa.field(n, types[n]) for n in columns.names])


def planned_columns(
    columns: VirtualColumns, stored: pa.Schema, wanted: Mapping[str, str], context: SessionContext, zone: str = "UTC"
) -> DataFrame:
    """Expressions over the stored columns of `RELATION`, planned. wanted: texts by name. zone: of the session."""
    bound = bind_query(computing_query(columns, RELATION, wanted), lambda _: stored, zone=zone)
    plain = pa.schema([pa.field(f.name, f.type) for f in stored])
    context.register_record_batches(f'"{RELATION}"', [[pa.RecordBatch.from_pylist([], schema=plain)]])
    try:
        return context.sql(bound.sql)
    finally:
        context.deregister_table(f'"{RELATION}"')


def computing_query(columns: VirtualColumns, relation: str, wanted: Mapping[str, str]) -> exp.Query:
    """SELECT of expressions over the stored columns of a relation, by the name of each. Texts may use computed
    columns, which are written out.
    """
    items = []
    for name, text in wanted.items():
        holder = exp.Paren(this=_expression(text))
        for column in list(holder.find_all(exp.Column)):
            if column.name in columns.computed:
                column.replace(exp.Paren(this=_expression(columns.computed[column.name].expression)))
        items.append(exp.alias_(holder, name, quoted=True))
    table = exp.Table(this=exp.to_identifier(relation, quoted=True))
    return exp.Select(expressions=items, from_=exp.From(this=table))


def _expression(text: str) -> exp.Expr:
    query = parse_query(f"SELECT {text}")
    found: exp.Expr = query.expressions[0]
    for node in found.walk():
        node.meta.pop("start", None)
    return found


def _no_rows(fields: tuple[DataField, ...]) -> exp.Query:
    known = [f for f in fields if f.type.root is not TypeRoot.MULTISET]  # no expression takes one
    items = ", ".join(f"CAST(NULL AS {f.type.with_nullable(True).sql()}) AS {_quoted(f.name)}" for f in known)
    return parse_query(f"SELECT {items}" if items else "SELECT 1 AS `$none`")


def _type_of(column: sql.ColumnDef, rows: exp.Query, plan_of: Callable[[exp.Query], _Planned]) -> str:
    assert column.computed is not None
    field = _planned(f"column `{column.name}`", column.computed, rows, plan_of)
    return from_arrow(field.type).sql()


def _planned(what: str, expression: exp.Expr, rows: exp.Query, plan_of: Callable[[exp.Query], _Planned]) -> pa.Field:
    source = exp.Subquery(this=rows.copy(), alias=exp.TableAlias(this=exp.to_identifier("t", quoted=True)))
    item = exp.alias_(exp.Paren(this=expression.copy()), "value", quoted=True)
    try:
        return plan_of(exp.Select(expressions=[item], from_=exp.From(this=source))).schema.field(0)
    except Error as err:
        err.args = (f"{what}: {err.args[0] if err.args else err}", *err.args[1:])
        raise


def _watermark(
    watermark: sql.Watermark,
    statement: sql.CreateTable,
    fields: tuple[DataField, ...],
    computed: Mapping[int, ComputedColumn],
    plan_of: Callable[[exp.Query], _Planned],
) -> WatermarkDef:
    what = f"WATERMARK of table `{statement.name}`"
    types = {f.name: f.type.with_nullable(True).sql() for f in fields if f.type.root is not TypeRoot.MULTISET}
    types |= {c.name: c.type for c in computed.values()}
    if watermark.column not in types:
        raise ProgrammingError(f"{what}: there is no column `{watermark.column}`")
    if any(c.name == watermark.column and is_proctime_text(c.expression) for c in computed.values()):
        raise NotSupportedError(f"{what}: `{watermark.column}` is the time of the clock, which needs no watermark")
    items = ", ".join(f"CAST(NULL AS {kind}) AS {_quoted(name)}" for name, kind in types.items())
    rows = parse_query(f"SELECT {items}")
    for name, column in ((watermark.column, exp.column(watermark.column, quoted=True)), ("", watermark.expression)):
        kind = _planned(what, column, rows, plan_of).type
        if not pa.types.is_timestamp(kind):
            shown = f"column `{name}`" if name else f"`{watermark.text}`"
            raise ProgrammingError(f"{what}: {shown} is {from_arrow(kind).sql()}, no TIMESTAMP or TIMESTAMP_LTZ")
        if name and from_arrow(kind).precision > _ROWTIME_DIGITS:
            raise NotSupportedError(
                f"{what}: column `{name}` is {from_arrow(kind).sql()}; a time attribute has at most {_ROWTIME_DIGITS} "
                f"digits, so declare TIMESTAMP({_ROWTIME_DIGITS})"
            )
    return WatermarkDef(watermark.column, watermark.text, types[watermark.column])


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"

"""Calls of users' functions as DataFusion takes them.

Functions of tables stand in FROM: `LATERAL TABLE(f(t.x)) AS u (a, b)`, `TABLE(f(1))`, `f(1)`.
Such a function gives a list of rows. Beside a table whose columns are its arguments it becomes `UNNEST(f(t.x))`; with
constant arguments a query of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import pyarrow as pa
from sqlglot import exp

from tsdb.errors import BindError
from tsdb.sql.script import position_of
from tsdb.sql.statements import Statement
from tsdb.sql.unnest import ROWS

_SMALL = {pa.int8(): "TINYINT", pa.int16(): "SMALLINT", pa.int32(): "INT"}
_ROWS, _ROW = "$rows", "$row"


def write_out_table_functions(
    query: exp.Expr, functions: Mapping[str, pa.ListType], statement: Statement | None
) -> None:
    """Replace every call of one of `functions`, by lower-case name, in a FROM clause."""
    if not functions:
        return
    for source in list(query.find_all(exp.Lateral, exp.Table)):
        call = source.this
        if isinstance(call, exp.Anonymous) and call.name.lower() == "table" and len(call.expressions) == 1:
            call = call.expressions[0]
        kind = functions.get(call.name.lower()) if isinstance(call, exp.Anonymous) else None
        if kind is not None:
            source.replace(_rows_of(call, kind, source, statement))


def cast_constants(query: exp.Expr, parameters: Mapping[str, Sequence[pa.DataType]]) -> None:
    """A whole number in the text is a BIGINT for DataFusion, which users' functions of an INT would not take."""
    if not parameters:
        return
    for call in query.find_all(exp.Anonymous):
        for argument, kind in zip(call.expressions, parameters.get(call.name.lower(), ()), strict=False):
            number = argument.this if isinstance(argument, exp.Neg) else argument
            if isinstance(number, exp.Literal) and number.is_int and kind in _SMALL:
                argument.replace(exp.Cast(this=argument.copy(), to=exp.DataType.build(_SMALL[kind])))


def _rows_of(call: exp.Expr, kind: pa.ListType, source: exp.Expr, statement: Statement | None) -> exp.Expr:
    alias = source.args.get("alias")
    name = alias.this if alias is not None and alias.this is not None else exp.to_identifier(call.name)
    columns = [field.name for field in kind.value_type]
    shown = [column.name for column in alias.columns] if alias is not None and alias.columns else columns
    if len(shown) != len(columns):
        raise BindError(
            f"function `{call.name}` gives {len(columns)} columns ({', '.join(columns)}), but {len(shown)} are named",
            position=position_of(call, statement),
        )
    named = exp.TableAlias(this=name.copy(), columns=[exp.to_identifier(column, quoted=True) for column in shown])
    if call.find(exp.Column) is not None:
        unnest = exp.Unnest(expressions=[call.copy()], alias=named)
        unnest.meta[ROWS] = kind
        return unnest
    rows = exp.alias_(exp.Anonymous(this="unnest", expressions=[call.copy()]), _ROW, quoted=True)
    fields = [
        exp.alias_(exp.column(c, _ROW, _ROWS, quoted=True), s, quoted=True) for c, s in zip(columns, shown, strict=True)
    ]
    inner = exp.Subquery(
        this=exp.Select(expressions=[rows]), alias=exp.TableAlias(this=exp.to_identifier(_ROWS, quoted=True))
    )
    outer = exp.Select(expressions=fields, from_=exp.From(this=inner))
    return exp.Subquery(this=outer, alias=exp.TableAlias(this=name.copy()))

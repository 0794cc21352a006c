"""CAST(x AS STRING), VARCHAR(n) and CHAR(n), with Flink's texts of every type.

DataFusion writes integers, decimals, dates and strings alike; timestamps get their blank here, and what is a boolean,
a floating-point number or an interval only DataFusion knows: `text_of` sees the type when it runs. Rows, arrays and
maps are put together of the texts of their parts.
"""

from __future__ import annotations

from collections.abc import Collection

import pyarrow as pa
from sqlglot import exp

from tsdb.sql.expression_type import arrow_type, is_array, results_of
from tsdb.sql.functions.spec import call, cast, is_null, number, paren, string, text, time_text, when

_PLAIN = (pa.types.is_integer, pa.types.is_decimal, pa.types.is_date, pa.types.is_string, pa.types.is_binary)
_ROWS = ("STRUCT", "ROW")
_VOLATILE = "volatile"
_MAPS = ("MAP", "MAP_FROM_ARRAYS", "STR_TO_MAP", "MAP_UNION")


def cast_to_text(node: exp.Cast) -> exp.Expr | None:
    """A cast to a text type; cut off, and CHAR filled up, to n."""
    if node.to.this not in exp.DataType.TEXT_TYPES:
        return None
    whole = as_text(node.this)
    sizes = [size.this.name for size in node.to.expressions if isinstance(size, exp.DataTypeParam)]
    if not sizes:
        return whole
    filled = node.to.this in (exp.DataType.Type.CHAR, exp.DataType.Type.NCHAR)
    return call("rpad" if filled else "left", whole, number(int(sizes[0])))


def mark_volatile(query: exp.Expr, names: Collection[str]) -> None:
    """Note which calls are of functions with side effects, lest a rule writes them twice. names: in lower case."""
    for node in query.find_all(exp.Anonymous) if names else ():
        if str(node.this).lower() in names:
            node.meta[_VOLATILE] = True


def as_text(node: exp.Expr) -> exp.Expr:
    """The text of a value, NULL for NULL. What a function with side effects gives has DataFusion's text."""
    known = _kind(node)
    if _is_plain(node, known) or any(inner.meta.get(_VOLATILE) for inner in node.find_all(exp.Anonymous)):
        return string(node)
    parts = _parts_of_row(node, known)
    if parts is not None:
        return when(is_null(node), exp.Null(), _row(parts)) if known is not None else _row(parts)
    if isinstance(node, exp.Array) and node.expressions:
        items = [call("coalesce", as_text(item), text("NULL")) for item in node.expressions]
        return _around("[", items, "]")
    if is_array(node):
        return call("list_text", _texts(node), call("arrow_typeof", node))
    if _is_map(node, known):
        keys, values = call("map_keys", node), call("map_values", node)
        kinds = (call("arrow_typeof", keys), call("arrow_typeof", values))
        return call("map_text", _texts(keys), _texts(values), *kinds)
    return call("text_of", cast(node, "STRING"), call("arrow_typeof", node))


def _kind(node: exp.Expr) -> pa.DataType | None:
    return arrow_type(node.this if isinstance(node, exp.Paren) else node)


def _is_plain(node: exp.Expr, known: pa.DataType | None) -> bool:
    if isinstance(node, exp.Literal | exp.Null | exp.DPipe | exp.Placeholder) or time_text(node) is not None:
        return True
    if isinstance(node, exp.Cast):
        return node.to.this in (*exp.DataType.TEXT_TYPES, exp.DataType.Type.DATE, exp.DataType.Type.TIME)
    return known is not None and any(is_one(known) for is_one in _PLAIN)


def _parts_of_row(node: exp.Expr, known: pa.DataType | None) -> list[exp.Expr] | None:
    if known is not None and pa.types.is_struct(known):
        return [call("get_field", node, text(known.field(i).name)) for i in range(known.num_fields)]
    if not isinstance(node, exp.Anonymous):
        return None
    name = str(node.this).upper()
    if name == "NAMED_STRUCT":
        return list(node.expressions[1::2])
    return list(node.expressions) if name in _ROWS else None


def _row(parts: list[exp.Expr]) -> exp.Expr:
    shown = [call("coalesce", as_text(part), text("NULL")) for part in parts]
    return _around("(", shown, ")")


def _around(opening: str, parts: list[exp.Expr], closing: str) -> exp.Expr:
    joined = call("concat_ws", text(", "), *parts)
    return paren(exp.DPipe(this=exp.DPipe(this=text(opening), expression=joined), expression=text(closing)))


def _is_map(node: exp.Expr, known: pa.DataType | None) -> bool:
    if known is not None:
        return bool(pa.types.is_map(known))
    if isinstance(node, exp.Cast):
        return node.to.this is exp.DataType.Type.MAP
    if isinstance(node, exp.Case):
        results = [one for one in results_of(node) if not isinstance(one, exp.Null)]
        return bool(results) and all(_is_map(one, _kind(one)) for one in results)
    return isinstance(node, exp.Map | exp.VarMap) or (
        isinstance(node, exp.Anonymous) and str(node.this).upper() in _MAPS
    )


def _texts(node: exp.Expr) -> exp.Expr:
    return call("arrow_cast", node, text("List(Utf8)"))

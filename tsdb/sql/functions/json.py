"""Functions of JSON, and how their clauses are read."""

from __future__ import annotations

from typing import Any

from sqlglot import exp

from tsdb.errors import NotSupportedError
from tsdb.sql.functions.spec import (
    AGGREGATE,
    Arguments,
    Function,
    Group,
    binary,
    call,
    cast,
    of_strings,
    paren,
    string,
    text,
)  # fmt: skip
from tsdb.sql.json_call import JsonCall

_f = Group("JSON")
_a = Group("JSON", AGGREGATE)

_RETURNING: dict[Any, str] = {
    exp.DataType.Type.BOOLEAN: "BOOLEAN",
    exp.DataType.Type.INT: "INTEGER",
    exp.DataType.Type.BIGINT: "INTEGER",
    exp.DataType.Type.DOUBLE: "DOUBLE",
    exp.DataType.Type.TEXT: "STRING",
    exp.DataType.Type.VARCHAR: "STRING",
}


def translate_json(node: JsonCall) -> exp.Expr:
    """A call with the clauses that it was written with."""
    name, arguments = str(node.this).upper(), list(node.expressions)
    if name == "JSON_VALUE":
        return _value(node, arguments)
    if name == "JSON_EXISTS":
        return call("json_exists", *map(string, arguments), text(node.args.get("on_error") or "FALSE"))
    if name == "JSON_QUERY":
        clauses = (node.args.get(key) or default for key, default in _QUERY)
        return call("json_query", *map(string, arguments), *map(text, clauses))
    absent = node.args.get("nulls") == "ABSENT"
    keys, values = node.args.get("keys") or [], arguments
    if name == "JSON_OBJECT":
        return _built("{", [(key, value) for key, value in zip(keys, values, strict=True)], "}", absent)
    if name == "JSON_ARRAY":
        return _built("[", [(None, value) for value in values], "]", node.args.get("nulls") != "NULL")
    return _aggregate(name, keys, values, node.args.get("nulls"))


_QUERY = (("wrapper", "WITHOUT"), ("on_empty", "NULL"), ("on_error", "NULL"))


def _value(node: JsonCall, arguments: Arguments) -> exp.Expr:
    returning = node.args.get("returning")
    kind = _RETURNING.get(returning.this) if returning is not None else "STRING"
    if returning is not None and kind is None:
        raise NotSupportedError(f"JSON_VALUE returns STRING, BOOLEAN, INT, BIGINT or DOUBLE, not {returning.sql()}")
    clauses: list[exp.Expr] = []
    for key in ("on_empty", "on_error"):
        default = node.args.get(f"{key}_default")
        clauses += [text(node.args.get(key) or "NULL"), cast(exp.Null() if default is None else default, "STRING")]
    found = call("json_value", *map(string, arguments), text(kind or "STRING"), *clauses)
    return found if returning is None else exp.Cast(this=found, to=returning.copy())


def _json(value: exp.Expr) -> exp.Expr:
    """A value as JSON text, NULL for NULL; what is JSON already stays."""
    if isinstance(value, exp.Anonymous) and str(value.this) == _BUILT:
        return value.copy()
    return call("json_text", cast(value, "STRING"), call("arrow_typeof", value))


_BUILT = "concat"
"""What JSON_OBJECT and JSON_ARRAY become; no other translation makes such a call, so one inside another is known."""


def _built(opening: str, members: list[tuple[exp.Expr | None, exp.Expr]], closing: str, absent: bool) -> exp.Expr:
    parts: list[exp.Expr] = []
    for key, value in members:
        before = text("")
        if key is not None:
            before = paren(exp.DPipe(this=call("json_text", string(key), text("Utf8")), expression=text(":")))
        filled = _json(value)
        if not absent:
            filled = call("coalesce", filled, text("null"))
        parts.append(binary(exp.DPipe, before, filled))
    return call(_BUILT, text(opening), call("concat_ws", text(","), *parts) if parts else text(""), text(closing))


def _aggregate(name: str, keys: Arguments, values: Arguments, nulls: str | None) -> exp.Expr:
    value = _json(values[0])
    if nulls == "NULL" or (nulls is None and name == "JSON_OBJECTAGG"):
        value = call("coalesce", value, text("null"))
    if keys:
        value = binary(exp.DPipe, paren(exp.DPipe(this=call("json_text", string(keys[0]), text("Utf8")),
                                                  expression=text(":"))), value)  # fmt: skip
    opening, closing = ("{", "}") if keys else ("[", "]")
    joined = call("coalesce", call("string_agg", value, text(",")), text(""))
    return paren(exp.DPipe(this=exp.DPipe(this=text(opening), expression=joined), expression=text(closing)))


def is_json(node: exp.Is) -> exp.Expr | None:
    """x IS JSON [VALUE | SCALAR | OBJECT | ARRAY]; NULL is none."""
    test = node.expression
    if not isinstance(test, exp.JSON):
        return None
    kind = str(test.args.get("this") or "VALUE").upper()
    return call("coalesce", call("is_json", string(node.this), text(kind)), exp.false())


def _string(arguments: Arguments) -> exp.Expr:
    return call("json_text", cast(arguments[0], "STRING"), call("arrow_typeof", arguments[0]))


def _quote(arguments: Arguments) -> exp.Expr:
    return call("json_text", string(arguments[0]), text("Utf8"))


JSON: tuple[Function, ...] = (
    _f("JSON_VALUE", "JSON_VALUE(json, path [RETURNING type] [NULL | ERROR | DEFAULT x ON EMPTY] [… ON ERROR])",
       "The scalar at a path.", """JSON_VALUE('{"a": {"b": 1.50}}', '$.a.b')""", "1.50"),
    _f("JSON_QUERY",
       "JSON_QUERY(json, path [WITH | WITHOUT [CONDITIONAL] WRAPPER] [NULL | EMPTY ARRAY | EMPTY OBJECT | ERROR ON …])",
       "The object or array at a path, as JSON.", """JSON_QUERY('{"a": [1, 2]}', '$.a')""", "[1,2]"),
    _f("JSON_EXISTS", "JSON_EXISTS(json, path [TRUE | FALSE | UNKNOWN | ERROR ON ERROR])",
       "Whether there is something at a path.", """JSON_EXISTS('{"a": 1}', '$.b')""", "false"),
    _f("JSON_OBJECT", "JSON_OBJECT([KEY] key VALUE x, … [NULL | ABSENT ON NULL])", "An object, as JSON.",
       "JSON_OBJECT('a' VALUE 1, 'b' VALUE 'x')", '{"a":1,"b":"x"}'),
    _f("JSON_ARRAY", "JSON_ARRAY(x, … [NULL | ABSENT ON NULL])", "An array, as JSON; without NULLs, unless asked.",
       "JSON_ARRAY(1, 'x', NULL)", '[1,"x"]'),
    _a("JSON_OBJECTAGG", "JSON_OBJECTAGG([KEY] key VALUE x [NULL | ABSENT ON NULL])",
       "An object of many rows, as JSON.",
       "SELECT JSON_OBJECTAGG(KEY k VALUE v) FROM (VALUES ('a', 1)) AS t(k, v)", '{"a":1}'),
    _a("JSON_ARRAYAGG", "JSON_ARRAYAGG(x [NULL | ABSENT ON NULL])", "An array of many rows, as JSON.",
       "SELECT JSON_ARRAYAGG(v) FROM (VALUES (1)) AS t(v)", "[1]"),
    _f("JSON_STRING", "JSON_STRING(x)", "A value as JSON.", "JSON_STRING('a\"b')", r'"a\"b"', 1, by=_string),
    _f("JSON_QUOTE", "JSON_QUOTE(text)", "A string as JSON.", "JSON_QUOTE('a\"b')", r'"a\"b"', 1, by=_quote),
    _f("JSON_UNQUOTE", "JSON_UNQUOTE(text)", "A string out of JSON; anything else as it is.",
       "JSON_UNQUOTE('\"abc\"')", "abc", 1, by=of_strings("json_unquote")),
    _f("IS JSON", "text IS [NOT] JSON [VALUE | SCALAR | OBJECT | ARRAY]", "Whether text is JSON.",
       "'[1]' IS JSON ARRAY", "true"),
)  # fmt: skip
"""Reading and making JSON."""

"""Calls of JSON functions, whose arguments have clauses of their own, as they are read and written."""

from __future__ import annotations

from typing import Any, ClassVar

from sqlglot import exp
from sqlglot.parser import Parser
from sqlglot.tokenizer_core import TokenType

_CLAUSES = {
    "returning": False, "on_empty": False, "on_error": False, "on_empty_default": False, "on_error_default": False,
    "wrapper": False, "nulls": False, "keys": False,
}  # fmt: skip
_BEHAVIOURS = ("EMPTY ARRAY", "EMPTY OBJECT", "NULL", "ERROR", "TRUE", "FALSE", "UNKNOWN")


class JsonCall(exp.Anonymous):
    """A call of a function with clauses. keys: of JSON_OBJECT and JSON_OBJECTAGG, beside `expressions`."""

    arg_types: ClassVar[dict[str, bool]] = {"this": True, "expressions": False, **_CLAUSES}


def json_sql(generator: Any, node: JsonCall) -> str:
    """The call as it was written, more or less: for the name of a column."""
    values = [generator.sql(value) for value in node.expressions]
    keys = [generator.sql(key) for key in node.args.get("keys") or []]
    words = [f"{key} VALUE {value}" for key, value in zip(keys, values, strict=True)] if keys else values
    text = ", ".join(words)
    if node.args.get("returning") is not None:
        text += f" RETURNING {generator.sql(node, 'returning')}"
    if node.args.get("wrapper"):
        text += f" WITH {node.args['wrapper']} WRAPPER"
    for key in ("on_empty", "on_error"):
        if node.args.get(key):
            default = generator.sql(node, f"{key}_default")
            text += f" {node.args[key]}{' ' + default if default else ''} {key.upper().replace('_', ' ')}"
    if node.args.get("nulls"):
        text += f" {node.args['nulls']} ON NULL"
    return f"{node.this}({text})"


def parse_json_path(name: str) -> Any:
    """A parser of the arguments of JSON_VALUE, JSON_QUERY, JSON_EXISTS."""

    def parse(parser: Parser) -> exp.Expr:
        node = JsonCall(this=name, expressions=[parser._parse_bitwise()])
        if not parser._match(TokenType.COMMA):
            parser.raise_error("expected `,` and a path")
        node.append("expressions", parser._parse_bitwise())
        if parser._match_text_seq("RETURNING"):
            node.set("returning", parser._parse_types())
        if parser._match_text_seq("WITHOUT"):
            parser._match_text_seq("ARRAY")
            _expect(parser, "WRAPPER")
        elif parser._match_text_seq("WITH"):
            conditional = parser._match_text_seq("CONDITIONAL")
            parser._match_text_seq("UNCONDITIONAL")
            parser._match_text_seq("ARRAY")
            _expect(parser, "WRAPPER")
            node.set("wrapper", "CONDITIONAL" if conditional else "UNCONDITIONAL")
        while True:
            behaviour, default = _behaviour(parser)
            if behaviour is None:
                return node
            _expect(parser, "ON")
            key = "on_empty" if parser._match_text_seq("EMPTY") else "on_error"
            if key == "on_error":
                _expect(parser, "ERROR")
            node.set(key, behaviour)
            node.set(f"{key}_default", default)

    return parse


def parse_json_members(name: str) -> Any:
    """A parser of the arguments of JSON_OBJECT, JSON_ARRAY and their aggregates."""
    has_keys = name.startswith("JSON_OBJECT")

    def parse(parser: Parser) -> exp.Expr:
        keys: list[Any] = []
        values: list[Any] = []
        while parser._curr and parser._curr.text not in (")",) and not _nulls(parser, peek=True):
            if has_keys:
                parser._match_text_seq("KEY")
                keys.append(parser._parse_bitwise())
                if not (
                    parser._match_text_seq("VALUE") or parser._match_text_seq(":") or parser._match(TokenType.COMMA)
                ):
                    parser.raise_error("expected VALUE")
            values.append(parser._parse_assignment())
            if not parser._match(TokenType.COMMA):
                break
        node = JsonCall(this=name, expressions=values)
        if has_keys:
            node.set("keys", keys)
        node.set("nulls", _nulls(parser))
        return node

    return parse


def _nulls(parser: Parser, *, peek: bool = False) -> str | None:
    """NULL ON NULL, ABSENT ON NULL."""
    index = parser._index
    for word in ("NULL", "ABSENT"):
        if parser._match_text_seq(word, "ON", "NULL"):
            if peek:
                parser._retreat(index)
            return word
    return None


def _behaviour(parser: Parser) -> tuple[str | None, Any]:
    for words in _BEHAVIOURS:
        if parser._match_text_seq(*words.split()):
            return words, None
    if parser._match_text_seq("EMPTY"):
        return "EMPTY ARRAY", None
    return ("DEFAULT", parser._parse_bitwise()) if parser._match_text_seq("DEFAULT") else (None, None)


def _expect(parser: Parser, word: str) -> None:
    if not parser._match_text_seq(word):
        parser.raise_error(f"expected {word}")


JSON_PARSERS = {
    **{name: parse_json_path(name) for name in ("JSON_VALUE", "JSON_QUERY", "JSON_EXISTS")},
    **{name: parse_json_members(name) for name in ("JSON_OBJECT", "JSON_ARRAY", "JSON_OBJECTAGG", "JSON_ARRAYAGG")},
}
"""By name, for the dialect."""

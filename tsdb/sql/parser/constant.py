"""Constants: an expression that is a plain value, read as a Python value (options, partitions, arguments of CALL)."""

from __future__ import annotations

from collections.abc import Mapping
from decimal import Decimal
from typing import Any

from sqlglot import exp

from tsdb.sql.cursor import Cursor, as_option


def read_constant(cursor: Cursor) -> Any:
    """A literal, NULL, TRUE, DATE '…', ARRAY[…], MAP[…] or `?` (which stays an `exp.Placeholder` until it is bound)."""
    start = cursor.index
    found, value = constant(cursor.expression("a constant"))
    if not found:
        cursor.move_to(start)
        cursor.error("expected a constant, not an expression")
    return value


def constant(node: exp.Expr) -> tuple[bool, Any]:
    """(True, its value) if `node` is a constant. Casts of strings (DATE '…') give the string."""
    if isinstance(node, exp.Placeholder):
        return True, node
    if isinstance(node, exp.Literal):
        return True, _literal(node)
    if isinstance(node, exp.Boolean):
        return True, bool(node.this)
    if isinstance(node, exp.Null):
        return True, None
    if isinstance(node, exp.Paren):
        return constant(node.this)
    if isinstance(node, exp.Cast) and node.this.is_string:
        return True, node.this.name
    if isinstance(node, exp.Neg):
        found, value = constant(node.this)
        number = found and isinstance(value, int | float | Decimal) and not isinstance(value, bool)
        return (True, -value) if number else (False, None)
    if isinstance(node, exp.Array):
        return _all(node.expressions)
    if isinstance(node, exp.Map):
        found, items = _all([*node.args["keys"].expressions, *node.args["values"].expressions])
        half = len(items) // 2
        return found, dict(zip(items[:half], items[half:], strict=True))
    return False, None


def _literal(node: exp.Literal) -> str | int | float | Decimal:
    if node.is_string:
        return str(node.this)
    text = str(node.this)
    if text.isdigit():
        return int(text)
    return float(text) if "e" in text.lower() else Decimal(text)


def _all(nodes: list[exp.Expr]) -> tuple[bool, list[Any]]:
    pairs = [constant(node) for node in nodes]
    return all(found for found, _ in pairs), [value for _, value in pairs]


def read_partition(cursor: Cursor) -> Mapping[str, Any]:
    """( key = constant, … ). A key without a value is dynamic, as every key that is not named, and is left out."""

    def entry() -> tuple[str, Any] | None:
        key = cursor.identifier("a partition key")
        return (key, read_constant(cursor)) if cursor.accept("=") else None

    return dict(item for item in cursor.wrapped(entry) if item is not None)


__all__ = ["as_option", "constant", "read_constant", "read_partition"]

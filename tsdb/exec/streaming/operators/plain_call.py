"""Aggregate calls of a plan, taken apart.

FILTER and DISTINCT have no getters, so they are read from the serialised call; and a call only counts as plain if a
call built from its parts serialises to the same bytes. So nothing that was not understood (ORDER BY, null treatment,
a function of the user) is lost.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import datafusion.functions as f
from datafusion.expr import Expr

from tsdb.exec.streaming.graph import GraphBuilder
from tsdb.exec.streaming.protobuf import fields

_FUNCTIONS: dict[str, Callable[..., Expr]] = {"count": f.count, "sum": f.sum, "avg": f.avg, "min": f.min, "max": f.max}
_AGGREGATE_CALL, _ARGUMENT, _CONDITION, _DISTINCT = 19, 2, 3, 5


@dataclass(frozen=True, slots=True)
class PlainCall:
    """function(argument) FILTER (WHERE condition). argument: None for count(*)."""

    function: str
    argument: Any
    condition: Any
    distinct: bool

    @property
    def input_text(self) -> str:
        """What the call sees of the input, as text: equal texts see the same."""
        return " WHERE ".join(Expr(e).canonical_name() for e in (self.argument, self.condition) if e is not None)


def plain_calls(variant: Any, graph: GraphBuilder) -> list[PlainCall] | None:
    """The aggregate calls of an Aggregate node, or None if one of them is not plain."""
    calls = [_plain_call(raw, graph) for raw in variant.aggregate_exprs()]
    plain = [c for c in calls if c is not None]
    return plain if len(plain) == len(calls) else None


def _plain_call(raw: Any, graph: GraphBuilder) -> PlainCall | None:
    expr = Expr(raw)
    while expr.variant_name() == "Alias":
        expr = Expr(expr.to_variant().expr())
    text = expr.to_bytes()
    (number, call), *_ = fields(text)
    if number != _AGGREGATE_CALL:
        return None
    parts = fields(call)
    name = parts[0][1].decode()
    arguments = [Expr.from_bytes(content, graph.context) for part, content in parts if part == _ARGUMENT]
    conditions = [Expr.from_bytes(content, graph.context) for part, content in parts if part == _CONDITION]
    distinct = any(part == _DISTINCT for part, _ in parts)
    if name not in _FUNCTIONS or len(arguments) != 1 or len(conditions) > 1:
        return None
    condition = conditions[0] if conditions else None
    options = {"distinct": distinct} if name not in ("min", "max") else {}
    if _FUNCTIONS[name](arguments[0], filter=condition, **options).to_bytes() != text:
        return None
    is_constant = arguments[0].variant_name() == "Literal" and arguments[0].python_value() is not None
    argument = None if name == "count" and is_constant and not distinct else arguments[0].expr
    return PlainCall(name, argument, None if condition is None else condition.expr, distinct)

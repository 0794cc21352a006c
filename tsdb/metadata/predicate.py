"""Predicates that statistics can judge: comparisons of a column with constants, under AND and OR.

Whatever a query filters by beyond that is simply not pushed down: a predicate may only say that a row cannot match.
Source: Paimon, `Predicate`, `LeafFunction`.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc


@dataclass(frozen=True, slots=True)
class Comparison:
    """op: `=` `!=` `<` `<=` `>` `>=` `in` `is null` `is not null` `starts with`. values: constants, never None."""

    op: str
    column: str
    values: tuple[Any, ...] = ()


@dataclass(frozen=True, slots=True)
class And:
    """All children hold."""

    children: "tuple[Predicate, ...]"


@dataclass(frozen=True, slots=True)
class Or:
    """One child holds."""

    children: "tuple[Predicate, ...]"


Predicate = Comparison | And | Or
Range = tuple[Any, Any, int | None, int]  # smallest, largest, NULLs, rows


def may_match(predicate: Predicate, ranges: Callable[[str], Range | None]) -> bool:
    """Whether some row of a file may match; True whenever the statistics do not exclude it.

    ranges(column): (smallest, largest, number of NULLs or None, number of rows), or None if nothing is known.
    smallest and largest are None if unknown, or if all are NULL.
    """
    match predicate:
        case And(children):
            return all(may_match(c, ranges) for c in children)
        case Or(children):
            return any(may_match(c, ranges) for c in children)
        case Comparison(op, column, values):
            known = ranges(column)
            return known is None or _comparison_may_match(op, values, *known)


def _comparison_may_match(op: str, values: tuple[Any, ...], low: Any, high: Any, nulls: int | None, rows: int) -> bool:
    if op == "is null":
        return nulls is None or nulls > 0
    if nulls is not None and nulls >= rows:
        return False
    if op == "is not null" or low is None or high is None:
        return True
    if any(isinstance(value, float) for value in (low, high, *values)):
        return _floats_may_match(op, values, low, high)
    try:
        match op:
            case "=" | "in":
                return any(low <= v <= high for v in values)
            case "!=":
                return not (low == high == values[0])
            case "<":
                return bool(low < values[0])
            case "<=":
                return bool(low <= values[0])
            case ">":
                return bool(high > values[0])
            case ">=":
                return bool(high >= values[0])
            case "starts with":
                return bool(low[: len(values[0])] <= values[0] <= high[: len(values[0])])
    except TypeError:  # values of another type: leave the decision to the filter itself
        return True
    return True


def _floats_may_match(op: str, values: tuple[Any, ...], low: Any, high: Any) -> bool:
    """Engines disagree on the order of NaN, and on whether -0.0 is 0.0: where either may matter, a row may match."""
    if op == "!=" or any(value != value for value in (low, high, *values)):
        return True
    match op:
        case "=" | "in":
            return any(low <= v <= high for v in values)
        case "<" | "<=":
            return bool(low <= values[0])
        case ">" | ">=":
            return bool(high >= values[0])
    return True


def columns(predicate: Predicate) -> set[str]:
    """The columns it looks at."""
    match predicate:
        case Comparison(_, column, _):
            return {column}
        case And(children) | Or(children):
            return set().union(*(columns(c) for c in children))


def equalities(predicate: Predicate) -> Mapping[str, frozenset[Any]]:
    """Columns that must have one of a set of values for a row to match."""
    match predicate:
        case Comparison("=" | "in", column, values):
            return {column: frozenset(values)}
        case And(children):
            out: dict[str, frozenset[Any]] = {}
            for child in children:
                for name, allowed in equalities(child).items():
                    out[name] = out[name] & allowed if name in out else allowed
            return out
        case Or(children):
            parts = [equalities(c) for c in children]
            shared = set.intersection(*(set(p) for p in parts)) if parts else set()
            return {column: frozenset().union(*(p[column] for p in parts)) for column in shared}
    return {}


def to_arrow(predicate: Predicate, schema: pa.Schema) -> pc.Expression:
    """The same as an Arrow expression over columns of `schema`."""
    match predicate:
        case And(children):
            return _reduce(children, schema, lambda a, b: a & b)
        case Or(children):
            return _reduce(children, schema, lambda a, b: a | b)
        case Comparison(op, column, values):
            return _comparison(op, pc.field(column), values, schema.field(column).type)


def _reduce(children: tuple[Predicate, ...], schema: pa.Schema, join: Callable[[Any, Any], Any]) -> pc.Expression:
    first, *rest = (to_arrow(c, schema) for c in children)
    for expression in rest:
        first = join(first, expression)
    return first


def _comparison(op: str, field: pc.Expression, values: tuple[Any, ...], kind: pa.DataType) -> pc.Expression:
    if op == "is null":
        return field.is_null()
    if op == "is not null":
        return field.is_valid()
    if op == "in":
        return field.isin(pa.array(values, kind))
    if op == "starts with":
        return pc.starts_with(field, pattern=values[0])
    value = pa.scalar(values[0], kind)
    compared = {
        "=": lambda: field == value, "!=": lambda: field != value, "<": lambda: field < value,
        "<=": lambda: field <= value, ">": lambda: field > value, ">=": lambda: field >= value,
    }  # fmt: skip
    return compared[op]()

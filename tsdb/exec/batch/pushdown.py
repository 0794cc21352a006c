"""What a plan's scans ask for: their filters, as predicates that the table can prune files with.

DataFusion filters every row itself (or has the scan do it exactly); a predicate here only has to be true for every
row that matters, so what cannot be expressed is left out.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from datafusion.expr import Column, Filter, InList, TableScan
from datafusion.plan import LogicalPlan

from tsdb.metadata.predicate import And, Comparison, Or, Predicate

_OPERATORS = {"=": "=", "!=": "!=", "<": "<", "<=": "<=", ">": ">", ">=": ">="}
_MIRRORED = {"=": "=", "!=": "!=", "<": ">", "<=": ">=", ">": "<", ">=": "<="}


def scan_predicates(plan: LogicalPlan) -> dict[str, Predicate | None]:
    """For each registered name that the optimised plan scans: a predicate that holds for every row needed, None: all
    rows.

    A name that is scanned several times (a common table expression used twice) gets the disjunction.
    """
    found: dict[str, list[Predicate | None]] = {}
    for scan, above in _scans(plan, []):
        conjuncts = [predicate_of(expression) for expression in (*scan.filters(), *above)]
        known = [predicate for predicate in conjuncts if predicate is not None]
        found.setdefault(scan.table_name(), []).append(_all(known))
    text = plan.display_indent()
    return {
        name: _any(predicates) if text.count(f"TableScan: {name} ") == len(predicates) else None
        for name, predicates in found.items()
    }


def never_read(plan: LogicalPlan) -> set[str]:
    """The registered names of which no row is wanted: every scan has a filter that is FALSE or NULL by itself."""
    found: dict[str, list[bool]] = {}
    for scan, _ in _scans(plan, []):
        found.setdefault(scan.table_name(), []).append(any(map(_is_never_true, scan.filters())))
    text = plan.display_indent()
    return {name for name, empty in found.items() if all(empty) and text.count(f"TableScan: {name} ") == len(empty)}


def constantly_filtered(plan: LogicalPlan) -> set[str]:
    """The registered names that have a scan with a filter that is a mere constant."""
    return {scan.table_name() for scan, _ in _scans(plan, []) if any(map(_is_literal, scan.filters()))}


def filtered(plan: LogicalPlan) -> set[str]:
    """The registered names that have a scan with a filter."""
    return {scan.table_name() for scan, above in _scans(plan, []) if scan.filters() or above}


def filter_texts(plan: LogicalPlan) -> list[str]:
    """The filters of a plan as text, those of plans inside expressions too, with whatever stands on the same line."""
    lines = (line.strip() for line in plan.display_indent().splitlines())
    return [line for line in lines if not line.startswith(("Projection: ", "Aggregate: ")) and not _is_bare_scan(line)]


def _is_bare_scan(line: str) -> bool:
    return line.startswith("TableScan: ") and "_filters=[" not in line


def predicate_of(raw: Any) -> Predicate | None:
    """The predicate for one expression; None when it cannot be expressed."""
    kind = raw.variant_name()
    if kind == "BinaryExpr":
        return _binary(raw)
    if kind == "InList":
        return _in_list(raw.to_variant())
    if kind in ("IsNull", "IsNotNull"):
        column = _column(raw.rex_call_operands()[0])
        return _of(column, "is null" if kind == "IsNull" else "is not null")
    if kind == "Column":
        column = _column(raw)
        return _of(column, "=", True)
    if kind == "Not":
        column = _column(raw.rex_call_operands()[0])
        return _of(column, "=", False)
    if kind == "Like":
        return _prefix(raw)
    return None


def _binary(raw: Any) -> Predicate | None:
    operator = raw.rex_call_operator()
    if operator in ("AND", "OR"):
        sides = [predicate_of(part) for part in _parts(raw, operator)]
        if operator == "OR":
            return _any(sides)
        return _all([side for side in sides if side is not None])
    if operator not in _OPERATORS:
        return None
    left, right = raw.rex_call_operands()
    if _column(left) is None:
        left, right, operator = right, left, _MIRRORED[operator]
    column, value = _column(left), _literal(right)
    if column is None or value is None or (isinstance(value, float) and not _orders_numbers(operator, value)):
        return None
    return Comparison(operator, column, (value,))


def _orders_numbers(operator: str, value: float) -> bool:
    """NaN is greater than all numbers, but in no statistics: only what excludes it can be judged by them."""
    return operator in ("=", "<", "<=") and value == value


def _of(column: str | None, operator: str, *values: Any) -> Predicate | None:
    return None if column is None else Comparison(operator, column, values)


def _in_list(node: InList) -> Predicate | None:
    column = _column(node.expr())
    values = [_literal(item) for item in node.list()]
    if column is None or node.negated() or any(value is None or value != value for value in values):
        return None
    return Comparison("in", column, tuple(values))


def _prefix(raw: Any) -> Predicate | None:
    """LIKE 'abc%'; ILIKE is the same variant, and is known by its text only."""
    if " ILIKE " in str(raw):
        return None
    node = raw.to_variant()
    column, pattern = _column(node.expr()), _literal(node.pattern())
    if column is None or node.negated() or node.escape_char() is not None or not isinstance(pattern, str):
        return None
    prefix = pattern.split("%")[0].split("_")[0]
    return Comparison("starts with", column, (prefix,)) if prefix and "\\" not in pattern else None


def _column(raw: Any) -> str | None:
    variant = raw.to_variant() if raw.variant_name() == "Column" else None
    return variant.name() if isinstance(variant, Column) else None


def _literal(raw: Any) -> Any:
    """The Python value of a literal; None when it is NULL, or has no Python value."""
    if raw.variant_name() != "Literal":
        return None
    scalar = raw.python_value()
    try:
        return scalar.as_py() if hasattr(scalar, "as_py") else scalar
    except ValueError:
        return None  # nanoseconds that a datetime cannot hold


def _is_literal(raw: Any) -> bool:
    return bool(raw.variant_name() == "Literal")


def _is_never_true(raw: Any) -> bool:
    if not _is_literal(raw):
        return False
    constant = raw.python_value()
    return not (constant.as_py() if hasattr(constant, "as_py") else constant)


def _all(predicates: list[Predicate]) -> Predicate | None:
    if len(predicates) < 2:
        return predicates[0] if predicates else None
    return And(tuple(predicates))


def _any(predicates: list[Predicate | None]) -> Predicate | None:
    known = [predicate for predicate in predicates if predicate is not None]
    if len(known) < len(predicates) or not known:
        return None
    return known[0] if len(known) == 1 else Or(tuple(known))


def _scans(plan: LogicalPlan, above: list[Any]) -> Iterator[tuple[TableScan, list[Any]]]:
    """Every scan with the conjuncts of a filter directly above it. Plans inside expressions are not visited."""
    variant = plan.to_variant()
    if isinstance(variant, TableScan):
        yield variant, above
        return
    conjuncts = _conjuncts(variant.predicate()) if isinstance(variant, Filter) else []
    for child in plan.inputs():
        yield from _scans(child, conjuncts)


def _conjuncts(raw: Any) -> list[Any]:
    return _parts(raw, "AND")


def _parts(raw: Any, operator: str) -> list[Any]:
    """The operands of a chain of AND or of OR, in order. Chains may be longer than Python's stack is deep."""
    parts, open_ = [], [raw]
    while open_:
        part = open_.pop()
        if part.variant_name() == "BinaryExpr" and part.rex_call_operator() == operator:
            open_ += reversed(part.rex_call_operands())
        else:
            parts.append(part)
    return parts

"""GROUPING SETS, ROLLUP and CUBE: one aggregate per set, and their union."""

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import pyarrow as pa
from datafusion import SessionContext
from datafusion.expr import Expr
from datafusion.plan import LogicalPlan

from tsdb.errors import NotSupportedError
from tsdb.exec.streaming.binding import PlanColumn
from tsdb.exec.streaming.expression import Computed
from tsdb.exec.streaming.graph import GraphBuilder, Stream
from tsdb.exec.streaming.marks import of_all
from tsdb.exec.streaming.operators.project import project
from tsdb.exec.streaming.operators.union import Union
from tsdb.exec.streaming.protobuf import fields

AddAggregate: TypeAlias = Callable[[Sequence[Any], Sequence[PlanColumn], pa.Schema], Stream]
"""group expressions, output columns and output schema → the aggregate grouped by them."""

_GROUPING_ID = "__grouping_id"


def add_grouping_sets(plan: LogicalPlan, grouping: Any, graph: GraphBuilder, add: AddAggregate) -> Stream:
    """Δout = sum over the sets of Δ(aggregate by the set), with NULL for the columns that are not in the set, and the
    grouping id.

    The grouping id has a bit per group column, the first column highest; it is 1 where the column is not in the set.
    """
    columns, schema = graph.planned(plan)
    width = [c.name for c in columns].index(_GROUPING_ID)
    sets = grouping_sets(grouping, graph.context)
    every: list[Any] = []
    for expr in (e for group in sets for e in group):
        if not any(_text(expr) == _text(other) for other in every):
            every.append(expr)
    texts = [sorted(_text(e) for e in group) for group in sets]
    if len(every) != width or any(texts.count(t) > 1 for t in texts):
        raise NotSupportedError(f"`{plan.display()}` repeats a grouping set; name each set once")
    if len(columns) == width + 1 and [] in sets:
        raise NotSupportedError("the grouping set () gives its row in a stream only beside an aggregate; add count(*)")
    parts = []
    for group in sets:
        here = [i for i, e in enumerate(every) if any(_text(e) == _text(g) for g in group)]
        positions = [*here, *range(width + 1, len(columns))]
        by = [every[i].expr for i in here]
        part = add(by, [columns[p] for p in positions], pa.schema([schema.field(p) for p in positions]))
        missing = sum(1 << (width - 1 - i) for i in range(width) if i not in here)
        outputs: list[int | Computed] = []
        for i, field in enumerate(schema):
            if i == width:
                outputs.append(Computed(Expr.literal(pa.scalar(missing, field.type))))
            elif i in positions:
                outputs.append(positions.index(i))
            else:
                outputs.append(Computed(Expr.literal(pa.scalar(None, field.type))))
        parts.append(project(outputs, columns, schema, part, graph, f"grouping set {[_text(e) for e in group]}"))
    return graph.add(
        Union(schema), parts, columns, schema,
        key=range(width + 1), append_only=all(p.append_only for p in parts), marks=of_all(parts, graph),
    )  # fmt: skip


def grouping_sets(grouping: Any, context: SessionContext) -> list[list[Expr]]:
    """The sets that a GroupingSet expression stands for, read from its serialised form (it has no getters)."""
    (_, node), *_ = fields(Expr(grouping).to_bytes())
    kind = Expr(grouping).canonical_name().split("(")[0].strip()
    if kind == "GROUPING SETS":
        return [[Expr.from_bytes(e, context) for _, e in fields(group)] for _, group in fields(node)]
    exprs = [Expr.from_bytes(e, context) for _, e in fields(node)]
    if kind == "ROLLUP":
        return [exprs[:n] for n in range(len(exprs), -1, -1)]
    if kind == "CUBE":
        count = len(exprs)
        return [[e for i, e in enumerate(exprs) if mask >> i & 1] for mask in range(1 << count)]
    raise NotSupportedError(f"grouping by `{Expr(grouping).canonical_name()}` cannot run as a stream")


def _text(expr: Expr) -> str:
    return expr.canonical_name()

"""Filter."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import numpy as np
import pyarrow as pa
from datafusion.expr import Expr
from datafusion.plan import LogicalPlan

from tsdb.changes import ChangeBatch
from tsdb.exec.markers import AS_OF, CURRENT_WATERMARK, calls_marker, conjunction, conjuncts
from tsdb.exec.streaming.binding import position
from tsdb.exec.streaming.expression import Evaluator
from tsdb.exec.streaming.graph import GraphBuilder, Stream
from tsdb.exec.streaming.marks import filtered
from tsdb.exec.streaming.operators.close import Close
from tsdb.exec.streaming.operators.project import Project, refuse_going
from tsdb.exec.streaming.operators.recompute import Recompute


class Filter:
    """Δout = filter(Δin): a filter is linear. NULL is not true."""

    def __init__(self, evaluator: Evaluator, text: str) -> None:
        """evaluator: makes the one boolean column; text: the predicate for EXPLAIN."""
        self._evaluator = evaluator
        self._text = text
        self._once = f"{CURRENT_WATERMARK}(" in text

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """The rows for which the predicate is true."""
        (delta,) = deltas
        if self._once:
            refuse_going(delta, "CURRENT_WATERMARK()")
        (holds,) = self._evaluator.columns(delta.rows)
        kept = np.asarray(holds.fill_null(False).to_numpy(zero_copy_only=False))
        if kept.all():
            return delta
        return ChangeBatch(delta.rows.filter(pa.array(kept)), delta.weights[kept])

    def describe(self) -> str:
        """The predicate."""
        return f"Filter {self._text}"


def build_filter(plan: LogicalPlan, variant: Any, inputs: Sequence[Stream], graph: GraphBuilder) -> Stream:
    """A Filter node."""
    (stream,) = inputs
    return add_filter(variant.predicate(), stream, graph)


def add_filter(predicate: Any, stream: Stream, graph: GraphBuilder) -> Stream:
    """The stream's rows for which a predicate of the plan is true."""
    parts = conjuncts(predicate)
    if any(calls_marker(p, AS_OF) for p in parts):  # inferred from the condition of a join, where it is heeded
        rest = conjunction([p for p in parts if not calls_marker(p, AS_OF)])
        return stream if rest is None else add_filter(rest, stream, graph)
    if _keep_ranks(predicate, stream, graph):
        return stream
    holds = Evaluator(graph.frames, stream.names, [graph.output(predicate, stream)], [pa.bool_()])
    operator = Filter(holds, Expr(predicate).canonical_name())
    marks = filtered(predicate, stream, graph) if stream.marks else ()
    return graph.add(
        operator, [stream], stream.columns, stream.schema,
        key=stream.key, append_only=stream.append_only, marks=marks,
    )  # fmt: skip


def _keep_ranks(predicate: Any, stream: Stream, graph: GraphBuilder) -> bool:
    """Let the window below number no more rows than a predicate on its rank wants; whether nothing is left to filter.

    Between them may be projections that pass the rank on.
    """
    number, places = stream.node, list[int | None](range(len(stream.columns)))
    node = graph.nodes[number]
    while isinstance(node.operator, Project):
        passed = node.operator.places
        places = [None if p is None else passed[p] for p in places]
        number = node.inputs[0]
        node = graph.nodes[number]
    below = graph.nodes[node.inputs[0]].operator if isinstance(node.operator, Close) else node.operator
    if not isinstance(below, Recompute) or below.number not in places:
        return False
    most = _rank_at_most(predicate, stream, places.index(below.number)) if below.number is not None else None
    top = None if most is None or most < 1 or below is not node.operator else below.top(most)
    if top is not None:
        graph.nodes[number] = replace(node, operator=top)
        return _is_rank_at_most(predicate, most)
    if most is not None and below.rank is not None:
        below.keep_best(most)
    return False


def _is_rank_at_most(predicate: Any, most: int | None) -> bool:
    """Whether a predicate that bounds the rank says nothing more."""
    operator = Expr(predicate).to_variant().op()
    return operator in ("<", "<=") or (operator == "=" and most == 1)


def _rank_at_most(predicate: Any, stream: Stream, rank: int) -> int | None:
    """The bound that a predicate puts on a rank column: `rn <= 3`, `rn < 4`, `rn = 1`, also as part of an AND."""
    variant = Expr(predicate).to_variant() if Expr(predicate).variant_name() == "BinaryExpr" else None
    if variant is None:
        return None
    left, operator, right = variant.left(), variant.op(), variant.right()
    if operator == "AND":
        bounds = [b for b in (_rank_at_most(left, stream, rank), _rank_at_most(right, stream, rank)) if b is not None]
        return min(bounds) if bounds else None
    is_bound = Expr(left).variant_name() == "Column" and Expr(right).variant_name() == "Literal"
    if operator not in ("<=", "<", "=") or not is_bound or position(left, stream.columns) != rank:
        return None
    if Expr(right).python_value() is None:
        return None
    most: int = int(Expr(right).python_value()) - (operator == "<")
    return most

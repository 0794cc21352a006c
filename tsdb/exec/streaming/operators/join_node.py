"""Join nodes: which operator they become."""

from collections.abc import Sequence
from typing import Any

import pyarrow as pa
from datafusion.plan import LogicalPlan

from tsdb.errors import NotSupportedError
from tsdb.exec.markers import AS_OF, calls_marker, conjunction, conjuncts
from tsdb.exec.streaming.expression import Evaluator, positional
from tsdb.exec.streaming.graph import GraphBuilder, Stream
from tsdb.exec.streaming.operators.as_of import build_temporal
from tsdb.exec.streaming.operators.close import closed, in_time
from tsdb.exec.streaming.operators.interval_join import interval, window_pairs
from tsdb.exec.streaming.operators.join import JOIN_KINDS, Join, JoinKind, Side
from tsdb.exec.streaming.operators.not_in import NotIn
from tsdb.exec.streaming.operators.project import extend


def build_join(plan: LogicalPlan, variant: Any, inputs: Sequence[Stream], graph: GraphBuilder) -> Stream:
    """A Join node."""
    name = str(variant.join_type()).split(".")[-1]
    if name not in JOIN_KINDS:
        raise NotSupportedError(f"a {name} join (`{plan.display()}`) cannot run as a stream")
    kind = JOIN_KINDS[name]
    left, left_key = extend([on[0] for on in variant.on()], inputs[0], graph)
    right, right_key = extend([on[1] for on in variant.on()], inputs[1], graph)
    parts = conjuncts(variant.filter()) if variant.filter() is not None else []
    as_of = [p for p in parts if calls_marker(p, AS_OF)]
    condition = conjunction([p for p in parts if not calls_marker(p, AS_OF)])
    types = [*left.schema.types, *right.schema.types]
    both = Stream(-1, (*left.columns, *right.columns), positional(types), None, False)
    span = None
    if not as_of and condition is not None:
        span = interval(condition, left, right, graph)
    if span is not None:
        left, right = in_time(left, [span.left], graph), in_time(right, [span.right], graph)
    windows = window_pairs(left, left_key, right, right_key, graph)
    left, right = windows.in_time(left, right, graph)
    residual = None
    if condition is not None:
        residual = Evaluator(graph.frames, both.names, [graph.output(condition, both)], [pa.bool_()])
    nulls_match = bool(variant.null_equals_null())
    sides = Side(left, left_key, nulls_match=nulls_match), Side(right, right_key, nulls_match=nulls_match)
    if as_of:
        return build_temporal(plan, as_of[0], name, (left, right), sides, residual, both, graph)
    columns = list(both.columns)
    if not kind.pairs:
        kept = left if kind.left != "none" else right
        columns, types = list(kept.columns), list(kept.schema.types)
        if "mark" in (kind.left, kind.right):
            columns.append(graph.planned(plan)[0][-1])
            types.append(pa.bool_())
    operator = Join(kind, sides[0], sides[1], residual, positional(types), plan.display())
    if "null_aware" in plan.display():
        if name != "LeftAnti" or len(left_key) != 1 or residual is not None:
            raise NotSupportedError(
                f"NOT IN of several columns (`{plan.display()}`) cannot run as a stream; use NOT EXISTS"
            )
        return graph.add(NotIn(operator, *sides), [left, right], columns, positional(types), key=left.key)
    key = _output_key(kind, left, left_key, right, right_key)
    append_only = kind.pairs and kind.left == kind.right == "none" and left.append_only and right.append_only
    marks = [*windows.marks(kind), *(span.marks(kind) if span is not None else ())]
    graph.sweeps += windows.sweeps(sides) + (span.sweeps(sides, kind) if span is not None else [])
    made = graph.add(operator, [left, right], columns, positional(types), key=key, append_only=append_only, marks=marks)
    waits = kind.left != "none" or kind.right != "none"
    return closed(made, marks, graph) if waits else made


def _output_key(
    kind: JoinKind, left: Stream, left_key: Sequence[int], right: Stream, right_key: Sequence[int]
) -> tuple[int, ...] | None:
    """One side's key if at most one row of the other side is found; else both keys, if nothing is padded."""
    if not kind.pairs:
        return left.key if kind.left != "none" else right.key
    shift = len(left.columns)
    right_at = None if right.key is None else tuple(k + shift for k in right.key)
    if right.key is not None and set(right.key) <= set(right_key) and kind.right == "none":
        return left.key
    if left.key is not None and set(left.key) <= set(left_key) and kind.left == "none":
        return right_at
    if left.key is None or right_at is None or kind.left != "none" or kind.right != "none":
        return None
    return (*left.key, *right_at)

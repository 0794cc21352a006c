"""From DataFusion's optimised logical plan to a dataflow: one incremental operator per plan node.

The plan is the one that batch executes, so names, types, casts and NULL rules are the same by construction. It should
be made over empty in-memory tables, so that filters stay in Filter nodes; filters that sit in a TableScan are
honoured all the same.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa
from datafusion import SessionContext
from datafusion.expr import Expr
from datafusion.plan import LogicalPlan

from tsdb.errors import NotSupportedError
from tsdb.exec.streaming.binding import ROW_ONLY, PlanColumn
from tsdb.exec.streaming.dataflow import MADE_UP, Dataflow, InputSpec
from tsdb.exec.streaming.expression import positional
from tsdb.exec.streaming.graph import GraphBuilder, StatefulOperator, Stream, with_columns
from tsdb.exec.streaming.operators import OPERATORS
from tsdb.exec.streaming.operators.close import Close, DropLate
from tsdb.exec.streaming.operators.constant import Constant
from tsdb.exec.streaming.operators.project import select
from tsdb.exec.streaming.operators.scan import build_scan
from tsdb.exec.streaming.operators.temporal_join import TemporalJoin
from tsdb.exec.streaming.operators.top_n import Bound, add_top_n
from tsdb.exec.streaming.state_ttl import Expiring, current_ttl_ms

__all__ = ["PLANNER_OPTIONS", "InputSpec", "compile_plan"]

_BOUNDED = Close | DropLate | Constant | TemporalJoin

PLANNER_OPTIONS = {"datafusion.optimizer.enable_physical_uncorrelated_scalar_subquery": "false"}
"""What the context that plans for streaming sets: a scalar subquery becomes a join, not part of an expression."""


def compile_plan(
    logical: LogicalPlan,
    inputs: Mapping[str, InputSpec],
    context: SessionContext | None = None,
    *,
    prudent: bool = False,
) -> Dataflow:
    """The dataflow of a query. inputs: by the registered names of the relations; context: the one that planned, if it
    has functions that a fresh one lacks; prudent: see `GraphBuilder`. Raises NotSupportedError, with the reason, for
    what cannot be a stream.
    """
    graph = GraphBuilder(SessionContext() if context is None else context, prudent=prudent)
    output = _compile(logical, inputs, graph)
    if current_ttl_ms():
        _check_expires(graph)
    names = _unique([c.name for c in output.columns])
    schema = pa.schema([pa.field(n, t) for n, t in zip(names, output.schema.types, strict=True)])
    return Dataflow(graph, output, schema, inputs)


def _check_expires(graph: GraphBuilder) -> None:
    """With a time to live, everything that remembers forgets: by that time, by a watermark, or because it is bounded.

    Raises NotSupportedError with the operator that does not.
    """
    for node in graph.nodes:
        operator = node.operator
        if isinstance(operator, StatefulOperator) and not isinstance(operator, Expiring | _BOUNDED):
            raise NotSupportedError(
                f"'table.exec.state.ttl' = '{current_ttl_ms()} ms' cannot be kept by {type(operator).__name__} "
                f"(`{operator.describe()}`): it needs all of its rows; RESET 'table.exec.state.ttl', or run this part "
                "as a query of its own into a table"
            )


def _compile(plan: LogicalPlan, inputs: Mapping[str, InputSpec], graph: GraphBuilder) -> Stream:
    return _visible(plan, _built(plan, inputs, graph), graph)


def _built(plan: LogicalPlan, inputs: Mapping[str, InputSpec], graph: GraphBuilder) -> Stream:
    try:
        variant = plan.to_variant()
    except Exception as err:
        raise NotSupportedError(f"`{plan.display()}` cannot run as a stream: {err}") from err
    kind = type(variant).__name__
    if not _reads_input(plan):
        return _constant(plan, graph)
    if kind == "TableScan":
        return build_scan(variant, inputs, graph)
    if kind in ("Sort", "Limit"):
        return _ordered(plan, inputs, graph, None)
    build = OPERATORS.get(kind)
    if build is None:
        if kind == "RecursiveQuery":
            raise NotSupportedError(
                f"the recursive query `{variant.name()}` reads tables that go on, and a recursion has to run to its "
                "end at every change; SET 'execution.mode' = 'batch', or write out as many joins as it has levels"
            )
        raise NotSupportedError(
            f"{kind} (`{plan.display()}`) cannot run as a stream: it is not incremental; SET 'execution.mode' = 'batch'"
        )
    if kind == "Aggregate":
        return _aggregate(plan, inputs, graph, lambda: build(plan, variant, _inputs(plan, inputs, graph), graph))
    return build(plan, variant, _inputs(plan, inputs, graph), graph)


def _inputs(plan: LogicalPlan, inputs: Mapping[str, InputSpec], graph: GraphBuilder) -> list[Stream]:
    return [_compile(p, inputs, graph) for p in plan.inputs()]


def _aggregate(
    plan: LogicalPlan, inputs: Mapping[str, InputSpec], graph: GraphBuilder, build: Callable[[], Stream]
) -> Stream:
    """An aggregate that the query has twice over the same is kept once. Only the names of relations may differ."""
    text = plan.display_indent()
    for name, spec in inputs.items():
        if spec.source is not None:
            text = re.sub(rf"(?<=TableScan: ){re.escape(name)}(?= )", spec.source, text)
            text = re.sub(rf"(?<![\w$]){re.escape(name)}(?=\.)", spec.source, text)
    numbers = {made_up: str(i) for i, made_up in enumerate(dict.fromkeys(MADE_UP.findall(text)))}
    text = MADE_UP.sub(lambda m: m[0].rstrip("0123456789") + numbers[m[0]], text)
    found = graph.shared.get(text)
    if found is None:
        found = graph.shared[text] = build()
    columns, _ = graph.planned(plan)
    return with_columns(found, [*columns, *found.columns[len(columns) :]])


def _reads_input(plan: LogicalPlan, own: frozenset[str] = frozenset()) -> bool:
    """Whether a relation is read; a table function is not one, nor is a recursion itself (own)."""
    variant = plan.to_variant()
    kind = type(variant).__name__
    if kind == "TableScan":
        name = str(variant.table_name())
        return not name.endswith("()") and name not in own
    if kind == "RecursiveQuery":
        own = own | {str(variant.name())}
    return any(_reads_input(p, own) for p in plan.inputs())


def _constant(plan: LogicalPlan, graph: GraphBuilder) -> Stream:
    columns, schema = graph.planned(plan)
    if columns:
        rows = graph.execute(plan).rename_columns(schema.names).cast(schema)
    else:
        columns, schema = (PlanColumn(None, ROW_ONLY),), positional([pa.null()])
        rows = pa.table({"c0": pa.nulls(_constant_rows(plan))}, schema=schema)
    return graph.add(Constant(rows), [], columns, schema, append_only=True)


def _constant_rows(plan: LogicalPlan) -> int:
    """How many rows a constant plan without columns has."""
    variant = plan.to_variant()
    if type(variant).__name__ == "EmptyRelation":
        return int(variant.produce_one_row())
    if type(variant).__name__ not in ("Projection", "SubqueryAlias"):
        raise NotSupportedError(
            f"`{plan.display()}` without columns cannot run as a stream; run the query in batch mode"
        )
    return _constant_rows(plan.inputs()[0])


def _ordered(plan: LogicalPlan, inputs: Mapping[str, InputSpec], graph: GraphBuilder, bound: Bound | None) -> Stream:
    """Sort and Limit belong together: a Z-set has no order, so a Limit goes down to the Sort that it means.

    bound: of the Limit above. A Sort that bounds nothing is nothing: a changelog has no order.
    """
    variant = plan.to_variant()
    kind = type(variant).__name__
    if kind == "Limit":
        own = Bound(_number(variant.skip()) or 0, _number(variant.fetch()))
        (below,) = plan.inputs()
        if _order_below(below):
            return _ordered(below, inputs, graph, own)
        return add_top_n(_compile(below, inputs, graph), [], own, graph, plan.display())
    if kind == "Sort":
        if bound is None and variant.get_fetch_val() is not None:
            bound = Bound(0, int(variant.get_fetch_val()))
        stream = _compile(plan.inputs()[0], inputs, graph)
        return stream if bound is None else add_top_n(stream, variant.sort_exprs(), bound, graph, plan.display())
    stream = _ordered(plan.inputs()[0], inputs, graph, bound)
    return _visible(plan, OPERATORS[kind](plan, variant, [stream], graph), graph)


def _order_below(plan: LogicalPlan) -> bool:
    """Whether the rows come in the order of a Sort, through nodes that keep it."""
    kind = type(plan.to_variant()).__name__
    return kind == "Sort" or (kind in ("Projection", "SubqueryAlias") and _order_below(plan.inputs()[0]))


def _number(raw: Any) -> int | None:
    return None if raw is None else int(Expr(raw).python_value())


def _visible(plan: LogicalPlan, stream: Stream, graph: GraphBuilder) -> Stream:
    """The stream without columns that only its own operator needs: others know the plan's columns by position too."""
    columns, _ = graph.planned(plan)
    if not columns or columns == stream.columns:
        return stream
    return select(stream, [stream.columns.index(c) for c in columns], graph)


def _unique(names: list[str]) -> list[str]:
    """Output names as the plan has them, `x`, `x:1` when a name comes again."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        again = seen.get(name, 0)
        seen[name] = again + 1
        result.append(f"{name}:{again}" if again else name)
    return result

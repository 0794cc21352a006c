"""From DataFusion's optimised logical plan to a dataflow: one incremental operator per plan node.

The plan is the one that batch executes, so names, types, casts and NULL rules are the same by construction. It should
be made over empty in-memory tables, so that filters stay in Filter nodes; filters that sit in a TableScan are
honoured all the same.
"""

from collections.abc import Mapping

import pyarrow as pa
from datafusion import SessionContext
from datafusion.plan import LogicalPlan

from tsdb.errors import NotSupportedError
from tsdb.exec.streaming.dataflow import Dataflow, InputSpec
from tsdb.exec.streaming.graph import GraphBuilder, Stream
from tsdb.exec.streaming.operators import OPERATORS
from tsdb.exec.streaming.operators.scan import build_scan

__all__ = ["InputSpec", "compile_plan"]


def compile_plan(
    logical: LogicalPlan, inputs: Mapping[str, InputSpec], context: SessionContext | None = None
) -> Dataflow:
    """The dataflow of a query. inputs: by the registered names of the relations; context: the one that planned, if it
    has functions that a fresh one lacks. Raises NotSupportedError, with the reason, for what cannot be a stream.
    """
    graph = GraphBuilder(SessionContext() if context is None else context)
    output = _compile(_without_final_order(logical), inputs, graph)
    names = _unique([c.name for c in output.columns])
    schema = pa.schema([pa.field(n, t) for n, t in zip(names, output.schema.types, strict=True)])
    return Dataflow(graph.nodes, output, schema, inputs)


def _compile(plan: LogicalPlan, inputs: Mapping[str, InputSpec], graph: GraphBuilder) -> Stream:
    try:
        variant = plan.to_variant()
    except Exception as err:
        raise NotSupportedError(f"`{plan.display()}` cannot run as a stream: {err}") from err
    kind = type(variant).__name__
    if kind == "TableScan":
        return build_scan(variant, inputs, graph)
    build = OPERATORS.get(kind)
    if build is None:
        raise NotSupportedError(f"{kind} (`{plan.display()}`) cannot run as a stream; run the query in batch mode")
    return build(plan, variant, [_compile(p, inputs, graph) for p in plan.inputs()], graph)


def _without_final_order(plan: LogicalPlan) -> LogicalPlan:
    """The plan below a final ORDER BY without LIMIT: a changelog has no order."""
    variant = plan.to_variant()
    if type(variant).__name__ == "Sort" and variant.get_fetch_val() is None:
        return plan.inputs()[0]
    return plan


def _unique(names: list[str]) -> list[str]:
    """Output names as the plan has them, `x`, `x:1` when a name comes again."""
    seen: dict[str, int] = {}
    result = []
    for name in names:
        again = seen.get(name, 0)
        seen[name] = again + 1
        result.append(f"{name}:{again}" if again else name)
    return result

"""Filter."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa
from datafusion.expr import Expr
from datafusion.plan import LogicalPlan

from tsdb.changes import ChangeBatch
from tsdb.exec.streaming.expression import Evaluator
from tsdb.exec.streaming.graph import GraphBuilder, Stream


class Filter:
    """Δout = filter(Δin): a filter is linear. NULL is not true."""

    def __init__(self, evaluator: Evaluator, text: str) -> None:
        """evaluator: makes the one boolean column; text: the predicate for EXPLAIN."""
        self._evaluator = evaluator
        self._text = text

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """The rows for which the predicate is true."""
        (delta,) = deltas
        (holds,) = self._evaluator.columns(delta.rows)
        kept = np.asarray(holds.fill_null(False).to_numpy(zero_copy_only=False))
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
    holds = Evaluator(graph.frames, stream.names, [graph.output(predicate, stream)], [pa.bool_()])
    operator = Filter(holds, Expr(predicate).canonical_name())
    return graph.add(operator, [stream], stream.columns, stream.schema, key=stream.key, append_only=stream.append_only)

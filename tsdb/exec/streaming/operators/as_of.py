"""Which operator a join with FOR SYSTEM_TIME AS OF becomes."""

from dataclasses import replace
from typing import Any

from datafusion.expr import Expr
from datafusion.plan import LogicalPlan

from tsdb.errors import NotSupportedError
from tsdb.exec.markers import PROCTIME
from tsdb.exec.streaming.expression import Evaluator
from tsdb.exec.streaming.graph import GraphBuilder, Stream, Sweep
from tsdb.exec.streaming.marks import monotone_column
from tsdb.exec.streaming.operators.close import in_time
from tsdb.exec.streaming.operators.join import Side
from tsdb.exec.streaming.operators.temporal_join import LookupJoin, Probe, TemporalJoin
from tsdb.exec.streaming.watermark import least


def build_temporal(
    plan: LogicalPlan, marker: Any, kind: str, inputs: tuple[Stream, Stream], sides: tuple[Side, Side],
    residual: Evaluator | None, both: Stream, graph: GraphBuilder,
) -> Stream:  # fmt: skip
    """A lookup join for a time of arrival, else a temporal join by event time."""
    left, right = inputs
    if kind not in ("Inner", "Left"):
        raise NotSupportedError(
            f"FOR SYSTEM_TIME AS OF in a {kind.upper()} JOIN: only the right side of a JOIN or LEFT JOIN can be read "
            "as of the time of a row; write one of these"
        )
    if not sides[0].key:
        raise NotSupportedError(
            "FOR SYSTEM_TIME AS OF needs a condition of equal columns: write ON left.x = right.y, other conditions "
            "with AND behind it"
        )
    probe = Probe(sides[0], sides[1], residual, both.schema, outer=kind == "Left")
    own, its = Expr(marker).rex_call_operands()
    at = monotone_column(own, left)
    mark = next((m for m in left.marks if m.column == at), None)
    if mark is None or mark.arrival:
        if mark is None and PROCTIME not in Expr(own).canonical_name():
            raise NotSupportedError(
                f"FOR SYSTEM_TIME AS OF `{_written(own)}`: that is no time attribute; name a column of the left table "
                "with a WATERMARK, or a computed column that is PROCTIME()"
            )
        _check_grows(left, graph)
        return graph.add(
            LookupJoin(probe, graph.cut, plan.display()), [left, right], both.columns, both.schema,
            key=left.key, append_only=True, marks=left.marks,
        )  # fmt: skip
    place = monotone_column(its, right)
    other = next((m for m in right.marks if m.column == place), None)
    if at is None or place is None or other is None or right.key is None:
        raise NotSupportedError(
            f"FOR SYSTEM_TIME AS OF `{_written(own)}`: the table that is joined by event time needs a "
            "PRIMARY KEY and a WATERMARK; by a column that is PROCTIME() it is joined as it is when a row comes"
        )
    _check_grows(left, graph)
    left = in_time(left, [mark], graph)
    come = graph.bound(least([mark.bound, other.bound]))
    operator = TemporalJoin(probe, (at, place), come, plan.display())
    graph.sweeps.append(Sweep(mark, operator.forget))
    return graph.add(
        operator, [left, right], both.columns, both.schema,
        key=left.key, append_only=True, marks=[replace(mark, bound=come)],
    )  # fmt: skip


def _written(moment: Any) -> str:
    """The time as the user wrote it, without the cast around it."""
    return Expr(moment).canonical_name().removeprefix("CAST(").removesuffix(" AS Timestamp(ns))")


def _check_grows(left: Stream, graph: GraphBuilder) -> None:
    if not graph.prudent and not left.append_only:
        raise NotSupportedError(
            "FOR SYSTEM_TIME AS OF: the left side of such a join may only get new rows, but rows of it are updated or "
            "deleted: what a row met when it came would not be known when it goes"
        )

"""The incremental operators, one a file. Adding one is a new file and a line in OPERATORS."""

from tsdb.exec.streaming.graph import OperatorTable
from tsdb.exec.streaming.operators.aggregate import build_aggregate
from tsdb.exec.streaming.operators.alias import build_alias
from tsdb.exec.streaming.operators.filter import build_filter
from tsdb.exec.streaming.operators.join_node import build_join
from tsdb.exec.streaming.operators.project import build_projection
from tsdb.exec.streaming.operators.union import build_union
from tsdb.exec.streaming.operators.unnest import build_unnest
from tsdb.exec.streaming.operators.window import build_window

OPERATORS: OperatorTable = {
    "SubqueryAlias": build_alias,
    "Projection": build_projection,
    "Filter": build_filter,
    "Union": build_union,
    "Unnest": build_unnest,
    "Aggregate": build_aggregate,
    "Join": build_join,
    "WindowExpr": build_window,
}
"""Plan node (the class `LogicalPlan.to_variant` gives) → what builds its operator. TableScan is apart."""

"""The incremental operators, one a file. Adding one is a new file and a line in OPERATORS."""

from tsdb.exec.streaming.graph import OperatorTable
from tsdb.exec.streaming.operators.alias import build_alias
from tsdb.exec.streaming.operators.filter import build_filter
from tsdb.exec.streaming.operators.project import build_projection

OPERATORS: OperatorTable = {
    "SubqueryAlias": build_alias,
    "Projection": build_projection,
    "Filter": build_filter,
}
"""Plan node (the class `LogicalPlan.to_variant` gives) → what builds its operator. TableScan is apart."""

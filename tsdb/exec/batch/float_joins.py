"""Joins on floats, for which DataFusion must not hand what it has learned of one side's keys to the scan of the other.

A join takes 0.0 and -0.0 for one key. The range of keys that a hash join passes on to a scan while it runs is compared
bit by bit, though: rows with -0.0 fall out of the range from 0.0 to 0.0, and the join never sees them.
"""

import re

from datafusion.expr import Join
from datafusion.plan import LogicalPlan

from tsdb.exec.plan import plan_nodes

OWN_KEYS = (("datafusion.optimizer.enable_join_dynamic_filter_pushdown", "false"),)
"""The settings under which each side of a join is read whole."""


def joins_on_floats(plan: LogicalPlan) -> bool:
    """Whether a key of any join, also of those that set operations become, is a FLOAT or DOUBLE, or may be one."""
    return any(isinstance(join := node.to_variant(), Join) and _has_float_key(join) for node in plan_nodes(plan))


def _has_float_key(join: Join) -> bool:
    keys = [left.canonical_name() for left, _ in join.on()]
    if not keys:
        return False
    given = join.left().display_indent_schema().splitlines()[0]
    floats = re.findall(r"([^\s\[,]+):Float(?:32|64)\b", given)
    is_plain = re.compile(r"[\w.$\"]+").fullmatch
    return bool(floats) and any(not is_plain(key) or key.rpartition(".")[2].strip('"') in floats for key in keys)

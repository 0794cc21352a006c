"""`t$audit_log`: the table with its row kinds. `t$ro`: only what the last full compaction made, which reads fastest."""

import pyarrow as pa

from tsdb.table.read import read_table
from tsdb.table.scan import plan_scan
from tsdb.table.table import Table


def audit_log(table: Table) -> pa.Table:
    """The rows of the newest snapshot after a first column `rowkind`, which is +I for all that is there."""
    rows = read_table(table, plan_scan(table, table.latest_snapshot()))
    kinds = pa.repeat(pa.scalar("+I"), rows.num_rows)
    return rows.add_column(0, pa.field("rowkind", pa.string(), False), kinds)


def read_optimized(table: Table) -> pa.Table:
    """The rows of the highest level; of an append table, all."""
    max_level = table.options.max_level
    keeps = (lambda level: level == max_level) if table.is_primary_key else None
    return read_table(table, plan_scan(table, table.latest_snapshot(), keeps_level=keeps))

"""`t$consumers`: readers that keep their place. `t$branches`: other histories of the table."""

import pyarrow as pa

from tsdb.catalog.system.rows import REQUIRED_TIME, required_bigint, required_string, table_of
from tsdb.table.branch import branches as branches_of
from tsdb.table.consumer import consumers as consumers_of
from tsdb.table.table import Table

CONSUMERS = pa.schema([required_string("consumer_id"), required_bigint("next_snapshot_id")])
BRANCHES = pa.schema([required_string("branch_name"), pa.field("create_time", REQUIRED_TIME, False)])


def consumers(table: Table) -> pa.Table:
    """Readers that keep their place in the table, and the next snapshot that each wants."""
    return table_of(sorted(consumers_of(table).items()), CONSUMERS)


def branches(table: Table) -> pa.Table:
    """The branches of the table but `main`."""
    return table_of([(b.name, b.create_time_ms) for b in branches_of(table)], BRANCHES)

"""`sys.rescale`: another number of buckets for what is there."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb import clock
from tsdb.catalog.catalog import Catalog
from tsdb.procedure.compact import chosen_partitions_or_where
from tsdb.procedure.procedure import Argument, Procedure, result, table_argument
from tsdb.table.rescale import rescale


def _run(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    chosen = chosen_partitions_or_where(table, arguments.get("partition"), arguments.get("where"))
    number = arguments.get("bucket_num")
    snapshot = rescale(table, bucket_num=number, partitions=chosen, user=clock.current().new_id())
    return result(result="nothing to rescale" if snapshot is None else f"snapshot {snapshot.id}")


RESCALE = Procedure(
    "rescale",
    "Rewrite the partitions whose files lie in another number of buckets than the table is to have.",
    (
        Argument("table", "table", "The table, as `db.t`.", required=True),
        Argument("bucket_num", "int", "Buckets of each partition; needed for a table with `'bucket' = '-2'`."),
        Argument("partition", "partitions", "Only these partitions, as `a=1,b=2;a=3`.", alias="partitions"),
        Argument("scan_parallelism", "int", "Has no effect here."),
        Argument("sink_parallelism", "int", "Has no effect here."),
        Argument("where", "string", "Only partitions for which this is true: `a = 'x' AND b >= 3`."),
    ),
    _run,
)

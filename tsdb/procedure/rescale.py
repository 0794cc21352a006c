"""`sys.rescale`: another number of buckets for what is there."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb import clock
from tsdb.catalog.catalog import Catalog
from tsdb.procedure.compact import chosen_partitions
from tsdb.procedure.procedure import Argument, Procedure, result, table_argument
from tsdb.table.rescale import rescale


def _run(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    text = arguments.get("partition")
    chosen = None if text is None else chosen_partitions(table, text)
    number = arguments.get("bucket_num")
    snapshot = rescale(table, bucket_num=number, partitions=chosen, user=clock.current().new_id())
    return result(result="nothing to rescale" if snapshot is None else f"snapshot {snapshot.id}")


RESCALE = Procedure(
    "rescale",
    "Rewrite the partitions whose files lie in another number of buckets than the table is to have.",
    (
        Argument("table", "table", "The table, as `db.t`.", required=True),
        Argument("bucket_num", "int", "Buckets of each partition; needed for a table with `'bucket' = '-2'`."),
        Argument("partition", "partitions", "Only these partitions, as `a=1,b=2;a=3`."),
    ),
    _run,
)

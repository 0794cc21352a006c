"""`sys.rewrite_file_index`: give the files of a table the indexes that its options ask for."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb import clock
from tsdb.catalog.catalog import Catalog
from tsdb.procedure.compact import chosen_partitions
from tsdb.procedure.procedure import Argument, Procedure, result, table_argument
from tsdb.table.rewrite_index import rewrite_file_indexes


def _run(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    text = arguments.get("partitions")
    chosen = None if text is None else chosen_partitions(table, text)
    snapshot = rewrite_file_indexes(table, partitions=chosen, user=clock.current().new_id())
    return result(result="nothing to rewrite" if snapshot is None else f"snapshot {snapshot.id}")


REWRITE_FILE_INDEX = Procedure(
    "rewrite_file_index",
    "Give the files of a table the indexes that its options ask for today.",
    (
        Argument("table", "table", "The table, as `db.t`.", required=True),
        Argument("partitions", "partitions", "Only these partitions, as `a=1,b=2;a=3`."),
    ),
    _run,
)

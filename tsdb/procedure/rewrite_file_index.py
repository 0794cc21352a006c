"""`sys.rewrite_file_index`: give the files of a table the indexes that its options ask for."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb import clock
from tsdb.catalog.catalog import Catalog
from tsdb.metadata.manifest import ADD
from tsdb.procedure.compact import chosen_partitions_or_where
from tsdb.procedure.procedure import Argument, Procedure, result, table_argument
from tsdb.table.rewrite_index import rewrite_file_indexes
from tsdb.table.scan import entries_of_list


def _run(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    chosen = chosen_partitions_or_where(table, arguments.get("partitions"), arguments.get("where"))
    snapshot = rewrite_file_indexes(table, partitions=chosen, user=clock.current().new_id())
    made = [] if snapshot is None else entries_of_list(table, snapshot.delta_manifest_list)
    added = [entry for entry in made if entry.kind == ADD]
    return result(written_partitions=len({entry.partition for entry in added}), written_indexes=len(added))


REWRITE_FILE_INDEX = Procedure(
    "rewrite_file_index",
    "Give the files of a table the indexes that its options ask for today.",
    (
        Argument("table", "table", "The table, as `db.t`.", required=True),
        Argument("partitions", "partitions", "Only these partitions, as `a=1,b=2;a=3`."),
        Argument("where", "string", "Only partitions for which this is true: `a = 'x' AND b >= 3`."),
    ),
    _run,
)

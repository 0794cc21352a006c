"""`sys.rewrite_file_index`: give the files of a table the indexes that its options ask for."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb import clock
from tsdb.catalog.catalog import Catalog
from tsdb.procedure.compact import chosen_partitions_or_where
from tsdb.procedure.procedure import Argument, Procedure, result, table_argument
from tsdb.table.rewrite_index import rewrite_file_indexes


def _run(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    chosen = chosen_partitions_or_where(table, arguments.get("partitions"), arguments.get("where"))
    made = rewrite_file_indexes(table, partitions=chosen, user=clock.current().new_id())
    return result(written_partitions=len({message.partition for message in made}), written_indexes=len(made))


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

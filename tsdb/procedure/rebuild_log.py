"""`sys.rebuild_log`: a new topic for a table whose log was lost."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb import clock
from tsdb.catalog.catalog import Catalog
from tsdb.procedure.procedure import Argument, Procedure, result, table_argument
from tsdb.table.commit import commit
from tsdb.table.log import rebuild_log


def _run(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    snapshot_id, offsets = rebuild_log(table)
    commit(table, [], user=clock.current().new_id(), log_offsets=offsets)
    return result(result=f"the log begins behind snapshot {snapshot_id}")


REBUILD_LOG = Procedure(
    "rebuild_log",
    "Make the Kafka topic of a table anew, behind its newest snapshot; readers take what came before from snapshots.",
    (Argument("table", "table", "The table, as `db.t`.", required=True),),
    _run,
)

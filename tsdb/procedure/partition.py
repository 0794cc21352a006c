"""Partitions: `sys.drop_partition`, `mark_partition_done`."""

import json
from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb import clock
from tsdb.catalog.catalog import Catalog
from tsdb.errors import CorruptFile, NotSupportedError
from tsdb.procedure.compact import chosen_partitions
from tsdb.procedure.procedure import TABLE, Argument, Procedure, listed_result, result, table_argument
from tsdb.table.commit import drop_partitions
from tsdb.table.newest import newest_files
from tsdb.table.scan import partition_values

_PARTITIONS = Argument(
    "partitions", "partitions", "The partitions, as `a=1,b=2;a=3`.", required=True, alias="partition"
)
SUCCESS_FILE = "_SUCCESS"


def _drop(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    chosen = chosen_partitions(table, arguments["partitions"])
    snapshot = drop_partitions(table, chosen, user=clock.current().new_id())
    return result(result="nothing to drop" if snapshot is None else f"snapshot {snapshot.id}")


def _mark_done(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    """A `_SUCCESS` file in the directory of each partition."""
    table = table_argument(catalog, arguments)
    for action in table.options.words("partition.mark-done-action"):
        if action != "success-file":
            raise NotSupportedError(f"'partition.mark-done-action' = '{action}' is not supported; use 'success-file'")
    chosen = chosen_partitions(table, arguments["partitions"])
    now_ms = clock.current().now_ms()
    done = []
    for partition in {entry.partition for entry in newest_files(table, chosen)}:
        values = dict(zip(table.schema.partition_keys, partition_values(table, partition), strict=True))
        directory = table.paths.partition(values)
        path = f"{directory}/{SUCCESS_FILE}"
        created = now_ms
        if table.file_io.exists(path):
            try:
                created = json.loads(table.file_io.read_bytes(path))["creationTime"]
            except (ValueError, KeyError, TypeError) as err:
                raise CorruptFile(f"success file {path} cannot be read: {err}") from err
        text = json.dumps({"creationTime": created, "modificationTime": now_ms}, indent=2)
        table.file_io.replace(path, text.encode())
        done.append(directory.removeprefix(f"{table.path}/"))
    return listed_result("partition", sorted(done))


DROP_PARTITION = Procedure(
    "drop_partition", "Delete all rows of some partitions.", (TABLE, _PARTITIONS), _drop, is_variadic=True
)
MARK_PARTITION_DONE = Procedure(
    "mark_partition_done",
    "Leave a `_SUCCESS` file in the directories of partitions that are complete.",
    (TABLE, _PARTITIONS),
    _mark_done,
)
PARTITION_PROCEDURES = (DROP_PARTITION, MARK_PARTITION_DONE)

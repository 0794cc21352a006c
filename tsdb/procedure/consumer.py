"""Consumers: `sys.reset_consumer`, `clear_consumers`."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb.catalog.catalog import Catalog
from tsdb.procedure.procedure import TABLE, Argument, Procedure, listed_result, result, table_argument
from tsdb.table.consumer import clear_consumers, delete_consumer, set_consumer


def _reset(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table, consumer = table_argument(catalog, arguments), arguments["consumer_id"]
    following = arguments.get("next_snapshot_id")
    if following is None:
        delete_consumer(table, consumer)
    else:
        set_consumer(table, consumer, following)
    return result(consumer_id=consumer, next_snapshot_id=following)


def _clear(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    gone = clear_consumers(table, arguments.get("including_consumers"), arguments.get("excluding_consumers"))
    return listed_result("consumer_id", gone)


RESET_CONSUMER = Procedure(
    "reset_consumer",
    "Set how far a consumer is, or forget it.",
    (
        TABLE,
        Argument("consumer_id", "string", "The consumer.", required=True, alias="consumerId"),
        Argument(
            "next_snapshot_id",
            "int",
            "The next snapshot that it wants; without it the consumer is deleted.",
            alias="nextSnapshotId",
        ),
    ),
    _reset,
)
CLEAR_CONSUMERS = Procedure(
    "clear_consumers",
    "Forget consumers.",
    (
        TABLE,
        Argument(
            "including_consumers",
            "string",
            "Only those that match this regular expression.",
            alias="includingConsumers",
        ),
        Argument("excluding_consumers", "string", "Not those that match this one.", alias="excludingConsumers"),
    ),
    _clear,
)
CONSUMER_PROCEDURES = (RESET_CONSUMER, CLEAR_CONSUMERS)

"""`sys.compact`: merge the files of a table."""

from collections.abc import Callable, Mapping
from typing import Any

import pyarrow as pa

from tsdb import clock
from tsdb.catalog.catalog import Catalog
from tsdb.errors import ProgrammingError
from tsdb.procedure.procedure import Argument, Procedure, result, table_argument
from tsdb.table.compact import compact
from tsdb.table.scan import in_partition
from tsdb.table.table import Table


def _run(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    strategy = arguments.get("compact_strategy", "full")
    if strategy not in ("full", "minor"):
        raise ProgrammingError(f"procedure compact: `compact_strategy` is 'full' or 'minor', not '{strategy}'")
    text = arguments.get("partitions")
    chosen = None if text is None else chosen_partitions(table, text)
    snapshot = compact(table, partitions=chosen, full=strategy == "full", user=clock.current().new_id())
    return result(result="nothing to compact" if snapshot is None else f"snapshot {snapshot.id}")


def chosen_partitions(table: Table, text: str) -> Callable[[bytes], bool]:
    """Whether a serialized partition agrees with one of `a=1,b=2;a=3`. Raises ProgrammingError for other columns."""
    keys = table.schema.partition_keys
    specs = []
    for part in text.split(";"):
        pairs = [pair.partition("=") for pair in part.split(",")]
        spec = {name.strip(): value.strip().strip("'") for name, _, value in pairs}
        unknown = [name for name in spec if name not in keys]
        if unknown:
            listed = ", ".join(f"`{key}`" for key in keys) or "none"
            raise ProgrammingError(
                f"`{unknown[0]}` is no partition column of table `{table.identifier}`; it has {listed}"
            )
        specs.append(spec)

    return lambda partition: any(in_partition(table, partition, spec) for spec in specs)


COMPACT = Procedure(
    "compact",
    "Merge the files of a table, so that reading it needs no merging.",
    (
        Argument("table", "table", "The table, as `db.t`.", required=True),
        Argument("partitions", "partitions", "Only these partitions, as `a=1,b=2;a=3`."),
        Argument("compact_strategy", "string", "`full` (default): everything; `minor`: what is worth it."),
    ),
    _run,
)

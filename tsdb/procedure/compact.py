"""`sys.compact` and `sys.compact_database`: merge the files of tables."""

import operator
import re
from collections.abc import Callable, Iterator, Mapping
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb import clock
from tsdb.catalog.catalog import Catalog
from tsdb.data_types import to_arrow
from tsdb.errors import NotSupportedError, ProgrammingError
from tsdb.options import check_table_options, parse_duration_ms
from tsdb.procedure.procedure import Argument, Procedure, result, table_argument
from tsdb.table.compact import compact
from tsdb.table.compaction_watch import Watched
from tsdb.table.newest import newest_files
from tsdb.table.scan import in_partition, partition_values
from tsdb.table.sort_compact import sort_compact
from tsdb.table.table import Identifier, Table


def _run(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    full = _is_full(arguments)
    table = table.for_statement(_options(arguments.get("options")))
    chosen = _chosen(table, arguments)
    user = clock.current().new_id()
    order = arguments.get("order_strategy", "none")
    if order != "none":
        columns = [name.strip() for name in arguments.get("order_by", "").split(",") if name.strip()]
        snapshot = sort_compact(table, order, columns, partitions=chosen, user=user)
    elif arguments.get("order_by"):
        raise ProgrammingError("procedure compact: `order_by` goes with `order_strategy` = order, zorder or hilbert")
    else:
        snapshot = compact(table, partitions=chosen, buckets=_buckets(arguments), full=full, user=user)
    return result(result="nothing to compact" if snapshot is None else f"snapshot {snapshot.id}")


def _buckets(arguments: Mapping[str, Any]) -> frozenset[int] | None:
    text = arguments.get("buckets")
    if text is None:
        return None
    try:
        return frozenset(int(number) for number in text.split(","))
    except ValueError as err:
        raise ProgrammingError(f"`buckets` is a list of numbers, as '0,2', not '{text}'") from err


def _is_full(arguments: Mapping[str, Any]) -> bool:
    strategy = arguments.get("compact_strategy", "full")
    if strategy not in ("full", "minor"):
        raise ProgrammingError(f"`compact_strategy` is 'full' or 'minor', not '{strategy}'")
    return bool(strategy == "full")


def _run_materialize(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    if not table.options.deletion_vectors_enabled:
        raise ProgrammingError(
            f"table `{table.identifier}` has no deletion vectors: 'deletion-vectors.enabled' is not set"
        )
    return _run(catalog, arguments)


def _run_database(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    options, full, wanted = _options(arguments.get("table_options")), _is_full(arguments), _wanted(arguments)
    count = 0
    for database in catalog.list_databases():
        for name in catalog.list_tables(database):
            if not wanted(database, name):
                continue
            table = catalog.get_table(Identifier(database, name))
            if isinstance(table, Table):
                changed = table.for_statement(options)
                chosen = _chosen(changed, arguments)
                done = compact(changed, partitions=chosen, full=full, user=clock.current().new_id())
                count += done is not None
    return result(result=f"{count} tables compacted")


def _watch(catalog: Catalog, arguments: Mapping[str, Any]) -> Watched:
    """The one table, for as long as the job runs."""
    _refuse_at_once(arguments, "compact_strategy", "order_strategy", "order_by", "partition_idle_time", "buckets")
    options = _options(arguments.get("options"))

    def opened(_: Identifier) -> Table:
        return table_argument(catalog, arguments).for_statement(options)

    identifier = opened(Identifier("", "")).identifier
    _chosen(opened(identifier), arguments)
    return Watched(lambda: [identifier], opened, lambda table: _chosen(table, arguments), is_given=True)


def _watch_database(catalog: Catalog, arguments: Mapping[str, Any]) -> Watched:
    """All tables that are there, or come, while the job runs."""
    _refuse_at_once(arguments, "compact_strategy", "partition_idle_time")
    options, wanted = _options(arguments.get("table_options")), _wanted(arguments)

    def listed() -> Iterator[Identifier]:
        for database in catalog.list_databases():
            for name in catalog.list_tables(database):
                if wanted(database, name):
                    yield Identifier(database, name)

    def opened(identifier: Identifier) -> Table:
        return table_argument(catalog, {"table": str(identifier)}).for_statement(options)

    return Watched(listed, opened, lambda _: None, is_given=False)


def _refuse_at_once(arguments: Mapping[str, Any], *names: str) -> None:
    """What makes sense for a compaction that ends."""
    for name in names:
        if name in arguments and arguments[name] not in ("minor", "none"):
            raise NotSupportedError(
                f"`{name}` is for a compaction that ends, and in streaming mode it goes on; leave it out, or "
                f"SET 'execution.mode' = 'batch'"
            )


def _wanted(arguments: Mapping[str, Any]) -> Callable[[str, str], bool]:
    """Whether a database and a table in it are meant."""
    databases = re.compile(arguments.get("including_databases", ".*"))
    included = re.compile(arguments.get("including_tables", ".*"))
    excluded = re.compile(arguments.get("excluding_tables", "(?!)"))

    def wanted(database: str, name: str) -> bool:
        full_name = f"{database}.{name}"
        return bool(
            databases.fullmatch(database) and included.fullmatch(full_name) and not excluded.fullmatch(full_name)
        )

    return wanted


def _options(text: str | None) -> dict[str, str]:
    """`a=1,b=2`."""
    pairs = [pair.partition("=") for pair in (text or "").split(",") if pair.strip()]
    options = {key.strip(): value.strip() for key, _, value in pairs}
    check_table_options(options)
    return options


def _chosen(table: Table, arguments: Mapping[str, Any]) -> Callable[[bytes], bool] | None:
    """Whether a serialized partition is to be compacted; None: all are."""
    tests: list[Callable[[bytes], bool]] = []
    if arguments.get("partitions") is not None:
        tests.append(chosen_partitions(table, arguments["partitions"]))
    if arguments.get("where") is not None:
        tests.append(_where(table, arguments["where"]))
    if arguments.get("partition_idle_time") is not None:
        oldest = clock.current().now_ms() - parse_duration_ms(arguments["partition_idle_time"], "partition_idle_time")
        written: dict[bytes, int] = {}
        for entry in newest_files(table):
            millis = entry.file.creation_time_millis or 0
            written[entry.partition] = max(written.get(entry.partition, 0), millis)
        tests.append(lambda partition: written.get(partition, 0) < oldest)
    return (lambda partition: all(test(partition) for test in tests)) if tests else None


_COMPARISON = re.compile(r"""\s*[`"]?(\w+)[`"]?\s*(<=|>=|<>|!=|=|<|>)\s*('(?:[^']|'')*'|-?[\w.]+)\s*""")
_COMPARE: Mapping[str, Callable[[Any, Any], bool]] = {
    "=": operator.eq, "<>": operator.ne, "!=": operator.ne,
    "<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge,
}  # fmt: skip


def _where(table: Table, text: str) -> Callable[[bytes], bool]:
    """`a = 'x' AND b >= 3` over partition columns. Raises ProgrammingError for anything else."""
    keys = table.schema.partition_keys
    conditions: list[tuple[str, str, Any]] = []
    for part in re.split(r"\bAND\b", text, flags=re.IGNORECASE):
        match = _COMPARISON.fullmatch(part)
        if match is None or match[1] not in keys:
            listed = ", ".join(f"`{key}`" for key in keys) or "none"
            raise ProgrammingError(
                f"`where` compares partition columns ({listed}) with constants, joined by AND; found `{part.strip()}`"
            )
        literal = match[3][1:-1].replace("''", "'") if match[3].startswith("'") else match[3]
        kind = to_arrow(table.schema.field(match[1]).type)
        try:
            value = pa.scalar(literal).cast(kind)
            nanos = pa.types.is_timestamp(kind) and kind.unit == "ns"
            conditions.append((match[1], match[2], np.datetime64(value.value, "ns") if nanos else value.as_py()))
        except pa.ArrowInvalid as err:
            raise ProgrammingError(f"`where`: '{literal}' is no value of partition column `{match[1]}`") from err

    def test(partition: bytes) -> bool:
        values = dict(zip(keys, partition_values(table, partition), strict=True))
        return all(values[key] is not None and _COMPARE[sign](values[key], value) for key, sign, value in conditions)

    return test


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


def chosen_partitions_or_where(
    table: Table, partitions: str | None, where: str | None
) -> Callable[[bytes], bool] | None:
    """The same, or for partitions where a condition holds; None: all. Raises ProgrammingError for both."""
    if partitions is not None and where is not None:
        raise ProgrammingError("partitions are chosen by a list or by `where`, not by both")
    if where is not None:
        return _where(table, where)
    return None if partitions is None else chosen_partitions(table, partitions)


COMPACT = Procedure(
    "compact",
    "Merge the files of a table, so that reading it needs no merging. In streaming mode a job that goes on.",
    (
        Argument("table", "table", "The table, as `db.t`.", required=True),
        Argument("partitions", "partitions", "Only these partitions, as `a=1,b=2;a=3`."),
        Argument("order_strategy", "string", "Of an append table: `order`, `zorder` or `hilbert`; `none` (default)."),
        Argument("order_by", "string", "The columns of that order, as `a,b`."),
        Argument("options", "string", "Table options for this compaction, as `a=1,b=2`."),
        Argument("where", "string", "Only partitions for which this is true: `a = 'x' AND b >= 3`."),
        Argument("partition_idle_time", "string", "Only partitions not written to for so long, as `1 d`."),
        Argument("compact_strategy", "string", "`full` (default): everything; `minor`: what is worth it."),
        Argument("buckets", "string", "Only these buckets, as `0,2`."),
    ),
    _run,
    watch=_watch,
)

COMPACT_DATABASE = Procedure(
    "compact_database",
    "Compact every table of some databases. In streaming mode a job that goes on.",
    (
        Argument("including_databases", "string", "A regular expression for their names; all by default."),
        Argument("mode", "string", "Kept for Paimon's sake: tables are compacted one after the other."),
        Argument("including_tables", "string", "A regular expression for `db.t`; all by default."),
        Argument("excluding_tables", "string", "A regular expression for those to leave out."),
        Argument("table_options", "string", "Table options for this compaction, as `a=1,b=2`.", alias="options"),
        Argument("partition_idle_time", "string", "Only partitions not written to for so long, as `1 d`."),
        Argument("compact_strategy", "string", "`full` (default): everything; `minor`: what is worth it."),
    ),
    _run_database,
    watch=_watch_database,
)

MATERIALIZE_DELETION_VECTORS = Procedure(
    "materialize_deletion_vectors",
    "Write the files that have deleted rows anew without them.",
    (
        Argument("table", "table", "The table, as `db.t`.", required=True),
        Argument("partitions", "partitions", "Only these partitions, as `a=1,b=2;a=3`."),
        Argument("options", "string", "Table options for this compaction, as `a=1,b=2`."),
        Argument("where", "string", "Only partitions for which this is true: `a = 'x' AND b >= 3`."),
    ),
    _run_materialize,
)

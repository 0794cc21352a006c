"""INSERT and TRUNCATE over snapshots. Each is one commit, and gives the number of rows that it wrote."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence

import pyarrow as pa
from sqlglot import exp

from tsdb.catalog.catalog import ConnectorTable
from tsdb.connector import connector_of
from tsdb.data_types import to_arrow
from tsdb.errors import BindError, DataError, IntegrityError, NotSupportedError
from tsdb.exec.batch.columns import Arrangement, constant, real_name
from tsdb.exec.batch.query import Rows, in_large_batches, open_rows
from tsdb.exec.batch.time_text import with_times
from tsdb.exec.batch.value_place import place_of_values, point_at_value
from tsdb.exec.batch.writing import Prepared, prepare, write
from tsdb.exec.plan import QueryPlan
from tsdb.sql.statements import DropPartition, Insert
from tsdb.table.commit import Overwrite
from tsdb.table.row_check import conform
from tsdb.table.table import Table

Planner = Callable[[exp.Query], QueryPlan]
"""Plans a query of the statement, in batch mode."""
_APPEND_ROWS = 1 << 18


def insert(statement: Insert, target: Table | ConnectorTable, plan_of: Planner) -> int:
    """INSERT INTO and INSERT OVERWRITE; how many rows were inserted."""
    plan = plan_of(_source(statement, target))
    try:
        if isinstance(target, ConnectorTable):
            return _insert_into_connector(statement, target.for_writing(), plan)
        return _prepared(statement, target, plan).commit()
    except (DataError, IntegrityError) as err:
        point_at_value(err, statement, target.schema)
        raise


def are_columns(target: Table, rows: pa.Schema, *, by_name: bool) -> bool:
    """Whether rows have columns of the table, of its very types: then no query need convert them."""
    names = rows.names if by_name else target.schema.names
    wanted = {field.name: field.type for field in target.schema.arrow_schema}
    return len(names) == len(rows) and all(wanted.get(n) == t for n, t in zip(names, rows.types, strict=True))


def append(target: Table, rows: pa.Table, *, by_name: bool) -> int:
    """Insert rows for which `are_columns` holds; how many."""
    columns = rows.schema.names if by_name else None
    arrangement = Arrangement(rows.schema, target.schema, target.identifier, columns)
    return write(target, ((arrangement.rows(batch), None) for batch in rows.to_batches(max_chunksize=_APPEND_ROWS)))


def insert_all(statements: Sequence[tuple[Insert, Table | ConnectorTable]], plan_of: Planner) -> int:
    """The INSERTs of a statement set: all are planned, then all rows are written, and only then comes a commit each.

    Returns how many rows were inserted. What fails before the first commit leaves all tables of the warehouse as they
    were; rows for other systems are written before it.
    """
    plans = [plan_of(_source(statement, target)) for statement, target in statements]
    planned = [(*inserted, plan) for inserted, plan in zip(statements, plans, strict=True)]
    count = 0
    prepared: list[Prepared] = []
    try:
        for statement, target, plan in planned:
            if isinstance(target, Table):
                prepared.append(_prepared(statement, target, plan))
        for statement, target, plan in planned:
            if isinstance(target, ConnectorTable):
                count += _insert_into_connector(statement, target.for_writing(), plan)
        while prepared:
            count += prepared.pop(0).commit()
    except BaseException:
        for left in prepared:
            left.discard()
        raise
    return count


def _source(statement: Insert, target: Table | ConnectorTable) -> exp.Query:
    return with_times(statement.source, target.schema, statement.columns, tuple(statement.partition or ()))


def _prepared(statement: Insert, target: Table, plan: QueryPlan) -> Prepared:
    partition = _partition(statement, target)
    place = place_of_values(statement)
    arrangement = Arrangement(plan.schema, target.schema, target.identifier, statement.columns, partition, place)
    table = target.for_statement(statement.target_options)
    overwrite = _overwrite(statement, table, partition) if statement.overwrite else None
    with_rows = open_rows(in_large_batches(plan))
    return prepare(table, ((arrangement.rows(batch), None) for batch in with_rows), overwrite=overwrite)


def truncate(table: Table | ConnectorTable) -> None:
    """Remove every row. The old snapshots still have them."""
    if not isinstance(table, Table):
        raise NotSupportedError(
            f"table `{table.identifier}` lives outside the warehouse and cannot be truncated from here"
        )
    write(table, (), overwrite=Overwrite({}))


def drop_partition(table: Table | ConnectorTable, change: DropPartition) -> None:
    """ALTER TABLE … DROP PARTITION: remove the rows of the partitions that agree with the specification."""
    if not isinstance(table, Table):
        raise NotSupportedError(f"table `{table.identifier}` lives outside the warehouse and has no partitions here")
    spec = {real_name(key, table.schema, table.identifier): value for key, value in change.partition.items()}
    for key in spec:
        if key not in table.schema.partition_keys:
            raise BindError(f"`{key}` is no partition column of table `{table.identifier}`")
    write(table, (), overwrite=Overwrite(spec))


def _partition(statement: Insert, target: Table | ConnectorTable) -> dict[str, object]:
    """The static partition by real names, typed. A key without a value is dynamic and says nothing."""
    keys = target.schema.partition_keys
    partition: dict[str, object] = {}
    for name, value in (statement.partition or {}).items():
        key = real_name(name, target.schema, target.identifier)
        if key not in keys:
            listed = ", ".join(f"`{k}`" for k in keys) or "none"
            raise BindError(f"`{name}` is no partition column of table `{target.identifier}`; it has {listed}")
        if value is not None:
            partition[key] = constant(value, to_arrow(target.schema.field(key).type)).as_py()
    return partition


def _overwrite(statement: Insert, table: Table, partition: Mapping[str, object]) -> Overwrite:
    """What the new rows replace: the static partition; else the partitions that get rows; else everything."""
    if partition:
        return Overwrite(partition)
    if table.schema.partition_keys and table.options.flag("dynamic-partition-overwrite"):
        return Overwrite("dynamic")
    return Overwrite({})


def _insert_into_connector(statement: Insert, target: ConnectorTable, plan: QueryPlan) -> int:
    partition = _partition(statement, target)
    place = place_of_values(statement)
    arrangement = Arrangement(plan.schema, target.schema, target.identifier, statement.columns, partition, place)
    if statement.overwrite:
        raise NotSupportedError(
            f"INSERT OVERWRITE into table `{target.identifier}` with 'connector' = '{target.options['connector']}'; "
            "only tables of the warehouse can be overwritten"
        )
    rows = open_rows(plan)
    schema = target.schema.arrow_schema
    reader = pa.RecordBatchReader.from_batches(schema, _conforming(rows, target, arrangement))
    return connector_of(target).write_batch(target, reader)


def _conforming(rows: Rows, target: ConnectorTable, arrangement: Arrangement) -> Iterator[pa.RecordBatch]:
    first_row = 1
    for batch in rows:
        table = conform(arrangement.rows(batch), target.schema, str(target.identifier), first_row)
        first_row += batch.num_rows
        yield from table.to_batches()

"""System tables that hold the table's own rows: with their kinds, as a log, of the last compaction, with row numbers.

They take versions and hints like the table itself. In batch they show one snapshot, or what lies between two.
"""

from collections.abc import Iterator

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.changes import RowKind
from tsdb.errors import NotSupportedError
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.incremental import between, incremental_parts
from tsdb.table.read import read_table
from tsdb.table.refs import is_incremental, resolve_snapshot
from tsdb.table.row_tracking import read_tracked, tracks_rows
from tsdb.table.scan import plan_scan
from tsdb.table.table import Table

Kinds = npt.NDArray[np.int8]
ROWKIND = pa.field("rowkind", pa.string(), False)
_SYMBOLS = pa.array([RowKind(i).symbol for i in range(4)], pa.string())


def audit_log_schema(table: Table) -> pa.Schema:
    """The columns of the table after `rowkind`."""
    return pa.schema([ROWKIND, *table.schema.arrow_schema])


def audit_log(table: Table) -> pa.Table:
    """The rows after a first column `rowkind`; a stream shows every change, `incremental-between` what went, too."""
    schema = audit_log_schema(table)
    return pa.Table.from_batches([audit_batch(rows, kinds, schema) for rows, kinds in _changes(table)], schema)


def audit_batch(rows: pa.RecordBatch, kinds: Kinds, schema: pa.Schema) -> pa.RecordBatch:
    """The rows with their kinds as the first column."""
    return pa.RecordBatch.from_arrays([_SYMBOLS.take(pa.array(kinds)), *rows.columns], schema.names).cast(schema)


def binlog_schema(table: Table) -> pa.Schema:
    """`rowkind`, then each column as an array."""
    columns = [pa.field(f.name, pa.list_(pa.field("item", f.type, True))) for f in table.schema.arrow_schema]
    return pa.schema([ROWKIND, *columns])


def binlog(table: Table) -> pa.Table:
    """The same with every column as an array: of one value, or of the values before and after an update."""
    schema = binlog_schema(table)
    return pa.Table.from_batches([binlog_batch(rows, kinds, schema) for rows, kinds in _changes(table)], schema)


def binlog_batch(rows: pa.RecordBatch, kinds: Kinds, schema: pa.Schema) -> pa.RecordBatch:
    """-U and the +U behind it become one row. A pair must not be cut in two batches."""
    paired = np.zeros(len(kinds), np.bool_)  # +U that have their -U before them
    paired[1:] = (kinds[1:] == RowKind.UPDATE_AFTER) & (kinds[:-1] == RowKind.UPDATE_BEFORE)
    starts = np.flatnonzero(~paired)
    offsets = pa.array(np.append(starts, len(kinds)), pa.int32())
    shown = kinds[np.append(starts[1:], len(kinds)) - 1] if len(starts) else kinds
    columns = [pa.ListArray.from_arrays(offsets, column) for column in rows.columns]
    return pa.RecordBatch.from_arrays([_SYMBOLS.take(pa.array(shown)), *columns], schema.names).cast(schema)


def read_optimized_schema(table: Table) -> pa.Schema:
    """Those of the table."""
    schema: pa.Schema = table.schema.arrow_schema
    return schema


def read_optimized(table: Table) -> pa.Table:
    """The rows of the highest level, which reads fastest; of an append table, all."""
    max_level = table.options.max_level
    keeps = (lambda level: level == max_level) if table.is_primary_key else None
    return read_table(table, plan_scan(table, _snapshot(table), keeps_level=keeps))


def row_tracking_schema(table: Table) -> pa.Schema:
    """The columns of the table, then the row's number and that of its commit."""
    if not tracks_rows(table):
        raise NotSupportedError(f"table `{table.identifier}` has no 'row-tracking.enabled', so no `$row_tracking`")
    extra = [pa.field("_ROW_ID", pa.int64()), pa.field("_SEQUENCE_NUMBER", pa.int64())]
    return pa.schema([*table.schema.arrow_schema, *extra])


def row_tracking(table: Table) -> pa.Table:
    """The rows with `_ROW_ID` and `_SEQUENCE_NUMBER`, of a table with row tracking."""
    schema = row_tracking_schema(table)
    batches = []
    for split in plan_scan(table, _snapshot(table)).splits:
        for file in split.files:
            deletion = split.deletions.get(file.file_name)
            live = None if deletion is None else deletion.live_rows(table.file_io, file.row_count)
            rows = read_tracked(table, file, split.bucket_path, table.schema.names, live)
            batches += [batch.cast(schema) for batch in rows]
    return pa.Table.from_batches(batches, schema)


def _changes(table: Table) -> Iterator[tuple[pa.RecordBatch, Kinds]]:
    """What a batch query sees of the log."""
    options = table.options.values
    if is_incremental(options):
        for part in incremental_parts(table, between(table, options)):
            yield from part.changes()
        return
    for batch in read_table(table, plan_scan(table, _snapshot(table))).to_batches():
        yield batch, np.full(batch.num_rows, RowKind.INSERT, np.int8)


def _snapshot(table: Table) -> Snapshot | None:
    return resolve_snapshot(table, table.options.values)

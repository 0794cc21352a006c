"""Tables without a catalog, written and read through the table layer."""

from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pyarrow as pa
from datafusion import SessionContext
from datafusion.plan import LogicalPlan

from tsdb.catalog.catalog import ConnectorTable
from tsdb.data_types import DataField, parse_type
from tsdb.exec.engine import Engine, our_schema
from tsdb.exec.relation import Relation
from tsdb.exec.streaming.source import TableSource
from tsdb.fs import LocalFileIO
from tsdb.fs.file_io import FileIO
from tsdb.metadata.schema import SchemaManager, TableSchema
from tsdb.table.commit import commit
from tsdb.table.read import read_plan
from tsdb.table.scan import plan_scan
from tsdb.table.table import Identifier, Table, open_table
from tsdb.table.write import TableWriter

KINDS = {"+I": 0, "-U": 1, "+U": 2, "-D": 3}


def make_table(
    root: Path | str,
    name: str,
    columns: dict[str, str],
    key: tuple[str, ...] = (),
    options: dict[str, str] | None = None,
    file_io: FileIO | None = None,
) -> Table:
    """The table of that name, made if it is not there."""
    files = file_io or LocalFileIO()
    path = f"{root}/db.db/{name}"
    table = open_table(files, Identifier("db", name), path)
    if table is None:
        fields = tuple(DataField(i, column, parse_type(kind)) for i, (column, kind) in enumerate(columns.items()))
        schema = TableSchema(
            0,
            fields,
            partition_keys=(),
            primary_keys=key,
            options={"bucket": "1", **(options or {})} if key else options or {},
            highest_field_id=len(fields) - 1,
        )
        assert SchemaManager(files, path).try_create(schema)
        table = open_table(files, Identifier("db", name), path)
    assert table is not None
    return table


@dataclass(frozen=True)
class Planned:
    """A planned query, without a session."""

    logical: LogicalPlan
    context: SessionContext
    relations: dict[str, Relation]
    schema: pa.Schema
    zone: str = "UTC"
    state_memory_bytes: int | None = None
    state_ttl_ms: int = 0


BOUNDED = {"scan.bounded.mode": "latest"}


def plan(sql: str, *tables: Table | ConnectorTable, options: dict[str, str] | None = None) -> Planned:
    """Plan a query of DataFusion's SQL over tables, read with the options."""
    context = Engine().context()
    relations = {}
    for table in tables:
        name, schema = table.identifier.name, table.schema.arrow_schema
        plain = pa.schema([field.remove_metadata() for field in schema])
        context.register_record_batches(name, [[pa.RecordBatch.from_pylist([], schema=plain)]])
        relations[name] = Relation(name, name, schema, table, options or {})
    frame = context.sql(sql)
    return Planned(frame.optimized_logical_plan(), context, relations, our_schema(frame.schema()))


def insert(table: Table, *rows: tuple, user: str = "test") -> None:
    """One commit. With a primary key, rows begin with their kind."""
    with TableWriter(table, user=user) as writer:
        kinds = np.array([KINDS[row[0]] for row in rows], np.int8) if table.is_primary_key else None
        values = [row[1:] for row in rows] if table.is_primary_key else rows
        columns = [list(column) for column in zip(*values, strict=True)]
        writer.write(pa.table(columns, schema=table.schema.arrow_schema), kinds)
        commit(table, writer.prepare_commit(), user=user)


def contents(table: Table) -> list[tuple]:
    """The rows of the latest snapshot, sorted."""
    plan = plan_scan(table, table.latest_snapshot())
    return sorted(tuple(row.values()) for batch in read_plan(table, plan) for row in batch.to_pylist())


def history(table: Table) -> list[Counter[tuple]]:
    """The changes of every snapshot from the first, as (weight, row) → how often."""
    source = TableSource(table, {"scan.mode": "from-snapshot", "scan.snapshot-id": "1"}, bounded=True)
    versions: list[Counter[tuple]] = [Counter()]
    while not source.finished:
        delta = source.poll(1000)
        if delta is None:
            continue
        for changes in delta.changes:
            for row, weight in zip(changes.rows.to_pylist(), changes.weights.tolist(), strict=True):
                versions[-1][(weight, *row.values())] += 1
        if delta.complete:
            versions.append(Counter())
    return versions[:-1]

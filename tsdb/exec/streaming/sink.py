"""Where a job writes: a table of the warehouse, by the two phases of `Sink`.

The changes between two checkpoints are one commit, netted first: of a row that came and went nothing is written.

A query that only adds rows is an upsert, as in batch: rows of a primary key go to the merge engine in their order. Of
a query that takes rows back a table that keeps one row of a key gets at most one change a key; two live rows for one
key are an error that names it: which of them should win is for the query to say, not for the order of arrival. An
engine that folds all rows of a key gets each that comes and each that goes (`takes_all`).
"""

import sys
from collections.abc import Sequence
from typing import Any, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.catalog.catalog import ConnectorTable
from tsdb.changes import ChangeBatch, RowKind, to_row_kinds
from tsdb.connector import connector_of
from tsdb.connector.connector import ChangelogMode, Json, Sink
from tsdb.errors import BindError, IntegrityError, NotSupportedError
from tsdb.exec.streaming.key_guard import conflict_message
from tsdb.exec.streaming.net_changes import NetChanges
from tsdb.table.commit_message import CommitMessage
from tsdb.table.compact_due import compact_when_due
from tsdb.table.replay import commit_rows
from tsdb.table.retraction import check_takes_back, takes_all
from tsdb.table.table import Table
from tsdb.table.write import TableWriter

_ROWS_HELD = 1 << 20


class JobSink(Protocol):
    """A `Sink` as a job sees it: it takes whatever the job's pipeline gives."""

    def write(self, changes: Any) -> None:
        """Take the output of a step."""
        ...

    def prepare(self, version: int) -> Json | None:
        """As `Sink.prepare`."""
        ...

    def commit(self, version: int, committable: Json) -> None:
        """As `Sink.commit`."""
        ...

    def abort(self) -> None:
        """As `Sink.abort`."""
        ...

    def close(self) -> None:
        """As `Sink.close`."""
        ...


class TableSink:
    """A table as the sink of one job; used by one thread. It takes all changes if it has a primary key.

    schema: of the changes. columns: the columns of the table that they are for, in that order; the others become NULL.
    user: the commit user, which is the id of the job. append_only: the changes take no row back, but for those that
    were deleted from the append tables of the query. keyed: at every step there is at most one row a key; then much of
    it may go to the writer early, because there the last change wins.
    """

    def __init__(
        self,
        table: Table,
        schema: pa.Schema,
        columns: Sequence[str],
        *,
        user: str,
        append_only: bool = False,
        keyed: bool = False,
    ) -> None:
        self._table = table
        self._user = user
        self._key = tuple(table.schema.primary_keys)
        self.accepts: ChangelogMode = "all" if self._key else "append"
        engine, producer = table.options.merge_engine, table.options.changelog_producer
        self._keep_before = engine == "aggregation" or (engine == "deduplicate" and producer == "input")
        self._one_row_a_key = not append_only and not takes_all(table)
        self._at_once = append_only and not self._key
        early = append_only or (keyed and not self._keep_before)
        self._rows_held_max = _ROWS_HELD if early else sys.maxsize
        self._writer = TableWriter(table, user=user)
        self._changes = NetChanges(schema, columns)

    def write(self, changes: ChangeBatch) -> None:
        """Hold the changes back, dropping what cancels out when there is much; pure appends are written at once."""
        if self._at_once:
            self._write(*self._appended(self._changes.renamed(changes)))
            return
        self._changes.add(changes)
        if self._changes.rows > self._rows_held_max:
            self._write_net()

    def prepare(self, version: int) -> Json | None:
        """Write the net changes to data files; returns their commit messages, or None if nothing changed."""
        self._write_net()
        return [message.to_json() for message in self._writer.prepare_commit()] or None

    def commit(self, version: int, committable: Json) -> None:
        """Publish; what a snapshot of this job and version has already is not done again."""
        messages = [CommitMessage.from_json(message) for message in committable]
        commit_rows(self._table, messages, user=self._user, identifier=version)
        compact_when_due(self._table, goes_on=True)

    def abort(self) -> None:
        """Forget what was written since the last `prepare`."""
        self._changes.clear()
        self._writer.abort()

    def close(self) -> None:
        """Free the writer."""
        self._changes.clear()
        self._writer.close()

    def _write_net(self) -> None:
        net = self._changes.take()
        if net.num_rows:
            self._write(*(self._keyed(net) if self._key else self._appended(net)))

    def _appended(self, changes: ChangeBatch) -> tuple[pa.Table, None]:
        """Every row as often as its weight says."""
        if (changes.weights < 0).any():
            raise NotSupportedError(_retraction_message(self._table))
        if (changes.weights == 1).all():
            return changes.rows, None
        return changes.rows.take(pa.array(np.repeat(np.arange(changes.num_rows), changes.weights))), None

    def _keyed(self, net: ChangeBatch) -> tuple[pa.Table, np.ndarray[Any, Any]]:
        """+I, -D, or +U, before which -U is only for a table that keeps it or folds it."""
        if self._one_row_a_key:
            _check_one_live_row(net, self._key, str(self._table.identifier))
        rows, kinds = to_row_kinds(net, self._key)
        if not self._keep_before:
            kept = kinds != RowKind.UPDATE_BEFORE
            rows, kinds = rows.filter(pa.array(kept)), kinds[kept]
        return rows, kinds

    def _write(self, rows: pa.Table, kinds: np.ndarray[Any, Any] | None) -> None:
        rows = with_all_columns(rows, self._table.schema.arrow_schema)
        self._writer.write(rows, kinds)


class ConnectorSink:
    """The sink of a connector, fed with net changes in the columns and types of its table; see `TableSink`."""

    def __init__(
        self, table: ConnectorTable, inner: Sink, schema: pa.Schema, columns: Sequence[str], *, append_only: bool
    ) -> None:
        self.accepts: ChangelogMode = inner.accepts
        self._inner = inner
        self._target: pa.Schema = table.schema.arrow_schema
        self._at_once = append_only
        self._changes = NetChanges(schema, columns)

    def write(self, changes: ChangeBatch) -> None:
        """Hold the changes back until `prepare`; pure appends go on at once."""
        if self._at_once:
            self._pass_on(self._changes.renamed(changes))
        else:
            self._changes.add(changes)

    def prepare(self, version: int) -> Json | None:
        """Pass the net changes on."""
        net = self._changes.take()
        if net.num_rows:
            self._pass_on(net)
        return self._inner.prepare(version)

    def commit(self, version: int, committable: Json) -> None:
        """Publish."""
        self._inner.commit(version, committable)

    def abort(self) -> None:
        """Forget what was written since the last `prepare`."""
        self._changes.clear()
        self._inner.abort()

    def close(self) -> None:
        """Free the connector's sink."""
        self._inner.close()

    def _pass_on(self, changes: ChangeBatch) -> None:
        rows = with_all_columns(changes.rows, self._target).cast(self._target)
        self._inner.write(ChangeBatch(rows, changes.weights))


def open_sink(
    target: Table | ConnectorTable,
    schema: pa.Schema,
    columns: Sequence[str],
    *,
    user: str,
    append_only: bool,
    keyed: bool,
) -> Sink:
    """The sink of a job. Raises what `check_target` raises."""
    check_target(target, schema, columns, append_only=append_only)
    if isinstance(target, Table):
        return TableSink(target, schema, columns, user=user, append_only=append_only, keyed=keyed)
    inner = connector_of(target).sink(target)
    if inner.accepts == "append" and not append_only:
        inner.close()
        raise NotSupportedError(
            f"table `{target.identifier}` can only take new rows, but the query updates or deletes rows of its result; "
            "use a format that takes changes ('format' = 'debezium-json'), or a warehouse table with a PRIMARY KEY"
        )
    return ConnectorSink(target, inner, schema, columns, append_only=append_only)


def with_all_columns(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of the schema in its order, NULL where there are none."""
    columns = [
        rows[field.name] if field.name in rows.column_names else pa.nulls(rows.num_rows, field.type) for field in schema
    ]
    return pa.table(columns, names=schema.names)


def check_target(
    table: Table | ConnectorTable, schema: pa.Schema, columns: Sequence[str], *, append_only: bool
) -> None:
    """Refuse at plan time what the table cannot take: another number of columns, no key, rows taken back."""
    if len(schema) != len(columns):
        raise BindError(
            f"the query has {len(schema)} columns, but {len(columns)} of table `{table.identifier}` are to be filled "
            f"({', '.join(columns)})"
        )
    missing = [name for name in table.schema.primary_keys if name not in columns]
    if missing:
        raise BindError(
            f"the query fills no value of `{missing[0]}`, a primary-key column of table `{table.identifier}`"
        )
    if isinstance(table, Table) and not append_only:
        if not table.schema.primary_keys:
            raise NotSupportedError(_retraction_message(table))
        check_takes_back(table)


def _retraction_message(table: Table) -> str:
    return (
        f"table `{table.identifier}` has no primary key, so rows can only be appended to it, but the query updates or "
        "deletes rows of its result (an aggregate, an outer join, or a source with updates does); insert into a table "
        "with a PRIMARY KEY"
    )


def _check_one_live_row(net: ChangeBatch, key: Sequence[str], table: str) -> None:
    """At the end of a version a primary key has at most one row; net: changes whose rows do not cancel out."""
    comes = net.weights > 0
    live = net.rows.select(list(key)).filter(pa.array(comes)).append_column("", pa.array(net.weights[comes]))
    counts = live.group_by(list(key)).aggregate([("", "sum")])
    clash = counts.filter(pc.greater(counts["_sum"], 1))
    if clash.num_rows == 0:
        return
    first = clash.slice(0, 1)
    rows = first["_sum"][0].as_py()
    raise IntegrityError(conflict_message(table, key, first.select(list(key)), rows, clash.num_rows))

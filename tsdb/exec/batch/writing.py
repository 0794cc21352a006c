"""Writing as one statement does: everything in one commit, or nothing.

Rows go through the table's writer batch by batch, so memory is bounded by its buffer. Whatever fails before the
commit leaves no file behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsdb import clock
from tsdb.changes import ROW_KIND_SYMBOLS, RowKind
from tsdb.table.assigner import Replaces
from tsdb.table.bucket import BucketMode
from tsdb.table.commit import Overwrite, commit
from tsdb.table.commit_message import CommitMessage
from tsdb.table.compact_due import compact_when_due
from tsdb.table.log import check_log_there
from tsdb.table.redistribute import batch_assigner
from tsdb.table.replay import commit_rows
from tsdb.table.scan import in_partition
from tsdb.table.table import Table
from tsdb.table.write import TableWriter, discard, discarded_unless_committed

Kinds: TypeAlias = npt.NDArray[np.int8]


@dataclass(frozen=True, slots=True)
class Prepared:
    """Rows that are written to files and not committed yet. count: of the rows."""

    table: Table
    writer: TableWriter
    messages: list[CommitMessage]
    user: str
    count: int
    overwrite: Overwrite | None = None
    replaced: Iterable[CommitMessage] | None = None

    def commit(self) -> int:
        """Publish them; how many rows were written. What fails has changed nothing."""
        table, messages = self.table, list(self.messages)
        try:
            with discarded_unless_committed(table, messages, user=self.user):
                if self.overwrite is None and self.replaced is None:
                    commit_rows(table, messages, user=self.user)
                else:
                    messages += self.replaced or ()
                    commit(table, messages, user=self.user, overwrite=self.overwrite)
        except BaseException:
            self.writer.recall()
            raise
        compact_when_due(table)
        return self.count

    def discard(self) -> None:
        """Delete the files."""
        self.writer.recall()
        discard(self.table, self.messages)


def write(
    table: Table,
    batches: Iterable[tuple[pa.Table, Kinds | None]],
    *,
    overwrite: Overwrite | None = None,
    replaced: Iterable[CommitMessage] | None = None,
) -> int:
    """Write the batches and commit once; see `prepare`. Returns how many rows were written."""
    return prepare(table, batches, overwrite=overwrite, replaced=replaced).commit()


def prepare(
    table: Table,
    batches: Iterable[tuple[pa.Table, Kinds | None]],
    *,
    overwrite: Overwrite | None = None,
    replaced: Iterable[CommitMessage] | None = None,
) -> Prepared:
    """Write the batches (rows, a row kind each or None for all +I) to files of one commit.

    overwrite: what the rows replace. replaced: messages with the rows and files that the batches stand for (UPDATE and
    DELETE of an append table); asked for after the last batch.
    """
    user = clock.current().new_id()
    count = 0
    check_log_there(table)
    replaces = None if overwrite is None else _replaces(table, overwrite)
    at_once = table.bucket_mode is BucketMode.POSTPONED and table.options.flag("postpone.batch-write-fixed-bucket")
    assigner = batch_assigner(table) if at_once else None
    with TableWriter(table, user=user, overwrite=overwrite is not None, replaces=replaces, assigner=assigner) as writer:
        for rows, kinds in batches:
            writer.write(_told(rows, kinds, table), kinds)
            count += rows.num_rows
        messages = writer.prepare_commit(compact=None if replaced is None else False)
    return Prepared(table, writer, messages, user, count, overwrite, replaced)


def _told(rows: pa.Table, kinds: Kinds | None, table: Table) -> pa.Table:
    """The rows, of which those that take something back say so in the column that 'rowkind.field' names."""
    column = table.options.get("rowkind.field")
    if column is None or kinds is None or not table.is_primary_key:
        return rows
    at = rows.schema.get_field_index(column)
    taken_back = pa.array((kinds == RowKind.UPDATE_BEFORE) | (kinds == RowKind.DELETE))
    symbols = pa.array(ROW_KIND_SYMBOLS).take(pa.array(kinds))
    return rows.set_column(at, column, pc.if_else(taken_back, symbols, rows[column]))


def _replaces(table: Table, overwrite: Overwrite) -> Replaces | None:
    """Which partitions an overwrite replaces; None: those that get rows."""
    spec = overwrite.partitions
    if isinstance(spec, str):
        return None
    is_replaced = spec if callable(spec) else partial(in_partition, table, spec=spec)
    return lambda _: is_replaced

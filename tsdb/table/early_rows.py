"""Rows that a log shows before their commit: `'log.consistency' = 'eventual'`.

They go to the topic as soon as they are placed, without a transaction; once more, and for good, with their snapshot.
Law: for each key the last message of the topic is what the table has, as soon as nothing is in between. A writer that
fails writes what its keys are in the newest snapshot; where nobody is left to do so, readers look the keys up.
"""

from collections.abc import Iterator

import numpy as np
import pyarrow as pa

from tsdb.changes import RowKind
from tsdb.log.format import CannotTell
from tsdb.log.message import EARLY, Mark
from tsdb.log.topic import LogTopic
from tsdb.table.bucket import Placement
from tsdb.table.changed_keys import rows_of_keys
from tsdb.table.log import log_of, settle, writing_format
from tsdb.table.stream_scan import Kinds
from tsdb.table.table import Table

ROWS_MAX = 1 << 20
"""Of one commit; what comes after them is seen with the commit."""


def early_rows(table: Table) -> "EarlyRows | None":
    """For the writer of a table; None if its log, if any, shows only what is committed."""
    log = log_of(table)
    return EarlyRows(table, log) if log is not None and log.settings.is_eventual else None


class EarlyRows:
    """What one writer has shown before its commit; used by one thread."""

    def __init__(self, table: Table, log: LogTopic) -> None:
        self._table = table
        self._log = log
        self._keys: dict[int, list[pa.Table]] = {}
        self._rows = 0
        self._is_done = False

    def send(self, rows: pa.Table, kinds: Kinds | None, placement: Placement) -> None:
        """Show rows that are placed. Raises OperationalError if the broker does not take them."""
        if self._is_done:
            self._keys, self._rows, self._is_done = {}, 0, False
        if self._rows + rows.num_rows > ROWS_MAX:
            return
        self._rows += rows.num_rows
        kinds = np.full(rows.num_rows, RowKind.INSERT, np.int8) if kinds is None else kinds
        number = np.array([bucket for _, bucket in placement.buckets])[placement.codes] % self._log.partitions
        mark, written = Mark(0, self._table.schema.id, stage=EARLY), writing_format(self._table, self._log)
        for bucket in np.unique(number).tolist():
            at = pa.array(np.flatnonzero(number == bucket))
            some, some_kinds = rows.take(at).combine_chunks(), kinds[at.to_numpy()]
            self._keys.setdefault(bucket, []).append(some.select(self._table.schema.primary_keys))
            for batch in some.to_batches():
                try:
                    parts = list(written.write(batch, some_kinds))
                except CannotTell:
                    continue  # its snapshot will say so
                self._log.send_early(mark, ((bucket, *part) for part in parts))

    def delivered(self) -> None:
        """Before the commit: wait until all is in the topic. Raises OperationalError."""
        if self._rows and not self._is_done:
            self._log.flush_early()
        self._is_done = True

    def recall(self) -> None:
        """The commit will not come: write what the keys are."""
        keys, self._keys, self._rows = self._keys, {}, 0
        if keys:
            settle(self._table, self._log, self._looked_up(keys))

    def _looked_up(self, keys: dict[int, list[pa.Table]]) -> Iterator[tuple[int, pa.RecordBatch, Kinds]]:
        latest, names = self._table.latest_snapshot(), self._table.schema.names
        for bucket, parts in keys.items():
            distinct = pa.concat_tables(parts).group_by(self._table.schema.primary_keys).aggregate([])
            for batch, is_there in rows_of_keys(self._table, latest, distinct, names):
                kind = RowKind.INSERT if is_there else RowKind.DELETE
                yield bucket, batch, np.full(batch.num_rows, kind, np.int8)

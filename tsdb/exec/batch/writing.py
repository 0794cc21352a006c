"""Writing as one statement does: everything in one commit, or nothing.

Rows go through the table's writer batch by batch, so memory is bounded by its buffer. Whatever fails before the
commit leaves no file behind.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb import clock
from tsdb.errors import CommitConflict
from tsdb.table.commit import Overwrite, commit
from tsdb.table.commit_message import CommitMessage
from tsdb.table.table import Table
from tsdb.table.write import TableWriter, discard

Kinds: TypeAlias = npt.NDArray[np.int8]


def write(
    table: Table,
    batches: Iterable[tuple[pa.Table, Kinds | None]],
    *,
    overwrite: Overwrite | None = None,
    replaced: Iterable[CommitMessage] | None = None,
) -> int:
    """Write the batches (rows, a row kind each or None for all +I) and commit once; how many rows were written.

    overwrite: what the rows replace. replaced: messages with the rows and files that the batches stand for (UPDATE and
    DELETE of an append table); asked for after the last batch.
    """
    user = clock.current().new_id()
    count = 0
    with TableWriter(table, user=user, overwrite=overwrite is not None) as writer:
        for rows, kinds in batches:
            writer.write(rows, kinds)
            count += rows.num_rows
        messages = writer.prepare_commit(compact=None if replaced is None else False)
    try:
        messages += replaced or ()
        commit(table, messages, user=user, overwrite=overwrite)
    except CommitConflict:
        discard(table, messages)
        raise
    return count

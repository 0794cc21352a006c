"""Placing rows once more that were placed by an index which another writer has changed since.

The rows of a commit that was refused are still in its files. They are written again, with the places that their keys
have now, and the old files go when that is committed. So writers of tables with dynamic buckets, or with keys that move
between partitions, may come at any time, as those of a table with a fixed number of buckets.
"""

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from tsdb.errors import CommitConflict
from tsdb.format.parquet import VALUE_KIND
from tsdb.mergetree.merge import is_add
from tsdb.metadata.snapshot import BATCH_IDENTIFIER, Snapshot
from tsdb.table.assigned import Kinds
from tsdb.table.bucket import BucketMode
from tsdb.table.bucket_writer import bucket_directory
from tsdb.table.commit import commit
from tsdb.table.commit_message import CommitMessage
from tsdb.table.data_file_reader import read_file
from tsdb.table.key_index import keys_of, same_keys
from tsdb.table.table import Table
from tsdb.table.write import TableWriter, discard

TRIES_MAX = 5


def commit_rows(
    table: Table, messages: Sequence[CommitMessage], *, user: str, identifier: int = BATCH_IDENTIFIER
) -> Snapshot | None:
    """Commit what a writer prepared, which is new rows and no overwrite; place the rows anew as often as it takes.

    Raises CommitConflict where no index decides, or after TRIES_MAX times; the files of `messages` are then still
    there.
    """
    prepared = given = list(messages)
    for tried in range(1, TRIES_MAX + 1):
        try:
            snapshot = commit(table, prepared, user=user, identifier=identifier)
            break
        except CommitConflict:
            gives_up = tried == TRIES_MAX or not _can_be_placed_anew(table, given)
            again = [] if gives_up else _placed_anew(table, given, user)
            if prepared is not given:
                discard(table, prepared)
            if gives_up:
                raise
            prepared = again
    if prepared is not given:
        discard(table, given)
    return snapshot


def _can_be_placed_anew(table: Table, messages: Sequence[CommitMessage]) -> bool:
    is_placed = table.bucket_mode in (BucketMode.DYNAMIC, BucketMode.CROSS_PARTITION)
    # a row that takes another away from its old partition has the 'rowkind.field' of that other row
    is_plain = table.options.get("rowkind.field") is None
    return is_placed and is_plain and not any(message.deleted_files for message in messages)


def _placed_anew(table: Table, messages: Sequence[CommitMessage], user: str) -> list[CommitMessage]:
    """The rows of the messages in new files. Where keys move, a key is first taken from where it was put in vain."""
    deduplicates = table.options.merge_engine == "deduplicate"
    with TableWriter(table, user=user) as writer:
        for wanted in (False, True) if deduplicates else (None,):
            for message in messages:
                for rows, kinds in _last_rows(table, message) if deduplicates else _rows(table, message):
                    if wanted is not None:
                        chosen = np.flatnonzero(is_add(kinds) == wanted)
                        rows, kinds = rows.take(pa.array(chosen)), kinds[chosen]
                    writer.write(rows, kinds)
        return writer.prepare_commit(compact=False)


def _rows(table: Table, message: CommitMessage) -> Iterator[tuple[pa.Table, Kinds]]:
    """The rows of the new files in order of their sequence numbers."""
    names = list(table.schema.names)
    directory = bucket_directory(table, message.partition, message.bucket)
    for file in sorted(message.new_files, key=lambda f: (f.min_sequence_number, f.max_sequence_number)):
        for batch in read_file(table, file, directory, [*names, VALUE_KIND]):
            yield pa.Table.from_batches([batch.select(names)]), np.asarray(batch.column(len(names))).astype(np.int8)


def _last_rows(table: Table, message: CommitMessage) -> Iterator[tuple[pa.Table, Kinds]]:
    """The last row of each key in the new files, which are in memory meanwhile."""
    parts = list(_rows(table, message))
    if not parts:
        return
    rows, kinds = pa.concat_tables([rows for rows, _ in parts]), np.concatenate([kinds for _, kinds in parts])
    order, fresh = same_keys(keys_of(rows, table.schema.primary_keys))
    last = np.sort(order[np.append(fresh[1:], True)])
    yield rows.take(pa.array(last)), kinds[last]

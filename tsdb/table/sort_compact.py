"""Sort-compaction of an append table: the rows of a partition in an order in which files can be skipped.

`order` sorts by the columns one after the other; `zorder` and `hilbert` follow a curve through all of them, on which
rows that are near in every column lie near each other. A column counts by its rank, so that skew does not matter.

The rows of one partition are in memory at a time. Source: Hilbert curve after J. Skilling, "Programming the Hilbert
curve" (2004).
"""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from tsdb.cancellation import apart, check_cancelled
from tsdb.errors import NotSupportedError, ProgrammingError, nearest
from tsdb.format.parquet import SEQUENCE_NUMBER
from tsdb.mergetree.data_writer import FILE_SOURCE_COMPACT
from tsdb.mergetree.key_order import order_words, stable_order
from tsdb.mergetree.rewrite import rows_per_file
from tsdb.metadata.manifest import ManifestEntry
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.bucket import BucketMode
from tsdb.table.bucket_writer import bucket_plan, data_writer
from tsdb.table.commit import commit
from tsdb.table.commit_message import CommitMessage
from tsdb.table.data_file_reader import row_reader
from tsdb.table.deletion_maintainer import DeletionMaintainer
from tsdb.table.index_change import index_entries
from tsdb.table.newest import on_newest
from tsdb.table.row_tracking import check_rewritable
from tsdb.table.scan import live_files
from tsdb.table.table import Table
from tsdb.table.write import discard, discarded_unless_committed

STRATEGIES = ("order", "zorder", "hilbert")
_CURVE_BITS = 62
_SLICE_ROWS = 1 << 18

UInt64 = npt.NDArray[np.uint64]


def sort_compact(
    table: Table,
    strategy: str,
    columns: Sequence[str],
    *,
    partitions: Callable[[bytes], bool] | None = None,
    user: str,
) -> Snapshot | None:
    """Write the partitions anew in order, and commit; None if there is nothing.

    strategy: one of STRATEGIES. Raises ProgrammingError for other strategies and columns, NotSupportedError for tables
    whose files have an order of their own.
    """
    _check(table, strategy, columns)
    check_rewritable(table, "ordering")
    messages = on_newest(table, lambda snapshot: _messages(table, snapshot, strategy, columns, partitions))
    if not messages:
        return None
    with discarded_unless_committed(table, messages, user=user):
        return commit(table, messages, user=user)


def _messages(
    table: Table,
    snapshot: Snapshot | None,
    strategy: str,
    columns: Sequence[str],
    partitions: Callable[[bytes], bool] | None,
) -> list[CommitMessage]:
    groups: dict[tuple[bytes, int], list[ManifestEntry]] = {}
    for entry in live_files(table, snapshot):
        if partitions is None or partitions(entry.partition):
            groups.setdefault((entry.partition, entry.bucket), []).append(entry)
    indexes = index_entries(table, snapshot)
    messages: list[CommitMessage] = []
    try:
        for (partition, bucket), entries in groups.items():
            index_files = [i.file for i in indexes if (i.partition, i.bucket) == (partition, bucket)]
            messages.append(_sorted(table, entries, DeletionMaintainer(table, index_files), strategy, columns))
    except BaseException:
        discard(table, messages)
        raise
    return messages


def _check(table: Table, strategy: str, columns: Sequence[str]) -> None:
    if strategy not in STRATEGIES:
        raise ProgrammingError(f"`order_strategy` is one of {', '.join(STRATEGIES)}, not '{strategy}'")
    if table.bucket_mode is not BucketMode.UNAWARE:
        raise NotSupportedError(
            f"only append tables without buckets can be ordered; `{table.identifier}` has a "
            f"{'primary key' if table.is_primary_key else 'bucket-key'}"
        )
    if not columns:
        raise ProgrammingError("`order_by` names the columns to order by, as 'a,b'")
    for name in columns:
        if name not in table.schema.names:
            raise ProgrammingError(
                f"table `{table.identifier}` has no column `{name}`.{nearest(name, table.schema.names)}"
            )
        if pa.types.is_nested(table.schema.arrow_schema.field(name).type):
            raise NotSupportedError(f"column `{name}` is nested and has no order")


def _sorted(
    table: Table,
    entries: Sequence[ManifestEntry],
    deleted: DeletionMaintainer,
    strategy: str,
    columns: Sequence[str],
) -> CommitMessage:
    first = entries[0]
    writer = data_writer(table, first.partition, first.bucket)
    read = row_reader(table, writer.directory)
    files = sorted((entry.file for entry in entries), key=lambda file: file.min_sequence_number)
    batches: list[pa.RecordBatch] = []
    for file in files:
        check_cancelled()
        batches += read(file, table.schema.names, deleted.live_rows(file.file_name, file.row_count))
    after = []
    if batches:
        rows = pa.Table.from_batches(batches)
        order = apart(lambda: curve_order([rows[name] for name in columns], strategy))
        count = rows_per_file(files, bucket_plan(table).target_file_size_bytes)
        in_order = _slices(rows, order, files[0].min_sequence_number)
        after = writer.write(in_order, level=0, source=FILE_SOURCE_COMPACT, rows_per_file=count)
    for file in files:
        deleted.remove(file.file_name)
    new_index, old_index = deleted.prepare()
    message = CommitMessage(
        first.partition, first.bucket, first.total_buckets, compact_before=tuple(files), compact_after=tuple(after)
    )
    return replace(message, compact_new_index_files=new_index, compact_deleted_index_files=old_index)


def _slices(rows: pa.Table, order: npt.NDArray[np.int64], first_number: int) -> Iterator[pa.Table]:
    """The rows in that order, with their sequence numbers."""
    for start in range(0, len(order), _SLICE_ROWS):
        part = order[start : start + _SLICE_ROWS]
        numbers = np.arange(first_number + start, first_number + start + len(part))
        yield rows.take(pa.array(part)).append_column(SEQUENCE_NUMBER, pa.array(numbers, pa.int64()))


def curve_order(columns: Sequence[pa.ChunkedArray], strategy: str) -> npt.NDArray[np.int64]:
    """The positions of the rows in the order of the strategy; equal ones stay in order of position. NULL is lowest."""
    if strategy == "order":
        return stable_order(order_words([columns])[0])
    bits = max(1, _CURVE_BITS // len(columns))
    places = [_ranks(column, bits) for column in columns]
    if strategy == "hilbert" and len(columns) > 1:
        places = _hilbert(places, bits)
    return np.argsort(_interleaved(places, bits), kind="stable")


def _ranks(column: pa.ChunkedArray, bits: int) -> UInt64:
    """Of each value its rank among all, scaled to so many bits; equal values have equal ranks."""
    words = order_words([[column]])[0]
    order = stable_order(words)
    ordered = [word[order] for word in words]
    changes = np.zeros(len(order), np.bool_)
    for word in ordered:
        changes[1:] |= word[1:] != word[:-1]
    dense = np.cumsum(changes)
    ranks = np.empty(len(order), np.uint64)
    ranks[order] = dense
    most = int(dense[-1]) if len(dense) else 0
    used = most.bit_length()
    return ranks << np.uint64(bits - used) if used <= bits else ranks >> np.uint64(used - bits)


def _interleaved(places: Sequence[UInt64], bits: int) -> UInt64:
    """One number of the bits of all: the highest bit of the first, of the second, …"""
    out = np.zeros(len(places[0]), np.uint64)
    for bit in range(bits - 1, -1, -1):
        for place in places:
            out = (out << np.uint64(1)) | ((place >> np.uint64(bit)) & np.uint64(1))
    return out


def _hilbert(places: Sequence[UInt64], bits: int) -> list[UInt64]:
    """Coordinates whose interleaved bits are the distance along the Hilbert curve (Skilling's transposed form)."""
    x = [place.copy() for place in places]
    zero = np.uint64(0)
    q = np.uint64(1 << (bits - 1))
    while q > 1:
        p = q - np.uint64(1)
        for i in range(len(x)):
            is_set = (x[i] & q) != 0
            swap = (x[0] ^ x[i]) & p
            x[0] = np.where(is_set, x[0] ^ p, x[0] ^ swap)
            if i:
                x[i] = np.where(is_set, x[i], x[i] ^ swap)
        q >>= np.uint64(1)
    for i in range(1, len(x)):
        x[i] ^= x[i - 1]
    t = np.zeros(len(x[0]), np.uint64)
    q = np.uint64(1 << (bits - 1))
    while q > 1:
        t = np.where((x[-1] & q) != 0, t ^ (q - np.uint64(1)), t)
        q >>= np.uint64(1)
    return [place ^ t if len(t) else place + zero for place in x]

"""SESSION windows."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa

from tsdb.exec.streaming.watermark import ticks_ns
from tsdb.row_hash import arrays, group_rows, hash_rows


def sessions(rows: pa.Table, keys: Sequence[int], time: int, gap_ns: int) -> tuple[pa.Array, pa.Array]:
    """The start and the end of the session of each row, in nanoseconds; NULL for a row without a time.

    Rows of one key belong together as long as the next is less than a gap later; an end is the last time and a gap.
    """
    count = rows.num_rows
    kind = rows.schema.field(time).type
    columns = arrays(rows)
    known = np.asarray(columns[time].is_valid().to_numpy(zero_copy_only=False))
    moments = np.asarray(columns[time].cast(pa.int64()).fill_null(0).to_numpy()) * ticks_ns(kind)
    parts = [columns[k] for k in keys]
    group = np.zeros(count, np.int64)
    if parts and count:
        group = np.asarray(group_rows(parts, hash_rows(parts, count)).ids(), np.int64)
    order = np.lexsort((moments, group, ~known))
    in_order, of_group = moments[order], group[order]
    begins = np.ones(count, np.bool_)
    begins[1:] = (of_group[1:] != of_group[:-1]) | (in_order[1:] - in_order[:-1] >= gap_ns)
    first = np.flatnonzero(begins)
    session = np.cumsum(begins) - 1
    last = np.append(first[1:], count) - 1 if count else first
    start, end = np.empty(count, np.int64), np.empty(count, np.int64)
    start[order] = in_order[first][session]
    end[order] = in_order[last][session] + gap_ns
    return (pa.array(start, pa.timestamp("ns"), mask=~known), pa.array(end, pa.timestamp("ns"), mask=~known))

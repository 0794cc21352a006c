"""Data files that exist only as numbers and Arrow tables."""

import numpy as np
import pyarrow as pa

from tsdb.data_types import parse_type
from tsdb.mergetree.sorted_run import key_ranges
from tsdb.metadata.binary_row import encode_row
from tsdb.metadata.data_file import EMPTY_STATS, DataFileMeta

INT_KEY = (parse_type("BIGINT NOT NULL"),)
KEY_RANGE = key_ranges(INT_KEY)


def data_file(name, low, high, *, level=0, sequence=(0, 0), rows=1, size=100, deletes=0, types=INT_KEY):
    low, high = (low, high) if isinstance(low, tuple) else ((low,), (high,))
    return DataFileMeta(
        file_name=name,
        file_size=size,
        row_count=rows,
        min_key=encode_row(low, types),
        max_key=encode_row(high, types),
        key_stats=EMPTY_STATS,
        value_stats=EMPTY_STATS,
        min_sequence_number=sequence[0],
        max_sequence_number=sequence[1],
        schema_id=0,
        level=level,
        delete_row_count=deletes,
    )


class MemoryFiles:
    """Tables by file name, read in small batches; counts what is read."""

    def __init__(self):
        self.tables = {}
        self.reads = 0

    def add(self, name, table, key, types, level):
        rows = table.sort_by([(k, "ascending") for k in key])
        self.tables[name] = rows
        keys = [tuple(rows[k][i].as_py() for k in key) for i in (0, -1)]
        sequence = rows["_SEQUENCE_NUMBER"].to_numpy()
        kinds = rows["_VALUE_KIND"].to_numpy()
        return data_file(
            name,
            keys[0],
            keys[1],
            level=level,
            sequence=(int(sequence.min()), int(sequence.max())),
            rows=rows.num_rows,
            deletes=int(np.isin(kinds, (1, 3)).sum()),
            types=types,
        )

    def read(self, file, columns):
        self.reads += 1
        yield from self.tables[file.file_name].select(list(columns)).to_batches(max_chunksize=7)


def fold(rows, key, sequence_field=None, ignore_delete=False, descending=False):
    """The brute-force oracle: the row of each key that is left, retractions included."""

    def order(row):
        value = row[sequence_field] if sequence_field else None
        return (value is not None, -value if descending and value is not None else value or 0, row["_SEQUENCE_NUMBER"])

    left = {}
    for row in sorted(rows, key=order):
        if not (ignore_delete and row["_VALUE_KIND"] in (1, 3)):
            left[tuple(row[k] for k in key)] = row
    return left


def rows_table(columns, sequence, kinds):
    return (
        pa.table(columns)
        .append_column("_SEQUENCE_NUMBER", pa.array(sequence, pa.int64()))
        .append_column("_VALUE_KIND", pa.array(kinds, pa.int8()))
    )

"""The metadata of a table with very many data files, without the files: many_files.py WAREHOUSE FILES."""

import sys
from collections.abc import Sequence
from typing import Any

import pyarrow as pa

import tsdb
from tsdb import clock
from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.data_types import DataType, parse_type, to_arrow
from tsdb.fs.local import LocalFileIO
from tsdb.metadata.binary_row import encode_rows
from tsdb.metadata.data_file import DataFileMeta, SimpleStats
from tsdb.table.commit import commit
from tsdb.table.commit_message import CommitMessage
from tsdb.table.table import Identifier, Table

BUCKETS, FILES_A_BUCKET, ROWS_A_FILE = 10, 100, 1_000_000
COLUMNS = "d INT, id BIGINT, name STRING, a BIGINT, b DOUBLE, PRIMARY KEY (d, id) NOT ENFORCED"
BIGINT, INT = parse_type("BIGINT"), parse_type("INT")
VALUES = [INT, BIGINT, parse_type("STRING"), BIGINT, parse_type("DOUBLE")]


def main(warehouse: str, files: int) -> None:
    with tsdb.connect(warehouse) as con:
        con.execute(f"CREATE TABLE t ({COLUMNS}) PARTITIONED BY (d) WITH ('bucket' = '{BUCKETS}')")
    table = FileSystemCatalog(LocalFileIO(), warehouse).get_table(Identifier("default", "t"))
    assert isinstance(table, Table)
    messages = [
        CommitMessage(partition, bucket, BUCKETS, compact_after=_files(day, bucket))
        for day, partition in enumerate(_rows([INT], range(files // BUCKETS // FILES_A_BUCKET)))
        for bucket in range(BUCKETS)
    ]
    each = 10 * BUCKETS  # ten days a commit, and so a manifest
    for at in range(0, len(messages), each):
        commit(table, messages[at : at + each], user="bench")


def _files(day: int, bucket: int) -> tuple[DataFileMeta, ...]:
    count = FILES_A_BUCKET
    firsts = [i * ROWS_A_FILE for i in range(count)]
    lasts = [first + ROWS_A_FILE - 1 for first in firsts]
    low, high = _rows([BIGINT], firsts), _rows([BIGINT], lasts)
    days = [day] * count
    value_low = _rows(VALUES, days, firsts, ["0"] * count, [0] * count, [0.0] * count)
    value_high = _rows(VALUES, days, lasts, ["99999"] * count, [999] * count, [1.0] * count)
    return tuple(
        DataFileMeta(
            file_name=f"data-{clock.current().new_id()}-{i}.parquet", file_size=10_000_000, row_count=ROWS_A_FILE,
            min_key=low[i], max_key=high[i], key_stats=SimpleStats(low[i], high[i], (0,)),
            value_stats=SimpleStats(value_low[i], value_high[i], (0,) * 5),
            min_sequence_number=firsts[i], max_sequence_number=lasts[i], schema_id=0, level=5,
            creation_time_millis=1_700_000_000_000, delete_row_count=0, file_source=1,
        )
        for i in range(count)
    )  # fmt: skip


def _rows(types: Sequence[DataType], *columns: Sequence[Any]) -> list[bytes]:
    return encode_rows([pa.array(c, to_arrow(t)) for c, t in zip(columns, types, strict=True)], types)


if __name__ == "__main__":
    main(sys.argv[1], int(sys.argv[2]))

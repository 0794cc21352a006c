"""A process of its own that appends to a table and upserts into another: racing_writer.py WAREHOUSE USER COUNT."""

import sys

import pyarrow as pa

from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.fs.local import LocalFileIO
from tsdb.table.commit import commit
from tsdb.table.table import Identifier
from tsdb.table.write import TableWriter


def main():
    warehouse, user, count = sys.argv[1], sys.argv[2], int(sys.argv[3])
    catalog = FileSystemCatalog(LocalFileIO(), warehouse)
    names = ("log", "state")
    writers = {}
    for name in names:
        table = catalog.get_table(Identifier("default", name)).with_options({"commit.max-retries": "100"})
        writers[name] = (table, TableWriter(table, user=user))
    print("ready", flush=True)
    sys.stdin.readline()
    for i in range(count):
        for table, writer in writers.values():
            writer.write(pa.table({"k": pa.array([i], pa.int32()), "v": [f"{user}-{i}"]}))
            assert commit(table, writer.prepare_commit(), user=user, identifier=i + 1) is not None
    for _, writer in writers.values():
        writer.close()


if __name__ == "__main__":
    main()

"""Tables without a catalog, and their files read with pyarrow alone."""

import pyarrow.parquet as pq

from tsdb.data_types import DataField, parse_type
from tsdb.fs.local import LocalFileIO
from tsdb.metadata.binary_row import decode_row
from tsdb.metadata.schema import SchemaManager, TableSchema
from tsdb.table.table import Identifier, open_table

SYSTEM = ("_SEQUENCE_NUMBER", "_VALUE_KIND")


def read_message(table, message, *, changelog=False):
    """(file, its rows as dicts with `kind`) for each new file."""
    directory = directory_of(table, message)
    for file in message.changelog_files if changelog else message.new_files:
        rows = pq.ParquetFile(f"{directory}/{file.file_name}").read().to_pylist()
        yield file, [row | {"kind": row.get("_VALUE_KIND", 0)} for row in rows]


def rows_of(rows):
    """Without system columns."""
    return [
        {k: v for k, v in row.items() if not k.startswith("_") and (k != "kind" or "_VALUE_KIND" in row)}
        for row in rows
    ]


def fold(rows, key, sequence_field=None):
    """The last row of each key by (sequence field, order); order is the sequence number where there is one."""
    left = {}

    def order(item):
        i, row = item
        value = row[sequence_field] if sequence_field else None
        return (value is not None, value or 0, row.get("_SEQUENCE_NUMBER", i))

    for _, row in sorted(enumerate(rows), key=order):
        left[tuple(row[k] for k in key)] = {k: v for k, v in row.items() if not k.startswith("_")}
    return left


def make_table(tmp_path, columns, primary_keys, partition_keys, options):
    fields = tuple(DataField(i, name, parse_type(kind)) for i, (name, kind) in enumerate(columns.items()))
    schema = TableSchema(
        0,
        fields,
        partition_keys=partition_keys,
        primary_keys=primary_keys,
        options=options,
        highest_field_id=len(fields) - 1,
    )
    file_io, path = LocalFileIO(), str(tmp_path / "db.db" / "t")
    assert SchemaManager(file_io, path).try_create(schema)
    return open_table(file_io, Identifier("db", "t"), path)


def directory_of(table, message):
    types = [table.schema.field(k).type for k in table.schema.partition_keys]
    values = decode_row(message.partition, types) if types else ()
    return table.paths.bucket(dict(zip(table.schema.partition_keys, values, strict=True)), message.bucket)


def bucket_of_entry(table, entry):
    """The directory of a manifest entry."""
    return directory_of(table, entry)

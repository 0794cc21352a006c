"""`sys.tables`, `sys.partitions`, `sys.all_table_options`, `sys.catalog_options`: what the whole warehouse holds."""

from collections.abc import Iterator

import pyarrow as pa

from tsdb.catalog.catalog import Catalog
from tsdb.catalog.system.partitions import partitions as partitions_of
from tsdb.catalog.system.rows import bigint, required_string, string, table_of
from tsdb.catalog.system.system_table import read_whole
from tsdb.secrets import shown_options
from tsdb.table.newest import newest_files
from tsdb.table.table import Identifier, Table

_FILES = [bigint("record_count"), bigint("file_size_in_bytes"), bigint("file_count"), bigint("last_file_creation_time")]
TABLES = pa.schema(
    [
        required_string("database_name"),
        required_string("table_name"),
        required_string("table_type"),
        pa.field("partitioned", pa.bool_(), False),
        pa.field("primary_key", pa.bool_(), False),
        string("owner"),
        bigint("created_at"),
        string("created_by"),
        bigint("updated_at"),
        string("updated_by"),
        *_FILES,
    ]
)
PARTITIONS = pa.schema(
    [
        required_string("database_name"),
        required_string("table_name"),
        string("partition_name"),
        *_FILES,
        pa.field("done", pa.bool_()),
    ]
)
ALL_TABLE_OPTIONS = pa.schema(
    [required_string("database_name"), required_string("table_name"), required_string("key"), required_string("value")]
)
CATALOG_OPTIONS = pa.schema([required_string("key"), required_string("value")])


def tables(catalog: Catalog) -> pa.Table:
    """Every table that is stored in the warehouse, with the rows and bytes of its files."""
    rows = []
    for identifier, table in _stored(catalog):
        schema = table.schema
        files = [entry.file for entry in newest_files(table)]
        newest = max((f.creation_time_millis for f in files if f.creation_time_millis is not None), default=None)
        created = table.schemas.schema(table.schemas.ids()[0]).time_millis
        rows.append(
            (
                identifier.database, identifier.name, table.options.get("type", "table"), bool(schema.partition_keys),
                bool(schema.primary_keys), schema.options.get("owner"), created, None, schema.time_millis, None,
                sum(f.row_count for f in files), sum(f.file_size for f in files), len(files), newest,
            )
        )  # fmt: skip
    return table_of(rows, TABLES)


def partitions(catalog: Catalog) -> pa.Table:
    """Every partition of every table."""
    rows = []
    for identifier, table in _stored(catalog):
        if not table.schema.partition_keys:
            continue
        for row in read_whole(table, partitions_of).to_pylist():
            newest = row["last_update_time"]
            millis = None if newest is None else int(newest.timestamp() * 1000)
            counts = row["record_count"], row["file_size_in_bytes"], row["file_count"]
            rows.append((identifier.database, identifier.name, row["partition"], *counts, millis, None))
    return table_of(rows, PARTITIONS)


def all_table_options(catalog: Catalog) -> pa.Table:
    """The options of every table."""
    rows = [
        (identifier.database, identifier.name, key, value)
        for identifier, table in _stored(catalog)
        for key, value in sorted(shown_options(table.schema.options).items())
    ]
    return table_of(rows, ALL_TABLE_OPTIONS)


def catalog_options(catalog: Catalog) -> pa.Table:
    """The options of the warehouse."""
    return table_of(sorted(shown_options(catalog.options).items()), CATALOG_OPTIONS)


def _stored(catalog: Catalog) -> Iterator[tuple[Identifier, Table]]:
    for database in catalog.list_databases():
        for name in catalog.list_tables(database):
            identifier = Identifier(database, name)
            table = catalog.get_table(identifier)
            if isinstance(table, Table):
                yield identifier, table

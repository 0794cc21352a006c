"""`t$table_indexes`: the index files of the newest snapshot. `t$aggregation_fields`: how columns are aggregated."""

import re

import pyarrow as pa

from tsdb.catalog.system.rows import listed, partition_text, required_bigint, required_string, string, table_of
from tsdb.data_types import DataType
from tsdb.table.index_change import index_entries
from tsdb.table.scan import partition_values
from tsdb.table.table import Table

_RANGE = pa.struct(
    [
        pa.field("f0", pa.string(), False),
        pa.field("f1", pa.int32(), False),
        pa.field("f2", pa.int32(), False),
        pa.field("_CARDINALITY", pa.int64()),
    ]
)
TABLE_INDEXES = pa.schema(
    [
        string("partition"),
        pa.field("bucket", pa.int32(), False),
        required_string("index_type"),
        required_string("file_name"),
        required_bigint("file_size"),
        required_bigint("row_count"),
        pa.field("dv_ranges", pa.list_(_RANGE)),
    ]
)
AGGREGATION_FIELDS = pa.schema(
    [
        required_string("field_name"),
        required_string("field_type"),
        string("function"),
        string("function_options"),
        string("comment"),
    ]
)


def table_indexes(table: Table) -> pa.Table:
    """The files of deletion vectors and of hash indexes in the newest snapshot."""
    rows = []
    for entry in index_entries(table, table.latest_snapshot()):
        file = entry.file
        ranges = None
        if file.index_type == "DELETION_VECTORS":
            ranges = [
                {"f0": name, "f1": r.offset, "f2": r.length, "_CARDINALITY": r.cardinality}
                for name, r in file.deletion_ranges.items()
            ]
        place = partition_text(partition_values(table, entry.partition), table.schema.partition_types), entry.bucket
        rows.append((*place, file.index_type, file.file_name, file.file_size, file.row_count, ranges))
    return table_of(rows, TABLE_INDEXES)


def aggregation_fields(table: Table) -> pa.Table:
    """Every column with the values and the names of its options, which say how it is aggregated."""
    rows = []
    for field in table.schema.fields:
        prefix = f"fields.{field.name}."
        given = {key: value for key, value in table.schema.options.items() if key.startswith(prefix)}
        functions, options = listed(given.values(), "[]"), listed(given, "[]")
        rows.append((field.name, _type_text(field.type), functions, options, field.description))
    return table_of(rows, AGGREGATION_FIELDS)


def _type_text(kind: DataType) -> str:
    """A type as Paimon prints it."""
    return re.sub(r"TIMESTAMP_LTZ\((\d)\)", r"TIMESTAMP(\1) WITH LOCAL TIME ZONE", kind.sql())

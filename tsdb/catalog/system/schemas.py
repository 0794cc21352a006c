"""`t$schemas`: every version of the schema. `t$options`: the options of the table."""

import json

import pyarrow as pa

from tsdb.catalog.system.rows import REQUIRED_TIME, required_bigint, required_string, string, table_of
from tsdb.secrets import shown_options
from tsdb.table.table import Table

SCHEMAS = pa.schema(
    [
        required_bigint("schema_id"),
        required_string("fields"),
        required_string("partition_keys"),
        required_string("primary_keys"),
        required_string("options"),
        string("comment"),
        pa.field("update_time", REQUIRED_TIME, False),
    ]
)
OPTIONS = pa.schema([required_string("key"), required_string("value")])


def schemas(table: Table) -> pa.Table:
    """One row a version, oldest first; fields, keys and options as JSON."""
    rows = []
    for schema_id in table.schemas.ids():
        s = table.schemas.schema(schema_id)
        fields = json.dumps([f.to_json() for f in s.fields], separators=(",", ":"), ensure_ascii=False)
        keys = [
            json.dumps(list(names), separators=(",", ":"), ensure_ascii=False)
            for names in (s.partition_keys, s.primary_keys)
        ]
        options = json.dumps(shown_options(s.options), separators=(",", ":"), ensure_ascii=False)
        rows.append((s.id, fields, *keys, options, s.comment, s.time_millis))
    return table_of(rows, SCHEMAS)


def options(table: Table) -> pa.Table:
    """One row an option, as the newest schema has them."""
    return table_of(sorted(shown_options(table.schema.options).items()), OPTIONS)

"""Statistics of a whole table, `statistics/stat-<id>-<k>`, that ANALYZE makes for the planners of other engines.

Counts are those of the merged rows. A snapshot names its statistics; the next ones inherit them until the schema
changes. Source: Paimon, `Statistics`, `ColStats`, `StatsFileHandler`.
"""

import decimal
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tsdb import clock
from tsdb.data_types import DataField
from tsdb.errors import CorruptFile, ProgrammingError, nearest
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.read import read_plan
from tsdb.table.scan import live_files, plan_scan
from tsdb.table.table import Table

KEYS = ("colId", "distinctCount", "min", "max", "nullCount", "avgLen", "maxLen")
"""What is known of a column, in Paimon's order; what is absent is not known."""


@dataclass(frozen=True, slots=True)
class Statistics:
    """The JSON of a statistics file. columns: by name, what `KEYS` lists."""

    snapshot_id: int
    schema_id: int
    merged_record_count: int | None
    merged_record_size: int | None
    columns: Mapping[str, Mapping[str, Any]]


def find_statistics(table: Table, snapshot: Snapshot | None) -> Statistics | None:
    """Those that the snapshot names. Raises CorruptFile."""
    if snapshot is None or snapshot.statistics is None:
        return None
    path = _path(table, snapshot.statistics)
    try:
        spec = json.loads(table.file_io.read_bytes(path))
        return Statistics(
            spec["snapshotId"],
            spec["schemaId"],
            spec.get("mergedRecordCount"),
            spec.get("mergedRecordSize"),
            spec.get("colStats") or {},
        )
    except FileNotFoundError as err:
        raise CorruptFile(f"statistics file {path} is missing") from err
    except (KeyError, TypeError, ValueError) as err:
        raise CorruptFile(f"statistics file {path} cannot be read: {err}") from err


def write_statistics(table: Table, snapshot: Snapshot, columns: Sequence[str]) -> str:
    """Read the merged rows of a snapshot and write what they are like; the name of the file.

    columns: of which to keep statistics. Reads one column at a time, and needs memory for it. Raises ProgrammingError
    for a column that is none.
    """
    for name in columns:
        if name not in table.schema.names:
            raise ProgrammingError(
                f"table `{table.identifier}` has no column `{name}`.{nearest(name, table.schema.names)}"
            )
    plan = plan_scan(table, snapshot)
    count = sum(batch.num_rows for batch in read_plan(table, plan, [table.schema.names[0]]))
    size = sum(entry.file.file_size for entry in live_files(table, snapshot))
    spec = {
        "snapshotId": snapshot.id,
        "schemaId": snapshot.schema_id,
        "mergedRecordCount": count,
        "mergedRecordSize": size,
        "colStats": {name: _column(table, snapshot, table.schema.field(name)) for name in columns},
    }
    name = f"stat-{clock.current().new_id()}-0"
    table.file_io.write_bytes(_path(table, name), json.dumps(spec, indent=2).encode())
    return name


def delete_statistics(table: Table, name: str) -> None:
    """Delete a file that no snapshot names."""
    table.file_io.delete(_path(table, name))


def _path(table: Table, name: str) -> str:
    return f"{table.path}/statistics/{name}"


def _column(table: Table, snapshot: Snapshot, field: DataField) -> dict[str, Any]:
    batches = read_plan(table, plan_scan(table, snapshot), [field.name])
    kind = table.schema.arrow_schema.field(field.name).type
    values = pa.chunked_array([batch.column(0).cast(kind) for batch in batches], kind)
    found: dict[str, Any] = {"colId": field.id, "nullCount": values.null_count}
    if pa.types.is_nested(kind):
        return found
    found["distinctCount"] = pc.count_distinct(values, mode="only_valid").as_py()
    if pa.types.is_string(kind) or pa.types.is_binary(kind):
        lengths = pc.binary_length(values)
        if len(values) > values.null_count:
            found["avgLen"] = round(pc.mean(lengths).as_py())
            found["maxLen"] = pc.max(lengths).as_py()
    else:
        found["avgLen"] = found["maxLen"] = max(kind.bit_width // 8, 1)
    if not pa.types.is_binary(kind) and len(values) > values.null_count:
        limits = pc.min_max(values)
        found["min"], found["max"] = _text(limits["min"]), _text(limits["max"])
    return found


def _text(value: pa.Scalar) -> str:
    """A value as the serializers of Paimon write it: dates as days, times as milliseconds."""
    kind = value.type
    if pa.types.is_timestamp(kind):
        text = str(value.cast(pa.timestamp(kind.unit)).cast(pa.string()))
        return text.removesuffix(".000000000")
    if pa.types.is_date(kind):
        return str(value.cast(pa.int32()).as_py())
    if pa.types.is_time(kind):
        return str(value.cast(pa.time32("ms")).cast(pa.int32()).as_py())
    found = value.as_py()
    if isinstance(found, bool):
        return "true" if found else "false"
    return f"{found:f}" if isinstance(found, decimal.Decimal) else str(found)

"""A list of Parquet files as a table that DataFusion scans itself: footers cached, row groups and pages pruned,
columns decoded late.

DataFusion's Python API registers one file or one directory, but its serialised plan of a file scan holds a list of
paths. So the plan for the first file is serialised, the other paths are appended to it, and it is read back; Protocol
Buffers lets repeated fields stand anywhere.

Source: DataFusion's `datafusion.proto` (LogicalPlanNode.listing_scan = 1; ListingTableScanNode.paths = 2).
"""

from __future__ import annotations

from collections.abc import Sequence
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
from datafusion import DataFrame, SessionContext
from datafusion.plan import LogicalPlan

from tsdb.errors import CorruptFile

_LATE = "datafusion.execution.parquet.pushdown_filters"
_LISTING_SCAN = 0x0A
_PATHS = 0x12


def parquet_scan(
    context: SessionContext, name: str, paths: Sequence[str], schema: pa.Schema, *, late: bool, views: bool = False
) -> DataFrame:
    """The rows of the files, as a relation to be registered in `context`. Columns that `schema` lacks are not read.

    name: not taken in the context; it shows in plans. paths: absolute, of local files, at least one. late: filters run
    inside the scan, which then reads the other columns of the rows that are left only. views: strings are string views.
    """
    urls = [f"file://{quote(path)}" for path in paths]
    plain = pa.schema([_as_view(field.remove_metadata()) if views else field.remove_metadata() for field in schema])
    if late:
        context.sql(f"SET {_LATE} = true")  # a relation takes the setting with it
    context.register_parquet(name, urls[0], schema=plain, skip_metadata=True)
    if late:
        context.sql(f"SET {_LATE} = false")
    plan = context.table(name).logical_plan()
    context.deregister_table(name)
    if len(urls) > 1:
        plan = LogicalPlan.from_bytes(context, with_paths(plan.to_bytes(context), urls[1:]))
    return context.create_dataframe_from_logical_plan(plan)


def damaged_file(paths: Sequence[str]) -> CorruptFile | None:
    """An error that names the first of the files that cannot be read, which DataFusion's own errors do not."""
    for path in paths:
        try:
            with pq.ParquetFile(path) as file:
                for _ in file.iter_batches():
                    pass
        except (pa.ArrowException, OSError) as err:
            return CorruptFile(f"data file {path} cannot be read: {err}")
    return None


def _as_view(field: pa.Field) -> pa.Field:
    return field.with_type(pa.string_view()) if pa.types.is_string(field.type) else field


def with_paths(plan: bytes, urls: Sequence[str]) -> bytes:
    """The serialised plan of a file scan with more files."""
    assert plan[0] == _LISTING_SCAN, "the plan is a file scan"
    length, start = _read_varint(plan, 1)
    assert start + length == len(plan), "the plan is nothing but a file scan"
    more = b"".join(bytes([_PATHS]) + _varint(len(url)) + url for url in map(str.encode, urls))
    return bytes([_LISTING_SCAN]) + _varint(length + len(more)) + plan[start:] + more


def _varint(number: int) -> bytes:
    out = bytearray()
    while number > 127:
        out.append(number & 127 | 128)
        number >>= 7
    return bytes([*out, number])


def _read_varint(data: bytes, start: int) -> tuple[int, int]:
    """The number at `start`, and where it ends."""
    number = shift = 0
    while True:
        byte = data[start]
        start += 1
        number |= (byte & 127) << shift
        shift += 7
        if byte < 128:
            return number, start

"""Whether a scan of Parquet files filters rows itself, before it reads the columns that the filters do not look at.

It spares the decoding of what is filtered away, and costs more for all that is left: measured on TPC-H, a filter inside
the scan makes queries up to half slower where rows are narrow or most of them pass.
"""

from __future__ import annotations

import pyarrow as pa

from tsdb.metadata.predicate import And, Comparison, Or, Predicate, columns
from tsdb.table.scan import ScanPlan

_LONG, _WIDE = 4, 8  # a string counts as four numbers
_WIDE_BYTES = 32
_FEW_VALUES = 3


def filters_early(schema: pa.Schema, predicate: Predicate | None, plan: ScanPlan | None, names: set[str]) -> bool:
    """schema: of the relation. predicate: what is known of its filters. plan: of its files, None: not known. names:
    the columns that are read.
    """
    left = names - (set() if predicate is None else columns(predicate))
    if plan is not None and _row_bytes(plan) * len(left) >= _WIDE_BYTES * len(schema):
        return True
    fields = (field for field in schema if field.name in left)
    width = sum(1 if pa.types.is_primitive(field.type) else _LONG for field in fields)
    return width >= _WIDE and predicate is not None and _leaves_few(predicate)


def _row_bytes(plan: ScanPlan) -> float:
    """What a row takes in the files, compressed."""
    files = [file for split in plan.splits for file in split.files]
    return sum(file.file_size for file in files) / max(sum(file.row_count for file in files), 1)


def _leaves_few(predicate: Predicate) -> bool:
    """Whether it looks as if few rows pass: a column equals one of few constants."""
    match predicate:
        case And(children):
            return any(map(_leaves_few, children))
        case Or(children):
            return all(map(_leaves_few, children))
        case Comparison(op, _, values):
            return op == "=" or (op == "in" and len(values) <= _FEW_VALUES)

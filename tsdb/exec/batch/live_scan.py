"""A primary-key table as a scan of DataFusion's own: its Parquet files, under a filter on the sequence number of the
rows. So join orders follow the files' statistics, and what a join or a LIMIT learns while it runs reaches the scan.

The filter is handed down into the scan. So the planner goes on counting all rows of the files, which is nearer to the
truth than the fifth that it takes an unknown filter above a scan to keep.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce

import numpy as np
import pyarrow as pa
from datafusion import DataFrame, SessionContext, col, lit, udf

from tsdb.exec.batch.dataset import Control, guarded
from tsdb.exec.batch.parquet_files import parquet_scan
from tsdb.exec.plan import quoted
from tsdb.format.parquet import SEQUENCE_NUMBER
from tsdb.table.live_rows import LiveFiles

_LIVES = "__lives"


def live_scan(
    context: SessionContext, name: str, files: Sequence[LiveFiles], schema: pa.Schema, control: Control
) -> DataFrame:
    """The live rows of the files, of which there is at least one, as a relation to be registered in `context`.

    name: that of the relation, which no other one has.
    """
    parts = (_part(context, f"{name}_{i}", part, schema, control) for i, part in enumerate(files))
    return reduce(DataFrame.union, parts)


def _part(context: SessionContext, name: str, part: LiveFiles, schema: pa.Schema, control: Control) -> DataFrame:
    if part.numbers is None:
        return parquet_scan(context, "files", part.paths, schema)
    numbered = schema.append(pa.field(SEQUENCE_NUMBER, pa.int64()))
    rows = parquet_scan(context, "files", part.paths, numbered)
    lives = udf(_lives(part, control), [pa.int64()], pa.int8(), "volatile", f"row_lives_{name}")
    columns = [col(quoted(name)) for name in schema.names]
    marked = rows.select(*columns, lives(col(quoted(SEQUENCE_NUMBER))).alias(_LIVES))
    return marked.filter(col(quoted(_LIVES)) > lit(0)).select(*columns)


def _lives(part: LiveFiles, control: Control) -> Callable[[pa.Array], pa.Array]:
    flags, first = part.flags(), part.first

    def lives(numbers: pa.Array) -> pa.Array:
        with guarded(control):
            return pa.array(flags[np.asarray(numbers) - first].view(np.int8))

    return lives

"""A table of whose files some rows are dead, as a scan of DataFusion's own: it reads the Parquet files, under a filter
on the position of each row in its file. So join orders follow the files' statistics, and filters, and what a join or a
LIMIT learns while it runs, reach the scan.

DataFusion says of every row which file it is from (by the path) and at which position it stands there. The path is made
a number inside the scan, where it still is one value for a whole batch: its end is looked for in a text that has the
ends of all paths. A function of ours then looks the row up in one array that has a flag for each row of each file.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datafusion import DataFrame, Expr, SessionContext, col, lit, udf
from datafusion import functions as f

from tsdb.exec.batch.dataset import Control, guarded
from tsdb.exec.batch.parquet_files import parquet_scan
from tsdb.exec.plan import quoted
from tsdb.table.live_rows import LiveFile

UNPLACED = "file_row_index() is source dependent"
"""In the error for a row whose place is asked for outside of the scan."""

_PLACE = "__place"
_FILES_MAX = 256
"""With more files the ones of which all rows live are a scan of their own."""
_ENDS = (16, 32, 64)
_FILE_BITS = 40
_UNKNOWN = -(1 << 62)  # a file that is none of ours: an index that no array has

_Lookup = Callable[[pa.Array], pa.Array]


def live_scan(
    context: SessionContext,
    name: str,
    files: Sequence[LiveFile],
    schema: pa.Schema,
    control: Control,
    *,
    late: bool,
    views: bool,
) -> DataFrame:
    """The live rows of the files, of which there is at least one, as a relation to be registered in `context`.

    name: that of the relation, which no other one has. late, views: as in `parquet_scan`, late only where all live.
    """
    whole = [file.path for file in files if file.mask is None]
    if len(whole) == len(files):
        return parquet_scan(context, "files", whole, schema, late=late, views=views)
    if len(files) <= _FILES_MAX:
        return _masked(context, name, files, schema, control, views)
    masked = [file for file in files if file.mask is not None]
    return _masked(context, name, masked, schema, control, views).union(
        parquet_scan(context, "files", whole, schema, late=late, views=views)
    )


def asks_elsewhere(rows: DataFrame) -> bool:
    """Whether the plan asks for the place of a row behind the scan, which it does when a lone file is dealt out to
    several threads: rows have lost their places there.
    """
    lines = rows.execution_plan().display_indent().splitlines()
    return any("file_row_index()" in line and "DataSourceExec" not in line for line in lines)


def _masked(
    context: SessionContext, name: str, files: Sequence[LiveFile], schema: pa.Schema, control: Control, views: bool
) -> DataFrame:
    paths = [file.path for file in files]
    ends = path_ends([path.removeprefix("/") for path in paths])
    text = "\n".join(ends)
    lives = udf(_lives(files, [text.index(end) + 1 for end in ends], control), [pa.int64()], pa.bool_(), "volatile",
                f"row_lives_{name}")  # fmt: skip
    end = f.right(f.input_file_name(), lit(pa.scalar(len(ends[0]))))
    file: Expr = f.strpos(lit(pa.scalar(text)), end).cast(pa.int64())
    columns = [col(quoted(column)) for column in schema.names]
    # a filter above the scan would come in between
    rows = parquet_scan(context, "files", paths, schema, late=True, views=views)
    placed = rows.select(*columns, (f.file_row_index() + file * lit(pa.scalar(1 << _FILE_BITS))).alias(_PLACE))
    return placed.filter(lives(col(quoted(_PLACE)))).select(*columns)


def path_ends(paths: Sequence[str]) -> list[str]:
    """The last characters of each path, as few as tell them apart, and as many of each."""
    for length in (*_ENDS, max(map(len, paths))):
        ends = [path[-length:].rjust(length, "\n") for path in paths]
        if len(set(ends)) == len(ends):
            break
    return ends


def _lives(files: Sequence[LiveFile], numbers: Sequence[int], control: Control) -> _Lookup:
    """By place, whether the row lives. A place is the number of the file and, in the lower bits, the row's position."""
    flags, starts = flags_of(files)
    shift = np.full(max(numbers) + 1, _UNKNOWN, np.int64)
    shift[list(numbers)] = np.array(starts) - (np.array(numbers) << _FILE_BITS)

    def lives(places: pa.Array) -> pa.Array:
        with guarded(control):
            at = np.asarray(places)
            of = at >> _FILE_BITS
            same = bool(len(of)) and bool((of == of[0]).all())  # as good as always
            return pa.array(flags[at + shift[of[0] if same else of]])

    return lives


def flags_of(files: Sequence[LiveFile]) -> tuple[npt.NDArray[np.bool_], list[int]]:
    """A flag for each row, and where the flags of each file start. Files of which all rows live share theirs."""
    whole = max((file.row_count for file in files if file.mask is None), default=0)
    flags = [np.ones(whole, np.bool_)]
    starts, end = [], whole
    for file in files:
        starts.append(0 if file.mask is None else end)
        if file.mask is not None:
            flags.append(file.mask)
            end += file.row_count
    return np.concatenate(flags), starts

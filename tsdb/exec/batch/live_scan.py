"""A table of whose files some rows are dead, as a scan of DataFusion's own: it reads the Parquet files, under a filter
on the position of each row in its file. So join orders follow the files' statistics, and filters, and what a join or a
LIMIT learns while it runs, reach the scan.

DataFusion says of every row at which position of its file it stands. A few files are a scan each, which adds where the
flags of its file begin; of many it is asked which file a row is from, which takes longer than to read a number of the
row: the path is made a number inside the scan, by looking for its end in a text that has the ends of all paths. A
function of ours then looks the row up in one array that has a flag for each row of each file.

Where the query has no filter on the relation the scan gives out the flag, and the filter compares it: of a comparison
DataFusion assumes that most rows pass, of a function that few do, and it orders joins by that. It would carry the
comparison to below a filter of the query's own, where rows have no positions; there the filter calls the function.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import reduce
from itertools import accumulate

import numpy as np
import numpy.typing as npt
import pyarrow as pa
from datafusion import DataFrame, Expr, ScalarUDF, SessionContext, col, lit, udf
from datafusion import functions as f
from datafusion.plan import ExecutionPlan

from tsdb.exec.batch.dataset import Control, guarded
from tsdb.exec.batch.parquet_files import parquet_scan
from tsdb.exec.plan import quoted
from tsdb.table.data_file_reader import Mask
from tsdb.table.live_rows import LiveFile

UNPLACED = "file_row_index() is source dependent"
"""In the error for a row whose place is asked for outside of the scan."""

_ADDED = "__lives"
_ALONE_MAX = 32
"""As many files with dead rows are a scan each."""
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
    narrowed: bool,
    late: bool,
    views: bool,
) -> DataFrame:
    """The live rows of the files, of which there is at least one, as a relation to be registered in `context`.

    name: that of the relation, which no other one has. narrowed: the query has a filter on it. late, views: as in
    `parquet_scan`, late only for files where all live.
    """
    whole = [file.path for file in files if file.mask is None]
    masks = {file.path: file.mask for file in files if file.mask is not None}
    scans = []
    if whole:
        scans.append(parquet_scan(context, "files", whole, schema, late=late, views=views))
    if masks:
        groups, numbers = _numbered(list(masks))
        kind = pa.bool_() if narrowed else pa.int8()
        found = _flags_at(list(masks.values()), numbers, control, kind)
        lives = udf(found, [pa.int64()], kind, "volatile", f"row_lives_{name}")
        for paths, number in groups:
            # a filter above the scan would come in between
            rows = parquet_scan(context, "files", paths, schema, late=True, views=views)
            scans.append(_living(rows, number, lives, schema, narrowed))
    return reduce(DataFrame.union, scans)


def asks_elsewhere(plan: ExecutionPlan) -> bool:
    """Whether the plan asks for the place of a row behind the scan, which it does when a lone file is dealt out to
    several threads: rows have lost their places there.
    """
    lines = plan.display_indent().splitlines()
    return any("file_row_index()" in line and "DataSourceExec" not in line for line in lines)


def _living(rows: DataFrame, number: Expr, lives: ScalarUDF, schema: pa.Schema, narrowed: bool) -> DataFrame:
    columns = [col(quoted(column)) for column in schema.names]
    place = f.file_row_index() + number
    if narrowed:
        return rows.select(*columns, place.alias(_ADDED)).filter(lives(col(quoted(_ADDED)))).select(*columns)
    flagged = rows.select(*columns, lives(place).alias(_ADDED))
    return flagged.filter(col(quoted(_ADDED)) >= lit(pa.scalar(1, pa.int8()))).select(*columns)


def _numbered(paths: Sequence[str]) -> tuple[list[tuple[list[str], Expr]], Sequence[int]]:
    """The paths of each scan with the number of the row's file, in its upper bits; and the number of each path."""
    if len(paths) <= _ALONE_MAX:
        numbers: Sequence[int] = range(len(paths))
        return [([path], lit(pa.scalar(n << _FILE_BITS))) for path, n in zip(paths, numbers, strict=True)], numbers
    ends = path_ends([path.removeprefix("/") for path in paths])
    text = "\n".join(ends)
    end = f.right(f.input_file_name(), lit(pa.scalar(len(ends[0]))))
    number: Expr = f.strpos(lit(pa.scalar(text)), end).cast(pa.int64()) * lit(pa.scalar(1 << _FILE_BITS))
    return [(list(paths), number)], [text.index(end) + 1 for end in ends]


def path_ends(paths: Sequence[str]) -> list[str]:
    """The last characters of each path, as few as tell them apart, and as many of each."""
    for length in (*_ENDS, max(map(len, paths))):
        ends = [path[-length:].rjust(length, "\n") for path in paths]
        if len(set(ends)) == len(ends):
            break
    return ends


def _flags_at(masks: Sequence[Mask], numbers: Sequence[int], control: Control, kind: pa.DataType) -> _Lookup:
    """By place, whether the row lives, as truth values or as 1 and 0. A place is the number of the file and, in the
    lower bits, the row's position.
    """
    flags = np.concatenate(masks)
    begins = np.array([0, *accumulate(len(mask) for mask in masks[:-1])])
    shift = np.full(max(numbers) + 1, _UNKNOWN, np.int64)
    shift[list(numbers)] = begins - (np.array(numbers) << _FILE_BITS)

    def lives(places: pa.Array) -> pa.Array:
        with guarded(control):
            found = flags[_in_flags(np.asarray(places), shift)]
            return pa.array(found if kind == pa.bool_() else found.view(np.int8))

    return lives


def _in_flags(at: npt.NDArray[np.int64], shift: npt.NDArray[np.int64]) -> slice | npt.NDArray[np.int64]:
    """Where the flags of places are. A batch is of one file, and as good as always of rows that follow each other."""
    if not len(at):
        return slice(0, 0)
    first, last = int(at[0]), int(at[-1])
    if last - first == len(at) - 1 and first >> _FILE_BITS == last >> _FILE_BITS and bool((np.diff(at) == 1).all()):
        start = first + int(shift[first >> _FILE_BITS])
        return slice(start, start + len(at)) if start >= 0 else at + (start - first)
    of = at >> _FILE_BITS
    places: npt.NDArray[np.int64] = at + shift[of]
    return places

"""Statistics of columns: smallest and largest value and the number of NULLs, as manifests keep them to prune files.

By default long strings are cut to 16 characters, the largest rounded up so that it still bounds; binary and nested
columns have none.
Source: Paimon, `SimpleStatsCollector`, `SimpleColStatsCollector`.
"""

import re
from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from tsdb.data_types import MAX_LENGTH, DataField, DataType, TypeRoot, to_arrow
from tsdb.errors import OptionError
from tsdb.metadata.binary_row import decode_row, encode_rows
from tsdb.metadata.data_file import EMPTY_STATS, DataFileMeta, SimpleStats
from tsdb.metadata.schema import TableSchema
from tsdb.options import TableOptions

DEFAULT_MODE = "truncate(16)"
KEY_MODE = "truncate(128)"  # of the statistics of primary keys, whatever the table's mode is
Range = tuple[Any, Any, int | None]  # smallest, largest (None: unknown or all NULL), number of NULLs (None: unknown)

_NESTED = (TypeRoot.ARRAY, TypeRoot.MAP, TypeRoot.MULTISET, TypeRoot.ROW, TypeRoot.VARIANT, TypeRoot.BLOB)
_BINARY = (TypeRoot.BINARY, TypeRoot.VARBINARY)
_MAX_CHAR = 0x10FFFF


def compute_stats(
    rows: pa.Table | pa.RecordBatch,
    fields: Sequence[DataField],
    *,
    mode: str = DEFAULT_MODE,
    modes: Mapping[str, str] | None = None,
    dense: bool = True,
) -> tuple[SimpleStats, tuple[str, ...] | None]:
    """The statistics of the columns, and the names they are of (None: of all fields in order).

    mode: a value of 'metadata.stats-mode': `none`, `counts` (of NULLs only), `truncate(n)` or `full`; else OptionError.
    modes: other ones for columns by name. dense: leave out columns that have none, else they have empty ones.
    """
    lengths = {f.name: 0 if f.type.root in _NESTED else _length((modes or {}).get(f.name, mode)) for f in fields}
    kept = [f for f in fields if lengths[f.name] != 0 or not dense]
    if not kept:
        return EMPTY_STATS, () if fields else None
    ranges, nulls = [], []
    for field in kept:
        column, length = rows.column(field.name), lengths[field.name]
        smallest, largest = _extremes(column, field, length) if length else (None, None)
        ranges.append(pa.array([smallest, largest], to_arrow(field.type)))
        nulls.append(None if length == 0 else column.null_count)
    types = [f.type for f in kept]
    low, high = encode_rows(ranges, types)
    stats = SimpleStats(low, high, tuple(nulls))
    return stats, None if len(kept) == len(fields) else tuple(f.name for f in kept)


def stats_modes(options: TableOptions, names: Sequence[str]) -> dict[str, str]:
    """The mode of each column: its own, none after the first n if only those are kept, else that of the table."""
    first, mode = options.integer("metadata.stats-keep-first-n-columns"), options.get("metadata.stats-mode") or ""
    return {
        name: options.get(f"fields.{name}.stats-mode") or ("none" if 0 <= first <= i else mode or DEFAULT_MODE)
        for i, name in enumerate(names)
    }


def check_stats_modes(options: TableOptions, names: Sequence[str]) -> None:
    """Raise OptionError for a mode that is none."""
    for mode in stats_modes(options, names).values():
        _length(mode)


@lru_cache(maxsize=64)
def _length(mode: str) -> int | None:
    """To how many characters texts are cut; None: only NULLs are counted; 0: nothing is kept."""
    match = re.fullmatch(r"\s*(?:(none)|(counts)|(full)|truncate\((\d{1,9})\))\s*", mode.lower())
    if match is None or (match[4] and int(match[4]) == 0):
        raise OptionError(f"'metadata.stats-mode' is 'none', 'counts', 'full' or 'truncate(n)', n > 0; not '{mode}'")
    return 0 if match[1] else None if match[2] else MAX_LENGTH if match[3] else int(match[4])


def _extremes(column: pa.ChunkedArray | pa.Array, field: DataField, length: int) -> tuple[Any, Any]:
    root = field.type.root
    if root in _BINARY or is_wide_timestamp(field.type):
        return None, None
    if root in (TypeRoot.FLOAT, TypeRoot.DOUBLE) and pc.any(pc.is_nan(column)).as_py():
        return None, None  # NaN has no place between a smallest and a largest value
    low, high = pc.min_max(column).values()
    if root not in (TypeRoot.CHAR, TypeRoot.VARCHAR) or not low.is_valid:
        return low, high
    largest = _truncated_up(high.as_py(), length)
    return (None, None) if largest is None else (low.as_py()[:length], largest)


def _truncated_up(text: str, length: int) -> str | None:
    """The shortest string that bounds `text` from above within the length; None if there is none."""
    if len(text) <= length:
        return text
    cut = text[:length]
    for i in range(len(cut) - 1, -1, -1):
        following = ord(cut[i]) + 1
        if 0xD800 <= following <= 0xDFFF:
            following = 0xE000
        if following <= _MAX_CHAR:
            return cut[:i] + chr(following)
    return None


def column_ranges(file: DataFileMeta, schema: TableSchema) -> Mapping[str, Range]:
    """What a file's statistics say of its columns, by their names then. schema: the one it was written with."""
    names = schema.names if file.value_stats_cols is None else file.value_stats_cols
    stats = file.value_stats
    if not names or stats.null_counts is None or not stats.null_counts:
        return {}
    types = [schema.field(n).type for n in names]
    low, high = decode_row(stats.min_values, types), decode_row(stats.max_values, types)
    ranges: dict[str, Range] = {}
    for i, (name, kind) in enumerate(zip(names, types, strict=True)):
        # a Python time ends at microseconds, so it may lie below a largest value in nanoseconds
        bounded = not is_wide_timestamp(kind)
        ranges[name] = (low[i] if bounded else None, high[i] if bounded else None, stats.null_counts[i])
    return ranges


def unpadded(low: Any, kind: DataType) -> Any:
    """A smallest value that bounds texts of type CHAR(n) also where an ORC writer has filled them up with spaces."""
    if kind.root is not TypeRoot.CHAR or not isinstance(low, str):
        return low
    return re.split(r"[\x00-\x1f]", low, maxsplit=1)[0].rstrip(" ")


def is_wide_timestamp(kind: DataType) -> bool:
    """Whether it is a timestamp of more digits than a Python value has."""
    return kind.root in (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ) and kind.precision > 6

"""What the type of a column says of values inside of it: lengths, and NOT NULL in rows, arrays and maps."""

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.data_types import MAX_LENGTH, DataType, TypeRoot
from tsdb.errors import DataError

Rows = npt.NDArray[np.int64]  # for each value, the number of the row it is in


def check_values(values: pa.ChunkedArray, kind: DataType, where: str, first_row: int) -> None:
    """Raise DataError for a value that is too long for its type, or a NULL that may not be, at any depth.

    The column's own NULLs are not looked at. where: the column, for messages; first_row: the number of the first row.
    """
    if not _has_rules(kind):
        return
    for chunk in values.chunks:
        _check(chunk, kind, where, np.arange(first_row, first_row + len(chunk)))
        first_row += len(chunk)


def _has_rules(kind: DataType) -> bool:
    inner = [part for part in (kind.element, kind.key, kind.value) if part is not None]
    inner += [field.type for field in kind.fields]
    is_map = kind.root in (TypeRoot.MAP, TypeRoot.MULTISET)
    return kind.length not in (0, MAX_LENGTH) or is_map or any(not p.nullable or _has_rules(p) for p in inner)


def _check(array: pa.Array, kind: DataType, where: str, rows: Rows) -> None:
    if kind.length not in (0, MAX_LENGTH):
        _check_length(array, kind, where, rows)
    elif kind.root is TypeRoot.ROW:
        present = _valid(array)
        kept = array.filter(pa.array(present)) if array.null_count else array
        for i, field in enumerate(kind.fields):
            _check_part(kept.field(i), field.type, f"`{field.name}` of {where}", rows[present])
    elif kind.root is TypeRoot.ARRAY and kind.element is not None:
        _check_part(array.flatten(), kind.element, f"an element of {where}", np.repeat(rows, _sizes(array)))
    elif kind.root in (TypeRoot.MAP, TypeRoot.MULTISET):
        key = kind.key if kind.root is TypeRoot.MAP else kind.element
        assert key is not None
        offsets = np.asarray(array.offsets)
        shown = np.repeat(_valid(array), np.diff(offsets))
        owners = np.repeat(rows, _sizes(array))
        keys, items = (
            part.slice(offsets[0], offsets[-1] - offsets[0]).filter(pa.array(shown))
            for part in (array.keys, array.items)
        )
        _check_part(keys, key.with_nullable(False), f"a key of {where}", owners)
        if kind.value is not None:
            _check_part(items, kind.value, f"a value of {where}", owners)


def _check_part(array: pa.Array, kind: DataType, where: str, rows: Rows) -> None:
    if not kind.nullable and array.null_count:
        row = rows[int(np.flatnonzero(~_valid(array))[0])]
        raise DataError(f"NULL in row {row}: {where} is NOT NULL; give a value")
    _check(array, kind, where, rows)


def _check_length(array: pa.Array, kind: DataType, where: str, rows: Rows) -> None:
    is_text = pa.types.is_string(array.type)
    lengths = pc.utf8_length(array) if is_text else pc.binary_length(array)
    longest = pc.max(lengths).as_py()
    if longest is None or longest <= kind.length:
        return
    at = int(np.flatnonzero(pc.greater(lengths, kind.length).fill_null(False).to_numpy(zero_copy_only=False))[0])
    raise DataError(
        f"the value {array[at].as_py()!r} in row {rows[at]} has {lengths[at].as_py()} "
        f"{'characters' if is_text else 'bytes'}, but {where} is {kind.sql()}; shorten it, or widen the column"
    )


def _valid(array: pa.Array) -> npt.NDArray[np.bool_]:
    return np.asarray(array.is_valid().to_numpy(zero_copy_only=False))


def _sizes(array: pa.Array) -> npt.NDArray[np.int64]:
    """How many values are in each list or map; 0 in NULL."""
    offsets = np.asarray(array.offsets)
    return np.where(_valid(array), np.diff(offsets), 0)

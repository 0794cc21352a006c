"""Times that a file can hold: many formats are read as nanoseconds in 64 bits, which end in 1677 and 2262."""

from collections.abc import Iterator

import pyarrow as pa
import pyarrow.compute as pc

from tsdb.errors import DataError

_PER_MILLI = {"us": 1000, "ns": 1_000_000}


def check_nanoseconds(rows: pa.Table, reason: str) -> None:
    """Raise DataError for a time outside the years 1678 to 2261, which nanoseconds do not reach.

    reason: what the column's file cannot do, and what to do about it; the end of the message.
    """
    for column, values in _timestamps(rows):
        kind = values.type
        try:
            values.cast(pa.timestamp("ns", kind.tz))
        except pa.ArrowInvalid as err:
            low, high = (value.cast(pa.int64()).as_py() for value in pc.min_max(values).values())
            raise DataError(
                f"column `{column}` has a time outside the years 1678 to 2261 ({low} to {high} {kind.unit} since "
                f"1970), {reason}"
            ) from err


def check_milliseconds_before_1970(rows: pa.Table, reason: str) -> None:
    """Raise DataError for a time before 1970 that has more digits than those of a millisecond."""
    for column, values in _timestamps(rows):
        if values.type.unit in _PER_MILLI and values.null_count < len(values):
            counts = values.cast(pa.int64()).drop_null().to_numpy()
            wrong = counts[(counts < 0) & (counts % _PER_MILLI[values.type.unit] != 0)]
            if len(wrong):
                at = pa.scalar(int(wrong[0]), values.type)
                raise DataError(f"column `{column}` has the time {at}, {reason}")


def _timestamps(rows: pa.Table) -> Iterator[tuple[str, pa.Array]]:
    """The arrays of timestamps at any depth, with the names of their columns."""
    for name, column in zip(rows.column_names, rows.columns, strict=True):
        for chunk in column.chunks:
            for values in _leaves(chunk):
                yield name, values


def _leaves(values: pa.Array) -> Iterator[pa.Array]:
    kind = values.type
    if pa.types.is_timestamp(kind):
        yield values
    elif pa.types.is_map(kind):
        yield from _leaves(values.keys)
        yield from _leaves(values.items)
    elif pa.types.is_list(kind):
        yield from _leaves(values.values)
    elif pa.types.is_struct(kind):
        for i in range(kind.num_fields):
            yield from _leaves(values.field(i))

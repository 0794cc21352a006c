"""The connector `datagen`: made-up rows, the same ones in every run.

Row n of field f depends only on (seed, f, n): the position is the number of rows made, and seeking costs nothing.
"""

from collections.abc import Iterator, Mapping

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb import clock
from tsdb.changes import inserts
from tsdb.connector.connector import ChangelogMode, ConnectorTable, Json, Sink, SourceDelta
from tsdb.connector.connector_options import check
from tsdb.errors import NotSupportedError, OptionError
from tsdb.options import OptionSpec

_ROWS = 1 << 16
_FIELD_OPTIONS = ("kind", "min", "max", "start", "end", "length", "seed")


class DatagenConnector:
    """See `Connector`."""

    name = "datagen"
    options = (
        OptionSpec("rows-per-second", "int", "10000", "How fast a streaming query gets rows."),
        OptionSpec("number-of-rows", "int", None, "How many rows there are; without it they never end."),
        OptionSpec("seed", "int", "0", "Another seed gives other random values."),
    )

    def validate(self, table: ConnectorTable) -> None:
        """Checks the options of every field."""
        _Generator(table)

    def source(self, table: ConnectorTable, *, bounded: bool) -> "DatagenSource":
        """Unless there is a number of rows, a bounded source has none: nothing was there when it was opened."""
        return DatagenSource(_Generator(table), bounded=bounded)

    def sink(self, table: ConnectorTable) -> Sink:
        """There is none."""
        raise NotSupportedError(f"table `{table.identifier}`: the connector 'datagen' can only be read")

    def read_batch(self, table: ConnectorTable) -> Iterator[pa.RecordBatch]:
        """All rows, at once."""
        generator = _Generator(table)
        if generator.count is None:
            raise NotSupportedError(
                f"table `{table.identifier}` never ends: set 'number-of-rows', or SET 'execution.mode' = 'streaming'"
            )
        for begin in range(0, generator.count, _ROWS):
            yield from generator.rows(begin, min(begin + _ROWS, generator.count)).to_batches()

    def write_batch(self, table: ConnectorTable, reader: pa.RecordBatchReader) -> int:
        """There is none."""
        raise NotSupportedError(f"table `{table.identifier}`: the connector 'datagen' can only be read")


class DatagenSource:
    """Rows at the rate of `rows-per-second`, counted from when it was opened."""

    mode: ChangelogMode = "append"
    upsert_key: tuple[str, ...] | None = None
    skipped = 0

    def __init__(self, generator: "_Generator", *, bounded: bool) -> None:
        self._generator = generator
        self._end = generator.count if generator.count is not None or not bounded else 0
        self._opened_s = clock.current().monotonic_s()
        self._begin = 0
        self._offset = 0
        self._latest = False
        self.schema = generator.schema

    @property
    def position(self) -> Json:
        """How many rows were made."""
        return self._offset

    @property
    def finished(self) -> bool:
        """All of `number-of-rows` were made."""
        return self._end is not None and self._offset >= self._end

    def poll(self, rows_max: int) -> SourceDelta | None:
        """The rows that are due."""
        elapsed_s = clock.current().monotonic_s() - self._opened_s
        due = self._begin + int(elapsed_s * self._generator.rows_per_second)
        end = min(due, self._offset + rows_max, due if self._end is None else self._end)
        self._latest = end <= self._offset
        if self._latest:
            return None
        rows = self._generator.rows(self._offset, end)
        self._offset = end
        return SourceDelta([inserts(rows)])

    def seek(self, position: Json) -> None:
        """Go on after so many rows."""
        self._begin = self._offset = position
        self._opened_s = clock.current().monotonic_s()

    def latest_reached(self) -> bool:
        """No row was due."""
        return self._latest

    def close(self) -> None:
        """Nothing to free."""


class _Generator:
    """Rows begin … end-1 of a table."""

    def __init__(self, table: ConnectorTable) -> None:
        options = check(table, DatagenConnector.options, ("fields.",))
        self.schema = table.schema.arrow_schema
        self.rows_per_second = int(options.get("rows-per-second", "10000"))
        self.count = int(options["number-of-rows"]) if "number-of-rows" in options else None
        self._fields = [_Field(f, i, options) for i, f in enumerate(self.schema)]
        _check_field_keys(table, options, self.schema.names)
        for end in (f.rows_max for f in self._fields if f.rows_max is not None):
            self.count = end if self.count is None else min(self.count, end)

    def rows(self, begin: int, end: int) -> pa.Table:
        """As a table."""
        numbers = np.arange(begin, end, dtype=np.int64)
        return pa.table([f.values(numbers) for f in self._fields], schema=self.schema)


class _Field:
    """One column: `random` in [min, max], or `sequence` from start to end."""

    def __init__(self, field: pa.Field, index: int, options: Mapping[str, str]) -> None:
        own = {k: options.get(f"fields.{field.name}.{k}") for k in _FIELD_OPTIONS}
        self._type, self._name = field.type, field.name
        self._kind = own["kind"] or ("sequence" if own["start"] is not None else "random")
        if self._kind not in ("random", "sequence"):
            raise OptionError(f"'fields.{field.name}.kind' is 'random' or 'sequence', not '{self._kind}'")
        self._start = self._number("start", own["start"], 0)
        end = None if own["end"] is None else self._number("end", own["end"], 0)
        self.rows_max = None if end is None or self._kind == "random" else int(end - self._start) + 1
        low, high = _range(self._type)
        self._min, self._max = self._number("min", own["min"], low), self._number("max", own["max"], high)
        if self._min > self._max:
            raise OptionError(f"'fields.{field.name}.min' is greater than its max")
        self._length = int(self._number("length", own["length"], 10))
        self._seed = int(self._number("seed", own["seed"], int(options.get("seed", "0")))) * 1_000_003 + index
        self.values(np.zeros(1, np.int64))  # refuses types that cannot be made

    def values(self, numbers: np.ndarray) -> pa.Array:
        """The values of rows `numbers`, int64."""
        kind = self._type
        if self._kind == "sequence":
            counted = pa.array(numbers + int(self._start))
            return (
                pc.cast(counted, kind) if not _is_time(kind) else counted.cast(pa.timestamp("ms", kind.tz)).cast(kind)
            )
        if pa.types.is_string(kind):
            return self._texts(numbers)
        if pa.types.is_boolean(kind):
            return pa.array(_mix(numbers, self._seed) & 1 == 1)
        if _is_time(kind):
            return pa.array(self._whole(numbers)).cast(pa.timestamp("ms", kind.tz)).cast(kind)
        if pa.types.is_floating(kind) or pa.types.is_decimal(kind):
            unit = (_mix(numbers, self._seed) >> np.uint64(11)).astype(np.float64) / (1 << 53)
            values = pa.array(self._min + unit * (self._max - self._min))
            return (
                values.cast(kind) if pa.types.is_floating(kind) else pc.round(values, kind.scale).cast(kind, safe=False)
            )
        if pa.types.is_integer(kind):
            return pa.array(self._whole(numbers)).cast(kind)
        if pa.types.is_date(kind):
            return pa.array(self._whole(numbers).astype(np.int32)).cast(kind)
        raise NotSupportedError(f"column `{self._name}`: the connector 'datagen' cannot make values of {kind}")

    def _whole(self, numbers: np.ndarray) -> np.ndarray:
        span = np.uint64(min(int(self._max) - int(self._min) + 1, (1 << 64) - 1))
        return (_mix(numbers, self._seed) % span).astype(np.int64) + np.int64(int(self._min))

    def _texts(self, numbers: np.ndarray) -> pa.Array:
        """Hexadecimal digits."""
        words = [_mix(numbers, self._seed + 7919 * part) for part in range(-(-self._length // 16))]
        octets = np.stack(words, axis=1).view(np.uint8).reshape(len(numbers), -1)
        digits = np.stack([octets >> 4, octets & 15], axis=2).reshape(len(numbers), -1)[:, : self._length]
        codes = np.frombuffer(b"0123456789abcdef", np.uint8)[digits]
        offsets = np.arange(len(numbers) + 1, dtype=np.int32) * self._length
        return pa.StringArray.from_buffers(len(numbers), pa.py_buffer(offsets), pa.py_buffer(codes.tobytes()))

    def _number(self, key: str, text: str | None, default: float) -> float:
        if text is None:
            return default
        try:
            return int(text) if text.lstrip("+-").isdigit() else float(text)
        except ValueError:
            raise OptionError(f"'fields.{self._name}.{key}' is a number, not '{text}'") from None


def _mix(numbers: np.ndarray, seed: int) -> np.ndarray:
    """SplitMix64 of each number: uint64, as good as random."""
    z = numbers.astype(np.uint64) * np.uint64(0x9E3779B97F4A7C15) + np.uint64(
        (seed * 0xD1342543DE82EF95) & ((1 << 64) - 1)
    )
    z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return z ^ (z >> np.uint64(31))


def _is_time(kind: pa.DataType) -> bool:
    return bool(pa.types.is_timestamp(kind))


def _range(kind: pa.DataType) -> tuple[float, float]:
    """The default bounds of random values."""
    if pa.types.is_integer(kind):
        bits = kind.bit_width - 1
        return -(1 << bits), (1 << bits) - 1
    if pa.types.is_decimal(kind):
        return 0, 10 ** min(kind.precision - kind.scale, 9) - 1
    if pa.types.is_timestamp(kind):
        return 1_577_836_800_000, 1_735_689_599_999  # 2020 to 2024, in milliseconds
    if pa.types.is_date(kind):
        return 18_262, 20_088
    return 0, 1


def _check_field_keys(table: ConnectorTable, options: Mapping[str, str], names: list[str]) -> None:
    known = {f"fields.{name}.{key}" for name in names for key in _FIELD_OPTIONS}
    for key in options:
        if key.startswith("fields.") and key not in known:
            raise OptionError(
                f"table `{table.identifier}`: unknown option '{key}'; a field has {', '.join(_FIELD_OPTIONS)}, "
                f"and the fields are {', '.join(names)}"
            )

"""Records that are over: 'record-level.expire-time' after the time in 'record-level.time-field'.

They go when their file is in the highest level after a compaction, where nothing older of the same key can show again;
until then they are read. The field is INT (epoch seconds), BIGINT (seconds, or milliseconds from 10^12 on) or a
timestamp; a NULL never expires. Source: Paimon, `RecordLevelExpire`.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb import clock
from tsdb.data_types import DataField, TypeRoot
from tsdb.errors import OptionError
from tsdb.format.parquet import SEQUENCE_NUMBER, VALUE_KIND
from tsdb.mergetree.data_writer import FILE_SOURCE_COMPACT, DataWriter
from tsdb.mergetree.merge import ReadColumns
from tsdb.mergetree.rewrite import CompactResult
from tsdb.metadata.data_file import DataFileMeta
from tsdb.metadata.schema import TableSchema
from tsdb.metadata.stats import column_ranges
from tsdb.options import TableOptions, parse_duration_ms
from tsdb.table.table import Table

_MILLIS_FROM = 1_000_000_000_000
_TIMES = (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ)


@dataclass(frozen=True, slots=True)
class RecordLife:
    """How long records live. seconds: after the time in the field."""

    table: Table
    field: DataField
    seconds: int

    def may_be_over(self, file: DataFileMeta) -> bool:
        """Whether the statistics of a file allow for a record that is over."""
        schema = self.table.schemas.schema(file.schema_id)
        old = next((field for field in schema.fields if field.id == self.field.id), None)
        if old is None or old.type != self.field.type:
            return True
        found = column_ranges(file, schema).get(old.name)
        if found is None or found[0] is None:
            return found is None
        kind = self.table.schema.arrow_schema.field(self.field.name).type
        return bool(self.over(pa.chunked_array([pa.array([found[0]], kind)]))[0])

    def over(self, times: pa.ChunkedArray) -> np.ndarray:
        """Which records are over, by the values of the field."""
        now_s = clock.current().now_ms() // 1000
        if pa.types.is_timestamp(times.type):
            plain = times.cast(pa.timestamp(times.type.unit)).cast(pa.timestamp("s"), safe=False).cast(pa.int64())
        else:
            plain = times.cast(pa.int64())
        seconds = np.asarray(pc.fill_null(plain, now_s))
        seconds = np.where(seconds >= _MILLIS_FROM, seconds // 1000, seconds)
        return np.asarray(seconds <= now_s - self.seconds)


def record_life(table: Table) -> RecordLife | None:
    """What the options say; None: records do not expire."""
    text = table.options.get("record-level.expire-time")
    if text is None or not table.is_primary_key:
        return None
    name = table.options.get("record-level.time-field")
    assert name is not None, "checked when the table was made"
    seconds = int(parse_duration_ms(text, "record-level.expire-time")) // 1000
    return RecordLife(table, table.schema.field(name), seconds)


def check_record_life(schema: TableSchema, options: TableOptions, name: str) -> None:
    """Raises OptionError for options that do not go together, or with the columns."""
    text, field = options.get("record-level.expire-time"), options.get("record-level.time-field")
    if text is None:
        return
    if field is None or field not in schema.names:
        raise OptionError(
            f"'record-level.expire-time' of table `{name}` needs 'record-level.time-field', a column; not '{field}'"
        )
    kind = schema.field(field).type
    if kind.root not in (TypeRoot.INT, TypeRoot.BIGINT, *_TIMES):
        raise OptionError(f"'record-level.time-field' `{field}` is {kind.sql()}; it has to be INT, BIGINT or TIMESTAMP")
    if not schema.primary_keys:
        raise OptionError(f"'record-level.expire-time' is for tables with a primary key, which `{name}` has not")


def without_expired_rows(
    life: RecordLife, files: Sequence[DataFileMeta], max_level: int, read: ReadColumns, writer: DataWriter
) -> CompactResult:
    """Rewrite the files of the highest level that hold records that are over."""
    before: list[DataFileMeta] = []
    after: list[DataFileMeta] = []
    for file in files:
        if file.level != max_level or not life.may_be_over(file):
            continue
        after += writer.write(
            _living(life, file, read, writer.schema.names),
            level=max_level,
            source=FILE_SOURCE_COMPACT,
            rows_per_file=max(1, file.row_count),
        )
        before.append(file)
    return CompactResult(tuple(before), tuple(after))


def _living(life: RecordLife, file: DataFileMeta, read: ReadColumns, names: Sequence[str]) -> Iterator[pa.Table]:
    for batch in read(file, [*names, SEQUENCE_NUMBER, VALUE_KIND]):
        rows = pa.Table.from_batches([batch])
        over = life.over(rows[life.field.name])
        yield rows if not over.any() else rows.filter(pa.array(~over))

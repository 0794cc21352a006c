"""Computed columns and the watermark of a source, as its changes come in.

A watermark moves at cuts only: the rows of one snapshot have no order, so none of them makes another one late, and
who replays the snapshots sees the same watermarks again. A source of several partitions has the least of their
watermarks: each partition is in order, but one may be read far ahead of another.

Source: Flink's watermarks per split, and its idle splits.
"""

import re
from collections.abc import Collection

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
from datafusion import SessionContext

from tsdb import clock
from tsdb.catalog.catalog import ConnectorTable
from tsdb.changes import ChangeBatch, inserts
from tsdb.errors import NotSupportedError
from tsdb.exec.computed_columns import RELATION, is_proctime_text, planned_columns
from tsdb.exec.plan import columns_read
from tsdb.exec.relation import Relation
from tsdb.exec.streaming.compile import InputSpec, compile_plan
from tsdb.exec.streaming.watermark import END, InputTime, nanoseconds
from tsdb.metadata.virtual_columns import VirtualColumns, WatermarkDef
from tsdb.options import parse_bool, parse_duration_ms
from tsdb.table.table import Table

_WATERMARK = "$watermark"
_EARLY = "table.exec.emit.early-fire.enabled"
_UNIT_NS = {
    "MILLISECOND": 10**6,
    "SECOND": 10**9,
    "MINUTE": 60 * 10**9,
    "HOUR": 3600 * 10**9,
    "DAY": 86_400 * 10**9,
}
_IDLE = "table.exec.source.idle-timeout"


class RowTime:
    """What a source has besides its stored columns."""

    def __init__(
        self, columns: VirtualColumns, relation: Relation, wanted: Collection[str], context: SessionContext
    ) -> None:
        """wanted: the columns that a query reads. context: plans the expressions."""
        source = relation.source
        assert isinstance(source, Table | ConnectorTable)
        stored = source.schema.arrow_schema
        computed = [n for n in columns.names if n in columns.computed and n in wanted]
        self.arrival = tuple(n for n in computed if is_proctime_text(columns.computed[n].expression))
        watermark = columns.watermark
        self.column = watermark.column if watermark is not None and watermark.column in wanted else None
        texts = {n: columns.computed[n].expression for n in computed if n not in self.arrival}
        self._computed = list(texts)
        if watermark is not None and self.column is not None:
            texts[_WATERMARK] = watermark.expression
        simple = not self._computed and self.column in stored.names
        simple = simple and pa.types.is_timestamp(stored.field(self.column).type)
        self._delay_ns = _delay_ns(watermark) if simple and watermark is not None else None
        self._name = source.identifier
        self._fields = [f.remove_metadata().with_nullable(True) for f in relation.schema if f.name in computed]
        self.reads = {n for n in stored.names if n in wanted}
        self._flow = None
        if texts and self._delay_ns is None:
            plan = planned_columns(columns, stored, texts, context, relation.zone).optimized_logical_plan()
            plain = pa.schema([pa.field(f.name, f.type) for f in stored])
            self._flow = compile_plan(plan, {RELATION: InputSpec(plain, None, "append")}, context)
            self.reads |= columns_read(plan)[RELATION]
        elif self.column is not None:
            self.reads |= {self.column}
        idle = relation.options.get(_IDLE, source.options.get(_IDLE))
        self._idle_after_ms = 0 if idle is None else parse_duration_ms(idle, _IDLE)
        self._last_ms: int | None = None
        self._latest: dict[str, int] = {}
        self._at_cut: dict[str, int] = {}
        self._came_ms: dict[str, int] = {}
        self.watermark: int | None = None
        early = relation.options.get(_EARLY, source.options.get(_EARLY))
        self.early = early is not None and parse_bool(_EARLY, early)

    def check(self, *, takes_back: bool) -> None:
        """Raises NotSupportedError for a column that is the time of arrival, if rows may be taken back."""
        if self.arrival and takes_back:
            raise NotSupportedError(
                f"column `{self.arrival[0]}` is the time at which a row comes, but rows of table `{self._name}` are "
                "updated or deleted: the time of a row that goes would not be that with which it came"
            )

    def schema(self, of_source: pa.Schema) -> pa.Schema:
        """The columns of the source, then the computed ones."""
        return pa.schema([*of_source, *self._fields])

    def changes(self, changes: ChangeBatch, partition: str = "") -> ChangeBatch:
        """The changes with their computed columns; the watermark of their partition is noted."""
        made = {}
        if self._delay_ns is not None and changes.num_rows and self.column is not None:
            self._note(changes.rows.column(self.column), changes.weights, partition, self._delay_ns)
        elif self._flow is not None and changes.num_rows:
            rows = _all_columns(changes.rows, self._flow.inputs[RELATION].schema)
            output = self._flow.step({RELATION: inserts(rows)})
            made = dict(zip([*self._computed, _WATERMARK], output.rows.columns, strict=False))
            self._note(made.get(_WATERMARK), changes.weights, partition)
        now = pa.scalar(clock.current().now_ms(), pa.timestamp("ms", "UTC"))
        rows = changes.rows
        for field in self._fields:
            if field.name in self.arrival:
                rows = rows.append_column(field, pa.repeat(now, changes.num_rows))
            else:
                column = made[field.name].cast(field.type) if field.name in made else pa.nulls(0, field.type)
                rows = rows.append_column(field, column)
        return ChangeBatch(rows, changes.weights)

    def at_cut(self) -> None:
        """All rows of a cut have come: what was noted holds from now on."""
        self._last_ms = clock.current().now_ms()
        self._at_cut = dict(self._latest)

    @property
    def by_clock(self) -> bool:
        """Whether the clock alone moves its watermark: an input that gives nothing becomes idle."""
        return self._idle_after_ms > 0

    def time(self, *, finished: bool, partitions: Collection[str] | None = None) -> InputTime:
        """The watermark; behind everything when the source has ended. partitions: those that hold it back."""
        if finished:
            return InputTime(END)
        self._advance(partitions)
        if self._last_ms is None:
            self._last_ms = clock.current().now_ms()
        idle = self._idle_after_ms > 0 and clock.current().now_ms() - self._last_ms >= self._idle_after_ms
        return InputTime(self.watermark, idle)

    def seek(self, watermark: int | None) -> None:
        """Go on from a checkpoint."""
        self.watermark = watermark
        self._latest, self._at_cut, self._came_ms = {}, {}, {}

    def _advance(self, partitions: Collection[str] | None) -> None:
        """To the least of the partitions that are not idle; to the greatest of all if there are none of them."""
        if not self._at_cut:
            return
        now_ms = clock.current().now_ms()
        holding = [
            name
            for name in (self._at_cut if partitions is None else partitions)
            if not 0 < self._idle_after_ms <= now_ms - self._came_ms.setdefault(name, now_ms)
        ]
        if any(name not in self._at_cut for name in holding):
            return
        found = min((self._at_cut[name] for name in holding), default=max(self._at_cut.values()))
        self.watermark = found if self.watermark is None else max(self.watermark, found)

    def _note(self, values: pa.ChunkedArray | None, weights: np.ndarray, partition: str, delay_ns: int = 0) -> None:
        """values: watermarks, or times that are delay_ns ahead of them."""
        if values is None:
            return
        if (weights < 0).any():
            values = values.filter(pa.array(weights > 0))
        latest = nanoseconds(pc.max(values))
        self._came_ms[partition] = clock.current().now_ms()
        if latest is not None:
            latest -= delay_ns
            self._latest[partition] = max(latest, self._latest.get(partition, latest))


def _delay_ns(watermark: WatermarkDef) -> int | None:
    """How far the watermark is behind its column, if it is that column less a constant; else None."""
    less = r"(\s*-\s*(?i:INTERVAL)\s+'(\d+)'\s+(\w+))?"
    match = re.fullmatch(rf"\s*`?{re.escape(watermark.column)}`?{less}\s*", watermark.expression)
    if match is None:
        return None
    if match[1] is None:
        return 0
    unit_ns = _UNIT_NS.get(match[3].upper().removesuffix("S"))
    return None if unit_ns is None else int(match[2]) * unit_ns


def _all_columns(rows: pa.Table, schema: pa.Schema) -> pa.Table:
    """The columns of the schema; those that were not read, and are not used, as NULL."""
    columns = [rows.column(f.name) if f.name in rows.column_names else pa.nulls(rows.num_rows, f.type) for f in schema]
    return pa.table(columns, schema=schema)

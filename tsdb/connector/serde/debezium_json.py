"""The format `debezium-json`: change events of Debezium, with or without inline schemas, bare or with key and topic.

r, c: a row comes. u: `before` leaves (null for PostgreSQL's REPLICA IDENTITY DEFAULT), `after` comes. d: `before`
leaves; for REPLICA IDENTITY DEFAULT only its key is real. t: the table is emptied. Tombstones, transaction marks,
schema changes, heartbeats and logical messages are no rows and are passed over.
With a declared primary key the changes are upserts by it; without one, whole old rows have to be in the messages.

Source: Debezium's documentation; captures of Debezium 3.5 from PostgreSQL 15 and MariaDB 10.11.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from tsdb.connector.connector import ChangelogMode
from tsdb.connector.serde import json_block
from tsdb.connector.serde.change_log_writer import ChangeLogEncoder
from tsdb.connector.serde.debezium_decimal import DecimalReader
from tsdb.connector.serde.debezium_schema import plan_of_schema
from tsdb.connector.serde.envelope import Messages, is_message, messages
from tsdb.connector.serde.json_rows import RowPlan, build_rows, plan_rows
from tsdb.connector.serde.row_changes import Placed, interleave, require_key, require_values, same_key, split
from tsdb.connector.serde.serde import Decoded, Decoder, Encoder, Lines, decode_all
from tsdb.connector.serde.table_filter import TableFilter
from tsdb.options import OptionSpec, parse_bool

_HEADER = [
    pa.field("op", pa.string()),
    pa.field("source", pa.struct([("db", pa.string()), ("schema", pa.string()), ("table", pa.string())])),
]
_MARKS = [pa.field(n, pa.string()) for n in ("status", "ddl", "databaseName")] + [pa.field("ts_ms", pa.int64())]
_TOAST = "__debezium_unavailable_value"


@dataclass(slots=True)
class _Events:
    """Old rows, new rows and truncates of some messages, each with the places of the messages in the block."""

    before: pa.Table
    before_at: np.ndarray
    after: pa.Table
    after_at: np.ndarray
    truncated_at: np.ndarray


class DebeziumDecoder:
    """See the module."""

    def __init__(self, schema: pa.Schema, key: Sequence[str], options: Mapping[str, str]) -> None:
        self.mode: ChangelogMode = "upsert" if key else "all"
        self._schema = schema
        self._key = tuple(key)
        self._skip = _flag(options, "debezium-json.ignore-parse-errors")
        self._tables = TableFilter("debezium-json", options)
        self._decimals = DecimalReader(options.get("debezium-json.decimal.handling.mode", "auto"))

    def decode(self, lines: Lines) -> Decoded:
        """The changes of all messages that are row changes of the table."""
        parts, skipped = decode_all(
            lines,
            self._parse,
            json_block.PARSE_ERRORS,
            skip=self._skip,
            reason=json_block.reason,
            keep=is_message(lines),
        )
        return Decoded([change for change, _ in parts], skipped, [places for _, places in parts])

    def _parse(self, lines: Lines) -> list[Placed]:
        groups = [g for m in messages(lines) if (g := self._events(m)) is not None]
        if not groups:
            return []
        places = [np.concatenate([g.before_at for g in groups]), np.concatenate([g.after_at for g in groups])]
        before, after = (
            pa.concat_tables(tables) for tables in zip(*[(g.before, g.after) for g in groups], strict=True)
        )
        changes = interleave(before, places[0], after, places[1])
        truncates = np.sort(np.concatenate([g.truncated_at for g in groups]))
        parts = split(changes, np.sort(np.concatenate(places)), truncates)
        return [(change, lines.numbers[numbers]) for change, numbers in parts]

    def _events(self, group: Messages) -> _Events | None:
        if group.schema is not None and not any(f["field"] == "op" for f in group.schema.get("fields", ())):
            return None  # a transaction mark or a schema change
        lines, index = group.lines, group.index
        if self._tables.is_set:
            header = _read(lines, group.path, _HEADER)
            chosen = self._tables.mask(header)
            lines, index = lines.select(chosen), index[chosen]
        if len(lines) == 0:
            return None
        plan = self._plan(lines, group)
        row: pa.DataType = pa.struct(plan.read)
        try:
            table = _read(lines, group.path, [*_HEADER, *_MARKS, pa.field("before", row), pa.field("after", row)])
        except json_block.PARSE_ERRORS:
            if len(lines) == 1:
                self._tables.check(_read(lines, group.path, _HEADER))
            raise
        self._tables.check(table)
        return self._rows(table, plan, lines, index, group.path)

    def _plan(self, lines: Lines, group: Messages) -> RowPlan:
        if group.schema is not None:
            row: Mapping[str, Any] = next((f for f in group.schema["fields"] if f["field"] == "after"), {})
            return plan_of_schema(row, self._schema)
        objects = json_block.sample(lines)
        for step in group.path:
            objects = [o.get(step) or {} for o in objects]
        rows = [r for o in objects for r in (o.get("before"), o.get("after")) if isinstance(r, dict)]
        return plan_rows(self._schema, rows, decimal_text=self._decimals.read, time_unit="us")

    def _rows(self, table: pa.Table, plan: RowPlan, lines: Lines, index: np.ndarray, path: tuple[str, ...]) -> _Events:
        ops = _ops(table)
        before, after = table["before"].combine_chunks(), table["after"].combine_chunks()
        has_before, has_after = _valid(before), _valid(after)
        is_update, is_delete = ops == ord("u"), ops == ord("d")
        comes = is_update | (ops == ord("c")) | (ops == ord("r"))
        _require(has_after | ~comes, "the message has no `after`")
        _require(has_before | ~is_delete, "the delete has no `before`: its key is not known")
        if self.mode == "all":
            _require(
                has_before | ~is_update,
                "the update has no `before`. Declare PRIMARY KEY (…) NOT ENFORCED on the table, "
                "or set REPLICA IDENTITY FULL in PostgreSQL",
            )
        new_rows = build_rows(plan, _fields(after, comes, plan, is_new=True), lines, (*path, "after"), comes)
        require_values(new_rows, self._key)
        leaves = is_delete | (is_update & has_before)
        only = self._key or None
        old_rows = build_rows(plan, _fields(before, leaves, plan), lines, (*path, "before"), leaves, only)
        require_key(old_rows.filter(pa.array(is_delete[leaves])), self._key)
        if self._key and (is_update & has_before).any():
            old_rows, leaves = self._moved(old_rows, leaves, new_rows, comes, is_update)
        return _Events(old_rows, index[leaves], new_rows, index[comes], index[ops == ord("t")])

    def _moved(
        self, old: pa.Table, leaves: np.ndarray, new: pa.Table, comes: np.ndarray, is_update: np.ndarray
    ) -> tuple[pa.Table, np.ndarray]:
        """Of the old rows of updates, only those whose key changed."""
        both = leaves & is_update
        same = same_key(old.filter(pa.array(both[leaves])), new.filter(pa.array(both[comes])), self._key)
        kept = leaves.copy()
        kept[np.flatnonzero(both)[same]] = False
        return old.filter(pa.array(kept[leaves])), kept


class DebeziumSerde:
    """The format `debezium-json`."""

    name = "debezium-json"
    options = (
        OptionSpec(
            "debezium-json.ignore-parse-errors", "bool", "false", "Skip and count malformed lines instead of failing."
        ),
        OptionSpec(
            "debezium-json.table.include",
            "string",
            None,
            "Regular expression for the tables to read: all of `table`, `schema.table` or `database.table`.",
        ),
        OptionSpec(
            "debezium-json.database.include",
            "string",
            None,
            "Regular expression for the databases to read, matched whole.",
        ),
        OptionSpec(
            "debezium-json.decimal.handling.mode",
            "auto|precise|string",
            "auto",
            "How DECIMAL is written without inline schema: `precise` is base64, `string` is digits; "
            "`auto` goes by the values.",
        ),
    )

    def decoder(self, schema: pa.Schema, key: Sequence[str], options: Mapping[str, str]) -> Decoder:
        """See `Serde`."""
        return DebeziumDecoder(schema, key, options)

    def encoder(self, schema: pa.Schema, options: Mapping[str, str]) -> Encoder:
        """See `Serde`."""
        return ChangeLogEncoder(self.name)


def _flag(options: Mapping[str, str], key: str) -> bool:
    return parse_bool(key, options.get(key, "false"))


def _read(lines: Lines, path: tuple[str, ...], fields: Sequence[pa.Field]) -> pa.Table:
    """The fields of the payload; path: () or one step."""
    if not path:
        return json_block.read(lines, pa.schema(fields))
    outer = json_block.read(lines, pa.schema([pa.field(path[0], pa.struct(fields))]))
    return pa.Table.from_struct_array(outer[path[0]]) if outer.num_rows else pa.schema(fields).empty_table()


_KNOWN_OPS = np.frombuffer(b"crudtm", np.uint8)


def _ops(table: pa.Table) -> np.ndarray:
    """The operation of each message as its ASCII code; 0 for messages that are no row changes. Raises ValueError."""
    op = table["op"].combine_chunks()
    missing = ~_valid(op)
    if missing.any():
        is_mark = np.logical_or.reduce([_valid(table[f.name].combine_chunks()) for f in _MARKS])
        is_row = _valid(table["before"].combine_chunks()) | _valid(table["after"].combine_chunks())
        _require(~missing | (is_mark & ~is_row), "the message has no `op`: it is not a change event of Debezium")
    codes = np.zeros(len(op), np.uint8)
    for code in _KNOWN_OPS:
        codes[_mask(pc.equal(op, chr(code)))] = code
    unknown = (codes == 0) & ~missing
    if unknown.any():
        raise ValueError(f"unknown `op` '{op[int(np.flatnonzero(unknown)[0])]}'")
    return codes


def _valid(values: pa.Array) -> np.ndarray:
    return np.asarray(values.is_valid())


def _mask(values: pa.Array) -> np.ndarray:
    return np.asarray(pc.fill_null(values, False))


def _require(holds: np.ndarray, message: str) -> None:
    if not holds.all():
        raise ValueError(message)


def _fields(rows: pa.StructArray, mask: np.ndarray, plan: RowPlan, *, is_new: bool = False) -> dict[str, pa.Array]:
    """The columns of the chosen rows."""
    chosen = rows if mask.all() else rows.filter(pa.array(mask))
    columns = dict(zip(plan.wires, chosen.flatten(), strict=True))
    if is_new:
        for name, values in columns.items():
            if pa.types.is_string(values.type) and pc.any(pc.equal(values, _TOAST)).as_py():
                raise ValueError(
                    f"column `{name}`: the message lacks the value, a large one that the update left unchanged "
                    "(`__debezium_unavailable_value`). Set REPLICA IDENTITY FULL on the source table"
                )
    return columns

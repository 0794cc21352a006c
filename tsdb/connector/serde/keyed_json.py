"""The formats `canal-json`, `maxwell-json` and `ogg-json`: change logs whose messages are rows with an operation.

All three are read as upserts by the declared primary key: canal and maxwell send only the old values that changed, and
here a value that was NULL cannot be told from one that did not change. One canal message may hold several
rows, which may swap their keys: all of its old keys leave before its new rows come.

Source: the documentation of Canal, Maxwell and Oracle GoldenGate; read after Paimon's parsers of them.
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
from tsdb.connector.serde.envelope import is_captured, is_message
from tsdb.connector.serde.json_rows import RowPlan, build_rows, plan_rows
from tsdb.connector.serde.row_changes import Placed, interleave, require_key, require_values, same_key, split
from tsdb.connector.serde.serde import Decoded, Decoder, Encoder, Lines, decode_all
from tsdb.connector.serde.table_filter import TableFilter
from tsdb.errors import NotSupportedError
from tsdb.options import OptionSpec, parse_bool

_INSERT, _UPDATE, _DELETE, _TRUNCATE, _NOTHING = b"iudtn"


@dataclass(frozen=True, slots=True)
class Layout:
    """Where a format has what. operations: its words, in lower case, to what they do.

    new, old, deleted: the fields of the new, the old and a deleted row; many: they are lists of rows.
    """

    name: str
    operation: str
    operations: Mapping[str, int]
    new: str
    old: str
    deleted: str
    many: bool = False


CANAL = Layout(
    "canal-json",
    "type",
    {
        "insert": _INSERT,
        "row": _INSERT,
        "update": _UPDATE,
        "delete": _DELETE,
        "truncate": _TRUNCATE,
        **dict.fromkeys(("create", "alter", "erase", "rename", "cindex", "dindex", "query"), _NOTHING),
    },
    new="data",
    old="old",
    deleted="data",
    many=True,
)
MAXWELL = Layout(
    "maxwell-json",
    "type",
    {
        "insert": _INSERT,
        "bootstrap-insert": _INSERT,
        "update": _UPDATE,
        "delete": _DELETE,
        **dict.fromkeys(("table-create", "table-alter", "table-drop", "database-create"), _NOTHING),
        **dict.fromkeys(("database-alter", "database-drop", "bootstrap-start", "bootstrap-complete"), _NOTHING),
    },
    new="data",
    old="old",
    deleted="data",
)
OGG = Layout(
    "ogg-json",
    "op_type",
    {"i": _INSERT, "u": _UPDATE, "d": _DELETE, "t": _TRUNCATE},
    new="after",
    old="before",
    deleted="before",
)


class KeyedDecoder:
    """Upserts by the primary key."""

    mode: ChangelogMode = "upsert"

    def __init__(self, layout: Layout, schema: pa.Schema, key: Sequence[str], options: Mapping[str, str]) -> None:
        self._layout = layout
        self._schema = schema
        self._keys = pa.schema([schema.field(k) for k in key])
        flag = f"{layout.name}.ignore-parse-errors"
        self._skip = parse_bool(flag, options.get(flag, "false"))
        self._tables = TableFilter(layout.name, options)

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
        if any(is_captured(o) for o in json_block.sample(lines.part(0, 1))):
            raise ValueError(f"captured messages with topic and key are not read in the format {self._layout.name}")
        header = _header(lines, self._layout)
        chosen = self._tables.mask(header)
        lines, header = lines.select(chosen), header.filter(pa.array(chosen))
        self._tables.check(header)
        if len(lines) == 0:
            return []
        layout, operations = self._layout, _operations(header["operation"], self._layout)
        new_plan, key_plan = self._plans(lines)
        columns = {layout.new: new_plan.read, layout.old: key_plan.read}
        table = json_block.read(lines, pa.schema([pa.field(n, _rows_type(f, layout.many)) for n, f in columns.items()]))
        new, new_at = _exploded(table[layout.new], layout.many)
        old, old_at = _exploded(table[layout.old], layout.many)
        deleted, deleted_at = (new, new_at) if layout.deleted == layout.new else (old, old_at)
        comes = _among(operations[new_at], _INSERT, _UPDATE)
        after = _built(new_plan, new, comes)
        require_values(after, self._keys.names)
        gone = _built(key_plan, deleted, operations[deleted_at] == _DELETE)
        require_key(gone, self._keys.names)
        moved, moved_at = self._moved(key_plan, old, old_at, new, new_at, operations)
        before = pa.concat_tables([gone, moved])
        before_at = np.concatenate([deleted_at[operations[deleted_at] == _DELETE], moved_at])
        changes = self._changes(before, before_at, after, new_at[comes], np.flatnonzero(operations == _TRUNCATE))
        return [(change, lines.numbers[places]) for change, places in changes]

    def _changes(
        self, before: pa.Table, before_at: np.ndarray, after: pa.Table, after_at: np.ndarray, truncates: np.ndarray
    ) -> list[Placed]:
        keys, count = self._keys.names, before.num_rows
        columns = [before[f.name] if f.name in keys else pa.nulls(count, f.type) for f in self._schema]
        changes = interleave(pa.table(columns, schema=self._schema), before_at, after, after_at)
        return list(split(changes, np.sort(np.concatenate([before_at, after_at])), truncates))

    def _plans(self, lines: Lines) -> tuple[RowPlan, RowPlan]:
        """Of new rows, and of the keys of old ones."""
        layout = self._layout
        fields = [o.get(name) for o in json_block.sample(lines) for name in (layout.new, layout.old)]
        rows = [r for f in fields for r in (f if isinstance(f, list) else [f]) if isinstance(r, dict)]
        return plan_rows(self._schema, rows), plan_rows(self._keys, rows)

    def _moved(
        self,
        plan: RowPlan,
        old: pa.Array,
        old_at: np.ndarray,
        new: pa.Array,
        new_at: np.ndarray,
        operations: np.ndarray,
    ) -> tuple[pa.Table, np.ndarray]:
        """The old keys of updates that changed the key."""
        is_update = operations[old_at] == _UPDATE
        if not is_update.any():
            return self._keys.empty_table(), np.empty(0, np.int64)
        updated = operations[new_at] == _UPDATE
        if is_update.sum() != updated.sum() or (old_at[is_update] != new_at[updated]).any():
            raise ValueError("an update has not as many old rows as new ones")
        old_keys, new_keys = _built(plan, old, is_update), _built(plan, new, updated)
        same = same_key(old_keys, new_keys, self._keys.names)
        filled = [pc.coalesce(old_keys[n], new_keys[n]) for n in self._keys.names]
        changed = pa.table(filled, schema=self._keys).filter(pa.array(~same))
        return changed, old_at[is_update][~same]


class KeyedSerde:
    """One of the three formats."""

    def __init__(self, layout: Layout) -> None:
        name = layout.name
        self.name = name
        self._layout = layout
        self.options = (
            OptionSpec(f"{name}.ignore-parse-errors", "bool", "false", "Skip and count malformed lines."),
            OptionSpec(f"{name}.table.include", "string", None, "Regular expression for the tables to read."),
            OptionSpec(f"{name}.database.include", "string", None, "Regular expression for the databases to read."),
        )

    def decoder(self, schema: pa.Schema, key: Sequence[str], options: Mapping[str, str]) -> Decoder:
        """See `Serde`."""
        if not key:
            raise NotSupportedError(f"the format {self.name} needs a key: declare PRIMARY KEY (…) NOT ENFORCED")
        self._refuse_nested(schema)
        return KeyedDecoder(self._layout, schema, key, options)

    def encoder(self, schema: pa.Schema, options: Mapping[str, str]) -> Encoder:
        """See `Serde`."""
        self._refuse_nested(schema)
        return ChangeLogEncoder(self.name)

    def _refuse_nested(self, schema: pa.Schema) -> None:
        for field in schema:
            if pa.types.is_nested(field.type):
                raise NotSupportedError(f"column `{field.name}`: the format {self.name} has no {field.type}")


def _header(lines: Lines, layout: Layout) -> pa.Table:
    """`operation`, and `source` as `TableFilter` wants it."""
    text = pa.string()
    table = json_block.read(lines, pa.schema([(layout.operation, text), ("database", text), ("table", text)]))
    parts = pc.extract_regex(table["table"].combine_chunks(), r"^(?:(?P<database>.*)\.)?(?P<table>[^.]*)$")
    database = pc.coalesce(table["database"].combine_chunks(), _not_empty(pc.struct_field(parts, "database")))
    names = [database, pa.nulls(len(lines), text), pc.struct_field(parts, "table")]
    source = pa.StructArray.from_arrays(names, ["db", "schema", "table"])
    return pa.table({"operation": table[layout.operation], "source": source})


def _not_empty(texts: pa.Array) -> pa.Array:
    return pc.if_else(pc.equal(texts, ""), None, texts)


def _operations(words: pa.ChunkedArray, layout: Layout) -> np.ndarray:
    """What each message does. Raises ValueError for a message that does not say."""
    lower = pc.utf8_lower(words)
    codes = np.zeros(len(words), np.uint8)
    for word, code in layout.operations.items():
        codes[np.asarray(pc.fill_null(pc.equal(lower, word), False))] = code
    if (codes == 0).any():
        word = words[int(np.flatnonzero(codes == 0)[0])].as_py()
        what = f"the message has no `{layout.operation}`" if word is None else f"unknown `{layout.operation}` '{word}'"
        raise ValueError(f"{what}: it is not {layout.name}")
    return codes


def _rows_type(fields: Sequence[pa.Field], many: bool) -> pa.DataType:
    row: Any = pa.struct(fields)
    return pa.list_(row) if many else row


def _exploded(values: pa.ChunkedArray, many: bool) -> tuple[pa.Array, np.ndarray]:
    """The rows of all messages, and the message of each."""
    whole = values.combine_chunks()
    if many:
        return pc.list_flatten(whole), np.asarray(pc.list_parent_indices(whole)).astype(np.int64)
    valid = whole.is_valid()
    return whole.filter(valid), np.flatnonzero(np.asarray(valid))


def _among(codes: np.ndarray, *wanted: int) -> np.ndarray:
    return np.isin(codes, np.array(wanted, np.uint8))


def _built(plan: RowPlan, rows: pa.StructArray, mask: np.ndarray) -> pa.Table:
    chosen = rows.filter(pa.array(mask))
    columns = dict(zip([f.name for f in chosen.type], chosen.flatten(), strict=True))
    return build_rows(plan, columns, Lines(b"\n" * len(chosen)), ())

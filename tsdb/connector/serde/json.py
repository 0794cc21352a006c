"""The format `json`: one JSON object per line, one row per object.

Columns are matched by name, others are ignored, absent ones are NULL. TIMESTAMP and DATE are ISO text or numbers
(milliseconds up to TIMESTAMP(3), microseconds above, days), BYTES are base64, a MAP is an object.
"""

from collections.abc import Mapping, Sequence

import pyarrow as pa

from tsdb.changes import ChangeBatch, inserts
from tsdb.connector.connector import ChangelogMode
from tsdb.connector.serde import json_block
from tsdb.connector.serde.json_rows import build_rows, plan_rows
from tsdb.connector.serde.json_writer import json_objects, lines_of
from tsdb.connector.serde.row_changes import require_values
from tsdb.connector.serde.serde import Decoded, Decoder, Encoder, Lines, decode_all
from tsdb.options import OptionSpec, parse_bool


class JsonDecoder:
    """See the module."""

    mode: ChangelogMode = "append"

    def __init__(self, schema: pa.Schema, skip: bool) -> None:
        self._schema = schema
        self._skip = skip

    def decode(self, lines: Lines) -> Decoded:
        """One row per line that is not blank."""
        parts, skipped = decode_all(
            lines, lambda part: [self._rows(part)], json_block.PARSE_ERRORS, skip=self._skip, reason=json_block.reason
        )
        return Decoded([inserts(pa.concat_tables(parts))] if parts else [], skipped)

    def _rows(self, lines: Lines) -> pa.Table:
        plan = plan_rows(self._schema, json_block.sample(lines))
        table = json_block.read(lines, pa.schema(plan.read))
        columns = {name: table[name].combine_chunks() for name in plan.wires}
        rows = build_rows(plan, columns, lines, ())
        require_values(rows)
        return rows


class JsonEncoder:
    """One object per row; NULL columns are written as null."""

    mode: ChangelogMode = "append"

    def encode(self, changes: ChangeBatch) -> bytes:
        """Complete lines."""
        return lines_of(json_objects(changes.rows))


class JsonSerde:
    """The format `json`."""

    name = "json"
    options = (
        OptionSpec("json.ignore-parse-errors", "bool", "false", "Skip and count malformed lines instead of failing."),
    )

    def decoder(self, schema: pa.Schema, key: Sequence[str], options: Mapping[str, str]) -> Decoder:
        """See `Serde`."""
        ignore = options.get("json.ignore-parse-errors", "false")
        return JsonDecoder(schema, parse_bool("json.ignore-parse-errors", ignore))

    def encoder(self, schema: pa.Schema, options: Mapping[str, str]) -> Encoder:
        """See `Serde`."""
        return JsonEncoder()

"""The format `json`: one JSON object per line, one row per object.

Columns are matched by name, others are ignored, absent ones are NULL. TIMESTAMP and DATE are ISO text or numbers
(milliseconds up to TIMESTAMP(3), microseconds above, days), BYTES are base64, a MAP is an object.
"""

from collections.abc import Mapping, Sequence

import orjson
import pyarrow as pa

from tsdb.changes import ChangeBatch, inserts
from tsdb.connector.connector import ChangelogMode
from tsdb.connector.serde import json_block
from tsdb.connector.serde.json_rows import build_rows, plan_rows
from tsdb.connector.serde.json_writer import json_objects, lines_of
from tsdb.connector.serde.row_changes import require_values
from tsdb.connector.serde.serde import Decoded, Decoder, Encoder, Lines, decode_all
from tsdb.errors import OptionError
from tsdb.options import OptionSpec, parse_bool


class JsonDecoder:
    """See the module."""

    mode: ChangelogMode = "append"

    def __init__(self, schema: pa.Schema, skip: bool, *, complete: bool = False) -> None:
        """complete: an object without one of the columns is malformed."""
        self._schema = schema
        self._skip = skip
        self._complete = complete

    def decode(self, lines: Lines) -> Decoded:
        """One row per line that is not blank."""
        parts, skipped = decode_all(
            lines, lambda part: [self._rows(part)], json_block.PARSE_ERRORS, skip=self._skip, reason=json_block.reason
        )
        return Decoded([inserts(pa.concat_tables(parts))] if parts else [], skipped)

    def _rows(self, lines: Lines) -> pa.Table:
        if self._complete:
            self._check_complete(lines)
        plan = plan_rows(self._schema, json_block.sample(lines))
        table = json_block.read(lines, pa.schema(plan.read))
        columns = {name: table[name].combine_chunks() for name in plan.wires}
        rows = build_rows(plan, columns, lines, ())
        require_values(rows)
        return rows

    def _check_complete(self, lines: Lines) -> None:
        """Line by line: the vectorised parser does not tell an absent value from one that is null."""
        wanted = self._schema.names
        for index in range(len(lines)):
            try:
                there = orjson.loads(lines.line(index))
            except orjson.JSONDecodeError as err:
                raise ValueError(f"not JSON: {err}") from err
            missing = [name for name in wanted if not isinstance(there, dict) or name not in there]
            if missing:
                raise ValueError(f"column `{missing[0]}` is absent, and 'json.fail-on-missing-field' = 'true'")


class JsonEncoder:
    """One object per row; NULL columns are written as null, unless they are left out."""

    mode: ChangelogMode = "append"

    def __init__(self, *, nulls: bool, blank: bool) -> None:
        """See `json_objects`."""
        self._nulls = nulls
        self._blank = blank

    def encode(self, changes: ChangeBatch) -> bytes:
        """Complete lines."""
        return lines_of(json_objects(changes.rows, nulls=self._nulls, blank=self._blank))


class JsonSerde:
    """The format `json`."""

    name = "json"
    options = (
        OptionSpec("json.ignore-parse-errors", "bool", "false", "Skip and count malformed lines instead of failing."),
        OptionSpec("json.fail-on-missing-field", "bool", "false", "An object without a column is malformed; slower."),
        OptionSpec("json.timestamp-format.standard", "sql|iso-8601", "iso-8601",
                   "How timestamps are written, with a blank or with `T`; both are read."),
        OptionSpec("json.encode.ignore-null-fields", "bool", "false", "Leave columns that are NULL out when writing."),
        OptionSpec("json.encode.decimal-as-plain-number", "bool", "true",
                   "For Flink's sake: decimals are always written as plain numbers, never with an exponent."),
        OptionSpec("json.map-null-key.mode", "fail|drop|literal", "fail",
                   "For Flink's sake: a MAP has no NULL keys here."),
        OptionSpec("json.map-null-key.literal", "string", "null", "For Flink's sake, too."),
    )  # fmt: skip

    def decoder(self, schema: pa.Schema, key: Sequence[str], options: Mapping[str, str]) -> Decoder:
        """See `Serde`."""
        skip, complete = (_flag(options, key) for key in ("json.ignore-parse-errors", "json.fail-on-missing-field"))
        if skip and complete:
            raise OptionError("give either 'json.ignore-parse-errors' or 'json.fail-on-missing-field', not both")
        return JsonDecoder(schema, skip, complete=complete)

    def encoder(self, schema: pa.Schema, options: Mapping[str, str]) -> Encoder:
        """See `Serde`."""
        blank = options.get("json.timestamp-format.standard", "").lower() == "sql"
        return JsonEncoder(nulls=not _flag(options, "json.encode.ignore-null-fields"), blank=blank)


def _flag(options: Mapping[str, str], key: str) -> bool:
    return parse_bool(key, options.get(key, "false"))

"""Functions of the language that DataFusion lacks, over Arrow arrays.

`tsdb.sql.functions` says which calls become one of these, with its arguments cast to the types here. Where only a
library for single values does the work (JSON, URLs, digests), it runs once for each distinct value of a batch.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Any

import pyarrow as pa
from datafusion import ScalarUDF, SessionContext, udf

from tsdb.exec.builtin import documents, moments, texts, written

_TEXT, _INT = pa.string(), pa.int32()
_TEXTS = pa.list_(pa.string())

BUILT_IN: tuple[tuple[str, Callable[..., Any], tuple[pa.DataType, ...], pa.DataType], ...] = (
    ("url_encode", texts.url_encode, (_TEXT,), _TEXT),
    ("url_decode", texts.url_decode, (_TEXT,), _TEXT),
    ("parse_url", texts.parse_url, (_TEXT, _TEXT, _TEXT), _TEXT),
    ("regexp_extract_all", texts.regexp_extract_all, (_TEXT, _TEXT, _INT), pa.list_(_TEXT)),
    ("str_to_map", texts.str_to_map, (_TEXT, _TEXT, _TEXT), pa.map_(_TEXT, _TEXT)),
    ("conv", texts.conv, (_TEXT, _INT, _INT), _TEXT),
    ("encode_text", texts.encode_text, (_TEXT, _TEXT), pa.binary()),
    ("decode_text", texts.decode_text, (pa.binary(), _TEXT), _TEXT),
    ("only_one", texts.only_one, (pa.int64(),), pa.int64()),
    ("only_row", texts.only_row, (pa.int64(),), pa.int64()),
    ("sha1", texts.sha1, (_TEXT,), _TEXT),
    ("nth_place", texts.nth_place, (_TEXT, _TEXT, _INT, _INT), _INT),
    ("text_of", written.text_of, (_TEXT, _TEXT), _TEXT),
    ("list_text", written.list_text, (_TEXTS, _TEXT), _TEXT),
    ("map_text", written.map_text, (_TEXTS, _TEXTS, _TEXT, _TEXT), _TEXT),
    ("printf", written.printf, (_TEXT, _TEXTS, _TEXTS), _TEXT),
    ("type_name", texts.type_name, (_TEXT,), _TEXT),
    ("date_text", moments.date_text, (pa.timestamp("us"), _TEXT), _TEXT),
    ("parse_time", moments.parse_time, (_TEXT, _TEXT), pa.timestamp("us")),
    ("convert_tz", moments.convert_tz, (_TEXT, _TEXT, _TEXT), _TEXT),
    ("local_time", moments.local_time, (pa.timestamp("us"), _TEXT), pa.timestamp("us")),
    ("zoned_time", moments.zoned_time, (pa.timestamp("us"), _TEXT), pa.timestamp("us")),
    ("local_nanos", moments.local_time, (pa.timestamp("ns"), _TEXT), pa.timestamp("ns")),
    ("zoned_nanos", moments.zoned_time, (pa.timestamp("ns"), _TEXT), pa.timestamp("ns")),
    ("json_value", documents.json_value, (_TEXT,) * 7, _TEXT),
    ("json_query", documents.json_query, (_TEXT,) * 5, _TEXT),
    ("json_exists", documents.json_exists, (_TEXT,) * 3, pa.bool_()),
    ("json_text", documents.json_text, (_TEXT, _TEXT), _TEXT),
    ("json_unquote", documents.json_unquote, (_TEXT,), _TEXT),
    ("is_json", documents.is_json, (_TEXT, _TEXT), pa.bool_()),
)
"""Name, function, types of the arguments, type of the result. None of them changes by itself."""


def register_built_in(context: SessionContext, names: set[str] | None = None) -> None:
    """Make the functions known to a context; names: only these."""
    for name, function in _functions().items():
        if names is None or name in names:
            context.register_udf(function)


@cache
def _functions() -> dict[str, ScalarUDF]:
    return {
        name: udf(texts.named(name, function, result), list(types), result, "immutable", name)
        for name, function, types, result in BUILT_IN
    }

"""Types come back from the text of schema files, map to Arrow and back, and wrong ones are refused."""

from typing import Any

import pyarrow as pa
import pytest

from tsdb.data_types import (
    MAX_LENGTH,
    DataField,
    DataType,
    TypeRoot,
    arrow_schema,
    field_from_json,
    from_arrow,
    parse_type,
    to_arrow,
)
from tsdb.errors import NotSupportedError, ProgrammingError

R = TypeRoot
ROW: dict[str, Any] = {
    "type": "ROW NOT NULL",
    "fields": [{"id": 3, "name": "x", "type": "INT", "description": "d"}, {"id": 4, "name": "y", "type": "STRING"}],
}
# (as in schema files, as SQL, as Arrow)
TYPES: list[tuple[Any, str, pa.DataType]] = [
    ("BOOLEAN", "BOOLEAN", pa.bool_()),
    ("TINYINT", "TINYINT", pa.int8()),
    ("SMALLINT", "SMALLINT", pa.int16()),
    ("INT NOT NULL", "INT NOT NULL", pa.int32()),
    ("BIGINT", "BIGINT", pa.int64()),
    ("FLOAT", "FLOAT", pa.float32()),
    ("DOUBLE", "DOUBLE", pa.float64()),
    ("DECIMAL(10, 2)", "DECIMAL(10, 2)", pa.decimal128(10, 2)),
    ("CHAR(5)", "CHAR(5)", pa.string()),
    ("VARCHAR(5)", "VARCHAR(5)", pa.string()),
    ("STRING", "STRING", pa.string()),
    ("BINARY(4)", "BINARY(4)", pa.binary()),
    ("BYTES", "BYTES", pa.binary()),
    ("DATE", "DATE", pa.date32()),
    ("TIME(3)", "TIME(3)", pa.time32("ms")),
    ("TIMESTAMP(0)", "TIMESTAMP(0)", pa.timestamp("ms")),
    ("TIMESTAMP(3)", "TIMESTAMP(3)", pa.timestamp("ms")),
    ("TIMESTAMP(6)", "TIMESTAMP(6)", pa.timestamp("us")),
    ("TIMESTAMP(7)", "TIMESTAMP(7)", pa.timestamp("ns")),
    ("TIMESTAMP(6) WITH LOCAL TIME ZONE NOT NULL", "TIMESTAMP_LTZ(6) NOT NULL", pa.timestamp("us", "UTC")),
    ({"type": "ARRAY", "element": "INT NOT NULL"}, "ARRAY<INT NOT NULL>",
     pa.list_(pa.field("element", pa.int32(), nullable=False))),
    ({"type": "MAP NOT NULL", "key": "STRING", "value": "INT"}, "MAP<STRING, INT> NOT NULL",
     pa.map_(pa.string(), pa.int32())),
    ({"type": "MULTISET", "element": "STRING"}, "MULTISET<STRING>",
     pa.map_(pa.string(), pa.field("value", pa.int32(), nullable=False))),
    (ROW, "ROW<`x` INT, `y` STRING> NOT NULL", pa.struct([("x", pa.int32()), ("y", pa.string())])),
    ({"type": "ARRAY", "element": ROW}, "ARRAY<ROW<`x` INT, `y` STRING> NOT NULL>",
     pa.list_(pa.field("element", pa.struct([("x", pa.int32()), ("y", pa.string())]), nullable=False))),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "sql", "arrow"), TYPES, ids=[sql for _, sql, _ in TYPES])
def test_a_type_comes_back_from_its_text(spec: Any, sql: str, arrow: pa.DataType) -> None:
    kind = parse_type(spec)
    assert kind.to_json() == spec and parse_type(kind.to_json()) == kind
    assert (kind.sql(), str(kind), to_arrow(kind)) == (sql, sql, arrow)
    assert kind.with_nullable(True).nullable and not kind.with_nullable(False).nullable


ALIASES = [
    ("integer", "INT"),
    ("NUMERIC(4,1)", "DECIMAL(4, 1)"),
    ("dec", "DECIMAL(10, 0)"),
    ("DECIMAL ( 5 )", "DECIMAL(5, 0)"),
    ("DOUBLE PRECISION", "DOUBLE"),
    ("CHAR", "CHAR(1)"),
    ("VARCHAR", "VARCHAR(1)"),
    ("VARCHAR(2147483647)", "STRING"),
    ("VARBINARY(2147483647) NOT NULL", "BYTES NOT NULL"),
    ("TIME", "TIME(0)"),
    ("TIMESTAMP", "TIMESTAMP(6)"),
    ("TIMESTAMP(3) WITHOUT TIME ZONE", "TIMESTAMP(3)"),
    ("timestamp_ltz(3) not null", "TIMESTAMP(3) WITH LOCAL TIME ZONE NOT NULL"),
    ("TIMESTAMP WITH LOCAL TIME ZONE", "TIMESTAMP(6) WITH LOCAL TIME ZONE"),
    ("INT NULL", "INT"),
]


@pytest.mark.parametrize(("text", "canonical"), ALIASES)
def test_other_names_of_types(text: str, canonical: str) -> None:
    assert parse_type(text).to_json() == canonical


WRONG = ["", "INTT", "INT(", "DECIMAL(39, 1)", "DECIMAL(5, 6)", "TIMESTAMP(10)", "CHAR(0)", "ARRAY", "INT NOT", "1"]


@pytest.mark.parametrize("text", WRONG)
def test_what_is_no_type(text: str) -> None:
    with pytest.raises(ProgrammingError):
        parse_type(text)


def test_types_that_are_not_supported() -> None:
    with pytest.raises(NotSupportedError, match="VECTOR"):
        parse_type({"type": "VECTOR", "element": "FLOAT", "length": 3})
    with pytest.raises(NotSupportedError, match="duration"):
        from_arrow(pa.duration("s"))


FROM_ARROW = [
    (pa.uint8(), "SMALLINT"),
    (pa.uint32(), "BIGINT"),
    (pa.uint64(), "DECIMAL(20, 0)"),
    (pa.float16(), "FLOAT"),
    (pa.large_string(), "STRING"),
    (pa.string_view(), "STRING"),
    (pa.dictionary(pa.int8(), pa.string()), "STRING"),
    (pa.binary(4), "BYTES"),
    (pa.timestamp("s"), "TIMESTAMP(0)"),
    (pa.timestamp("ns", "Asia/Tokyo"), "TIMESTAMP(9) WITH LOCAL TIME ZONE"),
    (pa.time64("us"), "TIME(3)"),
    (pa.date64(), "DATE"),
    (pa.null(), "STRING"),
    (pa.decimal256(20, 2), "DECIMAL(20, 2)"),
]


@pytest.mark.parametrize(("arrow", "text"), FROM_ARROW, ids=str)
def test_arrow_types_that_only_others_use(arrow: pa.DataType, text: str) -> None:
    assert from_arrow(arrow).to_json() == text
    assert from_arrow(arrow, nullable=False).to_json() == f"{text} NOT NULL"


@pytest.mark.parametrize(("spec", "sql", "arrow"), TYPES, ids=[sql for _, sql, _ in TYPES])
def test_arrow_types_come_back(spec: Any, sql: str, arrow: pa.DataType) -> None:
    assert to_arrow(from_arrow(arrow)) == arrow


def test_fields() -> None:
    spec = {"id": 7, "name": "k", "type": "INT NOT NULL", "description": "the key", "defaultValue": "0"}
    field = field_from_json({**spec, "unknown": 1})
    assert field == DataField(7, "k", DataType(R.INT, False), "the key", "0") and field.to_json() == spec
    plain = DataField(8, "v", DataType(R.VARCHAR, length=MAX_LENGTH))
    assert plain.to_json() == {"id": 8, "name": "v", "type": "STRING"}
    assert arrow_schema([field, plain]) == pa.schema([pa.field("k", pa.int32(), nullable=False), ("v", pa.string())])

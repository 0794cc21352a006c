"""Files of every format that Paimon Java 1.4.2 wrote, in two time zones, hold the rows that Java itself reads."""

import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tsdb.data_types import DataField, DataType, TypeRoot, field_from_json, parse_type
from tsdb.errors import CorruptFile, NotSupportedError
from tsdb.format import read_columns
from tsdb.fs.local import LocalFileIO

FILES = Path(__file__).parent.parent.parent / "fixtures" / "java-formats"
JAVA = Path(__file__).parent.parent.parent / "fixtures" / "java-warehouse" / "db.db"
EXPECTED: dict[str, Any] = json.loads((FILES / "expected.json").read_text("utf-8"))
FIELDS = [field_from_json(spec) for spec in EXPECTED["fields"]]
IO = LocalFileIO()
_TIMES = (TypeRoot.TIMESTAMP, TypeRoot.TIMESTAMP_LTZ)
_NANOS = {"ms": 1_000_000, "us": 1000, "ns": 1}


def read(path: Path, fields: list[DataField]) -> pa.Table:
    return pa.Table.from_batches(list(read_columns(IO, str(path), fields)))


def plain(column: pa.ChunkedArray, kind: DataType) -> list[Any]:
    """The values in the form in which they were printed."""
    convert: Callable[[Any], Any] = lambda v: v  # noqa: E731
    if kind.root in _TIMES:
        nanos = _NANOS[column.type.unit]
        column = column.cast(pa.int64())
        convert = lambda v: f"{v * nanos // 1_000_000}:{v * nanos % 1_000_000}"  # noqa: E731
    elif kind.root in (TypeRoot.DATE, TypeRoot.TIME):
        column = column.cast(pa.int32())
    elif kind.root in (TypeRoot.BINARY, TypeRoot.VARBINARY):
        convert = lambda v: base64.b64encode(v).decode()  # noqa: E731
    elif kind.root is TypeRoot.DECIMAL:
        convert = lambda v: f"{v:f}"  # noqa: E731
    elif kind.root in (TypeRoot.FLOAT, TypeRoot.DOUBLE):
        convert = lambda v: str(v).replace("1e+300", "1.0E300")  # noqa: E731
    return [None if value is None else convert(value) for value in column.to_pylist()]


@pytest.mark.parametrize("name", ["parquet-utc", "parquet-tokyo", "avro-utc", "avro-tokyo", "orc-utc", "orc-tokyo"])
def test_the_rows_are_those_of_java(name: str) -> None:
    extension = name.split("-")[0]
    rows = EXPECTED["rows"][name]
    fields = FIELDS[: len(rows[0])]
    table = read(FILES / f"{name}.{extension}", fields)
    for field in fields:
        column = plain(table[field.name], field.type)
        wanted = [row[FIELDS.index(field)] for row in rows]
        if extension == "orc" and field.type.root in _TIMES and field.type.precision:
            # the last second before 1970: Java writes it as the first one after, and does not always read that back
            column, wanted = column[:2], wanted[:2]
        assert column == wanted, field.name


def test_java_decimals_keep_their_types() -> None:
    table = read(FILES / "avro-utc.avro", FIELDS[:22])
    assert table.schema.field("d38").type == pa.decimal128(38, 10) and table.schema.field("tm").type == pa.time32("ms")


@pytest.mark.parametrize("path", sorted(FILES.glob("*-utc.*")), ids=lambda p: p.name)
def test_some_columns_and_columns_that_the_file_lacks(path: Path) -> None:
    table = read(path, [DataField(99, "new", parse_type("INT NOT NULL")), FIELDS[0]])
    assert table.column_names == ["new", "k"] and table["new"].null_count == len(table) > 2
    assert table["k"].to_pylist() == list(range(1, len(table) + 1))
    assert sum(batch.num_rows for batch in read_columns(IO, str(path), [])) == len(table)
    only_new = read(path, [DataField(99, "new", parse_type("STRING"))])
    assert only_new["new"].to_pylist() == [None] * len(table)


def test_tables_of_java_in_orc_and_avro() -> None:
    fields = [DataField(-1, "_VALUE_KIND", parse_type("TINYINT")), *FIELDS[:1], DataField(1, "v", parse_type("STRING"))]
    for pattern, rows in (
        ("orct/bucket-0/*.orc", [(0, 1, "a")]),
        ("avrot/bucket-0/*.avro", [(0, 1, "a")]),
        ("postpone/bucket-postpone/*.avro", [(0, 1, "a"), (0, 2, "b"), (3, 1, "a")]),
    ):
        (path,) = JAVA.glob(pattern)
        assert [tuple(row.values()) for row in read(path, fields).to_pylist()] == rows


def read_columns_now(path: Path, fields: list[DataField]) -> None:
    list(read_columns(IO, str(path), fields))


@pytest.mark.parametrize("name", ["avro-utc.avro", "orc-utc.orc", "parquet-utc.parquet"])
def test_a_damaged_file_is_named(name: str, tmp_path: Path) -> None:
    data = (FILES / name).read_bytes()
    rng = np.random.default_rng(7)
    for damaged in (b"", data[: len(data) // 2], data[:-1], rng.bytes(len(data))):
        path = tmp_path / name
        path.write_bytes(damaged)
        with pytest.raises(CorruptFile, match=name):
            read_columns_now(path, FIELDS[:3])
    with pytest.raises(CorruptFile, match=r"gone.*missing"):
        read_columns_now(tmp_path / f"gone.{name.split('.')[-1]}", FIELDS[:1])


def test_other_formats_are_refused() -> None:
    with pytest.raises(NotSupportedError, match=r"x\.csv.*parquet, orc, avro"):
        read_columns_now(Path("/x.csv"), FIELDS[:1])

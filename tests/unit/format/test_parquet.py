"""Parquet files as Paimon's readers want them, and reading them back."""

import datetime as dt
import decimal
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tsdb.data_types import DataField, parse_type
from tsdb.errors import CorruptFile, DataError
from tsdb.format.parquet import (
    LARGE_GROUP_ROWS,
    ROW_GROUP_ROWS,
    open_parquet,
    physical_schema,
    read_batches,
    read_parquet,
    write_parquet,
)
from tsdb.fs.local import LocalFileIO
from tsdb.options import TableOptions

IO = LocalFileIO()
D = decimal.Decimal
JAVA = Path(__file__).parent.parent.parent / "fixtures" / "java-warehouse" / "db.db"


def fields(*types: Any) -> list[DataField]:
    return [DataField(i, f"c{i}", parse_type(t)) for i, t in enumerate(types)]


def write(path: Path, columns: list[DataField], values: list[list[Any]], **options: str) -> pq.FileMetaData:
    schema = physical_schema(columns, ())
    arrays = [pa.array(v, f.type) for v, f in zip(values, schema, strict=True)]
    table = pa.Table.from_arrays(arrays, schema=schema)
    size = write_parquet(IO, str(path), table.to_batches(), schema, TableOptions(options))
    assert size == path.stat().st_size
    return pq.read_metadata(path)


def shape(node: Any) -> list[str]:
    """The field id and the logical type of every column of a Parquet schema, as its text has them."""
    # the group within a map has a mark of old, which no reader needs
    lines = [line.strip().rstrip(";").replace("key_value (Map) {", "key_value {") for line in str(node).splitlines()]
    return [line for line in lines if "field_id" in line and "schema" not in line]


@pytest.mark.parametrize("table", ["alltypes_pk", "append_b", "evo", "part", "cl_none", "thin"])
def test_columns_ids_and_types_are_those_of_java(table: str, tmp_path: Path) -> None:
    from_java = sorted((JAVA / table).rglob("data-*.parquet"))
    assert from_java
    for path in from_java:
        with open_parquet(IO, str(path)) as file:
            rows = file.read()
            theirs = shape(file.schema)
        schema, key = table_schema(JAVA / table, theirs)
        ours = physical_schema(schema, key, thin=table == "thin")
        again = tmp_path / path.name
        write_parquet(IO, str(again), rows.cast(ours).to_batches(), ours, TableOptions({}))
        with open_parquet(IO, str(again)) as file:
            if any("int96" in line for line in theirs):  # pyarrow writes INT96 for all timestamps or for none
                theirs = [re.sub(r"int64 (.*) \(Timestamp.*", r"int96 \1", line) for line in theirs]
            assert shape(file.schema) == theirs
            assert file.read().cast(rows.schema) == rows


def table_schema(table: Path, columns: list[str]) -> tuple[list[DataField], list[str]]:
    """The columns that the file was written with, and its key."""
    for path in sorted((table / "schema").glob("schema-*"), reverse=True):
        spec = json.loads(path.read_text("utf-8"))
        found = [DataField(f["id"], f["name"], parse_type(f["type"])) for f in spec["fields"]]
        if all(any(f" {f.name}" in line for line in columns) for f in found):
            key = [k for k in spec["primaryKeys"] if k not in spec["partitionKeys"]]
            return found, key
    raise AssertionError(table)


def test_ids_of_structured_columns() -> None:
    columns = [
        DataField(5, "arr", parse_type({"type": "ARRAY", "element": "INT"})),
        DataField(7, "m", parse_type({"type": "MAP", "key": "STRING", "value": "INT"})),
        DataField(9, "aa", parse_type({"type": "ARRAY", "element": {"type": "ARRAY", "element": "INT"}})),
        DataField(10, "ms", parse_type({"type": "MULTISET", "element": "STRING"})),
    ]
    schema = physical_schema(columns, ())

    def id_of(field: pa.Field) -> int:
        return int(field.metadata[b"PARQUET:field_id"])

    arr, m, aa, ms = (field.type for field in schema)
    assert id_of(arr.value_field) == 536876032
    assert (id_of(m.key_field), id_of(m.item_field)) == (536863742, 536878080)
    assert (id_of(aa.value_field), id_of(aa.value_field.type.value_field)) == (536880128, 536880129)
    assert (id_of(ms.key_field), id_of(ms.item_field)) == (536860670, 536881152)


def test_the_columns_of_a_primary_key_table() -> None:
    columns = fields("INT NOT NULL", "STRING")
    names = ["_KEY_c0", "_SEQUENCE_NUMBER", "_VALUE_KIND", "c0", "c1"]
    schema = physical_schema(columns, ["c0"])
    assert schema.names == names and physical_schema(columns, ["c0"], thin=True).names == names[1:]
    ids = [int(field.metadata[b"PARQUET:field_id"]) for field in schema]
    assert ids == [1073741823, 2147483646, 2147483645, 0, 1]
    assert [field.nullable for field in schema] == [False, False, False, False, True]


def test_decimals_are_integers_where_they_fit_and_all_is_zstd(tmp_path: Path) -> None:
    columns = fields("DECIMAL(9, 2)", "DECIMAL(18, 2)", "DECIMAL(38, 2)", "TINYINT", "TIME(3)")
    meta = write(tmp_path / "x.parquet", columns, [[D("1.50")], [D("-1.50")], [D("1.5")], [3], [dt.time(1)]])
    assert [meta.schema.column(i).physical_type for i in range(5)] == [
        "INT32", "INT64", "FIXED_LEN_BYTE_ARRAY", "INT32", "INT32",
    ]  # fmt: skip
    assert {meta.row_group(0).column(i).compression for i in range(5)} == {"ZSTD"}
    assert meta.metadata is None or b"ARROW:schema" not in meta.metadata


NANOS: list[Any] = [
    "TIMESTAMP(9)",
    "TIMESTAMP(7) WITH LOCAL TIME ZONE",
    {"type": "ARRAY", "element": "TIMESTAMP(9)"},
    {"type": "MAP", "key": "INT", "value": "TIMESTAMP(9)"},
    {"type": "MAP", "key": "TIMESTAMP(9)", "value": "INT"},
    {"type": "MULTISET", "element": "TIMESTAMP(9)"},
    {"type": "ROW", "fields": [{"id": 9, "name": "r", "type": {"type": "ARRAY", "element": "TIMESTAMP(9)"}}]},
]


@pytest.mark.parametrize("kind", NANOS, ids=str)
def test_int64_nanoseconds_are_never_written(kind: Any, tmp_path: Path) -> None:
    meta = write(tmp_path / "x.parquet", fields(kind, "TIMESTAMP(3)"), [[None], [None]])
    physical = [meta.schema.column(i).physical_type for i in range(meta.num_columns)]
    assert physical.count("INT96") == 2, physical
    meta = write(tmp_path / "y.parquet", fields("TIMESTAMP(6)", "TIMESTAMP(3)"), [[None], [None]])
    assert [meta.schema.column(i).physical_type for i in range(2)] == ["INT64", "INT64"]


def test_times_that_int96_would_garble_are_refused(tmp_path: Path) -> None:
    columns = fields("TIMESTAMP(9)", "TIMESTAMP(3)")
    with pytest.raises(DataError, match=r"`c1`.*1678"):
        write(tmp_path / "x.parquet", columns, [[None], [dt.datetime(9999, 1, 1)]])
    fine = fields("TIMESTAMP(6)", "TIMESTAMP(3)")
    write(tmp_path / "y.parquet", fine, [[dt.datetime(1, 1, 1)], [dt.datetime(9999, 1, 1)]])
    (batch,) = read_parquet(IO, str(tmp_path / "y.parquet"), fine)
    assert batch.to_pylist() == [{"c0": dt.datetime(1, 1, 1), "c1": dt.datetime(9999, 1, 1)}]


def test_only_what_repeats_has_a_dictionary(tmp_path: Path) -> None:
    count = 100_000
    rng = np.random.default_rng(1)
    columns = fields("BIGINT", "STRING", "STRING", "DOUBLE")
    values: list[list[Any]] = [
        rng.permutation(count).tolist(),
        [f"user {i}" for i in range(count)],
        [("red", "green", "blue")[i % 3] for i in range(count)],
        rng.random(count).tolist(),
    ]
    meta = write(tmp_path / "x.parquet", columns, values)
    has = ["RLE_DICTIONARY" in meta.row_group(0).column(i).encodings for i in range(4)]
    assert has == [False, False, True, False]


def test_row_groups_and_columns_by_name(tmp_path: Path) -> None:
    count = LARGE_GROUP_ROWS + 10
    columns = fields("BIGINT", "BIGINT")
    path = tmp_path / "x.parquet"
    meta = write(path, columns, [list(range(count)), [0] * count])
    assert meta.num_row_groups == 2 and meta.num_rows == count
    rows = pa.Table.from_batches(list(read_batches(IO, str(path), ["c1", "c0"], row_groups=[1])))
    assert rows.column_names == ["c1", "c0"] and rows["c0"].to_pylist() == list(range(LARGE_GROUP_ROWS, count))
    assert pq.ParquetFile(path).metadata.row_group(0).column(0).has_column_index


def test_row_groups_are_small_where_a_key_is_looked_up_and_where_rows_are_wide(tmp_path: Path) -> None:
    count = ROW_GROUP_ROWS + 10
    keyed = physical_schema(fields("BIGINT NOT NULL"), ("c0",))
    numbers = pa.array(range(count), pa.int64())
    kinds = pa.nulls(count, pa.int8()).fill_null(0)
    batch = pa.RecordBatch.from_arrays([numbers, numbers, kinds, numbers], schema=keyed)
    write_parquet(IO, str(tmp_path / "keyed.parquet"), [batch], keyed, TableOptions({}))
    assert pq.ParquetFile(tmp_path / "keyed.parquet").metadata.num_row_groups == 2
    meta = write(tmp_path / "wide.parquet", fields("STRING"), [["x" * (1 << 20)] * 100])
    assert meta.num_row_groups == 2  # 64 MB each


def test_a_file_of_no_rows_and_the_codec(tmp_path: Path) -> None:
    path = tmp_path / "x.parquet"
    schema = physical_schema(fields("BIGINT"), ())
    write_parquet(IO, str(path), [], schema, TableOptions({}))
    assert list(read_batches(IO, str(path))) == [] and pq.read_metadata(path).num_rows == 0
    for codec in ("lz4", "snappy", "none", "gzip"):
        meta = write(tmp_path / f"{codec}.parquet", fields("BIGINT"), [[1]], **{"file.compression": codec})
        name = meta.row_group(0).column(0).compression
        assert name == {"none": "UNCOMPRESSED"}.get(codec, codec.upper())


def test_writing_twice_gives_the_same_bytes(tmp_path: Path) -> None:
    columns = fields("BIGINT", "STRING")
    for name in "ab":
        write(tmp_path / name, columns, [[1, 2, None], ["x", None, "y"]])
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_a_missing_column_is_null_and_a_missing_file_is_named(tmp_path: Path) -> None:
    write(tmp_path / "x.parquet", fields("BIGINT"), [[1]])
    (batch,) = read_parquet(IO, str(tmp_path / "x.parquet"), fields("INT", "STRING"))
    assert batch.to_pylist() == [{"c0": 1, "c1": None}] and batch.schema.types == [pa.int32(), pa.string()]
    with pytest.raises(CorruptFile, match="missing"):
        list(read_parquet(IO, str(tmp_path / "y.parquet"), fields("INT")))


def test_the_size_of_row_groups(tmp_path: Path) -> None:
    columns = fields("BIGINT")
    meta = write(tmp_path / "x.parquet", columns, [list(range(10_000))], **{"file.block-size": "16 kb"})
    rows = [meta.row_group(i).num_rows for i in range(meta.num_row_groups)]
    assert sum(rows) == 10_000 and max(rows) <= 2048 and len(rows) == 5

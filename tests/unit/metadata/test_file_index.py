"""File indexes: Java's bytes, hashes against vectors, and the law that no index ever loses a row."""

import datetime as dt
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tsdb.data_types import DataField, parse_type, to_arrow
from tsdb.errors import ColumnNotFound, CorruptFile, NotSupportedError, OptionError
from tsdb.fs.local import LocalFileIO
from tsdb.metadata.file_index import FileIndex, FileIndexWriter, wanted_indexes
from tsdb.metadata.file_index.container import decode, encode
from tsdb.metadata.file_index.hashing import wang, xxh64
from tsdb.metadata.manifest import read_manifest
from tsdb.metadata.predicate import Comparison, Or
from tsdb.metadata.schema import SchemaManager

JAVA = Path(__file__).parent.parent.parent / "fixtures" / "java-warehouse" / "db.db"
IO = LocalFileIO()


def java_indexes(table: str) -> list[tuple[bytes, list[DataField]]]:
    """The containers of the table's files, and its fields."""
    path = JAVA / table
    schema = SchemaManager(IO, str(path)).latest()
    assert schema is not None
    found = []
    for manifest in path.glob("manifest/manifest-[!l]*"):
        for entry in read_manifest(IO, str(manifest)):
            if entry.file.embedded_file_index is not None:
                found.append(entry.file.embedded_file_index)
            for name in entry.file.extra_files:
                found.append(next(path.rglob(name)).read_bytes())
    return [(data, list(schema.fields)) for data in found]


def table_of(name: str) -> pa.Table:
    """The rows of a fixture's only data file."""
    (path,) = (JAVA / name).rglob("*.parquet")
    return pq.ParquetFile(path).read()


def test_numbers_are_hashed_as_java_does() -> None:
    hashed = wang(np.array([0, 1, -1, 42])).view(np.int64).tolist()
    assert hashed == [0, 6614235796240398542, 6614246905173314819, 1098236396662648698]


def test_bytes_are_hashed_by_xxh64() -> None:
    known = {
        b"": 0xEF46DB3751D8E999,
        b"a": 0xD24EC4F1A98C6E5B,
        b"as": 0x1C330FB2D66BE179,
        b"asd": 0x631C37CE72A97393,
        b"asdf": 0x415872F599CEA71E,
        b"Call me Ishmael. Some years ago--never mind how long precisely-": 0x02A2E85470D6FD96,
    }
    values = pa.array([b"zz", *known, b""], pa.binary()).slice(1)
    assert xxh64(values).tolist() == [*known.values(), known[b""]]
    assert len(set(xxh64(pa.array([b"x" * n for n in range(200)], pa.binary())).tolist())) == 200


def test_bloom_filters_have_the_bits_of_java() -> None:
    options = {f"file-index.bloom-filter.{c}.items": "20" for c in "isd"}
    options |= {"file-index.bloom-filter.columns": "i,s,d"}
    fields = [
        DataField(n, c, parse_type(t)) for n, (c, t) in enumerate([("i", "INT"), ("s", "STRING"), ("d", "DOUBLE")])
    ]
    writer = FileIndexWriter(wanted_indexes(options, fields), fields)
    rows = {"i": [-1, 6, 13, 20, 27], "s": [f"value{i}" for i in range(5)], "d": [0, 0.5, 1, 1.5, 2]}
    writer.add(pa.table({f.name: pa.array(rows[f.name], to_arrow(f.type)) for f in fields}))
    made = decode(writer.finish() or b"")
    assert {column: kinds["bloom-filter"].hex() for column, kinds in made.items()} == {
        "i": "00000003809102040008000006001029",
        "s": "00000003020028182008810420100160",
        "d": "000000030940010680400244c0000000",
    }


@pytest.mark.parametrize("name", ["bloom_emb", "bloom_file", "bitmapidx"])
def test_the_indexes_of_java_are_read_and_written_to_the_byte(name: str) -> None:
    ((data, fields),) = java_indexes(name)
    indexes = decode(data)
    assert indexes and encode(indexes) == data
    rows = table_of(name)
    index = FileIndex(data, {f.name: f for f in fields}, name)
    names = {f.name: f.name for f in fields}
    for column, kinds in indexes.items():
        for value in rows[column].to_pylist():
            op = "=" if value is not None else "is null"
            assert index.may_match(Comparison(op, column, () if value is None else (value,)), names)
        absent = "no such" if pa.types.is_string(rows[column].type) else 10**6
        if "bitmap" in kinds:
            assert not index.may_match(Comparison("=", column, (absent,)), names)


def test_the_sample_bitmap_of_java_is_written_to_the_byte() -> None:
    fields = [DataField(0, "c", parse_type("STRING"))]
    writer = FileIndexWriter(wanted_indexes({"file-index.bitmap.columns": "c"}, fields), fields)
    writer.add(pa.table({"c": pa.chunked_array([pa.array(["a", None]), pa.array(["a", "b"])])}))
    assert decode(writer.finish() or b"")["c"]["bitmap"].hex() == (
        "02000000040000000201fffffffe000000120000000100000001610000000" "00000001e"
        "000000020000000161000000000000001400000001" "62fffffffcffffffff"
        "3a30000001000000000001001000000000000200"
    )  # fmt: skip


KINDS: dict[str, st.SearchStrategy[Any]] = {
    "TINYINT": st.integers(-128, 127),
    "SMALLINT": st.integers(-100, 100),
    "INT": st.integers(-(2**31), 2**31 - 1) | st.integers(-3, 3),
    "BIGINT": st.integers(-(2**63), 2**63 - 1) | st.integers(-3, 3),
    "STRING": st.text(max_size=3) | st.text(max_size=80),
    "BOOLEAN": st.booleans(),
    "DATE": st.dates(),
    "TIME(3)": st.integers(0, 86399999).map(lambda ms: (dt.datetime.min + dt.timedelta(milliseconds=ms)).time()),
    "TIMESTAMP(3)": st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)).map(
        lambda t: t.replace(microsecond=t.microsecond // 1000 * 1000)
    ),
    "TIMESTAMP(6)": st.datetimes(dt.datetime(1900, 1, 1), dt.datetime(2100, 1, 1)),
    "DOUBLE": st.floats() | st.sampled_from([0.0, -0.0, 1.5]),
    "FLOAT": st.floats(width=32),
    "BYTES": st.binary(max_size=40),
}
MAP: Any = {"type": "MAP", "key": "STRING", "value": "INT"}
ORDERED = ("=", "!=", "<", "<=", ">", ">=")


def holds(op: str, value: Any, constant: Any) -> bool:
    return {
        "=": value == constant, "!=": value != constant, "<": value < constant,
        "<=": value <= constant, ">": value > constant, ">=": value >= constant,
    }[op]  # fmt: skip


@pytest.mark.parametrize("kind", KINDS)
@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_no_index_rules_out_a_file_with_a_matching_row(kind: str, data: st.DataObject) -> None:
    values = data.draw(st.lists(st.none() | KINDS[kind], min_size=1, max_size=30))
    fields = [DataField(0, "c", parse_type(kind))]
    options = {"file-index.bloom-filter.c.items": "30"}
    if kind != "BOOLEAN":
        options["file-index.bloom-filter.columns"] = "c"
    if kind != "BYTES":
        options |= {"file-index.bitmap.columns": "c", "file-index.bitmap.c.index-block-size": "64 b"}
        options |= {"file-index.range-bitmap.columns": "c", "file-index.range-bitmap.c.chunk-size": "40 b"}
    if kind == "STRING":
        options |= {f"file-index.{x}": "1 kb" for x in ("bitmap.c.index-block-size", "range-bitmap.c.chunk-size")}
    if kind not in ("STRING", "BYTES", "BOOLEAN", "DOUBLE", "FLOAT"):
        options["file-index.bsi.columns"] = "c"
    writer = FileIndexWriter(wanted_indexes(options, fields), fields)
    array = pa.array(values, to_arrow(fields[0].type))
    cut = data.draw(st.integers(0, len(values)))
    for part in (array[:cut], array[cut:]):
        writer.add(pa.table({"c": part}))
    index = FileIndex(writer.finish() or b"", {"c": fields[0]}, "here")
    constants = [v for v in values if v is not None] + [data.draw(KINDS[kind])]
    for constant in constants:
        for op in ORDERED:
            is_there = any(v is not None and holds(op, v, constant) for v in values)
            may = index.may_match(Comparison(op, "c", (constant,)), {"c": "c"})
            assert may or not is_there, (op, constant, values)
            if "bitmap" in str(options) and op == "=" and kind not in ("DOUBLE", "FLOAT"):
                assert may == is_there
        assert index.may_match(Comparison("in", "c", (constant, constants[0])), {"c": "c"}) or not any(
            v in (constant, constants[0]) for v in values
        )
    assert index.may_match(Comparison("is null", "c"), {"c": "c"}) or None not in values
    assert index.may_match(Comparison("is not null", "c"), {"c": "c"}) or set(values) == {None}


def test_many_distinct_values_of_many_rows() -> None:
    fields = [DataField(0, "c", parse_type("INT"))]
    writer = FileIndexWriter(wanted_indexes({"file-index.bitmap.columns": "c"}, fields), fields)
    numbers = np.random.default_rng(3).integers(0, 100_000, 150_000)
    writer.add(pa.table({"c": pa.array(numbers * 2, pa.int32())}))
    index = FileIndex(writer.finish() or b"", {"c": fields[0]}, "here")
    there = set(numbers.tolist())
    for number in range(0, 100_000, 371):
        assert index.may_match(Comparison("=", "c", (number * 2,)), {"c": "c"}) == (number in there)
        assert not index.may_match(Comparison("=", "c", (number * 2 + 1,)), {"c": "c"})
    assert not index.may_match(Or((Comparison("<", "c", (0,)), Comparison(">", "c", (200_000,)))), {"c": "c"})


def test_what_cannot_be_indexed_is_named() -> None:
    fields = [DataField(0, "c", parse_type("DECIMAL(10, 2)")), DataField(1, "m", parse_type(MAP))]
    for key, value, error, why in (
        ("file-index.blom-filter.columns", "c", OptionError, "no index 'blom-filter'.*bloom-filter"),
        ("file-index.bitmap.columns", "x", ColumnNotFound, "no column `x`"),
        ("file-index.bitmap.columns", "c", NotSupportedError, "DECIMAL"),
        ("file-index.bloom-filter.columns", "m[k]", NotSupportedError, "map"),
        ("file-index.bsi.columns", "m", NotSupportedError, "MAP"),
    ):
        with pytest.raises(error, match=why):
            wanted_indexes({key: value}, fields)
    text = [DataField(0, "s", parse_type("STRING"))]
    with pytest.raises(OptionError, match="'fpp' < 1"):
        wanted_indexes({"file-index.bloom-filter.columns": "s", "file-index.bloom-filter.s.fpp": "2"}, text)


def test_damage_is_named() -> None:
    ((data, fields),) = java_indexes("bitmapidx")
    by_name = {f.name: f for f in fields}
    for damaged in (b"", data[:30], b"\7" + data[1:], data[:-60]):
        with pytest.raises(CorruptFile, match="file index in somewhere"):
            FileIndex(damaged, by_name, "somewhere")

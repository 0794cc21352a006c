"""BinaryRow against bytes, hashes and buckets that Paimon Java 1.4.2 printed."""

import datetime as dt
import decimal
import struct
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tsdb.data_types import MAX_LENGTH, DataType, TypeJson, TypeRoot, parse_type, to_arrow
from tsdb.errors import NotSupportedError
from tsdb.metadata.binary_row import bucket_of, decode_row, encode_row, encode_rows, hash_rows
from tsdb.metadata.binary_value import nested_bytes

D = decimal.Decimal
TS = dt.datetime(2024, 5, 14, 13, 34, 56, 789000)
BUCKETS = (2, 4, 5, 16, 128)
# (types, values, row bytes in hex without the field count, hash, its buckets of 2, 4, 5, 16 and 128)
VECTORS: list[tuple[list[TypeJson], tuple[Any, ...], str, int, tuple[int, ...]]] = [
    (["INT"], (1,), "00000000000000000100000000000000", 1465514398, (0, 2, 3, 14, 30)),
    (["INT"], (0,), "00000000000000000000000000000000", -300363099, (1, 3, 4, 11, 91)),
    (["INT"], (-1,), "0000000000000000ffffffff00000000", 1133687267, (1, 3, 2, 3, 99)),
    (["INT"], (42,), "00000000000000002a00000000000000", 907821237, (1, 1, 2, 5, 53)),
    (["INT"], (2**31 - 1,), "0000000000000000ffffff7f00000000", -1125657321, (1, 1, 1, 9, 105)),
    (["INT"], (None,), "00010000000000000000000000000000", -1748325344, (0, 0, 4, 0, 96)),
    (["BIGINT"], (1,), "00000000000000000100000000000000", 1465514398, (0, 2, 3, 14, 30)),
    (["BIGINT"], (-1,), "0000000000000000ffffffffffffffff", -821098432, (0, 0, 2, 0, 64)),
    (["BIGINT"], (1234567890123,), "0000000000000000cb04fb711f010000", -1873221036, (0, 0, 1, 12, 44)),
    (["TINYINT"], (-3,), "0000000000000000fd00000000000000", -1390933618, (0, 2, 3, 2, 114)),
    (["SMALLINT"], (300,), "00000000000000002c01000000000000", 690796707, (1, 3, 2, 3, 35)),
    (["BOOLEAN"], (True,), "00000000000000000100000000000000", 1465514398, (0, 2, 3, 14, 30)),
    (["FLOAT"], (1.5,), "00000000000000000000c03f00000000", -173842779, (1, 3, 4, 11, 91)),
    (["DOUBLE"], (1.5,), "0000000000000000000000000000f83f", 1860889473, (1, 1, 3, 1, 1)),
    (["DOUBLE"], (-0.0,), "00000000000000000000000000000080", 302122119, (1, 3, 4, 7, 7)),
    (["DOUBLE"], (float("nan"),), "0000000000000000000000000000f87f", -1323214697, (1, 1, 2, 9, 105)),
    (["DATE"], (dt.date(2024, 5, 14),), "0000000000000000914d000000000000", 1806713378, (0, 2, 3, 2, 34)),
    (["TIME(3)"], (dt.time(12, 34, 56, 789000),), "0000000000000000952cb30200000000", 1815782997, (1, 1, 2, 5, 85)),
    (["DECIMAL(10, 2)"], (D("123.45"),), "00000000000000003930000000000000", 767607022, (0, 2, 2, 14, 110)),
    (["DECIMAL(10, 2)"], (D("-1.00"),), "00000000000000009cffffffffffffff", 861196646, (0, 2, 1, 6, 102)),
    (["DECIMAL(20, 3)"], (D("123.456"),), "0000000000000000030000001000000001e24000000000000000000000000000", -2052491411, (1, 3, 1, 3, 19)),  # noqa: E501
    (["DECIMAL(20, 3)"], (D("-1.000"),), "00000000000000000200000010000000fc180000000000000000000000000000", -1147727520, (0, 0, 0, 0, 32)),  # noqa: E501
    (["DECIMAL(38, 18)"], (D("12345678901234567890.123456789012345678"),), "000000000000000010000000100000000949b0f6f0023313c4499050de38f34e", 496617349, (1, 1, 4, 5, 5)),  # noqa: E501
    (["DECIMAL(20, 3)"], (None,), "0001000000000000000000001000000000000000000000000000000000000000", -1380280760, (0, 0, 0, 8, 56)),  # noqa: E501
    (["STRING"], ("",), "00000000000000000000000000000080", 302122119, (1, 3, 4, 7, 7)),
    (["STRING"], ("a",), "00000000000000006100000000000081", 943281246, (0, 2, 1, 14, 94)),
    (["STRING"], ("abcdefg",), "00000000000000006162636465666787", -1431907323, (1, 3, 3, 11, 123)),
    (["STRING"], ("abcdefgh",), "000000000000000008000000100000006162636465666768", -843760178, (0, 2, 3, 2, 50)),
    (["STRING"], ("hello world",), "00000000000000000b0000001000000068656c6c6f20776f726c640000000000", 161593394, (0, 2, 4, 2, 50)),  # noqa: E501
    (["STRING"], ("é中",), "0000000000000000c3a9e4b8ad000085", -1523287501, (1, 1, 1, 13, 77)),
    (["STRING"], ("user_00000000000042",), "00000000000000001300000010000000757365725f30303030303030303030303034320000000000", 1610468800, (0, 0, 0, 0, 64)),  # noqa: E501
    (["STRING"], (None,), "00010000000000000000000000000000", -1748325344, (0, 0, 4, 0, 96)),
    (["CHAR(5)"], ("ab",), "00000000000000006162000000000082", -425866811, (1, 3, 1, 11, 59)),
    (["BYTES"], (b"\x00\xff",), "000000000000000000ff000000000082", 979549812, (0, 0, 2, 4, 116)),
    (["BYTES"], (bytes(range(10)),), "00000000000000000a0000001000000000010203040506070809000000000000", 1822312655, (1, 3, 0, 15, 79)),  # noqa: E501
    (["TIMESTAMP(0)"], (TS.replace(microsecond=0),), "0000000000000000003450778f010000", -106279342, (0, 2, 2, 14, 46)),
    (["TIMESTAMP(3)"], (TS,), "0000000000000000153750778f010000", -472507871, (1, 3, 1, 15, 95)),
    (["TIMESTAMP(6)"], (TS + dt.timedelta(microseconds=123),), "000000000000000078e0010010000000153750778f010000", -1053573033, (1, 1, 3, 9, 41)),  # noqa: E501
    (["TIMESTAMP(9)"], (np.datetime64(TS) + np.timedelta64(123456, "ns"),), "000000000000000040e2010010000000153750778f010000", -128712264, (0, 0, 4, 8, 72)),  # noqa: E501
    (["TIMESTAMP(6)"], (None,), "000100000000000000000000100000000000000000000000", -340882661, (1, 1, 1, 5, 101)),
    (["TIMESTAMP(6) WITH LOCAL TIME ZONE"], (dt.datetime(1969, 12, 31, 23, 59, 59, 999999, dt.UTC),), "0000000000000000583e0f0010000000ffffffffffffffff", 1236894319, (1, 3, 4, 15, 111)),  # noqa: E501
    (["INT", "STRING"], (1, "abc"), "000000000000000001000000000000006162630000000083", 261371745, (1, 1, 0, 1, 97)),
    (["STRING", "BIGINT", "DECIMAL(20, 3)", "INT"], ("hello world", 7, D("1.500"), None), "00080000000000000b0000002800000007000000000000000200000038000000000000000000000068656c6c6f20776f726c64000000000005dc0000000000000000000000000000", 643124051, (1, 3, 1, 3, 83)),  # noqa: E501
    ([{"type": "ARRAY", "element": "INT"}], ([1, None, 3],), "00000000000000001800000010000000030000000200000001000000000000000300000000000000", 1830759751, (1, 3, 1, 7, 71)),  # noqa: E501
    ([{"type": "ARRAY", "element": "STRING"}], (["a", "hello world"],), "00000000000000002800000010000000020000000000000061000000000000810b0000001800000068656c6c6f20776f726c640000000000", -828669003, (1, 3, 3, 11, 75)),  # noqa: E501
    ([{"type": "MAP", "key": "STRING", "value": "INT"}], ([("k", 1)],), "000000000000000024000000100000001000000001000000000000006b000000000000810100000000000000010000000000000000000000", 1505123240, (0, 0, 0, 8, 40)),  # noqa: E501
    ([{"type": "ROW", "fields": [{"name": "f0", "type": "INT"}, {"name": "f1", "type": "STRING"}]}], ({"f0": 5, "f1": "x"},), "00000000000000001800000010000000000000000000000005000000000000007800000000000081", 1858064785, (1, 1, 0, 1, 17)),  # noqa: E501
]


def arrays(values: tuple[Any, ...], kinds: list[DataType]) -> list[pa.Array]:
    return [pa.array([v], to_arrow(t)) for v, t in zip(values, kinds, strict=True)]


@pytest.mark.parametrize("vector", VECTORS, ids=lambda v: f"{v[0]}:{v[1]}")
def test_bytes_hash_and_buckets_are_those_of_java(vector: tuple[Any, ...]) -> None:
    types, values, row, hashed, buckets = vector
    kinds = [parse_type(t) for t in types]
    data = encode_row(values, kinds)
    assert (data[:4], data[4:].hex()) == (struct.pack(">i", len(kinds)), row)
    hashes = hash_rows(arrays(values, kinds), kinds)
    assert hashes.tolist() == [hashed]
    assert tuple(int(bucket_of(hashes, n)[0]) for n in BUCKETS) == buckets
    decoded = decode_row(data, kinds)
    if kinds[0].precision <= 6 or kinds[0].root is TypeRoot.DECIMAL:  # nanoseconds have no Python value
        assert repr(decoded) == repr(values)
        assert encode_row(decoded, kinds) == data


def test_the_array_and_the_wide_row_of_java() -> None:
    bigints = parse_type({"type": "ARRAY", "element": "BIGINT"})
    assert nested_bytes([0, None, 2], bigints).hex() == (
        "0300000002000000" + "0000000000000000" + "0000000000000000" + "0200000000000000"
    )
    kinds = [parse_type("INT")] * 57
    values = [None if i % 3 == 0 else i for i in range(57)]
    row = encode_row(values, kinds)[4:]
    assert row[:16].hex() == "0049922449922449" + "00" * 8 and len(row) == 16 + 57 * 8
    assert decode_row(encode_row(values, kinds), kinds) == tuple(values)
    assert hash_rows([pa.array([v], pa.int32()) for v in values], kinds).tolist() == [-327379039]


def murmur(data: bytes) -> int:
    """Murmur3 over words, one after the other: the oracle of the hash over columns."""
    h, whole = 42, 0xFFFFFFFF
    for (k,) in struct.iter_unpack("<I", data):
        k = k * 0xCC9E2D51 & whole
        k = (k << 15 | k >> 17) & whole
        h ^= k * 0x1B873593 & whole
        h = (h << 13 | h >> 19) & whole
        h = (h * 5 + 0xE6546B64) & whole
    h ^= len(data)
    h = (h ^ h >> 16) * 0x85EBCA6B & whole
    h = (h ^ h >> 13) * 0xC2B2AE35 & whole
    h ^= h >> 16
    return h - (1 << 32) if h >= 1 << 31 else h


def test_the_oracle_hashes_as_java_does() -> None:
    assert all(murmur(bytes.fromhex(row)) == hashed for _, _, row, hashed, _ in VECTORS)
    assert murmur(bytes(8)) == -1670924195


def random_rows(count: int) -> tuple[list[DataType], list[list[Any]]]:
    """Rows with every kind of slot and part, some NULL; the first is all NULL."""
    rng = np.random.default_rng(3)
    kinds = [parse_type(t) for t in ("BIGINT", "STRING", "DECIMAL(20, 3)", "TIMESTAMP(6)", "BOOLEAN", "DECIMAL(9, 2)")]
    kinds += [parse_type("BYTES"), parse_type({"type": "ARRAY", "element": "STRING"})]
    rows: list[list[Any]] = [[None] * len(kinds)]
    for _ in range(count - 1):
        row = [
            int(rng.integers(-(2**62), 2**62)),
            "x" * int(rng.integers(0, 40)) + "é" * int(rng.integers(0, 3)),
            D(int(rng.integers(-(2**60), 2**60))).scaleb(-3),
            TS + dt.timedelta(microseconds=int(rng.integers(-(10**15), 10**15))),
            bool(rng.integers(0, 2)),
            D(int(rng.integers(-(10**8), 10**8))).scaleb(-2),
            bytes(rng.integers(0, 256, int(rng.integers(0, 20)), np.uint8)),
            [None if rng.random() < 0.2 else "y" * int(rng.integers(0, 12)) for _ in range(int(rng.integers(0, 4)))],
        ]
        rows.append([None if rng.random() < 0.1 else v for v in row])
    return kinds, rows


def test_whole_columns_are_the_rows_one_by_one() -> None:
    kinds, rows = random_rows(500)
    columns = [pa.array(list(c), to_arrow(t)) for c, t in zip(zip(*rows, strict=True), kinds, strict=True)]
    alone = [encode_row(row, kinds) for row in rows]
    assert encode_rows(columns, kinds) == alone
    assert encode_rows([c.slice(7, 100) for c in columns], kinds) == alone[7:107]
    assert [decode_row(data, kinds) for data in alone] == [tuple(row) for row in rows]
    hashes = [murmur(data[4:]) for data in alone]
    assert hash_rows(columns, kinds).tolist() == hashes
    chunked = [pa.chunked_array([c.slice(0, 3), c.slice(3, 0), c.slice(3)]) for c in columns]
    assert hash_rows(chunked, kinds).tolist() == hashes
    columns[1] = columns[1].cast(pa.large_string())
    assert hash_rows(columns, kinds).tolist() == hashes


def test_hashes_do_not_depend_on_the_blocks_they_are_computed_in() -> None:
    rng = np.random.default_rng(4)
    texts = pa.array(["" if n == 0 else "k" * int(n) for n in rng.integers(0, 30, 40_000)])
    numbers = pa.array(rng.integers(-(2**40), 2**40, 40_000), mask=rng.random(40_000) < 0.01)
    kinds = [parse_type("STRING"), parse_type("BIGINT")]
    hashes = hash_rows([texts, numbers], kinds)
    for begin in (0, 1, 16_383, 16_384, 39_000):
        part = [texts.slice(begin, 1000), numbers.slice(begin, 1000)]
        assert hash_rows(part, kinds).tolist() == hashes[begin : begin + 1000].tolist()


def test_no_rows_and_no_columns() -> None:
    assert encode_row([], []) == bytes(12)
    assert decode_row(bytes(12), []) == ()
    kinds = [DataType(TypeRoot.VARCHAR, length=MAX_LENGTH)]
    for empty in (pa.array([], pa.string()), pa.chunked_array([], pa.string())):
        assert encode_rows([empty], kinds) == []
        assert hash_rows([empty], kinds).tolist() == []


ONE_FIELD = b"\0\0\0\1" + bytes(8)
NO_ROWS = [b"", bytes(3), bytes(12), ONE_FIELD, ONE_FIELD + b"\xff" * 8, ONE_FIELD + b"\x7f" * 8]


@pytest.mark.parametrize("data", NO_ROWS)
@pytest.mark.parametrize("kind", ["STRING", "DECIMAL(20, 2)", "TIMESTAMP(6)"])
def test_what_is_no_row_is_refused(data: bytes, kind: str) -> None:
    with pytest.raises(ValueError):
        decode_row(data, [parse_type(kind)])


def test_a_variant_cannot_be_a_key() -> None:
    kind = parse_type("VARIANT")
    with pytest.raises(NotSupportedError, match="VARIANT"):
        hash_rows([pa.array([{"value": b"", "metadata": b""}], to_arrow(kind))], [kind])

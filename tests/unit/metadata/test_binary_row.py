"""BinaryRow against bytes, hashes and buckets that Paimon Java 1.4.2 printed."""

import datetime as dt
import decimal

import numpy as np
import pyarrow as pa
import pytest

from tsdb.data_types import parse_type, to_arrow
from tsdb.metadata.binary_row import bucket_of, decode_row, encode_row, encode_rows, hash_rows

D = decimal.Decimal
TS = dt.datetime(2024, 5, 14, 13, 34, 56, 789000)
# (types, values, row bytes in hex without the field count, hash)
VECTORS = [
    (["INT"], (1,), "00000000000000000100000000000000", 1465514398),
    (["INT"], (0,), "00000000000000000000000000000000", -300363099),
    (["INT"], (-1,), "0000000000000000ffffffff00000000", 1133687267),
    (["INT"], (42,), "00000000000000002a00000000000000", 907821237),
    (["INT"], (2**31 - 1,), "0000000000000000ffffff7f00000000", -1125657321),
    (["INT"], (None,), "00010000000000000000000000000000", -1748325344),
    (["BIGINT"], (1,), "00000000000000000100000000000000", 1465514398),
    (["BIGINT"], (-1,), "0000000000000000ffffffffffffffff", -821098432),
    (["BIGINT"], (1234567890123,), "0000000000000000cb04fb711f010000", -1873221036),
    (["TINYINT"], (-3,), "0000000000000000fd00000000000000", -1390933618),
    (["SMALLINT"], (300,), "00000000000000002c01000000000000", 690796707),
    (["BOOLEAN"], (True,), "00000000000000000100000000000000", 1465514398),
    (["FLOAT"], (1.5,), "00000000000000000000c03f00000000", -173842779),
    (["DOUBLE"], (1.5,), "0000000000000000000000000000f83f", 1860889473),
    (["DOUBLE"], (-0.0,), "00000000000000000000000000000080", 302122119),
    (["DOUBLE"], (float("nan"),), "0000000000000000000000000000f87f", -1323214697),
    (["DATE"], (dt.date(2024, 5, 14),), "0000000000000000914d000000000000", 1806713378),
    (["TIME(3)"], (dt.time(12, 34, 56, 789000),), "0000000000000000952cb30200000000", 1815782997),
    (["DECIMAL(10, 2)"], (D("123.45"),), "00000000000000003930000000000000", 767607022),
    (["DECIMAL(10, 2)"], (D("-1.00"),), "00000000000000009cffffffffffffff", 861196646),
    (
        ["DECIMAL(20, 3)"],
        (D("123.456"),),
        "0000000000000000030000001000000001e24000000000000000000000000000",
        -2052491411,
    ),
    (
        ["DECIMAL(20, 3)"],
        (D("-1.000"),),
        "00000000000000000200000010000000fc180000000000000000000000000000",
        -1147727520,
    ),
    (
        ["DECIMAL(38, 18)"],
        (D("12345678901234567890.123456789012345678"),),
        "000000000000000010000000100000000949b0f6f0023313c4499050de38f34e",
        496617349,
    ),
    (["DECIMAL(20, 3)"], (None,), "0001000000000000000000001000000000000000000000000000000000000000", -1380280760),
    (["STRING"], ("",), "00000000000000000000000000000080", 302122119),
    (["STRING"], ("a",), "00000000000000006100000000000081", 943281246),
    (["STRING"], ("abcdefg",), "00000000000000006162636465666787", -1431907323),
    (["STRING"], ("abcdefgh",), "000000000000000008000000100000006162636465666768", -843760178),
    (["STRING"], ("hello world",), "00000000000000000b0000001000000068656c6c6f20776f726c640000000000", 161593394),
    (["STRING"], ("é中",), "0000000000000000c3a9e4b8ad000085", -1523287501),
    (
        ["STRING"],
        ("user_00000000000042",),
        "00000000000000001300000010000000757365725f30303030303030303030303034320000000000",
        1610468800,
    ),
    (["STRING"], (None,), "00010000000000000000000000000000", -1748325344),
    (["CHAR(5)"], ("ab",), "00000000000000006162000000000082", -425866811),
    (["BYTES"], (b"\x00\xff",), "000000000000000000ff000000000082", 979549812),
    (["BYTES"], (bytes(range(10)),), "00000000000000000a0000001000000000010203040506070809000000000000", 1822312655),
    (["TIMESTAMP(3)"], (TS,), "0000000000000000153750778f010000", -472507871),
    (
        ["TIMESTAMP(6)"],
        (TS.replace(microsecond=789123),),
        "000000000000000078e0010010000000153750778f010000",
        -1053573033,
    ),
    (["TIMESTAMP(6)"], (None,), "000100000000000000000000100000000000000000000000", -340882661),
    (
        ["TIMESTAMP(6) WITH LOCAL TIME ZONE"],
        (dt.datetime(1969, 12, 31, 23, 59, 59, 999999, dt.UTC),),
        "0000000000000000583e0f0010000000ffffffffffffffff",
        1236894319,
    ),
    (["INT", "STRING"], (1, "abc"), "000000000000000001000000000000006162630000000083", 261371745),
    (
        ["STRING", "BIGINT", "DECIMAL(20, 3)", "INT"],
        ("hello world", 7, D("1.500"), None),
        "00080000000000000b0000002800000007000000000000000200000038000000000000000000000068656c6c6f20776f726c64000000000005dc0000000000000000000000000000",
        643124051,
    ),
]


@pytest.mark.parametrize(("types", "values", "row", "hashed"), VECTORS, ids=[f"{t}:{v}" for t, v, _, _ in VECTORS])
def test_bytes_and_hash_are_those_of_java(types, values, row, hashed):
    kinds = [parse_type(t) for t in types]
    data = encode_row(values, kinds)
    assert data[4:].hex() == row
    arrays = [pa.array([v], to_arrow(t)) for v, t in zip(values, kinds, strict=True)]
    assert hash_rows(arrays, kinds).tolist() == [hashed]
    assert np.array_equal(decode_row(data, kinds), list(values)) or repr(decode_row(data, kinds)) == repr(tuple(values))


def test_buckets_are_those_of_java():
    hashes = np.array([1465514398, -300363099, 1133687267, -821098432], np.int32)
    assert bucket_of(hashes, 5).tolist() == [3, 4, 2, 2]
    assert bucket_of(hashes, 128).tolist() == [30, 91, 99, 64]


def test_whole_columns_are_the_rows_one_by_one():
    rng = np.random.default_rng(3)
    kinds = [parse_type(t) for t in ("BIGINT", "STRING", "DECIMAL(20, 3)", "TIMESTAMP(6)", "BOOLEAN", "DECIMAL(9, 2)")]
    rows = []
    for i in range(500):
        text = "x" * int(rng.integers(0, 40)) + "é" * int(rng.integers(0, 3))
        row = [
            int(rng.integers(-(2**62), 2**62)),
            text,
            D(int(rng.integers(-(2**60), 2**60))).scaleb(-3),
            TS + dt.timedelta(microseconds=int(rng.integers(-(10**15), 10**15))),
            bool(rng.integers(0, 2)),
            D(int(rng.integers(-(10**8), 10**8))).scaleb(-2),
        ]
        rows.append([None if rng.random() < 0.1 else v for v in row] if i else [None] * 6)
    columns = [pa.array(list(c), to_arrow(t)) for c, t in zip(zip(*rows, strict=True), kinds, strict=True)]
    alone = [encode_row(row, kinds) for row in rows]
    assert encode_rows(columns, kinds) == alone
    assert encode_rows([c.slice(7, 100) for c in columns], kinds) == alone[7:107]
    assert [decode_row(data, kinds) for data in alone] == [tuple(row) for row in rows]
    one_by_one = [hash_rows([c.slice(i, 1) for c in columns], kinds)[0] for i in range(len(rows))]
    assert hash_rows(columns, kinds).tolist() == one_by_one


def test_the_empty_row():
    assert encode_row([], []) == bytes(12)
    assert decode_row(bytes(12), []) == ()

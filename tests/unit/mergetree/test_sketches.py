"""Sketches and bitmaps: what is joined says what the values together would have said."""

from typing import Any

import datasketches
import pyroaring
import pytest

import tsdb


def hll(values: range) -> bytes:
    sketch = datasketches.hll_sketch(12)
    for value in values:
        sketch.update(value)
    return bytes(sketch.serialize_compact())


def theta(values: range) -> bytes:
    sketch = datasketches.update_theta_sketch()
    for value in values:
        sketch.update(value)
    return bytes(sketch.compact().serialize())


def bitmap(values: range) -> bytes:
    return bytes(pyroaring.BitMap(values).serialize())


def estimate(name: str, value: bytes) -> float:
    if name == "hll_sketch":
        return float(datasketches.hll_sketch.deserialize(value).get_estimate())
    if name == "theta_sketch":
        return float(datasketches.compact_theta_sketch.deserialize(value).get_estimate())
    return len(pyroaring.BitMap.deserialize(value))


MAKERS: dict[str, Any] = {"hll_sketch": hll, "theta_sketch": theta, "rbm32": bitmap}


@pytest.mark.parametrize("name", MAKERS)
def test_values_are_joined(name: str) -> None:
    make = MAKERS[name]
    with tsdb.connect(":memory:") as con:
        options = f"'merge-engine' = 'aggregation', 'fields.v.aggregate-function' = '{name}'"
        con.execute(f"CREATE TABLE t (k INT PRIMARY KEY NOT ENFORCED, v BYTES) WITH ({options})")
        con.executemany("INSERT INTO t VALUES (?, ?)", [(1, make(range(100))), (2, None), (3, make(range(7)))])
        con.executemany("INSERT INTO t VALUES (?, ?)", [(1, make(range(50, 300))), (1, make(range(1000, 1100)))])
        con.executemany("INSERT INTO t VALUES (?, ?)", [(2, None), (3, None)])
        for _ in range(2):
            rows = dict(con.execute("SELECT * FROM t").fetchall())
            assert estimate(name, rows[1]) == pytest.approx(400, rel=0.02)
            assert rows[2] is None and rows[3] == make(range(7))
            con.execute("CALL sys.compact('t')")
        con.execute("INSERT INTO t VALUES (1, x'0102')")
        with pytest.raises(tsdb.DataError, match=f"column `v`: a value is no {name}"):
            con.execute("SELECT * FROM t").fetchall()


def test_what_only_paimon_reads_is_refused() -> None:
    with tsdb.connect(":memory:") as con, pytest.raises(tsdb.NotSupportedError, match="rbm64"):
        con.execute(
            "CREATE TABLE t (k INT PRIMARY KEY NOT ENFORCED, v BYTES) "
            "WITH ('merge-engine' = 'aggregation', 'fields.v.aggregate-function' = 'rbm64')"
        )

"""Sketches and bitmaps: what is joined says what the values together would have said."""

from typing import Any

import datasketches
import pyroaring
import pytest

import tsdb
from tsdb.metadata.roaring_tree import portable_to_tree, tree_to_portable


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


def bitmap64(values: range) -> bytes:
    return portable_to_tree(bytes(pyroaring.BitMap64(values).serialize()))


def estimate(name: str, value: bytes) -> float:
    if name == "hll_sketch":
        return float(datasketches.hll_sketch.deserialize(value).get_estimate())
    if name == "theta_sketch":
        return float(datasketches.compact_theta_sketch.deserialize(value).get_estimate())
    if name == "rbm64":
        return len(pyroaring.BitMap64.deserialize(tree_to_portable(value)))
    return len(pyroaring.BitMap.deserialize(value))


MAKERS: dict[str, Any] = {"hll_sketch": hll, "theta_sketch": theta, "rbm32": bitmap, "rbm64": bitmap64}


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

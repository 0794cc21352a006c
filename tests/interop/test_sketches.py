"""Sketches, and bitmaps (of 64-bit numbers in a radix tree): each side reads, and merges, what the other wrote."""

import base64
import random
from pathlib import Path

import pyroaring
import pytest
from judge import PaimonJava

import tsdb
from tests.unit.mergetree.test_sketches import MAKERS, estimate
from tsdb.metadata.roaring_tree import portable_to_tree, tree_to_portable


def signed(numbers: set[int]) -> list[int]:
    return [number - 2**64 if number >= 2**63 else number for number in sorted(numbers)]


def random_numbers(seed: int) -> set[int]:
    """Trees with nodes of every size, and containers of every form."""
    rng = random.Random(seed)
    numbers = {rng.randrange(2**64) for _ in range(rng.choice((0, 1, 5, 300)))}
    for _ in range(rng.randrange(4)):
        base, step = rng.randrange(2**64 - 2**40), rng.choice((1, 3, 2**16, 2**16 + 1, 2**24, 2**32))
        numbers |= {(base + at * step) % 2**64 for at in range(rng.choice((3, 10, 40, 300)))}
    for _ in range(rng.randrange(3)):
        base = rng.randrange(2**48) << 16
        numbers |= {base + rng.randrange(2**16) for _ in range(rng.choice((10, 9000)))}
        numbers |= set(range(base, base + rng.choice((1, 700, 70_000))))
    return numbers


@pytest.mark.parametrize("seed", range(16))
def test_trees_are_read_and_written_as_java_does(java: PaimonJava, seed: int) -> None:
    numbers = random_numbers(seed)
    theirs = java.bitmap64(signed(numbers))
    read = pyroaring.BitMap64.deserialize(tree_to_portable(theirs))
    assert set(read) == numbers
    read.run_optimize()
    ours = portable_to_tree(bytes(read.serialize()))
    assert java.numbers(ours) == signed(numbers)
    assert set(pyroaring.BitMap64.deserialize(tree_to_portable(ours))) == numbers


@pytest.mark.judged("merge engine `aggregation`", "Paimon Java", "reads", "writes", "is read")
def test_bitmaps_are_merged_by_both(java: PaimonJava, tmp_path: Path) -> None:
    one, two, three = random_numbers(3), random_numbers(7), random_numbers(11)
    columns = [["k", "INT NOT NULL"], ["v", "BYTES"]]
    options = {"bucket": "1", "merge-engine": "aggregation", "fields.v.aggregate-function": "rbm64"}
    java.create(tmp_path, "default.t", columns, primaryKey=["k"], options=options)

    def written(key: int, numbers: set[int]) -> list[object]:
        return ["+I", key, base64.b64encode(java.bitmap64(signed(numbers))).decode()]

    java.write(tmp_path, "default.t", [written(1, one), written(2, set())], 1)
    java.write(tmp_path, "default.t", [written(1, two), written(2, three)], 2)
    with tsdb.connect(str(tmp_path)) as con:
        for _ in range(2):
            rows = dict(con.execute("SELECT * FROM t").fetchall())
            assert java.numbers(rows[1]) == signed(one | two)
            assert java.numbers(rows[2]) == signed(three)
            con.execute("CALL sys.compact('t')")
        con.execute("INSERT INTO t VALUES (1, ?)", [java.bitmap64(signed(three))])
    for _ in range(2):
        read = {key: java.numbers(base64.b64decode(value)) for key, value in java.read(tmp_path, "default.t")}
        assert read == {1: signed(one | two | three), 2: signed(three)}
        java.compact(tmp_path, "default.t")


@pytest.mark.judged("merge engine `aggregation`", "Paimon Java", "reads", "writes")
@pytest.mark.parametrize("name", MAKERS)
def test_sketches_are_joined_by_both(java: PaimonJava, tmp_path: Path, name: str) -> None:
    make = MAKERS[name]

    def both(wanted: int) -> None:
        (theirs,) = java.read(tmp_path, "default.t")
        for value in (con.execute("SELECT v FROM t").fetchall()[0][0], base64.b64decode(theirs[1])):
            assert estimate(name, value) == pytest.approx(wanted, rel=0.02)

    with tsdb.connect(str(tmp_path)) as con:
        options = f"'merge-engine' = 'aggregation', 'fields.v.aggregate-function' = '{name}'"
        con.execute(f"CREATE TABLE t (k INT PRIMARY KEY NOT ENFORCED, v BYTES) WITH ({options})")
        for values in (range(100), range(50, 300)):
            con.execute("INSERT INTO t VALUES (1, ?)", [make(values)])
        both(300)
        java.compact(tmp_path, "default.t")
        java.write(tmp_path, "default.t", [["+I", 1, base64.b64encode(make(range(290, 400))).decode()]], 1)
        both(400)
        con.execute("CALL sys.compact('t')")
        both(400)

"""Tables whose buckets are not a function of the key, with Paimon Java and the Python peers on both sides."""

from pathlib import Path
from typing import Any

import pyarrow.parquet as pq
import pytest
from judge import PaimonJava, PythonPeers, in_order, plain_rows

import tsdb

DYNAMIC, CROSS, POSTPONED, RESCALED = (
    "dynamic buckets",
    "cross-partition upsert",
    "postponed buckets",
    "rescaled buckets",
)
FIVE_A_BUCKET = "WITH ('bucket' = '-1', 'dynamic-bucket.target-row-num' = '5')"


def ours(warehouse: Path) -> list[list[Any]]:
    with tsdb.connect(warehouse) as con:
        return plain_rows(con.execute("SELECT * FROM t"))


def run(warehouse: Path, *statements: str) -> None:
    with tsdb.connect(warehouse) as con:
        for statement in statements:
            con.execute(statement)


def keys_by_bucket(warehouse: Path, partition: str = "") -> dict[int, set[int]]:
    """The keys that have rows in the files of each bucket, deleted or not."""
    found: dict[int, set[int]] = {}
    for path in (warehouse / "default.db" / "t" / partition).glob("bucket-*/data-*.parquet"):
        found.setdefault(int(path.parent.name[7:]), set()).update(pq.read_table(path)["_KEY_k"].to_pylist())
    return found


@pytest.mark.judged(DYNAMIC, "Paimon Java", "reads", "writes")
@pytest.mark.judged(DYNAMIC, "pypaimon", "reads")
@pytest.mark.judged(DYNAMIC, "pypaimon-rust", "reads")
@pytest.mark.parametrize("partitioned", [False, True])
def test_java_goes_on_with_our_hash_index_and_we_with_its(
    tmp_path: Path, java: PaimonJava, peers: PythonPeers, partitioned: bool
) -> None:
    if partitioned:
        columns, key, part = "p STRING, k INT, v STRING", "p, k", "PARTITIONED BY (p)"
        values, given = "CASE WHEN value % 3 = 0 THEN 'a' ELSE 'b' END, value", (lambda k: ["ab"[k % 3 != 0], k])
    else:
        columns, key, part, values, given = "k INT, v STRING", "k", "", "value", (lambda k: [k])
    run(
        tmp_path,
        f"CREATE TABLE t ({columns}, PRIMARY KEY ({key}) NOT ENFORCED) {part} {FIVE_A_BUCKET}",
        f"INSERT INTO t SELECT {values}, 'ours' FROM generate_series(0, 22) AS g(value)",
        "DELETE FROM t WHERE k = 4",
    )
    rows = ours(tmp_path)
    assert in_order(java.read(tmp_path, "default.t")) == rows
    assert in_order(peers.read("pypaimon", tmp_path, "default.t")) == rows
    assert in_order(peers.read("pypaimon-rust", tmp_path, "default.t")) == rows
    java.write(tmp_path, "default.t", [["+I", *given(k), "java"] for k in range(15, 40)], identifier=1)
    java.write(tmp_path, "default.t", [["-D", *given(k), None] for k in (0, 30)], identifier=2)
    run(
        tmp_path,
        f"INSERT INTO t SELECT {values}, 'again' FROM generate_series(35, 50) AS g(value)",
        "DELETE FROM t WHERE k = 16",
    )
    after = ours(tmp_path)
    assert in_order(java.read(tmp_path, "default.t")) == after
    assert sorted(row[-2] for row in after) == [k for k in range(51) if k not in (0, 4, 16, 30)]
    for partition in ("p=a", "p=b") if partitioned else ("",):
        buckets = keys_by_bucket(tmp_path, partition)
        assert len(set.union(*buckets.values())) == sum(map(len, buckets.values())), "a key is in one bucket only"
        assert all(len(keys) <= 5 for keys in buckets.values())
    java.compact(tmp_path, "default.t")
    run(tmp_path, "CALL sys.compact('default.t')")
    assert ours(tmp_path) == after == in_order(java.read(tmp_path, "default.t"))


@pytest.mark.judged(DYNAMIC, "Paimon Java", "is read")
def test_a_dynamic_table_of_javas_is_written_here(tmp_path: Path, java: PaimonJava) -> None:
    options = {"bucket": "-1", "dynamic-bucket.target-row-num": "5"}
    java.create(tmp_path, "default.t", [["k", "INT NOT NULL"], ["v", "STRING"]], primaryKey=["k"], options=options)
    java.write(tmp_path, "default.t", [["+I", k, "java"] for k in range(12)], identifier=1)
    run(tmp_path, "INSERT INTO t SELECT value, 'ours' FROM generate_series(6, 20) AS g(value)")
    java.write(tmp_path, "default.t", [["+I", k, "later"] for k in range(18, 25)], identifier=2)
    rows = ours(tmp_path)
    assert in_order(java.read(tmp_path, "default.t")) == rows
    assert [row[1] for row in sorted(rows)] == ["java"] * 6 + ["ours"] * 12 + ["later"] * 7
    run(tmp_path, "INSERT OVERWRITE t SELECT value, 'new' FROM generate_series(1, 7) AS g(value)")
    java.write(tmp_path, "default.t", [["+I", k, "last"] for k in (7, 8)], identifier=3)
    assert [row[1] for row in ours(tmp_path)] == ["new"] * 6 + ["last"] * 2
    assert in_order(java.read(tmp_path, "default.t")) == ours(tmp_path)


@pytest.mark.judged(CROSS, "Paimon Java", "reads", "writes")
@pytest.mark.judged(CROSS, "pypaimon", "reads")
@pytest.mark.judged(CROSS, "pypaimon-rust", "reads")
def test_keys_that_move_between_partitions(tmp_path: Path, java: PaimonJava, peers: PythonPeers) -> None:
    run(
        tmp_path,
        "CREATE TABLE t (p STRING, k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED) PARTITIONED BY (p) " + FIVE_A_BUCKET,
        "INSERT INTO t SELECT 'a', value, 'first' FROM generate_series(0, 11) AS g(value)",
        "INSERT INTO t SELECT 'b', value, 'moved' FROM generate_series(4, 7) AS g(value)",
        "UPDATE t SET p = 'c' WHERE k IN (1, 5)",
        "DELETE FROM t WHERE k = 9",
    )
    rows = ours(tmp_path)
    assert in_order(java.read(tmp_path, "default.t")) == rows
    assert in_order(peers.read("pypaimon", tmp_path, "default.t")) == rows
    assert in_order(peers.read("pypaimon-rust", tmp_path, "default.t")) == rows
    java.write(tmp_path, "default.t", [["+I", "d", 100, "java"], ["+I", "d", 101, "java"]], identifier=1, bucket=0)
    run(tmp_path, "INSERT INTO t VALUES ('a', 100, 'back'), ('e', 0, 'on')")
    after = ours(tmp_path)
    assert in_order(java.read(tmp_path, "default.t")) == after
    assert {row[1]: row[0] for row in after} == {
        **dict.fromkeys((2, 3, 8, 10, 11, 100), "a"), **dict.fromkeys((4, 6, 7), "b"), 1: "c", 5: "c", 101: "d", 0: "e",
    }  # fmt: skip
    java.compact(tmp_path, "default.t")
    assert ours(tmp_path) == after


@pytest.mark.judged(POSTPONED, "Paimon Java", "reads", "writes")
@pytest.mark.judged(POSTPONED, "pypaimon", "reads")
def test_postponed_rows(tmp_path: Path, java: PaimonJava, peers: PythonPeers) -> None:
    run(
        tmp_path,
        """CREATE TABLE t (k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED)
           WITH ('bucket' = '-2', 'postpone.default-bucket-num' = '3')""",
        "INSERT INTO t SELECT value, 'ours' FROM generate_series(0, 9) AS g(value)",
    )
    assert ours(tmp_path) == [] == java.read(tmp_path, "default.t")
    java.write(tmp_path, "default.t", [["+I", 3, "java"], ["-D", 4, None], ["+I", 20, "java"]], identifier=1)
    assert ours(tmp_path) == [] == java.read(tmp_path, "default.t")
    run(tmp_path, "CALL sys.compact('default.t')")
    rows = ours(tmp_path)
    assert sorted(rows) == [[k, "java" if k in (3, 20) else "ours"] for k in (0, 1, 2, 3, 5, 6, 7, 8, 9, 20)]
    assert in_order(java.read(tmp_path, "default.t")) == rows
    assert in_order(peers.read("pypaimon", tmp_path, "default.t")) == rows
    run(tmp_path, "DELETE FROM t WHERE k < 3", "CALL sys.compact('default.t')", "CALL sys.rescale('default.t', 2)")
    assert in_order(java.read(tmp_path, "default.t")) == ours(tmp_path)
    assert sorted(ours(tmp_path)) == sorted(rows)[3:]


@pytest.mark.judged(RESCALED, "Paimon Java", "reads", "writes")
@pytest.mark.judged(RESCALED, "pypaimon", "reads")
@pytest.mark.parametrize("how", ["INSERT OVERWRITE t SELECT * FROM t", "CALL sys.rescale('default.t')"])
def test_another_number_of_buckets(tmp_path: Path, java: PaimonJava, peers: PythonPeers, how: str) -> None:
    run(
        tmp_path,
        "CREATE TABLE t (k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '2')",
        "INSERT INTO t SELECT value, 'ours' FROM generate_series(0, 30) AS g(value)",
        "ALTER TABLE t SET ('bucket' = '5')",
    )
    rows = ours(tmp_path)
    assert len(rows) == 31
    run(tmp_path, how)
    assert in_order(java.read(tmp_path, "default.t")) == ours(tmp_path) == rows
    assert in_order(peers.read("pypaimon", tmp_path, "default.t")) == rows
    java.write(tmp_path, "default.t", [["+I", 7, "java"], ["-D", 8, None]], identifier=1)
    java.compact(tmp_path, "default.t")
    run(tmp_path, "INSERT INTO t VALUES (9, 'last')")
    after = ours(tmp_path)
    assert [row for row in after if row not in rows] == [[7, "java"], [9, "last"]] and len(after) == 30
    assert in_order(java.read(tmp_path, "default.t")) == after


HIVE_KEYS = ["BOOLEAN", "TINYINT", "SMALLINT", "INT", "BIGINT", "FLOAT", "DOUBLE", "DATE", "STRING", "VARBINARY(20)"]


@pytest.mark.judged("'bucket-function.type' = 'hive'", "Paimon Java", "reads", "writes")
@pytest.mark.parametrize("kind", HIVE_KEYS)
def test_hive_buckets_are_javas(tmp_path: Path, java: PaimonJava, kind: str) -> None:
    run(
        tmp_path,
        f"""CREATE TABLE t (k {kind}, n INT, v STRING, PRIMARY KEY (k, n) NOT ENFORCED)
            WITH ('bucket' = '7', 'bucket-function.type' = 'hive')""",
    )
    values: list[Any] = [0, 1, -3, 17, 99, -128]
    if kind in ("FLOAT", "DOUBLE"):
        values = ["0.0", "-1.5", "1234.5", "3.25"]
    elif kind == "BOOLEAN":
        values = [True, False]
    elif kind == "STRING":
        values = ["", "a", "hello world", "héllo wörld ✓", "x" * 50]
    elif kind.startswith("VARBINARY"):
        values = ["", "AP8Q", "gIGCgw=="]
    java.write(tmp_path, "default.t", [["+I", v, n, "java"] for v in values for n in (0, 5)], identifier=1)
    before = ours(tmp_path)
    run(tmp_path, "CREATE TABLE c AS SELECT k, n, 'ours' AS v FROM t", "INSERT INTO t SELECT k, n, v FROM c")
    assert len(before) == 2 * len(values)
    assert ours(tmp_path) == [[*row[:2], "ours"] for row in before] == in_order(java.read(tmp_path, "default.t"))

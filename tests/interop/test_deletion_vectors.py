"""Deletion vectors written here are read, kept and replaced by the judges, and theirs by us."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from judge import PaimonJava, PythonPeers, in_order, plain_rows

import tsdb

APPEND = {
    "32": "(k INT, v STRING) WITH ('deletion-vectors.enabled' = 'true')",
    "64": "(k INT, v STRING) WITH ('deletion-vectors.enabled' = 'true', 'deletion-vectors.bitmap64' = 'true')",
    "bucketed": "(k INT, v STRING) WITH ('deletion-vectors.enabled' = 'true', 'bucket' = '2', 'bucket-key' = 'k')",
    "partitioned": "(k INT, v STRING) PARTITIONED BY (v) WITH ('deletion-vectors.enabled' = 'true')",
}


def ours(warehouse: Path) -> list[list[Any]]:
    with tsdb.connect(warehouse) as con:
        return plain_rows(con.execute("SELECT * FROM t"))


@pytest.fixture(params=APPEND.values(), ids=APPEND)
def appended(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Path]:
    with tsdb.connect(tmp_path) as con:
        con.execute(f"CREATE TABLE t {request.param}")
        con.execute("INSERT INTO t SELECT value, CAST(value % 3 AS STRING) FROM generate_series(1, 3000) AS g(value)")
        con.execute("INSERT INTO t SELECT value, 'late' FROM generate_series(1, 100) AS g(value)")
        con.execute("DELETE FROM t WHERE k BETWEEN 500 AND 2000 OR k = 1")
        con.execute("DELETE FROM t WHERE k % 7 = 0")
        con.execute("UPDATE t SET k = -k WHERE k < 10")
    yield tmp_path


@pytest.mark.judged("deletion vectors", "Paimon Java", "reads", "writes")
def test_java_reads_and_keeps_our_vectors(appended: Path, java: PaimonJava) -> None:
    mine = ours(appended)
    assert len(mine) > 1000
    assert in_order(java.read(appended, "default.t")) == mine
    java.write(appended, "default.t", [["+I", 7777, "late"]], identifier=1)
    assert ours(appended) == in_order(java.read(appended, "default.t")) == in_order([*mine, [7777, "late"]])
    with tsdb.connect(appended) as con:
        con.execute("DELETE FROM t WHERE k >= 7777 OR k = 2")
    assert ours(appended) == in_order(java.read(appended, "default.t"))


@pytest.mark.judged("deletion vectors", "pypaimon", "reads")
@pytest.mark.parametrize("appended", [ddl for kind, ddl in APPEND.items() if kind != "64"], indirect=True)
def test_pypaimon_reads_our_vectors(appended: Path, peers: PythonPeers) -> None:
    assert in_order(peers.read("pypaimon", appended, "default.t")) == ours(appended)


@pytest.mark.judged("deletion vectors", "pypaimon-rust", "reads")
def test_pypaimon_rust_reads_our_vectors(appended: Path, peers: PythonPeers) -> None:
    assert in_order(peers.read("pypaimon-rust", appended, "default.t")) == ours(appended)


KEYED = {
    "32": "'bucket' = '2'",
    "64": "'bucket' = '1', 'deletion-vectors.bitmap64' = 'true'",
    "sequence": "'bucket' = '1', 'sequence.field' = 'n'",
    "sum": "'bucket' = '1', 'merge-engine' = 'aggregation', 'fields.n.aggregate-function' = 'sum'",
}


@pytest.fixture(params=KEYED.values(), ids=KEYED)
def keyed(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    with tsdb.connect(tmp_path) as con:
        con.execute(
            "CREATE TABLE t (k INT, v STRING, n INT, PRIMARY KEY (k) NOT ENFORCED) "
            f"WITH ('deletion-vectors.enabled' = 'true', {request.param})"
        )
        con.execute("INSERT INTO t SELECT value, 'first', 1 FROM generate_series(1, 20000) AS g(value)")
        for i in range(3):
            con.execute(f"INSERT INTO t SELECT value * {i + 5}, 'run {i}', {i} FROM generate_series(1, 50) AS g(value)")
        if "aggregation" not in request.param:
            con.execute("DELETE FROM t WHERE k BETWEEN 100 AND 120")
            con.execute("UPDATE t SET v = 'updated' WHERE k % 1000 = 0")
    return tmp_path


@pytest.mark.judged("deletion vectors of primary-key tables", "Paimon Java", "reads", "writes")
def test_java_reads_updates_and_compacts_keyed_tables(keyed: Path, java: PaimonJava) -> None:
    mine = ours(keyed)
    assert len(mine) >= 19979
    assert list((keyed / "default.db" / "t" / "index").iterdir())
    assert in_order(java.read(keyed, "default.t")) == mine
    java.write(keyed, "default.t", [["+I", 5, "java", 9], ["+I", 30000, "java", 9]], identifier=1)
    after = in_order(java.read(keyed, "default.t"))
    assert ours(keyed) == after != mine
    with tsdb.connect(keyed) as con:
        con.execute("INSERT INTO t VALUES (5, 'ours', 10), (19000, 'ours', 10), (40000, 'ours', 10)")
    after = in_order(java.read(keyed, "default.t"))
    assert ours(keyed) == after
    java.compact(keyed, "default.t")
    assert ours(keyed) == after == in_order(java.read(keyed, "default.t"))
    with tsdb.connect(keyed) as con:
        con.execute("INSERT INTO t VALUES (6, 'again', 11)")
        con.execute("CALL sys.compact('default.t')")
    assert ours(keyed) == in_order(java.read(keyed, "default.t"))


@pytest.mark.judged("deletion vectors of primary-key tables", "pypaimon", "reads")
@pytest.mark.parametrize("keyed", [more for kind, more in KEYED.items() if kind != "64"], indirect=True)
def test_pypaimon_reads_keyed_tables(keyed: Path, peers: PythonPeers) -> None:
    assert in_order(peers.read("pypaimon", keyed, "default.t")) == ours(keyed)


@pytest.mark.judged("deletion vectors of primary-key tables", "pypaimon-rust", "reads")
def test_pypaimon_rust_reads_keyed_tables(keyed: Path, peers: PythonPeers) -> None:
    assert in_order(peers.read("pypaimon-rust", keyed, "default.t")) == ours(keyed)


@pytest.mark.judged("deletion vectors of primary-key tables", "Paimon Java", "is read")
@pytest.mark.parametrize("more", [{}, {"deletion-vectors.bitmap64": "true"}], ids=["32", "64"])
def test_keyed_tables_of_java_are_read_and_written(more: dict[str, str], tmp_path: Path, java: PaimonJava) -> None:
    options = {"bucket": "1", "deletion-vectors.enabled": "true", **more}
    columns = [["k", "INT NOT NULL"], ["v", "STRING"]]
    java.create(tmp_path, "default.t", columns, primaryKey=["k"], options=options)
    java.write(tmp_path, "default.t", [["+I", i, f"v{i}"] for i in range(2000)], identifier=1)
    java.write(tmp_path, "default.t", [["-D", 5, None], ["+U", 6, "six"]], identifier=2)
    assert ours(tmp_path) == in_order(java.read(tmp_path, "default.t"))
    with tsdb.connect(tmp_path) as con:
        con.execute("DELETE FROM t WHERE k BETWEEN 6 AND 20")
        con.execute("INSERT INTO t VALUES (7, 'seven'), (1999, 'last')")
    assert ours(tmp_path) == in_order(java.read(tmp_path, "default.t"))
    assert len(ours(tmp_path)) == 2000 - 16 + 1
    java.write(tmp_path, "default.t", [["+I", 1998, "java"], ["-D", 7, None]], identifier=3)
    java.compact(tmp_path, "default.t")
    assert ours(tmp_path) == in_order(java.read(tmp_path, "default.t"))

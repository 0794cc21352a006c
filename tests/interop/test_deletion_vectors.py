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

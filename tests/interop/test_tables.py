"""Every kind of table written here is read by the judges, written to by Paimon Java, and read back here."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from judge import PaimonJava, PythonPeers, in_order, plain_rows

import tsdb

SCALARS = """k INT, b BOOLEAN, i8 TINYINT, i16 SMALLINT, i64 BIGINT, f FLOAT, d DOUBLE, dec DECIMAL(9, 2),
    wide DECIMAL(30, 10), s STRING, vc VARCHAR(10), bin BYTES, dt DATE, t TIME(3), ts3 TIMESTAMP(3),
    ts6 TIMESTAMP(6), ltz TIMESTAMP_LTZ(6)"""
ALL_SET = """(1, true, -128, 32767, 9223372036854775807, 1.5, -2.25, -1234567.89, 12345678901234567890.0123456789,
    'héllo wörld, a longer text', 'short', x'00ff10', DATE '2024-02-29', TIME '12:34:56.789',
    TIMESTAMP '2024-05-14 13:34:56.789', TIMESTAMP '1969-12-31 23:59:59.999999',
    TIMESTAMP '2024-05-14 13:34:56.789123')"""


@dataclass(frozen=True)
class Case:
    """ddl: after the table's name. steps: statements on `t`. java: rows that Java then writes, as [kind, values…]."""

    name: str
    feature: str
    ddl: str
    steps: tuple[str, ...]
    java: tuple[list[Any], ...]
    rust_reads: bool = field(default=True)
    java_compacts: bool = field(default=True)


CASES = (
    Case(
        "pk",
        "primary-key tables",
        "(k INT, v STRING, n BIGINT, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '2')",
        (
            "INSERT INTO t VALUES (1, 'a', 10), (2, 'b', 20), (3, NULL, NULL), (4, 'd', 40)",
            "INSERT INTO t VALUES (2, 'b2', 21), (5, 'e', 50)",
            "DELETE FROM t WHERE k = 1",
            "UPDATE t SET n = n + 1 WHERE k = 4",
        ),
        (["+I", 9, "java", 90], ["-D", 3, None, None], ["+U", 5, "e2", 51]),
    ),
    Case(
        "pk_input",
        "changelog producer `input`",
        "(k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '1', 'changelog-producer' = 'input')",
        ("INSERT INTO t VALUES (1, 'a'), (2, 'b')", "DELETE FROM t WHERE k = 1", "INSERT INTO t VALUES (2, 'c')"),
        (["-U", 2, "c"], ["+U", 2, "d"], ["+I", 3, "x"]),
    ),
    Case(
        "pk_partitioned",
        "partitions, INSERT OVERWRITE",
        """(day STRING, k INT, v STRING, PRIMARY KEY (day, k) NOT ENFORCED) PARTITIONED BY (day)
           WITH ('bucket' = '2')""",
        (
            "INSERT INTO t VALUES ('d1', 1, 'a'), ('d1', 2, 'b'), ('x/y:z=1 %', 3, 'c'), ('d2', 1, 'd')",
            "INSERT INTO t VALUES ('d1', 1, 'a2')",
            "INSERT OVERWRITE t PARTITION (day = 'd2') VALUES (7, 'seven')",
        ),
        (["+I", "d1", 8, "java"], ["-D", "d2", 7, "seven"], ["+I", "d9", 1, "new"]),
    ),
    Case(
        "pk_compacted",
        "compaction",
        "(k BIGINT, v STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '2')",
        (
            *(
                f"INSERT INTO t SELECT value, 'run {i}' FROM generate_series({i * 10}, {i * 10 + 50}) AS g(value)"
                for i in range(7)
            ),
            "DELETE FROM t WHERE k % 7 = 0",
            "CALL sys.compact('default.t')",
        ),
        (["+I", 1000, "java"], ["-D", 1, None]),
    ),
    Case(
        "pk_composite",
        "composite keys of text, dates and decimals",
        """(a STRING, b DATE, c DECIMAL(20, 3), v INT, PRIMARY KEY (a, b, c) NOT ENFORCED) WITH ('bucket' = '3')""",
        (
            "INSERT INTO t VALUES ('a long key of text', DATE '2024-01-01', 1.500, 1), ('', DATE '1960-01-01', -1, 2)",
            "INSERT INTO t VALUES ('a long key of text', DATE '2024-01-01', 1.500, 3)",
        ),
        (["+I", "java", 19857, "7.125", 9], ["-D", "", -3653, "-1.000", 2]),
        rust_reads=False,
    ),
    Case(
        "pk_types",
        "scalar types",
        f"({SCALARS}, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '1')",
        (f"INSERT INTO t VALUES {ALL_SET}", "INSERT INTO t (k) VALUES (2)"),
        (["-D", 2, *[None] * 16],),
    ),
    Case(
        "formats_by_level",
        "formats and compressions by level",
        """(k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '1', 'changelog-producer' = 'input',
           'file.format.per.level' = '0:avro,5:orc', 'file.compression.per.level' = '5:zlib',
           'changelog-file.format' = 'parquet', 'changelog-file.compression' = 'snappy',
           'metadata.stats-mode' = 'full', 'fields.v.stats-mode' = 'none', 'metadata.stats-dense-store' = 'false')""",
        (
            *(f"INSERT INTO t VALUES ({i}, 'run {i}'), ({i + 1}, NULL)" for i in range(6)),
            "CALL sys.compact('default.t')",
            "INSERT INTO t VALUES (3, 'again')",
        ),
        (["+I", 1000, "java"], ["-D", 1, None]),
        rust_reads=False,
    ),
    Case(
        "append",
        "append tables",
        "(k INT, v STRING)",
        (
            "INSERT INTO t VALUES (1, 'a'), (1, 'a'), (NULL, NULL)",
            "INSERT INTO t VALUES (2, 'b')",
            "DELETE FROM t WHERE k = 2",
            "UPDATE t SET v = 'z' WHERE k IS NULL",
        ),
        (["+I", 3, "java"],),
        java_compacts=False,
    ),
    Case(
        "append_bucketed",
        "append tables with buckets",
        "(k INT, v STRING) WITH ('bucket' = '3', 'bucket-key' = 'k')",
        ("INSERT INTO t VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd')", "INSERT INTO t VALUES (1, 'again')"),
        (["+I", 3, "java"],),
    ),
    Case(
        "append_partitioned",
        "partitions, INSERT OVERWRITE",
        "(day DATE, flag BOOLEAN, v INT) PARTITIONED BY (day, flag)",
        (
            "INSERT INTO t VALUES (DATE '2024-01-01', true, 1), (NULL, false, 2), (DATE '2024-01-01', NULL, 3)",
            "INSERT OVERWRITE t VALUES (DATE '2024-01-01', true, 10)",
        ),
        (["+I", 19723, True, 11],),
        java_compacts=False,
    ),
)  # fmt: skip


@dataclass(frozen=True)
class Written:
    case: Case
    warehouse: Path
    rows: list[list[Any]]


@pytest.fixture(params=CASES, ids=lambda c: c.name)
def written(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[Written]:
    case: Case = request.param
    with tsdb.connect(tmp_path) as con:
        con.execute(f"CREATE TABLE t {case.ddl}")
        for step in case.steps:
            con.execute(step)
        yield Written(case, tmp_path, plain_rows(con.execute("SELECT * FROM t")))


def ours(warehouse: Path) -> list[list[Any]]:
    with tsdb.connect(warehouse) as con:
        return plain_rows(con.execute("SELECT * FROM t"))


@pytest.mark.judged(None, "Paimon Java", "reads")
def test_java_reads_what_we_write(written: Written, java: PaimonJava) -> None:
    assert written.rows
    assert in_order(java.read(written.warehouse, "default.t")) == written.rows


@pytest.mark.judged(None, "pypaimon", "reads")
def test_pypaimon_reads_what_we_write(written: Written, peers: PythonPeers) -> None:
    assert in_order(peers.read("pypaimon", written.warehouse, "default.t")) == written.rows


@pytest.mark.judged(None, "pypaimon-rust", "reads")
@pytest.mark.parametrize("written", [case for case in CASES if case.rust_reads], ids=lambda c: c.name, indirect=True)
def test_pypaimon_rust_reads_what_we_write(written: Written, peers: PythonPeers) -> None:
    assert in_order(peers.read("pypaimon-rust", written.warehouse, "default.t")) == written.rows


@pytest.mark.judged(None, "Paimon Java", "writes")
def test_java_writes_into_it_and_we_read_that(written: Written, java: PaimonJava) -> None:
    java.write(written.warehouse, "default.t", list(written.case.java), identifier=1)
    after = in_order(java.read(written.warehouse, "default.t"))
    assert after != written.rows
    assert ours(written.warehouse) == after
    if written.case.java_compacts:
        java.compact(written.warehouse, "default.t")
        assert ours(written.warehouse) == after
    with tsdb.connect(written.warehouse) as con:  # and we write once more
        con.execute("CREATE TABLE copy AS SELECT * FROM t")
        con.execute("INSERT INTO t SELECT * FROM copy")
    assert in_order(java.read(written.warehouse, "default.t")) == ours(written.warehouse)


@pytest.mark.judged("time travel by snapshot", "Paimon Java", "reads")
def test_java_sees_our_snapshots(tmp_path: Path, java: PaimonJava) -> None:
    with tsdb.connect(tmp_path) as con:
        con.execute("CREATE TABLE t (k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED)")
        for i in range(4):
            con.execute("INSERT INTO t VALUES (?, ?)", (i % 2, f"v{i}"))
        for snapshot in range(1, 5):
            mine = plain_rows(con.execute(f"SELECT * FROM t VERSION AS OF {snapshot}"))
            assert in_order(java.read(tmp_path, "default.t", **{"scan.snapshot-id": str(snapshot)})) == mine


@pytest.mark.judged("primary-key tables", "Paimon Java", "is read")
def test_tables_made_by_java_are_read_and_written(tmp_path: Path, java: PaimonJava) -> None:
    columns = [["k", "INT NOT NULL"], ["v", "STRING"], ["n", "DECIMAL(10, 2)"]]
    java.create(tmp_path, "default.t", columns, primaryKey=["k"], options={"bucket": "2"})
    rows = [["+I", i, f"v{i}", f"{i}.50"] for i in range(100)]
    java.write(tmp_path, "default.t", rows, identifier=1)
    java.write(tmp_path, "default.t", [["-D", 5, None, None], ["+I", 6, "six", None]], identifier=2)
    assert ours(tmp_path) == in_order(java.read(tmp_path, "default.t"))
    with tsdb.connect(tmp_path) as con:
        con.execute("UPDATE t SET v = 'ours' WHERE k < 10")
        con.execute("CALL sys.compact('default.t')")
    assert ours(tmp_path) == in_order(java.read(tmp_path, "default.t"))
    assert sum(row[1] == "ours" for row in ours(tmp_path)) == 9

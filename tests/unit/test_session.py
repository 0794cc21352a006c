"""The life of statements: scripts, parameters, definitions, options, views, SHOW, and the two modes."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from tsdb.errors import (
    AlreadyExists,
    DatabaseNotFound,
    Error,
    NotSupportedError,
    OptionError,
    ProgrammingError,
    SqlSyntaxError,
    TableNotFound,
    WarehouseError,
)
from tsdb.exec.result import BatchResult, JobHandle, RowCount
from tsdb.exec.streaming.changelog import ChangelogResult
from tsdb.session import Session, open_session


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    session = open_session(str(tmp_path), {})
    yield session
    session.close()


def rows(session: Session, sql: str, *params: Any) -> list[tuple[Any, ...]]:
    result = session.execute_one(sql, params)
    assert isinstance(result, BatchResult)
    table = result.reader.read_all()
    return list(zip(*(column.to_pylist() for column in table.columns), strict=True))


def column(session: Session, sql: str) -> list[Any]:
    return [row[0] for row in rows(session, sql)]


def run(session: Session, script: str) -> None:
    for result in session.execute(script):
        assert isinstance(result, RowCount), result


def test_a_script_runs_statement_by_statement(session: Session) -> None:
    script = "CREATE TABLE t (k INT); INSERT INTO t VALUES (1), (2); SELECT count(*) FROM t; -- done"
    results = session.execute(script)
    assert [type(result) for result in results] == [RowCount, RowCount, BatchResult]
    assert rows(session, "SELECT k FROM t ORDER BY k") == [(1,), (2,)]


def test_what_ran_before_an_error_stays(session: Session) -> None:
    with pytest.raises(TableNotFound):
        run(session, "CREATE TABLE t (k INT); INSERT INTO t VALUES (1); INSERT INTO nope VALUES (1)")
    with pytest.raises(OptionError, match="line 2, column 7"):
        list(session.execute("SHOW TABLES;\n  SET 'x' = 'y'"))
    assert rows(session, "SELECT k FROM t") == [(1,)]


def test_nothing_runs_if_the_script_does_not_parse(session: Session) -> None:
    with pytest.raises(SqlSyntaxError):
        run(session, "CREATE TABLE t (k INT); SELEC 1")
    assert column(session, "SHOW TABLES") == []


def test_parameters_go_to_the_statements_in_order(session: Session) -> None:
    run(session, "CREATE TABLE t (k INT, v STRING)")
    for _ in session.execute("INSERT INTO t VALUES (?, ?); UPDATE t SET v = ? WHERE k = ?", [1, "a?b", "it's", 1]):
        pass
    assert rows(session, "SELECT * FROM t WHERE v = ?", "it's") == [(1, "it's")]
    with pytest.raises(ProgrammingError, match="1 placeholder"):
        session.execute("SELECT ?", [])


def test_databases(session: Session) -> None:
    run(session, "CREATE DATABASE shop; USE shop; CREATE TABLE t (k INT); INSERT INTO t VALUES (1)")
    assert column(session, "SHOW CURRENT DATABASE") == ["shop"]
    assert column(session, "SHOW DATABASES") == ["default", "shop"]
    assert rows(session, "SELECT t.k FROM shop.t") == [(1,)]
    run(session, "USE default")
    with pytest.raises(TableNotFound):
        rows(session, "SELECT * FROM t")
    with pytest.raises(DatabaseNotFound, match="`shop`"):
        run(session, "USE shopp")
    run(session, "USE shop; DROP DATABASE shop CASCADE")
    assert column(session, "SHOW CURRENT DATABASE") == ["default"]


DEFINITIONS = [
    "CREATE TABLE t (a INT)",
    "CREATE TABLE t (`odd name` STRING COMMENT 'it''s', b DECIMAL(20, 4) NOT NULL) COMMENT 'what' "
    "WITH ('file.format' = 'parquet')",
    "CREATE TABLE t (d STRING, k BIGINT, v DOUBLE DEFAULT 1.5, ts TIMESTAMP(3), l TIMESTAMP_LTZ(6), "
    "PRIMARY KEY (d, k) NOT ENFORCED) PARTITIONED BY (d) WITH ('bucket' = '3', 'changelog-producer' = 'input')",
    "CREATE TABLE t (a ARRAY<INT>, m MAP<STRING, BIGINT>, r ROW<x INT, y STRING>, b BYTES, c CHAR(3), v VARCHAR(7))",
]


@pytest.mark.parametrize("sql", DEFINITIONS)
def test_show_create_table_makes_the_same_again(session: Session, sql: str) -> None:
    run(session, sql)
    text, described = column(session, "SHOW CREATE TABLE t")[0], rows(session, "DESCRIBE t")
    run(session, f"DROP TABLE t; {text}")
    assert column(session, "SHOW CREATE TABLE t") == [text]
    assert rows(session, "DESCRIBE t") == described


def test_create_table_as_and_like(session: Session) -> None:
    run(session, "CREATE TABLE a (k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '2')")
    run(session, "INSERT INTO a VALUES (1, 'x'), (2, 'y')")
    result = session.execute_one("CREATE TABLE b AS SELECT v, count(*) AS n FROM a GROUP BY v")
    assert result == RowCount(2)
    assert rows(session, "SELECT * FROM b ORDER BY v") == [("x", 1), ("y", 1)]
    run(session, "CREATE TABLE c LIKE a")
    text = column(session, "SHOW CREATE TABLE c")[0]
    assert "PRIMARY KEY (`k`)" in text and "'bucket' = '2'" in text
    with pytest.raises(Error):
        run(session, "CREATE TABLE d AS SELECT 1 / 0 AS x")
    assert "d" not in column(session, "SHOW TABLES")


def test_if_exists_and_if_not_exists(session: Session) -> None:
    run(session, "CREATE TABLE t (k INT); CREATE TABLE IF NOT EXISTS t (other INT); DROP TABLE IF EXISTS nope")
    with pytest.raises(AlreadyExists):
        run(session, "CREATE TABLE t (k INT)")
    with pytest.raises(TableNotFound, match="nope"):
        run(session, "DROP TABLE nope")


def test_alter_table(session: Session) -> None:
    run(
        session,
        "CREATE TABLE t (k INT); INSERT INTO t VALUES (1); ALTER TABLE t ADD (v STRING); ALTER TABLE t RENAME k TO id",
    )
    run(session, "INSERT INTO t VALUES (2, 'b'); ALTER TABLE t SET ('write-only' = 'true'); ALTER TABLE t RENAME TO u")
    assert rows(session, "SELECT id, v FROM u ORDER BY id") == [(1, None), (2, "b")]
    assert "'write-only' = 'true'" in column(session, "SHOW CREATE TABLE u")[0]


def test_views_are_kept_in_the_warehouse(session: Session, tmp_path: Path) -> None:
    run(session, "CREATE DATABASE d; CREATE TABLE t (k INT, v INT); INSERT INTO t VALUES (1, 10), (2, 20)")
    run(session, "CREATE VIEW big (key, val) AS SELECT k, v FROM t WHERE v > 10; CREATE VIEW w AS SELECT * FROM big")
    again = open_session(str(tmp_path), {})
    run(again, "USE d")
    assert rows(again, "SELECT b.key, b.val FROM default.w AS b") == [(2, 20)]
    again.close()
    assert column(session, "SHOW VIEWS") == ["big", "w"]
    assert "CREATE VIEW" in column(session, "SHOW CREATE VIEW big")[0]
    with pytest.raises(AlreadyExists):
        run(session, "CREATE VIEW big AS SELECT 1")
    run(session, "CREATE OR REPLACE VIEW big AS SELECT k FROM t; DROP VIEW w; DROP VIEW IF EXISTS w")
    assert rows(session, "SELECT * FROM big ORDER BY 1") == [(1,), (2,)]
    with pytest.raises(TableNotFound):
        run(session, "CREATE VIEW broken AS SELECT * FROM nope")
    with pytest.raises(NotSupportedError, match="view"):
        run(session, "INSERT INTO big VALUES (1)")


def test_temporary_views_and_registered_relations(session: Session) -> None:
    session.register("nums", pa.table({"N": [1, 2, 3]}))
    run(session, "CREATE TEMPORARY VIEW twice AS SELECT n * 2 AS n FROM nums")
    assert rows(session, "SELECT t.n FROM twice t JOIN nums ON t.n = nums.N") == [(2,)]
    assert {"nums", "twice"} <= set(column(session, "SHOW TABLES"))
    session.unregister("nums")
    with pytest.raises(TableNotFound):
        rows(session, "SELECT * FROM nums")


def test_options(session: Session) -> None:
    run(session, "SET 'execution.runtime-mode' = 'streaming'")
    assert rows(session, "SET 'execution.mode'") == [("execution.mode", "streaming", True)]
    run(session, "RESET 'execution.mode'; SET execution.mode = batch")
    assert ("execution.mode", "batch", True) in rows(session, "SET")
    for sql, text in [
        ("SET 'execution.mod' = 'batch'", "Did you mean `execution.mode`"),
        ("SET 'execution.mode' = 'sideways'", "'batch', 'streaming'"),
        ("SET 'memory.limit' = 'much'", "size"),
        ("RESET 'nope.nope'", "unknown option"),
    ]:
        with pytest.raises(OptionError, match=text):
            run(session, sql)


def test_a_memory_limit_spills(session: Session) -> None:
    run(session, "SET 'memory.limit' = '32 mb'")
    session.register("many", pa.table({"k": pa.array(range(600_000))}))
    assert rows(session, "SELECT count(*) FROM (SELECT DISTINCT k FROM many)") == [(600_000,)]


def test_system_tables_and_show(session: Session) -> None:
    run(session, "CREATE TABLE t (p INT, k INT) PARTITIONED BY (p); INSERT INTO t VALUES (1, 1), (2, 2)")
    assert rows(session, "SELECT snapshot_id, commit_kind FROM t$snapshots") == [(1, "APPEND")]
    assert rows(session, "SELECT count(*) FROM `default`.`t$files` WHERE record_count = 1") == [(2,)]
    assert column(session, "SHOW PARTITIONS t") == ["p=1", "p=2"]
    assert column(session, "SHOW COLUMNS FROM t LIKE 'k%'") == ["k"]
    assert "sys.compact" in column(session, "SHOW PROCEDURES")
    assert column(session, "SHOW TABLES LIKE 'T'") == ["t"]
    assert column(session, "SHOW JOBS") == []
    with pytest.raises(TableNotFound, match=r"snapshots"):
        rows(session, "SELECT * FROM t$snapshot")
    with pytest.raises(ProgrammingError, match="compact"):
        session.execute_one("CALL sys.compactt('t')")


def test_a_streaming_select_follows_and_ends_when_bounded(session: Session) -> None:
    run(session, "CREATE TABLE t (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED); INSERT INTO t VALUES (1, 1), (2, 2)")
    run(session, "SET 'execution.mode' = 'streaming'")
    result = session.execute_one("SELECT k, v + 1 AS w FROM t WHERE v > 1")
    assert isinstance(result, ChangelogResult) and not result.bounded
    first = result.next(10)
    assert first is not None and first.to_pylist() == [{"op": "+I", "k": 2, "w": 3}]
    assert session.execute_one("INSERT INTO t VALUES (3, 3)") == RowCount(1)
    second = result.next(10)
    assert second is not None and second.to_pylist() == [{"op": "+I", "k": 3, "w": 4}]
    result.close()
    run(session, "SET 'scan.bounded.mode' = 'latest'")
    bounded = session.execute_one("SELECT count(*) AS n FROM t")
    assert isinstance(bounded, ChangelogResult) and bounded.bounded
    table = bounded.next(10)
    assert table is not None and table["n"].to_pylist()[-1] == 3
    assert "Dataflow" in rows(session, "EXPLAIN SELECT count(*) FROM t")[0][0]


def test_a_streaming_insert_is_a_job(session: Session) -> None:
    run(
        session,
        "CREATE TABLE src (k INT, v INT); CREATE TABLE sums (d STRING, k INT, n BIGINT, PRIMARY KEY (k, d))",
    )
    run(session, "INSERT INTO src VALUES (1, 10), (1, 5), (2, 1); SET 'execution.mode' = 'streaming'")
    handle = session.execute_one("INSERT INTO sums (n, k, d) SELECT sum(v), k, 'x' FROM src GROUP BY k")
    assert isinstance(handle, JobHandle)
    assert handle.name == "insert-into_default.sums"
    handle.job.checkpoint()
    run(session, "SET 'execution.mode' = 'batch'")
    assert rows(session, "SELECT k, n FROM sums ORDER BY k") == [(1, 15), (2, 1)]
    assert [row[1:3] for row in rows(session, "SHOW JOBS")] == [("insert-into_default.sums", "RUNNING")]
    run(session, "STOP JOB 'insert-into_default.sums'")
    assert [row[2] for row in rows(session, "SHOW JOBS")] == ["STOPPED"]
    run(session, "DROP JOB 'insert-into_default.sums'; DROP JOB IF EXISTS 'insert-into_default.sums'")
    assert rows(session, "SHOW JOBS") == []
    with pytest.raises(ProgrammingError):
        run(session, "STOP JOB 'nope'")


def test_connector_tables(session: Session, tmp_path: Path) -> None:
    folder = tmp_path / "out"
    run(
        session,
        f"CREATE TABLE f (k INT, v STRING) WITH ('connector' = 'filesystem', 'path' = '{folder}', 'format' = 'json')",
    )
    assert session.execute_one("INSERT INTO f VALUES (1, 'a'), (2, NULL)") == RowCount(2)
    assert rows(session, "SELECT * FROM f WHERE v IS NULL OR k = 1 ORDER BY k") == [(1, "a"), (2, None)]
    assert rows(session, "SELECT count(*) FROM f") == [(2,)]
    with pytest.raises(NotSupportedError):
        run(session, "UPDATE f SET v = 'x'")
    with pytest.raises(OptionError):
        run(session, "CREATE TABLE g (k INT) WITH ('connector' = 'filesystemm', 'path' = 'x')")


@pytest.mark.parametrize("folder", ["bucket-0", "manifest", "snapshot"])
def test_a_place_that_cannot_be_written_is_named(tmp_path: Path, folder: str) -> None:
    """A file in the place of a directory: permissions would not stop every user."""
    session = open_session(str(tmp_path / "wh"), {})
    session.execute_one("CREATE TABLE t (k INT, PRIMARY KEY (k) NOT ENFORCED)")
    place = tmp_path / "wh" / "default.db" / "t" / folder
    place.write_text("")
    with pytest.raises(WarehouseError, match=f"cannot be read or changed: .*{folder}"):
        session.execute_one("INSERT INTO t VALUES (1)")
    place.unlink()
    session.execute_one("INSERT INTO t VALUES (2)")
    result = session.execute_one("SELECT * FROM t")
    assert isinstance(result, BatchResult) and result.reader.read_all().to_pylist() == [{"k": 2}]
    session.close()

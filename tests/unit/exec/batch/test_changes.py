"""INSERT, UPDATE, DELETE: what they change, what they count, and that a failed one changes nothing."""

from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from tsdb.errors import BindError, ColumnNotFound, DataError, Error, NotSupportedError, NullKeyError


@pytest.fixture(params=["", "WITH ('bucket' = '2', 'bucket-key' = 'k')"], ids=["unaware", "bucketed"])
def log(ask: Any, request: pytest.FixtureRequest) -> Any:
    ask.run(f"CREATE TABLE log (k INT, v STRING, n INT) {request.param}")
    ask.run("INSERT INTO log VALUES (1, 'a', 10), (2, 'b', 20); INSERT INTO log VALUES (1, 'c', 30), (3, NULL, NULL)")
    return ask


@pytest.fixture(params=["none", "input"])
def pk(ask: Any, request: pytest.FixtureRequest) -> Any:
    options = f"('bucket' = '2', 'changelog-producer' = '{request.param}')"
    ask.run(f"CREATE TABLE pk (k INT, v STRING, n DECIMAL(10, 2), PRIMARY KEY (k) NOT ENFORCED) WITH {options}")
    ask.run("INSERT INTO pk VALUES (1, 'a', 1.10), (2, 'b', 2.20), (3, 'c', 3.30)")
    return ask


def data_files(warehouse: Path) -> set[str]:
    return {path.name for path in warehouse.rglob("bucket-*/*")}


def test_insert_by_columns_fills_the_rest(ask: Any) -> None:
    ask.run("CREATE TABLE t (a INT, b STRING DEFAULT 'none', c DOUBLE)")
    assert ask.count("INSERT INTO t (C, a) VALUES (1.5, 1), (2, 2)") == 2
    assert ask.bag("SELECT * FROM t") == [(1, "none", 1.5), (2, "none", 2.0)]


def test_insert_select_of_itself_is_one_snapshot(log: Any) -> None:
    assert log.count("INSERT INTO log SELECT k + 10, v, n FROM log") == 4
    assert log.rows("SELECT count(*) FROM log") == [(8,)]


@pytest.mark.parametrize(
    ("sql", "error", "text"),
    [
        ("INSERT INTO pk VALUES (1, 'x')", BindError, "takes 3 values"),
        ("INSERT INTO pk (k, nope) VALUES (1, 2)", ColumnNotFound, "`nope`"),
        ("INSERT INTO pk (k, K) VALUES (1, 2)", BindError, "twice"),
        ("INSERT INTO pk VALUES ('x', 'y', 1)", BindError, "column `k`"),
        ("INSERT INTO pk SELECT k, v, v FROM pk", BindError, "column `n`"),
        ("INSERT INTO pk VALUES (9, 'ok', 1), (NULL, 'y', 1)", NullKeyError, "column `k`"),
        ("INSERT INTO pk SELECT 99999999999, 'x', 1", DataError, "column `k`"),
        ("INSERT INTO pk SELECT k, v, n / (k - 2) FROM pk", DataError, "division by zero"),
        ("UPDATE pk SET k = 5", NotSupportedError, "primary key"),
        ("UPDATE pk SET nope = 5", ColumnNotFound, "nope"),
        ("UPDATE pk SET n = 'x'", BindError, "column `n`"),
        ("UPDATE pk SET n = 1 / (k - 2)", DataError, "division by zero"),
        ("DELETE FROM pk WHERE nope = 1", ColumnNotFound, "nope"),
        ("DELETE FROM pk WHERE 1 / (k - 2) = 1", DataError, "division by zero"),
    ],
)
def test_a_failed_statement_leaves_the_table_as_it_was(
    pk: Any, warehouse: Path, sql: str, error: type[Error], text: str
) -> None:
    rows, snapshots = pk.bag("SELECT * FROM pk"), pk.rows("SELECT count(*) FROM pk$snapshots")
    files = data_files(warehouse)
    with pytest.raises(error, match=text):
        pk.count(sql)
    assert pk.bag("SELECT * FROM pk") == rows
    assert pk.rows("SELECT count(*) FROM pk$snapshots") == snapshots
    assert data_files(warehouse) == files


def test_update_and_delete_by_key(pk: Any) -> None:
    assert pk.count("UPDATE pk SET v = upper(v), n = n + k WHERE k < 3") == 2
    assert [tuple(map(str, row)) for row in pk.bag("SELECT * FROM pk")] == [
        ("1", "A", "2.10"),
        ("2", "B", "4.20"),
        ("3", "c", "3.30"),
    ]
    assert pk.count("DELETE FROM pk WHERE k = (SELECT max(k) FROM pk)") == 1
    assert pk.count("DELETE FROM pk WHERE k = 77") == 0
    assert pk.count("DELETE FROM pk") == 2
    assert pk.rows("SELECT * FROM pk") == []


def test_update_of_an_append_table_rewrites_only_files_with_matches(log: Any, warehouse: Path) -> None:
    before = {row[0] for row in log.rows("SELECT file_path FROM log$files")}
    assert log.count("UPDATE log SET n = n + 1, v = 'z' WHERE k = 2") == 1
    after = {row[0] for row in log.rows("SELECT file_path FROM log$files")}
    assert len(before - after) == 1
    assert log.bag("SELECT * FROM log") == [(1, "a", 10), (1, "c", 30), (2, "z", 21), (3, None, None)]


def test_update_keeps_the_digits_of_other_rows(ask: Any) -> None:
    ask.run("CREATE TABLE d (k INT, x DECIMAL(30, 10))")
    ask.run("INSERT INTO d VALUES (1, 12345678901234567890.0123456789), (2, 1)")
    assert ask.count("UPDATE d SET x = 0.5e0 WHERE k = 2") == 1
    assert str(ask.rows("SELECT x FROM d WHERE k = 1")[0][0]) == "12345678901234567890.0123456789"
    assert str(ask.rows("SELECT x FROM d WHERE k = 2")[0][0]) == "0.5000000000"


def test_update_evaluates_only_matching_rows(log: Any) -> None:
    assert log.count("UPDATE log SET n = 100 / (k - 2) WHERE k <> 2") == 3
    assert log.bag("SELECT k, n FROM log") == [(1, -100), (1, -100), (2, 20), (3, 100)]


def test_delete_of_an_append_table(log: Any) -> None:
    assert log.count("DELETE FROM log WHERE n IS NULL OR v = 'a'") == 2
    assert log.bag("SELECT * FROM log") == [(1, "c", 30), (2, "b", 20)]
    assert log.count("DELETE FROM log WHERE n > 5 AND k = 99") == 0
    assert log.count("DELETE FROM log WHERE v IN (SELECT v FROM log WHERE k = 1)") == 1
    assert log.count("DELETE FROM log") == 1
    assert log.rows("SELECT count(*) FROM log") == [(0,)]


def test_a_condition_that_is_null_keeps_the_row(log: Any) -> None:
    assert log.count("DELETE FROM log WHERE n > 0") == 3
    assert log.rows("SELECT k FROM log") == [(3,)]


def test_overwrite_by_partition(ask: Any) -> None:
    ask.run("CREATE TABLE p (day STRING, v INT) PARTITIONED BY (day)")
    ask.run("INSERT INTO p VALUES ('a', 1), ('b', 2), ('c', 3)")
    assert ask.count("INSERT OVERWRITE p VALUES ('a', 9)") == 1
    assert ask.bag("SELECT * FROM p") == [("a", 9), ("b", 2), ("c", 3)]
    assert ask.count("INSERT OVERWRITE p PARTITION (day = 'b') SELECT v + 1 FROM p WHERE day = 'b'") == 1
    assert ask.count("INSERT OVERWRITE p PARTITION (day = 'c') SELECT v FROM p WHERE FALSE") == 0
    assert ask.bag("SELECT * FROM p") == [("a", 9), ("b", 3)]
    assert ask.count("INSERT INTO p PARTITION (day = 'd') VALUES (4)") == 1
    ask.run("ALTER TABLE p DROP PARTITION (day = 'd')")
    assert ask.bag("SELECT * FROM p") == [("a", 9), ("b", 3)]
    ask.run("TRUNCATE TABLE p")
    assert ask.rows("SELECT * FROM p") == []


def test_overwrite_of_an_unpartitioned_table_with_nothing_empties_it(log: Any) -> None:
    assert log.count("INSERT OVERWRITE log SELECT * FROM log WHERE FALSE") == 0
    assert log.rows("SELECT count(*) FROM log") == [(0,)]


def test_a_source_is_streamed_into_the_writer(ask: Any) -> None:
    ask.run("CREATE TABLE big (k BIGINT, v BIGINT, PRIMARY KEY (k) NOT ENFORCED)")
    ask.session.register("many", pa.table({"value": np.arange(1, 300_001)}))
    assert ask.count("INSERT INTO big SELECT value, value * 2 FROM many") == 300_000
    assert ask.rows("SELECT count(*), sum(v), max(k) FROM big") == [(300_000, 300_000 * 300_001, 300_000)]

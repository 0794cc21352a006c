"""What a query sees: one snapshot of each table, the one it asks for, whatever others commit meanwhile."""

import time
from typing import Any

import pytest

from tsdb.errors import Error, OperationalError, OptionError
from tsdb.exec.result import BatchResult


@pytest.fixture
def t(ask: Any) -> Any:
    ask.run("CREATE TABLE t (k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED)")
    for i in (1, 2, 3):
        ask.run(f"INSERT INTO t VALUES ({i}, 'v{i}')")
    return ask


def test_an_open_query_does_not_see_later_commits(t: Any, other: Any) -> None:
    result = t.session.execute_one("SELECT a.k FROM t a JOIN t b ON a.k = b.k")
    assert isinstance(result, BatchResult)
    other.run("INSERT INTO t VALUES (4, 'x'); DELETE FROM t WHERE k = 1; INSERT INTO t VALUES (2, 'y')")
    assert sorted(result.reader.read_all()["k"].to_pylist()) == [1, 2, 3]
    assert t.bag("SELECT k, v FROM t") == [(2, "y"), (3, "v3"), (4, "x")]


def test_an_insert_of_its_own_table_reads_the_state_before_it(t: Any) -> None:
    assert t.count("INSERT INTO t SELECT k + (SELECT max(k) FROM t), v FROM t") == 3
    assert [k for k, _ in t.bag("SELECT * FROM t")] == [1, 2, 3, 4, 5, 6]


def test_time_travel_by_snapshot_hint_and_time(t: Any) -> None:
    assert t.rows("SELECT count(*) FROM t VERSION AS OF 2") == [(2,)]
    assert t.rows("SELECT count(*) FROM t /*+ OPTIONS('scan.snapshot-id' = '1') */") == [(1,)]
    (at,) = t.rows("SELECT commit_time FROM t$snapshots WHERE snapshot_id = 2")[0]
    assert t.rows(f"SELECT count(*) FROM t FOR SYSTEM_TIME AS OF TIMESTAMP '{at}'")[0][0] in (2, 3)
    both = "SELECT count(*), count(b.k) FROM t a LEFT JOIN t VERSION AS OF 1 AS b ON a.k = b.k"
    assert t.rows(both) == [(3, 1)]


def test_a_tag_keeps_a_state(t: Any) -> None:
    t.session.execute_one("CALL sys.create_tag('t', 'first', 1)")
    assert t.rows("SELECT k FROM t VERSION AS OF 'first'") == [(1,)]
    assert t.rows("SELECT tag_name, snapshot_id FROM t$tags") == [("first", 1)]


def test_travelling_reads_the_columns_of_that_time(t: Any) -> None:
    t.run("ALTER TABLE t ADD (n INT); INSERT INTO t VALUES (9, 'new', 90)")
    assert t.rows("SELECT * FROM t VERSION AS OF 1") == [(1, "v1")]
    assert t.bag("SELECT * FROM t WHERE k > 2") == [(3, "v3", None), (9, "new", 90)]


@pytest.mark.parametrize(
    ("sql", "error", "text"),
    [
        ("SELECT * FROM t VERSION AS OF 99", OperationalError, "99"),
        ("SELECT * FROM t /*+ OPTIONS('scan.snapshot-idd' = '1') */", OptionError, "scan.snapshot-id"),
        ("SELECT * FROM t /*+ OPTIONS('scan.mode' = 'from-snapshot') */", OptionError, "needs 'scan.snapshot-id'"),
        ("SELECT * FROM t /*+ OPTIONS('merge-engine' = 'first-row') */", OptionError, "for one statement"),
        ("INSERT INTO t /*+ OPTIONS('sequence.field' = 'v') */ VALUES (1, '')", OptionError, "for one statement"),
        ("SELECT * FROM t FOR SYSTEM_TIME AS OF TIMESTAMP '2001-01-01 00:00:00'", OperationalError, "2001-01-01"),
    ],
)
def test_states_that_are_not_there(t: Any, sql: str, error: type[Error], text: str) -> None:
    with pytest.raises(error, match=text):
        t.rows(sql)


def test_a_lost_race_of_copy_on_write_is_done_again(ask: Any, other: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another writer rewrites the same file between planning and commit: the update is planned anew."""
    from tsdb.exec.batch import row_change

    ask.run("CREATE TABLE log (k INT, v INT); INSERT INTO log VALUES (1, 1), (2, 2)")
    real, calls = row_change.rewrite, []

    def interrupted(*args: Any) -> int:
        calls.append(args)
        if len(calls) == 1:
            monkeypatch.setattr(row_change, "rewrite", real)
            other.run("UPDATE log SET v = v * 10 WHERE k = 1")
            monkeypatch.setattr(row_change, "rewrite", interrupted)
        return real(*args)

    monkeypatch.setattr(row_change, "rewrite", interrupted)
    assert ask.count("UPDATE log SET v = v + 1") == 2
    assert len(calls) == 2
    assert ask.bag("SELECT * FROM log") == [(1, 11), (2, 3)]


def test_a_query_starts_in_milliseconds(t: Any) -> None:
    t.rows("SELECT * FROM t WHERE k = 1")
    started = time.perf_counter()
    for _ in range(10):
        t.rows("SELECT * FROM t WHERE k = 1")
    assert (time.perf_counter() - started) / 10 < 0.25  # a twentieth of it on a quiet machine

"""A text that was planned before: planned once, and always right about what has changed since."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pytest

import tsdb
from tsdb.exec import known_plans
from tsdb.exec.plan import plan_query

ALL = "SELECT * FROM t ORDER BY 1"


@pytest.fixture
def planned(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The texts of the queries that were planned."""
    texts: list[str] = []

    def counted(*args: object, **named: object) -> object:
        plan = plan_query(*args, **named)  # type: ignore[arg-type]
        texts.append(plan.text)
        return plan

    monkeypatch.setattr(known_plans, "plan_query", counted)
    return texts


@pytest.fixture
def con(tmp_path: Path) -> Iterator[tsdb.Connection]:
    with tsdb.connect(str(tmp_path)) as made:
        made.execute("CREATE TABLE t (k BIGINT, v INT)")
        made.execute("INSERT INTO t VALUES (1, 10)")
        yield made


def test_a_text_is_planned_once_and_sees_what_was_written_since(con: tsdb.Connection, planned: list[str]) -> None:
    assert con.execute(ALL).fetchall() == [(1, 10)]
    con.execute("INSERT INTO t VALUES (2, 20)")
    assert con.execute(ALL).fetchall() == [(1, 10), (2, 20)]
    con.execute("DELETE FROM t WHERE k = 1")
    assert con.execute(ALL).fetchall() == [(2, 20)]
    assert len(planned) == 1


@pytest.mark.parametrize(
    ("change", "rows"),
    [
        ("ALTER TABLE t ADD COLUMN w STRING", [(1, 10, None)]),
        ("ALTER TABLE t MODIFY COLUMN v BIGINT", [(1, 10)]),
        ("DROP TABLE t; CREATE TABLE t (k STRING)", []),
        ("DROP TABLE t; CREATE VIEW t AS SELECT 7 AS seven", [(7,)]),
        ("CREATE TEMPORARY TABLE t AS SELECT 5 AS five", [(5,)]),
        ("CREATE DATABASE d; USE d; CREATE TABLE t (k INT)", []),
        ("ALTER TABLE t SET ('scan.snapshot-id' = '1'); INSERT INTO t VALUES (2, 20)", [(1, 10)]),
        ("INSERT INTO t VALUES (2, 20); SET 'scan.snapshot-id' = '1'", [(1, 10)]),
    ],
)
def test_a_text_over_something_else_is_planned_anew(
    con: tsdb.Connection, planned: list[str], change: str, rows: list[tuple[object, ...]]
) -> None:
    assert con.execute(ALL).fetchall() == [(1, 10)]
    for statement in change.split("; "):
        con.execute(statement)
    assert con.execute(ALL).fetchall() == rows
    assert len(planned) == 2


def test_an_option_of_the_session_that_changes_the_answer_counts(con: tsdb.Connection) -> None:
    con.execute("INSERT INTO t VALUES (2, 11)")
    asked = "SELECT avg(v) FROM t"
    assert con.execute(asked).fetchall() == [(10,)]
    con.execute("SET 'sql.average' = 'double'")
    assert con.execute(asked).fetchall() == [(10.5,)]


def test_functions_of_the_user_and_the_time_are_asked_anew(con: tsdb.Connection, planned: list[str]) -> None:
    moments = {con.execute("SELECT now() FROM t").fetchone() for _ in range(2)}
    assert len(moments) == 2
    con.create_function("twice", lambda x: 2 * x, ["INT"], "INT")
    assert con.execute("SELECT twice(v) FROM t").fetchall() == [(20,)]
    con.execute("DROP FUNCTION twice")
    con.create_function("twice", lambda x: 3 * x, ["INT"], "INT")
    assert con.execute("SELECT twice(v) FROM t").fetchall() == [(30,)]
    assert len(planned) == 4


def test_what_is_registered_is_what_it_is_now(con: tsdb.Connection) -> None:
    for number in (1, 2):
        con.register("given", pa.table({"n": [number]}))
        assert con.execute("SELECT k, n FROM t, given").fetchall() == [(1, number)]


def test_a_kept_plan_keeps_no_snapshot_from_expiring(con: tsdb.Connection) -> None:
    assert con.execute(ALL).fetchall() == [(1, 10)]
    con.execute("INSERT INTO t VALUES (2, 20)")
    con.execute("CALL sys.expire_snapshots('default.t', 1)").fetchall()
    assert con.execute("SELECT snapshot_id FROM `t$snapshots`").fetchall() == [(2,)]
    assert con.execute(ALL).fetchall() == [(1, 10), (2, 20)]


def test_an_error_of_a_kept_plan_has_its_place(con: tsdb.Connection) -> None:
    asked = "SELECT v / (k - 2) FROM t"
    assert con.execute(asked).fetchall() == [(-10,)]
    con.execute("INSERT INTO t VALUES (2, 20)")
    for _ in range(2):
        with pytest.raises(tsdb.DataError, match="division by zero") as caught:
            con.execute(asked).fetchall()
        assert caught.value.position is not None

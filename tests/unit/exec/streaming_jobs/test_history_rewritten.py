"""What a stream has followed must stay true: a history that was rewritten is an error, never a wrong answer."""

from pathlib import Path

import pytest

import tsdb

CREATE = "CREATE TABLE t (id INT, v INT, PRIMARY KEY (id) NOT ENFORCED)"
INSERTS = [f"INSERT INTO t VALUES ({i}, 100)" for i in range(4)]
ROLLBACK = "CALL sys.rollback_to(`table` => 'default.t', snapshot_id => 1)"
GONE = r"snapshot 3 of table `default\.t`, the last to be followed, is no longer there"


@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (["DROP TABLE t"], GONE),
        (["ALTER TABLE t RENAME TO u"], GONE),
        (["DROP TABLE t", CREATE, *INSERTS], GONE),
        ([ROLLBACK], GONE),
        ([ROLLBACK, *INSERTS], GONE),
        (
            ["ALTER TABLE t MODIFY v BIGINT", "INSERT INTO t VALUES (9, 99999999999)"],
            "`v` .* is BIGINT since snapshot 4",
        ),
    ],
)
def test_a_history_that_was_rewritten(tmp_path: Path, statements: list[str], message: str) -> None:
    options = {"execution.mode": "streaming"}
    with tsdb.connect(str(tmp_path)) as batch, tsdb.connect(str(tmp_path), options=options) as streaming:
        for statement in [CREATE, *INSERTS[:3]]:
            batch.execute(statement)
        cursor = streaming.execute("SELECT * FROM t")
        assert len(cursor.fetchmany(9)) == 3
        for statement in statements:
            batch.execute(statement)
        with pytest.raises(tsdb.OperationalError, match=message):
            cursor.poll(1.0)


def test_a_job_resumed_after_a_rollback(tmp_path: Path) -> None:
    job = "INSERT INTO u SELECT * FROM t"
    with tsdb.connect(str(tmp_path)) as connection:
        for statement in [CREATE, CREATE.replace(" t ", " u "), *INSERTS, "SET 'execution.mode' = 'streaming'", job]:
            connection.execute(statement)
        connection.jobs()[0].checkpoint(20)
    with tsdb.connect(str(tmp_path)) as connection:
        connection.execute(ROLLBACK)
        connection.execute("SET 'execution.mode' = 'streaming'")
        connection.execute(job)
        with pytest.raises(tsdb.OperationalError, match=r"snapshot 4 .* no longer there"):
            connection.jobs()[0].wait(10)


def test_new_columns_are_no_other_history(tmp_path: Path) -> None:
    options = {"execution.mode": "streaming"}
    with tsdb.connect(str(tmp_path)) as batch, tsdb.connect(str(tmp_path), options=options) as streaming:
        batch.execute(CREATE)
        cursor = streaming.execute("SELECT * FROM t")
        for statement in ("ALTER TABLE t ADD (z INT)", "ALTER TABLE t RENAME v TO w", "INSERT INTO t VALUES (1, 2, 3)"):
            batch.execute(statement)
        assert cursor.fetchone() == ("+I", 1, 2)

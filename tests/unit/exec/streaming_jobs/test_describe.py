"""DESCRIBE JOB: what is known of a job, from the process that runs it and from others."""

from pathlib import Path

import pytest

import tsdb

SETUP = """
CREATE TABLE src (id INT, customer STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND,
  PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE sums (customer STRING, n BIGINT, last TIMESTAMP(3), PRIMARY KEY (customer) NOT ENFORCED);
INSERT INTO src VALUES (1, 'ann', TIMESTAMP '2024-01-01 10:00:00'), (2, 'bob', TIMESTAMP '2024-01-01 10:00:07'),
  (3, 'ann', TIMESTAMP '2024-01-01 10:00:01');
SET 'execution.mode' = 'streaming';
"""
JOB = "INSERT INTO sums SELECT customer, count(*), max(ts) FROM src GROUP BY customer"
NAME = "insert-into_default.sums"


def described(con: tsdb.Connection) -> dict[str, str]:
    return dict(con.execute(f"DESCRIBE JOB '{NAME}'").fetchall())


def test_a_job_is_described_by_its_process_and_by_others(tmp_path: Path) -> None:
    with tsdb.connect(str(tmp_path)) as con, tsdb.connect(str(tmp_path)) as other:
        list(con.statements(SETUP))
        con.execute(JOB)
        con.jobs()[0].checkpoint()
        here, elsewhere = described(con), described(other)
    common = {"name": NAME, "status": "RUNNING", "rows in": "3", "rows out": "2", "version": "1"}
    assert common.items() <= here.items()
    assert int(here["state rows"]) >= 2 and (here["restarts"], here["late rows"]) == ("0", "0")
    assert any("Aggregate" in value for key, value in here.items() if key.startswith("state of"))
    for facts in (here, elsewhere):
        assert facts["query"].endswith("GROUP BY customer") and facts["checkpoint at"].endswith("(UTC)")
        (watermark,) = [value for key, value in facts.items() if key.startswith("watermark of ")]
        assert watermark == "2024-01-01 10:00:02.000 (UTC)"
        assert any(key.startswith("position in ") for key in facts)
    assert "state rows" not in elsewhere


def test_rows_of_operators_and_the_lag_of_sources(tmp_path: Path) -> None:
    with tsdb.connect(str(tmp_path)) as con, tsdb.connect(str(tmp_path)) as other:
        list(con.statements(SETUP))
        con.execute(JOB)
        con.jobs()[0].checkpoint()
        facts = described(con)
        flow = [value for key, value in facts.items() if key.startswith("rows of operator")]
        assert any("Scan src" in value and value.endswith(": 3 in, 3 out") for value in flow), flow
        assert any("Aggregate" in value and value.endswith(": 3 in, 2 out") for value in flow), flow
        assert facts["lag of src"] == "none" and facts["runs in"] == "this process"
        con.jobs()[0].stop()
        for _ in range(2):
            other.execute("INSERT INTO src VALUES (9, 'eve', TIMESTAMP '2024-01-01 10:00:00')")
        for facts in (described(con), described(other)):
            assert facts["lag of src"].startswith("2 snapshots, ") and "runs in" not in facts
        con.execute(JOB)
        con.jobs()[0].checkpoint()
        assert described(con)["lag of src"] == "none"


def test_a_job_that_is_not_there(tmp_path: Path) -> None:
    with tsdb.connect(str(tmp_path)) as con, pytest.raises(tsdb.ProgrammingError, match="SHOW JOBS"):
        con.execute("DESCRIBE JOB 'nope'")

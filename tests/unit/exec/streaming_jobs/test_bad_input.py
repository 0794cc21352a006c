"""A malformed line ends a job with its place; what was committed stays, and with the line mended the job goes on."""

import json
from pathlib import Path

import pytest

import tsdb

JOB = "INSERT INTO t SELECT * FROM log"


def event(key: int | None) -> str:
    return json.dumps({"op": "c", "before": None, "after": {"id": key, "v": "x"}}) + "\n"


def connect(folder: Path, options: str = "") -> tsdb.Connection:
    connection = tsdb.connect(str(folder / "warehouse"))
    columns = "(id INT, v STRING, PRIMARY KEY (id) NOT ENFORCED)"
    connection.execute(
        f"CREATE TABLE log {columns} WITH ('connector' = 'filesystem', 'path' = '{folder / 'log'}',"
        f" 'format' = 'debezium-json'{options})"
    )
    connection.execute(f"CREATE TABLE t {columns}")
    return connection


def run(connection: tsdb.Connection, sql: str, mode: str) -> list[tuple[object, ...]]:
    connection.execute(f"SET 'execution.mode' = '{mode}'")
    return sorted(connection.execute(sql).fetchall(), key=str)


@pytest.mark.parametrize(("bad", "reason"), [("junk\n", "not JSON"), (event(None), "primary-key column `id` is NULL")])
def test_a_job_goes_on_when_the_line_is_mended(tmp_path: Path, bad: str, reason: str) -> None:
    log = tmp_path / "log"
    log.write_text(event(1))
    with connect(tmp_path) as connection:
        run(connection, JOB, "streaming")
        connection.jobs()[0].checkpoint(20)
        with log.open("a") as file:
            file.write(event(2) + bad + event(3))
        where = rf"{log}, line 3: {reason}"
        for _ in range(2):  # once more without mending anything
            with pytest.raises(tsdb.OperationalError, match=where):
                connection.jobs()[-1].wait(20)
            ((_, _, status, *_, error),) = run(connection, "SHOW JOBS", "batch")
            assert status == "FAILED" and where.split(":")[0] in str(error)
            assert run(connection, "SELECT id FROM t", "batch") == [(1,)]
            run(connection, JOB, "streaming")
        with pytest.raises(tsdb.OperationalError, match=where):
            connection.jobs()[-1].wait(20)
        log.write_text(log.read_text().replace(bad, event(4)))
        run(connection, JOB, "streaming")
        connection.jobs()[-1].checkpoint(20)
        assert run(connection, "SELECT id FROM t", "batch") == [(1,), (2,), (3,), (4,)]


def test_bad_lines_may_be_passed_over_and_are_counted(tmp_path: Path) -> None:
    (tmp_path / "log").write_text(event(1) + "junk\n" + event(None) + event(2))
    with connect(tmp_path, ", 'debezium-json.ignore-parse-errors' = 'true'") as connection:
        run(connection, JOB, "streaming")
        job = connection.jobs()[0]
        job.checkpoint(20)
        assert job.metrics()["records_skipped"] == 2
        assert run(connection, "SELECT id FROM t", "batch") == [(1,), (2,)]

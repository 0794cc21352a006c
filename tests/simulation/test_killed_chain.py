"""A change log flows through a primary-key table into an aggregate; the process is killed on the way, several times.

The state may have nothing in memory: it lies in files that are mapped, which vanish with the process.
"""

import json
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import tsdb

DDL = """
CREATE TABLE orders_log (id BIGINT, customer STRING, amount BIGINT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('connector' = 'filesystem', 'path' = '{log}', 'format' = 'debezium-json');
CREATE TABLE orders (id BIGINT, customer STRING, amount BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH ('bucket' = '2');
CREATE TABLE sums (customer STRING, n BIGINT, total BIGINT, PRIMARY KEY (customer) NOT ENFORCED)
  WITH ('changelog-producer' = 'input');
"""
JOBS = """
SET 'execution.mode' = 'streaming';
SET 'execution.checkpointing.interval' = '10 ms';
SET 'execution.state.memory' = '1 b';
INSERT INTO orders SELECT * FROM orders_log;
INSERT INTO sums SELECT customer, count(*), sum(amount) FROM orders GROUP BY customer;
"""
RUN = """
import sys, time, tsdb
con = tsdb.connect(sys.argv[1])
for statement in sys.argv[2].split(";"):
    if statement.strip():
        con.execute(statement)
print("running", flush=True)
for job in con.jobs():
    job.wait()
"""


class Log:
    """A database table with changes, written as Debezium does, and what it holds."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.rng = random.Random(11)
        self.live: dict[int, dict[str, object]] = {}
        path.touch()

    def change(self, times: int) -> None:
        lines = []
        for _ in range(times):
            key = self.rng.randrange(200)
            before = self.live.get(key)
            after: dict[str, object] | None = {
                "id": key,
                "customer": f"c{self.rng.randrange(9)}",
                "amount": self.rng.randrange(100),
            }
            if before is not None and self.rng.random() < 0.3:
                after = None
                del self.live[key]
            else:
                assert after is not None
                self.live[key] = after
            op = "d" if after is None else "u" if before is not None else "c"
            lines.append(json.dumps({"op": op, "before": before, "after": after}) + "\n")
        with self.path.open("a") as file:
            file.writelines(lines)

    def sums(self) -> list[tuple[object, ...]]:
        n: Counter[object] = Counter()
        total: Counter[object] = Counter()
        for row in self.live.values():
            n[row["customer"]] += 1
            total[row["customer"]] += int(str(row["amount"]))
        return sorted(((c, n[c], total[c]) for c in n), key=str)


def script(connection: tsdb.Connection, text: str) -> None:
    for statement in text.split(";"):
        if statement.strip():
            connection.execute(statement)


def test_a_chain_of_jobs_killed_again_and_again_settles_right(tmp_path: Path) -> None:
    log = Log(tmp_path / "orders.json")
    warehouse = str(tmp_path / "warehouse")
    with tsdb.connect(warehouse) as connection:
        script(connection, DDL.format(log=log.path))
    for _ in range(4):
        arguments = [sys.executable, "-c", RUN, warehouse, JOBS]
        with subprocess.Popen(arguments, stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout is not None and process.stdout.readline() == "running\n"
            for _ in range(5):
                log.change(20)
                time.sleep(log.rng.random() * 0.08)
            process.kill()
    with tsdb.connect(warehouse) as connection:
        assert {row[2] for row in connection.execute("SHOW JOBS")} == {"LOST"}
        script(connection, JOBS)
        for job in connection.jobs():
            job.checkpoint(30)
        connection.execute("SET 'execution.mode' = 'batch'")
        orders = connection.execute("SELECT * FROM orders").fetchall()
        assert sorted(orders) == sorted(tuple(row.values()) for row in log.live.values())
        assert sorted(connection.execute("SELECT * FROM sums").fetchall(), key=str) == log.sums()
        script(
            connection,
            "SET 'execution.mode' = 'streaming'; SET 'scan.bounded.mode' = 'latest';"
            "SET 'scan.mode' = 'from-snapshot'; SET 'scan.snapshot-id' = '1'",
        )
        bag: Counter[tuple[object, ...]] = Counter()
        for op, *row in connection.execute("SELECT * FROM sums"):
            bag[tuple(row)] += 1 if op in ("+I", "+U") else -1
        assert sorted(+bag, key=str) == log.sums() and set(bag.values()) <= {0, 1}


def test_a_table_made_anew_is_not_taken_for_the_old_one(tmp_path: Path) -> None:
    """A job that went on would leave out of the new table all that it had put into the old one."""
    create = "CREATE TABLE copy (id BIGINT, PRIMARY KEY (id) NOT ENFORCED)"
    insert = "INSERT INTO copy SELECT id FROM source"
    streaming = "SET 'execution.mode' = 'streaming'"
    with tsdb.connect(str(tmp_path)) as connection:
        script(
            connection,
            f"CREATE TABLE source (id BIGINT); INSERT INTO source VALUES (1); {create}; {streaming}; {insert}",
        )
        connection.jobs()[0].checkpoint(20)
        script(connection, "STOP JOB 'insert-into_default.copy'; DROP TABLE copy")
        time.sleep(0.002)
        connection.execute(create)
        with pytest.raises(
            tsdb.ProgrammingError, match=r"table `default\.copy` was dropped and created anew.*DROP JOB"
        ):
            connection.execute(insert)
        script(connection, f"DROP JOB 'insert-into_default.copy'; {insert}")
        connection.jobs()[0].checkpoint(20)
        connection.execute("SET 'execution.mode' = 'batch'")
        assert connection.execute("SELECT * FROM copy").fetchall() == [(1,)]

"""`make demo`: the main job from end to end, on the embedded default, with a crash in the middle; it checks itself."""

import json
import shutil
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import tsdb

HERE = Path(__file__).parent
WAREHOUSE = Path("demo-warehouse")
LOG = WAREHOUSE / "log" / "changes.jsonl"
CHANGES = (HERE / "cdc" / "shop.jsonl").read_text().splitlines(keepends=True)
EXPECTED = json.loads((HERE / "cdc" / "orders.expected.json").read_text())
LIVE = "SELECT paid, orders, amount FROM totals"


def main() -> None:
    shutil.rmtree(WAREHOUSE, ignore_errors=True)
    LOG.parent.mkdir(parents=True)
    crash_and_resume()
    with tsdb.connect(WAREHOUSE) as con:
        changelog = watch_live(con)
        batch = ask_in_batch_mode(con)
        check(con, changelog, batch)


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


def append(changes: list[str]) -> None:
    with LOG.open("a") as log:
        log.writelines(changes)


def start_jobs() -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tsdb_repl.main", "run", str(HERE / "demo.sql"), str(WAREHOUSE)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True)


def wait_for(what: str, reached: Callable[[], bool], jobs: "subprocess.Popen[str]") -> None:
    """Waits until the condition holds; the jobs must stay alive meanwhile."""
    deadline = time.monotonic() + 60
    while not reached():
        assert jobs.poll() is None, f"the jobs ended while waiting for {what}"
        assert time.monotonic() < deadline, f"timed out waiting for {what}"
        time.sleep(0.05)


def ids(con: Any) -> list[int]:
    """The order ids in the synchronised table, or none while there is no such table."""
    try:
        return sorted(row[0] for row in con.execute("SELECT id FROM orders"))
    except tsdb.ProgrammingError:
        return []


def crash_and_resume() -> None:
    """Starts both jobs, kills them without warning in the middle of the log, and starts them again."""
    say("two continuous jobs: change log -> orders -> totals (examples/demo.sql)")
    with tsdb.connect(WAREHOUSE) as con:
        append(CHANGES[:6])
        jobs = start_jobs()
        wait_for("the first orders", lambda: ids(con) == [1, 2, 3, 4], jobs)
        show(con, "SELECT id, customer, amount, paid FROM orders ORDER BY id")
        say("kill -9, while more changes arrive")
        append(CHANGES[6:10])
        jobs.send_signal(signal.SIGKILL)
        jobs.wait()
        append(CHANGES[10:13])
        say("started again: they go on where the last checkpoint was")
        jobs = start_jobs()
        wait_for("orders after the crash", lambda: ids(con) == [1, 3, 4, 20], jobs)
        wait_for("totals", lambda: agrees(con), jobs)
        show(con, "SELECT * FROM totals ORDER BY paid")
        jobs.send_signal(signal.SIGTERM)
        assert jobs.wait(timeout=30) == 0


def agrees(con: Any) -> bool:
    """Whether the maintained totals are those of the orders of now."""
    fresh = """SELECT CASE WHEN paid THEN 'paid' WHEN NOT paid THEN 'open' ELSE 'unknown' END, count(*), sum(amount)
               FROM orders GROUP BY 1"""
    return sorted(con.execute(fresh)) == sorted(con.execute("SELECT * FROM totals"))


def watch_live(con: Any) -> Counter[tuple[Any, ...]]:
    """A streaming SELECT over `totals` while the rest of the log is appended; gives the rows its changes add up to."""
    say(f"a streaming SELECT, live while changes are appended: {LIVE}")
    con.execute("SET 'execution.mode' = 'streaming'")
    cursor = con.execute(LIVE)
    con.execute("SET 'execution.mode' = 'batch'")
    jobs, bag = start_jobs(), Counter[tuple[Any, ...]]()
    for change in CHANGES[13:]:
        append([change])
        take(cursor, bag, timeout=0.1)

    def settled() -> bool:
        ended = ids(con) == [1, 3, 4, 20, 51, 60] and done(con) and agrees(con)
        take(cursor, bag, timeout=0.1)
        return ended and sorted(bag.elements()) == sorted(con.execute(LIVE))  # asked when nothing comes any more

    wait_for("the end of the log", settled, jobs)
    cursor.close()
    jobs.send_signal(signal.SIGTERM)
    assert jobs.wait(timeout=30) == 0
    return bag


def done(con: Any) -> bool:
    """Whether the last change of the log has arrived (order 4 has five pieces)."""
    return con.execute("SELECT qty FROM orders WHERE id = 4").fetchone() == (5,)


def take(cursor: Any, bag: Counter[tuple[Any, ...]], timeout: float) -> None:
    """Prints the changes that are there and applies them."""
    changes = cursor.poll(timeout)
    for row in changes.to_pylist():
        op, *values = row.values()
        print("  ", op, *values)
        bag[tuple(values)] += 1 if op in ("+I", "+U") else -1


def show(con: Any, sql: str) -> None:
    print(f"   > {sql}")
    for row in con.execute(sql):
        print("    ", *row)


def ask_in_batch_mode(con: Any) -> list[tuple[Any, ...]]:
    say("SET 'execution.mode' = 'batch': the same SELECT as a snapshot")
    show(con, LIVE)
    say("a join, into a partitioned table; then one partition is overwritten")
    con.execute(
        """CREATE TABLE report (month STRING, id INT, amount DECIMAL(10, 2), share DECIMAL(38, 6),
                                PRIMARY KEY (month, id) NOT ENFORCED) PARTITIONED BY (month)"""
    )
    con.execute(
        """INSERT INTO report
           SELECT DATE_FORMAT(o.created, 'yyyy-MM'), o.id, o.amount, o.amount / t.amount
           FROM orders o
           JOIN totals t ON t.paid = CASE WHEN o.paid THEN 'paid' WHEN NOT o.paid THEN 'open' ELSE 'unknown' END"""
    )
    show(con, "SELECT month, count(*), sum(amount) FROM report GROUP BY month ORDER BY month")
    con.execute(
        """INSERT OVERWRITE report PARTITION (month = '2026-03')
           SELECT id, amount + 1, share FROM report WHERE id = 4"""
    )
    show(con, "SELECT month, count(*), sum(amount) FROM report GROUP BY month ORDER BY month")
    say("time travel: the orders as they were in the first snapshot")
    show(con, "SELECT id, customer, amount FROM orders VERSION AS OF 1 ORDER BY id")
    return list(con.execute(LIVE))


def check(con: Any, changelog: Counter[tuple[Any, ...]], batch: list[tuple[Any, ...]]) -> None:
    say("the demo checks itself")
    assert sorted(changelog.elements()) == sorted(batch), "stream and batch differ"
    text = "SELECT id, customer, CAST(amount AS STRING), qty, paid FROM orders ORDER BY id"
    orders = [list(row) for row in con.execute(text)]
    assert orders == EXPECTED, f"the orders are not those of the source database:\n{orders}\n{EXPECTED}"
    assert agrees(con), "the totals are not those of the orders"
    print("   batch, stream and the source database agree: nothing lost, nothing twice")


if __name__ == "__main__":
    main()

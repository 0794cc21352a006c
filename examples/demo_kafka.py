"""`make demo-kafka`: the main job over Kafka, with a crash of the jobs and one of the broker; it checks itself."""

import importlib.util
import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import kafka
from kafka.admin import NewTopic

import tsdb

HERE = Path(__file__).parent
WAREHOUSE = Path("demo-warehouse")
CHANGES = [json.loads(line) for line in (HERE / "cdc" / "shop.jsonl").read_text().splitlines()]
EXPECTED = json.loads((HERE / "cdc" / "orders.expected.json").read_text())


def main() -> None:
    shutil.rmtree(WAREHOUSE, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix="tsdb-kafka-") as folder:
        broker = start_broker(Path(folder))
        jobs = None
        try:
            os.environ["TSDB_KAFKA"] = broker.bootstrap
            create_topic(broker.bootstrap)
            jobs = start_jobs()
            jobs = run(broker, jobs)
        finally:
            if jobs is not None and jobs.poll() is None:
                jobs.kill()
                jobs.wait()
            broker.kill()


def run(broker: Any, jobs: "subprocess.Popen[str]") -> "subprocess.Popen[str]":
    say("two continuous jobs: topic `shop` -> orders -> totals, both with a log (examples/demo_kafka.sql)")
    send(broker.bootstrap, CHANGES[:6])
    with tsdb.connect(WAREHOUSE) as con:
        wait_for("the first orders", lambda: ids(con) == [1, 2, 3, 4], jobs)
        con.execute("SET 'execution.mode' = 'streaming'")
        cursor = con.execute("SELECT paid, orders, amount FROM totals")
        con.execute("SET 'execution.mode' = 'batch'")
        bag: Counter[tuple[Any, ...]] = Counter()
        say("a streaming SELECT over `totals`: its snapshot first, then its topic; kill -9 of the jobs meanwhile")
        take(cursor, bag, 1.0)
        jobs.send_signal(signal.SIGKILL)
        jobs.wait()
        send(broker.bootstrap, CHANGES[6:13])
        jobs = start_jobs()
        wait_for("orders after the crash", lambda: take(cursor, bag, 0.1) or ids(con) == [1, 3, 4, 20], jobs)
        say("kill -9 of the broker; it comes back with its data")
        broker.kill()
        broker.start()
        send(broker.bootstrap, CHANGES[13:])
        settled = lambda: take(cursor, bag, 0.1) or finished(con, bag)  # noqa: E731
        wait_for("the end of the log", settled, jobs)
        cursor.close()
        jobs.send_signal(signal.SIGTERM)
        assert jobs.wait(timeout=30) == 0
        say("SET 'execution.mode' = 'batch': the same SELECT as a snapshot")
        for row in con.execute("SELECT paid, orders, amount FROM totals ORDER BY paid"):
            print("    ", *row)
        text = "SELECT id, customer, CAST(amount AS STRING), qty, paid FROM orders ORDER BY id"
        assert [list(row) for row in con.execute(text)] == EXPECTED, "the orders are not those of the source database"
    say("topic, stream, batch and the source database agree: nothing lost, nothing twice")
    return jobs


def start_broker(folder: Path) -> Any:
    spec = importlib.util.spec_from_file_location("broker", HERE.parent / "tests" / "kafka" / "broker.py")
    assert spec is not None and spec.loader is not None
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    if reason := module.missing():
        sys.exit(reason)
    return module.Broker(folder).start()


def create_topic(address: str) -> None:
    admin = kafka.KafkaAdminClient(bootstrap_servers=address)
    admin.create_topics([NewTopic("shop", 1, 1)])
    admin.close()


def send(address: str, changes: list[dict[str, Any]]) -> None:
    producer = kafka.KafkaProducer(bootstrap_servers=address)
    for change in changes:
        value = None if change["value"] is None else json.dumps(change["value"]).encode()
        producer.send("shop", value, key=json.dumps(change["key"]).encode())
    producer.flush()
    producer.close()


def start_jobs() -> "subprocess.Popen[str]":
    command = [sys.executable, "-m", "tsdb_repl.main", "run", str(HERE / "demo_kafka.sql"), str(WAREHOUSE)]
    return subprocess.Popen(command, stdout=subprocess.DEVNULL, text=True)


def wait_for(what: str, reached: Callable[[], Any], jobs: "subprocess.Popen[str]") -> None:
    deadline = time.monotonic() + 90
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


def finished(con: Any, bag: "Counter[tuple[Any, ...]]") -> bool:
    """Whether the last change has arrived in the orders, in the totals and in the stream of the totals."""
    fresh = """SELECT CASE WHEN paid THEN 'paid' WHEN NOT paid THEN 'open' ELSE 'unknown' END, count(*), sum(amount)
               FROM orders GROUP BY 1"""
    totals = sorted(con.execute("SELECT paid, orders, amount FROM totals"))
    arrived = ids(con) == [1, 3, 4, 20, 51, 60] and con.execute("SELECT qty FROM orders WHERE id = 4").fetchone() == (
        5,
    )
    return arrived and sorted(con.execute(fresh)) == totals == sorted(bag.elements())


def take(cursor: Any, bag: "Counter[tuple[Any, ...]]", timeout: float) -> None:
    """Prints the changes that are there and applies them."""
    for row in cursor.poll(timeout).to_pylist():
        op, *values = row.values()
        print("  ", op, *values, flush=True)
        bag[tuple(values)] += 1 if op in ("+I", "+U") else -1


def say(text: str) -> None:
    print(f"\n== {text}", flush=True)


if __name__ == "__main__":
    main()

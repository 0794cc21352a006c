"""Jobs and streams over real tables and real dataflows."""

import os
import random
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path

import pytest

import tsdb
from tests.unit.exec.streaming_jobs.warehouse import BOUNDED, contents, history, insert, make_table, plan
from tsdb.errors import AlreadyExists, IntegrityError, InternalError, JobFailed, NotSupportedError
from tsdb.exec.streaming.changelog import open_changelog
from tsdb.exec.streaming.registry import JobRegistry
from tsdb.fs import LocalFileIO

EACH_STEP = {"execution.checkpointing.interval": "0 ms"}
ORDERS = {"id": "BIGINT NOT NULL", "customer": "STRING", "amount": "BIGINT"}
SUMS = {"customer": "STRING NOT NULL", "n": "BIGINT", "total": "BIGINT"}
INPUT = {"changelog-producer": "input"}
GROUPED = "SELECT customer, count(*) AS n, sum(amount) AS total FROM orders GROUP BY customer"


def sums(rows: list[tuple]) -> list[tuple]:
    """What GROUPED gives, by hand."""
    totals: dict[str, list[int]] = {}
    for _, customer, amount in rows:
        entry = totals.setdefault(customer, [0, 0])
        entry[0] += 1
        entry[1] += amount
    return sorted((customer, n, total) for customer, (n, total) in totals.items())


def rows(table) -> list[tuple]:
    return [tuple(row.values()) for row in table.to_pylist()]


def test_a_stream_over_a_table_shows_its_state_and_each_snapshot(tmp_path: Path) -> None:
    orders = make_table(tmp_path, "orders", ORDERS, ("id",))
    insert(orders, ("+I", 1, "ann", 10), ("+I", 2, "bob", 20))
    with open_changelog(plan(GROUPED, orders)) as stream:
        assert stream.schema.names == ["op", "customer", "n", "total"] and not stream.bounded
        assert sorted(rows(stream.next(5))) == [("+I", "ann", 1, 10), ("+I", "bob", 1, 20)]
        insert(orders, ("+U", 1, "ann", 11), ("-D", 2, "bob", 20))
        assert sorted(rows(stream.next(5))) == [
            ("+U", "ann", 1, 11),
            ("-D", "bob", 1, 20),
            ("-U", "ann", 1, 10),
        ]
        insert(orders, ("+U", 1, "ann", 11))
        assert stream.next(0.1).num_rows == 0, "the same row again is no change"


def test_a_global_count_of_an_empty_table_is_zero(tmp_path: Path) -> None:
    orders = make_table(tmp_path, "orders", ORDERS, ("id",))
    with open_changelog(plan("SELECT count(*) AS n FROM orders", orders)) as stream:
        assert rows(stream.next(5)) == [("+I", 0)]
        insert(orders, ("+I", 1, "ann", 10))
        assert rows(stream.next(5)) == [("-U", 0), ("+U", 1)]


def test_both_sides_of_a_self_join_see_the_same_snapshot(tmp_path: Path) -> None:
    orders = make_table(tmp_path, "orders", ORDERS, ("id",))
    query = plan("SELECT count(*) AS n FROM orders", orders)
    assert len(query.relations) == 1
    two = make_table(tmp_path, "orders", ORDERS, ("id",))
    query.relations["again"] = query.relations["orders"].__class__(
        "again", "again", two.schema.arrow_schema, two, query.relations["orders"].options
    )
    from_one = open_changelog(query)
    assert len(from_one._pipeline._feeds) == 1
    assert from_one._pipeline._feeds[0].inputs == ("orders", "again")
    from_one.close()


def test_chained_jobs_settle_and_what_is_retracted_is_gone(tmp_path: Path) -> None:
    log = make_table(tmp_path, "log", ORDERS)
    orders = make_table(tmp_path, "orders", ORDERS, ("id",), INPUT)
    target = make_table(tmp_path, "sums", SUMS, ("customer",), INPUT)
    jobs = JobRegistry(LocalFileIO(), str(tmp_path))
    latest = "SELECT id, max(customer) AS customer, max(amount) AS amount FROM log GROUP BY id"
    first = jobs.submit(plan(latest, log), orders, "INSERT orders", "orders", options=EACH_STEP)
    second = jobs.submit(plan(GROUPED, orders), target, "INSERT sums", "sums", options=EACH_STEP)
    insert(log, (1, "ann", 10), (2, "bob", 20))
    for job in (first, second):
        job.checkpoint(20)
    assert contents(target) == [("ann", 1, 10), ("bob", 1, 20)]
    insert(log, (2, "cat", 21), (3, "ann", 5))
    for job in (first, second):
        job.checkpoint(20)
    assert contents(orders) == [(1, "ann", 10), (2, "cat", 21), (3, "ann", 5)]
    assert contents(target) == [("ann", 2, 15), ("cat", 1, 21)]
    jobs.close()
    assert [info.status for info in jobs.show()] == ["STOPPED", "STOPPED"]


def test_what_the_target_cannot_take_is_refused_before_anything_is_written(tmp_path: Path) -> None:
    orders = make_table(tmp_path, "orders", ORDERS, ("id",))
    target = make_table(tmp_path, "sums", SUMS)
    jobs = JobRegistry(LocalFileIO(), str(tmp_path))
    with pytest.raises(NotSupportedError, match="no primary key"):
        jobs.submit(plan(GROUPED, orders), target, "INSERT", "sums", options=EACH_STEP)
    assert not os.path.exists(tmp_path / "_jobs")


def test_two_rows_for_a_key_fail_the_job_with_the_key(tmp_path: Path) -> None:
    orders = make_table(tmp_path, "orders", ORDERS, ("id",))
    insert(orders, ("+I", 1, "ann", 10), ("+I", 2, "ann", 20))
    target = make_table(tmp_path, "sums", SUMS, ("customer",))
    jobs = JobRegistry(LocalFileIO(), str(tmp_path))
    query = plan("SELECT customer, id AS n, amount AS total FROM orders", orders)
    job = jobs.submit(query, target, "INSERT", "sums", options=EACH_STEP)
    with pytest.raises(JobFailed, match=r"\(customer = 'ann'\)") as failure:
        job.wait(20)
    assert isinstance(failure.value.__cause__, IntegrityError)
    assert target.latest_snapshot() is None


def job_main(root: str) -> None:
    """What the process does that is killed again and again: it runs the job, slowly, until it is killed."""
    orders, target = warehouse(root)
    jobs = JobRegistry(LocalFileIO(), root)
    query = plan(GROUPED, orders, options={"scan.mode": "from-snapshot", "scan.snapshot-id": "1"})
    job = jobs.submit(query, target, "INSERT", "sums", options=EACH_STEP)
    print("running", flush=True)
    job.wait()


def warehouse(root: Path | str):
    producer = INPUT if os.path.basename(str(root)) == "input" else {}
    return (
        make_table(root, "orders", ORDERS, ("id",), producer),
        make_table(root, "sums", SUMS, ("customer",), INPUT | {"num-sorted-run.compaction-trigger": "3"}),
    )


@pytest.mark.parametrize("producer", ["none", "input"])
def test_a_job_killed_again_and_again_publishes_each_change_once(tmp_path: Path, producer: str) -> None:
    """Killed at random moments, resumed in new processes: the sink is the batch result, its changelog adds up."""
    root = tmp_path / producer
    orders, target = warehouse(root)
    rng = random.Random(7)
    live: dict[int, tuple] = {}

    def change() -> None:
        commit: dict[int, list[tuple]] = {}
        for key in rng.sample(range(30), 5):
            before, after = live.get(key), (key, f"c{rng.randrange(6)}", rng.randrange(100))
            if before is None:
                commit[key], live[key] = [("+I", *after)], after
            elif rng.random() < 0.3:
                commit[key] = [("-D", *live.pop(key))]
            else:
                commit[key], live[key] = [("-U", *before), ("+U", *after)], after
        insert(orders, *(row for rows_of_key in commit.values() for row in rows_of_key))

    code = f"from tests.unit.exec.streaming_jobs.test_tables import job_main; job_main({str(root)!r})"
    change()
    for _ in range(5):
        with subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True) as process:
            assert process.stdout.readline() == "running\n"
            for _ in range(4):
                change()
                time.sleep(rng.random() * 0.06)
            process.kill()
    jobs = JobRegistry(LocalFileIO(), str(root))
    assert [info.status for info in jobs.show()] == ["LOST"]
    job = jobs.submit(plan(GROUPED, orders), target, "INSERT", "sums", options=EACH_STEP)
    job.checkpoint(30)
    jobs.close()
    assert contents(orders) == sorted(live.values())
    assert contents(target) == sums(list(live.values()))
    bag: Counter[tuple] = Counter()
    for version in history(target):
        for (weight, *row), count in version.items():
            assert count == 1
            bag[tuple(row)] += weight
        assert set(bag.values()) <= {0, 1}, bag
    assert sorted(+bag) == contents(target)
    users = {target.snapshots.snapshot(i).commit_user for i in target.snapshots.ids()}
    assert users == {job.id}


def test_a_bounded_job_over_a_long_history_ends_with_the_batch_result(tmp_path: Path) -> None:
    orders = make_table(tmp_path, "orders", ORDERS, ("id",))
    live = []
    for n in range(5):
        live += [(n * 10 + i, f"c{i % 3}", i) for i in range(10)]
        insert(orders, *(("+I", *row) for row in live[-10:]))
    target = make_table(tmp_path, "sums", SUMS, ("customer",))
    jobs = JobRegistry(LocalFileIO(), str(tmp_path))
    options = BOUNDED | {"scan.mode": "from-snapshot", "scan.snapshot-id": "1"}
    job = jobs.submit(plan(GROUPED, orders, options=options), target, "INSERT", "sums", options={})
    assert job.wait(20) and job.status == "FINISHED"
    assert contents(target) == sums(live)
    assert target.latest_snapshot().id <= 2, "one checkpoint in a second"


def test_a_row_that_loses_its_rival_stays(tmp_path: Path) -> None:
    """The query does not show its key, so keys are watched: two rows are an error, wherever the checkpoints fall."""
    orders = make_table(tmp_path, "orders", ORDERS, ("id",), INPUT)
    target = make_table(tmp_path, "sums", SUMS, ("customer",))
    query = plan("SELECT customer, id AS n, amount AS total FROM orders", orders)
    jobs = JobRegistry(LocalFileIO(), str(tmp_path))
    job = jobs.submit(query, target, "INSERT", "sums", options=EACH_STEP)
    insert(orders, ("+I", 1, "ann", 10))
    job.checkpoint(20)
    insert(orders, ("-D", 1, "ann", 10), ("+I", 2, "ann", 20))
    job.checkpoint(20)
    assert contents(target) == [("ann", 2, 20)]
    jobs.stop("sums")
    job = jobs.submit(query, target, "INSERT", "sums", options=EACH_STEP)
    insert(orders, ("+I", 3, "ann", 30))
    with pytest.raises(JobFailed, match=r"2 rows at once for the primary key \(customer = 'ann'\)"):
        job.wait(20)
    assert contents(target) == [("ann", 2, 20)]


def test_a_job_whose_plan_changed_is_refused_with_the_reason(tmp_path: Path) -> None:
    orders = make_table(tmp_path, "orders", ORDERS, ("id",))
    target = make_table(tmp_path, "sums", SUMS, ("customer",))
    jobs = JobRegistry(LocalFileIO(), str(tmp_path))
    jobs.submit(plan(GROUPED, orders), target, "INSERT", "sums", options=EACH_STEP).checkpoint(20)
    jobs.stop("sums")
    other = plan(GROUPED.replace("GROUP", "WHERE amount > 7 GROUP"), orders)
    with pytest.raises(AlreadyExists, match=r"plan is not, because a parameter has another value.*DROP JOB 'sums'"):
        jobs.submit(other, target, "INSERT", "sums", options=EACH_STEP)
    assert [info.status for info in jobs.show()] == ["STOPPED"]


class Panic(BaseException):
    """What a panic in Rust code looks like."""


def test_a_panic_fails_the_query_and_not_the_process(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    orders = make_table(tmp_path, "orders", ORDERS, ("id",))
    target = make_table(tmp_path, "sums", SUMS, ("customer",))

    def step(*_: object, **__: object) -> None:
        raise Panic("index out of bounds")

    monkeypatch.setattr("tsdb.exec.streaming.dataflow.Dataflow.step", step)
    job = JobRegistry(LocalFileIO(), str(tmp_path)).submit(
        plan(GROUPED, orders), target, "INSERT", "sums", options=EACH_STEP
    )
    with pytest.raises(JobFailed, match="Panic: index out of bounds"):
        job.wait(20)
    assert job.status == "FAILED"
    stream = open_changelog(plan(GROUPED, orders))
    for _ in range(2):
        with pytest.raises(InternalError, match="Panic: index out of bounds"):
            stream.next(1)


MANY = 40


@pytest.mark.parametrize(
    ("query", "joins"),
    [
        ("SELECT k, sum(v) AS v FROM {t} GROUP BY k", True),
        ("SELECT a.v FROM {t} AS a JOIN {t} AS b ON a.v = b.v + 1", True),
        ("SELECT k, v FROM {t} WHERE v >= 0", False),
        ("SELECT k, v FROM {p}", False),
        ("SELECT k, sum(v) AS v FROM {w} GROUP BY k", True),
        (
            "SELECT window_start, sum(v) AS v FROM TABLE(TUMBLE(TABLE {w}, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) "
            "GROUP BY window_start, window_end",
            False,
        ),
    ],
)
def test_a_stream_that_is_behind_takes_several_snapshots_as_one_version(query: str, joins: bool) -> None:
    """Not where time matters, nor where each change is given on; the sum is always the batch result."""
    with tsdb.connect(":memory:") as con:
        con.execute(
            "CREATE TABLE t (k INT, v INT); CREATE TABLE p (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED);"
            "CREATE TABLE w (k INT, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)"
        )
        for n in range(MANY):
            con.execute(f"INSERT INTO t VALUES ({n % 5}, {n})")
            con.execute(f"INSERT INTO p VALUES ({n % 5}, {n})")
            con.execute(f"INSERT INTO w VALUES ({n % 5}, {n}, TIMESTAMP '2024-01-01 00:00:00')")
        options = "'scan.mode' = 'from-snapshot', 'scan.snapshot-id' = '1', 'scan.bounded.mode' = 'latest'"
        from_first = "{} /*+ OPTIONS(" + options + ") */"
        hinted = query.format(**{name: from_first.format(name) for name in "tpw"})
        expected = Counter(con.execute(query.format(t="t", p="p", w="w")).fetchall())
        con.execute("SET 'execution.mode' = 'streaming'")
        cursor = con.execute(hinted)
        total: Counter[tuple] = Counter()
        for op, *row in cursor.fetchall():
            total[tuple(row)] += 1 if op in ("+I", "+U") else -1
        assert +total == expected and not -total
        assert (cursor.version < MANY) == joins

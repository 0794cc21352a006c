"""A stream started at any retained snapshot, timestamp or tag, or at a consumer's place, comes to the batch result."""

import random
from collections import Counter
from pathlib import Path

import pytest

import tsdb
from tsdb import Connection

PRODUCERS = ["none", "input", "lookup", "full-compaction"]
GROUPED = "SELECT g, count(*), sum(v) FROM t {hint} GROUP BY g"
ALL = "SELECT * FROM t {hint}"


def make(con: Connection, producer: str | None, commits: int = 7) -> None:
    """A table with a history of inserts, updates and deletes; producer None: an append table, only inserts."""
    rng = random.Random(23)
    key = "" if producer is None else ", PRIMARY KEY (id) NOT ENFORCED"
    every = ", 'full-compaction.delta-commits' = '1'" if producer == "full-compaction" else ""
    options = "" if producer is None else f" WITH ('bucket' = '1', 'changelog-producer' = '{producer}'{every})"
    con.execute(f"CREATE TABLE t (id INT, g STRING, v INT{key}){options}")
    for commit in range(1, commits + 1):
        if producer is not None and commit % 3 == 0:
            con.execute(f"DELETE FROM t WHERE id IN ({rng.randint(1, 6)}, {rng.randint(1, 6)})")
        rows = ", ".join(f"({rng.randint(1, 6)}, '{rng.choice('ab')}', {rng.randint(1, 9)})" for _ in range(3))
        con.execute(f"INSERT INTO t VALUES {rows}")
        if commit == 4:
            con.execute("CALL sys.create_tag('t', 'middle')")


def hint(**options: object) -> str:
    given = ", ".join(f"'{key.replace('_', '-')}' = '{value}'" for key, value in options.items())
    return f"/*+ OPTIONS({given.replace('scan-', 'scan.')}) */"


def stream(con: Connection, query: str) -> list[tuple[object, ...]]:
    """The changes, from the start that the query names to what there is now."""
    con.execute("SET 'execution.mode' = 'streaming'; SET 'scan.bounded.mode' = 'latest'")
    changes = con.execute(query).fetchall()
    con.execute("RESET 'scan.bounded.mode'; SET 'execution.mode' = 'batch'")
    return changes


def total(changes: list[tuple[object, ...]]) -> Counter[tuple[object, ...]]:
    bag: Counter[tuple[object, ...]] = Counter()
    for op, *row in changes:
        bag[tuple(row)] += 1 if op in ("+I", "+U") else -1
        assert bag[tuple(row)] >= 0, "nothing is taken back that was not given"
    return +bag


def batch(con: Connection, query: str) -> Counter[tuple[object, ...]]:
    return Counter(map(tuple, con.execute(query).fetchall()))


def snapshots(con: Connection) -> list[tuple[int, int]]:
    return con.execute("SELECT snapshot_id, CAST(commit_time AS BIGINT) FROM t$snapshots ORDER BY 1").fetchall()


@pytest.mark.parametrize("producer", [None, *PRODUCERS])
@pytest.mark.parametrize("query", [ALL, GROUPED], ids=["rows", "groups"])
def test_the_state_of_any_snapshot_and_what_came_after_is_the_result(query: str, producer: str | None) -> None:
    with tsdb.connect() as con:
        make(con, producer)
        wanted = batch(con, query.format(hint=""))
        starts = [{"scan_mode": mode} for mode in ("default", "full", "latest-full", "compacted-full")]
        ids = [row[0] for row in con.execute("SELECT snapshot_id FROM t$snapshots").fetchall()]
        starts += [{"scan_mode": "from-snapshot-full", "scan_snapshot-id": n} for n in ids]
        starts += [{"scan_mode": "from-snapshot-full", "scan_tag-name": "middle"}]
        for start in starts:
            text = query.format(hint=hint(**start))
            if start == {"scan_mode": "compacted-full"} and producer == "none":
                continue  # what was not compacted yet has been written before the state that it begins with
            changes = stream(con, text)
            assert total(changes) == wanted, start
            assert stream(con, text) == changes, "a replay gives the same"
        assert len(starts) > 10


def test_changes_alone_from_any_place_add_up_on_an_append_table() -> None:
    with tsdb.connect() as con:
        make(con, None)
        wanted = batch(con, ALL.format(hint=""))
        found = con.execute("SELECT snapshot_id, commit_time FROM t$snapshots ORDER BY 1").fetchall()
        for number, time in found:
            before = batch(con, ALL.format(hint=hint(scan_snapshot_id=number - 1))) if number > 1 else Counter()
            starts = [{"scan_mode": "from-snapshot", "scan_snapshot-id": number}, {"scan_snapshot-id": number}]
            if sum(other == time for _, other in found) == 1:
                starts.append({"scan_mode": "from-timestamp", "scan_timestamp": time.isoformat(" ", "milliseconds")})
            if number == 4:
                starts.append({"scan_mode": "from-snapshot", "scan_tag-name": "middle"})
            for start in starts:
                assert before + total(stream(con, ALL.format(hint=hint(**start)))) == wanted, start
        assert stream(con, ALL.format(hint=hint(scan_mode="latest"))) == []


@pytest.mark.parametrize("producer", [None, *PRODUCERS])
def test_a_consumer_goes_on_where_it_was(producer: str | None, tmp_path: Path) -> None:
    with tsdb.connect(str(tmp_path)) as con:
        make(con, producer, 3)
        query = ALL.format(hint="/*+ OPTIONS('consumer-id' = 'me', 'consumer.ignore-progress' = 'false') */")
        seen = stream(con, query)
        con.execute("INSERT INTO t VALUES (100, 'z', 1)")
        con.execute("CALL sys.expire_snapshots(table => 't', retain_max => 1)")
    with tsdb.connect(str(tmp_path)) as con:  # another process
        con.execute("INSERT INTO t VALUES (101, 'z', 2)")
        more = stream(con, query)
        assert sorted(row[1:] for row in more) == [(100, "z", 1), (101, "z", 2)]
        assert stream(con, query) == []
        assert total(seen + more) == batch(con, ALL.format(hint=""))
        if producer is None:
            return
        (gone, *_), (changed, g, v) = con.execute("SELECT * FROM t WHERE id < 100 ORDER BY id LIMIT 2").fetchall()
        con.execute(f"UPDATE t SET v = 77 WHERE id = {changed}")
        con.execute(f"DELETE FROM t WHERE id = {gone}")
        last = stream(con, query)
        assert [row for row in last if row[1] == changed] == [("-U", changed, g, v), ("+U", changed, g, 77)]
        assert [row[:2] for row in last if row[1] != changed] == [("-D", gone)], "it knows what there was"
        assert total(seen + more + last) == batch(con, ALL.format(hint=""))


@pytest.mark.parametrize("producer", PRODUCERS)
def test_a_job_that_begins_with_the_latest_changes_keeps_a_copy_true(producer: str, tmp_path: Path) -> None:
    """Into a copy of the state of its start, over a restart and expiry, and into a sum, which takes old rows back."""
    every = ", 'full-compaction.delta-commits' = '1'" if producer == "full-compaction" else ""
    sums = "'merge-engine' = 'aggregation', 'fields.v.aggregate-function' = 'sum'"
    with tsdb.connect(str(tmp_path)) as con:
        key = "PRIMARY KEY (id) NOT ENFORCED"
        con.execute(
            f"CREATE TABLE t (id INT, v INT, {key}) WITH ('bucket' = '1', 'changelog-producer' = '{producer}'{every})"
        )
        con.execute(f"CREATE TABLE copy (id INT, v INT, {key}) WITH ('bucket' = '1')")
        con.execute(f"CREATE TABLE total (id INT, v INT, {key}) WITH ('bucket' = '1', {sums})")
        con.execute("INSERT INTO t VALUES (1, 10), (2, 20), (3, 30); INSERT INTO copy SELECT * FROM t")
        con.execute("INSERT INTO total VALUES (0, 60)")
        for changes in (
            ["UPDATE t SET v = 11 WHERE id = 1", "DELETE FROM t WHERE id = 2"],
            ["UPDATE t SET v = 33 WHERE id = 3", "INSERT INTO t VALUES (4, 1)"],
        ):
            con.execute("SET 'execution.mode' = 'streaming'; SET 'execution.checkpointing.interval' = '0 ms'")
            con.execute("INSERT INTO copy SELECT id, v FROM t /*+ OPTIONS('scan.mode' = 'latest') */")
            con.execute("INSERT INTO total SELECT 0, v FROM t /*+ OPTIONS('scan.mode' = 'latest') */")
            con.execute("SET 'execution.mode' = 'batch'")
            running = [job for job in con.jobs() if job.status == "RUNNING"]
            for job in running:
                job.checkpoint(20)
            for change in changes:
                con.execute(change)
            con.execute("CALL sys.expire_snapshots(table => 't', retain_max => 1, retain_min => 1)")
            for job in running:
                job.checkpoint(20)
                job.stop()
            assert batch(con, "SELECT * FROM copy") == batch(con, "SELECT * FROM t")
            assert batch(con, "SELECT v FROM total") == batch(con, "SELECT CAST(sum(v) AS INT) FROM t")

"""The law of a stream: from any start, state and changes accumulate to the batch result of every later snapshot."""

import itertools

import numpy as np
import pyarrow as pa
import pytest

import tsdb
from tests.unit.table.tables import make_table
from tsdb.errors import NotSupportedError, OperationalError, OptionError
from tsdb.table.changelog import Retention
from tsdb.table.commit import Overwrite, commit
from tsdb.table.commit_message import CommitMessage
from tsdb.table.compact import compact
from tsdb.table.expire import expire_snapshots
from tsdb.table.read import read_table
from tsdb.table.scan import live_files, plan_scan
from tsdb.table.stream_scan import StreamScan, read_changes
from tsdb.table.write import TableWriter

COLUMNS = {"p": "STRING NOT NULL", "k": "INT NOT NULL", "s": "INT", "v": "STRING"}


def rows_of(rng, count):
    return pa.table(
        {
            "p": [f"p{i}" for i in rng.integers(0, 2, count)],
            "k": pa.array(rng.integers(0, 15, count), pa.int32()),
            "s": pa.array([None if i == 9 else int(i) for i in rng.integers(0, 10, count)], pa.int32()),
            "v": [f"v{i}" for i in rng.integers(0, 1000, count)],
        }
    )


def write(table, rows, kinds=None, *, overwrite=None, compact=None):
    with TableWriter(table, user="u", overwrite=overwrite is not None) as writer:
        writer.write(rows, kinds)
        return commit(table, writer.prepare_commit(compact), user="u", overwrite=overwrite)


def history(table, seed, commits=10):
    rng = np.random.default_rng(seed)
    for i in range(commits):
        rows = rows_of(rng, 12)
        kinds = rng.choice([0, 2, 3], 12).astype(np.int8) if table.is_primary_key else None
        if i == 6 and table.schema.partition_keys:
            write(table, rows.filter(pa.compute.equal(rows["p"], "p1")), overwrite=Overwrite("dynamic"))
        elif i == 6:
            write(table, rows, overwrite=Overwrite({}))
        else:
            write(table, rows, kinds)
        if i == 4:
            compact(table, user="u")
    return table


def contents(table, snapshot):
    return sorted(map(repr, read_table(table, plan_scan(table, snapshot)).to_pylist()))


def follow(table, scan, state, seen):
    """Apply all plans; seen(snapshot id, state) after each."""
    key = table.schema.primary_keys
    while (plan := scan.plan()) is not None:
        for batch, kinds in read_changes(table, plan):
            assert batch.num_rows == len(kinds)
            for row, kind in zip(batch.to_pylist(), kinds, strict=True):
                if not key:
                    state[repr(row)] = state.get(repr(row), 0) + (1 if kind in (0, 2) else -1)
                elif kind in (0, 2):
                    state[tuple(row[k] for k in key)] = row
                else:
                    state.pop(tuple(row[k] for k in key), None)
        seen(plan.snapshot_id, state)


def accumulated(table, state):
    if table.schema.primary_keys:
        return sorted(map(repr, state.values()))
    assert all(count >= 0 for count in state.values())
    return sorted(itertools.chain.from_iterable([text] * count for text, count in state.items()))


KINDS = {
    "append": ((), (), {}),
    "append-partitioned": ((), ("p",), {"bucket": "2", "bucket-key": "k"}),
    "none": (("p", "k"), (), {"bucket": "2"}),
    "partitioned": (("p", "k"), ("p",), {"bucket": "2", "num-sorted-run.compaction-trigger": "2"}),
    "input": (("p", "k"), ("p",), {"bucket": "1", "changelog-producer": "input"}),
    "sequence": (("p", "k"), ("p",), {"bucket": "2", "sequence.field": "s"}),
    "sequence-input": (("k",), (), {"bucket": "1", "sequence.field": "s", "changelog-producer": "input"}),
    "ignore-delete": (("k",), (), {"bucket": "1", "ignore-delete": "true"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_law(tmp_path, kind):
    table = history(make_table(tmp_path, COLUMNS, *KINDS[kind]), seed=len(kind))

    def seen(snapshot_id, state):
        assert accumulated(table, state) == contents(table, table.snapshots.snapshot(snapshot_id)), snapshot_id

    for start in table.snapshots.ids():
        scan = StreamScan(table, {"scan.mode": "from-snapshot-full", "scan.snapshot-id": str(start)})
        assert scan.position == -start
        follow(table, scan, {}, seen)
        assert scan.position == table.snapshots.latest_id() + 1
    scan = StreamScan(table, {"scan.mode": "from-snapshot", "scan.snapshot-id": "1"})
    follow(table, scan, {}, seen)


def test_a_position_is_enough_to_go_on(tmp_path):
    table = history(make_table(tmp_path, COLUMNS, *KINDS["partitioned"]), seed=1)
    state, latest = {}, table.latest_snapshot()
    scan = StreamScan(table, {})
    while scan.position <= latest.id:
        scan = StreamScan(table, {}, scan.position)
        plan = scan.plan()
        for batch, kinds in read_changes(table, plan):
            assert not kinds.any()
            state |= {(row["p"], row["k"]): row for row in batch.to_pylist()}
    assert accumulated(table, state) == contents(table, latest)
    assert scan.plan() is None


def test_an_empty_table_is_followed_from_its_first_snapshot(tmp_path):
    table = make_table(tmp_path, COLUMNS, (), (), {})
    scans = [StreamScan(table, {}), StreamScan(table, {"scan.mode": "latest"})]
    for scan in scans:
        assert scan.position == 1 and scan.plan() is None
    write(table, rows_of(np.random.default_rng(1), 4))
    for scan in scans:
        plan = scan.plan()
        assert (plan.snapshot_id, plan.is_full) == (1, False)
        assert sum(batch.num_rows for batch, _ in read_changes(table, plan)) == 4


def test_copy_on_write_of_an_append_table_is_seen_as_a_difference(tmp_path):
    table = make_table(tmp_path, {"k": "INT"}, (), (), {})
    write(table, pa.table({"k": pa.array([1, 2, 3], pa.int32())}))
    scan = StreamScan(table, {"scan.mode": "latest"})
    (old,) = live_files(table, table.latest_snapshot())
    with TableWriter(table, user="u") as writer:
        writer.write(pa.table({"k": pa.array([1, 3], pa.int32())}))
        (new,) = writer.prepare_commit()
    message = CommitMessage(new.partition, 0, -1, new.new_files, deleted_files=(old.file,))
    assert commit(table, [message], user="u").commit_kind == "OVERWRITE"
    got = [
        (row["k"], kind)
        for b, kinds in read_changes(table, scan.plan())
        for row, kind in zip(b.to_pylist(), kinds, strict=True)
    ]
    assert got == [(1, 3), (2, 3), (3, 3), (1, 0), (3, 0)]


def test_modes(tmp_path):
    table = history(make_table(tmp_path, COLUMNS, *KINDS["none"]), seed=1, commits=5)
    times = {i: table.snapshots.snapshot(i).time_millis for i in table.snapshots.ids()}
    latest = max(times)
    positions = [
        ({}, -latest),
        ({"scan.mode": "full"}, -latest),
        ({"scan.mode": "latest"}, latest + 1),
        ({"scan.mode": "compacted-full"}, -latest),
        ({"scan.snapshot-id": "3"}, 3),
        ({"scan.snapshot-id": "100"}, 100),
        ({"scan.timestamp-millis": "1"}, 1),
        ({"scan.timestamp-millis": str(times[latest] + 10_000)}, latest + 1),
        ({"scan.timestamp-millis": str(times[latest])}, min(i for i, t in times.items() if t == times[latest])),
        ({"scan.mode": "from-timestamp", "scan.timestamp": "1999-01-01 00:00:00"}, 1),
    ]
    assert table.latest_snapshot().commit_kind == "COMPACT"
    for options, position in positions:
        assert StreamScan(table, options).position == position, options
    assert [StreamScan(table, o).changelog_mode for o in ({}, {"changelog-producer": "lookup"})] == ["upsert", "all"]


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scan.mode": "from-snapshot"}, OptionError, "needs 'scan.snapshot-id'"),
        ({"scan.mode": "from-timestamp"}, OptionError, "needs 'scan.timestamp'"),
        ({"scan.snapshot-id": "x"}, OptionError, "is a whole number, not 'x'"),
        ({"scan.snapshot-id": "1", "scan.tag-name": "t"}, OptionError, "contradict"),
        ({"scan.mode": "from-snapshot-full", "scan.snapshot-id": "9"}, OperationalError, "snapshots 1 to 2 are there"),
        ({"scan.mode": "incremental"}, NotSupportedError, "not supported for streaming"),
        ({"merge-engine": "partial-update"}, NotSupportedError, "needs a changelog"),
    ],
)
def test_what_is_refused(tmp_path, options, error, message):
    table = history(make_table(tmp_path, COLUMNS, *KINDS["none"]), seed=1, commits=2)
    with pytest.raises(error, match=message):
        StreamScan(table, options)


def test_an_expired_position(tmp_path):
    table = history(make_table(tmp_path, COLUMNS, *KINDS["append"]), seed=1, commits=4)
    scan = StreamScan(table, {"scan.snapshot-id": "1"})
    assert expire_snapshots(table, Retention(1, 1, 2**60, 100)) == 0
    scan.release()  # as if it were in another process
    expire_snapshots(table, Retention(1, 1, 2**60, 100))
    with pytest.raises(OperationalError, match=r"snapshot 1 of table `db\.t`.*snapshots 4 to 4 are there"):
        scan.plan()


@pytest.mark.parametrize("engine", ["aggregation", "partial-update", "first-row"])
def test_a_table_that_folds_is_a_stream_only_as_far_as_its_state(tmp_path, engine):
    table = make_table(tmp_path, {"k": "INT NOT NULL", "v": "INT"}, ("k",), (), {"bucket": "1", "merge-engine": engine})
    scan = StreamScan(table, {"scan.bounded.mode": "latest"})
    assert scan.plan() is None
    for more in ({}, {"scan.mode": "latest"}, {"scan.snapshot-id": "1"}):
        with pytest.raises(NotSupportedError, match="'lookup' or 'full-compaction'"):
            StreamScan(table, {"scan.bounded.mode": "latest", **more} if more else {})


@pytest.mark.parametrize("producer", ["lookup", "full-compaction"])
def test_what_replaces_a_row_is_seen_where_deletions_are_ignored(tmp_path, producer):
    with tsdb.connect(tmp_path) as con:
        con.execute(
            "CREATE TABLE t (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED) "
            f"WITH ('bucket' = '1', 'ignore-delete' = 'true', 'changelog-producer' = '{producer}')"
        )
        for value in (1, 2):
            con.execute(f"INSERT INTO t VALUES (1, {value})")
            con.execute("CALL sys.compact('t')")
        con.execute("SET 'execution.mode' = 'streaming'")
        con.execute("SET 'scan.bounded.mode' = 'latest'")
        changes = con.execute("SELECT * FROM t /*+ OPTIONS('scan.mode' = 'from-snapshot', 'scan.snapshot-id' = '1') */")
        assert changes.fetchall() == [("+I", 1, 1), ("-U", 1, 1), ("+U", 1, 2)]

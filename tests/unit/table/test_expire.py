"""What expires and what does not: consumers, readers, streams, changelogs that outlive snapshots, automatic tags."""

import datetime as dt
import gc

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.table.tables import make_table
from tsdb import clock
from tsdb.changes import RowKind
from tsdb.errors import OperationalError, OptionError
from tsdb.table.branch import create_branch, get_branch
from tsdb.table.changelog import Retention, changelog_ids, changelog_retention
from tsdb.table.commit import commit
from tsdb.table.consumer import clear_consumers, consumers, expire_consumers, set_consumer
from tsdb.table.expire import expire_changelogs, expire_snapshots
from tsdb.table.hold import hold
from tsdb.table.partition_expire import expired_partitions, partition_life, time_of_values
from tsdb.table.read import read_table
from tsdb.table.reference import change_files, live_data_files, metadata_files
from tsdb.table.scan import plan_scan
from tsdb.table.stream_scan import StreamScan, read_changes
from tsdb.table.tag import tags
from tsdb.table.tag_auto import expire_tags
from tsdb.table.write import TableWriter

ALL = Retention(1, 1, 2**60, 1000)
DAY_MS = 86_400_000
START_MS = 1_715_691_600_000  # 2024-05-14 13:00


class SetClock(clock.SystemClock):
    """A clock that stands where it is put."""

    def __init__(self, now):
        self.now = now

    def now_ms(self):
        return self.now


def keyed(path, **options):
    options = {"bucket": "1", "num-sorted-run.compaction-trigger": "2"} | {
        key.replace("__", ".").replace("_", "-"): value for key, value in options.items()
    }
    return make_table(path, {"k": "INT NOT NULL", "v": "STRING"}, ("k",), (), options)


def insert(table, keys, value, kind=RowKind.INSERT):
    rows = pa.table({"k": pa.array(keys, pa.int32()), "v": [value] * len(keys)})
    with TableWriter(table, user="u") as writer:
        writer.write(rows, np.full(len(keys), kind, np.int8))
        return commit(table, writer.prepare_commit(), user="u")


def state(table, snapshot):
    rows = read_table(table, plan_scan(table, snapshot))
    return dict(zip(rows["k"].to_pylist(), rows["v"].to_pylist(), strict=True))


def followed(scan, table):
    found = []
    while (plan := scan.plan()) is not None:
        for rows, kinds in read_changes(table, plan):
            found += zip(map(RowKind, kinds), rows["k"].to_pylist(), rows["v"].to_pylist(), strict=True)
    return found


def test_a_batch_reader_keeps_its_snapshot(tmp_path):
    table = keyed(tmp_path)
    insert(table, [1], "a")
    reader = clock.SystemClock()  # anything that lives for a while
    first = table.latest_snapshot()
    hold(table, first, reader)
    plan = plan_scan(table, first)
    for i in range(5):
        insert(table, [1, i], "b")
    assert expire_snapshots(table, ALL) == 0
    assert read_table(table, plan)["v"].to_pylist() == ["a"]
    del reader
    gc.collect()
    assert expire_snapshots(table, ALL) > 4


def test_a_stream_and_a_consumer_keep_their_place(tmp_path):
    table = keyed(tmp_path)
    for i in range(3):
        insert(table, [i], "a")
    scan = StreamScan(table, {"scan.mode": "from-snapshot", "scan.snapshot-id": "2", "consumer-id": "me"})
    plan = scan.plan()
    scan.keep_place(None)
    assert plan.snapshot_id == 2 and consumers(table) == {"me": 3}
    insert(table, [9], "z")
    expire_snapshots(table, ALL)
    assert table.snapshots.earliest_id() == 2, "it is reading snapshot 2"
    scan.release()
    expire_snapshots(table, ALL)
    assert table.snapshots.earliest_id() == 3, "the consumer wants 3"
    again = StreamScan(table, {"consumer-id": "me"})
    assert [key for _, key, _ in followed(again, table)] == [2, 9]
    ignoring = StreamScan(table, {"consumer-id": "me", "consumer.ignore-progress": "true"})
    assert len(followed(ignoring, table)) == 4
    for done in (again, ignoring):
        done.release()
    assert clear_consumers(table, "m.", None) == ["me"] and expire_snapshots(table, ALL) > 0
    assert table.snapshots.earliest_id() == table.snapshots.latest_id()


def test_consumers_that_give_no_sign_of_life_go(tmp_path):
    table = keyed(tmp_path)
    set_consumer(table, "old", 1)
    assert expire_consumers(table, 0) == [] and expire_consumers(table, 2**60) == ["old"]
    set_consumer(table, "a1", 1)
    set_consumer(table, "b1", 1)
    assert clear_consumers(table, None, "b.*") == ["a1"] and consumers(table) == {"b1": 1}


@pytest.mark.parametrize("producer", ["none", "input"])
@pytest.mark.parametrize("keys", [True, False], ids=["primary-key", "append"])
def test_changelogs_outlive_snapshots(tmp_path, producer, keys):
    if keys:
        table = keyed(tmp_path, changelog_producer=producer, changelog__num_retained__max="9", write_only="true")
        assert changelog_retention(table.options) is None, "as many as snapshots at the most"
        table = table.with_options({"changelog.num-retained.min": "100"})
    else:
        options = {"changelog.num-retained.min": "100", "write-only": "true"}
        table = make_table(tmp_path, {"k": "INT", "v": "STRING"}, (), (), options)
    for i in range(6):
        insert(table, [i, i + 1], f"v{i}")
    start = {"scan.mode": "from-snapshot", "scan.snapshot-id": "1"}
    scan = StreamScan(table, start)
    wanted = followed(scan, table)
    scan.release()
    assert expire_snapshots(table, ALL) == 5 and changelog_ids(table) == [1, 2, 3, 4, 5]
    scan = StreamScan(table, start)
    assert followed(scan, table) == wanted
    scan.release()
    assert expire_changelogs(table, Retention(3, 100, 2**60, 100)) == 3 and changelog_ids(table) == [4, 5]
    late = StreamScan(table, {"scan.mode": "from-snapshot", "scan.snapshot-id": "4"})
    assert followed(late, table) == wanted[6:]
    late.release()
    for expired in (StreamScan(table, {}, 2), StreamScan(table, start)):
        with pytest.raises(OperationalError, match="has expired"):
            expired.plan()
        expired.release()
    gc.collect()
    assert expire_changelogs(table, ALL) == 2
    needed = live_data_files(table, table.latest_snapshot()) | metadata_files(table, table.latest_snapshot())
    needed |= change_files(table, table.latest_snapshot())[0]
    there = {f.path for d in ("manifest", "bucket-0") for f in table.file_io.list_files(f"{table.path}/{d}")}
    assert there == needed


def test_tags_of_periods(tmp_path):
    options = {
        "tag__automatic_creation": "process-time",
        "tag__creation_delay": "1 h",
        "tag__num_retained_max": "2",
        "tag__default_time_retained": "10 d",
    }
    with clock.use(SetClock(START_MS)) as now:
        table = keyed(tmp_path, **options)
        insert(table, [1], "a")
        assert [t.name for t in tags(table)] == ["2024-05-13"]
        now.now = START_MS + 11 * 3_600_000 + 60_000  # 00:01 of the next day: the delay is not over
        insert(table, [2], "b")
        assert [t.name for t in tags(table)] == ["2024-05-13"]
        now.now += 3_600_000
        insert(table, [3], "c")
        assert [(t.name, t.snapshot.id) for t in tags(table)] == [("2024-05-13", 1), ("2024-05-14", 4)]
        now.now += 3 * DAY_MS
        insert(table, [4], "d")
        assert [t.name for t in tags(table)] == ["2024-05-14", "2024-05-17"]
        now.now += 9 * DAY_MS
        assert expire_tags(table) == ["2024-05-14"]
        assert expire_tags(table, dt.datetime(2030, 1, 1)) == ["2024-05-17"]


def test_hourly_tags_named_otherwise_and_batch_tags(tmp_path):
    hourly = {"tag__automatic_creation": "process-time", "tag__creation_period": "two-hours"}
    with clock.use(SetClock(START_MS)) as now:
        table = keyed(tmp_path / "a", **hourly, tag__period_formatter="without_dashes")
        insert(table, [1], "a")
        now.now += 2 * 3_600_000
        insert(table, [1], "a")
        assert [t.name for t in tags(table)] == ["20240514 10", "20240514 12"]
        table = keyed(tmp_path / "b", tag__automatic_creation="batch")
        insert(table, [1], "a")
        insert(table, [1], "b")
        assert [(t.name, t.snapshot.id) for t in tags(table)] == [
            ("batch-write-2024-05-14", table.snapshots.latest_id())
        ]


def test_expiring_after_commits(tmp_path):
    with clock.use(SetClock(START_MS)) as now:
        table = keyed(
            tmp_path, snapshot__num_retained__min="2", snapshot__time_retained="1 h", consumer__expiration_time="1 d"
        )
        set_consumer(table, "c", 3)
        for i in range(8):
            insert(table, [i], "v")
            now.now += 3_600_001
        assert table.snapshots.earliest_id() == 3
        now.now += 100_000 * DAY_MS
        insert(table, [1], "z")
        latest = table.snapshots.latest_id()
        assert consumers(table) == {} and table.snapshots.earliest_id() >= latest - 2
        assert len(state(table, table.latest_snapshot())) == 8


def test_partitions_that_are_over(tmp_path):
    columns = {"dt": "STRING NOT NULL", "k": "INT NOT NULL"}
    options = {"bucket": "1", "partition.expiration-time": "2 d", "partition.expiration-check-interval": "1 h"}
    table = make_table(tmp_path, columns, ("dt", "k"), ("dt",), options)
    with clock.use(SetClock(START_MS)) as now:
        days = ["2024-05-10", "2024-05-13", "2024-05-14", "never"]
        with TableWriter(table, user="u") as writer:
            writer.write(pa.table({"dt": days, "k": pa.array([1, 2, 3, 4], pa.int32())}))
            commit(table, writer.prepare_commit(), user="u")
        assert sorted(read_table(table, plan_scan(table, table.latest_snapshot()))["dt"].to_pylist()) == days[1:]
        assert table.latest_snapshot().commit_kind == "OVERWRITE"
        by_files = partition_life(table.options, {"partition.expiration-strategy": "update-time"})
        assert expired_partitions(table, by_files) == {}
        now.now += 3 * DAY_MS
        assert len(expired_partitions(table, by_files)) == 3
        assert len(expired_partitions(table, partition_life(table.options, {"partition.expiration-max-num": 1}))) == 1


@pytest.mark.parametrize(
    ("values", "pattern", "formatter", "wanted"),
    [
        ({"dt": "2024-05-14"}, None, None, dt.datetime(2024, 5, 14)),
        ({"dt": "2024-05-14 10:11:12"}, None, None, dt.datetime(2024, 5, 14, 10, 11, 12)),
        ({"dt": "20240514"}, None, "yyyyMMdd", dt.datetime(2024, 5, 14)),
        ({"dt": "20240514"}, None, None, None),
        ({"dt": "2024-05-14", "hour": "07"}, "$dt $hour:00:00", None, dt.datetime(2024, 5, 14, 7)),
        ({"dt": dt.date(2024, 5, 14), "h": 7}, "$dt $h:00:00", None, dt.datetime(2024, 5, 14, 7)),
        ({"y": "2024", "m": "05", "d": "14"}, "$y-$m-$d", "yyyy-MM-dd", dt.datetime(2024, 5, 14)),
        ({"dt": "2024-13-14"}, None, None, None),
        ({"dt": "x2024T05"}, None, "'x'yyyy'T'MM", dt.datetime(2024, 5, 1)),
    ],
)
def test_the_time_that_partition_values_say(values, pattern, formatter, wanted):
    assert time_of_values(values, pattern, formatter) == wanted


def test_a_formatter_that_cannot_be_followed():
    with pytest.raises(OptionError, match="`EEE`"):
        time_of_values({"dt": "x"}, None, "EEE yyyy")


def test_a_branch_has_tags_and_consumers_of_its_own(tmp_path):
    table = keyed(tmp_path)
    insert(table, [1], "a")
    create_branch(table, "b", snapshot=table.latest_snapshot())
    branch = get_branch(table, "b")
    set_consumer(branch, "c", 1)
    insert(branch, [2], "b")
    assert consumers(table) == {} and consumers(branch) == {"c": 1}
    assert expire_snapshots(branch, ALL) == 0
    assert state(branch, branch.latest_snapshot()) == {1: "a", 2: "b"}

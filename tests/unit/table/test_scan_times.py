"""Where scans begin and end by times and watermarks: of snapshots, of files, of commits."""

import gc

import pyarrow as pa
import pytest

from tests.unit.table.test_expire import ALL, START_MS, SetClock, followed, keyed
from tsdb import clock
from tsdb.errors import NotSupportedError, OperationalError
from tsdb.table.commit import commit
from tsdb.table.expire import expire_snapshots
from tsdb.table.read import read_table
from tsdb.table.refs import created_since, resolve_snapshot
from tsdb.table.scan import plan_scan
from tsdb.table.stream_scan import StreamScan
from tsdb.table.write import TableWriter


@pytest.fixture
def table(tmp_path):
    """Snapshot n, with the key n, at START_MS + n seconds, with the watermark 10 n."""
    table = keyed(tmp_path, write_only="true")
    for n in range(1, 5):
        with clock.use(SetClock(START_MS + n * 1000)), TableWriter(table, user="u") as writer:
            writer.write(pa.table({"k": pa.array([n], pa.int32()), "v": ["x"]}))
            commit(table, writer.prepare_commit(), user="u", watermark=10 * n)
    return table


def batch(table, options):
    snapshot, since = resolve_snapshot(table, options), created_since(table, options)
    return sorted(read_table(table, plan_scan(table, snapshot, created_since_ms=since))["k"].to_pylist())


def stream(table, options):
    scan = StreamScan(table, options)
    found = [key for _, key, _ in followed(scan, table)]
    scan.release()
    return sorted(found)


@pytest.mark.parametrize(
    ("options", "in_batch", "as_stream"),
    [
        ({"scan.watermark": "15"}, [1, 2], [2, 3, 4]),
        ({"scan.watermark": "20"}, [1, 2], [2, 3, 4]),
        ({"scan.file-creation-time-millis": str(START_MS + 3000)}, [3, 4], [3, 4]),
        ({"scan.file-creation-time-millis": "0"}, [1, 2, 3, 4], [1, 2, 3, 4]),
        ({"scan.creation-time-millis": str(START_MS + 3000)}, [1, 2, 3], [3, 4]),
        ({"scan.creation-time-millis": str(START_MS - 9000)}, [1, 2, 3, 4], [1, 2, 3, 4]),
        ({"scan.bounded.watermark": "30", "scan.snapshot-id": "2"}, None, [2, 3]),
    ],
)
def test_where_it_begins(table, options, in_batch, as_stream):
    assert stream(table, options) == as_stream
    if in_batch is not None:
        assert batch(table, options) == in_batch


def test_a_time_before_the_earliest_snapshot_is_that_of_files(table):
    gc.collect()
    expire_snapshots(table, ALL)
    options = {"scan.creation-time-millis": str(START_MS + 2000)}
    assert batch(table, options) == stream(table, options) == [2, 3, 4]


def test_a_stream_ends_with_the_watermark(table):
    scan = StreamScan(table, {"scan.bounded.watermark": "20", "scan.snapshot-id": "1"})
    assert not scan.ended and [key for _, key, _ in followed(scan, table)] == [1, 2] and scan.ended


def test_what_is_refused(table):
    with pytest.raises(OperationalError, match="no snapshot with a watermark of 99"):
        batch(table, {"scan.watermark": "99"})
    with pytest.raises(NotSupportedError, match="batch queries"):
        StreamScan(table, {"incremental-between": "1,2"})

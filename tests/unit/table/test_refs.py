"""Time travel by id, time and tag, and what is said when there is nothing to travel to."""

import datetime as dt

import pyarrow as pa
import pytest

from tests.unit.table.tables import make_table
from tsdb.errors import OperationalError, OptionError, ProgrammingError
from tsdb.metadata.snapshot import SnapshotNotFound
from tsdb.table.commit import commit
from tsdb.table.compact import compact
from tsdb.table.refs import resolve_snapshot
from tsdb.table.tag import create_tag
from tsdb.table.write import TableWriter


@pytest.fixture
def table(tmp_path):
    table = make_table(tmp_path, {"k": "INT NOT NULL"}, ("k",), (), {"bucket": "1"})
    for key in range(3):
        with TableWriter(table, user="u") as writer:
            writer.write(pa.table({"k": pa.array([key], pa.int32())}))
            commit(table, writer.prepare_commit(compact=False), user="u")
        if key == 1:
            compact(table, user="u")
    create_tag(table, "two", table.snapshots.snapshot(2))
    create_tag(table, "1", table.snapshots.snapshot(3))
    return table


@pytest.mark.parametrize(
    ("options", "snapshot_id"),
    [
        ({}, 4),
        ({"scan.mode": "latest-full"}, 4),
        ({"scan.mode": "compacted-full"}, 3),
        ({"scan.snapshot-id": "2"}, 2),
        ({"scan.tag-name": "two"}, 2),
        ({"scan.version": "two"}, 2),
        ({"scan.version": "1"}, 3),
        ({"scan.version": "4"}, 4),
        ({"scan.timestamp": "2999-01-01"}, 4),
        ({"scan.timestamp": "2999-01-01T00:00:00.5+02:00"}, 4),
    ],
)
def test_resolved(table, options, snapshot_id):
    assert resolve_snapshot(table, options).id == snapshot_id


def test_by_time(table):
    for i in table.snapshots.ids():
        time_ms = table.snapshots.snapshot(i).time_millis
        last = max(j for j in table.snapshots.ids() if table.snapshots.snapshot(j).time_millis == time_ms)
        assert resolve_snapshot(table, {"scan.timestamp-millis": str(time_ms)}).id == last
        text = dt.datetime.fromtimestamp(time_ms / 1000, dt.UTC).replace(tzinfo=None).isoformat(" ", "milliseconds")
        assert resolve_snapshot(table, {"scan.timestamp": text}).id == last


@pytest.mark.parametrize(
    ("options", "error", "message"),
    [
        ({"scan.snapshot-id": "9"}, SnapshotNotFound, "snapshot 9 .* not found; snapshots 1 to 4 are there"),
        ({"scan.tag-name": "tow"}, ProgrammingError, r"no tag `tow`\. Did you mean `two`"),
        ({"scan.version": "x"}, ProgrammingError, "no tag `x`"),
        ({"scan.timestamp-millis": "5"}, OperationalError, r"at or before 1970-01-01 00:00:00\.005 .* snapshot 1"),
        ({"scan.timestamp": "yesterday"}, OptionError, "not 'yesterday'"),
        ({"scan.snapshot-id": "1", "scan.timestamp": "2024-01-01"}, OptionError, "contradict each other"),
    ],
)
def test_refused(table, options, error, message):
    with pytest.raises(error, match=message):
        resolve_snapshot(table, options)


def test_a_table_that_was_never_written(tmp_path):
    table = make_table(tmp_path, {"k": "INT NOT NULL"}, (), (), {})
    assert resolve_snapshot(table, {}) is None
    with pytest.raises(SnapshotNotFound, match="the table has no snapshot"):
        resolve_snapshot(table, {"scan.snapshot-id": "1"})

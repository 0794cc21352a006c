"""Records that are over go in a compaction to the highest level, and nothing older shows in their place."""

import datetime as dt

import pyarrow as pa
import pytest

from tests.unit.table.tables import make_table
from tests.unit.table.test_expire import SetClock
from tsdb import clock
from tsdb.catalog.validation import complete
from tsdb.data_types import DataField, parse_type
from tsdb.errors import OptionError
from tsdb.metadata.schema import TableSchema
from tsdb.table.commit import commit
from tsdb.table.compact import compact
from tsdb.table.read import read_table
from tsdb.table.scan import plan_scan
from tsdb.table.write import TableWriter

NOW_S = 1_715_691_600
LIFE = {"bucket": "1", "record-level.expire-time": "1 h", "record-level.time-field": "t"}


def at(kind, seconds):
    if kind == "INT":
        return pa.scalar(seconds, pa.int32())
    if kind == "BIGINT":
        return pa.scalar(seconds * 1000 if seconds % 2 else seconds, pa.int64())
    return pa.scalar(dt.datetime(1970, 1, 1) + dt.timedelta(seconds=seconds), pa.timestamp("us"))


def write(table, kind, rows):
    times = pa.array([None if s is None else at(kind, s).as_py() for _, s in rows], at(kind, 0).type)
    with TableWriter(table, user="u") as writer:
        writer.write(pa.table({"k": pa.array([k for k, _ in rows], pa.int32()), "t": times}))
        commit(table, writer.prepare_commit(), user="u")


def keys(table):
    return sorted(read_table(table, plan_scan(table, table.latest_snapshot()))["k"].to_pylist())


@pytest.mark.parametrize("kind", ["INT", "BIGINT", "TIMESTAMP(6)"])
@pytest.mark.parametrize("vectors", ["false", "true"])
def test_records_that_are_over(tmp_path, kind, vectors):
    options = LIFE | {"deletion-vectors.enabled": vectors}
    table = make_table(tmp_path, {"k": "INT NOT NULL", "t": kind}, ("k",), (), options)
    with clock.use(SetClock(NOW_S * 1000)) as now:
        write(table, kind, [(1, NOW_S - 3601), (2, NOW_S - 3599), (3, None), (4, NOW_S + 9)])
        write(table, kind, [(2, NOW_S), (4, NOW_S - 4000)])
        compact(table, user="c")
        assert keys(table) == [2, 3], "the newer row of 4 is over, so 4 is gone"
        assert compact(table, user="c") is None
        now.now += 3_601_000
        assert compact(table, user="c") is not None and keys(table) == [3]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"record-level.time-field": "x"}, "needs 'record-level.time-field', a column; not 'x'"),
        ({"record-level.time-field": "v"}, "`v` is STRING"),
    ],
)
def test_options_that_do_not_fit(options, message):
    fields = (DataField(0, "k", parse_type("INT")), DataField(1, "v", parse_type("STRING")))
    with pytest.raises(OptionError, match=message):
        complete(TableSchema(0, fields, primary_keys=("k",), options=LIFE | options), "t")

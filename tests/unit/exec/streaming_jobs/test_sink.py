"""What a job's changes become in a table."""

from collections import Counter
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.exec.streaming_jobs.warehouse import contents, history, make_table
from tsdb.changes import ChangeBatch
from tsdb.errors import BindError, IntegrityError, NotSupportedError
from tsdb.exec.streaming.sink import TableSink, check_target

CHANGES = pa.schema([("customer", pa.string()), ("total", pa.int64())])
COLUMNS = {"k": "STRING NOT NULL", "v": "BIGINT"}


def changes(*rows: tuple[int, str, int]) -> ChangeBatch:
    table = pa.table([[r[1] for r in rows], [r[2] for r in rows]], schema=CHANGES)
    return ChangeBatch(table, np.array([r[0] for r in rows], np.int64))


def publish(sink: TableSink, version: int, *batches: ChangeBatch) -> object:
    for batch in batches:
        sink.write(batch)
    committable = sink.prepare(version)
    if committable is not None:
        sink.commit(version, committable)
    return committable


@pytest.fixture
def pk(tmp_path: Path):
    return make_table(tmp_path, "pk", COLUMNS, ("k",), {"changelog-producer": "input"})


def test_changes_of_a_version_are_netted_per_key(pk) -> None:
    sink = TableSink(pk, CHANGES, ["k", "v"], user="job")
    publish(sink, 1, changes((1, "a", 1), (1, "b", 2)))
    publish(
        sink,
        2,
        changes((-1, "a", 1), (1, "a", 5), (1, "gone", 9)),
        changes((-1, "gone", 9), (-1, "b", 2), (-1, "a", 5), (1, "a", 6), (1, "c", 3)),
    )
    assert contents(pk) == [("a", 6), ("c", 3)]
    assert history(pk) == [
        Counter({(1, "a", 1): 1, (1, "b", 2): 1}),
        Counter({(-1, "a", 1): 1, (1, "a", 6): 1, (-1, "b", 2): 1, (1, "c", 3): 1}),
    ]
    sink.close()


def test_what_cancels_out_makes_no_snapshot(pk) -> None:
    sink = TableSink(pk, CHANGES, ["k", "v"], user="job")
    assert publish(sink, 1, changes((1, "a", 1)), changes((-1, "a", 1))) is None
    assert pk.latest_snapshot() is None


def test_a_commit_done_again_is_done_once(pk) -> None:
    sink = TableSink(pk, CHANGES, ["k", "v"], user="job")
    committable = publish(sink, 1, changes((1, "a", 1)))
    other = TableSink(pk, CHANGES, ["k", "v"], user="job")
    other.commit(1, committable)
    assert pk.latest_snapshot().id == 1
    publish(other, 2, changes((1, "b", 1)))
    other.commit(1, committable)
    assert pk.latest_snapshot().id == 2


def test_two_live_rows_for_one_key_are_refused_with_the_key(pk) -> None:
    sink = TableSink(pk, CHANGES, ["k", "v"], user="job")
    with pytest.raises(IntegrityError, match=r"2 rows at once for the primary key \(k = 'a'\) of table `db.pk`"):
        publish(sink, 1, changes((1, "a", 1), (1, "b", 1), (1, "a", 2)))
    with pytest.raises(IntegrityError, match=r"3 rows at once .*\(k = 'a'\) \(and for 1 more\)"):
        publish(sink, 1, changes((3, "a", 1), (1, "b", 1), (1, "b", 2)))


def test_rows_that_are_only_added_go_to_the_merge_engine_in_their_order(tmp_path: Path) -> None:
    wanted = {"deduplicate": ("a", 3), "first-row": ("a", 1), "partial-update": ("a", 3), "aggregation": ("a", 7)}
    for engine, row in wanted.items():
        sums = {"fields.v.aggregate-function": "sum"} if engine == "aggregation" else {}
        table = make_table(tmp_path, engine, COLUMNS, ("k",), {"merge-engine": engine} | sums)
        sink = TableSink(table, CHANGES, ["k", "v"], user="job", append_only=True)
        publish(sink, 1, changes((2, "a", 1), (1, "b", 2)), changes((1, "a", 2), (1, "a", 3)))
        assert contents(table) == [row, ("b", 2)]


@pytest.mark.parametrize("producer", ["none", "input", "lookup"])
def test_an_engine_that_adds_up_takes_old_values_back(tmp_path: Path, producer: str) -> None:
    options = {"merge-engine": "aggregation", "fields.v.aggregate-function": "sum", "changelog-producer": producer}
    table = make_table(tmp_path, "sums", COLUMNS, ("k",), options)
    sink = TableSink(table, CHANGES, ["k", "v"], user="job")
    publish(sink, 1, changes((1, "a", 1), (2, "a", 2), (1, "b", 9)))
    publish(sink, 2, changes((-1, "a", 1), (1, "a", 10), (-2, "a", 2), (1, "b", 1), (-1, "b", 9)))
    assert contents(table) == [("a", 10), ("b", 1)]


@pytest.mark.parametrize(
    "options",
    [
        {"merge-engine": "aggregation", "fields.v.aggregate-function": "max"},
        {"merge-engine": "partial-update", "fields.v.aggregate-function": "sum", "fields.g.sequence-group": "v"},
    ],
    ids=lambda options: options["merge-engine"],
)
def test_functions_that_cannot_take_back_are_refused_at_plan_time(tmp_path: Path, options: dict[str, str]) -> None:
    table = make_table(tmp_path, "t", COLUMNS | {"g": "INT"}, ("k",), options)
    check_target(table, CHANGES, ["k", "v"], append_only=True)
    with pytest.raises(NotSupportedError, match=r"`v` of table `db\.t`: the function .* cannot take back a value"):
        check_target(table, CHANGES, ["k", "v"], append_only=False)
    ignores = make_table(tmp_path, "u", COLUMNS | {"g": "INT"}, ("k",), options | {"fields.v.ignore-retract": "true"})
    check_target(ignores, CHANGES, ["k", "v"], append_only=False)


def test_columns_left_out_become_null(tmp_path: Path) -> None:
    table = make_table(tmp_path, "wide", {"k": "STRING NOT NULL", "note": "STRING", "v": "INT"}, ("k",))
    sink = TableSink(table, CHANGES, ["k", "v"], user="job")
    publish(sink, 1, changes((1, "a", 1)))
    assert contents(table) == [("a", None, 1)]


def test_an_append_table_takes_rows_as_often_as_they_come_and_none_back(tmp_path: Path) -> None:
    table = make_table(tmp_path, "log", {"k": "STRING", "v": "BIGINT"})
    for append_only in (True, False):
        sink = TableSink(table, CHANGES, ["k", "v"], user=f"job-{append_only}", append_only=append_only)
        publish(sink, 1, changes((2, "a", 1), (1, "b", 2)))
        with pytest.raises(NotSupportedError, match=r"`db\.log` has no primary key"):
            publish(sink, 2, changes((-1, "a", 1)))
        sink.abort()
    assert contents(table) == [("a", 1)] * 4 + [("b", 2)] * 2


def test_what_a_table_cannot_take_is_refused_at_plan_time(tmp_path: Path, pk) -> None:
    log = make_table(tmp_path, "log", {"k": "STRING", "v": "BIGINT"})
    check_target(log, CHANGES, ["k", "v"], append_only=True)
    with pytest.raises(NotSupportedError, match="no primary key"):
        check_target(log, CHANGES, ["k", "v"], append_only=False)
    with pytest.raises(BindError, match="2 columns, but 1"):
        check_target(log, CHANGES, ["k"], append_only=True)
    with pytest.raises(BindError, match="no value of `k`"):
        check_target(pk, pa.schema([("v", pa.int64())]), ["v"], append_only=False)


def test_much_goes_to_the_writer_early_and_the_last_change_of_a_key_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("tsdb.exec.streaming.sink._ROWS_HELD", 2)
    table = make_table(tmp_path, "t", COLUMNS, ("k",))
    sink = TableSink(table, CHANGES, ["k", "v"], user="job", keyed=True)
    publish(sink, 1, changes((1, "old", 1)))
    publish(
        sink,
        2,
        changes((1, "a", 1), (1, "b", 1), (1, "c", 1)),
        changes((-1, "a", 1), (1, "a", 2), (-1, "b", 1)),
        changes((-1, "old", 1), (1, "b", 3), (1, "d", 1)),
    )
    assert contents(table) == [("a", 2), ("b", 3), ("c", 1), ("d", 1)]
    sink.write(changes((-1, "a", 2), (-1, "b", 3), (1, "e", 1)))
    sink.abort()
    publish(sink, 3, changes((-1, "c", 1)))
    assert contents(table) == [("a", 2), ("b", 3), ("d", 1)]

"""A streaming SELECT as its reader sees it."""

import threading
import time

import pyarrow as pa
import pytest

from tests.unit.exec.streaming_jobs.parts import CutSource, WordCount, pipeline
from tsdb.errors import InterfaceError, OperationalError
from tsdb.exec.streaming.changelog import ChangelogResult


def rows(table: pa.Table) -> list[tuple]:
    return [tuple(row.values()) for row in table.to_pylist()]


def test_each_version_comes_whole_and_alone_and_then_the_end() -> None:
    result = ChangelogResult(pipeline(CutSource([["a", "b", "a"], ["a"], ["b", "c"]])), WordCount(), bounded=True)
    assert result.schema.names == ["op", "word", "n"]
    seen = []
    while (table := result.next(None)) is not None:
        seen.append((result.version, rows(table)))
    assert seen == [
        (1, [("+I", "a", 2), ("+I", "b", 1)]),
        (2, [("-U", "a", 2), ("+U", "a", 3)]),
        (3, [("-U", "b", 1), ("+U", "b", 2), ("+I", "c", 1)]),
    ]
    assert result.next(0) is None


def test_rows_max_splits_a_version_and_keeps_its_number() -> None:
    result = ChangelogResult(pipeline(CutSource([["a", "b", "c"], ["d"]])), WordCount(), bounded=True)
    sizes = [(result.next(None, 2).num_rows, result.version) for _ in range(3)]
    assert sizes == [(2, 1), (1, 1), (1, 2)]


def test_a_large_cut_in_several_steps_is_one_version() -> None:
    many = [f"w{i % 1000}" for i in range(150_000)]
    driven = pipeline(CutSource([many, ["w0"]]))
    result = ChangelogResult(driven, WordCount(), bounded=True)
    table = result.next(None)
    assert (table.num_rows, result.version) == (1000, 1)
    assert set(table["n"].to_pylist()) == {150} and set(table["op"].to_pylist()) == {"+I"}
    assert driven.dataflow.steps == 2


def test_a_time_out_gives_an_empty_table_and_the_stream_goes_on() -> None:
    source = CutSource([], bounded=False)
    result = ChangelogResult(pipeline(source), WordCount(), bounded=False)
    began = time.monotonic()
    assert result.next(0.05).num_rows == 0
    assert 0.04 < time.monotonic() - began < 0.5
    assert result.next(0).num_rows == 0
    source.cuts.append(["x"])
    assert rows(result.next(5)) == [("+I", "x", 1)]
    result.close()
    assert source.closed


def test_until_caught_up_gives_what_is_there_now() -> None:
    source = CutSource([["a"], ["b"]], bounded=False)
    result = ChangelogResult(pipeline(source), WordCount(), bounded=False)
    assert [rows(t) for t in result.until_caught_up(5)] == [[("+I", "a", 1)], [("+I", "b", 1)]]
    assert list(result.until_caught_up(5)) == []
    result.close()


def test_close_wakes_a_waiting_reader_at_once() -> None:
    source = CutSource([], bounded=False)
    result = ChangelogResult(pipeline(source), WordCount(), bounded=False)
    failures: list[Exception] = []

    def read() -> None:
        try:
            result.next(None)
        except InterfaceError as err:
            failures.append(err)

    reader = threading.Thread(target=read)
    reader.start()
    time.sleep(0.05)
    began = time.monotonic()
    result.close()
    reader.join(1)
    assert time.monotonic() - began < 0.5 and not reader.is_alive()
    assert "closed" in str(failures[0])
    result.close()
    with pytest.raises(InterfaceError, match="closed"):
        result.next(0)


def test_a_failure_is_raised_again_at_each_call() -> None:
    source = CutSource([["a"]], bounded=False)
    result = ChangelogResult(pipeline(source), WordCount(), bounded=False)
    result.next(None)
    source.fails = OperationalError("the disk is gone")
    for _ in range(2):
        with pytest.raises(OperationalError, match="the disk is gone"):
            result.next(1)
    assert source.closed


def test_a_change_is_seen_within_milliseconds() -> None:
    source = CutSource([["a"]], bounded=False)
    result = ChangelogResult(pipeline(source), WordCount(), bounded=False)
    result.next(None)
    delays: list[float] = []
    sent: list[float] = []

    def send() -> None:
        sent.append(time.monotonic())
        source.cuts.append([f"w{len(sent)}"])

    for _ in range(20):
        timer = threading.Timer(0.03, send)
        timer.start()
        assert result.next(5).num_rows == 1
        delays.append(time.monotonic() - sent[-1])
        timer.join()
    assert sorted(delays)[10] < 0.015, delays
    result.close()

"""A slow taker holds the source back: what lies between the two is counted, and bounded, however much there is."""

import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pyarrow as pa
import pytest

import tsdb
from tests.unit.exec.streaming_jobs.parts import CutSource, FileSink, batch_count, pipeline, published
from tsdb.exec.streaming import job as jobs
from tsdb.exec.streaming.changelog import ChangelogResult
from tsdb.exec.streaming.draft import JobDraft
from tsdb.exec.streaming.net_changes import NetChanges
from tsdb.exec.streaming.pipeline import Pipeline
from tsdb.exec.streaming.registry import JobRegistry
from tsdb.fs import LocalFileIO
from tsdb.kafka import python_client
from tsdb.kafka.client import Outgoing

COMMITS, ROWS = 30, 400
SECONDS = 30


@pytest.fixture
def con(tmp_path: Path) -> Iterator[tsdb.Connection]:
    """A table with a history of commits of the same size."""
    with tsdb.connect(str(tmp_path / "w")) as connection:
        connection.execute("CREATE TABLE t (id BIGINT, v BIGINT)")
        for commit in range(COMMITS):
            ids = pa.array(range(commit * ROWS, (commit + 1) * ROWS), pa.int64())
            connection.append("t", pa.table({"id": ids, "v": ids}))
        yield connection


FROM_FIRST = "t /*+ OPTIONS('scan.mode' = 'from-snapshot', 'scan.snapshot-id' = '1') */"


@pytest.mark.parametrize("query", [f"SELECT * FROM {FROM_FIRST}", f"SELECT v, count(*) FROM {FROM_FIRST} GROUP BY v"])
def test_a_cursor_that_is_not_read_takes_one_version_in(con: tsdb.Connection, query: str) -> None:
    con.execute("SET 'execution.mode' = 'streaming'")
    cursor = con.execute(query)
    result = cursor._result
    assert isinstance(result, ChangelogResult)
    for version in range(1, 4):
        for row in range(ROWS):
            cursor.fetchone()
            assert result.metrics()["rows_in"] == version * ROWS, row
    cursor.close()


class Gate(FileSink):
    """A sink whose `prepare` waits until it may."""

    def __init__(self, folder: str) -> None:
        super().__init__(LocalFileIO(), folder)
        self.open, self.waits = threading.Event(), threading.Event()

    def prepare(self, version: int) -> Any:
        self.waits.set()
        assert self.open.wait(SECONDS)
        return super().prepare(version)


def test_a_sink_that_waits_stops_the_job_before_the_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(jobs, "ROWS_BETWEEN_CHECKPOINTS", 500)
    cuts = [[f"w{(n * 7 + i) % 50}" for i in range(100)] for n in range(60)]
    source, sink = CutSource(cuts), Gate(f"{tmp_path}/sink")
    draft = JobDraft("count", "INSERT …", "plan", pipeline(source), lambda user: sink)
    registry = JobRegistry(LocalFileIO(), str(tmp_path))
    job = registry.submit_draft(draft, {"execution.checkpointing.interval": "1 h"})
    for _ in range(3):
        assert sink.waits.wait(SECONDS)
        at = source.at
        assert job.metrics()["rows_in"] - jobs_rows(job) <= 500, "no more than a checkpoint takes"
        threading.Event().wait(0.05)
        assert source.at == at, "nothing is taken in while the sink waits"
        sink.waits.clear()
        sink.open.set()
        sink.open.clear()
    sink.open.set()
    assert job.wait(SECONDS)
    registry.close()
    assert published(f"{tmp_path}/sink") == batch_count(cuts)


def jobs_rows(job: jobs.Job) -> int:
    """What its newest checkpoint has taken in."""
    return job._newest.rows_in


@pytest.mark.parametrize(
    ("columns", "query"),
    [
        ("(id BIGINT, v BIGINT)", f"SELECT id, v FROM {FROM_FIRST}"),
        ("(id BIGINT, v BIGINT, PRIMARY KEY (id) NOT ENFORCED)", f"SELECT id, v FROM {FROM_FIRST}"),
        ("(id BIGINT, v BIGINT, PRIMARY KEY (id) NOT ENFORCED)", f"SELECT id, sum(v) FROM {FROM_FIRST} GROUP BY id"),
        (
            "(id BIGINT, v BIGINT) WITH ('connector' = 'filesystem', 'format' = 'json', 'path' = '{path}')",
            f"SELECT id, v FROM {FROM_FIRST}",
        ),
    ],
    ids=["append", "upsert", "groups", "files"],
)
def test_what_a_job_holds_back_for_its_sink_is_bounded(
    con: tsdb.Connection, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, columns: str, query: str
) -> None:
    """The rows between two checkpoints are as many as a checkpoint may take, though its time has not come."""
    monkeypatch.setattr(jobs, "ROWS_BETWEEN_CHECKPOINTS", 3 * ROWS)
    monkeypatch.setattr(Pipeline.advance, "__defaults__", (ROWS,))
    held: list[int] = []
    add = NetChanges.add

    def counted(self: NetChanges, changes: Any) -> None:
        add(self, changes)
        held.append(self.rows)

    monkeypatch.setattr(NetChanges, "add", counted)
    con.execute(f"CREATE TABLE sink {columns.format(path=tmp_path / 'out')}")
    con.execute("SET 'execution.mode' = 'streaming'; SET 'execution.checkpointing.interval' = '1 h'")
    con.execute(f"INSERT INTO sink {query}")
    (job,) = con.jobs()
    job.checkpoint(SECONDS)
    job.stop()
    assert job.metrics()["rows_in"] == COMMITS * ROWS
    assert job.version >= COMMITS // 3, "its time has never come"
    assert max(held, default=0) <= 3 * ROWS
    con.execute("SET 'execution.mode' = 'batch'")
    assert con.execute("SELECT count(*) FROM sink").fetchall() == [(COMMITS * ROWS,)]


class SlowBroker:
    """Kafka's client with a broker that acknowledges only when somebody waits for it; the client queues all it gets."""

    def __init__(self) -> None:
        self.queued: list[SimpleNamespace] = []
        self.most = self.most_bytes = self.acknowledged = 0

    def send(self, topic: str, value: bytes, **_: object) -> SimpleNamespace:
        future = SimpleNamespace(is_done=False, failed=lambda: False, size=len(value))
        self.queued.append(future)
        return future

    def flush(self, timeout: float) -> None:
        self.most = max(self.most, len(self.queued))
        self.most_bytes = max(self.most_bytes, sum(future.size for future in self.queued))
        self.acknowledged += len(self.queued)
        for future in self.queued:
            future.is_done = True
        self.queued = []


@pytest.mark.parametrize(("count", "size"), [(1000, 10), (20, 5_000)], ids=["many", "large"])
def test_a_slow_broker_holds_the_producer_back(monkeypatch: pytest.MonkeyPatch, count: int, size: int) -> None:
    monkeypatch.setattr(python_client, "_QUEUED_MAX", 500)
    monkeypatch.setattr(python_client, "_BYTES_MAX", 40_000)
    monkeypatch.setattr(python_client, "_BLOCK", 3)
    broker = SlowBroker()
    producer = python_client.PythonProducer(broker, "here")
    for _ in range(3):
        producer.send(Outgoing("t", [b"k"] * count, [b"v" * size] * count, [0] * count))
    producer.flush()
    assert broker.acknowledged == 3 * count
    assert broker.most <= 500 + 3
    assert broker.most_bytes <= 40_000 + 3 * size

"""Small real parts of a job: a source over given cuts, a counting dataflow with state in runs, a sink of files."""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.changes import ChangeBatch, consolidate, plus
from tsdb.connector.connector import SourceDelta
from tsdb.exec.streaming.draft import JobDraft
from tsdb.exec.streaming.pipeline import Feed, Pipeline
from tsdb.fs import LocalFileIO
from tsdb.fs.file_io import FileIO

WORDS = pa.schema([("word", pa.string())])
COUNTS = pa.schema([("word", pa.string()), ("n", pa.int64())])


def words(*values: str) -> pa.Table:
    return pa.table({"word": list(values)}, schema=WORDS)


class CutSource:
    """Cuts of words; more may be appended while it is read, unless bounded."""

    mode = "append"
    upsert_key = None
    skipped = 0
    schema = WORDS

    def __init__(self, cuts: Sequence[Sequence[str]], *, bounded: bool = True) -> None:
        self.cuts = [list(cut) for cut in cuts]
        self.bounded = bounded
        self.at = 0
        self.inside = 0
        self.closed = False
        self.fails: Exception | None = None

    @property
    def position(self) -> int:
        return self.at

    @property
    def finished(self) -> bool:
        return self.bounded and self.at >= len(self.cuts)

    def poll(self, rows_max: int) -> SourceDelta | None:
        if self.fails is not None:
            raise self.fails
        if self.at >= len(self.cuts):
            return None
        cut = self.cuts[self.at]
        part = cut[self.inside : self.inside + rows_max]
        self.inside += len(part)
        complete = self.inside >= len(cut)
        if complete:
            self.at, self.inside = self.at + 1, 0
        return SourceDelta([ChangeBatch(words(*part), np.ones(len(part), np.int64))], complete)

    def seek(self, position: int) -> None:
        self.at, self.inside = position, 0

    def latest_reached(self) -> bool:
        return self.at >= len(self.cuts)

    def close(self) -> None:
        self.closed = True


class WordCount:
    """SELECT word, count(*) GROUP BY word, over the input `w`."""

    schema = COUNTS
    upsert_key = ("word",)

    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.steps = 0

    def overdue(self) -> bool:
        return False

    def step(
        self, deltas: Mapping[str, ChangeBatch], times: Mapping[str, object] | None = None, *, complete: bool = True
    ) -> ChangeBatch:
        self.steps += 1
        before = Counter(self.counts)
        for delta in deltas.values():
            for word, weight in zip(delta.rows["word"].to_pylist(), delta.weights.tolist(), strict=True):
                self.counts[word] += weight
        out = [
            (word, n, sign)
            for word in self.counts
            if before[word] != self.counts[word]
            for n, sign in ((before[word], -1), (self.counts[word], 1))
            if n
        ]
        rows = pa.table([[w for w, _, _ in out], [n for _, n, _ in out]], schema=COUNTS)
        return ChangeBatch(rows, np.array([s for _, _, s in out], np.int64))

    def checkpoint(self, store: Any) -> dict[str, Any]:
        state = pa.table([list(self.counts), list(self.counts.values())], schema=COUNTS)
        return {"counts": store.put(state)}

    def restore(self, manifest: Mapping[str, Any], store: Any) -> None:
        state = store.get(manifest["counts"])
        self.counts = Counter(dict(zip(state["word"].to_pylist(), state["n"].to_pylist(), strict=True)))

    def metrics(self) -> dict[str, Any]:
        return {"words": len(self.counts)}


class FileSink:
    """Each version is a file of changes; committing is creating another that names it."""

    def __init__(self, file_io: FileIO, folder: str) -> None:
        self.file_io, self.folder = file_io, folder
        self.pending: list[ChangeBatch] = []

    def write(self, changes: ChangeBatch) -> None:
        self.pending.append(changes)

    def prepare(self, version: int) -> Any:
        net = consolidate(plus(self.pending, COUNTS))
        self.pending = []
        if not net.num_rows:
            return None
        rows = [[*row.values(), w] for row, w in zip(net.rows.to_pylist(), net.weights.tolist(), strict=True)]
        return {"rows": rows}

    def commit(self, version: int, committable: Any) -> None:
        self.file_io.try_create(f"{self.folder}/out-{version}", json.dumps(committable["rows"]).encode())

    def abort(self) -> None:
        self.pending = []

    def close(self) -> None:
        self.pending = []


def published(folder: str) -> Counter[tuple[str, int]]:
    """What the sink's files add up to; every row must have a weight of 0 or 1 at each version."""
    bag: Counter[tuple[str, int]] = Counter()
    for path in sorted(Path(folder).glob("out-*"), key=lambda p: int(p.name.split("-")[1])):
        for word, n, weight in json.loads(path.read_text()):
            bag[(word, n)] += weight
        assert all(weight in (0, 1) for weight in bag.values()), (path, bag)
    return +bag


def batch_count(cuts: Sequence[Sequence[str]]) -> Counter[tuple[str, int]]:
    return Counter(Counter(w for cut in cuts for w in cut).items())


def pipeline(source: CutSource) -> Pipeline:
    return Pipeline(WordCount(), [Feed(source, ("w",))])


def draft(
    source: CutSource, folder: str, *, name: str = "count", sql: str = "INSERT …", file_io: FileIO | None = None
) -> JobDraft:
    files = file_io or LocalFileIO()
    return JobDraft(name, sql, "plan", pipeline(source), lambda user: FileSink(files, f"{folder}/sink"))

"""Nexmark beside Flink SQL: each query by both in turn, over the same events, on the same two cores.

Flink (its jars: `make flink`) runs in one process with parallelism 2 and reads the events from Parquet files, two of
each kind, each in the order of time, into a sink that drops the rows; the better of its default and its mini-batch
settings counts, by the duration of the job. Ours reads them from append tables and the rows are fetched. In both the
first run of a query is not counted. A light query over a million events is mostly the start of Flink's job (half a
second); compare those over 20 million.
"""

import os
import shutil
import statistics
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq

import tsdb
from bench import nexmark
from bench.nexmark_events import Events

_ROOT = Path(__file__).parent.parent
_JARS = _ROOT / ".cache" / "flink"
_LEFT_OUT = ("q6", "q12", "q13")
"""OVER takes no retractions in Flink; by the clock; Flink looks tables up in databases only."""
_QUERIES = tuple(name for name in nexmark.QUERIES if name not in _LEFT_OUT)
_FILES = 2
_HEAP = "3200m"
_OPTIONS = {
    "parallelism.default": "2",
    "taskmanager.numberOfTaskSlots": "2",
    "taskmanager.memory.network.min": "128m",
    "taskmanager.memory.network.max": "128m",
    "taskmanager.memory.managed.size": "256m",
    "execution.checkpointing.interval": "10 s",
    "execution.checkpointing.mode": "EXACTLY_ONCE",
    "table.local-time-zone": "UTC",
}
_MINI_BATCH = {
    "table.exec.mini-batch.enabled": ("false", "true"),
    "table.exec.mini-batch.allow-latency": ("1 s", "1 s"),
    "table.exec.mini-batch.size": ("5000", "5000"),
    "pipeline.object-reuse": ("false", "true"),
}
_OPENS = [
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in ("java.lang", "java.util", "java.nio", "java.net", "java.io", "sun.nio.ch", "java.time", "java.text",
                    "java.lang.reflect", "java.util.concurrent", "java.util.concurrent.atomic")
]  # fmt: skip


class Flink:
    """A Flink cluster of one process; see `FlinkPeer.java`."""

    def __init__(self, folder: Path) -> None:
        """folder: for checkpoints and files that it needs."""
        options = _OPTIONS | {
            "execution.checkpointing.dir": (folder / "checkpoints").as_uri(),
            "io.tmp.dirs": str(folder),
        }
        command = ["java", f"-Xmx{_HEAP}", "-XX:+UseG1GC", *_OPENS, "-cp", f"{_JARS}/*"]
        command += [str(_ROOT / "bench" / "FlinkPeer.java"), *(f"{k}={v}" for k, v in options.items())]
        self._process = subprocess.Popen(
            command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True
        )

    def ask(self, *words: str) -> list[str]:
        """One command; raises RuntimeError with Flink's reason."""
        assert self._process.stdin is not None and self._process.stdout is not None, "both are pipes"
        self._process.stdin.write("\t".join(words) + "\n")
        self._process.stdin.flush()
        kind, *answer = self._process.stdout.readline().rstrip("\n").split("\t")
        if kind not in ("ok", "ran"):
            raise RuntimeError(f"Flink: {kind} {' '.join(answer)[:200]}")
        return answer

    @property
    def resident_mb(self) -> float:
        """The most memory it had so far."""
        lines = Path(f"/proc/{self._process.pid}/status").read_text().splitlines()
        return float(next(line.split()[1] for line in lines if line.startswith("VmHWM"))) / 1024

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None, "it is a pipe"
        self._process.stdin.close()
        self._process.wait()


def write_files(folder: Path, events: int) -> None:
    """The events as Parquet files, two of each kind with the rows dealt out in turn."""
    source, writers = Events(), dict[tuple[str, int], pq.ParquetWriter]()
    for start in range(0, events, 100_000):
        for name, rows in source.tables(start, min(events, start + 100_000)).items():
            for part in range(_FILES):
                place = folder / name / f"part-{part}.parquet"
                place.parent.mkdir(exist_ok=True)
                if (name, part) not in writers:
                    writers[name, part] = pq.ParquetWriter(place, rows.schema, compression="snappy")
                writers[name, part].write_table(rows.take(pa.array(np.arange(part, rows.num_rows, _FILES))))
    for writer in writers.values():
        writer.close()


def declare(flink: Flink, folder: Path) -> None:
    """The tables of the suite over the files."""
    names = {pa.int64(): "BIGINT", pa.string(): "STRING", pa.timestamp("ms"): "TIMESTAMP(3)"}
    for name, rows in Events().tables(0, 50).items():
        columns = ", ".join(f"`{field.name}` {names[field.type]}" for field in rows.schema)
        flink.ask(
            "do",
            f"CREATE TABLE {name} ({columns}, WATERMARK FOR `dateTime` AS `dateTime` - INTERVAL '4' SECOND) WITH ("
            f"'connector' = 'filesystem', 'path' = '{(folder / name).as_uri()}', 'format' = 'parquet',"
            " 'parquet.utc-timezone' = 'true')",
        )


def run(flink: Flink, query: str, events: int, repeat: int) -> dict[str, float]:
    """The best run of both settings, in M events a second of the job's duration and of processor time."""
    found = []
    for setting in (0, 1):
        for option, values in _MINI_BATCH.items():
            flink.ask("set", option, values[setting])
        found += [[float(x) for x in flink.ask("run", query)] for _ in range(repeat + 1)][1:]
    millis, cpu = min(found)
    return {"wall": events / millis / 1e3, "cpu": events / cpu / 1e3}


def main(row_count: int, repeat: int, queries: Sequence[str] = _QUERIES) -> None:
    """row_count: events, 20 million at the most. repeat: the best run of each side counts."""
    if not shutil.which("java") or not list(_JARS.glob("flink-table-planner*.jar")):
        print("nexmark_flink: Flink is not in .cache/flink; run `make flink` (it needs Java and Maven)")
        return
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[:2])
    events, ratios, ratios_cpu = min(row_count, 20_000_000), [], []
    with tempfile.TemporaryDirectory() as place, tsdb.connect(str(Path(place) / "ours")) as con:
        files = Path(place) / "files"
        files.mkdir()
        write_files(files, events)
        nexmark.fill(con, events)
        con.execute("SET 'execution.state.memory' = '256 mb'")
        flink = Flink(Path(place))
        try:
            declare(flink, files)
            for name in queries:
                try:
                    theirs = run(flink, nexmark.QUERIES[name], events, repeat)
                except RuntimeError as err:
                    print(f"nexmark_flink {name:4} {err}", flush=True)
                    continue
                best = max((nexmark.run(con, name, events) for _ in range(repeat + 1)), key=lambda r: r["wall"])
                ratios.append(best["wall"] / theirs["wall"])
                ratios_cpu.append(best["cpu"] / theirs["cpu"])
                print(
                    f"nexmark_flink {name:4} {best['wall']:7.3f} M events/s ({best['cpu']:6.3f} per CPU second), Flink"
                    f" {theirs['wall']:6.3f} ({theirs['cpu']:6.3f}): {ratios[-1]:5.2f} x Flink"
                    f" ({ratios_cpu[-1]:5.2f} x per CPU second)", flush=True,
                )  # fmt: skip
            resident = flink.resident_mb
        finally:
            flink.close()
    if ratios:
        print(
            f"nexmark_flink {events:,} events, {len(ratios)} queries: geometric mean"
            f" {statistics.geometric_mean(ratios):.2f} x Flink, {statistics.geometric_mean(ratios_cpu):.2f} x per CPU"
            f" second; {nexmark.resident_mb():,.0f} MB resident, Flink {resident:,.0f}"
        )

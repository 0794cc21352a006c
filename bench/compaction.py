"""Full compaction of a primary-key table of 5 overlapping runs in 2 buckets, against Paimon Java on a copy of it.

Both use two threads. Java's time is taken inside a JVM that has compacted a smaller table twice before; ours is that
of a new process, without its start.
"""

import shutil
import statistics
import subprocess
from pathlib import Path

import tsdb
from bench import rows, side

RUNS = 5
JARS = side.ROOT / ".cache" / "paimon-java"
WARM_UP_ROWS = 500_000


def main(row_count: int, repeat: int) -> None:
    ours: list[float] = []
    java: list[float] = []
    with side.warehouse() as folder:
        source, small = folder / "source", folder / "small"
        _fill(source, row_count)
        _fill(small, WARM_UP_ROWS)
        for _ in range(repeat):
            ours.append(side.run(side.OURS, "compact", warehouse=str(_copy(source, folder / "ours")))["seconds"])
            copies = [_copy(small, folder / "warm-1"), _copy(small, folder / "warm-2"), _copy(source, folder / "java")]
            java.append(_java(copies))
        answers = {_answer(folder / "ours"), _answer(folder / "java")}
    assert len(answers) == 1, f"the two tables differ: {answers}"
    mine, theirs = statistics.median(ours), statistics.median(java)
    print(
        f"compaction {row_count:,} rows  tsdb {row_count / mine / 1e6:.2f} M rows/s  "
        f"Paimon Java {row_count / theirs / 1e6:.2f} M rows/s"
    )
    print(f"compaction ratio: {theirs / mine:.2f}x")


def _fill(warehouse: Path, row_count: int) -> None:
    for run in range(RUNS):
        file = rows.arrow_file(row_count // RUNS, keys=row_count // 2, seed=100 + run)
        side.run(side.OURS, "ingest", warehouse=str(warehouse), file=str(file), options={})


def _copy(source: Path, target: Path) -> Path:
    shutil.rmtree(target, ignore_errors=True)
    shutil.copytree(source, target)
    return target


def _java(warehouses: list[Path]) -> float:
    """Seconds of the last one."""
    jars = ":".join(str(jar) for jar in sorted(JARS.glob("*.jar")))
    command = ["java", "-Xmx4g", "--add-opens=java.base/java.nio=ALL-UNNAMED", "-cp", jars]
    command += [str(side.HERE / "CompactJava.java"), *map(str, warehouses)]
    output = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True).stdout
    return float(output.split()[-1])


def _answer(warehouse: Path) -> tuple[object, ...]:
    with tsdb.connect(str(warehouse)) as con:
        levels = con.execute("SELECT count(DISTINCT level) FROM t$files").fetchall()
        return (levels[0], *con.execute("SELECT count(*), sum(id), sum(a), max(b) FROM t").fetchall())

"""A stream that begins at any retained snapshot, timestamp or tag gives what the rest of the first stream gave.

The first stream is followed beside the writer, version by version. Who begins later gets exactly its last versions, and
who begins with the state of a snapshot gets the sum of the first versions, then the others.
"""

import os
import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import tsdb
from tsdb import Connection

Row = tuple[object, ...]
Version = Counter[tuple[str, Row]]
SUM = "'merge-engine' = 'aggregation', 'fields.v.aggregate-function' = 'sum', 'fields.w.aggregate-function' = 'max'"
ENGINES = {
    "append": "",
    "append in buckets": "'bucket' = '2', 'bucket-key' = 'id'",
    "deduplicate": "'merge-engine' = 'deduplicate'",
    "deduplicate, sequence": "'sequence.field' = 'w'",
    "deduplicate, vectors": "'deletion-vectors.enabled' = 'true'",
    "partial-update": "'merge-engine' = 'partial-update'",
    "aggregation": SUM,
    "first-row": "'merge-engine' = 'first-row'",
}
PRODUCERS = ["none", "input", "lookup", "full-compaction"]
KINDS = [(engine, "none") for engine in ENGINES if engine.startswith("append")]
KINDS += [(engine, producer) for engine in ENGINES if engine.startswith("dedup") for producer in PRODUCERS]
KINDS += [(e, p) for e in ("partial-update", "aggregation") for p in ("lookup", "full-compaction")]
KINDS += [("first-row", "lookup")]
KINDS.remove(("deduplicate, vectors", "full-compaction"))


def create(con: Connection, engine: str, producer: str, rng: random.Random) -> None:
    keyed = not engine.startswith("append")
    options = [ENGINES[engine]] if ENGINES[engine] else []
    if keyed:
        options += [f"'bucket' = '{rng.choice([1, 2])}'", f"'changelog-producer' = '{producer}'"]
        options += ["'num-sorted-run.compaction-trigger' = '3'"]
    if producer == "full-compaction":
        options.append("'full-compaction.delta-commits' = '2'")
    key = ", PRIMARY KEY (id) NOT ENFORCED" if keyed else ""
    given = f" WITH ({', '.join(options)})" if options else ""
    con.execute(f"CREATE TABLE t (id INT, g STRING, v INT, w INT{key}){given}")


def change(con: Connection, engine: str, rng: random.Random) -> None:
    """One statement that the table takes."""
    what = rng.random()
    row = lambda: f"({rng.randint(1, 8)}, '{rng.choice('ab')}', {rng.choice([*range(5), 'NULL'])}, {rng.randint(1, 9)})"  # noqa: E731
    values = ", ".join(row() for _ in range(rng.randint(1, 4)))
    if engine.startswith(("append", "dedup")) and what < 0.2:
        con.execute(f"DELETE FROM t WHERE id IN ({rng.randint(1, 8)}, {rng.randint(1, 8)})")
    elif engine.startswith(("append", "dedup")) and what < 0.3 and engine != "deduplicate, sequence":
        con.execute(f"UPDATE t SET v = {rng.randint(10, 20)} WHERE id = {rng.randint(1, 8)}")
    elif what < 0.4:
        con.execute("CALL sys.compact('t')")
    elif what < 0.45 and not engine.startswith("append"):
        con.execute(f"INSERT OVERWRITE t VALUES {values}")
    else:
        con.execute(f"INSERT INTO t VALUES {values}")


def hint(**options: object) -> str:
    given = ", ".join(f"'{key.replace('_', '.', 1).replace('_', '-')}' = '{value}'" for key, value in options.items())
    return f"/*+ OPTIONS({given}) */"


def versions(cursor: tsdb.Cursor) -> Iterator[Version]:
    """What there is, version by version."""
    while (rows := cursor.poll(0)).num_rows:
        changes = [tuple(row.values()) for row in rows.to_pylist()]
        yield Counter((str(op), tuple(row)) for op, *row in changes)


def replay(con: Connection, query: str) -> list[Version]:
    """The versions of a bounded stream."""
    con.execute("SET 'execution.mode' = 'streaming'; SET 'scan.bounded.mode' = 'latest'")
    try:
        with con.execute(query) as cursor:
            return list(versions(cursor))
    finally:
        con.execute("RESET 'scan.bounded.mode'; SET 'execution.mode' = 'batch'")


def total(parts: list[Version]) -> Counter[Row]:
    bag: Counter[Row] = Counter()
    for version in parts:
        for (op, row), times in version.items():
            bag[row] += times if op in ("+I", "+U") else -times
    assert all(times >= 0 for times in bag.values()), "nothing is taken back that was not given"
    return +bag


def batch(con: Connection, table: str) -> Counter[Row]:
    return Counter(map(tuple, con.execute(f"SELECT * FROM {table}").fetchall()))


@pytest.mark.parametrize("seed", range(int(os.environ.get("TSDB_REPLAY_SEEDS", "1"))))
@pytest.mark.parametrize(("engine", "producer"), KINDS)
def test_every_start_gives_the_rest_of_the_first_stream(tmp_path: Path, engine: str, producer: str, seed: int) -> None:
    rng = random.Random(f"{engine} {producer} {seed}")
    with tsdb.connect(str(tmp_path)) as con, tsdb.connect(str(tmp_path)) as other:
        create(con, engine, producer, rng)
        other.execute("SET 'execution.mode' = 'streaming'")
        first = other.execute("SELECT * FROM t")
        original: list[Version] = list(versions(first))
        for number in range(12):
            change(con, engine, rng)
            if number in (4, 8):
                con.execute(f"CALL sys.create_tag('t', 'tag{number}')")
            original += versions(first)
        con.execute("CALL sys.compact('t')")
        original += versions(first)
        check_every_start(con, original)
        (last,) = con.execute("SELECT max(snapshot_id) FROM t$snapshots").fetchone()
        con.execute("CALL sys.expire_snapshots(table => 't', retain_max => 4, retain_min => 1)")
        check_every_start(con, original)
        check_expired(con, original, last)
        if producer in ("none", "input"):
            assert total(original) == batch(con, "t")


def check_every_start(con: Connection, original: list[Version]) -> None:
    """Of all snapshots that are there, by their number and by their time."""
    found = con.execute("SELECT snapshot_id, CAST(commit_time AS BIGINT) FROM t$snapshots ORDER BY 1").fetchall()
    left = len(original)
    for number, time in reversed(found):
        tail = replay(con, f"SELECT * FROM t {hint(scan_mode='from-snapshot', scan_snapshot_id=number)}")
        assert tail == original[len(original) - len(tail) :], number
        assert 0 <= left - (len(original) - len(tail)) <= 1, "a snapshot is one version at most"
        left = len(original) - len(tail)
        whole = replay(con, f"SELECT * FROM t {hint(scan_mode='from-snapshot-full', scan_snapshot_id=number)}")
        assert total(whole) == total(original), number
        after = len(tail) - 1 if len(tail) > len(whole) else len(tail)
        if whole and total(original[: len(original) - after]):
            assert total(whole[:1]) == total(original[: len(original) - len(whole) + 1]), number
            assert whole[1:] == original[len(original) - len(whole) + 1 :], number
        if sum(other == time for _, other in found) == 1 and number != found[0][0]:
            by_time = replay(con, f"SELECT * FROM t {hint(scan_mode='from-timestamp', scan_timestamp_millis=time)}")
            assert by_time == tail, number


def check_expired(con: Connection, original: list[Version], last: int) -> None:
    """What has expired is named; a tag still has its state, but not what came after it."""
    ids = [n for (n,) in con.execute("SELECT snapshot_id FROM t$snapshots ORDER BY 1").fetchall()]
    for number in range(1, last + 1):
        if number < ids[0]:
            with pytest.raises(tsdb.OperationalError, match=f"snapshot {number} .*has expired"):
                replay(con, f"SELECT * FROM t {hint(scan_mode='from-snapshot', scan_snapshot_id=number)}")
    if ids[0] > 1:
        with pytest.raises(tsdb.OperationalError, match="has expired"):
            replay(con, f"SELECT * FROM t {hint(scan_mode='from-timestamp', scan_timestamp_millis=1)}")
    for tag, number in con.execute("SELECT tag_name, snapshot_id FROM t$tags").fetchall():
        text = f"SELECT * FROM t {hint(scan_mode='from-snapshot-full', scan_tag_name=tag)}"
        if number + 1 < ids[0]:
            with pytest.raises(tsdb.OperationalError, match=f"snapshot {number + 1} .*has expired"):
                replay(con, text)
        else:
            assert total(replay(con, text)) == total(original)

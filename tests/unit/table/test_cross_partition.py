"""Cross-partition upsert against a dictionary that is told row by row what each merge engine does."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import tsdb
from tests.unit.table.tables import make_table
from tsdb.changes import RowKind
from tsdb.errors import CommitConflict, IntegrityError
from tsdb.row_hash import hash_rows
from tsdb.table import key_index
from tsdb.table.commit import commit
from tsdb.table.commit_message import CommitMessage
from tsdb.table.compact import compact
from tsdb.table.key_index import KeyIndex, KeyPlaces, Keys, keys_of
from tsdb.table.read import read_table
from tsdb.table.replay import commit_rows
from tsdb.table.scan import live_files, plan_scan
from tsdb.table.stream_scan import StreamScan, read_changes
from tsdb.table.write import TableWriter

KEYS = {"int": "BIGINT NOT NULL", "text": "STRING NOT NULL"}
PARTITIONS = [None, "a", "b", "c"]


def a_table(tmp_path, key="int", **options):
    columns = {"p": "STRING", "q": "INT", "k": KEYS[key], "v": "BIGINT"}
    given = {"bucket": "-1", "dynamic-bucket.target-row-num": "7"} | options
    return make_table(tmp_path, columns, ("k",), ("p", "q"), given)


def batch(rng, count, step, key):
    numbers = rng.integers(0, 50, count)
    keys = pa.array(numbers if key == "int" else [f"key {n}" for n in numbers.tolist()])
    return pa.table(
        {
            "p": [PARTITIONS[i] for i in rng.integers(0, 4, count)],
            "q": pa.array(rng.integers(0, 2, count), pa.int32()),
            "k": keys,
            "v": np.arange(count) + 1000 * step,
        }
    )


def told(engine, state, rows, kinds):
    """state: key → (p, q, v), changed by the rows one after the other."""
    for row, kind in zip(rows.to_pylist(), kinds, strict=True):
        key, new, old = row["k"], (row["p"], row["q"], row["v"]), state.get(row["k"])
        if kind == RowKind.DELETE:
            state.pop(key, None)
        elif engine == "deduplicate" or old is None:
            state[key] = new
        elif engine == "partial-update":
            state[key] = (*old[:2], new[2])
        elif engine == "aggregation":
            state[key] = (*old[:2], old[2] + new[2])


def state_of(table):
    found = read_table(table, plan_scan(table, table.latest_snapshot())).to_pylist()
    assert len({row["k"] for row in found}) == len(found), "a key has one row in the whole table"
    return {row["k"]: (row["p"], row["q"], row["v"]) for row in found}


ENGINES = {
    "deduplicate": {},
    "partial-update": {"merge-engine": "partial-update"},
    "aggregation": {"merge-engine": "aggregation", "fields.v.aggregate-function": "sum"},
}


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize("engine", ENGINES)
def test_rows_of_a_key_in_many_partitions(tmp_path, engine, key):
    table, rng, state = a_table(tmp_path, key, **ENGINES[engine]), np.random.default_rng(1), {}
    writer = TableWriter(table, user="job")
    for step in range(10):
        rows = batch(rng, 60, step, key)
        kinds = np.zeros(60, np.int8)
        if engine == "deduplicate":
            kinds[rng.random(60) < 0.2] = RowKind.DELETE
        if step % 3 == 2:  # another statement, with an index read from the table
            with TableWriter(table, user=f"statement {step}") as other:
                other.write(rows.slice(0, 30), kinds[:30])
                other.write(rows.slice(30), kinds[30:])
                commit(table, other.prepare_commit(), user=f"statement {step}")
        else:
            writer.write(rows, kinds)
            commit(table, writer.prepare_commit(), user="job", identifier=step)
        told(engine, state, rows, kinds)
        assert state_of(table) == state
    compact(table, user="c")
    assert state_of(table) == state
    writer.close()
    assert len({e.bucket for e in live_files(table, table.latest_snapshot())}) > 1


def test_first_row_stays_where_it_came_first(tmp_path):
    table = a_table(tmp_path, **{"merge-engine": "first-row"})
    rng, state = np.random.default_rng(2), {}
    for step in range(6):
        rows = batch(rng, 60, step, "int")
        with TableWriter(table, user=f"u{step}") as writer:
            writer.write(rows)
            commit(table, writer.prepare_commit(), user=f"u{step}")
        told("first-row", state, rows, np.zeros(60))
        compact(table, user="c")
        assert state_of(table) == state


@pytest.mark.parametrize("producer", ["none", "input"])
@pytest.mark.parametrize("start", [1, None])
def test_a_stream_follows_a_row_to_its_new_partition(tmp_path, producer, start):
    table = a_table(tmp_path, **{"changelog-producer": producer})
    rng, state, seen = np.random.default_rng(3), {}, {}
    options = {} if start is None else {"scan.snapshot-id": "1", "scan.mode": "from-snapshot"}
    stream = StreamScan(table, options)
    for step in range(8):
        rows, kinds = batch(rng, 60, step, "int"), np.zeros(60, np.int8)
        kinds[rng.random(60) < 0.2] = RowKind.DELETE
        with TableWriter(table, user=f"u{step}") as writer:
            for at in (0, 20, 40):
                writer.write(rows.slice(at, 20), kinds[at : at + 20])
                writer._flush(keep_small=False)  # several files a commit
            commit(table, writer.prepare_commit(), user=f"u{step}")
        told("deduplicate", state, rows, kinds)
        while (plan := stream.plan()) is not None:
            for part, part_kinds in read_changes(table, plan):
                for row, kind in zip(part.to_pylist(), part_kinds, strict=True):
                    if kind in (RowKind.DELETE, RowKind.UPDATE_BEFORE):
                        seen.pop(row["k"], None)
                    else:
                        seen[row["k"]] = (row["p"], row["q"], row["v"])
        assert seen == state


def test_of_two_writers_the_one_that_knows_less_loses(tmp_path):
    table = a_table(tmp_path)
    row = pa.table({"p": ["a"], "q": pa.array([1], pa.int32()), "k": pa.array([1], pa.int64()), "v": [1]})
    with TableWriter(table, user="one") as one, TableWriter(table, user="two") as two:
        one.write(row)
        two.write(row.set_column(0, "p", pa.array(["b"])))
        commit(table, one.prepare_commit(), user="one")
        with pytest.raises(CommitConflict, match="which partition each key is in"):
            commit(table, two.prepare_commit(), user="two")
        two.abort()
        two.write(row.set_column(0, "p", pa.array(["b"])))
        commit(table, two.prepare_commit(), user="two")
        compact(table, user="c")
        one.write(row.set_column(0, "p", pa.array(["c"])))  # reads the index again, because of the other's rows
        commit(table, one.prepare_commit(), user="one")
    assert state_of(table) == {1: ("c", 1, 1)}


@pytest.mark.parametrize("engine", ENGINES)
def test_rows_that_came_too_late_are_placed_anew(tmp_path, engine):
    table, rng, state = a_table(tmp_path, **ENGINES[engine]), np.random.default_rng(6), {}
    with TableWriter(table, user="job") as job:
        for step in range(8):
            mine, others = batch(rng, 40, 2 * step, "int"), batch(rng, 40, 2 * step + 1, "int")
            kinds = np.zeros(40, np.int8)
            if engine == "deduplicate":
                kinds[rng.random(40) < 0.2] = RowKind.DELETE
            for at in (0, 20):  # two files a bucket
                job.write(mine.slice(at, 20), kinds[at : at + 20])
                job._flush(keep_small=False)
            messages = [CommitMessage.from_json(m.to_json()) for m in job.prepare_commit()]
            for when in range(step % 3):
                part = others.slice(20 * when, 20)
                with TableWriter(table, user=f"other {step}.{when}") as other:
                    other.write(part)
                    commit_rows(table, other.prepare_commit(), user=f"other {step}.{when}")
                told(engine, state, part, np.zeros(20))
            for _ in "12":  # the second time it is there already
                commit_rows(table, messages, user="job", identifier=step)
            told(engine, state, mine, kinds)
            assert state_of(table) == state
    snapshots = [table.snapshots.snapshot(i) for i in table.snapshots.ids()]
    named = {e.file.file_name for s in snapshots for e in live_files(table, s)}
    assert {p.name for p in Path(table.path).glob("*/*/bucket-*/*")} == named, "the files that came too late are gone"


def test_keys_with_equal_hashes_are_told_apart(monkeypatch):
    monkeypatch.setattr(key_index, "hash_rows", lambda columns, rows: hash_rows(columns, rows) % np.uint64(3))
    index, wanted, rng = KeyIndex(), {}, np.random.default_rng(4)
    for step in range(30):
        names = sorted({f"k{n}" for n in rng.integers(0, 40, 6).tolist()})
        keys = keys_of(pa.table({"k": names}), ["k"])
        numbers = np.arange(len(names), dtype=np.int32) + step
        index.put(keys, KeyPlaces(numbers, numbers))
        wanted |= dict(zip(names, numbers.tolist(), strict=True))
        asked = [f"k{n}" for n in range(45)]
        found = index.find(keys_of(pa.table({"k": asked}), ["k"]))
        assert found.partitions.tolist() == [wanted.get(name, -1) for name in asked]
    assert index.find(Keys(np.zeros(0, np.uint64), ())).partitions.tolist() == []


def test_sql(tmp_path):
    with tsdb.connect(tmp_path) as con:
        con.execute("CREATE TABLE t (day DATE, k INT, v STRING, PRIMARY KEY (k) NOT ENFORCED) PARTITIONED BY (day)")
        assert "'bucket' = '-1'" in con.execute("SHOW CREATE TABLE t").fetchall()[0][0]
        con.execute("INSERT INTO t VALUES (DATE '2024-01-01', 1, 'a'), (DATE '2024-01-01', 2, 'b')")
        con.execute("INSERT INTO t VALUES (DATE '2024-01-02', 1, 'a2')")
        con.execute("UPDATE t SET day = DATE '2024-01-03', v = 'b2' WHERE k = 2")
        query = "SELECT CAST(day AS STRING), k, v FROM t ORDER BY k"
        assert con.execute(query).fetchall() == [("2024-01-02", 1, "a2"), ("2024-01-03", 2, "b2")]
        with pytest.raises(IntegrityError, match="partition that is not overwritten"):
            con.execute("INSERT OVERWRITE t VALUES (DATE '2024-01-02', 2, 'x')")
        con.execute("INSERT OVERWRITE t VALUES (DATE '2024-01-03', 2, 'x')")
        con.execute("INSERT OVERWRITE t /*+ OPTIONS('dynamic-partition-overwrite' = 'false') */ VALUES "
                    "(DATE '2024-01-09', 1, 'y'), (DATE '2024-01-09', 2, 'y')")  # fmt: skip
        assert con.execute(query).fetchall() == [("2024-01-09", 1, "y"), ("2024-01-09", 2, "y")]
        con.execute("DELETE FROM t WHERE k = 1")
        con.execute("INSERT INTO t VALUES (DATE '2024-01-01', 1, 'z')")
        assert con.execute(query).fetchall() == [("2024-01-01", 1, "z"), ("2024-01-09", 2, "y")]


def test_no_row_of_an_insert_is_the_first(tmp_path):
    with tsdb.connect(tmp_path) as con:
        con.execute(
            "CREATE TABLE t (k INT, p STRING, PRIMARY KEY (k) NOT ENFORCED) PARTITIONED BY (p) "
            "WITH ('bucket' = '-1', 'merge-engine' = 'first-row')"
        )
        con.execute("INSERT INTO t VALUES (1, 'a')")
        con.execute("INSERT INTO t VALUES (1, 'b')")
        assert con.execute("SELECT * FROM t").fetchall() == [(1, "a")]

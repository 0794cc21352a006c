"""The changelogs that compactions write by comparing: the events of the format's own examples, and by brute force."""

import random
from collections import Counter
from typing import Any

import pytest

import tsdb

KEYED = "CREATE TABLE t (k INT, v STRING, n INT, PRIMARY KEY (k) NOT ENFORCED) WITH ({})"
Event = tuple[Any, ...]


def events(con: tsdb.Connection) -> list[Event]:
    """The stream of the table from its first snapshot on."""
    con.execute("SET 'execution.mode' = 'streaming'")
    con.execute("SET 'scan.bounded.mode' = 'latest'")
    found = con.execute("SELECT * FROM t /*+ OPTIONS('scan.snapshot-id' = '1') */").fetchall()
    con.execute("SET 'execution.mode' = 'batch'")
    return found


def raw_events(con: tsdb.Connection) -> list[list[Event]]:
    """The changelog files as they were written, a list a snapshot that has any."""
    ids = [row[0] for row in con.execute("SELECT snapshot_id FROM `t$snapshots` ORDER BY snapshot_id").fetchall()]
    out = []
    for last in ids:
        hint = f"OPTIONS('incremental-between' = '{last - 1},{last}', 'incremental-between-scan-mode' = 'changelog')"
        rows = con.execute(f"SELECT rowkind, k, v FROM `t$audit_log` /*+ {hint} */").fetchall()
        if rows:
            out.append(sorted(rows, key=lambda row: row[1]))
    return out


def six_commits(con: tsdb.Connection) -> None:
    """c1 … c6 of the example; -U and -D by statements."""
    con.execute("INSERT INTO t VALUES (1, 'a', 0), (2, 'b', 0)")
    con.execute("INSERT INTO t VALUES (1, 'a2', 0), (1, 'a3', 0)")
    con.execute(
        "MERGE INTO t USING (VALUES (1, 'a4'), (2, NULL)) AS s(k, v) ON t.k = s.k "
        "WHEN MATCHED AND s.v IS NULL THEN DELETE WHEN MATCHED THEN UPDATE SET v = s.v"
    )
    con.execute("INSERT INTO t VALUES (1, 'a4', 0)")
    con.execute("INSERT INTO t VALUES (9, 'z', 0)")
    con.execute("CALL sys.compact('t')")


def test_lookup_tells_what_each_commit_changed() -> None:
    with tsdb.connect(":memory:") as con:
        con.execute(KEYED.format("'changelog-producer' = 'lookup'"))
        six_commits(con)
        assert raw_events(con) == [
            [("+I", 1, "a"), ("+I", 2, "b")],
            [("-U", 1, "a"), ("+U", 1, "a3")],
            [("-U", 1, "a3"), ("+U", 1, "a4"), ("-D", 2, "b")],
            [("-U", 1, "a4"), ("+U", 1, "a4")],
            [("+I", 9, "z")],
        ]
        snapshots = con.execute("SELECT commit_kind, changelog_record_count FROM `t$snapshots`").fetchall()
        assert {kind for kind, count in snapshots if count} == {"COMPACT"}


def test_row_deduplicate_leaves_out_what_is_equal() -> None:
    options = "'changelog-producer' = 'lookup', 'changelog-producer.row-deduplicate' = 'true'"
    with tsdb.connect(":memory:") as con:
        con.execute(KEYED.format(options))
        six_commits(con)
        assert [len(part) for part in raw_events(con)] == [2, 2, 3, 1]
    options += ", 'changelog-producer.row-deduplicate-ignore-fields' = 'v'"
    with tsdb.connect(":memory:") as con:
        con.execute(KEYED.format(options))
        six_commits(con)
        assert raw_events(con) == [[("+I", 1, "a"), ("+I", 2, "b")], [("-D", 2, "b")], [("+I", 9, "z")]]


def test_full_compaction_tells_what_it_changed_at_the_top() -> None:
    with tsdb.connect(":memory:") as con:
        con.execute(KEYED.format("'changelog-producer' = 'full-compaction', 'write-only' = 'true'"))
        six_commits(con)
        assert raw_events(con) == [[("+I", 1, "a4"), ("+I", 9, "z")]]
        con.execute("DELETE FROM t WHERE k = 9")
        con.execute("INSERT INTO t VALUES (1, 'b', 0), (3, 'c', 0)")
        con.execute("CALL sys.compact('t')")
        assert raw_events(con)[1:] == [[("-U", 1, "a4"), ("+U", 1, "b"), ("+I", 3, "c"), ("-D", 9, "z")]]


def test_first_row_tells_only_of_new_keys() -> None:
    with tsdb.connect(":memory:") as con:
        con.execute(KEYED.format("'merge-engine' = 'first-row', 'changelog-producer' = 'lookup'"))
        con.execute("INSERT INTO t VALUES (1, 'a', 0), (2, 'b', 0)")
        con.execute("INSERT INTO t VALUES (2, 'c', 0), (3, 'd', 0)")
        assert raw_events(con) == [[("+I", 1, "a"), ("+I", 2, "b")], [("+I", 3, "d")]]


ENGINES = {
    "deduplicate": "'merge-engine' = 'deduplicate'",
    "sequence": "'merge-engine' = 'deduplicate', 'sequence.field' = 'n'",
    "vectors": "'merge-engine' = 'deduplicate', 'deletion-vectors.enabled' = 'true'",
    "sum": "'merge-engine' = 'aggregation', 'fields.n.aggregate-function' = 'sum'",
    "partial": "'merge-engine' = 'partial-update', 'partial-update.remove-record-on-delete' = 'true'",
}


@pytest.mark.parametrize("producer", ["lookup", "full-compaction"])
@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("seed", range(3))
def test_the_changes_add_up_to_the_rows(engine: str, producer: str, seed: int) -> None:
    """By every snapshot that has changes, their sum is the table; a retraction always takes back what was given."""
    if engine == "vectors" and producer == "full-compaction":
        pytest.skip("the two do not go together")
    chance = random.Random(seed)
    with tsdb.connect(":memory:") as con:
        con.execute(KEYED.format(f"'bucket' = '2', 'changelog-producer' = '{producer}', {ENGINES[engine]}"))
        for _ in range(12):
            rows = [(chance.randrange(12), chance.choice("xyz"), chance.randrange(5)) for _ in range(6)]
            con.executemany("INSERT INTO t VALUES (?, ?, ?)", rows)
            if engine != "sum" and chance.random() < 0.4:
                con.execute("DELETE FROM t WHERE k % 5 = ?", (chance.randrange(5),))
            if producer == "full-compaction" or chance.random() < 0.2:
                con.execute("CALL sys.compact('t')")
            bag: Counter[Event] = Counter()
            for kind, *row in events(con):
                bag[tuple(row)] += 1 if kind in ("+I", "+U") else -1
                assert bag[tuple(row)] >= 0
            assert +bag == Counter(con.execute("SELECT * FROM t").fetchall())


@pytest.mark.parametrize("vectors", ["false", "true"])
@pytest.mark.parametrize("seed", range(2))
def test_overwrites_are_changes_too(seed: int, vectors: str) -> None:
    """Rows that replace others are compacted at once, so that the stream has them, once."""
    chance = random.Random(seed)
    options = f"'changelog-producer' = 'lookup', 'bucket' = '2', 'deletion-vectors.enabled' = '{vectors}'"
    with tsdb.connect(":memory:") as con:
        con.execute(
            "CREATE TABLE t (p STRING, k INT, v INT, PRIMARY KEY (p, k) NOT ENFORCED) PARTITIONED BY (p) "
            f"WITH ({options})"
        )
        for i in range(10):
            rows = ", ".join(f"('{chance.choice('ab')}', {chance.randrange(9)}, {i})" for _ in range(4))
            statements = (
                f"INSERT INTO t VALUES {rows}",
                f"INSERT OVERWRITE t VALUES {rows}",
                f"INSERT OVERWRITE t PARTITION (p = 'a') VALUES (1, {i}), (2, {i})",
                "DELETE FROM t WHERE k < 3",
                "CALL sys.compact('t')",
            )
            con.execute(chance.choice(statements))
            bag: Counter[Event] = Counter()
            for kind, *row in events(con):
                bag[tuple(row)] += 1 if kind in ("+I", "+U") else -1
            assert +bag == Counter(con.execute("SELECT * FROM t").fetchall()) and not -bag

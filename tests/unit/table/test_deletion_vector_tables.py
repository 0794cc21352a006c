"""Primary-key tables with deletion vectors: rows are those of a model, files above level 0 are not written anew."""

import random
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from tests.unit.exec.conftest import Asker
from tsdb.errors import CorruptFile, OptionError
from tsdb.metadata.deletion_vector import encode_deletion_vectors
from tsdb.session import open_session
from tsdb.table.index_change import index_entries
from tsdb.table.read import read_table
from tsdb.table.scan import plan_scan
from tsdb.table.stream_scan import StreamScan, read_changes
from tsdb.table.table import Identifier


@pytest.fixture
def ask(tmp_path: Path):
    session = open_session(str(tmp_path), {})
    yield Asker(session)
    session.close()


def table_of(ask: Asker, name: str = "t"):
    return ask.session.names.catalog.get_table(Identifier("default", name))


@pytest.mark.parametrize("bits", ["false", "true"])
@pytest.mark.parametrize(
    "more",
    [
        "'bucket' = '2'",
        "'bucket' = '1', 'sequence.field' = 's'",
        "'bucket' = '1', 'num-sorted-run.compaction-trigger' = '2', 'target-file-size' = '2 kb'",
        "'bucket' = '1', 'changelog-producer' = 'input'",
        "'bucket' = '1', 'changelog-producer' = 'lookup'",
        "'bucket' = '-1'",
    ],
)
def test_statements_against_a_model(ask: Asker, more: str, bits: str) -> None:
    ask.run(
        "CREATE TABLE t (k INT, v STRING, s INT, PRIMARY KEY (k) NOT ENFORCED) "
        f"WITH ('deletion-vectors.enabled' = 'true', 'deletion-vectors.bitmap64' = '{bits}', {more})"
    )
    rng = random.Random(7)
    model: dict[int, tuple[str, int]] = {}
    by_sequence = "sequence" in more
    for step in range(30):
        kind = rng.random()
        if kind < 0.6 or not model:
            new = {rng.randrange(300): (f"v{step}", rng.randrange(50)) for _ in range(rng.randrange(1, 60))}
            ask.run("INSERT INTO t VALUES " + ", ".join(f"({k}, '{v}', {s})" for k, (v, s) in new.items()))
            for key, (value, sequence) in new.items():
                if not by_sequence or key not in model or model[key][1] <= sequence:
                    model[key] = (value, sequence)
        elif kind < 0.8:
            low = rng.randrange(300)
            hit = [key for key in model if low <= key < low + 15]
            assert ask.count(f"DELETE FROM t WHERE k >= {low} AND k < {low + 15}") == len(hit)
            for key in hit:
                del model[key]
        else:
            low = rng.randrange(300)
            hit = [key for key in model if low <= key < low + 30]
            assert ask.count(f"UPDATE t SET v = 'u{step}' WHERE k >= {low} AND k < {low + 30}") == len(hit)
            model |= {key: (f"u{step}", model[key][1]) for key in hit}
        if step == 20:
            ask.rows("CALL sys.compact('default.t')")
        wanted = sorted(((k, v, s) for k, (v, s) in model.items()), key=repr)
        assert ask.bag("SELECT * FROM t") == wanted, step
        assert ask.rows("SELECT count(*) FROM t WHERE v = 'v0'") == [(sum(v == "v0" for _, v, _ in wanted),)]
        if model:
            key = rng.choice(list(model))
            assert ask.rows(f"SELECT v FROM t WHERE k = {key}") == [(model[key][0],)]


def test_an_update_writes_a_vector_and_no_old_file(ask: Asker, tmp_path: Path) -> None:
    ask.run("CREATE TABLE t (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED) "
            "WITH ('deletion-vectors.enabled' = 'true', 'bucket' = '1', 'target-file-size' = '100 kb')")  # fmt: skip
    ask.run("INSERT INTO t SELECT value, 0 FROM generate_series(1, 100000) AS g(value)")
    big = set(ask.rows("SELECT file_path FROM `t$files`"))
    ask.run("INSERT INTO t VALUES (5, 1), (77000, 1), (200000, 1)")
    assert big < set(ask.rows("SELECT file_path FROM `t$files`"))
    assert ask.rows("SELECT count(*), sum(v) FROM t") == [(100001, 3)]
    snapshot = table_of(ask).latest_snapshot()
    (entry,) = index_entries(table_of(ask), snapshot)
    assert sum(r.cardinality or 0 for r in entry.file.deletion_ranges.values()) == 2
    assert [row[0] for row in ask.rows("SELECT commit_kind FROM `t$snapshots` ORDER BY snapshot_id")] == [
        "APPEND", "COMPACT", "APPEND", "COMPACT",
    ]  # fmt: skip
    assert ask.rows("SELECT count(*) FROM t VERSION AS OF 2") == [(100000,)]
    ask.rows("CALL sys.compact('default.t')")
    assert index_entries(table_of(ask), table_of(ask).latest_snapshot()) == []
    assert ask.rows("SELECT count(*), sum(v) FROM t") == [(100001, 3)]
    assert ask.rows("SELECT count(*), sum(v) FROM `t$ro`") == [(100001, 3)]


def test_an_overwrite_is_seen_and_takes_the_vectors_along(ask: Asker) -> None:
    ask.run("CREATE TABLE t (p STRING, k INT, v INT, PRIMARY KEY (p, k) NOT ENFORCED) PARTITIONED BY (p) "
            "WITH ('deletion-vectors.enabled' = 'true', 'bucket' = '1')")  # fmt: skip
    ask.run("INSERT INTO t VALUES ('a', 1, 1), ('a', 2, 2), ('b', 1, 1), ('b', 2, 2)")
    ask.run("INSERT INTO t VALUES ('a', 1, 10), ('b', 1, 10)")
    ask.run("INSERT OVERWRITE t PARTITION (p = 'a') VALUES (5, 5), (6, 6)")
    assert ask.bag("SELECT * FROM t") == [("a", 5, 5), ("a", 6, 6), ("b", 1, 10), ("b", 2, 2)]
    ask.run("INSERT INTO t VALUES ('a', 5, 50)")
    assert ask.bag("SELECT * FROM t WHERE p = 'a'") == [("a", 5, 50), ("a", 6, 6)]


def test_write_only_rows_wait_for_a_compaction(ask: Asker) -> None:
    ask.run("CREATE TABLE t (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED) "
            "WITH ('deletion-vectors.enabled' = 'true', 'bucket' = '1', 'write-only' = 'true')")  # fmt: skip
    ask.run("INSERT INTO t VALUES (1, 1)")
    assert ask.rows("SELECT * FROM t") == []
    ask.rows("CALL sys.compact('default.t')")
    assert ask.rows("SELECT * FROM t") == [(1, 1)]


@pytest.mark.parametrize("engine", ["aggregation', 'fields.v.aggregate-function' = 'sum", "partial-update"])
def test_engines_that_fold(ask: Asker, engine: str) -> None:
    ask.run("CREATE TABLE t (k INT, v INT, w INT, PRIMARY KEY (k) NOT ENFORCED) "
            f"WITH ('deletion-vectors.enabled' = 'true', 'bucket' = '1', 'merge-engine' = '{engine}')")  # fmt: skip
    ask.run("INSERT INTO t SELECT value, 1, NULL FROM generate_series(1, 5000) AS g(value)")
    ask.run("INSERT INTO t VALUES (7, 1, NULL), (8, NULL, 5)")
    ask.run("INSERT INTO t VALUES (7, 1, 6)")
    total = 3 if "sum" in engine else 1
    assert ask.bag("SELECT * FROM t WHERE k IN (7, 8, 9)") == [(7, total, 6), (8, 1, 5), (9, 1, None)]


def test_what_does_not_go_together_is_refused(ask: Asker) -> None:
    for option in ("'changelog-producer' = 'full-compaction'", "'merge-engine' = 'first-row'"):
        with pytest.raises(OptionError, match=r"deletion-vectors\.enabled"):
            ask.run("CREATE TABLE t (k INT, PRIMARY KEY (k) NOT ENFORCED) "
                    f"WITH ('deletion-vectors.enabled' = 'true', {option})")  # fmt: skip


def test_a_table_with_rows_does_not_get_vectors_later(ask: Asker) -> None:
    ask.run("CREATE TABLE t (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '1')")
    ask.run("INSERT INTO t VALUES (1, 1)")
    with pytest.raises(OptionError, match=r"'deletion-vectors\.enabled' cannot be changed"):
        ask.run("ALTER TABLE t SET ('deletion-vectors.enabled' = 'true')")


def test_vectors_of_append_tables_go_with_a_compaction(ask: Asker) -> None:
    ask.run("CREATE TABLE t (k INT) WITH ('deletion-vectors.enabled' = 'true')")
    for start in range(0, 300, 100):
        ask.run(f"INSERT INTO t SELECT value FROM generate_series({start}, {start + 99}) AS g(value)")
    ask.run("DELETE FROM t WHERE k % 10 = 0")
    ask.rows("CALL sys.compact('default.t')")
    assert index_entries(table_of(ask), table_of(ask).latest_snapshot()) == []
    assert ask.rows("SELECT count(*), sum(k) FROM t") == [(270, sum(k for k in range(300) if k % 10))]
    ask.run("DELETE FROM t WHERE k < 50")
    ask.rows("CALL sys.compact('default.t')")
    assert ask.rows("SELECT count(*), min(k) FROM t") == [(225, 51)]
    assert ask.rows("SELECT record_count FROM `t$files`") == [(225,)]


@pytest.mark.parametrize(
    "ddl",
    [
        "(k INT, v INT) WITH ('deletion-vectors.enabled' = 'true'",
        "(k INT, v INT) WITH ('deletion-vectors.enabled' = 'true', 'bucket' = '2', 'bucket-key' = 'k'",
        "(k INT, v INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('deletion-vectors.enabled' = 'true', 'bucket' = '2'",
        "(k INT, v INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('deletion-vectors.enabled' = 'true', 'write-only' = 'true'",
        "(k INT, v INT, PRIMARY KEY (k) NOT ENFORCED) "
        "WITH ('deletion-vectors.enabled' = 'true', 'changelog-producer' = 'lookup'",
    ],
    ids=["append", "bucketed", "keyed", "write-only", "lookup"],
)
def test_a_stream_adds_up_to_the_table_wherever_it_begins(ask: Asker, ddl: str) -> None:
    ask.run(f"CREATE TABLE t {ddl}, 'snapshot.num-retained.min' = '1000')")
    rng = random.Random(3)
    keyed = "KEY (" in ddl
    for step in range(25):
        low = rng.randrange(100)
        keys = rng.sample(range(100), 20)
        if step % 3 == 0:
            ask.run("INSERT INTO t VALUES " + ", ".join(f"({k}, {step})" for k in keys))
        elif step % 3 == 1:
            ask.run(f"DELETE FROM t WHERE k BETWEEN {low} AND {low + 9}")
        elif step == 11:
            ask.run("INSERT OVERWRITE t VALUES (1, 1), (2, 2), (3, 3)")
        elif step == 17 and "write-only" not in ddl:
            ask.rows("CALL sys.compact('default.t')")
        else:
            ask.run(f"UPDATE t SET v = {step} WHERE k BETWEEN {low} AND {low + 5}")
    table = table_of(ask).with_options({"deletion-vectors.merge-on-read": "true"})
    rows = read_table(table, plan_scan(table, table.latest_snapshot())).to_pylist()
    wanted = Counter(tuple(row.values()) for row in rows)
    for start in (-1, *(-i for i in table.snapshots.ids()[1::3])):
        scan = StreamScan(table_of(ask), {}, start)
        state: Counter[tuple[int, ...]] = Counter()
        by_key: dict[int, tuple[int, ...]] = {}
        while (plan := scan.plan()) is not None:
            for batch, kinds in read_changes(table_of(ask), plan):
                for row, kind in zip(batch.to_pylist(), kinds.tolist(), strict=True):
                    values = tuple(row.values())
                    if keyed and kind in (0, 2):
                        by_key[row["k"]] = values
                    elif keyed:
                        by_key.pop(row["k"], None)
                    else:
                        state[values] += 1 if kind in (0, 2) else -1
        found = Counter(by_key.values()) if keyed else +state
        assert found == wanted, start
        assert all(count >= 0 for count in state.values())


def test_rows_without_a_compaction_are_read_where_that_is_asked_for(ask: Asker) -> None:
    for engine in ("deduplicate", "aggregation"):
        more = "'fields.v.aggregate-function' = 'sum', " if engine == "aggregation" else ""
        ask.run(f"CREATE TABLE {engine} (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED) "
                f"WITH ({more}'merge-engine' = '{engine}', 'deletion-vectors.enabled' = 'true', "
                "'deletion-vectors.merge-on-read' = 'true', 'bucket' = '1')")  # fmt: skip
        ask.run(f"INSERT INTO {engine} SELECT value, 1 FROM generate_series(1, 5000) AS g(value)")
        ask.run(f"INSERT INTO {engine} VALUES (5, 2), (6, 2)")
        if engine == "deduplicate":
            ask.run("DELETE FROM deduplicate WHERE k = 6")
        ask.run(f"INSERT INTO {engine} /*+ OPTIONS('write-only' = 'true') */ VALUES (5, 3), (9000, 3)")
        wanted = {"deduplicate": [(5, 3), (9000, 3)], "aggregation": [(5, 6), (6, 3), (9000, 3)]}[engine]
        assert ask.bag(f"SELECT * FROM {engine} WHERE k IN (5, 6, 9000)") == wanted
        assert ask.rows(f"SELECT v FROM {engine} WHERE k = 5") == [wanted[0][1:]]
        assert ask.rows(f"SELECT count(*) FROM {engine}") == [({"deduplicate": 5000, "aggregation": 5001}[engine],)]


def test_a_vector_that_deletes_rows_which_are_none_is_corrupt(ask: Asker, tmp_path: Path) -> None:
    ask.run("CREATE TABLE t (k INT) WITH ('deletion-vectors.enabled' = 'true'); INSERT INTO t VALUES (1), (2)")
    ask.run("DELETE FROM t WHERE k = 1")
    (path,) = (path for path in tmp_path.rglob("index-*") if path.parent.name == "index")
    path.write_bytes(encode_deletion_vectors({"any": np.array([2])}, bits=32)[0])
    for statement in ("SELECT * FROM t", "SELECT count(*) FROM t WHERE k > 0", "CALL sys.compact('default.t')"):
        with pytest.raises(CorruptFile, match=f"{path.name} deletes row 2 of a data file that has 2 rows"):
            ask.rows(statement)

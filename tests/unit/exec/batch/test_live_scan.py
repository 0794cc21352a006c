"""DataFusion scans the files of a primary-key table itself; the rows are those of the merge."""

import random

import pyarrow as pa
import pytest

import tsdb
from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.exec.batch.live_scan import path_ends
from tsdb.fs.local import LocalFileIO
from tsdb.table.live_rows import live_files, may_have_live_files
from tsdb.table.scan import plan_scan
from tsdb.table.table import Identifier

VARIANTS = {
    "plain": "",
    "vectors": ", 'deletion-vectors.enabled' = 'true'",
    "first-row": ", 'merge-engine' = 'first-row'",
    "sequence-field": ", 'sequence.field' = 'v'",
    "uncompacted": ", 'write-only' = 'true'",
}


def _table(warehouse):
    return FileSystemCatalog(LocalFileIO(), str(warehouse)).get_table(Identifier("default", "t"))


def _files(warehouse):
    table = _table(warehouse)
    plan = plan_scan(table, table.latest_snapshot())
    return live_files(table, plan) if may_have_live_files(table, plan) else None


@pytest.mark.parametrize("options", VARIANTS.values(), ids=VARIANTS)
def test_random_upserts_and_deletes(tmp_path, options):
    rng = random.Random(options)
    want: dict[int, tuple[int, str | None]] = {}
    keeps_first, by_value, seen = "first-row" in options, "sequence.field" in options, 0
    with tsdb.connect(tmp_path) as con:
        con.execute(
            f"CREATE TABLE t (k INT, v INT, s STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '2'{options})"
        )
        for _ in range(8):
            rows = {k: (rng.randrange(1000), rng.choice(["a", None, "z"])) for k in rng.sample(range(60), 25)}
            listed = [(k, v, s) for k, (v, s) in rows.items()]
            con.executemany("INSERT INTO t VALUES (?, ?, ?)", listed)
            for k, row in rows.items():
                if k in want and (keeps_first or (by_value and want[k][0] > row[0])):
                    continue
                want[k] = row
            if not keeps_first and not by_value and rng.random() < 0.5:
                gone = rng.randrange(60)
                con.execute("DELETE FROM t WHERE k = ?", (gone,))
                want.pop(gone, None)
            got = con.execute("SELECT k, v, s FROM t ORDER BY k").fetchall()
            assert got == [(k, *want[k]) for k in sorted(want)]
            assert con.execute("SELECT a.k, a.v, b.s FROM t AS a JOIN t AS b USING (k) ORDER BY 1").fetchall() == got
            low = rng.randrange(1000)
            few = con.execute(
                f"SELECT count(*), max(t.v) FROM t JOIN t AS o USING (k) WHERE t.v >= {low} AND o.s IS NOT NULL"
            ).fetchall()
            fit = [v for v, s in want.values() if v >= low and s is not None]
            assert few == [(len(fit), max(fit, default=None))]
            seen += _files(tmp_path) is not None
    assert seen or keeps_first  # whose rows above level 0 need no merging


def test_files_in_which_all_rows_live_and_many_in_which_some_are_dead(tmp_path):
    """More files with dead rows than are a scan each; the rows and the counts are those of the merge."""
    with tsdb.connect(tmp_path) as con:
        con.execute(
            "CREATE TABLE t (p INT, k INT, v INT, PRIMARY KEY (p, k) NOT ENFORCED) PARTITIONED BY (p) "
            "WITH ('bucket' = '1', 'write-only' = 'true')"
        )
        every = pa.table({"p": [p for p in range(40) for _ in range(5)], "k": list(range(5)) * 40})
        con.register("every", every.cast(pa.schema({"p": pa.int32(), "k": pa.int32()})))
        con.execute("INSERT INTO t SELECT p, k, 0 FROM every")
        con.execute("INSERT INTO t SELECT p, k, 1 FROM every WHERE p < 36 AND k = p % 5")
        for filtered in ("", " WHERE t.v + o.k < 9"):
            query = f"SELECT count(*), sum(t.v), sum(o.v) FROM t JOIN t AS o USING (p, k){filtered}"
            assert con.execute(query).fetchone() == (200, 36, 36)
            assert "row_lives_t" in con.execute(f"EXPLAIN ANALYZE {query}").fetchone()[0]
        assert con.execute("SELECT count(*), sum(v) FROM t WHERE v >= 0").fetchone() == (200, 36)


def test_ends_of_paths():
    """As short as tells the files apart, all of one length."""
    assert path_ends(["w/t/bucket-0/data-12.parquet", "w/t/bucket-0/data-13.parquet"]) == [
        "/data-12.parquet", "/data-13.parquet",
    ]  # fmt: skip
    far = path_ends(["w/p=1/bucket-0/data-0.parquet", "w/p=2/bucket-0/data-0.parquet", "data-0.parquet"])
    assert len(set(far)) == 3 and len(set(map(len, far))) == 1


def test_paths_with_all_characters(tmp_path):
    """Rows are found whatever the directories are called."""
    names = ["plain", "a b", "100%", "ö/ü", "x=y", "q?#&+", "%20", "line\nend", "'", '"', "~", "c:\\d", "{}[]*"]
    with tsdb.connect(tmp_path / "wäre house%20") as con:
        con.execute(
            "CREATE TABLE t (p STRING, k INT, v INT, PRIMARY KEY (p, k) NOT ENFORCED) PARTITIONED BY (p) "
            "WITH ('bucket' = '1')"
        )
        for v in range(2):
            for keys in (range(10), range(3, 7)):
                con.executemany("INSERT INTO t VALUES (?, ?, ?)", [(p, k, v) for p in names for k in keys])
        text = con.execute("EXPLAIN ANALYZE SELECT count(*) FROM t JOIN t AS o USING (p, k)").fetchone()[0]
        assert "row_lives_t" in text
        found = con.execute(
            "SELECT p, count(*), sum(t.v), sum(o.v) FROM t JOIN t AS o USING (p, k) GROUP BY p"
        ).fetchall()
        assert sorted(found) == sorted((p, 10, 10, 10) for p in names)


@pytest.mark.parametrize(
    "condition",
    [
        "t.k % 2 = 0", "t.l[1] = 3", "cardinality(t.l) = 1", "t.r.x = 3", "substr(t.r.y, 1, 1) = '3'", "rand() < 2",
        "twice(t.k) > 3", "t.k > (SELECT avg(b.k) FROM t AS b)",
        "t.k IN (SELECT b.k FROM t AS b WHERE b.l[1] > t.k - 1)",
        "EXISTS (SELECT 1 FROM t AS b WHERE b.k = t.k + 1 AND b.r.x < 5)", "t.d > 1.5 AND o.d < 9.5", "t.k = o.d",
        "t.r IS NOT NULL AND t.l IS NOT NULL", "CASE WHEN t.r.x > 3 THEN t.k > 5 ELSE rand() < 2 END",
    ],
)  # fmt: skip
def test_filters_of_all_kinds(tmp_path, condition):
    """What the scan of Parquet files takes and what it does not: as of a table that needs no merging."""
    with tsdb.connect(tmp_path) as con:
        con.create_function("twice", lambda x: None if x is None else 2 * x, ["BIGINT"], "BIGINT", side_effects=True)
        columns = "k INT, v INT, d DOUBLE, r ROW<x INT, y STRING>, l ARRAY<INT>"
        con.execute(f"CREATE TABLE keyed ({columns}, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '1')")
        con.execute(f"CREATE TABLE plain ({columns})")
        rows = "SELECT k, {v}, CAST(k AS DOUBLE), ROW(k, CAST(k AS STRING)), ARRAY[k] FROM numbers"
        con.register("numbers", pa.table({"k": pa.array(range(12), pa.int32())}))
        con.execute(f"INSERT INTO keyed {rows.format(v=0)}")
        con.execute(f"INSERT INTO keyed {rows.format(v=1)} WHERE k % 3 = 0")
        con.execute(f"INSERT INTO plain {rows.format(v='CASE WHEN k % 3 = 0 THEN 1 ELSE 0 END')}")
        found = [
            con.execute(
                f"WITH t AS (SELECT * FROM {name}), o AS (SELECT * FROM {name}) "
                f"SELECT t.k, t.v, o.r.y FROM t JOIN o ON t.k = o.k WHERE {condition} ORDER BY 1"
            ).fetchall()
            for name in ("keyed", "plain")
        ]
        assert found[0] == found[1] and found[0]


def test_join_sides_and_explain(tmp_path):
    """The smaller table is the side that is kept in memory, and EXPLAIN says how the rows come."""
    with tsdb.connect(tmp_path) as con:
        for name, rows in (("small", 10), ("large", 5000)):
            con.execute(f"CREATE TABLE {name} (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '1')")
            con.register(
                "i", pa.table({"k": pa.array(range(rows), pa.int32()), "v": pa.array(range(rows), pa.int32())})
            )
            con.execute(f"INSERT INTO {name} SELECT * FROM i")
            con.execute(f"INSERT INTO {name} VALUES (3, 7)")
        text = con.execute("EXPLAIN ANALYZE SELECT count(*) FROM large JOIN small ON large.k = small.k").fetchone()[0]
        lines = text.splitlines()
        join = next(i for i, line in enumerate(lines) if "HashJoin" in line)
        first_scan = next(line for line in lines[join:] if "DataSourceExec" in line)
        assert "default.db/small/" in first_scan
        assert "large: table default.large" in text and "live rows of Parquet" in text


@pytest.mark.parametrize(
    "query", ["b UNION ALL SELECT id FROM a WHERE x = 1", "b EXCEPT ALL SELECT id FROM a WHERE x = 1"]
)
def test_a_lone_file_that_is_dealt_out_to_threads(query):
    """One of two files is left after pruning; its rows are dealt out before their places are asked for."""
    with tsdb.connect(":memory:") as connection:
        connection.execute("CREATE TABLE b (id INT)")
        connection.execute("INSERT INTO b VALUES (1), (2)")
        connection.execute(
            "CREATE TABLE a (id INT PRIMARY KEY NOT ENFORCED, x INT) "
            "WITH ('deletion-vectors.enabled' = 'true', 'bucket' = '1')"
        )
        connection.execute("INSERT INTO a VALUES (0, 1), (1, 1), (2, 1), (3, 1)")
        connection.execute("INSERT INTO a VALUES (2, 5), (9, 5)")
        rows = sorted(connection.execute(f"SELECT id FROM {query}").fetchall())
        assert rows == ([(0,), (1,), (1,), (2,), (3,)] if "UNION" in query else [(2,)])
        assert "Scan" in connection.execute(f"EXPLAIN ANALYZE SELECT id FROM {query}").fetchone()[0]


def test_strings_of_live_rows(tmp_path):
    """Grouped, compared and joined as views of what is in the files; dead rows' strings take no part."""
    texts = ["", "short", "longer than a view has room for", "longer than a view has room for!", "ä" * 9, None]
    was = {k: texts[k % 6] for k in range(600)}
    now = was | {k: texts[(k + 1) % 6] for k in range(0, 600, 7)}
    with tsdb.connect(tmp_path) as con:
        con.execute("CREATE TABLE t (k INT, s STRING, PRIMARY KEY (k) NOT ENFORCED) WITH ('bucket' = '2')")
        con.executemany("INSERT INTO t VALUES (?, ?)", list(was.items()))
        con.executemany("INSERT INTO t VALUES (?, ?)", [(k, now[k]) for k in range(0, 600, 7)])
        joined = "FROM t JOIN t AS o USING (k)"
        assert "row_lives_t" in con.execute(f"EXPLAIN ANALYZE SELECT t.s, count(*) {joined} GROUP BY t.s").fetchone()[0]
        counted = con.execute(f"SELECT t.s, max(o.s), count(*), count(DISTINCT o.s || 'x') {joined} GROUP BY t.s")
        groups = {text: sum(value == text for value in now.values()) for text in texts}
        assert {row[0]: row[1:] for row in counted.fetchall()} == {
            text: (text, count, int(text is not None)) for text, count in groups.items()
        }
        conditions = {
            "t.s LIKE 'longer%'": lambda s: s.startswith("longer"),
            "t.s > 'short'": lambda s: s > "short",
            "t.s IN ('', 'short')": lambda s: s in ("", "short"),
            "upper(t.s) = o.s": lambda s: s.upper() == s,
            "char_length(o.s) = 9": lambda s: len(s) == 9,
        }
        for condition, fits in conditions.items():
            got = con.execute(f"SELECT k, t.s, CASE WHEN k > 9 THEN o.s END {joined} WHERE {condition} ORDER BY k")
            want = [(k, s, s if k > 9 else None) for k, s in now.items() if s is not None and fits(s)]
            assert got.fetchall() == want, condition

"""What a query does not read: files, buckets and partitions that its filters rule out."""

import re
from typing import Any

import pyarrow as pa
import pytest
from datafusion import SessionContext

from tsdb.exec.batch.dataset import Control, ScanDataset
from tsdb.exec.batch.pushdown import scan_predicates
from tsdb.exec.explain import predicate_text

SCHEMA = pa.schema(
    [
        ("id", pa.int64()),
        ("n", pa.int32()),
        ("name", pa.string()),
        ("price", pa.decimal128(10, 2)),
        ("ts", pa.timestamp("us")),
        ("day", pa.date32()),
        ("ok", pa.bool_()),
    ]
)


def predicates(sql: str, *names: str) -> dict[str, str | None]:
    context = SessionContext()
    for name in names or ("t",):
        context.register_dataset(name, ScanDataset(SCHEMA, list, Control(), 1))
    found = scan_predicates(context.sql(sql).optimized_logical_plan())
    return {name: None if predicate is None else predicate_text(predicate) for name, predicate in found.items()}


@pytest.mark.parametrize(
    ("condition", "text"),
    [
        ("id = 1", "id = 1"),
        ("1 < id", "id > 1"),
        ("n >= 3 AND n < 7", "n >= 3 AND n < 7"),
        ("id IN (1, 2, 3, 4, 5)", "id IN (1, 2, 3, 4, 5)"),
        ("id NOT IN (1, 2, 3, 4, 5)", None),
        ("id = 1 OR (n = 2 AND abs(n) = 3)", "id = 1 OR n = 2"),
        ("id = 1 OR abs(n) = 3", None),
        ("name LIKE 'ab%'", "name STARTS WITH 'ab'"),
        ("name LIKE 'a_b%'", "name STARTS WITH 'a'"),
        ("name NOT LIKE 'ab%'", None),
        ("name IS NULL", "name IS NULL"),
        ("name IS NOT NULL", "name IS NOT NULL"),
        ("ok", "ok = True"),
        ("NOT ok", "ok = False"),
        ("price > 1.5", "price > Decimal('1.50')"),
        ("day = DATE '2024-01-31'", "day = datetime.date(2024, 1, 31)"),
        ("ts < TIMESTAMP '2024-01-31 10:00:00'", "ts < datetime.datetime(2024, 1, 31, 10, 0)"),
        ("upper(name) = 'A'", None),
        ("id = n", None),
    ],
)
def test_filters_become_predicates(condition: str, text: str | None) -> None:
    assert predicates(f"SELECT n FROM t WHERE {condition}") == {"t": text}


def test_each_reference_has_its_own_predicate() -> None:
    sql = 'SELECT a.n FROM t AS a JOIN "t__2" AS b ON a.n = b.n WHERE a.id = 1 AND b.id > 5'
    assert predicates(sql, "t", "t__2") == {"t": "id = 1", "t__2": "id > 5"}


def test_one_reference_scanned_twice_needs_the_rows_of_both() -> None:
    sql = "WITH c AS (SELECT * FROM t) SELECT a.n FROM c a JOIN c b ON a.n = b.n WHERE a.id = 1 AND b.id = 5"
    assert predicates(sql) == {"t": "id = 1 OR id = 5"}


def test_a_scan_inside_a_subquery_expression_is_not_pruned() -> None:
    sql = "WITH c AS (SELECT * FROM t) SELECT n, (SELECT max(n) FROM c) FROM c WHERE id = 1"
    assert predicates(sql) == {"t": None}


def facts(ask: Any, sql: str) -> dict[str, tuple[int, int]]:
    """By relation, files kept and files there are, as EXPLAIN says."""
    text = ask.rows(f"EXPLAIN {sql}")[0][0]
    return {m[1]: (int(m[2]), int(m[3])) for m in re.finditer(r"^(\w+): .*files (\d+) of (\d+)", text, re.MULTILINE)}


def test_partitions_and_buckets_and_statistics_prune(ask: Any) -> None:
    ask.run("CREATE TABLE p (day STRING, k INT, v INT, PRIMARY KEY (day, k) NOT ENFORCED) PARTITIONED BY (day) "
            "WITH ('bucket' = '4')")  # fmt: skip
    ask.session.register("src", pa.table({"k": pa.array(range(200), pa.int32())}))
    for day in "abc":
        ask.run(f"INSERT INTO p SELECT '{day}', k, k FROM src")
    assert facts(ask, "SELECT * FROM p") == {"p": (12, 12)}
    assert facts(ask, "SELECT * FROM p WHERE day = 'b'")["p"][0] == 4
    assert facts(ask, "SELECT * FROM p WHERE day = 'b' AND k = 7")["p"][0] == 1
    assert ask.rows("SELECT v FROM p WHERE day = 'b' AND k = 7") == [(7,)]
    two = "SELECT x.v FROM p x JOIN p y ON x.k = y.k WHERE x.day = 'a' AND y.day = 'c' AND y.k = 9"
    assert {name: kept for name, (kept, _) in facts(ask, two).items()} == {"x": 1, "y": 1}
    assert ask.rows(two) == [(9,)]


def test_append_files_are_pruned_by_statistics(ask: Any) -> None:
    ask.run("CREATE TABLE log (k INT, v STRING)")
    for start in range(0, 50, 10):
        ask.run(f"INSERT INTO log VALUES ({start}, 'a'), ({start + 9}, 'b')")
    assert facts(ask, "SELECT * FROM log WHERE k > 35") == {"log": (2, 5)}
    assert ask.bag("SELECT k FROM log WHERE k > 35") == [(39,), (40,), (49,)]
    assert facts(ask, "SELECT * FROM log WHERE v = 'c'")["log"][0] == 0
    assert ask.rows("SELECT * FROM log WHERE v = 'c'") == []
    assert "raw Parquet" in ask.rows("EXPLAIN SELECT * FROM log")[0][0]


def test_explain_speaks_the_names_of_the_user(ask: Any) -> None:
    ask.run("CREATE TABLE t (k INT, PRIMARY KEY (k) NOT ENFORCED); INSERT INTO t VALUES (1)")
    text = ask.rows("EXPLAIN SELECT * FROM t JOIN t AS u ON t.k = u.k")[0][0]
    assert "t__2" not in text
    analyzed = ask.rows("EXPLAIN ANALYZE SELECT count(*) FROM t")[0][0]
    assert "metrics" in analyzed and "snapshot 1" in analyzed

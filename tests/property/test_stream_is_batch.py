"""A stream is the batch result in motion: whatever is done to the tables, each open cursor adds up to the batch answer.

Random DML (inserts, updates, deletes, overwrites, truncation, compaction) on tables of every kind, in SQL; after each
commit every cursor has given changes that are valid one by one and whose sum is what batch mode says now.
"""

import random
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from streams import canonical

import tsdb

DDL = (
    "CREATE TABLE p (id INT, g STRING, h INT, v DOUBLE, d DECIMAL(10, 2), ts TIMESTAMP(3),"
    " PRIMARY KEY (id) NOT ENFORCED) WITH ('bucket' = '2')",
    "CREATE TABLE i (g STRING, k INT, w BIGINT, PRIMARY KEY (g, k) NOT ENFORCED)"
    " WITH ('bucket' = '2', 'changelog-producer' = 'input')",
    "CREATE TABLE q (pt STRING, k INT, w INT, l ARRAY<INT>, PRIMARY KEY (pt, k) NOT ENFORCED) PARTITIONED BY (pt)",
    "CREATE TABLE a (pt STRING, k INT, s STRING, v DOUBLE) PARTITIONED BY (pt)",
    "CREATE TABLE b (k INT, s STRING, ts TIMESTAMP(3)) WITH ('bucket' = '2', 'bucket-key' = 'k')",
)
STREAMING = {"execution.mode": "streaming"}
STEPS = 9

QUERIES = (
    # rows
    "SELECT * FROM p",
    "SELECT * FROM i",
    "SELECT * FROM q",
    "SELECT * FROM a",
    "SELECT * FROM b",
    "SELECT id, v FROM p WHERE v > 0 AND g IS NOT NULL",
    "SELECT upper(g), h % 2, CASE WHEN v > 1 THEN 'big' WHEN v IS NULL THEN 'none' ELSE 'small' END FROM p",
    "SELECT k, w FROM q WHERE pt = 'x'",
    "SELECT date_format(ts, 'yyyy-MM'), extract(hour FROM ts), coalesce(g, '-') || '!' FROM p",
    "SELECT k, x FROM q CROSS JOIN UNNEST(l) AS t(x)",
    "SELECT 1",
    "VALUES (1, 'a'), (2, NULL)",
    # aggregates
    "SELECT id, EXISTS (SELECT 1 FROM q WHERE q.k = p.h), h IN (SELECT k FROM q WHERE pt = 'x') FROM p",
    "SELECT id, (SELECT count(*) FROM q WHERE q.k < p.h), (SELECT max(k) FROM q WHERE k < p.id AND k <> p.h) FROM p",
    "SELECT count(*), count(g), sum(h), avg(v), min(d), max(ts) FROM p",
    "SELECT g, count(*), sum(v), sum(d), avg(h) FROM p GROUP BY g",
    "SELECT g, min(v), max(v), min(g), max(d), min(ts) FROM p GROUP BY g",
    "SELECT h, count(DISTINCT g), sum(DISTINCT h), count(*) FILTER (WHERE v > 0), max(v) FILTER (WHERE g = 'a') FROM p"
    " GROUP BY h",
    "SELECT h, stddev_samp(v), var_pop(v) FROM p GROUP BY h",
    "SELECT g, h, sum(id), grouping(g) FROM p GROUP BY GROUPING SETS ((g, h), (g), ())",
    "SELECT g, h, count(*) FROM p GROUP BY CUBE (g, h) HAVING count(*) > 1",
    "SELECT n, count(*) FROM (SELECT g, count(*) AS n FROM p GROUP BY g) t GROUP BY n",
    "SELECT DISTINCT s FROM a",
    "SELECT g, listagg(CAST(id AS STRING), ',') WITHIN GROUP (ORDER BY id) FROM p GROUP BY g",
    "SELECT max(w) - min(w) FROM i WHERE g = 'a'",
    "SELECT k % 3 AS m, max(v / 3), sum(v / 3) FROM a GROUP BY 1",
    "SELECT window_start, window_end, count(*), sum(v) FROM TABLE(TUMBLE(TABLE p, DESCRIPTOR(ts), INTERVAL '9' SECOND))"
    " GROUP BY window_start, window_end",
    "SELECT window_start, g, max(v) FROM TABLE(HOP(TABLE p, DESCRIPTOR(ts), INTERVAL '5' SECOND, INTERVAL '10' SECOND))"
    " GROUP BY window_start, g",
    # joins
    "SELECT p.id, i.w FROM p JOIN i ON p.g = i.g AND p.h = i.k",
    "SELECT p.id, i.k, i.w FROM p LEFT JOIN i ON p.g = i.g AND i.w > p.h",
    "SELECT p.id, q.w FROM p RIGHT JOIN q ON p.h = q.k",
    "SELECT p.id, p.h, b.k, b.s FROM p FULL JOIN b ON p.h = b.k",
    "SELECT x.id, y.id FROM p x JOIN p y ON x.g = y.g AND x.id < y.id",
    "SELECT x.id, y.id FROM p x LEFT JOIN p y ON x.h = y.id",
    "SELECT a.k, i.w, q.w FROM a JOIN i ON a.k = i.k LEFT JOIN q ON q.k = i.k AND q.pt = a.pt",
    "SELECT p.id, i.k FROM p CROSS JOIN i WHERE p.h = 1 AND i.k < 2",
    "SELECT t.g, t.n, u.s FROM (SELECT g, count(*) AS n FROM p GROUP BY g) t FULL JOIN"
    " (SELECT g, sum(w) AS s FROM i GROUP BY g) u ON t.g = u.g",
    "SELECT p.id, i.w FROM p JOIN i ON p.g IS NOT DISTINCT FROM i.g WHERE i.k = p.h",
    "SELECT i.g, count(*), sum(p.v) FROM p JOIN i ON p.h = i.k GROUP BY i.g",
    # subqueries
    "SELECT id FROM p WHERE h IN (SELECT k FROM b)",
    "SELECT id FROM p WHERE h NOT IN (SELECT k FROM b)",
    "SELECT id FROM p WHERE EXISTS (SELECT 1 FROM i WHERE i.g = p.g AND i.w > p.h)",
    "SELECT id FROM p WHERE NOT EXISTS (SELECT 1 FROM i WHERE i.g = p.g AND i.k = p.h)",
    "SELECT id, (SELECT max(w) FROM i WHERE i.g = p.g) FROM p",
    "SELECT id, v FROM p WHERE v >= (SELECT avg(v) FROM p)",
    "SELECT id FROM p WHERE h > ALL (SELECT k FROM i WHERE i.g = p.g)",
    # Top-N and windows
    "SELECT id, v FROM p ORDER BY v DESC NULLS LAST, id LIMIT 3",
    "SELECT id, v FROM p ORDER BY id LIMIT 3 OFFSET 2",
    "SELECT g, id FROM (SELECT g, id, row_number() OVER (PARTITION BY g ORDER BY v DESC, id) rn FROM p) t WHERE rn < 3",
    "SELECT g, id, rn FROM (SELECT g, id, row_number() OVER (PARTITION BY g ORDER BY id) AS rn FROM p) t WHERE rn <= 2",
    "SELECT * FROM (SELECT g, k, w, rank() OVER (PARTITION BY g ORDER BY w DESC) AS r FROM i) t WHERE r = 1",
    "SELECT g, id, sum(h) OVER (PARTITION BY g ORDER BY id), lag(id) OVER (PARTITION BY g ORDER BY id) FROM p",
    "SELECT id, avg(v) OVER (ORDER BY id ROWS BETWEEN 1 PRECEDING AND 1 FOLLOWING), lead(h, 2, -1) OVER (ORDER BY id)"
    " FROM p",
    "SELECT id, g, count(*) OVER (), first_value(id) OVER (PARTITION BY g ORDER BY id) FROM p",
    "SELECT id FROM p QUALIFY dense_rank() OVER (PARTITION BY h ORDER BY g NULLS LAST) = 1",
    "SELECT g, s, rank() OVER (ORDER BY s DESC) FROM (SELECT g, sum(w) AS s FROM i GROUP BY g) t",
    # set operations, CTEs
    "SELECT h FROM p UNION ALL SELECT k FROM i",
    "SELECT g FROM p UNION SELECT g FROM i",
    "SELECT g, h FROM p INTERSECT SELECT g, k FROM i",
    "SELECT h FROM p EXCEPT SELECT k FROM b",
    "SELECT k FROM a EXCEPT ALL SELECT k FROM b",
    "SELECT k FROM a INTERSECT ALL SELECT k FROM b",
    "WITH t AS (SELECT g, sum(w) AS s FROM i GROUP BY g) SELECT x.g, y.s FROM t x JOIN t y ON x.s >= y.s",
    "WITH t AS (SELECT h, count(*) AS n FROM p GROUP BY h) SELECT (SELECT max(n) FROM t), count(*) FROM t",
    "SELECT count(*) * 100 / (SELECT count(*) + 1 FROM p) FROM p WHERE h = 1",
)  # fmt: skip


class Tables:
    """Random statements over the tables."""

    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)

    def statement(self) -> str:
        table = self.random.choice("piqab")
        kind = self.random.random()
        if kind < 0.5:
            return f"INSERT INTO {table} VALUES {', '.join(self.row(table) for _ in range(self.random.randint(1, 9)))}"
        if kind < 0.62:
            return self.update(table)
        if kind < 0.74:
            return f"DELETE FROM {table} WHERE {'id' if table == 'p' else 'k'} % 3 = {self.random.randint(0, 2)}"
        if kind < 0.84:
            return f"CALL sys.compact(`table` => 'default.{table}')"
        if kind < 0.87:
            return f"TRUNCATE TABLE {table}"
        rows = ", ".join(self.row(table) for _ in range(self.random.randint(1, 5)))
        return f"INSERT OVERWRITE {table} VALUES {rows}"

    def update(self, table: str) -> str:
        r = self.random
        return {
            "p": f"UPDATE p SET g = {self.text()}, v = v + 0.1 WHERE h = {r.randint(0, 3)}",
            "i": f"UPDATE i SET w = w + 1 WHERE k >= {r.randint(0, 4)}",
            "q": f"UPDATE q SET w = NULL WHERE k = {r.randint(0, 5)}",
            "a": f"UPDATE a SET s = {self.text()} WHERE k = {r.randint(0, 5)}",
            "b": f"UPDATE b SET k = k + 1 WHERE s = {self.text()}",
        }[table]

    def row(self, table: str) -> str:
        r, small = self.random, str(self.random.randint(0, 5))
        time = f"TIMESTAMP '2024-01-01 00:00:{r.randint(0, 59):02}.{r.randint(0, 999):03}'"
        partition = r.choice(["'x'", "'y'"])
        columns = {
            "p": [str(r.randint(0, 15)), self.text(), self.maybe(small), self.number(), self.maybe(f"{small}.25"),
                  self.maybe(time)],
            "i": [r.choice(["'a'", "'b'", "'c'"]), small, self.maybe(str(r.randint(0, 9)))],
            "q": [partition, small, self.maybe(small), r.choice(["NULL", "ARRAY[1, 2]", "ARRAY[3]", "ARRAY[1, NULL]"])],
            "a": [partition, self.maybe(small), self.text(), self.number()],
            "b": [self.maybe(small), self.text(), self.maybe(time)],
        }  # fmt: skip
        return f"({', '.join(columns[table])})"

    def maybe(self, text: str) -> str:
        return "NULL" if self.random.random() < 0.15 else text

    def text(self) -> str:
        return self.random.choice(["'a'", "'b'", "'c'", "NULL"])

    def number(self) -> str:
        return self.random.choice(["0.5", "-1.25", "0.1", "0.2", "1e6", "NULL"])


class Follower:
    """A cursor over a query, and the bag of rows that its changes add up to."""

    def __init__(self, connection: tsdb.Connection, sql: str) -> None:
        self.sql, self.cursor = sql, connection.execute(sql)
        self.bag: Counter[tuple[Any, ...]] = Counter()

    def take_in(self) -> None:
        """Apply the changes up to now, each of which must be possible."""
        for table in self.cursor.poll_until_caught_up(30):
            changes = list(rows(table))
            for at, (op, *row) in enumerate(changes):
                self.bag[tuple(row)] += 1 if op in ("+I", "+U") else -1
                assert self.bag[tuple(row)] >= 0, f"{self.sql}: {op} of a row that is not there: {row}"
                if op == "-U":
                    assert at + 1 < len(changes) and changes[at + 1][0] == "+U", f"{self.sql}: -U without +U: {changes}"
                if op == "+U":
                    assert at and changes[at - 1][0] == "-U", f"{self.sql}: +U without -U: {changes}"
        self.bag = +self.bag


def rows(table: Any) -> Iterator[tuple[Any, ...]]:
    """The rows of an Arrow table, comparable."""
    return zip(*([canonical(value) for value in column.to_pylist()] for column in table.columns), strict=True)


@pytest.mark.parametrize("seed", [1, 2])
def test_every_cursor_adds_up_to_the_batch_result_after_every_commit(tmp_path: Path, seed: int) -> None:
    tables, done = Tables(seed), list(DDL)
    with tsdb.connect(str(tmp_path)) as connection, tsdb.connect(str(tmp_path), options=STREAMING) as streaming:
        for statement in DDL:
            connection.execute(statement)
        followers = [Follower(streaming, sql) for sql in QUERIES]
        for _ in range(STEPS):
            done.append(tables.statement())
            connection.execute(done[-1])
            for follower in followers:
                batch = Counter(rows(connection.execute(follower.sql).fetch_arrow_table()))
                follower.take_in()
                assert follower.bag == batch, ";\n".join([*done, follower.sql])

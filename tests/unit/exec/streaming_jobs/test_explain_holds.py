"""What EXPLAIN CHANGELOG_MODE says of a query holds for the changes that the query gives."""

import random
import re
from collections import Counter
from collections.abc import Callable

import pytest

import tsdb
from tsdb import Connection

DDL = """
CREATE TABLE p (id INT, g STRING, v INT, PRIMARY KEY (id) NOT ENFORCED);
CREATE TABLE r (g STRING, name STRING, PRIMARY KEY (g) NOT ENFORCED) WITH ('changelog-producer' = 'input');
CREATE TABLE a (g STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts);
CREATE TABLE b (g STRING, w INT);
"""
TUMBLE = "TABLE(TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '1' MINUTE))"
RANKED = "SELECT *, row_number() OVER (PARTITION BY g ORDER BY v DESC, {tie}) AS n FROM {table}"
QUERIES = [
    "SELECT g, v FROM a",
    "SELECT id, v FROM p WHERE v > 3",
    "SELECT v, id FROM p",
    "SELECT g, v + 1 FROM p",
    "SELECT g, count(*), sum(v) FROM p GROUP BY g",
    "SELECT g, min(v), max(v) FROM p GROUP BY g",
    "SELECT g, count(DISTINCT v) FROM a GROUP BY g",
    "SELECT count(*) FROM a",
    "SELECT g, count(*) FROM a GROUP BY g HAVING count(*) > 2",
    "SELECT sum(n) FROM (SELECT g, count(*) AS n FROM p GROUP BY g)",
    "SELECT g, v % 2, count(*) FROM p GROUP BY ROLLUP(g, v % 2)",
    "SELECT DISTINCT g FROM a",
    "SELECT DISTINCT g FROM p",
    "SELECT p.id, r.name FROM p JOIN r ON p.g = r.g",
    "SELECT p.id, r.g, r.name FROM p LEFT JOIN r ON p.g = r.g",
    "SELECT p.id, r.g FROM p FULL JOIN r ON p.g = r.g",
    "SELECT a.v, b.w FROM a JOIN b ON a.g = b.g",
    "SELECT a.v, b.w FROM a LEFT JOIN b ON a.g = b.g",
    "SELECT id FROM p WHERE g IN (SELECT g FROM b)",
    "SELECT id FROM p WHERE g NOT IN (SELECT g FROM b)",
    "SELECT id FROM p WHERE EXISTS (SELECT 1 FROM r WHERE r.g = p.g)",
    "SELECT g FROM a WHERE v > (SELECT avg(w) FROM b)",
    "SELECT g FROM a UNION ALL SELECT g FROM b",
    "SELECT g FROM p UNION SELECT g FROM b",
    "SELECT g FROM a INTERSECT SELECT g FROM b",
    "SELECT g FROM p EXCEPT SELECT g FROM b",
    f"SELECT g, id, v FROM ({RANKED.format(tie='id', table='p')}) WHERE n = 1",
    f"SELECT g, id, v FROM ({RANKED.format(tie='id', table='p')}) WHERE n <= 2",
    f"SELECT g, v, n FROM ({RANKED.format(tie='ts', table='a')}) WHERE n <= 2",
    "SELECT id, v FROM p ORDER BY v, id LIMIT 3",
    "SELECT id, sum(v) OVER (PARTITION BY g ORDER BY id) FROM p",
    f"SELECT g, window_start, window_end, count(*) FROM {TUMBLE} GROUP BY g, window_start, window_end",
    f"SELECT window_end, max(v) FROM {TUMBLE} GROUP BY window_start, window_end",
    "SELECT g, v, sum(v) OVER (PARTITION BY g ORDER BY ts) FROM a",
]


def claims(con: Connection, query: str) -> tuple[set[str], list[str] | None]:
    """The kinds of changes and the key that EXPLAIN tells."""
    ((text,),) = con.execute(f"EXPLAIN CHANGELOG_MODE {query}").fetchall()
    assert len(re.findall(r"\[changes [^\]]+; upsert key [^\]]+; state (?:kept|none)\]", text)) >= 1, text
    kinds, key = re.findall(r"kinds: (.*)\nupsert key: (.*)$", text)[0]
    return set(kinds.split()), None if key == "none" else re.findall("`([^`]+)`", key)


def change(con: Connection, rng: random.Random, minute: int) -> None:
    """One commit into one of the tables."""

    def letter() -> str:
        return f"'{rng.choice('xyz')}'"

    def number() -> str:
        return str(rng.randint(1, 6))

    def time() -> str:
        return f"TIMESTAMP '2024-01-01 00:{minute:02}:{rng.randint(10, 50)}'"

    def values(*columns: Callable[[], str]) -> str:
        return ", ".join(f"({', '.join(column() for column in columns)})" for _ in range(rng.randint(1, 3)))

    statements = [
        f"INSERT INTO p VALUES {values(number, letter, number)}",
        f"DELETE FROM p WHERE id = {number()}",
        f"INSERT INTO r VALUES {values(letter, letter)}",
        f"INSERT INTO a VALUES {values(letter, number, time)}",
        f"INSERT INTO b VALUES {values(letter, number)}",
    ]
    con.execute("SET 'execution.mode' = 'batch'")
    con.execute(rng.choice(statements))
    con.execute("SET 'execution.mode' = 'streaming'")


def test_kinds_and_keys_are_those_of_the_changes() -> None:
    rng = random.Random(17)
    with tsdb.connect(options={"execution.mode": "streaming"}) as con:
        con.execute(DDL)
        told = [claims(con, query) for query in QUERIES]
        cursors = [con.cursor().execute(query) for query in QUERIES]
        live: list[Counter[tuple[object, ...]]] = [Counter() for _ in QUERIES]
        for minute in range(24):
            change(con, rng, minute)
            for query, cursor, (kinds, key), bag in zip(QUERIES, cursors, told, live, strict=True):
                for table in cursor.poll_until_caught_up():
                    for op, *row in zip(*(c.to_pylist() for c in table.columns), strict=True):
                        assert op in kinds, (query, op)
                        bag[tuple(row)] += 1 if op in ("+I", "+U") else -1
                assert all(n >= 0 for n in bag.values()), (query, bag)
                if key is not None:
                    at = [cursor.schema.names.index(name) - 1 for name in key]
                    found = Counter(tuple(row[i] for i in at) for row in (+bag).elements())
                    assert all(n == 1 for n in found.values()), (query, key, found)
        con.execute("SET 'execution.mode' = 'batch'")
        for query, bag in zip(QUERIES, live, strict=True):
            if "ts" not in query:
                assert +bag == Counter(map(tuple, con.execute(query).fetchall())), query
        assert sum(bag.total() for bag in live) > 100
        assert {frozenset(kinds) for kinds, _ in told} == {frozenset({"+I"}), frozenset({"+I", "-U", "+U", "-D"})}


def test_a_statement_set_is_explained_statement_by_statement() -> None:
    with tsdb.connect(options={"execution.mode": "streaming"}) as con:
        con.execute(
            DDL + "CREATE TABLE o (g STRING, n BIGINT, PRIMARY KEY (g) NOT ENFORCED); CREATE TABLE c (g STRING)"
        )
        ((text,),) = con.execute(
            "EXPLAIN CHANGELOG_MODE STATEMENT SET BEGIN INSERT INTO o SELECT g, count(*) FROM a GROUP BY g;"
            " INSERT INTO c SELECT g FROM a; END"
        ).fetchall()
        assert text.count("== Dataflow ==") == 2 and "INSERT INTO o" in text and "INSERT INTO c" in text
        con.execute("SET 'execution.mode' = 'batch'")
        assert (
            "INSERT INTO c"
            in con.execute("EXPLAIN EXECUTE STATEMENT SET BEGIN INSERT INTO c VALUES ('x'); END").fetchone()[0]
        )
        with pytest.raises(tsdb.NotSupportedError, match="ANALYZE"):
            con.execute("EXPLAIN ANALYZE STATEMENT SET BEGIN INSERT INTO c VALUES ('x'); END")

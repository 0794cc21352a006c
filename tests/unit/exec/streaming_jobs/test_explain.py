"""EXPLAIN CHANGELOG_MODE: the changes, the key and the state of each operator."""

import pytest

import tsdb

DDL = (
    "CREATE TABLE p (id INT, g STRING, PRIMARY KEY (id) NOT ENFORCED)",
    "CREATE TABLE a (g STRING, v INT, ts TIMESTAMP(3), WATERMARK FOR ts AS ts)",
)
CASES = [
    ("SELECT g, v FROM a", ["changes +I; upsert key none; state none"], "kinds: +I\nupsert key: none"),
    (
        "SELECT g, count(*) FROM a GROUP BY g",
        ["changes +I -U +U -D; upsert key (g); state kept", "changes +I; upsert key none; state none"],
        "kinds: +I -U +U -D\nupsert key: `g`",
    ),
    (
        "SELECT id, g FROM p",
        ["changes +I -U +U -D; upsert key (id); state kept", "changes +I +U -D; upsert key (id); state none"],
        "kinds: +I -U +U -D\nupsert key: `id`",
    ),
    (
        "SELECT window_end, count(*) FROM TABLE(TUMBLE(TABLE a, DESCRIPTOR(ts), INTERVAL '1' MINUTE))"
        " GROUP BY window_start, window_end",
        ["Close window_start, window_end  [changes +I; upsert key (window_start, window_end); state kept]"],
        "kinds: +I\nupsert key: none",
    ),
]


@pytest.mark.parametrize(("query", "operators", "whole"), CASES)
def test_each_operator_says_what_it_emits(query: str, operators: list[str], whole: str) -> None:
    with tsdb.connect(options={"execution.mode": "streaming"}) as con:
        for statement in DDL:
            con.execute(statement)
        ((text,),) = con.execute(f"EXPLAIN CHANGELOG_MODE {query}").fetchall()
    assert all(operator in text for operator in operators), text
    assert text.endswith(whole), text


def test_an_upsert_cursor_leaves_out_the_row_before() -> None:
    with tsdb.connect() as con:
        for statement in DDL:
            con.execute(statement)
        con.execute("SET 'execution.mode' = 'streaming'")
        con.execute("SET 'execution.changelog-mode' = 'upsert'")
        cursor = con.execute("SELECT g, count(*) FROM p GROUP BY g")
        con.execute("INSERT INTO p VALUES (1, 'a')")
        assert cursor.fetchmany(9) == [("+I", "a", 1)]
        con.execute("INSERT INTO p VALUES (2, 'a')")
        assert cursor.fetchmany(9) == [("+U", "a", 2)]
        cursor.close()
        con.execute("SELECT g, v FROM a").close()
        with pytest.raises(tsdb.NotSupportedError, match="has no key"):
            con.execute("SELECT count(*) FROM p GROUP BY g")


def test_an_aggregate_that_stands_twice_is_kept_once() -> None:
    counts = "SELECT g, count(*) AS n FROM p GROUP BY g"
    query = f"SELECT x.g FROM ({counts}) x JOIN (SELECT max(n) AS n FROM ({counts}) y) z ON x.n = z.n"
    with tsdb.connect() as con:
        for statement in DDL:
            con.execute(statement)
        con.execute("SET 'execution.mode' = 'streaming'")
        con.execute("CREATE TABLE o (g STRING, PRIMARY KEY (g) NOT ENFORCED)")
        con.execute(f"INSERT INTO o {query}")
        (job,) = con.jobs()
        con.execute("INSERT INTO p VALUES (1, 'a'), (2, 'a'), (3, 'b')")
        job.checkpoint()
        operators = [o["operator"] for o in job.metrics()["operators"]["operators"]]
        assert sum("groupBy=[[p" in operator for operator in operators) == 1, operators
        con.execute("SET 'execution.mode' = 'batch'")
        assert con.execute("SELECT * FROM o").fetchall() == con.execute(query).fetchall() == [("a",)]
        job.stop()

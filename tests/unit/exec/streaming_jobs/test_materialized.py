"""Materialized tables: kept by a job, or filled on request."""

import random
import subprocess
import sys
import time
from pathlib import Path

import pytest

import tsdb
from tsdb import Connection

DDL = """
CREATE TABLE orders (id INT, customer STRING, amount INT, PRIMARY KEY (id) NOT ENFORCED)
  WITH ('changelog-producer' = 'input');
INSERT INTO orders VALUES (1, 'ann', 10), (2, 'bob', 20);
"""
TOTALS = "SELECT customer, sum(amount) AS total FROM orders GROUP BY customer"
CREATE_TOTALS = f"CREATE MATERIALIZED TABLE totals FRESHNESS = INTERVAL '1' SECOND AS {TOTALS}"
LARGE = "SELECT customer, total FROM totals WHERE total > 15"
CREATE_LARGE = f"CREATE MATERIALIZED TABLE large FRESHNESS = INTERVAL '1' SECOND AS {LARGE}"


@pytest.fixture
def con(tmp_path: Path):
    with tsdb.connect(str(tmp_path)) as connection:
        connection.execute(DDL)
        yield connection


def rows(con: Connection, query: str) -> list[tuple[object, ...]]:
    return sorted(con.execute(query).fetchall(), key=str)


def refresh(con: Connection, *tables: str) -> None:
    for table in tables:
        con.execute(f"ALTER MATERIALIZED TABLE {table} REFRESH")


def test_a_chain_follows_its_source(con: Connection) -> None:
    for statement in (CREATE_TOTALS, CREATE_LARGE):
        con.execute(statement)
    for change in ("INSERT INTO orders VALUES (3, 'ann', 10)", "DELETE FROM orders WHERE id = 2", "DELETE FROM orders"):
        con.execute(change)
        refresh(con, "totals", "large")
        assert rows(con, "SELECT * FROM totals") == rows(con, TOTALS)
        assert rows(con, "SELECT * FROM large") == rows(con, LARGE)
    assert [name for (name,) in rows(con, "SHOW TABLES")] == ["large", "orders", "totals"]


def test_the_key_is_found_or_asked_for(con: Connection) -> None:
    con.execute(CREATE_TOTALS)
    assert "PRIMARY KEY (`customer`)" in con.execute("SHOW CREATE TABLE totals").fetchone()[0]
    con.execute("CREATE TABLE log (a INT); INSERT INTO log VALUES (1), (1)")
    con.execute("CREATE MATERIALIZED TABLE copy AS SELECT a + 1 AS b FROM log")
    refresh(con, "copy")
    assert rows(con, "SELECT * FROM copy") == [(2,), (2,)]
    with pytest.raises(tsdb.NotSupportedError, match="give the key"):
        con.execute("CREATE MATERIALIZED TABLE t AS SELECT amount FROM orders")
    con.execute("CREATE MATERIALIZED TABLE t (k, n, PRIMARY KEY (k) NOT ENFORCED) AS SELECT 1, count(*) FROM orders")
    refresh(con, "t")
    assert rows(con, "SELECT k, n FROM t") == [(1, 2)]


def test_it_is_suspended_and_resumed_also_by_another_process(con: Connection, tmp_path: Path) -> None:
    con.execute(CREATE_TOTALS)
    refresh(con, "totals")
    with tsdb.connect(str(tmp_path)) as other:
        with pytest.raises(tsdb.ProgrammingError, match="already running"):
            other.execute("ALTER MATERIALIZED TABLE totals RESUME")
        with pytest.raises(tsdb.ProgrammingError, match="runs in this process; REFRESH it there"):
            refresh(other, "totals")
        assert other.execute("SHOW MATERIALIZED TABLES").fetchall()[0][:5] == (
            "totals", "CONTINUOUS", "1 second", "RUNNING", "this process",
        )  # fmt: skip
        other.execute("ALTER MATERIALIZED TABLE totals SUSPEND")
        assert con.execute("SHOW MATERIALIZED TABLES").fetchall()[0][3:5] == ("SUSPENDED", None)
        with pytest.raises(tsdb.ProgrammingError, match="does not run; ALTER MATERIALIZED TABLE … RESUME first"):
            refresh(con, "totals")
        con.execute("INSERT INTO orders VALUES (3, 'cat', 1)")
        other.execute("ALTER MATERIALIZED TABLE totals RESUME")
        refresh(other, "totals")
        assert other.jobs()[0].metrics()["rows_in"] == 3, "it went on where it was"
        assert rows(other, "SELECT * FROM totals") == rows(other, TOTALS)


def test_a_job_whose_state_is_lost_begins_with_an_empty_table(con: Connection) -> None:
    con.execute(CREATE_TOTALS)
    refresh(con, "totals")
    con.execute("ALTER MATERIALIZED TABLE totals SUSPEND; DROP JOB 'materialized-table_default.totals'")
    con.execute("DELETE FROM orders WHERE id = 2; ALTER MATERIALIZED TABLE totals RESUME")
    refresh(con, "totals")
    assert rows(con, "SELECT * FROM totals") == [("ann", 10)]


def test_full_refresh_replaces_all_or_one_partition(con: Connection) -> None:
    query = "SELECT customer, count(*) AS n, sum(amount) AS total FROM orders GROUP BY customer"
    con.execute(f"CREATE MATERIALIZED TABLE f PARTITIONED BY (customer) REFRESH_MODE = FULL AS {query}")
    first = rows(con, "SELECT * FROM f")
    assert first == rows(con, query)
    con.execute("INSERT INTO orders VALUES (3, 'ann', 1), (4, 'bob', 1); DELETE FROM orders WHERE id IN (1, 2)")
    con.execute("ALTER MATERIALIZED TABLE f REFRESH PARTITION (customer = 'ann')")
    assert rows(con, "SELECT * FROM f") == [("ann", 1, 1), ("bob", 1, 20)]
    con.execute("DELETE FROM orders WHERE id = 3")
    refresh(con, "f")
    assert rows(con, "SELECT * FROM f") == [("bob", 1, 1)]
    assert con.execute("SHOW MATERIALIZED TABLES").fetchall()[0][:4] == ("f", "FULL", None, "ON REQUEST")
    assert con.execute("SHOW JOBS").fetchall() == []


def test_show_create_makes_it_again(con: Connection) -> None:
    con.execute("CREATE MATERIALIZED TABLE m (who, total, PRIMARY KEY (who) NOT ENFORCED) COMMENT 'it''s'"
                f" WITH ('bucket' = '2') FRESHNESS = INTERVAL '2' MINUTES AS {TOTALS}")  # fmt: skip
    text = con.execute("SHOW CREATE MATERIALIZED TABLE m").fetchone()[0]
    refresh(con, "m")
    before = rows(con, "SELECT * FROM m")
    con.execute("DROP MATERIALIZED TABLE m")
    con.execute(text)
    assert con.execute("SHOW CREATE TABLE m").fetchone()[0] == text and "INTERVAL '2' MINUTE\n" in text
    refresh(con, "m")
    assert rows(con, "SELECT * FROM m") == before == [("ann", 10), ("bob", 20)]


BY_HAND = [
    "INSERT INTO totals VALUES ('x', 1)",
    "INSERT OVERWRITE totals VALUES ('x', 1)",
    "UPDATE totals SET total = 1",
    "DELETE FROM totals",
    "MERGE INTO totals USING orders ON totals.customer = orders.customer WHEN MATCHED THEN DELETE",
    "TRUNCATE TABLE totals",
    "ALTER TABLE totals ADD x INT",
    "ALTER TABLE totals RENAME TO other",
    "ALTER TABLE totals SET ('materialized-table.definition-query' = 'SELECT 1')",
    "DROP TABLE totals",
    "DROP TABLE orders, totals",
    "CREATE OR REPLACE TABLE totals (a INT)",
    "EXECUTE STATEMENT SET BEGIN INSERT INTO totals VALUES ('x', 1); END",
    "SET 'execution.mode' = 'streaming'; INSERT INTO totals SELECT customer, 1 FROM orders",
]


def test_what_is_done_by_hand_is_refused(con: Connection) -> None:
    con.execute(CREATE_TOTALS)
    refresh(con, "totals")
    before = [rows(con, text) for text in ("SHOW TABLES", "SHOW CREATE TABLE totals", "SELECT * FROM totals")]
    for statement in BY_HAND:
        with pytest.raises(tsdb.Error, match="is a materialized table"):
            con.execute(statement)
        con.execute("SET 'execution.mode' = 'batch'")
        after = [rows(con, text) for text in ("SHOW TABLES", "SHOW CREATE TABLE totals", "SELECT * FROM totals")]
        assert after == before, statement
    assert len(rows(con, "SHOW JOBS")) == 1


def test_options_may_change_and_like_makes_a_plain_table(con: Connection) -> None:
    con.execute(CREATE_TOTALS)
    con.execute("ALTER TABLE totals SET ('snapshot.num-retained.max' = '50'); CREATE TABLE plain LIKE totals")
    con.execute("INSERT INTO plain VALUES ('x', 1)")
    assert "MATERIALIZED" not in con.execute("SHOW CREATE TABLE plain").fetchone()[0]


@pytest.mark.parametrize(
    ("statement", "message"),
    [
        ("CREATE MATERIALIZED TABLE t AS SELECT nope FROM orders", "nope"),
        ("CREATE MATERIALIZED TABLE t (a) AS SELECT customer, sum(amount) FROM orders GROUP BY customer", "1 columns"),
        ("CREATE MATERIALIZED TABLE t AS SELECT now() AS n, id FROM orders", "now"),
        ("CREATE MATERIALIZED TABLE t AS SELECT * FROM here", "temporary or registered"),
        (
            "CREATE MATERIALIZED TABLE t FRESHNESS = INTERVAL '0' SECOND AS SELECT * FROM orders",
            "positive whole number",
        ),
        ("CREATE MATERIALIZED TABLE t REFRESH_MODE = SOON AS SELECT * FROM orders", "CONTINUOUS or FULL"),
        ("CREATE MATERIALIZED TABLE orders AS SELECT * FROM orders", "exists"),
        ("CREATE MATERIALIZED VIEW t AS SELECT 1", "MATERIALIZED TABLE"),
        ("CREATE MATERIALIZED TABLE t REFRESH_MODE = FULL AS SELECT 1 / (id - 1) AS x FROM orders", "ivi"),
        ("ALTER MATERIALIZED TABLE orders SUSPEND", "no materialized table"),
        ("ALTER MATERIALIZED TABLE nope SUSPEND", "does not exist"),
        ("DROP MATERIALIZED TABLE orders", "no materialized table"),
        ("SHOW CREATE MATERIALIZED TABLE orders", "no materialized table"),
    ],
)
def test_what_cannot_be_says_why_and_leaves_nothing(con: Connection, statement: str, message: str) -> None:
    con.register("here", con.execute("SELECT 1 AS a").fetch_arrow_table())
    with pytest.raises(tsdb.Error, match=message):
        con.execute(statement)
    assert rows(con, "SHOW JOBS") == []
    assert "t" not in [name for (name,) in rows(con, "SHOW TABLES")]
    con.execute("DROP MATERIALIZED TABLE IF EXISTS t")


def test_a_job_that_fails_says_why_in_show_materialized_tables(con: Connection) -> None:
    con.execute(CREATE_TOTALS)
    con.execute("INSERT INTO orders VALUES (3, NULL, 1)")
    with pytest.raises(tsdb.JobFailed, match="customer"):
        refresh(con, "totals")
    (found,) = con.execute("SHOW MATERIALIZED TABLES").fetchall()
    assert found[3] == "FAILED" and "customer" in found[6]
    con.execute("DELETE FROM orders WHERE id = 3")
    con.execute("DROP MATERIALIZED TABLE totals")
    con.execute(CREATE_TOTALS)
    refresh(con, "totals")
    assert rows(con, "SELECT * FROM totals") == rows(con, TOTALS)


RUN = """
import sys, time, tsdb
con = tsdb.connect(sys.argv[1])
for table in ("totals", "large"):
    con.execute(f"ALTER MATERIALIZED TABLE {table} RESUME")
print("running", flush=True)
time.sleep(60)
"""


def test_a_chain_whose_process_is_killed_again_and_again_settles_right(con: Connection, tmp_path: Path) -> None:
    rng = random.Random(5)
    con.execute("SET 'execution.checkpointing.interval' = '10 ms'")
    con.execute(CREATE_TOTALS.replace("FRESHNESS = INTERVAL '1' SECOND", ""))
    con.execute(CREATE_LARGE.replace("FRESHNESS = INTERVAL '1' SECOND", ""))
    for table in ("totals", "large"):
        con.execute(f"ALTER MATERIALIZED TABLE {table} SUSPEND")
    setting = "con.execute(\"SET 'execution.checkpointing.interval' = '10 ms'\")"
    script = RUN.replace("for table", f"{setting}\nfor table")
    for _ in range(3):
        with subprocess.Popen([sys.executable, "-c", script, str(tmp_path)], stdout=subprocess.PIPE, text=True) as run:
            assert run.stdout is not None and run.stdout.readline() == "running\n"
            for _ in range(4):
                values = ", ".join(f"({rng.randint(1, 9)}, '{rng.choice('abc')}', {rng.randint(1, 20)})" for _ in "123")
                con.execute(f"INSERT INTO orders VALUES {values}; DELETE FROM orders WHERE id = {rng.randint(1, 9)}")
                time.sleep(rng.random() * 0.05)
            run.kill()
        assert {row[3] for row in con.execute("SHOW MATERIALIZED TABLES").fetchall()} == {"LOST"}
    for table in ("totals", "large"):
        con.execute(f"ALTER MATERIALIZED TABLE {table} RESUME")
        refresh(con, table)
    assert rows(con, "SELECT * FROM totals") == rows(con, TOTALS)
    assert rows(con, "SELECT * FROM large") == rows(con, LARGE)

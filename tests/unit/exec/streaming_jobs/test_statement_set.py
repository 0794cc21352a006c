"""EXECUTE STATEMENT SET: several INSERTs as one job, or as one batch."""

import random
from collections import Counter
from pathlib import Path

import pytest

import tsdb
from tsdb import Connection
from tsdb.exec.streaming.job import Job

DDL = """
CREATE TABLE moves (id BIGINT, account STRING, amount BIGINT);
CREATE TABLE balances (account STRING, total BIGINT, PRIMARY KEY (account) NOT ENFORCED)
  WITH ('changelog-producer' = 'input');
CREATE TABLE counts (account STRING, n BIGINT, PRIMARY KEY (account) NOT ENFORCED)
  WITH ('changelog-producer' = 'input');
CREATE TABLE large (id BIGINT, amount BIGINT);
"""
BALANCES = "SELECT account, sum(amount) FROM moves GROUP BY account"
COUNTS = "SELECT account, count(*) FROM moves GROUP BY account"
LARGE = "SELECT id, amount FROM moves WHERE amount > 5"
INSERTS = f"INSERT INTO balances {BALANCES}; INSERT INTO counts {COUNTS}; INSERT INTO large {LARGE};"
SET = f"EXECUTE STATEMENT SET BEGIN {INSERTS} END"
STREAM = "SET 'execution.mode' = 'streaming'; SET 'execution.checkpointing.interval' = '0 ms'"


@pytest.fixture
def con(tmp_path: Path):
    with tsdb.connect(str(tmp_path)) as connection:
        connection.execute(DDL)
        yield connection


def rows(con: Connection, query: str) -> list[tuple[object, ...]]:
    con.execute("SET 'execution.mode' = 'batch'")
    return sorted(con.execute(query).fetchall(), key=str)


def check_equal_to_batch(con: Connection) -> None:
    for table, query in (("balances", BALANCES), ("counts", COUNTS), ("large", LARGE)):
        assert rows(con, f"SELECT * FROM {table}") == rows(con, query), table


def only_job(con: Connection) -> Job:
    (job,) = con.jobs()
    return job


@pytest.mark.parametrize("text", [SET, f"BEGIN STATEMENT SET; {INSERTS} END;"], ids=["execute", "begin"])
def test_a_set_is_one_job_that_reads_its_source_once(con: Connection, text: str) -> None:
    con.execute("INSERT INTO moves VALUES (1, 'ann', 10), (2, 'bob', -10)")
    con.execute(STREAM)
    con.execute(text)
    job = only_job(con)
    assert job.name == "insert-into_default.balances,default.counts,default.large"
    job.checkpoint(20)
    con.execute("SET 'execution.mode' = 'batch'; INSERT INTO moves VALUES (3, 'ann', 7)")
    job.checkpoint(20)
    check_equal_to_batch(con)
    assert job.metrics()["rows_in"] == 3
    described = dict(con.execute(f"DESCRIBE JOB '{job.name}'").fetchall())
    assert {name for name in described if name.startswith("position")} == {"position in 0/moves"}
    assert "EXECUTE STATEMENT SET BEGIN INSERT INTO" in described["query"]


def test_both_forms_go_on_as_the_same_job(con: Connection) -> None:
    con.execute(STREAM)
    con.execute(SET)
    job = only_job(con)
    job.checkpoint(20)
    job.stop()
    con.execute(f"BEGIN STATEMENT SET; {INSERTS} END;")
    assert only_job(con).id == job.id
    with pytest.raises(tsdb.ProgrammingError, match="another query"):
        con.execute(f"SET 'pipeline.name' = '{job.name}'; EXECUTE STATEMENT SET BEGIN INSERT INTO large {LARGE}; END")


def versions(con: Connection, table: str) -> list[Counter[tuple[object, ...]]]:
    """The rows of a table after each of its snapshots."""
    return [
        Counter(rows(con, f"SELECT * FROM {table} /*+ OPTIONS('scan.snapshot-id' = '{n}') */"))
        for (n,) in rows(con, f"SELECT snapshot_id FROM `{table}$snapshots` ORDER BY 1")
    ]


def test_money_that_is_moved_is_in_every_version_of_every_sink(con: Connection) -> None:
    """Each commit moves an amount between two accounts; every snapshot of every sink belongs to a whole commit."""
    rng = random.Random(3)
    con.execute("INSERT INTO moves VALUES (0, 'a', 50), (0, 'b', 50)")
    con.execute(STREAM)
    con.execute(SET)
    con.execute("SET 'execution.mode' = 'batch'")
    for number in range(1, 8):
        amount = rng.randint(1, 9)
        con.execute(f"INSERT INTO moves VALUES ({number}, 'a', {amount}), ({number}, 'b', {-amount})")
        if number % 3 == 0:
            only_job(con).checkpoint(20)
    only_job(con).checkpoint(20)
    only_job(con).stop()
    check_equal_to_batch(con)
    balances, counts = versions(con, "balances"), versions(con, "counts")
    assert len(balances) == len(counts) >= 3
    for money, number in zip(balances, counts, strict=True):
        assert sum(total for _, total in money) == 100
        assert len({n for _, n in number}) == 1, "both accounts have as many moves"


def test_a_constant_query_may_stand_in_a_set(con: Connection) -> None:
    con.execute(STREAM)
    con.execute(f"EXECUTE STATEMENT SET BEGIN INSERT INTO large VALUES (7, 8); INSERT INTO counts {COUNTS}; END")
    only_job(con).checkpoint(20)
    only_job(con).stop()
    assert rows(con, "SELECT * FROM large") == [(7, 8)]


def test_bounded_sources_end_the_job_and_windows_close_for_each_statement(con: Connection) -> None:
    con.execute(
        "CREATE TABLE clicks (page STRING, ts TIMESTAMP(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND);"
        "CREATE TABLE per_minute (page STRING, ws TIMESTAMP(3), n BIGINT); CREATE TABLE pages (page STRING);"
        "INSERT INTO clicks VALUES ('a', TIMESTAMP '2024-01-01 10:00:01'), ('a', TIMESTAMP '2024-01-01 10:01:10')"
    )
    con.execute(STREAM + "; SET 'scan.bounded.mode' = 'latest'")
    con.execute(
        "EXECUTE STATEMENT SET BEGIN INSERT INTO per_minute SELECT page, window_start, count(*) FROM "
        "TABLE(TUMBLE(TABLE clicks, DESCRIPTOR(ts), INTERVAL '1' MINUTE)) GROUP BY page, window_start, window_end;"
        "INSERT INTO pages SELECT page FROM clicks; END"
    )
    only_job(con).wait(20)
    assert only_job(con).status == "FINISHED"
    assert [row[2] for row in rows(con, "SELECT * FROM per_minute")] == [1, 1]
    assert rows(con, "SELECT * FROM pages") == [("a",), ("a",)]


def test_one_append_table_takes_several_statements(con: Connection) -> None:
    con.execute("INSERT INTO moves VALUES (1, 'ann', 10), (2, 'bob', 3)")
    con.execute(STREAM)
    con.execute(
        f"EXECUTE STATEMENT SET BEGIN INSERT INTO large {LARGE}; INSERT INTO large SELECT -id, 0 FROM moves; END"
    )
    only_job(con).checkpoint(20)
    only_job(con).stop()
    assert rows(con, "SELECT * FROM large") == [(-1, 0), (-2, 0), (1, 10)]


def test_columns_of_a_partial_update_table_come_from_several_statements(con: Connection) -> None:
    con.execute(
        "CREATE TABLE wide (account STRING, total BIGINT, n BIGINT, PRIMARY KEY (account) NOT ENFORCED)"
        " WITH ('merge-engine' = 'partial-update', 'ignore-delete' = 'true', 'bucket' = '1')"
    )
    con.execute("INSERT INTO moves VALUES (1, 'ann', 10), (2, 'bob', 3), (3, 'ann', 4)")
    con.execute(STREAM)
    con.execute(
        f"EXECUTE STATEMENT SET BEGIN INSERT INTO wide (account, total) {BALANCES};"
        f" INSERT INTO wide (account, n) {COUNTS}; END"
    )
    only_job(con).checkpoint(20)
    con.execute("SET 'execution.mode' = 'batch'; INSERT INTO moves VALUES (4, 'ann', 1)")
    only_job(con).checkpoint(20)
    only_job(con).stop()
    assert rows(con, "SELECT * FROM wide") == [("ann", 15, 3), ("bob", 3, 1)]


@pytest.mark.parametrize("mode", ["batch", "streaming"])
@pytest.mark.parametrize(
    ("statements", "message"),
    [
        (f"INSERT INTO balances {BALANCES}; INSERT INTO balances {COUNTS};", "2 statements of the statement set write"),
        (f"INSERT INTO large {LARGE}; INSERT INTO nowhere {COUNTS};", "nowhere"),
        (f"INSERT INTO large {LARGE}; INSERT INTO counts SELECT 1, 2, 3;", "column"),
    ],
    ids=["one keyed table twice", "no such table", "columns"],
)
def test_what_is_refused_is_refused_before_anything_is_written(
    con: Connection, mode: str, statements: str, message: str
) -> None:
    con.execute("INSERT INTO moves VALUES (1, 'ann', 10)")
    con.execute(f"SET 'execution.mode' = '{mode}'")
    with pytest.raises(tsdb.Error, match=message):
        con.execute(f"EXECUTE STATEMENT SET BEGIN {statements} END")
    assert not con.jobs() and con.execute("SHOW JOBS").fetchall() == []
    assert rows(con, "SELECT * FROM large") == []


def test_in_batch_mode_all_statements_see_the_tables_as_they_were(con: Connection) -> None:
    con.execute("INSERT INTO moves VALUES (1, 'ann', 10)")
    cursor = con.execute(
        "EXECUTE STATEMENT SET BEGIN INSERT INTO moves SELECT id + 1, account, amount FROM moves;"
        f"INSERT INTO counts {COUNTS}; INSERT INTO large {LARGE}; END"
    )
    assert cursor.rowcount == 3
    assert rows(con, "SELECT * FROM counts") == [("ann", 1)]
    assert rows(con, "SELECT id FROM moves") == [(1,), (2,)]


def test_in_batch_mode_a_statement_that_fails_leaves_the_others_out(con: Connection, tmp_path: Path) -> None:
    con.execute("INSERT INTO moves VALUES (1, NULL, 10)")
    before = {path.name for path in tmp_path.rglob("*.parquet")}
    with pytest.raises(tsdb.Error, match="account"):
        con.execute(f"EXECUTE STATEMENT SET BEGIN INSERT INTO large {LARGE}; INSERT INTO counts {COUNTS}; END")
    assert rows(con, "SELECT * FROM large") == [] == rows(con, "SELECT * FROM counts")
    assert {path.name for path in tmp_path.rglob("*.parquet")} == before

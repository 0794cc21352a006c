"""Several warehouses in one session, and what SHOW CREATE gives: SQL that makes the same again."""

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import tsdb


def test_two_warehouses_on_disk_are_joined_and_stay_when_their_names_go(tmp_path: Path) -> None:
    with tsdb.connect(tmp_path / "b") as con:
        con.execute("CREATE TABLE t (k INT, v STRING); INSERT INTO t VALUES (1, 'b')")
    with tsdb.connect(tmp_path / "a") as con:
        con.execute("CREATE TABLE t (k INT, v STRING); INSERT INTO t VALUES (1, 'a')")
        con.execute(f"ATTACH '{tmp_path / 'b'}'")
        query = "SELECT x.v, y.v FROM t AS x JOIN b.default.t AS y ON x.k = y.k"
        assert con.execute(query).fetchall() == [("a", "b")]
        con.execute("SET 'execution.mode' = 'streaming'; SET 'scan.bounded.mode' = 'latest'")
        assert con.execute(query).fetchall() == [("+I", "a", "b")]
        con.execute("RESET; DETACH b")
        with pytest.raises(tsdb.errors.CatalogNotFound):
            con.execute(query)
    with tsdb.connect(tmp_path / "a") as con:
        assert con.execute("SHOW CATALOGS").fetchall() == [("default_catalog",)]  # names are of a session
        con.execute(f"CREATE CATALOG c WITH ('type' = 'paimon', 'warehouse' = '{tmp_path / 'b'}')")
        assert con.execute("SELECT * FROM c.default.t").fetchall() == [(1, "b")]


def test_a_job_is_refused_tables_of_another_catalog() -> None:
    with tsdb.connect() as con:
        con.execute("CREATE CATALOG c WITH ('type' = 'generic_in_memory'); CREATE TABLE c.default.t (k INT)")
        con.execute("CREATE TABLE t (k INT); SET 'execution.mode' = 'streaming'")
        for sql in ("INSERT INTO c.default.t SELECT * FROM t", "INSERT INTO t SELECT * FROM c.default.t"):
            with pytest.raises(tsdb.NotSupportedError, match="another catalog"):
                con.execute(sql)


NAMES = st.text("ab Z_9ä`'", min_size=1, max_size=5).filter(lambda name: name.strip() and not name.startswith("."))
TEXTS = st.text("x'`\"\\;-ü\n", max_size=6)
TYPES = st.sampled_from(
    ["INT", "STRING", "DECIMAL(12, 3)", "TIMESTAMP(3)", "TIMESTAMP_LTZ(6)", "ARRAY<INT>", "MAP<STRING, BIGINT>",
     "ROW<a INT, b ROW<`c d` STRING>>", "VARCHAR(7)", "CHAR(3)", "BYTES", "DATE", "TIME(3)", "DOUBLE", "MULTISET<INT>"]
)  # fmt: skip


def _name(text: str) -> str:
    return "`" + text.replace("`", "``") + "`"


def _text(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


@st.composite
def tables(draw: st.DrawFn) -> str:
    names = draw(st.lists(NAMES, min_size=2, max_size=5, unique_by=str.lower))
    columns = [f"{_name(names[0])} INT NOT NULL"]
    for name in names[1:]:
        comment = f" COMMENT {_text(draw(TEXTS))}" if draw(st.booleans()) else ""
        columns.append(f"{_name(name)} {draw(TYPES)}{draw(st.sampled_from(['', ' NOT NULL']))}{comment}")
    if draw(st.booleans()):
        columns.append(f"PRIMARY KEY ({_name(names[0])}) NOT ENFORCED")
    comment = f" COMMENT {_text(draw(TEXTS))}" if draw(st.booleans()) else ""
    options = " WITH ('snapshot.num-retained.min' = '7')" if draw(st.booleans()) else ""
    return f"CREATE TABLE {_name('t' + names[0])} ({', '.join(columns)}){comment}{options}"


@given(tables(), st.booleans())
@settings(max_examples=30, deadline=None)
def test_show_create_table_makes_the_same_table_again(sql: str, temporary: bool) -> None:
    with tsdb.connect() as con:
        con.execute(sql.replace("CREATE TABLE", "CREATE TEMPORARY TABLE", 1) if temporary else sql)
        ((name,),) = con.execute("SHOW TABLES").fetchall()
        shown = con.execute(f"SHOW CREATE TABLE {_name(name)}").fetchall()
        described = con.execute(f"DESCRIBE {_name(name)}").fetchall()
        con.execute(f"DROP TABLE {_name(name)}; {shown[0][0]}")
        assert con.execute(f"SHOW CREATE TABLE {_name(name)}").fetchall() == shown
        assert con.execute(f"DESCRIBE {_name(name)}").fetchall() == described


@pytest.mark.parametrize(
    ("kind", "name", "sql"),
    [
        ("VIEW", "v", "CREATE VIEW v (`a b`, c) COMMENT 'it''s' AS SELECT 1, 'x;y'"),
        ("VIEW", "v", "CREATE TEMPORARY VIEW v AS SELECT 1 AS a -- why"),
        ("TABLE", "f", "CREATE TABLE f (a INT) WITH ('connector' = 'filesystem', 'path' = 'x', 'format' = 'csv')"),
        ("TABLE", "p", "CREATE TABLE p (a INT, d STRING, PRIMARY KEY (a, d) NOT ENFORCED) PARTITIONED BY (d)"),
        ("DATABASE", "d", "CREATE DATABASE d COMMENT 'c''c' WITH ('k' = 'v')"),
        ("CATALOG", "c", "CREATE CATALOG c WITH ('type' = 'generic_in_memory')"),
    ],
)
def test_show_create_of_other_things_makes_the_same_again(kind: str, name: str, sql: str) -> None:
    with tsdb.connect() as con:
        con.execute(sql)
        shown = con.execute(f"SHOW CREATE {kind} {name}").fetchall()
        con.execute(f"DROP {kind} {name}; {shown[0][0]}")
        assert con.execute(f"SHOW CREATE {kind} {name}").fetchall() == shown

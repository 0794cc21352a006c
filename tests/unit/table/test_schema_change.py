"""ALTER TABLE of columns, also of those inside of rows, arrays and maps: what old rows become, and what is refused."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import tsdb

DDL = "(k INT, r ROW<x INT, y STRING>, a ARRAY<ROW<p INT>>, m MAP<STRING, ROW<q INT>>, ai ARRAY<INT>)"
ROW = "(1, ROW(1, 'a'), ARRAY[ROW(5)], MAP['k', ROW(7)], ARRAY[1, NULL])"


@pytest.fixture
def con(tmp_path: Path) -> Iterator[tsdb.Connection]:
    with tsdb.connect(tmp_path) as connection:
        connection.execute(f"CREATE TABLE t {DDL}")
        connection.execute(f"INSERT INTO t VALUES {ROW}")
        yield connection


NESTED: list[tuple[str, str, Any]] = [
    ("ADD COLUMN r.z DOUBLE FIRST", "r", {"z": None, "x": 1, "y": "a"}),
    ("ADD COLUMN r.z DOUBLE AFTER x", "r", {"x": 1, "z": None, "y": "a"}),
    ("RENAME COLUMN r.y TO yy", "r", {"x": 1, "yy": "a"}),
    ("ALTER COLUMN r.x TYPE STRING", "r", {"x": "1", "y": "a"}),
    ("DROP COLUMN r.x", "r", {"y": "a"}),
    ("ALTER COLUMN r.y FIRST", "r", {"y": "a", "x": 1}),
    ("ADD COLUMN a.element.n STRING", "a", [{"p": 5, "n": None}]),
    ("RENAME COLUMN a.element.p TO q", "a", [{"q": 5}]),
    ("ALTER COLUMN m.value.q TYPE STRING", "m", {"k": {"q": "7"}}),
    ("ALTER COLUMN ai.element TYPE BIGINT", "ai", [1, None]),
    ("MODIFY r ROW<w DATE, x BIGINT>", "r", {"w": None, "x": 1}),
    ("MODIFY m MAP<STRING, ROW<q BIGINT, n INT>>", "m", {"k": {"q": 7, "n": None}}),
]


@pytest.mark.parametrize(("change", "column", "wanted"), NESTED, ids=[case[0] for case in NESTED])
def test_columns_inside(con: tsdb.Connection, change: str, column: str, wanted: Any) -> None:
    con.execute(f"ALTER TABLE t {change}")
    assert con.execute(f"SELECT {column} FROM t").fetchall() == [(wanted,)]
    con.execute("CREATE TABLE copy AS SELECT * FROM t")
    con.execute("INSERT INTO t SELECT * FROM copy")
    assert con.execute(f"SELECT {column} FROM t").fetchall() == [(wanted,), (wanted,)]


def test_a_dropped_field_that_comes_again_is_another(con: tsdb.Connection) -> None:
    con.execute("ALTER TABLE t DROP COLUMN r.x")
    con.execute("ALTER TABLE t ADD COLUMN r.x INT")
    assert con.execute("SELECT r FROM t").fetchall() == [({"y": "a", "x": None},)]


REFUSED = [
    ("ADD COLUMN k.z INT", "`k` of table `default.t` is INT, which has no columns"),
    ("DROP COLUMN a.p", "write `element` for what is in it"),
    ("ALTER COLUMN m.key TYPE INT", "write `value` for what is in it"),
    ("ADD COLUMN K INT, ADD COLUMN k INT", "already has a column `k`"),
    ("ADD COLUMN r.x INT", "`r` of table `default.t` already has a column `x`"),
    ("ALTER COLUMN k TYPE DATE", "values of type INT do not convert to DATE"),
    ("MODIFY m MAP<INT, ROW<q INT>>", "the key of a MAP stays as it is"),
    ("ALTER COLUMN k SET NOT NULL", "'alter-column-null-to-not-null.disabled' = 'false'"),
    ("DROP COLUMN a.element.p", "`p` is the only column of `element` of `a`"),
    ("DROP COLUMN a.element", "only column|only the type of its `element`"),
    ("RENAME COLUMN r.xx TO w", "no column `xx`.*Did you mean `x`"),
    ("ALTER COLUMN k SET DEFAULT 'abc'", "DEFAULT 'abc' of column `k` is no value of type INT"),
    ("ADD COLUMN d DECIMAL(3, 1) DEFAULT 1000", "DEFAULT '1000' of column `d`"),
    ("ADD COLUMN d VARCHAR(2) DEFAULT 'abc'", "DEFAULT 'abc' of column `d`"),
    ("SET ('merge-engine' = 'first-row')", "'merge-engine' cannot be changed"),
    ("SET ('file.format.per.level' = '0:csv')", "format 'csv' cannot be written"),
]


@pytest.mark.parametrize(("change", "message"), REFUSED, ids=[case[0] for case in REFUSED])
def test_refused(con: tsdb.Connection, change: str, message: str) -> None:
    before = con.execute("SHOW CREATE TABLE t").fetchall()
    with pytest.raises(tsdb.Error, match=message):
        con.execute(f"ALTER TABLE t {change}")
    assert con.execute("SHOW CREATE TABLE t").fetchall() == before


def test_explicit_casts_can_be_forbidden(con: tsdb.Connection) -> None:
    con.execute("ALTER TABLE t SET ('disable-explicit-type-casting' = 'true')")
    with pytest.raises(tsdb.NotSupportedError, match="may lose something"):
        con.execute("ALTER TABLE t MODIFY k STRING")
    con.execute("ALTER TABLE t MODIFY k BIGINT")
    assert con.execute("SELECT k FROM t").fetchall() == [(1,)]


def test_not_null_needs_the_option_and_no_null(con: tsdb.Connection) -> None:
    con.execute("ALTER TABLE t SET ('alter-column-null-to-not-null.disabled' = 'false')")
    con.execute("ALTER TABLE t ADD COLUMN n INT")
    with pytest.raises(tsdb.DataError, match=r"`n` of table `default.t` has 1 NULLs in data file data-"):
        con.execute("ALTER TABLE t ALTER COLUMN n SET NOT NULL")
    con.execute("ALTER TABLE t ALTER COLUMN k SET NOT NULL")
    with pytest.raises(tsdb.IntegrityError, match=r"`k`.*NOT NULL"):
        con.execute("INSERT INTO t (n) VALUES (1)")
    con.execute("ALTER TABLE t ALTER COLUMN k DROP NOT NULL")
    con.execute("INSERT INTO t (n) VALUES (1)")


def test_defaults_hold_for_new_rows(con: tsdb.Connection) -> None:
    con.execute("ALTER TABLE t ADD COLUMN (d DECIMAL(5, 2) DEFAULT 1.5, ts TIMESTAMP(3))")
    con.execute("ALTER TABLE t ALTER COLUMN ts SET DEFAULT '2024-05-14 13:34:56.789'")
    con.execute("INSERT INTO t (k) VALUES (2)")
    con.execute("ALTER TABLE t ALTER COLUMN d DROP DEFAULT")
    con.execute("INSERT INTO t (k, ts) VALUES (3, NULL)")
    rows = con.execute("SELECT k, CAST(d AS STRING), CAST(ts AS STRING) IS NULL FROM t ORDER BY k").fetchall()
    assert rows == [(1, None, True), (2, "1.50", False), (3, None, False)]


def test_what_is_immutable_may_change_before_there_are_rows(con: tsdb.Connection) -> None:
    con.execute("CREATE TABLE e (k INT, v INT, PRIMARY KEY (k) NOT ENFORCED)")
    con.execute("ALTER TABLE e SET ('sequence.field' = 'v')")
    con.execute("INSERT INTO e VALUES (1, 2), (1, 1)")
    assert con.execute("SELECT v FROM e").fetchall() == [(2,)]
    with pytest.raises(tsdb.Error, match=r"'sequence.field' cannot be changed"):
        con.execute("ALTER TABLE e RESET ('sequence.field')")

"""Computed columns and WATERMARK in DDL: what is kept, what is shown, what is refused."""

import json
from datetime import datetime
from pathlib import Path

import pytest

import tsdb

DDL = (
    "CREATE TABLE t (k BIGINT, ts AS CAST(s AS TIMESTAMP(3)), s STRING, v AS k * 2,"
    " WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)"
)


def test_they_are_kept_where_flink_keeps_them(tmp_path: Path) -> None:
    with tsdb.connect(str(tmp_path)) as con:
        con.execute(DDL)
        schema = json.loads((tmp_path / "default.db" / "t" / "schema" / "schema-0").read_text())
    assert [field["name"] for field in schema["fields"]] == ["k", "s"]
    assert {k: v for k, v in schema["options"].items() if k.startswith("schema.")} == {
        "schema.1.name": "ts",
        "schema.1.data-type": "TIMESTAMP(3)",
        "schema.1.expr": "CAST(s AS TIMESTAMP(3))",
        "schema.3.name": "v",
        "schema.3.data-type": "BIGINT",
        "schema.3.expr": "k * 2",
        "schema.watermark.0.rowtime": "ts",
        "schema.watermark.0.strategy.expr": "ts - INTERVAL '5' SECOND",
        "schema.watermark.0.strategy.data-type": "TIMESTAMP(3)",
    }


def test_a_table_with_them_is_read_and_changed() -> None:
    with tsdb.connect() as con:
        con.execute(DDL)
        con.execute("INSERT INTO t VALUES (1, '2024-01-01 00:00:00'), (2, '2024-01-01 00:00:07')")
        assert con.execute("SELECT * FROM t WHERE v < 4").fetchall() == [
            (1, datetime(2024, 1, 1), "2024-01-01 00:00:00", 2)
        ]
        assert con.execute("SELECT x.v FROM t AS x JOIN t AS y ON x.k = y.v").fetchall() == [(4,)]
        assert con.execute("DELETE FROM t WHERE v = 4").rowcount == 1
        assert con.execute("SELECT v FROM t").fetchall() == [(2,)]
        shown = con.execute("SHOW CREATE TABLE t").fetchall()[0][0]
        con.execute("DROP TABLE t")
        con.execute(shown)
        assert con.execute("SHOW CREATE TABLE t").fetchall()[0][0] == shown
        described = {row[0]: (row[1], row[4]) for row in con.execute("DESCRIBE t").fetchall()}
    assert described["ts"] == ("TIMESTAMP(3)", "AS CAST(s AS TIMESTAMP(3)), WATERMARK AS ts - INTERVAL '5' SECOND")


def test_a_key_finds_a_row_with_its_computed_columns() -> None:
    with tsdb.connect() as con:
        con.execute("CREATE TABLE p (k BIGINT, v INT, w AS v + 1, PRIMARY KEY (k) NOT ENFORCED)")
        con.execute("INSERT INTO p VALUES (1, 2), (2, 3)")
        assert con.execute("SELECT * FROM p WHERE k = 1").fetchall() == [(1, 2, 3)]
        assert con.execute("UPDATE p SET v = w WHERE w = 4").rowcount == 1
        assert con.execute("SELECT w FROM p WHERE k = 2").fetchall() == [(5,)]


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("k INT, WATERMARK FOR k AS k", "is INT, no TIMESTAMP"),
        ("ts TIMESTAMP(6), WATERMARK FOR ts AS ts", r"declare TIMESTAMP\(3\)"),
        ("ts TIMESTAMP(3), WATERMARK FOR tx AS ts", "there is no column `tx`"),
        ("ts TIMESTAMP(3), WATERMARK FOR ts AS tt", "column `tt` does not exist"),
        ("ts TIMESTAMP(3), WATERMARK FOR ts AS ts, WATERMARK FOR ts AS ts", "two watermarks"),
        ("k INT, c AS kk + 1", "column `kk` does not exist"),
        ("k INT, c AS k + 1, PRIMARY KEY (c) NOT ENFORCED", "is computed, so it can be no key"),
        ("k INT, p AS PROCTIME(), WATERMARK FOR p AS p", "needs no watermark"),
    ],
)
def test_what_cannot_be_is_refused(columns: str, message: str) -> None:
    with tsdb.connect() as con, pytest.raises(tsdb.Error, match=message):
        con.execute(f"CREATE TABLE t ({columns})")

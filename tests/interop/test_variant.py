"""VARIANT columns: their two binaries are read as a row of two fields, and written anywhere in a table in Parquet."""

from pathlib import Path

import pytest
from judge import PaimonJava, in_order, plain_rows

import tsdb

DOCUMENTS = ('{"a": 1, "b": ["x", null, 2.5]}', "[1, 2, 3]", '"text"', "true", None)


@pytest.mark.judged("VARIANT columns", "Paimon Java", "reads", "writes", "is read")
@pytest.mark.parametrize("more", ["", ", PRIMARY KEY (k) NOT ENFORCED"])
def test_variants_are_copied(more: str, tmp_path: Path, java: PaimonJava) -> None:
    java.create(tmp_path, "default.s", [["k", "INT NOT NULL"], ["v", "VARIANT"]], options={"bucket": "-1"})
    java.write(tmp_path, "default.s", [["+I", i, text] for i, text in enumerate(DOCUMENTS)], identifier=1, bucket=0)
    with tsdb.connect(tmp_path) as con:
        con.execute(f"CREATE TABLE t (k INT, v VARIANT, r ROW<v VARIANT>{more}) WITH ('file.format' = 'parquet')")
        con.execute("INSERT INTO t SELECT k, v, ROW(v) FROM s")
        con.execute("INSERT INTO t VALUES (9, NULL, NULL)")
        con.execute("CALL sys.compact('t')")
        java.write(tmp_path, "default.t", [["+I", 10, "[5]", None]], identifier=1, **({} if more else {"bucket": 0}))
        mine = plain_rows(con.execute("SELECT k, v FROM t"))
        theirs = java.read(tmp_path, "default.t")
        assert in_order([row[:2] for row in theirs]) == mine
        assert all(row[2] in (None, [row[1]]) for row in theirs)
        with pytest.raises(tsdb.NotSupportedError, match="only Parquet files hold"):
            con.execute("CREATE TABLE o (v ARRAY<VARIANT>) WITH ('file.format' = 'orc')")


@pytest.mark.judged("VARIANT columns", "Paimon Java", "is read")
@pytest.mark.parametrize("keyed", [False, True])
def test_variants_are_read(keyed: bool, tmp_path: Path, java: PaimonJava) -> None:
    more = {"primaryKey": ["k"]} if keyed else {}
    options = {"bucket": "1"} if keyed else {"bucket": "-1"}
    java.create(tmp_path, "default.t", [["k", "INT NOT NULL"], ["v", "VARIANT"]], options=options, **more)
    bucket = {} if keyed else {"bucket": 0}
    java.write(tmp_path, "default.t", [["+I", i, text] for i, text in enumerate(DOCUMENTS)], identifier=1, **bucket)
    theirs = in_order(java.read(tmp_path, "default.t"))
    with tsdb.connect(tmp_path) as con:
        assert plain_rows(con.execute("SELECT * FROM t")) == theirs
        assert con.execute("SELECT count(*), count(v) FROM t WHERE k < 9").fetchone() == (5, 4)
        assert con.execute("SELECT v.`value` FROM t WHERE k = 3").fetchone() == (b"\x04",)
        assert con.execute("DESCRIBE t").fetchall()[1][:2] == ("v", "VARIANT")
        con.execute("SET 'execution.mode' = 'streaming'")
        con.execute("SET 'scan.bounded.mode' = 'latest'")
        assert len(con.execute("SELECT * FROM t").fetchall()) == 5

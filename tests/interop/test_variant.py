"""VARIANT columns that Paimon Java wrote: their two binaries are read as a row of two fields."""

from pathlib import Path

import pytest
from judge import PaimonJava, in_order, plain_rows

import tsdb

DOCUMENTS = ('{"a": 1, "b": ["x", null, 2.5]}', "[1, 2, 3]", '"text"', "true", None)


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

"""NULL rows whose type has parts that are NOT NULL: written, compacted and read in every format, as by Paimon Java."""

from pathlib import Path
from typing import Any

import pytest
from judge import PaimonJava, in_order

import tsdb

PART = (
    "ROW<a INT NOT NULL, b STRING NOT NULL, c ARRAY<INT> NOT NULL, d TIMESTAMP(3) NOT NULL, e DECIMAL(9, 2) NOT NULL>"
)
FULL = "ROW(7, 'x', ARRAY[1], TIMESTAMP '2026-01-01 00:00:00', 1.50)"


def values(row: Any) -> list[Any]:
    """Of our row, or Java's, the simple parts."""
    parts = list(row.values()) if isinstance(row, dict) else row
    return [parts[0], parts[1], parts[2]]


@pytest.mark.judged("NULL rows with parts that are NOT NULL", "Paimon Java", "reads", "writes")
@pytest.mark.parametrize("form", ["parquet", "orc", "avro"])
def test_null_rows(form: str, tmp_path: Path, java: PaimonJava) -> None:
    with tsdb.connect(tmp_path) as con:
        con.execute(
            f"CREATE TABLE t (k INT, r {PART}, l ARRAY<ROW<a INT NOT NULL>>, m MAP<INT, ROW<a BYTES NOT NULL>>, "
            f"PRIMARY KEY (k) NOT ENFORCED) WITH ('file.format' = '{form}')"
        )
        con.execute(f"INSERT INTO t VALUES (1, {FULL}, ARRAY[ROW(1), NULL], MAP[1, NULL, 2, ROW(X'00')])")
        con.execute("INSERT INTO t VALUES (2, NULL, ARRAY[NULL], NULL), (3, NULL, NULL, MAP[1, NULL])")
        con.execute("CALL sys.compact('t')")
        con.execute("UPDATE t SET l = NULL WHERE k = 2")
        java.write(tmp_path, "default.t", [["+I", 4, None, None, None]], identifier=1)
        java.compact(tmp_path, "default.t")
        rows = sorted(con.execute("SELECT k, r, l FROM t").fetchall())
        assert [row[1] is None for row in rows] == [False, True, True, True]
        assert values(rows[0][1]) == [7, "x", [1]] and rows[0][2] == [{"a": 1}, None] and rows[1][2] is None
        theirs = in_order(java.read(tmp_path, "default.t"))
        assert [row[1] is None for row in theirs] == [False, True, True, True]
        assert values(theirs[0][1]) == [7, "x", [1]] and theirs[0][2] == [[1], None]
        with pytest.raises(tsdb.DataError):
            con.execute(
                "INSERT INTO t (k, r) VALUES (5, ROW(CAST(NULL AS INT), 'x', ARRAY[1], "
                "TIMESTAMP '2026-01-01 00:00:00', 1.5))"
            )

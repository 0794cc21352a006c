"""Files that a query names: read in every format, written by COPY, and what cannot be."""

import gzip
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.feather as feather
import pyarrow.orc as orc
import pyarrow.parquet as pq
import pytest

import tsdb

ROWS = pa.table({"k": pa.array([1, 2, 3]), "s": ["x", None, 'q,"r'], "v": [0.5, None, 2.0]})
EXPECTED = [(1, "x", 0.5), (2, None, None), (3, 'q,"r', 2.0)]
CSV = 'k,s,v\n1,x,0.5\n2,,\n3,"q,""r",2.0\n'
JSON = '{"k":1,"s":"x","v":0.5}\n{"k":2,"s":null}\n{"v":2.0,"k":3,"s":"q,\\"r"}\n'


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    pq.write_table(ROWS, tmp_path / "r.parquet")
    orc.write_table(ROWS, tmp_path / "r.orc")
    feather.write_feather(ROWS, str(tmp_path / "r.arrow"))
    (tmp_path / "r.csv").write_text(CSV)
    (tmp_path / "semi.csv").write_text("k;s\n1;x\n2;y,z\n")
    (tmp_path / "r.tsv").write_text(CSV.replace('"q,""r"', "q").replace(",", "\t"))
    (tmp_path / "r.jsonl").write_text(JSON)
    (tmp_path / "r.csv.gz").write_bytes(gzip.compress(CSV.encode()))
    (tmp_path / "r.json.gz").write_bytes(gzip.compress(JSON.encode()))
    (tmp_path / "broken.parquet").write_text("no")
    return tmp_path


@pytest.fixture
def con(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.chdir(folder)
    with tsdb.connect(":memory:") as connection:
        yield connection


def rows(con: Any, sql: str) -> list[tuple[Any, ...]]:
    return sorted(con.execute(sql).fetchall(), key=repr)


@pytest.mark.parametrize("name", ["r.parquet", "r.orc", "r.arrow", "r.csv", "r.jsonl", "r.csv.gz", "r.json.gz"])
def test_a_file_is_a_table(con: Any, name: str) -> None:
    assert rows(con, f"SELECT k, s, v FROM '{name}'") == EXPECTED
    assert rows(con, f"SELECT r.s FROM '{name}' WHERE r.k > 1 AND v IS NOT NULL") == [('q,"r',)]
    assert rows(con, f"SELECT a.k FROM '{name}' AS a JOIN 'r.parquet' AS b ON a.k = b.k + 1") == [(2,), (3,)]
    con.execute("SET 'execution.mode' = 'streaming'")
    assert rows(con, f"SELECT count(*), max(k) FROM '{name}'") == [("+I", 3, 3)]


def test_many_files_are_one_table(con: Any, folder: Path) -> None:
    pq.write_table(ROWS, folder / "r2.parquet")
    assert rows(con, "SELECT count(*), sum(k) FROM 'r*.parquet'") == [(6, 12)]
    assert rows(con, "SELECT count(*) FROM read_parquet(['r.parquet', 'r2.parquet', 'r2.parquet'])") == [
        (6,)
    ]  # each once


@pytest.mark.parametrize(
    ("sql", "expected"),
    [
        ("SELECT * FROM 'semi.csv'", [(1, "x"), (2, "y,z")]),
        ("SELECT * FROM read_csv('semi.csv', delim => ';', skip => 1, header => false)", [(1, "x"), (2, "y,z")]),
        ("SELECT s FROM read_csv('r.csv', nullstr => 'x') WHERE k = 1", [(None,)]),
        ("SELECT k, s FROM 'r.tsv' WHERE k = 3", [(3, "q")]),
        ("SELECT s FROM read_jsonl('r.jsonl') WHERE k = 1", [("x",)]),
    ],
)
def test_how_files_are_read(con: Any, sql: str, expected: list[tuple[Any, ...]]) -> None:
    assert rows(con, sql) == expected


@pytest.mark.parametrize("name", ["o.parquet", "o.orc", "o.arrow", "o.csv", "o.json"])
def test_what_copy_writes_is_read_again(con: Any, folder: Path, name: str) -> None:
    con.execute("CREATE TABLE t (k BIGINT, s STRING, v DOUBLE, PRIMARY KEY (k) NOT ENFORCED)")
    assert con.execute("COPY t FROM 'r.csv'").rowcount == 3
    assert con.execute(f"COPY t TO '{name}'").rowcount == 3
    assert rows(con, f"SELECT k, s, v FROM '{name}'") == EXPECTED
    before = (folder / name).read_bytes()
    with pytest.raises(tsdb.DataError, match="division by zero"):
        con.execute(f"COPY (SELECT k / (k - k) AS k FROM t) TO '{name}'")
    assert (folder / name).read_bytes() == before
    assert [path.name for path in folder.iterdir() if path.name.startswith(".")] == []
    con.execute("CREATE TABLE u (k BIGINT, s STRING, v DOUBLE)")
    assert con.execute(f"COPY u FROM '{name}'").rowcount == 3
    assert rows(con, "SELECT * FROM u") == EXPECTED


def test_copy_from_csv_reads_the_types_of_the_table(con: Any, folder: Path) -> None:
    (folder / "t.csv").write_text("a,b,c\n007,2024-01-31,1.50\n")
    con.execute("CREATE TABLE t (c STRING, d DATE, n DECIMAL(10, 2))")
    con.execute("COPY t FROM 't.csv'")
    assert str(rows(con, "SELECT * FROM t")) == "[('007', datetime.date(2024, 1, 31), Decimal('1.50'))]"
    con.execute("COPY t (n, d) TO 'o.csv' (HEADER false, DELIMITER ';')")
    assert (folder / "o.csv").read_text() == "1.50;2024-01-31\n"


@pytest.mark.parametrize(
    ("sql", "error", "words"),
    [
        ("SELECT * FROM 'nix.parquet'", tsdb.TableNotFound, "line 1, column 15: there is no file 'nix.parquet'"),
        ("SELECT * FROM 'broken.parquet'", tsdb.DataError, "cannot be read as parquet"),
        ("SELECT * FROM read_csv('r.csv', delmi => ';')", tsdb.OptionError, "Did you mean `delim`"),
        ("SELECT * FROM read_csv('r.csv', header => 7)", tsdb.OptionError, "true or false"),
        ("SELECT * FROM read_xml('r.csv')", tsdb.ProgrammingError, "no function `read_xml`"),
        ("SELECT z FROM 'r.csv'", tsdb.ColumnNotFound, "`z`"),
        ("INSERT INTO 'r.csv' VALUES (1)", tsdb.ProgrammingError, "a table name"),
        ("COPY t TO 'no/r.csv'", tsdb.DataError, "no directory"),
        ("COPY t TO 'r'", tsdb.NotSupportedError, "does not tell its format"),
        ("COPY t TO 'r.csv' (HEADR)", tsdb.OptionError, "Did you mean `header`"),
        ("COPY (SELECT ARRAY[1] AS a) TO 'r.csv'", tsdb.NotSupportedError, "nested"),
        ("COPY t FROM 'r.parquet'", tsdb.BindError, "takes 1 value"),
        ("COPY t FROM 'r.csv'", tsdb.DataError, "3 columns"),
        ("COPY t", tsdb.ProgrammingError, "expected `TO`"),
    ],
)
def test_errors(con: Any, sql: str, error: type[Exception], words: str) -> None:
    con.execute("CREATE TABLE t (k INT)")
    with pytest.raises(error, match=words):
        con.execute(sql).fetchall()
    assert rows(con, "SELECT * FROM t") == []

"""Data files in a directory of their own, and outside of the table: Paimon Java finds ours, and we find its."""

from pathlib import Path

import pytest
from judge import PaimonJava, in_order, plain_rows

import tsdb

KEYED = "PRIMARY KEY (p, k) NOT ENFORCED) PARTITIONED BY (p) WITH ('bucket' = '2', "
APPEND = "n INT) PARTITIONED BY (p) WITH ('bucket' = '2', 'bucket-key' = 'k', "


@pytest.mark.judged("data files in other places", "Paimon Java", "reads", "writes", "is read")
@pytest.mark.parametrize("outside", [False, True])
@pytest.mark.parametrize("kind", [KEYED, APPEND])
def test_places(kind: str, outside: bool, tmp_path: Path, java: PaimonJava) -> None:
    warehouse = tmp_path / "warehouse"
    places = [tmp_path / "one", tmp_path / "two"]
    option = "'data-file.path-directory' = 'data'"
    if outside:
        roots = ",".join(f"file:{place}" for place in places)
        option = f"'data-file.external-paths' = '{roots}', 'data-file.external-paths.strategy' = 'round-robin'"
    more = [] if kind is KEYED else [None]
    index = ", 'file-index.bloom-filter.columns' = 'v', 'file-index.in-manifest-threshold' = '1 b')"
    with tsdb.connect(warehouse) as con:

        def both() -> list[list[object]]:
            mine = plain_rows(con.execute("SELECT * FROM t"))
            assert mine == in_order(java.read(warehouse, "default.t"))
            assert con.execute("SELECT count(*) FROM t WHERE v = 'x'").fetchone() == (sum(r[2] == "x" for r in mine),)
            return mine

        con.execute(f"CREATE TABLE t (k INT, p STRING, v STRING, {kind}{option}{index}")
        con.execute(f"INSERT INTO t (k, p, v) VALUES {', '.join(f'({k}, {p!r}, {v!r})' for k, p, v in ROWS)}")
        assert both() == sorted(([*row, *more] for row in ROWS), key=str)
        java.write(warehouse, "default.t", [["+I", 4, "a", "j", *more], ["+I", 1, "a", "y", *more]], identifier=1)
        assert len(both()) == (5 if kind is KEYED else 6)
        con.execute("DELETE FROM t WHERE k = 2")
        con.execute("CALL sys.compact('t')")
        java.compact(warehouse, "default.t")
        rows = both()
        inside = {path.parent.parent.parent.name for path in warehouse.rglob("*.parquet")}
        assert inside == (set() if outside else {"data"})
        con.execute("CALL sys.expire_snapshots('t', retain_max => 1, older_than => '2100-01-01')")
        assert both() == rows
        live = {row[0].removeprefix("file:") for row in con.execute("SELECT file_path FROM t$files").fetchall()}
        assert {str(path) for path in tmp_path.rglob("*.parquet")} == live


ROWS = ((1, "a", "x"), (2, "a", "y"), (3, "b", "z"), (5, "b", "x"))


def test_places_that_are_none(tmp_path: Path) -> None:
    paths = "'data-file.external-paths' = 's3://a', 'data-file.external-paths.strategy' = "
    with tsdb.connect(tmp_path) as con:
        for strategy, message in (("'round-robin'", "no local path"), ("'entropy-inject'", "use 'round-robin'")):
            with pytest.raises(tsdb.NotSupportedError, match=message):
                con.execute(f"CREATE TABLE t (k INT) WITH ({paths}{strategy})")


def test_index_files_in_other_places_are_refused_by_name(tmp_path: Path, java: PaimonJava) -> None:
    options = {"bucket": "-1", "dynamic-bucket.target-row-num": "2", "index-file-in-data-file-dir": "true"}
    java.create(tmp_path, "default.t", [["k", "INT NOT NULL"], ["v", "INT"]], primaryKey=["k"], options=options)
    java.write(tmp_path, "default.t", [["+I", key, 1] for key in range(4)], identifier=1)
    assert list(tmp_path.glob("default.db/t/bucket-0/index-*"))
    with tsdb.connect(tmp_path) as con:
        for text in ("INSERT INTO t VALUES (1, 2)", "CALL sys.remove_orphan_files('default.t', '2100-01-01')"):
            with pytest.raises(tsdb.NotSupportedError, match="index-file-in-data-file-dir"):
                con.execute(text).fetchall()
        assert con.execute("SELECT count(*) FROM t").fetchone() == (4,)
    assert len(java.read(tmp_path, "default.t")) == 4

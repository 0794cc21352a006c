"""Columns of merged files that are kept in memory: the same rows as read from the files, and no longer than allowed."""

from pathlib import Path

import pytest

import tsdb
from tsdb.table import live_columns, read


@pytest.fixture
def reads(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names of the files that were read under a mask, each time."""
    names: list[str] = []
    original = live_columns.read_file

    def counted(table, file, *args, **kwargs):  # type: ignore[no-untyped-def]
        names.append(file.file_name)
        return original(table, file, *args, **kwargs)

    monkeypatch.setattr(live_columns, "read_file", counted)
    monkeypatch.setattr(read, "BATCH_ROWS", 1000)
    return names


def overlapping(path: Path) -> tsdb.Connection:
    """A table of three runs that share keys."""
    con = tsdb.connect(str(path))
    con.execute(
        "CREATE TABLE t (id INT, name STRING, v BIGINT, PRIMARY KEY (id) NOT ENFORCED) WITH ('write-only' = 'true')"
    )
    for run in range(3):
        con.execute(
            f"INSERT INTO t SELECT value, CASE WHEN value % 7 <> 0 THEN 'n' || {run} END, value * {run + 1}"
            f" FROM generate_series({run * 500}, {run * 500 + 2999})"
        )
    return con


QUERY = "SELECT id, name, v FROM t ORDER BY id"


def test_the_third_time_columns_come_from_memory(tmp_path: Path, reads: list[str]) -> None:
    with overlapping(tmp_path) as con:
        first = con.execute(QUERY).fetchall()
        assert len(first) == 4000
        assert first[999] == (999, "n1", 1998)
        once = len(reads)
        assert con.execute(QUERY).fetchall() == first
        assert len(reads) == 2 * once
        for sql in (QUERY, "SELECT v, id FROM t WHERE name = 'n0' ORDER BY id", "SELECT sum(v) FROM t"):
            con.execute(sql).fetchall()
        assert len(reads) == 2 * once
        assert con.execute(QUERY).fetchall() == first


def test_what_is_written_is_seen_at_once(tmp_path: Path, reads: list[str]) -> None:
    with overlapping(tmp_path) as con:
        for change, expected in (
            ("SELECT 1", (4000, 999)),
            ("DELETE FROM t WHERE id = 999", (3999, None)),
            ("INSERT INTO t VALUES (999, 'new', -1)", (4000, 999)),
            ("ALTER TABLE t DROP COLUMN name", (4000, 999)),
            ("ALTER TABLE t MODIFY v DECIMAL(20, 1)", (4000, 999)),
            ("CALL sys.rollback_to('default.t', 3)", (4000, 999)),
        ):
            con.execute(change)
            for _ in range(3):
                found = con.execute("SELECT count(v), max(CASE WHEN id = 999 THEN id END) FROM t").fetchone()
                assert found == expected, change
    assert reads


def test_a_file_that_is_too_large_is_read_each_time(
    tmp_path: Path, reads: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(live_columns, "_FILE_BYTES_MAX", 1000)
    with overlapping(tmp_path) as con:
        counts = []
        for _ in range(4):
            con.execute(QUERY).fetchall()
            counts.append(len(reads))
        assert counts == [counts[0] * n for n in (1, 2, 3, 4)]

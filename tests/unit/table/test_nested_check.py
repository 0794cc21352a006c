"""Values inside of rows, arrays and maps keep to their types; the message has the row; numbers of options a range."""

from pathlib import Path

import pytest

import tsdb

BAD_ROWS = [
    ("(ARRAY[1, NULL], NULL, NULL)", "NULL in row 1: an element of column `a`"),
    ("(NULL, MAP['a', ARRAY['abcd']], NULL)", "'abcd' in row 1 has 4 characters"),
    ("(NULL, MAP['abc', NULL], NULL)", r"'abc' in row 1.* a key of column `m`"),
    ("(NULL, NULL, NULL), (NULL, NULL, ROW('abc'))", "'abc' in row 2 has 3 characters, but `z` of column `r`"),
]
BAD_OPTIONS = [
    ("'num-levels' = '1'", "'num-levels' is 2 to 64, not '1'"),
    ("'target-file-size' = '0'", "more than nothing"),
    ("'snapshot.num-retained.min' = '20', 'snapshot.num-retained.max' = '10'", "contradicts"),
    ("'file.compression.zstd-level' = '99'", "1 to 22"),
]


def test_values_inside(tmp_path: Path) -> None:
    with tsdb.connect(tmp_path) as con:
        con.execute("CREATE TABLE t (a ARRAY<INT NOT NULL>, m MAP<VARCHAR(2), ARRAY<VARCHAR(3)>>, r ROW<z CHAR(2)>)")
        for rows, message in BAD_ROWS:
            with pytest.raises(tsdb.DataError, match=message):
                con.execute(f"INSERT INTO t VALUES {rows}")
        good = "(ARRAY[1], MAP['a', ARRAY['abc', NULL]], ROW('ab')), (NULL, NULL, NULL)"
        con.execute(f"INSERT INTO t VALUES {good}")
        assert con.execute("SELECT * FROM t").fetchall() == [
            ([1], {"a": ["abc", None]}, {"z": "ab"}),
            (None, None, None),
        ]


def test_the_row_of_a_misfit_is_named(tmp_path: Path) -> None:
    with tsdb.connect(tmp_path) as con:
        con.execute("CREATE TABLE t (k TINYINT)")
        with pytest.raises(tsdb.DataError, match="in row 778: Integer value 777 not in range"):
            con.execute(
                "INSERT INTO t SELECT CASE WHEN v > 776 THEN v ELSE 1 END FROM generate_series(0, 999) AS g(v)"
            )


@pytest.mark.parametrize(("options", "message"), BAD_OPTIONS)
def test_numbers_out_of_range(options: str, message: str, tmp_path: Path) -> None:
    with tsdb.connect(tmp_path) as con:
        with pytest.raises(tsdb.Error, match=message):
            con.execute(f"CREATE TABLE t (k INT) WITH ({options})")
        con.execute("CREATE TABLE t (k INT)")
        with pytest.raises(tsdb.Error, match=message):
            con.execute(f"ALTER TABLE t SET ({options})")

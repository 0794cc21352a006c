"""Digits of the second behind those of the column, when rows are stored."""

import datetime as dt

import tsdb


def test_digits_of_the_second_that_a_column_has_not_are_cut_off() -> None:
    with tsdb.connect(":memory:") as con:
        con.execute(
            "CREATE TABLE t (a TIMESTAMP(0), b TIMESTAMP(4), c TIME(1), d TIMESTAMP_LTZ(3),"
            " r ROW<x ARRAY<TIMESTAMP(1)>>, m MAP<STRING, TIMESTAMP(2)>, PRIMARY KEY (a) NOT ENFORCED)"
        )
        time = "TIMESTAMP '1969-12-31 23:59:59.987654'"
        local = f"CAST({time} AS TIMESTAMP_LTZ(6))"
        row = f"{time}, {time}, TIME '10:00:00.987', {local}, ROW(ARRAY[{time}, NULL]), MAP['x', {time}]"
        con.execute(f"INSERT INTO t VALUES ({row})")
        con.execute("INSERT INTO t SELECT * FROM t")
        (found,) = con.execute("SELECT a, b, c, CAST(d AS TIMESTAMP(3)), r.x, m FROM t").fetchall()
    at = dt.datetime(1969, 12, 31, 23, 59, 59)
    assert found == (
        at,
        at.replace(microsecond=987600),
        dt.time(10, 0, 0, 900000),
        at.replace(microsecond=987000),
        [at.replace(microsecond=900000), None],
        {"x": at.replace(microsecond=980000)},
    )

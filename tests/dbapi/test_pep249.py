"""The points that PEP 249 and the public dbapi suite ask for."""

import datetime as dt
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pytest

import tsdb


@pytest.fixture
def con() -> Iterator[tsdb.Connection]:
    with tsdb.connect(":memory:") as connection:
        yield connection


def test_module() -> None:
    assert (tsdb.apilevel, tsdb.threadsafety, tsdb.paramstyle) == ("2.0", 1, "qmark")
    assert issubclass(tsdb.Warning, Exception) and issubclass(tsdb.Error, Exception)
    for name in ("DataError", "OperationalError", "IntegrityError", "InternalError", "ProgrammingError"):
        assert issubclass(getattr(tsdb, name), tsdb.DatabaseError)
    assert issubclass(tsdb.InterfaceError, tsdb.Error) and not issubclass(tsdb.InterfaceError, tsdb.DatabaseError)
    assert tsdb.Date(2024, 1, 2) == dt.date(2024, 1, 2)
    assert tsdb.Timestamp(2024, 1, 2, 3, 4, 5) == dt.datetime(2024, 1, 2, 3, 4, 5)
    assert tsdb.Binary(b"x") == b"x"
    for ticks in (tsdb.DateFromTicks, tsdb.TimeFromTicks, tsdb.TimestampFromTicks):
        assert ticks(86400 * 365) is not None


def test_exceptions_are_attributes_of_the_connection(con: tsdb.Connection) -> None:
    for name in ("Warning", "Error", "InterfaceError", "DatabaseError", "DataError", "OperationalError"):
        assert getattr(con, name) is getattr(tsdb, name)
    for name in ("IntegrityError", "InternalError", "ProgrammingError", "NotSupportedError"):
        assert getattr(con, name) is getattr(tsdb, name)


def test_description_and_type_objects(con: tsdb.Connection) -> None:
    cur = con.cursor()
    assert cur.description is None and cur.rowcount == -1 and cur.arraysize == 1
    cur.execute("CREATE TABLE t (s VARCHAR(20), d DECIMAL(10, 2), b BYTES, ts TIMESTAMP(3), a DATE, i INT)")
    assert cur.description is None and cur.rowcount in (-1, 0)
    cur.execute("SELECT * FROM t")
    assert cur.description is not None
    assert [c[0] for c in cur.description] == ["s", "d", "b", "ts", "a", "i"]
    assert all(len(c) == 7 for c in cur.description)
    kinds = [tsdb.STRING, tsdb.NUMBER, tsdb.BINARY, tsdb.DATETIME, tsdb.DATETIME, tsdb.NUMBER]
    assert [c[1] for c in cur.description] == kinds
    assert cur.description[0][1] != tsdb.NUMBER and tsdb.ROWID != tsdb.STRING
    assert cur.description[1][4:6] == (10, 2)


def test_values_both_ways(con: tsdb.Connection) -> None:
    con.execute(
        "CREATE TABLE t (i BIGINT, s STRING, d DECIMAL(10, 2), f DOUBLE, b BYTES, a DATE, ts TIMESTAMP(6), o BOOLEAN)"
    )
    row = (
        1,
        "it's ? --",
        Decimal("1.50"),
        1.5,
        b"\x00\xff",
        dt.date(2024, 1, 2),
        dt.datetime(2024, 1, 2, 3, 4, 5, 6),
        True,
    )
    cur = con.cursor()
    assert cur.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?)", row).rowcount in (1, -1)
    cur.execute("INSERT INTO t VALUES (?, ?, ?, ?, ?, ?, ?, ?)", (None,) * 8)
    assert sorted(cur.execute("SELECT * FROM t").fetchall(), key=str) == sorted([row, (None,) * 8], key=str)
    assert cur.execute("SELECT '?' AS x, ? -- ?", (2,)).fetchall() == [("?", 2)]


def test_nested_values(con: tsdb.Connection) -> None:
    con.register("r", pa.table({
        "l": pa.array([[1, None], None], pa.list_(pa.int32())),
        "m": pa.array([[("a", 1)], None], pa.map_(pa.string(), pa.int32())),
        "s": pa.array([{"x": 1, "y": [{"z": b"q"}]}, None]),
    }))  # fmt: skip
    assert con.execute("SELECT l, m, s FROM r").fetchall() == [
        ([1, None], {"a": 1}, {"x": 1, "y": [{"z": b"q"}]}),
        (None, None, None),
    ]


def test_a_nanosecond_is_never_lost(con: tsdb.Connection) -> None:
    con.register("r", pa.table({"ts": pa.array([1, 1000], pa.timestamp("ns"))}))
    with pytest.raises(tsdb.DataError, match=r"`ts`.*fetch_arrow_table"):
        con.execute("SELECT ts FROM r").fetchall()
    assert con.execute("SELECT ts FROM r").fetch_arrow_table()["ts"].cast(pa.int64()).to_pylist() == [1, 1000]


def test_fetches(con: tsdb.Connection) -> None:
    con.register("r", pa.table({"x": list(range(5000))}))
    cur = con.execute("SELECT x FROM r ORDER BY x")
    assert cur.fetchone() == (0,)
    assert cur.fetchmany() == [(1,)]
    cur.arraysize = 3
    assert cur.fetchmany() == [(2,), (3,), (4,)]
    assert cur.fetchmany(2) == [(5,), (6,)]
    assert cur.fetch_arrow_table().num_rows == 4993
    assert cur.fetchone() is None and cur.fetchall() == [] and cur.fetchmany(3) == []
    assert [row[0] for row in con.execute("SELECT x FROM r ORDER BY x")] == list(range(5000))
    assert con.execute("SELECT x FROM r").fetch_record_batch().read_all().num_rows == 5000
    assert list(con.execute("SELECT x FROM r WHERE x < 2 ORDER BY x").fetch_df()["x"]) == [0, 1]


def test_equal_names_are_allowed(con: tsdb.Connection) -> None:
    cur = con.execute("SELECT 1 AS a, 2 AS a")
    assert cur.description is not None and [c[0] for c in cur.description] == ["a", "a"]
    assert cur.fetchall() == [(1, 2)]


def test_fetch_without_a_result(con: tsdb.Connection) -> None:
    for fetch in ("fetchone", "fetchall", "fetchmany", "fetch_arrow_table"):
        with pytest.raises(tsdb.Error):
            getattr(con.cursor(), fetch)()
        with pytest.raises(tsdb.Error):
            getattr(con.execute("CREATE TABLE IF NOT EXISTS t (a INT)"), fetch)()


def test_executemany_is_one_commit(con: tsdb.Connection) -> None:
    con.execute("CREATE TABLE t (a INT, b STRING)")
    cur = con.cursor()
    cur.executemany("INSERT INTO t VALUES (?, ?)", [(i, f"it's {i}") for i in range(100)])
    assert cur.rowcount in (100, -1) and cur.description is None
    assert con.execute("SELECT count(*), min(b) FROM t").fetchone() == (100, "it's 0")
    assert con.execute("SELECT count(*) FROM t$snapshots").fetchone() == (1,)
    with pytest.raises(tsdb.ProgrammingError):
        cur.executemany("SELECT ?", [(1,)])
    with pytest.raises(tsdb.ProgrammingError):
        cur.executemany("INSERT INTO t VALUES (?, ?)", [(1,)])


def test_cursors_see_each_others_writes(con: tsdb.Connection) -> None:
    one, two = con.cursor(), con.cursor()
    one.execute("CREATE TABLE t (a VARCHAR(20))")
    one.execute("INSERT INTO t VALUES ('x')")
    assert two.execute("SELECT a FROM t").fetchall() == [("x",)]


def test_closing() -> None:
    con = tsdb.connect()
    cur, other = con.execute("SELECT 1"), con.cursor()
    cur.close()
    cur.close()
    with pytest.raises(tsdb.Error):
        cur.execute("SELECT 1")
    con.commit()
    with pytest.raises(tsdb.NotSupportedError):
        con.rollback()
    con.close()
    con.close()
    for use in (con.commit, con.cursor, lambda: other.execute("SELECT 1"), lambda: con.execute("SELECT 1")):
        with pytest.raises(tsdb.Error):
            use()


def test_errors_leave_the_cursor_usable(con: tsdb.Connection) -> None:
    cur = con.cursor()
    with pytest.raises(tsdb.SqlSyntaxError) as caught:
        cur.execute("SELECT 1 +\nFROM")
    assert caught.value.position is not None and caught.value.position.line == 2
    with pytest.raises(tsdb.TableNotFound, match="nope"):
        cur.execute("SELECT * FROM nope")
    with pytest.raises(tsdb.ProgrammingError):
        cur.execute("SELECT ?, ?", (1,))
    assert cur.execute("SELECT 1").fetchall() == [(1,)]


def test_a_script_gives_its_last_result(con: tsdb.Connection) -> None:
    assert con.execute("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2); SELECT sum(a) FROM t").fetchone() == (3,)


def test_register_and_table(con: tsdb.Connection) -> None:
    pandas = pytest.importorskip("pandas")
    con.register("p", pandas.DataFrame({"a": [1, 2], "b": ["x", None]}))
    assert con.execute("SELECT a, b FROM p ORDER BY a").fetchall() == [(1, "x"), (2, None)]
    con.unregister("p")
    with pytest.raises(tsdb.TableNotFound):
        con.execute("SELECT * FROM p")
    with pytest.raises(tsdb.InterfaceError):
        con.register("q", 3)
    con.execute("CREATE TABLE t (a INT); INSERT INTO t VALUES (1), (2)")
    handle = con.table("t")
    assert handle.schema.names == ["a"] and handle.count() == 2 and handle.arrow().num_rows == 2
    with pytest.raises(tsdb.TableNotFound):
        con.table("nope")


# --- streaming

ORDERS = "CREATE TABLE o (id INT, v INT, PRIMARY KEY (id) NOT ENFORCED); INSERT INTO o VALUES (1, 10), (2, 20)"


def stream(con: tsdb.Connection, sql: str, *, bounded: bool = False) -> tsdb.Cursor:
    con.execute(
        f"SET 'scan.bounded.mode' = '{'latest' if bounded else 'unbounded'}'; SET 'execution.mode' = 'streaming'"
    )
    cursor = con.execute(sql)
    con.execute("RESET 'execution.mode'; RESET 'scan.bounded.mode'")
    return cursor


def test_a_changelog_goes_on(con: tsdb.Connection) -> None:
    con.execute(ORDERS)
    cur = stream(con, "SELECT id, v FROM o")
    assert cur.description is not None and [c[0] for c in cur.description] == ["op", "id", "v"]
    assert sorted(cur.fetchmany(10)) == [("+I", 1, 10), ("+I", 2, 20)]
    assert cur.poll().num_rows == 0 and not cur.ended and cur.is_changelog
    con.execute("UPDATE o SET v = 11 WHERE id = 1")
    changes: list[Any] = []
    while len(changes) < 2:
        changes += [tuple(r.values()) for r in cur.poll(1.0).to_pylist()]
    assert changes == [("-U", 1, 10), ("+U", 1, 11)]
    assert cur.version is not None
    with pytest.raises(tsdb.ProgrammingError, match=r"scan\.bounded\.mode"):
        cur.fetchall()
    with pytest.raises(tsdb.ProgrammingError, match="never end"):
        cur.fetch_arrow_table()
    con.execute("DELETE FROM o WHERE id = 2")
    assert cur.fetchone() == ("-D", 2, 20)
    cur.close()


def test_a_bounded_stream_ends(con: tsdb.Connection) -> None:
    con.execute(ORDERS)
    assert sorted(stream(con, "SELECT id, v FROM o", bounded=True).fetchall()) == [("+I", 1, 10), ("+I", 2, 20)]
    table = stream(con, "SELECT sum(v) AS s FROM o", bounded=True).fetch_arrow_table()
    assert table.column_names == ["op", "s"] and table.to_pylist()[-1]["s"] == 30
    cur = stream(con, "SELECT id FROM o", bounded=True)
    while not cur.ended:
        cur.poll(1.0)
    assert [op for op, _ in stream(con, "SELECT id FROM o", bounded=True)] == ["+I", "+I"]


def test_a_registered_relation_is_a_source_that_ends(con: tsdb.Connection) -> None:
    con.register("r", pa.table({"x": [1, 2, 3]}))
    assert stream(con, "SELECT sum(x) FROM r", bounded=True).fetchall()[-1][1] == 6


def test_a_continuous_insert_is_a_job(con: tsdb.Connection) -> None:
    con.execute(ORDERS + "; CREATE TABLE s (id INT, v INT, PRIMARY KEY (id) NOT ENFORCED)")
    cur = stream(con, "INSERT INTO s SELECT id, v + 1 FROM o")
    assert cur.description is not None and cur.fetchone() is not None
    (job,) = con.jobs()
    job.checkpoint()
    assert sorted(con.execute("SELECT * FROM s")) == [(1, 11), (2, 21)]
    job.stop()
    assert job.status == "STOPPED"


def test_close_ends_a_waiting_fetch(con: tsdb.Connection) -> None:
    con.execute(ORDERS)
    cur = stream(con, "SELECT id FROM o WHERE id > 5")
    assert cur.poll(0.05).num_rows == 0
    con.close()
    with pytest.raises(tsdb.Error):
        cur.fetchone()


@pytest.mark.parametrize("params", [5, "a", b"a"])
def test_parameters_that_are_no_sequence(con: tsdb.Connection, params: Any) -> None:
    with pytest.raises(tsdb.ProgrammingError, match="sequence of values"):
        con.execute("SELECT ?", params)
    con.execute("CREATE TABLE t (a INT)")
    with pytest.raises(tsdb.ProgrammingError, match="sequence of"):
        con.cursor().executemany("INSERT INTO t VALUES (?)", params)
    with pytest.raises(tsdb.ProgrammingError, match="sequence of values"):
        con.cursor().executemany("INSERT INTO t VALUES (?)", [(1,), params])
    assert con.execute("SELECT count(*) FROM t").fetchone() == (0,)

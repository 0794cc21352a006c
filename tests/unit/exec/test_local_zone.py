"""'table.local-time-zone' against Python's zoneinfo, around the days on which clocks are put forward and back."""

import datetime as dt
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from zoneinfo import ZoneInfo

import pyarrow as pa
import pytest

import tsdb

ZONES = ("Europe/Berlin", "America/New_York", "Asia/Kolkata", "Australia/Lord_Howe", "America/Sao_Paulo",
         "Pacific/Apia", "Africa/Casablanca")  # fmt: skip
BEGINS = ("2024-03-10", "2024-03-31", "2024-10-27", "2024-11-03", "2018-11-04", "2018-02-18", "2011-12-29",
          "2024-04-06", "2024-10-05", "1969-12-31")  # fmt: skip


def times() -> list[dt.datetime]:
    """Every 37 minutes over two days."""
    starts = [dt.datetime.fromisoformat(day) for day in BEGINS]
    return [start + dt.timedelta(minutes=37 * i, milliseconds=i) for start in starts for i in range(78)]


def moment(time: dt.datetime, zone: ZoneInfo) -> dt.datetime:
    return time.replace(tzinfo=zone).astimezone(dt.UTC)


@pytest.fixture
def con() -> Iterator[tsdb.Connection]:
    given = times()
    texts = [time.isoformat(sep=" ", timespec="milliseconds") for time in given]
    columns = {"p": pa.array(given, pa.timestamp("ms")), "s": texts, "ts": pa.array(given, pa.timestamp("ms", "UTC"))}
    with tsdb.connect() as con:
        con.register("given", pa.table(columns))
        yield con


@contextmanager
def connected(zone: str) -> Iterator[tsdb.Connection]:
    with tsdb.connect(options={"table.local-time-zone": zone}) as con:
        yield con


@pytest.mark.parametrize("zone", ZONES)
def test_moments_of_what_clocks_show(con: tsdb.Connection, zone: str) -> None:
    con.execute(f"SET 'table.local-time-zone' = '{zone}'")
    rows = con.execute(
        "SELECT p, CAST(p AS TIMESTAMP_LTZ(3)), CAST(s AS TIMESTAMP_LTZ(3)), TO_TIMESTAMP_LTZ(s), UNIX_TIMESTAMP(s) "
        "FROM given"
    ).fetchall()
    assert len(rows) == len(times())
    for time, cast, of_text, parsed, seconds in rows:
        wanted = moment(time, ZoneInfo(zone))
        assert [one.astimezone(dt.UTC) for one in (cast, of_text, parsed)] == [wanted] * 3
        assert seconds == int(wanted.timestamp())


@pytest.mark.parametrize("zone", ZONES)
def test_what_clocks_show_at_moments(con: tsdb.Connection, zone: str) -> None:
    con.execute(f"SET 'table.local-time-zone' = '{zone}'")
    rows = con.execute(
        "SELECT ts, CAST(ts AS STRING), CAST(ts AS TIMESTAMP(3)), CAST(ts AS DATE), CAST(ts AS TIME), HOUR(ts), "
        "DATE_FORMAT(ts, 'yyyy-MM-dd HH:mm'), DATE_TRUNC('month', ts), EXTRACT(EPOCH FROM ts), FLOOR(ts TO HOUR) "
        "FROM given"
    ).fetchall()
    for wanted, row in zip(times(), rows, strict=True):
        shown = wanted.replace(tzinfo=dt.UTC).astimezone(ZoneInfo(zone))
        clock = shown.replace(tzinfo=None)
        assert row[0] == shown and row[0].utcoffset() == shown.utcoffset()
        assert row[1] == clock.isoformat(sep=" ", timespec="milliseconds")
        assert row[2:6] == (clock, clock.date(), clock.time(), clock.hour)
        assert row[6] == f"{clock:%Y-%m-%d %H:%M}"
        assert row[7].astimezone(dt.UTC) == moment(
            clock.replace(day=1, hour=0, minute=0, second=0, microsecond=0), ZoneInfo(zone)
        )
        assert row[8] == int(shown.timestamp())
        into = dt.timedelta(minutes=clock.minute, seconds=clock.second, microseconds=clock.microsecond)
        assert row[9].astimezone(dt.UTC) == shown.astimezone(dt.UTC) - into


@pytest.mark.parametrize("zone", ["Europe/Berlin", "America/New_York", "-05:30", "GMT+2"])
def test_a_stream_closes_the_windows_of_local_days(zone: str) -> None:
    with connected(zone) as con:
        con.execute("CREATE TABLE t (v INT, ts TIMESTAMP_LTZ(3), WATERMARK FOR ts AS ts - INTERVAL '5' SECOND)")
        con.execute("INSERT INTO t VALUES (1, TIMESTAMP_LTZ '2024-07-02 00:30:00')")
        con.execute("INSERT INTO t VALUES (2, TIMESTAMP_LTZ '2024-07-02 23:50:00')")
        con.execute("SET 'execution.mode' = 'streaming'")
        days = con.execute(
            "SELECT CAST(window_start AS STRING), sum(v) FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' DAY) "
            "GROUP BY window_start, window_end"
        )
        con.execute("RESET 'execution.mode'")
        for more, closed in (("00:00:00", []), ("00:00:04", []), ("00:00:05", [("+I", "2024-07-02 00:00:00.000", 3)])):
            con.execute(f"INSERT INTO t VALUES (9, TIMESTAMP_LTZ '2024-07-03 {more}')")
            assert [tuple(row.values()) for row in days.poll().to_pylist()] == closed, more
        days.close()


def test_windows_stay_open_while_an_hour_comes_twice() -> None:
    with connected("Europe/Berlin") as con:
        con.execute("CREATE TABLE t (v INT, ts TIMESTAMP_LTZ(3), WATERMARK FOR ts AS ts)")
        con.execute("SET 'execution.mode' = 'streaming'")
        query = (
            "SELECT CAST(window_start AS STRING), sum(v) FROM TUMBLE(TABLE t, DESCRIPTOR(ts), INTERVAL '1' HOUR) "
            "GROUP BY window_start, window_end"
        )
        hours = con.execute(query)
        con.execute("RESET 'execution.mode'")
        got = []
        for value, utc in enumerate(("00:10", "00:50", "01:10", "01:50", "02:10", "03:10")):  # 02:10, 02:50, 02:10, …
            con.execute(f"INSERT INTO t VALUES ({2**value}, TIMESTAMP_LTZ '2024-10-27 {utc}:00Z')")
            got += [tuple(row.values())[1:] for row in hours.poll().to_pylist()]
        hours.close()
        assert got == [("2024-10-27 02:00:00.000", 15), ("2024-10-27 03:00:00.000", 16)]
        assert sorted(con.execute(query).fetchall())[:2] == got


def test_a_computed_column_of_a_stream_has_the_clock_of_the_session() -> None:
    with connected("Asia/Tokyo") as con:
        con.execute("CREATE TABLE t (v INT, ts TIMESTAMP_LTZ(3), d AS CAST(ts AS DATE))")
        con.execute("INSERT INTO t VALUES (1, TIMESTAMP_LTZ '2024-07-02 00:30:00')")
        day = dt.date(2024, 7, 2)
        assert con.execute("SELECT d FROM t").fetchall() == [(day,)]
        con.execute("SET 'execution.mode' = 'streaming'")
        con.execute("SET 'scan.bounded.mode' = 'latest'")
        changes = con.execute("SELECT d, ts FROM t").fetchall()
        assert changes == [("+I", day, dt.datetime(2024, 7, 2, 0, 30, tzinfo=ZoneInfo("Asia/Tokyo")))]


def test_arrow_rows_have_the_zone_and_may_come_back() -> None:
    with connected("Asia/Tokyo") as con:
        rows = con.execute("SELECT TIMESTAMP_LTZ '2024-07-02 00:30:00' AS ts, ARRAY[TO_TIMESTAMP_LTZ(0, 3)] AS a")
        table = rows.fetch_arrow_table()
        assert table.schema.field("ts").type == pa.timestamp("us", "Asia/Tokyo")
        con.register("back", table)
        query = "SELECT CAST(ts AS STRING), ts = '2024-07-02 00:30:00', CAST(a[1] AS STRING) FROM back"
        assert con.execute(query).fetchall() == [("2024-07-02 00:30:00.000000", True, "1970-01-01 09:00:00.000")]


def test_as_of_a_time_of_the_session() -> None:
    with connected("Asia/Tokyo") as con:
        con.execute("CREATE TABLE t (v INT)")
        con.execute("INSERT INTO t VALUES (1)")
        soon = (dt.datetime.now(dt.UTC) + dt.timedelta(minutes=5)).astimezone(ZoneInfo("Asia/Tokyo"))
        query = f"SELECT v FROM t FOR SYSTEM_TIME AS OF TIMESTAMP '{soon:%Y-%m-%d %H:%M:%S}'"
        assert con.execute(query).fetchall() == [(1,)]
        with pytest.raises(tsdb.Error):
            con.execute(query.replace(f"{soon:%H:%M:%S}", f"{soon - dt.timedelta(minutes=10):%H:%M:%S}")).fetchall()


def test_a_csv_file_has_moments_with_an_offset_or_of_the_session(tmp_path: Path) -> None:
    (tmp_path / "in.csv").write_text("id,at\n1,2024-07-02 00:30:00\n2,2024-07-01T22:30:00Z\n3,\n")
    with connected("Europe/Berlin") as con:
        con.execute("CREATE TABLE t (id INT, ts TIMESTAMP_LTZ(3))")
        con.execute(f"COPY t FROM '{tmp_path}/in.csv'")
        same = dt.datetime(2024, 7, 1, 22, 30, tzinfo=dt.UTC)
        assert con.execute("SELECT ts FROM t ORDER BY id").fetchall() == [(same,), (same,), (None,)]
        con.execute(f"COPY t TO '{tmp_path}/out.csv'")
        assert "2024-07-01 22:30:00.000Z" in (tmp_path / "out.csv").read_text()

"""Each rule: what it writes, and that the rows are right."""

import random
from collections import Counter
from datetime import datetime
from typing import Any

import datafusion
import pyarrow as pa
import pytest

from tsdb.errors import NotSupportedError, ProgrammingError
from tsdb.sql.java_pattern import to_strftime

from .conftest import Bind, Rows


def minute(value: int) -> datetime:
    return datetime(1970, 1, 1, value // 60, value % 60)


def test_tumble(context: datafusion.SessionContext, bind: Bind, rows: Rows) -> None:
    bound = bind("SELECT * FROM TABLE(TUMBLE(TABLE orders, DESCRIPTOR(TS), INTERVAL '10' MINUTE))")
    schema = context.sql(bound.sql).schema()
    assert {schema.field(name).type for name in ("window_start", "window_end", "window_time")} == {pa.timestamp("ms")}
    assert bound.names is not None and bound.names[-3:] == ("window_start", "window_end", "window_time")
    named = "TUMBLE(DATA => TABLE orders, TIMECOL => DESCRIPTOR(ts), SIZE => INTERVAL '10' MINUTE)"
    query = f"SELECT window_start, window_end, COUNT(*) FROM {named} GROUP BY window_start, window_end"
    expected = [(minute(0), minute(10), 2), (minute(10), minute(20), 1), (minute(60), minute(70), 1)]
    assert rows(query) == sorted(expected, key=repr)


def test_tumble_offset_may_be_negative_and_times_before_the_epoch_are_floored(rows: Rows) -> None:
    for offset, start in ((-16, "23:54"), (-6, "23:54"), (4, "23:54"), (-4, "23:56"), (6, "23:56"), (16, "23:56")):
        sign, size = ("-" if offset < 0 else ""), abs(offset)
        source = "(SELECT CAST('1969-06-02 00:00:04' AS TIMESTAMP(3)) AS ts) AS s"
        query = (
            "WITH s AS (SELECT * FROM " + source + ") SELECT CAST(window_start AS STRING) FROM TABLE(TUMBLE(TABLE s, "
            f"DESCRIPTOR(ts), INTERVAL '10' MINUTE, {sign}INTERVAL '{size}' MINUTE))"
        )
        assert rows(query) == [(f"1969-06-01 {start}:00.000",)]


def test_hop_puts_a_row_in_every_window_it_belongs_to(rows: Rows) -> None:
    query = (
        "SELECT window_start, window_end, id FROM TABLE(HOP(TABLE orders, DESCRIPTOR(ts), "
        "INTERVAL '5' MINUTE, INTERVAL '10' MINUTE)) WHERE id IN (2, 3)"
    )
    expected = [
        (datetime(1969, 12, 31, 23, 55), minute(5), 2),
        (minute(0), minute(10), 2),
        (minute(5), minute(15), 3),
        (minute(10), minute(20), 3),
    ]
    assert rows(query) == sorted(expected, key=repr)


def test_cumulate_grows_to_its_size(rows: Rows) -> None:
    query = (
        "SELECT id, window_start, window_end FROM TABLE(CUMULATE(TABLE orders, DESCRIPTOR(ts), "
        "INTERVAL '1' MINUTE, INTERVAL '3' MINUTE)) WHERE id <= 2"
    )
    expected = [(1, minute(0), minute(end)) for end in (1, 2, 3)] + [(2, minute(0), minute(end)) for end in (2, 3)]
    assert rows(query) == sorted(expected, key=repr)


def test_session_ends_after_the_gap(rows: Rows) -> None:
    query = (
        "SELECT window_start, window_end, COUNT(*) FROM TABLE(SESSION(TABLE orders, DESCRIPTOR(ts), "
        "INTERVAL '10' MINUTE)) GROUP BY window_start, window_end"
    )
    expected = [
        (minute(0), minute(20), 3),
        (datetime(1970, 1, 1, 1, 6, 40), datetime(1970, 1, 1, 1, 16, 40), 1),
    ]
    assert rows(query) == sorted(expected, key=repr)


def test_group_window_is_the_table_function(rows: Rows) -> None:
    query = (
        "SELECT TUMBLE_START(ts, INTERVAL '10' MINUTE) AS s, COUNT(*) FROM orders WHERE id < 4 "
        "GROUP BY TUMBLE(ts, INTERVAL '10' MINUTE)"
    )
    assert rows(query) == sorted([(minute(0), 2), (minute(10), 1)], key=repr)


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        ("TUMBLE(TABLE orders, DESCRIPTOR(ts))", ProgrammingError, "`TUMBLE` lacks SIZE"),
        ("HOP(TABLE orders, DESCRIPTOR(ts), INTERVAL '3' MINUTE, INTERVAL '10' MINUTE)", ProgrammingError, "multiple"),
        ("TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '1' MONTH)", NotSupportedError, "constant"),
        ("TUMBLE(TABLE orders, DESCRIPTOR(ts), INTERVAL '0' SECOND)", ProgrammingError, "positive"),
    ],
)
def test_wrong_windows(bind: Bind, call: str, error: type[Exception], message: str) -> None:
    with pytest.raises(error, match=message):
        bind(f"SELECT * FROM TABLE({call})")


def test_except_all_and_intersect_all_count(context: datafusion.SessionContext, bind: Bind, rows: Rows) -> None:
    chance = random.Random(7)
    for _ in range(5):
        left = [chance.choice([1, 2, 3, None]) for _ in range(12)]
        right = [chance.choice([1, 2, 3, None]) for _ in range(6)]

        def values(items: list[int | None]) -> str:
            listed = ", ".join(f"({'NULL' if item is None else item})" for item in items)
            return f"SELECT CAST(x AS INT) AS x FROM (VALUES {listed}) AS t(x)"

        for operation, expected in (
            ("EXCEPT ALL", Counter(left) - Counter(right)),
            ("INTERSECT ALL", Counter(left) & Counter(right)),
        ):
            found = rows(f"{values(left)} {operation} {values(right)}")
            assert Counter(row[0] for row in found) == expected


def test_except_all_keeps_order_and_limit(rows: Rows) -> None:
    query = "SELECT k, v FROM l EXCEPT ALL SELECT 1, 'a' ORDER BY K DESC, v LIMIT 2"
    assert rows(query, ordered=True) == [(2, "c"), (1, "a")]


def test_null_order_is_flinks_unless_written(bind: Bind, rows: Rows) -> None:
    assert rows("SELECT k FROM r ORDER BY k", ordered=True) == [(None,), (1,), (3,)]
    assert rows("SELECT k FROM r ORDER BY k DESC", ordered=True) == [(3,), (1,), (None,)]
    assert rows("SELECT k FROM r ORDER BY k NULLS LAST", ordered=True) == [(1,), (3,), (None,)]
    assert rows("SELECT k FROM r ORDER BY k DESC NULLS FIRST", ordered=True) == [(None,), (3,), (1,)]
    assert rows("SELECT w, ROW_NUMBER() OVER (ORDER BY k) AS n FROM r") == [("A", 2), ("C", 3), ("N", 1)]


SCALARS = {
    "SELECT k FROM l WHERE k = (SELECT MAX(k) FROM l)": [(2,)],
    "SELECT v, (SELECT COUNT(*) FROM r) AS n FROM l WHERE k = 2": [("c", 3)],
    "SELECT *, (SELECT MIN(w) FROM r) FROM l WHERE k = 2": [(2, "c", "A")],
    "SELECT k, COUNT(*) FROM l GROUP BY k HAVING COUNT(*) > (SELECT COUNT(*) - 1 FROM r)": [(1, 3)],
    "SELECT v FROM l WHERE k = (SELECT k FROM r ORDER BY k DESC LIMIT 1) OR k = 2": [("c",)],
    "SELECT COUNT(*) * 100 / (SELECT COUNT(*) FROM l) FROM l WHERE k > 1": [(20,)],
    "SELECT COUNT(*), (SELECT MAX(k) FROM r) FROM l WHERE k > 100": [(0, 3)],
    "SELECT SUM(k - (SELECT MIN(k) FROM r)) FILTER (WHERE v > 'a') FROM l": [(1,)],
    "SELECT MAX(k) + 1 FROM l HAVING COUNT(*) > (SELECT COUNT(*) FROM r) OR COUNT(*) = 0": [(3,)],
    "SELECT v FROM l WHERE k BETWEEN (SELECT MAX(k) - 1 FROM r) AND (SELECT MAX(k) FROM r)": [("c",)],
}


@pytest.mark.parametrize(("sql", "expected"), SCALARS.items(), ids=list(SCALARS))
def test_scalar_subqueries_become_joins_in_streaming(
    bind: Bind, rows: Rows, sql: str, expected: list[tuple[Any, ...]]
) -> None:
    assert rows(sql) == expected
    assert rows(sql, streaming=True) == expected
    assert '"$scalar1"' in bind(sql, streaming=True).sql and "$scalar" not in bind(sql).sql


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT k FROM l WHERE k = (SELECT MAX(k) FROM r WHERE r.w = l.v)",  # correlated
        "SELECT COUNT(*), SUM(COUNT(*)) OVER (), (SELECT MAX(k) FROM r) FROM l",  # a window over aggregates
        "SELECT k FROM l WHERE k IN (SELECT MAX(k) FROM r)",  # no scalar
    ],
)
def test_other_subqueries_stay(bind: Bind, sql: str) -> None:
    assert "$scalar" not in bind(sql, streaming=True).sql


FUNCTIONS: dict[str, Any] = {
    "ROUND(LOG(10), 3)": 2.303,
    "LOG(2, 8)": 3.0,
    "CONCAT('a', NULL)": None,
    "CONCAT('a', 'b', 1)": "ab1",
    "GREATEST(1, NULL)": None,
    "GREATEST(1, 3, 2)": 3,
    "LEAST(2, 1)": 1,
    "REGEXP_REPLACE('aXbX', 'X', '-')": "a-b-",
    "REGEXP_REPLACE('ab', '(a)(b)', '$2$1x')": "$2$1x",
    "REGEXP_EXTRACT('foobar', 'o(.)a', 1)": "b",
    "REGEXP_EXTRACT('foobar', 'o+')": "oo",
    "REGEXP('abc', 'b.')": True,
    "YEAR(TIMESTAMP '2024-02-03 04:05:06')": 2024,
    "QUARTER(DATE '2024-05-01')": 2,
    "DAYOFWEEK(DATE '2024-01-07')": 1,
    "DAYOFYEAR(DATE '2024-02-01')": 32,
    "EXTRACT(MINUTE FROM TIMESTAMP '2024-02-03 04:05:06')": 5,
    "HOUR(TIMESTAMP '2024-02-03 04:05:06')": 4,
    "MOD(7 + 1, 3)": 2,
    "TRUNCATE(1.567, 1)": 1.5,
    "IF(1 > 2, 'y', 'n')": "n",
    "LOCATE('b', 'abcb')": 2,
    "LOCATE('b', 'abcb', 3)": 4,
    "LOCATE('x', 'abcb', 3)": 0,
    "SPLIT_INDEX('a,b,c', ',', 1)": "b",
    "SPLIT_INDEX('a,b', ',', 5)": None,
    "SPLIT_INDEX('a,b', ',', 0 - 1)": None,
    "TIMESTAMPADD(MONTH, 1, DATE '2024-01-31')": datetime(2024, 2, 29).date(),
    "TIMESTAMPADD(HOUR, 1 + 1, TIMESTAMP '2024-01-01 00:00:00')": datetime(2024, 1, 1, 2),
    "TIMESTAMPDIFF(HOUR, TIMESTAMP '2024-01-01 00:00:00', TIMESTAMP '2024-01-01 01:59:59')": 1,
    "TIMESTAMPDIFF(DAY, TIMESTAMP '2024-01-02 00:00:00', TIMESTAMP '2024-01-01 01:00:00')": 0,
    "TIMESTAMPDIFF(MONTH, DATE '2024-01-15', DATE '2024-03-14')": 1,
    "TIMESTAMPDIFF(YEAR, DATE '2024-02-29', DATE '2020-03-01')": -3,
    "DATEDIFF(DATE '2024-03-01', DATE '2024-02-01')": 29,
    "DATE_FORMAT(TIMESTAMP '2024-01-02 03:04:05.678', 'yyyy-MM-dd HH:mm:ss.SSS')": "2024-01-02 03:04:05.678",
    "DATE_FORMAT('2024-01-02 03:04:05', 'yyyyMMdd')": "20240102",
    "TO_TIMESTAMP('2024-01-02 03:04:05')": datetime(2024, 1, 2, 3, 4, 5),
    "TO_TIMESTAMP('02/01/2024 10:11', 'dd/MM/yyyy HH:mm')": datetime(2024, 1, 2, 10, 11),
    "TO_DATE('20240102', 'yyyyMMdd')": datetime(2024, 1, 2).date(),
    "FROM_UNIXTIME(86400)": "1970-01-02 00:00:00",
    "UNIX_TIMESTAMP('1970-01-02 00:00:00')": 86400,
    "FLOOR(TIMESTAMP '2024-01-02 03:04:05' TO DAY)": datetime(2024, 1, 2),
    "CEIL(TIMESTAMP '2024-01-02 03:04:05' TO HOUR)": datetime(2024, 1, 2, 4),
    "CEIL(TIMESTAMP '2024-01-02 03:00:00' TO HOUR)": datetime(2024, 1, 2, 3),
    "SHA256('a')": "ca978112ca1bbdcafac231b39a23dc4da786eff8147c4e72b9807785afee48bb",
    "TO_BASE64('a')": "YQ==",
    "FROM_BASE64('YQ==')": "a",
    "MAP['a', 1]": [("a", 1)],
    "CARDINALITY(ARRAY[1, 2])": 2,
    "TIMESTAMP '2024-01-01 00:00:00' + 2 * INTERVAL '12' HOUR": datetime(2024, 1, 2),
    "TIMESTAMP '2024-03-01 00:00:00' - INTERVAL '1-2' YEAR TO MONTH": datetime(2023, 1, 1),
    "ARRAY['a', 'b'][1]": "a",
    "POSITION('b' IN 'abc')": 2,
    "'a' || 'b'": "ab",
    "7 / 2": 3,
    "CAST('12' AS INTEGER)": 12,
    "1_000": 1000,
    "x'00ff'": b"\x00\xff",
}


@pytest.mark.parametrize(("expression", "expected"), FUNCTIONS.items(), ids=list(FUNCTIONS))
def test_functions(rows: Rows, expression: str, expected: Any) -> None:
    assert rows(f"SELECT {expression} AS v") == [(expected,)]


def test_listagg(rows: Rows) -> None:
    assert rows("SELECT LISTAGG(v) WITHIN GROUP (ORDER BY v DESC) FROM l") == [("n,c,b,a,a",)]
    assert rows("SELECT LISTAGG(v, ';' ORDER BY v) FROM l WHERE k = 1") == [("a;a;b",)]
    assert rows("SELECT LISTAGG(DISTINCT v) FROM l WHERE v = 'a'") == [("a",)]


@pytest.mark.parametrize(
    ("type_name", "expected"),
    {
        "TIMESTAMP": pa.timestamp("us"),
        "TIMESTAMP(3)": pa.timestamp("ms"),
        "TIMESTAMP(9)": pa.timestamp("ns"),
        "TIMESTAMP_LTZ(3)": pa.timestamp("ms", "UTC"),
        "TIMESTAMP(6) WITH LOCAL TIME ZONE": pa.timestamp("us", "UTC"),
        "DECIMAL(10, 2)": pa.decimal128(10, 2),
        "FLOAT": pa.float32(),
        "DOUBLE": pa.float64(),
        "TINYINT": pa.int8(),
        "ARRAY<INT>": pa.list_(pa.int32()),
        "BYTES": pa.binary(),
    }.items(),
)
def test_cast_types(context: datafusion.SessionContext, bind: Bind, type_name: str, expected: pa.DataType) -> None:
    assert context.sql(bind(f"SELECT CAST(NULL AS {type_name}) AS v").sql).schema().field("v").type == expected


def test_refusals(bind: Bind) -> None:
    for sql in (
        "SELECT RAND(1)",
        "SELECT RAND_INTEGER(1, 10)",
    ):
        with pytest.raises(NotSupportedError):
            bind(sql)
    with pytest.raises(ProgrammingError, match="MOD takes 2 arguments, not 1"):
        bind("SELECT MOD(1)")


def test_java_patterns() -> None:
    assert to_strftime("yyyy-MM-dd'T'HH:mm:ss.SSS") == "%Y-%m-%dT%H:%M:%S%.3f"
    assert to_strftime("d/M/yy 'o''clock' 100%") == "%-d/%-m/%y o'clock 100%%"


def test_all_of_all_keeps_its_multiplicities(rows: Rows) -> None:
    three, two, ones = (f"SELECT * FROM (VALUES {', '.join(['(3)'] * n)}) AS s(x)" for n in (3, 2, 1))
    assert rows(f"({three} EXCEPT ALL {ones}) INTERSECT ALL {three}") == [(3,), (3,)]
    assert rows(f"{three} EXCEPT ALL ({two} INTERSECT ALL {ones})") == [(3,), (3,)]
    assert rows(f"SELECT * FROM ({three} EXCEPT ALL {two}) AS t INTERSECT ALL ({two} EXCEPT ALL {ones})") == [(3,)]

"""`?` takes values, typed, and only where it is a placeholder."""

import datetime as dt
from decimal import Decimal
from typing import Any

import datafusion
import numpy as np
import pandas as pd
import pytest

from tsdb.errors import NotSupportedError, ProgrammingError
from tsdb.sql.parameters import bind, count
from tsdb.sql.parser import parse_one, parse_script
from tsdb.sql.statements import Call, Insert, Select
from tsdb.sql.unparse import to_datafusion

VALUES: list[Any] = [
    None,
    True,
    -5,
    Decimal(2**70),
    1.5,
    -0.0,
    1e300,
    Decimal("-1.50"),
    "x'; DROP TABLE t --",
    b"\x00\xff",
    dt.date(2020, 1, 1),
    dt.datetime(2020, 1, 1, 1, 2, 3, 4),
    [1, 2],
]


@pytest.mark.parametrize("value", VALUES, ids=repr)
def test_a_value_comes_back_as_it_went_in(context: datafusion.SessionContext, value: Any) -> None:
    statement = parse_one("SELECT ? AS v")
    assert isinstance(statement, Select)
    sql = to_datafusion(bind(statement, [value]).query)
    found = context.sql(sql).to_arrow_table().to_pylist()[0]["v"]
    assert found == value and repr(found) == repr(value)


def test_zoned_and_short_times(context: datafusion.SessionContext) -> None:
    zone = dt.timezone(dt.timedelta(hours=2))
    statement = bind(
        parse_one("SELECT ? AS a, ? AS b"), [dt.datetime(2020, 1, 1, 2, tzinfo=zone), dt.timedelta(seconds=-1.5)]
    )
    assert isinstance(statement, Select)
    row = context.sql(to_datafusion(statement.query)).to_arrow_table().to_pylist()[0]
    assert row["a"] == dt.datetime(2020, 1, 1, tzinfo=dt.UTC)
    assert row["b"].nanoseconds == -1_500_000_000


def test_an_integer_beyond_64_bits_is_a_decimal(context: datafusion.SessionContext) -> None:
    statement = bind(parse_one("SELECT ? AS v"), [2**70])
    assert isinstance(statement, Select)
    assert context.sql(to_datafusion(statement.query)).to_arrow_table().to_pylist() == [{"v": Decimal(2**70)}]


def test_question_marks_in_strings_names_and_comments_are_none() -> None:
    statement = parse_script("SELECT 1;\nSELECT '?', `?`, ? /* ? */ -- ?\nFROM t WHERE a IN (?, ?) LIMIT ?")[1]
    assert count(statement) == 4
    bound = bind(statement, (1, "b", "c", 10))
    assert isinstance(bound, Select)
    assert to_datafusion(bound.query) == """SELECT '?', "?", 1 FROM "t" WHERE "a" IN ('b', 'c') LIMIT 10"""


@pytest.mark.parametrize("parameters", [(), (1, 2)])
def test_wrong_count_is_refused(parameters: tuple[int, ...]) -> None:
    with pytest.raises(ProgrammingError, match="has 1 placeholder `\\?`, but"):
        bind(parse_one("SELECT ?"), parameters)


def test_placeholders_everywhere_else() -> None:
    insert = bind(parse_one("INSERT OVERWRITE t PARTITION (dt = ?) VALUES (?, ?)"), ["2024", 1, None])
    call = bind(parse_one("CALL sys.x(?, n => ?)"), ["a", 2])
    assert isinstance(insert, Insert) and insert.partition == {"dt": "2024"}
    assert call == Call("sys.x", ("a",), {"n": 2})


def test_unknown_type_is_refused() -> None:
    with pytest.raises(NotSupportedError, match="a parameter of type object"):
        bind(parse_one("SELECT ?"), [object()])


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (-(2**63), "-9223372036854775808"),
        (np.datetime64("2024-01-02T03:04:05.123456789"), "2024-01-02T03:04:05.123456789"),
        (np.datetime64("2024-01-02"), "2024-01-02T00:00:00"),
        (np.datetime64("NaT"), None),
        (pd.Timestamp("2024-01-02 03:04:05.123456789"), "2024-01-02T03:04:05.123456789"),
        (pd.NaT, None),
        (pd.NA, None),
        (np.int64(5), "5"),
    ],
    ids=repr,
)
def test_values_of_numpy_and_pandas(context: datafusion.SessionContext, value: Any, expected: str | None) -> None:
    statement = bind(parse_one("SELECT CAST(? AS VARCHAR) AS v"), [value])
    assert isinstance(statement, Select)
    assert context.sql(to_datafusion(statement.query)).to_arrow_table().to_pylist() == [{"v": expected}]

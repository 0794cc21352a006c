"""DataFusion's errors as ours: the right class, the user's names, a place in the text."""

from typing import Any

import pytest

from tsdb.errors import BindError, ColumnNotFound, DataError, Error, NotSupportedError, ProgrammingError


@pytest.mark.parametrize(
    ("sql", "error", "text"),
    [
        ("SELECT 1 / 0", DataError, "column 8: division by zero"),
        ("SELECT k % 0 FROM t", DataError, "division by zero"),
        ("SELECT CAST('x' AS INT)", DataError, "line 1, column 13: Cannot cast string 'x' to value of INT type"),
        ("SELECT k FROM t WHERE k = 'Int32'", DataError, "column 27: Cannot cast string 'Int32' to value of INT type"),
        ("INSERT INTO t VALUES (9999999999, 'x')", DataError, "values of type BIGINT do not fit"),
        ("SELECT lag(k) FROM t", BindError, r"lag\(…\) OVER"),
        ("SELECT (SELECT max(b.k) FROM t b RIGHT JOIN t c ON b.k < a.k) FROM t a", NotSupportedError, "join"),
        ("SELECT CAST(v AS INT) FROM t", DataError, "Cannot cast string 'a'"),
        ("SELECT CAST(300 AS TINYINT)", DataError, "300"),
        ("SELECT CAST(k * 1000 AS TINYINT) FROM t", DataError, "1000"),
        ("SELECT CAST(k * 1000 AS DECIMAL(3, 1)) FROM t", DataError, "too large"),
        ("SELECT (SELECT k FROM t) FROM t", DataError, "more than one row"),
        ("SELECT 1,\n  foo(2)", BindError, "line 2, column 3: .*`foo`"),
        ("SELECT abs(v) FROM t", BindError, "line 1, column 8: "),
        ("SELECT k FROM t WHERE v", BindError, "non-boolean"),
        ("SELECT 1 UNION SELECT 1, 2", ProgrammingError, "different number of columns"),
        ("SELECT k, count(*) FROM t", BindError, r"neither in GROUP BY"),
        ("SELECT a.k FROM t a JOIN t b ON a.nope = b.k", ColumnNotFound, "nope"),
        (
            "SELECT sum(v) FROM t b",
            BindError,
            "column 8: function 'sum' does not take .*: String",
        ),
    ],
)
def test_errors_of_queries(ask: Any, sql: str, error: type[Error], text: str) -> None:
    ask.run("CREATE TABLE t (k INT, v STRING); INSERT INTO t VALUES (1, 'a'), (2, 'b')")
    with pytest.raises(error, match=text) as caught:
        ask.rows(sql)
    said = str(caught.value)
    noises = ("DataFusion error", "Arrow error", "datafusion.public", "t__2", "bug in DataFusion", "caught by")
    for noise in (*noises, "Utf8", "Int64"):
        assert noise not in said


def test_out_of_memory_says_what_to_do(ask: Any) -> None:
    ask.session.execute_one("SET 'memory.limit' = '1 kb'")
    with pytest.raises(Error, match=r"memory\.limit"):
        ask.rows("SELECT column1, count(*) FROM (VALUES (1), (2), (3)) GROUP BY column1 ORDER BY 1")
    ask.session.execute_one("RESET 'memory.limit'")
    assert ask.rows("SELECT count(*) FROM (VALUES (1), (2)) AS v") == [(2,)]

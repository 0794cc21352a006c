"""Functions written in Python, used in SQL: of values and aggregates, as batch and as stream."""

import math
import re
from collections.abc import Iterator
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc
import pytest

import tsdb


class GeometricMean:
    """An aggregate, as users write one."""

    parameters = ("DOUBLE",)
    return_type = "DOUBLE"

    def __init__(self) -> None:
        self.sum, self.count = 0.0, 0

    def step(self, values: pa.Array) -> None:
        """More values."""
        self.sum += pc.sum(pc.ln(values)).as_py() or 0.0
        self.count += len(values) - values.null_count

    def state(self) -> tuple[float, int]:
        """What another one needs to go on."""
        return self.sum, self.count

    def merge(self, state: tuple[float, int]) -> None:
        """What another one has seen."""
        self.sum, self.count = self.sum + state[0], self.count + state[1]

    def finish(self) -> float | None:
        """The value."""
        return math.exp(self.sum / self.count) if self.count else None


def shout(text: str, times: int) -> str:
    """For LANGUAGE PYTHON, too."""
    return text.upper() * times


@pytest.fixture(params=["batch", "streaming"])
def con(request: pytest.FixtureRequest) -> Iterator[tsdb.Connection]:
    with tsdb.connect(":memory:") as connection:
        connection.execute("CREATE TABLE t (a INT, s STRING, PRIMARY KEY (a) NOT ENFORCED)")
        connection.execute("INSERT INTO t VALUES (1, 'x'), (2, 'y'), (4, NULL)")
        connection.execute(f"SET 'execution.mode' = '{request.param}'")
        connection.execute("SET 'scan.bounded.mode' = 'latest'")
        yield connection


def rows(con: tsdb.Connection, sql: str) -> list[tuple[Any, ...]]:
    """The rows without their kinds, sorted."""
    found = con.execute(sql).fetchall()
    streaming = con.option("execution.mode") == "streaming"
    return sorted((row[1:] if streaming else row for row in found), key=repr)


def test_a_function_of_one_row(con: tsdb.Connection) -> None:
    con.create_function("shout", shout)
    con.create_function("is_missing", lambda s: s is None, ["STRING"], "BOOLEAN", null_handling="special")
    assert rows(con, "SELECT Shout(s, a) FROM t") == [("X",), ("YY",), (None,)]
    assert rows(con, "SELECT is_missing(s) FROM t WHERE shout(s, 1) = 'X' OR a = 4") == [(False,), (True,)]


def test_a_function_of_arrays(con: tsdb.Connection) -> None:
    con.create_function("plus", pc.add, ["BIGINT", pa.int64()], "BIGINT", type="arrow")
    assert rows(con, "SELECT plus(a, 1) FROM t WHERE plus(a, a) > 2") == [(3,), (5,)]
    con.create_function("short", lambda a: a[:1], ["BIGINT"], "BIGINT", type="arrow")
    with pytest.raises(tsdb.DataError, match=r"function `short` failed: .*1 values for"):
        rows(con, "SELECT short(a) FROM t")


def test_an_aggregate(con: tsdb.Connection) -> None:
    con.create_aggregate("geomean", GeometricMean, ["DOUBLE"], "DOUBLE")
    assert rows(con, "SELECT round(geomean(a), 6) FROM t") == [(2.0,)]
    assert rows(con, "SELECT s, geomean(a) FROM t WHERE a < 3 GROUP BY s") == [("x", 1.0), ("y", pytest.approx(2.0))]


def test_a_function_by_its_python_name(con: tsdb.Connection) -> None:
    con.execute(f"CREATE TEMPORARY FUNCTION loud AS '{__name__}.shout' LANGUAGE PYTHON")
    con.execute("CREATE TEMPORARY FUNCTION IF NOT EXISTS loud AS 'not.there' LANGUAGE PYTHON")
    con.execute(f"CREATE TEMPORARY FUNCTION middle AS '{__name__}.GeometricMean' LANGUAGE PYTHON")
    assert rows(con, "SELECT loud(s, 1) FROM t WHERE a < 3") == [("X",), ("Y",)]
    assert rows(con, "SELECT round(middle(a)) FROM t") == [(2.0,)]
    assert ("loud",) in con.execute("SHOW FUNCTIONS LIKE 'lo%'").fetchall()
    con.execute("DROP FUNCTION loud")
    con.execute("DROP TEMPORARY FUNCTION IF EXISTS loud")
    with pytest.raises(tsdb.BindError, match="loud"):
        rows(con, "SELECT loud(s, 1) FROM t")


def test_what_a_function_raises_is_said(con: tsdb.Connection) -> None:
    def bad(s: str) -> int:
        return 1 // 0

    con.create_function("bad", bad)
    with pytest.raises(tsdb.DataError, match="function `bad` failed: ZeroDivisionError: integer division"):
        rows(con, "SELECT bad(s) FROM t")


def test_the_line_of_user_code_that_failed_is_said(con: tsdb.Connection) -> None:
    def helper(x: int) -> int:
        return 1 // (x - 1)

    con.create_function("outer_one", lambda x: helper(x), ["INT"], "INT")
    with pytest.raises(tsdb.DataError) as caught:
        rows(con, "SELECT a,\n outer_one(a) FROM t")
    assert re.search(r"\(test_functions\.py, line \d+, in helper: return 1 // \(x - 1\)\)", str(caught.value))
    assert caught.value.position is not None and caught.value.position.line == 2
    with pytest.raises(tsdb.DataError, match="in helper"):
        rows(con, "SELECT outer_one(1)")


def words(text: str) -> Iterator[tuple[int, str]]:
    """A function of tables, for LANGUAGE PYTHON."""
    yield from enumerate(text.split())


words.columns = {"n": "INT", "word": "STRING"}  # type: ignore[attr-defined]


def test_a_function_of_tables(con: tsdb.Connection) -> None:
    con.create_function("phrase", lambda a: " ".join("pqrs"[:a]), ["INT"], "STRING")
    con.execute(f"CREATE TEMPORARY FUNCTION words AS '{__name__}.words' LANGUAGE PYTHON")
    con.create_table_function("letters", lambda text: list(text), ["STRING"], {"letter": "STRING"})
    con.create_table_function("pairs", lambda n: [{"k": n}, {"v": "x", "k": 0}], ["INT"], {"k": "INT", "v": "STRING"})
    flat = "SELECT a, i, w FROM t, LATERAL TABLE(words(phrase(a))) AS u (i, w) WHERE a < 3"
    assert rows(con, flat) == [(1, 0, "p"), (2, 0, "p"), (2, 1, "q")]
    left = "SELECT a, u.word FROM t LEFT JOIN LATERAL TABLE(words(t.s)) AS u ON TRUE"
    assert rows(con, left) == [(1, "x"), (2, "y"), (4, None)]
    assert rows(con, "SELECT a, letter FROM t CROSS JOIN LATERAL letters(s)") == [(1, "x"), (2, "y")]
    assert rows(con, "SELECT letter, word FROM t, LATERAL TABLE(words(s)) w, LATERAL TABLE(letters(w.word)) l") == [
        ("x", "x"),
        ("y", "y"),
    ]
    assert rows(con, "SELECT word FROM TABLE(words('ab c')) WHERE n = 1") == [("c",)]
    assert rows(con, "SELECT * FROM letters('ab') AS x (one)") == [("a",), ("b",)]
    assert rows(con, "SELECT k, v FROM pairs(7)") == [(0, "x"), (7, None)]
    grouped = "SELECT word, count(*) FROM t, LATERAL TABLE(words(phrase(a))) GROUP BY word"
    assert rows(con, grouped) == [("p", 3), ("q", 2), ("r", 1), ("s", 1)]
    facts = dict(con.execute("DESCRIBE FUNCTION words").fetchall())
    assert facts["signature"] == "WORDS(STRING) → (n INT, word STRING)" and "line" in facts["python"]
    made = con.execute("SHOW CREATE FUNCTION words").fetchone()
    assert made == (f"CREATE TEMPORARY FUNCTION `words` AS '{__name__}.words' LANGUAGE PYTHON",)
    con.execute("DROP FUNCTION words")
    with pytest.raises(tsdb.Error, match="words"):
        rows(con, flat)


def test_what_a_function_of_tables_may_not(con: tsdb.Connection) -> None:
    con.create_table_function("bad", lambda s: [(1, 2, 3)], ["STRING"], {"n": "INT", "word": "STRING"})
    con.create_table_function("named", lambda s: [{"x": 1}], ["STRING"], {"n": "INT", "word": "STRING"})
    with pytest.raises(tsdb.DataError, match=r"`bad` failed: .*\(1, 2, 3\), not one of the columns n, word"):
        rows(con, "SELECT * FROM t, LATERAL TABLE(bad(s))")
    with pytest.raises(tsdb.DataError, match="it gave the columns x, not n, word"):
        rows(con, "SELECT * FROM named('a')")
    with pytest.raises(tsdb.BindError, match=r"gives 2 columns \(n, word\), but 1 are named"):
        rows(con, "SELECT * FROM t, LATERAL TABLE(bad(s)) AS u (a)")
    with pytest.raises(tsdb.ProgrammingError, match="one column at least"):
        con.create_table_function("none", lambda s: [], ["STRING"], {})


def test_side_effects_cannot_be_taken_back(con: tsdb.Connection) -> None:
    calls: list[str] = []
    con.create_function("note", lambda s: len(calls), ["STRING"], "INT", side_effects=True)
    if con.option("execution.mode") == "streaming":
        with pytest.raises(tsdb.NotSupportedError, match="`note` has side effects"):
            rows(con, "SELECT note(s) FROM t")
    else:
        assert rows(con, "SELECT note(s) FROM t WHERE a = 1") == [(0,)]


def test_what_is_refused(con: tsdb.Connection) -> None:
    con.create_function("shout", shout)
    for name in ("upper", "concat", "sum"):
        with pytest.raises(tsdb.AlreadyExists, match="built-in"):
            con.create_function(name, shout)
    with pytest.raises(tsdb.AlreadyExists, match="`Shout` exists"):
        con.create_function("Shout", shout)
    with pytest.raises(tsdb.ProgrammingError, match="the type of `x` is not known"):
        con.create_function("f", lambda x: x)
    with pytest.raises(tsdb.ProgrammingError, match="is no type"):
        con.create_function("f", lambda x: x, [object], "INT")
    with pytest.raises(tsdb.ProgrammingError, match="'native' or 'arrow'"):
        con.create_function("f", shout, type="rust")  # type: ignore[arg-type]
    with pytest.raises(tsdb.ProgrammingError, match="module `nix` cannot be imported"):
        con.execute("CREATE TEMPORARY FUNCTION f AS 'nix.f' LANGUAGE PYTHON")
    with pytest.raises(tsdb.ProgrammingError, match="is no Python function"):
        con.execute("CREATE TEMPORARY FUNCTION f AS 'math.pie' LANGUAGE PYTHON")
    with pytest.raises(tsdb.NotSupportedError, match="TEMPORARY"):
        con.execute("CREATE FUNCTION f AS 'math.sin' LANGUAGE PYTHON")
    with pytest.raises(tsdb.NotSupportedError, match="PYTHON"):
        con.execute("CREATE TEMPORARY FUNCTION f AS 'math.sin' LANGUAGE JAVA")
    with pytest.raises(tsdb.ProgrammingError, match="no function `f`"):
        con.execute("DROP FUNCTION f")
    con.remove_function("shout")
    with pytest.raises(tsdb.ProgrammingError, match="no function `shout`"):
        con.remove_function("shout")


def test_a_function_with_side_effects_is_called_once_for_a_row(con: tsdb.Connection) -> None:
    calls: list[int] = []
    con.create_function("heard", lambda n: calls.append(n) or n, ["INT"], "INT", side_effects=True)
    if con.option("execution.mode") == "batch":
        row = con.execute("SELECT CAST(heard(5) AS STRING), CAST(heard(6) + 1 AS VARCHAR(3))").fetchall()
        assert row == [("5", "7")] and calls == [5, 6]

"""'table.exec.state.ttl': state that nothing has touched for so long is dropped; a test's clock says how late it is."""

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import tsdb
from tsdb import Connection, clock
from tsdb.clock import SystemClock
from tsdb.errors import NotSupportedError

HOUR = 3_600_000
DDL = """
CREATE TABLE src (k STRING, v BIGINT);
CREATE TABLE other (k STRING, w BIGINT);
CREATE TABLE keyed (k STRING, v BIGINT, PRIMARY KEY (k) NOT ENFORCED);
SET 'execution.mode' = 'streaming';
SET 'table.exec.state.ttl' = '1 h';
"""


@dataclass
class LaterClock(SystemClock):
    """The real time, and some more."""

    later_ms: int = field(default=0)

    def now_ms(self) -> int:
        return super().now_ms() + self.later_ms


@pytest.fixture
def late() -> Iterator[LaterClock]:
    with clock.use(LaterClock()) as made:
        assert isinstance(made, LaterClock)
        yield made


@pytest.fixture
def con(tmp_path: Path, late: LaterClock) -> Iterator[Connection]:
    with tsdb.connect(str(tmp_path)) as connection:
        connection.execute(DDL)
        yield connection


class Watched:
    """A streaming query whose accumulated result is looked at."""

    def __init__(self, con: Connection, query: str) -> None:
        self.con, self.cursor, self.rows = con, con.cursor(), Counter[tuple]()
        self.cursor.execute(query)

    def after(self, statement: str, expected: int) -> list[tuple]:
        """Run it in batch mode; the changes, of which there are so many, as rows with their signs."""
        with self.con.cursor() as batch:
            batch.execute("SET 'execution.mode' = 'batch'")
            batch.execute(statement)
            batch.execute("SET 'execution.mode' = 'streaming'")
        found: list[tuple] = []
        while len(found) < expected:
            found += self.cursor.fetchmany(expected - len(found))
        assert self.cursor.poll(0.2).num_rows == 0
        return sorted((kind[0], *row) for kind, *row in found)


AGGREGATES = {
    "count and sum": ("count(*), sum(v)", (1, 5), (2, 12), (1, 1)),
    "min of what is kept": ("min(v)", (5,), (5,), (1,)),
    "distinct": ("count(DISTINCT v)", (1,), (2,), (1,)),
    "recomputed": ("array_agg(v)", ([5],), ([5, 7],), ([1],)),
}


@pytest.mark.parametrize("name", AGGREGATES)
def test_a_group_begins_anew_after_the_time_to_live(con: Connection, late: LaterClock, name: str) -> None:
    calls, one, two, anew = AGGREGATES[name]
    query = Watched(con, f"SELECT k, {calls} FROM src GROUP BY k")
    assert query.after("INSERT INTO src VALUES ('a', 5)", 1) == [("+", "a", *one)]
    late.later_ms += HOUR // 2
    changed = [] if one == two else [("+", "a", *two), ("-", "a", *one)]
    assert query.after("INSERT INTO src VALUES ('a', 7)", len(changed)) == changed
    late.later_ms += HOUR // 2 + 1  # an hour after the first, not after the last: it is touched, so it lives
    if name == "count and sum":
        assert query.after("INSERT INTO src VALUES ('a', 0)", 2) == [("+", "a", 3, 12), ("-", "a", 2, 12)]
    late.later_ms += HOUR + 1
    assert query.after("INSERT INTO src VALUES ('a', 1)", 1) == [("+", "a", *anew)]


@pytest.mark.parametrize("kind", ["JOIN", "LEFT JOIN", "FULL JOIN"])
def test_both_sides_of_a_key_are_dropped(con: Connection, late: LaterClock, kind: str) -> None:
    query = Watched(con, f"SELECT src.k, v, w FROM src {kind} other ON src.k = other.k")
    query.after("INSERT INTO src VALUES ('a', 1)", 0 if kind == "JOIN" else 1)
    query.after("INSERT INTO other VALUES ('a', 10)", 1 if kind == "JOIN" else 2)
    late.later_ms += HOUR + 1
    alone = [] if kind == "JOIN" else [("+", "a", 2, None)]
    assert query.after("INSERT INTO src VALUES ('a', 2)", len(alone)) == alone
    gone = [] if kind == "JOIN" else [("-", "a", 2, None)]
    assert query.after("INSERT INTO other VALUES ('a', 20)", 1 + len(gone)) == [("+", "a", 2, 20), *gone]


def test_what_was_dropped_is_not_taken_back(con: Connection, late: LaterClock) -> None:
    query = Watched(con, "SELECT v, count(*) FROM keyed GROUP BY v")
    assert query.after("INSERT INTO keyed VALUES ('a', 1), ('b', 1)", 1) == [("+", 1, 2)]
    late.later_ms += HOUR + 1
    assert query.after("INSERT INTO keyed VALUES ('a', 2)", 1) == [("+", 2, 1)]


RANKED = "SELECT k, v FROM (SELECT *, ROW_NUMBER() OVER (PARTITION BY k ORDER BY v DESC) AS n FROM src) WHERE n = 1"


@pytest.mark.parametrize(("query", "one", "anew"), [(RANKED, (9,), (3,)), ("SELECT DISTINCT k FROM src", (), ())])
def test_rank_and_distinct(con: Connection, late: LaterClock, query: str, one: tuple, anew: tuple) -> None:
    watched = Watched(con, query)
    assert watched.after("INSERT INTO src VALUES ('a', 9)", 1) == [("+", "a", *one)]
    assert watched.after("INSERT INTO src VALUES ('a', 2)", 0) == []
    late.later_ms += HOUR + 1
    assert watched.after("INSERT INTO src VALUES ('a', 3)", 1) == [("+", "a", *anew)]


def test_the_time_to_live_goes_on_after_a_restart(con: Connection, late: LaterClock) -> None:
    con.execute("CREATE TABLE sums (k STRING, n BIGINT, PRIMARY KEY (k) NOT ENFORCED)")
    job = "INSERT INTO sums SELECT k, count(*) FROM src GROUP BY k"

    def feed(rows: str) -> None:
        con.execute(
            f"SET 'execution.mode' = 'batch'; INSERT INTO src VALUES {rows}; SET 'execution.mode' = 'streaming'"
        )
        con.execute(job)
        con.jobs()[-1].checkpoint(20)
        con.jobs()[-1].stop()

    feed("('a', 1), ('b', 1)")
    late.later_ms += HOUR // 2
    feed("('b', 2)")
    late.later_ms += HOUR // 2 + 1
    feed("('a', 3), ('b', 3)")
    con.execute("SET 'execution.mode' = 'batch'")
    assert sorted(con.execute("SELECT * FROM sums").fetchall()) == [("a", 1), ("b", 3)]


def test_what_needs_all_of_its_rows_is_refused_by_name(con: Connection) -> None:
    with pytest.raises(NotSupportedError, match=r"'table.exec.state.ttl' = '3600000 ms' cannot be kept by NotIn"):
        con.execute("SELECT k FROM src WHERE v NOT IN (SELECT w FROM other)")
    with pytest.raises(NotSupportedError, match=r"cannot be kept by TopN"):
        con.execute("SELECT k FROM src ORDER BY v LIMIT 3")


def test_a_hint_for_one_input_is_refused(con: Connection) -> None:
    with pytest.raises(NotSupportedError, match=r"line 1, column 8: the hint STATE_TTL is not supported"):
        con.execute("SELECT /*+ STATE_TTL('src' = '1d') */ k, count(*) FROM src GROUP BY k")


def test_explain_tells_it(con: Connection) -> None:
    text = str(con.execute("EXPLAIN SELECT k, count(*) FROM src GROUP BY k").fetchall())
    assert "ttl=3600000 ms" in text

"""Random queries of any depth: every answer is DuckDB's over the same rows.

`python -m tests.property.test_nested_against_duckdb FIRST LAST` tries more queries by hand.
"""

import sys
from collections import Counter
from collections.abc import Iterable
from decimal import Decimal
from typing import Any

import duckdb
import pytest

import tsdb

from .random_queries import RandomQueries
from .streams import World, canonical

BATCHES, EACH = 4, 30
TABLES = {
    "o": "id BIGINT, g STRING, h INT, v DOUBLE, d DECIMAL(10, 2), ts TIMESTAMP(3), b BOOLEAN",
    "c": "k BIGINT, name STRING, w BIGINT",
    "e": "id BIGINT, g STRING",
}


class Pair:
    """The same tables here and there, filled at random."""

    def __init__(self, seed: int) -> None:
        self.con, self.duck = tsdb.connect(":memory:", options={"sql.average": "double"}), duckdb.connect()
        self.duck.execute("SET default_null_order = 'nulls_first_on_asc_last_on_desc'")
        world = World(seed)
        world.change(14)
        world.change(14)
        for name, table in world.tables().items():
            rows = table.select([column for column in table.column_names if column != "l"])
            self.con.execute(f"CREATE TABLE {name} ({TABLES[name]})")
            self.con.register("given", rows)
            self.con.execute(f"INSERT INTO {name} SELECT * FROM given")
            self.duck.register("given", rows)
            self.duck.execute(f"CREATE TABLE {name} AS SELECT * FROM given")

    def close(self) -> None:
        """Both connections."""
        self.con.close()
        self.duck.close()

    def differs(self, query: str) -> str | None:
        """What is wrong with our answer; None if nothing is, or if DuckDB has none."""
        try:
            expected = bag(self.duck.execute(query).fetchall())
        except duckdb.Error:
            return None
        found = bag(self.con.execute(query).fetchall())
        return None if found == expected else f"{query}\nmissing {expected - found}, extra {found - expected}"


def bag(rows: Iterable[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
    """The rows, comparable between engines: an average of decimals is a decimal here and a float there."""
    return Counter(tuple(shown(value) for value in row) for row in rows)


def shown(value: Any) -> Any:
    """A value to ten digits."""
    value = canonical(float(value) if isinstance(value, Decimal) else value)
    return float(f"{value:.10g}") if isinstance(value, float) else value


@pytest.mark.parametrize("first", range(0, BATCHES * EACH, EACH))
def test_random_queries_have_the_answers_of_duckdb(first: int) -> None:
    pair = Pair(first)
    try:
        for seed in range(first, first + EACH):
            assert (found := pair.differs(RandomQueries(seed).query())) is None, found
    finally:
        pair.close()


if __name__ == "__main__":
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        if number % EACH == 0 or number == int(sys.argv[1]):
            both = Pair(number)
        try:
            text = both.differs(RandomQueries(number).query())
        except tsdb.Error as err:
            text = f"{RandomQueries(number).query()}\n{err}"
        if text:
            print(number, text, flush=True)

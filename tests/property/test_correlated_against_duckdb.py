"""Random correlated subqueries: every answer is DuckDB's over the same rows, and a stream's sum is the batch result.

`python -m tests.property.test_correlated_against_duckdb FIRST LAST` tries more queries by hand.
"""

import sys
from collections import Counter
from typing import Any

import pytest

import tsdb

from .random_correlated import CorrelatedQueries
from .test_nested_against_duckdb import Pair, bag

BATCHES, EACH = 3, 40
STREAMS = 30


@pytest.mark.parametrize("first", range(0, BATCHES * EACH, EACH))
def test_correlated_subqueries_have_the_answers_of_duckdb(first: int) -> None:
    pair = Pair(first)
    try:
        for seed in range(first, first + EACH):
            assert (found := pair.differs(CorrelatedQueries(seed).query())) is None, found
    finally:
        pair.close()


def test_correlated_subqueries_as_streams_add_up_to_the_batch_result() -> None:
    pair = Pair(0)
    try:
        for seed in range(STREAMS):
            query = CorrelatedQueries(seed).query()
            expected = bag(pair.con.execute(query).fetchall())
            pair.con.execute("SET 'execution.mode' = 'streaming'; SET 'scan.bounded.mode' = 'latest'")
            changes = pair.con.execute(query).fetchall()
            pair.con.execute("RESET 'execution.mode'; RESET 'scan.bounded.mode'")
            assert added_up(changes) == expected, query
    finally:
        pair.close()


def added_up(changes: list[tuple[Any, ...]]) -> Counter[tuple[Any, ...]]:
    """What is left of the rows after all changes."""
    total = bag(row for op, *row in changes if op in ("+I", "+U"))
    total.subtract(bag(row for op, *row in changes if op in ("-D", "-U")))
    return +total if min(total.values(), default=0) >= 0 else total


if __name__ == "__main__":
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        if number % EACH == 0 or number == int(sys.argv[1]):
            both = Pair(number)
        try:
            text = both.differs(CorrelatedQueries(number).query())
        except tsdb.Error as err:
            text = f"{CorrelatedQueries(number).query()}\n{err}"
        if text:
            print(number, text, flush=True)

"""Random correlated subqueries: every answer is DuckDB's over the same rows, and a stream's sum is the batch result.

`python -m tests.property.test_correlated_against_duckdb FIRST LAST` tries more queries by hand.
"""

import sys

import pytest

import tsdb

from .random_correlated import CorrelatedQueries
from .test_nested_against_duckdb import Pair

BATCHES, EACH = 3, 40


@pytest.mark.parametrize("first", range(0, BATCHES * EACH, EACH))
def test_correlated_subqueries_have_the_answers_of_duckdb(first: int) -> None:
    pair = Pair(first)
    try:
        for seed in range(first, first + EACH):
            assert (found := pair.differs(CorrelatedQueries(seed).query())) is None, found
    finally:
        pair.close()


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

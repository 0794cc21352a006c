"""Windows with frames, grouping sets, functions and casts at random: every answer is DuckDB's over the same rows, and
the sum of a stream's changes is the batch result.

`python -m tests.property.test_wider_queries FIRST LAST` tries more queries by hand, in both ways.
"""

import contextlib
import sys

import duckdb
import pytest

import tsdb
from tsdb.errors import NotSupportedError

from .streams import Sum, World, batch, compiled
from .test_nested_against_duckdb import Pair
from .test_random_streams import runs_in_batch
from .wider_queries import WiderQueries

BATCHES, EACH, STEPS = 3, 30, 3


def differs_as_a_stream(seed: int) -> str | None:
    """What is wrong with the changes of query number `seed`; None if nothing is."""
    query, world, total = WiderQueries(seed).query(), World(seed), Sum()
    if not runs_in_batch(query, seed):
        return None
    try:
        flow = compiled(query)
    except NotSupportedError:
        return None
    for step in range(STEPS):
        total.add(flow.step(world.change(3 if step == 2 else 12)))
        expected = batch(query, world.tables())
        if total.rows != expected:
            return f"{query}\nstep {step}: missing {expected - total.rows}, extra {total.rows - expected}"
    return None


@pytest.mark.parametrize("first", range(0, BATCHES * EACH, EACH))
def test_wider_queries_have_the_answers_of_duckdb(first: int) -> None:
    with contextlib.closing(Pair(first)) as pair:
        for seed in range(first, first + EACH):
            assert (found := pair.differs(WiderQueries(seed).query())) is None, found


def test_wider_queries_as_streams_sum_up_to_the_batch_result() -> None:
    for seed in range(40):
        assert (found := differs_as_a_stream(seed)) is None, found


if __name__ == "__main__":
    for number in range(int(sys.argv[1]), int(sys.argv[2])):
        if number % EACH == 0 or number == int(sys.argv[1]):
            both = Pair(number)
        for streams in (False, True):
            try:
                text = differs_as_a_stream(number) if streams else both.differs(WiderQueries(number).query())
            except (tsdb.Error, duckdb.Error) as err:
                text = f"{WiderQueries(number).query()}\n{err}"
            if text:
                print(number, text, flush=True)

"""The law of the streaming engine: at every step, outputs sum up to the batch result over the summed inputs."""

import pytest
from queries import QUERIES
from streams import MemoryStore, Sum, World, batch, compiled

from tsdb.exec.streaming.state_ttl import state_ttl

STEPS = 6
FOREVER_MS = 1 << 50
WITHOUT_TTL = {
    "not in", "not in without nulls", "top", "top with offset", "top of expressions", "top in a subquery",
    "limit of a constant", "offset",
}  # fmt: skip
"""What is refused with a time to live."""


@pytest.mark.parametrize("name", QUERIES)
@pytest.mark.parametrize("seed", [1, 2])
def test_sum_of_steps_is_the_batch_result(name: str, seed: int) -> None:
    query = QUERIES[name]
    flow, world, total = compiled(query), World(seed), Sum()
    for step in range(STEPS):
        deltas = world.change(3 if step % 3 == 2 else 14)
        total.add(flow.step(deltas))
        assert total.rows == batch(query, world.tables()), f"after step {step}\n{flow.explain()}"


@pytest.mark.parametrize("name", [name for name in QUERIES if name not in WITHOUT_TTL])
def test_the_same_with_a_time_to_live_that_is_not_over(name: str) -> None:
    query, store = QUERIES[name], MemoryStore()
    world, total = World(1), Sum()
    with state_ttl(FOREVER_MS):
        flow, again = compiled(query), compiled(query)
    for step in range(STEPS):
        total.add(flow.step(world.change(14)))
        if step == STEPS // 2:
            again.restore(flow.checkpoint(store), store)
            flow = again
    assert total.rows == batch(query, world.tables()), flow.explain()


@pytest.mark.parametrize("name", QUERIES)
def test_the_same_after_a_restart(name: str) -> None:
    query, store = QUERIES[name], MemoryStore()
    flow, world, total = compiled(query), World(3), Sum()
    for step in range(STEPS):
        total.add(flow.step(world.change(10)))
        if step % 2:
            manifest = flow.checkpoint(store)
            flow = compiled(query)
            flow.restore(manifest, store)
    assert total.rows == batch(query, world.tables()), flow.explain()


@pytest.mark.parametrize("name", QUERIES)
def test_the_same_for_inputs_that_only_grow(name: str) -> None:
    query = QUERIES[name]
    flow, world, total = compiled(query, "append"), World(4, append_only=True), Sum()
    for _ in range(4):
        change = flow.step(world.change(10))
        assert not flow.append_only or (change.weights > 0).all()
        total.add(change)
    assert total.rows == batch(query, world.tables()), flow.explain()

"""The same law with thousands of groups and rows: state grows, is merged, shrinks and is used again."""

import numpy as np
import pyarrow as pa
import pytest
from streams import MemoryStore, Sum, context, rows_of

from tsdb.changes import ChangeBatch
from tsdb.exec.streaming.compile import InputSpec, compile_plan
from tsdb.exec.streaming.dataflow import Dataflow

SCHEMA = pa.schema(
    [("id", pa.int64()), ("k", pa.int64()), ("s", pa.string()), ("v", pa.float64()), ("d", pa.decimal128(12, 2))]
)

QUERIES = {
    "accumulate": "select k, count(*) n, sum(id) i, avg(v) a, sum(d) d from t group by k",
    "accumulate by string": "select s, count(*) n, sum(v) a from t group by s",
    "extrema": "select k, min(v) a, max(v) b, min(id) c, max(d) from t group by k",
    "distinct": "select k, count(distinct s) n from t group by k",
    "recompute": "select k, array_agg(id order by id) l from t group by k",
    "top": "select id, v from t order by v desc, id limit 5",
    "any top": "select count(*) from (select id from t limit 5)",
    "rank": "select k, id from (select k, id, row_number() over (partition by k order by id) rn from t) where rn <= 2",
    "join": "select a.id, b.n from t a join (select k, count(*) n from t group by k) b on a.k = b.k where a.id % 7 = 0",
    "left join": "select a.k, b.id from (select distinct k from t) a left join t b on a.k = b.id",
    "anti": "select id from t where not exists (select 1 from t b where b.k = t.id)",
}  # fmt: skip


class Rows:
    """A table that grows for some steps, then shrinks almost to nothing, then grows again."""

    def __init__(self) -> None:
        self.random = np.random.default_rng(11)
        self.table = SCHEMA.empty_table()
        self.last = 0

    def change(self, come: int, leave: int) -> ChangeBatch:
        order = self.random.permutation(self.table.num_rows)
        gone = self.table.take(pa.array(order[:leave]))
        keys = self.random.integers(0, 4000, come)
        new = pa.table(
            {
                "id": np.arange(self.last, self.last + come),
                "k": pa.array(keys, mask=keys == 0),
                "s": pa.array(np.char.add("s", (keys // 2).astype(str))),
                "v": self.random.integers(-1000, 1000, come) / 4 * 2.0 ** self.random.integers(-10, 10, come),
                "d": pa.array(self.random.integers(-(10**6), 10**6, come))
                .cast(pa.decimal128(19, 0))
                .cast(SCHEMA.types[4]),
            },
            schema=SCHEMA,
        )
        self.last += come
        self.table = pa.concat_tables([self.table.take(pa.array(order[leave:])), new]).combine_chunks()
        weights = np.repeat(np.array([-1, 1], np.int64), [gone.num_rows, come])
        return ChangeBatch(pa.concat_tables([gone, new]), weights)


def compiled(query: str) -> Dataflow:
    empty = context({"t": SCHEMA.empty_table()})
    return compile_plan(empty.sql(query).optimized_logical_plan(), {"t": InputSpec(SCHEMA, ("id",), "all")}, empty)


@pytest.mark.parametrize("name", QUERIES)
def test_state_that_grows_and_shrinks(name: str) -> None:
    query, store = QUERIES[name], MemoryStore()
    flow, rows, total = compiled(query), Rows(), Sum()
    for step, (come, leave) in enumerate(
        [(700, 0), (3000, 50), (3000, 500), (10, 6000), (0, 150), (2500, 5), (100, 2000)]
    ):
        total.add(flow.step({"t": rows.change(come, leave)}))
        assert total.rows == rows_of(context({"t": rows.table}).sql(query).to_arrow_table()), f"step {step}"
        if step in (2, 4):
            manifest = flow.checkpoint(store)
            flow = compiled(query)
            flow.restore(manifest, store)
    assert flow.metrics()["state_rows"] < 30 * rows.table.num_rows

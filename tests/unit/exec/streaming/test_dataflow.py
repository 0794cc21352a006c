from collections.abc import Mapping
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
from datafusion import SessionConfig, SessionContext

from tsdb.changes import ChangeBatch, inserts
from tsdb.errors import DataError, NotSupportedError, OperationalError
from tsdb.exec.streaming.compile import PLANNER_OPTIONS, InputSpec, compile_plan
from tsdb.exec.streaming.dataflow import Dataflow

ORDERS = pa.schema([("id", pa.int64()), ("customer", pa.int64()), ("note", pa.string())])
CUSTOMERS = pa.schema([("id", pa.int64()), ("name", pa.string())])


def compiled(query: str, mode: str = "all", tables: Mapping[str, pa.Schema] | None = None) -> Dataflow:
    config = SessionConfig().with_target_partitions(1)
    for key, value in PLANNER_OPTIONS.items():
        config = config.set(key, value)
    context = SessionContext(config)
    schemas = tables or {"orders": ORDERS, "customers": CUSTOMERS}
    for name, schema in schemas.items():
        context.register_record_batches(name, [[pa.RecordBatch.from_pylist([], schema)]])
    specs = {n: InputSpec(s, (s.names[0],), mode) for n, s in schemas.items()}
    return compile_plan(context.sql(query).optimized_logical_plan(), specs, context)


def orders(rows: list[tuple[Any, ...]], weights: list[int]) -> dict[str, ChangeBatch]:
    columns = [pa.array([r[i] for r in rows], t) for i, t in enumerate(ORDERS.types)]
    return {"orders": ChangeBatch(pa.Table.from_arrays(columns, schema=ORDERS), np.array(weights, np.int64))}


def changed(change: ChangeBatch) -> list[tuple[Any, ...]]:
    rows = [(int(w), *r.values()) for w, r in zip(change.weights, change.rows.to_pylist(), strict=True)]
    return sorted(rows, key=repr)


class Store(dict[str, pa.Table]):
    def put(self, table: pa.Table) -> str:
        self[str(len(self))] = table
        return str(len(self) - 1)

    def get(self, name: str) -> pa.Table:  # type: ignore[override]
        return self[name]


@pytest.mark.parametrize(
    ("query", "key"),
    [
        ("select * from orders", ("id",)),
        ("select note, id from orders where note <> ''", ("id",)),
        ("select id + 1 as id from orders", None),
        ("select note from orders", None),
        ("select customer, count(*) from orders group by customer", ("customer",)),
        ("select count(*) from orders", ()),
        ("select distinct customer, note from orders", ("customer", "note")),
        ("select o.id, c.name from orders o join customers c on o.customer = c.id", ("id",)),
        ("select o.id, c.name from orders o left join customers c on o.customer = c.id", ("id",)),
        ("select c.id, o.note from orders o right join customers c on o.customer = c.id", None),
        ("select o.id as o, c.id as c from orders o join customers c on o.note = c.name", ("o", "c")),
        ("select id from orders o where exists (select 1 from customers c where c.id = o.customer)", ("id",)),
        ("select id from orders union all select id from customers", None),
        ("select id, row_number() over (partition by customer order by id) rn from orders", ("id",)),
        ("select id, note from orders order by note limit 3", ("id",)),
    ],
)
def test_upsert_key(query: str, key: tuple[str, ...] | None) -> None:
    assert compiled(query).upsert_key == key


def test_upserts_become_a_changelog() -> None:
    flow = compiled("select customer, note from orders where customer < 100", "upsert")
    assert changed(flow.step(orders([(1, 1, "a"), (2, 2, "b"), (1, 3, "c")], [1, 1, 1]))) == [(1, 2, "b"), (1, 3, "c")]
    # a repeat changes nothing; a deletion needs only the key; an unknown key is not there
    assert changed(flow.step(orders([(2, 2, "b"), (1, None, None), (9, None, None)], [1, -1, -1]))) == [(-1, 3, "c")]
    # a row that stops matching the filter leaves
    assert changed(flow.step(orders([(2, 200, "b")], [1]))) == [(-1, 2, "b")]
    assert changed(flow.step(orders([(2, None, None), (2, 7, "d")], [-1, 1]))) == [(1, 7, "d")]


def test_a_global_aggregate_always_has_its_row() -> None:
    flow = compiled("select count(*) c, sum(id) s from orders")
    assert changed(flow.step({})) == [(1, 0, None)]
    assert changed(flow.step({})) == []
    assert changed(flow.step(orders([(1, 1, "a")], [1]))) == [(-1, 0, None), (1, 1, 1)]
    assert changed(flow.step(orders([(1, 1, "a")], [-1]))) == [(-1, 1, 1), (1, 0, None)]


def test_constants_come_with_the_first_step_only() -> None:
    flow, store = compiled("select id from orders union all values (7), (8)"), Store()
    assert changed(flow.step({})) == [(1, 7), (1, 8)]
    again = compiled("select id from orders union all values (7), (8)")
    again.restore(flow.checkpoint(store), store)
    assert changed(again.step({})) == []


def test_unchanged_results_are_not_emitted() -> None:
    flow = compiled("select customer, max(id) m from orders group by customer")
    flow.step(orders([(5, 1, "a"), (3, 1, "b")], [1, 1]))
    assert changed(flow.step(orders([(4, 1, "c"), (3, 1, "b")], [1, -1]))) == []
    assert changed(flow.step(orders([(5, 1, "a")], [-1]))) == [(-1, 1, 5), (1, 1, 4)]


def test_columns_are_found_whatever_they_are_called() -> None:
    for name in [
        "a.b",
        'quote"d',
        "UPPER case",
        "ünïcode",
        "#1",
        *("x" * n for n in (1, 2, 109, 110, 111, 112, 113, 127, 130)),
    ]:
        quoted = '"' + name.replace('"', '""') + '"'
        table = pa.schema([("other", pa.int64()), (name, pa.int64())])
        flow = compiled(
            f"select {quoted} + 1 as y, sum(other) s from orders t where {quoted} > 1 group by 1",
            "all",
            {"orders": table},
        )
        change = flow.step({"orders": inserts(pa.table({"other": [1, 2], name: [1, 2]}))})
        assert changed(change) == [(1, 3, 2)], name


def test_outputs_of_the_same_name_are_told_apart() -> None:
    flow = compiled("select o.id, c.id from orders o join customers c on o.id = c.id")
    assert flow.schema.names == ["id", "id:1"]


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        (
            "with recursive r as (select id from orders union all select id + 1 from r where id < 5) select * from r",
            "recursion",
        ),
        ("select random() as x from orders", "another value each time"),
        ("select count(*) from orders where random() < 0.5", "another value each time"),
    ],
)
def test_what_cannot_be_a_stream_is_refused_with_the_reason(query: str, reason: str) -> None:
    with pytest.raises(NotSupportedError, match=reason):
        compiled(query)


def test_random_numbers_are_drawn_once_for_rows_that_only_come() -> None:
    flow = compiled("select id, random() as x from orders", "append")
    assert flow.step(orders([(1, 1, "a")], [1])).num_rows == 1


def test_a_value_that_does_not_fit_is_a_data_error() -> None:
    flow = compiled("select cast(note as int) n from orders")
    with pytest.raises(DataError, match="Cannot cast string"):
        flow.step(orders([(1, 1, "one")], [1]))
    flow = compiled("select id / customer as q from orders")
    with pytest.raises(DataError, match="division by zero"):
        flow.step(orders([(1, 0, "")], [1]))


def test_a_checkpoint_of_another_plan_is_refused() -> None:
    store = Store()
    manifest = compiled("select count(*) from orders").checkpoint(store)
    with pytest.raises(OperationalError, match="another plan"):
        compiled("select sum(id) from orders").restore(manifest, store)


def test_names_that_the_planner_makes_up_do_not_matter() -> None:
    context = SessionContext(SessionConfig().with_target_partitions(1))
    context.register_record_batches("orders", [[pa.RecordBatch.from_pylist([], ORDERS)]])
    query = "select sum(cast(note as int)) s, avg(cast(note as int)) a from orders where id not in (select 1)"
    frame = context.sql(query)
    flows = [
        compile_plan(frame.optimized_logical_plan(), {"orders": InputSpec(ORDERS, None, "all")}, context) for _ in "ab"
    ]
    assert "__common_expr_1" in flows[0].explain() and flows[0].explain() == flows[1].explain()
    flows[1].restore(flows[0].checkpoint(Store()), Store())


def test_checkpoints_store_what_changed() -> None:
    flow, store = compiled("select customer, count(*), sum(id) from orders group by customer"), Store()
    flow.step(orders([(i, i, "") for i in range(5000)], [1] * 5000))
    flow.checkpoint(store)
    before = len(store)
    flow.checkpoint(store)
    assert len(store) == before
    flow.step(orders([(9, 9, "")], [1]))
    flow.checkpoint(store)
    assert [t.num_rows for t in list(store.values())[before:]] == [1]


def test_metrics_and_explain() -> None:
    flow = compiled("select customer, count(*) from orders where id > 0 group by customer")
    flow.step(orders([(1, 1, "a"), (2, 2, "b")], [1, 1]))
    metrics = flow.metrics()
    assert (metrics["steps"], metrics["rows_in"], metrics["rows_out"], metrics["state_rows"]) == (1, 2, 2, 2)
    assert metrics["state_bytes"] > 0
    lines = flow.explain().splitlines()
    assert "key=[0] mode=accumulate" in flow.explain()
    assert lines[-1].strip().startswith("Scan orders")


def test_ranks_over_growing_input_keep_the_best_rows_only() -> None:
    ranked = "select customer, id, row_number() over (partition by customer order by id) rn from orders"
    query = f"select customer, id from ({ranked}) where rn <= 2"
    flow = compiled(query, "append")
    for start in range(0, 100, 10):
        flow.step(orders([(i, 1, "") for i in range(start, start + 10)], [1] * 10))
    assert flow.metrics()["state_rows"] == 2
    assert changed(flow.step(orders([(-1, 1, "")], [1]))) == [(-1, 1, 1), (1, 1, -1)]


@pytest.mark.parametrize("chosen", ["*", "id", "note, rn", "id + 1 as more, rn"])
@pytest.mark.parametrize("mode", ["all", "append"])
def test_first_rows_are_kept_in_order_whatever_columns_are_chosen(chosen: str, mode: str) -> None:
    ranked = "select *, row_number() over (partition by customer order by id) rn from orders"
    flow = compiled(f"select {chosen} from ({ranked}) where rn <= 2", mode)
    assert "TopRows" in flow.explain() and "recompute" not in flow.explain() and "Filter" not in flow.explain()


def test_order_without_limit_is_no_operator() -> None:
    assert compiled("select id from orders order by id").explain().startswith("Scan")

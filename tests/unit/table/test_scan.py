"""Pruning never loses a row, for random tables and predicates; and it does prune where it should."""

import datetime as dt
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.table.tables import make_table
from tsdb.metadata.predicate import And, Comparison, Or, to_arrow
from tsdb.table.commit import Overwrite, commit
from tsdb.table.compact import compact
from tsdb.table.read import fragments, raw_files, read_plan, read_table
from tsdb.table.scan import plan_scan
from tsdb.table.write import TableWriter

COLUMNS = {"p": "INT NOT NULL", "k": "BIGINT NOT NULL", "s": "STRING", "d": "DOUBLE", "t": "TIMESTAMP(6)"}


def random_rows(rng, count):
    return pa.table(
        {
            "p": pa.array(rng.integers(0, 3, count), pa.int32()),
            "k": pa.array(rng.integers(0, 60, count)),
            "s": pa.array([None if x == 0 else f"s{x:02}" for x in rng.integers(0, 30, count)]),
            "d": pa.array([None if x == 0 else float("nan") if x == 1 else x / 2 for x in rng.integers(0, 20, count)]),
            "t": pa.array([dt.datetime(2024, 1, int(x)) for x in rng.integers(1, 28, count)], pa.timestamp("us")),
        }
    )


def random_predicate(rng, depth=2):
    if depth and rng.random() < 0.5:
        children = tuple(random_predicate(rng, depth - 1) for _ in range(rng.integers(1, 4)))
        return And(children) if rng.random() < 0.6 else Or(children)
    column = str(rng.choice(["p", "k", "k", "s", "d", "t"]))

    def value():
        match column:
            case "p":
                return int(rng.integers(-1, 4))
            case "k":
                return int(rng.integers(-1, 61))
            case "s":
                return f"s{rng.integers(0, 31):02}"
            case "d":
                return float(rng.integers(0, 20)) / 2
        return dt.datetime(2024, 1, int(rng.integers(1, 28)))

    op = str(rng.choice(["=", "=", "in", "!=", "<", "<=", ">", ">=", "is null", "is not null"]))
    if op == "in":
        return Comparison(op, column, tuple(value() for _ in range(rng.integers(1, 4))))
    return Comparison(op, column, () if op.startswith("is") else (value(),))


def fill(table, seed, commits=6, rows=30):
    rng = np.random.default_rng(seed)
    keyed = table.is_primary_key
    for i in range(commits):
        with TableWriter(table, user="u") as writer:
            data = random_rows(rng, rows)
            kinds = rng.choice([0, 2, 3], rows, p=[0.6, 0.2, 0.2]).astype(np.int8) if keyed else None
            writer.write(data, kinds)
            commit(table, writer.prepare_commit(compact=False), user="u")
        if i == commits // 2:
            compact(table, user="u")
    return table


def text(rows):
    return sorted(map(repr, rows.to_pylist()))


KINDS = {
    "keyed": (("k",), (), {"bucket": "3"}),
    "keyed-partitioned": (("p", "k"), ("p",), {"bucket": "2", "target-file-size": "1 kb"}),
    "append": ((), ("p",), {}),
    "append-bucketed": ((), ("p",), {"bucket": "3", "bucket-key": "k"}),
}


@pytest.mark.parametrize("kind", KINDS)
def test_pruning_never_loses_a_row(tmp_path, kind):
    table = fill(make_table(tmp_path, COLUMNS, *KINDS[kind]), seed=len(kind))
    snapshot = table.latest_snapshot()
    everything = read_table(table, plan_scan(table, snapshot))
    rng = np.random.default_rng(3)
    pruned = 0
    for _ in range(120):
        predicate = random_predicate(rng)
        expression = to_arrow(predicate, table.schema.arrow_schema)
        plan = plan_scan(table, snapshot, predicate)
        wanted = [str(c) for c in rng.choice(list(COLUMNS), rng.integers(1, 5), replace=False)]
        found = read_table(table, plan, wanted, expression)
        assert text(found) == text(everything.filter(expression).select(wanted)), predicate
        pruned += plan.files_kept < plan_scan(table, snapshot).files_kept
    assert pruned > 20


def test_what_is_left_of_the_files(tmp_path):
    table = fill(make_table(tmp_path, COLUMNS, ("p", "k"), ("p",), {"bucket": "4", "write-only": "true"}), 1)
    snapshot = table.latest_snapshot()

    def places(*comparisons):
        plan = plan_scan(table, snapshot, And(tuple(Comparison(*c) for c in comparisons)))
        return {(split.partition_values[0], split.bucket) for split in plan.splits}

    every = places()
    assert len(every) == 12
    assert {p for p, _ in places(("=", "p", (1,)))} == {1} and len(places(("=", "p", (1,)))) == 4
    at_7 = places(("=", "k", (7,)))
    assert 0 < len(at_7) <= 3 and len({b for _, b in at_7}) == 1
    assert places(("=", "k", (7,)), ("in", "p", (0, 2))) == {place for place in at_7 if place[0] != 1}
    assert places(("=", "p", (9,))) == set()
    assert places(("=", "k", (10_000,))) == set(), "no file has the key"
    assert places(("=", "s", ("zzz",))) == set(), "no file of any section has the value"


def test_sections_that_need_no_merge_are_raw(tmp_path):
    options = {"bucket": "1", "write-only": "true"}
    table = make_table(tmp_path, {"k": "INT NOT NULL", "v": "STRING"}, ("k",), (), options)

    def put(*keys, kind=0):
        with TableWriter(table, user="u") as writer:
            rows = pa.table({"k": pa.array(keys, pa.int32()), "v": [str(k) for k in keys]})
            writer.write(rows, np.full(len(keys), kind, np.int8))
            commit(table, writer.prepare_commit(), user="u")
        return plan_scan(table, table.latest_snapshot())

    assert raw_files(table, put(1, 5)) is not None
    plan = put(10, 15)
    assert [split.raw for split in plan.splits] == [True] and [f.row_count for f in fragments(table, plan)] == [4]
    plan = put(12)
    assert sorted(split.raw for split in plan.splits) == [False, True] and raw_files(table, plan) is None
    plan = put(30, kind=3)
    assert sorted(len(split.files) for split in plan.splits if not split.raw) == [3]
    compact(table, user="u")
    plan = plan_scan(table, table.latest_snapshot())
    assert raw_files(table, plan) is not None and sum(batch.num_rows for batch in read_plan(table, plan, [])) == 5


def test_fragments_are_read_in_small_batches_and_stop_when_told(tmp_path):
    table = make_table(tmp_path, {"k": "INT NOT NULL"}, (), (), {})
    with TableWriter(table, user="u") as writer:
        writer.write(pa.table({"k": pa.array(np.arange(300_000), pa.int32())}))
        commit(table, writer.prepare_commit(), user="u")
    (fragment,) = fragments(table, plan_scan(table, table.latest_snapshot()))
    batches = fragment.to_batches(batch_size=1000)
    assert next(batches).num_rows == 1000
    batches.close()
    assert sum(b.num_rows for b in fragment.to_batches([], None)) == 300_000 == fragment.row_count


def test_an_overwritten_table_has_no_files(tmp_path):
    table = fill(make_table(tmp_path, COLUMNS, *KINDS["keyed"]), 1, commits=2)
    commit(table, [], user="u", overwrite=Overwrite({}))
    assert plan_scan(table, table.latest_snapshot()).splits == ()
    assert read_table(table, plan_scan(table, table.latest_snapshot())).schema == table.schema.arrow_schema


def test_fragments_may_be_read_side_by_side(tmp_path):
    table = fill(make_table(tmp_path, COLUMNS, ("p", "k"), ("p",), {"bucket": "4", "write-only": "true"}), 2)
    plan = plan_scan(table, table.latest_snapshot())
    with ThreadPoolExecutor(4) as pool:
        parts = pool.map(lambda fragment: [b.to_pylist() for b in fragment.to_batches()], fragments(table, plan) * 3)
        rows = sorted(repr(row) for batches in parts for batch in batches for row in batch)
    assert rows == sorted(text(read_table(table, plan)) * 3)


def test_a_point_lookup_merges_only_its_key(tmp_path):
    table = fill(make_table(tmp_path, COLUMNS, ("p", "k"), (), {"bucket": "1", "write-only": "true"}), 4)
    everything = read_table(table, plan_scan(table, table.latest_snapshot()))
    for k in range(-1, 61):
        predicate = And((Comparison("=", "k", (k,)), Comparison("in", "p", (0, 2))))
        expression = to_arrow(predicate, table.schema.arrow_schema)
        found = read_table(table, plan_scan(table, table.latest_snapshot(), predicate), ["t", "s"], expression)
        assert text(found) == text(everything.filter(expression).select(["t", "s"]))

"""Tables whose merge engine folds or keeps the first row, over flushes and compactions, against the row-wise fold."""

import numpy as np
import pyarrow as pa
import pytest

from tests.unit.mergetree import fold_oracle
from tests.unit.table.tables import make_table
from tsdb.errors import NotSupportedError
from tsdb.metadata.predicate import And, Comparison
from tsdb.table.commit import commit
from tsdb.table.compact import compact
from tsdb.table.read import read_table
from tsdb.table.scan import plan_scan
from tsdb.table.write import TableWriter

COLUMNS = {"k": "INT NOT NULL", "s": "BIGINT", "t": "STRING", "g": "INT", "n": "INT"}
KEYS = 40


def write(table, rows, kinds):
    with TableWriter(table, user="u") as writer:
        writer.write(pa.Table.from_pylist(rows, schema=table.schema.arrow_schema), np.array(kinds, np.int8))
        commit(table, writer.prepare_commit(), user="u")


def read(table, predicate=None):
    rows = read_table(table, plan_scan(table, table.latest_snapshot(), predicate)).to_pylist()
    assert len({row["k"] for row in rows}) == len(rows)
    return {row["k"]: row for row in rows}


def random_rows(rng, count):
    texts = [None, "a", "b", "c"]
    return [
        {
            "k": int(rng.integers(KEYS)), "s": int(rng.integers(100)), "t": texts[rng.integers(4)],
            "g": [None, 1, 2, 3][rng.integers(4)], "n": [None, 1, 2][rng.integers(3)],
        }
        for _ in range(count)
    ]  # fmt: skip


ENGINES = {
    "aggregation": (
        {"fields.s.aggregate-function": "sum", "fields.t.aggregate-function": "last_value"},
        [0, 0, 2],
        lambda records: fold_oracle.aggregate(
            records, {"s": "sum", "t": "last_value", "g": "last_non_null_value", "n": "last_non_null_value"}
        ),
    ),
    "partial-update": (
        {"fields.g.sequence-group": "t,s", "fields.s.aggregate-function": "max", "fields.s.ignore-retract": "true"},
        [0, 0, 2],
        lambda records: fold_oracle.partial_update(records, "k", {("g",): {"t": None, "s": "max"}}),
    ),
    "first-row": ({}, [0, 0, 2], lambda records: records[0]),
}


@pytest.mark.parametrize("engine", ENGINES)
@pytest.mark.parametrize("compaction", ["never", "at the trigger", "often", "other sizes"])
def test_a_table_is_the_fold_of_all_its_rows(tmp_path, engine, compaction):
    options, kinds, oracle = ENGINES[engine]
    sizes = {"never": {"write-only": "true"}, "other sizes": {"num-sorted-run.compaction-trigger": "2"}}
    table = make_table(
        tmp_path, COLUMNS, ("k",), (), {"bucket": "1", "merge-engine": engine, **options, **sizes.get(compaction, {})}
    )
    rng = np.random.default_rng(ord(compaction[0]))
    records = {}
    for i in range(14):
        rows = random_rows(rng, int(rng.integers(1, 30)))
        chosen = [int(rng.choice(kinds)) for _ in rows]
        write(table, rows, chosen)
        for kind, row in zip(chosen, rows, strict=True):
            records.setdefault(row["k"], []).append((kind, row))
        if compaction == "often" and i % 3 == 0:
            compact(table, full=i % 2 == 0, user="u")
        if engine == "first-row" and compaction == "never":
            assert read(table) == {}
            continue
        assert read(table) == {k: oracle(of_key)[1] for k, of_key in records.items()}
    some = read(table, And((Comparison("in", "k", (1, 5, 30)),)))
    assert {k: some[k] for k in (1, 5, 30) if k in some} == {k: read(table)[k] for k in (1, 5, 30) if k in read(table)}


@pytest.mark.parametrize("engine", ["aggregation", "partial-update"])
def test_a_value_that_is_in_no_file_is_found(tmp_path, engine):
    options = {"bucket": "1", "merge-engine": engine, "write-only": "true"}
    if engine == "aggregation":
        options["fields.s.aggregate-function"] = "sum"
    table = make_table(tmp_path, COLUMNS, ("k",), (), options)
    empty = dict.fromkeys(COLUMNS)
    write(table, [{**empty, "k": 1, "s": 3, "t": "a"}], [0])
    write(table, [{**empty, "k": 1, "s": 4, "n": 1}], [0])
    wanted = {"aggregation": 7, "partial-update": 4}[engine]
    predicate = And((Comparison("=", "s", (wanted,)), Comparison("=", "t", ("a",)), Comparison("=", "n", (1,))))
    assert read(table, predicate)[1]["s"] == wanted


def test_fields_of_a_sequence_are_read_with_the_columns_asked_for(tmp_path):
    table = make_table(
        tmp_path, COLUMNS, ("k",), (),
        {"bucket": "1", "merge-engine": "partial-update", "fields.g.sequence-group": "t", "write-only": "true"},
    )  # fmt: skip
    empty = dict.fromkeys(COLUMNS)
    write(table, [{**empty, "k": 1, "t": "new", "g": 2}], [0])
    write(table, [{**empty, "k": 1, "t": "late", "g": 1}], [0])
    plan = plan_scan(table, table.latest_snapshot())
    assert read_table(table, plan, ["t"]).to_pylist() == [{"t": "new"}]


@pytest.mark.parametrize(
    ("options", "kind"),
    [
        ({"merge-engine": "first-row"}, 3),
        ({"merge-engine": "partial-update"}, 1),
        ({"merge-engine": "aggregation", "fields.s.aggregate-function": "max"}, 3),
        ({"merge-engine": "partial-update", "fields.g.sequence-group": "s", "fields.s.aggregate-function": "max"}, 3),
    ],
)
def test_a_row_that_could_never_be_merged_is_not_written(tmp_path, options, kind):
    table = make_table(tmp_path, COLUMNS, ("k",), (), {"bucket": "1", **options})
    row = {"k": 1, "s": 1, "t": "a", "g": 1, "n": 1}
    write(table, [row], [0])
    with pytest.raises(NotSupportedError, match="ignore-"):
        write(table, [row], [kind])
    assert read(table) == {1: row}
    ignoring = table.with_options({"ignore-delete": "true"})
    write(ignoring, [row], [kind])
    assert read(ignoring) == {1: row}


def test_several_sequence_fields_in_descending_order(tmp_path):
    options = {"bucket": "1", "sequence.field": "g,n", "sequence.field.sort-order": "descending", "write-only": "true"}
    table = make_table(tmp_path, COLUMNS, ("k",), (), {**options, "merge-engine": "partial-update"})
    empty = dict.fromkeys(COLUMNS)
    for g, n, text in ((2, 1, "second"), (1, 2, "newer"), (1, 1, "newest"), (3, 9, "oldest")):
        write(table, [{**empty, "k": 1, "g": g, "n": n, "t": text}], [0])
    assert read(table)[1] == {"k": 1, "g": 1, "n": 1, "t": "newest", "s": None}

"""The merge engines that fold, against `fold_oracle` over random rows."""

from decimal import Decimal

import numpy as np
import pyarrow as pa
import pytest

import tsdb.mergetree.merge as merge
from tests.unit.mergetree import fold_oracle
from tsdb.data_types import DataField, parse_type
from tsdb.errors import DataError, NotSupportedError
from tsdb.mergetree.merge import merge_rows, merge_spec
from tsdb.metadata.schema import TableSchema
from tsdb.options import TableOptions

ROW = "ARRAY<ROW<x INT, y STRING>>"
_XY = [{"id": 90, "name": "x", "type": "INT"}, {"id": 91, "name": "y", "type": "STRING"}]
_VT = [{"id": 92, "name": "v", "type": "INT"}, {"id": 93, "name": "t", "type": "STRING"}]
NESTED = {
    "ARRAY<INT>": {"type": "ARRAY", "element": "INT"},
    "ARRAY<INT> set": {"type": "ARRAY", "element": "INT"},
    "MAP<INT, STRING>": {"type": "MAP", "key": "INT", "value": "STRING"},
    "MAP<STRING, ROW<v INT, t STRING>>": {"type": "MAP", "key": "STRING", "value": {"type": "ROW", "fields": _VT}},
    ROW: {"type": "ARRAY", "element": {"type": "ROW", "fields": _XY}},
}
# name in the oracle -> (type, options after 'fields.v.', whether it takes retractions)
CASES = {
    "sum": ("INT", {}, True),
    "product": ("BIGINT", {}, True),
    "max": ("INT", {}, False),
    "min": ("STRING", {}, False),
    "last_value": ("STRING", {}, True),
    "last_non_null_value": ("INT", {}, True),
    "first_value": ("INT", {}, False),
    "first_non_null_value": ("STRING", {}, False),
    "bool_and": ("BOOLEAN", {}, False),
    "bool_or": ("BOOLEAN", {}, False),
    "listagg": ("STRING", {}, False),
    "listagg distinct": ("STRING", {"distinct": "true", "list-agg-delimiter": ";"}, False),
    "collect": ("ARRAY<INT>", {}, True),
    "collect distinct": ("ARRAY<INT> set", {"distinct": "true"}, True),
    "merge_map": ("MAP<INT, STRING>", {}, True),
    "merge_map_with_keytime": ("MAP<STRING, ROW<v INT, t STRING>>", {}, False),
    "nested_update": (ROW, {}, True),
    "nested_update key": (ROW, {"nested-key": "x"}, True),
    "nested_update limit": (ROW, {"count-limit": "3"}, False),
    "nested_update key limit": (ROW, {"nested-key": "x", "count-limit": "2"}, False),
    "nested_partial_update": (ROW, {"nested-key": "x"}, False),
}


def value_of(rng, kind):
    """A random value, often NULL."""
    if rng.integers(4) == 0:
        return None
    n = int(rng.integers(1, 5))
    texts = ["a", "b", "a,b", " ", "", "c;a", "b;;c"]
    match kind:
        case "INT" | "BIGINT":
            return n - 1 if kind == "INT" else n * (-1) ** n
        case "STRING":
            return texts[int(rng.integers(len(texts)))]
        case "BOOLEAN":
            return bool(n % 2)
        case "ARRAY<INT>":
            return [None if v == 4 else int(v) for v in rng.integers(0, 5, n - 1)]
        case "ARRAY<INT> set":
            return [int(v) for v in rng.permutation(4)[: n - 1]]
        case "MAP<INT, STRING>":
            return [(int(k), texts[k]) for k in rng.permutation(4)[: n - 1]]
        case "MAP<STRING, ROW<v INT, t STRING>>":
            stamps = [None, "1", "2", "3"]
            rows = [None, *({"v": n, "t": stamps[int(rng.integers(4))]} for _ in range(3))]
            return [(texts[k], rows[k]) for k in rng.permutation(4)[: n - 1]]
    rows = [{"x": int(x), "y": None if x == 3 else texts[int(rng.integers(3))]} for x in rng.permutation(4)[: n - 1]]
    return rows


def schema_of(columns, options):
    fields = tuple(
        DataField(i, name, parse_type(NESTED.get(kind, kind))) for i, (name, kind) in enumerate(columns.items())
    )
    return TableSchema(0, fields, primary_keys=("k",), options=options, highest_field_id=len(fields) - 1)


def merged(columns, options, runs):
    """runs: the oldest first, each a list of (k, kind, row). The merged rows as {k: (kind, row)}."""
    schema = schema_of(columns, options)
    spec = merge_spec(schema, TableOptions(options))
    tables, number = [], 0
    for run in runs:
        run = sorted(run, key=lambda record: record[0])
        rows = pa.Table.from_pylist([{**row, "k": k} for k, _, row in run], schema=schema.arrow_schema)
        numbers = pa.array(np.arange(number, number + len(run)))
        kinds = pa.array([kind for _, kind, _ in run], pa.int8())
        tables.append(rows.append_column("_SEQUENCE_NUMBER", numbers).append_column("_VALUE_KIND", kinds))
        number += len(run)
    out, numbers = {}, {}
    for rows in merge_rows([iter(t.to_batches(5)) for t in tables], spec, by_sequence_number=False, step_rows=11):
        rows.validate(full=True)
        for row in rows.to_pylist():
            assert row["k"] not in out, "one row a key"
            numbers[row["k"]] = row.pop("_SEQUENCE_NUMBER")
            out[row["k"]] = (row.pop("_VALUE_KIND"), row)
    assert list(out) == sorted(out)
    return out, numbers


def comparable(value):
    if isinstance(value, list):
        return sorted(map(repr, value))
    return value


def check(columns, options, runs, oracle):
    got, numbers = merged(columns, options, runs)
    records, number, newest = {}, 0, {}
    for run in runs:
        for k, kind, row in sorted(run, key=lambda record: record[0]):
            records.setdefault(k, []).append((kind, {**row, "k": k}))
            newest[k] = number
            number += 1
    assert numbers == newest
    assert got.keys() == records.keys()
    for k, of_key in records.items():
        kind, row = oracle(of_key)
        assert got[k][0] == kind, of_key
        assert {n: comparable(v) for n, v in got[k][1].items()} == {n: comparable(v) for n, v in row.items()}, of_key


def random_runs(rng, columns, kinds, keys=6):
    """Runs in each of which a key occurs once at the most."""
    names = [name for name in columns if name != "k"]
    return [
        [
            (int(k), int(rng.choice(kinds)), {name: value_of(rng, columns[name]) for name in names})
            for k in range(keys)
            if rng.integers(3)
        ]
        for _ in range(int(rng.integers(1, 7)))
    ]


def options_of(case, prefix):
    _, extra, _ = CASES[case]
    return {f"fields.{prefix}.aggregate-function": case.split()[0]} | {
        f"fields.{prefix}.{key}": value for key, value in extra.items()
    }


# an array that a deleting row leaves behind is not limited
@pytest.mark.parametrize(
    ("case", "remove"), [(c, remove) for c in CASES for remove in (False, True) if not (remove and "limit" in c)]
)
def test_aggregation_is_the_fold(case, remove):
    kind, _, retracts = CASES[case]
    columns = {"k": "INT NOT NULL", "v": kind, "w": "INT"}
    options = {"merge-engine": "aggregation"} | options_of(case, "v")
    if remove:
        options["aggregation.remove-record-on-delete"] = "true"
    kinds = [0, 0, 2, *([1, 3] if retracts else []), *([3] if remove else [])]
    for seed in range(60):
        rng = np.random.default_rng(seed)
        functions = {"v": case, "w": "last_non_null_value"}
        runs = random_runs(rng, columns, kinds)
        check(columns, options, runs, lambda records, f=functions: fold_oracle.aggregate(records, f, remove))


# Paimon takes a late array or map for the one to add to: it is not limited, and its NULL entries stay
@pytest.mark.parametrize("case", [case for case in CASES if "limit" not in case and "keytime" not in case])
def test_partial_update_with_groups_is_the_fold(case):
    kind, _, retracts = CASES[case]
    columns = {"k": "INT NOT NULL", "v": kind, "g": "INT", "z": "STRING", "a": "STRING", "h": "INT", "h2": "STRING"}
    options = {
        "merge-engine": "partial-update", "fields.g.sequence-group": "v", "fields.h,h2.sequence-group": "a",
        **options_of(case, "v"),
    }  # fmt: skip
    groups = {("g",): {"v": case}, ("h", "h2"): {"a": None}}
    for removing in ((), ("h2",), ("g", "h")):
        options["partial-update.remove-record-on-sequence-group"] = ",".join(removing)
        if not removing:
            del options["partial-update.remove-record-on-sequence-group"]
        for seed in range(40):
            rng = np.random.default_rng(seed)
            runs = random_runs(rng, columns, [0, 0, 2, *([1, 3] if retracts else [])])
            check(
                columns, options, runs, lambda r, g=groups, s=removing: fold_oracle.partial_update(r, "k", g, False, s)
            )


@pytest.mark.parametrize("remove", [False, True])
def test_partial_update_is_the_fold(remove):
    columns = {"k": "INT NOT NULL", "a": "INT", "b": "STRING", "c": "ARRAY<INT>"}
    options = {"merge-engine": "partial-update"}
    if remove:
        options["partial-update.remove-record-on-delete"] = "true"
    for seed in range(60):
        rng = np.random.default_rng(seed)
        runs = random_runs(rng, columns, [0, 2, 3, 1] if remove else [0, 2])
        check(columns, options, runs, lambda records: fold_oracle.partial_update(records, "k", {}, remove))


def test_retractions_that_cannot_be_taken_are_refused():
    columns = {"k": "INT NOT NULL", "v": "INT"}
    runs = [[(1, 0, {"v": 1})], [(1, 3, {"v": 1})]]
    with pytest.raises(NotSupportedError, match=r"fields\.v\.ignore-retract"):
        merged(columns, {"merge-engine": "aggregation", "fields.v.aggregate-function": "max"}, runs)
    ignoring = {"fields.v.aggregate-function": "max", "fields.v.ignore-retract": "true"}
    assert merged(columns, {"merge-engine": "aggregation"} | ignoring, runs)[0] == {1: (0, {"k": 1, "v": 1})}
    with pytest.raises(NotSupportedError, match="partial-update"):
        merged(columns, {"merge-engine": "partial-update"}, runs)
    assert merged(columns, {"merge-engine": "partial-update", "ignore-delete": "true"}, runs)[0][1][0] == 0


@pytest.mark.parametrize(
    ("kind", "values"),
    [
        ("TINYINT", [100, 100]),
        ("BIGINT", [2**62, 2**62]),
        ("DECIMAL(3, 0)", [900, 900]),
        ("DECIMAL(38, 0)", [10**38 - 1, 1]),
    ],
)
def test_a_sum_out_of_range_is_an_error(kind, values):
    columns = {"k": "INT NOT NULL", "v": kind}
    options = {"merge-engine": "aggregation", "fields.v.aggregate-function": "sum"}
    make = Decimal if kind.startswith("DECIMAL") else int
    runs = [[(1, 0, {"v": make(value)})] for value in values]
    with pytest.raises(DataError, match="wider type"):
        merged(columns, options, runs)


def test_steps_are_small():
    assert merge._STEP_ROWS <= 1 << 18

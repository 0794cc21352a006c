"""Tables and registered relations as sources."""

from pathlib import Path

import pyarrow as pa

from tests.unit.exec.streaming_jobs.warehouse import insert, make_table
from tsdb.exec.streaming.source import BEHIND_MAX, RegisteredSource, TableSource

COLUMNS = {"k": "BIGINT NOT NULL", "v": "STRING"}


def take(source, rows_max: int = 1000) -> list[tuple]:
    """The next complete cut as (weight, *row)."""
    rows: list[tuple] = []
    while True:
        delta = source.poll(rows_max)
        if delta is None:
            return rows
        for changes in delta.changes:
            rows += [(w, *r.values()) for r, w in zip(changes.rows.to_pylist(), changes.weights.tolist(), strict=True)]
        if delta.complete:
            return sorted(rows)


def test_the_state_first_and_then_each_snapshot(tmp_path: Path) -> None:
    table = make_table(tmp_path, "t", COLUMNS, ("k",), {"changelog-producer": "input"})
    insert(table, ("+I", 1, "a"), ("+I", 2, "b"))
    insert(table, ("-U", 1, "a"), ("+U", 1, "A"))
    source = TableSource(table, {}, bounded=False)
    assert (source.mode, source.upsert_key) == ("upsert", ("k",))
    assert take(source) == [(1, 1, "A"), (1, 2, "b")]
    assert (source.position, source.latest_reached(), take(source)) == (3, False, [])
    assert source.latest_reached() and not source.finished
    insert(table, ("-D", 2, "b"))
    insert(table, ("+I", 3, "c"))
    assert take(source) == [(-1, 2, "b")]
    again = TableSource(table, {}, bounded=False)
    again.seek(source.position)
    assert take(source) == take(again) == [(1, 3, "c")]


def test_a_bounded_source_ends_at_the_snapshot_that_was_latest_when_it_was_opened(tmp_path: Path) -> None:
    table = make_table(tmp_path, "t", COLUMNS)
    insert(table, (1, "a"))
    insert(table, (2, "b"))
    whole = TableSource(table, {"scan.mode": "from-snapshot", "scan.snapshot-id": "1"}, bounded=True)
    state = TableSource(table, {}, bounded=True)
    insert(table, (3, "c"))
    assert [take(whole), take(whole), whole.finished, take(whole)] == [[(1, 1, "a")], [(1, 2, "b")], True, []]
    assert take(state) == [(1, 1, "a"), (1, 2, "b")] and state.finished
    assert TableSource(make_table(tmp_path, "empty", COLUMNS), {}, bounded=True).finished


def test_an_empty_table_is_followed_from_its_first_snapshot(tmp_path: Path) -> None:
    table = make_table(tmp_path, "t", COLUMNS, ("k",))
    source = TableSource(table, {}, bounded=False)
    assert take(source) == [] and source.latest_reached()
    position = source.position
    insert(table, ("+I", 1, "a"))
    again = TableSource(table, {}, bounded=False)
    again.seek(position)
    assert take(source) == take(again) == [(1, 1, "a")]


def test_a_snapshot_comes_in_parts_as_one_cut(tmp_path: Path) -> None:
    table = make_table(tmp_path, "t", COLUMNS)
    for n in range(4):
        insert(table, *((i, "x") for i in range(n * 100, n * 100 + 100)))
    source = TableSource(table, {}, bounded=True)
    parts = []
    while (delta := source.poll(100)) is not None:
        parts.append((sum(c.num_rows for c in delta.changes), delta.complete))
        if not delta.complete:
            assert source.position == 1 or source.position is None or source.position < 5
    assert sum(n for n, _ in parts) == 400
    assert [complete for _, complete in parts] == [False] * (len(parts) - 1) + [True]
    assert source.position == 5


def test_a_source_that_is_behind_takes_what_there_is_as_one_cut(tmp_path: Path) -> None:
    table = make_table(tmp_path, "t", COLUMNS)
    count = BEHIND_MAX + 30
    for n in range(count):
        insert(table, (n, "x"))
    options = {"scan.mode": "from-snapshot", "scan.snapshot-id": "1"}
    alone, joined, few = (TableSource(table, options, bounded=True) for _ in range(3))
    joined.may_join_cuts = few.may_join_cuts = True
    each = [[(1, n, "x")] for n in range(count)]
    assert [take(alone) for _ in range(count)] == each and alone.finished
    assert [take(joined) for _ in range(BEHIND_MAX - 1)] == each[: BEHIND_MAX - 1]
    assert take(joined) == [(1, n, "x") for n in range(BEHIND_MAX - 1, count)] and joined.finished
    assert joined.position == alone.position
    for _ in range(BEHIND_MAX - 1):
        take(few)
    delta = few.poll(10)  # a snapshot is never cut in two for it
    assert delta is not None and delta.complete and sum(c.num_rows for c in delta.changes) == 10
    assert few.position == BEHIND_MAX + 10


def test_a_registered_relation_is_one_cut_and_ends() -> None:
    source = RegisteredSource(pa.table({"x": [1, 2, 3]}))
    assert [(c.num_rows, d.complete) for d in (source.poll(2), source.poll(2)) for c in d.changes] == [
        (2, False),
        (1, True),
    ]
    assert source.finished and source.position == 3 and source.poll(2) is None
    assert RegisteredSource(pa.table({"x": pa.array([], pa.int64())})).finished

"""Compaction changes files, never contents: tables are read back with pyarrow and folded in Python."""

from dataclasses import replace

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.table.tables import bucket_of_entry, fold, make_table, rows_of
from tsdb.data_types import DataField, parse_type
from tsdb.errors import ProgrammingError
from tsdb.fs.local import LocalFileIO
from tsdb.table.commit import commit
from tsdb.table.compact import compact, small_neighbours
from tsdb.table.scan import live_files
from tsdb.table.write import TableWriter

COLUMNS = {"k": "BIGINT NOT NULL", "p": "STRING NOT NULL", "s": "INT", "v": "STRING"}


def random_rows(rng, n, keys=60):
    return pa.table(
        {
            "k": pa.array(rng.integers(0, keys, n)),
            "p": pa.array([f"p{i}" for i in rng.integers(0, 2, n)]),
            "s": pa.array(rng.integers(0, 8, n), pa.int32()),
            "v": pa.array([f"v{i}" for i in rng.integers(0, 50, n)]),
        }
    )


def live(table):
    return live_files(table, table.latest_snapshot())


def stored(table, key, sequence_field=None):
    """The state of the table: what the files hold, folded."""
    rows = []
    for entry in live(table):
        part = pq.ParquetFile(f"{bucket_of_entry(table, entry)}/{entry.file.file_name}").read().to_pylist()
        assert len(part) == entry.file.row_count
        rows += [row | {"kind": row["_VALUE_KIND"]} for row in part]
    return {key: row for key, row in fold(rows, key, sequence_field).items() if row["kind"] in (0, 2)}


@pytest.mark.parametrize(
    "options", [{}, {"sequence.field": "s"}, {"target-file-size": "2 kb"}, {"write-buffer-size": "1 kb"}]
)
@pytest.mark.parametrize("writers", ["one", "many"])
def test_a_writer_compacts_and_the_state_stays(tmp_path, options, writers):
    table = make_table(tmp_path, COLUMNS, ("p", "k"), ("p",), {"bucket": "2"} | options)
    rng = np.random.default_rng(11)
    given, kinds_seen, writer = [], set(), TableWriter(table, user="u")
    for i in range(14):
        n = int(rng.integers(1, 40))
        # once a full compaction has dropped a retraction, it hides no rows with a smaller sequence field (as in Paimon)
        choices = [0, 2] if "sequence.field" in options else [0, 2, 3]
        rows, kinds = random_rows(rng, n), rng.choice(choices, n).astype(np.int8)
        if writers == "many" or i == 7:
            writer.close()
            writer = TableWriter(table, user=f"u{i}")
        writer.write(rows, kinds)
        snapshot = commit(
            table, writer.prepare_commit(), user="u" if writers == "one" and i < 7 else f"u{i}", identifier=i
        )
        kinds_seen.add(snapshot.commit_kind)
        given += [row | {"kind": int(kind)} for row, kind in zip(rows.to_pylist(), kinds, strict=True)]
        wanted = {
            k: r for k, r in fold(given, ("p", "k"), options.get("sequence.field")).items() if r["kind"] in (0, 2)
        }
        assert stored(table, ("p", "k"), options.get("sequence.field")) == wanted
    assert kinds_seen == {"APPEND", "COMPACT"}
    assert compact(table, user="c") is not None
    assert stored(table, ("p", "k"), options.get("sequence.field")) == wanted
    entries = live(table)
    assert {entry.file.level for entry in entries} == {5} and all(entry.file.delete_row_count == 0 for entry in entries)
    assert sum(entry.file.row_count for entry in entries) == len(wanted)
    assert compact(table, user="c") is None


def test_the_trace_of_equal_commits(tmp_path):
    table = make_table(tmp_path, COLUMNS, ("k",), (), {"bucket": "1"})
    compacted = []
    with TableWriter(table, user="u") as writer:
        for i in range(1, 14):
            writer.write(pa.table({"k": range(10), "p": ["x"] * 10, "s": [i] * 10, "v": ["y"] * 10}))
            messages = writer.prepare_commit()
            commit(table, messages, user="u", identifier=i)
            compacted += [i] if messages[0].compact_after else []
    assert compacted == [5, 9, 13]


def test_write_only_never_compacts(tmp_path):
    table = make_table(tmp_path, COLUMNS, ("k",), (), {"bucket": "1", "write-only": "true"})
    with TableWriter(table, user="u") as writer:
        for i in range(9):
            writer.write(random_rows(np.random.default_rng(i), 5))
            commit(table, writer.prepare_commit(), user="u", identifier=i)
    assert [entry.file.level for entry in live(table)] == [0] * 9
    assert compact(table, user="c", full=False) is not None


def test_another_writer_s_files_are_seen(tmp_path):
    table = make_table(tmp_path, COLUMNS, ("k",), (), {"bucket": "1"})
    ours, theirs = TableWriter(table, user="a"), TableWriter(table, user="b")
    sequence = []
    for i in range(8):
        for user, writer in (("a", ours), ("b", theirs)):
            writer.write(pa.table({"k": [i, 100], "p": ["", ""], "s": [i, i], "v": [user, f"{user}{i}"]}))
            messages = writer.prepare_commit(compact=None)
            sequence.append(messages[0].new_files[0].min_sequence_number)
            commit(table, messages, user=user, identifier=i)
    assert sequence == sorted(sequence) and len(set(sequence)) == len(sequence)
    assert stored(table, ("k",))[100,]["v"] == "b7"


def test_small_files_of_append_tables_are_joined_in_order(tmp_path):
    table = make_table(tmp_path, COLUMNS, (), (), {"bucket": "2", "bucket-key": "k"})
    given = []
    with TableWriter(table, user="u") as writer:
        for i in range(4):
            rows = random_rows(np.random.default_rng(i), 20)
            writer.write(rows)
            given += rows.to_pylist()
            commit(table, writer.prepare_commit(), user="u", identifier=i)
    assert compact(table, user="c", full=False) is None
    assert compact(table, user="c").commit_kind == "COMPACT"
    entries = live(table)
    assert len(entries) == 2
    for entry in entries:
        rows = pq.ParquetFile(f"{bucket_of_entry(table, entry)}/{entry.file.file_name}").read().to_pylist()
        keys = {row["k"] for row in rows}
        assert rows_of(rows) == [row for row in given if row["k"] in keys]
    assert compact(table, user="c") is None


def test_only_neighbours_are_joined():
    def file(i, size):
        return type(
            "File", (), {"min_sequence_number": i, "file_size": size, "creation_time_millis": 0, "file_name": str(i)}
        )

    groups = small_neighbours([file(i, s) for i, s in enumerate([1, 1, 90, 1, 1, 1, 60, 60, 1])], 100, 2)
    assert [[f.file_name for f in g] for g in groups] == [["0", "1"], ["3", "4", "5", "6"], ["7", "8"]]


def test_another_number_of_buckets_is_refused(tmp_path):
    table = make_table(tmp_path, COLUMNS, ("k",), (), {"bucket": "1"})
    with TableWriter(table, user="u") as writer:
        writer.write(random_rows(np.random.default_rng(0), 5))
        commit(table, writer.prepare_commit(), user="u")
    with TableWriter(table.with_options({"bucket": "2"}), user="u") as writer:
        writer.write(random_rows(np.random.default_rng(0), 5))
        with pytest.raises(ProgrammingError, match="has files in 1 buckets where this commit writes 2"):
            writer.prepare_commit()


def test_files_of_an_old_schema_are_compacted_into_today_s(tmp_path):
    table = make_table(tmp_path, COLUMNS, ("k",), (), {"bucket": "1"})
    with TableWriter(table, user="u") as writer:
        writer.write(pa.table({"k": [1, 2], "p": ["a", "b"], "s": [7, 8], "v": ["x", "y"]}))
        commit(table, writer.prepare_commit(), user="u")
    k, p, s, _ = table.schema.fields
    renamed = (
        k,
        replace(p, name="v"),
        replace(s, type=parse_type("BIGINT")),
        DataField(4, "extra", parse_type("DOUBLE")),
    )
    table = table.with_schema(replace(table.schema, id=1, fields=renamed, highest_field_id=4))
    assert table.schemas.try_create(table.schema)
    with TableWriter(table, user="u") as writer:
        writer.write(pa.table({"k": [2, 3], "v": ["c", "d"], "s": [2**40, None], "extra": [1.5, None]}))
        commit(table, writer.prepare_commit(), user="u")
    assert compact(table, user="c") is not None
    assert list(stored(table, ("k",)).values()) == [
        {"k": 1, "v": "a", "s": 7, "extra": None, "kind": 0},
        {"k": 2, "v": "c", "s": 2**40, "extra": 1.5, "kind": 0},
        {"k": 3, "v": "d", "s": None, "extra": None, "kind": 0},
    ]
    assert [entry.file.schema_id for entry in live(table)] == [1]


class FullDisk(LocalFileIO):
    """Every file beyond the first few cannot be written."""

    room = 0

    def open_output(self, path):
        self.room -= 1
        if self.room < 0:
            raise OSError("no space left on device")
        return super().open_output(path)


@pytest.mark.parametrize("room", [0, 1, 2, 3])
def test_a_full_disk_leaves_no_files_behind(tmp_path, room):
    table = make_table(
        tmp_path, COLUMNS, ("k",), (), {"bucket": "2", "changelog-producer": "input", "target-file-size": "600 b"}
    )
    for i in range(3):
        with TableWriter(table, user="u") as writer:
            writer.write(random_rows(np.random.default_rng(i), 50))
            commit(table, writer.prepare_commit(), user="u")
    before = {str(path) for path in tmp_path.rglob("*.parquet")}
    disk = FullDisk()
    disk.room = room
    full = replace(table, file_io=disk)
    with pytest.raises(OSError, match="no space left"):
        compact(full, user="c")
    assert {str(path) for path in tmp_path.rglob("*.parquet")} == before
    disk.room = room
    with pytest.raises(OSError, match="no space left"), TableWriter(full, user="u") as writer:
        writer.write(random_rows(np.random.default_rng(9), 50))
        writer.prepare_commit()
    assert {str(path) for path in tmp_path.rglob("*.parquet")} == before

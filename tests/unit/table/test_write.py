"""What a writer leaves in files, against a Python fold over the rows it was given; files are read with pyarrow."""

import os
from decimal import Context, Decimal

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.unit.table.tables import fold, make_table, read_message, rows_of
from tsdb.changes import RowKind
from tsdb.errors import DataError, NotSupportedError, NullKeyError
from tsdb.mergetree.data_writer import DataWriter
from tsdb.metadata.binary_row import decode_row
from tsdb.table import bucket_writer
from tsdb.table.commit_message import CommitMessage
from tsdb.table.write import TableWriter, discard

COLUMNS = {"k": "BIGINT NOT NULL", "p": "STRING NOT NULL", "s": "INT", "v": "STRING"}


def random_rows(rng, n, keys=40):
    return pa.table(
        {
            "k": pa.array(rng.integers(0, keys, n)),
            "p": pa.array([f"p{i}" for i in rng.integers(0, 3, n)]),
            "s": pa.array([None if i == 7 else int(i) for i in rng.integers(0, 8, n)], pa.int32()),
            "v": pa.array([None if i == 0 else f"v{i}" for i in rng.integers(0, 50, n)]),
        }
    )


@pytest.mark.parametrize("partitioned", [False, True])
@pytest.mark.parametrize(
    "options",
    [
        {},
        {"write-buffer-size": "2 kb"},
        {"sequence.field": "s"},
        {"ignore-delete": "true"},
        {"changelog-producer": "input"},
        {"target-file-size": "300 b", "changelog-producer": "input"},
    ],
)
def test_keyed_rows(tmp_path, partitioned, options):
    pk = ("p", "k") if partitioned else ("k",)
    table = make_table(
        tmp_path, COLUMNS, pk, ("p",) if partitioned else (), {"bucket": "3", "write-only": "true"} | options
    )
    rng = np.random.default_rng(5)
    given = []
    with TableWriter(table, user="u") as writer:
        for n in (100, 0, 37, 1):
            rows, kinds = random_rows(rng, n), rng.choice([0, 2, 3, 1], n).astype(np.int8)
            writer.write(rows, kinds)
            given += [row | {"kind": int(kind)} for row, kind in zip(rows.to_pylist(), kinds, strict=True)]
        messages = writer.prepare_commit()
    if options.get("ignore-delete"):
        given = [row for row in given if row["kind"] in (0, 2)]
    files = [part for message in messages for part in read_message(table, message)]
    stored = [row for _, rows in files for row in rows]
    assert fold(stored, pk, options.get("sequence.field")) == fold(given, pk, options.get("sequence.field"))
    for file, rows in files:
        keys = [tuple(row[k] for k in table.schema.trimmed_primary_keys) for row in rows]
        assert keys == sorted(set(keys)) and file.row_count == len(rows)
        assert (decode_row(file.min_key, types_of(table)), decode_row(file.max_key, types_of(table))) == (
            keys[0],
            keys[-1],
        )
        assert file.delete_row_count == sum(row["kind"] in (1, 3) for row in rows) and (
            file.level,
            file.file_source,
        ) == (0, 0)
        numbers = [row["_SEQUENCE_NUMBER"] for row in rows]
        assert (file.min_sequence_number, file.max_sequence_number) == (min(numbers), max(numbers))
    if "changelog-producer" in options:
        changelog = [row for m in messages for _, rows in read_message(table, m, changelog=True) for row in rows]
        assert sorted(map(str, rows_of(changelog))) == sorted(map(str, given))
    else:
        assert not any(message.changelog_files for message in messages)
    if "write-buffer-size" in options:
        assert max(len(message.new_files) for message in messages) > 1


def types_of(table):
    return [table.schema.field(k).type for k in table.schema.trimmed_primary_keys]


def test_files_look_as_paimon_s(tmp_path):
    table = make_table(tmp_path, COLUMNS, ("k",), (), {"bucket": "1"})
    with TableWriter(table, user="u") as writer:
        writer.write(pa.table({"k": [3, 1], "p": ["x", "y"], "s": [1, None], "v": [None, "z"]}))
        (message,) = writer.prepare_commit()
    (file,) = message.new_files
    assert (message.bucket, message.total_buckets, message.partition) == (0, 1, bytes(12))
    schema = pq.read_schema(table.paths.bucket({}, 0) + "/" + file.file_name)
    assert schema.names == ["_KEY_k", "_SEQUENCE_NUMBER", "_VALUE_KIND", "k", "p", "s", "v"]
    ids = {field.name: int(field.metadata[b"PARQUET:field_id"]) for field in schema}
    assert ids == {
        "_KEY_k": 1073741823,
        "_SEQUENCE_NUMBER": 2147483646,
        "_VALUE_KIND": 2147483645,
        "k": 0,
        "p": 1,
        "s": 2,
        "v": 3,
    }
    all_types = [field.type for field in table.schema.fields]
    assert file.value_stats_cols is None and file.value_stats.null_counts == (0, 0, 1, 1)
    assert decode_row(file.value_stats.min_values, all_types) == (1, "x", 1, "z")
    assert decode_row(file.value_stats.max_values, all_types) == (3, "y", 1, "z")
    assert decode_row(file.key_stats.min_values, types_of(table)) == (1,)


@pytest.mark.parametrize(("bucket", "key"), [("-1", None), ("4", "k")])
@pytest.mark.parametrize("size", ["256 mb", "1 kb"])
def test_append_tables_keep_rows_in_order(tmp_path, bucket, key, size):
    options = {"bucket": bucket, "write-buffer-size": size} | ({"bucket-key": key} if key else {})
    table = make_table(tmp_path, COLUMNS, (), ("p",), options)
    rng = np.random.default_rng(2)
    given = []
    with TableWriter(table, user="u") as writer:
        for n in (80, 33):
            rows = random_rows(rng, n)
            writer.write(rows)
            given += rows.to_pylist()
        messages = writer.prepare_commit()
    assert {message.total_buckets for message in messages} == {int(bucket)}
    for message in messages:
        stored = [row for _, rows in read_message(table, message) for row in rows]
        in_bucket = {row["k"] for row in stored}
        partition = stored[0]["p"]
        assert rows_of(stored) == [row for row in given if row["p"] == partition and row["k"] in in_bucket]
    assert sum(file.row_count for message in messages for file in message.new_files) == len(given)


def in_small_parts(monkeypatch):
    """As if 30 rows were many, on three processors."""
    monkeypatch.setattr(bucket_writer, "_SLICE_ROWS", 30)
    monkeypatch.setattr(bucket_writer, "_PART_BYTES_MIN", 1)
    monkeypatch.setattr(os, "cpu_count", lambda: 3)


@pytest.mark.parametrize("bucket", ["-1", "1"])
@pytest.mark.parametrize(
    ("count", "in_files"),
    [(20, [20]), (59, [59]), (60, [30, 30]), (100, [60, 30, 10]), (200, [90, 60, 50])],
)
def test_many_rows_become_a_file_a_processor_in_order(tmp_path, monkeypatch, bucket, count, in_files):
    in_small_parts(monkeypatch)
    key = {"bucket-key": "k"} if bucket == "1" else {}
    table = make_table(tmp_path, COLUMNS, (), (), {"bucket": bucket, "write-only": "true"} | key)
    rows = random_rows(np.random.default_rng(1), count)
    with TableWriter(table, user="u") as writer:
        writer.write(rows)
        (message,) = writer.prepare_commit()
    files = list(read_message(table, message))
    assert [file.row_count for file, _ in files] == in_files
    assert rows_of([row for _, part in files for row in part]) == rows.to_pylist()
    assert [file.min_sequence_number for file, _ in files] == [sum(in_files[:i]) for i in range(len(in_files))]
    assert [file.max_sequence_number + 1 for file, _ in files] == [sum(in_files[: i + 1]) for i in range(len(in_files))]


def test_a_part_that_cannot_be_written_leaves_no_file_of_the_others(tmp_path, monkeypatch):
    in_small_parts(monkeypatch)
    table = make_table(tmp_path, COLUMNS, (), (), {"bucket": "-1"})
    write = DataWriter.write
    written = []

    def third_fails(self, tables, **how):
        files = write(self, tables, **how)
        written.extend(files)
        if files[0].min_sequence_number == 60:
            raise OSError("no space left")
        return files

    monkeypatch.setattr(DataWriter, "write", third_fails)
    with pytest.raises(OSError, match="no space left"), TableWriter(table, user="u") as writer:
        writer.write(random_rows(np.random.default_rng(1), 100))
        writer.prepare_commit()
    left = {status.name for status in table.file_io.list_files(table.paths.bucket({}, 0))}
    assert left == {file.file_name for file in written if file.min_sequence_number == 60}


@pytest.mark.parametrize("digits", [5, 18, 19, 38])
@pytest.mark.parametrize("nulls", [False, True])
def test_extremes_of_decimals(tmp_path, digits, nulls):
    table = make_table(tmp_path, {"k": "BIGINT NOT NULL", "d": f"DECIMAL({digits}, 2)"}, (), (), {})
    largest = Decimal(10**digits - 1).scaleb(-2, Context(prec=digits))
    for values in (
        [largest, largest.copy_negate(), Decimal(0)],
        [-Decimal("1.25"), -Decimal("0.01")],
        [Decimal("7.00")],
    ):
        around = pa.array(
            [largest, *values, None if nulls else values[0], largest.copy_negate()], pa.decimal128(digits, 2)
        )
        chunks = pa.chunked_array([around[1:2], around[2:2], around[2:-1]])
        with TableWriter(table, user="u") as writer:
            writer.write(pa.table({"k": pa.array(range(len(chunks)), pa.int64()), "d": chunks}))
            (message,) = writer.prepare_commit()
        (file,) = message.new_files
        types = [field.type for field in table.schema.fields]
        low, high = (decode_row(row, types)[1] for row in (file.value_stats.min_values, file.value_stats.max_values))
        assert (low, high) == (min(values), max(values))
        assert file.value_stats.null_counts == (0, int(nulls))


def test_append_tables_refuse_retractions(tmp_path):
    table = make_table(tmp_path, COLUMNS, (), (), {})
    with (
        TableWriter(table, user="u") as writer,
        pytest.raises(NotSupportedError, match=r"row 2 is a -D.*no primary key"),
    ):
        writer.write(random_rows(np.random.default_rng(0), 2), np.array([0, 3], np.int8))


def test_rowkind_field(tmp_path):
    table = make_table(tmp_path, COLUMNS, ("k",), (), {"bucket": "1", "rowkind.field": "v"})
    with TableWriter(table, user="u") as writer:
        writer.write(pa.table({"k": [1, 2], "p": ["", ""], "s": [1, 1], "v": ["+I", "-D"]}))
        (message,) = writer.prepare_commit()
        assert [row["kind"] for _, rows in read_message(table, message) for row in rows] == [
            RowKind.INSERT,
            RowKind.DELETE,
        ]
        with pytest.raises(DataError, match=r"'x' of 'rowkind.field' `v` is no row kind"):
            writer.write(pa.table({"k": [1], "p": [""], "s": [1], "v": ["x"]}))


def test_sequence_numbers_go_on_and_aborted_files_vanish(tmp_path):
    table = make_table(tmp_path, COLUMNS, ("k",), (), {"bucket": "1"})
    rows = pa.table({"k": [1, 1, 2], "p": ["", "", ""], "s": [1, 1, 1], "v": ["a", "b", "c"]})
    with TableWriter(table, user="u") as writer:
        writer.write(rows)
        (first,) = writer.prepare_commit()
        writer.write(rows)
        (second,) = writer.prepare_commit()
        assert [f.min_sequence_number for f in first.new_files + second.new_files] == [1, 4]
        writer.write(rows)
        writer._flush(keep_small=False)
        assert len(table.file_io.list_files(table.paths.bucket({}, 0))) == 3
        writer.abort()
        assert writer.prepare_commit() == []
    left = {status.name for status in table.file_io.list_files(table.paths.bucket({}, 0))}
    assert left == {file.file_name for file in first.new_files + second.new_files}
    discard(table, [first, second])
    assert table.file_io.list_files(table.paths.bucket({}, 0)) == []


def test_a_bad_row_is_named_by_its_number_over_all_batches(tmp_path):
    table = make_table(tmp_path, COLUMNS, ("k",), (), {"bucket": "1"})
    with TableWriter(table, user="u") as writer:
        writer.write(random_rows(np.random.default_rng(0), 5))
        with pytest.raises(NullKeyError, match="NULL in row 7"):
            writer.write(pa.table({"k": [1, None], "p": ["", ""], "s": [1, 1], "v": ["", ""]}))


def test_messages_survive_json(tmp_path):
    table = make_table(tmp_path, COLUMNS, ("p", "k"), ("p",), {"bucket": "2", "changelog-producer": "input"})
    with TableWriter(table, user="u") as writer:
        writer.write(random_rows(np.random.default_rng(1), 30))
        messages = writer.prepare_commit(compact=True)
    assert any(message.compact_before for message in messages)
    assert [CommitMessage.from_json(message.to_json()) for message in messages] == messages

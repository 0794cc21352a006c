"""Folding manifest entries, and what is kept of manifests once read."""

from dataclasses import replace
from pathlib import Path

import pytest

from tsdb.data_types import DataField, parse_type
from tsdb.fs.local import LocalFileIO
from tsdb.metadata.binary_row import encode_row
from tsdb.metadata.data_file import EMPTY_STATS, DataFileMeta
from tsdb.metadata.manifest import (
    ADD,
    DELETE,
    EMPTY_PARTITION,
    ManifestEntry,
    _Cache,
    fold,
    read_manifest,
    read_manifest_list,
    write_manifest,
    write_manifest_list,
)
from tsdb.metadata.schema import TableSchema

IO = LocalFileIO()
SCHEMA = TableSchema(2, (DataField(0, "k", parse_type("INT")),))


def entry(kind: int, name: str, level: int = 0, partition: bytes = EMPTY_PARTITION, bucket: int = 0) -> ManifestEntry:
    file = DataFileMeta(name, 10, 5, b"", b"", EMPTY_STATS, EMPTY_STATS, 0, 4, 2, level)
    return ManifestEntry(kind, partition, bucket, 2, file)


A, B, A1 = entry(ADD, "a"), entry(ADD, "b"), entry(ADD, "a", 5)
NOT_A, NOT_B = entry(DELETE, "a"), entry(DELETE, "b")
FOLDS: list[tuple[str, list[ManifestEntry], list[ManifestEntry]]] = [
    ("nothing", [], []),
    ("added", [A, B], [A, B]),
    ("deleted", [A, B, NOT_A], [B]),
    ("upgraded: the same file on another level", [A, NOT_A, A1], [A1]),
    ("added again", [A, NOT_A, A], [A]),
    ("a deletion whose addition is elsewhere", [NOT_B, A], [NOT_B, A]),
    ("another bucket is another file", [A, replace(NOT_A, bucket=1)], [A, replace(NOT_A, bucket=1)]),
    ("an index beside it is another file", [A, replace(NOT_A, file=replace(NOT_A.file, extra_files=("a.index",)))],
     [A, replace(NOT_A, file=replace(NOT_A.file, extra_files=("a.index",)))]),
]  # fmt: skip


@pytest.mark.parametrize(("name", "entries", "live"), FOLDS, ids=[name for name, _, _ in FOLDS])
def test_what_entries_come_to(name: str, entries: list[ManifestEntry], live: list[ManifestEntry]) -> None:
    assert fold(entries) == live


def test_the_entry_of_a_list_sums_up_its_manifest(tmp_path: Path) -> None:
    kinds = [parse_type("STRING"), parse_type("INT")]
    schema = TableSchema(2, (DataField(0, "p", kinds[0]), DataField(1, "q", kinds[1])), ("p", "q"))
    rows = [("b", 1), ("a", None), ("a", 7)]
    entries = [entry(ADD, f"f{i}", i, encode_row(row, kinds), i) for i, row in enumerate(rows)] + [NOT_A]
    entries[-1] = replace(NOT_A, partition=entries[0].partition)
    path = str(tmp_path / "manifest-1")
    meta = write_manifest(IO, path, entries, schema)
    assert (meta.file_name, meta.file_size, meta.schema_id) == ("manifest-1", Path(path).stat().st_size, 2)
    assert (meta.num_added_files, meta.num_deleted_files) == (3, 1)
    assert (meta.min_bucket, meta.max_bucket, meta.min_level, meta.max_level) == (0, 2, 0, 2)
    stats = meta.partition_stats
    assert (stats.min_values, stats.max_values) == (encode_row(("a", 1), kinds), encode_row(("b", 7), kinds))
    assert stats.null_counts == (0, 1)
    lists = str(tmp_path / "manifest-list-1")
    assert write_manifest_list(IO, lists, [meta, meta]) == Path(lists).stat().st_size
    for cached in (True, False):
        read_from, lists_from = (path, lists) if cached else (f"{path}-copy", f"{lists}-copy")
        if not cached:
            Path(read_from).write_bytes(Path(path).read_bytes())
            Path(lists_from).write_bytes(Path(lists).read_bytes())
        assert read_manifest(IO, read_from) == tuple(entries)
        assert read_manifest_list(IO, lists_from) == (meta, meta)


def test_an_empty_list_is_a_file(tmp_path: Path) -> None:
    write_manifest_list(IO, str(tmp_path / "x"), [])
    Path(tmp_path / "y").write_bytes(Path(tmp_path / "x").read_bytes())
    assert read_manifest_list(IO, str(tmp_path / "y")) == ()


def test_the_cache_forgets_what_was_used_longest_ago() -> None:
    cache = _Cache(10)
    cache.put("a", (1, 2, 3))
    cache.put("b", (1, 2, 3))
    assert cache.get("a") == (1, 2, 3)
    cache.put("c", (1, 2, 3))
    assert (cache.get("a"), cache.get("b"), cache.get("c")) == ((1, 2, 3), None, (1, 2, 3))
    for _ in range(100):
        cache.put("c", (1,))
    assert cache.get("a") == (1, 2, 3)
    cache.put("huge", tuple(range(100)))
    assert cache.get("huge") is None and cache.get("a") == (1, 2, 3)
    cache.put("empty", ())
    for _ in range(100):
        cache.put("empty", ())
    cache.put("d", (1, 2, 3))
    assert cache.get("empty") == () and cache.get("d") == (1, 2, 3)


def test_files_come_back_from_checkpoints() -> None:
    file = replace(
        A.file, embedded_file_index=b"\x00\xff", value_stats_cols=("k",), write_cols=(), extra_files=("x",),
        value_stats=replace(EMPTY_STATS, null_counts=(1, None)), creation_time_millis=5, first_row_id=0,
    )  # fmt: skip
    for original in (A.file, file):
        assert DataFileMeta.from_json(original.to_json()) == original

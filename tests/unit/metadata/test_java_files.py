"""Every metadata file of the tables that Paimon Java and Flink wrote decodes, and what is encoded again is the same."""

import io
import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import fastavro
import pyarrow.parquet as pq
import pytest
from fastavro.schema import to_parsing_canonical_form

from tsdb.data_types import TypeRoot
from tsdb.fs.local import LocalFileIO
from tsdb.metadata.binary_row import bucket_of, decode_row, encode_row, encode_rows, hash_rows
from tsdb.metadata.deletion_vector import read_deletion_vector
from tsdb.metadata.index_file import read_index_manifest
from tsdb.metadata.manifest import (
    ADD,
    ManifestEntry,
    fold,
    read_manifest,
    read_manifest_list,
    write_manifest,
    write_manifest_list,
)
from tsdb.metadata.paths import TablePaths
from tsdb.metadata.schema import SchemaManager, TableSchema
from tsdb.metadata.snapshot import Snapshot, SnapshotManager
from tsdb.metadata.stats import column_ranges, compute_stats

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"
JAVA = FIXTURES / "java-warehouse"
TABLES = sorted(p for p in FIXTURES.glob("*-warehouse/*.db/*") if p.is_dir())
IO = LocalFileIO()


Entries = list[tuple[TableSchema, ManifestEntry]]


def entries_of(table: Path) -> Entries:
    snapshots = SnapshotManager(IO, str(table))
    return [pair for i in snapshots.ids() for pair in entries_of_snapshot(table, snapshots.snapshot(i))]


def entries_of_latest(table: Path) -> Entries:
    snapshot = SnapshotManager(IO, str(table)).latest()
    assert snapshot is not None
    return entries_of_snapshot(table, snapshot)


def entries_of_snapshot(table: Path, snapshot: Snapshot) -> Entries:
    schemas = SchemaManager(IO, str(table))
    out = []
    for name in (snapshot.base_manifest_list, snapshot.delta_manifest_list):
        for meta in read_manifest_list(IO, f"{table}/manifest/{name}"):
            entries = read_manifest(IO, f"{table}/manifest/{meta.file_name}")
            assert meta.num_added_files == sum(e.kind == ADD for e in entries)
            out += [(schemas.schema(e.file.schema_id), e) for e in entries]
    return out


def data_path(table: Path, schema: TableSchema, entry: ManifestEntry) -> Path:
    legacy = schema.options.get("partition.legacy-name", "true") == "true"
    types = [schema.field(k).type for k in schema.partition_keys]
    values = dict(zip(schema.partition_keys, decode_row(entry.partition, types), strict=True))
    kinds = dict(zip(schema.partition_keys, types, strict=True))
    paths = TablePaths(str(table), legacy_names=legacy, partition_types=kinds)
    return Path(paths.bucket(values, entry.bucket)) / entry.file.file_name


@pytest.mark.parametrize("table", TABLES, ids=lambda p: p.name)
def test_partitions_keys_statistics_and_buckets(table: Path) -> None:
    entries = entries_of(table)
    assert entries
    for schema, entry in entries:
        types = [schema.field(k).type for k in schema.partition_keys]
        assert encode_row(decode_row(entry.partition, types), types) == entry.partition
        if schema.primary_keys:
            types = [schema.field(k).type for k in schema.trimmed_primary_keys]
            for key in (entry.file.min_key, entry.file.max_key):
                assert encode_row(decode_row(key, types), types) == key
    for entry in fold(entry for _, entry in entries_of_latest(table)):
        schema = SchemaManager(IO, str(table)).schema(entry.file.schema_id)
        path = data_path(table, schema, entry)
        assert path.stat().st_size == entry.file.file_size
        if path.suffix == ".parquet":
            check_data(path, schema, entry)


def check_data(path: Path, schema: TableSchema, entry: ManifestEntry) -> None:
    with pq.ParquetFile(path) as file:
        rows = file.read()
    assert rows.num_rows == entry.file.row_count
    ours, ours_of = compute_stats(rows, schema.fields)
    theirs = column_ranges(entry.file, schema)
    known = column_ranges(replace(entry.file, value_stats=ours, value_stats_cols=ours_of), schema)
    # Paimon 2 bounds binary columns too, 1.4 does not; we do not
    comparable = [n for n in theirs if schema.field(n).type.root not in (TypeRoot.BINARY, TypeRoot.VARBINARY)]
    assert {n: known[n] for n in comparable} == {n: theirs[n] for n in comparable}
    if len(comparable) == len(known):
        assert (ours, ours_of) == (entry.file.value_stats, entry.file.value_stats_cols)
    if schema.primary_keys:
        fields = [schema.field(k) for k in schema.trimmed_primary_keys]
        keys = rows.select([f"_KEY_{f.name}" if f"_KEY_{f.name}" in rows.column_names else f.name for f in fields])
        types = [f.type for f in fields]
        assert compute_stats(keys.rename_columns([f.name for f in fields]), fields)[0] == entry.file.key_stats
        assert encode_rows(keys.slice(0, 1).columns, types) == [entry.file.min_key]
        assert encode_rows(keys.slice(len(keys) - 1).columns, types) == [entry.file.max_key]
    buckets = int(schema.options.get("bucket", "-1"))
    if buckets > 0 and "bucket-function.type" not in schema.options:
        keys = schema.bucket_keys
        hashes = hash_rows([rows[k] for k in keys], [schema.field(k).type for k in keys])
        assert set(bucket_of(hashes, buckets).tolist()) <= {entry.bucket}


def payload(path: Path) -> tuple[str, list[Any], bytes]:
    """The schema (in canonical form), the records and the uncompressed bytes of the blocks of an Avro file."""
    data = path.read_bytes()
    found = fastavro.block_reader(io.BytesIO(data))
    blocks = b"".join(block.bytes_.getvalue() for block in found)  # type: ignore[attr-defined]  # the stubs lack it
    reader = fastavro.reader(io.BytesIO(data))
    return to_parsing_canonical_form(json.loads(reader.metadata["avro.schema"])), list(reader), blocks


@pytest.mark.parametrize("table", TABLES, ids=lambda p: p.name)
def test_manifests_come_back_byte_for_byte(table: Path, tmp_path: Path) -> None:
    schemas, again = SchemaManager(IO, str(table)), tmp_path / "again"
    for path in sorted((table / "manifest").glob("manifest-*")):
        if path.name.startswith("manifest-list-"):
            write_manifest_list(IO, str(again), read_manifest_list(IO, str(path)))
        else:
            entries = read_manifest(IO, str(path))
            meta = write_manifest(IO, str(again), entries, schemas.schema(entries[0].file.schema_id))
            assert meta.file_size == again.stat().st_size
        (schema, records, blocks), (our_schema, our_records, our_blocks) = payload(path), payload(again)
        if JAVA in table.parents:
            assert (schema, blocks) == (our_schema, our_blocks)
        else:  # Paimon 2 has more fields; what it knows besides is not kept
            assert [_shared(theirs, ours) for theirs, ours in zip(records, our_records, strict=True)] == our_records


def _shared(record: Any, model: Any) -> Any:
    """The fields of a record that its model has too."""
    if not isinstance(record, dict) or not isinstance(model, dict):
        return record
    return {name: _shared(record.get(name), model[name]) for name in model}


@pytest.mark.parametrize("table", [t for t in TABLES if JAVA in t.parents], ids=lambda p: p.name)
def test_entries_of_manifest_lists_are_those_of_java(table: Path, tmp_path: Path) -> None:
    schemas, snapshots = SchemaManager(IO, str(table)), SnapshotManager(IO, str(table))
    for snapshot in map(snapshots.snapshot, snapshots.ids()):
        for name in (snapshot.base_manifest_list, snapshot.delta_manifest_list, snapshot.changelog_manifest_list):
            for theirs in read_manifest_list(IO, f"{table}/manifest/{name}") if name else ():
                entries = read_manifest(IO, f"{table}/manifest/{theirs.file_name}")
                ours = write_manifest(IO, str(tmp_path / "again"), entries, schemas.schema(theirs.schema_id))
                ours = replace(ours, file_name=theirs.file_name, file_size=theirs.file_size)
                assert replace(ours, min_row_id=theirs.min_row_id, max_row_id=theirs.max_row_id) == theirs


@pytest.mark.parametrize("table", TABLES, ids=lambda p: p.name)
def test_schemas_and_snapshots_come_back(table: Path) -> None:
    schemas, snapshots = SchemaManager(IO, str(table)), SnapshotManager(IO, str(table))
    for schema in map(schemas.schema, schemas.ids()):
        assert TableSchema.from_json(schema.to_json()) == schema
    assert snapshots.latest_id() == snapshots.ids()[-1]
    for snapshot in map(snapshots.snapshot, snapshots.ids()):
        assert Snapshot.from_json(snapshot.to_json()) == snapshot


@pytest.mark.parametrize("table", ["dv32", "dv64"])
def test_deletion_vectors_have_the_rows_they_say(table: str) -> None:
    path = FIXTURES / "java-warehouse" / "db.db" / table
    snapshot = SnapshotManager(IO, str(path)).latest()
    assert snapshot is not None and snapshot.index_manifest is not None
    ranges = [
        (entry, r)
        for entry in read_index_manifest(IO, f"{path}/manifest/{snapshot.index_manifest}")
        for r in entry.file.deletion_ranges.values()
    ]
    assert ranges
    for entry, r in ranges:
        positions = read_deletion_vector(IO, f"{path}/index/{entry.file.file_name}", r.offset)
        assert len(positions) == r.cardinality and (positions[1:] > positions[:-1]).all()

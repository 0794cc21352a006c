"""Every metadata file of the tables that Paimon Java and Flink wrote decodes, and what is encoded again is the same."""

from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tsdb.fs.local import LocalFileIO
from tsdb.metadata.binary_row import bucket_of, decode_row, encode_row, hash_rows
from tsdb.metadata.deletion_vector import read_deletion_vector
from tsdb.metadata.index_file import read_index_manifest
from tsdb.metadata.manifest import ADD, ManifestEntry, read_manifest, read_manifest_list
from tsdb.metadata.paths import TablePaths
from tsdb.metadata.schema import SchemaManager, TableSchema
from tsdb.metadata.snapshot import Snapshot, SnapshotManager
from tsdb.metadata.stats import compute_stats

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"
TABLES = sorted(p for p in FIXTURES.glob("*-warehouse/*.db/*") if p.is_dir())
IO = LocalFileIO()


def entries_of(table: Path) -> list[tuple[TableSchema, ManifestEntry]]:
    schemas, snapshots = SchemaManager(IO, str(table)), SnapshotManager(IO, str(table))
    out = []
    for snapshot in map(snapshots.snapshot, snapshots.ids()):
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
    return Path(TablePaths(str(table), legacy_names=legacy).bucket(values, entry.bucket)) / entry.file.file_name


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
        path = data_path(table, schema, entry)
        if path.exists() and path.suffix == ".parquet":
            check_data(path, schema, entry)


def check_data(path: Path, schema: TableSchema, entry: ManifestEntry) -> None:
    with pq.ParquetFile(path) as file:
        rows = file.read()
    if entry.file.value_stats.null_counts and entry.file.value_stats_cols is None:
        assert compute_stats(rows, schema.fields) == (entry.file.value_stats, None)
    buckets = int(schema.options.get("bucket", "-1"))
    if buckets > 0 and "bucket-function.type" not in schema.options:
        keys = schema.bucket_keys
        hashes = hash_rows([rows[k] for k in keys], [schema.field(k).type for k in keys])
        assert set(bucket_of(hashes, buckets).tolist()) <= {entry.bucket}


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
        for r in entry.deletion_ranges.values()
    ]
    assert ranges
    for entry, r in ranges:
        positions = read_deletion_vector(IO, f"{path}/index/{entry.file_name}", r.offset)
        assert len(positions) == r.cardinality and (positions[1:] > positions[:-1]).all()

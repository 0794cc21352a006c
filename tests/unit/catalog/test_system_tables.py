"""System tables of the tables that Paimon Java wrote: their columns, and rows checked against the files themselves."""

import json
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from tsdb.catalog.filesystem import FileSystemCatalog
from tsdb.catalog.system import GLOBAL_TABLES, SYSTEM_TABLES
from tsdb.errors import NotSupportedError
from tsdb.fs.local import LocalFileIO
from tsdb.table.table import Identifier

FIXTURES = Path(__file__).parent.parent.parent / "fixtures"
COLUMNS = {
    "snapshots": "snapshot_id schema_id commit_user commit_identifier commit_kind commit_time base_manifest_list "
    "delta_manifest_list changelog_manifest_list total_record_count delta_record_count changelog_record_count "
    "watermark next_row_id",
    "schemas": "schema_id fields partition_keys primary_keys options comment update_time",
    "options": "key value",
    "files": "partition bucket file_path file_format schema_id level record_count file_size_in_bytes min_key max_key "
    "null_value_counts min_value_stats max_value_stats min_sequence_number max_sequence_number creation_time "
    "deleteRowCount file_source first_row_id write_cols",
    "manifests": "file_name file_size num_added_files num_deleted_files schema_id min_partition_stats "
    "max_partition_stats min_row_id max_row_id",
    "partitions": "partition record_count file_size_in_bytes file_count last_update_time created_at created_by "
    "updated_by options",
    "buckets": "partition bucket record_count file_size_in_bytes file_count last_update_time",
    "branches": "branch_name create_time",
    "consumers": "consumer_id next_snapshot_id",
    "aggregation_fields": "field_name field_type function function_options comment",
    "statistics": "snapshot_id schema_id mergedRecordCount mergedRecordSize colstat",
    "table_indexes": "partition bucket index_type file_name file_size row_count dv_ranges",
    "file_key_ranges": "partition bucket file_path file_format schema_id level record_count file_size_in_bytes "
    "min_key max_key first_row_id",
    "tags": "tag_name snapshot_id schema_id commit_time record_count create_time time_retained",
}


def system(warehouse, database, name, system_table):
    catalog = FileSystemCatalog(LocalFileIO(), str(FIXTURES / warehouse))
    return SYSTEM_TABLES[system_table](catalog.get_table(Identifier(database, name)))


@pytest.mark.parametrize("name", COLUMNS)
def test_columns(name):
    assert system("flink-warehouse", "fx", "orders", name).column_names == COLUMNS[name].split()


@pytest.mark.parametrize("name", [name for name in SYSTEM_TABLES if name != "row_tracking"])
@pytest.mark.parametrize("table", ["part", "evo", "dv32", "cl_lookup", "postpone", "part_types"])
def test_every_table_has_them(table, name):
    rows = system("java-warehouse", "db", table, name)
    rows.validate(full=True)
    catalog = FileSystemCatalog(LocalFileIO(), str(FIXTURES / "java-warehouse"))
    assert rows.schema == SYSTEM_TABLES[name].schema_of(catalog.get_table(Identifier("db", table)))


def test_rows_have_numbers_where_they_are_tracked():
    rows = system("java-warehouse", "db", "rowtrack", "row_tracking")
    assert sorted(rows["_ROW_ID"].to_pylist()) == list(range(rows.num_rows)) and rows.num_rows
    with pytest.raises(NotSupportedError, match=r"row-tracking\.enabled"):
        system("java-warehouse", "db", "part", "row_tracking")


@pytest.mark.parametrize("name", GLOBAL_TABLES)
def test_the_warehouse_has_them(name):
    rows = GLOBAL_TABLES[name].rows(FileSystemCatalog(LocalFileIO(), str(FIXTURES / "java-warehouse")))
    rows.validate(full=True)
    assert rows.num_rows and rows.schema == GLOBAL_TABLES[name].schema


def test_snapshots_are_those_of_the_files():
    rows = system("flink-warehouse", "fx", "orders_lookup", "snapshots").to_pylist()
    manifest = json.loads((FIXTURES / "flink-expected" / "manifest.json").read_text())
    wanted = next(t for t in manifest["tables"] if t["table"] == "orders_lookup")["snapshots"]
    for row in rows:
        facts = wanted[str(row["snapshot_id"])]
        assert row["commit_kind"] == facts["commitKind"] and row["total_record_count"] == facts["totalRecordCount"]
        assert row["changelog_record_count"] == facts["changelogRecordCount"]
        assert round(row["commit_time"].timestamp() * 1000) % 1000 == facts["timeMillis"] % 1000


def test_files_say_what_is_in_them():
    rows = system("flink-warehouse", "fx", "orders_lookup", "files").to_pylist()
    assert rows
    for row in rows:
        keys = pq.read_table(row["file_path"])["order_id"].to_pylist()
        assert (row["record_count"], row["min_key"], row["max_key"]) == (len(keys), f"[{min(keys)}]", f"[{max(keys)}]")
        assert Path(row["file_path"]).stat().st_size == row["file_size_in_bytes"]
        assert row["null_value_counts"] == "{amount=0, customer=0, order_id=0, status=0}"
        assert row["partition"] == "{}" and row["file_source"] in ("APPEND", "COMPACT")
    buckets = system("flink-warehouse", "fx", "orders_lookup", "buckets").to_pylist()
    assert sum(b["record_count"] for b in buckets) == sum(row["record_count"] for row in rows)


def test_partitions_and_tags():
    names = system("flink-warehouse", "fx", "events", "partitions")["partition"].to_pylist()
    assert names == ["day=2024-03-01", "day=2024-03-02", "day=2024-03-03"]
    tags = system("flink-warehouse", "fx", "orders", "tags").to_pylist()
    assert [(t["tag_name"], t["snapshot_id"]) for t in tags] == [("eod", 3)]
    assert system("flink-warehouse", "fx", "grown", "schemas")["schema_id"].to_pylist() == [0, 1, 2, 3]


def test_contents():
    log = system("flink-warehouse", "fx", "orders", "audit_log")
    assert log.column_names[0] == "rowkind" and set(log["rowkind"].to_pylist()) == {"+I"} and log.num_rows == 68
    assert system("flink-warehouse", "fx", "orders", "ro").num_rows == 68

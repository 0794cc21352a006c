"""System tables: what the metadata of a table says, as a table of its own (`t$snapshots`), and of the warehouse."""

from collections.abc import Mapping

from tsdb.catalog.system import consumers as readers
from tsdb.catalog.system import contents, files, indexes, manifests, partitions, schemas, snapshots, tags, warehouse
from tsdb.catalog.system import statistics as analyzed
from tsdb.catalog.system.system_table import GlobalTable, SystemTable

SYSTEM_TABLES: Mapping[str, SystemTable] = {
    table.name: table
    for table in (
        SystemTable("snapshots", snapshots.SCHEMA, snapshots.snapshots),
        SystemTable("schemas", schemas.SCHEMAS, schemas.schemas),
        SystemTable("options", schemas.OPTIONS, schemas.options),
        SystemTable("files", files.FILES, files.files, takes_options=True),
        SystemTable("file_key_ranges", files.KEY_RANGES, files.file_key_ranges, takes_options=True),
        SystemTable("manifests", manifests.SCHEMA, manifests.manifests, takes_options=True),
        SystemTable("partitions", partitions.PARTITIONS, partitions.partitions),
        SystemTable("buckets", partitions.BUCKETS, partitions.buckets),
        SystemTable("tags", tags.SCHEMA, tags.tags),
        SystemTable("branches", readers.BRANCHES, readers.branches),
        SystemTable("consumers", readers.CONSUMERS, readers.consumers),
        SystemTable("audit_log", contents.audit_log_schema, contents.audit_log, takes_options=True),
        SystemTable("binlog", contents.binlog_schema, contents.binlog, takes_options=True),
        SystemTable("ro", contents.read_optimized_schema, contents.read_optimized, takes_options=True),
        SystemTable("row_tracking", contents.row_tracking_schema, contents.row_tracking, takes_options=True),
        SystemTable("aggregation_fields", indexes.AGGREGATION_FIELDS, indexes.aggregation_fields),
        SystemTable("statistics", analyzed.STATISTICS, analyzed.statistics),
        SystemTable("table_indexes", indexes.TABLE_INDEXES, indexes.table_indexes),
    )
}
GLOBAL_TABLES: Mapping[str, GlobalTable] = {
    table.name: table
    for table in (
        GlobalTable("tables", warehouse.TABLES, warehouse.tables),
        GlobalTable("partitions", warehouse.PARTITIONS, warehouse.partitions),
        GlobalTable("all_table_options", warehouse.ALL_TABLE_OPTIONS, warehouse.all_table_options),
        GlobalTable("catalog_options", warehouse.CATALOG_OPTIONS, warehouse.catalog_options),
    )
}
SYSTEM_DATABASE = "sys"

__all__ = ["GLOBAL_TABLES", "SYSTEM_DATABASE", "SYSTEM_TABLES", "GlobalTable", "SystemTable"]

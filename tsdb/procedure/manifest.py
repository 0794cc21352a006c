"""Manifests: `sys.compact_manifest`, and `remove_unexisting_manifests` for a table that has lost some."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb.catalog.catalog import Catalog
from tsdb.errors import NotSupportedError
from tsdb.options import parse_size
from tsdb.procedure.procedure import TABLE, Argument, Procedure, dynamic_options, listed_result, result, table_argument
from tsdb.table.restate import compact_manifests, forget_missing_manifests, manifest_report
from tsdb.table.scan import manifests


def _compact_manifest(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    if arguments.get("manifest_sort_enabled"):
        raise NotSupportedError("procedure compact_manifest: manifests are not sorted; leave out the manifest_sort_…")
    table = dynamic_options(table_argument(catalog, arguments), arguments)
    latest = table.latest_snapshot()
    if arguments.get("dry_run"):
        if latest is None:
            return result(result="Dry run: no snapshot exists.")
        target = parse_size(table.options.get("manifest.target-file-size") or "", "manifest.target-file-size")
        return result(result=manifest_report(table, manifests(table, latest), target))
    if latest is not None:
        compact_manifests(table)
    return result(result="success")


def _remove_unexisting(catalog: Catalog, arguments: Mapping[str, Any]) -> pa.Table:
    table = table_argument(catalog, arguments)
    lost = [] if table.latest_snapshot() is None else forget_missing_manifests(table)
    return listed_result("fileName", lost)


COMPACT_MANIFEST = Procedure(
    "compact_manifest",
    "Write the manifests of a table anew, without files that are gone.",
    (
        TABLE,
        Argument("options", "string", "Options of the table for this time, `k=v,k=v`."),
        Argument("dry_run", "bool", "Only say what there is."),
        Argument("manifest_sort_enabled", "bool", "TRUE is refused."),
        Argument("manifest_sort_partition_field", "string", "Has no effect here."),
        Argument("manifest_sort_max_rewrite_size", "string", "Has no effect here."),
    ),
    _compact_manifest,
)
REMOVE_UNEXISTING_MANIFESTS = Procedure(
    "remove_unexisting_manifests",
    "Let the newest snapshot forget manifests that are not there; the rows of their files are lost.",
    (Argument("table", "table", "The table, as `db.t`.", required=True, alias="tableId"),),
    _remove_unexisting,
)
MANIFEST_PROCEDURES = (COMPACT_MANIFEST, REMOVE_UNEXISTING_MANIFESTS)

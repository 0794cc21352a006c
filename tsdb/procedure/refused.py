"""Procedures of Paimon that have no place here, each with what to do instead."""

from collections.abc import Mapping

_HIVE = (
    "it brings a Hive table into the metastore of a Hive catalog; read its files with COPY or SELECT … FROM '*.parquet'"
)
_FUNCTION = "functions of Paimon live in a REST catalog; use CREATE TEMPORARY FUNCTION f AS 'module.f' LANGUAGE PYTHON"
_GLOBAL_INDEX = "global indexes, of texts and vectors too, are not supported; use 'file-index.<type>.columns'"
_MERGE = "use the statement MERGE INTO"

REFUSED: Mapping[str, str] = {
    "alter_function": _FUNCTION,
    "alter_view_dialect": "a view has one text here; use CREATE OR REPLACE VIEW",
    "copy_files": "use sys.clone, or another connection with INSERT INTO … SELECT, for what lies in another warehouse",
    "compact_chain_table": "tables with 'chain-table.enabled' are not supported",
    "create_function": _FUNCTION,
    "create_global_index": _GLOBAL_INDEX,
    "data_evolution_merge_into": _MERGE,
    "drop_function": _FUNCTION,
    "drop_global_index": _GLOBAL_INDEX,
    "full_text_search": _GLOBAL_INDEX,
    "migrate_database": _HIVE,
    "migrate_table": _HIVE,
    "query_service": "there is no server to start; point lookups by key are queries here",
    "reassign_row_id": "row ids are given once, when rows are committed, and stay",
    "vector_search": _GLOBAL_INDEX,
}
"""Why each is refused, and what to do instead."""

"""`sys.merge_into`: the statement MERGE INTO, put together from texts, as Flink users write it."""

from collections.abc import Mapping
from typing import Any

import pyarrow as pa

from tsdb.catalog.catalog import Catalog
from tsdb.errors import ProgrammingError
from tsdb.procedure.procedure import Argument, Procedure


def merge_script(arguments: Mapping[str, Any]) -> str:
    """The statements of `source_sqls`, then MERGE INTO. Raises ProgrammingError if nothing is to be done."""
    target = arguments["target_table"]
    alias = f" AS {arguments['target_alias']}" if "target_alias" in arguments else ""
    for name in ("source_table", "merge_condition"):
        if name not in arguments:
            raise ProgrammingError(f"procedure merge_into needs the argument `{name}`")
    clauses = _clauses(arguments)
    if not clauses:
        raise ProgrammingError("procedure merge_into needs a setting, values to insert, or a condition to delete by")
    before = arguments.get("source_sqls", "").strip().rstrip(";")
    merge = f"MERGE INTO {target}{alias} USING {arguments['source_table']} ON {arguments['merge_condition']}"
    return "\n".join([f"{before};" if before else "", merge, *clauses])


def _clauses(arguments: Mapping[str, Any]) -> list[str]:
    def when(match: str, condition: str | None, action: str) -> str:
        text = arguments.get(condition) if condition is not None else None
        is_always = text is None or text.strip().upper() == "TRUE"
        return f"WHEN {match}{'' if is_always else f' AND ({text})'} THEN {action}"

    clauses = []
    if "matched_upsert_setting" in arguments:
        setting = arguments["matched_upsert_setting"]
        clauses.append(when("MATCHED", "matched_upsert_condition", f"UPDATE SET {setting}"))
    if "matched_delete_condition" in arguments:
        clauses.append(when("MATCHED", "matched_delete_condition", "DELETE"))
    if "not_matched_insert_values" in arguments:
        values = arguments["not_matched_insert_values"].strip()
        action = "INSERT *" if values == "*" else f"INSERT VALUES ({values})"
        clauses.append(when("NOT MATCHED", "not_matched_insert_condition", action))
    by_source = "NOT MATCHED BY SOURCE"
    if "not_matched_by_source_upsert_setting" in arguments:
        setting = arguments["not_matched_by_source_upsert_setting"]
        clauses.append(when(by_source, "not_matched_by_source_upsert_condition", f"UPDATE SET {setting}"))
    if "not_matched_by_source_delete_condition" in arguments:
        clauses.append(when(by_source, "not_matched_by_source_delete_condition", "DELETE"))
    return clauses


def _never(_: Catalog, __: Mapping[str, Any]) -> pa.Table:
    raise AssertionError("merge_into is a script")


MERGE_INTO = Procedure(
    "merge_into",
    "The statement MERGE INTO, put together from texts.",
    (
        Argument("target_table", "table", "The table to change, as `db.t`.", required=True),
        Argument("target_alias", "string", "Another name for it in the other texts."),
        Argument("source_sqls", "string", "Statements to run first, with `;` between them."),
        Argument("source_table", "string", "The table, view or query in parentheses with a name."),
        Argument("merge_condition", "string", "When rows of both belong together."),
        Argument("matched_upsert_condition", "string", "Which of those are updated; by default all."),
        Argument("matched_upsert_setting", "string", "`a = s.a, b = 1`, or `*`."),
        Argument("not_matched_insert_condition", "string", "Which rows of the source are inserted; by default all."),
        Argument("not_matched_insert_values", "string", "`s.a, 1`, or `*`."),
        Argument("matched_delete_condition", "string", "Which rows with a partner are deleted."),
        Argument("not_matched_by_source_upsert_condition", "string", "Which rows without one are updated."),
        Argument("not_matched_by_source_upsert_setting", "string", "`a = 1`."),
        Argument("not_matched_by_source_delete_condition", "string", "Which rows without one are deleted."),
    ),
    _never,
    script=merge_script,
)

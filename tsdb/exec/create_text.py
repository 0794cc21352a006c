"""SHOW CREATE TABLE and SHOW CREATE VIEW: a definition as SQL that makes the same again."""

from __future__ import annotations

from collections.abc import Mapping

from tsdb.catalog.catalog import ConnectorTable
from tsdb.data_types import DataField
from tsdb.errors import NotSupportedError
from tsdb.exec.computed_columns import columns_of
from tsdb.exec.materialized_definition import Definition, definition_of
from tsdb.exec.relation import Registered, Source, View
from tsdb.metadata.virtual_columns import PREFIX, ComputedColumn
from tsdb.secrets import shown
from tsdb.sql.parameters import literal
from tsdb.table.materialized import PREFIX as OF_MATERIALIZED
from tsdb.table.materialized import is_materialized
from tsdb.table.table import Table

_NOT_SHOWN = ("path", "type")
_METADATA, _VIRTUAL = "tsdb.metadata.", "tsdb.virtual."
_SHOWN_ELSEWHERE = (_METADATA, _VIRTUAL, PREFIX, OF_MATERIALIZED)


def create_text(found: Source | View, catalog: str | None = None, *, temporary: bool = False) -> str:
    """The statement. catalog: to be written before the database; None: nothing. temporary: it lasts as the session.

    Raises NotSupportedError for what no statement makes.
    """
    if isinstance(found, View):
        columns = f" ({', '.join(map(name_text, found.columns))})" if found.columns else ""
        comment = f" COMMENT {string_text(found.comment)}" if found.comment is not None else ""
        return f"CREATE {_name_after('VIEW', found, catalog, found.temporary)}{columns}{comment} AS {found.query}"
    if isinstance(found, Table | ConnectorTable):
        return _create_table(found, catalog, temporary)
    kind = "registered relation" if isinstance(found, Registered) else "system table or file"
    raise NotSupportedError(f"`{found.name}` is a {kind}; no statement creates it")


def _create_table(table: Table | ConnectorTable, catalog: str | None, temporary: bool) -> str:
    schema = table.schema
    extra = columns_of(schema)
    lines = [
        _computed(extra.computed[name]) if name in extra.computed else _column(schema.field(name), schema.options)
        for name in extra.names
    ]
    if schema.primary_keys:
        lines.append(f"PRIMARY KEY ({_names(schema.primary_keys)}) NOT ENFORCED")
    if extra.watermark is not None:
        lines.append(f"WATERMARK FOR {name_text(extra.watermark.column)} AS {extra.watermark.expression}")
    body = ",\n  ".join(lines)
    kind = "MATERIALIZED TABLE" if is_materialized(table) else "TABLE"
    text = f"CREATE {_name_after(kind, table, catalog, temporary)} (\n  {body}\n)"
    if schema.comment is not None:
        text += f" COMMENT {string_text(schema.comment)}"
    if schema.partition_keys:
        text += f" PARTITIONED BY ({_names(schema.partition_keys)})"
    options = {
        key: shown(key, value)
        for key, value in schema.options.items()
        if not (key in _NOT_SHOWN and isinstance(table, Table)) and not key.startswith(_SHOWN_ELSEWHERE)
    }
    text = f"{text} WITH (\n  {_options(options)}\n)" if options else text
    return text + _kept_by(definition_of(table)) if isinstance(table, Table) and is_materialized(table) else text


def _kept_by(kept: Definition) -> str:
    """What follows the clauses of a materialized table."""
    freshness = kept.freshness
    often = "" if freshness is None else f"\nFRESHNESS = INTERVAL '{freshness.number}' {freshness.unit}"
    return f"{often}\nREFRESH_MODE = {kept.mode.upper()}\nAS {kept.query}"


def _column(field: DataField, options: Mapping[str, str]) -> str:
    text = f"{name_text(field.name)} {field.type.sql()}"
    if _METADATA + field.name in options:
        text += f" METADATA FROM {string_text(options[_METADATA + field.name])}"
        text += " VIRTUAL" if _VIRTUAL + field.name in options else ""
    if field.default_value is not None:
        text += f" DEFAULT {string_text(field.default_value)}"
    return text + (f" COMMENT {string_text(field.description)}" if field.description is not None else "")


def _computed(column: ComputedColumn) -> str:
    comment = f" COMMENT {string_text(column.comment)}" if column.comment else ""
    return f"{name_text(column.name)} AS {column.expression}{comment}"


def _options(options: Mapping[str, str]) -> str:
    return ",\n  ".join(f"{string_text(key)} = {string_text(value)}" for key, value in sorted(options.items()))


def _name_after(word: str, found: Table | ConnectorTable | View, catalog: str | None, temporary: bool) -> str:
    """`TABLE db.t`; what is temporary is in no database."""
    identifier = found.identifier
    if temporary:
        return f"TEMPORARY {word} {name_text(identifier.name)}"
    parts = [*([catalog] if catalog is not None else []), identifier.database, identifier.name]
    return f"{word} {'.'.join(map(name_text, parts))}"


def _names(names: tuple[str, ...]) -> str:
    return ", ".join(map(name_text, names))


def name_text(name: str) -> str:
    """A name between backquotes."""
    return "`" + name.replace("`", "``") + "`"


def string_text(value: str) -> str:
    """A string literal."""
    return str(literal(value).sql())

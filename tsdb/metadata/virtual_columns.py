"""Computed columns and the watermark of a table, as options of its schema.

They are no part of the data: `schema.<n>.name`, `.data-type` and `.expr` make column n of the table (counted from 0,
stored columns included) a computed one, `schema.watermark.0.rowtime`, `.strategy.expr` and `.strategy.data-type` are
the watermark. Flink reads the same options, so it sees the same columns.

Source: Paimon, `FlinkCatalogPropertiesUtil`.
"""

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

PREFIX = "schema."

_NAME = re.compile(r"schema\.(\d+)\.name")
_WATERMARK = "schema.watermark.0."


@dataclass(frozen=True, slots=True)
class ComputedColumn:
    """A column that is an expression (SQL text) over the stored ones. type: its SQL type."""

    name: str
    type: str
    expression: str
    comment: str | None = None


@dataclass(frozen=True, slots=True)
class WatermarkDef:
    """No row with an earlier `column` is expected once `expression` (SQL text) has had that value."""

    column: str
    expression: str
    type: str = "TIMESTAMP(3)"


@dataclass(frozen=True, slots=True)
class VirtualColumns:
    """names: all columns of the table in order, stored and computed."""

    names: tuple[str, ...]
    computed: Mapping[str, ComputedColumn]
    watermark: WatermarkDef | None = None


def virtual_columns(options: Mapping[str, str], stored: Sequence[str]) -> VirtualColumns:
    """What the options of a schema say. stored: the names of its stored columns."""
    by_place: dict[int, ComputedColumn] = {}
    for key, name in options.items():
        match = _NAME.fullmatch(key)
        if match is None or name in stored:
            continue
        at = f"{PREFIX}{match[1]}."
        expression = options.get(at + "expr")
        if expression is not None:
            comment = options.get(at + "comment")
            by_place[int(match[1])] = ComputedColumn(name, options.get(at + "data-type", ""), expression, comment)
    names = list(stored)
    for place in sorted(by_place):
        names.insert(place, by_place[place].name)
    return VirtualColumns(tuple(names), {c.name: c for c in by_place.values()}, _watermark(options))


def virtual_options(computed: Mapping[int, ComputedColumn], watermark: WatermarkDef | None) -> dict[str, str]:
    """The options that say so. computed: by place among all columns."""
    options: dict[str, str] = {}
    for place, column in computed.items():
        at = f"{PREFIX}{place}."
        options |= {at + "name": column.name, at + "data-type": column.type, at + "expr": column.expression}
        if column.comment is not None:
            options[at + "comment"] = column.comment
    if watermark is not None:
        options |= {
            _WATERMARK + "rowtime": watermark.column,
            _WATERMARK + "strategy.expr": watermark.expression,
            _WATERMARK + "strategy.data-type": watermark.type,
        }
    return options


def _watermark(options: Mapping[str, str]) -> WatermarkDef | None:
    column, expression = options.get(_WATERMARK + "rowtime"), options.get(_WATERMARK + "strategy.expr")
    if column is None or expression is None:
        return None
    return WatermarkDef(column, expression, options.get(_WATERMARK + "strategy.data-type", "TIMESTAMP(3)"))

"""Rows of a declared schema out of JSON objects: which wire each column has, and the conversion of whole columns."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa

from tsdb.connector.serde.json_block import values_at
from tsdb.connector.serde.json_wire import DecimalText, is_free_form, plain_decimal, python_column, wire
from tsdb.connector.serde.serde import Lines
from tsdb.connector.serde.wire import Wire
from tsdb.data_types import from_arrow


@dataclass(frozen=True, slots=True)
class RowPlan:
    """How the columns of `schema` are read. free: those that pyarrow's parser cannot read."""

    schema: pa.Schema
    wires: Mapping[str, Wire]
    free: tuple[str, ...] = ()

    @property
    def read(self) -> list[pa.Field]:
        """The fields that the JSON parser is told to expect."""
        return [pa.field(name, wire.read) for name, wire in self.wires.items()]


def plan_rows(
    schema: pa.Schema,
    objects: Sequence[Mapping[str, Any]],
    *,
    decimal_text: DecimalText = plain_decimal,
    time_unit: str = "ms",
) -> RowPlan:
    """The plan that fits the sampled objects."""
    wires, free = {}, []
    for field in schema:
        values = [o.get(field.name) for o in objects]
        if is_free_form(field.type, values):
            free.append(field.name)
        else:
            wires[field.name] = wire(field.type, values, decimal_text=decimal_text, time_unit=time_unit)
    return RowPlan(schema, wires, tuple(free))


def build_rows(
    plan: RowPlan,
    columns: Mapping[str, pa.Array],
    lines: Lines,
    path: tuple[str, ...],
    mask: np.ndarray | None = None,
    only: Sequence[str] | None = None,
) -> pa.Table:
    """The declared rows. columns: what was read, already filtered by mask; only: the other columns become NULL.

    lines, path: where the values of free columns stand; mask: the lines that are wanted, all if None.
    Raises one of PARSE_ERRORS, naming the column.
    """
    count = len(lines) if mask is None else int(mask.sum())
    made = []
    for field in plan.schema:
        if only is not None and field.name not in only:
            made.append(pa.nulls(count, field.type))
            continue
        try:
            if field.name in plan.free:
                values = values_at(lines if mask is None else lines.select(mask), (*path, field.name))
                made.append(python_column(values, field.type))
            elif field.name in plan.wires:
                made.append(plan.wires[field.name].convert(columns[field.name]))
            else:
                made.append(pa.nulls(count, field.type))
        except (pa.ArrowInvalid, pa.ArrowTypeError, pa.ArrowNotImplementedError, ValueError, OverflowError) as err:
            raise ValueError(f"column `{field.name}` {from_arrow(field.type).sql()}: {err}") from err
    return pa.table(made, schema=plan.schema)

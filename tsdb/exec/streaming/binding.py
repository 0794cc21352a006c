"""Expressions of a plan, bound to the columns of a stream.

The plan names a column by (relation, name), e.g. `o.id`; a stream is one table. So an expression is taken as
DataFusion serialises it and every qualified column reference in it is replaced by an unqualified one *of the same
encoded length*: `#3____` for the column at position 3. Nothing else of the expression changes, so types, casts,
FILTER, ORDER BY and frames stay exactly as they were planned.

Source: DataFusion's `datafusion.proto` (LogicalExprNode.column = 1; Column.name = 1, Column.relation = 2,
ColumnRelation.relation = 1).
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from datafusion import SessionContext
from datafusion.expr import Column, Expr

from tsdb.errors import InternalError, NotSupportedError
from tsdb.exec.markers import CURRENT_WATERMARK, PROCTIME

ROW_ONLY = "#row"
"""The column of a stream that has rows but no columns in the plan (`count(*)` reads none)."""


_WATERMARK = re.compile(rf"{CURRENT_WATERMARK}\((?!arrow_cast)(?:CAST\()?([^()]+?)(?: AS Timestamp\(ns\)\))?\)")
_VOLATILE = re.compile(r"\b(random|uuid)\(\)")


@dataclass(frozen=True, slots=True)
class PlanColumn:
    """A column as the plan names it."""

    relation: str | None
    name: str

    def encoded(self) -> bytes:
        """The serialised reference to this column."""
        body = _field(0x0A, self.name.encode())
        if self.relation is not None:
            body += _field(0x12, _field(0x0A, self.relation.encode()))
        return _field(0x0A, body)


def frame_names(columns: Sequence[PlanColumn]) -> list[str]:
    """The names under which `columns` stand in the table that bound expressions are evaluated over."""
    names = [c.name if c.relation is None else _same_length_name(c, i) for i, c in enumerate(columns)]
    if len(set(names)) != len(names):
        raise NotSupportedError(f"columns of the same name in one input: {names}; give them different names")
    return names


def bind(
    raw: Any, columns: Sequence[PlanColumn], context: SessionContext, *, watermark: str = CURRENT_WATERMARK
) -> Expr:
    """The plan's expression over a table with columns frame_names(columns). context: knows its functions. watermark:
    the name of the function that stands for CURRENT_WATERMARK.
    """
    expr = Expr(raw)
    try:
        text = expr.to_bytes()
    except Exception as err:
        name = expr.canonical_name()
        reason = "a subquery in this place is not incremental; write it as a join" if "<subquery>" in name else str(err)
        raise NotSupportedError(f"expression `{name}` cannot run as a stream: {reason}") from err
    for column, name in zip(columns, frame_names(columns), strict=True):
        if column.relation is not None:
            old = column.encoded()
            text = text.replace(old, _reference(name, len(old)))
    return Expr.from_bytes(text.replace(CURRENT_WATERMARK.encode(), watermark.encode()), context)


def watermark_column(raw: Any, columns: Sequence[PlanColumn]) -> int | None:
    """The position of the column whose watermark the expression asks for. -1: it asks for none; None: unclear."""
    asked = {match[1] for match in _WATERMARK.finditer(_unnamed(raw))}
    if not asked:
        return None if CURRENT_WATERMARK in _unnamed(raw) else -1
    flat = [c.name if c.relation is None else f"{c.relation}.{c.name}" for c in columns]
    return flat.index(asked.pop()) if len(asked) == 1 and asked <= set(flat) else None


def _unnamed(raw: Any) -> str:
    """The text of an expression without the name that it gets."""
    variant = Expr(raw).to_variant() if Expr(raw).variant_name() == "Alias" else None
    return Expr(raw if variant is None else variant.expr()).canonical_name()


def is_volatile(raw: Any) -> bool:
    """Whether the expression gives another value each time it is evaluated."""
    return _VOLATILE.search(Expr(raw).canonical_name()) is not None


def of_arrival(raw: Any) -> bool:
    """Whether it is the time at which a row comes that makes the expression so."""
    return not _VOLATILE.search(Expr(raw).canonical_name().replace(f"{PROCTIME}(random())", ""))


def position(raw: Any, columns: Sequence[PlanColumn]) -> int | None:
    """The position of the column if the expression is a plain column reference, else None."""
    variant = Expr(raw).to_variant()
    if not isinstance(variant, Column):
        return None
    wanted = PlanColumn(variant.relation(), variant.name())
    if wanted in columns:
        return columns.index(wanted)
    by_name = [
        i for i, c in enumerate(columns) if c.name == wanted.name and (wanted.relation is None or not c.relation)
    ]
    if len(by_name) == 1:
        return by_name[0]
    raise InternalError(f"column {wanted} is not among {list(columns)}")


def named_column(name: str) -> Expr:
    """A reference to an unqualified column, taken literally."""
    return Expr.from_bytes(PlanColumn(None, name).encoded())


def _same_length_name(column: PlanColumn, at: int) -> str:
    """A name that, as an unqualified reference, can be encoded in as many bytes as this column."""
    size = len(column.encoded())
    name = f"#{at}".ljust(size, "_")
    while len(PlanColumn(None, name).encoded()) > size:
        name = name[:-1]
    return name


def _reference(name: str, size: int) -> bytes:
    """An unqualified reference in exactly `size` bytes; where none fits, the length takes one byte more."""
    text = PlanColumn(None, name).encoded()
    if len(text) == size:
        return text
    length = len(name.encode())
    assert length == 127 and len(text) == size - 1, (name, size)
    return _field(0x0A, bytes([0x0A, 0xFF, 0x00]) + name.encode())


def _field(tag: int, content: bytes) -> bytes:
    length, size = len(content), b""
    while length > 127:
        size += bytes([length & 127 | 128])
        length >>= 7
    return bytes([tag]) + size + bytes([length]) + content

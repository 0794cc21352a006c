"""Functions that only say something to the streaming compiler: a plan names them, an operator stands for them.

DataFusion has no node for a session window or for a join with a table as of a time, but it carries functions that it
does not know through all its rewrites.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import count
from typing import Any, NoReturn, Protocol
from weakref import WeakValueDictionary

import pyarrow as pa
from datafusion import SessionContext, udf, udwf
from datafusion.expr import Expr
from datafusion.user_defined import WindowEvaluator

from tsdb import clock

SESSION_START, SESSION_END = "tsdb_session_start", "tsdb_session_end"
"""(time, gap in ms) OVER (PARTITION BY keys ORDER BY time): the borders of the session of a row."""

AS_OF = "tsdb_as_of"
"""(time of the left side, any column of the right side): the join is with the right side as of that time."""

PROCTIME = "tsdb_proctime"
"""(random()): the time at which a row comes."""

CURRENT_WATERMARK = "tsdb_watermark_00000000"
"""(time): the watermark of that column's input when the row came. A dataflow has functions of its own behind that name,
of the same length and with another number.
"""

_TIME = pa.timestamp("ns")
_MILLIS = pa.timestamp("ms")
_LTZ = pa.timestamp("ms", "UTC")


_NUMBERS = count(1)


class Watermarked(Protocol):
    """What has a watermark."""

    def watermark(self) -> int | None:
        """In nanoseconds; None: there is none yet."""
        ...


_BOUNDS: WeakValueDictionary[str, Watermarked] = WeakValueDictionary()


@dataclass(frozen=True)
class _Reader:
    """What a plan carries along: DataFusion serialises a function with its name, which is replaced when it is bound."""

    name: str

    def __call__(self, rows: pa.Array) -> pa.Array:
        """The watermark, once a row; NULL where nothing is bound, and before the first one."""
        bound = _BOUNDS.get(self.name)
        now = None if bound is None else bound.watermark()
        return pa.repeat(pa.scalar(None if now is None else now // 1_000_000, _MILLIS), len(rows))


class _Planned(WindowEvaluator):
    """Never run."""

    def evaluate_all(self, values: Any, num_rows: int) -> NoReturn:
        """Raises: an operator stands for it."""
        raise AssertionError("a session window is an operator of its own")


def register_markers(context: SessionContext) -> None:
    """Let a context plan queries with these functions."""
    for name in (SESSION_START, SESSION_END):
        context.register_udwf(udwf(_Planned, [_TIME, pa.int64()], _TIME, "immutable", name))
    context.register_udf(udf(_now, [pa.float64()], _LTZ, "volatile", PROCTIME))
    context.register_udf(udf(_Reader(CURRENT_WATERMARK), [_TIME], _MILLIS, "volatile", CURRENT_WATERMARK))
    context.register_udf(udf(_true, [_TIME, pa.string()], pa.bool_(), "volatile", AS_OF))


def name_of_watermark(bound: Watermarked) -> str:
    """The name of a function that gives the watermark of a bound for every row, as long as the bound lives."""
    name = CURRENT_WATERMARK.removesuffix("00000000") + f"{next(_NUMBERS) % 10**8:08}"
    _BOUNDS[name] = bound
    return name


def calls_marker(raw: Any, name: str) -> bool:
    """Whether an expression of a plan is a call of one of them."""
    expr = raw if isinstance(raw, Expr) else Expr(raw)
    return expr.variant_name() == "ScalarFunction" and expr.rex_call_operator() == name


def conjuncts(raw: Any) -> list[Any]:
    """The parts of a condition that all must hold."""
    expr = raw if isinstance(raw, Expr) else Expr(raw)
    if expr.variant_name() == "BinaryExpr" and expr.to_variant().op() == "AND":
        return [*conjuncts(expr.to_variant().left()), *conjuncts(expr.to_variant().right())]
    return [raw]


def conjunction(parts: list[Any]) -> Any | None:
    """The parts as one condition; None if there are none."""
    whole = None
    for part in parts:
        expr = part if isinstance(part, Expr) else Expr(part)
        whole = expr if whole is None else whole & expr
    return None if whole is None else whole.expr


def _now(rows: pa.Array) -> pa.Array:
    return pa.repeat(pa.scalar(clock.current().now_ms(), _LTZ), len(rows))


def _true(left: pa.Array, right: pa.Array) -> pa.Array:
    return pa.repeat(pa.scalar(True), len(left))

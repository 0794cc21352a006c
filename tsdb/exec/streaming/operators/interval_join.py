"""What time says about a join: whose windows are closed on both sides, and how far apart two times may lie.

A join itself does not change. But rows whose partners can no longer come are forgotten, what comes too late for
partners that are forgotten is dropped, and a row that would be padded waits until nothing can match it any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from datafusion.expr import Expr

from tsdb.exec.markers import conjuncts
from tsdb.exec.streaming.expression import Computed, Evaluator
from tsdb.exec.streaming.graph import GraphBuilder, Stream, Sweep
from tsdb.exec.streaming.marks import monotone_column
from tsdb.exec.streaming.operators.close import in_time
from tsdb.exec.streaming.operators.join import JoinKind, Side
from tsdb.exec.streaming.watermark import Mark, least, monotone, nanoseconds, scalar_at

_COMPARISONS = {">": 1, ">=": 1, "<": -1, "<=": -1, "=": 0}
_PROBES_NS = (0, 1_700_000_000_000_000_000, 1_709_251_200_000_000_000)


@dataclass(frozen=True, slots=True)
class Windows:
    """Equal keys that are borders of windows on both sides. pairs: marks of (left, right) with their common bound."""

    pairs: tuple[tuple[Mark, Mark], ...]
    shift: int

    def marks(self, kind: JoinKind) -> list[Mark]:
        """Of the output: both sides of a pair, or the side that there is."""
        if kind.pairs:
            return [m for left, right in self.pairs for m in (left, replace(right, column=right.column + self.shift))]
        return [left if kind.left != "none" else right for left, right in self.pairs]

    def in_time(self, left: Stream, right: Stream, graph: GraphBuilder) -> tuple[Stream, Stream]:
        """Both sides without what comes after its window has closed."""
        marks = [[pair[i] for pair in self.pairs] for i in (0, 1)]
        return in_time(left, marks[0], graph), in_time(right, marks[1], graph)

    def sweeps(self, sides: tuple[Side, Side]) -> list[Sweep]:
        """What may be forgotten."""
        return [_sweep(side, mark) for pair in self.pairs for side, mark in zip(sides, pair, strict=True)]


def window_pairs(
    left: Stream, left_key: Sequence[int], right: Stream, right_key: Sequence[int], graph: GraphBuilder
) -> Windows:
    """The equal keys of a join that are borders of windows on both sides."""
    lefts, rights = ({m.column: m for m in s.marks if m.window and not m.early} for s in (left, right))
    pairs = []
    for at, its in zip(left_key, right_key, strict=True):
        if at in lefts and its in rights:
            bound = graph.bound(least([lefts[at].bound, rights[its].bound]))
            pairs.append((replace(lefts[at], bound=bound), replace(rights[its], bound=bound)))
    return Windows(tuple(pairs), len(left.columns))


@dataclass(frozen=True, slots=True)
class Span:
    """left.time - right.time lies between two lengths.

    left, right: the time columns with their own bounds, below which a row is late; left_done, right_done: with the
    bounds below which a row meets no partner that is still to come; left_kept, right_kept: with those below which it is
    not the partner either of a row that may meet others.
    """

    left: Mark
    right: Mark
    left_done: Mark
    right_done: Mark
    left_kept: Mark
    right_kept: Mark
    shift: int

    def marks(self, kind: JoinKind) -> list[Mark]:
        """Of the output: below it neither a row of this side, nor a partner of one, is still to come."""
        right = replace(self.right_done, column=self.right_done.column + self.shift)
        if kind.pairs:
            return [self.left_done, right]
        return [self.left_done if kind.left != "none" else self.right_done]

    def sweeps(self, sides: tuple[Side, Side], kind: JoinKind) -> list[Sweep]:
        """What may be forgotten. Where rows count by whether they are matched, their partners stay as long as they."""
        return [
            _sweep(sides[0], self.left_done if kind.right == "none" else self.left_kept),
            _sweep(sides[1], self.right_done if kind.left == "none" else self.right_kept),
        ]


def interval(condition: Any, left: Stream, right: Stream, graph: GraphBuilder) -> Span | None:
    """The span that a condition puts on the time columns of two sides that are not updated; None if on no such."""
    lefts, rights = ({m.column: m for m in s.marks if m.grows and not m.early and not m.window} for s in (left, right))
    low: dict[tuple[int, int], int] = {}
    high: dict[tuple[int, int], int] = {}
    for part in conjuncts(condition) if lefts and rights else ():
        found = _difference(part, left, right, graph)
        if found is None or found[0] not in lefts or found[1] not in rights:
            continue
        pair, sense, length = (found[0], found[1]), found[2], found[3]
        if sense >= 0:
            low[pair] = max(length, low.get(pair, length))
        if sense <= 0:
            high[pair] = min(length, high.get(pair, length))
    bounded = [p for p in low if p in high]
    if not bounded:
        return None
    pair = bounded[0]
    a, b = lefts[pair[0]], rights[pair[1]]
    longest, shortest = high[pair], low[pair]
    its_done = graph.bound(monotone(a.bound, lambda now: now - longest, a.bound.tick))
    own_done = graph.bound(monotone(b.bound, lambda now: now + shortest, b.bound.tick))
    left_done = graph.bound(least([a.bound, own_done]))
    right_done = graph.bound(least([b.bound, its_done]))
    left_kept = graph.bound(monotone(right_done, lambda now: now + shortest, b.bound.tick))
    right_kept = graph.bound(monotone(left_done, lambda now: now - longest, a.bound.tick))
    return Span(
        a, b, replace(a, bound=left_done), replace(b, bound=right_done),
        replace(a, bound=graph.bound(least([left_done, left_kept]))),
        replace(b, bound=graph.bound(least([right_done, right_kept]))), len(left.columns),
    )  # fmt: skip


def _difference(part: Any, left: Stream, right: Stream, graph: GraphBuilder) -> tuple[int, int, int, int] | None:
    """(column of the left, column of the right, sense, length): left - right >= length (1), = (0) or <= (-1)."""
    expr = part if isinstance(part, Expr) else Expr(part)
    if expr.variant_name() != "BinaryExpr" or expr.to_variant().op() not in _COMPARISONS:
        return None
    sense = _COMPARISONS[expr.to_variant().op()]
    sides = [_shifted(side, left, right, graph) for side in (expr.to_variant().left(), expr.to_variant().right())]
    if sides[0] is None or sides[1] is None or sides[0][0] == sides[1][0]:
        return None
    if sides[0][0] == 1:
        sides.reverse()
        sense = -sense
    (_, own, plus), (_, its, more) = sides[0], sides[1]
    return own, its, sense, more - plus


def _shifted(raw: Any, left: Stream, right: Stream, graph: GraphBuilder) -> tuple[int, int, int] | None:
    """(side, column, nanoseconds) of a time column and a fixed length."""
    for number, stream in enumerate((left, right)):
        found = monotone_column(raw, stream)
        if found is None:
            continue
        output = graph.output(raw, stream)
        if isinstance(output, int):
            return number, output, 0
        length = _length(output, found, stream, graph)
        if length is not None:
            return number, found, length
    return None


def _length(output: Computed, at: int, stream: Stream, graph: GraphBuilder) -> int | None:
    """What an expression adds to its column, if that is always the same."""
    kind = stream.schema.field(at).type
    types = [graph.type_of(output, stream)]
    evaluator = Evaluator(graph.frames, stream.names, [output], types)
    found = set()
    for probe in _PROBES_NS:
        row = [
            pa.repeat(scalar_at(probe, kind), 1) if i == at else pa.nulls(1, t)
            for i, t in enumerate(stream.schema.types)
        ]
        value = nanoseconds(evaluator.columns(pa.Table.from_arrays(row, schema=stream.schema))[0][0])
        found.add(None if value is None else value - probe)
    return found.pop() if len(found) == 1 else None


def _sweep(side: Side, mark: Mark) -> Sweep:
    return Sweep(mark, lambda m: side.rows.forget(m.column, m.bound.now))

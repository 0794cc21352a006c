"""What a dataflow is made of while it is built: streams between operators.

A stream is what one operator emits: weighted rows, whose columns are known by position inside and by (relation, name)
in the plan.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, TypeAlias, TypeVar, runtime_checkable

import pyarrow as pa
from datafusion import SessionContext
from datafusion.expr import Alias, Column, Expr
from datafusion.plan import LogicalPlan

from tsdb.changes import ChangeBatch
from tsdb.errors import NotSupportedError
from tsdb.exec.failure import ErrorScope, translated
from tsdb.exec.markers import name_of_watermark
from tsdb.exec.streaming.binding import (
    PlanColumn,
    bind,
    frame_names,
    is_volatile,
    of_arrival,
    position,
    watermark_column,
)
from tsdb.exec.streaming.expression import Computed, Frames, positional
from tsdb.exec.streaming.watermark import ArrivalBound, Bound, Mark

BoundKind = TypeVar("BoundKind", bound=Bound)


class RunStore(Protocol):
    """Where immutable runs of state are kept. A name stays readable while a checkpoint names it."""

    def put(self, table: pa.Table) -> str:
        """Keep the table, return its name."""
        ...

    def get(self, name: str) -> pa.Table:
        """The table kept under this name (may be memory-mapped)."""
        ...


class Operator(Protocol):
    """One incremental operator: what `step` returns sums up to the batch operator over what it was given."""

    def step(self, deltas: Sequence[ChangeBatch]) -> ChangeBatch:
        """The change of the output for the changes of the inputs (one each, maybe without rows)."""
        ...

    def describe(self) -> str:
        """One line for EXPLAIN: the name, the key and the mode."""
        ...


@dataclass(frozen=True, slots=True)
class StateSize:
    """How much an operator remembers."""

    rows: int
    size_bytes: int


@runtime_checkable
class StatefulOperator(Operator, Protocol):
    """An operator that remembers: its state can be stored and found again."""

    def checkpoint(self, store: RunStore) -> dict[str, Any]:
        """The state as JSON that names runs in the store; runs that are there already are not put again."""
        ...

    def restore(self, manifest: dict[str, Any], store: RunStore) -> None:
        """Become the operator that made the manifest."""
        ...

    def state_size(self) -> StateSize:
        """How much is remembered."""
        ...


@runtime_checkable
class TimedOperator(Operator, Protocol):
    """An operator whose output moves with bounds, also without changes of its input."""

    def due(self) -> bool:
        """Whether a step without changes gives something now."""
        ...


@runtime_checkable
class Clocked(Operator, Protocol):
    """An operator that holds rows until the clock says so."""

    @property
    def clocked(self) -> bool:
        """Whether it does."""
        ...

    def overdue(self, now_ns: int) -> bool:
        """Whether a row is due at that time."""
        ...


@runtime_checkable
class Dropping(Operator, Protocol):
    """An operator that leaves out rows that come too late."""

    @property
    def late_rows(self) -> int:
        """How many so far."""
        ...


@dataclass(frozen=True, slots=True)
class Stream:
    """What node number `node` emits. key: positions of columns that identify an accumulated row, if known. marks: the
    columns that have a bound; see `tsdb.exec.streaming.watermark`.
    """

    node: int
    columns: tuple[PlanColumn, ...]
    schema: pa.Schema
    key: tuple[int, ...] | None
    append_only: bool
    marks: tuple[Mark, ...] = ()

    @property
    def names(self) -> list[str]:
        """The names of the columns when bound expressions run over them."""
        return frame_names(self.columns)


@dataclass(frozen=True, slots=True)
class Node:
    """An operator in its place. input_name: set for a node that reads an input of the dataflow. append_only, key: of
    what it emits; the key by the names of its columns.
    """

    operator: Operator
    inputs: tuple[int, ...]
    schema: pa.Schema
    input_name: str | None = None
    append_only: bool = False
    key: tuple[str, ...] | None = None


@dataclass(frozen=True, slots=True)
class Sweep:
    """State that may be forgotten as time goes on. forget: drops what lies below the mark's bound."""

    mark: Mark
    forget: Callable[[Mark], None]


@dataclass(slots=True)
class Cut:
    """Whether the current step completes a version."""

    complete: bool = True


class GraphBuilder:
    """Collects the nodes of a dataflow, inputs before users."""

    def __init__(self, context: SessionContext, *, prudent: bool = False) -> None:
        """context: knows the functions that the plan uses. prudent: inputs are more than they are declared to be, so
        what needs an input that only grows has to be checked while it runs.
        """
        self.prudent = prudent
        self.cut = Cut()
        self.shared: dict[str, Stream] = {}
        self.context = context
        self.frames = Frames()
        self.nodes: list[Node] = []
        self.bounds: list[Bound] = []
        self.sweeps: list[Sweep] = []

    def bound(self, bound: BoundKind) -> BoundKind:
        """A new bound of this dataflow; those that it is made of are known already."""
        self.bounds.append(bound)
        return bound

    def arrival(self) -> Bound:
        """The bound of what is the time of arrival."""
        found = next((b for b in self.bounds if isinstance(b, ArrivalBound)), None)
        return self.bound(ArrivalBound()) if found is None else found

    def add(
        self,
        operator: Operator,
        inputs: Sequence[Stream],
        columns: Sequence[PlanColumn],
        schema: pa.Schema,
        *,
        key: Sequence[int] | None = None,
        append_only: bool = False,
        input_name: str | None = None,
        marks: Sequence[Mark] = (),
    ) -> Stream:
        """A new node that reads the streams; returns what it emits."""
        assert len(columns) == len(schema), (columns, schema)
        names = None if key is None else tuple(columns[k].name for k in key)
        reads = tuple(s.node for s in inputs)
        self.nodes.append(Node(operator, reads, schema, input_name, append_only, names))
        place = None if key is None else tuple(key)
        return Stream(len(self.nodes) - 1, tuple(columns), schema, place, append_only, tuple(marks))

    def planned(self, plan: LogicalPlan) -> tuple[tuple[PlanColumn, ...], pa.Schema]:
        """The columns of a plan node as it names them, and their types."""
        fields = self.context.create_dataframe_from_logical_plan(plan).schema()
        return named_like(flat_names(plan.to_variant()), fields.names), positional(fields.types)

    def execute(self, plan: LogicalPlan) -> pa.Table:
        """The rows of a plan that reads no input."""
        with translated(ErrorScope()):
            return self.context.create_dataframe_from_logical_plan(plan).to_arrow_table()

    def bind(self, raw: Any, stream: Stream, *, once: bool = False) -> Expr:
        """The plan's expression over the columns of the stream. once: it is evaluated once for each row that comes."""
        if is_volatile(raw) and not (once and (stream.append_only or (self.prudent and of_arrival(raw)))):
            raise NotSupportedError(
                f"`{Expr(raw).canonical_name()}` gives another value each time, so a row could not be taken back; "
                "compute it in a query over an input that only grows, and write the result to a table"
            )
        at = watermark_column(raw, stream.columns)
        if at == -1:
            return bind(raw, stream.columns, self.context)
        mark = next((m for m in stream.marks if m.column == at and not m.window and not m.arrival), None)
        if mark is None or not once:
            raise NotSupportedError(
                "`CURRENT_WATERMARK` takes a time column that has a WATERMARK at this place of the query; ask for it "
                "where the table is read (in a subquery over it), or declare the WATERMARK of the column"
            )
        if not stream.append_only and not self.prudent:
            raise NotSupportedError(
                "`CURRENT_WATERMARK` of rows that are updated or deleted: the watermark at which a row came would not "
                "be known when it goes; ask for it over a table that only gets new rows"
            )
        return bind(raw, stream.columns, self.context, watermark=name_of_watermark(mark.bound))

    def output(self, raw: Any, stream: Stream) -> int | Computed:
        """The plan's expression as an output of an Evaluator: a position where it is a plain column."""
        variant = Expr(raw).to_variant() if Expr(raw).variant_name() in ("Alias", "Column") else None
        inner = variant.expr() if isinstance(variant, Alias) else raw
        is_column = isinstance(variant, Column) or (
            isinstance(variant, Alias) and Expr(inner).variant_name() == "Column"
        )
        at = position(inner, stream.columns) if is_column else None
        if at is not None:
            return at
        computed = Computed(self.bind(raw, stream, once=True))
        if Expr(inner).variant_name() != "Cast":
            return computed
        held = Expr(inner).to_variant().expr()
        at = position(held, stream.columns) if Expr(held).variant_name() == "Column" else None
        # a cast to the type that the column has already
        return at if at is not None and self.type_of(computed, stream) == stream.schema.types[at] else computed

    def type_of(self, output: Computed, stream: Stream) -> pa.DataType:
        """The type of a bound expression, found by a run without rows."""
        rows = stream.schema.empty_table().rename_columns(stream.names)
        return self.frames.run(rows, lambda frame: frame.select(output.expr)).schema.types[0]


Build: TypeAlias = Callable[[LogicalPlan, Any, Sequence[Stream], GraphBuilder], Stream]
"""plan node, its variant, its compiled inputs, the graph → what the node emits."""


def named_like(flat_names: Sequence[str], bare_names: Sequence[str]) -> tuple[PlanColumn, ...]:
    """Plan columns from a schema's flat names (`relation.name` or `name`) and the bare names."""
    columns = []
    for flat, bare in zip(flat_names, bare_names, strict=True):
        assert flat.endswith(bare), (flat, bare)
        columns.append(PlanColumn(flat[: -len(bare) - 1] if flat != bare else None, bare))
    return tuple(columns)


def flat_names(variant: Any) -> list[str]:
    """The names of a plan node's columns, `relation.name` or `name`."""
    return [str(n) for n in variant.schema().field_names()]


def with_columns(stream: Stream, columns: Sequence[PlanColumn]) -> Stream:
    """The same rows under other names."""
    return replace(stream, columns=tuple(columns))


OperatorTable: TypeAlias = Mapping[str, Build]

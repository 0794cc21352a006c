"""Expressions and whole operators evaluated in DataFusion over the rows of one step.

There is no second expression engine: a delta becomes a DataFusion table, the bound expressions of the plan run over
it, and the table is forgotten again (about 0.3 ms for a few rows, 0.8 ms for 64k; a sixth for expressions of one row,
which are planned once). Plain column references never go there.
"""

import itertools
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import pyarrow as pa
from datafusion import DataFrame, ExecutionPlan, SessionConfig, SessionContext
from datafusion.expr import Expr

from tsdb.exec.batch.dataset import Batches, Control, ScanDataset
from tsdb.exec.failure import ErrorScope, translated
from tsdb.row_hash import arrays

_BATCH_ROWS = 131_072
_RUNS_OF_A_PLAN = 1000
_CALL_OF_NOTHING = re.compile(r"\w\(\)")
"""A function that may be a constant of its plan, such as the time."""


class Frames:
    """Runs DataFusion over tables of one step; one context for a dataflow, one partition, so order is stable."""

    def __init__(self) -> None:
        """A context of its own: what the user registers is not visible in it."""
        config = SessionConfig().with_target_partitions(1).with_batch_size(_BATCH_ROWS)
        self._context = SessionContext(config.set("datafusion.execution.skip_physical_aggregate_schema_check", "true"))
        self._numbers = itertools.count()

    def run(self, table: pa.Table, query: Callable[[DataFrame], DataFrame]) -> pa.Table:
        """query over the rows of `table`; exceptions of DataFusion become ours."""
        name = f"delta_{next(self._numbers)}"
        batches = table.to_batches() or [pa.RecordBatch.from_pylist([], table.schema)]
        try:
            with translated(ErrorScope()):
                self._context.register_record_batches(name, [batches])
                return query(self._context.table(name)).to_arrow_table()
        finally:
            self._context.deregister_table(name)

    def prepared(self, schema: pa.Schema, exprs: Sequence[Expr]) -> "Prepared":
        """The expressions over tables of a schema."""
        return Prepared(self._context, f"prepared_{next(self._numbers)}", schema, exprs)


class Prepared:
    """Expressions over one table after the other, planned once: for a few rows that is most of the work."""

    def __init__(self, context: SessionContext, name: str, schema: pa.Schema, exprs: Sequence[Expr]) -> None:
        """name: for the table, which nobody else has. schema: of each table."""
        self.schema = schema
        self._context = context
        self._name = name
        self._exprs = list(exprs)
        self._control = Control()
        self._batches: list[pa.RecordBatch] = []
        self._plan: ExecutionPlan | None = None
        self._runs = 0

    def run(self, table: pa.Table) -> pa.Table:
        """The expressions for each row, in order; exceptions of DataFusion become ours."""
        self._batches = table.to_batches()
        try:
            with translated(ErrorScope(failures=self._control.failures)):
                if self._plan is None or self._runs % _RUNS_OF_A_PLAN == 0:  # a plan remembers a little of each run
                    self._plan = self._planned()
                self._runs += 1
                return pa.Table.from_batches([batch.to_pyarrow() for batch in self._context.execute(self._plan, 0)])
        finally:
            self._batches = []

    def _planned(self) -> ExecutionPlan:
        rows = ScanDataset(self.schema, lambda: [Batches(lambda: iter(self._batches))], self._control, 1)
        self._context.register_dataset(self._name, rows)
        try:
            return self._context.table(self._name).select(*self._exprs).execution_plan()
        finally:
            self._context.deregister_table(self._name)


@dataclass(frozen=True, slots=True)
class Computed:
    """An output column that needs DataFusion."""

    expr: Expr


class Evaluator:
    """A list of output columns over a table: positions are passed on, expressions are computed together."""

    def __init__(
        self, frames: Frames, names: Sequence[str], outputs: Sequence[int | Computed], types: Sequence[pa.DataType]
    ) -> None:
        """names: frame names of the input columns; types: of the outputs."""
        self._frames = frames
        self._names = list(names)
        self._outputs = tuple(outputs)
        self._exprs = [o.expr.alias(f"e{i}") for i, o in enumerate(outputs) if isinstance(o, Computed)]
        self._types = tuple(types)
        self._plans_each_time = any(_CALL_OF_NOTHING.search(expr.canonical_name()) for expr in self._exprs)
        self._prepared: Prepared | None = None

    @property
    def places(self) -> tuple[int | None, ...]:
        """For each output the input column that it passes on; None: it is computed."""
        return tuple(o if isinstance(o, int) else None for o in self._outputs)

    def columns(self, table: pa.Table) -> list[pa.Array]:
        """The output columns over the rows of `table`, in row order."""
        inputs: list[pa.Array] | None = None
        computed = iter(self._computed(table)) if self._exprs else iter(())
        result = []
        for output in self._outputs:
            if isinstance(output, Computed):
                result.append(next(computed))
            else:
                inputs = arrays(table) if inputs is None else inputs
                result.append(inputs[output])
        return [c if c.type == t else c.cast(t) for c, t in zip(result, self._types, strict=True)]

    def _computed(self, table: pa.Table) -> list[pa.Array]:
        renamed = table.rename_columns(self._names)
        if self._plans_each_time or not table.num_rows:
            result = self._frames.run(renamed, lambda frame: frame.select(*self._exprs))
        else:
            if self._prepared is None or self._prepared.schema != renamed.schema:
                self._prepared = self._frames.prepared(renamed.schema, self._exprs)
            result = self._prepared.run(renamed)
        assert result.num_rows == table.num_rows, (result.num_rows, table.num_rows)
        return arrays(result)


def positional(types: Sequence[pa.DataType]) -> pa.Schema:
    """Columns c0, c1, … of these types; strings are plain, because Arrow cannot take rows of views."""
    return pa.schema([pa.field(f"c{i}", _plain(t)) for i, t in enumerate(types)])


def _plain(kind: pa.DataType) -> pa.DataType:
    if pa.types.is_string_view(kind):
        return pa.string()
    if pa.types.is_binary_view(kind):
        return pa.binary()
    if pa.types.is_dictionary(kind):
        return _plain(kind.value_type)
    if pa.types.is_list(kind):
        return pa.list_(kind.value_field.with_type(_plain(kind.value_type)))
    if pa.types.is_struct(kind):
        return pa.struct([f.with_type(_plain(f.type)) for f in kind])
    return kind

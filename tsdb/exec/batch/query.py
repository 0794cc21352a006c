"""A planned query over snapshots: which files are read, and the rows as they come out of DataFusion.

The filters that the optimiser pushed into a scan prune partitions, buckets and files of its table. Files that need no
merging are scanned by DataFusion itself; what must be merged comes through a `ScanDataset`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Any

import pyarrow as pa
from datafusion import DataFrame, SessionContext
from datafusion.expr import Aggregate, Distinct, Filter, Join, Projection, SubqueryAlias, TableScan, Union
from datafusion.plan import LogicalPlan

from tsdb.catalog.catalog import ConnectorTable
from tsdb.connector import connector_of
from tsdb.errors import Cancelled, DatabaseError
from tsdb.exec.batch.dataset import BATCH_ROWS, Batches, Control, Readable, ScanDataset
from tsdb.exec.batch.early_filter import filters_early
from tsdb.exec.batch.exact_floats import exact_floats
from tsdb.exec.batch.float_joins import OWN_KEYS, joins_on_floats
from tsdb.exec.batch.interruptible import Interruptible
from tsdb.exec.batch.live_scan import UNPLACED, asks_elsewhere, live_scan
from tsdb.exec.batch.parquet_files import parquet_scan
from tsdb.exec.batch.pushdown import constantly_filtered, filter_texts, filtered, never_read, scan_predicates
from tsdb.exec.engine import KEEPS_FIELDS, PARTITIONS, our_batch
from tsdb.exec.failure import translated
from tsdb.exec.local_file import file_batches, register_json
from tsdb.exec.plan import QueryPlan, columns_read, plan_nodes, quoted
from tsdb.exec.relation import FileSource, Registered, Relation, SystemTable
from tsdb.exec.result import BatchResult
from tsdb.metadata.predicate import Predicate
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.fallback import fallback_scan
from tsdb.table.incremental import incremental_parts
from tsdb.table.live_rows import LiveFile, live_files, may_have_live_files
from tsdb.table.newest import expired
from tsdb.table.read import fragments, raw_files
from tsdb.table.refs import created_since
from tsdb.table.scan import ScanPlan, plan_scan
from tsdb.table.table import Table

_PIECE_ROWS_MIN = 8192
_ALL = 2**63 - 1
_JOIN_IN_MEMORY = "HashJoinInput"
_TOO_LITTLE = "Resources exhausted"
_PLACED = (
    ("datafusion.optimizer.enable_round_robin_repartition", "false"),
    ("datafusion.optimizer.repartition_file_min_size", "1048576"),
    ("datafusion.execution.batch_size", "32768"),
)
"""Rows that are dealt out to threads have no places any more: files are read in parts instead, also small ones."""
_PASSING_ON = (TableScan, Projection, Filter, SubqueryAlias, Union)
_CANCELLED = "the statement was cancelled"
_VOLATILE = ("random", "uuid")
_MERGE_JOINS = (("datafusion.optimizer.prefer_hash_join", "false"),)
_SMALL_STEPS = (
    ("datafusion.execution.batch_size", "512"),
    ("datafusion.execution.sort_spill_reservation_bytes", "65536"),
)


@dataclass(frozen=True, slots=True)
class RelationScan:
    """How one relation is read. plan: of a `Table`. files: its Parquet files when DataFusion scans them itself, else
    None.

    parts: read these instead. empty: the query wants none of its rows. unfiltered: a scan in Python could not take the
    filters. by_position: DataFusion scans the files itself and is told the positions of the rows that live. late: it
    filters them before it reads their other columns. views: strings are read as views of what is in the file, which are
    compared and grouped faster, and cost a copy where they are given out.
    """

    relation: Relation
    predicate: Predicate | None
    plan: ScanPlan | None
    files: list[str] | None
    parts: Sequence[Readable] | None = None
    empty: bool = False
    unfiltered: bool = False
    by_position: bool = False
    narrowed: bool = False
    late: bool = False
    views: bool = False


def run(plan: QueryPlan) -> BatchResult:
    """Start the query; its rows are computed while they are read."""
    rows = open_rows(plan)
    return BatchResult(plan.schema, pa.RecordBatchReader.from_batches(plan.schema, rows), rows.cancel)


def in_large_batches(plan: QueryPlan) -> QueryPlan:
    """The plan, with batches as large as a writer likes them if it only passes rows on: each batch has its price."""
    if not all(isinstance(node.to_variant(), _PASSING_ON) for node in plan_nodes(plan.logical)):
        return plan
    return replace(plan, settings=(*plan.settings, ("datafusion.execution.batch_size", str(BATCH_ROWS))))


def open_rows(plan: QueryPlan, parts: Sequence[Readable] | None = None) -> Rows:
    """The rows of the query as an iterator of batches. parts: read in the place of the query's first relation."""
    reads = scans(plan)
    if parts is not None:
        reads[0] = replace(reads[0], parts=parts)
    with _noticing_expiry(plan), translated(plan.scope):
        stream: Any = _placed_stream(plan, reads)
        if stream is None:
            reads = unplaced(reads)
            stream = executable(plan, reads).execute_stream()
    again = {}
    if plan.engine.memory_limit_bytes is not None:
        # hash joins keep one side in memory; merge joins, which are slower, spill what they sort
        again[_JOIN_IN_MEMORY] = lambda: executable(plan, reads, spilling=_MERGE_JOINS)
        # what has been spilled is merged with a batch of each part in memory
        again[_TOO_LITTLE] = lambda: executable(plan, reads, spilling=_MERGE_JOINS + _SMALL_STEPS)
    if any(read.by_position for read in reads):
        again[UNPLACED] = lambda: executable(plan, unplaced(reads))
    return Rows(_repeated(stream, again) if again else stream, plan)


def unplaced(reads: list[RelationScan]) -> list[RelationScan]:
    """The relations, read without asking for the places of their rows."""
    return [replace(read, by_position=False) for read in reads]


def _placed_stream(plan: QueryPlan, reads: list[RelationScan]) -> Any | None:
    """The rows, where the places of rows are asked for, and in the scan; else None."""
    if not any(read.by_position for read in reads):
        return None
    context = _context(plan, reads)
    rows = context.sql(plan.text)
    physical = rows.execution_plan()
    if asks_elsewhere(physical):
        return None
    # a plan is made once where that is possible: with many scans it takes as long as a small query
    return context.execute(physical, 0) if physical.partition_count == 1 else rows.execute_stream()


def _repeated(stream: Any, again: Mapping[str, Callable[[], DataFrame]]) -> Iterator[Any]:
    """The batches of a stream; when it fails before the first one, those of what `again` has for its error's text."""
    given = False
    try:
        for batch in stream:
            given = True
            yield batch
        return
    except Exception as err:
        another = [make for text, make in again.items() if text in str(err)]
        if given or not another:
            raise
    yield from _repeated(another[0]().execute_stream(), dict(list(again.items())[1:]))


def scans(plan: QueryPlan) -> list[RelationScan]:
    """What is read for each relation of the query. Raises SnapshotExpired."""
    predicates = scan_predicates(plan.logical)
    empty, constant = never_read(plan.logical), constantly_filtered(plan.logical)
    with _noticing_expiry(plan):
        reads = [_scan(relation, predicates, relation.name in empty) for relation in plan.relations.values()]
    # all of a single table is merged faster by ourselves
    scanned = plan.relations.keys() if len(reads) > 1 else filtered(plan.logical)
    if _keeps_fields(plan):
        scanned = set()
    columns, narrowed = columns_read(plan.logical), filtered(plan.logical)
    views = bool(narrowed) or any(isinstance(n.to_variant(), Aggregate | Distinct) for n in plan_nodes(plan.logical))
    return [
        replace(
            read,
            narrowed=read.relation.name in narrowed or read.relation.name not in columns,
            late=read.relation.name in narrowed and _filters_early(read, columns.get(read.relation.name, set())),
            views=views,
            unfiltered=read.relation.name in constant,
            by_position=read.by_position and read.relation.name in scanned and _leaves_filters(read.relation, plan),
        )
        for read in reads
    ]


def executable(
    plan: QueryPlan, reads: list[RelationScan], explain: str = "", *, spilling: tuple[tuple[str, str], ...] = ()
) -> DataFrame:
    """The query over what is really read, in a context of its own. explain: words before it. spilling: settings with
    which it needs less memory.
    """
    return _context(plan, reads, spilling).sql(explain + plan.text)


def _context(
    plan: QueryPlan, reads: list[RelationScan], spilling: tuple[tuple[str, str], ...] = ()
) -> SessionContext:
    settings = tuple(one for one in plan.settings if one != KEEPS_FIELDS)
    if KEEPS_FIELDS in plan.settings or any(read.by_position for read in reads):
        settings += (KEEPS_FIELDS,)
    if any(read.by_position for read in reads):
        settings += _PLACED
    if joins_on_floats(plan.logical):
        settings += OWN_KEYS
    context = plan.engine.context(
        statistics=not _reads_floats(plan, reads),
        swaps_joins=not _filters_outer_join(plan.logical),
        settings=settings + spilling,
    )
    live = _live_files(reads)
    for read in reads:
        _register(context, read, live.get(read.relation.name), plan.control)
    return context


class Rows(Iterator[pa.RecordBatch]):
    """The batches of a running query, in our types. Errors are ours; `cancel` ends it from any thread."""

    def __init__(self, stream: Any, plan: QueryPlan) -> None:
        """stream: DataFusion's, not yet begun."""
        self._stream: Interruptible | None = Interruptible(lambda: iter(stream))
        self._plan = plan
        self._schema = plan.schema
        self._control = plan.control

    def __iter__(self) -> Rows:
        return self

    def __next__(self) -> pa.RecordBatch:
        try:
            with _noticing_expiry(self._plan), translated(self._plan.scope):
                while (item := self._take()) is not None:
                    batch = item.to_pyarrow()
                    if batch.num_rows:
                        return our_batch(batch, self._schema)
        except BaseException:
            self._end()
            raise
        self._end()
        raise StopIteration

    def cancel(self) -> None:
        """Stop: whoever waits for rows gets `Cancelled` at once; after the last row nothing happens."""
        stream = self._stream
        if stream is not None:
            self._control.cancel()
            stream.cancel()

    def _take(self) -> Any:
        """DataFusion's next batch, None at the end."""
        if self._stream is None:
            return None
        self._control.check()
        try:
            return self._stream.next()
        except StopIteration:
            return None
        except InterruptedError:
            raise Cancelled(_CANCELLED) from None

    def _end(self) -> None:
        """Let go of the query; scans that still run end at their next batch."""
        stream, self._stream = self._stream, None
        if stream is not None:
            self._control.cancel()
            stream.close()


@contextmanager
def _noticing_expiry(plan: QueryPlan) -> Iterator[None]:
    """A file that is missing because its snapshot has expired is spoken of as such."""
    try:
        yield
    except DatabaseError as err:
        told = expired(_seen(plan), err)
        if told is None:
            raise
        raise told from err


def _seen(plan: QueryPlan) -> Iterator[tuple[Table, Snapshot]]:
    for relation in plan.relations.values():
        if isinstance(relation.source, Table):
            between = relation.between
            for snapshot in (relation.snapshot, *(() if between is None else (between.start, between.end))):
                if snapshot is not None:
                    yield relation.source, snapshot


def _scan(relation: Relation, predicates: Mapping[str, Predicate | None], empty: bool) -> RelationScan:
    table, predicate = relation.source, predicates.get(relation.name)
    if not isinstance(table, Table):
        files = list(table.paths) if isinstance(table, FileSource) and table.format == "parquet" else None
        return RelationScan(relation, predicate, None, files, empty=empty)
    if empty:
        return RelationScan(relation, predicate, ScanPlan(relation.snapshot, ()), None, empty=True)
    if relation.between is not None:
        parts = incremental_parts(table, relation.between, predicate)
        return RelationScan(relation, predicate, ScanPlan(relation.between.end, (), predicate), None, parts=parts)
    fallback = table.options.get("scan.fallback-branch", relation.options.get("scan.fallback-branch", ""))
    if fallback:
        return _with_fallback(relation, table, predicate, fallback)
    since = created_since(table, {**table.options.values, **relation.options})
    plan = plan_scan(table, relation.snapshot, predicate, created_since_ms=since)
    files = raw_files(table, plan)
    by_position = not files and may_have_live_files(table, plan)
    return RelationScan(relation, predicate, plan, files or None, by_position=by_position)


def _with_fallback(relation: Relation, table: Table, predicate: Predicate | None, branch: str) -> RelationScan:
    """The partitions that the table has not are read from the branch."""
    plan, other, more = fallback_scan(table, relation.snapshot, predicate, branch)
    parts = [*fragments(table, plan), *fragments(other, more)]
    return RelationScan(relation, predicate, plan, None, parts=parts)


def _filters_early(read: RelationScan, names: set[str]) -> bool:
    return filters_early(read.relation.schema, read.predicate, read.plan, names)


def _leaves_filters(relation: Relation, plan: QueryPlan) -> bool:
    """Whether a scan of Parquet files takes all filters of the relation. Those on nested columns it does not, nor what
    has a value of its own each time.
    """
    nested = [f"{relation.name}.{field.name}" for field in relation.schema if pa.types.is_nested(field.type)]
    volatile = [f"{name}(" for name in (*_VOLATILE, *plan.engine.functions.volatile)]
    return not any(part in text for text in filter_texts(plan.logical) for part in (*nested, *volatile))


def _keeps_fields(plan: QueryPlan) -> bool:
    """Whether the query has fields of structs that must stay where they are."""
    return KEEPS_FIELDS in plan.settings and "get_field(" in plan.logical.display_indent()


def _reads_floats(plan: QueryPlan, reads: list[RelationScan]) -> bool:
    """Whether DataFusion itself may read a float column from files; the text of the plan has every column's name."""
    text = plan.logical.display_indent()
    schemas = [read.relation.schema for read in reads if read.files is not None or read.by_position]
    return any(pa.types.is_floating(field.type) and field.name in text for schema in schemas for field in schema)


def _filters_outer_join(logical: LogicalPlan) -> bool:
    """Whether an outer join has a filter above it.

    DataFusion 55 moves such a filter below a join whose sides have changed places, and then takes columns of one name
    on both sides for one another.
    """
    filters = (node for node in plan_nodes(logical) if isinstance(node.to_variant(), Filter))
    return any(_is_outer_join(child) for node in filters for child in node.inputs())


def _is_outer_join(node: LogicalPlan) -> bool:
    """Also under other names or with fewer columns."""
    variant = node.to_variant()
    if isinstance(variant, Projection | SubqueryAlias):
        return any(map(_is_outer_join, node.inputs()))
    return isinstance(variant, Join) and str(variant.join_type()) in ("Left", "Right", "Full")


def _register(context: SessionContext, read: RelationScan, live: list[LiveFile] | None, control: Control) -> None:
    """live: of which DataFusion finds the live rows itself."""
    relation, source = read.relation, read.relation.source
    name = quoted(relation.name)
    schema = pa.schema([field.remove_metadata() for field in relation.schema])
    if read.empty:
        context.register_record_batches(name, [[pa.RecordBatch.from_pylist([], schema=schema)]])
    elif isinstance(source, Registered | SystemTable):
        batches = _batches(source.rows) or [pa.RecordBatch.from_pylist([], schema=schema)]
        context.register_record_batches(name, _dealt(batches))
    elif isinstance(source, FileSource) and source.format == "json":
        register_json(context, name, source)
    elif read.files is not None and read.parts is None:
        control.failures.scanned.extend(read.files)
        rows = parquet_scan(context, "files", read.files, schema, late=read.late, views=read.views)
        context.register_table(name, exact_floats(rows, schema))
    elif live and read.parts is None:
        control.failures.scanned.extend(file.path for file in live)
        rows = live_scan(
            context, relation.name, live, schema, control, narrowed=read.narrowed, late=read.late, views=read.views
        )
        context.register_table(name, exact_floats(rows, schema))
    else:
        context.register_dataset("parts", ScanDataset(schema, _parts(read), control, PARTITIONS))
        rows = context.table("parts")
        context.deregister_table("parts")
        if read.unfiltered:
            rows = rows.limit(_ALL)  # filters stay above a limit
        context.register_table(name, exact_floats(rows, schema))


def _live_files(reads: Sequence[RelationScan]) -> dict[str, list[LiveFile]]:
    """Of the relations that are scanned by position, the files with a live row."""

    def found() -> Iterator[dict[str, list[LiveFile]]]:
        tables = ((read.relation.name, read.relation.source, read.plan) for read in reads if read.by_position)
        yield {name: live_files(table, plan) for name, table, plan in tables if isinstance(table, Table) and plan}

    # keys of whole buckets may have to be merged for it: on another thread, so that Ctrl-C need not wait for that
    if not any(read.by_position for read in reads):
        return {}
    try:
        by_name: dict[str, list[LiveFile]] = Interruptible(found).next()
    except InterruptedError:
        raise Cancelled(_CANCELLED) from None
    return by_name


def _parts(read: RelationScan) -> Callable[[], Sequence[Readable]]:
    """What a scan in Python reads."""
    source, plan, parts = read.relation.source, read.plan, read.parts
    if parts is not None:
        return lambda: parts
    if isinstance(source, ConnectorTable):
        return lambda: [Batches(lambda: connector_of(source).read_batch(source))]
    if isinstance(source, FileSource):
        return lambda: [Batches(lambda: file_batches(source))]
    assert isinstance(source, Table) and plan is not None
    return lambda: fragments(source, plan)


def _batches(rows: pa.Table) -> list[pa.RecordBatch]:
    """The rows as they lie in memory, which they are copied for only if they lie in small pieces."""
    batches: list[pa.RecordBatch] = rows.to_batches(max_chunksize=BATCH_ROWS)
    if len(batches) < 2 or rows.num_rows >= len(batches) * _PIECE_ROWS_MIN:
        return batches
    joined: list[pa.RecordBatch] = rows.combine_chunks().to_batches(max_chunksize=BATCH_ROWS)
    return joined


def _dealt(batches: list[pa.RecordBatch]) -> list[list[pa.RecordBatch]]:
    """The batches in as many partitions as are read side by side, in order within each."""
    size = -(-len(batches) // PARTITIONS)
    return [batches[start : start + size] for start in range(0, len(batches), size)]

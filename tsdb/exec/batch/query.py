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
from datafusion.expr import Filter, Join, Projection, SubqueryAlias
from datafusion.plan import LogicalPlan

from tsdb.catalog.catalog import ConnectorTable
from tsdb.connector import connector_of
from tsdb.errors import Cancelled, DatabaseError
from tsdb.exec.batch.dataset import BATCH_ROWS, Batches, Control, Readable, ScanDataset
from tsdb.exec.batch.exact_floats import exact_floats
from tsdb.exec.batch.interruptible import Interruptible
from tsdb.exec.batch.live_scan import live_scan
from tsdb.exec.batch.parquet_files import parquet_scan
from tsdb.exec.batch.pushdown import constantly_filtered, never_read, scan_predicates
from tsdb.exec.engine import PARTITIONS, our_batch
from tsdb.exec.failure import translated
from tsdb.exec.local_file import file_batches, register_json
from tsdb.exec.plan import QueryPlan, plan_nodes, quoted
from tsdb.exec.relation import FileSource, Registered, Relation, SystemTable
from tsdb.exec.result import BatchResult
from tsdb.metadata.predicate import Predicate
from tsdb.metadata.snapshot import Snapshot
from tsdb.table.fallback import fallback_scan
from tsdb.table.incremental import incremental_parts
from tsdb.table.live_rows import LiveFiles, live_files, may_have_live_files
from tsdb.table.newest import expired
from tsdb.table.read import fragments, raw_files
from tsdb.table.refs import created_since
from tsdb.table.scan import ScanPlan, plan_scan
from tsdb.table.table import Table

_PIECE_ROWS_MIN = 8192
_ALL = 2**63 - 1
_JOIN_IN_MEMORY = "HashJoinInput"
_MERGE_JOINS = (("datafusion.optimizer.prefer_hash_join", "false"),)


@dataclass(frozen=True, slots=True)
class RelationScan:
    """How one relation is read. plan: of a `Table`. files: its Parquet files when DataFusion scans them itself, else
    None.

    parts: read these instead. empty: the query wants none of its rows. unfiltered: a scan in Python could not take the
    filters. by_number: DataFusion scans the files itself if sequence numbers tell which rows live.
    """

    relation: Relation
    predicate: Predicate | None
    plan: ScanPlan | None
    files: list[str] | None
    parts: Sequence[Readable] | None = None
    empty: bool = False
    unfiltered: bool = False
    by_number: bool = False


def run(plan: QueryPlan) -> BatchResult:
    """Start the query; its rows are computed while they are read."""
    rows = open_rows(plan)
    return BatchResult(plan.schema, pa.RecordBatchReader.from_batches(plan.schema, rows), rows.cancel)


def open_rows(plan: QueryPlan, parts: Sequence[Readable] | None = None) -> Rows:
    """The rows of the query as an iterator of batches. parts: read in the place of the query's first relation."""
    reads = scans(plan)
    if parts is not None:
        reads[0] = replace(reads[0], parts=parts)
    with _noticing_expiry(plan), translated(plan.scope):
        stream: Any = executable(plan, reads).execute_stream()
    if plan.engine.memory_limit_bytes is not None:
        stream = _spilling(stream, lambda: executable(plan, reads, joins_spill=True).execute_stream())
    return Rows(stream, plan)


def _spilling(stream: Any, again: Callable[[], Any]) -> Iterator[Any]:
    """The batches of a stream, or of another in its place: DataFusion's hash joins keep one side in memory, and give up
    where that does not fit. Its merge joins, which are slower, spill what they sort.
    """
    given = False
    try:
        for batch in stream:
            given = True
            yield batch
        return
    except Exception as err:
        if given or _JOIN_IN_MEMORY not in str(err):
            raise
    yield from again()


def scans(plan: QueryPlan) -> list[RelationScan]:
    """What is read for each relation of the query. Raises SnapshotExpired."""
    predicates = scan_predicates(plan.logical)
    empty, constant = never_read(plan.logical), constantly_filtered(plan.logical)
    with _noticing_expiry(plan):
        reads = [_scan(relation, predicates, relation.name in empty) for relation in plan.relations.values()]
    joined = len(reads) > 1  # a single table has nothing to gain from statistics, and is merged faster by ourselves
    return [
        replace(read, unfiltered=read.relation.name in constant, by_number=read.by_number and joined) for read in reads
    ]


def executable(
    plan: QueryPlan, reads: list[RelationScan], explain: str = "", *, joins_spill: bool = False
) -> DataFrame:
    """The query over what is really read, in a context of its own. explain: words before it. joins_spill: instead of
    keeping one side in memory.
    """
    context = plan.engine.context(
        statistics=not _reads_floats(plan, reads),
        swaps_joins=not _filters_outer_join(plan.logical),
        settings=plan.settings + (_MERGE_JOINS if joins_spill else ()),
    )
    for read in reads:
        _register(context, read, plan.control)
    return context.sql(explain + plan.text)


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
            raise Cancelled("the statement was cancelled") from None

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
    by_number = not files and may_have_live_files(table, plan)
    return RelationScan(relation, predicate, plan, files or None, by_number=by_number)


def _with_fallback(relation: Relation, table: Table, predicate: Predicate | None, branch: str) -> RelationScan:
    """The partitions that the table has not are read from the branch."""
    plan, other, more = fallback_scan(table, relation.snapshot, predicate, branch)
    parts = [*fragments(table, plan), *fragments(other, more)]
    return RelationScan(relation, predicate, plan, None, parts=parts)


def _reads_floats(plan: QueryPlan, reads: list[RelationScan]) -> bool:
    """Whether DataFusion itself may read a float column from files; the text of the plan has every column's name."""
    text = plan.logical.display_indent()
    schemas = [read.relation.schema for read in reads if read.files is not None or read.by_number]
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


def _register(context: SessionContext, read: RelationScan, control: Control) -> None:
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
        rows = parquet_scan(context, "files", read.files, schema)
        context.register_table(name, exact_floats(rows, schema))
    elif (files := _live_files(read)) is not None:
        control.failures.scanned.extend(path for part in files for path in part.paths)
        context.register_table(name, exact_floats(live_scan(context, relation.name, files, schema, control), schema))
    else:
        context.register_dataset("parts", ScanDataset(schema, _parts(read), control, PARTITIONS))
        rows = context.table("parts")
        context.deregister_table("parts")
        if read.unfiltered:
            rows = rows.limit(_ALL)  # filters stay above a limit
        context.register_table(name, exact_floats(rows, schema))


def _live_files(read: RelationScan) -> list[LiveFiles] | None:
    """The files of which DataFusion finds the live rows itself; None if it cannot, or would find no file."""
    if not read.by_number or read.parts is not None:
        return None
    table, plan = read.relation.source, read.plan
    assert isinstance(table, Table) and plan is not None
    # keys of whole buckets may have to be merged for it: on another thread, so that Ctrl-C need not wait for that
    found: list[LiveFiles] | None = Interruptible(lambda: iter([live_files(table, plan)])).next()
    return found or None


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
